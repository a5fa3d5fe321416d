"""Minimum-bias pile-up in the Phase-1 pixel detector, from collisions to digis.

``collisions -> particles -> helix through the modules -> charge in the sensor -> readout -> Digis``

What it is for: data of the right kind without an account or a download. What it leaves out:
jets and other correlations between particles; scattering and energy loss in the material (a
particle stops when its energy is used up, but keeps its helix until then); what comes back into
the pixel detector from outside; the overlaps of neighbouring forward modules; dead channels;
out-of-time collisions.

Where a comment says "calibrated on the reference data", these are events of Pythia 8 with an
independent simulation of the same detector. Their cluster sizes, charges and counts per layer are
in ``tests/data/simulation_reference.json``, and a test holds this simulation to them.
"""

from __future__ import annotations

from pixlab.simulation.run import simulate

__all__ = ["simulate"]
