"""The rate-distortion curve of a sweep, and where the bits of the chosen setting go."""

from __future__ import annotations

from functools import partial
from html import escape
from typing import Any

import panel as pn
import panel_material_ui as pmui

from pixlab.dashboards.session import Follower, Session
from pixlab.dashboards.widgets import Card, Text, figure_pane, grid
from pixlab.physics import METRICS, TOLERANCES
from pixlab.plots.live import RatePlot
from pixlab.plots.points import sweep_points

__all__ = ["RateDistortion"]


class RateDistortion(pn.viewable.Viewer):
    """Any metric against the rate, for all points of the sweep; a tapped point is chosen.

    Parameters
    ----------
    session : Session
        Whose choices it shows and changes.
    """

    title = "Rate-distortion"

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.metric = pmui.Select(label="Distortion", width=320, margin=(10, 12, 4, 12))
        self.metric.param.watch(self._choose, "value")
        self._plot = pn.Column(sizing_mode="stretch_width", margin=0)
        self.curve: RatePlot | None = None
        self.card = Card("curve", "", "", self.metric, self._plot)
        self.parts = Text(style=_PARTS_STYLE, margin=(4, 10, 10, 10))
        self.best = pmui.Column(sizing_mode="stretch_width", margin=(0, 4, 8, 4))
        self._view = grid(
            (2, self.card),
            (
                1,
                pn.Column(
                    Card("best", "Cheapest inside each tolerance", _BEST_HELP, self.best),
                    pn.Spacer(height=8),
                    Card("parts", "Where the bits go", _PARTS_HELP, self.parts),
                    sizing_mode="stretch_width",
                ),
            ),
        )
        Follower(session, self.title, ["source", "metric", "log_scale"], self._draw)
        Follower(session, self.title, ["source", "point", "compared"], self._ring)
        Follower(session, self.title, ["source", "point"], self._draw_parts)
        Follower(session, self.title, ["source"], self._draw_best)

    def _choose(self, event: Any) -> None:
        if event.new is not None:
            self.session.metric = event.new

    def _draw(self) -> None:
        s = self.session
        names = {METRICS[m].label: m for m in s.param.metric.objects}
        self.metric.param.update(options=names, value=s.metric)
        table = s.data.sweep.table
        self.curve = RatePlot(
            "curve",
            sweep_points(table, s.metric),
            s.data.floors,
            log=s.log_scale,
            then=s.show_point,
        )
        self._ring()
        self.card.offer_saving([self.curve.figure])
        self._plot[:] = [figure_pane(self.curve.figure)]
        what = METRICS[s.metric]
        self.card.tell(
            f"{what.label} against rate",
            f"{what.label}: {what.meaning}, all layers together. Rate: bits of the compressed file "
            "per digi, with the model's bytes spread over 1,000 events, on a logarithmic axis. Tap "
            "a point to choose that setting in all views, a name in the legend to hide its curve. "
            "Broad grey line: no other setting is better at its rate. Dashed: ROOT's own "
            "compression, and the tolerances. Dotted: about what the exact hit map takes, alone and "
            "with the readout noise of each charge, which lossless coding cannot avoid.",
        )

    def _ring(self) -> None:
        if self.curve is not None:
            self.curve.choose(self.session.point, self.session.compared)

    def _draw_parts(self) -> None:
        data, point = self.session.data, self.session.point
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
        self.parts.html = (
            f"<div>{escape(data.label(point))}</div><table><thead><tr>"
            "<th>part</th><th></th><th>bits/digi</th><th>share</th></tr></thead>"
            f"<tbody>{rows}<tr class='sum'><td>file</td><td></td><td>{total:.2f}</td><td></td></tr>"
            "</tbody></table>"
        )

    def _draw_best(self) -> None:
        data = self.session.data
        buttons: list[Any] = []
        for tolerance in TOLERANCES:
            row = data.cheapest(tolerance)
            if row is None:
                text, disabled = f"{tolerance}: none of the sweep", True
            else:
                rate = data.value(row, "bits_per_digi")
                text, disabled = f"{tolerance}: {rate:.2f} bits/digi · {data.label(row)}", False
            button = pmui.Button(
                label=text,
                variant="text",
                disabled=disabled,
                sizing_mode="stretch_width",
                margin=(0, 4),
                sx={"justifyContent": "flex-start", "textTransform": "none", "textAlign": "left"},
            )
            if row is not None:
                button.on_click(partial(self._show, row))
            buttons.append(button)
        self.best[:] = buttons

    def _show(self, row: int, event: Any) -> None:
        self.session.show_point(row)

    def __panel__(self) -> Any:
        return self._view


_BEST_HELP = (
    "The setting of this sweep with the lowest rate that is inside a tolerance in every layer. Click "
    "one to choose it in all views."
)
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
