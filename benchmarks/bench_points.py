"""Rates at the points that matter: nothing lost, transparent, loose; and of single events: ``python benchmarks/bench_points.py``.

    python benchmarks/bench_points.py [FILE ...] [--simulate phase1:60:10:1 ...] [--out docs/points.csv]

Each input is a file, or a detector, mean pile-up, number of events and seed to simulate. Models are
fitted on the first half of the events (rounded up) and measured on the others; their bytes are spread
over 1,000 events. ``used`` is the largest part that any check in any layer takes of its allowance, as
it is and after pre-mixing: above 1 is outside. `ScalarQuantizer` is the cheapest one inside the tolerance
that `pixlab.find` meets, on the measured events themselves. ``alone`` is how much more
the measured events take as .pxl files of their own, their model outside, than in one. ``ratio``
is to ROOT's ZSTD-4 of the same events; digis and ROOT are those of this run.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

import pixlab
from pixlab.codecs import Codec, Model
from pixlab.digis import Digis
from pixlab.study import root_reference

LIBRARY = 1000  # events that share a model
POINTS: dict[str, tuple[Codec, ...]] = {
    "lossless": (pixlab.Lossless(),),
    "transparent": (pixlab.ClusterVQ(), pixlab.ResidualVQ()),
    "loose": (pixlab.ClusterVQ(target="loose"), pixlab.ResidualVQ(target="loose")),
}
LEVELS = {"levels": (2, 64)}


def events_of(text: str) -> Digis:
    """Events of a file, or simulated ones."""
    if os.path.exists(text):
        return pixlab.read(text)
    detector, pileup, n, seed = text.split(":")
    return pixlab.simulate(int(n), pileup=float(pileup), seed=int(seed), detector=detector)


def rate_of(model: Model, digis: Digis) -> float:
    """Bits a digi, the model spread over a library."""
    nbytes = model.encode(digis).nbytes + model.nbytes * len(digis) / LIBRARY
    return 8 * nbytes / digis.n_digis


def alone(model: Model, digis: Digis) -> float:
    """How much more events take as files of their own than in one, the model outside."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "codec.model"
        model.save(path)

        def size(part: Digis) -> int:
            out = Path(folder) / "events.pxl"
            pixlab.compress(part, out, model=path, embed=False)
            return os.path.getsize(out)

        single = sum(size(digis[i : i + 1]) for i in range(len(digis)))
        return single / size(digis) - 1


def used(digis: Digis, decoded: Digis, point: str) -> tuple[float, float]:
    """The largest part of an allowance, as it is and after pre-mixing."""
    tolerances = "transparent" if point == "lossless" else point
    checks = pixlab.compare(digis, decoded, premixed=None).passed(tolerances).checks
    plain, premixed = (
        [c.used for c in checks if bool(c.stage) is mixed] for mixed in (False, True)
    )
    return max(plain), max(premixed, default=np.nan)


def rows_of(name: str, digis: Digis) -> list[dict[str, Any]]:
    """The points of one input."""
    n = (len(digis) + 1) // 2
    fitted, measured = digis[:n], digis[n:]
    root = 8 * root_reference(measured)["root_zstd4"] / measured.n_digis
    about = {"input": name, "fitted": len(fitted), "measured": len(measured)}
    rows = []
    for point, codecs in POINTS.items():
        models = [codec.fit(fitted) for codec in codecs]
        if point != "lossless":
            found = pixlab.find(digis, "scalar", point, knobs=LEVELS, fit_events=n, precision=0.02)
            models.append(found.model)
        for model in models:
            plain, premixed = used(measured, model.quantize(measured), point)
            rate = rate_of(model, measured)
            row = {
                "point": point, "codec": model.codec.key, "bits_per_digi": rate,
                "ratio": root / rate, "used": plain, "used_premixed": premixed,
                "alone": alone(model, measured), "model_bytes": model.nbytes,
            }  # fmt: skip
            if model.codec.key == "scalar":
                row["setting"] = str(model.codec)
            rows.append(about | row)
            print({k: f"{v:.3f}" if isinstance(v, float) else v for k, v in rows[-1].items()})
    return rows


def main() -> None:
    """Print one row a point, codec and input, and save them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("file", nargs="*")
    parser.add_argument("--simulate", action="append", default=[])
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    inputs = {Path(f).name: f for f in given.file} | {s: s for s in given.simulate}
    rows = []
    for name, text in (inputs or {"sample:phase1-pu60": ""}).items():
        digis = events_of(text) if text else pixlab.samples.load("phase1-pu60")
        rows += rows_of(name, digis)
        if given.out:
            pd.DataFrame(rows).to_csv(given.out, index=False, float_format="%.4f")


if __name__ == "__main__":
    main()
