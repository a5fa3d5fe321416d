"""Flat ROOT trees of digis, as CMS users' dump modules write them.

A tree (``digiTree``, anywhere in the file, or any other with the columns) has ``event, detId, row,
col, adc``: numbers with one row a digi, or one row an event with the last four as arrays
(``row[n]`` or ``std::vector``). What pixlab writes has one row a digi, and beside the tree a
string ``pixlab`` (number of events and detector) and, where event numbers are known, a tree
``digiTreeEvents``: both are optional, and other readers need neither.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixlab.detectors import Detector
from pixlab.digis import EVENT_ID, Digis
from pixlab.errors import FormatError, PixlabError
from pixlab.io.baskets import Baskets
from pixlab.io.files import DAMAGED, NotHere, clip
from pixlab.io.root import MAGIC, RootFile
from pixlab.io.rows import COLUMNS, RowsReader, build, check_integers, match_columns

__all__ = ["open_tree", "sniff", "write"]

_TREE, _EVENTS, _ABOUT = "digiTree", "digiTreeEvents", "pixlab"
_CHUNK = 1 << 20  # rows written in one go


def sniff(head: bytes) -> bool:
    """Whether a file that begins so may hold a tree of digis."""
    return head.startswith(MAGIC)


def open_tree(
    path: Path, *, branch: str | None = None, detector: str | Detector | None = None
) -> RowsReader | ArraysReader:
    """Open the tree with digis; `branch` is (a unique part of) its name where there are several."""
    file = RootFile(path)
    try:
        return _open(file, branch, detector)
    except BaseException:
        file.close()
        raise


def _open(
    file: RootFile, wanted: str | None, detector: str | Detector | None
) -> RowsReader | ArraysReader:
    name = _choose(file, wanted)
    tree = file.tree(name)
    found = match_columns([str(b.name) for b in tree.branches], f"the tree '{name}'")
    branches = {str(b.name): b for b in tree.branches}
    columns = {column: _Column(file, column, branches[real]) for column, real in found.items()}
    rows = int(tree.member("fEntries"))
    for column in columns.values():
        if column.baskets.entries != rows:
            raise FormatError(f"column '{column.name}' has another length than its tree", DAMAGED)
    n_events, event_id = None, None
    if name == _TREE:  # only pixlab's own has something beside it
        about = _about(file)
        n_events = about.get("events")
        event_id = _event_numbers(file) if _EVENTS in file.trees else None
        detector = about.get("detector") if detector is None else detector
    jagged = {c for c in columns if columns[c].jagged}
    if jagged & {"event", "run", "lumi"} or len(jagged & set(COLUMNS)) not in (0, 4):
        raise FormatError(
            f"the tree '{name}' mixes arrays ({', '.join(sorted(jagged))}) and numbers",
            "write all of detId, row, col, adc as arrays, or none, and event as a number",
        )
    if jagged:
        return ArraysReader(rows, columns, detector, file.close)
    return RowsReader(
        rows,
        lambda column, start, stop: columns[column].numbers(start, stop),
        set(columns),
        close=file.close,
        n_events=n_events,
        labels=True,
        detector=detector,
        event_id=event_id,
    )


def _choose(file: RootFile, wanted: str | None) -> str:
    """Name of the tree with digis."""
    fit = []
    for name in file.trees:
        columns = {str(b.name).lower() for b in file.tree(name).branches}
        if name.rsplit("/", 1)[-1] == _TREE or columns.issuperset(COLUMNS):
            fit.append(name)
    matches = [n for n in fit if wanted in (None, n)] or [n for n in fit if wanted and wanted in n]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise PixlabError(
            f"{file.path} has digis in {len(matches)} trees: {', '.join(matches)}",
            "choose one with branch=, its name or any part that the others do not have",
        )
    if fit:
        raise PixlabError(
            f"{file.path} has no digis in a tree like '{wanted}'", f"choose one of {', '.join(fit)}"
        )
    raise NotHere(
        f"{file.path} holds no pixel digis: {file.describe()}",
        f"pixlab reads CMS EDM branches of PixelDigi, and trees with the columns {', '.join(COLUMNS)}",
    )


class _Column:
    """One branch of the tree as integers, one or several an entry."""

    def __init__(self, file: RootFile, name: str, branch: Any) -> None:
        import uproot

        self.name = name
        kind = branch.interpretation
        self.jagged = isinstance(kind, uproot.interpretation.jagged.AsJagged)
        content = kind.content if self.jagged else kind
        if type(content) is not uproot.interpretation.numerical.AsDtype or content.inner_shape:
            raise FormatError(
                f"column '{branch.name}' holds {branch.typename}, whole numbers are needed",
                "write the column as integers",
            )
        self._dtype = content.from_dtype
        check_integers(name, self._dtype)
        self._header = kind.header_bytes if self.jagged else 0
        item = None if self.jagged else self._dtype.itemsize
        self.baskets = Baskets(file.source, branch, item)

    def numbers(self, start: int, stop: int) -> NDArray[Any]:
        """One number an entry."""
        parts = [np.zeros(0, self._dtype.newbyteorder("="))]
        for data, offsets, _ in self.baskets.pieces(start, stop):
            parts.append(self._convert(data[offsets[0] : offsets[-1]]))
        return np.concatenate(parts[1:] or parts)

    def arrays(self, start: int, stop: int) -> tuple[NDArray[np.int64], NDArray[Any]]:
        """How many numbers each entry has, and all numbers."""
        counts, parts = [np.zeros(0, np.int64)], [np.zeros(0, self._dtype.newbyteorder("="))]
        for data, offsets, first in self.baskets.pieces(start, stop):
            length = np.diff(offsets) - self._header
            bad = (length < 0) | (length % self._dtype.itemsize != 0)
            if bad.any():
                entry = first + int(np.flatnonzero(bad)[0])
                raise FormatError(f"event {entry}: column '{self.name}' is damaged", DAMAGED)
            content = data[offsets[0] : offsets[-1]]
            if self._header:  # of each std::vector
                keep = np.ones(len(content), bool)
                begin = offsets[:-1] - offsets[0]
                keep[(begin[:, None] + np.arange(self._header)).ravel()] = False
                content = content[keep]
            counts.append(length // self._dtype.itemsize)
            parts.append(self._convert(content))
        return np.concatenate(counts), np.concatenate(parts)

    def _convert(self, content: NDArray[np.uint8]) -> NDArray[Any]:
        return np.frombuffer(content.tobytes(), self._dtype).astype(self._dtype.newbyteorder("="))


class ArraysReader:
    """Events of a tree with one row an event."""

    def __init__(
        self,
        rows: int,
        columns: dict[str, _Column],
        detector: str | Detector | None,
        close: Callable[[], None],
    ) -> None:
        self.count = rows
        self._columns, self._detector, self.close = columns, detector, close

    def read(self, start: int, stop: int) -> Digis:
        """The digis of events `start` to `stop` (or to the last one)."""
        start, stop = clip(start, stop, self.count)
        parts = {k: c.arrays(start, stop) for k, c in self._columns.items() if c.jagged}
        counts = parts["row"][0]
        for name, (other, _) in parts.items():
            if not np.array_equal(other, counts):
                entry = start + int(np.flatnonzero(other != counts)[0])
                raise FormatError(f"event {entry}: column '{name}' has another length than 'row'")
        values = {name: parts[name][1] for name in COLUMNS[1:]}
        flag = parts["flag"][1] if "flag" in parts else None
        ids = np.zeros(stop - start, EVENT_ID)
        for name in EVENT_ID.names or ():
            if name in self._columns:
                ids[name] = _natural(name, self._columns[name].numbers(start, stop))
        counted = np.array_equal(ids["event"], np.arange(start, stop)) and not ids["run"].any()
        return build(counts, values, flag, None if counted else ids, self._detector, start)


def _natural(name: str, numbers: NDArray[Any]) -> NDArray[Any]:
    if len(numbers) and int(numbers.min()) < 0:
        raise FormatError(f"{name} {int(numbers.min())} is negative", "check the column")
    return numbers


# -- what pixlab keeps beside the tree --------------------------------------------------------
def _about(file: RootFile) -> dict[str, Any]:
    """Number of events and detector, if pixlab wrote the file."""
    text = file.string(_ABOUT)
    if text is None:
        return {}
    try:
        about = json.loads(text)
        events, detector = about["events"], about["detector"]
        if type(events) is not int:
            raise TypeError("events is no number")
    except (ValueError, KeyError, TypeError) as error:
        raise FormatError(f"its description '{_ABOUT}' is damaged ({error})", DAMAGED) from error
    return {"events": events, "detector": Detector.from_json(detector)}


def _event_numbers(file: RootFile) -> NDArray[Any]:
    tree = file.tree(_EVENTS)
    rows = int(tree.member("fEntries"))
    branches = {str(b.name): b for b in tree.branches}
    columns = {}
    for name in EVENT_ID.names or ():
        if name not in branches:
            raise FormatError(f"the tree '{_EVENTS}' has no column '{name}'", DAMAGED)
        columns[name] = _natural(name, _Column(file, name, branches[name]).numbers(0, rows))
    ids = np.zeros(len(columns["run"]), EVENT_ID)
    for name, values in columns.items():
        ids[name] = values
    return ids


def write(digis: Digis, path: Path) -> None:
    """Write digis as a flat tree: event, detId, row, col, adc (and flag), one row a digi.

    ``event`` counts from 0. Columns are 32-bit integers as in CMS users' dumps; ``detId`` is
    unsigned only where an id needs it. Events without digis have no row: pixlab finds them again
    from the string ``pixlab`` beside the tree, other readers miss those at the end.
    """
    import uproot

    wide = digis.n_digis > 0 and int(digis.detid.max()) > 0x7FFFFFFF
    types = {"event": "int32", "detId": "uint32" if wide else "int32"}
    types |= {"row": "int32", "col": "int32", "adc": "int32"}
    if digis.flag is not None:
        types["flag"] = "bool"
    event = digis.event
    # a handle, because uproot would read a ':' in the path as a protocol
    with path.open("w+b") as handle, uproot.recreate(handle, compression=uproot.ZLIB(1)) as file:
        tree = file.mktree(_TREE, types)
        for first in range(0, digis.n_digis, _CHUNK):
            part = slice(first, first + _CHUNK)
            values = {name: getattr(digis, name.lower())[part] for name in types if name != "event"}
            values["event"] = event[part]
            tree.extend({name: values[name].astype(kind) for name, kind in types.items()})
        if digis.event_id is not None:
            kinds = {name: digis.event_id.dtype[name] for name in digis.event_id.dtype.names or ()}
            numbers = file.mktree(_EVENTS, kinds)
            if len(digis):
                numbers.extend({name: digis.event_id[name] for name in kinds})
        about = {"events": len(digis), "detector": digis.detector.to_json()}
        file[_ABOUT] = json.dumps(about)
