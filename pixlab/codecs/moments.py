"""Clusters as moments: their charge and barycentre to pixels, and back, in integers.

A cluster whose pixels are known is described by its total count Q and by how far its
charge-weighted barycentre lies from the middle of its pixels. `paint` gives the pixels counts that
have this total and, as far as limits of counts allow, this barycentre: a plane over the pixels,
1 + a x + b y, times a weight of each pixel's own, scaled to Q. Lengths are in 1/256 of the pitch,
between the centres of pixels in space, so that pixels of double size count where they are. Every
step is an integer division, so that all machines paint the same.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pixlab.coding.bits import kernel
from pixlab.detectors import Detector

__all__ = ["BOTH", "COLS", "MAX_PIXELS", "MAX_SPAN", "QUIET", "ROWS", "UNIT"]
__all__ += ["Pixels", "Places", "beyond", "directions", "make_places", "middles", "paint"]
__all__ += ["pitch_of", "plane", "shifts"]

UNIT = 256  # lengths a pitch
MAX_SPAN = 80  # pixels along rows or columns; longer clusters cannot be painted
MAX_PIXELS = 255  # nor can larger ones
QUIET = 64  # noise that changes nothing; a base that is as good as any other
ROWS, COLS, BOTH = 1, 2, 3
_LIMIT = 2 * UNIT * MAX_SPAN  # of an offset; a pixel is at most twice as long as the pitch
_ONE = 1 << 16  # a weight of 1
_LEAST, _MOST = _ONE // 20, 16 * _ONE
_ROUNDS = 4  # of correcting what limits of counts do to the barycentre
_GOOD = 2  # times as far off as a count makes it, a barycentre is not worth less noise
_SHIFT = 38  # bits behind the point of a share of the charge


class Places(NamedTuple):
    """Centres of pixels in 1/256 of the pitch: int64[sensors, rows], int64[sensors, columns]."""

    row: NDArray[np.int64]
    col: NDArray[np.int64]


class Pixels(NamedTuple):
    """The pixels of clusters.

    ``offsets``: int64[clusters + 1], where each cluster's part of ``members`` begins; ``members``:
    int64[...], indices of digis; ``row``, ``col``: uint16[digis]; ``sensor``: int64[clusters], row
    of `Places`.
    """

    offsets: NDArray[np.int64]
    members: NDArray[np.int64]
    row: NDArray[np.uint16]
    col: NDArray[np.uint16]
    sensor: NDArray[np.int64]


def make_places(detector: Detector) -> Places:
    """Where the pixels of each kind of sensor are."""
    tables = []
    for axis, sides in enumerate((detector.rows, detector.cols)):
        table = np.zeros((len(detector.sensors), int(sides.max(initial=1))), np.int64)
        for i, sensor in enumerate(detector.sensors):
            centres = sensor.centres[axis]
            pitch = (sensor.pitch_row, sensor.pitch_col)[axis]
            table[i, : len(centres)] = np.rint(UNIT * (centres - centres[:1]) / pitch)
        tables.append(table)
    return Places(*tables)


def pitch_of(detector: Detector) -> NDArray[np.float64]:
    """Pitch along rows and columns, um; the mean of the modules, where they differ."""
    return detector.pitch.mean(axis=0)


@kernel
def _middle(begin, end, members, place, table):  # type: ignore[no-untyped-def]
    """Rounded mean place of the pixels of a cluster."""
    total = 0
    for k in range(begin, end):
        total += table[place[members[k]]]
    n = end - begin
    return (2 * total + n) // (2 * n)


def shifts(pixels: Pixels, places: Places, adc: NDArray[np.uint16]) -> NDArray[np.int64]:
    """Charge and barycentre of each cluster: int64[clusters, 3].

    The total count, and the offset from the middle of the pixels along rows and columns.
    """
    found = np.zeros((len(pixels.offsets) - 1, 3), np.int64)
    _shifts(pixels, places, adc, found)
    return found


@kernel
def _shifts(pixels, places, adc, found):  # type: ignore[no-untyped-def]
    offsets, members, row, col, sensor = pixels
    for c in range(len(found)):
        begin, end = offsets[c], offsets[c + 1]
        rows, cols = places.row[sensor[c]], places.col[sensor[c]]
        middle_row = _middle(begin, end, members, row, rows)
        middle_col = _middle(begin, end, members, col, cols)
        charge = up = along = 0
        for k in range(begin, end):
            i = members[k]
            a = np.int64(adc[i])
            charge += a
            up += a * (rows[row[i]] - middle_row)
            along += a * (cols[col[i]] - middle_col)
        found[c, 0] = charge
        if charge > 0:
            found[c, 1] = (2 * up + charge) // (2 * charge)
            found[c, 2] = (2 * along + charge) // (2 * charge)


def beyond(
    decoded: NDArray[np.int64], original: NDArray[np.int64], most: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Clusters whose moments differ by more than `most`: a fraction of the charge, lengths."""
    off = np.abs(decoded - original) - 1.0  # what rounding does is no error
    off[:, 0] /= np.maximum(original[:, 0], 1)
    return (off > most).any(axis=1)


def directions(pixels: Pixels) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Along what the barycentre of each cluster can move, and which way it leans: uint8[clusters].

    The first is 0 for a single pixel and for clusters that cannot be painted, `ROWS` or `COLS` where
    all pixels are on a line, so that one number says it all (rows, if the line is oblique), and
    `BOTH`. The second is 1 where columns fall with rows, else 0.
    """
    found = np.zeros((2, len(pixels.offsets) - 1), np.uint8)
    _directions(pixels, found)
    return found[0], found[1]


@kernel
def _directions(pixels, found):  # type: ignore[no-untyped-def]
    offsets, members, row, col, _ = pixels
    for c in range(found.shape[1]):
        begin, end = offsets[c], offsets[c + 1]
        n = end - begin
        if n > MAX_PIXELS:
            continue
        sr = sc = rr = cc = rc = 0
        most = np.int64(0)
        for k in range(begin, end):
            # a pixel of the cluster as origin keeps the numbers small
            x = np.int64(row[members[k]]) - np.int64(row[members[begin]])
            y = np.int64(col[members[k]]) - np.int64(col[members[begin]])
            most = max(most, abs(x), abs(y))
            sr += x
            sc += y
            rr += x * x
            cc += y * y
            rc += x * y
        rr, cc, rc = n * rr - sr * sr, n * cc - sc * sc, n * rc - sr * sc
        found[1, c] = rc < 0
        if most >= MAX_SPAN:
            continue
        if rr == 0:
            found[0, c] = COLS if cc > 0 else 0
        elif cc > 0 and rr * cc > rc * rc:
            found[0, c] = BOTH
        else:
            found[0, c] = ROWS


def middles(
    pixels: Pixels, places: Places, row: NDArray[Any], col: NDArray[Any], high: Any, wide: Any
) -> NDArray[np.int64]:
    """How far the middle of the pixels of each cluster is from the middle of its box: int64[n, 2].

    ``row``, ``col``, ``high`` and ``wide`` are first corners and sides of the boxes.
    """
    found = np.zeros((len(pixels.offsets) - 1, 2), np.int64)
    _middles(pixels, places, found)
    for i, (table, first, side) in enumerate(((places.row, row, high), (places.col, col, wide))):
        ends = table[pixels.sensor, first], table[pixels.sensor, first + side - 1]
        found[:, i] -= (ends[0] + ends[1]) // 2
    return found


@kernel
def _middles(pixels, places, found):  # type: ignore[no-untyped-def]
    offsets, members, row, col, sensor = pixels
    for c in range(len(found)):
        begin, end = offsets[c], offsets[c + 1]
        found[c, 0] = _middle(begin, end, members, row, places.row[sensor[c]])
        found[c, 1] = _middle(begin, end, members, col, places.col[sensor[c]])


@njit(inline="always")
def plane(free, up, along, rr, cc, rc):  # type: ignore[no-untyped-def]
    """Slopes along rows and columns that move a barycentre by (up, along), 2^16 for 1.

    ``rr``, ``cc`` and ``rc`` are the mean squares and product of the distances from the middle.
    """
    rr, cc = max(rr, 1), max(cc, 1)
    if free == BOTH:
        det = max(rr * cc - rc * rc, (rr * cc >> 12) + 1)  # nearly on a line: no steeper than that
        return (up * cc - along * rc) * _ONE // det, (along * rr - up * rc) * _ONE // det
    if free == ROWS:
        return up * _ONE // rr, np.int64(0)
    if free == COLS:
        return np.int64(0), along * _ONE // cc
    return np.int64(0), np.int64(0)


def paint(
    pixels: Pixels,
    places: Places,
    free: NDArray[np.uint8],
    charge: NDArray[np.int64],
    target: NDArray[np.int64],
    base: NDArray[np.uint8],
    noise: NDArray[np.uint8],
    least: NDArray[np.uint16],
    most: NDArray[np.uint16],
    adc: NDArray[np.uint16],
) -> None:
    """Fill in the counts of clusters.

    Parameters
    ----------
    pixels, places
        Of the clusters.
    free : uint8[clusters]
        What `directions` gave.
    charge : int64[clusters]
        The total count; clusters where it is negative are left alone, and those that cannot be
        painted must be among them.
    target : int64[clusters, 2]
        The barycentre, as `shifts` gives it.
    base, noise : uint8[digis]
        Weight of each pixel where the barycentre asks for nothing: their product, at least 1 each.
        Where noise keeps a barycentre from its place, there is less of it; `QUIET` is none.
    least, most : uint16[digis]
        Limits of each count, which go before all else.
    adc : uint16[digis]
        Filled in.
    """
    scratch = np.empty((6, MAX_PIXELS), np.int64)
    _paint(pixels, places, free, charge, target, base, noise, least, most, adc, scratch)


@kernel
def _paint(pixels, places, free, charge, target, base, noise, least, most, adc, scratch):  # type: ignore[no-untyped-def]
    offsets, members, row, col, sensor = pixels
    x, y, own, weight, share, best = (
        scratch[0], scratch[1], scratch[2], scratch[3], scratch[4], scratch[5],
    )  # fmt: skip
    for c in range(len(charge)):
        if charge[c] < 0:
            continue
        begin, end = offsets[c], offsets[c + 1]
        n = end - begin
        rows, cols = places.row[sensor[c]], places.col[sensor[c]]
        if n <= 2:
            _paint_few(
                c,
                begin,
                n,
                members,
                row,
                col,
                rows,
                cols,
                free[c],
                charge[c],
                target,
                least,
                most,
                adc,
            )
            continue
        middle_row = _middle(begin, end, members, row, rows)
        middle_col = _middle(begin, end, members, col, cols)
        for k in range(n):
            x[k] = rows[row[members[begin + k]]] - middle_row
            y[k] = cols[col[members[begin + k]]] - middle_col
        near = 1 + UNIT // max(charge[c], 1)  # what a count moves a barycentre, about
        least_off = np.int64(-1)
        for calm in range(3):  # the noise, half of it, none
            heavy = mean_row = mean_col = np.int64(0)
            for k in range(n):
                i = members[begin + k]
                loud = np.int64(noise[i])
                if calm:
                    loud = QUIET if calm == 2 else (loud + QUIET) >> 1
                own[k] = max(np.int64(base[i]) * loud >> 6, 1)
                heavy += own[k]
                mean_row += own[k] * x[k]
                mean_col += own[k] * y[k]
            mean_row //= heavy
            mean_col //= heavy
            rr = cc = rc = np.int64(0)
            for k in range(n):
                dx, dy = x[k] - mean_row, y[k] - mean_col
                rr += own[k] * dx * dx
                cc += own[k] * dy * dy
                rc += own[k] * dx * dy
            rr, cc, rc = rr // heavy, cc // heavy, rc // heavy
            wish_row = min(max(target[c, 0] - mean_row, -_LIMIT), _LIMIT)
            wish_col = min(max(target[c, 1] - mean_col, -_LIMIT), _LIMIT)
            for _ in range(_ROUNDS):
                a, b = plane(free[c], wish_row, wish_col, rr, cc, rc)
                for k in range(n):
                    tilt = _ONE + a * (x[k] - mean_row) + b * (y[k] - mean_col)
                    weight[k] = min(max(tilt, _LEAST), _MOST) * own[k]
                _share(n, weight, charge[c], members, begin, least, most, share)
                total = got_row = got_col = np.int64(0)
                for k in range(n):
                    total += share[k]
                    got_row += share[k] * x[k]
                    got_col += share[k] * y[k]
                off_row = off_col = np.int64(0)
                if total > 0 and free[c] & ROWS:
                    off_row = target[c, 0] - (2 * got_row + total) // (2 * total)
                if total > 0 and free[c] & COLS:
                    off_col = target[c, 1] - (2 * got_col + total) // (2 * total)
                off = max(abs(off_row), abs(off_col))
                better = least_off < 0 or off < least_off
                if better:
                    least_off = off
                    for k in range(n):
                        best[k] = share[k]
                if off <= near or not better:
                    break
                wish_row = min(max(wish_row + off_row, -_LIMIT), _LIMIT)
                wish_col = min(max(wish_col + off_col, -_LIMIT), _LIMIT)
            if least_off <= _GOOD * near:
                break
        for k in range(n):
            adc[members[begin + k]] = best[k]


@njit(inline="always")
def _paint_few(  # type: ignore[no-untyped-def]
    c, begin, n, members, row, col, rows, cols, free, charge, target, least, most, adc
):
    """Paint a cluster of one or two pixels, which charge and barycentre say all about."""
    i, j = members[begin], members[begin + n - 1]
    low, high = np.int64(least[i]), np.int64(most[i])
    if n == 1:
        adc[i] = min(max(charge, low), high)
        return
    if free == ROWS:
        length, place = rows[row[j]] - rows[row[i]], target[c, 0]
    else:
        length, place = cols[col[j]] - cols[col[i]], target[c, 1]
    low_j, high_j = np.int64(least[j]), np.int64(most[j])
    total = min(max(charge, low + low_j), high + high_j)
    # the barycentre is at -length / 2 if the first one has all, at length / 2 if it has none
    place = min(max(place, -_LIMIT), _LIMIT)
    part = (total * (2 * place + length) + length) // (2 * length)
    part = min(max(part, low_j, total - high), high_j, total - low)
    adc[i], adc[j] = total - part, part


@kernel
def _share(n, weight, charge, members, begin, least, most, share):  # type: ignore[no-untyped-def]
    """Split `charge` by weight, within the limits of each pixel.

    Whatever goes beyond on the side that goes beyond further is fixed at its limits, and the rest is
    split again. Weights are used up.
    """
    lowest = highest = total = np.int64(0)
    for k in range(n):
        lowest += np.int64(least[members[begin + k]])
        highest += np.int64(most[members[begin + k]])
        total += weight[k]
    left = min(max(charge, lowest), highest)
    ratio = np.int64(0)
    while total > 0:
        ratio = (left << _SHIFT) // total
        over = under = np.int64(0)
        for k in range(n):
            if weight[k] > 0:
                part = weight[k] * ratio >> _SHIFT
                over += max(part - np.int64(most[members[begin + k]]), 0)
                under += max(np.int64(least[members[begin + k]]) - part, 0)
        if over == 0 and under == 0:
            break
        for k in range(n):
            if weight[k] > 0:
                part = weight[k] * ratio >> _SHIFT
                low, high = np.int64(least[members[begin + k]]), np.int64(most[members[begin + k]])
                if (over >= under and part > high) or (over < under and part < low):
                    share[k] = high if over >= under else low
                    left -= share[k]
                    total -= weight[k]
                    weight[k] = 0
    reached = done = np.int64(0)  # cumulative, so that the parts add up to what is left
    for k in range(n):
        if weight[k] > 0:
            reached += weight[k]
            upto = left if reached == total else reached * ratio >> _SHIFT
            low, high = np.int64(least[members[begin + k]]), np.int64(most[members[begin + k]])
            share[k] = min(max(upto - done, low), high)
            done = upto
