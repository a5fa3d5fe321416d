"""`Detector`: a table of modules, and the few questions that digis ask of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pixlab.errors import FormatError, PixlabError, UnknownModuleError

__all__ = ["Detector", "Sensor"]


@dataclass(frozen=True)
class Sensor:
    """The pixel matrix of a module.

    Parameters
    ----------
    rows, cols : int
        Size of the matrix in pixels.
    pitch_row, pitch_col : float
        Size of an ordinary pixel along rows and columns, um.
    chip_rows, chip_cols : int
        Size of one readout chip in pixels; 0 when the matrix is not divided.
    double_edges : bool
        Whether pixels at inner chip edges along rows, and at all chip edges along columns, are
        twice as long (`Geometry/TrackerGeometryBuilder/interface/RectangularPixelTopology.h`).
    """

    rows: int
    cols: int
    pitch_row: float = 1.0
    pitch_col: float = 1.0
    chip_rows: int = 0
    chip_cols: int = 0
    double_edges: bool = False

    @cached_property
    def row_sizes(self) -> NDArray[np.float64]:
        """Length of each row, um: float64[rows]."""
        sizes = np.full(self.rows, self.pitch_row)
        if self.double_edges:
            inner = np.arange(self.chip_rows, self.rows, self.chip_rows)
            sizes[inner] *= 2
            sizes[inner - 1] *= 2
        return sizes

    @cached_property
    def col_sizes(self) -> NDArray[np.float64]:
        """Length of each column, um: float64[cols]."""
        sizes = np.full(self.cols, self.pitch_col)
        if self.double_edges:
            inside = np.arange(self.cols) % self.chip_cols
            sizes[(inside == 0) | (inside == self.chip_cols - 1)] *= 2
        return sizes

    @cached_property
    def centres(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Centre of each row and of each column, um from the centre of the matrix."""
        rows, cols = (np.cumsum(s) - s / 2 - s.sum() / 2 for s in (self.row_sizes, self.col_sizes))
        return rows, cols

    def local(
        self, row: NDArray[np.float64], col: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Position in the module frame, um from the centre, of (fractional) pixel coordinates.

        A pixel ``i`` covers ``[i, i + 1)``; its centre is at ``i + 0.5``.
        """
        return _along(self.row_sizes, row), _along(self.col_sizes, col)


def _along(sizes: NDArray[np.float64], coordinate: NDArray[np.float64]) -> NDArray[np.float64]:
    edges = np.concatenate([[0.0], np.cumsum(sizes)])
    return np.interp(coordinate, np.arange(len(edges)), edges) - edges[-1] / 2


@dataclass(frozen=True, eq=False)
class Detector:
    """A pixel detector: one row a module, sorted by raw id.

    Parameters
    ----------
    name : str
        Key in `DETECTORS`, or the name of a user's own detector.
    detid : uint32[modules]
        Raw ids, strictly increasing.
    layers : tuple of str
        Names of the layers, in display order.
    layer : int16[modules]
        Index into `layers`.
    ladder, module, side : int16[modules]
        Ladder or blade, place along the ladder (or panel), and -1, 0 or +1 for the end.
    position : float64[modules, 3]
        Module centre x, y, z, cm.
    axis_row, axis_col : float64[modules, 3]
        Unit vectors along which the row and the column number grow.
    sensors : tuple of Sensor
        The different pixel matrices.
    sensor : uint8[modules]
        Index into `sensors`.
    electrons_table : float32[classes, adc_max + 1]
        Charge in electrons for each adc count.
    response : uint8[modules]
        Index of the module's row of `electrons_table`.
    cluster_threshold : float64[modules]
        Smallest cluster charge that reconstruction keeps, electrons.
    seed_threshold, channel_threshold : float
        Smallest pixel charge that starts, and that joins, a cluster, electrons.
    """

    name: str
    detid: NDArray[np.uint32]
    layers: tuple[str, ...]
    layer: NDArray[np.int16]
    ladder: NDArray[np.int16]
    module: NDArray[np.int16]
    side: NDArray[np.int16]
    position: NDArray[np.float64]
    axis_row: NDArray[np.float64]
    axis_col: NDArray[np.float64]
    sensors: tuple[Sensor, ...]
    sensor: NDArray[np.uint8]
    electrons_table: NDArray[np.float32]
    response: NDArray[np.uint8]
    cluster_threshold: NDArray[np.float64]
    seed_threshold: float = 0.0
    channel_threshold: float = 0.0
    _table: dict[str, list[Any]] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        for value in self.__dict__.values():
            if isinstance(value, np.ndarray):
                value.setflags(write=False)

    # -- questions about modules ------------------------------------------------------------
    def __len__(self) -> int:
        return len(self.detid)

    @property
    def adc_max(self) -> int:
        """Largest adc count that a digi may carry."""
        return self.electrons_table.shape[1] - 1

    @cached_property
    def rows(self) -> NDArray[np.uint16]:
        """Rows of each module: uint16[modules]."""
        return np.array([s.rows for s in self.sensors], np.uint16)[self.sensor]

    @cached_property
    def cols(self) -> NDArray[np.uint16]:
        """Columns of each module: uint16[modules]."""
        return np.array([s.cols for s in self.sensors], np.uint16)[self.sensor]

    @cached_property
    def pitch(self) -> NDArray[np.float64]:
        """Pitch along rows and columns, um: float64[modules, 2]."""
        return np.array([(s.pitch_row, s.pitch_col) for s in self.sensors])[self.sensor]

    @property
    def radius(self) -> NDArray[np.float64]:
        """Distance of each module centre from the beam line, cm: float64[modules]."""
        return np.hypot(self.position[:, 0], self.position[:, 1])

    def index(self, detid: ArrayLike) -> NDArray[np.int32]:
        """Place of raw ids in the module table.

        Parameters
        ----------
        detid : array_like of int
            Raw detector ids.

        Returns
        -------
        int32 array of the same shape

        Raises
        ------
        UnknownModuleError
            Naming the first id that this detector does not have.
        """
        ids = np.asarray(detid)
        if len(self) == 0:
            place = np.zeros(ids.shape, np.int64)
            known = np.zeros(ids.shape, bool)
        else:
            place = np.minimum(np.searchsorted(self.detid, ids), len(self) - 1)
            known = self.detid[place] == ids
        if not known.all():
            bad = int(ids[~known].flat[0])
            raise UnknownModuleError(
                f"detector '{self.name}' has no module with id {bad}",
                "choose the detector that the file was made with, "
                "or describe it with Detector.from_table",
            )
        return place.astype(np.int32)

    def in_layer(self, layer: str) -> NDArray[np.bool_]:
        """Which modules belong to a layer: bool[modules].

        Raises
        ------
        PixlabError
            If there is no such layer.
        """
        if layer not in self.layers:
            raise PixlabError(
                f"detector '{self.name}' has no layer '{layer}'",
                f"choose one of {', '.join(self.layers)}",
            )
        return self.layer == self.layers.index(layer)

    def electrons(self, adc: ArrayLike, module: ArrayLike) -> NDArray[np.float32]:
        """Charge in electrons of adc counts in the modules with these table indices."""
        return self.electrons_table[self.response[np.asarray(module)], np.asarray(adc)]

    def positions(self, module: ArrayLike, row: ArrayLike, col: ArrayLike) -> NDArray[np.float64]:
        """Global position of fractional pixel coordinates.

        Parameters
        ----------
        module : int array[n]
            Module table indices.
        row, col : array[n]
            Pixel coordinates; a pixel's centre is at ``+ 0.5``.

        Returns
        -------
        float64[n, 3]
            x, y, z in cm.
        """
        module = np.atleast_1d(np.asarray(module))
        row, col = np.broadcast_arrays(*(np.atleast_1d(np.asarray(a, float)) for a in (row, col)))
        local_row, local_col = np.empty(row.shape), np.empty(row.shape)
        which = self.sensor[module]
        for i, sensor in enumerate(self.sensors):
            at = which == i
            local_row[at], local_col[at] = sensor.local(row[at], col[at])
        um = 1e-4
        return (
            self.position[module]
            + um * local_row[:, None] * self.axis_row[module]
            + um * local_col[:, None] * self.axis_col[module]
        )

    # -- a detector of one's own ------------------------------------------------------------
    @classmethod
    def from_table(
        cls,
        table: Mapping[str, Sequence[Any]],
        *,
        name: str = "generic",
        adc_max: int = 255,
        electrons_per_adc: float = 1.0,
        electrons_offset: float = 0.0,
    ) -> Detector:
        """A detector from a table with one row a module (dict of columns or DataFrame).

        Parameters
        ----------
        table : mapping of columns
            ``detid``, ``rows``, ``cols`` are required. May be left out: ``layer`` (name or
            number), ``ladder``, ``module``, ``side``; ``x``, ``y``, ``z`` (module centre, cm);
            ``pitch_row``, ``pitch_col`` (um); ``row_x``, ``row_y``, ``row_z``, ``col_x``,
            ``col_y``, ``col_z`` (directions in which rows and columns grow; by default as in a
            barrel around z); ``chip_rows``, ``chip_cols`` (size of a readout chip) and
            ``double_edges`` (1 where pixels at chip edges are twice as long, see `Sensor`);
            ``electrons_per_adc``, ``electrons_offset`` (response of each module),
            ``cluster_threshold`` (electrons); and, the same for all modules, ``adc_max``,
            ``seed_threshold``, ``channel_threshold``.
        name : str
            Name of the detector; not one of `DETECTORS`.
        adc_max : int
            Largest adc count, at most 65,535, if it is no column.
        electrons_per_adc, electrons_offset : float
            Charge is ``electrons_per_adc * adc + electrons_offset``, if these are no columns.

        Raises
        ------
        PixlabError
            If a column is missing, of unequal length or out of range, or an id occurs twice.
        """
        from pixlab.detectors.table import build

        return build(table, name, adc_max, electrons_per_adc, electrons_offset)

    @classmethod
    def from_file(
        cls,
        path: str | PathLike[str],
        *,
        name: str | None = None,
        adc_max: int = 255,
        electrons_per_adc: float = 1.0,
        electrons_offset: float = 0.0,
    ) -> Detector:
        """A detector from a JSON, CSV or parquet file with the columns of `from_table`.

        Parameters
        ----------
        path : path
            ``.json`` (an object of columns, a list of rows, or what `to_json` gives), ``.csv``
            (one line a module under a header) or ``.parquet``.
        name : str, optional
            Default: the name in the file, or else the file's name without its suffix.
        adc_max, electrons_per_adc, electrons_offset
            As in `from_table`; a description written by `to_json` has its own.

        Raises
        ------
        PixlabError
            If the file is missing, of another kind, or its table is refused by `from_table`.
        """
        from pixlab.detectors.table import load

        return load(path, name, adc_max, electrons_per_adc, electrons_offset)

    def to_json(self) -> dict[str, Any]:
        """A description that `from_json` reads: the name, and the table of a user's own detector."""
        if self._table is None:
            return {"name": self.name}
        return {"name": self.name, "table": self._table}

    @staticmethod
    def from_json(description: Any) -> Detector:
        """The detector that `to_json` described.

        Raises
        ------
        FormatError
            If the description is none, or the detector is unknown here.
        """
        from pixlab.detectors import DETECTORS

        if not isinstance(description, dict) or not isinstance(description.get("name"), str):
            raise FormatError("the description of the detector is damaged")
        name, table = description["name"], description.get("table")
        if table is None:
            if name not in DETECTORS:
                raise FormatError(
                    f"this version of pixlab has no detector '{name[:80]}'", "update pixlab"
                )
            return DETECTORS[name]
        try:
            table = dict(table)
            adc_max, gain, offset = table.pop("adc")
            return Detector.from_table(
                table,
                name=name,
                adc_max=int(adc_max),
                electrons_per_adc=float(gain),
                electrons_offset=float(offset),
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise FormatError("the detector table is damaged") from error

    # -- identity ---------------------------------------------------------------------------
    @cached_property
    def fingerprint(self) -> str:
        """A short hash of ids, shapes and response: equal for detectors with equal digis."""
        digest = hashlib.sha256()
        for array in (self.detid, self.rows, self.cols, self.electrons_table[self.response]):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()[:16]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Detector):
            return NotImplemented
        return self is other or self.fingerprint == other.fingerprint

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def __repr__(self) -> str:
        return f"<Detector {self.name}: {len(self)} modules, {len(self.layers)} layers>"
