"""What codecs and knobs cost, and what they do to the physics: `evaluate` and `sweep`."""

from __future__ import annotations

from pixlab.study.reference import root_reference
from pixlab.study.sweep import MODEL_EVENTS, Sweep, default_codecs, evaluate, sweep

__all__ = ["MODEL_EVENTS", "Sweep", "default_codecs", "evaluate", "root_reference", "sweep"]
