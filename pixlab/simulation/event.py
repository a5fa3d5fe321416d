"""One event: the stages of the simulation in a row, compiled, without the interpreter's lock.

Numba's cache of a function goes by the date of its own file: after a change in tracking or sensor,
touch this one too.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.random import Generator
from numpy.typing import NDArray

from pixlab.simulation.geometry import Geometry
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
from pixlab.simulation.readout import Links, Readout, digitize
from pixlab.simulation.sensor import ROOM, Pixels, Silicon, deposit
from pixlab.simulation.tracking import CURVATURE, MAX_CROSSINGS, crossings, localise

__all__ = ["Crossings", "EventResult", "Matter", "simulate_event", "transport"]

# Energy that a particle of minimum ionisation loses in a radiation length, GeV: mostly carbon and
# silicon, 24 g/cm2 a radiation length, 1.8 MeV cm2/g. It ends loopers; the momentum stays
LOSS = 0.045
# Beam pipe: 0.8 mm of beryllium, 35.3 cm a radiation length, at 2.25 cm (CERN-LHCC-2012-016)
PIPE_RADIUS = 2.25
PIPE = 0.0023
LIGHT = 29.9792458  # cm/ns
ELECTRON = 0.000511  # GeV
# Photons per charged particle, nearly all from neutral pions, and their mean transverse momentum in
# parts of that of charged particles (scripts/fit_minimum_bias.py); the mean free path for a pair is
# 9/7 of a radiation length, and electron and positron share the energy evenly (Particle Data Group)
PHOTONS = 1.05
PHOTON_PART = 0.47
PAIR_RATE = 7 / 9
BEHIND = 0.05  # cm in radius, from the middle of the sensor to where a pair starts


class Matter(NamedTuple):
    """Whether and how material acts on particles."""

    radiation_lengths: float  # of a layer at right angles
    secondaries: bool
    overlaps: bool
    latest: float  # ns after light


class Crossings(NamedTuple):
    """Crossings of particles through modules, in the order in which they were simulated."""

    particle: NDArray[np.int32]
    module: NDArray[np.int32]
    local: NDArray[np.float64]  # [n, 6], see `tracking.localise`
    momentum: NDArray[np.float64]  # GeV
    time: NDArray[np.float64]  # ns after the collision
    charge: NDArray[np.float64]  # electrons that reached the pixels


class EventResult(NamedTuple):
    """Pixels and counts of one bunch crossing, and where they come from."""

    pixel: NDArray[np.int64]
    counts: NDArray[np.int64]
    links: Links | None
    particles: NDArray[np.float64] | None
    crossings: Crossings | None

    def without_truth(self) -> EventResult:
        """Pixels and counts alone, in little memory."""
        return EventResult(self.pixel, self.counts, None, None, None)


def simulate_event(
    rng: Generator,
    geo: Geometry,
    readout: Readout,
    silicon: Silicon,
    matter: Matter,
    particles: NDArray[np.float64],
    truth: bool,
) -> EventResult:
    """What the detector makes of the particles of one bunch crossing."""
    pixels, tracks, met = transport(rng, geo, silicon, matter, particles)
    pixel, counts, links = digitize(rng, readout, geo.layer, pixels, truth)
    return EventResult(pixel, counts, links, tracks, met)


@njit(cache=True, nogil=True)
def _grown_pixels(pixels: Pixels) -> Pixels:
    return Pixels(
        np.concatenate((pixels.key, np.empty_like(pixels.key))),
        np.concatenate((pixels.charge, np.empty_like(pixels.charge))),
        np.concatenate((pixels.crossing, np.empty_like(pixels.crossing))),
    )


@njit(cache=True, nogil=True)
def _crossings(n: int) -> Crossings:
    return Crossings(
        np.empty(n, np.int32), np.empty(n, np.int32), np.empty((n, 6)), np.empty(n), np.empty(n),
        np.empty(n),
    )  # fmt: skip


@njit(cache=True, nogil=True)
def _first_crossings(met: Crossings, n: int, room: int) -> Crossings:
    """The first n crossings, with room for more behind them."""
    out = _crossings(room)
    out.particle[:n], out.module[:n] = met.particle[:n], met.module[:n]
    out.local[:n], out.momentum[:n] = met.local[:n], met.momentum[:n]
    out.time[:n], out.charge[:n] = met.time[:n], met.charge[:n]
    return out


@njit(cache=True, nogil=True)
def transport(
    rng: Generator, geo: Geometry, silicon: Silicon, matter: Matter, primaries: NDArray[np.float64]
) -> tuple[Pixels, NDArray[np.float64], Crossings]:
    """The charge that particles leave in pixels on their way through the modules.

    Returns
    -------
    pixels : Pixels
    particles : float64[...]
        Those given, then the electrons of converted photons.
    crossings : Crossings
    """
    tracks = np.empty((len(primaries) + 1024, COLUMNS))
    tracks[: len(primaries)] = primaries
    n_tracks = len(primaries)
    angle, module = np.empty(MAX_CROSSINGS), np.empty(MAX_CROSSINGS, np.int64)
    shift, bend = np.empty(3), np.empty(3)
    pixels = Pixels(np.empty(1 << 17, np.int64), np.empty(1 << 17), np.empty(1 << 17, np.int32))
    met = _crossings(1 << 14)
    n = n_met = 0
    i = 0
    while i < n_tracks:
        track = tracks[i]
        stretch = np.sqrt(1 + track[TANL] ** 2)
        momentum, mass = track[PT] * stretch, track[MASS]
        beta_gamma = momentum / mass
        beta = beta_gamma / np.sqrt(1 + beta_gamma**2)
        energy = np.sqrt(momentum**2 + mass**2) - mass
        turn, radius = -track[Q], CURVATURE * track[PT]
        shift[:] = 0.0
        bend[:] = 0.0
        here = 0.0  # turning angle up to which the particle was followed
        if np.hypot(track[X], track[Y]) < PIPE_RADIUS:
            here = min(PIPE_RADIUS / radius, np.pi)
            _scatter(rng, track, here, PIPE * stretch, momentum, beta, bend)
        found = crossings(track, geo, matter.overlaps, angle, module)
        for j in range(found):
            if n_met == len(met.particle):
                met = _first_crossings(met, n_met, 2 * n_met)
            way = (angle[j] - here) * radius * stretch
            for k in range(3):
                shift[k] += bend[k] * way
            _rotate(bend, turn * (angle[j] - here))
            here = angle[j]
            local = met.local[n_met]
            if not localise(
                track,
                geo,
                silicon.thickness[geo.layer[module[j]]],
                here,
                module[j],
                shift,
                bend,
                local,
            ):
                continue
            # what happened before the particle was made is not in its time
            time = local[5] * radius * stretch / (beta * LIGHT)
            place = geo.position[module[j]]
            if time - np.sqrt((place * place).sum()) / LIGHT > matter.latest:
                break
            material = matter.radiation_lengths / max(abs(local[4]), 0.05)
            if n + ROOM > len(pixels.key):
                pixels = _grown_pixels(pixels)
            before = n
            n = deposit(rng, geo, silicon, module[j], local, beta_gamma, n_met, pixels, n)
            met.particle[n_met], met.module[n_met] = i, module[j]
            met.momentum[n_met], met.time[n_met] = momentum, time
            met.charge[n_met] = pixels.charge[before:n].sum()
            n_met += 1
            energy -= LOSS * material / beta**2
            if energy < 0.0:
                break
            _scatter(rng, track, here, material, momentum, beta, bend)
            if matter.secondaries and track[PARENT] < 0 and angle[j] < np.pi:
                converts = rng.random() < PHOTONS * PAIR_RATE * material
                if converts:
                    if n_tracks + 2 > len(tracks):
                        tracks = np.concatenate((tracks, np.empty_like(tracks)))
                        track = tracks[i]
                    _pair(rng, i, here, tracks, n_tracks)
                    n_tracks += 2
        i += 1
    return (
        Pixels(pixels.key[:n], pixels.charge[:n], pixels.crossing[:n]),
        tracks[:n_tracks].copy(),
        _first_crossings(met, n_met, n_met),
    )


@njit(cache=True, nogil=True)
def _rotate(vector: NDArray[np.float64], angle: float) -> None:
    """Turn a vector about z."""
    cosine, sine = np.cos(angle), np.sin(angle)
    x, y = vector[0], vector[1]
    vector[0], vector[1] = cosine * x - sine * y, sine * x + cosine * y


@njit(cache=True, nogil=True)
def _scatter(
    rng: Generator,
    track: NDArray[np.float64],
    t: float,
    material: float,
    momentum: float,
    beta: float,
    bend: NDArray[np.float64],
) -> None:
    """Add a multiple-scattering angle to the direction (Particle Data Group, Highland's formula)."""
    if material <= 0.0:
        return
    rms = 0.0136 / (beta * momentum) * np.sqrt(material) * (1 + 0.038 * np.log(material))
    rms = min(max(rms, 0.0), 0.3)
    sideways, upwards = rms * rng.standard_normal(), rms * rng.standard_normal()
    heading = track[PHI] - track[Q] * t
    norm = 1 / np.sqrt(1 + track[TANL] ** 2)
    cosine, sine = np.cos(heading), np.sin(heading)
    bend[0] += -sine * sideways - cosine * track[TANL] * norm * upwards
    bend[1] += cosine * sideways - sine * track[TANL] * norm * upwards
    bend[2] += norm * upwards


@njit(cache=True, nogil=True)
def _pair(rng: Generator, parent: int, t: float, tracks: NDArray[np.float64], n: int) -> None:
    """Electron and positron of a photon that flies beside a particle and converts at an angle t."""
    track = tracks[parent]
    radius, turn = CURVATURE * track[PT], -track[Q]
    heading = track[PHI] + turn * t
    x = track[X] + turn * radius * (np.sin(heading) - np.sin(track[PHI]))
    y = track[Y] - turn * radius * (np.cos(heading) - np.cos(track[PHI]))
    z = track[Z] + radius * t * track[TANL]
    share = rng.random()
    for k in range(2):
        pair = tracks[n + k]
        # behind the module
        pair[X], pair[Y] = x + BEHIND * np.cos(heading), y + BEHIND * np.sin(heading)
        pair[Z] = z + BEHIND * track[TANL]
        pair[PT] = max(PHOTON_PART * track[PT] * (share if k else 1 - share), 0.001)
        # a photon flies straight from the beam to where it converts
        pair[PHI], pair[TANL] = np.arctan2(y - track[Y], x - track[X]), track[TANL]
        pair[Q], pair[MASS], pair[PDG] = 1.0 - 2.0 * k, ELECTRON, -11.0 + 22.0 * k
        pair[VERTEX], pair[PARENT] = track[VERTEX], parent
