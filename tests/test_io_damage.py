"""Damaged and hostile files: one line of error, or digis inside their detector; nothing else.

ROOT files have no checksum of their own, so that a flipped bit may read as another digi: it must
then be one that the detector has.
"""

from __future__ import annotations

import lzma
import pickle
import signal
import struct
import time
import tracemalloc
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Literal

import h5py
import numpy as np
import pytest

from pixlab.digis import EVENT_ID
from pixlab.errors import FormatError, PixlabError
from pixlab.io import iterate, read, write
from pixlab.io.baskets import unpack
from tests.helpers import random_digis
from tests.io_cases import DATA, SIM, inside, is_clean

MEGA = 1 << 20
# every split level, packed and plain descriptions of trees, baskets inside a tree, two products
SMALL = [
    "edm_many_none_split99",
    "edm_many_embedded",
    "edm_many_old_aux",
    "edm_edge_zstd_split1",
    "edm_two_branches_split0",
    "edm_bad_unsorted",
    "flat_rows",
    "flat_vectors",
]
LARGE = ["edm_pu60_zstd_split99", "edm_full_lzma_split0_flag", "edm_pu200_lzma_split0"]


@contextmanager
def seconds(limit: float) -> Iterator[None]:
    """Fail where the block takes longer than it may."""

    def stop(number: int, frame: FrameType | None) -> None:
        # no Exception, or the reader would make it one of its own
        raise KeyboardInterrupt(f"no answer in {limit} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, limit)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def limits(limit: float, megabytes: float) -> Iterator[None]:
    """Fail where the block takes longer, or more memory at once, than it may."""
    tracemalloc.reset_peak()
    start = tracemalloc.get_traced_memory()[0]
    with seconds(limit):
        yield
    used = (tracemalloc.get_traced_memory()[1] - start) / MEGA
    assert used < megabytes, f"{used:.0f} MB at once"


@pytest.fixture
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


def outcome(path: Path, branch: str | None, megabytes: float, blocks: bool) -> str:
    """Read a file, whole or in blocks: "read", "refused" or a failure of the test."""
    with limits(20, megabytes):
        try:
            if blocks:
                assert all(inside(block) for block in iterate(path, events=50, branch=branch))
            else:
                assert inside(read(path, branch=branch))
            return "read"
        except PixlabError as error:
            assert is_clean(error, path), str(error)
            return "refused"


def damage(
    names: list[str], rounds: int, tmp_path: Path, change: Callable[[bytearray], bytearray]
) -> Counter[str]:
    """How reading ends for changed copies of the files, in turn."""
    ends: Counter[str] = Counter()
    whole = {name: (DATA / f"{name}.root").read_bytes() for name in names}
    path = tmp_path / "damaged.root"
    for i in range(rounds):
        name = names[i % len(names)]
        path.write_bytes(change(bytearray(whole[name])))
        # a reader needs some copies of a file, and of what it unpacks to
        megabytes = 40 + 20 * len(whole[name]) / MEGA
        blocks = i // len(names) % 4 == 3
        ends[outcome(path, SIM if "two" in name else None, megabytes, blocks)] += 1
    return ends


def truncation(seed: int) -> Callable[[bytearray], bytearray]:
    rng = np.random.default_rng(seed)
    return lambda content: content[: rng.integers(len(content))]


def flip(seed: int, most: int = 1) -> Callable[[bytearray], bytearray]:
    rng = np.random.default_rng(seed)

    def change(content: bytearray) -> bytearray:
        for _ in range(rng.integers(1, most + 1)):
            content[rng.integers(len(content))] ^= 1 << rng.integers(8)
        return content

    return change


def numbers(seed: int, order: Literal["big", "little"] = "big") -> Callable[[bytearray], bytearray]:
    """Whole numbers of 1 to 8 bytes replaced by those that sizes should never be."""
    rng = np.random.default_rng(seed)
    values = [0, 1, 2**15, 2**30, 2**30 + 100, 2**31 - 1, 2**32 - 1, 2**40, 2**63 - 1, 2**64 - 1]

    def change(content: bytearray) -> bytearray:
        size = int(rng.choice([1, 2, 4, 8]))
        at = int(rng.integers(len(content) - size))
        content[at : at + size] = (int(rng.choice(values)) % 256**size).to_bytes(size, order)
        return content

    return change


@pytest.mark.usefixtures("traced")
class TestRootFiles:
    def test_200_truncations(self, tmp_path: Path) -> None:
        ends = damage(SMALL, 200, tmp_path, truncation(1))
        assert ends == {"refused": 200}

    def test_200_flips(self, tmp_path: Path) -> None:
        ends = damage(SMALL, 200, tmp_path, flip(2))
        assert ends["read"] > 10
        assert ends["refused"] > 10

    def test_200_wrong_numbers(self, tmp_path: Path) -> None:
        ends = damage(SMALL, 200, tmp_path, numbers(3))
        assert ends["refused"] > 50

    @pytest.mark.slow
    @pytest.mark.parametrize("seed", range(2))
    def test_many_more(self, seed: int, tmp_path: Path) -> None:
        everything = sorted(p.stem for p in DATA.glob("*.root"))
        for kind in (truncation(seed), flip(seed), flip(seed, most=10), numbers(seed)):
            assert damage(everything, 250, tmp_path, kind)["refused"] > 25

    @pytest.mark.slow
    @pytest.mark.parametrize("kind", [truncation, flip, numbers])
    def test_large_files(self, kind: Callable[[int], Callable], tmp_path: Path) -> None:
        assert damage(LARGE, 200, tmp_path, kind(5))["refused"] > 50

    def test_entries_beyond_all_memory(self, tmp_path: Path) -> None:
        whole = (DATA / "edm_many_none_split99.root").read_bytes()
        for size in (2**40, 2**62, -1):
            claim = whole.replace(struct.pack(">q", 120), struct.pack(">q", size))
            assert claim != whole
            path = tmp_path / "claim.root"
            path.write_bytes(claim)
            with limits(20, 40), pytest.raises(PixlabError) as caught:
                read(path)
            assert is_clean(caught.value, path)


def foreign(name: str, path: Path) -> None:
    """Write a file as others do, with the defaults of their libraries."""
    frame = random_digis(n_events=5, n_digis=400, n_modules=8).to_pandas()
    if name == "pandas.parquet":
        frame.to_parquet(path)
    elif name == "lists.parquet":
        lists = frame.groupby("event")[["detid", "row", "col", "adc"]].agg(list)
        lists.to_parquet(path, compression="gzip")
    elif name == "columns.h5":
        with h5py.File(path, "w") as file:
            for column in frame:
                options = {"chunks": (100,), "compression": "gzip", "shuffle": True}
                file.create_dataset(f"run/{column}", data=frame[column].to_numpy(), **options)
    elif name == "compound.h5":
        with h5py.File(path, "w") as file:
            file["digis"] = frame.to_records(index=False)
    elif name == "plain.npz":
        np.savez_compressed(path, **{column: frame[column].to_numpy() for column in frame})
    else:
        path.write_bytes((DATA / name).read_bytes())


FOREIGN = ["pandas.parquet", "lists.parquet", "columns.h5", "compound.h5", "plain.npz"]
FOREIGN += ["fei4_hits.h5", "rntuple_vectors.root", "edm_phase2_premix.root"]
OWN = [".npz", ".parquet", ".h5", ".pxl", ".root", ".rntuple.root", ".csv.gz"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pixlab.errors.PixlabWarning")
@pytest.mark.parametrize("name", [*OWN, *FOREIGN])
def test_many_mutated_files(name: str, tmp_path: Path) -> None:
    """Each is read, or refused in a line that names the file; quickly, and without a crash."""
    # uproot makes hundreds of branches first, or whole pages
    rounds = {"edm_phase2_premix.root": 200, "rntuple_vectors.root": 1000}.get(name, 2000)
    base = tmp_path / f"base{name}"
    if name in OWN:
        events = random_digis(n_events=5, n_digis=400, n_modules=8)
        ids = np.zeros(5, EVENT_ID)
        write(replace(events, flag=events.adc % 2 == 1, event_id=ids), base)
    else:
        foreign(name, base)
    whole = base.read_bytes()
    branch = "simSi" if name.startswith("edm") else None
    changes = [truncation(1), flip(2), flip(3, most=10), numbers(4), numbers(5, "little")]
    path = tmp_path / f"mutated{name}"
    ends: Counter[str] = Counter()
    for i in range(rounds):
        path.write_bytes(changes[i % len(changes)](bytearray(whole)))
        with seconds(20):
            try:
                assert inside(read(path, branch=branch))
                ends["read"] += 1
            except PixlabError as error:
                assert is_clean(error, path), str(error)
                ends["refused"] += 1
    assert ends["refused"] > rounds / 4


class TestUnpack:
    """Compressed blocks as ROOT writes them."""

    plain = bytes(range(256)) * 40

    @staticmethod
    def block(kind: bytes, packed: bytes, size: int) -> bytes:
        return (
            kind + b"\x08" + len(packed).to_bytes(3, "little") + size.to_bytes(3, "little") + packed
        )

    def packed(self, kind: bytes) -> bytes:
        import cramjam
        import xxhash

        if kind == b"ZL":
            return zlib.compress(self.plain)
        if kind == b"XZ":
            return lzma.compress(self.plain)
        if kind == b"ZS":
            return bytes(cramjam.zstd.compress(self.plain))
        raw = bytes(cramjam.lz4.compress_block(self.plain, store_size=False))
        return xxhash.xxh64(raw).digest() + raw

    @pytest.mark.parametrize("kind", [b"ZL", b"XZ", b"ZS", b"L4"])
    def test_every_algorithm(self, kind: bytes) -> None:
        n = len(self.plain)
        one = self.block(kind, self.packed(kind), n)
        assert unpack(memoryview(one), n, "it").tobytes() == self.plain
        assert unpack(memoryview(one + one), 2 * n, "it").tobytes() == 2 * self.plain
        for wrong in (n - 1, n + 1, 0, 2**31, -1):
            with pytest.raises(FormatError, match="sizes of it contradict"):
                unpack(memoryview(one), wrong, "it")
        # a block that unpacks to another size than it says, by far or by one
        for claim in (100, n - 1, n + 1):
            with pytest.raises(FormatError, match="it does not decompress"):
                unpack(memoryview(self.block(kind, self.packed(kind), claim)), claim, "it")
        for cut in (1, 10, len(one) // 2):
            with pytest.raises(FormatError):
                unpack(memoryview(one[:-cut]), n, "it")
            shorter = self.block(kind, self.packed(kind)[:-cut], n)
            with pytest.raises(FormatError, match="it does not decompress"):
                unpack(memoryview(shorter), n, "it")

    @pytest.mark.parametrize("kind", [b"ZL", b"XZ", b"L4"])
    def test_checksums(self, kind: bytes) -> None:
        good = self.block(kind, self.packed(kind), len(self.plain))
        rng = np.random.default_rng(0)
        for _ in range(50):
            bad = bytearray(good)
            bad[rng.integers(15, len(bad))] ^= 1 << rng.integers(8)
            with pytest.raises(FormatError):
                unpack(memoryview(bytes(bad)), len(self.plain), "it")

    def test_as_it_is(self) -> None:
        assert unpack(memoryview(self.plain), len(self.plain), "it").tobytes() == self.plain

    def test_unknown_algorithm(self) -> None:
        with pytest.raises(FormatError, match="unknown way b'CS'"):
            unpack(memoryview(self.block(b"CS", b"x" * 50, 100)), 100, "it")

    @pytest.mark.usefixtures("traced")
    def test_bombs(self) -> None:
        zeros = zlib.compress(bytes(100 * MEGA))
        with limits(10, 8), pytest.raises(FormatError, match="does not decompress"):
            unpack(memoryview(self.block(b"ZL", zeros, 1000)), 1000, "it")
        many = self.block(b"ZL", zlib.compress(b"x" * 100), 0xFFFFFF) * 100
        with limits(10, 8), pytest.raises(FormatError, match="contradict"):
            unpack(memoryview(many), 100 * 0xFFFFFF, "it")
        # a dictionary of 1.5 GB is announced in a header of a few bytes
        big = bytearray(lzma.compress(self.plain))
        size = 4 * (big[12] + 1)
        big[big.index(b"\x21\x01", 12) + 2] = 37
        big[8 + size : 12 + size] = zlib.crc32(big[12 : 8 + size]).to_bytes(4, "little")
        assert lzma.decompress(big) == self.plain
        with limits(10, 8), pytest.raises(FormatError, match="does not decompress"):
            unpack(
                memoryview(self.block(b"XZ", bytes(big), len(self.plain))), len(self.plain), "it"
            )


class TestArchives:
    """npz files: every member has a checksum, so damage is found or harmless."""

    @pytest.mark.usefixtures("traced")
    def test_flips_are_found(self, tmp_path: Path) -> None:
        digis = random_digis(n_events=4)
        path = tmp_path / "file.npz"
        write(digis, path)
        whole = path.read_bytes()
        ends: Counter[str] = Counter()
        change = flip(1, most=2)
        for _ in range(300):
            path.write_bytes(change(bytearray(whole)))
            try:
                with limits(10, 20):
                    assert read(path) == digis
                ends["read"] += 1
            except PixlabError as error:
                assert is_clean(error, path)
                ends["refused"] += 1
        assert ends["refused"] > 200

    def test_pickles_are_not_run(self, tmp_path: Path) -> None:
        ran = tmp_path / "ran"

        class Trap:
            def __reduce__(self) -> tuple[object, tuple[Path]]:
                return Path.touch, (ran,)

        path = tmp_path / "trap.npz"
        columns = {k: np.zeros(1, int) for k in ("event", "detid", "row", "col")}
        np.savez(path, adc=np.array([Trap()], object), **columns)
        with pytest.raises(FormatError, match="'adc' holds Python objects") as caught:
            read(path)
        assert is_clean(caught.value, path)
        assert not ran.exists()
        pickle.loads(pickle.dumps(Trap()))  # it would have
        assert ran.exists()

    @pytest.mark.usefixtures("traced")
    def test_claims(self, tmp_path: Path) -> None:
        path = tmp_path / "claim.npz"
        np.savez(path, event=np.zeros(3, "<i8"))
        whole = path.read_bytes()
        claim = whole.replace(b"(3,)", b"(9" + b"9" * 11 + b",)")[: len(whole)]
        path.write_bytes(claim)
        with limits(10, 8), pytest.raises(PixlabError) as caught:
            read(path)
        assert is_clean(caught.value, path)
        np.savez_compressed(
            path, event=np.zeros(3, int), detid=np.array([0]), row=[0], col=[0], adc=[0]
        )
        with pytest.raises(FormatError, match=r"column 'detid' has shape \(1,\)"):
            read(path)


def test_time_is_measured() -> None:
    """The limit of the tests above works."""
    tracemalloc.start()
    with pytest.raises(KeyboardInterrupt, match="no answer"), limits(0.05, 100):
        time.sleep(2)
    with pytest.raises(AssertionError, match="MB at once"), limits(10, 1):
        np.zeros(10 * MEGA, np.uint8)
    tracemalloc.stop()


@pytest.mark.parametrize("name", ["passwd", "table.csv", "events.root"])
def test_text_that_begins_with_root_is_not_taken_for_a_root_file(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text("root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1:daemon:/usr/sbin\n")
    with pytest.raises(FormatError, match=r"is no file that pixlab reads .*'root:x:0:0:root:'"):
        read(path)


def test_a_root_file_that_ends_early_is_called_truncated(tmp_path: Path) -> None:
    whole = (DATA / "flat_rows.root").read_bytes()
    for size in (6, 19, 200, len(whole) - 1):
        path = tmp_path / f"{size}.root"
        path.write_bytes(whole[:size])
        with pytest.raises(FormatError, match=f"truncated: {size} bytes of"):
            read(path)
