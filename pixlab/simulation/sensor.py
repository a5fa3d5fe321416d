"""Charge in the silicon: energy loss along the path, drift in the field, sharing over pixels.

Energy loss is split at a cut: collisions above it are drawn one by one from the Rutherford
spectrum (their electrons travel when they have the range to), the many below it give every step
a Gaussian amount with the mean and the variance of the same spectrum. Sums over steps then have
the Landau tail, and neighbouring pixels share what one fast electron deposits.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.random import Generator
from numpy.typing import NDArray

from pixlab.simulation.geometry import Geometry

__all__ = ["ROOM", "Pixels", "deposit", "energy_loss"]

THICKNESS = 285.0  # um, sensor, CERN-LHCC-2012-016
PAIR_ENERGY = 3.61  # eV an electron, SiPixelDigitizerAlgorithm.cc (GeVperElectron)
# diffusion: 3.7 um over 300 um of drift, SiPixelDigitizerAlgorithm.cc (Sigma0, Dist300)
DIFFUSION = 6.0
DIFFUSION_LENGTH = 300.0

# Silicon, Particle Data Group, Review of Particle Physics (2022), section 34
RUTHERFORD = 17.8  # eV/um: K/2 Z/A rho, K = 0.307075 MeV cm2/g, Z/A = 0.4985, rho = 2.329 g/cm3
ELECTRON_MASS = 510_999.0  # eV
EXCITATION = 173.0  # eV
# density effect: Sternheimer, Berger, Seltzer, At. Data Nucl. Data Tables 30 (1984) 261
DENSITY_C, DENSITY_X0, DENSITY_X1, DENSITY_A, DENSITY_K = 4.4355, 0.2015, 2.8716, 0.1492, 3.2546

CUT = 1000.0  # eV between soft and hard collisions
# Calibrated on the cluster charge of the reference data: 1 would be the Bethe formula
SOFT_SCALE = 0.84
# Slower particles lose as much as those of this beta gamma. The reference data give all particles
# the loss of a fast one; slow kaons and protons leave several times more in CMS. Calibrated
# between the two on the saturated pixels of the reference
MIN_BETA_GAMMA = 1.3
STEP = 12.0  # um of path; SiPixelDigitizerAlgorithm.cc uses 10
MAX_PATH = 4000.0  # um: a particle that grazes a sensor longer than this has curled out of it
DELTA_CUT = 50_000.0  # eV: below, an electron's range is much less than a pixel
MAX_DELTAS = 30  # that travel, in one crossing; there is hardly ever more than one
MAX_DELTA_STEPS = 200
# Range of electrons, um per keV ** RANGE_POWER: Kanaya and Okayama, J. Phys. D 5 (1972) 43, for
# silicon (A 28.086, Z 14, 2.329 g/cm3); a half for the winding path (detour factor, NIST ESTAR)
RANGE_SCALE = 0.5 * 0.0276 * 28.086 / (14**0.889 * 2.329)
RANGE_POWER = 1.67
# Entries that one crossing may need at most
ROOM = 4 * (int(MAX_PATH / STEP) + 2 + MAX_DELTAS * MAX_DELTA_STEPS)


class Pixels(NamedTuple):
    """Charge in pixels, as a growing list: a pixel may occur several times."""

    key: NDArray[np.int64]  # module << 20 | row << 10 | col
    charge: NDArray[np.float64]  # electrons


@njit(cache=True, nogil=True)
def energy_loss(beta_gamma: float) -> tuple[float, float]:
    """Mean soft loss and Rutherford strength, eV/um, of a singly charged particle.

    The first is the Bethe formula restricted to collisions below `CUT`; the second, divided by
    the energy, is the number of collisions above it in a um.
    """
    bg = max(beta_gamma, MIN_BETA_GAMMA)
    beta2 = bg * bg / (1 + bg * bg)
    x = math.log10(bg)
    density = 0.0
    if x > DENSITY_X0:
        density = 2 * math.log(10.0) * x - DENSITY_C
        if x < DENSITY_X1:
            density += DENSITY_A * (DENSITY_X1 - x) ** DENSITY_K
    strength = RUTHERFORD / beta2
    bracket = math.log(2 * ELECTRON_MASS * bg * bg * CUT / EXCITATION**2) - beta2 - density
    return SOFT_SCALE * strength * max(bracket, 1.0), strength


@njit(cache=True, nogil=True)
def deposit(
    rng: Generator,
    geo: Geometry,
    module: int,
    local: NDArray[np.float64],
    beta_gamma: float,
    pixels: Pixels,
    n: int,
) -> int:
    """Append the charge of one crossing to `pixels`, which has room for `ROOM` more entries.

    Parameters
    ----------
    rng : Generator
        The stream of the event.
    geo : Geometry
        The planes.
    module : int
        Index of the module.
    local : float64[5]
        Position and direction as `tracking.crossings` gives them.
    beta_gamma : float
        Momentum over mass.
    pixels : Pixels
        The list to append to.
    n : int
        Entries in use.

    Returns
    -------
    int
        Entries in use afterwards.
    """
    path = min(THICKNESS / abs(local[4]), MAX_PATH)
    soft, strength = energy_loss(beta_gamma)
    steps = math.ceil(path / STEP)
    step = path / steps
    mean, spread = soft * step, math.sqrt(strength * CUT * step)
    largest = max(2 * ELECTRON_MASS * beta_gamma * beta_gamma, 2 * CUT)
    rate = strength * (1 / CUT - 1 / largest)
    next_hard = rng.standard_exponential() / rate
    deltas = 0
    first = n
    for i in range(steps):
        energy = max(rng.normal(mean, spread), 0.0)
        while next_hard < (i + 1) * step:
            hard = CUT / (1 - rng.random() * (1 - CUT / largest))
            if hard > DELTA_CUT and deltas < MAX_DELTAS:
                w = next_hard - path / 2
                n = _delta(rng, geo, module, local, w, hard, largest, pixels, n, first)
                deltas += 1
            else:
                energy += hard
            next_hard += rng.standard_exponential() / rate
        w = (i + 0.5) * step - path / 2
        row, col = local[0] + w * local[2], local[1] + w * local[3]
        n = _share(geo, module, row, col, w * local[4], energy / PAIR_ENERGY, pixels, n, first)
    return n


@njit(cache=True, nogil=True)
def _delta(
    rng: Generator,
    geo: Geometry,
    module: int,
    local: NDArray[np.float64],
    w: float,
    energy: float,
    largest: float,
    pixels: Pixels,
    n: int,
    first: int,
) -> int:
    """Spread a fast electron's energy along its own path, as far as that is inside the sensor.

    The electron starts after `w` um of the particle's path, counted from the middle plane, at
    the angle that goes with its energy.
    """
    cosine = math.sqrt(
        energy * (largest + 2 * ELECTRON_MASS) / (largest * (energy + 2 * ELECTRON_MASS))
    )
    sine = math.sqrt(max(1 - cosine * cosine, 0.0))
    turn = 2 * math.pi * rng.random()
    across, up = sine * math.cos(turn), sine * math.sin(turn)
    # two directions perpendicular to that of the particle, (a, b, c)
    a, b, c = local[2], local[3], local[4]
    flat = math.hypot(a, b)
    ux, uy = 1.0, 0.0
    if flat > 1e-9:
        ux, uy = -b / flat, a / flat
    dx = cosine * a + across * ux - up * c * uy
    dy = cosine * b + across * uy + up * c * ux
    dz = cosine * c + up * (a * uy - b * ux)
    length = min(RANGE_SCALE * (energy / 1000.0) ** RANGE_POWER, MAX_PATH)
    steps = min(max(int(length / STEP), 2), MAX_DELTA_STEPS)
    part = energy / steps / PAIR_ENERGY
    for i in range(steps):
        s = (i + 0.5) / steps * length
        height = w * c + s * dz
        if abs(height) > THICKNESS / 2:
            break
        row, col = local[0] + w * a + s * dx, local[1] + w * b + s * dy
        n = _share(geo, module, row, col, height, part, pixels, n, first)
    return n


@njit(cache=True, nogil=True)
def _share(
    geo: Geometry,
    module: int,
    row: float,
    col: float,
    height: float,
    electrons: float,
    pixels: Pixels,
    n: int,
    first: int,
) -> int:
    """Drift electrons from (row, col, height) to the pixels, and give each its part of the cloud.

    Pixels are on the side to which the normal points.
    """
    drift = min(max(THICKNESS / 2 - height, 0.0), THICKNESS)
    row += drift * geo.drift[module, 0]
    col += drift * geo.drift[module, 1]
    if abs(row) >= geo.half_row or abs(col) >= geo.half_col:
        return n
    sigma = DIFFUSION * math.sqrt(drift / DIFFUSION_LENGTH) + 1e-3
    r = geo.row_at[int((row + geo.half_row) / geo.grid)]
    c = geo.col_at[int((col + geo.half_col) / geo.grid)]
    to_row, row_part = _beyond(row, sigma, geo.row_edge[r], geo.row_edge[r + 1])
    to_col, col_part = _beyond(col, sigma, geo.col_edge[c], geo.col_edge[c + 1])
    rows, cols = len(geo.row_edge) - 1, len(geo.col_edge) - 1
    for i in range(2):
        there, part = (r + to_row, row_part) if i else (r, 1 - row_part)
        if part == 0.0 or there < 0 or there >= rows:
            continue
        for j in range(2):
            across, share = (c + to_col, part * col_part) if j else (c, part * (1 - col_part))
            if share > 0.0 and 0 <= across < cols:
                key = module << 20 | there << 10 | across
                n = _add(key, electrons * share, pixels, n, first)
    return n


@njit(cache=True, nogil=True)
def _beyond(at: float, sigma: float, low: float, high: float) -> tuple[int, float]:
    """Which neighbour a Gaussian cloud reaches (-1, 0 or 1), and with which part."""
    if at - low < high - at:
        side, distance = -1, at - low
    else:
        side, distance = 1, high - at
    if distance > 3 * sigma:  # 3: SiPixelDigitizerAlgorithm.cc (ClusterWidth)
        return 0, 0.0
    return side, 0.5 * math.erfc(distance / sigma / math.sqrt(2.0))


@njit(cache=True, nogil=True)
def _add(key: int, electrons: float, pixels: Pixels, n: int, first: int) -> int:
    """Add to a pixel that this crossing touched a moment ago, or append it."""
    for i in range(n - 1, max(n - 7, first - 1), -1):
        if pixels.key[i] == key:
            pixels.charge[i] += electrons
            return n
    pixels.key[n], pixels.charge[n] = key, electrons
    return n + 1
