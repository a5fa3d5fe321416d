"""Write the embedded samples: ``python scripts/make_samples.py``.

Simulation and lossless coding are deterministic: the files change only with the code. The seed
is the pile-up, so that nobody has picked it by what came out.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pixlab

SAMPLES = Path(pixlab.__file__).parent / "samples"
LIMIT = 1_000_000  # bytes a file
# name -> arguments of pixlab.simulate; pixlab/samples/__init__.py describes them
RECIPES = {"phase1-pu60": {"n_events": 10, "pileup": 60, "seed": 60, "detector": "phase1"}}


def main() -> int:
    """Write all samples; 1 if one is too large or does not read back."""
    for name, recipe in RECIPES.items():
        digis = pixlab.simulate(**recipe)
        file = SAMPLES / f"{name}.pxl"
        pixlab.write(digis, file)
        size = file.stat().st_size
        print(f"{file.name}: {len(digis)} events, {digis.n_digis:,} digis, {size:,} bytes")
        if size > LIMIT or pixlab.read(file) != digis:
            print(f"{file.name} is too large or does not read back", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
