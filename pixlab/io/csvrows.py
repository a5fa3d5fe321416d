"""CSV: ``event,detId,row,col,adc``, one row a digi, plain or gzip, as CMS users' dumps have it.

Further columns (``global_x``, ...) are ignored; ``flag``, ``run`` and ``lumi`` are read. Names may
be spelt otherwise, upper and lower case and ``_`` alike: `SPELLINGS`.

What pixlab writes begins with a comment, ``# pixlab`` and JSON: numbers of events and digis,
detector and, where known, run, lumi and number of each event. Other readers skip it with, for
instance, ``pandas.read_csv(path, comment="#")``. Without the comment, events that have no digis at
the end are not known, and a file cut at the end of a line looks whole.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from pixlab.detectors import Detector
from pixlab.digis import EVENT_ID, Digis
from pixlab.errors import FormatError, PixlabError
from pixlab.io.files import DAMAGED
from pixlab.io.rows import RowsReader, match_columns
from pixlab.io.text import GZIP, TextTable, beginning, header

__all__ = ["SPELLINGS", "open_csv", "sniff", "sniff_gzip", "write", "write_gzip"]

SPELLINGS = {
    "eventnumber": "event",
    "eventid": "event",
    "evt": "event",
    "moduleid": "detid",
    "rawid": "detid",
    "rawdetid": "detid",
    "detunitid": "detid",
    "column": "col",
    "charge": "adc",
    "luminosityblock": "lumi",
}
_MARK = "# pixlab "
_CHUNK = 1 << 18  # rows written in one go


def _canonical(name: str) -> str:
    plain = name.lower().replace("_", "").replace(" ", "")
    return SPELLINGS.get(plain, plain)


def sniff(head: bytes) -> bool:
    """Whether a file that begins so is a table of digis in text (which may miss columns)."""
    return not head.startswith(GZIP) and _sniff(head)


def sniff_gzip(head: bytes) -> bool:
    """Whether a file that begins so is such a table, compressed."""
    return head.startswith(GZIP) and _sniff(head)


def _sniff(head: bytes) -> bool:
    names = {_canonical(name) for name in header(head)}
    return len(names & {"event", "detid", "row", "col", "adc"}) >= 2 or beginning(head).startswith(
        _MARK
    )


def open_csv(
    path: Path, *, branch: str | None = None, detector: str | Detector | None = None
) -> RowsReader:
    """Open a table with one row a digi."""
    if branch is not None:
        raise PixlabError(f"{path}: a CSV file has no branches", "leave branch= out")
    table = TextTable(path)
    try:
        found: dict[str, str] = {}
        for name in table.names:
            found.setdefault(_canonical(name), name)
        try:
            columns = {name: found[name] for name in match_columns(list(found), "the table")}
        except FormatError as error:
            names = ", ".join(table.names[:12])
            raise FormatError(error.cause.split(" (it has")[0] + f" (it has {names})", error.hint) from error  # fmt: skip
        kinds = {real: "bool" if name == "flag" else "int64" for name, real in columns.items()}
        n_events, event_id, described = _about(table)
        return RowsReader(
            table.rows,
            lambda name, start, stop: table.column(columns[name], kinds, start, stop),
            set(columns),
            close=table.close,
            n_events=n_events,
            labels=True,
            detector=described if detector is None else detector,
            event_id=event_id,
        )
    except BaseException:
        table.close()
        raise


def _about(table: TextTable) -> tuple[int | None, NDArray[Any] | None, Detector | None]:
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
    return events, ids, Detector.from_json(detector)


def write(digis: Digis, path: Path) -> None:
    """Write digis with one row a digi; events without digis, event numbers, flags and a detector
    of one's own all come back.
    """
    with path.open("wb") as handle:
        _write(digis, handle)


def write_gzip(digis: Digis, path: Path) -> None:
    """`write`, compressed."""
    # no name and no time, so that equal digis are equal files
    with path.open("wb") as handle, gzip.GzipFile("", "wb", 6, handle, mtime=0) as packed:
        _write(digis, cast(IO[bytes], packed))


def _write(digis: Digis, handle: IO[bytes]) -> None:
    import pyarrow as pa
    from pyarrow import csv

    about: dict[str, Any] = {"version": 1, "events": len(digis), "digis": digis.n_digis}
    about["detector"] = digis.detector.to_json()
    if digis.event_id is not None:
        about["event_id"] = digis.event_id.tolist()
    names = ["event", "detId", "row", "col", "adc"] + ["flag"] * (digis.flag is not None)
    handle.write(f"{_MARK}{json.dumps(about)}\n{','.join(names)}\n".encode())
    event = digis.event
    options = csv.WriteOptions(include_header=False, quoting_style="none")
    for first in range(0, digis.n_digis, _CHUNK):
        part = slice(first, first + _CHUNK)
        values = [event[part], *(getattr(digis, name.lower())[part] for name in names[1:5])]
        if digis.flag is not None:
            values.append(digis.flag[part].astype(np.uint8))
        table = pa.table([pa.array(v) for v in values], names=names)
        sink = pa.BufferOutputStream()
        csv.write_csv(table, sink, options)
        handle.write(sink.getvalue().to_pybytes())
