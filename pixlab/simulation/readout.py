"""From the charge of pixels to counts: noise, threshold, response."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.random import Generator
from numpy.typing import NDArray

from pixlab.detectors import Detector
from pixlab.errors import PixlabError

__all__ = ["Readout", "digitize", "readout_of"]


class Readout(NamedTuple):
    """Settings of the readout chips, in electrons; one entry a layer where they differ."""

    threshold: NDArray[np.float64]
    smearing: NDArray[np.float64]  # rms of the threshold between pixels
    noise: float
    gain: NDArray[np.float64]  # electrons a count, or a unit of vcal
    offset: NDArray[np.float64]
    full_scale: int
    run3: bool


# SimGeneral/MixingModule/python/SiPixelSimParameters_cfi.py
NOISE = 350.0
FULL_SCALE = 255
LINEAR_GAIN = 135.0
RUN3_THRESHOLDS = (2000.0, 1600.0, 1600.0, 1600.0, 1600.0, 1600.0, 1600.0)
SMEARING = (245.0, 245.0, 245.0, 245.0, 210.0, 210.0, 210.0)
# SimTracker/SiPixelDigitizer/plugins/SiPixelDigitizerAlgorithm.cc: layer 1, then the others
RUN3_GAIN = (50.0, 47.0)
RUN3_OFFSET = (-670.0, -60.0)
# The linear reference data have one threshold in all layers; both values are read off the edge
# of their adc spectra (CMS ran at 2000 e, layer 1 at 3000 e, before Run 3)
REFERENCE_THRESHOLD = 1490.0
REFERENCE_SMEARING = 85.0


def readout_of(detector: Detector) -> Readout:
    """The readout of ``phase1`` (linear response) or ``phase1-run3``.

    Raises
    ------
    PixlabError
        If the detector is another one.
    """
    first = np.array([name == "BPIX 1" for name in detector.layers])
    if detector.name == "phase1":
        return Readout(
            threshold=np.full(len(first), REFERENCE_THRESHOLD),
            smearing=np.full(len(first), REFERENCE_SMEARING),
            noise=NOISE,
            gain=np.full(len(first), LINEAR_GAIN),
            offset=np.zeros(len(first)),
            full_scale=FULL_SCALE,
            run3=False,
        )
    if detector.name == "phase1-run3":
        return Readout(
            threshold=np.array(RUN3_THRESHOLDS),
            smearing=np.array(SMEARING),
            noise=NOISE,
            gain=np.where(first, *RUN3_GAIN),
            offset=np.where(first, *RUN3_OFFSET),
            full_scale=FULL_SCALE,
            run3=True,
        )
    raise PixlabError(
        f"detector '{detector.name}' cannot be simulated", "choose phase1 or phase1-run3"
    )


@njit(cache=True, nogil=True)
def digitize(
    rng: Generator,
    readout: Readout,
    layer: NDArray[np.int64],
    key: NDArray[np.int64],
    charge: NDArray[np.float64],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pixels above threshold, by rising key, and their counts.

    Parameters
    ----------
    rng : Generator
        The stream of the event.
    readout : Readout
        Settings.
    layer : int64[modules]
        Layer of each module.
    key, charge : arrays[n]
        Pixels, ``module << 20 | row << 10 | col``, and electrons; a pixel may occur twice.
    """
    order = np.argsort(key)
    pixel = np.empty(len(key), np.int64)
    count = np.empty(len(key), np.int64)
    n = 0
    i = 0
    while i < len(order):
        this = key[order[i]]
        total = 0.0
        while i < len(order) and key[order[i]] == this:
            total += charge[order[i]]
            i += 1
        at = layer[this >> 20]
        signal = total + rng.normal(0.0, readout.noise)
        if signal <= rng.normal(readout.threshold[at], readout.smearing[at]):
            continue
        if readout.run3:
            adc = _run3(rng, signal, readout.gain[at], readout.offset[at])
        else:
            adc = int(signal / readout.gain[at])
        pixel[n] = this
        count[n] = min(max(adc, 0), readout.full_scale)
        n += 1
    return pixel[:n], count[:n]


@njit(cache=True, nogil=True)
def _run3(rng: Generator, signal: float, gain: float, offset: float) -> int:
    """Counts of the tanh response, after the noise that grows with charge.

    Both from SiPixelDigitizerAlgorithm.cc (ChargeVCALSmearing and the mis-calibration response).
    """
    if signal < 3000.0:
        rms = 543.6 - 0.093 * signal
    elif signal < 6000.0:
        rms = 307.6 - 0.01 * signal
    else:
        rms = -432.4 + 0.123 * signal
    vcal = (signal + rng.normal(0.0, rms) - offset) / gain
    return int(148.0 + 203.0 * np.tanh(0.00171 * vcal - 0.711))
