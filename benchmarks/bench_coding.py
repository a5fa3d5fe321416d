"""Lossless coding against ROOT and general compressors: bits a digi, and digis a second of one core.

    python benchmarks/bench_coding.py [FILE] [--fit-events 5] [--repeat 5] [--threads]

Models are fitted on the first events and measured on the rest; their bytes are spread over 1,000
events. All rates are CPU times in this run, the best of the repeats, after one call that compiles.
ROOT is measured where it is installed (``pip install root``): a tree of module ids and digi words
in column-major order, one basket an event, as CMS EDM files have them. ``--threads`` adds the time
on the wall with all cores, over chunks of as many copies of the events as fill them.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

import pixlab
from pixlab.codecs import Lzma, Model, Zstd
from pixlab.codecs.foreign_root import baskets
from pixlab.digis import Digis

LIBRARY = 1000  # events that share a model

TREES = r"""
#include <string>
#include <vector>
#include "TFile.h"
#include "TTree.h"
using Column = std::vector<unsigned int>;
void bench_write(const char* path, const Column& n_ids, const Column& ids, const Column& n_data,
                 const Column& all, int compression) {
  TFile file(path, "RECREATE", "", compression);
  TTree tree("Events", "Events");
  Column id, data;
  tree.Branch("id", &id, 16384);
  tree.Branch("data", &data, 16384);
  size_t first = 0, word = 0;
  for (size_t e = 0; e < n_ids.size(); ++e) {
    id.assign(ids.begin() + first, ids.begin() + first + n_ids[e]);
    data.assign(all.begin() + word, all.begin() + word + n_data[e]);
    first += n_ids[e];
    word += n_data[e];
    tree.Fill();
    tree.FlushBaskets();
  }
  tree.Write();
}
unsigned long bench_read(const char* path) {
  TFile file(path);
  auto tree = file.Get<TTree>("Events");
  Column *id = nullptr, *data = nullptr;
  tree->SetBranchAddress("id", &id);
  tree->SetBranchAddress("data", &data);
  unsigned long n = 0;
  for (long e = 0; e < tree->GetEntries(); ++e) {
    tree->GetEntry(e);
    n += data->size();
  }
  return n;
}
"""


def best(task: Callable[[], object], repeat: int, clock: Callable[[], float]) -> float:
    """Seconds of the fastest call."""
    task()
    times = []
    for _ in range(repeat):
        start = clock()
        task()
        times.append(clock() - start)
    return min(times)


def root_rows(digis: Digis, repeat: int) -> list[tuple[str, float, float, float]]:
    """Name, bytes, seconds to write and seconds to read, for ROOT's algorithms."""
    if find_spec("ROOT") is None:
        print("ROOT is not installed: pip install root")
        return []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says that the wheel is young
        import ROOT

    ROOT.gInterpreter.Declare(TREES)
    columns = [ROOT.std.vector["unsigned int"](c.astype(np.uint32)) for c in baskets(digis)]
    rows = []
    with TemporaryDirectory() as directory:
        path = str(Path(directory) / "digis.root")
        for name, setting in (("ROOT LZMA-4", 204), ("ROOT ZSTD-4", 504), ("ROOT ZLIB-9", 109)):

            def write(setting: int = setting) -> None:
                ROOT.bench_write(path, *columns, setting)

            writing = best(write, repeat, time.process_time)
            reading = best(lambda: ROOT.bench_read(path), repeat, time.process_time)
            rows.append((name, float(os.path.getsize(path)), writing, reading))
    return rows


def model_row(
    name: str, model: Model, digis: Digis, repeat: int
) -> tuple[str, float, float, float]:
    """The same for a fitted codec."""
    stream = model.encode(digis)
    assert model.decode(stream) == digis
    share = model.nbytes * len(digis) / LIBRARY
    return (
        name,
        stream.nbytes + share,
        best(lambda: model.encode(digis), repeat, time.process_time),
        best(lambda: model.decode(stream), repeat, time.process_time),
    )


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("file", nargs="?", type=Path)
    parser.add_argument("--fit-events", type=int, default=5)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--threads", action="store_true")
    given = parser.parse_args()
    digis = pixlab.read(given.file) if given.file else pixlab.samples.load("phase1-pu60")
    fitted, measured = digis[: given.fit_events], digis[given.fit_events :]
    million = measured.n_digis / 1e6
    print(
        f"{given.file or 'sample phase1-pu60'}: fitted on {len(fitted)} events, measured on "
        f"{len(measured)} with {measured.n_digis:,} digis"
    )
    models = {
        "pixlab lossless": pixlab.Lossless().fit(fitted),
        "with effort max": pixlab.Lossless(effort="max").fit(fitted),
    }
    others = {"zstd 9": Zstd().fit(fitted), "xz 6": Lzma().fit(fitted)}
    rows = [model_row(name, model, measured, given.repeat) for name, model in models.items()]
    rows += root_rows(measured, given.repeat)
    rows += [model_row(name, model, measured, given.repeat) for name, model in others.items()]
    reference = next((row for row in rows if row[0] == "ROOT LZMA-4"), None)
    print(
        f"{'':18}{'bits/digi':>10}{'Mdigi/s in':>12}{'out':>8}{'  against ROOT LZMA-4: in':>26}{'out':>8}"
    )
    for name, size, writing, reading in rows:
        line = f"{name:18}{8 * size / million / 1e6:10.2f}{million / writing:12.2f}{million / reading:8.2f}"
        if reference:
            line += f"{reference[2] / writing:26.2f}{reference[3] / reading:8.2f}"
        print(line)
    if given.threads:
        many = Digis.concatenate([digis] * 8)
        for name, model in models.items():
            stream = model.encode(many)
            for what, task in (
                ("in", lambda m=model: m.encode(many)),
                ("out", lambda m=model, s=stream: m.decode(s)),
            ):
                wall, cpu = (
                    best(task, given.repeat, clock)
                    for clock in (time.perf_counter, time.process_time)
                )
                print(
                    f"{name} {what}, all cores: {many.n_digis / wall / 1e6:.1f} Mdigi/s, {cpu / wall:.2f} cores busy"
                )


if __name__ == "__main__":
    main()
