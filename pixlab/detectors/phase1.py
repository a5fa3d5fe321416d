"""The CMS Phase-1 pixel detector: 1,856 modules of 160 x 416 pixels.

Counts are those of cms-patatrack ``phase1PixelTopology.h``, ids those of
``Geometry/TrackerCommonData/data/PhaseI/trackerParameters.xml``, radii those of its cooling tubes,
disk positions those of the Phase-1 technical design report (CERN-LHCC-2012-016), blade layout
that of ``Geometry/TrackerCommonData/data/PhaseI/pixfwdInnerDiskZplus.xml`` and
``pixfwdOuterDiskZplus.xml``: module centres of the barrel are good to some millimetres, not aligned.
Left out: the 12 degree tilt of the inner blades towards the beam spot, and the staircase of their z
positions. Which side of a module the readout chips are on, and with it the direction of rows, is
taken from the reference data of the simulation: the normal ``axis_row x axis_col`` points outwards
in even ladders, inwards in odd ones, and to -z in all disks. So is the place of a blade, whose two
modules stand at azimuths pi (2 blade - 1 -+ 1/2) / blades: with the numbering of CMSSW
(``Geometry/TrackerNumberingBuilder/plugins/CmsTrackerPhase1DiskBuilder.cc``) all blades are half a
blade lower, the first is centred at azimuth 0, panel 1 is the one with larger abs(z), and the
panels of a blade stand back to back. Maps of disks are turned by that much against those of CMS.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pixlab.detectors.base import Detector, Sensor

__all__ = ["phase1", "phase1_detid"]

_LADDERS = (12, 28, 44, 64)  # per barrel layer
_RADII = (2.9, 6.8, 10.9, 16.0)  # cm, middle of the two faces of a layer
_FACES = 0.2  # cm, half the distance between inner and outer ladders
_MODULES = 8  # along a ladder
_MODULE_PITCH = 6.7  # cm, between module centres along z
_DISKS_Z = (29.1, 39.6, 51.6)  # cm
_BLADES = ((22, 7.78), (34, 12.78))  # blades and AnchorRadius (cm) of the inner and outer ring
_BLADE_ANGLE = np.radians(20)  # BladeAngle: rotation of a blade about its own radial axis
_PANELS = 0.2  # cm in z from the disk to a panel
ADC_MAX = 1023  # the digi word keeps ten bits, DataFormats/SiPixelDigi/interface/PixelDigi.h
LINEAR_GAIN = 135.0  # electrons a count, SimGeneral/MixingModule/python/SiPixelSimParameters_cfi.py


def phase1_detid(
    *,
    layer: ArrayLike = 0,
    ladder: ArrayLike = 0,
    side: ArrayLike = 0,
    disk: ArrayLike = 0,
    blade: ArrayLike = 0,
    panel: ArrayLike = 0,
    module: ArrayLike = 1,
) -> NDArray[np.uint32]:
    """Raw ids of barrel modules (``layer``, ``ladder``, ``module``) or forward ones.

    All numbers count from 1; forward modules are meant where ``disk`` is not 0, with side 1 for
    negative and 2 for positive z.
    """
    layer, ladder, side, disk, blade, panel, module = (
        np.asarray(a, np.uint32) for a in (layer, ladder, side, disk, blade, panel, module)
    )
    barrel = 1 << 28 | 1 << 25 | layer << 20 | ladder << 12 | module << 2
    forward = 1 << 28 | 2 << 25 | side << 23 | disk << 18 | blade << 12 | panel << 10 | module << 2
    return np.where(disk > 0, forward, barrel).astype(np.uint32)


def run3_electrons(adc: NDArray[np.float64], gain: float, offset: float) -> NDArray[np.float64]:
    """Charge of counts in the Run-3 response: the inverse of adc = 148 + 203 tanh(…).

    Source: ``SimTracker/SiPixelDigitizer/plugins/SiPixelDigitizerAlgorithm.cc``. Counts above
    255, which that response never gives, are read as 255.
    """
    bounded = np.minimum(adc, 255.0)
    vcal = (np.arctanh((bounded - 148.0) / 203.0) + 0.711) / 0.00171
    return gain * vcal + offset


def phase1(response: Literal["linear", "run3"], *, uniform: bool = False) -> Detector:
    """The Phase-1 detector with the linear (135 e a count) or the Run-3 (tanh) response.

    With `uniform`, pixels at chip edges are as large as all others: the layout of simulations that
    do not know of double-size pixels.
    """
    parts = [_barrel(layer) for layer in range(1, 5)]
    parts += [_disk(side, disk) for side in (-1, 1) for disk in (1, 2, 3)]
    detid, layer, ladder, module, side, position, axis_row, axis_col = (
        np.concatenate(p) for p in zip(*parts, strict=True)
    )
    order = np.argsort(detid)
    adc = np.arange(ADC_MAX + 1, dtype=float)
    if response == "linear":
        electrons = np.stack([LINEAR_GAIN * adc] * 2)
    else:
        electrons = np.stack([run3_electrons(adc, 50, -670), run3_electrons(adc, 47, -60)])
    first_layer = layer == 0
    return Detector(
        name="phase1" + ("-run3" if response == "run3" else "") + ("-uniform" if uniform else ""),
        detid=detid[order],
        layers=("BPIX 1", "BPIX 2", "BPIX 3", "BPIX 4", "FPIX 1", "FPIX 2", "FPIX 3"),
        layer=layer[order].astype(np.int16),
        ladder=ladder[order].astype(np.int16),
        module=module[order].astype(np.int16),
        side=side[order].astype(np.int16),
        position=position[order],
        axis_row=axis_row[order],
        axis_col=axis_col[order],
        sensors=(Sensor(160, 416, 100.0, 150.0, 80, 52, double_edges=not uniform),),
        sensor=np.zeros(len(order), np.uint8),
        electrons_table=electrons.astype(np.float32),
        response=np.where(first_layer, 0, 1)[order].astype(np.uint8),
        # RecoLocalTracker/SiPixelClusterizer/python/SiPixelClusterizer_cfi.py
        cluster_threshold=np.where(first_layer, 2000.0, 4000.0)[order],
        seed_threshold=1000.0,
        channel_threshold=10.0,
    )


def _barrel(layer: int) -> tuple[np.ndarray, ...]:
    n = _LADDERS[layer - 1]
    ladder, module = (a.ravel() for a in np.mgrid[1 : n + 1, 1 : _MODULES + 1])
    phi = 2 * np.pi * (ladder - 0.5) / n
    radius = _RADII[layer - 1] + np.where(ladder % 2 == 0, _FACES, -_FACES)
    z = (module - (_MODULES + 1) / 2) * _MODULE_PITCH
    zero, one = np.zeros(len(phi)), np.ones(len(phi))
    # neighbouring ladders face each other's way, and with them their rows
    facing = np.where(ladder % 2 == 0, 1.0, -1.0)
    return (
        phase1_detid(layer=layer, ladder=ladder, module=module),
        np.full(len(phi), layer - 1),
        ladder,
        module,
        np.zeros(len(phi), int),
        np.stack([radius * np.cos(phi), radius * np.sin(phi), z], axis=1),
        np.stack([-np.sin(phi) * facing, np.cos(phi) * facing, zero], axis=1),
        np.stack([zero, zero, one], axis=1),
    )


def _disk(side: int, disk: int) -> tuple[np.ndarray, ...]:
    inner, outer = _BLADES
    blade, panel = (a.ravel() for a in np.mgrid[1 : inner[0] + outer[0] + 1, 1:3])
    in_ring = blade <= inner[0]
    number = np.where(in_ring, blade, blade - inner[0])
    # the two modules of a blade sit side by side (ModulePosX), so that a ring is closed in phi
    phi = np.pi * (2 * number + panel - 2.5) / np.where(in_ring, inner[0], outer[0])
    radius = np.where(in_ring, inner[1], outer[1])
    z = side * (_DISKS_Z[disk - 1] + np.where(panel == 1, -_PANELS, _PANELS))
    zero = np.zeros(len(phi))
    cos, sin = np.cos(_BLADE_ANGLE), np.sin(_BLADE_ANGLE)
    return (
        phase1_detid(side=1 if side < 0 else 2, disk=disk, blade=blade, panel=panel),
        np.full(len(phi), 3 + disk),
        blade,
        panel,
        np.full(len(phi), side),
        np.stack([radius * np.cos(phi), radius * np.sin(phi), z], axis=1),
        np.stack([-np.sin(phi) * cos, np.cos(phi) * cos, zero + sin], axis=1),
        np.stack([np.cos(phi), np.sin(phi), zero], axis=1),
    )
