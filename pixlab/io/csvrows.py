"""CSV: ``event,detId,row,col,adc``, one row a digi, plain or gzip, as CMS users' dumps have it.

Further columns (``global_x``, ...) are ignored; ``flag``, ``run`` and ``lumi`` are read. Names may
be spelt otherwise (`pixlab.io.names`), and whole numbers written as ``17.0``.

What pixlab writes begins with a comment, ``# pixlab`` and JSON: numbers of events and digis,
detector and, where known, run, lumi and number of each event. Other readers skip it with, for
instance, ``pandas.read_csv(path, comment="#")``. Without the comment, events that have no digis at
the end are not known, and a file cut at the end of a line looks whole.
"""

from __future__ import annotations

import gzip
import json
import shutil
import tempfile
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from pixlab.detectors import Detector
from pixlab.digis import EVENT_ID, Digis
from pixlab.errors import FormatError
from pixlab.io.events import How, described_by, no_branch
from pixlab.io.files import DAMAGED
from pixlab.io.names import COLUMNS, canonical, match_columns
from pixlab.io.rows import RowsReader
from pixlab.io.source import Bytes
from pixlab.io.text import GZIP, TextTable, beginning, header

__all__ = ["open_csv", "sniff", "sniff_gzip", "write", "write_gzip"]

_MARK = "# pixlab "


def sniff(head: bytes) -> bool:
    """Whether a file that begins so is a table of digis in text (which may miss columns)."""
    return not head.startswith(GZIP) and _sniff(head)


def sniff_gzip(head: bytes) -> bool:
    """Whether a file that begins so is such a table, compressed."""
    return head.startswith(GZIP) and _sniff(head)


def _sniff(head: bytes) -> bool:
    names = {canonical(name) for name in header(head)}
    return len(names & set(COLUMNS)) >= 2 or beginning(head).startswith(_MARK)


def open_csv(source: Bytes, how: How) -> RowsReader:
    """Open a table with one row a digi."""
    no_branch(how, f"{source}: a CSV file")
    table = TextTable(source)
    columns = match_columns(table.names, "the table", how.detector)
    kinds = {real: "bool" if name == "flag" else "int64" for name, real in columns.items()}
    n_events, event_id, described = _about(table, how)
    return RowsReader(
        table.rows,
        lambda name, start, stop: table.column(columns[name], kinds, start, stop),
        set(columns),
        how,
        described=described,
        n_events=n_events,
        event_id=event_id,
    )


def _about(table: TextTable, how: How) -> tuple[int | None, NDArray[Any] | None, Detector | None]:
    """Number of events, their numbers and the detector, if pixlab wrote the table."""
    text = next((line for line in table.comments if line.startswith(_MARK)), None)
    if text is None:
        return None, None, None
    try:
        about = json.loads(text.removeprefix(_MARK).encode("latin-1"))
        events, digis, numbers = about["events"], about["digis"], about.get("event_id")
        if type(events) is not int or type(digis) is not int:
            raise TypeError("a number is none")
        ids = None
        if numbers is not None:
            ids = np.array([tuple(one) for one in numbers], EVENT_ID)
        detector = about["detector"]
    except (ValueError, KeyError, TypeError, OverflowError, AttributeError) as error:
        raise FormatError("its first line, which describes it, is damaged", DAMAGED) from error
    if table.rows != digis or not table.ends_in_newline:
        raise FormatError(f"it is cut off: {table.rows} lines of {digis} are there", DAMAGED)
    return events, ids, described_by(how, detector)


def write(groups: Iterable[Digis], path: Path) -> None:
    """Write digis with one row a digi; events without digis, event numbers, flags and a detector
    of one's own all come back.
    """
    with path.open("wb") as handle:
        _write(groups, handle)


def write_gzip(groups: Iterable[Digis], path: Path) -> None:
    """`write`, compressed."""
    # no name and no time, so that equal digis are equal files
    with path.open("wb") as handle, gzip.GzipFile("", "wb", 6, handle, mtime=0) as packed:
        _write(groups, cast(IO[bytes], packed))


def _write(groups: Iterable[Digis], handle: IO[bytes]) -> None:
    """The first line counts what follows, so the rows wait in a temporary file."""
    parts = iter(groups)
    first = next(parts)
    names = ["event", "detId", "row", "col", "adc"] + ["flag"] * (first.flag is not None)
    about: dict[str, Any] = {"version": 1, "events": 0, "digis": 0}
    about["detector"] = first.detector.to_json()
    numbers: list[Any] = []
    with tempfile.TemporaryFile() as rows:
        for group in chain([first], parts):
            rows.write(_rows(group, names, about["events"]))
            about["events"] += len(group)
            about["digis"] += group.n_digis
            numbers += [] if group.event_id is None else group.event_id.tolist()
        if first.event_id is not None:
            about["event_id"] = numbers
        handle.write(f"{_MARK}{json.dumps(about)}\n{','.join(names)}\n".encode())
        rows.seek(0)
        shutil.copyfileobj(rows, handle, 1 << 20)


def _rows(digis: Digis, names: list[str], events: int) -> Any:
    """The lines of some digis, the first event being number `events`."""
    import pyarrow as pa
    from pyarrow import csv

    values = [digis.event + events, *(getattr(digis, name.lower()) for name in names[1:5])]
    if "flag" in names:
        assert digis.flag is not None  # as in the first group
        values.append(digis.flag.astype(np.uint8))
    sink = pa.BufferOutputStream()
    table = pa.table([pa.array(v) for v in values], names=names)
    csv.write_csv(table, sink, csv.WriteOptions(include_header=False, quoting_style="none"))
    return sink.getvalue()
