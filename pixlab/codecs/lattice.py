"""The shape of a cluster as the place of its barycentre, on a lattice along rows and columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixlab.codecs.features import SAID
from pixlab.codecs.gains import LOGS
from pixlab.codecs.moments import COLS, ROWS
from pixlab.codecs.subjects import Shapes, Subjects
from pixlab.coding.bits import kernel
from pixlab.coding.levels import Levels

__all__ = ["LatticeCoder", "fill_in_gain"]

Array = NDArray[Any]
_FINE = 16  # spacings are in 1/16 of 1/256 of the pitch


class LatticeCoder:
    """A way to tell the barycentres of clusters whose charge is known.

    A barycentre is an offset along rows and columns, in 1/256 of the pitch, from the middle of the
    pixels or of the box. It is told where `Subjects.free` says that it can move.

    Parameters
    ----------
    names : tuple of str
        Of the sections and of the arrays in the model, for rows and for columns.
    arrays : mapping of str to array
        Of the model.
    n_features : int
        Of the clusters.
    slope : int
        The feature that says how columns change with rows, 128 for not at all; -1 for none.

    Raises
    ------
    FormatError
        If arrays are missing or damaged.
    """

    def __init__(
        self, names: tuple[str, str], arrays: Mapping[str, Array], n_features: int, slope: int = -1
    ) -> None:
        self._names, self._slope = names, slope
        self._axes = [Levels(name, arrays, n_features) for name in names]

    @staticmethod
    def needs(names: tuple[str, str]) -> tuple[str, ...]:
        """Arrays that a model must have."""
        return (*Levels.needs(names[0]), *Levels.needs(names[1]))

    @staticmethod
    def learn(
        names: tuple[str, str],
        subjects: Subjects,
        logs: Array,
        offsets: Array,
        *,
        rate_weight: float,
        reuse: float,
        slope: int = -1,
        like: Mapping[str, Array] | None = None,
    ) -> dict[str, Array]:
        """The arrays of a model that suits these offsets (int64[n, 2]); see `Levels.learn`."""
        learning: dict[str, Any] = {"rate_weight": rate_weight, "reuse": reuse, "like": like}
        features = subjects.features
        fill_in_gain(subjects, logs)
        row, col = _Axis(subjects, 0), _Axis(subjects, 1)
        args = features, row.which, row.to_grid(offsets[:, 0]), row.starts
        arrays = Levels.learn(names[0], *args, **learning)
        levels = Levels(names[0], arrays, features.shape[1])
        up = row.from_grid(levels.quantise(*args, rate_weight=rate_weight)[1])
        _fill_in_row(features, up, slope)
        args = features, col.which, col.to_grid(offsets[:, 1]), col.starts
        return arrays | Levels.learn(names[1], *args, **learning)

    def tell(
        self, subjects: Subjects, logs: Array, offsets: Array, *, rate_weight: float
    ) -> Shapes:
        """Levels that tell offsets."""
        features = subjects.features
        fill_in_gain(subjects, logs)
        meant = np.zeros((len(logs), 2), np.int64)
        said = []
        for i, coder in enumerate(self._axes):
            axis = _Axis(subjects, i)
            levels, points = coder.quantise(
                features, axis.which, axis.to_grid(offsets[:, i]), axis.starts,
                rate_weight=rate_weight,
            )  # fmt: skip
            said.append(levels)
            meant[:, i] = axis.from_grid(points)
            if i == 0:
                _fill_in_row(features, meant[:, 0], self._slope)
        return Shapes(said, meant, np.full(len(logs), -1, np.int64))

    def encode(self, subjects: Subjects, logs: Array, shapes: Shapes) -> dict[str, bytes]:
        """The sections of what `tell` gave."""
        features = subjects.features
        fill_in_gain(subjects, logs)
        sections = {}
        for i, coder in enumerate(self._axes):
            axis = _Axis(subjects, i)
            sections[self._names[i]] = coder.encode(
                features, axis.which, shapes.said[i], axis.starts
            )
            if i == 0:
                _fill_in_row(features, shapes.offsets[:, 0], self._slope)
        return sections

    def decode(self, subjects: Subjects, logs: Array, sections: Mapping[str, bytes]) -> Shapes:
        """The shapes, as `tell` gave them, but for the levels.

        Raises
        ------
        FormatError
            If a section is damaged.
        """
        features = subjects.features
        fill_in_gain(subjects, logs)
        offsets = np.zeros((len(logs), 2), np.int64)
        for i, coder in enumerate(self._axes):
            axis = _Axis(subjects, i)
            section = sections[self._names[i]]
            points, _ = coder.decode(features, axis.which, axis.starts, section)
            offsets[:, i] = axis.from_grid(points)
            if i == 0:
                _fill_in_row(features, offsets[:, 0], self._slope)
        return Shapes([], offsets, np.full(len(logs), -1, np.int64))


class _Axis:
    """Rows or columns: which clusters say something along them, and their grid."""

    def __init__(self, subjects: Subjects, axis: int) -> None:
        self._n = n = len(subjects.free)
        which, step = np.empty((2, n), np.int64)
        self.starts = np.empty(len(subjects.starts), np.int64)
        asked = _ask(
            subjects.free, (ROWS, COLS)[axis], subjects.starts, subjects.steps[:, axis + 1],
            which, step, self.starts,
        )  # fmt: skip
        self.which, self._step = which[:asked], step[:asked]

    def to_grid(self, offsets: Array) -> NDArray[np.float64]:
        return offsets[self.which] * _FINE / self._step

    def from_grid(self, points: Array) -> NDArray[np.int64]:
        found = np.zeros(self._n, np.int64)
        _from_grid(points, self.which, self._step, found)
        return found


@kernel
def _ask(free, axis, events, steps, which, step, starts):  # type: ignore[no-untyped-def]
    """Fill in clusters that can move along an axis, and the first of each event; how many there are."""
    n = np.uint64(0)
    starts[0] = 0
    for e in range(np.uint64(len(events) - 1)):
        for i in range(np.uint64(events[e]), np.uint64(events[e + np.uint64(1)])):
            if free[i] & axis:
                which[n] = i
                step[n] = steps[i]
                n += np.uint64(1)
        starts[e + np.uint64(1)] = n
    return n


@kernel
def _from_grid(points, which, step, found):  # type: ignore[no-untyped-def]
    for i in range(np.uint64(len(points))):
        found[np.uint64(which[i])] = (points[i] * step[i] + _FINE // 2) // _FINE


def fill_in_gain(subjects: Subjects, logs: Array) -> None:
    """Fill in the first two of the last features: charge, and charge a pixel, in 1/32 octave."""
    _fill_in_gain(subjects.features, subjects.pixels, logs, LOGS)


@kernel
def _fill_in_gain(features, pixels, logs, table):  # type: ignore[no-untyped-def]
    first = features.shape[1] - SAID
    for i in range(np.uint64(len(logs))):
        own = table[min(pixels[i], len(table) - 1)]
        features[i, first] = min(max((logs[i] >> 7) - 100, 0), 255)
        features[i, first + 1] = min(max((logs[i] - own) >> 7, 0), 255)


@kernel
def _fill_in_row(features, up, slope):  # type: ignore[no-untyped-def]
    """And the other two: the offset along rows, and what it makes likely along columns."""
    first = features.shape[1] - SAID + 2
    for i in range(np.uint64(len(up))):
        tilt = np.int64(features[i, slope]) - 128 if slope >= 0 else np.int64(0)
        features[i, first] = min(max((up[i] >> 2) + 128, 0), 255)
        features[i, first + 1] = min(max((tilt * up[i] >> 7) + 128, 0), 255)
