"""`Totals` as JSON and back: integers only, zeros at both ends of a histogram left out."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixlab.detectors import Detector
from pixlab.errors import FormatError
from pixlab.physics.groups import PARTS
from pixlab.physics.pairs import CONFUSION_SIZES, PAIRS
from pixlab.physics.spectra import AXES
from pixlab.physics.totals import SUMS, Totals, merged

__all__ = ["filled", "from_dict", "to_dict", "trimmed"]

_LARGEST = 2**40  # of a count


def to_dict(totals: Totals) -> dict[str, Any]:
    """What `from_dict` reads."""
    return {
        "detector": totals.detector.to_json(),
        "events": totals.events,
        "sums": {k: v.tolist() for k, v in totals.sums.items()},
        **{
            name: {k: trimmed(v) for k, v in getattr(totals, name).items()}
            for name in ("counts", "halves", "parts", "pairs")
        },
        "confusion": trimmed(totals.confusion),
        "modules": trimmed(totals.modules),
    }


def from_dict(data: Any) -> Totals:
    """What `to_dict` gave.

    Raises
    ------
    FormatError
        If it is damaged.
    """
    try:
        detector = Detector.from_json(data["detector"])
        layers = len(detector.layers)
        sums = {}
        for name in SUMS:
            table = np.array([[_whole(x) for x in row] for row in data["sums"][name]], object)
            if table.shape != (PARTS, layers):
                raise ValueError(f"the sums of {name} have another shape")
            sums[name] = table
        found: dict[str, dict[str, NDArray[np.int64]]] = {}
        for kind, shapes in _shapes(detector).items():
            found[kind] = {k: filled(data[kind][k], shape) for k, shape in shapes.items()}
        return Totals(
            detector,
            _whole(data["events"]),
            sums,
            **found,
            confusion=filled(data["confusion"], (2, layers, CONFUSION_SIZES, CONFUSION_SIZES)),
            modules=filled(data["modules"], (2, len(detector))),
        )
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise FormatError(f"the comparison is damaged: {error}") from error


def _shapes(detector: Detector) -> dict[str, dict[str, tuple[int, ...]]]:
    """Shape of each array of each kind of histogram."""
    layers = len(detector.layers)
    bins = {k: len(axis.edges(detector)) + 1 for k, axis in AXES.items()}
    wide = {k: merged(np.zeros(n, int), AXES[k].merge).size for k, n in bins.items()}
    return {
        "counts": {k: (2, layers, n) for k, n in bins.items()},
        "halves": {k: (layers, n) for k, n in bins.items()},
        "parts": {k: (2, PARTS, layers, n) for k, n in wide.items()},
        "pairs": {k: (layers, p.classes, p.bins + 2) for k, p in PAIRS.items()},
    }


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{str(value)[:40]!r} is no whole number")
    return value


def trimmed(values: NDArray[np.int64]) -> list[Any]:
    """Lists of lists down to the last axis: first filled place, then values up to the last filled."""
    if values.ndim > 1:
        return [trimmed(v) for v in values]
    filled = np.flatnonzero(values)
    if not len(filled):
        return []
    return [int(filled[0]), *values[filled[0] : filled[-1] + 1].tolist()]


def filled(trimmed: Any, shape: tuple[int, ...]) -> NDArray[np.int64]:
    result = np.zeros(shape, np.int64)
    _fill(trimmed, result)
    return result


def _fill(trimmed: Any, into: NDArray[np.int64]) -> None:
    if not isinstance(trimmed, list):
        raise ValueError("a histogram is no list")
    if into.ndim > 1:
        if len(trimmed) != len(into):
            raise ValueError("a histogram has another shape")
        for part, row in zip(trimmed, into, strict=True):
            _fill(part, row)
    elif trimmed:
        start, *values = (_whole(x) for x in trimmed)
        if not 0 <= start <= len(into) - len(values):
            raise ValueError("a histogram is longer than its axis")
        if values and not 0 <= min(values) <= max(values) <= _LARGEST:
            raise ValueError("a count of a histogram is out of range")
        into[start : start + len(values)] = values
