"""Clusters cut into windows of 4 x 8 pixels, for codecs that describe pixels by a few numbers.

::

    clusters ──► windows ──► which pixels are hit      (exact)
                        └──► logarithms of counts ──► latents ──► levels

The first window of a cluster begins at the first corner of its box.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pixlab.clusters import cluster
from pixlab.codecs.subjects import starts_of
from pixlab.coding.layout import Layout
from pixlab.digis import Digis

__all__ = ["CELLS", "FEATURES", "Windows", "cut_windows", "logarithms", "nearest_counts"]

HIGH, WIDE = 4, 8
CELLS = HIGH * WIDE
FEATURES = 10  # of a window, for contexts
_UNIT = 256  # of logarithms, an octave

Array = NDArray[Any]


class Windows(NamedTuple):
    """Windows sorted by event.

    ``starts``: int64[events + 1], first window of each event; ``window``, ``cell``: int64[digis],
    where each digi is; ``hit``: bool[n, CELLS]; ``features``: uint8[n, FEATURES].
    """

    starts: NDArray[np.int64]
    window: NDArray[np.int64]
    cell: NDArray[np.int64]
    hit: NDArray[np.bool_]
    features: NDArray[np.uint8]

    def spread(self, values: Array) -> NDArray[np.int64]:
        """Values of digis in their cells, 0 elsewhere: int64[n, CELLS]."""
        found = np.zeros(self.hit.shape, np.int64)
        found[self.window, self.cell] = values
        return found


def cut_windows(digis: Digis, layout: Layout) -> Windows:
    """The windows of the clusters of digis; counts are not looked at."""
    clusters = cluster(digis, thresholds=False)
    label = clusters.label.astype(np.int64)
    row = digis.row.astype(np.int64) - clusters.min_row[label]
    col = digis.col.astype(np.int64) - clusters.min_col[label]
    place = np.stack([label, row // HIGH, col // WIDE], axis=1)
    key = (place[:, 0] << 32) | (place[:, 1] << 16) | place[:, 2]
    keys, window = np.unique(key, return_inverse=True)
    window = window.reshape(-1)
    cell = row % HIGH * WIDE + col % WIDE
    hit = np.zeros((len(keys), CELLS), bool)
    hit[window, cell] = True
    of = keys >> 32
    module = clusters.module[of].astype(np.int64)
    features = np.zeros((len(keys), FEATURES), np.uint8)
    column = (clusters.min_col[of] * 16) // np.maximum(layout.cols[module], 1)
    sizes = (clusters.size_row[of], clusters.size_col[of], clusters.size[of], hit.sum(axis=1))
    known = (layout.layer[module], column, *sizes)
    for i, values in enumerate(known):
        features[:, i] = np.minimum(values, 255)
    features[:, len(known) :] = np.packbits(hit, axis=1)
    starts = starts_of(clusters.event[of].astype(np.int64), len(digis))
    return Windows(starts, window, cell, hit, features)


def logarithms(adc_max: int) -> NDArray[np.int64]:
    """Logarithms of 1 + count in 1/256 octave, from integers alone: int64[adc_max + 1]."""
    n = 1 + np.arange(adc_max + 1, dtype=object)
    # the 256th power of a number has as many bits as its logarithm has 1/256 octaves
    return np.array([(int(v) ** _UNIT).bit_length() - 1 for v in n], np.int64)


def nearest_counts(logs: NDArray[np.int64], table: NDArray[np.int64]) -> NDArray[np.uint16]:
    """The counts whose logarithms are nearest: uint16[n]."""
    middles = (table[1:] + table[:-1]) >> 1
    return np.searchsorted(middles, logs, side="left").astype(np.uint16)
