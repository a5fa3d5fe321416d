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

__all__ = ["COL_BITS", "ROOM", "ROW_BITS", "Pixels", "Silicon", "deposit", "energy_loss"]

PAIR_ENERGY = 3.61  # eV an electron, SiPixelDigitizerAlgorithm.cc (GeVperElectron)

# Silicon, Particle Data Group, Review of Particle Physics (2022), section 34
RUTHERFORD = 17.8  # eV/um: K/2 Z/A rho, K = 0.307075 MeV cm2/g, Z/A = 0.4985, rho = 2.329 g/cm3
ELECTRON_MASS = 510_999.0  # eV
EXCITATION = 173.0  # eV
# density effect: Sternheimer, Berger, Seltzer, At. Data Nucl. Data Tables 30 (1984) 261
DENSITY_C, DENSITY_X0, DENSITY_X1, DENSITY_A, DENSITY_K = 4.4355, 0.2015, 2.8716, 0.1492, 3.2546

CUT = 1000.0  # eV between soft and hard collisions
MIN_BETA_GAMMA = 0.2  # below, a particle stops in the sensor
FAST = 3.5  # beta gamma of minimum ionisation
STEP = 12.0  # um of path; SiPixelDigitizerAlgorithm.cc uses 10
MAX_PATH = 4000.0  # um: a particle that grazes a sensor longer than this has curled out of it
DELTA_CUT = 50_000.0  # eV: below, an electron's range is much less than a pixel
MAX_DELTAS = 30  # that travel, in one crossing; there is hardly ever more than one
MAX_DELTA_STEPS = 200
# Range of electrons, um per keV ** RANGE_POWER: Kanaya and Okayama, J. Phys. D 5 (1972) 43, for
# silicon (A 28.086, Z 14, 2.329 g/cm3); a half for the winding path (detour factor, NIST ESTAR)
RANGE_SCALE = 0.5 * 0.0276 * 28.086 / (14**0.889 * 2.329)
RANGE_POWER = 1.67
DIFFUSION_LENGTH = 300.0  # um of drift, after which the cloud has its stated size
# A pixel as one number: module, row, column
ROW_BITS, COL_BITS = 11, 10
# Entries that one crossing may need at most
ROOM = 4 * (int(MAX_PATH / STEP) + 2 + MAX_DELTAS * MAX_DELTA_STEPS)


class Pixels(NamedTuple):
    """Charge in pixels, as a growing list: a pixel may occur several times."""

    key: NDArray[np.int64]  # module, row and column, see `ROW_BITS`
    charge: NDArray[np.float64]  # electrons
    crossing: NDArray[np.int32]  # index of the crossing that left the charge


class Silicon(NamedTuple):
    """What a sensor does with charge; lengths in um."""

    thickness: NDArray[np.float64]  # [layers]
    diffusion: float
    soft_loss: float
    minimum_ionising: bool
    delta_rays: bool


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
    return strength * max(bracket, 1.0), strength


@njit(cache=True, nogil=True)
def deposit(
    rng: Generator,
    geo: Geometry,
    silicon: Silicon,
    module: int,
    local: NDArray[np.float64],
    beta_gamma: float,
    crossing: int,
    pixels: Pixels,
    n: int,
) -> int:
    """Append the charge of one crossing to `pixels`, which has room for `ROOM` more entries.

    Parameters
    ----------
    rng : Generator
        The stream of the event.
    geo, silicon
        Planes and sensor.
    module : int
        Index of the module.
    local : float64[...]
        Position and direction as `tracking.localise` gives them.
    beta_gamma : float
        Momentum over mass.
    crossing : int
        Index of the crossing.
    pixels : Pixels
        The list to append to.
    n : int
        Entries in use.

    Returns
    -------
    int
        Entries in use afterwards.
    """
    thickness = silicon.thickness[geo.layer[module]]
    path = min(thickness / abs(local[4]), MAX_PATH)
    if silicon.minimum_ionising:
        beta_gamma = FAST
    soft, strength = energy_loss(beta_gamma)
    steps = math.ceil(path / STEP)
    step = path / steps
    mean, spread = silicon.soft_loss * soft * step, math.sqrt(strength * CUT * step)
    largest = max(2 * ELECTRON_MASS * beta_gamma * beta_gamma, 2 * CUT)
    rate = strength * (1 / CUT - 1 / largest)
    next_hard = rng.standard_exponential() / rate
    travels = DELTA_CUT if silicon.delta_rays else math.inf
    deltas = 0
    first = n
    for i in range(steps):
        energy = max(mean + spread * rng.standard_normal(), 0.0)
        while next_hard < (i + 1) * step:
            hard = CUT / (1 - rng.random() * (1 - CUT / largest))
            if hard > travels and deltas < MAX_DELTAS:
                w = next_hard - path / 2
                n = _delta(
                    rng, geo, silicon, module, local, w, hard, largest, crossing, pixels, n, first
                )
                deltas += 1
            else:
                energy += hard
            next_hard += rng.standard_exponential() / rate
        w = (i + 0.5) * step - path / 2
        row, col = local[0] + w * local[2], local[1] + w * local[3]
        n = _share(
            geo, silicon, module, row, col, w * local[4], energy / PAIR_ENERGY, crossing, pixels,
            n, first,
        )  # fmt: skip
    return n


@njit(cache=True, nogil=True)
def _delta(
    rng: Generator,
    geo: Geometry,
    silicon: Silicon,
    module: int,
    local: NDArray[np.float64],
    w: float,
    energy: float,
    largest: float,
    crossing: int,
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
        if abs(height) > silicon.thickness[geo.layer[module]] / 2:
            break
        row, col = local[0] + w * a + s * dx, local[1] + w * b + s * dy
        n = _share(geo, silicon, module, row, col, height, part, crossing, pixels, n, first)
    return n


@njit(cache=True, nogil=True)
def _share(
    geo: Geometry,
    silicon: Silicon,
    module: int,
    row: float,
    col: float,
    height: float,
    electrons: float,
    crossing: int,
    pixels: Pixels,
    n: int,
    first: int,
) -> int:
    """Drift electrons from (row, col, height) to the pixels, and give each its part of the cloud.

    Pixels are on the side to which the normal points.
    """
    thickness = silicon.thickness[geo.layer[module]]
    drift = min(max(thickness / 2 - height, 0.0), thickness)
    row += drift * geo.drift[module, 0]
    col += drift * geo.drift[module, 1]
    kind = geo.sensor[module]
    if abs(row) >= geo.half[kind, 0] or abs(col) >= geo.half[kind, 1]:
        return n
    sigma = silicon.diffusion * math.sqrt(drift / DIFFUSION_LENGTH) + 1e-3
    r = geo.at[kind, 0, int((row + geo.half[kind, 0]) / geo.grid[kind, 0])]
    c = geo.at[kind, 1, int((col + geo.half[kind, 1]) / geo.grid[kind, 1])]
    below, above = _beyond(row, sigma, geo.edge[kind, 0, r], geo.edge[kind, 0, r + 1])
    left, right = _beyond(col, sigma, geo.edge[kind, 1, c], geo.edge[kind, 1, c + 1])
    for i in range(-1, 2):
        part = below if i < 0 else (above if i else 1 - below - above)
        if part == 0.0 or r + i < 0 or r + i >= geo.pixels[kind, 0]:
            continue
        for j in range(-1, 2):
            share = part * (left if j < 0 else (right if j else 1 - left - right))
            if share > 0.0 and 0 <= c + j < geo.pixels[kind, 1]:
                key = (module << ROW_BITS | r + i) << COL_BITS | c + j
                n = _add(key, electrons * share, crossing, pixels, n, first)
    return n


@njit(cache=True, nogil=True)
def _beyond(at: float, sigma: float, low: float, high: float) -> tuple[float, float]:
    """The parts of a Gaussian cloud that lie below and above a pixel (neglected from 3 sigma)."""
    below = above = 0.0
    if at - low < 3 * sigma:  # 3: SiPixelDigitizerAlgorithm.cc (ClusterWidth)
        below = 0.5 * math.erfc((at - low) / sigma / math.sqrt(2.0))
    if high - at < 3 * sigma:
        above = 0.5 * math.erfc((high - at) / sigma / math.sqrt(2.0))
    return below, above


@njit(cache=True, nogil=True)
def _add(key: int, electrons: float, crossing: int, pixels: Pixels, n: int, first: int) -> int:
    """Add to a pixel that this crossing touched a moment ago, or append it."""
    for i in range(n - 1, max(n - 7, first - 1), -1):
        if pixels.key[i] == key:
            pixels.charge[i] += electrons
            return n
    pixels.key[n], pixels.charge[n], pixels.crossing[n] = key, electrons, crossing
    return n + 1
