"""`Lossless`: every digi back exactly, in as few bits as its context models need."""

from __future__ import annotations

from functools import cached_property

from pixlab.codecs.base import Chunk
from pixlab.codecs.hitmaps import HitmapCodec, HitmapModel, to_digis, to_hits
from pixlab.coding.layout import make_layout, track_slopes
from pixlab.coding.values import ValueCoder
from pixlab.digis import Digis
from pixlab.progress import Progress

__all__ = ["Lossless", "LosslessModel"]


class Lossless(HitmapCodec):
    """Exact coding of hit map and adc in learned contexts."""

    key = "lossless"

    def fit(self, digis: Digis, *, progress: Progress | None = None) -> LosslessModel:
        """Learn contexts, and how likely everything is in them."""
        detector, slopes, hits = digis.detector, track_slopes(digis.detector), to_hits(digis)
        layout = make_layout(detector, slopes)
        arrays = {"slopes": slopes}
        arrays |= self.learn_hits(layout, digis, progress)
        arrays |= ValueCoder.learn(
            "adc", layout, hits, digis.adc, detector.adc_max, reuse=self.reuse
        )
        return LosslessModel(self, detector, arrays)


class LosslessModel(HitmapModel):
    """A fitted `Lossless`."""

    needs = (*HitmapModel.needs, *ValueCoder.needs("adc"))

    @cached_property
    def _adc_coder(self) -> ValueCoder:
        return ValueCoder("adc", self.layout, self.arrays, self.detector.adc_max)

    def _encode(self, digis: Digis) -> dict[str, bytes]:
        hits = to_hits(digis)
        sections = self.hitmap_coder.encode(len(digis), hits)
        return sections | {"adc": self._adc_coder.encode(hits, digis.adc)}

    def _decode(self, chunk: Chunk) -> Digis:
        hits = self.hitmap_coder.decode(chunk.n_events, chunk.n_digis, chunk.sections)
        adc = self._adc_coder.decode(hits, chunk.sections["adc"])
        return to_digis(self.detector, chunk.n_events, hits, adc)
