"""What is known of a cluster before its charge and shape are told: features of context trees.

One row of numbers from 0 to 255 a cluster, box or pixel; `pixlab.coding.contexts` asks for them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pixlab.codecs.boxes import Boxes
from pixlab.codecs.moments import MAX_OFFSET, Pixels, Places, direction, plane
from pixlab.coding.bits import kernel
from pixlab.coding.contexts import SILENT, first_context, plain_looks
from pixlab.coding.layout import Layout

__all__ = ["BOX_FEATURES", "BOX_HIGH", "BOX_TILT", "BOX_WIDE"]
__all__ += ["CLUSTER_FEATURES", "CLUSTER_SLOPE"]
__all__ += ["PIXEL_FEATURES", "PIXEL_LOOKS", "SAID", "ClusterViews", "contexts_of_pixels"]
__all__ += ["of_boxes", "of_clusters", "of_pixels"]

# columns of clusters, boxes and pixels; the last `SAID` ones of clusters and boxes are filled in when
# charge and shape are told, see `gains` and `lattice`
SAID = 4
(
    _LAYER, _TRACK, _SLANT, _HIGH, _WIDE, _SIZE, _BEGIN_COL, _SECOND_COL, _END_COL, _BEGIN_ROW,
    _SECOND_ROW, _END_ROW, _DOUBLED, _EXTRA, _SPREAD, _INNER, _UNEVEN, CLUSTER_SLOPE,
) = range(18)  # fmt: skip
CLUSTER_FEATURES = 18 + SAID
(
    _BOX_LAYER, _BOX_TRACK, _BOX_SIGNED, _BOX_SLANT, _BOX_AWAY, _BOX_ROW, _BOX_COL, _TO_LONG_COL,
    _TO_LONG_ROW, _COLS_LEFT, _ROWS_LEFT, BOX_WIDE, BOX_HIGH, BOX_TILT,
) = range(14)  # fmt: skip
BOX_FEATURES = 14 + SAID
PIXEL_FEATURES = 8
PIXEL_LOOKS = plain_looks(PIXEL_FEATURES)
_NO_FEATURES = np.empty((0, PIXEL_FEATURES), np.uint8)
_NO_MASKS, _NO_CONTEXTS = np.empty(0, np.uint64), np.empty(0, np.uint8)

Array = NDArray[Any]


@njit(inline="always")
def _byte(value):  # type: ignore[no-untyped-def]
    return np.uint8(min(max(value, 0), 255))


class ClusterViews(NamedTuple):
    """What can be seen of clusters whose pixels are known, but not their counts.

    ``free``, ``tilt``: uint8[n], see `moments.directions`; ``row``, ``col``, ``high``, ``wide``:
    int64[n], first corner and sides of the box; ``features``: uint8[n, CLUSTER_FEATURES].
    """

    free: NDArray[np.uint8]
    tilt: NDArray[np.uint8]
    row: NDArray[np.int64]
    col: NDArray[np.int64]
    high: NDArray[np.int64]
    wide: NDArray[np.int64]
    features: NDArray[np.uint8]


def of_clusters(pixels: Pixels, module: Array, layout: Layout) -> ClusterViews:
    """What can be seen of clusters; ``module``: int32[n]."""
    n = len(module)
    free, tilt = np.empty((2, n), np.uint8)
    row, col, high, wide = np.empty((4, n), np.int64)
    features = np.zeros((n, CLUSTER_FEATURES), np.uint8)
    found = ClusterViews(free, tilt, row, col, high, wide, features)
    _of_clusters(pixels, module, layout, found)
    return found


@kernel
def _of_clusters(pixels, module, layout, found):  # type: ignore[no-untyped-def]
    offsets, members, row, col, _ = pixels
    for c in range(np.uint64(len(module))):
        x = found.features[c]
        m = np.uint64(module[c])
        begin, end = np.uint64(offsets[c]), np.uint64(offsets[c + np.uint64(1)])
        n = np.int64(end - begin)
        first, last = np.uint64(members[begin]), np.uint64(members[end - np.uint64(1)])
        first_row, high = np.int64(row[first]), np.int64(row[last]) - np.int64(row[first])
        start = np.int64(col[first])
        low = most = np.int64(0)  # columns before and behind that of the first pixel
        for k in range(begin, end):
            y = np.int64(col[np.uint64(members[k])]) - start
            low, most = min(low, y), max(most, y)
        first_col, wide = start + low, most - low  # sides are less 1
        begin_col = second_col = end_col = begin_row = second_row = end_row = np.int64(0)
        rows_all = cols_all = rr = cc = rc = np.int64(0)
        for k in range(begin, end):
            i = np.uint64(members[k])
            r, y = np.int64(row[i]) - first_row, np.int64(col[i]) - first_col
            rows_all += r
            cols_all += y
            rr += r * r
            cc += y * y
            rc += r * y
            begin_col += y == 0
            second_col += y == 1
            end_col += y == wide
            begin_row += r == 0
            second_row += r == 1
            end_row += r == high
        rr, cc = n * rr - rows_all * rows_all, n * cc - cols_all * cols_all
        rc = n * rc - rows_all * cols_all
        found.free[c], found.tilt[c] = direction(n, max(high, -low, most), rr, cc, rc)
        found.row[c], found.col[c] = first_row, first_col
        found.high[c], found.wide[c] = high + 1, wide + 1
        width, height = np.int64(layout.cols[m]), np.int64(layout.rows[m])
        s = layout.slopes[m]
        track = s[0] + (np.int64(s[1]) - s[0]) * (2 * first_col + wide) // (2 * width)
        slant = s[2] + (np.int64(s[3]) - s[2]) * (2 * first_row + high) // (2 * height)
        edge_row, edge_col = layout.edge_row[layout.sensor[m]], layout.edge_col[layout.sensor[m]]
        doubled = np.int64(edge_col[first_col] & 1) | np.int64(edge_col[first_col + wide] & 1) << 1
        for r in range(first_row, first_row + high + 1):
            doubled |= np.int64(edge_row[r] & 1) << 2
        for y in range(first_col + 1, first_col + wide):
            doubled |= np.int64(edge_col[y] & 1) << 3
        x[_LAYER] = layout.layer[m]
        x[_TRACK] = _byte(abs(track) >> 2)
        x[_SLANT] = _byte((slant >> 1) + 128)
        x[_HIGH] = _byte(high + 1)
        x[_WIDE] = _byte(wide + 1)
        x[_SIZE] = _byte(n)
        x[_BEGIN_COL] = _byte(begin_col)
        x[_SECOND_COL] = _byte(second_col)
        x[_END_COL] = _byte(end_col)
        x[_BEGIN_ROW] = _byte(begin_row)
        x[_SECOND_ROW] = _byte(second_row)
        x[_END_ROW] = _byte(end_row)
        x[_DOUBLED] = doubled
        x[_EXTRA] = _byte(n - 1 - max(high, wide))
        x[_SPREAD] = _byte(32 * rr // (n * n))
        x[_INNER] = _byte(high + 1 - begin_row - end_row + 128)
        x[_UNEVEN] = _byte(4 * (begin_col - end_col) + 128)
        x[CLUSTER_SLOPE] = _byte((16 * rc // rr if rr > 0 else 0) + 128)


def of_boxes(boxes: Boxes, layout: Layout) -> NDArray[np.uint8]:
    """Features of boxes from their corner alone: uint8[boxes, BOX_FEATURES]."""
    found = np.zeros((len(boxes.row), BOX_FEATURES), np.uint8)
    _of_boxes(boxes.module, boxes.row, boxes.col, layout, found)
    return found


@kernel
def _of_boxes(module, row, col, layout, found):  # type: ignore[no-untyped-def]
    for c in range(len(module)):
        x = found[c]
        m = module[c]
        r, y = np.int64(row[c]), np.int64(col[c])
        width, height = np.int64(layout.cols[m]), np.int64(layout.rows[m])
        s = layout.slopes[m]
        track = s[0] + (np.int64(s[1]) - s[0]) * y // width
        slant = s[2] + (np.int64(s[3]) - s[2]) * r // height
        edge_row, edge_col = layout.edge_row[layout.sensor[m]], layout.edge_col[layout.sensor[m]]
        to_row = to_col = 0
        while to_row < 9 and r + to_row < height and not edge_row[r + to_row] & 1:
            to_row += 1
        while to_col < 9 and y + to_col < width and not edge_col[y + to_col] & 1:
            to_col += 1
        x[_BOX_LAYER] = layout.layer[m]
        x[_BOX_TRACK] = _byte(abs(track) >> 1)
        x[_BOX_SIGNED] = _byte((track >> 2) + 128)
        x[_BOX_SLANT] = _byte((slant >> 1) + 128)
        x[_BOX_AWAY] = s[4]
        x[_BOX_ROW] = _byte(r * 256 // height)
        x[_BOX_COL] = _byte(y * 256 // width)
        x[_TO_LONG_COL] = to_col
        x[_TO_LONG_ROW] = to_row
        x[_COLS_LEFT] = _byte(width - 1 - y)
        x[_ROWS_LEFT] = _byte(height - 1 - r)


def of_pixels(
    pixels: Pixels,
    places: Places,
    free: NDArray[np.uint8],
    layer: Array,
    charge: Array,
    target: Array,
    roles: NDArray[np.uint8],
) -> NDArray[np.uint8]:
    """Features of the pixels of clusters: uint8[digis, PIXEL_FEATURES], in the order of digis.

    The first is about the count that a pixel will be painted with. Pixels of clusters that are not
    painted (whose `charge` is negative) have none. For the arguments, see `moments.paint`.
    """
    found = np.zeros((len(roles), PIXEL_FEATURES), np.uint8)
    _of_pixels(pixels, places, free, layer, charge, target, roles, found, _NO_MASKS, _NO_CONTEXTS)
    return found


def contexts_of_pixels(
    masks: NDArray[np.uint64],
    pixels: Pixels,
    places: Places,
    free: NDArray[np.uint8],
    layer: Array,
    charge: Array,
    target: Array,
    roles: NDArray[np.uint8],
) -> NDArray[np.uint8]:
    """What a tree over `of_pixels` chooses: uint8[digis], `SILENT` for pixels that are not painted.

    ``masks`` are those of `PIXEL_LOOKS`.
    """
    found = np.empty(len(roles), np.uint8)
    _of_pixels(pixels, places, free, layer, charge, target, roles, _NO_FEATURES, masks, found)
    return found


@kernel
def _of_pixels(  # type: ignore[no-untyped-def]
    pixels, places, free, layer, charge, target, roles, found, masks, contexts
):
    """Fill in `found` if there is room in it, else `contexts`."""
    offsets, members, row, col, sensor = pixels
    describing = len(found) > 0
    for c in range(np.uint64(len(charge))):
        begin, end = np.uint64(offsets[c]), np.uint64(offsets[c + np.uint64(1)])
        if charge[c] < 0:
            if not describing:
                for k in range(begin, end):
                    contexts[np.uint64(members[k])] = SILENT
            continue
        last = end - np.uint64(1)
        n = np.int64(end - begin)
        kind, first = np.uint64(sensor[c]), np.uint64(members[begin])
        first_row, last_row = np.int64(row[first]), np.int64(row[np.uint64(members[last])])
        first_col, last_col = np.int64(65535), np.int64(0)
        sum_row = sum_col = rr = cc = rc = np.int64(0)
        # from the first pixel, so that sums stay small
        row_0, col_0 = places.row[kind, row[first]], places.col[kind, col[first]]
        for k in range(begin, end):
            i = np.uint64(members[k])
            y = np.int64(col[i])
            first_col, last_col = min(first_col, y), max(last_col, y)
            dx, dy = places.row[kind, row[i]] - row_0, places.col[kind, col[i]] - col_0
            sum_row += dx
            sum_col += dy
            rr += dx * dx
            cc += dy * dy
            rc += dx * dy
        mean_row, mean_col = sum_row // n, sum_col // n
        rr, cc = rr // n - mean_row * mean_row, cc // n - mean_col * mean_col
        # farther than any cluster reaches, a damaged offset would leave 64 bits
        shift_row = min(max(target[c, 0], -MAX_OFFSET), MAX_OFFSET)
        shift_col = min(max(target[c, 1], -MAX_OFFSET), MAX_OFFSET)
        a, b = plane(free[c], shift_row, shift_col, rr, cc, rc // n - mean_row * mean_col)
        mean = charge[c] // n
        row_0, col_0 = row_0 + mean_row, col_0 + mean_col
        size, high, wide = (
            _byte(n),
            _byte(last_row - first_row + 1),
            _byte(last_col - first_col + 1),
        )
        low, up = ~np.uint64(0), ~np.uint64(0)  # contexts that are possible for all of its pixels
        if not describing:
            low, up = _meet(low, up, masks, 2, size)
            low, up = _meet(low, up, masks, 5, high)
            low, up = _meet(low, up, masks, 6, wide)
            low, up = _meet(low, up, masks, 7, layer[c])
        for k in range(begin, end):
            i = np.uint64(members[k])
            r, y = np.int64(row[i]), np.int64(col[i])
            tilt = a * (places.row[kind, row[i]] - row_0) + b * (places.col[kind, col[i]] - col_0)
            tilt = min(max((1 << 16) + tilt, 0), 16 << 16)
            count, steep = _byte(mean * tilt >> 16), _byte(tilt >> 10)
            side = (r == first_row) | (r == last_row) << 1
            side |= (y == first_col) << 2 | (y == last_col) << 3
            if describing:
                found[i, 0], found[i, 1], found[i, 2], found[i, 3] = count, steep, size, roles[i]
                found[i, 4], found[i, 5], found[i, 6], found[i, 7] = side, high, wide, layer[c]
            else:
                own, above = _meet(low, up, masks, 0, count)
                own, above = _meet(own, above, masks, 1, steep)
                own, above = _meet(own, above, masks, 3, roles[i])
                own, above = _meet(own, above, masks, 4, side)
                contexts[i] = first_context(own, above)


@njit(inline="always")
def _meet(low, up, masks, feature, value):  # type: ignore[no-untyped-def]
    """The contexts that are possible in the light of one more feature."""
    at = (np.uint64(feature) << np.uint64(8) | np.uint64(value)) << np.uint64(1)
    return low & masks[at], up & masks[at + np.uint64(1)]
