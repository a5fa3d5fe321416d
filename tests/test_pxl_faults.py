"""Damaged .pxl files, full disks, interrupts and kills; decoders on mutated streams."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

import pixlab
from pixlab.codecs import CODECS
from pixlab.coding.container import VERSION
from pixlab.errors import FormatError, PixlabError
from pixlab.io import Lost, salvage
from pixlab.io.pxl import PxlReader
from pixlab.io.source import Bytes
from tests.fuzz import VARIANTS, fuzz
from tests.helpers import random_digis


@pytest.fixture(scope="module")
def digis():
    return random_digis(n_events=30, n_digis=3000, n_modules=20, seed=4)


@pytest.fixture
def chunked(digis, tmp_path, monkeypatch):
    """A file of several chunks."""
    monkeypatch.setattr("pixlab.codecs.base.CHUNK_DIGIS", 400)
    pixlab.compress(digis, tmp_path / "chunks.pxl")
    return tmp_path / "chunks.pxl"


def _members(path):
    with zipfile.ZipFile(path) as archive:
        return {info.filename: info for info in archive.infolist()}


def _spoil(path, member, *, at=0.5):
    info = _members(path)[member]
    data = bytearray(path.read_bytes())
    data[info.header_offset + 30 + len(member) + int(info.compress_size * at)] ^= 4
    path.write_bytes(bytes(data))


def _starts(path):
    with Bytes(path) as source:
        reader = PxlReader(source)
    return [0, *np.cumsum(reader.chunks[:, 0]).tolist()]


# -- salvage ----------------------------------------------------------------------------------
def test_every_whole_chunk_is_recovered(digis, chunked):
    assert salvage(chunked) == (digis, [])
    starts = _starts(chunked)
    assert len(starts) > 6
    for number in (1, 4):
        _spoil(chunked, f"chunks/{number:06d}.bin")
    with pytest.raises(FormatError, match="000001"):
        pixlab.read(chunked)
    found, lost = salvage(chunked)
    kept = np.ones(len(digis), bool)
    for number in (1, 4):
        kept[starts[number] : starts[number + 1]] = False
    assert found == digis[kept]
    assert [(each.first, each.stop) for each in lost] == [
        (starts[1], starts[2]), (starts[4], starts[5]),
    ]  # fmt: skip
    assert "chunks/000001.bin" in lost[0].why


def test_events_of_whole_chunks_are_read_past_a_damaged_one(digis, chunked, tmp_path):
    starts = _starts(chunked)
    _spoil(chunked, "chunks/000001.bin")
    for first, stop in ((starts[2], len(digis)), (starts[3] + 1, starts[5]), (0, starts[1])):
        assert pixlab.read(chunked, events=(first, stop)) == digis[first:stop]
        blocks = list(pixlab.iterate(chunked, within=(first, stop)))
        assert pixlab.Digis.concatenate(blocks) == digis[first:stop]
    with pytest.raises(FormatError, match="000001"):
        list(pixlab.iterate(chunked, within=(starts[1], starts[2])))


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9, 0.99])
def test_a_file_that_was_cut_short_gives_back_its_beginning(digis, chunked, share):
    starts, members, data = _starts(chunked), _members(chunked), chunked.read_bytes()
    size = int(share * len(data))
    ends = [members[f"chunks/{i:06d}.bin"] for i in range(len(starts) - 1)]
    whole = sum(e.header_offset + 30 + len(e.filename) + e.compress_size <= size for e in ends)
    chunked.write_bytes(data[:size])
    with pytest.raises(FormatError, match="table of contents"):
        pixlab.read(chunked)
    found, lost = salvage(chunked)
    assert found == digis[: starts[whole]]
    if size < members["header.json"].header_offset:
        assert lost == [Lost(starts[whole], None, "the end of the file is missing or damaged")]
        assert str(lost[0]).startswith(f"events {starts[whole]} to ?")
    else:  # only the table of contents is gone
        assert lost == []


def test_a_file_without_its_header_gives_back_its_chunks(digis, chunked):
    _spoil(chunked, "header.json")
    found, lost = salvage(chunked)
    assert found == digis
    assert [each.first for each in lost] == [len(digis)]


def test_what_cannot_be_salvaged_says_why(chunked, tmp_path):
    for data in (b"", b"PK\3\4", b"x" * 100):
        (tmp_path / "none.pxl").write_bytes(data)
        with pytest.raises(PixlabError):
            salvage(tmp_path / "none.pxl")
    with zipfile.ZipFile(chunked) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    newer = members["header.json"].replace(
        f'"version": {VERSION}'.encode(), f'"version": {VERSION + 1}'.encode()
    )
    with zipfile.ZipFile(tmp_path / "newer.pxl", "w") as archive:
        for name, data in (members | {"header.json": newer}).items():
            archive.writestr(name, data)
    with pytest.raises(FormatError, match="update pixlab"):
        salvage(tmp_path / "newer.pxl")
    # without its model nothing can be read, unless the model is had from elsewhere
    model = pixlab.codecs.unpack_model(members["model.safetensors"])
    whole = pixlab.read(chunked)
    _spoil(chunked, "model.safetensors")
    with pytest.raises(FormatError, match="model"):
        salvage(chunked)
    assert salvage(chunked, model=model) == (whole, [])


@pytest.mark.parametrize("codec", sorted(CODECS))
def test_salvage_of_random_damage_gives_whole_events_only(codec, tmp_path, monkeypatch):
    if not getattr(CODECS[codec], "installed", lambda: True)():
        pytest.skip("not installed")
    monkeypatch.setattr("pixlab.codecs.base.CHUNK_DIGIS", 200)
    digis = random_digis(n_events=12, n_digis=1500, seed=1)
    path = tmp_path / "x.pxl"
    pixlab.compress(digis, path, codec=codec)
    right, data, rng = pixlab.read(path), path.read_bytes(), np.random.default_rng(8)
    events = {_key(event) for event in right}
    whole = 0
    for _ in range(12 if codec == "root" else 40):
        bad = bytearray(data)
        for at in rng.integers(0, len(data), 3):
            bad[at] ^= 1 << rng.integers(0, 8)
        path.write_bytes(bytes(bad[: len(bad) if rng.random() < 0.7 else rng.integers(len(bad))]))
        try:
            found, lost = salvage(path)
        except PixlabError as error:
            assert "\n" not in str(error)
            continue
        whole += not lost
        assert all(_key(event) in events for event in found)
        assert lost or found == right
    assert whole < 20


def _key(event):
    return b"".join(getattr(event, k).tobytes() for k in ("detid", "row", "col", "adc"))


# -- models outside of the file ---------------------------------------------------------------
def test_a_model_may_stay_outside(digis, tmp_path):
    (tmp_path / "models").mkdir()
    file = tmp_path / "models" / "pixels.model"
    model = pixlab.Lossless().fit(digis)
    model.save(file)
    out = tmp_path / "x.pxl"
    whole = pixlab.compress(digis, tmp_path / "whole.pxl", model=file)
    facts = pixlab.compress(digis, out, model=file, embed=False)
    assert facts["model"] == {"sha256": model.sha256, "name": "pixels.model"}
    assert facts["model_bytes"] < 150 < whole["model_bytes"]
    assert sum(facts["ledger"].values()) == facts["bytes"] == out.stat().st_size
    with pytest.raises(PixlabError, match=r"'pixels.model' \(SHA-256 .*not beside it; pass"):
        pixlab.read(out)
    for given in (file, str(file), model):
        assert pixlab.decompress(out, model=given) == digis
    other = pixlab.Lossless().fit(digis[:3])
    with pytest.raises(PixlabError, match="is not the one that"):
        pixlab.decompress(out, model=other)
    # beside the file it is found, if it is the right one
    out.rename(tmp_path / "models" / "x.pxl")
    assert pixlab.read(tmp_path / "models" / "x.pxl", events=(3, 5)) == digis[3:5]
    other.save(file)
    with pytest.raises(PixlabError, match=r"pixels.model \(SHA-256 .* is not the one that"):
        pixlab.read(tmp_path / "models" / "x.pxl")


def test_a_model_outside_must_exist(digis, tmp_path):
    with pytest.raises(PixlabError, match="needs one that is kept elsewhere"):
        pixlab.compress(digis, tmp_path / "x.pxl", embed=False)
    with pytest.raises(PixlabError, match="cannot read"):
        pixlab.compress(digis, tmp_path / "x.pxl", model=tmp_path / "missing", embed=False)
    # a model that never was in a file is known by its hash alone
    model = pixlab.Lossless().fit(digis)
    pixlab.compress(digis, tmp_path / "x.pxl", model=model, embed=False)
    assert pixlab.decompress(tmp_path / "x.pxl", model=model) == digis
    with pytest.raises(PixlabError, match="not beside it"):
        pixlab.decompress(tmp_path / "x.pxl")


@pytest.mark.parametrize("reference", [b"{}", b"[", b'{"sha256": 1, "name": 2}'])
def test_a_damaged_reference_is_refused(digis, tmp_path, reference):
    path = tmp_path / "x.pxl"
    pixlab.compress(digis, path, model=pixlab.Lossless().fit(digis), embed=False)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in (members | {"model.json": reference}).items():
            archive.writestr(name, data)
    with pytest.raises(FormatError, match=r"model\.json"):
        pixlab.read(path)


def test_one_event_costs_little_more_than_many():
    """With a model outside, an event alone is at most 8% above its rate in a large file."""
    digis = pixlab.samples.load("phase1-pu60")
    model = pixlab.Lossless().fit(digis[:5])
    many = model.encode(digis[5:])
    rates = [8 * model.encode(digis[i]).nbytes / digis[i].n_digis for i in range(5, 10)]
    own = [8 * c.nbytes / c.n_digis for c in many.chunks]
    container = 8 * 700 / (digis.n_digis / len(digis))
    assert np.mean(rates) + container < 1.03 * np.mean(own)


# -- full disks, interrupts, kills ------------------------------------------------------------
PROGRAM = """
import signal, sys, time
import numpy as np
import pixlab
from tests.helpers import random_digis
signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs may ignore it
digis = random_digis(n_events=200, n_digis=60_000, n_modules=300, seed=3)
def blocks():
    for i in range(0, 200, 10):
        if i == 100:
            print("half", flush=True)
            {pause}
        yield digis[i : i + 10]
{before}
pixlab.compress(blocks(), sys.argv[1], model=pixlab.Lossless().fit(digis[:10]))
"""


def _run(out: Path, *, pause: str = "", before: str = "") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(pause=pause, before=before), str(out)],
        cwd=Path(__file__).parents[1], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("fault", ["disk", "interrupt", "kill"])
def test_what_goes_wrong_leaves_no_half_file(tmp_path, fault, old):
    out = tmp_path / "out.pxl"
    if old:
        pixlab.compress(random_digis(seed=1), out)
    before = out.read_bytes() if old else None
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))"
    process = _run(
        out,
        pause="" if fault == "disk" else "time.sleep(60)",
        before=limit if fault == "disk" else "",
    )
    if fault != "disk":
        assert process.stdout is not None
        assert process.stdout.readline() == "half\n"
        process.send_signal(signal.SIGINT if fault == "interrupt" else signal.SIGKILL)
    _, errors = process.communicate(timeout=120)
    assert process.returncode != 0
    if fault == "disk":
        assert "PixlabError" in errors
        assert "cannot be written: File too large" in errors
    assert (out.read_bytes() if out.exists() else None) == before
    left = [p.name for p in tmp_path.iterdir() if p != out]
    if fault == "kill":  # nobody is left to tidy up; what is there is hidden and no .pxl file
        assert all(name.startswith(".out.pxl.") and name.endswith(".tmp") for name in left)
    else:
        assert left == []


FULL = """
import resource, sys
from pixlab.cli import main
source, warm, out = sys.argv[1:]
main(["convert", source, warm], standalone_mode=False)  # so that all that runs is compiled
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
main(["convert", source, out])
"""


@pytest.mark.parametrize("suffix", ["csv", "h5", "npz", "parquet", "pxl", "root"])
def test_a_command_that_meets_a_full_disk_says_so(tmp_path, digis, suffix):
    source, warm, out = (tmp_path / f"{name}.{suffix}" for name in ("in", "warm", "out"))
    pixlab.write(digis, source)
    run = subprocess.run(
        [sys.executable, "-c", FULL, source, warm, out],
        capture_output=True, text=True, check=False, cwd=Path(__file__).parents[1],
    )  # fmt: skip
    assert run.returncode == 2
    assert len(run.stderr.strip().splitlines()) == 1
    assert f"{out.name} cannot be written" in run.stderr
    assert "free space" in run.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == [source.name, warm.name]


def test_no_room_for_compiled_code_is_no_damage_of_the_file(tmp_path, digis):
    source = tmp_path / "in.npz"
    pixlab.write(digis, source)

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))

    run = subprocess.run(
        [sys.executable, "-c", "from pixlab.cli import main; main()", "info", source],
        capture_output=True, text=True, preexec_fn=limit, check=False,
        cwd=Path(__file__).parents[1], env=os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "code")},
    )  # fmt: skip
    assert run.returncode == 2
    assert len(run.stderr.strip().splitlines()) == 1
    assert "NUMBA_CACHE_DIR" in run.stderr
    assert "damaged" not in run.stderr


def test_files_are_written_and_read_by_many_threads(digis, tmp_path, monkeypatch):
    from concurrent.futures import ThreadPoolExecutor

    monkeypatch.setattr("pixlab.codecs.base.CHUNK_DIGIS", 300)
    model = pixlab.Lossless().fit(digis)

    def there_and_back(i):
        pixlab.compress(digis[i:], tmp_path / f"{i}.pxl", model=model)
        return pixlab.read(tmp_path / f"{i}.pxl") == digis[i:]

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(there_and_back, range(16)))
    # many readers of one file, each of its own range
    with ThreadPoolExecutor(8) as pool:
        parts = list(
            pool.map(lambda i: pixlab.read(tmp_path / "0.pxl", events=(i, i + 3)), range(0, 30, 3))
        )
    assert pixlab.Digis.concatenate(parts) == digis


# -- mutated streams --------------------------------------------------------------------------
@pytest.mark.parametrize("codec", [*sorted(CODECS), *VARIANTS])
def test_decoders_survive_mutated_streams(codec):
    if not getattr(CODECS.get(codec), "installed", lambda: True)():
        pytest.skip("not installed")
    fuzz(codec, 40 if codec in ("root", "sz3") else 300, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("codec", [*sorted(CODECS), *VARIANTS])
def test_decoders_survive_ten_thousand_mutated_streams(codec):
    if not getattr(CODECS.get(codec), "installed", lambda: True)():
        pytest.skip("not installed")
    # ROOT runs in a process of its own, and a stream that follows tracks takes ten times as long
    fewer = {"root": 400, "lossless-max": 3000, "cluster-vq-max": 3000}
    fuzz(codec, fewer.get(codec, 10_000), seed=2)


@pytest.mark.slow
@pytest.mark.parametrize("tracks", [True, False], ids=["tracks", "others"])
def test_decoders_stay_inside_their_arrays(tracks, tmp_path):
    """The kernels compiled with bounds checks, in a process and a cache of their own."""
    own = [key for key in CODECS if not hasattr(CODECS[key], "installed")]
    which = [key for key in [*own, *VARIANTS] if key.endswith("-max") == tracks]
    environment = os.environ | {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(tmp_path)}
    program = (
        "from tests.fuzz import fuzz; import sys\n"
        "for key in sys.argv[1:]: fuzz(key, 1000, seed=3)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, *which], cwd=Path(__file__).parents[1], env=environment,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-2000:]
