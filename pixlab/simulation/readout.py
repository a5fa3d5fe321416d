"""From the charge of pixels to counts: noise, threshold, response."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.random import Generator
from numpy.typing import NDArray

from pixlab.detectors import Detector
from pixlab.simulation.conditions import Conditions, per_layer
from pixlab.simulation.sensor import COL_BITS, ROW_BITS, Pixels

__all__ = ["Links", "Readout", "digitize", "readout_of"]

LINEAR, TANH, TOT = range(3)
_RESPONSES = {"linear": LINEAR, "tanh": TANH, "tot": TOT}
# Dual slope: from count 8 on a count is 2 ** (3 - 1) times as long (Phase2ReadoutMode 3 of
# SimTracker/SiPhase2Digitizer/python/phase2TrackerDigitizer_cfi.py)
TOT_SLOPE = 4


class Readout(NamedTuple):
    """Settings of the readout chips, in electrons; one entry a layer where they differ."""

    threshold: NDArray[np.float64]
    smearing: NDArray[np.float64]  # rms of the threshold between pixels
    noise: float
    gain: NDArray[np.float64]  # electrons a count, or a unit of vcal
    offset: NDArray[np.float64]
    full_scale: int
    response: int


class Links(NamedTuple):
    """Which crossings left how much charge in which digi, by rising digi."""

    digi: NDArray[np.int64]
    crossing: NDArray[np.int32]
    charge: NDArray[np.float64]  # electrons, before noise


def readout_of(conditions: Conditions, detector: Detector) -> Readout:
    """The readout of a detector under conditions."""
    return Readout(
        threshold=per_layer(conditions.threshold, detector),
        smearing=per_layer(conditions.threshold_smearing, detector),
        noise=conditions.noise,
        gain=per_layer(conditions.gain, detector),
        offset=per_layer(conditions.offset, detector),
        full_scale=conditions.full_scale,
        response=_RESPONSES[conditions.response],
    )


@njit(cache=True, nogil=True)
def digitize(
    rng: Generator, readout: Readout, layer: NDArray[np.int64], pixels: Pixels, truth: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64], Links]:
    """Pixels above threshold, by rising key, their counts, and what left the charge.

    Parameters
    ----------
    rng : Generator
        The stream of the event.
    readout : Readout
        Settings.
    layer : int64[modules]
        Layer of each module.
    pixels : Pixels
        Charge; a pixel may occur several times.
    truth : bool
        Whether to fill the links.
    """
    order = np.argsort(pixels.key, kind="mergesort")
    entries = len(order)
    pixel = np.empty(entries, np.int64)
    count = np.empty(entries, np.int64)
    room = entries if truth else 0
    links = Links(np.empty(room, np.int64), np.empty(room, np.int32), np.empty(room))
    n = linked = 0
    i = 0
    while i < entries:
        begin = i
        this = pixels.key[order[i]]
        total = 0.0
        while i < entries and pixels.key[order[i]] == this:
            total += pixels.charge[order[i]]
            i += 1
        at = layer[this >> (ROW_BITS + COL_BITS)]
        signal = total + readout.noise * rng.standard_normal()
        if signal <= readout.threshold[at] + readout.smearing[at] * rng.standard_normal():
            continue
        if readout.response == TANH:
            adc = _tanh(rng, signal, readout.gain[at], readout.offset[at])
        elif readout.response == TOT:
            adc = _tot(signal - readout.threshold[at], readout.gain[at], readout.full_scale)
        else:
            adc = int((signal - readout.offset[at]) / readout.gain[at])
        pixel[n] = this
        count[n] = min(max(adc, 0), readout.full_scale)
        if truth:
            linked = _link(pixels, order[begin:i], n, links, linked)
        n += 1
    if truth:
        links = Links(links.digi[:linked], links.crossing[:linked], links.charge[:linked])
    return pixel[:n], count[:n], links


@njit(cache=True, nogil=True)
def _link(pixels: Pixels, entries: NDArray[np.int64], digi: int, links: Links, n: int) -> int:
    """Add the entries of one pixel, those of one crossing summed."""
    first = n
    for entry in entries:  # by rising crossing: the sort was stable
        crossing = pixels.crossing[entry]
        if n > first and links.crossing[n - 1] == crossing:
            links.charge[n - 1] += pixels.charge[entry]
        else:
            links.digi[n], links.crossing[n] = digi, crossing
            links.charge[n] = pixels.charge[entry]
            n += 1
    return n


@njit(cache=True, nogil=True)
def _tanh(rng: Generator, signal: float, gain: float, offset: float) -> int:
    """Counts of the Run-3 response, after the noise that grows with charge.

    Both from SiPixelDigitizerAlgorithm.cc (ChargeVCALSmearing and the mis-calibration response).
    """
    if signal < 3000.0:
        rms = 543.6 - 0.093 * signal
    elif signal < 6000.0:
        rms = 307.6 - 0.01 * signal
    else:
        rms = -432.4 + 0.123 * signal
    vcal = (signal + rms * rng.standard_normal() - offset) / gain
    return int(148.0 + 203.0 * np.tanh(0.00171 * vcal - 0.711))


@njit(cache=True, nogil=True)
def _tot(above: float, gain: float, full_scale: int) -> int:
    """Time over threshold of a charge above threshold, with two slopes.

    Source: convertSignalToAdc of SimTracker/SiPhase2Digitizer/plugins/
    Phase2TrackerDigitizerAlgorithm.cc.
    """
    count = int(above / gain) + 1
    kink = full_scale // 2 + 1
    if count > kink:
        count = (count - kink) // TOT_SLOPE + kink
    return max(count, 1)
