"""Minimum-bias collisions from Pythia 8 (optional, package pythia8mc)."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from pixlab.errors import PixlabError
from pixlab.simulation.conditions import Conditions
from pixlab.simulation.particles import (
    COLUMNS,
    MASS,
    PARENT,
    PDG,
    PHI,
    PT,
    TANL,
    VERTEX,
    Q,
    X,
    Y,
    Z,
)

__all__ = ["Pythia8", "final_particles", "started"]

# Particles with a proper decay length above 10 mm are left to the detector simulation (CMS:
# Configuration/Generator/python/Pythia8CommonSettings_cfi.py), which here has no decays: with
# secondaries, those that end inside the pixel detector (mm) are decayed by Pythia
_SETTINGS = (
    "Beams:eCM = 14000.",
    "SoftQCD:inelastic = on",
    "Random:setSeed = on",
    "Random:seed = 1",
    "Print:quiet = on",
)
_LONG_LIVED = ("ParticleDecays:limitTau0 = on", "ParticleDecays:tau0Max = 10.")
_CYLINDER = (
    "ParticleDecays:limitCylinder = on",
    "ParticleDecays:xyMax = 160.",
    "ParticleDecays:zMax = 550.",
)
_MAX_SEED = 900_000_000  # of Pythia's generator
MAX_ETA = 4.5  # beyond it nothing reaches a module from the luminous region
# Final particles with charge 3/3 or -3/3 but for nuclei
_CHARGED = np.array([11, 13, 211, 321, 2212, 3112, 3222, 3312, 3334])


class Pythia8:
    """A generator of bunch crossings, for one thread at a time.

    Each crossing starts Pythia's random numbers from a seed of its own.
    """

    def __init__(self, conditions: Conditions) -> None:
        self._pythia = started(conditions.secondaries)
        self._conditions = conditions

    def __call__(self, rng: Generator, collisions: int) -> NDArray[np.float64]:
        """The charged particles of one bunch crossing: float64[particles, COLUMNS]."""
        size = [self._conditions.sigma_xy, self._conditions.sigma_xy, self._conditions.sigma_z]
        origin = rng.normal(0.0, size, (collisions, 3))
        self._pythia.rndm.init(int(rng.integers(1, _MAX_SEED)))
        if collisions == 0:
            return np.empty((0, COLUMNS))
        found = final_particles(self._pythia, collisions)
        found = {k: v[np.isin(np.abs(found["id"]), _CHARGED)] for k, v in found.items()}
        number, vertex = found["id"], found["event"]
        px, py, pz = found["px"], found["py"], found["pz"]
        pt = np.hypot(px, py)
        near = pt * np.sinh(MAX_ETA) > np.abs(pz)
        out = np.empty((int(near.sum()), COLUMNS))
        number, vertex = number[near], vertex[near]
        for column, name, axis in ((X, "x", 0), (Y, "y", 1), (Z, "z", 2)):
            out[:, column] = origin[vertex, axis] + found[name][near] / 10
        px, py, pz, pt = px[near], py[near], pz[near], pt[near]
        out[:, PT], out[:, PHI], out[:, TANL] = pt, np.arctan2(py, px), pz / pt
        out[:, MASS] = found["m"][near]
        # leptons have positive numbers when negative; so have Sigma-, Xi- and Omega-
        negative = np.isin(np.abs(number), (11, 13, 3112, 3312, 3334))
        out[:, Q] = np.sign(number) * np.where(negative, -1, 1)
        out[:, PDG], out[:, VERTEX], out[:, PARENT] = number, vertex, -1
        return out


@cache
def started(secondaries: bool) -> Any:
    """Pythia after its initialisation, which takes seconds; nothing of a run stays in it."""
    try:
        from pythia8mc import Pythia
    except ImportError as error:
        raise PixlabError(
            "Pythia 8 is not installed", "install it with: pip install 'pixlab[pythia]'"
        ) from error
    pythia = Pythia("", False)
    for setting in (*_SETTINGS, *(_CYLINDER if secondaries else _LONG_LIVED)):
        pythia.readString(setting)
    if not pythia.init():
        raise PixlabError("Pythia 8 does not start", "see what it prints")
    return pythia


def final_particles(pythia: Any, collisions: int) -> dict[str, NDArray[Any]]:
    """What is left at the end of so many collisions: one entry a particle, by collision.

    ``event`` (collision), ``id`` (number of the species), ``px, py, pz, m`` (GeV) and ``x, y, z``
    (origin, mm).
    """
    import awkward as ak

    events = pythia.nextBatch(collisions).prt
    event = np.repeat(np.arange(len(events)), ak.to_numpy(ak.num(events)))
    flat = ak.flatten(events)
    left = ak.to_numpy(flat.status) > 0
    made = ak.fill_none(flat.vProd, {"px": 0.0, "py": 0.0, "pz": 0.0, "e": 0.0})
    columns = {
        **{k: getattr(flat.p, k) for k in ("px", "py", "pz")},
        **{k: getattr(made, f"p{k}") for k in "xyz"},
        "id": flat.id,
        "m": flat.m,
    }
    found = {name: ak.to_numpy(values)[left] for name, values in columns.items()}
    return found | {"event": event[left]}
