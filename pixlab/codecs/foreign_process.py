"""Libraries that must not share pixlab's process: their decoders crash, hang or fill memory on
damaged bytes, or they bring a compiler and signal handlers along.

::

    ask("sz3", "unpack", arrays) ──pipe──► foreign_child.py (one library, limited memory)
                                 ◄──────── arrays, or what went wrong

A process stays for the next request. One that died is replaced, and the request that it died of is
put once more to the new one; one that took too long is ended.
"""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixlab.codecs.foreign_child import receive, send
from pixlab.errors import PixlabError

__all__ = ["ForeignFailure", "Usage", "add_usage", "ask", "foreign_pids", "usage"]

Array = NDArray[Any]
_START = 120.0  # seconds until a library has loaded, on a busy machine
_PATIENCE = 60.0  # seconds an answer may take, and
_PACE = 20_000.0  # bytes of the request a second beyond that


class ForeignFailure(PixlabError):
    """The library refused, died or took too long."""


class _Crash(ForeignFailure):
    """It died."""


@dataclass
class Usage:
    """What the processes of libraries have used so far: CPU seconds of answers, most memory."""

    cpu: float = 0.0
    memory: int = 0


class _Process:
    def __init__(self, library: str) -> None:
        child = Path(__file__).with_name("foreign_child.py")
        # -P: the folder of the script holds modules of pixlab, which are not for it
        command = [sys.executable, "-P", "-W", "ignore", str(child), library]
        self.library = library
        self.pid = os.getpid()
        self._popen = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},  # its buffers count as memory
        )
        said, _ = self._timed(_START, lambda: receive(self._out))
        if said["error"]:
            self.close()
            raise ForeignFailure(f"{library} cannot be loaded: {said['error']}")

    @property
    def _out(self) -> Any:
        return self._popen.stdout

    def ask(self, verb: str, arrays: list[Array], **how: Any) -> tuple[dict[str, Any], list[Array]]:
        """One request and its answer."""

        def talk() -> tuple[dict[str, Any], list[Array]]:
            send(self._popen.stdin, {"verb": verb} | how, arrays)  # type: ignore[arg-type]
            return receive(self._out)

        size = sum(a.nbytes for a in arrays)
        return self._timed(_PATIENCE + size / _PACE, talk)

    def _timed(self, seconds: float, talk: Any) -> Any:
        """Talk, and end the process if that does not end by itself."""
        timer = threading.Timer(seconds, self._popen.kill)
        timer.daemon = True
        timer.start()
        try:
            return talk()
        except (EOFError, OSError, ValueError) as error:
            late = timer.finished.is_set()
            self.close()
            if late:
                raise ForeignFailure(f"{self.library} took longer than {seconds:.3g} s") from error
            raise _Crash(f"{self.library} crashed") from error
        except BaseException:  # an interrupt in the middle of a message
            self.close()
            raise
        finally:
            timer.cancel()

    def close(self) -> None:
        """End the process."""
        self._popen.kill()
        for pipe in (self._popen.stdin, self._popen.stdout):
            if pipe is not None:
                with suppress(OSError):  # what was not sent is not needed any more
                    pipe.close()
        self._popen.wait()


_lock = threading.Lock()
_idle: list[_Process] = []
_used = Usage()


def usage() -> Usage:
    """The sums so far, of all libraries."""
    with _lock:
        return Usage(_used.cpu, _used.memory)


def add_usage(cpu: float) -> None:
    """Count CPU seconds of a program that a codec has run on its own."""
    with _lock:
        _used.cpu += cpu


def foreign_pids() -> list[int]:
    """Ids of the processes that wait for requests."""
    with _lock:
        return [one._popen.pid for one in _idle if one.pid == os.getpid()]


def ask(library: str, verb: str, arrays: list[Array], **how: Any) -> list[Array]:
    """What `library` answers; every thread that asks has a process to itself.

    Raises
    ------
    ForeignFailure
        If it refuses, crashes or takes too long.
    """
    columns = [np.ascontiguousarray(a) for a in arrays]
    process = _waiting(library)
    if process is not None:
        try:
            head, result = process.ask(verb, columns, **how)
        except _Crash:  # a damaged file that it read before may have upset it: ask a new one
            process = None
    if process is None:
        process = _start(library)
        head, result = process.ask(verb, columns, **how)
    with _lock:
        _idle.append(process)
        _used.cpu += head["cpu"]
        _used.memory = max(_used.memory, head["memory"])
    if head["error"]:
        raise ForeignFailure(f"{library} says: {head['error']}")
    return result


def _waiting(library: str) -> _Process | None:
    """A process of this library that waits for requests, taken from the others."""
    with _lock:
        for i, one in enumerate(_idle):
            if one.library == library and one.pid == os.getpid():  # not one of a forked parent
                return _idle.pop(i)
    return None


@cache
def _close_at_exit() -> None:
    atexit.register(_close_all)


def _start(library: str) -> _Process:
    _close_at_exit()
    return _Process(library)


def _close_all() -> None:
    with _lock:
        for process in _idle:
            if process.pid == os.getpid():
                process.close()
        _idle.clear()
