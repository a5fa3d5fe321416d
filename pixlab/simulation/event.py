"""One event: the stages of the simulation in a row, compiled, without the interpreter's lock.

Numba's cache of a function goes by the date of its own file: after a change in tracking or sensor,
touch this one too.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.random import Generator
from numpy.typing import NDArray

from pixlab.simulation.collisions import MASS, PT, TANL, particles
from pixlab.simulation.geometry import Geometry
from pixlab.simulation.readout import Readout, digitize
from pixlab.simulation.sensor import ROOM, Pixels, deposit
from pixlab.simulation.tracking import MAX_CROSSINGS, crossings

__all__ = ["simulate_event"]

# Energy that a particle of minimum ionisation loses in one module and its support, GeV: 2% of
# a radiation length (CERN-LHCC-2012-016), mostly carbon and silicon, 24 g/cm2 a radiation length,
# 1.8 MeV cm2/g; it ends loopers, and is not taken from the momentum before
LOSS_A_LAYER = 0.9e-3


def simulate_event(
    rng: Generator,
    geo: Geometry,
    readout: Readout,
    table: NDArray[np.float64],
    pileup: float,
    fixed: bool,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pixels (``module << 20 | row << 10 | col``, rising) and counts of one bunch crossing."""
    pixels = transport(rng, geo, particles(rng, pileup, fixed, table))
    return digitize(rng, readout, geo.layer, *pixels)


@njit(cache=True, nogil=True)
def transport(rng: Generator, geo: Geometry, tracks: NDArray[np.float64]) -> Pixels:
    """The charge that particles leave in pixels on their way through the modules."""
    angle = np.empty(MAX_CROSSINGS)
    module = np.empty(MAX_CROSSINGS, np.int64)
    local = np.empty((MAX_CROSSINGS, 5))
    pixels = Pixels(np.empty(1 << 17, np.int64), np.empty(1 << 17))
    n = 0
    for i in range(len(tracks)):
        momentum = tracks[i, PT] * np.sqrt(1 + tracks[i, TANL] ** 2)
        mass = tracks[i, MASS]
        beta_gamma = momentum / mass
        beta2 = beta_gamma**2 / (1 + beta_gamma**2)
        energy = np.sqrt(momentum**2 + mass**2) - mass
        for j in range(crossings(tracks[i], geo, angle, module, local)):
            energy -= LOSS_A_LAYER / beta2 / abs(local[j, 4])
            if energy < 0.0:
                break
            if n + ROOM > len(pixels.key):
                pixels = Pixels(
                    np.concatenate((pixels.key, np.empty_like(pixels.key))),
                    np.concatenate((pixels.charge, np.empty_like(pixels.charge))),
                )
            n = deposit(rng, geo, module[j], local[j], beta_gamma, pixels, n)
    return Pixels(pixels.key[:n], pixels.charge[:n])
