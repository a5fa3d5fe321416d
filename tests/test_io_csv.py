"""CSV as others write it, and every way in which it can be wrong."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pixlab.errors import PixlabError
from pixlab.io import info, iterate, read, text, write
from tests.helpers import random_digis
from tests.io_cases import is_clean

HEADER = "event,detId,row,col,adc\n"
ROW = "0,306446340,5,7,99\n"


@pytest.mark.parametrize(
    "header",
    [
        "event,detId,row,col,adc",
        "event,detid,row,col,adc",
        "Event,det_id,row,col,ADC",
        "evt,rawId,row,column,charge",
        '"event","raw_det_id","row","col","adc"',
        "\ufeffevent, DetID, row, col, adc",
    ],
)
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_spellings(header: str, ends: str, tmp_path: Path) -> None:
    path = tmp_path / "digis.csv"
    path.write_bytes((header + ends + ROW.replace("\n", ends)).encode())
    one = read(path)
    assert one.to_pandas().to_numpy().tolist() == [[0, 306446340, 5, 7, 99]]


def test_further_columns_and_event_labels(tmp_path: Path) -> None:
    path = tmp_path / "digis.csv"
    path.write_text(
        "run,lumi,event,detId,row,col,adc,global_x,global_y,global_z\n"
        "3,2,70,306446340,5,7,99,-1.5,2e-3,nan\n"
        "3,2,80,306446340,5,8,12,-1.5,2e-3,\n"
        "3,2,70,306446340,6,7,98,-1.5,2e-3,x\n"
    )
    found = read(path)
    assert np.diff(found.offsets).tolist() == [2, 1]
    assert found.event_id is not None
    assert found.event_id.tolist() == [(3, 2, 70), (3, 2, 80)]
    assert info(path)["format"] == "csv"


def test_whole_numbers_in_other_notations(tmp_path: Path) -> None:
    path = tmp_path / "digis.csv"
    for lines in (
        "7.0,306446340.0,5,7,99.000\n8.0,3.06446340e8,5,7,98\n",
        "7,0x12440004,5,7,99\n8,0x12440004,5,7,98\n",  # ids are often written so
    ):
        path.write_text(HEADER + lines)
        assert read(path).to_pandas().to_numpy().tolist() == [
            [0, 306446340, 5, 7, 99],
            [1, 306446340, 5, 7, 98],
        ]


def test_pandas_writes_and_reads_the_same(tmp_path: Path) -> None:
    events = random_digis(n_events=4)
    path = tmp_path / "digis.csv.gz"
    events.to_pandas().to_csv(path, index=False)
    assert read(path) == events
    flagged = events.to_pandas().assign(flag=events.adc % 2 == 1)
    flagged.to_csv(path, index=False)  # True and False, where pixlab has 1 and 0
    assert np.array_equal(np.asarray(read(path).flag), events.adc % 2 == 1)
    write(events, path)
    table = pd.read_csv(path, comment="#")
    assert table.columns.tolist() == ["event", "detId", "row", "col", "adc"]
    assert np.array_equal(table.to_numpy(), events.to_pandas().to_numpy())


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz"])
def test_small_blocks_are_the_file(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = random_digis(n_events=9, n_digis=700)
    path = tmp_path / f"digis{suffix}"
    write(events, path)
    for size in (37, 100, 1000):
        monkeypatch.setattr(text, "_BLOCK", size)
        assert read(path) == events
        assert read(path, events=(3, 5)) == events[3:5]
        assert [b.n_digis for b in iterate(path, events=2)] == [
            events[i : i + 2].n_digis for i in range(0, 9, 2)
        ]
    path.write_bytes(
        (gzip.compress if suffix.endswith("gz") else bytes)((HEADER + ROW).encode()[:-1])
    )
    assert read(path).n_digis == 1  # others leave out the last newline


def test_equal_digis_are_equal_files(tmp_path: Path) -> None:
    events = random_digis(n_events=2)
    for name in ("a.csv.gz", "b.csv.gz"):
        write(events, tmp_path / name)
    assert (tmp_path / "a.csv.gz").read_bytes() == (tmp_path / "b.csv.gz").read_bytes()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("event,detId,row,adc\n0,306446340,5,99\n", r"no column col \(it has event, detId"),
        (HEADER + ROW + "1,306446340,5,7.5,99\n", r"line 3: column 'col' holds '7\.5', a whole"),
        (HEADER + ROW + "1,306446340,5,1e99,99\n", "line 3: column 'col' holds '1e99'"),
        (HEADER + ROW + "1,306446340,5,,99\n", "line 3: column 'col' holds ''"),
        (HEADER + ROW + "1,306446340,5,nan,99\n", "line 3: column 'col' holds 'nan'"),
        (
            HEADER.replace("\n", ",flag\n") + "1,306446340,5,7,9,2\n",
            "line 2: column 'flag' holds '2'",
        ),
        (HEADER + ROW + "1,306446340,5\n", "line 3 has 3 values, there are 5 columns"),
        (HEADER + ROW + "\n" + ROW, "line 3 has 1 values"),
        (HEADER + ROW + f"{2**70},306446340,5,7,99\n", "line 3: column 'event' holds '1180"),
        (HEADER + ROW + "-1,306446340,5,7,99\n", "event -1 is negative"),
        (HEADER + ROW + "1,306446340,-5,7,99\n", "event 1, module 306446340: row -5 is outside"),
        (HEADER + ROW + "1,306446340,5,416,99\n", "event 1, module 306446340: col 416 is outside"),
        (HEADER + ROW + "1,306446340,5,7,9999\n", "event 1, module 306446340: adc 9999 is outside"),
        (HEADER + ROW + "1,306446341,5,7,99\n", "event 1: .*no module with id 306446341"),
        (HEADER + ROW + ROW, "event 0: pixel row 5, col 7 of module 306446340 occurs twice"),
    ],
)
def test_bad_tables(content: str, words: str, tmp_path: Path) -> None:
    for name, pack in (("digis.csv", bytes), ("digis.csv.gz", gzip.compress)):
        path = tmp_path / name
        path.write_bytes(pack(content.encode()))
        with pytest.raises(PixlabError, match=words) as caught:
            read(path)
        assert is_clean(caught.value, path)


def test_a_header_alone_is_no_events(tmp_path: Path) -> None:
    path = tmp_path / "digis.csv"
    path.write_text(HEADER)
    assert len(read(path)) == 0
