"""Symbols whose contexts are known beforehand: what a codec says of each cluster.

Each symbol is a number below ``2**bits``, coded as a binary tree. Its contexts are given as one
row of numbers below `CONTEXTS`; in each node of the tree their adaptive probabilities are mixed.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from pixlab.coding.priors import restore, store
from pixlab.coding.rangecoder import (
    FRESH,
    INPUTS,
    UNIT_WEIGHT,
    code_mixed,
    finish,
    overrun,
    start,
)
from pixlab.errors import FormatError

__all__ = ["CONTEXTS", "INPUTS", "SYMBOL_BITS", "Symbols"]

CONTEXTS = 1024  # of one input
SYMBOL_BITS = 10  # a tree of more bits would be too large to learn
_ROWS = 64  # sets of mixing weights


class Symbols:
    """Adaptive state for symbols of `bits` bits, and the two directions of coding.

    Parameters
    ----------
    bits : int
        1 to `SYMBOL_BITS`.
    stored : array, optional
        Starting probabilities that `learned` gave.
    name : str
        Of the array, for the error message.
    """

    def __init__(self, bits: int, stored: np.ndarray | None = None, name: str = "symbols") -> None:
        self.bits = bits
        self.table = np.full(INPUTS * CONTEXTS << bits, FRESH, np.uint32)
        self.weights = np.full((_ROWS << bits) * INPUTS, int(0.3 * UNIT_WEIGHT), np.int32)
        if stored is not None:
            restore(name, self.table, stored)

    def encode(self, contexts: np.ndarray, values: np.ndarray) -> tuple[bytes, Symbols]:
        """The bytes of `values` (int64[n]) in their `contexts` (int64[n, INPUTS]), and the state left."""
        size = 2 * len(values) + 64
        while True:
            after = self._copy()
            buf = np.zeros(size, np.uint8)
            n = _code(False, buf, contexts, values, self.bits, after.table, after.weights)
            if n >= 0:
                return buf[:n].tobytes(), after
            size *= 4

    def decode(self, contexts: np.ndarray, section: bytes) -> np.ndarray:
        """The values that `encode` wrote: int64[n].

        Raises
        ------
        FormatError
            If the section is damaged.
        """
        state = self._copy()
        values = np.zeros(len(contexts), np.int64)
        buf = np.frombuffer(section, np.uint8).copy()
        if _code(True, buf, contexts, values, self.bits, state.table, state.weights) < 0:
            raise FormatError("the symbols of clusters are damaged")
        return values

    def learned(self) -> np.ndarray:
        """The present state in a form that is small to store."""
        return store(self.table)

    def _copy(self) -> Symbols:
        twin = object.__new__(Symbols)
        twin.bits, twin.table, twin.weights = self.bits, self.table.copy(), self.weights.copy()
        return twin


@njit(cache=True, nogil=True)
def _code(reading, buf, contexts, values, bits, table, weights):  # type: ignore[no-untyped-def]
    state = start(reading, buf)
    slots = np.empty(INPUTS, np.uint64)
    scratch = np.empty(INPUTS, np.int64)
    for i in range(len(values)):
        v = values[i]
        # the first input also chooses the mixing weights
        row = (contexts[i, 0] & (_ROWS - 1)) << bits
        node = 1
        for b in range(bits - 1, -1, -1):
            for j in range(INPUTS):
                slots[j] = np.uint64(((j * CONTEXTS + contexts[i, j]) << bits) + node)
            bit, state = code_mixed(
                state, reading, buf, (v >> b) & 1, table, slots, weights, row + node, scratch
            )
            node = node * 2 + bit
        if reading:
            values[i] = node - (1 << bits)
            if overrun(state, buf):
                return -1
    return 0 if reading else finish(state, buf)
