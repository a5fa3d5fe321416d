"""Ids of detectors described by ACTS (TrackML's too), as 32 bits.

A module is known by its volume, layer and number in the layer. The 64-bit ``geometry_id`` of ACTS
has 8 bits of volume, 8 of boundary, 12 of layer, 8 of approach, 20 of sensitive number (the
module) and 8 more, from the highest down (`Core/include/Acts/Geometry/GeometryIdentifier.hpp` in
acts-project/acts). Here the same three numbers are packed into ``volume << 24 | layer << 16 |
module``: 8, 8 and 16 bits. TrackML's ``volume_id``, ``layer_id`` and ``module_id`` are those
numbers themselves.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pixlab.errors import PixlabError

__all__ = ["ModulePlace", "from_geometry_id", "pack", "to_geometry_id", "unpack"]


class ModulePlace(NamedTuple):
    """Volume, layer and module of ids: int64 arrays of one shape."""

    volume: NDArray[np.int64]
    layer: NDArray[np.int64]
    module: NDArray[np.int64]


def pack(volume: ArrayLike, layer: ArrayLike, module: ArrayLike) -> NDArray[np.uint32]:
    """32-bit ids of modules.

    Raises
    ------
    PixlabError
        If a number does not fit its bits.
    """
    parts = []
    for name, value, bits in (("volume", volume, 8), ("layer", layer, 8), ("module", module, 16)):
        number = np.asarray(value)
        if number.dtype.kind not in "iu" and number.size:
            raise PixlabError(f"{name} numbers are {number.dtype}, integers are needed")
        if number.size and (int(number.min()) < 0 or int(number.max()) >> bits):
            bad = number[(number < 0) | (number >= 1 << bits)].flat[0]
            raise PixlabError(f"{name} {int(bad)} does not fit an id: it has {bits} bits")
        parts.append(number.astype(np.uint32))
    return parts[0] << np.uint32(24) | parts[1] << np.uint32(16) | parts[2]


def unpack(detid: ArrayLike) -> ModulePlace:
    """The numbers that `pack` made ids of."""
    raw = np.asarray(detid, np.int64)
    return ModulePlace(raw >> 24, (raw >> 16) & 0xFF, raw & 0xFFFF)


def to_geometry_id(detid: ArrayLike) -> NDArray[np.uint64]:
    """The 64-bit ids of ACTS of 32-bit ids."""
    volume, layer, module = (a.astype(np.uint64) for a in unpack(detid))
    return volume << np.uint64(56) | layer << np.uint64(36) | module << np.uint64(8)


def from_geometry_id(geometry_id: ArrayLike) -> NDArray[np.uint32]:
    """32-bit ids of the 64-bit ids of ACTS.

    Raises
    ------
    PixlabError
        If an id is of something else than a module: it has a boundary, an approach surface or
        extra bits, or no sensitive number; or if a number does not fit.
    """
    ids = np.asarray(geometry_id)
    if ids.dtype.kind not in "iu" and ids.size:
        raise PixlabError(
            f"geometry ids are {ids.dtype}, integers are needed",
            "read them as 64-bit integers: as floating point they lose their last digits",
        )
    raw = ids.astype(np.uint64)

    def bits(shift: int, count: int) -> NDArray[np.int64]:
        return ((raw >> np.uint64(shift)) & np.uint64((1 << count) - 1)).astype(np.int64)

    other = (bits(48, 8) | bits(28, 8) | bits(0, 8)) != 0
    other |= bits(8, 20) == 0
    if other.any():
        raise PixlabError(f"geometry id {int(raw[other].flat[0])} is not that of a module")
    return pack(bits(56, 8), bits(36, 12), bits(8, 20))
