"""What the prediction of hits knows of a detector: integer tables, stored with a model.

`describe` makes the tables of a detector whose modules are where `Geometry` says; `make_planes`
turns stored tables into what the kernels read, with integer arithmetic only, so that encoder and
decoder agree on every machine. A detector without positions has one surface, and nothing to
predict.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pixlab.coding.tracking.helix import ONE, azimuth, isqrt
from pixlab.detectors import Detector
from pixlab.errors import FormatError

__all__ = ["CLASSES", "PLACES", "TILT", "Geometry", "Planes", "describe", "make_planes"]

Array = NDArray[Any]

PLACES = 16  # kinds of surface: eight of the barrel, eight of the disks
CLASSES = 8 * PLACES  # of modules that are alike
ANGLES = 128  # bins around the circle in which modules are looked up
STRIPS = 32  # bins along z (barrel) or the radius (disks)
UM = 1e4  # in a cm
MOST_RADIUS = 500_000  # um: `helix` computes with distances below 2^19
MOST_Z0 = 120_000  # um: tracks begin nearer than this to the middle of the luminous region
_MARGIN = 1500  # um around a module
_MOST_Z = 1 << 22  # um
_LONGEST = ONE + 1000  # of an axis
_MOST_IN_CELL = 32  # modules, on average
_MOST_PIXELS = 1 << 20  # of a module, for which masses and binomial terms have bits enough
MOST_SURFACES = 62  # a candidate has a bit for each


class Planes(NamedTuple):
    """Integer arrays that the kernels read; one row a module unless said, lengths in um.

    ``rows``, ``cols``; ``kind``: class of alike modules, below `CLASSES`; ``place``: kind of
    surface, below `PLACES`; ``surface``: rank from inside out; ``order``: modules in the order in
    which they are coded. ``centre``, ``row_axis``, ``col_axis``, ``normal``: [modules, 3],
    directions in 2^-20, the normal pointing away from the collisions; ``drift``: slope along rows
    at which carriers drift, in 1/1024; ``row_pitch``, ``col_pitch``; ``sensor``: row of
    ``row_edge``, ``col_edge`` (pixel edges from the centre) and of ``long_row``, ``long_col`` (1
    where a pixel is longer than the pitch); ``reach``: [modules, 2] signed length, in 1/16 column,
    of a track from the origin at the first column and past the last.

    Of surfaces: ``barrel`` (1 or 0), ``at`` (radius or z), ``depth`` (effective thickness),
    ``begin`` and ``strip`` (first z or radius, and size of a bin), ``place``; ``steep`` (slope, in
    2^-20, below which a track that has passed the surface meets no other). Bins of modules: ``cell`` [surfaces * ANGLES * STRIPS + 1] into ``inside``.
    """

    rows: Array
    cols: Array
    kind: Array
    surface: Array
    order: Array
    centre: Array
    row_axis: Array
    col_axis: Array
    normal: Array
    drift: Array
    row_pitch: Array
    col_pitch: Array
    sensor: Array
    row_edge: Array
    col_edge: Array
    long_row: Array
    long_col: Array
    reach: Array
    barrel: Array
    at: Array
    depth: Array
    begin: Array
    strip: Array
    place: Array
    steep: Array
    cell: Array
    inside: Array


@dataclass
class Geometry:
    """Where the modules of a detector are: at first as its table says, then as data show.

    ``position`` (um), ``row_axis``, ``col_axis``: float64[modules, 3]; ``stretch``: for each sensor
    the part of their extra length that long pixels have along rows and columns (1 as described, 0
    if they are as short as the others); ``drift``: float64[modules], sideways drift along rows for
    each um of depth; ``depth``: float64[surfaces], effective thickness, um.
    """

    detector: Detector
    position: Array = field(init=False)
    row_axis: Array = field(init=False)
    col_axis: Array = field(init=False)
    surface: Array = field(init=False)
    stretch: Array = field(init=False)
    drift: Array = field(init=False)
    depth: Array = field(init=False)

    def __post_init__(self) -> None:
        detector = self.detector
        self.position = detector.position * UM
        self.row_axis = detector.axis_row.copy()
        self.col_axis = detector.axis_col.copy()
        self.surface = _surfaces(detector)
        self.stretch = np.ones((len(detector.sensors), 2))
        self.drift = np.zeros(len(detector))
        self.depth = np.full(int(self.surface.max(initial=0)) + 1, 285.0)

    @property
    def normal(self) -> Array:
        """Unit vectors across the modules, away from the collisions: float64[modules, 3]."""
        normal = np.cross(self.row_axis, self.col_axis)
        outward = np.where(
            np.abs(normal[:, 2]) < TILT,
            (normal[:, :2] * self.position[:, :2]).sum(axis=1),
            normal[:, 2] * self.position[:, 2],
        )
        return np.where(outward < 0, -1.0, 1.0)[:, None] * normal

    def edges(self) -> list[tuple[Array, Array]]:
        """Pixel edges from the centre along rows and columns, um, of each sensor."""
        return [
            (
                _edges(sensor.row_sizes, sensor.pitch_row, share_row),
                _edges(sensor.col_sizes, sensor.pitch_col, share_col),
            )
            for sensor, (share_row, share_col) in zip(
                self.detector.sensors, self.stretch, strict=True
            )
        ]


TILT = 0.7  # z component of a normal from which on a module belongs to a disk


def _edges(sizes: Array, pitch: float, share: float) -> Array:
    edges = np.concatenate([[0.0], np.cumsum(pitch + share * (sizes - pitch))])
    return edges - edges[-1] / 2


def _surfaces(detector: Detector) -> NDArray[np.int64]:
    """Rank of the surface of each module: barrel layers by radius, then disks by distance.

    All 0 where there is nothing to predict from: no positions, one surface, or too many.
    """
    none = np.zeros(len(detector), np.int64)
    if len(detector) == 0 or float(detector.radius.min()) * UM < 1000:
        return none
    normal = np.cross(detector.axis_row, detector.axis_col)
    ranks: dict[tuple[int, int], tuple[float, ...]] = {}
    for layer, side in sorted(
        set(zip(detector.layer.tolist(), detector.side.tolist(), strict=True))
    ):
        here = (detector.layer == layer) & (detector.side == side)
        if np.abs(normal[here, 2]).mean() < TILT:
            ranks[layer, side] = (0, float(detector.radius[here].mean()), side)
        else:
            ranks[layer, side] = (1, float(np.abs(detector.position[here, 2]).mean()), side)
    far = np.hypot(*(np.abs(detector.position[:, :2]).max(axis=0) * UM))
    if not 3 <= len(ranks) <= MOST_SURFACES or far > MOST_RADIUS:
        return none
    rank = {key: i for i, key in enumerate(sorted(ranks, key=lambda k: ranks[k]))}
    keys = zip(detector.layer.tolist(), detector.side.tolist(), strict=True)
    return np.array([rank[key] for key in keys], np.int64)


def describe(geometry: Geometry) -> dict[str, Array]:
    """The tables of a model, rounded to integers."""
    edges = geometry.edges()
    arrays = {
        "tracking.centre": np.rint(geometry.position).astype(np.int32),
        "tracking.row_axis": np.rint(geometry.row_axis * ONE).astype(np.int32),
        "tracking.col_axis": np.rint(geometry.col_axis * ONE).astype(np.int32),
        "tracking.drift": np.rint(geometry.drift * 1024).astype(np.int16),
        "tracking.surface": geometry.surface.astype(np.uint8),
        "tracking.depth": np.rint(geometry.depth).astype(np.uint16),
    }
    for i, name in enumerate(("row_edge", "col_edge")):
        length = max(len(pair[i]) for pair in edges)
        table = np.zeros((len(edges), length), np.int32)
        for row, pair in zip(table, edges, strict=True):
            row[: len(pair[i])] = np.rint(pair[i])
            row[len(pair[i]) :] = row[len(pair[i]) - 1] + np.arange(1, length - len(pair[i]) + 1)
        arrays[f"tracking.{name}"] = table
    return arrays


def _checked(arrays: Mapping[str, Array], name: str, shape: tuple[int, ...], most: int) -> Array:
    """One table of a model as int64: of this shape, and with no number beyond +-most."""
    stored = arrays.get(f"tracking.{name}")
    if stored is None or stored.shape != shape or stored.dtype.kind not in "iu":
        raise FormatError(f"array 'tracking.{name}' of the model is missing or damaged")
    table = stored.astype(np.int64)
    if table.size and (table.max() > most or table.min() < -most):
        raise FormatError(f"array 'tracking.{name}' of the model is damaged")
    return table


def make_planes(detector: Detector, arrays: Mapping[str, Array]) -> Planes:
    """What the kernels read, from the tables that `describe` left in a model.

    Raises
    ------
    FormatError
        If a table is missing, or does not fit the detector.
    """
    n, n_sensors = len(detector), len(detector.sensors)
    shapes = [(s.rows, s.cols) for s in detector.sensors]
    rows, cols = detector.rows.astype(np.int64), detector.cols.astype(np.int64)
    # longest and widest together, as the kernels have one grid for all sensors
    if math.prod(max((x[i] for x in shapes), default=0) for i in (0, 1)) > _MOST_PIXELS:
        raise FormatError("the modules of the detector have too many pixels to predict tracks")
    centre = _checked(arrays, "centre", (n, 3), _MOST_Z)
    row_axis = _checked(arrays, "row_axis", (n, 3), 2 * ONE)
    col_axis = _checked(arrays, "col_axis", (n, 3), 2 * ONE)
    surface = _checked(arrays, "surface", (n,), MOST_SURFACES - 1)
    n_surfaces = int(surface.max(initial=0)) + 1
    depth = _checked(arrays, "depth", (n_surfaces,), 10_000)
    tables = []
    for i, name in enumerate(("row_edge", "col_edge")):
        most = max((shape[i] for shape in shapes), default=0)
        table = _checked(arrays, name, (n_sensors, most + 1), MOST_RADIUS)
        if (np.diff(table, axis=1) <= 0).any():
            raise FormatError(f"array 'tracking.{name}' of the model is damaged")
        tables.append(table)
    row_edge, col_edge = tables
    sensor = detector.sensor.astype(np.int64)
    row_ends = np.stack([row_edge[sensor, 0], row_edge[sensor, rows]], axis=1)
    col_ends = np.stack([col_edge[sensor, 0], col_edge[sensor, cols]], axis=1)
    corners = [
        centre + ((u[:, None] * row_axis + v[:, None] * col_axis) >> 20)
        for u in row_ends.T
        for v in col_ends.T
    ]
    # no cluster is farther than `helix` computes with: else sums would not fit into 64 bits
    farthest = max((int((c[:, :2] ** 2).sum(axis=1).max(initial=0)) for c in corners), default=0)
    longest = max(int((axis**2).sum(axis=1).max(initial=0)) for axis in (row_axis, col_axis))
    if farthest > MOST_RADIUS**2 or longest > _LONGEST**2 or surface.min(initial=0) < 0:
        raise FormatError("the table of module positions in the model is damaged")
    normal = np.cross(row_axis, col_axis) >> 20
    steep = np.abs(normal[:, 2]) >= int(TILT * ONE)
    outward = np.where(
        steep, normal[:, 2] * centre[:, 2], (normal[:, :2] * centre[:, :2]).sum(axis=1)
    )
    normal = np.where(outward < 0, -1, 1)[:, None] * normal
    index = np.arange(n)
    row_pitch = np.maximum(row_ends[:, 1] - row_ends[:, 0], 1) // np.maximum(rows, 1)
    col_pitch = np.maximum(col_ends[:, 1] - col_ends[:, 0], 1) // np.maximum(cols, 1)
    barrel = np.array(
        [2 * steep[surface == s].sum() < (surface == s).sum() for s in range(n_surfaces)]
    )
    distance = np.where(barrel[surface], np.abs((normal * centre).sum(axis=1) >> 20), centre[:, 2])
    at = np.array(
        [
            int(distance[surface == s].sum()) // max(int((surface == s).sum()), 1)
            for s in range(n_surfaces)
        ],
        np.int64,
    )
    place = _places(barrel, at)
    along = np.where(barrel[surface], np.abs(centre[:, 2]), _norms(centre))
    kind = np.zeros(n, np.int64)
    for s in range(n_surfaces):
        here = along[surface == s]
        if len(here):
            low, size = int(here.min()), int(here.max() - here.min()) + 1
            kind[surface == s] = 8 * place[s] + (here - low) * 8 // size
    if n_surfaces == 1:
        kind = np.minimum(detector.layer.astype(np.int64), PLACES - 1) * 8
    height = np.where(
        (normal * centre).sum(axis=1) >> 20 == 0, 1, (normal * centre).sum(axis=1) >> 20
    )
    reach = np.stack(
        [
            ((((col_axis * centre).sum(axis=1) >> 20) + end) * depth[surface] * 16)
            // height // np.maximum(col_pitch, 1)
            for end in col_ends.T
        ],
        axis=1,
    )  # fmt: skip
    long_row = np.zeros((n_sensors, row_edge.shape[1] + 1), np.int64)
    long_col = np.zeros((n_sensors, col_edge.shape[1] + 1), np.int64)
    for i, each in enumerate(detector.sensors):
        long_row[i, 1 : each.rows + 1] = each.row_sizes > 1.5 * each.pitch_row
        long_col[i, 1 : each.cols + 1] = each.col_sizes > 1.5 * each.pitch_col
    sound, begin, strip, cell, inside = _look_up(
        n_surfaces, surface, barrel.astype(np.int64), centre, row_axis, col_axis,
        row_ends, col_ends,
    )  # fmt: skip
    if not sound:
        raise FormatError("the table of module positions in the model is damaged")
    return Planes(
        rows=rows,
        cols=cols,
        kind=kind,
        surface=surface,
        order=np.lexsort((index, surface)).astype(np.int64),
        centre=centre,
        row_axis=row_axis,
        col_axis=col_axis,
        normal=normal,
        drift=_checked(arrays, "drift", (n,), 1 << 14),
        row_pitch=np.maximum(row_pitch, 1),
        col_pitch=np.maximum(col_pitch, 1),
        sensor=sensor,
        row_edge=row_edge,
        col_edge=col_edge,
        long_row=long_row,
        long_col=long_col,
        reach=np.clip(reach, -4000, 4000),
        barrel=barrel.astype(np.int64),
        at=at,
        depth=depth,
        begin=begin,
        strip=strip,
        place=place,
        steep=_steepness(barrel, at, begin, strip),
        cell=cell,
        inside=inside,
    )


def _norms(centre: Array) -> Array:
    return np.array([isqrt(x * x + y * y) for x, y, _ in centre], np.int64)


def _places(barrel: Array, at: Array) -> Array:
    """Kind of each surface: barrel layers 0 to 7, then disks by their number on their side."""
    place = np.zeros(len(at), np.int64)
    number = {False: 0, True: 0}
    barrels = 0
    for s in range(len(at)):
        if barrel[s]:
            place[s] = min(barrels, 7)
            barrels += 1
        else:
            side = bool(at[s] < 0)
            place[s] = 8 + min(number[side], 7)
            number[side] += 1
    return place


def _steepness(barrel: Array, at: Array, begin: Array, strip: Array) -> Array:
    """Smallest slope that leads from each surface to one behind it: int64[surfaces]."""
    steep = np.zeros(len(at), np.int64)
    for s in range(len(at)):
        if not barrel[s + 1 :].any():
            behind = [
                (max(abs(int(at[i])) - MOST_Z0, 0) << 20)
                // max(int(begin[i] + STRIPS * strip[i]), 1)
                for i in range(s + 1, len(at))
            ]
            steep[s] = min(behind, default=1 << 40)
    return steep


@njit(cache=True, nogil=True)
def _look_up(n_surfaces, surface, barrel, centre, row_axis, col_axis, row_ends, col_ends):  # type: ignore[no-untyped-def]
    """For each bin of azimuth and z (or radius) of a surface, the modules that may be there.

    Returns (whether there are few enough, begin, strip, cell, inside).
    """
    n = len(surface)
    begin = np.zeros(n_surfaces, np.int64)
    strip = np.ones(n_surfaces, np.int64)
    span = np.empty((n, 4), np.int64)  # first bin of the circle, bins, lowest and highest place
    for m in range(n):
        low, high = np.int64(1) << 40, -(np.int64(1) << 40)
        first = np.int64(0)
        least, most = np.int64(0), np.int64(0)
        for i in range(9):
            u = row_ends[m, 0] - _MARGIN
            u += (row_ends[m, 1] - row_ends[m, 0] + 2 * _MARGIN) * i // 8
            for j in range(9):
                v = col_ends[m, 0] - _MARGIN
                v += (col_ends[m, 1] - col_ends[m, 0] + 2 * _MARGIN) * j // 8
                x = centre[m, 0] + ((u * row_axis[m, 0] + v * col_axis[m, 0]) >> 20)
                y = centre[m, 1] + ((u * row_axis[m, 1] + v * col_axis[m, 1]) >> 20)
                z = centre[m, 2] + ((u * row_axis[m, 2] + v * col_axis[m, 2]) >> 20)
                where = z if barrel[surface[m]] else isqrt(x * x + y * y)
                low, high = min(low, where), max(high, where)
                turn = azimuth(x, y)
                if i == 0 and j == 0:
                    first = turn
                away = ((turn - first + 32768) & 65535) - 32768
                least, most = min(least, away), max(most, away)
        span[m, 0] = ((first + least) * ANGLES >> 16) - 1
        span[m, 1] = min(((first + most) * ANGLES >> 16) + 2 - span[m, 0], ANGLES)
        span[m, 2], span[m, 3] = low, high
    for s in range(n_surfaces):
        low, high = np.int64(1) << 40, -(np.int64(1) << 40)
        for m in range(n):
            if surface[m] == s:
                low, high = min(low, span[m, 2]), max(high, span[m, 3])
        if high >= low:
            begin[s] = low
            strip[s] = (high - low) // STRIPS + 1
    cell = np.zeros(n_surfaces * ANGLES * STRIPS + 1, np.int64)
    inside = np.empty(0, np.int64)
    total = np.int64(0)
    for fill in range(2):
        for m in range(n):
            s = surface[m]
            total += span[m, 1] * ((span[m, 3] - span[m, 2]) // strip[s] + 2)
            if not fill and total > _MOST_IN_CELL * len(cell):
                return False, begin, strip, cell, inside
            for a in range(span[m, 1]):
                base = (s * ANGLES + ((span[m, 0] + a) & (ANGLES - 1))) * STRIPS
                for b in range(
                    (span[m, 2] - begin[s]) // strip[s], (span[m, 3] - begin[s]) // strip[s] + 1
                ):
                    if fill:
                        inside[cell[base + b]] = m
                        cell[base + b] += 1
                    else:
                        cell[base + b + 1] += 1
        if not fill:
            for i in range(len(cell) - 1):
                cell[i + 1] += cell[i]
            inside = np.empty(cell[-1], np.int64)
    for i in range(len(cell) - 1, 0, -1):
        cell[i] = cell[i - 1]
    cell[0] = 0
    return True, begin, strip, cell, inside
