"""`EventReader`: from the columns of a file to `Digis`, the same for all formats.

A reader gives `Columns` for a range of events; what they are of (the detector), whether they are
in order, and what happens to a pixel that occurs twice is settled here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pixlab.detectors import Detector
from pixlab.digis import Digis
from pixlab.digis.building import Columns as DigiColumns
from pixlab.digis.building import Duplicates
from pixlab.errors import PixlabError, UnknownModuleError
from pixlab.io.files import clip
from pixlab.io.guess import ENOUGH, Guess, guess
from pixlab.io.names import COLUMNS, whole

__all__ = ["Columns", "Duplicates", "EventReader", "How", "described_by", "no_branch"]


class How(NamedTuple):
    """How a file is to be understood.

    Parameters
    ----------
    branch : str, optional
        Which of several tables or branches: its name, or a part that the others do not have.
    detector : Detector, optional
        What the module ids mean, whatever the file says.
    duplicates : {"error", "sum"}
        What to do with a pixel that occurs twice in an event.
    before : Detector, optional
        That of the files read before, taken again where a file does not say and the digis fit.
    """

    branch: str | None = None
    detector: Detector | None = None
    duplicates: Duplicates = "error"
    before: Detector | None = None


def described_by(how: How, description: Any) -> Detector | None:
    """The detector that a file describes, unless another one was asked for.

    Raises
    ------
    FormatError
        If the description is none.
    """
    return None if how.detector is not None else Detector.from_json(description)


def no_branch(how: How, what: str) -> None:
    """Refuse a branch that was asked for where there are none."""
    if how.branch is not None:
        raise PixlabError(f"{what} has no branches", "leave branch= out")


class Columns(NamedTuple):
    """Some events of a file: ``counts[events]`` digis each, one number a digi in the others.

    Whole numbers may be in floating point. ``detid`` is None in files of a single chip, which need none; ``event_id`` has one row an event.
    """

    counts: NDArray[np.int64]
    detid: NDArray[Any] | None
    row: NDArray[Any]
    col: NDArray[Any]
    adc: NDArray[Any]
    flag: NDArray[Any] | None = None
    event_id: NDArray[Any] | None = None


class EventReader(ABC):
    """An open file of events; a format defines `columns` and `count`.

    Parameters
    ----------
    how : How
        What was asked for.
    described : Detector, optional
        The detector that the file names.

    Attributes
    ----------
    detector : Detector or None
        Given, described or (after the first `read`) found.
    found : bool
        Whether the detector was found by looking at digis.
    others : tuple of str
        Detectors that these digis may be of as well.
    """

    count: int = 0
    prefer: tuple[str, ...] = ()  # detectors that names in the file suggest

    def __init__(self, how: How, described: Detector | None = None) -> None:
        self.how = how
        self.detector = described if how.detector is None else how.detector
        self.found = False
        self.others: tuple[str, ...] = ()

    @abstractmethod
    def columns(self, start: int, stop: int) -> Columns:
        """The events `start` to `stop`, which there are."""

    def read(self, start: int, stop: int) -> Digis:
        """The digis of events `start` to `stop` (or to the last one)."""
        start, stop = clip(start, stop, self.count)
        columns = _integers(self.columns(start, stop), start)
        detector = self._settle(columns, start) if self.detector is None else self.detector
        try:
            return _digis(columns, detector, start, self.how.duplicates)
        except UnknownModuleError as error:
            if not self.found:
                raise
            hint = f"'{detector.name}' was taken for its first digis: pass detector="
            raise UnknownModuleError(error.cause, hint) from error

    def _settle(self, columns: Columns, start: int) -> Detector:
        """Find the detector from the first events with digis, whichever are read first."""
        try:
            found = self._guess(self._head(columns if start == 0 else None), 0)
        except PixlabError:
            if start == 0:
                raise
            found = self._guess(columns, start)  # the beginning is damaged, these events are not
        self.found = True
        self.detector, self.others = found
        return found.detector

    def _head(self, head: Columns | None) -> Columns:
        """The first events, as many as have `ENOUGH` modules with digis, and only these digis."""
        size = 1 if head is None else len(head.counts)
        head = _integers(self.columns(0, min(size, self.count))) if head is None else head
        while not (event := _first_modules(head)).size and size < self.count:
            size = min(2 * size + 1, self.count)
            head = _integers(self.columns(0, size))
        if not event.size:
            return head
        n = len(event)
        assert head.detid is not None  # a single chip was given
        counts = np.bincount(event, minlength=len(head.counts))
        return Columns(counts, head.detid[:n], head.row[:n], head.col[:n], head.adc[:n])

    def _guess(self, head: Columns, start: int) -> Guess:
        event = np.repeat(np.arange(len(head.counts)), head.counts) + start
        assert head.detid is not None  # a single chip was given
        before = () if self.how.before is None else (self.how.before.name,)
        return guess(event, head.detid, head.row, head.col, head.adc, self.prefer or before)


def _integers(columns: Columns, start: int = 0) -> Columns:
    """The columns of digis as integers; errors name events by their number in the file."""

    def where(i: int) -> str:
        return f"event {start + int(np.searchsorted(np.cumsum(columns.counts), i, 'right'))}: "

    digis = {name: getattr(columns, name) for name in COLUMNS[1:]}
    return columns._replace(
        **{name: whole(name, values, where) for name, values in digis.items() if values is not None}
    )


def _first_modules(columns: Columns) -> NDArray[np.int64]:
    """Event of each digi of the first `ENOUGH` modules that have digis; empty if there are fewer."""
    detid = columns.detid
    if detid is None or len(detid) < ENOUGH:
        return np.zeros(0, np.int64)
    ends = np.cumsum(columns.counts)
    some = 1 << 12
    while True:
        event = np.searchsorted(ends, np.arange(min(some, len(detid))), side="right")
        change = np.flatnonzero(
            (event[1:] != event[:-1]) | (detid[1 : len(event)] != detid[: len(event) - 1])
        )
        if len(change) >= ENOUGH:
            return event[: change[ENOUGH - 1] + 1]
        if some >= len(detid):
            return np.zeros(0, np.int64)
        some *= 4


def _digis(columns: Columns, detector: Detector, start: int, duplicates: Duplicates) -> Digis:
    """Digis of columns; errors name events by their number in the file."""
    detid = columns.detid
    if detid is None:
        detid = np.full(len(columns.row), detector.detid[0])
    offsets = np.concatenate([[0], np.cumsum(columns.counts)]).astype(np.int64)
    return Digis._from_columns(
        detector,
        offsets,
        DigiColumns(detid, columns.row, columns.col, columns.adc, columns.flag),
        event_id=columns.event_id,
        duplicates=duplicates,
        first_event=start,
    )
