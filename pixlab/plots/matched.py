"""What drawings of matched clusters and of modules show, cut and labelled, apart from drawing it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from pixlab.errors import PixlabError
from pixlab.physics.metrics import METRICS
from pixlab.physics.pairs import CONFUSION_SIZES, PAIRS, SHIFT_SIZES
from pixlab.physics.tolerances import TOLERANCES
from pixlab.plots.tiles import Tiles, place_modules

if TYPE_CHECKING:
    from pixlab.physics import Comparison

__all__ = [
    "SIZE_NAMES",
    "Confusion",
    "LayerValues",
    "ModuleChange",
    "PairBins",
    "layer_values",
    "module_change",
    "pair_bins",
    "size_confusion_table",
]

_REST = 1e-3  # share of entries that may lie beyond each end of an axis
_MOST_BINS = 120
SIZE_NAMES = (*map(str, range(1, SHIFT_SIZES)), f"{SHIFT_SIZES} or more")


@dataclass(frozen=True)
class PairBins:
    """How matched clusters changed: counts in bins around no change.

    Parameters
    ----------
    edges : float64[n + 1]
        Bin edges.
    counts : int64[classes, n]
        Entries by size of the original cluster where it is kept, else one class; entries beyond
        the axis are in its outermost bins.
    total : int
        All entries.
    x_label : str
        Quantity with unit.
    centre : float
        The value of no change.
    """

    edges: NDArray[np.float64]
    counts: NDArray[np.int64]
    total: int
    x_label: str
    centre: float


def _place(comparison: Comparison, layer: str) -> slice:
    if layer not in comparison.layers:
        raise PixlabError(
            f"the comparison has no layer '{layer}'",
            f"choose one of {', '.join(comparison.layers)}",
        )
    if layer == "all":
        return slice(None)
    place = comparison.layers.index(layer)
    return slice(place, place + 1)


def pair_bins(comparison: Comparison, name: str, layer: str = "all") -> PairBins:
    """Bins of a change of matched clusters in one layer, around what nearly all of them do.

    Parameters
    ----------
    comparison : Comparison
        From `pixlab.compare`.
    name : {"response", "shift_row", "shift_col"}
        What is shown.
    layer : str
        One layer, or "all".

    Raises
    ------
    PixlabError
        If there is no such quantity or layer.
    """
    if name not in PAIRS:
        raise PixlabError(f"there is no change '{name}'", f"choose one of {', '.join(PAIRS)}")
    spectrum = PAIRS[name]
    counts = comparison.totals.pairs[name][_place(comparison, layer)].sum(axis=0)
    edges = spectrum.edges(comparison.detector)
    total = int(counts.sum())
    middle = (len(edges) - 1) // 2
    # the same number of bins on both sides
    summed = counts[:, 1:-1].sum(axis=0)
    outer = counts[:, [0, -1]].sum()
    beyond = [total - outer - summed[middle - k : middle + k + 1].sum() for k in range(middle + 1)]
    reach = int(np.argmax(np.array(beyond) <= 2 * _REST * total))
    reach = min(max(reach + 1, 4), middle)
    merge = max(1, -(-(2 * reach + 1) // _MOST_BINS))
    merge += 1 - merge % 2  # an odd number, so that no change stays in the middle of a bin
    half = min(-(-(reach - merge // 2) // merge), (middle - merge // 2) // merge)
    first = middle - merge // 2 - half * merge
    stop = middle + merge // 2 + half * merge + 1
    inside = counts[:, 1 + first : 1 + stop].reshape(len(counts), -1, merge).sum(axis=-1)
    inside[:, 0] += counts[:, : 1 + first].sum(axis=-1)
    inside[:, -1] += counts[:, 1 + stop :].sum(axis=-1)
    return PairBins(
        edges[first : stop + 1 : merge], inside, total, spectrum.axis_label, spectrum.centre
    )


@dataclass(frozen=True)
class Confusion:
    """Original against decoded cluster size.

    Parameters
    ----------
    names : tuple of str
        The sizes.
    counts : int64[sizes, sizes]
        Matched clusters by original (first axis) and decoded size.
    """

    names: tuple[str, ...]
    counts: NDArray[np.int64]

    @property
    def share(self) -> NDArray[np.float64]:
        """Of each original size, the share that has each decoded size; NaN where there is none."""
        total = self.counts.sum(axis=1, keepdims=True)
        return self.counts / np.where(total > 0, total, np.nan)


def size_confusion_table(
    comparison: Comparison, axis: Literal["row", "col"], layer: str = "all"
) -> Confusion:
    """Cluster size along rows or columns before and after, up to the largest that occurs.

    Raises
    ------
    PixlabError
        If there is no such layer or axis.
    """
    if axis not in ("row", "col"):
        raise PixlabError(f"clusters have no size along '{axis}'", "choose row or col")
    own = comparison.totals.confusion[("row", "col").index(axis)]
    counts = own[_place(comparison, layer)].sum(axis=0)
    filled = np.flatnonzero(counts.sum(axis=0) + counts.sum(axis=1))
    n = max(int(filled[-1]) + 1 if len(filled) else 0, 2)
    names = [*map(str, range(1, CONFUSION_SIZES)), f"{CONFUSION_SIZES}+"]
    return Confusion(tuple(names[:n]), counts[:n, :n])


@dataclass(frozen=True)
class LayerValues:
    """A metric in each layer, with what is allowed; percentages are percent.

    Parameters
    ----------
    stages : dict of (float64[layers + 1], float64[layers + 1])
        Values and errors (0 where not known) of the digis, and after pre-mixing if it was compared.
    limits : dict of tuple of float
        Limit of each preset that has one; two where it holds on both sides of 0.
    range : (float, float)
        Of an axis that holds the values and the strictest limit, with room for a legend above.
    y_label, meaning : str
        The metric with its unit, and its definition.
    """

    stages: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]
    limits: dict[str, tuple[float, ...]]
    range: tuple[float, float]
    y_label: str
    meaning: str


def layer_values(comparison: Comparison, metric: str) -> LayerValues:
    """One metric layer by layer.

    Raises
    ------
    PixlabError
        If there is no such metric.
    """
    if metric not in METRICS:
        raise PixlabError(f"there is no metric '{metric}'", f"choose one of {', '.join(METRICS)}")
    what = METRICS[metric]
    factor = 100.0 if what.unit == "%" else 1.0
    named = {"digis": comparison, "after pre-mixing": comparison.premixed}
    stages = {
        name: (factor * stage.values[metric], factor * np.nan_to_num(stage.error_values[metric]))
        for name, stage in named.items()
        if stage is not None
    }
    limits: dict[str, tuple[float, ...]] = {}
    for preset, table in TOLERANCES.items():
        if metric in table:
            limit = factor * table[metric]
            limits[preset] = (limit, -limit) if what.good == "zero" else (limit,)
    ends = [0.0] if what.good != "large" else [factor]
    for values, errors in stages.values():
        known = np.isfinite(values)
        ends += [*(values - errors)[known], *(values + errors)[known]]
    ends += next(iter(limits.values()), ())
    span = (max(ends) - min(ends)) or 1.0
    return LayerValues(
        stages,
        limits,
        (min(ends) - 0.1 * span, max(ends) + 0.3 * span),
        f"{what.label} [{what.unit}]" if what.unit else what.label,
        what.meaning,
    )


@dataclass(frozen=True)
class ModuleChange:
    """Digis of the modules of a layer, original and decoded, where they stand.

    Parameters
    ----------
    tiles : Tiles
        The modules.
    original, decoded : int64[n]
        Digis of each.
    """

    tiles: Tiles
    original: NDArray[np.int64]
    decoded: NDArray[np.int64]

    @property
    def percent(self) -> NDArray[np.float64]:
        """Decoded over original minus 1, in percent; NaN for a module without original digis."""
        safe = np.where(self.original > 0, self.original, np.nan)
        return 100 * (self.decoded / safe - 1)

    @property
    def reach(self) -> float:
        """Where a colour scale that is the same on both sides may end, percent."""
        away = np.abs(self.percent[np.isfinite(self.percent)])
        return float(max(away.max(initial=0.0), 0.1))


def module_change(comparison: Comparison, layer: str) -> ModuleChange:
    """How the number of digis changed in each module of a layer.

    Raises
    ------
    PixlabError
        If there is no such layer.
    """
    tiles = place_modules(comparison.detector, layer)
    original, decoded = comparison.module_digis[:, tiles.modules]
    return ModuleChange(tiles, original, decoded)
