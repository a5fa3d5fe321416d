"""The parts that `compare` is made of, each against a second way to get the same."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial import distance

from pixlab.clusters import cluster
from pixlab.detectors import phase1_detid
from pixlab.digis import Digis
from pixlab.physics import match, pixel_pairs
from pixlab.physics.distances import chi2_per_bin, jensen_shannon, ks, wasserstein
from pixlab.physics.spectra import AXES
from pixlab.physics.totals import fixed
from tests.helpers import random_digis, small_detector

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


def test_splits_and_merges_are_counted_on_both_sides():
    whole = one_module([(10, c, 60) for c in range(10)] + [(40, 40, 60)])
    broken = one_module([(10, c, 60) for c in (0, 1, 3, 4, 6, 7, 8)] + [(40, 40, 60)])
    found = match(cluster(whole), cluster(broken))
    assert found.fragments.tolist() == [3, 1]
    assert found.sources.tolist() == [1, 1, 1, 1]
    found = match(cluster(broken), cluster(whole))
    assert found.fragments.tolist() == [1, 1, 1, 1]
    assert found.sources.tolist() == [3, 1]
    # clusters that do not touch are neither split nor merged
    found = match(cluster(whole), cluster(one_module([(80, 80, 60)])))
    assert (found.fragments.tolist(), found.sources.tolist()) == ([0, 0], [0])


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
    flows = [np.concatenate([[0], c, [0]]) for c in (a, b)]
    edges = np.arange(len(a) + 1.0)
    expected = stats.wasserstein_distance(x, y)
    assert wasserstein(*flows, edges) == pytest.approx(expected, rel=1e-12)
    divergence = distance.jensenshannon(a, b, base=2) ** 2
    assert jensen_shannon(a, b) == pytest.approx(divergence, rel=1e-9)


def test_wasserstein_counts_flows_in_the_bins_beside_them():
    edges = np.array([0.0, 1.0, 3.0, 7.0])
    a, b = np.array([5, 0, 0, 0, 0]), np.array([0, 0, 0, 0, 5])
    assert wasserstein(a, b, edges) == pytest.approx(5 - 0.5)
    # all entries from the first to the second bin: from 0.5 to 2
    a, b = np.array([0, 4, 0, 0, 0]), np.array([0, 0, 4, 0, 0])
    assert wasserstein(a, b, edges) == pytest.approx(1.5)


def test_jensen_shannon_is_between_0_and_1():
    a, b = np.array([3, 0, 1]), np.array([0, 7, 0])
    assert jensen_shannon(a, b) == pytest.approx(1)
    assert jensen_shannon(a, 5 * a) == 0


@pytest.mark.parametrize("seed", range(3))
def test_chi2_by_hand(seed):
    a, b = histograms(seed)
    a[3] = b[3] = 0
    terms = [(x - y) ** 2 / (x + y) for x, y in zip(a, b, strict=True) if x + y]
    assert chi2_per_bin(a, b) == pytest.approx(sum(terms) / len(terms), rel=1e-12)


def test_distances_of_nothing():
    empty, filled, edges = np.zeros(4, int), np.array([1, 2, 3, 4]), np.arange(3.0)
    assert np.isnan(ks(empty, empty))
    assert np.isnan(jensen_shannon(empty, empty))
    assert jensen_shannon(empty, filled) == jensen_shannon(filled, empty) == 1
    assert np.isnan(wasserstein(empty, empty, edges))
    assert np.isnan(chi2_per_bin(empty, empty))
    assert ks(empty, filled) == ks(filled, empty) == 1
    assert wasserstein(filled, empty, edges) == np.inf
    assert chi2_per_bin(filled, empty) == 2.5


def test_fine_bins_come_close_to_the_unbinned_distance():
    rng = np.random.default_rng(4)
    x, y = rng.gamma(5, 5000, 20_000), rng.gamma(5, 5100, 20_000)
    fine = AXES["fine_charge"].edges(small_detector())
    counts = [np.histogram(v, fine)[0] for v in (x, y)]
    exact = stats.ks_2samp(x, y).statistic
    assert ks(*counts) <= exact
    assert ks(*counts) == pytest.approx(exact, abs=0.001)


# -- exact sums -------------------------------------------------------------------------------
@settings(max_examples=50, deadline=None)
@given(
    values=st.lists(st.floats(-4096, 4096, allow_nan=False), max_size=60),
    cut=st.integers(0, 60),
)
def test_fixed_point_sums_do_not_depend_on_the_cut(values, cut):
    array, layer = np.array(values, float), np.arange(len(values)) % 2
    whole = fixed("response", array, layer, 2)
    parts = [fixed("response", array[s], layer[s], 2) for s in (slice(cut), slice(cut, None))]
    assert (parts[0] + parts[1]).tolist() == whole.tolist()
    for place in (0, 1):
        exact = sum(map(Fraction, values[place::2]))
        assert abs(Fraction(whole[place], 2**40) - exact) <= Fraction(len(values), 2**41)


def test_large_sums_are_exact():
    n = 100_000
    (found,) = fixed("charge_original", np.full(n, 2.0**39 + 2.0**-12), np.zeros(n, int), 1)
    assert found == n * (2**51 + 1)
