"""Frequencies of symbols in contexts: estimated, stored in few bytes, and laid out for coding.

A stored frequency is one byte, in steps of an eighth of an octave, less the byte of the symbol
before: where neighbouring symbols are about as frequent, nearly all bytes are 0, 1 or 255, which
deflate well.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pixlab.coding.contexts import LEAF
from pixlab.coding.rans import Tables, make_tables
from pixlab.errors import FormatError

__all__ = ["estimate", "restore", "smoothed", "store"]

_STEPS = 8  # of a stored logarithm in an octave
_MOST = 16 * _STEPS  # a stored frequency of one
# 256 * 2^(i / 8), written out so that no machine computes them
_EIGHTHS = np.array([256, 279, 304, 332, 362, 395, 431, 470], np.uint64)
_WIDTHS = (0.0, 1.0, 2.0, 4.0, 8.0)  # of the kernels that smooth counts, in symbols
_ROUNDS = 12
_LEAST = 2.0**-15
# what a byte takes in a deflated model, about, if it is 0, 1 or 2 away from the one before, or more
_DELTA_BITS = (0.5, 3.0, 5.0, 9.0)

Array = NDArray[Any]


def estimate(nodes: Array, context: Array, symbols: Array, n_symbols: int) -> Array:
    """Probabilities of symbols in the contexts of a tree: float[contexts, symbols].

    In each node of the tree they are a mixture of those of the node above and of its own counts,
    smoothed over neighbouring symbols more or less; the mixture that predicts each symbol best from
    the others is taken. So rare contexts lean on their kin, and a spectrum that is smooth
    comes out smooth.
    """
    n_contexts = (len(nodes) + 1) // 2
    counts = np.bincount(
        context.astype(np.int64) * n_symbols + symbols, minlength=n_contexts * n_symbols
    ).reshape(n_contexts, n_symbols)
    kernels = _kernels(n_symbols)
    found = np.empty((n_contexts, n_symbols))
    spans = _spans(nodes)
    uniform = np.full(n_symbols, 1 / n_symbols)
    above: list[tuple[int, Array]] = []  # (last node below, probabilities) on the way down
    for i, (begin, end, last) in enumerate(spans):
        while above and above[-1][0] < i:
            above.pop()
        mixed = _mixture(counts[begin:end].sum(axis=0), above[-1][1] if above else uniform, kernels)
        above.append((last, mixed))
        if nodes[i, 0] == LEAF:
            found[begin] = mixed
    return found


def smoothed(contexts: Array, symbols: Array, shape: tuple[int, int]) -> Array:
    """Probabilities of symbols in given contexts, rare ones near equal: float[contexts, symbols]."""
    counts = np.bincount(contexts * shape[1] + symbols, minlength=shape[0] * shape[1])
    found = counts.reshape(shape) + 0.5
    return found / found.sum(axis=1, keepdims=True)


def _spans(nodes: Array) -> list[tuple[int, int, int]]:
    """Of each node: its first context, the one past its last, and its last node."""
    spans: list[tuple[int, int, int]] = [(0, 0, 0)] * len(nodes)
    leaves = int((nodes[:, 0] == LEAF).sum())
    stack: list[tuple[int, int, int]] = []  # of complete subtrees, going backwards
    for i in range(len(nodes) - 1, -1, -1):
        if nodes[i, 0] == LEAF:
            spans[i] = (leaves - 1, leaves, i)
            leaves -= 1
        else:
            lower, upper = stack.pop(), stack.pop()
            spans[i] = (lower[0], upper[1], upper[2])
        stack.append(spans[i])
    return spans


def _kernels(n: int) -> Array:
    """Matrices that spread counts over neighbouring symbols: float[widths, n, n].

    The first and the last symbol, where a spectrum saturates, neither give nor take.
    """
    place = np.arange(n)
    kernels = []
    for width in _WIDTHS:
        kernel = np.eye(n)
        if width and n > 8:
            inner = np.exp(-0.5 * ((place[1:-1, None] - place[None, 1:-1]) / width) ** 2)
            kernel[1:-1, 1:-1] = inner / inner.sum(axis=0)
        kernels.append(kernel)
    return np.stack(kernels if n > 8 else kernels[:1])


def _mixture(counts: Array, above: Array, kernels: Array) -> Array:
    """Weights from expectation maximisation of the leave-one-out likelihood."""
    n = int(counts.sum())
    if n < 2:
        return above
    spread = kernels @ counts
    own = np.diagonal(kernels, axis1=1, axis2=2)
    others = np.maximum(np.concatenate([(spread - own) / (n - 1), above[None]]), 1e-12)
    weights = np.full(len(others), 1 / len(others))
    for _ in range(_ROUNDS):
        shares = weights[:, None] * others
        weights = (shares / shares.sum(axis=0) * counts).sum(axis=1) / n
    return weights @ np.concatenate([spread / n, above[None]])


def store(probabilities: Array, seen: Array | None = None, reuse: float = np.inf) -> Array:
    """Bytes from which `restore` makes about these frequencies: uint8[contexts, symbols].

    Parameters
    ----------
    probabilities : float[contexts, symbols]
        What `estimate` gave.
    seen : float[contexts], optional
        How many symbols each context had. Then steps are chosen such that the bits that they take in
        the model and the bits that symbols take because of them are least together.
    reuse : float
        How many times as many symbols as these the model is for.
    """
    wanted = np.clip(_STEPS * (np.log2(np.maximum(probabilities, _LEAST / 2)) + 16), 0, _MOST)
    steps = np.rint(wanted).astype(np.uint8)
    if seen is not None and np.isfinite(reuse):
        levels = np.exp2(np.arange(_MOST + 1) / _STEPS - 16)
        wanted = np.maximum(probabilities, _LEAST / 2)
        _cheapest_steps(wanted, levels, reuse * seen, np.array(_DELTA_BITS), steps)
    return np.diff(steps, axis=1, prepend=np.uint8(0))


@njit(cache=True, nogil=True)
def _cheapest_steps(wanted, levels, seen, delta_bits, steps):  # type: ignore[no-untyped-def]
    """The rows of steps that cost least, each by dynamic programming over its symbols.

    A probability p that is stored as q loses p log(p / q) + q - p for each symbol seen: so q that is
    much too large is as bad as q that is much too small.
    """
    n_levels = _MOST + 1
    n = wanted.shape[1]
    near = len(delta_bits) - 1  # differences up to here have a price of their own
    cost, before = np.empty(n_levels), np.empty(n_levels)
    origin = np.empty((n, n_levels), np.uint8)
    logs = np.log(levels)
    for c in range(len(wanted)):
        worth = seen[c] / np.log(2.0)
        for level in range(n_levels):
            p = wanted[c, 0]
            cost[level] = worth * (p * (np.log(p) - logs[level]) + levels[level] - p)
        for s in range(1, n):
            before[:] = cost
            cheapest = np.argmin(before)
            p = wanted[c, s]
            log_p = np.log(p)
            for level in range(n_levels):
                best, come = before[cheapest] + delta_bits[near], cheapest
                for d in range(-near + 1, near):
                    if 0 <= level + d < n_levels:
                        this = before[level + d] + delta_bits[abs(d)]
                        if this < best:
                            best, come = this, level + d
                lost = p * (log_p - logs[level]) + levels[level] - p
                cost[level] = best + worth * lost
                origin[s, level] = come
        level = np.argmin(cost)
        for s in range(n - 1, -1, -1):
            steps[c, s] = level
            level = origin[s, level]


def restore(stored: Array, n_contexts: int, n_symbols: int) -> Tables:
    """Tables for coding from what `store` gave.

    Raises
    ------
    FormatError
        If they are not of that size, or out of range.
    """
    if stored.shape != (n_contexts, n_symbols) or stored.dtype != np.uint8:
        raise FormatError("frequencies of the model have another shape than its contexts")
    steps = np.cumsum(stored, axis=1, dtype=np.uint8)
    if steps.max(initial=0) > _MOST:
        raise FormatError("frequencies of the model are damaged")
    weights = _EIGHTHS[steps % _STEPS] << (steps // _STEPS).astype(np.uint64)
    whole = weights.sum(axis=1, keepdims=True)
    frequencies = np.maximum((weights << np.uint64(16)) // whole, np.uint64(1)).astype(np.int64)
    # what rounding left over goes to the most frequent symbol, the first of equals
    rest = 65536 - frequencies.sum(axis=1)
    frequencies[np.arange(n_contexts), frequencies.argmax(axis=1)] += rest
    return make_tables(frequencies)
