"""Where files are: paths, URLs, patterns and lists of them."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from glob import glob, has_magic
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from pixlab.errors import PixlabError

__all__ = ["PathLike", "Place", "Url", "as_place", "expand"]

PathLike = str | os.PathLike[str]
_URL = re.compile(r"[a-z][a-z0-9+.-]*:.*//", re.IGNORECASE)  # also chains: simplecache::https://


@dataclass(frozen=True)
class Url:
    """A file that fsspec opens, such as ``https://host/file.root`` or ``root://host//file.root``."""

    text: str

    def __str__(self) -> str:
        return self.text

    @property
    def _parts(self) -> tuple[str, str, str]:
        """All before the name, the name, and the query behind it."""
        path, mark, query = self.text.partition("?")
        before, slash, name = path.rpartition("/")
        return before + slash, name, mark + query

    @property
    def name(self) -> str:
        """The file's name, without a query."""
        return self._parts[1]

    def with_name(self, name: str) -> Url:
        """Another file in the same directory."""
        before, _, query = self._parts
        return Url(before + name + query)


Place = Path | Url


def as_place(given: PathLike) -> Place:
    """The path or URL that a string or a path object names."""
    text = os.fspath(given)
    if not _URL.match(text) or os.path.exists(text):
        return Path(text)
    if text.startswith("file://"):
        return Path(url2pathname(urlsplit(text).path))
    return Url(text)


def expand(paths: PathLike | Sequence[PathLike]) -> list[Place]:
    """The files that a path, a URL, a pattern such as ``"run3/*.root"`` or a list of these names.

    Raises
    ------
    PixlabError
        If a pattern matches nothing, or there is no path at all.
    """
    given = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
    found: list[Place] = []
    for one in given:
        place = as_place(one)
        if isinstance(place, Url):
            # a '?' begins a query
            found += _matching(place) if "*" in place.text.partition("?")[0] else [place]
        elif has_magic(str(place)) and not place.exists():
            found += [Path(match) for match in _some(str(place), glob(str(place), recursive=True))]
        else:
            found.append(place)
    if not found:
        raise PixlabError("no file was given", "pass a path, a URL, a pattern or a list of these")
    return found


def _matching(pattern: Url) -> list[Place]:
    """The URLs that a pattern matches, where the server lists its files."""
    from pixlab.io.remote import filesystem

    fs, path = filesystem(pattern.text)
    try:
        matches: list[Any] = fs.glob(path)
    except Exception as error:
        raise PixlabError(
            f"the files that '{pattern}' matches cannot be listed ({error})",
            "name the files one by one",
        ) from error
    return [Url(fs.unstrip_protocol(match)) for match in _some(pattern.text, matches)]


def _some(pattern: str, matches: list[str]) -> list[str]:
    if not matches:
        raise PixlabError(f"no file matches '{pattern}'", "check the pattern and the directory")
    return sorted(matches)
