"""The .pxl format: digis as a codec has written them, with the model that reads them back."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from pixlab import __version__
from pixlab.codecs import Chunk, Codec, Lossless, Model, make_codec, unpack_model
from pixlab.coding.container import Container, write_container
from pixlab.detectors import Detector, get_detector
from pixlab.digis import Digis
from pixlab.errors import FormatError, PixlabError
from pixlab.io.files import atomic
from pixlab.progress import Progress

__all__ = ["PxlReader", "compress", "decompress", "describe", "sniff", "write"]


def sniff(head: bytes) -> bool:
    """Whether a file that begins like this may be a .pxl file: its first member is the model."""
    return head[:4] == b"PK\x03\x04" and head[30:47] == b"model.safetensors"


class PxlReader:
    """An open .pxl file; only the chunks that hold the wanted events are read and decoded."""

    def __init__(
        self, path: Path, *, branch: str | None = None, detector: str | Detector | None = None
    ) -> None:
        if branch is not None:
            raise PixlabError(f"{path}: a .pxl file has no branches", "leave branch= out")
        self._detector = None if detector is None else get_detector(detector)
        self._container = Container(path)
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
            self.close()
            raise FormatError(f"{path}: its header is damaged")
        self.chunks = chunks
        self._starts = np.concatenate([[0], np.cumsum(chunks[:, 0])])

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

    def close(self) -> None:
        """Let go of the file."""
        self._container.close()

    def chunk(self, number: int) -> Chunk:
        """One chunk, not yet decoded."""
        where = f"{self._container.path}: chunk {number}"
        chunk = Chunk.from_bytes(self._container.chunk(number), where)
        if [chunk.n_events, chunk.n_digis] != list(self.chunks[number]):
            raise FormatError(f"{where} does not fit the header")
        return chunk

    def read(self, start: int, stop: int) -> Digis:
        """Events `start` to `stop`, fewer where the file ends before."""
        start, stop = min(start, self.count), min(stop, self.count)
        parts = []
        for number in range(len(self.chunks)):
            begin, end = (int(v) for v in self._starts[number : number + 2])
            if begin < stop and end > start:
                try:
                    digis = self.model.decode_chunk((number, self.chunk(number)))
                except FormatError as error:
                    path = str(self._container.path)
                    if path in error.cause:
                        raise
                    raise FormatError(f"{path}: {error.cause}", error.hint) from error
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


def write(digis: Digis, path: Path) -> None:
    """Write digis losslessly."""
    _save(path, _for_one_file(Lossless()).fit(digis), [digis], None)


def compress(
    source: str | os.PathLike[str] | Digis | Iterable[Digis],
    out: str | os.PathLike[str],
    *,
    codec: Codec | str | None = None,
    model: Model | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write digis as a .pxl file, in memory that does not grow with their number.

    Parameters
    ----------
    source : Digis, path or iterable of Digis
        What to compress: digis, any file that `pixlab.read` reads, or blocks of events such as
        `pixlab.iterate` yields.
    out : path
        The .pxl file; it appears when it is complete.
    codec : Codec or str, optional
        Fitted on `source` itself, on its first block where there are several; default `Lossless`.
    model : Model, optional
        A model fitted before, instead of `codec`.
    progress : callable, optional
        Told what is going on.

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
    name, blocks = _blocks(source)
    first, second = next(blocks, None), next(blocks, None)
    if first is None:
        raise PixlabError("there are no events to compress")
    if model is None:
        chosen = make_codec(codec) if isinstance(codec, str) else codec or Lossless()
        if second is None:
            chosen = _for_one_file(chosen)
        model = chosen.fit(first, progress=progress)
    rest = blocks if second is None else chain([second], blocks)
    with atomic(Path(out)) as temporary:
        _save(temporary, model, chain([first], rest), progress, source=name)
    return describe(Path(out))


def _blocks(source: Any) -> tuple[str, Iterator[Digis]]:
    """A name for the header, and blocks of events: at least one from a file that can be read."""
    from pixlab.io.api import iterate, read

    if isinstance(source, Digis):
        return "", iter([source])
    if not isinstance(source, (str, os.PathLike)):
        return "", iter(source)
    blocks = iterate(source)
    first = next(blocks, None)
    # a file without events still says of which detector it has none
    return Path(source).name, iter([read(source)]) if first is None else chain([first], blocks)


def _for_one_file(codec: Codec) -> Codec:
    """The codec as it makes the smallest file: a model for few digis is small itself."""
    knobs = codec.knobs()
    if "compact" in knobs and knobs["compact"] is None:
        return make_codec(codec.key, **knobs | {"compact": True})
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


def describe(path: Path) -> dict[str, Any]:
    """Codec and size ledger of a .pxl file, from its headers and without decoding.

    Returns
    -------
    dict
        ``format``, ``bytes``, ``detector``, ``events``, ``digis``, ``codec``, ``knobs``,
        ``bits_per_digi`` (8 x bytes of the whole file / digis; None without digis), ``model_bytes``
        and ``ledger`` (bytes by section; sums up to ``bytes``).
    """
    reader = PxlReader(path)
    try:
        ledger: dict[str, int] = {}
        for number in range(len(reader.chunks)):
            chunk = reader.chunk(number)
            for name, data in chunk.sections.items():
                ledger[name] = ledger.get(name, 0) + len(data)
        size = path.stat().st_size
        ledger["model"] = reader.model_bytes
        ledger["container"] = size - sum(ledger.values())
        header = reader.header
        digis = header["digis"]
        return {
            "format": "pxl",
            "bytes": size,
            "detector": reader.model.detector.name,
            "events": header["events"],
            "digis": digis,
            "codec": reader.model.codec.key,
            "knobs": reader.model.codec.knobs(),
            "bits_per_digi": 8 * size / digis if digis else None,
            "model_bytes": reader.model_bytes,
            "ledger": ledger,
        }
    finally:
        reader.close()
