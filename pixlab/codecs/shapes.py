"""The ways to tell shapes, chosen by a plan: a lattice, a codebook, one in stages, learned tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pixlab.codecs.codebook import make_codebook
from pixlab.codecs.codes import CodeCoder
from pixlab.codecs.lattice import LatticeCoder
from pixlab.codecs.residuals import ResidualCoder, Stages
from pixlab.codecs.subjects import Shapes, Subjects
from pixlab.codecs.tokens import TokenCoder
from pixlab.codecs.usage import CodeUsage
from pixlab.detectors import Detector

__all__ = ["ShapeCoder", "ShapeNames", "ShapePlan"]

Array = NDArray[Any]


class ShapePlan(NamedTuple):
    """How shapes are told.

    ``coded``: by pictures of a codebook, not by points of a lattice; ``stages``: what follows the
    picture, None for nothing; ``seed``: of codebooks; ``tokens``: stages of learned tokens, in place
    of all that, 0 for none.
    """

    coded: bool
    stages: Stages | None = None
    seed: int = 1
    tokens: int = 0


class ShapeNames(NamedTuple):
    """Names of sections and arrays, and the feature that says how columns change with rows or -1."""

    axes: tuple[str, str]
    code: str
    token: str
    slope: int


class ShapeCoder:
    """A way to tell shapes of clusters whose charge is known.

    Parameters
    ----------
    plan : ShapePlan
        Which way.
    names : ShapeNames
        Of sections and arrays.
    detector : Detector
        Of the clusters.
    arrays : mapping of str to array
        Of the model.
    n_features : int
        Of the clusters.

    Raises
    ------
    FormatError
        If arrays are missing or damaged.
    """

    def __init__(
        self,
        plan: ShapePlan,
        names: ShapeNames,
        detector: Detector,
        arrays: Mapping[str, Array],
        n_features: int,
    ) -> None:
        self._coder: LatticeCoder | CodeCoder | ResidualCoder | TokenCoder
        if plan.tokens:
            self._coder = TokenCoder(names.token, arrays, n_features, plan.tokens)
        elif not plan.coded:
            self._coder = LatticeCoder(names.axes, arrays, n_features, names.slope)
        elif plan.stages is None:
            self._coder = CodeCoder(names.code, arrays, n_features, make_codebook(arrays, detector))
        else:
            book = make_codebook(arrays, detector)
            self._coder = ResidualCoder(names.code, arrays, n_features, book, plan.stages)
        self.encode = self._coder.encode
        self.decode = self._coder.decode

    @staticmethod
    def needs(plan: ShapePlan, names: ShapeNames) -> tuple[str, ...]:
        """Arrays that a model must have, besides the codebook of pictures."""
        if plan.tokens:
            return TokenCoder.needs(names.token, plan.tokens)
        if not plan.coded:
            return LatticeCoder.needs(names.axes)
        if plan.stages is None:
            return CodeCoder.needs(names.code)
        return ResidualCoder.needs(names.code, plan.stages)

    @staticmethod
    def learn(
        plan: ShapePlan,
        names: ShapeNames,
        detector: Detector,
        subjects: Subjects,
        logs: Array,
        offsets: Array,
        canvases: NDArray[np.float32],
        *,
        rate_weight: float,
        reuse: float,
        like: Mapping[str, Array],
    ) -> dict[str, Array]:
        """The arrays of a model that suits these clusters.

        ``like`` has the codebook where shapes are coded, and may have arrays to begin with.
        """
        learning: dict[str, Any] = {"rate_weight": rate_weight, "reuse": reuse}
        if plan.tokens:
            return TokenCoder.learn(
                names.token, subjects, logs, offsets, plan.tokens, like=like, **learning
            )
        if not plan.coded:
            return LatticeCoder.learn(
                names.axes, subjects, logs, offsets, slope=names.slope, like=like, **learning
            )
        book = make_codebook(like, detector)
        args = names.code, subjects, logs, offsets, canvases, book
        if plan.stages is None:
            return CodeCoder.learn(*args, **learning)
        return ResidualCoder.learn(*args, plan.stages, seed=plan.seed, **learning)

    def tell(
        self,
        subjects: Subjects,
        logs: Array,
        offsets: Array,
        canvases: NDArray[np.float32],
        *,
        rate_weight: float,
    ) -> Shapes:
        """What is said of shapes with these barycentres and `codebook.canvases_of`."""
        args = subjects, logs, offsets
        if isinstance(self._coder, (LatticeCoder, TokenCoder)):
            return self._coder.tell(*args, rate_weight=rate_weight)
        return self._coder.tell(*args, canvases, rate_weight=rate_weight)

    def usage(
        self, subjects: Subjects, shapes: Shapes, explicit: Array, *, escaped: int = 0
    ) -> list[CodeUsage]:
        """How often each code is chosen, stage by stage; none for a lattice.

        ``explicit``: bool[n], clusters whose codes do not count; ``escaped``: how many more there are.
        """
        if isinstance(self._coder, LatticeCoder):
            return []
        asked = ~explicit
        escaped += int(explicit.sum())
        if isinstance(self._coder, TokenCoder):
            return self._coder.usage(subjects, shapes, asked, escaped)
        found = [self._coder.usage(shapes.picture[asked & (shapes.picture >= 0)], escaped)]
        if isinstance(self._coder, ResidualCoder):
            asked &= subjects.free > 0
            for name, size, index in self._coder.stages(shapes):
                found.append(CodeUsage(name, np.bincount(index[asked], minlength=size), escaped))
        return found
