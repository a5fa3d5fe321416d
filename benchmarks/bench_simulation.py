"""Events simulated a second: ``python benchmarks/bench_simulation.py [EVENTS]``.

Mean pile-up 60, after compilation, on one thread and on two.
"""

from __future__ import annotations

import sys
import time

from pixlab.simulation import simulate


def main(n_events: int = 20) -> None:
    """Print a line for each number of threads."""
    simulate(1, pileup=1, seed=0)  # compile
    for threads in (1, 2):
        wall, cpu = time.perf_counter(), time.process_time()
        digis = simulate(n_events, pileup=60, seed=1, threads=threads)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        print(
            f"{threads} thread(s): {n_events / wall:.1f} events/s "
            f"({n_events / cpu:.1f} a second of CPU), {digis.n_digis / n_events:,.0f} digis an event"
        )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
