"""RNTuples that ROOT wrote, and every way in which they can be wrong."""

from __future__ import annotations

from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot

from pixlab.digis import Digis
from pixlab.errors import PixlabError
from pixlab.io import blocks, info, iterate, read, write
from tests.helpers import random_digis
from tests.io_cases import DATA, is_clean, truth

ROWS, VECTORS = DATA / "rntuple_rows.root", DATA / "rntuple_vectors.root"
ONE = {"detId": [306446340], "row": [5], "col": [1], "adc": [9]}


def test_one_row_a_digi() -> None:
    events, expected = read(ROWS), truth("many")
    # events without digis at the end are not in such a file
    last = int(expected.event[-1]) + 1
    assert events == expected[:last]
    assert info(ROWS)["format"] == "rntuple"
    assert Digis.concatenate(list(iterate(ROWS, events=7))) == events


def test_one_row_an_event() -> None:
    events, expected = read(VECTORS), truth("many")
    assert len(events) == len(expected) == 120
    assert events.event_id is not None
    assert np.array_equal(events.event_id["event"], 1000 + np.arange(120))
    assert events == expected
    parts = list(iterate(VECTORS, events=33))  # clusters have 50
    assert [len(part) for part in parts] == [33, 33, 33, 21]
    assert Digis.concatenate(parts) == events


def test_clusters_are_bounded_and_read_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = random_digis(n_events=20, n_digis=600)
    monkeypatch.setattr(blocks, "_DIGIS", 100)
    monkeypatch.setattr(blocks, "_EVENTS", 7)
    path = tmp_path / "a.rntuple.root"
    write(events, path)
    with uproot.open(path) as file:
        clusters = [c.num_entries for c in file["digis"].cluster_summaries]
    assert len(clusters) >= 6
    assert 0 not in clusters  # which ROOT refuses
    assert read(path) == events
    assert read(path, events=(3, 17)) == events[3:17]
    assert Digis.concatenate(list(iterate(path, events=3))) == events


def ntuple(path: Path, **tables: dict[str, object]) -> None:
    with uproot.recreate(path) as file:
        for name, columns in tables.items():
            file.mkrntuple(name, {k: ak.Array(v) for k, v in columns.items()})  # type: ignore[arg-type]


def listed(**change: object) -> dict[str, object]:
    columns: dict[str, object] = {k: [v, v] for k, v in ONE.items()}
    return {k: v for k, v in (columns | change).items() if v is not None}


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        (listed(adc=None), "has no RNTuple of digis"),
        (listed(adc=[[1.0], [2.5]]), "event 1: column 'adc' holds 2.5 as float64"),
        (listed(adc=[["a"], ["b"]]), "column 'adc' holds std::vector<std::string>"),
        (listed(adc=[1, 2]), "mixes lists .* and numbers"),
        (listed(adc=[[1], [2, 3]]), "lists of 'adc' and 'row' differ in length"),
        (listed(event=[3, -4]), "event -4 is negative"),
        (listed(row=[[5], [-5]]), "event 1, module 306446340: row -5 is outside"),
        (listed(row=[[5], [160]]), "event 1, module 306446340: row 160 is outside"),
        (listed(detId=[[306446340], [7]]), "event 1: .*no module with id 7"),
        (ONE | {"event": [0.5]}, "column 'event' holds 0.5 as float64"),
        ({k: v * 2 for k, v in ONE.items()} | {"event": [4, 4]}, "occurs twice"),
    ],
)
def test_bad_columns(columns: dict[str, object], words: str, tmp_path: Path) -> None:
    path = tmp_path / "a.root"
    ntuple(path, dump=columns)
    with pytest.raises(PixlabError, match=words) as caught:
        read(path, format="rntuple")
    assert is_clean(caught.value, path)


def test_floats_by_root() -> None:
    with pytest.raises(PixlabError, match=r"event 0: .*no module with id 0"):  # they are all 0
        read(DATA / "rntuple_float.root")


def test_several_to_choose_from(tmp_path: Path) -> None:
    path = tmp_path / "a.root"
    ntuple(path, sim=listed(), mixed=listed(adc=[[3], [4]]), other={"x": [1]})
    with pytest.raises(PixlabError, match=r"has 2 RNTuples of digis.*choose one with branch=: "):
        read(path)
    assert read(path, branch="mix").adc.tolist() == [3, 4]
    with pytest.raises(PixlabError, match="0 of them like 'zz'"):
        read(path, branch="zz")


def test_trees_beside_are_still_found(tmp_path: Path) -> None:
    path = tmp_path / "a.root"
    ntuple(path, other={"x": [1]})
    with uproot.update(path) as file:
        columns = {k: np.array(v) for k, v in (ONE | {"event": [0]}).items()}
        file.mktree("digiTree", {k: v.dtype for k, v in columns.items()}).extend(columns)
    assert info(path)["format"] == "digitree"
    assert read(path).adc.tolist() == [9]
