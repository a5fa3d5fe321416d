"""What the context models know of a detector, as integers.

The charge and the length of a cluster follow from the angle at which tracks from the collision
cross the sensor. That angle is computed once, when a model is fitted, and stored with it as
integers, so that a decoder never computes with floats.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pixlab.detectors import Detector
from pixlab.errors import FormatError

__all__ = ["RINGS", "Layout", "make_layout", "track_slopes"]

RINGS = 128  # classes of modules with alike numbers of clusters
_THICKNESS = 285.0  # um, `FACTS`: CMS sensors; elsewhere only the scale of a context
_UNIT = 16  # slopes are kept in 1/16 pixel
_MOST = 4000
_COLUMNS = 5  # of the table of slopes


class Layout(NamedTuple):
    """Integer arrays that the coding kernels read; one row a module unless said.

    ``rows``, ``cols``: int32; ``ring``: class for the number of clusters, below `RINGS`; ``layer``:
    at most 7; ``slopes``: int32[modules, 5], see `track_slopes`; ``sensor``: row of ``edge_row``
    and ``edge_col``: uint8[sensors, side], bit 0 where a pixel is longer than the pitch, bit 1 where
    the one before is, bit 2 where the one after is.
    """

    rows: NDArray[np.int32]
    cols: NDArray[np.int32]
    ring: NDArray[np.int32]
    layer: NDArray[np.int32]
    slopes: NDArray[np.int32]
    sensor: NDArray[np.int32]
    edge_row: NDArray[np.uint8]
    edge_col: NDArray[np.uint8]


def track_slopes(detector: Detector) -> NDArray[np.int16]:
    """How a track from the origin crosses each module: int16[modules, 5].

    Columns that it crosses, signed, in 1/16, at the first column and past the last; the same of
    rows; 1 where the module faces away from the origin. All 0 where the table has no positions.
    """
    normal = np.cross(detector.axis_row, detector.axis_col)
    distance = (detector.position * normal).sum(axis=1)
    table = np.zeros((len(detector), _COLUMNS), np.int16)
    table[:, 4] = distance < 0
    for i, (axis, pitch, sizes) in enumerate(
        (
            (
                detector.axis_col,
                detector.pitch[:, 1],
                [s.col_sizes.sum() for s in detector.sensors],
            ),
            (
                detector.axis_row,
                detector.pitch[:, 0],
                [s.row_sizes.sum() for s in detector.sensors],
            ),
        )
    ):
        along = (detector.position * axis).sum(axis=1)
        half = np.array(sizes)[detector.sensor] / 2e4  # cm
        with np.errstate(divide="ignore", invalid="ignore"):
            slopes = np.stack([along - half, along + half], axis=1) / distance[:, None]
        slopes = np.where(np.abs(distance[:, None]) > 1e-6, slopes, 0.0)
        crossed = np.rint(slopes * _THICKNESS / pitch[:, None] * _UNIT)
        table[:, 2 * i : 2 * i + 2] = np.clip(crossed, -_MOST, _MOST)
    return table


def make_layout(
    detector: Detector, slopes: NDArray[np.int16], *, tile: tuple[int, int] = (1, 1)
) -> Layout:
    """The layout of a detector whose pixels are grouped into tiles of `tile` rows x columns.

    Raises
    ------
    FormatError
        If the stored `slopes` do not fit the detector.
    """
    if slopes.shape != (len(detector), _COLUMNS) or slopes.dtype != np.int16:
        raise FormatError("the model does not fit its detector: its table of slopes is another")
    tile_rows, tile_cols = tile
    rows = -(-detector.rows.astype(np.int32) // tile_rows)
    cols = -(-detector.cols.astype(np.int32) // tile_cols)
    scaled = slopes.astype(np.int32)
    scaled[:, :2] //= tile_cols
    scaled[:, 2:4] //= tile_rows
    layer = np.minimum(detector.layer, 7).astype(np.int32)
    middle = np.abs(slopes[:, :2].astype(np.int64).sum(axis=1)) // 2
    # two classes an octave: 2 * bit length + the bit below the highest
    bits = np.array([int(v).bit_length() for v in middle], np.int64)
    below = np.where(bits > 1, (middle >> np.maximum(bits - 2, 0)) & 1, 0)
    ring = layer * 16 + np.minimum(2 * np.maximum(bits - 1, 0) + below, 15)
    edges = []
    for sides, step in ((rows, tile_rows), (cols, tile_cols)):
        long = np.zeros((len(detector.sensors), int(sides.max(initial=1)) + 2), np.uint8)
        for i, sensor in enumerate(detector.sensors):
            along_rows = sides is rows
            sizes = sensor.row_sizes if along_rows else sensor.col_sizes
            pitch = sensor.pitch_row if along_rows else sensor.pitch_col
            long[i, np.unique(np.flatnonzero(sizes > 1.5 * pitch) // step) + 1] = 1
        edges.append((long[:, 1:-1] | long[:, :-2] << 1 | long[:, 2:] << 2).astype(np.uint8))
    return Layout(
        rows,
        cols,
        ring.astype(np.int32),
        layer,
        scaled,
        detector.sensor.astype(np.int32),
        edges[0],
        edges[1],
    )
