"""`read`, `iterate`, `write` and `info`: the doors of the room, the same for all formats."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pixlab.detectors import Detector
from pixlab.digis import Digis
from pixlab.errors import FormatError, PixlabError
from pixlab.io.files import (
    Bytes,
    NotHere,
    PathLike,
    atomic,
    boundary,
    event_range,
    expand,
    read_range,
)
from pixlab.io.pxl import describe
from pixlab.io.table import FORMATS, Reader

__all__ = ["count", "info", "iterate", "read", "write"]

_BLOCK = 100  # events in memory at once
_HEAD = 512  # bytes that tell formats apart


def read(
    path: PathLike,
    *,
    format: str | None = None,
    branch: str | None = None,
    detector: str | Detector | None = None,
    events: Any = None,
) -> Digis:
    """Read digis from one file; the format is recognised from the content.

    Parameters
    ----------
    path : path
        The file; for Timepix frames also their directory.
    format : str, optional
        A key of `FORMATS`, to have only that one tried.
    branch : str, optional
        For ROOT files with digis in several places: the name of the branch (or flat tree), or
        any part that the others do not have.
    detector : str or Detector, optional
        What the module ids mean. Default: what the file says, or else the first of `DETECTORS`
        that has all of them.
    events : slice or (start, stop), optional
        Which events, as in ``list[start:stop]``. Default: all.

    Returns
    -------
    Digis

    Raises
    ------
    PixlabError
        Whatever is wrong with the file, in one line that names it.

    Examples
    --------
    >>> import pixlab
    >>> digis = pixlab.read("edm_pu60.root", events=(0, 10))  # doctest: +SKIP
    """
    wanted = event_range(events)
    with boundary(Path(path)):
        reader, kind = _open(Path(path), format, branch, detector)
    with boundary(Path(path), kind):
        try:
            return read_range(reader, wanted)
        finally:
            reader.close()


def iterate(
    paths: PathLike | Sequence[PathLike],
    *,
    events: int = _BLOCK,
    format: str | None = None,
    branch: str | None = None,
    detector: str | Detector | None = None,
) -> Iterator[Digis]:
    """Read files block by block, in memory that depends on the block and not on the files.

    Parameters
    ----------
    paths : path or list of paths
        Files, or a pattern such as ``"premix/*.root"``.
    events : int
        Events a block; a block may span files, and only the last one is shorter.
    format, branch, detector : optional
        As for `read`, for all files.

    Yields
    ------
    Digis
        Nothing is left out: a damaged file is an error when its turn comes.

    Notes
    -----
    An EDM file is read basket by basket, Parquet by row group, a flat tree by basket if its events
    stand in rising order. An npz file has no parts: it is read whole, once.
    """
    if not isinstance(events, (int, np.integer)) or events < 1:
        raise PixlabError(f"events={events!r} is no size of a block", "pass at least 1")
    return _blocks(expand(paths), int(events), format, branch, detector)


def _blocks(
    paths: list[Path],
    size: int,
    format: str | None,
    branch: str | None,
    detector: str | Detector | None,
) -> Iterator[Digis]:
    waiting: Digis | None = None  # fewer than `size` events, from the end of the files before
    for path in paths:
        with boundary(path):
            reader, kind = _open(path, format, branch, detector)
        try:
            start = 0
            while True:
                want = size - (0 if waiting is None else len(waiting))
                with boundary(path, kind):
                    block = reader.read(start, start + want)
                    if waiting is not None:
                        block = Digis.concatenate([waiting, block])
                if len(block) < size:
                    waiting = block
                    break
                yield block
                start, waiting = start + want, None
        finally:
            reader.close()
    if waiting is not None and len(waiting):
        yield waiting


def write(digis: Digis, path: PathLike) -> None:
    """Write digis in the format that the suffix of `path` names.

    ``.npz``, ``.parquet``, ``.h5``, ``.csv``, ``.csv.gz`` and ``.rntuple.root`` keep everything
    (events without digis, event numbers, flags and a detector of one's own); ``.root`` is a flat
    tree (`pixlab.io.digitree.write` says what other readers miss of it); ``.pxl`` is pixlab's own
    format.

    The file appears under its name when it is complete: whatever goes wrong, no half file is left
    and an older one stays.

    Raises
    ------
    PixlabError
        If the suffix is unknown or the place cannot be written.
    """
    path = Path(path)
    by_suffix = {suffix: f for f in FORMATS.values() if f.write for suffix in f.suffixes}
    ends = [suffix for suffix in by_suffix if path.name.lower().endswith(suffix)]
    chosen = by_suffix[max(ends, key=len)] if ends else None  # .csv.gz before .gz
    if chosen is None or chosen.write is None:
        raise PixlabError(
            f"{path} has no suffix of a format that pixlab writes",
            f"end the name in {', '.join(by_suffix)}",
        )
    with atomic(path) as temporary:
        chosen.write(digis, temporary)


def count(
    path: PathLike,
    *,
    format: str | None = None,
    branch: str | None = None,
    detector: str | Detector | None = None,
) -> int:
    """Number of events in a file; most formats say it without being read.

    Raises
    ------
    PixlabError
        As `read`.
    """
    with boundary(Path(path)):
        reader, kind = _open(Path(path), format, branch, detector)
    with boundary(Path(path), kind):
        try:
            return reader.count
        finally:
            reader.close()


def info(
    path: PathLike,
    *,
    format: str | None = None,
    branch: str | None = None,
    detector: str | Detector | None = None,
) -> dict[str, Any]:
    """What is in a file, read in bounded memory.

    Returns
    -------
    dict
        ``format``, ``bytes``, ``detector``, ``events``, ``digis`` and ``layers`` (digis of each);
        ``cells_left_out`` where a file has cells that are no pixels;
        for .pxl files also what `pixlab.io.pxl.describe` knows of codec and sizes.
    """
    path = Path(path)
    with boundary(path):
        reader, kind = _open(path, format, branch, detector)
    events = digis = 0
    layers: Counter[str] = Counter()
    try:
        more = True
        while more:
            with boundary(path, kind):
                block = reader.read(events, events + _BLOCK)
            more = len(block) == _BLOCK
            events, digis = events + len(block), digis + block.n_digis
            layers.update(block.per_layer())
    finally:
        reader.close()
    files = [p for p in path.iterdir() if p.is_file()] if path.is_dir() else [path]
    size = sum(p.stat().st_size for p in files)
    found = {"format": kind, "bytes": size, "detector": block.detector.name}
    found |= {"events": events, "digis": digis, "layers": dict(layers)}
    if hasattr(reader, "left_out"):
        found["cells_left_out"] = reader.left_out
    # a lossy file holds fewer digis than went in, and its rate is of those that went in
    return found | describe(path) if kind == "pxl" else found


def _open(
    path: Path, format: str | None, branch: str | None, detector: str | Detector | None
) -> tuple[Reader, str]:
    """Whoever can read the file, and the name of its format."""
    if path.is_dir() or (path.is_file() and not path.stat().st_size):
        for name, entry in FORMATS.items():
            forced = format == name and path.is_file()
            if entry.unread and format in (None, name) and (forced or entry.unread(path)):
                return entry.reader(path, branch=branch, detector=detector), name
    with Bytes(path) as file:
        head = file.take(0, min(_HEAD, file.size), "the beginning")
    if format is not None and format not in FORMATS:
        raise PixlabError(f"no format is called '{format}'", f"choose one of {', '.join(FORMATS)}")
    tried = [format] if format is not None else list(FORMATS)
    nothing: NotHere | None = None
    for name in tried:
        if FORMATS[name].sniff(head):
            try:
                return FORMATS[name].reader(path, branch=branch, detector=detector), name
            except NotHere as error:
                nothing = error
    if nothing is not None:
        raise nothing
    expected = FORMATS[format].what if format is not None else "file that pixlab reads"
    raise FormatError(
        f"{path} is no {expected} (it begins with {head[:8]!r})",
        f"pixlab reads {', '.join(f.what for f in FORMATS.values())}",
    )
