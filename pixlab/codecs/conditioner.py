"""A small network in integers: from what is known of a cluster to where its shapes may lie.

::

    features (bytes) ──► bins ──► sum of embeddings ──► ReLU ──► hidden ──► ReLU ──► outputs

Weights and activations are in 1/256. Each step is a sum of integer products and a shift, so that
every machine, with however many threads, gives the same outputs; no framework is needed.
`pixlab.networks` trains the same network with floats.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixlab.coding.bits import kernel
from pixlab.errors import FormatError

__all__ = ["BINS", "Conditioner", "bins_of", "learn_edges"]

Array = NDArray[Any]

BINS = 24  # of a feature
_MOST_ACTIVE = 1 << 20  # of an activation, so that sums of products stay far within 64 bits
_WIDEST = 256  # hidden units
_PARTS = ("edges", "embed", "hidden", "hidden_bias", "out", "out_bias")


class Conditioner:
    """A network that a model carries.

    Parameters
    ----------
    name : str
        Of the arrays in the model; `needs` says which.
    arrays : mapping of str to array
        Of the model.
    n_features, n_outputs : int
        Bytes that go in a row, numbers that come out.

    Raises
    ------
    FormatError
        If arrays are missing or damaged.
    """

    def __init__(
        self, name: str, arrays: Mapping[str, Array], n_features: int, n_outputs: int
    ) -> None:
        try:
            edges, embed, hidden, hidden_bias, out, out_bias = (
                arrays[f"{name}.{part}"] for part in _PARTS
            )
        except KeyError as error:
            raise FormatError(f"the model has no array {error}") from error
        width = embed.shape[-1]
        good = (
            edges.shape == (n_features, BINS - 1)
            and embed.shape == (n_features * BINS, width)
            and 1 <= width <= _WIDEST
            and hidden.shape == (width, width)
            and hidden_bias.shape == (width,)
            and out.shape == (width, n_outputs)
            and out_bias.shape == (n_outputs,)
            and edges.dtype == np.uint8
            and all(a.dtype == np.int16 for a in (embed, hidden, hidden_bias, out, out_bias))
        )
        if not good:
            raise FormatError(f"'{name}': the network of the model is damaged")
        self.n_features, self.n_outputs = n_features, n_outputs
        self.bins = bins_of(edges)
        self.weights = (embed, hidden, hidden_bias, out, out_bias)

    @staticmethod
    def needs(name: str) -> tuple[str, ...]:
        """Arrays that a model must have."""
        return tuple(f"{name}.{part}" for part in _PARTS)

    def __call__(self, features: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Outputs in 1/256: int64[n, outputs]; ``features`` may have further columns behind."""
        found = np.empty((len(features), self.n_outputs), np.int64)
        embed, hidden, hidden_bias, out, out_bias = (w.astype(np.int64) for w in self.weights)
        scratch = np.empty((2, embed.shape[1]), np.int64)
        _run(features, self.bins, embed, hidden, hidden_bias, out, out_bias, scratch, found)
        return found


def bins_of(edges: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Row of the embeddings for each feature and value: int64[features, 256]."""
    values = np.arange(256)
    found = [k * BINS + np.searchsorted(np.sort(row), values) for k, row in enumerate(edges)]
    return np.array(found, np.int64)


def learn_edges(features: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Largest value of each bin but the last: uint8[features, BINS - 1].

    Bins are single values where there are few, and about equally full where there are many.
    """
    edges = np.full((features.shape[1], BINS - 1), 255, np.uint8)
    for k in range(features.shape[1]):
        values = np.unique(features[:, k])[:-1]
        if len(values) >= BINS:
            places = np.arange(1, BINS) / BINS
            values = np.unique(np.quantile(features[:, k], places, method="lower"))
        edges[k, : len(values)] = values
    return edges


@kernel
def _run(features, bins, embed, hidden, hidden_bias, out, out_bias, scratch, found):  # type: ignore[no-untyped-def]
    width = embed.shape[1]
    first, second = scratch[0], scratch[1]
    for i in range(len(features)):
        for h in range(width):
            first[h] = 0
            second[h] = 0
        for f in range(bins.shape[0]):
            row = embed[bins[f, features[i, f]]]
            for h in range(width):
                first[h] += row[h]
        for g in range(width):
            active = min(first[g], _MOST_ACTIVE)
            if active > 0:
                weights = hidden[g]
                for h in range(width):
                    second[h] += active * weights[h]
        for o in range(found.shape[1]):
            found[i, o] = 0
        for g in range(width):
            active = min((second[g] >> 8) + hidden_bias[g], _MOST_ACTIVE)
            if active > 0:
                for o in range(found.shape[1]):
                    found[i, o] += active * out[g, o]
        for o in range(found.shape[1]):
            found[i, o] = (found[i, o] >> 8) + out_bias[o]
