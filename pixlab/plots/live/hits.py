"""Hit maps that show another event, module or model without being built anew."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from bokeh.events import Tap
from bokeh.models import (
    CDSView,
    ColumnDataSource,
    CustomJS,
    CustomJSFilter,
    FixedTicker,
    HoverTool,
    Range1d,
    RangeTool,
    Span,
)
from bokeh.palettes import Viridis256
from bokeh.plotting import figure as Figure
from numpy.typing import NDArray

from pixlab.plots.live.figures import ColourScale, hover, new_figure
from pixlab.plots.style import ACCENT, DIFFERENCE, GREY, ORANGE

__all__ = ["COLUMNS", "Hits", "ModuleMap"]

# quantity -> column of `pixlab.plots.pixels.pixel_table`
COLUMNS = {"original": "adc", "decoded": "decoded", "difference": "delta"}
_PIXELS = ("row", "col", "adc", "decoded", "delta")
_ENDS = ("x0", "y0", "x1", "y1")
_TIPS = (
    ("row, column", "@row, @col"),
    ("adc", "@adc{whole}"),
    ("decoded adc", "@decoded{whole}"),
    ("delta", "@delta{signed}"),
)
_HAND_OVER = """
const end = span.location;
return Array.from(source.data.col, col => left ? col <= end : col > end);
"""
# a figure that blinks: its tags say which side is first and, unless it is still, the pause in ms
_BLINK = """
const clocks = window.pixlab_clocks ??= {};
clearInterval(clocks[fig.id]);
const turn = first => {
    if (fig.document == null) return clearInterval(clocks[fig.id]);
    one.visible = first;
    other.visible = !first;
    label.text = first ? 'original' : 'decoded';
};
turn(fig.tags[0] != 'decoded');
const pause = fig.tags[1];
if (pause) clocks[fig.id] = setInterval(() => turn(!one.visible), pause);
"""


class Hits:
    """The hits of one module, and any number of figures that show them with one zoom.

    Parameters
    ----------
    x_range, y_range : Range1d
        The zoom: columns and rows.
    """

    def __init__(self, x_range: Range1d, y_range: Range1d) -> None:
        self.x_range, self.y_range = x_range, y_range
        self.pixels = ColumnDataSource({name: [] for name in _PIXELS})
        self.borders = {
            side: ColumnDataSource({end: [] for end in _ENDS}) for side in ("original", "decoded")
        }
        self.marked = ColumnDataSource({k: [] for k in ("left", "right", "bottom", "top")})
        self.values = ColourScale(Viridis256, "charge [adc counts]")
        self.differences = ColourScale(DIFFERENCE, "difference [adc counts]")
        self._hovers: list[HoverTool] = []
        self._renderers: list[Any] = []

    # -- figures ----------------------------------------------------------------------------
    def map_of(
        self,
        name: str,
        quantity: str,
        *,
        height: int = 340,
        tapped: Callable[[int, int], None] | None = None,
    ) -> Figure:
        """A map of ``"original"``, ``"decoded"`` or ``"difference"``.

        Parameters
        ----------
        name : str
            Of the figure.
        quantity : str
            What it shows.
        height : int
            Screen pixels.
        tapped : function of (int, int), optional
            Called with row and column of a pixel that was tapped.
        """
        made = self._empty(name, height)
        self._paint(made, quantity)
        if tapped is not None:
            made.on_event(Tap, lambda event: tapped(round(event.y), round(event.x)))
        scale = self.differences if quantity == "difference" else self.values
        made.add_layout(scale.bar(), "right")
        for side in ("original", "decoded"):
            if quantity in (side, "difference"):
                self._border(made, side)
        return made

    def swipe(self, name: str, *, height: int = 420) -> Figure:
        """Original left of a handle, decoded right of it."""
        made = self._empty(name, height)
        handle = Span(
            location=(self.x_range.start + self.x_range.end) / 2,
            dimension="height",
            editable=True,
            line_color=ACCENT,
            line_width=5,
            name="handle",
        )
        filters = []
        for side, left in (("original", True), ("decoded", False)):
            shown = CustomJSFilter(args={"span": handle, "left": left}, code=_HAND_OVER)
            filters.append(shown)
            self._paint(made, side, CDSView(filter=shown))
            self._border(made, side)
        handle.js_on_change(
            "location",
            CustomJS(args={"filters": filters}, code="filters.forEach(f => f.change.emit())"),
        )
        made.add_layout(handle)
        made.add_layout(self.values.bar(), "right")
        return made

    def blink(self, name: str, *, height: int = 420) -> Figure:
        """Original and decoded in turn; see `set_blink`."""
        made = self._empty(name, height, title="original")
        made.title.text_font_style = "normal"
        one, other = (self._paint(made, side) for side in ("original", "decoded"))
        other.visible = False
        self._border(made, "original")
        made.add_layout(self.values.bar(), "right")
        turn = CustomJS(
            args={"fig": made, "one": one, "other": other, "label": made.title}, code=_BLINK
        )
        # once it is laid out, and whenever it is told otherwise
        for what in ("inner_width", "tags"):
            made.js_on_change(what, turn)
        return made

    @staticmethod
    def set_blink(made: Figure, *, pause: int | None, first: str = "original") -> None:
        """Let a figure of `blink` alternate every `pause` ms, or stand still at one side."""
        made.tags = [first] if pause is None else [first, pause]

    def _empty(self, name: str, height: int, **more: Any) -> Figure:
        return new_figure(
            name,
            height=height,
            x_range=self.x_range,
            y_range=self.y_range,
            x_label="column",
            y_label="row",
            wheel=True,
            **more,
        )

    def _paint(self, made: Figure, quantity: str, view: CDSView | None = None) -> Any:
        scale = self.differences if quantity == "difference" else self.values
        column = COLUMNS[quantity]
        extra = {} if view is None else {"view": view}
        drawn = made.rect(
            "col", "row", 1, 1, source=self.pixels, line_width=0.5, line_color="#8888884d", **extra
        )
        drawn.nonselection_glyph = None
        scale.paint(drawn.glyph, column, "fill_color")
        box = hover([drawn], _TIPS)
        made.add_tools(box)
        self._hovers.append(box)
        if view is None:
            made.quad(
                "left", "right", "bottom", "top", source=self.marked, fill_alpha=0,
                line_color=ACCENT, line_width=2, level="overlay",
            )  # fmt: skip
        return drawn

    def _border(self, made: Figure, side: str) -> None:
        made.segment(
            *_ENDS,
            source=self.borders[side],
            line_color=GREY if side == "original" else ORANGE,
            line_width=2,
            line_dash="solid" if side == "original" else "dashed",
            level="overlay",
        )

    # -- what they show ---------------------------------------------------------------------
    def show(
        self, pixels: Mapping[str, NDArray], where: Mapping[str, str], *, top: float, log: bool
    ) -> None:
        """Draw these pixels.

        Parameters
        ----------
        pixels : mapping
            From `pixlab.plots.pixels.pixel_table`.
        where : mapping of str to str
            What hover boxes say of the module before they say it of the pixel.
        top : float
            Upper end of the colour scale of charge, adc counts; differences reach to a quarter of
            it on both sides.
        log : bool
            Logarithmic colours of charge.
        """
        self.pixels.data = dict(pixels)
        quarter = max(top / 4, 1.0)
        self.values.set(0.0, top, log=log)
        self.differences.set(-quarter, quarter)
        tips = [(k, str(v)) for k, v in where.items()]
        for box in self._hovers:
            rows = [row for row in box.tooltips if row[1].startswith("@")]
            if list(box.tooltips) != tips + rows:
                box.tooltips = tips + rows

    def show_borders(self, side: str, segments: Mapping[str, NDArray] | None) -> None:
        """Draw the outlines of clusters of one side, or none."""
        self.borders[side].data = dict(segments) if segments else {end: [] for end in _ENDS}

    def mark(self, boxes: Mapping[str, NDArray] | None) -> None:
        """Draw a frame around each of some boxes: ``left, right, bottom, top``."""
        self.marked.data = dict(boxes) if boxes else {k: [] for k in self.marked.data}


class ModuleMap:
    """A whole module, with the box of a zoom on it.

    Parameters
    ----------
    name : str
        Of the figure.
    x_range, y_range : Range1d
        The zoom that the box shows and moves.
    """

    def __init__(self, name: str, x_range: Range1d, y_range: Range1d) -> None:
        self.pixels = ColumnDataSource({name: [] for name in _PIXELS})
        self.scales = {
            "value": ColourScale(Viridis256, "charge [adc counts]"),
            "difference": ColourScale(DIFFERENCE, "difference [adc counts]"),
        }
        self.figure = new_figure(name, x_label="column", y_label="row")
        # on a map much wider than the screen a pixel is still seen
        self._drawn = {
            quantity: self.figure.rect("col", "row", 1, 1, source=self.pixels, line_width=2)
            for quantity in COLUMNS
        }
        for quantity, drawn in self._drawn.items():
            scale = self.scales["difference" if quantity == "difference" else "value"]
            scale.paint(drawn.glyph, COLUMNS[quantity], "fill_color", "line_color")
            drawn.visible = quantity == "original"
        self._hover = hover(list(self._drawn.values()), _TIPS)
        self.figure.add_tools(self._hover)
        box = RangeTool(x_range=x_range, y_range=y_range)
        box.overlay.update(fill_color=ACCENT, fill_alpha=0.12, line_color=ACCENT, line_dash="solid")
        self.figure.add_tools(box)

    def show(
        self,
        pixels: Mapping[str, NDArray],
        quantity: str,
        *,
        shape: tuple[int, int],
        chip: tuple[int, int],
        top: float,
        log: bool,
    ) -> None:
        """Draw these pixels of a module of that shape, with grid lines at the edges of its chips."""
        self.pixels.data = dict(pixels)
        self.scales["value"].set(0.0, top, log=log)
        self.scales["difference"].set(-max(top / 4, 1.0), max(top / 4, 1.0))
        for name, drawn in self._drawn.items():
            drawn.visible = name == quantity
        rows, cols = shape
        for span, size, step, axis, grid in (
            (self.figure.x_range, cols, chip[1], self.figure.xaxis[0], self.figure.xgrid[0]),
            (self.figure.y_range, rows, chip[0], self.figure.yaxis[0], self.figure.ygrid[0]),
        ):
            whole = (-0.5, size - 0.5)
            if (span.start, span.end) != whole:
                span.update(start=whole[0], end=whole[1], bounds=whole)
                span.reset_start, span.reset_end = whole
            ticks = list(range(0, size + 1, step if 0 < step < size else max(size // 4, 1)))
            if getattr(axis.ticker, "ticks", None) != ticks:
                axis.ticker = FixedTicker(ticks=ticks)
                grid.ticker = axis.ticker
