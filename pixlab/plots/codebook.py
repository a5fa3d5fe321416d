"""The codebook of a model as pictures, how much each codeword is used, and by which digis."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from pixlab.digis import Digis

if TYPE_CHECKING:
    from pixlab.codecs import Model

_SIDES: tuple[Literal["left"], Literal["right"]] = ("left", "right")
__all__ = ["Codebook", "Usage", "codebook_of", "tile_gallery", "usage_of"]


@dataclass(frozen=True)
class Codebook:
    """Codewords that are small hit maps.

    Parameters
    ----------
    pictures : float32[codes, rows, cols]
        adc counts, NaN where a codeword has no hit.
    """

    pictures: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.pictures)


@dataclass(frozen=True)
class Usage:
    """Which tiles of some events are described by which codeword.

    Parameters
    ----------
    digis : Digis
        The events.
    code : int32[tiles]
        Index of the codeword of each tile that is hit.
    event, module, row, col : int64[tiles]
        Event, index of the module, and first pixel of each tile.
    codes : int
        Number of codewords.
    """

    digis: Digis
    code: NDArray[np.int32]
    event: NDArray[np.int64]
    module: NDArray[np.int64]
    row: NDArray[np.int64]
    col: NDArray[np.int64]
    codes: int

    @cached_property
    def uses(self) -> NDArray[np.int64]:
        """Tiles of each codeword: int64[codes]."""
        return np.bincount(self.code, minlength=self.codes).astype(np.int64)

    @cached_property
    def order(self) -> NDArray[np.intp]:
        """Codewords from the most to the least used; those used alike by their number."""
        return np.argsort(-self.uses, kind="stable")

    @property
    def entropy(self) -> float:
        """Bits a codeword if each is coded by its frequency alone; 0 without a tile."""
        share = self.uses[self.uses > 0] / max(len(self.code), 1)
        return float(-(share * np.log2(share)).sum())

    @property
    def perplexity(self) -> float:
        """2 to the entropy: so many codewords, equally used, would carry as much."""
        return float(2.0**self.entropy)

    @property
    def unused(self) -> int:
        """Codewords without a tile."""
        return int((self.uses == 0).sum())

    def tiles_of(self, code: int) -> NDArray[np.intp]:
        """Tiles that a codeword describes."""
        return np.flatnonzero(self.code == code)


def codebook_of(model: Model) -> Codebook | None:
    """The codewords of a model as pictures, None where it has none."""
    codec: Any = model.codec
    book = getattr(model, "codebook", None)
    if book is None or not hasattr(codec, "tile_rows") or not hasattr(model, "tokens"):
        return None
    shape = len(book), codec.tile_rows, codec.tile_cols
    # kept as counts + 1, 0 where there is no hit
    pictures = np.where(book > 0, book.astype(np.float32) - 1, np.float32(np.nan))
    return Codebook(pictures.reshape(shape))


def usage_of(model: Model, digis: Digis) -> Usage:
    """Which codeword describes each tile of some events; the model must have a codebook."""
    having: Any = model
    tiles, code = having.tokens(digis)
    frames = digis.frames
    frame = np.repeat(np.arange(len(frames.module)), np.diff(tiles.frame_offsets))
    return Usage(
        digis,
        code,
        frames.event[frame],
        frames.module[frame].astype(np.int64),
        tiles.row.astype(np.int64) * having.codec.tile_rows,
        tiles.col.astype(np.int64) * having.codec.tile_cols,
        len(having.codebook),
    )


def tile_gallery(
    usage: Usage, tiles: NDArray[np.intp], shape: tuple[int, int]
) -> NDArray[np.float32]:
    """What the original has in some tiles: float32[tiles, rows, cols], NaN where there is no hit."""
    pictures = np.full((len(tiles), *shape), np.nan, np.float32)
    rows, cols = shape
    detid = usage.digis.detector.detid
    for i, t in enumerate(tiles):
        first, last = usage.digis.offsets[usage.event[t] : usage.event[t] + 2]
        own = usage.digis.detid[first:last]
        begin, end = (first + np.searchsorted(own, detid[usage.module[t]], s) for s in _SIDES)
        row = usage.digis.row[begin:end].astype(int) - usage.row[t]
        col = usage.digis.col[begin:end].astype(int) - usage.col[t]
        inside = (row >= 0) & (row < rows) & (col >= 0) & (col < cols)
        pictures[i, row[inside], col[inside]] = usage.digis.adc[begin:end][inside]
    return pictures
