"""TBaskets as bytes: ROOT's storage of one branch, with every size checked before it is trusted.

uproot finds the branches; the baskets are unpacked here, because ROOT keeps no checksum and a
damaged size must neither ask for gigabytes nor run past the end. Layout: a TKey (big-endian
``fNbytes i4, version i2, fObjlen i4, date u4, fKeylen i2, cycle i2 …``) that ends in
``version u2, fBufferSize i4, fNevBufSize i4, fNevBuf i4, fLast i4, flag u1``, then the (compressed)
content, which is the entries and, unless they are of one size, an array of their offsets
(TBasket::Streamer, TKey::Streamer of ROOT).
"""

from __future__ import annotations

import lzma
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pixlab.errors import FormatError
from pixlab.io.files import DAMAGED
from pixlab.io.source import Bytes

__all__ = ["Baskets", "Piece", "unpack"]

_KEY = struct.Struct(">ihiIhh")
_BASKET = struct.Struct(">HiiiiB")
_MAX_CONTENT = 1 << 30  # bytes of one basket; ROOT itself stops at 1 GB
_LZMA_MEMORY = 256 << 20  # the dictionary of level 9 takes 65 MB


class Piece(NamedTuple):
    """Consecutive entries of one basket.

    ``data``: uint8, the whole basket's content; ``offsets``: int64[entries + 1], where each entry
    of the piece begins and ends in it; ``first``: number of the first entry in the branch.
    """

    data: NDArray[np.uint8]
    offsets: NDArray[np.int64]
    first: int


class Baskets:
    """All entries of one branch, unpacked basket by basket.

    Parameters
    ----------
    source : Bytes
        The file.
    branch : uproot.TBranch
        Where the baskets are.
    item : int, optional
        Bytes of one entry, for a branch whose entries are of one size.
    entry : str
        What an entry is, for errors.

    Raises
    ------
    FormatError
        If the branch contradicts itself.
    """

    def __init__(
        self, source: Bytes, branch: Any, item: int | None = None, *, entry: str = "event"
    ) -> None:
        self.name = str(branch.name)
        self._source = source
        self._item, self._entry = item, entry
        seek = branch.member("fBasketSeek")
        written = min(max(int(branch.member("fWriteBasket")), 0), len(seek))
        stops = np.flatnonzero(seek[:written] == 0)  # baskets that never reached the disk
        written = int(stops[0]) if len(stops) else written
        self._seek = seek[:written].astype(np.int64)
        self._nbytes = branch.member("fBasketBytes")[:written].astype(np.int64)
        starts = branch.member("fBasketEntry")[: written + 1].astype(np.int64)
        if len(starts) == written:  # as many baskets as places: the last end is the branch's
            starts = np.append(starts, int(branch.member("fEntries")))
        self._embedded = []
        self.entries = int(branch.member("fEntries"))
        if len(starts) and int(starts[-1]) != self.entries:
            self._embedded = list(branch.embedded_baskets)
            sizes = [int(basket.num_entries) for basket in self._embedded]
            starts = np.append(starts, starts[-1] + np.cumsum(sizes, dtype=np.int64))
        self._starts = starts
        if (
            len(self._nbytes) != written
            or len(starts) == 0
            or starts[0] != 0
            or (np.diff(starts) < 0).any()
            or int(starts[-1]) != self.entries
        ):
            raise FormatError(
                f"the baskets of branch '{self.name}' do not add up to its {self.entries} entries",
                DAMAGED,
            )
        self._cached: tuple[int, NDArray[np.uint8], NDArray[np.int64] | None] | None = None

    def pieces(self, start: int, stop: int) -> Iterator[Piece]:
        """The entries from `start` to `stop`, one piece a basket."""
        for basket, begin, end in self._parts(start, stop):
            data, offsets = self._basket(basket)
            if offsets is None:
                offsets = np.arange(len(data) // (self._item or 1) + 1) * (self._item or 1)
            first = int(self._starts[basket])
            yield Piece(data, offsets[begin - first : end - first + 1], begin)

    def equal(self, start: int, stop: int) -> Iterator[NDArray[np.uint8]]:
        """The bytes of entries of one size, one array a basket."""
        assert self._item is not None
        for basket, begin, end in self._parts(start, stop):
            data, offsets = self._basket(basket)
            if offsets is not None and (np.diff(offsets) != self._item).any():
                raise FormatError(f"{self._called(basket)} has entries of several sizes", DAMAGED)
            first = int(self._starts[basket])
            yield data[(begin - first) * self._item : (end - first) * self._item]

    def _parts(self, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
        """Baskets with entries from `start` to `stop`, and which these are."""
        basket = int(np.searchsorted(self._starts, start, side="right")) - 1
        while start < stop:
            self._source.want(self._places(basket, stop))
            end = int(self._starts[basket + 1])
            if start < end:
                last = min(stop, end)
                yield basket, start, last
                start = last
            basket += 1

    def _places(self, basket: int, stop: int) -> Iterator[tuple[int, int]]:
        """Where the baskets from `basket` to that of entry `stop` are in the file."""
        while basket < len(self._seek) and self._starts[basket] < stop:
            if self._cached is None or self._cached[0] != basket:
                seek = int(self._seek[basket])
                yield seek, seek + int(self._nbytes[basket])
            basket += 1

    def _called(self, i: int) -> str:
        """A basket, for errors."""
        first, last = int(self._starts[i]), int(self._starts[i + 1]) - 1
        which = f"{self._entry}s {first} to {last}" if last > first else f"{self._entry} {first}"
        return f"basket {i} of branch '{self.name}' ({which})"

    def _basket(self, i: int) -> tuple[NDArray[np.uint8], NDArray[np.int64] | None]:
        """Content of basket `i` and where its entries are (None: of one size); the last one is kept."""
        if self._cached is None or self._cached[0] != i:
            self._cached = None  # never two at a time
            read = self._stored if i < len(self._seek) else self._inside_tree
            data, offsets = read(i)
            data.flags.writeable = False  # one kind of array, so that kernels compile once
            self._cached = (i, data, offsets)
        return self._cached[1:]

    def _stored(self, i: int) -> tuple[NDArray[np.uint8], NDArray[np.int64] | None]:
        what = self._called(i)
        raw = self._source.take(self._seek[i], self._nbytes[i], what)
        if len(raw) < _KEY.size:
            raise FormatError(f"{what} has no room for its header", DAMAGED)
        nbytes, _, content, _, key, _ = _KEY.unpack_from(raw)
        if nbytes != len(raw) or not _KEY.size + _BASKET.size <= key <= nbytes:
            raise FormatError(f"{what} has a header of another size than the branch says", DAMAGED)
        _, _, _, entries, last, _ = _BASKET.unpack_from(raw, key - _BASKET.size)
        data = unpack(memoryview(raw)[key:], content, what)
        border = last - key
        if not 0 <= border <= content:
            raise FormatError(f"{what} ends outside itself", DAMAGED)
        if border == content:
            self._check_equal(border, entries, i, what)
            return data, None
        tail = data[border:]
        if len(tail) % 4:
            raise FormatError(f"{what} has a damaged table of entries", DAMAGED)
        table = tail.view(">i4").astype(np.int64)[1:] - key
        return data[:border], self._checked(table, border, entries, i, what)

    def _inside_tree(self, i: int) -> tuple[NDArray[np.uint8], NDArray[np.int64] | None]:
        """A basket that ROOT left inside the tree's own record (uproot has it unpacked)."""
        what = self._called(i)
        basket = self._embedded[i - len(self._seek)]
        data = np.asarray(basket.data, np.uint8)
        entries = int(basket.num_entries)
        if basket.byte_offsets is None:
            self._check_equal(len(data), entries, i, what)
            return data, None
        table = np.asarray(basket.byte_offsets, np.int64)
        return data, self._checked(table, len(data), entries, i, what)

    def _check_equal(self, border: int, entries: int, i: int, what: str) -> None:
        """Whether a basket without a table of entries has as many as the branch says."""
        if self._item is None and entries:
            raise FormatError(f"{what} does not say where its entries begin", DAMAGED)
        if (
            entries != self._starts[i + 1] - self._starts[i]
            or entries * (self._item or 0) != border
        ):
            raise FormatError(f"{what} has another number of entries than the branch says", DAMAGED)

    def _checked(
        self, table: NDArray[np.int64], border: int, entries: int, i: int, what: str
    ) -> NDArray[np.int64]:
        """The table of entry offsets, once it is sure to rise from 0 to the end of the content."""
        if len(table) != entries + 1 or entries != self._starts[i + 1] - self._starts[i]:
            raise FormatError(f"{what} has another number of entries than the branch says", DAMAGED)
        table[-1] = border  # ROOT leaves the last place empty
        if table[0] != 0 or (np.diff(table) < 0).any():
            raise FormatError(f"{what} has a damaged table of entries", DAMAGED)
        return table


def unpack(data: memoryview, size: int, what: str, limit: int = _MAX_CONTENT) -> NDArray[np.uint8]:
    """The content of a TKey: `size` bytes from ROOT's compressed blocks, or as they are.

    A block is ``algorithm (2 bytes), method, packed size (3, little-endian), plain size (3)`` and
    the packed bytes. Sizes are added up before anything is allocated, and no block may unpack to
    more than it says.

    Raises
    ------
    FormatError
        If sizes contradict each other or a block is damaged.
    """
    if size == len(data):
        return np.frombuffer(data, np.uint8)
    blocks, at, total = [], 0, 0
    while at + 9 <= len(data):
        packed = int.from_bytes(data[at + 3 : at + 6], "little")
        plain = int.from_bytes(data[at + 6 : at + 9], "little")
        blocks.append((bytes(data[at : at + 2]), at + 9, at + 9 + packed, total, total + plain))
        at += 9 + packed
        total += plain
    if at != len(data) or total != size or not 0 <= size <= limit:
        raise FormatError(f"the compressed sizes of {what} contradict each other", DAMAGED)
    out = np.empty(size, np.uint8)
    for kind, begin, end, first, last in blocks:
        if kind not in _UNPACK:
            raise FormatError(f"{what} is compressed in the unknown way {kind!r}", DAMAGED)
        try:
            _UNPACK[kind](data[begin:end], out[first:last])
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # compiled decoders panic outside Exception
            raise FormatError(f"{what} does not decompress ({error})", DAMAGED) from error
    return out


def _zlib(packed: memoryview, out: NDArray[np.uint8]) -> None:
    import cramjam

    if cramjam.zlib.decompress_into(packed, out.data) != len(out):
        raise ValueError("too few bytes")


def _lzma(packed: memoryview, out: NDArray[np.uint8]) -> None:
    decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_LZMA_MEMORY)
    plain = decoder.decompress(packed, len(out) + 1)
    if len(plain) != len(out) or not decoder.eof:
        raise ValueError(f"{len(plain)} bytes where {len(out)} belong")
    out[:] = np.frombuffer(plain, np.uint8)


def _zstd(packed: memoryview, out: NDArray[np.uint8]) -> None:
    import cramjam

    if cramjam.zstd.decompress_into(packed, out.data) != len(out):
        raise ValueError("too few bytes")


def _lz4(packed: memoryview, out: NDArray[np.uint8]) -> None:
    import cramjam
    import xxhash

    if xxhash.xxh64(packed[8:]).intdigest() != int.from_bytes(packed[:8], "big"):
        raise ValueError("wrong checksum")
    if cramjam.lz4.decompress_block_into(packed[8:], out.data) != len(out):
        raise ValueError("too few bytes")


# ROOT's names of the algorithms (core/zip, core/lzma, core/lz4, core/zstd)
_UNPACK = {b"ZL": _zlib, b"XZ": _lzma, b"ZS": _zstd, b"L4": _lz4}
