"""The pixels of the Open Data Detector: 3,332 modules in four barrel layers and seven disks a side.

Sources, paths in OpenDataDetector/OpenDataDetector (MPL-2.0): radii, staves, rings and disks from
`xml/OpenDataPixels.xml`, their placing from `factory/tracker/ODDPixelBarrel_geo.cpp` and
``ODDPixelEndcap_geo.cpp``, pixels from `config/odd-digi-geometric-config.json`: 50 x 50 um, 336 x
1440 in the barrel and 660 x 1360 in the disks. The sensors of the disks are trapezoids; their pixel
matrix is the rectangle around the larger ring's.

Ids are those of ACTS (see `acts.py`): volumes 16, 17 and 18 for disks at negative z, barrel and
disks at positive z, even layers. Unverified: that modules of a layer are numbered stave by stave in
the barrel and ring by ring in the disks, from azimuth 0 on, and that disks are numbered from the
lowest z up as in the generic detector. Counts are those of `generic.py`.
"""

from __future__ import annotations

import numpy as np

from pixlab.detectors.acts import pack
from pixlab.detectors.base import Detector, Sensor
from pixlab.detectors.generic import ADC_MAX, ELECTRONS_PER_COUNT
from pixlab.detectors.modules import Modules, assemble, linear

__all__ = ["odd"]

_BARREL = ((16, 3.4), (32, 7.0), (52, 11.6), (78, 17.2))  # staves and radius (cm)
_MODULES = 14  # of a stave
_MODULE_PITCH = 7.25  # cm: 72 mm and a gap of 0.5 mm
_TILT = 0.12  # of a stave about its axis, radians
_SENSOR_DEPTH = -0.18  # cm, of a sensor in its stave, along the stave's normal
_DISKS = (62.0, 72.0, 84.0, 98.0, 112.0, 132.0, 152.0)  # |z|, cm
# per ring: modules; radius of a sensor's middle, of the outer ring 5 mm below that of the module;
# distance from the middle of the disk towards the collisions (cm)
_RINGS = ((24, 7.6, 0.35), (36, 13.9, -0.35))
_GAP = 0.06  # cm, neighbours in a ring stand this far before and behind it


def odd() -> Detector:
    """The Open Data Detector's pixels."""
    return assemble(
        "odd",
        [
            *(_layer(i) for i in range(len(_BARREL))),
            *(_disk(side, i) for side in (-1, 1) for i in range(len(_DISKS))),
        ],
        layers=(*(f"barrel {i}" for i in range(1, 5)), *(f"disk {i}" for i in range(1, 8))),
        sensors=(Sensor(336, 1440, 50.0, 50.0), Sensor(660, 1360, 50.0, 50.0)),
        electrons=linear(ADC_MAX, ELECTRONS_PER_COUNT),
    )


def _layer(index: int) -> Modules:
    n, radius = _BARREL[index]
    stave, module = (a.ravel() for a in np.mgrid[0:n, 0:_MODULES])
    phi = 2 * np.pi * stave / n
    normal = phi + _TILT
    return Modules.of(
        detid=pack(17, 2 * index + 2, stave * _MODULES + module + 1),
        layer=index,
        ladder=stave + 1,
        module=module + 1,
        position=(
            radius * np.cos(phi) + _SENSOR_DEPTH * np.cos(normal),
            radius * np.sin(phi) + _SENSOR_DEPTH * np.sin(normal),
            (module - (_MODULES - 1) / 2) * _MODULE_PITCH,
        ),
        axis_row=(-np.sin(normal), np.cos(normal), 0),
        axis_col=(0, 0, 1),
    )


def _disk(side: int, index: int) -> Modules:
    counts, radii, towards = (np.array(a) for a in zip(*_RINGS, strict=True))
    ring = np.repeat(np.arange(len(counts)), counts)
    place = np.concatenate([np.arange(n) for n in counts])
    phi = 2 * np.pi * place / counts[ring]
    # the layers of a volume are counted towards higher z
    layer = 2 * (index + 1) if side > 0 else 2 * (len(_DISKS) - index)
    gap = np.where(place % 2 == 0, _GAP, -_GAP)
    cos, sin = np.cos(phi), np.sin(phi)
    return Modules.of(
        detid=pack(17 + side, layer, np.arange(1, len(ring) + 1)),
        layer=len(_BARREL) + index,
        ladder=ring + 1,
        module=place + 1,
        side=side,
        position=(
            radii[ring] * cos,
            radii[ring] * sin,
            side * (_DISKS[index] - towards[ring]) + gap,
        ),
        axis_row=(sin, -cos, 0),
        axis_col=(cos, sin, 0),
        sensor=1,
    )
