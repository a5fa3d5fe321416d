"""Spectra of digis and clusters, per layer, ring or module, as integer counts and as `hist.Hist`.

Quantities and ranges are those of CMS DQM (``DQM/SiPixelPhase1Digis``, ``SiPixelPhase1Clusters``)
where it has them and they fit the detector; its own names and bins are in `pixlab.physics.dqm`.
Counts are plain integer arrays with an underflow and an overflow bin, so that chunks add up
exactly; `to_hist` dresses them for users.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pixlab.clusters import Clusters, cluster
from pixlab.detectors import Detector
from pixlab.digis import Digis
from pixlab.errors import PixlabError
from pixlab.physics.groups import By, Groups, groups
from pixlab.physics.neighbours import nearest

if TYPE_CHECKING:
    import hist

__all__ = ["AXES", "SPECTRA", "Entries", "Spectrum", "bins_of", "spectra", "to_hist"]

Counts = NDArray[np.int64]
_MANY = 1023  # counts beyond which an axis does not have a bin for each


class Entries(NamedTuple):
    """What a spectrum is filled with: event, module (table index) and value of each entry.

    An entry of a whole layer and event names the first module of the layer.
    """

    event: NDArray[np.integer]
    module: NDArray[np.integer]
    value: NDArray[Any]


@dataclass(frozen=True)
class Spectrum:
    """A quantity, how it is binned, and where its values come from.

    Parameters
    ----------
    label, unit : str
        What stands on the axis; the unit may be empty.
    entries : str
        What is counted.
    edges : function of a Detector
        Bin edges; a bin holds its lower edge and not its upper one.
    values : function of (Digis, Clusters, Groups)
        The entries; the groups matter for what is counted in each of them and event.
    whole : bool
        Whether values are whole numbers.
    merge : int
        So many bins are taken together where errors are computed.
    """

    label: str
    unit: str
    entries: str
    edges: Callable[[Detector], NDArray[np.float64]]
    values: Callable[[Digis, Clusters, Groups], Entries]
    whole: bool = True
    merge: int = 1

    @property
    def axis_label(self) -> str:
        """Label and unit."""
        return f"{self.label} [{self.unit}]" if self.unit else self.label


# -- axes -------------------------------------------------------------------------------------
def _charge_edges(detector: Detector) -> NDArray[np.float64]:
    """0 to 200 ke as in CMS DQM, or to six times the largest pixel where that is much less."""
    largest = 6e-3 * float(detector.electrons_table.max(initial=0.0))
    return np.linspace(0.0, _round_up(largest) if 0 < largest < 100.0 else 200.0, 101)


def _digi_charge_edges(detector: Detector) -> NDArray[np.float64]:
    """0 to the charge of the largest count that an 8-bit readout gives, or the detector's own."""
    top = 255 if detector.adc_max <= _MANY else detector.adc_max
    largest = 1e-3 * float(detector.electrons_table[:, : top + 1].max(initial=0.0))
    return np.linspace(0.0, _round_up(largest), 101)


def _round_up(value: float) -> float:
    """To one digit."""
    step = 10.0 ** np.floor(np.log10(value)) if value > 0 else 1.0
    return float(np.ceil(max(value, step) / step) * step)


def _adc_edges(detector: Detector) -> NDArray[np.float64]:
    """One count a bin to 300 as in CMS DQM, or to the detector's largest count if that is less."""
    if detector.adc_max <= _MANY:
        return np.arange(min(detector.adc_max + 1, 300) + 1, dtype=float)
    return np.linspace(0, detector.adc_max + 1, 301)


def _integer_edges(top: int, growth: float) -> Callable[[Detector], NDArray[np.float64]]:
    """Bins one wide at first, then wider by `growth` of their place: few bins for all occupancies."""
    edges = [0]
    while edges[-1] < top:
        edges.append(edges[-1] + max(1, int(edges[-1] * growth)))
    return lambda _: np.array(edges, float)


def _size_edges(_: Detector) -> NDArray[np.float64]:
    return np.arange(1.0, 51.0)


def _distance_edges(detector: Detector) -> NDArray[np.float64]:
    """Half a pixel to the diagonal of the largest module, in equal ratios."""
    pitch = min((min(s.pitch_row, s.pitch_col) for s in detector.sensors), default=1.0)
    across = max(
        (np.hypot(s.row_sizes.sum(), s.col_sizes.sum()) for s in detector.sensors), default=2
    )
    return np.concatenate([[0.0], np.geomspace(pitch / 2, max(across, pitch), 60)])


# -- values -----------------------------------------------------------------------------------
def _of_digis(value: Callable[[Digis], NDArray]) -> Callable[[Digis, Clusters, Groups], Entries]:
    return lambda d, c, g: Entries(d.event, d.module, value(d))


def _of_clusters(
    value: Callable[[Clusters], NDArray],
) -> Callable[[Digis, Clusters, Groups], Entries]:
    return lambda d, c, g: Entries(c.event, c.module, value(c))


def _neighbours(digis: Digis, clusters: Clusters, _: Groups) -> Entries:
    distance = nearest(clusters)
    known = np.isfinite(distance)
    return Entries(clusters.event[known], clusters.module[known], distance[known])


def _counted(what: str, in_modules: bool) -> Callable[[Digis, Clusters, Groups], Entries]:
    """Digis or clusters in each module, or in each group, and event; those without any included."""

    def values(digis: Digis, clusters: Clusters, of: Groups) -> Entries:
        frames = digis.frames
        sizes: NDArray[Any] = np.diff(frames.offsets)
        if what == "clusters":
            sizes = np.bincount(clusters.frame, minlength=len(frames.module))
        group: NDArray[Any] = frames.module
        first: NDArray[Any] = np.arange(len(digis.detector))
        if not in_modules:
            group, first = of.of[group], of.first
        n = len(first)
        number = np.bincount(frames.event * n + group, sizes, n * len(digis)).astype(np.int64)
        return Entries(np.repeat(np.arange(len(digis)), n), np.tile(first, len(digis)), number)

    return values


SPECTRA: dict[str, Spectrum] = {
    "charge": Spectrum(
        "cluster charge",
        "ke",
        "clusters",
        _charge_edges,
        _of_clusters(lambda c: c.charge / 1e3),
        whole=False,
        merge=4,
    ),
    "size": Spectrum(
        "cluster size", "pixels", "clusters", _size_edges, _of_clusters(lambda c: c.size)
    ),
    "size_row": Spectrum(
        "cluster size in rows",
        "pixels",
        "clusters",
        _size_edges,
        _of_clusters(lambda c: c.size_row),
    ),
    "size_col": Spectrum(
        "cluster size in columns",
        "pixels",
        "clusters",
        _size_edges,
        _of_clusters(lambda c: c.size_col),
    ),
    "adc": Spectrum(
        "digi charge", "adc counts", "digis", _adc_edges, _of_digis(lambda d: d.adc), merge=10
    ),
    "digi_charge": Spectrum(
        "digi charge",
        "ke",
        "digis",
        _digi_charge_edges,
        _of_digis(lambda d: d.electrons / 1e3),
        whole=False,
        merge=4,
    ),
    "occupancy": Spectrum(
        "digis per module and event",
        "",
        "modules x events",
        _integer_edges(70_000, 0.08),
        _counted("digis", in_modules=True),
        merge=2,
    ),
    "module_clusters": Spectrum(
        "clusters per module and event",
        "",
        "modules x events",
        _integer_edges(20_000, 0.08),
        _counted("clusters", in_modules=True),
        merge=2,
    ),
    "digis": Spectrum(
        "digis per layer and event",
        "",
        "events",
        _integer_edges(1_000_000, 0.05),
        _counted("digis", in_modules=False),
        merge=4,
    ),
    "clusters": Spectrum(
        "clusters per layer and event",
        "",
        "events",
        _integer_edges(300_000, 0.05),
        _counted("clusters", in_modules=False),
        merge=4,
    ),
    "neighbour": Spectrum(
        "distance to the nearest cluster",
        "um",
        "clusters",
        _distance_edges,
        _neighbours,
        whole=False,
        merge=3,
    ),
}


# cluster charge in steps of 0.5% from 1 e to 10^8 e, for distances that hardly depend on the bins
_FINE_STEP = 0.005
_FINE_EDGES = np.exp(_FINE_STEP * np.arange(np.ceil(np.log(1e8) / _FINE_STEP) + 1))
_FINE_CHARGE = Spectrum(
    "cluster charge", "electrons", "clusters", lambda _: _FINE_EDGES,
    _of_clusters(lambda c: c.charge), whole=False, merge=16,
)  # fmt: skip

# every histogram that a comparison keeps
AXES: dict[str, Spectrum] = SPECTRA | {"fine_charge": _FINE_CHARGE}


def bins_of(edges: NDArray[np.float64], values: NDArray) -> NDArray[np.int64]:
    """Place of values among the bins between edges: 0 is the underflow, ``len(edges)`` the overflow."""
    if values.dtype.kind in "iu" and np.array_equal(edges, np.arange(len(edges)) + edges[0]):
        # one whole number a bin: no need to search
        return np.clip(values.astype(np.int64) - (int(edges[0]) - 1), 0, len(edges))
    return np.searchsorted(edges, values, "right")


def to_hist(name: str, counts: Counts, detector: Detector, by: By = "layer") -> hist.Hist:
    """Counts of one spectrum as a histogram.

    Parameters
    ----------
    name : str
        Key in `SPECTRA`.
    counts : int64[groups, bins + 2] or int64[2, groups, bins + 2]
        One sample, or original and decoded.
    detector : Detector
        Of the sample.
    by : {"layer", "ring", "module"}
        What the groups are.

    Returns
    -------
    hist.Hist
        Axes ``source`` ("original", "decoded"; only with two samples), `by` and the quantity,
        called `name`.
    """
    import hist

    spectrum = SPECTRA[name]
    edges = spectrum.edges(detector)
    label = spectrum.axis_label
    quantity: Any
    if spectrum.whole and np.all(np.diff(edges) == 1):
        quantity = hist.axis.Integer(int(edges[0]), int(edges[-1]), name=name, label=label)
    elif np.allclose(np.diff(edges), edges[1] - edges[0]):
        quantity = hist.axis.Regular(len(edges) - 1, edges[0], edges[-1], name=name, label=label)
    else:
        quantity = hist.axis.Variable(edges, name=name, label=label)
    names = groups(detector, by).names
    axes: list[Any] = [hist.axis.StrCategory(list(names), name=by, overflow=False), quantity]
    if counts.ndim == 3:
        both = hist.axis.StrCategory(["original", "decoded"], name="source", overflow=False)
        axes.insert(0, both)
    result: Any = hist.Hist(*axes, storage=hist.storage.Int64(), label=spectrum.entries)
    result.view(flow=True)[...] = counts
    return result


def spectra(
    digis: Digis, *, by: By = "layer", names: Iterable[str] | None = None
) -> dict[str, hist.Hist]:
    """Spectra of one sample; those of chunks of events add up with ``+``.

    Parameters
    ----------
    digis : Digis
        Any number of events.
    by : {"layer", "ring", "module"}
        What the spectra are made for; see `pixlab.physics.groups`.
    names : iterable of str, optional
        Keys in `SPECTRA`; default: all.

    Returns
    -------
    dict of hist.Hist
        With axes called `by` and as the quantity.

    Raises
    ------
    PixlabError
        If a name or `by` is unknown.

    Examples
    --------
    >>> from pixlab import Digis
    >>> from pixlab.physics import spectra
    >>> spectra(Digis.empty("phase1", 2), by="ring")["charge"].axes.name
    ('ring', 'charge')
    """
    wanted = list(SPECTRA if names is None else names)
    for name in wanted:
        if name not in SPECTRA:
            raise PixlabError(f"there is no spectrum '{name}'", f"choose from {', '.join(SPECTRA)}")
    of, clusters = groups(digis.detector, by), cluster(digis)
    result = {}
    for name in wanted:
        edges = SPECTRA[name].edges(digis.detector)
        entries = SPECTRA[name].values(digis, clusters, of)
        place = of.of[entries.module] * (len(edges) + 1) + bins_of(edges, entries.value)
        counts = np.bincount(place, minlength=len(of.names) * (len(edges) + 1))
        result[name] = to_hist(name, counts.reshape(len(of.names), -1), digis.detector, by)
    return result
