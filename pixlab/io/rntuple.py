"""RNTuples of digis, the columns of ROOT 6.36 and later: one row an event, or one row a digi.

With one row an event, ``detId, row, col, adc`` (and ``flag``) are lists (``std::vector``) and
``event, run, lumi`` numbers; all are optional but the first four. With one row a digi, all are
numbers. What pixlab writes has one row an event, and beside the RNTuple ``digis`` a string
``pixlab`` with the detector.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pixlab.detectors import Detector
from pixlab.digis import EVENT_ID, Digis
from pixlab.errors import FormatError, PixlabError
from pixlab.io.files import DAMAGED, NotHere, clip
from pixlab.io.root import MAGIC, RootFile
from pixlab.io.rows import COLUMNS, RowsReader, build, match_columns

__all__ = ["open_ntuple", "sniff", "write"]

_NAME, _ABOUT = "digis", "pixlab"
_NUMBER = re.compile(r"(?:std::)?u?int(?:8|16|32|64)_t|(?:unsigned )?(?:char|short|int|long)|bool")
_LIST = re.compile(r"(?:std::vector|ROOT::VecOps::RVec|ROOT::RVec)<(.*)>")
_RATIO = 1 << 15  # no packed page unpacks to more times its size
_CLUSTER_DIGIS, _CLUSTER_EVENTS = 1 << 20, 1000  # a cluster ends after this many


def sniff(head: bytes) -> bool:
    """Whether a file that begins so may hold an RNTuple of digis."""
    return head.startswith(MAGIC)


def open_ntuple(
    path: Path, *, branch: str | None = None, detector: str | Detector | None = None
) -> RowsReader | EventsReader:
    """Open the RNTuple with digis; `branch` is (a unique part of) its name among several."""
    file = RootFile(path)
    try:
        name = _choose(file, branch)
        table = _Table(file, name)
        text = file.string(_ABOUT) if name == _NAME else None
        if text is not None and detector is None:
            try:
                detector = Detector.from_json(json.loads(text)["detector"])
            except (ValueError, KeyError, TypeError) as error:
                raise FormatError(f"its description '{_ABOUT}' is damaged", DAMAGED) from error
        if table.lists:
            return EventsReader(table, detector, own=text is not None)
        return RowsReader(
            table.rows,
            table.numbers,
            set(table.fields),
            close=file.close,
            labels=True,
            detector=detector,
        )
    except BaseException:
        file.close()
        raise


def _choose(file: RootFile, wanted: str | None) -> str:
    """Name of the RNTuple with digis."""
    fit = []
    for name in file.ntuples:
        fields = {field.lower() for field in file.ntuple(name).keys(recursive=False)}
        if name == _NAME or fields.issuperset(COLUMNS[1:]):
            fit.append(name)
    if not fit:
        raise NotHere(
            f"{file.path} has no RNTuple of digis: {file.describe()}",
            f"digis need the columns {', '.join(COLUMNS)}",
        )
    names = [n for n in fit if wanted in (None, n)] or [n for n in fit if wanted and wanted in n]
    if len(names) != 1:
        raise PixlabError(
            f"{file.path} has {len(fit)} RNTuples of digis, {len(names)} of them like '{wanted or ''}'",
            f"choose one with branch=: {', '.join(fit)}",
        )
    return names[0]


class _Column(NamedTuple):
    """A part of a column: how long each list is (None for numbers), and all values."""

    counts: NDArray[np.int64] | None
    values: NDArray[Any]


class _Table:
    """An RNTuple, read by clusters."""

    def __init__(self, file: RootFile, name: str) -> None:
        self.file = file
        self._ntuple = file.ntuple(name)
        kinds = {f: self._ntuple[f].typename for f in self._ntuple.keys(recursive=False)}
        lists = {f: m[1] for f, kind in kinds.items() if (m := _LIST.fullmatch(kind))}
        # events of one row each need no number
        names = [
            *kinds,
            *(["event"] if lists and "event" not in {k.lower() for k in kinds} else []),
        ]
        found = match_columns(names, f"the RNTuple '{name}'")
        self.fields = {column: real for column, real in found.items() if real in kinds}
        self.lists = {column for column, real in self.fields.items() if real in lists}
        for real in self.fields.values():
            if not _NUMBER.fullmatch(lists.get(real, kinds[real])):
                raise FormatError(
                    f"column '{real}' holds {kinds[real]}, whole numbers are needed",
                    "write the column as integers, or as lists of integers an event",
                )
        of_digis = set(self.fields) - {"event", "run", "lumi"}
        if self.lists and self.lists != of_digis:
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
    wrong = values.dtype.kind not in "iub" or len(values if counts is None else counts) != rows
    if wrong or (counts is not None and ((counts < 0).any() or counts.sum() != len(values))):
        raise FormatError(f"column '{column}' is damaged", DAMAGED)
    return _Column(counts, values)


class EventsReader:
    """Events of an RNTuple with one row an event."""

    def __init__(self, table: _Table, detector: str | Detector | None, *, own: bool) -> None:
        self._table, self._detector, self._own = table, detector, own
        self.count = table.rows
        self.close = table.file.close

    def read(self, start: int, stop: int) -> Digis:
        """The digis of events `start` to `stop` (or to the last one)."""
        start, stop = clip(start, stop, self.count)
        names = [n for n in (*COLUMNS[1:], "flag") if n in self._table.lists]
        values: dict[str, list[NDArray[Any]]] = {n: [np.zeros(0, np.int64)] for n in names}
        lengths = [np.zeros(0, np.int64)]
        for cluster, first, last in self._table.pieces(start, stop):
            counts = cluster["detid"].counts
            assert counts is not None  # detid is a list
            offsets = np.append(0, np.cumsum(counts))
            for name in names:
                other = cluster[name].counts
                if not np.array_equal(other, counts):  # type: ignore[arg-type]
                    raise FormatError(f"lists of '{name}' and 'detid' differ in length", DAMAGED)
                values[name].append(cluster[name].values[offsets[first] : offsets[last]])
            lengths.append(counts[first:last])
        merged = {n: np.concatenate(v[1:] or v) for n, v in values.items()}
        flag = merged.pop("flag", None)
        ids = self._event_id(start, stop)
        return build(np.concatenate(lengths), merged, flag, ids, self._detector, start)

    def _event_id(self, start: int, stop: int) -> NDArray[Any] | None:
        ids = np.zeros(stop - start, EVENT_ID)
        present = [name for name in EVENT_ID.names or () if name in self._table.fields]
        for name in present:
            numbers = self._table.numbers(name, start, stop)
            if len(numbers) and int(numbers.min()) < 0:
                raise FormatError(f"{name} {int(numbers.min())} is negative", "check the column")
            ids[name] = numbers
        # numbers that only count the rows are none, but for who wrote them as event numbers
        counted = np.array_equal(ids["event"], np.arange(start, stop)) and not ids["run"].any()
        return None if not present or (counted and not self._own) else ids


def write(digis: Digis, path: Path) -> None:
    """Write digis with one row an event; events without digis, event numbers, flags and a
    detector of one's own all come back.
    """
    import awkward as ak
    import uproot

    fields: dict[str, NDArray[Any]] = {"detId": digis.detid, "row": digis.row}
    fields |= {"col": digis.col, "adc": digis.adc}
    if digis.flag is not None:
        fields["flag"] = digis.flag.astype(np.uint8)

    def part(start: int, stop: int) -> dict[str, Any]:
        counts = np.diff(digis.offsets[start : stop + 1])
        content = slice(int(digis.offsets[start]), int(digis.offsets[stop]))
        columns = {name: ak.unflatten(values[content], counts) for name, values in fields.items()}
        if digis.event_id is not None:
            columns |= {n: digis.event_id[n][start:stop] for n in EVENT_ID.names or ()}
        return columns

    # a handle, because uproot would read a ':' in the path as a protocol
    with path.open("w+b") as handle, uproot.recreate(handle, compression=uproot.ZSTD(5)) as file:
        # from its form alone: ROOT refuses clusters without rows
        form = ak.zip({n: ak.Array(v) for n, v in part(0, 0).items()}, depth_limit=1).layout.form
        table = file.mkrntuple(_NAME, form)
        start = 0
        while start < len(digis):
            stop = int(
                np.searchsorted(digis.offsets, digis.offsets[start] + _CLUSTER_DIGIS, "right")
            )
            stop = min(max(stop - 1, start + 1), start + _CLUSTER_EVENTS, len(digis))
            table.extend(part(start, stop))
            start = stop
        file[_ABOUT] = json.dumps({"version": 1, "detector": digis.detector.to_json()})
