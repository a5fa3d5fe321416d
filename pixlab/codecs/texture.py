"""How charge is spread over the pixels of a cluster beyond its barycentre: learned, not told.

A pixel's *role* is which of its four neighbours are hit. In each role a pixel has so much more or
less than its cluster's mean count, on average (`base`), and fluctuates about that (`noise`, one of
the quantiles that were seen, chosen by a hash of place and charge). So painted pixels have the spectrum
of real ones, while charge and barycentre of the cluster stay what was told.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixlab.codecs.moments import QUIET, Pixels
from pixlab.coding.bits import kernel
from pixlab.errors import FormatError

__all__ = ["ROLES", "base_of", "learn_texture", "noise_of", "open_texture", "roles_of"]

ROLES = 16
_QUANTILES = 64
_ENOUGH = 200  # pixels of a role, to know how they fluctuate
_FEW = 3  # pixels; in smaller clusters charge and barycentre say it all

Array = NDArray[Any]


def roles_of(pixels: Pixels, n_digis: int) -> NDArray[np.uint8]:
    """Which neighbours of each pixel are hit: uint8[digis]; left 1, right 2, above 4, below 8."""
    found = np.zeros(n_digis, np.uint8)
    _find_roles(pixels, found)
    return found


@kernel
def _find_roles(pixels, found):  # type: ignore[no-untyped-def]
    offsets, members, row, col, _ = pixels
    one = np.uint64(1)
    for c in range(np.uint64(len(offsets) - 1)):
        begin, end = np.uint64(offsets[c]), np.uint64(offsets[c + one])
        # pixels of a cluster are sorted by row, then column
        above = begin
        before = np.uint64(members[begin])
        for k in range(begin, end):
            i = np.uint64(members[k])
            r, y = np.int64(row[i]), np.int64(col[i])
            if k > begin and np.int64(row[before]) == r and np.int64(col[before]) == y - 1:
                found[i] |= 1
                found[before] |= 2
            before = i
            j = np.uint64(members[above])
            while above < k and (
                np.int64(row[j]) < r - 1 or (np.int64(row[j]) == r - 1 and np.int64(col[j]) < y)
            ):
                above += one
                j = np.uint64(members[above])
            if above < k and np.int64(row[j]) == r - 1 and np.int64(col[j]) == y:
                found[i] |= 4
                found[j] |= 8


def learn_texture(name: str, pixels: Pixels, adc: NDArray[np.uint16]) -> dict[str, Array]:
    """The arrays of a model: ``name.base`` uint8[ROLES], ``name.noise`` uint8[ROLES, 64]."""
    sizes = np.diff(pixels.offsets)
    member_sizes = np.repeat(sizes, sizes)
    counts = adc[pixels.members].astype(np.float64)
    sums = np.add.reduceat(counts, pixels.offsets[:-1]) if len(sizes) else counts
    role = roles_of(pixels, len(adc))[pixels.members]
    known = (member_sizes >= _FEW) & (np.repeat(sums, sizes) > 0)
    ratio = counts[known] * member_sizes[known] / np.repeat(sums, sizes)[known]
    role = role[known]
    base = np.full(ROLES, QUIET, np.uint8)
    noise = np.full((ROLES, _QUANTILES), QUIET, np.uint8)
    places = (np.arange(_QUANTILES) + 0.5) / _QUANTILES
    for k in range(ROLES):
        mine = ratio[role == k]
        if len(mine) >= _ENOUGH:
            base[k] = np.clip(np.rint(QUIET * mine.mean()), 1, 255)
            spread = np.quantile(mine, places) / mine.mean()
            noise[k] = np.clip(np.rint(QUIET * spread), 1, 255)
    return {f"{name}.base": base, f"{name}.noise": noise}


def open_texture(
    name: str, arrays: Mapping[str, Array]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The two arrays of a model, checked.

    Raises
    ------
    FormatError
        If they are damaged.
    """
    base, noise = arrays[f"{name}.base"], arrays[f"{name}.noise"]
    good = base.shape == (ROLES,) and noise.shape == (ROLES, _QUANTILES)
    good = good and base.dtype == noise.dtype == np.uint8
    if not (good and base.all() and noise.all()):
        raise FormatError(f"'{name}': the texture of the model is damaged")
    return base, noise


def base_of(base: NDArray[np.uint8], roles: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The base of each pixel: uint8[digis]."""
    found = np.empty(len(roles), np.uint8)
    _look_up(base, roles, found)
    return found


@kernel
def _look_up(table, at, found):  # type: ignore[no-untyped-def]
    for i in range(np.uint64(len(at))):
        found[i] = table[np.uint64(at[i])]


def noise_of(
    noise: NDArray[np.uint8],
    roles: NDArray[np.uint8],
    pixels: Pixels,
    module: Array,
    charge: NDArray[np.int64],
) -> NDArray[np.uint8]:
    """The noise of each pixel, from its place and its cluster's charge alone: uint8[digis]."""
    found = np.full(len(roles), QUIET, np.uint8)
    _find_noise(noise, roles, pixels, module, charge, found)
    return found


@kernel
def _find_noise(noise, roles, pixels, module, charge, found):  # type: ignore[no-untyped-def]
    offsets, members, row, col, _ = pixels
    for c in range(np.uint64(len(charge))):
        own = np.uint64(module[c]) * np.uint64(3266489917)
        own += np.uint64(charge[c]) * np.uint64(668265263)
        for k in range(np.uint64(offsets[c]), np.uint64(offsets[c + np.uint64(1)])):
            i = np.uint64(members[k])
            h = own + np.uint64(row[i]) * np.uint64(2654435761)
            h += np.uint64(col[i]) * np.uint64(2246822519)
            h ^= h >> np.uint64(15)
            h *= np.uint64(2246822519)
            h ^= h >> np.uint64(13)
            found[i] = noise[np.uint64(roles[i]), (h >> np.uint64(7)) & np.uint64(63)]
