"""Pareto fronts and Bjontegaard differences, on curves whose answer is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import pixlab
from pixlab.errors import PixlabError
from pixlab.study import Sweep, bd_rate, bd_rates, pareto
from pixlab.study.tradeoffs import distortion


def curve(rates, values, codec="a", metric="charge_rms"):
    return pd.DataFrame({"codec": codec, "bits_per_digi": rates, metric: values})


def law(rates, *, factor=1.0, codec="a"):
    """Distortion falls by half for every bit; `factor` more rate for the same."""
    rates = np.asarray(rates, float)
    return curve(rates * factor, 2.0**-rates, codec)


def test_distortion_is_small_where_all_is_well():
    assert distortion("charge_mean", [-0.2, 0.1]).tolist() == [0.2, 0.1]
    assert distortion("efficiency", [1.0, 0.9]) == pytest.approx([0, 0.1])
    assert distortion("shift_row", [3.0]).tolist() == [3.0]
    with pytest.raises(PixlabError, match="no metric 'charm'"):
        distortion("charm", [1.0])


def test_the_front_holds_what_nothing_beats():
    table = curve([5, 6, 6, 7, 4, 8, 9, np.nan], [3, 2, 2.5, 2, 4, 1, np.nan, 0])
    front = pareto(table, "charge_rms")
    assert front["bits_per_digi"].tolist() == [4, 5, 6, 8]
    assert front["charge_rms"].tolist() == [4, 3, 2, 1]
    large = curve([5, 6, 7], [0.9, 0.8, 0.95], metric="efficiency")
    assert pareto(large, "efficiency")["efficiency"].tolist() == [0.9, 0.95]
    signed = curve([5, 6, 7], [-0.3, 0.2, -0.25], metric="charge_mean")
    assert pareto(signed, "charge_mean")["charge_mean"].tolist() == [-0.3, 0.2]


def test_every_row_that_is_left_out_is_beaten_by_one_on_the_front():
    rng = np.random.default_rng(3)
    table = curve(rng.integers(0, 30, 200), rng.integers(0, 30, 200))
    front = pareto(table, "charge_rms")
    for rate, value in zip(table["bits_per_digi"], table["charge_rms"], strict=True):
        beaten = (front["bits_per_digi"] <= rate) & (front["charge_rms"] <= value)
        assert beaten.any()
    assert (np.diff(front["bits_per_digi"]) > 0).all()
    assert (np.diff(front["charge_rms"]) < 0).all()


@pytest.mark.parametrize("factor", [0.5, 0.9, 1.0, 1.3])
def test_a_constant_factor_is_found_whatever_the_settings(factor):
    a, b = law([4, 5, 6, 7, 8]), law([4.5, 5.1, 6.3, 7.7], factor=factor)
    assert bd_rate(a, b, "charge_rms") == pytest.approx(factor - 1, abs=0.01)
    assert bd_rate(a, a, "charge_rms") == pytest.approx(0, abs=1e-12)


def test_it_is_antisymmetric_in_the_logarithm_and_knows_no_scale():
    a, b = law([4, 5, 6, 8]), law([3, 5.5, 7], factor=0.8)
    one, other = bd_rate(a, b, "charge_rms"), bd_rate(b, a, "charge_rms")
    assert (1 + one) * (1 + other) == pytest.approx(1)
    scaled = [t.assign(charge_rms=1000 * t["charge_rms"]) for t in (a, b)]
    assert bd_rate(*scaled, "charge_rms") == pytest.approx(one)


def test_only_the_common_range_and_the_front_count():
    """Where b alone is, it is very bad; and a setting that is beaten changes nothing."""
    a, b = law([5, 6, 7]), law([5, 6, 7], factor=1.2)
    wide = pd.concat([b, curve([1.2, 99], [2.0**-1, 2.0**-20])])
    assert bd_rate(a, wide, "charge_rms") == pytest.approx(0.2, abs=0.02)
    beaten = pd.concat([a, curve([9], [2.0**-5.5])])
    assert bd_rate(beaten, b, "charge_rms") == bd_rate(a, b, "charge_rms")


def test_what_cannot_be_compared_is_said():
    a = law([4, 5, 6])
    with pytest.raises(PixlabError, match="second codec has 1 settings"):
        bd_rate(a, law([5]), "charge_rms")
    with pytest.raises(PixlabError, match="first codec has 0 settings"):
        bd_rate(curve([11.0, 12.0], [0.0, 0.0]), a, "charge_rms")
    with pytest.raises(PixlabError, match="no range of 'charge_rms' in common"):
        bd_rate(a, law([7, 8, 9]), "charge_rms")
    with pytest.raises(PixlabError, match="no column 'shift_row'"):
        pareto(a, "shift_row")
    with pytest.raises(PixlabError, match="no metric 'charm'"):
        bd_rates(a, "charm")


def test_all_codecs_against_all():
    table = pd.concat(
        [law([4, 5, 6]), law([4, 5, 6], factor=0.9, codec="b"), curve([12], [0], "exact")]
    )
    found = bd_rates(table, "charge_rms")
    assert found.loc["a", "b"] == pytest.approx(-0.1)
    assert found.loc["b", "a"] == pytest.approx(1 / 0.9 - 1)
    assert found.loc["a", "a"] == 0
    assert np.isnan(found.loc["exact", "a"])


def test_cluster_vq_saves_against_patch_vq_in_the_shipped_sweep():
    shipped = Sweep.load(pixlab.samples.sweep_path())
    found = bd_rates(shipped, "charge_rms")
    assert found.loc["patch-vq", "cluster-vq"] < -0.1
    front = pareto(shipped, "charge_rms")
    assert front["codec"].iloc[-1] == "lossless"
    assert "cluster-vq" in set(front["codec"])
