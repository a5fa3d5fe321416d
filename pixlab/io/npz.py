"""NumPy archives: what `write` makes, and plain ones with event, detid, row, col, adc.

pixlab's own archive has the plain columns (sorted, ``event`` counting from 0) and besides
``offsets`` (int64[events + 1], first digi of each event), ``detector`` (JSON text) and, where
known, ``flag``, ``run``, ``lumi`` and ``event_number``: `numpy.load` reads it as it is.
"""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixlab.detectors import Detector
from pixlab.digis import EVENT_ID, Digis
from pixlab.errors import FormatError, PixlabError
from pixlab.io.files import DAMAGED, Bytes, clip
from pixlab.io.rows import COLUMNS, RowsReader, build, check_integers, match_columns

__all__ = ["detector_of", "load_arrays", "open_npz", "sniff", "write"]

_NUMBERS = {"run": "run", "lumi": "lumi", "event": "event_number"}  # EVENT_ID field -> member
_DEFLATE = 1040  # no deflated member unpacks to more times its size


def sniff(head: bytes) -> bool:
    """Whether a file that begins so is a NumPy archive: a ZIP whose first member is an array."""
    if not head.startswith(b"PK\x03\x04") or len(head) < 30:
        return False
    return head[30 : 30 + int.from_bytes(head[26:28], "little")].endswith(b".npy")


def open_npz(
    path: Path, *, branch: str | None = None, detector: str | Detector | None = None
) -> RowsReader | OwnReader:
    """Open an archive: its arrays are read at once, they have no parts."""
    if branch is not None:
        raise PixlabError(f"{path}: an archive of arrays has no branches", "leave branch= out")
    arrays = load_arrays(path)
    if "offsets" in arrays:
        return OwnReader(arrays, detector)
    found = match_columns(list(arrays), "the archive")
    columns = {name: arrays[real] for name, real in found.items()}
    rows = columns["event"].size
    for name, values in columns.items():
        check_integers(name, values.dtype)
        if values.shape != (rows,):
            raise FormatError(f"column '{name}' has shape {values.shape}, ({rows},) is needed")
    n_events = arrays.get("n_events")
    if n_events is not None and (n_events.shape != () or n_events.dtype.kind not in "iu"):
        raise FormatError("'n_events' is not one whole number", "write it as an integer")
    return RowsReader(
        rows,
        lambda name, start, stop: columns[name][start:stop],
        set(columns),
        n_events=None if n_events is None else int(n_events),
        detector=detector,
    )


class OwnReader:
    """Events of an archive that `write` made."""

    def __init__(self, arrays: dict[str, NDArray[Any]], detector: str | Detector | None) -> None:
        missing = {*COLUMNS[1:], "detector"} - set(arrays)
        if missing:
            raise FormatError(f"the archive has no array {' or '.join(sorted(missing))}", DAMAGED)
        for name in (*COLUMNS[1:], "offsets", "flag"):
            if name in arrays:
                check_integers(name, arrays[name].dtype)
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
        self._detector = detector if detector is not None else detector_of(arrays["detector"])

    def _numbers(self) -> NDArray[Any]:
        ids = np.zeros(self.count, EVENT_ID)
        for field, name in _NUMBERS.items():
            values = self._arrays.get(name, np.zeros(0))
            if values.shape != (self.count,) or values.dtype.kind != "u":
                raise FormatError(f"the array '{name}' is damaged or missing", DAMAGED)
            ids[field] = values
        return ids

    def read(self, start: int, stop: int) -> Digis:
        """The digis of events `start` to `stop` (or to the last one)."""
        start, stop = clip(start, stop, self.count)
        part = slice(self._offsets[start], self._offsets[stop])
        flag = self._arrays.get("flag")
        return build(
            np.diff(self._offsets[start : stop + 1]),
            {name: self._arrays[name][part] for name in COLUMNS[1:]},
            None if flag is None else flag[part],
            None if self._event_id is None else self._event_id[start:stop],
            self._detector,
            start,
        )

    def close(self) -> None:
        """Let go of the arrays."""
        self._arrays = {}


def detector_of(array: NDArray[Any]) -> Detector:
    try:
        return Detector.from_json(json.loads(str(array)))
    except ValueError as error:
        raise FormatError("the detector's description is damaged", DAMAGED) from error


def load_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """All arrays of whole numbers or text; their sizes are checked before they are unpacked."""
    with Bytes(path) as file:  # which refuses missing and empty files, and directories
        size = file.size
    arrays: dict[str, NDArray[Any]] = {}
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            name = info.filename.removesuffix(".npy")
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise FormatError(f"the array '{name}' is not packed as NumPy does it", DAMAGED)
            if info.compress_size > size or info.file_size > (info.compress_size + 1) * _DEFLATE:
                raise FormatError(f"the array '{name}' cannot be {info.file_size} bytes", DAMAGED)
            if info.filename.endswith(".npy"):
                arrays[name] = _array(archive.read(info), name)
    return arrays


def _array(data: bytes, name: str) -> NDArray[Any]:
    stream = io.BytesIO(data)
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    else:
        shape, fortran, dtype = np.lib.format.read_array_header_2_0(stream)
    if dtype.hasobject:
        raise FormatError(
            f"the array '{name}' holds Python objects, which could run code when read",
            "save it as whole numbers",
        )
    content = data[stream.tell() :]
    n = 1
    for side in shape:
        n *= side
    if (fortran and len(shape) > 1) or n * dtype.itemsize != len(content) or dtype.itemsize == 0:
        raise FormatError(
            f"the array '{name}' has shape {shape}, but {len(content)} bytes", DAMAGED
        )
    return np.frombuffer(content, dtype).reshape(shape)


def write(digis: Digis, path: Path) -> None:
    """Write digis as a compressed archive; events without digis, event numbers, flags and a
    detector of one's own all come back.
    """
    arrays: dict[str, Any] = {
        "event": digis.event.astype(np.int32 if len(digis) < 1 << 31 else np.int64),
        **{name: getattr(digis, name) for name in COLUMNS[1:]},
        "offsets": digis.offsets,
        "detector": np.array(json.dumps(digis.detector.to_json())),
    }
    if digis.flag is not None:
        arrays["flag"] = digis.flag
    if digis.event_id is not None:
        arrays |= {name: digis.event_id[field] for field, name in _NUMBERS.items()}
    with path.open("wb") as handle:
        np.savez_compressed(handle, **arrays)
