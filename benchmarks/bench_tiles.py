"""Learned tokens of tiles against k-means: the same events, the same accounting, several seeds.

``python benchmarks/bench_tiles.py FILE [--sizes 64,256,1024,4096] [--seeds 1,2] [--out FOLDER]``

The first half of the events is fitted on, the second half measured. For each number of codes: `PatchVQ`;
its pictures, chosen as `PatchVQVAE` chooses; and `PatchVQVAE`. Rates are payload and 1/1000 of the model an
event. ``--out`` gets all rows and the table (``tiles.md``, as in the documentation).
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import pixlab
from pixlab.codecs import PatchVQ, PatchVQVAE
from pixlab.codecs.patch_vqvae import LOG_COLUMNS
from pixlab.codecs.trained import LOG
from pixlab.digis import Digis
from pixlab.study import evaluate

COLUMNS = {
    "bits_per_digi": ("bits/digi", 1, 2),
    "charge_rms": ("charge, %", 100, 1),
    "charge_bias": ("bias, %", 100, 1),
    "size_unchanged": ("same size, %", 100, 1),
    "shift_row": ("shift rows, um", 1, 1),
    "shift_col": ("columns, um", 1, 1),
    "efficiency": ("efficiency, %", 100, 2),
    "fakes": ("fakes, %", 100, 2),
    "used": ("used, %", 100, 0),
    "perplexity": ("perplexity", 1, 0),
    "fit_cpu_s": ("fit, CPU s", 1, 0),
    "Mdigi_cpu_s": ("writes, Mdigi/CPU s", 1, 1),
}
SPREAD = ("bits_per_digi", "charge_rms", "size_unchanged")


class Chosen(PatchVQVAE):
    """Pictures by k-means, chosen by what they do to clusters: what the choice alone is good for."""

    def train_book(self, first: Digis, *_: Any) -> dict[str, Any]:
        """No training."""
        arrays = self.learn_book(first)
        prices = np.zeros(len(arrays["codebook"]), np.uint16)
        return arrays | {"prices": prices, LOG: np.zeros((0, len(LOG_COLUMNS)), np.float32)}


SETTINGS = {"k-means": PatchVQ, "k-means, other choice": Chosen, "VQ-VAE": PatchVQVAE}


def measure(codec: PatchVQ, training: Digis, test: Digis) -> dict[str, float]:
    """Fit and measure one setting."""
    start = time.process_time()
    model = codec.fit(training)
    seconds = time.process_time() - start
    found = evaluate(model, test)
    (usage,) = model.usage(test)
    row = {k: found[k] for k in COLUMNS if k in found}
    row |= {"used": 1 - usage.dead / len(usage), "perplexity": usage.perplexity}
    return row | {
        "fit_cpu_s": seconds,
        "Mdigi_cpu_s": test.n_digis / found["encode_cpu_s"] / 1e6,
    }


def main() -> None:
    """Print a line a setting, then the table."""
    parser = argparse.ArgumentParser(description="Learned tokens of tiles against k-means.")
    parser.add_argument("file", nargs="?", help="default: the sample phase1-pu60")
    parser.add_argument("--sizes", default="64,256,1024,4096")
    parser.add_argument("--seeds", default="1,2")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    digis = pixlab.read(arguments.file) if arguments.file else pixlab.samples.load("phase1-pu60")
    training, test = digis[: len(digis) // 2], digis[len(digis) // 2 :]
    rows: list[dict[str, Any]] = []
    for seed in map(int, arguments.seeds.split(",")):
        for size in map(int, arguments.sizes.split(",")):
            for what, kind in SETTINGS.items():
                found = measure(kind(codebook_size=size, seed=seed), training, test)
                rows.append({"codes": size, "setting": what, "seed": seed} | found)
                print(
                    {k: round(v, 4) if isinstance(v, float) else v for k, v in rows[-1].items()},
                    flush=True,
                )
    table = pd.DataFrame(rows)
    print(as_text(table))
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
        table.to_csv(arguments.out / "tiles.csv", index=False)
        (arguments.out / "tiles.md").write_text(as_text(table))


def as_text(table: pd.DataFrame) -> str:
    """A table in Markdown: mean, and standard deviation over the seeds of each setting."""
    heads = ["setting", "codes", "seeds", *(head for head, *_ in COLUMNS.values())]
    lines = [f"| {' | '.join(heads)} |", f"| --- |{' ---: |' * (len(heads) - 1)}"]
    table = table.sort_values("codes", kind="stable")
    for (size, what), rows in table.groupby(["codes", "setting"], sort=False):
        cells = [str(what), f"{size:,}", str(len(rows))]
        for name, (_, scale, digits) in COLUMNS.items():
            values = scale * rows[name]
            spread = f"±{values.std():.{digits}f}" if len(rows) > 1 and name in SPREAD else ""
            cells.append(f"{values.mean():.{digits}f}{spread}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
