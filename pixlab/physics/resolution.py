"""Position and track resolution before and after, as counts that add up over chunks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pixlab.detectors import Detector
from pixlab.errors import FormatError, PixlabError
from pixlab.physics.groups import PARTS, spread_of
from pixlab.physics.keeping import filled, trimmed

if TYPE_CHECKING:
    import hist
    import pandas

__all__ = ["BINS", "HITS", "LAYERS", "MIN_PT", "NORMALISED", "PT_CLASSES", "TRACKS", "Resolution"]

MIN_PT = 0.5  # GeV: below, a pixel detector alone is no spectrometer
PT_CLASSES = (MIN_PT, 1.0, 3.0)  # GeV: lower ends
LAYERS = (3, 4)  # points of a track
BINS = 401  # of residuals
_ENOUGH = 100  # crossings, to judge a truth by


@dataclass(frozen=True)
class Axis:
    """A quantity that has a value before and after.

    Parameters
    ----------
    label, unit : str
        What stands on the axis.
    half : float
        Bins reach from minus to plus this.
    meaning : str
        The definition.
    """

    label: str
    unit: str
    half: float
    meaning: str

    @property
    def edges(self) -> NDArray[np.float64]:
        """Bin edges, with a bin in the middle for 0."""
        places = np.arange(BINS + 1, dtype=np.float64) - BINS / 2
        return 2 * self.half / (BINS - 1) * places


# of each hit, per layer
HITS = {
    "row": Axis("hit residual along rows", "um", 200.0, "cluster - crossing, drift taken off"),
    "col": Axis("hit residual along columns", "um", 300.0, "cluster - crossing, drift taken off"),
}
# of each track, per number of layers and class of transverse momentum
TRACKS = {
    "d0": Axis("transverse impact parameter", "um", 2000.0, "of the fit, to the true origin"),
    "z0": Axis("longitudinal impact parameter", "um", 4000.0, "of the fit, to the true origin"),
    "pt": Axis("relative pT error", "%", 200.0, "true pT times fitted q/pT, divided by q, minus 1"),
}
# charge over the length of the path through the sensor, for each unit of its thickness
NORMALISED = np.linspace(0.0, 100.0, 101)  # ke


@dataclass(frozen=True)
class Resolution:
    """Counts before (0) and after (1); made by `resolve`, added over chunks with ``+``.

    Parameters
    ----------
    detector : Detector
        Of the digis.
    hits : dict of int64[2, PARTS, layers, bins + 2]
        Residuals of `HITS`.
    crossings : int64[2, PARTS, layers, 2]
        Crossings without and with a cluster.
    tracks : dict of int64[2, PARTS, LAYERS, PT_CLASSES, bins + 2]
        Residuals of `TRACKS`.
    seeds : int64[PARTS, LAYERS, PT_CLASSES, 2, 2]
        Particles by whether they have all their clusters before and after.
    normalised : int64[2, layers, bins + 2]
        Cluster charge over path length, clusters of one crossing.
    """

    detector: Detector
    hits: dict[str, NDArray[np.int64]]
    crossings: NDArray[np.int64]
    tracks: dict[str, NDArray[np.int64]]
    seeds: NDArray[np.int64]
    normalised: NDArray[np.int64]

    def __add__(self, other: Resolution) -> Resolution:
        if self.detector != other.detector:
            raise PixlabError("resolutions of different detectors cannot be added")
        return Resolution(
            self.detector,
            {k: v + other.hits[k] for k, v in self.hits.items()},
            self.crossings + other.crossings,
            {k: v + other.tracks[k] for k, v in self.tracks.items()},
            self.seeds + other.seeds,
            self.normalised + other.normalised,
        )

    def check(self) -> None:
        """Refuse a truth that has nothing to do with the digis.

        Raises
        ------
        PixlabError
            If hardly a crossing has an original cluster.
        """
        missed, found = self.crossings[0].sum(axis=(0, 1))
        if missed > _ENOUGH and missed > found:
            share = found / (missed + found)
            raise PixlabError(
                f"only {100 * share:.0f}% of the crossings in the truth have a cluster",
                "give the truth that was simulated with the digis, from their first event on",
            )

    # -- JSON -------------------------------------------------------------------------------
    def to_dict(self) -> dict[str, Any]:
        """What `from_dict` reads, given the detector."""
        data: dict[str, Any] = {
            name: {k: trimmed(v) for k, v in getattr(self, name).items()}
            for name in ("hits", "tracks")
        }
        single = ("crossings", "seeds", "normalised")
        return data | {name: trimmed(getattr(self, name)) for name in single}

    @staticmethod
    def from_dict(data: Any, detector: Detector) -> Resolution:
        """What `to_dict` gave.

        Raises
        ------
        FormatError
            If it is damaged.
        """
        try:
            empty = Resolution.empty(detector)
            shapes = {
                name: {k: v.shape for k, v in getattr(empty, name).items()}
                for name in ("hits", "tracks")
            }
            return Resolution(
                detector,
                {k: filled(data["hits"][k], shape) for k, shape in shapes["hits"].items()},
                filled(data["crossings"], empty.crossings.shape),
                {k: filled(data["tracks"][k], shape) for k, shape in shapes["tracks"].items()},
                filled(data["seeds"], empty.seeds.shape),
                filled(data["normalised"], empty.normalised.shape),
            )
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise FormatError(f"the resolution is damaged: {error}") from error

    @staticmethod
    def empty(detector: Detector) -> Resolution:
        """Of no event at all."""
        layers, classes = len(detector.layers), (len(LAYERS), len(PT_CLASSES))
        return Resolution(
            detector,
            {k: np.zeros((2, PARTS, layers, BINS + 2), np.int64) for k in HITS},
            np.zeros((2, PARTS, layers, 2), np.int64),
            {k: np.zeros((2, PARTS, *classes, BINS + 2), np.int64) for k in TRACKS},
            np.zeros((PARTS, *classes, 2, 2), np.int64),
            np.zeros((2, layers, len(NORMALISED) + 1), np.int64),
        )

    # -- tables -----------------------------------------------------------------------------
    def hit_table(self) -> pandas.DataFrame:
        """Residuals of hits.

        Returns
        -------
        DataFrame
            One row an axis and layer: ``crossings``, ``found_before``, ``found_after`` (share with
            a cluster), ``mean_before``, ``mean_after`` (um, of residuals inside the axis),
            ``width_before``, ``width_after`` (um, half of what holds the middle 68%) and ``ratio``,
            after over before, with its ``error``.
        """
        import pandas as pd

        layers = (*self.detector.layers, "all")
        found = _and_all(self.crossings)
        with np.errstate(invalid="ignore"):
            share = found[..., 1].sum(axis=1) / found.sum(axis=(1, 3))
        rows = []
        for axis, counts in self.hits.items():
            edges = HITS[axis].edges
            for i, layer in enumerate(layers):
                rows.append(
                    {
                        "axis": axis,
                        "layer": layer,
                        "crossings": int(found[0, :, i].sum()),
                        "found_before": share[0, i],
                        "found_after": share[1, i],
                        **_before_after(_and_all(counts)[:, :, i], edges),
                    }
                )
        return pd.DataFrame(rows)

    def track_table(self) -> pandas.DataFrame:
        """Residuals of fits.

        Returns
        -------
        DataFrame
            One row a quantity of `TRACKS`, number of ``layers`` and class of true ``pt`` (GeV), as in
            `hit_table`; ``tracks`` is the number of fits before.
        """
        import pandas as pd

        rows = []
        for name, counts in self.tracks.items():
            for i, j, number, label in _classes():
                own = counts[:, :, i, j].sum(axis=2)
                rows.append(
                    {
                        "quantity": name,
                        "layers": number,
                        "pt": label,
                        "tracks": int(own[0].sum()),
                        **_before_after(own, TRACKS[name].edges),
                    }
                )
        return pd.DataFrame(rows)

    def seed_table(self) -> pandas.DataFrame:
        """Particles whose first three or four layers all have their cluster.

        Returns
        -------
        DataFrame
            One row a number of ``layers`` and class of true ``pt``: ``particles``, ``before`` and
            ``after`` (share that is found), ``lost`` and ``gained`` (share of those found before, and
            not found before), ``error`` of ``lost``.
        """
        import pandas as pd

        rows = []
        for i, j, number, label in _classes():
            own = self.seeds[:, i, j].sum(axis=1)
            total = own.sum(axis=0)
            before, missed = total[1].sum(), total[0].sum()
            each = [total, *(total - part for part in own)]
            lost = np.array([t[1, 0] / t[1].sum() if t[1].sum() else np.nan for t in each])
            rows.append(
                {
                    "layers": number,
                    "pt": label,
                    "particles": int(total.sum()),
                    "before": before / total.sum() if total.sum() else np.nan,
                    "after": total[:, 1].sum() / total.sum() if total.sum() else np.nan,
                    "lost": lost[0],
                    "gained": total[0, 1] / missed if missed else 0.0,
                    "error": float(spread_of(lost[1:], own.any(axis=(1, 2)))),
                }
            )
        return pd.DataFrame(rows)

    def spectrum(self) -> hist.Hist:
        """Cluster charge for each unit of thickness: axes ``source``, ``layer``, ``normalised``."""
        import hist

        axes: list[Any] = [
            hist.axis.StrCategory(["original", "decoded"], name="source", overflow=False),
            hist.axis.StrCategory(list(self.detector.layers), name="layer", overflow=False),
            hist.axis.Regular(
                len(NORMALISED) - 1,
                NORMALISED[0],
                NORMALISED[-1],
                name="normalised",
                label="cluster charge over path length [ke]",
            ),
        ]
        made: Any = hist.Hist(*axes, storage=hist.storage.Int64(), label="clusters")
        made.view(flow=True)[...] = self.normalised
        return made


def _and_all(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """All layers together as one more layer (axis 2)."""
    return np.concatenate([counts, counts.sum(axis=2, keepdims=True)], axis=2)


def _classes() -> Iterator[tuple[int, slice, int, str]]:
    """Index, slice, number of layers and name of each class of tracks; all of them last."""
    ends = [f"{low:g} to {high:g}" for low, high in pairwise(PT_CLASSES)]
    names = [*ends, f"over {PT_CLASSES[-1]:g}"]
    for i, number in enumerate(LAYERS):
        for j, name in enumerate(names):
            yield i, slice(j, j + 1), number, name
        yield i, slice(None), number, f"over {MIN_PT:g}"


def _before_after(counts: NDArray[np.int64], edges: NDArray[np.float64]) -> dict[str, float]:
    """Mean and width of int64[2, PARTS, bins + 2] before and after, and the ratio of the widths."""
    middle = (edges[1:] + edges[:-1]) / 2
    total = counts.sum(axis=1)
    inside = total[:, 1:-1]
    n = inside.sum(axis=1)
    mean = np.where(n > 0, inside @ middle / np.maximum(n, 1), np.nan)
    width = np.array([_width(t, edges) for t in (total, *(total - counts.swapaxes(0, 1)))])
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = width[:, 1] / width[:, 0]
    used = counts.sum(axis=(0, 2)) > 0
    return {
        "mean_before": mean[0],
        "mean_after": mean[1],
        "width_before": width[0][0],
        "width_after": width[0][1],
        "ratio": ratio[0],
        "error": float(spread_of(ratio[1:], used)),
    }


def _width(counts: NDArray[np.int64], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Half of what holds the middle 68.3%, linear inside the bins; NaN where that is beyond them."""
    found = np.full(len(counts), np.nan)
    for i, own in enumerate(counts):
        total = own.sum()
        below = np.cumsum(own)[:-1] / max(total, 1)  # at each edge
        low, high = 0.15865, 0.84135
        if total and below[0] <= low and below[-1] >= high:
            # the first edge that reaches the share, and from there back inside its bin
            found[i] = (_inverse(below, edges, high) - _inverse(below, edges, low)) / 2
    return found


def _inverse(below: NDArray[np.float64], edges: NDArray[np.float64], share: float) -> float:
    k = int(np.searchsorted(below, share))
    if k == 0:
        return float(edges[0])
    step = below[k] - below[k - 1]
    return float(edges[k - 1] + (edges[k] - edges[k - 1]) * (share - below[k - 1]) / step)
