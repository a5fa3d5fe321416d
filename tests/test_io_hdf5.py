"""HDF5 tables of others, the FE-I4's among them, and every way in which they can be wrong."""

from __future__ import annotations

import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from pixlab.detectors import Detector
from pixlab.detectors.chips import FEI4_ID
from pixlab.errors import PixlabError
from pixlab.io import info, iterate, read, write
from tests.helpers import random_digis
from tests.io_cases import DATA, is_clean, same

FEI4 = DATA / "fei4_hits.h5"
HIT = np.dtype([("event_number", "<i8"), ("column", "u1"), ("row", "<u2"), ("tot", "u1")])
DIGI = np.dtype([("event", "<i4"), ("detId", "<u4"), ("row", "<i2"), ("col", ">i4"), ("adc", "u2")])


def plain(path: Path, columns: dict[str, object], group: str = "/") -> None:
    with h5py.File(path, "w") as file:
        for name, values in columns.items():
            file.require_group(group).create_dataset(name, data=values)


COLUMNS: dict[str, object] = {
    "event": [0, 2, 2],
    "detId": [306446340] * 3,
    "row": [5, 6, 7],
    "col": [1, 2, 3],
    "adc": [9, 8, 7],
}


def test_plain_columns_and_compound_tables(tmp_path: Path) -> None:
    plain(tmp_path / "a.h5", COLUMNS, "run3/digis")
    rows = np.array(list(zip(*COLUMNS.values(), strict=True)), DIGI)  # type: ignore[arg-type,call-overload]
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file.create_dataset("deep/table", data=rows, chunks=(2,), compression="lzf")
    for name in ("a.h5", "b.h5"):
        events = read(tmp_path / name)
        assert np.diff(events.offsets).tolist() == [1, 0, 2]
        assert events.to_pandas().to_numpy().T.tolist() == list(COLUMNS.values())
        assert list(iterate(tmp_path / name, events=2))[1] == events[2:]


def test_own_files_are_plain_to_others(tmp_path: Path) -> None:
    events = random_digis(n_events=3)
    write(events, tmp_path / "a.hdf5")
    with h5py.File(tmp_path / "a.hdf5") as file:
        for name in ("event", "detid", "row", "col", "adc", "offsets"):
            assert np.array_equal(file[name][:], getattr(events, name))


def test_a_large_own_detector_comes_back(tmp_path: Path) -> None:
    n = 3000  # modules: more than the 64 kB that attributes had in older files
    table = {"detid": np.arange(n), "layer": ["one"] * n, "rows": [16] * n, "cols": [16] * n}
    table |= {k: [0.1] * n for k in ("pitch_row", "pitch_col")} | {"x": np.arange(n) * 1.25}
    table |= {"y": [0.0] * n, "z": [0.0] * n}
    events = random_digis(Detector.from_table(table, name="large"), n_events=2)
    write(events, tmp_path / "a.h5")
    assert same(read(tmp_path / "a.h5"), events)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"adc": None}, r"no column adc \(it has col, detId"),
        ({"col": [1.0, 2.5, 3.0]}, "event 2: column 'col' holds 2.5 as float64"),
        ({"col": [1, 2]}, "column 'col' has 2 rows, 'event' has 3"),
        ({"col": [[1, 2, 3]]}, r"'col' has shape \(1, 3\)"),
        ({"col": 4}, r"'col' has shape \(\)"),
        ({"row": [5, -6, 7]}, "event 2, module 306446340: row -6 is outside"),
        ({"adc": [9, 8, 70000]}, "event 2, module 306446340: adc 70000 is outside"),
        ({"event": [0, -2, 2]}, "event -2 is negative"),
        ({"row": [5, 6, 6], "col": [1, 2, 2]}, "event 2: pixel row 6, col 2 .* occurs twice"),
        ({"detId": [1, 2, 3]}, "no module with id 1"),
    ],
)
def test_bad_tables(change: dict[str, object], words: str, tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    plain(path, {k: v for k, v in (COLUMNS | change).items() if v is not None})
    with pytest.raises(PixlabError, match=words) as caught:
        read(path)
    assert is_clean(caught.value, path)


def test_tables_to_choose_from(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_group("nothing")
    with pytest.raises(PixlabError, match="no table of digis: it holds no tables"):
        read(path)
    with h5py.File(path, "w") as file:
        for group in ("sim", "mixed"):
            for name, values in COLUMNS.items():
                file.require_group(group)[name] = values
    with pytest.raises(PixlabError, match=r"has 2 tables of digis.*sim/"):
        read(path)
    assert read(path, branch="mixed").n_digis == 3


def test_what_is_in_other_files_stays_there(tmp_path: Path) -> None:
    plain(tmp_path / "a.h5", COLUMNS)
    path = tmp_path / "b.h5"
    with h5py.File(path, "w") as file:
        for name in COLUMNS:
            file[name] = h5py.ExternalLink("a.h5", name)
    with pytest.raises(PixlabError, match="no table of digis"):
        read(path)
    plain(path, {k: v for k, v in COLUMNS.items() if k != "adc"})
    with h5py.File(path, "a") as file:
        file.create_dataset("adc", (3,), "i1", external=[(str(tmp_path / "a.h5"), 0, 3)])
    with pytest.raises(PixlabError, match="'adc' is kept in another file") as caught:
        read(path)
    assert is_clean(caught.value, path)


def test_a_size_that_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        for name in COLUMNS:
            file.create_dataset(name, (1 << 50,), "i8", chunks=(1 << 10,))
    with pytest.raises(PixlabError, match="bytes, 0 of it are there"):
        read(path)


# -- FE-I4 ------------------------------------------------------------------------------------
def hits(path: Path, rows: list[tuple[int, int, int, int]], name: str = "Hits") -> None:
    with h5py.File(path, "w") as file:
        file[name] = np.array(rows, HIT)


def test_measured_fei4_hits() -> None:
    pytest.importorskip("hdf5plugin")
    events = read(FEI4)
    assert info(FEI4)["format"] == "fei4"
    assert (events.detector.name, events.n_digis) == ("fei4", 2000)
    with h5py.File(FEI4) as file:
        raw = file["Hits"][:]
    assert events.event_id is not None
    assert np.array_equal(events.event_id["event"], np.unique(raw["event_number"]))
    expected = [(n, r - 1, c - 1, t) for n, r, c, t in zip(*(raw[k].tolist() for k in ("event_number", "row", "column", "tot")), strict=True)]  # fmt: skip
    number = events.event_id["event"][events.event].tolist()
    found = zip(number, *(getattr(events, k).tolist() for k in ("row", "col", "adc")), strict=True)
    assert sorted(found) == sorted(expected)
    blocks = list(iterate(FEI4, events=300))
    assert [len(b) for b in blocks[:-1]] == [300] * (len(blocks) - 1)
    assert sum(b.n_digis for b in blocks) == 2000


def test_blosc_without_its_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hdf5plugin", None)
    monkeypatch.setattr(h5py.h5z, "filter_avail", lambda code: code < 256)
    with pytest.raises(PixlabError, match=r"packed with blosc.*pip install 'pixlab\[fei4\]'"):
        read(FEI4)


def test_fei4_events_without_hits_and_pixels_twice(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    hits(path, [(3, 1, 1, 2), (3, 1, 1, 9), (5, 0, 0, 0), (9, 80, 336, 13), (9, 80, 336, 5)])
    events = read(path)
    assert events.event_id is not None
    assert events.event_id["event"].tolist() == [3, 5, 9]
    assert np.diff(events.offsets).tolist() == [1, 0, 1]
    assert (events.row.tolist(), events.col.tolist()) == ([0, 335], [0, 79])
    assert events.adc.tolist() == [11, 15]
    assert set(events.detid.tolist()) == {FEI4_ID}


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([(3, 1, 1, 2), (3, 81, 1, 2)], "col 80 is outside 0 to 79"),
        ([(3, 1, 1, 2), (4, 1, 337, 2)], "event 1, .*row 336 is outside 0 to 335"),
        ([(3, 0, 1, 2)], "col -1 is outside"),
        ([(3, 1, 1, 16)], "adc 16 is outside 0 to 15"),
        ([(4, 1, 1, 2), (3, 1, 1, 2)], "row 1: event 3 is negative or behind"),
        ([(-4, 1, 1, 2)], "row 0: event -4 is negative"),
    ],
)
def test_bad_fei4_hits(rows: list[tuple[int, int, int, int]], words: str, tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    hits(path, rows, "ClusterHits")
    with pytest.raises(PixlabError, match=words) as caught:
        read(path)
    assert is_clean(caught.value, path)
    with pytest.raises(PixlabError, match="no hits in a table like 'x'"):
        read(path, branch="x")
