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
_CERTAIN = 20  # modules whose hits lie in the smaller of two matrices: it is not the larger


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
    known, outside, astray = {}, {}, {}
    for detector in ordered:
        unknown, beyond, too_large = _misfits(detector, detid, row, col, adc)
        known[detector.name] = not unknown.any()
        outside[detector.name] = unknown | beyond | too_large
        astray[detector.name] = int((beyond & ~unknown & ~too_large).sum())
    if any(known[name] for name in prefer if name in known):
        ordered = [d for d in ordered if d.name in prefer]
    best = min(ordered, key=lambda d: outside[d.name].sum())
    if all(outside[d.name].any() for d in ordered):
        if not any(known.values()):
            i = int(np.argmin(np.isin(detid, best.detid)))
            raise UnknownModuleError(
                f"event {int(event[i])}: detector '{best.name}' has no module with id "
                f"{int(detid[i])}, nor has any other that pixlab knows",
                "pass detector=, a name in DETECTORS or your own made with Detector.from_table",
            )
        return Guess(best, ())  # one row, column or count is wrong: it will be named
    fitting = [d for d in ordered if not outside[d.name].any()]
    # names that share their ids differ in response or pixels: there, the first that fits is meant
    families = {d.detid.tobytes(): d for d in reversed(fitting)}.values()
    kinds = sorted(families, key=fitting.index)
    modules = len(np.unique(event.astype(np.int64) << 32 | detid.astype(np.int64)))
    if modules >= _CERTAIN:
        # a few modules outside the smaller matrix are its errors, to be named, not the larger one
        kinds += [
            d
            for d in ordered
            if known[d.name] and 0 < outside[d.name].sum() == astray[d.name] <= modules // _CERTAIN
        ]
        kinds = [min(kinds, key=lambda d: _pixels(d, detid))]
    return Guess(kinds[0], tuple(d.name for d in kinds[1:]))


def _largest(values: NDArray[Any], begin: NDArray[np.int64]) -> NDArray[np.int64]:
    """The largest number of each group; -1 where one is negative."""
    least = np.minimum.reduceat(values, begin).astype(np.int64)
    return np.where(least < 0, -1, np.maximum.reduceat(values, begin).astype(np.int64))


def _misfits(
    detector: Detector,
    detid: NDArray[Any],
    row: NDArray[Any],
    col: NDArray[Any],
    adc: NDArray[Any],
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
    """Which modules are not of the detector, which have hits where it has no pixel, or counts."""
    if detid[0] < detector.detid[0] or detid[0] > detector.detid[-1]:  # far from it: be quick
        all_of_them = np.ones(len(detid), bool)
        return all_of_them, all_of_them, all_of_them
    place = np.minimum(np.searchsorted(detector.detid, detid), len(detector) - 1)
    beyond = (row < 0) | (col < 0) | (row >= detector.rows[place]) | (col >= detector.cols[place])
    return detector.detid[place] != detid, beyond, (adc < 0) | (adc > detector.adc_max)


def _pixels(detector: Detector, detid: NDArray[Any]) -> int:
    """Pixels of the modules with these ids."""
    place = detector.index(np.unique(detid))
    return int((detector.rows[place].astype(np.int64) * detector.cols[place]).sum())
