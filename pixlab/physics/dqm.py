"""Histograms under the names and with the bins of CMS data quality monitoring.

``DQM/SiPixelPhase1Digis/python/SiPixelPhase1Digis_cfi.py``,
``DQM/SiPixelPhase1Clusters/python/SiPixelPhase1Clusters_cfi.py`` and, for what is booked where,
``DQM/SiPixelPhase1Common/python/HistogramManager_cfi.py`` in cms-sw/cmssw. Left out: what needs the
cabling (readout view, shells and signed ladders) and trends in time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pixlab.clusters import Clusters, cluster
from pixlab.detectors import Detector
from pixlab.digis import Digis
from pixlab.io.files import atomic
from pixlab.physics.maps import positions

if TYPE_CHECKING:
    import hist

__all__ = ["dqm", "write_root"]

TOP = "PixelPhase1/Phase1_MechanicalView"
_Bins = tuple[int, float, float]


@dataclass(frozen=True)
class _Plot:
    """Name, axis title, bins, and event, module and value of each entry."""

    name: str
    title: str
    bins: _Bins
    values: Callable[[Digis, Clusters], tuple[NDArray, NDArray]]


_PLOTS = (
    _Plot("adc", "adc readout", (300, 0, 300), lambda d, c: (d.module, d.adc)),
    _Plot("charge", "Charge (electrons)", (200, 0, 200e3), lambda d, c: (c.module, c.charge)),
    _Plot("size", "size[pixels]", (30, 0, 30), lambda d, c: (c.module, c.size)),
    _Plot("sizeX", "size[pixels]", (30, 0, 30), lambda d, c: (c.module, c.size_row)),
    _Plot("sizeY", "size[pixels]", (30, 0, 30), lambda d, c: (c.module, c.size_col)),
)
# per event: name, axis title, bins for a layer or disk, bins for the barrel, the disks, and both
_COUNTS: tuple[tuple[str, str, _Bins, _Bins, Callable[[Digis, Clusters], tuple]], ...] = (
    ("num_digis", "digis", (100, 0, 6000), (100, 0, 20000), lambda d, c: (d.event, d.module)),
    ("num_clusters", "clusters", (100, 0, 3000), (200, 0, 10000), lambda d, c: (c.event, c.module)),
)
_Z, _PHI, _XY = (600, -60, 60), (200, -3.2, 3.2), (200, -20, 20)
_ETA, _LENGTH = (40, -3.2, 3.2), (40, 0, 40)


def dqm(digis: Digis) -> dict[str, hist.Hist]:
    """Digi and cluster histograms of one sample; those of chunks of events add up with ``+``.

    Parameters
    ----------
    digis : Digis
        Any number of events of a detector with a barrel, disks, or both.

    Returns
    -------
    dict of hist.Hist
        Under their full names, for instance
        ``PixelPhase1/Phase1_MechanicalView/PXBarrel/charge_PXLayer_1``.
    """
    clusters = cluster(digis)
    where = _places(digis.detector)
    result: dict[str, Any] = {}
    for plot in _PLOTS:
        module, values = plot.values(digis, clusters)
        for place, own in where.items():
            if place == "PXAll":
                continue
            axis = _axis(plot.bins, plot.title)
            result[_path(plot.name, place)] = _hist(plot.name, [axis], values[own[module]])
    for name, title, single, whole, of in _COUNTS:
        event, module = of(digis, clusters)
        for place, own in where.items():
            counts = np.bincount(event[own[module]], minlength=len(digis))
            axis = _axis(single if "_" in place else whole, title)
            result[_path(name, place)] = _hist(name, [axis], counts)
    return result | _maps(clusters, where)


def _maps(clusters: Clusters, where: Mapping[str, NDArray[np.bool_]]) -> dict[str, Any]:
    x, y, z = positions(clusters).T
    phi = np.arctan2(y, x)
    eta = np.arcsinh(z / np.maximum(np.hypot(x, y), 1e-9))
    result = {}
    for place, own in where.items():
        at = own[clusters.module]
        if place.startswith("PXLayer"):
            name = "clusterposition_zphi"
            axes = [_axis(_Z, "Global Z"), _axis(_PHI, "Global \\phi")]
            result[_path(name, place)] = _hist(name, axes, z[at], phi[at])
        elif place.startswith("PXDisk") or place == "PXForward":
            name = "clusterposition_xy"
            axes = [_axis(_XY, "Global X"), _axis(_XY, "Global Y")]
            result[_path(name, place)] = _hist(name, axes, x[at], y[at])
        elif place == "PXBarrel":
            name = "sizeyvseta"
            axes = [_axis(_ETA, "Cluster #eta"), _axis(_LENGTH, "length [pixels]")]
            result[_path(name, place)] = _hist(name, axes, eta[at], clusters.size_col[at])
    return result


def _places(detector: Detector) -> dict[str, NDArray[np.bool_]]:
    """Modules of each place that DQM knows: bool[modules] under its name."""
    forward = detector.side != 0
    found = {}
    for i, layer in enumerate(np.unique(detector.layer[~forward]).tolist()):
        found[f"PXLayer_{i + 1}"] = ~forward & (detector.layer == layer)
    for side, sign in ((-1, "-"), (1, "+")):
        own = np.sign(detector.side) == side
        for i, layer in enumerate(np.unique(detector.layer[own]).tolist()):
            found[f"PXDisk_{sign}{i + 1}"] = own & (detector.layer == layer)
    found |= {"PXBarrel": ~forward} if not forward.all() else {}
    found |= {"PXForward": forward} if forward.any() else {}
    return found | {"PXAll": np.ones(len(detector), bool)}


def _path(name: str, place: str) -> str:
    part = {"PXLayer": "PXBarrel/", "PXDisk": "PXForward/"}.get(place.partition("_")[0], "")
    return f"{TOP}/{part}{name}_{place}"


def _axis(bins: _Bins, title: str) -> Any:
    import hist

    return hist.axis.Regular(*bins, label=title)


def _hist(name: str, axes: list[Any], *values: NDArray) -> Any:
    import hist

    made: Any = hist.Hist(*axes, storage=hist.storage.Double(), label=name)
    return made.fill(*(np.asarray(v, float) for v in values))


def write_root(path: str | PathLike[str], samples: Mapping[str, Mapping[str, hist.Hist]]) -> None:
    """Write histograms to a ROOT file, each sample in a folder of its name.

    Parameters
    ----------
    path : path
        Written to a temporary name, then renamed.
    samples : mapping
        For instance ``{"original": dqm(original), "decoded": dqm(decoded)}``.
    """
    import uproot

    with atomic(Path(path)) as temporary, uproot.recreate(temporary) as file:
        for sample, found in samples.items():
            for name, histogram in found.items():
                file[f"{sample}/{name}"] = histogram
