"""Digis of a module in column-major order, in which CMS keeps them and general compressors like them."""

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = ["column_order", "row_order"]


@njit(cache=True, nogil=True)
def column_order(offsets, row, col, n_cols, frame_module):  # type: ignore[no-untyped-def]
    """Order that sorts each frame by column, then row, given digis sorted by row, then column."""
    order = np.empty(len(row), np.int64)
    counts = np.zeros(n_cols.max() + 1 if len(n_cols) else 1, np.int64)
    for f in range(len(offsets) - 1):
        begin, end = offsets[f], offsets[f + 1]
        if end - begin <= 48:  # insertion sort is stable, and fast for the few digis of a module
            for i in range(begin, end):
                key = col[i]
                j = i
                while j > begin and col[order[j - 1]] > key:
                    order[j] = order[j - 1]
                    j -= 1
                order[j] = i
            continue
        width = n_cols[frame_module[f]]
        counts[: width + 1] = 0
        for i in range(begin, end):
            counts[col[i] + 1] += 1
        for c in range(width):
            counts[c + 1] += counts[c]
        for i in range(begin, end):
            order[begin + counts[col[i]]] = i
            counts[col[i]] += 1
    return order


@njit(cache=True, nogil=True)
def row_order(offsets, row, n_rows):  # type: ignore[no-untyped-def]
    """Order that sorts each frame by row, then column, given digis sorted by column, then row."""
    order = np.empty(len(row), np.int64)
    counts = np.zeros(n_rows + 1, np.int64)
    for f in range(len(offsets) - 1):
        begin, end = offsets[f], offsets[f + 1]
        counts[:] = 0
        for i in range(begin, end):
            counts[row[i] + 1] += 1
        for r in range(n_rows):
            counts[r + 1] += counts[r]
        for i in range(begin, end):
            order[begin + counts[row[i]]] = i
            counts[row[i]] += 1
    return order
