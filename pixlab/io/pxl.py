"""The .pxl format: digis as a codec has written them, with the model that reads them back."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pixlab import __version__
from pixlab.codecs import Chunk, Codec, Lossless, Model, load_model, make_codec, unpack_model
from pixlab.codecs.base import on_all_cores
from pixlab.coding.container import Container, ModelReference, may_be_container, write_container
from pixlab.digis import Digis
from pixlab.errors import FormatError, PixlabError
from pixlab.io.events import How, no_branch
from pixlab.io.files import atomic, boundary, clip, event_range, read_range
from pixlab.io.places import PathLike, Place, as_place
from pixlab.io.source import Bytes
from pixlab.progress import Progress

__all__ = ["Lost", "PxlReader", "compress", "decompress", "describe", "salvage", "sniff", "write"]


def sniff(head: bytes) -> bool:
    """Whether a file that begins like this may be a .pxl file."""
    return may_be_container(head)


class Lost(NamedTuple):
    """Events that a damaged file does not give back.

    ``first`` and ``stop`` count events as in a slice; ``stop`` is None where nothing says how many
    there were. ``why`` is one line.
    """

    first: int
    stop: int | None
    why: str

    def __str__(self) -> str:
        last = "?" if self.stop is None else str(self.stop - 1)
        return f"events {self.first} to {last}: {self.why}"


class PxlReader:
    """An open .pxl file; only the chunks that hold the wanted events are read and decoded."""

    found = False  # it names its detector
    others: tuple[str, ...] = ()

    def __init__(
        self,
        source: Bytes,
        how: How = How(),  # noqa: B008  (it is frozen)
        model: Model | PathLike | None = None,
    ) -> None:
        no_branch(how, f"{source}: a .pxl file")
        self._detector = how.detector
        self._given = model
        self._container = Container(source.place, source.file)
        chunks = _sizes(self._container.header)
        if chunks is None:
            raise FormatError(f"{source}: its header is damaged")
        self.chunks = chunks
        self._starts = np.concatenate([[0], np.cumsum(chunks[:, 0])])
        self._kept: tuple[int, Digis] | None = None  # the chunk decoded last, and its number

    @cached_property
    def model(self) -> Model:
        """The model in the file, or the one that it names."""
        return _model_of(self._container, self._given)

    @property
    def header(self) -> dict[str, Any]:
        """The content of header.json."""
        return self._container.header

    @property
    def reference(self) -> ModelReference | None:
        """Which model is needed, where it is not in the file."""
        return self._container.reference

    @property
    def model_bytes(self) -> int:
        """What the model, or the reference to it, takes in the file."""
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
        """Events `start` to `stop`, fewer where the file ends before; chunks on all cores."""
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
        found = dict(zip(numbers, on_all_cores(self._decode, chunks), strict=True))
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


def _sizes(header: dict[str, Any]) -> Any:
    """Events and digis of each chunk, int64[chunks, 2]; None if the header is damaged."""
    try:
        chunks = np.array(header["chunks"], np.int64).reshape(-1, 2)
        sums = [int(v) for v in chunks.sum(axis=0)]
        good = (chunks >= 0).all() and sums == [header["events"], header["digis"]]
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    return chunks if good else None


def _model_of(container: Container, given: Model | PathLike | None) -> Model:
    """The model of a file: the one inside, or the one that it names, given or beside it."""
    path, needed = container.path, container.reference
    if needed is None:
        try:
            return unpack_model(container.model, f"{path}: the model")
        except FormatError:
            if given is None:
                raise
            return given if isinstance(given, Model) else load_model(given)
    called = f"model '{needed.name}' (SHA-256 {needed.sha256[:12]}…)"
    if given is None and needed.name and isinstance(path, Path):
        beside = path.with_name(Path(needed.name).name)
        given = beside if beside.is_file() else None
    if given is None:
        raise PixlabError(
            f"{path} was written without its {called}, which is not beside it",
            "pass the model (--model MODEL), or put it into the same directory",
        )
    model = given if isinstance(given, Model) else load_model(given)
    if model.sha256 != needed.sha256:
        which = "the model given" if isinstance(given, Model) else str(given)
        raise PixlabError(
            f"{which} (SHA-256 {model.sha256[:12]}…) is not the one that {path} was written with",
            f"pass its {called}",
        )
    return model


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
            chosen = _for_one_file(chosen)
        model = chosen.fit(first, progress=progress)
    return model, chain([first], blocks if second is None else chain([second], blocks))


def compress(
    source: PathLike | Digis | Iterable[Digis],
    out: PathLike,
    *,
    codec: Codec | str | None = None,
    model: Model | PathLike | None = None,
    embed: bool = True,
    progress: Progress | None = None,
    **how: Any,
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
    model : Model or path, optional
        A model fitted before, or its file, instead of `codec`.
    embed : bool
        Whether the model goes into `out`. If not, the file only names it, by its hash and the name
        of its file, and whoever reads it needs the model: best for many small files.
    progress : callable, optional
        Told what is going on.
    **how
        Arguments of `pixlab.iterate`, if `source` is a path: ``within``, ``branch``, ``detector``…

    Returns
    -------
    dict
        What `describe` says of the new file.

    Raises
    ------
    PixlabError
        If both `codec` and `model` are given, `embed` is false without a model, or reading, fitting
        or writing fails.
    """
    if codec is not None and model is not None:
        raise PixlabError("both a codec and a model are given", "give one of them")
    if model is None and not embed:
        raise PixlabError(
            "a file without its model needs one that is kept elsewhere",
            "fit and save a model first, and pass it (model=, --model)",
        )
    file, model = (None, model) if isinstance(model, Model) else (model, None)
    given = load_model(file) if file is not None else model
    name, blocks = _blocks(source, how)
    fitted, blocks = _fitted(blocks, codec, given, progress)
    reference = ModelReference(fitted.sha256, Path(file).name if file else "")
    with atomic(Path(out)) as temporary:
        _save(
            temporary, fitted, blocks, progress,
            source=name, reference=None if embed else reference,
        )  # fmt: skip
    return _described(Path(out), fitted)


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
    reference: ModelReference | None = None,
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
        "shannon": {},
    }
    bits: dict[str, float] = {}

    def chunks() -> Iterator[bytes]:
        for block in blocks:
            for chunk in model.encode(block, progress=progress).chunks:
                sizes.append([chunk.n_events, chunk.n_digis])
                header["events"] += chunk.n_events
                header["digis"] += chunk.n_digis
                for section, ideal in chunk.shannon.items():
                    bits[section] = bits.get(section, 0.0) + ideal
                    header["shannon"][section] = round(bits[section] / 8)
                yield chunk.to_bytes()

    write_container(path, header, reference or model.packed, chunks())


def decompress(
    path: PathLike,
    out: PathLike | None = None,
    *,
    events: Any = None,
    model: Model | PathLike | None = None,
) -> Digis:
    """The digis of a .pxl file; with `out`, also written in the format of its suffix.

    Parameters
    ----------
    path : path
        The .pxl file.
    out : path, optional
        Where to write them.
    events : slice or (start, stop), optional
        Which events; only the chunks that hold them are read.
    model : Model or path, optional
        The model of a file that was written without it; by default, the one beside it.

    Raises
    ------
    PixlabError
        If the file is damaged or no .pxl file, its model is missing or another one, or `out` cannot
        be written.
    """
    from pixlab.io.api import write as write_any

    wanted, place = event_range(events), as_place(path)
    with Bytes(place) as source, boundary(place, "pxl", opened=source):
        digis = read_range(PxlReader(source, model=model), wanted)
    if out is not None:
        write_any(digis, out)
    return digis


def salvage(path: PathLike, *, model: Model | PathLike | None = None) -> tuple[Digis, list[Lost]]:
    """What can be had from a damaged .pxl file: every chunk that is whole, and what is lost.

    A file that was cut short, or has lost its table of contents or its header, gives back the
    chunks in front all the same. Lost events are left out.

    Returns
    -------
    (Digis, list of Lost)

    Raises
    ------
    PixlabError
        If it is no .pxl file, or its model is damaged: nothing can be read without it.
    """
    with Container(Path(path), salvage=True) as container:
        fitted = _model_of(container, model)
        sizes = _sizes(container.header)
        n_chunks = container.n_chunks if sizes is None else len(sizes)
        parts, lost, first = [], [], 0
        for number in range(n_chunks):
            stop = None if sizes is None else first + int(sizes[number, 0])
            try:
                where = f"chunk {number}"
                chunk = Chunk.from_bytes(container.chunk(number), where)
                if sizes is not None and [chunk.n_events, chunk.n_digis] != list(sizes[number]):
                    raise FormatError(f"{where} does not fit the header")
                digis = fitted.decode_chunk((number, chunk))
            except FormatError as error:
                lost.append(Lost(first, stop, error.cause.removeprefix(f"{path}: ")))
                first = first if stop is None else stop
                continue
            parts.append(digis)
            first += len(digis)
        if sizes is None:
            lost.append(Lost(first, None, "the end of the file is missing or damaged"))
    return Digis.concatenate(parts) if parts else Digis.empty(fitted.detector), lost


def describe(place: Place) -> dict[str, Any]:
    """Codec and size ledger of a .pxl file, from its headers and without decoding.

    Returns
    -------
    dict
        ``format``, ``bytes``, ``detector``, ``events``, ``digis``, ``codec``, ``knobs``,
        ``bits_per_digi`` (8 x bytes of the whole file / digis; None without digis), ``model_bytes``,
        ``ledger`` (bytes by section; sums up to ``bytes``), ``shannon`` (bytes of a section without
        what its coder adds) and, where the model is not in the file, ``model`` (its hash and name).
    """
    return _described(place, None)


def _described(place: Place, model: Model | None) -> dict[str, Any]:
    with Bytes(place) as source:
        reader = PxlReader(source, model=model)
        ledger: dict[str, int] = {}
        for number in range(len(reader.chunks)):
            chunk = reader.chunk(number)
            for name, data in chunk.sections.items():
                ledger[name] = ledger.get(name, 0) + len(data)
        size = source.size
        ledger["model"] = reader.model_bytes
        ledger["container"] = size - sum(ledger.values())
        header = reader.header
        digis = header["digis"]
        found = {
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
            "shannon": header.get("shannon", {}),
        }
        reference = reader.reference
        return found | ({} if reference is None else {"model": reference._asdict()})
