"""Minimum-bias pile-up in the CMS pixel detectors, from collisions to digis, and the truth of it.

``collisions -> particles -> helix through the modules -> charge in the sensor -> readout -> Digis``

What it is for: data of the right kind without an account or a download, to fit codecs on and to
study resolutions with. What it leaves out: jets and other correlations between particles of the
built-in generator (Pythia 8 has them); nuclear interactions and bremsstrahlung; material between
the layers; the outer tracker, from which nothing comes back; dead channels; out-of-time collisions.
Momentum stays as it is until a particle's energy is used up.

`Conditions` are the settings of a detector. Those of ``phase1`` are the conditions of the reference
data, events of Pythia 8 with an independent simulation: "reference data" below means these. Their
cluster sizes, charges and counts per layer are in ``tests/data/simulation_reference.json``, and a
test holds this simulation to them. Those of ``phase1-run3`` and of Phase 2 are those of CMS, with
everything that this simulation knows of.
"""

from __future__ import annotations

from pixlab.simulation.conditions import SIMULATED, Conditions, conditions_of
from pixlab.simulation.run import simulate
from pixlab.simulation.truth import Truth

__all__ = ["SIMULATED", "Conditions", "Truth", "conditions_of", "simulate"]
