"""Distances between two histograms of the same bins: arrays of counts, last axis the bins.

All are computed from counts, so they are additive over chunks: add the counts, then ask. The
samples are normalised where the definition says so; two empty samples have the distance NaN, an
empty and a filled one the largest there is.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["chi2_per_bin", "jensen_shannon", "ks", "wasserstein"]

Counts = NDArray[np.int64]


def _shares(counts: Counts) -> NDArray[np.float64]:
    total = counts.sum(axis=-1, keepdims=True)
    return counts / np.where(total == 0, 1, total)


def _where(a: Counts, b: Counts, value: NDArray, one_empty: float) -> NDArray[np.float64]:
    in_a, in_b = a.sum(axis=-1) > 0, b.sum(axis=-1) > 0
    return np.where(in_a & in_b, value, np.where(in_a | in_b, one_empty, np.nan))


def _gap(a: Counts, b: Counts) -> NDArray[np.float64]:
    """Difference of the cumulative fractions behind each bin."""
    return np.cumsum(_shares(a), axis=-1) - np.cumsum(_shares(b), axis=-1)


def ks(a: Counts, b: Counts) -> NDArray[np.float64]:
    """Kolmogorov-Smirnov: the largest difference of the cumulative fractions at bin edges.

    It is below the unbinned distance by at most the larger share of one bin. 1 where one sample
    is empty.
    """
    return _where(a, b, np.abs(_gap(a, b)).max(axis=-1, initial=0.0), 1.0)


def chi2_per_bin(a: Counts, b: Counts) -> NDArray[np.float64]:
    """Sum of (a - b)^2 / (a + b) over bins with entries, divided by the number of such bins.

    Counts are compared as they are, not normalised. Original and decoded digis are the same
    events, so that values far below 1 are normal and 1 is no goal.
    """
    both = a + b
    terms = (a - b).astype(float) ** 2 / np.where(both == 0, 1, both)
    filled = (both > 0).sum(axis=-1)
    return np.where(filled == 0, np.nan, terms.sum(axis=-1) / np.where(filled == 0, 1, filled))


def wasserstein(a: Counts, b: Counts, edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """1-Wasserstein: the area between the cumulative fractions, in the unit of the edges.

    Entries count at the middle of their bin; infinity where one sample is empty.

    Parameters
    ----------
    a, b : int64[..., bins + 2]
        Counts with underflow and overflow, which count at the middle of the bin beside them.
    edges : float64[bins + 1]
        Bin edges.
    """
    middle = (edges[1:] + edges[:-1]) / 2
    gap = np.abs(_gap(_inside(a), _inside(b)))[..., :-1]
    return _where(a, b, (gap * np.diff(middle)).sum(axis=-1), np.inf)


def _inside(counts: Counts) -> Counts:
    inside = counts[..., 1:-1].copy()
    inside[..., 0] += counts[..., 0]
    inside[..., -1] += counts[..., -1]
    return inside


def jensen_shannon(a: Counts, b: Counts) -> NDArray[np.float64]:
    """Jensen-Shannon divergence in bits: 0 for equal shares, 1 where no bin is filled in both.

    1 where one sample is empty.
    """
    p, q = _shares(a), _shares(b)
    middle = (p + q) / 2
    safe = np.where(middle > 0, middle, 1.0)
    terms = [(x * np.log2(np.where(x > 0, x / safe, 1.0))).sum(axis=-1) / 2 for x in (p, q)]
    return _where(a, b, np.maximum(terms[0] + terms[1], 0.0), 1.0)
