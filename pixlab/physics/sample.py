"""A bounded sample of clusters and modules, original and decoded side by side.

Distances in many dimensions need the clusters themselves, not sums. A frame (a module in an event)
gets a priority from the content of its event, and the frames with the lowest priorities are kept, as
many as fit. Which these are does not depend on how events were cut into chunks or in which order
the chunks were added.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pixlab.clusters import Clusters
from pixlab.digis import Digis
from pixlab.physics.groups import event_keys, part_of

__all__ = ["CLUSTER_FEATURES", "MODULE_FEATURES", "Sample", "draw"]

MOST_CLUSTERS = 120_000  # original and decoded together
# of a cluster
CLUSTER_FEATURES = (
    "log10 of the charge",
    "size",
    "size in rows",
    "size in columns",
    "share of the largest pixel",
    "log10 of the smallest pixel",
    "barycentre in its box along rows",
    "barycentre in its box along columns",
)
# of a module in an event
MODULE_FEATURES = (
    "digis",
    "clusters",
    "log10 of the cluster charge",
    "mean log10 of the charge of a cluster",
    "its rms",
    "mean size in rows",
    "mean size in columns",
)


@dataclass(frozen=True)
class Sample:
    """Frames by rising priority, with the clusters in them.

    Parameters
    ----------
    priority : uint64[frames]
        Unique but for chance.
    part : int64[frames]
        The part that each frame is in.
    layer : int64[frames]
        Index of its layer.
    modules : float32[2, frames, MODULE_FEATURES]
        Of the original and of the decoded digis.
    sizes : int64[2, frames]
        Number of clusters in each.
    clusters : (float32[n, CLUSTER_FEATURES], float32[m, CLUSTER_FEATURES])
        Original and decoded ones, frame by frame.
    """

    priority: NDArray[np.uint64]
    part: NDArray[np.int64]
    layer: NDArray[np.int64]
    modules: NDArray[np.float32]
    sizes: NDArray[np.int64]
    clusters: tuple[NDArray[np.float32], NDArray[np.float32]]

    def frame(self, side: int) -> NDArray[np.int64]:
        """Frame of each original (0) or decoded (1) cluster."""
        return np.repeat(np.arange(len(self.priority)), self.sizes[side])

    def __add__(self, other: Sample) -> Sample:
        clusters = (
            np.concatenate([self.clusters[0], other.clusters[0]]),
            np.concatenate([self.clusters[1], other.clusters[1]]),
        )
        return Sample(
            np.concatenate([self.priority, other.priority]),
            np.concatenate([self.part, other.part]),
            np.concatenate([self.layer, other.layer]),
            np.concatenate([self.modules, other.modules], axis=1),
            np.concatenate([self.sizes, other.sizes], axis=1),
            clusters,
        ).trimmed()

    def trimmed(self) -> Sample:
        """The frames with the lowest priorities, while their clusters are not too many."""
        order = np.argsort(self.priority, kind="stable")
        total = np.cumsum(self.sizes.sum(axis=0)[order])
        order = order[: max(1, int(np.searchsorted(total, MOST_CLUSTERS, "right")))]
        clusters = []
        for side in (0, 1):
            ends = np.cumsum(self.sizes[side])
            n = self.sizes[side][order]
            first = np.repeat((ends - self.sizes[side])[order] - (np.cumsum(n) - n), n)
            clusters.append(self.clusters[side][first + np.arange(n.sum())])
        return Sample(
            self.priority[order],
            self.part[order],
            self.layer[order],
            self.modules[:, order],
            self.sizes[:, order],
            (clusters[0], clusters[1]),
        )


def draw(before: Clusters, after: Clusters) -> Sample:
    """The sample of one chunk: `before` are the clusters of the original digis."""
    sides = (before, after)
    detector, keys = before.digis.detector, event_keys(before.digis)
    n = len(detector)
    numbers = [c.digis.frames.event * n + c.digis.frames.module for c in sides]
    frames = np.union1d(*numbers)
    event, module = frames // n, frames % n
    modules = np.zeros((2, len(frames), len(MODULE_FEATURES)), np.float32)
    sizes = np.zeros((2, len(frames)), np.int64)
    clusters = []
    for side, found in enumerate(sides):
        place = np.searchsorted(frames, numbers[side])
        features = _of_clusters(found)
        own = place[found.frame]
        modules[side], sizes[side] = _of_modules(found.digis, place, features, own, len(frames))
        clusters.append(features)  # already in the order of the frames
    return Sample(
        _mixed(keys[event] ^ _mixed(module.astype(np.uint64))),
        part_of(detector, keys, event, module),
        detector.layer[module].astype(np.int64),
        modules,
        sizes,
        (clusters[0], clusters[1]),
    ).trimmed()


def _of_clusters(clusters: Clusters) -> NDArray[np.float32]:
    if not len(clusters):
        return np.zeros((0, len(CLUSTER_FEATURES)), np.float32)
    electrons = np.maximum(clusters.digis.electrons[clusters.digis_of].astype(float), 1.0)
    first = clusters.digi_offsets[:-1]
    charge = np.maximum(clusters.charge, 1.0)
    columns = (
        np.log10(charge),
        clusters.size,
        clusters.size_row,
        clusters.size_col,
        np.maximum.reduceat(electrons, first) / charge,
        np.log10(np.minimum.reduceat(electrons, first)),
        (clusters.row - clusters.min_row) / clusters.size_row,
        (clusters.col - clusters.min_col) / clusters.size_col,
    )
    return np.stack(columns, axis=1).astype(np.float32)


def _of_modules(
    digis: Digis, place: NDArray, features: NDArray[np.float32], own: NDArray, n: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Features of `n` frames: `place` is that of each frame of the digis, `own` of each cluster."""
    number = np.zeros(n)
    number[place] = np.diff(digis.frames.offsets)
    clusters = np.bincount(own, minlength=n)
    safe = np.maximum(clusters, 1)
    log_charge = features[:, 0].astype(float)
    total = np.bincount(own, 10.0**log_charge, n)
    mean = np.bincount(own, log_charge, n) / safe
    square = np.bincount(own, log_charge**2, n) / safe
    columns = (
        number,
        clusters,
        np.log10(np.maximum(total, 1.0)),
        mean,
        np.sqrt(np.maximum(square - mean**2, 0.0)),
        np.bincount(own, features[:, 2], n) / safe,
        np.bincount(own, features[:, 3], n) / safe,
    )
    return np.stack(columns, axis=1).astype(np.float32), clusters


def _mixed(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Numbers that look random: the mixer of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014)."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
