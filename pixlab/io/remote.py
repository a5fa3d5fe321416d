"""Files behind URLs, read in parts: whatever fsspec opens (http, https, root with xrootd, s3 …).

A file is fetched in blocks, several at once where they are known beforehand, and the last ones are
kept. A server that cannot send parts is asked for the whole file, into a temporary one.
"""

from __future__ import annotations

import io
import tempfile
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any, BinaryIO, TypeVar, cast

from pixlab.errors import PixlabError

__all__ = ["Remote", "filesystem", "open_remote"]

_BLOCK = 1 << 17  # bytes
_KEPT = 256  # blocks
_TRIES, _PAUSE = 3, 0.5  # before a failure is one; seconds, longer each time
_PATIENT = ("root:", "roots:", "xroot:")  # protocols whose clients try again by themselves
_SILENCE = 60  # seconds without a byte are a failure
_FINAL = (IsADirectoryError, PermissionError, ImportError, NotImplementedError)
_AGAIN = "check the connection and try again"
# what the packages behind fsspec's protocols are called here
_EXTRAS = dict.fromkeys(("root", "roots", "xroot"), "pip install 'pixlab[xrootd]'")

T = TypeVar("T")


def filesystem(url: str) -> tuple[Any, str]:
    """The file system of fsspec for a URL, and the path in it.

    Raises
    ------
    PixlabError
        If there is none, or its package is not installed.
    """
    import fsspec

    protocol = url.partition(":")[0].lower()
    options: dict[str, Any] = {}
    if protocol in ("http", "https"):
        import aiohttp

        silence = aiohttp.ClientTimeout(total=None, sock_connect=_SILENCE, sock_read=_SILENCE)
        options["client_kwargs"] = {"timeout": silence}
    elif protocol in _EXTRAS:
        # a listing is not kept, or files made after it would not be there
        options |= {"timeout": _SILENCE, "use_listings_cache": False}
    try:
        fs, path = fsspec.core.url_to_fs(url, **options)
    except ImportError as error:
        raise PixlabError(
            f"{url} cannot be read here: {error}", _EXTRAS.get(protocol, "install what is missing")
        ) from error
    except Exception as error:
        raise PixlabError(f"{url} is no URL that can be read ({error})", "check it") from error
    return fs, path


def open_remote(url: str) -> BinaryIO:
    """The file at a URL, open for reading.

    Raises
    ------
    PixlabError
        If it is not there or the connection fails.
    """
    fs, path = filesystem(url)
    tries = 1 if url.startswith(_PATIENT) else _TRIES
    about = _attempt(lambda: fs.info(path), f"{url} cannot be opened", tries)
    if about.get("type") == "directory":
        raise PixlabError(f"{url} is a directory", f"name a file, or a pattern: {url}/*")
    size = about.get("size")
    if size is None or (url.startswith("http") and not _in_parts(fs, path, size, about)):
        whole = tempfile.NamedTemporaryFile(prefix="pixlab-")  # noqa: SIM115  (the caller closes it)
        _attempt(lambda: fs.get_file(path, whole.name), f"{url} cannot be fetched", tries)
        return cast(BinaryIO, whole)
    return cast(BinaryIO, io.BufferedReader(Remote(url, fs, path, int(size), tries), 1 << 13))


def _in_parts(fs: Any, path: str, size: int, about: dict[str, Any]) -> bool:
    """Whether the server sends a part of a file when it is asked for one."""
    if about.get("partial") is False:
        return False
    if size < 2:
        return True
    with fs.open(path, "rb", block_size=_BLOCK) as file:
        file.seek(size - 1)
        try:
            what = f"the end of {path} cannot be read"
            return len(_attempt(lambda: file.read(1), what, _TRIES)) == 1
        except PixlabError as error:
            if isinstance(error.__cause__, ValueError):  # so says fsspec
                return False
            raise


def _attempt(task: Callable[[], T], what: str, tries: int) -> T:
    """Do it, again where it fails."""
    for left in reversed(range(tries)):
        try:
            return task()
        except Exception as error:
            # some say it in words only
            missing = isinstance(error, FileNotFoundError) or "no such file" in str(error).lower()
            if missing or isinstance(error, _FINAL):
                reason = "it does not exist" if missing else _reason(error)
                raise PixlabError(f"{what}: {reason}", "check the URL") from error
            if not left or isinstance(error, ValueError):
                raise PixlabError(f"{what}: {_reason(error)}", _AGAIN) from error
            time.sleep(_PAUSE * (tries - left))
    raise AssertionError("not reached")


def _reason(error: Exception) -> str:
    """An error in a few words."""
    text = next((line for line in str(error).splitlines() if line.strip()), "")[:120]
    return f"{type(error).__name__}{text and f' ({text})'}"


class Remote(io.RawIOBase):
    """The bytes of a file behind a URL.

    Parameters
    ----------
    url : str
        For errors.
    fs, path
        fsspec's file system, and the file in it.
    size : int
        Bytes of the file.
    tries : int
        How often a part is asked for before a failure is one.
    """

    def __init__(self, url: str, fs: Any, path: str, size: int, tries: int = _TRIES) -> None:
        self._url, self._fs, self._path, self.size, self._tries = url, fs, path, size, tries
        self._at = 0
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self.failure: PixlabError | None = None  # who reads through a library finds it here

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """The place that is read next."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Choose the place that is read next."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}[whence]
        if base + offset < 0:
            raise ValueError("a place before the beginning of the file")
        self._at = base + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer, as far as the file goes."""
        view = memoryview(buffer).cast("B")
        data = self.part(self._at, min(self._at + len(view), self.size))
        view[: len(data)] = data
        self._at += len(data)
        return len(data)

    def part(self, start: int, stop: int) -> bytes:
        """Bytes `start` to `stop`."""
        if stop <= start:
            return b""
        blocks = range(start // _BLOCK, (stop - 1) // _BLOCK + 1)
        found = self._fetch(blocks)
        data = b"".join(found[i] for i in blocks)
        first = blocks[0] * _BLOCK
        return data[start - first : stop - first]

    def want(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Fetch ranges (start, stop) at once, as many as are kept; nothing if the first is here."""
        blocks: dict[int, None] = {}
        for start, stop in ranges:
            more = range(max(start, 0) // _BLOCK, (min(stop, self.size) - 1) // _BLOCK + 1)
            if not blocks and all(i in self._blocks for i in more):
                return
            if len(blocks) + len(more) > _KEPT // 2:
                break
            blocks |= dict.fromkeys(more)
        self._fetch(blocks)

    def _fetch(self, blocks: Iterable[int]) -> dict[int, bytes]:
        """The content of blocks, from what is kept or from the server."""
        found: dict[int, bytes] = {}
        missing: list[int] = []
        for i in blocks:
            if i in self._blocks:
                self._blocks.move_to_end(i)
                found[i] = self._blocks[i]
            else:
                missing.append(i)
        if missing:
            new = self._from_server(sorted(missing))
            found |= new
            self._blocks.update(new)
            while len(self._blocks) > _KEPT:
                self._blocks.popitem(last=False)
        return found

    def _from_server(self, blocks: list[int]) -> dict[int, bytes]:
        runs: list[list[int]] = []  # consecutive blocks are one request
        for i in blocks:
            if runs and runs[-1][1] == i:
                runs[-1][1] = i + 1
            else:
                runs.append([i, i + 1])
        starts = [first * _BLOCK for first, _ in runs]
        stops = [min(end * _BLOCK, self.size) for _, end in runs]

        def ask() -> list[bytes]:
            paths = [self._path] * len(runs)
            parts = self._fs.cat_ranges(paths, starts, stops, on_error="raise")
            for part, start, stop in zip(parts, starts, stops, strict=True):
                if isinstance(part, BaseException):
                    raise part
                if len(part) != stop - start:
                    raise OSError(f"{len(part)} bytes came where {stop - start} were asked for")
            return cast(list[bytes], parts)

        try:
            what = f"{self._url}: bytes {starts[0]} to {stops[0]} of {self.size} did not arrive"
            parts = _attempt(ask, what, self._tries)
        except PixlabError as error:
            self.failure = error
            raise
        found = {}
        for (first, end), part in zip(runs, parts, strict=True):
            for i in range(first, end):
                at = (i - first) * _BLOCK
                found[i] = bytes(part[at : at + _BLOCK])
        return found
