"""`sweep`: many codecs along one line, read - fit - compress - decompress - compare, as a tidy table.

Models are fitted on the first half of the events and measured on the second, from real files.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

from pixlab import __version__
from pixlab.codecs import ClusterVQ, Codec, Foreign, Lossless, PatchVQ, ResidualVQ, ScalarQuantizer
from pixlab.detectors import Detector
from pixlab.digis import Digis
from pixlab.progress import Progress, tell
from pixlab.study import workers
from pixlab.study.costs import payback
from pixlab.study.journal import Journal, read_result, write_result
from pixlab.study.machine import cores
from pixlab.study.reference import REFERENCES
from pixlab.study.split import Split
from pixlab.study.table import COLUMNS, HIDDEN, Sweep
from pixlab.study.tasks import FACTS, perform, row_task

__all__ = ["CODEBOOK_SIZES", "assemble", "default_codecs", "sweep"]

CODEBOOK_SIZES = (16, 64, 256, 1024, 4096)
_LEVELS = (32, 6)  # about the fewest within the transparent and the loose tolerance, for CMS
_ALONE = 2_000_000  # digis times settings below which starting processes does not pay
# columns of a row by what they are; knobs come behind the first group, metrics behind the third
_ORDER = [c for c in COLUMNS if c not in HIDDEN]


def default_codecs() -> list[Codec]:
    """From exact to coarse: lossless, levels of counts, clusters within each tolerance, tiles.

    Not among them is what takes minutes to fit: trained networks, and `effort` "max".
    """
    levels = [ScalarQuantizer(levels=n) for n in _LEVELS]
    clusters = [ClusterVQ(target=t) for t in ("transparent", "analysis", "loose")]
    stages = [ResidualVQ(target=t) for t in ("transparent", "loose")]
    books = [PatchVQ(codebook_size=n) for n in CODEBOOK_SIZES]
    return [Lossless(), *levels, *clusters, *stages, *books]


def sweep(
    digis: Digis | str | os.PathLike[str],
    codecs: Sequence[Codec] | None = None,
    *,
    out: str | os.PathLike[str] | None = None,
    fit_events: int | None = None,
    events: Any = None,
    branch: str | None = None,
    detector: str | Detector | None = None,
    duplicates: Literal["error", "sum"] = "error",
    source: str = "",
    premixed: bool = False,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> Sweep:
    """Fit, compress, decompress and compare with each codec.

    Parameters
    ----------
    digis : Digis or path
        At least two events, or the file that has them. A file that is larger than memory is read
        block by block.
    codecs : sequence of Codec, optional
        Settings to try; default `default_codecs`.
    out : path, optional
        Where the table goes. Finished rows are kept beside it until it is complete: a sweep that was
        killed goes on where it stopped when it is called again.
    fit_events : int, optional
        Events from the beginning that models are fitted on; the rest is measured. Default: half,
        of a large file the first 4 million digis.
    events, branch, detector, duplicates : optional
        As for `pixlab.read`, where a path is given.
    source : str, optional
        Name of the file or sample, kept in the table; default: the path.
    premixed : bool
        Compare after pre-mixing too, as `pixlab.compare` does; tolerances then hold for both.
    jobs : int, optional
        Processes at a time. Default: one a core, or none but this one where little is to be done.
        Rows do not depend on it, but for their times.
    progress : callable, optional
        Told what is going on; where it raises or returns False, the sweep ends.

    Returns
    -------
    Sweep
        Rows in the order of `codecs`.

    Raises
    ------
    PixlabError
        If there are too few events to keep those for fitting and measuring apart, or a codec cannot
        be fitted on them or is not installed.
    Cancelled
        If `progress` returned False.
    """
    chosen = list(default_codecs() if codecs is None else codecs)
    for codec in chosen:  # before hours of work, not after
        if isinstance(codec, Foreign):
            codec.require()
    how: dict[str, Any] = {"branch": branch, "detector": detector, "duplicates": duplicates}
    split = Split.of(digis, fit_events=fit_events, events=events, **how)
    tasks = [FACTS, *(row_task(codec, premixed=premixed) for codec in chosen)]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        journal = None
        paths = [folder / f"{i}.json" for i in range(len(tasks))]
        if out is not None:
            journal = Journal(Path(out), split.fingerprint())
            stack.enter_context(journal.open())
            paths = [journal.path(task) for task in tasks]
        todo = [i for i, path in enumerate(paths) if read_result(path) is None]
        report = _Report(len(tasks), todo, [c.key for c in chosen], progress)
        if _processes(jobs, split, len(todo)) > 1:
            work = [(tasks[i], paths[i]) for i in todo]
            workers.run(work, split.on_disk(folder), jobs or cores(), report.several)
        else:
            for place, i in enumerate(todo):
                report.several({place: (0.0, "")})
                result = perform(tasks[i], split, report.of(place))
                write_result(result, paths[i])
                report.several({place: (1.0, "")})
        tell(progress, 1.0, "")
        facts, *rows = (read_result(path) or {} for path in paths)
        found = assemble(rows, facts, chosen, split, source or split.path)
        if out is not None and journal is not None:
            found.save(out)
            journal.clear()
    return found


def _processes(jobs: int | None, split: Split, n: int) -> int:
    if jobs is not None:
        return min(jobs, n)
    if not split.block and split.held_digis * n < _ALONE:
        return 1
    return min(cores(), n)


class _Report:
    """Progress of tasks as that of the whole: rows that were kept count as done."""

    def __init__(
        self, n: int, todo: list[int], names: list[str], progress: Progress | None
    ) -> None:
        self._n, self._kept = n, n - len(todo)
        self._names = [(["events", *names])[i] for i in todo]
        self._progress = progress
        self._state: dict[int, tuple[float, str]] = {}

    def several(self, state: dict[int, tuple[float, str]]) -> None:
        """Tell the state of some tasks."""
        self._state |= state
        done = self._kept + sum(fraction for fraction, _ in self._state.values())
        now = [self._names[i] for i, (fraction, _) in self._state.items() if fraction < 1]
        tell(self._progress, done / self._n, ", ".join(dict.fromkeys(now)))

    def of(self, place: int) -> Progress:
        """The progress of one task."""
        return lambda done, text: self.several({place: (min(done, 0.999), text)})


def assemble(
    rows: list[dict[str, Any]],
    facts: dict[str, Any],
    codecs: list[Codec],
    split: Split,
    source: str,
) -> Sweep:
    """The table: rows side by side, and what follows from several of them."""
    import numpy as np
    import pandas as pd

    table = pd.DataFrame(rows)
    rate_bytes = table["bits_per_digi"] * np.maximum(table["digis"], 1) / 8
    for name in REFERENCES:
        table[f"ratio_{name}"] = facts[name] / rate_bytes
    table = table.join(payback(table, facts).drop(columns=["codec", "label"]))
    floors = {k.removeprefix("floor."): v for k, v in facts.items() if k.startswith("floor.")}
    exact = table["adc_rms"] == 0 if "adc_rms" in table else False
    kept = (table["pixels_kept"] == 1) & (table["pixels_invented"] == 0)
    nan = float("nan")
    lossless, hit_map = (floors.get(k, nan) for k in ("lossless", "hit_map"))
    table["floor_bits_per_digi"] = np.where(kept, np.where(exact, lossless, hit_map), nan)
    knobs = list(dict.fromkeys(k for codec in codecs for k in codec.knobs()))
    first = [c for c in _ORDER if c in table]
    ledger = [c for c in table if c.startswith("ledger.")]
    metrics = [c for c in table if c not in {*first, *knobs, *ledger, *HIDDEN}]
    table = table[[*first[:2], *knobs, *first[2:], *metrics, *ledger, *HIDDEN]]
    provenance = {
        "pixlab": __version__,
        **split.describe(),
        "detector": facts["detector"],
        "knobs": knobs,
        "floors": {k: (v if v == v else None) for k, v in floors.items()},
        "root_reference": facts["root_reference"],
        **{name: facts[name] for name in REFERENCES},
    }
    return Sweep(table, source, provenance)
