"""FPD, KPD, classifier, manifolds: against jetnet, brute force, and what statistics expects."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest

from pixlab.clusters import cluster
from pixlab.digis import Digis
from pixlab.errors import FormatError
from pixlab.physics import Comparison, compare, sample
from pixlab.physics.deep import DEEP_METRICS
from pixlab.physics.fidelity import _discrepancy, _frechet, fpd, kpd, manifolds, two_sample
from pixlab.physics.sample import CLUSTER_FEATURES, MODULE_FEATURES, draw
from tests.helpers import random_digis, small_detector
from tests.physics_cases import distorted, tracks


def gaussians(shift: float, n: int = 60_000) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(7)
    mixing = np.array([[1, 0.5, 0, 0], [0, 1, 0.2, 0], [0, 0, 0.5, 0.1], [0, 0, 0, 2.0]])
    x, y = (rng.normal(size=(n, 4)) @ mixing for _ in range(2))
    return x, y * (1 + shift) + shift


# what jetnet 0.2.5 gives for these samples: jetnet.evaluation.fpd(x, y), jetnet.evaluation.kpd(x, y)
JETNET = {
    0.0: (
        (5.8402120553879556e-05, 2.2361409985570133e-05),
        (1.0966847541205027e-05, 6.671952342804392e-05),
    ),
    0.02: (
        (0.0002532003272295217, 2.1906185652997136e-05),
        (0.0001687175655025186, 9.523961033838611e-05),
    ),
    0.2: (
        (0.021643857491990916, 0.0001742487468560682),
        (0.014212605781193766, 0.001060021503725696),
    ),
}


@pytest.mark.parametrize("shift", JETNET)
def test_fpd_and_kpd_are_those_of_jetnet(shift):
    samples = gaussians(shift)
    for ours, theirs in zip((fpd(*samples), kpd(*samples)), JETNET[shift], strict=True):
        assert ours.value == pytest.approx(theirs[0], rel=1e-6)
        assert ours.error == pytest.approx(theirs[1], rel=1e-4)


def test_frechet_distance_of_known_gaussians():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(200_000, 3)) * [1, 2, 3]
    y = rng.normal(size=(200_000, 3)) * [2, 2, 1] + [1, 0, 2]
    # diagonal covariances: sum of squared differences of means and of standard deviations
    assert _frechet(x, y) == pytest.approx(1 + 4 + 1 + 0 + 4, rel=0.01)
    assert _frechet(x, x) == pytest.approx(0, abs=1e-9)


def test_kernel_sums_are_those_over_pairs():
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(40, 3)), rng.normal(size=(40, 3)) + 0.5

    def kernel(x, y):
        return (x @ y.T / 3 + 1) ** 4

    def off_diagonal(k):
        return (k.sum() - np.trace(k)) / (40 * 39)

    expected = off_diagonal(kernel(a, a)) + off_diagonal(kernel(b, b)) - 2 * kernel(a, b).mean()
    assert _discrepancy(a, b) == pytest.approx(expected, rel=1e-9)


# -- classifier -------------------------------------------------------------------------------
@pytest.mark.parametrize("shift", [0.0, 0.5, 1.5])
def test_area_is_that_of_shifted_gaussians(shift):
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(6000, 2)), rng.normal([shift, 0], size=(6000, 2))
    fold = np.arange(6000) % 6
    from scipy.stats import norm

    best = norm.cdf(shift / np.sqrt(2))
    found = two_sample(x, y, (fold, fold))
    assert found.value == pytest.approx(best, abs=max(4 * found.error, 0.015))
    assert 0 < found.error < 0.02


def test_a_sample_and_itself_cannot_be_told_apart():
    x = np.random.default_rng(4).normal(size=(2000, 3))
    fold = np.arange(2000) % 4
    assert two_sample(x, x, (fold, fold)) == (0.5, 0.0)


def test_too_little_to_tell():
    few, fold = np.zeros((12, 2)), np.zeros(12, int)
    nothing = np.zeros((0, 2))
    assert np.isnan(two_sample(few, few, (fold, fold)).value)
    assert np.isnan(two_sample(nothing, few, (fold[:0], fold)).value)
    assert np.isnan(fpd(few[:1], few).value)
    assert np.isnan(kpd(nothing, few).value)
    assert all(np.isnan(n.value) for n in manifolds(nothing, few, (fold[:0], fold)).values())
    assert all(np.isnan(n.value) for n in manifolds(few, few, (fold, fold)).values())


# -- manifolds --------------------------------------------------------------------------------
def test_manifolds_by_brute_force():
    rng = np.random.default_rng(5)
    real, other = rng.normal(size=(80, 2)), rng.normal(size=(60, 2)) * 1.5
    spread, k = real.std(axis=0), 5

    def ball(points, i):
        distances = sorted(np.hypot(*((points - points[i]) / spread).T))
        return distances[k]

    def inside(point, centre, radius):
        return np.hypot(*((point - centre) / spread)) <= radius

    of_real = [ball(real, i) for i in range(80)]
    of_other = [ball(other, j) for j in range(60)]
    hits = np.array([[inside(y, x, r) for y in other] for x, r in zip(real, of_real, strict=True)])
    back = np.array([[inside(x, y, r) for x in real] for y, r in zip(other, of_other, strict=True)])
    expected = {
        "precision": hits.any(axis=0).mean(),
        "recall": back.any(axis=0).mean(),
        "density": hits.sum() / (k * 60),
        "coverage": hits.any(axis=1).mean(),
    }
    # two equal folds, so that there is an error, which is 0
    twice = [np.concatenate([x, x]) for x in (real, other)]
    folds = [np.repeat([0, 1], len(x)) for x in (real, other)]
    found = manifolds(*twice, folds)
    for name, value in expected.items():
        assert found[name].value == pytest.approx(value, rel=1e-12)
        assert found[name].error == pytest.approx(0, abs=1e-12)


def test_points_that_coincide_are_inside():
    same = np.zeros((40, 2))
    fold = np.arange(40) % 2
    found = manifolds(same, same, (fold, fold))
    assert (found["precision"].value, found["recall"].value, found["coverage"].value) == (1, 1, 1)


# -- the sample -------------------------------------------------------------------------------
def drawn(original: Digis, decoded: Digis):
    return draw(cluster(original), cluster(decoded))


def assert_same(a, b):
    for name in ("priority", "part", "layer", "modules", "sizes"):
        assert np.array_equal(getattr(a, name), getattr(b, name)), name
    assert all(np.array_equal(x, y) for x, y in zip(a.clusters, b.clusters, strict=True))


@pytest.mark.parametrize("most", [10**9, 400, 1])
@pytest.mark.parametrize("cuts", [[0, 3, 7, 9], [0, 1, 2, 3, 9], [0, 0, 9]])
def test_the_sample_does_not_depend_on_chunks(monkeypatch, most, cuts):
    monkeypatch.setattr(sample, "MOST_CLUSTERS", most)
    original = random_digis(n_events=9, n_digis=4000, n_modules=12)
    decoded = distorted(original)
    whole = drawn(original, decoded)
    parts = [drawn(original[a:b], decoded[a:b]) for a, b in pairwise(cuts)]
    forward, backward = parts[0], parts[-1]
    for part in parts[1:]:
        forward = forward + part
    for part in parts[-2::-1]:
        backward = backward + part
    assert_same(forward, whole)
    assert_same(backward, whole)
    assert whole.sizes.sum() <= most or len(whole.priority) == 1


def test_features_of_a_cluster_by_hand():
    digis = Digis.from_arrays(
        [0] * 3, [303042564] * 3, [5, 5, 6], [7, 8, 8], [100, 50, 10], detector="phase1"
    )
    found = drawn(digis, digis.select(mask=[True, True, False]))
    values = dict(zip(CLUSTER_FEATURES, found.clusters[0][0].tolist(), strict=True))
    charge = 135 * 160
    assert values == pytest.approx(
        {
            "log10 of the charge": np.log10(charge),
            "size": 3,
            "size in rows": 2,
            "size in columns": 2,
            "share of the largest pixel": 100 / 160,
            "log10 of the smallest pixel": np.log10(1350),
            "barycentre in its box along rows": (0.5 * 150 + 1.5 * 10) / 160 / 2,
            "barycentre in its box along columns": (0.5 * 100 + 1.5 * 60) / 160 / 2,
        },
        rel=1e-6,
    )
    modules = [dict(zip(MODULE_FEATURES, m, strict=True)) for m in found.modules[:, 0].tolist()]
    assert [m["digis"] for m in modules] == [3, 2]
    assert [m["mean size in rows"] for m in modules] == [2, 1]
    assert modules[0]["its rms"] == 0


def test_a_lost_module_is_there_without_clusters():
    digis = tracks()
    found = drawn(digis, digis.select(mask=digis.detid != 5))
    lost = found.sizes[1] == 0
    assert lost.sum() == 12
    assert (found.modules[1][lost] == 0).all()
    assert (found.modules[0][lost, 0] > 0).all()


# -- compare(deep=True) -----------------------------------------------------------------------
def smeared(digis: Digis, size: float) -> Digis:
    rng = np.random.default_rng(6)
    return digis.with_adc(np.rint(digis.adc * rng.normal(1, size, digis.n_digis)).clip(1, 65535))


def by_name(comparison: Comparison):
    return comparison.deep.table.set_index(["of", "metric"])


def test_identity_is_no_difference():
    digis = tracks(12)
    table = by_name(compare(digis, digis, deep=True))
    assert set(table.index) == {("clusters", name) for name in DEEP_METRICS} | {
        ("modules", name) for name in ("fpd", "kpd", "auc")
    }
    for of in ("clusters", "modules"):
        assert table.loc[(of, "auc"), "value"] == 0.5
        assert abs(table.loc[(of, "kpd"), "value"]) < 4 * table.loc[(of, "kpd"), "error"] + 1e-6
        assert table.loc[(of, "fpd"), "value"] <= table.loc[(of, "fpd"), "null"] + 1e-4
    auc = table.loc[("clusters", "auc")]
    assert auc.null == pytest.approx(0.5, abs=max(4 * auc.null_error, 0.05))
    for name in ("precision", "recall", "density", "coverage"):
        row = table.loc[("clusters", name)]
        assert row.value == pytest.approx(row.null, abs=5 * np.hypot(row.error, row.null_error))


def test_more_distortion_is_farther_away():
    digis = tracks(12)
    tables = [by_name(compare(digis, smeared(digis, s), deep=True)) for s in (0.02, 0.3)]
    near, far = (t.xs("clusters").value for t in tables)
    assert 0.5 < near["auc"] < far["auc"]
    assert far["auc"] > 0.7
    assert far["fpd"] > max(10 * near["fpd"], tables[1].loc[("clusters", "fpd"), "null"])
    assert far["kpd"] > 5 * tables[1].loc[("clusters", "kpd"), "error"]
    assert far["coverage"] < near["coverage"]
    assert tables[1].loc[("modules", "auc"), "value"] > 0.7  # the charges of a module spread more


def test_dropped_pixels_show_in_modules():
    digis = tracks(12)
    kept = digis.select(mask=np.random.default_rng(7).random(digis.n_digis) > 0.1)
    table = by_name(compare(digis, kept, deep=True))
    auc = table.loc[("modules", "auc")]
    assert auc.value > 0.5 + 5 * auc.error


def test_deep_adds_up_and_survives_json():
    digis = random_digis(n_events=6, n_digis=1200, n_modules=30)
    decoded = distorted(digis)
    whole = compare(digis, decoded, deep=True)
    a, b = (compare(digis[s], decoded[s], deep=True) for s in (slice(0, 2), slice(2, 6)))
    both = a + b
    assert both.deep.table.equals(whole.deep.table)
    for side in (0, 1):
        assert all(both.deep.maps[side][k] == whole.deep.maps[side][k] for k in whole.deep.maps[0])
    again = Comparison.from_json(whole.to_json())
    assert again.deep.table.equals(whole.deep.table)
    assert (again + whole).deep.fidelity == ()  # the sample stayed behind
    assert (compare(digis, decoded) + whole).deep is None


def test_deep_tells_how_far_it_is():
    digis = random_digis()
    seen = []
    compare(digis, digis, deep=True, progress=lambda done, what: seen.append(what))
    assert {"classifier of clusters", "FPD of modules"} <= set(seen)


@pytest.mark.parametrize("digis", [Digis.empty("phase1", 0), random_digis(n_events=1, n_digis=1)])
def test_deep_of_little_or_nothing(digis):
    nothing = Digis.empty("phase1", len(digis))
    for decoded in (digis, nothing):
        found = compare(digis, decoded, deep=True)
        assert found.deep.table.value.isna().all()
        assert json.dumps(found.deep.to_dict(), allow_nan=False)
    assert (
        len(
            compare(
                random_digis(small_detector()), random_digis(small_detector()), deep=True
            ).layers
        )
        == 3
    )


@pytest.mark.parametrize("rows", [[{"metric": "fpd"}], [{"metric": "x", "of": "y"}], 3, [[]], "ab"])
def test_damaged_distances(rows):
    data = compare(random_digis(), random_digis()).to_dict()
    text = json.dumps(data | {"deep": rows})
    with pytest.raises(FormatError):
        Comparison.from_json(text)
