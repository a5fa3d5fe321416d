"""Rate against distortion, of many settings: which are worth having, and what one codec saves.

Distortion is a metric turned so that smaller is better: its size where it should be zero, what is
missing to 1 where it should be large.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pixlab.errors import PixlabError
from pixlab.physics import METRICS
from pixlab.study.table import Sweep, check_metrics

if TYPE_CHECKING:
    import pandas

__all__ = ["bd_rate", "bd_rates", "distortion", "pareto"]

_RATE = "bits_per_digi"


def distortion(metric: str, values: Any) -> NDArray[np.float64]:
    """Values of a metric as something that is 0 at best.

    Raises
    ------
    PixlabError
        If there is no such metric.
    """
    check_metrics([metric])
    found = np.asarray(values, float)
    return 1.0 - found if METRICS[metric].good == "large" else np.abs(found)


def pareto(table: pandas.DataFrame | Sweep, metric: str) -> pandas.DataFrame:
    """The settings that no other one beats: none is at least as cheap and as good, and not the same.

    Parameters
    ----------
    table : DataFrame or Sweep
        Rows of a sweep.
    metric : str
        Key of `pixlab.physics.METRICS`.

    Returns
    -------
    DataFrame
        Those rows, by growing rate.

    Raises
    ------
    PixlabError
        If the table has no such metric.
    """
    frame, error = _error(table, metric)
    rate = frame[_RATE].to_numpy(float)
    best, front = np.inf, []
    for i in np.lexsort((error, rate)):
        if error[i] < best and np.isfinite(rate[i]):
            front.append(i)
            best = error[i]
    return frame.iloc[front]


def bd_rate(a: pandas.DataFrame | Sweep, b: pandas.DataFrame | Sweep, metric: str) -> float:
    """Bjontegaard rate difference: how much more `b` needs than `a` where both are equally good.

    The logarithm of the rate is interpolated over the logarithm of the distortion (which is what
    PSNR is for a mean square error) by monotone cubics, and the difference averaged over the
    distortions that both reach. Only settings on the Pareto front of each take part.

    Parameters
    ----------
    a, b : DataFrame or Sweep
        Rows of one codec each.
    metric : str
        Key of `pixlab.physics.METRICS`.

    Returns
    -------
    float
        Relative: -0.1 where `b` needs 10% less than `a`.

    Raises
    ------
    PixlabError
        If one of them has fewer than two settings with a distortion, or they have no range of
        distortions in common.

    References
    ----------
    G. Bjontegaard, "Calculation of average PSNR differences between RD-curves", ITU-T SG16 Q.6
    VCEG-M33 (2001); with piecewise cubics as in ITU-T HSTP-VID-WPOM (2020).
    """
    from scipy.interpolate import PchipInterpolator

    curves = []
    for name, table in (("first", a), ("second", b)):
        front = pareto(table, metric)
        error = distortion(metric, front[metric])
        some = error > 0  # without error, quality has no end
        quality = -np.log(error[some])
        if len(quality) < 2:
            raise PixlabError(
                f"the {name} codec has {len(quality)} settings that change '{metric}' and are on its "
                "Pareto front, two are needed",
                "sweep more settings",
            )
        curves.append((quality, np.log(front[_RATE].to_numpy(float)[some])))
    low = max(quality[0] for quality, _ in curves)
    high = min(quality[-1] for quality, _ in curves)
    if low >= high:
        raise PixlabError(
            f"the codecs have no range of '{metric}' in common", "sweep more settings of both"
        )
    first, second = (
        float(PchipInterpolator(quality, rate).integrate(low, high)) for quality, rate in curves
    )
    return float(np.expm1((second - first) / (high - low)))


def bd_rates(table: pandas.DataFrame | Sweep, metric: str) -> pandas.DataFrame:
    """`bd_rate` between all codecs of a table: what the one in the column needs more than that in the row.

    Returns
    -------
    DataFrame
        Codecs by codecs, relative; NaN where two cannot be compared.

    Raises
    ------
    PixlabError
        If the table has no such metric.
    """
    import pandas as pd

    frame, _ = _error(table, metric)
    codecs = list(dict.fromkeys(frame["codec"]))
    found = pd.DataFrame(np.nan, index=codecs, columns=codecs).rename_axis("needs more than")
    for a in codecs:
        for b in codecs:
            try:
                found.loc[a, b] = bd_rate(frame[frame.codec == a], frame[frame.codec == b], metric)
            except PixlabError:
                continue
    return found


def _error(
    table: pandas.DataFrame | Sweep, metric: str
) -> tuple[pandas.DataFrame, NDArray[np.float64]]:
    frame = table.table if isinstance(table, Sweep) else table
    check_metrics([metric])
    if metric not in frame:
        raise PixlabError(f"the table has no column '{metric}'", "make it with pixlab.sweep")
    return frame, distortion(metric, frame[metric])
