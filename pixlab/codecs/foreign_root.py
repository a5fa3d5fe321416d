"""ROOT itself behind the contract of a codec: what digis cost in a ROOT file today.

A chunk is one ROOT file, written and read by ROOT: a tree `Events` whose baskets hold what those
of an ``edm::DetSetVector<PixelDigi>`` with split level 99 hold, one basket of each branch an event:
``id``, the ids of the modules that are hit, and ``data``, for each of them the number of its digis
and their 32-bit words (`DataFormats/SiPixelDetId/interface/PixelChannelIdentifier.h`: row 11 bits,
column 10, flag, adc 10) in column-major order.

ROOT runs in another process (`foreign_process`), which keeps its compiler, its signal handlers
and whatever damaged files do to it away from pixlab. It must be installed: ``pip install root``.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import param

from pixlab.codecs.base import Chunk
from pixlab.codecs.foreign import Array, Foreign, ForeignModel, from_columns, in_columns
from pixlab.codecs.foreign_process import ForeignFailure, ask
from pixlab.digis import Digis
from pixlab.errors import FormatError, PixlabError, UnknownModuleError
from pixlab.progress import Progress

__all__ = ["Root", "RootModel", "baskets"]

_ALGORITHMS = {"zstd": 5, "lzma": 2, "zlib": 1, "lz4": 4}  # ROOT::RCompressionSetting
_ROW, _COL, _ADC = 11, 10, 10  # bits of a digi word, the flag between the last two
_COL_AT, _ADC_AT = _ROW, _ROW + _COL + 1


class Root(Foreign):
    """A ROOT tree of digi words, as in CMS EDM files."""

    key: ClassVar[str] = "root"
    package: ClassVar[str] = "ROOT"
    extra: ClassVar[str] = "root"

    algorithm: Any = param.Selector(
        default="zstd", objects=list(_ALGORITHMS), doc="compression algorithm of ROOT"
    )
    level = param.Integer(default=4, bounds=(1, 9), doc="compression level of ROOT")

    def fit(self, digis: Digis, *, progress: Progress | None = None) -> RootModel:
        """Nothing is learned."""
        self.require()
        return RootModel(self, digis.detector, {})


class RootModel(ForeignModel):
    """Nothing but the codec."""

    codec: Root

    def _encode(self, digis: Digis) -> dict[str, bytes]:
        return {"root": self.written(digis)[0]}

    def written(self, digis: Digis) -> tuple[bytes, int]:
        """The ROOT file of these digis, and how many of its bytes are baskets.

        The rest, some 5 kB, describes tree and file, however many events they hold.
        """
        self.codec.require()
        setting = 100 * _ALGORITHMS[self.codec.algorithm] + self.codec.level
        try:
            file, in_baskets = ask("root", "pack", baskets(digis), setting=setting)
        except ForeignFailure as error:
            raise PixlabError(f"ROOT cannot write these digis: {error.cause}") from error
        return file.tobytes(), int(in_baskets[0])

    def _decode(self, chunk: Chunk) -> Digis:
        self.codec.require()
        file = np.frombuffer(chunk.sections["root"], np.uint8)
        # of each digi a word, of each module with digis an id and a number
        most = 3 * chunk.n_digis
        try:
            columns = ask("root", "unpack", [file], n_events=chunk.n_events, most=most)
        except ForeignFailure as error:
            raise FormatError(f"the ROOT file is damaged: {error.cause}") from error
        n_ids, ids, n_data, data = (c.astype(np.int64) for c in columns)
        lengths, words = _apart(n_ids, n_data, data)
        if len(words) != chunk.n_digis:
            raise FormatError("the ROOT file is damaged: it holds another number of digis")
        try:
            modules = self.detector.index(ids).astype(np.int64)
        except UnknownModuleError as error:
            raise FormatError(f"the ROOT file is damaged: {error.cause}") from error
        height = np.repeat(self.detector.rows[modules].astype(np.int64), lengths)
        row = words & (1 << _ROW) - 1
        if (row >= height).any():
            raise FormatError("the ROOT file is damaged: a row is outside its module")
        place = (words >> _COL_AT & (1 << _COL) - 1) * height + row
        steps = np.diff(place, prepend=0)
        first = np.cumsum(lengths) - lengths
        steps[first] = place[first]
        return from_columns(self.detector, n_ids, modules, lengths, steps, words >> _ADC_AT)


def baskets(digis: Digis) -> list[Array]:
    """What the two branches of each event hold: numbers of ids, ids, numbers of words, words.

    Raises
    ------
    PixlabError
        If a digi does not fit into a CMS digi word.
    """
    for name, bits in (("row", _ROW), ("col", _COL), ("adc", _ADC)):
        largest = int(getattr(digis, name).max(initial=0))
        if largest >> bits:
            raise PixlabError(
                f"{name} {largest} does not fit into a CMS digi word ({bits} bits)",
                "use another codec",
            )
    frames = digis.frames
    columns, order = in_columns(digis)
    lengths = columns["lengths"]
    data = np.empty(digis.n_digis + len(lengths), np.uint32)
    is_word = np.ones(len(data), bool)
    count_at = frames.offsets[:-1] + np.arange(len(lengths))
    is_word[count_at] = False
    row, col, adc = (c.astype(np.uint32) for c in (digis.row, digis.col, digis.adc))
    words = row | col << np.uint32(_COL_AT) | adc << np.uint32(_ADC_AT)
    data[count_at], data[is_word] = lengths, words[order]
    n_data = columns["events"] + np.diff(digis.offsets).astype(np.uint32)
    return [columns["events"], digis.detid[frames.offsets[:-1]], n_data, data]


def _apart(n_ids: Array, n_data: Array, data: Array) -> tuple[Array, Array]:
    """Digis of each module, and all digi words, of what `baskets` joined (int64 arrays).

    Raises
    ------
    FormatError
        If the numbers in `data` contradict each other.
    """
    ends = np.cumsum(n_data)
    if int(n_data.sum()) != len(data):
        raise FormatError("the ROOT file is damaged: its events contradict each other")
    lengths = []
    at, is_word = 0, np.ones(len(data), bool)
    for n, end in zip(n_ids.tolist(), ends.tolist(), strict=True):
        for _ in range(n):
            if at >= end:
                raise FormatError("the ROOT file is damaged: an event holds too few modules")
            is_word[at] = False
            lengths.append(int(data[at]))
            at += 1 + lengths[-1]
        if at != end:
            raise FormatError("the ROOT file is damaged: an event holds too many digis")
    return np.array(lengths, np.int64), data[is_word]
