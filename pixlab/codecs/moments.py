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

__all__ = ["BOTH", "COLS", "MAX_OFFSET", "MAX_PIXELS", "MAX_SPAN", "QUIET", "ROWS", "TRIM", "UNIT"]
__all__ += [
    "Limits",
    "Pixels",
    "Places",
    "beyond",
    "direction",
    "directions",
    "make_places",
    "middles",
    "paint",
]
__all__ += ["pitch_of", "plane", "shifts", "trimmed"]

UNIT = 256  # lengths a pitch
TRIM = 4096  # of a charge that is told as it is
MAX_SPAN = 80  # pixels along rows or columns; longer clusters cannot be painted
MAX_PIXELS = 255  # nor can larger ones
QUIET = 64  # noise that changes nothing; a base that is as good as any other
ROWS, COLS, BOTH = 1, 2, 3
MAX_OFFSET = 2 * UNIT * MAX_SPAN  # of an offset; a pixel is at most twice as long as the pitch
_ONE = 1 << 16  # a weight of 1
_LEAST, _MOST = _ONE // 20, 16 * _ONE
_ROUNDS = 4  # of correcting what limits of counts do to the barycentre
_GOOD = 2  # times as far off as a count makes it, a barycentre is not worth less noise
# columns of what is known of each pixel of a cluster that is painted: place, limits of its count, weight
# where nothing is asked for, weight, count, and the best count so far
_X, _Y, _LOW, _HIGH, _OWN, _WEIGHT, _SHARE, _BEST = range(8)
_SHIFT = 38  # bits behind the point of a share of the charge


class Places(NamedTuple):
    """Centres of pixels in 1/256 of the pitch: int64[sensors, rows], int64[sensors, columns]."""

    row: NDArray[np.int64]
    col: NDArray[np.int64]


class Limits(NamedTuple):
    """Limits of painted counts: from ``pale`` to ``top``; of faint pixels from ``floor`` to below ``pale``."""

    floor: int
    pale: int
    top: int


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


@njit(inline="always")
def _middle(begin, end, members, place, table, kind):  # type: ignore[no-untyped-def]
    """Rounded mean place of the pixels of a cluster."""
    total = np.int64(0)
    for k in range(begin, end):
        total += table[kind, place[np.uint64(members[k])]]
    n = np.int64(end - begin)
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
    for c in range(np.uint64(len(found))):
        begin, end = np.uint64(offsets[c]), np.uint64(offsets[c + np.uint64(1)])
        kind = np.uint64(sensor[c])
        charge = up = along = rows = cols = np.int64(0)
        for k in range(begin, end):
            i = np.uint64(members[k])
            a = np.int64(adc[i])
            x, y = places.row[kind, row[i]], places.col[kind, col[i]]
            rows += x
            cols += y
            charge += a
            up += a * x
            along += a * y
        n = np.int64(end - begin)
        up -= charge * ((2 * rows + n) // (2 * n))
        along -= charge * ((2 * cols + n) // (2 * n))
        found[c, 0] = charge
        if charge > 0:
            found[c, 1] = (2 * up + charge) // (2 * charge)
            found[c, 2] = (2 * along + charge) // (2 * charge)


def trimmed(charge: NDArray[np.int64], trim: NDArray[Any]) -> NDArray[np.int64]:
    """Charges as they are told, times ``trim`` / `TRIM` each.

    Where counts are no linear scale of electrons, spreading a charge evenly over pixels changes it: the
    model has, for each layer, what makes up for that. Decoders need not know.
    """
    return (charge * trim + TRIM // 2) // TRIM


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
    for c in range(np.uint64(found.shape[1])):
        begin, end = np.uint64(offsets[c]), np.uint64(offsets[c + np.uint64(1)])
        n = np.int64(end - begin)
        first = np.uint64(members[begin])
        row_0, col_0 = np.int64(row[first]), np.int64(col[first])
        sr = sc = rr = cc = rc = most = np.int64(0)
        for k in range(begin, end):
            # a pixel of the cluster as origin keeps the numbers small
            i = np.uint64(members[k])
            x, y = np.int64(row[i]) - row_0, np.int64(col[i]) - col_0
            most = max(most, abs(x), abs(y))
            sr += x
            sc += y
            rr += x * x
            cc += y * y
            rc += x * y
        found[0, c], found[1, c] = direction(
            n, most, n * rr - sr * sr, n * cc - sc * sc, n * rc - sr * sc
        )


@njit(inline="always")
def direction(n, most, rr, cc, rc):  # type: ignore[no-untyped-def]
    """The two of `directions` for a cluster of `n` pixels, none of which is `most` from the first."""
    if n > MAX_PIXELS:
        return 0, 0
    tilt = int(rc < 0)
    if most >= MAX_SPAN:
        return 0, tilt
    if rr == 0:
        return (COLS if cc > 0 else 0), tilt
    return (BOTH if cc > 0 and rr * cc > rc * rc else ROWS), tilt


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
    for c in range(np.uint64(len(found))):
        begin, end = np.uint64(offsets[c]), np.uint64(offsets[c + np.uint64(1)])
        kind = np.uint64(sensor[c])
        found[c, 0] = _middle(begin, end, members, row, places.row, kind)
        found[c, 1] = _middle(begin, end, members, col, places.col, kind)


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
    limits: Limits,
    faint: NDArray[np.bool_],
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
    limits : Limits
        Of counts; they go before all else.
    faint : bool[digis]
        Which pixels are faint.
    adc : uint16[digis]
        Filled in.
    """
    of = np.empty((MAX_PIXELS, 8), np.int64)
    _paint(pixels, places, free, charge, target, base, noise, limits, faint, adc, of)


@kernel
def _paint(pixels, places, free, charge, target, base, noise, limits, faint, adc, of):  # type: ignore[no-untyped-def]
    offsets, members, row, col, sensor = pixels
    for c in range(np.uint64(len(charge))):
        if charge[c] < 0:
            continue
        begin = np.uint64(offsets[c])
        n = np.uint64(offsets[c + np.uint64(1)]) - begin
        kind, whole = np.uint64(sensor[c]), charge[c]
        up, along = target[c, 0], target[c, 1]
        if n <= np.uint64(2):
            _paint_few(
                begin, n, members, row, col, places, kind, free[c], whole, up, along, limits, faint,
                adc,
            )  # fmt: skip
            continue
        middle_row = middle_col = lowest = highest = np.int64(0)
        for k in range(n):
            i = np.uint64(members[begin + k])
            of[k, _X], of[k, _Y] = places.row[kind, row[i]], places.col[kind, col[i]]
            of[k, _LOW], of[k, _HIGH] = _range(limits, faint[i])
            middle_row += of[k, _X]
            middle_col += of[k, _Y]
            lowest += of[k, _LOW]
            highest += of[k, _HIGH]
        count = np.int64(n)
        middle_row = (2 * middle_row + count) // (2 * count)
        middle_col = (2 * middle_col + count) // (2 * count)
        left = min(max(whole, lowest), highest)
        rows, cols = free[c] & ROWS != 0, free[c] & COLS != 0
        both = rows and cols
        near = 1 + UNIT // max(whole, 1)  # what a count moves a barycentre, about
        least_off = np.int64(-1)
        share, best = np.uint64(_SHARE), np.uint64(_BEST)  # columns that change places
        for calm in range(3):  # the noise, half of it, none
            heavy = row_sum = col_sum = rr = cc = rc = np.int64(0)
            for k in range(n):
                i = np.uint64(members[begin + k])
                loud = np.int64(noise[i])
                if calm:
                    loud = QUIET if calm == 2 else (loud + QUIET) >> 1
                else:
                    of[k, _X] -= middle_row
                    of[k, _Y] -= middle_col
                own = max(np.int64(base[i]) * loud >> 6, 1)
                x, y = of[k, _X], of[k, _Y]
                of[k, _OWN] = own
                heavy += own
                row_sum += own * x
                col_sum += own * y
                rr += own * x * x
                cc += own * y * y
                rc += own * x * y
            mean_row, mean_col = _over(row_sum, heavy, rows), _over(col_sum, heavy, cols)
            # from sums about 0 to sums about the means
            rr += mean_row * (mean_row * heavy - 2 * row_sum)
            cc += mean_col * (mean_col * heavy - 2 * col_sum)
            rc += mean_row * mean_col * heavy - mean_row * col_sum - mean_col * row_sum
            rr, cc, rc = _over(rr, heavy, rows), _over(cc, heavy, cols), _over(rc, heavy, both)
            wish_row = min(max(up - mean_row, -MAX_OFFSET), MAX_OFFSET)
            wish_col = min(max(along - mean_col, -MAX_OFFSET), MAX_OFFSET)
            for _ in range(_ROUNDS):
                a, b = plane(free[c], wish_row, wish_col, rr, cc, rc)
                start = _ONE - a * mean_row - b * mean_col
                total = np.int64(0)
                for k in range(n):
                    tilt = start + a * of[k, _X] + b * of[k, _Y]
                    weight = min(max(tilt, _LEAST), _MOST) * of[k, _OWN]
                    of[k, _WEIGHT] = weight
                    total += weight
                spent, got_row, got_col = _share(n, of, share, total, left)
                off_row = off_col = np.int64(0)
                if spent > 0:
                    off_row = up - (2 * got_row + spent) // (2 * spent) if rows else 0
                    off_col = along - (2 * got_col + spent) // (2 * spent) if cols else 0
                off = max(abs(off_row), abs(off_col))
                better = least_off < 0 or off < least_off
                if better:
                    least_off = off
                    best, share = share, best
                if off <= near or not better:
                    break
                wish_row = min(max(wish_row + off_row, -MAX_OFFSET), MAX_OFFSET)
                wish_col = min(max(wish_col + off_col, -MAX_OFFSET), MAX_OFFSET)
            if least_off <= _GOOD * near:
                break
        for k in range(n):
            adc[np.uint64(members[begin + k])] = of[k, best]


@njit(inline="always")
def _range(limits, faint):  # type: ignore[no-untyped-def]
    """The least and the largest count of a pixel."""
    if faint:
        return limits.floor, max(limits.pale - 1, 0)
    return limits.pale, limits.top


@njit(inline="always")
def _over(total, n, asked):  # type: ignore[no-untyped-def]
    """The mean of what nothing is asked of is not worth a division."""
    return total // n if asked else np.int64(0)


@njit(inline="always")
def _paint_few(  # type: ignore[no-untyped-def]
    begin, n, members, row, col, places, kind, free, charge, up, along, limits, faint, adc
):
    """Paint a cluster of one or two pixels, which charge and barycentre say all about."""
    i, j = np.uint64(members[begin]), np.uint64(members[begin + n - np.uint64(1)])
    low, high = _range(limits, faint[i])
    if i == j:
        adc[i] = min(max(charge, low), high)
        return
    if free == ROWS:
        length, place = places.row[kind, row[j]] - places.row[kind, row[i]], up
    else:
        length, place = places.col[kind, col[j]] - places.col[kind, col[i]], along
    low_j, high_j = _range(limits, faint[j])
    total = min(max(charge, low + low_j), high + high_j)
    # the barycentre is at -length / 2 if the first one has all, at length / 2 if it has none
    place = min(max(place, -MAX_OFFSET), MAX_OFFSET)
    part = (total * (2 * place + length) + length) // (2 * length)
    part = min(max(part, low_j, total - high), high_j, total - low)
    adc[i], adc[j] = total - part, part


@njit(inline="always")
def _share(n, of, share, total, left):  # type: ignore[no-untyped-def]
    """Split `left` by weights, which add up to `total`, within the limits of each pixel.

    Whatever goes beyond on the side that goes beyond further is fixed at its limits, and the rest is
    split again. Weights are used up. Returns what was split, and its moments along rows and columns.
    """
    ratio = (left << _SHIFT) // total
    over, under = _excess(n, of, ratio)
    while over > 0 or under > 0:
        for k in range(n):
            weight = of[k, _WEIGHT]
            if weight > 0:
                part = weight * ratio >> _SHIFT
                low, high = of[k, _LOW], of[k, _HIGH]
                if (over >= under and part > high) or (over < under and part < low):
                    of[k, share] = high if over >= under else low
                    left -= of[k, share]
                    total -= weight
                    of[k, _WEIGHT] = 0
        if total <= 0:
            break
        ratio = (left << _SHIFT) // total
        over, under = _excess(n, of, ratio)
    reached = done = np.int64(0)  # cumulative, so that the parts add up to what is left
    spent = got_row = got_col = np.int64(0)
    for k in range(n):
        weight = of[k, _WEIGHT]
        part = of[k, share]
        if weight > 0:
            reached += weight
            upto = left if reached == total else reached * ratio >> _SHIFT
            part = min(max(upto - done, of[k, _LOW]), of[k, _HIGH])
            of[k, share] = part
            done = upto
        spent += part
        got_row += part * of[k, _X]
        got_col += part * of[k, _Y]
    return spent, got_row, got_col


@njit(inline="always")
def _excess(n, of, ratio):  # type: ignore[no-untyped-def]
    """What parts have above their limits, and what they lack to them."""
    over = under = np.int64(0)
    for k in range(n):
        weight = of[k, _WEIGHT]
        if weight > 0:
            part = weight * ratio >> _SHIFT
            over += max(part - of[k, _HIGH], 0)
            under += max(of[k, _LOW] - part, 0)
    return over, under
