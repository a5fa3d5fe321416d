"""What codecs and knobs cost, and what they do to the physics.

::

    events ─ Split ─► fit on some ─► measure on others ─► one row       evaluate
                      for many settings, on all cores ─► Sweep           sweep
                      for better and better ones ─► the cheapest         find
                      with speed and memory ─► own and foreign codecs    bench
"""

from __future__ import annotations

from pixlab.study.benching import BENCH_COLUMNS, Bench, bench, default_contenders
from pixlab.study.costs import payback
from pixlab.study.entropy import floors
from pixlab.study.evaluation import MODEL_EVENTS, evaluate
from pixlab.study.reference import root_reference
from pixlab.study.search import Found, find
from pixlab.study.sweeping import default_codecs, sweep
from pixlab.study.table import COLUMNS, Sweep
from pixlab.study.tradeoffs import bd_rate, bd_rates, pareto

__all__ = ["BENCH_COLUMNS", "COLUMNS", "MODEL_EVENTS", "Bench", "Found", "Sweep", "bd_rate"]
__all__ += ["bd_rates", "bench", "default_codecs", "default_contenders", "evaluate", "find"]
__all__ += ["floors", "pareto", "payback", "root_reference", "sweep"]
