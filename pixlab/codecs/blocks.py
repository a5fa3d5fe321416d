"""Events to learn from that come in blocks, which a training goes through again and again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

from pixlab.digis import Digis
from pixlab.errors import PixlabError

__all__ = ["Blocks", "first_events", "repeatable"]

_ENOUGH = 400_000  # digis that all is learned from that is not trained
Examples = TypeVar("Examples", bound=tuple[Any, ...])  # of arrays


def repeatable(digis: Digis | Iterable[Digis]) -> Iterable[Digis]:
    """Events as blocks that can be gone through several times.

    Raises
    ------
    PixlabError
        If they can be read only once.
    """
    blocks: Iterable[Digis] = [digis] if isinstance(digis, Digis) else digis
    if iter(blocks) is blocks:
        raise PixlabError(
            "training goes through the events several times, and these can be read only once",
            "give a list of blocks, or an object whose __iter__ opens the file anew",
        )
    return blocks


def first_events(blocks: Iterable[Digis]) -> Digis:
    """The first events, enough to learn contexts from.

    Raises
    ------
    PixlabError
        If there is no digi.
    """
    found: list[Digis] = []
    for block in blocks:
        found.append(block)
        if sum(d.n_digis for d in found) >= _ENOUGH:
            break
    if not any(d.n_digis for d in found):
        raise PixlabError("there is no digi to learn from", "fit on other events")
    return found[0] if len(found) == 1 else Digis.concatenate(found)


class Blocks(Generic[Examples]):
    """What `describe` makes of blocks of events, anew in each pass unless they are in memory."""

    def __init__(self, blocks: Iterable[Digis], describe: Callable[[Digis], Examples]) -> None:
        self._blocks, self._describe = blocks, describe
        self._kept: list[Examples] | None = None
        if isinstance(blocks, list):
            self._kept = [describe(block) for block in blocks]

    def __iter__(self) -> Iterator[Examples]:
        if self._kept is not None:
            return iter(self._kept)
        return map(self._describe, self._blocks)

    @property
    def fingerprint(self) -> str:
        """Hash of the first block of examples."""
        digest = hashlib.sha256()
        for column in next(iter(self)):
            digest.update(column.tobytes())
        return digest.hexdigest()[:16]
