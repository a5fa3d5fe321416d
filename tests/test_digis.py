"""`Digis`: checked on the way in, sorted, frozen, sliceable."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixlab.detectors import DETECTORS
from pixlab.digis import EVENT_ID, Digis
from pixlab.errors import PixlabError, UnknownModuleError
from tests.helpers import random_digis, small_detector

FIRST = int(DETECTORS["phase1"].detid[0])


def one(**changes):
    columns = {"event": [0], "detid": [FIRST], "row": [5], "col": [7], "adc": [100]} | changes
    return Digis.from_arrays(**columns, detector="phase1")


@given(st.integers(0, 2**32), st.integers(0, 4))
def test_any_order_of_rows_gives_the_same_digis(seed, n_events):
    digis = random_digis(n_events=n_events, n_digis=60 if n_events else 0, seed=seed % 1000)
    shuffled = np.random.default_rng(seed).permutation(digis.n_digis)
    again = Digis.from_arrays(
        *(getattr(digis, k)[shuffled] for k in ("event", "detid", "row", "col", "adc")),
        detector="phase1",
        n_events=n_events,
    )
    assert again == digis
    key = np.stack([again.event, again.detid, again.row, again.col])
    assert (np.lexsort(key[::-1]) == np.arange(again.n_digis)).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"row": [160]}, "row 160 is outside 0 to 159"),
        ({"col": [416]}, "col 416 is outside 0 to 415"),
        ({"row": [-1]}, "row -1 is outside"),
        ({"adc": [1024]}, "adc 1024 is outside 0 to 1023"),
        ({"adc": [0.5]}, "column 'adc' holds float64"),
        ({"event": [-1]}, "event -1 is negative"),
        ({"col": [7, 8]}, "column 'col' has 2 entries"),
        ({"row": [[5]]}, "2 dimensions"),
    ],
)
def test_bad_columns_are_refused_in_one_line(changes, message):
    with pytest.raises(PixlabError, match=message) as caught:
        one(**changes)
    assert "\n" not in str(caught.value)


def test_an_unknown_id_is_named():
    with pytest.raises(UnknownModuleError, match="no module with id 12345"):
        one(detid=[12345])


def test_duplicates_are_refused_or_summed_with_saturation():
    twice = {"event": [0, 0], "detid": [FIRST] * 2, "row": [5, 5], "col": [7, 7], "adc": [600, 700]}
    with pytest.raises(PixlabError, match=f"row 5, col 7 of module {FIRST} occurs twice"):
        Digis.from_arrays(**twice, detector="phase1")
    summed = Digis.from_arrays(**twice, detector="phase1", duplicates="sum", flag=[False, True])
    assert summed.adc.tolist() == [1023]
    assert summed.flag.tolist() == [True]


def test_events_can_be_chosen_in_every_way():
    digis = random_digis(n_events=6)
    assert Digis.concatenate([digis[i] for i in range(6)]) == digis
    assert digis[1:4] == Digis.concatenate([digis[1], digis[2], digis[3]])
    assert digis[np.array([0, 1, 0, 0, 1, 0], bool)] == Digis.concatenate([digis[1], digis[4]])
    assert digis[[4, 1]] == Digis.concatenate([digis[4], digis[1]])
    assert digis[-1] == digis[5]
    assert len(digis[6:]) == 0
    with pytest.raises(IndexError):
        digis[6]
    with pytest.raises(PixlabError, match="nothing to concatenate"):
        Digis.concatenate([])
    with pytest.raises(PixlabError, match="different detectors"):
        Digis.concatenate([digis, Digis.empty(small_detector())])


def test_select_keeps_events_and_layers_apart():
    digis = random_digis(n_modules=200)
    layers = [digis.select(layer=layer) for layer in digis.detector.layers]
    assert sum(part.n_digis for part in layers) == digis.n_digis
    assert all(len(part) == len(digis) for part in layers)
    detid = int(digis.detid[0])
    assert set(digis.select(detid=detid).detid) == {detid}
    with pytest.raises(PixlabError, match="no layer 'TIB 1'"):
        digis.select(layer="TIB 1")
    with pytest.raises(UnknownModuleError):
        digis.select(detid=1)


def test_an_image_masks_what_is_not_hit():
    image = one(adc=[0]).image(0, FIRST)
    assert image.shape == (160, 416)
    assert image.count() == 1
    assert image[5, 7] == 0


def test_frames_are_the_modules_of_each_event():
    digis = random_digis(n_events=4)
    frames = digis.frames
    assert (np.repeat(frames.event, np.diff(frames.offsets)) == digis.event).all()
    assert (digis.detector.detid[digis.module] == digis.detid).all()


def test_arrays_are_frozen():
    digis = random_digis()
    with pytest.raises(ValueError, match="read-only"):
        digis.adc[0] = 3
    with pytest.raises(AttributeError):
        digis.adc = digis.adc


def test_other_containers_hold_the_same():
    digis = random_digis(n_events=5)
    assert digis.to_awkward()["adc"].to_list()[2] == digis[2].adc.tolist()
    frame = digis.to_pandas()
    assert (frame["event"].to_numpy() == digis.event).all()
    assert "phase1" in digis._repr_html_()


def test_event_ids_travel_with_their_events():
    ids = np.array([(1, 2, 3), (1, 2, 2**40)], EVENT_ID)
    digis = Digis.from_arrays(
        [1], [FIRST], [0], [0], [1], detector="phase1", n_events=2, event_id=ids
    )
    assert digis[1].event_id["event"].tolist() == [2**40]
    with pytest.raises(PixlabError, match="2 event ids for 3 events"):
        Digis.from_arrays([1], [FIRST], [0], [0], [1], detector="phase1", n_events=3, event_id=ids)
