"""Errors of the numbers of a comparison.

Delete-a-part jackknife: with each of the parts of `pixlab.physics.groups` left out in turn, a
number takes the values t_i; its error is the square root of (g - 1) / g times the sum of (t_i -
mean)^2 over the g parts that have digis. Original and decoded digis leave out the same part, so
that what they have in common cancels, as it does in the number itself. Twelve parts know an error
to about 20%. The errors of shares (`Metric.share`) are not below half the width of the Wilson
interval of 68.3%, so that 3 of 3 is not without error.

B. Efron, The jackknife, the bootstrap and other resampling plans, SIAM (1982), chapter 3;
E. B. Wilson, J. Am. Stat. Assoc. 22 (1927) 209.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pixlab.physics.groups import PARTS, spread_of
from pixlab.physics.metrics import Metric
from pixlab.physics.totals import Rest, Sums, Totals

__all__ = ["error_of", "jackknife"]

Values = NDArray[np.float64]


def jackknife(totals: Totals, value: Callable[[Sums], Values]) -> Values:
    """Error of a number in each layer, and in all together: float64[layers + 1].

    NaN where fewer than two parts have digis, or where the number does not exist without one of
    them.
    """
    replicas = np.array([value(Rest(totals, part)) for part in range(PARTS)])
    return spread_of(replicas, totals.something())


def error_of(totals: Totals, metric: Metric) -> Values:
    """Error of a metric in each layer, and in all together: float64[layers + 1]."""
    if metric.exact:
        return np.zeros(len(totals.detector.layers) + 1)
    error = jackknife(totals, metric.value)
    if metric.share is None:
        return error
    top, bottom = (totals.sum(name) for name in metric.share)
    return np.where(bottom > 0, np.fmax(error, _wilson(top, bottom)), np.nan)


def _wilson(k: Values, n: Values) -> Values:
    """Half the width of the interval of one standard deviation."""
    n = np.maximum(n, 1.0)
    share = k / n
    return np.sqrt(share * (1 - share) / n + 1 / (4 * n * n)) / (1 + 1 / n)
