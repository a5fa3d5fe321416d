"""Minimum-bias proton collisions at 14 TeV: the charged particles of each, without a generator.

Number, rapidity, transverse momentum and species are drawn independently, from functions and a
table that `scripts/fit_minimum_bias.py` fits to Pythia 8.317 (SoftQCD:inelastic, Monash tune):
no jets, no resonances. Two neutral species decay on their way, into a vee of charged ones.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numba import njit
from numpy.random import Generator
from numpy.typing import NDArray

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

__all__ = ["momentum_table", "particles"]

# scripts/fit_minimum_bias.py: charged particles of a collision within FITTED_ETA at rising
# probability; share of each species among them (neutral ones: for each charged particle); their
# Tsallis functions pt (1 + (mt - m) / (n T)) ** -n; the rapidity distribution, near a Gaussian
FITTED_ETA = 3.6
PROBABILITY = (0.0, 0.08, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.995, 1.0)
MULTIPLICITY = (0.0, 0.0, 3.0, 12.0, 17.0, 22.0, 30.0, 41.0, 58.0, 80.0, 117.0, 146.0, 173.0, 205.0,
                270.0)  # fmt: skip
SIGMA_RAPIDITY = 5.9
# Pythia has about a tenth more particles than CMS finds: 5.49 a unit of pseudorapidity at 13 TeV (Phys.
# Lett. B 751 (2015) 143); this is half way
MULTIPLICITY_SCALE = 0.95
# pion, kaon, proton, electron (of neutral pions); then K0s to two pions and Lambda to proton, pion
NUMBERS = np.array([211.0, 321.0, 2212.0, -11.0, 310.0, 3122.0])
MASSES = np.array([0.13957, 0.49368, 0.93827, 0.000511, 0.49761, 1.11568])
SHARES = np.array([0.842, 0.0995, 0.0436, 0.0149, 0.0477, 0.0154])
TSALLIS_T = np.array([0.168, 0.199, 0.218, 0.0098, 0.206, 0.231])
TSALLIS_N = np.array([7.77, 6.18, 5.96, 3.10, 6.31, 5.44])
K0S, LAMBDA = 4, 5
# Branching fractions and decay lengths (cm) of the two (Particle Data Group)
BRANCHING = np.array([0.692, 0.641])
DECAY_LENGTH = np.array([2.684, 7.89])
# Decays further out leave nothing in the pixel detector, cm
DECAY_RADIUS, DECAY_Z = 16.0, 55.0


@cache
def momentum_table(points: int = 4096) -> NDArray[np.float64]:
    """Transverse momentum at equal steps of probability, GeV: [species, points + 1]."""
    pt = np.geomspace(0.003, 60.0, 20_000)
    rows = []
    for mass, temperature, power in zip(MASSES, TSALLIS_T, TSALLIS_N, strict=True):
        energy = np.sqrt(pt * pt + mass * mass) - mass
        density = pt * (1 + energy / (power * temperature)) ** -power
        area = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2 * np.diff(pt))])
        rows.append(np.interp(np.linspace(0, 1, points + 1), area / area[-1], pt))
    return np.stack(rows)


@njit(cache=True, nogil=True)
def particles(
    rng: Generator,
    collisions: int,
    sigma_xy: float,
    sigma_z: float,
    max_eta: float,
    decays: bool,
    table: NDArray[np.float64],
) -> NDArray[np.float64]:
    """The charged particles of one bunch crossing: float64[particles, COLUMNS].

    Parameters
    ----------
    rng : Generator
        The stream of the event.
    collisions : int
        How many.
    sigma_xy, sigma_z : float
        Size of the luminous region, cm.
    max_eta : float
        Pseudorapidity beyond which nothing reaches a module; the density is taken as level to it.
    decays : bool
        Whether neutral particles decay into charged ones.
    table : float64[species, ...]
        From `momentum_table`.
    """
    probability, multiplicity = np.array(PROBABILITY), np.array(MULTIPLICITY)
    scale = MULTIPLICITY_SCALE * max_eta / FITTED_ETA
    max_tanl = math.sinh(max_eta)
    out = np.empty((1024, COLUMNS))
    n = 0
    for vertex in range(collisions):
        x, y = sigma_xy * rng.standard_normal(), sigma_xy * rng.standard_normal()
        z = sigma_z * rng.standard_normal()
        charged = scale * np.interp(rng.random(), probability, multiplicity)
        for _ in range(int(charged + rng.random())):
            draw = rng.random()
            kind = 0
            while kind < K0S - 1 and draw > SHARES[kind]:
                draw -= SHARES[kind]
                kind += 1
            if n + 3 > len(out):
                out = np.concatenate((out, np.empty_like(out)))
            _draw(rng, table, max_tanl, kind, x, y, z, vertex, out[n])
            n += 1
            if not decays:
                continue
            draw = rng.random()
            if draw < SHARES[K0S]:
                n += _vee(rng, table, max_tanl, K0S, x, y, z, vertex, out[n], out[n + 1])
            elif draw < SHARES[K0S] + SHARES[LAMBDA]:
                n += _vee(rng, table, max_tanl, LAMBDA, x, y, z, vertex, out[n], out[n + 1])
    return out[:n].copy()


@njit(cache=True, nogil=True)
def _draw(
    rng: Generator,
    table: NDArray[np.float64],
    max_tanl: float,
    kind: int,
    x: float,
    y: float,
    z: float,
    vertex: int,
    out: NDArray[np.float64],
) -> None:
    """Draw one particle of a species from a collision."""
    mass = MASSES[kind]
    while True:
        rapidity = SIGMA_RAPIDITY * rng.standard_normal()
        place = rng.random() * (table.shape[1] - 1)
        low = int(place)
        pt = table[kind, low] + (place - low) * (table[kind, low + 1] - table[kind, low])
        tanl = math.sqrt(1 + (mass / pt) ** 2) * math.sinh(rapidity)
        if abs(tanl) < max_tanl:
            break
    out[X], out[Y], out[Z] = x, y, z
    out[PT], out[PHI], out[TANL] = pt, 2 * math.pi * rng.random(), tanl
    out[Q] = 1.0 if rng.random() < 0.5 else -1.0
    out[MASS], out[PDG] = mass, NUMBERS[kind] * out[Q]
    out[VERTEX], out[PARENT] = vertex, -1


@njit(cache=True, nogil=True)
def _vee(
    rng: Generator,
    table: NDArray[np.float64],
    max_tanl: float,
    kind: int,
    x: float,
    y: float,
    z: float,
    vertex: int,
    first: NDArray[np.float64],
    second: NDArray[np.float64],
) -> int:
    """The two charged particles that a neutral one decays to; 0 if it does not, near enough."""
    _draw(rng, table, max_tanl, kind, x, y, z, vertex, first)
    if rng.random() > BRANCHING[kind - K0S]:
        return 0
    mass, pt = MASSES[kind], first[PT]
    px, py, pz = pt * math.cos(first[PHI]), pt * math.sin(first[PHI]), pt * first[TANL]
    momentum = math.sqrt(px * px + py * py + pz * pz)
    length = DECAY_LENGTH[kind - K0S] / mass * rng.standard_exponential()  # cm per GeV
    x, y, z = x + length * px, y + length * py, z + length * pz
    if math.hypot(x, y) > DECAY_RADIUS or abs(z) > DECAY_Z:
        return 0
    # a random direction in the frame of the parent, then its boost
    heavy = 2 if kind == LAMBDA else 0
    m1, m2 = MASSES[heavy], MASSES[0]
    q = math.sqrt((mass * mass - (m1 + m2) ** 2) * (mass * mass - (m1 - m2) ** 2)) / (2 * mass)
    cosine, turn = 2 * rng.random() - 1, 2 * math.pi * rng.random()
    sine = math.sqrt(1 - cosine * cosine)
    qx, qy, qz = q * sine * math.cos(turn), q * sine * math.sin(turn), q * cosine
    along = (qx * px + qy * py + qz * pz) / max(momentum, 1e-12)
    gamma = math.sqrt(1 + (momentum / mass) ** 2)
    positive = 1.0 if kind == K0S or rng.random() < 0.5 else -1.0  # of the first; anti-Lambda
    for i in range(2):
        out, m, sign = (first, m1, 1.0) if i == 0 else (second, m2, -1.0)
        energy = math.sqrt(q * q + m * m)
        # p' = q + p / |p| ((gamma - 1) q along p + gamma beta E)
        added = (gamma - 1) * sign * along + momentum / mass * energy
        added /= max(momentum, 1e-12)
        ox, oy, oz = sign * qx + added * px, sign * qy + added * py, sign * qz + added * pz
        out[X], out[Y], out[Z] = x, y, z
        out[PT] = max(math.hypot(ox, oy), 1e-4)
        out[PHI], out[TANL] = math.atan2(oy, ox), oz / out[PT]
        out[Q] = sign * positive
        out[MASS], out[PDG] = m, NUMBERS[heavy if i == 0 else 0] * out[Q]
        out[VERTEX], out[PARENT] = vertex, -1
    return 2
