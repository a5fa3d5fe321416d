"""The hit map: where clusters begin (`positions`) and how they grow (`runs`).

::

    frames, row, col ──► roots ──► section "positions"
                     └─► runs  ──► section "shapes"
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pixlab.coding.contexts import features_of
from pixlab.coding.layout import RINGS, Layout
from pixlab.coding.positions import (
    GAP_CLASSES,
    GAP_LOOKS,
    code_positions,
    count_tables,
    learn_rates,
)
from pixlab.coding.rans import NO_STEPS, NO_WORDS, Section, open_words, write
from pixlab.coding.runs import (
    LENGTHS,
    N_LOOKS,
    PLACES,
    RUN_LOOKS,
    Runs,
    code_runs,
    find_runs,
    scratch_for,
)
from pixlab.coding.symbols import Symbols
from pixlab.errors import FormatError

__all__ = ["MAX_DIGIS", "HitCoder", "Hits", "runs_of"]

MAX_DIGIS = 1 << 27  # of one chunk
_WRITE, _READ, _DESCRIBE = 0, 1, 2

Array = NDArray[Any]

# what the kernels take where they have nothing to read or to write
_NO_LOG = np.empty((0, 2 + N_LOOKS), np.uint16)
_NO_GAPS = np.empty((0, len(GAP_LOOKS)), np.uint8)
_NO_SYMBOLS = np.empty(0, np.uint8)
_NO_PIXELS = np.empty(0, np.uint16)
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
    runs: Runs | None = field(default=None, init=False)  # once `runs_of` was asked for them


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
        self._gaps = Symbols("hits.gaps", arrays, GAP_LOOKS, GAP_CLASSES)
        self._runs = [
            Symbols(f"hits.{name}", arrays, looks, n_symbols)
            for (name, n_symbols), looks in zip(_RUNS.items(), RUN_LOOKS, strict=True)
        ]

    needs: ClassVar[tuple[str, ...]] = (
        "hits.rates",
        *(name for what in ("gaps", *_RUNS) for name in Symbols.needs(f"hits.{what}")),
    )

    @staticmethod
    def learn(
        layout: Layout, n_events: int, hits: Hits, *, reuse: float = np.inf
    ) -> dict[str, Array]:
        """The arrays of a model that suits these hits; `reuse` as in `Symbols.learn`."""
        found = runs_of(layout, hits)
        arrays = {"hits.rates": learn_rates(layout, hits.module, np.diff(found.root_offsets))}
        arrays |= Symbols.blank("hits.gaps", GAP_CLASSES)
        for name, n_symbols in _RUNS.items():
            arrays |= Symbols.blank(f"hits.{name}", n_symbols)
        coder = HitCoder(layout, arrays)
        features = np.empty((len(found.roots), len(GAP_LOOKS)), np.uint8)
        symbols = np.empty(len(found.roots), np.uint8)
        coder._positions(
            _DESCRIBE, _roots_of_events(n_events, hits, found), hits, found, features=features,
            symbols=symbols,
        )  # fmt: skip
        arrays |= Symbols.learn("hits.gaps", features, symbols, GAP_CLASSES, most=8, reuse=reuse)
        log = np.empty((3 * len(found.parent), 2 + N_LOOKS), np.uint16)
        log = log[: coder._shapes(_DESCRIBE, hits, found, log=log)]
        for what, (name, n_symbols) in enumerate(_RUNS.items()):
            rows = log[log[:, 0] == what]
            features = features_of(RUN_LOOKS[what], rows[:, 2:])
            arrays |= Symbols.learn(f"hits.{name}", features, rows[:, 1], n_symbols, reuse=reuse)
        return arrays

    def encode(self, n_events: int, hits: Hits) -> dict[str, bytes]:
        """Sections ``positions`` and ``shapes`` of a hit map."""
        found = runs_of(self.layout, hits)
        totals = _roots_of_events(n_events, hits, found)
        # a gap takes at most six steps, a number of roots three
        steps = np.empty(6 * len(found.roots) + 3 * n_events * len(self.layout.rows), np.uint32)
        n = self._positions(_WRITE, totals, hits, found, steps=steps)[1]
        positions = Section.of(totals.astype("<u4").tobytes(), write(steps[:n]))
        steps = np.empty(6 * len(found.parent), np.uint32)
        return {
            "positions": positions,
            "shapes": write(steps[: self._shapes(_WRITE, hits, found, steps=steps)]),
        }

    def decode(self, n_events: int, n_digis: int, sections: Mapping[str, bytes]) -> Hits:
        """The hit map that `encode` wrote.

        Raises
        ------
        FormatError
            If the sections are damaged, or hold another number of digis.
        """
        head = sections["positions"][: 4 * n_events]
        if len(head) < 4 * n_events:
            raise FormatError("the positions are cut short")
        totals = np.frombuffer(head, "<u4").astype(np.int64)
        n_roots = int(totals.sum())
        if not n_roots <= n_digis <= MAX_DIGIS:
            raise FormatError("the numbers of clusters and digis contradict each other")
        words = open_words(sections["positions"][4 * n_events :])
        # arrays grow with what was really read, not to a size that is merely claimed
        room = min(n_roots, 64 * len(words))
        while True:
            hits = Hits(
                np.empty(room, np.int64), np.empty(room, np.int32), np.zeros(room + 1, np.int64),
                _NO_PIXELS, _NO_PIXELS,
            )  # fmt: skip
            found = Runs(_NONE, _NONE, _NONE, hits.offsets, np.empty(room, np.int64))
            frames, n = self._positions(_READ, totals, hits, found, words=words)
            if frames != -2 or room == n_roots:
                break
            room = min(n_roots, 8 * room)
        if frames < 0 or n != n_roots:
            raise FormatError("the positions are damaged")
        hits.event, hits.module = hits.event[:frames].copy(), hits.module[:frames].copy()
        words = open_words(sections["shapes"])
        room = min(n_digis, 64 * len(words) + n_roots)
        while True:
            hits.offsets = np.zeros(frames + 1, np.int64)
            hits.row, hits.col = np.empty((2, room), np.uint16)
            n = self._shapes(_READ, hits, found, words=words)
            if n != -2 or room == n_digis:
                break
            room = min(n_digis, 8 * room)
        if n != n_digis:
            raise FormatError("the cluster shapes are damaged")
        return hits

    def _positions(
        self,
        mode: int,
        totals: Array,
        hits: Hits,
        found: Runs,
        *,
        words: Array = NO_WORDS,
        steps: Array = NO_STEPS,
        features: Array = _NO_GAPS,
        symbols: Array = _NO_SYMBOLS,
    ) -> tuple[int, int]:
        return code_positions(
            mode, self.layout, totals, hits.event, hits.module, found.root_offsets, found.roots,
            self._rates, self._counts, self._gaps.masks, self._gaps.tables,
            words, steps, features, symbols,
        )  # fmt: skip

    def _shapes(
        self,
        mode: int,
        hits: Hits,
        found: Runs,
        *,
        words: Array = NO_WORDS,
        steps: Array = NO_STEPS,
        log: Array = _NO_LOG,
    ) -> int:
        begun, placed, ended = self._runs
        return code_runs(
            mode, self.layout, hits.module, found, hits.offsets, hits.row, hits.col,
            begun.masks, begun.tables, placed.masks, placed.tables, ended.masks, ended.tables,
             words, steps, *scratch_for(self.layout), log,
        )  # fmt: skip


def runs_of(layout: Layout, hits: Hits) -> Runs:
    """The runs of a hit map."""
    if hits.runs is None:
        args = hits.offsets, hits.row, hits.col, layout.cols, hits.module
        hits.runs = Runs(*find_runs(*args))
    return hits.runs


def _roots_of_events(n_events: int, hits: Hits, found: Runs) -> Array:
    roots = np.diff(found.root_offsets)
    return np.bincount(hits.event, roots, minlength=n_events).astype(np.int64)
