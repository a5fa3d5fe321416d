"""Levels: numbers on a line, quantised so that one helps the next.

A number is taken to a point of a grid by *dependent quantisation* (trellis-coded quantisation:
M. W. Marcellin, T. R. Fischer, IEEE Trans. Commun. 38, 1990; in video coding, H. Schwarz et al.,
DCC 2019). Only every other point can be chosen, the even ones or the odd ones and 0; which,
depends on the parities of the levels before. Whoever writes looks for the path through a whole
event that costs least, error and code length together (A. J. Viterbi, 1967), and so comes within
a tenth of a bit of what any quantiser can do, where rounding wastes a quarter of a bit::

    x, features ──► context ──► centre ──► level k of quantiser 0 or 1 ──► point
                                              │ parity
                                              └──► which quantiser is next

Points are relative to a centre that the context of the number has. Levels are coded in that
context, for each quantiser on its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pixlab.coding.bits import kernel
from pixlab.coding.contexts import MAX_CONTEXTS, Choices, grow
from pixlab.coding.frequencies import estimate, restore, store
from pixlab.coding.rans import Tables, drained, get, open_words, start_reading, step_of, write
from pixlab.errors import FormatError

__all__ = ["Levels", "code_lengths"]

Array = NDArray[Any]

_STATES = 8
_NEXT = np.array([[0, 2], [5, 7], [1, 3], [6, 4], [2, 0], [4, 6], [3, 1], [7, 5]])  # by parity
_MOST = 120  # of a level, without its sign
_FARTHEST = 16000  # of a centre, from 0
_ROUNDS = 4  # of finding paths and counting levels on them
_SIMILAR = 0.2  # change of the range of levels, with which what was learned is still of use
_SPACING = 1.7  # points between neighbours of a plain quantiser with about the same error
_CLASSES = 48
_BYTE_BITS = 1.5  # what a stored frequency takes in a deflated model, about


class Levels:
    """A way to quantise and to code numbers, given a row of features for each.

    Parameters
    ----------
    name : str
        Of the arrays in the model.
    arrays : mapping of str to array
        Of the model; ``name.tree``, ``name.codes`` and ``name.centres`` are used.
    n_features : int
        How many there are.

    Raises
    ------
    FormatError
        If the arrays are missing or damaged.
    """

    def __init__(self, name: str, arrays: Mapping[str, Array], n_features: int) -> None:
        self.name = name
        try:
            self.choices = Choices(arrays[f"{name}.tree"], n_features)
            n_contexts = self.choices.n_contexts
            codes, centres = arrays[f"{name}.codes"], arrays[f"{name}.centres"]
            good = codes.ndim == 2 and codes.shape[1] % 2 == 1 and codes.shape[1] <= 2 * _MOST + 1
            good &= centres.shape == (n_contexts,) and centres.dtype == np.int16
            if not good or np.abs(centres.astype(int)).max() > _FARTHEST:
                raise FormatError("its levels are damaged")
            self.tables = restore(codes, 2 * n_contexts, codes.shape[1])
        except KeyError as error:
            raise FormatError(f"the model has no array {error}") from error
        except FormatError as error:
            raise FormatError(f"'{name}': {error.cause}") from error
        self.top = codes.shape[1] // 2  # levels are -top .. top
        self.centres = centres.astype(np.int64)

    @staticmethod
    def needs(name: str) -> tuple[str, ...]:
        """Arrays that a model must have."""
        return (f"{name}.tree", f"{name}.codes", f"{name}.centres")

    @staticmethod
    def learn(
        name: str,
        features: NDArray[np.uint8],
        which: NDArray[np.int64],
        x: NDArray[np.float64],
        offsets: NDArray[np.int64],
        *,
        rate_weight: float,
        reuse: float = np.inf,
        growth: NDArray[np.float64] | None = None,
        like: Mapping[str, Array] | None = None,
    ) -> dict[str, Array]:
        """The arrays of a model that suits these numbers.

        Parameters
        ----------
        name : str
            Of the arrays.
        features : uint8[m, features]
            What is known beforehand.
        which : int64[n]
            Row of the features of each number.
        x : float64[n]
            The numbers, in spacings of the grid.
        offsets : int64[events + 1]
            First number of each event; events do not depend on each other.
        rate_weight : float
            Squared error, in spacings, that a bit may cost.
        reuse : float
            How many times as many numbers as these the model is for: its size is spread over them.
        growth : float64[n], optional
            What a step of the grid means for numbers that are logarithms: the natural one of the
            ratio of neighbours, so that errors are counted as a fraction.
        like : mapping of str to array, optional
            Arrays of a model for about these numbers, to begin with; its contexts are kept.
        """
        plain = np.rint(x / _SPACING).astype(np.int64)
        low, high = (int(v) for v in (plain.min(initial=0), plain.max(initial=0)))
        top = int(np.clip(0.6 * _SPACING * (high - low) / 2 + 4, 4, _MOST))
        known = None
        if like is not None and f"{name}.tree" in like:
            nodes = like[f"{name}.tree"]
            known = Levels(name, like, features.shape[1])
            if abs(known.top - top) <= _SIMILAR * top:
                top = known.top
            else:
                known = None
        else:
            bits = 2 * _BYTE_BITS * (2 * top + 1)  # of a context in the model
            nodes = grow(
                features[which],
                _classes(plain - low),
                most=MAX_CONTEXTS,
                context_bits=bits,
                reuse=reuse,
            )
        n_symbols = 2 * top + 1
        choices = Choices(nodes, features.shape[1])
        n_contexts, contexts = choices.n_contexts, choices.of(features, which)
        centres = np.zeros(n_contexts, np.int64)
        spread = np.ones(n_contexts)
        for c in range(n_contexts):
            own = x[contexts == c]
            if len(own):
                centres[c] = np.clip(np.rint(np.median(own)), -_FARTHEST, _FARTHEST)
                spread[c] = max(np.std(own), 1.0)
        costs = known._costs() if known else _first_costs(spread, top)
        growth = np.zeros(len(x)) if growth is None else growth
        for _ in range(_ROUNDS):
            levels, states = _paths(x, growth, offsets, contexts, centres, costs, rate_weight)
            codes = np.empty((n_contexts, 2, n_symbols), np.uint8)
            for quantiser in (0, 1):
                mine = states & 1 == quantiser
                codes[:, quantiser] = store(
                    estimate(nodes, contexts[mine], levels[mine] + top, n_symbols)
                )
            arrays = {
                f"{name}.tree": nodes,
                f"{name}.codes": codes.reshape(2 * n_contexts, n_symbols),
                f"{name}.centres": centres.astype(np.int16),
            }
            costs = Levels(name, arrays, features.shape[1])._costs()
        return arrays

    def contexts(self, features: NDArray[np.uint8], which: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The contexts of some rows of features: uint8[n]."""
        return self.choices.of(features, which)

    def _costs(self) -> NDArray[np.float32]:
        """Bits of each level: float32[contexts, 2, levels]."""
        bits = code_lengths(self.tables)
        return bits.reshape(-1, 2, bits.shape[1])

    def quantise(
        self,
        features: NDArray[np.uint8],
        which: NDArray[np.int64],
        x: NDArray[np.float64],
        offsets: NDArray[np.int64],
        *,
        rate_weight: float,
        growth: NDArray[np.float64] | None = None,
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Levels and points of numbers (see `learn`): int64[n] each."""
        contexts = self.contexts(features, which)
        growth = np.zeros(len(x)) if growth is None else growth
        levels, states = _paths(
            x, growth, offsets, contexts, self.centres, self._costs(), rate_weight
        )
        return levels, _points(levels, states, contexts, self.centres)

    def encode(
        self,
        features: NDArray[np.uint8],
        which: NDArray[np.int64],
        levels: NDArray[np.int64],
        offsets: NDArray[np.int64],
    ) -> bytes:
        """The section of levels that `quantise` gave."""
        steps = np.empty(len(levels), np.uint32)
        _take_steps(self.contexts(features, which), levels, offsets, self.top, self.tables, steps)
        return write(steps)

    def decode(
        self,
        features: NDArray[np.uint8],
        which: NDArray[np.int64],
        offsets: NDArray[np.int64],
        section: bytes,
    ) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        """The points that `quantise` gave, int64[n], and the context of each, uint8[n].

        Raises
        ------
        FormatError
            If the section is damaged.
        """
        contexts = self.contexts(features, which)
        points = np.empty(len(which), np.int64)
        words = open_words(section)
        if not _get_points(words, contexts, offsets, self.top, self.centres, self.tables, points):
            raise FormatError(f"the section of '{self.name}' is damaged")
        return points, contexts


def code_lengths(tables: Tables) -> NDArray[np.float32]:
    """Bits that each symbol takes in each context: float32[contexts, symbols]."""
    last = tables.last.reshape(-1, int(tables.stride)).astype(np.int64)
    last[:, 0] = -1
    return (16 - np.log2(np.diff(last, axis=1))).astype(np.float32)


def _classes(numbers: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Classes of about equally many numbers (not negative), few enough to grow a tree on."""
    below = np.cumsum(np.bincount(numbers))
    share = np.maximum(below - 1, 0) * _CLASSES // max(len(numbers), 1)
    return np.minimum(share, _CLASSES - 1).astype(np.uint8)[numbers]


@njit(inline="always")
def _point(quantiser, level):  # type: ignore[no-untyped-def]
    """The point of a level, relative to the centre."""
    if quantiser == 0:
        return 2 * level
    return 2 * level - np.int64(level > 0) + np.int64(level < 0)


def _first_costs(spread: Array, top: int) -> NDArray[np.float32]:
    """Bits of levels if numbers were normal around their centre: float32[contexts, 2, levels]."""
    level = np.arange(-top, top + 1)
    points = np.stack([2 * level, 2 * level - np.sign(level)])
    p = np.exp(-0.5 * (points / spread[:, None, None]) ** 2) + 1e-5
    return -np.log2(p / p.sum(axis=-1, keepdims=True)).astype(np.float32)


@njit(cache=True, nogil=True)
def _paths(x, growth, offsets, contexts, centres, costs, weight):  # type: ignore[no-untyped-def]
    """Levels on the cheapest paths, and the state before each: int64[n], uint8[n]."""
    n = len(x)
    top = costs.shape[2] // 2
    levels = np.empty(n, np.int64)
    states = np.empty(n, np.uint8)
    longest = 0
    for e in range(len(offsets) - 1):
        longest = max(longest, offsets[e + 1] - offsets[e])
    best = np.empty((longest, 2, 2), np.int16)  # level by quantiser and parity
    before = np.empty((longest, _STATES), np.uint8)  # state that each state was reached from
    price = np.empty((2, 2))
    total, reached = np.empty(_STATES), np.empty(_STATES)
    for e in range(len(offsets) - 1):
        begin, end = offsets[e], offsets[e + 1]
        total[:] = np.inf
        total[0] = 0.0
        for i in range(begin, end):
            at = i - begin
            c = contexts[i]
            y = x[i] - centres[c]
            for q in range(2):
                price[q, 0] = price[q, 1] = np.inf
                near = np.int64(np.rint(y / 2))
                for t in range(-2, 3):
                    level = near + t if t < 2 else 0  # 0 is cheap and worth a try
                    level = min(max(level, -top), top)
                    error = _point(q, level) - y
                    # as a fraction, if numbers are logarithms: exp(g e) - 1, over g
                    grown = growth[i] * error
                    error *= 1 + grown * (0.5 + grown / 6)
                    value = error * error + weight * costs[c, q, level + top]
                    if value < price[q, level & 1]:
                        price[q, level & 1] = value
                        best[at, q, level & 1] = level
            reached[:] = np.inf
            for s in range(_STATES):
                for parity in range(2):
                    value = total[s] + price[s & 1, parity]
                    to = _NEXT[s, parity]
                    if value < reached[to]:
                        reached[to] = value
                        before[at, to] = s
            total[:] = reached
        s = np.argmin(total)
        for i in range(end - 1, begin - 1, -1):
            came = np.int64(before[i - begin, s])
            parity = np.int64(_NEXT[came, 1] == s)
            levels[i] = best[i - begin, came & 1, parity]
            states[i] = came
            s = came
    return levels, states


@njit(cache=True, nogil=True)
def _points(levels, states, contexts, centres):  # type: ignore[no-untyped-def]
    points = np.empty(len(levels), np.int64)
    for i in range(len(levels)):
        points[i] = centres[contexts[i]] + _point(states[i] & 1, levels[i])
    return points


@kernel
def _take_steps(contexts, levels, offsets, top, tables, steps):  # type: ignore[no-untyped-def]
    for e in range(len(offsets) - 1):
        s = 0
        for i in range(offsets[e], offsets[e + 1]):
            steps[i] = step_of(tables, 2 * np.int64(contexts[i]) + (s & 1), levels[i] + top)
            s = _NEXT[s, levels[i] & 1]


@kernel
def _get_points(words, contexts, offsets, top, centres, tables, points):  # type: ignore[no-untyped-def]
    state = start_reading(words)
    for e in range(len(offsets) - 1):
        s = 0
        for i in range(offsets[e], offsets[e + 1]):
            c = np.int64(contexts[i])
            symbol, state = get(state, words, tables, 2 * c + (s & 1))
            level = symbol - top
            points[i] = centres[c] + _point(s & 1, level)
            s = _NEXT[s, level & 1]
    return drained(state, words)
