"""What the codecs with context models share: the way from `Digis` to hits, and a knob."""

from __future__ import annotations

from typing import Any

import numpy as np
import param
from numba import njit
from numpy.typing import NDArray

from pixlab.codecs.base import Codec
from pixlab.coding.layout import Layout
from pixlab.coding.positions import column_order
from pixlab.coding.sections import Hits
from pixlab.detectors import Detector
from pixlab.digis import Digis, Frames

__all__ = ["ContextCodec", "to_digis", "to_hits"]


class ContextCodec(Codec):
    """A codec whose model may carry the probabilities that its context models start from."""

    priors = param.Boolean(
        default=None,
        allow_None=True,
        doc="store starting probabilities in the model, about 50 kB; by default, unless it is "
        "for one small file alone",
    )

    @property
    def stores_priors(self) -> bool:
        """Whether `fit` learns starting probabilities."""
        return self.priors is not False


def to_hits(
    layout: Layout, frames: Frames, row: NDArray[Any], col: NDArray[Any]
) -> tuple[Hits, NDArray[np.int64]]:
    """The hit map in coding order, and the order that takes values of the digis there.

    ``row`` and ``col`` are sorted by frame, row and column.
    """
    # copies are writable and contiguous, as the kernels are compiled for
    row, col, offsets, module = (np.array(a) for a in (row, col, frames.offsets, frames.module))
    order = column_order(offsets, row, col, layout.cols, module)
    return Hits(np.array(frames.event), module, offsets, row[order], col[order]), order


def to_digis(detector: Detector, n_events: int, hits: Hits, adc: NDArray[Any]) -> Digis:
    """Digis of a hit map in coding order; bounds were checked by the decoder."""
    order = _row_order(hits.offsets, hits.row, int(detector.rows.max(initial=1)))
    lengths = np.diff(hits.offsets)
    events = np.bincount(hits.event, lengths, minlength=n_events).astype(np.int64)
    return Digis(
        detector=detector,
        offsets=np.concatenate([[0], np.cumsum(events)]).astype(np.int64),
        detid=np.repeat(detector.detid[hits.module], lengths),
        row=hits.row[order],
        col=hits.col[order],
        adc=adc[order].astype(np.uint16),
    )


@njit(cache=True, nogil=True)
def _row_order(offsets, row, n_rows):  # type: ignore[no-untyped-def]
    """Order that sorts each frame by row, keeping the order of columns."""
    order = np.empty(len(row), np.int64)
    counts = np.zeros(n_rows + 1, np.int64)
    for f in range(len(offsets) - 1):
        begin, end = offsets[f], offsets[f + 1]
        counts[:] = 0
        for i in range(begin, end):
            counts[row[i] + 1] += 1
        for r in range(n_rows):
            counts[r + 1] += counts[r]
        for i in range(begin, end):
            order[begin + counts[row[i]]] = i
            counts[row[i]] += 1
    return order
