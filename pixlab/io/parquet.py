"""Parquet: what `write` makes, one row an event, and plain tables with one row a digi.

pixlab's own file has one row an event: lists ``detid, row, col, adc`` (and ``flag``), numbers
``run, lumi, event`` where they are known, row groups of bounded size, checksums on every page,
and in its metadata under ``pixlab`` the detector as JSON. Any reader of nested Parquet
(awkward, pandas, polars, ROOT's RDataFrame through Arrow) sees events.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pixlab.digis import EVENT_ID, Digis
from pixlab.errors import FormatError
from pixlab.io.events import Columns, EventReader, How, described_by, no_branch
from pixlab.io.files import DAMAGED
from pixlab.io.names import COLUMNS, canonical, check_type, match_columns
from pixlab.io.rows import RowsReader, natural
from pixlab.io.source import Bytes

__all__ = ["open_parquet", "sniff", "write"]

_ABOUT = b"pixlab"
_NUMBERS = ("run", "lumi", "event")


def sniff(head: bytes) -> bool:
    """Whether a file that begins so is a Parquet file."""
    return head.startswith(b"PAR1")


def open_parquet(source: Bytes, how: How) -> RowsReader | EventsReader:
    """Open a file with one row an event (columns of lists, or lists of records) or one a digi."""
    no_branch(how, f"{source}: a Parquet file")
    table = _Table(source)
    places = dict(_places(table.file.schema_arrow))
    ours = {n for n, p in places.items() if p.is_list and canonical(n) in ("row", "col", "adc")}
    found = match_columns(list(places), "the table", how.detector, numbered=bool(ours))
    columns = {column: places[name] for column, name in found.items()}
    for column, place in columns.items():
        check_type(column, _dtype(place.kind))
    if ours:
        return EventsReader(table, columns, how)
    return RowsReader(
        table.rows,
        lambda column, start, stop: table.numbers(column, columns[column], start, stop),
        set(columns),
        how,
    )


class _Place(NamedTuple):
    """Where numbers are: a column, maybe a field of its records, maybe in lists of these."""

    column: str
    field: str | None
    is_list: bool
    kind: Any  # Arrow's type of the numbers


def _places(schema: Any) -> Iterator[tuple[str, _Place]]:
    """All columns of numbers by their names; those of records are ``column.field``."""
    import pyarrow as pa

    for name in schema.names:
        kind = schema.field(name).type
        is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind)
        content = kind.value_type if is_list else kind
        if pa.types.is_struct(content):
            for i in range(content.num_fields):
                field = content.field(i)
                yield f"{name}.{field.name}", _Place(name, field.name, is_list, field.type)
        else:
            yield name, _Place(name, None, is_list, content)


class _Table:
    """A Parquet file, read by row groups, with its sizes checked."""

    def __init__(self, source: Bytes) -> None:
        import pyarrow.parquet as pq

        # Arrow reads its own files faster than it reads through Python
        self.file = pq.ParquetFile(source.path or source.file, page_checksum_verification=True)
        source.container = self.file
        meta = self.file.metadata
        # row counts only: pyarrow aborts the process on a damaged description of a column
        counts = np.array(
            [meta.row_group(i).num_rows for i in range(meta.num_row_groups)], np.int64
        )
        self._starts = np.concatenate([[0], np.cumsum(counts)])
        self.rows = int(meta.num_rows)
        if (counts < 0).any() or int(self._starts[-1]) != self.rows:
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

    def numbers(self, name: str, place: _Place, start: int, stop: int) -> NDArray[Any]:
        """Part of a column of numbers."""
        groups = self.groups((place.column,), start, stop)
        parts = [_numbers(name, t.column(place.column), place.field) for t in groups]
        return np.concatenate(parts) if parts else np.zeros(0, np.int64)


class EventsReader(EventReader):
    """Events of a table with one row an event."""

    def __init__(self, table: _Table, columns: dict[str, _Place], how: How) -> None:
        about = (table.file.schema_arrow.metadata or {}).get(_ABOUT)
        described = None
        if about is not None:
            try:
                described = described_by(how, json.loads(about)["detector"])
            except (ValueError, KeyError, TypeError) as error:
                raise FormatError("the detector's description is damaged", DAMAGED) from error
        super().__init__(how, described)
        if not all(columns[n].is_list for n in ("row", "col", "adc")):
            raise FormatError(
                "the table mixes lists and numbers",
                "write detid, row, col and adc all as lists, or all as numbers",
            )
        self._table, self._own = table, about is not None
        self._lists = {n: p for n, p in columns.items() if p.is_list and n not in _NUMBERS}
        self._single = {n: p for n, p in columns.items() if n in (*_NUMBERS, "detid") and not p.is_list}  # fmt: skip
        self.count = table.rows

    def columns(self, start: int, stop: int) -> Columns:
        """The events `start` to `stop`."""
        read = tuple(dict.fromkeys(p.column for p in (self._lists | self._single).values()))
        counts = [np.zeros(0, np.int64)]
        values: dict[str, list[NDArray[Any]]] = {name: [] for name in (*self._lists, *self._single)}
        for group in self._table.groups(read, start, stop):
            lengths = {}
            for name, place in self._lists.items():
                lengths[name], content = _lists(name, group.column(place.column), place.field)
                values[name].append(content)
                if not np.array_equal(lengths[name], lengths[next(iter(lengths))]):
                    raise FormatError(f"lists of '{name}' differ in length from others", DAMAGED)
            counts.append(lengths["row"])
            for name, place in self._single.items():
                values[name].append(_numbers(name, group.column(place.column), place.field))
        merged = {n: np.concatenate(v) if v else np.zeros(0, np.int64) for n, v in values.items()}
        number = np.concatenate(counts)
        ids = np.zeros(stop - start, EVENT_ID)
        present = [name for name in _NUMBERS if name in self._single]
        for name in present:
            ids[name] = natural(name, merged[name])
        counted = np.array_equal(ids["event"], np.arange(start, stop)) and not ids["run"].any()
        if "detid" in self._single:  # one module an event
            merged["detid"] = np.repeat(merged["detid"], number)
        return Columns(
            number,
            merged.get("detid"),
            merged["row"],
            merged["col"],
            merged["adc"],
            merged.get("flag"),
            None if not present or (counted and not self._own) else ids,
        )


def _dtype(kind: Any) -> np.dtype[Any]:
    """The NumPy type of Arrow's."""
    try:
        return np.dtype(kind.to_pandas_dtype())
    except (NotImplementedError, TypeError):
        return np.dtype(object)


def _numbers(name: str, column: Any, field: str | None) -> NDArray[Any]:
    import pyarrow.compute as pc

    if field is not None:
        column = pc.struct_field(column, field)
    if column.null_count:
        raise FormatError(f"column '{name}' has rows without a value", "fill or drop them")
    return column.to_numpy()


def _lists(name: str, column: Any, field: str | None) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """How long each list is, and all their values."""
    counts, values = [], []
    for chunk in column.chunks:
        chunk.validate(full=True)
        flat = chunk.flatten()
        if chunk.null_count or flat.null_count:
            raise FormatError(f"column '{name}' has rows without a value", "fill or drop them")
        flat = flat if field is None else flat.field(field)
        if flat.null_count:
            raise FormatError(f"column '{name}' has rows without a value", "fill or drop them")
        counts.append(np.diff(chunk.offsets.to_numpy()).astype(np.int64))
        values.append(flat.to_numpy(zero_copy_only=False))
    return np.concatenate(counts), np.concatenate(values)


def write(groups: Iterable[Digis], path: Path) -> None:
    """Write digis with one row an event; events without digis, event numbers, flags and a
    detector of one's own all come back.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    parts = iter(groups)
    first = next(parts)
    names = [*COLUMNS[1:], *(["flag"] if first.flag is not None else [])]
    numbers = EVENT_ID.names or () if first.event_id is not None else ()
    about = {_ABOUT: json.dumps({"version": 1, "detector": first.detector.to_json()})}
    schema = pa.schema(
        [(n, pa.large_list(pa.from_numpy_dtype(getattr(first, n).dtype))) for n in names]
        + [(n, pa.from_numpy_dtype(EVENT_ID[n])) for n in numbers],
        metadata=about,
    )
    options = {"compression": "zstd", "write_page_checksum": True, "use_dictionary": False}
    with pq.ParquetWriter(path, schema, **options) as writer:
        for group in chain([first], parts):
            if not len(group):
                continue
            offsets = pa.array(group.offsets)
            arrays = [
                pa.LargeListArray.from_arrays(offsets, pa.array(getattr(group, n))) for n in names
            ]
            if numbers:
                assert group.event_id is not None  # as in the first group
                arrays += [pa.array(group.event_id[n]) for n in numbers]
            table = pa.Table.from_arrays(arrays, schema=schema)
            writer.write_table(table, row_group_size=len(group))
