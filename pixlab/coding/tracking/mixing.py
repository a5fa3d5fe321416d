"""Adaptive probabilities of several contexts, mixed: of coded bits, and of things only believed.

As `rangecoder.code_mixed`, for any number of contexts; and for a target between 0 and 1, where what
is learned is not a bit but the responsibility that something has for what was seen.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from pixlab.coding.rangecoder import SQUASH, STRETCH, code_bit

__all__ = ["code_mixture", "learn_belief", "mixture"]

_DOMAIN = 2047
_BIT_LIMIT = 400  # what was seen counts no more than this, for bits
_BELIEF_LIMIT = 1000  # and for beliefs


@njit(cache=True, nogil=True)
def mixture(table, slots, weights, row, x):  # type: ignore[no-untyped-def]
    """Probability, in 1/65536, of the contexts ``table[slots]`` with the weights of `row`.

    ``x`` (int64[contexts]) is left as `learn_mixture` needs it.
    """
    dot = np.int64(0)
    base = row * len(x)
    for j in range(len(x)):
        x[j] = STRETCH[table[slots[j]] >> np.uint32(20)]
        dot += np.int64(weights[base + j]) * x[j]
    return np.int64(SQUASH[min(max(dot >> 16, -_DOMAIN), _DOMAIN) + _DOMAIN + 1])


@njit(cache=True, nogil=True)
def learn_mixture(table, slots, weights, row, x, p, target, rate, limit):  # type: ignore[no-untyped-def]
    """Move contexts and weights towards `target` (in 1/65536) after `mixture` gave `p`."""
    error = target - p
    base = row * len(x)
    aim = target << 6
    for j in range(len(x)):
        weights[base + j] += np.int32((error * x[j] + (np.int64(1) << (rate - 1))) >> rate)
        seen = table[slots[j]]
        n = np.int64(seen & np.uint32(1023))
        q = np.int64(seen >> np.uint32(10))
        q += (aim - q) * 2 // (2 * n + 3)
        q = min(max(q, 32), 4194303 - 32)
        table[slots[j]] = (np.uint32(q) << np.uint32(10)) | np.uint32(min(n + 1, limit))


@njit(cache=True, nogil=True)
def code_mixture(state, reading, buf, bit, table, slots, weights, row, x):  # type: ignore[no-untyped-def]
    """Code a bit with the mixture of its contexts, which then learn it: (bit, state)."""
    p = mixture(table, slots, weights, row, x)
    bit, state = code_bit(state, reading, buf, bit, p)
    learn_mixture(table, slots, weights, row, x, p, 65535 * bit, 15, _BIT_LIMIT)
    return bit, state


@njit(cache=True, nogil=True)
def learn_belief(table, slots, weights, row, x, target):  # type: ignore[no-untyped-def]
    """Learn the responsibility `target` (in 1/65536) of what has these contexts."""
    p = mixture(table, slots, weights, row, x)
    learn_mixture(table, slots, weights, row, x, p, min(target, 65535), 16, _BELIEF_LIMIT)
