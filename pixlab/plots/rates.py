"""Distortion over rate, for many codecs and settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pixlab.physics.metrics import METRICS
from pixlab.plots.fronts import verdict_points
from pixlab.plots.points import Points, sweep_points
from pixlab.plots.style import CODEC_COLOURS, GREY, MARKERS, load_holoviews, style
from pixlab.study import Sweep

if TYPE_CHECKING:
    from collections.abc import Mapping
    from os import PathLike

    import holoviews
    import pandas

    from pixlab.physics import Tolerances

__all__ = ["rate_distortion", "verdict_front"]


# floors of `Sweep.floors` that are drawn, and their names
_FLOORS = {"hit_map": "hit map alone", "lossless": "hit map + noise"}


def rate_distortion(
    table: pandas.DataFrame | Sweep,
    metric: str,
    *,
    logy: bool = False,
    root: bool = True,
    floors: bool = True,
    front: bool = True,
) -> holoviews.Overlay:
    """Distortion over rate: a curve a codec, a point a setting.

    Parameters
    ----------
    table : DataFrame or Sweep
        One row a point, as in ``Sweep.table``: columns codec, bits_per_digi, label, and the metric.
    metric : str
        One of `pixlab.physics.METRICS`, for all layers together.
    logy : bool
        Logarithmic distortion.
    root : bool
        Show what ROOT's own compression costs; the rate axis then reaches out to it.
    floors : bool
        Show, of a `Sweep`, what coding the hit map alone takes at least, and with the noise of the
        charge (`pixlab.study.floors`).
    front : bool
        Show which settings no other one beats, where there are several codecs.

    Returns
    -------
    holoviews.Overlay
        Its ``Points`` element ("settings") holds all rows in the order of the table: the index of
        a tapped point is the place of its row. Vertical lines: the rate of ROOT where the table
        has it, and floors; horizontal ones: the limits of the tolerances.
    """
    lowest: dict[str, float] = {}
    if isinstance(table, Sweep):
        lowest = {name: table.floors.get(key, np.nan) for key, name in _FLOORS.items() if floors}
        table = table.table
    name = (metric.replace("_", " "), METRICS[metric].label) if metric in METRICS else ("", "")
    found = sweep_points(table, metric)
    return _drawn(found, name, logy, lowest | (found.root if root else {}), front)


def verdict_front(
    sweep: Sweep,
    tolerances: str | PathLike[str] | Mapping[str, float] | Tolerances = "transparent",
    *,
    root: bool = False,
) -> holoviews.Overlay:
    """How far the worst check of each setting is from its limit, over rate.

    Below the line at 1 every metric is inside in every layer: the codec whose curve crosses it
    farthest to the left is the cheapest under these tolerances.

    Parameters
    ----------
    sweep : Sweep
        With its comparisons.
    tolerances : str, path, mapping or Tolerances
        What is allowed; see `pixlab.physics.Tolerances.of`.
    root : bool
        Show what ROOT's own compression costs.
    """
    found = verdict_points(sweep, tolerances)
    return _drawn(found, ("worst", "worst check"), True, found.root if root else {}, True)


def _drawn(
    found: Points, name: tuple[str, str], logy: bool, rates: dict[str, float], front: bool
) -> holoviews.Overlay:
    """Curves, points, upright lines at `rates` and level ones at the limits."""
    hv = load_holoviews()
    rate, value, codec, label, y_label = (
        found.rate, found.value, found.codec, found.label, found.y_label,
    )  # fmt: skip
    codecs = found.codecs
    colour = {c: CODEC_COLOURS[i % len(CODEC_COLOURS)] for i, c in enumerate(codecs)}
    marker = {c: MARKERS[i % len(MARKERS)] for i, c in enumerate(codecs)}
    x_dim = hv.Dimension("bits per digi", label="rate [bits/digi]")
    y_dim = hv.Dimension(name[0], label=name[1])

    parts = []
    for c in codecs:
        own = found.of(c)
        curve = hv.Curve((rate[own], value[own]), x_dim, y_dim, label=c)
        parts.append(curve.opts(backend="bokeh", color=colour[c], line_width=2))
    if front and len(codecs) > 1:
        best = hv.Curve((rate[found.front], value[found.front]), x_dim, y_dim, label="best of all")
        parts.append(best.opts(backend="bokeh", color="black", line_width=1, line_dash="dotted"))
    columns: dict[str, Any] = {
        "bits per digi": rate,
        y_dim.name: value,
        "codec": codec,
        "setting": label,
    }
    columns |= {"colour": [colour[c] for c in codec], "marker": [marker[c] for c in codec]}
    points = hv.Points(columns, [x_dim, y_dim], list(columns)[2:], group="settings")
    points = points.opts(
        **style(
            color="colour",
            marker="marker",
            size=9,
            line_color="white",
            tools=["hover", "tap"],
            hover_tooltips=[
                ("codec", "@codec"),
                ("setting", "@setting"),
                ("bits/digi", "@{bits per digi}{0.00}"),
                (y_label, f"@{{{y_dim.name}}}{{0.000}}"),
            ],
            nonselection_alpha=0.45,
            selection_line_color="black",
            selection_line_width=2,
        )
    )
    upright = {of: bits for of, bits in rates.items() if np.isfinite(bits)}
    x_view, y_view = _view(rate, value, list(upright.values()), logy)
    lines = []
    for of, bits in upright.items():
        text = {"angle": 90, "text_align": "right", "text_baseline": "bottom"}
        lines += _line(
            hv,
            hv.VLine(bits),
            bits - 0.005 * (x_view[1] - x_view[0]),
            y_view[1],
            f"{of} ",
            **text,
        )
    names = dict(found.named_limits(y_view, logy))
    for limit in found.limits.values():
        if y_view[0] <= limit <= y_view[1]:
            text = {"text_align": "right", "text_baseline": "bottom"}
            y = limit * 1.02 if logy else limit + 0.008 * (y_view[1] - y_view[0])
            lines += _line(hv, hv.HLine(limit), x_view[1], y, f"{names.get(limit, '')} ", **text)
    return hv.Overlay([*lines, *parts, points]).opts(
        **style(
            xlabel="rate [bits/digi]",
            ylabel=y_label,
            logy=logy,
            xlim=x_view,
            ylim=y_view,
            legend_position="top",
            legend_cols=4,
            legend_opts={"background_fill_alpha": 0, "border_line_alpha": 0, "margin": 0},
            height=320,
        )
    )


def _view(
    rate: NDArray[np.float64], value: NDArray[np.float64], extra: list[float], logy: bool
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Axis ranges that hold the points, ROOT's rates and, on a linear axis, zero."""
    rates = [float(r) for r in (*rate, *extra) if np.isfinite(r)] or [0.0, 1.0]
    values = [float(v) for v in value if np.isfinite(v) and (v > 0 or not logy)] or [0.5, 1.0]
    x_pad = 0.06 * (max(rates) - min(rates)) or 0.5
    low, high = min(values), max(values)
    if logy:
        y_view = low / 1.5, 2 * high
    else:
        if 0 < low < 0.5 * high:
            low = 0.0
        pad = 0.1 * (high - low) or 0.1 * abs(high) or 0.1
        y_view = low - (pad if low else 0.4 * pad), high + pad
    # the names of the tolerances stand on the right, beyond all lines
    return (min(rates) - x_pad, max(rates) + (2.2 if extra else 1) * x_pad), y_view


def _line(hv: Any, line: Any, x: float, y: float, name: str, **text: Any) -> list[Any]:
    """A dashed line with its name beside it."""
    return [
        line.opts(backend="bokeh", color=GREY, line_dash="dashed", line_width=1),
        hv.Text(x, y, name).opts(
            **{"backend": "bokeh", "text_font_size": "8pt", "text_color": GREY} | text
        ),
    ]
