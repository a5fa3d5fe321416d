"""The generic detector of ACTS and of the TrackML challenge: 4,004 pixel modules of one size.

Volumes 7 and 9 are the disks at negative and positive z, volume 8 is the barrel; layers are even
numbers, in disks from the lowest z up. A sensor is 16.8 x 72 mm: TrackML divides it into 336 x 1280
pixels of 50 x 56.25 um (its ``detectors.csv``), ACTS into 336 x 1440 of 50 x 50 um (the largest
channels in its cells). Rows are ``ch0`` or ``channel0``, columns ``ch1`` or ``channel1``. Positions
are those of TrackML; there, the charge-weighted cells of a hit are within 20 um of the hit.
Unverified: that the module numbers of ACTS are in the order of TrackML's.

Charge: cells carry a ``value``, the length of the track in the cell in mm, smeared. One count is
`VALUE_PER_COUNT` of it, one micrometre. The charge of a count is nominal: 80 electrons, about what
a minimum-ionising particle most likely frees in a micrometre of silicon.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from pixlab.detectors.acts import unpack
from pixlab.detectors.base import Detector, Sensor
from pixlab.detectors.modules import Modules, assemble, linear

__all__ = ["ELECTRONS_PER_COUNT", "VALUE_PER_COUNT", "generic"]

VALUE_PER_COUNT = 0.001  # of the value of a cell (mm): adc = round(value / VALUE_PER_COUNT)
ELECTRONS_PER_COUNT = 80.0
ADC_MAX = 1023  # the longest way through a cell with 0.3 mm of silicon is well below 1 mm
_SENSORS = {
    "trackml": Sensor(336, 1280, 50.0, 56.25),
    "acts-generic": Sensor(336, 1440, 50.0, 50.0),
}


def generic(name: Literal["trackml", "acts-generic"]) -> Detector:
    """The generic detector with the pixels of TrackML or of ACTS."""
    with np.load(Path(__file__).with_name("trackml.npz"), allow_pickle=False) as file:
        table = {k: file[k].astype(float) for k in ("centre", "axis_row", "axis_col")}
        detid = file["detid"]
    place = unpack(detid)
    side = place.volume - 8
    # disks are counted from the middle, as in other detectors: 1 to 7
    disk = np.where(side < 0, 8 - place.layer // 2, place.layer // 2)
    row = table["axis_row"] / np.linalg.norm(table["axis_row"], axis=1, keepdims=True)
    col = table["axis_col"] - (table["axis_col"] * row).sum(axis=1, keepdims=True) * row
    col /= np.linalg.norm(col, axis=1, keepdims=True)
    modules = Modules.of(
        detid=detid,
        layer=np.where(side == 0, place.layer // 2 - 1, 3 + disk),
        ladder=place.layer,
        module=place.module,
        side=side,
        position=tuple(table["centre"].T / 10),
        axis_row=tuple(row.T),
        axis_col=tuple(col.T),
    )
    return assemble(
        name,
        [modules],
        layers=(*(f"barrel {i}" for i in range(1, 5)), *(f"disk {i}" for i in range(1, 8))),
        sensors=[_SENSORS[name]],
        electrons=linear(ADC_MAX, ELECTRONS_PER_COUNT),
    )
