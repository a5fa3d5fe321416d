from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from pixlab.clusters import CHARGE_FLOOR, cluster
from pixlab.detectors import DETECTORS, Detector, phase1_detid
from pixlab.digis import Digis
from tests.helpers import full_module, random_digis, small_detector

LAYER1 = int(phase1_detid(layer=1, ladder=1, module=1))
LAYER2 = int(phase1_detid(layer=2, ladder=1, module=1))


def digis(pixels, *, detid=LAYER2, detector="phase1"):
    """One event, one module, (row, col, adc) each."""
    row, col, adc = zip(*pixels, strict=True)
    n = len(pixels)
    return Digis.from_arrays([0] * n, [detid] * n, row, col, adc, detector=detector)


def partition_by_scipy(d: Digis) -> np.ndarray:
    """Group of each digi by ndimage.label, numbered over all frames."""
    label = np.empty(d.n_digis, int)
    n = 0
    frames = d.frames
    for begin, end, module in zip(
        frames.offsets[:-1], frames.offsets[1:], frames.module, strict=True
    ):
        image = np.zeros((d.detector.rows[module], d.detector.cols[module]), bool)
        at = d.row[begin:end], d.col[begin:end]
        image[at] = True
        groups, found = ndimage.label(image, np.ones((3, 3)))
        label[begin:end] = groups[at] - 1 + n
        n += found
    return label


def assert_same_partition(a: np.ndarray, b: np.ndarray) -> None:
    pairs = np.unique(np.stack([a, b]), axis=1)
    assert pairs.shape[1] == len(np.unique(a)) == len(np.unique(b))


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 24), st.integers(1, 24)),
    density=st.floats(0.01, 1.0),
    seed=st.integers(0, 2**32 - 1),
)
def test_partition_is_that_of_scipy(shape, density, seed):
    rows, cols = shape
    detector = Detector.from_table({"detid": [1, 2], "rows": [rows] * 2, "cols": [cols] * 2})
    rng = np.random.default_rng(seed)
    hit = rng.random((2, 2, rows, cols)) < density
    event, module, row, col = np.nonzero(hit)
    d = Digis.from_arrays(
        event, module + 1, row, col, rng.integers(0, 256, len(row)), detector=detector, n_events=2
    )
    found = cluster(d, thresholds=False)
    assert (found.label >= 0).all()
    assert_same_partition(found.label, partition_by_scipy(d))
    assert np.array_equal(found.charge, np.bincount(found.label, d.electrons, len(found)))


@pytest.mark.parametrize("name", ["phase1", "phase1-run3"])
def test_measures_are_those_of_a_slow_loop(name):
    d = random_digis(name, n_digis=3000, seed=1)
    found = cluster(d)
    electrons = np.maximum(d.electrons, CHARGE_FLOOR).astype(float)
    group = partition_by_scipy(d)
    expected = []
    for g in range(group.max() + 1):
        own = np.flatnonzero(group == g)
        q, r, c = electrons[own], d.row[own], d.col[own]
        module = d.module[own[0]]
        if q.max() >= 1000 and q.sum() >= d.detector.cluster_threshold[module]:
            frame = np.searchsorted(d.frames.offsets, own[0], side="right") - 1
            expected.append(
                (
                    own[0],
                    frame,
                    q.sum(),
                    len(own),
                    np.average(r + 0.5, weights=q),
                    np.average(c + 0.5, weights=q),
                    *(r.min(), c.min(), r.max(), c.max()),
                )
            )
    assert 0 < len(expected) < group.max() + 1  # the thresholds do something in this sample
    columns = zip(*sorted(expected), strict=True)
    first = [found.digis_of[i] for i in found.digi_offsets[:-1]]
    names = ["frame", "charge", "size", "row", "col", "min_row", "min_col", "max_row", "max_col"]
    for got, want in zip(
        [first] + [getattr(found, n) for n in names], map(np.array, columns), strict=True
    ):
        np.testing.assert_allclose(got, want, rtol=1e-12)
    assert np.array_equal(found.size_row, found.max_row - found.min_row + 1)
    assert np.array_equal(found.size_col, found.max_col - found.min_col + 1)


def test_digis_of_groups_the_labels():
    found = cluster(random_digis(n_digis=2000, seed=3))
    for i in range(len(found)):
        own = found.digis_of[found.digi_offsets[i] : found.digi_offsets[i + 1]]
        assert np.array_equal(own, np.flatnonzero(found.label == i))
    assert found.digi_offsets[-1] == (found.label >= 0).sum() == found.size.sum()


def test_sorted_by_frame_then_first_digi():
    found = cluster(random_digis(n_digis=2000, seed=4))
    first = found.digis_of[found.digi_offsets[:-1]]
    assert (np.diff(first) > 0).all()
    assert (np.diff(found.frame) >= 0).all()
    assert np.array_equal(found.digis.detid[first], found.digis.detector.detid[found.module])
    assert np.array_equal(found.digis.event[first], found.event)
    assert np.array_equal(found.digis.detector.layer[found.module], found.layer)


def test_diagonal_neighbours_join():
    found = cluster(digis([(5, 5, 50), (6, 6, 50), (7, 5, 50)]))
    assert len(found) == 1
    assert found.size[0] == found.size_row[0] == 3
    assert found.size_col[0] == 2


def test_a_gap_of_one_pixel_separates():
    assert len(cluster(digis([(5, 5, 50), (5, 7, 50), (7, 5, 50), (7, 7, 50)]))) == 4


def test_branches_that_meet_late_join():
    u = [(0, 0, 50), (1, 0, 50), (2, 1, 50), (1, 2, 50), (0, 2, 50)]
    found = cluster(digis(u))
    assert found.size.tolist() == [5]


def test_end_of_a_row_does_not_touch_the_start_of_the_next():
    assert len(cluster(digis([(3, 415, 50), (4, 0, 50)]))) == 2


def test_corners_of_the_module():
    corners = [(0, 0, 50), (0, 415, 50), (159, 0, 50), (159, 415, 50)]
    found = cluster(digis(corners))
    assert found.row.tolist() == [0.5, 0.5, 159.5, 159.5]
    assert found.col.tolist() == [0.5, 415.5, 0.5, 415.5]


def test_adjacent_modules_never_merge():
    ids = [int(phase1_detid(layer=2, ladder=1, module=m)) for m in (1, 2)]
    d = Digis.from_arrays([0, 0], ids, [159, 0], [7, 7], [50, 50], detector="phase1")
    assert len(cluster(d)) == 2


def test_events_never_merge():
    d = Digis.from_arrays(
        [0, 1, 3], [LAYER2] * 3, [4, 5, 5], [7, 7, 8], [50] * 3, detector="phase1"
    )
    found = cluster(d)
    assert found.event.tolist() == [0, 1, 3]


def test_barycentre_weighs_charge_from_pixel_centres():
    found = cluster(digis([(10, 20, 30), (10, 21, 90), (11, 20, 0)]))
    # 4050 e, 12150 e and, for count 0, the 100 e of the floor
    total = 4050 + 12150 + 100
    assert found.charge[0] == total
    assert found.row[0] == pytest.approx(10.5 + 100 / total)
    assert found.col[0] == pytest.approx(20.5 + 12150 / total)


def test_saturated_pixels_count_as_they_are():
    found = cluster(digis([(1, 1, 255), (1, 2, 255)]))
    assert found.charge.tolist() == [2 * 255 * 135.0]
    assert found.col.tolist() == [2.0]


@pytest.mark.parametrize(
    ("detid", "counts", "kept"),
    [
        (LAYER2, [29], False),  # 3915 e, below the cluster threshold of 4000 e
        (LAYER2, [30], True),  # 4050 e
        (LAYER1, [14], False),  # 1890 e, below 2000 e
        (LAYER1, [15], True),  # 2025 e: the first layer asks less
        (LAYER2, [20, 20], True),  # 2700 e each: together they pass
        (LAYER2, [7, 7, 7, 7, 7], False),  # 945 e each: 4725 e, but no seed
        (LAYER2, [7, 7, 7, 7, 8], True),  # 1080 e: a seed
    ],
)
def test_thresholds(detid, counts, kept):
    d = digis([(3, 10 + i, adc) for i, adc in enumerate(counts)], detid=detid)
    found = cluster(d)
    assert len(found) == kept
    assert (found.label == (0 if kept else -1)).all()
    assert cluster(d, thresholds=False).size.tolist() == [len(counts)]


def test_thresholds_are_inclusive():
    detector = DETECTORS["phase1"]
    at = replace(detector, cluster_threshold=np.full(len(detector), 4050.0))
    over = replace(detector, cluster_threshold=np.full(len(detector), 4050.5))
    assert len(cluster(digis([(1, 1, 30)], detector=at))) == 1
    assert len(cluster(digis([(1, 1, 30)], detector=over))) == 0


def test_a_pixel_below_the_channel_threshold_does_not_bridge():
    detector = DETECTORS["phase1"]
    high = replace(detector, channel_threshold=200.0)
    found = cluster(digis([(1, 1, 50), (1, 2, 1), (1, 3, 50)], detector=high))
    assert found.label.tolist() == [0, -1, 1]
    # and with the CMS value of 10 e even a count of 0 bridges, as its 100 e
    assert cluster(digis([(1, 1, 50), (1, 2, 0), (1, 3, 50)])).size.tolist() == [3]


def test_charges_of_negative_calibration_are_raised():
    d = digis([(1, 1, 0), (1, 2, 80)], detector="phase1-run3")
    assert d.electrons[0] < 0
    assert cluster(d).charge[0] == pytest.approx(100 + float(d.electrons[1]))


def test_no_charge_at_all_gives_the_plain_centre():
    d = Digis.from_arrays([0, 0], [7, 7], [1, 2], [1, 1], [0, 0], detector=small_detector())
    found = cluster(d)
    assert (found.charge[0], found.row[0], found.col[0]) == (0.0, 2.0, 1.5)


def test_full_module_is_one_cluster():
    found = cluster(full_module(adc=20))
    assert (found.size[0], found.size_row[0], found.size_col[0]) == (66560, 160, 416)
    assert (found.row[0], found.col[0]) == (pytest.approx(80), pytest.approx(208))


@pytest.mark.parametrize("n_events", [0, 3])
def test_nothing_gives_nothing(n_events):
    found = cluster(Digis.empty("phase1", n_events))
    assert len(found) == 0
    assert found.digi_offsets.tolist() == [0]
    assert len(found.digis_of) == len(found.charge) == 0
    assert "0 clusters" in repr(found)


# -- the rules of CMS, once more ----------------------------------------------------------------
def accretion(d: Digis) -> list[tuple]:
    """Clusters as PixelThresholdClusterizer finds them: a buffer of electrons, seeds, accretion.

    Written from the rules and not from this library: pixels are marked as they are taken, a cluster
    grows from a stack, a seed that is taken starts nothing.
    """
    found = []
    frames, detector = d.frames, d.detector
    for begin, end, module in zip(
        frames.offsets[:-1], frames.offsets[1:], frames.module, strict=True
    ):
        buffer, seeds = {}, []
        for i in range(begin, end):
            charge = max(float(d.electrons[i]), 100.0)
            if charge >= detector.channel_threshold:
                buffer[int(d.row[i]), int(d.col[i])] = charge
                if charge >= detector.seed_threshold:
                    seeds.append((int(d.row[i]), int(d.col[i])))
        for seed in seeds:
            if seed not in buffer:
                continue
            taken, stack = [(seed, buffer.pop(seed))], [seed]
            while stack:
                r, c = stack.pop()
                for near in [(r + i, c + j) for i in (-1, 0, 1) for j in (-1, 0, 1)]:
                    if near in buffer:
                        taken.append((near, buffer.pop(near)))
                        stack.append(near)
            total = sum(q for _, q in taken)
            if total >= detector.cluster_threshold[module]:
                rows, cols = zip(*(place for place, _ in taken), strict=True)
                x = sum(q * (r + 0.5) for (r, _), q in taken) / total
                y = sum(q * (c + 0.5) for (_, c), q in taken) / total
                size = (len(taken), max(rows) - min(rows) + 1, max(cols) - min(cols) + 1)
                found.append((int(begin), *size, round(total, 2), round(x, 6), round(y, 6)))
    return sorted(found)


def as_tuples(found) -> list[tuple]:
    begin = found.digis.frames.offsets[found.frame]
    columns = (begin, found.size, found.size_row, found.size_col)
    whole = zip(*(c.tolist() for c in columns), strict=True)
    rest = zip(found.charge.tolist(), found.row.tolist(), found.col.tolist(), strict=True)
    return sorted(
        (*a, round(q, 2), round(x, 6), round(y, 6))
        for a, (q, x, y) in zip(whole, rest, strict=True)
    )


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(["phase1", "phase1-run3"]),
    density=st.floats(0.02, 0.6),
    faint=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_clusters_are_those_of_accretion_from_seeds(name, density, faint, seed):
    rng = np.random.default_rng(seed)
    hit = np.argwhere(rng.random((4, 14, 16)) < density)
    detid = np.array([LAYER1, LAYER2, LAYER1 + 4, LAYER2 + 4])[hit[:, 0]]
    # counts around the thresholds, or all of them
    adc = rng.integers(0, 40 if faint else 256, len(hit))
    # at the edges of the module and across the borders of its chips
    row, col = hit[:, 1] + 73, (hit[:, 2] + 408) % 416
    d = Digis.from_arrays(np.zeros(len(hit), int), detid, row, col, adc, detector=name, n_events=1)
    assert as_tuples(cluster(d)) == accretion(d)


@pytest.mark.parametrize(
    ("pixels", "sizes"),
    [
        # a chain that touches at corners alone, in both directions
        ([(0, 0, 90), (1, 1, 90), (2, 0, 90), (3, 1, 90), (2, 2, 90)], [5]),
        # a knight's move away is not near
        ([(5, 5, 90), (6, 7, 90), (7, 5, 90)], [1, 1, 1]),
        # a ring around a pixel that was not read out, and one inside of it that touches no one
        ([(r, c, 90) for r in (0, 4) for c in range(5)]
         + [(r, c, 90) for r in (1, 2, 3) for c in (0, 4)] + [(2, 2, 90)], [1, 16]),
        # the seed is at the far end: what is in front of it joins all the same
        ([(0, c, 5) for c in range(4)] + [(0, 4, 90)], [5]),
        # two seeds, one cluster
        ([(0, 0, 90), (0, 1, 5), (0, 2, 90)], [3]),
        # first and last row and column of the module, and not their neighbours on the other side
        ([(0, 0, 90), (0, 415, 90), (159, 0, 90), (159, 415, 90), (1, 1, 90)], [1, 1, 1, 2]),
        # across the border of two chips, where pixels are of double size
        ([(79, 51, 90), (80, 52, 90)], [2]),
    ],
)  # fmt: skip
def test_shapes_by_hand(pixels, sizes):
    found = cluster(digis(pixels))
    assert sorted(found.size.tolist()) == sizes
    assert as_tuples(found) == accretion(digis(pixels))


def test_a_group_without_a_seed_is_no_cluster_however_large_its_charge():
    """Fifty pixels of 945 e are 47 ke, and none of them reaches 1000 e."""
    assert len(cluster(digis([(r, c, 7) for r in range(5) for c in range(10)]))) == 0
    assert (
        len(cluster(digis([(r, c, 7 + (r == c == 0)) for r in range(5) for c in range(10)]))) == 1
    )


def test_charge_below_100_electrons_counts_as_100():
    """Run 3: 0 counts are -2.4 ke of vcal and less; in the linear response 0 counts are 0 e."""
    for name in ("phase1", "phase1-run3"):
        d = digis([(3, 3, 0), (3, 4, 200), (4, 4, 0)], detector=name)
        found = cluster(d)
        assert found.size.tolist() == [3]
        assert found.charge[0] == pytest.approx(200 + float(d.electrons[1]))


def test_layer_1_has_a_gain_and_a_threshold_of_its_own_in_run_3():
    """50 e a vcal and 2000 e against 47 and 4000."""
    detector = DETECTORS["phase1-run3"]
    adc = int(np.flatnonzero(detector.electrons_table[0] >= 2000)[0])
    assert len(cluster(digis([(3, 3, adc)], detid=LAYER1, detector="phase1-run3"))) == 1
    assert len(cluster(digis([(3, 3, adc - 1)], detid=LAYER1, detector="phase1-run3"))) == 0
    assert len(cluster(digis([(3, 3, adc)], detid=LAYER2, detector="phase1-run3"))) == 0
    vcal = {}
    for detid, gain, offset in ((LAYER1, 50, -670), (LAYER2, 47, -60)):
        charge = cluster(digis([(3, 3, 100)], detid=detid, detector="phase1-run3")).charge[0]
        vcal[detid] = (charge - offset) / gain
    assert vcal[LAYER1] == pytest.approx(vcal[LAYER2], rel=1e-5)
    assert 148 + 203 * np.tanh(0.00171 * vcal[LAYER1] - 0.711) == pytest.approx(100, rel=1e-5)


def test_saturated_pixels_join_and_seed_like_others():
    found = cluster(digis([(3, 3, 255), (3, 4, 255), (4, 5, 255)]))
    assert found.size.tolist() == [3]
    assert found.charge.tolist() == [3 * 255 * 135.0]
    # in the response of Run 3, which ends at 255, larger counts are read as that
    a, b = (cluster(digis([(3, 3, adc)], detector="phase1-run3")).charge[0] for adc in (255, 1023))
    assert a == b


@pytest.mark.parametrize("seed", range(4))
def test_clusters_do_not_depend_on_the_order_of_digis(seed):
    d = random_digis(n_digis=1500, seed=seed)
    order = np.random.default_rng(seed).permutation(d.n_digis)
    shuffled = Digis.from_arrays(
        *(a[order] for a in (d.event, d.detid, d.row, d.col, d.adc)), detector="phase1",
        n_events=len(d),
    )  # fmt: skip
    assert as_tuples(cluster(shuffled)) == as_tuples(cluster(d))


@pytest.mark.parametrize("seed", range(4))
def test_a_mirrored_module_has_mirrored_clusters(seed):
    """Clusters grow in no direction: what is first in one order is last in the other."""
    d = random_digis(n_digis=1500, seed=seed)
    mirrored = Digis.from_arrays(
        d.event, d.detid, 159 - d.row.astype(int), 415 - d.col.astype(int), d.adc,
        detector="phase1", n_events=len(d),
    )  # fmt: skip
    one, other = cluster(d), cluster(mirrored)

    def measures(found, turn):
        row, col = (160 - found.row, 416 - found.col) if turn else (found.row, found.col)
        columns = (found.event, found.module, found.size, found.charge, row, col)
        rows = zip(*(c.tolist() for c in columns), strict=True)
        return sorted((*whole, round(q, 3), round(x, 6), round(y, 6)) for *whole, q, x, y in rows)

    assert measures(one, turn=False) == measures(other, turn=True)


# -- centres in space ---------------------------------------------------------------------------
def test_local_centres_weigh_pixels_where_they_are():
    """Rows 79 and 80 are 200 um, columns 51 and 52 are 300 um: by hand from the matrix' middle."""
    found = cluster(digis([(78, 60, 30), (79, 60, 90)]))
    # centres at -250 um and -100 um along rows
    assert found.local[0, 0] == pytest.approx((30 * -250 + 90 * -100) / 120)
    assert found.row[0] == pytest.approx(79.25)
    single = cluster(digis([(80, 52, 60)]))
    assert single.local[0, 0] == pytest.approx(100)
    # 52 columns of a chip are 50 of 150 um and 2 of 300 um: 8.1 mm; three chips before the middle
    assert single.local[0, 1] == pytest.approx(-3 * 8100 + 150)


def test_local_centres_of_single_pixels_are_those_of_the_sensor():
    sensor = DETECTORS["phase1"].sensors[0]
    row, col = np.arange(0, 160, 3), np.arange(0, 416, 8)[:54]
    row = row[: len(col)]
    d = digis([(int(r), int(c), 60) for r, c in zip(row, col, strict=True)])
    found = cluster(d)
    order = np.argsort(found.min_row)
    expected = np.stack(sensor.local(row + 0.5, col + 0.5), axis=1)
    np.testing.assert_allclose(found.local[order], expected, atol=1e-9)


def test_local_centres_without_charge_and_without_clusters():
    d = Digis.from_arrays([0, 0], [7, 7], [1, 2], [1, 1], [0, 0], detector=small_detector())
    sensor = d.detector.sensors[d.detector.sensor[d.detector.index(np.array([7]))[0]]]
    expected = np.stack(sensor.local(np.array([2.0]), np.array([1.5])), axis=1)
    np.testing.assert_allclose(cluster(d).local, expected)
    assert cluster(Digis.empty("phase1", 2)).local.shape == (0, 2)
