"""Finished rows of a sweep that is under way, so that one that was killed goes on where it stopped."""

from __future__ import annotations

import fcntl
import json
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from hashlib import blake2b
from pathlib import Path
from shutil import rmtree
from typing import Any

from pixlab.errors import PixlabError
from pixlab.io.files import atomic

__all__ = ["Journal"]

_BYTES = "bytes in base64"


class Journal:
    """A folder beside the table to be, with one file a finished task.

    Parameters
    ----------
    out : path
        The table; the folder is ``.NAME.rows`` beside it.
    events : str
        Fingerprint of the events and how they are split; results of others are not taken.
    """

    def __init__(self, out: Path, events: str) -> None:
        self.folder = out.with_name(f".{out.name}.rows")
        self._events = events

    @contextmanager
    def open(self) -> Iterator[None]:
        """Keep others away meanwhile.

        Raises
        ------
        PixlabError
            If the folder cannot be made, or somebody else is at work in it.
        """
        try:
            self.folder.mkdir(exist_ok=True)
            lock = (self.folder / "lock").open("w")
        except OSError as error:
            raise PixlabError(f"cannot write {self.folder}: {error.strerror}") from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise PixlabError(
                    f"another sweep is at work on the same table ({self.folder})",
                    "wait for it, or write another table",
                ) from error
            yield

    def key(self, task: dict[str, Any]) -> str:
        """A name for the result of a task with this code on these events."""
        text = json.dumps([_code(), self._events, task], sort_keys=True)
        return blake2b(text.encode(), digest_size=16).hexdigest()

    def path(self, task: dict[str, Any]) -> Path:
        """Where the result of a task is or goes."""
        return self.folder / f"{self.key(task)}.json"

    def get(self, task: dict[str, Any]) -> dict[str, Any] | None:
        """The result, if it is there and whole."""
        return read_result(self.path(task))

    def clear(self) -> None:
        """The table is written: nothing of this is needed any more."""
        rmtree(self.folder, ignore_errors=True)


def write_result(result: dict[str, Any], path: Path) -> None:
    """One JSON file, under a temporary name first."""

    def plain(value: Any) -> Any:
        return {_BYTES: b64encode(value).decode()} if isinstance(value, bytes) else value.item()

    with atomic(path) as temporary:
        temporary.write_text(json.dumps(result, default=plain))


def read_result(path: Path) -> dict[str, Any] | None:
    """What `write_result` wrote; None where nothing or only a part of it is."""
    try:
        found = json.loads(path.read_text())
        if not isinstance(found, dict):
            return None
        return {
            k: b64decode(v[_BYTES]) if isinstance(v, dict) and _BYTES in v else v
            for k, v in found.items()
        }
    except (OSError, ValueError):
        return None


@cache
def _code() -> str:
    """A hash of pixlab's source: results of another version are not mixed with this one's."""
    digest = blake2b(digest_size=16)
    root = Path(__file__).parents[1]
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
