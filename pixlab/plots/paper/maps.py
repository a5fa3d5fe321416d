"""Modules, space and pixels as maps, for publications."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pixlab.errors import PixlabError
from pixlab.plots.matched import module_change
from pixlab.plots.paper.base import new_figure, paper_style, title
from pixlab.plots.style import DIFFERENCE, VALUES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from pixlab.physics import Comparison

__all__ = ["modules", "pixel_map", "space_map"]


def modules(comparison: Comparison, layer: str) -> Figure:
    """Change of the number of digis of each module of a layer.

    Parameters
    ----------
    comparison : Comparison
        From `pixlab.compare`.
    layer : str
        One layer.
    """
    shown = module_change(comparison, layer)
    tiles = shown.tiles
    with paper_style():
        from matplotlib.collections import PatchCollection
        from matplotlib.colors import ListedColormap
        from matplotlib.patches import Rectangle

        figure = new_figure(10.0, 5.0)
        axes = figure.subplots()
        gap = 0.46
        patches = [
            Rectangle((x - gap, y - gap), 2 * gap, 2 * gap)
            for x, y in zip(tiles.x, tiles.y, strict=True)
        ]
        # the collection is one picture where there are many modules
        drawn = PatchCollection(
            patches, cmap=ListedColormap(DIFFERENCE), rasterized=len(patches) > 2000
        )
        drawn.set_array(np.ma.masked_invalid(shown.percent))
        drawn.set_clim(-shown.reach, shown.reach)
        axes.add_collection(drawn)
        axes.set_xlim(tiles.x.min() - 0.7, tiles.x.max() + 0.7)
        axes.set_ylim(tiles.y.min() - 0.7, tiles.y.max() + 0.7)
        axes.minorticks_off()
        if tiles.y_ticks:
            axes.set_yticks(list(tiles.y_ticks), list(tiles.y_ticks.values()))
        axes.set_xlabel(tiles.x_label)
        axes.set_ylabel(tiles.y_label)
        figure.colorbar(drawn, ax=axes, label="change of digis [%]")
        title(axes, comparison, layer)
    return figure


def space_map(comparison: Comparison, layer: str) -> Figure:
    """Clusters of a barrel layer over z and azimuth, or of a disk over x and y: original, difference.

    Parameters
    ----------
    comparison : Comparison
        From ``pixlab.compare(deep=True)``.
    layer : str
        A name on the axis ``layer`` of the maps "z_phi" or "x_y".
    """
    pair = _maps_of(comparison)
    name = next((k for k in ("z_phi", "x_y") if k in pair[0] and layer in pair[0][k].axes[0]), None)
    if name is None:
        names = [x for k in ("z_phi", "x_y") if k in pair[0] for x in pair[0][k].axes[0]]
        raise PixlabError(f"there is no map of '{layer}'", f"choose one of {', '.join(names)}")
    one, other = (m[name][layer, :, :] for m in pair)
    return _two_maps(comparison, one, other, layer, "clusters", name == "x_y")


def pixel_map(comparison: Comparison, layer: str) -> Figure:
    """Digis of each pixel, all modules of a layer on top of each other: original, difference.

    Parameters
    ----------
    comparison : Comparison
        From ``pixlab.compare(deep=True)``.
    layer : str
        One layer.
    """
    pair = _maps_of(comparison)
    if layer not in comparison.detector.layers:
        raise PixlabError(
            f"there is no layer '{layer}'", f"choose one of {', '.join(comparison.detector.layers)}"
        )
    one, other = (m["pixel_digis"][layer, :, :].project("col", "row") for m in pair)
    return _two_maps(comparison, one, other, layer, "digis", False)


def _maps_of(comparison: Comparison) -> tuple[dict[str, Any], dict[str, Any]]:
    if comparison.deep is None or comparison.deep.maps is None:
        raise PixlabError("the comparison has no maps", "make them with compare(…, deep=True)")
    return comparison.deep.maps


def _two_maps(
    comparison: Comparison, original: Any, decoded: Any, place: str, what: str, square: bool
) -> Figure:
    before, after = original.values(), decoded.values()
    with paper_style():
        from matplotlib.colors import ListedColormap

        figure = new_figure(14.0, 6.0)
        panels = figure.subplots(1, 2, sharey=True)
        away = max(float(np.abs(after - before).max(initial=0)), 1.0)
        views = (
            (np.where(before > 0, before, np.nan), VALUES, (0, None), f"original {what}"),
            (
                np.where((before > 0) | (after > 0), after - before, np.nan),
                ListedColormap(DIFFERENCE),
                (-away, away),
                "decoded - original",
            ),
        )
        for axes, (values, cmap, (low, high), label) in zip(panels, views, strict=True):
            drawn = axes.pcolormesh(
                original.axes[0].edges,
                original.axes[1].edges,
                np.ma.masked_invalid(values.T),
                cmap=cmap,
                vmin=low,
                vmax=high,
                rasterized=True,
            )
            axes.set_xlabel(original.axes[0].label)
            figure.colorbar(drawn, ax=axes, label=label)
            if square:
                axes.set_aspect("equal")
        panels[0].set_ylabel(original.axes[1].label)
        panels[0].set_title(place, loc="left")
        title(panels[1], comparison, "")
    return figure
