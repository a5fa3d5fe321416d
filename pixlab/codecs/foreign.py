"""General-purpose compressors behind the contract of a codec, to compare with.

Digis are written as a user would for such a library: for each module of an event its index and
number of digis, the distance of each digi from the one before in column-major order (which suits
clusters better than row-major: 13.8 against 14.2 bits/digi with LZMA), and the counts. Each of
these columns is compressed on its own, in the form that suits the library; nothing is lost.

`foreign_sz3`, `foreign_root` and `foreign_baler` have the codecs that need more than that.
"""

from __future__ import annotations

import lzma
from importlib.util import find_spec
from typing import Any, ClassVar

import numpy as np
import param
from numpy.typing import DTypeLike, NDArray

from pixlab.codecs.base import Chunk, Codec, Model
from pixlab.codecs.hitmaps import to_digis
from pixlab.coding.columns import column_order, row_order
from pixlab.coding.hits import Hits
from pixlab.detectors import Detector
from pixlab.digis import Digis
from pixlab.errors import FormatError, PixlabError
from pixlab.progress import Progress

__all__ = ["Blosc2", "Foreign", "ForeignModel", "Lzma", "Pcodec", "Zstd"]

Array = NDArray[Any]
_MOST_RATIO = 40_000  # above what Zstandard (about 30,000) and LZMA (about 7,000) make of zeros
_ALWAYS = 1 << 24  # bytes of a column that are believed whatever it was compressed to


class Foreign(Codec):
    """A library that compresses one column of numbers; subclasses give `pack` and `unpack`."""

    package: ClassVar[str] = ""  # what Python imports; "" if it is there anyway
    extra: ClassVar[str] = "foreign"  # of pixlab, that installs it
    quick: ClassVar[bool] = True  # whether it may take part where nobody asked for it

    @classmethod
    def installed(cls) -> bool:
        """Whether the library is there."""
        return not cls.package or find_spec(cls.package) is not None

    @classmethod
    def require(cls) -> None:
        """Refuse to go on without the library.

        Raises
        ------
        PixlabError
            Naming what to install.
        """
        if not cls.installed():
            raise PixlabError(
                f"codec '{cls.key}' needs the Python package {cls.package}, which is not installed",
                f"pip install 'pixlab[{cls.extra}]'",
            )

    def pack(self, column: Array) -> bytes:
        """The column (uint16 or uint32), compressed."""
        raise TypeError(f"{type(self).__name__} cannot compress")

    def unpack(self, data: bytes, n: int, dtype: np.dtype[Any]) -> Array:
        """The `n` numbers that were compressed.

        Raises
        ------
        FormatError
            If `data` holds fewer or more of them, or is damaged.
        """
        raise TypeError(f"{type(self).__name__} cannot decompress")

    def fit(self, digis: Digis, *, progress: Progress | None = None) -> ForeignModel:
        """Nothing is learned."""
        self.require()
        return ForeignModel(self, digis.detector, {})


class _Bytes(Foreign):
    """A library that compresses bytes: each column goes in as four byte planes."""

    def squeeze(self, data: bytes) -> bytes:
        """The bytes, compressed."""
        raise TypeError(f"{type(self).__name__} cannot compress")

    def expand(self, data: bytes, size: int) -> bytes:
        """Whatever is claimed, at most `size` + 1 bytes."""
        raise TypeError(f"{type(self).__name__} cannot decompress")

    def pack(self, column: Array) -> bytes:
        """The low bytes of all numbers, then the next ones, compressed together."""
        planes = np.ascontiguousarray(column.astype("<u4").view(np.uint8).reshape(-1, 4).T)
        return self.squeeze(planes.tobytes())

    def unpack(self, data: bytes, n: int, dtype: np.dtype[Any]) -> Array:
        """Planes back to numbers."""
        raw = self.expand(data, 4 * n)
        if len(raw) != 4 * n:
            raise FormatError("a column is damaged")
        planes = np.frombuffer(raw, np.uint8).reshape(4, n)
        return np.ascontiguousarray(planes.T).view("<u4").reshape(n)


class Zstd(_Bytes):
    """Zstandard."""

    key: ClassVar[str] = "zstd"

    level = param.Integer(default=9, bounds=(1, 22), doc="compression level of Zstandard")

    def squeeze(self, data: bytes) -> bytes:
        """One frame."""
        import zstandard

        return zstandard.ZstdCompressor(level=self.level).compress(data)

    def expand(self, data: bytes, size: int) -> bytes:
        """Whatever the frame claims, at most `size` + 1 bytes are made."""
        import zstandard

        try:
            with zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(data) as reader:
                return reader.read(size + 1)
        except zstandard.ZstdError as error:
            raise FormatError(f"Zstandard says: {error}") from error


class Lzma(_Bytes):
    """LZMA, as xz writes it."""

    key: ClassVar[str] = "lzma"

    preset = param.Integer(default=6, bounds=(0, 9), doc="compression preset of xz")

    def squeeze(self, data: bytes) -> bytes:
        """One stream."""
        return lzma.compress(data, preset=self.preset)

    def expand(self, data: bytes, size: int) -> bytes:
        """Whatever the stream claims, at most `size` + 1 bytes are made."""
        try:
            return lzma.LZMADecompressor(memlimit=1 << 28).decompress(data, size + 1)
        except lzma.LZMAError as error:
            raise FormatError(f"LZMA says: {error}") from error


class Blosc2(Foreign):
    """C-Blosc2 (blosc.org): a shuffle of bytes or bits, then a fast compressor."""

    key: ClassVar[str] = "blosc2"
    package: ClassVar[str] = "blosc2"

    compressor: Any = param.Selector(
        default="zstd",
        objects=["zstd", "zlib", "lz4hc", "lz4", "blosclz"],
        doc="compressor behind the filter",
    )
    filter: Any = param.Selector(
        default="shuffle",
        objects=["shuffle", "bitshuffle", "nofilter"],
        doc="what is regrouped before: bytes, bits or nothing",
    )
    level = param.Integer(default=9, bounds=(0, 9), doc="compression level of Blosc2")

    def pack(self, column: Array) -> bytes:
        """One Blosc2 chunk."""
        import blosc2

        return bytes(
            blosc2.compress2(
                np.ascontiguousarray(column),
                typesize=column.itemsize,
                clevel=self.level,
                codec=blosc2.Codec[self.compressor.upper()],
                filters=[blosc2.Filter[self.filter.upper()]],
                filters_meta=[0],
                nthreads=1,  # pixlab codes chunks of events in parallel
            )
        )

    def unpack(self, data: bytes, n: int, dtype: np.dtype[Any]) -> Array:
        """The sizes in the chunk's header (README_CHUNK_FORMAT of C-Blosc2) are checked before."""
        import blosc2

        head = [int.from_bytes(data[at : at + 4], "little", signed=True) for at in (4, 12)]
        if len(data) < 32 or head != [n * dtype.itemsize, len(data)]:
            raise FormatError("a column is damaged: the sizes of its Blosc2 chunk are wrong")
        column = np.empty(n, dtype)
        if n == 0:  # which decompress2 takes for an error
            return column
        try:
            blosc2.decompress2(data, dst=column, nthreads=1)
        except (RuntimeError, ValueError) as error:
            raise FormatError(f"Blosc2 says: {error}") from error
        return column


class Pcodec(Foreign):
    """Pcodec (M. Loncaric et al., 2025): numbers in learned bins, differences where they pay."""

    key: ClassVar[str] = "pcodec"
    package: ClassVar[str] = "pcodec"

    level = param.Integer(default=8, bounds=(0, 12), doc="compression level of Pcodec")

    def pack(self, column: Array) -> bytes:
        """One standalone file of Pcodec."""
        from pcodec import ChunkConfig, standalone

        config = ChunkConfig(compression_level=self.level)
        return standalone.simple_compress(np.ascontiguousarray(column), config)

    def unpack(self, data: bytes, n: int, dtype: np.dtype[Any]) -> Array:
        """At most `n` numbers are made."""
        from pcodec import standalone

        column = np.empty(n, dtype)
        try:
            done = standalone.simple_decompress_into(data, column)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # a panic of Rust is no Exception
            raise FormatError(f"Pcodec says: {error}") from error
        if done.n_processed != n or not done.finished:
            raise FormatError("a column is damaged: it holds another number of values")
        return column


class ForeignModel(Model):
    """Nothing but the codec."""

    codec: Foreign

    def _encode(self, digis: Digis) -> dict[str, bytes]:
        self.codec.require()
        columns, order = in_columns(digis)
        return {name: self._write(column) for name, column in columns.items()} | {
            "adc": self._write(digis.adc[order])
        }

    def _decode(self, chunk: Chunk) -> Digis:
        self.codec.require()
        positions = self._read_positions(chunk, chunk.n_digis)
        adc = self._read(chunk, "adc", chunk.n_digis, np.uint16)
        return from_columns(self.detector, *positions, adc)

    def _read_positions(self, chunk: Chunk, n: int) -> tuple[Array, Array, Array, Array]:
        """The columns of `in_columns` for `n` digis, with the sums that they must have."""
        counts = self._read(chunk, "events", chunk.n_events)
        n_frames = int(counts.sum())
        if n_frames > n:
            raise FormatError("there are more modules than digis")
        modules, lengths = (self._read(chunk, k, n_frames) for k in ("modules", "lengths"))
        if int(lengths.sum()) != n:
            raise FormatError("the table of modules is damaged")
        return counts, modules, lengths, self._read(chunk, "positions", n)

    def _write(self, column: Array) -> bytes:
        data = self.codec.pack(column)
        if not _credible(4 * len(column), len(data)):
            raise PixlabError(
                f"codec '{self.codec.key}' makes so little of {len(column):,} numbers that a reader "
                "would refuse them",
                "compress fewer events at a time",
            )
        return data

    def _read(self, chunk: Chunk, name: str, n: int, dtype: DTypeLike = np.uint32) -> Array:
        """A column of `n` numbers below 2^32: int64[n]."""
        data = chunk.sections[name]
        if not _credible(4 * n, len(data)):
            raise FormatError("more numbers are claimed than the bytes can hold")
        return self.codec.unpack(data, n, np.dtype(dtype)).astype(np.int64)


def _credible(size: int, stored: int) -> bool:
    """Whether that many bytes may have been compressed to `stored` ones."""
    return size <= max(_ALWAYS, _MOST_RATIO * stored)


def in_columns(digis: Digis) -> tuple[dict[str, Array], Array]:
    """Where digis are, as columns of uint32, and their column-major order.

    ``events``: modules with a hit in each event; ``modules``: index of each; ``lengths``: digis
    of each; ``positions``: column * rows + row, less that of the digi before in the same module.
    """
    frames, detector = digis.frames, digis.detector
    lengths = np.diff(frames.offsets)
    columns = (frames.offsets, digis.row, digis.col, detector.cols, frames.module)
    order = column_order(*(np.array(c) for c in columns))  # writable, as it is compiled for
    height = np.repeat(detector.rows[frames.module].astype(np.int64), lengths)
    place = (digis.col.astype(np.int64) * height + digis.row)[order]
    steps = np.diff(place, prepend=0)
    steps[frames.offsets[:-1]] = place[frames.offsets[:-1]]
    counts = np.bincount(frames.event, minlength=len(digis))
    found: dict[str, Array] = {
        "events": counts,
        "modules": frames.module,
        "lengths": lengths,
        "positions": steps,
    }
    return {name: column.astype(np.uint32) for name, column in found.items()}, order


def from_columns(
    detector: Detector, counts: Array, modules: Array, lengths: Array, steps: Array, adc: Array
) -> Digis:
    """The digis that `in_columns` took apart; all columns are int64.

    Raises
    ------
    FormatError
        If they are no digis of this detector.
    """
    event = np.repeat(np.arange(len(counts)), counts)
    first = np.cumsum(lengths) - lengths
    if (
        lengths.min(initial=1) < 1
        or modules.max(initial=0) >= max(len(detector), 1)
        or (np.diff(event * len(detector) + modules) <= 0).any()
    ):
        raise FormatError("the table of modules is damaged")
    total = np.cumsum(steps)
    place = total - np.repeat(total[first] - steps[first], lengths)
    rows, cols = (side[modules].astype(np.int64) for side in (detector.rows, detector.cols))
    if (np.delete(steps, first) <= 0).any() or (place[first + lengths - 1] >= rows * cols).any():
        raise FormatError("the positions are damaged")
    if adc.max(initial=0) > detector.adc_max:
        raise FormatError("a count is outside the detector's range")
    height = np.repeat(rows, lengths)
    col = place // height
    row = (place - col * height).astype(np.uint16)
    offsets = np.append(first, len(steps)).astype(np.int64)
    order = row_order(offsets, row, int(detector.rows.max(initial=1)))
    hits = Hits(event, modules.astype(np.int32), offsets, row[order], col.astype(np.uint16)[order])
    return to_digis(detector, len(counts), hits, adc[order])
