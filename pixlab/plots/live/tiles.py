"""The modules of a layer as tiles to tap."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from bokeh.models import BasicTicker, ColumnDataSource, FixedTicker, TapTool
from bokeh.palettes import Viridis256
from numpy.typing import NDArray

from pixlab.detectors import Detector
from pixlab.plots.live.figures import ColourScale, hover, new_figure
from pixlab.plots.style import ACCENT, DIFFERENCE
from pixlab.plots.tiles import Tiles

__all__ = ["TileMap"]

_GAP = 0.46  # tiles do not touch, so that each is seen as one


class TileMap:
    """Digis per module of one layer.

    Parameters
    ----------
    name : str
        Of the figure.
    then : function of int
        Called with the module's raw id when a tile is tapped.
    """

    def __init__(self, name: str, then: Callable[[int], None]) -> None:
        self.figure = new_figure(name)
        self.figure.grid.visible = False
        columns = ("x", "y", "detid", "ladder", "module", "side", "value")
        self.tiles = ColumnDataSource({column: [] for column in columns})
        self.scales = {
            "value": ColourScale(Viridis256, "digis"),
            "difference": ColourScale(DIFFERENCE, "decoded - original digis"),
        }
        size = 2 * _GAP
        self._drawn = {}
        for kind, scale in self.scales.items():
            drawn = self.figure.rect(
                "x", "y", size, size, source=self.tiles, line_width=0, selection_line_width=0
            )
            drawn.nonselection_glyph = drawn.selection_glyph = None
            scale.paint(drawn.glyph, "value", "fill_color")
            self._drawn[kind] = drawn
            bar = scale.bar()
            self.figure.add_layout(bar, "right")
            drawn.visible = bar.visible = kind == "value"
            self._drawn[f"{kind} bar"] = bar
        self._chosen = self.figure.rect(
            [], [], size, size, fill_alpha=0, line_color=ACCENT, line_width=3
        )
        boxes = [self._drawn["value"], self._drawn["difference"]]
        self._hover = hover(boxes, _tips("ladder", "@value{0}"))
        self.figure.add_tools(self._hover, TapTool(renderers=boxes))
        self._then = then
        self.tiles.selected.on_change("indices", self._tapped)

    def _tapped(self, attribute: str, old: list[int], new: list[int]) -> None:
        if new:
            detid = int(self.tiles.data["detid"][new[0]])
            self.tiles.selected.indices = []  # so that the same one can be tapped again
            self._then(detid)

    def show(
        self, detector: Detector, tiles: Tiles, values: NDArray, *, difference: bool, log: bool
    ) -> None:
        """Draw a layer; `values` are digis, or their difference, of each module of the detector."""
        own = tiles.modules
        shown = values[own].astype(float)
        self.tiles.data = {
            "x": tiles.x,
            "y": tiles.y,
            "detid": detector.detid[own].astype(np.int64),
            "ladder": detector.ladder[own].astype(np.int32),
            "module": detector.module[own].astype(np.int32),
            "side": detector.side[own].astype(np.int32),
            "value": shown,
        }
        kind = "difference" if difference else "value"
        for name, drawn in self._drawn.items():
            drawn.visible = name.split()[0] == kind
        largest = float(np.abs(shown).max(initial=1.0))
        self.scales["value"].set(0.0, largest, log=log)
        self.scales["difference"].set(-largest, largest)
        self._hover.tooltips = _tips(tiles.x_label, "@value{+0}" if difference else "@value{0}")
        x, y = self.figure.x_range, self.figure.y_range
        x.update(start=tiles.x.min() - 0.6, end=tiles.x.max() + 0.6)
        y.update(start=tiles.y.min() - 0.6, end=tiles.y.max() + 0.6)
        for span in (x, y):
            span.update(reset_start=span.start, reset_end=span.end, bounds=(span.start, span.end))
        self.figure.xaxis.axis_label, self.figure.yaxis.axis_label = tiles.x_label, tiles.y_label
        axis = self.figure.yaxis[0]
        ticks = tiles.y_ticks or {}
        if axis.major_label_overrides != ticks:  # another ticker is work for all of the page
            axis.ticker = FixedTicker(ticks=list(ticks)) if ticks else BasicTicker()
            axis.major_label_overrides = ticks

    def choose(self, tiles: Tiles, module: int) -> None:
        """Frame the tile of that index in the detector's module table."""
        at = tiles.modules == module
        self._chosen.data_source.data = {"x": tiles.x[at], "y": tiles.y[at]}


def _tips(ladder: str, digis: str) -> list[tuple[str, str]]:
    return [
        ("detid", "@detid{0}"),
        (ladder, "@ladder"),
        ("module or panel", "@module"),
        ("side", "@side"),
        ("digis", digis),
    ]
