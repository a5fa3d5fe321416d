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
    size : int32[n]
        Number of pixels.
    """

    digis: Digis
    label: NDArray[np.int32]
    frame: NDArray[np.int32]
    size: NDArray[np.int32]

    def __post_init__(self) -> None:
        for value in self.__dict__.values():
            if isinstance(value, np.ndarray):
                value.setflags(write=False)

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def charge(self) -> NDArray[np.float64]:
        """Sum of the electrons of its pixels: float64[n]."""
        return self._weighed[0]

    @property
    def row(self) -> NDArray[np.float64]:
        """Charge-weighted barycentre; the centre of pixel ``i`` is at ``i + 0.5``: float64[n]."""
        return self._weighed[1]

    @property
    def col(self) -> NDArray[np.float64]:
        """The same along columns: float64[n]."""
        return self._weighed[2]

    @property
    def min_row(self) -> NDArray[np.int32]:
        """First row: int32[n]."""
        return self._box[0]

    @property
    def min_col(self) -> NDArray[np.int32]:
        """First column: int32[n]."""
        return self._box[1]

    @property
    def max_row(self) -> NDArray[np.int32]:
        """Last row: int32[n]."""
        return self._box[2]

    @property
    def max_col(self) -> NDArray[np.int32]:
        """Last column: int32[n]."""
        return self._box[3]

    @cached_property
    def _weighed(self) -> NDArray[np.float64]:
        digis, frames, detector = self.digis, self.digis.frames, self.digis.detector
        found = np.zeros((3, len(self)))
        _weigh(
            frames.offsets, frames.module, detector.response, _electrons(detector), digis.row,
            digis.col, digis.adc, self.label, self.size, *found,
        )  # fmt: skip
        found.setflags(write=False)
        return found

    @cached_property
    def _box(self) -> NDArray[np.int32]:
        found = np.empty((4, len(self)), np.int32)
        _enclose(self.digi_offsets, self.digis_of, self.digis.row, self.digis.col, found)
        found.setflags(write=False)
        return found

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
        order = np.empty(self.digi_offsets[-1], np.int64)
        _group(self.label, self.digi_offsets[:-1].copy(), order)
        order.setflags(write=False)
        return order

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
    electrons = _electrons(detector)
    channel = detector.channel_threshold if thresholds else -np.inf
    label = np.empty(digis.n_digis, np.int32)
    frame, size = np.empty((2, digis.n_digis), np.int32)
    pixels = (frames.offsets, frames.module, detector.response, electrons)
    _connect(*pixels, digis.row, digis.col, digis.adc, channel, label)
    if thresholds:
        least = detector.cluster_threshold[frames.module]
        _keep(*pixels, digis.adc, detector.seed_threshold, least, label)
    n = _number(frames.offsets, label, frame, size)
    return Clusters(digis, label, frame[:n].copy(), size[:n].copy())


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
def _connect(offsets, module, response, electrons, row, col, adc, channel, label):  # type: ignore[no-untyped-def]
    """Fill `label` with an earlier digi of the group of each digi, or itself.

    -1 is below threshold. Digis are in raster order, so what a run of them in a row touches that came
    before it is found by a pointer that walks the row above: linear in digis.
    """
    one = np.uint64(1)
    all_join = channel == -np.inf
    for f in range(np.uint64(len(module))):
        i, end = np.uint64(offsets[f]), np.uint64(offsets[f + one])
        kind = np.uint64(response[np.uint64(module[f])])
        above = i  # first digi that may touch the present run from the row above
        while i < end:
            begin = i
            if not all_join and electrons[kind, adc[i]] < channel:
                label[i] = -1
                i += one
                continue
            r, c = np.int64(row[i]), np.int64(col[i])
            last = c
            label[i] = begin
            i += one
            while i < end and np.int64(col[i]) == last + 1 and np.int64(row[i]) == r:
                if not all_join and electrons[kind, adc[i]] < channel:
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


@njit(cache=True, nogil=True)
def _keep(offsets, module, response, electrons, adc, seed, least, label):  # type: ignore[no-untyped-def]
    """Set `label` to -1 in groups that do not pass the thresholds; least is that of each frame."""
    total = np.zeros(len(label))
    passes = np.zeros(len(label), np.bool_)
    for f in range(len(module)):
        kind = response[module[f]]
        for i in range(offsets[f], offsets[f + 1]):
            if label[i] >= 0:
                # an earlier digi has its first one already
                label[i] = label[label[i]]
                charge = electrons[kind, adc[i]]
                total[label[i]] += charge
                passes[label[i]] |= charge >= seed
        for i in range(offsets[f], offsets[f + 1]):
            first = label[i]
            if first >= 0 and not (passes[first] and total[first] >= least[f]):
                label[i] = -1


@kernel
def _number(offsets, label, frame, size):  # type: ignore[no-untyped-def]
    """Number groups from 0 in order of their first digi, fill in frames and sizes; return how many."""
    one = np.uint64(1)
    n = np.int32(0)
    for f in range(np.uint64(len(offsets) - 1)):
        for i in range(np.uint64(offsets[f]), np.uint64(offsets[f + one])):
            before = label[i]
            if before < 0:
                continue
            # an earlier digi has its number already
            if np.uint64(before) == i:
                k = n
                frame[np.uint64(k)] = f
                size[np.uint64(k)] = 0
                n += np.int32(1)
            else:
                k = label[np.uint64(before)]
            label[i] = k
            size[np.uint64(k)] += np.int32(1)
    return n


@kernel
def _weigh(  # type: ignore[no-untyped-def]
    offsets, module, response, electrons, row, col, adc, label, size, total, at_row, at_col
):
    """Charge and barycentre of clusters, into what is 0."""
    one = np.uint64(1)
    for f in range(np.uint64(len(module))):
        kind = np.uint64(response[np.uint64(module[f])])
        for i in range(np.uint64(offsets[f]), np.uint64(offsets[f + one])):
            if label[i] < 0:
                continue
            k, q = np.uint64(label[i]), electrons[kind, adc[i]]
            total[k] += q
            at_row[k] += q * (row[i] + 0.5)
            at_col[k] += q * (col[i] + 0.5)
    for i in range(len(label)):  # pixels without any charge weigh the same
        k = label[i]
        if k >= 0 and not total[k] > 0:
            at_row[k] += row[i] + 0.5
            at_col[k] += col[i] + 0.5
    for k in range(len(total)):
        whole = total[k] if total[k] > 0 else np.float64(size[k])
        at_row[k] /= whole
        at_col[k] /= whole


@kernel
def _enclose(offsets, members, row, col, found):  # type: ignore[no-untyped-def]
    """First row and column, last row and column of clusters, whose digis are in raster order."""
    for c in range(np.uint64(found.shape[1])):
        begin, end = np.uint64(offsets[c]), np.uint64(offsets[c + np.uint64(1)])
        low, high = np.int64(65535), np.int64(0)
        for k in range(begin, end):
            y = np.int64(col[np.uint64(members[k])])
            low, high = min(low, y), max(high, y)
        found[0, c], found[2, c] = row[members[begin]], row[members[end - np.uint64(1)]]
        found[1, c], found[3, c] = low, high


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


@kernel
def _group(label, place, order):  # type: ignore[no-untyped-def]
    """Fill in the digis of clusters, whose first ones go to `place`, which is used up."""
    for i in range(np.uint64(len(label))):
        if label[i] >= 0:
            k = np.uint64(label[i])
            order[np.uint64(place[k])] = i
            place[k] += 1
