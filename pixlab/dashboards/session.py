"""`Session`: everything that one visitor has chosen, and nothing else.

Views read it and react to it, widgets and taps write it, the URL mirrors it. The data stand in a
`Source`, which all sessions share.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import param

from pixlab.dashboards.sources import Source
from pixlab.digis import Digis
from pixlab.errors import PixlabError
from pixlab.physics import TOLERANCES, Comparison

__all__ = ["Choices", "Session"]

logger = logging.getLogger(__name__)


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
        objects=[], check_on_set=True, doc="The detector layer shown in the overview."
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
    metric: Any = param.Selector(
        objects=[], check_on_set=True, doc="What the rate-distortion curve shows."
    )
    tolerance: Any = param.Selector(
        default=next(iter(TOLERANCES)),
        objects=list(TOLERANCES),
        doc="How far the decoded physics may be from the original.",
    )
    log_scale = param.Boolean(False, doc="Logarithmic charge colours and counts.")
    view: Any = param.Selector(objects=[], check_on_set=True, doc="The view in front.")
    theme: Any = param.Selector(default="light", objects=["light", "dark"], doc="Page colours.")
    problem = param.String("", doc="What went wrong last; empty when nothing did.")

    # what a URL carries; the layer follows from the module
    IN_URL = (
        "source", "event", "module", "codec", "point", "metric", "tolerance", "log_scale", "view", "theme",
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

    @param.depends("layer", watch=True)
    def _new_layer(self) -> None:
        detector = self.data.digis.detector
        if detector.layers[int(detector.layer[detector.index(self.module)])] != self.layer:
            self._fill_modules()

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

    def decoded(self) -> Digis:
        """The event after the chosen model; empty, with `problem` set, where that fails."""
        try:
            decoded = self.data.decoded(self.point, self.event)
        except Exception as error:
            self.report(error)
            return Digis.empty(self.data.digis.detector, 1)
        return decoded

    def comparison(self) -> Comparison | None:
        """What the chosen model does to the physics; None, with `problem` set, where that fails."""
        try:
            return self.data.comparison(self.point)
        except Exception as error:
            self.report(error)
            return None

    def report(self, error: BaseException) -> None:
        """Keep what went wrong as a text that a user can act on."""
        if not isinstance(error, PixlabError):
            logger.error("the dashboard met an unexpected error", exc_info=error)
            self.problem = f"Unexpected {type(error).__name__}: {error}; see the terminal"
        else:
            self.problem = str(error)

    # -- the URL ----------------------------------------------------------------------------
    def to_query(self) -> dict[str, str]:
        """The state as readable texts, one a query parameter."""
        points = {row: text for text, row in self.data.points(self.codec).items()}
        values = {name: getattr(self, name) for name in self.IN_URL}
        values["point"] = points[self.point]
        if len(self._sources) == 1:
            del values["source"]
        return {
            k: str(v).lower() if isinstance(v, bool) else str(v)
            for k, v in values.items()
            if v != ""
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
        if name == "event":
            self.event = int(text)
        elif name == "module":
            detid = int(text)
            if not 0 <= detid <= np.iinfo(np.uint32).max:
                raise ValueError(text)
            self.show_module(detid)
        elif name == "point":
            self.show_point(self.data.points(self.codec)[text])
        elif name == "log_scale":
            self.log_scale = {"true": True, "false": False}[text.lower()]
        else:
            setattr(self, name, text)


class Choices(param.Parameterized):
    """Some of a session's choices as one value, followed only while a view is in front.

    A view that is drawn from it does not redraw what nobody looks at, and redraws once when
    several choices change together.

    Parameters
    ----------
    session : Session
        Whose choices.
    view : str
        Name of the view.
    names : sequence of str
        Parameters of the session.
    """

    now = param.Dict(doc="Name and value of each choice.")

    def __init__(self, session: Session, view: str, names: Sequence[str]) -> None:
        self._session, self._view, self._names = session, view, tuple(names)
        super().__init__(now=self._read())
        session.param.watch(self._follow, [*names, "view"])

    def _read(self) -> dict[str, Any]:
        return {name: getattr(self._session, name) for name in self._names}

    def _follow(self, *events: Any) -> None:
        if self._session.view == self._view and self._read() != self.now:
            self.now = self._read()
