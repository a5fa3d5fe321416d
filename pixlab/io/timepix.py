"""Frames of the Timepix in text, one file a frame.

- sparse: lines ``x y count`` of the pixels that counted;
- full: the whole matrix, one line a row, counts of 0 being no digis.

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

from pixlab.detectors import get_detector
from pixlab.detectors.chips import TIMEPIX_ID
from pixlab.errors import FormatError, PixlabError
from pixlab.io.events import Columns, EventReader, How, no_branch
from pixlab.io.files import boundary
from pixlab.io.places import Place
from pixlab.io.source import Bytes

__all__ = ["TimepixReader", "is_frames", "sniff"]

_LINE = re.compile(rb"\d+[ \t]+\d+[ \t]+\d+[ \t]*\r?(?:\n|$)")
_MATRIX = re.compile(rb"(?:\d+[ \t]+){64}")  # the beginning of a line with at least so many numbers
_MAX = 16 << 20  # bytes of a frame: 256 x 256 lines are less than 2 MB
_SUFFIX = ".txt"


def sniff(head: bytes) -> bool:
    """Whether a file that begins so is a frame: its first line is three whole numbers, or many."""
    return (_LINE.match(head) or _MATRIX.match(head)) is not None


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


class TimepixReader(EventReader):
    """Events of a frame (an open one, or an empty file) or of a directory of frames."""

    def __init__(self, given: Bytes | Path, how: How) -> None:
        super().__init__(how, get_detector("timepix"))
        no_branch(how, f"{given}: a frame")
        self._files: list[Bytes | Path] = [given]
        if isinstance(given, Path) and given.is_dir():
            self._files[:] = sorted(
                p for p in given.iterdir() if p.suffix == _SUFFIX and p.is_file()
            )
        self.count = len(self._files)

    def columns(self, start: int, stop: int) -> Columns:
        """The frames `start` to `stop`."""
        frames = []
        for number, file in enumerate(self._files[start:stop], start):
            place: Place = file if isinstance(file, Path) else file.place
            with boundary(place):
                frames.append(self._frame(file, number))
        counts = np.array([f.shape[1] for f in frames], np.int64)
        column, row, count = np.concatenate(frames or [np.zeros((3, 0), np.int64)], axis=1)
        return Columns(counts, np.full(len(row), TIMEPIX_ID), row, column, count)

    def _frame(self, file: Bytes | Path, number: int) -> NDArray[np.int64]:
        """The three columns of a frame."""
        if isinstance(file, Bytes):
            numbers = _numbers(_content(file))
        elif file.stat().st_size:
            with Bytes(file) as opened:
                numbers = _numbers(_content(opened))
        else:
            numbers = np.zeros((3, 0), np.int64)
        # each file is checked alone, so that an error names it
        self._check(numbers, number)
        return numbers

    def _check(self, numbers: NDArray[np.int64], number: int) -> None:
        detector = self.detector
        assert detector is not None  # it was chosen at the beginning
        column, row, count = numbers
        if not len(row):
            return
        for name, values, limit in (
            ("row", row, int(detector.rows[0])),
            ("col", column, int(detector.cols[0])),
            ("adc", count, detector.adc_max + 1),
        ):
            if values.max() >= limit:
                raise PixlabError(
                    f"event {number}: {name} {values.max()} is outside 0 to {limit - 1}",
                    "pass detector=, the one that the frames were taken with",
                )
        pixels = np.sort(row << 20 | column)
        twice = np.flatnonzero(pixels[1:] == pixels[:-1])
        if len(twice) and self.how.duplicates == "error":
            at = int(pixels[twice[0]])
            raise PixlabError(
                f"event {number}: pixel row {at >> 20}, col {at & 0xFFFFF} of module {TIMEPIX_ID} "
                "occurs twice",
                'pass duplicates="sum" to add the counts',
            )


def _content(file: Bytes) -> bytes:
    if file.size > _MAX:
        raise FormatError(f"its {file.size} bytes are too many for one frame")
    return file.take(0, file.size, "the frame")


def _numbers(data: bytes) -> NDArray[np.int64]:
    """Column, row and count of the pixels that counted."""
    lines = data.splitlines()
    width = len(lines[0].split()) if _MATRIX.match(data) else 3
    for i, line in enumerate(lines):
        cells = line.split()
        if len(cells) != width or not all(c.isdigit() and len(c) < 10 for c in cells):
            wanted = "'x y count'" if width == 3 else f"{width} whole numbers"
            raise FormatError(
                f"line {i + 1} is {line[:40].decode('latin-1')!r}, not {wanted}",
                "remove or repair the line, or fetch the file again",
            )
    numbers = np.array(data.split(), np.int64)
    if width == 3:
        return numbers.reshape(-1, 3).T
    matrix = numbers.reshape(len(lines), width)
    row, column = np.nonzero(matrix)
    return np.stack([column, row, matrix[row, column]])
