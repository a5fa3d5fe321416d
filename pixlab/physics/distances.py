"""Distances between two histograms of the same bins: arrays of counts, last axis the bins.

All are computed from counts, so they are additive over chunks: add the counts, then ask. The
samples are normalised where the definition says so; two empty samples have the distance NaN, an
empty and a filled one the largest there is.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["chi2_per_bin", "ks", "wasserstein"]


def _cumulative(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    total = counts.sum(axis=-1, keepdims=True)
    return np.cumsum(counts, axis=-1) / np.where(total == 0, 1, total)


def _where(
    a: NDArray[np.int64], b: NDArray[np.int64], value: NDArray[np.float64], one_empty: float
) -> NDArray[np.float64]:
    in_a, in_b = a.sum(axis=-1) > 0, b.sum(axis=-1) > 0
    return np.where(in_a & in_b, value, np.where(in_a | in_b, one_empty, np.nan))


def ks(a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.float64]:
    """Kolmogorov-Smirnov: the largest difference of the cumulative fractions at bin edges.

    It is below the unbinned distance by at most the larger share of one bin. 1 where one sample
    is empty.
    """
    return _where(a, b, np.abs(_cumulative(a) - _cumulative(b)).max(axis=-1, initial=0.0), 1.0)


def chi2_per_bin(a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.float64]:
    """Sum of (a - b)^2 / (a + b) over bins with entries, divided by the number of such bins.

    Counts are compared as they are, not normalised. Original and decoded digis are the same
    events, so that values far below 1 are normal and 1 is no goal.
    """
    both = a + b
    terms = (a - b).astype(float) ** 2 / np.where(both == 0, 1, both)
    filled = (both > 0).sum(axis=-1)
    return np.where(filled == 0, np.nan, terms.sum(axis=-1) / np.where(filled == 0, 1, filled))


def wasserstein(
    a: NDArray[np.int64], b: NDArray[np.int64], edges: NDArray[np.float64]
) -> NDArray[np.float64]:
    """1-Wasserstein: the area between the cumulative fractions, in the unit of the edges.

    Entries count at the lower edge of their bin; infinity where one sample is empty.

    Parameters
    ----------
    a, b : int64[..., bins]
        Counts without underflow and overflow.
    edges : float64[bins + 1]
        Bin edges.
    """
    gap = np.abs(_cumulative(a) - _cumulative(b))
    return _where(a, b, (gap * np.diff(edges)).sum(axis=-1), np.inf)
