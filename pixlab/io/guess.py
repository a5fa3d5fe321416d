"""Which detector digis are of, where a file does not say: the one that all of them fit.

Ids alone do not settle it: a small file of Phase 2 may have only ids that Phase 1 has, too. Rows,
columns and counts are looked at as well, and what the file's names suggest.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pixlab.detectors import DETECTORS, Detector
from pixlab.errors import UnknownModuleError

__all__ = ["ENOUGH", "Guess", "guess"]

ENOUGH = 200  # modules with digis that are looked at
_CERTAIN = 20  # modules all of whose hits lie in the smaller of two matrices: it is not the larger


class Guess(NamedTuple):
    """The detector, and the names of others that the digis may be of as well."""

    detector: Detector
    others: tuple[str, ...]


def guess(
    event: NDArray[Any],
    detid: NDArray[Any],
    row: NDArray[Any],
    col: NDArray[Any],
    adc: NDArray[Any],
    prefer: tuple[str, ...] = (),
) -> Guess:
    """The first of `DETECTORS` that all digis fit, or else the one that most modules fit.

    Parameters
    ----------
    event, detid, row, col, adc : int array[n]
        Some digis of a file; ``event`` only for errors.
    prefer : tuple of str
        Names of detectors that the file suggests: if one of them has all ids, it is no other.

    Raises
    ------
    UnknownModuleError
        If there is a module id that no detector has beside the others.
    """
    ordered = sorted(DETECTORS.values(), key=lambda d: d.name not in prefer)
    if not len(detid):
        return Guess(ordered[0], ())
    # one line a module and event is enough: its largest numbers, and whether any is negative
    begin = np.flatnonzero(np.append(True, (np.diff(event) != 0) | (detid[1:] != detid[:-1])))
    event, detid = event[begin], detid[begin]
    row, col, adc = (_largest(values, begin) for values in (row, col, adc))
    known = [np.isin(detid, d.detid).all() for d in ordered]
    if any(k for d, k in zip(ordered, known, strict=True) if d.name in prefer):
        ordered = [d for d in ordered if d.name in prefer]
    outside = [_outside(d, detid, row, col, adc) for d in ordered]
    best = ordered[int(np.argmin([o.sum() for o in outside]))]
    if all(o.any() for o in outside):
        if not any(known):
            i = int(np.argmin(np.isin(detid, best.detid)))
            raise UnknownModuleError(
                f"event {int(event[i])}: detector '{best.name}' has no module with id "
                f"{int(detid[i])}, nor has any other that pixlab knows",
                "pass detector=, a name in DETECTORS or your own made with Detector.from_table",
            )
        return Guess(best, ())  # one row, column or count is wrong: it will be named
    fitting = [d for d, o in zip(ordered, outside, strict=True) if not o.any()]
    # names that share their ids differ in response or pixels: there, the first that fits is meant
    families = {d.detid.tobytes(): d for d in reversed(fitting)}.values()
    kinds = sorted(families, key=fitting.index)
    modules = len(np.unique(event.astype(np.int64) << 32 | detid.astype(np.int64)))
    if len(kinds) > 1 and modules >= _CERTAIN:
        kinds = [min(kinds, key=lambda d: _pixels(d, detid))]
    return Guess(kinds[0], tuple(d.name for d in kinds[1:]))


def _largest(values: NDArray[Any], begin: NDArray[np.int64]) -> NDArray[np.int64]:
    """The largest number of each group; -1 where one is negative."""
    least = np.minimum.reduceat(values, begin).astype(np.int64)
    return np.where(least < 0, -1, np.maximum.reduceat(values, begin).astype(np.int64))


def _outside(
    detector: Detector,
    detid: NDArray[Any],
    row: NDArray[Any],
    col: NDArray[Any],
    adc: NDArray[Any],
) -> NDArray[np.bool_]:
    """Which modules are not of the detector, or have hits where it has no pixel."""
    if detid[0] < detector.detid[0] or detid[0] > detector.detid[-1]:  # far from it: be quick
        return np.ones(len(detid), bool)
    place = np.minimum(np.searchsorted(detector.detid, detid), len(detector) - 1)
    bad = (detector.detid[place] != detid) | (row < 0) | (col < 0) | (adc < 0)
    bad |= (row >= detector.rows[place]) | (col >= detector.cols[place]) | (adc > detector.adc_max)
    return bad


def _pixels(detector: Detector, detid: NDArray[Any]) -> int:
    """Pixels of the modules with these ids."""
    place = detector.index(np.unique(detid))
    return int((detector.rows[place].astype(np.int64) * detector.cols[place]).sum())
