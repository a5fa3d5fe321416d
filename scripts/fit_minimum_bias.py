"""Fit the built-in collisions to Pythia 8: ``python scripts/fit_minimum_bias.py [COLLISIONS]``.

Prints what `pixlab/simulation/collisions.py` and ``event.py`` hold as constants: quantiles of the
number of charged particles, shares and Tsallis functions of the species, the width of the rapidity
distribution, photons for each charged particle. Needs the extra ``pythia``.
"""

from __future__ import annotations

import sys

import numpy as np
from scipy.optimize import minimize

from pixlab.simulation.collisions import (
    FITTED_ETA,
    MASSES,
    MULTIPLICITY,
    NUMBERS,
    PROBABILITY,
    SHARES,
    SIGMA_RAPIDITY,
    TSALLIS_N,
    TSALLIS_T,
)
from pixlab.simulation.event import PHOTON_PART, PHOTONS
from pixlab.simulation.pythia import final_particles, started

CHARGED = (11, 13, 211, 321, 2212, 3112, 3222, 3312, 3334)
PHOTON = 22
PT = np.geomspace(0.003, 60.0, 6000)


def tsallis(pt: np.ndarray, mass: float) -> tuple[float, float]:
    """Temperature (GeV) and power of the most likely function."""

    def density(at: np.ndarray, temperature: float, power: float) -> np.ndarray:
        return at * (1 + (np.hypot(at, mass) - mass) / (power * temperature)) ** -power

    def badness(logs: np.ndarray) -> float:
        area = np.trapezoid(density(PT, *np.exp(logs)), PT)
        return float(np.log(area) - np.log(density(pt, *np.exp(logs))).mean())

    found = minimize(badness, np.log([0.15, 6.0]), method="Nelder-Mead").x
    return float(np.exp(found[0])), float(np.exp(found[1]))


def main(collisions: int = 6000) -> None:
    """Print each constant as fitted, and as it is now."""
    pythia = started(False)
    pythia.rndm.init(1)
    found = final_particles(pythia, collisions)
    number, event = np.abs(found["id"]), found["event"]
    pt = np.hypot(found["px"], found["py"])
    near = np.abs(found["pz"]) < pt * np.sinh(FITTED_ETA)
    charged = near & np.isin(number, CHARGED)
    count = np.bincount(event[charged], minlength=collisions)
    print("multiplicity", np.quantile(count, PROBABILITY).round(1).tolist(), "now", MULTIPLICITY)
    total = charged.sum()
    for i, species in enumerate(np.abs(NUMBERS)):
        use = near & (number == species)
        temperature, power = tsallis(pt[use], MASSES[i])
        print(
            f"{species:5.0f}: share {use.sum() / total:.4f} now {SHARES[i]:.4f}, "
            f"T {temperature:.4f} now {TSALLIS_T[i]:.4f}, n {power:.2f} now {TSALLIS_N[i]:.2f}"
        )
    pions = number == 211
    energy = np.sqrt(pt**2 + found["pz"] ** 2 + 0.13957**2)[pions]
    rapidity = np.abs(np.arctanh(found["pz"][pions] / energy))
    middle, outside = (np.sum((rapidity >= a) & (rapidity < a + 0.5)) for a in (0.0, 2.75))
    width = np.sqrt((3.0**2 - 0.25**2) / 2 / np.log(middle / outside))
    print(f"rapidity width {width:.1f} now {SIGMA_RAPIDITY}")
    photons = near & (number == PHOTON)
    part = pt[photons].mean() / pt[charged].mean()
    print(f"photons {photons.sum() / total:.2f} now {PHOTONS}, pt {part:.2f} now {PHOTON_PART}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
