"""HDF5: what `write` makes, and plain tables with event, detid, row, col, adc.

pixlab's own file is laid out as its NumPy archive: datasets ``event, detid, row, col, adc``, one
number a digi, ``offsets`` (first digi of each event) and, where known, ``flag``, ``run``, ``lumi``
and ``event_number``; the attribute ``pixlab`` of the file is JSON with the detector. Everything is
packed with zlib and has checksums.

A plain table is a group with one dataset a column, or one compound dataset, anywhere in the file.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixlab.digis import EVENT_ID, Digis
from pixlab.errors import FormatError, PixlabError
from pixlab.io.events import Columns, EventReader, How, described_by, no_branch
from pixlab.io.files import DAMAGED, NotHere
from pixlab.io.h5disk import Disk
from pixlab.io.h5file import MAGIC, H5File
from pixlab.io.names import COLUMNS, canonical, check_type, match_columns
from pixlab.io.rows import RowsReader
from pixlab.io.source import Bytes

__all__ = ["open_hdf5", "sniff", "write"]

_ABOUT = "pixlab"
_NUMBERS = {"run": "run", "lumi": "lumi", "event": "event_number"}  # EVENT_ID field -> dataset
_CHUNK = 1 << 16  # rows
_NEEDED = {"event", "row", "col", "adc"}


def sniff(head: bytes) -> bool:
    """Whether a file that begins so is HDF5."""
    return head.startswith(MAGIC)


def open_hdf5(source: Bytes, how: How) -> RowsReader | OwnReader:
    """Open a table of digis; ``how.branch`` is (a unique part of) its name among several."""
    file = H5File.of(source)
    if _ABOUT in file.file.attrs:
        no_branch(how, f"{source}: a file that pixlab wrote")
        return OwnReader(file, how)
    return _plain(file, how)


def _plain(file: H5File, how: How) -> RowsReader:
    wanted = how.branch
    fit = [n for n, t in file.tables.items() if {canonical(c) for c in t}.issuperset(_NEEDED)]
    names = [n for n in fit if wanted in (None, n)] or [n for n in fit if wanted and wanted in n]
    if not fit and len(file.tables) == 1:  # the error says which column is missing
        match_columns(list(*file.tables.values()), f"the table '{next(iter(file.tables))}'")
    if not fit:
        raise NotHere(
            f"{file} holds no table of digis",
            f"digis need the columns {', '.join(COLUMNS)}, in one group or compound dataset",
            file.describe,
        )
    if len(names) != 1:
        raise PixlabError(
            f"{file} has {len(fit)} tables of digis, {len(names)} of them like '{wanted or ''}'",
            f"choose one with branch=: {', '.join(fit)}",
        )
    table = file.tables[names[0]]
    found = match_columns(list(table), f"the table '{names[0]}'", how.detector)
    datasets = {column: table[name] for column, name in found.items()}
    rows = len(datasets["event"]) if datasets["event"].shape else 0
    for column, dataset in datasets.items():
        file.check(found[column], dataset)
        kind = dataset.dtype[found[column]] if dataset.dtype.names else dataset.dtype
        check_type(column, kind)
        if len(dataset) != rows:
            raise FormatError(f"column '{column}' has {len(dataset)} rows, 'event' has {rows}")

    def part(column: str, start: int, stop: int) -> NDArray[Any]:
        dataset, name = datasets[column], found[column]
        return (dataset.fields(name) if dataset.dtype.names else dataset)[start:stop]

    return RowsReader(rows, part, set(found), how)


class OwnReader(EventReader):
    """Events of a file that `write` made."""

    def __init__(self, file: H5File, how: How) -> None:
        try:
            described = described_by(how, json.loads(file.file.attrs[_ABOUT])["detector"])
        except (ValueError, KeyError, TypeError) as error:
            raise FormatError("the detector's description is damaged", DAMAGED) from error
        super().__init__(how, described)
        self._table = file.tables.get("/", {})
        missing = {*COLUMNS[1:], "offsets"} - set(self._table)
        if missing:
            raise FormatError(f"it has no dataset {' or '.join(sorted(missing))}", DAMAGED)
        for name, dataset in self._table.items():
            file.check(name, dataset)
            check_type(name, dataset.dtype)
        rows, events = len(self._table["detid"]), len(self._table["offsets"]) - 1
        self._numbers = set(_NUMBERS.values()) <= set(self._table)
        expected = dict.fromkeys(set(self._table) & {*COLUMNS, "flag"}, rows)
        expected |= dict.fromkeys(_NUMBERS.values(), events) if self._numbers else {}
        for name, length in expected.items():
            if len(self._table[name]) != length:
                raise FormatError(
                    f"'{name}' has {len(self._table[name])} entries, not {length}", DAMAGED
                )
        self._offsets = self._table["offsets"][:].astype(np.int64)
        if events < 0 or self._offsets[0] or self._offsets[-1] != rows:
            raise FormatError("'offsets' does not fit the digis", DAMAGED)
        if (np.diff(self._offsets) < 0).any():
            raise FormatError("'offsets' does not rise", DAMAGED)
        self.count = events

    def columns(self, start: int, stop: int) -> Columns:
        """The events `start` to `stop`."""
        part = slice(int(self._offsets[start]), int(self._offsets[stop]))
        ids = None
        if self._numbers:
            ids = np.zeros(stop - start, EVENT_ID)
            for field, name in _NUMBERS.items():
                ids[field] = self._table[name][start:stop]
        digis = {name: self._table[name][part] for name in COLUMNS[1:]}
        return Columns(
            np.diff(self._offsets[start : stop + 1]),
            digis["detid"],
            digis["row"],
            digis["col"],
            digis["adc"],
            self._table["flag"][part] if "flag" in self._table else None,
            ids,
        )


def write(groups: Iterable[Digis], path: Path) -> None:
    """Write digis with one number a digi and column; events without digis, event numbers, flags
    and a detector of one's own all come back.
    """
    import h5py

    # from version 1.10 on HDF5 has checksums of its own records, too
    with Disk(path) as disk:
        with h5py.File(disk, "w", libver=("v110", "v110")) as file:
            _write(groups, file, disk)
        disk.check()


def _write(groups: Iterable[Digis], file: Any, disk: Disk) -> None:
    events = digis = 0
    for group in groups:
        if _ABOUT not in file.attrs:
            about = {"version": 1, "detector": group.detector.to_json()}
            file.attrs.create(_ABOUT, np.bytes_(json.dumps(about).encode()))
        arrays: dict[str, NDArray[Any]] = {
            "event": group.event + events,
            **{name: getattr(group, name) for name in COLUMNS[1:]},
            "offsets": group.offsets[(events > 0) :] + digis,
        }
        if group.flag is not None:
            arrays["flag"] = group.flag.astype(np.uint8)
        if group.event_id is not None:
            arrays |= {name: group.event_id[field] for field, name in _NUMBERS.items()}
        for name, values in arrays.items():
            _append(file, name, values)
        disk.check()
        events, digis = events + len(group), digis + group.n_digis


def _append(file: Any, name: str, values: NDArray[Any]) -> None:
    """Make a dataset longer, or begin it."""
    if name not in file:
        options = {"compression": "gzip", "compression_opts": 4, "shuffle": True}
        file.create_dataset(
            name, data=values, maxshape=(None,), chunks=(_CHUNK,), fletcher32=True, **options
        )
        return
    old = len(file[name])
    file[name].resize((old + len(values),))
    file[name][old:] = values
