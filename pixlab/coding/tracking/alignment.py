"""Where modules really are: found from the hits themselves, when a model is fitted.

A detector's table is good to some millimetres, predictions want some ten micrometres. Three
clusters of one particle tell how much is missing: the first two and the beam line predict the
third. Nobody knows which clusters belong together, so each triplet gets a responsibility, under a
Gaussian of residuals above a uniform background; positions and angles of groups of modules that
were built alike are fitted to the triplets weighted so, and the Gaussian is narrowed step by step
(an EM algorithm with annealing). The innermost surface comes second: it has the most clusters, and
tracks that the others agree on point to it. The same triplets tell the thickness of sensors, how
carriers drift, and whether pixels described as long are so.

This is the only part that computes with floats: what it finds is rounded and stored (`describe`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pixlab.coding.hits import Hits
from pixlab.coding.tracking import candidates as track
from pixlab.coding.tracking.candidates import (
    CANDIDATE,
    HIT,
    make_candidate,
    make_seeds,
    make_spots,
    pixel_of,
)
from pixlab.coding.tracking.events import by_azimuth_of, longer
from pixlab.coding.tracking.helix import arc, azimuth, crossing, walk
from pixlab.coding.tracking.memory import fresh
from pixlab.coding.tracking.planes import (
    ANGLES,
    STRIPS,
    TILT,
    UM,
    Geometry,
    describe,
    make_planes,
)
from pixlab.detectors import Detector

__all__ = ["align"]

Array = NDArray[Any]

_MOST_EVENTS = 8
_ENOUGH = 300_000  # digis
_LEAST_CLUSTERS = 3000
_WORK = 1 << 36  # as `candidates` counts it
_LEAST_TRIPLETS = 200
# widths of the Gaussian along rows and columns, um, at the first and the last step, and steps
_OUTER = ((350.0, 3000.0), (45.0, 150.0), 8)
_INNER = ((500.0, 3000.0), (45.0, 150.0), 8)
_ALL = ((150.0, 600.0), (40.0, 70.0), 10)
_STIFF = 8e-7  # half curvature, 1/um, up to which tracks serve while the widths are large
_COARSE = 150.0  # um, along rows
_SIZES = np.array([300.0, 300.0, 1000.0, 200.0, 1000.0, 1000.0])  # of a step: um, um per cm
_MOST_GROUPS = 8  # of a surface; where there are more, it is one group
_DRIFTS = np.linspace(-0.8, 0.8, 65)


@dataclass
class _Clusters:
    """Clusters sorted by event and surface: module, centre in pixels, and spans."""

    event: Array
    module: Array
    row: Array
    col: Array
    rows: Array
    cols: Array


def align(detector: Detector, hits: Hits) -> Geometry:
    """The geometry in which the clusters of `hits` line up best.

    Parameters
    ----------
    detector : Detector
        Whose table is the first guess.
    hits : Hits
        Digis in column order. Some hundred thousand are looked at; with very few, or where the
        table has no positions, the geometry stays as described.
    """
    geometry = Geometry(detector)
    if geometry.surface.max(initial=0) == 0:
        return geometry
    clusters = _clusters(geometry, hits)
    if len(clusters.event) < _LEAST_CLUSTERS:
        return geometry
    group = _groups(geometry)
    _turn_axes(geometry, group, clusters)
    _first_guess(geometry, group, clusters)
    lowest = 1  # surface
    for widths in _narrower(*_OUTER):
        triplets = _triplets(geometry, clusters, widths, lowest)
        if len(triplets.share) < _LEAST_TRIPLETS:
            return Geometry(detector)
        _move(geometry, group, clusters, triplets, widths)
        if widths[0] < _COARSE:
            _learn_sensors(geometry, group, clusters, triplets)
    agreed = triplets.hit[triplets.share > 0.5][:, [0, 2]]
    for widths in _narrower(*_INNER):
        triplets = _triplets(geometry, clusters, widths, lowest, agreed)
        if len(triplets.share) < _LEAST_TRIPLETS:
            return Geometry(detector)
        _move(geometry, group, clusters, triplets, widths)
    for widths in _narrower(*_ALL):
        triplets = _triplets(geometry, clusters, widths, 0)
        _move(geometry, group, clusters, triplets, widths)
        _learn_sensors(geometry, group, clusters, triplets)
    return geometry


def _narrower(first: tuple[float, float], last: tuple[float, float], steps: int) -> Iterator[Array]:
    return iter(np.geomspace(first, last, steps))


def _groups(geometry: Geometry) -> NDArray[np.int64]:
    """Modules that were built alike: of one surface, and at one distance."""
    normal = geometry.normal
    height = np.abs((normal * geometry.position).sum(axis=1))
    barrel = np.abs(normal[:, 2]) < TILT
    radius, z = np.hypot(geometry.position[:, 0], geometry.position[:, 1]), geometry.position[:, 2]
    first = np.where(barrel, np.rint(height / 500), np.rint(radius / 2000))
    second = np.where(barrel, 0, np.rint(np.abs(z) / 500))
    keys = np.stack([geometry.surface, first, second], axis=1)
    for s in np.unique(geometry.surface):
        here = geometry.surface == s
        if len(np.unique(keys[here], axis=0)) > _MOST_GROUPS:
            keys[here, 1:] = 0
    return np.unique(keys, axis=0, return_inverse=True)[1].ravel().astype(np.int64)


# -- clusters ---------------------------------------------------------------------------------
def _clusters(geometry: Geometry, hits: Hits) -> _Clusters:
    most = np.searchsorted(hits.offsets, _ENOUGH)
    events = hits.event[: min(max(int(most), 1), len(hits.event))]
    n_frames = int(np.searchsorted(events, (events[0] if len(events) else 0) + _MOST_EVENTS))
    offsets = hits.offsets[: n_frames + 1]
    n, label, found = _label(offsets, hits.row, hits.col)
    label = label[: offsets[-1]]
    row, col = hits.row[: offsets[-1]] + 0.5, hits.col[: offsets[-1]] + 0.5
    size = np.maximum(np.bincount(label, minlength=n), 1)
    low, high = np.full((n, 2), 1 << 30), np.full((n, 2), -1)
    for i, x in enumerate((hits.row, hits.col)):
        np.minimum.at(low[:, i], label, x[: offsets[-1]].astype(np.int64))
        np.maximum.at(high[:, i], label, x[: offsets[-1]].astype(np.int64))
    frame = found[:n]
    event, module = hits.event[frame].astype(np.int64), hits.module[frame].astype(np.int64)
    order = np.lexsort((geometry.surface[module], event))
    return _Clusters(
        (event - event.min(initial=0))[order],
        module[order],
        (np.bincount(label, row, minlength=n) / size)[order],
        (np.bincount(label, col, minlength=n) / size)[order],
        (high - low + 1)[order, 0],
        (high - low + 1)[order, 1],
    )


@njit(cache=True, nogil=True)
def _label(offsets, row, col):  # type: ignore[no-untyped-def]
    """Number of clusters, the cluster of each digi, and the frame of each cluster."""
    n_digis = offsets[-1]
    parent = np.arange(n_digis)
    for f in range(len(offsets) - 1):
        begin = offsets[f]
        for i in range(offsets[f], offsets[f + 1]):
            while np.int64(col[begin]) + 1 < col[i]:
                begin += 1
            # all earlier digis of this column and the one before
            for j in range(begin, i):
                if abs(np.int64(row[j]) - np.int64(row[i])) > 1:
                    continue
                a, b = i, j
                while parent[a] != a:
                    a = parent[a]
                while parent[b] != b:
                    b = parent[b]
                parent[max(a, b)] = min(a, b)
    label = np.empty(n_digis, np.int64)
    found = np.empty(n_digis, np.int64)
    n = 0
    for f in range(len(offsets) - 1):
        for i in range(offsets[f], offsets[f + 1]):
            if parent[i] == i:
                label[i], found[n] = n, f
                n += 1
            else:
                label[i] = label[parent[i]]
    return n, label, found


# -- a first guess ----------------------------------------------------------------------------
def _local(geometry: Geometry, clusters: _Clusters) -> tuple[Array, Array]:
    """Positions of clusters from the middle of their module, and of the extra length of long pixels."""
    here, extra = np.zeros((len(clusters.row), 2)), np.zeros((len(clusters.row), 2))
    sensor = geometry.detector.sensor[clusters.module]
    for i, (edges, s) in enumerate(zip(geometry.edges(), geometry.detector.sensors, strict=True)):
        mine = sensor == i
        for k, (x, sizes, pitch) in enumerate(
            (
                (clusters.row[mine], s.row_sizes, s.pitch_row),
                (clusters.col[mine], s.col_sizes, s.pitch_col),
            )
        ):
            here[mine, k] = np.interp(x, np.arange(len(edges[k])), edges[k])
            longer_by = np.concatenate([[0.0], np.cumsum(sizes - pitch)])
            extra[mine, k] = np.interp(x, np.arange(len(longer_by)), longer_by)
            extra[mine, k] -= longer_by[-1] / 2
    return here, extra


def _points(geometry: Geometry, clusters: _Clusters) -> tuple[Array, Array, Array]:
    here, extra = _local(geometry, clusters)
    m = clusters.module
    point = geometry.position[m] + here[:, :1] * geometry.row_axis[m]
    return point + here[:, 1:] * geometry.col_axis[m], here, extra


def _first_guess(geometry: Geometry, group: Array, clusters: _Clusters) -> None:
    """Thickness and drift from the sizes of clusters, as if all tracks came from the origin."""
    point, _, _ = _points(geometry, clusters)
    m = clusters.module
    normal = geometry.normal[m]
    height = (point * normal).sum(axis=1)
    height = np.where(np.abs(height) < 1, 1, height)
    along = (point * geometry.col_axis[m]).sum(axis=1) / height
    across = (point * geometry.row_axis[m]).sum(axis=1) / height
    barrel = np.abs(normal[:, 2]) < TILT
    surface = geometry.surface[m]
    depths = {}
    for s in np.unique(surface):
        # far from the middle the place of the collision matters least
        mine = (surface == s) & barrel
        far = mine & (np.abs(along) > max(0.6 * np.abs(along[mine]).max(initial=0), 0.7))
        if far.sum() > 200:
            length = (clusters.cols[far] - 1) * geometry.detector.pitch[m[far], 1]
            depths[s] = float(np.median(length / np.abs(along[far])))
    usual = float(np.median(list(depths.values()))) if depths else 285.0
    for s in range(len(geometry.depth)):
        geometry.depth[s] = min(max(depths.get(s, usual), 30.0), 1000.0)
    _fit_drift(geometry, group, m, across, clusters.rows, np.ones(len(m)))


def _turn_axes(geometry: Geometry, group: Array, clusters: _Clusters) -> None:
    """Turn rows or columns around where more clusters line up then.

    Not all software numbers the rows of modules that face the collisions, or of the two ends, in
    the same direction as the table says.
    """
    x, y = geometry.position[:, 0], geometry.position[:, 1]
    barrel = np.abs(geometry.normal[:, 2]) < TILT
    counted_back = geometry.row_axis[:, 1] * x < geometry.row_axis[:, 0] * y
    behind = geometry.position[:, 2] < 0
    widths = np.array(_OUTER[0])
    best = 0.0
    for axes in ("row_axis", "col_axis"):
        for modules in (barrel & False, barrel & counted_back, barrel & ~counted_back,
                        ~barrel & behind, ~barrel & ~behind):  # fmt: skip
            before = getattr(geometry, axes)
            setattr(geometry, axes, np.where(modules[:, None], -before, before))
            _first_guess(geometry, group, clusters)
            score = float(_triplets(geometry, clusters, widths, 1).share.sum())
            if score > 1.1 * best:
                best = score
            else:
                setattr(geometry, axes, before)


def _fit_drift(
    geometry: Geometry, group: Array, module: Array, across: Array, rows: Array, share: Array
) -> None:
    """The drift of each group for which clusters are about as wide as their tracks say."""
    pixel = geometry.depth[geometry.surface[module]] / geometry.detector.pitch[module, 0]
    mine = group[module]
    for g in np.unique(mine):
        here = np.flatnonzero((mine == g) & (np.abs(across) < 1))
        if len(here) < 100:
            continue
        width = np.abs(across[here, None] - _DRIFTS) * pixel[here, None]
        off = rows[here, None] - 1 - width
        weight = share[here] / share[here].sum()
        mean = weight @ off
        spread = weight @ off**2 - mean**2
        geometry.drift[group == g] = _DRIFTS[np.argmin(spread + 0.3 * (mean - 0.15) ** 2)]


# -- triplets ---------------------------------------------------------------------------------
@dataclass
class _Triplets:
    """Clusters (first, second, target), residuals and slopes there, and responsibilities."""

    hit: Array
    point: Array
    local: Array
    extra: Array
    residual: Array
    slope: Array
    share: Array


def _triplets(
    geometry: Geometry, clusters: _Clusters, widths: Array, lowest: int, agreed: Array | None = None
) -> _Triplets:
    """Triplets of surfaces from `lowest` on; or, with pairs that are agreed on, of the innermost."""
    planes = make_planes(geometry.detector, describe(geometry))
    point, local, extra = _points(geometry, clusters)
    m = clusters.module
    table = np.zeros((len(m), HIT), np.int64)
    table[:, track.X : track.Z + 1] = np.rint(point)
    table[:, track.R] = np.rint(np.hypot(point[:, 0], point[:, 1]))
    table[:, track.MODULE] = m
    table[:, track.COLS], table[:, track.ROWS] = clusters.cols, clusters.rows
    table[:, track.TURN] = [azimuth(int(x), int(y)) for x, y in table[:, :2]]
    surface = geometry.surface[m]
    memory = fresh()
    row, col = (np.rint(x * 16).astype(np.int64) for x in (clusters.row, clusters.col))
    near = 3 * widths
    if agreed is None:
        stiff = np.int64(_STIFF * 2**44) if widths[0] > _COARSE else np.int64(1) << 40
        found, kind, spots = _associate(
            planes, table, clusters.event, surface, row, col, near, lowest, stiff, memory.seeds,
            memory.seed_weights,
        )  # fmt: skip
    else:
        found, spots = _inward(planes, table, clusters.event, surface, row, col, near, agreed)
        kind = np.zeros(len(found), np.int64)
    target = found[:, 2]
    normal = geometry.normal
    predicted = _predict(geometry, normal, point[found[:, 0]], point[found[:, 1]], m[target])
    residual = local[target] - predicted[:, :2]
    sound = np.isfinite(residual).all(axis=1)
    # the density of clusters that belong to no track, for each surface
    area = np.zeros(len(geometry.depth))
    sizes = np.array([(r[-1] - r[0]) * (c[-1] - c[0]) for r, c in geometry.edges()])
    np.add.at(area, geometry.surface, sizes[geometry.detector.sensor])
    n_events = int(clusters.event.max(initial=0)) + 1
    density = np.bincount(surface, minlength=len(area)) / n_events / area
    peak = np.exp(-((residual / widths) ** 2).sum(axis=1) / 2) / (2 * np.pi * widths.prod())
    peak = np.where(sound, peak, 0.0)
    worth = np.full(len(spots), 0.1)
    ground = 0.5 * density[surface]
    for _ in range(10):
        part = worth[kind] * peak
        whole = ground + np.bincount(target, part, minlength=len(m))
        share = part / whole[target]
        worth = np.bincount(kind, share, minlength=len(spots)) / np.maximum(spots, 1) + 1e-6
    kept = (share > 0.02) & sound
    return _Triplets(
        found[kept], point, local, extra, residual[kept], predicted[kept, 2:], share[kept]
    )


@njit(cache=True, nogil=True)
def _associate(planes, hits, event, surface, row, col, near, lowest, stiff, seeds, weights):  # type: ignore[no-untyped-def]
    """All triplets whose residuals (um) are small: (clusters, kind, spots of each kind)."""
    n_surfaces = len(planes.at)
    found = np.empty((4096, 3), np.int64)
    kinds = np.empty((4096, 1), np.int64)
    n = 0
    spots_of_kind = np.zeros(n_surfaces**3, np.int64)
    candidates = np.zeros((1024, CANDIDATE), np.int64)
    spots = np.zeros((1024, track.SPOT), np.int64)
    contexts = np.zeros((1024, track.SPOT_INPUTS), np.int64)
    order = np.zeros(len(hits), np.int64)
    turns = np.zeros((n_surfaces, 257), np.int64)
    sums = np.zeros((len(hits), 2), np.int64)
    budget = np.array([_WORK])
    first = np.zeros(len(planes.rows) + 1, np.int64)
    begin = 0
    while begin < len(hits):
        n_candidates = 0
        for s in range(n_surfaces):
            end = begin
            while end < len(hits) and event[end] == event[begin] and surface[end] == s:
                end += 1
            # clusters by module
            first[:] = 0
            listed = np.empty(end - begin, np.int64)
            for i in range(begin, end):
                first[hits[i, track.MODULE] + 1] += 1
            for m in range(len(planes.rows)):
                first[m + 1] += first[m]
            at = first.copy()
            for i in range(begin, end):
                m = hits[i, track.MODULE]
                listed[at[m]] = i
                at[m] += 1
            spots, contexts, made = make_spots(
                planes, hits, candidates, n_candidates, s, spots, contexts, budget
            )
            for q in range(made):
                spot = spots[q]
                c = candidates[spot[track.OWNER]]
                a, b = c[track.FIRST], c[track.LAST]
                if abs(c[track.K]) > stiff:
                    continue
                kind = (surface[a] * n_surfaces + surface[b]) * n_surfaces + s
                spots_of_kind[kind] += 1
                m = spot[track.WHERE]
                for k in range(first[m], first[m + 1]):
                    i = listed[k]
                    if not _close(
                        planes, m, row[i], col[i], spot[track.AT_ROW], spot[track.AT_COL], near
                    ):
                        continue
                    found, kinds = longer(found, n + 1), longer(kinds, n + 1)
                    found[n, 0], found[n, 1], found[n, 2] = a, b, i
                    kinds[n, 0] = kind
                    n += 1
            by_azimuth_of(hits, begin, end, order, turns[s])
            for a in range(lowest, s):
                if planes.barrel[a] or (planes.at[a] < 0) == (planes.at[s] < 0):
                    candidates, n_candidates = make_seeds(
                        planes, hits, order, turns[a], a, begin, end, track.SEED_BELIEF, candidates,
                        n_candidates, sums, seeds, weights, budget,
                    )  # fmt: skip
            begin = end
    return found[:n], kinds[:n, 0], spots_of_kind


@njit(cache=True, nogil=True)
def _close(planes, m, row, col, at_row, at_col, near):  # type: ignore[no-untyped-def]
    if abs(row - at_row) * planes.row_pitch[m] > 16 * near[0]:
        return False
    return abs(col - at_col) * planes.col_pitch[m] <= 16 * near[1]


@njit(cache=True, nogil=True)
def _inward(planes, hits, event, surface, row, col, near, pairs):  # type: ignore[no-untyped-def]
    """Triplets (first, second, cluster of the innermost surface) of pairs: (clusters, [spots])."""
    found = np.empty((4096, 3), np.int64)
    n, crossings = 0, 0
    c = np.zeros(CANDIDATE, np.int64)
    begin = np.searchsorted(event, np.arange(event[-1] + 2))
    for q in range(len(pairs)):
        a, b = pairs[q]
        if not make_candidate(planes, hits, a, b, c):
            continue
        wx, wy, k, t, z0 = c[track.WX], c[track.WY], c[track.K], c[track.T], c[track.Z0]
        length = arc(k, planes.at[0])
        strip = (z0 + ((t * length) >> 20) - planes.begin[0]) // planes.strip[0]
        if length < 0 or strip < 0 or strip >= STRIPS:
            continue
        x, y, _, _ = walk(wx, wy, k, length)
        cell = (azimuth(x, y) * ANGLES >> 16) * STRIPS + strip
        for o in range(planes.cell[cell], planes.cell[cell + 1]):
            m = planes.inside[o]
            ok, _, u, v, _, _ = crossing(planes, m, wx, wy, k, t, z0, length)
            if not ok:
                continue
            crossings += 1
            sensor = planes.sensor[m]
            at_row = pixel_of(planes.row_edge[sensor], planes.rows[m], u)
            at_col = pixel_of(planes.col_edge[sensor], planes.cols[m], v)
            i = begin[event[a]]
            while i < len(hits) and event[i] == event[a] and surface[i] == 0:
                if hits[i, track.MODULE] == m and _close(
                    planes, m, row[i], col[i], at_row, at_col, near
                ):
                    found = longer(found, n + 1)
                    found[n, 0], found[n, 1], found[n, 2] = a, b, i
                    n += 1
                i += 1
    return found[:n], np.array([crossings])


def _predict(geometry: Geometry, normal: Array, a: Array, b: Array, module: Array) -> Array:
    """Where tracks through a and b cross modules: position and slopes, float64[n, 4]."""
    out = np.empty((len(a), 4))
    _cross(
        np.ascontiguousarray(a), np.ascontiguousarray(b), geometry.position[module],
        geometry.row_axis[module], geometry.col_axis[module], normal[module], out,
    )  # fmt: skip
    return out


@njit(cache=True, nogil=True)
def _cross(a, b, centre, row_axis, col_axis, normal, out):  # type: ignore[no-untyped-def]
    """As `helix.crossing`, in floats."""
    for i in range(len(a)):
        ra, rb = a[i, 0] ** 2 + a[i, 1] ** 2, b[i, 0] ** 2 + b[i, 1] ** 2
        wx, wy = a[i, 0] * rb - b[i, 0] * ra, a[i, 1] * rb - b[i, 1] * ra
        norm = np.sqrt(wx * wx + wy * wy) + 1e-9
        wx, wy = wx / norm, wy / norm
        if wx * a[i, 0] + wy * a[i, 1] < 0:
            wx, wy = -wx, -wy
        k = (wx * b[i, 1] - wy * b[i, 0]) / rb
        if abs(k) < 1e-12:
            k = 1e-12
        first = np.arcsin(min(max(np.sqrt(ra) * k, -1), 1)) / k
        s = np.arcsin(min(max(np.sqrt(rb) * k, -1), 1)) / k
        t = (b[i, 2] - a[i, 2]) / (s - first)
        z0 = a[i, 2] - t * first
        n = normal[i]
        px = py = pz = dx = dy = 0.0
        cosine = 1.0
        for _ in range(6):
            ahead = np.sin(2 * k * s) / (2 * k)
            aside = (1 - np.cos(2 * k * s)) / (2 * k)
            px = wx * ahead - wy * aside - centre[i, 0]
            py = wy * ahead + wx * aside - centre[i, 1]
            pz = z0 + t * s - centre[i, 2]
            dx = wx * np.cos(2 * k * s) - wy * np.sin(2 * k * s)
            dy = wy * np.cos(2 * k * s) + wx * np.sin(2 * k * s)
            cosine = n[0] * dx + n[1] * dy + n[2] * t
            s -= (n[0] * px + n[1] * py + n[2] * pz) / cosine
        u, v = row_axis[i], col_axis[i]
        out[i, 0] = u[0] * px + u[1] * py + u[2] * pz
        out[i, 1] = v[0] * px + v[1] * py + v[2] * pz
        out[i, 2] = (u[0] * dx + u[1] * dy + u[2] * t) / cosine
        out[i, 3] = (v[0] * dx + v[1] * dy + v[2] * t) / cosine


# -- corrections ------------------------------------------------------------------------------
def _learn_sensors(
    geometry: Geometry, group: Array, clusters: _Clusters, triplets: _Triplets
) -> None:
    """Effective thickness and drift from the sizes of clusters whose tracks are known."""
    target = triplets.hit[:, 2]
    m, share = clusters.module[target], triplets.share
    surface, pitch = geometry.surface[m], geometry.detector.pitch[m, 1]
    length, slope = (clusters.cols[target] - 1) * pitch, np.abs(triplets.slope[:, 1])
    known = {}
    for s in np.unique(surface):
        here = (surface == s) & (slope < 12)
        weight = share * here
        if weight.sum() > 200:
            # a line: the ends of a cluster add the same to short and long ones
            mean_x, mean_y = (weight @ v / weight.sum() for v in (slope, length))
            spread = weight @ (slope - mean_x) ** 2 / weight.sum()
            if spread > 0.05:
                known[s] = weight @ ((slope - mean_x) * (length - mean_y)) / weight.sum() / spread
    if known:
        usual = float(np.median(list(known.values())))
        for s in range(len(geometry.depth)):
            geometry.depth[s] = min(max(known.get(s, usual), 30.0), 1000.0)
    _fit_drift(geometry, group, m, triplets.slope[:, 0], clusters.rows[target], share)


def _move(
    geometry: Geometry, group: Array, clusters: _Clusters, triplets: _Triplets, widths: Array
) -> None:
    """One weighted least-squares step of shifts, rotations and stretches."""
    normal = geometry.normal
    n_groups, n_sensors = int(group.max()) + 1, len(geometry.detector.sensors)
    size = 6 * n_groups + 2 * n_sensors
    m, sensor = clusters.module, geometry.detector.sensor.astype(np.int64)
    a, b, target = triplets.hit.T
    xa, xb = triplets.point[a], triplets.point[b]
    mt = m[target]

    def moved(xa: Array, xb: Array) -> Array:
        return _predict(geometry, normal, xa, xb, mt)[:, :2]

    middle = moved(xa, xb)
    parts = []
    for hit, first in ((a, True), (b, False)):
        slope = np.empty((len(hit), 2, 3))
        for axis in range(3):
            step = np.zeros(3)
            step[axis] = 10.0
            there = moved(xa + step, xb) if first else moved(xa, xb + step)
            slope[:, :, axis] = (there - middle) / 10.0
        ways, stretches = _ways(geometry, normal, m[hit], triplets.local[hit], triplets.extra[hit])
        parts.append((-slope @ ways, 6 * group[m[hit]]))
        parts.append((-slope @ stretches, 6 * n_groups + 2 * sensor[m[hit]]))
    # a target that moves out of its plane also meets the track elsewhere
    ways, stretches = _ways(geometry, normal, mt, triplets.local[target], triplets.extra[target])
    axes = np.stack([geometry.row_axis[mt], geometry.col_axis[mt]], axis=1)
    for way, start in (
        (ways, 6 * group[mt]),
        (stretches, 6 * n_groups + 2 * sensor[mt]),
    ):
        off = np.einsum("ic,icp->ip", normal[mt], way)
        parts.append((axes @ way - triplets.slope[:, :, None] * off[:, None, :], start))
    value = np.concatenate([part for part, _ in parts], axis=2)
    place = np.concatenate(
        [start[:, None].astype(np.int64) + np.arange(part.shape[2]) for part, start in parts],
        axis=1,
    )
    sound = np.isfinite(value).all(axis=(1, 2)) & (np.abs(value[:, :, :3]).max(axis=(1, 2)) < 20)
    value, place = value[sound], place[sound]
    residual, share = triplets.residual[sound], triplets.share[sound]
    prior = np.concatenate([np.tile(_SIZES, n_groups), np.ones(2 * n_sensors)])
    matrix: Array = np.diag(prior**-2.0)
    vector: Array = np.zeros(size)
    pair = place[:, :, None] * size + place[:, None, :]
    for axis in range(2):
        v = value[:, axis]
        weight = share / widths[axis] ** 2
        products = weight[:, None, None] * v[:, :, None] * v[:, None, :]
        matrix += np.bincount(pair.ravel(), products.ravel(), minlength=size * size).reshape(
            size, size
        )
        vector += np.bincount(
            place.ravel(), (weight * residual[:, axis])[:, None].repeat(v.shape[1], 1).ravel() * v.ravel(),
            minlength=size,
        )  # fmt: skip
    step = -np.linalg.solve(matrix, vector)
    if widths[0] > _COARSE:
        step *= 1.5  # responsibilities under a wide Gaussian are timid
    shift = step[: 6 * n_groups].reshape(-1, 6)[group]
    row_axis, col_axis = geometry.row_axis, geometry.col_axis
    geometry.position = geometry.position + (
        shift[:, 0:1] * row_axis + shift[:, 1:2] * col_axis + shift[:, 2:3] * normal
    )
    turn = shift[:, 3:] / UM
    new_row = row_axis + turn[:, 0:1] * col_axis + turn[:, 2:3] * normal
    new_col = col_axis - turn[:, 0:1] * row_axis + turn[:, 1:2] * normal
    new_row /= np.linalg.norm(new_row, axis=1)[:, None]
    new_col -= new_row * (new_row * new_col).sum(axis=1)[:, None]
    new_col /= np.linalg.norm(new_col, axis=1)[:, None]
    geometry.row_axis, geometry.col_axis = new_row, new_col
    stretch = step[6 * n_groups :].reshape(-1, 2)
    geometry.stretch = np.clip(geometry.stretch + stretch, -0.2, 1.5)


def _ways(
    geometry: Geometry, normal: Array, module: Array, local: Array, extra: Array
) -> tuple[Array, Array]:
    """How points move with the corrections of their group and of their sensor: [n, 3, 6], [n, 3, 2].

    Shifts along rows, columns and the normal; turns in the plane, and out of it along columns and
    rows (um per cm); stretches along rows and columns.
    """
    a, b, n = geometry.row_axis[module], geometry.col_axis[module], normal[module]
    u, v = local[:, :1] / UM, local[:, 1:] / UM
    ways = np.stack([a, b, n, u * b - v * a, v * n, u * n], axis=2)
    return ways, np.stack([extra[:, :1] * a, extra[:, 1:] * b], axis=2)
