"""Spectra with their ratio, and what happened to matched clusters."""

from __future__ import annotations

import numpy as np
from bokeh.models import ColumnDataSource, Range1d, Span
from numpy.typing import NDArray

from pixlab.plots.bins import Bins, PairBins
from pixlab.plots.live.figures import hover, new_figure
from pixlab.plots.style import BLUE, GREY, ORANGE, SKY

__all__ = ["PairPlot", "SpectrumPlot"]

_LEFT = 70  # pixels beside the axes, so that one figure stands exactly over the other
_COLUMNS = (
    "left", "right", "centre", "top", "floor", "decoded", "low", "high", "ratio", "ratio_low",
    "ratio_high", "band_low", "band_high", "name", "n_original", "n_decoded",
)  # fmt: skip


class SpectrumPlot:
    """Original filled, decoded as points, below them decoded / original.

    Parameters
    ----------
    name : str
        Of the figures: with ``-0`` for the spectrum and ``-1`` for the ratio.
    log : bool
        Logarithmic counts; another kind of axis needs another plot.
    """

    def __init__(self, name: str, *, log: bool) -> None:
        self.log = log
        self.bins = ColumnDataSource({column: [] for column in _COLUMNS})
        x_range = Range1d(0, 1)
        self.figure = new_figure(
            f"{name}-0",
            height=240,
            x_range=x_range,
            y_axis_type="log" if log else "linear",
            min_border_left=_LEFT,
            min_border_right=10,
        )
        self.ratio = new_figure(
            f"{name}-1",
            height=150,
            x_range=x_range,
            y_label="ratio",
            min_border_left=_LEFT,
            min_border_right=10,
        )
        self.figure.xaxis.visible = False
        self.ratio.yaxis.ticker.desired_num_ticks = 4
        filled = self.figure.quad(
            "left", "right", bottom="floor", top="top", source=self.bins, fill_color=SKY,
            fill_alpha=0.45, line_alpha=0, legend_label="original",
        )  # fmt: skip
        self.figure.segment("left", "top", "right", "top", source=self.bins, line_color=BLUE)
        self.ratio.quad(
            "left", "right", bottom="band_low", top="band_high", source=self.bins, fill_color=SKY,
            fill_alpha=0.4, line_alpha=0,
        )  # fmt: skip
        self.ratio.add_layout(Span(location=1, dimension="width", line_color=BLUE))
        dots = []
        for made, value, low, high in (
            (self.figure, "decoded", "low", "high"),
            (self.ratio, "ratio", "ratio_low", "ratio_high"),
        ):
            made.segment("centre", low, "centre", high, source=self.bins, line_color=ORANGE)
            named = {"legend_label": "decoded"} if made is self.figure else {}
            dots.append(
                made.scatter("centre", value, source=self.bins, color=ORANGE, size=5, **named)
            )
        tips = [
            ("bin", "@name"),
            ("original", "@n_original"),
            ("decoded", "@n_decoded"),
            ("ratio", "@ratio{three}"),
        ]
        self.figure.add_tools(hover([filled], tips, mode="vline"))
        self.ratio.add_tools(hover([dots[1]], tips))
        legend = self.figure.legend[0]
        legend.update(
            location="top_right", background_fill_alpha=0.5, border_line_alpha=0, padding=4
        )

    def show(self, bins: Bins) -> None:
        """Draw these bins."""
        original, decoded = bins.original * bins.scale, bins.decoded * bins.scale
        error = np.sqrt(bins.decoded) * bins.scale
        floor = bins.floor if self.log else 0.0
        known = bins.original > 0
        safe = np.where(known, bins.original, 1)
        ratio_error = np.sqrt(bins.decoded) / safe
        band = np.where(known, 1 / np.sqrt(safe), np.nan)
        drawn = np.where(decoded > 0, decoded, np.nan) if self.log else decoded
        edges = bins.edges
        self.bins.data = {
            "left": edges[:-1],
            "right": edges[1:],
            "centre": (edges[1:] + edges[:-1]) / 2,
            "top": np.maximum(original, floor),
            "floor": np.full(len(original), floor),
            "decoded": drawn,
            "low": np.maximum(drawn - error, floor),
            "high": drawn + error,
            "ratio": bins.ratio,
            "ratio_low": bins.ratio - ratio_error,
            "ratio_high": bins.ratio + ratio_error,
            "band_low": 1 - band,
            "band_high": 1 + band,
            "name": np.array(bins.names, object),
            "n_original": bins.original,
            "n_decoded": bins.decoded,
        }
        top = float(max(original.max(initial=0), decoded.max(initial=0))) or 1.0
        _set(self.figure.x_range, float(edges[0]), float(edges[-1]))
        if self.log:
            _set(self.figure.y_range, floor, 3 * top)
        else:
            _set(self.figure.y_range, 0.0, 1.1 * top)
        _set(self.ratio.y_range, 1 - bins.reach, 1 + bins.reach)
        self.figure.yaxis.axis_label = bins.y_label
        self.ratio.xaxis.axis_label = bins.x_label


class PairPlot:
    """How much matched clusters have changed.

    Parameters
    ----------
    name : str
        Of the figure.
    log : bool
        Logarithmic counts; another kind of axis needs another plot.
    """

    def __init__(self, name: str, *, log: bool) -> None:
        self.log = log
        self.bins = ColumnDataSource({k: [] for k in ("left", "right", "floor", "top", "n")})
        self.figure = new_figure(
            f"{name}-0",
            height=240 + 150,
            y_axis_type="log" if log else "linear",
            min_border_left=_LEFT,
            min_border_right=10,
        )
        bars = self.figure.quad(
            "left", "right", bottom="floor", top="top", source=self.bins, fill_color=ORANGE,
            fill_alpha=0.5, line_color=ORANGE, line_alpha=0.8,
        )  # fmt: skip
        self._middle = Span(location=0, dimension="height", line_color=GREY, line_dash="dashed")
        self.figure.add_layout(self._middle)
        tips = [("from", "@left{0.000}"), ("to", "@right{0.000}"), ("clusters", "@n")]
        self.figure.add_tools(hover([bars], tips, mode="vline"))

    def show(self, bins: PairBins) -> None:
        """Draw these bins."""
        floor = 0.5 if self.log else 0.0
        counts: NDArray = bins.counts
        self.bins.data = {
            "left": bins.edges[:-1],
            "right": bins.edges[1:],
            "floor": np.full(len(counts), floor),
            "top": np.maximum(counts, floor),
            "n": counts,
        }
        top = float(counts.max(initial=1))
        _set(self.figure.x_range, float(bins.edges[0]), float(bins.edges[-1]))
        _set(self.figure.y_range, floor, 3 * top if self.log else 1.1 * top)
        self._middle.location = bins.centre
        self.figure.xaxis.axis_label, self.figure.yaxis.axis_label = bins.x_label, bins.y_label


def _set(span: Range1d, start: float, end: float) -> None:
    """Another range, to which a reset goes back; one that is the same stays as it was zoomed."""
    if (span.reset_start, span.reset_end) != (start, end):
        span.update(start=start, end=end, reset_start=start, reset_end=end)
