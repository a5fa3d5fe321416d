"""Tolerances, errors and verdicts: presets, a user's TOML, and what an error says."""

from __future__ import annotations

import json

import numpy as np
import pytest

from pixlab.digis import Digis
from pixlab.errors import PixlabError
from pixlab.physics import METRICS, TOLERANCES, Tolerances, compare
from tests.helpers import random_digis
from tests.physics_cases import distorted, fine_detector, tracks


# -- tolerances -------------------------------------------------------------------------------
def test_presets_are_those_of_the_design():
    columns = {
        "charge_mean": (0.005, 0.01, 0.03),
        "charge_rms": (0.05, 0.10, 0.15),
        "charge_ks": (0.02, 0.05, None),
        "size_unchanged": (0.995, 0.99, 0.97),
        "occupancy": (0.001, 0.005, 0.02),
        "shift_row": (3, 5, 10),
        "shift_col": (7, 12, 20),
        "efficiency": (0.999, 0.997, 0.995),
        "fakes": (0.001, 0.003, 0.005),
    }
    for place, preset in enumerate(("transparent", "analysis", "loose")):
        expected = {k: v[place] for k, v in columns.items() if v[place] is not None}
        assert TOLERANCES[preset] == expected


@pytest.mark.parametrize("metric", METRICS)
def test_nan_passes_nothing(metric):
    best = METRICS[metric]
    assert not best.passes(float("nan"), -np.inf if best.good == "large" else np.inf)


def test_limits_are_inclusive_and_have_a_direction():
    for name, good, bad in (
        ("charge_mean", (-0.01, 0.0, 0.01), (-0.011, 0.011)),
        ("charge_rms", (0.0, 0.01), (0.011,)),
        ("efficiency", (0.01, 1.0), (0.0099,)),
    ):
        assert all(METRICS[name].passes(v, 0.01) for v in good)
        assert not any(METRICS[name].passes(v, 0.01) for v in bad)


@pytest.mark.parametrize(
    ("tolerances", "message"),
    [
        ("strict", "transparent, analysis, loose"),
        ({"charm": 1.0}, "no metric 'charm'"),
        ({"fakes": float("nan")}, "not a number"),
        ({"fakes": "0.1"}, "not a number"),
        ({"fakes": True}, "not a number"),
        ({}, "allow everything"),
    ],
)
def test_bad_tolerances(tolerances, message):
    digis = random_digis()
    with pytest.raises(PixlabError, match=message):
        compare(digis, digis).passed(tolerances)


def test_verdict_for_programs_and_people():
    digis = random_digis(n_digis=2000)
    found = compare(digis, digis.with_adc(digis.adc // 2))
    verdict = found.passed({"charge_mean": 0.1, "fakes": 0.5})
    frame = verdict.to_frame()
    assert frame.columns.tolist() == [
        *("metric", "layer", "value", "error", "limit", "ok", "sure", "used", "stage")
    ]
    assert len(frame) == len(verdict.checks)
    data = verdict.to_dict()
    assert data["ok"] is False
    assert data["tolerances"] == "custom"
    assert len(data["checks"]) == len(verdict.checks)
    assert "custom: OUTSIDE" in str(verdict)
    assert "mean cluster charge" in str(verdict)
    assert "within 10%" in str(verdict)


# -- a user's file ----------------------------------------------------------------------------
TOML = """
name = "b tagging"
base = "loose"

[limits]
charge_rms = 0.5
size_row_ks = 0.1
fakes = false

[layers.inner]
charge_rms = 0.001
occupancy = 1
"""


def test_tolerances_from_toml(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(TOML)
    found = Tolerances.of(path)
    assert found == Tolerances.of(str(path)) == Tolerances.of(found)
    assert found.name == "b tagging"
    assert found.limit("charge_rms", "outer") == found.limit("charge_rms", "all") == 0.5
    assert found.limit("charge_rms", "inner") == 0.001
    assert found.limit("shift_row", "inner") == TOLERANCES["loose"]["shift_row"]
    assert found.limit("fakes", "inner") is None
    assert found.metrics[:2] == ("charge_mean", "charge_rms")
    digis = tracks()
    verdict = compare(digis, digis.with_adc(np.rint(digis.adc * 1.002))).passed(path)
    assert verdict.tolerances == "b tagging"
    assert [(c.metric, c.layer) for c in verdict.failed] == [("charge_rms", "inner")]
    assert {c.metric for c in verdict.checks} == set(found.metrics)


def test_a_file_without_a_name_is_called_after_it(tmp_path):
    path = tmp_path / "strict.toml"
    path.write_text("[layers.all]\ncharge_mean = 0.001\n")
    digis = tracks()
    verdict = compare(digis, digis).passed(str(path))
    assert verdict.tolerances == "strict"
    assert [(c.metric, c.layer) for c in verdict.checks] == [("charge_mean", "all")]
    assert verdict


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("charge_mean = 0.01", "unknown key 'charge_mean'"),
        ("base = 'strict'", "no base 'strict'"),
        ("[limits]\ncharm = 1", "no metric 'charm'"),
        ("[limits]\nfakes = nan", "not a number"),
        ("[limits]\nfakes = '1%'", "not a number"),
        ("limits = 3", "must be tables"),
        ("[layers]\ninner = 3", "must be a table"),
        ("[layers.inner]\nfakes = true", "not a number"),
        ("base = 'loose'\n[layers.charm]\nfakes = 1", "name a layer 'charm'"),
        ("", "allow everything"),
        ("[limits]\nfakes = false", "allow everything"),
        ("[limits", "no TOML file"),
        ("\x00", "no TOML file"),
    ],
)
def test_bad_files(tmp_path, text, message):
    path = tmp_path / "bad.toml"
    path.write_text(text)
    digis = tracks()
    with pytest.raises(PixlabError, match=message) as caught:
        compare(digis, digis).passed(path)
    assert "bad" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file(tmp_path):
    with pytest.raises(PixlabError, match=r"cannot read .*nothing.toml"):
        Tolerances.of(tmp_path / "nothing.toml")
    path = tmp_path / "latin.toml"
    path.write_bytes("name = '\xe9'".encode("latin-1"))
    with pytest.raises(PixlabError, match="no TOML file"):
        Tolerances.of(path)


# -- errors -----------------------------------------------------------------------------------
def test_errors_say_how_far_repetitions_scatter():
    """The spread of a metric over independent samples is what the error of one of them says."""
    names = ["charge_rms", "charge_mean", "charge_ks", "shift_row", "pixels_kept", "occupancy"]
    values, errors = [], []
    for seed in range(30):
        digis = tracks(12, seed=seed)
        rng = np.random.default_rng(seed)
        kept = digis.select(mask=rng.random(digis.n_digis) > 0.02)
        smeared = kept.with_adc(np.rint(kept.adc * rng.normal(1, 0.1, kept.n_digis)))
        found = compare(digis, smeared)
        values.append(found.table.loc[names])
        errors.append(found.errors.loc[names])
    spread = np.std(values, axis=0, ddof=1)
    typical = np.sqrt(np.mean(np.square(errors), axis=0))
    ratio = typical / spread  # 30 repetitions know a spread to 13%
    assert ratio.shape == (len(names), 3)
    assert (ratio > 0.55).all(), ratio
    assert (ratio < 1.7).all(), ratio


def test_errors_shrink_with_events():
    few, many = (compare(d, distorted(d)) for d in (tracks(6), tracks(60)))
    ratio = few.errors.loc["charge_rms", "all"] / many.errors.loc["charge_rms", "all"]
    assert 1.5 < ratio < 6.5  # sqrt(10), each error known to about 20%


def test_identity_is_known_exactly_but_for_shares():
    digis = tracks()
    errors = compare(digis, digis).errors["all"]
    clusters = digis.n_digis // 6
    shares = {name for name, metric in METRICS.items() if metric.share}
    assert (errors.drop(list(shares)) == 0).all()
    # half of a Wilson interval for n of n
    assert errors["efficiency"] == pytest.approx(0.5 / (clusters + 1), rel=1e-12)
    assert errors["pixels_kept"] == pytest.approx(0.5 / (digis.n_digis + 1), rel=1e-12)


def test_a_single_hit_has_no_known_error():
    digis = Digis.from_arrays([0], [303042564], [5], [7], [100], detector="phase1")
    found = compare(digis, digis)
    assert np.isnan(found.errors.loc["charge_rms", "BPIX 1"])
    assert found.errors.loc["efficiency", "BPIX 1"] == 0.25
    verdict = found.passed()
    assert verdict
    assert {c.metric for c in verdict.unsure} == set(TOLERANCES["transparent"])
    assert "too close to call" in str(verdict)


def test_a_check_says_how_much_of_the_allowance_is_used():
    digis = tracks(40)
    rng = np.random.default_rng(3)
    smeared = digis.with_adc(np.rint(digis.adc * rng.normal(1, 0.1, digis.n_digis)))
    found = compare(digis, smeared)
    rms = found.table.loc["charge_rms", "all"]
    for limit, ok, sure in ((rms * 0.5, False, True), (rms * 1.0001, True, False), (1, True, True)):
        (check,) = found.passed({"charge_rms": limit}).worst()
        (check,) = [c for c in found.passed({"charge_rms": limit}).checks if c.layer == "all"]
        assert (check.ok, check.sure) == (ok, sure)
        assert check.used == pytest.approx(rms / limit)
    (check,) = compare(digis, digis).passed({"efficiency": 0.99}).worst()
    assert check.used == 0
    (check,) = compare(digis, digis).passed({"efficiency": 1.0}).worst()
    assert (check.used, check.ok) == (0, True)
    lost = compare(digis, Digis.empty(fine_detector(), 40)).passed({"efficiency": 1.0})
    assert lost.worst()[0].used == np.inf
    assert json.dumps(lost.to_dict(), allow_nan=False)


def test_worst_comes_first_and_no_value_is_worst_of_all():
    digis = tracks()
    one_layer = digis.select(layer="inner")
    verdict = compare(digis, one_layer).passed({"charge_rms": 0.1, "occupancy": 0.1})
    worst = {check.metric: check.layer for check in verdict.worst()}
    assert worst == {"charge_rms": "outer", "occupancy": "outer"}
    assert np.isnan(next(c.value for c in verdict.worst() if c.metric == "charge_rms"))


# -- null values ------------------------------------------------------------------------------
def test_null_values_are_those_of_independent_halves():
    """Two halves of n entries each: the distance has the mean and the spread that statistics says."""
    found = [compare(d, d).nulls["all"] for d in (tracks(20, seed=s) for s in range(25))]
    n = np.mean([tracks(20, seed=s).n_digis / 6 for s in range(3)]) / 2
    ks = np.mean([f["charge_ks"] for f in found])
    # the mean of the Kolmogorov distribution, 0.8687, over sqrt(n / 2)
    assert ks == pytest.approx(0.8687 / np.sqrt(n / 2), rel=0.2)
    chi2 = np.mean([f["charge_chi2"] for f in found])
    assert 0.8 < chi2 < 1.2
    assert set(found[0].index) == {name for name, metric in METRICS.items() if metric.null}


def test_distances_of_every_spectrum():
    digis = random_digis(n_events=6, n_digis=6000, n_modules=60)
    found = compare(digis, distorted(digis))
    table = found.distances()
    row = table.set_index(["spectrum", "distance", "layer"])
    assert row.loc[("size_row", "ks", "all"), "value"] == found.table.loc["size_row_ks", "all"]
    assert row.loc[("charge", "chi2_ndf", "all"), "value"] == found.table.loc["charge_chi2", "all"]
    same = compare(digis, digis).distances()
    hit = same.layer.isin([k for k, v in digis.per_layer().items() if v] + ["all"])
    assert (same.value[hit] == 0).all()
    assert (same.error[hit] == 0).all()
    assert (same.null[hit & (same.distance != "chi2_ndf")] > 0).mean() > 0.9
