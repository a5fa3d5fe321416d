"""`simulate`: events in parallel, each from its own stream of random numbers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pixlab.detectors import Detector, get_detector
from pixlab.digis import Digis
from pixlab.errors import PixlabError
from pixlab.progress import Progress

if TYPE_CHECKING:
    from numpy.random import Generator

__all__ = ["simulate"]

_MAX_PILEUP = 2000  # an event's pixels have to fit in memory


def simulate(
    n_events: int,
    *,
    pileup: float = 60,
    seed: int,
    detector: str | Detector = "phase1",
    fixed_pileup: bool = False,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Digis:
    """Minimum-bias events at 14 TeV in the Phase-1 pixel detector.

    The same seed gives the same events, whatever the number of threads; event ``i`` does not
    depend on how many events follow it.

    Parameters
    ----------
    n_events : int
        Number of bunch crossings.
    pileup : float
        Mean number of collisions in each.
    seed : int
        Seed of the random numbers, 0 or larger.
    detector : str or Detector
        ``"phase1"`` (linear response, 135 e a count, the conditions of the reference data) or
        ``"phase1-run3"`` (tanh response, Run-3 thresholds).
    fixed_pileup : bool
        Exactly `pileup` (rounded) collisions in every event instead of a Poisson number.
    threads : int, optional
        Events simulated at the same time; default: one a processor.
    progress : Progress, optional
        Called with the fraction done.

    Returns
    -------
    Digis

    Raises
    ------
    PixlabError
        If an argument is out of range or the detector cannot be simulated.

    Examples
    --------
    >>> import pixlab
    >>> digis = pixlab.simulate(2, pileup=1, seed=1)
    >>> len(digis)
    2
    """
    n_events = _whole("n_events", n_events)
    seed = _whole("seed", seed)
    try:
        pileup = float(pileup)
    except (TypeError, ValueError) as error:
        raise PixlabError(f"pileup must be a number, not {pileup!r}") from error
    if not 0 <= pileup <= _MAX_PILEUP:
        raise PixlabError(f"pileup {pileup:g} is outside 0 to {_MAX_PILEUP}")
    workers = _processors() if threads is None else _whole("threads", threads)
    if workers < 1:
        raise PixlabError("threads must be at least 1")
    detector = get_detector(detector)
    event = _event_function(detector, pileup, bool(fixed_pileup))
    streams = (
        np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(i,))))
        for i in range(n_events)
    )
    parts: list[tuple[NDArray[np.uint32], NDArray[np.uint16]]] = []
    for pixel, counts in _in_order(event, streams, workers):
        parts.append((pixel.astype(np.uint32), counts.astype(np.uint16)))
        if progress is not None:
            progress(len(parts) / n_events, f"event {len(parts)} of {n_events}")
    return _digis(detector, parts)


def _whole(name: str, value: Any) -> int:
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise PixlabError(f"{name} must be a whole number, not {value!r}") from error
    if number != value or number < 0:
        raise PixlabError(f"{name} must be a whole number, 0 or larger, not {value!r}")
    return number


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _event_function(detector: Detector, pileup: float, fixed: bool) -> Any:
    # compiled code is loaded here, so that importing this room stays light
    from pixlab.simulation.collisions import momentum_table
    from pixlab.simulation.event import simulate_event
    from pixlab.simulation.geometry import geometry_of
    from pixlab.simulation.readout import readout_of

    readout = readout_of(detector)
    geometry, table = geometry_of(detector), momentum_table()

    def event(rng: Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        return simulate_event(rng, geometry, readout, table, pileup, fixed)

    return event


def _in_order(event: Any, streams: Iterator[Generator], threads: int) -> Iterator[Any]:
    """Results in the order of the streams, with a few events under way at a time."""
    with ThreadPoolExecutor(threads) as pool:
        waiting: list[Future[Any]] = [
            pool.submit(event, rng) for rng in islice(streams, 2 * threads)
        ]
        while waiting:
            done = waiting.pop(0).result()
            waiting.extend(pool.submit(event, rng) for rng in islice(streams, 1))
            yield done


def _digis(detector: Detector, parts: list[tuple[NDArray[np.uint32], NDArray[np.uint16]]]) -> Digis:
    pixel = np.concatenate([np.zeros(0, np.uint32), *(p for p, _ in parts)])
    counts = np.concatenate([np.zeros(0, np.uint16), *(c for _, c in parts)])
    event = np.repeat(np.arange(len(parts)), [len(p) for p, _ in parts])
    return Digis.from_arrays(
        event,
        detector.detid[pixel >> 20],
        pixel >> 10 & 0x3FF,
        pixel & 0x3FF,
        counts,
        detector=detector,
        n_events=len(parts),
    )
