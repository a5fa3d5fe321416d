"""Clusters as moments: their charge and barycentre to pixels, and back, in integers.

A cluster whose hit pixels are known is described by its total count Q and by how far its
charge-weighted barycentre lies from the middle of its pixels, (tr, tc). `paint` gives the pixels
counts that have this total and, as far as thresholds allow, this barycentre: a plane over the
pixels, 1 + a x + b y, scaled to Q. Lengths are in 1/256 pixel; every step is an integer division,
so that all machines paint the same.
"""

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = ["MAX_SPAN", "UNIT", "paint", "shifts"]

UNIT = 256  # lengths a pixel
MAX_SPAN = 63  # pixels along rows or columns; longer clusters are kept pixel by pixel
_ONE = 1 << 16  # a weight of 1
_LEAST, _MOST = _ONE // 20, 64 * _ONE


@njit(cache=True, nogil=True)
def _middle(begin, end, members, place):  # type: ignore[no-untyped-def]
    """Rounded mean place of the pixels of a cluster, in 1/256 pixel."""
    total = 0
    for k in range(begin, end):
        total += np.int64(place[members[k]])
    n = end - begin
    return (2 * UNIT * total + n) // (2 * n)


@njit(cache=True, nogil=True)
def shifts(offsets, members, row, col, adc):  # type: ignore[no-untyped-def]
    """Charge and barycentre offset of each cluster: int64[clusters, 3] of Q, tr, tc.

    ``offsets`` and ``members`` say which digis belong to each cluster; offsets are in 1/256 pixel.
    """
    found = np.zeros((len(offsets) - 1, 3), np.int64)
    for c in range(len(found)):
        begin, end = offsets[c], offsets[c + 1]
        middle_row = _middle(begin, end, members, row)
        middle_col = _middle(begin, end, members, col)
        charge = up = along = 0
        for k in range(begin, end):
            i = members[k]
            a = np.int64(adc[i])
            charge += a
            up += a * (UNIT * np.int64(row[i]) - middle_row)
            along += a * (UNIT * np.int64(col[i]) - middle_col)
        found[c, 0] = charge
        if charge > 0:
            found[c, 1] = (2 * up + charge) // (2 * charge)
            found[c, 2] = (2 * along + charge) // (2 * charge)
    return found


@njit(cache=True, nogil=True)
def paint(offsets, members, row, col, charge, up, along, floor, top, out):  # type: ignore[no-untyped-def]
    """Fill ``out`` (adc of each digi) from charge and barycentre offset of each cluster.

    No pixel is painted below `floor` or above `top`, where the charge allows it. Clusters with a
    negative charge are left alone; no charge is above `top` times the number of pixels.
    """
    weight = np.empty(len(out), np.int64)
    for c in range(len(charge)):
        if charge[c] < 0:
            continue
        begin, end = offsets[c], offsets[c + 1]
        n = end - begin
        middle_row = _middle(begin, end, members, row)
        middle_col = _middle(begin, end, members, col)
        rr = cc = rc = 0
        for k in range(begin, end):
            x = UNIT * np.int64(row[members[k]]) - middle_row
            y = UNIT * np.int64(col[members[k]]) - middle_col
            rr += x * x
            cc += y * y
            rc += x * y
        rr, cc, rc = rr // n, cc // n, rc // n
        det = rr * cc - rc * rc
        a = b = 0
        if 64 * det > rr * cc:
            a = (up[c] * cc - along[c] * rc) * _ONE // det
            b = (along[c] * rr - up[c] * rc) * _ONE // det
        elif cc >= rr and cc > 0:  # all pixels on a line: one direction says it all
            b = along[c] * _ONE // cc
        elif rr > 0:
            a = up[c] * _ONE // rr
        for k in range(begin, end):
            x = UNIT * np.int64(row[members[k]]) - middle_row
            y = UNIT * np.int64(col[members[k]]) - middle_col
            weight[members[k]] = min(max(_ONE + a * x + b * y, _LEAST), _MOST)
        _share(begin, end, members, weight, charge[c], floor, top, out)


@njit(cache=True, nogil=True)
def _share(begin, end, members, weight, charge, floor, top, out):  # type: ignore[no-untyped-def]
    """Split `charge` by weight; pixels that would leave floor .. top are fixed there, one round
    at a time, and the rest is split again.
    """
    n = end - begin
    low = floor if charge >= n * floor else 0
    left, total = charge, 0
    for k in range(begin, end):
        total += weight[members[k]]
    for _ in range(8):
        fixed = False
        left_now, total_now = left, total
        for k in range(begin, end):
            w = weight[members[k]]
            if w < 0:
                continue
            share = left_now * w // total_now
            if share < low or share > top:
                out[members[k]] = low if share < low else top
                left -= np.int64(out[members[k]])
                total -= w
                weight[members[k]] = -1
                fixed = True
        if not fixed or total <= 0:
            break
    if total <= 0:
        return
    left = max(left, 0)
    reached = done = 0  # cumulative, so that the parts add up to what is left
    for k in range(begin, end):
        w = weight[members[k]]
        if w >= 0:
            reached += w
            upto = left * reached // total
            out[members[k]] = min(max(upto - done, low), top)
            done = upto
