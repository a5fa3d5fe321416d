"""The codebook of a model as pictures, how much each codeword is used, and by which digis."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from pixlab.codecs import CodeUsage
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
        NaN where a codeword has no hit.
    quantity : str
        What they show, with its unit.
    placed : bool
        Whether the codewords stand for tiles whose places are known.
    """

    pictures: NDArray[np.float32]
    quantity: str = "charge [adc counts]"
    placed: bool = True

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
    codes : CodeUsage
        How often each codeword is used: its tiles, or where their places are not known, and the
        columns above are empty, its clusters.
    """

    digis: Digis
    code: NDArray[np.int32]
    event: NDArray[np.int64]
    module: NDArray[np.int64]
    row: NDArray[np.int64]
    col: NDArray[np.int64]
    codes: CodeUsage

    @property
    def uses(self) -> NDArray[np.int64]:
        """How often each codeword is used: int64[codes]."""
        return self.codes.counts

    @cached_property
    def order(self) -> NDArray[np.intp]:
        """Codewords from the most to the least used; those used alike by their number."""
        return np.argsort(-self.uses, kind="stable")

    def tiles_of(self, code: int) -> NDArray[np.intp]:
        """Tiles that a codeword describes."""
        return np.flatnonzero(self.code == code)


def codebook_of(model: Model) -> Codebook | None:
    """The codewords of a model as pictures, None where it has none.

    Those of tiles of the hit map are charges; those of clusters (``pictures`` of the first codebook
    that a model's ``usage`` gives) are weights, shown as shares of the charge of a cluster.
    """
    codec: Any = model.codec
    if not _has_tiles(model):
        used = _pictured(model, Digis.empty(model.detector, 1))
        if used is None:
            return None
        shares = 100 * used.pictures / np.nansum(used.pictures, axis=(1, 2), keepdims=True)
        return Codebook(shares.astype(np.float32), "share of the charge [%]", placed=False)
    having: Any = model
    book = having.codebook
    shape = len(book), codec.tile_rows, codec.tile_cols
    # kept as counts + 1, 0 where there is no hit
    pictures = np.where(book > 0, book.astype(np.float32) - 1, np.float32(np.nan))
    return Codebook(pictures.reshape(shape))


def _has_tiles(model: Any) -> bool:
    needed = ((model, "codebook"), (model, "tell"), (model.codec, "tile_rows"))
    return all(hasattr(one, name) for one, name in needed)


def _pictured(model: Any, digis: Digis) -> Any:
    """How the first codebook that has pictures is used, None where there is none."""
    books = model.usage(digis) if hasattr(model, "usage") else []
    return next((used for used in books if used.pictures is not None), None)


def usage_of(model: Model, digis: Digis) -> Usage:
    """Which codeword describes each tile of some events; the model must have a codebook."""
    having: Any = model
    if not _has_tiles(model):
        none = np.zeros(0, np.int64)
        return Usage(digis, none.astype(np.int32), none, none, none, none, _pictured(model, digis))
    tiles, code = having.tell(digis)
    frames, frame = digis.frames, tiles.frame
    return Usage(
        digis,
        code,
        frames.event[frame],
        frames.module[frame].astype(np.int64),
        tiles.row.astype(np.int64) * having.codec.tile_rows,
        tiles.col.astype(np.int64) * having.codec.tile_cols,
        CodeUsage("tiles", np.bincount(code, minlength=len(having.codebook)).astype(np.int64)),
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
