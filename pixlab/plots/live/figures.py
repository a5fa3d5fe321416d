"""What all live figures share: tools, a frame, hover boxes, and colour scales that can turn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bokeh.models import (
    BasicTicker,
    BasicTickFormatter,
    ColorBar,
    CustomJSHover,
    GlyphRenderer,
    HoverTool,
    LinearColorMapper,
    LogColorMapper,
    LogTicker,
    Range1d,
)
from bokeh.plotting import figure as Figure

__all__ = ["CLEAR", "ColourScale", "hover", "new_figure"]

CLEAR = "rgba(0, 0, 0, 0)"  # what is missing
_FORMATS = {  # of numbers in hover boxes: missing ones are "none"
    "whole": "return isNaN(value) ? 'none' : value.toFixed(0)",
    "signed": "return isNaN(value) ? 'none' : (value > 0 ? '+' : '') + value.toFixed(0)",
    "three": "return isNaN(value) ? 'none' : value.toPrecision(3)",
}


def new_figure(
    name: str,
    *,
    height: int = 240,
    x_range: Range1d | None = None,
    y_range: Range1d | None = None,
    x_label: str = "",
    y_label: str = "",
    wheel: bool = False,
    **more: Any,
) -> Figure:
    """An empty figure as wide as there is room.

    Parameters
    ----------
    name : str
        By which tests and callbacks find it.
    height : int
        Pixels.
    x_range, y_range : Range1d, optional
        Ranges that it shares with other figures.
    x_label, y_label : str
        Quantity with unit.
    wheel : bool
        Whether the mouse wheel zooms right away, as on a map, or scrolls the page.
    **more
        Other properties of a bokeh figure.
    """
    made = Figure(
        name=name,
        height=height,
        sizing_mode="stretch_width",
        x_range=x_range or Range1d(0, 1),
        y_range=y_range or Range1d(0, 1),
        x_axis_label=x_label,
        y_axis_label=y_label,
        tools="pan,box_zoom,wheel_zoom,reset",
        active_scroll="wheel_zoom" if wheel else None,
        output_backend="canvas",
        **more,
    )
    made.toolbar.logo = None
    made.toolbar.autohide = True
    made.outline_line_color = "#888888"
    made.outline_line_alpha = 0.5
    made.grid.grid_line_alpha = 0.35
    for axis in (*made.xaxis, *made.yaxis):
        axis.minor_tick_line_color = None
        axis.axis_label_text_font_style = "normal"
    return made


def hover(
    renderers: Sequence[GlyphRenderer], rows: Sequence[tuple[str, str]], **more: Any
) -> HoverTool:
    """A hover box. ``@name{whole}``, ``{signed}`` and ``{three}`` are formats that know gaps."""
    formatters = {}
    tips = []
    for label, text in rows:
        for kind, code in _FORMATS.items():
            if f"{{{kind}}}" in text:
                column = text[: text.index(f"{{{kind}}}")].rsplit("@", 1)[1]
                formatters[f"@{column}"] = CustomJSHover(code=code)
                text = text.replace(f"{{{kind}}}", "{custom}")
        tips.append((label, text))
    return HoverTool(renderers=list(renderers), tooltips=tips, formatters=formatters, **more)


class ColourScale:
    """Numbers to colours, for any number of glyphs and bars; linear or logarithmic.

    Parameters
    ----------
    palette : sequence of str
        Colours from the lowest to the highest number.
    title : str
        Quantity with unit.
    """

    def __init__(self, palette: Sequence[str], title: str) -> None:
        common = {"palette": list(palette), "low": 0.0, "high": 1.0, "nan_color": CLEAR}
        self.linear = LinearColorMapper(**common)
        # a zero has the lowest colour: it is a number, not a gap
        self.logarithmic = LogColorMapper(**common | {"low": 1.0, "high": 2.0})
        self.title = title
        self.log = False
        self._painted: list[tuple[Any, str, tuple[str, ...]]] = []
        self._bars: list[ColorBar] = []

    @property
    def mapper(self) -> LinearColorMapper | LogColorMapper:
        """The one in use."""
        return self.logarithmic if self.log else self.linear

    def paint(self, glyph: Any, column: str, *properties: str) -> None:
        """Colour these properties of a glyph by a column."""
        self._painted.append((glyph, column, properties))
        self._colour(glyph, column, properties)

    def _colour(self, glyph: Any, column: str, properties: tuple[str, ...]) -> None:
        for name in properties:
            plain = name == "color_mapper"  # of an image, which has no other column
            setattr(
                glyph, name, self.mapper if plain else {"field": column, "transform": self.mapper}
            )

    def bar(self) -> ColorBar:
        """A new colour bar of this scale."""
        made = ColorBar(
            color_mapper=self.mapper,
            title=self.title,
            width=10,
            padding=2,
            title_standoff=6,
            title_text_font_style="normal",
            title_text_baseline="middle",
            background_fill_alpha=0,
            major_tick_line_alpha=0,
            ticker=BasicTicker(),
            formatter=BasicTickFormatter(),
        )
        self._bars.append(made)
        return made

    def rename(self, title: str) -> None:
        """Another quantity with its unit."""
        self.title = title
        for bar in self._bars:
            bar.title = title

    def set(self, low: float, high: float, *, log: bool = False) -> None:
        """Ends of the scale; a logarithmic one begins at 1 at least."""
        self.linear.update(low=low, high=high)
        least = max(1.0, low)
        self.logarithmic.update(low=least, high=max(high, 2 * least))
        if log == self.log:
            return
        self.log = log
        for painted in self._painted:
            self._colour(*painted)
        for bar in self._bars:
            bar.update(color_mapper=self.mapper, ticker=LogTicker() if log else BasicTicker())
