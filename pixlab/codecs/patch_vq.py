"""`PatchVQ`: a k-means codebook over tiles of the hit map.

::

    hit map ── tiles ──► non-empty tiles ── nearest codeword ──► indices   (range-coded)
                                │
                                └──► which tiles are hit                    (range-coded, exact)

Each module is cut into tiles of `tile_rows` x `tile_cols` pixels. A tile with at least one digi is
replaced by a codeword: a small picture of adc counts with at least one hit, so that no non-empty
tile is ever lost. Codewords are ordered by their charge, which lets the indices be coded with the
contexts that serve for adc counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import param
from numpy.typing import NDArray

from pixlab.codecs.base import Chunk
from pixlab.codecs.hitmaps import ContextCodec, ContextModel
from pixlab.codecs.kmeans import assign, learn_centres
from pixlab.codecs.tile_latents import digis_of, tokens_of
from pixlab.codecs.usage import CodeUsage
from pixlab.coding.hits import MAX_DIGIS, HitCoder, Hits
from pixlab.coding.layout import make_layout, track_slopes
from pixlab.coding.values import ValueCoder
from pixlab.detectors import Detector
from pixlab.digis import Digis
from pixlab.errors import FormatError, PixlabError
from pixlab.progress import Progress

if TYPE_CHECKING:
    import awkward

__all__ = ["PatchVQ", "PatchVQModel", "Tiles", "cut"]

Array = NDArray[Any]
_SCALE = 16.0  # features are 16 sqrt(adc): noise and steps of charge become alike in size
_LARGEST = 512  # of a feature, so that squared distances fit 32 bits
_TILES_A_CODE = 20  # tiles that are enough to place one codeword ...
_TILES_AT_LEAST = 60_000  # ... and a codebook


class Tiles(NamedTuple):
    """Non-empty tiles of digis, by frame, tile row and tile column.

    ``frame_offsets``: int64[frames + 1], first tile of each frame; ``row``, ``col``:
    uint16[tiles]; ``offsets``: int64[tiles + 1], first hit of each tile; ``pixel``, ``adc``: place
    in the tile and count of each hit; ``digi``: int64[hits], its index.
    """

    frame_offsets: Array
    row: Array
    col: Array
    offsets: Array
    pixel: Array
    adc: Array
    digi: Array

    @property
    def frame(self) -> NDArray[np.int64]:
        """Index of the frame of each tile: int64[tiles]."""
        return np.repeat(np.arange(len(self.frame_offsets) - 1), np.diff(self.frame_offsets))


class PatchVQ(ContextCodec):
    """Vector quantisation of tiles of the hit map with one k-means codebook."""

    key = "patch-vq"
    searched = ("codebook_size",)

    codebook_size = param.Integer(default=1024, bounds=(2, 65536), doc="number of codewords")
    tile_rows = param.Integer(default=4, bounds=(1, 16), doc="height of a tile, pixels")
    tile_cols = param.Integer(default=4, bounds=(1, 16), doc="width of a tile, pixels")
    seed = param.Integer(default=1, bounds=(0, None), doc="seed of the codebook's start")

    @property
    def model_type(self) -> type[PatchVQModel]:
        """What fitting gives."""
        return PatchVQModel

    def fit(self, digis: Digis, *, progress: Progress | None = None) -> PatchVQModel:
        """Learn the codebook from the tiles of `digis`.

        Raises
        ------
        PixlabError
            If there is no digi to learn from.
        """
        if digis.n_digis == 0:
            raise PixlabError("there is no digi to learn a codebook from", "fit on other events")
        return self.with_contexts(digis, self.learn_book(digis, progress=progress))

    def with_contexts(self, digis: Digis, arrays: dict[str, Array]) -> PatchVQModel:
        """A model of arrays that `choose` needs, with contexts that are learned from `digis`."""
        slopes = track_slopes(digis.detector)
        layout = make_layout(digis.detector, slopes, tile=(self.tile_rows, self.tile_cols))
        tiles, codes = self.choose(digis, arrays)
        hits = _to_hits(digis, tiles)
        top = len(arrays["codebook"]) - 1
        arrays = arrays | {"slopes": slopes}
        arrays |= HitCoder.learn(layout, len(digis), hits, reuse=self.reuse)
        arrays |= ValueCoder.learn("codes", layout, hits, codes, top, reuse=self.reuse)
        return self.model_type(self, digis.detector, arrays)

    def learn_book(self, digis: Digis, *, progress: Progress | None = None) -> dict[str, Array]:
        """The arrays of a model that `choose` needs: ``codebook``."""
        tiles = cut(digis, self.tile_rows, self.tile_cols)
        enough = max(_TILES_AT_LEAST, _TILES_A_CODE * self.codebook_size)
        tiles = _sample(tiles, enough, self.seed)
        feature = _features(digis.detector)
        centres = learn_centres(
            tiles.offsets,
            tiles.pixel,
            feature[tiles.adc],
            self.tile_rows * self.tile_cols,
            self.codebook_size,
            seed=self.seed,
            progress=progress,
        )
        nearest = assign(
            tiles.offsets, tiles.pixel, feature[tiles.adc], np.rint(centres).astype(np.int32)
        )
        return {"codebook": _codewords(tiles, nearest, len(centres), centres.shape[1])}

    def choose(self, digis: Digis, arrays: Mapping[str, Array]) -> tuple[Tiles, Array]:
        """The non-empty tiles of `digis` and the index of each one's codeword: int32[tiles]."""
        tiles = cut(digis, self.tile_rows, self.tile_cols)
        feature = _features(digis.detector)
        centres = np.concatenate([[0], feature]).astype(np.int32)[arrays["codebook"]]
        return tiles, assign(tiles.offsets, tiles.pixel, feature[tiles.adc], centres)


class PatchVQModel(ContextModel):
    """A fitted `PatchVQ`; ``arrays["codebook"]`` is uint16[codes, tile_rows * tile_cols], adc."""

    codec: PatchVQ

    needs = (*ContextModel.needs, "codebook", *ValueCoder.needs("codes"))

    @cached_property
    def codebook(self) -> Array:
        """Counts (adc) of each codeword, 0 where it has no hit: int64[codes, pixels]."""
        book = self.arrays["codebook"]
        pixels = self.codec.tile_rows * self.codec.tile_cols
        if (
            book.ndim != 2
            or book.dtype != np.uint16
            or not 1 <= len(book) <= 65536
            or book.shape[1] != pixels
            or book.max() > self.detector.adc_max + 1
            or not book.any(axis=1).all()
        ):
            raise FormatError("the codebook is damaged")
        return book

    @property
    def tile(self) -> tuple[int, int]:
        """Rows and columns of a tile."""
        return (self.codec.tile_rows, self.codec.tile_cols)

    @property
    def keeps_flags(self) -> bool:
        """Pixels are others."""
        return False

    @cached_property
    def _code_coder(self) -> ValueCoder:
        return ValueCoder("codes", self.layout, self.arrays, len(self.codebook) - 1)

    def tell(self, digis: Digis) -> tuple[Tiles, Array]:
        """The non-empty tiles of `digis` and the index of each one's codeword: int32[tiles]."""
        self.check(digis)
        return self.codec.choose(digis, {**self.arrays, "codebook": self.codebook})

    def tokens(self, digis: Digis) -> awkward.Array:
        """The discrete latents of `digis`: an awkward array [event][tile], see `tile_latents`.

        ``model.from_tokens(model.tokens(digis)) == model.quantize(digis)``; as parquet with
        `latents.write_tokens`.

        Raises
        ------
        PixlabError
            If the digis are of another detector.
        """
        return tokens_of(self, digis)

    def from_tokens(self, tokens: awkward.Array) -> Digis:
        """The digis that latents mean, which `tokens` or a generative model made, in any order.

        Raises
        ------
        PixlabError
            If a tile is outside the detector or comes twice, or a token is not of the codebook.
        """
        return digis_of(self, tokens)

    def usage(self, digis: Digis) -> list[CodeUsage]:
        """How often each codeword is chosen; its picture is in counts."""
        counts = np.bincount(self.tell(digis)[1], minlength=len(self.codebook))
        pictures = self.codebook.astype(float).reshape(-1, *self.tile) - 1
        return [CodeUsage("codes", counts, 0, np.where(pictures < 0, np.nan, pictures))]

    def quantize(self, digis: Digis) -> Digis:
        """Every non-empty tile replaced by its codeword; flags are dropped with the pixels."""
        tiles, codes = self.tell(digis)
        frames, frame = digis.frames, tiles.frame
        out = self.paint(
            len(digis), frames.event[frame], frames.module[frame], tiles.row, tiles.col, codes
        )
        return Digis(
            out.detector, out.offsets, out.detid, out.row, out.col, out.adc, None, digis.event_id
        )

    def _encode(self, digis: Digis) -> dict[str, bytes]:
        tiles, codes = self.tell(digis)
        hits = _to_hits(digis, tiles)
        sections = self.hit_coder.encode(len(digis), hits)
        sections["codes"] = self._code_coder.encode(hits, codes)
        return {"tiles": len(codes).to_bytes(4, "little")} | sections

    def _decode(self, chunk: Chunk) -> Digis:
        n_tiles = int.from_bytes(chunk.sections["tiles"][:4], "little")
        if n_tiles > chunk.n_digis:
            raise FormatError("there are more tiles than digis")
        hits = self.hit_coder.decode(chunk.n_events, n_tiles, chunk.sections)
        codes = self._code_coder.decode(hits, chunk.sections["codes"])
        frame = np.repeat(np.arange(len(hits.module)), np.diff(hits.offsets))
        return self.paint(
            chunk.n_events, hits.event[frame], hits.module[frame], hits.row, hits.col, codes
        )

    def paint(
        self, n_events: int, event: Array, module: Array, row: Array, col: Array, codes: Array
    ) -> Digis:
        """The digis of codewords at tiles; what sticks out of the sensor is cut off."""
        book, tile_rows, tile_cols = self.codebook, self.codec.tile_rows, self.codec.tile_cols
        used = np.count_nonzero(book, axis=1)
        total = int(used[codes].sum())
        if total > MAX_DIGIS:
            raise FormatError("the tiles hold more digis than a chunk may")
        code, pixel = np.nonzero(book)
        first = np.concatenate([[0], np.cumsum(used)])
        tile = np.repeat(np.arange(len(codes)), used[codes])
        within = np.arange(total) - np.repeat(np.cumsum(used[codes]) - used[codes], used[codes])
        entry = first[codes[tile]] + within
        place = pixel[entry]
        rows = row[tile].astype(np.int64) * tile_rows + place // tile_cols
        cols = col[tile].astype(np.int64) * tile_cols + place % tile_cols
        adc = book[code[entry], place].astype(np.int64) - 1
        which = module[tile]
        inside = (rows < self.detector.rows[which]) & (cols < self.detector.cols[which])
        lost = np.ones(len(codes), bool)
        lost[tile[inside]] = False
        # a codeword of which nothing is inside still marks the tile's first pixel
        edge = np.flatnonzero(lost)
        columns = (
            np.concatenate([event[tile[inside]], event[edge]]),
            np.concatenate([self.detector.detid[which[inside]], self.detector.detid[module[edge]]]),
            np.concatenate([rows[inside], row[edge].astype(np.int64) * tile_rows]),
            np.concatenate([cols[inside], col[edge].astype(np.int64) * tile_cols]),
            np.concatenate([adc[inside], book[codes[edge]].max(axis=1).astype(np.int64) - 1]),
        )
        return Digis.from_arrays(*columns, detector=self.detector, n_events=n_events)


def _to_hits(digis: Digis, tiles: Tiles) -> Hits:
    """The map of hit tiles."""
    frames = digis.frames
    columns = (frames.event, frames.module, tiles.frame_offsets, tiles.row, tiles.col)
    return Hits(*(np.array(column) for column in columns))


def cut(digis: Digis, tile_rows: int, tile_cols: int) -> Tiles:
    """Cut the modules of `digis` into tiles and keep those that are hit."""
    frames = digis.frames
    frame = np.repeat(np.arange(len(frames.module)), np.diff(frames.offsets))
    tile_row, tile_col = digis.row // tile_rows, digis.col // tile_cols
    high = int(tile_row.max(initial=0)) + 1
    wide = int(tile_col.max(initial=0)) + 1
    key = (frame * high + tile_row) * wide + tile_col
    order = np.argsort(key, kind="stable")
    key = key[order]
    first = np.flatnonzero(np.concatenate([[True], key[1:] != key[:-1]])[: len(key)])
    place = (digis.row % tile_rows).astype(np.int32) * tile_cols + digis.col % tile_cols
    tiles_frame = frame[order][first]
    return Tiles(
        np.searchsorted(tiles_frame, np.arange(len(frames.module) + 1)).astype(np.int64),
        tile_row[order][first],
        tile_col[order][first],
        np.append(first, len(key)).astype(np.int64),
        place[order].astype(np.int32),
        digis.adc[order],
        order,
    )


def _features(detector: Detector) -> NDArray[np.int32]:
    """Feature of each adc count, above 0: int32[adc_max + 1]."""
    adc = np.arange(detector.adc_max + 1)
    scale = min(_SCALE, _LARGEST / np.sqrt(detector.adc_max + 1.0))
    return np.rint(scale * np.sqrt(adc + 1.0)).astype(np.int32)


def _sample(tiles: Tiles, most: int, seed: int) -> Tiles:
    """At most `most` tiles, drawn at random; only offsets, pixels and counts stay meaningful."""
    n = len(tiles.row)
    if n <= most:
        return tiles
    kept = np.sort(np.random.default_rng(seed).choice(n, most, replace=False))
    sizes = np.diff(tiles.offsets)[kept]
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    take = np.arange(offsets[-1]) + np.repeat(tiles.offsets[kept] - offsets[:-1], sizes)
    return tiles._replace(offsets=offsets, pixel=tiles.pixel[take], adc=tiles.adc[take])


def _codewords(tiles: Tiles, nearest: Array, n_codes: int, n_pixels: int) -> NDArray[np.uint16]:
    """Counts (adc) + 1 of each codeword, 0 where it has no hit, in the order of their charge.

    A pixel is hit where most tiles of the codeword have it hit (at least its commonest pixel), and
    carries their mean count.
    """
    cell = np.repeat(nearest, np.diff(tiles.offsets)).astype(np.int64) * n_pixels + tiles.pixel
    shape = (n_codes, n_pixels)
    hits = np.bincount(cell, minlength=n_codes * n_pixels).reshape(shape)
    charge = np.bincount(cell, tiles.adc, minlength=n_codes * n_pixels).reshape(shape)
    members = np.bincount(nearest, minlength=n_codes)
    on = 2 * hits > members[:, None]
    on[np.arange(n_codes), hits.argmax(axis=1)] = True
    mean = np.rint(charge / np.maximum(hits, 1))
    book = np.where(on, mean + 1, 0).astype(np.uint16)[members > 0]
    order = np.lexsort((*book.T, book.sum(axis=1)))
    return book[order]
