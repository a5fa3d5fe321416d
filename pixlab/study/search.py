"""`find`: the cheapest setting of a codec within a tolerance.

Of every knob it is tried which way the rate falls (the coarser way). Where the rate falls all along,
finer is better too, and the coarsest setting inside the tolerances is found by bisection: first all
knobs are turned together, then each on its own, until nothing is gained. Knobs without such a way
are tried at a few values, refined around the best one by golden sections (J. Kiefer, 1953); choices
that are no numbers are tried one by one.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise, product
from typing import TYPE_CHECKING, Any

import param

from pixlab.codecs import Codec, Foreign, Model, make_codec
from pixlab.digis import Digis
from pixlab.errors import PixlabError
from pixlab.physics import Comparison
from pixlab.physics.tolerances import Tolerances
from pixlab.progress import Progress, tell
from pixlab.study.evaluation import label_of
from pixlab.study.split import Split
from pixlab.study.sweeping import assemble
from pixlab.study.table import Sweep
from pixlab.study.tasks import FACTS, perform, row_task

if TYPE_CHECKING:
    import pandas

__all__ = ["Found", "find"]

Range = tuple[float, float]
_GOLDEN = (math.sqrt(5) - 1) / 2
_GRID = 5  # values of a knob without a way, before they are refined
_REFINED = 6  # golden sections after that
_STEP = math.log(2.0)  # by which a knob is turned at first
_GAIN = 0.002  # of the rate, below which another round is not worth it


@dataclass(frozen=True, eq=False)
class Found:
    """What `find` gives.

    Parameters
    ----------
    tolerances : Tolerances
        What had to be kept.
    best : Sweep
        The cheapest setting of each codec that keeps them, the cheapest codec first; where a codec
        has none, the setting that comes closest, after those.
    passed : tuple of bool
        Which of these rows do.
    trail : DataFrame
        Everything that was tried, in order: ``codec``, ``label``, ``step`` (why), knobs,
        ``bits_per_digi``, ``inside``, ``used`` (part of the allowance that the worst check uses)
        and ``worst`` (that check).
    """

    tolerances: Tolerances
    best: Sweep
    passed: tuple[bool, ...]
    trail: pandas.DataFrame

    def __bool__(self) -> bool:
        """Whether there is a setting inside the tolerances."""
        return any(self.passed)

    @cached_property
    def model(self) -> Model:
        """The model of the cheapest setting, or of the closest one."""
        return self.best.model(0)

    @property
    def codec(self) -> Codec:
        """That setting."""
        return self.model.codec

    def __str__(self) -> str:
        row = self.best.table.iloc[0]
        rate = f"{row['label']}, {row['bits_per_digi']:.2f} bits/digi"
        if self:
            return f"{self.tolerances.name}: {rate}, of {len(self.trail)} settings tried"
        worst = self.trail.loc[self.trail["label"] == row["label"], "worst"].iloc[-1]
        return f"{self.tolerances.name}: nothing inside; closest is {rate} ({worst})"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from html import escape

        trail = self.trail.dropna(axis="columns", how="all")
        return f"<p>{escape(str(self))}</p>" + trail.to_html(
            index=False, float_format=lambda v: f"{v:.4g}"
        )


def find(
    digis: Digis | str | os.PathLike[str],
    codecs: Codec | str | Sequence[Codec | str],
    tolerances: str | os.PathLike[str] | Mapping[str, float] | Tolerances = "transparent",
    *,
    knobs: Mapping[str, Range | Sequence[Any] | None] | None = None,
    margin: float = 0.0,
    precision: float = 0.02,
    most: int = 80,
    premixed: bool = False,
    fit_events: int | None = None,
    source: str = "",
    progress: Progress | None = None,
    **how: Any,
) -> Found:
    """Look for the cheapest setting whose decoded digis are inside tolerances in every layer.

    Parameters
    ----------
    digis : Digis or path
        The events; models are fitted on the first half and measured on the second, as in `sweep`.
    codecs : Codec, str, or several
        Where to begin: a codec, or its name for its default setting.
    tolerances : str, path, mapping or Tolerances
        As for `Comparison.passed`.
    knobs : mapping, optional
        Which knobs to turn: a range ``(low, high)``, a list of values to try, or None for the
        bounds of the knob. Default: those that the codec names (`Codec.searched`).
    margin : float
        Part of each allowance to leave unused, since other events fluctuate.
    precision : float
        Relative width of a knob at which bisection ends.
    most : int
        Settings of one codec to try at most.
    premixed : bool
        The tolerances hold after pre-mixing too.
    fit_events, source, progress
        As for `sweep`.
    **how
        ``events``, ``branch``, ``detector`` and ``duplicates`` of `pixlab.read`, where a path is given.

    Returns
    -------
    Found
        True if there is one.

    Raises
    ------
    PixlabError
        If there are no such tolerances or knobs, or a setting cannot be fitted.
    Cancelled
        If `progress` returned False.

    Examples
    --------
    >>> import pixlab
    >>> digis = pixlab.samples.load("phase1-pu60")[:4]
    >>> found = pixlab.find(digis, "scalar", {"charge_rms": 0.1}, knobs={"levels": (2, 64)})
    >>> found.codec.levels < 16
    True
    """
    limits = Tolerances.of(tolerances)
    listed = [codecs] if isinstance(codecs, (Codec, str)) else list(codecs)
    starts = [make_codec(c) if isinstance(c, str) else c for c in listed]
    if not starts:
        raise PixlabError("there is no codec to look for a setting of", "name one")
    for codec in starts:
        if isinstance(codec, Foreign):
            codec.require()
    searches = [_spaces(codec, knobs, alone=len(starts) == 1) for codec in starts]
    split = Split.of(digis, fit_events=fit_events, **how)
    facts = perform(FACTS, split, lambda done, what: tell(progress, 0.0, what))
    trail: list[dict[str, Any]] = []
    bests: list[_Point] = []
    for i, (codec, (ranges, choices)) in enumerate(zip(starts, searches, strict=True)):

        def judge(codec: Codec, step: str, fraction: float, i: int = i) -> _Point:
            def report(done: float, _: str) -> None:
                tell(progress, (i + fraction + done / most) / len(starts), label_of(codec))

            row = perform(row_task(codec, premixed=premixed), split, report)
            point = _Point.of(row, codec, limits, margin)
            trail.append(point.told(step))
            return point

        search = _Search(codec, judge, precision, most)
        for some in choices:
            search.solve(some, ranges)
        bests.append(search.best)
    tell(progress, 1.0, "")
    bests.sort(key=lambda p: (not p.inside, p.rate if p.inside else p.used))
    import pandas as pd

    return Found(
        limits,
        assemble(
            [p.row for p in bests], facts, [p.codec for p in bests], split, source or split.path
        ),
        tuple(p.inside for p in bests),
        pd.DataFrame(trail),
    )


@dataclass(frozen=True)
class _Point:
    """A setting that was tried."""

    codec: Codec
    row: dict[str, Any]
    rate: float
    inside: bool
    used: float
    worst: str

    @classmethod
    def of(cls, row: dict[str, Any], codec: Codec, limits: Tolerances, margin: float) -> _Point:
        """What a row of a sweep says of it."""
        verdict = Comparison.from_json(row["comparison"]).passed(limits)

        def used(check: Any) -> float:
            return check.used if check.used == check.used else math.inf

        worst = max(verdict.checks, key=used)
        inside = verdict.ok and used(worst) <= 1 - margin
        return cls(codec, row, row["bits_per_digi"], inside, used(worst), str(worst))

    def told(self, step: str) -> dict[str, Any]:
        """A row of the trail."""
        return {
            "codec": self.codec.key,
            "label": label_of(self.codec),
            "step": step,
            **self.codec.knobs(),
            "bits_per_digi": self.rate,
            "inside": self.inside,
            "used": self.used,
            "worst": self.worst,
        }


@dataclass(frozen=True)
class _Knob:
    """A number to turn, on a logarithmic scale that begins at `zero`, below its range."""

    name: str
    low: float
    high: float
    whole: bool

    @property
    def zero(self) -> float:
        if self.low > 0:
            return 0.0
        return self.low - (1.0 if self.whole else 0.01 * (self.high - self.low))

    def turned(self, value: float, by: float) -> float:
        """The value, moved by a factor exp(by) and kept in its range."""
        return self._clip(self.zero + (value - self.zero) * math.exp(by))

    def at(self, part: float) -> float:
        """The value at this part of the range."""
        low, high = self.low - self.zero, self.high - self.zero
        return self._clip(self.zero + low * (high / low) ** part)

    def _clip(self, value: float) -> float:
        value = min(max(value, self.low), self.high)
        return round(value) if self.whole else float(f"{value:.4g}")


def _spaces(
    codec: Codec, knobs: Mapping[str, Any] | None, *, alone: bool
) -> tuple[list[_Knob], list[dict[str, Any]]]:
    """Ranges to search, and combinations of listed values to search them at."""
    declared = {k: v for k, v in codec.param.objects("existing").items() if k != "name"}
    if knobs is None:
        knobs = dict.fromkeys(codec.searched)
    wanted = {k: v for k, v in knobs.items() if k in declared}
    missing = next((k for k in knobs if k not in declared), None)
    if missing is not None and alone:
        raise PixlabError(
            f"codec '{codec.key}' has no knob '{missing}'", f"it has {', '.join(declared)}"
        )
    ranges, lists = [], {}
    for name, given in wanted.items():
        knob = declared[name]
        number = isinstance(knob, param.Number)
        if given is None or (isinstance(given, tuple) and len(given) == 2 and number):
            low, high = given or knob.bounds
            if low is None or high is None or not low < high:
                raise PixlabError(
                    f"knob '{name}' of codec '{codec.key}' has no range from {low} to {high}",
                    "give one, the lower end first",
                )
            ranges.append(_Knob(name, low, high, isinstance(knob, param.Integer)))
        else:
            lists[name] = list(given)
    for name, values in lists.items():
        if not values:
            raise PixlabError(f"knob '{name}' has no value to try", "give at least one")
    return ranges, [dict(zip(lists, some, strict=True)) for some in product(*lists.values())]


class _Enough(Exception):
    """As many settings as allowed were tried."""


class _Search:
    """The settings of one codec that were tried, and how to go on."""

    def __init__(
        self,
        codec: Codec,
        judge: Callable[[Codec, str, float], _Point],
        precision: float,
        most: int,
    ) -> None:
        self._codec, self._judge = codec, judge
        self._precision, self._most = math.log1p(precision), most
        self._tried: dict[str, _Point] = {}

    @property
    def best(self) -> _Point:
        """The cheapest setting inside, or the one closest to it."""
        points = self._tried.values()
        return min(points, key=lambda p: (not p.inside, p.rate if p.inside else p.used))

    def point(self, knobs: Mapping[str, Any], step: str) -> _Point:
        """Try a setting, unless it was tried before."""
        knobs = self._codec.knobs() | dict(knobs)
        key = json.dumps(knobs, sort_keys=True)
        if key not in self._tried:
            if len(self._tried) >= self._most:
                raise _Enough
            codec = make_codec(self._codec.key, **knobs)
            self._tried[key] = self._judge(codec, step, len(self._tried) / self._most)
        return self._tried[key]

    def solve(self, fixed: Mapping[str, Any], ranges: Sequence[_Knob]) -> None:
        """Search the ranges, from the codec's own setting on; what is found is in `best`."""
        try:
            start = self._codec.knobs() | dict(fixed)
            for knob in ranges:
                start[knob.name] = knob.turned(start[knob.name], 0.0)
            self.point(start, "start")
            ways = {knob: self._way(start, knob) for knob in ranges}
            steady = {knob: way for knob, way in ways.items() if way}
            self._outer(start, [knob for knob, way in ways.items() if way is None], steady)
        except _Enough:
            pass

    def _way(self, start: dict[str, Any], knob: _Knob) -> int | None:
        """1 or -1: the way of growing or falling values in which the rate falls.

        0 if the knob changes nothing, None if it has no such way.
        """
        values = [knob.turned(start[knob.name], by) for by in (-_STEP, 0.0, _STEP)]
        rates = [
            self.point(start | {knob.name: v}, f"which way is {knob.name}").rate
            for v in dict.fromkeys(values)
        ]
        steps = [(b - a) / a for a, b in pairwise(rates)]
        if all(abs(s) < 1e-4 for s in steps):
            return 0
        if all(s <= 0 for s in steps):
            return 1
        return -1 if all(s >= 0 for s in steps) else None

    # -- knobs without a way ----------------------------------------------------------------
    def _outer(
        self, start: dict[str, Any], wild: list[_Knob], steady: dict[_Knob, int]
    ) -> _Point | None:
        """Grid, then golden sections, over the first wild knob; the others at each of its values."""
        if not wild:
            return self._inner(start, steady)
        knob, *others = wild

        def cost(part: float) -> float:
            return self._cost(self._outer(start | {knob.name: knob.at(part)}, others, steady))

        parts = [i / (_GRID - 1) for i in range(_GRID)]
        costs = [cost(part) for part in parts]
        middle = min(range(_GRID), key=costs.__getitem__)
        self._sections(cost, parts[max(middle - 1, 0)], parts[min(middle + 1, _GRID - 1)])
        return self.best

    # -- knobs with a way -------------------------------------------------------------------
    def _inner(self, start: dict[str, Any], steady: dict[_Knob, int]) -> _Point | None:
        """Bisect along all knobs together, then along each, as long as something is gained."""
        found = self._along(start, steady, "all" if len(steady) > 1 else "", _STEP)
        if found is None or not found.inside or len(steady) < 2:
            return found
        while True:
            before = found.rate
            for knob, way in steady.items():
                here, name = found.codec.knobs(), knob.name
                aside = here | {name: knob.turned(here[name], way * _STEP / 4)}
                if self.point(aside, f"bracket {name}").rate > found.rate:
                    way = -way  # it may have turned while all knobs were
                further = self._along(here, {knob: way}, name, _STEP / 4)
                if further is not None and further.inside and further.rate < found.rate:
                    found = further
            if found.rate > before * (1 - _GAIN):
                return found

    def _along(
        self, start: dict[str, Any], ways: dict[_Knob, int], what: str, step: float
    ) -> _Point | None:
        """The coarsest setting inside, along one line of settings through `start`."""

        def at(by: float) -> dict[str, Any]:
            return start | {k.name: k.turned(start[k.name], way * by) for k, way in ways.items()}

        found = self.point(start, "start")
        if not ways:
            return found
        sign = 1.0 if found.inside else -1.0
        passed, failed = (0.0, None) if found.inside else (None, 0.0)
        before = 0.0
        for by in _doubled(sign * step):
            if at(by) == at(before):  # the end of all ranges
                break
            tried = self.point(at(by), f"bracket {what}".strip())
            if tried.inside and found.inside and tried.rate > found.rate:  # the way has turned
                return self._turned(at, before / 2, by, what)
            if tried.inside:
                passed, found = by, tried
            else:
                failed = by
            if tried.inside != (sign > 0):
                break
            before = by
        if passed is None or failed is None:
            return found
        while abs(failed - passed) > self._precision:
            middle = (failed + passed) / 2
            if at(middle) in (at(failed), at(passed)):
                break
            tried = self.point(at(middle), f"bisect {what}".strip())
            if tried.inside:
                passed, found = middle, tried
            else:
                failed = middle
        return found

    def _turned(
        self, at: Callable[[float], dict[str, Any]], low: float, high: float, what: str
    ) -> _Point:
        """The cheapest of the settings on a line on which the rate falls and then rises again."""
        self._sections(lambda by: self._cost(self.point(at(by), f"section {what}")), low, high)
        return self.best

    @staticmethod
    def _cost(point: _Point | None) -> float:
        return point.rate if point is not None and point.inside else math.inf

    @staticmethod
    def _sections(cost: Callable[[float], float], low: float, high: float) -> None:
        """Golden sections towards the least cost."""
        for _ in range(_REFINED):
            width = _GOLDEN * (high - low)
            if cost(high - width) <= cost(low + width):
                high = low + width
            else:
                low = high - width


def _doubled(step: float) -> Iterator[float]:
    """step, 2 step, 4 step, ..."""
    while abs(step) < 64:
        yield step
        step *= 2
