"""What all sessions of one server share: a bounded shelf of derived results, keyed by content.

A page holds no data of its own. It asks the shelf, which computes a result once, keeps the most
recently used ones and forgets the rest.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

__all__ = ["SHELF", "Shelf"]

T = TypeVar("T")


class Shelf:
    """A bounded cache in which the least recently used result goes first; safe between threads.

    Parameters
    ----------
    max_items : int
        Results kept at most.
    """

    def __init__(self, max_items: int = 64) -> None:
        self.max_items = max_items
        self._kept: OrderedDict[Hashable, Any] = OrderedDict()
        self._lock = threading.Lock()
        self._making: dict[Hashable, threading.Lock] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The result of that key, made now if it is not on the shelf.

        Two sessions that ask for the same result at once wait for one computation. A computation
        that fails leaves nothing behind.
        """
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
            turn = self._making.setdefault(key, threading.Lock())
        with turn:
            with self._lock:
                if key in self._kept:
                    return self._kept[key]
            try:
                result = make()
                with self._lock:
                    self._kept[key] = result
                    while len(self._kept) > self.max_items:
                        self._kept.popitem(last=False)
            finally:
                with self._lock:
                    self._making.pop(key, None)
        return result

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._kept.clear()


# decoded events are about half a megabyte each at pile-up 60: some 60 MB when the shelf is full
SHELF = Shelf(max_items=128)
