"""How clusters grow: from runs of hits in one row to the runs below that touch them.

A *run* is a longest row of hits side by side. Its *parent* is the first run of the row above that
touches it, sides and corners counting; a run without one is a *root*. Given the roots
(`positions`), a hit map is told by the length of each root and, of each run in turn, by its
children: where each begins and how long it is. That takes about one symbol a digi. What makes symbols
likely is how the cluster has grown so far, against what a track would do in this module.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pixlab.coding.bits import kernel
from pixlab.coding.contexts import context_of
from pixlab.coding.layout import Layout
from pixlab.coding.rans import (
    drained,
    get,
    get_bits,
    start_reading,
    step_of,
    step_of_bits,
)

__all__ = ["LENGTHS", "PLACES", "RUN_FEATURES", "Runs", "code_runs", "find_runs"]
__all__ += ["scratch_for"]

RUN_FEATURES = 20
LENGTHS = 32  # symbols of a length; the last one is an escape
_NEAR = 12  # columns from the begin of its parent within which the begin of a child has a symbol
_AT_END = 2 * _NEAR + 1  # first of three symbols for children that begin where their parent ends
_FAR = _AT_END + 3  # an escape
PLACES = _FAR + 1  # symbols of the begin of a child; 0 says that there is none
_LONG = 3  # parents longer than this have two ends
# a run in the making: columns [begin, end], depth, shifts against its parent, reach of the cluster
# so far, and the length of its parent
_BEGIN, _END, _DEPTH, _LEFT, _RIGHT, _FIRST, _LAST, _ABOVE = range(8)


class Runs(NamedTuple):
    """Runs of frames.

    ``first``: int64[runs + 1], first digi of each run; ``parent``: int64[runs], -1 for a root;
    ``offsets``, ``root_offsets``: int64[frames + 1], first run and root of each frame; ``roots``:
    int64[roots], row * cols + col of where they begin.
    """

    first: NDArray[np.int64]
    parent: NDArray[np.int64]
    offsets: NDArray[np.int64]
    root_offsets: NDArray[np.int64]
    roots: NDArray[np.int64]


@njit(cache=True, nogil=True)
def find_runs(offsets, row, col, n_cols, frame_module):  # type: ignore[no-untyped-def]
    """The columns of `Runs`, of frames whose digis are sorted by row, then column."""
    first = np.empty(len(row) + 1, np.int64)
    parent = np.empty(len(row), np.int64)
    roots = np.empty(len(row), np.int64)
    run_offsets = np.zeros(len(offsets), np.int64)
    root_offsets = np.zeros(len(offsets), np.int64)
    n = n_roots = 0
    for f in range(len(offsets) - 1):
        width = np.int64(n_cols[frame_module[f]])
        above = above_end = here = n  # runs of the row above; the first one of this row
        i = offsets[f]
        while i < offsets[f + 1]:
            begin = i
            y = np.int64(row[i])
            i += 1
            while i < offsets[f + 1] and row[i] == y and col[i] == col[i - 1] + 1:
                i += 1
            first[n] = begin
            first[n + 1] = i
            if n > here and y != row[first[n - 1]]:
                above, above_end, here = here, n, n
            if above_end > above and np.int64(row[first[above]]) + 1 != y:
                above = above_end
            while above < above_end and np.int64(col[first[above + 1] - 1]) + 1 < col[begin]:
                above += 1
            if above < above_end and col[first[above]] <= np.int64(col[i - 1]) + 1:
                parent[n] = above
            else:
                parent[n] = -1
                roots[n_roots] = y * width + np.int64(col[begin])
                n_roots += 1
            n += 1
        run_offsets[f + 1] = n
        root_offsets[f + 1] = n_roots
    return first[: n + 1], parent[:n], run_offsets, root_offsets, roots[:n_roots].copy()


def scratch_for(layout: Layout) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.int64]]:
    """Two rows of features and three of runs, one above the other."""
    wide = layout.long_col.shape[1] // 2 + 2
    x, x_root = np.zeros((2, RUN_FEATURES), np.uint8)
    return x, x_root, np.zeros((3 * wide, 8), np.int64)


@njit(inline="always")
def _byte(value):  # type: ignore[no-untyped-def]
    return np.uint8(min(max(value, 0), 255))


@njit(inline="always")
def _code(mode, state, words, n, steps, log, x, what, chooser, tables, symbol):  # type: ignore[no-untyped-def]
    """One symbol in any mode of `code_runs`: (symbol, state, n)."""
    if mode == 1:
        symbol, state = get(state, words, tables, context_of(x, chooser))
    else:
        if mode == 0:
            steps[n] = step_of(tables, context_of(x, chooser), symbol)
        else:
            log[n, 0] = what
            log[n, 1] = symbol
            for j in range(RUN_FEATURES):
                log[n, 2 + j] = x[j]
        n += 1
    return symbol, state, n


@njit(inline="always")
def _escape(mode, state, words, n, steps, value):  # type: ignore[no-untyped-def]
    """Sixteen raw bits: (value, state, n)."""
    if mode == 1:
        value, state = get_bits(state, words, 16)
    elif mode == 0:
        steps[n] = step_of_bits(value, 16)
        n += 1
    return value, state, n


@kernel
def code_runs(  # type: ignore[no-untyped-def]
    mode, layout, module, found, offsets, row, col,
    begun, begun_tables, placed, placed_tables, ended, ended_tables, words, steps, x, x_root, runs, log,
):  # fmt: skip
    """Write (mode 0), read (1) or describe (2) the digis of frames whose roots are known.

    Of ``found`` (`Runs`), reading needs the roots alone; it fills ``offsets`` (first digi of each
    frame), ``row`` and ``col``. Writing fills `steps`; describing fills `log`: uint8[n, 2 +
    RUN_FEATURES], rows of 0 (length of a root), 1 (begin of a child) or 2 (length of a child), the
    symbol and its features.

    Returns the number of steps, digis or rows; -1 for damaged bytes, -2 where `row` is too small.
    """
    reading = mode == 1
    first, parent, run_offsets, root_offsets, roots = found
    state = start_reading(words)
    wide = len(runs) // 3
    above, here, fresh = 0, wide, 2 * wide  # rows of `runs`: of the row above, children, roots
    n = digis = np.int64(0)
    for f in range(len(module)):
        m = module[f]
        height, width = np.int64(layout.rows[m]), np.int64(layout.cols[m])
        slope, slope_end = np.int64(layout.slopes[m, 0]), np.int64(layout.slopes[m, 1])
        slant, slant_end = np.int64(layout.slopes[m, 2]), np.int64(layout.slopes[m, 3])
        sensor = layout.sensor[m]
        long_row, long_col = layout.long_row[sensor], layout.long_col[sensor]
        x[9] = x_root[9] = layout.layer[m]
        x[11] = x_root[11] = layout.slopes[m, 4]
        s, s_end = root_offsets[f], root_offsets[f + 1]
        r = np.int64(0) if reading else run_offsets[f]
        r_above = r  # first run of the row above
        n_above = 0
        y = np.int64(0)
        while True:
            if n_above:
                y += 1
                if y == height:
                    break
            elif s < s_end:
                y = roots[s] // width
            else:
                break
            x[10] = x_root[10] = _byte(slant + (slant_end - slant) * y // height + 128)
            x[14] = x_root[14] = long_row[y] | long_row[y + 1] << 1 | long_row[y + 2] << 2
            # -- children of the runs above
            n_here = 0
            r_here = r
            floor = np.int64(0)  # the first column where a child may begin
            for p in range(n_above):
                up = above + p
                up_begin, up_end = runs[up, _BEGIN], runs[up, _END]
                if floor > min(up_end + 1, width - 1):
                    continue
                up_first, up_last = runs[up, _FIRST], runs[up, _LAST]
                size = up_end - up_begin + 1
                track = slope + (slope_end - slope) * up_begin // width
                x[0] = _byte(size)
                x[1] = _byte(runs[up, _DEPTH])
                x[2] = _byte(runs[up, _LEFT] + 64)
                x[3] = _byte(runs[up, _RIGHT] + 64)
                x[4] = _byte(up_last - up_first + 1)
                x[5] = _byte(up_begin - up_first)
                x[6] = _byte(up_last - up_end)
                x[7] = _byte(abs(track) >> 2)
                x[8] = _byte((track >> 3) + 128)
                x[13] = _byte(runs[above + p + 1, _BEGIN] - up_end) if p + 1 < n_above else 255
                x[15] = (
                    long_col[up_begin + 1] | long_col[up_end + 1] << 1
                    | long_col[up_begin] << 2 | long_col[up_end + 2] << 3
                )  # fmt: skip
                x[16] = _byte((abs(track) >> 2) - 4 * (up_last - up_first + 1) + 128)
                x[17] = _byte(runs[up, _ABOVE])
                more = 0
                while floor <= min(up_end + 1, width - 1):
                    begin = end = np.int64(0)
                    symbol = np.int64(0)
                    if not reading:
                        while r < run_offsets[f + 1] and row[first[r]] == y and parent[r] < 0:
                            r += 1
                        if r < run_offsets[f + 1] and row[first[r]] == y and parent[r] == r_above + p:
                            begin, end = np.int64(col[first[r]]), np.int64(col[first[r + 1] - 1])
                            r += 1
                            if size > _LONG and begin >= up_end - 1:
                                symbol = _AT_END + begin - up_end + 1
                            elif -_NEAR <= begin - up_begin < _NEAR:
                                symbol = begin - up_begin + _NEAR + 1
                            else:
                                symbol = _FAR
                    x[12] = _byte(min(up_begin - floor, 14) + 2)
                    x[18] = more
                    symbol, state, n = _code(
                        mode, state, words, n, steps, log, x, 1, placed, placed_tables, symbol
                    )
                    if symbol == 0:
                        break
                    if symbol == _FAR:
                        begin, state, n = _escape(mode, state, words, n, steps, begin)
                    elif reading:
                        if symbol >= _AT_END:
                            begin = symbol - _AT_END - 1 + up_end
                        else:
                            begin = symbol - _NEAR - 1 + up_begin
                    shift = begin - up_begin
                    # a child that begins well to the left must reach its parent
                    short = up_begin - 1 if shift < -1 else begin
                    x[18] = _byte(shift + 64)
                    x[19] = _byte(begin - up_end + 128)
                    extra = end - short
                    symbol, state, n = _code(
                        mode, state, words, n, steps, log, x, 2, ended, ended_tables,
                        min(extra, LENGTHS - 1),
                    )  # fmt: skip
                    x[19] = 0
                    if reading:
                        extra = symbol
                    if symbol == LENGTHS - 1:
                        extra, state, n = _escape(mode, state, words, n, steps, extra)
                    if reading:
                        end = short + extra
                        if begin < floor or end >= width or begin > up_end + 1:
                            return -1
                    run = here + n_here
                    runs[run, _BEGIN], runs[run, _END] = begin, end
                    runs[run, _DEPTH] = runs[up, _DEPTH] + 1
                    runs[run, _LEFT], runs[run, _RIGHT] = shift, end - up_end
                    runs[run, _FIRST], runs[run, _LAST] = min(up_first, begin), max(up_last, end)
                    runs[run, _ABOVE] = size
                    n_here += 1
                    floor = end + 2
                    more = 1
            # -- roots of this row
            n_fresh = 0
            r = r_here
            while s < s_end and roots[s] < (y + 1) * width:
                begin = roots[s] - y * width
                s += 1
                if n_here + n_fresh == wide:
                    return -1
                track = slope + (slope_end - slope) * begin // width
                x_root[7] = _byte(abs(track) >> 2)
                x_root[8] = _byte((track >> 3) + 128)
                x_root[15] = long_col[begin + 1] | long_col[begin] << 2 | long_col[begin + 2] << 3
                extra = np.int64(0)
                if not reading:
                    while parent[r] >= 0:
                        r += 1
                    extra = first[r + 1] - first[r] - 1
                    r += 1
                symbol, state, n = _code(
                    mode, state, words, n, steps, log, x_root, 0, begun, begun_tables,
                    min(extra, LENGTHS - 1),
                )  # fmt: skip
                if reading:
                    extra = symbol
                if symbol == LENGTHS - 1:
                    extra, state, n = _escape(mode, state, words, n, steps, extra)
                end = begin + extra
                if end >= width:
                    return -1
                run = fresh + n_fresh
                runs[run, _BEGIN], runs[run, _END] = begin, end
                runs[run, _DEPTH] = runs[run, _LEFT] = runs[run, _RIGHT] = runs[run, _ABOVE] = 0
                runs[run, _FIRST], runs[run, _LAST] = begin, end
                n_fresh += 1
            # -- both in order become the row above
            if n_fresh == 0:
                above, here = here, above
                n_above = n_here
            else:
                i = j = 0
                for k in range(n_here + n_fresh):
                    if j == n_fresh or (i < n_here and runs[here + i, _BEGIN] < runs[fresh + j, _BEGIN]):
                        run = here + i
                        i += 1
                    else:
                        run = fresh + j
                        j += 1
                    for c in range(8):
                        runs[above + k, c] = runs[run, c]
                n_above = n_here + n_fresh
            if reading:
                free = np.int64(0)
                for k in range(n_above):
                    begin, end = runs[above + k, _BEGIN], runs[above + k, _END]
                    if begin < free or state[4] > len(words):
                        return -1
                    if digis + end - begin >= len(row):
                        return -2
                    for c in range(begin, end + 1):
                        row[digis] = y
                        col[digis] = c
                        digis += 1
                    free = end + 2
            else:
                r_above = r_here
                r = r_here + n_above
        if s < s_end:
            return -1
        if reading:
            offsets[f + 1] = digis
    if reading:
        return digis if drained(state, words) else -1
    return n
