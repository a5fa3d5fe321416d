"""How far clusters begin from where a track makes them likely: learned histograms.

A prediction is in quarters of a pixel, and so are the bins. A kernel has, for each of the four
places that a prediction may have inside a pixel, a probability for each pixel around; kernels of a
group share what they have seen until they have seen enough of their own.
"""

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = ["BINS", "NEAR", "PHASES", "UNIT_MASS", "cumulate", "note", "part_before", "part_of"]

NEAR = 8  # pixels on each side
BINS = 8 * NEAR
PHASES = 4
UNIT_MASS = 13  # masses are in 2^-13
_POOLED = 60  # entries that a kernel borrows from its group
_MOST = np.int64(1) << 40


@njit(cache=True, nogil=True)
def cumulate(counts, pooled, kernels_of_group, masses):  # type: ignore[no-untyped-def]
    """Turn histograms into mass below each pixel: ``masses[kernel, phase, pixel]``.

    ``counts`` (int64[kernels, BINS]) and ``pooled`` (int64[groups, BINS]) are in 1/65536; kernel k
    belongs to group ``k // kernels_of_group``.
    """
    for k in range(len(counts)):
        g = k // kernels_of_group
        whole = np.int64(1)
        for b in range(BINS):
            whole += pooled[g, b]
        for phase in range(PHASES):
            total = np.int64(0)
            for pixel in range(2 * NEAR + 1):
                masses[k, phase, pixel] = total
                b = 4 * pixel - phase
                if 0 <= b < BINS:
                    total += counts[k, b] + 1
                    total += ((pooled[g, b] << 8) // whole) * (_POOLED << 8)
            for pixel in range(2 * NEAR + 1):
                masses[k, phase, pixel] = (masses[k, phase, pixel] << UNIT_MASS) // max(total, 1)
            masses[k, phase, 2 * NEAR + 1] = 1 << UNIT_MASS


@njit(cache=True, nogil=True)
def part_before(masses, kernel, predicted, pixel):  # type: ignore[no-untyped-def]
    """Mass of a kernel in the pixels before `pixel`; ``predicted`` in quarters of a pixel."""
    i = pixel - (predicted >> 2) + NEAR
    return np.int64(masses[kernel, predicted & 3, min(max(i, 0), 2 * NEAR + 1)])


@njit(cache=True, nogil=True)
def part_of(masses, kernel, predicted, pixel):  # type: ignore[no-untyped-def]
    """Mass of a kernel in one pixel."""
    i = pixel - (predicted >> 2) + NEAR
    if i < 0 or i > 2 * NEAR:
        return np.int64(0)
    return np.int64(masses[kernel, predicted & 3, i + 1] - masses[kernel, predicted & 3, i])


@njit(cache=True, nogil=True)
def note(counts, pooled, kernels_of_group, kernel, predicted, pixel, share):  # type: ignore[no-untyped-def]
    """Count what was seen in `pixel`, of which `share` (1/65536) is this kernel's."""
    b = 4 * (pixel + NEAR) - predicted
    if 0 <= b < BINS and counts[kernel, b] < _MOST:
        counts[kernel, b] += share
        pooled[kernel // kernels_of_group, b] += share
