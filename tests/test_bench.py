"""`bench`: bytes as in a sweep, times and memory of a process of its own."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

import pixlab
from pixlab.codecs import CODECS, Foreign, Lossless, Lzma, Root, Zstd
from pixlab.errors import Cancelled, PixlabError
from pixlab.study import BENCH_COLUMNS, bench, default_contenders, sweep
from pixlab.study.machine import on_one_core, peak_memory
from pixlab.study.timing import Stopwatch, _longer, time_codec
from tests.helpers import random_digis


@pytest.fixture(scope="module")
def digis():
    return pixlab.simulate(4, pileup=3, seed=5)


def test_a_bench_has_the_bytes_of_a_sweep_every_time_and_one_schema(digis):
    """One test, because each codec starts a process."""
    codecs = [Lossless(), Zstd(level=1)]
    found = bench(digis, codecs, repeats=1, parallel=False, source="here")
    swept = sweep(digis, codecs, jobs=1)
    same = [c for c in found.table if c in swept.table and not c.endswith("_s")]
    assert {"bits_per_digi", "ratio_root_zstd4", "level", "inside", "charge_rms"} <= set(same)
    for column in same:
        assert found.table[column].equals(swept.table[column]), column
    assert found.provenance["measured_on"] == "events 2 to 3"
    assert found.provenance["cores"] >= 1

    times = [c for c in found.table if c.endswith(("_s", "_speedup", "_mb"))]
    assert len(times) == 8
    left_out = [c for c in times if c.endswith(("_all_mdigi_s", "_speedup"))]
    taken = [c for c in times if c not in left_out]
    assert (found.table[taken] > 0).all(axis=None)
    assert found.table[left_out].isna().all(axis=None)
    assert (found.table["memory_mb"] > 50).all()

    facts = found.to_dict()
    assert facts["pixlab_bench"] == 1
    assert {row["codec"] for row in facts["rows"]} == {"lossless", "zstd"}
    assert set(BENCH_COLUMNS) <= set(facts["columns"])
    assert facts["columns"]["encode_mdigi_s"]["unit"] == "Mdigi/s"
    assert set(facts["rows"][0]) - set(facts["columns"]) == {"compact", "effort", "level"}  # knobs
    json.dumps(facts)
    html = found._repr_html_()
    assert "decode_all_mdigi_s [Mdigi/s]" in html
    assert "here" in html


def test_everyone_who_is_there_takes_part(monkeypatch):
    keys = [codec.key for codec in default_contenders()]
    own = [key for key, codec in CODECS.items() if not issubclass(codec, Foreign)]
    assert keys[: len(own)] == own
    assert {"zstd", "lzma"} <= set(keys)
    assert keys.count("root") == (3 if Root.installed() else 0)
    monkeypatch.setattr(Root, "installed", classmethod(lambda cls: False))
    assert "root" not in {codec.key for codec in default_contenders()}


def test_it_can_be_cancelled_and_refuses_what_is_missing(digis, monkeypatch):
    with pytest.raises(Cancelled):
        bench(digis, [Lossless()], progress=lambda *_: False)
    with pytest.raises(PixlabError, match="give more events"):
        bench(digis[:1], [Lossless()])
    monkeypatch.setattr(Root, "installed", classmethod(lambda cls: False))
    with pytest.raises(PixlabError, match=r"pixlab\[root\]"):
        bench(digis, [Root()])


# -- in this process ------------------------------------------------------------------------
def test_a_model_is_timed_and_the_process_is_left_as_it_was(digis, monkeypatch):
    monkeypatch.setattr("pixlab.codecs.base.CHUNK_DIGIS", 2000)
    before = os.sched_getaffinity(0)
    found = time_codec(Lzma(preset=0).fit(digis), digis, repeats=1)
    assert os.sched_getaffinity(0) == before
    assert all(value > 0 for value in found.values())
    assert set(found) < set(BENCH_COLUMNS)
    assert len(found) == 7


def test_on_one_core_means_one(monkeypatch):
    with on_one_core():
        assert len(os.sched_getaffinity(0)) == 1
    monkeypatch.delattr(os, "sched_setaffinity")
    with on_one_core():
        pass
    assert peak_memory() > 10_000_000


def test_the_longer_sample_is_of_whole_mirrored_events():
    digis = random_digis(n_events=2, n_digis=300, seed=4)
    long = _longer(digis, 1500)
    assert long.n_digis >= 1500
    assert long[:2] == digis
    flipped = long[2:4]
    assert (np.sort(flipped.adc) == np.sort(digis.adc)).all()
    assert (
        flipped.row.sum() == (digis.detector.rows[digis.module].astype(int) - 1 - digis.row).sum()
    )
    assert flipped.col.sum() == digis.col.sum()
    assert _longer(digis[:0], 100).n_digis == 0


def test_a_stopwatch_leaves_out_what_others_do():
    watch = Stopwatch()
    rows = list(range(200_000))

    def slow():
        for i in range(3):
            sorted(rows, key=lambda v: -v)
            yield i

    with watch.running():
        assert list(watch.without(slow())) == [0, 1, 2]
    whole = Stopwatch()
    with whole.running():
        list(slow())
    assert watch.cpu < 0.2 * whole.cpu
    assert watch.foreign == 0
