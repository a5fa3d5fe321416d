"""A comparison on one screen: plain text for the terminal, HTML for a notebook."""

from __future__ import annotations

import textwrap
from html import escape
from math import isnan
from typing import TYPE_CHECKING

from pixlab.physics.metrics import METRICS
from pixlab.physics.tolerances import TOLERANCES, Verdict

if TYPE_CHECKING:
    from pixlab.physics.comparison import Comparison

__all__ = ["html", "text"]


def _title(comparison: Comparison) -> str:
    digis, clusters = (comparison.totals.sum(f"{k}_original")[-1] for k in ("digis", "clusters"))
    return (
        f"{comparison.n_events:,} events of {comparison.detector.name}: "
        f"{digis:,.0f} original digis, {clusters:,.0f} clusters"
    )


def _verdicts(comparison: Comparison) -> dict[str, Verdict]:
    return {preset: comparison.passed(preset) for preset in TOLERANCES}


def _marks(verdicts: dict[str, Verdict]) -> dict[tuple[str, str], str]:
    """For each checked metric and layer, the strictest preset that it is inside ("" for none)."""
    marks: dict[tuple[str, str], str] = {}
    for preset, verdict in reversed(verdicts.items()):
        ok = {(check.metric, check.layer): check.ok for check in verdict.checks}
        for other in verdicts.values():
            for check in other.checks:
                key = (check.metric, check.layer)
                marks.setdefault(key, "")
                # a preset without a limit on this metric allows any value, but not NaN
                if ok.get(key, check.metric not in TOLERANCES[preset] and not isnan(check.value)):
                    marks[key] = preset
    return marks


def _rows(comparison: Comparison) -> list[tuple[str, str, list[str]]]:
    """Metric, its label with unit, and its values as text."""
    return [
        (
            name,
            f"{metric.label} [{metric.unit}]" if metric.unit else metric.label,
            [metric.format(float(value)) for value in comparison.values[name]],
        )
        for name, metric in METRICS.items()
    ]


def text(comparison: Comparison) -> str:
    """The table with a star where a value is outside "loose" limits, and a line a preset."""
    verdicts = _verdicts(comparison)
    signs = {"transparent": " ", "analysis": "'", "loose": '"', "": "*"}
    marks = _marks(verdicts)
    head = ["", *comparison.layers]
    body = [
        [label]
        + [
            value + signs[marks.get((name, layer), "transparent")]
            for layer, value in zip(comparison.layers, values, strict=True)
        ]
        for name, label, values in _rows(comparison)
    ]
    head = [head[0]] + [cell + " " for cell in head[1:]]
    widths = [max(len(row[i]) for row in [head, *body]) for i in range(len(head))]
    lines = [
        row[0].ljust(widths[0])
        + "".join(cell.rjust(w + 1) for cell, w in zip(row[1:], widths[1:], strict=True))
        for row in [head, *body]
    ]
    legend = "outside transparent ', outside analysis \", outside loose *"
    wide = textwrap.TextWrapper(max(map(len, lines)), subsequent_indent="  ")
    return "\n".join(
        [_title(comparison), *lines, legend, *(wide.fill(str(v)) for v in verdicts.values())]
    )


_COLOURS = {  # of the strictest preset that a value is inside; readable on light and dark pages
    "transparent": "",
    "analysis": "background:rgba(0,114,178,.18)",
    "loose": "background:rgba(230,159,0,.28)",
    "": "background:rgba(213,94,0,.45);font-weight:bold",
}


def html(comparison: Comparison) -> str:
    """The table coloured by the strictest preset that a value is inside, and the verdicts."""
    verdicts = _verdicts(comparison)
    marks = _marks(verdicts)
    small = "padding:1px 8px;text-align:right;white-space:nowrap"
    head = "".join(f"<th style='{small}'>{escape(layer)}</th>" for layer in comparison.layers)
    body = ""
    for name, label, values in _rows(comparison):
        cells = "".join(
            f"<td style='{small};{_COLOURS[marks.get((name, layer), 'transparent')]}'>{value}</td>"
            for layer, value in zip(comparison.layers, values, strict=True)
        )
        meaning = escape(METRICS[name].meaning, quote=True)
        body += (
            f"<tr><th style='{small};text-align:left;font-weight:normal' title=\"{meaning}\">"
            f"{escape(label)}</th>{cells}</tr>"
        )
    legend = "".join(
        f"<span style='{_COLOURS[preset]};padding:0 6px'>{what}</span> "
        for preset, what in (
            ("analysis", "outside transparent"),
            ("loose", "outside analysis"),
            ("", "outside loose"),
        )
    )
    lines = "".join(
        f"<div>{'✔' if verdict else '✘'} {escape(str(verdict))}</div>"
        for verdict in verdicts.values()
    )
    return (
        f"<div style='font-size:12px;line-height:1.35'><b>Comparison</b>, "
        f"{escape(_title(comparison))}<table style='border-collapse:collapse;margin:4px 0;font-size:inherit'>"
        f"<thead><tr><th></th>{head}</tr></thead><tbody>{body}</tbody></table>"
        f"<div>{legend}</div>{lines}</div>"
    )
