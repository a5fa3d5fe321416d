"""Small pictures in rows, and how much each is used."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from bokeh.events import Tap
from bokeh.models import ColumnDataSource, TapTool
from bokeh.palettes import Viridis256
from numpy.typing import NDArray

from pixlab.plots.live.figures import ColourScale, hover, new_figure
from pixlab.plots.style import ACCENT, BLUE, GREY

__all__ = ["Gallery", "UsagePlot"]


class Gallery:
    """Pictures of one size side by side, in reading order.

    Parameters
    ----------
    name : str
        Of the figure.
    tips : dict of str to str
        What the hover box says: label -> key of the numbers given to `show`.
    then : function of int
        Called with the place of a tapped picture.
    height : int
        Pixels.
    """

    def __init__(
        self, name: str, tips: Mapping[str, str], then: Callable[[int], None], *, height: int = 300
    ) -> None:
        self.figure = new_figure(name, height=height)
        self.figure.axis.visible = False
        self.figure.grid.visible = False
        self.image = ColumnDataSource({"image": []})
        self._keys = tuple(tips.values())
        self.scale = ColourScale(Viridis256, "charge [adc counts]")
        frames = self.figure.rect([], [], 1, 1, fill_color=GREY, fill_alpha=0.1, line_alpha=0)
        self._frames = frames
        drawn = self.figure.image("image", x=0, y=0, dw=1, dh=1, source=self.image)
        self.scale.paint(drawn.glyph, "image", "color_mapper")
        self._drawn = drawn
        self.figure.add_layout(self.scale.bar(), "right")
        self._ring = self.figure.rect([], [], 1, 1, fill_alpha=0, line_color=ACCENT, line_width=3)
        self._tips = [(label, f"@{key}{{0}}") for label, key in tips.items()]
        self.figure.add_tools(
            hover([drawn], [*self._tips, ("value of the pixel", "@image{whole}")])
        )
        self._then = then
        self._shape, self._across, self._n = (1, 1), 1, 0
        self.figure.on_event(Tap, self._tapped)

    def show(
        self,
        pictures: NDArray[np.float32],
        numbers: Mapping[str, NDArray],
        *,
        across: int,
        top: float,
        log: bool,
    ) -> None:
        """Draw pictures.

        Parameters
        ----------
        pictures : float32[n, rows, cols]
            NaN is empty.
        numbers : mapping of arrays of n
            What the hover box says of each.
        across : int
            How many stand in a row.
        top : float
            Upper end of the colour scale.
        log : bool
            Logarithmic colours.
        """
        n, rows, cols = pictures.shape
        down = max(-(-n // across), 1)
        self._shape, self._across, self._n = (rows, cols), across, n
        high, wide = down * (rows + 1), across * (cols + 1)
        canvas = np.full((down, rows + 1, across, cols + 1), np.nan, np.float32)
        layers = {key: np.full(canvas.shape, -1, np.int64) for key in self._keys}
        place = np.arange(n)
        for i in place:
            at = i // across, slice(0, rows), i % across, slice(0, cols)
            canvas[at] = pictures[i][::-1]
            for key, layer in layers.items():
                layer[at] = numbers[key][i]
        # rows of a picture go up, as on a hit map; rows of pictures go down
        shown = {"image": canvas} | layers
        self.image.data = {
            k: [np.ascontiguousarray(v.reshape(high, wide)[::-1])] for k, v in shown.items()
        }
        self._drawn.glyph.update(dw=wide, dh=high)
        x, y = self._centres(place)
        self._frames.data_source.data = {"x": x, "y": y}
        self._frames.glyph.update(width=cols, height=rows)
        self._ring.glyph.update(width=cols + 0.8, height=rows + 0.8)
        for span, end in ((self.figure.x_range, wide), (self.figure.y_range, high)):
            whole = (-0.5, end - 0.5 + (span is self.figure.y_range))
            span.update(start=whole[0], end=whole[1], reset_start=whole[0], reset_end=whole[1])
        self.scale.set(0.0, top, log=log)

    def choose(self, place: int | None) -> None:
        """Frame the picture at that place, or none."""
        at = np.array([] if place is None else [place], int)
        x, y = self._centres(at)
        self._ring.data_source.data = {"x": x, "y": y}

    def _centres(self, place: NDArray) -> tuple[NDArray, NDArray]:
        rows, cols = self._shape
        down = max(-(-self._n // self._across), 1)
        x = place % self._across * (cols + 1) + cols / 2
        y = (down - place // self._across) * (rows + 1) - rows / 2
        return x, y

    def _tapped(self, event: Any) -> None:
        rows, cols = self._shape
        down = max(-(-self._n // self._across), 1)
        at_row = down - 1 - int((event.y - 0.5) // (rows + 1))
        at_col = int((event.x + 0.5) // (cols + 1))
        place = at_row * self._across + at_col
        if 0 <= at_col < self._across and 0 <= place < self._n:
            self._then(place)


class UsagePlot:
    """How often each codeword is used, from the most to the least used.

    Parameters
    ----------
    name : str
        Of the figure.
    then : function of int
        Called with the place of a tapped codeword.
    """

    def __init__(self, name: str, then: Callable[[int], None]) -> None:
        self.figure = new_figure(
            name,
            height=300,
            x_label="codewords, by use",
            y_label="uses",
            x_axis_type="log",
            y_axis_type="log",
        )
        self.steps = ColumnDataSource({k: [] for k in ("left", "right", "top", "place", "code")})
        bars = self.figure.quad(
            "left", "right", bottom=0.5, top="top", source=self.steps, fill_color=BLUE,
            fill_alpha=0.6, line_alpha=0,
        )  # fmt: skip
        bars.nonselection_glyph = bars.selection_glyph = None
        self._chosen = self.figure.scatter(
            [], [], marker="inverted_triangle", size=14, color=ACCENT
        )
        self._even = self.figure.line([], [], line_color=GREY, line_dash="dashed")
        tips = [("place", "@place{0}"), ("codeword", "@code{0}"), ("uses", "@top{0}")]
        self.figure.add_tools(hover([bars], tips), TapTool(renderers=[bars]))
        self._then = then
        self.steps.selected.on_change("indices", self._tapped)

    def show(self, uses: NDArray[np.int64], order: NDArray[np.intp], of: str) -> None:
        """Draw `uses` of codewords in that order, each for one `of` something."""
        self.figure.yaxis.axis_label = of
        n = len(order)
        place = np.arange(1, n + 1)
        sorted_uses = uses[order]
        self.steps.data = {
            "left": place - 0.5,
            "right": place + 0.5,
            "top": sorted_uses.astype(float),
            "place": place,
            "code": order.astype(np.int64),
        }
        even = max(uses.sum() / max(n, 1), 0.5)
        self._even.data_source.data = {"x": [0.5, n + 0.5], "y": [even, even]}
        top = 2.0 * max(float(sorted_uses.max(initial=1)), 1.0)
        for span, ends in (
            (self.figure.x_range, (0.5, n + 0.5)),
            (self.figure.y_range, (0.5, top)),
        ):
            span.update(start=ends[0], end=ends[1], reset_start=ends[0], reset_end=ends[1])

    def choose(self, place: int | None) -> None:
        """Mark the codeword at that place, or none."""
        at = [] if place is None else [place]
        data = self.steps.data
        top = np.maximum(np.asarray(data["top"])[at], 1.0)
        self._chosen.data_source.data = {"x": np.asarray(data["place"])[at], "y": 1.3 * top}

    def _tapped(self, attribute: str, old: list[int], new: list[int]) -> None:
        if new:
            self.steps.selected.indices = []
            self._then(int(new[0]))
