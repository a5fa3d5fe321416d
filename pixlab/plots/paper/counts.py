"""Spectra, changes of clusters, metrics, residuals and fronts, for publications."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from pixlab.plots.bins import spectrum_bins
from pixlab.plots.matched import SIZE_NAMES, layer_values, pair_bins, size_confusion_table
from pixlab.plots.paper.base import layer_title, new_figure, paper_style, title
from pixlab.plots.points import Points
from pixlab.plots.residuals import Residuals
from pixlab.plots.style import BLUE, CODEC_COLOURS, GREY, ORANGE, SKY, VALUES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from pixlab.physics import Comparison

__all__ = ["change", "confusion", "front", "metric", "residual", "spectrum"]

_MARKERS = ("o", "s", "^", "D", "v", "h", "P")
_STYLES = {"transparent": "-", "analysis": "--", "loose": ":"}


def spectrum(
    comparison: Comparison, name: str, layer: str = "all", *, logy: bool = False
) -> Figure:
    """Original, decoded and their ratio, as `pixlab.plots.spectrum_ratio`.

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
    """
    bins = spectrum_bins(comparison, name, layer)
    with paper_style() as mplhep:
        figure = new_figure(9.0, 8.0)
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
        height, points = bins.original * bins.scale, bins.decoded * bins.scale
        mplhep.histplot(
            height, bins.edges, ax=top, histtype="fill", color=SKY, alpha=0.45, label="original"
        )
        mplhep.histplot(height, bins.edges, ax=top, color=BLUE, linewidth=1)
        error = np.sqrt(bins.decoded) * bins.scale
        mplhep.histplot(
            points,
            bins.edges,
            yerr=error,
            ax=top,
            histtype="errorbar",
            color=ORANGE,
            markersize=5,
            label="decoded",
        )
        if logy:
            top.set_yscale("log")
            top.set_ylim(bottom=bins.floor)
        else:
            top.set_ylim(bottom=0)
        top.set_ylabel(bins.y_label)
        top.legend()
        title(top, comparison, layer_title(layer))

        known = bins.original > 0
        band = np.where(known, 1 / np.sqrt(np.maximum(bins.original, 1)), np.nan)
        bottom.stairs(1 + band, bins.edges, baseline=1 - band, fill=True, color=SKY, alpha=0.4)
        bottom.axhline(1, color=BLUE, linewidth=1)
        mplhep.histplot(
            bins.ratio,
            bins.edges,
            yerr=np.where(known, np.sqrt(bins.decoded) / np.maximum(bins.original, 1), 0),
            ax=bottom,
            histtype="errorbar",
            color=ORANGE,
            markersize=5,
        )
        bottom.set_ylim(1 - bins.reach, 1 + bins.reach)
        bottom.set_ylabel("ratio")
        bottom.set_xlabel(bins.x_label)
        bottom.set_xlim(bins.edges[0], bins.edges[-1])
        figure.align_ylabels()
    return figure


def change(
    comparison: Comparison,
    name: Literal["response", "shift_row", "shift_col"],
    layer: str = "all",
    *,
    logy: bool = True,
) -> Figure:
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
    """
    bins = pair_bins(comparison, name, layer)
    with paper_style() as mplhep:
        figure = new_figure()
        axes = figure.subplots()
        mplhep.histplot(
            bins.counts.sum(axis=0), bins.edges, ax=axes, histtype="fill", color=SKY, alpha=0.45,
            label="all",
        )  # fmt: skip
        by_size = [
            x for x in zip(bins.counts, SIZE_NAMES, CODEC_COLOURS, strict=False) if x[0].any()
        ]
        for counts, size, colour in by_size if len(bins.counts) > 1 else ():
            mplhep.histplot(counts, bins.edges, ax=axes, color=colour, linewidth=1.5, label=size)
        axes.axvline(bins.centre, color=GREY, linewidth=1, linestyle=":")
        if logy and bins.total:
            axes.set_yscale("log")
            axes.set_ylim(bottom=0.5)
        axes.set_xlim(bins.edges[0], bins.edges[-1])
        axes.set_xlabel(bins.x_label)
        axes.set_ylabel(f"clusters / {bins.edges[1] - bins.edges[0]:.3g}")
        if len(bins.counts) > 1:
            along = "rows" if name == "shift_row" else "columns"
            axes.legend(title=f"original size along {along}", ncols=2, title_fontsize=15)
        title(axes, comparison, layer_title(layer))
    return figure


def confusion(comparison: Comparison, axis: Literal["row", "col"], layer: str = "all") -> Figure:
    """Cluster size before and after: of each original size, the share with each decoded size.

    Parameters
    ----------
    comparison : Comparison
        From `pixlab.compare`.
    axis : {"row", "col"}
        Size along rows or columns.
    layer : str
        One layer, or "all".
    """
    table = size_confusion_table(comparison, axis, layer)
    share = 100 * table.share
    n = len(table.names)
    with paper_style():
        figure = new_figure(8.0, 7.0)
        axes = figure.subplots()
        drawn = axes.imshow(
            np.ma.masked_where(~(share.T > 0), share.T),
            origin="lower",
            cmap=VALUES,
            vmin=0,
            vmax=100,
        )
        for (i, j), value in np.ndenumerate(share):
            if value > 0:
                text = f"{value:.0f}" if value >= 9.95 or value == 100 else f"{value:.2g}"
                colour = "white" if value < 60 else "black"
                axes.text(i, j, text, ha="center", va="center", fontsize=11, color=colour)
        axes.set_xticks(range(n), table.names)
        axes.set_yticks(range(n), table.names)
        axes.minorticks_off()
        axes.tick_params(length=0)
        along = {"row": "rows", "col": "columns"}[axis]
        axes.set_xlabel(f"original size in {along} [pixels]")
        axes.set_ylabel(f"decoded size in {along} [pixels]")
        figure.colorbar(drawn, ax=axes, label="share of the original size [%]")
        title(axes, comparison, layer_title(layer))
    return figure


def metric(comparison: Comparison, name: str) -> Figure:
    """A metric in each layer with its error, after pre-mixing too, and the limits of the presets.

    Parameters
    ----------
    comparison : Comparison
        From `pixlab.compare`.
    name : str
        One of `pixlab.physics.METRICS`.
    """
    shown = layer_values(comparison, name)
    with paper_style():
        figure = new_figure()
        axes = figure.subplots()
        place = np.arange(len(comparison.layers))
        marks = zip(shown.stages.items(), (BLUE, ORANGE), "os", strict=False)
        for i, ((label, (values, errors)), colour, marker) in enumerate(marks):
            known = np.isfinite(values)
            at = place[known] + 0.2 * (i - (len(shown.stages) - 1) / 2)
            axes.errorbar(at, values[known], errors[known], fmt=marker, color=colour, label=label)
        for preset, limits in shown.limits.items():
            for i, limit in enumerate(limits):
                style = _STYLES[preset]
                axes.axhline(limit, color=GREY, linestyle=style, label=None if i else preset)
        axes.set_ylim(shown.range)
        axes.set_xticks(place, comparison.layers)
        axes.minorticks_off()
        axes.set_ylabel(shown.y_label)
        axes.legend(ncols=2)
        title(axes, comparison, "")
    return figure


def residual(comparison: Comparison, shown: Residuals) -> Figure:
    """Residuals against the truth, before and after.

    Parameters
    ----------
    comparison : Comparison
        From ``pixlab.compare(truth=…)``.
    shown : Residuals
        From `pixlab.plots.hit_residuals` or `pixlab.plots.track_residuals`.
    """
    with paper_style() as mplhep:
        figure = new_figure()
        axes = figure.subplots()
        before, after = shown.names
        mplhep.histplot(
            shown.counts[0], shown.edges, ax=axes, histtype="fill", color=SKY, alpha=0.45,
            label=before,
        )  # fmt: skip
        mplhep.histplot(shown.counts[1], shown.edges, ax=axes, color=ORANGE, label=after)
        axes.set_xlabel(shown.x_label)
        axes.set_ylabel(shown.y_label)
        axes.set_xlim(shown.edges[0], shown.edges[-1])
        axes.set_ylim(bottom=0)
        axes.legend(title=shown.change, title_fontsize=15)
        title(axes, comparison, shown.title)
    return figure


def front(points: Points, *, logy: bool = False) -> Figure:
    """Distortion over rate: a curve a codec, the front that no setting beats, and the limits.

    Parameters
    ----------
    points : Points
        From ``sweep_points(sweep.table, metric)`` or ``verdict_points(sweep, tolerances)`` of
        `pixlab.plots`.
    logy : bool
        Logarithmic distortion.
    """
    with paper_style():
        figure = new_figure(10.0, 7.0)
        axes = figure.subplots()
        for i, codec in enumerate(points.codecs):
            own = points.of(codec)
            axes.plot(
                points.rate[own],
                points.value[own],
                marker=_MARKERS[i % len(_MARKERS)],
                color=CODEC_COLOURS[i % len(CODEC_COLOURS)],
                label=codec,
            )
        best = points.front
        axes.plot(
            points.rate[best], points.value[best], color="black", linewidth=4, alpha=0.2,
            label="front", zorder=0,
        )  # fmt: skip
        for preset, limit in points.limits.items():
            line = _STYLES.get(preset, "-")
            axes.axhline(limit, color=GREY, linestyle=line, linewidth=1, label=preset)
        if logy:
            axes.set_yscale("log")
        axes.set_xlabel("rate [bits/digi]")
        axes.set_ylabel(points.y_label)
        axes.legend(ncols=2)
    return figure
