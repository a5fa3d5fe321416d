"""HDF5: what `write` makes, and plain tables with event, detid, row, col, adc.

pixlab's own file is laid out as its NumPy archive: datasets ``event, detid, row, col, adc``, one
number a digi, ``offsets`` (first digi of each event) and, where known, ``flag``, ``run``, ``lumi``
and ``event_number``; the attribute ``pixlab`` of the file is JSON with the detector. Everything is
packed with zlib and has checksums.

A plain table is a group with one dataset a column, or one compound dataset, anywhere in the file.
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
from pixlab.io.files import DAMAGED, NotHere, clip
from pixlab.io.h5file import MAGIC, H5File
from pixlab.io.rows import COLUMNS, RowsReader, build, check_integers, match_columns

__all__ = ["open_hdf5", "sniff", "write"]

_ABOUT = "pixlab"
_NUMBERS = {"run": "run", "lumi": "lumi", "event": "event_number"}  # EVENT_ID field -> dataset
_CHUNK = 1 << 16  # rows


def sniff(head: bytes) -> bool:
    """Whether a file that begins so is HDF5."""
    return head.startswith(MAGIC)


def open_hdf5(
    path: Path, *, branch: str | None = None, detector: str | Detector | None = None
) -> RowsReader | OwnReader:
    """Open a table of digis; `branch` is (a unique part of) its name where there are several."""
    file = H5File(path)
    try:
        if _ABOUT in file.file.attrs:
            if branch is not None:
                raise PixlabError(f"{path} has one table of digis", "leave branch= out")
            return OwnReader(file, detector)
        return _plain(file, branch, detector)
    except BaseException:
        file.close()
        raise


def _plain(file: H5File, wanted: str | None, detector: str | Detector | None) -> RowsReader:
    fit = [n for n, t in file.tables.items() if {c.lower() for c in t}.issuperset(COLUMNS)]
    names = [n for n in fit if wanted in (None, n)] or [n for n in fit if wanted and wanted in n]
    if not fit and len(file.tables) == 1:  # the error says which column is missing
        match_columns(list(*file.tables.values()), f"the table '{next(iter(file.tables))}'")
    if not fit:
        raise NotHere(
            f"{file.path} holds no table of digis: {file.describe()}",
            f"digis need the columns {', '.join(COLUMNS)}, in one group or compound dataset",
        )
    if len(names) != 1:
        raise PixlabError(
            f"{file.path} has {len(fit)} tables of digis, {len(names)} of them like '{wanted or ''}'",
            f"choose one with branch=: {', '.join(fit)}",
        )
    table = file.tables[names[0]]
    found = match_columns(list(table), f"the table '{names[0]}'")
    datasets = {column: table[name] for column, name in found.items()}
    rows = len(datasets["event"]) if datasets["event"].shape else 0
    for column, dataset in datasets.items():
        file.check(found[column], dataset)
        kind = dataset.dtype[found[column]] if dataset.dtype.names else dataset.dtype
        check_integers(column, kind)
        if len(dataset) != rows:
            raise FormatError(f"column '{column}' has {len(dataset)} rows, 'event' has {rows}")

    def part(column: str, start: int, stop: int) -> NDArray[Any]:
        dataset, name = datasets[column], found[column]
        return (dataset.fields(name) if dataset.dtype.names else dataset)[start:stop]

    return RowsReader(rows, part, set(found), close=file.close, labels=True, detector=detector)


class OwnReader:
    """Events of a file that `write` made."""

    def __init__(self, file: H5File, detector: str | Detector | None) -> None:
        self._table = file.tables.get("/", {})
        missing = {*COLUMNS[1:], "offsets"} - set(self._table)
        if missing:
            raise FormatError(f"it has no dataset {' or '.join(sorted(missing))}", DAMAGED)
        for name, dataset in self._table.items():
            file.check(name, dataset)
            check_integers(name, dataset.dtype)
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
        self._detector = detector
        self.close = file.close
        if detector is None:
            try:
                about = json.loads(file.file.attrs[_ABOUT])
                self._detector = Detector.from_json(about["detector"])
            except (ValueError, KeyError, TypeError) as error:
                raise FormatError("the detector's description is damaged", DAMAGED) from error

    def read(self, start: int, stop: int) -> Digis:
        """The digis of events `start` to `stop` (or to the last one)."""
        start, stop = clip(start, stop, self.count)
        part = slice(int(self._offsets[start]), int(self._offsets[stop]))
        ids = None
        if self._numbers:
            ids = np.zeros(stop - start, EVENT_ID)
            for field, name in _NUMBERS.items():
                ids[field] = self._table[name][start:stop]
        return build(
            np.diff(self._offsets[start : stop + 1]),
            {name: self._table[name][part] for name in COLUMNS[1:]},
            self._table["flag"][part] if "flag" in self._table else None,
            ids,
            self._detector,
            start,
        )


def write(digis: Digis, path: Path) -> None:
    """Write digis with one number a digi and column; events without digis, event numbers, flags
    and a detector of one's own all come back.
    """
    import h5py

    arrays: dict[str, NDArray[Any]] = {
        "event": digis.event,
        **{name: getattr(digis, name) for name in COLUMNS[1:]},
        "offsets": digis.offsets,
    }
    if digis.flag is not None:
        arrays["flag"] = digis.flag.astype(np.uint8)
    if digis.event_id is not None:
        arrays |= {name: digis.event_id[field] for field, name in _NUMBERS.items()}
    # from version 1.10 on HDF5 has checksums of its own records, too
    with h5py.File(path, "w", libver=("v110", "v110")) as file:
        about = {"version": 1, "detector": digis.detector.to_json()}
        file.attrs.create(_ABOUT, np.bytes_(json.dumps(about).encode()))
        for name, values in arrays.items():
            options: dict[str, Any] = {}
            if len(values):
                options = {"chunks": (min(_CHUNK, len(values)),), "compression": "gzip"}
                options |= {"compression_opts": 4, "shuffle": True, "fletcher32": True}
            file.create_dataset(name, data=values, **options)
