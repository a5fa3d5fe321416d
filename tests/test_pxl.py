"""The .pxl file: what it says of itself, ranges of events, damage, atomic writing."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pytest

import pixlab
from pixlab.coding.container import VERSION
from pixlab.errors import FormatError, PixlabError
from pixlab.io import info
from pixlab.io.pxl import PxlReader
from pixlab.io.source import Bytes
from tests.helpers import full_module, random_digis, skip_unless_installed, small_detector


@pytest.fixture(scope="module")
def digis():
    return random_digis(n_events=30, n_digis=3000, n_modules=20, seed=4)


@pytest.fixture
def chunked(digis, tmp_path, monkeypatch):
    """A file of several chunks."""
    monkeypatch.setattr("pixlab.codecs.base.CHUNK_DIGIS", 400)
    pixlab.compress(digis, tmp_path / "chunks.pxl")
    return tmp_path / "chunks.pxl"


def test_the_ledger_adds_up_to_the_file(digis, chunked):
    facts = info(chunked)
    size = chunked.stat().st_size
    assert sum(facts["ledger"].values()) == facts["bytes"] == size
    assert facts["bits_per_digi"] == 8 * size / digis.n_digis
    assert facts["model_bytes"] == facts["ledger"]["model"] > 0
    assert (facts["events"], facts["digis"]) == (len(digis), digis.n_digis)
    assert (facts["codec"], facts["detector"]) == ("lossless", "phase1")
    assert json.loads(json.dumps(facts)) == facts


def test_any_tool_can_list_it(chunked):
    with zipfile.ZipFile(chunked) as archive:
        names = archive.namelist()
        assert archive.testzip() is None
        assert json.loads(archive.read("header.json"))["version"] == VERSION
    assert names[0] == "model.safetensors"
    assert "chunks/000003.bin" in names


def test_equal_content_gives_equal_bytes(digis, tmp_path):
    for name in ("a.pxl", "b.pxl"):
        pixlab.compress(digis, tmp_path / name)
    assert (tmp_path / "a.pxl").read_bytes() == (tmp_path / "b.pxl").read_bytes()


def test_a_range_of_events_reads_its_chunks_alone(digis, chunked):
    with Bytes(chunked) as source:
        first = int(PxlReader(source).chunks[0, 0])
    assert pixlab.read(chunked, events=(3, 17)) == digis[3:17]
    assert pixlab.read(chunked) == digis
    _spoil(chunked, "chunks/000001.bin")
    assert pixlab.read(chunked, events=(0, first)) == digis[:first]
    with pytest.raises(FormatError, match="000001"):
        pixlab.read(chunked, events=(first, first + 1))


def _spoil(path, member):
    """Flip a bit in the middle of a member."""
    with zipfile.ZipFile(path) as archive:
        found = archive.getinfo(member)
    data = bytearray(path.read_bytes())
    data[found.header_offset + 30 + len(member) + found.compress_size // 2] ^= 4
    path.write_bytes(bytes(data))


def _rewrite(path, **changes):
    """The same archive with another header."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    header = json.loads(members["header.json"]) | changes
    members["header.json"] = json.dumps(header).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": VERSION + 1}, "update pixlab"),
        ({"version": "1"}, "no version"),
        ({"format": "other"}, "no .pxl file"),
        ({"events": 31}, "header is damaged"),
        ({"chunks": [[10**30, 1]]}, "header is damaged"),
        ({"chunks": "x"}, "header is damaged"),
        ({"chunks": [[30, 0]], "digis": 0}, "does not fit the header"),
    ],
)
def test_a_wrong_header_is_refused(digis, tmp_path, changes, message):
    path = tmp_path / "x.pxl"
    pixlab.compress(digis, path)
    _rewrite(path, **changes)
    with pytest.raises(FormatError, match=message):
        pixlab.read(path)


def _damaged_copies(data, rng, n):
    for size in rng.integers(0, len(data), n):
        yield data[:size]
    for at in rng.integers(0, len(data), n):
        bad = bytearray(data)
        bad[at] ^= 1 << rng.integers(0, 8)
        yield bytes(bad)
    for at in rng.integers(0, len(data) - 16, n // 4):
        bad = bytearray(data)
        bad[at : at + 16] = rng.bytes(16)
        yield bytes(bad)


@pytest.mark.parametrize("codec", sorted(pixlab.CODECS))
def test_damage_gives_the_right_data_or_one_line(codec, tmp_path):
    skip_unless_installed(codec)
    digis = random_digis(n_events=6, n_digis=800, seed=1)
    path = tmp_path / "x.pxl"
    pixlab.compress(digis, path, codec=codec)
    right, refused = pixlab.read(path), 0
    rng = np.random.default_rng(5)
    for bad in _damaged_copies(path.read_bytes(), rng, 200):
        path.write_bytes(bad)
        try:
            assert pixlab.read(path) == right
        except PixlabError as error:
            refused += 1
            assert "\n" not in str(error)
            assert str(path) in str(error)
    assert refused > 300


def test_a_failed_write_leaves_the_old_file(digis, tmp_path, monkeypatch):
    path = tmp_path / "x.pxl"
    pixlab.compress(digis, path)
    before = path.read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "writestr", full)
    with pytest.raises(PixlabError, match="No space left"):
        pixlab.compress(digis[:3], path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["x.pxl"]


def test_a_users_own_detector_travels_in_the_file(tmp_path):
    digis = random_digis(small_detector(), n_events=4, n_digis=200)
    pixlab.write(digis, tmp_path / "toy.pxl")
    again = pixlab.read(tmp_path / "toy.pxl")
    assert again == digis
    assert again.detector.name == "toy"
    assert again.detector.layers == digis.detector.layers


def test_compress_takes_a_file_and_a_model(digis, tmp_path):
    pixlab.write(digis, tmp_path / "in.npz")
    model = pixlab.PatchVQ(codebook_size=16).fit(digis)
    facts = pixlab.compress(tmp_path / "in.npz", tmp_path / "out.pxl", model=model)
    assert facts["codec"] == "patch-vq"
    decoded = pixlab.decompress(tmp_path / "out.pxl", tmp_path / "back.parquet")
    assert decoded == model.quantize(digis) == pixlab.read(tmp_path / "back.parquet")
    alone = pixlab.compress(tmp_path / "in.npz", tmp_path / "alone.pxl", codec=model.codec)
    assert alone["model_bytes"] < facts["model_bytes"]  # a model for one small file is small
    assert pixlab.read(tmp_path / "alone.pxl") == decoded
    with pytest.raises(PixlabError, match="both a codec and a model"):
        pixlab.compress(digis, tmp_path / "out.pxl", codec="lossless", model=model)


def test_files_are_compressed_and_compared_in_blocks(digis, tmp_path):
    pixlab.write(digis, tmp_path / "in.npz")
    parts = [digis[i : i + 7] for i in range(0, len(digis), 7)]
    facts = pixlab.compress(iter(parts), tmp_path / "blocks.pxl", codec="lossless")
    assert facts["events"] == len(digis)
    assert pixlab.read(tmp_path / "blocks.pxl") == digis
    blocks = (pixlab.iterate(tmp_path / name, events=4) for name in ("in.npz", "blocks.pxl"))
    assert pixlab.compare(*blocks) == pixlab.compare(digis, digis)
    with pytest.raises(PixlabError, match="the decoded ones do not"):
        pixlab.compare(iter(parts), iter(parts[:2]))
    with pytest.raises(PixlabError, match="no events to compare"):
        pixlab.compare(iter([]), iter([]))
    with pytest.raises(PixlabError, match="no events to compress"):
        pixlab.compress(iter([]), tmp_path / "none.pxl")
    assert not (tmp_path / "none.pxl").exists()


def test_lossless_stays_small_on_real_shapes(tmp_path):
    """The rate on the embedded sample, from a cold start, with every byte of the file counted."""
    digis = pixlab.samples.load("phase1-pu60")
    facts = pixlab.compress(digis, tmp_path / "x.pxl")
    assert facts["bits_per_digi"] < 12.2
    noise = full_module(adc=5)
    assert pixlab.compress(noise, tmp_path / "y.pxl")["bits_per_digi"] < 0.5
