"""k-means for sparse integer vectors: tiles of a hit map, of which few pixels are hit.

The distance of a tile to all codewords costs (hit pixels) x (codewords), not (pixels) x
(codewords), and is computed with integers, so that the nearest codeword never depends on the
machine, on threads or on how tiles are grouped.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pixlab.progress import Progress

__all__ = ["assign", "learn_centres"]

Array = NDArray[Any]
_BLOCK = 8192  # tiles that one thread takes at a time


def assign(offsets: Array, pixel: Array, value: Array, centres: Array) -> Array:
    """Index of the nearest centre of each tile; the lowest index of equally near ones.

    Parameters
    ----------
    offsets : int64[tiles + 1]
        First hit pixel of each tile.
    pixel : int32[hits]
        Place in the tile.
    value : int32[hits]
        Feature of the pixel; pixels that are not hit are 0.
    centres : int32[codes, pixels]
        Codewords in the same features.

    Returns
    -------
    int32[tiles]
    """
    nearest = np.empty(len(offsets) - 1, np.int32)
    columns = np.ascontiguousarray(centres.T.astype(np.int32))
    norms = (centres.astype(np.int64) ** 2).sum(axis=1).astype(np.int32)

    def block(begin: int) -> None:
        end = min(begin + _BLOCK, len(nearest))
        _nearest(offsets, pixel, value, columns, norms, begin, end, nearest)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(block, range(0, len(nearest), _BLOCK)))
    return nearest


@njit(cache=True, nogil=True)
def _nearest(offsets, pixel, value, columns, norms, begin, end, nearest):  # type: ignore[no-untyped-def]
    distance = np.empty(len(norms), np.int32)
    for t in range(begin, end):
        distance[:] = norms
        for i in range(offsets[t], offsets[t + 1]):
            twice = np.int32(2 * value[i])
            column = columns[pixel[i]]
            for k in range(len(distance)):
                distance[k] -= twice * column[k]
        nearest[t] = np.argmin(distance)


def learn_centres(
    offsets: Array,
    pixel: Array,
    value: Array,
    n_pixels: int,
    n_codes: int,
    *,
    seed: int,
    rounds: int = 12,
    progress: Progress | None = None,
) -> Array:
    """Centres of tiles: k-means++ start (Arthur & Vassilvitskii, 2007), then Lloyd's rounds.

    A centre that no tile chooses is moved to the tile that is worst represented.

    Returns
    -------
    float64[codes, pixels]
        Fewer than `n_codes` rows where there are fewer different tiles.
    """
    rng = np.random.default_rng(seed)
    chosen = _spread(offsets, pixel, value, n_pixels, rng.random(n_codes))
    centres = np.zeros((len(chosen), n_pixels))
    for k, t in enumerate(chosen):
        hit = slice(offsets[t], offsets[t + 1])
        centres[k, pixel[hit]] = value[hit]
    for i in range(rounds):
        rounded = np.rint(centres).astype(np.int32)
        nearest = assign(offsets, pixel, value, rounded)
        sums, counts, worst = _means(offsets, pixel, value, rounded, nearest)
        empty = np.flatnonzero(counts == 0)
        far = np.argsort(-worst, kind="stable")[: len(empty)]
        for code, tile in zip(empty, far, strict=True):
            hit = slice(offsets[tile], offsets[tile + 1])
            sums[code], counts[code] = 0, 1
            sums[code, pixel[hit]] = value[hit]
        centres = sums / counts[:, None]
        if progress:
            progress((i + 1) / rounds, f"{len(centres)} codes")
    return centres


@njit(cache=True, nogil=True)
def _spread(offsets, pixel, value, n_pixels, draws):  # type: ignore[no-untyped-def]
    """Tiles chosen one by one with a probability that grows with the distance to those chosen."""
    n = len(offsets) - 1
    norm = np.zeros(n)
    for t in range(n):
        for i in range(offsets[t], offsets[t + 1]):
            norm[t] += float(value[i]) ** 2
    distance = norm.copy()
    chosen = np.empty(len(draws), np.int64)
    centre = np.zeros(n_pixels)
    for k in range(len(draws)):
        total = distance.sum()
        if total <= 0:
            return chosen[:k].copy()
        goal = draws[k] * total
        t = 0
        reached = distance[0]
        while reached <= goal and t < n - 1:
            t += 1
            reached += distance[t]
        chosen[k] = t
        centre[:] = 0
        for i in range(offsets[t], offsets[t + 1]):
            centre[pixel[i]] = value[i]
        own = norm[t]
        for u in range(n):
            dot = 0.0
            for i in range(offsets[u], offsets[u + 1]):
                dot += value[i] * centre[pixel[i]]
            distance[u] = min(distance[u], max(norm[u] + own - 2 * dot, 0.0))
    return chosen


@njit(cache=True, nogil=True)
def _means(offsets, pixel, value, centres, nearest):  # type: ignore[no-untyped-def]
    """Sum and number of the tiles of each centre, and each tile's squared distance to its own."""
    sums = np.zeros(centres.shape)
    counts = np.zeros(len(centres), np.int64)
    worst = np.zeros(len(nearest))
    norms = (centres.astype(np.float64) ** 2).sum(axis=1)
    for t in range(len(nearest)):
        k = nearest[t]
        counts[k] += 1
        worst[t] = norms[k]
        for i in range(offsets[t], offsets[t + 1]):
            v = float(value[i])
            sums[k, pixel[i]] += v
            worst[t] += v * v - 2 * v * centres[k, pixel[i]]
    return sums, counts, worst
