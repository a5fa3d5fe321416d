"""What a simulated detector is like: sensor, field, electronics, luminous region.

Paths in comments are those of cms-sw/cmssw.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pixlab.detectors import Detector, get_detector
from pixlab.errors import PixlabError

__all__ = ["SIMULATED", "Conditions", "conditions_of", "per_layer"]


@dataclass(frozen=True)
class Conditions:
    """Settings of the simulation that belong to a detector, not to a run.

    `conditions_of` has those of each detector; ``dataclasses.replace`` changes some of them.
    Charges are in electrons. A tuple has one value a layer, in the order of ``detector.layers``.

    Parameters
    ----------
    threshold, threshold_smearing : float or tuple of float
        Smallest charge that a pixel reads out, and its rms from pixel to pixel.
    noise : float
        Rms of the noise of a pixel that is hit.
    response : str
        ``"linear"``, ``"tanh"`` (Run 3, with the smearing of its calibration) or ``"tot"`` (4-bit
        dual-slope time over threshold).
    gain, offset : float or tuple of float
        Electrons a count (a unit of vcal for ``"tanh"``), and at zero.
    full_scale : int
        Largest count.
    thickness : float or tuple of float
        Of the sensors, um.
    lorentz : float
        Tangent of the Lorentz angle per tesla.
    forward_row_drift : float, optional
        Tangent of the drift along rows in disks; by default that which field and inclination give.
    diffusion : float
        Rms of the charge cloud after 300 um of drift, um; it grows with the root of the drift.
    soft_loss : float
        Part of the energy loss in small collisions that is used; 1 is the Bethe formula.
    all_minimum_ionising : bool
        Whether slow particles lose as little as fast ones.
    delta_rays : bool
        Whether fast knocked-on electrons travel, instead of losing all where they start.
    overlaps : bool
        Whether a particle is seen by every module that it crosses, or once in each layer.
    radiation_lengths : float
        Material of a layer, passed at right angles: it scatters, and converts photons.
    secondaries : bool
        Whether photons convert in the modules.
    sigma_xy, sigma_z : float
        Gaussian size of the luminous region, cm.
    latest : float
        Time after the passage of light from the centre until which charge counts, ns.
    """

    threshold: float | tuple[float, ...]
    threshold_smearing: float | tuple[float, ...]
    noise: float
    response: Literal["linear", "tanh", "tot"]
    gain: float | tuple[float, ...]
    offset: float | tuple[float, ...]
    full_scale: int
    thickness: float | tuple[float, ...]
    lorentz: float = 0.106
    forward_row_drift: float | None = None
    diffusion: float = 3.7
    soft_loss: float = 1.0
    all_minimum_ionising: bool = False
    delta_rays: bool = True
    overlaps: bool = True
    radiation_lengths: float = 0.02
    secondaries: bool = True
    sigma_xy: float = 0.0015
    sigma_z: float = 5.3
    latest: float = 12.5


# SimGeneral/MixingModule/python/SiPixelSimParameters_cfi.py: noise of the readout; 135 electrons a
# count; thresholds of Run 3 and their smearing (barrel, disks); 12.5 ns. Response of Run 3: vcal to
# counts in SimTracker/SiPixelDigitizer/plugins/SiPixelDigitizerAlgorithm.cc, layer 1 and the others.
# Thickness: CERN-LHCC-2012-016
_RUN3 = Conditions(
    threshold=(2000.0, 1600.0, 1600.0, 1600.0, 1600.0, 1600.0, 1600.0),
    threshold_smearing=(245.0, 245.0, 245.0, 245.0, 210.0, 210.0, 210.0),
    noise=350.0,
    response="tanh",
    gain=(50.0, 47.0, 47.0, 47.0, 47.0, 47.0, 47.0),
    offset=(-670.0, -60.0, -60.0, -60.0, -60.0, -60.0, -60.0),
    full_scale=255,
    thickness=285.0,
)
# The conditions of the reference data, read off them (notebooks/02-simulation.ipynb)
_REFERENCE = Conditions(
    threshold=1490.0,
    threshold_smearing=85.0,
    noise=175.0,
    response="linear",
    gain=135.0,
    offset=0.0,
    full_scale=255,
    thickness=(285.0, 285.0, 285.0, 285.0, 278.0, 278.0, 278.0),
    forward_row_drift=0.165,
    diffusion=6.5,
    soft_loss=0.893,
    all_minimum_ionising=True,
    delta_rays=False,
    overlaps=False,
    radiation_lengths=0.006,
    sigma_z=4.5,
)
# SimTracker/SiPhase2Digitizer/python/phase2TrackerDigitizer_cfi.py: threshold without smearing, no
# noise, no cross-talk, 20 ns. Thickness: PhaseII/Tracker_DD4hep_compatible_IT702_2021_03/pixel.xml
_PHASE2 = Conditions(
    threshold=1000.0,
    threshold_smearing=0.0,
    noise=0.0,
    response="tot",
    gain=1500.0,
    offset=0.0,
    full_scale=15,
    thickness=150.0,
    latest=20.0,
)
# premix_stage1 there: the whole charge, 135 electrons a count
_PREMIX = replace(_PHASE2, response="linear", gain=135.0, full_scale=255)
_OF = {
    "phase1": _REFERENCE,
    "phase1-uniform": _REFERENCE,
    "phase1-run3": _RUN3,
    "phase2": _PHASE2,
    "phase2-premix": _PREMIX,
    "phase2-25x100": _PHASE2,
    "phase2-25x100-premix": _PREMIX,
}


SIMULATED = tuple(_OF)  # detectors that can be simulated


def conditions_of(detector: str | Detector) -> Conditions:
    """The conditions under which a detector is simulated.

    Raises
    ------
    PixlabError
        If there are none for it.
    """
    detector = get_detector(detector)
    if detector.name not in _OF:
        raise PixlabError(
            f"detector '{detector.name}' cannot be simulated", f"choose one of {', '.join(_OF)}"
        )
    return _OF[detector.name]


def per_layer(value: float | tuple[float, ...], detector: Detector) -> NDArray[np.float64]:
    """One value for each layer of a detector.

    Raises
    ------
    PixlabError
        If there are others than one, or one a layer.
    """
    values = np.asarray(value, np.float64)
    layers = len(detector.layers)
    if values.shape not in ((), (layers,)):
        raise PixlabError(
            f"a condition has {values.size} values, '{detector.name}' has {layers} layers",
            "give one value, or one for each layer",
        )
    return np.broadcast_to(values, layers).copy()
