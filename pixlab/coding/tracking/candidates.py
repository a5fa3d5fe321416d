"""Candidates of tracks: pairs of clusters that point to where there will be more.

A candidate is a helix through the beam line, the first and the last cluster known of it, and a
belief (in 1/65536) that there is such a particle. On each surface that it crosses it makes a *spot*
of the density; where a cluster is found there, a longer candidate follows.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from pixlab.coding.tracking.helix import FAR, ONE, arc, azimuth, chord, circle, crossing, walk
from pixlab.coding.tracking.mixing import mixture
from pixlab.coding.tracking.planes import ANGLES, MOST_Z0, PLACES, STRIPS
from pixlab.coding.tracking.residuals import NEAR

__all__ = ["CANDIDATE", "HIT", "SEED_INPUTS", "SEED_ROWS", "SEED_SLOTS"]
__all__ += ["GROUPS", "SPOT", "SPOT_INPUTS", "SPOT_ROWS", "SPOT_SLOTS"]
__all__ += ["BUCKETS", "COL_KERNELS", "ROW_KERNELS", "bucket_of"]
__all__ += ["HELIX_WORK", "SEED_BELIEF"]
__all__ += ["look_ahead", "make_candidate", "make_seeds", "make_spots"]
__all__ += ["pixel_of", "seed_contexts"]

# columns of clusters: position (um), distance from the beam line, azimuth (`helix.azimuth`), module,
# size along columns and rows, and how far it is explained by candidates (1/65536)
X, Y, Z, R, TURN, MODULE, COLS, ROWS, EXPLAINED = range(9)
HIT = 9
# columns of candidates
(
    FIRST, LAST, KIND, BELIEF, GUESS, MISSED, TESTED, WX, WY, K, T, Z0, S_FIRST, S_LAST, LONG_FIRST,
    LONG_LAST, WIDE_FIRST, WIDE_LAST, RIVALS_FIRST, RIVALS_LAST, AHEAD,
) = range(21)  # fmt: skip
CANDIDATE = 21
# columns of spots; the first five are what `halving` reads
(
    WEIGHT, SPOT_ROW, SPOT_COL, ROW_KERNEL, COL_KERNEL, OWNER, MIX, WHERE, CROSSED_COLS,
    CROSSED_ROWS, AT_ROW, AT_COL, BUCKET,
) = range(13)  # fmt: skip
SPOT = 13
BUCKETS = 16  # of columns in a module: no cluster belongs to a spot more than one bucket away
_LEAST_BUCKET = 2 * NEAR + 4

SEED_INPUTS, SPOT_INPUTS = 4, 6
_SLOTS = 1 << 13  # of one context
SEED_SLOTS, SPOT_SLOTS = SEED_INPUTS * _SLOTS, SPOT_INPUTS * _SLOTS
SEED_ROWS, SPOT_ROWS = 4, 12
GROUPS = 32  # of kernels: how far the prediction reaches, from what, to what
ROW_KERNELS, COL_KERNELS = 24, 6  # of a group

MOST_CANDIDATES = 1 << 18
_MOST_SPOTS = 1 << 19  # of a surface
HELIX_WORK = 32  # of making or following one helix; comparing two clusters counts as 1
_LEAST_GAP = 4000  # um between two clusters of a seed
_MOST_CURVED = np.int64(6e-6 * 2**44)  # half curvature: 95 MeV/c at 3.8 T
_STEEPEST = np.int64(15) << 20
SEED_BELIEF = 600  # less is not kept
_MOST_CROSSED = np.int64(1) << 20  # pixels, 1/16: so that products fit into 64 bits
_SPOT_BELIEF = 100  # less makes no spot
_FREE = 20_000  # a cluster less unexplained makes no seeds
# how much longer or wider than the track makes likely a cluster may be, 1/16 pixel
_LONG, _WIDE = 20, 24
_CURVES = np.array([int(k * 1e-4 * 2**44) for k in (0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.045)])
_SLOPES = np.array([int(t * 2**20) for t in (0.25, 0.5, 1.0, 1.5, 2.2, 3.0, 5.0)])
_LEVERS = np.array([51, 90, 154, 230, 333, 512, 896])  # 1/256
_ACROSS = np.array([-24, -16, -8, 0, 8, 16, 24])  # rows crossed, 1/16
_ALONG = np.array([4, 10, 16, 32, 64])  # columns crossed, 1/16


@njit(cache=True, nogil=True)
def _class(x, edges):  # type: ignore[no-untyped-def]
    i = 0
    while i < len(edges) and x >= edges[i]:
        i += 1
    return i


@njit(cache=True, nogil=True)
def _clip(x, low, high):  # type: ignore[no-untyped-def]
    return min(max(x, low), high)


@njit(cache=True, nogil=True)
def _magnitude(x):  # type: ignore[no-untyped-def]
    """Two classes an octave, below 48."""
    bits = 0
    while x >> bits:
        bits += 1
    return min(2 * bits + ((x >> (bits - 2)) & 1 if bits > 1 else 0), 47)


@njit(cache=True, nogil=True)
def _crossed(planes, m, pitch, slope):  # type: ignore[no-untyped-def]
    """Pixels, in 1/16, that a track of this slope (1/1024) crosses in module m."""
    crossed = ((slope * planes.depth[planes.surface[m]]) >> 6) // pitch
    return _clip(crossed, -_MOST_CROSSED, _MOST_CROSSED)


@njit(cache=True, nogil=True)
def _excess(planes, hit, wx, wy, k, t, s):  # type: ignore[no-untyped-def]
    """Length and width of a cluster beyond what a track would give it: (ok, columns, rows), 1/16."""
    m = hit[MODULE]
    _, _, dx, dy = walk(wx, wy, k, s)
    n, a, b = planes.normal[m], planes.row_axis[m], planes.col_axis[m]
    cosine = (n[0] * dx + n[1] * dy + n[2] * t) >> 20
    if cosine < 20_000:
        return False, np.int64(0), np.int64(0)
    across = ((a[0] * dx + a[1] * dy + a[2] * t) >> 10) // cosine - planes.drift[m]
    along = ((b[0] * dx + b[1] * dy + b[2] * t) >> 10) // cosine
    return (
        True,
        16 * (hit[COLS] - 1) - _crossed(planes, m, planes.col_pitch[m], abs(along)),
        16 * (hit[ROWS] - 1) - _crossed(planes, m, planes.row_pitch[m], abs(across)),
    )


@njit(cache=True, nogil=True)
def _arc_to(planes, s, k, t, z0):  # type: ignore[no-untyped-def]
    """Arc at which a helix comes to surface s, -1 if it does not."""
    at = planes.at[s]
    if planes.barrel[s]:
        return arc(k, at)
    if t == 0 or (at < 0) != (t < 0):
        return np.int64(-1)
    length = ((at - z0) << 20) // t
    # not more than about half a turn
    if length < 0 or length > FAR or abs((k * length) >> 23) > 3_000_000:
        return np.int64(-1)
    return length


@njit(cache=True, nogil=True)
def _strip(planes, s, k, t, z0, length):  # type: ignore[no-untyped-def]
    """Bin of z or radius of surface s that a helix meets after an arc, -1 if outside."""
    where = z0 + ((t * length) >> 20) if planes.barrel[s] else chord(k, length)
    strip = (where - planes.begin[s]) // planes.strip[s]
    return strip if 0 <= strip < STRIPS else np.int64(-1)


@njit(cache=True, nogil=True)
def make_candidate(planes, hits, i, j, c):  # type: ignore[no-untyped-def]
    """Fill c with the helix through clusters i and j; false if there is none."""
    a, b = hits[i], hits[j]
    ok, wx, wy, k = circle(a[X], a[Y], a[R], b[X], b[Y], b[R])
    if not ok or abs(k) > _MOST_CURVED:
        return False
    s_first, s_last = arc(k, a[R]), arc(k, b[R])
    if s_first < 0 or s_last - s_first < _LEAST_GAP:
        return False
    t = ((b[Z] - a[Z]) << 20) // (s_last - s_first)
    z0 = a[Z] - ((t * s_first) >> 20)
    if abs(z0) > MOST_Z0 or abs(t) > _STEEPEST:
        return False
    c[FIRST], c[LAST] = i, j
    c[WX], c[WY], c[K], c[T], c[Z0] = wx, wy, k, t, z0
    c[S_FIRST], c[S_LAST] = s_first, s_last
    return True


@njit(cache=True, nogil=True)
def look_ahead(planes, hits, c):  # type: ignore[no-untyped-def]
    """Note the surfaces that a candidate has ahead; false if there are none."""
    ahead = np.int64(0)
    k, t, z0 = c[K], c[T], c[Z0]
    for s in range(planes.surface[hits[c[LAST], MODULE]] + 1, len(planes.at)):
        length = _arc_to(planes, s, k, t, z0)
        if length > c[S_LAST] + 1000 and _strip(planes, s, k, t, z0, length) >= 0:
            ahead |= np.int64(1) << s
    c[AHEAD] = ahead
    return ahead != 0


@njit(cache=True, nogil=True)
def seed_contexts(planes, hits, c, slots):  # type: ignore[no-untyped-def]
    """Contexts of a pair of clusters; returns the row of weights."""
    first = planes.surface[hits[c[FIRST], MODULE]]
    last = planes.surface[hits[c[LAST], MODULE]]
    what = planes.barrel[first] * 2 + planes.barrel[last]
    curve, slope = _class(abs(c[K]), _CURVES), _class(abs(c[T]), _SLOPES)
    slots[0] = (planes.place[first] * PLACES + planes.place[last]) * 8 + curve
    slots[1] = _SLOTS + (c[LONG_FIRST] * 16 + c[LONG_LAST]) * 4 + what
    slots[2] = 2 * _SLOTS + (c[WIDE_FIRST] * 16 + c[WIDE_LAST]) * 4 + what
    slots[3] = 3 * _SLOTS + ((slope * 8 + min(abs(c[Z0]) >> 14, 7)) * 4 + what) * 2 + (curve > 3)
    return what


@njit(cache=True, nogil=True)
def make_seeds(  # type: ignore[no-untyped-def]
    planes, hits, order, bins, s, begin, end, least, candidates, n, sums, table, weights, budget
):
    """Pair the clusters of surface s with those of `begin` to `end` that are not yet explained.

    ``order`` lists the clusters of s by azimuth, ``bins`` (257) where each 256th of the circle
    begins; seeds less likely than `least` are left out; ``sums`` [clusters, 2] adds up first
    beliefs by first and by last cluster. `budget` is what work may still be done, and no seeds are
    made without. Returns (candidates, their number): the array grows.
    """
    slots = np.empty(SEED_INPUTS, np.int64)
    x = np.empty(SEED_INPUTS, np.int64)
    c = np.empty(CANDIDATE, np.int64)
    before = n
    barrel = planes.barrel[s]
    a_depth = 16 * planes.depth[s]
    if end > begin:
        steep = planes.steep[planes.surface[hits[begin, MODULE]]] >> 10
    else:
        return candidates, n
    for j in range(begin, end):
        b = hits[j]
        free = 65536 - b[EXPLAINED]
        if free < _FREE or budget[0] < 0:
            continue
        # how far apart in azimuth they can be, in cells: what the most curved circle turns
        nearest = planes.at[s] if barrel else planes.begin[s]
        if b[R] - nearest < _LEAST_GAP:
            continue
        outer, inner = arc(_MOST_CURVED, b[R]), arc(_MOST_CURVED, min(nearest, b[R]))
        reach = np.int64(127)
        if outer > 0 and inner > 0:
            reach = min(((_MOST_CURVED * (outer - inner)) >> 24) * 41 // ONE + 2, 127)
        low = (b[TURN] >> 8) - reach
        to_barrel = planes.barrel[planes.surface[b[MODULE]]]
        b_unit = planes.col_pitch[b[MODULE]]
        b_depth = 16 * planes.depth[planes.surface[b[MODULE]]]
        for q in range(2 * reach + 1):
            cell = (low + q) & 255
            budget[0] -= 1 + bins[cell + 1] - bins[cell]
            for o in range(bins[cell], bins[cell + 1]):
                i = order[o]
                a = hits[i]
                far = b[R] - a[R]
                if far < _LEAST_GAP:
                    continue
                # a straight track first, without division: here most pairs end
                up = b[Z] - a[Z]
                if abs(up) < steep * (far >> 10):
                    continue
                if abs(a[Z] * far - up * a[R]) > (MOST_Z0 + 10_000) * far:
                    continue
                if to_barrel:
                    unit = far * b_unit
                    if abs(16 * (b[COLS] - 1) * unit - abs(up) * b_depth) > (_LONG + 4) * unit:
                        continue
                if barrel:
                    unit = far * planes.col_pitch[a[MODULE]]
                    if abs(16 * (a[COLS] - 1) * unit - abs(up) * a_depth) > (_LONG + 4) * unit:
                        continue
                budget[0] -= HELIX_WORK
                if not make_candidate(planes, hits, i, j, c):
                    continue
                ok, long, wide = _excess(planes, a, c[WX], c[WY], c[K], c[T], c[S_FIRST])
                if not ok or abs(long) > _LONG or abs(wide) > _WIDE:
                    continue
                c[LONG_FIRST], c[WIDE_FIRST] = (long + 24) >> 2, (wide + 24) >> 2
                ok, long, wide = _excess(planes, b, c[WX], c[WY], c[K], c[T], c[S_LAST])
                if not ok or abs(long) > _LONG or abs(wide) > _WIDE:
                    continue
                c[LONG_LAST], c[WIDE_LAST] = (long + 24) >> 2, (wide + 24) >> 2
                if not look_ahead(planes, hits, c):
                    continue
                row = seed_contexts(planes, hits, c, slots)
                guess = mixture(table, slots, weights, row, x)
                belief = guess * free >> 16
                sums[i, 0] += belief
                sums[j, 1] += belief
                if belief < least or n == MOST_CANDIDATES:
                    continue
                if n == len(candidates):
                    candidates = np.concatenate((candidates, np.empty_like(candidates)))
                c[KIND], c[BELIEF], c[GUESS], c[MISSED], c[TESTED] = 0, belief, guess, 0, 0
                candidates[n] = c
                n += 1
    for q in range(before, n):
        c = candidates[q]
        c[RIVALS_FIRST] = _magnitude(sums[c[FIRST], 0] - c[BELIEF])
        c[RIVALS_LAST] = _magnitude(sums[c[LAST], 1] - c[BELIEF])
    return candidates, n


@njit(cache=True, nogil=True)
def pixel_of(edges, n, u):  # type: ignore[no-untyped-def]
    """Pixel coordinate, in 1/16, of a position along rows or columns."""
    if u < edges[0]:
        return ((u - edges[0]) << 4) // (edges[1] - edges[0])
    if u >= edges[n]:
        return (n << 4) + ((u - edges[n]) << 4) // (edges[n] - edges[n - 1])
    low, high = 0, n
    while high - low > 1:
        middle = (low + high) >> 1
        if edges[middle] <= u:
            low = middle
        else:
            high = middle
    return (low << 4) + ((u - edges[low]) << 4) // (edges[low + 1] - edges[low])


@njit(cache=True, nogil=True)
def bucket_of(col, cols):  # type: ignore[no-untyped-def]
    """Bucket of a column, below `BUCKETS`."""
    return _clip(col // max(cols // BUCKETS + 1, _LEAST_BUCKET), 0, BUCKETS - 1)


@njit(cache=True, nogil=True)
def make_spots(planes, hits, candidates, n, s, spots, contexts, budget):  # type: ignore[no-untyped-def]
    """Where n candidates cross the modules of surface s.

    Returns (spots, contexts of each, their number): the arrays grow. Weights are left to the caller.
    """
    found = 0
    to_barrel, place = planes.barrel[s], planes.place[s]
    for q in range(n):
        c = candidates[q]
        if not (c[AHEAD] >> s) & 1 or c[BELIEF] < _SPOT_BELIEF or budget[0] < 0:
            continue
        length = _arc_to(planes, s, c[K], c[T], c[Z0])
        strip = _strip(planes, s, c[K], c[T], c[Z0], length)
        x, y, _, _ = walk(c[WX], c[WY], c[K], length)
        cell = (s * ANGLES + (azimuth(x, y) * ANGLES >> 16)) * STRIPS + strip
        budget[0] -= HELIX_WORK * (1 + planes.cell[cell + 1] - planes.cell[cell])
        for o in range(planes.cell[cell], planes.cell[cell + 1]):
            m = planes.inside[o]
            ok, there, u, v, across, along = crossing(
                planes, m, c[WX], c[WY], c[K], c[T], c[Z0], length
            )
            if not ok or there <= c[S_LAST]:
                continue
            sensor = planes.sensor[m]
            row = pixel_of(planes.row_edge[sensor], planes.rows[m], u)
            col = pixel_of(planes.col_edge[sensor], planes.cols[m], v)
            cols = _crossed(planes, m, planes.col_pitch[m], along)
            rows = _crossed(planes, m, planes.row_pitch[m], across - planes.drift[m])
            begins = col - (abs(cols) >> 1)
            if row < -64 or row > 16 * planes.rows[m] + 64:
                continue
            if begins < -128 or begins > 16 * planes.cols[m] + 128:
                continue
            if found == _MOST_SPOTS:
                return spots, contexts, found
            if found == len(spots):
                spots = np.concatenate((spots, np.empty_like(spots)))
                contexts = np.concatenate((contexts, np.empty_like(contexts)))
            last = planes.surface[hits[c[LAST], MODULE]]
            lever = _class(((there - c[S_LAST]) << 8) // (c[S_LAST] - c[S_FIRST]), _LEVERS)
            group = (lever * 2 + planes.barrel[last]) * 2 + to_barrel
            # a cluster begins in its first column: where the track is in the rows by then
            # depends on which way it goes
            lean = _class(-rows if cols < 0 else rows, _ACROSS)
            far = _class(abs(cols), _ALONG)
            p = spots[found]
            p[SPOT_ROW], p[SPOT_COL] = row >> 2, begins >> 2
            p[ROW_KERNEL] = group * ROW_KERNELS + min(far, 2) * 8 + lean
            p[COL_KERNEL] = group * COL_KERNELS + far
            p[OWNER], p[WHERE], p[BUCKET] = q, m, bucket_of(begins >> 4, planes.cols[m])
            p[CROSSED_COLS], p[CROSSED_ROWS], p[AT_ROW], p[AT_COL] = cols, rows, row, col
            kind = min(c[KIND], 2) * 2 + min(c[MISSED], 1)
            p[MIX] = kind * 2 + to_barrel
            curve, slope = _class(abs(c[K]), _CURVES), _class(abs(c[T]), _SLOPES)
            belief = min(_magnitude(c[BELIEF]), 35)
            e = contexts[found]
            e[0] = ((kind * PLACES + planes.place[last]) * 8 + curve) * 8 + (place & 7)
            e[1] = _SLOTS + ((c[LONG_FIRST] * 16 + c[LONG_LAST]) * 6 + kind) * 2 + to_barrel
            e[2] = 2 * _SLOTS + ((c[WIDE_FIRST] * 16 + c[WIDE_LAST]) * 6 + kind) * 4 + (curve >> 1)
            rivals = min(c[RIVALS_FIRST], 35) // 3 * 12 + min(c[RIVALS_LAST], 35) // 3
            e[3] = 3 * _SLOTS + (rivals * 6 + kind) * 6 + _clip((belief - 20) >> 1, 0, 5)
            e[4] = 4 * _SLOTS
            e[4] += ((slope * 8 + min(abs(c[Z0]) >> 14, 7)) * 6 + kind) * 2 + to_barrel
            e[5] = 5 * _SLOTS + (belief * 6 + kind) * PLACES + place
            found += 1
    return spots, contexts, found
