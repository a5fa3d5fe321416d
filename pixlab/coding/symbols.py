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
    SILENT,
    Choices,
    Look,
    grow,
    make_masks,
)
from pixlab.coding.frequencies import estimate, restore, smoothed, store
from pixlab.coding.rans import drained, get, open_words, start_reading, step_of, write
from pixlab.errors import FormatError

__all__ = ["MAX_SYMBOLS", "Symbols"]

MAX_SYMBOLS = 65536
_UPPER_BITS = 8  # of a symbol, that are coded in a context; the bits below are given the upper ones
_CLASSES = 48
_BYTE_BITS = 1.5  # what a stored frequency takes in a deflated model, about

Array = NDArray[Any]


class Symbols:
    """A way to code numbers below `n_symbols`, given a row of features for each.

    Parameters
    ----------
    name : str
        Of the arrays in the model; `needs` says which.
    arrays : mapping of str to array
        Of the model.
    looks : int or sequence of Look
        How many features there are, for ``choices``; or where they come from, for ``masks``, which
        are for kernels of one's own.
    n_symbols : int
        2 to `MAX_SYMBOLS`.

    Raises
    ------
    FormatError
        If the arrays are missing or damaged.
    """

    def __init__(
        self, name: str, arrays: Mapping[str, Array], looks: int | Sequence[Look], n_symbols: int
    ) -> None:
        self.name, self.n_symbols = name, n_symbols
        self.shift = _shift_of(n_symbols)
        n_upper = ((n_symbols - 1) >> self.shift) + 1
        try:
            nodes = arrays[f"{name}.tree"]
            if isinstance(looks, int):
                self.choices = Choices(nodes, looks)
                n_contexts = self.choices.n_contexts
            else:
                self.masks, n_contexts = make_masks(nodes, looks)
            self.tables = restore(arrays[f"{name}.codes"], n_contexts, n_upper)
            self.lower = self.tables
            if self.shift:
                self.lower = restore(arrays[f"{name}.lower"], n_upper, 1 << self.shift)
        except KeyError as error:
            raise FormatError(f"the model has no array {error}") from error
        except FormatError as error:
            raise FormatError(f"'{name}': {error.cause}") from error

    @staticmethod
    def needs(name: str) -> tuple[str, ...]:
        """Arrays that a model must have; ``name.lower`` too where there are over 256 symbols."""
        return (f"{name}.tree", f"{name}.codes")

    @staticmethod
    def blank(name: str, n_symbols: int) -> dict[str, Array]:
        """The arrays of a model that knows nothing: one context, and all symbols alike."""
        shift = _shift_of(n_symbols)
        n_upper = ((n_symbols - 1) >> shift) + 1
        arrays = {
            f"{name}.tree": np.array([[LEAF, 0]], np.uint8),
            f"{name}.codes": np.zeros((1, n_upper), np.uint8),
        }
        return arrays | (
            {f"{name}.lower": np.zeros((n_upper, 1 << shift), np.uint8)} if shift else {}
        )

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
        """The arrays of a model that suits these symbols.

        Parameters
        ----------
        name, n_symbols
            As above.
        features : uint8[n, features]
            Of each symbol.
        symbols : int[n]
            Below `n_symbols`.
        most : int
            Number of contexts.
        reuse : float
            How many times as many symbols as these the model is for: its size is spread over them.
        """
        shift = _shift_of(n_symbols)
        n_upper = ((n_symbols - 1) >> shift) + 1
        symbols = symbols.astype(np.int64)
        upper = symbols >> shift
        nodes = grow(
            features,
            _coarse(upper, n_upper),
            most=most,
            context_bits=_BYTE_BITS * n_upper,
            reuse=reuse,
        )
        contexts = Choices(nodes, features.shape[1]).of(features)
        found = estimate(nodes, contexts, upper, n_upper)
        seen = np.bincount(contexts, minlength=len(found))
        arrays = {f"{name}.tree": nodes, f"{name}.codes": store(found, seen, reuse)}
        if shift:
            shape = (n_upper, 1 << shift)
            part = symbols & ((1 << shift) - 1)
            arrays[f"{name}.lower"] = store(
                smoothed(upper, part, shape), np.bincount(upper, minlength=n_upper), reuse
            )
        return arrays

    def encode(
        self, features: NDArray[np.uint8], symbols: Array, which: Array | None = None
    ) -> bytes:
        """The section of symbols.

        Parameters
        ----------
        features : uint8[m, features]
            What is known beforehand.
        symbols : int[n]
            Below `n_symbols`.
        which : int64[n], optional
            Row of the features of each symbol; by default they are in the same order.
        """
        return self.encode_in(self.choices.of(features, which), symbols)

    def encode_in(self, contexts: NDArray[np.uint8], symbols: Array) -> bytes:
        """The same for contexts that are known; nothing is said of symbols in `SILENT`."""
        steps = np.empty(len(symbols) * (2 if self.shift else 1), np.uint32)
        symbols = symbols.astype(np.int64)
        n = _take_steps(contexts, symbols, self.shift, self.tables, self.lower, steps)
        return write(steps[:n])

    def decode(
        self, features: NDArray[np.uint8], section: bytes, which: Array | None = None
    ) -> NDArray[np.int64]:
        """The symbols that `encode` wrote: int64[n].

        Raises
        ------
        FormatError
            If the section is damaged.
        """
        return self.decode_in(self.choices.of(features, which), section)

    def decode_in(self, contexts: NDArray[np.uint8], section: bytes) -> NDArray[np.int64]:
        """The symbols that `encode_in` wrote, 0 where nothing was said: int64[n].

        Raises
        ------
        FormatError
            If the section is damaged.
        """
        symbols = np.empty(len(contexts), np.int64)
        whole = _get_symbols(
            open_words(section), contexts, self.shift, self.tables, self.lower, symbols
        )
        if not whole or symbols.max(initial=0) >= self.n_symbols:
            raise FormatError(f"the section of '{self.name}' is damaged")
        return symbols


def _shift_of(n_symbols: int) -> int:
    """How many bits of a symbol are coded given the upper ones."""
    return max((n_symbols - 1).bit_length() - _UPPER_BITS, 0)


def _coarse(symbols: Array, n_symbols: int) -> NDArray[np.uint8]:
    """Classes of about equally many symbols, few enough to grow a tree on."""
    if n_symbols <= _CLASSES:
        return symbols.astype(np.uint8)
    below = np.cumsum(np.bincount(symbols, minlength=n_symbols))
    share = np.maximum(below - 1, 0) * _CLASSES // max(len(symbols), 1)
    return np.minimum(share, _CLASSES - 1).astype(np.uint8)[symbols]


@kernel
def _take_steps(contexts, symbols, shift, tables, lower, steps):  # type: ignore[no-untyped-def]
    n = np.uint64(0)
    for i in range(np.uint64(len(symbols))):
        if contexts[i] == SILENT:
            continue
        upper = symbols[i] >> shift
        steps[n] = step_of(tables, contexts[i], upper)
        n += np.uint64(1)
        if shift:
            steps[n] = step_of(lower, upper, symbols[i] & ((1 << shift) - 1))
            n += np.uint64(1)
    return n


@kernel
def _get_symbols(words, contexts, shift, tables, lower, symbols):  # type: ignore[no-untyped-def]
    state = start_reading(words)
    for i in range(np.uint64(len(symbols))):
        symbol = np.int64(0)
        if contexts[i] != SILENT:
            symbol, state = get(state, words, tables, contexts[i])
            if shift:
                part, state = get(state, words, lower, symbol)
                symbol = symbol << shift | part
        symbols[i] = symbol
    return drained(state, words)
