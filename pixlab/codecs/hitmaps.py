"""What the codecs with context models share: a knob, the layout of the detector, the hit map."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import param
from numpy.typing import NDArray

from pixlab.codecs.base import Codec, Model
from pixlab.coding.hits import HitCoder, Hits
from pixlab.coding.layout import Layout, make_layout
from pixlab.coding.tracking import TrackingCoder
from pixlab.detectors import Detector
from pixlab.digis import Digis
from pixlab.errors import FormatError
from pixlab.progress import Progress

__all__ = ["ContextCodec", "ContextModel", "HitmapCodec", "HitmapCoder", "HitmapModel"]
__all__ += ["to_digis", "to_hits"]

_TRACKS = "tracks"  # an empty section: it says how the hit map was coded
_MARK = 16  # bytes that it takes in a chunk

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


class HitmapCodec(ContextCodec):
    """A `ContextCodec` that keeps the hit map, and may spend time on it."""

    effort: Any = param.Selector(
        default="default",
        objects=["default", "max"],
        doc="max: also predict clusters of outer layers from the tracks through inner ones, where "
        "the file becomes smaller by that; ten to a hundred times as slow",
    )

    @property
    def follows_tracks(self) -> bool:
        """Whether hit maps may be coded with tracks."""
        return bool(self.effort == "max")

    def learn_hits(
        self, layout: Layout, digis: Digis, progress: Progress | None = None
    ) -> dict[str, NDArray[Any]]:
        """What a model needs for hit maps."""
        detector, hits, n_events = digis.detector, to_hits(digis), len(digis)
        arrays = HitCoder.learn(layout, n_events, hits, reuse=self.reuse)
        if not self.follows_tracks or digis.n_digis == 0:
            return arrays
        if progress:
            progress(0.0, "finding tracks")

        # the smallest of: no tracks, tracks, and tracks with all that was learned of them
        def cost(sections: dict[str, bytes] | None) -> float:
            return self.reuse * sum(map(len, sections.values())) if sections else np.inf

        best, chosen = cost(HitCoder(layout, arrays).encode(n_events, hits)), arrays
        for more in TrackingCoder.learn(detector, n_events, hits):
            size = sum(len(zlib.compress(a.tobytes(), 9)) for a in more.values())
            trial = cost(TrackingCoder(detector, more).encode(n_events, hits)) + size
            if trial < best:
                best, chosen = trial, arrays | more
        return chosen


class HitmapCoder:
    """A way to code hit maps: with tracks where the model has them and bytes become fewer.

    Parameters
    ----------
    layout, detector
        Of the hits.
    arrays : mapping of str to array
        Of the model, as `HitmapCodec.learn_hits` gave them.

    Raises
    ------
    FormatError
        If arrays are missing or damaged.
    """

    def __init__(
        self, layout: Layout, detector: Detector, arrays: Mapping[str, NDArray[Any]]
    ) -> None:
        self._plain = HitCoder(layout, arrays)
        known = TrackingCoder.known(arrays)
        self._tracking = TrackingCoder(detector, arrays) if known else None

    def encode(self, n_events: int, hits: Hits) -> dict[str, bytes]:
        """Sections of a hit map, in the way that takes fewer bytes."""
        sections = self._plain.encode(n_events, hits)
        coder = self._tracking
        other = coder.encode(n_events, hits) if coder and len(hits.row) else None
        if other and sum(map(len, other.values())) + _MARK < sum(map(len, sections.values())):
            return other | {_TRACKS: b""}
        return sections

    def decode(self, n_events: int, n_digis: int, sections: Mapping[str, bytes]) -> Hits:
        """The hit map that `encode` wrote.

        Raises
        ------
        FormatError
            If the sections are damaged, or hold another number of digis.
        """
        if _TRACKS not in sections:
            return self._plain.decode(n_events, n_digis, sections)
        if self._tracking is None:
            raise FormatError("the hit map was coded with tracks, of which the model knows nothing")
        return self._tracking.decode(n_events, n_digis, sections)


class HitmapModel(ContextModel):
    """A fitted `HitmapCodec`."""

    @cached_property
    def hitmap_coder(self) -> HitmapCoder:
        """The way to code hit maps."""
        return HitmapCoder(self.layout, self.detector, self.arrays)


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
