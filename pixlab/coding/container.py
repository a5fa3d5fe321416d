"""The .pxl container: a ZIP archive that any tool can list.

``model.safetensors`` (deflated: it is written once and read once) or, where the model stays outside,
``model.json`` with its hash; ``chunks/000000.bin`` … (stored), each of which decodes without its
neighbours; ``header.json`` (stored). ZIP's own CRC-32 guards every member. Dates are fixed, so that
equal content gives equal bytes.
"""

from __future__ import annotations

import json
import mmap
import os
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Self

from pixlab.errors import FormatError, PixlabError

__all__ = ["VERSION", "Container", "ModelReference", "may_be_container", "write_container"]

VERSION = 1  # of the format: raised when an old reader could not read a new file
_HEADER, _MODEL, _REFERENCE = "header.json", "model.safetensors", "model.json"
_MAX_HEADER, _MAX_MODEL = 1 << 26, 1 << 28  # bytes
_DATE = (1980, 1, 1, 0, 0, 0)
_AGAIN = "get the file again, or make it again from its source"
# a local file header (PKWARE APPNOTE 4.3.7): signature, version, flags, method, time, date, CRC-32,
# sizes, lengths of the name and of what follows it
_LOCAL = struct.Struct("<4sHHHHHIIIHH")
_SIGNATURE = b"PK\x03\x04"


class ModelReference(NamedTuple):
    """A model that is not in the file: SHA-256 of its own file, in hex, and the name that it had."""

    sha256: str
    name: str


def _chunk_name(number: int) -> str:
    return f"chunks/{number:06d}.bin"


def may_be_container(head: bytes) -> bool:
    """Whether a file that begins like this may be one: its first member is the model."""
    first = head[_LOCAL.size : _LOCAL.size + len(_MODEL)]
    return head[:4] == _SIGNATURE and first.startswith((_MODEL.encode(), _REFERENCE.encode()))


def write_container(
    path: Path, header: dict[str, Any], model: bytes | ModelReference, chunks: Iterable[bytes]
) -> None:
    """Write the archive to `path`, which the caller renames when it is complete.

    The header goes last, so that it may be filled in while `chunks` runs.
    """
    with zipfile.ZipFile(path, "w") as archive:
        if isinstance(model, bytes):
            info = zipfile.ZipInfo(_MODEL, _DATE)
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, model, compresslevel=9)
        else:
            archive.writestr(zipfile.ZipInfo(_REFERENCE, _DATE), json.dumps(model._asdict()))
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
    salvage : bool
        Do without a table of contents and a header where they are damaged: members are then found
        by the headers that stand before each of them, and ``header`` may be empty.

    Raises
    ------
    FormatError
        If it is no .pxl file, is damaged, or is of a newer version.
    """

    def __init__(self, path: Any, file: BinaryIO | None = None, *, salvage: bool = False) -> None:
        self.path = path
        try:
            self._file = Path(path).open("rb") if file is None else file  # noqa: SIM115
        except OSError as error:
            raise PixlabError(f"cannot read {path}: {error.strerror}", "check the path") from error
        self._archive: zipfile.ZipFile | None = None
        self._found: dict[str, tuple[int, int, int]] = {}
        try:
            self._size = self._file.seek(0, os.SEEK_END)
            try:
                with self._guard("its table of contents"):
                    self._archive = zipfile.ZipFile(self._file)
            except FormatError:
                if not salvage:
                    raise
                self._found = self._search()
            try:
                self.header = self._read_header()
            except FormatError as error:
                if not salvage or error.hint != _AGAIN:  # a newer version stays unread
                    raise
                self.header = {}
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        if self._archive:
            self._archive.close()
        self._file.close()

    @contextmanager
    def _guard(self, what: str) -> Iterator[None]:
        try:
            yield
        except FormatError:
            raise
        except (
            zipfile.BadZipFile, zlib.error, struct.error, EOFError, KeyError, IndexError, ValueError,
            NotImplementedError, RuntimeError, OverflowError, OSError, MemoryError,
        ) as error:  # fmt: skip
            raise FormatError(f"{self.path}: {what} is missing or damaged", _AGAIN) from error

    # -- members ----------------------------------------------------------------------------
    @property
    def names(self) -> list[str]:
        """Names of the members."""
        return self._archive.namelist() if self._archive else list(self._found)

    def _member(self, name: str, most: int) -> bytes:
        with self._guard(name):
            if self._archive is None:
                return self._found_member(name, most)
            info = self._archive.getinfo(name)
            if info.compress_type == zipfile.ZIP_STORED and info.file_size != info.compress_size:
                raise FormatError(f"{self.path}: the sizes of {name} contradict each other", _AGAIN)
            with self._archive.open(info) as member:
                data = member.read(most + 1)
            if len(data) > most or len(data) != info.file_size:
                raise FormatError(f"{self.path}: {name} is larger than it may be", _AGAIN)
            return data

    def _search(self) -> dict[str, tuple[int, int, int]]:
        """Members by the headers before them: name -> (place of the data, bytes, method)."""
        found: dict[str, tuple[int, int, int]] = {}
        if not self._size:
            return found
        with mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            at = data.find(_SIGNATURE)
            while 0 <= at <= len(data) - _LOCAL.size:
                head = _LOCAL.unpack_from(data, at)
                method, packed, name_size, extra = head[3], head[7], head[9], head[10]
                begin = at + _LOCAL.size + name_size + extra
                name = data[at + _LOCAL.size : at + _LOCAL.size + name_size]
                known = name in (n.encode() for n in (_HEADER, _MODEL, _REFERENCE)) or (
                    name.startswith(b"chunks/") and name.endswith(b".bin")
                )
                if known and begin + packed <= len(data):
                    found.setdefault(name.decode(), (begin, packed, method))
                    at = data.find(_SIGNATURE, begin + packed)
                else:
                    at = data.find(_SIGNATURE, at + 4)
        return found

    def _found_member(self, name: str, most: int) -> bytes:
        begin, packed, method = self._found[name]
        if packed > most:
            raise FormatError(f"{self.path}: {name} is larger than it may be", _AGAIN)
        self._file.seek(begin)
        data = self._file.read(packed)
        if method == zipfile.ZIP_DEFLATED:
            inflate = zlib.decompressobj(-zlib.MAX_WBITS)
            data = inflate.decompress(data, most)
            if not inflate.eof:
                raise FormatError(f"{self.path}: {name} is damaged", _AGAIN)
        return data

    def _read_header(self) -> dict[str, Any]:
        text = self._member(_HEADER, _MAX_HEADER)
        with self._guard(_HEADER):
            header = json.loads(text)
        if not isinstance(header, dict) or header.get("format") != "pixlab":
            raise FormatError(f"{self.path} is no .pxl file", _AGAIN)
        version = header.get("version")
        if not isinstance(version, int) or version < 1:
            raise FormatError(f"{self.path}: its header names no version", _AGAIN)
        if version > VERSION:
            raise FormatError(
                f"{self.path} is of format version {version}, this pixlab reads up to {VERSION}",
                "update pixlab",
            )
        return header

    # -- what is in it ----------------------------------------------------------------------
    @property
    def reference(self) -> ModelReference | None:
        """Which model is needed, where it is not in the file."""
        if _REFERENCE not in self.names:
            return None
        text = self._member(_REFERENCE, _MAX_HEADER)
        with self._guard(_REFERENCE):
            about = json.loads(text)
            found = ModelReference(about["sha256"], about["name"])
            if not all(isinstance(v, str) for v in found):
                raise ValueError
        return found

    @property
    def model(self) -> bytes:
        """The safetensors file of the model."""
        return self._member(_MODEL, _MAX_MODEL)

    @property
    def model_bytes(self) -> int:
        """What the model, or the reference to it, takes in the file."""
        with self._guard(_MODEL):
            assert self._archive is not None  # only salvage does without one
            name = _MODEL if _MODEL in self.names else _REFERENCE
            return self._archive.getinfo(name).compress_size

    @property
    def n_chunks(self) -> int:
        """Number of chunks that are there, or one more than the last of them."""
        numbers = [name[len("chunks/") : -len(".bin")] for name in self.names if "/" in name]
        return max((int(n) for n in numbers if n.isdecimal()), default=-1) + 1

    def chunk(self, number: int) -> bytes:
        """The bytes of one chunk."""
        return self._member(_chunk_name(number), self._size)
