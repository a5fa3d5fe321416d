"""The sweep as a table to sort, filter and take away."""

from __future__ import annotations

from io import BytesIO, StringIO
from typing import Any

import panel as pn
import panel_material_ui as pmui
from bokeh.models.widgets.tables import NumberFormatter

from pixlab.dashboards.session import Follower, Session
from pixlab.dashboards.widgets import Card

__all__ = ["SweepTable"]


class SweepTable(pn.viewable.Viewer):
    """The sweep as a table; a tapped row is chosen, the downloads have every column.

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
            stylesheets=[_STYLE],
            sizing_mode="stretch_width",
            max_height=640,
            margin=(0, 10, 10, 10),
        )
        self.table.on_click(self._clicked)
        downloads = [
            pmui.FileDownload(
                callback=callback, filename=f"sweep.{ending}", label=f"Download {name}",
                size="small", variant="outlined", margin=(4, 6),
            )
            for callback, ending, name in (
                (self._csv, "csv", "CSV"),
                (self._parquet, "parquet", "Parquet"),
            )
        ]  # fmt: skip
        self._view = Card(
            "table", "All points of the sweep", _HELP, pn.FlexBox(*downloads), self.table
        )
        Follower(session, self.title, ["source"], self._fill)
        Follower(session, self.title, ["source", "point"], self._mark)

    def _fill(self) -> None:
        table, digits, large = self.session.data.shown_table
        self.table.formatters = {
            heading: NumberFormatter(format="0." + "0" * n if n else "0", text_align="right")
            for heading, n in digits.items()
        }
        self.table.header_align = dict.fromkeys(digits, "right")
        self.table.widths = {"setting": 190} | dict.fromkeys(digits, 120)
        filters = {heading: ">=" if heading in large else "<=" for heading in digits}
        self.table.header_filters = {
            "setting": {"type": "input", "func": "like", "placeholder": "contains"}
        } | {
            heading: {"type": "number", "func": func, "placeholder": _WORDS[func]}
            for heading, func in filters.items()
        }
        self.table.value = table

    def _mark(self) -> None:
        self.table.selection = [self.session.point]

    def _clicked(self, event: Any) -> None:
        self.session.show_point(int(event.row))

    def _csv(self) -> StringIO:
        text = StringIO()
        self.session.data.plain_table.to_csv(text, index=False)
        text.seek(0)
        return text

    def _parquet(self) -> BytesIO:
        """The whole sweep with its models and comparisons: what `pixlab serve` opens."""
        return BytesIO(self.session.data.sweep_bytes())

    def __panel__(self) -> Any:
        return self._view


_HELP = (
    "One row a setting. Rate: bits of file per digi with the model spread over 1,000 events; 'whole "
    "file' counts all of the model on the few events of the sweep. ROOT / this: how many times "
    "smaller than ROOT's own compression of the same events. Click a heading to sort, type below it "
    "to filter, click a row to choose it in all views. CSV has every number; Parquet also the "
    "models and comparisons, as `pixlab serve` opens it."
)
_WORDS = {"<=": "at most", ">=": "at least"}
_STYLE = """
.tabulator .tabulator-col-title { white-space: normal !important; }
.tabulator .tabulator-col-title, .tabulator .tabulator-cell { font-size: 13px; }
.tabulator .tabulator-cell[tabulator-field="setting"] { white-space: normal; }
"""
