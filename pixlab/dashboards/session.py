"""`Session`: everything that one visitor has chosen, and nothing else.

Views read it and react to it, widgets and taps write it, the URL mirrors it. The data stand in a
`Source`, which all sessions share.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import param

from pixlab import __version__
from pixlab.dashboards.sources import Source
from pixlab.digis import Digis
from pixlab.errors import PixlabError
from pixlab.physics import TOLERANCES, Comparison
from pixlab.plots.overview import PROJECTIONS

__all__ = ["MODES", "QUANTITIES", "Follower", "Session"]

logger = logging.getLogger(__name__)

MODES = ("side by side", "swipe", "blink", "several settings")
QUANTITIES = ("original", "decoded", "difference")
COMPARED = 3  # settings that stand beside the original at first


class Session(param.Parameterized):
    """The state of one page.

    Parameters
    ----------
    sources : sequence of Source
        The data sets and sweeps that can be looked at, at least one.
    views : sequence of str
        Names of the views that can be in front, at least one.
    """

    source: Any = param.Selector(
        objects=[], check_on_set=True, doc="The sample or file that is shown."
    )
    event = param.Integer(0, bounds=(0, 0), doc="The event shown, counted from 0.")
    layer: Any = param.Selector(
        objects=[], check_on_set=True, doc="The detector layer of the module map and the spectra."
    )
    module: Any = param.Selector(
        objects=[], check_on_set=True, doc="Raw id of the module whose hit maps are shown."
    )
    codec: Any = param.Selector(
        objects=[], check_on_set=True, doc="How the decoded digis were compressed."
    )
    point: Any = param.Selector(
        objects=[], check_on_set=True, doc="The setting of the codec: one point of the sweep."
    )
    compared = param.List([], item_type=int, doc="Settings shown side by side: rows of the sweep.")
    metric: Any = param.Selector(
        objects=[], check_on_set=True, doc="What the rate-distortion curve shows."
    )
    tolerance: Any = param.Selector(
        default=next(iter(TOLERANCES)),
        objects=list(TOLERANCES),
        doc="How far the decoded physics may be from the original.",
    )
    log_scale = param.Boolean(False, doc="Logarithmic charge colours and counts.")
    mode: Any = param.Selector(
        default=MODES[0],
        objects=list(MODES),
        doc="How the hits of a module, before and after, are held against each other.",
    )
    shown: Any = param.Selector(
        default=QUANTITIES[0],
        objects=list(QUANTITIES),
        doc="What the maps of detector, layer and module show.",
    )
    projection: Any = param.Selector(
        default=next(iter(PROJECTIONS)),
        objects=list(PROJECTIONS),
        doc="From where the whole detector is seen.",
    )
    all_layers = param.Boolean(
        True, doc="Whether the detector map shows all layers, or the chosen."
    )
    all_events = param.Boolean(
        False, doc="Whether detector and layer maps show all events together, or the chosen one."
    )
    outlines = param.Boolean(
        False, doc="Outline the clusters that reconstruction finds: grey original, orange decoded."
    )
    zoom: Any = param.Tuple(
        None, length=4, allow_None=True, doc="Left, bottom, right, top of the hit maps, if moved."
    )
    code: Any = param.Integer(None, allow_None=True, bounds=(0, None), doc="The chosen codeword.")
    together = param.Boolean(
        False, doc="Whether spectra are those of all layers together, or of the chosen one."
    )
    all_spectra = param.Boolean(False, doc="Show every spectrum, or the most telling ones.")
    view: Any = param.Selector(objects=[], check_on_set=True, doc="The view in front.")
    theme: Any = param.Selector(
        default="system",
        objects=["system", "light", "dark"],
        doc="Page colours; at first those that the visitor's system asks for.",
    )
    pulse = param.Integer(0, doc="Grows with changes of texts that nothing else here tells of.")
    problem = param.String("", doc="What went wrong last; empty when nothing did.")

    # what a URL carries; the layer follows from the module
    IN_URL = (
        "source", "event", "module", "codec", "point", "compared", "metric", "tolerance",
        "log_scale", "mode", "shown", "projection", "all_layers", "all_events", "outlines", "zoom",
        "code", "together", "all_spectra", "view", "theme",
    )  # fmt: skip

    def __init__(self, sources: Sequence[Source], views: Sequence[str], **params: Any) -> None:
        self._sources = {s.name: s for s in sources}
        self._last: dict[str, int] = {}  # the point last chosen of each codec
        super().__init__(**params)
        self.param.view.objects = list(views)
        self.view = views[0]
        self.param.source.objects = list(self._sources)
        self.source = next(iter(self._sources))

    @property
    def data(self) -> Source:
        """The digis and the sweep that are looked at."""
        return self._sources[self.source]

    def add(self, source: Source) -> None:
        """Another source for this visitor alone; it is the one looked at from now on."""
        name = source.name
        number = 2
        while name in self._sources:
            name = f"{source.name} ({number})"
            number += 1
        self._sources[name] = source
        self.param.source.objects = list(self._sources)
        self.source = name

    # -- choices that follow from other choices ---------------------------------------------
    @param.depends("source", watch=True)
    def _new_source(self) -> None:
        data = self.data
        self._last = {}
        with param.parameterized.batch_call_watchers(self):
            self.param.event.bounds = (0, len(data.digis) - 1)
            self.event = data.first_measured
            self.param.layer.objects = list(data.digis.detector.layers)
            self.layer = data.digis.detector.layers[0]
            self.param.metric.objects = list(data.metrics)
            self.metric = data.default_metric
            self._fill_modules()
            self.param.codec.objects = list(data.codecs)
            self._show_point(data.default_point)
            self.compared = data.spread(COMPARED)

    @param.depends("layer", watch=True)
    def _new_layer(self) -> None:
        detector = self.data.digis.detector
        if detector.layers[int(detector.layer[detector.index(self.module)])] != self.layer:
            self._fill_modules()

    @param.depends("event", "module", watch=True)
    def _new_place(self) -> None:
        self.zoom = None

    def _fill_modules(self) -> None:
        detector = self.data.digis.detector
        self.param.module.objects = detector.detid[detector.in_layer(self.layer)].tolist()
        self.module = self.data.busiest(self.event, self.layer)

    @param.depends("codec", watch=True)
    def _new_codec(self) -> None:
        points = self.data.points(self.codec)
        if self.point not in points.values():
            self._show_point(self._last.get(self.codec, self.data.middle(self.codec)))

    def _show_point(self, row: int) -> None:
        codec = self.data.codec_of(row)
        self.param.point.objects = list(self.data.points(codec).values())
        if row != self.point:
            self.code = None  # another codebook
        self.point = row
        self.codec = codec
        self._last[codec] = row

    # -- what views and taps call -----------------------------------------------------------
    def show_point(self, row: int) -> None:
        """Look at that row of the sweep, whatever its codec."""
        with param.parameterized.batch_call_watchers(self):
            self._show_point(int(row))

    def show_module(self, detid: int) -> None:
        """Look at that module, whatever its layer.

        Raises
        ------
        PixlabError
            If the detector has no such module.
        """
        detector = self.data.digis.detector
        layer = detector.layers[int(detector.layer[detector.index(detid)])]
        with param.parameterized.batch_call_watchers(self):
            if layer != self.layer:
                self.layer = layer
                self._fill_modules()
            self.module = int(detid)

    def original(self) -> Digis:
        """The event as it was."""
        return self.data.event(self.event)

    def decoded(self, row: int | None = None) -> Digis:
        """The event after a model, by default the chosen one.

        Where that fails it is empty, and `problem` says why.
        """
        try:
            return self.data.decoded(self.point if row is None else row, self.event)
        except Exception as error:
            self.report(error)
            return Digis.empty(self.data.digis.detector, 1)

    def comparison(self) -> Comparison | None:
        """What the chosen model does to the physics; None, with `problem` set, where that fails."""
        try:
            return self.data.comparison(self.point)
        except Exception as error:
            self.report(error)
            return None

    def boxes_of_code(self) -> dict[str, Any] | None:
        """Where the chosen codeword stands in the chosen module: ``left, right, bottom, top``."""
        book = None if self.code is None else self.data.codebook(self.point)
        if self.code is None or book is None or not book.placed:
            return None
        usage = self.data.usage_in(self.point, self.event)
        own = usage.tiles_of(self.code)
        own = own[usage.module[own] == int(self.data.digis.detector.index(self.module))]
        _, rows, cols = book.pictures.shape
        left, bottom = usage.col[own] - 0.5, usage.row[own] - 0.5
        return {"left": left, "right": left + cols, "bottom": bottom, "top": bottom + rows}

    def show_code_at(self, row: int, col: int) -> None:
        """Choose the codeword that made a pixel of the chosen module, if one did."""
        book = self.data.codebook(self.point)
        if book is None or not book.placed:
            return
        usage = self.data.usage_in(self.point, self.event)
        _, rows, cols = book.pictures.shape
        inside = usage.module == int(self.data.digis.detector.index(self.module))
        inside &= (usage.row <= row) & (row < usage.row + rows)
        inside &= (usage.col <= col) & (col < usage.col + cols)
        if inside.any():
            self.code = int(usage.code[np.argmax(inside)])

    def provenance(self) -> str:
        """What is shown, for whoever finds a picture of it: version, data, setting."""
        data = self.data
        return f"pixlab {__version__} · {data.describe()} · {data.label(self.point)}"

    def report(self, error: BaseException) -> None:
        """Keep what went wrong as a text that a user can act on."""
        if not isinstance(error, PixlabError):
            logger.error("the dashboard met an unexpected error", exc_info=error)
            self.problem = f"Unexpected {type(error).__name__}: {error}; see the terminal"
        else:
            self.problem = str(error)

    # -- the URL ----------------------------------------------------------------------------
    def to_query(self) -> dict[str, str]:
        """The state as readable texts, one a query parameter; what is as at first is left out."""
        points = {row: text for text, row in self.data.points(self.codec).items()}
        kept = {"event", "module", "codec", "point", "view"}
        values = {
            name: value
            for name in self.IN_URL
            if (value := getattr(self, name)) != self.param[name].default or name in kept
        }
        values["point"] = points[self.point]
        if self.compared == self.data.spread(COMPARED):
            del values["compared"]
        else:
            values["compared"] = ",".join(map(str, self.compared))
        if self.metric == self.data.default_metric:
            del values["metric"]
        if self.zoom is not None:
            values["zoom"] = ",".join(f"{edge:.1f}" for edge in self.zoom)
        if len(self._sources) == 1:
            del values["source"]
        return {
            k: str(v).lower() if isinstance(v, bool) else str(v)
            for k, v in values.items()
            if v is not None and v != ""
        }

    def from_query(self, query: Mapping[str, Any]) -> list[str]:
        """Take over what a URL says; return a sentence on each value that makes no sense here."""
        complaints = []
        given = {k: str(query[k]) for k in self.IN_URL if k in query}
        for name, text in given.items():
            try:
                self._take(name, text)
            except (ValueError, KeyError, PixlabError) as error:
                reason = error.cause if isinstance(error, PixlabError) else "not available here"
                complaints.append(f"{name}={text[:60]}: {reason}")
        return complaints

    def _take(self, name: str, text: str) -> None:
        declared = self.param[name]
        if name == "module":
            detid = int(text)
            if not 0 <= detid <= np.iinfo(np.uint32).max:
                raise ValueError(text)
            self.show_module(detid)
        elif name == "point":
            self.show_point(self.data.points(self.codec)[text])
        elif name == "compared":
            rows = [int(part) for part in text.split(",") if part]
            if len(set(rows)) < len(rows) or not all(0 <= r < len(self.data.sweep) for r in rows):
                raise ValueError(text)
            self.compared = rows
        elif name == "zoom":
            edges = tuple(float(part) for part in text.split(","))
            if (
                len(edges) != 4
                or not np.isfinite(edges).all()
                or not (edges[0] < edges[2] and edges[1] < edges[3])
            ):
                raise ValueError(text)
            self.zoom = edges
        elif isinstance(declared, param.Boolean):
            setattr(self, name, {"true": True, "false": False}[text.lower()])
        elif isinstance(declared, param.Integer):
            setattr(self, name, int(text))
        else:
            setattr(self, name, text)


class Follower:
    """Calls back when one of some choices has changed, but only while a view is in front.

    What nobody looks at is not drawn, and when several choices change together it is drawn once. An
    exception becomes the session's problem.

    Parameters
    ----------
    session : Session
        Whose choices.
    view : str
        Name of the view.
    names : sequence of str
        Parameters of the session.
    then : function
        Called now, and after each change.
    key : function, optional
        What of those choices matters; default: all of them.
    """

    def __init__(
        self,
        session: Session,
        view: str,
        names: Sequence[str],
        then: Callable[[], None],
        *,
        key: Callable[[], Hashable] | None = None,
    ) -> None:
        self._session, self._view, self._then = session, view, then
        self._key = key or (lambda: tuple(repr(getattr(session, name)) for name in names))
        self._seen: Hashable = None
        session.param.watch(self._look, [*names, "view"])
        self._look()

    def _look(self, *events: Any) -> None:
        session = self._session
        now = self._key()
        if session.view != self._view or now == self._seen:
            return
        self._seen = now
        try:
            self._then()
        except Exception as error:
            session.report(error)
