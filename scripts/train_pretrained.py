"""Train the models that come with pixlab: ``python scripts/train_pretrained.py [SIZE …]``.

Codebooks for the CMS Phase-1 detector, learned from events that `pixlab.simulate` makes, and
measured on others. Figures are printed and go into ``pixlab/codecs/pretrained/README.md``.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

import pixlab
from pixlab.codecs import VQVAE
from pixlab.codecs.pretrained import FOLDER
from pixlab.progress import progress_bar
from pixlab.study import evaluate

# codes -> epochs at most, events
RECIPES = {64: (25, 12), 256: (25, 12), 1024: (25, 12), 4096: (20, 12)}
TRAINING = {"pileup": 60, "seed": 1001, "detector": "phase1"}
TEST = {"n_events": 6, "pileup": 60, "seed": 2002, "detector": "phase1"}
LIMIT = 2_000_000  # bytes, all models
COLUMNS = ("bits_per_digi", "charge_rms", "shift_row", "shift_col", "inside")


def main() -> None:
    """Train, save and measure each size."""
    parser = argparse.ArgumentParser(description="Train the models that come with pixlab.")
    parser.add_argument("sizes", nargs="*", type=int, metavar="SIZE", help="default: all")
    sizes = parser.parse_args().sizes or [*RECIPES]
    test = pixlab.simulate(**TEST)
    figures_file = FOLDER / "figures.json"
    figures = json.loads(figures_file.read_text()) if figures_file.exists() else {}
    for size in sizes:
        name, (epochs, n_events) = f"phase1-vqvae-{size}", RECIPES[size]
        training = pixlab.simulate(n_events, **TRAINING)
        started = time.process_time()
        with progress_bar(name) as progress:
            codec = VQVAE(codebook_size=size, epochs=epochs)
            model = codec.fit(training, progress=progress, device="cpu")
        seconds = time.process_time() - started
        file = FOLDER / f"{name}.safetensors"
        model.save(file)
        row = evaluate(model, test)
        usage = model.usage(test)[0]
        figures[str(size)] = {
            **{k: row[k] if isinstance(row[k], str) else round(row[k], 4) for k in COLUMNS},
            "used": round(float(np.mean(usage.counts > 0)), 4),
            "perplexity": round(usage.perplexity, 1),
            "cpu_seconds": round(seconds),
            "events": n_events,
            "bytes": file.stat().st_size,
        }
        print(name, figures[str(size)], flush=True)
    figures = {k: figures[k] for k in sorted(figures, key=int)}
    figures_file.write_text(json.dumps(figures, indent=1) + "\n")
    (FOLDER / "README.md").write_text(_table(figures))
    total = sum(file.stat().st_size for file in Path(FOLDER).glob("*.safetensors"))
    print(f"{total:,} bytes together")
    if total > LIMIT:
        raise SystemExit(f"more than {LIMIT:,}")


def _table(figures: dict[str, dict[str, Any]]) -> str:
    lines = [
        "# Models that come with pixlab",
        "",
        "VQ-VAE codebooks for the CMS Phase-1 pixel detector, target `transparent`. Made by",
        f"`python scripts/train_pretrained.py` from events of `pixlab.simulate` at a pile-up of {TRAINING['pileup']}",
        f"(seed {TRAINING['seed']}), measured on {TEST['n_events']} others (seed {TEST['seed']}). Errors are rms. Codes used",
        "and perplexity: by the measured events. CPU seconds are of fitting.",
        "",
        "| model | bits/digi | cluster charge | barycentre, rows / columns | inside | codes used | perplexity | bytes | fitted on | CPU s |",
        "| --- | ---: | ---: | ---: | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for size, f in figures.items():
        lines.append(
            f"| phase1-vqvae-{size} | {f['bits_per_digi']:.2f} | {f['charge_rms']:.2%} | {f['shift_row']:.2f} / "
            f"{f['shift_col']:.2f} um | {f['inside']} | {f['used']:.0%} | {f['perplexity']:.0f} | {f['bytes']:,} | "
            f"{f['events']} events | {f['cpu_seconds']} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
