"""The explorer: from the detector to a layer to a module to its pixels, original and decoded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import panel as pn
from bokeh.models import Range1d

from pixlab.dashboards.hitmaps import HitMaps
from pixlab.dashboards.session import Follower, Session
from pixlab.dashboards.widgets import Card, buttons, figure_pane, grid, later, switch
from pixlab.plots.live import ModuleMap, OverviewMap, TileMap
from pixlab.plots.overview import has_places
from pixlab.plots.pixels import Window, busiest_window, colour_top, pixel_table
from pixlab.plots.tiles import place_modules

__all__ = ["Explorer"]

WINDOW = (40, 64)  # rows and columns of the first zoom: about a readout chip

HELP = {
    "detector": "All hits at their places in the detector: the sum of their charge (adc counts) in "
    "each small cell, or, once you have zoomed in far enough, each hit with all its values. Tap to "
    "choose the module there. z runs along the beam, φ around it.",
    "layer": "Digis (pixels above threshold) per module of this layer. The layer is unrolled: "
    "ladders around the beam line across, modules along it upwards; of a forward disk, blades "
    "across and panels upwards. Tap a module to see its hits.",
    "module": "All hits of the chosen module, adc counts. The box is what the maps below show: drag "
    "it, or pull its edges. Grid lines are the edges of readout chips.",
}


class Explorer(pn.viewable.Viewer):
    """Detector, layer and module, and original against decoded hits with one zoom.

    Parameters
    ----------
    session : Session
        Whose choices it shows and changes.
    """

    title = "Explorer"

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        # the zoom belongs to the view, so that no redraw ever touches it
        self.zoom = Range1d(0, 1), Range1d(0, 1)
        self._moving = False
        Follower(session, self.title, ["source", "event", "module", "zoom"], self._move)
        for span in self.zoom:
            for end in ("start", "end"):
                span.on_change(end, self._moved)

        self.overviews: dict[str, OverviewMap] = {}
        self._detector = pn.Column(sizing_mode="stretch_width", margin=0)
        self.layer = TileMap("layer", self._show_module)
        self.module = ModuleMap("module", *self.zoom)
        p = session.param
        self.cards = {
            "detector": Card(
                "detector",
                "Detector",
                HELP["detector"],
                pn.Row(
                    buttons(p.projection),
                    switch(p.all_layers, "all layers"),
                    margin=0,
                ),
                self._detector,
            ),
            "layer": Card("layer", "Layer", HELP["layer"], figure_pane(self.layer.figure)),
            "module": Card("module", "Module", HELP["module"], figure_pane(self.module.figure)),
        }
        self.maps = HitMaps(session, self.title, *self.zoom)
        seen = ["source", "event", "shown", "point", "all_events", "log_scale"]

        def follow(names: list[str], then: Callable[[], None]) -> None:
            """Where only the original is seen, another point changes nothing."""

            def key() -> tuple[Any, ...]:
                chosen = [n for n in (*seen, *names) if n != "point"]
                return self._row(), *(getattr(session, n) for n in chosen)

            Follower(session, self.title, [*seen, *names], then, key=key)

        follow(["layer", "projection", "all_layers"], self._draw_all)
        follow(["layer"], self._draw_layer)
        follow(["module"], self._draw_module)
        Follower(session, self.title, ["source", "layer", "module", "projection"], self._choose)
        controls = pn.FlexBox(
            buttons(p.shown),
            switch(p.all_events, "all events"),
            switch(p.outlines, "cluster outlines"),
            sizing_mode="stretch_width",
            align_items="center",
        )
        self._view = pn.Column(
            controls,
            grid((5, self.cards["detector"]), (5, self.cards["layer"]), (7, self.cards["module"])),
            self.maps.__panel__(),
            sizing_mode="stretch_width",
            margin=0,
        )

    # -- what is shown ----------------------------------------------------------------------
    def _event(self) -> int | None:
        return None if self.session.all_events else self.session.event

    def _events(self) -> str:
        s = self.session
        return f"all {len(s.data.digis)} events" if s.all_events else f"event {s.event}"

    def _row(self) -> int | None:
        """The chosen row, None where only the original is to be seen."""
        return None if self.session.shown == "original" else self.session.point

    def _draw_all(self) -> None:
        s = self.session
        data, detector = s.data, s.data.digis.detector
        self.cards["detector"].visible = has_places(data.digis)
        if not self.cards["detector"].visible:
            return
        if s.projection not in self.overviews:
            made = OverviewMap(f"detector-{s.projection}", s.projection, later)
            made.on_tap(lambda module: self._show_module(int(self._detid(module))))
            self.overviews[s.projection] = made
            self.cards["detector"].offer_saving([o.figure for o in self.overviews.values()])
        table = data.cloud(self._row(), self._event())
        layers = list(range(len(detector.layers)))
        if not s.all_layers:
            layers = [detector.layers.index(s.layer)]
            table = table[detector.layer[table["module"].to_numpy()] == layers[0]]
        what = "all layers" if s.all_layers else s.layer
        self.cards["detector"].tell(f"Detector · {what}, {self._events()}")
        overview = self.overviews[s.projection]
        overview.show(table, detector, s.shown, layers=layers, log=s.log_scale)
        overview.choose(int(detector.index(s.module)))
        if len(self._detector) < len(self.overviews):
            self._detector.append(figure_pane(overview.figure))
        for place, name in zip(self._detector, self.overviews, strict=True):
            place.visible = name == s.projection

    def _detid(self, module: int) -> int:
        return int(self.session.data.digis.detector.detid[module])

    def _draw_layer(self) -> None:
        s = self.session
        sums = s.data.module_sums(self._row(), self._event())
        if s.shown == "difference":
            sums = sums - s.data.module_sums(None, self._event())
        detector = s.data.digis.detector
        self.cards["layer"].tell(f"Layer · {s.layer}, {self._events()}")
        self.layer.show(
            detector,
            place_modules(detector, s.layer),
            sums,
            difference=s.shown == "difference",
            log=s.log_scale,
        )

    def _choose(self) -> None:
        s = self.session
        detector = s.data.digis.detector
        index = int(detector.index(s.module))
        self.layer.choose(place_modules(detector, s.layer), index)
        if s.projection in self.overviews and self.cards["detector"].visible:
            self.overviews[s.projection].choose(index)

    def _draw_module(self) -> None:
        s = self.session
        original = s.original()
        decoded = original if self._row() is None else s.decoded()
        pixels = pixel_table(original, decoded, s.module)
        detector = original.detector
        index = int(detector.index(s.module))
        sensor = detector.sensors[detector.sensor[index]]
        name = s.data.module_name(s.module)
        self.cards["module"].tell(f"Module · {name}, event {s.event}")
        self.module.show(
            pixels,
            s.shown,
            shape=(int(detector.rows[index]), int(detector.cols[index])),
            chip=(sensor.chip_rows, sensor.chip_cols),
            top=colour_top(original.select(detid=s.module).adc),
            log=s.log_scale,
        )

    # -- the zoom ---------------------------------------------------------------------------
    def _frame(self) -> tuple[Window, Window]:
        """The zoom on the chosen module, and the module: left, bottom, right, top."""
        s = self.session
        detector = s.data.digis.detector
        index = int(detector.index(s.module))
        shape = int(detector.rows[index]), int(detector.cols[index])
        whole = (-0.5, -0.5, shape[1] - 0.5, shape[0] - 0.5)
        if s.zoom is not None:
            return s.zoom, whole
        one = s.original().select(detid=s.module)
        return busiest_window(one.row, one.col, shape, WINDOW), whole

    def _move(self) -> None:
        """Bring the ranges to where the session is."""
        (left, bottom, right, top), whole = self._frame()
        self._moving = True
        try:
            for span, start, end, ends in (
                (self.zoom[0], left, right, whole[::2]),
                (self.zoom[1], bottom, top, whole[1::2]),
            ):
                if abs(span.start - start) > 0.05 or abs(span.end - end) > 0.05:
                    span.update(start=start, end=end)
                if span.bounds != ends:
                    span.bounds = ends
                    span.update(reset_start=ends[0], reset_end=ends[1])
        finally:
            self._moving = False

    def _moved(self, attribute: str, old: float, new: float) -> None:
        """The visitor has moved the zoom: the session follows, a little later."""
        if not self._moving and not getattr(self, "_pending", False):
            self._pending = True
            later(self._remember, ms=250)

    def _remember(self) -> None:
        self._pending = False
        x, y = self.zoom
        edges = (x.start, y.start, x.end, y.end)
        if all(edge is not None for edge in edges):
            self.session.zoom = tuple(round(float(edge), 1) for edge in edges)

    def _show_module(self, detid: int) -> None:
        self.session.show_module(detid)

    def __panel__(self) -> Any:
        return self._view
