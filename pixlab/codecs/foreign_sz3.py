"""SZ3 behind the contract of a codec: an error-bounded lossy compressor for scientific data.

X. Liang et al., "SZ3: A modular framework for composing prediction-based error-bounded lossy
compressors", IEEE Trans. Big Data 9 (2023) 485.

Only the counts go through SZ3, as 32-bit integers with an absolute error bound, one stream an
event, so that the loss does not depend on how events are cut into chunks. Where the hits are must
stay exact: those columns go through Zstandard. Neighbouring digis in a list say little of each
other, so no predictor is the best one (7.3 against 8.2 to 8.6 bits a count without loss).

SZ3 trusts what it decodes: bytes that are made up let it take gigabytes. Bytes from outside are
therefore decoded in another process (`foreign_process`).
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import param

from pixlab.codecs.base import Chunk
from pixlab.codecs.foreign import Array, ForeignModel, Zstd, from_columns, in_columns
from pixlab.codecs.foreign_process import ForeignFailure, ask
from pixlab.digis import Digis
from pixlab.errors import FormatError
from pixlab.progress import Progress

__all__ = ["SZ3", "SZ3Model"]

_PREDICTORS = {"none": 3, "lorenzo": 0, "interpolation-lorenzo": 1, "interpolation": 2}


class SZ3(Zstd):
    """SZ3 with an absolute error bound on adc, Zstandard for the positions."""

    key: ClassVar[str] = "sz3"
    package: ClassVar[str] = "pysz"
    searched: ClassVar[tuple[str, ...]] = ("max_error",)

    level = param.Integer(
        default=9, bounds=(1, 22), doc="compression level of Zstandard, for all but the counts"
    )
    max_error = param.Integer(default=4, bounds=(0, 4096), doc="largest error of a count, adc")
    predictor: Any = param.Selector(
        default="none", objects=list(_PREDICTORS), doc="how SZ3 predicts a count from those before"
    )

    def fit(self, digis: Digis, *, progress: Progress | None = None) -> SZ3Model:
        """Nothing is learned."""
        self.require()
        return SZ3Model(self, digis.detector, {})


class SZ3Model(ForeignModel):
    """Nothing but the codec."""

    codec: SZ3

    def quantize(self, digis: Digis) -> Digis:
        """The same pixels, with the counts that SZ3 gives back."""
        from pysz import sz

        self.check(digis)
        self.codec.require()
        _, order = in_columns(digis)
        adc = np.empty(digis.n_digis, np.int64)
        parts = [
            sz.decompress(stream, np.int32, (n,))[0] for stream, n in self._streams(digis, order)
        ]
        adc[order] = np.concatenate([np.zeros(0, np.int32), *parts])
        return digis.with_adc(self._clip(adc))

    def _streams(self, digis: Digis, order: Array) -> list[tuple[Array, int]]:
        """SZ3's bytes of each event that has digis, and their number."""
        from pysz import sz, szConfig, szErrorBoundMode

        config = szConfig()
        config.errorBoundMode = szErrorBoundMode.ABS
        # half a count keeps integers as they are
        config.absErrorBound = self.codec.max_error or 0.5
        config.cmprAlgo = _PREDICTORS[self.codec.predictor]
        adc = digis.adc[order].astype(np.int32)
        runs = (adc[a:b] for a, b in zip(digis.offsets[:-1], digis.offsets[1:], strict=True))
        return [(sz.compress(run, config)[0], len(run)) for run in runs if len(run)]

    def _clip(self, adc: Array) -> Array:
        return np.clip(adc, 0, self.detector.adc_max).astype(np.uint16)

    def _encode(self, digis: Digis) -> dict[str, bytes]:
        self.codec.require()
        columns, order = in_columns(digis)
        streams = [stream for stream, _ in self._streams(digis, order)]
        sizes = np.array([len(stream) for stream in streams], np.uint32)
        return {name: self.codec.pack(column) for name, column in columns.items()} | {
            "sizes": self.codec.pack(sizes),
            "adc": b"".join(stream.tobytes() for stream in streams),
        }

    def _decode(self, chunk: Chunk) -> Digis:
        self.codec.require()
        counts, modules, lengths, steps = self._read_positions(chunk, chunk.n_digis)
        of_event = np.bincount(
            np.repeat(np.arange(chunk.n_events), counts), lengths, minlength=chunk.n_events
        ).astype(np.int64)
        of_event = of_event[of_event > 0]
        sizes = self._read(chunk, "sizes", len(of_event))
        if int(sizes.sum()) != len(chunk.sections["adc"]):
            raise FormatError("the sizes of SZ3's streams are damaged")
        adc = self._counts(chunk.sections["adc"], sizes, of_event)
        return from_columns(self.detector, counts, modules, lengths, steps, adc)

    def _counts(self, data: bytes, sizes: Array, lengths: Array) -> Array:
        if not len(lengths):
            return np.zeros(0, np.int64)
        try:
            (adc,) = ask("sz3", "unpack", [np.frombuffer(data, np.uint8), sizes, lengths])
        except ForeignFailure as error:
            raise FormatError(f"the counts are damaged: {error.cause}") from error
        if adc.dtype != np.int32 or len(adc) != lengths.sum():
            raise FormatError("the counts are damaged: there is another number of them")
        return self._clip(adc).astype(np.int64)
