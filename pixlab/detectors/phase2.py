"""The CMS Phase-2 Inner Tracker: 3,892 modules in four barrel layers and twelve disks a side.

Sources, paths in cms-sw/cmssw:

* layout: `Geometry/TrackerCommonData/data/PhaseII/Tracker_DD4hep_compatible_IT702_2021_03/`,
  ``pixel.xml`` (ladders, rings, disks) and ``pixelStructureTopology.xml`` (25 x 100 um pixels:
  672 x 434 of one pair of readout chips, 1354 x 434 of two);
* ids: ``PhaseII/trackerParameters.xml``; ladders, and the modules of a ring, count by azimuth from
  0, modules of a ladder by z, the blade is the ring of a disk, the panel is 1:
  `Geometry/TrackerNumberingBuilder/plugins/`, ``CmsTrackerLayerBuilder.cc``,
  ``CmsTrackerLadderBuilder.cc``, ``CmsTrackerPixelPhase2RingBuilder.cc``;
* 50 x 50 um pixels: layout IT621, ``InnerTracker621_50x50_2020_07/pixelStructureTopology.xml``,
  336 x 868 and 676 x 868;
* time over threshold: `RecoLocalTracker/SiPixelClusterizer/plugins/PixelThresholdClusterizer.cc`
  with the numbers of ``python/SiPixelClusterizer_cfi.py``; linear counts of pre-mixed files:
  `SimTracker/SiPhase2Digitizer/python/phase2TrackerDigitizer_cfi.py`.

Read as derived, not as given: z of disks 3 to 8 and 12 (from the flanges that the file places
12.575 mm and 9.58 mm behind each disk). Unverified: in which direction rows and columns grow, that
the modules of IT621 are where those of IT702 are, and the thresholds of clusters (those of Phase 1
but for its first layer). Larger pixels between chips (layout T39) are not described.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pixlab.detectors.base import Detector, Sensor
from pixlab.detectors.cms import cms_detid
from pixlab.detectors.modules import Modules, assemble, linear
from pixlab.detectors.phase1 import LINEAR_GAIN

__all__ = ["dual_slope", "phase2"]

# Ladders of half a barrel layer: number and radius (cm) of the inner ones, the outer ones stand
# between them; azimuth (degrees) of the first and angle from the first inner to the last
_LADDERS = (
    (3, 2.75, 131.4589874931, 122.5218360085),
    (6, 5.90, 111.0549581515, 151.3239198549),
    (5, 10.2, 116.1940052310, 144.7190382639),
    (7, 14.4, 108.7655861796, 154.8223353627),
)
_OUTER = 0.5  # cm from inner to outer ladders
# the ladder that closes the gap between the halves: x, y (cm), and azimuth of its normal (degrees)
_SKEWED = (
    (-0.693563, 3.42796, 117.944),
    (-0.722892, 6.6079, 113.038),
    (-1.56183, 10.8374, 106.575),
    (-1.56606, 15.0682, 104.335),
)
_MODULES = 9
_MODULE_PITCH = (4.405, 4.475, 4.475, 4.475)  # cm along z
# per kind of disk: z (cm); per ring: modules, radius (cm); distance of the first ring from the
# middle of the disk and of a module from the middle of its ring (cm along z)
_TFPX_Z = (25.3, 32.295, 41.223, 52.62, 67.168, 84.238, 110.942, 139.7005)
_TEPX_Z = (175.0, 200.959, 230.768, 264.999)
_TFPX = ((20, 5.2725), (32, 7.0725), (24, 10.4925), (32, 13.8265))
_TEPX = ((20, 8.4625), (28, 12.2275), (36, 15.9575), (44, 19.6175), (48, 23.2225))
_SENSORS = {
    "50x50": (Sensor(336, 868, 50.0, 50.0, 336, 434), Sensor(676, 868, 50.0, 50.0, 338, 434)),
    "25x100": (Sensor(672, 434, 25.0, 100.0, 672, 217), Sensor(1354, 434, 25.0, 100.0, 677, 217)),
}


def dual_slope(
    *, full: int = 15, baseline: float = 1000.0, gain: float = 1500.0, slope: int = 3
) -> NDArray[np.float64]:
    """Charge of time-over-threshold counts 0 to `full`: each step past the kink is longer.

    A count stands for the middle of its range of charges, except that the last one has no end.
    """
    adc = np.arange(full + 1)
    kink = full // 2 + 1
    step = 2 ** (slope - 1)
    beyond = (adc - kink + 1) * step + kink - 1 - step / 2
    return gain * np.where(adc < kink, adc - 0.5, beyond) + baseline


def phase2(pixels: Literal["50x50", "25x100"], response: Literal["tot", "linear"]) -> Detector:
    """The Inner Tracker with pixels of one size (um), and 4-bit or pre-mixed (8-bit) counts."""
    name = "phase2" + ("" if pixels == "50x50" else "-25x100")
    disks = list(enumerate((*_TFPX_Z, *_TEPX_Z), 1))
    return assemble(
        name + ("" if response == "tot" else "-premix"),
        [
            *(_layer(layer) for layer in (1, 2, 3, 4)),
            *(_disk(side, disk, z) for side in (-1, 1) for disk, z in disks),
        ],
        layers=(
            *(f"TBPX {i}" for i in (1, 2, 3, 4)),
            *(f"TFPX {i}" for i in range(1, 9)),
            *(f"TEPX {i}" for i in range(1, 5)),
        ),
        sensors=_SENSORS[pixels],
        electrons=dual_slope() if response == "tot" else linear(255, LINEAR_GAIN),
        cluster_threshold=4000.0,
        seed_threshold=1000.0,
        channel_threshold=10.0,
    )


def _layer(layer: int) -> Modules:
    inner, radius, first, angle = _LADDERS[layer - 1]
    n = 2 * inner - 1
    half = np.radians(first + angle / (n - 1) * np.arange(n))
    faces = np.where(np.arange(n) % 2 == 0, radius, radius + _OUTER)
    at_x, at_y, skewed = _SKEWED[layer - 1]
    # one half and the other half of a layer, half a turn apart
    x = np.append(faces * np.cos(half), at_x)
    y = np.append(faces * np.sin(half), at_y)
    normal = np.append(half, np.radians(skewed))
    x, y, normal = np.append(x, -x), np.append(y, -y), np.append(normal, normal + np.pi)
    order = np.argsort(np.arctan2(y, x) % (2 * np.pi))
    ladder, module = np.mgrid[1 : len(x) + 1, 1 : _MODULES + 1]
    x, y, normal = (a[order][:, None] for a in (x, y, normal))
    return Modules.of(
        detid=cms_detid("phase1", layer=layer, ladder=ladder, module=module),
        layer=layer - 1,
        ladder=ladder,
        module=module,
        position=(x, y, (module - (_MODULES + 1) / 2) * _MODULE_PITCH[layer - 1]),
        axis_row=(-np.sin(normal), np.cos(normal), 0),
        axis_col=(0, 0, 1),
        sensor=0 if layer <= 2 else 1,
    )


def _disk(side: int, disk: int, z: float) -> Modules:
    """A disk: the modules of a ring stand on its two faces in turn, columns point outwards."""
    inner = disk <= len(_TFPX_Z)
    rings = _TFPX if inner else _TEPX
    ring_shift, face = (0.625, 0.275) if inner else (-0.2, 0.4)
    counts = np.array([n for n, _ in rings])
    ring = np.repeat(np.arange(1, len(rings) + 1), counts)
    number = counts[ring - 1]
    module = np.concatenate([np.arange(1, n + 1) for n in counts])
    radius = np.array([r for _, r in rings])[ring - 1]
    phi = 2 * np.pi * (module - 0.5) / number
    # copy 1 stands at 90 degrees and half a step, on the near face; -z is turned about y
    copy = np.rint((phi if side > 0 else np.pi - phi) * number / (2 * np.pi) - number / 4 - 0.5)
    away = z + np.where(ring % 2 == 1, ring_shift, -ring_shift)
    away = away + np.where(copy % 2 == 0, -face, face)
    cos, sin = np.cos(phi), np.sin(phi)
    return Modules.of(
        detid=cms_detid(
            "phase1", side=1 if side < 0 else 2, disk=disk, blade=ring, panel=1, module=module
        ),
        layer=3 + disk,
        ladder=ring,
        module=module,
        side=side,
        position=(radius * cos, radius * sin, side * away),
        axis_row=(-sin, cos, 0),
        axis_col=(cos, sin, 0),
        sensor=np.where(inner & (ring <= 2), 0, 1),
    )
