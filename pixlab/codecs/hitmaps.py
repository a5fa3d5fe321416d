"""What the codecs with context models share: a knob, the layout of the detector, the hit map."""

from __future__ import annotations

from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import param
from numpy.typing import NDArray

from pixlab.codecs.base import Codec, Model
from pixlab.coding.hits import HitCoder, Hits
from pixlab.coding.layout import Layout, make_layout
from pixlab.detectors import Detector
from pixlab.digis import Digis

__all__ = ["ContextCodec", "ContextModel", "to_digis", "to_hits"]

_REUSE = 100.0  # times as many digis as were fitted, for which a model is made unless it is compact


class ContextCodec(Codec):
    """A codec whose model carries contexts, and how likely everything is in them."""

    compact = param.Boolean(
        default=None,
        allow_None=True,
        doc="keep the model as small as pays for the events that it is fitted on; by default, "
        "where it is for one file alone",
    )

    @property
    def reuse(self) -> float:
        """How many times as many digis as these a model is for (`Symbols.learn`)."""
        return 1.0 if self.compact else _REUSE


class ContextModel(Model):
    """A fitted `ContextCodec`."""

    needs: ClassVar[tuple[str, ...]] = ("slopes", *HitCoder.needs)

    @property
    def tile(self) -> tuple[int, int]:
        """Rows and columns of what is one pixel to the coder."""
        return (1, 1)

    @cached_property
    def layout(self) -> Layout:
        """The detector as the coder knows it."""
        return make_layout(self.detector, self.arrays["slopes"], tile=self.tile)

    @cached_property
    def hit_coder(self) -> HitCoder:
        """The way to code hit maps."""
        return HitCoder(self.layout, self.arrays)


def to_hits(digis: Digis) -> Hits:
    """The hit map of `digis`, in the same order."""
    frames = digis.frames
    # copies are writable and contiguous, as the kernels are compiled for
    columns = (frames.event, frames.module, frames.offsets, digis.row, digis.col)
    return Hits(*(np.array(column) for column in columns))


def to_digis(detector: Detector, n_events: int, hits: Hits, adc: NDArray[Any]) -> Digis:
    """Digis of a hit map; bounds were checked by the decoder."""
    lengths = np.diff(hits.offsets)
    events = np.bincount(hits.event, lengths, minlength=n_events).astype(np.int64)
    return Digis(
        detector=detector,
        offsets=np.concatenate([[0], np.cumsum(events)]).astype(np.int64),
        detid=np.repeat(detector.detid[hits.module], lengths),
        row=hits.row,
        col=hits.col,
        adc=adc.astype(np.uint16),
    )
