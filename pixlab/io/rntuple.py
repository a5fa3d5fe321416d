"""RNTuples of digis, the columns of ROOT 6.36 and later: one row an event, or one row a digi.

With one row an event, ``detId, row, col, adc`` (and ``flag``) are lists (``std::vector``) and
``event, run, lumi`` numbers; all are optional but the first four. With one row a digi, all are
numbers. What pixlab writes has one row an event, and beside the RNTuple ``digis`` a string
``pixlab`` with the detector.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pixlab.detectors import Detector
from pixlab.digis import EVENT_ID, Digis
from pixlab.errors import FormatError, PixlabError
from pixlab.io.events import Columns, EventReader, How, described_by
from pixlab.io.files import DAMAGED, NotHere
from pixlab.io.names import COLUMNS, canonical, match_columns
from pixlab.io.root import MAGIC, RootFile
from pixlab.io.rows import RowsReader, natural
from pixlab.io.source import Bytes

__all__ = ["open_ntuple", "sniff", "write"]

_NAME, _ABOUT = "digis", "pixlab"
_NUMBER = re.compile(
    r"(?:std::)?u?int(?:8|16|32|64)_t|(?:unsigned )?(?:char|short|int|long)|bool|float|double"
)
_LIST = re.compile(r"(?:std::vector|ROOT::VecOps::RVec|ROOT::RVec)<(.*)>")
_RATIO = 1 << 15  # no packed page unpacks to more times its size


def sniff(head: bytes) -> bool:
    """Whether a file that begins so may hold an RNTuple of digis."""
    return head.startswith(MAGIC)


def open_ntuple(source: Bytes, how: How) -> RowsReader | EventsReader:
    """Open the RNTuple with digis; ``how.branch`` is (a unique part of) its name among several."""
    file = RootFile.of(source)
    name = _choose(file, how.branch)
    table = _Table(file, name, how.detector)
    text = file.string(_ABOUT) if name == _NAME else None
    described = None
    if text is not None:
        try:
            described = described_by(how, json.loads(text)["detector"])
        except (ValueError, KeyError, TypeError) as error:
            raise FormatError(f"its description '{_ABOUT}' is damaged", DAMAGED) from error
    if table.lists:
        return EventsReader(table, how, described, own=text is not None)
    return RowsReader(table.rows, table.numbers, set(table.fields), how, described=described)


def _choose(file: RootFile, wanted: str | None) -> str:
    """Name of the RNTuple with digis."""
    fit = []
    for name in file.ntuples:
        fields = {canonical(field) for field in file.ntuple(name).keys(recursive=False)}
        if name == _NAME or fields.issuperset(("row", "col", "adc")):
            fit.append(name)
    if not fit:
        raise NotHere(
            f"{file} has no RNTuple of digis",
            f"digis need the columns {', '.join(COLUMNS)}",
            file.describe,
        )
    names = [n for n in fit if wanted in (None, n)] or [n for n in fit if wanted and wanted in n]
    if len(names) != 1:
        raise PixlabError(
            f"{file} has {len(fit)} RNTuples of digis, {len(names)} of them like '{wanted or ''}'",
            f"choose one with branch=: {', '.join(fit)}",
        )
    return names[0]


class _Column(NamedTuple):
    """A part of a column: how long each list is (None for numbers), and all values."""

    counts: NDArray[np.int64] | None
    values: NDArray[Any]


class _Table:
    """An RNTuple, read by clusters."""

    def __init__(self, file: RootFile, name: str, detector: Detector | None) -> None:
        self.file = file
        self._ntuple = file.ntuple(name)
        kinds = {f: self._ntuple[f].typename for f in self._ntuple.keys(recursive=False)}
        lists = {f: m[1] for f, kind in kinds.items() if (m := _LIST.fullmatch(kind))}
        self.fields = match_columns(
            list(kinds), f"the RNTuple '{name}'", detector, numbered=bool(lists)
        )
        self.lists = {column for column, real in self.fields.items() if real in lists}
        for real in self.fields.values():
            if not _NUMBER.fullmatch(lists.get(real, kinds[real])):
                raise FormatError(
                    f"column '{real}' holds {kinds[real]}, whole numbers are needed",
                    "write the column as integers, or as lists of integers an event",
                )
        of_digis = set(self.fields) - {"event", "run", "lumi"}
        if self.lists and of_digis - self.lists - {"detid"}:
            raise FormatError(
                f"the RNTuple '{name}' mixes lists ({', '.join(sorted(self.lists))}) and numbers",
                "write all of detId, row, col, adc as lists, or none, and event as a number",
            )
        self.rows = int(self._ntuple.num_entries)
        self._index(file.source.size)
        self._cached: tuple[int, dict[str, _Column]] | None = None

    def _index(self, size: int) -> None:
        """The first row of each cluster, and whether pages can be as large as they say."""
        parts = self._ntuple.cluster_summaries
        starts = [int(part.num_first_entry) for part in parts]
        ends = [int(part.num_first_entry + part.num_entries) for part in parts]
        if [0, *ends] != [*starts, self.rows]:
            raise FormatError(f"its clusters do not add up to its {self.rows} rows", DAMAGED)
        self._starts = np.array([0, *ends], np.int64)
        for columns in self._ntuple.page_link_list:
            for page in (page for column in columns for page in column.pages):
                stored = int(page.locator.num_bytes)
                if stored > size or abs(int(page.num_elements)) > (stored + 64) * _RATIO:
                    raise FormatError(f"a page of {page.num_elements} values is not there", DAMAGED)

    def pieces(self, start: int, stop: int) -> list[tuple[dict[str, _Column], int, int]]:
        """Clusters with rows `start` to `stop`, and which of their rows these are."""
        parts = []
        i = int(np.searchsorted(self._starts, start, side="right")) - 1
        while start < stop:
            first, end = int(self._starts[i]), int(self._starts[i + 1])
            if start < end:
                last = min(stop, end)
                parts.append((self._cluster(i), start - first, last - first))
                start = last
            i += 1
        return parts

    def _cluster(self, i: int) -> dict[str, _Column]:
        """The columns of one cluster; the last one is kept, since blocks of events share it."""
        if self._cached is None or self._cached[0] != i:
            self._cached = None
            first, end = int(self._starts[i]), int(self._starts[i + 1])
            columns = {}
            for column, name in self.fields.items():
                array = self._ntuple[name].array(entry_start=first, entry_stop=end)
                columns[column] = _plain(array, column, column in self.lists, end - first)
            self._cached = (i, columns)
        return self._cached[1]

    def numbers(self, column: str, start: int, stop: int) -> NDArray[Any]:
        """Part of a column of numbers."""
        parts = [c[column].values[first:last] for c, first, last in self.pieces(start, stop)]
        return np.concatenate(parts) if parts else np.zeros(0, np.int64)


def _plain(array: Any, column: str, is_list: bool, rows: int) -> _Column:
    import awkward as ak

    counts = None
    if is_list:
        counts = ak.to_numpy(ak.num(array)).astype(np.int64)
        array = ak.flatten(array)
    values = ak.to_numpy(array)
    wrong = values.dtype.kind not in "iubf" or len(values if counts is None else counts) != rows
    if wrong or (counts is not None and ((counts < 0).any() or counts.sum() != len(values))):
        raise FormatError(f"column '{column}' is damaged", DAMAGED)
    return _Column(counts, values)


class EventsReader(EventReader):
    """Events of an RNTuple with one row an event."""

    def __init__(self, table: _Table, how: How, described: Detector | None, *, own: bool) -> None:
        super().__init__(how, described)
        self._table, self._own = table, own
        self.count = table.rows

    def columns(self, start: int, stop: int) -> Columns:
        """The events `start` to `stop`."""
        names = [n for n in (*COLUMNS[1:], "flag") if n in self._table.lists]
        values: dict[str, list[NDArray[Any]]] = {n: [np.zeros(0, np.int64)] for n in names}
        lengths = [np.zeros(0, np.int64)]
        for cluster, first, last in self._table.pieces(start, stop):
            counts = cluster["row"].counts
            assert counts is not None  # the row is a list
            offsets = np.append(0, np.cumsum(counts))
            for name in names:
                other = cluster[name].counts
                if not np.array_equal(other, counts):  # type: ignore[arg-type]
                    raise FormatError(f"lists of '{name}' and 'row' differ in length", DAMAGED)
                values[name].append(cluster[name].values[offsets[first] : offsets[last]])
            lengths.append(counts[first:last])
        merged = {n: np.concatenate(v[1:] or v) for n, v in values.items()}
        counts = np.concatenate(lengths)
        if "detid" in self._table.fields and "detid" not in merged:  # one module an event
            merged["detid"] = np.repeat(self._table.numbers("detid", start, stop), counts)
        return Columns(
            counts,
            merged.get("detid"),
            merged["row"],
            merged["col"],
            merged["adc"],
            merged.get("flag"),
            self._event_id(start, stop),
        )

    def _event_id(self, start: int, stop: int) -> NDArray[Any] | None:
        ids = np.zeros(stop - start, EVENT_ID)
        present = [name for name in EVENT_ID.names or () if name in self._table.fields]
        for name in present:
            ids[name] = natural(name, self._table.numbers(name, start, stop))
        # numbers that only count the rows are none, but for who wrote them as event numbers
        counted = np.array_equal(ids["event"], np.arange(start, stop)) and not ids["run"].any()
        return None if not present or (counted and not self._own) else ids


def write(groups: Iterable[Digis], path: Path) -> None:
    """Write digis with one row an event; events without digis, event numbers, flags and a
    detector of one's own all come back.
    """
    import awkward as ak
    import uproot

    parts = iter(groups)
    first = next(parts)

    def columns(group: Digis) -> dict[str, Any]:
        fields: dict[str, NDArray[Any]] = {"detId": group.detid, "row": group.row}
        fields |= {"col": group.col, "adc": group.adc}
        if group.flag is not None:
            fields["flag"] = group.flag.astype(np.uint8)
        counts = np.diff(group.offsets)
        found = {name: ak.unflatten(values, counts) for name, values in fields.items()}
        if group.event_id is not None:
            found |= {n: group.event_id[n] for n in EVENT_ID.names or ()}
        return found

    # a handle, because uproot would read a ':' in the path as a protocol
    with path.open("w+b") as handle, uproot.recreate(handle, compression=uproot.ZSTD(5)) as file:
        # from its form alone: ROOT refuses clusters without rows
        empty = {n: ak.Array(v) for n, v in columns(first[:0]).items()}
        table = file.mkrntuple(_NAME, ak.zip(empty, depth_limit=1).layout.form)
        for group in chain([first], parts):
            if len(group):
                table.extend(columns(group))
        file[_ABOUT] = json.dumps({"version": 1, "detector": first.detector.to_json()})
