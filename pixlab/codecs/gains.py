"""The charge of a cluster on a logarithmic scale, in integers.

Logarithms are in 1/4096 of an octave. Grid points are shifted from cluster to cluster
(subtractive dither, L. Schuchman, 1964), so that the spectrum of charges has no teeth. What is left
of the quantiser's error smears the spectrum; a map for each context takes the quantiles of
decoded charges back to those of the original ones (M. Li, J. Klejsa, W. B. Kleijn, IEEE Signal
Process. Lett. 17, 2010).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixlab.codecs.subjects import Subjects
from pixlab.coding.bits import kernel
from pixlab.coding.levels import Levels
from pixlab.errors import FormatError

__all__ = ["LARGEST", "LOGS", "OCTAVE", "PHASES", "GainCoder", "phases"]

Array = NDArray[Any]

OCTAVE = 4096
PHASES = 16  # shifts of the grid
_A_PIXEL = 6 * OCTAVE  # the logarithm of a usual count
_MOST = 40 * OCTAVE
LARGEST = 1 << 24  # charge of a cluster that can be painted
_QUANTILES = (
    0.01,
    0.03,
    0.07,
    0.13,
    0.2,
    0.3,
    0.4,
    0.5,
    0.6,
    0.7,
    0.8,
    0.88,
    0.94,
    0.98,
)  # at which the map is known
_TURNS = 8
_ENOUGH = 800  # clusters of a context, to know its map
# 65536 * 2^(i / 64), written out so that no machine computes them
_POWERS = np.array(
    [
        65536, 66250, 66971, 67700, 68438, 69183, 69936, 70698, 71468, 72246, 73032,
        73828, 74632, 75444, 76266, 77096, 77936, 78785, 79642, 80510, 81386, 82273,
        83169, 84074, 84990, 85915, 86851, 87796, 88752, 89719, 90696, 91684, 92682,
        93691, 94711, 95743, 96785, 97839, 98905, 99982, 101070, 102171, 103283, 104408,
        105545, 106694, 107856, 109031, 110218, 111418, 112631, 113858, 115098, 116351, 117618,
        118899, 120194, 121502, 122825, 124163, 125515, 126882, 128263, 129660, 131072,
    ],
    np.int64,
)  # fmt: skip


def phases(module: Array, row: Array, col: Array) -> NDArray[np.int64]:
    """Shift of the grid for each cluster, from its place alone: int64[n], -8 to 7 in 1/16 of a spacing."""
    # a multiplicative hash (D. Knuth, The Art of Computer Programming, vol. 3, 6.4)
    mixed = np.zeros(len(module), np.uint64)
    for column, factor in zip(
        (module, row, col), (2654435761, 2246822519, 3266489917), strict=True
    ):
        mixed += column.astype(np.uint64) * np.uint64(factor)
    return ((mixed >> np.uint64(15)) & np.uint64(PHASES - 1)).astype(np.int64) - PHASES // 2


class GainCoder:
    """A way to tell charges of clusters: the levels of a logarithmic grid, and their map.

    Parameters
    ----------
    name : str
        Of the arrays in the model.
    arrays : mapping of str to array
        Of the model.
    n_features : int
        Of the clusters.

    Raises
    ------
    FormatError
        If arrays are missing or damaged.
    """

    def __init__(self, name: str, arrays: Mapping[str, Array], n_features: int) -> None:
        self._levels = Levels(name, arrays, n_features)
        self._at, self._shift = (arrays[f"{name}.{k}"] for k in ("at", "shift"))
        n_contexts = len(self._levels.centres)
        good = (
            self._at.shape == self._shift.shape == (n_contexts, len(_QUANTILES))
            and self._at.dtype == np.uint32
            and self._shift.dtype == np.int16
            and (np.diff(self._at.astype(np.int64), axis=1) > 0).all()
        )
        if not good:
            raise FormatError(f"'{name}': the map of charges is damaged")

    @staticmethod
    def needs(name: str) -> tuple[str, ...]:
        """Arrays that a model must have."""
        return (*Levels.needs(name), f"{name}.at", f"{name}.shift")

    @staticmethod
    def learn(
        name: str,
        subjects: Subjects,
        charge: Array,
        *,
        rate_weight: float,
        reuse: float,
        like: Mapping[str, Array] | None = None,
    ) -> dict[str, Array]:
        """The arrays of a model that suits these charges (counts); see `Levels.learn`."""
        wanted = _logs_of(charge)
        x = (wanted - _anchors(subjects)) / subjects.steps[:, 0] - subjects.phase / PHASES
        n_features = subjects.features.shape[1]
        arrays = Levels.learn(
            name, subjects.features, subjects.all, x, subjects.starts, rate_weight=rate_weight, reuse=reuse,
            growth=_growth(subjects), like=like,
        )  # fmt: skip
        levels = Levels(name, arrays, n_features)
        contexts = levels.contexts(subjects.features, subjects.all)
        # several shifts of the grid, so that the map does not learn the errors of one
        logs = []
        for turn in range(_TURNS):
            phase = (subjects.phase + turn * PHASES // _TURNS + PHASES // 2) % PHASES - PHASES // 2
            turned = subjects._replace(phase=phase)
            x = (wanted - _anchors(subjects)) / subjects.steps[:, 0] - phase / PHASES
            points = levels.quantise(
                subjects.features, subjects.all, x, subjects.starts, rate_weight=rate_weight,
                growth=_growth(subjects),
            )[1]  # fmt: skip
            logs.append(_logs(points, turned))
        at, shift = _learn_map(
            np.concatenate(logs), np.tile(wanted, _TURNS), np.tile(contexts, _TURNS),
            len(levels.centres),
        )  # fmt: skip
        return arrays | {f"{name}.at": at, f"{name}.shift": shift}

    def tell(
        self, subjects: Subjects, charge: Array, *, rate_weight: float
    ) -> tuple[Array, Array, Array]:
        """Levels that tell charges, the logarithms and the charges that they mean: int64[n] each."""
        x = (_logs_of(charge) - _anchors(subjects)) / subjects.steps[:, 0]
        x -= subjects.phase / PHASES
        levels, points = self._levels.quantise(
            subjects.features,
            subjects.all,
            x,
            subjects.starts,
            rate_weight=rate_weight,
            growth=_growth(subjects),
        )
        return levels, *self._meant(
            points, self._levels.contexts(subjects.features, subjects.all), subjects
        )

    def encode(self, subjects: Subjects, levels: Array) -> bytes:
        """The section of levels that `tell` gave."""
        return self._levels.encode(subjects.features, subjects.all, levels, subjects.starts)

    def decode(self, subjects: Subjects, section: bytes) -> tuple[Array, Array]:
        """Logarithms and charges, as `tell` gave them.

        Raises
        ------
        FormatError
            If the section is damaged.
        """
        points, contexts = self._levels.decode(
            subjects.features, subjects.all, subjects.starts, section
        )
        return self._meant(points, contexts, subjects)

    def _meant(self, points: Array, contexts: Array, subjects: Subjects) -> tuple[Array, Array]:
        logs = _logs(points, subjects)
        charges = np.empty(len(logs), np.int64)
        _to_charges(logs, contexts, self._at, self._shift, charges)
        return logs, charges


def _logs_of(charges: Array) -> NDArray[np.float64]:
    """Logarithms of charges, as 1 where they are less."""
    return np.log2(np.maximum(charges, 1)) * OCTAVE


def _anchors(subjects: Subjects) -> NDArray[np.int64]:
    """Where the grid of each cluster begins: a usual charge for its pixels."""
    return _A_PIXEL + LOGS[np.minimum(subjects.pixels, len(LOGS) - 1)]


def _logarithms(most: int) -> NDArray[np.int64]:
    """Logarithms of 0 (as 1) to `most` in 1/4096 octave, about, from integers alone."""
    found = np.zeros(most + 1, np.int64)
    for n in range(1, most + 1):
        octave = n.bit_length() - 1
        found[n] = octave * OCTAVE + ((n << 12 >> octave) - OCTAVE)
    return found


LOGS = _logarithms(4096)


def _growth(subjects: Subjects) -> NDArray[np.float64]:
    """Natural logarithm of the ratio of neighbouring charges of the grid."""
    return subjects.steps[:, 0] * (np.log(2) / OCTAVE)


def _logs(points: Array, subjects: Subjects) -> NDArray[np.int64]:
    """Logarithms of points of the grid."""
    grid = (points * PHASES + subjects.phase) * subjects.steps[:, 0] // PHASES
    return grid + _anchors(subjects)


@kernel
def _to_charges(logs, contexts, at, shift, charges):  # type: ignore[no-untyped-def]
    """Fill in charges (counts) of logarithms, after the map of their context."""
    last = at.shape[1] - 1
    for i in range(len(logs)):
        x = min(max(logs[i], 0), _MOST)
        c = contexts[i]
        if x <= at[c, 0]:
            moved = np.int64(shift[c, 0])
        elif x >= at[c, last]:
            moved = np.int64(shift[c, last])
        else:
            j = 0
            while x >= at[c, j + 1]:
                j += 1
            low, high = np.int64(shift[c, j]), np.int64(shift[c, j + 1])
            begin, end = np.int64(at[c, j]), np.int64(at[c, j + 1])
            moved = low + (high - low) * (x - begin) // (end - begin)
        x = min(max(x + moved, 0), _MOST)
        octave, part = x >> 12, x & 4095
        k, fine = part >> 6, part & 63
        value = (_POWERS[k] * (64 - fine) + _POWERS[k + 1] * fine) >> 6
        charges[i] = min(((value << octave) + 32768) >> 16, LARGEST)


def _learn_map(logs: Array, wanted: Array, contexts: Array, n_contexts: int) -> tuple[Array, Array]:
    """The map for each context: where (uint32) and by how much (int16) logarithms move."""
    n = len(_QUANTILES)
    at = np.tile(np.arange(n, dtype=np.uint32), (n_contexts, 1))
    shift = np.zeros((n_contexts, n), np.int16)
    for c in range(n_contexts):
        mine = contexts == c
        if mine.sum() < _ENOUGH:
            continue
        have = np.quantile(logs[mine], _QUANTILES)
        want = np.quantile(wanted[mine], _QUANTILES)
        moved = logs[mine] + np.interp(logs[mine], have, want - have)
        # and the mean charge stays what it was
        mean = np.log2(np.exp2(wanted[mine] / OCTAVE).mean() / np.exp2(moved / OCTAVE).mean())
        have = np.clip(np.rint(have), 0, _MOST).astype(np.int64)
        at[c] = np.maximum.accumulate(have) + np.arange(n)  # rising
        shift[c] = np.clip(np.rint(want - have + OCTAVE * mean), -OCTAVE, OCTAVE)
    return at, shift
