"""The same events of two samples, chunk by chunk, so that memory does not grow with their number."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from pixlab.digis import Digis
from pixlab.errors import PixlabError
from pixlab.io.blocks import Feed
from pixlab.premixing import premix
from pixlab.progress import Progress

__all__ = ["Chunk", "overlaid", "same_events", "with_partners"]

_CHUNK_DIGIS = 400_000
_CHUNK_FRAMES = 2_000_000  # modules x events: counted one by one for the occupancy spectrum


class Chunk(NamedTuple):
    """A run of events: original, decoded, number of the first, and what each is laid over."""

    original: Digis
    decoded: Digis
    first: int = 0
    partner: Digis | None = None


def same_events(
    original: Digis | Iterable[Digis],
    decoded: Digis | Iterable[Digis],
    progress: Progress | None = None,
) -> Iterator[Chunk]:
    """Pair up two samples, given whole or as blocks of events; at least one chunk a block.

    Raises
    ------
    PixlabError
        If detectors or numbers of events differ.
    """
    whole = isinstance(original, Digis) and isinstance(decoded, Digis)
    if whole:
        _check(original, decoded, 0)  # type: ignore[arg-type]
    blocks = [original] if isinstance(original, Digis) else original
    feed = Feed(decoded)  # whose blocks may be cut elsewhere
    done = 0
    for one in blocks:
        other = feed.take(len(one))
        if other is not None and len(other) < len(one):
            _check(one, None, done + len(other))
        _check(one, other, done)
        assert other is not None
        for cut in _cuts(one, other):
            yield Chunk(one[cut], other[cut], done)
            done += cut.stop - cut.start
            if progress is not None and whole:
                progress(done / max(len(one), 1), f"event {done} of {len(one)}")
            elif progress is not None:
                progress(0.0, f"event {done}")
    more = feed.take(1)
    if more is not None and len(more):
        _check(None, more, done)


def _check(original: Digis | None, decoded: Digis | None, done: int) -> None:
    if original is None or decoded is None:
        longer, shorter = "original", "decoded"
        if original is None:
            longer, shorter = shorter, longer
        raise PixlabError(
            f"the {longer} events go on after event {done - 1}, the {shorter} ones do not",
            "compare the same events",
        )
    if original.detector != decoded.detector:
        raise PixlabError(
            f"the original is of detector '{original.detector.name}', the decoded of "
            f"'{decoded.detector.name}'",
            "read both with the same detector=",
        )
    if len(original) != len(decoded):
        raise PixlabError(
            f"the original has {len(original)} events, the decoded {len(decoded)}",
            "compare the same events, for instance original[:100] with decoded[:100]",
        )


def _cuts(original: Digis, decoded: Digis) -> Iterator[slice]:
    """Runs of events with a bounded number of digis; one empty run where there is no event."""
    n = len(original)
    most = max(1, _CHUNK_FRAMES // max(len(original.detector), 1))
    start = 0
    while start < n or start == 0:
        stop = min(start + most, n)
        for digis in (original, decoded):
            last = digis.offsets[start] + _CHUNK_DIGIS
            stop = min(stop, int(np.searchsorted(digis.offsets, last, "right")) - 1)
        stop = min(max(stop, start + 1), n)
        yield slice(start, stop)
        if stop == n:
            return
        start = stop


def with_partners(chunks: Iterable[Chunk]) -> Iterator[Chunk]:
    """Give each event the next original one as its partner, the last the first.

    An only event gets an empty one.
    """
    first: Digis | None = None
    held: Chunk | None = None
    for chunk in chunks:
        if not len(chunk.original):
            yield chunk._replace(partner=chunk.original)
            continue
        if first is None:
            first = chunk.original[:1]
        if held is not None:
            yield _partnered(held, chunk.original[:1])
        held = chunk
    if held is None or first is None:
        return
    if len(held.original) == 1 and held.original == first:
        first = Digis.empty(first.detector, 1)
    yield _partnered(held, first)


def _partnered(chunk: Chunk, last: Digis) -> Chunk:
    return chunk._replace(partner=Digis.concatenate([chunk.original[1:], last]))


def overlaid(chunk: Chunk) -> tuple[Digis, Digis]:
    """Original and decoded events over their partners, by the pre-mixing rule."""
    assert chunk.partner is not None
    return premix(chunk.partner, chunk.original), premix(chunk.partner, chunk.decoded)
