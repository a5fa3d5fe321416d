"""`TrackingCoder`: hit maps coded with what inner clusters tell of outer ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixlab.coding.hits import MAX_DIGIS, Hits
from pixlab.coding.tracking.events import Memory, code_events
from pixlab.coding.tracking.growth import find_roots
from pixlab.coding.tracking.memory import copy_of, fresh, restore, store
from pixlab.coding.tracking.planes import Geometry, Planes, describe, make_planes
from pixlab.detectors import Detector
from pixlab.errors import FormatError

__all__ = ["TrackingCoder"]

Array = NDArray[Any]


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
    def learn(geometry: Geometry, n_events: int, hits: Hits, *, passes: int = 2) -> dict[str, Array]:
        """The arrays of a model that suits these hits."""
        tables = describe(geometry)
        planes, memory = make_planes(geometry.detector, tables), fresh()
        for _ in range(passes):
            _encode(planes, memory, n_events, hits)
        return tables | store(memory)

    def encode(self, n_events: int, hits: Hits) -> dict[str, bytes]:
        """Sections ``positions`` and ``shapes`` of a hit map."""
        return _encode(self._planes, copy_of(self._memory), n_events, hits)

    def decode(self, n_events: int, n_digis: int, sections: Mapping[str, bytes]) -> Hits:
        """The hit map that `encode` wrote.

        Raises
        ------
        FormatError
            If the sections are damaged, or hold another number of digis.
        """
        if n_digis > MAX_DIGIS:
            raise FormatError("a chunk claims more digis than there may be")
        planes = self._planes
        places, growing = (_bytes(sections[name]) for name in ("positions", "shapes"))
        spare = int(planes.rows.max(initial=0))
        none = np.zeros(0, np.int64)
        room = min(n_digis, 16 * (len(places) + len(growing)) + 1024)  # what is believed at first
        while True:
            event, module = np.zeros(room, np.int64), np.zeros(room, np.int64)
            offsets = np.zeros(room + 1, np.int64)
            row, col = np.zeros(room + spare, np.uint16), np.zeros(room + spare, np.uint16)
            frames, n, _, _ = code_events(
                True, places, growing, planes, copy_of(self._memory), n_events, event, module, none,
                none, none, offsets, row, col,
            )  # fmt: skip
            if frames != -2 or room == n_digis:
                break
            room = min(n_digis, 8 * room)
        if frames < 0 or n != n_digis:
            raise FormatError("the hit map is damaged")
        module = module[:frames].astype(np.int32)
        return _by_rows(Hits(event[:frames], module, offsets[: frames + 1], row[:n], col[:n]))


def _bytes(section: bytes) -> Array:
    return np.frombuffer(section, np.uint8).copy()  # writable, as the kernels are compiled for


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
        _, _, *used = code_events(
            False, places, growing, planes, trial, n_events, mine.event.astype(np.int64),
            mine.module.astype(np.int64), roots, root_row, root_col, mine.offsets, row, col,
        )  # fmt: skip
        if min(used) >= 0:
            break
        sizes = [4 * size for size in sizes]
    for array, learned in zip(memory, trial, strict=True):
        array[:] = learned
    return {
        "positions": places[: used[0]].tobytes(),
        "shapes": growing[: used[1]].tobytes(),
    }
