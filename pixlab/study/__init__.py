"""What codecs and knobs cost, and what they do to the physics.

::

    events ─ Split ─► fit on some ─► measure on others ─► one row       evaluate
                      for many settings, on all cores ─► Sweep           sweep
"""

from __future__ import annotations

from pixlab.study.costs import payback
from pixlab.study.entropy import floors
from pixlab.study.evaluation import MODEL_EVENTS, evaluate
from pixlab.study.reference import root_reference
from pixlab.study.sweeping import default_codecs, sweep
from pixlab.study.table import COLUMNS, Sweep

__all__ = ["COLUMNS", "MODEL_EVENTS", "Sweep", "default_codecs", "evaluate", "floors", "payback"]
__all__ += ["root_reference", "sweep"]
