"""Frames of the Timepix in text: lines ``x y count`` of the pixels that counted, one file a frame.

A file is an event, and so is each ``.txt`` file of a directory, in the order of their names:
``read("frames/")``, ``iterate("run*/")`` or ``iterate("frames/*.txt")``. An empty file is a frame
in which no pixel counted; among frames it is known as one, alone only with ``format="timepix"``.
``x`` is the column and ``y`` the row, both from 0.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pixlab.detectors import Detector
from pixlab.detectors.chips import TIMEPIX_ID
from pixlab.digis import Digis
from pixlab.errors import FormatError, PixlabError
from pixlab.io.files import Bytes, boundary, clip
from pixlab.io.rows import build

__all__ = ["TimepixReader", "is_frames", "sniff"]

_LINE = re.compile(rb"\d+[ \t]+\d+[ \t]+\d+[ \t]*\r?(?:\n|$)")
_MAX = 16 << 20  # bytes of a frame: 256 x 256 lines are less than 2 MB
_SUFFIX = ".txt"


def sniff(head: bytes) -> bool:
    """Whether a file that begins so is a frame: its first line is three whole numbers."""
    return _LINE.match(head) is not None


def is_frames(path: Path) -> bool:
    """Whether a directory, or the one that an empty file is in, has a frame."""
    if path.is_dir():
        return any(_is_frame(p) for p in path.iterdir())
    return path.suffix == _SUFFIX and any(_is_frame(p) for p in path.parent.iterdir())


def _is_frame(path: Path) -> bool:
    if path.suffix != _SUFFIX or not path.is_file():
        return False
    with path.open("rb") as file:
        return sniff(file.read(512))


class TimepixReader:
    """Events of a frame or of a directory of frames."""

    def __init__(
        self, path: Path, *, branch: str | None = None, detector: str | Detector | None = None
    ) -> None:
        if branch is not None:
            raise PixlabError(f"{path}: frames have no branches", "leave branch= out")
        self._files = [path]
        if path.is_dir():
            self._files = sorted(p for p in path.iterdir() if p.suffix == _SUFFIX and p.is_file())
        self.count = len(self._files)
        self._detector = "timepix" if detector is None else detector

    def read(self, start: int, stop: int) -> Digis:
        """The digis of frames `start` to `stop` (or to the last one)."""
        start, stop = clip(start, stop, self.count)
        parts = []
        for i, path in enumerate(self._files[start:stop], start):
            with boundary(path):
                parts.append(self._frame(path, i))
        return Digis.concatenate(parts) if parts else Digis.empty(self._detector)

    def _frame(self, path: Path, number: int) -> Digis:
        data = b""
        if path.stat().st_size:
            with Bytes(path) as file:
                if file.size > _MAX:
                    raise FormatError(f"its {file.size} bytes are too many for one frame")
                data = file.take(0, file.size, "the frame")
        column, row, count = _numbers(data)
        values = {"detid": np.full(len(row), TIMEPIX_ID), "row": row, "col": column, "adc": count}
        try:
            return build(np.array([len(row)]), values, None, None, self._detector)
        except PixlabError as error:  # which names event 0, the only one that it knows
            cause = error.cause.replace("event 0", f"event {number}", 1)
            raise type(error)(cause, error.hint) from error

    def close(self) -> None:
        """Nothing is open."""


def _numbers(data: bytes) -> NDArray[np.int64]:
    """The three columns of a frame."""
    lines = data.splitlines()
    for i, line in enumerate(lines):
        cells = line.split()
        if len(cells) != 3 or not all(c.isdigit() and len(c) < 10 for c in cells):
            raise FormatError(
                f"line {i + 1} is {line[:40].decode('latin-1')!r}, not 'x y count'",
                "remove or repair the line, or fetch the file again",
            )
    return np.array(data.split(), np.int64).reshape(-1, 3).T
