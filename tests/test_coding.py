"""The range coder and the context models below the codecs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from pixlab.coding import rangecoder
from pixlab.coding.columns import column_order, row_order
from pixlab.coding.layout import RINGS, make_layout, track_slopes
from pixlab.coding.numbers import decode_flags, decode_numbers, encode_flags, encode_numbers
from pixlab.coding.rangecoder import (
    FRESH,
    code_bit,
    code_count,
    code_raw,
    code_simple,
    finish,
    overrun,
    start,
)
from pixlab.detectors import DETECTORS
from pixlab.errors import FormatError
from tests.helpers import random_digis, small_detector


@njit
def _mixture(reading, buf, bits, p, counts, raw, table):
    """All ways to code, in turn; when reading, the arrays are filled."""
    state = start(reading, buf)
    for i in range(len(bits)):
        bits[i], state = code_bit(state, reading, buf, np.int64(bits[i]), p[i])
        bit, state = code_simple(
            state, reading, buf, np.int64(bits[i]) ^ (i & 1), table, np.uint64(i % 5)
        )
        if bit != bits[i] ^ (i & 1):
            return -2
        counts[i], state = code_count(state, reading, buf, np.int64(counts[i]), table, 8)
        raw[i], state = code_raw(state, reading, buf, np.int64(raw[i]), i % 17)
    if reading:
        return -1 if overrun(state, buf) else 0
    return finish(state, buf)


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 2**32 - 1), st.integers(0, 300), st.floats(0, 1), st.sampled_from([1, 20, 29])
)
def test_what_is_written_is_read(seed, n, skew, magnitude):
    rng = np.random.default_rng(seed)
    bits = (rng.random(n) < skew).astype(np.int64)
    p = rng.choice([1, 22, 30_000, 65_514, 65_535], n)
    counts = rng.integers(0, 1 << magnitude, n)
    raw = rng.integers(0, 1 << 16, n) & ((1 << (np.arange(n) % 17)) - 1)
    buf = np.zeros(64 + 64 * n, np.uint8)
    size = _mixture(False, buf, bits.copy(), p, counts.copy(), raw.copy(), _table())
    assert size >= 0
    again = [np.zeros(n, np.int64) for _ in range(3)]
    assert _mixture(True, buf[:size].copy(), again[0], p, again[1], again[2], _table()) == 0
    for read, written in zip(again, (bits, counts, raw), strict=True):
        assert (read == written).all()


def _table():
    return np.full(8 + 512, FRESH, np.uint32)


@njit
def _adaptive(buf, bits, table):
    state = start(False, buf)
    for i in range(len(bits)):
        _, state = code_simple(state, False, buf, np.int64(bits[i]), table, np.uint64(0))
    return finish(state, buf)


def test_the_coder_comes_close_to_the_entropy():
    n, p = 200_000, 0.03
    bits = (np.random.default_rng(0).random(n) < p).astype(np.uint8)
    size = _adaptive(np.zeros(n, np.uint8), bits, _table())
    q = bits.mean()
    entropy = -n * (q * np.log2(q) + (1 - q) * np.log2(1 - q)) / 8
    assert entropy < size < 1.01 * entropy


def test_a_carry_runs_through_bytes_of_255():
    # bits that keep the low end just below a byte boundary, then push it over
    for n in range(1, 400):
        bits = np.zeros(n, np.int64)
        bits[:-1] = 1
        p = np.full(n, 65_535)
        zeros = [np.zeros(n, np.int64) for _ in range(4)]
        buf = np.zeros(64 * n + 64, np.uint8)
        size = _mixture(False, buf, bits.copy(), p, zeros[0], zeros[1], _table())
        read = np.zeros(n, np.int64)
        _mixture(True, buf[:size].copy(), read, p, zeros[2], zeros[3], _table())
        assert (read == bits).all()


def test_a_carry_leaves_alone_what_is_behind_a_short_buffer():
    bits = np.random.default_rng(1).integers(0, 2, 4000).astype(np.uint8)
    for behind in (0, 7, 255):
        whole = np.full(600, behind, np.uint8)
        assert _adaptive(whole[:20], bits, _table()) == -1
        assert (whole[20:] == behind).all()


def test_tables_of_the_logistic_domain_are_integers_and_inverse():
    squash, stretch = rangecoder.SQUASH.astype(int), rangecoder.STRETCH.astype(int)
    assert (np.diff(squash) >= 0).all()
    assert (np.diff(stretch) >= 0).all()
    exact = 65536 / (1 + np.exp(-(np.arange(len(squash)) - 2048) / 256))
    assert np.abs(squash - exact).max() < 520  # straight lines between the knots
    inside = np.abs(stretch) < 2047
    assert np.abs(squash[stretch[inside] + 2048] - (np.arange(4096)[inside] * 16 + 8)).max() <= 70


def test_the_layout_is_whole_numbers_from_the_geometry():
    detector = DETECTORS["phase1"]
    slopes = track_slopes(detector)
    layout = make_layout(detector, slopes)
    first_layer = np.flatnonzero(detector.in_layer("BPIX 1"))
    # at the ends of the first layer, tracks from the origin cross many columns; in the middle few
    ends = np.abs(slopes[first_layer, :2]).max()
    middle = np.abs(slopes[first_layer, :2]).min()
    assert ends / 16 > 12
    assert middle / 16 < 1
    # along rows they cross about a pixel, to both sides
    assert -20 < slopes[:, 2:4].min() < 0 < slopes[:, 2:4].max() < 20
    assert set(slopes[:, 4]) == {0, 1}
    assert 0 <= layout.ring.min() <= layout.ring.max() < RINGS
    assert np.flatnonzero(layout.edge_row[0] & 1).tolist() == [79, 80]
    assert np.flatnonzero(layout.edge_row[0] & 2).tolist() == [80, 81]
    assert np.flatnonzero(layout.edge_row[0] & 4).tolist() == [78, 79]
    assert np.flatnonzero(layout.edge_col[0] & 1)[:4].tolist() == [0, 51, 52, 103]
    tiles = make_layout(detector, slopes, tile=(3, 5))
    assert (tiles.rows[0], tiles.cols[0]) == (54, 84)
    with pytest.raises(FormatError, match="table of slopes"):
        make_layout(small_detector(), slopes)


@given(st.lists(st.booleans(), max_size=200))
@settings(deadline=None, max_examples=30)
def test_flags_come_back(flags):
    bits = np.array(flags, bool)
    assert (decode_flags(encode_flags(bits), len(bits)) == bits).all()


def test_flags_cut_short_are_refused():
    bits = np.random.default_rng(0).random(5000) < 0.5
    with pytest.raises(FormatError, match="flags"):
        decode_flags(encode_flags(bits)[:100], len(bits))


@given(st.lists(st.integers(0, 2**30), max_size=60))
@settings(deadline=None, max_examples=30)
def test_numbers_come_back(numbers):
    section = encode_numbers(np.array(numbers, np.int64))
    assert decode_numbers(section, len(numbers)).tolist() == numbers


def test_flags_that_agree_take_a_byte():
    for flags in (np.zeros(1000, bool), np.ones(1000, bool)):
        assert len(encode_flags(flags)) == 1
        assert (decode_flags(encode_flags(flags), 1000) == flags).all()
    for section in (b"", b"\3", b"\0\0"):
        with pytest.raises(FormatError, match="flags"):
            decode_flags(section, 10)


def test_column_order_is_the_order_of_lexsort_and_row_order_undoes_it():
    for n in (0, 30, 5000):  # short frames and long ones are sorted in different ways
        digis = random_digis(n_digis=n, n_modules=3, seed=n)
        frames = digis.frames
        cols = digis.detector.cols.astype(np.int32)
        order = column_order(
            np.array(frames.offsets), np.array(digis.row), np.array(digis.col), cols, frames.module
        )
        frame = np.repeat(np.arange(len(frames.module)), np.diff(frames.offsets))
        assert (order == np.lexsort((digis.row, digis.col, frame))).all()
        back = row_order(frames.offsets, digis.row[order], 160)
        assert (order[back] == np.arange(digis.n_digis)).all()
