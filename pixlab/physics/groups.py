"""How modules and events are grouped: layers, rings, modules; and the parts that errors come from.

A *part* is a twelfth of everything: the events are dealt to twelve parts sector by sector in
azimuth, each event from another beginning. A pixel detector is the same all around the beam, and a
track stays in its sector but for its bend, so parts are independent samples of the same physics
even where there is one event only. Leaving out each part in turn gives the error of any number
(`pixlab.physics.errors`), taking every other part gives two halves of the original.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import xxhash
from numpy.typing import NDArray

from pixlab.detectors import Detector
from pixlab.digis import Digis
from pixlab.errors import PixlabError

__all__ = ["PARTS", "By", "Groups", "event_keys", "groups", "part_of", "spread_of"]

PARTS = 12
By = Literal["layer", "ring", "module"]
_SAME_PLACE = 0.1  # cm: modules of a ring differ by less in z (barrel) or in radius (disks)


class Groups(NamedTuple):
    """Modules grouped by layer, ring or module.

    ``by``: what they are grouped by; ``names``: of the groups; ``of``: int64[modules], the group of
    each module; ``first``: int64[groups], one module of each.
    """

    by: By
    names: tuple[str, ...]
    of: NDArray[np.int64]
    first: NDArray[np.int64]


def groups(detector: Detector, by: By = "layer") -> Groups:
    """Group the modules of a detector.

    Parameters
    ----------
    detector : Detector
        Any.
    by : {"layer", "ring", "module"}
        A ring holds the modules of a layer at one z (barrel) or at one radius (disks), counted
        from the smallest; modules are named by their raw id.

    Raises
    ------
    PixlabError
        If `by` is something else.
    """
    layer = detector.layer.astype(np.int64)
    if by == "layer":
        names, of = detector.layers, layer
    elif by == "module":
        names, of = tuple(map(str, detector.detid.tolist())), np.arange(len(detector))
    elif by == "ring":
        where = np.where(detector.side == 0, detector.position[:, 2], detector.radius)
        ring = np.zeros(len(detector), np.int64)
        for i in range(len(detector.layers)):
            own = np.flatnonzero(layer == i)
            own = own[np.argsort(where[own], kind="stable")]
            ring[own[1:]] = np.cumsum(np.diff(where[own]) > _SAME_PLACE)
        width = int(ring.max(initial=0)) + 1
        found, of = np.unique(layer * width + ring, return_inverse=True)
        names = tuple(f"{detector.layers[k // width]} ring {k % width + 1}" for k in found.tolist())
    else:
        raise PixlabError(
            f"spectra cannot be grouped by {by!r}", "choose one of layer, ring, module"
        )
    first = np.zeros(len(names), np.int64)
    first[of[::-1]] = np.arange(len(detector))[::-1]
    return Groups(by, names, of, first)


def event_keys(digis: Digis) -> NDArray[np.uint64]:
    """A number a event that depends on its digis alone: uint64[events].

    So that the part of an event does not depend on how the events were cut into chunks.
    """
    keys = np.empty(len(digis), np.uint64)
    columns = (digis.detid, digis.row, digis.col, digis.adc)
    for i, (begin, end) in enumerate(zip(digis.offsets[:-1], digis.offsets[1:], strict=True)):
        digest = xxhash.xxh3_64()
        for column in columns:
            digest.update(column[begin:end].tobytes())
        keys[i] = digest.intdigest()
    return keys


def part_of(
    detector: Detector, keys: NDArray[np.uint64], event: NDArray, module: NDArray
) -> NDArray[np.int64]:
    """The part (0 to `PARTS` - 1) of modules in events whose `event_keys` are given."""
    sector = np.arctan2(detector.position[:, 1], detector.position[:, 0]) % (2 * np.pi)
    sector = np.minimum((sector * PARTS / (2 * np.pi)).astype(np.int64), PARTS - 1)
    # a detector without positions: its modules in turn
    sector = np.where(detector.radius > 0, sector, np.arange(len(detector)))
    return ((keys % np.uint64(PARTS)).astype(np.int64)[event] + sector[module]) % PARTS


def spread_of(replicas: NDArray[np.float64], used: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Jackknife error of numbers from their values without each part.

    Parameters
    ----------
    replicas : float64[parts, ...]
        The numbers, each part left out in turn.
    used : bool[parts, ...]
        Whether a part has anything in it; others do not count.

    Returns
    -------
    float64[...]
        NaN where fewer than two parts count, or a number does not exist without one of them.
    """
    n = used.sum(axis=0)
    known = (n > 1) & np.isfinite(np.where(used, replicas, 0.0)).all(axis=0)
    safe = np.where(used & known, replicas, 0.0)
    mean = safe.sum(axis=0) / np.maximum(n, 1)
    squares = (np.where(used & known, safe - mean, 0.0) ** 2).sum(axis=0)
    return np.where(known, np.sqrt((n - 1) / np.maximum(n, 1) * squares), np.nan)
