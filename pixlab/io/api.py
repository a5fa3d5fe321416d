"""`read`, `iterate`, `write` and `info`: the doors of the room, the same for all formats."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from sys import maxsize
from typing import Any

import numpy as np

from pixlab.detectors import Detector, get_detector
from pixlab.digis import Digis
from pixlab.errors import FormatError, PixlabError, PixlabWarning
from pixlab.io.blocks import regroup
from pixlab.io.events import Duplicates, How
from pixlab.io.files import NotHere, atomic, boundary, event_range, read_range
from pixlab.io.places import PathLike, Place, Url, expand
from pixlab.io.pxl import describe
from pixlab.io.source import Bytes
from pixlab.io.table import FORMATS, Reader
from pixlab.io.text import GZIP, beginning

__all__ = ["count", "info", "iterate", "read", "write"]

_MOST_EVENTS = 100  # of a block whose size is not given
_BLOCK_DIGIS = 4_000_000  # about as many are held at once then
_HEAD = 512  # bytes that tell formats apart


def read(
    path: PathLike,
    *,
    format: str | None = None,
    branch: str | None = None,
    detector: str | Detector | None = None,
    events: Any = None,
    duplicates: Duplicates = "error",
) -> Digis:
    """Read digis from one file; the format is recognised from the content.

    Parameters
    ----------
    path : path or URL
        The file; for Timepix frames also their directory. A URL is whatever fsspec opens
        (``https://…``, ``root://…`` with the extra ``xrootd``), read in parts.
    format : str, optional
        A key of `FORMATS`, to have only that one tried.
    branch : str, optional
        For files with digis in several places: the name of the branch, tree or table, or any part
        that the others do not have.
    detector : str or Detector, optional
        What the module ids mean: a name in `DETECTORS`, the file of a detector table, or the
        detector. Default: what the file says, or else the first of `DETECTORS` that the digis fit;
        where others fit as well, a warning names them.
    events : slice or (start, stop), optional
        Which events, as in ``list[start:stop]``. Default: all.
    duplicates : {"error", "sum"}
        What to do where one pixel occurs twice in an event: refuse, or add the counts (up to the
        detector's ``adc_max``).

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
    with _Opened(_one(path), format, _how(branch, detector, duplicates)) as opened:
        return read_range(opened, wanted)


def iterate(
    paths: PathLike | Sequence[PathLike],
    *,
    events: int | None = None,
    within: Any = None,
    format: str | None = None,
    branch: str | None = None,
    detector: str | Detector | None = None,
    duplicates: Duplicates = "error",
) -> Iterator[Digis]:
    """Read files block by block, in memory that depends on the block and not on the files.

    Parameters
    ----------
    paths : path, URL, pattern, or list of these
        Files, or patterns such as ``"premix/*.root"``.
    events : int, optional
        Events a block; a block may span files, and only the last one is shorter. Default: as many
        as have about 4 million digis, to judge by the first ones, and 100 at most.
    within : slice or (start, stop), optional
        Which events of all files together, counted from 0. Default: all.
    format, branch, detector, duplicates : optional
        As for `read`, for all files.

    Yields
    ------
    Digis
        Nothing is left out: a damaged file is an error when its turn comes.

    Notes
    -----
    An EDM file is read basket by basket, Parquet by row group, RNTuple by cluster, a flat tree by
    basket unless the digis of an event are scattered in it. Large npz archives are unpacked to disk.
    """
    if events is not None and (not isinstance(events, (int, np.integer)) or events < 1):
        raise PixlabError(f"events={events!r} is no size of a block", "pass at least 1")
    size = None if events is None else int(events)
    wanted = event_range(within)
    first, last = wanted.start or 0, maxsize if wanted.stop is None else wanted.stop
    if first < 0 or last < 0 or wanted.step not in (None, 1):
        raise PixlabError(f"within={within!r} is no range counted from 0", "pass (start, stop)")
    how = _how(branch, detector, duplicates)
    return _blocks(expand(paths), size, (first, max(last, first)), format, how)


def _blocks(
    paths: list[Place], size: int | None, within: tuple[int, int], format: str | None, how: How
) -> Iterator[Digis]:
    skip, left = within[0], within[1] - within[0]
    waiting: Digis | None = None  # fewer than `size` events, from the end of the files before
    for path in paths:
        if not left:
            break
        with _Opened(path, format, how) as opened:
            start, count = skip, opened.count
            skip = max(skip - count, 0)
            while start < count and left:
                size = size or opened.block_size(start, left)
                held = 0 if waiting is None else len(waiting)
                block = opened.read(start, start + min(size - held, left))
                start, left = start + len(block), left - len(block)
                if opened.reader.found and block.n_digis:
                    how = how._replace(before=block.detector)
                if waiting is not None:
                    with boundary(path):
                        block = Digis.concatenate([waiting, block])
                waiting = block if len(block) < size else None
                if waiting is None:
                    yield block
    if waiting is not None:
        yield waiting


def write(digis: Digis | Iterable[Digis], path: PathLike) -> None:
    """Write digis in the format that the suffix of `path` names.

    ``.npz``, ``.parquet``, ``.h5``, ``.csv``, ``.csv.gz`` and ``.rntuple.root`` keep everything
    (events without digis, event numbers, flags and a detector of one's own); ``.root`` is a flat
    tree (`pixlab.io.digitree.write` says what other readers miss of it); ``.pxl`` is pixlab's own
    format.

    The file appears under its name when it is complete: whatever goes wrong, no half file is left
    and an older one stays.

    Parameters
    ----------
    digis : Digis or iterable of Digis
        Events, or blocks of them such as `iterate` yields, which are written in memory that does
        not grow with their number. How events are cut into blocks does not change the file.
    path : path
        The file.

    Raises
    ------
    PixlabError
        If the suffix is unknown, the place cannot be written, or there is no block.
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
        chosen.write(regroup([digis] if isinstance(digis, Digis) else digis), temporary)


def count(
    path: PathLike,
    *,
    format: str | None = None,
    branch: str | None = None,
    detector: str | Detector | None = None,
    duplicates: Duplicates = "error",
) -> int:
    """Number of events in a file; most formats say it without being read.

    Raises
    ------
    PixlabError
        As `read`.
    """
    with _Opened(_one(path), format, _how(branch, detector, duplicates)) as opened:
        return opened.count


def info(
    path: PathLike,
    *,
    format: str | None = None,
    branch: str | None = None,
    detector: str | Detector | None = None,
    duplicates: Duplicates = "error",
) -> dict[str, Any]:
    """What is in a file, read in bounded memory.

    Returns
    -------
    dict
        ``format``, ``bytes``, ``detector``, ``detector_from`` ("file", "argument" or "digis": it
        was found by looking at them), ``other_detectors`` if the digis may be of these as well,
        ``events``, ``digis`` and ``layers`` (digis of each); ``cells_left_out`` where a file has
        cells that are no pixels; for .pxl files also what `pixlab.io.pxl.describe` knows of codec
        and sizes.
    """
    place = _one(path)
    events = digis = 0
    layers: Counter[str] = Counter()
    with _Opened(place, format, _how(branch, detector, duplicates)) as opened:
        size, more = opened.block_size(0, _MOST_EVENTS), True
        while more:
            block = opened.read(events, events + size)
            more = len(block) == size
            events, digis = events + len(block), digis + block.n_digis
            layers.update(block.per_layer())
        reader = opened.reader
        said = "digis" if reader.found else "file" if detector is None else "argument"
        found: dict[str, Any] = {"format": opened.kind, "bytes": opened.nbytes()}
        found |= {"detector": block.detector.name, "detector_from": said}
        if reader.others:
            found["other_detectors"] = list(reader.others)
        found |= {"events": events, "digis": digis, "layers": dict(layers)}
        if hasattr(reader, "left_out"):
            found["cells_left_out"] = reader.left_out
    # a lossy file holds fewer digis than went in, and its rate is of those that went in
    return found | describe(place) if found["format"] == "pxl" else found


def _one(path: PathLike) -> Place:
    """The file that a path or a pattern names."""
    paths = expand(path)
    if len(paths) > 1:
        raise PixlabError(
            f"'{os.fspath(path)}' matches {len(paths)} files",
            "take them one by one, or read them in blocks with pixlab.iterate",
        )
    return paths[0]


def _how(branch: str | None, detector: str | Detector | None, duplicates: Duplicates) -> How:
    if duplicates not in ("error", "sum"):
        raise PixlabError(f"duplicates={duplicates!r} is unknown", "choose 'error' or 'sum'")
    return How(branch, None if detector is None else get_detector(detector), duplicates)


class _Opened:
    """An open file of events, whose failures are `PixlabError` and name the file."""

    def __init__(self, place: Place, format: str | None, how: How) -> None:
        self.place = place
        self._source: Bytes | None = None
        self._warned = False
        if format is not None and format not in FORMATS:
            raise PixlabError(
                f"no format is called '{format}'", f"choose one of {', '.join(FORMATS)}"
            )
        try:
            with boundary(place):
                name = _without_content(place, format)
                if name is not None:
                    self.reader, self.kind = FORMATS[name].reader(place, how), name
                    return
                self._source = Bytes(place)
            with boundary(place, opened=self._source):
                self.reader, self.kind = _recognised(self._source, format, how)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> _Opened:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        if self._source is not None:
            self._source.close()

    def read(self, start: int, stop: int) -> Digis:
        """Events `start` to `stop`, fewer where the file ends before."""
        with boundary(self.place, self.kind, opened=self._source, events=(start, stop)):
            digis = self.reader.read(start, stop)
        if self.reader.others and not self._warned:
            self._warned = True
            warnings.warn(
                f"{self.place}: its digis were taken for those of detector "
                f"'{digis.detector.name}', but {' and '.join(self.reader.others)} fit as well; "
                "pass detector= to choose",
                PixlabWarning,
                stacklevel=4,
            )
        return digis

    @property
    def count(self) -> int:
        """Number of events."""
        return self.reader.count

    def block_size(self, start: int, most: int) -> int:
        """Events that have about `_BLOCK_DIGIS` digis, to judge by the first ones from `start` on.

        What is not wanted is not looked at: it may be damaged.
        """
        first = self.read(start, start + min(most, 10))
        mean = first.n_digis / max(len(first), 1)
        return max(1, min(_MOST_EVENTS, int(_BLOCK_DIGIS / max(mean, 1.0))))

    def nbytes(self) -> int:
        """Bytes of the file, or of the files of a directory."""
        if self._source is not None:
            return self._source.size
        assert isinstance(self.place, Path)  # a URL has content
        files = [self.place] if self.place.is_file() else self.place.iterdir()
        return sum(p.stat().st_size for p in files if p.is_file())


def _without_content(place: Place, format: str | None) -> str | None:
    """The format of a directory or an empty file, if it is of one."""
    if isinstance(place, Url) or not (place.is_dir() or place.is_file()):
        return None
    if place.is_file() and place.stat().st_size:
        return None
    for name, entry in FORMATS.items():
        forced = format == name and place.is_file()
        if entry.unread and format in (None, name) and (forced or entry.unread(place)):
            return name
    return None


def _recognised(source: Bytes, format: str | None, how: How) -> tuple[Reader, str]:
    """Whoever can read the file, and the name of its format."""
    head = source.take(0, min(_HEAD, source.size), "the beginning")
    tried = [format] if format is not None else list(FORMATS)
    nothing: NotHere | None = None
    for name in tried:
        if FORMATS[name].sniff(head):
            try:
                return FORMATS[name].reader(source, how), name
            except NotHere as error:
                nothing = error
    if nothing is not None:
        holds = f": {nothing.describe()}" if nothing.describe else ""
        raise FormatError(f"{nothing.cause}{holds}", nothing.hint)
    if head.startswith(GZIP):
        head = beginning(head)[:_HEAD].encode("latin-1") or head
    expected = FORMATS[format].what if format is not None else "file that pixlab reads"
    raise FormatError(
        f"{source} is no {expected} (it begins with {head[:16]!r})",
        f"pixlab reads {', '.join(f.what for f in FORMATS.values())}",
    )
