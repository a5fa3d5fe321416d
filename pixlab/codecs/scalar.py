"""`ScalarQuantizer`: the hit map exactly, and each adc count as one of a few levels.

::

    hit map ─────────────────────────► positions, shapes          (exact)
    adc ── nearest level ── moments ──► levels, coded like counts

With `moments`, levels are then moved by one step at a time, in each cluster, as long as that brings
its total charge and barycentre nearer to the original: the same rate, and errors that cancel. No
count crosses the threshold below which pre-mixing drops pixels.
With `max_error` or `max_error_electrons`, every count is kept to within so much, and nothing is moved.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import param
from numpy.typing import NDArray

from pixlab.codecs.base import Chunk
from pixlab.codecs.hitmaps import HitmapCodec, HitmapModel, to_digis, to_hits
from pixlab.codecs.levelling import keep_moments, nearest_levels
from pixlab.coding.hits import Hits
from pixlab.coding.layout import Layout, make_layout, track_slopes
from pixlab.coding.values import ValueCoder
from pixlab.detectors import Detector
from pixlab.digis import Digis
from pixlab.errors import FormatError, PixlabError
from pixlab.premixing import faint_below
from pixlab.progress import Progress

__all__ = ["ScalarModel", "ScalarQuantizer"]

Array = NDArray[Any]


class ScalarQuantizer(HitmapCodec):
    """Counts in a few levels on an exact hit map."""

    key = "scalar"
    searched = ("levels",)

    levels = param.Integer(default=10, bounds=(2, 256), doc="number of levels of the adc count")
    spacing: Any = param.Selector(
        default="log",
        objects=["log", "uniform", "lloyd-max", "noise"],
        doc="how levels are spread: alike in ratio, alike in width, where counts are, or as far apart "
        "as readout blurs the charge",
    )
    moments = param.Boolean(
        default=True, doc="move levels so that charge and barycentre of clusters are kept"
    )
    max_error = param.Integer(
        default=None,
        bounds=(0, 127),
        allow_None=True,
        doc="largest error of any count; sets the levels, and nothing is moved",
    )
    max_error_electrons = param.Number(
        default=None,
        bounds=(0.0, None),
        allow_None=True,
        doc="largest error of the charge of any pixel, electrons; likewise",
    )

    @property
    def bounded(self) -> bool:
        """Whether errors are bounded."""
        return self.max_error is not None or self.max_error_electrons is not None

    def fit(self, digis: Digis, *, progress: Progress | None = None) -> ScalarModel:
        """Place the levels; each is read back as the mean of its counts.

        Raises
        ------
        PixlabError
            If there is no digi to learn from.
        """
        if digis.n_digis == 0:
            raise PixlabError("there is no digi to learn levels from", "fit on other events")
        top = digis.detector.adc_max
        counts = np.bincount(digis.adc, minlength=top + 1)
        if self.bounded:
            edges, values = self._bounded_levels(digis.detector)
        else:
            edges = self._edges(counts, digis.detector)
            values = _means(counts, edges)
        slopes, hits = track_slopes(digis.detector), to_hits(digis)
        layout = make_layout(digis.detector, slopes)
        arrays = {
            "slopes": slopes,
            "edges": edges.astype(np.uint16),
            "values": values.astype(np.uint16),
        }
        arrays |= self.learn_hits(layout, digis, progress)
        levels = assign_levels(self, layout, hits, digis, arrays["edges"], arrays["values"])
        arrays |= ValueCoder.learn(
            "levels", layout, hits, levels, len(values) - 1, reuse=self.reuse
        )
        return ScalarModel(self, digis.detector, arrays)

    def _bounded_levels(self, detector: Detector) -> tuple[Array, Array]:
        """First counts of all levels but the lowest, and what each level is read back as.

        Each level is as wide as the bounds allow, in every module.
        """
        counts = np.arange(detector.adc_max + 1)
        # how far up a level may reach from a count that it is read back as, and the other way round
        farthest = np.full(len(counts), len(counts) - 1)
        if self.max_error is not None:
            farthest = np.minimum(farthest, counts + self.max_error)
        if self.max_error_electrons is not None:
            for table in detector.electrons_table.astype(np.float64):
                rising = np.maximum.accumulate(table)
                # of a table that falls somewhere, nothing is said but that equal counts are equal
                most = rising + self.max_error_electrons if (table == rising).all() else rising
                reach = np.searchsorted(rising, most, side="right") - 1
                farthest = np.minimum(farthest, reach if (table == rising).all() else counts)
        edges, values = [], []
        first = 0
        while first < len(counts):
            value = farthest[first]
            values.append(value)
            first = farthest[value] + 1
            edges.append(first)
        return np.array(edges[:-1], np.int64), np.array(values)

    def _edges(self, counts: Array, detector: Detector) -> Array:
        """First count of each level but the lowest, rising: int64[levels - 1]."""
        top = len(counts) - 1
        seen = np.flatnonzero(counts)
        low, high = int(seen[0]), int(seen[-1])
        if self.spacing == "lloyd-max":
            from sklearn.cluster import KMeans

            k = min(self.levels, len(seen))
            start = np.quantile(np.repeat(seen, counts[seen]), (np.arange(k) + 0.5) / k)
            start = np.unique(start)[:, None]
            means = KMeans(len(start), init=start, n_init=1, random_state=0).fit(
                seen[:, None].astype(float), sample_weight=counts[seen]
            )
            centres = np.sort(means.cluster_centers_[:, 0])
            edges = np.ceil((centres[1:] + centres[:-1]) / 2)
        elif self.spacing == "noise":
            fine = _noise_scale(detector)
            wanted = np.linspace(fine[low], fine[high + 1], self.levels + 1)[1:-1]
            edges = np.interp(wanted, fine, np.arange(len(fine)))
        elif self.spacing == "log":
            edges = np.geomspace(max(low, 1), high + 1, self.levels + 1)[1:-1]
        else:
            edges = np.linspace(low, high + 1, self.levels + 1)[1:-1]
        edges = np.unique(np.clip(np.rint(edges), low + 1, top)).astype(np.int64)
        faint = faint_below(detector)
        if low < faint <= high:
            nearest = np.abs(edges - faint).argmin()
            if abs(edges[nearest] - faint) <= faint // 2:
                edges[nearest] = faint
        return edges


class ScalarModel(HitmapModel):
    """A fitted `ScalarQuantizer`: ``edges`` and ``values`` of its levels, in counts."""

    codec: ScalarQuantizer

    needs = (*HitmapModel.needs, "edges", "values", *ValueCoder.needs("levels"))

    def __post_init__(self) -> None:
        super().__post_init__()
        edges, values = self.arrays["edges"], self.arrays["values"]
        good = (
            edges.ndim == values.ndim == 1
            and edges.dtype == values.dtype == np.uint16
            and len(values) == len(edges) + 1 <= 65536
            and (np.diff(edges.astype(int)) > 0).all()
            and values.max() <= self.detector.adc_max
        )
        if not good:
            raise FormatError("the levels of the model are damaged")

    @cached_property
    def _level_coder(self) -> ValueCoder:
        return ValueCoder("levels", self.layout, self.arrays, len(self.arrays["values"]) - 1)

    def quantize(self, digis: Digis) -> Digis:
        """The same pixels, with the count of each one's level."""
        self.check(digis)
        return digis.with_adc(self.arrays["values"][self._levels(digis, to_hits(digis))])

    def _levels(self, digis: Digis, hits: Hits) -> NDArray[np.uint16]:
        edges, values = self.arrays["edges"], self.arrays["values"]
        return assign_levels(self.codec, self.layout, hits, digis, edges, values)

    def _encode(self, digis: Digis) -> dict[str, bytes]:
        hits = to_hits(digis)
        sections = self.hitmap_coder.encode(len(digis), hits)
        return sections | {"levels": self._level_coder.encode(hits, self._levels(digis, hits))}

    def _decode(self, chunk: Chunk) -> Digis:
        hits = self.hitmap_coder.decode(chunk.n_events, chunk.n_digis, chunk.sections)
        level = self._level_coder.decode(hits, chunk.sections["levels"])
        return to_digis(self.detector, chunk.n_events, hits, self.arrays["values"][level])


def assign_levels(
    codec: ScalarQuantizer, layout: Layout, hits: Hits, digis: Digis, edges: Array, values: Array
) -> NDArray[np.uint16]:
    """The level of each digi: the nearest one, or a neighbour that serves its cluster better."""
    level = nearest_levels(digis.adc, edges, digis.detector.adc_max)
    if codec.moments and not codec.bounded:
        faint = faint_below(digis.detector)
        wall = int(np.searchsorted(edges, faint)) + 1 if faint in edges else 0
        keep_moments(layout, digis.detector.pitch, hits, digis.adc, values, level, wall)
    return level


def _means(counts: Array, edges: Array) -> Array:
    """What each level is read back as: the mean of its counts, or the middle of its range if it has none."""
    bounds = np.concatenate([[0], edges, [len(counts)]])
    middle = (bounds[:-1] + bounds[1:] - 1) // 2
    level = np.searchsorted(edges, np.arange(len(counts)), side="right")
    n = np.bincount(level, counts, minlength=len(middle))
    total = np.bincount(level, counts * np.arange(len(counts)), minlength=len(middle))
    return np.where(n > 0, np.rint(total / np.maximum(n, 1)), middle)


def _noise_scale(detector: Detector) -> NDArray[np.float64]:
    """The charge below each count in units of its noise: float64[adc_max + 2], rising.

    Noise is what CMS smears charges with (`SimTracker/SiPixelDigitizer`, ChargeVCALSmearing); alike
    for all counts where they are not calibrated in electrons.
    """
    if detector.channel_threshold <= 0:
        return np.arange(detector.adc_max + 2, dtype=np.float64)
    electrons = detector.electrons_table.astype(np.float64).mean(axis=0)
    width = np.maximum(np.diff(electrons, append=2 * electrons[-1] - electrons[-2]), 1.0)
    noise = np.where(electrons < 3000, 543.6 - 0.093 * electrons, 307.6 - 0.01 * electrons)
    noise = np.where(electrons < 6000, noise, -432.4 + 0.123 * electrons)
    return np.concatenate([[0.0], np.cumsum(width / noise)])
