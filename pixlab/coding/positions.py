"""Where clusters begin: how many roots each module has, and the gaps between them.

A *root* is a run of hits that touches no run of the row above (`runs`); everything else grows from
roots. They are close to uniform in a module, and how many there are is close to a Poisson number
whose mean is known from the kind of module and the roots that the event still has to give.

With k roots left on R pixels, the gap to the next one is about R / k. It is coded as the class of
``gap * k / R``, four an octave, whose spectrum is the same for all densities, and the place in that
class. That comes within a percent of log2 of the number of arrangements.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pixlab.coding.bits import bit_length, kernel
from pixlab.coding.contexts import first_context, plain_looks
from pixlab.coding.layout import RINGS, Layout
from pixlab.coding.rans import (
    Tables,
    drained,
    get,
    get_bits,
    get_uniform,
    make_tables,
    start_reading,
    step_of,
    step_of_bits,
    step_of_uniform,
)

__all__ = ["GAP_CLASSES", "GAP_LOOKS", "code_positions", "count_tables", "learn_rates"]

GAP_CLASSES = 144
GAP_LOOKS = plain_looks(2)  # roots left, and pixels a root
_FINE = 8  # bits below the point of gap * k / R
_COUNTS = 256  # symbols of a number of roots; the last one is an escape
_MEANS = 45  # classes of the mean, four an octave, in 1/16


def learn_rates(
    layout: Layout, module: NDArray[np.int32], roots: NDArray[np.int64]
) -> NDArray[np.uint16]:
    """Mean number of roots in a module of each ring, relative to the largest: uint16[RINGS]."""
    modules = np.bincount(layout.ring, minlength=RINGS)
    found = np.bincount(layout.ring[module], roots, minlength=RINGS)
    mean = found / np.maximum(modules, 1)
    mean[modules == 0] = 0
    top = mean.max()
    scaled = np.rint(mean / top * 65535) if top > 0 else np.ones(RINGS)
    return np.maximum(scaled, 1).astype(np.uint16)


def count_tables() -> Tables:
    """Poisson frequencies of numbers of roots for each class of their mean."""
    frequencies = np.empty((_MEANS, _COUNTS), np.int64)
    for c in range(_MEANS):
        mean = int(_lowest(c) + _lowest(c + 1))  # in 1/32
        mode = min(mean >> 5, _COUNTS - 1)
        weights = [0] * _COUNTS
        weights[mode] = 1 << 40
        for k in range(mode + 1, _COUNTS):
            weights[k] = weights[k - 1] * mean // (32 * k)
        for k in range(mode, 0, -1):
            weights[k - 1] = weights[k] * 32 * k // mean
        whole = sum(weights)
        row = [max((w << 16) // whole, 1) for w in weights]
        row[row.index(max(row))] += 65536 - sum(row)
        frequencies[c] = row
    return make_tables(frequencies)


@njit(cache=True, nogil=True)
def _class_of(x):  # type: ignore[no-untyped-def]
    """Class of a number, four an octave: the number itself up to 7."""
    x = np.uint64(x)
    bits = np.int64(bit_length(x))
    if bits < 4:
        return np.int64(x)
    return ((bits - 2) << 2) + np.int64((x >> np.uint64(bits - 3)) & np.uint64(3))


@njit(cache=True, nogil=True)
def _lowest(c):  # type: ignore[no-untyped-def]
    """The lowest number of a class."""
    return c if c < 4 else (4 + (c & 3)) << ((c >> 2) - 1)


@njit(cache=True, nogil=True)
def _lowest_gap(c, pixels, roots):  # type: ignore[no-untyped-def]
    """The lowest gap of a class."""
    whole = np.uint64(roots) << np.uint64(_FINE)
    return np.int64((np.uint64(_lowest(c)) * np.uint64(pixels) + whole - np.uint64(1)) // whole)


@kernel
def code_positions(  # type: ignore[no-untyped-def]
    mode, layout, roots_of_event, event, module, offsets, roots,
    rates, counts, masks, gaps, words, steps, features, symbols,
):  # fmt: skip
    """Write (mode 0), read (1) or describe (2) the roots of events.

    ``event``, ``module``, ``offsets`` and ``roots`` (row * cols + col) describe the frames; reading
    fills them. Writing fills `steps`; describing fills `features` and `symbols` of the gaps.

    Returns (frames, n): n is the number of steps, roots or gaps. Frames are -1 for damaged bytes,
    -2 where arrays are too small.
    """
    reading = mode == 1
    state = start_reading(words)
    frames = n = done = 0
    whole = np.int64(0)
    for m in range(len(layout.rows)):
        whole += np.int64(rates[layout.ring[m]])
    for e in range(len(roots_of_event)):
        left = np.int64(roots_of_event[e])
        expected = whole
        for m in range(len(layout.rows)):
            if left == 0:
                break
            rate = np.int64(rates[layout.ring[m]])
            count = np.int64(0)
            if not reading and frames < len(event) and event[frames] == e and module[frames] == m:
                count = offsets[frames + 1] - offsets[frames]
            if rate == expected:  # the last module has all that is left
                count = left
            else:
                mean = min(_class_of((left * rate << 4) // expected), _MEANS - 1)
                symbol = min(count, _COUNTS - 1)
                if reading:
                    symbol, state = get(state, words, counts, mean)
                    count = symbol
                elif mode == 0:
                    steps[n] = step_of(counts, mean, symbol)
                    n += 1
                if symbol == _COUNTS - 1:
                    for shift in (16, 0):
                        part = (count >> shift) & 65535
                        if reading:
                            part, state = get_bits(state, words, 16)
                            count = part if shift else (count << 16) | part
                        elif mode == 0:
                            steps[n] = step_of_bits(part, 16)
                            n += 1
            expected -= rate
            if count == 0:
                continue
            width = np.int64(layout.cols[m])
            pixels = np.int64(layout.rows[m]) * width
            if reading:
                if count > min(left, pixels) or state[4] > len(words):
                    return -1, 0
                if frames >= len(event) or done + count > len(roots):
                    return -2, 0
                event[frames] = e
                module[frames] = m
            left -= count
            at = np.int64(0)
            for k in range(count, 0, -1):
                room = pixels - at
                gap = np.int64(0) if reading else roots[done] - at
                few = min(k, 255)
                apart = min(_class_of(room // k), 255)
                c = np.int64(0)
                if mode != 1:
                    c = _class_of(
                        (np.uint64(gap) * np.uint64(k) << np.uint64(_FINE)) // np.uint64(room)
                    )
                if mode == 2:
                    features[n, 0] = few
                    features[n, 1] = apart
                    symbols[n] = c
                    n += 1
                else:
                    a, b = 2 * few, 2 * (256 + apart)
                    context = first_context(masks[a] & masks[b], masks[a + 1] & masks[b + 1])
                    if reading:
                        c, state = get(state, words, gaps, context)
                    else:
                        steps[n] = step_of(gaps, context, c)
                        n += 1
                    first = _lowest_gap(c, room, k)
                    choices = min(_lowest_gap(c + 1, room, k), room - k + 1) - first
                    if choices < 1:
                        return -1, 0
                    # the place in the class: up to 256 about equal parts, then raw bits
                    low = max(np.int64(bit_length(np.uint64(choices - 1))) - 8, 0)
                    parts = ((choices - 1) >> low) + 1
                    place = gap - first
                    if reading:
                        place = np.int64(0)
                    if parts > 1:
                        if reading:
                            place, state = get_uniform(state, words, parts)
                        else:
                            steps[n] = step_of_uniform(place >> low, parts)
                            n += 1
                    while low > 0:
                        taken = min(low, 16)
                        low -= taken
                        if reading:
                            part, state = get_bits(state, words, taken)
                            place = (place << taken) | part
                        else:
                            steps[n] = step_of_bits((place >> low) & ((1 << taken) - 1), taken)
                            n += 1
                    if reading:
                        if place >= choices:
                            return -1, 0
                        roots[done] = at + first + place
                        at += first + place + 1
                if not reading:
                    at = roots[done] + 1
                done += 1
            frames += 1
            if reading:
                offsets[frames] = done
        if left:
            return -1, 0
    if reading:
        return (frames, done) if drained(state, words) else (-1, 0)
    return frames, n
