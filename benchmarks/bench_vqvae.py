"""Learned tokens against k-means: the same events, the same accounting, several seeds.

``python benchmarks/bench_vqvae.py FILE [--target loose] [--sizes 256,1024,4096] [--seeds 1,2,3] [--out FOLDER]``

The first half of the events is fitted on, the second half measured. For each number of codes:
`ClusterVQ` with pictures by k-means; `ResidualVQ`, half of the codes, but 256 at most, for what its pictures
leave; `VQVAE` for the same tolerance; and `VQVAE` that spends what it saved on the charge, so that it
takes about the bits of the cheaper of the two. Beside them the models that come with pixlab, which were
fitted on simulated events; the lattice of `ClusterVQ`, which has no codebook; `PCA` and `Autoencoder`.
With another target than `transparent`, of these only the lattice. Rates are payload and 1/1000 of the model an event.
``--out`` gets all rows, the table (``vqvae-TARGET.md``, as in the documentation) and a plot.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.ticker import LogFormatter

import pixlab
from pixlab.codecs import Model, make_codec
from pixlab.codecs.pretrained import pretrained
from pixlab.digis import Digis
from pixlab.study import evaluate

EPOCHS = 20
CHARGE = {"transparent": 0.05, "analysis": 0.1, "loose": 0.15}  # rms errors that are allowed
LESS = 1.03  # times the error that would take as many bits, so as to take less
COLUMNS = ["bits_per_digi", "charge_rms", "shift_row", "shift_col", "size_unchanged", "inside"]


class Bench:
    """Rows of the table."""

    def __init__(self, training: Digis, test: Digis, target: str) -> None:
        self.training, self.test, self.target = training, test, target
        self.clusters = len(pixlab.cluster(test, thresholds=False))
        self.rows: list[dict[str, Any]] = []

    def run(self, what: str, key: str, codes: int = 0, **knobs: Any) -> dict[str, Any]:
        """Fit and measure one setting."""
        start = time.process_time()
        model = make_codec(key, **knobs).fit(self.training)
        seconds = time.process_time() - start
        row = {"what": what, "codes": codes, "seed": knobs.get("seed", 1), "fit_cpu_s": seconds}
        row |= {k: v for k, v in knobs.items() if k == "latents"}
        return self.measure(model, row)

    def measure(self, model: Model, row: dict[str, Any]) -> dict[str, Any]:
        """Add to a row what a model does to the events."""
        found = evaluate(model, self.test)
        row |= {k: found[k] for k in COLUMNS}
        for name in ("encode", "decode"):
            row[f"{name}_Mdigi_cpu_s"] = self.test.n_digis / found[f"{name}_cpu_s"] / 1e6
        usage = model.usage(self.test) if hasattr(model, "usage") else []
        if usage:
            dead, codes = (sum(f(u) for u in usage) for f in (lambda u: u.dead, len))
            row |= {"used": 1 - dead / codes, "perplexity": usage[0].perplexity}
        self.rows.append(row)
        words = [f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()]
        print(", ".join(words), flush=True)
        return row

    def size(self, size: int, seed: int) -> None:
        """The settings with so many codes."""
        residual = min(size // 2, 256)
        parts = {"codebook_size": size - residual, "residual_size": residual}
        same: dict[str, Any] = {"seed": seed, "target": self.target}
        means = [
            self.run("k-means", "cluster-vq", size, codebook_size=size, **same),
            self.run("residual k-means", "residual-vq", size, **parts, **same),
        ]
        knobs = {"codebook_size": size, "epochs": EPOCHS, **same}
        learned = self.run("VQ-VAE", "vqvae", size, **knobs)
        best = min(row["bits_per_digi"] for row in means)
        saved = (best - learned["bits_per_digi"]) * self.test.n_digis
        error = max(LESS * CHARGE[self.target] * 2 ** -(saved / self.clusters), 0.005)
        self.run("VQ-VAE, bits of k-means", "vqvae", size, **knobs, charge_error=error)


def main() -> None:
    """Print a line a setting, then means and spreads."""
    parser = argparse.ArgumentParser(description="Learned tokens against k-means.")
    parser.add_argument("file", nargs="?", help="default: the sample phase1-pu60")
    parser.add_argument("--sizes", default="256,1024,4096")
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--target", choices=CHARGE, default="transparent")
    parser.add_argument("--no-rivals", action="store_true", help="leave out codecs of other kinds")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    digis = pixlab.read(arguments.file) if arguments.file else pixlab.samples.load("phase1-pu60")
    half = len(digis) // 2
    bench = Bench(digis[:half], digis[half:], arguments.target)
    sizes, seeds = ([int(n) for n in s.split(",") if n] for s in (arguments.sizes, arguments.seeds))
    for seed in seeds:
        for size in sizes:
            bench.size(size, seed)
    if not arguments.no_rivals:
        bench.run("lattice", "cluster-vq", target=arguments.target)
    if not arguments.no_rivals and arguments.target == "transparent":
        for size in sizes:
            name = f"phase1-vqvae-{size}"
            if name in pretrained():
                row = {"what": "VQ-VAE, as shipped", "codes": size, "seed": 1}
                bench.measure(pixlab.load_model(name), row)
        for latents in (2, 6, 12):
            bench.run("PCA", "pca", latents=latents)
            bench.run("autoencoder", "autoencoder", latents=latents)
    table = pd.DataFrame(bench.rows)
    numbers = ["bits_per_digi", "charge_rms", "shift_row", "shift_col", "used", "perplexity"]
    numbers += ["fit_cpu_s", "encode_Mdigi_cpu_s", "decode_Mdigi_cpu_s"]
    together = table.groupby(["what", "codes"])[numbers].agg(["mean", "std"])
    print(together.round(4).to_string())
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
        path = arguments.out / f"vqvae-{arguments.target}"
        table.to_csv(path.with_suffix(".csv"), index=False)
        path.with_suffix(".md").write_text(as_text(table))
        draw(table, path.with_suffix(".png"))


def as_text(table: pd.DataFrame) -> str:
    """A table in Markdown: mean and standard deviation over the seeds of each setting."""
    heads = ["setting", "codes", "seeds", "bits/digi", "charge, %", "barycentre, um"]
    heads += ["used", "perplexity", "inside"]
    lines = [f"| {' | '.join(heads)} |", f"| --- |{' ---: |' * 7} --- |"]
    table = table.assign(latents=table.get("latents", 0)).fillna({"latents": 0})
    order = {what: i for i, what in enumerate(table["what"].unique())}
    groups = table.groupby(["what", "codes", "latents"])
    for key, rows in sorted(groups, key=lambda g: (g[0][1] or 1e9, order[g[0][0]])):
        what, codes, latents = key
        cells = [f"{what}, {latents:.0f} latents" if latents else what]
        cells += [f"{codes:,}" if codes else "", str(len(rows))]
        cells += [_spread(rows["bits_per_digi"]), _spread(100 * rows["charge_rms"])]
        cells.append(f"{rows['shift_row'].mean():.2f} / {rows['shift_col'].mean():.2f}")
        cells.append(f"{rows['used'].mean():.0%}" if codes else "")
        cells.append(f"{rows['perplexity'].mean():.0f}" if codes else "")
        inside = rows["inside"].value_counts()
        cells.append(", ".join(f"{n} {k}" if len(inside) > 1 else k for k, n in inside.items()))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _spread(values: pd.Series[float]) -> str:
    """Mean and standard deviation, if there are several."""
    return f"{values.mean():.2f}" + (f"±{values.std():.2f}" if len(values) > 1 else "")


def draw(table: pd.DataFrame, path: Path) -> None:
    """Errors against rate, one point a fit."""
    columns = {
        "charge_rms": "cluster charge, rms (%)",
        "shift_row": "barycentre shift along rows, rms (um)",
        "shift_col": "barycentre shift along columns, rms (um)",
    }
    colours = [
        "#0072B2",
        "#D55E00",
        "#009E73",
        "#CC79A7",
        "#E69F00",
        "#56B4E9",
        "#777777",
        "#000000",
    ]
    figure, axes = plt.subplots(1, 3, figsize=(15, 4.6), layout="constrained")
    for axis, (name, label) in zip(axes, columns.items(), strict=True):
        for (what, rows), colour, marker in zip(
            table.groupby("what", sort=False), colours, "osD^vPX*", strict=False
        ):
            values = rows[name] * (100 if name == "charge_rms" else 1)
            axis.scatter(rows["bits_per_digi"], values, c=colour, marker=marker, label=what)
        axis.set_xlabel("bits / digi")
        axis.set_ylabel(label)
        axis.set_yscale("log")
        axis.yaxis.set_major_formatter(LogFormatter())
        axis.yaxis.set_minor_formatter(LogFormatter(minor_thresholds=(2, 0.5)))
        axis.grid(alpha=0.3)
    figure.legend(
        *axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=8, fontsize=9
    )
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
