"""The sweep: real bytes, disjoint events, one table that holds everything."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
import uproot

import pixlab
from pixlab.codecs import Lossless, PatchVQ, Root
from pixlab.detectors import Detector
from pixlab.digis import Digis
from pixlab.errors import Cancelled, FormatError, PixlabError
from pixlab.physics import METRICS, TOLERANCES
from pixlab.study import (
    COLUMNS,
    MODEL_EVENTS,
    Sweep,
    default_codecs,
    evaluate,
    floors,
    payback,
    root_reference,
    sweep,
)
from pixlab.study.journal import Journal
from pixlab.study.machine import cores
from tests.helpers import random_digis


@pytest.fixture(scope="module")
def digis():
    return pixlab.simulate(4, pileup=3, seed=5)


@pytest.fixture(scope="module")
def found(digis):
    codecs = [Lossless(), PatchVQ(codebook_size=4), PatchVQ(codebook_size=64)]
    return sweep(digis, codecs, source="here")


def test_rates_are_bytes_of_files(found, digis, tmp_path):
    row = found.table.iloc[1]
    model = found.model(1)
    facts = pixlab.compress(digis[2:], tmp_path / "x.pxl", model=model)
    assert row["bytes"] == facts["bytes"] == (tmp_path / "x.pxl").stat().st_size
    assert row["bits_per_digi_file"] == pytest.approx(8 * facts["bytes"] / digis[2:].n_digis)
    spread = row["payload_bytes"] + row["model_bytes"] * 2 / MODEL_EVENTS
    assert row["bits_per_digi"] == pytest.approx(8 * spread / digis[2:].n_digis)
    sections = [c for c in found.table if c.startswith("ledger.")]
    assert np.nansum(row[sections].astype(float)) == row["bytes"]
    assert row["ratio_root_zstd4"] == pytest.approx(
        root_reference(digis[2:])["root_zstd4"] / spread
    )


def test_models_are_fitted_on_the_first_half_and_measured_on_the_second(found, digis):
    assert found.provenance["fitted_on"] == "events 0 to 1"
    assert found.provenance["measured_on"] == "events 2 to 3"
    assert found.model(2) == PatchVQ(codebook_size=64).fit(digis[:2])
    assert found.comparison(2) == pixlab.compare(digis[2:], found.model(2).quantize(digis[2:]))
    assert (found.table["events"] == 2).all()
    assert set(found.knobs) >= {"codebook_size", "tile_rows"}


def test_a_table_survives_its_file(found, tmp_path):
    found.save(tmp_path / "t.parquet")
    again = Sweep.load(tmp_path / "t.parquet")
    assert (again.source, again.provenance) == (found.source, found.provenance)
    assert again.table["bits_per_digi"].tolist() == found.table["bits_per_digi"].tolist()
    assert again.model(1) == found.model(1)
    assert again.comparison(1) == found.comparison(1)
    assert "patch-vq" in again._repr_html_()


def test_what_is_no_table_is_refused(tmp_path):
    pixlab.write(random_digis(), tmp_path / "digis.parquet")
    with pytest.raises(FormatError, match="no table of a sweep"):
        Sweep.load(tmp_path / "digis.parquet")
    (tmp_path / "text").write_text("text")
    with pytest.raises(PixlabError):
        Sweep.load(tmp_path / "text")
    with pytest.raises(PixlabError, match="cannot read"):
        Sweep.load(tmp_path / "missing.parquet")


def test_too_few_events_are_refused(digis):
    with pytest.raises(PixlabError, match="one event is not enough"):
        sweep(digis[:1])
    with pytest.raises(PixlabError, match="give more events"):
        sweep(digis, fit_events=4)


def test_the_default_goes_from_16_to_4096_codes():
    sizes = [c.codebook_size for c in default_codecs() if isinstance(c, PatchVQ)]
    assert (sizes[0], sizes[-1]) == (16, 4096)


def test_lossless_rows_are_perfect(digis):
    row = evaluate(Lossless().fit(digis[:1]), digis[1:])
    assert (row["charge_rms"], row["size_unchanged"], row["efficiency"]) == (0, 1, 1)
    assert row["fakes"] == 0


def test_the_shipped_sweep_is_of_the_shipped_sample_and_monotone():
    table = Sweep.load(pixlab.samples.sweep_path())
    digis = pixlab.samples.load(table.source)
    books = table.table[table.table["codec"] == "patch-vq"].sort_values("codebook_size")
    assert (books["codebook_size"].iloc[0], books["codebook_size"].iloc[-1]) == (16, 4096)
    assert (np.diff(books["bits_per_digi"]) > 0).all()
    assert (np.diff(books["charge_rms"]) < 0).all()
    # measured again: the models in the table give the comparison in the table
    i = int(books.index[2])
    test = digis[5:]
    again = pixlab.compare(test, table.model(i).quantize(test))
    assert again == table.comparison(i)


@pytest.mark.parametrize("installed", [True, False])
def test_the_root_reference_is_close_to_root_itself(installed, monkeypatch):
    """ROOT wrote this file with ZSTD-4, one basket of each branch an event."""
    if installed and not Root.installed():
        pytest.skip("ROOT is not installed")
    monkeypatch.setattr(Root, "installed", classmethod(lambda cls: installed))
    path = Path(__file__).parent / "data" / "edm_pu60_zstd_split99.root"
    with uproot.open(path) as file:
        tree = file["Events"]
        wanted = sum(b.compressed_bytes for name, b in tree.iteritems() if "._sets." in name)
    found = root_reference(pixlab.read(path))["root_zstd4"]
    assert found == pytest.approx(wanted, rel=0.003 if installed else 0.02)


# -- many settings, many processes ----------------------------------------------------------
BOOKS = [Lossless(), PatchVQ(codebook_size=2), PatchVQ(codebook_size=32), Lossless(compact=True)]


def same_rows(one, other):
    """Whether two tables are equal but for their times."""
    timeless = [c for c in one.table if not c.endswith("_s")]
    pd.testing.assert_frame_equal(one.table[timeless], other.table[timeless])
    assert list(one.table) == list(other.table)


def test_processes_change_nothing_but_the_times(digis, tmp_path):
    alone = sweep(digis, BOOKS, jobs=1)
    several = sweep(digis, BOOKS, jobs=2)
    same_rows(alone, several)
    assert list(alone.table["codec"]) == [c.key for c in BOOKS]
    assert alone.provenance == several.provenance
    pixlab.write(digis, tmp_path / "events.parquet")
    same_rows(alone, sweep(tmp_path / "events.parquet", BOOKS, jobs=2))
    assert (alone.table[[c for c in alone.table if c.endswith("cpu_s")]] > 0).all(axis=None)


def test_a_file_larger_than_memory_gives_the_rows_of_one_that_is_held(tmp_path, monkeypatch):
    digis = pixlab.simulate(9, pileup=3, seed=8)
    pixlab.write(digis, tmp_path / "events.parquet")
    held = sweep(tmp_path / "events.parquet", [Lossless()], fit_events=2, events=(1, 8), jobs=1)
    monkeypatch.setattr("pixlab.study.split._HELD_DIGIS", 100)
    monkeypatch.setattr("pixlab.study.split._BLOCK_DIGIS", digis.n_digis // 4)
    largest = []
    monkeypatch.setattr(
        "pixlab.study.evaluation.compare",
        lambda a, b, **how: largest.append(len(a)) or pixlab.compare(a, b, **how),
    )
    read = sweep(tmp_path / "events.parquet", [Lossless()], fit_events=2, events=(1, 8), jobs=1)
    assert max(largest) <= 3
    assert len(largest) > 2
    assert read.floors == pytest.approx(held.floors)
    assert read.provenance["measured_on"] == "events 3 to 7"
    assert read.comparison(0) == held.comparison(0)
    assert read.model(0) == held.model(0)
    # more chunks, each with its head
    assert read.table["bytes"][0] == pytest.approx(held.table["bytes"][0], rel=0.1)


def test_a_codec_that_fails_in_a_process_is_reported_like_any_error(digis):
    with pytest.raises(PixlabError, match="no digi to learn a codebook from"):
        sweep(Digis.empty("phase1", 4), [Lossless(), PatchVQ()], jobs=2)


def test_a_process_that_dies_is_noticed(digis, monkeypatch):
    monkeypatch.setattr("pixlab.study.workers.sys.executable", "/bin/false")
    with pytest.raises(PixlabError, match="ended by itself"):
        sweep(digis, BOOKS[:2], jobs=2)


def stop_at(fraction, how):
    def progress(done, what):
        if done > fraction:
            if how is KeyboardInterrupt:
                raise KeyboardInterrupt
            return False
        return None

    return progress


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("how", [False, KeyboardInterrupt])
def test_progress_can_cancel_and_finished_rows_are_kept(digis, tmp_path, jobs, how):
    out = tmp_path / "t.parquet"
    books = [PatchVQ(codebook_size=n) for n in (2, 3, 4, 5)]
    with pytest.raises(KeyboardInterrupt if how else Cancelled):
        sweep(digis, books, out=out, jobs=jobs, progress=stop_at(0.5, how))
    assert not out.exists()
    kept = {p.name: p.read_bytes() for p in tmp_path.glob(".t.parquet.rows/*.json")}
    assert 0 < len(kept) < 1 + len(books)
    seen = []
    found = sweep(digis, books, out=out, jobs=1, progress=lambda done, what: seen.append(done))
    assert min(seen) >= len(kept) / (1 + len(books))
    assert sorted(seen) == seen
    assert seen[-1] == 1
    same_rows(found, sweep(digis, books, jobs=1))
    assert [p.name for p in tmp_path.iterdir()] == ["t.parquet"]


def test_a_killed_sweep_goes_on_where_it_stopped(tmp_path):
    """Killed as hard as can be; then the same command again."""
    digis = pixlab.simulate(6, pileup=8, seed=6)
    pixlab.write(digis, tmp_path / "events.npz")
    out = tmp_path / "t.parquet"
    line = [
        sys.executable,
        "-c",
        "from pixlab.cli import main; main()",
        "sweep",
        tmp_path / "events.npz",
        "--out",
        out,
    ]
    line += ["--codec", "patch-vq", "--codebook-size", "2,3,4,5,6,8,64,256", "--jobs", "2"]
    env = os.environ | {"PYTHONPATH": str(Path(pixlab.__file__).parents[1])}
    rows = tmp_path / ".t.parquet.rows"
    with subprocess.Popen(line, env=env, stdout=subprocess.DEVNULL) as child:
        while len(list(rows.glob("*.json"))) < 3:
            assert child.poll() is None, "it was too fast to be killed"
            time.sleep(0.01)
        workers = [p.pid for p in psutil.Process(child.pid).children()]
        child.send_signal(signal.SIGKILL)
    assert not out.exists()
    assert len(workers) == 2
    _, alive = psutil.wait_procs([psutil.Process(p) for p in workers if psutil.pid_exists(p)], 60)
    assert not alive  # nothing goes on without its parent
    kept = [json.loads(p.read_text()) for p in rows.glob("*.json")]
    (rows / "half.json").write_text('{"codec": "patch')  # what no kill leaves, ignored all the same
    subprocess.run(line, env=env, check=True, stdout=subprocess.DEVNULL)
    table = Sweep.load(out).table
    assert table["codebook_size"].tolist() == [2, 3, 4, 5, 6, 8, 64, 256]
    by_size = table.set_index("codebook_size")
    for row in kept:
        if "codebook_size" in row:  # measured once: also the times are those of the first run
            assert by_size.loc[row["codebook_size"], "encode_s"] == row["encode_s"]
    assert not rows.exists()


def test_results_of_other_events_or_knobs_are_not_taken(digis, tmp_path):
    out = tmp_path / "t.parquet"
    with pytest.raises(Cancelled):
        sweep(digis, [PatchVQ(codebook_size=4), PatchVQ(codebook_size=8)], out=out, jobs=1,
              progress=stop_at(0.6, False))  # fmt: skip
    other = pixlab.simulate(4, pileup=3, seed=99)
    found = sweep(other, [PatchVQ(codebook_size=4, seed=7)], out=out, jobs=1)
    same_rows(found, sweep(other, [PatchVQ(codebook_size=4, seed=7)], jobs=1))


def test_two_sweeps_do_not_write_one_table(digis, tmp_path):
    with (
        Journal(tmp_path / "t.parquet", "x").open(),
        pytest.raises(PixlabError, match="another sweep is at work"),
    ):
        sweep(digis, [Lossless()], out=tmp_path / "t.parquet")


def test_a_codec_that_is_not_installed_is_refused_before_the_work(digis, monkeypatch):
    monkeypatch.setattr(Root, "installed", classmethod(lambda cls: False))
    monkeypatch.setattr("pixlab.study.sweeping.perform", None)
    with pytest.raises(PixlabError, match=r"pip install 'pixlab\[root\]'"):
        sweep(digis, [Lossless(), Root()])


@pytest.mark.parametrize(
    ("limits", "wanted"),
    [({}, 4), ({"CPU_LIMIT": "1.0"}, 1), ({"MEM_LIMIT": str(2 << 30)}, 2), ({"CPU_LIMIT": "x"}, 4)],
)
def test_a_hub_says_how_many_processes_may_run(limits, wanted, monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(4), raising=False)
    for name in ("CPU_LIMIT", "MEM_LIMIT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in limits.items():
        monkeypatch.setenv(name, value)
    assert cores() == wanted


# -- columns --------------------------------------------------------------------------------
def test_every_column_is_explained_and_shown_with_its_unit(found):
    knobs, metrics = set(found.knobs), set(METRICS)
    named = [c for c in found.table if not c.startswith("ledger.")]
    assert set(named) <= set(COLUMNS) | knobs | metrics
    html = found._repr_html_()
    assert "bits_per_digi [bits]" in html
    assert "charge_rms [%]" in html
    assert "comparison" not in html


def test_rates_of_layers_are_those_of_the_comparison(found):
    long = found.per_layer("charge_rms", "efficiency")
    layers = found.comparison(0).layers
    assert len(long) == len(found) * 2 * len(layers)
    one = long[(long.label == found.table.label[1]) & (long.metric == "charge_rms")]
    assert (
        one.set_index("layer").value["FPIX 1"]
        == found.comparison(1).table.loc["charge_rms", "FPIX 1"]
    )
    assert set(found.per_layer().metric) == set(METRICS)
    with pytest.raises(PixlabError, match="no metric 'charm'"):
        found.per_layer("charm")


def test_the_verdict_is_that_of_the_comparison(found):
    for i, inside in enumerate(found.table["inside"]):
        passed = [name for name in TOLERANCES if found.comparison(i).passed(name)]
        assert inside == (passed[0] if passed else "none")


def test_payback_counts_the_events_until_the_model_is_paid_for():
    table = pd.DataFrame(
        {
            "codec": ["lossless", "a", "b", "c"], "label": list("labc"), "events": 10,
            "model_bytes": [500, 1500, 100, 9000], "payload_bytes": [1000, 900, 1200, 1000],
        }
    )  # fmt: skip
    found = payback(table, {"root_zstd4": 2000})
    # a: 1000 bytes more of model, 10 bytes an event less
    assert found["payback_lossless"].tolist() == [0, 100, np.inf, np.inf]
    # at 200 bytes an event in ROOT: 500 / 100, 1500 / 110, 100 / 80, 9000 / 100
    assert found["payback_root_zstd4"].tolist() == [5, 14, 2, 90]
    assert np.isnan(payback(table[1:], {"root_zstd4": 2000})["payback_lossless"]).all()


def test_payback_agrees_with_files(found, digis):
    """At the number of events it names, the file is smaller; one event before, it is not."""
    row = found.table.iloc[0]
    n = row["payback_root_zstd4"]
    assert 1 <= n < 1000
    root = found.provenance["root_zstd4"] / row["events"]
    for events, smaller in ((n, True), (n - 1, False)):
        file = row["model_bytes"] + events * row["payload_bytes"] / row["events"]
        assert (file < events * root) == smaller


# -- floors ---------------------------------------------------------------------------------
def test_the_floor_of_places_is_the_entropy_of_random_places():
    """Single hits at random places: log2 of the number of arrangements, and no shapes."""
    detector = Detector.from_table({"detid": [1], "rows": [100], "cols": [100]}, name="one")
    rng = np.random.default_rng(1)
    places = [rng.choice(2500, 40, replace=False) for _ in range(200)]  # every other row and column
    event = np.repeat(np.arange(200), 40)
    row, col = (2 * (np.concatenate(places) // 50), 2 * (np.concatenate(places) % 50))
    digis = Digis.from_arrays(
        event, np.full(8000, 1), row, col, np.ones(8000, int), detector=detector
    )
    found = floors(digis)
    wanted = (math.lgamma(10001) - math.lgamma(41) - math.lgamma(9961)) / math.log(2) / 40
    assert found["positions"] == pytest.approx(wanted, rel=1e-6)
    assert found["shapes"] == 0
    assert np.isnan(found["noise"])
    assert np.isnan(found["lossless"])


def test_the_floor_of_shapes_is_the_entropy_of_a_coin():
    """Vertical pairs or singles, decided by a coin of known bias."""
    detector = Detector.from_table({"detid": [1], "rows": [400], "cols": [400]}, name="one")
    rng = np.random.default_rng(2)
    start = rng.choice(10_000, 3000, replace=False)
    row, col = 4 * (start // 100), 4 * (start % 100)
    pair = rng.random(3000) < 0.3
    rows, cols = np.concatenate([row, row[pair] + 1]), np.concatenate([col, col[pair]])
    n = len(rows)
    same, ones = np.zeros(n, int), np.ones(n, int)
    digis = Digis.from_arrays(same, ones, rows, cols, ones, detector=detector)
    share = pair.mean()
    # asked below every start (the coin) and in the next column (never hit): one context each
    coin = -(share * np.log2(share) + (1 - share) * np.log2(1 - share))
    assert floors(digis)["shapes"] * n == pytest.approx(3000 * coin, rel=0.01)


def test_the_floor_of_noise_is_that_of_a_gaussian_in_the_middle_of_the_range():
    detid = pixlab.DETECTORS["phase1"].detid[0]

    def of(adc):
        """Two digis that set threshold and full scale, and 98 with that count."""
        adc = [20, 255] + [adc] * 98
        places = np.arange(100)
        return Digis.from_arrays([0] * 100, [detid] * 100, places, places, adc, detector="phase1")

    middle = floors(of(120), noise=350)["noise"]
    assert middle == pytest.approx(np.log2(350 / 135 * np.sqrt(2 * np.pi * np.e)), abs=0.02)
    # a count at full scale is all that goes beyond: half of the noise
    assert floors(of(255), noise=350)["noise"] == pytest.approx(middle / 2, abs=0.3)
    assert floors(of(120), noise=0)["noise"] == 0
    assert floors(of(120)) == floors(of(120), noise=175)


def test_floors_are_those_of_the_baselines_and_below_the_lossless_codec(found, digis):
    sample = pixlab.samples.load("phase1-pu60")
    bits = floors(sample)
    assert 3.3 < bits["positions"] < 3.6
    assert 1.2 < bits["shapes"] < 1.6
    assert 2.3 < bits["noise"] < 2.6
    assert bits["hit_map"] == bits["positions"] + bits["shapes"]
    assert floors([sample[:4], sample[4:]]) == pytest.approx(bits)
    assert np.isnan(floors(Digis.empty("phase1", 2))["hit_map"])
    row = found.table.iloc[0]
    assert row["floor_bits_per_digi"] == found.floors["lossless"] < row["bits_per_digi"]
    assert found.table["floor_bits_per_digi"].isna()[1]  # tiles do not keep the hits
