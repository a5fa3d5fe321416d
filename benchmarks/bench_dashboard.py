"""The dashboard: first canvas, change of model, a large overview, and many visitors at once.

``python benchmarks/bench_dashboard.py``, from the root of the repository; ``--minutes`` and
``--visitors`` change the load, ``--only`` takes one part. Needs Chromium. Times are seconds of a
clock, because that is what a visitor waits: they mean something on a machine with nothing else to
do. What the server spends is CPU time, which says what a busier machine would do.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))
os.environ["PYTHONPATH"] = str(Path(__file__).parent.parent)

from pixlab.study.sweeping import CODEBOOK_SIZES
from tests.browser.visit import FLAGS, Visit
from tests.visitors import Server, load, serving

SLIDER = "Codebook size (number of codes)"
LARGE = 2_000_000  # digis


def in_a_browser(server: Server) -> None:
    """First canvas, cold and warm; the next codebook size until its map is there."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        context = browser.new_context(viewport={"width": 1440, "height": 900})
        for name in ("nothing in any cache", "warm", "warm", "warm"):
            before = server.cpu
            page = Visit(context)
            page.open(server.address)
            print(f"first canvas, {name}: {page.seconds:.2f} s, "
                  f"{server.cpu - before:.2f} s of the server")  # fmt: skip
        page.until(lambda: page.figure("difference"), "the maps are there")
        page.settle()
        # to smaller codebooks and back, to larger ones and back: each way first new, then seen before
        there_and_back = [("ArrowLeft", ""), ("ArrowRight", ", seen before")]
        there_and_back += [("ArrowRight", ""), ("ArrowLeft", ", seen before")]
        times: dict[str, list[float]] = {}
        for key, name in (step for step in there_and_back for _ in range(2)):
            # in the page: from the key to the new columns of the decoded map
            page.page.evaluate(
                """() => {
                    const all = Bokeh.documents.flatMap(d => [...d._all_models.values()]);
                    const map = all.find(m => m.type == "Figure" && m.name == "decoded");
                    const source = map.renderers.find(r => r.data_source?.data.adc).data_source;
                    window.started = performance.now();  // also for what was connected before
                    window.switched = null;
                    const seen = () => requestAnimationFrame(() => setTimeout(() => {
                        window.switched ??= (performance.now() - window.started) / 1000;
                    }));
                    source.properties.data.change.connect(seen);
                }"""
            )
            page.move("Codebook size", key)
            page.until(lambda: page.page.evaluate("window.switched"), "the map is new")
            times.setdefault(name, []).append(page.page.evaluate("window.switched"))
            page.settle()
        for name, taken in times.items():
            print(f"change of model{name}: median {statistics.median(taken):.2f} s, "
                  f"worst {max(taken):.2f} s")  # fmt: skip
        browser.close()


def large_overview() -> None:
    """Two million digis of a whole detector, drawn as one pans and zooms."""
    import pixlab
    from pixlab.plots.live import OverviewMap
    from pixlab.plots.overview import Cloud

    event = pixlab.samples.load("phase1-pu200")
    copies = -(-LARGE // event.n_digis)
    digis = pixlab.Digis.concatenate([event] * copies)
    start = time.process_time()
    table = Cloud(digis, digis).table
    print(f"{len(table):,} digis placed: {time.process_time() - start:.2f} s of CPU")
    overview = OverviewMap("overview", "z-φ", lambda then: None)
    overview.show(table, digis.detector, "original", layers=range(7), log=False)
    for share in (1.0, 0.3, 0.05):
        wide, high = 110 * share, 2 * np.pi * share
        times = []
        for step in range(10):
            x = -wide / 2 + 0.02 * wide * step
            overview.figure.x_range.update(start=x, end=x + wide)
            overview.figure.y_range.update(start=-high / 2, end=high / 2)
            start = time.process_time()
            overview.draw()
            times.append(time.process_time() - start)
        print(f"  a step of panning, {share:.0%} of the axes seen: "
              f"{1000 * statistics.median(times):.0f} ms of CPU")  # fmt: skip


def many(server: Server, visitors: int, minutes: float, pause: float = 2.0) -> None:
    """All change the model every two seconds."""
    changes = max(round(60 * minutes / pause), 1)
    sizes = range(len(CODEBOOK_SIZES))  # places on the slider
    met = asyncio.run(
        load(server, visitors=visitors, changes=changes, label=SLIDER, values=sizes, pause=pause)
    )
    seconds = sorted(met.seconds)
    print(
        f"{visitors} visitors, a change of model each {pause:g} s for {minutes:g} min: "
        f"{len(seconds)} changes, no error; median {statistics.median(seconds):.3f} s, "
        f"95% within {seconds[int(0.95 * len(seconds))]:.3f} s, worst {seconds[-1]:.2f} s"
    )
    print(f"  {1000 * met.cpu / len(seconds):.0f} ms of CPU of the server a change")
    quarters = np.array_split(met.resident, 4)
    print(f"  resident memory by quarter, MB: {', '.join(f'{q.max():.0f}' for q in quarters)}")


def main() -> None:
    """Print a line for each measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=("browser", "overview", "load"))
    parser.add_argument("--visitors", type=int, default=10)
    parser.add_argument("--minutes", type=float, default=3.0)
    given = parser.parse_args()
    if given.only in (None, "overview"):
        large_overview()
    if given.only != "overview":
        with serving([]) as server:
            print(f"resident memory of the server before the first visit: {server.resident:.0f} MB")
            if given.only != "load":
                in_a_browser(server)
            if given.only != "browser":
                many(server, given.visitors, given.minutes)
            print(f"resident memory of the server in the end: {server.resident:.0f} MB")


if __name__ == "__main__":
    main()
