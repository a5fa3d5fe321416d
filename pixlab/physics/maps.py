"""Where digis and clusters are: per module, per readout chip, per pixel, in space.

One sample at a time; the maps of chunks of events add up with ``+``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from pixlab.clusters import Clusters, cluster
from pixlab.detectors import Detector
from pixlab.digis import Digis
from pixlab.physics.groups import groups

if TYPE_CHECKING:
    import hist
    import pandas

__all__ = ["MAPS", "maps", "occupancy", "positions"]

# name -> what it counts
MAPS = {
    "module_digis": "digis of each module",
    "module_clusters": "clusters of each module",
    "module_charge": "electrons of the clusters of each module",
    "chip_digis": "digis of each readout chip of each module",
    "pixel_digis": "digis of each pixel, all modules of a layer on top of each other",
    "z_phi": "clusters of each barrel layer over z and azimuth",
    "x_y": "clusters of each disk over x and y",
}
_MOST_CELLS = 1 << 17  # of the pixel map of a layer; larger matrices share cells
_CM_Z, _CM_XY = 0.25, 0.25  # width of the bins in space
_PHI_BINS = 128


def maps(digis: Digis, clusters: Clusters | None = None) -> dict[str, hist.Hist]:
    """All `MAPS` of one sample.

    Parameters
    ----------
    digis : Digis
        Any number of events.
    clusters : Clusters, optional
        Those of the digis, if they are already known.

    Returns
    -------
    dict of hist.Hist
        With integer counts; divide by the number of events for means.

    Examples
    --------
    >>> from pixlab import Digis
    >>> from pixlab.physics import maps
    >>> maps(Digis.empty("phase1", 2))["pixel_digis"].axes.name
    ('layer', 'row', 'col')
    """
    import hist

    detector = digis.detector
    found = cluster(digis) if clusters is None else clusters
    module, n = digis.module, len(detector)
    ids = hist.axis.StrCategory([str(i) for i in detector.detid], name="module", overflow=False)
    charge = np.bincount(found.module, np.rint(found.charge), n)

    def filled(name: str, counts: NDArray, *axes: Any) -> Any:
        made: Any = hist.Hist(*axes, storage=hist.storage.Int64(), label=MAPS[name])
        made.view(flow=True)[...] = counts.reshape(made.view(flow=True).shape)
        return made

    chips = chips_of(detector)
    chip = _chip(digis)
    n_chips = int(chips.max(initial=1))
    rows, cols, cell = _pixel_grid(detector)
    pixel = (detector.layer[module].astype(np.int64) * rows + digis.row // cell) * cols
    pixel += digis.col // cell
    layers = hist.axis.StrCategory(list(detector.layers), name="layer", overflow=False)

    def plain(size: int, stop: int, name: str, label: str) -> Any:
        return hist.axis.Regular(
            size, 0, stop, name=name, label=label, underflow=False, overflow=False
        )

    result = {
        "module_digis": filled("module_digis", np.bincount(module, minlength=n), ids),
        "module_clusters": filled("module_clusters", np.bincount(found.module, minlength=n), ids),
        "module_charge": filled("module_charge", charge.astype(np.int64), ids),
        "chip_digis": filled(
            "chip_digis",
            np.bincount(module.astype(np.int64) * n_chips + chip, minlength=n * n_chips),
            ids,
            plain(n_chips, n_chips, "chip", "readout chip"),
        ),
        "pixel_digis": filled(
            "pixel_digis",
            np.bincount(pixel, minlength=len(detector.layers) * rows * cols),
            layers,
            plain(rows, rows * cell, "row", "row"),
            plain(cols, cols * cell, "col", "column"),
        ),
    }
    return result | _in_space(found, filled)


def positions(clusters: Clusters) -> NDArray[np.float64]:
    """Global position of each cluster's barycentre: float64[n, 3], cm."""
    return clusters.digis.detector.positions(clusters.module, clusters.row, clusters.col)


def _in_space(clusters: Clusters, filled: Any) -> dict[str, Any]:
    import hist

    detector = clusters.digis.detector
    forward = detector.side != 0
    places = {
        "z_phi": sorted(set(detector.layer[~forward].tolist())),
        "x_y": sorted(set(zip(detector.layer[forward], detector.side[forward], strict=True))),
    }
    names = {
        "z_phi": [detector.layers[i] for i in places["z_phi"]],
        "x_y": [f"{detector.layers[i]} {'+' if s > 0 else '-'}" for i, s in places["x_y"]],
    }
    layer, side = clusters.layer, detector.side[clusters.module]
    x, y, z = positions(clusters).T
    reach = max(
        (np.hypot(s.row_sizes.sum(), s.col_sizes.sum()) for s in detector.sensors), default=0
    )
    long = _up(np.abs(detector.position[:, 2]).max(initial=0.0) + reach * 1e-4)
    wide = _up(detector.radius.max(initial=0.0) + reach * 1e-4)
    axes = {
        "z_phi": [
            hist.axis.Regular(int(2 * long / _CM_Z), -long, long, name="z", label="z [cm]"),
            hist.axis.Regular(_PHI_BINS, -np.pi, np.pi, name="phi", label="azimuth [rad]"),
        ],
        "x_y": [
            hist.axis.Regular(int(2 * wide / _CM_XY), -wide, wide, name=k, label=f"{k} [cm]")
            for k in "xy"
        ],
    }
    values = {"z_phi": (z, np.arctan2(y, x)), "x_y": (x, y)}
    result = {}
    for name, where in places.items():
        if not where:
            continue
        first, second = axes[name]
        index = np.full((len(detector.layers), 3), -1)
        for i, place in enumerate(where):
            index[place if name == "x_y" else (place, 0)] = i
        own = index[layer, side]
        inside = own >= 0
        a, b = (
            axis.index(v[inside]) + 1 for axis, v in zip((first, second), values[name], strict=True)
        )
        shape = (len(where), first.extent, second.extent)
        flat = (own[inside] * shape[1] + a) * shape[2] + b
        counts = np.bincount(flat, minlength=int(np.prod(shape)))
        category = hist.axis.StrCategory(names[name], name="layer", overflow=False)
        result[name] = filled(name, counts, category, first, second)
    return result


def _up(value: float) -> float:
    """To whole cm, at least one."""
    return float(max(np.ceil(value), 1.0))


def chips_of(detector: Detector) -> NDArray[np.int64]:
    """Number of readout chips of each module: int64[modules]; 1 where a matrix is not divided."""
    numbers = [np.prod(_chip_grid(s)) for s in detector.sensors]
    return np.array(numbers, np.int64)[detector.sensor]


def _chip_grid(sensor: Any) -> tuple[int, int]:
    if not sensor.chip_rows or not sensor.chip_cols:
        return 1, 1
    return -(-sensor.rows // sensor.chip_rows), -(-sensor.cols // sensor.chip_cols)


def _chip(digis: Digis) -> NDArray[np.int64]:
    """Readout chip of each digi, counted along columns, then rows."""
    detector = digis.detector
    grid = np.array(
        [(*_chip_grid(s), s.chip_rows, s.chip_cols) for s in detector.sensors], np.int64
    )
    _, across, rows, cols = grid.reshape(-1, 4)[detector.sensor[digis.module]].T
    divided = (rows > 0) & (cols > 0)
    safe_rows, safe_cols = np.maximum(rows, 1), np.maximum(cols, 1)
    chip = digis.row // safe_rows * across + digis.col // safe_cols
    return np.where(divided, chip, 0)


def _pixel_grid(detector: Detector) -> tuple[int, int, int]:
    """Rows and columns of the pixel map, and how many pixels of each side share a cell."""
    rows, cols = int(detector.rows.max(initial=1)), int(detector.cols.max(initial=1))
    cell = 1
    while -(-rows // cell) * -(-cols // cell) > _MOST_CELLS:
        cell += 1
    return -(-rows // cell), -(-cols // cell), cell


def occupancy(
    digis: Digis, by: Literal["layer", "ring", "module", "chip"] = "layer"
) -> pandas.DataFrame:
    """How much of the detector is hit.

    Parameters
    ----------
    digis : Digis
        Any number of events.
    by : {"layer", "ring", "module", "chip"}
        What a row of the table is.

    Returns
    -------
    DataFrame
        Index: the layer, ring or module, or module and chip. Columns: ``digis``, ``pixels`` and
        ``occupancy``, the mean share of the pixels that are hit in an event (NaN without events).
    """
    import pandas as pd

    detector = digis.detector
    pixels = detector.rows.astype(np.int64) * detector.cols
    if by == "chip":
        chips = chips_of(detector)
        first = np.concatenate([[0], np.cumsum(chips)])
        number = np.bincount(first[digis.module] + _chip(digis), minlength=first[-1])
        module = np.repeat(np.arange(len(detector)), chips)
        index: Any = pd.MultiIndex.from_arrays(
            [detector.detid[module], np.arange(first[-1]) - first[module]], names=["module", "chip"]
        )
        # chips at the end of a matrix that is no multiple of theirs are smaller
        area = np.concatenate([_chip_areas(detector.sensors[s]) for s in detector.sensor])
    else:
        of = groups(detector, by)
        number = np.bincount(of.of[digis.module], minlength=len(of.names))
        area = np.bincount(of.of, pixels, len(of.names)).astype(np.int64)
        index = pd.Index(detector.detid if by == "module" else of.names, name=by)
    share = number / np.where(area * len(digis) > 0, area * len(digis), np.nan)
    return pd.DataFrame({"digis": number, "pixels": area, "occupancy": share}, index=index)


def _chip_areas(sensor: Any) -> NDArray[np.int64]:
    down, across = _chip_grid(sensor)
    rows = np.diff(np.minimum(np.arange(down + 1) * (sensor.chip_rows or sensor.rows), sensor.rows))
    cols = np.diff(
        np.minimum(np.arange(across + 1) * (sensor.chip_cols or sensor.cols), sensor.cols)
    )
    return np.outer(rows, cols).ravel()
