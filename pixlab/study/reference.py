"""What the same digis take in a ROOT file, for the ratios that tables show."""

from __future__ import annotations

import lzma
from collections.abc import Iterable

import zstandard

from pixlab.codecs.foreign_root import Root, RootModel, baskets
from pixlab.digis import Digis

__all__ = ["REFERENCES", "root_reference", "root_reference_text"]

# name -> algorithm and level of ROOT: what CMS uses for PREMIX since 2022, and its smallest
REFERENCES = {"root_zstd4": ("zstd", 4), "root_lzma4": ("lzma", 4)}
_EMULATED_ZSTD = 8  # what ROOT makes of its level 4: twice the setting (core/zstd of ROOT 6)


def root_reference(digis: Digis | Iterable[Digis]) -> dict[str, int]:
    """Bytes of the digis as ROOT stores ``edm::DetSetVector<PixelDigi>``, by compression.

    Where ROOT is installed it writes them (`pixlab.codecs.foreign_root`), else the same baskets are
    compressed with the libraries that ROOT uses, which comes within 2%. ROOT's headers, a few kB
    a file, are left out: they do not grow with the events.

    Parameters
    ----------
    digis : Digis or iterable of Digis
        Events, or blocks of them.

    Returns
    -------
    dict
        ``root_zstd4`` and ``root_lzma4``: bytes.
    """
    total = dict.fromkeys(REFERENCES, 0)
    for block in [digis] if isinstance(digis, Digis) else digis:
        for name, (algorithm, level) in REFERENCES.items():
            if Root.installed():
                model = RootModel(Root(algorithm=algorithm, level=level), block.detector, {})
                total[name] += model.written(block)[1]
            else:
                total[name] += sum(_emulated(event, algorithm, level) for event in block)
    return total


def root_reference_text() -> str:
    """Where the numbers of `root_reference` come from on this machine, in words."""
    if Root.installed():
        return "baskets as ROOT itself wrote them in the same run (levels ZSTD-4, LZMA-4)"
    return "baskets compressed as ROOT does (levels ZSTD-4, LZMA-4), but not by ROOT itself"


def _emulated(event: Digis, algorithm: str, level: int) -> int:
    """Bytes of both baskets of one event."""
    _, ids, _, data = baskets(event)
    raw = [column.astype(">u4").tobytes() for column in (ids, data)]
    if algorithm == "lzma":
        return sum(len(lzma.compress(basket, preset=level)) for basket in raw)
    zstd = zstandard.ZstdCompressor(level=_EMULATED_ZSTD)
    return sum(len(zstd.compress(basket)) for basket in raw)
