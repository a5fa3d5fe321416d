"""Files, tables, samples and objects to `Source`: what a dashboard may be given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pixlab.dashboards.sources import Source
from pixlab.digis import Digis
from pixlab.errors import FormatError, PixlabError
from pixlab.progress import Progress
from pixlab.study import Sweep, sweep

__all__ = ["is_table", "open_source", "open_sources"]

SWEPT_EVENTS = 20  # of an event file without a table: enough for every spectrum, a minute of work
TABLE_ENDING = ".sweep.parquet"  # a table of this name beside an event file belongs to it


def open_sources(
    what: Sequence[Any] = (), *, progress: Progress | None = None
) -> tuple[list[Source], list[PixlabError]]:
    """Open everything that `open_source` takes; without anything, the embedded sample.

    Returns
    -------
    list of Source, list of PixlabError
        What could be opened, and why the rest could not.

    Raises
    ------
    PixlabError
        If nothing could be opened.
    """
    from pixlab import samples

    # tables first, so that events which belong to one are not swept
    what = sorted(what or [samples.sweep_path()], key=lambda w: not (_is_path(w) and is_table(w)))
    events = {Path(w).name: Path(w) for w in what if _is_path(w) and not is_table(w)}
    opened: list[Source] = []
    problems: list[PixlabError] = []
    for i, one in enumerate(what):

        def report(fraction: float, text: str, i: int = i) -> None:
            if progress is not None:
                progress((i + fraction) / len(what), text)

        if _is_path(one) and any(Path(s.sweep.source).name == Path(one).name for s in opened):
            continue  # of a table that is open already
        try:
            opened.append(open_source(one, beside=events, progress=report))
        except PixlabError as error:
            problems.append(error)
    if not opened:
        raise problems[0]
    names = [s.name for s in opened]
    numbered = [
        replace(s, name=f"{s.name} ({names[:i].count(s.name) + 1})") if s.name in names[:i] else s
        for i, s in enumerate(opened)
    ]
    return numbered, problems


def open_source(
    what: Any, *, beside: dict[str, Path] | None = None, progress: Progress | None = None
) -> Source:
    """Digis and their sweep, from one of them.

    Parameters
    ----------
    what : path, str, Digis or Sweep
        A table made by `pixlab.sweep`, an event file, ``sample:NAME`` or the name of a sample, or
        the objects themselves. Events without a table are swept, the first 20 of a file.
    beside : dict of name to path, optional
        Event files in which the events of a table may be, if they are not where they were.
    progress : callable, optional
        Called while events are swept.

    Raises
    ------
    PixlabError
        If it cannot be read, or the events of a table are not to be found.
    """
    from pixlab import samples
    from pixlab.io import read

    if isinstance(what, Source):
        return what
    if isinstance(what, Digis):
        return Source("digis", what, sweep(what, source="digis", progress=progress))
    if isinstance(what, Sweep):
        return Source(_short(what.source), _events_of(what, "the sweep", {}), what)
    name = str(what).removeprefix("sample:")
    if name in samples.list() and (name != str(what) or not Path(what).exists()):
        what = samples.path(name)
    path = Path(what)
    if is_table(path):
        table = Sweep.load(path)
        return Source(_short(table.source), _events_of(table, str(path), beside or {}), table)
    table_beside = path.with_name(path.stem + TABLE_ENDING)
    if table_beside.is_file():
        table = Sweep.load(table_beside)
        name = table.source if table.source in samples.list() else path.name
        return Source(name, read(path), table)
    digis = read(path, events=slice(0, SWEPT_EVENTS))
    return Source(path.name, digis, sweep(digis, source=str(path), progress=progress))


def _events_of(table: Sweep, name: str, beside: dict[str, Path]) -> Digis:
    """The events that a table was made on."""
    from pixlab import samples
    from pixlab.io import read

    source = str(table.source)
    if not source:
        raise PixlabError(
            f"{name} does not say which events it was made on", "make it with: pixlab sweep FILE"
        )
    if source in samples.list():
        return samples.load(source)
    for path in (beside.get(Path(source).name), Path(source)):
        if path is not None and path.is_file():
            return read(path)
    raise PixlabError(
        f"{name} was made on '{source}', which is not here",
        "give that event file too: pixlab serve TABLE EVENTS",
    )


def _short(source: Any) -> str:
    """A sample's name as it is, a file without its folder."""
    return Path(str(source)).name


def _is_path(what: Any) -> bool:
    return isinstance(what, (str, Path))


def is_table(what: Any) -> bool:
    """Whether a file is a table of a sweep, by its content."""
    path = Path(what)
    if not path.is_file():
        return False
    with path.open("rb") as file:
        if file.read(4) != b"PAR1":
            return False
    try:
        Sweep.load(path)
    except FormatError:
        return False
    return True
