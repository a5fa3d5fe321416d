"""What really happened in simulated events: particles, their crossings, and what they left."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pixlab.detectors import Detector
from pixlab.errors import FormatError, PixlabError
from pixlab.simulation.conditions import Conditions, per_layer

if TYPE_CHECKING:
    import pandas as pd

    from pixlab.clusters import Clusters
    from pixlab.simulation.event import Crossings, EventResult
    from pixlab.simulation.geometry import Geometry

__all__ = ["Truth", "truth_of"]

PARTICLES = {
    "event": np.int32,
    "pdg": np.int32,
    "charge": np.int8,
    "mass": np.float32,
    "vertex": np.int32,
    "parent": np.int32,
    "x": np.float64,
    "y": np.float64,
    "z": np.float64,
    "pt": np.float64,
    "phi": np.float64,
    "eta": np.float64,
}
CROSSINGS = {
    "event": np.int32,
    "particle": np.int32,
    "module": np.int32,
    "row": np.float64,
    "col": np.float64,
    "x": np.float64,
    "y": np.float64,
    "z": np.float64,
    "cot_row": np.float64,
    "cot_col": np.float64,
    "momentum": np.float64,
    "time": np.float64,
    "charge": np.float32,
}
LINKS = {"digi": np.int64, "crossing": np.int32, "charge": np.float32}
_TABLES: Mapping[str, Mapping[str, Any]] = {
    "particles": PARTICLES,
    "crossings": CROSSINGS,
    "links": LINKS,
}
UM = 1e-4  # a micrometre in cm


@dataclass(frozen=True, eq=False, repr=False)
class Truth:
    """Particles, crossings and links of simulated events; made by ``simulate(…, truth=True)``.

    Three tables, each a dict of arrays of one length. All energies are in GeV, lengths in cm but
    where said, charges of the silicon in electrons.

    Parameters
    ----------
    detector : Detector
        Where it happened.
    particles : mapping
        One entry a charged particle near the detector, by event: ``event`` (index), ``pdg``
        (number in the Particle Data Group's scheme), ``charge`` (1 or -1), ``mass``, ``vertex``
        (collision in the event), ``parent`` (index of the particle beside which a photon converted
        to this one, -1 for particles of the collision), ``x, y, z`` (origin), ``pt``, ``phi``
        and ``eta`` (momentum there). The field is 3.8 T along z, so that a positive charge turns
        clockwise, with a radius of ``pt / (0.299792458 * 3.8)`` metres.
    crossings : mapping
        One entry for each crossing of a particle through the middle plane of a module, by event
        and particle, along the particle's way: ``event``, ``particle`` (index), ``module`` (index
        into the detector's table), ``row, col`` (where, in pixels, like the barycentres of
        `Clusters`: the centre of pixel ``i`` is at ``i + 0.5``), ``x, y, z`` (where, global),
        ``cot_row, cot_col`` (direction: way along rows and columns for each unit of way along the
        module's normal, ``axis_row x axis_col``), ``momentum``, ``time`` (ns since the particle
        was made), ``charge`` (electrons that reached pixels, those below threshold too).
    links : mapping
        One entry for each crossing that left charge in a digi, by digi: ``digi`` (index into the
        digis simulated with this truth), ``crossing`` (index), ``charge`` (before noise). Every
        digi has one at least: no pixel is read out for its noise alone.
    lorentz_shift : float64[modules, 2]
        Mean displacement of charge along rows and columns on its way to the pixels, um. What
        reconstruction takes from a measured position to find the crossing: see `expected`.
    """

    detector: Detector
    particles: Mapping[str, NDArray[Any]]
    crossings: Mapping[str, NDArray[Any]]
    links: Mapping[str, NDArray[Any]]
    lorentz_shift: NDArray[np.float64]

    def __repr__(self) -> str:
        return (
            f"<Truth {self.detector.name}: {len(self.particles['pdg']):,} particles, "
            f"{len(self.crossings['module']):,} crossings, {len(self.links['digi']):,} links>"
        )

    @cached_property
    def n_digis(self) -> int:
        """Number of digis that the links speak of, up to the last one that has any."""
        return int(self.links["digi"][-1]) + 1 if len(self.links["digi"]) else 0

    def of_digis(self, n_digis: int) -> NDArray[np.int64]:
        """The crossing that left most of the charge in each digi, -1 for none: int64[n_digis]."""
        order = np.lexsort([self.links["charge"], self.links["digi"]])
        found = np.full(n_digis, -1, np.int64)
        found[self.links["digi"][order]] = self.links["crossing"][order]  # the last one stays
        return found

    def of_clusters(self, clusters: Clusters) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The crossing that left most of the charge in each cluster, and its part of that charge.

        Parameters
        ----------
        clusters : Clusters
            Of the digis that were simulated with this truth, or of others with the same hit map.

        Returns
        -------
        crossing : int64[clusters]
            -1 where no link leads to.
        purity : float64[clusters]
            1 where no other particle had a part in it.

        Raises
        ------
        PixlabError
            If the clusters are of other digis.
        """
        if len(clusters.label) < self.n_digis:
            raise PixlabError(
                f"the clusters are of {len(clusters.label)} digis, the truth of {self.n_digis}",
                "give the clusters of the digis that came with it",
            )
        label = clusters.label[self.links["digi"]]
        used = label >= 0
        many = max(len(self.crossings["module"]), 1)
        pair = label[used].astype(np.int64) * many + self.links["crossing"][used]
        pairs, at = np.unique(pair, return_inverse=True)
        charge = np.bincount(at, weights=self.links["charge"][used], minlength=len(pairs))
        of, crossing = pairs // many, pairs % many
        total = np.bincount(of, weights=charge, minlength=len(clusters))
        found, purity = np.full(len(clusters), -1, np.int64), np.zeros(len(clusters))
        order = np.lexsort([charge, of])
        found[of[order]] = crossing[order]
        with np.errstate(invalid="ignore"):
            purity[of[order]] = (charge / total[of])[order]
        return found, purity

    def expected(self, crossing: NDArray[np.int64]) -> NDArray[np.float64]:
        """Where the charge of crossings is collected, in pixels: float64[n, 2] of row and column.

        That is the crossing, displaced by the drift in the field: what a barycentre measures.
        """
        module = self.crossings["module"][crossing]
        out = np.empty((len(module), 2))
        which = self.detector.sensor[module]
        for k, (name, sizes) in enumerate((("row", "row_sizes"), ("col", "col_sizes"))):
            at = self.crossings[name][crossing]
            for i, sensor in enumerate(self.detector.sensors):
                edge = _edges(getattr(sensor, sizes))
                here = which == i
                um = np.interp(at[here], np.arange(len(edge)), edge)
                um += self.lorentz_shift[module[here], k]
                out[here, k] = np.interp(um, edge, np.arange(len(edge)))
        return out

    def to_pandas(self) -> dict[str, pd.DataFrame]:
        """The tables ``particles``, ``crossings`` and ``links`` as data frames."""
        import pandas as pd

        names = ("particles", "crossings", "links")
        return {name: pd.DataFrame(dict(getattr(self, name))) for name in names}

    # -- files --------------------------------------------------------------------------------
    def save(self, path: str | PathLike[str]) -> None:
        """Write a NumPy archive with the arrays ``particles.pt``, ``crossings.row`` and so on."""
        from pixlab.io.files import atomic

        arrays = {
            f"{table}.{name}": values
            for table in _TABLES
            for name, values in getattr(self, table).items()
        }
        with atomic(path) as temporary, temporary.open("wb") as handle:
            np.savez_compressed(
                handle,
                detector=np.array(json.dumps(self.detector.to_json())),
                lorentz_shift=self.lorentz_shift,
                **arrays,
            )

    @staticmethod
    def load(path: str | PathLike[str]) -> Truth:
        """Read what `save` wrote.

        Raises
        ------
        FormatError
            If the file is missing, damaged or of another kind.
        """
        from pixlab.io.files import boundary
        from pixlab.io.npz import detector_of, load_arrays

        path = Path(path)
        with boundary(path):
            arrays = load_arrays(path)
            if "detector" not in arrays or "lorentz_shift" not in arrays:
                raise FormatError("the archive holds no truth", "pixlab simulate --truth makes one")
            detector = detector_of(arrays["detector"])
            truth = Truth(
                detector,
                **{table: _table(table, columns, arrays) for table, columns in _TABLES.items()},
                lorentz_shift=arrays["lorentz_shift"],
            )
            truth._check()
        return truth

    def _check(self) -> None:
        """Refuse indices that point nowhere."""
        sizes = {name: len(next(iter(getattr(self, name).values()))) for name in _TABLES}
        digi = self.links["digi"]
        if (
            _outside(self.crossings["particle"], 0, sizes["particles"])
            or _outside(self.crossings["module"], 0, len(self.detector))
            or _outside(self.particles["parent"], -1, sizes["particles"])
            or _outside(self.links["crossing"], 0, sizes["crossings"])
            or (len(digi) and (digi[0] < 0 or (np.diff(digi) < 0).any()))
            or self.lorentz_shift.shape != (len(self.detector), 2)
        ):
            raise FormatError("the tables of the truth do not fit together", "simulate it again")


def truth_of(detector: Detector, conditions: Conditions, results: list[EventResult]) -> Truth:
    """The truth of simulated events, their indices counted on from event to event."""
    from pixlab.simulation import particles as p
    from pixlab.simulation.geometry import geometry_of

    geometry = geometry_of(detector, conditions)
    tables: dict[str, dict[str, list[NDArray[Any]]]] = {
        table: {name: [np.zeros(0, kind)] for name, kind in columns.items()}
        for table, columns in _TABLES.items()
    }
    n_particles = n_crossings = n_digis = 0
    for event, result in enumerate(results):
        tracks, met, links = result.particles, result.crossings, result.links
        assert tracks is not None
        assert met is not None
        assert links is not None
        parent = tracks[:, p.PARENT]
        columns = {
            "particles": {
                "event": np.full(len(tracks), event),
                "pdg": tracks[:, p.PDG],
                "charge": tracks[:, p.Q],
                "mass": tracks[:, p.MASS],
                "vertex": tracks[:, p.VERTEX],
                "parent": np.where(parent < 0, -1, parent + n_particles),
                **dict(zip("xyz", tracks[:, [p.X, p.Y, p.Z]].T, strict=True)),
                "pt": tracks[:, p.PT],
                "phi": tracks[:, p.PHI],
                "eta": np.arcsinh(tracks[:, p.TANL]),
            },
            "crossings": {
                "event": np.full(len(met.module), event),
                "particle": met.particle + n_particles,
                "module": met.module,
                **_places(detector, geometry, met),
                "cot_row": met.local[:, 2] / met.local[:, 4],
                "cot_col": met.local[:, 3] / met.local[:, 4],
                "momentum": met.momentum,
                "time": met.time,
                "charge": met.charge,
            },
            "links": {
                "digi": links.digi + n_digis,
                "crossing": links.crossing + n_crossings,
                "charge": links.charge,
            },
        }
        for table, parts in columns.items():
            for name, values in parts.items():
                tables[table][name].append(values.astype(_TABLES[table][name]))
        n_particles += len(tracks)
        n_crossings += len(met.module)
        n_digis += len(result.pixel)
    joined = {
        table: {name: np.concatenate(parts) for name, parts in columns.items()}
        for table, columns in tables.items()
    }
    # charge starts on average in the middle of the sensor
    thickness = per_layer(conditions.thickness, detector)[detector.layer]
    return Truth(detector, **joined, lorentz_shift=geometry.drift * thickness[:, None] / 2)


def _places(detector: Detector, geometry: Geometry, met: Crossings) -> dict[str, NDArray[Any]]:
    """Where crossings are, in pixels of their module and globally."""
    found = {name: np.empty(len(met.module)) for name in ("row", "col")}
    kind = detector.sensor[met.module]
    for i in range(len(detector.sensors)):
        for k, name in enumerate(found):
            edge = geometry.edge[i, k, : geometry.pixels[i, k] + 1]
            here = kind == i
            found[name][here] = np.interp(met.local[here, k], edge, np.arange(len(edge)))
    at = (
        geometry.position[met.module]
        + UM * met.local[:, :1] * geometry.axis_row[met.module]
        + UM * met.local[:, 1:2] * geometry.axis_col[met.module]
    )
    return found | dict(zip("xyz", at.T, strict=True))


def _edges(sizes: NDArray[np.float64]) -> NDArray[np.float64]:
    edges = np.concatenate([[0.0], np.cumsum(sizes)])
    return edges - edges[-1] / 2


def _outside(index: NDArray[Any], low: int, stop: int) -> bool:
    return bool(len(index) and (index.min() < low or index.max() >= stop))


def _table(
    table: str, columns: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]
) -> dict[str, NDArray[Any]]:
    found: dict[str, NDArray[Any]] = {}
    for name, kind in columns.items():
        values = arrays.get(f"{table}.{name}")
        if values is None or values.dtype != kind:
            raise FormatError(f"the archive has no array '{table}.{name}'", "simulate it again")
        if values.ndim != 1 or any(values.shape != other.shape for other in found.values()):
            raise FormatError(f"'{table}.{name}' has another length", "simulate it again")
        found[name] = values
    return found
