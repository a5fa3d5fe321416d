"""`FORMATS`: every file format that pixlab reads or writes, and what each must offer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

from pixlab.digis import Digis
from pixlab.io import (
    cells,
    csvrows,
    digitree,
    edm,
    fei4,
    hdf5,
    npz,
    parquet,
    pxl,
    rntuple,
    timepix,
)

__all__ = ["FORMATS", "Format", "Reader"]


class Reader(Protocol):
    """An open file of events: `pixlab.io.events.EventReader`, or what does the same.

    It is made with ``(source, how)`` and never holds more than the events asked for and one block
    of the file, which its caller opened and closes.
    """

    found: bool
    others: tuple[str, ...]

    @property
    def count(self) -> int:
        """Number of events in the file."""

    def read(self, start: int, stop: int) -> Digis:
        """Events `start` to `stop`, fewer where the file ends before."""


class Format(NamedTuple):
    """One line of `FORMATS`.

    ``sniff(head)`` says whether a file that begins with these bytes (at least 512, or all) may be
    of this format; ``reader(source, how)`` opens it, raising `NotHere` where another format of the
    same container should try; ``write(groups, path)`` writes groups of events, at least one, or is
    None; ``suffixes`` are those that `write` knows it by; ``unread(path)``, if any, says whether a
    path without content to look at (a directory, an empty file) is of this format, whose reader
    then takes the path.
    """

    what: str
    suffixes: tuple[str, ...]
    sniff: Callable[[bytes], bool]
    reader: Callable[..., Reader]
    write: Callable[[Iterator[Digis], Path], None] | None
    unread: Callable[[Path], bool] | None = None


# a new format is one module and one line here; of two that share a container the first goes first
FORMATS: dict[str, Format] = {
    "edm": Format("CMS EDM file", (), edm.sniff, edm.EdmReader, None),
    "rntuple": Format(
        "ROOT file with an RNTuple",
        (".rntuple.root",),
        rntuple.sniff,
        rntuple.open_ntuple,
        rntuple.write,
    ),
    "digitree": Format(
        "ROOT file with a flat tree", (".root",), digitree.sniff, digitree.open_tree, digitree.write
    ),
    "parquet": Format(
        "Parquet file", (".parquet", ".pq"), parquet.sniff, parquet.open_parquet, parquet.write
    ),
    "npz": Format("NumPy archive", (".npz",), npz.sniff, npz.open_npz, npz.write),
    "pxl": Format(
        "pixlab's own format",
        (".pxl",),
        pxl.sniff,
        pxl.PxlReader,
        pxl.write,
    ),
    "csv": Format("CSV table", (".csv",), csvrows.sniff, csvrows.open_csv, csvrows.write),
    "csv.gz": Format(
        "packed CSV table", (".csv.gz",), csvrows.sniff_gzip, csvrows.open_csv, csvrows.write_gzip
    ),
    "fei4": Format("FE-I4 table of pyBAR", (), fei4.sniff, fei4.Fei4Reader, None),
    "hdf5": Format("HDF5 file", (".h5", ".hdf5"), hdf5.sniff, hdf5.open_hdf5, hdf5.write),
    "trackml": Format(
        "table of TrackML's cells", (), cells.sniff_trackml, cells.open_trackml, None
    ),
    "acts": Format("table of cells of ACTS", (), cells.sniff_acts, cells.open_acts, None),
    "timepix": Format(
        "Timepix frame", (), timepix.sniff, timepix.TimepixReader, None, timepix.is_frames
    ),
}
