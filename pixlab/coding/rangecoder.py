"""Binary range coder and adaptive probabilities: integers only, the same on every machine.

The coder is a carry-propagating binary range coder (G. N. N. Martin, 1979) with a 64-bit range
that is renewed four bytes at a time. One function both writes and reads a bit, so that a context
model is written once and cannot differ between the two directions::

    bit ── code_bit(state, False, buf, bit, p) ──► buf
    bit ◄─ code_bit(state, True,  buf, 0,   p) ─── buf

An adaptive probability is one uint32: 22 bits of probability of a 1, and a 10-bit count of what
was seen, which sets the pace of learning (1 / (n + 1.6), down to 1 / 256). Several of them are
mixed in the logistic domain with weights that are learned too (M. Mahoney, PAQ, 2005).
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = [
    "FRESH",
    "INPUTS",
    "UNIT_WEIGHT",
    "code_bit",
    "code_count",
    "code_mixed",
    "code_raw",
    "code_simple",
    "finish",
    "overrun",
    "start",
]

# A coder's state is the tuple (low, range, position in the bytes), which stays in registers; when
# reading, `low` is the distance of the bytes from the low end.
_U16, _U32, _U8 = np.uint64(16), np.uint64(32), np.uint64(8)
_LEAST = np.uint64(1 << 32)
_BYTE = np.uint64(0xFF)
_ZERO, _ONE = np.uint64(0), np.uint64(1)

FRESH = np.uint32(1 << 31)  # a probability of one half that has seen nothing
INPUTS = 5  # contexts of a mixture; fixed, so that the loops over them unroll
UNIT_WEIGHT = 1 << 16  # a mixing weight of 1
_COUNT_LIMIT = 255
_DOMAIN = 2047  # the logistic domain is +-2047, in units of 1/256
# 65536 / (1 + exp(-x)) at x = -8, -7.5, ..., 8: written out, so that no machine computes them
_SQUASH_KNOTS = np.array(
    [
        22, 36, 60, 98, 162, 267, 439, 720, 1179, 1921, 3108, 4971, 7812, 11959, 17625, 24743,
        32768, 40793, 47911, 53577, 57724, 60565, 62428, 63615, 64357, 64816, 65097, 65269, 65374,
        65438, 65476, 65500, 65514,
    ],
    np.int64,
)  # fmt: skip


def _squash_table() -> NDArray[np.int64]:
    """Probability of a 1 in 1/65536 for each point of the logistic domain, by interpolation."""
    x = np.arange(2 * _DOMAIN + 2)
    knot, part = x >> 7, x & 127
    following = np.minimum(knot + 1, 32)
    return (_SQUASH_KNOTS[knot] * (128 - part) + _SQUASH_KNOTS[following] * part + 64) >> 7


def _stretch_table(squash: NDArray[np.uint16]) -> NDArray[np.int64]:
    """The inverse of `squash` for 4,096 probabilities."""
    middle = (np.arange(4096, dtype=np.int64) << 4) + 8
    place = np.searchsorted(squash, middle)
    return np.clip(place - _DOMAIN - 1, -_DOMAIN, _DOMAIN)


SQUASH = _squash_table().astype(np.uint16)
STRETCH = _stretch_table(SQUASH).astype(np.int16)
_PACE = np.array([655360 // (10 * n + 16) for n in range(_COUNT_LIMIT + 1)], np.int32)


@njit(cache=True, nogil=True)
def start(reading, buf):  # type: ignore[no-untyped-def]
    """State of a coder that is about to write into `buf`, or to read from it."""
    code = np.uint64(0)
    if reading:
        for i in range(8):
            code = (code << _U8) | (np.uint64(buf[i]) if i < len(buf) else _ZERO)
    return code, ~_ZERO, 8 if reading else 0


@njit(cache=True, nogil=True)
def _carry(buf, pos):  # type: ignore[no-untyped-def]
    i = min(pos, len(buf)) - 1  # past the end nothing was written, as `finish` will tell
    while i >= 0 and buf[i] == 255:
        buf[i] = 0
        i -= 1
    if i >= 0:
        buf[i] += np.uint8(1)


@njit(cache=True, nogil=True)
def _shift(low, pos, reading, buf):  # type: ignore[no-untyped-def]
    """Move four bytes out of `low` into the buffer, or the other way."""
    if reading:
        fresh = _ZERO
        for i in range(pos, pos + 4):
            fresh = (fresh << _U8) | (np.uint64(buf[i]) if i < len(buf) else _ZERO)
        return (low << _U32) | fresh
    if pos + 4 <= len(buf):
        for i in range(4):
            buf[pos + i] = np.uint8((low >> np.uint64(56 - 8 * i)) & _BYTE)
    return low << _U32


@njit(inline="always")
def code_bit(state, reading, buf, bit, p):  # type: ignore[no-untyped-def]
    """Write `bit`, or read one, whose probability of being 1 is p / 65536: (bit, state)."""
    # without branches on the bit, which no processor can predict
    low, whole, pos = state
    bound = (whole >> _U16) * np.uint64(p)
    if reading:
        one = np.uint64(low < bound)
        low -= bound & (one - _ONE)
    else:
        one = np.uint64(bit)
        before = low
        low += bound & (one - _ONE)
        if low < before:
            _carry(buf, pos)
    rest = whole - bound
    whole = rest ^ ((rest ^ bound) & (_ZERO - one))
    if whole < _LEAST:
        low = _shift(low, pos, reading, buf)
        whole <<= _U32
        pos += 4
    return np.int64(one), (low, whole, pos)


@njit(inline="always")
def code_raw(state, reading, buf, value, bits):  # type: ignore[no-untyped-def]
    """Write or read `bits` (at most 16) equally likely bits: (value, state)."""
    low, whole, pos = state
    step = whole >> np.uint64(bits)
    if reading:
        value = min(np.int64(low // step), (1 << bits) - 1)
        low -= step * np.uint64(value)
    else:
        before = low
        low += step * np.uint64(value)
        if low < before:
            _carry(buf, pos)
    if step < _LEAST:
        low = _shift(low, pos, reading, buf)
        step <<= _U32
        pos += 4
    return value, (low, step, pos)


@njit(cache=True, nogil=True)
def finish(state, buf):  # type: ignore[no-untyped-def]
    """Write what is left of the state, without its trailing zeros; return the number of bytes.

    -1 if the buffer was too small.
    """
    low, whole, pos = state
    # any value inside [low, low + range) ends the stream: take the one with most zeros
    keep = np.uint64(56)
    while keep > _ZERO:
        mask = (_ONE << keep) - _ONE
        rounded = (low + mask) & ~mask
        if rounded - low < whole:
            if rounded < low:
                _carry(buf, pos)
            low = rounded
            break
        keep -= _U8
    if pos + 8 > len(buf):
        return -1
    for i in range(8):
        buf[pos + i] = np.uint8((low >> np.uint64(56 - 8 * i)) & _BYTE)
    n = pos + 8
    while n > pos and buf[n - 1] == 0:
        n -= 1
    return n


@njit(inline="always")
def overrun(state, buf):  # type: ignore[no-untyped-def]
    """Whether more was read than was written: the bytes are cut short or damaged."""
    return state[2] > len(buf) + 8


@njit(inline="always")
def _learn(seen, bit):  # type: ignore[no-untyped-def]
    n = seen & np.uint32(1023)
    p = np.int64(seen >> np.uint32(10))
    p += ((np.int64(-bit & 4194303) - p) * np.int64(_PACE[n])) >> 16
    return (np.uint32(p) << np.uint32(10)) | min(n + np.uint32(1), np.uint32(_COUNT_LIMIT))


@njit(inline="always")
def code_simple(state, reading, buf, bit, table, slot):  # type: ignore[no-untyped-def]
    """Code a bit with one adaptive probability: (bit, state)."""
    p = min(max(np.int64(table[slot] >> np.uint32(16)), 16), 65520)
    bit, state = code_bit(state, reading, buf, bit, p)
    table[slot] = _learn(table[slot], bit)
    return bit, state


@njit(inline="always")
def code_mixed(state, reading, buf, bit, table, slots, weights, row, x):  # type: ignore[no-untyped-def]
    """Code a bit with the mixture of the adaptive probabilities `table[slots]`: (bit, state).

    Their weights, in 1/65536, are ``weights[INPUTS * row:]``; ``x`` is scratch, int64[INPUTS].
    """
    dot = np.int64(0)
    base = np.uint64(row) * np.uint64(INPUTS)
    for j in range(np.uint64(INPUTS)):
        x[j] = np.int64(STRETCH[table[slots[j]] >> np.uint32(20)])
        dot += np.int64(weights[base + j]) * x[j]
    dot = min(max(dot >> 16, -_DOMAIN), _DOMAIN)
    p = np.int64(SQUASH[np.uint64(dot + _DOMAIN + 1)])
    bit, state = code_bit(state, reading, buf, bit, p)
    error = (-bit & 65535) - p
    for j in range(np.uint64(INPUTS)):
        weights[base + j] += np.int32((error * x[j] + 16384) >> 15)
        table[slots[j]] = _learn(table[slots[j]], bit)
    return bit, state


@njit(cache=True, nogil=True)
def code_count(state, reading, buf, value, table, base):  # type: ignore[no-untyped-def]
    """Code a number from 0 to 2^30: its bit length, its leading bits, and the rest raw.

    When reading, `value` is 0; (-1, state) is returned where the bytes hold no such number. Uses
    the 512 slots of `table` from `base` on.
    """
    length = 0
    while (value + 1) >> (length + 1):
        length += 1
    node = 1
    for i in range(4, -1, -1):
        bit, state = code_simple(
            state, reading, buf, (length >> i) & 1, table, np.uint64(base + node)
        )
        node = node * 2 + bit
    length = node - 32
    if length > 30:
        return -1, state
    leading = min(length, 3)
    number = 1
    for i in range(leading):
        bit = ((value + 1) >> (length - 1 - i)) & 1
        slot = np.uint64(base + 32 + length * 8 + number)
        bit, state = code_simple(state, reading, buf, bit, table, slot)
        number = number * 2 + bit
    left = length - leading
    while left > 0:
        step = min(left, 16)
        left -= step
        part = ((value + 1) >> left) & ((1 << step) - 1)
        part, state = code_raw(state, reading, buf, part, step)
        number = (number << step) | part
    return number - 1, state
