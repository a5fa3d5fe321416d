"""The results of a sweep: the curve, what the chosen point does to the physics, the table."""

from __future__ import annotations

from html import escape
from io import StringIO
from typing import Any
from weakref import WeakValueDictionary

import holoviews as hv
import panel as pn
import panel_material_ui as pmui
from bokeh.models.widgets.tables import NumberFormatter

from pixlab import plots
from pixlab.dashboards.session import Choices, Session
from pixlab.dashboards.widgets import ACCENT, Taps, card, grid, named, pane
from pixlab.digis import Digis
from pixlab.physics import METRICS, SPECTRA, Comparison, compare

__all__ = ["Physics", "RateDistortion", "SweepTable"]


class RateDistortion(pn.viewable.Viewer):
    """Any metric against the rate, for all points of the sweep; a tapped point is chosen.

    Parameters
    ----------
    session : Session
        Whose choices it shows and changes.
    """

    title = "Rate and distortion"

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        p = session.param
        self._taps: Taps | None = None
        self.metric = pmui.Select(label="Distortion", width=320, margin=(10, 12, 4, 12))
        self._follow()
        session.param.watch(self._follow, ["source", "metric"])
        self.metric.param.watch(self._choose, "value")
        self.curves = pn.bind(self._curves, p.source, p.metric, p.log_scale)
        self.parts = pn.pane.HTML(
            pn.bind(self._parts, p.source, p.point),
            sizing_mode="stretch_width",
            margin=(4, 10, 10, 10),
        )
        curve = card(
            pn.bind(self._title, p.metric),
            self.curves,
            pn.bind(self._help, p.metric),
            name="curve",
            above=self.metric,
        )
        parts = card("Where the bits go", self.parts, _PARTS_HELP, name="parts")
        self._view = grid((2, curve), (1, parts))

    def _follow(self, *events: Any) -> None:
        names = {METRICS[m].label: m for m in self.session.param.metric.objects}
        self.metric.param.update(options=names, value=self.session.metric)

    def _choose(self, event: Any) -> None:
        if event.new is not None:
            self.session.metric = event.new

    def _curves(self, source: str, metric: str, log: bool) -> hv.Overlay:
        overlay = plots.rate_distortion(self.session.data.sweep.table, metric, logy=log)
        points = next(e for e in overlay if isinstance(e, hv.Points))
        self.close()
        taps = self._taps = Taps(points, self.session.show_point)  # kept as long as the drawing
        x, y = (d.name for d in points.kdims)
        places = points.dimension_values(x), points.dimension_values(y)

        def chosen(row: int) -> hv.Points:
            at = [(places[0][row], places[1][row])] if row < len(places[0]) else []
            return hv.Points(at, [x, y], group="Chosen").opts(
                marker="circle", size=18, fill_alpha=0, line_color=ACCENT, line_width=3
            )

        ring = hv.DynamicMap(pn.bind(chosen, self.session.param.point))
        # what was set for the whole drawing does not survive the multiplication
        options = overlay.opts.get("plot").kwargs
        return (overlay * ring).opts(
            **options | {"height": 430, "title": "", "hooks": [named("curve"), taps.hook]}
        )

    def _title(self, metric: str) -> str:
        return f"{METRICS[metric].label} against rate"

    def _help(self, metric: str) -> str:
        what = METRICS[metric]
        return (
            f"{what.label}: {what.meaning}, all layers together. Rate: bits of the compressed file "
            "per digi, with the model's bytes spread over 1,000 events. Tap a point to choose that "
            "setting in all views. Dashed: what ROOT's own compression needs, and the tolerances."
        )

    def close(self) -> None:
        """The visitor has left, or another drawing takes the place of this one."""
        if self._taps is not None:
            self._taps.close()

    def _parts(self, source: str, point: int) -> str:
        data = self.session.data
        parts = data.rate_parts(point)
        total = sum(parts.values())
        shown = {name: bits for name, bits in parts.items() if bits > 0.005 * total}
        if len(shown) < len(parts):
            shown["other"] = total - sum(shown.values())
        rows = "".join(
            f"<tr><td>{escape(name)}</td><td class='bar'><div style='width:{100 * bits / total:.1f}%'>"
            f"</div></td><td>{bits:.2f}</td><td>{100 * bits / total:.1f}%</td></tr>"
            for name, bits in shown.items()
        )
        return (
            f"<style>{_PARTS_STYLE}</style><div>{escape(data.label(point))}</div><table><thead><tr>"
            "<th>part</th><th></th><th>bits/digi</th><th>share</th></tr></thead>"
            f"<tbody>{rows}<tr class='sum'><td>file</td><td></td><td>{total:.2f}</td><td></td></tr>"
            "</tbody></table>"
        )

    def __panel__(self) -> Any:
        return self._view


_PARTS_HELP = (
    "What the compressed file of the chosen setting spends per digi: which pixels or tiles are hit, "
    "what they hold, and the codec's own model, spread over 1,000 events (one file of a library)."
)
_PARTS_STYLE = """
div { font-size: 13px; }
table { width: 100%; font-size: 13px; border-collapse: collapse; margin-top: 6px; }
th { font-weight: 400; opacity: .7; }
th, td { text-align: right; padding: 3px 6px; font-variant-numeric: tabular-nums; }
th:first-child, td:first-child { text-align: left; }
.bar { width: 45%; }
.bar div { background: #0072b2; opacity: .75; height: 12px; border-radius: 2px; }
.sum td { border-top: 1px solid rgba(128,128,128,.5); font-weight: 600; }
"""


class Physics(pn.viewable.Viewer):
    """Spectra with their ratio in the chosen layer, and the table of all metrics and layers.

    Parameters
    ----------
    session : Session
        Whose choices it shows.
    """

    title = "Physics"

    SHOWN = ("charge", "size", "occupancy")

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        p = session.param
        self._now = Choices(session, self.title, ["source", "layer", "point"])
        self.spectra = {name: pn.bind(self._spectrum, name, p.log_scale) for name in self.SHOWN}
        cards = [
            card(
                pn.bind(self._title, name, p.layer),
                drawing,
                self._help(name),
                name=f"spectrum-{name}",
            )
            for name, drawing in self.spectra.items()
        ]
        self.verdict = pn.pane.HTML(
            pn.bind(self._report, self._now.param.now),
            sizing_mode="stretch_width",
            styles={"overflow-x": "auto"},
            margin=(0, 10, 8, 10),
            css_classes=["pixlab-report"],
        )
        self._view = pn.Column(
            grid(*((1, one) for one in cards)),
            card("All metrics, layer by layer", self.verdict, _REPORT_HELP, name="verdict"),
            sizing_mode="stretch_width",
            margin=0,
        )

    def _spectrum(self, name: str, log: bool) -> pn.Column:
        """New for another kind of axis; another model or layer only changes its data."""
        # the range of the spectrum, for the ratio, by page or cell
        x_ranges: WeakValueDictionary[str, Any] = WeakValueDictionary()

        def link(plot: Any, element: Any) -> None:
            plot.state.x_range = x_ranges.setdefault(plot.root.ref["id"], plot.state.x_range)
            plot.state.min_border_left = 70  # so that one stands exactly below the other
            plot.state.min_border_right = 10

        def panel(place: int) -> hv.DynamicMap:
            def draw(now: dict[str, Any]) -> Any:
                comparison = self.session.comparison() or self._nothing()
                return list(plots.spectrum_ratio(comparison, name, now["layer"], logy=log))[place]

            return hv.DynamicMap(pn.bind(draw, self._now.param.now))

        return pn.Column(
            *(
                pane(
                    panel(place).opts(
                        title="",
                        framewise=True,
                        height=height,
                        hooks=[named(f"{name}-{place}"), link],
                    )
                )
                for place, height in enumerate((260, 150))
            ),
            sizing_mode="stretch_width",
        )

    def _nothing(self) -> Comparison:
        """What is drawn where the comparison cannot be read: axes without entries."""
        empty = Digis.empty(self.session.data.digis.detector, 1)
        return compare(empty, empty)

    def _title(self, name: str, layer: str) -> str:
        return f"{SPECTRA[name].label}, {layer}"

    def _help(self, name: str) -> str:
        spectrum = SPECTRA[name]
        return (
            f"{spectrum.axis_label}, counted in {spectrum.entries}: original filled, decoded as "
            "points, and below their ratio. Bars: statistical error of the decoded counts; band: "
            "of the original. Both are the same events, so the ratio is surer than they say."
        )

    def _report(self, now: dict[str, Any]) -> str:
        comparison = self.session.comparison()
        return "" if comparison is None else comparison._repr_html_()

    def __panel__(self) -> Any:
        return self._view


_REPORT_HELP = (
    "Every metric in every layer: the value, coloured by the strictest tolerance it is inside. "
    "Hover a name for its definition; choose the tolerance of the verdict on the left."
)


class SweepTable(pn.viewable.Viewer):
    """The sweep as a table to sort; a tapped row is chosen, the download has every column.

    Parameters
    ----------
    session : Session
        Whose choices it shows and changes.
    """

    title = "Table"

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.table = pn.widgets.Tabulator(
            show_index=False,
            disabled=True,
            selectable=1,
            layout="fit_data",
            frozen_columns=["setting"],
            stylesheets=[_TABLE_STYLE],
            sizing_mode="stretch_width",
            max_height=640,
            margin=(0, 10, 10, 10),
        )
        self.table.on_click(self._clicked)
        self.download = pmui.FileDownload(
            callback=self._csv, filename="sweep.csv", label="Download CSV", margin=(4, 12)
        )
        self._fill()
        session.param.watch(self._fill, "source")
        session.param.watch(self._mark, "point")
        self._view = card(
            "All points of the sweep", self.table, _TABLE_HELP, name="table", above=self.download
        )

    def _fill(self, *events: Any) -> None:
        table, digits = self.session.data.shown_table
        self.table.formatters = {
            heading: NumberFormatter(format="0." + "0" * n if n else "0", text_align="right")
            for heading, n in digits.items()
        }
        self.table.header_align = dict.fromkeys(digits, "right")
        self.table.widths = {"setting": 190} | dict.fromkeys(digits, 120)
        self.table.value = table
        self._mark()

    def _mark(self, *events: Any) -> None:
        self.table.selection = [self.session.point]

    def _clicked(self, event: Any) -> None:
        self.session.show_point(int(event.row))

    def _csv(self) -> StringIO:
        text = StringIO()
        self.session.data.plain_table.to_csv(text, index=False)
        text.seek(0)
        return text

    def __panel__(self) -> Any:
        return self._view


_TABLE_HELP = (
    "One row a setting. Rate: bits of file per digi with the model spread over 1,000 events; 'whole "
    "file' counts all of the model on the few events of the sweep. ROOT / this: how many times "
    "smaller than ROOT's own compression of the same events. Click a heading to sort, a row to "
    "choose it in all views."
)
_TABLE_STYLE = """
.tabulator .tabulator-col-title { white-space: normal !important; }
.tabulator .tabulator-col-title, .tabulator .tabulator-cell { font-size: 13px; }
.tabulator .tabulator-cell[tabulator-field="setting"] { white-space: normal; }
"""
