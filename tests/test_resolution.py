"""Hit residuals, helix fits and seeds: exact cases made by hand, and the simulation's truth."""

from __future__ import annotations

import json
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest

from pixlab.clusters import cluster
from pixlab.detectors import DETECTORS
from pixlab.digis import Digis
from pixlab.errors import FormatError, PixlabError
from pixlab.physics import Comparison, compare
from pixlab.physics.resolution import MIN_PT, _width
from pixlab.physics.tracks import FIELD, fit_helices
from pixlab.simulation import simulate

CM_PER_GEV = 1 / (0.00299792458 * FIELD)


# -- helices ----------------------------------------------------------------------------------
def helices(n: int, *, pt=(0.4, 50.0), seed: int = 1):
    """Points of exact helices near the barrel layers, and what they were made with."""
    rng = np.random.default_rng(seed)
    momentum = rng.uniform(*pt, n)
    charge = rng.choice([-1, 1], n)
    phi, slope = rng.uniform(0, 2 * np.pi, n), rng.normal(0, 1.5, n)
    d0, z0 = rng.normal(0, 0.02, n), rng.normal(0, 1, n)
    radius, turn = CM_PER_GEV * momentum, -charge
    # the point nearest to the origin is d0 to the left of the way
    centre = np.stack(
        [
            -d0 * np.sin(phi) - turn * radius * np.sin(phi),
            d0 * np.cos(phi) + turn * radius * np.cos(phi),
        ]
    )
    points = []
    for layer in (2.9, 6.8, 10.9, 16.0):
        arc = 2 * radius * np.arcsin(layer / (2 * radius))
        heading = phi + turn * arc / radius
        x, y = centre + turn * radius * np.stack([np.sin(heading), -np.cos(heading)])
        points.append(np.stack([x, y, z0 + arc * slope], axis=-1))
    return np.stack(points, axis=1), charge / momentum, d0, z0


@pytest.mark.parametrize("layers", [3, 4])
def test_exact_helices_are_found_exactly(layers):
    points, q_over_pt, d0, z0 = helices(2000)
    found = fit_helices(points[:, :layers])
    np.testing.assert_allclose(found.q_over_pt, q_over_pt, rtol=1e-6)
    np.testing.assert_allclose(found.d0, d0, atol=1e-9)
    np.testing.assert_allclose(found.z0, z0, atol=1e-9)


def test_straight_lines():
    points = np.arange(1.0, 5)[None, :, None] * np.array([[[3.0, 4.0, 2.0]]])
    found = fit_helices(points)
    assert found.q_over_pt == pytest.approx(0, abs=1e-9)
    assert found.d0 == pytest.approx(0, abs=1e-9)
    assert found.z0 == pytest.approx(0, abs=1e-9)


def test_curvature_error_is_that_of_a_sagitta():
    """Three points with error s across the way, equal steps on a length L: 8 sqrt(3 / 2) s / L^2."""
    rng = np.random.default_rng(2)
    n, length, s = 20_000, 10.0, 20e-4
    points = np.zeros((n, 3, 3))
    points[..., 0] = [1.0, 6.0, 11.0]
    points[..., 1] = rng.normal(0, s, (n, 3))
    curvature = fit_helices(points).q_over_pt / CM_PER_GEV
    assert np.std(curvature) == pytest.approx(8 * np.sqrt(1.5) * s / length**2, rel=0.03)


# -- truth made by hand -----------------------------------------------------------------------
def straight(n: int = 400, n_events: int = 4, seed: int = 3):
    """Hard particles through the four barrel layers, each hit one pixel, and their truth."""
    detector, rng = DETECTORS["phase1"], np.random.default_rng(seed)
    normal = np.cross(detector.axis_row, detector.axis_col)
    rows = {k: [] for k in ("event", "particle", "module", "row", "col")}
    phi = rng.uniform(0, 2 * np.pi, n)
    eta = rng.uniform(-0.8, 0.8, n)
    event = np.sort(rng.integers(0, n_events, n))
    taken = set()
    for i in range(n):
        way = np.array([np.cos(phi[i]), np.sin(phi[i]), np.sinh(eta[i])])
        for layer in range(4):
            ahead = detector.position @ way > 0  # whichever way a module faces
            own = np.flatnonzero((detector.layer == layer) & (np.abs(normal @ way) > 0.7) & ahead)
            t = (detector.position[own] * normal[own]).sum(axis=1) / (normal[own] @ way)
            off = t[:, None] * way - detector.position[own]
            u = (off * detector.axis_row[own]).sum(axis=1) * 1e4
            v = (off * detector.axis_col[own]).sum(axis=1) * 1e4
            inside = (np.abs(u) < 7500) & (np.abs(v) < 31000)
            if not inside.any():
                continue
            k = np.flatnonzero(inside)[0]
            sensor = detector.sensors[0]
            edges = [np.append(0, np.cumsum(s)) for s in (sensor.row_sizes, sensor.col_sizes)]
            edges = [e - e[-1] / 2 for e in edges]
            at = [
                float(np.interp(x, e, np.arange(len(e))))
                for x, e in zip((u[k], v[k]), edges, strict=True)
            ]
            near = {(event[i], own[k], int(at[0]) // 8 + a, int(at[1]) // 8 + b)
                    for a in (-1, 0, 1) for b in (-1, 0, 1)}  # fmt: skip
            if near & taken:
                continue
            taken.add((event[i], own[k], int(at[0]) // 8, int(at[1]) // 8))
            for name, value in zip(rows, (event[i], i, own[k], *at), strict=True):
                rows[name].append(value)
    met = {k: np.array(v) for k, v in rows.items()}
    digis = Digis.from_arrays(
        met["event"],
        detector.detid[met["module"]],
        met["row"].astype(int),
        met["col"].astype(int),
        np.full(len(met["row"]), 180),
        detector=detector,
        n_events=n_events,
    )
    particles = {
        "event": event,
        "charge": np.ones(n, int),
        "parent": np.full(n, -1),
        "pt": np.full(n, 1e6),
        **{k: np.zeros(n) for k in "xyz"},
    }
    met |= {"cot_row": np.zeros(len(met["row"])), "cot_col": np.full(len(met["row"]), 0.75)}
    truth = SimpleNamespace(
        detector=detector, particles=particles, crossings=met, lorentz_shift=np.zeros((1856, 2))
    )
    return digis, truth


def moved(digis: Digis, rows: int, *, in_azimuth: bool = False) -> Digis:
    """Digis some rows further, or as many to the left of the way out."""
    detector, module = digis.detector, digis.module
    left = np.cross([0, 0, 1], detector.position[module])
    facing = np.sign((detector.axis_row[module] * left).sum(axis=1)).astype(int)
    by = rows * facing if in_azimuth else np.full(digis.n_digis, rows)
    return Digis.from_arrays(
        digis.event, digis.detid, (digis.row + by).clip(0, 159), digis.col, digis.adc,
        detector=digis.detector, n_events=len(digis), duplicates="sum",
    )  # fmt: skip


@pytest.fixture(scope="module")
def made():
    return straight()


def test_identity_changes_no_resolution(made):
    digis, truth = made
    found = compare(digis, digis, truth=truth).resolution
    hits = found.hit_table()
    assert (hits.found_before.dropna() == 1).all()
    barrel = hits[hits.layer.str.startswith("BPIX")]
    assert (barrel.ratio == 1).all()
    assert (barrel.error == 0).all()
    # a pixel wide, flat: 68.3% of 100 um and of 150 um, a little more with pixels of double size
    width = barrel.set_index(["axis", "layer"]).width_before
    assert width["row", "BPIX 2"] == pytest.approx(34, rel=0.15)
    assert width["col", "BPIX 2"] == pytest.approx(52, rel=0.15)
    tracks = found.track_table()
    # of 10^6 GeV, pixels do not measure the momentum
    hard = tracks[(tracks.pt == "over 3") & (tracks.quantity != "pt")]
    assert (hard.ratio == 1).all()
    assert hard.tracks.max() > 300
    seeds = found.seed_table()
    assert (seeds.lost.dropna() == 0).all()
    assert (seeds.before[seeds.particles > 0] == 1).all()


def test_a_shift_by_one_row_moves_hits_and_impact_parameter(made):
    """Where all layers move along the same direction, tracks move by a pixel and do not bend."""
    digis, truth = made
    found = compare(digis, moved(digis, 1), truth=truth).resolution
    rows = found.hit_table().query("axis == 'row' and layer == 'BPIX 3'").iloc[0]
    assert rows.mean_after - rows.mean_before == pytest.approx(100, rel=0.1)
    cols = found.hit_table().query("axis == 'col' and layer == 'BPIX 3'").iloc[0]
    assert cols.mean_after == cols.mean_before
    found = compare(digis, moved(digis, 1, in_azimuth=True), truth=truth).resolution
    tracks = found.track_table().query("layers == 4 and pt == 'over 3'").set_index("quantity")
    assert tracks.mean_after["d0"] - tracks.mean_before["d0"] == pytest.approx(100, rel=0.15)
    assert tracks.ratio["z0"] == pytest.approx(1, abs=0.05)


def test_worse_positions_make_worse_tracks(made):
    digis, truth = made
    rng = np.random.default_rng(4)
    rows = digis.row + rng.integers(-2, 3, digis.n_digis)
    worse = Digis.from_arrays(
        digis.event, digis.detid, rows.clip(0, 159), digis.col, digis.adc,
        detector=digis.detector, n_events=len(digis), duplicates="sum",
    )  # fmt: skip
    found = compare(digis, worse, truth=truth).resolution
    # flat over five pixels in place of one
    ratio = found.hit_table().query("axis == 'row' and layer == 'BPIX 2'").iloc[0]
    assert ratio.ratio == pytest.approx(5, rel=0.15)
    assert 0 < ratio.error < 1
    d0 = found.track_table().query("quantity == 'd0' and layers == 3 and pt == 'over 3'").iloc[0]
    assert d0.ratio > 3


def test_lost_modules_lose_their_seeds(made):
    digis, truth = made
    detector = digis.detector
    dead = (detector.layer == 1) & (detector.ladder <= 7)  # a quarter of layer 2
    found = compare(digis, digis.select(mask=~dead[digis.module]), truth=truth).resolution
    hits = found.hit_table().query("axis == 'row'").set_index("layer")
    here = dead[truth.crossings["module"]]
    in_layer = detector.layer[truth.crossings["module"]] == 1
    assert hits.found_after["BPIX 2"] == pytest.approx(1 - here[in_layer].mean(), rel=1e-12)
    assert hits.found_after["BPIX 3"] == 1
    seeds = found.seed_table().query("layers == 4 and pt == 'over 3'").iloc[0]
    whole = np.bincount(truth.crossings["particle"]) == 4
    hit = np.unique(truth.crossings["particle"][here])
    assert seeds.particles == whole.sum()
    assert seeds.lost == pytest.approx(np.isin(np.flatnonzero(whole), hit).mean(), rel=1e-12)
    assert 0 < seeds.error < 0.2


def test_charge_over_path_length(made):
    digis, truth = made
    found = compare(digis, digis, truth=truth).resolution.spectrum()
    # 180 counts over a path of 1.25 times the thickness
    at = found["original", "BPIX 4", :]
    assert at.axes[0].centers[int(np.argmax(at.values()))] == pytest.approx(
        180 * 0.135 / 1.25, abs=0.5
    )
    assert at.sum(flow=True) == at.values().max()


def test_soft_particles_and_secondaries_are_left_out(made):
    digis, truth = made
    particles = dict(truth.particles)
    particles["pt"] = np.where(np.arange(400) < 100, MIN_PT * 0.99, particles["pt"])
    particles["parent"] = np.where(np.arange(400) >= 300, 5, -1)
    other = SimpleNamespace(**(vars(truth) | {"particles": particles}))
    chosen = (truth.crossings["particle"] >= 100) & (truth.crossings["particle"] < 300)
    found = compare(digis, digis, truth=other).resolution
    assert (
        found.hit_table().query("axis == 'row' and layer == 'all'").crossings.iloc[0]
        == chosen.sum()
    )


@pytest.mark.parametrize("cuts", [[1], [1, 2, 3], [0, 3]])
def test_resolution_does_not_depend_on_blocks(made, cuts):
    digis, truth = made
    decoded = moved(digis, 1)
    whole = compare(digis, decoded, truth=truth)
    edges = [0, *cuts, 4]
    sides = ([d[a:b] for a, b in pairwise(edges)] for d in (digis, decoded))
    found = compare(*sides, truth=truth)
    assert found.resolution.to_dict() == whole.resolution.to_dict()
    again = Comparison.from_json(found.to_json())
    assert again.resolution.track_table().equals(whole.resolution.track_table())
    assert again.resolution.hit_table().equals(whole.resolution.hit_table())
    twice = (whole + again).resolution
    assert twice.seeds.sum() == 2 * whole.resolution.seeds.sum()
    assert (whole + compare(digis, decoded)).resolution is None


def test_truth_of_other_digis_is_refused(made):
    digis, truth = made
    other = Digis.empty("phase1", len(digis))
    with pytest.raises(PixlabError, match="only 0% of the crossings"):
        compare(other, other, truth=truth)
    run3 = Digis.empty("phase1-run3", 1)
    with pytest.raises(PixlabError, match="'phase1', the digis of 'phase1-run3'"):
        compare(run3, run3, truth=truth)


def test_no_event_and_all_lost_have_tables(made):
    digis, truth = made
    lost = compare(digis, Digis.empty("phase1", len(digis)), truth=truth).resolution
    assert lost.seed_table().query("pt == 'over 3'").lost.eq(1).all()
    assert lost.track_table().ratio.isna().all()
    nothing = Digis.empty("phase1", 0)
    found = compare(nothing, nothing, truth=truth)
    assert found.resolution.hit_table().crossings.eq(0).all()
    assert json.dumps(found.resolution.to_dict(), allow_nan=False)


@pytest.mark.parametrize("key", ["hits", "tracks", "seeds", "crossings", "normalised"])
def test_damaged_resolution(made, key):
    digis, truth = made
    data = compare(digis[:1], digis[:1], truth=truth).to_dict()
    for value in (None, [], {}, [[1]], "x"):
        broken = data | {"resolution": data["resolution"] | {key: value}}
        with pytest.raises(FormatError):
            Comparison.from_json(json.dumps(broken))


def test_width_of_known_samples():
    rng = np.random.default_rng(5)
    edges = np.linspace(-10, 10, 101)
    for values, expected in (
        (rng.normal(0.7, 2, 200_000), 2.0),
        (rng.uniform(-3, 3, 200_000), 3 * 0.6827),
    ):
        counts = np.histogram(values, [-np.inf, *edges, np.inf])[0]
        assert _width(counts[None], edges)[0] == pytest.approx(expected, rel=0.01)
    # more than a sixth beyond the axis: the width is not known
    counts = np.histogram(rng.normal(0, 12, 1000), [-np.inf, *edges, np.inf])[0]
    assert np.isnan(_width(counts[None], edges)[0])
    assert np.isnan(_width(np.zeros((1, 102), int), edges)[0])


# -- the simulation's truth -------------------------------------------------------------------
def test_resolution_of_simulated_events_is_that_of_a_pixel_detector():
    """100 x 150 um pixels that share charge measure to 10 and 30 um, and see nearly every hit."""
    digis, truth = simulate(2, pileup=40, seed=5, truth=True)
    found = compare(digis, digis, truth=truth).resolution
    hits = found.hit_table().set_index(["axis", "layer"])
    assert (hits.found_before > 0.97).all()
    assert 5 < hits.width_before["row", "all"] < 15
    assert 20 < hits.width_before["col", "all"] < 40
    assert (hits.mean_before.abs() < 5).all()
    tracks = found.track_table().set_index(["quantity", "layers", "pt"])
    assert 30 < tracks.width_before["d0", 4, "over 0.5"] < 120
    assert 1 < tracks.width_before["pt", 4, "over 0.5"] < 5
    # the fourth layer helps
    for quantity in ("d0", "pt"):
        at = [tracks.width_before[quantity, n, "over 0.5"] for n in (3, 4)]
        assert at[1] < at[0]
    assert (tracks.ratio.dropna() == 1).all()
    seeds = found.seed_table().set_index(["layers", "pt"])
    assert seeds.before[3, "over 0.5"] > 0.97
    # two counts of 135 e and no more: positions are worse, tracks a little
    coarse = digis.with_adc(np.where(digis.adc > 100, 200, 40))
    worse = compare(digis, coarse, truth=truth).resolution
    ratio = worse.hit_table().set_index(["axis", "layer"]).ratio["row", "BPIX 2"]
    assert 1.1 < ratio < 3
    d0 = worse.track_table().set_index(["quantity", "layers", "pt"]).loc["d0", 4, "over 0.5"]
    assert 1 < d0.ratio < ratio


def test_charge_over_path_length_does_not_depend_on_the_angle():
    """A minimum-ionising particle leaves some 23 ke in 285 um, whatever its angle."""
    digis, truth = simulate(2, pileup=40, seed=5, truth=True)
    found = compare(digis, digis, truth=truth).resolution.spectrum()
    for layer in ("BPIX 1", "BPIX 3", "FPIX 2"):
        one = found["original", layer, :]
        peak = one.axes[0].centers[int(np.argmax(one.values()))]
        assert 16 < peak < 28


def test_clusters_of_the_hand_made_sample_are_single_pixels(made):
    assert (cluster(made[0]).size == 1).all()
