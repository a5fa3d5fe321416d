"""From clusters and truth to `Resolution`.

Each crossing of a particle through a module is given the nearest original and the nearest decoded
cluster; their distance to where the charge of the crossing drifts is the residual. Particles that
are seen in three or four layers are fitted with a helix through those clusters.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pixlab.clusters import Clusters
from pixlab.detectors import Detector
from pixlab.errors import PixlabError
from pixlab.physics.groups import event_keys, part_of
from pixlab.physics.resolution import (
    HITS,
    LAYERS,
    MIN_PT,
    NORMALISED,
    PT_CLASSES,
    TRACKS,
    Resolution,
)
from pixlab.physics.spectra import bins_of
from pixlab.physics.tracks import fit_helices

__all__ = ["TruthLike", "resolve"]

WINDOW = 3.0  # pixels along rows and columns, within which the cluster of a crossing is sought


class TruthLike(Protocol):
    """What is needed of `pixlab.simulation`'s truth; see there for units and order."""

    @property
    def detector(self) -> Detector:
        """Where it happened."""

    @property
    def particles(self) -> Mapping[str, NDArray[Any]]:
        """``event, charge, parent, x, y, z, pt``."""

    @property
    def crossings(self) -> Mapping[str, NDArray[Any]]:
        """``event, particle, module, row, col, cot_row, cot_col``, along each particle's way."""

    @property
    def lorentz_shift(self) -> NDArray[np.float64]:
        """Drift along rows and columns in each module, um."""


def resolve(
    before: Clusters, after: Clusters, truth: TruthLike, first_event: int = 0
) -> Resolution:
    """Hold the clusters of original and decoded digis against the truth.

    Parameters
    ----------
    before, after : Clusters
        Of the same events.
    truth : TruthLike
        Of these events, or of more.
    first_event : int
        Number in the truth of the first of the events.

    Raises
    ------
    PixlabError
        If the truth is of another detector.
    """
    detector = before.digis.detector
    if truth.detector != detector:
        raise PixlabError(
            f"the truth is of detector '{truth.detector.name}', the digis of '{detector.name}'",
            "give the truth that was simulated with the digis",
        )
    n_events = len(before.digis)
    met = _events_of(truth.crossings, first_event, n_events)
    event, module = met["event"] - first_event, met["module"]
    expected = _local(detector, module, met["row"], met["col"]) + truth.lorentz_shift[module]
    sides = (before, after)
    found = [_nearest_clusters(c, event, module, expected) for c in sides]

    particle = met["particle"]
    chosen = (truth.particles["pt"][particle] >= MIN_PT) & (truth.particles["parent"][particle] < 0)
    keys = event_keys(before.digis)
    part = part_of(detector, keys, event, module)
    layer = detector.layer[module].astype(np.int64)
    result = Resolution.empty(detector)
    path = np.sqrt(1 + met["cot_row"] ** 2 + met["cot_col"] ** 2)
    for side, clusters in enumerate(sides):
        seen = chosen & (found[side] >= 0)
        at = found[side][seen]
        _count(result.crossings[side], part[chosen], layer[chosen], seen[chosen].astype(int))
        for k, name in enumerate(HITS):
            residual = clusters.local[at, k] - expected[seen, k]
            place = bins_of(HITS[name].edges, residual)
            _count(result.hits[name][side], part[seen], layer[seen], place)
        alone = np.bincount(found[side][found[side] >= 0], minlength=len(clusters))[at] == 1
        charge = clusters.charge[at][alone] / path[seen][alone] / 1e3
        _count(result.normalised[side], layer[seen][alone], bins_of(NORMALISED, charge))

    for i, number in enumerate(LAYERS):
        own = _tracks(particle, layer, chosen, number)
        who = particle[own[:, 0]]
        pt = truth.particles["pt"][who]
        kind = np.searchsorted(PT_CLASSES, pt, "right") - 1
        where = part[own[:, 0]]
        complete = [(f[own] >= 0).all(axis=1) for f in found]
        was, stays = (c.astype(int) for c in complete)
        _count(result.seeds, where, i, kind, was, stays)
        for side, clusters in enumerate(sides):
            use = complete[side]
            at = own[use]
            shift = truth.lorentz_shift[module[at]]
            points = _global(detector, module[at], clusters.local[found[side][at]] - shift)
            origin = np.stack([truth.particles[k][who[use]] for k in "xyz"], axis=-1)
            fit = fit_helices(points - origin[:, None])
            error = fit.q_over_pt * pt[use] * truth.particles["charge"][who[use]] - 1
            um = 1e4
            for name, values in (("d0", um * fit.d0), ("z0", um * fit.z0), ("pt", 100 * error)):
                place = bins_of(TRACKS[name].edges, values)
                _count(result.tracks[name][side], where[use], i, kind[use], place)
    return result


def _count(into: NDArray[np.int64], *places: NDArray[np.int64] | int) -> None:
    """One more at each of the places."""
    np.add.at(into, tuple(np.broadcast_arrays(*places)), 1)


def _events_of(
    table: Mapping[str, NDArray[Any]], first: int, n_events: int
) -> dict[str, NDArray[Any]]:
    """The rows of some events; rows are sorted by event."""
    start, stop = np.searchsorted(table["event"], [first, first + n_events])
    return {name: column[start:stop] for name, column in table.items()}


def _local(detector: Detector, module: NDArray, row: NDArray, col: NDArray) -> NDArray[np.float64]:
    """Fractional pixels to um from the centre of the module: float64[n, 2]."""
    out = np.empty((len(module), 2))
    which = detector.sensor[module]
    for i, sensor in enumerate(detector.sensors):
        at = which == i
        out[at] = np.stack(sensor.local(row[at], col[at]), axis=-1)
    return out


def _global(detector: Detector, module: NDArray, local: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points of modules, um, in space, cm: float64[..., 3]."""
    um = 1e-4
    along_rows = um * local[..., :1] * detector.axis_row[module]
    along_cols = um * local[..., 1:] * detector.axis_col[module]
    return detector.position[module] + along_rows + along_cols


def _tracks(
    particle: NDArray[np.integer], layer: NDArray[np.int64], chosen: NDArray[np.bool_], number: int
) -> NDArray[np.int64]:
    """Crossings of particles in their first so many layers: int64[tracks, number].

    The first crossing of each layer counts.
    """
    index = np.flatnonzero(chosen)
    key = particle[index].astype(np.int64) * (int(layer.max(initial=0)) + 1) + layer[index]
    _, first = np.unique(key, return_index=True)
    index = index[np.sort(first)]
    _, start, size = np.unique(particle[index], return_index=True, return_counts=True)
    start = start[size >= number]
    return index[start[:, None] + np.arange(number)]


def _nearest_clusters(
    clusters: Clusters, event: NDArray, module: NDArray, expected: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Index of the nearest cluster of each crossing, -1 where none is near."""
    digis = clusters.digis
    n = len(digis.detector)
    frames = digis.frames.event * n + digis.frames.module
    wanted = event.astype(np.int64) * n + module
    frame = np.searchsorted(frames, wanted)
    there = frame < len(frames)
    there[there] = frames[frame[there]] == wanted[there]
    starts = np.searchsorted(clusters.frame, np.arange(len(frames) + 1))
    return _nearest(
        np.where(there, frame, -1), starts, clusters.local, expected,
        WINDOW * digis.detector.pitch[module],
    )  # fmt: skip


@njit(cache=True, nogil=True)
def _nearest(frame, starts, local, expected, window):  # type: ignore[no-untyped-def]
    found = np.full(len(frame), -1, np.int64)
    for i in range(len(frame)):
        if frame[i] < 0:
            continue
        best = np.inf
        for j in range(starts[frame[i]], starts[frame[i] + 1]):
            dx = abs(local[j, 0] - expected[i, 0])
            dy = abs(local[j, 1] - expected[i, 1])
            if dx > window[i, 0] or dy > window[i, 1]:
                continue
            distance = dx * dx + dy * dy
            if distance < best:
                best = distance
                found[i] = j
    return found
