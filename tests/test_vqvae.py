"""Learned codecs: training, tokens, export, models that come with pixlab."""

from __future__ import annotations

import dataclasses
import signal
import subprocess
import sys
import time

import awkward as ak
import numpy as np
import pytest
from click.testing import CliRunner

import pixlab
from pixlab.cli import main
from pixlab.codecs import Autoencoder, Model, PatchVQVAE, load_model, make_codec
from pixlab.codecs.blocks import first_events
from pixlab.codecs.code_classes import cells_of
from pixlab.codecs.conditioner import BINS, Conditioner, bins_of, learn_edges
from pixlab.codecs.latents import read_tokens, write_tokens
from pixlab.codecs.lattice import fill_in_gain
from pixlab.codecs.layers import Layers, to_arrays
from pixlab.codecs.pretrained import FOLDER, pretrained
from pixlab.codecs.tokens import KINDS, UNSAID
from pixlab.codecs.vqvae import VQVAE
from pixlab.codecs.windows import logarithms, nearest_counts
from pixlab.errors import Cancelled, FormatError, PixlabError
from pixlab.plots import training
from tests.helpers import random_digis

SMALL = {"codebook_size": 48, "width": 8, "epochs": 4}


@pytest.fixture(scope="module")
def model(digis):
    return VQVAE(**SMALL).fit(digis[:1])


@pytest.fixture(scope="module")
def staged(digis):
    return VQVAE(codebook_size=12, stages=2, width=4, epochs=2, target="loose").fit(digis[:1])


@pytest.fixture(scope="module")
def kept(digis):
    """Loose, but with the hit map."""
    return VQVAE(codebook_size=12, width=4, epochs=2, target="loose", hits="exact").fit(digis[:1])


# -- networks in integers -------------------------------------------------------------------
def test_the_network_in_integers_is_what_exact_arithmetic_gives():
    rng = np.random.default_rng(1)
    n_features, width, outputs = 5, 6, 3
    shapes = {"embed": (n_features * BINS, width), "hidden": (width, width)}
    shapes |= {"hidden_bias": (width,), "out": (width, outputs), "out_bias": (outputs,)}
    arrays = {
        f"net.{k}": rng.integers(-30000, 30000, s).astype(np.int16) for k, s in shapes.items()
    }
    features = rng.integers(0, 256, (50, n_features + 2)).astype(np.uint8)
    arrays["net.edges"] = learn_edges(features[:, :n_features])
    found = Conditioner("net", arrays, n_features, outputs)(features)
    exact = {k.removeprefix("net."): v.astype(object) for k, v in arrays.items()}
    bins = bins_of(arrays["net.edges"])
    for row, wanted in zip(features, found, strict=True):
        x = sum(exact["embed"][bins[f, row[f]]] for f in range(n_features))
        x = np.array([min(max(v, 0), 1 << 20) for v in x], object)
        x = np.array([v >> 8 for v in x @ exact["hidden"]], object) + exact["hidden_bias"]
        x = np.array([min(max(v, 0), 1 << 20) for v in x], object)
        x = np.array([v >> 8 for v in x @ exact["out"]], object) + exact["out_bias"]
        assert x.tolist() == wanted.tolist()


def test_layers_in_integers_follow_those_in_floats():
    rng = np.random.default_rng(2)
    layers = [(rng.normal(size=(4, 8)), rng.normal(size=8)), (rng.normal(size=(8, 2)), np.ones(2))]
    x = rng.normal(size=(100, 4))
    wanted = np.maximum(x @ layers[0][0] + layers[0][1], 0) @ layers[1][0] + layers[1][1]
    found = Layers("net", to_arrays("net", layers), 2, 4, 2)(np.rint(256 * x).astype(np.int64))
    assert np.abs(found / 256 - wanted).max() < 0.15


def test_bins_hold_single_values_where_there_are_few():
    features = np.repeat(np.array([[0], [3], [200]], np.uint8), 5, axis=0)
    bins = bins_of(learn_edges(features))[0]
    assert len({bins[0], bins[3], bins[200]}) == 3
    many = np.arange(256, dtype=np.uint8)[:, None]
    counts = np.bincount(bins_of(learn_edges(many))[0], minlength=BINS)
    assert (counts > 0).all()
    assert counts.max() <= 2 * counts.min()


def test_logarithms_of_counts_are_exact_and_read_back():
    table = logarithms(1023)
    assert np.abs(table - 256 * np.log2(1 + np.arange(1024))).max() <= 1
    # neighbours beyond about 370 have one logarithm
    assert np.abs(nearest_counts(table, table).astype(int) - np.arange(1024)).max() <= 3
    assert (nearest_counts(table, table)[:256] == np.arange(256)).all()


def test_decoding_needs_no_torch(model, digis, tmp_path):
    pixlab.compress(digis, tmp_path / "x.pxl", model=model)
    code = f"import sys, pixlab; d = pixlab.read({str(tmp_path / 'x.pxl')!r})"
    code += "; print(d.n_digis, 'torch' in sys.modules, 'sklearn' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split() == [str(digis.n_digis), "False", "False"]


# -- what it is good for ------------------------------------------------------------------------
def test_hits_stay_and_errors_are_what_the_tolerance_allows(model, digis):
    test = digis[1:]
    decoded = model.quantize(test)
    assert (decoded.row == test.row).all()
    assert (decoded.col == test.col).all()
    table = pixlab.compare(test, decoded).table["all"]
    assert 0.03 < table["charge_rms"] < 0.055
    assert table["shift_row"] < 7
    assert table["shift_col"] < 15


def test_charge_error_buys_smaller_errors_of_the_charge(digis):
    fine = VQVAE(**SMALL, charge_error=0.02).fit(digis[:1])
    table = pixlab.compare(digis[1:], fine.quantize(digis[1:])).table["all"]
    assert 0.01 < table["charge_rms"] < 0.025


@pytest.mark.slow
@pytest.mark.parametrize("size", [256, 1024])
def test_tokens_are_cheaper_and_truer_than_pictures_by_k_means(size):
    digis = pixlab.samples.load("phase1-pu60")
    learned = VQVAE(codebook_size=size, epochs=15).fit(digis[:5])
    means = make_codec("cluster-vq", codebook_size=size).fit(digis[:5])
    test = digis[5:]
    assert learned.encode(test).nbytes < 0.98 * means.encode(test).nbytes
    ours, theirs = (pixlab.compare(test, m.quantize(test)).table["all"] for m in (learned, means))
    for metric in ("shift_row", "shift_col"):
        assert ours[metric] < 0.9 * theirs[metric], metric


def test_codes_are_used(model, digis):
    (usage,) = model.usage(digis)
    assert len(usage) == SMALL["codebook_size"]
    assert usage.counts.sum() > 2000
    assert usage.dead <= 0.1 * len(usage)
    assert usage.perplexity > len(usage) / 4


def test_a_stage_more_makes_errors_smaller(digis):
    errors = []
    for stages in (1, 2):
        codec = VQVAE(codebook_size=8, width=4, epochs=3, stages=stages)
        found = codec.fit(digis[:1])
        assert len(found.usage(digis)) == stages
        table = pixlab.compare(digis[1:], found.quantize(digis[1:])).table["all"]
        errors.append((table["shift_row"], table["shift_col"]))
    assert errors[1] < errors[0]


def test_more_latents_make_errors_smaller(digis):
    errors = []
    for latents in (1, 4, 12):
        found = make_codec("pca", latents=latents).fit(digis[:1])
        table = pixlab.compare(digis[1:], found.quantize(digis[1:])).table["all"]
        errors.append(table["charge_rms"])
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.7 * errors[0]


def test_an_autoencoder_learns(digis):
    found = Autoencoder(width=32, epochs=30).fit(digis[:1])
    log = found.log
    assert len(log) == 30
    for name in ("held_out_pixel", "held_out_place"):
        assert log[name].iloc[-1] < 0.9 * log[name].iloc[0]


# -- training -----------------------------------------------------------------------------------
def test_the_log_is_a_table_and_a_plot(model):
    log = model.log
    assert list(log["epoch"]) == [1, 2, 3, 4]
    assert {"error", "bits", "held_out_error", "perplexity", "usage"} <= set(log)
    assert log["held_out_bits"].between(0.5, np.log2(48)).all()
    figure = training(log)
    assert len(figure) == 3  # error, bits, perplexity


@pytest.mark.parametrize(
    "codec",
    [VQVAE(**SMALL), Autoencoder(latents=2, width=4, epochs=4), PatchVQVAE(**SMALL)],
    ids=["vqvae", "autoencoder", "patch-vqvae"],
)
def test_a_training_that_stops_goes_on_where_it_was(codec, digis, tmp_path):
    checkpoint = tmp_path / "training"
    seen: list[str] = []

    def stop(done: float, what: str) -> bool | None:
        seen.append(what)
        return False if what.startswith("epoch 2") else None

    with pytest.raises(Cancelled):
        codec.fit(digis[:1], checkpoint=checkpoint, progress=stop)
    assert checkpoint.exists()
    logs = []
    again = codec.fit(digis[:1], checkpoint=checkpoint, on_epoch=lambda log: logs.append(len(log)))
    assert logs == [3, 4]  # two epochs were not trained again
    assert again == codec.fit(digis[:1])
    assert [p.name for p in tmp_path.iterdir()] == ["training"]


def test_a_checkpoint_of_something_else_is_refused(digis, tmp_path):
    checkpoint = tmp_path / "training"
    VQVAE(**SMALL | {"epochs": 1}).fit(digis[:1], checkpoint=checkpoint)
    with pytest.raises(PixlabError, match="other settings or data"):
        VQVAE(**SMALL).fit(digis[:1], checkpoint=checkpoint)
    with pytest.raises(PixlabError, match="other settings or data"):
        VQVAE(**SMALL | {"epochs": 1}).fit(digis[1:], checkpoint=checkpoint)
    data = bytearray(checkpoint.read_bytes())
    for bad in (data[:100], data[:-50], b"", b"\0" * 64):
        checkpoint.write_bytes(bytes(bad))
        with pytest.raises(FormatError, match="remove it"):
            VQVAE(**SMALL | {"epochs": 1}).fit(digis[:1], checkpoint=checkpoint)


@pytest.mark.slow
def test_a_killed_training_loses_one_epoch_at_most(tmp_path):
    command = [sys.executable, "-c", "from pixlab.cli import main; main()", "fit", "vqvae"]
    command += ["sample:phase1-pu60", str(tmp_path / "m.safetensors"), "--events", "0:2"]
    command += ["--codebook-size", "64", "--epochs", "8", "--patience", "100"]
    checkpoint = tmp_path / "m.safetensors.training"
    process = subprocess.Popen(command)
    deadline = time.monotonic() + 300
    while not checkpoint.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert checkpoint.exists()
    assert not (tmp_path / "m.safetensors").exists()
    subprocess.run(command, check=True)
    assert not checkpoint.exists()
    whole = VQVAE(codebook_size=64, epochs=8, patience=100).fit(
        pixlab.samples.load("phase1-pu60")[:2]
    )
    assert load_model(tmp_path / "m.safetensors") == whole


@pytest.mark.parametrize("kind", [VQVAE, PatchVQVAE])
def test_blocks_of_events_teach_like_a_list_of_them(kind, digis):
    class Blocks:
        opened = 0

        def __iter__(self):
            self.opened += 1
            return iter([digis[:1], digis[1:]])

    codec = kind(**SMALL | {"epochs": 2, "codebook_size": 12})
    blocks = Blocks()
    found = codec.fit(blocks)
    assert found == codec.fit([digis[:1], digis[1:]])
    assert blocks.opened > 4  # each epoch went through them again
    assert found != codec.fit(digis[:1])  # the second block taught something
    with pytest.raises(PixlabError, match="can be read only once"):
        codec.fit(iter([digis]))


@pytest.mark.parametrize("kind", [VQVAE, PatchVQVAE])
def test_contexts_are_learned_from_the_first_events(kind, digis, monkeypatch):
    """A stream is never held as a whole: what is not trained needs enough of it, from the start."""
    monkeypatch.setattr("pixlab.codecs.blocks._ENOUGH", digis[:1].n_digis)
    codec = kind(**SMALL | {"epochs": 1, "codebook_size": 12})
    empty = pixlab.Digis.empty("phase1", 1)
    assert first_events([empty, digis[:1], digis[1:]]) == pixlab.Digis.concatenate(
        [empty, digis[:1]]
    )
    assert codec.fit([empty, digis[:1], digis[1:]]).quantize(digis).n_digis


def test_training_ends_early_where_nothing_is_gained(digis):
    found = VQVAE(**SMALL | {"epochs": 40, "patience": 1, "learning_rate": 1e-6}).fit(digis[:1])
    assert len(found.log) < 40


def test_where_there_is_nothing_to_learn():
    single = random_digis(n_digis=1)
    with pytest.raises(PixlabError, match="no cluster has more than one pixel"):
        VQVAE(**SMALL).fit(single)
    with pytest.raises(PixlabError, match="no GPU"):
        VQVAE(**SMALL).fit(random_digis(), device="cuda")
    for codec in (VQVAE(), Autoencoder(), PatchVQVAE(), make_codec("pca")):
        with pytest.raises(PixlabError, match="no digi to learn"):
            codec.fit(pixlab.Digis.empty("phase1", 2))


@pytest.mark.parametrize("codec", ["vqvae", "patch-vqvae"])
def test_the_command_line_trains(codec, tmp_path):
    out, log = tmp_path / "m.safetensors", tmp_path / "log.csv"
    arguments = ["--codebook-size", "12", "--epochs", "1", "--width", "4", "--events", "0:1"]

    def fit(*more: str) -> Model:
        command = ["fit", codec, "sample:phase1-pu60", str(out), *arguments, *more]
        result = CliRunner().invoke(main, command, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return load_model(out)

    found = fit("--log", str(log))
    assert log.read_text().startswith("epoch,")
    assert {p.name for p in tmp_path.iterdir()} == {out.name, log.name}
    assert found.codec.epochs == 1
    assert fit("--stream") == found


@pytest.mark.parametrize("codec", ["zstd", "patch-vq", "autoencoder"])
def test_other_codecs_need_their_events_in_memory(codec, tmp_path):
    command = ["fit", codec, "sample:phase1-pu60", str(tmp_path / "m"), "--stream"]
    wrong = CliRunner().invoke(main, command)
    assert wrong.exit_code == 2
    assert "needs its events in memory" in wrong.output


# -- latents ------------------------------------------------------------------------------------
@pytest.mark.parametrize("which", ["model", "staged", "kept"])
def test_latents_say_everything(which, request, digis, tmp_path):
    model = request.getfixturevalue(which)
    tokens = model.tokens(digis)
    assert len(tokens) == len(digis)
    assert model.from_tokens(tokens) == model.quantize(digis)
    order = np.random.default_rng(1).permutation(len(tokens[0]))
    assert model.from_tokens(tokens[:1, order]) == model.quantize(digis[:1])
    write_tokens(tokens, tmp_path / "tokens.parquet")
    assert model.from_tokens(read_tokens(tmp_path / "tokens.parquet")) == model.quantize(digis)
    assert [p.name for p in tmp_path.iterdir()] == ["tokens.parquet"]
    assert ak.max(tokens.token) < model.codec.codebook_size
    assert ak.max(tokens.token) > 0
    single = ak.num(tokens.pixels, axis=2) == 1
    assert ak.all(tokens.token[single] == -1)
    assert ("tilt" in tokens.fields) == model.codec.draws == (which == "staged")
    assert ("token1" in tokens.fields) == (model.codec.stages == 2)


@pytest.mark.parametrize("which", ["model", "staged"])
def test_latents_of_hard_digis(which, request):
    model = request.getfixturevalue(which)
    hard = random_digis(n_events=4, n_digis=3000, adc_max=1023, seed=4)
    assert model.from_tokens(model.tokens(hard)) == model.quantize(hard)
    assert ak.any(model.tokens(hard).explicit)
    empty = pixlab.Digis.empty("phase1", 3)
    assert model.from_tokens(model.tokens(empty)) == empty


def test_latents_that_make_no_sense_are_refused(model, digis, tmp_path):
    tokens = model.tokens(digis[:1])
    with pytest.raises(PixlabError, match="no latents of codec"):
        model.from_tokens(tokens[["module", "token"]])
    for gap in (ak.mask(tokens.token, tokens.token != 3), tokens.token + 0.5):
        with pytest.raises(PixlabError, match="whole numbers has others, or gaps"):
            model.from_tokens(ak.with_field(tokens, gap, "token"))
    for charge in (-1, 1 << 40):
        with pytest.raises(PixlabError, match="a charge of these latents is outside"):
            model.from_tokens(
                ak.with_field(tokens, ak.full_like(tokens.charge, charge, dtype="int64"), "charge")
            )
    with pytest.raises(PixlabError, match="not of the codebook"):
        model.from_tokens(ak.with_field(tokens, tokens.token + 100, "token"))
    with pytest.raises(PixlabError):  # one more column to the right: off the sensor, or touching
        model.from_tokens(ak.concatenate([tokens, ak.with_field(tokens, tokens.col + 1, "col")], 1))
    with pytest.raises(PixlabError):
        model.from_tokens(ak.with_field(tokens, tokens.detid * 0 + 5, "detid"))
    (tmp_path / "x.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(PixlabError, match="cannot read latents"):
        read_tokens(tmp_path / "x.parquet")
    with pytest.raises(PixlabError, match="fitted on detector"):
        model.tokens(random_digis("phase2", n_digis=10))


def test_drawn_latents_that_make_no_sense_are_refused(staged, digis):
    tokens = staged.tokens(digis[:1])
    drawn = ak.num(tokens.pixels, axis=2) == 0
    assert ak.mean(drawn) > 0.5  # all others are explicit
    assert ak.all(tokens.explicit != drawn)

    def refused(match, **columns):
        changed = tokens
        for name, values in columns.items():
            changed = ak.with_field(changed, values, name)
        with pytest.raises(PixlabError, match=match):
            staged.from_tokens(changed)

    for high in (0, 81, 1 << 40):
        refused("does not fit its module", high=ak.where(drawn, high, 0))
    refused("does not fit its module", col=ak.where(drawn, 416, tokens.col))
    for col in (-1, (1 << 63) - 1):
        refused("does not fit its module", col=ak.where(drawn, col, tokens.col))
    refused("neither 0 nor 1", tilt=tokens.tilt + 2)
    refused("neither drawn nor explicit", explicit=ak.zeros_like(tokens.explicit))
    refused("a charge of these latents", charge=tokens.charge - (1 << 26))
    refused("not of the codebook", token1=tokens.token1 + 100)
    refused("module", detid=ak.where(drawn, 5, tokens.detid))
    refused("no latents of codec", wide=tokens.wide + 0.5)
    with pytest.raises(PixlabError, match="no latents of codec"):
        staged.from_tokens(tokens[[f for f in tokens.fields if f != "tilt"]])
    twice = ak.concatenate([tokens[drawn], tokens[drawn]], axis=1)
    with pytest.raises(PixlabError, match="overlap"):
        staged.from_tokens(twice)
    beside = ak.with_field(tokens[drawn], tokens[drawn].col + tokens[drawn].wide, "col")
    with pytest.raises(PixlabError, match=r"overlap|touch|does not fit"):
        staged.from_tokens(ak.concatenate([tokens[drawn], beside], axis=1))
    one = tokens[drawn][:, :1]
    pair = ak.concatenate([one, ak.with_field(one, one.col + one.wide, "col")], axis=1)
    with pytest.raises(PixlabError, match="touch each other"):
        staged.from_tokens(pair)


@pytest.mark.parametrize("which", ["model", "staged"])
def test_onnx_agrees_with_the_codec(which, request, digis, tmp_path):
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    model = request.getfixturevalue(which)
    encoder, decoder = (
        runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        for path in model.export_onnx(tmp_path)
    )
    told, drawn = model.tell(digis[1:])
    subjects, coder = told.of.subjects, model.token_coder
    if drawn is not None:
        told, subjects = drawn, model.subjects_of(drawn.of.boxes, drawn.of.tilt, 1)
        fill_in_gain(subjects, told.logs)
    own = subjects.free > 0
    features = subjects.features[own, :-UNSAID].astype(np.int64)
    tokens = np.stack(coder.tokens(subjects, told.shapes), axis=1)[own]
    (offsets,) = decoder.run(None, {"features": features, "tokens": tokens})
    assert (offsets == told.shapes.offsets[own]).all()
    # the encoder takes what is nearest; with no price of bits and one stage, so does the codec
    kind = np.searchsorted(KINDS, subjects.free[own])
    inputs = {"features": features, "kind": kind, "barycentre": offsets}
    inputs["cell"] = cells_of(subjects)[own]
    inputs["spacing"] = subjects.steps[own, 1:] / 16
    (nearest,) = encoder.run(None, inputs)
    if coder.stages == 1:
        shapes = coder.tell(subjects, told.logs, told.shapes.offsets, rate_weight=0.0)
        (theirs,) = decoder.run(None, {"features": features, "tokens": nearest})
        assert (theirs == shapes.offsets[own]).all()
        assert (theirs == offsets).all()
    assert (coder.network(subjects.features)[:, :2] != 0).any()


# -- models that come with pixlab -------------------------------------------------------------------
def test_pretrained_codebooks_are_there_and_small():
    assert {f"phase1-vqvae-{n}" for n in (64, 256, 1024, 4096)} <= set(pretrained())
    assert sum(p.stat().st_size for p in FOLDER.glob("*.safetensors")) < 2_000_000
    with pytest.raises(PixlabError, match="phase1-vqvae-1024"):
        load_model("phase1-vqvae-1025")


@pytest.mark.parametrize("name", [f"phase1-vqvae-{n}" for n in (64, 256, 1024, 4096)])
def test_a_pretrained_codebook_serves_events_that_it_never_saw(name, digis):
    model = load_model(name)
    assert f"codebook_size={name.split('-')[-1]}" in repr(model)
    decoded = model.decode(model.encode(digis))
    assert decoded == model.quantize(digis)
    table = pixlab.compare(digis, decoded).table["all"]
    assert table["charge_rms"] < 0.055
    assert table["size_unchanged"] > 0.999
    many = model.codec.codebook_size >= 256
    assert table["shift_row"] < (3.3 if many else 6)
    assert table["shift_col"] < (7.7 if many else 14)


def test_a_pretrained_codebook_refuses_other_detectors():
    model = load_model("phase1-vqvae-256")
    for detector in ("fei4", "phase2"):
        with pytest.raises(PixlabError, match=f"fitted on detector 'phase1'.*'{detector}'"):
            model.encode(random_digis(detector, n_digis=50))


@pytest.mark.parametrize("detector", ["fei4", "trackml", "acts-generic", "phase2"])
def test_a_short_fit_serves_another_detector(detector):
    digis = random_digis(detector, n_events=4, n_digis=3000, seed=1)
    model = VQVAE(codebook_size=16, width=4, epochs=1).fit(digis)
    assert model.decode(model.encode(digis)) == model.quantize(digis)


def test_a_damaged_codebook_is_refused(model):
    part = "code.0.b.book"
    for wrong in (np.zeros((1, 2), np.int16), np.zeros((8, 3), np.int16), np.zeros((8, 2))):
        with pytest.raises(FormatError):
            dataclasses.replace(model, arrays={**model.arrays, part: wrong}).token_coder  # noqa: B018
