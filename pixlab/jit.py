"""How kernels that make no arrays are compiled."""

from __future__ import annotations

from typing import Any

from numba import njit

__all__ = ["kernel"]

# A kernel makes no arrays and counts no references to those that it is given: numba would otherwise
# count, atomically, each time that one is handed to an inlined function, which takes longer than
# the work.
kernel: Any = njit(cache=True, nogil=True, _nrt=False)  # type: ignore[call-overload]
