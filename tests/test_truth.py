"""The truth of simulated events: tables that fit together, and what clusters have to do with it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pixlab.clusters import cluster
from pixlab.digis import Digis
from pixlab.errors import FormatError, PixlabError
from pixlab.simulation import Truth, conditions_of, simulate
from pixlab.simulation.truth import CROSSINGS, LINKS, PARTICLES


@pytest.fixture(scope="module", params=["phase1", "phase1-run3", "phase2", "phase2-25x100"])
def simulated(request):
    return simulate(3, pileup=30, seed=6, detector=request.param, truth=True)


def test_tables_have_their_columns_and_point_at_each_other(simulated):
    digis, truth = simulated
    for table, columns in (("particles", PARTICLES), ("crossings", CROSSINGS), ("links", LINKS)):
        found = getattr(truth, table)
        assert {name: values.dtype for name, values in found.items()} == columns
        assert len({len(values) for values in found.values()}) == 1
    crossings, links = truth.crossings, truth.links
    assert (np.diff(truth.particles["event"]) >= 0).all()
    assert (np.diff(crossings["particle"]) >= 0).all()
    assert (np.diff(links["digi"]) >= 0).all()
    assert (truth.particles["event"][crossings["particle"]] == crossings["event"]).all()
    # every digi has a crossing, in its own event and module
    of = truth.of_digis(digis.n_digis)
    assert of.min() >= 0
    assert (crossings["event"][of] == digis.event).all()
    assert (crossings["module"][of] == digis.module).all()
    assert {name: len(t) for name, t in truth.to_pandas().items()} == {
        "particles": len(truth.particles["pdg"]),
        "crossings": len(crossings["row"]),
        "links": len(links["digi"]),
    }
    assert "crossings" in repr(truth)


def test_positions_are_those_of_the_detector(simulated):
    digis, truth = simulated
    c = truth.crossings
    inside = (c["row"] > 0) & (c["row"] < digis.detector.rows[c["module"]])
    inside &= (c["col"] > 0) & (c["col"] < digis.detector.cols[c["module"]])
    assert inside.mean() > 0.97  # others cut a corner of the sensor beside its middle plane
    at = digis.detector.positions(c["module"], c["row"], c["col"])
    np.testing.assert_allclose(
        at[inside], np.stack([c["x"], c["y"], c["z"]], axis=1)[inside], atol=1e-9
    )


def test_momentum_is_that_of_the_particle(simulated):
    _, truth = simulated
    table, of = truth.particles, truth.crossings["particle"]
    np.testing.assert_allclose(
        truth.crossings["momentum"], (table["pt"] * np.cosh(table["eta"]))[of], rtol=1e-12
    )
    assert (truth.crossings["time"] >= 0).all()


def test_stiff_tracks_point_along_their_crossings(simulated):
    """Straight lines from the origin in direction phi, eta go through the crossings."""
    _, truth = simulated
    table, c = truth.particles, truth.crossings
    of = c["particle"]
    stiff = (table["pt"][of] > 3) & (table["parent"][of] < 0)
    stiff &= np.hypot(table["x"], table["y"])[of] < 0.01
    assert stiff.sum() > 50
    radius = np.hypot(c["x"], c["y"])
    bend = 0.299792458 * 3.8 * radius / 100 / 2 / table["pt"][of]  # of the chord
    phi = np.arctan2(c["y"], c["x"]) - table["phi"][of] + table["charge"][of] * bend
    off = ((phi + np.pi) % (2 * np.pi) - np.pi) * radius
    z = table["z"][of] + radius * np.sinh(table["eta"][of]) - c["z"]
    # what is left is scattering: some tens of micrometres
    assert np.median(np.abs(off[stiff])) < 0.005
    assert np.median(np.abs(z[stiff] / np.cosh(table["eta"][of][stiff]))) < 0.01


def test_scattering_is_that_of_the_material():
    """Without material a track stays on its helix; with it, the second layer sees Highland."""
    rms = {}
    for material in (1e-9, 0.02):
        conditions = replace(
            conditions_of(simulate(0, seed=1).detector),
            radiation_lengths=material, secondaries=False,
        )  # fmt: skip
        _, truth = simulate(3, pileup=60, seed=4, conditions=conditions, truth=True)
        c, table = truth.crossings, truth.particles
        of = c["particle"]
        pt, radius = table["pt"][of], np.hypot(c["x"], c["y"])
        here = (pt > 1) & (np.abs(table["eta"][of]) < 0.5) & (radius > 10) & (radius < 12)
        bend = np.arcsin(np.minimum(0.299792458 * 3.8 * radius / 200 / pt, 1))
        phi = np.arctan2(c["y"], c["x"]) - table["phi"][of] + table["charge"][of] * bend
        off = ((phi + np.pi) % (2 * np.pi) - np.pi) * radius * pt
        rms[material] = np.sqrt(np.mean(np.clip(off[here], -0.2, 0.2) ** 2))
    # pipe at 2.25 cm, layers at 2.9 and 6.8 cm, seen at 10.9 cm
    angle = [0.0136 * np.sqrt(x) * (1 + 0.038 * np.log(x)) for x in (0.0023, 0.02, 0.02)]
    expected = np.sqrt(np.sum((np.array(angle) * (10.9 - np.array([2.25, 2.9, 6.8]))) ** 2))
    pipe = angle[0] * (10.9 - 2.25)
    width = 0.0015  # of the luminous region, times the mean momentum
    assert rms[1e-9] == pytest.approx(np.hypot(pipe, 1.7 * width), rel=0.35)
    assert rms[0.02] == pytest.approx(np.hypot(expected, 1.7 * width), rel=0.2)


def test_residuals_are_unbiased_and_small(simulated):
    digis, truth = simulated
    found = cluster(digis)
    crossing, purity = truth.of_clusters(found)
    assert crossing.min() >= 0
    assert purity.mean() > 0.98
    assert (truth.crossings["module"][crossing] == found.module).all()
    clean = purity > 0.999
    # clusters of soft tracks that pass at small angles are cut where they leave the sensor
    clean &= np.abs(truth.crossings["cot_row"][crossing]) < 1
    expected = truth.expected(crossing)
    pitch = digis.detector.pitch[found.module]
    shift = truth.lorentz_shift[found.module]
    for k, position in enumerate((found.row, found.col)):
        residual = ((position - expected[:, k]) * pitch[:, k])[clean]
        core = np.abs(residual) < pitch[clean, k]
        assert core.mean() > 0.93
        error = residual[core].std() / np.sqrt(core.sum())
        assert abs(residual[core].mean()) < 4 * error + 0.03 * pitch[:, k].min()
        assert residual[core].std() < 0.35 * pitch[:, k].mean()
        # the correction is needed where there is a drift
        drifts = clean & (np.abs(shift[:, k]) > 20)
        if drifts.sum() > 500:
            plain = truth.crossings[("row", "col")[k]][crossing]
            moved = ((position - plain) * pitch[:, k] * np.sign(shift[:, k]))[drifts]
            assert np.median(moved) == pytest.approx(np.abs(shift[drifts, k]).mean(), rel=0.25)


def test_charge_of_clusters_is_that_of_their_crossings():
    digis, truth = simulate(2, pileup=40, seed=3, detector="phase1", truth=True)
    found = cluster(digis, thresholds=False)
    crossing, purity = truth.of_clusters(found)
    # nothing saturated: the counts hold what the crossing left, but for noise and thresholds
    largest = np.zeros(len(found))
    np.maximum.at(largest, found.label, digis.adc)
    clean = (purity > 0.999) & (largest < 250)
    ratio = found.charge[clean] / truth.crossings["charge"][crossing[clean]]
    assert np.median(ratio) == pytest.approx(1, abs=0.03)
    assert np.mean(np.abs(ratio - 1) < 0.15) > 0.9
    # links hold the charge of the digis' crossings, and no more than was left
    left = np.bincount(truth.links["crossing"], weights=truth.links["charge"])
    assert (left <= 1.001 * truth.crossings["charge"][: len(left)] + 1).all()


def test_clusters_of_other_digis_are_refused():
    digis, truth = simulate(1, pileup=5, seed=3, truth=True)
    with pytest.raises(PixlabError, match="give the clusters of the digis"):
        truth.of_clusters(cluster(digis[:0]))
    empty, nothing = simulate(1, pileup=0, seed=3, truth=True)
    crossing, purity = nothing.of_clusters(cluster(empty))
    assert len(crossing) == len(purity) == 0
    assert nothing.of_digis(0).tolist() == []


# -- files -------------------------------------------------------------------------------------
def test_saved_truth_comes_back(tmp_path):
    _, truth = simulate(2, pileup=5, seed=3, truth=True)
    truth.save(tmp_path / "truth.npz")
    again = Truth.load(tmp_path / "truth.npz")
    assert again.detector == truth.detector
    assert np.array_equal(again.lorentz_shift, truth.lorentz_shift)
    for table in ("particles", "crossings", "links"):
        for name, values in getattr(truth, table).items():
            assert np.array_equal(getattr(again, table)[name], values)
    assert [p.name for p in tmp_path.iterdir()] == ["truth.npz"]


def damage(arrays, **changes):
    return {name: changes.get(name, values) for name, values in arrays.items()}


def test_files_that_hold_no_truth_or_a_damaged_one_are_refused(tmp_path):
    digis, truth = simulate(1, pileup=3, seed=3, truth=True)
    path = tmp_path / "truth.npz"
    truth.save(path)
    with np.load(path) as file:
        arrays = dict(file)

    def refused(changed, message):
        np.savez(tmp_path / "bad.npz", **changed)
        with pytest.raises(FormatError, match=message) as caught:
            Truth.load(tmp_path / "bad.npz")
        assert "bad.npz" in str(caught.value)

    refused({"x": np.arange(3)}, "holds no truth")
    without = {k: v for k, v in arrays.items() if k != "crossings.row"}
    refused(without, r"no array 'crossings\.row'")
    short = arrays["crossings.row"][:-1]
    refused(damage(arrays, **{"crossings.row": short}), "another length")
    for name in ("crossings.particle", "crossings.module", "links.crossing", "particles.parent"):
        wrong = arrays[name].copy()
        wrong[0] = 1_000_000
        refused(damage(arrays, **{name: wrong}), "do not fit together")
    refused(damage(arrays, **{"links.digi": arrays["links.digi"][::-1].copy()}), "do not fit")
    with pytest.raises(PixlabError, match="does not exist"):
        Truth.load(tmp_path / "none.npz")
    content = path.read_bytes()
    rng = np.random.default_rng(1)
    for cut in (*rng.integers(0, len(content), 10).tolist(), len(content) - 1):
        path.write_bytes(content[:cut])
        with pytest.raises(FormatError):
            Truth.load(path)
    assert isinstance(digis, Digis)
