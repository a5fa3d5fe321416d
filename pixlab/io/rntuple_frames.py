"""The envelopes of an RNTuple, checked before uproot parses them.

An envelope is ``type u2, length u6 | content | XXH3 checksum u8``; its content has frames: a record
``size i8 | …`` or a list ``-size i8, items u4 | …``, little-endian (RNTuple Binary Format
Specification of ROOT). A parser that believes a number of items, each of no size, does not end.
"""

from __future__ import annotations

import struct
from typing import Any

from pixlab.errors import FormatError
from pixlab.io.baskets import unpack
from pixlab.io.files import DAMAGED
from pixlab.io.source import Bytes

__all__ = ["check_envelopes"]

_SIZE, _ITEMS, _LENGTH = struct.Struct("<q"), struct.Struct("<I"), struct.Struct("<I")
_MAX_ENVELOPE = 256 << 20  # bytes, unpacked
_PAGE = 12  # bytes of the smallest entry in a list of pages


def check_envelopes(source: Bytes, ntuple: Any) -> None:
    """Check header, footer and lists of pages of an RNTuple (uproot's, not yet parsed).

    Raises
    ------
    FormatError
        If a checksum is wrong, or a frame does not fit into what it is in.
    """
    at = [ntuple.member(f"f{what}{part}") for part in ("Header", "Footer") for what in ("Seek", "NBytes", "Len")]  # fmt: skip
    header = _Envelope(source, *at[:3], what="the header of the RNTuple")
    header.skip(8)  # feature flags
    for _ in range(3):  # name, description, writer
        header.text()
    header.lists(4)
    footer = _Envelope(source, *at[3:], what="the footer of the RNTuple")
    footer.skip(16)  # feature flags, checksum of the header
    footer.skip(8)  # size of the record with the extension of the schema
    footer.lists(5)
    if footer.left:  # sets of attributes, in files of ROOT 6.38 and later
        footer.lists(1)
    for i, group in enumerate(ntuple.footer.cluster_group_records):
        link = group.page_list_link
        place = (link.locator.offset, link.locator.num_bytes, link.env_uncomp_size)
        pages = _Envelope(source, *place, what=f"list {i} of the pages of the RNTuple")
        pages.skip(8)  # checksum of the header
        pages.lists(1)
        pages.lists(1, depth=3)


class _Envelope:
    """An unpacked envelope and a place in it."""

    def __init__(self, source: Bytes, seek: int, nbytes: int, size: int, *, what: str) -> None:
        import xxhash

        packed = source.take(seek, nbytes, what)
        self._data = unpack(memoryview(packed), size, what, _MAX_ENVELOPE).tobytes()
        self._what, self._at, self._end = what, 8, len(self._data) - 8
        expected = int.from_bytes(self._data[-8:], "little")
        if self._end < 8 or xxhash.xxh3_64_intdigest(self._data[:-8]) != expected:
            raise FormatError(f"the checksum of {what} is wrong", DAMAGED)

    @property
    def left(self) -> int:
        """Bytes that are left."""
        return self._end - self._at

    def skip(self, size: int) -> None:
        """Go on by some bytes."""
        if not 0 <= size <= self._end - self._at:
            raise FormatError(f"{self._what} has a frame that ends outside of it", DAMAGED)
        self._at += size

    def _number(self, kind: struct.Struct) -> int:
        start = self._at
        self.skip(kind.size)
        return int(kind.unpack_from(self._data, start)[0])

    def text(self) -> None:
        """Skip a string."""
        self.skip(self._number(_LENGTH))

    def lists(self, number: int, *, depth: int = 1) -> None:
        """Skip lists: of records (depth 1), or of lists of lists of pages (depth 3)."""
        for _ in range(number):
            self._list(depth)

    def _list(self, depth: int, *, innermost: bool = False) -> None:
        start = self._at
        size, items = -self._number(_SIZE), self._number(_ITEMS)
        end = start + size
        least = _PAGE if innermost else _SIZE.size
        if not self._at <= end <= self._end or items * least > end - self._at:
            raise FormatError(
                f"{self._what} has a list of {items} entries that is not there", DAMAGED
            )
        for _ in range(0 if innermost else items):
            if depth > 1:
                self._list(depth - 1, innermost=depth == 2)
                continue
            record = self._at
            width = self._number(_SIZE)
            if width < _SIZE.size:
                raise FormatError(f"{self._what} has an entry without a size", DAMAGED)
            self._at = record
            self.skip(width)
            if self._at > end:
                raise FormatError(f"{self._what} has an entry that ends outside of it", DAMAGED)
        self._at = end
