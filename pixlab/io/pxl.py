"""The .pxl format: digis as a codec has written them, with the model that reads them back."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from pixlab import __version__
from pixlab.codecs import Chunk, Codec, Lossless, Model, make_codec, unpack_model
from pixlab.coding.container import Container, write_container
from pixlab.digis import Digis
from pixlab.errors import FormatError, PixlabError
from pixlab.io.events import How, no_branch
from pixlab.io.files import atomic, clip
from pixlab.io.places import Place, as_place
from pixlab.io.source import Bytes
from pixlab.progress import Progress

__all__ = ["PxlReader", "compress", "decompress", "describe", "sniff", "write"]

_PRIORS_PAY = 2_000_000  # digis from which stored probabilities save more than they take


def sniff(head: bytes) -> bool:
    """Whether a file that begins like this may be a .pxl file: its first member is the model."""
    return head[:4] == b"PK\x03\x04" and head[30:47] == b"model.safetensors"


class PxlReader:
    """An open .pxl file; only the chunks that hold the wanted events are read and decoded."""

    found = False  # it names its detector
    others: tuple[str, ...] = ()

    def __init__(self, source: Bytes, how: How = How()) -> None:  # noqa: B008  (it is frozen)
        no_branch(how, f"{source}: a .pxl file")
        self._detector = how.detector
        self._container = Container(source.place, source.file)
        header = self._container.header
        try:
            chunks = np.array(header["chunks"], np.int64).reshape(-1, 2)
            good = (chunks >= 0).all() and [int(v) for v in chunks.sum(axis=0)] == [
                header["events"],
                header["digis"],
            ]
        except (KeyError, TypeError, ValueError, OverflowError):
            good = False
        if not good:
            raise FormatError(f"{source}: its header is damaged")
        self.chunks = chunks
        self._starts = np.concatenate([[0], np.cumsum(chunks[:, 0])])
        self._kept: tuple[int, Digis] | None = None  # the chunk decoded last, and its number

    @cached_property
    def model(self) -> Model:
        """The model in the file."""
        return unpack_model(self._container.model, f"{self._container.path}: the model")

    @property
    def header(self) -> dict[str, Any]:
        """The content of header.json."""
        return self._container.header

    @property
    def model_bytes(self) -> int:
        """What the model takes in the file."""
        return self._container.model_bytes

    @property
    def count(self) -> int:
        """Number of events in the file."""
        return int(self._starts[-1])

    def chunk(self, number: int) -> Chunk:
        """One chunk, not yet decoded."""
        where = f"{self._container.path}: chunk {number}"
        chunk = Chunk.from_bytes(self._container.chunk(number), where)
        if [chunk.n_events, chunk.n_digis] != list(self.chunks[number]):
            raise FormatError(f"{where} does not fit the header")
        return chunk

    def read(self, start: int, stop: int) -> Digis:
        """Events `start` to `stop`, fewer where the file ends before."""
        start, stop = clip(start, stop, self.count)
        first = max(int(np.searchsorted(self._starts, start, side="right")) - 1, 0)
        last = int(np.searchsorted(self._starts, stop, side="left")) if stop > start else first
        parts = []
        for number, digis in zip(range(first, last), self._decoded(first, last), strict=True):
            begin = int(self._starts[number])
            parts.append(digis[max(start - begin, 0) : stop - begin])
        digis = Digis.concatenate(parts) if parts else Digis.empty(self.model.detector)
        if self._detector is None or self._detector == digis.detector:
            return digis
        return Digis.from_arrays(
            digis.event,
            digis.detid,
            digis.row,
            digis.col,
            digis.adc,
            detector=self._detector,
            n_events=len(digis),
            flag=digis.flag,
            event_id=digis.event_id,
        )

    def _decoded(self, first: int, last: int) -> list[Digis]:
        """Some chunks decoded, on all cores; the last one is kept, since blocks of events share it."""
        kept = self._kept
        numbers = [i for i in range(first, last) if kept is None or kept[0] != i]
        chunks = [(i, self.chunk(i)) for i in numbers]
        self.model  # noqa: B018  (unpacked once, before threads ask for it)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            found = dict(zip(numbers, pool.map(self._decode, chunks), strict=True))
        found |= dict([kept]) if kept is not None else {}
        self._kept = (last - 1, found[last - 1]) if last > first else kept
        return [found[i] for i in range(first, last)]

    def _decode(self, numbered: tuple[int, Chunk]) -> Digis:
        try:
            return self.model.decode_chunk(numbered)
        except FormatError as error:
            path = str(self._container.path)
            if path in error.cause:
                raise
            raise FormatError(f"{path}: {error.cause}", error.hint) from error


def write(groups: Iterable[Digis], path: Path) -> None:
    """Write digis losslessly."""
    model, blocks = _fitted(iter(groups), None, None, None)
    _save(path, model, blocks, None)


def _fitted(
    blocks: Iterator[Digis],
    codec: Codec | str | None,
    model: Model | None,
    progress: Progress | None,
) -> tuple[Model, Iterator[Digis]]:
    """A model fitted on the first of the blocks, and all of these."""
    first, second = next(blocks, None), next(blocks, None)
    if first is None:
        raise PixlabError("there are no events to compress")
    if model is None:
        chosen = make_codec(codec) if isinstance(codec, str) else codec or Lossless()
        if second is None:
            chosen = _for_one_file(chosen, first)
        model = chosen.fit(first, progress=progress)
    return model, chain([first], blocks if second is None else chain([second], blocks))


def compress(
    source: str | os.PathLike[str] | Digis | Iterable[Digis],
    out: str | os.PathLike[str],
    *,
    codec: Codec | str | None = None,
    model: Model | None = None,
    progress: Progress | None = None,
    **how: Any,
) -> dict[str, Any]:
    """Write digis as a .pxl file, in memory that does not grow with their number.

    Parameters
    ----------
    source : Digis, path or iterable of Digis
        What to compress: digis, any files that `pixlab.iterate` reads, or blocks of events such as
        it yields.
    out : path
        The .pxl file; it appears when it is complete.
    codec : Codec or str, optional
        Fitted on `source` itself, on its first block where there are several; default `Lossless`.
    model : Model, optional
        A model fitted before, instead of `codec`.
    progress : callable, optional
        Told what is going on.
    **how
        Arguments of `pixlab.iterate`, if `source` is a path: ``within``, ``branch``, ``detector``…

    Returns
    -------
    dict
        What `pixlab.io.info` says of the new file.

    Raises
    ------
    PixlabError
        If both `codec` and `model` are given, or reading, fitting or writing fails.
    """
    if codec is not None and model is not None:
        raise PixlabError("both a codec and a model are given", "give one of them")
    name, blocks = _blocks(source, how)
    model, blocks = _fitted(blocks, codec, model, progress)
    with atomic(Path(out)) as temporary:
        _save(temporary, model, blocks, progress, source=name)
    return describe(Path(out))


def _blocks(source: Any, how: dict[str, Any]) -> tuple[str, Iterator[Digis]]:
    """A name for the header, and blocks of events: at least one from a file that can be read."""
    from pixlab.io.api import iterate, read

    if not isinstance(source, (str, os.PathLike)):
        if how:
            raise PixlabError(f"{', '.join(how)}= only says how a file is read", "leave it out")
        return "", iter([source] if isinstance(source, Digis) else source)
    blocks = iterate(source, **how)
    first = next(blocks, None)
    if first is None:  # a file without events still says of which detector it has none
        kept = {key: value for key, value in how.items() if key not in ("events", "within")}
        first = read(source, events=(0, 0), **kept)
    return as_place(source).name, chain([first], blocks)


def _for_one_file(codec: Codec, digis: Digis) -> Codec:
    """The codec as it makes the smallest file: a model for few digis is small itself."""
    knobs = codec.knobs()
    if "priors" in knobs and knobs["priors"] is None and digis.n_digis < _PRIORS_PAY:
        return make_codec(codec.key, **knobs | {"priors": False})
    return codec


def _save(
    path: Path,
    model: Model,
    blocks: Iterable[Digis],
    progress: Progress | None,
    source: str = "",
) -> None:
    sizes: list[list[int]] = []
    header: dict[str, Any] = {
        "pixlab": __version__,
        "codec": model.codec.key,
        "knobs": model.codec.knobs(),
        "detector": model.detector.name,
        "source": source,
        "chunks": sizes,
        "events": 0,
        "digis": 0,
    }

    def chunks() -> Iterator[bytes]:
        for block in blocks:
            for chunk in model.encode(block, progress=progress).chunks:
                sizes.append([chunk.n_events, chunk.n_digis])
                header["events"] += chunk.n_events
                header["digis"] += chunk.n_digis
                yield chunk.to_bytes()

    write_container(path, header, model.packed, chunks())


def decompress(path: str | os.PathLike[str], out: str | os.PathLike[str] | None = None) -> Digis:
    """The digis of a .pxl file; with `out`, also written in the format of its suffix.

    Raises
    ------
    PixlabError
        If the file is damaged or no .pxl file, or `out` cannot be written.
    """
    from pixlab.io.api import read
    from pixlab.io.api import write as write_any

    digis = read(path, format="pxl")
    if out is not None:
        write_any(digis, out)
    return digis


def describe(place: Place) -> dict[str, Any]:
    """Codec and size ledger of a .pxl file, from its headers and without decoding.

    Returns
    -------
    dict
        ``format``, ``bytes``, ``detector``, ``events``, ``digis``, ``codec``, ``knobs``,
        ``bits_per_digi`` (8 x bytes of the whole file / digis; None without digis), ``model_bytes``
        and ``ledger`` (bytes by section; sums up to ``bytes``).
    """
    with Bytes(place) as source:
        reader = PxlReader(source)
        ledger: dict[str, int] = {}
        for number in range(len(reader.chunks)):
            chunk = reader.chunk(number)
            for name, data in chunk.sections.items():
                ledger[name] = ledger.get(name, 0) + len(data)
        ledger["model"] = reader.model_bytes
        ledger["container"] = source.size - sum(ledger.values())
        digis = reader.header["digis"]
        return {
            "format": "pxl",
            "bytes": source.size,
            "detector": reader.model.detector.name,
            "events": reader.header["events"],
            "digis": digis,
            "codec": reader.model.codec.key,
            "knobs": reader.model.codec.knobs(),
            "bits_per_digi": 8 * source.size / digis if digis else None,
            "model_bytes": reader.model_bytes,
            "ledger": ledger,
        }
