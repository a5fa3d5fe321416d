"""Hits of the FE-I4 chip as pyBAR writes them: HDF5 tables ``Hits`` or ``ClusterHits`` of PyTables.

Columns and rows of the chip count from 1 (80 columns, 336 rows); here from 0. The count is ``tot``.
Each different ``event_number`` is an event and is kept in `Digis.event_id`; a line of column 0 and
row 0 says that the event has no hits. A pixel that fires twice in one trigger's window is one digi
with the sum of its counts, 15 at most. The tables are packed with Blosc, which needs hdf5plugin:
``pip install 'pixlab[fei4]'``.

They are read with h5py and not with PyTables, which unpickles what it finds in a file.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixlab.detectors import get_detector
from pixlab.detectors.chips import FEI4_ID
from pixlab.digis import EVENT_ID
from pixlab.errors import FormatError, PixlabError
from pixlab.io.events import Columns, EventReader, How
from pixlab.io.files import NotHere
from pixlab.io.h5file import MAGIC, H5File
from pixlab.io.names import check_type
from pixlab.io.source import Bytes

__all__ = ["Fei4Reader", "sniff"]

_COLUMNS = ("event_number", "column", "row")
_COUNTS = (
    "tot",
    "charge",
)  # of pyBAR, of the telescope analysis that SiLab-Bonn makes of its tables
_NODES = ("Hits", "ClusterHits")  # in the order of preference: the same hits, the second regrouped
_ROWS = 1 << 20  # event numbers looked at in one go


def sniff(head: bytes) -> bool:
    """Whether a file that begins so is HDF5."""
    return head.startswith(MAGIC)


class Fei4Reader(EventReader):
    """Events of a table of hits.

    Parameters
    ----------
    source : Bytes
        The file.
    how : How
        ``branch`` is the name of the table; default: ``Hits``, or else ``ClusterHits``.
    """

    def __init__(self, source: Bytes, how: How) -> None:
        super().__init__(how._replace(duplicates="sum"), get_detector("fei4"))
        self._table, self._count = _choose(H5File.of(source), how.branch)
        numbers, starts = self._index()
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

    def columns(self, start: int, stop: int) -> Columns:
        """The events `start` to `stop`."""
        begin = self._starts[start : stop + 1]
        hits = self._table[int(begin[0]) : int(begin[-1])]
        row, col = hits["row"].astype(np.int64) - 1, hits["column"].astype(np.int64) - 1
        keep = (row >= 0) | (col >= 0)
        before = np.append(0, np.cumsum(keep))
        count = hits[self._count]
        return Columns(
            np.diff(before[begin - begin[0]]),
            np.full(int(keep.sum()), FEI4_ID),
            row[keep],
            col[keep],
            count[keep],
            None,
            self._event_id[start:stop],
        )


def _choose(file: H5File, wanted: str | None) -> tuple[Any, str]:
    """The table of hits, and the name of its column of counts."""
    fit = {
        name: (table, count)
        for name, table in file.tables.items()
        for count in _COUNTS
        if name.rsplit("/", 1)[-1] in _NODES and {*_COLUMNS, count} <= set(table)
    }
    if not fit:
        raise NotHere(
            f"{file} has no hits of an FE-I4",
            f"a table {' or '.join(_NODES)} needs the columns {', '.join(_COLUMNS)} and "
            f"{' or '.join(_COUNTS)}",
            file.describe,
        )
    names = [n for n in fit if wanted in (None, n)] or [n for n in fit if wanted and wanted in n]
    if not names:
        raise PixlabError(
            f"{file} has no hits in a table like '{wanted}'", f"choose one of {', '.join(fit)}"
        )
    name = min(names, key=lambda n: (_NODES.index(n.rsplit("/", 1)[-1]), n))
    table, count = fit[name]
    dataset = table[count]
    file.check(name, dataset)
    for column in (*_COLUMNS, count):
        check_type(column, dataset.dtype[column])
    return dataset, count
