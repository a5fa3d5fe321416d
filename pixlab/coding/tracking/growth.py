"""How clusters grow from their roots: is this pixel hit too?

Pixels are taken column by column. A *root* is a run of hits in a column that touches no hit of the
column before, corners counting; it is known by its first pixel. All other hits are found by
questions: about each pixel below a hit, and about each next to hits of the column before; and when
such a pixel is hit, about those above it, until one is not. What makes an answer likely is the
pattern around, how far the cluster has come along its track, where the track would be in this
column if one was predicted, the kind of module, and double-size pixels.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from pixlab.coding.tracking.mixing import code_mixture

__all__ = ["GROWTH_INPUTS", "GROWTH_ROWS", "GROWTH_SLOTS", "LEFT", "MARGIN", "TRACK"]
__all__ += ["code_growth", "find_roots", "join_roots"]

GROWTH_INPUTS = 10
_SLOTS = 1 << 16  # of one context
GROWTH_SLOTS = GROWTH_INPUTS * _SLOTS
GROWTH_ROWS = 128
MARGIN, LEFT = 4, 3  # rows and columns around a module that are never hit
# what a track says of a root: how sure (0 to 3), columns and rows crossed, and row and column in
# the middle of the sensor; all in 1/16 pixel
SURE, COLS, ROWS, AT_ROW, AT_COL = range(5)
TRACK = 5


@njit(cache=True, nogil=True)
def find_roots(offsets, row, col):  # type: ignore[no-untyped-def]
    """Roots of frames whose digis are sorted by column, then row: (offsets, rows, columns)."""
    root_offsets = np.zeros(len(offsets), np.int64)
    root_row = np.empty(len(row), np.int64)
    root_col = np.empty(len(row), np.int64)
    n = 0
    for f in range(len(offsets) - 1):
        i = offsets[f]
        before = before_end = i
        while i < offsets[f + 1]:
            c = col[i]
            if before_end == before or col[before] + 1 != c:
                before = before_end = i
            p, begin = before, i
            while i < offsets[f + 1] and col[i] == c:
                first = last = np.int64(row[i])
                i += 1
                while i < offsets[f + 1] and col[i] == c and row[i] == last + 1:
                    last += 1
                    i += 1
                while p < before_end and row[p] + 1 < first:
                    p += 1
                if p == before_end or row[p] > last + 1:
                    root_row[n], root_col[n] = first, c
                    n += 1
            before, before_end = begin, i
        root_offsets[f + 1] = n
    return root_offsets, root_row[:n].copy(), root_col[:n].copy()


@njit(cache=True, nogil=True)
def _run(grid, at, step):  # type: ignore[no-untyped-def]
    """Hits in a row from `at` on, at most three."""
    n = 0
    while n < 3 and grid[at + n * step] > 0:
        n += 1
    return n


@njit(cache=True, nogil=True)
def _clip(x, low, high):  # type: ignore[no-untyped-def]
    return min(max(x, low), high)


@njit(cache=True, nogil=True)
def _contexts(grid, owner, at, stride, r, c, up, row, col, track, reach, place, long, slots):  # type: ignore[no-untyped-def]
    """Fill in the contexts of a pixel; returns the row of weights.

    ``grid`` and ``owner`` (root of each hit) hold the hits so far, in columns of `stride`.
    """
    before = at - stride
    two, three = before - stride, before - 2 * stride
    beside = at + 1 if up else at - 1
    near = np.int64(grid[beside] > 0) | np.int64(grid[before - 1] > 0) << 1
    near |= np.int64(grid[before] > 0) << 2 | np.int64(grid[before + 1] > 0) << 3
    if near & 1:
        root = owner[beside]
    elif near & 4:
        root = owner[before]
    elif near & 2:
        root = owner[before - 1]
    else:
        root = owner[before + 1]
    what = near * 2 + up
    come = c - col[root]
    run = _run(grid, beside, 1 if up else -1)
    above, below = _run(grid, before - 1, -1), _run(grid, before + 1, 1)
    second = np.int64(grid[two - 1] > 0) | np.int64(grid[two] > 0) << 1
    second |= np.int64(grid[two + 1] > 0) << 2
    third = np.int64(grid[three - 1] > 0) | np.int64(grid[three] > 0) << 1
    third |= np.int64(grid[three + 1] > 0) << 2
    wide = np.int64(grid[before - 2] > 0) | np.int64(grid[before + 2] > 0) << 1
    wider = np.int64(grid[two - 2] > 0) | np.int64(grid[two + 2] > 0) << 1
    sure = track[root, SURE]
    crossed = abs(track[root, COLS]) if sure else reach
    expected = min(crossed >> 4, 15)
    left = _clip((crossed >> 2) - 4 * come + 8, 0, 31)
    come = min(come, 15)
    lean = _clip((track[root, ROWS] + 20) >> 3, 0, 7) if sure else np.int64(0)
    slots[0] = ((what * 16 + come) * 16 + expected) * 4 + min(sure, 1) * 2 + (run > 0)
    slots[1] = _SLOTS + (((what * 8 + second) * 4 + wider) * 4 + wide) * 8 + (expected >> 1)
    slots[2] = 2 * _SLOTS + (((what * 4 + run) * 4 + below) * 4 + above) * 32 + left
    slots[3] = 3 * _SLOTS + (((what * 16 + place) * 4 + long) * 4 + run) * 3 + min(come, 2)
    slots[4] = 4 * _SLOTS
    slots[4] += ((((what * 8 + second) * 8 + third) * 4 + run) * 4 + wide) * 2 + (come > 2)
    slots[5] = 5 * _SLOTS
    slots[5] += ((what * 16 + _clip(r - row[root] + 7, 0, 15)) * 16 + come) * 8 + (place >> 1)
    if sure:
        # the row where the track is in this column, or where it leaves the sensor
        cols = track[root, COLS]
        half = abs(cols) >> 1
        there = track[root, AT_ROW]
        if half > 4:
            part = _clip(16 * c + 8 - track[root, AT_COL], -half, half)
            there += track[root, ROWS] * part // cols
        off = _clip((16 * r + 12 - there) >> 3, -12, 12) + 12
        end = _clip((track[root, AT_COL] + half - 16 * c) >> 2, -6, 9) + 6
        slots[6] = 6 * _SLOTS + ((what * 4 + sure) * 25 + off) * 16 + end
        slots[7] = 7 * _SLOTS + ((what * 4 + sure) * 32 + left) * 16 + expected
        slots[8] = 8 * _SLOTS + ((what * 25 + off) * 4 + run) * 8 + lean
    else:
        for j in range(6, 9):
            slots[j] = j * _SLOTS + 60_000 + what * 4 + min(come, 3)
    pattern = np.int64(grid[beside - 1 + 2 * up] > 0) | wide << 1 | second << 3 | wider << 6
    slots[9] = 9 * _SLOTS + (what * 256 + pattern) * 8 + min(place, 7)
    return what * 4 + sure


@njit(cache=True, nogil=True)
def code_growth(  # type: ignore[no-untyped-def]
    state, reading, buf, planes, m, roots, row, col, track, digi_row, digi_col, n, truth, grid, owner,
    stride, table, slots, weights, x,
):  # fmt: skip
    """Write or read the hits of a module from its roots, which are sorted by column, then row.

    ``truth`` has the hits when writing; ``grid``, ``owner`` and ``truth`` are columns of `stride`
    pixels with `LEFT` columns and `MARGIN` rows before the first pixel. ``digi_row`` and
    ``digi_col`` are filled from entry `n` on. Returns (entries filled, state): -1 for damaged
    bytes, -2 where they are too short.
    """
    height, width = planes.rows[m], planes.cols[m]
    place, sensor = planes.place[planes.surface[m]], planes.sensor[m]
    reach0, reach1 = planes.reach[m, 0], planes.reach[m, 1]
    s = 0
    before = before_end = n
    c = np.int64(-1)
    while True:
        if before_end > before:
            c += 1
        elif s < roots:
            c = col[s]
        else:
            break
        if c >= width:
            break
        begin = n
        base = (c + LEFT) * stride + MARGIN
        reach = abs(reach0 + (reach1 - reach0) * c // width)
        long_col = planes.long_col[sensor, c + 1]
        p = before
        r = np.int64(0)  # the first row that is not decided
        while r < height:
            if n + height > len(digi_row):
                return np.int64(-2), state
            asked = height
            if r > 0 and grid[base + r - 1] > 0:
                asked = r
            else:
                while p < before_end and digi_row[p] + 1 < r:
                    p += 1
                if p < before_end:
                    asked = max(r, np.int64(digi_row[p]) - 1)
            if s < roots and col[s] == c and row[s] <= asked:
                # a root touches nothing that is known
                if row[s] < r or row[s] == asked:
                    return np.int64(-1), state
                r = row[s]
                digi_row[n], digi_col[n] = r, c
                grid[base + r], owner[base + r] = 1, s
                n += 1
                s += 1
                r += 1
                continue
            if asked >= height:
                break
            hit = np.int64(truth[base + asked])
            long = long_col + 2 * planes.long_row[sensor, asked + 1]
            mix = _contexts(
                grid, owner, base + asked, stride, asked, c, 0, row, col, track, reach, place, long,
                slots,
            )  # fmt: skip
            hit, state = code_mixture(state, reading, buf, hit, table, slots, weights, mix, x)
            if hit:
                at = base + asked
                grid[at] = 1
                if grid[at - 1] > 0:
                    owner[at] = owner[at - 1]
                else:
                    if grid[at - stride] > 0:
                        owner[at] = owner[at - stride]
                    elif grid[at - stride - 1] > 0:
                        owner[at] = owner[at - stride - 1]
                    else:
                        owner[at] = owner[at - stride + 1]
                    # its run may have begun above
                    y = asked - 1
                    while y >= r:
                        hit = np.int64(truth[base + y])
                        long = long_col + 2 * planes.long_row[sensor, y + 1]
                        mix = _contexts(
                            grid, owner, base + y, stride, y, c, 1, row, col, track, reach, place,
                            long, slots,
                        )  # fmt: skip
                        hit, state = code_mixture(
                            state, reading, buf, hit, table, slots, weights, mix, x
                        )
                        if not hit:
                            break
                        grid[base + y], owner[base + y] = 1, owner[at]
                        y -= 1
                    for k in range(y + 1, asked):
                        digi_row[n], digi_col[n] = k, c
                        n += 1
                digi_row[n], digi_col[n] = asked, c
                n += 1
            r = asked + 1
        before, before_end = begin, n
    return (n if s == roots else np.int64(-1)), state


@njit(cache=True, nogil=True)
def join_roots(grid, owner, stride, row, col, roots, cluster):  # type: ignore[no-untyped-def]
    """Number the clusters of a module: ``cluster[root]``; returns how many there are.

    ``row`` and ``col`` are the module's digis, of which `grid` and `owner` know.
    """
    for s in range(roots):
        cluster[s] = s
    for i in range(len(row)):
        at = (np.int64(col[i]) + LEFT) * stride + MARGIN + row[i]
        for other in (at - 1, at - stride - 1, at - stride, at - stride + 1):
            if grid[other] > 0 and owner[other] != owner[at]:
                a, b = owner[at], owner[other]
                while cluster[a] != a:
                    a = cluster[a]
                while cluster[b] != b:
                    b = cluster[b]
                cluster[max(a, b)] = min(a, b)
    n = 0
    for s in range(roots):
        if cluster[s] == s:
            cluster[s] = -1 - n  # a number, not a root
            n += 1
        else:
            cluster[s] = cluster[cluster[s]]  # an earlier root, already numbered
    for s in range(roots):
        cluster[s] = -1 - cluster[s]
    return n
