"""How far decoded may be from original: named presets, and the verdict on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pixlab.errors import PixlabError
from pixlab.physics.metrics import METRICS

if TYPE_CHECKING:
    import pandas

__all__ = ["TOLERANCES", "Check", "Verdict", "judge", "limits_of"]

_COLUMNS = ("transparent", "analysis", "loose")
_LIMITS: dict[str, tuple[float | None, ...]] = {
    "charge_mean": (0.005, 0.01, 0.03),
    "charge_rms": (0.05, 0.10, 0.15),
    "charge_ks": (0.02, 0.05, None),
    "size_unchanged": (0.995, 0.99, 0.97),
    "occupancy": (0.001, 0.005, 0.02),
    "shift_row": (3.0, 5.0, 10.0),
    "shift_col": (7.0, 12.0, 20.0),
    "efficiency": (0.999, 0.997, 0.995),
    "fakes": (0.001, 0.003, 0.005),
}

# preset -> metric -> limit, each holding for every layer and for all together
TOLERANCES: dict[str, dict[str, float]] = {
    preset: {metric: limit for metric, row in _LIMITS.items() if (limit := row[place]) is not None}
    for place, preset in enumerate(_COLUMNS)
}


def limits_of(tolerances: str | Mapping[str, float]) -> tuple[str, dict[str, float]]:
    """Name and limits of a preset, or of a user's own ``{metric: limit}``.

    Raises
    ------
    PixlabError
        If there is no such preset or metric, or a limit is not a number.
    """
    if isinstance(tolerances, str):
        if tolerances not in TOLERANCES:
            raise PixlabError(
                f"there are no tolerances '{tolerances}'", f"choose one of {', '.join(TOLERANCES)}"
            )
        return tolerances, TOLERANCES[tolerances]
    limits = {}
    for metric, limit in tolerances.items():
        if metric not in METRICS:
            raise PixlabError(f"there is no metric '{metric}'", f"choose from {', '.join(METRICS)}")
        if isinstance(limit, bool) or not isinstance(limit, (int, float)) or limit != limit:
            raise PixlabError(f"the limit of '{metric}' is not a number: {limit!r}")
        limits[metric] = float(limit)
    if not limits:
        raise PixlabError("tolerances without a limit allow everything", "name at least one metric")
    return "custom", limits


@dataclass(frozen=True)
class Check:
    """One metric in one layer (or "all") against its limit."""

    metric: str
    layer: str
    value: float
    limit: float
    ok: bool

    def __str__(self) -> str:
        metric = METRICS[self.metric]
        unit = metric.unit if metric.unit in ("", "%") else f" {metric.unit}"
        sign = {"zero": "within", "small": "at most", "large": "at least"}[metric.good]
        limit = f"{100 * self.limit if metric.unit == '%' else self.limit:g}"
        value = f"{metric.format(self.value)}{unit}" if self.value == self.value else "no value"
        return f"{self.layer}: {metric.label} {value} ({sign} {limit}{unit})"


@dataclass(frozen=True)
class Verdict:
    """What a comparison is worth under some tolerances; true when every check is inside.

    Parameters
    ----------
    tolerances : str
        Name of the preset, or "custom".
    checks : tuple of Check
        Metric by metric, layer by layer.
    """

    tolerances: str
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether there are checks and all are inside."""
        return bool(self.checks) and all(check.ok for check in self.checks)

    @property
    def failed(self) -> tuple[Check, ...]:
        """The checks that are outside."""
        return tuple(check for check in self.checks if not check.ok)

    def __bool__(self) -> bool:
        return self.ok

    def to_frame(self) -> pandas.DataFrame:
        """One row a check: metric, layer, value, limit, ok."""
        import pandas as pd

        columns = ["metric", "layer", "value", "limit", "ok"]
        return pd.DataFrame([vars(check) for check in self.checks], columns=columns)

    def to_dict(self) -> dict[str, Any]:
        """For JSON: tolerances, ok, and the checks; a value that is no number is null."""
        checks = [
            vars(c) | {"value": c.value if np.isfinite(c.value) else None} for c in self.checks
        ]
        return {"tolerances": self.tolerances, "ok": self.ok, "checks": checks}

    def __str__(self) -> str:
        failed = self.failed
        if not failed:
            return f"{self.tolerances}: inside, {len(self.checks)} checks"
        worst = "; ".join(str(check) for check in failed[:3])
        more = f"; and {len(failed) - 3} more" if len(failed) > 3 else ""
        return (
            f"{self.tolerances}: OUTSIDE, {len(failed)} of {len(self.checks)} checks: {worst}{more}"
        )


def judge(
    values: Mapping[str, NDArray[np.float64]],
    layers: tuple[str, ...],
    something: NDArray[np.bool_],
    tolerances: str | Mapping[str, float],
) -> Verdict:
    """Hold metrics against tolerances.

    Parameters
    ----------
    values : mapping of float64[layers + 1]
        Every metric, all layers together last.
    layers : tuple of str
        Names of the layers.
    something : bool[layers]
        Whether a layer has a digi in either sample; one without has nothing to judge and is left
        out. "all" never is.
    tolerances : str or mapping
        Preset, or limits of one's own.
    """
    name, limits = limits_of(tolerances)
    checks = []
    for metric, limit in limits.items():
        for place, layer in enumerate((*layers, "all")):
            if layer == "all" or something[place]:
                value = float(values[metric][place])
                checks.append(
                    Check(metric, layer, value, limit, METRICS[metric].passes(value, limit))
                )
    return Verdict(name, tuple(checks))
