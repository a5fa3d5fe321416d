"""Tables as text: comma-separated numbers under one line of names, plain or gzip, in blocks.

Nothing is guessed: a column is asked for as whole numbers or as numbers, and the first line that
has something else in it is named. Memory depends on `_BLOCK`, not on the file.
"""

from __future__ import annotations

import gzip
import zlib
from contextlib import suppress
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from pixlab.errors import FormatError
from pixlab.io.files import DAMAGED
from pixlab.io.names import whole
from pixlab.io.source import Bytes

__all__ = ["GZIP", "TextTable", "beginning", "header"]

GZIP = b"\x1f\x8b\x08"
_BLOCK = 8 << 20  # bytes parsed in one go
_LINE = 64 << 20  # bytes of the longest line


def beginning(head: bytes) -> str:
    """The text that a file begins with, unpacked where it is gzip; one character a byte."""
    if head.startswith(GZIP):
        try:
            head = zlib.decompressobj(31).decompress(head, 4096)
        except zlib.error:
            return ""
    return head.decode("latin-1")


def header(head: bytes) -> list[str]:
    """The names in the first line that is no comment, of a file that begins so."""
    for line in beginning(head).splitlines():
        if not line.startswith("#"):
            return _names(line)
    return []


def _names(line: str) -> list[str]:
    return [name.strip().strip('"') for name in line.removeprefix("\xef\xbb\xbf").split(",")]


class TextTable:
    """A table of numbers in text.

    Parameters
    ----------
    source : Bytes
        The file.

    Raises
    ------
    PixlabError
        If the file has no line of names.
    """

    def __init__(self, source: Bytes) -> None:
        packed = source.take(0, min(3, source.size), "the beginning") == GZIP
        source.file.seek(0)
        self._file: IO[bytes] = source.file
        if packed:
            self._file = cast(IO[bytes], gzip.GzipFile(fileobj=source.file, mode="rb"))
        self.comments: list[str] = []
        line = self._line()
        while line.startswith("#"):
            self.comments.append(line)
            line = self._line()
        if not line.strip():
            raise FormatError("it has no line with the names of its columns", DAMAGED)
        self.names = _names(line)
        self._index()
        self._cached: tuple[int, frozenset[str], Any] | None = None
        self._range: tuple[tuple[int, int, frozenset[str]], dict[str, NDArray[Any]]] | None = None

    def _line(self) -> str:
        line = self._file.readline(_LINE)
        if len(line) == _LINE:
            raise FormatError(f"a line of it is longer than {_LINE} bytes", DAMAGED)
        return line.decode("latin-1")

    def _index(self) -> None:
        """Where blocks of whole lines begin, in bytes and in rows."""
        offset = self._file.tell()
        self._offsets, self._starts = [offset], [0]
        rest = b""  # of a line that the next read goes on with: seeking back costs in gzip files
        while True:
            data = self._file.read(_BLOCK)
            whole = rest + data
            end = whole.rfind(b"\n") + 1 if data else len(whole)
            if len(whole) - end > _LINE:
                raise FormatError(f"a line of it is longer than {_LINE} bytes", DAMAGED)
            if end:
                offset += end
                self._offsets.append(offset)
                rows = whole.count(b"\n", 0, end) + (whole[end - 1 : end] != b"\n")
                self._starts.append(self._starts[-1] + rows)
            rest = whole[end:]
            if not data:
                break
        self.rows = self._starts[-1]
        self.ends_in_newline = not end

    def column(self, name: str, kinds: dict[str, str], start: int, stop: int) -> NDArray[Any]:
        """Rows `start` to `stop` of a column; `kinds` says what all wanted columns hold.

        ``kinds`` is {name: "int64", "uint64", "float64" or "bool"}, the same in all calls, since a block
        is parsed once for all of them.
        """
        asked = (start, stop, frozenset(kinds))
        if self._range is None or self._range[0] != asked:  # columns are asked for one by one
            self._range = None
            parts = [{n: np.zeros(0, kind) for n, kind in kinds.items()}]
            block = int(np.searchsorted(self._starts, start, side="right")) - 1
            while start < stop:
                first, end = self._starts[block], self._starts[block + 1]
                last = min(stop, end)
                if start < last:
                    part = slice(start - first, last - first)
                    parts.append({n: v[part] for n, v in self._parse(block, kinds).items()})
                    start = last
                block += 1
            joined = {n: np.concatenate([p[n] for p in parts[1:] or parts]) for n in kinds}
            self._range = (asked, joined)
        return self._range[1][name]

    def _parse(self, block: int, kinds: dict[str, str]) -> dict[str, NDArray[Any]]:
        """The columns of a block; the last one is kept, since events share it."""
        wanted = frozenset(kinds)
        if self._cached is not None and self._cached[:2] == (block, wanted):
            return self._cached[2]
        self._cached = None
        first, size = self._offsets[block], self._offsets[block + 1] - self._offsets[block]
        self._file.seek(first)
        data = self._file.read(size)
        columns = self._columns(data, block, kinds)
        self._cached = (block, wanted, columns)
        return columns

    def _columns(self, data: bytes, block: int, kinds: dict[str, str]) -> dict[str, NDArray[Any]]:
        import pyarrow as pa
        from pyarrow import csv

        # columns are known by their place: names may occur twice
        place = {f"c{i}": name for i, name in enumerate(self.names)}
        known = {name: column for column, name in reversed(place.items()) if name in kinds}
        try:
            table = csv.read_csv(
                pa.BufferReader(data),
                read_options=csv.ReadOptions(
                    use_threads=False, column_names=list(place), block_size=len(data) + 1
                ),
                parse_options=csv.ParseOptions(quote_char=False, ignore_empty_lines=False),
                convert_options=csv.ConvertOptions(
                    include_columns=list(known.values()),
                    column_types={known[n]: pa.from_numpy_dtype(kind) for n, kind in kinds.items()},
                    null_values=[],
                    check_utf8=False,
                ),
            )
        except pa.ArrowInvalid as error:
            floats = {n: "float64" if kind == "int64" else kind for n, kind in kinds.items()}
            if floats != kinds:  # whole numbers may be written as 17.0
                with suppress(FormatError):
                    columns = self._columns(data, block, floats)
                    return {
                        n: whole(n, v) if kinds[n] == "int64" else v for n, v in columns.items()
                    }
            self._explain(data, block, kinds)
            raise FormatError(f"it cannot be parsed: {str(error).splitlines()[0][:120]}") from error
        if table.num_rows != self._starts[block + 1] - self._starts[block]:
            raise FormatError("it has line breaks inside rows", DAMAGED)
        return {name: table.column(known[name]).to_numpy() for name in kinds}

    def _explain(self, data: bytes, block: int, kinds: dict[str, str]) -> None:
        """Raise an error that names the first line that is not as it should be."""
        line = self._starts[block] + len(self.comments) + 1
        for text in data.decode("latin-1").splitlines():
            line += 1
            cells = text.split(",")
            if len(cells) != len(self.names):
                raise FormatError(
                    f"line {line} has {len(cells)} values, there are {len(self.names)} columns",
                    "remove or repair the line, or fetch the file again",
                )
            for name, kind in kinds.items():
                cell = cells[self.names.index(name)].strip()
                if not _fits(cell, kind):
                    need = "a number" if kind == "float64" else "a whole number"
                    raise FormatError(
                        f"line {line}: column '{name}' holds {cell[:40]!r}, {need} is needed",
                        "write the column as numbers without quotes, point or exponent"
                        if need != "a number"
                        else "repair the line, or fetch the file again",
                    )


def _fits(cell: str, kind: str) -> bool:
    try:
        if kind == "bool":
            return cell.lower() in ("0", "1", "true", "false")
        if kind == "float64":
            return bool(np.isfinite(float(cell)))
        limits = np.iinfo(kind)
        if kind == "int64" and not cell.lstrip("+-").isdigit():
            return float(cell).is_integer() and abs(float(cell)) <= 2**53
        return cell.isascii() and limits.min <= int(cell) <= limits.max
    except ValueError:
        return False
