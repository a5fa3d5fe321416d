"""`ClusterVQ`: clusters as vectors: gain and shape quantised apart, as coarsely as physics allows.

::

    digis ──► clusters ──┬─ hits="exact" ──► KeptCoder  : hit map, charge, shape, faint pixels
                         └─ hits="drawn" ──► DrawnCoder : box, tilt, charge, shape

    shape: codebook_size=None ──► LatticeCoder : place of the barycentre
           codebook_size=N    ──► CodeCoder    : index of a learned picture
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import param
from numpy.typing import NDArray

from pixlab.clusters import Clusters, cluster
from pixlab.codecs.base import Chunk
from pixlab.codecs.codebook import CODEBOOK
from pixlab.codecs.drawn import DrawnClusters, DrawnCoder, drawable, merge
from pixlab.codecs.hitmaps import HitmapCodec, HitmapModel, to_digis, to_hits
from pixlab.codecs.kept import KeptClusters, KeptCoder
from pixlab.codecs.moments import TRIM, UNIT, beyond, pitch_of
from pixlab.codecs.shapes import ShapePlan
from pixlab.codecs.steps import LAYERS, StepSearch
from pixlab.codecs.usage import CodeUsage
from pixlab.coding.layout import make_layout, track_slopes
from pixlab.coding.values import ValueCoder
from pixlab.detectors import Detector
from pixlab.digis import Digis
from pixlab.errors import FormatError, PixlabError
from pixlab.premixing import faint_below
from pixlab.progress import Progress

__all__ = ["ClusterVQ", "ClusterVQModel", "Fitting"]

Array = NDArray[Any]

# rms errors that the tolerances of `pixlab.physics` allow: charge as a fraction, barycentre along
# rows and columns in um; and whether the hit map is kept
_TOLERANCES = {
    "transparent": ((0.05, 3.0, 7.0), "exact"),
    "analysis": ((0.10, 5.0, 12.0), "exact"),
    "loose": ((0.15, 10.0, 20.0), "drawn"),
}
_SPACING = 1.9  # spacings of a grid a rms error, about
_PICTURES = 1024  # that clusters are drawn from where their shape is no picture
# as many pixels, since what is cheap to tell is rather a picture with more of them: where a picture is
# told, and where it follows from the barycentre
_FEWER, _FOLLOWING = 0.99, 0.996
_TRIES = 10
# of the tolerance, since other events differ; a codebook suits the events that it is fitted on better
# than others, and errors change less smoothly with spacings
_RESERVE, _CODED_RESERVE = np.array([0.985, 0.985, 0.985]), np.array([0.985, 0.89, 0.89])
_OCCUPANCY = 0.01  # by which drawn pixels of a layer may be too many or too few, but for chance
# what distance of spectra of charge (Kolmogorov-Smirnov) leaves enough room on other events, and the part
# of the rms error of charges to go down to for it
_SPECTRUM, _FINEST = {"transparent": 0.008, "analysis": 0.02}, 0.8
_MEAN = 0.1  # of the rms error of charges, by which their mean may be off
_COUNTS = "adc"  # section and arrays of counts that are kept
_STRICT, _LENIENT = 20.0, 1.0
_ENOUGH = 400_000  # digis that spacings are searched on


class ClusterVQ(HitmapCodec):
    """Gain-shape vector quantisation of clusters."""

    key = "cluster-vq"
    searched = ("scale",)

    target: Any = param.Selector(
        default="transparent", objects=list(_TOLERANCES), doc="tolerances of physics to stay within"
    )
    scale = param.Number(
        default=1.0, bounds=(0.05, 20.0), doc="times the errors that the tolerance allows"
    )
    codebook_size = param.Integer(
        default=None,
        bounds=(2, 65536),
        allow_None=True,
        doc="number of pictures of clusters, of which each cluster gets one; by default shapes are "
        "told by the place of the barycentre, as finely as the tolerance asks",
    )
    hits: Any = param.Selector(
        default=None,
        objects=[None, "exact", "drawn"],
        doc="keep the hit map, or draw clusters in their boxes; by default drawn only for the "
        "loose tolerance, and with effort max only where that takes fewer bytes",
    )
    rate_weight = param.Number(
        default=0.5,
        bounds=(0.0, 4.0),
        doc="lambda: squared error, in squares of the spacing of the grid, that a bit may cost",
    )
    escape = param.Number(
        default=8.0,
        bounds=(0.5, 100.0),
        doc="times the rms error that the tolerance allows, beyond which a cluster is kept as it is",
    )
    seed = param.Integer(default=1, bounds=(0, None), doc="seed of the codebook's start")

    @property
    def plan(self) -> ShapePlan:
        """How shapes are told."""
        return ShapePlan(self.codebook_size is not None, None, self.seed)

    @property
    def kept_plan(self) -> ShapePlan:
        """How shapes of clusters with their pixels are told: beside drawn ones, they are odd."""
        return ShapePlan(False) if self.draws else self.plan

    @property
    def draws(self) -> bool:
        """Whether clusters are drawn in their boxes."""
        return (self.hits or _TOLERANCES[self.target][1]) == "drawn"

    @property
    def follows_tracks(self) -> bool:
        """Whether hit maps may be coded with tracks; clusters that are drawn have none."""
        return super().follows_tracks and not self.draws

    @property
    def allowed(self) -> NDArray[np.float64]:
        """What rms errors are aimed at: of charge, along rows and columns in um."""
        return self.scale * np.array(_TOLERANCES[self.target][0])

    @property
    def model_type(self) -> type[ClusterVQModel]:
        """What fitting gives."""
        return ClusterVQModel

    def fit(self, digis: Digis, *, progress: Progress | None = None) -> ClusterVQModel:
        """Choose spacings, learn contexts and, where it is needed, a codebook.

        Raises
        ------
        PixlabError
            If there is no digi to learn from.
        """
        if digis.n_digis == 0:
            raise PixlabError("there is no digi to learn from", "fit on other events")
        fitting = Fitting(self, digis, progress)
        model = fitting.run(progress)
        if fitting.missed and not self.draws:
            return fitting.exact()
        if self.draws and self.hits is None and self.effort == "max":
            # where tracks tell much of the hit map, to keep it may take less than to draw
            kept = type(self)(**self.knobs() | {"hits": "exact"}).fit(digis, progress=progress)
            return min(model, kept, key=lambda m: self.reuse * m.encode(digis).nbytes + m.nbytes)
        return model


class ClusterVQModel(HitmapModel):
    """A fitted `ClusterVQ`."""

    codec: ClusterVQ

    @property
    def needs(self) -> tuple[str, ...]:  # type: ignore[override]
        """Names of arrays that must be there."""
        if self.exact:
            return (*HitmapModel.needs, *ValueCoder.needs(_COUNTS))
        names = ["slopes", *KeptCoder.needs(self.codec.kept_plan)]
        if self.codec.draws:
            names += DrawnCoder.needs(self.codec.plan)
        elif self.codec.plan.coded:
            names += CODEBOOK
        return tuple(dict.fromkeys(names))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.exact:
            return
        steps, limits = self.arrays["steps"], self.arrays["limits"]
        good = (
            steps.shape == (LAYERS, 3)
            and limits.shape == (3,)
            and steps.dtype == limits.dtype == np.uint16
            and steps.all()
            and limits[0] <= limits[1] <= limits[2] <= self.detector.adc_max
        )
        if not good:
            raise FormatError("the spacings or limits of the model are damaged")

    @property
    def exact(self) -> bool:
        """Whether counts are kept: where they are few, clusters may leave no room for error."""
        return f"{_COUNTS}.reach" in self.arrays

    @property
    def keeps_flags(self) -> bool:
        """Drawn pixels are others."""
        return not self.codec.draws

    @cached_property
    def _counts(self) -> ValueCoder:
        return ValueCoder(_COUNTS, self.layout, self.arrays, self.detector.adc_max)

    @cached_property
    def _kept(self) -> KeptCoder:
        return KeptCoder(self.layout, self.detector, self.arrays, self.codec.kept_plan)

    @cached_property
    def _drawn(self) -> DrawnCoder:
        return DrawnCoder(self.layout, self.detector, self.arrays, self.codec.plan)

    def _tell(self, digis: Digis) -> tuple[KeptClusters, DrawnClusters | None]:
        """What is said of digis."""
        weight, most = self.codec.rate_weight, self._most
        if not self.codec.draws:
            return self._kept.tell(digis, rate_weight=weight, escape=most), None
        clusters = cluster(digis, thresholds=False)
        chosen = drawable(clusters)
        while True:  # clusters that are drawn badly are kept
            of = DrawnCoder.describe(clusters, chosen)
            drawn = self._drawn.tell(len(digis), of, rate_weight=weight)
            astray = beyond(self._drawn.moments(drawn), of.moments, most)
            if not astray.any():
                # event by event, so that no event depends on others
                layer = self.detector.layer[of.boxes.module]
                group = of.boxes.event * len(self.detector.layers) + layer
                # nothing that is drawn is faint: it is compared with the middle of what there is
                # before and after pre-mixing
                faint = np.bincount(clusters.label, digis.adc < self._kept.pale)
                hit = clusters.size[of.cluster] - faint[of.cluster] / 2
                astray = _too_many(group, np.diff(drawn.pixels.offsets), hit)
            if not astray.any():
                break
            chosen[of.cluster[astray]] = False
        rest = digis.select(mask=~chosen[clusters.label])
        return self._kept.tell(rest, rate_weight=weight, escape=most), drawn

    @cached_property
    def _most(self) -> NDArray[np.float64]:
        """Errors beyond which a cluster is kept as it is: float64[3], see `moments.beyond`."""
        return self.codec.escape * self.codec.allowed * [1.0, *(UNIT / pitch_of(self.detector))]

    def quantize(self, digis: Digis) -> Digis:
        """The digis that a decoder gives; flags are lost where pixels are drawn."""
        self.check(digis)
        if self.exact:
            return digis
        kept, drawn = self._tell(digis)
        base = kept.of.clusters.digis.with_adc(kept.adc)
        if drawn is None:
            return base
        return merge(base, drawn.of.boxes, drawn.pixels, drawn.adc, digis.event_id)

    def usage(self, digis: Digis) -> list[CodeUsage]:
        """How often each picture is chosen, and each code of later stages; all in the order of stages.

        Escaped are clusters that are kept, pixel by pixel or count by count.
        """
        self.check(digis)
        if self.exact or not (self.codec.plan.coded or self.codec.plan.tokens):
            return []
        kept, drawn = self._tell(digis)
        if drawn is None:
            return self._kept.usage(kept)
        return self._drawn.usage(drawn, escaped=len(kept.of.clusters))

    def _encode(self, digis: Digis) -> dict[str, bytes]:
        if self.exact:
            hits = to_hits(digis)
            sections = self.hitmap_coder.encode(len(digis), hits)
            return sections | {_COUNTS: self._counts.encode(hits, digis.adc)}
        kept, drawn = self._tell(digis)
        sections = self._kept.encode(kept)
        if drawn is not None:
            counts = [kept.of.clusters.digis.n_digis, len(drawn.charge)]
            sections["counts"] = np.array(counts, "<u4").tobytes()
            sections |= self._drawn.encode(len(digis), drawn)
        return sections

    def _decode(self, chunk: Chunk) -> Digis:
        if self.exact:
            hits = self.hitmap_coder.decode(chunk.n_events, chunk.n_digis, chunk.sections)
            adc = self._counts.decode(hits, chunk.sections[_COUNTS])
            return to_digis(self.detector, chunk.n_events, hits, adc)
        if not self.codec.draws:
            return self._kept.decode(chunk.n_events, chunk.n_digis, chunk.sections)
        counts = chunk.sections["counts"]
        if len(counts) != 8:
            raise FormatError("the numbers of kept digis and drawn clusters are damaged")
        n_kept, n_drawn = (int(v) for v in np.frombuffer(counts, "<u4"))
        if n_kept + n_drawn > chunk.n_digis:
            raise FormatError("there are more clusters than digis")
        base = self._kept.decode(chunk.n_events, n_kept, chunk.sections)
        return merge(base, *self._drawn.decode(chunk.n_events, n_drawn, chunk.sections))


class Fitting:
    """What `ClusterVQ.fit` does."""

    tries = _TRIES

    @property
    def reserve(self) -> NDArray[np.float64]:
        """What share of the tolerance to use."""
        return _CODED_RESERVE if self.codec.plan.coded else _RESERVE

    @property
    def pixels(self) -> float:
        """As many pixels as were hit are to be drawn times this."""
        return _FEWER if self.codec.plan.coded else _FOLLOWING

    def __init__(self, codec: ClusterVQ, digis: Digis, progress: Progress | None = None) -> None:
        self.codec, self.digis, detector = codec, digis, digis.detector
        slopes = track_slopes(detector)
        self.layout = make_layout(detector, slopes)
        floor, top = int(digis.adc.min()), int(digis.adc.max())
        pale = min(max(faint_below(detector), floor), top)
        limits = np.array([floor, pale, top], np.uint16)
        self.arrays: dict[str, Array] = {"slopes": slopes, "limits": limits}
        self.missed = False  # whether errors stayed larger than is allowed
        self._linear = _is_linear(detector)
        if not self._linear:
            self.arrays["trim"] = np.full(LAYERS, TRIM, np.uint16)
        self._hits = codec.learn_hits(self.layout, digis, progress)
        self.arrays |= self._hits
        clusters = cluster(digis, thresholds=False)
        self.arrays |= KeptCoder.learn_texture(clusters)
        if codec.draws or codec.plan.coded:
            of = DrawnCoder.describe(clusters, drawable(clusters))
            size = codec.codebook_size or _PICTURES
            pixels = 1.0
            if codec.draws:  # in the middle of what there is before and after pre-mixing
                faint = float((digis.adc < pale).mean())
                pixels = self.pixels - faint / 2
            self.arrays |= DrawnCoder.learn_pictures(
                of, detector, size, pixels=pixels, seed=codec.seed
            )
            if codec.draws:
                self.arrays |= DrawnCoder.learn_boxes(
                    self.layout, len(digis), of, reuse=codec.reuse
                )
        self.learning = {"rate_weight": codec.rate_weight, "reuse": codec.reuse}

    def run(self, progress: Progress | None) -> ClusterVQModel:
        codec = self.codec
        part = self.digis[: max(1, int(np.searchsorted(self.digis.offsets, _ENOUGH)))]
        aim = codec.allowed * self.reserve
        strictness = _LENIENT if codec.plan.coded else _STRICT
        search = StepSearch(self.first_steps(), aim, strictness=strictness)
        steps = search.steps
        for i in range(self.tries):
            trial = search.steps
            model = self._model(part, trial)
            errors, means, distances = self._errors(model, part)
            if i == 0 and (limit := _SPECTRUM.get(codec.target)):
                # steep edges of a spectrum blur with any error, and other events have more of it
                finer = np.ones_like(errors)
                finer[:, 0] = np.clip(limit * codec.scale / np.maximum(distances, 1e-9), _FINEST, 1)
                search.allow(aim * finer)
            # where counts are no linear scale, which try has the right mean is a matter of chance too
            bias = 0.0 if self._linear else float(np.abs(means).mean() / (_MEAN * codec.allowed[0]))
            best, done = search.judge(errors, bias=bias)
            if best:
                steps, chosen = trial, model
                self.missed = not self._linear and (
                    bool((errors > codec.allowed).any())
                    or float(np.abs(means).max()) > _MEAN * codec.allowed[0]
                )
            self.arrays |= model.arrays  # the next try begins where this one ended
            if not self._linear:
                self._trim(means)
                done &= not self.missed
            if progress:
                progress((i + 1) / (self.tries + 1), "spacings")
            if done:
                break
        return chosen if len(part) == len(self.digis) else self._model(self.digis, steps)

    def exact(self) -> ClusterVQModel:
        """A model that keeps counts."""
        codec, digis = self.codec, self.digis
        arrays = {"slopes": self.arrays["slopes"], **self._hits}
        arrays |= ValueCoder.learn(
            _COUNTS, self.layout, to_hits(digis), digis.adc, digis.detector.adc_max,
            reuse=codec.reuse,
        )  # fmt: skip
        return codec.model_type(codec, digis.detector, arrays)

    def _trim(self, means: Array) -> None:
        """Have charges told larger or smaller, such that their mean in electrons is kept."""
        layer = np.minimum(np.arange(len(means)), LAYERS - 1)
        both = np.array(
            [means[layer == k].mean() if (layer == k).any() else 0.0 for k in range(LAYERS)]
        )
        trim = self.arrays["trim"] / (1 + both)
        self.arrays["trim"] = np.clip(np.rint(trim), TRIM // 2, 2 * TRIM).astype(np.uint16)

    def _model(self, digis: Digis, steps: Array) -> ClusterVQModel:
        """A model with these spacings, that suits these digis."""
        codec, detector = self.codec, digis.detector
        arrays = self.arrays | {"steps": steps}
        if codec.draws:
            clusters = cluster(digis, thresholds=False)
            of = DrawnCoder.describe(clusters, drawable(clusters))
            arrays |= DrawnCoder.learn(
                self.layout, detector, len(digis), of, arrays, codec.plan, **self.learning
            )
        arrays |= KeptCoder.learn(self.layout, digis, arrays, codec.kept_plan, **self.learning)
        return codec.model_type(codec, detector, arrays)

    def first_steps(self) -> Array:
        """Spacings to begin with: float64[LAYERS, 3]."""
        pitch = pitch_of(self.digis.detector)
        first = np.empty((LAYERS, 3))
        first[:, 0] = _SPACING * np.log2(1 + self.codec.allowed[0]) * 4096
        first[:, 1:] = _SPACING * self.codec.allowed[1:] / pitch * UNIT * 16
        return first

    def _errors(self, model: ClusterVQModel, digis: Digis) -> tuple[Array, Array, Array]:
        """Errors of clusters: rms, mean charge, and distance of spectra of charge.

        The first, float64[LAYERS, 3], and the last, float64[LAYERS], are those of the worst layer where
        several share spacings; rms is NaN where there are no clusters. The second is float64[layers].
        """
        decoded = model.quantize(digis)
        before, after = cluster(digis), cluster(decoded)
        a, b = _same_corners(before, after)
        charged = before.charge[a] > 0
        a, b = a[charged], b[charged]
        moved = after.local[b] - before.local[a]
        errors = np.column_stack([after.charge[b] / before.charge[a] - 1, moved])
        layer = before.layer[a]
        found = np.full((LAYERS, 3), np.nan)
        means, distances = np.zeros(len(digis.detector.layers)), np.zeros(LAYERS)
        for k in range(len(means)):
            mine = layer == k
            if mine.any():
                shared = min(k, LAYERS - 1)
                found[shared] = np.fmax(found[shared], np.sqrt((errors[mine] ** 2).mean(axis=0)))
                was, now = before.charge[a][mine], after.charge[b][mine]
                means[k] = now.sum() / was.sum() - 1
                distances[shared] = max(distances[shared], _distance(was, now))
        return found, means, distances


def _distance(a: Array, b: Array) -> float:
    """Largest difference of two cumulative distributions."""
    a, b = np.sort(a), np.sort(b)
    at = np.concatenate([a, b])
    below = [np.searchsorted(x, at, side="right") / len(x) for x in (a, b)]
    return float(np.abs(below[0] - below[1]).max())


def _is_linear(detector: Detector) -> bool:
    """Whether counts are proportional to electrons, but for a constant."""
    steps = np.diff(detector.electrons_table.astype(np.float64), axis=1)
    return bool(np.allclose(steps, steps[:, :1], rtol=1e-3))


def _too_many(group: Array, drawn: Array, hit: Array) -> NDArray[np.bool_]:
    """Clusters without which the number of pixels of each group is about what it was: bool[n].

    ``drawn``, ``hit``: pixels of each cluster. Chance alone makes numbers differ by about half the root
    of the number of clusters.
    """
    excess = drawn - hit
    _, place, n = np.unique(group, return_inverse=True, return_counts=True)
    total, pixels = np.bincount(place, excess), np.bincount(place, hit)
    spare = np.abs(total) - _OCCUPANCY * pixels - np.sqrt(n) / 2
    chosen = np.zeros(len(group), bool)
    for k in np.flatnonzero(spare > 0):
        mine = np.flatnonzero(place == k)
        over = np.sign(total[k]) * excess[mine]
        # the clusters that are furthest off, as few as will do
        order = np.argsort(-over, kind="stable")
        chosen[mine[order[: int(np.searchsorted(np.cumsum(over[order]), spare[k])) + 1]]] = True
    return chosen


def _same_corners(before: Clusters, after: Clusters) -> tuple[Array, Array]:
    """Pairs of clusters with the same first corner in the same module, where there is one of each."""
    detector = before.digis.detector
    keys = []
    for c in (before, after):
        frame = c.event * len(detector) + c.module
        key = (frame * int(detector.rows.max()) + c.min_row) * int(detector.cols.max()) + c.min_col
        keys.append(np.unique(key, return_index=True, return_counts=True))
    (key_a, at_a, n_a), (key_b, at_b, n_b) = keys
    _, a, b = np.intersect1d(key_a, key_b, assume_unique=True, return_indices=True)
    single = (n_a[a] == 1) & (n_b[b] == 1)
    return at_a[a][single], at_b[b][single]
