"""Hit maps as roots and runs, and the values of hits."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pixlab
from pixlab.codecs.hitmaps import to_hits
from pixlab.coding.hits import HitCoder, Hits
from pixlab.coding.layout import make_layout, track_slopes
from pixlab.coding.positions import _class_of, _lowest, _lowest_gap, count_tables
from pixlab.coding.runs import find_runs
from pixlab.coding.values import ValueCoder
from pixlab.detectors import DETECTORS
from pixlab.digis import Digis
from pixlab.errors import FormatError
from tests.helpers import full_module, random_digis, small_detector

PHASE1 = DETECTORS["phase1"]
LAYOUT = make_layout(PHASE1, track_slopes(PHASE1))


def _same(a: Hits, b: Hits) -> bool:
    names = ("event", "module", "offsets", "row", "col")
    return all(np.array_equal(getattr(a, k), getattr(b, k)) for k in names)


def _module(pixels, n_events=1):
    """Digis of one module, from a picture of its hits."""
    row, col = np.nonzero(pixels)
    zeros = np.zeros(len(row), np.int64)
    return Digis.from_arrays(
        zeros, zeros + int(PHASE1.detid[3]), row, col, zeros, detector=PHASE1, n_events=n_events
    )


def pictures():
    rng = np.random.default_rng(0)
    place = np.indices((160, 416)).sum(axis=0)
    comb = np.zeros((160, 416), bool)
    comb[10, 5:400] = True
    comb[11, 5:400:2] = True  # many children of one parent
    comb[12, 4:401] = True  # many parents of one child
    stairs = np.zeros((160, 416), bool)
    for i in range(30):
        stairs[40 + i, 200 - 7 * i : 208 - 7 * i] = True  # each begins left of its parent
        stairs[40 + i, 210 + 6 * i : 217 + 6 * i] = True  # each begins at the end of its parent
    return {
        "nothing": np.zeros((160, 416), bool),
        "everything": np.ones((160, 416), bool),
        "one": np.eye(160, 416, dtype=bool) & (place == 318),
        "checkerboard": place % 2 == 0,
        "every fourth": (np.indices((160, 416)) % 2 == 0).all(axis=0),
        "columns": place % 416 == 7,
        "diagonal": np.eye(160, 416, dtype=bool),
        "comb": comb,
        "stairs": stairs,
        "half": rng.random((160, 416)) < 0.5,
        "dense": rng.random((160, 416)) < 0.95,
        "sparse": rng.random((160, 416)) < 0.01,
        "last row": np.indices((160, 416))[0] == 159,
    }


@pytest.fixture(scope="module")
def learned():
    digis = pixlab.samples.load("phase1-pu60")[:2]
    hits = to_hits(digis)
    arrays = HitCoder.learn(LAYOUT, len(digis), hits)
    arrays |= ValueCoder.learn("adc", LAYOUT, hits, digis.adc, PHASE1.adc_max)
    return arrays


@pytest.mark.parametrize("name", pictures())
def test_any_picture_comes_back(learned, name):
    digis = _module(pictures()[name])
    hits = to_hits(digis)
    for arrays in (learned, HitCoder.learn(LAYOUT, 1, hits)):
        coder = HitCoder(LAYOUT, arrays)
        sections = coder.encode(1, hits)
        assert _same(coder.decode(1, digis.n_digis, sections), hits)
        with pytest.raises(FormatError):
            coder.decode(1, digis.n_digis + 1, sections)


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1), n=st.integers(0, 3000), modules=st.integers(1, 60),
    events=st.integers(1, 4), toy=st.booleans(),
)  # fmt: skip
def test_hits_of_any_detector_come_back(seed, n, modules, events, toy):
    detector = small_detector() if toy else PHASE1
    digis = random_digis(detector, n_events=events, n_digis=n, n_modules=modules, seed=seed)
    hits = to_hits(digis)
    layout = make_layout(detector, track_slopes(detector))
    arrays = HitCoder.learn(layout, len(digis), hits)
    coder = HitCoder(layout, arrays)
    assert _same(coder.decode(len(digis), digis.n_digis, coder.encode(len(digis), hits)), hits)


def test_runs_are_those_that_one_sees():
    digis = random_digis(n_digis=9000, n_modules=3, n_events=2, seed=8)
    hits = to_hits(digis)
    first, parent, offsets, root_offsets, roots = find_runs(
        hits.offsets, hits.row, hits.col, LAYOUT.cols, hits.module
    )
    found = {}
    for f in range(len(hits.module)):
        for i in range(offsets[f], offsets[f + 1]):
            begin, end = first[i], first[i + 1] - 1
            found[i] = (f, int(hits.row[begin]), int(hits.col[begin]), int(hits.col[end]))
            assert hits.row[begin] == hits.row[end]
            assert (np.diff(hits.col[begin : end + 1]) == 1).all()
    expected_roots = []
    for i, (f, y, begin, end) in found.items():
        touching = [
            j
            for j in range(offsets[f], i)
            if found[j][1] == y - 1 and found[j][2] <= end + 1 and found[j][3] >= begin - 1
        ]
        assert parent[i] == (touching[0] if touching else -1)
        if not touching:
            expected_roots.append((f, y * 416 + begin))
    frames = np.repeat(np.arange(len(hits.module)), np.diff(root_offsets))
    assert [*zip(frames.tolist(), roots.tolist(), strict=True)] == expected_roots


def test_classes_of_numbers_are_intervals_without_gaps():
    classes = [_class_of(x) for x in range(5000)]
    assert classes[:8] == list(range(8))
    assert set(np.diff(classes)) <= {0, 1}
    for c in range(max(classes)):
        assert classes.index(c) == _lowest(c)
    # gaps of a class are an interval too, whatever the density
    for pixels, roots in ((66560, 1), (66560, 37), (1000, 999), (5, 5), (2**20, 2**12)):
        gaps = np.arange(min(pixels - roots + 1, 3000))
        found = [_class_of((int(g) * roots << 8) // pixels) for g in gaps]
        for g, c in zip(gaps, found, strict=True):
            assert _lowest_gap(c, pixels, roots) <= g < _lowest_gap(c + 1, pixels, roots)


def test_numbers_of_roots_follow_poisson():
    tables = count_tables()
    last = tables.last.reshape(45, -1).astype(np.int64)
    last[:, 0] = -1
    frequencies = np.diff(last, axis=1) / 65536
    for c in (0, 4, 20, 30, 40):
        mean = (_lowest(c) + _lowest(c + 1)) / 32
        k = np.arange(256)
        exact = np.exp(k * math.log(mean) - mean - np.array([math.lgamma(i + 1) for i in k]))
        assert np.abs(frequencies[c] - exact).max() < 0.005


def test_positions_come_near_their_combinatorial_minimum():
    """Single hits, spread evenly: nothing can be known but how many there are."""
    rng = np.random.default_rng(6)
    ideal, sections, n = 0.0, 0, 0
    columns = []
    for module in range(300):
        k = rng.poisson(12)
        at = rng.choice(80 * 208, k, replace=False)  # every second row and column: no neighbours
        ideal += math.log2(math.comb(160 * 416, k))
        columns.append((np.full(k, module), at // 208 * 2, at % 208 * 2))
        n += k
    module, row, col = np.concatenate(columns, axis=1)
    zeros = np.zeros(n, np.int64)
    digis = Digis.from_arrays(zeros, PHASE1.detid[module], row, col, zeros, detector=PHASE1)
    hits = to_hits(digis)
    coder = HitCoder(LAYOUT, HitCoder.learn(LAYOUT, 1, hits))
    sections = coder.encode(1, hits)
    counts = 300 * 0.5 * math.log2(2 * math.pi * math.e * 12)  # entropy of a Poisson number
    assert 8 * len(sections["positions"]) < 1.015 * (ideal + counts)
    # that no hit has a neighbour is learned too
    assert 8 * len(sections["shapes"]) < 0.3 * n


def test_values_come_back_whatever_they_are(learned):
    rng = np.random.default_rng(7)
    digis = random_digis(n_events=2, n_digis=5000, n_modules=6, seed=1)
    hits = to_hits(digis)
    for top, spread in ((1, 1), (9, 9), (255, 255), (1023, 255), (1023, 1023), (65535, 65535)):
        values = rng.integers(0, spread + 1, digis.n_digis)
        arrays = ValueCoder.learn("v", LAYOUT, hits, values, top)
        assert set(ValueCoder.needs("v")) <= set(arrays)
        coder = ValueCoder("v", LAYOUT, arrays, top)
        section = coder.encode(hits, values)
        assert (coder.decode(hits, section) == values).all()
        assert 8 * len(section) < 1.12 * len(values) * math.log2(spread + 1) + 800
        for bad in (section[:-4], section[:5], b"", section + b"\0"):
            with pytest.raises(FormatError, match="'v' is damaged"):
                coder.decode(hits, bad)
    # values beyond what was seen when the model was learned
    coder = ValueCoder("adc", LAYOUT, learned, PHASE1.adc_max)
    values = rng.choice([0, 254, 255, 256, 700, 1023], digis.n_digis)
    assert (coder.decode(hits, coder.encode(hits, values)) == values).all()


def test_an_exception_outside_the_digis_or_the_range_is_refused(learned):
    coder = ValueCoder("adc", LAYOUT, learned, 300)
    digis = random_digis(n_digis=40)
    hits = to_hits(digis)
    values = np.full(digis.n_digis, 300)
    section = coder.encode(hits, values)
    assert (coder.decode(hits, section) == values).all()
    narrow = ValueCoder("adc", LAYOUT, learned, 280)
    with pytest.raises(FormatError, match="damaged"):
        narrow.decode(hits, section)
    fewer = random_digis(n_digis=20)
    with pytest.raises(FormatError, match="damaged"):
        coder.decode(to_hits(fewer), section)


def test_charges_of_a_sample_are_known_better_from_their_neighbours(learned):
    digis = pixlab.samples.load("phase1-pu60")[5:7]
    hits = to_hits(digis)
    coder = ValueCoder("adc", LAYOUT, learned, PHASE1.adc_max)
    counts = np.bincount(digis.adc, minlength=256)
    p = counts[counts > 0] / counts.sum()
    entropy = -(p * np.log2(p)).sum()
    assert 8 * len(coder.encode(hits, digis.adc)) / digis.n_digis < entropy - 0.35


def test_a_full_module_takes_a_few_words(learned):
    hits = to_hits(full_module(adc=255))
    sections = HitCoder(LAYOUT, HitCoder.learn(LAYOUT, 1, hits)).encode(1, hits)
    assert sum(len(s) for s in sections.values()) < 1500
