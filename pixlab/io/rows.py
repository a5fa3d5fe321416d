"""Tables of digis from elsewhere: columns event, detid, row, col, adc, one row a digi.

What a number in the column ``event`` means is nowhere said in such a file, so it is settled here,
for all formats alike:

- positions, where the file says how many events there are, or where there are no runs and the
  smallest number is 0 (and not absurdly many are missing): events are counted from 0, and a
  missing number is an event without digis;
- labels, elsewhere: each different number (of the same run and luminosity block) is an event, in
  the order in which they first appear, and is kept in `Digis.event_id`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixlab.detectors import Detector
from pixlab.digis import EVENT_ID
from pixlab.errors import FormatError
from pixlab.io.events import Columns, EventReader, How
from pixlab.io.files import DAMAGED
from pixlab.io.names import whole

__all__ = ["MAX_EMPTY", "RowsReader", "natural"]

_ROWS = 1 << 20  # rows of the event column looked at in one go
MAX_EMPTY = 10_000_000  # events without digis that a file may ask for (80 MB of offsets)

Column = Callable[[str, int, int], NDArray[Any]]


class RowsReader(EventReader):
    """Events of a table with one row a digi.

    Parameters
    ----------
    rows : int
        Number of rows.
    column : callable
        ``column(name, start, stop)`` gives a part of a column (names as in `COLUMNS`).
    present : set of str
        Columns that there are.
    how : How
        What was asked for.
    described : Detector, optional
        The detector that the file names.
    n_events : int, optional
        Number of events, where the file says: numbers are positions then.
    event_id : EVENT_ID[n_events], optional
        Event numbers kept beside the table.
    """

    def __init__(
        self,
        rows: int,
        column: Column,
        present: set[str],
        how: How,
        *,
        described: Detector | None = None,
        n_events: int | None = None,
        event_id: NDArray[Any] | None = None,
    ) -> None:
        super().__init__(how, described)
        self._rows, self._column, self._present = rows, column, present
        self._sorted: dict[str, NDArray[Any]] | None = None
        self._event_id = event_id
        labels, starts = self._groups()
        if n_events is None and not _positions(labels):
            self._by_label(labels, starts)
        else:
            self._by_position(labels["event"], starts, n_events)

    # -- which rows are an event ---------------------------------------------------------------
    def _groups(self) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Run, lumi and event of each run of rows of one event, and where these begin."""
        names = [n for n in EVENT_ID.names or () if n in self._present]
        labels, starts = [np.zeros(0, EVENT_ID)], [np.zeros(0, np.int64)]
        before: NDArray[Any] | None = None
        for first in range(0, self._rows, _ROWS):
            stop = min(first + _ROWS, self._rows)
            columns = {n: natural(n, self._part(n, first, stop)) for n in names}
            change = np.zeros(stop - first, bool)
            for values in columns.values():
                change[1:] |= values[1:] != values[:-1]
            here = np.zeros(1, EVENT_ID)
            for name, values in columns.items():
                here[name] = values[0]
            change[0] = before is None or here[0] != before
            at = np.flatnonzero(change)
            part = np.zeros(len(at), EVENT_ID)
            for name, values in columns.items():
                part[name] = values[at]
            before = part[-1] if len(at) else before
            labels.append(part)
            starts.append(at + first)
        return np.concatenate(labels), np.concatenate(starts)

    def _by_label(self, labels: NDArray[Any], starts: NDArray[np.int64]) -> None:
        distinct, first, which = np.unique(labels, return_index=True, return_inverse=True)
        order = np.argsort(first, kind="stable")
        self._event_id = distinct[order]
        self.count = len(distinct)
        rank: NDArray[np.int64] = np.empty(len(order), np.int64)
        rank[order] = np.arange(len(order))
        self._place(rank[which], starts)

    def _by_position(
        self, numbers: NDArray[Any], starts: NDArray[np.int64], n_events: int | None
    ) -> None:
        last = int(numbers.max()) + 1 if len(numbers) else 0
        most = len(np.unique(numbers)) + MAX_EMPTY
        if n_events is not None and not last <= n_events <= most:
            raise FormatError(
                f"there should be {n_events} events, the last one with digis is {last - 1}", DAMAGED
            )
        self.count = last if n_events is None else n_events
        if self._event_id is not None and len(self._event_id) != self.count:
            raise FormatError(f"{len(self._event_id)} event numbers for {self.count} events")
        self._place(numbers.astype(np.int64), starts)

    def _place(self, numbers: NDArray[np.int64], starts: NDArray[np.int64]) -> None:
        """Remember where the rows of each event are; `numbers` are those of the runs of rows."""
        stops = np.append(starts[1:], self._rows)
        in_pieces = len(np.unique(numbers)) < len(numbers)
        if in_pieces:  # all is held, and put in order
            rows = np.argsort(np.repeat(numbers, stops - starts), kind="stable")
            self._sorted = {n: self._column(n, 0, self._rows)[rows] for n in self._present}
        order = np.argsort(numbers, kind="stable")
        numbers, starts, stops = numbers[order], starts[order], stops[order]
        if in_pieces:
            sizes = stops - starts
            stops = np.cumsum(sizes, dtype=np.int64)
            starts = stops - sizes
        # events without digis have an empty run of rows
        self._begin = np.zeros(self.count, np.int64)
        self._end = np.zeros(self.count, np.int64)
        self._begin[numbers[::-1]] = starts[::-1]  # of pieces the first
        self._end[numbers] = stops  # and the last

    # -- reading -------------------------------------------------------------------------------
    def columns(self, start: int, stop: int) -> Columns:
        """The events `start` to `stop`."""
        counts = self._end[start:stop] - self._begin[start:stop]
        some = np.flatnonzero(counts) + start
        # one stretch of rows where events follow each other in the file, as they nearly always do
        breaks = np.flatnonzero(self._begin[some[1:]] != self._end[some[:-1]]) + 1
        pieces = [
            (int(self._begin[p[0]]), int(self._end[p[-1]]))
            for p in np.split(some, breaks)
            if len(p)
        ]

        def column(name: str) -> NDArray[Any]:
            parts = [self._part(name, first, last) for first, last in pieces or [(0, 0)]]
            return parts[0] if len(parts) == 1 else np.concatenate(parts)

        return Columns(
            counts,
            column("detid") if "detid" in self._present else None,
            column("row"),
            column("col"),
            column("adc"),
            column("flag") if "flag" in self._present else None,
            None if self._event_id is None else self._event_id[start:stop],
        )

    def _part(self, name: str, start: int, stop: int) -> NDArray[Any]:
        if self._sorted is not None:
            return self._sorted[name][start:stop]
        return self._column(name, start, stop)


def _positions(labels: NDArray[Any]) -> bool:
    """Whether numbers may be positions: without runs, from 0 on, and not too many are missing."""
    numbers = labels["event"]
    if not len(numbers):
        return True
    missing = int(numbers.max()) + 1 - len(np.unique(numbers))
    return not labels["run"].any() and int(numbers.min()) == 0 and missing <= MAX_EMPTY


def natural(name: str, values: NDArray[Any]) -> NDArray[Any]:
    """Run, lumi or event numbers, once it is sure that they are."""
    values = whole(name, values)
    if len(values):
        limit = 1 << 64 if name == "event" else 1 << 32
        for number in (int(values.min()), int(values.max())):
            if number < 0:
                raise FormatError(f"{name} {number} is negative", "check the column")
            if number >= limit:
                raise FormatError(f"{name} {number} is too large", "check the column")
    return values
