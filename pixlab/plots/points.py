"""The points of a sweep as every rate-distortion drawing shows them: curves, lines, front."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from pixlab.errors import PixlabError
from pixlab.physics.metrics import METRICS
from pixlab.physics.tolerances import TOLERANCES

if TYPE_CHECKING:
    import pandas

__all__ = ["Points", "pareto_front", "sweep_points"]

_CLOSE = 0.045  # lines at this share of an axis from each other would have one text on the other
_ROOT = {"ratio_root_zstd4": "ROOT ZSTD-4", "ratio_root_lzma4": "ROOT LZMA-4"}


@dataclass(frozen=True)
class Points:
    """One metric against the rate; a point a row of the table, in its order.

    Parameters
    ----------
    rate : float64[n]
        bits/digi.
    value : float64[n]
        The metric in its unit: percentages are percent.
    codec, label : object[n]
        Name of the codec, and the setting in words.
    y_label : str
        The metric with its unit.
    good : {"zero", "small", "large"}
        What a good value is, as in `pixlab.physics.Metric`.
    root : dict of str to float
        Rates of ROOT's own compression, where the table has them.
    limits : dict of str to float
        Limit of each tolerance that has one, in the unit of `value`.
    """

    rate: NDArray[np.float64]
    value: NDArray[np.float64]
    codec: NDArray
    label: NDArray
    y_label: str
    good: Literal["zero", "small", "large"]
    root: dict[str, float]
    limits: dict[str, float]

    @property
    def codecs(self) -> list[str]:
        """Names of the codecs, in the order of the table."""
        return list(dict.fromkeys(self.codec))

    def of(self, codec: str) -> NDArray[np.intp]:
        """Rows of a codec by growing rate."""
        own = np.flatnonzero(self.codec == codec)
        return own[np.argsort(self.rate[own], kind="stable")]

    @property
    def front(self) -> NDArray[np.intp]:
        """Rows that no other row beats, by growing rate."""
        return pareto_front(self.rate, self.value, self.good)

    def named_limits(self, view: tuple[float, float], log: bool = False) -> list[tuple[float, str]]:
        """Limits that are seen, and what is written at each; one text for lines that are close.

        Parameters
        ----------
        view : (float, float)
            Ends of the axis of values.
        log : bool
            Whether it is logarithmic.
        """
        seen = {name: y for name, y in self.limits.items() if view[0] <= y <= view[1]}
        ends = np.log(view) if log else np.asarray(view)
        found: list[tuple[float, str]] = []
        last = -np.inf
        for name, limit in sorted(seen.items(), key=lambda item: item[1]):
            place = ((np.log(limit) if log else limit) - ends[0]) / (ends[1] - ends[0])
            if place - last < _CLOSE:
                found[-1] = limit, f"{found[-1][1]}, {name}"
            else:
                found.append((limit, name))
            last = place
        return found


def sweep_points(table: pandas.DataFrame, metric: str) -> Points:
    """One metric of a sweep against the rate.

    Parameters
    ----------
    table : DataFrame
        One row a point, as in ``Sweep.table``: columns codec, bits_per_digi, label, and the metric.
    metric : str
        One of `pixlab.physics.METRICS`, for all layers together.

    Raises
    ------
    PixlabError
        If there is no such metric, or the table lacks a column.
    """
    if metric not in METRICS:
        raise PixlabError(f"there is no metric '{metric}'", f"choose one of {', '.join(METRICS)}")
    for column in ("codec", "bits_per_digi", metric):
        if column not in table.columns:
            raise PixlabError(f"the table has no column '{column}'", "make it with pixlab.sweep")
    what = METRICS[metric]
    factor = 100.0 if what.unit == "%" else 1.0
    rate = table["bits_per_digi"].to_numpy(float)
    codec = table["codec"].astype(str).to_numpy(object)
    label = table["label"].astype(str).to_numpy(object) if "label" in table.columns else codec
    root = {}
    for column, name in _ROOT.items():
        if column in table.columns:
            # the same for every row: the ratio is to the rate that the point stands at
            bits = (table[column] * table["bits_per_digi"]).to_numpy(float)
            if np.isfinite(bits).any():
                root[name] = float(np.nanmedian(bits))
    return Points(
        rate,
        factor * table[metric].to_numpy(float),
        codec,
        label,
        f"{what.label} [{what.unit}]" if what.unit else what.label,
        what.good,
        root,
        {name: factor * limits[metric] for name, limits in TOLERANCES.items() if metric in limits},
    )


def pareto_front(
    rate: NDArray[np.float64], value: NDArray[np.float64], good: Literal["zero", "small", "large"]
) -> NDArray[np.intp]:
    """Points that no other one beats in rate and value, by growing rate; NaN is on no front."""
    cost = {"zero": np.abs(value), "small": value, "large": -value}[good]
    known = np.flatnonzero(np.isfinite(cost) & np.isfinite(rate))
    order = known[np.lexsort((cost[known], rate[known]))]
    best = np.minimum.accumulate(np.concatenate([[np.inf], cost[order]]))
    return order[cost[order] < best[:-1]]
