"""The pixels of one module in one event, as columns that every drawing of them shares."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pixlab.clusters import cluster
from pixlab.digis import Digis

__all__ = ["Window", "busiest_window", "colour_top", "outlines", "pixel_table"]

Window = tuple[float, float, float, float]  # left, bottom, right, top


def pixel_table(original: Digis, decoded: Digis, detid: int) -> dict[str, NDArray]:
    """Every pixel of a module that is hit in the original or in the decoded event.

    Parameters
    ----------
    original, decoded : Digis
        One and the same event.
    detid : int
        Raw id of the module.

    Returns
    -------
    dict of arrays, in raster order
        ``row``, ``col``: int32. ``adc``, ``decoded``: float32 counts, NaN where there is no hit on
        that side. ``delta``: float32, decoded - original, where a missing hit counts as zero
        charge.
    """
    a, b = (d.select(detid=detid) for d in (original, decoded))
    width = int(original.detector.cols[original.detector.index(detid)])
    place_a, place_b = (d.row.astype(np.int64) * width + d.col for d in (a, b))
    place = np.union1d(place_a, place_b)
    adc, after = (np.full(len(place), np.nan, np.float32) for _ in range(2))
    adc[np.searchsorted(place, place_a)] = a.adc
    after[np.searchsorted(place, place_b)] = b.adc
    return {
        "row": (place // width).astype(np.int32),
        "col": (place % width).astype(np.int32),
        "adc": adc,
        "decoded": after,
        "delta": np.nan_to_num(after) - np.nan_to_num(adc),
    }


def colour_top(adc: NDArray[np.integer]) -> float:
    """Upper end of a colour scale of charge: the next ten above 95% of the counts, at least 1."""
    top = np.ceil(np.quantile(adc, 0.95) / 10) * 10 if len(adc) else 0.0
    return float(max(top, 1.0))


def outlines(event: Digis, detid: int) -> dict[str, NDArray[np.float64]]:
    """The borders of the clusters that reconstruction finds in a module of an event.

    Returns
    -------
    dict of float64[n]
        Ends ``x0``, ``y0``, ``x1``, ``y1`` of segments along pixel edges; pixel ``i`` reaches from
        ``i - 0.5`` to ``i + 0.5``.
    """
    one = event.select(detid=detid)
    label = cluster(one).label
    inside = label >= 0
    row, col, label = one.row[inside].astype(int), one.col[inside].astype(int), label[inside]
    index = one.detector.index(detid)
    shape = int(one.detector.rows[index]) + 2, int(one.detector.cols[index]) + 2
    whole = np.full(shape, -1, np.int64)  # with an empty frame around it
    whole[row + 1, col + 1] = label
    ends = []
    for d_row, d_col in ((-1, 0), (1, 0), (0, -1), (0, 1)):
        border = whole[row + 1 + d_row, col + 1 + d_col] != label
        y, x = row[border] + 0.5 * d_row, col[border] + 0.5 * d_col
        half_x, half_y = (0.5, 0.0) if d_row else (0.0, 0.5)
        ends.append((x - half_x, y - half_y, x + half_x, y + half_y))
    return dict(
        zip(("x0", "y0", "x1", "y1"), map(np.concatenate, zip(*ends, strict=True)), strict=True)
    )


def busiest_window(
    row: NDArray[np.integer],
    col: NDArray[np.integer],
    shape: tuple[int, int],
    size: tuple[int, int],
) -> Window:
    """The window of that size (rows, columns) with most pixels: left, bottom, right, top."""
    height, width = min(size[0], shape[0]), min(size[1], shape[1])
    counts = np.zeros((shape[0] + 1, shape[1] + 1), np.int32)
    np.add.at(counts, (row.astype(int) + 1, col.astype(int) + 1), 1)
    total = counts.cumsum(axis=0).cumsum(axis=1)
    inside = (
        total[height:, width:]
        - total[:-height, width:]
        - total[height:, :-width]
        + total[:-height, :-width]
    )
    # of all windows with as many pixels the middle one, so that clusters stand clear of the edge
    best = np.argwhere(inside == inside.max())
    row0 = int(best[len(best) // 2, 0])
    in_row = best[best[:, 0] == row0, 1]
    col0 = int(in_row[len(in_row) // 2])
    # pixel i reaches from i - 0.5 to i + 0.5
    return col0 - 0.5, row0 - 0.5, col0 + width - 0.5, row0 + height - 0.5
