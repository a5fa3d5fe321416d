"""What the chosen setting does to the physics: spectra, response, shifts, and the verdict."""

from __future__ import annotations

from html import escape
from typing import Any

import panel as pn

from pixlab.dashboards.session import Follower, Session
from pixlab.dashboards.widgets import Card, Text, figure_pane, grid, switch
from pixlab.digis import Digis
from pixlab.physics import METRICS, SPECTRA, Comparison, Verdict, compare
from pixlab.physics.pairs import PAIRS
from pixlab.plots.bins import pair_bins, spectrum_bins
from pixlab.plots.live import PairPlot, SpectrumPlot

__all__ = ["Physics", "verdict_table"]

SHOWN = ("charge", "size", "occupancy", "response", "shift_row", "shift_col")


class Physics(pn.viewable.Viewer):
    """Spectra with their ratio, changes of matched clusters, and all metrics by layer.

    Parameters
    ----------
    session : Session
        Whose choices it shows.
    """

    title = "Physics"

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self._plots: dict[str, SpectrumPlot | PairPlot] = {}
        self._cards: dict[str, Card] = {}
        self._log: bool | None = None
        self._arranged: list[Card] = []
        p = session.param
        self._grid = pn.Column(sizing_mode="stretch_width", margin=0)
        self.verdict = Text(style=_TABLE_STYLE, name="report", margin=(0, 10, 8, 10))
        self._verdict_card = Card("verdict", "Verdict", _VERDICT_HELP, self.verdict)
        self._view = pn.Column(
            pn.FlexBox(
                switch(p.together, "all layers together"),
                switch(p.all_spectra, "all quantities"),
                sizing_mode="stretch_width",
            ),
            self._grid,
            self._verdict_card,
            sizing_mode="stretch_width",
            margin=0,
        )
        Follower(
            session,
            self.title,
            ["source", "layer", "point", "together", "all_spectra", "log_scale"],
            self._draw,
        )
        Follower(session, self.title, ["source", "point", "tolerance", "layer"], self._judge)

    # -- spectra ----------------------------------------------------------------------------
    def _draw(self) -> None:
        s = self.session
        if s.log_scale != self._log:
            self._log = s.log_scale  # another kind of axis
            self._plots, self._cards = {}, {}
        names = (
            [*SPECTRA, *PAIRS] if s.all_spectra else [n for n in SHOWN if n in {*SPECTRA, *PAIRS}]
        )
        cards = [self._card(name) for name in names]
        comparison = s.comparison() or self._nothing()
        layer = "all" if s.together else s.layer
        words = "all layers" if s.together else s.layer
        for name in names:
            plot = self._plots[name]
            if isinstance(plot, SpectrumPlot):
                plot.show(spectrum_bins(comparison, name, layer))
                label = SPECTRA[name].label
            else:
                plot.show(pair_bins(comparison, name, layer))
                label = PAIRS[name].label
            self._cards[name].tell(f"{label[0].upper()}{label[1:]} · {words}")
        if cards != self._arranged:
            self._arranged = cards
            self._grid[:] = [grid(*((1, card) for card in cards), narrowest=310)]

    def _card(self, name: str) -> Card:
        if name not in self._cards:
            if name in SPECTRA:
                spectrum = SpectrumPlot(name, log=self.session.log_scale)
                panes = [figure_pane(spectrum.figure), figure_pane(spectrum.ratio)]
                self._plots[name] = spectrum
                text = _SPECTRUM_HELP.format(SPECTRA[name].axis_label, SPECTRA[name].entries)
            else:
                pair = PairPlot(name, log=self.session.log_scale)
                panes = [figure_pane(pair.figure)]
                self._plots[name] = pair
                text = _PAIR_HELP.format(PAIRS[name].axis_label)
            self._cards[name] = Card(f"spectrum-{name}", "", text[0].upper() + text[1:], *panes)
        return self._cards[name]

    def _nothing(self) -> Comparison:
        """What is drawn where the comparison cannot be read: axes without entries."""
        empty = Digis.empty(self.session.data.digis.detector, 1)
        return compare(empty, empty)

    # -- the verdict ------------------------------------------------------------------------
    def _judge(self) -> None:
        s = self.session
        comparison = s.comparison()
        if comparison is None:
            self.verdict.html = ""
            return
        verdict = s.data.verdict(s.point, s.tolerance)
        self._verdict_card.tell(
            f"Verdict · {'inside' if verdict else 'outside'} the tolerance '{s.tolerance}' · "
            f"{s.data.label(s.point)}"
        )
        self.verdict.html = verdict_table(comparison, verdict, chosen=s.layer)

    def __panel__(self) -> Any:
        return self._view


def verdict_table(comparison: Comparison, verdict: Verdict, *, chosen: str = "") -> str:
    """All metrics by layer as HTML: what has a limit is marked as inside or outside it."""
    checks = {(c.metric, c.layer): c for c in verdict.checks if not c.stage}
    limits = {c.metric: c.limit for c in checks.values()}
    first = [m for m in METRICS if m in limits]
    rows = []
    for name in [*first, *(m for m in METRICS if m not in limits)]:
        metric = METRICS[name]
        cells = []
        for layer, value in zip(comparison.layers, comparison.values[name], strict=True):
            check = checks.get((name, layer))
            text = metric.format(float(value))
            title = ""
            if check is not None and check.error == check.error:
                title = f" title='± {metric.format(check.error).removeprefix('+')}'"
            kind = "free" if check is None else "in" if check.ok else "out"
            mark = "" if check is None else f"<i>{'✓' if check.ok else '✗'}</i>"
            if check is not None and not check.sure:
                mark += "<sup>?</sup>"
            own = " own" if layer == chosen else ""
            cells.append(f"<td class='{kind}{own}'{title}>{text}{mark}</td>")
        unit = f" [{metric.unit}]" if metric.unit else ""
        limit = ""
        if name in limits:
            sign = "≥" if metric.good == "large" else "≤"
            limit = f"{sign} {metric.format(limits[name]).removeprefix('+')}"
        rows.append(
            f'<tr><th title="{escape(metric.meaning, quote=True)}">{escape(metric.label)}{unit}</th>'
            f"<td class='limit'>{limit}</td>{''.join(cells)}</tr>"
        )
        if first and name == first[-1]:
            rows.append(f"<tr class='gap'><td colspan='{len(comparison.layers) + 2}'></td></tr>")
    head = "".join(
        f"<th class='{'own' if layer == chosen else ''}'>{escape(layer)}</th>"
        for layer in comparison.layers
    )
    return (
        f"<p>{escape(str(verdict))}</p><table><thead><tr><th></th><th>{escape(verdict.tolerances)}"
        f"</th>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
        "<p class='note'>✓ inside, ✗ outside the limit; ? within two statistical errors of it. Metrics "
        "without a mark have no limit.</p>"
    )


_SPECTRUM_HELP = (
    "{}, counted in {}: original filled, decoded as points, and below them their ratio. Bars: "
    "statistical error of the decoded counts; band: of the original. Both are the same events, so "
    "the ratio is surer than they say."
)
_PAIR_HELP = (
    "{}, for original clusters and the decoded ones that were matched to them. The dashed line is no "
    "change. What lies outside the axis is counted in its label."
)
_VERDICT_HELP = (
    "Every metric in every layer. Those with a limit in the chosen tolerance come first, each value "
    "marked as inside or outside. Rest the pointer on a name for its definition; choose the "
    "tolerance in the sidebar."
)
_TABLE_STYLE = """
.bk-clearfix { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13px; line-height: 1.35; }
th, td { padding: 2px 8px; white-space: nowrap; text-align: right;
         font-variant-numeric: tabular-nums; }
tbody th { text-align: left; font-weight: 400; }
thead th { border-bottom: 1px solid rgba(128, 128, 128, .5); }
tbody tr:hover { background: rgba(128, 128, 128, .12); }
sup { position: absolute; font-size: 10px; opacity: .8; }
td i { font-style: normal; display: inline-block; width: 16px; text-align: right; }
td.limit { opacity: .75; }
td.free { padding-right: 24px; }
td.in i { color: #2b8a3e; }
td.out { background: rgba(213, 94, 0, .28); font-weight: 600; }
.own { border-left: 2px solid #d6336c88; border-right: 2px solid #d6336c88; }
tr.gap td { height: 6px; padding: 0; border-bottom: 1px solid rgba(128, 128, 128, .35); }
p { margin: 2px 0 6px; font-size: 13px; }
p.note { opacity: .75; margin: 6px 0 0; }
"""
