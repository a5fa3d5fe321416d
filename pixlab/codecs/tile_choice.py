"""Which codeword tells a tile best: by its pixels, and by what becomes of the tile's cluster.

A pixel too many or too few costs `PIXEL`, and `BRIDGE` more if it is lost and touches a pixel of another
tile, as clusters split where those are missing. A cluster whose charge is off by all of it `CHARGE`, one
whose barycentre is off by a pixel `PLACE`, a pixel whose count is off by a factor of e `SHADE`; the
last three grow with the square. The tiles of a cluster are told one after another, the largest
last, and each makes up for what those before it did to charge and barycentre. All of it is in
integers, so that the choice never depends on the machine or on threads.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pixlab.clusters import cluster
from pixlab.codecs.base import on_all_cores
from pixlab.codecs.patch_vq import Tiles
from pixlab.digis import Digis
from pixlab.jit import kernel

__all__ = ["BRIDGE", "CHARGE", "ONE", "PIXEL", "PLACE", "SHADE", "Around", "Words", "choose"]
__all__ += ["LARGEST", "WEIGHTS", "make_words", "places_of", "shade_of", "surroundings"]

Array = NDArray[Any]
PIXEL, BRIDGE, CHARGE, PLACE, SHADE = 3.0, 3.0, 14.0, 10.0, 0.03
ONE = 256  # of costs, of shares of a charge, of pixels, of logarithms
_FAINTEST = 8  # counts that a cluster has at least
LARGEST = 1 << 14  # of an error, in 1 / ONE
_FRAMES = 512  # that a thread takes at a time
# as the kernel has them
_PIXEL, _BRIDGE = round(ONE * PIXEL), round(ONE * BRIDGE)
_CHARGE, _PLACE, _SHADE = round(16 * CHARGE), round(16 * PLACE), round(4096 * SHADE)
WEIGHTS = {"pixel": _PIXEL, "bridge": _BRIDGE, "charge": _CHARGE, "place": _PLACE, "shade": _SHADE}


class Around(NamedTuple):
    """The cluster of each tile, of several the one with most charge.

    ``cluster``: int64[tiles], its index; ``n``: how many there are; ``charge``: int64[tiles], its
    counts; ``centre``: int64[tiles, 2], its barycentre in rows and columns from the tile's first
    pixel, in 1 / ONE pixel; ``bridge``: bool[hits], whether a hit touches one of another tile.
    """

    cluster: Array
    n: int
    charge: Array
    centre: Array
    bridge: Array


class Words(NamedTuple):
    """Codewords as they are compared.

    ``hit``: int32[pixels, codes], whether they are hit; ``shades``: int32[pixels, codes], logarithms of
    their counts + 1, in 1 / ONE; ``fixed``: int32[codes], what they cost with all of their pixels too
    many; ``sums``: int64[codes, 3], their charge and its moments along rows and columns.
    """

    hit: Array
    shades: Array
    fixed: Array
    sums: Array


def shade_of(counts: Array) -> NDArray[np.int32]:
    """Logarithm of counts + 1, given those, in 1 / ONE; 0 where there is no hit."""
    table = np.rint(ONE * np.log(np.maximum(np.arange(65537), 1))).astype(np.int32)
    return table[counts]


def places_of(tile: tuple[int, int]) -> NDArray[np.int64]:
    """One, row and column of each pixel of a tile: int64[pixels, 3]."""
    pixel = np.arange(tile[0] * tile[1])
    return np.stack([np.ones_like(pixel), pixel // tile[1], pixel % tile[1]], axis=1)


def make_words(book: Array, price: Array, tile: tuple[int, int]) -> Words:
    """Codewords of `choose`."""
    counts = np.maximum(book.astype(np.int64) - 1, book > 0)
    hit = np.ascontiguousarray((book > 0).T.astype(np.int32))
    shades = np.ascontiguousarray(shade_of(book.T))
    fixed = (_PIXEL * hit.sum(axis=0) + price).astype(np.int32)
    return Words(hit, shades, fixed, counts @ places_of(tile))


def surroundings(digis: Digis, tiles: Tiles, tile: tuple[int, int]) -> Around:
    """The clusters of tiles of `tile` rows and columns."""
    clusters = cluster(digis, thresholds=False)
    n, weight = len(clusters), np.maximum(digis.adc, 1).astype(np.int64)
    label, place = clusters.label, (digis.row, digis.col)
    charge = np.bincount(label, weight, minlength=n).astype(np.int64)
    first = np.maximum(charge[label[tiles.digi]] << 32 | label[tiles.digi], 0)
    main = np.maximum.reduceat(first, tiles.offsets[:-1]) & 0xFFFFFFFF if n else first
    moments = [np.bincount(label, weight * x, minlength=n).astype(np.int64) for x in place]
    corners = (tiles.row.astype(np.int64) * tile[0], tiles.col.astype(np.int64) * tile[1])
    centre = [
        ONE * m[main] // charge[main] - ONE * x for m, x in zip(moments, corners, strict=True)
    ]
    bridge = np.zeros(digis.n_digis, np.bool_)
    _find_bridges(digis.frames.offsets, digis.row, digis.col, *tile, bridge)
    counts = np.maximum(charge[main], _FAINTEST)
    return Around(main, n, counts, np.stack(centre, axis=1), bridge[tiles.digi])


@kernel
def _find_bridges(offsets, row, col, tile_rows, tile_cols, bridge):  # type: ignore[no-untyped-def]
    for f in range(len(offsets) - 1):
        begin, end = offsets[f], offsets[f + 1]
        for i in range(begin, end):
            r, c = np.int64(row[i]), np.int64(col[i])
            for near in range(r - 1, r + 2):
                low, high = begin, end  # of the first digi at (near, c - 1) or after it
                while low < high:
                    middle = (low + high) // 2
                    y, x = np.int64(row[middle]), np.int64(col[middle])
                    if y < near or (y == near and x < c - 1):
                        low = middle + 1
                    else:
                        high = middle
                while low < end and np.int64(row[low]) == near and np.int64(col[low]) <= c + 1:
                    same = near // tile_rows == r // tile_rows
                    if not same or np.int64(col[low]) // tile_cols != c // tile_cols:
                        bridge[i] = True
                    low += 1


def choose(tiles: Tiles, around: Around, book: Array, price: Array, tile: tuple[int, int]) -> Array:
    """The codeword of each tile that costs least: int32[tiles].

    Parameters
    ----------
    tiles, around
        What to tell.
    book : uint16[codes, pixels]
        Counts + 1 of each codeword, 0 where it has no hit.
    price : int[codes]
        What it costs to use a codeword, in 1 / ONE.
    tile : (int, int)
        Rows and columns of a tile.
    """
    words = make_words(book, price, tile)
    weight = np.maximum(tiles.adc, 1).astype(np.int64)
    told = np.add.reduceat(weight[:, None] * places_of(tile)[tiles.pixel], tiles.offsets[:-1])
    order = np.lexsort((told[:, 0], tiles.frame))
    carried = np.zeros((around.n, 3), np.int64)
    codes = np.empty(len(order), np.int32)
    shade = shade_of(tiles.adc.astype(np.int64) + 1)
    lost = (_PIXEL + _BRIDGE * around.bridge).astype(np.int32)
    columns = (order, tiles.offsets, tiles.pixel, shade, lost, told)

    def block(begin: int) -> None:
        cost = np.empty(len(words.fixed), np.int32)
        ends = tiles.frame_offsets[[begin, min(begin + _FRAMES, len(tiles.frame_offsets) - 1)]]
        _choose(
            *ends, *columns, around.cluster, around.charge, around.centre,
            *words, np.int32(_PIXEL), carried, cost, codes,
        )  # fmt: skip

    on_all_cores(block, list(range(0, len(tiles.frame_offsets) - 1, _FRAMES)) or [0])
    return codes


@kernel
def _choose(  # type: ignore[no-untyped-def]
    begin, end, order, offsets, pixel, shade, lost, told, cluster, charge, centre,
    hit, shades, fixed, sums, per_pixel, carried, cost, codes,
):  # fmt: skip
    n = len(fixed)
    for o in range(begin, end):
        t = order[o]
        for k in range(n):
            cost[k] = fixed[k]
        for i in range(offsets[t], offsets[t + 1]):
            p, s, lose = pixel[i], shade[i], lost[i]
            for k in range(n):
                d = shades[p, k] - s
                off = np.int32(np.int32(d * d * np.int32(_SHADE)) >> np.int32(20))
                cost[k] += lose + hit[p, k] * (off - lose - per_pixel)
        c, q, up, along = cluster[t], charge[t], centre[t, 0], centre[t, 1]
        # what the cluster's sums are too large by, less this tile's
        over_q = carried[c, 0] - told[t, 0]
        over_y = carried[c, 1] - (ONE * told[t, 1] - up * told[t, 0])
        over_x = carried[c, 2] - (ONE * told[t, 2] - along * told[t, 0])
        best, least = 0, np.int64(1) << 62
        for k in range(n):
            if cost[k] < least:
                e = _clip(ONE * (sums[k, 0] + over_q) // q)
                y = _clip((ONE * sums[k, 1] - up * sums[k, 0] + over_y) // q)
                x = _clip((ONE * sums[k, 2] - along * sums[k, 0] + over_x) // q)
                whole = cost[k] + ((_CHARGE * e * e + _PLACE * (y * y + x * x)) >> 12)
                if whole < least:
                    best, least = k, whole
        codes[t] = best
        carried[c, 0] = sums[best, 0] + over_q
        carried[c, 1] = ONE * sums[best, 1] - up * sums[best, 0] + over_y
        carried[c, 2] = ONE * sums[best, 2] - along * sums[best, 0] + over_x


@kernel
def _clip(error):  # type: ignore[no-untyped-def]
    return min(max(error, -LARGEST), LARGEST)
