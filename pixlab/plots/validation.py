"""What happened to clusters, modules and tracks, for the screen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from pixlab.physics.metrics import METRICS
from pixlab.plots.matched import (
    SIZE_NAMES,
    layer_values,
    module_change,
    pair_bins,
    size_confusion_table,
)
from pixlab.plots.residuals import Residuals
from pixlab.plots.style import (
    BLUE,
    CODEC_COLOURS,
    DIFFERENCE,
    GREY,
    NONE,
    ORANGE,
    SKY,
    VALUES,
    load_holoviews,
    style,
)

if TYPE_CHECKING:
    import holoviews

    from pixlab.physics import Comparison

__all__ = [
    "cluster_change",
    "layer_metric",
    "module_changes",
    "residual_spectra",
    "size_confusion",
]

_DASHES = {"transparent": "solid", "analysis": "dashed", "loose": "dotted"}


def _where(layer: str) -> str:
    return "all layers" if layer == "all" else layer


def _steps(edges: NDArray[np.float64], counts: NDArray) -> tuple[NDArray, NDArray]:
    """The outline of a histogram."""
    return np.stack([edges[:-1], edges[1:]], axis=1).ravel(), np.repeat(counts, 2)


def cluster_change(
    comparison: Comparison,
    name: Literal["response", "shift_row", "shift_col"],
    layer: str = "all",
    *,
    logy: bool = True,
) -> holoviews.Overlay:
    """How matched clusters changed: charge response, or barycentre shift by cluster size.

    Parameters
    ----------
    comparison : Comparison
        From `pixlab.compare`.
    name : {"response", "shift_row", "shift_col"}
        What is shown.
    layer : str
        One layer, or "all".
    logy : bool
        Logarithmic counts.

    Returns
    -------
    holoviews.Overlay
        All matched clusters as an area; for shifts a line for each size of the original cluster
        along the axis. The outermost bins hold what lies beyond them.
    """
    hv = load_holoviews()
    bins = pair_bins(comparison, name, layer)
    x_dim = hv.Dimension(name.replace("_", " "), label=bins.x_label)
    floor = 0.5 if logy else 0.0
    total = bins.counts.sum(axis=0)
    x, y = _steps(bins.edges, np.maximum(total, floor))
    area = hv.Area((x, np.full(len(x), floor), y), [x_dim], ["floor", "top"], label="all")
    parts = [area.opts(backend="bokeh", color=SKY, alpha=0.45, line_color=BLUE, line_alpha=0.7)]
    if len(bins.counts) > 1:
        for counts, size, colour in zip(bins.counts, SIZE_NAMES, CODEC_COLOURS, strict=False):
            if counts.any():
                x, y = _steps(bins.edges, np.maximum(counts, floor))
                curve = hv.Curve((x, y), [x_dim], ["entries"], label=f"size {size}")
                parts.append(curve.opts(backend="bokeh", color=colour, line_width=1.5))
    line = hv.VLine(bins.centre).opts(backend="bokeh", color=GREY, line_dash="dotted", line_width=1)
    top = float(total.max(initial=1)) or 1.0
    return hv.Overlay([*parts, line]).opts(
        **style(
            title=f"{_where(layer)}: {bins.total:,} matched clusters",
            xlabel=bins.x_label,
            ylabel=f"clusters / {bins.edges[1] - bins.edges[0]:.3g}",
            xlim=(float(bins.edges[0]), float(bins.edges[-1])),
            ylim=(floor, 3 * top) if logy else (0.0, 1.1 * top),
            logy=logy,
            show_legend=len(parts) > 1,
            legend_position="top_right",
            legend_opts={"background_fill_alpha": 0.5, "border_line_alpha": 0},
            height=300,
        )
    )


def size_confusion(
    comparison: Comparison, axis: Literal["row", "col"], layer: str = "all"
) -> holoviews.Rectangles:
    """Cluster size before and after: of each original size, the share with each decoded size.

    Parameters
    ----------
    comparison : Comparison
        From `pixlab.compare`.
    axis : {"row", "col"}
        Size along rows or columns.
    layer : str
        One layer, or "all".

    Returns
    -------
    holoviews.Rectangles
        One tile a pair of sizes that occurs; value dimensions original, decoded, clusters, share.
    """
    hv = load_holoviews()
    table = size_confusion_table(comparison, axis, layer)
    before, after = np.nonzero(table.counts)
    names = np.array(table.names, object)
    columns = {
        "left": before - 0.48,
        "bottom": after - 0.48,
        "right": before + 0.48,
        "top": after + 0.48,
        "original": names[before],
        "decoded": names[after],
        "clusters": table.counts[before, after],
        "share": 100 * table.share[before, after],
    }
    ticks = list(enumerate(table.names))
    along = {"row": "rows", "col": "columns"}[axis]
    n = len(table.names)
    return hv.Rectangles(columns, list(columns)[:4], list(columns)[4:]).opts(
        **style(
            color=hv.dim("share"),
            line_width=0,
            cmap=VALUES,
            clim=(0.0, 100.0),
            colorbar=True,
            clabel="share of the original size [%]",
            colorbar_opts={"width": 10, "padding": 2, "title_standoff": 6},
            title=_where(layer),
            xlabel=f"original size in {along} [pixels]",
            ylabel=f"decoded size in {along} [pixels]",
            xticks=ticks,
            yticks=ticks,
            xlim=(-0.6, n - 0.4),
            ylim=(-0.6, n - 0.4),
            tools=["hover"],
            hover_tooltips=[
                ("original", "@original"),
                ("decoded", "@decoded"),
                ("clusters", "@clusters{0,0}"),
                ("share", "@share{0.00} %"),
            ],
            height=320,
        )
    )


def layer_metric(comparison: Comparison, metric: str) -> holoviews.Overlay:
    """A metric in each layer with its error, after pre-mixing too, and the limits of the presets.

    Parameters
    ----------
    comparison : Comparison
        From `pixlab.compare`.
    metric : str
        One of `pixlab.physics.METRICS`.
    """
    hv = load_holoviews()
    shown = layer_values(comparison, metric)
    what = METRICS[metric]
    factor = 100.0 if what.unit == "%" else 1.0
    place = np.arange(len(comparison.layers), dtype=float)
    names = np.array(comparison.layers, object)
    low, high = shown.range
    parts: list[Any] = []
    for preset, limits in shown.limits.items():
        for y in limits:
            line = hv.HLine(y).opts(
                backend="bokeh", color=GREY, line_dash=_DASHES[preset], line_width=1
            )
            parts.append(line)
        if low < limits[0] < high:
            text = {"text_align": "right", "text_baseline": "bottom", "text_font_size": "8pt"}
            name = hv.Text(place[-1] + 0.45, limits[0], preset)
            parts.append(name.opts(backend="bokeh", text_color=GREY, **text))
    marks = zip(shown.stages.items(), (BLUE, ORANGE), ("circle", "square"), strict=False)
    for i, ((label, (values, errors)), colour, marker) in enumerate(marks):
        known = np.isfinite(values)
        at = place[known] + 0.2 * (i - (len(shown.stages) - 1) / 2)
        texts = [
            what.with_error(v / factor, e / factor)
            for v, e in zip(values[known], errors[known], strict=True)
        ]
        columns = {"place": at, "value": values[known], "layer": names[known], "text": texts}
        points = hv.Points(columns, ["place", "value"], ["layer", "text"], label=label)
        tips = [("layer", "@layer"), (what.label, "@text")]
        bars = hv.ErrorBars((at, values[known], errors[known]), ["place"], ["value", "error"])
        parts.append(bars.opts(backend="bokeh", color=colour, lower_head=None, upper_head=None))
        parts.append(
            points.opts(
                **style(color=colour, marker=marker, size=8, tools=["hover"], hover_tooltips=tips)
            )
        )
    return hv.Overlay(parts).opts(
        **style(
            title=f"{comparison.detector.name}, {comparison.n_events:,} events",
            xlabel="",
            ylabel=shown.y_label,
            xticks=list(zip(place.tolist(), comparison.layers, strict=True)),
            xlim=(-0.5, len(place) - 0.5),
            ylim=shown.range,
            show_legend=len(shown.stages) > 1,
            legend_position="top_left",
            legend_opts={"background_fill_alpha": 0.5, "border_line_alpha": 0},
            height=300,
        )
    )


def module_changes(comparison: Comparison, layer: str) -> holoviews.Rectangles:
    """Change of the number of digis of each module of a layer.

    Parameters
    ----------
    comparison : Comparison
        From `pixlab.compare`.
    layer : str
        One layer.

    Returns
    -------
    holoviews.Rectangles
        One a module with original digis; value dimensions detid, original, decoded, percent.
    """
    hv = load_holoviews()
    shown = module_change(comparison, layer)
    tiles, percent = shown.tiles, shown.percent
    hit = np.isfinite(percent) | (shown.decoded > 0)
    gap = 0.46
    columns: dict[str, Any] = {
        "left": tiles.x[hit] - gap,
        "bottom": tiles.y[hit] - gap,
        "right": tiles.x[hit] + gap,
        "top": tiles.y[hit] + gap,
        "detid": comparison.detector.detid[tiles.modules[hit]].astype(np.int64),
        "original": shown.original[hit],
        "decoded": shown.decoded[hit],
        "percent": np.where(np.isfinite(percent), percent, 100.0)[hit],
        "change": np.array([NONE if np.isnan(p) else f"{p:+.2f} %" for p in percent[hit]], object),
    }
    return hv.Rectangles(columns, list(columns)[:4], list(columns)[4:]).opts(
        **style(
            color=hv.dim("percent"),
            line_width=0,
            cmap=DIFFERENCE,
            clim=(-shown.reach, shown.reach),
            colorbar=True,
            clabel="change of digis [%]",
            colorbar_opts={"width": 10, "padding": 2, "title_standoff": 6},
            title=f"{layer}, {comparison.n_events:,} events",
            xlabel=tiles.x_label,
            ylabel=tiles.y_label,
            yticks=list(tiles.y_ticks.items()) if tiles.y_ticks else None,
            xlim=(float(tiles.x.min()) - 0.6, float(tiles.x.max()) + 0.6),
            ylim=(float(tiles.y.min()) - 0.6, float(tiles.y.max()) + 0.6),
            show_grid=False,
            tools=["hover"],
            hover_tooltips=[
                ("detid", "@detid{0}"),
                ("original", "@original{0,0}"),
                ("decoded", "@decoded{0,0}"),
                ("change", "@change"),
            ],
            height=260,
        )
    )


def residual_spectra(shown: Residuals) -> holoviews.Overlay:
    """Residuals against the truth, before and after.

    Parameters
    ----------
    shown : Residuals
        From `pixlab.plots.hit_residuals` or `pixlab.plots.track_residuals`.
    """
    hv = load_holoviews()
    x, before = _steps(shown.edges, shown.counts[0])
    _, after = _steps(shown.edges, shown.counts[1])
    names = shown.names
    area = hv.Area((x, before), ["residual"], ["entries"], label=names[0])
    curve = hv.Curve((x, after), ["residual"], ["entries"], label=names[1])
    top = float(max(shown.counts.max(initial=1), 1))
    return (
        area.opts(backend="bokeh", color=SKY, alpha=0.45, line_color=BLUE, line_alpha=0.7)
        * curve.opts(backend="bokeh", color=ORANGE, line_width=1.5)
    ).opts(
        **style(
            title=f"{shown.title}: {shown.change}" if shown.change else shown.title,
            xlabel=shown.x_label,
            ylabel=shown.y_label,
            xlim=(float(shown.edges[0]), float(shown.edges[-1])),
            ylim=(0.0, 1.15 * top),
            legend_position="top_right",
            legend_opts={"background_fill_alpha": 0.5, "border_line_alpha": 0},
            height=300,
        )
    )
