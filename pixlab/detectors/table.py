"""A detector of one's own, from a table with one row a module."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixlab.detectors.base import Detector, Sensor
from pixlab.errors import PixlabError

__all__ = ["build", "load"]

_SENSOR = ("pitch_row", "pitch_col", "chip_rows", "chip_cols", "double_edges")
_AXES = ("row_x", "row_y", "row_z", "col_x", "col_y", "col_z")
_RESPONSE = ("electrons_per_adc", "electrons_offset")
_SAME = ("adc_max", "seed_threshold", "channel_threshold")  # in all modules
_PLACE = ("ladder", "module", "side", "x", "y", "z")
_NUMBERS = (*_PLACE, *_SENSOR, *_AXES, *_RESPONSE, *_SAME, "cluster_threshold")
_MAX_MODULES = 1 << 20  # a table from a file may not ask for more
_MAX_SIDE = 1 << 14  # rows or columns of one sensor
_MAX_PIXELS = 1 << 24  # of one sensor
_MAX_FILE = 1 << 28  # bytes


def build(
    table: Mapping[str, Sequence[Any]], name: str, adc_max: int, gain: float, offset: float
) -> Detector:
    """See `Detector.from_table`."""
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
    if not (np.isfinite(gain) and np.isfinite(offset)):
        raise PixlabError(f"the response of detector '{name}' is no number")
    try:
        wide = np.array(columns["detid"], np.int64)
        shape = np.array([columns["rows"], columns["cols"]], np.int64).reshape(2, m)
        number = {k: np.array(columns[k], float).reshape(m) for k in _NUMBERS if k in columns}
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

    def column(key: str, default: float, *, largest: float = np.inf) -> NDArray[np.float64]:
        values = number.get(key, np.full(m, default))[order]
        if not np.isfinite(values).all():
            raise PixlabError(f"column '{key}' of detector '{name}' has a value that is no number")
        if m and np.abs(values).max() > largest:
            raise PixlabError(f"column '{key}' of detector '{name}' has a value out of range")
        return values

    def same(key: str, default: float) -> float:
        values = np.unique(column(key, default))
        if len(values) > 1:
            raise PixlabError(
                f"column '{key}' of detector '{name}' is not the same for all modules",
                "describe detectors of their own",
            )
        return float(values[0]) if m else default

    most = same("adc_max", adc_max)
    if not 0 < most <= 65535 or most % 1:
        raise PixlabError(f"adc_max of detector '{name}' must be 1 to 65535")
    adc_max = int(most)
    names = [str(v) for v in columns.get("layer", ["all"] * m)]
    layers = tuple(dict.fromkeys(names[i] for i in order))
    place = {layer: i for i, layer in enumerate(layers)}
    sensors, sensor = _sensors(name, shape[:, order], column)
    position = np.stack([column(k, 0.0) for k in "xyz"], axis=1)
    axis_row, axis_col = _axes(name, number, position, column)
    slopes = np.stack([column("electrons_per_adc", gain), column("electrons_offset", offset)])
    classes, response = np.unique(slopes, axis=1, return_inverse=True)
    if classes.shape[1] > 255:
        raise PixlabError(
            f"detector '{name}' has more than 255 different responses",
            "round electrons_per_adc and electrons_offset",
        )
    if not m:
        classes = np.array([[gain], [offset]])
    electrons = classes[0][:, None] * np.arange(adc_max + 1) + classes[1][:, None]
    kept = {k: [v[i] for i in order] for k, v in columns.items() if k in ("layer", *_NUMBERS)}
    kept |= {
        "detid": detid.tolist(),
        "rows": shape[0, order].tolist(),
        "cols": shape[1, order].tolist(),
        "adc": [adc_max, float(gain), float(offset)],
    }
    return Detector(
        name=name,
        detid=detid,
        layers=layers,
        layer=np.array([place[names[i]] for i in order], np.int16),
        ladder=column("ladder", 0, largest=32767).astype(np.int16),
        module=column("module", 0, largest=32767).astype(np.int16),
        side=column("side", 0, largest=32767).astype(np.int16),
        position=position,
        axis_row=axis_row,
        axis_col=axis_col,
        sensors=sensors,
        sensor=sensor,
        electrons_table=electrons.astype(np.float32),
        response=response.ravel().astype(np.uint8),
        cluster_threshold=column("cluster_threshold", 0.0),
        seed_threshold=same("seed_threshold", 0.0),
        channel_threshold=same("channel_threshold", 0.0),
        _table=json.loads(json.dumps(kept, default=_plain)),
    )


def _sensors(
    name: str, shape: NDArray[np.int64], column: Any
) -> tuple[tuple[Sensor, ...], NDArray[np.uint8]]:
    """The different pixel matrices, and which one each module has."""
    chips = [column(k, 0.0, largest=_MAX_SIDE) for k in ("chip_rows", "chip_cols", "double_edges")]
    if any((c < 0).any() or (c % 1 != 0).any() for c in chips):
        raise PixlabError(f"chip sizes of detector '{name}' are not all whole numbers")
    if (chips[2] * (chips[0] * chips[1] == 0)).any():
        raise PixlabError(
            f"detector '{name}' has double_edges without a chip size",
            "give chip_rows and chip_cols",
        )
    values = (*shape, column("pitch_row", 1.0), column("pitch_col", 1.0), *chips)
    described = list(zip(*(a.tolist() for a in values), strict=True))
    kinds = list(dict.fromkeys(described))
    if len(kinds) > 255:
        raise PixlabError(f"detector '{name}' has more than 255 kinds of sensor")
    sensors = tuple(
        Sensor(rows, cols, row, col, int(chip_rows), int(chip_cols), bool(double))
        for rows, cols, row, col, chip_rows, chip_cols, double in kinds
    )
    number = {kind: i for i, kind in enumerate(kinds)}
    return sensors, np.array([number[d] for d in described], np.uint8)


def _axes(
    name: str,
    number: dict[str, NDArray[np.float64]],
    position: NDArray[np.float64],
    column: Any,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Directions of rows and columns: those of the table, or those of a barrel around z."""
    given = [key for key in _AXES if key in number]
    if not given:
        radius = np.hypot(position[:, 0], position[:, 1])
        phi = np.where(radius > 0, np.arctan2(position[:, 1], position[:, 0]), 0.0)
        zero = np.zeros(len(phi))
        row = np.stack([-np.sin(phi), np.cos(phi), zero], axis=1)
        return row, np.stack([zero, zero, zero + 1], axis=1)
    if len(given) < len(_AXES):
        raise PixlabError(
            f"the table of detector '{name}' has {', '.join(given)}, but not all axes",
            f"give all of {', '.join(_AXES)}, or none",
        )
    axes = np.stack([column(k, 0.0) for k in _AXES], axis=1).reshape(-1, 2, 3)
    length = np.linalg.norm(axes, axis=2, keepdims=True)
    if not ((length > 1e-6) & (length < 1e6)).all():
        raise PixlabError(f"an axis of detector '{name}' has no direction")
    axes = axes / length
    row, col = axes[:, 0], axes[:, 1]
    along = (row * col).sum(axis=1, keepdims=True)
    if (np.abs(along) > 1e-3).any():
        raise PixlabError(f"rows and columns of detector '{name}' are not at right angles")
    col = col - along * row  # tables are rounded
    return row, col / np.linalg.norm(col, axis=1, keepdims=True)


def load(
    path: str | PathLike[str], name: str | None, adc_max: int, gain: float, offset: float
) -> Detector:
    """See `Detector.from_file`."""
    path = Path(path)
    readers = {".json": _read_json, ".csv": _read_csv, ".parquet": _read_parquet}
    suffix = path.suffix.lower()
    if suffix not in readers:
        raise PixlabError(
            f"'{path}' is no detector table by its name", f"use one of {', '.join(readers)}"
        )
    try:
        if path.stat().st_size > _MAX_FILE:
            raise PixlabError(f"'{path}' is too large for a detector table")
        table = readers[suffix](path)
    except OSError as error:
        raise PixlabError(
            f"cannot read '{path}': {error.strerror or error}", "check the path"
        ) from error
    if isinstance(table, dict) and isinstance(table.get("name"), str):
        found = Detector.from_json({"name": name or table["name"], "table": table.get("table")})
        return found
    if not isinstance(table, dict) or not all(isinstance(v, list) for v in table.values()):
        raise PixlabError(f"'{path}' holds no table", "give an object of columns or a list of rows")
    try:
        return build(table, name or path.stem, adc_max, gain, offset)
    except PixlabError as error:
        raise PixlabError(f"'{path}': {error.cause}", error.hint) from error


def _read_json(path: Path) -> Any:
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise PixlabError(f"'{path}' is no JSON: {error}") from error
    if isinstance(found, list) and all(isinstance(row, dict) for row in found):
        keys = list(dict.fromkeys(k for row in found for k in row))
        for i, row in enumerate(found):
            for key in keys:
                if key not in row:
                    raise PixlabError(f"'{path}': row {i} has no '{key}'")
        return {key: [row[key] for row in found] for key in keys}
    return found


def _read_csv(path: Path) -> dict[str, list[Any]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = [line for line in csv.reader(file) if line]
    except (UnicodeDecodeError, csv.Error) as error:
        raise PixlabError(f"'{path}' is no CSV: {error}") from error
    header = [key.strip() for key in lines[0]] if lines else []
    for i, line in enumerate(lines[1:], 2):
        if len(line) != len(header):
            raise PixlabError(f"'{path}': row {i} has {len(line)} values, not {len(header)}")
    return {key: [line[i].strip() for line in lines[1:]] for i, key in enumerate(header)}


def _read_parquet(path: Path) -> dict[str, list[Any]]:
    import pyarrow
    from pyarrow import parquet

    try:
        return parquet.read_table(path).to_pydict()
    except pyarrow.ArrowException as error:
        raise PixlabError(f"'{path}' is no parquet table: {error}") from error


def _plain(value: Any) -> Any:
    """A numpy scalar as the Python number that JSON knows."""
    return value.item() if isinstance(value, np.generic) else str(value)
