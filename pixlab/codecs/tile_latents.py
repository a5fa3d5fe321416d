"""The discrete latents of `PatchVQ` and `PatchVQVAE` as awkward arrays: images of tokens to sample.

::

    digis ──► tokens_of ──► [event][tile] {module, row, col, token} ──► digis_of ──► model.quantize(digis)

There is a record for each tile that is hit, and it is all that a decoder needs:

========  ==================================================================================
module    index of the module in the detector
row, col  place of the tile in the module, in tiles: its first pixel is at row * tile_rows,
          col * tile_cols
token     index of the tile's codeword, a row of ``model.codebook``
========  ==================================================================================

Every tile has a token. Where a codeword has no pixel inside the module, at its edge, the first
pixel of the tile is hit (docs/format.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pixlab.codecs.latents import event_of, reading, whole
from pixlab.digis import Digis
from pixlab.errors import PixlabError

if TYPE_CHECKING:
    import awkward

    from pixlab.codecs.patch_vq import PatchVQModel

__all__ = ["digis_of", "tokens_of"]

Array = NDArray[Any]


def tokens_of(model: PatchVQModel, digis: Digis) -> awkward.Array:
    """The discrete latents of `digis`, event by event; see the module's text."""
    import awkward as ak

    tiles, codes = model.tell(digis)
    frames, frame = digis.frames, tiles.frame
    columns = {
        "module": frames.module[frame].astype(np.uint32),
        "row": tiles.row.astype(np.uint16),
        "col": tiles.col.astype(np.uint16),
        "token": codes.astype(np.int32),
    }
    return ak.unflatten(ak.zip(columns), np.bincount(frames.event[frame], minlength=len(digis)))


def digis_of(model: PatchVQModel, tokens: awkward.Array) -> Digis:
    """The digis that latents mean: ``digis_of(model, tokens_of(model, d)) == model.quantize(d)``.

    Raises
    ------
    PixlabError
        If fields are missing, a tile is outside the detector or comes twice, or a token is not of
        the codebook.
    """
    import awkward as ak

    with reading(model.codec.key):
        event = event_of(tokens)
        flat = ak.flatten(tokens, axis=1)
        module, row, col, token = (whole(flat[k]) for k in ("module", "row", "col", "token"))

    def refuse(bad: Array, why: str) -> None:
        if bad.any():
            i = int(np.argmax(bad))
            tile = f"tile ({row[i]}, {col[i]}) of module {module[i]} in event {event[i]}"
            raise PixlabError(f"{tile}, token {token[i]}: {why}")

    detector, size = model.detector, len(model.codebook)
    n_modules = len(detector.detid)
    refuse((module < 0) | (module >= n_modules), f"the detector has {n_modules:,} modules")
    high, wide = (
        (pixels[module].astype(np.int64) + step - 1) // step  # part of a tile is one, too
        for pixels, step in zip((detector.rows, detector.cols), model.tile, strict=True)
    )
    outside = (row < 0) | (row >= high) | (col < 0) | (col >= wide)
    refuse(outside, "it is outside the module")
    refuse((token < 0) | (token >= size), f"the codebook has {size:,} codes")
    order = np.lexsort((col, row, module, event))
    place = np.stack((event, module, row, col))[:, order]
    again = np.zeros(len(order), bool)
    again[order[1:]] = (place[:, 1:] == place[:, :-1]).all(axis=0)
    refuse(again, "it comes twice")
    return model.paint(len(tokens), event, module, row, col, token)
