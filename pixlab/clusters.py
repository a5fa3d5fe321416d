"""Digis to clusters: 8-neighbour groups of pixels above the thresholds of reconstruction.

The rules are those of CMS (``RecoLocalTracker/SiPixelClusterizer``): a charge below 100 electrons
counts as 100; a pixel joins when its charge reaches the channel threshold; a cluster is kept when
one of its pixels reaches the seed threshold and their sum the cluster threshold. All thresholds
are the detector's. One thing is left out: CMS stops a cluster at 256 pixels, here it goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pixlab.detectors import Detector
from pixlab.digis import Digis
from pixlab.jit import kernel

__all__ = ["CHARGE_FLOOR", "Clusters", "cluster"]

CHARGE_FLOOR = 100.0  # electrons, RecoLocalTracker/SiPixelClusterizer/PixelThresholdClusterizer.cc


@dataclass(frozen=True, eq=False, repr=False)
class Clusters:
    """Clusters of digis, sorted by event, module and first digi; made by `cluster`.

    Parameters
    ----------
    digis : Digis
        What they are made of.
    label : int32[digis]
        Cluster of each digi, -1 for a digi that is in none.
    frame : int32[n]
        Index into ``digis.frames``: the module and event of each cluster.
    charge : float64[n]
        Sum of the electrons of its pixels.
    size, size_row, size_col : int32[n]
        Number of pixels, and span in rows and columns (both ends included).
    row, col : float64[n]
        Charge-weighted barycentre in pixels; the centre of pixel ``i`` is at ``i + 0.5``.
    min_row, min_col, max_row, max_col : int32[n]
        The box around it, both ends included.
    """

    digis: Digis
    label: NDArray[np.int32]
    frame: NDArray[np.int32]
    charge: NDArray[np.float64]
    size: NDArray[np.int32]
    row: NDArray[np.float64]
    col: NDArray[np.float64]
    min_row: NDArray[np.int32]
    min_col: NDArray[np.int32]
    max_row: NDArray[np.int32]
    max_col: NDArray[np.int32]

    def __post_init__(self) -> None:
        for value in self.__dict__.values():
            if isinstance(value, np.ndarray):
                value.setflags(write=False)

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def size_row(self) -> NDArray[np.int32]:
        """Span in rows: int32[n]."""
        return self.max_row - self.min_row + 1

    @property
    def size_col(self) -> NDArray[np.int32]:
        """Span in columns: int32[n]."""
        return self.max_col - self.min_col + 1

    @cached_property
    def event(self) -> NDArray[np.int64]:
        """Index of the event of each cluster: int64[n]."""
        return self.digis.frames.event[self.frame]

    @cached_property
    def module(self) -> NDArray[np.int32]:
        """Index into the detector's module table of each cluster: int32[n]."""
        return self.digis.frames.module[self.frame]

    @cached_property
    def layer(self) -> NDArray[np.int16]:
        """Index into the detector's layers of each cluster: int16[n]."""
        return self.digis.detector.layer[self.module]

    @cached_property
    def local(self) -> NDArray[np.float64]:
        """Charge-weighted centre in the frame of the module: float64[n, 2], um along rows and columns.

        It weighs the centres of the pixels in space, so that pixels of double size count where
        they are; `row` and `col` weigh their numbers, as CMS does.
        """
        detector, frames = self.digis.detector, self.digis.frames
        row_centre, col_centre = (
            _table(side) for side in zip(*(s.centres for s in detector.sensors), strict=True)
        )
        sums = _centres(
            *(len(self), self.label, frames.offsets, frames.module),
            *(detector.sensor, row_centre, col_centre, detector.response, _electrons(detector)),
            *(self.digis.row, self.digis.col, self.digis.adc),
        )
        sums.setflags(write=False)
        return sums

    @cached_property
    def digi_offsets(self) -> NDArray[np.int64]:
        """Where each cluster's part of `digis_of` begins and ends: int64[n + 1]."""
        return np.concatenate([[0], np.cumsum(self.size)]).astype(np.int64)

    @cached_property
    def digis_of(self) -> NDArray[np.int64]:
        """Indices of the digis of cluster 0, then of cluster 1, and so on: int64[...]."""
        return _group(self.label, self.digi_offsets)

    def __repr__(self) -> str:
        return f"<Clusters {self.digis.detector.name}: {len(self.digis)} events, {len(self):,} clusters>"


def cluster(digis: Digis, *, thresholds: bool = True) -> Clusters:
    """Group digis into clusters.

    Parameters
    ----------
    digis : Digis
        Any number of events.
    thresholds : bool
        Apply the detector's channel, seed and cluster thresholds; without them every group of
        touching digis is a cluster.

    Returns
    -------
    Clusters

    Examples
    --------
    >>> from pixlab import Digis, cluster
    >>> digis = Digis.from_arrays([0, 0], [303042564] * 2, [5, 6], [7, 8], [100, 100], detector="phase1")
    >>> found = cluster(digis)
    >>> found.charge, found.row, found.size_col
    (array([27000.]), array([6.]), array([2], dtype=int32))
    """
    detector, frames = digis.detector, digis.frames
    channel = detector.channel_threshold if thresholds else -np.inf
    label = np.empty(digis.n_digis, np.int32)
    charge = np.empty(digis.n_digis)
    _connect(
        frames.offsets,
        frames.module,
        detector.response,
        _electrons(detector),
        digis.row,
        digis.col,
        digis.adc,
        channel,
        label,
        charge,
    )
    n = _number(label)
    if thresholds:
        least = detector.cluster_threshold[frames.module]
        n = _keep(n, frames.offsets, label, charge, detector.seed_threshold, least)
    found = _measure(n, frames.offsets, digis.row, digis.col, label, charge)
    return Clusters(digis, label, *found)


def _electrons(detector: Detector) -> NDArray[np.float64]:
    """Charge that clusters are made of, for each class of response and count."""
    # a detector without a channel threshold is not calibrated in electrons: only keep it positive
    floor = CHARGE_FLOOR if detector.channel_threshold > 0 else 0.0
    return np.maximum(detector.electrons_table.astype(np.float64), floor)


def _table(arrays: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Arrays of several lengths as the rows of one."""
    table = np.zeros((len(arrays), max(map(len, arrays))))
    for row, array in zip(table, arrays, strict=True):
        row[: len(array)] = array
    return table


@njit(inline="always")
def _root(parent, i):  # type: ignore[no-untyped-def]
    while np.uint64(parent[i]) != i:
        parent[i] = parent[np.uint64(parent[i])]
        i = np.uint64(parent[i])
    return i


@kernel
def _connect(offsets, module, response, electrons, row, col, adc, channel, label, charge):  # type: ignore[no-untyped-def]
    """Fill `charge`, and `label` with an earlier digi of the group of each digi, or itself.

    -1 is below threshold. Digis are in raster order, so what a run of them in a row touches that came
    before it is found by a pointer that walks the row above: linear in digis.
    """
    one = np.uint64(1)
    for f in range(len(module)):
        i, end = np.uint64(offsets[f]), np.uint64(offsets[f + 1])
        kind = np.uint64(response[module[f]])
        above = i  # first digi that may touch the present run from the row above
        while i < end:
            begin = i
            charge[i] = electrons[kind, adc[i]]
            if charge[i] < channel:
                label[i] = -1
                i += one
                continue
            r, c = np.int64(row[i]), np.int64(col[i])
            last = c
            label[i] = begin
            i += one
            while i < end and np.int64(row[i]) == r and np.int64(col[i]) == last + 1:
                charge[i] = electrons[kind, adc[i]]
                if charge[i] < channel:
                    break
                label[i] = begin
                last += 1
                i += one
            while np.int64(row[above]) < r - 1 or (
                np.int64(row[above]) == r - 1 and np.int64(col[above]) < c - 1
            ):
                above += one
            j, group = above, begin
            while np.int64(row[j]) == r - 1 and np.int64(col[j]) <= last + 1:
                if label[j] >= 0:
                    other = _root(label, np.uint64(label[j]))
                    low, high = min(group, other), max(group, other)
                    label[high] = low
                    group = low
                j += one


@kernel
def _number(label):  # type: ignore[no-untyped-def]
    """Number the groups of `_connect` from 0 in order of their first digi; how many there are."""
    n = 0
    for i in range(np.uint64(len(label))):
        before = label[i]
        if before < 0:
            continue
        # an earlier digi has its number already
        if np.uint64(before) == i:
            label[i] = n
            n += 1
        else:
            label[i] = label[np.uint64(before)]
    return n


@njit(cache=True, nogil=True)
def _keep(n, offsets, label, charge, seed, least):  # type: ignore[no-untyped-def]
    """Drop groups that do not pass the thresholds, and number the others again."""
    total = np.zeros(n)
    passes = np.zeros(n, np.bool_)
    frame = np.zeros(n, np.int64)
    for f in range(len(offsets) - 1):
        for i in range(offsets[f], offsets[f + 1]):
            k = label[i]
            if k >= 0:
                total[k] += charge[i]
                passes[k] |= charge[i] >= seed
                frame[k] = f
    number = np.full(n, -1, np.int32)
    kept = 0
    for k in range(n):
        if passes[k] and total[k] >= least[frame[k]]:
            number[k] = kept
            kept += 1
    for i in range(len(label)):
        if label[i] >= 0:
            label[i] = number[label[i]]
    return kept


@njit(cache=True, nogil=True)
def _measure(n, offsets, row, col, label, charge):  # type: ignore[no-untyped-def]
    """Frame, charge, size, barycentre and box of each of `n` clusters."""
    frame = np.empty(n, np.int32)
    total, at_row, at_col = np.zeros(n), np.zeros(n), np.zeros(n)
    size = np.zeros(n, np.int32)
    min_row, min_col = np.full(n, 1 << 30, np.int32), np.full(n, 1 << 30, np.int32)
    max_row, max_col = np.full(n, -1, np.int32), np.full(n, -1, np.int32)
    _sum(
        offsets, row, col, label, charge, frame, total, at_row, at_col, size, min_row, min_col,
        max_row, max_col,
    )  # fmt: skip
    return frame, total, size, at_row, at_col, min_row, min_col, max_row, max_col


@kernel
def _sum(  # type: ignore[no-untyped-def]
    offsets, row, col, label, charge, frame, total, at_row, at_col, size, min_row, min_col,
    max_row, max_col,
):  # fmt: skip
    for f in range(len(offsets) - 1):
        for i in range(np.uint64(offsets[f]), np.uint64(offsets[f + 1])):
            if label[i] < 0:
                continue
            k = np.uint64(label[i])
            r, c, q = np.int32(row[i]), np.int32(col[i]), charge[i]
            frame[k] = f
            size[k] += 1
            total[k] += q
            at_row[k] += q * (r + 0.5)
            at_col[k] += q * (c + 0.5)
            min_row[k], max_row[k] = min(min_row[k], r), r
            min_col[k], max_col[k] = min(min_col[k], c), max(max_col[k], c)
    for i in range(len(label)):  # pixels without any charge weigh the same
        k = label[i]
        if k >= 0 and not total[k] > 0:
            at_row[k] += row[i] + 0.5
            at_col[k] += col[i] + 0.5
    for k in range(len(total)):
        whole = total[k] if total[k] > 0 else np.float64(size[k])
        at_row[k] /= whole
        at_col[k] /= whole


@njit(cache=True, nogil=True)
def _centres(  # type: ignore[no-untyped-def]
    n, label, offsets, module, sensor, row_centre, col_centre, response, electrons, row, col, adc
):
    """Charge-weighted mean of pixel centres of each cluster; the plain mean where there is no charge."""
    out = np.zeros((n, 2))
    plain = np.zeros((n, 2))
    total = np.zeros(n)
    size = np.zeros(n)
    for f in range(len(module)):
        kind, table = sensor[module[f]], electrons[response[module[f]]]
        for i in range(offsets[f], offsets[f + 1]):
            k = label[i]
            if k < 0:
                continue
            q = table[adc[i]]
            x, y = row_centre[kind, row[i]], col_centre[kind, col[i]]
            out[k, 0] += q * x
            out[k, 1] += q * y
            plain[k, 0] += x
            plain[k, 1] += y
            total[k] += q
            size[k] += 1
    for k in range(n):
        if total[k] > 0:
            out[k] /= total[k]
        else:
            out[k] = plain[k] / size[k]
    return out


@njit(cache=True, nogil=True)
def _group(label, offsets):  # type: ignore[no-untyped-def]
    place = offsets[:-1].copy()
    order = np.empty(offsets[-1], np.int64)
    for i in range(len(label)):
        if label[i] >= 0:
            order[place[label[i]]] = i
            place[label[i]] += 1
    return order
