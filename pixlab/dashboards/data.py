"""Data of one's own: open, upload or simulate events, choose codecs, and run the sweep."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from html import escape
from typing import Any

import panel as pn
import panel_material_ui as pmui

from pixlab.codecs import CODECS
from pixlab.dashboards import making
from pixlab.dashboards.session import Follower, Session
from pixlab.dashboards.sources import Source
from pixlab.dashboards.tasks import Task
from pixlab.dashboards.widgets import Card, Text, grid
from pixlab.errors import Cancelled, PixlabError

__all__ = ["Data"]

MOST_UPLOADED = 1 << 30  # bytes
_WIDE: dict[str, Any] = {"sizing_mode": "stretch_width", "margin": (6, 12)}
_KINDS = ("sample", "file on this machine", "upload", "simulate")


class Data(pn.viewable.Viewer):
    """What is looked at, and a way to look at something else.

    Parameters
    ----------
    session : Session
        Whose data it shows; a finished sweep is added to it and chosen.
    """

    title = "Data"

    def __init__(self, session: Session) -> None:
        super().__init__()
        from pixlab import samples
        from pixlab.detectors import DETECTORS
        from pixlab.simulation import SIMULATED

        self.session = session
        self.task: Task | None = None
        self.kind: Any = pmui.RadioBoxGroup(
            options=list(_KINDS), value=_KINDS[0], inline=True, margin=(4, 12)
        )
        self.sample = pmui.Select(label="Sample", options=list(samples.list()), **_WIDE)
        self.path = pmui.TextInput(
            label="Path of an event file or of a table made by pixlab sweep", **_WIDE
        )
        self.upload = pmui.FileInput(
            label="Choose a file", max_file_size=MOST_UPLOADED, margin=(6, 12), variant="outlined"
        )
        self.detector = pmui.Select(
            label="Detector", options={"as the file says": "", **{k: k for k in DETECTORS}}, **_WIDE
        )
        self.branch = pmui.TextInput(label="Branch, where a file has several", **_WIDE)
        self.pileup: Any = pmui.FloatInput(
            label="Mean pile-up", value=60.0, start=0.0, end=300.0, **_WIDE
        )
        self.seed: Any = pmui.IntInput(label="Seed", value=1, start=0, **_WIDE)
        self.layout = pmui.Select(label="Detector and response", options=list(SIMULATED), **_WIDE)
        self.events = pmui.IntInput(
            label="Events, at most: half to fit on, half to measure",
            value=10,
            start=2,
            end=10_000,
            **_WIDE,
        )
        self._parts: dict[str, list[Any]] = {
            "sample": [self.sample],
            "file on this machine": [self.path, self.detector, self.branch],
            "upload": [self.upload, self.detector, self.branch],
            "simulate": [self.pileup, self.seed, self.layout],
        }
        self._form = pn.Column(sizing_mode="stretch_width", margin=0)
        self.kind.param.watch(lambda _: self._arrange(), "value")
        self._arrange()

        self.codecs: Any = pmui.MultiChoice(
            label="Codecs to try", options=list(CODECS), value=["lossless", "cluster-vq", "patch-vq"],
            **_WIDE,
        )  # fmt: skip
        self.knobs: dict[tuple[str, str], Any] = {}
        self._knobs = pn.Column(sizing_mode="stretch_width", margin=0)
        self.own = pmui.Switch(label="values of my own for the knobs", size="small", margin=(4, 12))
        self.own.param.watch(lambda _: self._show_knobs(), "value")
        self.codecs.param.watch(lambda _: self._show_knobs(), "value")
        self._show_knobs()

        self.run = pmui.Button(label="Open and run the sweep", color="primary", margin=(8, 12))
        self.cancel = pmui.Button(
            label="Cancel", color="error", variant="outlined", disabled=True, margin=(8, 0)
        )
        self.bar = pmui.LinearProgress(
            value=0,
            variant="determinate",
            visible=False,
            sizing_mode="stretch_width",
            margin=(4, 12),
        )
        self.words = Text(name="progress", margin=(2, 12))
        self.alerts = pmui.Column(sizing_mode="stretch_width", margin=(0, 8))
        self.run.on_click(lambda _: self.start())
        self.cancel.on_click(lambda _: self.stop())

        self.origin = Text(style=_STYLE, name="about-text")
        self.keep = pmui.FileDownload(
            callback=self._events_file, filename="events.pxl", label="Download these events (.pxl, lossless)",
            size="small", margin=(4, 12, 10, 12),
        )  # fmt: skip
        self._view = pn.Column(
            grid(
                (1, Card("events", "1 · Events", _EVENTS, self.kind, self._form, self.events)),
                (1, Card("codecs", "2 · Codecs and settings", _CODECS, self.codecs, self.own, self._knobs)),
            ),
            Card(
                "run", "3 · Fit, compress, decompress, compare", _RUN,
                pn.Row(self.run, self.cancel, margin=0), self.bar, self.words, self.alerts,
            ),
            pn.Spacer(height=8),
            Card("about", "What is looked at", _ABOUT, self.origin, self.keep),
            sizing_mode="stretch_width",
            margin=0,
        )  # fmt: skip
        Follower(session, self.title, ["source"], self._tell)

    # -- the form ---------------------------------------------------------------------------
    def _arrange(self) -> None:
        self._form.objects = self._parts[self.kind.value]

    def _show_knobs(self) -> None:
        parts: list[Any] = []
        for codec in self.codecs.value:
            summary = (CODECS[codec].__doc__ or "").strip().split("\n")[0]
            parts.append(
                Text(
                    f"<b>{escape(codec)}</b> <span style='opacity:.7'>{escape(summary)}</span>",
                    margin=(6, 12, 0, 12),
                )
            )
            if self.own.value:
                fields = [self._field(codec, *knob) for knob in making.knobs_of(codec).items()]
                parts.append(grid(*((1, field) for field in fields), narrowest=180))
        self._knobs.objects = parts

    def _field(self, codec: str, name: str, declared: Any) -> Any:
        if (codec, name) not in self.knobs:
            self.knobs[codec, name] = pmui.TextInput(
                label=f"{name.replace('_', ' ')} ({declared.default})",
                description=declared.doc or "",
                size="small",
                sizing_mode="stretch_width",
                margin=(4, 6),
            )
        return self.knobs[codec, name]

    # -- the work ---------------------------------------------------------------------------
    def start(self) -> None:
        """Open what the form says and run the sweep."""
        if self.task is not None and self.task.running:
            return
        self.alerts[:] = []
        try:
            work = self._work()
        except PixlabError as error:
            self._finished(None, error)
            return
        self.run.disabled, self.cancel.disabled = True, False
        self.bar.param.update(visible=True, value=0)
        self._shown(0.0, "starting")
        self.task = Task(work, shown=self._shown, done=self._finished)

    def stop(self) -> None:
        """Ask for the end of the work."""
        if self.task is not None:
            self.cancel.disabled = True
            self.words.html = "ending after the present step …"
            self.task.stop()

    def close(self) -> None:
        """The visitor has left."""
        if self.task is not None:
            self.task.stop()

    def _work(self) -> Callable[[Any], Source]:
        own = self.knobs if self.own.value else {}
        texts = {key: field.value or "" for key, field in own.items()}
        codecs = making.codecs_of(self.codecs.value, texts)
        events = int(self.events.value or 2)
        kind = self.kind.value
        about = {"branch": self.branch.value, "detector": self.detector.value}
        if kind == "sample":
            return partial(making.from_sample, self.sample.value, codecs, events)
        if kind == "simulate":
            return partial(
                making.from_simulation,
                events,
                float(self.pileup.value),
                int(self.seed.value),
                self.layout.value,
                codecs,
            )
        if kind == "upload":
            if not self.upload.value:
                raise PixlabError("no file is chosen", "choose one, or another kind of events")
            name, content = str(self.upload.filename), self.upload.value
            return lambda progress: making.from_upload(
                name, content, codecs, events, progress, **about
            )
        path = self.path.value or ""
        return lambda progress: making.from_file(path, codecs, events, progress, **about)

    def _shown(self, fraction: float, words: str) -> None:
        self.bar.value = round(100 * fraction)
        text = f"{100 * fraction:.0f}%"
        if self.task is not None and fraction > 0.02:
            spent = time.monotonic() - self.task.started
            text += f", about {_duration(spent * (1 - fraction) / fraction)} left"
        self.words.html = f"{text} · {escape(words)}" if words else text
        self._pulse()

    def _finished(self, result: Source | None, error: PixlabError | None) -> None:
        self.run.disabled, self.cancel.disabled = False, True
        self.bar.visible = False
        self.words.html = ""
        self._pulse()
        if isinstance(error, Cancelled):
            self._alert("Cancelled", "Nothing was changed.", "info")
        elif error is not None:
            self._alert(error.cause, error.hint, "error")
        elif result is not None:
            self.session.add(result)
            self._alert(
                f"{result.name} is ready",
                f"{len(result.sweep)} settings; all views show it now. Other data: sidebar, Sample.",
                "success",
            )

    def _pulse(self) -> None:
        self.session.pulse += 1

    def _alert(self, title: str, text: str, severity: str) -> None:
        self.alerts[:] = [
            pmui.Alert(
                title=title[:1].upper() + title[1:],
                object=escape(text[:1].upper() + text[1:]),
                severity=severity,
                closeable=True,
                sizing_mode="stretch_width",
                css_classes=[f"pixlab-{severity}"],
            )
        ]

    # -- what is looked at ------------------------------------------------------------------
    def _tell(self) -> None:
        data = self.session.data
        layers = "".join(
            f"<tr><td>{escape(layer)}</td><td>{n:,}</td><td>{n / max(len(data.digis), 1):,.0f}</td></tr>"
            for layer, n in data.digis.per_layer().items()
        )
        self.origin.html = (
            f"<p>{escape(data.describe())}.</p><p>"
            f"{len(data.sweep)} settings of {', '.join(map(escape, data.codecs))}.</p>"
            f"<table><thead><tr><th>layer</th><th>digis</th><th>an event</th></tr></thead>"
            f"<tbody>{layers}</tbody></table>"
        )

    def _events_file(self) -> Any:
        from io import BytesIO

        return BytesIO(self.session.data.events_file())

    def __panel__(self) -> Any:
        return self._view


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min"


_EVENTS = (
    "Where the digis come from: an embedded sample, a file on the machine that runs this page (CMS "
    "EDM, flat ROOT or RNTuple, parquet, npz, CSV, HDF5, .pxl and others; the format is recognised "
    "from the content), a file that you upload, or the built-in simulation. The path of a table made "
    "by `pixlab sweep` opens it as it is, without another sweep."
)
_CODECS = (
    "Each codec is tried in its usual settings, or with every combination of the values that you give "
    "for its knobs: several with commas between them, as 16, 64, 256. An empty field keeps the "
    "default, which stands in brackets."
)
_RUN = (
    "Models are fitted on the first half of the events and measured on the second: compressed to a "
    "real file, decompressed, compared. The result is seen by you alone and is gone with this page: "
    "keep it with Download Parquet in the view Table."
)
_ABOUT = (
    "The events and the sweep that all views show. Choose among those that are open in the sidebar."
)
_STYLE = """
p { margin: 2px 0; font-size: 13px; }
table { border-collapse: collapse; font-size: 13px; margin-top: 6px; }
th { font-weight: 400; opacity: .7; }
th, td { text-align: right; padding: 1px 14px 1px 0; font-variant-numeric: tabular-nums; }
th:first-child, td:first-child { text-align: left; }
"""
