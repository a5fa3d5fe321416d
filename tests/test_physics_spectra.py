"""Spectra, groups of modules, maps and DQM histograms, each against a second way to get them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import cKDTree

from pixlab.clusters import cluster
from pixlab.detectors import DETECTORS, Detector, phase1_detid
from pixlab.digis import Digis
from pixlab.errors import PixlabError
from pixlab.physics import SPECTRA, dqm, groups, maps, occupancy, spectra, write_root
from pixlab.physics.groups import PARTS, event_keys, part_of
from pixlab.physics.neighbours import nearest
from pixlab.physics.spectra import AXES, bins_of
from tests.helpers import full_module, random_digis, small_detector


# -- spectra ----------------------------------------------------------------------------------
@pytest.mark.parametrize("detector", ["phase1", "phase1-run3", "toy"])
@pytest.mark.parametrize("name", SPECTRA)
def test_counts_are_those_of_hist(detector, name):
    digis = random_digis(small_detector() if detector == "toy" else detector, n_digis=2000)
    for by in ("layer", "ring", "module"):
        found = spectra(digis, by=by, names=[name])[name]
        of = groups(digis.detector, by)
        entries = SPECTRA[name].values(digis, cluster(digis), of)
        expected = found.copy().reset()
        expected.fill(np.array(of.names)[of.of[entries.module]], np.asarray(entries.value))
        assert np.array_equal(expected.view(flow=True), found.view(flow=True))
        # the toy detector is so full that no cluster has a neighbour
        assert found.sum(flow=True) > 0 or (detector, name) == ("toy", "neighbour")


@pytest.mark.parametrize("by", ["layer", "ring", "module"])
def test_spectra_of_chunks_add_up(by):
    digis = random_digis(n_events=5, n_digis=2000)
    whole, a, b = (spectra(d, by=by) for d in (digis, digis[:2], digis[2:]))
    for name in SPECTRA:
        assert a[name] + b[name] == whole[name]


def test_groups_nest():
    digis = random_digis(n_events=2, n_digis=4000, n_modules=40)
    by_layer, by_ring, by_module = (spectra(digis, by=by) for by in ("layer", "ring", "module"))
    for name in ("charge", "size", "adc", "neighbour", "occupancy"):
        total = by_layer[name].view(flow=True).sum(axis=0)
        assert np.array_equal(by_ring[name].view(flow=True).sum(axis=0), total)
        assert np.array_equal(by_module[name].view(flow=True).sum(axis=0), total)
    detid = str(digis.detid[0])
    assert by_module["adc"][detid, :].sum(flow=True) == (digis.detid == digis.detid[0]).sum()


@pytest.mark.parametrize("kind", ["names", "by"])
def test_unknown_spectra_and_groups(kind):
    with pytest.raises(PixlabError, match="choose"):
        spectra(random_digis(), **{kind: ["charm"] if kind == "names" else "quark"})


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


@pytest.mark.parametrize("name", AXES)
def test_bins_hold_their_lower_edge(name):
    edges = AXES[name].edges(DETECTORS["phase1"])
    values = np.concatenate([edges, edges[:-1] + np.diff(edges) / 2, [edges[0] - 1, edges[-1] + 1]])
    expected = np.searchsorted(edges, values, "right")
    assert np.array_equal(bins_of(edges, values), expected)
    whole = np.unique(np.floor(values[values >= 0])).astype(np.uint16)
    assert np.array_equal(bins_of(edges, whole), np.searchsorted(edges, whole, "right"))


# -- groups and parts -------------------------------------------------------------------------
def test_rings_of_the_phase1_detector():
    of = groups(DETECTORS["phase1"], "ring")
    assert len(of.names) == 4 * 8 + 3 * 2
    sizes = dict(zip(of.names, np.bincount(of.of).tolist(), strict=True))
    assert [sizes[f"BPIX {i} ring 1"] for i in (1, 2, 3, 4)] == [12, 28, 44, 64]
    # 22 and 34 blades with two panels on both sides
    assert [sizes[f"FPIX 2 ring {i}"] for i in (1, 2)] == [88, 136]
    z = DETECTORS["phase1"].position[of.first, 2]
    assert (np.diff(z[:8]) > 6).all()


@pytest.mark.parametrize("name", DETECTORS)
@pytest.mark.parametrize("by", ["layer", "ring", "module"])
def test_every_module_is_in_one_group(name, by):
    detector = DETECTORS[name]
    of = groups(detector, by)
    assert len(set(of.names)) == len(of.names) == len(of.first)
    assert np.array_equal(of.of[of.first], np.arange(len(of.names)))
    assert all(
        of.names[g].startswith(detector.layers[detector.layer[m]])
        for m, g in enumerate(of.of)
        if by != "module"
    )


def test_parts_share_out_every_layer_evenly():
    detector = DETECTORS["phase1"]
    keys = event_keys(random_digis(n_events=8))
    event, module = (a.ravel() for a in np.mgrid[0:8, 0 : len(detector)])
    part = part_of(detector, keys, event, module)
    sizes = np.zeros((PARTS, 7), int)
    np.add.at(sizes, (part, detector.layer[module]), 1)
    mean = sizes.mean(axis=0)
    assert (np.abs(sizes - mean) <= 0.4 * mean).all()
    # in one event a part is a sector: both ends of a ladder are in the same
    ladder = [phase1_detid(layer=2, ladder=5, module=m) for m in (1, 8)]
    one, other = part_of(detector, keys, np.array([3, 3]), detector.index(np.array(ladder)))
    assert one == other


def test_parts_of_an_event_do_not_depend_on_its_place():
    digis = random_digis(n_events=6, n_digis=900)
    assert np.array_equal(event_keys(digis)[2:], event_keys(digis[2:]))
    assert len(set(event_keys(digis).tolist())) == 6


def test_parts_of_a_detector_without_positions():
    detector = Detector.from_table({"detid": range(24), "rows": [4] * 24, "cols": [4] * 24})
    keys = np.array([5], np.uint64)
    part = part_of(detector, keys, np.zeros(24, int), np.arange(24))
    assert np.bincount(part).tolist() == [2] * PARTS


# -- neighbours -------------------------------------------------------------------------------
def test_nearest_cluster_is_that_of_a_tree():
    found = cluster(random_digis(n_digis=60, n_modules=9, seed=5))
    expected = np.full(len(found), np.inf)
    for frame in np.unique(found.frame):
        own = np.flatnonzero(found.frame == frame)
        if len(own) > 1:
            distance, _ = cKDTree(found.local[own]).query(found.local[own], k=2)
            expected[own] = distance[:, 1]
    assert np.isinf(expected).any()
    np.testing.assert_allclose(nearest(found), expected, rtol=1e-12)


def test_distance_counts_pixels_of_double_size():
    module = int(phase1_detid(layer=2, ladder=1, module=1))
    # columns 51 and 52 are 300 um wide: from the centre of 50 to that of 53 are 150 + 600 um
    digis = Digis.from_arrays([0] * 2, [module] * 2, [5, 5], [50, 53], [90] * 2, detector="phase1")
    assert nearest(cluster(digis)).tolist() == pytest.approx([750, 750])


# -- maps -------------------------------------------------------------------------------------
def test_maps_count_everything_once():
    digis = random_digis(n_events=4, n_digis=3000, n_modules=60)
    found, clusters = maps(digis), cluster(digis)
    assert (
        found["module_digis"].values().tolist()
        == np.bincount(digis.module, minlength=1856).tolist()
    )
    assert found["module_clusters"].sum() == len(clusters)
    assert found["module_charge"].sum() == pytest.approx(clusters.charge.sum(), rel=1e-6)
    assert found["chip_digis"].sum() == found["pixel_digis"].sum() == digis.n_digis
    per_layer = list(digis.per_layer().values())
    assert found["pixel_digis"].values().sum(axis=(1, 2)).tolist() == per_layer
    barrel = np.bincount(clusters.layer, minlength=7)[:4]
    assert found["z_phi"].values().sum(axis=(1, 2)).tolist() == barrel.tolist()
    assert found["x_y"].sum() == len(clusters) - barrel.sum()


def test_a_hit_is_where_it_is():
    module = int(phase1_detid(side=2, disk=3, blade=30, panel=1))
    digis = Digis.from_arrays([0], [module], [80], [416 - 52], [100], detector="phase1")
    found, detector = maps(digis), digis.detector
    # the second row of chips, the last of eight in it
    assert found["chip_digis"][str(module), 15] == 1
    assert found["pixel_digis"]["FPIX 3", 80, 364] == 1
    (at,) = np.argwhere(found["x_y"]["FPIX 3 +", ...].values())
    x, y, _ = detector.positions(detector.index(np.array([module])), [80.5], [364.5])[0]
    edges = [axis.edges for axis in found["x_y"].axes[1:]]
    for value, place, bins in zip((x, y), at, edges, strict=True):
        assert bins[place] <= value < bins[place + 1]


def test_maps_of_chunks_add_up():
    digis = random_digis(n_events=5, n_digis=2000)
    whole, a, b = maps(digis), maps(digis[:3]), maps(digis[3:])
    assert all(a[name] + b[name] == whole[name] for name in whole)


@pytest.mark.parametrize("name", [*DETECTORS, "toy"])
def test_maps_of_every_detector(name):
    detector = small_detector() if name == "toy" else DETECTORS[name]
    digis = random_digis(detector, n_digis=200)
    found = maps(digis)
    assert found["pixel_digis"].sum() == digis.n_digis
    assert found["pixel_digis"].values()[0].size <= 1 << 17
    assert dqm(digis)
    for by in ("layer", "ring", "module", "chip"):
        table = occupancy(digis, by)
        assert table.digis.sum() == digis.n_digis
        assert table.pixels.sum() == (detector.rows.astype(int) * detector.cols).sum()


def test_occupancy_is_the_share_of_pixels_that_are_hit():
    digis = full_module()
    twice = Digis.concatenate([digis, Digis.empty("phase1", 1)])
    assert occupancy(digis, "module").occupancy.iloc[0] == 1
    assert occupancy(twice, "chip").occupancy.iloc[:16].tolist() == [0.5] * 16
    assert occupancy(twice).occupancy["BPIX 1"] == pytest.approx(0.5 / 96)
    assert occupancy(Digis.empty("phase1", 0)).occupancy.isna().all()


# -- DQM --------------------------------------------------------------------------------------
PLACES = [f"PXBarrel/{{}}_PXLayer_{i}" for i in (1, 2, 3, 4)]
PLACES += [f"PXForward/{{}}_PXDisk_{s}{i}" for s in "-+" for i in (1, 2, 3)]
PLACES += ["{}_PXBarrel", "{}_PXForward"]
BINS = {
    "adc": (300, 0, 300),
    "charge": (200, 0, 200e3),
    "size": (30, 0, 30),
    "sizeX": (30, 0, 30),
    "sizeY": (30, 0, 30),
}


def test_dqm_names_and_bins():
    found = dqm(random_digis())
    top = "PixelPhase1/Phase1_MechanicalView/"
    for name, (bins, low, high) in BINS.items():
        for place in PLACES:
            (axis,) = found[top + place.format(name)].axes
            assert (len(axis), axis.edges[0], axis.edges[-1]) == (bins, low, high)
    for name, single, whole in (
        ("num_digis", (100, 6000), (100, 20000)),
        ("num_clusters", (100, 3000), (200, 10000)),
    ):
        for place in [*PLACES, "{}_PXAll"]:
            (axis,) = found[top + place.format(name)].axes
            assert (len(axis), axis.edges[-1]) == (single if "_P" in place[3:] else whole)
    assert found[top + "PXBarrel/clusterposition_zphi_PXLayer_2"].shape == (600, 200)
    assert found[top + "PXForward/clusterposition_xy_PXDisk_+3"].shape == (200, 200)
    assert found[top + "sizeyvseta_PXBarrel"].shape == (40, 40)


def test_dqm_contents():
    digis = random_digis(n_events=4, n_digis=3000, n_modules=80)
    found, clusters = dqm(digis), cluster(digis)
    top, detector = "PixelPhase1/Phase1_MechanicalView/", digis.detector
    charge = found[top + "PXBarrel/charge_PXLayer_2"]
    own = clusters.charge[clusters.layer == 1]
    assert (
        charge.values(flow=True)[1:].tolist()
        == np.histogram(own, [*np.linspace(0, 200e3, 201), np.inf])[0].tolist()
    )
    minus = (detector.side == -1) & (detector.layer == 4)
    digis_there = np.bincount(digis.event[minus[digis.module]], minlength=4)
    counts = found[top + "PXForward/num_digis_PXDisk_-1"]
    assert (
        counts.values(flow=True)[1:-1].tolist()
        == np.histogram(digis_there, np.linspace(0, 6000, 101))[0].tolist()
    )
    assert found[top + "num_clusters_PXAll"].sum(flow=True) == 4
    assert found[top + "sizeyvseta_PXBarrel"].sum(flow=True) == (clusters.layer < 4).sum()


def test_dqm_of_chunks_adds_up_and_goes_to_a_root_file(tmp_path):
    uproot = pytest.importorskip("uproot")
    digis = random_digis(n_events=5, n_digis=2000)
    whole, a, b = dqm(digis), dqm(digis[:2]), dqm(digis[2:])
    assert all(a[name] + b[name] == whole[name] for name in whole)
    write_root(tmp_path / "dqm.root", {"original": whole, "decoded": a})
    name = "PixelPhase1/Phase1_MechanicalView/PXForward/size_PXDisk_+1"
    with uproot.open(tmp_path / "dqm.root") as file:
        back = file[f"decoded/{name}"].to_hist()
        assert back.values().tolist() == a[name].values().tolist()
        assert len([k for k in file.keys(cycle=False) if "_PX" in k]) == 2 * len(whole)
