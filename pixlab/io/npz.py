"""NumPy archives: what `write` makes, and plain ones with event, detid, row, col, adc.

pixlab's own archive has the plain columns (sorted, ``event`` counting from 0) and besides
``offsets`` (int64[events + 1], first digi of each event), ``detector`` (JSON text) and, where
known, ``flag``, ``run``, ``lumi`` and ``event_number``: `numpy.load` reads it as it is.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import zipfile
from collections.abc import Iterable
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from pixlab.detectors import Detector
from pixlab.digis import EVENT_ID, Digis
from pixlab.errors import FormatError
from pixlab.io.events import Columns, EventReader, How, no_branch
from pixlab.io.files import DAMAGED
from pixlab.io.names import COLUMNS, check_type, match_columns
from pixlab.io.rows import RowsReader
from pixlab.io.source import Bytes

__all__ = ["detector_of", "load_arrays", "open_npz", "sniff", "write"]

_NUMBERS = {"run": "run", "lumi": "lumi", "event": "event_number"}  # EVENT_ID field -> member
_IN_MEMORY = 64 << 20  # bytes of the largest array that is unpacked into memory
_DEFLATE = 1040  # no deflated member unpacks to more times its size


def sniff(head: bytes) -> bool:
    """Whether a file that begins so is a NumPy archive: a ZIP whose first member is an array."""
    if not head.startswith(b"PK\x03\x04") or len(head) < 30:
        return False
    return head[30 : 30 + int.from_bytes(head[26:28], "little")].endswith(b".npy")


def open_npz(source: Bytes, how: How) -> RowsReader | OwnReader:
    """Open an archive: all arrays are unpacked at once, they have no parts."""
    no_branch(how, f"{source}: an archive of arrays")
    arrays = _load(source)
    if "offsets" in arrays:
        return OwnReader(arrays, how)
    found = match_columns(list(arrays), "the archive", how.detector)
    columns = {name: arrays[real] for name, real in found.items()}
    rows = columns["event"].size
    for name, values in columns.items():
        check_type(name, values.dtype)
        if values.shape != (rows,):
            raise FormatError(f"column '{name}' has shape {values.shape}, ({rows},) is needed")
    n_events = arrays.get("n_events")
    if n_events is not None and (n_events.shape != () or n_events.dtype.kind not in "iu"):
        raise FormatError("'n_events' is not one whole number", "write it as an integer")
    return RowsReader(
        rows,
        lambda name, start, stop: columns[name][start:stop],
        set(columns),
        how,
        n_events=None if n_events is None else int(n_events),
    )


class OwnReader(EventReader):
    """Events of an archive that `write` made."""

    def __init__(self, arrays: dict[str, NDArray[Any]], how: How) -> None:
        missing = {*COLUMNS[1:], "detector"} - set(arrays)
        if missing:
            raise FormatError(f"the archive has no array {' or '.join(sorted(missing))}", DAMAGED)
        for name in (*COLUMNS[1:], "offsets", "flag"):
            if name in arrays and arrays[name].dtype.kind not in "iub":
                raise FormatError(f"the array '{name}' holds {arrays[name].dtype}", DAMAGED)
        super().__init__(how, None if how.detector is not None else detector_of(arrays["detector"]))
        rows = len(arrays["detid"]) if arrays["detid"].ndim else -1
        for name in (*COLUMNS[1:], "flag"):
            if name in arrays and arrays[name].shape != (rows,):
                raise FormatError(f"array '{name}' has another length than 'detid'", DAMAGED)
        offsets = arrays["offsets"].astype(np.int64)
        if (
            offsets.ndim != 1
            or len(offsets) == 0
            or offsets[0] != 0
            or offsets[-1] != rows
            or (offsets[1:] < offsets[:-1]).any()
        ):
            raise FormatError("the array 'offsets' is damaged", DAMAGED)
        self.count = len(offsets) - 1
        self._arrays, self._offsets = arrays, offsets
        self._event_id = self._numbers() if "event_number" in arrays else None

    def _numbers(self) -> NDArray[Any]:
        ids = np.zeros(self.count, EVENT_ID)
        for field, name in _NUMBERS.items():
            values = self._arrays.get(name, np.zeros(0))
            if values.shape != (self.count,) or values.dtype.kind != "u":
                raise FormatError(f"the array '{name}' is damaged or missing", DAMAGED)
            ids[field] = values
        return ids

    def columns(self, start: int, stop: int) -> Columns:
        """The events `start` to `stop`."""
        part = slice(self._offsets[start], self._offsets[stop])
        flag = self._arrays.get("flag")
        return Columns(
            np.diff(self._offsets[start : stop + 1]),
            self._arrays["detid"][part],
            self._arrays["row"][part],
            self._arrays["col"][part],
            self._arrays["adc"][part],
            None if flag is None else flag[part],
            None if self._event_id is None else self._event_id[start:stop],
        )


def detector_of(array: NDArray[Any]) -> Detector:
    """The detector that an array of text describes."""
    try:
        return Detector.from_json(json.loads(str(array)))
    except ValueError as error:
        raise FormatError("the detector's description is damaged", DAMAGED) from error


def load_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """All arrays of an archive on disk."""
    with Bytes(path) as source:
        return _load(source)


def _load(source: Bytes) -> dict[str, NDArray[Any]]:
    """All arrays of whole numbers or text; their sizes are checked before they are unpacked."""
    arrays: dict[str, NDArray[Any]] = {}
    with zipfile.ZipFile(source.file) as archive:
        for info in archive.infolist():
            name = info.filename.removesuffix(".npy")
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise FormatError(f"the array '{name}' is not packed as NumPy does it", DAMAGED)
            large = info.file_size > (info.compress_size + 1) * _DEFLATE
            if large or info.compress_size > source.size:
                raise FormatError(f"the array '{name}' cannot be {info.file_size} bytes", DAMAGED)
            if info.filename.endswith(".npy"):
                with archive.open(info) as member:
                    arrays[name] = _array(member, info.file_size, name)
    return arrays


def _array(member: IO[bytes], size: int, name: str) -> NDArray[Any]:
    """An array; a large one goes through a temporary file, so that memory stays small."""
    version = np.lib.format.read_magic(member)
    if version == (1, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(member)
    else:
        shape, fortran, dtype = np.lib.format.read_array_header_2_0(member)
    if dtype.hasobject:
        raise FormatError(
            f"the array '{name}' holds Python objects, which could run code when read",
            "save it as whole numbers",
        )
    content = size - member.tell()
    n = 1
    for side in shape:
        n *= side
    if (fortran and len(shape) > 1) or n * dtype.itemsize != content or dtype.itemsize == 0:
        raise FormatError(f"the array '{name}' has shape {shape}, but {content} bytes", DAMAGED)
    if content <= _IN_MEMORY:
        return np.frombuffer(member.read(), dtype).reshape(shape)
    with tempfile.TemporaryFile() as unpacked:
        shutil.copyfileobj(member, unpacked, 1 << 20)
        unpacked.flush()
        return np.memmap(unpacked, dtype, "r", shape=shape)


def write(groups: Iterable[Digis], path: Path) -> None:
    """Write digis as a compressed archive; events without digis, event numbers, flags and a
    detector of one's own all come back.
    """
    parts = iter(groups)
    first = next(parts)
    columns: dict[str, tuple[np.dtype[Any], IO[bytes]]] = {}
    with ExitStack() as stack:

        def append(name: str, values: NDArray[Any]) -> None:
            if name not in columns:
                columns[name] = (values.dtype, stack.enter_context(tempfile.TemporaryFile()))
            columns[name][1].write(np.ascontiguousarray(values).data)

        events = digis = 0
        for group in chain([first], parts):
            append("event", group.event + events)
            for name in COLUMNS[1:]:
                append(name, getattr(group, name))
            append("offsets", group.offsets[(events > 0) :] + digis)
            if group.flag is not None:
                append("flag", group.flag)
            if group.event_id is not None:
                for field, name in _NUMBERS.items():
                    append(name, group.event_id[field])
            events, digis = events + len(group), digis + group.n_digis
        about = np.array(json.dumps(first.detector.to_json()))
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, (dtype, content) in columns.items():
                _save(archive, name, dtype, content)
            with archive.open(_member("detector"), "w") as member:
                np.lib.format.write_array(member, about, allow_pickle=False)


def _member(name: str) -> zipfile.ZipInfo:
    """A member of the archive; without a time, so that equal digis are equal files."""
    info = zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0))
    info.compress_type = zipfile.ZIP_DEFLATED
    return info


def _save(archive: zipfile.ZipFile, name: str, dtype: np.dtype[Any], content: IO[bytes]) -> None:
    """One column, as `numpy.savez_compressed` has it."""
    size = content.tell()
    content.seek(0)
    header = {"descr": dtype.str, "fortran_order": False, "shape": (size // dtype.itemsize,)}
    with archive.open(_member(name), "w", force_zip64=True) as member:
        np.lib.format.write_array_header_1_0(member, header)
        shutil.copyfileobj(content, member, 1 << 20)
