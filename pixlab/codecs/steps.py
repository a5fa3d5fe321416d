"""Spacings of charge and barycentre for each layer, so that errors are just what is allowed.

Errors grow with spacings, nearly in proportion, but not smoothly: an entropy-coded quantiser may
find at some spacing that most clusters need no bit. So spacings are first changed in proportion,
and where that overshoots, between those that were good enough and those that were not. In the end
the try counts that as a whole was within limits and nearest to them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["LAYERS", "StepSearch"]

Array = NDArray[Any]
LAYERS = 8
_MOST = 65535
# of what is allowed: the rest is for events that are not fitted on
_AIM, _LIMIT, _TOO_MUCH = 0.95, 0.96, 0.975
_NEAR = 0.935  # near enough to stop, for all layers
_DAMPING = 0.8  # since contexts learn from spacings that were just changed
_FARTHEST = 1.5  # times which a spacing changes at once


class StepSearch:
    """A search for the largest spacings that keep rms errors within what is allowed.

    Parameters
    ----------
    first : float64[LAYERS, 3]
        Spacings to begin with.
    allowed : float64[3]
        Errors that are allowed in each layer: of charge, of the barycentre along rows and columns.
    strictness : float
        How much more it counts that an error is nearly too large, or is, than that it could be larger.
    """

    def __init__(self, first: Array, allowed: Array, *, strictness: float) -> None:
        self._strictness = strictness
        self._steps = first.astype(np.float64)
        self._allowed = np.broadcast_to(allowed, first.shape)
        self._good = np.zeros(first.shape)
        self._bad = np.full(first.shape, np.inf)
        self._best = -np.inf

    @property
    def steps(self) -> NDArray[np.uint16]:
        """Spacings to try next."""
        return np.clip(np.rint(self._steps), 1, _MOST).astype(np.uint16)

    def allow(self, allowed: Array) -> None:
        """From now on, judge by these errors instead."""
        self._allowed = np.broadcast_to(allowed, self._allowed.shape)

    def judge(self, errors: Array, *, bias: float = 0.0) -> tuple[bool, bool]:
        """Learn what errors these spacings had; NaN where there is nothing to err.

        ``bias`` is what of the allowed one the mean charge is off by; above 1 it counts as an error that is too large.

        Returns
        -------
        bool, bool
            Whether this is the best try so far, and whether it is good enough to stop.
        """
        steps = self.steps.astype(np.float64)
        known = np.isfinite(errors)
        share = np.where(known, errors / self._allowed, _AIM)
        excess = np.maximum(share - _LIMIT, 0).sum()
        excess += self._strictness * np.maximum(share - _TOO_MUCH, 0).sum()
        excess += self._strictness * max(bias - 1, 0.0)
        score = -excess - np.maximum(_AIM - share, 0).mean()
        best, self._best = score > self._best, max(score, self._best)
        inside = share <= _LIMIT
        self._good = np.where(inside, np.maximum(self._good, steps), self._good)
        self._bad = np.where(inside, self._bad, np.minimum(self._bad, steps))
        guess = (
            steps * np.clip(_AIM / np.maximum(share, 1e-9), 1 / _FARTHEST, _FARTHEST) ** _DAMPING
        )
        # noise makes good and bad spacings overlap; where they do not, stay between them
        apart = (self._good > 0) & (self._good < self._bad) & np.isfinite(self._bad)
        beyond = (guess >= self._bad) | (guess <= self._good)
        between = np.sqrt(np.maximum(self._good, 1) * np.minimum(self._bad, _MOST))
        wanted = np.where(apart & beyond & ~(inside & (share > _NEAR)), between, guess)
        self._steps = np.where(known, wanted, steps)
        return bool(best), bool((inside & ((share > _NEAR) | (steps >= _MOST))).all())
