"""Levels of counts that keep the charge and barycentre of clusters.

A count is taken to the nearest level. Then counts go to a neighbouring one, in turn, if that brings
the total charge and barycentre of their cluster nearer to the original: about the same rate, and
errors that cancel.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pixlab.coding.bits import kernel
from pixlab.coding.hits import Hits, runs_of
from pixlab.coding.layout import Layout

__all__ = ["keep_moments", "nearest_levels"]

Array = NDArray[Any]
# what counts as one unit of error: relative charge, and barycentre in um along rows and columns,
# in the proportions of the transparent tolerances
_UNITS = (0.05, 3.0, 7.0)
_OWN = 0.007  # weight of the pixels' own errors, in levels squared
_ROUNDS = 4
_LEAST = 1e-9  # that a move must save
_Y, _X, _ERROR = range(3)  # of a pixel: place, and the error of its count


def nearest_levels(adc: Array, edges: Array, adc_max: int) -> NDArray[np.uint16]:
    """The level of each count: uint16[n]; ``edges`` are the first counts of all levels but the lowest."""
    counts = np.arange(adc_max + 1)
    return np.searchsorted(edges, counts, side="right").astype(np.uint16)[adc]


def keep_moments(
    layout: Layout,
    pitch: NDArray[np.float64],
    hits: Hits,
    adc: NDArray[np.uint16],
    values: Array,
    level: NDArray[np.uint16],
    wall: int,
) -> None:
    """Move levels by one while that lowers the error of a cluster's charge and barycentre.

    What is kept are moments of runs that descend from one root (`runs.Runs`). Where a cluster is of
    several roots, each part is kept, and so is the whole.

    Parameters
    ----------
    layout : Layout
        Of the detector.
    pitch : float64[modules, 2]
        Along rows and columns, um.
    hits : Hits
        The hit map.
    adc : uint16[digis]
        Counts.
    values : int[levels]
        What each level is read back as.
    level : uint16[digis]
        The nearest level of each digi; changed.
    wall : int
        Level to which and from which no count comes from below or goes below; 0 if there is none.
    """
    found = runs_of(layout, hits)
    n_runs = np.diff(found.offsets).max(initial=0)
    links = np.empty((3, n_runs), np.int64)
    pixels = np.empty((np.diff(hits.offsets).max(initial=0), 3))
    members = np.empty(len(pixels), np.int64)
    _keep_moments(
        hits.module, found, hits.row, hits.col, adc, pitch, values.astype(np.float64), level,
        wall, links, pixels, members,
    )  # fmt: skip


@kernel
def _keep_moments(module, found, row, col, adc, pitch, values, level, wall, links, pixels, members):  # type: ignore[no-untyped-def]
    one = np.uint64(1)
    root, last, following = links[0], links[1], links[2]
    for f in range(np.uint64(len(module))):
        start, stop = np.uint64(found.offsets[f]), np.uint64(found.offsets[f + one])
        m = np.uint64(module[f])
        by_row, by_col = (pitch[m, 0] / _UNITS[1]) ** 2, (pitch[m, 1] / _UNITS[2]) ** 2
        # runs of one root as a list: the last one of each root, and the one behind each run
        for r in range(stop - start):
            parent = found.parent[start + r]
            following[r] = -1
            root[r] = r
            if parent >= 0:
                first = root[np.uint64(parent) - start]
                root[r] = first
                following[np.uint64(last[np.uint64(first)])] = r
                last[np.uint64(first)] = r
            else:
                last[r] = r
        for r in range(stop - start):
            alone = found.first[start + r + one] - found.first[start + r] == 1
            if found.parent[start + r] >= 0 or (alone and following[r] < 0):
                continue
            n = np.uint64(0)
            q = up = along = 0.0  # charge and its moments about the first pixel
            dq = du = da = 0.0  # those of its error
            y0, x0 = row[found.first[start + r]], col[found.first[start + r]]
            run = np.int64(r)
            while run >= 0:
                this = start + np.uint64(run)
                begin, end = np.uint64(found.first[this]), np.uint64(found.first[this + one])
                y = np.float64(row[begin]) - y0
                for i in range(begin, end):
                    x, a = np.float64(col[i]) - x0, np.float64(adc[i])
                    error = values[level[i]] - a
                    members[n] = i
                    pixels[n, _Y], pixels[n, _X], pixels[n, _ERROR] = y, x, error
                    n += one
                    q += a
                    up += a * y
                    along += a * x
                    dq += error
                    du += error * y
                    da += error * x
                run = following[np.uint64(run)]
            if q <= 0:
                continue
            up, along = up / q, along / q  # the barycentre
            du, da = du - dq * up, da - dq * along
            scale = 1 / (q * q)
            for_q, for_u, for_a = scale / _UNITS[0] ** 2, scale * by_row, scale * by_col
            _move(
                n, up, along, dq, du, da, for_q, for_u, for_a, values, level, wall, pixels, members
            )


@njit(inline="always")
def _move(n, up, along, dq, du, da, for_q, for_u, for_a, values, level, wall, pixels, members):  # type: ignore[no-untyped-def]
    """Move levels of one cluster's pixels while that helps."""
    top = np.int64(len(values) - 1)
    for k in range(n):
        pixels[k, _Y] -= up
        pixels[k, _X] -= along
    for _ in range(_ROUNDS):
        moved = False
        for k in range(n):
            i = np.uint64(members[k])
            y, x, own = pixels[k, _Y], pixels[k, _X], pixels[k, _ERROR]
            here = np.int64(level[i])
            # only one way can be better
            slope = dq * for_q + du * for_u * y + da * for_a * x
            step = -1 if slope > 0 else 1
            to = here + step
            if to < 0 or to > top or max(here, to) == wall:
                continue
            change = values[np.uint64(to)] - values[np.uint64(here)]
            saved = -change * (2 * slope + change * (for_q + for_u * y * y + for_a * x * x))
            # in squares of the change: (own + change)^2 - own^2
            if (saved - _LEAST) * abs(change) > _OWN * (2 * own + change) * step:
                level[i] = to
                pixels[k, _ERROR] = own + change
                dq, du, da = dq + change, du + change * y, da + change * x
                moved = True
        if not moved:
            break
