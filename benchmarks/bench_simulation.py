"""Events simulated a second: ``python benchmarks/bench_simulation.py [EVENTS]``.

Mean pile-up 60, after compilation: each detector on one thread and on two; the price of the truth;
and Pythia 8 in place of the built-in collisions, where it is installed.
"""

from __future__ import annotations

import sys
import time
from importlib.util import find_spec
from typing import Any

from pixlab.simulation import simulate

DETECTORS = ("phase1", "phase1-run3", "phase2", "phase2-25x100")


def measure(n_events: int, label: str, **how: Any) -> None:
    """Print a line: events a second of the clock and of CPU time, digis an event."""
    how = {"detector": "phase1", "threads": 1} | how
    simulate(1, pileup=1, seed=0, **how)  # compile, and start the generator
    wall, cpu = time.perf_counter(), time.process_time()
    made = simulate(n_events, pileup=60, seed=1, **how)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    digis = made[0] if isinstance(made, tuple) else made
    print(
        f"{label:28s} {how['threads']} thread(s): {n_events / wall:5.1f} events/s, "
        f"{n_events / cpu:5.1f} a second of CPU, {digis.n_digis / n_events:8,.0f} digis an event"
    )


def main(n_events: int = 20) -> None:
    """Print a line for each detector, number of threads and generator."""
    for detector in DETECTORS:
        for threads in (1, 2):
            measure(n_events, detector, detector=detector, threads=threads)
    measure(n_events, "phase1 with truth", truth=True)
    if find_spec("pythia8mc"):
        for threads in (1, 2):
            measure(n_events, "phase1 with Pythia 8", generator="pythia8", threads=threads)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
