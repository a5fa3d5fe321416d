"""Learned probabilities in a form that is small to store: how a model carries what `fit` saw."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pixlab.coding.rangecoder import FRESH
from pixlab.errors import FormatError

__all__ = ["restore", "store"]

_MOST = 30  # how sure a stored starting probability is allowed to be


def store(table: NDArray[np.uint32]) -> NDArray[np.uint16]:
    """Eight bits of probability and a count of at most 30 for each slot; 0 where nothing was seen."""
    count = table & np.uint32(1023)
    p = (table >> np.uint32(24)).astype(np.uint16)
    kept = p << 8 | np.minimum(count, _MOST).astype(np.uint16)
    return np.where(count >= 2, kept, 0).astype(np.uint16)


def restore(name: str, table: NDArray[np.uint32], stored: NDArray[np.uint16]) -> None:
    """Fill `table` with what `store` gave.

    Raises
    ------
    FormatError
        Naming the array of the model that is damaged.
    """
    if stored.shape != table.shape or stored.dtype != np.uint16:
        raise FormatError(f"array '{name}' of the model is damaged")
    count = (stored & 0xFF).astype(np.uint32)
    if count.max(initial=0) > _MOST:
        raise FormatError(f"array '{name}' of the model is damaged")
    p = (stored >> 8).astype(np.uint32)
    # the middle of the step that the 8 bits stand for
    table[:] = np.where(count > 0, (p << 24) | (1 << 23) | count, FRESH)
