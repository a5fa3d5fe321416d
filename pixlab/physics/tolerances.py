"""How far decoded may be from original: named presets, a user's own, and the verdict on them."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pixlab.errors import PixlabError
from pixlab.physics.metrics import METRICS
from pixlab.physics.tables import records

if TYPE_CHECKING:
    import pandas

__all__ = ["TOLERANCES", "Check", "Tolerances", "Verdict", "judge"]

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

_SURE = 2.0  # errors between value and limit, from which on more events would not change a check
_KEYS = ("name", "base", "limits", "layers")


@dataclass(frozen=True)
class Tolerances:
    """Limits on metrics, made by `of`.

    Parameters
    ----------
    name : str
        Of the preset or file, or "custom".
    limits : mapping
        Limit of each metric, for every layer and for all together.
    layers : mapping of mappings
        Limits of single layers (or of "all"), in place of those.
    """

    name: str
    limits: Mapping[str, float]
    layers: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def limit(self, metric: str, layer: str) -> float | None:
        """What a metric is allowed in a layer, None for anything."""
        return self.layers.get(layer, {}).get(metric, self.limits.get(metric))

    @property
    def metrics(self) -> tuple[str, ...]:
        """Metrics with a limit anywhere, in the order of `METRICS`."""
        named = set(self.limits).union(*self.layers.values())
        return tuple(name for name in METRICS if name in named)

    @staticmethod
    def of(source: str | PathLike[str] | Mapping[str, float] | Tolerances) -> Tolerances:
        """Tolerances by name, from a file, or of one's own.

        Parameters
        ----------
        source : str, path, mapping or Tolerances
            Key in `TOLERANCES`; a TOML file; or ``{metric: limit}``. A file may hold a ``name``,
            a preset as ``base`` whose limits hold where it has none of its own, a table
            ``[limits]`` and, for single layers, ``[layers."BPIX 1"]``; ``false`` in place of a
            limit of the base lifts it.

        Raises
        ------
        PixlabError
            If there is no such preset, file or metric, a limit is not a number, or nothing is
            limited.
        """
        if isinstance(source, Tolerances):
            return source
        if isinstance(source, Mapping):
            return _checked("custom", source, {})
        if isinstance(source, str) and source in TOLERANCES:
            return Tolerances(source, TOLERANCES[source])
        path = Path(source)
        if path.suffix != ".toml":
            raise PixlabError(
                f"there are no tolerances '{source}'",
                f"choose one of {', '.join(TOLERANCES)}, or a file NAME.toml",
            )
        return _from_file(path)


def _from_file(path: Path) -> Tolerances:
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise PixlabError(f"cannot read {path}: {error.strerror}", "check the path") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PixlabError(f"{path} is no TOML file: {error}") from error
    unknown = [key for key in data if key not in _KEYS]
    if unknown:
        raise PixlabError(f"{path}: unknown key '{unknown[0]}'", f"choose from {', '.join(_KEYS)}")
    base, limits, layers = data.get("base"), data.get("limits", {}), data.get("layers", {})
    if base is not None and base not in TOLERANCES:
        raise PixlabError(f"{path}: there is no base {base!r}", f"choose {', '.join(TOLERANCES)}")
    if not isinstance(limits, dict) or not isinstance(layers, dict):
        raise PixlabError(f"{path}: limits and layers must be tables, as [limits]")
    for layer, table in layers.items():
        if not isinstance(table, dict):
            raise PixlabError(f"{path}: '{layer}' must be a table, as [layers.\"{layer}\"]")
    start = dict(TOLERANCES[base]) if base is not None else {}
    own = {metric: limit for metric, limit in limits.items() if limit is not False}
    lifted = set(limits) - set(own)
    start = {metric: limit for metric, limit in start.items() if metric not in lifted}
    try:
        return _checked(str(data.get("name", path.stem)), start | own, layers)
    except PixlabError as error:
        raise PixlabError(f"{path}: {error.cause}", error.hint) from None


def _checked(
    name: str, limits: Mapping[str, Any], layers: Mapping[str, Mapping[str, Any]]
) -> Tolerances:
    for metric, limit in [
        *limits.items(),
        *(x for table in layers.values() for x in table.items()),
    ]:
        if metric not in METRICS:
            raise PixlabError(f"there is no metric '{metric}'", f"choose from {', '.join(METRICS)}")
        if isinstance(limit, bool) or not isinstance(limit, (int, float)) or limit != limit:
            raise PixlabError(f"the limit of '{metric}' is not a number: {limit!r}")
    if not limits and not any(layers.values()):
        raise PixlabError("tolerances without a limit allow everything", "name at least one metric")
    return Tolerances(
        name,
        {metric: float(limit) for metric, limit in limits.items()},
        {layer: {m: float(x) for m, x in table.items()} for layer, table in layers.items()},
    )


@dataclass(frozen=True)
class Check:
    """One metric in one layer (or "all") against its limit.

    ``error`` is NaN where it is not known; ``stage`` is empty for the digis themselves.
    """

    metric: str
    layer: str
    value: float
    error: float
    limit: float
    ok: bool
    stage: str = ""

    @property
    def used(self) -> float:
        """Part of the allowance that is used up: above 1 is outside."""
        metric = METRICS[self.metric]
        off, allowed = abs(self.value), self.limit
        if metric.good == "large":
            off, allowed = 1 - self.value, 1 - self.limit
        if allowed > 0:
            return off / allowed
        return 0.0 if self.ok else float("inf") if off == off else float("nan")

    @property
    def sure(self) -> bool:
        """Whether the value is more than two errors from the limit."""
        off = abs(self.value) if METRICS[self.metric].good == "zero" else self.value
        return bool(abs(off - self.limit) > _SURE * self.error)

    @property
    def allowance(self) -> str:
        """The limit in words."""
        metric = METRICS[self.metric]
        unit = metric.unit if metric.unit in ("", "%") else f" {metric.unit}"
        sign = {"zero": "within", "small": "at most", "large": "at least"}[metric.good]
        return f"{sign} {100 * self.limit if metric.unit == '%' else self.limit:g}{unit}"

    def __str__(self) -> str:
        metric = METRICS[self.metric]
        stage = f"{self.stage}, " if self.stage else ""
        value = metric.with_error(self.value, self.error)
        return f"{stage}{self.layer}: {metric.label} {value} ({self.allowance})"


@dataclass(frozen=True)
class Verdict:
    """What a comparison is worth under some tolerances; true when every check is inside.

    Parameters
    ----------
    tolerances : str
        Name of the preset or file, or "custom".
    checks : tuple of Check
        Metric by metric, layer by layer; after them those of the digis after pre-mixing, if they
        were compared.
    """

    tolerances: str
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether there are checks and all are inside."""
        return bool(self.checks) and all(check.ok for check in self.checks)

    @property
    def failed(self) -> tuple[Check, ...]:
        """The checks that are outside, those farthest outside first."""
        failed = [check for check in self.checks if not check.ok]
        return tuple(sorted(failed, key=lambda c: -c.used if c.used == c.used else -np.inf))

    @property
    def unsure(self) -> tuple[Check, ...]:
        """The checks within two errors of their limit, on either side, or without a known error."""
        return tuple(check for check in self.checks if not check.sure)

    def worst(self) -> tuple[Check, ...]:
        """For each metric and stage the check that uses most of its allowance (or has no value)."""
        found: dict[tuple[str, str], Check] = {}
        for check in self.checks:
            key = (check.metric, check.stage)
            best = found.get(key)
            if best is None or (best.value == best.value and not check.used <= best.used):
                found[key] = check
        return tuple(found.values())

    def __bool__(self) -> bool:
        return self.ok

    def to_frame(self) -> pandas.DataFrame:
        """One row a check: metric, layer, value, error, limit, ok, sure, used, stage."""
        import pandas as pd

        rows = [vars(check) | {"sure": check.sure, "used": check.used} for check in self.checks]
        columns = ["metric", "layer", "value", "error", "limit", "ok", "sure", "used", "stage"]
        return pd.DataFrame(rows, columns=columns)

    def to_dict(self) -> dict[str, Any]:
        """For JSON: tolerances, ok, and the checks; a value that is no number is null."""
        return {"tolerances": self.tolerances, "ok": self.ok, "checks": records(self.to_frame())}

    def __str__(self) -> str:
        failed, n = self.failed, len(self.checks)
        if not failed:
            near = len(self.unsure)
            close = f", {near} of them too close to call with so few events" if near else ""
            return f"{self.tolerances}: inside, {n} checks{close}"
        worst = "; ".join(str(check) for check in failed[:3])
        more = f"; and {len(failed) - 3} more" if len(failed) > 3 else ""
        return f"{self.tolerances}: OUTSIDE, {len(failed)} of {n} checks: {worst}{more}"


def judge(
    values: Mapping[str, NDArray[np.float64]],
    errors: Mapping[str, NDArray[np.float64]],
    layers: tuple[str, ...],
    something: NDArray[np.bool_],
    tolerances: Tolerances,
    stage: str = "",
) -> tuple[Check, ...]:
    """Hold metrics against tolerances.

    Parameters
    ----------
    values, errors : mapping of float64[layers + 1]
        Every metric and its error, all layers together last.
    layers : tuple of str
        Names of the layers.
    something : bool[layers]
        Whether a layer has a digi in either sample; one without has nothing to judge and is left
        out. "all" never is.
    tolerances : Tolerances
        The limits.
    stage : str
        What is written into the checks.

    Raises
    ------
    PixlabError
        If the tolerances name a layer that is not there.
    """
    places = (*layers, "all")
    for layer in tolerances.layers:
        if layer not in places:
            raise PixlabError(
                f"tolerances '{tolerances.name}' name a layer '{layer}'",
                f"choose from {', '.join(places)}",
            )
    checks = []
    for name in tolerances.metrics:
        for place, layer in enumerate(places):
            limit = tolerances.limit(name, layer)
            if limit is None or (layer != "all" and not something[place]):
                continue
            value, error = float(values[name][place]), float(errors[name][place])
            ok = METRICS[name].passes(value, limit)
            checks.append(Check(name, layer, value, error, limit, ok, stage))
    return tuple(checks)
