"""`Detector`: a table of modules, and the few questions that digis ask of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pixlab.errors import FormatError, PixlabError, UnknownModuleError

__all__ = ["Detector", "Sensor"]

_TABLE_COLUMNS = ("layer", "ladder", "module", "side", "x", "y", "z", "pitch_row", "pitch_col")
_MAX_MODULES = 1 << 20  # a table from a file may not ask for more
_MAX_SIDE = 1 << 14  # rows or columns of one sensor
_MAX_PIXELS = 1 << 24  # of one sensor


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
    ) -> Self:
        """A detector from a table with one row a module (dict of columns or DataFrame).

        Parameters
        ----------
        table : mapping of columns
            ``detid``, ``rows``, ``cols`` are required; ``layer`` (name or number), ``ladder``,
            ``module``, ``side``, ``x``, ``y``, ``z`` (cm), ``pitch_row``, ``pitch_col`` (um)
            may be left out.
        name : str
            Name of the detector; not one of `DETECTORS`.
        adc_max : int
            Largest adc count, at most 65,535.
        electrons_per_adc, electrons_offset : float
            Charge is ``electrons_per_adc * adc + electrons_offset``.

        Raises
        ------
        PixlabError
            If a column is missing, of unequal length or out of range, or an id occurs twice.
        """
        columns = {str(k): list(table[k]) for k in table}
        for needed in ("detid", "rows", "cols"):
            if needed not in columns:
                raise PixlabError(
                    f"the table of detector '{name}' has no column '{needed}'",
                    f"give at least detid, rows and cols (found: {', '.join(columns) or 'none'})",
                )
        m = len(columns["detid"])
        if any(len(v) != m for v in columns.values()):
            raise PixlabError(f"the columns of detector '{name}' differ in length")
        if m > _MAX_MODULES:
            raise PixlabError(f"detector '{name}' has more than {_MAX_MODULES} modules")
        if not 0 < int(adc_max) <= 65535:
            raise PixlabError(f"adc_max of detector '{name}' must be 1 to 65535")
        try:
            wide = np.array(columns["detid"], np.int64)
            shape = np.array([columns["rows"], columns["cols"]], np.int64).reshape(2, m)
            number = {
                k: np.array(columns[k], float)
                for k in _TABLE_COLUMNS
                if k in columns and k != "layer"
            }
        except (TypeError, ValueError, OverflowError) as error:
            raise PixlabError(f"the table of detector '{name}' has a bad value: {error}") from error
        if m and (wide.min() < 0 or wide.max() > 0xFFFFFFFF):
            raise PixlabError(f"a detid of detector '{name}' does not fit 32 bits")
        if m and (shape.min() < 1 or shape.max() > _MAX_SIDE):
            raise PixlabError(f"rows and cols of detector '{name}' must be 1 to {_MAX_SIDE}")
        if m and int((shape[0] * shape[1]).max()) > _MAX_PIXELS:
            raise PixlabError(f"a module of detector '{name}' has more than {_MAX_PIXELS} pixels")
        order = np.argsort(wide, kind="stable")
        detid = wide[order].astype(np.uint32)
        if (np.diff(wide[order]) == 0).any():
            twice = int(detid[:-1][np.diff(wide[order]) == 0][0])
            raise PixlabError(f"detector '{name}' has module id {twice} twice")

        def column(key: str, default: float) -> NDArray[np.float64]:
            values = number.get(key, np.full(m, default))[order]
            if not np.isfinite(values).all():
                raise PixlabError(
                    f"column '{key}' of detector '{name}' has a value that is no number"
                )
            return values

        names = [str(v) for v in columns.get("layer", ["all"] * m)]
        layers = tuple(dict.fromkeys(names[i] for i in order))
        place = {layer: i for i, layer in enumerate(layers)}
        pitch_row, pitch_col = column("pitch_row", 1.0), column("pitch_col", 1.0)
        described = list(
            zip(*(a.tolist() for a in (*shape[:, order], pitch_row, pitch_col)), strict=True)
        )
        sensors = list(dict.fromkeys(described))
        if len(sensors) > 255:
            raise PixlabError(f"detector '{name}' has more than 255 kinds of sensor")
        position = np.stack([column(k, 0.0) for k in "xyz"], axis=1)
        axis_col = np.tile([0.0, 0.0, 1.0], (m, 1))
        radius = np.hypot(position[:, 0], position[:, 1])
        phi = np.where(radius > 0, np.arctan2(position[:, 1], position[:, 0]), 0.0)
        axis_row = np.stack([-np.sin(phi), np.cos(phi), np.zeros(m)], axis=1)
        electrons = electrons_per_adc * np.arange(int(adc_max) + 1) + electrons_offset
        kept = {k: [v[i] for i in order] for k, v in columns.items() if k in _TABLE_COLUMNS}
        kept |= {
            "detid": detid.tolist(),
            "rows": shape[0, order].tolist(),
            "cols": shape[1, order].tolist(),
        }
        return cls(
            name=name,
            detid=detid,
            layers=layers,
            layer=np.array([place[names[i]] for i in order], np.int16),
            ladder=column("ladder", 0).astype(np.int16),
            module=column("module", 0).astype(np.int16),
            side=column("side", 0).astype(np.int16),
            position=position,
            axis_row=axis_row,
            axis_col=axis_col,
            sensors=tuple(Sensor(*s) for s in sensors),
            sensor=np.array([sensors.index(s) for s in described], np.uint8),
            electrons_table=electrons.astype(np.float32)[None, :],
            response=np.zeros(m, np.uint8),
            cluster_threshold=np.zeros(m),
            _table=json.loads(
                json.dumps(
                    kept
                    | {"adc": [int(adc_max), float(electrons_per_adc), float(electrons_offset)]},
                    default=_plain,
                )
            ),
        )

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


def _plain(value: Any) -> Any:
    """A numpy scalar as the Python number that JSON knows."""
    return value.item() if isinstance(value, np.generic) else str(value)
