"""The discrete latents of a `VQVAE` as awkward arrays: what a generative model samples.

::

    digis ──► tokens_of ──► [event][cluster] {module, …, token} ──► digis_of ──► model.quantize(digis)

A record has all that a decoder needs of a cluster, so that nothing else has to be kept:

====================  =============================================================================
module                index of the module in the detector
detid                 its raw id
row, col              first corner of the box around the cluster
token                 of the first codebook, -1 where there is no shape to tell (a single pixel)
token1, token2, …     of further stages, where there are any
log_charge, charge    charge as the gain's grid has it, 1/4096 octave, and what it means, counts
explicit              the cluster is not painted: its pixels have their counts
pixels                records of row and col, from the corner on; faint (below pre-mixing's
                      threshold); adc, 0 unless explicit
====================  =============================================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pixlab.codecs.gains import LARGEST
from pixlab.codecs.latents import event_of, reading, whole
from pixlab.digis import Digis
from pixlab.errors import FormatError, PixlabError

if TYPE_CHECKING:
    import awkward

    from pixlab.codecs.vqvae import VQVAEModel

__all__ = ["digis_of", "tokens_of"]

Array = NDArray[Any]


def token_names(stages: int) -> list[str]:
    """Names of the fields with tokens."""
    return ["token", *(f"token{s}" for s in range(1, stages))]


def tokens_of(model: VQVAEModel, digis: Digis) -> awkward.Array:
    """The discrete latents of `digis`, event by event; see the module's text."""
    import awkward as ak

    told = model.tell(digis)
    clusters = told.of.clusters
    order = clusters.digis_of  # digis cluster by cluster
    d, label = clusters.digis, clusters.label[clusters.digis_of]
    pixels = ak.zip(
        {
            "row": (d.row[order] - clusters.min_row[label]).astype(np.uint16),
            "col": (d.col[order] - clusters.min_col[label]).astype(np.uint16),
            "faint": (told.adc < model.pale)[order] & ~told.explicit[label],
            "adc": np.where(told.explicit[label], told.adc[order], 0).astype(np.uint16),
        }
    )
    tokens = model.token_coder.tokens(told.of.subjects, told.shapes)
    module = clusters.module.astype(np.int64)
    columns: dict[str, Any] = {
        "module": module.astype(np.uint32),
        "detid": d.detector.detid[module],
        "row": clusters.min_row.astype(np.uint16),
        "col": clusters.min_col.astype(np.uint16),
        **dict(zip(token_names(len(tokens)), (t.astype(np.int32) for t in tokens), strict=True)),
        "log_charge": told.logs.astype(np.int32),
        "charge": told.charge.astype(np.int32),
        "explicit": told.explicit,
        "pixels": ak.unflatten(pixels, np.diff(clusters.digi_offsets)),
    }
    found = ak.zip(columns, depth_limit=1)
    return ak.unflatten(found, np.bincount(clusters.event, minlength=len(digis)))


def digis_of(model: VQVAEModel, tokens: awkward.Array) -> Digis:
    """The digis that latents mean: ``digis_of(model, tokens_of(model, d)) == model.quantize(d)``.

    Raises
    ------
    PixlabError
        If fields are missing, or latents contradict each other or the detector.
    """
    import awkward as ak

    with reading(model.codec.key):
        event = event_of(tokens)
        flat = ak.flatten(tokens, axis=1)
        sizes = whole(ak.num(flat.pixels))
        pixels = ak.flatten(flat.pixels)
        column = {
            k: whole(flat[k]) for k in ("detid", "row", "col", "log_charge", "charge", "explicit")
        }
        said = [whole(flat[k]) for k in token_names(model.codec.stages)]
        row, col, adc = (whole(pixels[k]) for k in ("row", "col", "adc"))
        faint = whole(pixels["faint"]) > 0
    if sizes.min(initial=1) < 1:
        raise PixlabError("a cluster of these latents has no pixel")
    which = np.repeat(np.arange(len(sizes)), sizes)
    columns = (
        event[which],
        column["detid"][which],
        column["row"][which] + row,
        column["col"][which] + col,
    )
    digis = Digis.from_arrays(*columns, adc, detector=model.detector, n_events=len(tokens))
    # digis are sorted like this
    order = np.lexsort((columns[3], columns[2], columns[1], columns[0]))
    which, faint = which[order], faint[order]
    of = model.kept.clusters_of(digis)
    clusters = of.clusters
    owner = which[clusters.digis_of[clusters.digi_offsets[:-1]]]
    if len(owner) != len(sizes) or (which != owner[clusters.label]).any():
        raise PixlabError("clusters of these latents touch each other, or are not connected")
    charge, logs = column["charge"][owner], column["log_charge"][owner]
    explicit = column["explicit"][owner] > 0
    if charge.min(initial=0) < 0 or charge.max(initial=0) > LARGEST:
        raise PixlabError(f"a charge of these latents is outside 0 to {LARGEST:,}")
    try:
        shapes = model.token_coder.from_tokens(of.subjects, logs, [t[owner] for t in said])
        return model.kept.repaint(of, charge, shapes.offsets, explicit, faint)
    except FormatError as error:
        raise PixlabError(error.cause) from error
