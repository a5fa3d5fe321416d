"""The hit map: where clusters begin (`positions`) and how they grow (`runs`).

::

    frames, row, col ──► roots ──► section "positions"
                     └─► runs  ──► section "shapes"
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixlab.coding.layout import Layout
from pixlab.coding.positions import (
    GAP_CLASSES,
    GAP_FEATURES,
    code_positions,
    count_tables,
    learn_rates,
)
from pixlab.coding.layout import RINGS
from pixlab.coding.rans import open_words, write
from pixlab.coding.runs import LENGTHS, PLACES, RUN_FEATURES, code_runs, find_runs
from pixlab.coding.symbols import Symbols
from pixlab.errors import FormatError

__all__ = ["MAX_DIGIS", "HitCoder", "Hits"]

MAX_DIGIS = 1 << 27  # of one chunk
_WRITE, _READ, _DESCRIBE = 0, 1, 2

Array = NDArray[Any]
# what the kernels take where they have nothing to read or to write
_NO_WORDS = open_words(b"")
_NO_STEPS = np.empty(0, np.uint32)
_NO_LOG = np.empty((0, 2 + RUN_FEATURES), np.uint8)
_NO_GAPS = np.empty((0, GAP_FEATURES), np.uint8)
_NO_SYMBOLS = np.empty(0, np.uint8)
_NONE = np.empty(0, np.int64)
# name of the symbols of a run, and how many there are
_RUNS = {"begun": LENGTHS, "placed": PLACES, "ended": LENGTHS}


@dataclass
class Hits:
    """A hit map: frames by event and module, digis by row and column.

    ``event`` int64[frames], ``module`` int32[frames], ``offsets`` int64[frames + 1] (first digi of
    a frame), ``row`` and ``col`` uint16[digis].
    """

    event: Array
    module: Array
    offsets: Array
    row: Array
    col: Array


class HitCoder:
    """A way to code hit maps, from what `learn` left in a model.

    Parameters
    ----------
    layout : Layout
        Of the detector.
    arrays : mapping of str to array
        Of the model; those whose names begin with ``hits.`` are used.

    Raises
    ------
    FormatError
        If arrays are missing or damaged.
    """

    def __init__(self, layout: Layout, arrays: Mapping[str, Array]) -> None:
        self.layout = layout
        rates = arrays.get("hits.rates")
        if rates is None or rates.shape != (RINGS,) or rates.dtype != np.uint16 or not rates.all():
            raise FormatError("array 'hits.rates' of the model is missing or damaged")
        self._rates = rates.astype(np.int64)
        self._counts = count_tables()
        self._gaps = Symbols("hits.gaps", arrays, GAP_FEATURES, GAP_CLASSES)
        self._runs = [Symbols(f"hits.{k}", arrays, RUN_FEATURES, n) for k, n in _RUNS.items()]

    @staticmethod
    def learn(
        layout: Layout, n_events: int, hits: Hits, *, reuse: float = np.inf
    ) -> dict[str, Array]:
        """The arrays of a model that suits these hits; `reuse` as in `contexts.grow`."""
        first, parent, run_offsets, root_offsets, roots = _runs_of(layout, hits)
        rates = learn_rates(layout, hits.module, np.diff(root_offsets))
        arrays = {"hits.rates": rates}
        nothing = HitCoder.__new__(HitCoder)
        nothing.layout, nothing._rates, nothing._counts = layout, rates.astype(np.int64), _EMPTY
        return arrays
