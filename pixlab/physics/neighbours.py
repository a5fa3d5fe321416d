"""How far the nearest other cluster is."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pixlab.clusters import Clusters

__all__ = ["nearest"]


def nearest(clusters: Clusters) -> NDArray[np.float64]:
    """Distance to the nearest other cluster of the same module and event: float64[n], um.

    Between charge-weighted centres; infinity for a cluster that is alone.
    """
    x, y = clusters.local.T
    order = np.lexsort((x, clusters.frame))
    found = np.empty(len(clusters))
    found[order] = _nearest(clusters.frame[order], x[order], y[order])
    return found


@njit(cache=True, nogil=True)
def _nearest(frame, x, y):  # type: ignore[no-untyped-def]
    """Rising in `x` within a frame, so that only those nearer in x than the best are looked at."""
    n = len(frame)
    best = np.full(n, np.inf)
    for i in range(n):
        for step in (-1, 1):
            j = i + step
            while 0 <= j < n and frame[j] == frame[i]:
                dx = abs(x[j] - x[i])
                if dx >= best[i]:
                    break
                best[i] = min(best[i], np.hypot(dx, y[j] - y[i]))
                j += step
    return best
