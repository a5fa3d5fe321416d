"""`Source`: digis and the sweep made on them, opened once and shared by all sessions."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pixlab.dashboards.shared import SHELF
from pixlab.digis import Digis
from pixlab.errors import PixlabError
from pixlab.physics import METRICS
from pixlab.plots.codebook import Codebook, Usage, codebook_of, usage_of
from pixlab.plots.overview import Cloud
from pixlab.plots.tiles import module_sums
from pixlab.study import COLUMNS, MODEL_EVENTS
from pixlab.study.table import HIDDEN

if TYPE_CHECKING:
    import pandas

    from pixlab.codecs import Model
    from pixlab.physics import Comparison, Verdict
    from pixlab.study import Sweep

__all__ = ["Source"]

_FIRST_METRIC = "charge_rms"
# columns of a sweep that need more room than they are worth in a table of many
_LEFT_OUT = {"codec", "events", "digis", "bytes", "payload_bytes"}
_FIRST = ("label", "inside", "bits_per_digi", "ratio_root_zstd4", "ratio_root_lzma4", "model_bytes")
_HEADINGS = {
    "label": "setting",
    "bits_per_digi": "rate [bits/digi]",
    "ratio_root_zstd4": "ROOT ZSTD-4 / this",
    "ratio_root_lzma4": "ROOT LZMA-4 / this",
    "model_bytes": "model [kB]",
}
_FLOORS = {"hit_map": "hit map", "lossless": "hit map + noise"}


@dataclass(frozen=True)
class Column:
    """How a column of a sweep is shown.

    Parameters
    ----------
    heading : str
        With its unit.
    meaning : str
        What it is.
    digits : int or None
        Behind the point; None for texts.
    large : bool
        Whether more is better.
    """

    heading: str
    meaning: str
    digits: int | None
    large: bool = False


@dataclass(frozen=True, eq=False)
class Source:
    """What a page looks at.

    Parameters
    ----------
    name : str
        How the page calls it: a sample's or a file's name.
    digis : Digis
        The original events.
    sweep : Sweep
        Models fitted for this detector, with what they cost and what they do to the physics.
    """

    name: str
    digis: Digis
    sweep: Sweep

    @cached_property
    def key(self) -> str:
        """A hash of the digis: equal for equal content, wherever it came from."""
        digest = hashlib.blake2b(self.digis.detector.fingerprint.encode(), digest_size=16)
        for column in ("offsets", "detid", "row", "col", "adc"):
            digest.update(getattr(self.digis, column).tobytes())
        return digest.hexdigest()

    # -- the points of the sweep ------------------------------------------------------------
    @cached_property
    def codecs(self) -> tuple[str, ...]:
        """Names of the codecs of the sweep, in its order."""
        return tuple(dict.fromkeys(self.sweep.table["codec"]))

    def codec_of(self, row: int) -> str:
        """Name of the codec of a row."""
        return str(self.sweep.table["codec"].iloc[row])

    @cached_property
    def _knobs(self) -> dict[str, str | None]:
        found: dict[str, str | None] = {}
        for codec in self.codecs:
            rows = self.sweep.table[self.sweep.table["codec"] == codec]
            varied = [k for k in self.sweep.knobs if rows[k].nunique() > 1]
            # a slider needs numbers; settings that are words go by their rate
            numbers = len(varied) == 1 and rows[varied[0]].map(np.isreal).all()
            found[codec] = varied[0] if numbers else None
        return found

    def knob(self, codec: str) -> str | None:
        """The one knob that the points of a codec differ in, if it is a number; or None."""
        return self._knobs[codec]

    @cached_property
    def _points(self) -> dict[str, dict[str, int]]:
        table, found = self.sweep.table, {}
        for codec in self.codecs:
            knob = self.knob(codec)
            rows = np.flatnonzero(table["codec"] == codec)
            values = table["bits_per_digi" if knob is None else knob].to_numpy()[rows]
            order = np.argsort(values, kind="stable")
            texts = table["label"].astype(str).to_numpy()[rows] if knob is None else values
            found[codec] = {
                str(texts[i]) if knob is None else f"{texts[i]:g}": int(rows[i]) for i in order
            }
        return found

    def points(self, codec: str) -> dict[str, int]:
        """Rows of a codec by the text that a control shows, by growing knob or rate."""
        return self._points[codec]

    def middle(self, codec: str) -> int:
        """The row in the middle of a codec's points."""
        rows = list(self.points(codec).values())
        return rows[len(rows) // 2]

    def spread(self, n: int) -> list[int]:
        """Rows of the codec with most points, from its first to its last, about evenly."""
        rows = list(
            self.points(max(self.codecs, key=lambda codec: len(self.points(codec)))).values()
        )
        places = np.unique(np.linspace(0, len(rows) - 1, n).round().astype(int))
        return [rows[i] for i in places]

    @property
    def default_point(self) -> int:
        """What a page shows first: the middle of the codec with most points."""
        return self.middle(max(self.codecs, key=lambda codec: len(self.points(codec))))

    def label(self, row: int) -> str:
        """A row in words."""
        return str(self.sweep.table["label"].iloc[row])

    def value(self, row: int, column: str) -> float:
        """A number of a row; NaN where the sweep has not measured it."""
        if column not in self.sweep.table:
            return float("nan")
        return float(self.sweep.table[column].iloc[row])

    def module_name(self, detid: int) -> str:
        """A module in words: layer, ladder or blade, place on it, raw id."""
        detector = self.digis.detector
        i = int(detector.index(detid))
        layer = detector.layers[int(detector.layer[i])]
        if not detector.ladder.any():
            return f"{layer} · {detid}"
        if detector.side[i]:
            end = "+z" if detector.side[i] > 0 else "−z"
            return (
                f"{layer} {end} · blade {detector.ladder[i]}, panel {detector.module[i]} · {detid}"
            )
        return f"{layer} · ladder {detector.ladder[i]}, module {detector.module[i]} · {detid}"

    def describe(self) -> str:
        """The sample in words."""
        digis = self.digis
        text = (
            f"{self.name}: {len(digis):,} events, {digis.n_digis:,} digis, "
            f"detector {digis.detector.name}"
        )
        fitted, measured = (self.sweep.provenance.get(k) for k in ("fitted_on", "measured_on"))
        return f"{text} · fitted on {fitted}, measured on {measured}" if fitted else text

    @property
    def first_measured(self) -> int:
        """The first event that no model was fitted on."""
        return min(
            max(len(self.digis) - int(self.sweep.table["events"].iloc[0]), 0), len(self.digis) - 1
        )

    # -- the table --------------------------------------------------------------------------
    @property
    def metrics(self) -> tuple[str, ...]:
        """Metrics that the sweep has measured."""
        return tuple(m for m in METRICS if m in self.sweep.table)

    @property
    def default_metric(self) -> str:
        """What the rate-distortion curve shows first."""
        return _FIRST_METRIC if _FIRST_METRIC in self.metrics else self.metrics[0]

    def sweep_bytes(self) -> bytes:
        """The sweep with its models and comparisons as `Sweep.save` writes it."""
        with TemporaryDirectory() as folder:
            path = Path(folder) / "sweep.parquet"
            self.sweep.save(path)
            return path.read_bytes()

    def events_file(self) -> bytes:
        """The digis as a lossless .pxl file."""
        from pixlab.io import write

        with TemporaryDirectory() as folder:
            path = Path(folder) / "events.pxl"
            write(self.digis, path)
            return path.read_bytes()

    @cached_property
    def shown_table(self) -> tuple[pandas.DataFrame, dict[str, Column]]:
        """What a reader compares, by the names of the sweep's columns, percentages as percent."""
        import pandas as pd

        table = self.sweep.table
        shown: dict[str, Any] = {}
        columns: dict[str, Column] = {}
        for name in dict.fromkeys([*_FIRST, *COLUMNS]):
            if name not in table or name in {*_LEFT_OUT, *HIDDEN} or table[name].isna().all():
                continue
            unit, meaning = COLUMNS[name]
            if not pd.api.types.is_numeric_dtype(table[name]):
                shown[name] = table[name].astype(str)
                columns[name] = Column(_HEADINGS.get(name, name), meaning, None)
                continue
            values = table[name].astype(float)
            if unit == "B":
                values, unit = values / 1000, "kB"
            digits = 0 if unit == "events" else 1 if unit == "kB" else 2
            heading = name.replace("_", " ") + (f" [{unit}]" if unit else "")
            shown[name] = values
            columns[name] = Column(
                _HEADINGS.get(name, heading), meaning, digits, name.startswith("ratio")
            )
        for name in self.sweep.knobs:
            if name in table and table[name].nunique() > 1:
                numeric = pd.api.types.is_numeric_dtype(table[name])
                shown[name] = table[name].astype(float if numeric else str)
                digits_of_knob = 3 if numeric and (shown[name].dropna() % 1).any() else 0
                columns[name] = Column(
                    name.replace("_", " "),
                    "a knob of the codec",
                    digits_of_knob if numeric else None,
                )
        for name in self.metrics:
            metric = METRICS[name]
            percent = metric.unit == "%"
            shown[name] = table[name].astype(float) * (100 if percent else 1)
            columns[name] = Column(
                f"{metric.label} [{metric.unit}]" if metric.unit else metric.label,
                metric.meaning,
                3 if metric.unit == "" else 2,
                metric.good == "large",
            )
        return pd.DataFrame(shown).reset_index(drop=True), columns

    @property
    def floors(self) -> dict[str, float]:
        """About what lossless coding of the measured events needs, bits/digi, by a name."""
        found = {name: self.sweep.floors.get(key, np.nan) for key, name in _FLOORS.items()}
        return {name: bits for name, bits in found.items() if np.isfinite(bits)}

    def rate_parts(self, row: int) -> dict[str, float]:
        """Bits per digi of each part of the file; they add up to the rate of the row."""
        digis = max(self.value(row, "digis"), 1)
        table = self.sweep.table
        parts = {
            column.removeprefix("ledger."): 8 * self.value(row, column) / digis
            for column in table.columns
            if column.startswith("ledger.") and self.value(row, column) > 0
        }
        share = self.value(row, "events") / MODEL_EVENTS
        parts["model"] = 8 * self.value(row, "model_bytes") * share / digis
        return dict(sorted(parts.items(), key=lambda part: -part[1]))

    # -- results, made once for all sessions ------------------------------------------------
    # an event that is None stands for all of them
    def event(self, event: int | None) -> Digis:
        """One original event, or all."""
        if event is None:
            return self.digis
        return SHELF.get((self.key, "event", event), lambda: self.digis[event])

    def decoded(self, row: int, event: int | None) -> Digis:
        """One event, or all, after encoding and decoding with the model of a row."""
        return SHELF.get(
            (self.key, "decoded", self._model_key(row), event),
            lambda: self.model(row).quantize(self.event(event)),
        )

    def cloud(self, row: int | None, event: int | None) -> pandas.DataFrame:
        """Pixels at their places, see `pixlab.plots.overview.Cloud`; a row that is None decodes to
        the original.
        """
        original = self.event(event)
        model = None if row is None else self._model_key(row)
        return SHELF.get(
            (self.key, "cloud", model, event),
            lambda: Cloud(original, original if row is None else self.decoded(row, event)).table,
        )

    def module_sums(self, row: int | None, event: int | None) -> NDArray[np.int64]:
        """Digis of each module after the model of a row, or in the original."""
        digis = self.event(event) if row is None else self.decoded(row, event)
        model = None if row is None else self._model_key(row)
        return SHELF.get((self.key, "sums", model, event), lambda: module_sums(digis))

    def comparison(self, row: int) -> Comparison:
        """What the model of a row does to the physics, as the sweep measured it."""
        key = (self.key, "comparison", self._comparison_keys[row])
        return SHELF.get(key, lambda: self.sweep.comparison(row))

    def verdict(self, row: int, tolerance: str) -> Verdict:
        """Whether the physics of a row is inside a tolerance."""
        return SHELF.get(
            (self.key, "verdict", self._comparison_keys[row], tolerance),
            lambda: self.comparison(row).passed(tolerance),
        )

    def cheapest(self, tolerance: str) -> int | None:
        """The row with the lowest rate inside a tolerance, if there is one that can be read."""
        rates = self.sweep.table["bits_per_digi"].to_numpy(float)
        for row in np.argsort(rates, kind="stable"):
            try:
                if self.verdict(int(row), tolerance):
                    return int(row)
            except PixlabError:
                continue
        return None

    def codebook(self, row: int) -> Codebook | None:
        """The codewords of the model of a row as pictures, None where it has none."""
        return SHELF.get(("codebook", self._model_key(row)), lambda: codebook_of(self.model(row)))

    def usage(self, row: int) -> Usage:
        """How the measured events use the codebook of a row."""
        measured = self.digis[self.first_measured :]
        return SHELF.get(
            (self.key, "usage", self._model_key(row)), lambda: usage_of(self.model(row), measured)
        )

    def usage_in(self, row: int, event: int) -> Usage:
        """How one event uses the codebook of a row."""
        return SHELF.get(
            (self.key, "usage", self._model_key(row), event),
            lambda: usage_of(self.model(row), self.event(event)),
        )

    def model(self, row: int) -> Model:
        """The model of a row."""
        return SHELF.get(("model", self._model_key(row)), lambda: self.sweep.model(row))

    def busiest(self, event: int, layer: str) -> int:
        """Raw id of the module of a layer with most digis in an event."""
        detector = self.digis.detector
        n = np.where(detector.in_layer(layer), self.module_sums(None, event), -1)
        return int(detector.detid[int(np.argmax(n))])

    def _model_key(self, row: int) -> str:
        return self._model_keys[row]

    @cached_property
    def _model_keys(self) -> list[str]:
        models = self.sweep.table["model"]
        return [hashlib.blake2b(model, digest_size=16).hexdigest() for model in models]

    @cached_property
    def _comparison_keys(self) -> list[str]:
        texts = self.sweep.table["comparison"]
        return [hashlib.blake2b(text.encode(), digest_size=16).hexdigest() for text in texts]
