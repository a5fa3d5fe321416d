"""`PatchVQVAE`: tiles of the hit map, told by tokens of a codebook that a network learned.

::

    tiles ──► token of least cost ──► tokens (range-coded)           decoding is that of `PatchVQ`
    cluster of each ──┘   └── pictures: the decoder, tabulated

Fitting trains a vector-quantised variational autoencoder (`pixlab.networks.tiles`), whose decoder
depends on the token alone. Its table, one picture in counts a token, is the codebook of a `PatchVQ`:
what is saved decodes without torch and without floats. A token is chosen by what it does to the
tile's pixels and to the charge and barycentre of its cluster (`pixlab.codecs.tile_choice`), the
measure that the network was trained with.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import param
from numpy.typing import NDArray

from pixlab.codecs.blocks import Blocks
from pixlab.codecs.patch_vq import PatchVQ, PatchVQModel, Tiles, cut
from pixlab.codecs.tile_choice import (
    BRIDGE,
    CHARGE,
    LARGEST,
    ONE,
    PIXEL,
    PLACE,
    SHADE,
    WEIGHTS,
    choose,
    make_words,
    places_of,
    shade_of,
    surroundings,
)
from pixlab.codecs.trained import Streamed, TrainedModel, Training
from pixlab.digis import Digis
from pixlab.errors import FormatError

if TYPE_CHECKING:
    from pixlab.networks.tiles import Examples

__all__ = ["PatchVQVAE", "PatchVQVAEModel"]

Array = NDArray[Any]
_PARTS = ("pixel", "charge", "place", "shade", "bits")
LOG_COLUMNS: tuple[str, ...] = ("epoch", *_PARTS, *(f"held_out_{k}" for k in _PARTS))
LOG_COLUMNS += ("perplexity", "usage")
_MOST_PRICE = 1 << 15
_ROUNDS = 4  # of scaling


class PatchVQVAE(Streamed["PatchVQVAEModel"], PatchVQ):
    """Vector quantisation of tiles with a learned encoder, codebook and decoder."""

    key = "patch-vqvae"

    rate_weight = param.Number(
        default=0.1,
        bounds=(0.0, 4.0),
        doc="lambda: what a bit costs, where a wrong pixel costs 3",
    )
    width = param.Integer(default=128, bounds=(4, 1024))

    @property
    def tile(self) -> tuple[int, int]:
        """Rows and columns of a tile."""
        return (self.tile_rows, self.tile_cols)

    @property
    def model_type(self) -> type[PatchVQModel]:
        """What fitting gives."""
        return PatchVQVAEModel

    def choose(self, digis: Digis, arrays: Mapping[str, Array]) -> tuple[Tiles, Array]:
        """The non-empty tiles of `digis` and the token of each: int32[tiles]."""
        tiles = cut(digis, *self.tile)
        around = surroundings(digis, tiles, self.tile)
        return tiles, choose(tiles, around, arrays["codebook"], arrays["prices"], self.tile)

    def learn(self, first: Digis, blocks: Iterable[Digis], how: Training) -> PatchVQVAEModel:
        """Train pictures and prices, then learn contexts."""
        fitted = self.with_contexts(first, self.train_book(first, blocks, how))
        assert isinstance(fitted, PatchVQVAEModel)
        return fitted

    def train_book(self, first: Digis, blocks: Iterable[Digis], how: Training) -> dict[str, Array]:
        """Pictures by k-means, then what training makes of them: codebook, prices and log."""
        from pixlab.networks.tiles import TileNetwork, TileTask, Weights
        from pixlab.networks.training import device_of, one_thread, seeded

        book = self.learn_book(first)["codebook"]
        tiles = cut(first, *self.tile)
        middle = float(np.log1p(tiles.adc, dtype=np.float32).mean())
        top = float(np.log1p(first.detector.adc_max))
        with seeded(self.seed):
            network = TileNetwork(
                self.tile, len(book), self.width, middle, top, Weights(PIXEL, CHARGE, PLACE, SHADE)
            )
        free = {"codebook": book, "prices": np.zeros(len(book), np.uint16)}
        use = np.bincount(self.choose(first, free)[1], minlength=len(book)) + 0.5
        examples = Blocks(blocks, self._examples)
        with one_thread():
            network.start(_as_examples(book, self.tile), use)
            task = TileTask(
                network, examples, rate_weight=self.rate_weight, epochs=self.epochs,
                device=device_of(how.device),
            )  # fmt: skip
            log = self.train(task, examples.fingerprint, LOG_COLUMNS, how)
            on, counts = network.pictures()
            bits = network.bits.detach().cpu().numpy()
        prices = np.rint(ONE * self.rate_weight * bits).clip(0, _MOST_PRICE).astype(np.uint16)
        book = _table(on, counts, first.detector.adc_max)
        charge = surroundings(first, tiles, self.tile).charge
        for _ in range(_ROUNDS):  # other tiles choose a picture that was scaled
            codes = self.choose(first, {"codebook": book, "prices": prices})[1]
            counts *= _scale(tiles, codes, charge, book)[:, None]
            book = _table(on, counts, first.detector.adc_max)
        order = np.lexsort((*book.T, book.sum(axis=1)))  # neighbours are alike, as contexts want it
        return {"codebook": book[order], "prices": prices[order]} | log

    def _examples(self, digis: Digis) -> Examples:
        """Tiles as the network sees them."""
        from pixlab.networks.tiles import Examples

        tiles = cut(digis, *self.tile)
        around = surroundings(digis, tiles, self.tile)
        logs = np.full((len(tiles.row), self.tile_rows * self.tile_cols), -1, np.float32)
        which = np.repeat(np.arange(len(logs)), np.diff(tiles.offsets))
        logs[which, tiles.pixel] = np.log1p(tiles.adc)
        lost = np.ones_like(logs)
        lost[which, tiles.pixel] += around.bridge * (BRIDGE / PIXEL)
        centre = (around.centre / ONE).astype(np.float32)
        return Examples(logs, lost, around.charge.astype(np.float32), centre)


class PatchVQVAEModel(TrainedModel, PatchVQModel):
    """A fitted `PatchVQVAE`; ``arrays["prices"]`` is uint16[codes], what a token costs in 1/256."""

    codec: PatchVQVAE

    needs = (*PatchVQModel.needs, "prices")
    log_columns = LOG_COLUMNS

    def __post_init__(self) -> None:
        super().__post_init__()
        prices = self.arrays["prices"]
        if prices.shape != (len(self.codebook),) or prices.dtype != np.uint16:
            raise FormatError("the prices of the model are damaged")

    def export_onnx(self, folder: str | os.PathLike[str]) -> tuple[Path, Path]:
        """Write ``encoder.onnx`` and ``decoder.onnx``, see `pixlab.networks.tile_graphs`.

        Raises
        ------
        PixlabError
            If the package ``onnx`` is not installed, or the files cannot be written.
        """
        from pixlab.networks.graphs import write
        from pixlab.networks.tile_graphs import Tables, decoder, encoder

        words = make_words(self.codebook, self.arrays["prices"], self.tile)
        levels = shade_of(np.arange(self.detector.adc_max + 2))
        tables = Tables(self.codebook, *words, places_of(self.tile), levels, WEIGHTS, LARGEST)
        return write(Path(folder), tables, encoder, decoder)


def _table(on: Array, counts: Array, adc_max: int) -> NDArray[np.uint16]:
    """Pictures as a model keeps them."""
    return np.where(on, np.rint(counts).clip(0, adc_max) + 1, 0).astype(np.uint16)


def _scale(tiles: Tiles, codes: Array, charge: Array, book: Array) -> NDArray[np.float64]:
    """Of each picture, so that clusters get neither more nor less charge from it on average.

    The least squares of relative errors are too small: they would rather be too low than too high.
    """
    own = np.add.reduceat(tiles.adc.astype(float), tiles.offsets[:-1])
    told = np.maximum(book.astype(float) - 1, 0).sum(axis=1)[codes]
    before, after = (np.bincount(codes, x / charge, minlength=len(book)) for x in (own, told))
    return np.where(after > 0, before / np.where(after > 0, after, 1.0), 1.0)


def _as_examples(book: Array, tile: tuple[int, int]) -> Examples:
    """Pictures as tiles that are clusters of their own."""
    from pixlab.networks.tiles import Examples

    counts = np.maximum(book.astype(np.float32) - 1, 0)
    charge = np.maximum(counts.sum(axis=1), 1)
    place = np.stack(np.divmod(np.arange(book.shape[1]), tile[1]), axis=1)
    centre = (counts @ place / charge[:, None]).astype(np.float32)
    logs = np.where(book > 0, np.log1p(counts), -1).astype(np.float32)
    return Examples(logs, np.ones_like(logs), charge, centre)
