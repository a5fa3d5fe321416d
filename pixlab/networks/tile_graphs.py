"""The choice of tokens and the pictures of a `PatchVQVAE` as ONNX graphs, which onnxruntime and others run.

::

    encoder: tile int64[n, pixels], bridge int64[n, pixels], charge int64[n],
             centre int64[n, 2], over int64[n, 3] ──► token int64[n]
    decoder: token int64[n] ──► tile int64[n, pixels]

A tile is counts + 1 row by row, 0 where there is no hit, as rows of ``model.codebook`` are. The
other inputs are what the codec knows of the tile's cluster, of several the one with most charge
(`pixlab.codecs.tile_choice`):

======  ====================================================================================
bridge  1 for a hit that touches one of another tile, else 0
charge  counts of the cluster, a pixel at least 1, the whole at least 8
centre  its barycentre from the tile's first pixel along rows and columns, 1/256 pixel,
        rounded down
over    what the tiles of the cluster that were told before (least charge first) are too large
        by: counts (a pixel at least 1), and
        256 times their moments along rows and columns about ``centre``
======  ====================================================================================

For a tile that is a cluster of its own ``bridge`` and ``over`` are 0. The encoder network that the
codec was trained with is not part of it: tokens are chosen by what they cost, here as in the codec, to
the last bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pixlab.networks.graphs import Graph

__all__ = ["Tables", "decoder", "encoder"]

Array = NDArray[Any]


class Tables(NamedTuple):
    """What the graphs hold.

    ``book``: int[codes, pixels], pictures; ``hit``, ``shades``, ``fixed``, ``sums``: of the codewords, as
    `pixlab.codecs.tile_choice.Words` has them; ``places``: int[pixels, 3], one, row and column;
    ``levels``: int[counts], shade of each value that a pixel of a tile may have; ``weights``: of
    errors; ``largest``: of an error, 1/256.
    """

    book: Array
    hit: Array
    shades: Array
    fixed: Array
    sums: Array
    places: Array
    levels: Array
    weights: Mapping[str, int]
    largest: int


def decoder(tables: Tables) -> Any:
    """The graph of the decoder."""
    from onnx import TensorProto

    g = Graph()
    pictures = g.add("Gather", g.constant(tables.book, np.int64), "token", axis=0)
    inputs: dict[str, tuple[Any, list[Any]]] = {"token": (TensorProto.INT64, ["n"])}
    return g.model(inputs, pictures, "tile", ["n", len(tables.places)])


def encoder(tables: Tables) -> Any:
    """The graph of the encoder."""
    from onnx import TensorProto

    g = Graph()
    cost = g.add("Add", _of_pixels(g, tables), _of_cluster(g, tables))
    token = g.add("ArgMin", cost, axis=1, keepdims=0)
    integers, pixels = TensorProto.INT64, len(tables.places)
    inputs: dict[str, tuple[Any, list[Any]]] = {
        "tile": (integers, ["n", pixels]),
        "bridge": (integers, ["n", pixels]),
        "charge": (integers, ["n"]),
        "centre": (integers, ["n", 2]),
        "over": (integers, ["n", 3]),
    }
    return g.model(inputs, token, "token", ["n"])


def _of_pixels(g: Graph, tables: Tables) -> str:
    """What each codeword costs by its pixels: [n, codes]."""
    w = tables.weights
    shade = g.add("Gather", g.constant(tables.levels), "tile")
    tile = g.double("tile")
    hit = g.add("Min", tile, g.constant(1))
    lost = g.add("Mul", g.double("bridge"), g.constant(w["bridge"]))
    lost = g.add("Mul", hit, g.add("Add", lost, g.constant(w["pixel"])))
    every = g.add("ReduceSum", lost, g.constant([1], np.int64), keepdims=1)
    cost = g.add("Add", every, g.constant(tables.fixed[None]))
    kept = g.add("Add", lost, g.add("Mul", hit, g.constant(w["pixel"])))
    cost = g.add("Sub", cost, g.add("MatMul", kept, g.constant(tables.hit)))
    for p in range(len(tables.places)):  # one at a time: all of them would not fit into memory
        off = g.add("Sub", g.constant(tables.shades[p][None]), g.column(shade, [p]))
        off = g.add("Mul", g.add("Mul", off, off), g.constant(w["shade"] / (1 << 20)))
        both = g.add("Mul", g.column(hit, [p]), g.constant(tables.hit[p][None]))
        cost = g.add("Add", cost, g.add("Mul", g.add("Floor", off), both))
    return cost


def _of_cluster(g: Graph, tables: Tables) -> str:
    """What each codeword costs by the charge and the barycentre of the cluster: [n, codes]."""
    w = tables.weights
    tile, over, centre = (g.double(x) for x in ("tile", "over", "centre"))
    counts = g.add("Max", g.add("Sub", tile, g.constant(1)), g.add("Min", tile, g.constant(1)))
    told = g.add("MatMul", counts, g.constant(tables.places))
    charge = g.add("Unsqueeze", g.double("charge"), g.constant([1], np.int64))
    off = g.add("Sub", g.constant(tables.sums[:, 0][None]), g.column(told, [0]))
    total = g.add("Add", off, g.column(over, [0]))
    errors = [g.add("Mul", total, g.constant(256))]
    for i in (1, 2):
        moment = g.add("Sub", g.constant(tables.sums[:, i][None]), g.column(told, [i]))
        about = g.add("Mul", g.column(centre, [i - 1]), off)
        moment = g.add("Sub", g.add("Mul", moment, g.constant(256)), about)
        errors.append(g.add("Add", moment, g.column(over, [i])))
    cost = g.constant(0)
    for error, weight in zip(errors, (w["charge"], w["place"], w["place"]), strict=True):
        share = g.add("Floor", g.add("Div", error, charge))
        limits = (g.constant(-tables.largest), g.constant(tables.largest))
        share = g.add("Clip", share, *limits)
        square = g.add("Mul", g.add("Mul", share, share), g.constant(weight))
        cost = g.add("Add", cost, square)
    return g.add("Floor", g.add("Mul", cost, g.constant(1 / 4096)))
