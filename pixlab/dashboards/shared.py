"""What all sessions of one server share: a bounded shelf of derived results, keyed by content.

A page holds no data of its own. It asks the shelf, which computes a result once, keeps the most
recently used ones and forgets the rest.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

import numpy as np

__all__ = ["SHELF", "Shelf", "size_of"]

T = TypeVar("T")


def size_of(value: Any, depth: int = 4) -> int:
    """About how many bytes of arrays a result holds."""
    if isinstance(value, np.ndarray):
        return int(value.nbytes)
    if hasattr(value, "memory_usage"):  # a DataFrame
        return int(value.memory_usage().sum())
    if depth and isinstance(value, Mapping):
        return sum(size_of(v, depth - 1) for v in value.values())
    if depth and isinstance(value, (list, tuple)):
        return sum(size_of(v, depth - 1) for v in value)
    if depth and is_dataclass(value):
        return sum(size_of(getattr(value, f.name), depth - 1) for f in fields(value))
    return 64


class Shelf:
    """A bounded cache in which the least recently used result goes first; safe between threads.

    Parameters
    ----------
    max_items : int
        Results kept at most.
    max_bytes : int
        Bytes of their arrays kept at most; the newest result stays in any case.
    """

    def __init__(self, max_items: int = 64, max_bytes: int = 1 << 28) -> None:
        self.max_items, self.max_bytes = max_items, max_bytes
        self._kept: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()
        self._making: dict[Hashable, threading.Lock] = {}

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def nbytes(self) -> int:
        """Bytes of arrays on the shelf."""
        return self._bytes

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The result of that key, made now if it is not on the shelf.

        Two sessions that ask for the same result at once wait for one computation. A computation
        that fails leaves nothing behind.
        """
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key][0]
            turn = self._making.setdefault(key, threading.Lock())
        with turn:
            with self._lock:
                if key in self._kept:
                    return self._kept[key][0]
            try:
                result = make()
                self._keep(key, result)
            finally:
                with self._lock:
                    self._making.pop(key, None)
        return result

    def _keep(self, key: Hashable, result: Any) -> None:
        size = size_of(result)
        with self._lock:
            self._kept[key] = result, size
            self._bytes += size
            while len(self._kept) > 1 and (
                len(self._kept) > self.max_items or self._bytes > self.max_bytes
            ):
                self._bytes -= self._kept.popitem(last=False)[1][1]

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._kept.clear()
            self._bytes = 0


# decoded events are about half a megabyte each at pile-up 60
SHELF = Shelf(max_items=256, max_bytes=160_000_000)
