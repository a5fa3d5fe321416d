"""`Lossless`: every digi back exactly, in as few bits as its context models need."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from pixlab.codecs.base import Chunk, Model
from pixlab.codecs.hitmaps import ContextCodec, to_digis, to_hits
from pixlab.coding.layout import Layout, expected_lengths, make_layout
from pixlab.coding.sections import (
    Probabilities,
    decode_hits,
    decode_values,
    encode_hits,
    encode_values,
)
from pixlab.digis import Digis
from pixlab.progress import Progress

__all__ = ["Lossless", "LosslessModel"]


class Lossless(ContextCodec):
    """Exact coding of hit map and adc with mixed adaptive contexts."""

    key = "lossless"

    def fit(self, digis: Digis, *, progress: Progress | None = None) -> LosslessModel:
        """Compute the geometry tables; unless told otherwise, learn starting probabilities too."""
        arrays = {"lengths": expected_lengths(digis.detector)}
        model = LosslessModel(self, digis.detector, arrays)
        if self.stores_priors:
            model = LosslessModel(self, digis.detector, arrays | model.learned(digis))
        return model


class LosslessModel(Model):
    """A fitted `Lossless`."""

    needs = ("lengths",)

    @cached_property
    def _layout(self) -> Layout:
        return make_layout(self.detector, self.arrays["lengths"])

    @cached_property
    def _initial(self) -> Probabilities:
        bits = min(int(self.detector.adc_max).bit_length(), 8)
        return Probabilities(bits, self.arrays)

    def learned(self, digis: Digis) -> dict[str, np.ndarray]:
        """The probabilities after `digis`, ready to be stored in a model."""
        hits, order = to_hits(self._layout, digis.frames, digis.row, digis.col)
        _, state = encode_hits(self._layout, len(digis), hits, self._initial)
        adc = digis.adc[order]
        _, values = encode_values(self._layout, hits, adc, self.detector.adc_max, self._initial)
        state.reset(values, "values", "plain")
        return state.learned()

    def _encode(self, digis: Digis) -> dict[str, bytes]:
        hits, order = to_hits(self._layout, digis.frames, digis.row, digis.col)
        sections, _ = encode_hits(self._layout, len(digis), hits, self._initial)
        sections["adc"], _ = encode_values(
            self._layout, hits, digis.adc[order], self.detector.adc_max, self._initial
        )
        return sections

    def _decode(self, chunk: Chunk) -> Digis:
        hits = decode_hits(
            self._layout, chunk.n_events, chunk.n_digis, chunk.sections, self._initial
        )
        adc = decode_values(
            self._layout, hits, chunk.sections["adc"], self.detector.adc_max, self._initial
        )
        return to_digis(self.detector, chunk.n_events, hits, adc)
