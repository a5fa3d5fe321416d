"""The parts that `compare` is made of, each against a second way to get the same."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pixlab.clusters import cluster
from pixlab.detectors import DETECTORS, Detector, phase1_detid
from pixlab.digis import Digis
from pixlab.errors import PixlabError
from pixlab.physics import METRICS, SPECTRA, TOLERANCES, compare, match, pixel_pairs, spectra
from pixlab.physics.distances import chi2_per_bin, jensen_shannon, ks, wasserstein
from pixlab.physics.groups import groups
from pixlab.physics.spectra import AXES, bins_of, to_hist
from pixlab.physics.totals import fixed
from tests.helpers import full_module, random_digis, small_detector

MODULE = int(phase1_detid(layer=2, ladder=1, module=1))


def one_module(pixels, *, event=0, detid=MODULE, n_events=1):
    row, col, adc = (np.array(x) for x in zip(*pixels, strict=True))
    n = len(row)
    return Digis.from_arrays(
        [event] * n, [detid] * n, row, col, adc, detector="phase1", n_events=n_events
    )


def pairs_of(original, decoded):
    found = match(cluster(original), cluster(decoded))
    columns = (found.original, found.decoded, found.shared)
    return list(zip(*(a.tolist() for a in columns), strict=True))


# -- matching ---------------------------------------------------------------------------------
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(0, 400))
def test_pixel_pairs_are_the_intersection(seed, n):
    a, b = (random_digis(small_detector(), n_digis=n, seed=seed + i) for i in (0, 1))
    keys = [
        list(zip(*(x.tolist() for x in (d.event, d.detid, d.row, d.col)), strict=True))
        for d in (a, b)
    ]
    i, j = pixel_pairs(a, b)
    assert [keys[0][k] for k in i] == [keys[1][k] for k in j] == sorted(set(keys[0]) & set(keys[1]))


def test_most_shared_pixels_win():
    original = one_module([(10, c, 60) for c in range(10)])
    # the cluster falls apart into three and five of its pixels
    decoded = one_module([(10, c, 60) for c in (0, 1, 2, 5, 6, 7, 8, 9)])
    assert pairs_of(original, decoded) == [(0, 1, 5)]
    # and the other way round: two clusters merge into one
    assert pairs_of(decoded, original) == [(1, 0, 5)]


def test_ties_go_to_the_first():
    original = one_module([(10, c, 60) for c in range(5)])
    decoded = one_module([(10, c, 60) for c in (0, 1, 3, 4)])
    assert pairs_of(original, decoded) == [(0, 0, 2)]


def test_without_shared_pixels_the_nearest():
    original = one_module([(10, 10, 60), (10, 14, 60)])
    decoded = one_module([(11, 12, 60), (10, 15, 60)])
    # col 12 is two pixels from both; col 15 is one from the second, which is paired first
    assert pairs_of(original, decoded) == [(0, 1, 0), (1, 0, 0)]


def test_nearest_is_in_micrometres():
    original = one_module([(20, 20, 60)])
    decoded = one_module([(20, 18, 60), (22, 20, 60)])  # 300 um along columns, 200 um along rows
    assert pairs_of(original, decoded) == [(0, 1, 0)]


@pytest.mark.parametrize(
    ("row", "col", "found"), [(2, 0, 1), (0, 2, 1), (3, 0, 0), (0, 3, 0), (2, 2, 1)]
)
def test_how_far_is_too_far(row, col, found):
    original, decoded = one_module([(20, 20, 60)]), one_module([(20 + row, 20 + col, 60)])
    assert len(pairs_of(original, decoded)) == found


def test_other_modules_and_events_do_not_match():
    original = one_module([(20, 20, 60)], n_events=2)
    neighbour = int(phase1_detid(layer=2, ladder=1, module=2))
    assert pairs_of(original, one_module([(20, 20, 60)], detid=neighbour, n_events=2)) == []
    assert pairs_of(original, one_module([(20, 20, 60)], event=1, n_events=2)) == []


def test_pixels_below_threshold_do_not_make_a_pair():
    assert pairs_of(one_module([(20, 20, 60)]), one_module([(20, 20, 5)])) == []


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_no_cluster_is_used_twice(seed):
    rng = np.random.default_rng(seed)
    original = random_digis(n_digis=1500, seed=seed)
    decoded = original.select(mask=rng.random(original.n_digis) > 0.3)
    a, b = cluster(original), cluster(decoded)
    found = match(a, b)
    assert len(np.unique(found.original)) == len(np.unique(found.decoded)) == len(found)
    assert np.array_equal(a.event[found.original], b.event[found.decoded])
    assert np.array_equal(a.module[found.original], b.module[found.decoded])
    # every decoded cluster lies inside an original one, so that each is lost or split, never faked
    i, j = pixel_pairs(original, decoded)
    both = (a.label[i] >= 0) & (b.label[j] >= 0)
    shared = np.zeros((len(a), len(b)), int)
    np.add.at(shared, (a.label[i][both], b.label[j][both]), 1)
    for x, y, n in zip(found.original, found.decoded, found.shared, strict=True):
        assert n == shared[x, y]
        if n:
            assert n == shared[x].max()


# -- distances --------------------------------------------------------------------------------
def histograms(seed: int, n: int = 40) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 30, n), rng.poisson(9, n)


@pytest.mark.parametrize("seed", range(5))
def test_ks_and_wasserstein_are_those_of_scipy(seed):
    a, b = histograms(seed)
    values = np.arange(len(a))
    x, y = np.repeat(values, a), np.repeat(values, b)
    assert ks(a, b) == pytest.approx(stats.ks_2samp(x, y).statistic, rel=1e-12)
    edges = np.arange(len(a) + 1.0)
    assert wasserstein(a, b, edges) == pytest.approx(stats.wasserstein_distance(x, y), rel=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_chi2_by_hand(seed):
    a, b = histograms(seed)
    a[3] = b[3] = 0
    terms = [(x - y) ** 2 / (x + y) for x, y in zip(a, b, strict=True) if x + y]
    assert chi2_per_bin(a, b) == pytest.approx(sum(terms) / len(terms), rel=1e-12)


def test_distances_of_nothing():
    empty, filled, edges = np.zeros(4, int), np.array([1, 2, 3, 4]), np.arange(5.0)
    assert np.isnan(ks(empty, empty))
    assert np.isnan(wasserstein(empty, empty, edges))
    assert np.isnan(chi2_per_bin(empty, empty))
    assert ks(empty, filled) == ks(filled, empty) == 1
    assert wasserstein(filled, empty, edges) == np.inf
    assert chi2_per_bin(filled, empty) == 2.5


def test_fine_bins_come_close_to_the_unbinned_distance():
    rng = np.random.default_rng(4)
    x, y = rng.gamma(5, 5000, 20_000), rng.gamma(5, 5100, 20_000)
    counts = [np.histogram(v, FINE_CHARGE_EDGES)[0] for v in (x, y)]
    exact = stats.ks_2samp(x, y).statistic
    assert ks(*counts) <= exact
    assert ks(*counts) == pytest.approx(exact, abs=0.001)


# -- spectra ----------------------------------------------------------------------------------
@pytest.mark.parametrize("detector", ["phase1", "phase1-run3", "toy"])
@pytest.mark.parametrize("name", SPECTRA)
def test_counts_are_those_of_hist(detector, name):
    digis = random_digis(small_detector() if detector == "toy" else detector, n_digis=2000)
    clusters = cluster(digis)
    counts = count(digis, clusters)[name]
    expected = to_hist(name, np.zeros_like(counts), digis.detector)
    layer, values = SPECTRA[name].values(digis, clusters)
    expected.fill(np.array(digis.detector.layers)[layer], np.asarray(values))
    assert np.array_equal(expected.view(flow=True), counts)
    assert np.array_equal(spectra(digis)[name].view(flow=True), counts)
    assert counts.sum() > 0


def test_what_is_counted():
    digis = random_digis(n_events=5, n_digis=2000)
    found, clusters = spectra(digis), cluster(digis)
    assert found["adc"].sum(flow=True) == digis.n_digis
    for name in ("charge", "size", "size_row", "size_col"):
        assert found[name].sum(flow=True) == len(clusters)
    # modules and layers without a digi are counted too, at 0
    assert found["occupancy"].sum(flow=True) == 5 * 1856
    assert found["occupancy"][:, 0].sum() == 5 * 1856 - len(digis.frames.module)
    assert found["digis"].sum(flow=True) == 5 * 7


def test_a_full_module_is_inside_the_occupancy_axis():
    counts = spectra(full_module())["occupancy"].view(flow=True)
    assert counts[:, -1].sum() == 0
    edges = SPECTRA["occupancy"].edges(DETECTORS["phase1"])
    filled = int(np.flatnonzero(counts[0])[-1])
    assert edges[filled - 1] <= 66560 < edges[filled]


@pytest.mark.parametrize(
    ("adc_max", "gain", "top"),
    [(255, 135.0, 200), (255, 1.0, 2), (15, 1000.0, 90), (65535, 10.0, 200)],
)
def test_the_charge_axis_fits_the_detector(adc_max, gain, top):
    detector = Detector.from_table(
        {"detid": [1], "rows": [4], "cols": [4]}, adc_max=adc_max, electrons_per_adc=gain
    )
    edges = SPECTRA["charge"].edges(detector)
    assert edges[-1] == pytest.approx(top)
    assert len(edges) == 101


# -- exact sums -------------------------------------------------------------------------------
@settings(max_examples=50, deadline=None)
@given(
    values=st.lists(st.floats(-4096, 4096, allow_nan=False), max_size=60),
    cut=st.integers(0, 60),
)
def test_fixed_point_sums_do_not_depend_on_the_cut(values, cut):
    array, layer = np.array(values, float), np.arange(len(values)) % 2
    whole = _fixed("response", array, layer, 2)
    parts = [_fixed("response", array[s], layer[s], 2) for s in (slice(cut), slice(cut, None))]
    assert [a + b for a, b in zip(*parts, strict=True)] == whole
    for place in (0, 1):
        exact = sum(map(Fraction, values[place::2]))
        assert abs(Fraction(whole[place], 2**40) - exact) <= Fraction(len(values), 2**41)


def test_large_sums_are_exact():
    n = 100_000
    (found,) = _fixed("charge_original", np.full(n, 2.0**39 + 2.0**-12), np.zeros(n, int), 1)
    assert found == n * (2**51 + 1)


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
    assert frame.columns.tolist() == ["metric", "layer", "value", "limit", "ok"]
    assert len(frame) == len(verdict.checks)
    data = verdict.to_dict()
    assert data["ok"] is False
    assert data["tolerances"] == "custom"
    assert len(data["checks"]) == len(verdict.checks)
    assert "custom: OUTSIDE" in str(verdict)
    assert "mean cluster charge" in str(verdict)
    assert "within 10%" in str(verdict)
