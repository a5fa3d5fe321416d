"""Spectra of original and decoded digis with their ratio."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pixlab.physics.spectra import SPECTRA
from pixlab.plots.bins import spectrum_bins
from pixlab.plots.style import BLUE, NONE, ORANGE, SKY, load_holoviews, style

if TYPE_CHECKING:
    import holoviews

    from pixlab.physics import Comparison

__all__ = ["spectrum_ratio"]


def spectrum_ratio(
    comparison: Comparison, name: str, layer: str = "all", *, logy: bool = False
) -> holoviews.Layout:
    """A spectrum of original and decoded digis, and below it their ratio.

    Parameters
    ----------
    comparison : Comparison
        From `pixlab.compare`.
    name : str
        One of `pixlab.physics.SPECTRA`.
    layer : str
        One layer, or "all".
    logy : bool
        Logarithmic counts.

    Returns
    -------
    holoviews.Layout
        The spectrum over the ratio decoded / original, with one x axis; the label of the counts
        says how wide the bins are, that of the axis what lies beyond the last one. Bars are the statistical
        error sqrt(n) of the decoded counts; the band is that of the original. Both samples are the
        same events, so the true error of the ratio is smaller.
    """
    hv = load_holoviews()
    bins = spectrum_bins(comparison, name, layer)
    edges, original, decoded, ratio, scale = (
        bins.edges, bins.original, bins.decoded, bins.ratio, bins.scale,
    )  # fmt: skip
    centre = (edges[1:] + edges[:-1]) / 2
    floor = bins.floor if logy else 0.0
    height, points = original * scale, decoded * scale
    drawn = decoded > 0 if logy else np.ones(len(original), bool)
    hover = {
        "bin": np.array(bins.names),
        "original": original,
        "decoded": decoded,
        "ratio": np.array([NONE if np.isnan(r) else f"{r:.3f}" for r in ratio]),
    }
    tips = [(k, f"@{k}") for k in hover]
    x_dim = hv.Dimension(name, label=SPECTRA[name].axis_label)
    common = {"xlim": (float(edges[0]), float(edges[-1]))}

    def dots(values: NDArray[np.float64], error: NDArray[np.float64], at: NDArray, y: str) -> Any:
        """Markers with error bars; both are there only where `at` is true."""
        table = {name: centre[at], y: values[at]} | {k: v[at] for k, v in hover.items()}
        marks = hv.Points(table, [x_dim, y], list(hover), label="decoded").opts(
            **style(color=ORANGE, size=4, tools=["hover"], hover_tooltips=tips)
        )
        bars = hv.ErrorBars((centre[at], values[at], error[at]), [x_dim], [y, "error"])
        return (
            bars.opts(backend="bokeh", color=ORANGE, line_width=1, lower_head=None, upper_head=None)
            * marks
        )

    steps = np.stack([edges[:-1], edges[1:]], axis=1).ravel()
    outline = np.maximum(np.repeat(height, 2), floor)
    fill = hv.Area(
        (steps, np.full(len(steps), floor), outline), [x_dim], ["floor", "top"], label="original"
    )
    line = hv.Curve((steps, outline), [x_dim], ["entries"])
    top = float(max(height.max(initial=0), points.max(initial=0))) or 1.0
    spectrum_panel = (
        fill.opts(backend="bokeh", color=SKY, alpha=0.45, line_alpha=0)
        * line.opts(backend="bokeh", color=BLUE, line_width=1, line_alpha=0.7)
        * dots(points, np.sqrt(decoded) * scale, drawn, "entries")
    ).opts(
        **style(
            **common,
            ylabel=bins.y_label,
            ylim=(floor, 3 * top) if logy else (0.0, 1.1 * top),
            logy=logy,
            title=layer if layer != "all" else "all layers",
            xaxis="bare",
            legend_position="top_right",
            legend_opts={"background_fill_alpha": 0.5, "border_line_alpha": 0},
            height=260,
        )
    )

    known = original > 0
    safe = np.where(known, original, 1)
    error = np.sqrt(decoded) / safe
    reach = bins.reach
    band = np.repeat(np.where(known, 1 / np.sqrt(safe), np.nan), 2)
    ratio_panel = (
        hv.Area((steps, 1 - band, 1 + band), [x_dim], ["low", "high"]).opts(
            backend="bokeh", color=SKY, alpha=0.4, line_alpha=0
        )
        * hv.HLine(1.0).opts(backend="bokeh", color=BLUE, line_width=1)
        * dots(ratio, error, known, "ratio to original")
    ).opts(
        **style(
            **common,
            xlabel=bins.x_label,
            ylabel="ratio",
            ylim=(1 - reach, 1 + reach),
            show_legend=False,
            yticks=5,
            height=130,
        )
    )
    layout = hv.Layout([spectrum_panel, ratio_panel]).cols(1)
    return layout.opts(backend="bokeh", shared_axes=True, autohide_toolbar=True)
