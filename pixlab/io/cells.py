"""Cells of TrackML and of ACTS: text tables (plain or gzip) of one event each.

- TrackML: ``event…-cells.csv`` with ``hit_id, ch0, ch1, value``; the module of each hit is in the
  file ``event…-hits.csv`` beside it, with ``hit_id, volume_id, layer_id, module_id``.
- ACTS: ``event…-cells.csv`` with ``geometry_id, channel0, channel1, value``.

Only cells of pixel modules are digis: those in the volumes of the detector (7, 8 and 9 of the
generic one). Cells in other volumes, which are strips, are left out; `pixlab.io.info` says how many
there are (``cells_left_out``). A count is `pixlab.detectors.generic.VALUE_PER_COUNT` of a cell's
value; the highest count stands for all above. A cell that several hits share is one digi with the
sum of their counts. The number in the name of the file is the event's number.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from pixlab.detectors import Detector, get_detector
from pixlab.detectors.acts import from_geometry_id, pack, unpack
from pixlab.detectors.generic import VALUE_PER_COUNT
from pixlab.digis import EVENT_ID
from pixlab.errors import FormatError, PixlabError
from pixlab.io.events import Columns, EventReader, How, no_branch
from pixlab.io.files import boundary
from pixlab.io.source import Bytes
from pixlab.io.text import TextTable, header

__all__ = ["CellsReader", "open_acts", "open_trackml", "sniff_acts", "sniff_trackml"]

_TRACKML = {"hit_id": "int64", "ch0": "int64", "ch1": "int64", "value": "float64"}
_HITS = {"hit_id": "int64", "volume_id": "int64", "layer_id": "int64", "module_id": "int64"}
_ACTS = {"geometry_id": "uint64", "channel0": "int64", "channel1": "int64", "value": "float64"}


def sniff_trackml(head: bytes) -> bool:
    """Whether a file that begins so is a table of TrackML's cells (or another, to be told so)."""
    return "hit_id" in header(head)


def sniff_acts(head: bytes) -> bool:
    """Whether a file that begins so is a table of cells of ACTS."""
    names = header(head)
    return "geometry_id" in names and bool({"channel0", "channel1"} & set(names))


class CellsReader(EventReader):
    """The one event of a file of cells.

    Parameters
    ----------
    source : Bytes
        The file.
    volume, detid : int array[n]
        Of each cell; ``detid`` only counts in the detector's volumes.
    row, col : int array[n]
        Channels.
    value : float array[n]
        What the cell measured.
    detector : Detector
        What the ids mean.
    """

    count = 1

    def __init__(
        self,
        source: Bytes,
        volume: NDArray[np.int64],
        detid: NDArray[np.int64],
        row: NDArray[np.int64],
        col: NDArray[np.int64],
        value: NDArray[np.float64],
        detector: Detector,
        how: How,
    ) -> None:
        super().__init__(how, detector)
        # a cell that several hits share is one digi
        self.how = how._replace(duplicates="sum")
        bad = ~(np.isfinite(value) & (value >= 0))
        if bad.any():
            i = int(np.argmax(bad))
            raise FormatError(
                f"cell {i} (row {row[i]}, col {col[i]}): its value is {value[i]}",
                "values are lengths, 0 or more",
            )
        keep = np.isin(volume, pixel_volumes(detector))
        self.left_out = int(len(keep) - keep.sum())
        if self.left_out and not keep.any():
            has = ", ".join(str(v) for v in np.unique(volume)[:12])
            raise PixlabError(
                f"{source}: no cell is in a volume of the detector '{detector.name}' (it has {has})",
                "pass detector=, the one that the file was made with",
            )
        adc = np.minimum(np.rint(value[keep] / VALUE_PER_COUNT), detector.adc_max).astype(np.int64)
        number = re.match(r"event(\d{1,18})\D", source.place.name)
        ids = None
        if number is not None:
            ids = np.zeros(1, EVENT_ID)
            ids["event"] = int(number[1])
        counts = np.array([len(adc)])
        self._columns = Columns(counts, detid[keep], row[keep], col[keep], adc, None, ids)

    def columns(self, start: int, stop: int) -> Columns:
        """The event, or none."""
        if start < stop:
            return self._columns
        none = np.zeros(0, np.int64)
        ids = self._columns.event_id
        return Columns(none, none, none, none, none, None, None if ids is None else ids[:0])


def pixel_volumes(detector: Detector) -> NDArray[np.int64]:
    """Numbers of the volumes of a detector whose ids are those of ACTS."""
    return np.unique(unpack(detector.detid).volume)


def _columns(source: Bytes, kinds: dict[str, str], hint: str) -> list[NDArray[np.generic]]:
    table = TextTable(source)
    missing = [name for name in kinds if name not in table.names]
    if missing:
        raise FormatError(
            f"{source} has no column {' or '.join(missing)} (it has {', '.join(table.names[:12])})",
            hint,
        )
    return [table.column(name, kinds, 0, table.rows) for name in kinds]


def open_trackml(source: Bytes, how: How) -> CellsReader:
    """Open cells of TrackML, and the hits beside them."""
    no_branch(how, f"{source}: a table of cells")
    hint = f"pass the file of cells, with the columns {', '.join(_TRACKML)}"
    hit, row, col, value = _columns(source, _TRACKML, hint)
    chosen = get_detector("trackml") if how.detector is None else how.detector
    with _hits_of(source) as beside, boundary(beside.place, opened=beside):
        hint = f"a file of hits needs the columns {', '.join(_HITS)}"
        hits, volume, layer, module = _columns(beside, _HITS, hint)
        order = np.argsort(hits, kind="stable")
        if (np.diff(hits[order]) == 0).any():
            twice = hits[order][int(np.argmin(np.diff(hits[order])))]
            raise FormatError(f"hit {twice} occurs twice", "fetch the file again")
        pixel = np.isin(volume, pixel_volumes(chosen))
        detid = np.zeros(len(hits), np.int64)
        detid[pixel] = pack(volume[pixel], layer[pixel], module[pixel])
    place = np.minimum(np.searchsorted(hits, hit, sorter=order), max(len(hits) - 1, 0))
    found = hits[order[place]] == hit if len(hits) else np.zeros(len(hit), bool)
    if not found.all():
        raise FormatError(
            f"{source} has a cell of hit {hit[~found][0]}, which {beside.place.name} does not have",
            "fetch both files of the event again",
        )
    of_cell = order[place] if len(hits) else place[:0]
    return CellsReader(source, volume[of_cell], detid[of_cell], row, col, value, chosen, how)  # type: ignore[arg-type]


def _hits_of(source: Bytes) -> Bytes:
    """The file of hits beside a file of cells."""
    name = source.place.name.replace("cells", "hits")
    plain = name.removesuffix(".gz")
    failure: PixlabError | None = None
    for other in dict.fromkeys((name, plain, f"{plain}.gz")):
        if other == source.place.name:
            continue
        try:
            return Bytes(source.place.with_name(other))
        except PixlabError as error:
            failure = failure or error
    raise PixlabError(
        f"{source} needs the file of hits of the same event, which says where its modules are"
        + (f" ({failure.cause})" if failure else ""),
        "put event…-hits.csv beside event…-cells.csv",
    )


def open_acts(source: Bytes, how: How) -> CellsReader:
    """Open cells of ACTS."""
    no_branch(how, f"{source}: a table of cells")
    hint = f"cells of ACTS need the columns {', '.join(_ACTS)}"
    geometry, row, col, value = _columns(source, _ACTS, hint)
    volume = (geometry.astype(np.uint64) >> np.uint64(56)).astype(np.int64)
    chosen = _acts_detector(volume) if how.detector is None else how.detector
    pixel = np.isin(volume, pixel_volumes(chosen))
    detid = np.zeros(len(geometry), np.int64)
    detid[pixel] = from_geometry_id(geometry[pixel])
    return CellsReader(source, volume, detid, row, col, value, chosen, how)  # type: ignore[arg-type]


def _acts_detector(volume: NDArray[np.int64]) -> Detector:
    """Which of the detectors of ACTS has these volumes.

    Volumes 16 to 18 are the pixels of the Open Data Detector and the long strips of the generic
    one, whose other volumes are 7 to 9 and 12 to 14, those of the former 23 to 25 and 28 to 30.
    """
    generic = bool(np.isin(volume, [7, 8, 9, 12, 13, 14]).any())
    odd = bool(np.isin(volume, [16, 17, 18, 23, 24, 25, 28, 29, 30]).any())
    return get_detector("odd" if odd and not generic else "acts-generic")
