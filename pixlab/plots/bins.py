"""Spectra of original and decoded digis, and of what happened to matched clusters, cut and labelled
as every drawing of them shows them.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pixlab.errors import PixlabError
from pixlab.physics.pairs import PAIRS
from pixlab.physics.spectra import SPECTRA

if TYPE_CHECKING:
    from pixlab.physics import Comparison

__all__ = ["Bins", "PairBins", "pair_bins", "spectrum_bins"]

_SURE = 25  # entries that make a ratio known to 20%


@dataclass(frozen=True)
class Bins:
    """Counts of original and decoded, from the first filled bin to the last.

    Parameters
    ----------
    edges : float64[n + 1]
        Where bins are drawn: one of a single whole number stands over it.
    original, decoded : int64[n]
        Entries.
    scale : float64[n]
        What entries are multiplied with to be drawn: 1, or 1 / width where widths differ.
    names : tuple of str
        Each bin in words.
    x_label, y_label : str
        Quantity with unit, with what lies beyond the last bin; entries, with the width of a bin.
    """

    edges: NDArray[np.float64]
    original: NDArray[np.int64]
    decoded: NDArray[np.int64]
    scale: NDArray[np.float64]
    names: tuple[str, ...]
    x_label: str
    y_label: str

    @property
    def ratio(self) -> NDArray[np.float64]:
        """Decoded over original; NaN where there is no original entry."""
        gaps = np.full(len(self.original), np.nan)
        return np.divide(self.decoded, self.original, out=gaps, where=self.original > 0)

    @property
    def floor(self) -> float:
        """Where a logarithmic axis begins: below one entry."""
        return 0.5 * float(self.scale.min())

    @property
    def reach(self) -> float:
        """How far from 1 the axis of the ratio goes: the fullest bins, or all known to 20%, are inside."""
        sure = self.original >= min(_SURE, self.original.max(initial=1))
        error = np.sqrt(self.decoded) / np.maximum(self.original, 1)
        away = (np.abs(self.ratio - 1) + error)[sure]
        return min(1.15 * float(away.max(initial=0.02)), 1.0)


def spectrum_bins(comparison: Comparison, name: str, layer: str = "all") -> Bins:
    """The bins of one spectrum in one layer.

    Parameters
    ----------
    comparison : Comparison
        From `pixlab.compare`.
    name : str
        One of `pixlab.physics.SPECTRA`.
    layer : str
        One layer, or "all".

    Raises
    ------
    PixlabError
        If there is no such spectrum or layer.
    """
    if name not in SPECTRA:
        raise PixlabError(f"there is no spectrum '{name}'", f"choose one of {', '.join(SPECTRA)}")
    place = _place(comparison, layer)
    spectrum = SPECTRA[name]
    edges = spectrum.edges(comparison.detector)
    original, decoded = (counts[place] for counts in comparison.totals.histogram(name))
    beyond = original[-1], decoded[-1]
    end = edges[-1] - 1 if spectrum.whole else edges[-1]
    original, decoded = original[1:-1], decoded[1:-1]
    even = np.allclose(np.diff(edges), edges[1] - edges[0])
    shown = _filled(original + decoded, to_the_end=any(beyond))
    edges = edges[shown.start : shown.stop + 1]
    width = np.diff(edges)
    names = tuple(
        f"{a:g}" if spectrum.whole and b == a + 1 else f"{a:g} to {b - spectrum.whole:g}"
        for a, b in pairwise(edges)
    )
    x_label = spectrum.axis_label
    if any(beyond):
        x_label += f", beyond {end:g}: {beyond[0]:,} → {beyond[1]:,}"
    per = f"{width[0]:g} {spectrum.unit}" if even else "bin width"
    if even and width[0] == 1:
        per = spectrum.unit.removesuffix("s")
    return Bins(
        edges - 0.5 if spectrum.whole else edges,
        original[shown],
        decoded[shown],
        np.ones(len(width)) if even else 1 / width,
        names,
        x_label,
        f"{spectrum.entries} / {per}",
    )


@dataclass(frozen=True)
class PairBins:
    """Counts of a quantity of matched clusters, around the value of no change.

    Parameters
    ----------
    edges : float64[n + 1]
    counts : int64[n]
        Matched clusters.
    centre : float
        The value of no change.
    beyond : int
        Clusters outside the bins.
    x_label, y_label : str
        Quantity with unit; entries, with the width of a bin.
    """

    edges: NDArray[np.float64]
    counts: NDArray[np.int64]
    centre: float
    beyond: int
    x_label: str
    y_label: str


def pair_bins(comparison: Comparison, name: str, layer: str = "all", *, bins: int = 61) -> PairBins:
    """The bins of a quantity of matched clusters in one layer.

    Parameters
    ----------
    comparison : Comparison
        From `pixlab.compare`.
    name : str
        One of `pixlab.physics.PAIRS`.
    layer : str
        One layer, or "all".
    bins : int
        About how many; the outermost hold what 99.8% of the clusters are inside of.

    Raises
    ------
    PixlabError
        If there is no such quantity or layer.
    """
    if name not in PAIRS:
        raise PixlabError(f"there is no quantity '{name}'", f"choose one of {', '.join(PAIRS)}")
    place = _place(comparison, layer)
    quantity = PAIRS[name]
    kept = comparison.totals.pairs[name].sum(axis=1)  # of all sizes
    counts = kept.sum(axis=0) if place == len(kept) else kept[place]
    edges = quantity.edges(comparison.detector)
    middle = len(edges) // 2 - 1  # bin of no change, without the underflow
    inside = counts[1:-1]
    # bins on both sides of the middle one that hold nearly all
    outward = inside[middle:] + np.where(np.arange(middle + 1) > 0, inside[middle::-1], 0)
    reach = int(np.searchsorted(np.cumsum(outward), 0.998 * outward.sum())) + 1
    # together, an odd number each, so that no change stays in the middle of a bin
    step = max(1, 2 * round(reach / bins) + 1) if reach > bins else 1
    sides = min(int(np.ceil(reach / step)) + 1, (middle - step // 2) // step)
    first = middle - step // 2 - sides * step
    shown = inside[first : first + (2 * sides + 1) * step].reshape(-1, step).sum(axis=1)
    edges = edges[first : first + (2 * sides + 1) * step + 1 : step]
    beyond = int(counts.sum() - shown.sum())
    x_label = quantity.axis_label + (f", outside: {beyond:,}" if beyond else "")
    width = f"{edges[1] - edges[0]:.3g} {quantity.unit}".strip()
    return PairBins(edges, shown, quantity.centre, beyond, x_label, f"matched clusters / {width}")


def _place(comparison: Comparison, layer: str) -> int:
    if layer not in comparison.layers:
        raise PixlabError(
            f"the comparison has no layer '{layer}'",
            f"choose one of {', '.join(comparison.layers)}",
        )
    return comparison.layers.index(layer)


def _filled(counts: NDArray[np.int64], *, to_the_end: bool) -> slice:
    """The bins up to the last filled one and one more; empty ones before are left out if many."""
    at = np.flatnonzero(counts)
    if not len(at):
        return slice(0, len(counts))
    stop = len(counts) if to_the_end else min(int(at[-1]) + 2, len(counts))
    start = int(at[0]) - 1
    return slice(start if start > stop / 3 else 0, stop)
