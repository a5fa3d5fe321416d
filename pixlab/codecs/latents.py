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

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pixlab.codecs.gains import LARGEST
from pixlab.digis import Digis
from pixlab.errors import FormatError, PixlabError

if TYPE_CHECKING:
    import awkward

    from pixlab.codecs.vqvae import VQVAEModel

__all__ = ["digis_of", "read_tokens", "tokens_of", "write_tokens"]

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

    try:
        flat = ak.flatten(tokens, axis=1)
        sizes = _whole(ak.num(flat.pixels))
        pixels = ak.flatten(flat.pixels)
        column = {
            k: _whole(flat[k]) for k in ("detid", "row", "col", "log_charge", "charge", "explicit")
        }
        said = [_whole(flat[k]) for k in token_names(model.codec.stages)]
        row, col, adc = (_whole(pixels[k]) for k in ("row", "col", "adc"))
        faint = _whole(pixels["faint"]) > 0
        n_events = len(tokens)
        event = np.repeat(np.arange(n_events), ak.to_numpy(ak.num(tokens, axis=1)))
    except (ak.errors.FieldNotFoundError, ValueError, TypeError, AttributeError) as error:
        raise PixlabError(
            f"these are no latents of codec '{model.codec.key}': {str(error).splitlines()[0]}",
            "model.tokens makes them",
        ) from error
    if sizes.min(initial=1) < 1:
        raise PixlabError("a cluster of these latents has no pixel")
    which = np.repeat(np.arange(len(sizes)), sizes)
    columns = (
        event[which],
        column["detid"][which],
        column["row"][which] + row,
        column["col"][which] + col,
    )
    digis = Digis.from_arrays(*columns, adc, detector=model.detector, n_events=n_events)
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


def _whole(column: Any) -> NDArray[np.int64]:
    """A column without gaps: int64[n].

    Raises
    ------
    TypeError
        If it has other things than whole numbers or yes and no.
    """
    import awkward as ak

    values = ak.to_numpy(column)
    if values.dtype.kind not in "iub" or np.ma.is_masked(values):
        raise TypeError("a field that should hold whole numbers has others, or gaps")
    return np.asarray(values).astype(np.int64)


def write_tokens(tokens: awkward.Array, path: str | os.PathLike[str]) -> None:
    """Write latents as parquet, under a temporary name first; `read_tokens` reads them.

    Raises
    ------
    PixlabError
        If the file cannot be written.
    """
    import awkward as ak

    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        ak.to_parquet(tokens, temporary)
        os.replace(temporary, path)
    except OSError as error:
        raise PixlabError(f"cannot write {path}: {error.strerror}") from error
    finally:
        temporary.unlink(missing_ok=True)


def read_tokens(path: str | os.PathLike[str]) -> awkward.Array:
    """Read what `write_tokens` wrote.

    Raises
    ------
    PixlabError
        If the file cannot be read.
    """
    import awkward as ak
    from pyarrow import ArrowException

    try:
        return ak.from_parquet(path)
    except (OSError, ArrowException, ValueError) as error:
        raise PixlabError(
            f"cannot read latents from {path}: {str(error).splitlines()[0]}", "check the path"
        ) from error
