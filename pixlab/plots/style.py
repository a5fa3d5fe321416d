"""What all figures share: colours, tools, and the options without ornament."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = [
    "ACCENT",
    "BLUE",
    "CODEC_COLOURS",
    "DIFFERENCE",
    "GREY",
    "MARKERS",
    "NONE",
    "ORANGE",
    "SKY",
    "VALUES",
    "load_holoviews",
    "style",
]

# Okabe and Ito's colours, told apart with any colour vision: original, decoded, then codecs
BLUE, ORANGE, SKY, GREY = "#0072B2", "#D55E00", "#56B4E9", "#777777"
ACCENT = "#d6336c"  # what is chosen
CODEC_COLOURS = (BLUE, ORANGE, "#009E73", "#CC79A7", SKY, "#E69F00", GREY)
MARKERS = ("circle", "square", "triangle", "diamond", "inverted_triangle", "hex", "plus")
_TOOLS = ["pan", "box_zoom", "wheel_zoom", "save", "reset"]
NONE = "none"  # what a hover box says of a pixel that is not hit


def _blend(low: str, middle: str, high: str, n: int = 127) -> list[str]:
    """A diverging map through three colours."""
    ends = [np.array([int(c[i : i + 2], 16) for i in (1, 3, 5)]) for c in (low, middle, high)]
    part = np.linspace(0, 1, n + 1)[:, None]
    down, up = ends[0] + part * (ends[1] - ends[0]), ends[1] + part * (ends[2] - ends[1])
    return ["#{:02x}{:02x}{:02x}".format(*c) for c in np.rint([*down, *up[1:]]).astype(int)]


VALUES = "viridis"
DIFFERENCE = _blend("#00507d", "#c9c9c9", "#b34f00")


def load_holoviews() -> Any:
    """HoloViews with its bokeh backend, loaded when the first figure is drawn."""
    import holoviews as hv

    if "bokeh" not in hv.Store.loaded_backends():
        hv.extension("bokeh", logo=False, inline=True)  # a notebook works offline
    return hv


def _tidy(plot: Any, _: Any) -> None:
    """What HoloViews has no option for: no logo, no minor ticks, upright labels."""
    figure = plot.state
    figure.toolbar.logo = None
    figure.title.text_font_style = "normal"
    for axis in (*figure.xaxis, *figure.yaxis):
        axis.minor_tick_line_color = None
        axis.axis_label_text_font_style = "normal"
    for part in figure.right:
        if hasattr(part, "title_text_font_style"):  # the colour bar
            part.title_text_font_style = "normal"
            part.minor_tick_line_alpha = 0
            part.major_tick_line_alpha = 0


def style(**more: Any) -> dict[str, Any]:
    """Options that all figures share."""
    return {
        "backend": "bokeh",
        "responsive": True,
        "default_tools": _TOOLS,
        "autohide_toolbar": True,
        "show_grid": True,
        "gridstyle": {"grid_line_alpha": 0.35},
        "hooks": [_tidy],
        "fontsize": {"title": 11, "labels": 11, "ticks": 9, "legend": 9},
    } | more
