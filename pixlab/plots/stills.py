"""Hit maps and codewords as PNG pictures, for where nothing interactive can be drawn."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pixlab.digis import Digis
from pixlab.errors import PixlabError
from pixlab.plots.pixels import busiest_window, colour_top, outlines, pixel_table
from pixlab.plots.style import DIFFERENCE, VALUES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["hits_png"]

_DPI = 100
_WINDOW = 32, 48  # rows and columns of what a closer look shows
_EMPTY = "#f2f2f2"  # a pixel that is not hit


def hits_png(
    original: Digis,
    decoded: Digis | None,
    detid: int,
    *,
    closer: bool = True,
    log: bool = False,
    clusters: bool = True,
) -> bytes:
    """One module in one event: its hit map, or original, decoded and difference in one scale.

    Parameters
    ----------
    original, decoded : Digis
        One and the same event; without `decoded`, the original alone.
    detid : int
        Raw id of the module.
    closer : bool
        The part with most hits instead of the whole module.
    log : bool
        Logarithmic colours of charge.
    clusters : bool
        Outline the clusters that reconstruction finds.

    Returns
    -------
    bytes
        A PNG file. Pixels that are not hit are light grey.

    Raises
    ------
    PixlabError
        If there is not one event, or the two are of different detectors.
    """
    if len(original) != 1 or (decoded is not None and len(decoded) != 1):
        raise PixlabError("a hit map shows one event", "take one: digis[0]")
    if decoded is not None and decoded.detector != original.detector:
        raise PixlabError("original and decoded are of different detectors")
    index = int(original.detector.index(detid))
    shape = int(original.detector.rows[index]), int(original.detector.cols[index])
    pixels = pixel_table(original, original if decoded is None else decoded, detid)
    window = -0.5, -0.5, shape[1] - 0.5, shape[0] - 0.5
    if closer and len(pixels["row"]):
        window = busiest_window(pixels["row"], pixels["col"], shape, _WINDOW)
    hit = pixels["adc"][~np.isnan(pixels["adc"])]
    top = colour_top(hit if len(hit) else np.nan_to_num(pixels["decoded"]))
    panels = [("original", "adc", original)]
    if decoded is not None:
        panels += [("decoded", "decoded", decoded), ("decoded - original", "delta", decoded)]

    from matplotlib.figure import Figure

    wide = (window[2] - window[0]) / (window[3] - window[1]) > 2
    size = (9.0, 3.4 * len(panels)) if wide else (4.3 * len(panels), 3.6)
    figure = Figure(figsize=size, layout="constrained", dpi=_DPI)
    grid = figure.subplots(*((len(panels), 1) if wide else (1, len(panels))), squeeze=False)
    for axes, (title, column, of) in zip(grid.flat, panels, strict=True):
        _map(axes, pixels, column, shape, top, log)
        if clusters and column != "delta":
            _outline(axes, outlines(of, detid), 1.0 if closer else 0.4)
        axes.set_title(title, fontsize=11, loc="left")
        axes.set(xlim=window[::2], ylim=window[1::2], xlabel="column", ylabel="row")
    return _png(figure)


def _map(
    axes: Any,
    pixels: dict[str, NDArray],
    column: str,
    shape: tuple[int, int],
    top: float,
    log: bool,
) -> None:
    from matplotlib.colors import ListedColormap, LogNorm, Normalize

    values = np.full(shape, np.nan)
    values[pixels["row"], pixels["col"]] = pixels[column]
    cmap: str | ListedColormap
    norm: Normalize
    if column == "delta":
        quarter = max(top / 4, 1.0)
        cmap, norm, label = ListedColormap(DIFFERENCE), Normalize(-quarter, quarter), "difference"
    else:
        cmap, label = VALUES, "charge"
        norm = LogNorm(1, max(top, 2)) if log else Normalize(0, top)
        values = np.maximum(values, 1) if log else values  # a count of zero is not missing
    axes.set_facecolor(_EMPTY)
    drawn = axes.imshow(
        np.ma.masked_invalid(values), cmap=cmap, norm=norm, origin="lower", aspect="auto",
        interpolation="nearest",
    )  # fmt: skip
    axes.figure.colorbar(drawn, ax=axes, label=f"{label} [adc counts]", pad=0.02)


def _outline(axes: Any, ends: dict[str, NDArray], width: float) -> None:
    from matplotlib.collections import LineCollection

    segments = np.stack([[ends["x0"], ends["y0"]], [ends["x1"], ends["y1"]]]).transpose(2, 0, 1)
    axes.add_collection(LineCollection(list(segments), colors="#444444", linewidths=width))


def _png(figure: Figure) -> bytes:
    stream = BytesIO()
    figure.savefig(stream, format="png", dpi=_DPI)
    return stream.getvalue()
