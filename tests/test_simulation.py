"""The simulation: reproducible, physical, and within a stated distance of the reference data."""

from __future__ import annotations

import sys
from dataclasses import replace
from math import erfc, sqrt

import numpy as np
import pytest

import pixlab
from pixlab.clusters import cluster
from pixlab.detectors import get_detector
from pixlab.errors import PixlabError
from pixlab.simulation import conditions_of, pythia, simulate
from pixlab.simulation.collisions import momentum_table, particles
from pixlab.simulation.conditions import per_layer
from pixlab.simulation.geometry import geometry_of
from pixlab.simulation.particles import (
    COLUMNS,
    MASS,
    PARENT,
    PDG,
    PHI,
    PT,
    TANL,
    VERTEX,
    Q,
    X,
    Y,
    Z,
)
from pixlab.simulation.readout import digitize, readout_of
from pixlab.simulation.sensor import (
    COL_BITS,
    PAIR_ENERGY,
    ROOM,
    ROW_BITS,
    Pixels,
    Silicon,
    deposit,
    energy_loss,
)
from pixlab.simulation.tracking import CURVATURE, MAX_CROSSINGS, crossings, localise
from tests.helpers import small_detector
from tests.simulation_metrics import layer_metrics, reference

PHASE1 = get_detector("phase1")
CMS = conditions_of(get_detector("phase1-run3"))
GEOMETRY = geometry_of(PHASE1, CMS)
THICKNESS = 285.0
SILICON = Silicon(np.full(7, THICKNESS), 3.7, 1.0, False, True)
BARREL = [f"BPIX {i}" for i in (1, 2, 3, 4)]
SIMULATED = [
    "phase1", "phase1-uniform", "phase1-run3", "phase2", "phase2-premix", "phase2-25x100",
    "phase2-25x100-premix",
]  # fmt: skip


@pytest.fixture(scope="module")
def events():
    return simulate(30, pileup=60, seed=11, fixed_pileup=True)


@pytest.fixture(scope="module")
def metrics(events):
    return layer_metrics(events, 30 * 60)


def particle(**values):
    """A row of the particles; a positive pion from the centre where nothing is said."""
    row = np.zeros(COLUMNS)
    row[[Q, MASS, PDG, PARENT]] = 1.0, 0.13957, 211, -1
    for name, value in values.items():
        row[globals()[name]] = value
    return row


def crossings_of(track, *, overlaps=True, geometry=GEOMETRY):
    """Turning angle, module, and place and direction in it, of each crossing."""
    angle, module = np.empty(MAX_CROSSINGS), np.empty(MAX_CROSSINGS, np.int64)
    n = crossings(track, geometry, overlaps, angle, module)
    found, none = [], np.zeros(3)
    for t, m in zip(angle[:n], module[:n], strict=True):
        local = np.empty(6)
        if localise(track, GEOMETRY, THICKNESS, t, m, none, none, local):
            found.append((m, local))
    modules = np.array([m for m, _ in found], int)
    return modules, np.array([local for _, local in found]).reshape(-1, 6)


def global_position(module, local):
    return PHASE1.position[module] + 1e-4 * (
        local[:, :1] * PHASE1.axis_row[module] + local[:, 1:2] * PHASE1.axis_col[module]
    )


def charges(module, direction, *, n=4000, beta_gamma=3.5, at=(55.0, 40.0), seed=1, silicon=SILICON):
    """Summed charge of each of n crossings, and the pixels of the last one."""
    rng = np.random.default_rng(seed)
    local = np.array([*at, *(np.asarray(direction) / np.linalg.norm(direction)), 0.0])
    pixels = Pixels(np.empty(ROOM, np.int64), np.empty(ROOM), np.empty(ROOM, np.int32))
    total = np.empty(n)
    for i in range(n):
        used = deposit(rng, GEOMETRY, silicon, module, local, beta_gamma, i, pixels, 0)
        total[i] = pixels.charge[:used].sum()
    key = pixels.key[:used]
    row, col = key >> COL_BITS & ((1 << ROW_BITS) - 1), key & ((1 << COL_BITS) - 1)
    return total, row, col, pixels.charge[:used].copy()


# -- reproducible ------------------------------------------------------------------------------
def test_same_seed_same_events():
    assert simulate(2, pileup=5, seed=3) == simulate(2, pileup=5, seed=3)


def test_other_seed_other_events():
    assert simulate(1, pileup=5, seed=3) != simulate(1, pileup=5, seed=4)


def test_blocks_of_events_are_those_of_the_whole():
    whole = simulate(5, pileup=2, seed=3)
    assert simulate(2, pileup=2, seed=3, first=3) == whole[3:]
    with pytest.raises(PixlabError, match="first must be a whole number"):
        simulate(1, seed=3, first=-1)


def test_independent_of_the_number_of_threads():
    assert simulate(7, pileup=5, seed=3, threads=1) == simulate(7, pileup=5, seed=3, threads=3)


def test_an_event_does_not_depend_on_those_after_it():
    assert simulate(4, pileup=5, seed=3)[:2] == simulate(2, pileup=5, seed=3)


def test_events_of_one_run_differ():
    two = simulate(2, pileup=5, seed=3)
    assert not np.array_equal(two[0].detid, two[1].detid)


@pytest.mark.parametrize("detector", SIMULATED)
def test_every_detector_with_conditions_is_simulated(detector):
    digis = simulate(2, pileup=8, seed=5, detector=detector)
    assert digis.detector.name == detector
    assert all(digis.per_layer().values())
    full = conditions_of(digis.detector).full_scale
    assert digis.adc.max() == full
    again, truth = simulate(2, pileup=8, seed=5, detector=detector, truth=True, threads=1)
    assert again == digis  # telling the truth changes nothing
    assert truth.detector is digis.detector


# -- arguments ---------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_events": -1}, "n_events"),
        ({"n_events": 1.5}, "n_events"),
        ({"n_events": "many"}, "n_events"),
        ({"n_events": float("inf")}, "n_events"),
        ({"seed": -1}, "seed"),
        ({"seed": None}, "seed"),
        ({"pileup": -1}, "pileup"),
        ({"pileup": float("nan")}, "pileup"),
        ({"pileup": 1e9}, "pileup"),
        ({"pileup": "sixty"}, "pileup"),
        ({"threads": 0}, "threads"),
        ({"detector": "phase0"}, "phase0"),
        ({"detector": small_detector()}, "toy"),
        ({"generator": "herwig"}, "builtin, pythia8"),
        ({"conditions": replace(CMS, threshold=(1.0, 2.0))}, "2 values, 'phase1' has 7 layers"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(PixlabError, match=message) as caught:
        simulate(**({"n_events": 1, "pileup": 1, "seed": 1} | arguments))
    assert "\n" not in str(caught.value)


def test_no_events():
    digis, truth = simulate(0, seed=1, truth=True)
    assert len(digis) == 0
    assert digis.n_digis == 0
    assert len(truth.crossings["row"]) == 0


def test_no_collisions():
    digis = simulate(3, pileup=0, seed=1)
    assert len(digis) == 3
    assert digis.n_digis == 0


def test_one_collision_in_one_event():
    digis = simulate(1, pileup=1, seed=2, fixed_pileup=True)
    assert len(digis) == 1
    assert 0 < digis.n_digis < 20_000


def test_progress_is_told_about_every_event():
    told = []
    simulate(3, pileup=1, seed=1, progress=lambda done, what: told.append((done, what)))
    assert [done for done, _ in told] == pytest.approx([1 / 3, 2 / 3, 1])
    assert told[-1][1] == "event 3 of 3"


def test_it_is_a_public_name():
    assert pixlab.simulate is simulate


# -- collisions --------------------------------------------------------------------------------
def collisions_of(n, *, decays=False, seed=2):
    rng = np.random.default_rng(seed)
    return particles(rng, n, 0.0015, 5.3, 3.6, decays, momentum_table())


@pytest.mark.parametrize("fixed", [False, True])
def test_pileup_is_poisson_or_fixed(fixed):
    _, truth = simulate(
        150, pileup=3, seed=1, fixed_pileup=fixed, truth=True,
        conditions=replace(CMS, secondaries=False), detector="phase1-run3",
    )  # fmt: skip
    # a collision without particles leaves no trace: count those up to the last one that has some
    event, vertex = truth.particles["event"], truth.particles["vertex"]
    found = np.zeros(150, int)
    np.maximum.at(found, event, vertex + 1)
    if fixed:
        assert found.max() == 3
        assert np.mean(found == 3) > 0.85
    else:
        assert 6 <= found.max() <= 13
        assert np.mean(found) == pytest.approx(3 - 0.09, abs=0.4)
        assert np.var(found) == pytest.approx(3, rel=0.35)


def test_particles_of_a_collision():
    tracks = collisions_of(4000)
    eta = np.arcsinh(tracks[:, TANL])
    # between CMS, Phys. Lett. B 751 (2015) 143 (5.5 at 13 TeV), and Pythia (6.2)
    assert np.sum(np.abs(eta) < 0.5) / 4000 == pytest.approx(5.9, rel=0.07)
    assert np.abs(eta).max() < 3.6
    assert np.mean(tracks[:, PT]) == pytest.approx(0.575, rel=0.05)
    assert abs(np.mean(tracks[:, Q])) < 0.02
    share = {n: np.mean(np.abs(tracks[:, PDG]) == n) for n in (211, 321, 2212, 11)}
    assert share == pytest.approx({211: 0.842, 321: 0.0995, 2212: 0.0436, 11: 0.0149}, rel=0.1)
    vertex = tracks[:, VERTEX].astype(int)
    first = np.unique(vertex, return_index=True)[1]
    assert np.std(tracks[first, Z]) == pytest.approx(5.3, rel=0.05)
    assert np.std(tracks[first, X]) == pytest.approx(0.0015, rel=0.05)
    number = np.bincount(vertex, minlength=4000)
    assert np.std(number) == pytest.approx(np.mean(number), rel=0.1)  # far from Poisson
    assert 0.06 < np.mean(number == 0) < 0.1


def test_neutral_particles_decay_on_their_way_into_pairs_of_their_mass():
    tracks = collisions_of(3000, decays=True)
    away = np.flatnonzero(np.hypot(tracks[:, X], tracks[:, Y]) > 0.1)
    assert 0.03 < len(away) / len(tracks) < 0.09
    same = (np.diff(tracks[away][:, [X, Y, Z]], axis=0) == 0).all(axis=1)
    one, other = tracks[away[:-1][same]], tracks[away[1:][same]]
    assert np.mean(same) == pytest.approx(0.5, abs=0.01)
    assert (one[:, Q] == -other[:, Q]).all()

    def four(t):
        p = t[:, PT, None] * np.stack([np.cos(t[:, PHI]), np.sin(t[:, PHI]), t[:, TANL]], axis=1)
        return np.sqrt((p**2).sum(axis=1) + t[:, MASS] ** 2), p

    (e1, p1), (e2, p2) = four(one), four(other)
    mass = np.sqrt((e1 + e2) ** 2 - ((p1 + p2) ** 2).sum(axis=1))
    heavy = np.abs(one[:, PDG]) == 2212
    np.testing.assert_allclose(mass[~heavy], 0.49761, rtol=1e-4)
    np.testing.assert_allclose(mass[heavy], 1.11568, rtol=1e-4)
    # both fly on in the direction from the collision to the decay
    total, radius = p1 + p2, np.hypot(one[:, X], one[:, Y])
    cosine = (total[:, 0] * one[:, X] + total[:, 1] * one[:, Y]) / radius
    far = radius > 1
    assert np.all(cosine[far] / np.hypot(total[far, 0], total[far, 1]) > 0.99)
    # K0s: the decay length divided by momentum over mass is exponential
    proper = (radius / np.hypot(total[:, 0], total[:, 1]) * mass)[~heavy]
    expected = 2.684 - 3 / (np.exp(3 / 2.684) - 1)
    assert np.mean(proper[proper < 3]) == pytest.approx(expected, abs=0.15)


def test_pythia_makes_the_same_kind_of_events():
    pytest.importorskip("pythia8mc")
    how = {"pileup": 20, "seed": 3, "fixed_pileup": True, "generator": "pythia8"}
    digis, truth = simulate(4, truth=True, threads=1, **how)
    assert digis[:2] == simulate(2, threads=2, **how)
    assert set(np.abs(truth.particles["pdg"])) >= {11, 211, 321, 2212}
    primary = truth.particles["parent"] < 0
    assert set(truth.particles["vertex"]) <= set(range(20))
    assert np.sum(primary & (np.abs(truth.particles["eta"]) < 1)) / 80 / 2 == pytest.approx(
        6.5, rel=0.35
    )
    charge = np.sign(truth.particles["pdg"]) * np.where(
        np.isin(np.abs(truth.particles["pdg"]), (11, 13, 3112, 3312, 3334)), -1, 1
    )
    assert (charge == truth.particles["charge"]).all()
    other = simulate(20, pileup=20, seed=3, fixed_pileup=True)
    assert digis.n_digis / 4 == pytest.approx(other.n_digis / 20, rel=0.35)


def test_pythia_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pythia8mc", None)
    pythia.started.cache_clear()
    with pytest.raises(PixlabError, match=r"pip install 'pixlab\[pythia\]'"):
        simulate(1, pileup=1, seed=1, generator="pythia8")


# -- tracking ----------------------------------------------------------------------------------
@pytest.mark.parametrize("overlaps", [False, True])
def test_a_stiff_track_crosses_every_barrel_layer_where_it_points(overlaps):
    missed = 0
    for phi in np.linspace(0.01, 6.2, 40):
        track = particle(Z=1.0, PT=1000.0, PHI=phi, TANL=0.2)
        module, local = crossings_of(track, overlaps=overlaps)
        layers = PHASE1.layer[module]
        assert (np.diff(layers) >= 0).all()
        missed += len({0, 1, 2, 3} - set(layers.tolist()))
        if not overlaps:
            assert (np.diff(layers) > 0).all()
        at = global_position(module, local)
        radius = np.hypot(at[:, 0], at[:, 1])
        np.testing.assert_allclose(np.arctan2(at[:, 1], at[:, 0]) % (2 * np.pi), phi, atol=1e-3)
        np.testing.assert_allclose(at[:, 2], 1.0 + 0.2 * radius, atol=2e-3)
    assert missed <= 4  # of 160, at the edges of outer ladders


def test_neighbouring_ladders_overlap():
    seen = [0, 0]
    for phi in np.linspace(0.0, 6.28, 600):
        for overlaps in (False, True):
            module, _ = crossings_of(particle(PT=1000.0, PHI=phi, TANL=0.3), overlaps=overlaps)
            seen[overlaps] += np.sum(PHASE1.layer[module] == 1)
    assert seen[0] <= 600
    # 28 ladders of 16.2 mm at 6.6 and 7.0 cm are 7% more than a circle
    assert seen[1] / 600 == pytest.approx(1.06, abs=0.03)


def test_crossings_lie_on_the_helix():
    seen = set()
    for track in collisions_of(20, seed=3):
        module, local = crossings_of(track)
        at = global_position(module, local)
        radius, turn = CURVATURE * track[PT], -track[Q]
        x = track[X] - turn * radius * np.sin(track[PHI])
        y = track[Y] + turn * radius * np.cos(track[PHI])
        off = np.abs(np.hypot(at[:, 0] - x, at[:, 1] - y) - radius)
        # inclined forward planes are met along the tangent, from very near
        in_disk = PHASE1.side[module] != 0
        assert (off[~in_disk] < 1e-6 * (1 + radius)).all()
        assert (off[in_disk] < 1e-3 * (1 + 1 / radius)).all()
        along = track[Z] + local[:, 5] * radius * track[TANL]
        np.testing.assert_allclose(at[:, 2], along, atol=1e-2)
        assert (np.abs(np.linalg.norm(local[:, 2:5], axis=1) - 1) < 1e-9).all()
        half = GEOMETRY.half[0] + np.abs(local[:, 2:4] / local[:, 4:5]) * THICKNESS / 2
        assert (np.abs(local[:, :2]) < half).all()
        seen |= set(PHASE1.layer[module].tolist())
    assert seen == set(range(7))


def test_no_ladder_is_missed():
    """The window in azimuth finds what a look at every ladder finds."""
    wide = GEOMETRY._replace(layer_reach=np.full(4, np.pi))
    for track in collisions_of(40, decays=True, seed=4):
        (found, places), (all_of_them, everywhere) = (
            crossings_of(track, geometry=g) for g in (GEOMETRY, wide)
        )
        assert np.array_equal(found, all_of_them)
        assert np.array_equal(places, everywhere)


def test_charges_turn_to_opposite_sides():
    plus, minus = (crossings_of(particle(PT=0.3, PHI=1.0, TANL=0.1, Q=q))[0] for q in (1.0, -1.0))
    phi = [np.unwrap(np.arctan2(*GEOMETRY.position[m][[-1], 1::-1].T))[0] for m in (plus, minus)]
    assert phi[0] < 1.0 < phi[1]


def test_a_looper_curls_through_the_first_layers():
    module, local = crossings_of(particle(PT=0.05, PHI=0.3, TANL=0.05))
    assert local[-1, 5] > 6 * np.pi
    assert set(GEOMETRY.layer[module].tolist()) <= {0, 1}


def test_a_forward_track_counts_once_a_disk_without_overlaps_and_more_often_with_them():
    hits = [[], []]
    for phi in np.linspace(0.0, 6.2, 60):
        for overlaps in (False, True):
            track = particle(PT=1000.0, PHI=phi, TANL=1 / 0.17)
            module, _ = crossings_of(track, overlaps=overlaps)
            forward = module[PHASE1.side[module] != 0]
            assert set(PHASE1.layer[forward].tolist()) <= {4, 5, 6}
            hits[overlaps].append(len(forward))
    assert np.mean(hits[0]) == pytest.approx(3, abs=0.1)
    assert max(hits[0]) == 3
    assert np.mean(hits[1]) > 3.9  # rectangles around a small circle


# -- charge ------------------------------------------------------------------------------------
def test_energy_loss_falls_to_a_minimum_and_rises_to_a_plateau():
    loss = {bg: energy_loss(bg)[0] for bg in (0.5, 1.3, 3.5, 100.0, 10_000.0)}
    assert loss[0.5] > 2.5 * loss[3.5]
    assert loss[1.3] > 1.1 * loss[3.5]
    assert loss[3.5] < loss[100.0]
    assert loss[10_000.0] == pytest.approx(loss[100.0], rel=0.05)


def test_charge_of_a_perpendicular_track_is_that_of_landau():
    total, *_ = charges(500, (0, 0, 1))
    # most probable loss and width, Particle Data Group, section 34.2.9; quantiles of the Landau
    # distribution lie -0.83, 1.58 and 4.7 widths from there (10%, 50%, 75%)
    beta2 = 3.5**2 / (1 + 3.5**2)
    width = 17.8 * THICKNESS / beta2
    peak = np.log(2 * 510_999 * 3.5**2 / 173) + np.log(width / 173) + 0.2 - beta2 - 0.4
    expected = width * (peak + np.array([-0.83, 1.58, 4.7])) / PAIR_ENERGY
    # what travels out of the sensor or far along it is missing in the tail
    np.testing.assert_allclose(np.quantile(total, [0.1, 0.5, 0.75]), expected, rtol=0.04)


def test_no_energy_is_lost_or_made():
    """Without edges, drift or delta rays the charge is that of the energy loss, on average."""
    silicon = SILICON._replace(delta_rays=False)
    total, *_ = charges(500, (0, 0, 1), n=3000, silicon=silicon)
    soft, strength = energy_loss(3.5)
    largest = 2 * 510_999 * 3.5**2
    mean = soft + strength * np.log(largest / 1000)
    # the mean of so long a tail is known badly: cut it where one in a hundred goes beyond
    cut = np.quantile(total, 0.99) * PAIR_ENERGY
    below = soft + strength * np.log(cut / 1000)
    kept = total[total * PAIR_ENERGY <= cut]
    assert np.mean(kept) * PAIR_ENERGY / THICKNESS == pytest.approx(below, rel=0.05)
    assert below < mean


def test_charge_grows_with_the_path():
    straight, *_ = charges(500, (0, 0, 1), n=1500)
    inclined, *_ = charges(500, (0, 3, 1), n=1500)
    assert np.median(inclined) / np.median(straight) == pytest.approx(np.sqrt(10), rel=0.12)


@pytest.mark.parametrize("slope", [1.0, 2.5, 5.0, 8.0])
def test_cluster_length_follows_the_angle(slope):
    _, _, col, charge = charges(500, (0, slope, 1), n=1)
    columns = np.unique(col[charge > 1000])
    assert (np.diff(columns) == 1).all()
    width = np.sum(PHASE1.sensors[0].col_sizes[columns])
    assert width == pytest.approx(slope * THICKNESS, abs=320)


def test_lorentz_drift_is_along_rows_in_the_barrel_and_outwards_in_disks():
    barrel, forward = GEOMETRY.drift[0], GEOMETRY.drift[-1]
    assert np.abs(barrel) == pytest.approx([0.106 * 3.8, 0.0], abs=1e-9)
    # blades stand at 20 degrees to the field
    assert np.abs(forward) == pytest.approx([0.0, 0.106 * 3.8 * np.sin(np.radians(20))], abs=1e-9)


def test_the_sign_of_the_lorentz_shift():
    """Electrons at velocity v along the normal feel -v x B: azimuth falls where they go outwards."""
    for ladder in (2, 3):  # pixels on the outer and on the inner side
        m = np.flatnonzero((PHASE1.layer == 1) & (PHASE1.ladder == ladder))[0]
        outwards = np.sign(GEOMETRY.normal[m] @ PHASE1.position[m] - 0)
        push = -np.cross(GEOMETRY.normal[m], [0, 0, 1])
        assert np.sign(GEOMETRY.drift[m, 0]) == np.sign(push @ PHASE1.axis_row[m])
        phi = np.cross([0, 0, 1], PHASE1.position[m])
        moved = GEOMETRY.drift[m, 0] * PHASE1.axis_row[m] @ phi
        assert np.sign(moved) == outwards
        # the charge of a perpendicular track spreads to that side of where it passed
        _, row, _, charge = charges(m, (0, 0, 1), n=1, at=(0.0, 0.0))
        middle = np.average(row - 79.5, weights=charge)
        assert np.sign(middle) == np.sign(GEOMETRY.drift[m, 0])


def test_diffusion_shares_charge_across_an_edge():
    # 3 um beside the edge between two columns, where nothing drifts along columns
    edge = GEOMETRY.edge[0, 1, 260]
    _, _, col, charge = charges(500, (0, 0, 1), n=1, at=(0.0, edge + 3.0))
    beyond = charge[col == 259].sum() / charge.sum()
    depth = np.linspace(1, THICKNESS, 1000)
    expected = np.mean([0.5 * erfc(3.0 / (3.7 * sqrt(d / 300) * sqrt(2))) for d in depth])
    assert beyond == pytest.approx(expected, abs=0.03)


def test_a_small_pixel_shares_with_both_neighbours():
    detector = get_detector("phase2-25x100")
    geometry = geometry_of(detector, conditions_of(detector))
    silicon = Silicon(np.full(len(detector.layers), 150.0), 20.0, 1.0, True, False)
    edge = geometry.edge[1, 1]
    at = (edge[200] + edge[201]) / 2  # rows of 25 um, here along columns' frame: middle of a pixel
    m = int(np.flatnonzero(detector.sensor == 1)[0])
    local = np.array([(geometry.edge[1, 0, 700] + geometry.edge[1, 0, 701]) / 2, at, 0, 0, 1, 0])
    geometry = geometry._replace(drift=np.zeros_like(geometry.drift))
    pixels = Pixels(np.empty(ROOM, np.int64), np.empty(ROOM), np.empty(ROOM, np.int32))
    n = deposit(np.random.default_rng(1), geometry, silicon, m, local, 3.5, 0, pixels, 0)
    row = pixels.key[:n] >> COL_BITS & ((1 << ROW_BITS) - 1)
    parts = [pixels.charge[:n][row == r].sum() for r in (699, 700, 701)]
    assert parts[0] == pytest.approx(parts[2], rel=1e-9)
    assert 0.1 < parts[0] / sum(parts) < 0.3


def test_no_charge_is_lost_between_pixels():
    # the same random numbers in the middle of a pixel and across a corner
    middle, *_ = charges(500, (0, 0, 1), n=300, at=(55.0, 40.0))
    corner, row, col, _ = charges(500, (0, 0, 1), n=300, at=(400.0, 600.0))
    assert np.mean(middle < 1.001 * corner) > 0.9
    assert np.median(corner) == pytest.approx(np.median(middle), rel=0.01)
    assert len(np.unique(row * 1000 + col)) > 1


# -- readout -----------------------------------------------------------------------------------
def spread_pixels(charge):
    """Each charge in a pixel of its own."""
    n = len(charge)
    at = np.arange(n, dtype=np.int64)
    key = (at // 160 << ROW_BITS | at % 160) << COL_BITS | 5
    return Pixels(key, np.asarray(charge, float), np.arange(n, dtype=np.int32))


@pytest.mark.parametrize("detector", ["phase1", "phase1-run3", "phase2-premix"])
def test_threshold_and_response(detector):
    detector = get_detector(detector)
    conditions = conditions_of(detector)
    readout = readout_of(conditions, detector)
    layer = detector.layer.astype(np.int64)
    levels = np.array([500.0, 4000.0, 10_000.0, 20_000.0, 60_000.0])
    pixels = spread_pixels(np.repeat(levels, 1000))
    rng = np.random.default_rng(5)
    pixel, counts, links = digitize(rng, readout, layer, pixels, True)
    found = dict(zip(pixel.tolist(), counts.tolist(), strict=True))
    level = {
        q: [found[k] for k in pixels.key[pixels.charge == q].tolist() if k in found] for q in levels
    }
    assert len(level[500.0]) <= 3
    assert all(len(level[q]) == 1000 for q in levels[1:])
    assert np.mean(np.equal(level[60_000.0], 255)) > 0.99
    electrons = detector.electrons(level[10_000.0], 0)
    assert np.mean(electrons) == pytest.approx(10_000, rel=0.03)
    # the Run-3 response adds -432 + 0.123 x 10,000 e, a count is 135 e wide
    added = 798 if detector.name == "phase1-run3" else 0
    assert np.std(electrons) == pytest.approx(np.hypot(conditions.noise, added), rel=0.15, abs=1)
    assert (np.diff(links.digi) == 1).all()  # one crossing each
    assert (pixels.key[links.crossing] == pixel).all()


def test_thresholds_of_layers_and_their_smearing():
    detector = get_detector("phase1-run3")
    readout = readout_of(CMS, detector)
    layer = detector.layer.astype(np.int64)
    for index, threshold, smearing in ((0, 2000, 245), (1, 1600, 245), (4, 1600, 210)):
        m = int(np.flatnonzero(detector.layer == index)[0])
        charge = np.repeat([threshold - 500.0, threshold, threshold + 500.0], 10_000)
        at = np.arange(30_000, dtype=np.int64)
        key = (m << ROW_BITS | at // 400) << COL_BITS | at % 400
        pixels = Pixels(key, charge, np.zeros(30_000, np.int32))
        pixel, *_ = digitize(np.random.default_rng(1), readout, layer, pixels, False)
        passed = [np.isin(key[charge == q], pixel).mean() for q in np.unique(charge)]
        rms = np.hypot(smearing, 350)
        expected = [0.5 * erfc(-d / rms / sqrt(2)) for d in (-500, 0, 500)]
        np.testing.assert_allclose(passed, expected, atol=0.02)


def test_time_over_threshold_is_what_the_detector_decodes():
    detector = get_detector("phase2")
    readout = readout_of(conditions_of(detector), detector)
    charge = np.linspace(1001, 60_000, 20_000)
    layer = detector.layer.astype(np.int64)
    _, counts, _ = digitize(np.random.default_rng(1), readout, layer, spread_pixels(charge), False)
    assert (np.diff(counts) >= 0).all()
    assert sorted(set(counts)) == list(range(1, 16))
    # the inverse that reconstruction uses puts a count in the middle of its charges
    decoded = detector.electrons(counts, 0)
    below = counts < 8
    assert np.abs(decoded - charge)[below].max() <= 751
    slow = (counts > 8) & (counts < 15)
    assert np.abs(decoded - charge)[slow].max() <= 4 * 1500


def test_charge_in_one_pixel_is_summed_before_the_threshold():
    readout = readout_of(conditions_of(PHASE1), PHASE1)
    key = np.repeat(np.arange(100, dtype=np.int64) << COL_BITS, 4)
    crossing = np.tile(np.array([0, 0, 1, 2], np.int32), 100)
    pixels = Pixels(key, np.full(400, 1350.0), crossing)
    rng = np.random.default_rng(1)
    pixel, counts, links = digitize(rng, readout, GEOMETRY.layer, pixels, True)
    assert len(pixel) == 100
    assert np.mean(counts) == pytest.approx(39.5, abs=1)
    assert links.digi.tolist() == np.repeat(np.arange(100), 3).tolist()
    assert links.crossing.tolist() == [0, 1, 2] * 100
    assert links.charge.tolist() == [2700.0, 1350.0, 1350.0] * 100


def test_run3_sees_the_same_charge():
    how = {"n_events": 2, "pileup": 30, "seed": 9, "conditions": replace(CMS, overlaps=False)}
    run3 = cluster(simulate(detector="phase1-run3", **how), thresholds=False)
    linear = replace(how["conditions"], response="linear", gain=135.0, offset=0.0)
    linear = cluster(
        simulate(detector="phase1", **(how | {"conditions": linear})), thresholds=False
    )
    assert run3.digis.adc.max() == 255
    assert np.median(run3.charge) == pytest.approx(np.median(linear.charge), rel=0.05)


def test_conditions_of_layers():
    assert conditions_of("phase1") == conditions_of(PHASE1)
    assert per_layer(3.0, PHASE1).tolist() == [3.0] * 7
    assert per_layer((1, 2, 3, 4, 5, 6, 7), PHASE1).tolist() == [1, 2, 3, 4, 5, 6, 7]


# -- physics of whole events -------------------------------------------------------------------
def test_occupancy_falls_with_the_radius(events):
    modules = np.bincount(PHASE1.layer)
    per_module = [events.per_layer()[name] / modules[i] for i, name in enumerate(BARREL)]
    assert (np.diff(per_module) < 0).all()


def test_clusters_get_longer_towards_the_ends_of_the_barrel(metrics):
    for name in BARREL:
        along_z = metrics[name]["size_col_along_z"]
        assert (np.diff(along_z) > 0).all()
        assert along_z[3] > 2 * along_z[0]


def test_counts_saturate_at_full_scale_and_start_at_the_threshold(events):
    assert events.adc.max() == 255
    assert 0.015 < np.mean(events.adc == 255) < 0.05
    assert np.quantile(events.adc, 0.001) >= 9
    assert events.adc.min() >= 7


def test_flat_in_azimuth_and_even_in_z(events):
    side = np.sign(PHASE1.position[events.module, 2])
    assert abs(np.mean(side)) < 0.05
    right = PHASE1.position[events.module, 0] > 0
    assert np.mean(right) == pytest.approx(0.5, abs=0.03)


def test_overlaps_add_hits_in_disks():
    how = {"n_events": 3, "pileup": 40, "seed": 2, "fixed_pileup": True}
    without, within = (
        simulate(conditions=replace(conditions_of(PHASE1), overlaps=o), **how).per_layer()
        for o in (False, True)
    )
    assert 1.0 < within["BPIX 2"] / without["BPIX 2"] < 1.12
    assert 1.2 < within["FPIX 1"] / without["FPIX 1"] < 1.9


def test_secondaries_add_particles_that_start_in_modules():
    _, truth = simulate(2, pileup=40, seed=2, detector="phase1-run3", truth=True)
    table = truth.particles
    pairs = table["parent"] >= 0
    assert 0.01 < pairs.mean() < 0.2
    assert set(table["pdg"][pairs]) == {11, -11}
    assert (table["charge"][pairs].reshape(-1, 2).sum(axis=1) == 0).all()
    assert (table["parent"][table["parent"][pairs]] == -1).all()
    radius = np.hypot(table["x"], table["y"])
    assert (radius[pairs] > 2.5).all()


# -- the reference data --------------------------------------------------------------------------
# 15% is the project's aim. The reference are 1,200 collisions, of which as many give 4% more or
# fewer particles (number and multiplicity of collisions)
@pytest.mark.parametrize(
    ("metric", "tolerance"),
    [
        ("digis", 0.10),
        ("clusters", 0.12),
        ("size", 0.06),
        ("size_row", 0.06),
        ("size_col", 0.06),
        ("charge", 0.05),
        ("saturated", 0.25),
        ("adc_median", 0.06),
    ],
)
def test_layers_agree_with_the_reference(metrics, metric, tolerance):
    expected = reference()
    assert list(metrics) == list(expected)
    ratios = {name: metrics[name][metric] / expected[name][metric] for name in expected}
    assert {k: round(r, 3) for k, r in ratios.items() if abs(r - 1) > tolerance} == {}


def test_adc_spectra_agree_with_the_reference(metrics):
    for name, expected in reference().items():
        distance = np.subtract(metrics[name]["adc_below"], expected["adc_below"])
        assert np.abs(distance).max() < 0.035, name


def test_cluster_lengths_along_z_agree_with_the_reference(metrics):
    for name, expected in reference().items():
        np.testing.assert_allclose(
            metrics[name]["size_col_along_z"], expected["size_col_along_z"], rtol=0.08, err_msg=name
        )


def test_single_pixel_clusters_in_disks_are_those_of_double_rows():
    """The reference has no double-size pixels: without them, disks agree; with them, every second
    single is in the two large rows in the middle, where most tracks of a wedge pass."""
    expected = reference()
    parts = {}
    for name in ("phase1", "phase1-uniform"):
        found = cluster(
            simulate(12, pileup=60, seed=8, fixed_pileup=True, detector=name), thresholds=False
        )
        forward = found.layer >= 4
        single = forward & (found.size == 1)
        parts[name] = single.sum() / forward.sum()
        if name == "phase1":
            large = np.isin(np.floor(found.row[single]), (79, 80))
            assert 0.3 < large.mean() < 0.7
    assert parts["phase1"] > 1.4 * parts["phase1-uniform"]
    theirs = np.mean([expected[f"FPIX {i}"]["single"] for i in (1, 2, 3)])
    assert parts["phase1-uniform"] == pytest.approx(theirs, rel=0.45)
