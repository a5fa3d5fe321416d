"""Residuals against the truth, before and after, cut and labelled apart from drawing them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from pixlab.errors import PixlabError
from pixlab.physics.resolution import HITS, LAYERS, TRACKS, Resolution

if TYPE_CHECKING:
    import pandas

    from pixlab.physics import Comparison

__all__ = ["Residuals", "hit_residuals", "track_residuals"]

_WIDTHS = 6.0  # of the first spectrum, on both sides
_BINS = 40  # on each side, about


@dataclass(frozen=True)
class Residuals:
    """Two spectra around 0, of original and decoded.

    Parameters
    ----------
    edges : float64[n + 1]
        Bin edges.
    counts : int64[2, n]
        Entries before and after; what is beyond the edges is left out.
    width : (float, float)
        Half of what holds the middle 68%, of all entries, in `unit`.
    ratio, error : float
        After over before.
    x_label, y_label, unit, title : str
        Texts.
    """

    edges: NDArray[np.float64]
    counts: NDArray[np.int64]
    width: tuple[float, float]
    ratio: float
    error: float
    x_label: str
    y_label: str
    unit: str
    title: str

    @property
    def names(self) -> tuple[str, str]:
        """Original and decoded with their widths."""
        one, two = (f"±{w:.3g} {self.unit}" for w in self.width)
        return f"original: {one}", f"decoded: {two}"

    @property
    def change(self) -> str:
        """The ratio of the widths in words; empty where it is not known."""
        if not np.isfinite(self.ratio):
            return ""
        return f"width × {self.ratio:.3f} ± {self.error:.3f}"


def hit_residuals(
    comparison: Comparison, axis: Literal["row", "col"], layer: str = "all"
) -> Residuals:
    """Cluster minus true crossing in one layer.

    Raises
    ------
    PixlabError
        If the comparison knows no truth, or there is no such axis or layer.
    """
    resolution = _resolution_of(comparison)
    if axis not in HITS or layer not in comparison.layers:
        raise PixlabError(
            f"there are no residuals of '{axis}' in '{layer}'",
            f"choose row or col, and one of {', '.join(comparison.layers)}",
        )
    table = resolution.hit_table()
    row = table[(table.axis == axis) & (table.layer == layer)].iloc[0]
    counts = resolution.hits[axis].sum(axis=1)
    place = comparison.layers.index(layer)
    own = counts.sum(axis=1) if layer == "all" else counts[:, place]
    what = HITS[axis]
    title = "all layers" if layer == "all" else layer
    return _cut(own, what.edges, row, what.label, what.unit, "hits", title)


def track_residuals(
    comparison: Comparison, quantity: Literal["d0", "z0", "pt"], layers: int = 4
) -> Residuals:
    """Helix fit minus truth, through so many layers.

    Raises
    ------
    PixlabError
        If the comparison knows no truth, or there is no such quantity or number.
    """
    resolution = _resolution_of(comparison)
    if quantity not in TRACKS or layers not in LAYERS:
        raise PixlabError(
            f"there are no fits of '{quantity}' through {layers} layers",
            f"choose one of {', '.join(TRACKS)}, and {' or '.join(map(str, LAYERS))}",
        )
    table = resolution.track_table()
    row = table[(table.quantity == quantity) & (table.layers == layers)].iloc[-1]
    own = resolution.tracks[quantity][:, :, LAYERS.index(layers)].sum(axis=(1, 2))
    what = TRACKS[quantity]
    title = f"helices through {layers} layers, pT {row.pt} GeV"
    return _cut(own, what.edges, row, what.label, what.unit, "tracks", title)


def _resolution_of(comparison: Comparison) -> Resolution:
    if comparison.resolution is None:
        raise PixlabError("the comparison knows no truth", "make it with compare(…, truth=truth)")
    return comparison.resolution


def _cut(
    counts: NDArray[np.int64],
    edges: NDArray[np.float64],
    row: pandas.Series,
    label: str,
    unit: str,
    what: str,
    title: str,
) -> Residuals:
    wide = row.width_before if np.isfinite(row.width_before) else edges[-1] / _WIDTHS
    middle, step = (len(edges) - 1) // 2, edges[1] - edges[0]
    merge = max(1, int(_WIDTHS * wide / step / _BINS))
    merge += 1 - merge % 2  # an odd number, so that 0 stays in the middle of a bin
    half = max(1, min(int(_WIDTHS * wide / step / merge), (middle - merge // 2) // merge))
    first, stop = middle - merge // 2 - half * merge, middle + merge // 2 + half * merge + 1
    cut = edges[first : stop + 1 : merge]
    return Residuals(
        cut,
        counts[:, 1 + first : 1 + stop].reshape(2, -1, merge).sum(axis=-1),
        (float(row.width_before), float(row.width_after)),
        float(row.ratio),
        float(row.error),
        f"{label} [{unit}]",
        f"{what} / {cut[1] - cut[0]:.3g} {unit}",
        unit,
        title,
    )
