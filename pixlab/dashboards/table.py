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
            frozen_columns=["label"],
            stylesheets=[_STYLE],
            sizing_mode="stretch_width",
            max_height=640,
            margin=(0, 10, 10, 10),
        )
        self.table.on_click(self._clicked)
        downloads = [
            pmui.FileDownload(
                callback=callback, filename=f"sweep.{ending}", label=f"Download {name}",
                size="small", margin=(4, 6),
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
        table, columns = self.session.data.shown_table
        numbers = {name: c.digits for name, c in columns.items() if c.digits is not None}
        filters: dict[str, Any] = {}
        for name, column in columns.items():
            func = "like" if column.digits is None else ">=" if column.large else "<="
            kind = "input" if column.digits is None else "number"
            filters[name] = {"type": kind, "func": func, "placeholder": _WORDS[func]}
        self.table.param.update(
            titles={name: c.heading for name, c in columns.items()},
            header_tooltips={name: c.meaning for name, c in columns.items()},
            formatters={
                name: NumberFormatter(
                    format="0." + "0" * n if n else "0", text_align="right", nan_format="–"
                )
                for name, n in numbers.items()
            },
            header_align=dict.fromkeys(numbers, "right"),
            widths={"label": 190, "inside": 100} | dict.fromkeys(numbers, 120),
            header_filters=filters,
            value=table,
        )

    def _mark(self) -> None:
        self.table.selection = [self.session.point]

    def _clicked(self, event: Any) -> None:
        self.session.show_point(int(event.row))

    def _csv(self) -> StringIO:
        text = StringIO()
        self.session.data.sweep.plain.to_csv(text, index=False)
        text.seek(0)
        return text

    def _parquet(self) -> BytesIO:
        """The whole sweep with its models and comparisons: what `pixlab serve` opens."""
        return BytesIO(self.session.data.sweep_bytes())

    def __panel__(self) -> Any:
        return self._view


_HELP = (
    "One row a setting. Bits per digi is the rate: the file's bits with the model spread over 1,000 "
    "events. Rest the pointer on a heading for its meaning, click it to sort, type below it to "
    "filter; click a row to choose it in all views. CSV has every number; Parquet also the models "
    "and comparisons, as `pixlab serve` opens it."
)
_WORDS = {"<=": "at most", ">=": "at least", "like": "contains"}
_STYLE = """
.tabulator .tabulator-col-title { white-space: normal !important; }
.tabulator .tabulator-col-title, .tabulator .tabulator-cell { font-size: 13px; }
.tabulator .tabulator-cell[tabulator-field="label"] { white-space: normal; }
"""
