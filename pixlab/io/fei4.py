"""Hits of the FE-I4 chip as pyBAR writes them: HDF5 tables ``Hits`` or ``ClusterHits`` of PyTables.

Columns and rows of the chip count from 1 (80 columns, 336 rows); here from 0. The count is ``tot``.
Each different ``event_number`` is an event and is kept in `Digis.event_id`; a line of column 0 and
row 0 says that the event has no hits. A pixel that fires twice in one trigger's window is one digi
with the sum of its counts, 15 at most. The tables are packed with Blosc, which needs hdf5plugin:
``pip install 'pixlab[fei4]'``.

They are read with h5py and not with PyTables, which unpickles what it finds in a file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixlab.detectors import Detector
from pixlab.detectors.chips import FEI4_ID
from pixlab.digis import EVENT_ID, Digis
from pixlab.errors import FormatError, PixlabError
from pixlab.io.files import NotHere, clip
from pixlab.io.h5file import MAGIC, H5File
from pixlab.io.rows import build, check_integers

__all__ = ["Fei4Reader", "sniff"]

_COLUMNS = ("event_number", "column", "row", "tot")
_NODES = ("Hits", "ClusterHits")  # in the order of preference: the same hits, the second regrouped
_ROWS = 1 << 20  # event numbers looked at in one go


def sniff(head: bytes) -> bool:
    """Whether a file that begins so is HDF5."""
    return head.startswith(MAGIC)


class Fei4Reader:
    """Events of a table of hits.

    Parameters
    ----------
    path : Path
        The file.
    branch : str, optional
        Name of the table. Default: ``Hits``, or else ``ClusterHits``.
    detector : str or Detector, optional
        Another detector with a module of the same id.
    """

    def __init__(
        self, path: Path, *, branch: str | None = None, detector: str | Detector | None = None
    ) -> None:
        file = H5File(path)
        self.close = file.close
        try:
            self._table = _choose(file, branch)
            numbers, starts = self._index()
        except BaseException:
            self.close()
            raise
        self._detector = "fei4" if detector is None else detector
        self.count = len(numbers)
        self._starts = np.append(starts, len(self._table))
        self._event_id = np.zeros(len(numbers), EVENT_ID)
        self._event_id["event"] = numbers

    def _index(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The event numbers and the first row of each."""
        column = self._table.fields("event_number")
        numbers, starts = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        before = -1
        for first in range(0, len(self._table), _ROWS):
            event = column[first : first + _ROWS].astype(np.int64)
            step = np.diff(event, prepend=before)
            if event.min() < 0 or (step < 0).any():
                i = int(np.argmax((step < 0) | (event < 0)))
                raise FormatError(
                    f"row {first + i}: event {event[i]} is negative or behind a later one",
                    "sort the table by event_number",
                )
            at = np.flatnonzero(step)
            numbers.append(event[at])
            starts.append(at + first)
            before = int(event[-1])
        return np.concatenate(numbers), np.concatenate(starts)

    def read(self, start: int, stop: int) -> Digis:
        """The digis of events `start` to `stop` (or to the last one)."""
        start, stop = clip(start, stop, self.count)
        begin = self._starts[start : stop + 1]
        hits = self._table[int(begin[0]) : int(begin[-1])]
        row, col = hits["row"].astype(np.int64) - 1, hits["column"].astype(np.int64) - 1
        keep = (row >= 0) | (col >= 0)
        before = np.append(0, np.cumsum(keep))
        values = {"row": row[keep], "col": col[keep], "adc": hits["tot"][keep]}
        values["detid"] = np.full(len(values["row"]), FEI4_ID)
        counts = np.diff(before[begin - begin[0]])
        ids = self._event_id[start:stop]
        return build(counts, values, None, ids, self._detector, start, "sum")


def _choose(file: H5File, wanted: str | None) -> Any:
    """The table of hits."""
    fit = {
        name: table
        for name, table in file.tables.items()
        if name.rsplit("/", 1)[-1] in _NODES and set(_COLUMNS) <= set(table)
    }
    if not fit:
        raise NotHere(
            f"{file.path} has no hits of an FE-I4: {file.describe()}",
            f"a table {' or '.join(_NODES)} needs the columns {', '.join(_COLUMNS)}",
        )
    names = [n for n in fit if wanted in (None, n)] or [n for n in fit if wanted and wanted in n]
    if not names:
        raise PixlabError(
            f"{file.path} has no hits in a table like '{wanted}'", f"choose one of {', '.join(fit)}"
        )
    name = min(names, key=lambda n: (_NODES.index(n.rsplit("/", 1)[-1]), n))
    dataset = fit[name]["tot"]
    file.check(name, dataset)
    for column in _COLUMNS:
        check_integers(column, dataset.dtype[column])
    return dataset
