"""Helices through the beam line, in integers: the same numbers on every machine.

A track starts on the beam line (the z axis) and turns in the transverse plane::

    x, y = direction at the beam line, turned by 2 K s        s: length of the transverse arc
    z    = z0 + t s

Lengths are integers in micrometres, directions and the slope ``t`` in 2^-20, half the curvature
``K`` in 2^-44 per micrometre. A circle through the beam line and two points follows from the fact
that inversion turns it into a straight line: its tangent at the beam line is parallel to
``x1 r2^2 - x2 r1^2``.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["FAR", "ONE", "arc", "azimuth", "chord", "circle", "crossing", "isqrt", "walk"]

ONE = 1 << 20  # of directions and slopes
FAR = 1 << 22  # um: nothing is followed farther
_STEPS = 512  # of the tables
_ARC_BITS, _TURN_BITS = 11, 15  # so that they reach to 1 and to 16
_MOST_ARC = 1_030_000  # (K r)^2 of 0.98: nearly half a turn from the beam line
_LEAST_COSINE = 52_000  # 0.05: what grazes a plane more does not cross it


def _series(
    numerator: int, denominator: int, first: int, ratio: tuple[tuple[int, ...], ...]
) -> int:
    """Sum of terms that begin with first / 2^40 and each follow from the one before, in 2^-20.

    The k-th factor is ``numerator / denominator`` times the product of ``(a k + b)`` over the first
    entry of `ratio` divided by the product over the second.
    """
    term, total, k = first << 20, 0, 0
    while term and k < 4000:
        total += term
        above = below = 1
        for a, b in zip(ratio[0][::2], ratio[0][1::2], strict=True):
            above *= a * k + b
        for a, b in zip(ratio[1][::2], ratio[1][1::2], strict=True):
            below *= a * k + b
        # exact integers, rounded towards zero: no machine disagrees about them
        product = term * numerator * above
        term = abs(product) // (denominator * below) * (1 if product > 0 else -1)
        k += 1
    return total >> 40


def _tables() -> tuple[NDArray[np.int64], ...]:
    unit = 1 << 40
    grid = range(_STEPS + 1)
    # asin(x) / x over x^2, the last entries bounded as `arc` never reads them
    arcs = [_series(min(i, _STEPS - 8), _STEPS, unit, ((2, 1, 2, 1), (2, 2, 2, 3))) for i in grid]
    # sin(x) / x and (1 - cos x) / x^2 over x^2
    sines = [_series(-16 * i, _STEPS, unit, ((), (2, 2, 2, 3))) for i in grid]
    versines = [_series(-16 * i, _STEPS, unit // 2, ((), (2, 3, 2, 4))) for i in grid]
    return tuple(np.array(t, np.int64) for t in (arcs, sines, versines))


_ARCS, _SINES, _VERSINES = _tables()


@njit(cache=True, nogil=True)
def isqrt(v):  # type: ignore[no-untyped-def]
    """The largest integer whose square is at most `v`, which is below 2^62."""
    if v <= 0:
        return np.int64(0)
    bits = 0
    while v >> bits:
        bits += 1
    x = np.int64(1) << ((bits + 1) >> 1)
    while True:
        y = (x + v // x) >> 1
        if y >= x:
            return x
        x = y


@njit(cache=True, nogil=True)
def azimuth(x, y):  # type: ignore[no-untyped-def]
    """Azimuth as a number from 0 to 65535, good to 0.3 degrees."""
    ax, ay = abs(x), abs(y)
    if ax == 0 and ay == 0:
        return np.int64(0)
    # atan(q) is about q (pi / 4 + 0.273 (1 - q)) for q from 0 to 1
    q = (min(ax, ay) << 14) // max(ax, ay)
    turned = (q * (8192 + ((2847 * (16384 - q)) >> 14))) >> 14
    if ay > ax:
        turned = 16384 - turned
    if x < 0:
        turned = 32768 - turned
    return (-turned if y < 0 else turned) & 65535


@njit(cache=True, nogil=True)
def _look(table, x, bits):  # type: ignore[no-untyped-def]
    """Linear interpolation in a table whose steps are 2^bits wide."""
    i = x >> bits
    if i >= len(table) - 1:
        return table[len(table) - 1]
    part = x & ((np.int64(1) << bits) - 1)
    return table[i] + (((table[i + 1] - table[i]) * part) >> bits)


@njit(cache=True, nogil=True)
def circle(x1, y1, r1, x2, y2, r2):  # type: ignore[no-untyped-def]
    """The circle through the beam line and two points at distances r1, r2 of less than 2^19.

    Returns (whether there is one, direction x, direction y, K).
    """
    wx = x1 * (r2 * r2) - x2 * (r1 * r1)
    wy = y1 * (r2 * r2) - y2 * (r1 * r1)
    most = max(abs(wx), abs(wy))
    while most >= (np.int64(1) << 30):
        most >>= 1
        wx >>= 1
        wy >>= 1
    norm = isqrt(wx * wx + wy * wy)
    if norm < 1024 or r2 == 0:
        return False, np.int64(0), np.int64(0), np.int64(0)
    wx = (wx << 20) // norm
    wy = (wy << 20) // norm
    if wx * x1 + wy * y1 < 0:
        wx, wy = -wx, -wy
    # how far the farther point is off the tangent
    off = wx * y2 - wy * x2
    return True, wx, wy, ((off >> 2) << 24) // max((r2 * r2) >> 2, 1)


@njit(cache=True, nogil=True)
def arc(k, r):  # type: ignore[no-untyped-def]
    """Length of the arc from the beam line to distance r; -1 if the circle does not get there."""
    x = (k * r) >> 24
    square = (x * x) >> 20
    if square >= _MOST_ARC:
        return np.int64(-1)
    return (r * _look(_ARCS, square, _ARC_BITS)) >> 20


@njit(cache=True, nogil=True)
def chord(k, s):  # type: ignore[no-untyped-def]
    """Distance from the beam line after an arc of s."""
    half = (k * s) >> 24
    return (s * _look(_SINES, (half * half) >> 20, _TURN_BITS)) >> 20


@njit(cache=True, nogil=True)
def walk(wx, wy, k, s):  # type: ignore[no-untyped-def]
    """Transverse position (um) and direction after an arc of s: (x, y, dx, dy)."""
    turn = (k * s) >> 23
    square = (turn * turn) >> 20
    sine = _look(_SINES, square, _TURN_BITS)
    versine = _look(_VERSINES, square, _TURN_BITS)
    ahead = (s * sine) >> 20
    aside = (((s * turn) >> 20) * versine) >> 20
    sin = (turn * sine) >> 20
    cos = ONE - ((square * versine) >> 20)
    return (
        (wx * ahead - wy * aside) >> 20,
        (wy * ahead + wx * aside) >> 20,
        (wx * cos - wy * sin) >> 20,
        (wy * cos + wx * sin) >> 20,
    )


@njit(cache=True, nogil=True)
def crossing(planes, m, wx, wy, k, t, z0, s):  # type: ignore[no-untyped-def]
    """Where a track that passes module m near arc s meets its plane.

    Returns (whether it does, arc, position along rows and columns from the centre in um, slopes
    along rows and columns in 1/1024).
    """
    no = np.int64(0)
    nx, ny, nz = planes.normal[m, 0], planes.normal[m, 1], planes.normal[m, 2]
    cx, cy, cz = planes.centre[m, 0], planes.centre[m, 1], planes.centre[m, 2]
    for i in range(2):
        x, y, dx, dy = walk(wx, wy, k, s)
        px, py, pz = x - cx, y - cy, z0 + ((t * s) >> 20) - cz
        above = (nx * px + ny * py + nz * pz) >> 20
        cosine = (nx * dx + ny * dy + nz * t) >> 20
        if cosine < _LEAST_COSINE:
            return False, s, no, no, no, no
        step = -(above << 20) // cosine
        if abs(s + step) > FAR:
            return False, s, no, no, no, no
        s += step
        if i == 0:
            continue
        # what is left is so little that the tangent takes it there
        px += (dx * step) >> 20
        py += (dy * step) >> 20
        pz += (t * step) >> 20
    ax, ay, az = planes.row_axis[m, 0], planes.row_axis[m, 1], planes.row_axis[m, 2]
    bx, by, bz = planes.col_axis[m, 0], planes.col_axis[m, 1], planes.col_axis[m, 2]
    return (
        True,
        s,
        (ax * px + ay * py + az * pz) >> 20,
        (bx * px + by * py + bz * pz) >> 20,
        ((ax * dx + ay * dy + az * t) >> 10) // cosine,
        ((bx * dx + by * dy + bz * t) >> 10) // cosine,
    )
