"""What happened to each matched cluster: response, shift, size; as counts, one set a layer.

The bins are fine enough that means, widths and quantiles of users' tables come from them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pixlab.clusters import Clusters
from pixlab.detectors import Detector
from pixlab.physics.matching import MAX_DISTANCE, Matches
from pixlab.physics.spectra import bins_of

__all__ = [
    "CONFUSION_SIZES",
    "PAIRS",
    "SHIFT_SIZES",
    "Pairs",
    "confusion",
    "count_pairs",
    "pairs_of",
]

SHIFT_SIZES = 6  # classes of cluster size along an axis: 1 to 5, and 6 or more
CONFUSION_SIZES = 12  # sizes 1 to 11, and 12 or more
_SHIFT_BINS = 801


@dataclass(frozen=True)
class Pairs:
    """Matched clusters of one chunk: float64[m] each, and the layers and size classes they are in.

    Parameters
    ----------
    layer : int64[m]
        Index of the layer.
    response : float64[m]
        Decoded over original charge, minus 1.
    row, col : float64[m]
        Decoded - original charge-weighted centre, um; pixels of double size count where they are.
    sizes : int64[2, 2, m]
        Original and decoded (first axis) span in rows and columns (second axis), pixels.
    """

    layer: NDArray[np.int64]
    response: NDArray[np.float64]
    row: NDArray[np.float64]
    col: NDArray[np.float64]
    sizes: NDArray[np.int64]


def pairs_of(before: Clusters, after: Clusters, matches: Matches) -> Pairs:
    """Compare the clusters of each match."""
    a, b = matches.original, matches.decoded
    row, col = (after.local[b] - before.local[a]).T
    sizes = [[c.size_row[i], c.size_col[i]] for c, i in ((before, a), (after, b))]
    return Pairs(
        before.layer[a].astype(np.int64),
        _response(before.charge[a], after.charge[b]),
        row,
        col,
        np.array(sizes, np.int64),
    )


def _response(before: NDArray[np.float64], after: NDArray[np.float64]) -> NDArray[np.float64]:
    """(after - before) / before; 0 where both are 0, a number far beyond any limit where only one."""
    difference = after - before
    safe = np.where(before > 0, before, 1.0)
    return np.where(before > 0, difference / safe, np.where(difference == 0, 0.0, 2.0**12))


@dataclass(frozen=True)
class PairSpectrum:
    """A quantity of matched clusters and its bins, which have a middle one for no change.

    Parameters
    ----------
    label, unit : str
        What stands on the axis.
    half : function of a Detector
        Distance of the middle of the outermost bins from `centre`.
    bins : int
        An odd number.
    value : function of Pairs
        float64[m].
    size : function of Pairs, optional
        Size of the original cluster, where the quantity is kept by size.
    centre : float
        The value of no change.
    """

    label: str
    unit: str
    half: Callable[[Detector], float]
    bins: int
    value: Callable[[Pairs], NDArray[np.float64]]
    size: Callable[[Pairs], NDArray[np.int64]] | None = None
    centre: float = 0.0

    def edges(self, detector: Detector) -> NDArray[np.float64]:
        """Bin edges: float64[bins + 1]."""
        places = np.arange(self.bins + 1, dtype=np.float64) - self.bins / 2
        return self.centre + 2 * self.half(detector) / (self.bins - 1) * places

    @property
    def classes(self) -> int:
        """Number of size classes."""
        return 1 if self.size is None else SHIFT_SIZES

    @property
    def axis_label(self) -> str:
        """Label and unit."""
        return f"{self.label} [{self.unit}]" if self.unit else self.label


def _two_pixels(axis: int) -> Callable[[Detector], float]:
    """As far as matched clusters without a common pixel can be apart."""
    return lambda detector: MAX_DISTANCE * float(detector.pitch[:, axis].max(initial=1.0))


PAIRS: dict[str, PairSpectrum] = {
    "response": PairSpectrum(
        "decoded / original cluster charge",
        "",
        lambda _: 1.0,
        2001,
        lambda p: p.response + 1,
        centre=1.0,
    ),
    "shift_row": PairSpectrum(
        "barycentre shift along rows",
        "um",
        _two_pixels(0),
        _SHIFT_BINS,
        lambda p: p.row,
        lambda p: p.sizes[0, 0],
    ),
    "shift_col": PairSpectrum(
        "barycentre shift along columns",
        "um",
        _two_pixels(1),
        _SHIFT_BINS,
        lambda p: p.col,
        lambda p: p.sizes[0, 1],
    ),
}


def count_pairs(pairs: Pairs, detector: Detector) -> dict[str, NDArray[np.int64]]:
    """Entries of each of `PAIRS`: int64[layers, classes, bins + 2]."""
    layers = len(detector.layers)
    result = {}
    for name, spectrum in PAIRS.items():
        place = pairs.layer
        if spectrum.size is not None:
            place = place * SHIFT_SIZES + np.clip(spectrum.size(pairs), 1, SHIFT_SIZES) - 1
        width = spectrum.bins + 2
        place = place * width + bins_of(spectrum.edges(detector), spectrum.value(pairs))
        counts = np.bincount(place, minlength=layers * spectrum.classes * width)
        result[name] = counts.reshape(layers, spectrum.classes, width)
    return result


def confusion(pairs: Pairs, detector: Detector) -> NDArray[np.int64]:
    """Original against decoded size: int64[2, layers, CONFUSION_SIZES, CONFUSION_SIZES].

    First axis: rows, columns; the last class holds all larger sizes.
    """
    layers, n = len(detector.layers), CONFUSION_SIZES
    before, after = np.minimum(pairs.sizes, n) - 1
    tables = [
        np.bincount((pairs.layer * n + a) * n + b, minlength=layers * n * n)
        for a, b in zip(before, after, strict=True)
    ]
    return np.array(tables).reshape(2, layers, n, n)
