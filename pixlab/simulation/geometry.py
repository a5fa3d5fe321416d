"""The module planes as flat arrays, the form in which the compiled tracking reads them."""

from __future__ import annotations

from itertools import pairwise, permutations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pixlab.detectors import Detector
from pixlab.errors import PixlabError
from pixlab.simulation.conditions import Conditions

__all__ = ["FIELD", "UM", "Geometry", "geometry_of"]

FIELD = 3.8  # tesla, along z; CMS, JINST 3 (2008) S08004
UM = 1e-4  # a micrometre in cm


LUMINOUS = 15.0  # cm: collisions are nearer to the centre than that


class Geometry(NamedTuple):
    """Planes of the barrel ladders and of the forward modules, and the pixel grid of each sensor.

    A barrel ladder is one plane, ``x normal_x + y normal_y = distance``. Forward modules are found
    by their ring, then by azimuth. Lengths along rows and columns are in um, positions in cm.
    """

    max_eta: float  # of particles that reach a module
    # barrel layers
    layer_ladders: NDArray[np.int64]  # [layers + 1] into the ladders
    layer_radius: NDArray[np.float64]  # [layers, 2], smallest and largest
    layer_reach: NDArray[np.float64]  # [layers] largest half angle that a ladder covers
    # ladders, by layer and azimuth
    ladder_normal: NDArray[np.float64]  # [ladders, 2], pointing outwards
    ladder_distance: NDArray[np.float64]
    ladder_phi: NDArray[np.float64]
    ladder_share: NDArray[np.float64]  # [ladders, 2] half way to the neighbours in azimuth
    ladder_half: NDArray[np.float64]  # [ladders, 2] half width and half length of a module, um
    ladder_modules: NDArray[np.int64]  # [ladders + 1] into ladder_module
    ladder_module: NDArray[np.int64]  # indices of modules, by rising z
    # rings of forward modules
    ring_z: NDArray[np.float64]
    ring_radius: NDArray[np.float64]  # [rings, 2], smallest and largest
    ring_share: NDArray[np.float64]  # [rings, 2] radii half way to the other rings of the disk
    ring_reach: NDArray[np.float64]  # [rings] largest half angle that a module covers
    ring_first: NDArray[np.int64]  # [rings + 1] into ring_phi and ring_module
    ring_phi: NDArray[np.float64]  # rising inside a ring
    ring_module: NDArray[np.int64]
    # modules
    layer: NDArray[np.int64]
    sensor: NDArray[np.int64]
    position: NDArray[np.float64]  # [modules, 3]
    axis_row: NDArray[np.float64]
    axis_col: NDArray[np.float64]
    normal: NDArray[np.float64]
    drift: NDArray[np.float64]  # [modules, 2] sideways along rows and columns for each um of drift
    # pixel grids: every pixel edge lies on a fine grid
    grid: NDArray[np.float64]  # [sensors, 2] its step along rows and columns
    half: NDArray[np.float64]  # [sensors, 2] half the size of the matrix along rows and columns
    pixels: NDArray[np.int64]  # [sensors, 2] rows and columns
    at: NDArray[np.int64]  # [sensors, 2, ...] row and column of each cell of the fine grid
    edge: NDArray[np.float64]  # [sensors, 2, ...] lower edges from the centre, last upper edge


def geometry_of(detector: Detector, conditions: Conditions) -> Geometry:
    """The planes of a detector with a barrel and disks.

    Raises
    ------
    PixlabError
        If pixels are not multiples of a grid.
    """
    normal = np.cross(detector.axis_row, detector.axis_col)
    grids = [(_cells(s.row_sizes), _cells(s.col_sizes)) for s in detector.sensors]
    half = np.array([[edge[-1] for _, _, edge in grid] for grid in grids])
    rings = _rings(detector, half)
    steepest = (np.abs(rings["ring_z"]) + LUMINOUS) / rings["ring_radius"][:, 0]
    return Geometry(
        max_eta=float(np.arcsinh(steepest.max())),
        **_barrel(detector, normal, half),
        **rings,
        layer=detector.layer.astype(np.int64),
        sensor=detector.sensor.astype(np.int64),
        position=np.array(detector.position),
        axis_row=np.array(detector.axis_row),
        axis_col=np.array(detector.axis_col),
        normal=normal,
        drift=_drift(detector, normal, conditions),
        grid=np.array([[step for step, _, _ in grid] for grid in grids]),
        half=half,
        pixels=np.array([(s.rows, s.cols) for s in detector.sensors]),
        at=_padded([at for grid in grids for _, at, _ in grid]),
        edge=_padded([edge for grid in grids for _, _, edge in grid]),
    )


def _cells(sizes: NDArray[np.float64]) -> tuple[float, NDArray[np.int64], NDArray[np.float64]]:
    """Step of the fine grid, pixel of each of its cells, edges of the pixels."""
    step = float(sizes.min())
    cells = sizes / step
    if not np.array_equal(cells, np.rint(cells)):
        raise PixlabError(f"a pixel size is no multiple of {step:g} um", "it cannot be simulated")
    edges = np.concatenate([[0.0], np.cumsum(sizes)])
    at = np.repeat(np.arange(len(sizes)), cells.astype(np.int64))
    return step, at, edges - edges[-1] / 2


def _padded(parts: list[NDArray]) -> NDArray:
    """Arrays for rows and columns in turn, as one of shape [sensors, 2, longest]."""
    longest = max(map(len, parts))
    return np.stack([np.pad(p, (0, longest - len(p)), mode="edge") for p in parts]).reshape(
        -1, 2, longest
    )


def _drift(
    detector: Detector, normal: NDArray[np.float64], conditions: Conditions
) -> NDArray[np.float64]:
    """Electrons move along the normal and are pushed along -(normal x field)."""
    push = -conditions.lorentz * FIELD * np.cross(normal, [0.0, 0.0, 1.0])
    row, col = (np.sum(push * axis, axis=1) for axis in (detector.axis_row, detector.axis_col))
    if conditions.forward_row_drift is not None:
        forward = detector.side != 0
        # with the spread that the inclination of the blades gives to tracks from the collision
        inclined = -np.sign(detector.axis_row[:, 2] * normal[:, 2])
        row[forward] = conditions.forward_row_drift * inclined[forward]
        col[forward] = 0.0
    return np.stack([row, col], axis=1)


def _azimuth(position: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.arctan2(position[:, 1], position[:, 0])


def _barrel(
    detector: Detector, normal: NDArray[np.float64], half: NDArray[np.float64]
) -> dict[str, NDArray]:
    ladders, layers = [], [0]
    for layer in np.unique(detector.layer[detector.side == 0]):
        here = np.flatnonzero(detector.layer == layer)
        found = [here[detector.ladder[here] == k] for k in np.unique(detector.ladder[here])]
        found.sort(key=lambda m: float(_azimuth(detector.position[m[:1]])[0]))
        ladders += [m[np.argsort(detector.position[m, 2])] for m in found]
        layers.append(len(ladders))
    first = np.array([m[0] for m in ladders])
    distance = np.sum(detector.position[first, :2] * normal[first, :2], axis=1)
    outwards = normal[first, :2] * np.sign(distance)[:, None]
    size = half[detector.sensor[first]]
    phi = _azimuth(detector.position[first])
    # corners of a ladder seen from the beam
    sides = [
        detector.position[first] + s * UM * size[:, :1] * detector.axis_row[first] for s in (-1, 1)
    ]
    angle = np.max([np.abs(_turn(_azimuth(corner) - phi)) for corner in sides], axis=0)
    corner = np.max([np.hypot(c[:, 0], c[:, 1]) for c in sides], axis=0)
    share, radius, reach = [], [], []
    for begin, end in pairwise(layers):
        own = phi[begin:end]
        share.append(np.stack([_turn(own - np.roll(own, 1)), _turn(np.roll(own, -1) - own)], 1) / 2)
        radius.append((np.abs(distance[begin:end]).min(), corner[begin:end].max()))
        reach.append(angle[begin:end].max())
    return {
        "layer_ladders": np.array(layers),
        "layer_radius": np.array(radius),
        "layer_reach": np.array(reach),
        "ladder_normal": outwards,
        "ladder_distance": np.abs(distance),
        "ladder_phi": phi,
        "ladder_share": np.concatenate(share),
        "ladder_half": size,
        "ladder_modules": np.cumsum([0] + [len(m) for m in ladders]),
        "ladder_module": np.concatenate(ladders),
    }


def _turn(angle: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same angle between -pi and pi."""
    return (angle + np.pi) % (2 * np.pi) - np.pi


def _rings(detector: Detector, half: NDArray[np.float64]) -> dict[str, NDArray]:
    """Modules of each ring of each disk, by rising azimuth."""
    forward = np.flatnonzero(detector.side != 0)
    place = np.stack(
        [
            detector.side[forward].astype(np.float64),
            detector.layer[forward].astype(np.float64),
            detector.radius[forward].round(3),
        ]
    )
    _, ring = np.unique(place, axis=1, return_inverse=True)
    rings = [forward[ring == i] for i in range(int(ring.max(initial=-1)) + 1)]
    rings = [r[np.argsort(_azimuth(detector.position[r]))] for r in rings]
    size = np.array([half[detector.sensor[r[0]]] * UM for r in rings]).reshape(-1, 2)
    centre = np.array([detector.radius[r].mean() for r in rings])
    near, far = centre - size[:, 1], centre + size[:, 1]
    disk = [(detector.side[r[0]], detector.layer[r[0]]) for r in rings]
    share = np.tile([0.0, np.inf], (len(rings), 1))
    for i, j in permutations(range(len(rings)), 2):
        if disk[i] == disk[j]:
            half_way = (centre[i] + centre[j]) / 2
            if centre[j] > centre[i]:
                share[i, 1] = min(share[i, 1], half_way)
            else:
                share[i, 0] = max(share[i, 0], half_way)
    return {
        "ring_z": np.array([detector.position[r, 2].mean() for r in rings]),
        "ring_radius": np.stack([near, np.hypot(far, size[:, 0])], axis=1),
        "ring_share": share,
        "ring_reach": np.arctan(size[:, 0] / near),
        "ring_first": np.cumsum([0] + [len(r) for r in rings]),
        "ring_phi": _azimuth(detector.position[np.concatenate(rings)]),
        "ring_module": np.concatenate(rings),
    }
