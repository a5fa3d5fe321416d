"""Single readout chips: FE-I4 and Timepix, at the origin with rows along y and columns along x.

A chip has one id, the four letters of its tag, so that no other file's ids look like it. Telescopes
of several chips are described with `Detector.from_table` or `Detector.from_file`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pixlab.detectors.base import Detector, Sensor
from pixlab.detectors.modules import Modules, assemble, linear

__all__ = ["FEI4_ID", "TIMEPIX_ID", "fei4", "timepix"]

FEI4_ID = int.from_bytes(b"FEI4", "big")
TIMEPIX_ID = int.from_bytes(b"TPIX", "big")
TIMEPIX_MAX = 11810  # the 14-bit pseudo-random counter of a pixel, NIM A 581 (2007) 485


def fei4() -> Detector:
    """The ATLAS FE-I4: 336 rows of 50 um, 80 columns of 250 um, 4-bit time over threshold.

    Charge of a count: nominal. Chips are tuned one by one; here a count of 5 is 16.0 ke above a
    threshold of 2.85 ke, the defaults of SiLab-Bonn/pyBAR (`pybar/scans/tune_fei4.py`: 280 and 50
    steps of 57 electrons), and counts are taken as proportional to what exceeds the threshold.
    """
    threshold, tuned, counts = 50 * 57.0, 280 * 57.0, 5
    electrons = threshold + linear(15, (tuned - threshold) / counts)
    return _chip("fei4", FEI4_ID, Sensor(336, 80, 50.0, 250.0), electrons)


def timepix() -> Detector:
    """The Timepix: 256 x 256 pixels of 55 um, counts up to 11,810.

    Charge is in counts, not in electrons: what a count means depends on the mode (hits, time over
    threshold), the clock and the calibration of each pixel. Describe a calibrated chip with
    `Detector.from_table`.
    """
    return _chip("timepix", TIMEPIX_ID, Sensor(256, 256, 55.0, 55.0), linear(TIMEPIX_MAX, 1.0))


def _chip(name: str, detid: int, sensor: Sensor, electrons: NDArray[np.float64]) -> Detector:
    modules = Modules.of(
        detid=[detid],
        layer=0,
        ladder=1,
        module=1,
        position=(0, 0, 0),
        axis_row=(0, 1, 0),
        axis_col=(1, 0, 0),
    )
    return assemble(name, [modules], layers=("chip",), sensors=[sensor], electrons=electrons)
