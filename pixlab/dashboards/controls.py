"""The controls of a page, and its headline: what is shown, at what rate, how well."""

from __future__ import annotations

from html import escape
from typing import Any

import panel as pn
import panel_material_ui as pmui

from pixlab.dashboards.session import Session
from pixlab.dashboards.widgets import Text

__all__ = ["Controls", "Headline"]

_KNOB_NAMES = {"codebook_size": "Codebook size (number of codes)"}


class Controls(pn.viewable.Viewer):
    """Widgets of everything that can be chosen, in the order in which one chooses.

    Parameters
    ----------
    session : Session
        What they change.
    """

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        p = session.param
        wide: dict[str, Any] = {"sizing_mode": "stretch_width", "margin": (4, 12)}
        self.source = pmui.Select.from_param(p.source, label="Sample", **wide)
        self.event = pmui.IntSlider.from_param(p.event, label="Event", **wide)
        self.used = Text(style=_QUIET, margin=(0, 12, 4, 12))
        session.param.watch(self._tell_used, ["source", "event"])
        self._tell_used()
        self.layer = pmui.Select.from_param(p.layer, label="Layer", **wide)
        self.module = pmui.Select(label="Module", searchable=True, **wide)
        self.codec = pmui.Select.from_param(p.codec, label="Codec", **wide)
        self.point = pmui.DiscreteSlider(label="", options={"": None}, **wide)
        self.tolerance = pmui.Select.from_param(
            p.tolerance, label="Tolerance of the verdict", **wide
        )
        self.log = pmui.Switch.from_param(p.log_scale, label="Logarithmic scale", **wide)
        self._follow()
        session.param.watch(self._follow, ["source", "layer", "module", "codec", "point"])
        self.module.param.watch(self._choose_module, "value")
        # not value_throttled, which is an index and does not notice choices made elsewhere
        self.point.param.watch(self._choose_point, "value")

    def _follow(self, *events: Any) -> None:
        s = self.session
        self.source.visible = len(s.param.source.objects) > 1
        name = s.data.module_name
        modules = {name(d).split(" · ", 1)[-1]: d for d in s.param.module.objects}
        self.module.param.update(options=modules, value=s.module)
        points = s.data.points(s.codec)
        knob = s.data.knob(s.codec) or ""
        self.point.param.update(
            options=points,
            value=s.point,
            label=_KNOB_NAMES.get(knob, knob.replace("_", " ") or "Setting"),
            visible=len(points) > 1,
        )

    def _choose_module(self, event: Any) -> None:
        if event.new is not None and event.new != self.session.module:
            self.session.show_module(event.new)

    def _choose_point(self, event: Any) -> None:
        if event.new is not None and event.new != self.session.point:
            self.session.show_point(event.new)

    def _tell_used(self, *events: Any) -> None:
        data, event = self.session.data, self.session.event
        fitted = event < data.first_measured
        words = "models were fitted on it" if fitted else "no model has seen it"
        self.used.html = f"of {len(data.digis)} (counted from 0); {words}"

    def __panel__(self) -> Any:
        return pmui.Column(
            _section("Data"), self.source, self.event, self.used, self.layer, self.module,
            _section("Compression"), self.codec, self.point,
            _section("Display"), self.tolerance, self.log,
            sizing_mode="stretch_width",
        )  # fmt: skip


def _section(title: str) -> Text:
    return Text(title, style=_SECTION, margin=(12, 12, 2, 12))


class Headline(pn.viewable.Viewer):
    """The result in five numbers: rate, two ratios, the model's size, the verdict.

    Parameters
    ----------
    session : Session
        Whose chosen point it shows.
    """

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self._text = Text(style=_STYLE, name="headline", margin=(6, 8, 2, 8))
        session.param.watch(self._tell, ["source", "point", "tolerance"])
        self._tell()

    def _tell(self, *events: Any) -> None:
        data, row = self.session.data, self.session.point
        rate = data.value(row, "bits_per_digi")
        numbers = [(f"{rate:.2f}", "bits / digi", "rate of", data.label(row))]
        for column, name in (
            ("ratio_root_zstd4", "ROOT ZSTD-4"),
            ("ratio_root_lzma4", "ROOT LZMA-4"),
        ):
            ratio = data.value(row, column)
            numbers.append((f"{ratio:.2f}×", "smaller", "than", name))
        model = data.value(row, "model_bytes")
        numbers.append((f"{model / 1000:,.1f}", "kB", "model", "once a file"))
        cells = "".join(
            f'<div class="cell"><div class="big">{escape(big)}<span>{escape(unit)}</span></div>'
            f'<div class="small">{escape(before)} <b>{escape(after)}</b></div></div>'
            for big, unit, before, after in numbers
        )
        self._text.html = f"<div class='line'>{cells}{self._verdict(self.session.tolerance)}</div>"

    def _verdict(self, tolerance: str) -> str:
        if self.session.comparison() is None:
            return ""
        verdict = self.session.data.verdict(self.session.point, tolerance)
        colour, word = ("#2b8a3e", "inside") if verdict else ("#d9480f", "outside")
        n = len(verdict.checks)
        done = f"all {n} checks pass" if verdict else f"{len(verdict.failed)} of {n} checks fail"
        return (
            f'<div class="cell verdict" title="{escape(str(verdict), quote=True)}">'
            f'<div class="big"><i style="background:{colour}"></i>{word}</div>'
            f'<div class="small">tolerance <b>{escape(tolerance)}</b>: {done}</div></div>'
        )

    def __panel__(self) -> Any:
        return self._text


_QUIET = ".bk-clearfix { font-size: 12px; opacity: .7; }"
_SECTION = ".bk-clearfix { font-size: 12px; letter-spacing: .06em; text-transform: uppercase; opacity: .65; }"
_STYLE = """
.line { display: flex; flex-wrap: wrap; gap: 8px; }
.cell { flex: 1 1 150px; padding: 6px 12px; border: 1px solid rgba(128,128,128,.3);
        border-radius: 6px; }
.big { font-size: 24px; font-weight: 600; line-height: 1.2; white-space: nowrap;
       font-variant-numeric: tabular-nums; }
.big span { font-size: 13px; font-weight: 400; opacity: .75; margin-left: 5px; }
.big i { display: inline-block; width: 14px; height: 14px; border-radius: 7px;
         margin-right: 8px; }
.small { font-size: 12px; opacity: .75; white-space: nowrap; overflow: hidden;
         text-overflow: ellipsis; }
"""
