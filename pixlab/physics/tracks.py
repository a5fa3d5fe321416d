"""Helices through a few points: a circle across the field, a straight line along it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["FIELD", "Helices", "fit_helices"]

FIELD = 3.8  # tesla, along z; CMS, JINST 3 (2008) S08004
_GEV = 0.00299792458  # of a radius of 1 cm in a field of 1 tesla, for charge 1
_SCALE = 10.0  # cm: coordinates of the paraboloid are then of order 1


class Helices(NamedTuple):
    """Fitted helices: float64[n] each.

    ``q_over_pt``: charge over transverse momentum, 1/GeV; ``d0``: distance from the origin in the
    transverse plane, cm, positive to the left of the way; ``z0``: z there, cm.
    """

    q_over_pt: NDArray[np.float64]
    d0: NDArray[np.float64]
    z0: NDArray[np.float64]


def fit_helices(points: NDArray[np.float64], *, field: float = FIELD) -> Helices:
    """Fit a helix to the points of each track, all with one weight.

    The circle is the section of the paraboloid z = x^2 + y^2 with the plane that is nearest to the
    points on it: A. Strandlie et al., Comput. Phys. Commun. 131 (2000) 95. It goes through three
    points exactly. Then z is a straight line over the arc length.

    Parameters
    ----------
    points : float64[n, 3 or more, 3]
        x, y, z in cm, with respect to the point that impact parameters refer to, in the order in
        which they are passed, all in the first half of a turn.
    field : float
        Tesla, along z: positive charges turn clockwise.
    """
    plane = points[..., :2] / _SCALE
    on = np.concatenate([plane, (plane**2).sum(axis=-1, keepdims=True)], axis=-1)
    centre = on.mean(axis=1)
    spread = on - centre[:, None]
    _, axes = np.linalg.eigh(np.einsum("nki,nkj->nij", spread, spread))
    normal = axes[..., 0]  # of the smallest spread
    offset = -(normal * centre).sum(axis=-1)
    # a (x^2 + y^2) + b . (x, y) + c = 0 with b^2 - 4 a c = 1
    size = (normal[:, :2] ** 2).sum(axis=-1) - 4 * normal[:, 2] * offset
    size = np.sqrt(np.maximum(size, 1e-300))
    a, b, c = normal[:, 2] / size, normal[:, :2] / size[:, None], offset / size
    way = plane[:, -1] - plane[:, 0]
    left = np.sign(way[:, 0] * b[:, 1] - way[:, 1] * b[:, 0])
    left = np.where(left == 0, 1.0, left)
    steep = np.sqrt(np.maximum(1 + 4 * a * c, 0.0))
    distance = 2 * c / (1 + steep)
    nearest = -distance[:, None] * b / np.maximum(steep, 1e-300)[:, None]
    turning = -2 * a * left / _SCALE  # 1/cm, positive to the left

    chord = np.linalg.norm(plane - nearest[:, None], axis=-1) * _SCALE
    bent = np.clip(np.abs(turning)[:, None] * chord / 2, 0.0, 1.0)
    arc = chord * np.where(bent > 1e-6, np.arcsin(bent) / np.maximum(bent, 1e-300), 1.0)
    z = points[..., 2]
    middle = arc.mean(axis=1, keepdims=True)
    slope = ((arc - middle) * z).sum(axis=1) / ((arc - middle) ** 2).sum(axis=1)
    z0 = z.mean(axis=1) - slope * middle[:, 0]
    return Helices(-turning / (_GEV * field), -distance * left * _SCALE, z0)
