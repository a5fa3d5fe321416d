"""Foreign codecs: what is special about each beyond the contract in test_codecs.py."""

from __future__ import annotations

import dataclasses
import io
import struct
import time
from pathlib import Path

import numpy as np
import pytest
import uproot
import zstandard

import pixlab
from pixlab.codecs import CODECS, Foreign, Stream, make_codec
from pixlab.codecs import foreign_process as processes
from pixlab.codecs.foreign_process import ForeignFailure, ask, usage
from pixlab.digis import Digis
from pixlab.errors import FormatError, PixlabError
from tests.helpers import random_digis

DATA = Path(__file__).parent / "data"
FOREIGN = [key for key, codec in CODECS.items() if issubclass(codec, Foreign)]
NEED = [key for key in FOREIGN if CODECS[key].package and key != "baler"]
needs_sz3 = pytest.mark.skipif(not CODECS["sz3"].installed(), reason="pysz is not installed")
needs_root = pytest.mark.skipif(not CODECS["root"].installed(), reason="ROOT is not installed")


@pytest.mark.parametrize("key", NEED)
def test_a_missing_library_is_named_with_what_installs_it(key, monkeypatch):
    codec = make_codec(key)
    monkeypatch.setattr(type(codec), "installed", classmethod(lambda cls: False))
    digis = random_digis(n_digis=5)
    with pytest.raises(PixlabError, match=rf"{key}.*{codec.package}.*pip install 'pixlab\[") as e:
        codec.fit(digis)
    assert "\n" not in str(e.value)


@pytest.mark.parametrize("key", NEED)
def test_a_file_can_be_described_without_the_library(key, monkeypatch):
    codec = CODECS[key]
    golden = Path(__file__).parent / "golden" / f"{key}.pxl"
    monkeypatch.setattr(codec, "installed", classmethod(lambda cls: False))
    from pixlab.io.pxl import describe

    assert describe(golden)["codec"] == key
    with pytest.raises(PixlabError, match="not installed"):
        pixlab.read(golden)


def test_baler_is_not_taken_for_the_other_package_of_its_name(tmp_path, monkeypatch):
    """The index has a `baler` that bundles libraries for iOS."""
    (tmp_path / "baler.py").write_text("raise ImportError")
    monkeypatch.syspath_prepend(tmp_path)
    assert not CODECS["baler"].installed()
    with pytest.raises(PixlabError, match=r"needs Baler 1.4.*docs/vqvae.md"):
        make_codec("baler").fit(random_digis(n_digis=5))


def test_what_is_installed_is_known():
    assert CODECS["zstd"].installed()
    assert {CODECS[key].extra for key in NEED} <= {"foreign", "root"}


@pytest.mark.parametrize("key", ["blosc2", "pcodec", "zstd", "lzma"])
def test_a_column_of_one_value_needs_next_to_nothing(key):
    if not CODECS[key].installed():
        pytest.skip("not installed")
    codec = make_codec(key)
    column = np.zeros(300_000, np.uint32)
    data = codec.pack(column)
    assert len(data) < 1000
    assert (codec.unpack(data, len(column), column.dtype) == column).all()
    for n in (len(column) - 1, len(column) + 1):
        with pytest.raises(FormatError):
            codec.unpack(data, n, column.dtype)


@pytest.mark.parametrize("key", ["blosc2", "pcodec", "zstd", "lzma"])
def test_more_numbers_than_bytes_can_hold_are_refused_before_anything_is_made(key):
    if not CODECS[key].installed():
        pytest.skip("not installed")
    model = make_codec(key).fit(random_digis(n_digis=5))
    chunk = model.encode(random_digis(n_digis=50)).chunks[0]
    sections = {**chunk.sections, "events": model.codec.pack(np.array([2**27], np.uint32))}
    bad = dataclasses.replace(chunk, n_events=1, n_digis=2**27, sections=sections)
    with pytest.raises(FormatError, match="more numbers are claimed"):
        model.decode(Stream((bad,)))


# -- SZ3 --------------------------------------------------------------------------------------
@needs_sz3
@pytest.mark.parametrize("bound", [0, 1, 5, 300])
@pytest.mark.parametrize("predictor", CODECS["sz3"].param["predictor"].objects)
def test_sz3_keeps_its_bound_and_the_hits(bound, predictor):
    digis = random_digis(n_digis=3000, adc_max=1023, seed=bound)
    model = make_codec("sz3", max_error=bound, predictor=predictor).fit(digis[:1])
    out = model.quantize(digis)
    assert (out.row == digis.row).all()
    assert (out.col == digis.col).all()
    assert np.abs(out.adc.astype(int) - digis.adc).max() <= bound
    if bound == 300:
        assert np.abs(out.adc.astype(int) - digis.adc).max() > 100


def hostile_sz3(seed):
    """A stream of SZ3 whose Zstandard frame is whole and holds something else."""
    from pysz import sz, szConfig

    rng = np.random.default_rng(seed)
    config = szConfig()
    config.absErrorBound, config.cmprAlgo = 1, 0
    stream = sz.compress(rng.integers(0, 200, 500).astype(np.int32), config)[0].tobytes()
    at = stream.index(b"\x28\xb5\x2f\xfd")
    unpacker = zstandard.ZstdDecompressor().decompressobj()
    inner = bytearray(unpacker.decompress(stream[at:]))
    tail = unpacker.unused_data
    frame = stream[at : len(stream) - len(tail)]
    for _ in range(3):
        inner[rng.integers(0, len(inner))] = rng.integers(0, 256)
    again = zstandard.ZstdCompressor().compress(bytes(inner))
    head = bytearray(stream[:at])
    size = struct.pack("<Q", len(frame))
    assert size in head or struct.pack("<Q", len(frame) + 8) in head
    for extra in (0, 8):
        old, new = (struct.pack("<Q", len(x) + extra) for x in (frame, again))
        head = head.replace(old, new)
    return bytes(head) + again + tail


@needs_sz3
def test_hostile_sz3_streams_do_not_reach_this_process(monkeypatch):
    monkeypatch.setattr(processes, "_PATIENCE", 1.0)
    model = make_codec("sz3").fit(random_digis(n_digis=5))
    refused = 0
    for seed in range(12):
        data = hostile_sz3(seed)
        sizes, lengths = np.array([len(data)]), np.array([500])
        try:
            model._counts(data, sizes, lengths)
        except FormatError as error:
            refused += 1
            assert "sz3" in str(error)
    assert refused >= 1
    digis = random_digis(seed=1)
    assert model.decode(model.encode(digis)) == model.quantize(digis)  # and life goes on


# -- processes --------------------------------------------------------------------------------
def _crashing(process, *_, **__):
    process._popen.kill()
    process._popen.wait()
    return process._timed(30.0, lambda: processes.receive(process._out))


@needs_sz3
def test_a_process_that_died_is_replaced_and_one_that_hangs_is_ended(monkeypatch):
    processes._close_all()  # those that threads of other tests have left
    model = make_codec("sz3").fit(random_digis(n_digis=5))
    digis = random_digis(seed=2)
    stream = model.encode(digis)
    wanted = model.decode(stream)
    (process,) = [p for p in processes._idle if p.library == "sz3"]
    process._popen.kill()
    process._popen.wait()
    assert model.decode(stream) == wanted
    # one that dies of the request itself
    (process,) = [p for p in processes._idle if p.library == "sz3"]
    with monkeypatch.context() as m:
        m.setattr(processes._Process, "ask", _crashing)
        with pytest.raises(FormatError, match="sz3 crashed"):
            model.decode(stream)
    assert model.decode(stream) == wanted
    # a request that is never answered
    (process,) = [p for p in processes._idle if p.library == "sz3"]
    monkeypatch.setattr(processes, "_PATIENCE", 0.2)
    started = time.monotonic()
    with pytest.raises(ForeignFailure, match=r"took longer than 0\.2 s"):
        process._timed(0.2, lambda: processes.receive(process._out))
    assert time.monotonic() - started < 30
    processes._idle.remove(process)
    monkeypatch.undo()
    assert model.decode(stream) == wanted


@needs_sz3
def test_an_interrupt_leaves_no_half_message():
    def interrupt():
        raise KeyboardInterrupt

    process = processes._start("sz3")
    with pytest.raises(KeyboardInterrupt):
        process._timed(60, interrupt)
    assert process._popen.poll() is not None


@needs_sz3
def test_a_library_that_refuses_says_why_and_its_time_is_known():
    before = usage().cpu
    with pytest.raises(ForeignFailure, match="sz3 says: "):
        ask("sz3", "unpack", [np.zeros(3, np.uint8), np.array([3]), np.array([5])])
    with pytest.raises(ForeignFailure, match="KeyError"):
        ask("sz3", "sing", [])
    model = make_codec("sz3").fit(random_digis(n_digis=5))
    model.decode(model.encode(random_digis(n_digis=5000)))
    assert usage().cpu > before
    assert usage().memory > 10_000_000


def test_a_library_that_does_not_load_says_why():
    with pytest.raises(ForeignFailure, match=r"nothing cannot be loaded: KeyError"):
        ask("nothing", "unpack", [])


# -- ROOT -------------------------------------------------------------------------------------
@needs_root
def test_root_files_are_read_by_others_and_hold_cms_words():
    digis = pixlab.simulate(2, pileup=2, seed=4)
    stream = make_codec("root", algorithm="lzma").fit(digis).encode(digis)
    assert make_codec("root", algorithm="lzma").fit(digis).encode(digis) == stream  # reproducible
    file = uproot.open(io.BytesIO(stream.chunks[0].sections["root"]))
    assert file.file.compression.name.lower() == "lzma"
    for event, entry in zip(digis, file["Events"].arrays(library="np")["data"], strict=True):
        at, found = 0, []
        while at < len(entry):
            n = int(entry[at])
            words = entry[at + 1 : at + 1 + n]
            found.append(np.stack([words & 0x7FF, words >> 11 & 0x3FF, words >> 22]))
            at += n + 1
        found = np.concatenate(found, axis=1)
        columns = np.stack([event.row, event.col, event.adc]).astype(np.int64)
        assert sorted(found.T.tolist()) == sorted(columns.T.tolist())
    ids = file["Events"].arrays(library="np")["id"]
    assert ids[1].tolist() == np.unique(digis[1].detid).tolist()


@needs_root
def test_root_takes_what_a_cms_file_takes():
    """Its baskets are those of an EDM file that ROOT wrote elsewhere, with the same settings."""
    path = DATA / "edm_pu60_zstd_split99.root"
    digis = pixlab.read(path)
    with uproot.open(path) as file:
        baskets = sum(
            branch.compressed_bytes
            for name, branch in file["Events"].iteritems()
            if "._sets." in name
        )
    stream = make_codec("root").fit(digis).encode(digis)
    own = uproot.open(io.BytesIO(stream.chunks[0].sections["root"]))["Events"]
    assert own.compressed_bytes == pytest.approx(baskets, rel=0.003)


@needs_root
def test_what_does_not_fit_into_a_digi_word_is_refused():
    from pixlab.detectors import Detector

    wide = Detector.from_table({"detid": [1], "rows": [10], "cols": [2000]}, name="wide")
    digis = Digis.from_arrays([0], [1], [3], [1500], [7], detector=wide)
    with pytest.raises(PixlabError, match="col 1500 does not fit into a CMS digi word"):
        make_codec("root").fit(digis).encode(digis)
