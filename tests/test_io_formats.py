"""One contract for all formats: what is written comes back, whole or in parts, or is refused."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixlab.detectors import DETECTORS
from pixlab.digis import EVENT_ID, Digis
from pixlab.errors import FormatError, PixlabError
from pixlab.io import FORMATS, info, iterate, read, write
from pixlab.io.files import atomic
from pixlab.io.places import expand
from pixlab.io.table import Format
from tests.helpers import full_module, random_digis, small_detector
from tests.io_cases import DATA, SUFFIXES, digis, inside, is_clean, same, truth


def numbered(events: Digis) -> Digis:
    """The same with flags and event numbers."""
    ids = np.zeros(len(events), EVENT_ID)
    ids["run"], ids["lumi"] = 316000, np.arange(len(events)) + 7
    ids["event"] = 2**40 + np.arange(len(events))
    return Digis(
        events.detector,
        events.offsets,
        events.detid,
        events.row,
        events.col,
        events.adc,
        events.adc % 2 == 1,
        ids,
    )


EDGES = {
    "no events": Digis.empty("phase1", 0),
    "only empty events": Digis.empty("phase1", 3),
    "empty events at both ends": Digis.concatenate(
        [Digis.empty("phase1", 2), random_digis(n_events=3), Digis.empty("phase1", 4)]
    ),
    "one digi": random_digis(n_events=1, n_digis=1),
    "a full module": full_module(adc=1023),
    "an own detector": random_digis(small_detector(), n_events=4, n_digis=80),
    "flags and event numbers": numbered(random_digis(n_events=5, seed=4)),
    "the Run-3 response": random_digis("phase1-run3", n_events=2),
}


@pytest.mark.parametrize("suffix", SUFFIXES)
class TestWritten:
    @pytest.mark.parametrize("name", EDGES)
    def test_edges_come_back(self, suffix: str, name: str, tmp_path: Path) -> None:
        path = tmp_path / f"file{suffix}"
        write(EDGES[name], path)
        back = read(path)
        assert same(back, EDGES[name])
        assert back.detector.name == EDGES[name].detector.name
        assert back.detector.layers == EDGES[name].detector.layers

    @settings(max_examples=30, deadline=None, derandomize=True)
    @given(events=digis())
    def test_anything_comes_back(self, suffix: str, events: Digis) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"file{suffix}"
            write(events, path)
            assert same(read(path), events)
            assert [p.name for p in Path(folder).iterdir()] == [path.name]

    @settings(max_examples=10, deadline=None, derandomize=True)
    @given(events=digis(), data=st.data())
    def test_any_range_comes_back(self, suffix: str, events: Digis, data: st.DataObject) -> None:
        bound = st.none() | st.integers(-8, 8)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"file{suffix}"
            write(events, path)
            for _ in range(5):
                start, stop = data.draw(bound), data.draw(bound)
                step = data.draw(st.none() | st.integers(1, 3) | st.integers(-3, -1))
                chosen = slice(start, stop, step)
                assert same(read(path, events=chosen), events[chosen])
                assert same(read(path, events=(start, stop)), events[start:stop])

    @pytest.mark.parametrize("size", [1, 2, 5, 100])
    def test_blocks_are_the_file(self, suffix: str, size: int, tmp_path: Path) -> None:
        events = EDGES["empty events at both ends"]
        path = tmp_path / f"file{suffix}"
        write(events, path)
        blocks = list(iterate(path, events=size))
        assert [len(b) for b in blocks[:-1]] == [size] * (len(blocks) - 1)
        assert same(Digis.concatenate(blocks), events)

    def test_blocks_span_files(self, suffix: str, tmp_path: Path) -> None:
        parts = [random_digis(n_events=3, seed=s) for s in range(3)]
        paths = [tmp_path / f"part{i}{suffix}" for i in range(3)]
        for part, path in zip(parts, paths, strict=True):
            write(part, path)
        for given_as in (paths, str(tmp_path / f"part*{suffix}")):
            blocks = list(iterate(given_as, events=4))
            assert [len(b) for b in blocks] == [4, 4, 1]
            assert Digis.concatenate(blocks) == Digis.concatenate(parts)

    def test_content_tells_the_format(self, suffix: str, tmp_path: Path) -> None:
        events = EDGES["one digi"]
        write(events, tmp_path / f"file{suffix}")
        renamed = tmp_path / "file.txt"
        (tmp_path / f"file{suffix}").rename(renamed)
        assert read(renamed) == events
        assert suffix in FORMATS[info(renamed)["format"]].suffixes

    def test_odd_paths(self, suffix: str, tmp_path: Path) -> None:
        folder = tmp_path / "dir with:colon [x] ü"
        folder.mkdir()
        path = folder / f"a:b*{suffix.upper()}"
        write(EDGES["one digi"], str(path))
        assert read(str(path)) == EDGES["one digi"]
        assert list(iterate(path)) == [EDGES["one digi"]]

    def test_detector_overrides(self, suffix: str, tmp_path: Path) -> None:
        events = EDGES["one digi"]
        path = tmp_path / f"file{suffix}"
        write(events, path)
        for chosen in ("phase1-run3", DETECTORS["phase1-run3"]):
            assert read(path, detector=chosen).detector.name == "phase1-run3"
        with pytest.raises(PixlabError, match=r"toy.*no module with id"):
            read(path, detector=small_detector())
        with pytest.raises(PixlabError, match="no detector is called 'phase9'"):
            read(path, detector="phase9")

    def test_an_older_file_stays_until_the_new_one_is_whole(
        self, suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / f"file{suffix}"
        write(EDGES["one digi"], path)
        name = next(k for k, f in FORMATS.items() if suffix in f.suffixes)

        def fail(events: Digis, path: Path) -> None:
            path.write_bytes(b"half")
            raise RuntimeError("stopped")

        monkeypatch.setitem(FORMATS, name, FORMATS[name]._replace(write=fail))
        with pytest.raises(RuntimeError):
            write(EDGES["a full module"], path)
        assert [p.name for p in tmp_path.iterdir()] == [path.name]
        assert read(path) == EDGES["one digi"]

    def test_truncated_is_an_error(self, suffix: str, tmp_path: Path) -> None:
        path = tmp_path / f"file{suffix}"
        write(EDGES["flags and event numbers"], path)
        whole = path.read_bytes()
        rng = np.random.default_rng(1)
        for at in [1, 3, 4, 30, len(whole) - 1, *rng.integers(1, len(whole), 60)]:
            path.write_bytes(whole[:at])
            with pytest.raises(PixlabError) as caught:
                read(path)
            assert is_clean(caught.value, path)

    def test_flipped_is_an_error_or_inside_the_detector(self, suffix: str, tmp_path: Path) -> None:
        path = tmp_path / f"file{suffix}"
        write(EDGES["an own detector"], path)
        whole = path.read_bytes()
        rng = np.random.default_rng(2)
        outcomes = set()
        for _ in range(200):
            damaged = bytearray(whole)
            damaged[rng.integers(len(whole))] ^= 1 << rng.integers(8)
            path.write_bytes(damaged)
            try:
                back = read(path)
                assert inside(back)
                outcomes.add("read")
            except PixlabError as error:
                assert is_clean(error, path)
                outcomes.add("refused")
        assert "refused" in outcomes

    def test_unwritable_places(self, suffix: str, tmp_path: Path) -> None:
        with pytest.raises(PixlabError, match="does not exist; make it first"):
            write(EDGES["one digi"], tmp_path / "nowhere" / f"file{suffix}")
        (tmp_path / f"folder{suffix}").mkdir()
        with pytest.raises(PixlabError, match="is a directory"):
            write(EDGES["one digi"], tmp_path / f"folder{suffix}")


@pytest.mark.parametrize("name", FORMATS)
class TestTable:
    def test_entry_is_complete(self, name: str) -> None:
        entry = FORMATS[name]
        assert isinstance(entry, Format)
        assert bool(entry.suffixes) == (entry.write is not None)

    def test_sniff_knows_what_is_not_its_own(self, name: str) -> None:
        rng = np.random.default_rng(0)
        assert not FORMATS[name].sniff(b"")
        assert not FORMATS[name].sniff(b"P")
        assert not FORMATS[name].sniff(b"time,energy\n1,2\n")
        assert not any(FORMATS[name].sniff(rng.bytes(512)) for _ in range(50))

    def test_forced_on_another_file(self, name: str, tmp_path: Path) -> None:
        path = tmp_path / "text.txt"
        path.write_text("this is no file of digis\n")
        with pytest.raises(PixlabError, match=FORMATS[name].what) as caught:
            read(path, format=name)
        assert is_clean(caught.value, path)


def test_suffixes_are_unique() -> None:
    assert len(SUFFIXES) == len(set(SUFFIXES))


def test_unknown_suffix(tmp_path: Path) -> None:
    for name in ("file.tsv", "file"):
        with pytest.raises(PixlabError, match=r"\.npz"):
            write(EDGES["one digi"], tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("call", [read, info, lambda p: list(iterate(p))])
def test_what_is_no_file_of_digis(call: object, tmp_path: Path) -> None:
    assert callable(call)
    (tmp_path / "empty").touch()
    (tmp_path / "sqlite").write_bytes(b"SQLite format 3\0" + bytes(100))
    (tmp_path / "short").write_bytes(b"P")
    for name, words in (
        ("missing.root", "does not exist"),
        ("", "is a directory"),
        ("empty", "is empty"),
        ("sqlite", "is no file that pixlab reads"),
        ("short", "is no file that pixlab reads"),
    ):
        with pytest.raises(PixlabError, match=words) as caught:
            call(tmp_path / name)
        assert is_clean(caught.value, tmp_path / name)


def test_bad_arguments(tmp_path: Path) -> None:
    path = DATA / "truth_many.npz"
    for events in (3, "all", (1, 2, 3), (0.5, 2), slice(None, None, 0)):
        with pytest.raises(PixlabError, match="no range of events"):
            read(path, events=events)
    for size in (0, -1, 2.5):
        with pytest.raises(PixlabError, match="no size of a block"):
            iterate(path, events=size)  # type: ignore[arg-type]
    with pytest.raises(PixlabError, match="no format is called 'xml'"):
        read(path, format="xml")
    with pytest.raises(PixlabError, match="no branches"):
        read(path, branch="sim")
    with pytest.raises(PixlabError, match="no file matches"):
        iterate(str(tmp_path / "*.root"))
    with pytest.raises(PixlabError, match="no file was given"):
        iterate([])


def test_expand_takes_names_with_brackets_literally(tmp_path: Path) -> None:
    odd = tmp_path / "run[3].npz"
    odd.touch()
    assert expand(odd) == [odd]


def test_iterate_stops_at_the_damaged_file(tmp_path: Path) -> None:
    good, bad = tmp_path / "a.npz", tmp_path / "b.npz"
    write(EDGES["one digi"], good)
    bad.write_bytes(good.read_bytes()[:-30])
    blocks = iterate([good, bad], events=1)
    assert next(blocks) == EDGES["one digi"]
    with pytest.raises(FormatError, match=r"b\.npz"):
        next(blocks)


def test_iterate_refuses_two_detectors(tmp_path: Path) -> None:
    write(EDGES["an own detector"], tmp_path / "a.npz")
    write(EDGES["one digi"], tmp_path / "b.npz")
    with pytest.raises(PixlabError, match="different detectors"):
        list(iterate(str(tmp_path / "*.npz"), events=100))


def test_atomic_leaves_nothing_behind(tmp_path: Path) -> None:
    for failure in (KeyboardInterrupt, OSError, ValueError):
        with pytest.raises((failure, PixlabError)), atomic(tmp_path / "x") as temporary:  # noqa: PT012
            temporary.write_bytes(b"half")
            raise failure
        assert not list(tmp_path.iterdir())


def test_info() -> None:
    found = info(DATA / "edm_many_none_split99.root")
    assert (found["format"], found["detector"], found["events"]) == ("edm", "phase1", 120)
    assert found["digis"] == truth("many").n_digis
    assert found["layers"] == truth("many").per_layer()
    assert found["bytes"] == (DATA / "edm_many_none_split99.root").stat().st_size
