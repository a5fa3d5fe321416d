"""From columns of numbers to columns that `Digis` may hold: checked, in order, each pixel once."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pixlab.detectors import Detector
from pixlab.errors import PixlabError, UnknownModuleError

__all__ = ["Columns", "Duplicates", "by_event", "integers", "ordered", "run_starts"]

Duplicates = Literal["error", "sum"]


class Columns(NamedTuple):
    """Columns of digis, one entry a digi."""

    detid: NDArray[Any]
    row: NDArray[Any]
    col: NDArray[Any]
    adc: NDArray[Any]
    flag: NDArray[np.bool_] | None

    def take(self, which: Any) -> Columns:
        """Some of the digis, or all in another order."""
        return Columns(*(None if column is None else column[which] for column in self))  # type: ignore[arg-type]


def integers(name: str, column: ArrayLike) -> NDArray[Any]:
    """One column as an array of whole numbers."""
    values = np.asarray(column)
    if values.ndim != 1:
        raise PixlabError(f"column '{name}' has {values.ndim} dimensions, one is needed")
    if values.dtype.kind not in "iu" and len(values):
        raise PixlabError(
            f"column '{name}' holds {values.dtype}, integers are needed",
            f"convert it, for instance with {name}.astype('int64')",
        )
    return values.astype(np.int64) if values.dtype.kind not in "iu" else values


def by_event(
    event: NDArray[Any], columns: Columns, n_events: int | None
) -> tuple[NDArray[np.int64], Columns]:
    """Offsets of the events, and columns in their order."""
    n = len(event)
    for name, column in columns._asdict().items():
        if column is not None and len(column) != n:
            raise PixlabError(f"column '{name}' has {len(column)} entries, 'event' has {n}")
    if n and int(event.min()) < 0:
        raise PixlabError(f"event {int(event.min())} is negative", "number events from 0")
    last = int(event.max()) + 1 if n else 0
    n_events = last if n_events is None else int(n_events)
    if n_events < last:
        raise PixlabError(f"a digi belongs to event {last - 1}, but there are {n_events} events")
    if (event[1:] < event[:-1]).any():
        order = np.argsort(event, kind="stable")
        event, columns = event[order], columns.take(order)
    return np.searchsorted(event, np.arange(n_events + 1)).astype(np.int64), columns


def ordered(
    detector: Detector,
    offsets: NDArray[np.int64],
    columns: Columns,
    duplicates: Duplicates,
    first_event: int = 0,
) -> tuple[NDArray[np.int64], Columns]:
    """Offsets and columns of checked digis in order of event, module, row and column.

    ``first_event`` is added to the event numbers in errors.

    Raises
    ------
    PixlabError
        If a value is out of range, an id is unknown, or a pixel occurs twice and must not.
    """
    narrow = _narrow(columns, detector, offsets, first_event)
    if not len(narrow.detid):
        return offsets, narrow
    from pixlab.digis.kernels import FINE, OUT_OF_RANGE, arrange, examine

    frames, event, module = _frames(detector, offsets, narrow.detid, first_event)
    sizes = detector.rows, detector.cols, detector.adc_max
    state = examine(frames, module, *sizes, narrow.row, narrow.col, narrow.adc)
    rising = ((event[1:] > event[:-1]) | (module[1:] > module[:-1])).all()
    if state == FINE and rising:
        return offsets, narrow
    moved = narrow
    if not rising:
        index, frames, module = _by_module(frames, event, module)
        moved = narrow.take(index)
    # `arrange` works in place, and what was given stays as it is
    row, col, adc = (c.copy() if rising else c for c in (moved.row, moved.col, moved.adc))
    flag = np.zeros(0, bool) if moved.flag is None else moved.flag.copy()
    state, twice = arrange(frames, module, *sizes, row, col, adc, flag)
    if state == OUT_OF_RANGE:
        _refuse(narrow, detector, offsets, first_event)
    arranged = Columns(moved.detid, row, col, adc, None if moved.flag is None else flag)
    if state == FINE:
        return offsets, arranged
    if duplicates == "sum":
        return _summed(detector, offsets, arranged)
    which = int(np.searchsorted(offsets, twice, side="right")) - 1 + first_event
    raise PixlabError(
        f"event {which}: pixel row {int(row[twice])}, col {int(col[twice])} of module "
        f"{int(moved.detid[twice])} occurs twice",
        'pass duplicates="sum" to add the counts',
    )


def _narrow(
    columns: Columns, detector: Detector, offsets: NDArray[np.int64], first_event: int
) -> Columns:
    """The columns in the types of `Digis`, whose ranges they do not leave."""
    narrow = []
    for name, column in zip(("detid", "row", "col", "adc"), columns, strict=False):
        assert column is not None  # only the flag may be
        dtype: np.dtype[Any] = np.dtype(np.uint32 if name == "detid" else np.uint16)
        if column.dtype != dtype:
            column = column.astype(column.dtype.newbyteorder("="), copy=False)
            # as unsigned numbers, negative ones are large
            if len(column) and column.view(f"u{column.dtype.itemsize}").max() > np.iinfo(dtype).max:
                _refuse(columns, detector, offsets, first_event)
            column = column.astype(dtype)
        narrow.append(column)
    flag = columns.flag
    detid, row, col, adc = narrow
    return Columns(detid, row, col, adc, None if flag is None else flag.astype(bool, copy=False))


def _frames(
    detector: Detector, offsets: NDArray[np.int64], detid: NDArray[Any], first_event: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32]]:
    """Runs of digis of one module in one event: where they begin and end, event and module."""
    starts = run_starts(offsets, detid)
    event = np.searchsorted(offsets, starts[:-1], side="right") - 1
    try:
        return starts, event, detector.index(detid[starts[:-1]])
    except UnknownModuleError as error:
        unknown = int(np.argmin(np.isin(detid[starts[:-1]], detector.detid)))
        where = f"event {int(event[unknown]) + first_event}: "
        raise UnknownModuleError(f"{where}{error.cause}", error.hint) from error


def run_starts(offsets: NDArray[np.int64], detid: NDArray[Any]) -> NDArray[np.int64]:
    """Where runs of digis of one module in one event begin, and where the last one ends."""
    n = len(detid)
    change = np.ones(n + 1, bool)
    if n:
        np.not_equal(detid[1:], detid[:-1], out=change[1:-1])
        change[offsets] = True
    return np.flatnonzero(change).astype(np.int64)


def _by_module(
    frames: NDArray[np.int64], event: NDArray[np.int64], module: NDArray[np.int32]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32]]:
    """Indices of the digis that put the frames in order, and frames and modules then, each once."""
    key = event << 32 | module
    order = np.argsort(key, kind="stable")
    sizes = np.diff(frames)[order]
    ends = np.cumsum(sizes)
    index = np.arange(frames[-1]) + np.repeat(frames[:-1][order] - (ends - sizes), sizes)
    last = np.append(key[order][1:] != key[order][:-1], True)
    return index, np.append(0, ends[last]), module[order][last]


def _summed(
    detector: Detector, offsets: NDArray[np.int64], columns: Columns
) -> tuple[NDArray[np.int64], Columns]:
    """Sorted columns with the counts of pixels that occur several times added."""
    first = np.zeros(len(columns.detid), bool)
    first[offsets[:-1][np.diff(offsets) > 0]] = True
    for column in (columns.detid, columns.row, columns.col):
        first[1:] |= column[1:] != column[:-1]
    begin = np.flatnonzero(first)
    adc = np.minimum(np.add.reduceat(columns.adc.astype(np.int64), begin), detector.adc_max)
    flag = columns.flag
    merged = columns.take(begin)._replace(
        adc=adc.astype(np.uint16),
        flag=None if flag is None else np.logical_or.reduceat(flag, begin),
    )
    return np.append(0, np.cumsum(first))[offsets].astype(np.int64), merged


def _refuse(
    columns: Columns, detector: Detector, offsets: NDArray[np.int64], first_event: int
) -> None:
    """Raise the error that names the first value out of range."""
    event = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets)) + first_event
    starts, _, index = _frames(detector, offsets, columns.detid, first_event)
    module = np.repeat(index, np.diff(starts))
    limits = {"row": detector.rows[module], "col": detector.cols[module]}
    for name, limit in (limits | {"adc": detector.adc_max + 1}).items():
        _check_range(name, getattr(columns, name), limit, event, columns.detid)


def _check_range(
    name: str, column: NDArray[Any], limit: Any, event: NDArray[Any], detid: NDArray[Any]
) -> None:
    """Refuse a column with a value that is negative, or not below its limit."""
    bad = (column >= limit) if column.dtype.kind == "u" else (column < 0) | (column >= limit)
    if bad.any():
        i = int(np.flatnonzero(bad)[0])
        top = int(np.broadcast_to(limit, column.shape)[i]) - 1
        raise PixlabError(
            f"event {int(event[i])}, module {int(detid[i])}: "
            f"{name} {int(column[i])} is outside 0 to {top}",
            "check the column, or choose the detector that the file was made with",
        )
