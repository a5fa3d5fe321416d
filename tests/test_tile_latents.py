"""Tokens of tiles: all that a decoder needs, and what a sampler may get wrong."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest

import pixlab
from pixlab.codecs import PatchVQ, PatchVQVAE
from pixlab.codecs.latents import read_tokens, write_tokens
from pixlab.errors import PixlabError
from tests.helpers import random_digis

TILE = {"tile_rows": 3, "tile_cols": 7, "codebook_size": 20}  # cut off at edges of modules


@pytest.fixture(scope="module", params=[PatchVQ(**TILE), PatchVQVAE(**TILE, epochs=2)])
def model(request, digis):
    return request.param.fit(digis[:1])


def test_latents_say_everything(model, digis, tmp_path):
    tokens = model.tokens(digis)
    wanted = model.quantize(digis)
    assert len(tokens) == len(digis)
    assert tokens.fields == ["module", "row", "col", "token"]
    assert model.from_tokens(tokens) == wanted == model.decode(model.encode(digis))
    write_tokens(tokens, tmp_path / "tokens.parquet")
    assert model.from_tokens(read_tokens(tmp_path / "tokens.parquet")) == wanted


def test_records_are_tiles_and_their_codewords(model, digis):
    tokens = model.tokens(digis)
    tiles, codes = model.tell(digis)
    flat = ak.flatten(tokens)
    assert flat.token.to_list() == codes.tolist()
    (usage,) = model.usage(digis)
    assert np.bincount(flat.token, minlength=len(usage)).tolist() == usage.counts.tolist()
    event = np.repeat(np.arange(len(digis)), np.diff(digis.offsets))
    rows, cols = model.tile
    own = {*zip(event, digis.module, digis.row // rows, digis.col // cols, strict=True)}
    of = np.repeat(np.arange(len(tokens)), ak.num(tokens))
    assert own == {*zip(of, flat.module, flat.row, flat.col, strict=True)}
    assert len(own) == len(flat) == len(tiles.row)


def test_the_order_of_records_says_nothing(model, digis):
    tokens = model.tokens(digis[:1])
    mixed = tokens[:, np.random.default_rng(1).permutation(len(tokens[0]))]
    assert model.from_tokens(mixed) == model.quantize(digis[:1])


def test_any_tokens_on_any_tiles_are_digis(model, digis):
    """Also on tiles that stick out of the module, with codewords that have no pixel inside."""
    rng = np.random.default_rng(3)
    high, wide = (-(-n // step) for n, step in zip((160, 416), model.tile, strict=True))
    row, col = np.divmod(
        np.concatenate([rng.permutation(high * wide)[:900] for _ in range(3)]), wide
    )
    record = {"module": np.repeat([0, 5, 1855], 900), "row": row, "col": col}
    record["token"] = rng.integers(0, len(model.codebook), len(row))
    sampled = ak.unflatten(ak.zip(record), [0, len(row)])
    made = model.from_tokens(sampled)
    assert (row == high - 1).any()
    again = model.tokens(made)
    assert ak.num(again).to_list() == [0, len(row)]  # no tile is lost
    assert model.from_tokens(again) == model.quantize(made)


def test_latents_of_hard_digis(model):
    hard = random_digis(n_events=4, n_digis=3000, adc_max=1023, seed=4)
    assert model.from_tokens(model.tokens(hard)) == model.quantize(hard)
    empty = pixlab.Digis.empty("phase1", 3)
    assert model.from_tokens(model.tokens(empty)) == empty


@pytest.mark.parametrize(
    ("field", "value", "why"),
    [
        ("module", 1856, "the detector has 1,856 modules"),
        ("module", -1, "the detector has 1,856 modules"),
        ("row", 54, "outside the module"),
        ("row", -1, "outside the module"),
        ("col", 60, "outside the module"),
        ("col", 1 << 40, "outside the module"),
        ("token", 20, "the codebook has 20 codes"),
        ("token", -1, "the codebook has 20 codes"),
    ],
)
def test_a_record_that_makes_no_sense_is_named(model, digis, field, value, why):
    tokens = model.tokens(digis)
    column = ak.to_numpy(ak.flatten(tokens[field])).astype(np.int64)
    column[-1] = value
    bad = ak.with_field(tokens, ak.unflatten(column, ak.num(tokens)), field)
    with pytest.raises(PixlabError, match=why) as caught:
        model.from_tokens(bad)
    last = bad[-1, -1].to_list()
    where = f"tile ({last['row']}, {last['col']}) of module {last['module']} in event 1"
    assert str(caught.value).startswith(f"{where}, token {last['token']}: ")


def test_a_tile_comes_once(model, digis):
    tokens = model.tokens(digis)
    twice = ak.concatenate([tokens, tokens[:, :1]], axis=1)
    with pytest.raises(PixlabError, match=r"tile \(\d+, \d+\) of module 0 in event 0.*comes twice"):
        model.from_tokens(twice)


def test_what_is_no_latents_is_refused(model, digis):
    tokens = model.tokens(digis)
    bad = [tokens[["module", "row", "token"]], ak.flatten(tokens), ak.Array([1, 2])]
    bad += [ak.with_field(tokens, tokens.token + 0.5, "token")]
    bad += [ak.with_field(tokens, ak.mask(tokens.token, tokens.token != 3), "token")]
    bad += [ak.mask(tokens, [True, False])]
    for one in bad:
        with pytest.raises(PixlabError, match=f"no latents of codec '{model.codec.key}'") as caught:
            model.from_tokens(one)
        assert "\n" not in str(caught.value)
    with pytest.raises(PixlabError, match="fitted on detector"):
        model.tokens(random_digis("phase2", n_digis=10))
