"""What the coders of charge and shape are told of clusters, and what they tell of shapes."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Shapes", "Subjects", "fill_in", "starts_of"]

Array = NDArray[Any]


class Subjects(NamedTuple):
    """Clusters sorted by event.

    ``starts``: int64[events + 1], first cluster of each event; ``event``: int64[n]; ``pixels``:
    int64[n], number of pixels, or the area of the box where it is not known; ``free``: uint8[n],
    see `moments.directions`; ``steps``: int64[n, 3], spacings of charge (1/4096 octave) and
    barycentre (1/4096 pitch); ``phase``: int64[n], see `gains.phases`; ``kind``, ``high``,
    ``wide``: int64[n], of the box, see `codebook.kinds_of`; ``middle``: int64[n, 2], how far the
    middle of the pixels is from the middle of the box, 1/256 of the pitch; ``features``: uint8[n, k],
    of which the last `SAID` columns are filled in by coders as charge and shape become known.
    """

    starts: NDArray[np.int64]
    event: NDArray[np.int64]
    pixels: NDArray[np.int64]
    free: NDArray[np.uint8]
    steps: NDArray[np.int64]
    phase: NDArray[np.int64]
    kind: NDArray[np.int64]
    high: NDArray[np.int64]
    wide: NDArray[np.int64]
    middle: NDArray[np.int64]
    features: NDArray[np.uint8]

    @property
    def all(self) -> NDArray[np.int64]:
        """The number of each."""
        return np.arange(len(self.event))


class Shapes(NamedTuple):
    """What is said of shapes, and what it means.

    ``said``: levels along rows and columns, or indices of pictures; ``offsets``: int64[n, 2],
    barycentres in 1/256 of the pitch; ``picture``: int64[n], -1 where it is not said.
    """

    said: list[Array]
    offsets: NDArray[np.int64]
    picture: NDArray[np.int64]


def starts_of(event: NDArray[np.int64], n_events: int) -> NDArray[np.int64]:
    """First of each event among sorted event numbers, and their number: int64[events + 1]."""
    return np.searchsorted(event, np.arange(n_events + 1)).astype(np.int64)


def fill_in(features: NDArray[np.uint8], first: int, *columns: Array) -> None:
    """Fill in columns of features from `first` on (negative: from the end), clipped to 0 to 255."""
    for i, column in enumerate(columns):
        features[:, first + i] = np.clip(column, 0, 255)
