"""Static coding: interleaved rANS, context trees, frequencies, symbols."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixlab.coding.bits import kernel
from pixlab.coding.contexts import (
    LEAF,
    MAX_CONTEXTS,
    Choices,
    features_of,
    grow,
    joint_look,
    make_masks,
    plain_looks,
)
from pixlab.coding.frequencies import estimate, restore, store
from pixlab.coding.rans import (
    drained,
    get,
    get_bits,
    get_uniform,
    make_tables,
    open_words,
    start_reading,
    step_of,
    step_of_bits,
    step_of_uniform,
    write,
)
from pixlab.coding.symbols import Symbols
from pixlab.errors import FormatError


@kernel
def _put(symbols, contexts, tables, raw, steps):
    """Every kind of step, in turn; return how many."""
    n = 0
    for i in range(len(symbols)):
        steps[n] = step_of(tables, contexts[i], symbols[i])
        n += 1
        bits = i % 16 + 1
        steps[n] = step_of_bits(raw[i] & ((1 << bits) - 1), bits)
        n += 1
        parts = i % 700 + 2
        steps[n] = step_of_uniform(raw[i] % parts, parts)
        n += 1
    return n


@kernel
def _take(words, contexts, tables, symbols, raw, uniform):
    state = start_reading(words)
    for i in range(len(symbols)):
        symbols[i], state = get(state, words, tables, contexts[i])
        raw[i], state = get_bits(state, words, i % 16 + 1)
        uniform[i], state = get_uniform(state, words, i % 700 + 2)
    return drained(state, words)


def _frequencies(rng, n_contexts, n_symbols):
    p = rng.gamma(0.3, size=(n_contexts, n_symbols))
    found = np.maximum(p / p.sum(axis=1, keepdims=True) * (65536 - n_symbols), 1).astype(np.int64)
    found[np.arange(n_contexts), found.argmax(axis=1)] += 65536 - found.sum(axis=1)
    return found


def _written(rng, n, n_contexts=3, n_symbols=40):
    tables = make_tables(_frequencies(rng, n_contexts, n_symbols))
    symbols, contexts = rng.integers(0, n_symbols, n), rng.integers(0, n_contexts, n)
    raw = rng.integers(0, 65536, n)
    steps = np.zeros(3 * n, np.uint32)
    assert _put(symbols, contexts, tables, raw, steps) == 3 * n
    return tables, symbols, contexts, raw, write(steps)


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 2**32 - 1), st.integers(0, 400), st.integers(1, 9),
    st.sampled_from([2, 3, 31, 255, 256]),
)  # fmt: skip
def test_symbols_that_are_written_are_read(seed, n, n_contexts, n_symbols):
    rng = np.random.default_rng(seed)
    tables, symbols, contexts, raw, data = _written(rng, n, n_contexts, n_symbols)
    got = np.zeros((3, n), np.int64)
    assert _take(open_words(data), contexts, tables, *got)
    i = np.arange(n)
    assert (got[0] == symbols).all()
    assert (got[1] == raw & ((2 << (i % 16)) - 1)).all()
    assert (got[2] == raw % (i % 700 + 2)).all()


def test_the_coder_reaches_the_entropy():
    rng = np.random.default_rng(1)
    frequencies = _frequencies(rng, 1, 200)
    symbols = rng.choice(200, 100_000, p=frequencies[0] / 65536)
    tables = make_tables(frequencies)
    steps = np.array([_one_step(tables, s) for s in range(200)], np.uint32)[symbols]
    ideal = -np.log2(frequencies[0][symbols] / 65536).sum()
    assert ideal < 8 * len(write(steps)) < ideal * 1.0002 + 160


@kernel
def _one_step(tables, symbol):
    return step_of(tables, 0, symbol)


def test_damaged_bytes_do_not_end_well():
    rng = np.random.default_rng(2)
    tables, _, contexts, _, data = _written(rng, 500)
    got = np.zeros((3, 500), np.int64)
    unnoticed = 0  # where raw bits are hit, nothing else goes wrong
    for at in rng.integers(0, len(data), 300):
        bad = bytearray(data)
        bad[at] ^= 1 << rng.integers(0, 8)
        unnoticed += _take(open_words(bytes(bad)), contexts, tables, *got)
    assert unnoticed < 150
    for size in range(0, len(data), 3):
        assert not _take(open_words(data[:size]), contexts, tables, *got)
    assert not _take(open_words(data + b"\0\0\0\0"), contexts, tables, *got)
    assert write(np.zeros(0, np.uint32)) == b""


def _walk(nodes, row):
    """The context of a row by going down the tree, node by node."""
    at = contexts = 0
    while nodes[at, 0] != LEAF:
        if row[nodes[at, 0]] <= nodes[at, 1]:
            at += 1
            continue
        pending = 1  # skip the left side
        at += 1
        while pending:
            pending += 1 if nodes[at, 0] != LEAF else -1
            contexts += nodes[at, 0] == LEAF
            at += 1
    return contexts


def test_masks_find_what_a_walk_finds():
    rng = np.random.default_rng(3)
    features = rng.integers(0, 256, (4000, 6)).astype(np.uint8)
    classes = ((features[:, 0] > 90) * 4 + (features[:, 3] > 30) * 2 + (features[:, 1] < 9)).astype(
        np.uint8
    )
    classes[::3] = rng.integers(0, 8, len(classes[::3]))
    nodes = grow(features, classes)
    choices = Choices(nodes, 6)
    found = choices.of(features)
    assert choices.n_contexts == (nodes[:, 0] == LEAF).sum() >= 6
    assert [int(c) for c in found[:500]] == [_walk(nodes, row) for row in features[:500]]
    rows = np.array([7, 7, 3])
    assert np.array_equal(choices.of(features, rows), found[rows])
    # the contexts that were there to be found
    pure = [np.bincount(classes[found == c]).max() / (found == c).sum() for c in np.unique(found)]
    assert np.mean(pure) > 0.6
    assert {0, 3} <= set(nodes[nodes[:, 0] != LEAF, 0])


def test_a_tree_grows_to_its_limit_and_not_on_noise():
    rng = np.random.default_rng(4)
    x = rng.integers(0, 256, (60_000, 1)).astype(np.uint8)
    nodes = grow(x, (x[:, 0] >> 1).astype(np.uint8))
    assert (len(nodes) + 1) // 2 > 60
    assert (len(grow(x, (x[:, 0] >> 1).astype(np.uint8), most=5)) + 1) // 2 == 5
    assert len(grow(x, rng.integers(0, 20, len(x)).astype(np.uint8))) == 1
    assert len(grow(x[:0], np.zeros(0, np.uint8))) == 1
    # a model for few symbols is not worth many contexts
    small = (x[:400, 0] > 128).astype(np.uint8)
    assert len(grow(x[:400], small, reuse=1.0, context_bits=1e4)) == 1
    assert len(grow(x[:400], small)) == 3
    assert MAX_CONTEXTS == 128


def test_looks_combine_features():
    look = joint_look(3, 5)
    assert look.shape == (2, 15)
    assert look[:, 7].tolist() == [1, 2]
    features = features_of([look, *plain_looks(1)], np.array([[7, 200], [14, 0]]))
    assert features.tolist() == [[1, 2, 200], [2, 4, 0]]
    nodes = np.array([[1, 2], [LEAF, 0], [2, 100], [LEAF, 0], [LEAF, 0]], np.uint8)
    masks, n_contexts = make_masks(nodes, [look, *plain_looks(1)])
    assert len(masks) == 2 * (15 + 256)
    assert n_contexts == 3
    assert masks[2 * 7] & masks[2 * (15 + 200)] & 7 == 0b101  # features 2 and 200


@pytest.mark.parametrize(
    "nodes",
    [
        [], [[0, 1]], [[0, 1], [LEAF, 0]], [[LEAF, 0], [LEAF, 0]],
        [[7, 1], [LEAF, 0], [LEAF, 0]], [[0, 1], [LEAF, 0], [LEAF, 0], [LEAF, 0]],
        [[LEAF, 0]] * 300,
    ],
)  # fmt: skip
def test_what_is_no_tree_is_refused(nodes):
    with pytest.raises(FormatError, match="decision tree"):
        make_masks(np.array(nodes, np.uint8).reshape(-1, 2), plain_looks(3))
    with pytest.raises(FormatError, match="decision tree"):
        make_masks(np.array(nodes, np.int64).reshape(-1, 2), plain_looks(3))


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.sampled_from([2, 9, 100, 256]))
def test_frequencies_are_kept_to_an_eighth_of_an_octave(seed, n_contexts, n_symbols):
    rng = np.random.default_rng(seed)
    p = rng.gamma(0.5, size=(n_contexts, n_symbols)) + 1e-12
    p /= p.sum(axis=1, keepdims=True)
    tables = restore(store(p), n_contexts, n_symbols)
    last = tables.last.reshape(n_contexts, -1).astype(np.int64)
    last[:, 0] = -1
    frequencies = np.diff(last, axis=1)
    assert (frequencies >= 1).all()
    assert (frequencies.sum(axis=1) == 65536).all()
    # what rounding left over, less than one a symbol, is the most frequent symbol's
    spare = np.where(frequencies == frequencies.max(axis=1, keepdims=True), n_symbols, 0)
    large, wanted = p > 0.01, 65536 * p
    assert (frequencies + spare > 2**-0.2 * wanted)[large].all()
    assert (frequencies - spare < 2**0.2 * wanted)[large].all()


def test_damaged_frequencies_are_refused():
    good = store(np.full((2, 5), 0.2))
    assert len(restore(good, 2, 5).last) == 2 * 6
    for bad in (good[:1], good.astype(np.int16), good.T, np.full((2, 5), 77, np.uint8)):
        with pytest.raises(FormatError, match="frequencies"):
            restore(bad, 2, 5)


def test_estimates_smooth_what_is_smooth_and_keep_what_is_not():
    rng = np.random.default_rng(5)
    place = np.arange(256)
    smooth = np.exp(-0.5 * ((place - 120) / 20) ** 2)
    smooth /= smooth.sum()
    spiky = np.where(place % 16 == 0, 1.0, 0.001)
    spiky /= spiky.sum()
    one = np.array([[LEAF, 0]], np.uint8)
    for truth, excess in ((smooth, 0.02), (spiky, 0.05)):
        symbols = rng.choice(256, 2000, p=truth)
        found = estimate(one, np.zeros(2000, np.uint8), symbols, 256)[0]
        assert abs(found.sum() - 1) < 1e-9
        lost = (truth * np.log2(truth / np.maximum(found, 1e-9))).sum()
        assert lost < excess, lost
    # a plain histogram would lose much more
    counts = np.bincount(rng.choice(256, 2000, p=smooth), minlength=256) + 0.5
    assert (smooth * np.log2(smooth / (counts / counts.sum()))).sum() > 0.04


@pytest.mark.parametrize("n_symbols", [2, 7, 256, 257, 1000, 65536])
def test_symbols_of_any_size_come_back(n_symbols):
    rng = np.random.default_rng(n_symbols)
    n = 5000
    features = rng.integers(0, 50, (n, 3)).astype(np.uint8)
    symbols = np.minimum(
        rng.integers(0, n_symbols, n), (features[:, 1].astype(int) + 1) * max(n_symbols // 40, 1)
    )
    symbols = np.minimum(symbols, n_symbols - 1)
    blank = Symbols("s", Symbols.blank("s", n_symbols), 3, n_symbols)
    arrays = Symbols.learn("s", features, symbols, n_symbols)
    assert set(Symbols.needs("s")) <= set(arrays)
    learned = Symbols("s", arrays, 3, n_symbols)
    sizes = []
    for coder in (blank, learned):
        section = coder.encode(features, symbols)
        assert (coder.decode(features, section) == symbols).all()
        sizes.append(len(section))
        with pytest.raises(FormatError, match="'s' is damaged"):
            coder.decode(features, section[:-4])
    if n_symbols > 2:
        assert sizes[1] < sizes[0]
    assert learned.encode(features[:0], symbols[:0]) == b""


def test_a_model_without_its_arrays_is_refused():
    arrays = Symbols.blank("s", 300)
    for name in arrays:
        left = {k: v for k, v in arrays.items() if k != name}
        with pytest.raises(FormatError, match=f"no array '{name}'"):
            Symbols("s", left, 1, 300)
