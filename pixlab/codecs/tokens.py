"""The shape of a cluster as tokens of learned codebooks, put in place by a network of its context.

::

    context, charge ──► network in integers ──► centre, axes ─┐
    token ──► code ───────────────────────────────────────────┴─► barycentre

There is a codebook for each way that a barycentre can move: along rows, along columns, along both. A
large one has a part for each class of clusters, of which only the codes are tried (`code_classes`).
A stage is a set of such codebooks; codes of several stages are added (residual quantisation).
The token that is chosen costs least, squared error and code length together (entropy-constrained
vector quantisation: P. A. Chou, T. Lookabaugh, R. M. Gray, IEEE Trans. ASSP 37, 1989), measured
where the decoder puts it. So what a decoder does with a token is the whole truth, and the
encoder network of the training is not needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pixlab.codecs.code_classes import CodeClasses
from pixlab.codecs.conditioner import Conditioner
from pixlab.codecs.lattice import fill_in_gain
from pixlab.codecs.layers import ONE
from pixlab.codecs.moments import BOTH, COLS, ROWS
from pixlab.codecs.subjects import Shapes, Subjects, fill_in
from pixlab.codecs.usage import CodeUsage
from pixlab.coding.levels import code_lengths
from pixlab.coding.symbols import Symbols
from pixlab.errors import FormatError

__all__ = [
    "KINDS",
    "LEAST_AXIS",
    "NETWORK",
    "OUTPUTS",
    "UNSAID",
    "Frames",
    "TokenCoder",
    "class_name",
    "frames_of",
    "part_name",
]

Array = NDArray[Any]

NETWORK = "network"  # name of its arrays
KINDS = (ROWS, COLS, BOTH)
OUTPUTS = 5  # centre along rows and columns, axes
UNSAID = 2  # columns of features that are filled in after the network was asked
LEAST_AXIS = ONE // 32
_FINE = 16  # spacings are in 1/16 of 1/256 of the pitch
_ROUNDS, _FIRST_ROUNDS = 2, 6
_WIDEST = 1 << 20  # of what comes out of the network


class Frames(NamedTuple):
    """Where codes lie: int64[n] each, in 1/256; a code (y, x) is at (up + a y, along + b y + d x).

    ``up``, ``along``: of the pitch; ``a``, ``b``, ``d``: 1/256.
    """

    up: NDArray[np.int64]
    along: NDArray[np.int64]
    a: NDArray[np.int64]
    b: NDArray[np.int64]
    d: NDArray[np.int64]


def frames_of(network: Conditioner, features: NDArray[np.uint8]) -> Frames:
    """Frames of clusters with these features, of which the last `UNSAID` are not looked at."""
    out = np.clip(network(features), -_WIDEST, _WIDEST)
    up, along, a, b, d = (np.ascontiguousarray(column) for column in out.T)
    return Frames(up, along, np.maximum(a, LEAST_AXIS), b, np.maximum(d, LEAST_AXIS))


class TokenCoder:
    """A way to tell barycentres by tokens.

    Parameters
    ----------
    name : str
        Of the sections and arrays; those of stage s and kind k are ``name.s.k``.
    arrays : mapping of str to array
        Of the model.
    n_features : int
        Of the clusters.
    stages : int
        How many there are.

    Raises
    ------
    FormatError
        If arrays are missing or damaged.
    """

    def __init__(
        self, name: str, arrays: Mapping[str, Array], n_features: int, stages: int
    ) -> None:
        self._name, self.stages = name, stages
        self.network = Conditioner(NETWORK, arrays, n_features - UNSAID, OUTPUTS)
        self.books = [[_book(part_name(name, s, k), arrays) for k in KINDS] for s in range(stages)]
        self.classes = [
            CodeClasses.read(class_name(name, k), arrays, len(book))
            for k, book in zip(KINDS, self.books[0], strict=True)
        ]
        sizes = [[len(book) for book in books] for books in self.books]
        if any(stage != sizes[0] for stage in sizes):
            raise FormatError(f"'{name}': the codebooks of the model's stages differ in size")
        self.symbols = [
            [
                Symbols(part_name(name, s, k), arrays, n_features, self.classes[i].largest)
                for i, k in enumerate(KINDS)
            ]
            for s in range(stages)
        ]

    @staticmethod
    def needs(name: str, stages: int) -> tuple[str, ...]:
        """Arrays that a model must have."""
        parts = [part_name(name, s, k) for s in range(stages) for k in KINDS]
        coded = [n for part in parts for n in (f"{part}.book", *Symbols.needs(part))]
        return (*Conditioner.needs(NETWORK), *coded)

    @staticmethod
    def learn(
        name: str,
        subjects: Subjects,
        logs: Array,
        offsets: Array,
        stages: int,
        *,
        rate_weight: float,
        reuse: float,
        like: Mapping[str, Array],
    ) -> dict[str, Array]:
        """How likely tokens are, for these clusters; ``like`` has the network and the codebooks."""
        n_features = subjects.features.shape[1]
        parts = [part_name(name, s, k) for s in range(stages) for k in KINDS]
        begun = f"{parts[0]}.tree" in like
        found: dict[str, Array] = {}
        if not begun:
            for part, kind in zip(parts, KINDS * stages, strict=True):
                classes = CodeClasses.read(class_name(name, kind), like, len(like[f"{part}.book"]))
                found |= Symbols.blank(part, classes.largest)
        for _ in range(_ROUNDS if begun else _FIRST_ROUNDS):  # cheap tokens are chosen, and cheaper
            coder = TokenCoder(name, {**like, **found}, n_features, stages)
            said = coder.tell(subjects, logs, offsets, rate_weight=rate_weight).said
            frames = coder._frames(subjects, logs)
            meant = np.zeros((len(logs), 2), np.int64)
            for s in range(stages):
                for i, kind in enumerate(KINDS):
                    mine = subjects.free == kind
                    features = coder._features(subjects, frames, meant, s)[mine]
                    n, first = coder.classes[i].largest, coder.classes[i].of(subjects)[0][mine]
                    part = part_name(name, s, kind)
                    found |= Symbols.learn(part, features, said[s][mine] - first, n, reuse=reuse)
                meant = meant + coder._codes(subjects, said[s], s)
        return found

    def tell(
        self, subjects: Subjects, logs: Array, offsets: Array, *, rate_weight: float
    ) -> Shapes:
        """Tokens for barycentres, a column of indices for each stage."""
        frames = self._frames(subjects, logs)
        n = len(logs)
        weights = np.ascontiguousarray(_FINE / subjects.steps[:, 1:].astype(np.float64))
        said = [np.zeros(n, np.int64) for _ in range(self.stages)]
        wish = (offsets - np.stack([frames.up, frames.along], axis=1)).astype(np.float64)
        rest = np.zeros((n, 2), np.int64)
        for s in range(self.stages):
            last = s == self.stages - 1
            for i, kind in enumerate(KINDS):
                which = np.flatnonzero(subjects.free == kind)
                first, end = self.classes[i].of(subjects)
                symbols = self.symbols[s][i]
                contexts = symbols.choices.of(self._features(subjects, frames, rest, s), which)
                # what later stages will correct counts for little
                scale = 1.0 if last else 1.0 / _coarseness(self.books, s, i) ** 2
                _cheapest(
                    which, wish, weights, frames, rest, self.books[s][i], contexts,
                    code_lengths(symbols.tables), code_lengths(symbols.lower), symbols.shift,
                    first[which], end[which],
                    rate_weight, scale, kind, said[s],
                )  # fmt: skip
            rest = rest + self._codes(subjects, said[s], s)
        return Shapes(said, self._meant(subjects, frames, rest), np.full(n, -1, np.int64))

    def encode(self, subjects: Subjects, logs: Array, shapes: Shapes) -> dict[str, bytes]:
        """The sections of what `tell` gave."""
        frames = self._frames(subjects, logs)
        rest = np.zeros((len(logs), 2), np.int64)
        sections = {}
        for s in range(self.stages):
            features = self._features(subjects, frames, rest, s)
            for i, kind in enumerate(KINDS):
                mine = np.flatnonzero(subjects.free == kind)
                symbols = shapes.said[s][mine] - self.classes[i].of(subjects)[0][mine]
                section = self.symbols[s][i].encode(features, symbols, mine)
                sections[part_name(self._name, s, kind)] = section
            rest = rest + self._codes(subjects, shapes.said[s], s)
        return sections

    def decode(self, subjects: Subjects, logs: Array, sections: Mapping[str, bytes]) -> Shapes:
        """The shapes, as `tell` gave them.

        Raises
        ------
        FormatError
            If a section is damaged.
        """
        frames = self._frames(subjects, logs)
        rest = np.zeros((len(logs), 2), np.int64)
        said = []
        for s in range(self.stages):
            features = self._features(subjects, frames, rest, s)
            index = np.zeros(len(logs), np.int64)
            for i, kind in enumerate(KINDS):
                mine = np.flatnonzero(subjects.free == kind)
                section = sections[part_name(self._name, s, kind)]
                first, end = (bound[mine] for bound in self.classes[i].of(subjects))
                index[mine] = first + self.symbols[s][i].decode(features, section, mine)
                if (index[mine] >= end).any():
                    raise FormatError("a token is not of the class of its cluster")
            rest = rest + self._codes(subjects, index, s)
            said.append(index)
        return Shapes(said, self._meant(subjects, frames, rest), np.full(len(logs), -1, np.int64))

    def from_tokens(self, subjects: Subjects, logs: Array, tokens: list[Array]) -> Shapes:
        """What `tokens` of clusters mean: the inverse of `tokens`.

        Raises
        ------
        FormatError
            If a token is none of the codebook of its cluster.
        """
        frames = self._frames(subjects, logs)
        rest = np.zeros((len(logs), 2), np.int64)
        said = []
        for s, (books, token) in enumerate(zip(self.books, tokens, strict=True)):
            first = np.cumsum([0, *(len(book) for book in books)])
            index = np.zeros(len(logs), np.int64)
            for i, kind in enumerate(KINDS):
                mine = subjects.free == kind
                index[mine] = token[mine] - first[i]
                begin, end = (bound[mine] for bound in self.classes[i].of(subjects))
                if (index[mine] < begin).any() or (index[mine] >= end).any():
                    raise FormatError("a token is not of the codebook for the shape of its cluster")
            rest = rest + self._codes(subjects, index, s)
            said.append(index)
        return Shapes(said, self._meant(subjects, frames, rest), np.full(len(logs), -1, np.int64))

    def tokens(self, subjects: Subjects, shapes: Shapes) -> list[NDArray[np.int64]]:
        """Tokens of all kinds in one count, stage by stage; -1 where there is none."""
        found = []
        for books, index in zip(self.books, shapes.said, strict=True):
            first = np.cumsum([0, *(len(book) for book in books)])
            token = np.full(len(index), -1, np.int64)
            for i, kind in enumerate(KINDS):
                mine = subjects.free == kind
                token[mine] = index[mine] + first[i]
            found.append(token)
        return found

    def usage(
        self, subjects: Subjects, shapes: Shapes, asked: Array, escaped: int
    ) -> list[CodeUsage]:
        """How often each token is chosen by the clusters that are `asked`, stage by stage."""
        found = []
        for s, token in enumerate(self.tokens(subjects, shapes)):
            size = sum(len(book) for book in self.books[s])
            counts = np.bincount(token[asked & (token >= 0)], minlength=size)
            found.append(CodeUsage(f"{self._name}.{s}", counts, escaped))
        return found

    def _frames(self, subjects: Subjects, logs: Array) -> Frames:
        fill_in_gain(subjects, logs)
        return frames_of(self.network, subjects.features)

    def _features(
        self, subjects: Subjects, frames: Frames, rest: Array, stage: int
    ) -> NDArray[np.uint8]:
        """What contexts are chosen by: first how far codes reach, later what codes said so far."""
        features = subjects.features.copy()
        two = np.stack([frames.a, frames.d], axis=1) >> 3 if stage == 0 else (rest >> 1) + 128
        fill_in(features, -UNSAID, *two.T)
        return features

    def _codes(self, subjects: Subjects, index: Array, stage: int) -> NDArray[np.int64]:
        """Codes of tokens: int64[n, 2]."""
        found = np.zeros((len(index), 2), np.int64)
        for i, kind in enumerate(KINDS):
            mine = subjects.free == kind
            found[mine] = self.books[stage][i][index[mine]]
        return found

    def _meant(self, subjects: Subjects, frames: Frames, codes: Array) -> NDArray[np.int64]:
        """Where barycentres are: int64[n, 2]."""
        row = frames.up + (frames.a * codes[:, 0] >> 8)
        col = frames.along + (frames.b * codes[:, 0] + frames.d * codes[:, 1] >> 8)
        free = np.stack([subjects.free & ROWS, subjects.free & COLS], axis=1) > 0
        return np.where(free, np.stack([row, col], axis=1), 0)


def part_name(name: str, stage: int, kind: int) -> str:
    """Of the section and arrays of a stage, for a kind of clusters."""
    return f"{name}.{stage}.{'-rcb'[kind]}"


def class_name(name: str, kind: int) -> str:
    """Of the arrays with the classes of a kind of clusters."""
    return f"{name}.{'-rcb'[kind]}"


def _book(part: str, arrays: Mapping[str, Array]) -> NDArray[np.int64]:
    """A codebook of the model: int64[codes, 2]."""
    book = arrays.get(f"{part}.book")
    if book is None:
        raise FormatError(f"the model has no array '{part}.book'")
    good = book.ndim == 2 and book.shape[1:] == (2,) and 2 <= len(book) <= 65536
    if not good or book.dtype != np.int16:
        raise FormatError(f"'{part}': the codebook of the model is damaged")
    return book.astype(np.int64)


def _coarseness(books: list[list[Array]], stage: int, kind: int) -> float:
    """How much farther apart codes of a stage are than those of the last."""
    spread = [float(np.abs(book[kind]).mean()) + 1.0 for book in books]
    return max(spread[stage] / spread[-1], 1.0)


@njit(cache=True, nogil=True)
def _cheapest(  # type: ignore[no-untyped-def]
    which,
    wish,
    weights,
    frames,
    rest,
    book,
    contexts,
    upper,
    lower,
    shift,
    first,
    end,
    rate,
    scale,
    kind,
    said,
):
    mask = (1 << shift) - 1
    for k in range(len(which)):
        i = which[k]
        a, b, d = frames.a[i], frames.b[i], frames.d[i]
        y0, x0 = rest[i, 0], rest[i, 1]
        least = np.inf
        for j in range(first[k], end[k]):
            symbol = j - first[k]
            bits = upper[contexts[k], symbol >> shift]
            cost = rate * bits
            if cost >= least:
                continue
            y, x = y0 + book[j, 0], x0 + book[j, 1]
            if kind & 1:
                up = ((a * y >> 8) - wish[i, 0]) * weights[i, 0]
                cost += scale * up * up
                if cost >= least:
                    continue
            if kind & 2:
                along = ((b * y + d * x >> 8) - wish[i, 1]) * weights[i, 1]
                cost += scale * along * along
            if shift:
                cost += rate * lower[symbol >> shift, symbol & mask]
            if cost < least:
                least = cost
                said[i] = j
