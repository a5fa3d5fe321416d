"""Where clusters begin: how many in each module, and the gaps between them.

Pixels are taken column by column. A digi is a *start* when none of its four neighbours that come
earlier (the pixel above in its column, three in the column before) is hit. Everything else grows
from starts (`shapes`). Starts are close to uniform in a module, so the gap to the next one is
nearly geometric: it is coded with probabilities chosen by (pixels left) / (starts left), which
comes within a few percent of log2 of the number of possible arrangements.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from pixlab.coding.layout import RINGS
from pixlab.coding.rangecoder import code_count, code_simple, finish, overrun, start

__all__ = ["POSITION_SLOTS", "code_positions", "column_order", "find_starts"]

_GAPS = 128  # classes of (pixels left) / (starts left), four an octave
_STRIDE = 512
_EVENTS = (RINGS + _GAPS) * _STRIDE
POSITION_SLOTS = _EVENTS + 4


@njit(cache=True, nogil=True)
def column_order(offsets, row, col, n_cols, frame_module):  # type: ignore[no-untyped-def]
    """Order that sorts each frame by column, then row, given digis sorted by row, then column."""
    order = np.empty(len(row), np.int64)
    counts = np.zeros(n_cols.max() + 1 if len(n_cols) else 1, np.int64)
    for f in range(len(offsets) - 1):
        begin, end = offsets[f], offsets[f + 1]
        if end - begin <= 48:  # insertion sort is stable, and fast for the few digis of a module
            for i in range(begin, end):
                key = col[i]
                j = i
                while j > begin and col[order[j - 1]] > key:
                    order[j] = order[j - 1]
                    j -= 1
                order[j] = i
            continue
        width = n_cols[frame_module[f]]
        counts[: width + 1] = 0
        for i in range(begin, end):
            counts[col[i] + 1] += 1
        for c in range(width):
            counts[c + 1] += counts[c]
        for i in range(begin, end):
            order[begin + counts[col[i]]] = i
            counts[col[i]] += 1
    return order


@njit(cache=True, nogil=True)
def find_starts(offsets, row, col, n_rows, frame_module):  # type: ignore[no-untyped-def]
    """Starts of frames in column order: int64 offsets[frames + 1], int64 positions col*rows+row."""
    starts = np.empty(len(row), np.int64)
    start_offsets = np.zeros(len(offsets), np.int64)
    n = 0
    for f in range(len(offsets) - 1):
        height = np.int64(n_rows[frame_module[f]])
        before, before_end = offsets[f], offsets[f]  # digis of the column before
        i = offsets[f]
        while i < offsets[f + 1]:
            column = col[i]
            if before_end == before or col[before] + 1 != column:
                before = before_end = i
            p = before
            begin = i
            while i < offsets[f + 1] and col[i] == column:
                r = np.int64(row[i])
                while p < before_end and row[p] + 1 < r:
                    p += 1
                alone = p == before_end or row[p] > r + 1
                if i > begin and row[i - 1] + 1 == r:
                    alone = False
                if alone:
                    starts[n] = np.int64(column) * height + r
                    n += 1
                i += 1
            before, before_end = begin, i
        start_offsets[f + 1] = n
    return start_offsets, starts[:n].copy()


@njit(cache=True, nogil=True)
def _gap_class(pixels, starts):  # type: ignore[no-untyped-def]
    ratio = pixels // starts
    bits = 0
    while ratio >> (bits + 1):
        bits += 1
    fraction = (ratio >> (bits - 2)) & 3 if bits >= 2 else 0
    return min(bits * 4 + fraction, _GAPS - 1)


@njit(cache=True, nogil=True)
def code_positions(  # type: ignore[no-untyped-def]
    reading, buf, layout, n_events, event, module, offsets, starts, table
):
    """Write or read the starts of `n_events` events.

    ``event``, ``module``, ``offsets`` and ``starts`` describe the frames; reading fills them.
    Returns (frames, bytes written or starts read); the first is -1 for damaged bytes, -2 where the
    arrays are too small.
    """
    state = start(reading, buf)
    frames, n = 0, 0
    given = len(event)
    for e in range(n_events):
        some = 0 if reading else np.int64(frames < given and event[frames] == e)
        some, state = code_simple(state, reading, buf, some, table, np.uint64(_EVENTS))
        if not some:
            if overrun(state, buf):
                return -1, 0
            continue
        for m in range(len(layout.rows)):
            count = 0
            if not reading and frames < given and event[frames] == e and module[frames] == m:
                count = offsets[frames + 1] - offsets[frames]
            ring = np.int64(layout.ring[m])
            count, state = code_count(state, reading, buf, count, table, ring * _STRIDE)
            if count == 0:
                continue
            height = np.int64(layout.rows[m])
            pixels = height * layout.cols[m]
            if reading:
                if count < 0 or count > pixels or overrun(state, buf):
                    return -1, 0
                if frames >= given or n + count > len(starts):
                    return -2, 0
                event[frames] = e
                module[frames] = m
            position = np.int64(-1)
            for k in range(count):
                slot = (RINGS + _gap_class(pixels - position - 1, count - k)) * _STRIDE
                gap = 0 if reading else starts[n] - position - 1
                gap, state = code_count(state, reading, buf, gap, table, slot)
                position += gap + 1
                # as many pixels must be left as there are starts to come
                if reading:
                    if gap < 0 or position + count - k > pixels:
                        return -1, 0
                    starts[n] = position
                n += 1
            frames += 1
            if reading:
                offsets[frames] = n
        if overrun(state, buf):
            return -1, 0
    return frames, n if reading else finish(state, buf)
