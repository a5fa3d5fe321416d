"""Blocks of events cut anew, so that what is written does not depend on how it was read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from pixlab.digis import Digis
from pixlab.errors import PixlabError

__all__ = ["Feed", "regroup"]

_DIGIS, _EVENTS = 1 << 20, 1000  # of one group, unless a single event has more digis


def regroup(blocks: Iterable[Digis]) -> Iterator[Digis]:
    """Blocks as groups of whole events: at least one group, maybe without events.

    Flags and event numbers that the first block does not have are left out of all.

    Raises
    ------
    PixlabError
        If there is no block, or a later one is of another detector or lacks what the first has.
    """
    waiting: Digis | None = None
    first: Digis | None = None
    done = 0
    for block in blocks:
        if first is None:
            first = block[:0]
        else:
            block = _alike(block, first, done + (0 if waiting is None else len(waiting)))
        waiting = block if waiting is None else Digis.concatenate([waiting, block])
        start = 0
        while (stop := _end(waiting, start)) < len(waiting):
            yield waiting[start:stop]
            start = stop
        done += start
        waiting = waiting[start:]
    if waiting is None:
        raise PixlabError("there is nothing to write", "give at least one block of digis")
    if len(waiting) or not done:
        yield waiting


def _end(digis: Digis, start: int) -> int:
    """Where the group that begins at an event ends."""
    last = np.searchsorted(digis.offsets, digis.offsets[start] + _DIGIS, "right")
    return min(max(int(last) - 1, start + 1), start + _EVENTS, len(digis))


def _alike(block: Digis, first: Digis, events: int) -> Digis:
    """A block with as much as the first one has."""
    if block.detector != first.detector:
        raise PixlabError(
            f"the first events are of detector '{first.detector.name}', those from {events} on of "
            f"'{block.detector.name}'",
            "write them to files of their own",
        )
    for name, what in (("flag", "flags"), ("event_id", "event numbers")):
        if getattr(first, name) is not None and getattr(block, name) is None:
            raise PixlabError(
                f"the first events have {what}, those from {events} on have none",
                "write them to files of their own",
            )
    return Digis(
        block.detector,
        block.offsets,
        block.detid,
        block.row,
        block.col,
        block.adc,
        None if first.flag is None else block.flag,
        None if first.event_id is None else block.event_id,
    )


class Feed:
    """Blocks of events, taken as many events at a time as the taker likes."""

    def __init__(self, blocks: Digis | Iterable[Digis]) -> None:
        self._blocks = iter([blocks] if isinstance(blocks, Digis) else blocks)
        self._waiting: Digis | None = None

    def take(self, events: int) -> Digis | None:
        """The next `events` events, or as many as there are; None if there is not even a block."""
        parts = [] if self._waiting is None else [self._waiting]
        while not parts or sum(len(part) for part in parts) < events:
            block = next(self._blocks, None)
            if block is None:
                break
            parts.append(block)
        self._waiting = None
        if not parts:
            return None
        joined = Digis.concatenate(parts)
        if len(joined) > events:
            self._waiting = joined[events:]
        return joined[:events]
