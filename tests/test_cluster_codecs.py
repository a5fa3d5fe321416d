"""What `ClusterVQ` and `ResidualVQ` promise beyond the contract of all codecs."""

from __future__ import annotations

import dataclasses

import awkward as ak
import numpy as np
import pytest

import pixlab
from pixlab.clusters import cluster
from pixlab.codecs import ClusterVQ, CodeUsage, make_codec, model_from_bytes
from pixlab.codecs.boxes import Boxes
from pixlab.codecs.cluster_vq import _too_many
from pixlab.codecs.drawn import merge
from pixlab.codecs.features import of_pixels
from pixlab.codecs.moments import (
    BOTH,
    TRIM,
    Limits,
    Pixels,
    directions,
    make_places,
    paint,
    shifts,
)
from pixlab.coding.levels import Levels
from pixlab.detectors import DETECTORS, Detector
from pixlab.errors import FormatError


@pytest.fixture(scope="module")
def sample():
    digis = pixlab.samples.load("phase1-pu60")
    return digis[:5], digis[5:]


@pytest.fixture(scope="module")
def exact(sample):
    return make_codec("lossless").fit(sample[0]).encode(sample[1]).nbytes


@pytest.fixture(scope="module")
def pictures(sample):
    return make_codec("cluster-vq", codebook_size=64, target="loose").fit(sample[0][:1])


def test_transparent_keeps_pixels_and_what_reconstruction_makes_of_them(sample, exact):
    fitted_on, test = sample
    model = make_codec("cluster-vq").fit(fitted_on)
    decoded = model.quantize(test)
    assert (decoded.row == test.row).all()
    assert (decoded.col == test.col).all()
    found = pixlab.compare(test, decoded)
    assert found.passed("transparent"), str(found.passed("transparent"))
    # errors are about what is allowed, in each layer: whatever is better costs bits
    # (charge may be told more finely where that is needed for its spectrum)
    for metric, least in (("charge_rms", 0.037), ("shift_row", 2.55), ("shift_col", 5.95)):
        assert (found.table.loc[metric, "BPIX 1":"BPIX 4"] > least).all(), metric
    stream = model.encode(test)
    assert stream.nbytes < 0.55 * exact
    # hardly a cluster is so badly painted that it is told count by count
    assert stream.ledger["explicit"] < 0.002 * stream.nbytes
    # counts that pre-mixing's threshold drops stay below it, the others above
    least = model.arrays["limits"][1]
    told = decoded.adc != test.adc
    assert ((decoded.adc < least) == (test.adc < least))[told].all()


@pytest.mark.slow
def test_loose_draws_clusters_in_their_boxes(sample, exact):
    fitted_on, test = sample
    model = make_codec("cluster-vq", target="loose").fit(fitted_on)
    decoded = model.quantize(test)
    found = pixlab.compare(test, decoded)
    assert found.passed("loose"), str(found.passed("loose"))
    assert model.encode(test).nbytes < 0.45 * exact
    before, after = cluster(test, thresholds=False), cluster(decoded, thresholds=False)
    boxes = [
        {*zip(c.event, c.module, c.min_row, c.max_row, c.min_col, c.max_col, strict=True)}
        for c in (before, after)
    ]
    assert boxes[0] == boxes[1]


def test_an_escape_bounds_every_error(sample):
    """Of charge and barycentre of each cluster, but for what rounding to counts does."""
    test = sample[1][:1]
    codec = make_codec("cluster-vq", codebook_size=64, escape=2.0)
    model = codec.fit(sample[0][:1])
    decoded = model.quantize(test)
    before, after = (cluster(d, thresholds=False) for d in (test, decoded))
    charge = before.digis.adc.astype(float), after.digis.adc.astype(float)
    total = [np.bincount(before.label, q, minlength=len(before)) for q in charge]
    assert (np.abs(total[1] - total[0]) <= 2 * 0.05 * total[0] + 1).all()
    moved = np.abs(after.local - before.local)
    pitch = test.detector.pitch[before.module]
    assert (moved <= 2 * np.array([3.0, 7.0]) + 0.02 * pitch).all()
    usage = model.usage(test)[0]
    assert 0 < usage.escape_fraction < 1
    told = usage.counts.sum() + usage.escaped  # a few are of kinds without any picture
    assert 0.98 * len(before) < told <= len(before)


def test_bits_can_be_bought_with_errors(sample):
    fitted_on, test = sample[0][:2], sample[1][:1]
    model = make_codec("cluster-vq", target="loose", hits="exact").fit(fitted_on)
    found = []
    for weight in (0.0, 0.5, 2.0):
        codec = make_codec("cluster-vq", target="loose", hits="exact", rate_weight=weight)
        same = dataclasses.replace(model, codec=codec)
        ledger = same.encode(test).ledger
        error = pixlab.compare(test, same.quantize(test)).table.loc["shift_row", "all"]
        found.append((ledger["gain"] + ledger["row"] + ledger["col"], error))
    rates, errors = zip(*found, strict=True)
    assert list(rates) == sorted(rates, reverse=True)
    assert list(errors) == sorted(errors)


def test_usage_of_codes(sample, pictures):
    (usage,) = pictures.usage(sample[1][:1])
    assert usage.name == "drawn.code"
    assert len(usage) == len(usage.counts) == len(pictures.arrays["codebook.shares"]) <= 64
    assert 4 < usage.perplexity < len(usage) - usage.dead
    assert usage.pictures.shape == (len(usage), 4, 8)
    assert (np.isfinite(usage.pictures).any(axis=(1, 2))).all()
    assert "perplexity" in repr(usage)


def test_usage_of_stages_and_tiles(sample):
    digis = sample[0][:1]
    model = make_codec("residual-vq", codebook_size=16, residual_size=8, product=True).fit(digis)
    names = [u.name for u in model.usage(digis)]
    assert names == ["code", "code1r", "code1c"]
    assert all(len(u) <= 8 for u in model.usage(digis)[1:])
    tiles = make_codec("patch-vq", codebook_size=8).fit(digis)
    (usage,) = tiles.usage(digis)
    assert usage.counts.sum() == len(ak.flatten(tiles.tokens(digis)))
    assert usage.pictures.shape == (8, 4, 4)
    assert make_codec("lossless").fit(digis).usage(digis) == []


def test_perplexity_counts_codes_that_are_alike():
    even = CodeUsage("even", np.array([5, 5, 0, 5, 5]), escaped=5)
    assert even.perplexity == pytest.approx(4)
    assert (even.dead, even.escape_fraction) == (1, 0.2)
    assert CodeUsage("one", np.array([0, 9])).perplexity == 1
    assert CodeUsage("none", np.zeros(3, int)).perplexity == 0
    assert set(even.facts()) == {"codebook", "codes", "dead", "perplexity", "escape_fraction"}


def test_levels_come_near_what_any_quantiser_can_do():
    """Squared error at a rate: a quarter of a bit beyond rounding's would be all there is to gain."""
    rng = np.random.default_rng(4)
    x = rng.normal(0, 3, 40_000)
    which, features = np.arange(len(x)), np.zeros((len(x), 1), np.uint8)
    offsets = np.array([0, 15_000, 15_000, len(x)])
    learning = {"rate_weight": 0.5}
    arrays = Levels.learn("x", features, which, x, offsets, **learning)
    levels = Levels("x", arrays, 1)
    said, points = levels.quantise(features, which, x, offsets, **learning)
    section = levels.encode(features, which, said, offsets)
    assert (levels.decode(features, which, offsets, section)[0] == points).all()
    rate = 8 * len(section) / len(x)
    bound = np.log2(3 / np.sqrt(np.mean((x - points) ** 2)))  # Shannon's, of a normal source
    assert bound < rate < bound + 0.15


def test_painted_clusters_have_the_charge_and_barycentre_that_they_were_given():
    detector = DETECTORS["phase1"]
    rng = np.random.default_rng(8)
    row, col = np.nonzero(rng.random((160, 416)) < 0.15)
    counts = rng.integers(10, 250, len(row))
    ids = [detector.detid[0]] * len(row)
    digis = pixlab.Digis.from_arrays([0] * len(row), ids, row, col, counts, detector=detector)
    clusters = cluster(digis, thresholds=False)
    sensor = detector.sensor[clusters.module].astype(np.int64)
    pixels = Pixels(clusters.digi_offsets, clusters.digis_of, digis.row, digis.col, sensor)
    places, (free, _) = make_places(detector), directions(pixels)
    wanted = shifts(pixels, places, digis.adc)
    known = (free > 0) | (clusters.size == 1)
    adc = np.zeros(digis.n_digis, np.uint16)
    quiet = np.full(digis.n_digis, 64, np.uint8)
    limits, faint = Limits(0, 0, 60_000), np.zeros(digis.n_digis, bool)
    charge = np.where(known, wanted[:, 0], -1)
    paint(pixels, places, free, charge, wanted[:, 1:], quiet, quiet, limits, faint, adc)
    got = shifts(pixels, places, adc)
    assert known.sum() > 500
    assert (got[known, 0] == wanted[known, 0]).all()
    off = np.abs(got - wanted)[:, 1:]
    near = 2 * (1 + 256 // np.maximum(wanted[:, 0], 1)) + 1
    along = np.stack([free & 1, free & 2], axis=1) > 0
    assert (off <= near[:, None])[along & (clusters.size > 1)[:, None]].mean() > 0.97


def test_offsets_far_outside_of_a_cluster_stay_within_64_bits():
    """A damaged stream or model can ask for them; what is told of a pixel is then an end of its range."""
    detector = DETECTORS["phase1"]
    row, col = (a.ravel().astype(np.uint16) for a in np.mgrid[0:20, 0:10])
    n = len(row)
    pixels = Pixels(np.array([0, n]), np.arange(n), row, col, np.zeros(1, np.int64))
    told = []
    for far in (1 << 16, 1 << 22, 1 << 28):
        features = of_pixels(
            pixels, make_places(detector), np.array([BOTH], np.uint8), np.zeros(1, np.int64),
            np.array([100 * n]), np.array([[far, -far]]), np.zeros(n, np.uint8),
        )  # fmt: skip
        steep = features[:, 1].reshape(20, 10)
        assert (steep[0, -1], steep[-1, 0]) == (0, 255)
        told.append(features)
    assert all((features == told[0]).all() for features in told)


def test_events_of_a_giant_detector_are_refused_before_their_pixels_run_out_of_numbers():
    n = 4096
    module = np.arange(n)
    sides = np.where(module % 2, 1 << 14, 1)
    table = {"detid": module, "rows": sides, "cols": (1 << 14) // sides, "layer": ["one"] * n}
    digis = pixlab.Digis.empty(Detector.from_table(table, name="giant", adc_max=255), 1 << 23)
    none = np.zeros(0, np.int64)
    at = none.astype(np.uint16)
    nothing = Pixels(np.zeros(1, np.int64), none, at, at, none)
    with pytest.raises(FormatError, match="too many events"):
        merge(digis, Boxes(*[none] * 6), nothing, at)


def test_counts_are_kept_where_they_leave_no_room():
    digis = pixlab.simulate(
        2, pileup=12, seed=3, detector="phase2"
    )  # four bits of time over threshold
    model = ClusterVQ().fit(digis[:1])
    assert model.exact
    decoded = model_from_bytes(model.to_bytes()).decode(model.encode(digis[1:]))
    assert decoded == digis[1:] == model.quantize(digis[1:])


@pytest.mark.slow
def test_the_mean_charge_is_kept_where_counts_are_no_linear_scale():
    digis = pixlab.simulate(3, pileup=25, seed=4, detector="phase2")
    model = ClusterVQ(target="loose").fit(digis)
    assert not model.exact
    assert (model.arrays["trim"] != TRIM).all()
    plain = dataclasses.replace(
        model, arrays={k: v for k, v in model.arrays.items() if k != "trim"}
    )
    off = [
        abs(pixlab.compare(digis, m.quantize(digis)).table.loc["charge_mean", "all"])
        for m in (model, plain)
    ]
    assert off[0] < 0.01 < 0.015 < off[1]


def test_drawn_clusters_do_not_change_the_number_of_pixels():
    rng = np.random.default_rng(5)
    group = np.repeat([3, 7, 9], 5000)
    hit = rng.integers(1, 8, len(group))
    drawn = hit + rng.integers(-1, 2, len(group))
    drawn[(group == 7) & (rng.random(len(group)) < 0.2)] += 1  # 5% too many
    chosen = _too_many(group, drawn, hit)
    assert not chosen[group != 7].any()
    left = (group == 7) & ~chosen
    assert abs(drawn[left].sum() / hit[left].sum() - 1) < 0.018
    assert 0 < chosen.sum() < 500
    assert (drawn > hit)[chosen].all()
