"""The module planes as flat arrays, the form in which the compiled tracking reads them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pixlab.detectors import Detector
from pixlab.errors import PixlabError

__all__ = ["FIELD", "Geometry", "geometry_of"]

FIELD = 3.8  # tesla, along z; CMS, JINST 3 (2008) S08004
# tan(Lorentz angle) per tesla, SimGeneral/MixingModule/python/SiPixelSimParameters_cfi.py
LORENTZ = 0.106
# In the disks of the reference data the drift is along rows: its tangent is calibrated on their
# cluster sizes. In CMS the drift is there along columns (radial) with tangent 0.14
FORWARD_DRIFT = 0.17
_CM = 1e-4  # of a micrometre
_GRID = 50.0  # um: every pixel edge lies on it


class Geometry(NamedTuple):
    """Planes of the barrel ladders and of the forward modules, and the pixel grid they share.

    A barrel ladder is one plane, ``x normal_x + y normal_y = distance``; its modules follow one
    another in the module table. Forward modules are found by their ring, then by azimuth. Lengths
    along rows and columns are in um, positions in cm.
    """

    # ladders
    ladder_normal: NDArray[np.float64]  # [ladders, 2]
    ladder_distance: NDArray[np.float64]
    ladder_first: NDArray[np.int64]  # index of the first module of each ladder, by rising z
    ladder_layer: NDArray[np.int64]
    ladder_module_z: NDArray[np.float64]  # [modules of a ladder]
    # rings of forward modules
    ring_z: NDArray[np.float64]
    ring_radius: NDArray[np.float64]  # [rings, 2], smallest and largest
    ring_first: NDArray[np.int64]  # [rings + 1] into ring_phi and ring_module
    ring_phi: NDArray[np.float64]  # rising inside a ring
    ring_module: NDArray[np.int64]
    # modules
    layer: NDArray[np.int64]
    position: NDArray[np.float64]  # [modules, 3]
    axis_row: NDArray[np.float64]
    axis_col: NDArray[np.float64]
    normal: NDArray[np.float64]
    drift: NDArray[np.float64]  # [modules, 2] sideways along rows and columns for each um of drift
    # pixel grid
    grid: float
    half_row: float  # half the size of the matrix along rows
    half_col: float
    row_at: NDArray[np.int64]  # row of each cell of the fine grid
    col_at: NDArray[np.int64]
    row_edge: NDArray[np.float64]  # lower edge of each row from the centre, and the last upper edge
    col_edge: NDArray[np.float64]


def geometry_of(detector: Detector) -> Geometry:
    """The planes of a detector of one kind of sensor, with a barrel and disks.

    Raises
    ------
    PixlabError
        If the detector has several kinds of sensor or pixels off the common grid.
    """
    if len(detector.sensors) != 1:
        raise PixlabError(
            f"detector '{detector.name}' has {len(detector.sensors)} kinds of sensor",
            "only detectors with one kind can be simulated",
        )
    sensor = detector.sensors[0]
    row_at, row_edge = _cells(sensor.row_sizes)
    col_at, col_edge = _cells(sensor.col_sizes)
    normal = np.cross(detector.axis_row, detector.axis_col)
    barrel = np.flatnonzero(detector.side == 0)
    starts = barrel[detector.module[barrel] == 1]
    per_ladder = int(detector.module[barrel].max())
    rings = _rings(detector)
    return Geometry(
        ladder_normal=np.ascontiguousarray(normal[starts, :2]),
        ladder_distance=np.sum(detector.position[starts] * normal[starts], axis=1),
        ladder_first=starts.astype(np.int64),
        ladder_layer=detector.layer[starts].astype(np.int64),
        ladder_module_z=detector.position[starts[0] : starts[0] + per_ladder, 2].copy(),
        ring_z=np.array([detector.position[r, 2].mean() for r in rings]),
        ring_radius=np.array([_reach(detector, r, row_edge[-1], col_edge[-1]) for r in rings]),
        ring_first=np.cumsum([0] + [len(r) for r in rings]).astype(np.int64),
        ring_phi=np.concatenate([_phi(detector)[r] for r in rings]),
        ring_module=np.concatenate(rings).astype(np.int64),
        layer=detector.layer.astype(np.int64),
        position=np.array(detector.position),
        axis_row=np.array(detector.axis_row),
        axis_col=np.array(detector.axis_col),
        normal=normal,
        drift=_drift(detector, normal),
        grid=_GRID,
        half_row=float(row_edge[-1]),
        half_col=float(col_edge[-1]),
        row_at=row_at,
        col_at=col_at,
        row_edge=row_edge,
        col_edge=col_edge,
    )


def _cells(sizes: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    cells = sizes / _GRID
    if not np.array_equal(cells, np.rint(cells)):
        raise PixlabError(
            f"a pixel size is no multiple of {_GRID:.0f} um", "it cannot be simulated"
        )
    edges = np.concatenate([[0.0], np.cumsum(sizes)])
    at = np.repeat(np.arange(len(sizes)), cells.astype(np.int64))
    return at.astype(np.int64), edges - edges[-1] / 2


def _drift(detector: Detector, normal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Electrons move along the normal and are pushed along -(normal x field)."""
    push = -LORENTZ * FIELD * np.cross(normal, [0.0, 0.0, 1.0])
    row, col = (np.sum(push * axis, axis=1) for axis in (detector.axis_row, detector.axis_col))
    forward = detector.side != 0
    # with the spread that the inclination of the blades gives to tracks from the collision
    row[forward] = -FORWARD_DRIFT * np.sign(detector.axis_row[:, 2] * normal[:, 2])[forward]
    col[forward] = 0.0
    return np.stack([row, col], axis=1)


def _phi(detector: Detector) -> NDArray[np.float64]:
    return np.arctan2(detector.position[:, 1], detector.position[:, 0])


def _rings(detector: Detector) -> list[NDArray[np.int64]]:
    """Modules of each ring of each disk, by rising azimuth."""
    forward = np.flatnonzero(detector.side != 0)
    radius = np.round(detector.radius[forward], 3)
    key = np.stack([detector.side[forward], detector.layer[forward], radius])
    _, ring = np.unique(key, axis=1, return_inverse=True)
    rings = [forward[ring == i] for i in range(int(ring.max(initial=-1)) + 1)]
    return [r[np.argsort(_phi(detector)[r])] for r in rings]


def _reach(
    detector: Detector, ring: NDArray[np.int64], half_row: float, half_col: float
) -> tuple[float, float]:
    """Smallest and largest radius at which a ring of modules can be hit, cm."""
    centre = float(detector.radius[ring].mean())
    return centre - half_col * _CM, float(np.hypot(centre + half_col * _CM, half_row * _CM))
