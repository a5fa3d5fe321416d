"""Digis from awkward arrays and pandas tables."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings

from pixlab.digis import Digis
from pixlab.errors import PixlabError
from tests.helpers import random_digis
from tests.io_cases import digis


@settings(max_examples=40, deadline=None, derandomize=True)
@given(events=digis())
def test_pandas_and_back(events: Digis) -> None:
    table = events.to_pandas()
    n = len(events)
    back = Digis.from_pandas(table, detector=events.detector, n_events=n)
    assert back == events
    assert (back.flag is None) == (events.flag is None)
    shuffled = table.sample(frac=1, random_state=1).rename(columns={"detid": "detId"})
    indexed = shuffled.set_index(["event", "row"])
    assert Digis.from_pandas(indexed, detector=events.detector, n_events=n) == events


@settings(max_examples=40, deadline=None, derandomize=True)
@given(events=digis())
def test_awkward_and_back(events: Digis) -> None:
    array = events.to_awkward()
    assert Digis.from_awkward(array, detector=events.detector) == events
    columns = ak.zip({"detId": array.detid, **{k: array[k] for k in ("row", "col", "adc")}}, depth_limit=1)  # fmt: skip
    assert Digis.from_awkward(columns, detector=events.detector) == events


def test_awkward_flags_come_along() -> None:
    events = random_digis(n_events=3)
    array = events.to_awkward()
    array = ak.with_field(array, array.adc % 2 == 1, "flag")
    back = Digis.from_awkward(array, detector="phase1")
    assert back.flag is not None
    assert np.array_equal(back.flag, events.adc % 2 == 1)


GOOD = {"event": [0, 2], "detid": [303042564] * 2, "row": [5, 6], "col": [1, 2], "adc": [9, 8]}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"adc": None}, "column 'adc' is missing"),
        ({"Adc": [1, 2]}, "column 'adc' occurs twice"),
        ({"col": [1.0, 2.0]}, "column 'col' holds float64"),
        ({"col": [1.0, None]}, "column 'col' has rows without a value"),
        ({"row": [5, -6]}, "event 2, module 303042564: row -6 is outside"),
        ({"event": [0, 0], "row": [5, 5], "col": [1, 1]}, "occurs twice"),
    ],
)
def test_bad_tables(change: dict[str, object], words: str) -> None:
    table = pd.DataFrame({k: v for k, v in (GOOD | change).items() if v is not None})
    with pytest.raises(PixlabError, match=words):
        Digis.from_pandas(table, detector="phase1")


def test_duplicates_can_be_added() -> None:
    table = pd.DataFrame(GOOD | {"event": [0, 0], "row": [5, 5], "col": [1, 1]})
    assert Digis.from_pandas(table, detector="phase1", duplicates="sum").adc.tolist() == [17]
    array = ak.Array([{k: v for k, v in table.to_dict("list").items() if k != "event"}])
    assert Digis.from_awkward(array, detector="phase1", duplicates="sum").adc.tolist() == [17]


LISTS = {"detid": [[303042564], []], "row": [[5], []], "col": [[1], []], "adc": [[9], []]}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"adc": None}, "column 'adc' is missing"),
        ({"adc": [9, 8]}, "field 'adc' is no list of numbers an event"),
        ({"adc": [[9], None]}, "field 'adc' is no list of numbers an event"),
        ({"adc": [[None], []]}, "field 'adc' is no list of numbers an event"),
        ({"adc": [[9], [8]]}, "event 1: field 'adc' has another length"),
        ({"adc": [[9.5], []]}, "column 'adc' holds float64"),
        ({"row": [[500], []]}, "event 0, module 303042564: row 500 is outside"),
    ],
)
def test_bad_arrays(change: dict[str, object], words: str) -> None:
    fields = {k: ak.Array(v) for k, v in (LISTS | change).items() if v is not None}
    array = ak.zip(fields, depth_limit=1)
    with pytest.raises(PixlabError, match=words):
        Digis.from_awkward(array, detector="phase1")
