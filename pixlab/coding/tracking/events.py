"""The hits of events, surface by surface from inside out: written and read by the same code.

For each event::

    surface by surface: candidates ──► spots (`make_spots`)
      module by module: number and places of roots (`code_places`), how they grow (`code_growth`)
                        clusters ──► what their spots were worth, longer candidates
                        clusters that nothing explains ──► new candidates (`make_seeds`)

All that is learned on the way is in `Memory`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pixlab.coding.rangecoder import code_count, code_simple, finish, overrun, start
from pixlab.coding.tracking import candidates as track
from pixlab.coding.tracking.candidates import (
    BELIEF,
    BUCKETS,
    CANDIDATE,
    COL_KERNELS,
    COLS,
    EXPLAINED,
    FIRST,
    HIT,
    KIND,
    MISSED,
    MODULE,
    ROW_KERNELS,
    ROWS,
    SEED_INPUTS,
    SPOT,
    SPOT_INPUTS,
    TESTED,
    TURN,
    R,
    X,
    Y,
    Z,
    bucket_of,
    look_ahead,
    make_candidate,
    make_seeds,
    make_spots,
    seed_contexts,
)
from pixlab.coding.tracking.growth import (
    GROWTH_INPUTS,
    LEFT,
    MARGIN,
    TRACK,
    code_growth,
    join_roots,
)
from pixlab.coding.tracking.halving import (
    NODES,
    STACK,
    STACK_COLUMNS,
    UNIT,
    WORK,
    background_at,
    code_places,
    learn_background,
)
from pixlab.coding.tracking.helix import azimuth as azimuth_of
from pixlab.coding.tracking.helix import isqrt
from pixlab.coding.tracking.mixing import learn_belief, mixture
from pixlab.coding.tracking.residuals import NEAR, PHASES, cumulate, note, part_before, part_of

__all__ = ["COUNT_SLOTS", "Memory", "by_azimuth_of", "code_events", "longer"]

_MEANS = 96  # classes of an expected number, four an octave
_ANY = _MEANS * 512  # slot of the question whether an event has hits
COUNT_SLOTS = _ANY + 1
_PACE = 8  # expected numbers follow with 2^-8
_FEW = np.int64(8) << 16  # clusters that are worth as much as those seen of an event
_WHOLE = np.int64(58) << 20  # of 2^26: a spot that lies inside its module
_SURE = (10_000, 32_000, 55_000)  # shares of a root, 1/65536, from which a spot tells how it grows
_LEAST_SHARE = 256  # of a cluster, 1/65536, that is noted
_LEAST_LINK = 1000  # that makes a longer candidate
_LEAST_BELIEF = 200
_MOST_MEAN = np.int64(1) << 30  # clusters in a module, 1/65536
_MOST_BUSY = np.int64(1) << 20  # times as many clusters as usual, 1/256
_MOST_SPOTS = 1 << 14  # of a module
_SPOT_WORK = 48  # of a spot, whatever is found there, and for a digi: as `candidates` counts work
_RENEWAL = 64  # digis after which masses of kernels are computed anew, before an event
_FIRST_BUDGET, _DIGI_BUDGET = np.int64(1) << 24, np.int64(1) << 12
_KEPT = np.array([
    track.GUESS, track.LONG_FIRST, track.LONG_LAST, track.WIDE_FIRST, track.WIDE_LAST,
    track.RIVALS_FIRST, track.RIVALS_LAST,
])  # of a candidate, when it becomes longer  # fmt: skip


class Memory(NamedTuple):
    """What is learned, and where a chunk begins with what a model has stored.

    ``counts`` (numbers of roots), ``ground`` (shares of the background, `NODES` for each kind of
    module), ``seeds``, ``spots`` and ``growth`` are adaptive probabilities (uint32);
    ``seed_weights``, ``spot_weights`` and ``growth_weights`` (int32) their mixing weights. In
    1/65536: ``unexplained`` and ``all`` are the mean numbers of roots in a module of each kind,
    ``rows`` and ``cols`` the histograms of residuals, with ``rows_pooled`` and ``cols_pooled``.
    """

    counts: NDArray[np.uint32]
    ground: NDArray[np.uint32]
    seeds: NDArray[np.uint32]
    spots: NDArray[np.uint32]
    growth: NDArray[np.uint32]
    seed_weights: NDArray[np.int32]
    spot_weights: NDArray[np.int32]
    growth_weights: NDArray[np.int32]
    unexplained: NDArray[np.int64]
    all: NDArray[np.int64]
    rows: NDArray[np.int64]
    cols: NDArray[np.int64]
    rows_pooled: NDArray[np.int64]
    cols_pooled: NDArray[np.int64]


@njit(cache=True, nogil=True)
def _mean_class(mean):  # type: ignore[no-untyped-def]
    """Class of an expected number in 1/65536, below 2^40, four an octave from 2^-10 on."""
    bits = 0
    while mean >> (bits + 1):
        bits += 1
    part = (mean >> (bits - 2)) & 3 if bits >= 2 else 0
    return min(max(4 * bits + part - 24, 0), _MEANS - 1)


@njit(cache=True, nogil=True)
def longer(table, n):  # type: ignore[no-untyped-def]
    """The table with room for n rows, its content kept."""
    if n <= len(table):
        return table
    longer = np.zeros((max(n, 2 * len(table)), table.shape[1]), table.dtype)
    longer[: len(table)] = table
    return longer


@njit(cache=True, nogil=True)
def _sort_places(row, col):  # type: ignore[no-untyped-def]
    """Sort roots by column, then row: they are few."""
    if len(row) > 64:
        order = np.argsort(col * 65536 + row)
        row[:] = row[order].copy()
        col[:] = col[order].copy()
        return
    for i in range(1, len(row)):
        r, c = row[i], col[i]
        j = i
        while j > 0 and (col[j - 1] > c or (col[j - 1] == c and row[j - 1] > r)):
            row[j], col[j] = row[j - 1], col[j - 1]
            j -= 1
        row[j], col[j] = r, c


@njit(cache=True, nogil=True)
def _by_module(spots, found, first, order):  # type: ignore[no-untyped-def]
    """Order spots by module and bucket: ``first`` has where those of each begin."""
    first[:] = 0
    for q in range(found):
        first[spots[q, track.WHERE] * BUCKETS + spots[q, track.BUCKET] + 1] += 1
    for i in range(len(first) - 1):
        first[i + 1] += first[i]
    for q in range(found):
        i = spots[q, track.WHERE] * BUCKETS + spots[q, track.BUCKET]
        order[first[i]] = q
        first[i] += 1
    for i in range(len(first) - 1, 0, -1):
        first[i] = first[i - 1]
    first[0] = 0


@njit(cache=True, nogil=True)
def _around(first, m, cols, col):  # type: ignore[no-untyped-def]
    """The spots of module m that may have to do with a column: (first, one past the last)."""
    bucket = bucket_of(col, cols)
    i = m * BUCKETS
    return first[i + max(bucket - 1, 0)], first[i + min(bucket + 2, BUCKETS)]


@njit(cache=True, nogil=True)
def _new_hits(planes, m, hits, n, row, col, owner, stride, cluster, boxes, sums):  # type: ignore[no-untyped-def]
    """Append the clusters of module m to the first n hits.

    ``row``, ``col`` are its digis, ``cluster`` the number of each root, ``boxes`` and ``sums``
    scratch.
    """
    sensor = planes.sensor[m]
    row_edge, col_edge = planes.row_edge[sensor], planes.col_edge[sensor]
    made = 0
    for i in range(len(row)):
        r, c = np.int64(row[i]), np.int64(col[i])
        k = cluster[owner[(c + LEFT) * stride + MARGIN + r]]
        if k >= made:
            made = k + 1
            boxes[k, 0], boxes[k, 1], boxes[k, 2], boxes[k, 3] = r, r, c, c
            sums[k, 0] = sums[k, 1] = sums[k, 2] = 0
        boxes[k, 0], boxes[k, 1] = min(boxes[k, 0], r), max(boxes[k, 1], r)
        boxes[k, 2], boxes[k, 3] = min(boxes[k, 2], c), max(boxes[k, 3], c)
        # twice the middle of the pixel, so that it is whole
        sums[k, 0] += row_edge[r] + row_edge[r + 1]
        sums[k, 1] += col_edge[c] + col_edge[c + 1]
        sums[k, 2] += 2
    for k in range(made):
        h = hits[n + k]
        u, v = sums[k, 0] // sums[k, 2], sums[k, 1] // sums[k, 2]
        h[X] = planes.centre[m, 0] + ((u * planes.row_axis[m, 0] + v * planes.col_axis[m, 0]) >> 20)
        h[Y] = planes.centre[m, 1] + ((u * planes.row_axis[m, 1] + v * planes.col_axis[m, 1]) >> 20)
        h[Z] = planes.centre[m, 2] + ((u * planes.row_axis[m, 2] + v * planes.col_axis[m, 2]) >> 20)
        h[R] = isqrt(h[X] * h[X] + h[Y] * h[Y])
        h[TURN], h[MODULE], h[EXPLAINED] = azimuth_of(h[X], h[Y]), m, 0
        h[ROWS], h[COLS] = boxes[k, 1] - boxes[k, 0] + 1, boxes[k, 3] - boxes[k, 2] + 1


@njit(cache=True, nogil=True)
def _value(spot, row_mass, col_mass, r, c):  # type: ignore[no-untyped-def]
    """Mass that a spot has in a pixel."""
    v = part_of(row_mass, spot[track.ROW_KERNEL], spot[track.SPOT_ROW], r)
    if v == 0:
        return v
    return (
        v * spot[track.WEIGHT] * part_of(col_mass, spot[track.COL_KERNEL], spot[track.SPOT_COL], c)
    )


@njit(cache=True, nogil=True)
def _tell(spots, row_mass, col_mass, r, c, ground, told):  # type: ignore[no-untyped-def]
    """Total mass in a pixel; ``told`` is what its likeliest spot says of the root there."""
    total, best, most = ground, -1, np.int64(0)
    for o in range(len(spots)):
        v = _value(spots[o], row_mass, col_mass, r, c)
        total += v
        if v > most:
            best, most = o, v
    told[0] = 0
    if best >= 0:
        share = most // max(total >> 16, 1)
        for least in _SURE:
            told[0] += share > least
        told[1], told[2] = spots[best, track.CROSSED_COLS], spots[best, track.CROSSED_ROWS]
        told[3], told[4] = spots[best, track.AT_ROW], spots[best, track.AT_COL]
    return total


@njit(cache=True, nogil=True)
def _settle(  # type: ignore[no-untyped-def]
    planes, memory, spots, share_of, row_mass, col_mass, r, c, total, hits, hit, candidates, n
):
    """Share a root among background and spots, and note how far off these were.

    Each spot with a good part makes a longer candidate with cluster `hit`. Returns (what is left
    for the background, candidates, their number).
    """
    scale = max(total >> 16, 1)
    rest = np.int64(65536)
    for o in range(len(spots)):
        spot = spots[o]
        v = _value(spot, row_mass, col_mass, r, c)
        if v == 0:
            continue
        share = min(v // scale, 65536)
        if share < _LEAST_SHARE:
            continue
        rest -= share
        share_of[o] += share
        note(
            memory.rows, memory.rows_pooled, ROW_KERNELS, spot[track.ROW_KERNEL],
            spot[track.SPOT_ROW], r, share,
        )  # fmt: skip
        note(
            memory.cols, memory.cols_pooled, COL_KERNELS, spot[track.COL_KERNEL],
            spot[track.SPOT_COL], c, share,
        )  # fmt: skip
        if share < _LEAST_LINK:
            continue
        hits[hit, EXPLAINED] = min(hits[hit, EXPLAINED] + share, 65536)
        if n == track.MOST_CANDIDATES:
            continue
        candidates = longer(candidates, n + 1)
        old, new = candidates[spot[track.OWNER]], candidates[n]
        if make_candidate(planes, hits, old[FIRST], hit, new) and look_ahead(planes, hits, new):
            for k in _KEPT:
                new[k] = old[k]
            new[KIND], new[BELIEF], new[MISSED], new[TESTED] = old[KIND] + 1, share, 0, 1
            n += 1
    return max(rest, 0), candidates, n


@njit(cache=True, nogil=True)
def _judge(planes, memory, hits, candidates, spots, inside, share_of, contexts, order, x, y, slots):  # type: ignore[no-untyped-def]
    """Learn from a finished module what its spots were worth.

    ``inside`` is the mass of each spot in the module, ``contexts[order]`` its contexts.
    """
    for o in range(len(spots)):
        if inside[o] < _WHOLE:
            continue
        spot = spots[o]
        learn_belief(
            memory.spots, contexts[order[o]], memory.spot_weights, spot[track.MIX], x, share_of[o]
        )
        c = candidates[spot[track.OWNER]]
        if c[TESTED] == 0:
            row = seed_contexts(planes, hits, c, slots)
            learn_belief(memory.seeds, slots, memory.seed_weights, row, y, share_of[o])
            c[TESTED] = 1
        # where it should have been found and was not, it is less likely
        c[BELIEF] = spot[track.WEIGHT] * max(65536 - share_of[o], 2048) >> 16
        c[MISSED] += 1


@njit(cache=True, nogil=True)
def _expected(spots, row_mass, col_mass, height, width, inside):  # type: ignore[no-untyped-def]
    """Sum of the masses of spots in a module, and the part of each that lies inside."""
    total = np.int64(0)
    for o in range(len(spots)):
        spot = spots[o]
        kernel, at = spot[track.ROW_KERNEL], spot[track.SPOT_ROW]
        part = part_before(row_mass, kernel, at, height) - part_before(row_mass, kernel, at, 0)
        kernel, at = spot[track.COL_KERNEL], spot[track.SPOT_COL]
        part *= part_before(col_mass, kernel, at, width) - part_before(col_mass, kernel, at, 0)
        inside[o] = part
        total += part * spot[track.WEIGHT]
    return total


@njit(cache=True, nogil=True)
def _prune(candidates, n, s):  # type: ignore[no-untyped-def]
    """Keep candidates that are likely and have surfaces after s ahead: their number."""
    kept = 0
    for q in range(n):
        if candidates[q, BELIEF] >= _LEAST_BELIEF and candidates[q, track.AHEAD] >> (s + 1):
            if kept != q:
                candidates[kept] = candidates[q]
            kept += 1
    return kept


@njit(cache=True, nogil=True)
def by_azimuth_of(hits, begin, end, order, bins):  # type: ignore[no-untyped-def]
    """Order clusters by azimuth: ``bins[i]`` is where the i-th 256th of the circle begins."""
    bins[:] = 0
    for j in range(begin, end):
        bins[(hits[j, TURN] >> 8) + 1] += 1
    bins[0] = begin
    for i in range(256):
        bins[i + 1] += bins[i]
    at = bins[:256].copy()
    for j in range(begin, end):
        i = hits[j, TURN] >> 8
        order[at[i]] = j
        at[i] += 1


@njit(cache=True, nogil=True)
def code_events(  # type: ignore[no-untyped-def]
    reading, places, growing, planes, memory, n_events, event, module, roots, root_row, root_col,
    offsets, row, col,
):  # fmt: skip
    """Write or read the hits of events.

    ``places`` and ``growing`` are the bytes of two sections. Frames are sorted by event and, in it,
    by `Planes.order`; their roots (``roots`` has the first of each frame) and their digis by
    column, then row. Reading fills all but the roots, which it takes no notice of. Returns (frames,
    digis read, bytes of `places`, bytes of `growing`): frames is -1 for damaged bytes, -2 where
    arrays to fill are too short; bytes are -1 where there are too few.
    """
    n_modules, n_surfaces = len(planes.rows), len(planes.at)
    stride = np.int64(planes.long_row.shape[1] + 2 * MARGIN)
    grid = np.zeros((planes.long_col.shape[1] + 2 * LEFT) * stride, np.uint8)
    truth = np.zeros(len(grid), np.uint8)
    owner = np.zeros(len(grid), np.int32)
    r_at, c_at = np.empty(64, np.int64), np.empty(64, np.int64)
    cluster, total = np.empty(64, np.int64), np.empty(64, np.int64)
    told = np.zeros((64, TRACK), np.int64)
    boxes, sums = np.empty((64, 4), np.int64), np.empty((64, 3), np.int64)
    terms = np.empty(256, np.int64)
    stack = np.empty((STACK, STACK_COLUMNS), np.int64)
    work = np.empty(4096, np.int64)
    row_mass = np.zeros((len(memory.rows), PHASES, 2 * NEAR + 2), np.int64)
    col_mass = np.zeros((len(memory.cols), PHASES, 2 * NEAR + 2), np.int64)
    hits = np.zeros((1024, HIT), np.int64)
    beliefs = np.zeros((1024, 2), np.int64)
    candidates = np.zeros((1024, CANDIDATE), np.int64)
    spots, sorted_spots = np.zeros((1024, SPOT), np.int64), np.zeros((1024, SPOT), np.int64)
    contexts = np.zeros((1024, SPOT_INPUTS), np.int64)
    order, inside = np.zeros(1024, np.int64), np.zeros(1024, np.int64)
    share_of = np.zeros(1024, np.int64)
    begins = np.zeros(n_modules * BUCKETS + 1, np.int64)
    azimuth = np.zeros((n_surfaces, 257), np.int64)
    by_azimuth = np.zeros(1024, np.int64)
    x_spot, x_growth = np.empty(SPOT_INPUTS, np.int64), np.empty(GROWTH_INPUTS, np.int64)
    x_seed, seed_slots = np.empty(SEED_INPUTS, np.int64), np.empty(SEED_INPUTS, np.int64)
    growth_slots = np.empty(GROWTH_INPUTS, np.int64)

    budget = np.array([_FIRST_BUDGET])
    where, grow = start(reading, places), start(reading, growing)
    f, n, given = 0, np.int64(0), len(event)
    renewal = np.int64(0)  # of the masses of kernels: as many digis as there are then
    for e in range(n_events):
        some = 0 if reading else np.int64(f < given and event[f] == e)
        some, where = code_simple(where, reading, places, some, memory.counts, np.uint64(_ANY))
        if not some:
            if reading and overrun(where, places):
                return -1, n, 0, 0
            continue
        before = n
        if n >= renewal:
            cumulate(memory.rows, memory.rows_pooled, ROW_KERNELS, row_mass)
            cumulate(memory.cols, memory.cols_pooled, COL_KERNELS, col_mass)
            renewal = n + _RENEWAL
        n_hits, n_candidates, step = 0, 0, 0
        seen, likely = np.int64(0), np.int64(0)
        for s in range(n_surfaces):
            first_hit = n_hits
            spots, contexts, found = make_spots(
                planes, hits, candidates, n_candidates, s, spots, contexts, budget
            )
            if found > len(order):
                order, inside = np.zeros(len(spots), np.int64), np.zeros(len(spots), np.int64)
                share_of = np.zeros(len(spots), np.int64)
                sorted_spots = np.zeros((len(spots), SPOT), np.int64)
            _by_module(spots, found, begins, order)
            share_of[:found] = 0
            for o in range(found):
                q = order[o]
                sorted_spots[o] = spots[q]
                sorted_spots[o, track.WEIGHT] = mixture(
                    memory.spots, contexts[q], memory.spot_weights, spots[q, track.MIX], x_spot
                )
            while step < n_modules and planes.surface[planes.order[step]] == s:
                m = planes.order[step]
                step += 1
                height, width, kind = planes.rows[m], planes.cols[m], planes.kind[m]
                begin, end = begins[m * BUCKETS], begins[(m + 1) * BUCKETS]
                if budget[0] < 0 or end - begin > _MOST_SPOTS:
                    end = begin
                here = sorted_spots[begin:end]
                # how many are likely: the background, by how busy the event is, and the spots
                busy = ((seen << 16) + _FEW) * 256 // (likely + _FEW)
                busy = min(busy, _MOST_BUSY)
                ground = min(memory.unexplained[kind] * busy >> 8, _MOST_MEAN) << (UNIT - 16)
                mean = ground + _expected(
                    here, row_mass, col_mass, height, width, inside[begin:end]
                )
                count = np.int64(0)
                if not reading and f < given and event[f] == e and module[f] == m:
                    count = roots[f + 1] - roots[f]
                count, where = code_count(
                    where, reading, places, count, memory.counts,
                    _mean_class(mean >> (UNIT - 16)) * 512,
                )  # fmt: skip
                # what these spots ask for, from here to `_judge`; without a budget they are let go
                budget[0] -= (end - begin) * (_SPOT_WORK + 4 * count)
                seen += count
                likely += memory.all[kind]
                memory.all[kind] += ((count << 16) - memory.all[kind]) >> _PACE
                unexplained = np.int64(0)
                if count != 0:
                    if reading:
                        if count < 0 or count > height * width or overrun(where, places):
                            return -1, n, 0, 0
                        if f >= given or n + count > len(row):
                            return -2, n, 0, 0
                    if count >= len(r_at):
                        size = 2 * count
                        r_at, c_at = np.empty(size, np.int64), np.empty(size, np.int64)
                        cluster, total = np.empty(size, np.int64), np.empty(size, np.int64)
                        told = np.zeros((size, TRACK), np.int64)
                        boxes, sums = np.empty((size, 4), np.int64), np.empty((size, 3), np.int64)
                    if count >= len(terms):
                        terms = np.empty(2 * count, np.int64)
                    if WORK * (end - begin) > len(work):
                        work = np.empty(2 * WORK * (end - begin), np.int64)
                    if not reading:
                        r_at[:count] = root_row[roots[f] : roots[f + 1]]
                        c_at[:count] = root_col[roots[f] : roots[f + 1]]
                        for i in range(offsets[f], offsets[f + 1]):
                            truth[(np.int64(col[i]) + LEFT) * stride + MARGIN + row[i]] = 1
                    sound, where = code_places(
                        where, reading, places, height, width, count, r_at, c_at, ground,
                        memory.ground, kind * NODES, here, row_mass, col_mass, work, terms, stack,
                    )  # fmt: skip
                    if not sound or (reading and overrun(where, places)):
                        return -1, n, 0, 0
                    _sort_places(r_at[:count], c_at[:count])
                    for i in range(count):
                        below = background_at(
                            height, width, r_at[i], c_at[i], ground, memory.ground, kind * NODES
                        )
                        low, high = _around(begins, m, width, c_at[i])
                        total[i] = _tell(
                            sorted_spots[low:high],
                            row_mass,
                            col_mass,
                            r_at[i],
                            c_at[i],
                            below,
                            told[i],
                        )
                    last, grow = code_growth(
                        grow, reading, growing, planes, m, count, r_at, c_at, told, row, col, n,
                        truth, grid, owner, stride, memory.growth, growth_slots,
                        memory.growth_weights, x_growth,
                    )  # fmt: skip
                    if last < 0 or (reading and overrun(grow, growing)):
                        return min(last, -1), n, 0, 0
                    made = join_roots(grid, owner, stride, row[n:last], col[n:last], count, cluster)
                    hits = longer(hits, n_hits + made)
                    _new_hits(
                        planes, m, hits, n_hits, row[n:last], col[n:last], owner, stride, cluster,
                        boxes, sums,
                    )  # fmt: skip
                    for i in range(count):
                        low, high = _around(begins, m, width, c_at[i])
                        rest, candidates, n_candidates = _settle(
                            planes, memory, sorted_spots[low:high], share_of[low:high], row_mass, col_mass, r_at[i],
                            c_at[i], total[i], hits, n_hits + cluster[i], candidates, n_candidates,
                        )  # fmt: skip
                        unexplained += rest
                        learn_background(
                            height, width, r_at[i], c_at[i], rest, memory.ground, kind * NODES
                        )
                    for i in range(n, last):
                        at = (np.int64(col[i]) + LEFT) * stride + MARGIN + row[i]
                        grid[at] = truth[at] = 0
                    n_hits += made
                    budget[0] += (last - n) * _DIGI_BUDGET
                    n = last
                    if reading:
                        event[f], module[f], offsets[f + 1] = e, m, n
                    f += 1
                # for an event of the usual kind
                unexplained = (unexplained << 8) // max(busy, 1)
                unexplained = min(unexplained, _MOST_MEAN)
                memory.unexplained[kind] += (unexplained - memory.unexplained[kind]) >> _PACE
                _judge(
                    planes, memory, hits, candidates, here, inside[begin:end], share_of[begin:end],
                    contexts, order[begin:end], x_spot, x_seed, seed_slots,
                )  # fmt: skip
            n_candidates = _prune(candidates, n_candidates, s)
            if n_hits > len(by_azimuth):
                longer_order = np.zeros(2 * n_hits, np.int64)
                longer_order[: len(by_azimuth)] = by_azimuth
                by_azimuth = longer_order
            by_azimuth_of(hits, first_hit, n_hits, by_azimuth, azimuth[s])
            beliefs = longer(beliefs, n_hits)
            beliefs[first_hit:n_hits] = 0
            # in busy events weak seeds cost more time than they save bits
            least = track.SEED_BELIEF + (n_hits >> 3)
            for a in range(s):
                if planes.barrel[a] or (planes.at[a] < 0) == (planes.at[s] < 0):
                    candidates, n_candidates = make_seeds(
                        planes, hits, by_azimuth, azimuth[a], a, first_hit, n_hits, least,
                        candidates, n_candidates, beliefs, memory.seeds, memory.seed_weights,
                        budget,
                    )  # fmt: skip
        if reading and n == before:
            return -1, n, 0, 0
    if reading:
        return f, n, 0, 0
    return f, n, finish(where, places), finish(grow, growing)
