"""`Totals`: everything that a comparison keeps, as integers, so that chunks add up exactly.

Floating-point sums depend on their order; a result must not depend on how the events were cut.
Each term is therefore rounded once to a fixed-point number and summed in integers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixlab.clusters import Clusters, cluster
from pixlab.detectors import Detector
from pixlab.digis import Digis
from pixlab.errors import FormatError, PixlabError
from pixlab.physics import spectra
from pixlab.physics.matching import match, pixel_pairs

__all__ = ["FINE_CHARGE_EDGES", "Totals", "measure"]

# charge in steps of 0.5% from 1 e to 10^8 e, for distances of charge spectra
_FINE_STEP = 0.005
FINE_CHARGE_EDGES = np.exp(_FINE_STEP * np.arange(np.ceil(np.log(1e8) / _FINE_STEP) + 1))

# sum -> (bits behind the binary point, limit of one term). A term needs at most 53 bits.
_SUMS = {
    "digis_original": (0, 1),  # digis
    "digis_decoded": (0, 1),
    "clusters_original": (0, 1),  # clusters
    "clusters_decoded": (0, 1),
    "common": (0, 1),  # pixels hit in both
    "adc": (0, 2**16),  # decoded - original, counts, of common pixels
    "adc2": (0, 2**32),
    "matched": (0, 1),  # pairs of clusters
    "same_size": (0, 1),  # pairs with the same size_row and size_col
    "charge_original": (12, 2**40),  # electrons, all clusters
    "charge_decoded": (12, 2**40),
    "response": (40, 2**12),  # (decoded - original) / original charge, pairs
    "response2": (28, 2**24),
    "row": (24, 2**28),  # decoded - original barycentre, um, pairs
    "row2": (20, 2**32),
    "col": (24, 2**28),
    "col2": (20, 2**32),
}


@dataclass(frozen=True)
class Totals:
    """Sums, histograms and module counts of the events compared so far.

    Parameters
    ----------
    detector : Detector
        Of both samples.
    events : int
        Number of events.
    sums : dict of list of int
        One fixed-point number a layer for each of ``_SUMS``.
    counts : dict of int64[2, layers, bins + 2]
        Original and decoded entries of each of `pixlab.physics.SPECTRA`, and of ``fine_charge``.
    modules : int64[2, modules]
        Original and decoded digis of each module.
    """

    detector: Detector
    events: int
    sums: dict[str, list[int]]
    counts: dict[str, NDArray[np.int64]]
    modules: NDArray[np.int64]

    def __add__(self, other: Totals) -> Totals:
        if self.detector != other.detector or self.detector.layers != other.detector.layers:
            raise PixlabError(
                f"comparisons on detectors '{self.detector.name}' and '{other.detector.name}' "
                "cannot be added"
            )
        return Totals(
            self.detector,
            self.events + other.events,
            {
                k: [a + b for a, b in zip(v, other.sums[k], strict=True)]
                for k, v in self.sums.items()
            },
            {k: v + other.counts[k] for k, v in self.counts.items()},
            self.modules + other.modules,
        )

    def sum(self, name: str) -> NDArray[np.float64]:
        """A sum per layer, and over all layers last: float64[layers + 1]."""
        values = self.sums[name]
        return np.array([*values, sum(values)], float) / 2.0 ** _SUMS[name][0]

    def histogram(self, name: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Original and decoded counts, all layers last: int64[layers + 1, bins + 2] each."""
        counts = self.counts[name]
        original, decoded = np.concatenate([counts, counts.sum(axis=1, keepdims=True)], axis=1)
        return original, decoded

    # -- JSON -------------------------------------------------------------------------------
    def to_dict(self) -> dict[str, Any]:
        """Plain integers only; zeros at both ends of a histogram are left out."""
        return {
            "detector": self.detector.to_json(),
            "events": self.events,
            "sums": self.sums,
            "counts": {k: [[_trim(x) for x in side] for side in v] for k, v in self.counts.items()},
            "modules": [_trim(x) for x in self.modules],
        }

    @staticmethod
    def from_dict(data: Any) -> Totals:
        """What `to_dict` gave.

        Raises
        ------
        FormatError
            If it is damaged.
        """
        try:
            detector = Detector.from_json(data["detector"])
            n = len(detector.layers)
            sums = {k: [int(x) for x in data["sums"][k]] for k in _SUMS}
            if any(len(v) != n for v in sums.values()):
                raise ValueError("a sum has another number of layers")
            counts = {}
            for name, length in _lengths(detector).items():
                sides = data["counts"][name]
                if [len(side) for side in sides] != [n, n]:
                    raise ValueError("a histogram has another number of layers")
                counts[name] = np.array([[_fill(x, length) for x in side] for side in sides])
            modules = np.array([_fill(x, len(detector)) for x in data["modules"]])
            if modules.shape != (2, len(detector)):
                raise ValueError("another number of modules")
            return Totals(detector, int(data["events"]), sums, counts, modules)
        except (
            KeyError,
            IndexError,
            TypeError,
            ValueError,
            AttributeError,
            OverflowError,
        ) as error:
            raise FormatError(f"the comparison is damaged: {error}") from error


def measure(original: Digis, decoded: Digis) -> Totals:
    """Compare the events of two samples of one detector, all at once."""
    detector = original.detector
    n = len(detector.layers)
    before, after = cluster(original), cluster(decoded)
    sums = dict.fromkeys(_SUMS, [0] * n)

    def add(name: str, layer: NDArray, values: NDArray | float = 1.0) -> None:
        sums[name] = _fixed(name, np.broadcast_to(values, layer.shape), layer, n)

    at_a, at_b = pixel_pairs(original, decoded)
    digi_layer = detector.layer[original.module]
    add("digis_original", digi_layer)
    add("digis_decoded", detector.layer[decoded.module])
    add("common", digi_layer[at_a])
    step = decoded.adc[at_b].astype(float) - original.adc[at_a]
    add("adc", digi_layer[at_a], step)
    add("adc2", digi_layer[at_a], step**2)

    add("clusters_original", before.layer)
    add("clusters_decoded", after.layer)
    add("charge_original", before.layer, before.charge)
    add("charge_decoded", after.layer, after.charge)

    pairs = match(before, after, (at_a, at_b))
    a, b = pairs.original, pairs.decoded
    layer, pitch = before.layer[a], detector.pitch[before.module[a]]
    same = (before.size_row[a] == after.size_row[b]) & (before.size_col[a] == after.size_col[b])
    add("matched", layer)
    add("same_size", layer[same])
    response = _response(before.charge[a], after.charge[b])
    shift_row = (after.row[b] - before.row[a]) * pitch[:, 0]
    shift_col = (after.col[b] - before.col[a]) * pitch[:, 1]
    for name, values in (("response", response), ("row", shift_row), ("col", shift_col)):
        add(name, layer, values)
        add(f"{name}2", layer, values**2)

    counts = {}
    sides = [spectra.count(original, before), spectra.count(decoded, after)]
    for name in spectra.SPECTRA:
        counts[name] = np.stack([side[name] for side in sides])
    counts["fine_charge"] = np.stack([_fine_charge(c, n) for c in (before, after)])
    modules = np.stack(
        [np.bincount(d.module, minlength=len(detector)) for d in (original, decoded)]
    )
    return Totals(detector, len(original), sums, counts, modules)


def _response(before: NDArray[np.float64], after: NDArray[np.float64]) -> NDArray[np.float64]:
    """(after - before) / before; 0 where both are 0, a number far beyond any limit where only one."""
    difference = after - before
    safe = np.where(before > 0, before, 1.0)
    return np.where(before > 0, difference / safe, np.where(difference == 0, 0.0, 2.0**12))


def _fixed(name: str, values: NDArray, layer: NDArray, n: int) -> list[int]:
    bits, limit = _SUMS[name]
    whole = np.rint(np.clip(values, -limit, limit) * 2.0**bits)
    # in two halves, so that sums of up to 2^26 terms stay below 2^53, where floats are integers
    high = np.floor(whole / 2.0**26)
    low = whole - high * 2.0**26
    sums = np.bincount(layer, high, n), np.bincount(layer, low, n)
    return [(int(h) << 26) + int(x) for h, x in zip(*sums, strict=True)]


def _fine_charge(clusters: Clusters, n: int) -> NDArray[np.int64]:
    width = len(FINE_CHARGE_EDGES) + 1
    place = np.searchsorted(FINE_CHARGE_EDGES, clusters.charge, "right")
    place += clusters.layer.astype(np.int64) * width
    return np.bincount(place, minlength=n * width).reshape(n, width)


def _lengths(detector: Detector) -> dict[str, int]:
    lengths = {k: len(s.edges(detector)) + 1 for k, s in spectra.SPECTRA.items()}
    return lengths | {"fine_charge": len(FINE_CHARGE_EDGES) + 1}


def _trim(values: NDArray[np.int64]) -> list[int]:
    """First filled place, then the values up to the last filled one."""
    filled = np.flatnonzero(values)
    if not len(filled):
        return [0]
    return [int(filled[0]), *values[filled[0] : filled[-1] + 1].tolist()]


def _fill(trimmed: list[int], length: int) -> NDArray[np.int64]:
    start, values = int(trimmed[0]), np.array(trimmed[1:], np.int64)
    if not 0 <= start <= length - len(values):
        raise ValueError("a histogram is longer than its axis")
    result = np.zeros(length, np.int64)
    result[start : start + len(values)] = values
    return result
