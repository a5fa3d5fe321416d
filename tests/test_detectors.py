"""Detectors: ids both ways, shapes, positions, response; a user's own table."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixlab.detectors import DETECTORS, Detector, Sensor, get_detector, phase1_detid
from pixlab.detectors.acts import from_geometry_id, pack, to_geometry_id, unpack
from pixlab.detectors.cms import cms_detid, cms_fields
from pixlab.detectors.generic import VALUE_PER_COUNT
from pixlab.errors import FormatError, PixlabError, UnknownModuleError
from tests.helpers import small_detector


@pytest.fixture(params=[*DETECTORS, "table"])
def detector(request):
    return small_detector() if request.param == "table" else DETECTORS[request.param]


def test_the_contract_of_a_detector(detector):
    m = len(detector)
    assert (np.diff(detector.detid.astype(np.int64)) > 0).all()
    assert (detector.index(detector.detid) == np.arange(m)).all()
    assert set(detector.layer) == set(range(len(detector.layers)))
    assert sum(detector.in_layer(layer).sum() for layer in detector.layers) == m
    assert detector.electrons(0, np.arange(m)).shape == (m,)
    assert (np.diff(detector.electrons_table[:, : min(detector.adc_max, 255) + 1]) >= 0).all()
    for axis in (detector.axis_row, detector.axis_col):
        assert np.allclose(np.linalg.norm(axis, axis=1), 1)
    assert np.allclose((detector.axis_row * detector.axis_col).sum(axis=1), 0)
    middle = detector.positions(np.arange(m), detector.rows / 2, detector.cols / 2)
    assert np.allclose(middle, detector.position)
    assert (detector.pitch > 0).all()
    assert (detector.rows > 0).all()
    for sensor in detector.sensors:  # edges of double-size pixels are in the positions
        row, col = sensor.local(np.arange(sensor.rows + 1.0), np.arange(sensor.cols + 1.0))
        assert np.allclose(np.diff(row), sensor.row_sizes)
        assert np.allclose(np.diff(col), sensor.col_sizes)
    assert set(np.unique(detector.sensor)) == set(range(len(detector.sensors)))
    assert set(np.unique(detector.side)) <= {-1, 0, 1}
    in_disk = detector.side != 0
    assert (np.sign(detector.position[in_disk, 2]) == detector.side[in_disk]).all()
    again = Detector.from_json(json.loads(json.dumps(detector.to_json())))
    assert again == detector
    assert hash(again) == hash(detector)
    with pytest.raises(UnknownModuleError, match="id 2147483648"):
        detector.index([2147483648])


def test_phase1_is_complete():
    detector = DETECTORS["phase1"]
    assert len(detector) == 1856
    per_layer = {name: int(detector.in_layer(name).sum()) for name in detector.layers}
    assert per_layer == {
        "BPIX 1": 96, "BPIX 2": 224, "BPIX 3": 352, "BPIX 4": 512,
        "FPIX 1": 224, "FPIX 2": 224, "FPIX 3": 224,
    }  # fmt: skip
    assert detector.detid[0] == 303042564
    assert detector.detid[1184] == 344200196
    assert set(detector.rows) == {160}
    assert set(detector.cols) == {416}
    assert set(map(tuple, detector.pitch.tolist())) == {(100.0, 150.0)}


@given(st.integers(1, 4), st.integers(1, 64), st.integers(1, 8))
def test_barrel_ids_decode_to_what_they_were_made_of(layer, ladder, module):
    detector = DETECTORS["phase1"]
    detid = phase1_detid(layer=layer, ladder=ladder, module=module)
    assert int(detid) >> 28 == 1
    assert (int(detid) >> 25) & 7 == 1
    if ladder <= (12, 28, 44, 64)[layer - 1]:
        i = int(detector.index(detid))
        assert detector.layers[detector.layer[i]] == f"BPIX {layer}"
        assert (detector.ladder[i], detector.module[i], detector.side[i]) == (ladder, module, 0)


@given(st.sampled_from([1, 2]), st.integers(1, 3), st.integers(1, 56), st.integers(1, 2))
def test_forward_ids_decode_to_what_they_were_made_of(side, disk, blade, panel):
    detector = DETECTORS["phase1"]
    i = int(detector.index(phase1_detid(side=side, disk=disk, blade=blade, panel=panel)))
    assert detector.layers[detector.layer[i]] == f"FPIX {disk}"
    assert (detector.ladder[i], detector.module[i]) == (blade, panel)
    assert detector.side[i] == (-1 if side == 1 else 1)
    assert np.sign(detector.position[i, 2]) == detector.side[i]


def test_run3_response_at_the_points_of_the_reference():
    # SiPixelDigitizerAlgorithm.cc: 1600 e -> 31, 10 ke -> 80, 40 ke -> 255 (layers 2 to 4)
    run3 = DETECTORS["phase1-run3"]
    barrel2 = np.flatnonzero(run3.in_layer("BPIX 2"))[0]
    for adc, electrons in ((31, 1600), (80, 10_000)):
        low, high = run3.electrons([adc - 1, adc + 1], [barrel2, barrel2])
        assert low < electrons < high
    assert run3.electrons(255, barrel2) < 40_000
    assert run3.electrons(1023, barrel2) == run3.electrons(255, barrel2)
    assert DETECTORS["phase1"].electrons(100, barrel2) == 13_500


def test_double_size_pixels_are_where_chips_meet():
    sensor = Sensor(160, 416, 100.0, 150.0, 80, 52, double_edges=True)
    assert np.flatnonzero(sensor.row_sizes > 100).tolist() == [79, 80]
    assert set(np.flatnonzero(sensor.col_sizes > 150) % 52) == {0, 51}
    assert sensor.row_sizes.sum() == 16_200
    assert sensor.col_sizes.sum() == 64_800
    row, col = sensor.local(np.array([0.0, 80.0, 160.0]), np.array([0.0, 208.0, 416.0]))
    assert row.tolist() == [-8100, 0, 8100]
    assert col.tolist() == [-32400, 0, 32400]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"detid": [1], "rows": [2]}, "no column 'cols'"),
        ({"detid": [1, 2], "rows": [2], "cols": [2]}, "differ in length"),
        ({"detid": [1, 1], "rows": [2, 2], "cols": [2, 2]}, "module id 1 twice"),
        ({"detid": [1], "rows": [0], "cols": [2]}, "must be 1 to"),
        ({"detid": [2**32], "rows": [1], "cols": [2]}, "does not fit 32 bits"),
        ({"detid": [1], "rows": ["x"], "cols": [2]}, "bad value"),
        ({"detid": [1], "rows": [1], "cols": [2], "z": [float("nan")]}, "no number"),
        ({"detid": [1], "rows": [16384], "cols": [16384]}, "pixels"),
    ],
)
def test_a_bad_table_is_refused(table, message):
    with pytest.raises(PixlabError, match=message):
        Detector.from_table(table)


def test_a_table_may_be_a_dataframe():
    frame = pd.DataFrame({"detid": [2, 1], "rows": [3, 3], "cols": [4, 4], "layer": ["b", "a"]})
    detector = Detector.from_table(frame, electrons_per_adc=135, adc_max=255)
    assert detector.layers == ("a", "b")
    assert detector.electrons(10, 0) == 1350


@pytest.mark.parametrize("described", [None, {}, {"name": "no-such"}, {"name": "x", "table": {}},
                                       {"name": "x", "table": {"adc": [1, 2, 3]}}])  # fmt: skip
def test_a_damaged_description_is_refused(described):
    with pytest.raises((FormatError, PixlabError)):
        Detector.from_json(described)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(PixlabError, match="phase1"):
        get_detector("phase9")


# -- ids -----------------------------------------------------------------------------------------
NAMED = list(DETECTORS)
# which names share their ids: the same modules with another response or other pixels
FAMILIES = [
    ["phase1", "phase1-run3", "phase1-uniform"],
    ["phase0"],
    ["phase2", "phase2-premix", "phase2-25x100", "phase2-25x100-premix"],
    ["trackml", "acts-generic"],
    ["odd"],
    ["fei4"],
    ["timepix"],
]


def test_families_are_all_detectors():
    assert [name for family in FAMILIES for name in family] == NAMED
    assert NAMED[0] == "phase1"  # tried first when a file does not say


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f[0])
def test_ids_lead_to_the_first_name_of_their_family(family):
    for name in family:
        ids = DETECTORS[name].detid
        knows_all = [other for other in NAMED if np.isin(ids, DETECTORS[other].detid).all()]
        assert knows_all == family


def test_ids_of_different_families_are_apart():
    for family in FAMILIES:
        for other in FAMILIES:
            shared = np.isin(DETECTORS[family[0]].detid, DETECTORS[other[0]].detid).sum()
            assert (shared > 0) == (
                family == other or {family[0], other[0]} == {"phase1", "phase2"}
            )


@given(st.integers(0, 100_000))
def test_small_numbers_are_no_ids(number):
    for name in NAMED:
        assert number not in DETECTORS[name].detid


CMS = [("phase0", "phase0"), ("phase1", "phase1"), ("phase2", "phase1")]


@pytest.mark.parametrize(("name", "scheme"), CMS)
def test_cms_ids_say_what_the_table_says(name, scheme):
    detector = DETECTORS[name]
    for i in range(0, len(detector), 7):
        fields = cms_fields(scheme, detector.detid[i])
        assert int(cms_detid(scheme, **fields)) == detector.detid[i]
        side = {None: 0, 1: -1, 2: 1}[fields.get("side")]
        assert detector.side[i] == side
        assert detector.ladder[i] == fields["ladder" if side == 0 else "blade"]
        number = fields["layer"] if side == 0 else fields["disk"]
        disks = {"phase0": 2, "phase1": 3, "phase2": 12}[name]
        assert detector.layer[i] == number - 1 + (side != 0) * (len(detector.layers) - disks)


CMS_FIELDS = {
    "phase0": ({"layer": 15, "ladder": 255, "module": 63},
               {"side": 3, "disk": 15, "blade": 63, "panel": 3, "module": 63}),
    "phase1": ({"layer": 15, "ladder": 255, "module": 1023},
               {"side": 3, "disk": 15, "blade": 63, "panel": 3, "module": 255}),
}  # fmt: skip


@given(st.sampled_from(["phase0", "phase1"]), st.sampled_from([0, 1]), st.data())
def test_cms_ids_decode_to_what_they_were_made_of(scheme, part, data):
    largest = CMS_FIELDS[scheme][part]
    fields = {k: data.draw(st.integers(0, v), label=k) for k, v in largest.items()}
    assert cms_fields(scheme, int(cms_detid(scheme, **fields))) == fields
    too_large = data.draw(st.sampled_from(sorted(largest)))
    with pytest.raises(PixlabError, match=f"{too_large} does not fit"):
        cms_detid(scheme, **fields | {too_large: largest[too_large] + 1})


@pytest.mark.parametrize("detid", [0, 7, 1 << 28, 3 << 25, 303042564 | 1, 436207616, 4294967295])
def test_other_ids_are_no_cms_pixel_ids(detid):
    with pytest.raises(PixlabError, match=f"id {detid} is no phase1 id"):
        cms_fields("phase1", detid)


def test_fields_of_no_part_are_refused():
    with pytest.raises(PixlabError, match="give all of layer, ladder, module"):
        cms_detid("phase0", layer=1)


PLACES = st.tuples(st.integers(0, 255), st.integers(0, 255), st.integers(1, 65535))


@given(st.lists(PLACES, max_size=5))
def test_acts_ids_decode_to_what_they_were_made_of(places):
    volume, layer, module = np.array(places, np.int64).reshape(-1, 3).T
    ids = pack(volume, layer, module)
    assert ids.dtype == np.uint32
    back = unpack(ids)
    assert (back.volume == volume).all()
    assert (back.layer == layer).all()
    assert (back.module == module).all()
    assert (from_geometry_id(to_geometry_id(ids)) == ids).all()


def test_geometry_ids_of_an_acts_file():
    # the first cells of a file made with ACTS: volume 7, layer 2, modules 1 and 2
    ids = from_geometry_id(np.array([504403295704449280, 504403295704449536]))
    assert ids.tolist() == [7 << 24 | 2 << 16 | 1, 7 << 24 | 2 << 16 | 2]
    assert DETECTORS["acts-generic"].index(ids).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (504403295704449280 | 1, "is not that of a module"),  # extra bits
        (504403295704449280 & ~0xFFFFF00, "is not that of a module"),  # a layer's own surface
        (504403295704449280 | 1 << 48, "is not that of a module"),  # a boundary
        (7 << 56 | 300 << 36 | 1 << 8, "layer 300 does not fit"),
        (7 << 56 | 2 << 36 | 70000 << 8, "module 70000 does not fit"),
        (5.0e17, "integers are needed"),
    ],
)
def test_geometry_ids_of_something_else_are_refused(bad, message):
    with pytest.raises(PixlabError, match=message):
        from_geometry_id(np.array([bad]))


# -- what single detectors are known to be ---------------------------------------------------------
def per_layer(name: str) -> list[int]:
    return [int(DETECTORS[name].in_layer(layer).sum()) for layer in DETECTORS[name].layers]


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("phase0", [160, 256, 352, 336, 336]),
        ("phase2", [108, 216, 180, 252, *[216] * 8, *[352] * 4]),
        ("trackml", [224, 448, 728, 1092, *[216] * 7]),
        ("odd", [224, 448, 728, 1092, *[120] * 7]),
        ("fei4", [1]),
        ("timepix", [1]),
    ],
)
def test_layers_have_their_modules(name, counts):
    assert per_layer(name) == counts


def test_phase0_ids_and_shapes():
    # lines of CalibTracker/SiPixelESProducers/data/PixelSkimmedGeometry.txt: id, columns, rows
    lines = """302055684 416 160, 302056708 416 80, 302056992 416 80, 302057220 416 160,
        302059268 416 80, 302060576 416 160, 302123012 416 80, 302127392 416 80,
        302189316 416 80, 302195232 416 80, 302197792 416 160,
        352388356 104 80, 352388360 156 160, 352388364 208 160, 352388368 260 80,
        352388612 156 160, 352388616 208 160, 352388620 260 160, 352477708 260 160,
        343999748 104 80, 344089096 208 160, 344089100 260 160"""
    phase0 = DETECTORS["phase0"]
    for line in lines.split(","):
        detid, cols, rows = map(int, line.split())
        i = int(phase0.index(detid))
        assert (phase0.cols[i], phase0.rows[i]) == (cols, rows)
    assert (phase0.detid[0], phase0.detid[-1]) == (302055684, 352477708)
    assert int((phase0.rows == 80).sum()) == 96 + 4 * 24 * 2


def test_phase0_half_ladders_share_a_place():
    phase0 = DETECTORS["phase0"]
    for layer, quarter in (("BPIX 1", 5), ("BPIX 2", 8), ("BPIX 3", 11)):
        ours = phase0.in_layer(layer)
        for first in (quarter, 3 * quarter):
            x, y, _ = phase0.position[ours & np.isin(phase0.ladder, [first, first + 1])].T
            assert abs(x.mean()) < 1e-9
            assert np.allclose(np.abs(x), 0.4)
            assert (np.sign(y) == (1 if first == quarter else -1)).all()


def test_phase0_disks_have_no_wide_gaps():
    """The plaquettes of one panel look through the gaps of the other, from 6 to 14 cm."""
    phase0 = DETECTORS["phase0"]
    blade = phase0.in_layer("FPIX 1") & (phase0.side == 1) & (phase0.ladder == 1)
    half = np.array([s.row_sizes.sum() / 2e4 for s in phase0.sensors])[phase0.sensor[blade]]
    middle = (phase0.position[blade] * phase0.axis_row[blade]).sum(axis=1)
    reach = np.sort(np.stack([middle - half, middle + half], axis=1), axis=0)
    assert (reach[1:, 0] - reach[:-1, 1] < 0.1).all()
    assert reach[0, 0] < 6
    assert reach[-1, 1] > 14


def test_phase2_time_over_threshold_at_the_points_of_the_reference():
    # PixelThresholdClusterizer.cc with the numbers of its cfi
    tot = DETECTORS["phase2"].electrons_table[0]
    assert tot[[1, 2, 7, 8, 9, 15]].tolist() == [1750, 3250, 10750, 14500, 20500, 56500]


@given(st.floats(1000, 50000))
def test_phase2_counts_stand_for_the_middle_of_their_charges(electrons):
    # Phase2TrackerDigitizerAlgorithm.cc: threshold 1000, 1500 a step, slope 3, full 15
    t = int((electrons - 1000) // 1500) + 1
    if t > 8:
        t = (t - 8) // 4 + 8
    t = min(t, 15)
    width = 1500 if t < 8 else 6000
    if t < 15:
        assert abs(DETECTORS["phase2"].electrons(t, 0) - electrons) <= width / 2


def test_phase2_premix_is_linear():
    assert DETECTORS["phase2-premix"].electrons([1, 255], [0, 0]).tolist() == [135, 34425]
    assert DETECTORS["phase2-premix"].adc_max == 255


def test_phase2_pixels_of_both_kinds_cover_the_same_sensor():
    small, long = DETECTORS["phase2"], DETECTORS["phase2-25x100"]
    assert (small.detid == long.detid).all()
    area = [d.rows * d.pitch[:, 0] * d.cols * d.pitch[:, 1] for d in (small, long)]
    assert np.allclose(*area, rtol=0.002)  # 676 x 50 um against 1354 x 25 um


def test_phase2_layers_are_closed_in_azimuth():
    phase2 = DETECTORS["phase2"]
    for layer in phase2.layers[:4]:
        ladder = phase2.in_layer(layer) & (phase2.module == 1)
        width = phase2.rows[ladder] * phase2.pitch[ladder, 0] / 2e4
        ends = [
            phase2.position[ladder] + s * width[:, None] * phase2.axis_row[ladder] for s in (-1, 1)
        ]
        low, high = np.unwrap([np.arctan2(e[:, 1], e[:, 0]) for e in ends], axis=0)
        order = np.argsort(low)
        follows = np.append(low[order][1:], low[order][0] + 2 * np.pi)
        assert (high[order] > follows).all()


def test_trackml_cells_are_where_the_hits_are():
    """Cells and hits of the TrackML data set (gnn-tracking/gnn_tracking, MIT): ch0, ch1, x, y, z."""
    trackml = DETECTORS["trackml"]
    hits = [
        ((7, 2, 1), (274, 839), (-76.566, -11.3673, -1502.5)),
        ((7, 2, 1), (121, 1), (-30.1556, -0.067776, -1502.5)),
    ]
    for place, (ch0, ch1), mm in hits:
        module = trackml.index(pack(*place))
        found = trackml.positions(module, ch0 + 0.5, ch1 + 0.5)[0]
        assert np.abs(found * 10 - mm).max() < 0.06  # a pixel
    assert round(0.295811 / VALUE_PER_COUNT) <= trackml.adc_max


def test_chips():
    fei4, timepix = DETECTORS["fei4"], DETECTORS["timepix"]
    assert (fei4.rows[0], fei4.cols[0], *fei4.pitch[0]) == (336, 80, 50, 250)
    assert (timepix.rows[0], timepix.cols[0], *timepix.pitch[0]) == (256, 256, 55, 55)
    assert (fei4.adc_max, timepix.adc_max) == (15, 11810)
    assert np.isclose(fei4.electrons(5, 0), 280 * 57)


# -- tables from files -----------------------------------------------------------------------------
TABLE = {
    "detid": [5, 9], "rows": [160, 80], "cols": [104, 52], "layer": ["a", "b"],
    "pitch_row": [100.0, 100.0], "pitch_col": [150.0, 150.0], "z": [1.0, 2.0],
    "chip_rows": [80, 80], "chip_cols": [52, 52], "double_edges": [1, 0],
    "row_x": [0.0, 1.0], "row_y": [1.0, 0.0], "row_z": [0.0, 0.0],
    "col_x": [0.0, 0.0], "col_y": [0.0, 0.0], "col_z": [2.0, 1.0],
    "cluster_threshold": [4000.0, 2000.0],
}  # fmt: skip


def write_table(path, table):
    frame = pd.DataFrame(table)
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    elif path.suffix == ".parquet":
        frame.to_parquet(path)
    elif path.stem == "rows":
        path.write_text(json.dumps(frame.to_dict("records")))
    elif path.stem == "described":
        path.write_text(json.dumps(Detector.from_table(table, name="described").to_json()))
    else:
        path.write_text(json.dumps(table))
    return path


@pytest.mark.parametrize(
    "name", ["a.csv", "a.parquet", "columns.json", "rows.json", "described.json"]
)
def test_a_table_may_be_a_file(tmp_path, name):
    path = write_table(tmp_path / name, TABLE)
    found = Detector.from_file(path)
    assert found == Detector.from_table(TABLE)
    assert found.name == path.stem
    assert Detector.from_file(path, name="mine").name == "mine"
    assert found.layers == ("a", "b")
    assert found.sensors[0] == Sensor(160, 104, 100.0, 150.0, 80, 52, double_edges=True)
    assert found.axis_col.tolist() == [[0, 0, 1], [0, 0, 1]]
    assert found.axis_row.tolist() == [[0, 1, 0], [1, 0, 0]]
    assert found.cluster_threshold.tolist() == [4000, 2000]
    again = Detector.from_json(json.loads(json.dumps(found.to_json())))
    assert again.sensors == found.sensors
    assert np.array_equal(again.axis_row, found.axis_row)


def test_the_response_of_a_file_is_given_with_it(tmp_path):
    path = write_table(tmp_path / "a.csv", TABLE)
    found = Detector.from_file(path, adc_max=15, electrons_per_adc=1500, electrons_offset=1000)
    assert found.electrons(15, 0) == 23_500
    assert found.adc_max == 15


def test_the_response_may_be_in_the_table(tmp_path):
    table = TABLE | {"electrons_per_adc": [100, 50], "electrons_offset": [0, 7]}
    table |= {"adc_max": [15, 15], "seed_threshold": [900, 900], "channel_threshold": [10, 10]}
    for name in ("a.csv", "described.json", "columns.json"):
        found = Detector.from_file(write_table(tmp_path / name, table))
        assert found.electrons([2, 2], [0, 1]).tolist() == [200, 107]
        assert (found.adc_max, found.seed_threshold, found.channel_threshold) == (15, 900, 10)
        assert found == Detector.from_json(json.loads(json.dumps(found.to_json())))
        assert get_detector(str(tmp_path / name)) == found  # as on the command line
    assert found != Detector.from_table(TABLE, adc_max=15)
    with pytest.raises(PixlabError, match=r"'adc_max' of detector .* is not the same"):
        Detector.from_table(TABLE | {"adc_max": [15, 16]})
    with pytest.raises(PixlabError, match=r"adc_max of detector .* must be"):
        Detector.from_table(TABLE | {"adc_max": [1.5, 1.5]})
    many = {"detid": range(300), "rows": [1] * 300, "cols": [1] * 300}
    with pytest.raises(PixlabError, match="more than 255 different responses"):
        Detector.from_table(many | {"electrons_per_adc": range(300)})


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", "", "use one of .json, .csv, .parquet"),
        ("a.csv", "", "no column 'detid'"),
        ("a.csv", "detid,rows,cols\n1,2", "row 2 has 2 values, not 3"),
        ("a.csv", "detid,rows,cols\n1,2,x", "bad value"),
        ("a.csv", b"\xff\xfe\x00", "is no CSV"),
        ("a.json", "{", "is no JSON"),
        ("a.json", "3", "holds no table"),
        ("a.json", '{"detid": 3}', "holds no table"),
        ("a.json", '[{"detid": 1, "rows": 2, "cols": 2}, {"detid": 2}]', "row 1 has no 'rows'"),
        ("a.json", '{"name": "x", "table": {"adc": 3}}', "damaged"),
        ("a.parquet", "nothing", "is no parquet table"),
    ],
)
def test_a_bad_file_is_refused(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(PixlabError, match=message):
        Detector.from_file(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(PixlabError, match=r"cannot read .*no\.csv"):
        Detector.from_file(tmp_path / "no.csv")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"row_x": [1.0, 1.0], "row_y": [1.0, 0.0], "col_x": [1.0, 0.0]}, "not at right angles"),
        ({"row_y": [0.0, 0.0], "row_x": [0.0, 1.0]}, "has no direction"),
        ({"chip_cols": [0, 0]}, "double_edges without a chip size"),
        ({"chip_cols": [0.5, 1]}, "whole numbers"),
        ({"ladder": [40000, 1]}, "'ladder' of detector 'generic' has a value out of range"),
    ],
)
def test_bad_axes_and_chips_are_refused(change, message):
    with pytest.raises(PixlabError, match=message):
        Detector.from_table(TABLE | change)


def test_half_of_the_axes_is_refused():
    table = {k: v for k, v in TABLE.items() if k != "col_z"}
    with pytest.raises(PixlabError, match="not all axes"):
        Detector.from_table(table)
