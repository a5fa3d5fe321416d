"""Digis and values to named sections of bytes, and back.

::

    frames, row, col ──► positions, shapes      `encode_hits`, `decode_hits`
    value of each hit ──► values                `encode_values`, `decode_values`

Each section is one range-coded stream. What is read is believed only as far as the bytes carry it:
arrays grow with what was really decoded, never to a size that is merely claimed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pixlab.coding.layout import Layout
from pixlab.coding.positions import POSITION_SLOTS, code_positions, find_starts
from pixlab.coding.priors import restore, store
from pixlab.coding.rangecoder import (
    FRESH,
    INPUTS,
    UNIT_WEIGHT,
    code_count,
    code_simple,
    finish,
    overrun,
    start,
)
from pixlab.coding.shapes import SHAPE_ROWS, SHAPE_SLOTS, code_shapes
from pixlab.coding.values import VALUE_ROWS, VALUE_SLOTS, code_values, plain_slots
from pixlab.errors import FormatError

__all__ = ["Hits", "Probabilities"]
__all__ += ["decode_flags", "decode_hits", "decode_numbers", "decode_values"]
__all__ += ["encode_flags", "encode_hits", "encode_numbers", "encode_values"]

_INITIAL_WEIGHT = int(0.3 * UNIT_WEIGHT)
MAX_DIGIS = 1 << 27  # of one chunk

Section = bytes
Array = NDArray[Any]


@dataclass
class Hits:
    """A hit map in coding order: frames by event and module, digis by column and row.

    ``event`` int64[frames], ``module`` int32[frames], ``offsets`` int64[frames + 1] (first digi of
    a frame), ``row`` and ``col`` uint16[digis].
    """

    event: Array
    module: Array
    offsets: Array
    row: Array
    col: Array


class Probabilities:
    """The adaptive state of all context models at the beginning of a chunk.

    Parameters
    ----------
    bits : int
        Bits of a value that are coded as a tree.
    stored : mapping of str to array, optional
        What `learned` gave: starting probabilities that `fit` left in the model.
    """

    def __init__(self, bits: int, stored: Mapping[str, Array] | None = None) -> None:
        self.bits = bits
        self.tables = {
            "positions": np.full(POSITION_SLOTS, FRESH, np.uint32),
            "shapes": np.full(SHAPE_SLOTS, FRESH, np.uint32),
            "values": np.full(VALUE_SLOTS, FRESH, np.uint32),
            "plain": np.full(plain_slots(bits), FRESH, np.uint32),
        }
        self.weights = {
            "shapes": np.full(SHAPE_ROWS * INPUTS, _INITIAL_WEIGHT, np.int32),
            "values": np.full(VALUE_ROWS * INPUTS, _INITIAL_WEIGHT, np.int32),
        }
        for name, array in (stored or {}).items():
            kind, _, key = name.partition(".")
            if kind == "prior" and key in self.tables:
                restore(name, self.tables[key], array)
            elif kind == "weight" and key in self.weights:
                if array.shape != self.weights[key].shape or array.dtype != np.int16:
                    raise FormatError(f"array '{name}' of the model is damaged")
                self.weights[key][:] = array.astype(np.int32) * 16

    def copy(self) -> Probabilities:
        """A copy that a coder may change."""
        twin = object.__new__(Probabilities)
        twin.bits = self.bits
        twin.tables = {k: v.copy() for k, v in self.tables.items()}
        twin.weights = {k: v.copy() for k, v in self.weights.items()}
        return twin

    def reset(self, initial: Probabilities, *keys: str) -> None:
        """Go back to `initial` in the named parts."""
        for key in keys:
            self.tables[key][:] = initial.tables[key]
            if key in self.weights:
                self.weights[key][:] = initial.weights[key]

    def learned(self) -> dict[str, Array]:
        """The present state in a form that is small to store (`Probabilities(stored=...)`)."""
        stored: dict[str, Array] = {}
        for key, table in self.tables.items():
            stored[f"prior.{key}"] = store(table)
        for key, weights in self.weights.items():
            stored[f"weight.{key}"] = np.clip(weights >> 4, -32768, 32767).astype(np.int16)
        return stored


def _write(guess: int, run: Callable[[Array], int]) -> bytes:
    """Run a coding kernel into a buffer that is made larger until it fits."""
    size = guess
    while True:
        buf = np.zeros(size, np.uint8)
        n = run(buf)
        if n >= 0:
            return buf[:n].tobytes()
        size *= 4


def _bytes(section: bytes) -> Array:
    return np.frombuffer(section, np.uint8).copy()  # writable, as the kernels are compiled for


def encode_hits(
    layout: Layout, n_events: int, hits: Hits, initial: Probabilities
) -> tuple[dict[str, Section], Probabilities]:
    """Sections ``positions`` and ``shapes`` of a hit map, and the state that they leave."""
    state = initial.copy()
    offsets, starts = find_starts(hits.offsets, hits.row, hits.col, layout.rows, hits.module)

    def positions(buf: Array) -> int:
        state.reset(initial, "positions")
        return code_positions(
            False, buf, layout, n_events, hits.event, hits.module, offsets, starts,
            state.tables["positions"],
        )[1]  # fmt: skip

    def shapes(buf: Array) -> int:
        state.reset(initial, "shapes")
        return code_shapes(
            False, buf, layout, hits.module, offsets, starts, hits.offsets, hits.row, hits.col,
            state.tables["shapes"], state.weights["shapes"],
        )  # fmt: skip

    counts = np.array([len(hits.module), len(starts)], "<u4").tobytes()
    return {
        "positions": counts + _write(4 * len(starts) + n_events + 64, positions),
        "shapes": _write(2 * len(hits.row) + 64, shapes),
    }, state


def decode_hits(
    layout: Layout,
    n_events: int,
    n_digis: int,
    sections: Mapping[str, Section],
    initial: Probabilities,
) -> Hits:
    """The hit map that `encode_hits` wrote.

    Raises
    ------
    FormatError
        If the sections are damaged, or hold another number of digis.
    """
    head, body = sections["positions"][:8], _bytes(sections["positions"][8:])
    if len(head) < 8:
        raise FormatError("the positions are cut short")
    n_frames, n_starts = (int(v) for v in np.frombuffer(head, "<u4"))
    if not n_frames <= n_starts <= n_digis <= MAX_DIGIS:
        raise FormatError("the counts of modules, clusters and digis contradict each other")
    state = initial.copy()
    room = min(n_starts, 16 * len(body) + 1024)  # what is believed of the claim at first
    while True:
        event = np.empty(min(n_frames, room), np.int64)
        module = np.empty(len(event), np.int32)
        offsets = np.zeros(len(event) + 1, np.int64)
        starts = np.empty(room, np.int64)
        frames, n = code_positions(
            True, body, layout, n_events, event, module, offsets, starts, state.tables["positions"]
        )
        if frames != -2 or room == n_starts:
            break
        room = min(n_starts, 8 * room)
        state.reset(initial, "positions")
    if (frames, n) != (n_frames, n_starts):
        raise FormatError("the positions are damaged")
    body = _bytes(sections["shapes"])
    room = min(n_digis, 16 * len(body) + n_starts + 1024)
    while True:
        row, col = np.empty(room, np.uint16), np.empty(room, np.uint16)
        digi_offsets = np.zeros(n_frames + 1, np.int64)
        n = code_shapes(
            True, body, layout, module, offsets, starts, digi_offsets, row, col,
            state.tables["shapes"], state.weights["shapes"],
        )  # fmt: skip
        if n != -2 or room == n_digis:
            break
        room = min(n_digis, 8 * room)
        state.reset(initial, "shapes")
    if n != n_digis:
        raise FormatError("the cluster shapes are damaged")
    return Hits(event, module, digi_offsets, row, col)


def encode_values(
    layout: Layout, hits: Hits, values: Array, top: int, initial: Probabilities
) -> tuple[Section, Probabilities]:
    """The section of values from 0 to `top`, in the order of `hits`, and the state it leaves."""
    state = initial.copy()

    def run(buf: Array) -> int:
        state.reset(initial, "values", "plain")
        return _code_values(False, buf, layout, hits, values, top, state)

    return _write(3 * len(values) + 64, run), state


def decode_values(
    layout: Layout, hits: Hits, section: Section, top: int, initial: Probabilities
) -> Array:
    """The values that `encode_values` wrote: uint16[digis].

    Raises
    ------
    FormatError
        If the section is damaged.
    """
    values = np.zeros(len(hits.row), np.uint16)
    if _code_values(True, _bytes(section), layout, hits, values, top, initial.copy()) < 0:
        raise FormatError("the values are damaged")
    return values


def _code_values(
    reading: bool,
    buf: Array,
    layout: Layout,
    hits: Hits,
    values: Array,
    top: int,
    state: Probabilities,
) -> int:
    return code_values(
        reading, buf, layout, hits.module, hits.offsets, hits.row, hits.col, values, state.bits,
        top, state.tables["values"], state.weights["values"], state.tables["plain"],
    )  # fmt: skip


def encode_numbers(numbers: Array) -> Section:
    """A section of a few numbers from 0 to 2^30 without context."""
    values = numbers.astype(np.int64)
    return _write(8 * len(values) + 64, lambda buf: _code_numbers(False, buf, values))


def decode_numbers(section: Section, n: int) -> Array:
    """The numbers that `encode_numbers` wrote: int64[n].

    Raises
    ------
    FormatError
        If the section is damaged.
    """
    values = np.zeros(n, np.int64)
    if _code_numbers(True, _bytes(section), values) < 0:
        raise FormatError("the explicit counts are damaged")
    return values


@njit(cache=True, nogil=True)
def _code_numbers(reading, buf, values):  # type: ignore[no-untyped-def]
    state = start(reading, buf)
    table = np.full(512, FRESH, np.uint32)
    for i in range(len(values)):
        values[i], state = code_count(state, reading, buf, values[i], table, 0)
        if values[i] < 0 or (reading and overrun(state, buf)):
            return -1
    return 0 if reading else finish(state, buf)


def encode_flags(flags: Array) -> Section:
    """A section of one bit a digi, cheap where neighbours agree."""
    bits = flags.astype(np.uint8)
    return _write(len(bits) + 64, lambda buf: _code_flags(False, buf, bits))


def decode_flags(section: Section, n: int) -> Array:
    """The bits that `encode_flags` wrote: bool[n].

    Raises
    ------
    FormatError
        If the section is damaged.
    """
    bits = np.zeros(n, np.uint8)
    if _code_flags(True, _bytes(section), bits) < 0:
        raise FormatError("the flags are damaged")
    return bits.astype(bool)


@njit(cache=True, nogil=True)
def _code_flags(reading, buf, bits):  # type: ignore[no-untyped-def]
    """Write or read one bit a digi; the one before is the context."""
    state = start(reading, buf)
    table = np.full(2, FRESH, np.uint32)
    bit = 0
    for i in range(len(bits)):
        bit, state = code_simple(state, reading, buf, np.int64(bits[i]), table, np.uint64(bit))
        bits[i] = bit
    if reading:
        return -1 if overrun(state, buf) else 0
    return finish(state, buf)
