"""How fast a CMS EDM file is read: everything, decompression alone, and what pixlab adds to it.

    python benchmarks/bench_read.py FILE.root [--branch PART] [--repeat 7]

Times are CPU times of one core, the best of the repeats, after one call that compiles.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

from pixlab.io import read
from pixlab.io.edm import EdmReader


def best(task: Callable[[], object], repeat: int) -> float:
    """Seconds of CPU time of the fastest call."""
    times = []
    for _ in range(repeat):
        start = time.process_time()
        task()
        times.append(time.process_time() - start)
    return min(times)


def decompress(path: Path, branch: str | None) -> None:
    """Only unpack the baskets that `read` unpacks."""
    reader = EdmReader(path, branch=branch)
    for baskets in (reader._ids, reader._sets, reader._numbers):
        for _ in [] if baskets is None else baskets.pieces(0, baskets.entries):
            pass
    reader.close()


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--branch")
    parser.add_argument("--repeat", type=int, default=7)
    given = parser.parse_args()
    digis = read(given.file, branch=given.branch)
    opening = best(lambda: EdmReader(given.file, branch=given.branch).close(), given.repeat)
    unpacking = best(lambda: decompress(given.file, given.branch), given.repeat) - opening
    total = best(lambda: read(given.file, branch=given.branch), given.repeat)
    parsing = total - unpacking - opening
    million = digis.n_digis / 1e6
    print(f"{given.file.name}: {len(digis)} events, {digis.n_digis:,} digis")
    for what, seconds in (
        ("open (uproot, keys, tree)", opening),
        ("decompress", unpacking),
        ("parse, sort, check", parsing),
        ("all", total),
    ):
        print(f"{what:26} {1e3 * seconds:8.1f} ms {million / max(seconds, 1e-9):8.1f} Mdigi/s")


if __name__ == "__main__":
    main()
