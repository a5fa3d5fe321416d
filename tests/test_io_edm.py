"""The EDM reader against files that ROOT wrote, digi for digi."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixlab.detectors import DETECTORS
from pixlab.detectors.cms import suggested_by
from pixlab.digis import EVENT_ID, Digis
from pixlab.errors import FormatError, PixlabError, PixlabWarning, UnknownModuleError
from pixlab.io import baskets as baskets_module
from pixlab.io import iterate, read
from pixlab.io.baskets import Baskets
from pixlab.io.edm import EdmReader
from pixlab.io.events import How
from pixlab.io.guess import guess
from pixlab.io.root import RootFile, walk
from pixlab.io.source import Bytes
from tests.helpers import small_detector
from tests.io_cases import DATA, PREMIX, SIM, inside, is_clean, truth

# file -> (its truth, the part of the branch name to ask for)
FILES = {
    "edm_pu60_zstd_split99": ("pu60", None),
    "edm_pu200_lzma_split0": ("pu200", None),
    "edm_full_lzma_split0_flag": ("full", None),
    "edm_edge_zlib_split99": ("edge", None),
    "edm_edge_zstd_split1": ("edge", None),
    "edm_edge_lz4_split1_flag": ("edge", None),
    "edm_many_none_split99": ("many", None),
    "edm_many_zlib_split99_flag": ("many", None),
    "edm_many_zstd_split2": ("many", None),
    "edm_many_lzma_split2_flag": ("many", None),
    "edm_many_embedded": ("many", None),
    "edm_many_old_aux": ("many", None),
    "edm_two_branches_split99": ("many", SIM),
    "edm_two_branches_split1": ("many", SIM),
    "edm_two_branches_split0": ("many", SIM),
}
ELSEWHERE = os.environ.get("PIXLAB_TEST_DATA", "")


@pytest.mark.parametrize("name", FILES)
class TestAgainstTruth:
    def test_every_digi(self, name: str) -> None:
        expected, branch = FILES[name]
        found = read(DATA / f"{name}.root", branch=branch)
        assert found == truth(expected)
        assert inside(found)

    def test_flag_bits(self, name: str) -> None:
        expected, branch = FILES[name]
        flag = truth(expected).flag
        found = read(DATA / f"{name}.root", branch=branch).flag
        assert found is not None
        assert np.array_equal(found, np.zeros(len(found), bool) if flag is None else flag)

    @pytest.mark.parametrize("size", [1, 7, 50])
    def test_blocks(self, name: str, size: int) -> None:
        expected, branch = FILES[name]
        blocks = list(iterate(DATA / f"{name}.root", events=size, branch=branch))
        assert all(len(b) == size for b in blocks[:-1])
        assert Digis.concatenate(blocks) == truth(expected)

    def test_ranges(self, name: str) -> None:
        expected, branch = FILES[name]
        for events in (slice(1, 3), slice(-2, None), slice(None, None, 3), slice(2, 0, -1)):
            found = read(DATA / f"{name}.root", branch=branch, events=events)
            assert found == truth(expected)[events]


class TestElsewhere:
    """More files, where ``PIXLAB_TEST_DATA`` names a directory of them."""

    @pytest.fixture
    def directory(self) -> Path:
        if not ELSEWHERE:
            pytest.skip("PIXLAB_TEST_DATA names no directory with more files")
        return Path(ELSEWHERE)

    def test_every_digi(self, directory: Path) -> None:
        stems = {p.stem.removeprefix("truth_"): p for p in directory.glob("truth_*.npz")}
        files = sorted(directory.glob("edm_*.root"))
        assert files, f"no edm_*.root in {directory}"
        for path in files:
            fitting = [s for s in stems if path.stem.removeprefix("edm_").startswith(s)]
            with np.load(stems[max(fitting, key=len)]) as columns:
                kept = dict(columns)
            found = read(path)
            expected = Digis.from_arrays(**kept, detector="phase1", n_events=len(found))
            assert found == expected, path

    def test_flat_tree(self, directory: Path) -> None:
        flat = read(directory / "flat_digiTree_phase1_pu60.root")
        assert flat == read(directory / "edm_phase1_pu60_zstd4_split99.root")[: len(flat)]
        assert len(flat) == 4

    def test_real_file_without_pixel_digis(self, directory: Path) -> None:
        path = directory / "cms_edm_simhits.root"
        with pytest.raises(FormatError, match=r"100 events of .*PSimHit") as caught:
            read(path)
        assert is_clean(caught.value, path)

    def test_real_event_numbers(self, directory: Path) -> None:
        reader = object.__new__(EdmReader)  # the file has events, but no digis to open it for
        with Bytes(directory / "cms_edm_simhits.root") as source:
            file, reader.count = RootFile.of(source), 100
            (branch,) = (b for b in file.tree("Events").branches if b.name == "EventAuxiliary")
            reader._numbers = reader._event_auxiliary(source, branch)
            ids = reader._event_id(0, 100)
        assert ids is not None
        assert (ids["run"] == 1).all()
        assert np.array_equal(ids["event"], np.arange(1, 101))
        assert ids["lumi"].min() >= 1


class TestEventNumbers:
    def test_newer(self) -> None:
        for split in (99, 1, 0):
            found = read(DATA / f"edm_two_branches_split{split}.root", branch=SIM).event_id
            assert found is not None
            assert found.dtype == EVENT_ID
            place = np.arange(120)
            assert np.array_equal(found["run"], 316000 + place // 2)
            assert np.array_equal(found["lumi"], 7 + place)
            assert np.array_equal(found["event"], 3 * 2**32 + place)

    def test_32_bits(self) -> None:
        found = read(DATA / "edm_many_old_aux.root", events=(50, 60)).event_id
        assert found is not None
        assert np.array_equal(found["event"], 1000000 + np.arange(50, 60))
        assert np.array_equal(found["run"], 316000 + np.arange(50, 60) // 2)

    def test_none(self) -> None:
        assert read(DATA / "edm_many_none_split99.root").event_id is None


class TestBranches:
    path = DATA / "edm_two_branches_split99.root"

    def test_several_are_listed(self) -> None:
        with pytest.raises(PixlabError, match=f"2 branches: .*{SIM}.*{PREMIX}.*branch=") as caught:
            read(self.path)
        assert is_clean(caught.value, self.path)

    @pytest.mark.parametrize("split", [99, 1, 0])
    def test_other_product(self, split: int) -> None:
        # what Phase 1 has there has the instance name of Phase 2
        found = read(DATA / f"edm_two_branches_split{split}.root", branch=PREMIX, detector="phase1")
        assert len(found) == 120
        assert found[:6] == truth("edge")
        assert found[6:].n_digis == 0

    def test_chosen_by_name_or_part(self) -> None:
        full = f"PixelDigiedmDetSetVector_{SIM}."
        for name in (full, full.rstrip("."), SIM, "HLT", "simSi"):
            assert read(self.path, branch=name) == truth("many")
            assert sum(len(b) for b in iterate(self.path, branch=name)) == 120

    def test_none_like_it(self) -> None:
        with pytest.raises(PixlabError, match=f"like 'RAW'; choose one of .*{SIM}"):
            read(self.path, branch="RAW")
        with pytest.raises(PixlabError, match="2 branches"):
            read(self.path, branch="PixelDigi")

    def test_edm_new_is_refused_by_name(self) -> None:
        for path, branch in ((DATA / "edm_new_only.root", None), (self.path, "siPixelDigis__RECO")):
            with pytest.raises(PixlabError, match=r"edmNew::DetSetVector<PixelDigi>") as caught:
                read(path, branch=branch)
            assert is_clean(caught.value, path)

    def test_without_pixel_digis(self) -> None:
        path = DATA / "edm_links_only.root"
        with pytest.raises(PixlabError, match=r"2 events of .*PixelDigiSimLink") as caught:
            read(path)
        assert is_clean(caught.value, path)


class TestPremixed:
    """Libraries of pile-up: digis among 300 other branches, ids of Phase 0 and Phase 2."""

    path = DATA / "edm_phase2_premix.root"

    @pytest.mark.parametrize(
        ("branch", "name", "detector"),
        [
            ("simSiPixelDigis", "phase2_premix", "phase2-premix"),
            ("mixData", "phase2_tot", "phase2"),
        ],
    )
    def test_phase2(self, branch: str, name: str, detector: str) -> None:
        """Counts above 15 are those of pre-mixed files, others are time over threshold."""
        found = read(self.path, branch=branch)
        assert found.detector.name == detector
        assert found == truth(name, detector)
        assert found.event_id is not None
        assert found.event_id.tolist() == [(1, 100 + e, 12345 + e) for e in range(3)]

    def test_products_of_other_kinds_are_no_candidates(self) -> None:
        with pytest.raises(
            PixlabError, match=r"in 2 branches: .*simSi.*mixData.*branch="
        ) as caught:
            read(self.path)
        assert "Link" not in str(caught.value)
        assert "Tracker" not in str(caught.value)

    def test_phase0(self) -> None:
        found = read(DATA / "edm_phase0_premix.root")
        assert found.detector.name == "phase0"
        assert found == truth("phase0_premix", "phase0")

    @pytest.mark.parametrize("instance", ["", "Pixel"])
    def test_the_instance_tells_small_files_apart(self, instance: str) -> None:
        suggested = suggested_by(f"PixelDigiedmDetSetVector_simSiPixelDigis_{instance}_HLT.")
        digis = [np.array([v]) for v in (0, 303042564, 5, 7, 9)]
        assert guess(*digis).others == ("phase2",)
        found = guess(*digis, prefer=suggested)
        assert found.detector.name == ("phase2" if instance else "phase1")
        assert not found.others


class TestGuess:
    """Which detector digis are of, where nothing says it."""

    def digis(self, name: str) -> tuple[np.ndarray, ...]:
        detector, rng = DETECTORS[name], np.random.default_rng(5)
        module = np.sort(rng.integers(0, len(detector), 1000))
        row, col = rng.integers(0, detector.rows[module]), rng.integers(0, detector.cols[module])
        adc = rng.integers(0, detector.adc_max + 1, 1000)
        return np.zeros(1000, int), detector.detid[module], row, col, adc

    # of names that differ in what is no digi, the first is taken
    @pytest.mark.parametrize("name", [d for d in DETECTORS if not d.startswith("phase1-")])
    def test_every_detector(self, name: str) -> None:
        found = guess(*self.digis(name))
        assert (found.detector.name, found.others) == (name, ())

    def test_ids_that_two_have(self) -> None:
        both = np.intersect1d(DETECTORS["phase1"].detid, DETECTORS["phase2"].detid)
        n = len(both)
        assert n > 100
        zero = np.zeros(n, int)
        assert guess(zero[:5], both[:5], zero, zero, zero).others == ("phase2",)
        # a hundred modules whose hits all lie in the smaller matrix
        assert guess(zero, both, zero, zero, zero) == (DETECTORS["phase1"], ())
        assert guess(zero, both, zero + 160, zero, zero).detector.name == "phase2"
        one = np.where(np.arange(len(both)) == 3, 160, 0)
        assert guess(zero, both, one, zero, zero) == (DETECTORS["phase1"], ())  # an error to name
        assert guess(zero, both, zero, zero + 433, zero + 9).detector.name == "phase2"
        assert guess(zero, both, zero + 670, zero, zero + 9).detector.name == "phase2-25x100"

    def test_the_first_files_decide_for_the_next(self, tmp_path: Path) -> None:
        """A small file behind a large one is of the same detector."""
        large, small = tmp_path / "a.npz", tmp_path / "b.npz"
        for path, columns in ((large, self.digis("phase2")), (small, (0, 303042564, 5, 7, 9))):
            names = ("event", "detid", "row", "col", "adc")
            np.savez(path, **{k: np.atleast_1d(v) for k, v in zip(names, columns, strict=True)})
        assert [b.detector.name for b in iterate([large, small])] == ["phase2"]
        with pytest.warns(PixlabWarning, match=r"b\.npz: .* 'phase1', but phase2 fit as well"):
            assert read(small).detector.name == "phase1"

    def test_blocks_agree_with_the_file(self, tmp_path: Path) -> None:
        """The first events are without digis, or with those that other detectors have, too."""
        columns = {"event": [4, 5], "detid": [303042564] * 2, "row": [5, 300], "col": [7] * 2}
        path = tmp_path / "a.npz"
        np.savez(path, n_events=7, adc=[9] * 2, **columns)
        for size in (1, 2, 7):
            assert {b.detector.name for b in iterate(path, events=size)} == {"phase2"}
        assert read(path, events=(6, 7)).detector.name == "phase2"


class TestOddFiles:
    def test_no_digis_and_no_events(self) -> None:
        assert read(DATA / "edm_empty.root") == Digis.empty("phase1", 3)
        assert read(DATA / "edm_no_events.root") == Digis.empty("phase1", 0)
        assert list(iterate(DATA / "edm_no_events.root")) == []

    def test_objectwise_is_refused(self) -> None:
        with pytest.raises(FormatError, match=r"event 0: .* object by object.*MemberWise"):
            read(DATA / "edm_many_objectwise.root")

    def test_modules_in_no_order(self) -> None:
        found = read(DATA / "edm_bad_unsorted.root")
        assert found.detid[3:6].tolist() == [303042564, 344200196, 344200196]
        assert found.row[3:6].tolist() == [6, 7, 9]

    @pytest.mark.parametrize(
        ("name", "words"),
        [
            ("row_outside", "event 1, module 303042564: row 160 is outside 0 to 159"),
            ("col_outside", "event 1, module 344200196: col 416 is outside 0 to 415"),
            ("duplicate", "event 1: pixel row 5, col 1 of module 303042564 occurs twice"),
            ("unknown_id", "event 1: detector 'phase1' has no module with id 344200197"),
        ],
    )
    def test_mistakes_name_the_event(self, name: str, words: str) -> None:
        path = DATA / f"edm_bad_{name}.root"
        for events in (None, (1, 3)):
            with pytest.raises(PixlabError, match=words) as caught:
                read(path, events=events)
            assert is_clean(caught.value, path)
        assert read(path, events=(2, 3)).n_digis == 3
        assert ('duplicates="sum" (--duplicates sum)' in str(caught.value)) == (name == "duplicate")

    def test_detector(self) -> None:
        path = DATA / "edm_edge_zlib_split99.root"
        assert read(path).detector is DETECTORS["phase1"]
        assert read(path, detector="phase1-run3").detector is DETECTORS["phase1-run3"]
        with pytest.raises(UnknownModuleError, match="event 1: detector 'toy' has no module"):
            read(path, detector=small_detector())


def test_baskets_are_unpacked_when_they_are_needed_and_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    unpacked: list[str] = []

    def counting(data: memoryview, size: int, what: str, *limit: int) -> np.ndarray:
        unpacked.append(what)
        return original(data, size, what, *limit)

    original = baskets_module.unpack
    monkeypatch.setattr(baskets_module, "unpack", counting)
    blocks = iterate(DATA / "edm_many_none_split99.root", events=10, detector="phase1")
    first = next(blocks)
    assert len(unpacked) == 2  # one of ids, one of digis, of ten in the file
    rest = list(blocks)
    assert len(unpacked) == len(set(unpacked)) == 10
    assert Digis.concatenate([first, *rest]) == truth("many")


class TestKernels:
    """`scan` on bytes that no file would have: it stops, or all it found lies inside."""

    @settings(max_examples=300, deadline=None, derandomize=True)
    @given(data=st.data())
    def test_bounds(self, data: st.DataObject) -> None:
        from pixlab.io import edm_kernels as kernels

        form = data.draw(
            st.sampled_from([kernels.WRAPPER, kernels.OBJECT, kernels.SETS, kernels.DIGIS])
        )
        content, counts = self.entries(form)
        changes = data.draw(
            st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=4)
        )
        for at, value in changes:
            content[at % len(content)] = value
        cuts = data.draw(st.lists(st.integers(0, len(content)), min_size=1, max_size=3))
        offsets = np.array([0, *sorted(cuts), len(content)] if changes else [0, len(content)])
        n = len(offsets) - 1
        n_sets = np.resize(counts, n) if form == kernels.DIGIS else np.zeros(n, np.int64)
        ids_at, digis_at, n_digis = np.zeros((3, n), np.int64)
        content.flags.writeable = False
        problem, entry = kernels.scan(content, offsets, form, n_sets, ids_at, digis_at, n_digis)
        assert problem in (0, *kernels.PROBLEMS)
        assert 0 <= entry < n
        if not changes:
            assert problem == 0
        if problem:
            return
        assert 4 * (n_sets.sum() + n_digis.sum()) <= 2 * len(content)
        assert 4 * n_digis.sum() <= len(content)
        for e in range(n):
            if n_sets[e]:
                end = digis_at[e] + 4 * (n_sets[e] + n_digis[e])
                assert offsets[e] <= digis_at[e] <= end <= offsets[e + 1]
                assert form == kernels.DIGIS or ids_at[e] + 4 * n_sets[e] <= digis_at[e]

    @staticmethod
    def entries(form: int) -> tuple[np.ndarray, np.ndarray]:
        """A true entry of a real file in this form, and the number of modules in it."""
        names = ["edm_two_branches_split0", "edm_two_branches_split1", "edm_many_zstd_split2"]
        name = [*names, "edm_many_none_split99"][form]
        with Bytes(DATA / f"{name}.root") as source:
            reader = EdmReader(source, How(branch=SIM))
            piece = next(iter(reader._sets.pieces(3, 4)))
            split = reader._ids is not None
            counts = reader._split_ids(3, 4)[0] if split else np.zeros(1, np.int64)
        return np.array(piece.data[piece.offsets[0] : piece.offsets[1]]), counts


class Changed:
    """A branch of uproot's with some members replaced."""

    embedded_baskets: tuple[object, ...] = ()

    def __init__(self, branch: Any, **members: Any) -> None:
        self.name, self._branch, self._members = branch.name, branch, members

    def member(self, name: str) -> Any:
        return self._members[name] if name in self._members else self._branch.member(name)


class TestBaskets:
    @pytest.fixture
    def file(self) -> Iterator[RootFile]:
        with Bytes(DATA / "edm_many_none_split99.root") as source:
            yield RootFile.of(source)

    def branch(self, file: RootFile, end: str) -> Any:
        return next(b for b in walk(file.tree("Events")) if b.name.endswith(end))

    @pytest.mark.parametrize(
        "members",
        [
            {"fEntries": 2**40},
            {"fEntries": 119},
            {"fEntries": -1},
            {"fWriteBasket": 3},
            {"fBasketEntry": np.array([0, 40, 30, 60, 80, 90, 100, 120])},
            {"fBasketEntry": np.array([1, 16, 34, 52, 69, 86, 103, 120])},
            {"fBasketSeek": np.zeros(10, np.int64)},
        ],
        ids=str,
    )
    def test_sums(self, file: RootFile, members: dict[str, Any]) -> None:
        branch = self.branch(file, "_sets.data")
        assert Baskets(file.source, Changed(branch)).entries == 120
        with pytest.raises(FormatError, match="do not add up"):
            Baskets(file.source, Changed(branch, **members))

    @pytest.mark.parametrize(
        ("member", "change", "words"),
        [
            ("fBasketSeek", 10**12, "should be at bytes"),
            ("fBasketSeek", -(10**12), "should be at bytes"),
            ("fBasketSeek", 1, "has a header of another size"),
            ("fBasketBytes", 2**31 - 10**6, "should be at bytes"),
            ("fBasketBytes", -1, "has a header of another size"),
            ("fBasketBytes", -(10**6), "should be at bytes"),
            ("fBasketEntry", [0, 1, 0, 0, 0, 0, 0, 0], "another number of entries"),
        ],
    )
    def test_places_and_sizes(self, file: RootFile, member: str, change: Any, words: str) -> None:
        branch = self.branch(file, "_sets.data")
        values = branch.member(member)[:8].astype(np.int64) + change
        changed = Changed(branch, **{member: values})
        with pytest.raises(FormatError, match=words):
            for _ in Baskets(file.source, changed).pieces(0, 120):
                pass


class TestFastConstructor:
    """`Digis._from_sorted` takes what is in order, and refuses all that `from_arrays` does."""

    first, second = (int(i) for i in DETECTORS["phase1"].detid[:2])

    def make(self, **changes: Any) -> Digis:
        columns: dict[str, Any] = {
            "offsets": np.array([0, 2, 2, 4]),
            "detid": np.array([self.first, self.first, self.first, self.second], np.uint32),
            "row": np.array([3, 3, 9, 0], np.uint16),
            "col": np.array([4, 5, 0, 0], np.uint16),
            "adc": np.array([7, 8, 9, 10], np.uint16),
        }
        kept = columns | {
            k: np.array(v, columns[k].dtype if k in columns else None) for k, v in changes.items()
        }
        return Digis._from_sorted(DETECTORS["phase1"], **kept, first_event=50)

    def test_in_order(self) -> None:
        made = self.make()
        event = np.array([0, 0, 2, 2])
        columns = (made.detid, made.row, made.col, made.adc)
        assert made == Digis.from_arrays(event, *columns, detector="phase1")

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"row": [3, 3, 160, 0]}, "event 52, module .*: row 160 is outside"),
            ({"col": [4, 416, 0, 0]}, "event 50, module .*: col 416 is outside"),
            ({"adc": [7, 8, 9, 1024]}, "event 52, module .*: adc 1024 is outside"),
            ({"col": [4, 4, 0, 0]}, "event 50: pixel row 3, col 4 .* occurs twice"),
            ({"col": [5, 4, 0, 0]}, "not in order"),
            ({"row": [9, 3, 9, 0]}, "not in order"),
            ({"detid": [first, first, second, first]}, "not in order"),
            ({"detid": [first, first, first, 12]}, "no module with id 12"),
            ({"offsets": [0, 2, 1, 4]}, "offsets of the events"),
            ({"offsets": [0, 2, 5]}, "offsets of the events"),
            ({"offsets": [1, 4]}, "offsets of the events"),
            ({"adc": [7, 8, 9]}, "differ in length"),
            ({"flag": [True]}, "differ in length"),
            ({"event_id": [1, 2]}, "2 event ids for 3 events"),
        ],
        ids=str,
    )
    def test_refused(self, changes: dict[str, Any], words: str) -> None:
        with pytest.raises(PixlabError, match=words):
            self.make(**changes)
