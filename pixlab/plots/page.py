"""`report`: a comparison on one HTML page that needs nothing else, neither files nor a network."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from html import escape
from io import StringIO
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pixlab import __version__
from pixlab.io.files import atomic
from pixlab.physics.deep import DEEP_METRICS
from pixlab.physics.metrics import METRICS
from pixlab.physics.report import layer_table, legend, title, used_text
from pixlab.physics.tolerances import TOLERANCES, Tolerances, Verdict
from pixlab.plots.paper.album import Drawing, figures
from pixlab.progress import Progress

if TYPE_CHECKING:
    import pandas

    from pixlab.physics import Comparison

__all__ = ["report"]

_LONG_NUMBER = re.compile(r"(\d\.\d\d)\d+")  # two digits are a hundredth of a point
_STYLE = """
:root { color-scheme: light; --line: #d9dde3; --soft: #f5f7fa; --ok: #00795c; --out: #b34700; }
body { font: 15px/1.45 system-ui, "Helvetica Neue", Arial, sans-serif; color: #1b2430;
  background: #fff; max-width: 1240px; margin: 24px auto; padding: 0 24px; }
h1 { font-size: 26px; margin: 0 0 4px; } h2 { font-size: 20px; margin: 36px 0 8px;
  border-bottom: 2px solid var(--line); padding-bottom: 4px; } h3 { font-size: 16px; margin: 20px 0 6px; }
p { margin: 6px 0 10px; max-width: 90ch; } .note { color: #5a6573; font-size: 13px; }
nav { font-size: 14px; margin: 10px 0 0; } nav a { margin-right: 14px; color: #0072b2; }
.verdict { font-size: 18px; font-weight: 600; padding: 12px 16px; border-radius: 8px; margin: 14px 0;
  border-left: 6px solid; background: var(--soft); }
.verdict.inside { border-color: var(--ok); } .verdict.outside { border-color: var(--out); }
.verdict small { display: block; font-weight: 400; font-size: 14px; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; margin: 6px 0 10px; }
td, th { padding: 3px 9px; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th { font-weight: 600; } td:first-child, th:first-child { text-align: left; }
table.texts td { text-align: left; white-space: normal; } td.text { text-align: left; }
.ok { color: var(--ok); font-weight: 600; } .out { color: var(--out); font-weight: 700; }
.figures { display: grid; grid-template-columns: repeat(auto-fill, minmax(360px, 1fr)); gap: 18px; }
.figures.wide-ones { grid-template-columns: repeat(auto-fill, minmax(560px, 1fr)); }
figure { margin: 0; break-inside: avoid; } figure svg { width: 100%; height: auto; }
figcaption { font-size: 12.5px; color: #5a6573; }
@page { size: A4; margin: 14mm; }
@media print {
  body { font-size: 11px; max-width: none; margin: 0; padding: 0; } nav { display: none; }
  table { font-size: 9px; } td, th { padding: 2px 4px; } .wide { overflow: visible; }
  .figures { grid-template-columns: repeat(2, 1fr); } .figures.wide-ones { grid-template-columns: 1fr; }
  h2 { break-after: avoid; } h3 { break-after: avoid; } tr { break-inside: avoid; }
}
"""


def report(
    comparison: Comparison,
    path: str | PathLike[str] | None = None,
    *,
    tolerances: str | PathLike[str] | Mapping[str, float] | Tolerances = "transparent",
    facts: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> str:
    """Verdict, tables and figures of a comparison as one HTML page to read, keep and print.

    Parameters
    ----------
    comparison : Comparison
        From `pixlab.compare`; what it holds is shown: pre-mixing, deep distances, truth.
    path : path, optional
        Where the page is written, too.
    tolerances : str, path, mapping or Tolerances
        What the verdict is about; see `pixlab.physics.Tolerances.of`.
    facts : mapping of str, optional
        Lines for the head of the page, such as the names of the files.
    progress : callable, optional
        Called with the fraction done.

    Returns
    -------
    str
        The page. It loads nothing: figures are in it as SVG.
    """
    limits = Tolerances.of(tolerances)
    verdict = comparison.passed(limits)
    parts = list(_parts(comparison, limits, verdict, _Pictures(comparison, progress)))
    names = "".join(f"<a href='#{key}'>{escape(name)}</a>" for key, name, _ in parts)
    body = "".join(f"<section id='{key}'><h2>{escape(n)}</h2>{x}</section>" for key, n, x in parts)
    page = (
        "<!DOCTYPE html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>pixlab: {escape(_short(verdict))}</title><style>{_STYLE}</style></head><body>"
        f"<h1>Original against decoded</h1><p>{escape(title(comparison))}</p>"
        f"{_facts(facts or {})}{_banner(comparison, limits, verdict)}<nav>{names}</nav>{body}"
        f"<p class='note'>Made by pixlab {escape(__version__)}.</p></body></html>\n"
    )
    if path is not None:
        with atomic(Path(path)) as temporary:
            temporary.write_text(page, "utf-8")
    return page


class _Pictures:
    """Draws figures by the beginning of their names, and tells how far it is."""

    def __init__(self, comparison: Comparison, progress: Progress | None) -> None:
        self._all: dict[str, Drawing] = {
            drawing[0]: drawing for drawing in figures(comparison, layers=["all"])
        }
        self._progress, self._done = progress, 0

    def __call__(self, *beginnings: str, wide: bool = False) -> str:
        chosen = [d for name, d in self._all.items() if name.startswith(beginnings)]
        drawn = "".join(self._one(*drawing) for drawing in chosen)
        return f"<div class='figures{' wide-ones' if wide else ''}'>{drawn}</div>" if drawn else ""

    def _one(self, name: str, caption: str, draw: Callable[[], Any]) -> str:
        if self._progress is not None:
            self._progress(self._done / len(self._all), f"figure {name}")
        self._done += 1
        text = StringIO()
        figure = draw()
        figure.font = "DejaVu Sans"  # the widest of those that a reader may have instead
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
        svg = text.getvalue()
        svg = svg[svg.index("<svg") :]  # without the XML head, which has no place in a page
        svg = _LONG_NUMBER.sub(r"\1", svg)
        # the parts of a figure have names, which must not meet those of another
        for mark in ('id="', 'href="#', "url(#"):
            svg = svg.replace(mark, f"{mark}{name}-")
        return (
            f"<figure role='img' aria-label=\"{escape(caption)}\">{svg}"
            f"<figcaption>{escape(caption)}</figcaption></figure>"
        )


def _short(verdict: Verdict) -> str:
    return f"{'inside' if verdict else 'OUTSIDE'} {verdict.tolerances}"


def _facts(facts: Mapping[str, str]) -> str:
    if not facts:
        return ""
    rows = "".join(
        f"<tr><th>{escape(str(k))}</th><td>{escape(str(v))}</td></tr>" for k, v in facts.items()
    )
    return f"<table class='texts'>{rows}</table>"


def _banner(comparison: Comparison, limits: Tolerances, verdict: Verdict) -> str:
    others = [comparison.passed(name) for name in TOLERANCES if name != limits.name]
    n, out = len(verdict.checks), len(verdict.failed)
    near = sum(not check.sure for check in verdict.checks)
    words = f"{n - out} of {n} checks are inside"
    words += f"; {near} are within two errors of their limit" if near else ""
    rest = "; ".join(_short(v) for v in others)
    kind = "inside" if verdict else "outside"
    return (
        f"<div class='verdict {kind}'>{'✔' if verdict else '✘'} {escape(_short(verdict))}"
        f"<small>{words}. Also: {escape(rest)}.</small></div>"
    )


def _parts(
    comparison: Comparison, limits: Tolerances, verdict: Verdict, draw: _Pictures
) -> Iterator[tuple[str, str, str]]:
    """Key, heading and content of each section."""
    yield "verdict", f"Verdict: {limits.name}", _worst(verdict) + draw("metric-")
    layers = f"<div class='wide'>{layer_table(comparison)}</div><p class='note'>{legend()}</p>"
    if comparison.premixed is not None:
        layers += (
            f"<h3>After pre-mixing</h3><div class='wide'>{layer_table(comparison.premixed)}</div>"
        )
    yield "layers", "All metrics, layer by layer", layers
    yield "spectra", "Spectra", draw("spectrum-") + _distances(comparison)
    yield (
        "clusters",
        "Matched clusters",
        draw("response", "shift", "size-")
        + "<h3>Charge, decoded over original</h3>"
        + _table(comparison.response().reset_index())
        + "<h3>Barycentre shift by size of the original cluster, um</h3>"
        + _table(
            comparison.shifts().query("size != 'any' and layer == 'all'").drop(columns="layer")
        ),
    )
    yield "modules", "Modules", draw("modules-", wide=True)
    if comparison.resolution is not None:
        yield "truth", "Against the truth", _truth(comparison) + draw("hit-", "track-")
    if comparison.deep is not None:
        maps = draw("space-", "pixels-", wide=True)
        yield "deep", "Distances in many dimensions", _deep(comparison)
        if maps:
            yield "maps", "Maps", maps
    yield "definitions", "Definitions", _definitions()


def _worst(verdict: Verdict) -> str:
    """The layer of each metric that uses most of what it is allowed."""
    head = "<tr><th>metric</th><th>limit</th><th>worst value</th><th>in</th><th>of limit</th><th></th></tr>"
    rows = ""
    for check in verdict.worst():
        metric = METRICS[check.metric]
        label = f"{metric.label}, {check.stage}" if check.stage else metric.label
        state = "inside" if check.ok else "outside"
        doubt = "" if check.sure or np.isnan(check.value) else ", too close to call"
        rows += (
            f"<tr><td>{escape(label)}</td><td>{escape(check.allowance)}</td>"
            f"<td>{escape(metric.with_error(check.value, check.error))}</td>"
            f"<td>{escape(check.layer)}</td><td>{escape(used_text(check))}</td>"
            f"<td class='{'ok' if check.ok else 'out'}'>{state}{doubt}</td></tr>"
        )
    return f"<div class='wide'><table>{head}{rows}</table></div>"


def _distances(comparison: Comparison) -> str:
    """Every distance of every spectrum, all layers together."""
    table = comparison.distances().query("layer == 'all'")
    wide = table.pivot(index="spectrum", columns="distance")
    rows = ""
    names = list(dict.fromkeys(table.distance))
    for spectrum in dict.fromkeys(table.spectrum):
        cells = "".join(
            f"<td>{_pm(*(wide.loc[spectrum, (k, d)] for k in ('value', 'error')))}</td>"
            f"<td>{_number(wide.loc[spectrum, ('null', d)])}</td>"
            for d in names
        )
        rows += f"<tr><td>{escape(spectrum)}</td>{cells}</tr>"
    head = "".join(f"<th>{escape(d)}</th><th>null</th>" for d in names)
    return (
        "<h3>Distances, all layers together</h3><p class='note'>null: the same distance between two "
        "halves of the original, which are independent and half as large. The Wasserstein distance "
        "is in the unit of the spectrum, Jensen-Shannon in bits.</p>"
        f"<div class='wide'><table><tr><th>spectrum</th>{head}</tr>{rows}</table></div>"
    )


def _deep(comparison: Comparison) -> str:
    assert comparison.deep is not None
    rows = ""
    for row in comparison.deep.fidelity:
        label, meaning = DEEP_METRICS[row.metric]
        rows += (
            f"<tr><td>{escape(label)}</td><td>{escape(row.of)}</td><td>{_pm(row.value, row.error)}</td>"
            f"<td>{_pm(row.null, row.null_error)}</td>"
            f"<td style='text-align:left;white-space:normal'>{escape(meaning)}</td></tr>"
        )
    return (
        "<p class='note'>null: the same between two halves of the original.</p>"
        "<div class='wide'><table><tr><th>distance</th><th>of</th><th>value</th><th>null</th>"
        f"<th style='text-align:left'>meaning</th></tr>{rows}</table></div>"
    )


def _truth(comparison: Comparison) -> str:
    assert comparison.resolution is not None
    tables = (
        ("Hits, um", comparison.resolution.hit_table()),
        ("Helix fits, um and percent", comparison.resolution.track_table()),
        (
            "Seeds: particles with a cluster in each of their first layers",
            comparison.resolution.seed_table(),
        ),
    )
    shown = "".join(f"<h3>{escape(name)}</h3>{_table(table)}" for name, table in tables)
    return (
        "<p class='note'>width: half of what holds the middle 68%; ratio: after over before; the "
        "same particles before and after, so that the error of the ratio is small.</p>" + shown
    )


def _definitions() -> str:
    rows = "".join(
        f"<tr><th>{escape(m.label)}</th><td>{escape(m.meaning)}</td></tr>" for m in METRICS.values()
    )
    return (
        "<p>Errors: delete-a-part jackknife over twelve parts, which are sectors in azimuth dealt "
        "out event by event; those of shares are not below half a Wilson interval of 68.3%. "
        "Original and decoded leave out the same part.</p>"
        f"<table class='texts'>{rows}</table>"
    )


def _table(frame: pandas.DataFrame) -> str:
    head = "".join(f"<th>{escape(str(c).replace('_', ' '))}</th>" for c in frame.columns)
    rows = "".join(
        f"<tr>{''.join(_cell(value) for value in row)}</tr>"
        for row in frame.itertuples(index=False)
    )
    return f"<div class='wide'><table><tr>{head}</tr>{rows}</table></div>"


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return f"<td class='text'>{escape(value)}</td>"
    whole = isinstance(value, (int, np.integer))
    return f"<td>{value:,}</td>" if whole else f"<td>{_number(float(value))}</td>"


def _number(value: float) -> str:
    if np.isnan(value):
        return "–"
    return "beyond" if np.isinf(value) else f"{value:.4g}"


def _pm(value: float, error: float) -> str:
    if np.isnan(value) or not np.isfinite(error) or error == 0:
        return _number(value)
    digits = int(np.clip(1 - np.floor(np.log10(error)), 0, 6))
    return f"{value:.{digits}f} ± {error:.{digits}f}"
