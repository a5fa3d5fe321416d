"""What the same digis take in a ROOT file, for the ratios that tables show."""

from __future__ import annotations

import lzma

import numpy as np
import zstandard
from numpy.typing import NDArray

from pixlab.digis import Digis

__all__ = ["root_reference"]

_ZSTD_LEVEL = 8  # what ROOT makes of its level 4: twice the setting (core/zstd of ROOT 6)
_LZMA_PRESET = 4


def root_reference(digis: Digis) -> dict[str, int]:
    """Bytes of the digis as ROOT stores ``edm::DetSetVector<PixelDigi>``, by compression.

    The payload of each event's basket (module ids; for each module a count and its 32-bit digi
    words in CMS order; big-endian) is compressed as ROOT's settings 404 and 204 do. ROOT itself is
    not needed: its files of the same events differ by less than 1%.

    Returns
    -------
    dict
        ``root_zstd4`` and ``root_lzma4``: bytes.
    """
    zstd = zstandard.ZstdCompressor(level=_ZSTD_LEVEL)
    total = {"root_zstd4": 0, "root_lzma4": 0}
    for event in digis:
        for basket in _baskets(event):
            total["root_zstd4"] += len(zstd.compress(basket))
            total["root_lzma4"] += len(lzma.compress(basket, preset=_LZMA_PRESET))
    return total


def _baskets(event: Digis) -> tuple[bytes, bytes]:
    """The two baskets of one event: module ids, and counts with digi words."""
    frames = event.frames
    lengths = np.diff(frames.offsets)
    frame = np.repeat(np.arange(len(lengths)), lengths)
    order = np.lexsort((event.row, event.col, frame))
    words = _words(event)[order]
    counts_at = frames.offsets[:-1] + np.arange(len(lengths))
    data = np.empty(len(words) + len(lengths), ">u4")
    is_word = np.ones(len(data), bool)
    is_word[counts_at] = False
    data[counts_at], data[is_word] = lengths, words
    return event.detid[frames.offsets[:-1]].astype(">u4").tobytes(), data.tobytes()


def _words(event: Digis) -> NDArray[np.uint32]:
    """`DataFormats/SiPixelDetId/interface/PixelChannelIdentifier.h`: row 11 bits, column 10, flag, adc."""
    row, col, adc = (a.astype(np.uint32) for a in (event.row, event.col, event.adc))
    return row | col << np.uint32(11) | adc << np.uint32(22)
