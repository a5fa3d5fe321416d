"""Which decoded pixel and which decoded cluster stands for which original one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pixlab.clusters import Clusters
from pixlab.digis import Digis

__all__ = ["MAX_DISTANCE", "Matches", "match", "pixel_pairs"]

MAX_DISTANCE = 2.0  # pixels, along rows and along columns


@dataclass(frozen=True)
class Matches:
    """Pairs of one original and one decoded cluster; a cluster is in at most one pair.

    Parameters
    ----------
    original, decoded : int64[m]
        Indices of the clusters, in the order of the original ones.
    shared : int64[m]
        Pixels that both have; 0 where they were paired by distance.
    fragments : int64[original clusters]
        Decoded clusters that share a pixel with each original one: from 2 on it is split.
    sources : int64[decoded clusters]
        Original clusters that share a pixel with each decoded one: from 2 on they are merged.
    """

    original: NDArray[np.int64]
    decoded: NDArray[np.int64]
    shared: NDArray[np.int64]
    fragments: NDArray[np.int64]
    sources: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.original)


def pixel_pairs(original: Digis, decoded: Digis) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices of the digis of the pixels that are hit in both, in the same event.

    Returns
    -------
    int64[m], int64[m]
        Into the original and into the decoded digis.
    """
    return _common(
        *(original.offsets, original.detid, original.row, original.col),
        *(decoded.offsets, decoded.detid, decoded.row, decoded.col),
    )


def match(
    original: Clusters,
    decoded: Clusters,
    pairs: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None,
) -> Matches:
    """Pair original and decoded clusters, each at most once.

    First the pairs with most shared pixels (ties in the order of the clusters); then, for clusters
    left over, the nearest in the same module and event whose barycentres differ by at most
    `MAX_DISTANCE` pixels along rows and along columns.

    Parameters
    ----------
    original, decoded : Clusters
        Of the same detector and events.
    pairs : optional
        What `pixel_pairs` gave for their digis, if it is already known.
    """
    i, j = pixel_pairs(original.digis, decoded.digis) if pairs is None else pairs
    a, b = original.label[i].astype(np.int64), decoded.label[j].astype(np.int64)
    both = (a >= 0) & (b >= 0)
    width = max(len(decoded), 1)
    pair, shared = np.unique(a[both] * width + b[both], return_counts=True)
    order = np.lexsort((pair, -shared))
    partner = np.full(len(original), -1, np.int64)
    common = np.zeros(len(original), np.int64)
    taken = np.zeros(len(decoded), np.bool_)
    _take(pair[order] // width, pair[order] % width, shared[order], partner, common, taken)

    left, right = np.flatnonzero(partner < 0), np.flatnonzero(~taken)
    if len(left) and len(right):
        modules = len(original.digis.detector)
        a, b = _close(
            original.event[left] * modules + original.module[left],
            decoded.event[right] * modules + decoded.module[right],
            *(original.row[left], original.col[left], decoded.row[right], decoded.col[right]),
            MAX_DISTANCE + 1e-6,  # a shift by two whole pixels is inside, however it was rounded
        )
        a, b = left[a], right[b]
        pitch = original.digis.detector.pitch[original.module[a]]
        distance = ((original.row[a] - decoded.row[b]) * pitch[:, 0]) ** 2
        distance += ((original.col[a] - decoded.col[b]) * pitch[:, 1]) ** 2
        order = np.lexsort((b, a, distance))
        _take(a[order], b[order], np.zeros(len(a), np.int64), partner, common, taken)
    paired = np.flatnonzero(partner >= 0)
    return Matches(
        paired,
        partner[paired],
        common[paired],
        np.bincount(pair // width, minlength=len(original)),
        np.bincount(pair % width, minlength=len(decoded)),
    )


@njit(cache=True, nogil=True)
def _common(offsets_a, detid_a, row_a, col_a, offsets_b, detid_b, row_b, col_b):  # type: ignore[no-untyped-def]
    size = min(len(row_a), len(row_b))
    at_a, at_b = np.empty(size, np.int64), np.empty(size, np.int64)
    n = 0
    for event in range(len(offsets_a) - 1):
        i, j = offsets_a[event], offsets_b[event]
        end_a, end_b = offsets_a[event + 1], offsets_b[event + 1]
        while i < end_a and j < end_b:
            if detid_a[i] != detid_b[j]:
                ahead = detid_a[i] > detid_b[j]
            elif row_a[i] != row_b[j]:
                ahead = row_a[i] > row_b[j]
            elif col_a[i] != col_b[j]:
                ahead = col_a[i] > col_b[j]
            else:
                at_a[n], at_b[n] = i, j
                n += 1
                i += 1
                j += 1
                continue
            if ahead:
                j += 1
            else:
                i += 1
    return at_a[:n], at_b[:n]


@njit(cache=True, nogil=True)
def _take(a, b, shared, partner, common, taken):  # type: ignore[no-untyped-def]
    """Accept pairs in the given order as long as both sides are free."""
    for k in range(len(a)):
        if partner[a[k]] < 0 and not taken[b[k]]:
            partner[a[k]] = b[k]
            common[a[k]] = shared[k]
            taken[b[k]] = True


@njit(cache=True, nogil=True)
def _close(frame_a, frame_b, row_a, col_a, row_b, col_b, limit):  # type: ignore[no-untyped-def]
    """All pairs of one frame within `limit` in both directions; frames are sorted."""
    at_a, at_b = np.empty(16, np.int64), np.empty(16, np.int64)
    n = 0
    begin = 0
    for i in range(len(frame_a)):
        while begin < len(frame_b) and frame_b[begin] < frame_a[i]:
            begin += 1
        j = begin
        while j < len(frame_b) and frame_b[j] == frame_a[i]:
            if abs(row_a[i] - row_b[j]) <= limit and abs(col_a[i] - col_b[j]) <= limit:
                if n == len(at_a):
                    at_a = np.concatenate((at_a, np.empty(n, np.int64)))
                    at_b = np.concatenate((at_b, np.empty(n, np.int64)))
                at_a[n], at_b[n] = i, j
                n += 1
            j += 1
    return at_a[:n], at_b[:n]
