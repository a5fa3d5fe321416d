"""What a sweep costs against how far it is from a verdict."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import TYPE_CHECKING

import numpy as np

from pixlab.physics.tolerances import Tolerances
from pixlab.plots.points import Points, sweep_points

if TYPE_CHECKING:
    from pixlab.study import Sweep

__all__ = ["verdict_points"]

_LEAST, _MOST = 0.01, 100.0  # of the allowance, that are told apart


def verdict_points(
    sweep: Sweep,
    tolerances: str | PathLike[str] | Mapping[str, float] | Tolerances = "transparent",
) -> Points:
    """The worst check of each setting against its rate: what is below 1 is inside.

    Parameters
    ----------
    sweep : Sweep
        With its comparisons.
    tolerances : str, path, mapping or Tolerances
        What is allowed; see `pixlab.physics.Tolerances.of`.

    Returns
    -------
    Points
        The value is the part of its allowance that the worst of all metrics and layers uses, from
        0.01 (or less) to 100 (or more, or without a value).
    """
    limits = Tolerances.of(tolerances)
    worst = []
    for i in range(len(sweep)):
        used = [check.used for check in sweep.comparison(i).passed(limits).checks]
        worst.append(np.max(np.nan_to_num(used, nan=np.inf), initial=0.0))
    plain = sweep_points(sweep.table.assign(fakes=0.0), "fakes")
    return Points(
        plain.rate,
        np.clip(worst, _LEAST, _MOST),
        plain.codec,
        plain.label,
        f"worst check over its {limits.name} limit",
        "small",
        plain.root,
        {limits.name: 1.0},
    )
