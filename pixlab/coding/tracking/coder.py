"""`TrackingCoder`: hit maps coded with what inner clusters tell of outer ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixlab.coding.hits import MAX_DIGIS, Hits
from pixlab.coding.tracking.alignment import align
from pixlab.coding.tracking.events import Memory, code_events
from pixlab.coding.tracking.growth import find_roots
from pixlab.coding.tracking.memory import copy_of, fresh, restore, store
from pixlab.coding.tracking.planes import Planes, describe, make_planes
from pixlab.detectors import Detector
from pixlab.errors import FormatError

__all__ = ["TrackingCoder"]

Array = NDArray[Any]

_ENOUGH = 1_000_000  # digis that are learned from
_PASSES = 2
_DENSEST = 16  # digis that a byte may tell of: more are left to other coders


class TrackingCoder:
    """A way to code hit maps of a detector, from what `learn` left in a model.

    Parameters
    ----------
    detector : Detector
        Whose modules are hit.
    arrays : mapping of str to array
        Of the model; those whose names begin with ``tracking.`` are used.

    Raises
    ------
    FormatError
        If arrays are missing or damaged.
    """

    def __init__(self, detector: Detector, arrays: Mapping[str, Array]) -> None:
        self._planes = make_planes(detector, arrays)
        self._memory = restore(arrays)

    @staticmethod
    def known(arrays: Mapping[str, Array]) -> bool:
        """Whether `learn` left anything in a model."""
        return any(name.startswith("tracking.") for name in arrays)

    @staticmethod
    def learn(detector: Detector, n_events: int, hits: Hits) -> list[dict[str, Array]]:
        """Arrays for a model that suits these hits: first small ones, then those that know more.

        There are none for detectors whose modules are too many or too large.
        """
        hits, n_events = _first_events(hits, n_events)
        alone = _by_columns(hits, np.arange(len(detector)))
        tables = describe(align(detector, alone))
        try:
            planes = make_planes(detector, tables)
        except FormatError:
            return []
        memory = fresh()
        for _ in range(_PASSES):
            _encode(planes, memory, n_events, hits)
        return [tables, tables | store(memory)]

    def encode(self, n_events: int, hits: Hits) -> dict[str, bytes] | None:
        """Sections ``positions`` and ``shapes`` of a hit map; None if it is too dense for this."""
        sections = _encode(self._planes, copy_of(self._memory), n_events, hits)
        return sections if len(hits.row) <= _most_digis(sections) else None

    def decode(self, n_events: int, n_digis: int, sections: Mapping[str, bytes]) -> Hits:
        """The hit map that `encode` wrote.

        Raises
        ------
        FormatError
            If the sections are damaged, or hold another number of digis.
        """
        places, growing = (_bytes(sections[name]) for name in ("positions", "shapes"))
        if n_digis > min(_most_digis(sections), MAX_DIGIS):
            raise FormatError("a chunk claims more digis than its bytes can tell of")
        planes = self._planes
        spare = int(planes.rows.max(initial=0))
        none = np.zeros(0, np.int64)
        event, module = np.zeros((2, n_digis), np.int64)
        offsets = np.zeros(n_digis + 1, np.int64)
        row, col = np.zeros((2, n_digis + spare), np.uint16)
        frames, n, _, _ = code_events(
            True, places, growing, planes, copy_of(self._memory), n_events, event, module, none,
            none, none, offsets, row, col,
        )  # fmt: skip
        if frames < 0 or n != n_digis:
            raise FormatError("the hit map is damaged")
        module = module[:frames].astype(np.int32)
        return _by_rows(Hits(event[:frames], module, offsets[: frames + 1], row[:n], col[:n]))


def _most_digis(sections: Mapping[str, bytes]) -> int:
    return _DENSEST * (len(sections["positions"]) + len(sections["shapes"]))


def _bytes(section: bytes) -> Array:
    return np.frombuffer(section, np.uint8).copy()  # writable, as the kernels are compiled for


def _first_events(hits: Hits, n_events: int) -> tuple[Hits, int]:
    """Whole events with about `_ENOUGH` digis, and their number."""
    frame = int(np.searchsorted(hits.offsets, _ENOUGH))
    if frame >= len(hits.event):
        return hits, n_events
    last = int(hits.event[frame])
    frames = int(np.searchsorted(hits.event, last, side="right"))
    end = hits.offsets[frames]
    first = Hits(
        hits.event[:frames], hits.module[:frames], hits.offsets[: frames + 1], hits.row[:end],
        hits.col[:end],
    )  # fmt: skip
    return first, last + 1


def _by_columns(hits: Hits, rank: Array) -> Hits:
    """The same hits, frames sorted by event and `rank`, their digis by column, then row."""
    return _sorted(hits, rank[hits.module], hits.col, hits.row)


def _by_rows(hits: Hits) -> Hits:
    """The same hits in the order of `Digis`: frames by event and module, digis by row."""
    return _sorted(hits, hits.module, hits.row, hits.col)


def _sorted(hits: Hits, rank: Array, first: Array, second: Array) -> Hits:
    frames = np.lexsort((rank, hits.event))
    lengths = np.diff(hits.offsets)[frames]
    ends = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    digis = np.repeat(hits.offsets[:-1][frames] - ends[:-1], lengths) + np.arange(ends[-1])
    key = np.repeat(np.arange(len(frames)) << 32, lengths)
    key |= first[digis].astype(np.int64) << 16 | second[digis]
    digis = digis[np.argsort(key)]
    return Hits(hits.event[frames], hits.module[frames], ends, hits.row[digis], hits.col[digis])


def _encode(planes: Planes, memory: Memory, n_events: int, hits: Hits) -> dict[str, bytes]:
    """The two sections; `memory` learns."""
    rank = np.empty(len(planes.order), np.int64)
    rank[planes.order] = np.arange(len(rank))
    mine = _by_columns(hits, rank)
    roots, root_row, root_col = find_roots(mine.offsets, mine.row, mine.col)
    spare = np.zeros(int(planes.rows.max(initial=0)), np.uint16)
    row, col = np.concatenate([mine.row, spare]), np.concatenate([mine.col, spare])
    sizes = [8 * len(root_row) + n_events + 4096, 2 * len(mine.row) + 4096]
    while True:
        places, growing = (np.zeros(size, np.uint8) for size in sizes)
        trial = copy_of(memory)
        used = code_events(
            False, places, growing, planes, trial, n_events, mine.event.astype(np.int64),
            mine.module.astype(np.int64), roots, root_row, root_col, mine.offsets, row, col,
        )[2:]  # fmt: skip
        if min(used) >= 0:
            break
        sizes = [4 * size for size in sizes]
    for name, learned in trial._asdict().items():
        getattr(memory, name)[:] = learned
    return {
        "positions": places[: used[0]].tobytes(),
        "shapes": growing[: used[1]].tobytes(),
    }
