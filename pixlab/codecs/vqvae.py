"""`VQVAE`: clusters whose shape is told by a token that a network learned to choose and to read.

::

    clusters ──┬─ hit map or boxes, charge, faint pixels     as in `ClusterVQ`
               └─ barycentre ──► token ──► codes, put in place by a network of the context

Fitting trains a vector-quantised variational autoencoder (`pixlab.networks.shapes`) and then
turns its decoder into integers. What is saved decodes without torch and without floats.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import param
from numpy.typing import NDArray

from pixlab.clusters import cluster
from pixlab.codecs.blocks import Blocks
from pixlab.codecs.boxes import Boxes
from pixlab.codecs.cluster_latents import digis_of, tokens_of
from pixlab.codecs.cluster_vq import ClusterVQ, ClusterVQModel, Fitting
from pixlab.codecs.code_classes import CodeClasses, cells_of, in_one_count
from pixlab.codecs.conditioner import BINS, bins_of, learn_edges
from pixlab.codecs.drawn import DrawnClusters, DrawnCoder, drawable
from pixlab.codecs.features import BOX_FEATURES, CLUSTER_FEATURES
from pixlab.codecs.kept import KeptClusters, KeptCoder
from pixlab.codecs.lattice import fill_in_gain
from pixlab.codecs.layers import ONE, to_integers
from pixlab.codecs.shapes import ShapePlan
from pixlab.codecs.subjects import Subjects
from pixlab.codecs.tokens import (
    KINDS,
    LEAST_AXIS,
    NETWORK,
    UNSAID,
    TokenCoder,
    class_name,
    part_name,
)
from pixlab.codecs.trained import Streamed, TrainedModel, Training
from pixlab.digis import Digis
from pixlab.progress import Progress

if TYPE_CHECKING:
    import awkward

    from pixlab.networks.shape_task import Examples

__all__ = ["VQVAE", "VQVAEModel"]

Array = NDArray[Any]

LOG_COLUMNS: tuple[str, ...] = (
    "epoch",
    "error",
    "bits",
    "commitment",
    "held_out_error",
    "held_out_bits",
)
LOG_COLUMNS += ("perplexity", "usage")
_UNIT = 4096  # of spacings, a pitch
_FINER = np.array([0.95, 0.87, 0.93])  # than those of a lattice, spacings have to be
_RESERVE = np.array([1.0, 0.95, 0.95])  # of the tolerance, for events that are not fitted on
_FEWEST, _LINE = 2, 16  # codes of a codebook


class VQVAE(Streamed["VQVAEModel"], ClusterVQ):
    """Vector quantisation of clusters with a learned encoder, codebook and decoder."""

    key = "vqvae"

    codebook_size = param.Integer(
        default=256,
        bounds=(6, 65536),
        doc="number of codes of each stage, of all kinds of clusters",
    )
    stages = param.Integer(
        default=1, bounds=(1, 4), doc="number of codebooks whose codes are added (residual VQ)"
    )
    quantizer: Any = param.Selector(
        default="vq",
        objects=["vq", "fsq"],
        doc="codes follow what they are chosen for, or stay on a grid (finite scalar quantisation)",
    )
    width = param.Integer(default=32, bounds=(4, 128))
    charge_error = param.Number(
        default=None,
        bounds=(0.005, 0.5),
        allow_None=True,
        doc="rms error of cluster charges to aim at, as a fraction; by default what the target allows",
    )
    hits: Any = param.Selector(
        default=None,
        objects=[None, "exact", "drawn"],
        doc="keep the hit map, or draw clusters in their boxes; by default drawn only for the loose "
        "tolerance without effort max",
    )

    @property
    def plan(self) -> ShapePlan:
        """How shapes are told."""
        return ShapePlan(False, None, self.seed, self.stages)

    @property
    def draws(self) -> bool:
        """Whether clusters are drawn in their boxes; training for both ways is not worth it."""
        return super().draws and (self.hits == "drawn" or self.effort != "max")

    @property
    def allowed(self) -> NDArray[np.float64]:
        """Rms errors to aim at: of charge, along rows and columns in um."""
        allowed = super().allowed
        return allowed if self.charge_error is None else np.array([self.charge_error, *allowed[1:]])

    @property
    def where(self) -> tuple[str, int]:
        """Name of the sections with tokens, and number of features of their clusters."""
        return ("drawn", BOX_FEATURES) if self.draws else ("code", CLUSTER_FEATURES)

    @property
    def model_type(self) -> type[ClusterVQModel]:
        """What fitting gives."""
        return VQVAEModel

    def learn(self, first: Digis, blocks: Iterable[Digis], how: Training) -> VQVAEModel:
        """Train the network, then choose spacings and learn contexts."""
        fitting = _Fitting(self, first)
        training = _Training(self, fitting, blocks)
        fitting.codes_a_cluster = training.codes_a_cluster
        part = how._replace(progress=_share(how.progress, 0.0, 0.7))
        fitting.arrays |= training.run(part)
        fitted = fitting.run(_share(how.progress, 0.7, 1.0))
        assert isinstance(fitted, VQVAEModel)
        return fitted


class VQVAEModel(TrainedModel, ClusterVQModel):
    """A fitted `VQVAE`."""

    codec: VQVAE

    log_columns = LOG_COLUMNS

    def tokens(self, digis: Digis) -> awkward.Array:
        """The discrete latents of `digis`: an awkward array [event][cluster], see `cluster_latents`.

        ``model.from_tokens(model.tokens(digis)) == model.quantize(digis)``; as parquet with
        `latents.write_tokens`.

        Raises
        ------
        PixlabError
            If the digis are of another detector.
        """
        self.check(digis)
        return tokens_of(self, digis)

    def from_tokens(self, tokens: awkward.Array) -> Digis:
        """The digis that latents mean, which `tokens` or a generative model made.

        Raises
        ------
        PixlabError
            If latents contradict each other or the detector.
        """
        return digis_of(self, tokens)

    def export_onnx(self, folder: str | os.PathLike[str]) -> tuple[Path, Path]:
        """Write ``encoder.onnx`` and ``decoder.onnx``, see `pixlab.networks.shape_graphs`.

        Raises
        ------
        PixlabError
            If the package ``onnx`` is not installed, or the files cannot be written.
        """
        from pixlab.networks.graphs import write
        from pixlab.networks.shape_graphs import Tables, decoder, encoder

        coder = self.token_coder
        network = coder.network
        of_cell, of_code = in_one_count(coder.classes)
        tables = Tables(network.bins, network.weights, coder.books, of_cell, of_code, LEAST_AXIS)
        return write(Path(folder), tables, encoder, decoder)

    def tell(self, digis: Digis) -> tuple[KeptClusters, DrawnClusters | None]:
        """What is said of the clusters of digis, those with their pixels and those that are drawn."""
        return self._tell(digis)

    @property
    def kept(self) -> KeptCoder:
        """The way to code clusters with their pixels."""
        return self._kept

    @property
    def drawn(self) -> DrawnCoder:
        """The way to code clusters that are drawn."""
        return self._drawn

    def subjects_of(self, boxes: Boxes, tilt: Array, n_events: int) -> Subjects:
        """Boxes of drawn clusters as the coder of tokens sees them."""
        return DrawnCoder.subjects(self.layout, self.detector, n_events, boxes, tilt, self.arrays)

    @property
    def pale(self) -> int:
        """Counts below are faint."""
        return self._kept.pale

    @cached_property
    def token_coder(self) -> TokenCoder:
        """The way to tell shapes."""
        name, n_features = self.codec.where
        return TokenCoder(name, self.arrays, n_features, self.codec.stages)


class _Fitting(Fitting):
    """What follows the training: a search that begins near where it ends with tokens."""

    pixels = 0.999  # barycentres that are told as tokens draw fewer
    tries = 16  # which tokens are cheap changes from try to try, for a while
    codes_a_cluster = 0.0  # of those that were trained on

    @property
    def reserve(self) -> NDArray[np.float64]:
        """What share of the tolerance to use: codes suit the clusters that they follow a little too well."""
        return _RESERVE / (1 + self.codes_a_cluster * np.array([0, 1, 1]))

    def first_steps(self) -> Array:
        """Spacings to begin with."""
        return super().first_steps() * _FINER


class _Training:
    """What `VQVAE.fit` does with torch."""

    def __init__(self, codec: VQVAE, fitting: Fitting, blocks: Iterable[Digis]) -> None:
        self._codec, self._fitting = codec, fitting
        self._arrays = fitting.arrays | {"steps": fitting.first_steps()}
        features, moments, kind, cells = self._describe(fitting.digis)[:4]
        self._edges = learn_edges(features)
        self._bins = bins_of(self._edges)
        self._classes = _allot(moments, kind, cells, codec.codebook_size)
        self.codes_a_cluster = codec.codebook_size / max(len(kind), 1)
        # first codebook of each kind: one a class
        self._first = np.cumsum([0, *(len(c.begin) - 1 for c in self._classes)])
        self.blocks = Blocks(blocks, self.examples)

    def _describe(self, digis: Digis) -> tuple[Array, Array, Array, Array, Array, Array]:
        """Features, moments, kinds, cells, canvases and weights of the clusters that have a shape."""
        layout = self._fitting.layout
        if self._codec.draws:
            clusters = cluster(digis, thresholds=False)
            told = DrawnCoder.describe(clusters, drawable(clusters))
            subjects = DrawnCoder.subjects(
                layout, digis.detector, len(digis), told.boxes, told.tilt, self._arrays
            )
            moments, canvases = told.moments, told.canvases
        else:
            of, moments, canvases = KeptCoder.describe(layout, digis, self._arrays)
            subjects = of.subjects
        fill_in_gain(subjects, np.rint(4096 * np.log2(np.maximum(moments[:, 0], 1))).astype(int))
        own = np.flatnonzero((subjects.free > 0) & (moments[:, 0] > 0))
        free = subjects.free[own, None] & np.array([1, 2]) > 0
        weight = np.where(free, _UNIT / subjects.steps[own, 1:], 0.0)
        features = np.ascontiguousarray(subjects.features[own, :-UNSAID])
        kind = np.searchsorted(KINDS, subjects.free[own])
        return features, moments[own], kind, cells_of(subjects)[own], canvases[own], weight

    def examples(self, digis: Digis) -> Examples:
        """Clusters as the networks see them."""
        from pixlab.networks.shape_task import Examples

        features, moments, kind, cells, canvases, weight = self._describe(digis)
        own_class = np.array([classes.of_cell for classes in self._classes])[kind, cells]
        rows = np.stack([b[f] for b, f in zip(self._bins, features.T, strict=True)], axis=1)
        windows = np.rint(np.clip(canvases, 0, 1) * 255).astype(np.uint8).reshape(-1, 2, 4, 8)
        return Examples(
            rows.astype(np.int32),
            windows,
            moments[:, 0],
            (moments[:, 1:] / ONE).astype(np.float32),
            weight.astype(np.float32),
            self._first[kind] + own_class,
        )

    def run(self, how: Training) -> dict[str, Array]:
        """Train, and give the arrays of a model."""
        from pixlab.networks.shape_task import ShapeTask
        from pixlab.networks.shapes import ShapeNetwork
        from pixlab.networks.training import device_of, one_thread, seeded

        codec = self._codec
        sizes = np.concatenate([np.diff(c.begin) for c in self._classes]).tolist()
        with seeded(codec.seed):
            network = ShapeNetwork(
                self._edges.shape[0] * BINS,
                np.repeat(np.arange(len(KINDS)), np.diff(self._first)).tolist(),
                sizes,
                codec.stages,
                codec.width,
                fixed=codec.quantizer == "fsq",
            )
        with one_thread():
            task = ShapeTask(
                network,
                self.blocks,
                rate_weight=codec.rate_weight,
                epochs=codec.epochs,
                seed=codec.seed,
                device=device_of(how.device),
            )
            log = codec.train(task, [self.blocks.fingerprint, sizes], LOG_COLUMNS, how)
        found: dict[str, Array] = {f"{NETWORK}.edges": self._edges}
        for name, value in network.weights().items():
            found[f"{NETWORK}.{name}"] = to_integers(value.detach().cpu().numpy())
        for i, kind in enumerate(KINDS):
            found |= self._classes[i].arrays(class_name(codec.where[0], kind))
            for s in range(codec.stages):
                books = [network.book(s, j) for j in range(*self._first[i : i + 2])]
                parts = [_book(book.codes.cpu().numpy(), kind) for book in books]
                found[f"{part_name(codec.where[0], s, kind)}.book"] = np.concatenate(parts)
        return found | log


def _allot(moments: Array, kind: Array, cells: Array, size: int) -> list[CodeClasses]:
    """Classes of each kind of clusters, whose codes are as many as give the least total error.

    On a line errors fall with the square of the number of codes, in a plane with their number.
    """
    counts = np.bincount(kind, minlength=len(KINDS)).astype(float)
    spread = [
        moments[kind == i, 1:].std() / ONE if counts[i] > 1 else 0.0 for i in range(len(KINDS))
    ]
    weights = (counts * np.square(spread)) ** np.array([1 / 3, 1 / 3, 1 / 2])
    if not weights.any():
        weights = np.ones(len(KINDS))
    sizes = np.maximum(np.floor(weights / weights.sum() * size), _FEWEST).astype(int)
    # a few codes are enough on a line, and more are worth less than in a plane
    sizes = np.maximum(np.minimum(sizes, _LINE), sizes // 2)
    sizes[-1] = max(size - sizes[0] - sizes[1], _FEWEST)
    found = []
    for i, n in enumerate(sizes):
        own = kind == i
        far = np.square(moments[own, 1:] / ONE).sum(axis=1)
        found.append(CodeClasses.learn(cells[own], far, int(n), 2 if i == len(KINDS) - 1 else 1))
    return found


def _book(codes: Array, kind: int) -> NDArray[np.int16]:
    """Codes as a decoder has them, sorted so that neighbours are alike."""
    both = np.zeros((len(codes), 2))
    both[:, {1: [0], 2: [1], 3: [0, 1]}[kind]] = codes
    strips = max(int(np.sqrt(len(codes))), 1) if kind == 3 else 1
    strip = np.argsort(np.argsort(both[:, 0], kind="stable")) * strips // len(codes)
    order = np.lexsort((both[:, 1], strip)) if kind != 1 else np.argsort(both[:, 0], kind="stable")
    return to_integers(both[order])


def _share(progress: Progress | None, begin: float, end: float) -> Progress | None:
    """The same progress for a part of the work."""
    if progress is None:
        return None
    return lambda done, what: progress(begin + (end - begin) * done, what)
