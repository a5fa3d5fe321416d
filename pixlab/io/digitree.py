"""Flat ROOT trees of digis, as CMS users' dump modules write them.

A tree (``digiTree``, anywhere in the file, or any other with the columns) has ``event, detId, row,
col, adc`` (or other spellings, `pixlab.io.names`): numbers with one row a digi, or one row an event
with the last four as arrays (``row[n]`` or ``std::vector``). Columns may also be leaves of one
branch, as of PhaseIPixelNtuplizer: ``digi`` with the leaves ``i:row:col:adc``.

What pixlab writes has one row a digi, and beside the tree a string ``pixlab`` (number of events and
detector) and, where event numbers are known, a tree ``digiTreeEvents``: both are optional, and
other readers need neither.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixlab.detectors import Detector
from pixlab.digis import EVENT_ID, Digis
from pixlab.errors import FormatError, PixlabError
from pixlab.io.columns import Column, columns_of
from pixlab.io.edm import NO_DIGIS
from pixlab.io.events import Columns, EventReader, How, described_by
from pixlab.io.files import DAMAGED, NotHere
from pixlab.io.names import COLUMNS, canonical, match_columns
from pixlab.io.root import MAGIC, RootFile
from pixlab.io.rows import RowsReader, natural
from pixlab.io.source import Bytes

__all__ = ["open_tree", "sniff", "write"]

_TREE, _EVENTS, _ABOUT = "digiTree", "digiTreeEvents", "pixlab"


def sniff(head: bytes) -> bool:
    """Whether a file that begins so may hold a tree of digis."""
    return head.startswith(MAGIC)


def open_tree(source: Bytes, how: How) -> RowsReader | ArraysReader:
    """Open the tree with digis; ``how.branch`` is (a unique part of) its name among several."""
    file = RootFile.of(source)
    name = _choose(file, how.branch)
    tree = file.tree(name)
    places = columns_of(tree)
    numbered = any(places[n].jagged for n in places if canonical(n) in ("row", "col", "adc"))
    found = match_columns(list(places), f"the tree '{name}'", how.detector, numbered=numbered)
    rows = int(tree.member("fEntries"))
    columns = {
        column: Column(source, places[real], entry="event" if numbered else "row")
        for column, real in found.items()
    }
    for column in columns.values():
        if column.baskets.entries != rows:
            raise FormatError(f"column '{column.name}' has another length than its tree", DAMAGED)
    n_events, event_id, described = None, None, None
    if name == _TREE:  # only pixlab's own has something beside it
        n_events, described = _about(file, how)
        event_id = _event_numbers(file) if _EVENTS in file.trees else None
    jagged = {c for c in columns if columns[c].jagged}
    if jagged & {"event", "run", "lumi"} or (jagged and {"row", "col", "adc"} - jagged):
        raise FormatError(
            f"the tree '{name}' mixes arrays ({', '.join(sorted(jagged))}) and numbers",
            "write all of detId, row, col, adc as arrays, or none, and event as a number",
        )
    if jagged:
        return ArraysReader(rows, columns, how)
    return RowsReader(
        rows,
        lambda column, start, stop: columns[column].numbers(start, stop),
        set(columns),
        how,
        described=described,
        n_events=n_events,
        event_id=event_id,
    )


def _choose(file: RootFile, wanted: str | None) -> str:
    """Name of the tree with digis."""
    fit = []
    for name in file.trees:
        # what other trees of a file have in common with digis, such as clusters with a row, is less
        if name.rsplit("/", 1)[-1] == _TREE or _has_digis(file.tree(name)):
            fit.append(name)
    matches = [n for n in fit if wanted in (None, n)] or [n for n in fit if wanted and wanted in n]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise PixlabError(
            f"{file} has digis in {len(matches)} trees: {', '.join(matches)}",
            "choose one with branch=, its name or any part that the others do not have",
        )
    if fit:
        raise PixlabError(
            f"{file} has no digis in a tree like '{wanted}'", f"choose one of {', '.join(fit)}"
        )
    raise NotHere(
        f"{file} holds no pixel digis",
        NO_DIGIS
        if "Events" in file.trees
        else f"a tree of digis has the columns {', '.join(COLUMNS)}",
        file.describe,
    )


def _has_digis(tree: Any) -> bool:
    """Whether all that makes a digi is among the columns, under any spelling."""
    ours = {canonical(name) for name in columns_of(tree)}
    return ours.issuperset({"row", "col", "adc"}) and bool(ours & {"event", "detid"})


class ArraysReader(EventReader):
    """Events of a tree with one row an event."""

    def __init__(self, rows: int, columns: dict[str, Column], how: How) -> None:
        super().__init__(how)
        self.count = rows
        self._columns = columns

    def columns(self, start: int, stop: int) -> Columns:
        """The events `start` to `stop`."""
        parts = {k: c.arrays(start, stop) for k, c in self._columns.items() if c.jagged}
        counts = parts["row"][0]
        for name, (other, _) in parts.items():
            if not np.array_equal(other, counts):
                entry = start + int(np.flatnonzero(other != counts)[0])
                raise FormatError(f"event {entry}: column '{name}' has another length than 'row'")
        values = {name: values for name, (_, values) in parts.items()}
        if "detid" in self._columns and "detid" not in values:  # one module an event
            values["detid"] = np.repeat(self._columns["detid"].numbers(start, stop), counts)
        ids = np.zeros(stop - start, EVENT_ID)
        present = [name for name in EVENT_ID.names or () if name in self._columns]
        for name in present:
            ids[name] = natural(name, self._columns[name].numbers(start, stop))
        counted = np.array_equal(ids["event"], np.arange(start, stop)) and not ids["run"].any()
        return Columns(
            counts,
            values.get("detid"),
            values["row"],
            values["col"],
            values["adc"],
            values.get("flag"),
            None if counted or not present else ids,
        )


# -- what pixlab keeps beside the tree --------------------------------------------------------
def _about(file: RootFile, how: How) -> tuple[int | None, Detector | None]:
    """Number of events and detector, if pixlab wrote the file."""
    text = file.string(_ABOUT)
    if text is None:
        return None, None
    try:
        about = json.loads(text)
        events, detector = about["events"], about["detector"]
        if type(events) is not int:
            raise TypeError("events is no number")
    except (ValueError, KeyError, TypeError) as error:
        raise FormatError(f"its description '{_ABOUT}' is damaged ({error})", DAMAGED) from error
    return events, described_by(how, detector)


def _event_numbers(file: RootFile) -> NDArray[Any]:
    tree = file.tree(_EVENTS)
    rows = int(tree.member("fEntries"))
    places = columns_of(tree)
    columns = {}
    for name in EVENT_ID.names or ():
        if name not in places:
            raise FormatError(f"the tree '{_EVENTS}' has no column '{name}'", DAMAGED)
        columns[name] = natural(name, Column(file.source, places[name]).numbers(0, rows))
    ids = np.zeros(len(columns["run"]), EVENT_ID)
    for name, values in columns.items():
        ids[name] = values
    return ids


def write(groups: Iterable[Digis], path: Path) -> None:
    """Write digis as a flat tree: event, detId, row, col, adc (and flag), one row a digi.

    ``event`` counts from 0. Columns are 32-bit integers as in CMS users' dumps; ``detId`` is
    unsigned only where an id of the detector needs it. Events without digis have no row: pixlab
    finds them again from the string ``pixlab`` beside the tree, other readers miss those at the end.
    """
    import uproot

    parts = iter(groups)
    first = next(parts)
    wide = len(first.detector) > 0 and int(first.detector.detid[-1]) > 0x7FFFFFFF
    types = {"event": "int32", "detId": "uint32" if wide else "int32"}
    types |= {"row": "int32", "col": "int32", "adc": "int32"}
    if first.flag is not None:
        types["flag"] = "bool"
    kinds = {} if first.event_id is None else {n: EVENT_ID[n] for n in EVENT_ID.names or ()}
    events = 0
    # a handle, because uproot would read a ':' in the path as a protocol
    with path.open("w+b") as handle, uproot.recreate(handle, compression=uproot.ZLIB(1)) as file:
        tree = file.mktree(_TREE, types)
        numbers = file.mktree(_EVENTS, kinds) if kinds else None
        for group in chain([first], parts):
            if group.n_digis:
                values = {n: getattr(group, n.lower()) for n in types if n != "event"}
                values["event"] = group.event + events
                tree.extend({name: values[name].astype(kind) for name, kind in types.items()})
            if numbers is not None and len(group):
                assert group.event_id is not None  # as in the first group
                numbers.extend({name: group.event_id[name] for name in kinds})
            events += len(group)
        about = {"events": events, "detector": first.detector.to_json()}
        file[_ABOUT] = json.dumps(about)
