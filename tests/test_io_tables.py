"""Tables of digis that pixlab did not write: flat ROOT trees, plain npz and Parquet."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import awkward as ak
import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uproot

from pixlab.detectors import Detector
from pixlab.digis import Digis
from pixlab.errors import FormatError, PixlabError
from pixlab.io import blocks as blocks_module
from pixlab.io import info, iterate, read, rows, write
from tests.helpers import random_digis, small_detector
from tests.io_cases import DATA, is_clean, same, truth

COLUMNS = ("event", "detid", "row", "col", "adc")
ID = 306446340  # of a module that only Phase 1 has


def table(event: Any, /, **changes: Any) -> dict[str, Any]:
    """Columns with one digi of one module in each of these events."""
    n = len(event)
    columns = {"event": np.array(event), "detid": np.full(n, ID), "row": np.arange(n)}
    return columns | {"col": np.full(n, 5), "adc": np.full(n, 9)} | changes


def save(path: Path, columns: dict[str, Any]) -> Path:
    """Write columns as a plain table of the format that the suffix names."""
    if path.suffix == ".npz":
        np.savez(path, **columns)
    elif path.suffix == ".parquet":
        pq.write_table(pa.table({k: pa.array(v) for k, v in columns.items()}), path)
    elif path.suffix == ".csv":
        pd.DataFrame(columns).to_csv(path, index=False)
    elif path.suffix == ".h5":
        with h5py.File(path, "w") as file:
            for name, values in columns.items():
                file[f"digis/{name}"] = values
    elif path.name.endswith(".rntuple.root"):
        with path.open("w+b") as handle, uproot.recreate(handle) as file:
            arrays = {k: ak.Array(np.asarray(v)) for k, v in columns.items()}
            form = ak.zip({k: v[:0] for k, v in arrays.items()}).layout.form
            ntuple = file.mkrntuple("digis", form)
            if all(len(v) for v in arrays.values()):
                ntuple.extend(arrays)
    else:
        with path.open("w+b") as handle, uproot.recreate(handle) as file:
            tree = file.mktree("digiTree", {k: np.asarray(v).dtype for k, v in columns.items()})
            tree.extend({k: np.asarray(v) for k, v in columns.items()})
    return path


@pytest.fixture(params=[".npz", ".parquet", ".root", ".rntuple.root", ".h5", ".csv"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Where to save a table in each of the formats."""
    return tmp_path / f"table{request.param}"


class TestAllTables:
    def test_digis_come_back(self, path: Path) -> None:
        digis = random_digis(n_events=5)
        save(path, {k: getattr(digis, k) for k in COLUMNS})
        assert read(path) == digis
        assert Digis.concatenate(list(iterate(path, events=2))) == digis

    @pytest.mark.parametrize("kind", ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"])
    def test_every_kind_of_integer(self, path: Path, kind: str) -> None:
        columns = table([0, 0, 1], event=np.array([0, 0, 1], kind), col=np.array([5, 6, 7], kind))
        assert read(save(path, columns)).col.tolist() == [5, 6, 7]

    def test_rows_in_no_order(self, path: Path) -> None:
        digis = random_digis(n_events=6)
        order = np.random.default_rng(0).permutation(digis.n_digis)
        save(path, {k: getattr(digis, k)[order] for k in COLUMNS})
        assert read(path) == digis
        assert read(path, events=(2, 4)) == digis[2:4]
        assert Digis.concatenate(list(iterate(path, events=4))) == digis

    def test_events_over_many_chunks(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(rows, "_ROWS", 7)
        digis = random_digis(n_events=6, n_digis=100)
        save(path, {k: getattr(digis, k) for k in COLUMNS})
        assert read(path) == digis

    def test_gaps_are_empty_events(self, path: Path) -> None:
        found = read(save(path, table([0, 0, 3])))
        assert np.diff(found.offsets).tolist() == [2, 0, 0, 1]
        assert found.event_id is None

    def test_names_in_other_cases(self, path: Path) -> None:
        columns = table([0, 1])
        save(path, {"Event": columns.pop("event"), "detId": columns.pop("detid"), **columns})
        assert len(read(path)) == 2

    def test_other_columns_are_left_alone(self, path: Path) -> None:
        assert len(read(save(path, table([0, 1], charge=np.array([0.5, 1.5]))))) == 2

    def test_flag(self, path: Path) -> None:
        found = read(save(path, table([0, 1], flag=np.array([True, False]))))
        assert found.flag is not None
        assert found.flag.tolist() == [True, False]

    def test_whole_numbers_in_floating_point(self, path: Path) -> None:
        columns = table([3, 4, 4])
        floats = {name: values.astype(float) for name, values in columns.items()}
        assert same(read(save(path, floats)), read(save(path, columns)))

    def test_other_spellings(self, path: Path) -> None:
        ours = table([3, 4, 4])
        names = {"event": "Event_Number", "detid": "rawId", "row": "iRow", "col": "column", "adc": "ToT"}  # fmt: skip
        assert same(
            read(save(path, {names[k]: v for k, v in ours.items()})), read(save(path, ours))
        )

    def test_a_single_chip_needs_no_module_id(self, path: Path) -> None:
        columns = table([3, 4, 4])
        del columns["detid"]
        save(path, columns)
        with pytest.raises(
            FormatError, match=r"no column detid .*for a single chip pass detector="
        ):
            read(path)
        chip = Detector.from_table({"detid": [9], "rows": [400], "cols": [192]}, adc_max=2000)
        found = read(path, detector=chip)
        assert set(found.detid.tolist()) == {9}
        assert found.adc.tolist() == columns["adc"].tolist()

    def test_duplicates_summed(self, path: Path) -> None:
        save(path, table([3, 4, 4], row=np.array([1, 2, 2]), adc=np.array([5, 1000, 900])))
        with pytest.raises(PixlabError, match=r"event 1: .* occurs twice; .*duplicates"):
            read(path)
        assert read(path, duplicates="sum").adc.tolist() == [5, 1023]
        assert next(iterate(path, duplicates="sum")).n_digis == 2
        assert info(path, duplicates="sum")["digis"] == 2

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"adc": np.array([2.0, 1.5])}, "event 1: column 'adc' holds 1.5 as float64"),
            ({"detid": np.array([ID, ID], np.float32)}, "holds .* as float32, which is not exact"),
            ({"row": np.array([3.0, np.nan])}, "event 1: column 'row' holds nan"),
            ({"event": np.array([-1, 0])}, "event -1 is negative"),
            ({"row": np.array([3, -4])}, f"event 1, module {ID}: row -4 is outside 0 to 159"),
            ({"row": np.array([3, 160])}, f"event 1, module {ID}: row 160 is outside 0 to 159"),
            ({"adc": np.array([1024, 0])}, f"event 0, module {ID}: adc 1024 is outside 0 to 1023"),
            (
                {"detid": np.array([ID, 7])},
                "event 1: detector 'phase1' has no module with id 7, nor",
            ),
            ({"detid": np.array([-5, ID])}, "event 0: detector 'phase1' has no module with id -5"),
        ],
    )
    def test_bad_values(self, path: Path, changes: dict[str, Any], words: str) -> None:
        if path.suffix == ".csv" and "holds" in words:
            if "float32" in words:
                return  # text has no types
            words = "a whole number is needed"  # and the line, see test_io_csv
        save(path, table([0, 1], **changes))
        with pytest.raises(PixlabError, match=words) as caught:
            read(path)
        assert is_clean(caught.value, path)

    def test_the_event_of_a_bad_value_counts_from_the_start_of_the_file(self, path: Path) -> None:
        save(path, table([0, 1, 2, 3], row=np.array([1, 2, 3, 400])))
        blocks = iterate(path, events=2)
        next(blocks)
        with pytest.raises(PixlabError, match=r"event 3, module .* row 400"):
            next(blocks)

    def test_twice_the_same_pixel(self, path: Path) -> None:
        save(path, table([0, 1, 1], row=np.array([1, 2, 2])))
        with pytest.raises(
            PixlabError, match=r"event 1: pixel row 2, col 5 .* occurs twice"
        ) as caught:
            read(path)
        assert is_clean(caught.value, path)

    def test_missing_column(self, path: Path) -> None:
        columns = table([0, 1])
        del columns["adc"]
        with pytest.raises(FormatError, match=r"has no column adc .it has .*row") as caught:
            read(save(path, columns))
        assert is_clean(caught.value, path)

    def test_no_rows(self, path: Path) -> None:
        assert read(save(path, table(np.zeros(0, int)))) == Digis.empty("phase1", 0)

    def test_own_detector(self, path: Path) -> None:
        digis = random_digis(small_detector(), n_events=3, n_digis=40)
        save(path, {k: getattr(digis, k) for k in COLUMNS})
        assert read(path, detector=small_detector()) == digis
        with pytest.raises(PixlabError, match=r"no module with id .* nor has any other"):
            read(path)


class TestPositionsAndLabels:
    """What a number in the column event means."""

    @pytest.mark.parametrize("name", ["t.root", "t.npz", "t.parquet"])
    def test_numbers_that_start_elsewhere_are_labels(self, name: str, tmp_path: Path) -> None:
        found = read(save(tmp_path / name, table([12, 12, 40, 7_000_000_000])))
        assert np.diff(found.offsets).tolist() == [2, 1, 1]
        assert found.event_id is not None
        assert found.event_id["event"].tolist() == [12, 40, 7_000_000_000]

    @pytest.mark.parametrize("name", ["t.root", "t.npz", "t.parquet"])
    def test_numbers_that_cannot_be_positions_are_labels(self, name: str, tmp_path: Path) -> None:
        for far in (10**9, 2**64 - 1):
            found = read(save(tmp_path / name, table(np.array([0, far], np.uint64))))
            assert found.event_id is not None
            assert found.event_id["event"].tolist() == [0, far]

    @pytest.mark.parametrize("name", ["t.root", "t.npz", "t.parquet"])
    def test_labels_keep_the_order_of_the_file(self, name: str, tmp_path: Path) -> None:
        """Jobs with several threads write events as they get ready."""
        columns = table([70, 70, 50, 90, 60, 60, 60])
        columns["adc"] = np.arange(7)
        path = save(tmp_path / name, columns)
        found = read(path)
        assert found.event_id is not None
        assert found.event_id["event"].tolist() == [70, 50, 90, 60]
        assert [one.adc.tolist() for one in found] == [[0, 1], [2], [3], [4, 5, 6]]
        assert Digis.concatenate(list(iterate(path, events=3))) == found
        # events in pieces are put together
        found = read(save(path, columns | {"event": np.array([70, 50, 50, 70, 60, 50, 60])}))
        assert [sorted(one.adc.tolist()) for one in found] == [[0, 3], [1, 2, 5], [4, 6]]

    def test_positions_in_no_order(self, tmp_path: Path) -> None:
        columns = table([3, 3, 0, 2])
        columns["adc"] = np.arange(4)
        found = read(save(tmp_path / "t.root", columns))
        assert [one.adc.tolist() for one in found] == [[2], [], [3], [0, 1]]
        assert read(tmp_path / "t.root", events=(1, 4)) == found[1:4]

    def test_run_and_lumi(self) -> None:
        found = read(DATA / "flat_rows.root")
        assert found == truth("many")
        assert found.event_id is not None
        place = np.arange(120)
        assert (found.event_id["run"] == 316000).all()
        assert np.array_equal(found.event_id["lumi"], 7 + place)
        assert np.array_equal(found.event_id["event"], 1001 + place)

    def test_one_number_in_two_runs(self, tmp_path: Path) -> None:
        columns = table([5, 6, 5, 0], run=np.array([1, 1, 2, 2]), lumi=np.array([7, 8, 9, 9]))
        found = read(save(tmp_path / "t.root", columns)).event_id
        assert found is not None
        assert found.tolist() == [(1, 7, 5), (1, 8, 6), (2, 9, 5), (2, 9, 0)]
        for wrong in (-1, 2**32):
            path = save(tmp_path / "t.root", table([5, 6], run=np.array([1, wrong])))
            with pytest.raises(FormatError, match=f"run {wrong} is"):
                read(path)


class TestFlatTrees:
    @pytest.mark.parametrize("name", ["rows", "counted", "vectors"])
    def test_written_by_root(self, name: str) -> None:
        path = DATA / f"flat_{name}.root"
        assert read(path) == truth("many")
        assert read(path, events=(5, 9)) == truth("many")[5:9]
        assert Digis.concatenate(list(iterate(path, events=7))) == truth("many")

    def test_arrays_keep_event_numbers(self) -> None:
        numbered = read(DATA / "flat_vectors.root").event_id
        assert numbered is not None
        assert np.array_equal(numbered["event"], 1001 + np.arange(120))
        assert read(DATA / "flat_counted.root").event_id is None  # counted from 0

    def test_charge_as_float(self) -> None:
        assert read(DATA / "flat_float.root").n_digis == truth("many").n_digis

    def test_several_trees(self, tmp_path: Path) -> None:
        path = tmp_path / "t.root"
        with uproot.recreate(path) as file:
            for name, events in (("signal", [0, 1]), ("pileup/digis", [0, 1, 2])):
                columns = table(events)
                file.mktree(name, {k: v.dtype for k, v in columns.items()}).extend(columns)
            file.mktree("weights", {"w": "f8"}).extend({"w": np.ones(3)})
        with pytest.raises(PixlabError, match=r"2 trees: signal, pileup/digis.*branch="):
            read(path)
        assert len(read(path, branch="signal")) == 2
        assert len(read(path, branch="pile")) == 3
        with pytest.raises(PixlabError, match="like 'noise'; choose one of signal, pileup/digis"):
            read(path, branch="noise")

    def test_other_contents(self, tmp_path: Path) -> None:
        path = tmp_path / "t.root"
        with uproot.recreate(path) as file:
            file["spectrum"] = np.histogram(np.arange(10))
            file.mktree("hits", {"x": "f8", "y": "f8"}).extend({"x": np.ones(3), "y": np.ones(3)})
        with pytest.raises(PixlabError, match=r"TH1D 'spectrum', tree 'hits' \(x, y\)") as caught:
            read(path)
        assert is_clean(caught.value, path)
        with uproot.recreate(path):
            pass
        with pytest.raises(PixlabError, match="no objects at all"):
            read(path)

    def test_names_that_are_no_text(self, tmp_path: Path) -> None:
        path = tmp_path / "t.root"
        with uproot.recreate(path, compression=None) as file:
            file.mktree("tree", {"column": "f8"}).extend({"column": np.ones(3)})
        path.write_bytes(path.read_bytes().replace(b"column", b"\x1b[2J\xff\n"))
        with pytest.raises(PixlabError, match=r"tree 'tree' \(\?\[2J\? \)") as caught:
            read(path)
        assert is_clean(caught.value, path)
        str(caught.value).encode()

    def test_mixed_arrays_and_numbers(self, tmp_path: Path) -> None:
        path = tmp_path / "t.root"
        import awkward as ak

        jagged = ak.Array([[1, 2], [3]])
        with uproot.recreate(path) as file:
            tree = file.mktree("digiTree", dict.fromkeys(("event", "detId", "col", "adc"), "int32") | {"row": "var * int32"})  # fmt: skip
            numbers = {k: np.array([0, 1], np.int32) for k in ("event", "detId", "col", "adc")}
            tree.extend(numbers | {"row": jagged})
        with pytest.raises(FormatError, match=r"mixes arrays \(row\) and numbers"):
            read(path)

    def test_arrays_of_different_length(self, tmp_path: Path) -> None:
        import awkward as ak

        path = tmp_path / "t.root"
        values = {"detId": [[ID], [ID]], "row": [[1], [2]], "col": [[1], [2, 3]], "adc": [[1], [2]]}
        with uproot.recreate(path) as file:
            kinds = {k: "var * int32" for k in values}
            arrays = {k: ak.values_astype(ak.Array(v), "int32") for k, v in values.items()}
            file.mktree("digiTree", {"event": "int32"} | kinds).extend(
                {"event": np.arange(2)} | arrays
            )
        with pytest.raises(
            FormatError, match="event 1: column 'col' has another length than 'row'"
        ):
            read(path)

    def test_what_others_see(self, tmp_path: Path) -> None:
        digis = random_digis(n_events=3)
        write(digis, tmp_path / "t.root")
        with uproot.open(tmp_path / "t.root") as file:
            found = file["digiTree"].arrays(library="np")
        assert list(found) == ["event", "detId", "row", "col", "adc"]
        assert all(v.dtype == np.int32 for v in found.values())
        assert np.array_equal(found["event"], digis.event)
        assert np.array_equal(found["detId"], digis.detid)

    @pytest.mark.parametrize(
        "about",
        ["{", "[]", "{}", '{"events": "9"}', '{"events": 9, "detector": {"name": "phase1"}}',
         '{"events": 99999999999, "detector": {"name": "phase1"}}',
         '{"events": 10, "detector": {"name": "phase7"}}', '{"events": 10, "detector": 3}'],
    )  # fmt: skip
    def test_damaged_description(self, about: str, tmp_path: Path) -> None:
        path = tmp_path / "t.root"
        columns = table(np.arange(10))
        with uproot.recreate(path) as file:
            file.mktree("digiTree", {k: v.dtype for k, v in columns.items()}).extend(columns)
            file["pixlab"] = about
        with pytest.raises(FormatError) as caught:
            read(path)
        assert is_clean(caught.value, path)

    def test_large_files_are_written_in_parts(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(blocks_module, "_DIGIS", 64)
        digis = random_digis(n_events=9)
        write(digis, tmp_path / "t.root")
        assert read(tmp_path / "t.root") == digis
        assert Digis.concatenate(list(iterate(tmp_path / "t.root", events=2))) == digis


class TestNpz:
    def test_number_of_events(self, tmp_path: Path) -> None:
        path = tmp_path / "t.npz"
        assert len(read(save(path, table([1, 2], n_events=5)))) == 5
        for wrong in (2, -1, 10**12):
            with pytest.raises(FormatError, match=f"there should be {wrong} events"):
                read(save(path, table([1, 2], n_events=wrong)))
        for wrong_kind in (2.5, [5], "5"):
            with pytest.raises(FormatError, match="'n_events' is not one whole number"):
                read(save(path, table([1, 2], n_events=wrong_kind)))

    def test_shapes(self, tmp_path: Path) -> None:
        path = tmp_path / "t.npz"
        for wrong in (np.zeros((2, 2), int), np.zeros(3, int), np.array(4)):
            with pytest.raises(PixlabError, match="column 'adc' has shape") as caught:
                read(save(path, table([0, 1], adc=wrong)))
            assert is_clean(caught.value, path)
        with pytest.raises(PixlabError, match="column 'event'"):
            read(save(path, table([0, 1], event=np.array(3))))

    def test_what_others_see(self, tmp_path: Path) -> None:
        digis = random_digis(n_events=3)
        write(digis, tmp_path / "t.npz")
        with np.load(tmp_path / "t.npz") as found:
            for name in COLUMNS:
                assert np.array_equal(found[name], getattr(digis, name))
            assert json.loads(str(found["detector"])) == {"name": "phase1"}
            assert np.array_equal(found["offsets"], digis.offsets)

    @pytest.mark.parametrize(
        "changes",
        [
            {"offsets": np.array([0, 2, 1, 3])},
            {"offsets": np.array([0, 4])},
            {"offsets": np.array([1, 3])},
            {"offsets": np.zeros(0, int)},
            {"offsets": np.array([[0, 3]])},
            {"offsets": np.array([0.0, 3.0])},
            {"adc": np.zeros(2, int)},
            {"flag": np.zeros(2, bool)},
            {"detector": np.array("{")},
            {"detector": np.array('{"name": "phase7"}')},
            {"detector": np.arange(3)},
            {"event_number": np.zeros(1, np.uint64)},
            {"event_number": np.zeros(2, np.uint64), "run": np.zeros(2, np.uint32)},
            {"event_number": np.zeros(2, float), "run": np.zeros(2, np.uint32), "lumi": np.zeros(2, np.uint32)},
        ],
        ids=str,
    )  # fmt: skip
    def test_damaged_own_archive(self, changes: dict[str, Any], tmp_path: Path) -> None:
        own = {"offsets": np.array([0, 1, 3]), "detector": np.array('{"name": "phase1"}')}
        path = tmp_path / "t.npz"
        assert len(read(save(path, table([0, 1, 1]) | own))) == 2
        with pytest.raises(FormatError) as caught:
            read(save(path, table([0, 1, 1]) | own | changes))
        assert is_clean(caught.value, path)

    def test_own_archive_without_detector(self, tmp_path: Path) -> None:
        with pytest.raises(FormatError, match="no array detector"):
            read(save(tmp_path / "t.npz", table([0, 1]) | {"offsets": np.array([0, 1, 2])}))


class TestParquet:
    def test_from_pandas(self, tmp_path: Path) -> None:
        digis = random_digis(n_events=4)
        digis.to_pandas().to_parquet(tmp_path / "t.parquet")
        assert read(tmp_path / "t.parquet") == digis

    def test_what_others_see(self, tmp_path: Path) -> None:
        digis = random_digis(n_events=4)
        write(digis, tmp_path / "t.parquet")
        frame = pd.read_parquet(tmp_path / "t.parquet")
        assert list(frame.columns) == ["detid", "row", "col", "adc"]
        assert [len(v) for v in frame["adc"]] == np.diff(digis.offsets).tolist()
        assert np.array_equal(np.concatenate(list(frame["adc"])), digis.adc)

    def test_row_groups(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(blocks_module, "_DIGIS", 300)
        monkeypatch.setattr(blocks_module, "_EVENTS", 4)
        digis = Digis.concatenate([random_digis(n_events=20), Digis.empty("phase1", 9)])
        path = tmp_path / "t.parquet"
        write(digis, path)
        assert pq.ParquetFile(path).metadata.num_row_groups == 8
        assert same(read(path), digis)
        assert read(path, events=(7, 22)) == digis[7:22]
        assert Digis.concatenate(list(iterate(path, events=3))) == digis

    def test_lists_from_elsewhere(self, tmp_path: Path) -> None:
        lists = {"detid": [[ID, ID], [], [ID]], "row": [[1, 2], [], [3]]}
        lists |= {"col": [[1, 2], [], [3]], "adc": [[4, 5], [], [6]]}
        path = tmp_path / "t.parquet"
        found = read(save(path, lists | {"event": [11, 12, 13], "run": [1, 1, 1]}))
        assert np.diff(found.offsets).tolist() == [2, 0, 1]
        assert found.event_id is not None
        assert found.event_id["event"].tolist() == [11, 12, 13]
        assert found.event_id["run"].tolist() == [1, 1, 1]
        assert read(save(path, lists)).event_id is None

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"adc": [[4, 5], [6]]}, "differ in length"),
            ({"adc": [[4.0], [6.5]]}, "event 1: column 'adc' holds 6.5 as float64"),
            ({"adc": [["4"], ["6"]]}, "column 'adc' holds object"),
            ({"adc": [[4], None]}, "rows without a value"),
            ({"adc": [[4], [None]]}, "rows without a value"),
            ({"adc": [4, 6]}, "mixes lists and numbers"),
            ({"event": [-3, 4]}, "event -3 is negative"),
            ({"event": [None, 4]}, "rows without a value"),
            ({"row": [[1], [200]]}, "event 1, module .*: row 200"),
        ],
        ids=str,
    )
    def test_bad_lists(self, changes: dict[str, Any], words: str, tmp_path: Path) -> None:
        lists = {"detid": [[ID], [ID]], "row": [[1], [2]], "col": [[1], [2]], "adc": [[4], [6]]}
        path = save(tmp_path / "t.parquet", lists | changes)
        with pytest.raises(PixlabError, match=words) as caught:
            read(path)
        assert is_clean(caught.value, path)

    def test_numbers_without_a_value(self, tmp_path: Path) -> None:
        path = save(tmp_path / "t.parquet", table([0, 1], adc=[3, None]))
        with pytest.raises(FormatError, match="column 'adc' has rows without a value"):
            read(path)

    def test_strings(self, tmp_path: Path) -> None:
        path = save(tmp_path / "t.parquet", table([0, 1], adc=["3", "4"]))
        with pytest.raises(FormatError, match="column 'adc' holds object"):
            read(path)

    def test_damaged_description(self, tmp_path: Path) -> None:
        write(random_digis(n_events=2), tmp_path / "t.parquet")
        found = pq.read_table(tmp_path / "t.parquet")
        for about in ("{", "{}", '{"detector": {"name": "phase7"}}'):
            path = tmp_path / "changed.parquet"
            pq.write_table(found.replace_schema_metadata({"pixlab": about}), path)
            with pytest.raises(FormatError) as caught:
                read(path)
            assert is_clean(caught.value, path)
