"""Distortion over rate, to be tapped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, FixedTicker, Label, Legend, LegendItem, Span, TapTool
from numpy.typing import NDArray

from pixlab.plots.live.figures import hover, new_figure
from pixlab.plots.points import Points
from pixlab.plots.style import ACCENT, CODEC_COLOURS, GREY, MARKERS

__all__ = ["RatePlot"]

_TICKS = [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 15, 20, 25, 30, 40, 60, 100, 200]


class RatePlot:
    """A curve a codec, a point a setting; lines for ROOT, floors, tolerances; the front of the best.

    Parameters
    ----------
    name : str
        Of the figure.
    points : Points
        From `pixlab.plots.points.sweep_points`.
    floors : dict of str to float
        Rates with a name that lossless coding needs about.
    log : bool
        Logarithmic distortion.
    then : function of int
        Called with the row of a tapped point.
    height : int
        Pixels.
    """

    def __init__(
        self,
        name: str,
        points: Points,
        floors: dict[str, float],
        *,
        log: bool,
        then: Callable[[int], None],
        height: int = 430,
    ) -> None:
        self.points = points
        self._then = then
        self.figure = new_figure(
            name,
            height=height,
            x_label="rate [bits/digi]",
            y_label=points.y_label,
            x_axis_type="log",
            y_axis_type="log" if log else "linear",
        )
        x, y = view(points, floors, log)
        for span, ends in ((self.figure.x_range, x), (self.figure.y_range, y)):
            span.update(start=ends[0], end=ends[1], reset_start=ends[0], reset_end=ends[1])
        self.figure.xaxis.ticker = FixedTicker(ticks=_TICKS)
        self.figure.xgrid.ticker = self.figure.xaxis.ticker
        self.figure.xaxis.major_label_overrides = {t: str(t) for t in _TICKS}
        self._lines(floors, x, y, log)
        self._front(y[0])
        rows = np.arange(len(points.rate))
        self.settings = ColumnDataSource(
            {
                "x": points.rate,
                "y": points.value,
                "codec": points.codec,
                "setting": points.label,
                "row": rows,
            }
        )
        self._curves()
        self._compared = self.figure.scatter(
            [], [], marker="circle", size=16, fill_alpha=0, line_color=GREY, line_width=2
        )
        self._chosen = self.figure.scatter(
            [], [], marker="circle", size=20, fill_alpha=0, line_color=ACCENT, line_width=3
        )
        # one glyph over all curves, which is tapped and says what it is
        targets = self.figure.scatter("x", "y", source=self.settings, size=14, alpha=0)
        targets.nonselection_glyph = targets.selection_glyph = None
        tips = [
            ("codec", "@codec"),
            ("setting", "@setting"),
            ("bits/digi", "@x{0.00}"),
            (points.y_label, "@y{0.000}"),
        ]
        self.figure.add_tools(hover([targets], tips), TapTool(renderers=[targets]))
        self.settings.selected.on_change("indices", self._tapped)

    def choose(self, row: int, compared: Sequence[int] = ()) -> None:
        """Ring the chosen point, and thinly those that it is compared with."""
        for ring, rows in ((self._chosen, [row]), (self._compared, list(compared))):
            ring.data_source.data = {"x": self.points.rate[rows], "y": self.points.value[rows]}

    def _tapped(self, attribute: str, old: list[int], new: list[int]) -> None:
        if new:
            self.settings.selected.indices = []  # so that the same one can be tapped again
            self._then(int(new[0]))

    def _curves(self) -> None:
        points, legend = self.points, []
        for i, codec in enumerate(points.codecs):
            own = points.of(codec)
            look: dict[str, Any] = {"color": CODEC_COLOURS[i % len(CODEC_COLOURS)]}
            curve = self.figure.line(points.rate[own], points.value[own], line_width=2, **look)
            marks = self.figure.scatter(
                points.rate[own],
                points.value[own],
                size=10,
                marker=MARKERS[i % len(MARKERS)],
                line_color="white",
                **{"fill_color": look["color"]},
            )
            legend.append(LegendItem(label=codec, renderers=[curve, marks]))
        self.figure.add_layout(
            Legend(
                items=[*legend, LegendItem(label="best at its rate", renderers=[self._front_line])],
                orientation="horizontal", background_fill_alpha=0, border_line_alpha=0,
                click_policy="hide", padding=2, spacing=12, margin=0, ncols=3,
                label_text_font_size="12px",
            ),
            "above",
        )  # fmt: skip

    def _front(self, bottom: float) -> None:
        front = self.points.front
        self._front_line = self.figure.line(
            self.points.rate[front],
            np.maximum(self.points.value[front], bottom),
            line_color=GREY,
            line_width=7,
            line_alpha=0.35,
        )

    def _lines(
        self, floors: dict[str, float], x: tuple[float, float], y: tuple[float, float], log: bool
    ) -> None:
        look: dict[str, Any] = {"line_color": GREY, "line_width": 1}
        words: dict[str, Any] = {"text_color": GREY, "text_font_size": "11px"}
        for name, rate in (floors | self.points.root).items():
            dash = "dotted" if name in floors else "dashed"
            self.figure.add_layout(Span(location=rate, dimension="height", line_dash=dash, **look))
            self.figure.add_layout(
                Label(
                    x=rate, y=y[1], text=f"{name} ", angle=np.pi / 2, text_align="right",
                    text_baseline="bottom", x_offset=-2, **words,
                )
            )  # fmt: skip
        for limit in self.points.limits.values():
            level = Span(location=limit, dimension="width", line_dash="dashed", **look)
            self.figure.add_layout(level)
        # beyond all points there is room, up to the lines of ROOT
        free = max(_finite(self.points.rate, positive=True)) if self.points.root else x[0]
        for limit, name in self.points.named_limits(y, log):
            self.figure.add_layout(
                Label(x=free, y=limit, x_offset=8, text=name, text_baseline="bottom", **words)
            )


def view(
    points: Points, floors: dict[str, float], log: bool
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Axis ranges that hold the points, all named rates and, on a linear axis, zero."""
    rates = _finite([*points.rate, *points.root.values(), *floors.values()], positive=True)
    values = _finite(points.value, positive=log)
    low, high = min(values), max(values)
    if log:
        y = low / 1.5, 2 * high
    else:
        if 0 < low < 0.5 * high:
            low = 0.0
        room = 0.1 * (high - low) or 0.1 * abs(high) or 0.1
        y = low - (room if low else 0.4 * room), high + room
    return (min(rates) / 1.12, max(rates) * 1.06), y


def _finite(values: Sequence[float] | NDArray, *, positive: bool) -> list[float]:
    kept = [float(v) for v in values if np.isfinite(v) and (v > 0 or not positive)]
    return kept or [1.0, 2.0]
