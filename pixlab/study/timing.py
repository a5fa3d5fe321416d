"""Time and memory that coding takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from pixlab.codecs import Model, Root, base
from pixlab.codecs.foreign_process import usage
from pixlab.digis import Digis
from pixlab.study.machine import cores, forget_peak, on_one_core, peak_memory

__all__ = ["Stopwatch", "time_codec"]

_CHUNKS_A_CORE = 4  # of the longer sample
_MEGA = 1e6


class Stopwatch:
    """Seconds of what runs in its blocks.

    ``wall``: elapsed; ``cpu``: of all threads and of foreign codecs' processes; ``foreign``: of the
    latter alone.
    """

    def __init__(self) -> None:
        self.wall = self.cpu = self.foreign = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count the time of this block."""
        wall, cpu, foreign = time.perf_counter(), time.process_time(), usage().cpu
        try:
            yield
        finally:
            self.wall += time.perf_counter() - wall
            foreign = usage().cpu - foreign
            self.foreign += foreign
            self.cpu += time.process_time() - cpu + foreign

    def without(self, blocks: Iterable[Digis]) -> Iterator[Digis]:
        """The same blocks; the time that making them takes is not counted."""
        found = iter(blocks)
        while True:
            outside = Stopwatch()
            with outside.running():
                block = next(found, None)
            self.wall -= outside.wall
            self.cpu -= outside.cpu
            self.foreign -= outside.foreign
            if block is None:
                return
            yield block


def time_codec(
    model: Model, digis: Digis, *, repeats: int = 3, parallel: bool = True
) -> dict[str, float]:
    """Speed and memory of a model, on events that it was not fitted on.

    On one core as CPU time; on one core and on all as elapsed time, of a longer sample: the events
    and their mirror images, repeated until there are several chunks for each core. The best of
    some repeats counts, after one that compiles. Of ROOT, which works in a process of its own, only
    what ROOT itself takes is counted: filling and compressing the tree, reading it into arrays.

    Parameters
    ----------
    model : Model
        What encodes and decodes.
    digis : Digis
        The events.
    repeats : int
        How often each time is taken.
    parallel : bool
        Whether to measure on all cores too.

    Returns
    -------
    dict
        ``encode_mdigi_s``, ``decode_mdigi_s``, the same with ``_all``, ``encode_speedup``,
        ``decode_speedup`` and ``memory_mb``; `pixlab.study.benching` has their meaning.
    """
    kind = "foreign" if isinstance(model.codec, Root) else "cpu"
    model.decode(model.encode(digis))  # compiles, and starts foreign processes
    n = max(digis.n_digis, 1)
    found: dict[str, float] = {}
    forget_peak()
    with on_one_core():
        for verb, work in _verbs(model, digis).items():
            times = [_seconds(work, kind) for _ in range(repeats)]
            found[f"{verb}_mdigi_s"] = n / min(times) / _MEGA
    if parallel:
        found |= _on_all_cores(model, digis, repeats)
    return found | {"memory_mb": (peak_memory() + usage().memory) / _MEGA}


def _on_all_cores(model: Model, digis: Digis, repeats: int) -> dict[str, float]:
    long = _longer(digis, _CHUNKS_A_CORE * cores() * base.CHUNK_DIGIS)
    found = {}
    for verb, work in _verbs(model, long).items():
        alone, together = [], []
        for _ in range(repeats):  # in turn, so that a busy moment meets both
            with on_one_core():
                alone.append(_seconds(work, "wall"))
            together.append(_seconds(work, "wall"))
        found[f"{verb}_all_mdigi_s"] = long.n_digis / min(together) / _MEGA
        found[f"{verb}_speedup"] = min(alone) / min(together)
    return found


def _verbs(model: Model, digis: Digis) -> dict[str, Callable[[], object]]:
    stream = model.encode(digis)
    return {"encode": lambda: model.encode(digis), "decode": lambda: model.decode(stream)}


def _seconds(work: Callable[[], object], kind: str) -> float:
    """How long it takes: "wall", "cpu" or "foreign" seconds of `Stopwatch`."""
    watch = Stopwatch()
    with watch.running():
        work()
    return max(getattr(watch, kind), 1e-9)


def _longer(digis: Digis, n: int) -> Digis:
    """At least `n` digis: the events, their mirror images in rows, columns and both, and again."""
    detector, images = digis.detector, []
    for flip in range(4):
        row = detector.rows[digis.module] - 1 - digis.row if flip & 1 else digis.row
        col = detector.cols[digis.module] - 1 - digis.col if flip & 2 else digis.col
        columns = (digis.event, digis.detid, row, col, digis.adc)
        images.append(Digis.from_arrays(*columns, detector=detector, n_events=len(digis)))
    times = -(-n // max(digis.n_digis, 1)) if digis.n_digis else 1
    return Digis.concatenate([images[i % 4] for i in range(times)])
