"""Pre-mixing: the CMS rule by hand, against a dictionary, and in what pairs with what."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pixlab
import pixlab.premixing
from pixlab.detectors import DETECTORS, Detector
from pixlab.digis import EVENT_ID, Digis
from pixlab.errors import PixlabError
from pixlab.premixing import premix
from tests.helpers import full_module, random_digis, small_detector

FIRST = int(DETECTORS["phase1"].detid[0])


def one(adc: int | None, *, row: int = 1, col: int = 2) -> Digis:
    if adc is None:
        return Digis.empty("phase1", 1)
    return Digis.from_arrays([0], [FIRST], [row], [col], [adc], detector="phase1")


def by_dictionary(signal: Digis, pileup: Digis, threshold: float, cycle: bool) -> list[tuple]:
    """The rule as it is told, one pixel after the other."""
    found = []
    for event in range(len(signal)):
        counts: dict[tuple, int] = {}
        for source in (signal[event], pileup[event % len(pileup) if cycle else event]):
            columns = (source.detid, source.row, source.col, source.adc)
            for detid, row, col, adc in zip(*(c.tolist() for c in columns), strict=True):
                counts[detid, row, col] = counts.get((detid, row, col), 0) + adc
        for pixel in sorted(counts):
            adc = counts[pixel]
            if adc > 511:
                adc = 255
            elif adc >= 254:
                adc = 254
            if not adc * 135 < threshold:
                found.append((event, *pixel, adc))
    return found


def rows_of(digis: Digis) -> list[tuple]:
    columns = (digis.event, digis.detid, digis.row, digis.col, digis.adc)
    return list(zip(*(c.tolist() for c in columns), strict=True))


@pytest.mark.parametrize(
    ("first", "second", "mixed"),
    [
        (20, 11, 31),
        (6, 6, 12),  # 1620 e
        (6, 5, None),  # 1485 e
        (12, None, 12),
        (11, None, None),
        (0, None, None),
        (253, None, 253),
        (254, None, 254),
        (255, None, 254),
        (253, 1, 254),
        (255, 255, 254),  # 510
        (255, 256, 254),  # 511
        (256, 256, 255),  # 512
        (1023, None, 255),
        (1023, 1023, 255),
        (None, None, None),
    ],
)
def test_counts_add_by_the_rule(first, second, mixed):
    for signal, pileup in ((first, second), (second, first)):
        found = premix(one(signal), one(pileup))
        assert found.adc.tolist() == ([] if mixed is None else [mixed])
        assert len(found) == 1
        assert found == one(mixed)


def test_pixels_that_only_look_alike_do_not_add():
    """Neighbours in row, column, module and event."""
    two = int(DETECTORS["phase1"].detid[1])
    signal = Digis.from_arrays([0, 0], [FIRST, FIRST], [1, 3], [2, 4], [50, 60], detector="phase1",
                               n_events=2)  # fmt: skip
    pileup = Digis.from_arrays([0, 0, 0, 1], [FIRST, FIRST, two, FIRST], [1, 2, 1, 1], [3, 2, 2, 2],
                               [1, 70, 80, 90], detector="phase1")  # fmt: skip
    found = premix(signal, pileup, threshold=0)
    assert rows_of(found) == [
        (0, FIRST, 1, 2, 50),
        (0, FIRST, 1, 3, 1),
        (0, FIRST, 2, 2, 70),
        (0, FIRST, 3, 4, 60),
        (0, two, 1, 2, 80),
        (1, FIRST, 1, 2, 90),
    ]


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(["phase1", "phase0", "phase2-premix", "trackml"]),
    st.integers(0, 4),
    st.integers(0, 4),
    st.sampled_from([0.0, 1600.0, 20000.0]),
)
def test_the_same_as_a_dictionary(seed, detector, n_signal, n_pileup, threshold):
    signal, pileup = (
        random_digis(
            detector, n_events=n, n_digis=200 if n else 0, n_modules=2, adc_max=400, seed=seed
        )
        for n in (n_signal, n_pileup)
    )
    # the same modules, so that pixels meet, in another order and with other counts
    pileup = pileup[::-1].with_adc((pileup[::-1].adc.astype(int) * 7 + seed % 11) % 256)
    cycle = n_pileup < n_signal
    if cycle and not n_pileup:
        with pytest.raises(PixlabError, match="0 pile-up events are too few"):
            premix(signal, pileup, cycle=True)
        return
    found = premix(signal, pileup, threshold=threshold, cycle=cycle)
    assert rows_of(found) == by_dictionary(signal, pileup, threshold, cycle)
    # and it is as good as any other Digis: sorted, complete, in range
    assert found == Digis.from_arrays(
        found.event, found.detid, found.row, found.col, found.adc,
        detector=detector, n_events=n_signal,
    )  # fmt: skip


@given(st.integers(0, 1000))
def test_order_does_not_matter(seed):
    a, b = (random_digis(n_digis=300, n_modules=2, seed=s) for s in (seed, seed))
    b = b.with_adc(255 - b.adc.astype(int))
    assert premix(a, b) == premix(b, a)


def test_a_full_module_on_itself():
    module = full_module(adc=7)
    found = premix(module, module)
    assert found.n_digis == module.n_digis
    assert set(found.adc) == {14}
    assert premix(module, Digis.empty("phase1", 1)).n_digis == 0  # 7 is below the threshold


def test_input_is_left_alone():
    a, b = random_digis(seed=1), random_digis(seed=2)
    before = [x.copy() for x in (a.adc, a.row, b.adc, b.row)]
    premix(a, b)
    assert all(map(np.array_equal, before, (a.adc, a.row, b.adc, b.row)))


def test_event_numbers_are_those_of_the_signal():
    ids = np.array([(1, 2, 3), (1, 2, 4)], EVENT_ID)
    none = np.zeros(0, int)
    signal = Digis.from_arrays(
        none, none, none, none, none, detector="phase1", n_events=2, event_id=ids
    )
    found = premix(signal, random_digis(n_events=2), threshold=0)
    assert found.event_id is not None
    assert found.event_id.tolist() == ids.tolist()
    assert found.flag is None


def test_pileup_events_are_used_once_unless_asked():
    signal = Digis.empty("phase1", 3)
    pileup = random_digis(n_events=2, adc_max=200)
    with pytest.raises(PixlabError, match=r"2 pile-up events are too few for 3 .*cycle=True"):
        premix(signal, pileup)
    found = premix(signal, pileup, threshold=0, cycle=True)
    assert found == Digis.concatenate([pileup, pileup[0]])
    left_over = premix(signal[:1], pileup, threshold=0)
    assert left_over == pileup[0]


def test_no_events_at_all():
    none = Digis.empty("phase1", 0)
    assert len(premix(none, none)) == 0
    assert len(premix(none, random_digis())) == 0


def test_different_detectors_are_refused():
    with pytest.raises(PixlabError, match="'phase1' and 'phase0'"):
        premix(Digis.empty("phase1", 1), Digis.empty("phase0", 1))


@pytest.mark.parametrize("detector", ["phase2", "fei4", "timepix", "toy"])
def test_counts_that_are_not_linear_8_bits_are_refused(detector):
    known: str | Detector = small_detector() if detector == "toy" else detector
    with pytest.raises(PixlabError, match="linear counts with a full scale of 255"):
        premix(Digis.empty(known, 1), Digis.empty(known, 1))


@pytest.mark.parametrize(
    "wrong",
    [{"threshold": float("nan")}, {"electrons_per_adc": 0}, {"electrons_per_adc": float("inf")}],
)
def test_electrons_must_be_numbers(wrong):
    with pytest.raises(PixlabError, match="out of range"):
        premix(one(1), one(1), **wrong)


def test_the_threshold_is_in_electrons():
    assert premix(one(20), one(None), threshold=2700.0).adc.tolist() == [20]
    assert premix(one(20), one(None), threshold=2700.1).adc.tolist() == []
    assert premix(one(20), one(None), threshold=2700.1, electrons_per_adc=136).adc.tolist() == [20]


def test_it_is_public_and_its_example_is_true():
    assert pixlab.premix is premix
    result = doctest.testmod(pixlab.premixing)
    assert result.attempted > 0
    assert result.failed == 0
