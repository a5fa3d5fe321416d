"""`PatchVQVAE`: the choice of tokens, the network's costs, and what training is good for."""

from __future__ import annotations

import numpy as np
import pytest

import pixlab
from pixlab.codecs import PatchVQ, PatchVQVAE
from pixlab.codecs.patch_vq import cut
from pixlab.codecs.tile_choice import BRIDGE, CHARGE, ONE, PIXEL, PLACE, SHADE, choose, surroundings
from pixlab.errors import FormatError
from pixlab.plots import training
from tests.helpers import random_digis


@pytest.fixture(scope="module")
def model(digis):
    return PatchVQVAE(codebook_size=128, epochs=6).fit(digis[:1])


def _costs(digis, book, price, tile, tokens):
    """What each codeword costs each tile, given the tokens before: from the definition, in floats."""
    tiles = cut(digis, *tile)
    clusters = pixlab.cluster(digis, thresholds=False)
    weight = np.maximum(digis.adc, 1).astype(float)
    place = np.stack([np.ones(digis.n_digis), digis.row, digis.col], axis=1)
    sums, told = np.zeros((2, len(clusters), 3))  # told: by tokens, less the truth
    np.add.at(sums, clusters.label, weight[:, None] * place)
    frame = np.repeat(np.arange(len(tiles.frame_offsets) - 1), np.diff(tiles.frame_offsets))
    own = np.add.reduceat(weight[tiles.digi], tiles.offsets[:-1])
    counts = np.where(book > 0, np.maximum(book.astype(float) - 1, 1), 0)
    y, x = np.divmod(np.arange(book.shape[1]), tile[1])
    costs = np.zeros((len(own), len(book)))
    tile_of = np.empty(digis.n_digis, int)
    tile_of[tiles.digi] = np.repeat(np.arange(len(own)), np.diff(tiles.offsets))
    frame_of = np.empty(digis.n_digis, int)
    frame_of[tiles.digi] = frame[tile_of[tiles.digi]]
    where = zip(frame_of, digis.row.tolist(), digis.col.tolist(), strict=True)
    table = dict(zip(where, tile_of, strict=True))
    steps = [(a, b) for a in (-1, 0, 1) for b in (-1, 0, 1)]
    for t in np.lexsort((own, frame)):
        of = tiles.digi[tiles.offsets[t] : tiles.offsets[t + 1]]
        c = max(clusters.label[of], key=lambda c: (sums[c, 0], c))
        charge, centre = max(sums[c, 0], 8), sums[c, 1:] / sums[c, 0]
        picture = np.zeros(book.shape[1])
        picture[tiles.pixel[tiles.offsets[t] : tiles.offsets[t + 1]]] = digis.adc[of] + 1.0
        at = [np.ones(len(y)), tiles.row[t] * tile[0] + y, tiles.col[t] * tile[1] + x]
        off = told[c] + counts @ np.stack(at, axis=1) - weight[of] @ place[of]
        both = (book > 0) & (picture > 0)
        shade = np.log(np.where(both, book, 1)) - np.log(np.where(both, picture, 1))
        moved = (off[:, 1:] - centre * off[:, :1]) / charge
        costs[t] = price / ONE + PIXEL * ((book > 0) != (picture > 0)).sum(axis=1)
        for pixel, i in zip(tiles.pixel[tiles.offsets[t] : tiles.offsets[t + 1]], of, strict=True):
            near = [(frame_of[i], int(digis.row[i]) + a, int(digis.col[i]) + b) for a, b in steps]
            if any(table.get(at, t) != t for at in near):
                costs[t] += BRIDGE * (book[:, pixel] == 0)
        costs[t] += SHADE * (shade**2).sum(axis=1)
        costs[t] += CHARGE * (off[:, 0] / charge) ** 2 + PLACE * (moved**2).sum(axis=1)
        told[c] = off[tokens[t]]
    return costs


@pytest.mark.parametrize("tile", [(4, 4), (3, 7)])
def test_tokens_are_those_that_cost_least(digis, tile):
    book = PatchVQ(codebook_size=40, tile_rows=tile[0], tile_cols=tile[1]).fit(digis).codebook
    price = np.random.default_rng(1).integers(0, 500, len(book))
    tiles = cut(digis, *tile)
    tokens = choose(tiles, surroundings(digis, tiles, tile), book, price, tile)
    costs = _costs(digis, book, price, tile, tokens)
    best = costs.min(axis=1)
    # rounding may decide between codewords that cost about the same
    assert (costs[np.arange(len(tokens)), tokens] <= 1.02 * best + 0.05).all()
    assert (tokens != costs.argmin(axis=1)).mean() < 0.01


def test_the_networks_product_is_the_sum_of_its_errors():
    import torch

    from pixlab.networks.tiles import TileNetwork, Weights

    torch.manual_seed(1)
    network = TileNetwork((3, 5), 20, 8, 4.0, 5.5, Weights(PIXEL, CHARGE, PLACE, SHADE))
    hit = torch.rand(50, 15) < 0.3
    logs = torch.where(hit, 5 * torch.rand(50, 15), -1.0)
    lost = 1 + 2 * (torch.rand(50, 15) < 0.5)
    batch = (logs, lost, torch.rand(50) * 500 + 100, 4 * torch.rand(50, 2))
    mask, read = torch.randn(20, 15), 5 * torch.rand(20, 15)
    found = network.costs(batch, mask, read)
    for k in range(20):
        one = (mask[k].expand(50, -1), read[k].expand(50, -1))
        wanted = sum(network.errors(batch, *one).values())
        torch.testing.assert_close(found[:, k], wanted, rtol=1e-3, atol=1e-3)


def test_what_is_learned_beats_k_means(digis, model):
    """At the same number of codes, on an event that neither was fitted on, for fewer bits."""
    plain = PatchVQ(codebook_size=128).fit(digis[:1])
    bits, table = {}, {}
    for name, m in (("plain", plain), ("learned", model)):
        bits[name] = m.encode(digis[1]).nbytes
        table[name] = pixlab.compare(digis[1], m.quantize(digis[1])).table["all"]
    assert bits["learned"] < 1.02 * bits["plain"]
    assert table["learned"]["charge_rms"] < 0.9 * table["plain"]["charge_rms"]
    assert table["learned"]["size_unchanged"] > table["plain"]["size_unchanged"] + 0.02
    assert abs(table["learned"]["charge_bias"]) < 0.06


def test_codes_are_used_and_training_is_told(digis, model):
    (usage,) = model.usage(digis[:1])
    assert usage.dead <= 0.05 * len(usage)
    log = model.log
    assert len(log) <= 6
    assert {"pixel", "charge", "place", "bits", "held_out_bits", "perplexity"} <= set(log)
    assert log["held_out_pixel"].iloc[-1] < log["held_out_pixel"].iloc[0]
    assert len(training(log)) >= 3


def test_bits_cost_what_the_knob_says(digis):
    knobs = {"codebook_size": 64, "epochs": 3}
    cheap, dear = (PatchVQVAE(**knobs, rate_weight=w).fit(digis[:1]) for w in (0.0, 4.0))
    assert not cheap.arrays["prices"].any()
    said = [len(m.encode(digis[1]).chunks[0].sections["codes"]) for m in (cheap, dear)]
    assert said[1] < 0.95 * said[0]


def test_damaged_prices_are_refused(model):
    for bad in (model.arrays["prices"][1:], model.arrays["prices"].astype(np.int32)):
        with pytest.raises(FormatError, match="prices"):
            type(model)(model.codec, model.detector, model.arrays | {"prices": bad})


@pytest.mark.parametrize("detector", ["phase2", "toy"])
def test_other_detectors_are_learned_as_well(detector):
    from tests.helpers import small_detector

    own = small_detector() if detector == "toy" else detector
    digis = random_digis(own, n_digis=500, seed=2)
    model = PatchVQVAE(codebook_size=16, epochs=1).fit(digis)
    assert model.decode(model.encode(digis)) == model.quantize(digis)


# -- ONNX ---------------------------------------------------------------------------------------
@pytest.fixture(scope="module", params=[(4, 4), (3, 7)], ids=str)
def exported(request, digis, tmp_path_factory):
    """A model with tiles of this size, and its encoder and decoder in onnxruntime."""
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    rows, cols = request.param
    model = PatchVQVAE(codebook_size=50, tile_rows=rows, tile_cols=cols, epochs=2).fit(digis[:1])
    graphs = []
    for path in model.export_onnx(tmp_path_factory.mktemp("onnx")):
        session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        graphs.append(lambda inputs, session=session: session.run(None, inputs)[0])
    return model, *graphs


def test_the_decoder_in_onnx_gives_the_pictures(exported):
    model, _, decoder = exported
    token = np.random.default_rng(1).integers(0, len(model.codebook), 500)
    assert (decoder({"token": token}) == model.codebook[token]).all()


@pytest.mark.parametrize("kind", ["real", "crowded"])
def test_the_encoder_in_onnx_chooses_as_the_codec(exported, digis, kind):
    """Every tile, given what the tiles of its cluster before it did to charge and barycentre."""
    model, encoder, _ = exported
    if kind == "crowded":
        test = random_digis(n_digis=2000, n_events=2, adc_max=255, seed=5)
    else:
        test = digis[1:]
    tiles, tokens = model.tell(test)
    around = surroundings(test, tiles, model.tile)
    inputs = _seen(tiles, around, model, tokens)
    assert (encoder(inputs) == tokens).all()
    # without what it is told of the cluster it could not
    alone = inputs | {"over": np.zeros_like(inputs["over"])}
    assert (encoder(alone) != tokens).any()


def test_a_cluster_in_one_tile_needs_no_more_than_itself(exported):
    model, encoder, _ = exported
    rows, cols = model.tile
    picture = np.zeros((rows, cols), int)
    picture[1:3, 1] = 100, 61  # counts + 1
    charge = 99 + 60
    inputs = {"tile": picture.reshape(1, -1), "bridge": np.zeros((1, rows * cols), int)}
    inputs |= {"charge": np.array([charge]), "over": np.zeros((1, 3), int)}
    inputs["centre"] = ONE * np.array([[99 + 2 * 60, charge]]) // charge
    place = (8 * rows + np.array([1, 2]), 5 * cols + np.array([1, 1]))
    alone = pixlab.Digis.from_arrays(
        [0, 0], [model.detector.detid[7]] * 2, *place, [99, 60], detector="phase1"
    )
    assert encoder(inputs).tolist() == model.tell(alone)[1].tolist()


def _seen(tiles, around, model, tokens):
    """What the encoder in ONNX is given for tiles, of which these were the tokens."""
    n = len(tokens)
    tile, bridge = np.zeros((2, n, model.codebook.shape[1]), int)
    which = np.repeat(np.arange(n), np.diff(tiles.offsets))
    tile[which, tiles.pixel] = tiles.adc + 1
    bridge[which, tiles.pixel] = around.bridge
    places = np.stack(
        [np.ones(tile.shape[1], int), *np.divmod(np.arange(tile.shape[1]), model.tile[1])], 1
    )
    own, told = (
        np.where(x > 0, np.maximum(x - 1, 1), 0) @ places
        for x in (tile, model.codebook[tokens].astype(int))
    )
    off = told - own
    off[:, 1:] = ONE * off[:, 1:] - around.centre * off[:, :1]
    over, of_cluster = np.zeros_like(off), np.zeros((around.n, 3), int)
    for t in np.lexsort((own[:, 0], tiles.frame)):
        over[t] = of_cluster[around.cluster[t]]
        of_cluster[around.cluster[t]] += off[t]
    return {
        "tile": tile,
        "bridge": bridge,
        "charge": around.charge,
        "centre": around.centre,
        "over": over,
    }
