"""`Totals`: everything that a comparison keeps, as integers, so that chunks add up exactly.

Floating-point sums depend on their order; a result must not depend on how the events were cut.
Each term is therefore rounded once to a fixed-point number and summed in integers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pixlab.detectors import Detector
from pixlab.errors import PixlabError
from pixlab.physics.spectra import AXES

__all__ = ["SUMS", "Halves", "Rest", "Sums", "Totals", "fixed", "merged"]

# sum -> (bits behind the binary point, limit of one term). A term needs at most 53 bits.
SUMS = {
    "digis_original": (0, 1),  # digis
    "digis_decoded": (0, 1),
    "clusters_original": (0, 1),  # clusters
    "clusters_decoded": (0, 1),
    "common": (0, 1),  # pixels hit in both
    "adc": (0, 2**16),  # decoded - original, counts, of common pixels
    "adc2": (0, 2**32),
    "matched": (0, 1),  # pairs of clusters
    "same_size": (0, 1),  # pairs with the same size_row and size_col
    "split": (0, 1),  # original clusters that share pixels with several decoded ones
    "merged": (0, 1),  # decoded clusters that share pixels with several original ones
    "charge_original": (12, 2**40),  # electrons, all clusters
    "charge_decoded": (12, 2**40),
    "response": (40, 2**12),  # (decoded - original) / original charge, pairs
    "response2": (28, 2**24),
    "row": (24, 2**28),  # decoded - original barycentre, um, pairs
    "row2": (20, 2**32),
    "col": (24, 2**28),
    "col2": (20, 2**32),
}


def merged(counts: NDArray[np.int64], merge: int) -> NDArray[np.int64]:
    """Counts with so many bins taken together; underflow (first) and overflow (last) stay alone."""
    starts = np.arange(1, counts.shape[-1] - 1, merge)
    return np.add.reduceat(counts, [0, *starts, counts.shape[-1] - 1], axis=-1)


def fixed(name: str, values: NDArray, place: NDArray, n: int) -> NDArray[Any]:
    """Fixed-point sum of values at each of `n` places: Python integers, object[n]."""
    bits, limit = SUMS[name]
    whole = np.rint(np.clip(values, -limit, limit) * 2.0**bits)
    # in two halves, so that sums of up to 2^26 terms stay below 2^53, where floats are integers
    high = np.floor(whole / 2.0**26)
    low = whole - high * 2.0**26
    sums = np.bincount(place, high, n), np.bincount(place, low, n)
    return np.array([(int(h) << 26) + int(x) for h, x in zip(*sums, strict=True)], object)


class Sums(Protocol):
    """What metrics are computed from: `Totals`, or a part of them."""

    @property
    def detector(self) -> Detector:
        """Of both samples."""

    @property
    def modules(self) -> NDArray[np.int64]:
        """Original and decoded digis of each module: int64[2, modules]."""

    def sum(self, name: str) -> NDArray[np.float64]:
        """One of `SUMS` per layer, and over all layers last: float64[layers + 1]."""

    def histogram(self, name: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Two sets of counts, all layers last: int64[layers + 1, bins + 2] each."""

    def edges(self, name: str) -> NDArray[np.float64]:
        """Bin edges of a histogram."""


@dataclass(frozen=True)
class Totals:
    """Sums, histograms and module counts of the events compared so far.

    Parameters
    ----------
    detector : Detector
        Of both samples.
    events : int
        Number of events.
    sums : dict of object[PARTS, layers]
        A fixed-point number a part and layer for each of `SUMS`.
    counts : dict of int64[2, layers, bins + 2]
        Original and decoded entries of each of `AXES`.
    halves : dict of int64[layers, bins + 2]
        Entries of the original in every other part.
    parts : dict of int64[2, PARTS, layers, merged bins + 2]
        Original and decoded entries in each part, in wider bins.
    pairs : dict of int64[layers, classes, bins + 2]
        Entries of each of `pixlab.physics.pairs.PAIRS`.
    confusion : int64[2, layers, sizes, sizes]
        Original against decoded cluster size in rows and in columns.
    modules : int64[2, modules]
        Original and decoded digis of each module.
    """

    detector: Detector
    events: int
    sums: dict[str, NDArray[Any]]
    counts: dict[str, NDArray[np.int64]]
    halves: dict[str, NDArray[np.int64]]
    parts: dict[str, NDArray[np.int64]]
    pairs: dict[str, NDArray[np.int64]]
    confusion: NDArray[np.int64]
    modules: NDArray[np.int64]

    def __add__(self, other: Totals) -> Totals:
        if self.detector != other.detector or self.detector.layers != other.detector.layers:
            raise PixlabError(
                f"comparisons on detectors '{self.detector.name}' and '{other.detector.name}' "
                "cannot be added"
            )

        def added(mine: dict[str, NDArray], theirs: dict[str, NDArray]) -> dict[str, NDArray]:
            return {name: value + theirs[name] for name, value in mine.items()}

        return Totals(
            self.detector,
            self.events + other.events,
            added(self.sums, other.sums),
            added(self.counts, other.counts),
            added(self.halves, other.halves),
            added(self.parts, other.parts),
            added(self.pairs, other.pairs),
            self.confusion + other.confusion,
            self.modules + other.modules,
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Totals):
            return NotImplemented
        return (self.detector, self.events) == (other.detector, other.events) and all(
            np.array_equal(a, b) for a, b in zip(self._arrays(), other._arrays(), strict=True)
        )

    __hash__ = None  # type: ignore[assignment]

    def _arrays(self) -> list[NDArray]:
        named = (self.sums, self.counts, self.halves, self.parts, self.pairs)
        return [*(d[k] for d in named for k in sorted(d)), self.confusion, self.modules]

    def sum(self, name: str) -> NDArray[np.float64]:
        """A sum per layer, and over all layers last: float64[layers + 1]."""
        return _scaled(name, self.sums[name].sum(axis=0))

    def histogram(self, name: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Original and decoded counts, all layers last: int64[layers + 1, bins + 2] each."""
        original, decoded = (_and_all(side) for side in self.counts[name])
        return original, decoded

    def edges(self, name: str) -> NDArray[np.float64]:
        """Bin edges of a histogram."""
        return AXES[name].edges(self.detector)

    def something(self) -> NDArray[np.bool_]:
        """Which parts have a digi in either sample: bool[PARTS, layers + 1]."""
        digis = self.sums["digis_original"] + self.sums["digis_decoded"] > 0
        return np.concatenate([digis, digis.any(axis=1, keepdims=True)], axis=1).astype(bool)


@dataclass(frozen=True)
class Rest:
    """All parts but one, with histograms in wider bins: for the error of a number."""

    totals: Totals
    part: int

    @property
    def detector(self) -> Detector:
        """Of both samples."""
        return self.totals.detector

    @property
    def modules(self) -> NDArray[np.int64]:
        """Of all parts: modules are not kept apart."""
        return self.totals.modules

    def sum(self, name: str) -> NDArray[np.float64]:
        """A sum per layer, and over all layers last: float64[layers + 1]."""
        sums = self.totals.sums[name]
        return _scaled(name, sums.sum(axis=0) - sums[self.part])

    def histogram(self, name: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Original and decoded counts, all layers last: int64[layers + 1, merged bins + 2] each."""
        parts = self.totals.parts[name]
        original, decoded = (_and_all(side.sum(axis=0) - side[self.part]) for side in parts)
        return original, decoded

    def edges(self, name: str) -> NDArray[np.float64]:
        """Bin edges of a histogram."""
        edges = self.totals.edges(name)
        return np.append(edges[: -1 : AXES[name].merge], edges[-1])


@dataclass(frozen=True)
class Halves:
    """Two halves of the original, one against the other: what no difference looks like."""

    totals: Totals

    @property
    def detector(self) -> Detector:
        """Of the original."""
        return self.totals.detector

    @property
    def modules(self) -> NDArray[np.int64]:
        """Of the whole: modules are not kept apart."""
        return self.totals.modules

    def sum(self, name: str) -> NDArray[np.float64]:
        """A sum over the whole, per layer and over all layers: it only gives a scale."""
        return self.totals.sum(name)

    def histogram(self, name: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Counts of both halves, all layers last: int64[layers + 1, bins + 2] each."""
        one = self.totals.halves[name]
        return _and_all(one), _and_all(self.totals.counts[name][0] - one)

    def edges(self, name: str) -> NDArray[np.float64]:
        """Bin edges of a histogram."""
        return self.totals.edges(name)


def _and_all(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([counts, counts.sum(axis=0, keepdims=True)])


def _scaled(name: str, whole: NDArray[Any]) -> NDArray[np.float64]:
    return np.append(whole, whole.sum()).astype(float) / 2.0 ** SUMS[name][0]
