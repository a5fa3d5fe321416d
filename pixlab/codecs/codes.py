"""The shape of a cluster as a picture of the codebook: vector quantisation proper.

The picture is chosen that costs least: its distance to the cluster, and the bits of its index,
which is coded in the context of the box, the angle and the charge (entropy-constrained vector
quantisation: P. A. Chou, T. Lookabaugh, R. M. Gray, IEEE Trans. ASSP 37, 1989).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pixlab.codecs.codebook import HIGH, WIDE, Codebook
from pixlab.codecs.lattice import fill_in_gain
from pixlab.codecs.subjects import Shapes, Subjects
from pixlab.codecs.usage import CodeUsage
from pixlab.coding.levels import code_lengths
from pixlab.coding.symbols import Symbols
from pixlab.errors import FormatError

__all__ = ["CodeCoder"]

Array = NDArray[Any]
_FINE = 16  # spacings are in 1/16 of 1/256 of the pitch
# squared spacings of the barycentre that other differences count as: a pixel hit in one and not in
# the other, and the whole charge in another place
_HIT, _SHARE = 0.1, 1.0


class CodeCoder:
    """A way to tell which picture of a codebook each cluster is like.

    Parameters
    ----------
    name : str
        Of the section and of the arrays in the model.
    arrays : mapping of str to array
        Of the model.
    n_features : int
        Of the clusters.
    book : Codebook
        The pictures.

    Raises
    ------
    FormatError
        If arrays are missing or damaged.
    """

    def __init__(
        self, name: str, arrays: Mapping[str, Array], n_features: int, book: Codebook
    ) -> None:
        self._name, self._book = name, book
        self._symbols = Symbols(name, arrays, n_features, _n_symbols(book))

    @staticmethod
    def needs(name: str) -> tuple[str, ...]:
        """Arrays that a model must have, besides the codebook."""
        return Symbols.needs(name)

    @staticmethod
    def learn(
        name: str,
        subjects: Subjects,
        logs: Array,
        offsets: Array,
        canvases: Array,
        book: Codebook,
        *,
        rate_weight: float,
        reuse: float,
    ) -> dict[str, Array]:
        """The arrays of a model that suits these clusters."""
        features = subjects.features
        fill_in_gain(subjects, logs)
        n = _n_symbols(book)
        arrays = Symbols.blank(name, n)
        for _ in range(2):  # which pictures are cheap depends on which are chosen
            coder = CodeCoder(name, arrays, subjects.features.shape[1], book)
            index = coder.tell(subjects, logs, offsets, canvases, rate_weight=rate_weight).said[0]
            asked = coder._asked(subjects)
            arrays = Symbols.learn(name, features[asked], index[asked], n, reuse=reuse)
        return arrays

    def tell(
        self,
        subjects: Subjects,
        logs: Array,
        offsets: Array,
        canvases: NDArray[np.float32],
        *,
        rate_weight: float,
    ) -> Shapes:
        """Pictures for clusters with these barycentres (int64[n, 2]) and `codebook.canvases_of`."""
        book, symbols = self._book, self._symbols
        features = subjects.features
        fill_in_gain(subjects, logs)
        stretch = _stretch(subjects)
        picture = np.empty(len(logs), np.int64)
        _choose(
            book, _canvases(book), subjects.kind, (offsets + subjects.middle) / stretch,
            subjects.steps[:, 1:] / (_FINE * stretch), canvases, symbols.choices.of(features),
            code_lengths(symbols.tables), code_lengths(symbols.lower), symbols.shift, rate_weight,
            picture,
        )  # fmt: skip
        return self.shapes_of(subjects, picture)

    def encode(self, subjects: Subjects, logs: Array, shapes: Shapes) -> dict[str, bytes]:
        """The section of what `tell` gave."""
        asked = self._asked(subjects)
        features = subjects.features
        fill_in_gain(subjects, logs)
        return {self._name: self._symbols.encode(features, shapes.said[0][asked], asked)}

    def decode(self, subjects: Subjects, logs: Array, sections: Mapping[str, bytes]) -> Shapes:
        """The shapes, as `tell` gave them.

        Raises
        ------
        FormatError
            If a section is damaged.
        """
        asked = self._asked(subjects)
        features = subjects.features
        fill_in_gain(subjects, logs)
        first, last = self._book.offsets[subjects.kind], self._book.offsets[subjects.kind + 1]
        picture = np.where(last > first, first, -1)
        picture[asked] += self._symbols.decode(features, sections[self._name], asked)
        if (picture >= np.maximum(last, 0)).any():
            raise FormatError("a picture is not of the kind of its cluster")
        return self.shapes_of(subjects, picture)

    def usage(self, picture: Array, escaped: int) -> CodeUsage:
        """How often each picture is among `picture`."""
        shares = self._book.shares.astype(float).reshape(-1, HIGH, WIDE)
        counts = np.bincount(picture, minlength=len(shares))
        return CodeUsage(self._name, counts, escaped, np.where(shares > 0, shares, np.nan))

    def _asked(self, subjects: Subjects) -> NDArray[np.int64]:
        """Clusters of kinds with several pictures."""
        return np.flatnonzero(np.diff(self._book.offsets)[subjects.kind] > 1)

    def shapes_of(self, subjects: Subjects, picture: Array) -> Shapes:
        """What pictures mean."""
        book, told = self._book, np.maximum(picture, 0)
        offsets = -subjects.middle
        if len(book.up):
            row = book.up[told] * np.maximum(subjects.high, HIGH) // HIGH
            col = book.along[told] * np.maximum(subjects.wide, WIDE) // WIDE
            there = np.stack([row, col], axis=1)
            offsets = np.where(picture[:, None] >= 0, there, 0) - subjects.middle
        index = np.where(picture >= 0, picture - book.offsets[subjects.kind], 0)
        return Shapes([index], offsets, picture)


def _n_symbols(book: Codebook) -> int:
    """Indices in the largest kind, at least two."""
    return max(int(np.diff(book.offsets).max(initial=0)), 2)


def _canvases(book: Codebook) -> NDArray[np.float32]:
    """Hits and shares of each picture: float32[pictures, 2, cells]."""
    shares = book.shares.astype(np.float32)
    total = np.maximum(shares.sum(axis=1, keepdims=True), 1)
    return np.stack([(shares > 0).astype(np.float32), shares / total], axis=1)


def _stretch(subjects: Subjects) -> NDArray[np.float64]:
    """Pixels of a box in a cell of the canvas, along rows and columns: float64[n, 2]."""
    rows, cols = np.maximum(subjects.high, HIGH) / HIGH, np.maximum(subjects.wide, WIDE) / WIDE
    return np.stack([rows, cols], axis=1)


@njit(cache=True, nogil=True)
def _choose(  # type: ignore[no-untyped-def]
    book, own, kind, target, spacing, canvases, contexts, upper, lower, shift, weight, picture
):
    for i in range(len(kind)):
        begin, end = book.offsets[kind[i]], book.offsets[kind[i] + 1]
        best, least = np.int64(-1), np.inf
        for j in range(begin, end):
            index = j - begin
            dy = (book.up[j] - target[i, 0]) / spacing[i, 0]
            dx = (book.along[j] - target[i, 1]) / spacing[i, 1]
            cost = dy * dy + dx * dx + weight * upper[contexts[i], index >> shift]
            if shift:
                cost += weight * lower[index >> shift, index & ((1 << shift) - 1)]
            if cost >= least:
                continue
            for cell in range(own.shape[2]):
                cost += _HIT * abs(canvases[i, 0, cell] - own[j, 0, cell])
                difference = canvases[i, 1, cell] - own[j, 1, cell]
                cost += _SHARE * difference * difference
            if cost < least:
                best, least = j, cost
        picture[i] = best
