"""The whole detector on one figure, drawn by datashader for what is seen of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from bokeh.core.property.descriptors import UnsetValueError
from bokeh.events import Tap
from bokeh.models import ColumnDataSource
from bokeh.palettes import Viridis256

from pixlab.detectors import Detector
from pixlab.plots.live.figures import ColourScale, hover, new_figure
from pixlab.plots.live.hits import COLUMNS
from pixlab.plots.overview import PROJECTIONS, Raster, extent, rasterize
from pixlab.plots.style import ACCENT, DIFFERENCE

if TYPE_CHECKING:
    import pandas

__all__ = ["OverviewMap"]

SINGLY = 4000  # digis that are drawn one by one, with all their values in the hover box
_CELL = 2  # screen pixels of a cell of the raster: a lone digi is still seen
_SIZE = (420, 240)  # of a figure that the browser has not laid out yet


class OverviewMap:
    """Digis at their places in the detector, summed in cells or, where they are few, one by one.

    Parameters
    ----------
    name : str
        Of the figure.
    projection : str
        One of `pixlab.plots.overview.PROJECTIONS`.
    later : function of a function
        Runs it soon, in the state in which the page may be changed.
    """

    def __init__(
        self, name: str, projection: str, later: Callable[[Callable[[], None]], None]
    ) -> None:
        self.projection = projection
        *_, x_label, y_label = PROJECTIONS[projection]
        self.figure = new_figure(name, height=205, x_label=x_label, y_label=y_label, wheel=True)
        self.figure.grid.visible = False
        self.image = ColumnDataSource({k: [] for k in ("image", "x", "y", "dw", "dh")})
        singles = ("x", "y", "value", "layer", "detid", "row", "col", "adc", "decoded", "delta")
        self.singles = ColumnDataSource({k: [] for k in singles})
        self.box = ColumnDataSource({"x": [], "y": []})
        self.scales = {
            "value": ColourScale(Viridis256, "charge [adc counts]"),
            "difference": ColourScale(DIFFERENCE, "difference [adc counts]"),
        }
        self._drawn: dict[str, list[Any]] = {}
        for kind, scale in self.scales.items():
            cells = self.figure.image("image", "x", "y", "dw", "dh", source=self.image)
            scale.paint(cells.glyph, "image", "color_mapper")
            dots = self.figure.scatter(
                "x", "y", source=self.singles, size=6, marker="square", line_width=0
            )
            scale.paint(dots.glyph, "value", "fill_color")
            bar = scale.bar()
            self.figure.add_layout(bar, "right")
            for part in (cells, dots, bar):
                part.visible = kind == "value"
            self._drawn[kind] = [cells, dots, bar]
        self.figure.multi_line("x", "y", source=self.box, line_color=ACCENT, line_width=2)
        cells, dots = zip(*(parts[:2] for parts in self._drawn.values()), strict=True)
        self.figure.add_tools(
            hover(cells, [("charge in this cell [adc]", "@image{0}")]),
            hover(
                dots,
                [
                    ("detid", "@detid{0}"),
                    ("layer", "@layer"),
                    ("row, column", "@row, @col"),
                    ("adc", "@adc{whole}"),
                    ("decoded adc", "@decoded{whole}"),
                    ("delta", "@delta{signed}"),
                ],
            ),
        )
        # the picture has as many cells as there is room for
        for side in ("inner_width", "inner_height"):
            self.figure.on_change(side, self._moved)
        self._later = later
        self._pending = False
        self._table: pandas.DataFrame | None = None
        self._detector: Detector | None = None
        self._quantity, self._log = "original", False
        for span in (self.figure.x_range, self.figure.y_range):
            for end in ("start", "end"):
                span.on_change(end, self._moved)

    # -- what it shows ----------------------------------------------------------------------
    def show(
        self,
        table: pandas.DataFrame,
        detector: Detector,
        quantity: str,
        *,
        layers: Sequence[int],
        log: bool,
    ) -> None:
        """Draw rows of a `pixlab.plots.overview.Cloud`; the zoom stays while the layers are the same.

        Parameters
        ----------
        table : DataFrame
            Rows of ``Cloud.table``.
        detector : Detector
            Theirs.
        quantity : {"original", "decoded", "difference"}
            What is summed.
        layers : sequence of int
            Indices of the layers that are shown.
        log : bool
            Logarithmic colours of charge.
        """
        self._table, self._detector, self._quantity, self._log = table, detector, quantity, log
        whole = extent(detector, layers, self.projection)
        for span, ends in zip((self.figure.x_range, self.figure.y_range), whole, strict=True):
            if (span.reset_start, span.reset_end) != ends:
                span.update(start=ends[0], end=ends[1], reset_start=ends[0], reset_end=ends[1])
        self.draw()

    def choose(self, module: int) -> None:
        """Frame the module of that index in the detector's table."""
        assert self._detector is not None
        sensor = self._detector.sensors[self._detector.sensor[module]]
        rows = np.array([0, sensor.rows, sensor.rows, 0, 0], float)
        cols = np.array([0, 0, sensor.cols, sensor.cols, 0], float)
        x, y, z = self._detector.positions(np.full(5, module), rows, cols).T
        phi = np.unwrap(np.arctan2(y, x))
        places = {"x": x, "y": y, "z": z, "phi": phi}
        across, up, *_ = PROJECTIONS[self.projection]
        self.box.data = {"x": [places[across]], "y": [places[up]]}

    def nearest(self, x: float, y: float) -> int | None:
        """Index of the module with the digi that is nearest to a place, as it is seen."""
        if self._table is None or not len(self._table):
            return None
        across, up, *_ = PROJECTIONS[self.projection]
        wide, high = (s.end - s.start for s in (self.figure.x_range, self.figure.y_range))
        away = ((self._table[across].to_numpy() - x) / wide) ** 2
        away += ((self._table[up].to_numpy() - y) / high) ** 2
        return int(self._table["module"].iloc[int(np.argmin(away))])

    def on_tap(self, then: Callable[[int], None]) -> None:
        """Call `then` with the index of the module that was tapped."""

        def tapped(event: Any) -> None:
            module = self.nearest(event.x, event.y)
            if module is not None:
                then(module)

        self.figure.on_event(Tap, tapped)

    # -- drawing ----------------------------------------------------------------------------
    def _moved(self, attribute: str, old: float, new: float) -> None:
        if not self._pending and self._table is not None:
            self._pending = True
            self._later(self._catch_up)

    def _catch_up(self) -> None:
        self._pending = False
        self.draw()

    def draw(self) -> None:
        """Draw what is seen."""
        assert self._table is not None
        assert self._detector is not None
        across, up = self.figure.x_range, self.figure.y_range
        x, y = sorted((across.start, across.end)), sorted((up.start, up.end))
        wide, high = self._laid_out()
        size = max(wide // _CELL, 8), max(high // _CELL, 8)
        column = COLUMNS[self._quantity]
        ends = (x[0], x[1]), (y[0], y[1])
        raster = rasterize(self._table, self.projection, column, *ends, size)  # type: ignore[arg-type]
        few = raster.digis <= SINGLY
        kind = "difference" if self._quantity == "difference" else "value"
        for name, (cells, dots, bar) in self._drawn.items():
            bar.visible = name == kind
            cells.visible = bar.visible and not few
            dots.visible = bar.visible and few
        if few:
            self._show_singles(column, *ends)
        else:
            self._show_cells(raster, *ends)

    def _laid_out(self) -> tuple[int, int]:
        """Width and height of the frame on the screen, pixels."""
        try:
            return int(self.figure.inner_width), int(self.figure.inner_height)
        except UnsetValueError:  # the browser has not told yet
            return _SIZE

    def _show_cells(self, raster: Raster, x: tuple[float, float], y: tuple[float, float]) -> None:
        self.image.data = {
            "image": [raster.image],
            "x": [x[0]],
            "y": [y[0]],
            "dw": [x[1] - x[0]],
            "dh": [y[1] - y[0]],
        }
        self._scale(raster.top)

    def _show_singles(self, column: str, x: tuple[float, float], y: tuple[float, float]) -> None:
        assert self._table is not None
        assert self._detector is not None
        across, up, *_ = PROJECTIONS[self.projection]
        table = self._table
        seen = table[table[across].between(*x) & table[up].between(*y) & table[column].notna()]
        module = seen["module"].to_numpy()
        layers = np.array(self._detector.layers, object)
        columns = {
            name: seen[name].to_numpy() for name in ("row", "col", "adc", "decoded", "delta")
        }
        columns |= {"x": seen[across].to_numpy(), "y": seen[up].to_numpy()}
        columns |= {
            "value": seen[column].to_numpy(),
            "detid": self._detector.detid[module].astype(np.int64),
            "layer": layers[self._detector.layer[module]],
        }
        self.singles.data = columns
        values = np.abs(columns["value"])
        self._scale(float(np.quantile(values, 0.95)) if len(values) else 1.0)

    def _scale(self, top: float) -> None:
        top = max(float(top), 1.0)
        self.scales["value"].set(0.0, top, log=self._log)
        self.scales["difference"].set(-top, top)
