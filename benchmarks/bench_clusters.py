"""Digis clustered a second on one core.

``python benchmarks/bench_clusters.py [FILE.npz]``; without a file, made-up clumps at the density of
a busy first layer.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np

from pixlab.clusters import cluster
from pixlab.digis import Digis


def made_up(n_modules: int = 1856, clumps: int = 60, seed: int = 1) -> Digis:
    """One event of random 3 x 4 clumps on every module."""
    from pixlab.detectors import DETECTORS

    detector = DETECTORS["phase1"]
    rng = np.random.default_rng(seed)
    n = n_modules * clumps
    module = np.repeat(rng.integers(0, len(detector), n), 6)
    row = np.repeat(rng.integers(0, 157, n), 6) + rng.integers(0, 3, 6 * n)
    col = np.repeat(rng.integers(0, 412, n), 6) + rng.integers(0, 4, 6 * n)
    adc = rng.integers(10, 255, 6 * n)
    return Digis.from_arrays(
        np.zeros(6 * n, int),
        detector.detid[module],
        row,
        col,
        adc,
        detector=detector,
        duplicates="sum",
    )


def load(path: str) -> Digis:
    """Digis of an npz with columns event, detid, row, col, adc."""
    with np.load(path) as file:
        columns = {k: file[k].astype(np.int64) for k in ("event", "detid", "row", "col", "adc")}
    return Digis.from_arrays(**columns, detector="phase1")


def best(work: Callable[[], object], runs: int = 7) -> float:
    """The shortest of some runs, seconds of this process."""
    times = []
    for _ in range(runs):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def main() -> None:
    """Print the rate; what numba compiles is left out."""
    digis = load(sys.argv[1]) if len(sys.argv) > 1 else made_up()
    found = cluster(digis)
    rate = digis.n_digis / best(lambda: cluster(digis)) / 1e6
    print(f"{digis.n_digis:,} digis, {len(found):,} clusters: {rate:.1f} Mdigi/s a core")


if __name__ == "__main__":
    main()
