"""Files of other detectors than CMS's: cells of TrackML and ACTS, frames of the Timepix."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pixlab.detectors.acts import from_geometry_id, pack
from pixlab.detectors.chips import TIMEPIX_ID
from pixlab.digis import Digis
from pixlab.errors import PixlabError
from pixlab.io import info, iterate, read
from tests.io_cases import DATA, is_clean

ACTS, TRACKML = DATA / "event000000000-cells.csv.gz", DATA / "event000000001-cells.csv.gz"
HITS, FRAMES = DATA / "event000000001-hits.csv.gz", DATA / "timepix"
EMPTY_CELLS = {TRACKML: "hit_id,ch0,ch1,value\n", ACTS: "geometry_id,channel0,channel1,value\n"}


def expected(cells: pd.DataFrame, detid: np.ndarray, row: str, col: str) -> list[list[int]]:
    """Digis of cells, summed where several are one pixel; a count is a micrometre."""
    table = pd.DataFrame(
        {"detid": detid, "row": cells[row].to_numpy(), "col": cells[col].to_numpy()}
    )
    table["adc"] = np.rint(cells["value"].to_numpy() / 0.001).clip(max=1023).astype(int)
    summed = table.groupby(["detid", "row", "col"], as_index=False).sum()
    summed["adc"] = summed["adc"].clip(upper=1023)
    return summed.to_numpy().tolist()


def columns(events: Digis) -> list[list[int]]:
    return events.to_pandas()[["detid", "row", "col", "adc"]].to_numpy().tolist()


def test_trackml() -> None:
    cells = pd.read_csv(TRACKML).merge(pd.read_csv(HITS), on="hit_id")
    pixel = cells[cells.volume_id.isin([7, 8, 9])]
    detid = pack(*(pixel[f"{n}_id"].to_numpy() for n in ("volume", "layer", "module")))
    events = read(TRACKML)
    assert columns(events) == expected(pixel, detid, "ch0", "ch1")
    assert (events.detector.name, len(events)) == ("trackml", 1)
    assert events.event_id is not None
    assert events.event_id["event"].tolist() == [1]
    found = info(TRACKML)
    assert (found["format"], found["cells_left_out"]) == ("trackml", len(cells) - len(pixel))
    assert found["cells_left_out"] > 500 < len(pixel)


def test_acts() -> None:
    cells = pd.read_csv(ACTS)
    pixel = cells[(cells.geometry_id.to_numpy() >> 56 >= 7) & (cells.geometry_id.to_numpy() >> 56 <= 9)]  # fmt: skip
    detid = from_geometry_id(pixel.geometry_id.to_numpy())
    events = read(ACTS)
    assert columns(events) == expected(pixel, detid, "channel0", "channel1")
    found = info(ACTS)
    assert (found["format"], found["detector"]) == ("acts", "acts-generic")
    assert found["cells_left_out"] == len(cells) - len(pixel)
    assert read(ACTS, events=(1, 3)).n_digis == 0


def test_events_of_cells_are_iterated(tmp_path: Path) -> None:
    for i in range(3):
        shutil.copy(ACTS, tmp_path / f"event00000000{i}-cells.csv.gz")
    blocks = list(iterate(str(tmp_path / "*-cells.csv.gz"), events=2))
    assert [len(b) for b in blocks] == [2, 1]
    assert blocks[1].event_id is not None
    assert blocks[1].event_id["event"].tolist() == [2]


def test_shared_cells_are_added_and_saturate(tmp_path: Path) -> None:
    path = tmp_path / "cells.csv"
    gid = (8 << 56) | (2 << 36) | (1 << 8)
    path.write_text(
        "geometry_id,measurement_id,channel0,channel1,timestamp,value\n"
        f"{gid},0,3,4,0,0.25\n{gid},1,3,4,0,0.0501\n{gid},2,5,5,0,7\n{gid},3,6,6,0,1.0004\n"
    )
    events = read(path)
    assert columns(events) == [
        [(8 << 24) | (2 << 16) | 1, *cell] for cell in ((3, 4, 300), (5, 5, 1023), (6, 6, 1000))
    ]
    assert events.event_id is None


def edited(path: Path, tmp_path: Path, change: Callable[[pd.DataFrame], object]) -> Path:
    """A copy of a table with a change, unpacked."""
    table = pd.read_csv(path)
    change(table)
    copy = tmp_path / path.name.removesuffix(".gz")
    table.to_csv(copy, index=False)
    return copy


def put(column: str, value: object) -> Callable[[pd.DataFrame], object]:
    def change(table: pd.DataFrame) -> None:
        table[column] = [value, *table[column][1:].tolist()]

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (put("value", -0.5), r"cell 0 \(row \d+, col \d+\): its value is -0\.5"),
        (put("value", "x"), "line 2: column 'value' holds 'x', a number is needed"),
        (put("value", "nan"), "its value is nan"),
        (put("channel0", 1.5), r"line 2: column 'channel0' holds '1\.5', a whole number"),
        (put("channel0", 336), "row 336 is outside 0 to 335"),
        (put("channel1", -1), "col -1 is outside 0 to 1439"),
        (put("geometry_id", (8 << 56) | (2 << 36)), "is not that of a module"),
        (put("geometry_id", (8 << 56) | (77 << 36) | (1 << 8)), "no module with id"),
        (lambda t: t.pop("value"), "has no column value"),
    ],
)
def test_bad_cells_of_acts(
    change: Callable[[pd.DataFrame], object], words: str, tmp_path: Path
) -> None:
    path = edited(ACTS, tmp_path, change)
    with pytest.raises(PixlabError, match=words) as caught:
        read(path)
    assert is_clean(caught.value, path)


def test_cells_of_another_detector(tmp_path: Path) -> None:
    path = edited(ACTS, tmp_path, put("value", 0.5))
    with pytest.raises(PixlabError, match="detector 'odd' has no module with id"):
        read(path, detector="odd")  # whose pixels are where the strips are here
    table = pd.read_csv(path)
    table[table.geometry_id.to_numpy() >> 56 == 13].to_csv(path, index=False)
    with pytest.raises(
        PixlabError, match=r"no cell is in a volume .*'odd' \(it has 13\)"
    ) as caught:
        read(path, detector="odd")
    assert is_clean(caught.value, path)


def test_trackml_needs_its_hits(tmp_path: Path) -> None:
    cells = Path(shutil.copy(TRACKML, tmp_path))
    with pytest.raises(PixlabError, match="needs the file of hits of the same event") as caught:
        read(cells)
    assert is_clean(caught.value, cells)
    hits = edited(HITS, tmp_path, put("hit_id", 0))
    with pytest.raises(PixlabError, match=rf"has a cell of hit \d+, which {hits.name} does not"):
        read(cells)
    edited(HITS, tmp_path, put("hit_id", pd.read_csv(HITS).hit_id[1]))
    with pytest.raises(PixlabError, match=rf"{hits.name}: hit \d+ occurs twice"):
        read(cells)
    edited(HITS, tmp_path, lambda t: t.pop("module_id"))
    with pytest.raises(PixlabError, match=rf"{hits.name} has no column module_id"):
        read(cells)
    with pytest.raises(PixlabError, match=r"has no column ch0 or ch1 .*pass the file of cells"):
        read(hits)


@pytest.mark.parametrize("source", EMPTY_CELLS)
def test_cut_and_empty_cells(source: Path, tmp_path: Path) -> None:
    shutil.copy(HITS, tmp_path)
    path = tmp_path / source.name
    whole = source.read_bytes()
    for at in (300, len(whole) // 2, len(whole) - 4):
        path.write_bytes(whole[:at])
        with pytest.raises(PixlabError) as caught:
            read(path)
        assert is_clean(caught.value, path)
    path.write_bytes(gzip.compress(EMPTY_CELLS[source].encode()))
    assert (len(read(path)), read(path).n_digis) == (1, 0)


# -- Timepix ----------------------------------------------------------------------------------
def test_timepix_frames() -> None:
    paths = sorted(FRAMES.iterdir())
    events = read(FRAMES)
    assert len(events) == len(paths) == 3
    for one, path in zip(events, paths, strict=True):
        x, y, count = np.loadtxt(path, dtype=int).T
        order = np.lexsort([x, y])
        assert one.col.tolist() == x[order].tolist()
        assert one.row.tolist() == y[order].tolist()
        assert one.adc.tolist() == count[order].tolist()
        assert read(path) == one
    assert set(events.detid.tolist()) == {TIMEPIX_ID}
    for given in (FRAMES, str(FRAMES / "*.txt"), paths):
        assert [len(b) for b in iterate(given, events=2)] == [2, 1]
        assert Digis.concatenate(list(iterate(given, events=2))) == events
    found = info(FRAMES)
    assert (found["format"], found["events"]) == ("timepix", 3)
    assert found["bytes"] == sum(p.stat().st_size for p in paths)
    assert read(FRAMES, events=slice(-1, None)) == events[2:]


def test_empty_frames(tmp_path: Path) -> None:
    (tmp_path / "b.txt").touch()
    with pytest.raises(PixlabError, match="is empty"):
        read(tmp_path / "b.txt")
    assert len(read(tmp_path / "b.txt", format="timepix")) == 1
    (tmp_path / "a.txt").write_text("1\t2\t3\r\n")
    (tmp_path / "a.txt.dsc").write_text("of something else")
    for events in (read(tmp_path), *iterate(str(tmp_path / "*.txt"))):
        assert np.diff(events.offsets).tolist() == [1, 0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1 2 3\n4 5\n", "line 2 is '4 5', not 'x y count'"),
        ("1 2 3\n4 5 6.5\n", r"line 2 is '4 5 6\.5', not 'x y count'"),
        ("1 2 3\n-4 5 6\n", "line 2 is '-4 5 6', not 'x y count'"),
        ("1 2 3\n\n4 5 6\n", "line 2 is '', not 'x y count'"),
        ("1 2 3\n256 5 6\n", "col 256 is outside 0 to 255"),
        ("1 2 3\n4 256 6\n", "row 256 is outside 0 to 255"),
        ("1 2 3\n4 5 11811\n", "adc 11811 is outside 0 to 11810"),
        ("1 2 3\n1 2 4\n", "pixel row 2, col 1 of module .* occurs twice"),
    ],
)
def test_bad_frames(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("1 2 3\n")
    path = tmp_path / "b.txt"
    path.write_text(text)
    for given in (path, tmp_path):
        with pytest.raises(PixlabError, match=words) as caught:
            read(given)
        assert is_clean(caught.value, path)
    if "line" not in words:
        with pytest.raises(PixlabError, match="event 1"):
            read(tmp_path)
