"""General-purpose compressors behind the contract of a codec, to compare with.

Digis are written as a user would for such a library: for each module of an event its index and
number of digis, the distance of each digi from the one before in column-major order (which suits
clusters better than row-major: 13.8 against 14.2 bits/digi with LZMA), and the counts.
Each column is split into byte planes and compressed; nothing is lost.
"""

from __future__ import annotations

import lzma
from typing import Any, ClassVar

import numpy as np
import param
from numpy.typing import NDArray

from pixlab.codecs.base import Chunk, Codec, Model
from pixlab.digis import Digis
from pixlab.errors import FormatError, PixlabError
from pixlab.progress import Progress

__all__ = ["ForeignModel", "Lzma", "Zstd"]

Array = NDArray[Any]
_MOST_RATIO = 40_000  # above what Zstandard (about 30,000) and LZMA (about 7,000) make of zeros


class _Foreign(Codec):
    """A library that compresses bytes; subclasses give `pack` and `unpack`."""

    def pack(self, data: bytes) -> bytes:
        """The bytes, compressed."""
        raise TypeError(f"{type(self).__name__} cannot compress")

    def unpack(self, data: bytes, size: int) -> bytes:
        """The `size` bytes that were compressed; fewer or an error where `data` is damaged."""
        raise TypeError(f"{type(self).__name__} cannot decompress")

    def fit(self, digis: Digis, *, progress: Progress | None = None) -> ForeignModel:
        """Nothing is learned."""
        return ForeignModel(self, digis.detector, {})


class Zstd(_Foreign):
    """Zstandard."""

    key: ClassVar[str] = "zstd"

    level = param.Integer(default=9, bounds=(1, 22), doc="compression level of Zstandard")

    def pack(self, data: bytes) -> bytes:
        """One frame."""
        import zstandard

        return zstandard.ZstdCompressor(level=self.level).compress(data)

    def unpack(self, data: bytes, size: int) -> bytes:
        """Whatever the frame claims, at most `size` bytes are made."""
        import zstandard

        try:
            with zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(data) as reader:
                return reader.read(size + 1)
        except zstandard.ZstdError as error:
            raise FormatError(f"Zstandard says: {error}") from error


class Lzma(_Foreign):
    """LZMA, as xz writes it."""

    key: ClassVar[str] = "lzma"

    preset = param.Integer(default=6, bounds=(0, 9), doc="compression preset of xz")

    def pack(self, data: bytes) -> bytes:
        """One stream."""
        return lzma.compress(data, preset=self.preset)

    def unpack(self, data: bytes, size: int) -> bytes:
        """Whatever the stream claims, at most `size` bytes are made."""
        try:
            return lzma.LZMADecompressor(memlimit=1 << 28).decompress(data, size + 1)
        except lzma.LZMAError as error:
            raise FormatError(f"LZMA says: {error}") from error


class ForeignModel(Model):
    """Nothing but the codec."""

    codec: _Foreign

    def _encode(self, digis: Digis) -> dict[str, bytes]:
        frames = digis.frames
        lengths = np.diff(frames.offsets)
        height = np.repeat(self.detector.rows[frames.module].astype(np.int64), lengths)
        place = digis.col.astype(np.int64) * height + digis.row
        frame = np.repeat(np.arange(len(lengths)), lengths)
        order = np.lexsort((place, frame))
        place = place[order]
        step = np.diff(place, prepend=0)
        step[frames.offsets[:-1]] = place[frames.offsets[:-1]]
        counts = np.bincount(frames.event, minlength=len(digis))
        return {
            "events": self._write(counts),
            "modules": self._write(frames.module),
            "lengths": self._write(lengths),
            "positions": self._write(step),
            "adc": self._write(digis.adc[order]),
        }

    def _decode(self, chunk: Chunk) -> Digis:
        counts = self._read(chunk.sections["events"], chunk.n_events)
        n_frames = int(counts.sum())
        if n_frames > chunk.n_digis:
            raise FormatError("there are more modules than digis")
        module = self._read(chunk.sections["modules"], n_frames)
        lengths = self._read(chunk.sections["lengths"], n_frames)
        good = (
            int(lengths.sum()) == chunk.n_digis
            and lengths.min(initial=1) > 0
            and module.max(initial=0) < max(len(self.detector), 1)
        )
        if not good:
            raise FormatError("the table of modules is damaged")
        step = self._read(chunk.sections["positions"], chunk.n_digis)
        adc = self._read(chunk.sections["adc"], chunk.n_digis)
        first = np.cumsum(lengths) - lengths
        total = np.cumsum(step)
        before = np.repeat(total[first] - step[first], lengths)
        place = total - before
        height = np.repeat(self.detector.rows[module].astype(np.int64), lengths)
        event = np.repeat(np.repeat(np.arange(chunk.n_events), counts), lengths)
        detid = np.repeat(self.detector.detid[module], lengths)
        columns = (event, detid, place % height, place // height, adc)
        try:  # every column is checked: ranges, duplicates
            return Digis.from_arrays(*columns, detector=self.detector, n_events=chunk.n_events)
        except PixlabError as error:
            raise FormatError(error.cause) from error

    def _write(self, column: Array) -> bytes:
        planes = np.ascontiguousarray(column.astype("<u4").view(np.uint8).reshape(-1, 4).T)
        return self.codec.pack(planes.tobytes())

    def _read(self, section: bytes, n: int) -> Array:
        """A column of `n` numbers below 2^32: int64[n]."""
        # a stored byte stands for at most a few thousand: what is claimed must be in proportion
        if 4 * n > 1 << 16 and 4 * n > _MOST_RATIO * len(section):
            raise FormatError("more numbers are claimed than the bytes can hold")
        data = self.codec.unpack(section, 4 * n)
        if len(data) != 4 * n:
            raise FormatError("a column is damaged")
        planes = np.frombuffer(data, np.uint8).reshape(4, n)
        return np.ascontiguousarray(planes.T).view("<u4").reshape(n).astype(np.int64)
