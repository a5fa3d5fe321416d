"""Overlay of two events' digis by the rule with which CMS pre-mixes pile-up.

The counts of a pixel that both events hit are added: above 511 they become 255; from 254 to 511,
254. A count of a single event goes the same way, so that a lone 255 becomes 254. The result, times
135 electrons a count, is digitised again: what is below the threshold is dropped, the rest keeps
its count. Source: `SimTracker/SiPixelDigitizer/plugins/PreMixingSiPixelWorker.cc` in cms-sw/cmssw.
The digitisation that CMS does there also kills modules and columns, and smears thresholds; that is
left out, so that a result depends on its input alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pixlab.detectors import Detector
from pixlab.digis import Digis
from pixlab.errors import PixlabError

__all__ = ["faint_below", "premix", "premixable"]

# SimGeneral/MixingModule/python/SiPixelSimParameters_cfi.py: ElectronPerAdc, and the threshold of
# Run 3 outside of the first barrel layer
ELECTRONS_PER_ADC = 135.0
THRESHOLD = 1600.0
_FULL = 255  # full scale; 254 stands for everything from 254 to twice the full scale
_DIGI_WORD = 1023  # the largest count of a CMS digi


def premix(
    signal: Digis,
    pileup: Digis,
    *,
    threshold: float = THRESHOLD,
    electrons_per_adc: float = ELECTRONS_PER_ADC,
    cycle: bool = False,
) -> Digis:
    """Pile-up events added to signal events, one to one, by the CMS rule.

    Parameters
    ----------
    signal, pileup : Digis
        Events of one detector with linear counts of at least 8 bits. Event ``i`` of the signal
        gets event ``i`` of the pile-up; pile-up events left over are not used.
    threshold : float
        Charge in electrons below which a pixel is dropped at the end. At the default of 1600 that
        is a count of 11 or less; 0 drops nothing.
    electrons_per_adc : float
        Electrons of a count, for the threshold.
    cycle : bool
        Whether to begin again with the first pile-up event after the last one, where there are
        fewer of them than signal events.

    Returns
    -------
    Digis
        As many events as the signal has, with its event numbers; without flags.

    Raises
    ------
    PixlabError
        If the detectors differ or do not fit the rule, there are too few pile-up events, or the
        threshold is no number.

    Examples
    --------
    >>> import pixlab
    >>> def one(adc):
    ...     return pixlab.Digis.from_arrays([0], [303042564], [1], [2], [adc], detector="phase1")
    >>> pixlab.premix(one(200), one(100)).adc
    array([254], dtype=uint16)
    >>> pixlab.premix(one(20), one(11)).adc
    array([31], dtype=uint16)
    """
    _check(signal, pileup, threshold, electrons_per_adc)
    pileup = _one_to_one(len(signal), pileup, cycle)

    key = np.concatenate([_pixels(signal), _pixels(pileup)])
    counts = np.concatenate([signal.adc, pileup.adc]).astype(np.int64)
    # two sorted runs: a stable sort merges them in linear time
    order = np.argsort(key, kind="stable")
    key, counts = key[order], counts[order]
    first = np.ones(len(key), bool)
    np.not_equal(key[1:], key[:-1], out=first[1:])
    total = np.add.reduceat(counts, np.flatnonzero(first)) if len(key) else counts
    total = np.where(total > 2 * _FULL + 1, _FULL, np.minimum(total, _FULL - 1))

    kept = total * electrons_per_adc >= threshold
    at = order[first][kept]  # any of the digis of a pixel; its place is the same in both events
    ends = np.searchsorted(key[first][kept], _first_pixels(signal))
    return Digis(
        detector=signal.detector,
        offsets=ends.astype(np.int64),
        detid=np.concatenate([signal.detid, pileup.detid])[at],
        row=np.concatenate([signal.row, pileup.row])[at],
        col=np.concatenate([signal.col, pileup.col])[at],
        adc=total[kept].astype(np.uint16),
        event_id=signal.event_id,
    )


def premixable(detector: Detector) -> bool:
    """Whether the counts of a detector are of the kind that `premix` adds."""
    return _FULL <= detector.adc_max <= _DIGI_WORD


def faint_below(detector: Detector) -> int:
    """The count below which `premix` drops a pixel that is alone; 0 where it does not apply."""
    return int(np.ceil(THRESHOLD / ELECTRONS_PER_ADC)) if premixable(detector) else 0


def _check(signal: Digis, pileup: Digis, threshold: float, electrons_per_adc: float) -> None:
    detector = signal.detector
    if detector != pileup.detector:
        raise PixlabError(
            f"signal and pile-up are of different detectors: '{detector.name}' and "
            f"'{pileup.detector.name}'",
            "read both with the same detector=",
        )
    if not premixable(detector):
        raise PixlabError(
            f"counts of detector '{detector.name}' go up to {detector.adc_max}; pre-mixing adds "
            f"linear counts with a full scale of {_FULL}",
            "use a pre-mixed file, as of detector 'phase2-premix'",
        )
    if not (np.isfinite(threshold) and np.isfinite(electrons_per_adc) and electrons_per_adc > 0):
        raise PixlabError(
            f"threshold {threshold} or electrons_per_adc {electrons_per_adc} is out of range",
            "give numbers of electrons, as the defaults are",
        )


def _one_to_one(n_events: int, pileup: Digis, cycle: bool) -> Digis:
    """As many pile-up events as there are signal events."""
    if len(pileup) >= n_events:
        return pileup[:n_events]
    if cycle and len(pileup):
        return pileup[np.arange(n_events) % len(pileup)]
    raise PixlabError(
        f"{len(pileup)} pile-up events are too few for {n_events} signal events",
        "pass cycle=True to use them again" if len(pileup) else "give some",
    )


def _bits(digis: Digis) -> tuple[int, int, int]:
    """Bits of module index, row and column."""
    detector = digis.detector
    sizes = (len(detector), int(detector.rows.max(initial=1)), int(detector.cols.max(initial=1)))
    modules, rows, cols = (max(size - 1, 0).bit_length() for size in sizes)
    if modules + rows + cols + len(digis).bit_length() > 64:
        raise PixlabError(f"{len(digis)} events are too many for one block of digis")
    return modules, rows, cols


def _first_pixels(digis: Digis) -> NDArray[np.uint64]:
    """The smallest number of a pixel in each event, and of the event after the last."""
    return np.arange(len(digis) + 1, dtype=np.uint64) << np.uint64(sum(_bits(digis)))


def _pixels(digis: Digis) -> NDArray[np.uint64]:
    """One number a pixel, in the order of digis."""
    _, rows, cols = _bits(digis)
    frames = _first_pixels(digis)[digis.frames.event]
    frames |= digis.frames.module.astype(np.uint64) << np.uint64(rows + cols)
    pixel = np.repeat(frames, np.diff(digis.frames.offsets))
    pixel |= digis.row.astype(np.uint64) << np.uint64(cols)
    pixel |= digis.col
    return pixel
