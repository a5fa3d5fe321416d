"""The value of each digi (adc count, level, index of a codeword), given the whole hit map.

A value is one symbol, or two where there are more than 256: the upper bits in a context, the lower
bits given the upper ones. A tree chooses the context from the pattern of hits around, the angle, the
layer, double-size pixels, and those of the neighbours whose values are known: the ones before in
the row and in the row above. The few values beyond the range that `learn` saw are listed apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pixlab.coding.bits import bit_length, count_ones, kernel, trailing_zeros
from pixlab.coding.contexts import Look, features_of, first_context, joint_look, plain_looks
from pixlab.coding.hits import Hits
from pixlab.coding.layout import Layout
from pixlab.coding.numbers import decode_numbers, encode_numbers
from pixlab.coding.rans import (
    NO_STEPS,
    NO_WORDS,
    Section,
    drained,
    get,
    open_words,
    start_reading,
    step_of,
    write,
)
from pixlab.coding.symbols import Symbols
from pixlab.errors import FormatError

__all__ = ["ValueCoder"]

_LEFT = 8  # columns of margin in a row of bits
_MIDDLE = 128  # of a signed number in a byte
_WRITE, _READ, _DESCRIBE = 0, 1, 2
_U64 = np.uint64

Array = NDArray[Any]


def _pattern_look() -> Look:
    """Direct neighbours: above and below, both corners above, both below.

    Bits of the index: the three above from left to right, left, right, the three below.
    """
    i = np.arange(256)
    bits = [i >> k & 1 for k in range(8)]
    pairs = [(1, 6), (0, 2), (5, 7)]
    return np.stack([bits[a] | bits[b] << 1 for a, b in pairs]).astype(np.uint8)


def _sides_look() -> Look:
    """Hits in a row to the left and to the right, each at most 5, and both together."""
    left, right = joint_look(6, 6)
    return np.stack([left, right, left + right])


def _edges_look() -> Look:
    """Pixels two rows above and below; which sides are double-size here and at the neighbours.

    Bits of the index: two above, two below, then three of the column and three of the row
    (`Layout`).
    """
    i = np.arange(256)
    bits = [i >> k & 1 for k in range(8)]
    return np.stack(
        [
            bits[0] | bits[1] << 1,
            bits[2] | bits[5] << 1,
            bits[3] | bits[4] << 1 | bits[6] << 2 | bits[7] << 3,
        ]
    ).astype(np.uint8)


VALUE_LOOKS = (
    joint_look(8, 2),  # layer, facing
    joint_look(256),  # rows that a track crosses
    joint_look(256),  # columns that a track crosses
    _pattern_look(),
    _sides_look(),
    _edges_look(),
    joint_look(34, 32),  # hits within 5 columns and 1 row, within 2 columns and 2 rows
    joint_look(16, 16),  # hits within 5 columns in the row above, in the row below
    # values already known, plus one, 0 for none: left, largest of three above, largest of all,
    # mean of left and above, above
    *plain_looks(5),
)
_AT = [int(v) for v in np.cumsum([0] + [2 * look.shape[1] for look in VALUE_LOOKS])]
_AT_MODULE, _AT_SLANT, _AT_TRACK, _AT_PATTERN, _AT_SIDES, _AT_EDGES, _AT_COUNTS, _AT_ROWS = _AT[:8]
_AT_W, _AT_MOST, _AT_ALL, _AT_MEAN, _AT_N = _AT[8:-1]
_NO_LOG = np.empty((0, len(VALUE_LOOKS)), np.uint16)


class ValueCoder:
    """A way to code the values of hits, from what `learn` left in a model.

    Parameters
    ----------
    name : str
        What the values are; the arrays of the model begin with it.
    layout : Layout
        Of the detector.
    arrays : mapping of str to array
        Of the model.
    top : int
        The largest value that there may be, below 65536.

    Raises
    ------
    FormatError
        If arrays are missing or damaged.
    """

    def __init__(self, name: str, layout: Layout, arrays: Mapping[str, Array], top: int) -> None:
        self.name, self.layout, self.top = name, layout, top
        reach = arrays.get(f"{name}.reach")
        if reach is None or reach.shape != (1,) or reach.dtype != np.uint16 or reach[0] == 0:
            raise FormatError(f"array '{name}.reach' of the model is missing or damaged")
        self._reach = int(reach[0])  # the largest value that is coded without being an exception
        self._symbols = Symbols(name, arrays, VALUE_LOOKS, self._reach + 1)

    @staticmethod
    def needs(name: str) -> tuple[str, ...]:
        """Arrays that a model must have."""
        return (f"{name}.reach", *Symbols.needs(name))

    @staticmethod
    def learn(
        name: str, layout: Layout, hits: Hits, values: Array, top: int, *, reuse: float = np.inf
    ) -> dict[str, Array]:
        """The arrays of a model that suits these values; `reuse` as in `Symbols.learn`."""
        reach = max(min(top, max(int(values.max(initial=0)), 255)), 1)
        arrays = {f"{name}.reach": np.array([reach], np.uint16)}
        coder = ValueCoder(name, layout, arrays | Symbols.blank(name, reach + 1), top)
        log = np.empty((len(values), len(VALUE_LOOKS)), np.uint16)
        coder._run(_DESCRIBE, hits, values.astype(np.uint16), log=log)
        features = features_of(VALUE_LOOKS, log)
        return arrays | Symbols.learn(name, features, values, reach + 1, reuse=reuse)

    def encode(self, hits: Hits, values: Array) -> bytes:
        """The section of values from 0 to `top`: int[digis], in the order of `hits`."""
        head = b""
        values = values.astype(np.uint16)
        if self._reach < self.top:
            beyond = np.flatnonzero(values > self._reach)
            said = np.stack([np.diff(beyond, prepend=-1) - 1, values[beyond] - self._reach - 1])
            listed = encode_numbers(said.T.ravel()) if len(beyond) else b""
            head = np.array([len(beyond), len(listed)], "<u4").tobytes() + listed
            values = np.minimum(values, self._reach).astype(np.uint16)
        steps = np.empty(len(values) * (2 if self._symbols.shift else 1), np.uint32)
        self._run(_WRITE, hits, values, steps=steps)
        return Section.of(head, write(steps))

    def decode(self, hits: Hits, section: bytes) -> NDArray[np.uint16]:
        """The values that `encode` wrote: uint16[digis].

        Raises
        ------
        FormatError
            If the section is damaged.
        """
        n = len(hits.row)
        damaged = FormatError(f"the section of '{self.name}' is damaged")
        at, beyond, more = 0, np.zeros(0, np.int64), np.zeros(0, np.int64)
        if self._reach < self.top:
            if len(section) < 8:
                raise damaged
            count, size = (int(v) for v in np.frombuffer(section[:8], "<u4"))
            at = 8 + size
            if count > n or at > len(section):
                raise damaged
            beyond, more = decode_numbers(section[8:at], 2 * count).reshape(count, 2).T
            beyond = np.cumsum(beyond + 1) - 1
            if count and (beyond[-1] >= n or self._reach + 1 + more.max() > self.top):
                raise damaged
        values = np.empty(n, np.uint16)
        if not self._run(_READ, hits, values, words=open_words(section[at:])):
            raise damaged
        if values.max(initial=0) > self._reach:
            raise damaged
        values[beyond] = self._reach + 1 + more
        return values

    def _run(
        self,
        mode: int,
        hits: Hits,
        values: NDArray[np.uint16],
        *,
        words: Array = NO_WORDS,
        steps: Array = NO_STEPS,
        log: Array = _NO_LOG,
    ) -> bool:
        rows, cols = int(self.layout.rows.max()), int(self.layout.cols.max())
        stride = (cols + 2 * _LEFT) // 64 + 2
        grid = np.zeros((rows + 4) * stride, np.uint64)
        known = np.zeros((rows + 1) * (cols + 2), np.uint8)
        return _code_values(
            mode, self.layout, hits.module, hits.offsets, hits.row, hits.col, values,
            self._symbols.shift, self._symbols.masks, self._symbols.tables, self._symbols.lower, words, steps, grid, stride, known,
            cols + 2, log,
        )  # fmt: skip


@njit(inline="always")
def _window(grid, row, col):  # type: ignore[no-untyped-def]
    """Hits of a row of bits at columns col - 5 to col + 5, as bits 0 to 10."""
    place = col + _U64(_LEFT - 5)
    word, part = row + (place >> _U64(6)), place & _U64(63)
    above = (grid[word + _U64(1)] << _U64(1)) << (_U64(63) - part)
    return (grid[word] >> part | above) & _U64(0x7FF)


@njit(inline="always")
def _meet(possible, masks, at):  # type: ignore[no-untyped-def]
    """The contexts that are possible in the light of one more look."""
    return possible[0] & masks[at], possible[1] & masks[at + _U64(1)]


@kernel
def _code_values(  # type: ignore[no-untyped-def]
    mode, layout, module, offsets, row, col, values, shift, masks, tables, lower, words, steps,
    grid, stride, known, width, log,
):  # fmt: skip
    """Write (mode 0), read (1) or describe (2) `values` of digis; false for damaged bytes.

    ``grid`` has a bit a pixel, rows of `stride` words; ``known`` the upper part of each value that
    was coded, plus one, rows of `width`: only those of hits are looked at. Both are scratch.
    Describing fills `log` with the indices of looks.
    """
    reading = mode == 1
    state = start_reading(words)
    stride, width = _U64(stride), _U64(width)
    one, two, three, four, five, six = _U64(1), _U64(2), _U64(3), _U64(4), _U64(5), _U64(6)
    inner = _U64(31)
    n = 0
    for f in range(len(module)):
        m = module[f]
        slope, slant = np.int64(layout.slopes[m, 0]), np.int64(layout.slopes[m, 2])
        slope_step = ((np.int64(layout.slopes[m, 1]) - slope) << 16) // np.int64(layout.cols[m])
        slant_step = ((np.int64(layout.slopes[m, 3]) - slant) << 16) // np.int64(layout.rows[m])
        sensor = _U64(layout.sensor[m])
        of_module = _U64(layout.layer[m]) << one | _U64(layout.slopes[m, 4])
        in_module = _meet((~_U64(0), ~_U64(0)), masks, _U64(_AT_MODULE) + two * of_module)
        for i in range(_U64(offsets[f]), _U64(offsets[f + 1])):
            place = _U64(col[i]) + _U64(_LEFT)
            grid[(_U64(row[i]) + two) * stride + (place >> six)] |= one << (place & _U64(63))
        for i in range(_U64(offsets[f]), _U64(offsets[f + 1])):
            r, c = _U64(row[i]), _U64(col[i])
            base = (r + two) * stride
            here = _window(grid, base, c)
            up, down = _window(grid, base - stride, c), _window(grid, base + stride, c)
            up2, down2 = (
                _window(grid, base - two * stride, c),
                _window(grid, base + two * stride, c),
            )
            right = trailing_zeros(~(here >> six))
            left = five - bit_length(~here & inner)
            n_up, n_down = count_ones(up), count_ones(down)
            near = (
                (here >> three) & inner | ((up >> three) & inner) << five
                | ((down >> three) & inner) << _U64(10) | ((up2 >> three) & inner) << _U64(15)
                | ((down2 >> three) & inner) << _U64(20)
            )  # fmt: skip
            slanted = slant + (slant_step * np.int64(r) >> 16) + _MIDDLE
            slanted = _U64(min(max(slanted, 0), 255))
            track = _U64(min(abs(slope + (slope_step * np.int64(c) >> 16)) >> 2, 255))
            pattern = (
                (up >> four) & _U64(7) | ((here >> four) & one) << three
                | ((here >> six) & one) << four | ((down >> four) & _U64(7)) << five
            )  # fmt: skip
            sides = left * six + right
            edges = (
                (up2 >> five) & one | ((down2 >> five) & one) << one
                | _U64(layout.edge_col[sensor, c]) << two | _U64(layout.edge_row[sensor, r]) << five
            )  # fmt: skip
            counts = (count_ones(here) + n_up + n_down) << five | count_ones(near)
            rows = n_up << four | n_down
            # values of neighbours, 0 where there is none
            at = (r + one) * width + c + one
            above = at - width
            w = _U64(known[at - one]) * ((here >> four) & one)
            nw = _U64(known[above - one]) * ((up >> four) & one)
            nn = _U64(known[above]) * ((up >> five) & one)
            ne = _U64(known[above + one]) * ((up >> six) & one)
            most = max(nn, max(nw, ne))
            possible = _meet(in_module, masks, _U64(_AT_SLANT) + two * slanted)
            possible = _meet(possible, masks, _U64(_AT_TRACK) + two * track)
            possible = _meet(possible, masks, _U64(_AT_PATTERN) + two * pattern)
            possible = _meet(possible, masks, _U64(_AT_SIDES) + two * sides)
            possible = _meet(possible, masks, _U64(_AT_EDGES) + two * edges)
            possible = _meet(possible, masks, _U64(_AT_COUNTS) + two * counts)
            possible = _meet(possible, masks, _U64(_AT_ROWS) + two * rows)
            possible = _meet(possible, masks, _U64(_AT_MOST) + two * most)
            possible = _meet(possible, masks, _U64(_AT_N) + two * nn)
            possible = _meet(possible, masks, _U64(_AT_W) + two * w)
            possible = _meet(possible, masks, _U64(_AT_ALL) + two * max(w, most))
            possible = _meet(possible, masks, _U64(_AT_MEAN) + two * ((w + nn) >> one))
            context = first_context(possible[0], possible[1])
            if reading:
                symbol, state = get(state, words, tables, context)
                value = symbol
                if shift:
                    part, state = get(state, words, lower, symbol)
                    value = symbol << shift | part
                values[i] = value
            else:
                symbol = np.int64(values[i]) >> shift
                if mode == 0:
                    steps[n] = step_of(tables, context, symbol)
                    n += 1
                    if shift:
                        steps[n] = step_of(lower, symbol, np.int64(values[i]) & ((1 << shift) - 1))
                        n += 1
                else:
                    log[i, 0], log[i, 1], log[i, 2], log[i, 3] = of_module, slanted, track, pattern
                    log[i, 4], log[i, 5], log[i, 6], log[i, 7] = sides, edges, counts, rows
                    log[i, 8], log[i, 9], log[i, 10] = w, most, max(w, most)
                    log[i, 11], log[i, 12] = (w + nn) >> one, nn
            known[at] = min(symbol + 1, 255)
        for i in range(_U64(offsets[f]), _U64(offsets[f + 1])):
            grid[(_U64(row[i]) + two) * stride + ((_U64(col[i]) + _U64(_LEFT)) >> six)] = _U64(0)
    return drained(state, words) if reading else True
