"""Hit maps of a module, and the modules of a layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pixlab.digis import Digis
from pixlab.errors import PixlabError
from pixlab.plots.pixels import colour_top, pixel_table
from pixlab.plots.style import DIFFERENCE, NONE, VALUES, load_holoviews, style
from pixlab.plots.tiles import module_sums, place_modules

if TYPE_CHECKING:
    import holoviews

__all__ = ["hit_map", "hit_maps", "occupancy_map"]


def hit_map(
    digis: Digis, event: int, detid: int, *, clim: tuple[float, float] | None = None
) -> holoviews.Rectangles:
    """The pixels hit in one module in one event, coloured by charge.

    Parameters
    ----------
    digis : Digis
        Any events.
    event : int
        Which of them.
    detid : int
        Raw id of the module.
    clim : (float, float), optional
        Ends of the colour scale, adc counts; default: 0 to the count that 95% of the hits are
        below, so that the few saturated ones do not darken all others.

    Returns
    -------
    holoviews.Rectangles
        One a hit pixel; value dimensions row, col, adc.
    """
    shape = _shape(digis, detid)
    one = digis[event].select(detid=detid)
    columns = {"row": one.row, "col": one.col, "adc": one.adc}
    tips = [("row", "@row"), ("col", "@col"), ("adc", "@adc")]
    title = f"{_module_name(digis, detid)}, event {event}"
    return _pixels(columns, "adc", shape, clim or (0.0, colour_top(one.adc)), VALUES, title, tips)


def hit_maps(
    original: Digis,
    decoded: Digis,
    event: int,
    detid: int,
    *,
    columns: int = 3,
    clim: tuple[float, float] | None = None,
) -> holoviews.Layout:
    """Original, decoded and their difference, with one colour scale and linked axes.

    Parameters
    ----------
    original, decoded : Digis
        The same events of the same detector.
    event : int
        Which of them.
    detid : int
        Raw id of the module.
    columns : int
        Maps side by side; 1 stacks them.
    clim : (float, float), optional
        Ends of the colour scale of charge, adc counts; default: as `hit_map` for the original, so
        that the colours stay as they are when another decoded map takes the place of this one. The
        scale of the difference goes to a quarter of the upper end on both sides.

    Returns
    -------
    holoviews.Layout
        Three Rectangles; hovering one shows row, col, adc, decoded adc and their difference.
    """
    if original.detector != decoded.detector:
        raise PixlabError("original and decoded are of different detectors")
    shape = _shape(original, detid)
    pixels = pixel_table(original[event], decoded[event], detid)
    adc, decoded_adc, delta = (pixels[k] for k in ("adc", "decoded", "delta"))
    table = {
        "row": pixels["row"],
        "col": pixels["col"],
        "adc": adc,
        "decoded adc": decoded_adc,
        "delta": delta,
        "adc text": _text(adc),
        "decoded text": _text(decoded_adc),
        "delta text": np.array([f"{d:+.0f}" if d else "0" for d in delta], object),
    }
    tips = [("row", "@row"), ("col", "@col"), ("adc", "@{adc text}")]
    tips += [("decoded adc", "@{decoded text}"), ("delta", "@{delta text}")]
    hit = adc[~np.isnan(adc)]
    clim = clim or (0.0, colour_top(hit if len(hit) else decoded_adc))
    quarter = max(clim[1] / 4, 1.0)
    name = _module_name(original, detid)
    maps = []
    for quantity, ends, cmap, title in (
        ("adc", clim, VALUES, f"original: {name}, event {event}"),
        ("decoded adc", clim, VALUES, "decoded"),
        ("delta", (-quarter, quarter), DIFFERENCE, "decoded - original"),
    ):
        shown = ~np.isnan(table[quantity])
        chosen = {k: v[shown] for k, v in table.items()}
        maps.append(_pixels(chosen, quantity, shape, ends, cmap, title, tips))
    layout = load_holoviews().Layout(maps).cols(columns)
    return layout.opts(backend="bokeh", shared_axes=True, autohide_toolbar=True)


def _text(values: NDArray[np.float32]) -> NDArray[Any]:
    return np.array([NONE if np.isnan(v) else f"{v:.0f}" for v in values], object)


def _shape(digis: Digis, detid: int) -> tuple[int, int]:
    index = int(digis.detector.index(detid))
    return int(digis.detector.rows[index]), int(digis.detector.cols[index])


def _module_name(digis: Digis, detid: int) -> str:
    detector = digis.detector
    index = int(detector.index(detid))
    layer = detector.layers[detector.layer[index]]
    return f"{layer}, module {detid}"


def _pixels(
    table: dict[str, NDArray[Any]],
    quantity: str,
    shape: tuple[int, int],
    clim: tuple[float, float],
    cmap: Any,
    title: str,
    tips: list[tuple[str, str]],
) -> holoviews.Rectangles:
    """One rectangle a pixel, centred on its row and column number, where the ticks are."""
    hv = load_holoviews()
    corners = {
        "col from": table["col"] - 0.5,
        "row from": table["row"] - 0.5,
        "col to": table["col"] + 0.5,
        "row to": table["row"] + 0.5,
    }
    rows, cols = shape
    unit = "difference [adc counts]" if quantity == "delta" else "charge [adc counts]"
    return hv.Rectangles(corners | table, list(corners), list(table)).opts(
        **style(
            fill_color=hv.dim(quantity),
            line_color=hv.dim(quantity),
            line_width=1.5,  # on a map much wider than the screen a pixel is still seen
            cmap=cmap,
            clim=clim,
            colorbar=True,
            clabel=unit,
            colorbar_opts={"width": 10, "padding": 2, "title_standoff": 6},
            xlabel="column",
            ylabel="row",
            xlim=(-0.5, cols - 0.5),
            ylim=(-0.5, rows - 0.5),
            title=title,
            tools=["hover"],
            hover_tooltips=tips,
            height=240,
        )
    )


def occupancy_map(digis: Digis, layer: str) -> holoviews.Rectangles:
    """The modules of a layer as tiles, coloured by their mean number of digis an event.

    Parameters
    ----------
    digis : Digis
        Any events.
    layer : str
        One of ``digis.detector.layers``.

    Returns
    -------
    holoviews.Rectangles
        One a module, in the order of the detector, to be tapped; value dimensions detid, ladder,
        module, side, digis. Barrel modules stand at ladder and module, forward ones at blade and
        panel, by side; modules of a detector without such numbers stand in reading order.
    """
    hv = load_holoviews()
    detector = digis.detector
    tiles = place_modules(detector, layer)
    own, x, y = tiles.modules, tiles.x, tiles.y
    mean = module_sums(digis)[own] / max(len(digis), 1)
    gap = 0.46  # tiles do not touch, so that each is seen as one
    corners = {"x from": x - gap, "y from": y - gap, "x to": x + gap, "y to": y + gap}
    table = {
        "detid": detector.detid[own].astype(np.int64),
        "ladder": detector.ladder[own].astype(int),
        "module": detector.module[own].astype(int),
        "side": detector.side[own].astype(int),
        "digis": mean,
    }
    events = f"{len(digis)} event" + ("s" if len(digis) != 1 else "")
    return hv.Rectangles(corners | table, list(corners), list(table)).opts(
        **style(
            color=hv.dim("digis"),
            line_width=0,
            cmap=VALUES,
            clim=(0.0, float(max(mean.max(initial=0.0), 1e-9))),
            colorbar=True,
            clabel="digis per event",
            colorbar_opts={"width": 10, "padding": 2, "title_standoff": 6},
            xlabel=tiles.x_label,
            ylabel=tiles.y_label,
            yticks=list(tiles.y_ticks.items()) if tiles.y_ticks else None,
            xlim=(x.min() - 0.6, x.max() + 0.6),
            ylim=(y.min() - 0.6, y.max() + 0.6),
            show_grid=False,
            title=f"{layer}: mean of {events}",
            tools=["hover", "tap"],
            hover_tooltips=[
                ("detid", "@detid{0}"),
                (tiles.x_label, "@ladder"),
                ("module or panel", "@module"),
                ("side", "@side"),
                ("digis per event", "@digis{0.0}"),
            ],
            nonselection_alpha=0.55,
            selection_line_width=2,
            height=240,
        )
    )
