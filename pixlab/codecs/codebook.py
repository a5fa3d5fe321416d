"""A codebook of cluster shapes: small pictures, learned by k-means, one book for each kind of box.

::

    cluster ──► box (rows x columns) ──► kind: region, rows up to 4, columns up to 8
            └─► shares of its charge on a canvas of 4 x 8 ──► nearest picture of that kind

Larger boxes are stretched from the canvas. A picture says which pixels of the box are hit and how
the charge is shared. It always reaches all four sides of its box and hangs together, so that a
cluster drawn from it keeps its size.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pixlab.codecs.moments import Pixels
from pixlab.coding.bits import kernel
from pixlab.coding.hits import MAX_DIGIS
from pixlab.detectors import Detector
from pixlab.errors import FormatError

__all__ = ["CODEBOOK", "HIGH", "WIDE", "Codebook", "canvases_of", "draw", "kinds_of"]
__all__ += ["learn_codebook", "make_codebook", "nearest", "regions_of"]

Array = NDArray[Any]

CODEBOOK = ("codebook.shares", "codebook.sizes", "codebook.usage")  # its arrays in a model
HIGH, WIDE = 4, 8  # of the canvas
_CELLS = HIGH * WIDE
_FULL = 255
_UNIT = 256  # lengths a pixel
# what counts as one unit of distance between shapes: pixels of barycentre, pixels that are hit in
# one and not in the other, share of the charge
_ROW_SCALE, _COL_SCALE, _HIT_SCALE, _SHARE_SCALE = 0.06, 0.09, 0.5, 4.0
_EACH = 3  # clusters that a picture needs
_ROUNDS = 25


class Codebook(NamedTuple):
    """Pictures in the order of their kinds.

    ``offsets``: int64[kinds + 1], first picture of each kind; ``shares``: uint8[pictures, 32],
    weight of each cell of the canvas, 0 where there is no hit; ``usage``: uint16[pictures], how
    common each was; ``up``, ``along``: int64[pictures], barycentre from the middle of the box in
    1/256 cell; ``rarity``: int64[pictures], about -log2 of the usage.
    """

    offsets: NDArray[np.int64]
    shares: NDArray[np.uint8]
    usage: NDArray[np.uint16]
    up: NDArray[np.int64]
    along: NDArray[np.int64]
    rarity: NDArray[np.int64]


def regions_of(detector: Detector) -> tuple[NDArray[np.int64], int]:
    """Region of each module, and their number: the first words of layer names, as BPIX and FPIX."""
    words = [(name.split() or [""])[0] for name in detector.layers]
    names = list(dict.fromkeys(words))
    return np.array([names.index(w) for w in words], np.int64)[detector.layer], len(names)


def kinds_of(region: Array, tilt: Array, high: Array, wide: Array) -> NDArray[np.int64]:
    """The kind of boxes of `high` x `wide` pixels; ``tilt`` is 1 for clusters that lean the other way."""
    high, wide = np.minimum(high, HIGH) - 1, np.minimum(wide, WIDE) - 1
    return ((2 * region + tilt) * HIGH + high) * WIDE + wide


def make_codebook(arrays: Mapping[str, Array], detector: Detector) -> Codebook:
    """The codebook of a model.

    Raises
    ------
    FormatError
        If they are damaged.
    """
    shares, sizes, usage = (arrays[name] for name in CODEBOOK)
    n = len(shares)
    good = (
        shares.shape == (n, _CELLS)
        and sizes.shape == (2 * regions_of(detector)[1] * _CELLS,)
        and usage.shape == (n,)
        and [str(a.dtype) for a in (shares, sizes, usage)] == ["uint8", "uint32", "uint16"]
        and int(sizes.astype(np.int64).sum()) == n
    )
    if not good:
        raise FormatError("the codebook is damaged")
    offsets = np.concatenate([[0], np.cumsum(sizes.astype(np.int64))])
    kind = np.repeat(np.arange(len(sizes)), sizes)
    high, wide = kind // WIDE % HIGH + 1, kind % WIDE + 1
    if not all(_holds(s, h, w) for s, h, w in zip(shares, high, wide, strict=True)):
        raise FormatError("a picture of the codebook does not fill its box")
    up, along = _barycentres(shares, high, wide)
    bits = np.array([int(v).bit_length() for v in usage], np.int64)
    return Codebook(offsets, shares, usage, up, along, 16 - bits)


def _barycentres(shares: Array, high: Array, wide: Array) -> tuple[Array, Array]:
    weights = shares.astype(np.int64).reshape(-1, HIGH, WIDE)
    total = weights.sum(axis=(1, 2))
    rows = (weights.sum(axis=2) * (2 * np.arange(HIGH))).sum(axis=1)
    cols = (weights.sum(axis=1) * (2 * np.arange(WIDE))).sum(axis=1)
    half = _UNIT // 2
    return (
        half * rows // total - half * (high - 1),
        half * cols // total - half * (wide - 1),
    )


@njit(cache=True, nogil=True)
def _holds(shares, high, wide):  # type: ignore[no-untyped-def]
    """Whether a picture keeps to its box, reaches all of its sides, and hangs together."""
    seen = np.zeros(_CELLS, np.bool_)
    stack = np.empty(_CELLS, np.int64)
    sides = n = depth = 0
    for at in range(_CELLS):
        r, c = at // WIDE, at % WIDE
        if shares[at]:
            if r >= high or c >= wide:
                return False
            sides |= (r == 0) | (r == high - 1) << 1 | (c == 0) << 2 | (c == wide - 1) << 3
            n += 1
            if depth == 0 and n == 1:
                stack[0] = at
                seen[at] = True
                depth = 1
    if sides != 15:
        return False
    found = 0
    while depth:
        depth -= 1
        at = stack[depth]
        found += 1
        r, c = at // WIDE, at % WIDE
        for y in range(max(r - 1, 0), min(r + 2, HIGH)):
            for x in range(max(c - 1, 0), min(c + 2, WIDE)):
                to = y * WIDE + x
                if shares[to] and not seen[to]:
                    seen[to] = True
                    stack[depth] = to
                    depth += 1
    return found == n


# -- drawing ----------------------------------------------------------------------------------
def nearest(
    book: Codebook, kind: Array, high: Array, wide: Array, offsets: Array, noise: Array
) -> NDArray[np.int64]:
    """The picture of each box that is nearest to a barycentre, common ones first: int64[boxes].

    ``offsets`` are from the middle of the box, in 1/256 pixel; ``noise`` (16 bits a box) decides
    between pictures that are about as good. -1 where the codebook has none of that kind.
    """
    found = np.empty(len(kind), np.int64)
    _nearest(book, kind, high, wide, offsets, noise, found)
    return found


@kernel
def _nearest(book, kind, high, wide, offsets, noise, found):  # type: ignore[no-untyped-def]
    for i in range(len(kind)):
        begin, end = book.offsets[kind[i]], book.offsets[kind[i] + 1]
        y, x = offsets[i, 0], offsets[i, 1]
        if high[i] > HIGH:
            y = y * HIGH // high[i]
        if wide[i] > WIDE:
            x = x * WIDE // wide[i]
        best, least = np.int64(-1), np.int64(0)
        for j in range(begin, end):
            dy, dx = book.up[j] - y, book.along[j] - x
            score = dy * dy + (dx * dx >> 1) + (book.rarity[j] << 6)
            score += ((noise[i] * (2 * (j - begin) + 1)) & 65535) >> 6
            if best < 0 or score < least:
                best, least = j, score
        found[i] = best


def draw(
    book: Codebook, picture: Array, high: Array, wide: Array, row: Array, col: Array
) -> tuple[NDArray[np.int64], NDArray[np.uint16], NDArray[np.uint16], NDArray[np.uint8]]:
    """The pixels of boxes from their pictures (-1 for all pixels of the box).

    Returns
    -------
    int64[boxes + 1], uint16[pixels], uint16[pixels], uint8[pixels]
        First pixel of each box; rows, columns and weights of pixels.

    Raises
    ------
    FormatError
        If there are more than a chunk may have.
    """
    offsets = np.zeros(len(picture) + 1, np.int64)
    total = 0
    for _ in range(2):  # first they are counted
        rows, cols = np.empty(total, np.uint16), np.empty(total, np.uint16)
        weights = np.empty(total, np.uint8)
        _draw(book, picture, high, wide, row, col, offsets, rows, cols, weights)
        total = int(offsets[-1])
        if total > MAX_DIGIS:
            raise FormatError("the boxes hold more digis than a chunk may")
    return offsets, rows, cols, weights


@kernel
def _draw(book, picture, high, wide, row, col, offsets, rows, cols, weights):  # type: ignore[no-untyped-def]
    """Count the pixels of each box, or also fill them in where there is room."""
    n = np.int64(0)
    for i in range(len(picture)):
        for r in range(high[i]):
            y = _cell(r, high[i], HIGH)
            for c in range(wide[i]):
                x = _cell(c, wide[i], WIDE)
                weight = np.uint8(_FULL)
                if picture[i] >= 0:
                    weight = book.shares[picture[i], y * WIDE + x]
                if weight:
                    if n < len(rows):
                        rows[n], cols[n], weights[n] = row[i] + r, col[i] + c, weight
                    n += 1
        offsets[i + 1] = n


# -- learning ---------------------------------------------------------------------------------
def canvases_of(
    pixels: Pixels, adc: Array, row: Array, col: Array, high: Array, wide: Array
) -> NDArray[np.float32]:
    """Hits and shares of the charge on the canvas: float32[clusters, 2, cells].

    ``row``, ``col``, ``high`` and ``wide`` are first corners and sides of the boxes.
    """
    found = np.zeros((len(high), 2, _CELLS), np.float32)
    _fill_canvases(pixels, adc, row, col, high, wide, found)
    return found


@kernel
def _fill_canvases(pixels, adc, first_row, first_col, high, wide, found):  # type: ignore[no-untyped-def]
    offsets, members, row, col, _ = pixels
    for c in range(len(high)):
        charge = np.float32(0)
        for k in range(offsets[c], offsets[c + 1]):
            charge += np.float32(adc[members[k]])
        for k in range(offsets[c], offsets[c + 1]):
            i = members[k]
            y = _cell(np.int64(row[i]) - first_row[c], high[c], HIGH)
            x = _cell(np.int64(col[i]) - first_col[c], wide[c], WIDE)
            here = _first(y + 1, high[c], HIGH) - _first(y, high[c], HIGH)
            here *= _first(x + 1, wide[c], WIDE) - _first(x, wide[c], WIDE)
            found[c, 0, y * WIDE + x] += np.float32(1) / np.float32(here)
            if charge > 0:
                found[c, 1, y * WIDE + x] += np.float32(adc[i]) / charge


@njit(inline="always")
def _cell(pixel, side, most):  # type: ignore[no-untyped-def]
    """The cell of the canvas that a pixel of a box is in."""
    return pixel * most // side if side > most else pixel


@njit(inline="always")
def _first(cell, side, most):  # type: ignore[no-untyped-def]
    """The first pixel of a cell."""
    return -(-cell * side // most) if side > most else cell


def learn_codebook(
    kind: Array,
    canvases: Array,
    n_regions: int,
    size: int,
    *,
    pixels: float,
    seed: int,
) -> dict[str, Array]:
    """The arrays of a model with `size` pictures for the clusters of `canvases_of`.

    Pictures have `pixels` times as many pixels as the clusters that they are the mean of.

    Kinds get pictures so that the sum of squared errors is about least: in the square root of the
    error that one picture would leave (the law of planar quantisers).
    """
    from sklearn.cluster import KMeans

    n_kinds = 2 * n_regions * _CELLS
    seen = np.bincount(kind, minlength=n_kinds)
    order = np.argsort(kind, kind="stable")
    groups = np.split(order, np.cumsum(seen)[:-1])
    features = [_features(canvases[g], k) for k, g in enumerate(groups)]
    error = np.array([len(f) * f.var(axis=0).sum() if len(f) else 0.0 for f in features])
    wanted = _allot(np.sqrt(error), np.where(seen >= _EACH, np.maximum(seen // _EACH, 1), 0), size)
    shares, sizes, usage = [], np.zeros(n_kinds, np.uint32), []
    owed = 0.0
    for k, group in enumerate(groups):
        if wanted[k] == 0:
            continue
        different = len(np.unique(features[k], axis=0))
        means = KMeans(
            min(wanted[k], different), n_init=1, max_iter=_ROUNDS, random_state=seed
        ).fit(features[k])
        pictures, counts, owed = _pictures(canvases[group], means.labels_, k, pixels, owed)
        shares.append(pictures)
        usage.append(counts)
        sizes[k] = len(pictures)
    return {
        "codebook.shares": np.concatenate(shares) if shares else np.zeros((0, _CELLS), np.uint8),
        "codebook.sizes": sizes,
        "codebook.usage": np.concatenate(usage) if usage else np.zeros(0, np.uint16),
    }


def _features(canvases: Array, kind: int) -> Array:
    """What k-means compares: barycentre, hits and shares."""
    high, wide = kind // WIDE % HIGH + 1, kind % WIDE + 1
    hits, shares = canvases[:, 0], canvases[:, 1]
    cell = np.arange(_CELLS)
    rows, cols = shares @ (cell // WIDE), shares @ (cell % WIDE)
    inside = (cell // WIDE < high) & (cell % WIDE < wide)
    return np.concatenate(
        [
            rows[:, None] / _ROW_SCALE,
            cols[:, None] / _COL_SCALE,
            hits[:, inside] * _HIT_SCALE,
            shares[:, inside] * _SHARE_SCALE,
        ],
        axis=1,
    ).astype(np.float64)


def _allot(weights: Array, most: Array, size: int) -> NDArray[np.int64]:
    """`size` pictures in proportion to weights, at most `most` each."""
    given = np.zeros(len(weights), np.int64)
    weights = np.where(most > 0, np.maximum(weights, 1e-9), 0.0)
    given[np.argsort(-weights * (most > 0), kind="stable")[: min(size, (most > 0).sum())]] = 1
    given[most == 0] = 0
    while True:
        left = size - given.sum()
        open_ = given < most
        if left <= 0 or not open_.any():
            return given
        share = np.where(open_, weights, 0.0)
        more = np.floor(left * share / share.sum()).astype(np.int64)
        if more.sum() == 0:
            more[np.argsort(-share, kind="stable")[:left]] = 1
            more[~open_] = 0
        given = np.minimum(given + more, most)


def _pictures(
    canvases: Array, labels: Array, kind: int, pixels: float, owed: float
) -> tuple[NDArray[np.uint8], NDArray[np.uint16], float]:
    """Picture and usage of each group of clusters, sorted by barycentre; and pixels still owed.

    The pixels that are hit most often are on. How many is rounded up or down so that pictures have as
    many pixels as wanted in all; ``owed`` is what was rounded off so far.
    """
    high, wide = kind // WIDE % HIGH + 1, kind % WIDE + 1
    n = int(labels.max()) + 1
    counts = np.bincount(labels, minlength=n)
    sums = np.zeros((n, 2, _CELLS))
    np.add.at(sums, labels, canvases)
    sums, counts = sums[counts > 0], counts[counts > 0]
    hits, shares = sums[:, 0] / counts[:, None], sums[:, 1] / counts[:, None]
    cell = np.arange(_CELLS)
    inside = (cell // WIDE < high) & (cell % WIDE < wide)
    total = np.maximum(shares.sum(axis=1), 1e-9)
    rows, cols = (shares @ (cell // WIDE)) / total, (shares @ (cell % WIDE)) / total
    pictures = np.zeros((len(counts), _CELLS), np.uint8)
    for i in np.lexsort((np.arange(len(counts)), -counts)):
        weights = np.clip(np.rint(shares[i] / max(shares[i].max(), 1e-9) * _FULL), 1, _FULL)
        order = np.argsort(-np.where(inside, hits[i], -1.0), kind="stable")[: inside.sum()]
        wanted = pixels * hits[i].sum() + owed / counts[i]
        best, least = len(order), np.inf
        for size in range(1, len(order) + 1):
            on = np.isin(cell, order[:size])
            if abs(size - wanted) < least and _holds((weights * on).astype(np.uint8), high, wide):
                best, least = size, abs(size - wanted)
        pictures[i] = weights * np.isin(cell, order[:best])
        owed += counts[i] * (pixels * hits[i].sum() - best)
    # neighbours in the order of indices are neighbours in rows, then in columns
    strips = int(np.sqrt(len(counts)))
    strip = np.argsort(np.argsort(rows, kind="stable"), kind="stable") * strips // len(counts)
    order = np.lexsort((cols, strip))
    usage = np.minimum(counts, 65535).astype(np.uint16)
    return pictures[order], usage[order], owed
