"""What compression does to physics: spectra, matched clusters, distances, and a verdict.

``compare(original, decoded)`` gives a `Comparison`; `METRICS` says what it measures, `SPECTRA`
what it histograms, `TOLERANCES` what is allowed. A new metric is one function and one entry.
"""

from pixlab.physics.comparison import Comparison, compare
from pixlab.physics.dqm import dqm, write_root
from pixlab.physics.groups import groups
from pixlab.physics.maps import MAPS, maps, occupancy
from pixlab.physics.matching import Matches, match, pixel_pairs
from pixlab.physics.metrics import METRICS, Metric
from pixlab.physics.spectra import SPECTRA, Spectrum, spectra
from pixlab.physics.tolerances import TOLERANCES, Check, Tolerances, Verdict

__all__ = [
    "MAPS",
    "METRICS",
    "SPECTRA",
    "TOLERANCES",
    "Check",
    "Comparison",
    "Matches",
    "Metric",
    "Spectrum",
    "Tolerances",
    "Verdict",
    "compare",
    "dqm",
    "groups",
    "maps",
    "match",
    "occupancy",
    "pixel_pairs",
    "spectra",
    "write_root",
]
