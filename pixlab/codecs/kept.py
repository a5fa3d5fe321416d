"""Clusters whose pixels are kept: the hit map exactly, charge and shape of each cluster, faint pixels.

::

    hit map ────────────────────────────► positions, shapes                  (exact)
    clusters ── charge ─────────────────► gain
             └─ barycentre ─────────────► row, col  or  code  ──► `paint` ──► counts
    pixels below pre-mixing's threshold ► faint                              (exact)
    clusters that are painted badly ────► explicit                           (exact)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixlab.clusters import Clusters, cluster
from pixlab.codecs.codebook import canvases_of, kinds_of, regions_of
from pixlab.codecs.features import (
    CLUSTER_FEATURES,
    CLUSTER_SLOPE,
    PIXEL_LOOKS,
    ClusterViews,
    contexts_of_pixels,
    of_clusters,
    of_pixels,
)
from pixlab.codecs.gains import GainCoder, phases
from pixlab.codecs.hitmaps import HitmapCoder, to_digis, to_hits
from pixlab.codecs.moments import (
    Limits,
    Pixels,
    beyond,
    make_places,
    middles,
    paint,
    shifts,
    trimmed,
)
from pixlab.codecs.shapes import ShapeCoder, ShapeNames, ShapePlan
from pixlab.codecs.subjects import Shapes, Subjects, starts_of
from pixlab.codecs.texture import base_of, learn_texture, noise_of, open_texture, roles_of
from pixlab.codecs.usage import CodeUsage
from pixlab.coding.hits import HitCoder
from pixlab.coding.layout import Layout
from pixlab.coding.numbers import decode_numbers, encode_numbers
from pixlab.coding.symbols import Symbols
from pixlab.detectors import Detector
from pixlab.digis import Digis
from pixlab.errors import FormatError

__all__ = ["KeptClusters", "KeptCoder", "KeptSubjects"]

Array = NDArray[Any]
_NAMES = ShapeNames(("row", "col"), "code", "code", CLUSTER_SLOPE)


@dataclass(frozen=True, eq=False)
class KeptSubjects:
    """Clusters of digis as coders see them, before they know charges.

    ``roles``: uint8[digis], see `texture.roles_of`.
    """

    clusters: Clusters
    pixels: Pixels
    subjects: Subjects
    seen: ClusterViews
    roles: NDArray[np.uint8]

    def digis_in(self, which: NDArray[np.bool_]) -> NDArray[np.int64]:
        """The digis of some clusters, sorted."""
        begin, sizes = self.pixels.offsets[:-1][which], np.diff(self.pixels.offsets)[which]
        place = np.arange(sizes.sum()) + np.repeat(begin - np.cumsum(sizes) + sizes, sizes)
        return np.sort(self.pixels.members[place])


@dataclass(frozen=True, eq=False)
class KeptClusters:
    """What is said of clusters, and what it means.

    ``gain``: levels; ``logs``, ``charge``: what they mean; ``shapes``: of all clusters;
    ``explicit``: bool[clusters]; ``adc``: uint16[digis].
    """

    of: KeptSubjects
    gain: Array
    logs: Array
    charge: Array
    shapes: Shapes
    explicit: Array
    adc: Array


class KeptCoder:
    """A way to code digis with their hit map.

    Parameters
    ----------
    layout, detector
        Of the digis.
    arrays : mapping of str to array
        Of the model.
    plan : ShapePlan
        How shapes are told.

    Raises
    ------
    FormatError
        If arrays are missing or damaged.
    """

    def __init__(
        self, layout: Layout, detector: Detector, arrays: Mapping[str, Array], plan: ShapePlan
    ) -> None:
        self._hits = HitmapCoder(layout, detector, arrays)
        self._painter = _Painter(layout, detector, arrays, plan)
        self._gain = GainCoder("gain", arrays, CLUSTER_FEATURES)
        self._shape = ShapeCoder(plan, _NAMES, detector, arrays, CLUSTER_FEATURES)
        self._faint = Symbols("faint", arrays, PIXEL_LOOKS, 2)

    @staticmethod
    def needs(plan: ShapePlan) -> tuple[str, ...]:
        """Arrays that a model must have."""
        shape = ShapeCoder.needs(plan, _NAMES)
        return (
            *("steps", "limits", "texture.base", "texture.noise"), *HitCoder.needs,
            *GainCoder.needs("gain"), *shape, *Symbols.needs("faint"),
        )  # fmt: skip

    @staticmethod
    def describe(
        layout: Layout, digis: Digis, arrays: Mapping[str, Array]
    ) -> tuple[KeptSubjects, NDArray[np.int64], NDArray[np.float32]]:
        """Clusters of digis, their `moments.shifts` and their `codebook.canvases_of`."""
        painter = _Painter(layout, digis.detector, arrays, ShapePlan(True))
        of = painter.subjects(digis)
        return of, shifts(of.pixels, painter.places, digis.adc), painter.canvases(of)

    @staticmethod
    def learn_texture(clusters: Clusters) -> dict[str, Array]:
        """The arrays of a texture that suits these clusters."""
        digis = clusters.digis
        sensor = np.zeros(len(clusters), np.int64)  # a texture knows no lengths
        pixels = Pixels(clusters.digi_offsets, clusters.digis_of, digis.row, digis.col, sensor)
        return learn_texture("texture", pixels, digis.adc)

    @staticmethod
    def learn(
        layout: Layout,
        digis: Digis,
        arrays: Mapping[str, Array],
        plan: ShapePlan,
        *,
        rate_weight: float,
        reuse: float,
    ) -> dict[str, Array]:
        """The arrays of a model that suits these digis, but for those of the hit map.

        ``arrays`` has the steps and limits, the texture, and the codebook if shapes are coded.
        """
        learning: dict[str, Any] = {"rate_weight": rate_weight, "reuse": reuse, "like": arrays}
        painter = _Painter(layout, digis.detector, arrays, plan)
        of = painter.subjects(digis)
        subjects, canvases = of.subjects, painter.canvases(of)
        moments = shifts(of.pixels, painter.places, digis.adc)
        charges = painter.trimmed(of, moments[:, 0])
        found = GainCoder.learn("gain", subjects, charges, **learning)
        gain = GainCoder("gain", found, CLUSTER_FEATURES)
        _, logs, charge = gain.tell(subjects, charges, rate_weight=rate_weight)
        args = subjects, logs, moments[:, 1:], canvases
        found |= ShapeCoder.learn(plan, _NAMES, digis.detector, *args, **learning)
        shape = ShapeCoder(plan, _NAMES, digis.detector, {**arrays, **found}, CLUSTER_FEATURES)
        shapes = shape.tell(*args, rate_weight=rate_weight)
        charge[~painter.paintable(of)] = -1
        features = painter.pixel_features(of, charge, shapes.offsets)
        told = (charge >= 0)[of.clusters.label]
        faint = (digis.adc < painter.pale).astype(np.int64)
        return found | Symbols.learn("faint", features[told], faint[told], 2, reuse=reuse)

    def tell(self, digis: Digis, *, rate_weight: float, escape: Array) -> KeptClusters:
        """What is said of the clusters of `digis`.

        Parameters
        ----------
        digis : Digis
            Whole events.
        rate_weight : float
            Squared error, in spacings, that a bit may cost.
        escape : float64[3]
            Errors beyond which a cluster is explicit: of charge as a fraction, of the barycentre
            along rows and columns in 1/256 of the pitch.
        """
        painter = self._painter
        of = painter.subjects(digis)
        subjects, moments = of.subjects, shifts(of.pixels, painter.places, digis.adc)
        charges = painter.trimmed(of, moments[:, 0])
        gain, logs, charge = self._gain.tell(subjects, charges, rate_weight=rate_weight)
        shapes = self._shape.tell(
            subjects, logs, moments[:, 1:], painter.canvases(of), rate_weight=rate_weight
        )
        largest = np.zeros(len(charge), np.int64)
        np.maximum.at(largest, of.clusters.label, digis.adc.astype(np.int64))
        explicit = ~painter.paintable(of) | (largest > painter.top) | (moments[:, 0] == 0)
        adc = np.zeros(digis.n_digis, np.uint16)
        hidden = np.where(explicit, -1, charge)
        painter.paint(of, hidden, shapes.offsets, digis.adc < painter.pale, adc)
        # limits of counts, or a codebook, may keep a barycentre from its place
        explicit |= beyond(shifts(of.pixels, painter.places, adc), moments, escape)
        as_is = of.digis_in(explicit)
        adc[as_is] = digis.adc[as_is]
        return KeptClusters(of, gain, logs, charge, shapes, explicit, adc)

    def usage(self, told: KeptClusters) -> list[CodeUsage]:
        """How often codes of shapes are chosen by clusters that are not explicit."""
        return self._shape.usage(told.of.subjects, told.shapes, told.explicit)

    def encode(self, told: KeptClusters) -> dict[str, bytes]:
        """The sections of what `tell` gave."""
        of = told.of
        digis = of.clusters.digis
        sections = self._hits.encode(len(digis), to_hits(digis))
        sections["gain"] = self._gain.encode(of.subjects, told.gain)
        sections |= self._shape.encode(of.subjects, told.logs, told.shapes)
        charge = np.where(told.explicit, -1, told.charge)
        contexts = self._painter.contexts(of, charge, told.shapes.offsets, self._faint.masks)
        sections["faint"] = self._faint.encode_in(contexts, told.adc < self._painter.pale)
        which = np.flatnonzero(told.explicit)
        gaps = np.diff(which, prepend=0)
        as_is = of.digis_in(told.explicit)
        said = np.concatenate([np.array([len(which)]), gaps, told.adc[as_is]])
        sections["explicit"] = encode_numbers(said)
        return sections

    def decode(self, n_events: int, n_digis: int, sections: Mapping[str, bytes]) -> Digis:
        """The digis, as they were painted in `tell`.

        Raises
        ------
        FormatError
            If a section is damaged.
        """
        painter = self._painter
        hits = self._hits.decode(n_events, n_digis, sections)
        adc = np.zeros(n_digis, np.uint16)
        of = painter.subjects(to_digis(painter.detector, n_events, hits, adc))
        logs, charge = self._gain.decode(of.subjects, sections["gain"])
        offsets = self._shape.decode(of.subjects, logs, sections).offsets
        explicit, counts = self._decode_explicit(of, sections["explicit"])
        charge[explicit] = -1
        contexts = painter.contexts(of, charge, offsets, self._faint.masks)
        faint = self._faint.decode_in(contexts, sections["faint"]) > 0
        painter.paint(of, charge, offsets, faint, adc)
        adc[of.digis_in(explicit)] = counts
        return of.clusters.digis.with_adc(adc)

    def clusters_of(self, digis: Digis) -> KeptSubjects:
        """The clusters of digis, whose counts are not looked at."""
        return self._painter.subjects(digis)

    def repaint(
        self, of: KeptSubjects, charge: Array, offsets: Array, explicit: Array, faint: Array
    ) -> Digis:
        """Paint clusters but for explicit ones, which keep the counts that their digis have.

        Raises
        ------
        FormatError
            If a cluster cannot be painted and is not explicit.
        """
        if not (explicit | self._painter.paintable(of)).all():
            raise FormatError("a cluster that cannot be painted is not explicit")
        digis = of.clusters.digis
        adc = np.array(digis.adc)
        self._painter.paint(of, np.where(explicit, -1, charge), offsets, faint, adc)
        as_is = explicit[of.clusters.label]
        adc[as_is] = digis.adc[as_is]
        return digis.with_adc(adc)

    @property
    def pale(self) -> int:
        """Counts below are faint."""
        return self._painter.pale

    def _decode_explicit(self, of: KeptSubjects, section: bytes) -> tuple[Array, Array]:
        """Which clusters are explicit, and the counts of their digis."""
        n_clusters = len(of.clusters)
        n = int(decode_numbers(section, 1)[0])
        if n > n_clusters:
            raise FormatError("there are more explicit clusters than clusters")
        which = np.cumsum(decode_numbers(section, 1 + n)[1:])
        if n and which[-1] >= n_clusters:
            raise FormatError("an explicit cluster is none of the clusters")
        explicit = np.zeros(n_clusters, bool)
        explicit[which] = True
        if not (explicit | self._painter.paintable(of)).all():
            raise FormatError("a cluster that cannot be painted is not explicit")
        n_digis = int(of.clusters.size[explicit].sum())
        counts = decode_numbers(section, 1 + n + n_digis)[1 + n :]
        if counts.max(initial=0) > self._painter.detector.adc_max:
            raise FormatError("an explicit count is outside the detector's range")
        return explicit, counts


class _Painter:
    """What turns clusters into moments, and moments into counts."""

    def __init__(
        self, layout: Layout, detector: Detector, arrays: Mapping[str, Array], plan: ShapePlan
    ) -> None:
        self.layout, self.detector, self._coded = layout, detector, plan.coded
        self._steps = arrays["steps"].astype(np.int64)[layout.layer]
        self._trim = arrays.get("trim")
        self._sensor = detector.sensor.astype(np.int64)
        self.floor, self.pale, self.top = (int(v) for v in arrays["limits"])
        self.places = make_places(detector)
        self._regions = regions_of(detector)[0]
        self._base, self._noise = open_texture("texture", arrays)

    def subjects(self, digis: Digis) -> KeptSubjects:
        """The clusters of digis."""
        clusters = cluster(digis, thresholds=False)
        module, event = clusters.module.astype(np.int64), clusters.event
        sensor = self._sensor[module]
        pixels = Pixels(clusters.digi_offsets, clusters.digis_of, digis.row, digis.col, sensor)
        seen = of_clusters(pixels, module, self.layout)
        subjects = Subjects(
            starts_of(event, len(digis)),
            event,
            clusters.size.astype(np.int64),
            seen.free,
            self._steps[module],
            phases(module, seen.row, seen.col),
            kinds_of(self._regions[module], seen.tilt.astype(np.int64), seen.high, seen.wide),
            seen.high,
            seen.wide,
            self._middles(pixels, seen),
            seen.features,
        )
        roles = roles_of(pixels, digis.n_digis)
        return KeptSubjects(clusters, pixels, subjects, seen, roles)

    def _middles(self, pixels: Pixels, seen: ClusterViews) -> Array:
        """See `Subjects`; only pictures need it."""
        if not self._coded:
            return np.zeros((len(seen.high), 2), np.int64)
        return middles(pixels, self.places, seen.row, seen.col, seen.high, seen.wide)

    def trimmed(self, of: KeptSubjects, charge: Array) -> Array:
        """Charges as they are told."""
        if self._trim is None:
            return charge
        return trimmed(charge, self._trim[self.layout.layer[of.clusters.module]])

    def paintable(self, of: KeptSubjects) -> NDArray[np.bool_]:
        """Clusters that are not too large: bool[clusters]."""
        return (of.subjects.free > 0) | (of.clusters.size == 1)

    def canvases(self, of: KeptSubjects) -> NDArray[np.float32]:
        """Clusters on the canvas of the codebook, if there is one."""
        if not self._coded:
            return np.zeros((0, 2, 0), np.float32)
        seen = of.seen
        return canvases_of(
            of.pixels, of.clusters.digis.adc, seen.row, seen.col, seen.high, seen.wide
        )

    def paint(
        self, of: KeptSubjects, charge: Array, offsets: Array, faint: Array, adc: Array
    ) -> None:
        """Fill in the counts of clusters whose charge is not negative."""
        noise = noise_of(self._noise, of.roles, of.pixels, of.clusters.module, charge)
        limits = Limits(self.floor, self.pale, self.top)
        paint(
            of.pixels, self.places, of.subjects.free, charge, offsets, base_of(self._base, of.roles),
            noise, limits, faint, adc,
        )  # fmt: skip

    def pixel_features(self, of: KeptSubjects, charge: Array, offsets: Array) -> Array:
        """Features of pixels, from about what they would be painted if none were faint."""
        return of_pixels(*self._for_pixels(of, charge, offsets))

    def contexts(self, of: KeptSubjects, charge: Array, offsets: Array, masks: Array) -> Array:
        """What a tree over these features chooses."""
        return contexts_of_pixels(masks, *self._for_pixels(of, charge, offsets))

    def _for_pixels(self, of: KeptSubjects, charge: Array, offsets: Array) -> tuple[Any, ...]:
        layer = self.layout.layer[of.clusters.module]
        return of.pixels, self.places, of.subjects.free, layer, charge, offsets, of.roles
