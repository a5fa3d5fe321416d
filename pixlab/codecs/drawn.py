"""Clusters that are drawn: their boxes, charge and barycentre are told, their pixels are a picture.

::

    boxes ── first corners ─────────► drawn.at, drawn.runs                   (exact)
          └─ sides ─────────────────► drawn.wide, drawn.high                 (exact)
    which way a cluster leans ──────► drawn.tilt                             (exact)
    charge ─────────────────────────► drawn.gain
    shape ── barycentre ────────────► drawn.row, drawn.col ──► nearest picture ┐
          or a picture of the codebook ► drawn.code ───────────────────────────┴► `paint` ──► counts

Sides, charge and barycentre are what reconstruction makes of a cluster; which pixels inside of
the box were hit it sees in nothing else, and that costs a third of the hit map.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixlab.clusters import Clusters
from pixlab.codecs.boxes import Boxes, boxes_of, isolated, to_corners
from pixlab.codecs.codebook import (
    CODEBOOK,
    canvases_of,
    draw,
    kinds_of,
    learn_codebook,
    make_codebook,
    nearest,
    regions_of,
)
from pixlab.codecs.features import BOX_FEATURES, BOX_HIGH, BOX_TILT, BOX_WIDE, of_boxes
from pixlab.codecs.gains import GainCoder, phases
from pixlab.codecs.moments import (
    COLS,
    MAX_PIXELS,
    MAX_SPAN,
    ROWS,
    Limits,
    Pixels,
    directions,
    make_places,
    middles,
    paint,
    shifts,
    trimmed,
)
from pixlab.codecs.shapes import ShapeCoder, ShapeNames, ShapePlan
from pixlab.codecs.subjects import Shapes, Subjects, starts_of
from pixlab.codecs.texture import noise_of, open_texture, roles_of
from pixlab.codecs.usage import CodeUsage
from pixlab.coding.hits import HitCoder
from pixlab.coding.layout import Layout
from pixlab.coding.symbols import Symbols
from pixlab.detectors import Detector
from pixlab.digis import Digis
from pixlab.errors import FormatError

__all__ = ["DrawnClusters", "DrawnCoder", "DrawnMoments", "drawable", "merge"]

Array = NDArray[Any]
_HITS, _GAIN = "drawn.", "drawn.gain"
_NAMES = ShapeNames(("drawn.row", "drawn.col"), "drawn.code", "drawn", -1)
_SPARSE = 3  # times as many pixels as were hit, that the box of a drawn cluster may have


@dataclass(frozen=True, eq=False)
class DrawnMoments:
    """Clusters that are to be drawn, as their coders see them.

    ``cluster``: int64[n], which ones they are; ``tilt``: int64[n], see `moments.directions`;
    ``moments``: int64[n, 3], charge and barycentre from the middle of the box; ``canvases``: see
    `codebook.canvases_of`.
    """

    cluster: Array
    boxes: Boxes
    tilt: Array
    moments: Array
    canvases: Array


@dataclass(frozen=True, eq=False)
class DrawnClusters:
    """What is said of clusters, and what is drawn.

    ``gain``: levels; ``logs``, ``charge``: what they mean; ``shapes``: of all clusters; ``pixels``
    and ``adc``: what is drawn, cluster by cluster.
    """

    of: DrawnMoments
    gain: Array
    logs: Array
    charge: Array
    shapes: Shapes
    pixels: Pixels
    adc: NDArray[np.uint16]


def drawable(clusters: Clusters) -> NDArray[np.bool_]:
    """Clusters that can be drawn: alone, not too large, and not too sparse: bool[clusters]."""
    area = clusters.size_row.astype(np.int64) * clusters.size_col
    side = np.maximum(clusters.size_row, clusters.size_col)
    small = (side <= MAX_SPAN) & (area <= np.minimum(_SPARSE * clusters.size, MAX_PIXELS))
    return isolated(clusters) & small & (clusters.charge > 0)


class DrawnCoder:
    """A way to code clusters by their boxes.

    Parameters
    ----------
    layout, detector
        Of the clusters.
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
        corners = {k.removeprefix(_HITS): v for k, v in arrays.items() if k.startswith(_HITS)}
        self._hits = HitCoder(layout, corners)
        self._wide = Symbols("drawn.wide", arrays, BOX_FEATURES, MAX_SPAN)
        self._high = Symbols("drawn.high", arrays, BOX_FEATURES, MAX_SPAN)
        self._tilt = Symbols("drawn.tilt", arrays, BOX_FEATURES, 2)
        self._gain = GainCoder(_GAIN, arrays, BOX_FEATURES)
        self._drawing = _Drawing(layout, detector, arrays)
        self._shape = ShapeCoder(plan, _NAMES, detector, arrays, BOX_FEATURES)

    @staticmethod
    def needs(plan: ShapePlan) -> tuple[str, ...]:
        """Arrays that a model must have."""
        shape = ShapeCoder.needs(plan, _NAMES)
        symbols = [name for k in ("wide", "high", "tilt") for name in Symbols.needs(f"drawn.{k}")]
        return (
            *("steps", "limits", "texture.base", "texture.noise"),
            *CODEBOOK,
            *(_HITS + name for name in HitCoder.needs), *symbols, *GainCoder.needs(_GAIN), *shape,
        )  # fmt: skip

    @staticmethod
    def describe(clusters: Clusters, chosen: NDArray[np.bool_]) -> DrawnMoments:
        """The chosen ones of the clusters of some digis."""
        digis, detector = clusters.digis, clusters.digis.detector
        boxes, which = boxes_of(clusters, chosen)
        sizes = clusters.size[which].astype(np.int64)
        offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        place = np.arange(offsets[-1]) + np.repeat(
            clusters.digi_offsets[which] - offsets[:-1], sizes
        )
        sensor = detector.sensor[boxes.module].astype(np.int64)
        pixels = Pixels(offsets, clusters.digis_of[place], digis.row, digis.col, sensor)
        places = make_places(detector)
        moments = shifts(pixels, places, digis.adc)
        moments[:, 1:] += middles(pixels, places, *boxes[2:])
        tilt = directions(pixels)[1].astype(np.int64)
        return DrawnMoments(which, boxes, tilt, moments, canvases_of(pixels, digis.adc, *boxes[2:]))

    @staticmethod
    def subjects(
        layout: Layout,
        detector: Detector,
        n_events: int,
        boxes: Boxes,
        tilt: Array,
        arrays: Mapping[str, Array],
    ) -> Subjects:
        """Boxes as coders of their shapes see them; ``arrays`` as for `learn`."""
        return _Drawing(layout, detector, arrays).subjects(boxes, tilt, n_events)

    @staticmethod
    def learn_pictures(
        of: DrawnMoments, detector: Detector, size: int, *, pixels: float, seed: int
    ) -> dict[str, Array]:
        """The arrays of a codebook of these clusters; see `learn_codebook`."""
        region, n_regions = regions_of(detector)
        kind = kinds_of(region[of.boxes.module], of.tilt, of.boxes.high, of.boxes.wide)
        return learn_codebook(kind, of.canvases, n_regions, size, pixels=pixels, seed=seed)

    @staticmethod
    def learn_boxes(
        layout: Layout, n_events: int, of: DrawnMoments, *, reuse: float
    ) -> dict[str, Array]:
        """The arrays of a model that suits these boxes."""
        boxes = of.boxes
        corners = HitCoder.learn(layout, n_events, to_corners(boxes), reuse=reuse)
        found = {_HITS + name: array for name, array in corners.items()}
        features = of_boxes(boxes, layout)
        for name, column, sides in (("wide", BOX_WIDE, boxes.wide), ("high", BOX_HIGH, boxes.high)):
            found |= Symbols.learn(f"drawn.{name}", features, sides - 1, MAX_SPAN, reuse=reuse)
            features[:, column] = sides
        leaning = _can_lean(boxes)
        return found | Symbols.learn(
            "drawn.tilt", features[leaning], of.tilt[leaning], 2, reuse=reuse
        )

    @staticmethod
    def learn(
        layout: Layout,
        detector: Detector,
        n_events: int,
        of: DrawnMoments,
        arrays: Mapping[str, Array],
        plan: ShapePlan,
        *,
        rate_weight: float,
        reuse: float,
    ) -> dict[str, Array]:
        """The arrays of a model that suits charges and shapes.

        ``arrays`` has the steps and limits, the texture and the codebook.
        """
        learning: dict[str, Any] = {"rate_weight": rate_weight, "reuse": reuse, "like": arrays}
        drawing = _Drawing(layout, detector, arrays)
        subjects = drawing.subjects(of.boxes, of.tilt, n_events)
        charges = drawing.trimmed(of)
        found = GainCoder.learn(_GAIN, subjects, charges, **learning)
        gain = GainCoder(_GAIN, found, BOX_FEATURES)
        _, logs, _ = gain.tell(subjects, charges, rate_weight=rate_weight)
        args = subjects, logs, of.moments[:, 1:], of.canvases
        return found | ShapeCoder.learn(plan, _NAMES, detector, *args, **learning)

    def tell(self, n_events: int, of: DrawnMoments, *, rate_weight: float) -> DrawnClusters:
        """What is said of clusters."""
        subjects = self._drawing.subjects(of.boxes, of.tilt, n_events)
        charges = self._drawing.trimmed(of)
        gain, logs, charge = self._gain.tell(subjects, charges, rate_weight=rate_weight)
        shapes = self._shape.tell(
            subjects, logs, of.moments[:, 1:], of.canvases, rate_weight=rate_weight
        )
        drawn = self._drawing.draw(of.boxes, subjects, charge, shapes)
        return DrawnClusters(of, gain, logs, charge, shapes, *drawn)

    def usage(self, told: DrawnClusters, *, escaped: int) -> list[CodeUsage]:
        """How often codes of shapes are chosen; ``escaped`` clusters are not drawn."""
        subjects = self._drawing.subjects(told.of.boxes, told.of.tilt, 0)
        none = np.zeros(len(told.charge), bool)
        return self._shape.usage(subjects, told.shapes, none, escaped=escaped)

    def moments(self, told: DrawnClusters) -> NDArray[np.int64]:
        """Charge and barycentre of what is drawn, as in `DrawnMoments`."""
        return self._drawing.moments(told.of.boxes, told.pixels, told.adc)

    def encode(self, n_events: int, told: DrawnClusters) -> dict[str, bytes]:
        """The sections of what `tell` gave."""
        boxes, drawing = told.of.boxes, self._drawing
        corners = self._hits.encode(n_events, to_corners(boxes))
        sections = {"drawn.at": corners["positions"], "drawn.runs": corners["shapes"]}
        features = of_boxes(boxes, drawing.layout)
        sections["drawn.wide"] = self._wide.encode(features, boxes.wide - 1)
        features[:, BOX_WIDE] = boxes.wide
        sections["drawn.high"] = self._high.encode(features, boxes.high - 1)
        features[:, BOX_HIGH] = boxes.high
        leaning = _can_lean(boxes)
        sections["drawn.tilt"] = self._tilt.encode(features[leaning], told.of.tilt[leaning])
        subjects = drawing.subjects(boxes, told.of.tilt, n_events)
        sections[_GAIN] = self._gain.encode(subjects, told.gain)
        return sections | self._shape.encode(subjects, told.logs, told.shapes)

    def decode(
        self, n_events: int, n_boxes: int, sections: Mapping[str, bytes]
    ) -> tuple[Boxes, Pixels, NDArray[np.uint16]]:
        """The boxes, and what is drawn in them.

        Raises
        ------
        FormatError
            If a section is damaged.
        """
        corners = {"positions": sections["drawn.at"], "shapes": sections["drawn.runs"]}
        hits = self._hits.decode(n_events, n_boxes, corners)
        frame = np.repeat(np.arange(len(hits.event)), np.diff(hits.offsets))
        event, module = hits.event[frame], hits.module[frame].astype(np.int64)
        row, col = hits.row.astype(np.int64), hits.col.astype(np.int64)
        boxes = Boxes(event, module, row, col, row, col)
        features = of_boxes(boxes, self._drawing.layout)
        wide = self._wide.decode(features, sections["drawn.wide"]) + 1
        features[:, BOX_WIDE] = wide
        high = self._high.decode(features, sections["drawn.high"]) + 1
        features[:, BOX_HIGH] = high
        boxes = boxes._replace(high=high, wide=wide)
        self.check(boxes)
        leaning = _can_lean(boxes)
        tilt = np.zeros(n_boxes, np.int64)
        tilt[leaning] = self._tilt.decode(features[leaning], sections["drawn.tilt"])
        subjects = self._drawing.subjects(boxes, tilt, n_events)
        logs, charge = self._gain.decode(subjects, sections[_GAIN])
        shapes = self._shape.decode(subjects, logs, sections)
        return boxes, *self._drawing.draw(boxes, subjects, charge, shapes)

    def check(self, boxes: Boxes) -> None:
        """Compare boxes with their modules.

        Raises
        ------
        FormatError
            If one is too large, or not inside.
        """
        layout, (_, module, row, col, high, wide) = self._drawing.layout, boxes
        rows, cols = layout.rows[module], layout.cols[module]
        # sums of huge numbers are negative
        inside = (row >= 0) & (row < rows) & (row + high <= rows)
        inside &= (col >= 0) & (col < cols) & (col + wide <= cols)
        inside &= (high >= 1) & (wide >= 1) & (np.maximum(high, wide) <= MAX_SPAN)
        if not (inside & (high * wide <= MAX_PIXELS)).all():
            raise FormatError("a drawn cluster does not fit its module")

    def redraw(
        self, boxes: Boxes, subjects: Subjects, charge: Array, shapes: Shapes
    ) -> tuple[Pixels, NDArray[np.uint16]]:
        """Pixels and counts of clusters, as they were drawn in `tell`."""
        return self._drawing.draw(boxes, subjects, charge, shapes)


class _Drawing:
    """What turns boxes, charges and shapes into counts."""

    def __init__(self, layout: Layout, detector: Detector, arrays: Mapping[str, Array]) -> None:
        self.layout, self._detector = layout, detector
        self._steps = arrays["steps"].astype(np.int64)
        self._trim = arrays.get("trim")
        self._limits = Limits(*(int(v) for v in arrays["limits"]))
        self._places = make_places(detector)
        self._regions = regions_of(detector)[0]
        self.book = make_codebook(arrays, detector)
        _, self._noise = open_texture("texture", arrays)

    def subjects(self, boxes: Boxes, tilt: Array, n_events: int) -> Subjects:
        """What coders are told about boxes."""
        module = boxes.module
        features = of_boxes(boxes, self.layout)
        features[:, BOX_WIDE], features[:, BOX_HIGH] = boxes.wide, boxes.high
        features[:, BOX_TILT] = tilt
        free = np.where(boxes.high > 1, ROWS, 0) | np.where(boxes.wide > 1, COLS, 0)
        return Subjects(
            starts_of(boxes.event, n_events),
            boxes.event,
            boxes.high * boxes.wide,
            free.astype(np.uint8),
            self._steps[self.layout.layer[module]],
            phases(module, boxes.row, boxes.col),
            kinds_of(self._regions[module], tilt, boxes.high, boxes.wide),
            boxes.high,
            boxes.wide,
            np.zeros((len(module), 2), np.int64),
            features,
        )

    def trimmed(self, of: DrawnMoments) -> Array:
        """Charges as they are told."""
        charge = of.moments[:, 0]
        if self._trim is None:
            return charge
        return trimmed(charge, self._trim[self.layout.layer[of.boxes.module]])

    def moments(self, boxes: Boxes, pixels: Pixels, adc: Array) -> NDArray[np.int64]:
        """Charge of pixels, and their barycentre from the middle of the box: int64[n, 3]."""
        found = shifts(pixels, self._places, adc)
        found[:, 1:] += middles(pixels, self._places, *boxes[2:])
        return found

    def draw(
        self, boxes: Boxes, subjects: Subjects, charge: Array, shapes: Shapes
    ) -> tuple[Pixels, NDArray[np.uint16]]:
        """Pixels and counts of all clusters."""
        noise = (
            boxes.row * 40503 + boxes.col * 30011 + boxes.module * 9973 + charge * 7919
        ) & 65535
        picture = shapes.picture
        if not isinstance(picture, np.ndarray) or (picture < 0).any():
            found = nearest(self.book, subjects.kind, boxes.high, boxes.wide, shapes.offsets, noise)
            picture = np.where(picture >= 0, picture, found)
        at, row, col, base = draw(self.book, picture, boxes.high, boxes.wide, boxes.row, boxes.col)
        sensor = self._detector.sensor[boxes.module].astype(np.int64)
        pixels = Pixels(at, np.arange(len(row)), row, col, sensor)
        target = shapes.offsets - middles(pixels, self._places, *boxes[2:])
        roles = roles_of(pixels, len(row))
        loud = noise_of(self._noise, roles, pixels, boxes.module, charge)
        adc, faint = np.zeros(len(row), np.uint16), np.zeros(len(row), bool)
        free = directions(pixels)[0]
        paint(pixels, self._places, free, charge, target, base, loud, self._limits, faint, adc)
        return pixels, adc


def _can_lean(boxes: Boxes) -> NDArray[np.bool_]:
    """Boxes with more than one row and column."""
    return (boxes.high > 1) & (boxes.wide > 1)


def merge(
    base: Digis,
    boxes: Boxes,
    pixels: Pixels,
    adc: NDArray[np.uint16],
    event_id: Array | None = None,
) -> Digis:
    """Kept digis and drawn ones in one.

    Raises
    ------
    FormatError
        If drawn clusters overlap each other or what is kept, or there are more pixels than a number
        can tell apart.
    """
    detector, frames = base.detector, base.frames
    n_modules, height, width = len(detector), int(detector.rows.max()), int(detector.cols.max())
    if (len(base) + 1) * n_modules * height * width >= 1 << 63:
        raise FormatError("there are too many events of a detector with so many pixels")
    kept = np.repeat(frames.event * n_modules + frames.module, np.diff(frames.offsets))
    drawn = np.repeat(boxes.event * n_modules + boxes.module, np.diff(pixels.offsets))
    frame = np.concatenate([kept, drawn])
    row, col = (np.concatenate(p) for p in ((base.row, pixels.row), (base.col, pixels.col)))
    place = (frame * height + row) * width + col
    order = np.argsort(place, kind="stable")
    place = place[order]
    if (place[1:] == place[:-1]).any():
        raise FormatError("drawn clusters overlap")
    first = np.arange(len(base) + 1) * (n_modules * height * width)
    return Digis(
        detector=detector,
        offsets=np.searchsorted(place, first).astype(np.int64),
        detid=detector.detid[frame[order] % n_modules],
        row=row[order],
        col=col[order],
        adc=np.concatenate([base.adc, adc])[order],
        event_id=event_id,
    )
