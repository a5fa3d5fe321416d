"""How clusters grow: is a pixel next to earlier hits of its cluster hit too?

Only pixels with a hit among their four earlier neighbours are asked (`positions` has the rest),
about three for each digi. The answer depends on the pattern of hits around, on how far the cluster
has come along the columns against the length that its angle makes likely, on the layer and on
double-size pixels; five such contexts are mixed.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from pixlab.coding.rangecoder import INPUTS, code_mixed, finish, overrun, start

__all__ = ["SHAPE_ROWS", "SHAPE_SLOTS", "code_shapes"]

SHAPE_ROWS = 16
_SIZE = 20480  # slots of one input
SHAPE_SLOTS = INPUTS * _SIZE
_PAD = 6


@njit(cache=True, nogil=True)
def _slots(grid, at, stride, c, r, length, layer, long, slots):  # type: ignore[no-untyped-def]
    """Fill in the contexts of the pixel `at`; return the row of mixing weights."""
    before = at - stride
    above = grid[at - 1]
    b_up, b_at, b_down = grid[before - 1], grid[before], grid[before + 1]
    near = (above > 0) | (b_up > 0) << 1 | (b_at > 0) << 2 | (b_down > 0) << 3
    come = max(b_up, b_at, b_down)  # columns that the cluster has behind it
    run = 0
    while run < 3 and grid[at - 1 - run] > 0:
        run += 1
    up = 0
    while up < 3 and grid[before - 1 - up] > 0:
        up += 1
    down = 0
    while down < 3 and grid[before + 1 + down] > 0:
        down += 1
    two = before - stride
    second = (grid[two - 1] > 0) | (grid[two] > 0) << 1 | (grid[two + 1] > 0) << 2
    wide = (grid[before - 2] > 0) | (grid[before + 2] > 0) << 1
    wider = wide | (grid[two - 2] > 0) << 2 | (grid[two + 2] > 0) << 3
    three = two - stride
    third = (grid[three - 1] > 0) | (grid[three] > 0) << 1 | (grid[three + 1] > 0) << 2
    expected = min(length >> 4, 15)
    left = min(max((length >> 4) - come + 4, 0), 19)
    slots[0] = (near * 16 + min(come, 15)) * 16 + expected
    slots[1] = _SIZE + ((near * 8 + second) * 16 + wider) * 8 + (expected >> 1)
    slots[2] = 2 * _SIZE + (((near * 4 + run) * 4 + down) * 4 + up) * 20 + left
    slots[3] = 3 * _SIZE + (((near * 8 + layer) * 4 + long) * 4 + run) * 3 + min(come, 2)
    slots[4] = 4 * _SIZE + (((near * 8 + second) * 8 + third) * 4 + run) * 4 + wide
    return near


@njit(cache=True, nogil=True)
def code_shapes(  # type: ignore[no-untyped-def]
    reading, buf, layout, module, start_offsets, starts, offsets, row, col, table, weights
):
    """Write or read the digis of frames whose starts are known.

    ``row``, ``col`` are in column order and ``offsets`` has the first digi of each frame; reading
    fills them. Returns the bytes written or digis read; -1 for damaged bytes, -2 where `row` is too small.
    """
    state = start(reading, buf)
    stride = np.int64(layout.long_row.shape[1] + 2 * _PAD)
    grid = np.zeros((layout.long_col.shape[1] + 4) * stride, np.int16)
    slots = np.empty(INPUTS, np.uint64)
    scratch = np.empty(INPUTS, np.int64)
    capacity = len(row)
    n = np.int64(0)
    for f in range(len(module)):
        m = module[f]
        height, width = np.int64(layout.rows[m]), np.int64(layout.cols[m])
        first_length = np.int64(layout.length[m, 0])
        more_length = np.int64(layout.length[m, 1]) - first_length
        layer, sensor = np.int64(layout.layer[m]), layout.sensor[m]
        s, s_end = start_offsets[f], start_offsets[f + 1]
        first = before = before_end = n
        c = np.int64(-1)
        damaged = False
        while not damaged:
            if before_end > before:
                c += 1
            elif s < s_end:
                c = starts[s] // height
            else:
                break
            if c >= width:
                break
            begin = n
            base = (c + 3) * stride + _PAD
            length = abs(first_length + more_length * c // width)
            long_col = np.int64(layout.long_col[sensor, c])
            r = np.int64(0)
            p = before
            while True:
                asked = height
                if n > begin and row[n - 1] + 1 == r:
                    asked = r
                else:
                    while p < before_end and row[p] + 1 < r:
                        p += 1
                    if p < before_end:
                        asked = max(r, np.int64(row[p]) - 1)
                begins = height
                if s < s_end and starts[s] < (c + 1) * height:
                    begins = starts[s] - c * height
                    if begins < r or begins == asked:
                        damaged = True
                        break
                if begins < asked:
                    r = begins
                    hit = 1
                    s += 1
                elif asked < height:
                    r = asked
                    hit = 0
                    if not reading:
                        hit = np.int64(n < offsets[f + 1] and row[n] == r and col[n] == c)
                    long = long_col + 2 * np.int64(layout.long_row[sensor, r])
                    near = _slots(grid, base + r, stride, c, r, length, layer, long, slots)
                    hit, state = code_mixed(
                        state, reading, buf, hit, table, slots, weights, near, scratch
                    )
                else:
                    break
                if hit:
                    if reading:
                        if n >= capacity:
                            return -2
                        row[n] = r
                        col[n] = c
                    at = base + r
                    come = max(grid[at - stride - 1], grid[at - stride], grid[at - stride + 1]) + 1
                    grid[at] = min(max(come, grid[at - 1]), 1000)
                    n += 1
                r += 1
                if r >= height:
                    break
            before, before_end = begin, n
            if reading and overrun(state, buf):
                damaged = True
        if damaged or s != s_end:
            return -1
        for i in range(first, n):
            grid[(np.int64(col[i]) + 3) * stride + _PAD + row[i]] = 0
        if reading:
            offsets[f + 1] = n
    return n if reading else finish(state, buf)
