"""Where the helix of a particle in the solenoid crosses the module planes."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pixlab.simulation.geometry import FIELD, UM, Geometry
from pixlab.simulation.particles import PHI, PT, TANL, Q, X, Y, Z

__all__ = ["CURVATURE", "MAX_CROSSINGS", "crossings", "localise"]

# radius of curvature: pt = 0.299792458 (GeV/c) / (T m) * field * radius
CURVATURE = 100.0 / (0.299792458 * FIELD)  # cm per GeV
# What gets further than this from the beam is not followed back: it meets 1 to 2 radiation lengths
# of tracker and the calorimeter (JINST 3 (2008) S08004)
MARGIN = 4.0
MAX_TURNS = 20  # a limit on work only: energy and time end a looper before
MAX_CROSSINGS = 512
# Disk planes are met at the middle of their ring; how far from it the modules stand, cm along z
RING_DEPTH = 0.8
# A particle that passes beside a module's middle plane, but cuts the corner of its sensor: at most
# so far beside, um
CORNER = 4000.0
STEPS = 3  # of Newton, from the middle plane of a ring to an inclined module,
CONVERGED = 0.02  # and cm left after them: soft particles that curl along the plane are left out


@njit(cache=True, nogil=True)
def crossings(
    particle: NDArray[np.float64],
    geo: Geometry,
    overlaps: bool,
    angle: NDArray[np.float64],
    module: NDArray[np.int64],
) -> int:
    """Find the crossings of one particle in the order in which it makes them.

    Parameters
    ----------
    particle : float64[...]
        A row of the particles, see `particles`.
    geo : Geometry
        The planes.
    overlaps : bool
        Every module counts; or else only the one that is nearest in azimuth.
    angle, module : arrays of MAX_CROSSINGS
        Filled with turning angle and module index. The angle is that of the plane of a barrel
        ladder, and about that of a forward module.

    Returns
    -------
    int
        Number of crossings.
    """
    radius = CURVATURE * particle[PT]
    turn = -particle[Q]  # positive charges turn clockwise in a field along +z
    centre_x = particle[X] - turn * radius * np.sin(particle[PHI])
    centre_y = particle[Y] + turn * radius * np.cos(particle[PHI])
    away = np.hypot(centre_x, centre_y)
    last = np.pi
    if away + radius < geo.layer_radius[-1, 1] + MARGIN:
        last = 2 * np.pi * MAX_TURNS
    n = 0
    for layer in range(len(geo.layer_reach)):
        inner, outer = geo.layer_radius[layer]
        if away + radius <= inner or abs(away - radius) >= outer:
            continue
        # azimuth of the crossings from that of the centre: between those at both faces
        near, far = _opening(away, radius, inner), _opening(away, radius, outer)
        reach = geo.layer_reach[layer] + CORNER * UM / inner
        least, most = min(near, far) - reach, max(near, far) + reach
        to_centre = np.arctan2(centre_y, centre_x)
        for ladder in range(geo.layer_ladders[layer], geo.layer_ladders[layer + 1]):
            apart = abs(_wrap(geo.ladder_phi[ladder] - to_centre))
            if apart < least or apart > most:
                continue
            n = _ladder(
                particle, geo, overlaps, ladder, radius, turn, centre_x, centre_y, last,
                angle, module, n,
            )  # fmt: skip
    if particle[TANL] != 0.0:
        for ring in range(len(geo.ring_z)):
            t = (geo.ring_z[ring] - particle[Z]) / (radius * particle[TANL])
            if t <= 0.0 or t >= last:
                continue
            heading = particle[PHI] + turn * t
            px = centre_x + turn * radius * np.sin(heading)
            py = centre_y - turn * radius * np.cos(heading)
            r = np.hypot(px, py)
            slack = RING_DEPTH / abs(particle[TANL])
            if r <= geo.ring_radius[ring, 0] - slack or r >= geo.ring_radius[ring, 1] + slack:
                continue
            if not overlaps and not geo.ring_share[ring, 0] <= r < geo.ring_share[ring, 1]:
                continue
            n = _ring(geo, overlaps, ring, np.arctan2(py, px), slack / r, t, angle, module, n)
    _sort(angle, module, n)
    return n


@njit(cache=True, nogil=True)
def _wrap(angle: float) -> float:
    """The same angle between -pi and pi."""
    return (angle + np.pi) % (2 * np.pi) - np.pi


@njit(cache=True, nogil=True)
def _opening(away: float, radius: float, at: float) -> float:
    """Angle at the beam between the centre of a circle and its point at distance `at`."""
    cosine = (away * away + at * at - radius * radius) / (2 * away * at + 1e-30)
    return np.arccos(min(max(cosine, -1.0), 1.0))


@njit(cache=True, nogil=True)
def _ladder(
    particle: NDArray[np.float64],
    geo: Geometry,
    overlaps: bool,
    ladder: int,
    radius: float,
    turn: float,
    centre_x: float,
    centre_y: float,
    last: float,
    angle: NDArray[np.float64],
    module: NDArray[np.int64],
    n: int,
) -> int:
    """Add the crossings of one ladder."""
    nx, ny = geo.ladder_normal[ladder]
    sine = (geo.ladder_distance[ladder] - centre_x * nx - centre_y * ny) / (turn * radius)
    if abs(sine) >= 1.0:
        return n
    plane = np.arctan2(ny, nx)
    swing = np.arcsin(sine)
    begin, end = geo.ladder_modules[ladder], geo.ladder_modules[ladder + 1]
    centre = geo.position[geo.ladder_module[begin]]
    half_row, half_col = geo.ladder_half[ladder]
    for side in range(2):
        heading = plane + (swing if side == 0 else np.pi - swing)
        t = (turn * (heading - particle[PHI])) % (2 * np.pi)
        px = centre_x + turn * radius * np.sin(heading)
        py = centre_y - turn * radius * np.cos(heading)
        row = ((py - centre[1]) * nx - (px - centre[0]) * ny) / UM
        if abs(row) >= half_row + CORNER:
            continue
        if not overlaps:
            off = _wrap(np.arctan2(py, px) - geo.ladder_phi[ladder])
            if off < -geo.ladder_share[ladder, 0] or off >= geo.ladder_share[ladder, 1]:
                continue
        while t < last and n < MAX_CROSSINGS:
            z = particle[Z] + radius * t * particle[TANL]
            for i in range(begin, end):
                m = geo.ladder_module[i]
                if abs(z - geo.position[m, 2]) < (half_col + CORNER) * UM and n < MAX_CROSSINGS:
                    angle[n], module[n] = t, m
                    n += 1
            t += 2 * np.pi
    return n


@njit(cache=True, nogil=True)
def _ring(
    geo: Geometry,
    overlaps: bool,
    ring: int,
    phi: float,
    slack: float,
    t: float,
    angle: NDArray[np.float64],
    module: NDArray[np.int64],
    n: int,
) -> int:
    """Add the modules of a ring that may be met near an azimuth."""
    first, stop = geo.ring_first[ring], geo.ring_first[ring + 1]
    count = stop - first
    after = np.searchsorted(geo.ring_phi[first:stop], phi)
    if not overlaps:
        low, high = first + (after - 1) % count, first + after % count
        to_low, to_high = abs(_wrap(phi - geo.ring_phi[low])), abs(_wrap(phi - geo.ring_phi[high]))
        if n < MAX_CROSSINGS:
            angle[n], module[n] = t, geo.ring_module[low if to_low < to_high else high]
            n += 1
        return n
    reach = geo.ring_reach[ring] + slack
    for step in range(count):
        at = first + (after + step) % count
        if abs(_wrap(phi - geo.ring_phi[at])) > reach or n == MAX_CROSSINGS:
            break
        angle[n], module[n] = t, geo.ring_module[at]
        n += 1
    for step in range(1, count):
        at = first + (after - step) % count
        if abs(_wrap(phi - geo.ring_phi[at])) > reach or n == MAX_CROSSINGS:
            break
        angle[n], module[n] = t, geo.ring_module[at]
        n += 1
    return n


@njit(cache=True, nogil=True)
def localise(
    particle: NDArray[np.float64],
    geo: Geometry,
    thickness: float,
    t: float,
    m: int,
    shift: NDArray[np.float64],
    bend: NDArray[np.float64],
    out: NDArray[np.float64],
) -> bool:
    """Where and in which direction a particle meets the middle plane of a module.

    Parameters
    ----------
    particle : float64[...]
        A row of the particles.
    geo : Geometry
        The planes.
    thickness : float
        Of the sensor, um.
    t : float
        Turning angle near the crossing.
    m : int
        The module.
    shift, bend : float64[3]
        What scattering has added to position (cm) and direction.
    out : float64[6]
        Filled with row and column position (um from the module's centre), direction along rows,
        columns and the normal, and turning angle.

    Returns
    -------
    bool
        Whether a part of the way through the sensor is inside the module.
    """
    radius, turn = CURVATURE * particle[PT], -particle[Q]
    norm = 1 / np.sqrt(1 + particle[TANL] ** 2)
    start = particle[PHI]
    row, col, normal, position = geo.axis_row[m], geo.axis_col[m], geo.normal[m], geo.position[m]
    for i in range(STEPS):
        heading = start + turn * t
        dx = np.cos(heading) * norm + bend[0]
        dy = np.sin(heading) * norm + bend[1]
        dz = particle[TANL] * norm + bend[2]
        x = particle[X] + turn * radius * (np.sin(heading) - np.sin(start)) - position[0] + shift[0]
        y = particle[Y] - turn * radius * (np.cos(heading) - np.cos(start)) - position[1] + shift[1]
        z = particle[Z] + radius * t * particle[TANL] - position[2] + shift[2]
        along = dx * normal[0] + dy * normal[1] + dz * normal[2]
        if abs(along) < 1e-6:
            return False
        step = -(x * normal[0] + y * normal[1] + z * normal[2]) / along
        if i < STEPS - 1:  # along the tangent to the plane, then on the helix there
            t += step * norm / radius
    if abs(step) > CONVERGED:
        return False
    x, y, z = x + step * dx, y + step * dy, z + step * dz
    out[0] = (x * row[0] + y * row[1] + z * row[2]) / UM
    out[1] = (x * col[0] + y * col[1] + z * col[2]) / UM
    length = np.sqrt(dx * dx + dy * dy + dz * dz)
    out[2] = (dx * row[0] + dy * row[1] + dz * row[2]) / length
    out[3] = (dx * col[0] + dy * col[1] + dz * col[2]) / length
    out[4] = along / length
    out[5] = t
    half = geo.half[geo.sensor[m]]
    for k in range(2):
        # from the middle plane to a face
        slope = min(abs(out[2 + k] / out[4]) * thickness / 2, CORNER)
        if abs(out[k]) >= half[k] + slope:
            return False
    return t > 0.0


@njit(cache=True, nogil=True)
def _sort(angle: NDArray[np.float64], module: NDArray[np.int64], n: int) -> None:
    """Order the first n crossings by turning angle (insertion sort: n is small)."""
    for i in range(1, n):
        for j in range(i, 0, -1):
            if angle[j - 1] <= angle[j]:
                break
            angle[j - 1], angle[j] = angle[j], angle[j - 1]
            module[j - 1], module[j] = module[j], module[j - 1]
