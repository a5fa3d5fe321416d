"""Classes of clusters, each of which has a part of a codebook of its own.

A large codebook would mostly hold codes that a cluster never needs. In parts that suit clusters of
a layer and a size, all codes are worth their bits, and few have to be tried.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pixlab.codecs.subjects import Subjects
from pixlab.errors import FormatError

__all__ = ["CodeClasses", "cells_of", "in_one_count"]

Array = NDArray[Any]
_LAYERS, _HIGH, _WIDE = 8, 4, 8
_CELLS = _LAYERS * _HIGH * _WIDE
_CODES = {1: 16, 2: 64}  # of a class, about: on a line, in a plane
_FEWEST = 2  # codes of a class


def cells_of(subjects: Subjects) -> NDArray[np.int64]:
    """What classes are told apart by, layer and sides of the box in one number: int64[n]."""
    layer = np.minimum(subjects.features[:, 0], _LAYERS - 1).astype(np.int64)
    high, wide = np.minimum(subjects.high, _HIGH), np.minimum(subjects.wide, _WIDE)
    return (layer * _HIGH + high - 1) * _WIDE + wide - 1


class CodeClasses(NamedTuple):
    """Which part of a codebook clusters have.

    ``of_cell``: int64[cells], class of each cell; ``begin``: int64[classes + 1], first code of each
    class, and the number of codes.
    """

    of_cell: NDArray[np.int64]
    begin: NDArray[np.int64]

    @property
    def largest(self) -> int:
        """Codes of the largest class."""
        return int(np.diff(self.begin).max())

    def of(self, subjects: Subjects) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """First code of each cluster's class, and the first one that is not of it: int64[n] each."""
        mine = self.of_cell[cells_of(subjects)]
        return self.begin[mine], self.begin[mine + 1]

    @staticmethod
    def read(name: str, arrays: Mapping[str, Array], n_codes: int) -> CodeClasses:
        """The classes of a model; there is one if it says nothing.

        Raises
        ------
        FormatError
            If they are damaged.
        """
        if f"{name}.classes" not in arrays:
            return CodeClasses(np.zeros(_CELLS, np.int64), np.array([0, n_codes]))
        of_cell, sizes = arrays[f"{name}.classes"], arrays.get(f"{name}.sizes", np.zeros(0))
        good = of_cell.shape == (_CELLS,) and of_cell.dtype == np.uint16
        good = (
            good
            and sizes.dtype == np.uint32
            and sizes.ndim == 1
            and len(sizes) > 0
            and int(sizes.min()) >= _FEWEST
        )
        if (
            not good
            or int(of_cell.max()) >= len(sizes)
            or int(sizes.sum(dtype=np.int64)) != n_codes
        ):
            raise FormatError(f"'{name}': the classes of the model are damaged")
        return CodeClasses(of_cell.astype(np.int64), np.cumsum([0, *sizes.tolist()]))

    def arrays(self, name: str) -> dict[str, Array]:
        """As a model keeps them."""
        sizes = np.diff(self.begin).astype(np.uint32)
        return {f"{name}.classes": self.of_cell.astype(np.uint16), f"{name}.sizes": sizes}

    @staticmethod
    def learn(cells: Array, spread: Array, size: int, dimensions: int) -> CodeClasses:
        """Classes of about as many codes each, for a codebook of `size` codes.

        Parameters
        ----------
        cells : int64[n]
            Of clusters, see `cells_of`.
        spread : float64[n]
            Squared length of what codes stand for.
        size : int
            Number of codes.
        dimensions : int
            Of codes: the part of codes for a set of clusters grows with the root of their number that
            has the least total error, the third one on a line and the square root in a plane.
        """
        share = np.bincount(cells, spread, minlength=_CELLS) ** (
            1 / 3 if dimensions == 1 else 1 / 2
        )
        if not share.any():
            share = np.ones(_CELLS)
        n = int(np.clip(round(size / _CODES[dimensions]), 1, np.count_nonzero(share)))
        # cells of like sizes are neighbours, whatever their layer
        order = np.argsort(np.arange(_CELLS) % (_HIGH * _WIDE), kind="stable")
        middle = np.cumsum(share[order]) - share[order] / 2
        rank = np.empty(_CELLS, np.int64)
        rank[order] = (middle / share.sum() * n).clip(max=n - 1)
        of_cell = np.unique(rank, return_inverse=True)[1].astype(np.int64)
        weights = np.bincount(of_cell, share)
        sizes = np.maximum(np.floor(weights / weights.sum() * size), _FEWEST).astype(np.int64)
        sizes[np.argmax(sizes)] += size - sizes.sum()
        return CodeClasses(of_cell, np.cumsum([0, *sizes.tolist()]))


def in_one_count(parts: Sequence[CodeClasses]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Classes of several codebooks after each other, of each cell and of each code.

    Returns
    -------
    int64[parts, cells], int64[codes]
    """
    numbers = [len(part.begin) - 1 for part in parts]
    first = np.cumsum([0, *numbers[:-1]])
    of_cell = np.stack([part.of_cell + n for part, n in zip(parts, first, strict=True)])
    sizes = np.concatenate([np.diff(part.begin) for part in parts])
    return of_cell, np.repeat(np.arange(len(sizes)), sizes)
