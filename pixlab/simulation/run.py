"""`simulate`: events in parallel, each from its own stream of random numbers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from pixlab.detectors import Detector, get_detector
from pixlab.digis import Digis
from pixlab.errors import PixlabError
from pixlab.progress import Progress, tell
from pixlab.simulation.conditions import Conditions, conditions_of, per_layer

if TYPE_CHECKING:
    from numpy.random import Generator

    from pixlab.simulation.event import EventResult
    from pixlab.simulation.truth import Truth

__all__ = ["simulate"]

_MAX_PILEUP = 2000  # an event's pixels have to fit in memory


GENERATORS = ("builtin", "pythia8")


@overload
def simulate(
    n_events: int,
    *,
    pileup: float = ...,
    seed: int,
    first: int = ...,
    detector: str | Detector = ...,
    generator: str = ...,
    fixed_pileup: bool = ...,
    conditions: Conditions | None = ...,
    truth: Literal[False] = ...,
    threads: int | None = ...,
    progress: Progress | None = ...,
) -> Digis: ...
@overload
def simulate(
    n_events: int,
    *,
    pileup: float = ...,
    seed: int,
    first: int = ...,
    detector: str | Detector = ...,
    generator: str = ...,
    fixed_pileup: bool = ...,
    conditions: Conditions | None = ...,
    truth: Literal[True],
    threads: int | None = ...,
    progress: Progress | None = ...,
) -> tuple[Digis, Truth]: ...
def simulate(
    n_events: int,
    *,
    pileup: float = 60,
    seed: int,
    first: int = 0,
    detector: str | Detector = "phase1",
    generator: str = "builtin",
    fixed_pileup: bool = False,
    conditions: Conditions | None = None,
    truth: bool = False,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Digis | tuple[Digis, Truth]:
    """Minimum-bias events at 14 TeV in a CMS pixel detector.

    The same seed gives the same events, whatever the number of threads; event ``i`` does not
    depend on the others, so that many can be made in blocks, or on several machines.

    Parameters
    ----------
    n_events : int
        Number of bunch crossings.
    pileup : float
        Mean number of collisions in each.
    seed : int
        Seed of the random numbers, 0 or larger.
    first : int
        Which event of that seed is the first.
    detector : str or Detector
        ``"phase1"`` (linear response, 135 e a count), ``"phase1-uniform"`` (the same with pixels of
        one size), ``"phase1-run3"`` (tanh response, Run-3 thresholds), ``"phase2"`` or
        ``"phase2-25x100"`` (4-bit time over threshold), or one of these two with ``-premix`` behind
        it (linear 8-bit counts).
    generator : str
        ``"builtin"``: particles drawn from parametrised spectra; ``"pythia8"``: Pythia 8, which is
        installed with ``pip install 'pixlab[pythia]'``.
    fixed_pileup : bool
        Exactly `pileup` (rounded) collisions in every event instead of a Poisson number.
    conditions : Conditions, optional
        Settings of the detector other than its usual ones, see `conditions_of`.
    truth : bool
        Also tell which particles crossed which modules where, and left what in which digi.
    threads : int, optional
        Events simulated at the same time; default: one a processor.
    progress : Progress, optional
        Called with the fraction done.

    Returns
    -------
    Digis, or (Digis, Truth) with ``truth=True``

    Raises
    ------
    PixlabError
        If an argument is out of range, the detector cannot be simulated, or the generator is not
        installed.

    Examples
    --------
    >>> import pixlab
    >>> digis, truth = pixlab.simulate(2, pileup=1, seed=1, truth=True)
    >>> len(digis)
    2
    """
    n_events = _whole("n_events", n_events)
    seed, first = _whole("seed", seed), _whole("first", first)
    try:
        pileup = float(pileup)
    except (TypeError, ValueError) as error:
        raise PixlabError(f"pileup must be a number, not {pileup!r}") from error
    if not 0 <= pileup <= _MAX_PILEUP:
        raise PixlabError(f"pileup {pileup:g} is outside 0 to {_MAX_PILEUP}")
    workers = _processors() if threads is None else _whole("threads", threads)
    if workers < 1:
        raise PixlabError("threads must be at least 1")
    if generator not in GENERATORS:
        raise PixlabError(
            f"no generator is called '{generator}'", f"choose one of {', '.join(GENERATORS)}"
        )
    detector = get_detector(detector)
    conditions = conditions_of(detector) if conditions is None else conditions
    event = _event_function(detector, conditions, truth)
    crossings = _bunch_crossings(
        range(first, first + n_events), seed, pileup, fixed_pileup, generator, conditions
    )
    results: list[EventResult] = []
    for result in _in_order(event, crossings, workers):
        results.append(result)
        tell(progress, len(results) / n_events, f"event {len(results)} of {n_events}")
    digis = _digis(detector, results)
    if not truth:
        return digis
    from pixlab.simulation.truth import truth_of

    return digis, truth_of(detector, conditions, results)


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


def _bunch_crossings(
    events: range,
    seed: int,
    pileup: float,
    fixed: bool,
    generator: str,
    conditions: Conditions,
) -> Iterator[tuple[Generator, NDArray[np.float64] | int]]:
    """The random stream of each event, with its particles or the number of its collisions.

    Pythia holds the interpreter's lock: it runs here, beside the threads that do the rest.
    """
    source = None
    if generator == "pythia8":
        from pixlab.simulation.pythia import Pythia8

        source = Pythia8(conditions)
    for i in events:
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(i,))))
        collisions = round(pileup) if fixed else int(rng.poisson(pileup))
        yield rng, collisions if source is None else source(rng, collisions)


def _event_function(detector: Detector, conditions: Conditions, truth: bool) -> Any:
    # compiled code is loaded here, so that importing this room stays light
    from pixlab.simulation.collisions import momentum_table, particles
    from pixlab.simulation.event import Matter, simulate_event
    from pixlab.simulation.geometry import geometry_of
    from pixlab.simulation.readout import readout_of
    from pixlab.simulation.sensor import Silicon

    readout = readout_of(conditions, detector)
    geometry, table = geometry_of(detector, conditions), momentum_table()
    silicon = Silicon(
        per_layer(conditions.thickness, detector),
        conditions.diffusion,
        conditions.soft_loss,
        conditions.all_minimum_ionising,
        conditions.delta_rays,
    )
    matter = Matter(
        conditions.radiation_lengths,
        conditions.secondaries,
        conditions.overlaps,
        conditions.latest,
    )

    def event(given: tuple[Generator, NDArray[np.float64] | int]) -> EventResult:
        rng, primaries = given
        if not isinstance(primaries, np.ndarray):
            primaries = particles(
                rng,
                primaries,
                conditions.sigma_xy,
                conditions.sigma_z,
                geometry.max_eta,
                conditions.secondaries,
                table,
            )
        result = simulate_event(rng, geometry, readout, silicon, matter, primaries, truth)
        return result if truth else result.without_truth()

    return event


def _in_order(event: Any, given: Iterator[Any], threads: int) -> Iterator[Any]:
    """Results in the order of what is given, with a few events under way at a time."""
    with ThreadPoolExecutor(threads) as pool:
        waiting: list[Future[Any]] = [pool.submit(event, one) for one in islice(given, 2 * threads)]
        while waiting:
            done = waiting.pop(0).result()
            waiting.extend(pool.submit(event, one) for one in islice(given, 1))
            yield done


def _digis(detector: Detector, results: list[EventResult]) -> Digis:
    from pixlab.simulation.sensor import COL_BITS, ROW_BITS

    pixel = np.concatenate([np.zeros(0, np.int64), *(r.pixel for r in results)])
    counts = np.concatenate([np.zeros(0, np.int64), *(r.counts for r in results)])
    event = np.repeat(np.arange(len(results)), [len(r.pixel) for r in results])
    return Digis.from_arrays(
        event,
        detector.detid[pixel >> (ROW_BITS + COL_BITS)],
        pixel >> COL_BITS & ((1 << ROW_BITS) - 1),
        pixel & ((1 << COL_BITS) - 1),
        counts,
        detector=detector,
        n_events=len(results),
    )
