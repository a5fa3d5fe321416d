"""`sweep`: many codecs along one line, read - fit - compress - decompress - compare, as a tidy table.

Models are fitted on the first half of the events and measured on the second, from real files.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pixlab import __version__
from pixlab.codecs import ClusterVQ, Codec, Lossless, Model, PatchVQ, model_from_bytes
from pixlab.digis import Digis
from pixlab.errors import FormatError, PixlabError
from pixlab.io import compress, decompress
from pixlab.io.files import atomic
from pixlab.physics import Comparison, compare
from pixlab.progress import Progress
from pixlab.study.reference import root_reference

if TYPE_CHECKING:
    import pandas

__all__ = ["CODEBOOK_SIZES", "MODEL_EVENTS", "Sweep", "default_codecs", "evaluate", "sweep"]

CODEBOOK_SIZES = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
MODEL_EVENTS = 1000  # events over which a model's bytes are spread: one file of a library
_METADATA = b"pixlab.sweep"
_FIXED = ("codec", "label", "events", "digis", "model", "comparison")


@dataclass(frozen=True, eq=False)
class Sweep:
    """A tidy table of settings: one row each, with its model and comparison inside.

    Parameters
    ----------
    table : DataFrame
        ``codec``, ``label``, a column a knob, ``events``, ``digis`` (measured on), ``bytes`` of the
        whole file, ``model_bytes``, ``payload_bytes``, ``bits_per_digi`` (payload, and the model
        spread over 1,000 events), ``bits_per_digi_file`` (the file as it is), ratios to ROOT
        files of the same events, ``fit_s``, ``encode_s``, ``decode_s``, a column a metric (all
        layers together), ``ledger.*`` (bytes by section), ``model`` and ``comparison``.
    source : str
        The sample or file that was swept.
    provenance : dict
        pixlab version, events used for fitting and measuring, ROOT bytes of the measured events.
    """

    table: pandas.DataFrame
    source: str = ""
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def knobs(self) -> tuple[str, ...]:
        """Names of the columns that are knobs of a codec."""
        return tuple(self.provenance.get("knobs", ()))

    def __len__(self) -> int:
        return len(self.table)

    def model(self, i: int) -> Model:
        """The model of row `i`."""
        return model_from_bytes(self.table["model"].iloc[i], f"the model of row {i}")

    def comparison(self, i: int) -> Comparison:
        """What row `i` does to the physics of the measured events."""
        return Comparison.from_json(self.table["comparison"].iloc[i])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write one Parquet file with everything in it."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        arrow = pa.Table.from_pandas(self.table, preserve_index=False)
        about = {"source": self.source, "provenance": self.provenance}
        metadata = {**(arrow.schema.metadata or {}), _METADATA: json.dumps(about).encode()}
        with atomic(Path(path)) as temporary:
            pq.write_table(
                arrow.replace_schema_metadata(metadata), temporary, compression="zstd",
                compression_level=15,
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
            missing = [c for c in _FIXED if c not in table]
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
        shown = self.table.drop(columns=["model", "comparison"])
        return shown.to_html(index=False, float_format=lambda v: f"{v:.4g}")


def default_codecs() -> list[Codec]:
    """Lossless coding, clusters in finer and coarser steps, and tile codebooks up to 4,096 codes."""
    steps = [
        ClusterVQ(charge_step=c, row_step=r, col_step=w)
        for c, r, w in (
            (0.07, 0.05, 0.08),
            (0.14, 0.097, 0.15),
            (0.28, 0.2, 0.3),
            (0.5, 0.33, 0.45),
        )
    ]
    books = [PatchVQ(codebook_size=n) for n in CODEBOOK_SIZES]
    return [Lossless(), *steps, *books]


def evaluate(model: Model, digis: Digis) -> dict[str, Any]:
    """Compress to a real file, decompress it, compare: one row of a sweep's table.

    Parameters
    ----------
    model : Model
        A fitted model.
    digis : Digis
        Events that it was not fitted on.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "events.pxl"
        start = time.perf_counter()
        facts = compress(digis, file, model=model)
        encoded = time.perf_counter()
        decoded = decompress(file)
        done = time.perf_counter()
    comparison = compare(digis, decoded)
    n, size, model_bytes = max(digis.n_digis, 1), facts["bytes"], facts["model_bytes"]
    share = model_bytes * len(digis) / MODEL_EVENTS
    metrics = {name: float(comparison.table.loc[name, "all"]) for name in comparison.table.index}
    return {
        "codec": model.codec.key,
        "label": _label(model.codec),
        **model.codec.knobs(),
        "events": len(digis),
        "digis": digis.n_digis,
        "bytes": size,
        "model_bytes": model_bytes,
        "payload_bytes": size - model_bytes,
        "bits_per_digi": 8 * (size - model_bytes + share) / n,
        "bits_per_digi_file": 8 * size / n,
        "encode_s": encoded - start,
        "decode_s": done - encoded,
        **metrics,
        **{f"ledger.{name}": count for name, count in facts["ledger"].items()},
        "model": model.to_bytes(),
        "comparison": comparison.to_json(),
    }


def sweep(
    digis: Digis,
    codecs: Sequence[Codec] | None = None,
    *,
    fit_events: int | None = None,
    source: str = "",
    progress: Progress | None = None,
) -> Sweep:
    """Fit, compress, decompress and compare with each codec.

    Parameters
    ----------
    digis : Digis
        At least two events.
    codecs : sequence of Codec, optional
        Settings to try; default `default_codecs`.
    fit_events : int, optional
        Events from the beginning that models are fitted on; the rest is measured. Default: half.
    source : str, optional
        Name of the file or sample, kept in the table.
    progress : callable, optional
        Told what is going on.

    Raises
    ------
    PixlabError
        If there are too few events to keep those for fitting and measuring apart.
    """
    import pandas as pd

    chosen = list(default_codecs() if codecs is None else codecs)
    n_fit = len(digis) // 2 if fit_events is None else int(fit_events)
    if not 0 < n_fit < len(digis):
        raise PixlabError(
            f"{len(digis)} events cannot be split into {n_fit} to fit on and a rest to measure",
            "give more events",
        )
    train, test = digis[:n_fit], digis[n_fit:]
    reference = root_reference(test)
    rows = []
    compiled: set[str] = set()
    for i, codec in enumerate(chosen):

        def report(done: float, _: str, i: int = i, codec: Codec = codec) -> None:
            if progress:
                progress((i + 0.8 * done) / len(chosen), _label(codec))

        report(0.0, "")
        start = time.perf_counter()
        model = codec.fit(train, progress=report)
        fitted = time.perf_counter()
        if codec.key not in compiled:  # the times are of coding, not of compiling
            evaluate(model, test[:1])
            compiled.add(codec.key)
        row = {"fit_s": fitted - start} | evaluate(model, test)
        shared = row["bits_per_digi"] * max(test.n_digis, 1) / 8
        row |= {f"ratio_{name}": size / shared for name, size in reference.items()}
        rows.append(row)
    if progress:
        progress(1.0, "")
    knobs = list(dict.fromkeys(k for codec in chosen for k in codec.knobs()))
    provenance = {
        "pixlab": __version__,
        "fitted_on": f"events 0 to {n_fit - 1}",
        "measured_on": f"events {n_fit} to {len(digis) - 1}",
        "detector": digis.detector.name,
        "knobs": knobs,
        "root_reference": "compressed as ROOT does (levels ZSTD-4, LZMA-4), without ROOT's headers",
        **reference,
    }
    return Sweep(pd.DataFrame(rows), source, provenance)


def _label(codec: Codec) -> str:
    """The codec and the knobs that are not at their defaults."""
    knobs = codec.knobs()
    changed = {k: v for k, v in knobs.items() if v != codec.param[k].default and k != "priors"}
    if "codebook_size" in knobs:
        changed["codebook_size"] = knobs["codebook_size"]
    order = {k: i for i, k in enumerate(vars(type(codec)))}  # as they are declared
    words = [
        f"{k.removesuffix('_step').replace('_', ' ')} {changed[k]}"
        for k in sorted(changed, key=lambda k: order.get(k, 0))
    ]
    return " ".join([codec.key, *words])
