"""Places of clusters in a module, given how likely each pixel is.

A module is halved again and again, and each time the number of clusters in the first half is coded:
it is binomial, with the share that this half has in the density. That costs what the places have
of information under the density, and nothing for an order among them.

The density of clusters is a sum of a background, known as an adaptive tree over the first halvings
and even below, and of spots around the predictions of tracks. Masses are in 2^-42 clusters.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from pixlab.coding.rangecoder import code_bit
from pixlab.coding.tracking.residuals import part_before

__all__ = ["NODES", "STACK", "STACK_COLUMNS", "UNIT", "WORK"]
__all__ += ["background_at", "code_places", "learn_background"]

UNIT = 42  # bits below the point of a mass
_DEPTH = 9  # halvings whose background shares are learned
NODES = 1 << _DEPTH
WORK = 72  # entries of scratch that `code_places` needs for each spot
STACK = 64
_LIMIT = 1000
_PEAK = np.int64(1) << 26  # the largest of a set of binomial terms
# columns of the stack of regions to do
_TOP, _BOTTOM, _LEFT, _RIGHT, _COUNT, _FIRST, _BEGIN, _END, _NODE, _GROUND, _MASS = range(11)
STACK_COLUMNS = 11


@njit(cache=True, nogil=True)
def _bounded(p):  # type: ignore[no-untyped-def]
    return min(max(p, 16), 65520)


@njit(cache=True, nogil=True)
def _code_binomial(state, reading, buf, n, low, high, k, p, terms):  # type: ignore[no-untyped-def]
    """Code k of n with probability p / 65536 each, known to be in [low, high]: (k, state)."""
    if low >= high:
        return low, state
    if n == 1:
        return code_bit(state, reading, buf, k, p)
    q = 65536 - p
    mode = min(max(((n + 1) * p) >> 16, low), high)
    terms[mode - low] = _PEAK
    below = above = np.int64(0)
    t = _PEAK
    for j in range(mode, low, -1):
        t = t * j * q // ((n - j + 1) * p)
        terms[j - 1 - low] = t
        below += t
    t = _PEAK
    for j in range(mode, high):
        t = t * (n - j) * p // ((j + 1) * q)
        terms[j + 1 - low] = t
        above += t
    # the mode? else on which side, and from there one by one
    at = terms[mode - low]
    bit, state = code_bit(
        state, reading, buf, np.int64(k == mode), _bounded((at << 16) // (at + below + above))
    )
    if bit:
        return mode, state
    side = np.int64(mode == high)
    if low < mode < high:
        side, state = code_bit(
            state, reading, buf, np.int64(k < mode),
            _bounded((below << 16) // max(below + above, 1)),
        )  # fmt: skip
    step, end = (-1, low) if side else (1, high)
    rest = below if side else above
    j = mode + step
    while j != end:
        t = terms[j - low]
        bit, state = code_bit(
            state, reading, buf, np.int64(k == j), _bounded((t << 16) // max(rest, 1))
        )
        if bit:
            break
        rest -= t
        j += step
    return j, state


@njit(cache=True, nogil=True)
def _share_of(mass, p):  # type: ignore[no-untyped-def]
    """Mass * p / 65536 without overflow."""
    return (mass >> 16) * p + (((mass & 65535) * p) >> 16)


@njit(cache=True, nogil=True)
def code_places(  # type: ignore[no-untyped-def]
    state, reading, buf, height, width, n, row, col, ground, tree, base, spots, row_mass, col_mass,
    work, terms, stack,
):  # fmt: skip
    """Write or read the pixels (row, col) of n clusters of a module, all different.

    Writing permutes ``row`` and ``col``, reading fills them. ``ground`` is the mass of the
    background and ``tree[base:]`` its shares; rows of ``spots`` are weight, predicted row and column
    (quarter pixels) and the kernels of both. Returns (whether the bytes are sound, state).
    """
    free = 0
    mass = ground
    for i in range(len(spots)):
        part = spots[i, 0] * (
            part_before(row_mass, spots[i, 3], spots[i, 1], height)
            - part_before(row_mass, spots[i, 3], spots[i, 1], 0)
        )
        part *= part_before(col_mass, spots[i, 4], spots[i, 2], width) - part_before(
            col_mass, spots[i, 4], spots[i, 2], 0
        )
        if part > 0:
            work[free] = i
            free += 1
            mass += part
    top, bottom, left, right = np.int64(0), height, np.int64(0), width
    count, first, begin, end, node = n, np.int64(0), np.int64(0), np.int64(free), np.int64(1)
    waiting = 0
    while True:
        h, w = bottom - top, right - left
        if h == 1 and w == 1:
            if count > 1:
                return False, state
            if reading:
                row[first] = top
                col[first] = left
            if waiting == 0:
                return True, state
            waiting -= 1
            todo = stack[waiting]
            top, bottom, left, right = todo[_TOP], todo[_BOTTOM], todo[_LEFT], todo[_RIGHT]
            count, first, begin, end = todo[_COUNT], todo[_FIRST], todo[_BEGIN], todo[_END]
            node, ground, mass = todo[_NODE], todo[_GROUND], todo[_MASS]
            continue
        by_col = w >= h
        middle = left + (w >> 1) if by_col else top + (h >> 1)
        pixels = h * (middle - left) if by_col else (middle - top) * w
        learned = node < NODES
        if learned:
            part = _share_of(ground, _bounded(np.int64(tree[base + node] >> np.uint32(16))))
        else:
            part = (ground // (h * w)) * pixels
        inside = part
        # spots of both halves, behind those of the whole
        near_end = end
        far_begin = far_end = end + (end - begin)
        for q in range(begin, end):
            i = work[q]
            if by_col:
                other = part_before(row_mass, spots[i, 3], spots[i, 1], bottom) - part_before(
                    row_mass, spots[i, 3], spots[i, 1], top
                )
                low = part_before(col_mass, spots[i, 4], spots[i, 2], left)
                mid = part_before(col_mass, spots[i, 4], spots[i, 2], middle)
                high = part_before(col_mass, spots[i, 4], spots[i, 2], right)
            else:
                other = part_before(col_mass, spots[i, 4], spots[i, 2], right) - part_before(
                    col_mass, spots[i, 4], spots[i, 2], left
                )
                low = part_before(row_mass, spots[i, 3], spots[i, 1], top)
                mid = part_before(row_mass, spots[i, 3], spots[i, 1], middle)
                high = part_before(row_mass, spots[i, 3], spots[i, 1], bottom)
            if mid > low:
                work[near_end] = i
                near_end += 1
                inside += spots[i, 0] * other * (mid - low)
            if high > mid:
                work[far_end] = i
                far_end += 1
        whole, share = mass, inside
        while whole >= (np.int64(1) << 46):
            whole >>= 1
            share >>= 1
        near = np.int64(0)
        if not reading:
            i, j = first, first + count
            while i < j:
                if (col[i] if by_col else row[i]) < middle:
                    i += 1
                else:
                    j -= 1
                    row[i], row[j] = row[j], row[i]
                    col[i], col[j] = col[j], col[i]
            near = i - first
        low, high = max(0, count - (h * w - pixels)), min(count, pixels)
        if low > high:
            return False, state
        near, state = _code_binomial(
            state, reading, buf, count, low, high, near,
            _bounded((share << 16) // max(whole, 1)), terms,
        )  # fmt: skip
        far = count - near
        if near > 0 and far > 0:
            todo = stack[waiting]
            todo[_TOP], todo[_BOTTOM], todo[_LEFT], todo[_RIGHT] = top, bottom, left, right
            if by_col:
                todo[_LEFT] = middle
            else:
                todo[_TOP] = middle
            todo[_COUNT], todo[_FIRST] = far, first + near
            todo[_BEGIN], todo[_END] = far_begin, far_end
            todo[_NODE] = 2 * node + 1 if learned else node
            todo[_GROUND], todo[_MASS] = ground - part, mass - inside
            waiting += 1
            # the spots of the first half move behind those that wait
            for q in range(end, near_end):
                work[far_end + q - end] = work[q]
            begin, end = far_end, far_end + near_end - end
        elif near > 0:
            begin, end = end, near_end
        else:
            for q in range(far_begin, far_end):
                work[end + q - far_begin] = work[q]
            begin, end = end, end + far_end - far_begin
        if near > 0:
            if by_col:
                right = middle
            else:
                bottom = middle
            ground, mass, count = part, inside, near
            node = 2 * node if learned else node
        else:
            if by_col:
                left = middle
            else:
                top = middle
            ground, mass, count = ground - part, mass - inside, far
            node = 2 * node + 1 if learned else node


@njit(cache=True, nogil=True)
def background_at(height, width, row, col, ground, tree, base):  # type: ignore[no-untyped-def]
    """Mass of the background in one pixel."""
    top, bottom, left, right = np.int64(0), height, np.int64(0), width
    node = 1
    while node < NODES and (bottom - top > 1 or right - left > 1):
        part = _share_of(ground, _bounded(np.int64(tree[base + node] >> np.uint32(16))))
        if right - left >= bottom - top:
            middle = left + ((right - left) >> 1)
            near = col < middle
            if near:
                right = middle
            else:
                left = middle
        else:
            middle = top + ((bottom - top) >> 1)
            near = row < middle
            if near:
                bottom = middle
            else:
                top = middle
        ground = part if near else ground - part
        node = 2 * node + (0 if near else 1)
    return ground // ((bottom - top) * (right - left))


@njit(cache=True, nogil=True)
def learn_background(height, width, row, col, share, tree, base):  # type: ignore[no-untyped-def]
    """Move the tree towards a cluster of which `share` (1/65536) is background."""
    top, bottom, left, right = np.int64(0), height, np.int64(0), width
    node = 1
    while node < NODES and (bottom - top > 1 or right - left > 1):
        if right - left >= bottom - top:
            middle = left + ((right - left) >> 1)
            near = col < middle
            if near:
                right = middle
            else:
                left = middle
        else:
            middle = top + ((bottom - top) >> 1)
            near = row < middle
            if near:
                bottom = middle
            else:
                top = middle
        seen = tree[base + node]
        n = np.int64(seen & np.uint32(1023))
        p = np.int64(seen >> np.uint32(10))
        step = ((4194303 if near else 0) - p) * 2 // (2 * n + 6)
        p += (step * share) >> 16
        if share > 32768:
            n = min(n + 1, _LIMIT)
        tree[base + node] = (np.uint32(p) << np.uint32(10)) | np.uint32(n)
        node = 2 * node + (0 if near else 1)
