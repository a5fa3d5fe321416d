"""`Bytes`: an open file, on disk or behind a URL, that never gives more than it holds."""

from __future__ import annotations

import io
import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

from pixlab.errors import FormatError, PixlabError
from pixlab.io.files import DAMAGED
from pixlab.io.places import Place, Url

__all__ = ["Bytes"]


class Bytes:
    """A file opened for reading.

    Parameters
    ----------
    place : Path or Url
        A non-empty file.

    Attributes
    ----------
    place : Path or Url
        As given.
    file : binary file object
        What libraries read from; it can seek.
    size : int
        Bytes in the file.
    container : object
        What a library made of it, shared by the formats that try it; closed with the file.

    Raises
    ------
    PixlabError
        If it is missing, a directory, empty or not readable.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        self.container: Any = None
        self._copy: Any = None  # a temporary file
        self.file = _open_local(place) if isinstance(place, Path) else _open_remote(place)
        self.size = self.file.seek(0, os.SEEK_END)
        self.file.seek(0)
        if self.size == 0:
            self.close()
            raise FormatError(f"{place} is empty", "fetch or make it again")

    def __str__(self) -> str:
        return str(self.place)

    @property
    def path(self) -> Path | None:
        """Where the file is on disk, if it is there."""
        return self.place if isinstance(self.place, Path) else None

    @property
    def failure(self) -> PixlabError | None:
        """What broke the connection to the server, if anything did."""
        raw = self.file.raw if isinstance(self.file, io.BufferedReader) else None
        return getattr(raw, "failure", None)

    def take(self, start: int, count: int, what: str) -> bytes:
        """Bytes `start` to `start + count`, which belong to `what`."""
        start, count = int(start), int(count)
        if start < 0 or count < 0 or start + count > self.size:
            raise FormatError(
                f"{what} should be at bytes {start} to {start + count} of a file of {self.size} bytes",
                DAMAGED,
            )
        self.file.seek(start)
        try:
            data = self.file.read(count)
        except PixlabError as error:
            raise PixlabError(f"{what} cannot be read: {error.cause}", error.hint) from error
        if len(data) != count:
            raise FormatError(f"{what} cannot be read in full", DAMAGED)
        return data

    def want(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Fetch ranges (start, stop) together, where that saves time: behind a URL."""
        want = getattr(getattr(self.file, "raw", None), "want", None)
        if want is not None:
            want(ranges)

    def on_disk(self) -> Path:
        """Where the file is, or a copy of it, for libraries that need a path."""
        if isinstance(self.place, Path):
            return self.place
        if self._copy is None:
            self._copy = tempfile.NamedTemporaryFile(prefix="pixlab-")  # noqa: SIM115
            self.file.seek(0)
            shutil.copyfileobj(self.file, self._copy, 1 << 20)
            self._copy.flush()
        return Path(self._copy.name)

    def close(self) -> None:
        """Let go of the file."""
        if self._copy is not None:
            self._copy.close()
        if self.container is not None:
            self.container.close()
        self.file.close()

    def __enter__(self) -> Bytes:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _open_local(path: Path) -> BinaryIO:
    if path.is_dir():
        raise PixlabError(f"{path} is a directory", f"name a file, or a pattern: {path / '*'}")
    if not path.exists():
        raise PixlabError(f"{path} does not exist", "check the path")
    try:
        return path.open("rb")
    except OSError as error:
        raise PixlabError(
            f"{path} cannot be read: {error.strerror}", "check its permissions"
        ) from error


def _open_remote(url: Url) -> BinaryIO:
    from pixlab.io.remote import open_remote

    return open_remote(url.text)
