"""Decision trees from small numbers to contexts, grown so that symbols become cheap.

What may tell something about a symbol is put into a row of *features*, numbers from 0 to 255. A
tree asks one feature at a time, "at most so much?", and ends in a context. It is stored as its
nodes in depth-first order, and looked up without a walk (C. Lucchese et al., QuickScorer,
SIGIR 2015): for each feature and value, a mask says which contexts are still possible; the lowest
bit that is left in all of them is the context. No branch depends on the data.

Several small features that are known together make a *look*: one index, for which the masks of its
features are combined beforehand.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pixlab.coding.bits import kernel, trailing_zeros
from pixlab.errors import FormatError

__all__ = ["LEAF", "MAX_CONTEXTS", "SILENT", "Choices", "Look", "features_of", "first_context"]
__all__ += ["grow", "joint_look", "make_masks", "plain_looks"]

MAX_CONTEXTS = 128  # two words of a mask
LEAF = 255  # in place of a feature
SILENT = 255  # in place of a context, for symbols that nothing is said of
_VALUES = 256
_CANDIDATES = 63  # thresholds tried for one feature
_FEWEST = 40  # samples of a context
_DOUBTFUL = 40.0  # bits that a split must save on the samples, lest it learn their noise
_NODE_BITS = 30.0  # that a split takes in a model, besides what its new context says

Array = NDArray[Any]


# -- looking up -------------------------------------------------------------------------------
# What the features of a look are at each of its indices: uint8[features, size]
Look = NDArray[np.uint8]


def plain_looks(n_features: int) -> list[Look]:
    """Looks that are the features themselves, one by one."""
    return [np.arange(_VALUES, dtype=np.uint8)[None]] * n_features


def joint_look(*sizes: int) -> Look:
    """A look of several features below `sizes`; the last one runs fastest in its index."""
    return np.indices(sizes).reshape(len(sizes), -1).astype(np.uint8)


def features_of(looks: Sequence[Look], indices: NDArray[Any]) -> NDArray[np.uint8]:
    """The features at the indices of looks: uint8[n, features] of int[n, looks]."""
    return np.concatenate([look[:, indices[:, i]] for i, look in enumerate(looks)]).T.copy()


def make_masks(nodes: Array, looks: Sequence[Look]) -> tuple[NDArray[np.uint64], int]:
    """The masks of a stored tree, and its number of contexts.

    Masks are uint64[2 * sizes of all looks]: two words of possible contexts for each index of the
    first look, of the second one, and so on.

    Raises
    ------
    FormatError
        If the nodes are not those of a tree over the features.
    """
    n_features = sum(len(look) for look in looks)
    good = (
        nodes.ndim == 2
        and nodes.shape[1:] == (2,)
        and nodes.dtype == np.uint8
        and 1 <= len(nodes) < 2 * MAX_CONTEXTS
        and ((nodes[:, 0] < n_features) | (nodes[:, 0] == LEAF)).all()
    )
    masks = np.full((n_features, _VALUES, 2), ~np.uint64(0))
    if not good or _fill_masks(np.ascontiguousarray(nodes), masks) != len(nodes):
        raise FormatError("a decision tree of the model is damaged")
    parts = []
    first = 0
    for look in looks:
        each = [masks[first + i][values] for i, values in enumerate(look)]
        parts.append(np.bitwise_and.reduce(each).ravel())
        first += len(look)
    return np.concatenate(parts), (len(nodes) + 1) // 2


@njit(cache=True, nogil=True)
def _fill_masks(nodes, masks):  # type: ignore[no-untyped-def]
    """Fill in the masks; return after how many nodes the tree is complete, -1 for never."""
    inner = np.empty(len(nodes), np.int64)  # nodes whose left side is not complete
    first = np.empty(len(nodes), np.int64)  # first leaf of that side
    depth = leaves = 0
    for i in range(len(nodes)):
        if nodes[i, 0] != LEAF:
            inner[depth] = i
            first[depth] = leaves
            depth += 1
            continue
        leaves += 1
        if depth == 0:
            return i + 1
        # every leaf but the last completes the left side of the innermost such node
        depth -= 1
        feature, most = nodes[inner[depth], 0], np.int64(nodes[inner[depth], 1])
        for leaf in range(first[depth], leaves):
            for v in range(most + 1, masks.shape[1]):
                masks[feature, v, leaf >> 6] &= ~(np.uint64(1) << np.uint64(leaf & 63))
    return -1


@njit(inline="always")
def first_context(low, high):  # type: ignore[no-untyped-def]
    """The context that two words of possible ones leave."""
    return trailing_zeros(low) if low else np.uint64(64) + trailing_zeros(high)


class Choices:
    """A tree over features that are looks themselves, of which it asks for a few.

    Parameters
    ----------
    nodes : uint8[nodes, 2]
        See `grow`.
    n_features : int
        How many there are.

    Raises
    ------
    FormatError
        If the nodes are not those of a tree over the features.
    """

    def __init__(self, nodes: Array, n_features: int) -> None:
        masks, self.n_contexts = make_masks(nodes, plain_looks(n_features))
        self._used = np.unique(nodes[nodes[:, 0] != LEAF, 0]).astype(np.uint64)
        self._masks = masks.reshape(n_features, -1)[self._used.astype(np.int64)].ravel()

    def of(
        self, features: NDArray[np.uint8], which: NDArray[np.int64] | None = None
    ) -> NDArray[np.uint8]:
        """The context of each row of features, or of some rows: uint8[n]."""
        if which is None:
            which = np.arange(len(features))
        contexts = np.empty(len(which), np.uint8)
        _choose(features, which, self._used, self._masks, contexts)
        return contexts


@kernel
def _choose(features, which, used, masks, contexts):  # type: ignore[no-untyped-def]
    one = np.uint64(1)
    for i in range(np.uint64(len(which))):
        row = np.uint64(which[i])
        low = high = ~np.uint64(0)
        for j in range(np.uint64(len(used))):
            at = (j << np.uint64(8) | np.uint64(features[row, used[j]])) << one
            low &= masks[at]
            high &= masks[at + one]
        contexts[i] = first_context(low, high)


# -- growing ----------------------------------------------------------------------------------
def grow(
    features: NDArray[np.uint8],
    classes: NDArray[np.uint8],
    *,
    most: int = MAX_CONTEXTS,
    context_bits: float = 0.0,
    reuse: float = np.inf,
) -> NDArray[np.uint8]:
    """A tree whose contexts make `classes` cheap: uint8[nodes, 2], feature (or `LEAF`) and threshold.

    The split that saves most bits is made first.

    Parameters
    ----------
    features : uint8[n, features]
        At most 255 features.
    classes : uint8[n]
        What is to be coded, in a few classes.
    most : int
        Number of contexts, at most `MAX_CONTEXTS`.
    context_bits : float
        What one more context takes in the model.
    reuse : float
        How many times as many symbols as these the model is for: its size is spread over them.
    """
    least = _DOUBTFUL + (_NODE_BITS + context_bits) / reuse
    n_classes = int(classes.max(initial=0)) + 1
    thresholds = [_thresholds(features[:, f]) for f in range(features.shape[1])]
    binned = np.empty(features.shape, np.uint8)
    for f, edges in enumerate(thresholds):
        binned[:, f] = np.searchsorted(edges, features[:, f])
    n_bins = np.array([len(edges) + 1 for edges in thresholds])
    sizes = np.arange(len(features) + 1, dtype=np.float64)
    n_log_n = sizes * np.log2(np.maximum(sizes, 1))

    def best(samples: Array) -> tuple[float, int, int]:
        return _best_split(binned, classes, samples, n_bins, n_classes, n_log_n)

    # [samples, feature, bin, left child, right child]
    tree: list[list[Any]] = []
    waiting: list[tuple[float, int]] = []

    def add(samples: Array) -> int:
        gain, feature, edge = best(samples)
        tree.append([samples, feature, edge, None, None])
        heapq.heappush(waiting, (-gain, len(tree) - 1))
        return len(tree) - 1

    add(np.arange(len(features)))
    n_contexts = 1
    while n_contexts < most and waiting:
        loss, node = heapq.heappop(waiting)
        if -loss < least:
            break
        samples, feature, edge = tree[node][:3]
        left = binned[samples, feature] <= edge
        tree[node][3:] = add(samples[left]), add(samples[~left])
        tree[node][0] = None
        n_contexts += 1
    nodes: list[tuple[int, int]] = []
    pending = [0]
    while pending:
        _, feature, edge, lower, upper = tree[pending.pop()]
        if lower is None:
            nodes.append((LEAF, 0))
        else:
            nodes.append((feature, int(thresholds[feature][edge])))
            pending += [upper, lower]
    return np.array(nodes, np.uint8)


def _thresholds(values: NDArray[np.uint8]) -> Array:
    """Values at which to split, rising, between equal numbers of samples where there are many."""
    counts = np.bincount(values, minlength=_VALUES)
    seen = np.flatnonzero(counts)[:-1]
    if len(seen) <= _CANDIDATES:
        return seen
    below = np.cumsum(counts)[seen]
    wanted = len(values) * np.arange(1, _CANDIDATES + 1) / (_CANDIDATES + 1)
    return np.unique(seen[np.minimum(np.searchsorted(below, wanted), len(seen) - 1)])


@njit(cache=True, nogil=True)
def _best_split(binned, classes, samples, n_bins, n_classes, n_log_n):  # type: ignore[no-untyped-def]
    """The split of `samples` that saves most bits: (bits, feature, last bin of the left side)."""
    n = len(samples)
    best, best_feature, best_edge = -1.0, 0, 0
    if n < 2 * _FEWEST:
        return best, best_feature, best_edge
    whole = np.zeros(n_classes, np.int64)
    for i in samples:
        whole[classes[i]] += 1
    before = n_log_n[n]
    for c in range(n_classes):
        before -= n_log_n[whole[c]]
    counts = np.zeros((n_bins.max(), n_classes), np.int64)
    left = np.empty(n_classes, np.int64)
    for f in range(binned.shape[1]):
        if n_bins[f] == 1:
            continue
        counts[: n_bins[f]] = 0
        for i in samples:
            counts[binned[i, f], classes[i]] += 1
        left[:] = 0
        n_left = 0
        for edge in range(n_bins[f] - 1):
            added = 0
            for c in range(n_classes):
                left[c] += counts[edge, c]
                added += counts[edge, c]
            n_left += added
            if added == 0 or n_left < _FEWEST or n - n_left < _FEWEST:
                continue
            after = n_log_n[n_left] + n_log_n[n - n_left]
            for c in range(n_classes):
                after -= n_log_n[left[c]] + n_log_n[whole[c] - left[c]]
            if before - after > best:
                best, best_feature, best_edge = before - after, f, edge
    return best, best_feature, best_edge
