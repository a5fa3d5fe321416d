"""The explorer: from a layer to a module to its pixels, original and decoded side by side."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import holoviews as hv
import numpy as np
import panel as pn
from bokeh.models import Range1d, RangeTool
from numpy.typing import NDArray

from pixlab import plots
from pixlab.dashboards.session import Choices, Session
from pixlab.dashboards.widgets import ACCENT, Taps, card, grid, named, weakly

__all__ = ["Explorer", "busiest_window"]

Window = tuple[float, float, float, float]

WINDOW = (40, 64)  # rows and columns of the first zoom: about a readout chip
_PLAIN = {"title": "", "show_frame": True}  # the card around a drawing has its title

HELP = {
    "layer": "Digis (pixels above threshold) per module of this layer in this event. The layer is "
    "unrolled: ladders around the beam line across, modules along it upwards. Tap a module to see "
    "its hits.",
    "module": "All hits of the chosen module, original charge. The box is what the three maps below "
    "show: drag it, or pull its edges.",
    "original": "Charge of each pixel as simulated, in adc counts (hover for electrons). "
    "Empty: no hit above threshold.",
    "decoded": "The same pixels after compressing and decompressing with the chosen codec. "
    "Same colour scale as the original.",
    "difference": "Decoded minus original charge. Red: charge gained, blue: charge lost, white: "
    "unchanged. A hit that is missing on one side counts as zero charge there.",
}


class Explorer(pn.viewable.Viewer):
    """Layer overview, module, and original, decoded and difference hit maps with one zoom.

    Parameters
    ----------
    session : Session
        Whose choices it shows and changes.
    """

    title = "Hit maps"

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        # the zoom belongs to the view, one a page or cell, so that no redraw ever touches it
        self._zooms: dict[str, tuple[Range1d, Range1d]] = {}
        module = ["source", "event", "module", "log_scale"]
        layer = self._drawn(self._layer, ["source", "event", "layer", "log_scale"])
        self._taps = Taps(layer, self._tapped)
        chosen = self._drawn(self._chosen, ["source", "layer", "module"])
        self.layer = (layer * chosen).opts(hooks=[named("layer"), self._taps.hook])
        self.module = self._drawn(self._module, module).opts(
            **_PLAIN, height=240, hooks=[named("module"), weakly(self._link_box)]
        )
        self.maps = {
            what: self._drawn(partial(self._hits, place), [*module, "point"]).opts(
                **_PLAIN, height=350, hooks=[named(what), weakly(self._link_zoom)]
            )
            for place, what in enumerate(("original", "decoded", "difference"))
        }
        self._centred = Choices(session, self.title, module[:3])
        self._centred.param.watch(self._recentre, "now")
        self._view = self._build()

    def _drawn(self, draw: Callable[[dict[str, Any]], hv.Element], names: list[str]) -> Any:
        return hv.DynamicMap(pn.bind(draw, Choices(self.session, self.title, names).param.now))

    # -- drawings ---------------------------------------------------------------------------
    def _layer(self, now: dict[str, Any]) -> hv.Rectangles:
        tiles = plots.occupancy_map(self.session.original(), now["layer"])
        tiles = tiles.opts(**_colours(now["log_scale"], tiles))
        # the chosen module has a border of its own, which follows every way of choosing
        return tiles.opts(**_PLAIN, height=240, framewise=True, nonselection_alpha=1)

    def _chosen(self, now: dict[str, Any]) -> hv.Rectangles:
        tiles = plots.occupancy_map(self.session.original(), now["layer"])
        corners = [d.name for d in tiles.kdims]
        mine = tiles.dimension_values("detid") == now["module"]
        box = [float(tiles.dimension_values(c)[mine][0]) for c in corners] if mine.any() else []
        return hv.Rectangles([box] if box else [], corners).opts(
            fill_alpha=0, line_color=ACCENT, line_width=3, tools=[], default_tools=[]
        )

    def _module(self, now: dict[str, Any]) -> hv.Rectangles:
        original = self.session.original()
        hits = plots.hit_map(original, 0, now["module"])
        detector = original.detector
        sensor = detector.sensors[detector.sensor[detector.index(now["module"])]]
        chips = {
            f"{axis}ticks": list(range(0, size + 1, step)) if step else None
            for axis, size, step in (
                ("x", sensor.cols, sensor.chip_cols),
                ("y", sensor.rows, sensor.chip_rows),
            )
        }
        colours = _colours(now["log_scale"], hits)
        return hits.opts(
            **chips, **colours, line_width=2, line_color="adc", colorbar=False, default_tools=[]
        )

    def _hits(self, place: int, now: dict[str, Any]) -> hv.Rectangles:
        s = self.session
        hits = list(plots.hit_maps(s.original(), s.decoded(), 0, now["module"]))[place]
        colours = {} if place == 2 else _colours(now["log_scale"], hits)
        return hits.opts(line_width=0.5, line_color="#8888884d", **colours)

    # -- the zoom ---------------------------------------------------------------------------
    def _frame(self) -> tuple[Window, Window]:
        """The first zoom on the chosen module, and the module: left, bottom, right, top."""
        s = self.session
        detector = s.data.digis.detector
        index = int(detector.index(s.module))
        shape = int(detector.rows[index]), int(detector.cols[index])
        one = s.original().select(detid=s.module)
        window = busiest_window(one.row, one.col, shape, WINDOW)
        return window, (-0.5, -0.5, shape[1] - 0.5, shape[0] - 0.5)

    def _zoom(self, plot: Any) -> tuple[Range1d, Range1d]:
        root = plot.root.ref["id"]
        if root not in self._zooms:
            (left, bottom, right, top), whole = self._frame()
            self._zooms[root] = (
                Range1d(start=left, end=right, bounds=whole[::2]),
                Range1d(start=bottom, end=top, bounds=whole[1::2]),
            )
        return self._zooms[root]

    def _link_zoom(self, plot: Any, element: Any) -> None:
        figure, (x, y) = plot.state, self._zoom(plot)
        if figure.x_range is not x:
            figure.x_range, figure.y_range = x, y

    def _link_box(self, plot: Any, element: Any) -> None:
        figure, (x, y) = plot.state, self._zoom(plot)
        if not figure.select(type=RangeTool):
            box = RangeTool(x_range=x, y_range=y)
            box.overlay.fill_color = ACCENT
            box.overlay.fill_alpha = 0.12
            box.overlay.line_color = ACCENT
            box.overlay.line_dash = "solid"
            figure.add_tools(box)

    def _recentre(self, *events: Any) -> None:
        (left, bottom, right, top), whole = self._frame()
        for x, y in self._zooms.values():
            x.update(start=left, end=right, bounds=whole[::2])
            y.update(start=bottom, end=top, bounds=whole[1::2])

    def _tapped(self, index: int) -> None:
        detector = self.session.data.digis.detector
        in_layer = np.flatnonzero(detector.in_layer(self.session.layer))
        self.session.show_module(int(detector.detid[in_layer[index]]))

    # -- the page ---------------------------------------------------------------------------
    def _build(self) -> Any:
        p = self.session.param
        titles = {
            "layer": pn.bind(self._layer_title, p.layer),
            "module": pn.bind(self._module_title, p.module),
            "original": "Original",
            "decoded": pn.bind(self._decoded_title, p.source, p.point),
            "difference": "Difference",
        }
        drawn = {"layer": self.layer, "module": self.module, **self.maps}
        cards = {key: card(titles[key], drawn[key], HELP[key], name=key) for key in drawn}
        return pn.Column(
            grid((5, cards["layer"]), (7, cards["module"])),
            grid(*((1, cards[what]) for what in self.maps)),
            sizing_mode="stretch_width",
            margin=0,
        )

    def _layer_title(self, layer: str) -> str:
        return f"1 · Choose a module of {layer}"

    def _decoded_title(self, source: str, point: int) -> str:
        return f"Decoded · {self.session.data.label(point)}"

    def _module_title(self, detid: int) -> str:
        return f"2 · Module {self.session.data.module_name(detid)}"

    def close(self) -> None:
        """The visitor has left."""
        self._taps.close()

    def __panel__(self) -> Any:
        return self._view


def busiest_window(
    row: NDArray[np.integer],
    col: NDArray[np.integer],
    shape: tuple[int, int],
    size: tuple[int, int],
) -> Window:
    """The window of that size (rows, columns) with most pixels: left, bottom, right, top."""
    height, width = min(size[0], shape[0]), min(size[1], shape[1])
    counts = np.zeros((shape[0] + 1, shape[1] + 1), np.int32)
    np.add.at(counts, (row.astype(int) + 1, col.astype(int) + 1), 1)
    total = counts.cumsum(axis=0).cumsum(axis=1)
    inside = (
        total[height:, width:]
        - total[:-height, width:]
        - total[height:, :-width]
        + total[:-height, :-width]
    )
    # of all windows with as many pixels the middle one, so that clusters stand clear of the edge
    best = np.argwhere(inside == inside.max())
    row0 = int(best[len(best) // 2, 0])
    in_row = best[best[:, 0] == row0, 1]
    col0 = int(in_row[len(in_row) // 2])
    # pixel i reaches from i - 0.5 to i + 0.5
    return col0 - 0.5, row0 - 0.5, col0 + width - 0.5, row0 + height - 0.5


def _colours(log: bool, drawn: hv.Rectangles) -> dict[str, Any]:
    """Options for linear or logarithmic colours; a logarithmic scale begins at one count."""
    top = max(2.0, drawn.opts.get("plot").kwargs["clim"][1])
    return {"cnorm": "log", "clim": (1.0, top)} if log else {"cnorm": "linear"}
