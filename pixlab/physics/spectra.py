"""Spectra of digis and clusters, per layer, as integer counts and as `hist.Hist`.

Quantities and ranges are those of CMS DQM (``DQM/SiPixelPhase1Digis``, ``SiPixelPhase1Clusters``)
where it has them. Counts are plain integer arrays with an underflow and an overflow bin, so that
chunks add up exactly; `to_hist` dresses them for users.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pixlab.clusters import Clusters, cluster
from pixlab.detectors import Detector
from pixlab.digis import Digis

if TYPE_CHECKING:
    import hist

__all__ = ["SPECTRA", "Spectrum", "count", "spectra", "to_hist"]

Counts = NDArray[np.int64]


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
    values : function of (Digis, Clusters)
        Layer index and value of each entry.
    whole : bool
        Whether values are whole numbers.
    """

    label: str
    unit: str
    entries: str
    edges: Callable[[Detector], NDArray[np.float64]]
    values: Callable[[Digis, Clusters], tuple[NDArray[np.integer], NDArray[np.generic]]]
    whole: bool = True

    @property
    def axis_label(self) -> str:
        """Label and unit."""
        return f"{self.label} [{self.unit}]" if self.unit else self.label


def _charge_edges(detector: Detector) -> NDArray[np.float64]:
    """0 to 200 ke as in CMS DQM, or to six times the largest pixel where that is much less."""
    largest = 6e-3 * float(detector.electrons_table.max(initial=0.0))
    top = 200.0
    if 0 < largest < 100.0:
        step = 10.0 ** np.floor(np.log10(largest))
        top = float(np.ceil(largest / step) * step)
    return np.linspace(0.0, top, 101)


def _adc_edges(detector: Detector) -> NDArray[np.float64]:
    """One count a bin to 300 as in CMS DQM, or to the detector's largest count if that is less."""
    if detector.adc_max <= 1023:
        return np.arange(min(detector.adc_max + 1, 300) + 1, dtype=float)
    return np.linspace(0, detector.adc_max + 1, 301)


def _integer_edges(top: int, growth: float) -> NDArray[np.float64]:
    """Bins one wide at first, then wider by `growth` of their place: few bins for all occupancies."""
    edges = [0]
    while edges[-1] < top:
        edges.append(edges[-1] + max(1, int(edges[-1] * growth)))
    return np.array(edges, float)


def _size_edges(_: Detector) -> NDArray[np.float64]:
    return np.arange(1.0, 51.0)


def _digis_of_modules(digis: Digis, _: Clusters) -> tuple[NDArray, NDArray]:
    """Digis of each module in each event, modules without any included."""
    detector = digis.detector
    sizes = np.zeros((len(digis), len(detector)), np.int64)
    sizes[digis.frames.event, digis.frames.module] = np.diff(digis.frames.offsets)
    return np.tile(detector.layer, len(digis)), sizes.ravel()


def _digis_of_events(digis: Digis, _: Clusters) -> tuple[NDArray, NDArray]:
    """Digis of each layer in each event."""
    n = len(digis.detector.layers)
    layer = digis.detector.layer[digis.frames.module]
    place = digis.frames.event * n + layer
    sizes = np.bincount(place, np.diff(digis.frames.offsets), n * len(digis)).astype(np.int64)
    return np.tile(np.arange(n), len(digis)), sizes


SPECTRA: dict[str, Spectrum] = {
    "charge": Spectrum(
        "cluster charge",
        "ke",
        "clusters",
        _charge_edges,
        lambda d, c: (c.layer, c.charge / 1e3),
        whole=False,
    ),
    "size": Spectrum(
        "cluster size", "pixels", "clusters", _size_edges, lambda d, c: (c.layer, c.size)
    ),
    "size_row": Spectrum(
        "cluster size in rows",
        "pixels",
        "clusters",
        _size_edges,
        lambda d, c: (c.layer, c.size_row),
    ),
    "size_col": Spectrum(
        "cluster size in columns",
        "pixels",
        "clusters",
        _size_edges,
        lambda d, c: (c.layer, c.size_col),
    ),
    "adc": Spectrum(
        "digi charge",
        "adc counts",
        "digis",
        _adc_edges,
        lambda d, c: (d.detector.layer[d.module], d.adc),
    ),
    "occupancy": Spectrum(
        "digis per module and event",
        "",
        "modules x events",
        lambda _: _integer_edges(70_000, 0.08),
        _digis_of_modules,
    ),
    "digis": Spectrum(
        "digis per layer and event",
        "",
        "events",
        lambda _: _integer_edges(1_000_000, 0.05),
        _digis_of_events,
    ),
}


def count(digis: Digis, clusters: Clusters) -> dict[str, Counts]:
    """Entries of every spectrum: int64[layers, bins + 2], underflow first and overflow last."""
    n = len(digis.detector.layers)
    result = {}
    for name, spectrum in SPECTRA.items():
        edges = spectrum.edges(digis.detector)
        layer, values = spectrum.values(digis, clusters)
        place = layer.astype(np.int64) * (len(edges) + 1) + np.searchsorted(edges, values, "right")
        result[name] = np.bincount(place, minlength=n * (len(edges) + 1)).reshape(n, -1)
    return result


def to_hist(name: str, counts: Counts, detector: Detector) -> hist.Hist:
    """Counts of one spectrum as a histogram.

    Parameters
    ----------
    name : str
        Key in `SPECTRA`.
    counts : int64[layers, bins + 2] or int64[2, layers, bins + 2]
        One sample, or original and decoded.
    detector : Detector
        Of the sample.

    Returns
    -------
    hist.Hist
        Axes ``source`` ("original", "decoded"; only with two samples), ``layer`` and the quantity,
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
    axes: list[Any] = [
        hist.axis.StrCategory(list(detector.layers), name="layer", overflow=False),
        quantity,
    ]
    if counts.ndim == 3:
        both = hist.axis.StrCategory(["original", "decoded"], name="source", overflow=False)
        axes.insert(0, both)
    result: Any = hist.Hist(*axes, storage=hist.storage.Int64(), label=spectrum.entries)
    result.view(flow=True)[...] = counts
    return result


def spectra(digis: Digis) -> dict[str, hist.Hist]:
    """All `SPECTRA` of one sample, with axes ``layer`` and the quantity.

    Examples
    --------
    >>> from pixlab import Digis
    >>> from pixlab.physics import spectra
    >>> spectra(Digis.empty("phase1", 2))["charge"].axes.name
    ('layer', 'charge')
    """
    counts = count(digis, cluster(digis))
    return {name: to_hist(name, counts[name], digis.detector) for name in SPECTRA}
