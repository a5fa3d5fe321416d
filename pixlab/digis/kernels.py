"""Compiled loops over digis: their ranges and their order."""

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = ["FINE", "OUT_OF_ORDER", "OUT_OF_RANGE", "arrange", "examine"]

FINE, OUT_OF_ORDER, OUT_OF_RANGE = 0, 1, 2
_INSERTION = 24  # longer runs are sorted by counting,
_SPARSE = 32  # unless they have so many times fewer digis than rows or columns


@njit(cache=True, nogil=True)
def examine(frames, module, rows, cols, adc_max, row, col, adc):  # type: ignore[no-untyped-def]
    """Whether digis are in range and, inside each frame, in order.

    Parameters
    ----------
    frames : int64[frames + 1]
        First digi of each group of digis of one module in one event.
    module : int32[frames]
        Index into `rows` and `cols`.
    rows, cols : uint16[modules]
        Size of each module.
    adc_max : int
        Largest count.
    row, col, adc : uint16[n]
        The digis.

    Returns
    -------
    int
        What is wrong with the first digi that is out of range or order, or FINE. A pixel that occurs
        twice is out of order.
    """
    for f in range(len(module)):
        most_rows, most_cols = rows[module[f]], cols[module[f]]
        before = np.int64(-1)
        for i in range(frames[f], frames[f + 1]):
            if row[i] >= most_rows or col[i] >= most_cols or adc[i] > adc_max:
                return OUT_OF_RANGE
            pixel = np.int64(row[i]) << 16 | np.int64(col[i])
            if pixel <= before:
                return OUT_OF_ORDER
            before = pixel
    return FINE


@njit(cache=True, nogil=True)
def arrange(frames, module, rows, cols, adc_max, row, col, adc, flag):  # type: ignore[no-untyped-def]
    """Sort the digis of each frame by row and column, in place.

    Parameters
    ----------
    frames, module, rows, cols, adc_max, row, col, adc
        As of `examine`.
    flag : bool[n] or bool[0]
        Flags of the digis, if there are any.

    Returns
    -------
    state : int
        FINE, OUT_OF_RANGE, or OUT_OF_ORDER where a pixel occurs twice.
    twice : int
        The second digi of the first pixel that does, in the new order.
    """
    largest = 0
    for f in range(len(module)):
        largest = max(largest, frames[f + 1] - frames[f])
    keys, spare = np.empty(largest, np.uint64), np.empty(largest, np.uint64)
    bins = np.zeros((1 << 16) + 1, np.int32)
    twice = -1
    for f in range(len(module)):
        begin = frames[f]
        n = frames[f + 1] - begin
        most_rows, most_cols = rows[module[f]], cols[module[f]]
        # columns in order, as CMS writes digis, leave only the rows to be sorted
        rising, cols_rising = True, True
        before, col_before = np.uint64(0), np.uint16(0)
        for i in range(n):
            r, c, a = row[begin + i], col[begin + i], adc[begin + i]
            if r >= most_rows or c >= most_cols or a > adc_max:
                return OUT_OF_RANGE, begin + i
            key = np.uint64(r) << np.uint64(33) | np.uint64(c) << np.uint64(17) | np.uint64(a) << np.uint64(1)  # fmt: skip
            if len(flag):
                key |= np.uint64(flag[begin + i])
            keys[i] = key
            rising &= i == 0 or key > before
            cols_rising &= c >= col_before
            before, col_before = key, c
        if not rising:
            if n <= _INSERTION or max(most_rows, most_cols) > _SPARSE * n:
                _shell(keys, n)
            else:
                if not cols_rising:
                    _by_count(keys, n, 17, most_cols, spare, bins)
                _by_count(keys, n, 33, most_rows, spare, bins)
        pixel_before = keys[0] >> np.uint64(17)
        for i in range(1, n):
            pixel = keys[i] >> np.uint64(17)
            if pixel == pixel_before and twice < 0:
                twice = begin + i
            pixel_before = pixel
        if rising:
            continue
        for i in range(n):
            key = keys[i]
            row[begin + i] = key >> np.uint64(33)
            col[begin + i] = key >> np.uint64(17) & np.uint64(0xFFFF)
            adc[begin + i] = key >> np.uint64(1) & np.uint64(0xFFFF)
            if len(flag):
                flag[begin + i] = key & np.uint64(1)
    return (FINE if twice < 0 else OUT_OF_ORDER), twice


@njit(cache=True, nogil=True)
def _shell(keys, n):  # type: ignore[no-untyped-def]
    """Sort keys[:n] by insertion over shrinking gaps."""
    gap = 1
    while gap < n // _INSERTION:
        gap = 3 * gap + 1
    while gap > 0:
        for i in range(gap, n):
            key = keys[i]
            j = i
            while j >= gap and keys[j - gap] > key:
                keys[j] = keys[j - gap]
                j -= gap
            keys[j] = key
        gap //= 3


@njit(cache=True, nogil=True)
def _by_count(keys, n, shift, limit, spare, bins):  # type: ignore[no-untyped-def]
    """Sort keys[:n] by 16 of their bits, all of them below `limit`; equal ones stay in order."""
    down, mask = np.uint64(shift), np.uint64(0xFFFF)
    bins[: limit + 1] = 0
    for i in range(n):
        spare[i] = keys[i]
        bins[(keys[i] >> down & mask) + np.uint64(1)] += 1
    for b in range(limit):
        bins[b + 1] += bins[b]
    for i in range(n):
        place = spare[i] >> down & mask
        keys[bins[place]] = spare[i]
        bins[place] += 1
