"""Encoder and decoder of a `VQVAE` as ONNX graphs, which onnxruntime and others run.

::

    decoder: features int64[n, F], tokens int64[n, stages] ──► barycentre int64[n, 2], 1/256 pitch
    encoder: features int64[n, F], barycentre int64[n, 2], spacing double[n, 2],
             kind int64[n], cell int64[n] ──► tokens int64[n, stages]

F is 20, or 16 where the model draws clusters; kinds are 0 to 2, see `tokens.KINDS`, and cells what
`code_classes.cells_of` says.

The graphs compute whole numbers in double precision, where sums and products of these sizes are
exact, so the decoder agrees with the codec's to the last bit. The encoder chooses the codes that
are decoded nearest, stage by stage; the codec also weighs what tokens cost.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixlab.networks.graphs import Graph

__all__ = ["Tables", "decoder", "encoder"]

Array = NDArray[Any]
_FAR = 1e30


class Tables:
    """What the graphs hold.

    Parameters
    ----------
    bins : int64[features, 256]
        Row of the embeddings of each feature and value.
    weights : tuple of arrays
        embed, hidden, hidden_bias, out, out_bias, in 1/256.
    books : list of lists of int64[codes, 2]
        Codes of each stage and kind: along rows, along columns, along both.
    of_cell : int64[kinds, cells]
        Class of clusters of each kind and cell, all kinds in one count.
    of_code : int64[codes]
        Class that has each code of a stage.
    least_axis : int
        Of the axes of a frame, 1/256.
    """

    def __init__(
        self,
        bins: Array,
        weights: tuple[Array, ...],
        books: list[list[Array]],
        of_cell: Array,
        of_code: Array,
        least_axis: int,
    ) -> None:
        self.bins, self.weights, self.books, self.least_axis = bins, weights, books, least_axis
        self.of_cell, self.of_code = of_cell, of_code


def _frames(g: Graph, tables: Tables) -> list[str]:
    """Centre and axes of codes, from ``features``."""
    embed, hidden, hidden_bias, out, out_bias = tables.weights
    n_features = len(tables.bins)
    flat = g.add(
        "Add", "features", g.constant(256 * np.arange(n_features)[None], np.int64)
    )  # place in the table of bins
    rows = g.add("Gather", g.constant(tables.bins.ravel(), np.int64), flat)
    each = g.add("Gather", g.constant(embed), rows, axis=0)
    x = g.add("ReduceSum", each, g.constant([1], np.int64), keepdims=0)
    x = g.add("Relu", x)
    x = g.shifted(g.add("MatMul", x, g.constant(hidden)))
    x = g.add("Relu", g.add("Add", x, g.constant(hidden_bias)))
    x = g.shifted(g.add("MatMul", x, g.constant(out)))
    x = g.add("Add", x, g.constant(out_bias))
    up, along, a, b, d = (g.column(x, i) for i in range(5))
    least = g.constant(tables.least_axis)
    return [up, along, g.add("Max", a, least), b, g.add("Max", d, least)]


def _place(g: Graph, frame: list[str], y: str, x: str) -> tuple[str, str]:
    """Where codes are put."""
    up, along, a, b, d = frame
    row = g.add("Add", up, g.shifted(g.add("Mul", a, y)))
    both = g.add("Add", g.add("Mul", b, y), g.add("Mul", d, x))
    return row, g.add("Add", along, g.shifted(both))


def decoder(tables: Tables) -> Any:
    """The graph of the decoder."""
    from onnx import TensorProto

    g = Graph()
    frame = _frames(g, tables)
    code: list[str] = []
    for s, books in enumerate(tables.books):
        all_codes = np.concatenate(books)
        mine = g.add("Gather", g.constant(all_codes), g.column("tokens", s), axis=0)
        code = [g.add("Add", before, g.column(mine, i)) for i, before in enumerate(code)] or [
            g.column(mine, i) for i in range(2)
        ]
    row, col = _place(g, frame, *code)
    sizes = [len(book) for book in tables.books[0]]
    free = np.repeat(np.array([[1, 0], [0, 1], [1, 1]]), sizes, axis=0)
    moves = g.add("Gather", g.constant(free), g.column("tokens", 0), axis=0)
    last = g.constant([1], np.int64)
    both = [g.add("Unsqueeze", v, last) for v in (row, col)]
    offsets = g.add("Mul", g.add("Concat", *both, axis=1), moves)
    integers = TensorProto.INT64
    inputs: dict[str, tuple[Any, list[Any]]] = {
        "features": (integers, ["n", len(tables.bins)]),
        "tokens": (integers, ["n", len(tables.books)]),
    }
    return g.model(inputs, offsets, "barycentre", ["n", 2])


def encoder(tables: Tables) -> Any:
    """The graph of the encoder."""
    from onnx import TensorProto

    g = Graph()
    last = g.constant([1], np.int64)
    frame = [g.add("Unsqueeze", v, last) for v in _frames(g, tables)]
    wish = g.double("barycentre")
    wished = [g.add("Unsqueeze", g.column(wish, i), last) for i in range(2)]
    spacing = [g.add("Unsqueeze", g.column("spacing", i), last) for i in range(2)]
    # squared weights of each kind, and which codes are of another class than the cluster
    free = g.add("Gather", g.constant([[1, 0], [0, 1], [1, 1]]), "kind", axis=0)
    moves = [g.add("Unsqueeze", g.column(free, i), last) for i in range(2)]
    n_cells = tables.of_cell.shape[1]
    cell = g.add("Add", "cell", g.add("Mul", "kind", g.constant(n_cells, np.int64)))
    mine = g.add("Gather", g.constant(tables.of_cell.ravel(), np.int64), cell)
    same = g.add("Equal", g.add("Unsqueeze", mine, last), g.constant([tables.of_code], np.int64))
    forbidden = g.add("Where", same, g.constant(0.0), g.constant(_FAR))
    before: list[str] = [g.constant([[0.0]]), g.constant([[0.0]])]
    chosen = []
    for books in tables.books:
        codes = np.concatenate(books)
        y = g.add("Add", before[0], g.constant(codes[None, :, 0]))
        x = g.add("Add", before[1], g.constant(codes[None, :, 1]))
        cost = forbidden
        for i, place in enumerate(_place(g, frame, y, x)):
            off = g.add("Div", g.add("Sub", place, wished[i]), spacing[i])
            cost = g.add("Add", cost, g.add("Mul", g.add("Mul", off, off), moves[i]))
        token = g.add("ArgMin", cost, axis=1, keepdims=1)
        chosen.append(token)
        code = g.add("Gather", g.constant(codes), g.add("Squeeze", token, last), axis=0)
        before = [
            g.add("Add", b, g.add("Unsqueeze", g.column(code, i), last))
            for i, b in enumerate(before)
        ]
    tokens = g.add("Concat", *chosen, axis=1) if len(chosen) > 1 else chosen[0]
    integers = TensorProto.INT64
    inputs: dict[str, tuple[Any, list[Any]]] = {
        "features": (integers, ["n", len(tables.bins)]),
        "barycentre": (integers, ["n", 2]),
        "spacing": (TensorProto.DOUBLE, ["n", 2]),
        "kind": (integers, ["n"]),
        "cell": (integers, ["n"]),
    }
    return g.model(inputs, tokens, "tokens", ["n", len(tables.books)])
