"""Minimum-bias proton collisions at 14 TeV: how many, where, and the charged particles of each.

Nothing here is an event generator: number, rapidity, transverse momentum and species of the
particles are drawn independently from parametrisations of measured spectra.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numba import njit
from numpy.random import Generator
from numpy.typing import NDArray

from pixlab.simulation.particles import COLUMNS, MASS, PARENT, PDG, PHI, PT, TANL, VERTEX, Q, X, Y, Z

__all__ = ["momentum_table", "particles"]

# Inelastic collisions at 14 TeV: about 70% are non-diffractive (Schuler and Sjostrand, Phys. Rev.
# D 49 (1994) 2257, the default of Pythia); diffractive ones leave few particles in the tracker
NON_DIFFRACTIVE = 0.7
DIFFRACTIVE_SHARE = 0.2  # of the multiplicity of a non-diffractive collision
# Negative binomial shape, 1/k = -0.104 + 0.058 ln(sqrt(s)/GeV), UA5, Z. Phys. C 43 (1989) 357
NB_SHAPE = 1.0 / (-0.104 + 0.058 * np.log(14000.0))
# Charged particles per unit of rapidity at y = 0, averaged over inelastic collisions: about 5.5
# per unit of pseudorapidity at 13 TeV (CMS, Phys. Lett. B 751 (2015) 143), 6 at 14 TeV; the
# value is calibrated on the digis per layer of the reference data
DENSITY = 7.25
# Width of the rapidity distribution: calibrated on the ratio of forward to barrel clusters;
# ALICE (Phys. Lett. B 726 (2013) 610) finds Gaussians of this kind of width at the LHC
SIGMA_RAPIDITY = 3.9
MAX_ETA = 3.6  # beyond it nothing reaches a module from the luminous region

# Pions, kaons, protons and their shares: ALICE, Eur. Phys. J. C 80 (2020) 693 (13 TeV)
MASSES = (0.13957, 0.49368, 0.93827)
SHARES = (0.84, 0.11, 0.05)
NUMBERS = (211.0, 321.0, 2212.0)
# Tsallis function, CMS, Phys. Rev. Lett. 105 (2010) 022002 (7 TeV): T = 0.145 GeV, n = 6.6
TSALLIS_T = 0.145
TSALLIS_N = 6.6


@cache
def momentum_table(points: int = 4096) -> NDArray[np.float64]:
    """Transverse momentum at equal steps of probability, GeV: [species, points + 1]."""
    pt = np.geomspace(0.005, 50.0, 20_000)
    rows = []
    for mass in MASSES:
        energy = np.sqrt(pt * pt + mass * mass) - mass
        density = pt * (1 + energy / (TSALLIS_N * TSALLIS_T)) ** -TSALLIS_N
        area = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2 * np.diff(pt))])
        rows.append(np.interp(np.linspace(0, 1, points + 1), area / area[-1], pt))
    return np.stack(rows)


@njit(cache=True, nogil=True)
def particles(
    rng: Generator,
    collisions: int,
    sigma_xy: float,
    sigma_z: float,
    table: NDArray[np.float64],
) -> NDArray[np.float64]:
    """The charged particles of one bunch crossing, see `particles`: float64[particles, COLUMNS]."""
    mean = DENSITY * SIGMA_RAPIDITY * np.sqrt(2 * np.pi)
    mean /= NON_DIFFRACTIVE + (1 - NON_DIFFRACTIVE) * DIFFRACTIVE_SHARE
    out = np.empty((1024, COLUMNS))
    n = 0
    for vertex in range(collisions):
        x, y = rng.normal(0.0, sigma_xy), rng.normal(0.0, sigma_xy)
        z = rng.normal(0.0, sigma_z)
        expected = mean * rng.gamma(NB_SHAPE, 1 / NB_SHAPE)
        if rng.random() > NON_DIFFRACTIVE:
            expected *= DIFFRACTIVE_SHARE
        for _ in range(rng.poisson(expected)):
            if n + 1 > len(out):
                out = np.concatenate((out, np.empty_like(out)))
            if _primary(rng, table, out[n]):
                out[n, X], out[n, Y], out[n, Z] = x, y, z
                out[n, VERTEX], out[n, PARENT] = vertex, -1
                n += 1
    return out[:n].copy()


@njit(cache=True, nogil=True)
def _primary(rng: Generator, table: NDArray[np.float64], out: NDArray[np.float64]) -> bool:
    """Draw one particle from the collision point; false if it misses the detector."""
    draw = rng.random()
    kind = 0 if draw < SHARES[0] else (1 if draw < SHARES[0] + SHARES[1] else 2)
    mass = MASSES[kind]
    rapidity = rng.normal(0.0, SIGMA_RAPIDITY)
    place = rng.random() * (table.shape[1] - 1)
    low = int(place)
    pt = table[kind, low] + (place - low) * (table[kind, low + 1] - table[kind, low])
    tanl = np.sqrt(1 + (mass / pt) ** 2) * np.sinh(rapidity)
    if abs(np.arcsinh(tanl)) > MAX_ETA:
        return False
    out[PT], out[PHI], out[TANL] = pt, 2 * np.pi * rng.random(), tanl
    out[Q] = 1.0 if rng.random() < 0.5 else -1.0
    out[MASS], out[PDG] = mass, NUMBERS[kind] * out[Q]
    return True
