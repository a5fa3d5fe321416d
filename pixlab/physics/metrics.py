"""The numbers of a comparison: each a function of `Totals`, one value a layer and one for all.

A metric that has nothing to measure is NaN, and NaN passes no tolerance.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pixlab.physics import distances
from pixlab.physics.totals import Sums

__all__ = ["METRICS", "Metric"]

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Metric:
    """A number that says how far decoded digis are from the original ones.

    Parameters
    ----------
    label : str
        A few words for a table.
    unit : {"%", "um", "adc", ""}
        How it is shown; the value of a "%" metric is a fraction (0.01 for 1%).
    good : {"zero", "small", "large"}
        Whether a tolerance limits its size, or from above, or from below.
    meaning : str
        The definition.
    value : function of Sums
        float64[layers + 1], all layers together last.
    null : bool
        Whether two halves of the original have such a number too.
    share : (str, str), optional
        Counts (names of sums) whose ratio it is, or 1 minus that: its error is then not below that
        of a binomial share.
    exact : bool
        Whether it is a plain count, without an error.
    """

    label: str
    unit: Literal["%", "um", "adc", ""]
    good: Literal["zero", "small", "large"]
    meaning: str
    value: Callable[[Sums], Values]
    null: bool = False
    share: tuple[str, str] | None = None
    exact: bool = False

    def passes(self, value: float, limit: float) -> bool:
        """Whether a value is inside the limit; NaN never is."""
        if self.good == "large":
            return bool(value >= limit)
        return bool((abs(value) if self.good == "zero" else value) <= limit)

    def format(self, value: float) -> str:
        """The value as it stands in a table, without its unit."""
        if np.isnan(value):
            return "–"
        if self.unit == "%":
            value = 100 * value
        sign = "+" if self.good == "zero" and value > 0 else ""
        if value == 0 or (self.unit == "%" and value == 100):
            return f"{value:.0f}"
        # percentages near 100 need the digits behind the point, everything else three in front
        digits = (
            2 if self.good == "large" else int(np.clip(2 - np.floor(np.log10(abs(value))), 0, 3))
        )
        return f"{sign}{value:.{digits}f}"

    def with_error(self, value: float, error: float) -> str:
        """The value and its error, to two digits of the error, with the unit."""
        unit = self.unit if self.unit in ("", "%") else f" {self.unit}"
        if np.isnan(value):
            return "no value"
        if not np.isfinite(error) or error == 0 or not np.isfinite(value):
            return f"{self.format(value)}{unit}"
        scale = 100 if self.unit == "%" else 1
        digits = int(np.clip(1 - np.floor(np.log10(scale * error)), 0, 4))
        sign = "+" if self.good == "zero" else ""
        return f"{scale * value:{sign}.{digits}f} ± {scale * error:.{digits}f}{unit}"


def _ratio(top: Values, bottom: Values) -> Values:
    return np.where(bottom > 0, top / np.where(bottom > 0, bottom, 1.0), np.nan)


def _mean(name: str) -> Callable[[Sums], Values]:
    of = "common" if name == "adc" else "matched"
    return lambda t: _ratio(t.sum(name), t.sum(of))


def _rms(name: str) -> Callable[[Sums], Values]:
    of = "common" if name == "adc" else "matched"
    return lambda t: np.sqrt(_ratio(t.sum(f"{name}2"), t.sum(of)))


def _ks(name: str) -> Callable[[Sums], Values]:
    return lambda t: distances.ks(*t.histogram(name))


def _charge_mean(t: Sums) -> Values:
    before, after = (
        _ratio(t.sum(f"charge_{s}"), t.sum(f"clusters_{s}")) for s in ("original", "decoded")
    )
    return _ratio(after, before) - 1


def _charge_wasserstein(t: Sums) -> Values:
    mean = _ratio(t.sum("charge_original"), t.sum("clusters_original"))
    distance = distances.wasserstein(*t.histogram("fine_charge"), t.edges("fine_charge"))
    return np.where(np.isinf(distance), np.inf, _ratio(distance, mean))


def _share_of(top: str, bottom: str) -> Callable[[Sums], Values]:
    """Share of `bottom` that is in `top`: 0 where there is none of either."""
    return lambda t: np.where(t.sum(bottom) == 0, 0.0, _ratio(t.sum(top), t.sum(bottom)))


def _none_of(top: str, bottom: str) -> Callable[[Sums], Values]:
    """Share of `bottom` that is not in `top`: 0 where there is none of either."""
    return lambda t: np.where(t.sum(bottom) == 0, 0.0, 1 - _ratio(t.sum(top), t.sum(bottom)))


def _iou(t: Sums) -> Values:
    common, original, decoded = (t.sum(k) for k in ("common", "digis_original", "digis_decoded"))
    return _ratio(common, original + decoded - common)


def _modules_lost(t: Sums) -> Values:
    original, decoded = t.modules
    lost = (original > 0) & (decoded == 0)
    per_layer = np.bincount(t.detector.layer, lost, len(t.detector.layers))
    return np.append(per_layer, lost.sum())


METRICS: dict[str, Metric] = {
    "charge_mean": Metric(
        "mean cluster charge",
        "%",
        "zero",
        "mean charge of all decoded clusters over that of all original ones, minus 1",
        _charge_mean,
    ),
    "charge_bias": Metric(
        "cluster charge, bias",
        "%",
        "zero",
        "mean of (decoded - original) / original charge over matched clusters",
        _mean("response"),
    ),
    "charge_rms": Metric(
        "cluster charge, rel. rms",
        "%",
        "small",
        "root mean square of (decoded - original) / original charge over matched clusters",
        _rms("response"),
    ),
    "charge_ks": Metric(
        "cluster charge, KS",
        "",
        "small",
        "Kolmogorov-Smirnov distance of the cluster charge spectra, in bins of 0.5%",
        _ks("fine_charge"),
        null=True,
    ),
    "charge_wasserstein": Metric(
        "cluster charge, Wasserstein",
        "%",
        "small",
        "1-Wasserstein distance of the cluster charge spectra, in bins of 0.5%, over the mean charge",
        _charge_wasserstein,
        null=True,
    ),
    "charge_js": Metric(
        "cluster charge, Jensen-Shannon",
        "",
        "small",
        "Jensen-Shannon divergence of the cluster charge spectra, in bits (0 to 1)",
        lambda t: distances.jensen_shannon(*t.histogram("charge")),
        null=True,
    ),
    "charge_chi2": Metric(
        "cluster charge, chi2 / ndf",
        "",
        "small",
        "sum of (decoded - original)^2 / (decoded + original) over the filled bins of the charge "
        "spectrum, divided by their number; same events, so 1 is no goal",
        lambda t: distances.chi2_per_bin(*t.histogram("charge")),
        null=True,
    ),
    "size_unchanged": Metric(
        "same size in rows and columns",
        "%",
        "large",
        "share of matched clusters with unchanged size_row and size_col",
        lambda t: _ratio(t.sum("same_size"), t.sum("matched")),
        share=("same_size", "matched"),
    ),
    "size_row_ks": Metric(
        "size in rows, KS",
        "",
        "small",
        "Kolmogorov-Smirnov distance of the spectra of size_row",
        _ks("size_row"),
        null=True,
    ),
    "size_col_ks": Metric(
        "size in columns, KS",
        "",
        "small",
        "Kolmogorov-Smirnov distance of the spectra of size_col",
        _ks("size_col"),
        null=True,
    ),
    "occupancy": Metric(
        "occupancy",
        "%",
        "zero",
        "decoded digis over original digis, minus 1",
        lambda t: _ratio(t.sum("digis_decoded"), t.sum("digis_original")) - 1,
    ),
    "occupancy_ks": Metric(
        "digis per module, KS",
        "",
        "small",
        "Kolmogorov-Smirnov distance of the spectra of digis per module and event",
        _ks("occupancy"),
        null=True,
    ),
    "shift_row": Metric(
        "barycentre shift rms, rows",
        "um",
        "small",
        "root mean square of decoded - original barycentre along rows over matched clusters",
        _rms("row"),
    ),
    "shift_col": Metric(
        "barycentre shift rms, columns",
        "um",
        "small",
        "root mean square of decoded - original barycentre along columns over matched clusters",
        _rms("col"),
    ),
    "bias_row": Metric(
        "barycentre bias, rows",
        "um",
        "zero",
        "mean of decoded - original barycentre along rows over matched clusters",
        _mean("row"),
    ),
    "bias_col": Metric(
        "barycentre bias, columns",
        "um",
        "zero",
        "mean of decoded - original barycentre along columns over matched clusters",
        _mean("col"),
    ),
    "efficiency": Metric(
        "cluster efficiency",
        "%",
        "large",
        "matched original clusters over original clusters",
        lambda t: _ratio(t.sum("matched"), t.sum("clusters_original")),
        share=("matched", "clusters_original"),
    ),
    "fakes": Metric(
        "cluster fakes",
        "%",
        "small",
        "decoded clusters without a match over decoded clusters",
        _none_of("matched", "clusters_decoded"),
        share=("matched", "clusters_decoded"),
    ),
    "splits": Metric(
        "clusters split",
        "%",
        "small",
        "original clusters that share pixels with more than one decoded cluster",
        lambda t: _ratio(t.sum("split"), t.sum("clusters_original")),
        share=("split", "clusters_original"),
    ),
    "merges": Metric(
        "clusters merged",
        "%",
        "small",
        "decoded clusters that share pixels with more than one original cluster",
        _share_of("merged", "clusters_decoded"),
        share=("merged", "clusters_decoded"),
    ),
    "neighbour_ks": Metric(
        "distance between clusters, KS",
        "",
        "small",
        "Kolmogorov-Smirnov distance of the spectra of the distance to the nearest other cluster",
        _ks("neighbour"),
        null=True,
    ),
    "pixels_kept": Metric(
        "pixels kept",
        "%",
        "large",
        "original digis whose pixel is hit in the decoded event (recall)",
        lambda t: _ratio(t.sum("common"), t.sum("digis_original")),
        share=("common", "digis_original"),
    ),
    "pixels_invented": Metric(
        "pixels invented",
        "%",
        "small",
        "decoded digis whose pixel is not hit in the original event (1 - precision)",
        _none_of("common", "digis_decoded"),
        share=("common", "digis_decoded"),
    ),
    "pixels_iou": Metric(
        "pixels, intersection over union",
        "%",
        "large",
        "pixels hit in both events over pixels hit in either",
        _iou,
    ),
    "adc_rms": Metric(
        "adc error rms",
        "adc",
        "small",
        "root mean square of decoded - original adc over pixels hit in both",
        _rms("adc"),
    ),
    "modules_lost": Metric(
        "modules lost",
        "",
        "small",
        "modules with original digis and not one decoded",
        _modules_lost,
        exact=True,
    ),
}
