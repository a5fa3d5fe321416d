"""The contract of a codec.

::

    Codec (knobs) ── fit(digis) ──► Model (knobs + learned arrays)
                                      │ quantize      all loss happens here
    Digis ── encode ──► Stream (independent chunks of whole events) ── decode ──► Digis'

* A `Codec` holds knobs only: param parameters with bounds and a doc, which round-trip through JSON
  and become command-line flags and widgets. It learns nothing.
* ``fit(digis, progress=None)`` gives a frozen `Model`: the codec, the detector and named numpy
  arrays. A model is saved as safetensors with a JSON header, never as a pickle.
* ``model.quantize(digis)`` returns the digis with all of the codec's loss and nothing else.
* ``model.encode(digis)`` writes them as a `Stream`; entropy coding is exact:
  ``model.decode(model.encode(d)) == model.quantize(d)``, also after the model and the stream went
  through bytes, for no event, an empty event, one digi and a full module.
* Decoders compute with integers, check every bound and believe no size that is merely claimed:
  damaged bytes raise `FormatError`.
* Digis of another detector than the model's are refused.

A new codec is one module with a `Codec` and a `Model` subclass, and one entry in `CODECS`.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import zlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import param
from numpy.typing import NDArray

from pixlab.codecs.usage import CodeUsage
from pixlab.coding.hits import MAX_DIGIS
from pixlab.coding.numbers import decode_flags, encode_flags
from pixlab.detectors import Detector
from pixlab.digis import EVENT_ID, Digis
from pixlab.errors import FormatError, PixlabError
from pixlab.progress import Progress

__all__ = ["Chunk", "Codec", "Model", "Stream", "on_all_cores", "split_events"]

Array = NDArray[Any]
_MAGIC = b"PXC1"
_HEAD = struct.Struct("<4sIQH")  # magic, events, digis, number of sections
_SECTION = struct.Struct("<12sI")  # name, bytes
_CRC = struct.Struct("<I")
_MAX_EVENTS = 1 << 22  # of one chunk
CHUNK_DIGIS = 100_000  # about what is coded together


class Codec(param.Parameterized):
    """Knobs of a way to compress digis; see the module's text for the contract."""

    key: ClassVar[str] = ""  # name on the command line and in files
    searched: ClassVar[tuple[str, ...]] = ()  # knobs that trade rate for quality, for `pixlab.find`

    def fit(self, digis: Digis, *, progress: Progress | None = None) -> Model:
        """Learn what the codec needs from `digis`."""
        raise TypeError(f"{type(self).__name__} is not a codec that can be fitted")

    def knobs(self) -> dict[str, Any]:
        """The settings, as JSON can hold them."""
        return {k: v for k, v in self.param.values().items() if k != "name"}

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Codec) and type(self) is type(other) and self.knobs() == other.knobs()
        )

    def __hash__(self) -> int:
        return hash((self.key, json.dumps(self.knobs(), sort_keys=True)))

    def __repr__(self) -> str:
        knobs = ", ".join(f"{k}={v!r}" for k, v in self.knobs().items())
        return f"{type(self).__name__}({knobs})"

    __str__ = __repr__  # param's own shows a running number instead of the knobs


@dataclass(frozen=True)
class Chunk:
    """The bytes of a few whole events, in named sections; decodes without its neighbours."""

    n_events: int
    n_digis: int
    sections: Mapping[str, bytes]

    @property
    def nbytes(self) -> int:
        """Size as written."""
        return (
            _HEAD.size
            + _CRC.size
            + sum(_SECTION.size + len(data) for data in self.sections.values())
        )

    @property
    def shannon(self) -> dict[str, float]:
        """Bits of each section without what its coder adds, if this chunk was just encoded."""
        return {k: getattr(v, "shannon", 8.0 * len(v)) for k, v in self.sections.items()}

    def to_bytes(self) -> bytes:
        """Head, section table, sections, CRC-32 of all that; little-endian."""
        table = b"".join(_SECTION.pack(k.encode(), len(v)) for k, v in self.sections.items())
        head = _HEAD.pack(_MAGIC, self.n_events, self.n_digis, len(self.sections))
        body = head + table + b"".join(self.sections.values())
        return body + _CRC.pack(zlib.crc32(body))

    @staticmethod
    def from_bytes(data: bytes, where: str = "chunk") -> Chunk:
        """Read what `to_bytes` wrote.

        Raises
        ------
        FormatError
            If the checksum or the structure is wrong.
        """
        if len(data) < _HEAD.size + _CRC.size or data[:4] != _MAGIC:
            raise FormatError(f"{where} is cut short or no chunk at all")
        if zlib.crc32(data[: -_CRC.size]) != _CRC.unpack(data[-_CRC.size :])[0]:
            raise FormatError(f"{where} is damaged: its checksum does not match")
        _, n_events, n_digis, n_sections = _HEAD.unpack_from(data)
        at = _HEAD.size + n_sections * _SECTION.size
        sections: dict[str, bytes] = {}
        for i in range(n_sections):
            if _HEAD.size + (i + 1) * _SECTION.size > len(data):
                raise FormatError(f"{where} is damaged: its section table is cut short")
            name, size = _SECTION.unpack_from(data, _HEAD.size + i * _SECTION.size)
            sections[name.rstrip(b"\0").decode("latin-1")] = data[at : at + size]
            at += size
        if at + _CRC.size != len(data) or n_events > _MAX_EVENTS or n_digis > MAX_DIGIS:
            raise FormatError(f"{where} is damaged: its sizes contradict each other")
        return Chunk(n_events, n_digis, sections)


@dataclass(frozen=True)
class Stream:
    """What `Model.encode` gives: chunks of whole events, in order."""

    chunks: tuple[Chunk, ...]

    @property
    def n_events(self) -> int:
        """Events in all chunks."""
        return sum(c.n_events for c in self.chunks)

    @property
    def n_digis(self) -> int:
        """Digis that went in."""
        return sum(c.n_digis for c in self.chunks)

    @property
    def nbytes(self) -> int:
        """Bytes of all chunks as written."""
        return sum(c.nbytes for c in self.chunks)

    @property
    def ledger(self) -> dict[str, int]:
        """Bytes by section; ``framing`` is the head, table and checksum of each chunk."""
        total: dict[str, int] = {}
        for chunk in self.chunks:
            for name, data in chunk.sections.items():
                total[name] = total.get(name, 0) + len(data)
        return total | {"framing": self.nbytes - sum(total.values())}

    def to_bytes(self) -> bytes:
        """All chunks, each behind its length."""
        return b"".join(
            struct.pack("<Q", len(data)) + data for data in (c.to_bytes() for c in self.chunks)
        )

    @staticmethod
    def from_bytes(data: bytes) -> Stream:
        """Read what `to_bytes` wrote.

        Raises
        ------
        FormatError
            Naming the chunk that is damaged.
        """
        chunks: list[Chunk] = []
        at = 0
        while at < len(data):
            if at + 8 > len(data):
                raise FormatError(f"chunk {len(chunks)} is cut short")
            size = struct.unpack_from("<Q", data, at)[0]
            chunks.append(Chunk.from_bytes(data[at + 8 : at + 8 + size], f"chunk {len(chunks)}"))
            at += 8 + size
        return Stream(tuple(chunks))


@dataclass(frozen=True, eq=False)
class Model:
    """A fitted codec: knobs, detector and learned arrays; nothing changes it any more.

    Subclasses give `quantize`, `_encode` and `_decode` for one chunk.
    """

    codec: Codec
    detector: Detector
    arrays: Mapping[str, Array]

    needs: ClassVar[tuple[str, ...]] = ()  # names of arrays that must be there

    def __post_init__(self) -> None:
        self.require(*self.needs)

    def require(self, *names: str) -> None:
        """Refuse a model that lacks one of these arrays."""
        for name in names:
            if name not in self.arrays:
                raise FormatError(f"the model has no array '{name}'")

    # -- what a codec defines ---------------------------------------------------------------
    def quantize(self, digis: Digis) -> Digis:
        """The digis with all of the codec's loss: what decoding gives.

        Raises
        ------
        PixlabError
            If the digis are of another detector.
        """
        self.check(digis)
        return digis

    @property
    def keeps_flags(self) -> bool:
        """Whether the same pixels come back, so that their flags can."""
        return True

    def usage(self, digis: Digis) -> list[CodeUsage]:
        """How often each code of each codebook is chosen for `digis`; empty without codebooks.

        Raises
        ------
        PixlabError
            If the digis are of another detector.
        """
        self.check(digis)
        return []

    def _encode(self, digis: Digis) -> dict[str, bytes]:
        raise TypeError(f"{type(self).__name__} cannot encode")

    def _decode(self, chunk: Chunk) -> Digis:
        raise TypeError(f"{type(self).__name__} cannot decode")

    # -- what all of them share -------------------------------------------------------------
    def check(self, digis: Digis) -> None:
        """Refuse digis of another detector."""
        if digis.detector != self.detector:
            raise PixlabError(
                f"the model was fitted on detector '{self.detector.name}', "
                f"the digis are of '{digis.detector.name}'",
                "fit a model on digis of that detector",
            )

    def encode(self, digis: Digis, *, progress: Progress | None = None) -> Stream:
        """Compress, chunk by chunk, on all cores."""
        self.check(digis)
        parts = list(split_events(digis))
        chunks = on_all_cores(self._encode_chunk, parts, progress, "encoding")
        return Stream(tuple(chunks))

    def decode(self, stream: Stream, *, progress: Progress | None = None) -> Digis:
        """The digis that a stream holds.

        Raises
        ------
        FormatError
            Naming the chunk that is damaged.
        """
        parts = on_all_cores(
            self.decode_chunk, list(enumerate(stream.chunks)), progress, "decoding"
        )
        return Digis.concatenate(parts) if parts else Digis.empty(self.detector)

    def _encode_chunk(self, digis: Digis) -> Chunk:
        sections = self._encode(digis)
        if digis.event_id is not None:
            sections["event_ids"] = _pack_ids(digis.event_id)
        if digis.flag is not None and self.keeps_flags:
            sections["flags"] = encode_flags(digis.flag)
        return Chunk(len(digis), digis.n_digis, sections)

    def decode_chunk(self, numbered: tuple[int, Chunk]) -> Digis:
        """The digis of one (number, chunk)."""
        number, chunk = numbered
        try:
            digis = self._decode(chunk)
            flag, ids = None, None
            if "flags" in chunk.sections:
                flag = decode_flags(chunk.sections["flags"], digis.n_digis)
            if "event_ids" in chunk.sections:
                ids = _unpack_ids(chunk.sections["event_ids"], chunk.n_events)
        except KeyError as error:
            raise FormatError(f"chunk {number} has no section {error}") from error
        except FormatError as error:
            raise FormatError(f"chunk {number}: {error.cause}", error.hint) from error
        return Digis(
            digis.detector, digis.offsets, digis.detid, digis.row, digis.col, digis.adc, flag, ids
        )

    # -- bytes ------------------------------------------------------------------------------
    @cached_property
    def packed(self) -> bytes:
        """The model as a safetensors file."""
        from safetensors.numpy import save

        about = {
            "codec": self.codec.key,
            "knobs": self.codec.knobs(),
            "detector": self.detector.to_json(),
        }
        arrays = {k: np.ascontiguousarray(v) for k, v in sorted(self.arrays.items())}
        return save(arrays, metadata={"pixlab": json.dumps(about, sort_keys=True)})

    def to_bytes(self) -> bytes:
        """The model as safetensors, deflated: what `model_from_bytes` reads."""
        return zlib.compress(self.packed, 9)

    @cached_property
    def sha256(self) -> str:
        """Hash of `packed`, by which a file names a model that it does not hold."""
        return hashlib.sha256(self.packed).hexdigest()

    @cached_property
    def nbytes(self) -> int:
        """Size of `to_bytes`, which is what a .pxl file spends on it."""
        return len(self.to_bytes())

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a safetensors file, under a temporary name first."""
        path = Path(path)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            temporary.write_bytes(self.packed)
            os.replace(temporary, path)
        except OSError as error:
            raise PixlabError(f"cannot write {path}: {error.strerror}") from error
        finally:
            temporary.unlink(missing_ok=True)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Model) and self.packed == other.packed

    def __hash__(self) -> int:
        return hash(self.packed)

    def __repr__(self) -> str:
        return f"<Model {self.codec!r} for {self.detector.name}: {self.nbytes:,} bytes>"


def split_events(digis: Digis) -> Iterator[Digis]:
    """Runs of whole events of about `CHUNK_DIGIS` digis; at least one run."""
    n = len(digis)
    pieces = max(1, round(digis.n_digis / CHUNK_DIGIS))
    ends = np.searchsorted(digis.offsets, digis.n_digis * np.arange(1, pieces) / pieces)
    begin = 0
    for end in [*(int(e) for e in ends), n]:
        if end > begin or (n == 0 and begin == 0):
            yield digis[begin:end]
            begin = end


def on_all_cores(
    work: Any, parts: list[Any], progress: Progress | None = None, what: str = ""
) -> list[Any]:
    """Map over parts with one thread a core; the kernels release the interpreter lock."""
    if len(parts) == 1:
        return [work(parts[0])]
    done = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for result in pool.map(work, parts):
            done.append(result)
            if progress:
                progress(len(done) / len(parts), what)
    return done


def _pack_ids(ids: Array) -> bytes:
    """Differences of run, lumi and event, deflated."""
    columns = [np.diff(ids[k].astype(np.int64), prepend=0) for k in ("run", "lumi", "event")]
    return zlib.compress(np.stack(columns).astype("<i8").tobytes(), 9)


def _unpack_ids(data: bytes, n: int) -> Array:
    inflate = zlib.decompressobj()
    try:
        raw = inflate.decompress(data, 24 * n + 1)
    except zlib.error as error:
        raise FormatError("the event ids are damaged") from error
    if len(raw) != 24 * n:
        raise FormatError("the event ids are damaged")
    run, lumi, event = np.cumsum(np.frombuffer(raw, "<i8").reshape(3, n), axis=1)
    ids = np.zeros(n, EVENT_ID)
    ids["run"], ids["lumi"], ids["event"] = (
        run.astype(np.uint32), lumi.astype(np.uint32), event.astype(np.uint64),
    )  # fmt: skip
    return ids
