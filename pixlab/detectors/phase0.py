"""The CMS pixel detector of 2008 to 2016 ("Phase 0"): 1,440 modules of seven shapes.

Sources, paths in cms-sw/cmssw:

* ids and shapes: `CalibTracker/SiPixelESProducers/data/PixelSkimmedGeometry.txt`, of which the
  tests hold some lines;
* the four half ladders of a barrel layer: `DataFormats/SiPixelDetId/src/PixelBarrelName.cc`;
* disks, blades, plaquettes: `Geometry/TrackerCommonData/data/pixfwd.xml`, ``pixfwdDisk.xml``,
  ``pixfwdPanel.xml``, ``plugins/DDPixFwdBlades.cc``; blades count by azimuth from 0, panel 1 is the
  nearer one: `Geometry/TrackerNumberingBuilder/plugins/CmsTrackerDiskBuilder.cc`;
* 135 electrons a count: `SimGeneral/MixingModule/python/SiPixelSimParameters_cfi.py`; the digi
  word has room for ten bits.

Module centres are good to some millimetres, not aligned. Unverified: which faces of a layer the
ladders are on, the thickness of a panel (taken as 2 mm), in which direction rows and columns grow,
and the thresholds, which are those of Phase 1 but for its first layer.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pixlab.detectors.base import Detector, Sensor
from pixlab.detectors.cms import cms_detid
from pixlab.detectors.modules import Modules, assemble, linear
from pixlab.detectors.phase1 import ADC_MAX, LINEAR_GAIN

__all__ = ["phase0"]

_LADDERS = (20, 32, 44)  # per barrel layer, half ladders included
_RADII = (4.4, 7.3, 10.2)  # cm
_FACES = 0.2  # cm, half the distance between inner and outer ladders; as in Phase 1
_MODULES = 8
_MODULE_PITCH = 6.65  # cm along z; the barrel is 53 cm long, JINST 3 (2008) S08004
_QUARTER = 0.4  # cm, from the middle of a full module to that of a half one: 80 rows of 100 um
_DISKS_Z = (35.5, 48.5)  # cm, pixfwd.xml: 325 mm + 30 mm and + 160 mm
_BLADES = 24
_BLADE_ANGLE = np.radians(20)
_BLADE_SHIFT = 0.6  # cm along z from a blade to the next; a quarter of a disk has six
_ANCHOR = 5.4631  # cm, distance of a panel's zero from the beam
_PANEL = 0.2  # cm from the plane of a blade to that of a panel
# per panel: distance from its zero (cm) and chips (rows, columns) of each plaquette
_PLAQUETTES = (
    ((0.7664, 1, 2), (3.2394, 2, 3), (6.1128, 2, 4), (8.5869, 1, 5)),
    ((1.9469, 2, 3), (4.8777, 2, 4), (7.8091, 2, 5)),
)
_SHAPES = ((2, 8), (1, 8), (1, 2), (2, 3), (2, 4), (1, 5), (2, 5))  # chips
_CHIP = (80, 52)


def phase0() -> Detector:
    """The detector with the linear response that pre-mixed files (UL16 PREMIX) are summed in."""
    rows, cols = _CHIP
    return assemble(
        "phase0",
        [
            *(_layer(layer) for layer in (1, 2, 3)),
            *(_disk(side, disk) for side in (-1, 1) for disk in (1, 2)),
        ],
        layers=("BPIX 1", "BPIX 2", "BPIX 3", "FPIX 1", "FPIX 2"),
        sensors=[
            Sensor(rows * r, cols * c, 100.0, 150.0, rows, cols, double_edges=True)
            for r, c in _SHAPES
        ],
        electrons=linear(ADC_MAX, LINEAR_GAIN),
        cluster_threshold=4000.0,
        seed_threshold=1000.0,
        channel_threshold=10.0,
    )


def _layer(layer: int) -> Modules:
    n = _LADDERS[layer - 1]
    ladder, module = (a.ravel() for a in np.mgrid[1 : n + 1, 1 : _MODULES + 1])
    quarter = n // 4  # this ladder and the next one are halves, and so half a turn further on
    half = np.isin(ladder, [quarter, quarter + 1, 3 * quarter, 3 * quarter + 1])
    # the two halves at the top, and those at the bottom, share the place of one full ladder
    place = ladder - (ladder > quarter) - (ladder > 3 * quarter)
    phi = 2 * np.pi * (place - 0.5) / (n - 2)
    offset = np.where(half, np.where(np.isin(ladder, [quarter, 3 * quarter]), -1, 1), 0) * _QUARTER
    radius = _RADII[layer - 1] + np.where(place % 2 == 0, _FACES, -_FACES)
    cos, sin = np.cos(phi), np.sin(phi)
    return Modules.of(
        detid=cms_detid("phase0", layer=layer, ladder=ladder, module=module),
        layer=layer - 1,
        ladder=ladder,
        module=module,
        position=(
            radius * cos - offset * sin,
            radius * sin + offset * cos,
            (module - (_MODULES + 1) / 2) * _MODULE_PITCH,
        ),
        axis_row=(-sin, cos, 0),
        axis_col=(0, 0, 1),
        sensor=np.where(half, 1, 0),
    )


def _disk(side: int, disk: int) -> Modules:
    """Panels with four plaquettes face the collisions, those with three the other way."""
    blade = np.repeat(np.arange(1, _BLADES + 1), 7)
    panel, module, along, shape = (np.tile(a, _BLADES) for a in _panels())
    phi = (blade - 0.5) * 2 * np.pi / _BLADES
    # blades are placed in increasing phi at +z, which is turned about y for -z
    placed = blade - 1 if side > 0 else (12 - blade) % _BLADES
    away = (placed % 6 - 2.5) * side * _BLADE_SHIFT
    radius = _ANCHOR + along
    radial = np.stack([np.cos(phi), np.sin(phi), np.zeros(len(phi))])
    around = np.stack([-np.sin(phi), np.cos(phi), np.zeros(len(phi))])
    z = np.array([0.0, 0.0, 1.0])[:, None]
    cos, sin = np.cos(_BLADE_ANGLE), np.sin(_BLADE_ANGLE)
    across = cos * around - side * sin * z
    normal = cos * z + side * sin * around
    face = side * np.where(panel == 1, -_PANEL, _PANEL)
    centre = radius * radial + face * normal + side * (_DISKS_Z[disk - 1] + away) * z
    return Modules.of(
        detid=cms_detid(
            "phase0", side=1 if side < 0 else 2, disk=disk, blade=blade, panel=panel, module=module
        ),
        layer=2 + disk,
        ladder=blade,
        module=module,
        side=side,
        position=_xyz(centre),
        axis_row=_xyz(radial),
        axis_col=_xyz(across),
        sensor=shape,
    )


def _panels() -> tuple[NDArray[np.float64], ...]:
    """Panel, module, distance and shape of the seven plaquettes of a blade."""
    found = [
        (panel, module, along, _SHAPES.index((rows, cols)))
        for panel, plaquettes in enumerate(_PLAQUETTES, 1)
        for module, (along, rows, cols) in enumerate(plaquettes, 1)
    ]
    panel, module, along, shape = (np.array(a) for a in zip(*found, strict=True))
    return panel, module, along, shape


def _xyz(vector: NDArray[np.float64]) -> tuple[ArrayLike, ArrayLike, ArrayLike]:
    return vector[0], vector[1], vector[2]
