"""Write the golden files of the .pxl format: ``python scripts/make_golden.py CODEC [CODEC …]``.

Run it once for a new codec. A file that exists is never replaced: it shows that what was written
then can be read now, in the same digis.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import pixlab
from pixlab.codecs import make_codec

GOLDEN = Path(__file__).parents[1] / "tests" / "golden"
# of codecs, and of names beside them
KNOBS: dict[str, dict[str, object]] = {
    "lossless max": {"effort": "max"},
    "patch-vq": {"codebook_size": 64},
    "cluster-vq max": {"effort": "max"},
    "cluster-vq drawn": {"target": "loose"},
    "residual-vq": {"codebook_size": 64, "residual_size": 32},
    "residual-vq drawn": {"codebook_size": 64, "target": "loose", "product": True},
    "vqvae": {"codebook_size": 64, "stages": 2},
    "vqvae drawn": {"codebook_size": 256, "target": "loose"},
    "patch-vqvae": {"codebook_size": 64},
}


def main(names: list[str]) -> None:
    """Write ``NAME.pxl`` and the digis that it must decode to."""
    digis = pixlab.simulate(3, pileup=2, seed=20)
    for name in names:
        path = GOLDEN / f"{name.replace(' ', '-')}.pxl"
        if path.exists():
            sys.exit(f"{path} exists: a golden file is not made again")
        codec = make_codec(name.split()[0], **KNOBS.get(name, {}))
        pixlab.compress(digis, path, model=codec.fit(digis))
        read = pixlab.read(path)
        columns = {k: getattr(read, k) for k in ("offsets", "detid", "row", "col", "adc")}
        np.savez_compressed(path.with_suffix(".npz"), **columns)
        print(f"{path.name}: {path.stat().st_size:,} bytes, {read.n_digis:,} digis")


if __name__ == "__main__":
    main(sys.argv[1:])
