"""Parts of codebooks for classes of clusters."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixlab.codecs import VQVAE
from pixlab.codecs.code_classes import CodeClasses, cells_of, in_one_count
from pixlab.codecs.tokens import KINDS
from pixlab.errors import FormatError

CELLS = 256


@given(
    st.integers(2, 5000), st.sampled_from([1, 2]), st.integers(0, 300), st.booleans(), st.integers()
)
def test_classes_share_the_codes(size, dimensions, n, still, seed):
    rng = np.random.default_rng(abs(seed))
    cells = rng.integers(0, CELLS, n) ** 2 // CELLS
    spread = np.zeros(n) if still else rng.exponential(size=n)
    classes = CodeClasses.learn(cells, spread, size, dimensions)
    sizes = np.diff(classes.begin)
    assert classes.begin[0] == 0
    assert sizes.sum() == size
    assert sizes.min() >= 2
    assert set(classes.of_cell) == set(range(len(sizes)))
    assert len(sizes) <= max(size / (16 if dimensions == 1 else 64) + 1, 1)
    again = CodeClasses.read("x", classes.arrays("x"), size)
    assert (again.of_cell == classes.of_cell).all()
    assert (again.begin == classes.begin).all()


def test_a_model_without_classes_has_one():
    classes = CodeClasses.read("x", {}, 7)
    assert classes.begin.tolist() == [0, 7]
    assert not classes.of_cell.any()


def test_damaged_classes_are_refused():
    good = CodeClasses.learn(np.arange(CELLS), np.ones(CELLS), 256, 2).arrays("x")
    of_cell, sizes = good["x.classes"], good["x.sizes"]
    assert len(sizes) == 4
    for wrong in (
        {"x.classes": of_cell[:-1]},
        {"x.classes": of_cell.astype(np.int16)},
        {"x.classes": of_cell + np.uint16(1)},
        {"x.sizes": sizes[:-1]},
        {"x.sizes": sizes[:0]},
        {"x.sizes": sizes[None]},
        {"x.sizes": sizes.astype(np.float64)},
        {"x.sizes": np.array([0, 256, 0, 0], np.uint32)},
        {"x.sizes": np.array([64, 64, 64, 1 << 31], np.uint32)},
    ):
        with pytest.raises(FormatError, match="classes of the model are damaged"):
            CodeClasses.read("x", {**good, **wrong}, 256)
    with pytest.raises(FormatError, match="damaged"):
        CodeClasses.read("x", {"x.classes": of_cell}, 256)
    with pytest.raises(FormatError, match="damaged"):
        CodeClasses.read("x", good, 255)


@pytest.fixture(scope="module")
def model(digis):
    return VQVAE(codebook_size=400, width=8, epochs=3).fit(digis)


def test_clusters_have_the_codes_of_their_class(model, digis):
    kept, _ = model.tell(digis)
    subjects, coder = kept.of.subjects, model.token_coder
    of_cell, of_code = in_one_count(coder.classes)
    assert len(np.unique(of_code)) > 5
    tokens = coder.tokens(subjects, kept.shapes)[0]
    told = tokens >= 0
    kind = np.searchsorted(KINDS, subjects.free[told])
    assert (of_code[tokens[told]] == of_cell[kind, cells_of(subjects)[told]]).all()
    assert model.decode(model.encode(digis)) == model.quantize(digis)
    usage = model.usage(digis)[0]
    assert np.mean(usage.counts > 0) > 0.8


def test_a_token_of_another_class_is_refused(model, digis):
    """Its symbol is one that only larger classes have."""
    stream, arrays = model.encode(digis), dict(model.arrays)
    for kind in "rcb":
        sizes = arrays[f"code.{kind}.sizes"]
        # codes of a class move to the last one, so that symbols go beyond what is left
        arrays[f"code.{kind}.sizes"] = np.append(
            np.full(len(sizes) - 1, 2, np.uint32), np.uint32(sizes.sum() - 2 * (len(sizes) - 1))
        )
    other = dataclasses.replace(model, arrays=arrays)
    with pytest.raises(FormatError):
        other.decode(stream)
    book = model.arrays["code.0.b.book"]
    for wrong in (book[:-1], book[:0]):
        broken = {**model.arrays, "code.0.b.book": wrong}
        with pytest.raises(FormatError, match="damaged"):
            dataclasses.replace(model, arrays=broken).token_coder  # noqa: B018
