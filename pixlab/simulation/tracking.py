"""Where the helix of a particle in the solenoid crosses the module planes."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pixlab.simulation.collisions import PHI, PT, TANL, Q, X, Y, Z
from pixlab.simulation.geometry import FIELD, Geometry

__all__ = ["MAX_CROSSINGS", "crossings"]

# radius of curvature: pt = 0.299792458 (GeV/c) / (T m) * field * radius
CURVATURE = 100.0 / (0.299792458 * FIELD)  # cm per GeV
# What leaves the pixel detector is not followed: it meets 1 to 2 radiation lengths of tracker and
# the calorimeter (JINST 3 (2008) S08004), and the reference data have nothing that comes back
PIXEL_RADIUS = 20.0  # cm
MAX_TURNS = 8  # a limit on work only: energy ends a looper before
MAX_CROSSINGS = 256
_CM = 1e-4  # of a micrometre


@njit(cache=True, nogil=True)
def crossings(
    particle: NDArray[np.float64],
    geo: Geometry,
    angle: NDArray[np.float64],
    module: NDArray[np.int64],
    local: NDArray[np.float64],
) -> int:
    """Find the crossings of one particle in the order in which it makes them.

    Parameters
    ----------
    particle : float64[8]
        Row of `collisions.particles`.
    geo : Geometry
        The planes.
    angle, module, local : arrays of at least MAX_CROSSINGS
        Filled with turning angle, module index, and (row, column) position in um and direction
        (along rows, columns and the normal) in the module's frame.

    Returns
    -------
    int
        Number of crossings.
    """
    radius = CURVATURE * particle[PT]
    turn = -particle[Q]  # positive charges turn clockwise in a field along +z
    centre_x = particle[X] - turn * radius * np.sin(particle[PHI])
    centre_y = particle[Y] + turn * radius * np.cos(particle[PHI])
    last = np.pi
    if np.hypot(centre_x, centre_y) + radius < PIXEL_RADIUS:
        last = 2 * np.pi * MAX_TURNS
    n = 0
    for ladder in range(len(geo.ladder_distance)):
        nx, ny = geo.ladder_normal[ladder]
        sine = geo.ladder_distance[ladder] - centre_x * nx - centre_y * ny
        sine /= turn * radius
        if abs(sine) >= 1.0:
            continue
        plane = np.arctan2(ny, nx)
        swing = np.arcsin(sine)
        for side in range(2):
            heading = plane + (swing if side == 0 else np.pi - swing)
            t = (turn * (heading - particle[PHI])) % (2 * np.pi)
            # the crossing is on this line, not on the far side of the beam: check the row first
            px = centre_x + turn * radius * np.sin(heading)
            py = centre_y - turn * radius * np.cos(heading)
            row = (py * nx - px * ny) / _CM
            if abs(row) >= geo.half_row:
                continue
            while t < last and n < MAX_CROSSINGS:
                z = particle[Z] + radius * t * particle[TANL]
                found = _barrel_module(geo, z)
                if t > 0.0 and found >= 0:
                    m = geo.ladder_first[ladder] + found
                    angle[n] = t
                    if _localise(particle, geo, radius, turn, t, m, local[n]):
                        module[n] = m
                        n += 1
                elif abs(z) > 60.0:
                    break
                t += 2 * np.pi
    if particle[TANL] != 0.0:
        for ring in range(len(geo.ring_z)):
            t = (geo.ring_z[ring] - particle[Z]) / (radius * particle[TANL])
            if t <= 0.0 or t >= last or n >= MAX_CROSSINGS:
                continue
            heading = particle[PHI] + turn * t
            px = centre_x + turn * radius * np.sin(heading)
            py = centre_y - turn * radius * np.cos(heading)
            r = np.hypot(px, py)
            if r <= geo.ring_radius[ring, 0] or r >= geo.ring_radius[ring, 1]:
                continue
            m = _ring_module(geo, ring, np.arctan2(py, px))
            angle[n] = t
            if _localise(particle, geo, radius, turn, t, m, local[n]):
                module[n] = m
                n += 1
    _sort(angle, module, local, n)
    return n


@njit(cache=True, nogil=True)
def _barrel_module(geo: Geometry, z: float) -> int:
    """Place in its ladder of the module at z, -1 if there is none."""
    for i in range(len(geo.ladder_module_z)):
        if abs(z - geo.ladder_module_z[i]) < geo.half_col * _CM:
            return i
    return -1


@njit(cache=True, nogil=True)
def _ring_module(geo: Geometry, ring: int, phi: float) -> int:
    """The module of a ring whose axis is nearest in azimuth: overlaps count once."""
    first, stop = geo.ring_first[ring], geo.ring_first[ring + 1]
    after = first + np.searchsorted(geo.ring_phi[first:stop], phi)
    low = after - 1 if after > first else stop - 1
    high = after if after < stop else first
    to_low = (phi - geo.ring_phi[low]) % (2 * np.pi)
    to_high = (geo.ring_phi[high] - phi) % (2 * np.pi)
    return geo.ring_module[low] if to_low < to_high else geo.ring_module[high]


@njit(cache=True, nogil=True)
def _localise(
    particle: NDArray[np.float64],
    geo: Geometry,
    radius: float,
    turn: float,
    t: float,
    m: int,
    out: NDArray[np.float64],
) -> bool:
    """Position and direction in the frame of module m, from the tangent at turning angle t."""
    heading = particle[PHI] + turn * t
    norm = 1 / np.sqrt(1 + particle[TANL] ** 2)
    dx, dy, dz = np.cos(heading) * norm, np.sin(heading) * norm, particle[TANL] * norm
    start = particle[PHI]
    x = particle[X] + turn * radius * (np.sin(heading) - np.sin(start)) - geo.position[m, 0]
    y = particle[Y] - turn * radius * (np.cos(heading) - np.cos(start)) - geo.position[m, 1]
    z = particle[Z] + radius * t * particle[TANL] - geo.position[m, 2]
    along = dx * geo.normal[m, 0] + dy * geo.normal[m, 1] + dz * geo.normal[m, 2]
    if abs(along) < 1e-6:
        return False
    # the plane of a forward module is inclined: go to it along the tangent
    step = -(x * geo.normal[m, 0] + y * geo.normal[m, 1] + z * geo.normal[m, 2]) / along
    x, y, z = x + step * dx, y + step * dy, z + step * dz
    row, col = geo.axis_row[m], geo.axis_col[m]
    out[0] = (x * row[0] + y * row[1] + z * row[2]) / _CM
    out[1] = (x * col[0] + y * col[1] + z * col[2]) / _CM
    out[2] = dx * row[0] + dy * row[1] + dz * row[2]
    out[3] = dx * col[0] + dy * col[1] + dz * col[2]
    out[4] = along
    return abs(out[0]) < geo.half_row and abs(out[1]) < geo.half_col


@njit(cache=True, nogil=True)
def _sort(
    angle: NDArray[np.float64], module: NDArray[np.int64], local: NDArray[np.float64], n: int
) -> None:
    """Order the first n crossings by turning angle (insertion sort: n is small)."""
    for i in range(1, n):
        for j in range(i, 0, -1):
            if angle[j - 1] <= angle[j]:
                break
            angle[j - 1], angle[j] = angle[j], angle[j - 1]
            module[j - 1], module[j] = module[j], module[j - 1]
            for k in range(local.shape[1]):
                local[j - 1, k], local[j, k] = local[j, k], local[j - 1, k]
