"""Baler beside pixlab's codecs of its kind: ``python benchmarks/bench_baler.py FILE [--out FOLDER]``.

Baler (docs/vqvae.md says how to install it) runs over tiles of 8 x 8 pixels, for fewer and fewer numbers a
tile. The first half of the events is fitted on, the second half measured. Rates are payload and 1/1000 of
the model an event. ``--out`` gets the table (``baler.md``, as in the documentation).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

import pixlab
from pixlab.codecs import Autoencoder, ClusterVQ, Codec, PatchVQVAE
from pixlab.codecs.foreign_baler import Baler
from pixlab.physics import METRICS
from pixlab.progress import progress_bar

SHOWN = ("charge_rms", "size_unchanged", "shift_row", "shift_col", "efficiency", "fakes")


def settings() -> list[Codec]:
    """Of Baler from 8 numbers a tile to one; with four and ten times its default of epochs; rivals."""
    ratios = [Baler(compression_ratio=ratio) for ratio in (8.0, 16.0, 32.0, 64.0)]
    longer = [Baler(compression_ratio=32.0, epochs=epochs) for epochs in (80, 200)]
    rivals = [PatchVQVAE(codebook_size=n) for n in (256, 1024)]
    return [*ratios, *longer, *rivals, Autoencoder(latents=2), ClusterVQ(target="loose")]


def as_text(table: pd.DataFrame) -> str:
    """The table in Markdown."""
    heads = ["setting", "bits/digi", "model, kB"]
    heads += [f"{METRICS[m].label}{METRICS[m].unit and f', {METRICS[m].unit}'}" for m in SHOWN]
    heads += ["fit, s", "write, s", "read, s"]
    lines = [f"| {' | '.join(heads)} |", f"| --- |{' ---: |' * (len(heads) - 1)}"]
    for row in table.to_dict(orient="records"):
        cells = [row["label"], f"{row['bits_per_digi']:.1f}", f"{row['model_bytes'] / 1e3:.0f}"]
        cells += [METRICS[m].format(row[m]) for m in SHOWN]
        cells += [f"{row[f'{verb}_s']:.1f}" for verb in ("fit", "encode", "decode")]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Baler beside pixlab's codecs of its kind.")
    parser.add_argument("file", nargs="?", help="default: the sample phase1-pu60")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    Baler.require()
    digis = pixlab.read(given.file) if given.file else pixlab.samples.load("phase1-pu60")
    with progress_bar("Baler and others") as progress:
        made = pixlab.sweep(digis, settings(), jobs=1, progress=progress)
    text = as_text(made.table)
    print(text)
    if given.out:
        given.out.mkdir(parents=True, exist_ok=True)
        (given.out / "baler.md").write_text(text)


if __name__ == "__main__":
    main()
