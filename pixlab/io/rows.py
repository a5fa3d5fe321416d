"""Tables of digis from elsewhere: columns event, detid, row, col, adc, one row a digi.

What a number in the column ``event`` means is nowhere said in such a file, so it is settled here,
for all formats alike:

- positions: events are counted from 0, and a missing number is an event without digis;
- labels: each different number is an event, in rising order, and is kept in `Digis.event_id`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pixlab.detectors import Detector
from pixlab.digis import EVENT_ID, Digis
from pixlab.errors import FormatError, PixlabError
from pixlab.io.files import DAMAGED, clip, find_detector

__all__ = ["COLUMNS", "MAX_EMPTY", "RowsReader", "build", "check_integers", "match_columns"]

COLUMNS = ("event", "detid", "row", "col", "adc")
_OPTIONAL = ("flag", "run", "lumi")
_ROWS = 1 << 20  # rows of the event column looked at in one go
MAX_EMPTY = 10_000_000  # events without digis that a file may ask for (80 MB of offsets)

Column = Callable[[str, int, int], NDArray[Any]]


def match_columns(names: list[str], where: str) -> dict[str, str]:
    """Which of a table's columns is which, upper and lower case alike (``detId`` is ``detid``).

    Raises
    ------
    FormatError
        If one is missing, naming what is there.
    """
    found: dict[str, str] = {}
    for name in names:
        if name.lower() in (*COLUMNS, *_OPTIONAL):
            found.setdefault(name.lower(), name)
    missing = [name for name in COLUMNS if name not in found]
    if missing:
        raise FormatError(
            f"{where} has no column {' or '.join(missing)} (it has {', '.join(names[:12]) or 'none'})",
            f"digis need the columns {', '.join(COLUMNS)}",
        )
    return found


def check_integers(name: str, dtype: np.dtype[Any]) -> None:
    """Refuse a column that does not hold whole numbers."""
    if dtype.kind not in "iu" and not (name == "flag" and dtype.kind == "b"):
        raise FormatError(
            f"column '{name}' holds {dtype.name}, whole numbers are needed",
            "write the column as integers",
        )


class RowsReader:
    """Events of a table with one row a digi.

    Parameters
    ----------
    rows : int
        Number of rows.
    column : callable
        ``column(name, start, stop)`` gives a part of a column (names as in `COLUMNS`).
    present : set of str
        Columns that there are.
    close : callable
        Called by `close`.
    n_events : int, optional
        Number of events, where the file says: numbers are positions then.
    labels : bool
        Whether numbers that do not start at 0 are labels; numbers that start at 0 are positions.
    detector : str or Detector, optional
        Default: the first of `DETECTORS` that has all module ids.
    event_id : EVENT_ID[n_events], optional
        Event numbers kept beside the table.
    """

    def __init__(
        self,
        rows: int,
        column: Column,
        present: set[str],
        *,
        close: Callable[[], None] = lambda: None,
        n_events: int | None = None,
        labels: bool = False,
        detector: str | Detector | None = None,
        event_id: NDArray[Any] | None = None,
    ) -> None:
        self._rows, self._column, self._present = rows, column, present
        self._detector, self._close = detector, close
        numbers, starts, in_order = self._scan()
        self._sorted: dict[str, NDArray[Any]] | None = None
        if not in_order:  # events in pieces: everything must be held to put it in order
            numbers, starts = self._put_in_order()
        self._event_id = event_id
        last = int(numbers[-1]) + 1 if len(numbers) else 0
        dense = last - len(numbers) <= MAX_EMPTY
        if n_events is None and labels and not (dense and len(numbers) and numbers[0] == 0):
            self.count = len(numbers)
            self._starts = np.append(starts, rows)
            self._event_id = self._label(numbers, starts)
            return
        if n_events is not None and not last <= n_events <= len(numbers) + MAX_EMPTY:
            raise FormatError(
                f"there should be {n_events} events, the last one with digis is {last - 1}", DAMAGED
            )
        if not dense:
            raise FormatError(
                f"event {last - 1} cannot be a position among {len(numbers)} events with digis",
                "number the events from 0",
            )
        self.count = last if n_events is None else n_events
        place = np.searchsorted(numbers, np.arange(self.count + 1))
        self._starts = np.append(starts, rows)[place]
        if event_id is not None and len(event_id) != self.count:
            raise FormatError(f"{len(event_id)} event numbers for {self.count} events")

    def read(self, start: int, stop: int) -> Digis:
        """The digis of events `start` to `stop` (or to the last one)."""
        start, stop = clip(start, stop, self.count)
        first, last = int(self._starts[start]), int(self._starts[stop])
        values = {name: self._part(name, first, last) for name in COLUMNS[1:]}
        flag = self._part("flag", first, last) if "flag" in self._present else None
        ids = None if self._event_id is None else self._event_id[start:stop]
        return build(
            np.diff(self._starts[start : stop + 1]), values, flag, ids, self._detector, start
        )

    def close(self) -> None:
        """Let go of the file."""
        self._close()

    def _part(self, name: str, start: int, stop: int) -> NDArray[Any]:
        if self._sorted is not None:
            return self._sorted[name][start:stop]
        return self._column(name, start, stop)

    def _scan(self) -> tuple[NDArray[Any], NDArray[np.int64], bool]:
        """The event numbers, the first row of each, and whether no event is in pieces."""
        numbers: list[NDArray[Any]] = [np.zeros(0, np.int64)]
        starts: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
        in_order, before = True, None
        for first in range(0, self._rows, _ROWS):
            event = self._column("event", first, min(first + _ROWS, self._rows))
            if int(event.min()) < 0:
                raise FormatError(f"event {int(event.min())} is negative", "number events from 0")
            if int(event.max()) >= 1 << 62:
                raise FormatError(f"event {int(event.max())} is too large", "number events from 0")
            event = event.astype(np.int64)
            change = np.append(before is None or event[0] != before, event[1:] != event[:-1])
            in_order &= bool((event[1:] >= event[:-1]).all()) and (before or 0) <= event[0]
            before = int(event[-1])
            at = np.flatnonzero(change)
            numbers.append(event[at])
            starts.append(at.astype(np.int64) + first)
        return np.concatenate(numbers), np.concatenate(starts), in_order

    def _put_in_order(self) -> tuple[NDArray[Any], NDArray[np.int64]]:
        columns = {name: self._column(name, 0, self._rows) for name in self._present}
        order = np.argsort(columns["event"], kind="stable")
        self._sorted = {name: values[order] for name, values in columns.items()}
        numbers, starts = np.unique(self._sorted["event"].astype(np.int64), return_index=True)
        return numbers, starts.astype(np.int64)

    def _label(self, numbers: NDArray[Any], starts: NDArray[np.int64]) -> NDArray[Any]:
        """Event ids of events whose numbers are labels, with run and lumi where there are."""
        ids = np.zeros(len(numbers), EVENT_ID)
        ids["event"] = numbers
        for name in sorted(self._present & {"run", "lumi"}):
            for first in range(0, self._rows, _ROWS):
                part = self._part(name, first, min(first + _ROWS, self._rows))
                if int(part.min()) < 0 or int(part.max()) > 0xFFFFFFFF:
                    raise FormatError(f"column '{name}' has values that are no {name}")
                event = np.searchsorted(starts, np.arange(first, first + len(part)), "right") - 1
                new = starts[event] == np.arange(first, first + len(part))
                ids[name][event[new]] = part[new]
                if (ids[name][event] != part).any():
                    number = int(numbers[event[np.argmax(ids[name][event] != part)]])
                    raise FormatError(
                        f"event {number} occurs with more than one {name}",
                        f"split the file by {name}",
                    )
        return ids


def build(
    counts: NDArray[np.int64],
    values: dict[str, NDArray[Any]],
    flag: NDArray[Any] | None,
    event_id: NDArray[Any] | None,
    detector: str | Detector | None,
    start: int = 0,
    duplicates: Literal["error", "sum"] = "error",
) -> Digis:
    """Digis from columns and the number of digis of each event, the first being event `start`.

    Raises
    ------
    PixlabError
        As `Digis.from_arrays`, with the event's number in the file.
    """
    event = np.repeat(np.arange(len(counts)), counts)
    detid = values["detid"]
    first = np.flatnonzero(
        np.append(True, detid[1:] != detid[:-1])[: len(detid)]
    )  # ids come in runs
    chosen = find_detector(detector, detid[first], event[first] + start)
    row, col, adc = values["row"], values["col"], values["adc"]
    try:
        return Digis.from_arrays(
            event,
            detid,
            row,
            col,
            adc,
            detector=chosen,
            n_events=len(counts),
            flag=flag,
            event_id=event_id,
            duplicates=duplicates,
        )
    except PixlabError:
        if start:  # the same error with the event's number in the file
            Digis.from_arrays(
                event + start,
                detid,
                row,
                col,
                adc,
                detector=chosen,
                flag=flag,
                duplicates=duplicates,
            )
        raise
