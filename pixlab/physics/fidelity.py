"""Distances between two samples in many dimensions: FPD, KPD, a classifier, and manifolds.

Each function takes float arrays ``[n, features]`` and gives a value with an error.
"""

from __future__ import annotations

from itertools import combinations_with_replacement
from math import factorial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Number", "fpd", "kpd", "manifolds", "two_sample"]

Features = NDArray[np.floating]
_DEGREE = 4  # of the kernel of KPD
_WORTH_THREADS = 20_000  # rows


class Number(NamedTuple):
    """A value and its error; NaN where there is too little to measure it."""

    value: float
    error: float


_UNKNOWN = Number(float("nan"), float("nan"))


def _scaled(real: Features, other: Features) -> tuple[Features, Features]:
    """Both divided by the largest size of each feature of the first."""
    largest = np.abs(real).max(axis=0)
    largest = np.where(largest == 0, 1.0, largest)
    return real / largest, other / largest


def fpd(
    real: Features,
    other: Features,
    *,
    min_samples: int = 20_000,
    max_samples: int = 50_000,
    num_batches: int = 20,
    num_points: int = 10,
    seed: int = 42,
) -> Number:
    """Fréchet physics distance, as jetnet defines it.

    The Fréchet distance between Gaussians with the means and covariances of random draws from
    both samples, for several sizes of the draws, extrapolated linearly in 1 / size to an infinite
    one, with intercept and slope not below 0. R. Kansal et al., Phys. Rev. D 107 (2023) 076017.

    Parameters
    ----------
    real, other : array[n, features]
        Two samples; features are scaled by the largest size that they have in the first.
    min_samples, max_samples : int
        Smallest and largest draw (with replacement).
    num_batches : int
        Draws of each size.
    num_points : int
        Sizes, in equal steps of 1 / size.
    seed : int
        Of the draws.

    Returns
    -------
    Number
        Intercept and its error from the fit.
    """
    from scipy.optimize import curve_fit

    if min(len(real), len(other)) < 2:
        return _UNKNOWN
    real, other = (x.astype(np.float64) for x in _scaled(real, other))
    sizes = (1 / np.linspace(1 / min_samples, 1 / max_samples, num_points)).astype(int)
    rng = np.random.default_rng(seed)
    means = []
    for size in sizes:
        values = []
        for _ in range(num_batches):
            draws = [x[rng.choice(len(x), size=size)] for x in (real, other)]
            values.append(_frechet(*draws))
        means.append(np.mean(values))
    found, covariance = curve_fit(
        lambda x, intercept, slope: intercept + slope * x,
        1 / sizes,
        means,
        bounds=([0, 0], [np.inf, np.inf]),
    )
    return Number(float(found[0]), float(np.sqrt(covariance[0, 0])))


def _frechet(a: Features, b: Features) -> float:
    """|mean_a - mean_b|^2 + tr(A + B - 2 (A B)^(1/2)) of means and covariances."""
    difference = a.mean(axis=0) - b.mean(axis=0)
    first, second = (np.atleast_2d(np.cov(x, rowvar=False)) for x in (a, b))
    # tr (A B)^(1/2) = tr (A^(1/2) B A^(1/2))^(1/2), of a symmetric matrix
    size, axes = np.linalg.eigh(first)
    root = axes * np.sqrt(np.maximum(size, 0.0)) @ axes.T
    cross = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ second @ root), 0.0)).sum()
    return float(difference @ difference + np.trace(first) + np.trace(second) - 2 * cross)


def kpd(
    real: Features,
    other: Features,
    *,
    num_batches: int = 10,
    batch_size: int = 5_000,
    seed: int = 42,
) -> Number:
    """Kernel physics distance, as jetnet defines it.

    The unbiased estimate of the squared maximum mean discrepancy with the kernel
    (x . y / features + 1)^4, in random draws: their median, and half of what holds the middle
    67.45% of them. R. Kansal et al., Phys. Rev. D 107 (2023) 076017.

    Parameters
    ----------
    real, other : array[n, features]
        Two samples; features are scaled by the largest size that they have in the first.
    num_batches : int
        Draws (with replacement).
    batch_size : int
        Size of each.
    seed : int
        Of the draws.
    """
    from scipy.stats import iqr

    if min(len(real), len(other)) < 2:
        return _UNKNOWN
    real, other = (x.astype(np.float64) for x in _scaled(real, other))
    values = []
    for i in range(num_batches):
        rng = np.random.default_rng(seed + i * 1000)
        draws = [x[rng.choice(len(x), size=batch_size)] for x in (real, other)]
        values.append(_discrepancy(*draws))
    return Number(float(np.median(values)), float(iqr(values, rng=(16.275, 83.725)) / 2))


def _discrepancy(a: Features, b: Features) -> float:
    """Unbiased squared maximum mean discrepancy.

    The kernel is the product of the monomials of both points, so that sums over pairs are products
    of sums over points: linear in points.
    """
    n = len(a)
    sums = [_monomials(x).sum(axis=0) for x in (a, b)]
    same = 0.0
    for x, total in zip((a, b), sums, strict=True):
        own = (np.einsum("ij,ij->i", x, x) / x.shape[1] + 1) ** _DEGREE
        same += (total @ total - own.sum()) / (n * (n - 1))
    return float(same - 2 * (sums[0] @ sums[1]) / (n * n))


def _monomials(x: Features) -> Features:
    """All monomials up to the degree of the kernel, weighted: float64[n, terms]."""
    # one more coordinate, which is 1: (x . y / d + 1)^4 = ((x, sqrt d) . (y, sqrt d) / d)^4
    one = np.append(x / np.sqrt(x.shape[1]), np.ones((len(x), 1)), axis=1)
    columns = []
    for powers in combinations_with_replacement(range(one.shape[1]), _DEGREE):
        ways = factorial(_DEGREE)
        for k in set(powers):
            ways //= factorial(powers.count(k))
        columns.append(np.sqrt(ways) * np.prod(one[:, powers], axis=1))
    return np.stack(columns, axis=1)


def two_sample(
    real: Features,
    other: Features,
    folds: tuple[NDArray[np.integer], NDArray[np.integer]],
    *,
    most: int = 20_000,
    seed: int = 0,
) -> Number:
    """How well gradient boosting tells two samples apart: the area under the ROC curve.

    Cross-validated: each fold is judged by a classifier that was trained on the others. 0.5 means
    not at all, 1 always. D. Lopez-Paz, M. Oquab, Revisiting classifier two-sample tests,
    ICLR (2017).

    Parameters
    ----------
    real, other : array[n, features]
        Two samples.
    folds : (int[n], int[m])
        Fold of each row. Rows that belong together, as a cluster and its decoded image do, must be
        in one fold: what a classifier has seen as one would betray the other.
    most : int
        Rows of each sample that are used; the first ones.
    seed : int
        Of the classifier.

    Returns
    -------
    Number
        Mean of the folds, and its standard error; NaN where there are fewer than two folds
        with 10 rows of each sample.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.metrics import roc_auc_score
    from threadpoolctl import threadpool_limits

    real, other = real[:most], other[:most]
    fold = np.concatenate([folds[0][:most], folds[1][:most]])
    values = np.concatenate([real, other])
    label = np.repeat([0, 1], [len(real), len(other)])
    enough = [k for k in np.unique(fold) if min(np.bincount(label[fold == k], minlength=2)) >= 10]
    if len(enough) < 2:
        return _UNKNOWN
    areas = []
    for k in enough:
        model = HistGradientBoostingClassifier(
            max_iter=60, max_leaf_nodes=15, early_stopping=False, random_state=seed
        )
        # threads that wait for each other cost more than they save where there is little to do
        with threadpool_limits(1 if len(values) < _WORTH_THREADS else None, "openmp"):
            model.fit(values[fold != k], label[fold != k])
            score = model.predict_proba(values[fold == k])[:, 1]
        areas.append(roc_auc_score(label[fold == k], score))
    return Number(float(np.mean(areas)), float(np.std(areas, ddof=1) / np.sqrt(len(areas))))


def manifolds(
    real: Features,
    other: Features,
    folds: tuple[NDArray[np.integer], NDArray[np.integer]],
    *,
    most: int = 2_500,
    k: int = 5,
) -> dict[str, Number]:
    """Precision, recall, density and coverage, in each fold: their means and standard errors.

    Around each point of a sample lies a ball that reaches to its `k`-th neighbour. Precision: share
    of the others that are in a ball of a real one; recall: the reverse; density: mean number of
    balls of real ones around one of the others, over `k`; coverage: share of the balls of real ones
    that hold one of the others. Balls are closed, since counts are whole numbers and points often
    coincide. T. Kynkäänniemi et al., NeurIPS (2019); M. F. Naeem et al., ICML (2020).

    Parameters
    ----------
    real, other : array[n, features]
        Two independent samples; features are scaled to the unit rms of the first.
    folds : (int[n], int[m])
        Fold of each row.
    most : int
        Rows of each sample used in a fold.
    k : int
        Neighbours.
    """
    names = ("precision", "recall", "density", "coverage")
    found = []
    if len(real) and len(other):
        spread = real.std(axis=0)
        spread = np.where(spread > 0, spread, 1.0)
        for fold in np.unique(folds[0]):
            a, b = (
                (x[f == fold][:most] / spread).astype(np.float64)
                for x, f in zip((real, other), folds, strict=True)
            )
            if min(len(a), len(b)) > k:
                found.append(_manifolds(a, b, k))
    if len(found) < 2:
        return dict.fromkeys(names, _UNKNOWN)
    mean = np.mean(found, axis=0)
    error = np.std(found, axis=0, ddof=1) / np.sqrt(len(found))
    return {n: Number(float(m), float(e)) for n, m, e in zip(names, mean, error, strict=True)}


def _manifolds(real: Features, other: Features, k: int) -> tuple[float, float, float, float]:
    from sklearn.metrics import pairwise_distances

    def reach(x: Features) -> Features:
        # its own distance, 0, is the first
        return np.partition(pairwise_distances(x), k, axis=1)[:, k]

    between = pairwise_distances(real, other)
    inside = between <= reach(real)[:, None] * (1 + 1e-9) + 1e-9
    around = between <= reach(other)[None, :] * (1 + 1e-9) + 1e-9
    return (
        float(inside.any(axis=0).mean()),
        float(around.any(axis=1).mean()),
        float(inside.sum(axis=0).mean() / k),
        float(inside.any(axis=1).mean()),
    )
