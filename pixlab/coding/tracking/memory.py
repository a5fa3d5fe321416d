"""`Memory` at its beginning, and in a form that is small to store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixlab.coding.rangecoder import FRESH, UNIT_WEIGHT
from pixlab.coding.tracking.candidates import (
    COL_KERNELS,
    GROUPS,
    ROW_KERNELS,
    SEED_INPUTS,
    SEED_ROWS,
    SEED_SLOTS,
    SPOT_INPUTS,
    SPOT_ROWS,
    SPOT_SLOTS,
)
from pixlab.coding.tracking.events import COUNT_SLOTS, Memory
from pixlab.coding.tracking.growth import GROWTH_INPUTS, GROWTH_ROWS, GROWTH_SLOTS
from pixlab.coding.tracking.halving import NODES
from pixlab.coding.tracking.planes import CLASSES
from pixlab.coding.tracking.residuals import BINS
from pixlab.errors import FormatError

__all__ = ["copy_of", "fresh", "restore", "store"]

Array = NDArray[Any]

# how sure a stored probability may be: 16 steps of what was seen
_SEEN = np.array([0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192], np.uint32)
_LEAST_SEEN = 2  # less is not worth its bytes
# a residual at first, by its size: a Gaussian and a floor, written out so that no machine computes it
_LIKELY = np.array(
    [
        131269, 129938, 126026, 119768, 111525, 101756, 90973, 79696, 68413, 57549, 47441, 38329,
        30352, 23562, 17935, 13391, 9813, 7064, 5001, 3491, 2409, 1653, 1136, 790,
        564, 419, 329, 274, 241, 221, 210, 204, 200, 199, 198, 197,
        197,
    ],
    np.int64,
)  # fmt: skip
_SCALE = 256  # of histograms: 1/256 of a root
_PROBABILITIES = ("counts", "ground", "seeds", "spots", "growth")
_WEIGHTS = ("seed_weights", "spot_weights", "growth_weights")
_MEANS = ("unexplained", "all")
_HISTOGRAMS = ("rows", "cols")


def fresh() -> Memory:
    """What is known before anything was seen."""
    doubtful = (np.uint32(1 << 22) // np.uint32(8)) << np.uint32(10)
    # clusters begin about half a pixel before the middle of where they are expected
    likely = _LIKELY[np.abs(np.arange(BINS) - BINS // 2 + 4)]
    return Memory(
        counts=np.full(COUNT_SLOTS, FRESH, np.uint32),
        ground=np.full(CLASSES * NODES, FRESH, np.uint32),
        seeds=np.full(SEED_SLOTS, doubtful, np.uint32),
        spots=np.full(SPOT_SLOTS, doubtful, np.uint32),
        growth=np.full(GROWTH_SLOTS, FRESH, np.uint32),
        seed_weights=np.full(SEED_ROWS * SEED_INPUTS, UNIT_WEIGHT // SEED_INPUTS, np.int32),
        spot_weights=np.full(SPOT_ROWS * SPOT_INPUTS, UNIT_WEIGHT // SPOT_INPUTS, np.int32),
        growth_weights=np.full(
            GROWTH_ROWS * GROWTH_INPUTS, 2 * UNIT_WEIGHT // GROWTH_INPUTS, np.int32
        ),
        unexplained=np.full(CLASSES, 5 << 16, np.int64),
        all=np.full(CLASSES, 5 << 16, np.int64),
        rows=np.zeros((GROUPS * ROW_KERNELS, BINS), np.int64),
        cols=np.zeros((GROUPS * COL_KERNELS, BINS), np.int64),
        rows_pooled=np.tile(likely, (GROUPS, 1)),
        cols_pooled=np.tile(likely, (GROUPS, 1)),
    )


def copy_of(memory: Memory) -> Memory:
    """A copy that a coder may change."""
    return Memory._make(array.copy() for array in memory)


def store(memory: Memory) -> dict[str, Array]:
    """Arrays for a model: `restore` gives nearly the same memory."""
    arrays: dict[str, Array] = {}
    for name in _PROBABILITIES:
        table = getattr(memory, name)
        seen = np.searchsorted(_SEEN, table & np.uint32(1023), side="right") - 1
        kept = (table >> np.uint32(20) << np.uint32(4)) | seen.astype(np.uint32)
        arrays[f"tracking.{name}"] = np.where(seen >= _LEAST_SEEN, kept, 0).astype(np.uint16)
    for name in _WEIGHTS:
        weights = getattr(memory, name)
        arrays[f"tracking.{name}"] = np.clip(weights >> 4, -32768, 32767).astype(np.int16)
    for name in _MEANS:
        arrays[f"tracking.{name}"] = np.clip(getattr(memory, name), 0, 2**31 - 1).astype(np.int32)
    for name in _HISTOGRAMS:
        counts = getattr(memory, name)
        # few entries are enough, and many would never be unlearned
        whole = np.maximum(counts.sum(axis=1, keepdims=True), 1)
        kept = counts * np.minimum(1.0, (400 << 16) / whole) / (65536 // _SCALE)
        arrays[f"tracking.{name}"] = np.minimum(np.rint(kept), 65535).astype(np.uint16)
    return arrays


def restore(arrays: Mapping[str, Array]) -> Memory:
    """The memory that `store` left in a model, as exactly as it was stored; if nothing, `fresh`.

    Raises
    ------
    FormatError
        If an array is missing or damaged.
    """
    memory = fresh()
    if not any(f"tracking.{name}" in arrays for name in Memory._fields):
        return memory
    for name in _PROBABILITIES:
        stored = _stored(arrays, name, np.uint16, getattr(memory, name).shape).astype(np.uint32)
        seen = _SEEN[stored & np.uint32(15)]
        p = (stored >> np.uint32(4) << np.uint32(20)) | np.uint32(1 << 19)
        table = getattr(memory, name)
        table[:] = np.where(stored > 0, p | seen, table)
    for name in _WEIGHTS:
        weights = getattr(memory, name)
        weights[:] = _stored(arrays, name, np.int16, weights.shape).astype(np.int32) * 16
    for name in _MEANS:
        means = getattr(memory, name)
        means[:] = _stored(arrays, name, np.int32, means.shape)
        if means.min() < 0:
            raise FormatError(f"array 'tracking.{name}' of the model is damaged")
    for name in _HISTOGRAMS:
        counts, pooled = getattr(memory, name), getattr(memory, f"{name}_pooled")
        counts[:] = _stored(arrays, name, np.uint16, counts.shape).astype(np.int64)
        counts *= 65536 // _SCALE
        pooled += counts.reshape(len(pooled), -1, BINS).sum(axis=1)
    return memory


def _stored(arrays: Mapping[str, Array], name: str, dtype: Any, shape: tuple[int, ...]) -> Array:
    stored = arrays.get(f"tracking.{name}")
    if stored is None or stored.dtype != dtype or stored.shape != shape:
        raise FormatError(f"array 'tracking.{name}' of the model is missing or damaged")
    return stored
