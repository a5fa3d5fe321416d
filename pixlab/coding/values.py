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
from pixlab.coding.contexts import context_of
from pixlab.coding.frequencies import restore, smoothed, store
from pixlab.coding.hits import Hits
from pixlab.coding.layout import Layout
from pixlab.coding.numbers import decode_numbers, encode_numbers
from pixlab.coding.rans import (
    NO_STEPS,
    NO_WORDS,
    drained,
    get,
    open_words,
    start_reading,
    step_of,
    write,
)
from pixlab.coding.symbols import MAX_SYMBOLS, Symbols
from pixlab.errors import FormatError

__all__ = ["ValueCoder"]

VALUE_FEATURES = 22
_LEFT = 8  # columns of margin in a row of bits
_WRITE, _READ, _DESCRIBE = 0, 1, 2
_U64 = np.uint64

Array = NDArray[Any]
_NO_FEATURES = np.empty((0, VALUE_FEATURES), np.uint8)


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
        shift = arrays.get(f"{name}.shift")
        if shift is None or shift.shape != (1,) or shift.dtype != np.uint8 or shift[0] > 8:
            raise FormatError(f"array '{name}.shift' of the model is missing or damaged")
        self._shift = int(shift[0])
        self._n_symbols = _symbols(top, self._shift)
        self._upper = Symbols(name, arrays, VALUE_FEATURES, self._n_symbols)
        self._lower = self._upper.tables
        if self._shift:
            if f"{name}.lower" not in arrays:
                raise FormatError(f"the model has no array '{name}.lower'")
            self._lower = restore(arrays[f"{name}.lower"], self._n_symbols, 1 << self._shift)

    @property
    def _reach(self) -> int:
        """The largest value that is coded without being an exception."""
        return min(self.top, (self._n_symbols << self._shift) - 1)

    @staticmethod
    def learn(
        name: str, layout: Layout, hits: Hits, values: Array, top: int, *, reuse: float = np.inf
    ) -> dict[str, Array]:
        """The arrays of a model that suits these values; `reuse` as in `contexts.grow`."""
        largest = int(values.max(initial=0))
        shift = max(largest.bit_length() - 8, 0)
        n_symbols = _symbols(top, shift)
        arrays = {f"{name}.shift": np.array([shift], np.uint8)} | Symbols.blank(name, n_symbols)
        if shift:
            arrays[f"{name}.lower"] = np.zeros((n_symbols, 1 << shift), np.uint8)
        coder = ValueCoder(name, layout, arrays, top)
        features = np.empty((len(values), VALUE_FEATURES), np.uint8)
        coder._run(_DESCRIBE, hits, values.astype(np.uint16), features=features)
        upper = values.astype(np.int64) >> shift
        arrays |= Symbols.learn(name, features, upper, n_symbols, reuse=reuse)
        if shift:
            lower = values.astype(np.int64) & ((1 << shift) - 1)
            arrays[f"{name}.lower"] = store(smoothed(upper, lower, (n_symbols, 1 << shift)))
        return arrays

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
        steps = np.empty(len(values) * (2 if self._shift else 1), np.uint32)
        self._run(_WRITE, hits, values, steps=steps)
        return head + write(steps)

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
        features: Array = _NO_FEATURES,
    ) -> bool:
        rows, cols = int(self.layout.rows.max()), int(self.layout.cols.max())
        stride = (cols + 2 * _LEFT) // 64 + 2
        grid = np.zeros((rows + 4) * stride, np.uint64)
        known = np.zeros((rows + 1) * (cols + 2), np.uint8)
        return _code_values(
            mode, self.layout, hits.module, hits.offsets, hits.row, hits.col, values, self._shift,
            self._upper.chooser, self._upper.tables, self._lower, words, steps,
            np.zeros(VALUE_FEATURES, np.uint8), grid, stride, known, cols + 2, features,
        )  # fmt: skip


def _symbols(top: int, shift: int) -> int:
    return max(min((top >> shift) + 1, MAX_SYMBOLS), 2)


@njit(inline="always")
def _window(grid, row, col):  # type: ignore[no-untyped-def]
    """Hits of a row of bits at columns col - 5 to col + 5, as bits 0 to 10."""
    place = col + _U64(_LEFT - 5)
    word, part = row + (place >> _U64(6)), place & _U64(63)
    above = (grid[word + _U64(1)] << _U64(1)) << (_U64(63) - part)
    return (grid[word] >> part | above) & _U64(0x7FF)


@njit(inline="always")
def _look_around(x, grid, stride, r, c):  # type: ignore[no-untyped-def]
    """Fill in the features of the pattern of hits around (r, c)."""
    one, two, three = _U64(1), _U64(2), _U64(3)
    base = (r + two) * stride
    here = _window(grid, base, c)
    up, down = _window(grid, base - stride, c), _window(grid, base + stride, c)
    up2, down2 = _window(grid, base - two * stride, c), _window(grid, base + two * stride, c)
    right = trailing_zeros(~(here >> _U64(6)))
    left = _U64(5) - bit_length(~here & _U64(31))
    x[0] = right
    x[1] = left
    x[2] = left + right
    x[3] = (up >> _U64(5)) & one | (down >> _U64(4)) & two
    x[4] = (up >> _U64(4)) & one | (up >> _U64(5)) & two
    x[5] = (down >> _U64(4)) & one | (down >> _U64(5)) & two
    x[6] = (up2 >> _U64(5)) & one | (down2 >> _U64(4)) & two
    n_up, n_down = count_ones(up), count_ones(down)
    x[7] = count_ones(here) + n_up + n_down
    x[8] = n_up
    x[9] = n_down
    inner = _U64(31)
    x[10] = count_ones(
        (here >> three) & inner
        | ((up >> three) & inner) << _U64(5)
        | ((down >> three) & inner) << _U64(10)
        | ((up2 >> three) & inner) << _U64(15)
        | ((down2 >> three) & inner) << _U64(20)
    )
    return left, up


@kernel
def _code_values(  # type: ignore[no-untyped-def]
    mode, layout, module, offsets, row, col, values, shift, chooser, tables, lower, words, steps,
    x, grid, stride, known, width, features,
):  # fmt: skip
    """Write (mode 0), read (1) or describe (2) `values` of digis; false for damaged bytes.

    ``grid`` has a bit a pixel, rows of `stride` words; ``known`` the upper part of each value that
    was coded, plus one, rows of `width`: only those of hits are looked at. Both are scratch, as is
    ``x``. Describing fills `features`.
    """
    reading = mode == 1
    state = start_reading(words)
    stride, width = _U64(stride), _U64(width)
    one = _U64(1)
    n = 0
    for f in range(len(module)):
        m = module[f]
        height, cols = np.int64(layout.rows[m]), np.int64(layout.cols[m])
        slope, slope_end = np.int64(layout.slopes[m, 0]), np.int64(layout.slopes[m, 1])
        slant, slant_end = np.int64(layout.slopes[m, 2]), np.int64(layout.slopes[m, 3])
        sensor = np.int64(layout.sensor[m])
        x[12] = layout.layer[m]
        x[15] = layout.slopes[m, 4]
        for i in range(offsets[f], offsets[f + 1]):
            place = _U64(col[i]) + _U64(_LEFT)
            grid[(_U64(row[i]) + _U64(2)) * stride + (place >> _U64(6))] |= one << (place & _U64(63))
        for i in range(offsets[f], offsets[f + 1]):
            r, c = _U64(row[i]), _U64(col[i])
            left, up = _look_around(x, grid, stride, r, c)
            track = slope + (slope_end - slope) * np.int64(c) // cols
            x[11] = min(abs(track) >> 2, 255)
            x[13] = min(max(slant + (slant_end - slant) * np.int64(r) // height + 128, 0), 255)
            x[14] = layout.long_col[sensor, c + one] | layout.long_row[sensor, r + one] << 1
            x[16] = (
                layout.long_col[sensor, c] | layout.long_col[sensor, c + _U64(2)] << 1
                | layout.long_row[sensor, r] << 2 | layout.long_row[sensor, r + _U64(2)] << 3
            )  # fmt: skip
            # values of neighbours, 0 where there is none
            at = (r + one) * width + c + one
            above = at - width
            w = _U64(known[at - one]) if left else _U64(0)
            nw = _U64(known[above - one]) * ((up >> _U64(4)) & one)
            nn = _U64(known[above]) * ((up >> _U64(5)) & one)
            ne = _U64(known[above + one]) * ((up >> _U64(6)) & one)
            most = max(nn, max(nw, ne))
            x[17] = w
            x[18] = most
            x[19] = max(w, most)
            x[20] = (w + nn) >> one
            x[21] = nn
            if mode == 2:
                for j in range(VALUE_FEATURES):
                    features[i, j] = x[j]
                symbol = np.int64(values[i]) >> shift
            elif reading:
                symbol, state = get(state, words, tables, context_of(x, chooser))
                value = symbol
                if shift:
                    part, state = get(state, words, lower, symbol)
                    value = symbol << shift | part
                values[i] = value
            else:
                symbol = np.int64(values[i]) >> shift
                steps[n] = step_of(tables, context_of(x, chooser), symbol)
                n += 1
                if shift:
                    steps[n] = step_of(lower, symbol, np.int64(values[i]) & ((1 << shift) - 1))
                    n += 1
            known[at] = min(symbol + 1, 255)
        for i in range(offsets[f], offsets[f + 1]):
            grid[(_U64(row[i]) + _U64(2)) * stride + ((_U64(col[i]) + _U64(_LEFT)) >> _U64(6))] = 0
    return drained(state, words) if reading else True
