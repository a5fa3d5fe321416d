"""`Digis`: the only event container of pixlab.

One row a digi (a pixel above threshold in one event), always sorted by event, module id, row
and column, always inside the detector it names. Everything else takes and gives `Digis`.
"""

from __future__ import annotations

from pixlab.digis.container import EVENT_ID, Digis, Frames

__all__ = ["EVENT_ID", "Digis", "Frames"]
