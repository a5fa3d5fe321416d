"""The shape of a cluster in stages: a picture of the codebook, then what is left of its barycentre.

::

    barycentre ──► picture ──► rest ──► code of stage 1 ──► rest ──► code of stage 2 ──► …

The rest is a vector along rows and columns in spacings of the grid, so that one small codebook a
stage serves all kinds of clusters (residual vector quantisation: B.-H. Juang, A. H. Gray, ICASSP
1982). Or each stage has one codebook for rows and one for columns: a product codebook.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pixlab.codecs.codebook import Codebook
from pixlab.codecs.codes import CodeCoder
from pixlab.codecs.features import SAID
from pixlab.codecs.lattice import fill_in_gain
from pixlab.codecs.moments import COLS, ROWS
from pixlab.codecs.subjects import Shapes, Subjects, fill_in
from pixlab.codecs.usage import CodeUsage
from pixlab.coding.levels import code_lengths
from pixlab.coding.symbols import Symbols
from pixlab.errors import FormatError

__all__ = ["MAX_CODES", "ResidualCoder", "Stages"]

Array = NDArray[Any]
MAX_CODES = 256  # of a stage
_UNIT = 256  # of codes, a spacing
_FINE = 16  # spacings are in 1/16 of 1/256 of the pitch
_COARSER = 3.0  # times as large errors count as little, a stage before the last
_SAMPLE = 60_000  # vectors that a codebook is learned from
_ROUNDS = 50


class Stages(NamedTuple):
    """How many stages follow the picture, codes of each, and whether axes are coded apart."""

    n: int
    size: int
    product: bool


class ResidualCoder:
    """A way to tell shapes by a picture and by codes of what is left.

    Parameters
    ----------
    name : str
        Of the sections and of the arrays in the model; those of stages are ``name1`` and so on.
    arrays : mapping of str to array
        Of the model.
    n_features : int
        Of the clusters.
    book : Codebook
        The pictures.
    stages : Stages
        What follows the picture.

    Raises
    ------
    FormatError
        If arrays are missing or damaged.
    """

    def __init__(
        self,
        name: str,
        arrays: Mapping[str, Array],
        n_features: int,
        book: Codebook,
        stages: Stages,
    ) -> None:
        self._first = CodeCoder(name, arrays, n_features, book)
        self._parts = [_Part(*part, arrays, n_features) for part in _parts(name, stages)]

    @staticmethod
    def needs(name: str, stages: Stages) -> tuple[str, ...]:
        """Arrays that a model must have, besides the codebook of pictures."""
        found = [*CodeCoder.needs(name)]
        for part, _, _ in _parts(name, stages):
            found += [f"{part}.book", *Symbols.needs(part)]
        return tuple(found)

    @staticmethod
    def learn(
        name: str,
        subjects: Subjects,
        logs: Array,
        offsets: Array,
        canvases: Array,
        book: Codebook,
        stages: Stages,
        *,
        rate_weight: float,
        reuse: float,
        seed: int,
    ) -> dict[str, Array]:
        """The arrays of a model that suits these clusters."""
        n_features = subjects.features.shape[1]
        coarse = _coarser(subjects, stages.n)
        found = CodeCoder.learn(
            name, coarse, logs, offsets, canvases, book, rate_weight=rate_weight, reuse=reuse
        )
        first = CodeCoder(name, found, n_features, book)
        shapes = first.tell(coarse, logs, offsets, canvases, rate_weight=rate_weight)
        features = _with_first(subjects, logs, shapes)
        rest = _rest(subjects, offsets, shapes.offsets)
        for part, scale, axes in _parts(name, stages):
            codes = _learn_codes(rest[subjects.free > 0] * axes, stages.size, seed)
            found[f"{part}.book"] = codes
            found |= Symbols.blank(part, len(codes))
            for _ in range(2):  # which codes are cheap depends on which are chosen
                coder = _Part(part, scale, axes, found, n_features)
                index = coder.tell(subjects, features, rest, rate_weight)
                asked = subjects.free > 0
                found |= Symbols.learn(part, features[asked], index[asked], len(codes), reuse=reuse)
            rest = rest - coder.codes[index] / _UNIT
        return found

    def tell(
        self,
        subjects: Subjects,
        logs: Array,
        offsets: Array,
        canvases: NDArray[np.float32],
        *,
        rate_weight: float,
    ) -> Shapes:
        """Pictures and codes for clusters (see `CodeCoder.tell`)."""
        coarse = _coarser(subjects, round(np.log(self._parts[0].scale) / np.log(_COARSER)) + 1)
        shapes = self._first.tell(coarse, logs, offsets, canvases, rate_weight=rate_weight)
        features = _with_first(subjects, logs, shapes)
        rest = _rest(subjects, offsets, shapes.offsets)
        said, meant = list(shapes.said), shapes.offsets
        for part in self._parts:
            index = part.tell(subjects, features, rest, rate_weight)
            rest = rest - part.codes[index] / _UNIT
            meant = meant + part.meant(subjects, index)
            said.append(index)
        return Shapes(said, meant, shapes.picture)

    def usage(self, picture: Array, escaped: int) -> CodeUsage:
        """How often each picture of the first stage is among `picture`."""
        return self._first.usage(picture, escaped)

    def stages(self, shapes: Shapes) -> Iterator[tuple[str, int, Array]]:
        """Name, number of codes and chosen codes of each codebook after the pictures."""
        for part, index in zip(self._parts, shapes.said[1:], strict=True):
            yield part.name, len(part.codes), index

    def encode(self, subjects: Subjects, logs: Array, shapes: Shapes) -> dict[str, bytes]:
        """The sections of what `tell` gave."""
        first = self._first.shapes_of(subjects, shapes.picture)
        sections = self._first.encode(subjects, logs, first)
        features = _with_first(subjects, logs, first)
        asked = np.flatnonzero(subjects.free)
        for part, index in zip(self._parts, shapes.said[1:], strict=True):
            sections[part.name] = part.symbols.encode(features, index[asked], asked)
        return sections

    def decode(self, subjects: Subjects, logs: Array, sections: Mapping[str, bytes]) -> Shapes:
        """The shapes, as `tell` gave them.

        Raises
        ------
        FormatError
            If a section is damaged.
        """
        first = self._first.decode(subjects, logs, sections)
        features = _with_first(subjects, logs, first)
        asked = np.flatnonzero(subjects.free)
        meant = first.offsets
        for part in self._parts:
            index = np.zeros(len(logs), np.int64)
            index[asked] = part.symbols.decode(features, sections[part.name], asked)
            meant = meant + part.meant(subjects, index)
        return Shapes([], meant, first.picture)


class _Part:
    """One codebook of a stage."""

    def __init__(
        self, name: str, scale: float, axes: Array, arrays: Mapping[str, Array], n_features: int
    ) -> None:
        self.name, self.scale, self.axes = name, scale, axes
        book = arrays.get(f"{name}.book")
        if book is None or book.dtype != np.int16 or book.shape[1:] != (2,) or len(book) < 2:
            raise FormatError(f"'{name}': the codebook of the model is missing or damaged")
        self.codes = book.astype(np.int64)
        self.symbols = Symbols(name, arrays, n_features, len(book))

    def tell(
        self, subjects: Subjects, features: Array, rest: Array, rate_weight: float
    ) -> NDArray[np.int64]:
        """The code of each cluster."""
        index = np.empty(len(rest), np.int64)
        _cheapest(
            rest * self.axes, self.codes / _UNIT, self.symbols.choices.of(features),
            code_lengths(self.symbols.tables), rate_weight * self.scale**2, index,
        )  # fmt: skip
        return np.where(subjects.free > 0, index, 0)

    def meant(self, subjects: Subjects, index: Array) -> NDArray[np.int64]:
        """How far codes move barycentres, in 1/256 of the pitch."""
        moved = self.codes[index] * subjects.steps[:, 1:] // (_UNIT * _FINE)
        free = np.stack([subjects.free & ROWS, subjects.free & COLS], axis=1) > 0
        return np.where(free, moved, 0)


def _parts(name: str, stages: Stages) -> Iterator[tuple[str, float, NDArray[np.int64]]]:
    """Name, scale of errors and axes of each codebook after the pictures."""
    for i in range(1, stages.n + 1):
        scale = _COARSER ** (stages.n - i)
        if stages.product:
            yield f"{name}{i}r", scale, np.array([1, 0])
            yield f"{name}{i}c", scale, np.array([0, 1])
        else:
            yield f"{name}{i}", scale, np.array([1, 1])


def _coarser(subjects: Subjects, stages: int) -> Subjects:
    """The same clusters with spacings for what is followed by so many stages."""
    steps = subjects.steps.copy()
    steps[:, 1:] = np.rint(steps[:, 1:] * _COARSER**stages)
    return subjects._replace(steps=steps)


def _with_first(subjects: Subjects, logs: Array, first: Shapes) -> NDArray[np.uint8]:
    """Features of clusters, with what is known from charge and picture."""
    features = subjects.features.copy()
    fill_in_gain(subjects._replace(features=features), logs)
    fill_in(features, -SAID + 2, *((first.offsets >> 2) + 128).T)
    return features


def _rest(subjects: Subjects, offsets: Array, meant: Array) -> NDArray[np.float64]:
    """What is left of barycentres, in spacings; 0 where they cannot move."""
    free = np.stack([subjects.free & ROWS, subjects.free & COLS], axis=1) > 0
    return np.where(free, (offsets - meant) * _FINE / subjects.steps[:, 1:], 0.0)


def _learn_codes(rest: NDArray[np.float64], size: int, seed: int) -> NDArray[np.int16]:
    """Codes for vectors by k-means, sorted: int16[codes, 2]; at least two."""
    from sklearn.cluster import KMeans

    sample = rest[:: len(rest) // _SAMPLE + 1]
    different = len(np.unique(sample, axis=0))
    if different < 2:
        return np.array([[0, 0], [0, 1]], np.int16)
    means = KMeans(min(size, different), n_init=1, max_iter=_ROUNDS, random_state=seed).fit(sample)
    codes = np.clip(np.rint(means.cluster_centers_ * _UNIT), -32768, 32767).astype(np.int16)
    codes = np.unique(codes, axis=0)
    return codes if len(codes) > 1 else np.concatenate([codes, codes])


@njit(cache=True, nogil=True)
def _cheapest(rest, codes, contexts, bits, weight, index):  # type: ignore[no-untyped-def]
    for i in range(len(rest)):
        least = np.inf
        for j in range(len(codes)):
            dy, dx = rest[i, 0] - codes[j, 0], rest[i, 1] - codes[j, 1]
            cost = dy * dy + dx * dx + weight * bits[contexts[i], j]
            if cost < least:
                least = cost
                index[i] = j
