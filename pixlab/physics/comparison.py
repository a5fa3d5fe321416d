"""`compare` and `Comparison`: original digis against decoded ones, in numbers and spectra."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pixlab.clusters import cluster
from pixlab.detectors import Detector
from pixlab.digis import Digis
from pixlab.errors import FormatError, PixlabError
from pixlab.physics import keeping, report, tables
from pixlab.physics.chunks import overlaid, same_events, with_partners
from pixlab.physics.deep import Deep, look
from pixlab.physics.errors import error_of
from pixlab.physics.measure import measure
from pixlab.physics.metrics import METRICS
from pixlab.physics.resolution import Resolution
from pixlab.physics.resolving import TruthLike, resolve
from pixlab.physics.spectra import SPECTRA, to_hist
from pixlab.physics.tolerances import Check, Tolerances, Verdict, judge
from pixlab.physics.totals import Halves, Totals
from pixlab.premixing import premixable
from pixlab.progress import Progress

if TYPE_CHECKING:
    import hist
    import pandas

__all__ = ["Comparison", "compare"]

_VERSION = 3  # of the JSON form


def compare(
    original: Digis | Iterable[Digis],
    decoded: Digis | Iterable[Digis],
    *,
    premixed: bool | None = False,
    deep: bool = False,
    truth: TruthLike | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """Hold decoded digis against the original ones.

    Digis are clustered with the detector's thresholds; clusters are matched by shared pixels, then
    by distance. Events are taken in chunks, so memory does not grow with their number, and the
    result does not depend on the chunks: ``compare(a, b) + compare(c, d)`` is the comparison of
    all events together (but for `premixed`, where an event meets the one after it).

    Parameters
    ----------
    original, decoded : Digis or iterable of Digis
        The same events of the same detector; files larger than memory as blocks of events, for
        instance from `pixlab.iterate`, with blocks of one size for both.
    premixed : bool, optional
        Also compare after pre-mixing, which is what pile-up digis are for: each event, original
        or decoded, is laid over the next original one (the last over the first, an only event over
        an empty one), by `pixlab.premix`. None: where the detector's counts allow it.
    deep : bool
        Also make maps and measure distances in many dimensions (FPD, KPD, a classifier, and
        more): see ``Comparison.deep``. It takes some ten seconds, however many events there are.
    truth : Truth, optional
        What ``pixlab.simulate(…, truth=True)`` gave with the original digis, event by event: also
        measure hit residuals, track fits and seeds; see ``Comparison.resolution``.
    progress : callable, optional
        Called with the fraction done.

    Raises
    ------
    PixlabError
        If detectors or numbers of events differ, the truth is of other digis, or the detector's counts cannot be pre-mixed.

    Examples
    --------
    >>> from pixlab import Digis, compare
    >>> digis = Digis.from_arrays([0], [303042564], [5], [7], [100], detector="phase1")
    >>> comparison = compare(digis, digis)
    >>> float(comparison.table.loc["efficiency", "BPIX 1"])
    1.0
    >>> bool(comparison.passed("transparent"))
    True
    """
    chunks = same_events(original, decoded, progress)
    first = next(chunks, None)
    if first is None:
        raise PixlabError("there are no events to compare")
    chunks = chain([first], chunks)
    if premixed is None:
        premixed = premixable(first.original.detector)
    found: Comparison | None = None
    for chunk in with_partners(chunks) if premixed else chunks:
        before, after = cluster(chunk.original), cluster(chunk.decoded)
        part = Comparison(
            measure(before, after),
            Comparison(measure(*map(cluster, overlaid(chunk)))) if premixed else None,
            look(before, after) if deep else None,
            resolve(before, after, truth, chunk.first) if truth is not None else None,
        )
        found = part if found is None else found + part
    assert found is not None  # there is a first chunk
    if found.resolution is not None:
        found.resolution.check()
    if found.deep is not None:
        found = replace(found, deep=found.deep.settled(progress))
    return found


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """Original against decoded: made by `compare`, added over chunks with ``+``.

    Parameters
    ----------
    totals : Totals
        The sums and histograms that everything else is computed from.
    premixed : Comparison, optional
        The same after pre-mixing.
    deep : Deep, optional
        Maps, and distances in many dimensions.
    resolution : Resolution, optional
        Hits and tracks against the truth.
    """

    totals: Totals
    premixed: Comparison | None = None
    deep: Deep | None = None
    resolution: Resolution | None = None

    @property
    def detector(self) -> Detector:
        """The detector of both."""
        return self.totals.detector

    @property
    def n_events(self) -> int:
        """Number of events compared."""
        return self.totals.events

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers, and "all" at the end."""
        return (*self.detector.layers, "all")

    # -- numbers ----------------------------------------------------------------------------
    @cached_property
    def values(self) -> dict[str, NDArray[np.float64]]:
        """Each of `METRICS`: float64[layers + 1], all layers together last."""
        return {name: metric.value(self.totals) for name, metric in METRICS.items()}

    @cached_property
    def error_values(self) -> dict[str, NDArray[np.float64]]:
        """Error of each metric, as `pixlab.physics.errors` defines it: float64[layers + 1]."""
        return {name: error_of(self.totals, metric) for name, metric in METRICS.items()}

    @property
    def table(self) -> pandas.DataFrame:
        """Metrics (rows) by layers and "all" (columns); fractions, um and adc counts, no percent."""
        return tables.by_layer(self.values, self.layers)

    @property
    def errors(self) -> pandas.DataFrame:
        """The error of each number of `table`."""
        return tables.by_layer(self.error_values, self.layers)

    @property
    def nulls(self) -> pandas.DataFrame:
        """What two halves of the original give in place of `table`, for metrics that are distances.

        Halves are independent samples of half the size: a codec that keeps its events is far below.
        """
        halves = Halves(self.totals)
        return tables.by_layer(
            {name: metric.value(halves) for name, metric in METRICS.items() if metric.null},
            self.layers,
        )

    def distances(self) -> pandas.DataFrame:
        """Distance, error and null value for every spectrum: see `pixlab.physics.tables`."""
        return tables.distances(self.totals)

    def response(self) -> pandas.DataFrame:
        """Decoded over original cluster charge in each layer: mean, rms and quantiles."""
        return tables.response(self.totals)

    def shifts(self) -> pandas.DataFrame:
        """Barycentre shift (um) in each layer by cluster size: mean, rms and widths."""
        return tables.shifts(self.totals)

    # -- histograms -------------------------------------------------------------------------
    @cached_property
    def spectra(self) -> dict[str, hist.Hist]:
        """Each of `SPECTRA`, with axes ``source`` ("original", "decoded"), ``layer``, quantity."""
        return {name: to_hist(name, self.totals.counts[name], self.detector) for name in SPECTRA}

    @property
    def module_digis(self) -> NDArray[np.int64]:
        """Original and decoded digis of each module of the detector: int64[2, modules]."""
        return self.totals.modules

    # -- verdict ----------------------------------------------------------------------------
    def passed(
        self, tolerances: str | PathLike[str] | Mapping[str, float] | Tolerances = "transparent"
    ) -> Verdict:
        """Hold every layer, and all together, against tolerances.

        Parameters
        ----------
        tolerances : str, path, mapping or Tolerances
            Key in `TOLERANCES`, a TOML file, or limits of one's own: ``{"charge_mean": 0.01}``;
            see `Tolerances.of`.

        Returns
        -------
        Verdict
            True or false, with value, error and limit of each check, also after pre-mixing where
            that was compared. A layer without a digi in either sample is left out; a metric
            without a value (NaN) is outside.
        """
        limits = Tolerances.of(tolerances)
        checks = self._checks(limits)
        if self.premixed is not None:
            checks += self.premixed._checks(limits, "after pre-mixing")
        return Verdict(limits.name, checks)

    def _checks(self, limits: Tolerances, stage: str = "") -> tuple[Check, ...]:
        something = np.any(self.totals.something()[:, :-1], axis=0)
        layers = self.detector.layers
        return judge(self.values, self.error_values, layers, something, limits, stage)

    # -- adding and keeping -----------------------------------------------------------------
    def __add__(self, other: Comparison) -> Comparison:
        if not isinstance(other, Comparison):
            return NotImplemented
        premixed = deep = resolution = None
        if self.premixed is not None and other.premixed is not None:
            premixed = self.premixed + other.premixed
        if self.deep is not None and other.deep is not None:
            deep = self.deep + other.deep
        if self.resolution is not None and other.resolution is not None:
            resolution = self.resolution + other.resolution
        return Comparison(self.totals + other.totals, premixed, deep, resolution)

    def __eq__(self, other: object) -> bool:
        """Whether all counts are the same, also after pre-mixing; the rest does not matter."""
        if not isinstance(other, Comparison):
            return NotImplemented
        return self.totals == other.totals and self.premixed == other.premixed

    __hash__ = None  # type: ignore[assignment]

    def facts(self) -> dict[str, Any]:
        """What a program may want to read, as JSON knows it: metrics, errors, and what else there is.

        What is no number is None.
        """
        data: dict[str, Any] = {"detector": self.detector.name, "events": self.n_events}
        for name in ("table", "errors", "nulls"):
            data[name] = tables.plain(getattr(self, name).T.to_dict())
        if self.premixed is not None:
            data["premixed"] = self.premixed.facts()
        if self.deep is not None:
            data["deep"] = self.deep.to_dict()
        if self.resolution is not None:
            data["resolution"] = {
                "hits": tables.records(self.resolution.hit_table()),
                "tracks": tables.records(self.resolution.track_table()),
                "seeds": tables.records(self.resolution.seed_table()),
            }
        return data

    def to_dict(self) -> dict[str, Any]:
        """For JSON: ``table`` is for readers, `from_json` uses the rest."""
        data = {"pixlab_comparison": _VERSION, "table": tables.plain(self.table.T.to_dict())}
        data |= keeping.to_dict(self.totals)
        if self.premixed is not None:
            data["premixed"] = self.premixed.to_dict()
        if self.deep is not None:
            data["deep"] = self.deep.to_dict()
        if self.resolution is not None:
            data["resolution"] = self.resolution.to_dict()
        return data

    def to_json(self) -> str:
        """The whole comparison as text."""
        return json.dumps(self.to_dict(), separators=(",", ":"), allow_nan=False)

    @staticmethod
    def from_json(text: str) -> Comparison:
        """The comparison that `to_json` wrote.

        Raises
        ------
        FormatError
            If the text is none, or is damaged.
        """
        try:
            data: Any = json.loads(text)
        except (TypeError, ValueError, RecursionError) as error:
            raise FormatError("the text is not a comparison: it is not JSON") from error
        return _from_dict(data)

    # -- display ----------------------------------------------------------------------------
    def summary(
        self, tolerances: str | PathLike[str] | Mapping[str, float] | Tolerances = "transparent"
    ) -> str:
        """What is fine, what is not, and by how much, as plain text for a terminal."""
        return report.text(self, Tolerances.of(tolerances))

    def __repr__(self) -> str:
        return f"<Comparison {self.detector.name}: {self.n_events} events>"

    def _repr_html_(self) -> str:
        return report.html(self)


def _from_dict(data: Any) -> Comparison:
    if not isinstance(data, dict) or "pixlab_comparison" not in data:
        raise FormatError("the text is not a comparison")
    version = data["pixlab_comparison"]
    if version != _VERSION:
        older = isinstance(version, int) and version < _VERSION
        raise FormatError(
            f"the comparison was written by {'an older' if older else 'a newer'} pixlab",
            "compare again" if older else "update pixlab",
        )
    premixed = _from_dict(data["premixed"]) if data.get("premixed") is not None else None
    deep = Deep.from_dict(data["deep"]) if data.get("deep") is not None else None
    totals = keeping.from_dict(data)
    resolution = None
    if data.get("resolution") is not None:
        resolution = Resolution.from_dict(data["resolution"], totals.detector)
    return Comparison(totals, premixed, deep, resolution)
