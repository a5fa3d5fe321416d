"""`bench`: own and foreign codecs side by side, what they cost in bytes, time and memory.

Bytes and physics are those of a row of `sweep`, times those of `pixlab.study.timing`. Each codec has
a process to itself, one after the other.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pixlab import __version__
from pixlab.codecs import CODECS, Codec, Foreign, Root
from pixlab.digis import Digis
from pixlab.physics import METRICS
from pixlab.progress import Progress, tell
from pixlab.study import workers
from pixlab.study.journal import read_result
from pixlab.study.machine import cores
from pixlab.study.reference import REFERENCES
from pixlab.study.split import Split
from pixlab.study.table import COLUMNS
from pixlab.study.tasks import FACTS, speed_task

if TYPE_CHECKING:
    import pandas

__all__ = ["BENCH_COLUMNS", "Bench", "bench", "default_contenders"]

# column -> (unit, what it is)
BENCH_COLUMNS: dict[str, tuple[str, str]] = {
    **{name: COLUMNS[name] for name in ("codec", "label", "bits_per_digi", "model_bytes")},
    **{name: COLUMNS[name] for name in ("ratio_root_zstd4", "ratio_root_lzma4")},
    "encode_mdigi_s": ("Mdigi/s", "digis encoded in a second of CPU time, on one core"),
    "decode_mdigi_s": ("Mdigi/s", "digis decoded in a second of CPU time, on one core"),
    "encode_all_mdigi_s": ("Mdigi/s", "digis encoded in a second of elapsed time, on all cores"),
    "decode_all_mdigi_s": ("Mdigi/s", "digis decoded in a second of elapsed time, on all cores"),
    "encode_speedup": ("", "elapsed time of encoding on one core over that on all"),
    "decode_speedup": ("", "elapsed time of decoding on one core over that on all"),
    "fit_cpu_s": COLUMNS["fit_cpu_s"],
    "memory_mb": ("MB", "most memory of the process while it coded, all that it had loaded included"),
    "inside": COLUMNS["inside"],
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Bench:
    """Codecs side by side.

    Parameters
    ----------
    table : DataFrame
        One row a codec: `BENCH_COLUMNS`, knobs and metrics of all layers together.
    source : str
        The sample or file.
    provenance : dict
        Versions, events, number of cores, where ROOT's numbers come from.
    """

    table: pandas.DataFrame
    source: str = ""
    provenance: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """One schema for own and foreign codecs: ``pixlab_bench``, source, provenance, columns, rows.

        ``columns`` has unit and meaning of each column of ``rows``; metrics are fractions, um and
        adc counts.
        """
        columns = dict(BENCH_COLUMNS)
        columns |= {k: (m.unit, m.meaning) for k, m in METRICS.items() if k in self.table}
        return {
            "pixlab_bench": 1,
            "source": self.source,
            "provenance": self.provenance,
            "columns": {k: {"unit": unit, "meaning": text} for k, (unit, text) in columns.items()},
            "rows": self.table.to_dict(orient="records"),
        }

    def _repr_html_(self) -> str:
        from html import escape

        shown = self.table[list(BENCH_COLUMNS)]
        units = {k: f"{k} [{unit}]" for k, (unit, _) in BENCH_COLUMNS.items() if unit}
        about = f"{self.source}: {self.provenance.get('measured_on', '')}"
        return f"<p>{escape(about)}</p>" + shown.rename(columns=units).to_html(
            index=False, float_format=lambda v: f"{v:.3g}"
        )


def default_contenders() -> list[Codec]:
    """Pixlab's codecs in their default settings, and the foreign ones that are installed."""
    own = [codec() for codec in CODECS.values() if not issubclass(codec, Foreign)]
    others = [
        codec()
        for codec in CODECS.values()
        if issubclass(codec, Foreign) and codec is not Root and codec.quick and codec.installed()
    ]
    root = [Root(algorithm=a, level=n) for a, n in (("zstd", 4), ("zlib", 9), ("lzma", 4))]
    return [*own, *others, *(root if Root.installed() else [])]


def bench(
    digis: Digis | str | os.PathLike[str],
    codecs: Sequence[Codec] | None = None,
    *,
    repeats: int = 3,
    parallel: bool = True,
    fit_events: int | None = None,
    source: str = "",
    progress: Progress | None = None,
    **how: Any,
) -> Bench:
    """Measure rate, speed and memory of codecs on the same events in one run.

    Parameters
    ----------
    digis : Digis or path
        At least two events; models are fitted on the first half, measured on the second. They are
        held in memory: take some of a large file.
    codecs : sequence of Codec, optional
        Who takes part; default `default_contenders`.
    repeats : int
        How often each time is taken; the best counts.
    parallel : bool
        Whether to measure on all cores too, on a longer sample; if not, those columns are NaN.
    fit_events, source, progress
        As for `sweep`.
    **how
        ``events``, ``branch``, ``detector`` and ``duplicates`` of `pixlab.read`, where a path is given.

    Returns
    -------
    Bench
        Rows in the order of `codecs`.

    Raises
    ------
    PixlabError
        If there are too few events, or a codec is not installed or cannot be fitted.
    Cancelled
        If `progress` returned False.
    """
    import pandas as pd

    chosen = list(default_contenders() if codecs is None else codecs)
    for codec in chosen:
        if isinstance(codec, Foreign):
            codec.require()
    split = Split.of(digis, fit_events=fit_events, **how)
    tasks = [FACTS, *(speed_task(c, repeats=repeats, parallel=parallel) for c in chosen)]
    names = ["events", *(codec.key for codec in chosen)]

    def report(state: dict[int, tuple[float, str]]) -> None:
        done = sum(fraction for fraction, _ in state.values()) / len(tasks)
        tell(progress, done, next((names[i] for i, (f, _) in state.items() if f < 1), ""))

    with tempfile.TemporaryDirectory() as folder:
        on_disk = split.on_disk(Path(folder))
        paths = [Path(folder) / f"{i}.json" for i in range(len(tasks))]
        for i, work in enumerate(zip(tasks, paths, strict=True)):  # nobody disturbs the others
            before = dict.fromkeys(range(i), (1.0, ""))
            workers.run([work], on_disk, 1, partial(_among, report, before, i))
        facts, *rows = (read_result(path) or {} for path in paths)
    table = pd.DataFrame(rows)
    for name in REFERENCES:
        table[f"ratio_{name}"] = facts[name] / (table["bits_per_digi"] * table["digis"] / 8)
    table = table.reindex(columns=list(dict.fromkeys([*table, *BENCH_COLUMNS])))
    knobs = list(dict.fromkeys(k for codec in chosen for k in codec.knobs()))
    metrics = [m for m in METRICS if m in table]
    provenance = {
        "pixlab": __version__,
        **split.describe(),
        "detector": facts["detector"],
        "cores": cores(),
        "root_reference": facts["root_reference"],
        **{name: facts[name] for name in REFERENCES},
    }
    columns = [*list(BENCH_COLUMNS)[:2], *knobs, *list(BENCH_COLUMNS)[2:], *metrics]
    return Bench(table[columns], source or split.path, provenance)


def _among(
    report: Callable[[dict[int, tuple[float, str]]], None],
    before: dict[int, tuple[float, str]],
    number: int,
    state: dict[int, tuple[float, str]],
) -> None:
    """Report the one task of a run as one among others."""
    report(before | {number: state[0]})
