"""Numbers and flags without context: what is rare enough to need no model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixlab.coding.bits import kernel
from pixlab.coding.rangecoder import FRESH, code_count, code_simple, finish, overrun, start
from pixlab.errors import FormatError

__all__ = ["decode_flags", "decode_numbers", "encode_flags", "encode_numbers"]

Array = NDArray[Any]
_CLEAR, _SET, _MIXED = b"\0", b"\1", b"\2"


def _write(size: int, run: Callable[[Array], int]) -> bytes:
    """Run a coding kernel into a buffer that is made larger until it fits."""
    while True:
        buf = np.zeros(size, np.uint8)
        n = run(buf)
        if n >= 0:
            return buf[:n].tobytes()
        size *= 4


def _bytes(section: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(section, np.uint8).copy()  # writable, as the kernels are compiled for


def encode_numbers(numbers: Array) -> bytes:
    """A section of numbers from 0 to 2^30, with probabilities that adapt to them."""
    values = numbers.astype(np.int64)

    def run(buf: Array) -> int:
        return _code_numbers(False, buf, values, np.full(512, FRESH, np.uint32))

    return _write(8 * len(values) + 64, run)


def decode_numbers(section: bytes, n: int) -> NDArray[np.int64]:
    """The numbers that `encode_numbers` wrote: int64[n].

    Raises
    ------
    FormatError
        If the section is damaged.
    """
    values = np.zeros(n, np.int64)
    if _code_numbers(True, _bytes(section), values, np.full(512, FRESH, np.uint32)) < 0:
        raise FormatError("the explicit counts are damaged")
    return values


@kernel
def _code_numbers(reading, buf, values, table):  # type: ignore[no-untyped-def]
    state = start(reading, buf)
    for i in range(len(values)):
        values[i], state = code_count(state, reading, buf, values[i], table, 0)
        if values[i] < 0 or (reading and overrun(state, buf)):
            return -1
    return 0 if reading else finish(state, buf)


def encode_flags(flags: Array) -> bytes:
    """A section of one bit a digi: a byte where all are alike, cheap where neighbours are."""
    if not flags.any():
        return _CLEAR
    if flags.all():
        return _SET
    bits = flags.astype(np.uint8)

    def run(buf: Array) -> int:
        return _code_flags(False, buf, bits, np.full(2, FRESH, np.uint32))

    return _MIXED + _write(len(bits) + 64, run)


def decode_flags(section: bytes, n: int) -> NDArray[np.bool_]:
    """The bits that `encode_flags` wrote: bool[n].

    Raises
    ------
    FormatError
        If the section is damaged.
    """
    kind, body = section[:1], section[1:]
    if kind in (_CLEAR, _SET) and not body:
        return np.full(n, kind == _SET)
    bits = np.zeros(n, np.uint8)
    if kind != _MIXED or _code_flags(True, _bytes(body), bits, np.full(2, FRESH, np.uint32)) < 0:
        raise FormatError("the flags are damaged")
    return bits.astype(bool)


@kernel
def _code_flags(reading, buf, bits, table):  # type: ignore[no-untyped-def]
    """Write or read one bit a digi; the one before is the context."""
    state = start(reading, buf)
    bit = 0
    for i in range(len(bits)):
        bit, state = code_simple(state, reading, buf, np.int64(bits[i]), table, np.uint64(bit))
        bits[i] = bit
    if reading:
        return -1 if overrun(state, buf) else 0
    return finish(state, buf)
