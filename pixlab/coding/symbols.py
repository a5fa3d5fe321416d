"""Symbols whose features are known beforehand, in contexts that a tree chooses from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixlab.coding.bits import kernel
from pixlab.coding.contexts import (
    LEAF,
    MAX_CONTEXTS,
    Look,
    choose,
    grow,
    make_masks,
    plain_looks,
)
from pixlab.coding.frequencies import estimate, restore, store
from pixlab.coding.rans import drained, get, open_words, start_reading, step_of, write
from pixlab.errors import FormatError

__all__ = ["MAX_SYMBOLS", "Symbols", "coarse"]

MAX_SYMBOLS = 256
_CLASSES = 48
_BYTE_BITS = 1.5  # what a stored frequency takes in a deflated model, about

Array = NDArray[Any]


class Symbols:
    """A way to code numbers below `n_symbols`, given a row of features for each.

    Parameters
    ----------
    name : str
        Of the arrays in the model.
    arrays : mapping of str to array
        Of the model; those called ``name.tree`` and ``name.codes`` are used.
    looks : sequence of Look
        Where features come from; `plain_looks` where they are given.
    n_symbols : int
        2 to `MAX_SYMBOLS`.

    Raises
    ------
    FormatError
        If the arrays are missing or damaged.
    """

    def __init__(
        self, name: str, arrays: Mapping[str, Array], looks: Sequence[Look], n_symbols: int
    ) -> None:
        self.name = name
        try:
            self.masks, n_contexts = make_masks(arrays[f"{name}.tree"], looks)
            self.tables = restore(arrays[f"{name}.codes"], n_contexts, n_symbols)
        except KeyError as error:
            raise FormatError(f"the model has no array {error}") from error
        except FormatError as error:
            raise FormatError(f"'{name}': {error.cause}") from error

    @staticmethod
    def blank(name: str, n_symbols: int) -> dict[str, Array]:
        """The arrays of a model that knows nothing: one context, and all symbols alike."""
        nodes = np.array([[LEAF, 0]], np.uint8)
        return {f"{name}.tree": nodes, f"{name}.codes": np.zeros((1, n_symbols), np.uint8)}

    @staticmethod
    def learn(
        name: str,
        features: NDArray[np.uint8],
        symbols: Array,
        n_symbols: int,
        *,
        most: int = MAX_CONTEXTS,
        reuse: float = np.inf,
    ) -> dict[str, Array]:
        """The arrays of a model that suits these symbols; `reuse` as in `contexts.grow`."""
        nodes = grow(
            features,
            coarse(symbols, n_symbols),
            most=most,
            context_bits=_BYTE_BITS * n_symbols,
            reuse=reuse,
        )
        masks, _ = make_masks(nodes, plain_looks(features.shape[1]))
        context = choose(features, masks)
        found = estimate(nodes, context, symbols, n_symbols)
        return {f"{name}.tree": nodes, f"{name}.codes": store(found)}

    def encode(self, features: NDArray[np.uint8], symbols: Array) -> bytes:
        """The section of `symbols`: int[n], with features uint8[n, features]."""
        steps = np.empty(len(symbols), np.uint32)
        _take_steps(choose(features, self.masks), symbols, self.tables, steps)
        return write(steps)

    def decode(self, features: NDArray[np.uint8], section: bytes) -> NDArray[np.int64]:
        """The symbols that `encode` wrote: int64[n].

        Raises
        ------
        FormatError
            If the section is damaged.
        """
        symbols = np.empty(len(features), np.int64)
        if not _get_symbols(
            open_words(section), choose(features, self.masks), self.tables, symbols
        ):
            raise FormatError(f"the section of '{self.name}' is damaged")
        return symbols


def coarse(symbols: Array, n_symbols: int) -> NDArray[np.uint8]:
    """Classes of about equally many symbols, few enough to grow a tree on."""
    if n_symbols <= _CLASSES:
        return symbols.astype(np.uint8)
    below = np.cumsum(np.bincount(symbols, minlength=n_symbols))
    share = np.maximum(below - 1, 0) * _CLASSES // max(len(symbols), 1)
    return np.minimum(share, _CLASSES - 1).astype(np.uint8)[symbols]


@kernel
def _take_steps(contexts, symbols, tables, steps):  # type: ignore[no-untyped-def]
    for i in range(len(symbols)):
        steps[i] = step_of(tables, contexts[i], symbols[i])


@kernel
def _get_symbols(words, contexts, tables, symbols):  # type: ignore[no-untyped-def]
    state = start_reading(words)
    for i in range(len(symbols)):
        symbols[i], state = get(state, words, tables, contexts[i])
    return drained(state, words)
