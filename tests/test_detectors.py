"""Detectors: ids both ways, shapes, positions, response; a user's own table."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixlab.detectors import DETECTORS, Detector, Sensor, get_detector, phase1_detid
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
