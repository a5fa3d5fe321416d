"""The embedded samples are what their descriptions say."""

from __future__ import annotations

import numpy as np
import pytest

import pixlab
from pixlab import samples
from pixlab.errors import PixlabError

NAMES = [*samples.list()]


def test_every_sample_has_one_line():
    assert NAMES == ["phase1-pu60", "phase1-pu200", "phase2-pu200"]
    assert all(text and "\n" not in text for text in samples.list().values())


def test_the_list_is_a_copy():
    samples.list().clear()
    assert [*samples.list()] == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_sample_is_small_and_loads(name):
    digis = samples.load(name)
    assert digis == pixlab.read(samples.path(name))
    assert all(digis.per_layer().values())


def test_all_samples_are_small():
    assert sum(samples.path(name).stat().st_size for name in NAMES) < 3_000_000


@pytest.mark.parametrize(
    ("name", "n_events", "detector"), [("phase1-pu200", 4, "phase1"), ("phase2-pu200", 1, "phase2")]
)
def test_a_sample_is_the_simulation_of_its_seed(name, n_events, detector):
    digis = samples.load(name)
    assert (len(digis), digis.detector.name) == (n_events, detector)
    again = pixlab.simulate(1, pileup=200, seed=200, detector=detector)
    # other processors and compilers may round a few charges differently
    assert digis[0].n_digis == pytest.approx(again.n_digis, rel=1e-3)
    assert np.mean(digis[0].adc) == pytest.approx(np.mean(again.adc), rel=1e-3)


def test_the_first_sample_is_like_what_is_simulated_now():
    """It is older than the conditions of today, and kept: results are quoted on it."""
    digis = samples.load("phase1-pu60")
    assert len(digis) == 10
    again = pixlab.simulate(10, pileup=60, seed=60)
    assert digis.n_digis == pytest.approx(again.n_digis, rel=0.12)
    assert np.mean(digis.adc) == pytest.approx(np.mean(again.adc), rel=0.05)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(PixlabError, match="phase1-pu60"):
        samples.path("phase7")


def test_files_that_are_not_installed(tmp_path, monkeypatch):
    monkeypatch.setattr(samples, "_HERE", tmp_path)
    with pytest.raises(PixlabError, match=r"make_samples\.py"):
        samples.path("phase1-pu60")
    (tmp_path / "phase1-pu60.pxl").write_bytes(b"")
    with pytest.raises(PixlabError, match="pixlab sweep"):
        samples.sweep_path()
    (tmp_path / "phase1-pu60.sweep.parquet").write_bytes(b"")
    assert samples.sweep_path() == tmp_path / "phase1-pu60.sweep.parquet"
