"""Write the embedded samples: ``python scripts/make_samples.py [--again] [NAME …]``.

Samples are data that results are quoted on, so the events of a sample that is there are kept, and
written again in the present format, without loss. ``--again`` simulates it anew: whatever was
computed from it (its sweep, the table in the README) has to be made again too. The seed is the
pile-up, so that nobody has picked it by what came out.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pixlab

SAMPLES = Path(pixlab.__file__).parent / "samples"
LIMIT = 3_000_000  # bytes, all files
# name -> arguments of pixlab.simulate; pixlab/samples/__init__.py describes them
RECIPES = {
    "phase1-pu60": {"n_events": 10, "pileup": 60, "seed": 60, "detector": "phase1"},
    "phase1-pu200": {"n_events": 4, "pileup": 200, "seed": 200, "detector": "phase1"},
    "phase2-pu200": {"n_events": 1, "pileup": 200, "seed": 200, "detector": "phase2"},
}


def main() -> int:
    """Write the samples; 1 if one does not read back, or all together are too large."""
    parser = argparse.ArgumentParser(description="Write the embedded samples.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all")
    parser.add_argument("--again", action="store_true", help="simulate events anew")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(RECIPES)
    if unknown:
        parser.error(f"no sample is called {', '.join(sorted(unknown))}")
    for name in arguments.names or RECIPES:
        file = SAMPLES / f"{name}.pxl"
        kept = file.exists() and not arguments.again
        digis = pixlab.read(file) if kept else pixlab.simulate(**RECIPES[name])
        pixlab.write(digis, file)
        if pixlab.read(file) != digis:
            print(f"{file.name} does not read back", file=sys.stderr)
            return 1
        size = file.stat().st_size
        print(f"{file.name}: {len(digis)} events, {digis.n_digis:,} digis, {size:,} bytes")
    total = sum(file.stat().st_size for file in SAMPLES.glob("*.pxl"))
    if total > LIMIT:
        print(f"the samples have {total:,} bytes together, more than {LIMIT:,}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
