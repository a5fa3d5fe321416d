"""Events compared: CPU seconds, and memory that does not grow with their number.

``python benchmarks/bench_compare.py``: one event at a pile-up of 200, 100 events at 60 (ten of them
ten times), and what is dear. What numba compiles is left out.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable

import numpy as np

import pixlab
from pixlab.digis import Digis


def coarse(digis: Digis) -> Digis:
    """Something that every metric sees: fewer levels of charge, and one pixel in fifty lost."""
    keep = np.random.default_rng(0).random(digis.n_digis) > 0.02
    return digis.select(mask=keep).with_adc(np.minimum(digis.adc[keep] // 8 * 8 + 4, 255))


def seconds(work: Callable[[], object], runs: int) -> float:
    """The shortest of some runs, seconds of this process on all cores."""
    times = []
    for _ in range(runs):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def peak(work: Callable[[], object]) -> float:
    """Memory that is taken at most beyond what is there before, MB."""
    tracemalloc.start()
    work()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most / 1e6


def main() -> None:
    """Print one line a case."""
    ten, truth = pixlab.simulate(10, pileup=60, seed=1, truth=True)
    busy = pixlab.simulate(1, pileup=200, seed=1)
    hundred = Digis.concatenate([ten] * 10)
    pixlab.compare(ten[:2], coarse(ten[:2]), premixed=True, deep=True, truth=truth)  # compiles

    for name, digis, runs, more in (
        ("1 event, pile-up 200", busy, 5, {}),
        ("1 event, pile-up 200, and its verdict", busy, 5, {"verdict": True}),
        ("100 events, pile-up 60", hundred, 1, {}),
        ("100 events, pile-up 60, pre-mixed too", hundred, 1, {"premixed": True}),
        ("10 events, pile-up 60, with truth", ten, 2, {"truth": truth}),
        ("10 events, pile-up 60, deep", ten, 1, {"deep": True}),
    ):
        decoded, options = coarse(digis), dict(more)
        judged = options.pop("verdict", False)

        def work(
            digis: Digis = digis,
            decoded: Digis = decoded,
            options: dict = options,
            judged: bool = judged,
        ) -> None:
            found = pixlab.compare(digis, decoded, **options)
            if judged:
                found.passed()

        print(f"{name}: {digis.n_digis:,} digis, {seconds(work, runs):.2f} s CPU", flush=True)
    for n in (10, 100):
        part = hundred[:n]
        decoded = coarse(part)
        most = peak(lambda part=part, decoded=decoded: pixlab.compare(part, decoded))
        print(f"{n} events: {most:.0f} MB beyond the digis themselves")


if __name__ == "__main__":
    main()
