"""The boxes of clusters: where they are, and which have no other near."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pixlab.clusters import Clusters
from pixlab.coding.bits import kernel
from pixlab.coding.hits import Hits

__all__ = ["Boxes", "boxes_of", "isolated", "to_corners"]

Array = NDArray[Any]


class Boxes(NamedTuple):
    """Boxes sorted by event, module, row and column of their first corner: int64[boxes] each.

    ``high`` and ``wide`` are their sides in rows and columns. The last four columns go together.
    """

    event: NDArray[np.int64]
    module: NDArray[np.int64]
    row: NDArray[np.int64]
    col: NDArray[np.int64]
    high: NDArray[np.int64]
    wide: NDArray[np.int64]


def boxes_of(clusters: Clusters, chosen: NDArray[np.bool_]) -> tuple[Boxes, NDArray[np.int64]]:
    """Boxes of the chosen clusters, and which cluster each is of."""
    which = np.flatnonzero(chosen)
    columns = (
        clusters.event, clusters.module, clusters.min_row, clusters.min_col, clusters.size_row,
        clusters.size_col,
    )  # fmt: skip
    event, module, row, col, high, wide = (np.asarray(c, np.int64)[which] for c in columns)
    order = np.lexsort((col, row, module, event))
    return Boxes(*(c[order] for c in (event, module, row, col, high, wide))), which[order]


def to_corners(boxes: Boxes) -> Hits:
    """The first corners of boxes as a hit map."""
    n = len(boxes.row)
    new = np.ones(n, bool)
    new[1:] = (np.diff(boxes.event) != 0) | (np.diff(boxes.module) != 0)
    first = np.flatnonzero(new)
    return Hits(
        boxes.event[first].copy(),
        boxes.module[first].astype(np.int32),
        np.append(first, n).astype(np.int64),
        boxes.row.astype(np.uint16),
        boxes.col.astype(np.uint16),
    )


def isolated(clusters: Clusters) -> NDArray[np.bool_]:
    """Whether no box of another cluster comes within a pixel of a cluster's box: bool[clusters]."""
    alone = np.ones(len(clusters), np.bool_)
    _find_crowded(
        clusters.frame,
        clusters.min_row,
        clusters.max_row,
        clusters.min_col,
        clusters.max_col,
        alone,
    )
    return alone


@kernel
def _find_crowded(frame, min_row, max_row, min_col, max_col, alone):  # type: ignore[no-untyped-def]
    # clusters of a frame come in the order of their first rows
    for i in range(len(frame)):
        j = i + 1
        while j < len(frame) and frame[j] == frame[i] and min_row[j] <= max_row[i] + 1:
            if min_col[j] <= max_col[i] + 1 and min_col[i] <= max_col[j] + 1:
                alone[i] = alone[j] = False
            j += 1
