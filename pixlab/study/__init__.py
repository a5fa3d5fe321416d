"""What codecs and knobs cost, and what they do to the physics: `evaluate` and `sweep`."""

from __future__ import annotations

from pixlab.study.reference import root_reference
from pixlab.study.sweep import Sweep, default_codecs, evaluate, sweep

__all__ = ["Sweep", "default_codecs", "evaluate", "root_reference", "sweep"]
