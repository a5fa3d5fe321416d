"""The .pxl container: a ZIP archive that any tool can list.

``header.json`` (stored), ``model.safetensors`` (deflated: it is written once and read once), and
``chunks/000000.bin`` … (stored), each of which decodes without its neighbours. ZIP's own CRC-32
guards every member. Dates are fixed, so that equal content gives equal bytes.
"""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from struct import error as StructError
from typing import Any, BinaryIO, Self

from pixlab.errors import FormatError, PixlabError

__all__ = ["VERSION", "Container", "write_container"]

VERSION = 1  # of the format: raised when an old reader could not read a new file
_HEADER, _MODEL = "header.json", "model.safetensors"
_MAX_HEADER, _MAX_MODEL = 1 << 26, 1 << 28  # bytes
_DATE = (1980, 1, 1, 0, 0, 0)


def _chunk_name(number: int) -> str:
    return f"chunks/{number:06d}.bin"


def write_container(
    path: Path, header: dict[str, Any], model: bytes, chunks: Iterable[bytes]
) -> None:
    """Write the archive to `path`, which the caller renames when it is complete.

    The header goes last, so that it may be filled in while `chunks` runs.
    """
    with zipfile.ZipFile(path, "w") as archive:
        info = zipfile.ZipInfo(_MODEL, _DATE)
        info.compress_type = zipfile.ZIP_DEFLATED
        archive.writestr(info, model, compresslevel=9)
        for number, chunk in enumerate(chunks):
            archive.writestr(zipfile.ZipInfo(_chunk_name(number), _DATE), chunk)
        text = json.dumps({"format": "pixlab", "version": VERSION} | header, sort_keys=True)
        archive.writestr(zipfile.ZipInfo(_HEADER, _DATE), text)


class Container:
    """An open .pxl file: its header, its model and its chunks, each checked when it is read.

    Parameters
    ----------
    path : path
        Where it is, or what it is called in errors if `file` is given.
    file : binary file object, optional
        The file, already open; whoever opened it closes it.

    Raises
    ------
    FormatError
        If it is no .pxl file, is damaged, or is of a newer version.
    """

    def __init__(self, path: Any, file: BinaryIO | None = None) -> None:
        self.path = path
        try:
            self._file = Path(path).open("rb") if file is None else file  # noqa: SIM115
        except OSError as error:
            raise PixlabError(f"cannot read {path}: {error.strerror}", "check the path") from error
        try:
            self._size = self._file.seek(0, os.SEEK_END)
            with self._guard("its table of contents"):
                self._archive = zipfile.ZipFile(self._file)
            self.header = self._read_header()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._archive.close()
        self._file.close()

    @contextmanager
    def _guard(self, what: str) -> Iterator[None]:
        try:
            yield
        except FormatError:
            raise
        except (
            zipfile.BadZipFile, zlib.error, StructError, EOFError, KeyError, IndexError, ValueError,
            NotImplementedError, RuntimeError, OverflowError, OSError, MemoryError,
        ) as error:  # fmt: skip
            raise FormatError(
                f"{self.path}: {what} is missing or damaged",
                "get the file again, or make it again from its source",
            ) from error

    def _member(self, name: str, most: int) -> bytes:
        with self._guard(name):
            info = self._archive.getinfo(name)
            if info.compress_type == zipfile.ZIP_STORED and info.file_size != info.compress_size:
                raise FormatError(f"{self.path}: the sizes of {name} contradict each other")
            with self._archive.open(info) as member:
                data = member.read(most + 1)
            if len(data) > most or len(data) != info.file_size:
                raise FormatError(f"{self.path}: {name} is larger than it may be")
            return data

    def _read_header(self) -> dict[str, Any]:
        text = self._member(_HEADER, _MAX_HEADER)
        with self._guard(_HEADER):
            header = json.loads(text)
        if not isinstance(header, dict) or header.get("format") != "pixlab":
            raise FormatError(f"{self.path} is no .pxl file")
        version = header.get("version")
        if not isinstance(version, int) or version < 1:
            raise FormatError(f"{self.path}: its header names no version")
        if version > VERSION:
            raise FormatError(
                f"{self.path} is of format version {version}, this pixlab reads up to {VERSION}",
                "update pixlab",
            )
        return header

    @property
    def model(self) -> bytes:
        """The safetensors file of the model."""
        return self._member(_MODEL, _MAX_MODEL)

    @property
    def model_bytes(self) -> int:
        """What the model takes in the file."""
        with self._guard(_MODEL):
            return self._archive.getinfo(_MODEL).compress_size

    def chunk(self, number: int) -> bytes:
        """The bytes of one chunk."""
        return self._member(_chunk_name(number), self._size)
