"""What all formats share: checks of paths, one kind of error, ranges of events, atomic writing."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from glob import glob, has_magic
from pathlib import Path
from sys import maxsize
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixlab.detectors import DETECTORS, Detector, get_detector
from pixlab.digis import Digis
from pixlab.errors import FormatError, PixlabError, UnknownModuleError

__all__ = [
    "DAMAGED",
    "Bytes",
    "NotHere",
    "PathLike",
    "atomic",
    "boundary",
    "clip",
    "event_range",
    "expand",
    "find_detector",
    "read_range",
]

PathLike = str | os.PathLike[str]
DAMAGED = "the file is damaged or incomplete: compare its size with the original and fetch it again"


# -- paths ------------------------------------------------------------------------------------
def expand(paths: PathLike | Sequence[PathLike]) -> list[Path]:
    """The files that a path, a pattern such as ``"run3/*.root"`` or a list of these names.

    Raises
    ------
    PixlabError
        If a pattern matches nothing, or there is no path at all.
    """
    given = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
    found: list[Path] = []
    for one in given:
        text = os.fspath(one)
        if has_magic(text) and not os.path.exists(text):
            matches = sorted(glob(text, recursive=True))
            if not matches:
                raise PixlabError(
                    f"no file matches '{text}'", "check the pattern and the directory"
                )
            found += [Path(match) for match in matches]
        else:
            found.append(Path(text))
    if not found:
        raise PixlabError("no file was given", "pass a path, a list of paths or a pattern")
    return found


class Bytes:
    """A file opened for reading that never gives, or allocates, more than it holds.

    Parameters
    ----------
    path : Path
        An existing, non-empty file.

    Raises
    ------
    PixlabError
        If it is missing, a directory, empty or not readable.
    """

    def __init__(self, path: Path) -> None:
        if path.is_dir():
            raise PixlabError(f"{path} is a directory", f"name a file, or a pattern: {path / '*'}")
        if not path.exists():
            raise PixlabError(f"{path} does not exist", "check the path")
        try:
            self._handle = path.open("rb")
        except OSError as error:
            raise PixlabError(
                f"{path} cannot be read: {error.strerror}", "check its permissions"
            ) from error
        self.size = os.fstat(self._handle.fileno()).st_size
        if self.size == 0:
            self.close()
            raise FormatError(f"{path} is empty", "fetch or make it again")

    def take(self, start: int, count: int, what: str) -> bytes:
        """Bytes `start` to `start + count`, which belong to `what`."""
        start, count = int(start), int(count)
        if start < 0 or count < 0 or start + count > self.size:
            raise FormatError(
                f"{what} should be at bytes {start} to {start + count} of a file of {self.size} bytes",
                DAMAGED,
            )
        self._handle.seek(start)
        data = self._handle.read(count)
        if len(data) != count:
            raise FormatError(f"{what} cannot be read in full", DAMAGED)
        return data

    def close(self) -> None:
        """Let go of the file."""
        self._handle.close()

    def __enter__(self) -> Bytes:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


@contextmanager
def atomic(path: PathLike) -> Iterator[Path]:
    """A temporary name in the directory of `path`, renamed to `path` when the block succeeds.

    Whatever goes wrong inside, nothing is left behind and an older file at `path` stays whole.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    if path.is_dir():
        raise PixlabError(f"{path} is a directory", "name a file in it")
    if not path.parent.is_dir():
        raise PixlabError(f"the directory {path.parent} does not exist", "make it first")
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise PixlabError(
            f"{path} cannot be written: {error.strerror or error}",
            "check permissions and free space",
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


# -- errors -----------------------------------------------------------------------------------
class NotHere(FormatError):
    """A file of the right container without anything for this format: another one may try."""


@contextmanager
def boundary(path: Path, kind: str = "") -> Iterator[None]:
    """Make every failure inside one `PixlabError` that names the file.

    Foreign libraries raise nearly anything on damaged files, panics of compiled decoders (which
    are no `Exception`) included.
    """
    try:
        yield
    except PixlabError as error:
        where = "" if str(path) in error.cause else f"{path}: "
        # who reads a file cannot pass what Digis.from_arrays offers
        hint = DAMAGED if "duplicates=" in error.hint else error.hint or DAMAGED
        raise type(error)(_printable(f"{where}{error.cause}"), _printable(hint)) from error
    except (KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except ImportError as error:
        raise PixlabError(
            f"{path} cannot be read here: {error}", "install what is missing"
        ) from error
    except BaseException as error:
        text = next((line for line in str(error).splitlines() if line.strip()), "")[:120]
        # uproot's many lines begin with one that says nothing
        text = f": {text}" if text not in ("", "while reading") else ""
        what = f"{path} cannot be read{kind and f' as {kind}'} ({type(error).__name__}{text})"
        raise FormatError(_printable(what), DAMAGED) from error


def _printable(text: str) -> str:
    """Text without what names in a damaged file may do to a terminal."""
    return "".join(c if c.isprintable() else "?" for c in text)


# -- ranges of events -------------------------------------------------------------------------
def event_range(events: Any) -> slice:
    """`events` of `read` as a slice: None, a slice or (start, stop).

    Raises
    ------
    PixlabError
        If it is none of these.
    """
    if events is None:
        return slice(None)
    if isinstance(events, (tuple, list)) and len(events) == 2:
        events = slice(*events)
    if isinstance(events, slice):
        parts = (events.start, events.stop, events.step)
        if all(p is None or isinstance(p, (int, np.integer)) for p in parts) and events.step != 0:
            return slice(*(None if p is None else int(p) for p in parts))
    raise PixlabError(
        f"events={events!r} is no range of events", "pass a slice or (start, stop), or leave it out"
    )


def read_range(reader: Any, wanted: slice) -> Digis:
    """The events of a slice from a `Reader`, without counting them where that is not needed."""
    start, stop, step = wanted.start or 0, wanted.stop, wanted.step or 1
    if step < 0 or start < 0 or (stop is not None and stop < 0):
        chosen = range(*wanted.indices(reader.count))
        if not chosen:
            return reader.read(0, 0)
        first = min(chosen)
        return reader.read(first, max(chosen) + 1)[np.array(chosen) - first]
    digis = reader.read(start, max(start, maxsize if stop is None else stop))
    return digis if step == 1 else digis[::step]


def clip(start: int, stop: int, count: int) -> tuple[int, int]:
    """The part of a range that a file of `count` events has."""
    start = min(start, count)
    return start, max(min(stop, count), start)


# -- detectors --------------------------------------------------------------------------------
def find_detector(
    detector: str | Detector | None, ids: NDArray[Any], events: NDArray[Any]
) -> Detector:
    """The given detector, or the first of `DETECTORS`, that has all of these ids.

    Parameters
    ----------
    detector : str, Detector or None
        None: look for one.
    ids, events : int array[n]
        Module ids, and the event that each comes from.

    Raises
    ------
    UnknownModuleError
        Naming the first id that the (first) detector does not have, and its event.
    """
    known = list(DETECTORS.values()) if detector is None else [get_detector(detector)]
    distinct = np.unique(ids)
    for one in known:
        if np.isin(distinct, one.detid).all():
            return one
    i = int(np.argmin(np.isin(ids, known[0].detid)))
    others = ", nor has any other that pixlab knows" if detector is None else ""
    raise UnknownModuleError(
        f"event {int(events[i])}: detector '{known[0].name}' has no module with id {int(ids[i])}{others}",
        "pass detector=, a name in DETECTORS or your own made with Detector.from_table",
    )
