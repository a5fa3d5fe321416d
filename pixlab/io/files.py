"""What all formats share: one kind of error, ranges of events, atomic writing."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from sys import maxsize
from typing import Any

import numpy as np

from pixlab.digis import Digis
from pixlab.errors import FormatError, PixlabError
from pixlab.io.places import PathLike, Place

__all__ = ["DAMAGED", "NotHere", "atomic", "boundary", "clip", "event_range", "read_range"]

DAMAGED = "the file is damaged or incomplete: compare its size with the original and fetch it again"
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


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
    """A file of the right container without anything for this format: another one may try.

    Parameters
    ----------
    cause, hint : str
        As of every error; ``cause`` is a beginning such as "holds no pixel digis".
    describe : callable, optional
        Says what the file holds instead, asked only if no other format knows the file.
    """

    def __init__(
        self, cause: str, hint: str = "", describe: Callable[[], str] | None = None
    ) -> None:
        super().__init__(cause, hint)
        self.describe = describe


@contextmanager
def boundary(
    place: Place, kind: str = "", *, opened: Any = None, events: tuple[int, int] | None = None
) -> Iterator[None]:
    """Make every failure inside one `PixlabError` that names the file.

    Foreign libraries raise nearly anything on damaged files, panics of compiled decoders (which
    are no `Exception`) included. A connection that broke (``opened.failure``) is named instead of
    what a library made of it. Where nothing names an event of a damaged file, `events` do: those asked for.
    """
    try:
        yield
    except (KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:
        found = _as_pixlab_error(error, place, kind, getattr(opened, "failure", None))
        where = "" if str(place) in found.cause else f"{place}: "
        cause = found.cause
        if events is not None and isinstance(found, FormatError) and "event" not in cause:
            start, stop = events
            cause += f" (events {start} to {stop - 1})" if stop < 1 << 60 else f" (events from {start} on)"  # fmt: skip
        hint = _HINTS.get(found.hint, found.hint) or DAMAGED
        raise type(found)(_printable(f"{where}{cause}"), _printable(hint)) from error


# what `Digis.from_arrays` tells those who call it, for those who read a file
_HINTS = {
    'pass duplicates="sum" to add the counts': (
        'pass duplicates="sum" (--duplicates sum) to add the counts, or make the file again'
    )
}


def _as_pixlab_error(
    error: BaseException, place: Place, kind: str, failure: PixlabError | None
) -> PixlabError:
    if failure is not None and not (isinstance(error, PixlabError) and failure.cause in str(error)):
        return failure
    if isinstance(error, PixlabError):
        return error
    if isinstance(error, ImportError):
        return PixlabError(f"{place} cannot be read here: {error}", "install what is missing")
    if isinstance(error, OSError) and error.errno in _NO_ROOM:  # numba keeps what it compiles
        return PixlabError(
            f"{place} cannot be read here: there is no room for compiled code ({error.strerror})",
            "free space, or set NUMBA_CACHE_DIR to a directory that has some",
        )
    text = next((line for line in str(error).splitlines() if line.strip()), "")[:120]
    # uproot's many lines begin with one that says nothing
    text = f": {text}" if text not in ("", "while reading") else ""
    kind = kind and f" as {kind}"
    return FormatError(f"{place} cannot be read{kind} ({type(error).__name__}{text})", DAMAGED)


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


def clip(start: int, stop: int, count: int) -> tuple[int, int]:
    """The part of a range that a file of `count` events has."""
    start = min(start, count)
    return start, max(min(stop, count), start)


def read_range(file: Any, wanted: slice) -> Digis:
    """The events of a slice from what has ``read`` and ``count``, counted only where that is needed."""
    start, stop, step = wanted.start or 0, wanted.stop, wanted.step or 1
    if step < 0 or start < 0 or (stop is not None and stop < 0):
        chosen = range(*wanted.indices(file.count))
        if not chosen:
            return file.read(0, 0)
        first = min(chosen)
        return file.read(first, max(chosen) + 1)[np.array(chosen) - first]
    digis = file.read(start, max(start, maxsize if stop is None else stop))
    return digis if step == 1 else digis[::step]
