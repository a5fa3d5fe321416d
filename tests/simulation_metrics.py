"""What the simulation is calibrated on, per layer; and the same numbers of the reference data.

``python -m tests.simulation_metrics TRUTH.npz:COLLISIONS ... > tests/data/simulation_reference.json``
measures reference files (arrays event, detid, row, col, adc, and the mean number of collisions in
the file); ``python -m tests.simulation_metrics`` prints the ratios of the simulation to them.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

import pixlab
from pixlab.clusters import cluster
from pixlab.digis import Digis

REFERENCE = Path(__file__).parent / "data" / "simulation_reference.json"
ADC_EDGES = (16, 24, 32, 48, 64, 80, 96, 128, 192, 255)
RATIOS = ("digis", "clusters", "size", "size_row", "size_col", "charge", "saturated", "adc_median")


def layer_metrics(digis: Digis, collisions: float) -> dict[str, dict]:
    """Numbers of each layer; counts are per collision, groups are all connected pixels."""
    clusters = cluster(digis, thresholds=False)
    detector, found = digis.detector, {}
    layer_of_digi = detector.layer[digis.module]
    for i, name in enumerate(detector.layers):
        adc = digis.adc[layer_of_digi == i]
        here = clusters.layer == i
        # modules 1 to 8 along a barrel ladder, or the rings of a disk
        station = np.abs(detector.module[clusters.module] - 4.5).astype(int)
        if not name.startswith("BPIX"):
            station = (detector.ladder[clusters.module] > 22).astype(int)
        found[name] = {
            "digis": len(adc) / collisions,
            "clusters": int(here.sum()) / collisions,
            "size": float(clusters.size[here].mean()),
            "single": float((clusters.size[here] == 1).mean()),
            "size_row": float(clusters.size_row[here].mean()),
            "size_col": float(clusters.size_col[here].mean()),
            "charge": float(np.median(clusters.charge[here])),
            "saturated": float((adc == 255).mean()),
            "adc_median": float(np.median(adc)),
            "adc_below": [float((adc < edge).mean()) for edge in ADC_EDGES],
            "size_col_along_z": [
                float(clusters.size_col[here & (station == s)].mean())
                for s in range(station[here].max() + 1)
            ],
        }
    return found


def reference() -> dict[str, dict]:
    """The stored numbers of the reference data, by layer."""
    return json.loads(REFERENCE.read_text())["layers"]


def _measure(arguments: list[str]) -> None:
    parts, collisions = [], 0.0
    for argument in arguments:
        name, _, number = argument.rpartition(":")
        with np.load(name) as file:
            columns = [file[k] for k in ("event", "detid", "row", "col", "adc")]
        parts.append(Digis.from_arrays(*columns, detector="phase1"))
        collisions += float(number)
    layers = layer_metrics(Digis.concatenate(parts), collisions)
    origin = (
        "Pythia 8.317 minimum bias at 14 TeV and a stand-alone simulation of the Phase-1 layout "
        f"(not pixlab's); {collisions:.0f} collisions expected: "
        + ", ".join(Path(a.rpartition(":")[0]).name for a in arguments)
    )
    json.dump({"origin": origin, "layers": _rounded(layers)}, sys.stdout, indent=1)
    print()


def _rounded(value):
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_rounded(v) for v in value]
    return float(f"{value:.5g}")


def _compare(n_events: int = 60, pileup: int = 60) -> None:
    digis = pixlab.simulate(n_events, pileup=pileup, seed=1, fixed_pileup=True)
    mine, theirs = layer_metrics(digis, n_events * pileup), reference()
    print(f"{'':8s}" + "".join(f"{k:>11s}" for k in RATIOS) + "   adc KS")
    for name, values in mine.items():
        row = "".join(f"{values[k] / theirs[name][k]:11.3f}" for k in RATIOS)
        distance = np.subtract(values["adc_below"], theirs[name]["adc_below"])
        print(f"{name:8s}{row}{np.abs(distance).max():9.3f}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        _measure(sys.argv[1:])
    else:
        _compare()
