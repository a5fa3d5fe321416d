"""Parquet: what `write` makes, one row an event, and plain tables with one row a digi.

pixlab's own file has one row an event: lists ``detid, row, col, adc`` (and ``flag``), numbers
``run, lumi, event`` where they are known, row groups of bounded size, checksums on every page,
and in its metadata under ``pixlab`` the detector as JSON. Any reader of nested Parquet
(awkward, pandas, polars, ROOT's RDataFrame through Arrow) sees events.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixlab.detectors import Detector
from pixlab.digis import EVENT_ID, Digis
from pixlab.errors import FormatError, PixlabError
from pixlab.io.files import DAMAGED, Bytes, clip
from pixlab.io.rows import COLUMNS, RowsReader, build, check_integers, match_columns

__all__ = ["open_parquet", "sniff", "write"]

_ABOUT = b"pixlab"
_GROUP_DIGIS = 1 << 20  # a row group ends after this many digis
_GROUP_EVENTS = 1000  # or events


def sniff(head: bytes) -> bool:
    """Whether a file that begins so is a Parquet file."""
    return head.startswith(b"PAR1")


def open_parquet(
    path: Path, *, branch: str | None = None, detector: str | Detector | None = None
) -> RowsReader | EventsReader:
    """Open a file with one row an event (columns of lists) or one row a digi."""
    import pyarrow as pa

    if branch is not None:
        raise PixlabError(f"{path}: a Parquet file has no branches", "leave branch= out")
    table = _Table(path)
    try:
        names = table.file.schema_arrow.names
        kinds = {name: table.file.schema_arrow.field(name).type for name in names}
        lists = {n for n, k in kinds.items() if pa.types.is_list(k) or pa.types.is_large_list(k)}
        if lists:
            return EventsReader(table, lists, detector)
        found = match_columns(names, "the table")
        for column, name in found.items():
            check_integers(column, _dtype(kinds[name]))
        return RowsReader(
            table.rows,
            lambda column, start, stop: table.numbers(found[column], start, stop),
            set(found),
            close=table.close,
            detector=detector,
        )
    except BaseException:
        table.close()
        raise


class _Table:
    """A Parquet file, read by row groups, with its sizes checked."""

    def __init__(self, path: Path) -> None:
        import pyarrow.parquet as pq

        self._bytes = Bytes(path)
        try:
            self.file = pq.ParquetFile(path, page_checksum_verification=True)
        except BaseException:
            self._bytes.close()
            raise
        meta = self.file.metadata
        # row counts only: pyarrow aborts the process on a damaged description of a column
        counts = np.array(
            [meta.row_group(i).num_rows for i in range(meta.num_row_groups)], np.int64
        )
        self._starts = np.concatenate([[0], np.cumsum(counts)])
        self.rows = int(meta.num_rows)
        if (counts < 0).any() or int(self._starts[-1]) != self.rows:
            self.close()
            raise FormatError(f"its row groups do not add up to its {self.rows} rows", DAMAGED)
        self._cached: tuple[int, tuple[str, ...], Any] | None = None

    def groups(self, names: tuple[str, ...], start: int, stop: int) -> list[Any]:
        """Tables with these columns that together are rows `start` to `stop`."""
        parts = []
        group = int(np.searchsorted(self._starts, start, side="right")) - 1
        while start < stop:
            first, end = int(self._starts[group]), int(self._starts[group + 1])
            if start < end:
                last = min(stop, end)
                parts.append(self._group(group, names).slice(start - first, last - start))
                start = last
            group += 1
        return parts

    def _group(self, i: int, names: tuple[str, ...]) -> Any:
        """The last row group is kept, since blocks of events share it."""
        if self._cached is None or self._cached[:2] != (i, names):
            self._cached = None
            self._cached = (i, names, self.file.read_row_group(i, columns=list(names)))
        return self._cached[2]

    def numbers(self, name: str, start: int, stop: int) -> NDArray[Any]:
        """Part of a column of numbers."""
        parts = [_numbers(name, t.column(name)) for t in self.groups((name,), start, stop)]
        return np.concatenate(parts) if parts else np.zeros(0, np.int64)

    def close(self) -> None:
        """Let go of the file."""
        self._bytes.close()
        if hasattr(self, "file"):
            self.file.close()


class EventsReader:
    """Events of a table with one row an event."""

    def __init__(self, table: _Table, lists: set[str], detector: str | Detector | None) -> None:
        self._table = table
        names = table.file.schema_arrow.names
        self._names = match_columns(["event", *(n for n in names if n != "event")], "the table")
        if not {self._names[n] for n in COLUMNS[1:]} <= lists:
            raise FormatError(
                "the table mixes lists and numbers",
                "write detid, row, col and adc all as lists, or all as numbers",
            )
        self._numbers = [n for n in EVENT_ID.names or () if n in names and n not in lists]
        self.count = table.rows
        self._detector = detector
        about = (table.file.schema_arrow.metadata or {}).get(_ABOUT)
        if about is not None and detector is None:
            try:
                self._detector = Detector.from_json(json.loads(about)["detector"])
            except (ValueError, KeyError, TypeError) as error:
                raise FormatError("the detector's description is damaged", DAMAGED) from error

    def read(self, start: int, stop: int) -> Digis:
        """The digis of events `start` to `stop` (or to the last one)."""
        start, stop = clip(start, stop, self.count)
        wanted = [n for n in (*COLUMNS[1:], "flag") if n in self._names]
        columns = tuple(self._names[n] for n in wanted) + tuple(self._numbers)
        counts = [np.zeros(0, np.int64)]
        values: dict[str, list[NDArray[Any]]] = {name: [] for name in wanted}
        ids = [np.zeros(0, EVENT_ID)]
        for group in self._table.groups(columns, start, stop):
            lengths, numbers = {}, np.zeros(group.num_rows, EVENT_ID)
            for name in wanted:
                lengths[name], content = _lists(name, group.column(self._names[name]))
                values[name].append(content)
                if not np.array_equal(lengths[name], lengths["detid"]):
                    raise FormatError(f"lists of '{name}' and 'detid' differ in length", DAMAGED)
            for name in self._numbers:
                numbers[name] = _numbers(name, group.column(name))
            counts.append(lengths["detid"])
            ids.append(numbers)
        merged = {n: np.concatenate(v) if v else np.zeros(0, np.int64) for n, v in values.items()}
        flag = merged.pop("flag", None)
        event_id = np.concatenate(ids) if self._numbers else None
        return build(np.concatenate(counts), merged, flag, event_id, self._detector, start)

    def close(self) -> None:
        """Let go of the file."""
        self._table.close()


def _dtype(kind: Any) -> np.dtype[Any]:
    """The NumPy type of a column, or of the content of its lists."""
    try:
        return np.dtype(kind.to_pandas_dtype())
    except (NotImplementedError, TypeError):
        return np.dtype(object)


def _numbers(name: str, column: Any) -> NDArray[Any]:
    if column.null_count:
        raise FormatError(f"column '{name}' has rows without a value", "fill or drop them")
    check_integers(name, _dtype(column.type))
    values = column.to_numpy()
    if name in ("run", "lumi", "event") and len(values) and int(values.min()) < 0:
        raise FormatError(f"{name} {int(values.min())} is negative", "check the column")
    return values


def _lists(name: str, column: Any) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """How long each list is, and all their values."""
    check_integers(name, _dtype(column.type.value_type))
    counts, values = [], []
    for chunk in column.chunks:
        chunk.validate(full=True)
        flat = chunk.flatten()
        if chunk.null_count or flat.null_count:
            raise FormatError(f"column '{name}' has rows without a value", "fill or drop them")
        counts.append(np.diff(chunk.offsets.to_numpy()).astype(np.int64))
        values.append(flat.to_numpy(zero_copy_only=False))
    return np.concatenate(counts), np.concatenate(values)


def write(digis: Digis, path: Path) -> None:
    """Write digis with one row an event; events without digis, event numbers, flags and a
    detector of one's own all come back.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    fields = [(name, getattr(digis, name)) for name in COLUMNS[1:]]
    if digis.flag is not None:
        fields.append(("flag", digis.flag))
    about = {_ABOUT: json.dumps({"version": 1, "detector": digis.detector.to_json()})}
    schema = pa.schema(
        [(name, pa.large_list(pa.from_numpy_dtype(values.dtype))) for name, values in fields]
        + [
            (n, pa.from_numpy_dtype(EVENT_ID[n]))
            for n in EVENT_ID.names or ()
            if digis.event_id is not None
        ],
        metadata=about,
    )
    options = {"compression": "zstd", "write_page_checksum": True, "use_dictionary": False}
    with pq.ParquetWriter(path, schema, **options) as writer:
        start = 0
        while start < len(digis):
            stop = int(np.searchsorted(digis.offsets, digis.offsets[start] + _GROUP_DIGIS, "right"))
            stop = min(max(stop - 1, start + 1), start + _GROUP_EVENTS, len(digis))
            first, last = int(digis.offsets[start]), int(digis.offsets[stop])
            offsets = pa.array(digis.offsets[start : stop + 1] - first)
            arrays = [
                pa.LargeListArray.from_arrays(offsets, pa.array(values[first:last]))
                for _, values in fields
            ]
            if digis.event_id is not None:
                arrays += [pa.array(digis.event_id[n][start:stop]) for n in EVENT_ID.names or ()]
            writer.write_table(
                pa.Table.from_arrays(arrays, schema=schema), row_group_size=stop - start
            )
            start = stop
