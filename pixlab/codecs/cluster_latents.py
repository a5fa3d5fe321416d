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
high, wide, tilt      only where the model draws clusters in boxes: rows and columns of the box,
                      and which way the cluster leans, 0 or 1; such a cluster has no pixels, and all
                      others, for which these are 0, are explicit
====================  =============================================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pixlab.clusters import cluster
from pixlab.codecs.boxes import Boxes
from pixlab.codecs.drawn import DrawnClusters, merge
from pixlab.codecs.gains import LARGEST
from pixlab.codecs.kept import KeptClusters
from pixlab.codecs.latents import event_of, reading, whole
from pixlab.codecs.subjects import Shapes, Subjects
from pixlab.digis import Digis
from pixlab.errors import FormatError, PixlabError

if TYPE_CHECKING:
    import awkward

    from pixlab.codecs.vqvae import VQVAEModel

__all__ = ["digis_of", "tokens_of"]

Array = NDArray[Any]
_BOX = ("high", "wide", "tilt")
_PIXEL = {"row": np.uint16, "col": np.uint16, "faint": np.bool_, "adc": np.uint16}


def token_names(stages: int) -> list[str]:
    """Names of the fields with tokens."""
    return ["token", *(f"token{s}" for s in range(1, stages))]


def tokens_of(model: VQVAEModel, digis: Digis) -> awkward.Array:
    """The discrete latents of `digis`, event by event; see the module's text."""
    import awkward as ak

    kept, drawn = model.tell(digis)
    if drawn is None:
        tokens = model.token_coder.tokens(kept.of.subjects, kept.shapes)
        event, found = _kept_clusters(model, kept, kept.explicit, tokens)
    else:
        # those that are kept beside drawn ones have no token
        none = np.full(len(kept.charge), -1)
        tokens = [none] * model.codec.stages
        parts = [_kept_clusters(model, kept, np.ones(len(none), bool), tokens)]
        parts.append(_drawn_clusters(model, drawn, len(digis)))
        event = np.concatenate([part[0] for part in parts])
        order = np.argsort(event, kind="stable")
        event, found = event[order], ak.concatenate([part[1] for part in parts])[order]
    return ak.unflatten(found, np.bincount(event, minlength=len(digis)))


def _kept_clusters(
    model: VQVAEModel, told: KeptClusters, explicit: Array, tokens: list[Array]
) -> tuple[Array, awkward.Array]:
    """Event and latents of clusters that are told with their pixels."""
    import awkward as ak

    clusters = told.of.clusters
    order = clusters.digis_of  # digis cluster by cluster
    d, label = clusters.digis, clusters.label[clusters.digis_of]
    pixels = ak.zip(
        {
            "row": (d.row[order] - clusters.min_row[label]).astype(np.uint16),
            "col": (d.col[order] - clusters.min_col[label]).astype(np.uint16),
            "faint": (told.adc < model.pale)[order] & ~explicit[label],
            "adc": np.where(explicit[label], told.adc[order], 0).astype(np.uint16),
        }
    )
    columns = _columns(
        model, clusters.module, clusters.min_row, clusters.min_col, tokens, told.logs, told.charge
    )
    columns |= {
        "explicit": explicit,
        "pixels": ak.unflatten(pixels, np.diff(clusters.digi_offsets)),
    }
    if model.codec.draws:
        sides = np.zeros(len(explicit), np.uint8)
        columns |= {name: sides for name in _BOX}
    return clusters.event, ak.zip(columns, depth_limit=1)


def _drawn_clusters(
    model: VQVAEModel, told: DrawnClusters, n_events: int
) -> tuple[Array, awkward.Array]:
    """Event and latents of clusters that are drawn."""
    import awkward as ak

    boxes, tilt = told.of.boxes, told.of.tilt
    subjects = model.subjects_of(boxes, tilt, n_events)
    tokens = model.token_coder.tokens(subjects, told.shapes)
    columns = _columns(model, boxes.module, boxes.row, boxes.col, tokens, told.logs, told.charge)
    none = ak.zip({k: np.zeros(0, t) for k, t in _PIXEL.items()})
    n = len(tilt)
    columns |= {"explicit": np.zeros(n, bool), "pixels": ak.unflatten(none, np.zeros(n, np.int64))}
    columns |= {
        k: c.astype(np.uint8) for k, c in zip(_BOX, (boxes.high, boxes.wide, tilt), strict=True)
    }
    return boxes.event, ak.zip(columns, depth_limit=1)


def _columns(
    model: VQVAEModel,
    module: Array,
    row: Array,
    col: Array,
    tokens: list[Array],
    logs: Array,
    charge: Array,
) -> dict[str, Any]:
    """What all records have."""
    module = module.astype(np.int64)
    return {
        "module": module.astype(np.uint32),
        "detid": model.detector.detid[module],
        "row": row.astype(np.uint16),
        "col": col.astype(np.uint16),
        **dict(zip(token_names(len(tokens)), (t.astype(np.int32) for t in tokens), strict=True)),
        "log_charge": logs.astype(np.int32),
        "charge": charge.astype(np.int32),
    }


def digis_of(model: VQVAEModel, tokens: awkward.Array) -> Digis:
    """The digis that latents mean: ``digis_of(model, tokens_of(model, d)) == model.quantize(d)``.

    Raises
    ------
    PixlabError
        If fields are missing, or latents contradict each other or the detector.
    """
    latents = _Latents(model, tokens)
    try:
        kept = latents.kept()
        return latents.with_drawn(kept) if model.codec.draws else kept
    except FormatError as error:
        raise PixlabError(error.cause) from error


class _Latents:
    """Latents as columns."""

    def __init__(self, model: VQVAEModel, tokens: awkward.Array) -> None:
        import awkward as ak

        self._model, self._n_events = model, len(tokens)
        names = ["detid", "row", "col", "log_charge", "charge", "explicit"]
        names += [*token_names(model.codec.stages), *(_BOX if model.codec.draws else ())]
        with reading(model.codec.key):
            flat = ak.flatten(tokens, axis=1)
            pixels = ak.flatten(flat.pixels)
            self._sizes = whole(ak.num(flat.pixels))
            self._of = {k: whole(flat[k]) for k in names} | {"event": event_of(tokens)}
            self._pixel = {k: whole(pixels[k]) for k in _PIXEL}
        if self._sizes.min(initial=1) < 1 and not model.codec.draws:
            raise PixlabError("a cluster of these latents has no pixel")
        charge = self._of["charge"]
        if charge.min(initial=0) < 0 or charge.max(initial=0) > LARGEST:
            raise PixlabError(f"a charge of these latents is outside 0 to {LARGEST:,}")

    def kept(self) -> Digis:
        """The digis of clusters that have pixels.

        Raises
        ------
        FormatError
            If a token is none of the codebook of its cluster, or a cluster cannot be painted.
        PixlabError
            If digis are outside or clusters touch.
        """
        model, of, pixel = self._model, self._of, self._pixel
        which = np.repeat(np.arange(len(self._sizes)), self._sizes)
        columns = (
            of["event"][which],
            of["detid"][which],
            of["row"][which] + pixel["row"],
            of["col"][which] + pixel["col"],
        )
        digis = Digis.from_arrays(
            *columns, pixel["adc"], detector=model.detector, n_events=self._n_events
        )
        # digis are sorted like this
        order = np.lexsort((columns[3], columns[2], columns[1], columns[0]))
        which, faint = which[order], pixel["faint"][order] > 0
        seen = model.kept.clusters_of(digis)
        clusters = seen.clusters
        owner = which[clusters.digis_of[clusters.digi_offsets[:-1]]]
        if len(owner) != np.count_nonzero(self._sizes) or (which != owner[clusters.label]).any():
            raise PixlabError("clusters of these latents touch each other, or are not connected")
        explicit = of["explicit"][owner] > 0
        offsets = np.zeros((len(owner), 2), np.int64)
        if not model.codec.draws:
            offsets = self._shapes(seen.subjects, owner).offsets
        elif not explicit.all():
            raise PixlabError("a cluster of these latents is neither drawn nor explicit")
        return model.kept.repaint(seen, of["charge"][owner], offsets, explicit, faint)

    def with_drawn(self, kept: Digis) -> Digis:
        """The digis of all clusters.

        Raises
        ------
        FormatError
            If a box does not fit, or a token is none of the codebook of its cluster.
        PixlabError
            If clusters touch.
        """
        model, which = self._model, np.flatnonzero(self._sizes == 0)
        of = {k: column[which] for k, column in self._of.items()}
        module = model.detector.index(of["detid"]).astype(np.int64)
        boxes = Boxes(of["event"], module, *(of[k] for k in ("row", "col", "high", "wide")))
        model.drawn.check(boxes)
        if ((of["tilt"] < 0) | (of["tilt"] > 1)).any():
            raise PixlabError("a tilt of these latents is neither 0 nor 1")
        subjects = model.subjects_of(boxes, of["tilt"], self._n_events)
        shapes = self._shapes(subjects, which)
        digis = merge(kept, boxes, *model.drawn.redraw(boxes, subjects, of["charge"], shapes))
        if len(cluster(digis, thresholds=False)) < len(self._sizes):
            raise PixlabError("clusters of these latents touch each other")
        return digis

    def _shapes(self, subjects: Subjects, which: Array) -> Shapes:
        """What the tokens of clusters mean."""
        said = [self._of[k][which] for k in token_names(self._model.codec.stages)]
        return self._model.token_coder.from_tokens(subjects, self._of["log_charge"][which], said)
