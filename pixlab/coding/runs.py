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
from pixlab.coding.contexts import Look, first_context, joint_look
from pixlab.coding.layout import Layout
from pixlab.coding.rans import drained, get, get_bits, start_reading, step_of, step_of_bits

__all__ = ["LENGTHS", "PLACES", "RUN_LOOKS", "Runs", "code_runs", "find_runs", "scratch_for"]

LENGTHS = 32  # symbols of a length; the last one is an escape
_NEAR = 12  # columns from the begin of its parent within which the begin of a child has a symbol
_AT_END = 2 * _NEAR + 1  # first of three symbols for children that begin where their parent ends
_FAR = _AT_END + 3  # an escape
PLACES = _FAR + 1  # symbols of the begin of a child; 0 says that there is none
_LONG = 3  # parents longer than this have two ends
# a run in the making: columns [begin, end], depth, shifts against its parent, reach of the cluster
# so far, and the length of its parent
_BEGIN, _END, _DEPTH, _LEFT, _RIGHT, _FIRST, _LAST, _ABOVE = range(8)

_MIDDLE = 128  # of a signed number in a byte
_SHIFT = 12  # largest shift of a run against its parent that is told apart


def _track_look() -> Look:
    signed = np.arange(256)
    return np.stack([np.minimum(np.abs(signed - _MIDDLE), 127), signed]).astype(np.uint8)


# what is known of a parent, of which the root knows the module alone
_PARENT = (
    joint_look(8, 2, 8),  # layer, facing, double-size rows
    joint_look(256),  # rows that a track crosses
    _track_look(),  # columns that a track crosses: how many, and signed
    joint_look(8, 32),  # depth, length
    joint_look(2 * _SHIFT + 1, 2 * _SHIFT + 1),  # shifts of its begin and end
    joint_look(32, 16),  # width of the cluster so far, length of the parent's parent
    joint_look(16, 16),  # how far the cluster reached to the left and to the right of it
    joint_look(256),  # columns that a track still has to cross
)
RUN_LOOKS = (
    (*_PARENT[:3], joint_look(8)),  # length of a root: double-size columns
    # begin of a child: free columns to the left and the right; double-size columns, first or not
    (*_PARENT, joint_look(16, 16), joint_look(16, 2)),
    (*_PARENT, joint_look(64), joint_look(64)),  # its length: begin against its parent's, and end
)
_AT = [int(v) for v in np.cumsum([0] + [2 * look.shape[1] for look in _PARENT])]
_AT_MODULE, _AT_SLANT, _AT_TRACK, _AT_LENGTH, _AT_SHIFTS, _AT_WIDTH, _AT_REACH, _AT_LEFT = _AT[:-1]
_AT_OWN = _AT[-1]
_AT_ROOT = _AT_LENGTH
N_LOOKS = 10


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


def scratch_for(layout: Layout) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Three rows of runs, one above the other, and the indices of looks."""
    wide = layout.edge_col.shape[1] // 2 + 2
    return np.zeros((3 * wide, 8), np.int64), np.zeros(N_LOOKS, np.int64)


@njit(inline="always")
def _clip(value, least, most):  # type: ignore[no-untyped-def]
    return min(max(value, least), most)


@njit(inline="always")
def _meet(possible, masks, at):  # type: ignore[no-untyped-def]
    """The contexts that are possible in the light of one more look."""
    at = np.uint64(at)  # an index without a sign needs no check for one
    return possible[0] & masks[at], possible[1] & masks[at + np.uint64(1)]


@njit(inline="always")
def _look_at_parent(masks, looks):  # type: ignore[no-untyped-def]
    """Contexts that are possible for a parent."""
    possible = _meet((~np.uint64(0), ~np.uint64(0)), masks, _AT_MODULE + 2 * looks[0])
    possible = _meet(possible, masks, _AT_SLANT + 2 * looks[1])
    possible = _meet(possible, masks, _AT_TRACK + 2 * looks[2])
    possible = _meet(possible, masks, _AT_LENGTH + 2 * looks[3])
    possible = _meet(possible, masks, _AT_SHIFTS + 2 * looks[4])
    possible = _meet(possible, masks, _AT_WIDTH + 2 * looks[5])
    possible = _meet(possible, masks, _AT_REACH + 2 * looks[6])
    return _meet(possible, masks, _AT_LEFT + 2 * looks[7])


@njit(inline="always")
def _code(mode, state, words, n, steps, log, looks, what, possible, tables, symbol):  # type: ignore[no-untyped-def]
    """One symbol in any mode of `code_runs`: (symbol, state, n)."""
    if mode == 1:
        symbol, state = get(state, words, tables, first_context(possible[0], possible[1]))
    else:
        if mode == 0:
            steps[n] = step_of(tables, first_context(possible[0], possible[1]), symbol)
        else:
            log[n, 0] = what
            log[n, 1] = symbol
            for j in range(N_LOOKS):
                log[n, 2 + j] = looks[j]
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
    mode, layout, module, found, offsets, row, col, root_masks, root_tables, place_masks,
    place_tables, length_masks, length_tables, words, steps, runs, looks, log,
):  # fmt: skip
    """Write (mode 0), read (1) or describe (2) the digis of frames whose roots are known.

    Of ``found`` (`Runs`), reading needs the roots alone; it fills ``offsets`` (first digi of each
    frame), ``row`` and ``col``. Writing fills `steps`; describing fills `log`: uint16[n, 2 +
    N_LOOKS], rows of 0 (length of a root), 1 (begin of a child) or 2 (length of a child), the symbol
    and the indices of its looks. ``runs`` and ``looks`` are scratch (`scratch_for`).

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
        slope, slant = np.int64(layout.slopes[m, 0]), np.int64(layout.slopes[m, 2])
        slope_step = ((np.int64(layout.slopes[m, 1]) - slope) << 16) // width
        slant_step = ((np.int64(layout.slopes[m, 3]) - slant) << 16) // height
        sensor = layout.sensor[m]
        of_module = np.int64(layout.layer[m]) << 4 | np.int64(layout.slopes[m, 4]) << 3
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
            looks[0] = of_module | layout.edge_row[sensor, y]
            looks[1] = _clip(slant + (slant_step * y >> 16) + _MIDDLE, 0, 255)
            # -- children of the runs above
            n_here = 0
            r_here = r
            floor = np.int64(0)  # the first column where a child may begin
            for p in range(n_above):
                up = above + p
                up_begin, up_end = runs[up, _BEGIN], runs[up, _END]
                last_place = min(up_end + 1, width - 1)
                if floor > last_place:
                    continue
                up_first, up_last = runs[up, _FIRST], runs[up, _LAST]
                size = up_end - up_begin + 1
                track = (slope + (slope_step * up_begin >> 16)) >> 2
                reach = up_last - up_first + 1
                looks[2] = _clip(track + _MIDDLE, 0, 255)
                looks[3] = min(runs[up, _DEPTH], 7) << 5 | min(size, 31)
                looks[4] = (
                    (_clip(runs[up, _LEFT], -_SHIFT, _SHIFT) + _SHIFT) * (2 * _SHIFT + 1)
                    + _clip(runs[up, _RIGHT], -_SHIFT, _SHIFT) + _SHIFT
                )  # fmt: skip
                looks[5] = min(reach, 31) << 4 | min(runs[up, _ABOVE], 15)
                looks[6] = min(up_begin - up_first, 15) << 4 | min(up_last - up_end, 15)
                looks[7] = _clip(abs(track) - 4 * reach + _MIDDLE, 0, 255)
                of_parent = _look_at_parent(place_masks, looks)
                space = np.int64(15)
                if p + 1 < n_above:
                    space = min(runs[up + 1, _BEGIN] - up_end, 15)
                left_edge = np.int64(layout.edge_col[sensor, up_begin])
                right_edge = np.int64(layout.edge_col[sensor, up_end])
                ends = left_edge & 3 | (right_edge & 1) << 2 | (right_edge & 4) << 1
                more = 0
                while floor <= last_place:
                    begin = end = symbol = np.int64(0)
                    if not reading:
                        while r < run_offsets[f + 1] and row[first[r]] == y and parent[r] < 0:
                            r += 1
                        if r < run_offsets[f + 1] and parent[r] == r_above + p:
                            begin, end = np.int64(col[first[r]]), np.int64(col[first[r + 1] - 1])
                            r += 1
                            if size > _LONG and begin >= up_end - 1:
                                symbol = _AT_END + begin - up_end + 1
                            elif -_NEAR <= begin - up_begin < _NEAR:
                                symbol = begin - up_begin + _NEAR + 1
                            else:
                                symbol = np.int64(_FAR)
                    looks[8] = _clip(up_begin - floor + 2, 0, 15) << 4 | space
                    looks[9] = ends << 1 | more
                    possible = _meet(of_parent, place_masks, _AT_OWN + 2 * looks[8])
                    possible = _meet(possible, place_masks, _AT_OWN + 512 + 2 * looks[9])
                    symbol, state, n = _code(
                        mode, state, words, n, steps, log, looks, 1, possible, place_tables, symbol
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
                    looks[8] = _clip(shift + 32, 0, 63)
                    looks[9] = _clip(begin - up_end + 32, 0, 63)
                    possible = _look_at_parent(length_masks, looks)
                    possible = _meet(possible, length_masks, _AT_OWN + 2 * looks[8])
                    possible = _meet(possible, length_masks, _AT_OWN + 128 + 2 * looks[9])
                    extra = end - short
                    symbol, state, n = _code(
                        mode, state, words, n, steps, log, looks, 2, possible, length_tables,
                        min(extra, LENGTHS - 1),
                    )  # fmt: skip
                    if reading:
                        extra = symbol
                    if symbol == LENGTHS - 1:
                        extra, state, n = _escape(mode, state, words, n, steps, extra)
                    if reading:
                        end = short + extra
                        if begin < floor or end >= width or begin > last_place:
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
                extra = np.int64(0)
                if not reading:
                    while parent[r] >= 0:
                        r += 1
                    extra = first[r + 1] - first[r] - 1
                    r += 1
                looks[2] = _clip(((slope + (slope_step * begin >> 16)) >> 2) + _MIDDLE, 0, 255)
                looks[3] = layout.edge_col[sensor, begin]
                possible = _meet(
                    (~np.uint64(0), ~np.uint64(0)), root_masks, _AT_MODULE + 2 * looks[0]
                )
                possible = _meet(possible, root_masks, _AT_SLANT + 2 * looks[1])
                possible = _meet(possible, root_masks, _AT_TRACK + 2 * looks[2])
                possible = _meet(possible, root_masks, _AT_ROOT + 2 * looks[3])
                symbol, state, n = _code(
                    mode, state, words, n, steps, log, looks, 0, possible, root_tables,
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
                    if j == n_fresh or (
                        i < n_here and runs[here + i, _BEGIN] < runs[fresh + j, _BEGIN]
                    ):
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
