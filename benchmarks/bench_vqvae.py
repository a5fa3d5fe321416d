"""Learned tokens against k-means: the same events, the same accounting, several seeds.

``python benchmarks/bench_vqvae.py FILE [--sizes 256,1024,4096] [--seeds 1,2,3] [--out FOLDER]``

The first half of the events is fitted on, the second half measured. For each number of codes:
`ClusterVQ` with pictures by k-means; `VQVAE` for the same tolerance; and `VQVAE` that spends what
it saved on the charge, so that it takes no more bits than k-means. Beside them `ResidualVQ`, the
lattice of `ClusterVQ`, `PCA` and `Autoencoder`. Rates are payload and 1/1000 of the model an event.
``--out`` gets the table and a plot.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd

import pixlab
from pixlab.codecs import make_codec
from pixlab.digis import Digis
from pixlab.study import evaluate

EPOCHS = 20
COLUMNS = ["bits_per_digi", "charge_rms", "shift_row", "shift_col", "size_unchanged", "inside"]


class Bench:
    """Rows of the table."""

    def __init__(self, training: Digis, test: Digis) -> None:
        self.training, self.test = training, test
        self.clusters = len(pixlab.cluster(test, thresholds=False))
        self.rows: list[dict[str, Any]] = []

    def run(self, what: str, key: str, **knobs: Any) -> dict[str, Any]:
        """Fit and measure one setting."""
        start = time.process_time()
        model = make_codec(key, **knobs).fit(self.training)
        size, seed = knobs.get("codebook_size", 0), knobs.get("seed", 1)
        row = {"what": what, "codes": size, "seed": seed, "fit_cpu_s": time.process_time() - start}
        found = evaluate(model, self.test)
        row |= {k: found[k] for k in COLUMNS}
        for name in ("encode", "decode"):
            row[f"{name}_Mdigi_cpu_s"] = self.test.n_digis / found[f"{name}_cpu_s"] / 1e6
        usage = model.usage(self.test) if hasattr(model, "usage") else []
        if usage:
            row |= {"used": 1 - usage[0].dead / len(usage[0]), "perplexity": usage[0].perplexity}
        self.rows.append(row)
        words = [f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()]
        print(", ".join(words), flush=True)
        return row

    def size(self, size: int, seed: int) -> None:
        """The three settings with so many codes."""
        knobs = {"codebook_size": size, "seed": seed}
        means = self.run("k-means", "cluster-vq", **knobs)
        knobs |= {"epochs": EPOCHS}
        learned = self.run("VQ-VAE", "vqvae", **knobs)
        saved = (means["bits_per_digi"] - learned["bits_per_digi"]) * self.test.n_digis
        error = max(1.03 * 0.05 * 2 ** -(saved / self.clusters), 0.005)
        self.run("VQ-VAE, bits of k-means", "vqvae", **knobs, charge_error=error)


def main() -> None:
    """Print a line a setting, then means and spreads."""
    parser = argparse.ArgumentParser(description="Learned tokens against k-means.")
    parser.add_argument("file", nargs="?", help="default: the sample phase1-pu60")
    parser.add_argument("--sizes", default="256,1024,4096")
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--no-rivals", action="store_true", help="leave out codecs of other kinds")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    digis = pixlab.read(arguments.file) if arguments.file else pixlab.samples.load("phase1-pu60")
    half = len(digis) // 2
    bench = Bench(digis[:half], digis[half:])
    for seed in map(int, arguments.seeds.split(",")):
        for size in map(int, arguments.sizes.split(",")):
            bench.size(size, seed)
    if not arguments.no_rivals:
        bench.run("residual k-means", "residual-vq")
        bench.run("lattice", "cluster-vq")
        for latents in (2, 6, 12):
            bench.run("PCA", "pca", latents=latents)
            bench.run("autoencoder", "autoencoder", latents=latents)
    table = pd.DataFrame(bench.rows)
    numbers = ["bits_per_digi", "charge_rms", "shift_row", "shift_col", "used", "perplexity"]
    together = table.groupby(["what", "codes"])[numbers].agg(["mean", "std"])
    print(together.round(4).to_string())
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
        table.to_csv(arguments.out / "vqvae.csv", index=False)
        draw(table, arguments.out / "vqvae.png")


def draw(table: pd.DataFrame, path: Path) -> None:
    """Errors against rate, one point a fit."""
    columns = {
        "charge_rms": "cluster charge, relative rms",
        "shift_row": "barycentre shift along rows, rms (um)",
        "shift_col": "barycentre shift along columns, rms (um)",
    }
    colours = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#777777"]
    figure, axes = plt.subplots(1, 3, figsize=(15, 4.6), layout="constrained")
    for axis, (name, label) in zip(axes, columns.items(), strict=True):
        for (what, rows), colour, marker in zip(
            table.groupby("what", sort=False), colours, "osD^vPX", strict=False
        ):
            axis.scatter(rows["bits_per_digi"], rows[name], c=colour, marker=marker, label=what)
        axis.set_xlabel("bits / digi")
        axis.set_ylabel(label)
        axis.set_ylim(bottom=0)
        axis.grid(alpha=0.3)
    axes[0].legend(fontsize=9)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
