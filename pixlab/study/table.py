"""`Sweep`: the table of a study, in memory and in its file; `COLUMNS` says what each column is."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pixlab.codecs import Model, model_from_bytes
from pixlab.errors import FormatError, PixlabError
from pixlab.io.files import atomic
from pixlab.physics import METRICS, Comparison

if TYPE_CHECKING:
    import pandas

__all__ = ["COLUMNS", "HIDDEN", "Sweep", "check_metrics"]

_METADATA = b"pixlab.sweep"
HIDDEN = ("model", "comparison")  # what is too long to print
_NEEDED = ("codec", "label", "events", "digis", *HIDDEN)

# column -> (unit, what it is); knobs, metrics (`pixlab.physics.METRICS`) and ledger.* come on top
COLUMNS: dict[str, tuple[str, str]] = {
    "codec": ("", "name of the codec"),
    "label": ("", "the codec and the knobs that are not at their defaults"),
    "events": ("", "events measured; models were fitted on others"),
    "digis": ("", "digis measured"),
    "bytes": ("B", "the whole .pxl file"),
    "model_bytes": ("B", "the model in it"),
    "payload_bytes": ("B", "all of it but the model"),
    "bits_per_digi": ("bits", "payload and the share of the model, per digi: the rate"),
    "payload_bits_per_digi": ("bits", "payload per digi"),
    "model_bits_per_digi": ("bits", "the model per digi, spread over 1,000 events"),
    "bits_per_digi_file": ("bits", "the whole file per digi, all of the model on these events"),
    "shannon_bits_per_digi": ("bits", "ideal code length of the same symbols under the model's probabilities"),
    "floor_bits_per_digi": ("bits", "what the hit map takes at least, with the noise of the charge where the codec is lossless"),
    "ratio_root_zstd4": ("", "bytes of the same events in ROOT, ZSTD level 4, over those of the rate"),
    "ratio_root_lzma4": ("", "the same for ROOT, LZMA level 4"),
    "payback_lossless": ("events", "from which the file is smaller than that of the lossless codec, both models included"),
    "payback_root_zstd4": ("events", "from which the file is smaller than ROOT's, ZSTD level 4, model included"),
    "fit_s": ("s", "elapsed time of fitting, compilation included"),
    "fit_cpu_s": ("s", "CPU time of fitting, on all cores"),
    "encode_s": ("s", "elapsed time of compressing to a file, without reading the input"),
    "encode_cpu_s": ("s", "CPU time of it, on all cores"),
    "decode_s": ("s", "elapsed time of reading the file back"),
    "decode_cpu_s": ("s", "CPU time of it, on all cores"),
    "inside": ("", "the strictest tolerances that every layer is inside, or none"),
    "model": ("", "the fitted model, bytes"),
    "comparison": ("", "the comparison of original and decoded digis, JSON"),
}  # fmt: skip


def check_metrics(names: Iterable[str]) -> None:
    """Refuse a name that no metric has.

    Raises
    ------
    PixlabError
        Naming those that there are.
    """
    for name in names:
        if name not in METRICS:
            raise PixlabError(f"there is no metric '{name}'", f"choose from {', '.join(METRICS)}")


@dataclass(frozen=True, eq=False)
class Sweep:
    """A tidy table of settings: one row each, with its model and comparison inside.

    Parameters
    ----------
    table : DataFrame
        `COLUMNS`, a column a knob, a column a metric (all layers together), and ``ledger.*``: bytes
        by section.
    source : str
        The sample or file that was swept.
    provenance : dict
        pixlab version, events used for fitting and measuring, ROOT bytes and floors of the measured
        events, names of knobs.
    """

    table: pandas.DataFrame
    source: str = ""
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def knobs(self) -> tuple[str, ...]:
        """Names of the columns that are knobs of a codec."""
        return tuple(self.provenance.get("knobs", ()))

    @property
    def floors(self) -> dict[str, float]:
        """Bits a digi that lossless coding of these events needs, by part (`pixlab.study.entropy`)."""
        found = dict(self.provenance.get("floors", {}))
        return {k: float("nan") if v is None else v for k, v in found.items()}

    def __len__(self) -> int:
        return len(self.table)

    def model(self, i: int) -> Model:
        """The model of row `i`."""
        return model_from_bytes(self.table["model"].iloc[i], f"the model of row {i}")

    def comparison(self, i: int) -> Comparison:
        """What row `i` does to the physics of the measured events."""
        return Comparison.from_json(self.table["comparison"].iloc[i])

    @property
    def plain(self) -> pandas.DataFrame:
        """The table without models and comparisons: numbers and texts alone."""
        return self.table.drop(columns=[c for c in HIDDEN if c in self.table])

    def per_layer(self, *metrics: str) -> pandas.DataFrame:
        """One row a setting, metric and layer: codec, label, metric, layer, value.

        Parameters
        ----------
        *metrics : str
            Keys of `pixlab.physics.METRICS`; default: all.

        Raises
        ------
        PixlabError
            If there is no such metric.
        """
        import pandas as pd

        check_metrics(metrics)
        rows = []
        for i, (codec, label) in enumerate(
            zip(self.table["codec"], self.table["label"], strict=True)
        ):
            table = self.comparison(i).table
            for name in metrics or table.index:
                for layer in table.columns:
                    rows.append((codec, label, name, layer, float(table.loc[name, layer])))
        return pd.DataFrame(rows, columns=["codec", "label", "metric", "layer", "value"])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write one Parquet file with everything in it."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        arrow = pa.Table.from_pandas(self.table, preserve_index=False)
        about = {"source": self.source, "provenance": self.provenance}
        metadata = {**(arrow.schema.metadata or {}), _METADATA: json.dumps(about).encode()}
        with atomic(Path(path)) as temporary:
            pq.write_table(
                arrow.replace_schema_metadata(metadata), temporary, compression="brotli",
                compression_level=10,
            )  # fmt: skip

    @staticmethod
    def load(path: str | os.PathLike[str]) -> Sweep:
        """Read what `save` wrote.

        Raises
        ------
        FormatError
            If it is no table of a sweep.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            arrow = pq.read_table(path)
            about = json.loads(arrow.schema.metadata[_METADATA])
            table = arrow.to_pandas()
            missing = [c for c in _NEEDED if c not in table]
            if missing:
                raise KeyError(missing[0])
            return Sweep(table, str(about["source"]), dict(about["provenance"]))
        except OSError as error:
            raise PixlabError(f"cannot read {path}: {error}", "check the path") from error
        except (pa.ArrowException, KeyError, TypeError, ValueError) as error:
            raise FormatError(
                f"{path} is no table of a sweep", "make one with: pixlab sweep FILE --out TABLE"
            ) from error

    def _repr_html_(self) -> str:
        from html import escape

        shown = self.plain.dropna(axis="columns", how="all")
        units = {c: f"{c} [{COLUMNS[c][0]}]" for c in shown if COLUMNS.get(c, ("",))[0]}
        percent = {c: f"{c} [{METRICS[c].unit}]" for c in shown if c in METRICS and METRICS[c].unit}
        for name in percent:
            if METRICS[name].unit == "%":
                shown = shown.assign(**{name: 100 * shown[name]})
        table = shown.rename(columns=units | percent).to_html(
            index=False, float_format=lambda v: f"{v:.4g}"
        )
        fitted, measured = (self.provenance.get(k, "?") for k in ("fitted_on", "measured_on"))
        about = f"{self.source}: fitted on {fitted}, measured on {measured}"
        return f"<p>{escape(about)}</p>{table}"
