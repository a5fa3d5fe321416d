"""How fast events are read and clustered: one run, one file, one core.

    python benchmarks/bench_read.py FILE.root [--branch PART] [--repeat 9]

Of a CMS EDM file: everything, decompression alone, and what pixlab adds to it. Of the same events
as a flat tree, in the order of pixlab and in that of CMS (by column, then row): pixlab, which checks,
sorts and converts every digi, beside the arrays that uproot reads. And the digis clustered. Times
are CPU times, the best of the repeats, after one call that compiles.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import uproot

from pixlab import Digis, cluster
from pixlab.io import read, write
from pixlab.io.edm import EdmReader
from pixlab.io.events import How
from pixlab.io.source import Bytes


def best(task: Callable[[], object], repeat: int) -> float:
    """Seconds of CPU time of the fastest call."""
    task()
    times = []
    for _ in range(repeat):
        start = time.process_time()
        task()
        times.append(time.process_time() - start)
    return min(times)


def open_edm(path: Path, branch: str | None) -> None:
    """Find the branch and its baskets."""
    with Bytes(path) as source:
        EdmReader(source, How(branch=branch))


def unpack(path: Path, branch: str | None) -> None:
    """That, and unpack the baskets that `read` unpacks."""
    with Bytes(path) as source:
        reader = EdmReader(source, How(branch=branch))
        for baskets in (reader._ids, reader._sets, reader._numbers):
            for _ in [] if baskets is None else baskets.pieces(0, baskets.entries):
                pass


def in_cms_order(digis: Digis, path: Path) -> None:
    """A flat tree as a dump of CMS's DetSets is: by column, then row."""
    order = np.lexsort((digis.row, digis.col, digis.detid, digis.event))
    columns = {"event": digis.event, "detId": digis.detid, "row": digis.row}
    columns |= {"col": digis.col, "adc": digis.adc}
    with uproot.recreate(path, compression=uproot.ZLIB(1)) as file:
        tree = file.mktree("digiTree", dict.fromkeys(columns, "int32"))
        tree.extend({name: values[order].astype(np.int32) for name, values in columns.items()})


def arrays(path: Path) -> None:
    """What uproot reads."""
    with uproot.open(path) as file:
        file["digiTree"].arrays(["event", "detId", "row", "col", "adc"], library="np")


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--branch")
    parser.add_argument("--repeat", type=int, default=9)
    given = parser.parse_args()
    path, branch, repeat = given.file, given.branch, given.repeat
    digis = read(path, branch=branch)
    opening = best(lambda: open_edm(path, branch), repeat)
    unpacking = best(lambda: unpack(path, branch), repeat) - opening
    total = best(lambda: read(path, branch=branch), repeat)
    lines = [
        ("EDM: open (keys, tree)", opening),
        ("EDM: decompress", unpacking),
        ("EDM: parse, sort, check", total - unpacking - opening),
        ("EDM: all but decompression", total - unpacking),
        ("EDM: all", total),
        ("clusters", best(lambda: cluster(digis), repeat)),
    ]
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        flat, cms = Path(folder) / "flat.root", Path(folder) / "cms.root"
        write(digis, flat)
        in_cms_order(digis, cms)
        for name, file in (("sorted", flat), ("CMS order", cms)):
            assert read(file) == digis
            mine, theirs = (best(partial(task, file), repeat) for task in (read, arrays))
            lines += [(f"flat tree, {name}: uproot", theirs), (f"flat tree, {name}: pixlab", mine)]
            ratios.append(f"{mine / theirs:.2f} ({name})")
    million = digis.n_digis / 1e6
    print(f"{path.name}: {len(digis)} events, {digis.n_digis:,} digis")
    for what, seconds in lines:
        print(f"{what:30} {1e3 * seconds:8.1f} ms {million / max(seconds, 1e-9):8.1f} Mdigi/s")
    print(f"flat tree, pixlab / uproot: {', '.join(ratios)}")


if __name__ == "__main__":
    main()
