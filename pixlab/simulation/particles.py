"""The table of particles that generators fill and tracking reads: float64[particles, COLUMNS].

Columns: origin (cm), transverse momentum (GeV), azimuth, sinh of the pseudorapidity, charge (1 or
-1), mass (GeV), number of the particle in the scheme of the Particle Data Group, index of the
collision, and the row of the particle that it comes from, -1 for those of the collision itself.
"""

from __future__ import annotations

__all__ = ["COLUMNS", "MASS", "PARENT", "PDG", "PHI", "PT", "TANL", "VERTEX", "Q", "X", "Y", "Z"]

X, Y, Z, PT, PHI, TANL, Q, MASS, PDG, VERTEX, PARENT = range(11)
COLUMNS = 11
