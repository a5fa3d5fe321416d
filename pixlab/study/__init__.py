"""What codecs and knobs cost, and what they do to the physics.

::

    events ─ Split ─► fit on some ─► measure on others ─► one row       evaluate
                      for many settings, on all cores ─► Sweep           sweep
                      for better and better ones ─► the cheapest         find
"""

from __future__ import annotations

from pixlab.study.costs import payback
from pixlab.study.entropy import floors
from pixlab.study.evaluation import MODEL_EVENTS, evaluate
from pixlab.study.reference import root_reference
from pixlab.study.search import Found, find
from pixlab.study.sweeping import default_codecs, sweep
from pixlab.study.table import COLUMNS, Sweep
from pixlab.study.tradeoffs import bd_rate, bd_rates, pareto

__all__ = ["COLUMNS", "MODEL_EVENTS", "Found", "Sweep", "bd_rate", "bd_rates", "default_codecs"]
__all__ += ["evaluate", "find", "floors", "pareto", "payback", "root_reference", "sweep"]
