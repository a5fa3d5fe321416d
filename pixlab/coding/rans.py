"""Interleaved range variant of asymmetric numeral systems: many symbols, one multiplication each.

Four 64-bit states take turns (J. Duda, arXiv:1311.2540; F. Giesen, arXiv:1402.3392), so that a
processor works on several symbols at once. Probabilities are fixed: integers that sum up to
65,536 in each context. A state takes symbols last in, first out; so a writer collects what is to be
coded as *steps* and `write` goes through them backwards, while a reader gets them in order::

    symbol, context ──► step (frequency << 16 | sum of frequencies before) ──► write ──► bytes
    symbol ◄── get ◄─────────────────────────────────────────────────────────────────── bytes

A reader ends with all states as a writer began and no bytes left. Bytes that were cut or added never
do that, and others that were changed seldom.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pixlab.coding.bits import kernel

__all__ = [
    "NO_STEPS",
    "NO_WORDS",
    "Section",
    "Tables",
    "drained",
    "get",
    "get_bits",
    "get_uniform",
    "make_tables",
    "open_words",
    "start_reading",
    "step_of",
    "step_of_bits",
    "step_of_uniform",
    "write",
]

STATES = 4
_WHOLE = 1 << 16  # frequencies of a context sum up to this
_LEAST = np.uint64(1 << 31)  # a state is kept in [2^31, 2^63)
_SLOT = np.uint64(_WHOLE - 1)
_U16, _U32, _U47, _ONE, _ZERO = (np.uint64(v) for v in (16, 32, 47, 1, 0))
_HINT_BITS = 12
# what a step of each size takes, for the ledger alone
_BITS = 16 - np.log2(np.maximum(np.arange(_WHOLE), 1))


class Tables(NamedTuple):
    """Frequencies of symbols in contexts, laid out for coding.

    ``last``: uint16[contexts * stride], the last slot below each symbol, 65535 before the first one
    and after the last; ``hint``: uint8[contexts << bits], the symbol at the beginning of each of
    ``1 << bits`` equal parts of the slots.
    """

    last: NDArray[np.uint16]
    hint: NDArray[np.uint8]
    stride: np.uint64
    bits: np.uint64


def make_tables(frequencies: NDArray[Any]) -> Tables:
    """Tables of frequencies: int[contexts, symbols], each at least 1, each row summing up to 65536.

    There are 2 to 256 symbols.
    """
    n_contexts, n_symbols = frequencies.shape
    ends = np.cumsum(frequencies, axis=1)
    stride = n_symbols + 1
    last = np.full((n_contexts, stride), _WHOLE - 1, np.uint16)
    last[:, 1:] = ends - 1
    bits = min(_HINT_BITS, n_symbols.bit_length() + 4)
    hint = np.empty((n_contexts, 1 << bits), np.uint8)
    _fill_hints(ends, 16 - bits, hint)
    return Tables(last.ravel(), hint.ravel(), np.uint64(stride), np.uint64(bits))


@kernel
def _fill_hints(ends, shift, hint):  # type: ignore[no-untyped-def]
    for c in range(len(hint)):
        s = 0
        for i in range(hint.shape[1]):
            while ends[c, s] <= i << shift:
                s += 1
            hint[c, i] = s


# -- writing ----------------------------------------------------------------------------------
@njit(inline="always")
def step_of(tables, context, symbol):  # type: ignore[no-untyped-def]
    """The step that codes `symbol` in `context`."""
    at = np.uint64(context) * tables.stride + np.uint64(symbol)
    low = np.uint32(tables.last[at])
    size = (np.uint32(tables.last[at + _ONE]) - low) & np.uint32(0xFFFF)
    return size << np.uint32(16) | ((low + np.uint32(1)) & np.uint32(0xFFFF))


@njit(inline="always")
def step_of_bits(value, bits):  # type: ignore[no-untyped-def]
    """The step that codes one of ``2**bits`` equally likely values, 1 <= bits <= 16."""
    spare = np.uint32(16 - bits)
    return np.uint32(1) << (spare + np.uint32(16)) | np.uint32(value) << spare


@njit(inline="always")
def step_of_uniform(value, n):  # type: ignore[no-untyped-def]
    """The step that codes one of `n` about equally likely values, 2 <= n <= 65536."""
    size = np.uint32(65536) // np.uint32(n)
    low = np.uint32(value) * size
    if value == n - 1:
        size = np.uint32(65536) - low
    return size << np.uint32(16) | low


class Section(bytes):
    """Bytes, and the length that they would have without what a coder adds: ``shannon``, in bits."""

    shannon: float

    @staticmethod
    def of(head: bytes, body: bytes) -> Section:
        """Two parts in one; bytes that are no section have nothing to save."""
        whole = Section(head + body)
        whole.shannon = sum(getattr(part, "shannon", 8.0 * len(part)) for part in (head, body))
        return whole


def write(steps: NDArray[np.uint32]) -> Section:
    """The bytes that a reader needs to get the symbols of `steps` in order; none for no step."""
    words = np.empty(len(steps) + 2 * STATES, "<u4")
    first, bits = _write(steps, words, _BITS) if len(steps) else (len(words), 0.0)
    section = Section(words[first:].tobytes())
    section.shannon = bits
    return section


@kernel
def _write(steps, words, bits_of):  # type: ignore[no-untyped-def]
    """Fill `words` from the end; return where they begin, and the bits of all steps."""
    # the state that takes a step now is `a`; going backwards, they turn the other way round
    n = len(steps)
    bits = 0.0
    a = b = c = d = _LEAST
    at = len(words)
    for i in range(n - 1, -1, -1):
        # the reader turned after this step: undo it, so that its state comes to the front
        a, b, c, d = d, a, b, c
        size = np.uint64(steps[i] >> np.uint32(16))
        bits += bits_of[size]
        if a >= size << _U47:
            at -= 1
            words[at] = np.uint32(a)
            a >>= _U32
        above = a // size
        a = (above << _U16) + (a - above * size) + np.uint64(steps[i] & np.uint32(0xFFFF))
    for state in (d, c, b, a):
        words[at - 1] = np.uint32(state)
        words[at - 2] = np.uint32(state >> _U32)
        at -= 2
    return at, bits


# -- reading ----------------------------------------------------------------------------------
def open_words(section: bytes) -> NDArray[np.uint32]:
    """The words of a section; what is cut short reads as zeros, and never as drained."""
    if not section:
        return np.tile(np.array([0, _LEAST], np.uint32), STATES)
    whole = len(section) // 4 * 4
    words = np.frombuffer(section[:whole], "<u4").astype(np.uint32)
    short = whole < len(section) or len(words) < 2 * STATES
    return np.append(words, np.zeros(2 * STATES, np.uint32)) if short else words


# what kernels take that have nothing to read or to write
NO_WORDS = open_words(b"")
NO_STEPS = np.empty(0, np.uint32)


@njit(inline="always")
def start_reading(words):  # type: ignore[no-untyped-def]
    """The states at the beginning of `words`, and how many words they took."""
    return (
        np.uint64(words[0]) << _U32 | np.uint64(words[1]),
        np.uint64(words[2]) << _U32 | np.uint64(words[3]),
        np.uint64(words[4]) << _U32 | np.uint64(words[5]),
        np.uint64(words[6]) << _U32 | np.uint64(words[7]),
        8,
    )


@njit(inline="always")
def _advance(state, words, size, low):  # type: ignore[no-untyped-def]
    """Take the step (size, low) out of the state in front and bring the next one there."""
    a, b, c, d, at = state
    a = size * (a >> _U16) + (a & _SLOT) - low
    if a < _LEAST:
        a = a << _U32 | (np.uint64(words[at]) if at < len(words) else _ZERO)
        at += 1
    return b, c, d, a, at


@njit(inline="always")
def get(state, words, tables, context):  # type: ignore[no-untyped-def]
    """The next symbol, in `context`: (symbol, state)."""
    slot = state[0] & _SLOT
    base = np.uint64(context) * tables.stride
    part = (np.uint64(context) << tables.bits) + (slot >> (_U16 - tables.bits))
    at = base + np.uint64(tables.hint[part])
    while np.uint64(tables.last[at + _ONE]) < slot:
        at += _ONE
    low = np.uint32(tables.last[at])
    size = (np.uint32(tables.last[at + _ONE]) - low) & np.uint32(0xFFFF)
    low = (low + np.uint32(1)) & np.uint32(0xFFFF)
    return np.int64(at - base), _advance(state, words, np.uint64(size), np.uint64(low))


@njit(inline="always")
def get_bits(state, words, bits):  # type: ignore[no-untyped-def]
    """The next of ``2**bits`` equally likely values: (value, state)."""
    spare = np.uint64(16 - bits)
    value = (state[0] & _SLOT) >> spare
    return np.int64(value), _advance(state, words, _ONE << spare, value << spare)


@njit(inline="always")
def get_uniform(state, words, n):  # type: ignore[no-untyped-def]
    """The next of `n` about equally likely values: (value, state)."""
    size = np.uint64(np.uint32(65536) // np.uint32(n))
    value = np.uint64(np.uint32(state[0] & _SLOT) // np.uint32(size))
    top = np.uint64(n - 1)
    value = min(value, top)
    low = value * size
    if value == top:
        size = np.uint64(65536) - low
    return np.int64(value), _advance(state, words, size, low)


@njit(inline="always")
def drained(state, words):  # type: ignore[no-untyped-def]
    """Whether everything was read that was written, and nothing else."""
    a, b, c, d, at = state
    return a == _LEAST and b == _LEAST and c == _LEAST and d == _LEAST and at == len(words)
