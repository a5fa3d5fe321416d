"""A comparison on one screen: plain text for the terminal, HTML for a notebook."""

from __future__ import annotations

from html import escape
from math import isfinite, isnan
from typing import TYPE_CHECKING

from pixlab.physics.metrics import METRICS
from pixlab.physics.tolerances import TOLERANCES, Check, Tolerances, Verdict

if TYPE_CHECKING:
    from pixlab.physics.comparison import Comparison

__all__ = ["html", "layer_table", "legend", "text", "title", "used_text"]


def title(comparison: Comparison) -> str:
    """What was compared, in one line."""
    digis, clusters = (comparison.totals.sum(f"{k}_original")[-1] for k in ("digis", "clusters"))
    return (
        f"{comparison.n_events:,} events of {comparison.detector.name}: "
        f"{digis:,.0f} original digis, {clusters:,.0f} clusters"
    )


def _marks(comparison: Comparison) -> dict[tuple[str, str], str]:
    """For each checked metric and layer, the strictest preset that it is inside ("" for none)."""
    verdicts = {preset: comparison.passed(preset) for preset in TOLERANCES}
    marks: dict[tuple[str, str], str] = {}
    for preset, verdict in reversed(verdicts.items()):
        ok = {(check.metric, check.layer): check.ok for check in verdict.checks if not check.stage}
        for other in verdicts.values():
            for check in other.checks:
                key = (check.metric, check.layer)
                marks.setdefault(key, "")
                # a preset without a limit on this metric allows any value, but not NaN
                if ok.get(key, check.metric not in TOLERANCES[preset] and not isnan(check.value)):
                    marks[key] = preset
    return marks


def used_text(check: Check) -> str:
    """How much of the allowance a check uses, as text: in percent, or as a multiple."""
    if not isfinite(check.used):
        return "no limit left" if check.used == check.used else "no value"
    return f"{100 * check.used:.0f}%" if check.used < 10 else f"x {check.used:,.0f}"


# -- plain text -------------------------------------------------------------------------------
def _aligned(rows: list[list[str]], right: range) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(
            cell.rjust(w) if i in right else cell.ljust(w)
            for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _short(verdict: Verdict) -> str:
    """The verdict of a preset in a few words."""
    if not verdict.checks:
        return f"{verdict.tolerances}: nothing to judge"
    if verdict:
        return f"{verdict.tolerances}: inside"
    return f"{verdict.tolerances}: OUTSIDE, {len(verdict.failed)} of {len(verdict.checks)} checks"


def _state(check: Check) -> str:
    if check.ok:
        return "ok" if check.sure else "ok?"
    return "OUT" if check.sure or isnan(check.value) else "OUT?"


def _worst(verdict: Verdict) -> list[str]:
    """The worst layer of each metric; after pre-mixing only what is outside or close to it."""
    rows = [["", "limit", "worst", "in", "of limit", ""]]
    fine = 0
    for check in verdict.worst():
        metric = METRICS[check.metric]
        if check.stage and check.ok and check.sure:
            fine += 1
            continue
        label = f"{metric.label}, {check.stage}" if check.stage else metric.label
        value = metric.with_error(check.value, check.error)
        rows.append([label, check.allowance, value, check.layer, used_text(check), _state(check)])
    lines = _aligned(rows, range(4, 5))
    stages = {check.stage for check in verdict.checks if check.stage}
    return lines + [f"{stage}: {fine} other metrics ok" for stage in sorted(stages) if fine]


def text(comparison: Comparison, tolerances: Tolerances) -> str:
    """Verdict, the worst layer of each limited metric, and these metrics layer by layer."""
    verdict = comparison.passed(tolerances)
    others = [comparison.passed(name) for name in TOLERANCES if name != tolerances.name]
    lines = [title(comparison), " | ".join(_short(v) for v in (verdict, *others))]
    lines += ["", *_worst(verdict)]

    marks = _marks(comparison)
    signs = {"transparent": " ", "analysis": "'", "loose": '"', "": "*"}
    rows = [["", *(f"{layer} " for layer in comparison.layers)]]
    for name in tolerances.metrics:
        metric = METRICS[name]
        label = f"{metric.label} [{metric.unit}]" if metric.unit else metric.label
        cells = [
            metric.format(float(value)) + signs[marks.get((name, layer), "transparent")]
            for layer, value in zip(comparison.layers, comparison.values[name], strict=True)
        ]
        rows.append([label, *cells])
    lines += ["", *_aligned(rows, range(1, len(comparison.layers) + 1))]
    legend = "outside transparent ', analysis \", loose *"
    if any(not check.sure for check in verdict.checks):
        legend += "; ? within two errors of the limit"
    return "\n".join([*lines, legend])


# -- HTML -------------------------------------------------------------------------------------
_COLOURS = {  # of the strictest preset that a value is inside; readable on light and dark pages
    "transparent": "",
    "analysis": "background:rgba(0,114,178,.18)",
    "loose": "background:rgba(230,159,0,.28)",
    "": "background:rgba(213,94,0,.45);font-weight:bold",
}


def layer_table(comparison: Comparison) -> str:
    """All metrics by all layers, coloured by the strictest preset that a value is inside."""
    marks = _marks(comparison)
    small = "padding:1px 8px;text-align:right;white-space:nowrap"
    head = "".join(f"<th style='{small}'>{escape(layer)}</th>" for layer in comparison.layers)
    body = ""
    for name, metric in METRICS.items():
        cells = ""
        rows = (comparison.layers, comparison.values[name], comparison.error_values[name])
        for layer, value, error in zip(*rows, strict=True):
            colour = _COLOURS[marks.get((name, layer), "transparent")]
            tip = escape(metric.with_error(float(value), float(error)), quote=True)
            cells += (
                f"<td style='{small};{colour}' title=\"{tip}\">{metric.format(float(value))}</td>"
            )
        label = f"{metric.label} [{metric.unit}]" if metric.unit else metric.label
        meaning = escape(metric.meaning, quote=True)
        body += (
            f"<tr><th style='{small};text-align:left;font-weight:normal' title=\"{meaning}\">"
            f"{escape(label)}</th>{cells}</tr>"
        )
    return (
        "<table style='border-collapse:collapse;margin:4px 0;font-size:inherit'>"
        f"<thead><tr><th></th>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def legend() -> str:
    """What the colours of `layer_table` say."""
    meanings = (
        ("analysis", "outside transparent"),
        ("loose", "outside analysis"),
        ("", "outside loose"),
    )
    return "".join(
        f"<span style='{_COLOURS[preset]};padding:0 6px'>{what}</span> "
        for preset, what in meanings
    )


def html(comparison: Comparison) -> str:
    """The table coloured by the strictest preset that a value is inside, and the verdicts."""
    lines = ""
    for preset in TOLERANCES:
        verdict = comparison.passed(preset)
        lines += f"<div>{'✔' if verdict else '✘'} {escape(str(verdict))}</div>"
    return (
        f"<div style='font-size:12px;line-height:1.35'><b>Comparison</b>, "
        f"{escape(title(comparison))}{layer_table(comparison)}<div>{legend()}</div>{lines}</div>"
    )
