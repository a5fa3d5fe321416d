"""The value of each digi (adc count, level or codeword), given the whole hit map.

The leading bits of a value are coded as a binary tree with five mixed contexts: which neighbours
are hit, the angle, the layer, double-size pixels, and the values that are already known; what
noise makes of the bits below is coded with one cheap probability a tree node. Values beyond the
tree are escaped.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from pixlab.coding.rangecoder import (
    INPUTS,
    code_count,
    code_mixed,
    code_simple,
    finish,
    overrun,
    start,
)

__all__ = ["LEADING", "VALUE_ROWS", "VALUE_SLOTS", "code_values", "plain_slots"]

LEADING = 4  # bits of the tree that are mixed
_NODES = 1 << LEADING
VALUE_ROWS = 16 * _NODES
_SIZE = 4096 * _NODES  # slots of one input
VALUE_SLOTS = INPUTS * _SIZE
_PAD = 3
_ESCAPES = 516


def plain_slots(bits: int) -> int:
    """Slots of the tree nodes without a mixture, and of the escape."""
    return (1 << bits) + _ESCAPES


@njit(cache=True, nogil=True)
def _half_octaves(x):  # type: ignore[no-untyped-def]
    """2 * bit length + the second highest bit: 0 for nothing, at most 31."""
    bits = 0
    while x >> bits:
        bits += 1
    return min(2 * bits + ((x >> (bits - 2)) & 1 if bits > 1 else 0), 31)


@njit(cache=True, nogil=True)
def _quarter_octaves(x):  # type: ignore[no-untyped-def]
    bits = 0
    while x >> bits:
        bits += 1
    return min(4 * bits + ((x >> (bits - 3)) & 3 if bits > 2 else 0), 63)


@njit(cache=True, nogil=True)
def _contexts(grid, at, stride, length, layer, long, slots):  # type: ignore[no-untyped-def]
    """First slot of each input for the digi `at`; returns which direct neighbours are hit.

    In the grid 0 is no digi, 1 a digi whose value is not known yet, and v + 2 a known value.
    """
    before, after = at - stride, at + stride
    w, nw, sw = np.int64(grid[before]), np.int64(grid[before - 1]), np.int64(grid[before + 1])
    n = np.int64(grid[at - 1])
    e, s = grid[after] > 0, grid[at + 1] > 0
    cross = (w > 0) | (n > 0) << 1 | e << 2 | s << 3
    around = cross | (nw > 0) << 4 | (sw > 0) << 5
    around |= (grid[after - 1] > 0) << 6 | (grid[after + 1] > 0) << 7
    far = (grid[before - stride] > 0) | (grid[at - 2] > 0) << 1
    far |= (grid[after + stride] > 0) << 2 | (grid[at + 2] > 0) << 3
    expected = min(length >> 4, 15)
    # charge of the column before, less what this column already has
    column = max(w - 1, 0) + max(nw - 1, 0) + max(sw - 1, 0)
    ahead = _quarter_octaves(max(column - max(n - 1, 0), 0) + 1) if column else 0
    qw = _half_octaves(max(w - 1, 0))
    qn = _half_octaves(max(n - 1, 0))
    slots[0] = (around * 4 + long) * _NODES
    slots[1] = _SIZE + ((cross * 16 + expected) * 8 + layer) * _NODES
    slots[2] = 2 * _SIZE + ((qw * 32 + qn) * 4 + (e | s << 1)) * _NODES
    slots[3] = 3 * _SIZE + (cross * 64 + ahead) * _NODES
    slots[4] = 4 * _SIZE + ((far * 16 + cross) * 4 + (expected >> 2)) * _NODES
    return cross


@njit(cache=True, nogil=True)
def code_values(  # type: ignore[no-untyped-def]
    reading, buf, layout, module, offsets, row, col, value, bits, top, table, weights, plain
):
    """Write or read `value` of digis in column order; 0 to `top`, of which `bits` as a tree.

    Returns the bytes written (0 when reading), or -1 for damaged bytes.
    """
    state = start(reading, buf)
    stride = np.int64(layout.long_row.shape[1] + 2 * _PAD)
    grid = np.zeros((layout.long_col.shape[1] + 2 * _PAD) * stride, np.int32)
    slots = np.empty(INPUTS, np.uint64)
    node_slots = np.empty(INPUTS, np.uint64)
    scratch = np.empty(INPUTS, np.int64)
    leading = min(bits, LEADING)
    escape = 1 << bits
    for f in range(len(module)):
        m = module[f]
        width = np.int64(layout.cols[m])
        first_length = np.int64(layout.length[m, 0])
        more_length = np.int64(layout.length[m, 1]) - first_length
        layer, sensor = np.int64(layout.layer[m]), layout.sensor[m]
        begin, end = offsets[f], offsets[f + 1]
        escapes = 0  # does any digi of this frame go beyond the tree?
        for i in range(begin, end):
            grid[(np.int64(col[i]) + _PAD) * stride + row[i] + _PAD] = 1
            if not reading and value[i] >= escape:
                escapes = 1
        if top >= escape:
            escapes, state = code_simple(state, reading, buf, escapes, plain, np.uint64(escape))
        for i in range(begin, end):
            c = np.int64(col[i])
            at = (c + _PAD) * stride + row[i] + _PAD
            length = abs(first_length + more_length * c // width)
            long = np.int64(layout.long_col[sensor, c]) + 2 * np.int64(
                layout.long_row[sensor, row[i]]
            )
            cross = _contexts(grid, at, stride, length, layer, long, slots)
            v = 0 if reading else np.int64(value[i])
            high = 0
            if escapes:
                high = v >> bits
                some, state = code_simple(
                    state, reading, buf, np.int64(high > 0), plain, np.uint64(escape + 1)
                )
                if some:
                    high, state = code_count(
                        state, reading, buf, max(high - 1, 0), plain, escape + 2
                    )
                    high += 1
                    if high < 1:
                        return -1
            node = 1
            for b in range(bits - 1, bits - 1 - leading, -1):
                for j in range(np.uint64(INPUTS)):
                    node_slots[j] = slots[j] + np.uint64(node)
                bit, state = code_mixed(
                    state, reading, buf, (v >> b) & 1, table, node_slots, weights,
                    cross * _NODES + node, scratch,
                )  # fmt: skip
                node = node * 2 + bit
            for b in range(bits - 1 - leading, -1, -1):
                bit, state = code_simple(state, reading, buf, (v >> b) & 1, plain, np.uint64(node))
                node = node * 2 + bit
            if reading:
                v = (high << bits) | (node - escape)
                if v > top:
                    return -1
                value[i] = v
            grid[at] = v + 2
        if reading and overrun(state, buf):
            return -1
        for i in range(begin, end):
            grid[(np.int64(col[i]) + _PAD) * stride + row[i] + _PAD] = 0
    return 0 if reading else finish(state, buf)
