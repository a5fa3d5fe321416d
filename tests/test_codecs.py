"""The contract of every codec, as `pixlab/codecs/base.py` words it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pixlab
from pixlab.codecs import CODECS, Chunk, Stream, load_model, make_codec, model_from_bytes
from pixlab.codecs.base import CHUNK_DIGIS, split_events
from pixlab.codecs.trained import LOG
from pixlab.detectors import DETECTORS
from pixlab.digis import EVENT_ID, Digis
from pixlab.errors import FormatError, PixlabError
from tests.helpers import full_module, random_digis, skip_unless_installed, small_detector

GOLDEN = Path(__file__).parent / "golden"
# settings that fit on small digis in well under a second
VARIANTS = {
    "lossless": [{}, {"compact": True}, {"effort": "max"}],
    "patch-vq": [
        {"codebook_size": 8},
        {"codebook_size": 2, "tile_rows": 3, "tile_cols": 7},
        {"codebook_size": 300, "tile_rows": 1, "tile_cols": 1, "compact": True},
    ],
    "scalar": [
        {},
        {"levels": 2, "spacing": "lloyd-max", "moments": False},
        {"levels": 256, "spacing": "uniform", "compact": True},
        {"max_error": 3},
        {"levels": 5, "spacing": "noise"},
        {"max_error_electrons": 700.0},
    ],
    "zstd": [{"level": 3}],
    "lzma": [{"preset": 1}],
    "blosc2": [{}, {"compressor": "lz4", "filter": "bitshuffle", "level": 1}],
    "pcodec": [{}, {"level": 1}],
    "sz3": [{}, {"max_error": 0}, {"max_error": 2, "predictor": "interpolation"}],
    "root": [{}, {"algorithm": "lzma", "level": 1}],
    "baler": [{"epochs": 1, "tile_rows": 4}],
    "cluster-vq": [
        {},
        {"codebook_size": 16, "compact": True, "scale": 4.0},
        {"target": "loose"},
        {"codebook_size": 300, "hits": "drawn", "escape": 1.0, "rate_weight": 0.0},
        {"effort": "max"},
    ],
    "residual-vq": [
        {"codebook_size": 8, "residual_size": 4},
        {"stages": 3, "product": True, "residual_size": 16, "target": "loose"},
    ],
    "pca": [{}, {"latents": 2, "step": 2.0, "compact": True}],
    "autoencoder": [{"latents": 3, "width": 8, "epochs": 2}],
    "vqvae": [
        {"codebook_size": 12, "epochs": 2, "width": 4},
        {"codebook_size": 400, "stages": 2, "quantizer": "fsq", "epochs": 1, "target": "loose"},
    ],
    "patch-vqvae": [
        {"codebook_size": 8, "width": 8, "epochs": 2},
        {"codebook_size": 300, "tile_rows": 3, "tile_cols": 7, "epochs": 1, "compact": True},
    ],
}
CASES = [(key, knobs) for key in CODECS for knobs in VARIANTS[key]]
LOSSLESS = {"lossless", "zstd", "lzma", "blosc2", "pcodec", "root"}


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0]} {case[1]}", scope="module")
def codec(request):
    key, knobs = request.param
    skip_unless_installed(key)
    return make_codec(key, **knobs)


@pytest.fixture(scope="module")
def training():
    return random_digis(n_events=4, n_digis=3000, n_modules=12, seed=3)


@pytest.fixture(scope="module")
def model(codec, training):
    return codec.fit(training)


def inputs():
    first = int(pixlab.DETECTORS["phase1"].detid[0])
    ids = np.array([(1, 2, 3), (1, 2, 4), (2**32 - 1, 0, 2**63)], EVENT_ID)
    busy = random_digis(n_events=3, n_digis=2000, adc_max=1023, seed=11)
    flags = np.arange(busy.n_digis) % 7 == 0
    corners = ([0, 0, 159, 159], [0, 415, 0, 415], [0, 1, 254, 1023])
    return {
        "no event": Digis.empty("phase1"),
        "empty events": Digis.empty("phase1", 3),
        "one digi": Digis.from_arrays([1], [first], [5], [7], [0], detector="phase1", n_events=3),
        "corners": Digis.from_arrays([0] * 4, [first] * 4, *corners, detector="phase1"),
        "full module": full_module(adc=255),
        "random": random_digis(seed=5),
        "many modules": random_digis(n_events=2, n_digis=4000, n_modules=1856, seed=6),
        "beyond 8 bits": busy,
        "event ids": dataclasses.replace(busy, event_id=ids),
        "flags": dataclasses.replace(busy, flag=flags),
    }


@pytest.mark.parametrize("name", inputs())
def test_decoding_gives_what_quantizing_gives(model, name):
    digis = inputs()[name]
    wanted = model.quantize(digis)
    stream = model.encode(digis)
    # the model and the stream go through bytes
    read_model = model_from_bytes(model.to_bytes())
    decoded = read_model.decode(Stream.from_bytes(stream.to_bytes()))
    assert decoded == wanted
    assert (stream.n_events, stream.n_digis) == (len(digis), digis.n_digis)
    assert stream.nbytes == sum(stream.ledger.values())
    for key in ("flag", "event_id"):
        assert (getattr(decoded, key) is None) == (getattr(wanted, key) is None)
    assert (digis.event_id is None) == (wanted.event_id is None)
    if model.codec.key in LOSSLESS:
        assert wanted == digis
        assert (digis.flag is None) == (wanted.flag is None)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(seed=st.integers(0, 10**6), n=st.integers(0, 400), modules=st.integers(1, 40),
       adc_max=st.sampled_from([0, 1, 255, 1023]))  # fmt: skip
def test_the_law_holds_for_any_digis(model, seed, n, modules, adc_max):
    digis = random_digis(n_events=3, n_digis=n, n_modules=modules, adc_max=adc_max, seed=seed)
    assert model.decode(model.encode(digis)) == model.quantize(digis)


def test_quantizing_again_changes_nothing_that_matters(model, training):
    once = model.quantize(training)
    assert len(once) == len(training)
    assert (once.n_digis > 0) == (training.n_digis > 0)
    assert model.quantize(training) == once  # deterministic


def test_fitting_again_gives_the_same_model(codec, model, training):
    assert codec.fit(training) == model


def test_a_model_survives_its_file(model, tmp_path):
    model.save(tmp_path / "model.safetensors")
    again = load_model(tmp_path / "model.safetensors")
    assert again == model
    assert again.codec == model.codec
    assert [p.name for p in tmp_path.iterdir()] == ["model.safetensors"]


def test_knobs_round_trip_through_json(codec):
    again = make_codec(codec.key, **json.loads(json.dumps(codec.knobs())))
    assert again == codec
    assert hash(again) == hash(codec)
    assert again.key in repr(CODECS)


def test_every_knob_is_declared_with_bounds_and_doc(codec):
    for name, knob in codec.param.objects("existing").items():
        if name != "name":
            assert knob.doc, name
            assert not hasattr(knob, "bounds") or knob.bounds, name


def test_a_knob_out_of_bounds_or_unknown_is_refused(codec):
    with pytest.raises(PixlabError, match="no knob 'depth'"):
        make_codec(codec.key, depth=3)
    if "codebook_size" in codec.knobs():
        with pytest.raises(PixlabError, match="codebook_size"):
            make_codec(codec.key, codebook_size=1)


def test_another_detector_is_refused(model):
    other = random_digis(small_detector(), n_digis=20)
    for work in (model.encode, model.quantize):
        with pytest.raises(PixlabError, match=r"fitted on detector 'phase1'.*'toy'"):
            work(other)


def test_a_users_own_detector_works(codec):
    digis = random_digis(small_detector(), n_events=5, n_digis=300)
    model = model_from_bytes(codec.fit(digis).to_bytes())
    assert model.decode(model.encode(digis)) == model.quantize(digis)


def test_many_chunks_decode_like_one(model, monkeypatch):
    digis = random_digis(n_events=40, n_digis=4000, seed=9)
    whole = model.encode(digis)
    monkeypatch.setattr("pixlab.codecs.base.CHUNK_DIGIS", 300)
    parts = model.encode(digis)
    assert len(whole.chunks) == 1
    assert len(parts.chunks) > 5
    assert model.decode(parts) == model.decode(whole)


def test_events_are_split_evenly_and_whole(monkeypatch):
    assert CHUNK_DIGIS >= 100_000
    monkeypatch.setattr("pixlab.codecs.base.CHUNK_DIGIS", 500)
    digis = random_digis(n_events=30, n_digis=5000)
    parts = list(split_events(digis))
    assert Digis.concatenate(parts) == digis
    assert max(p.n_digis for p in parts) < 2 * 500
    assert [len(p) for p in split_events(Digis.empty("phase1"))] == [0]


def test_damaged_streams_are_refused(model):
    """Also where the checksum was made to fit: a decoder trusts nothing."""
    digis = random_digis(n_events=2, n_digis=400, seed=2)
    chunk = model.encode(digis).chunks[0]
    rng = np.random.default_rng(0)
    wrong = 0
    for trial in range(60):
        name = sorted(chunk.sections)[trial % len(chunk.sections)]
        data = bytearray(chunk.sections[name])
        if trial % 3 == 0:
            data = data[: rng.integers(0, len(data) + 1)]
        elif data:
            data[rng.integers(0, len(data))] ^= 1 << rng.integers(0, 8)
        bad = dataclasses.replace(chunk, sections={**chunk.sections, name: bytes(data)})
        try:
            out = model.decode(Stream((Chunk.from_bytes(bad.to_bytes()),)))
        except FormatError as error:
            wrong += 1
            assert "chunk 0" in str(error)
        else:  # valid digis of the detector, though perhaps others
            columns = (out.event, out.detid, out.row, out.col, out.adc)
            assert Digis.from_arrays(*columns, detector="phase1", n_events=len(out)) == out
    assert wrong > 5


def test_a_claim_that_the_bytes_do_not_carry_is_refused(model):
    chunk = model.encode(random_digis(n_digis=50)).chunks[0]
    changes = [{"n_events": 2**21}, {"n_digis": 0}]
    if model.codec.key in LOSSLESS:  # elsewhere the number of digis that went in is not decoded
        changes.append({"n_digis": 2**26})
    for change in changes:
        with pytest.raises(FormatError):
            model.decode(Stream((dataclasses.replace(chunk, **change),)))
    for name in chunk.sections:
        left = {k: v for k, v in chunk.sections.items() if k != name}
        # without the mark of how it was coded a hit map is taken for one of the other way
        with pytest.raises(FormatError, match=f"no section '{name}'" if name != "tracks" else "."):
            model.decode(Stream((dataclasses.replace(chunk, sections=left),)))


def test_a_flipped_bit_never_passes_the_checksum(model):
    data = model.encode(random_digis(n_digis=100)).to_bytes()
    rng = np.random.default_rng(1)
    for at in rng.integers(8, len(data), 50):
        bad = bytearray(data)
        bad[at] ^= 1 << rng.integers(0, 8)
        with pytest.raises(FormatError, match="chunk 0"):
            Stream.from_bytes(bytes(bad))
    for size in rng.integers(1, len(data), 50):
        with pytest.raises(FormatError, match="chunk 0"):
            Stream.from_bytes(data[:size])


def test_a_damaged_model_is_refused(model, tmp_path):
    data = model.packed
    rng = np.random.default_rng(2)
    path = tmp_path / "model.safetensors"
    for size in [0, 7, *rng.integers(8, len(data) - 1, 20)]:
        path.write_bytes(data[:size])
        with pytest.raises(FormatError):
            load_model(path)
    for at in rng.integers(0, min(len(data), 600), 60):
        bad = bytearray(data)
        bad[at] ^= 1 << rng.integers(0, 8)
        path.write_bytes(bytes(bad))
        try:
            load_model(path)
        except PixlabError as error:
            assert "\n" not in str(error)
    for name in {*model.needs, LOG} & set(model.arrays):
        left = {k: v for k, v in model.arrays.items() if k != name}
        with pytest.raises(FormatError, match=f"no array '{name}'"):
            dataclasses.replace(model, arrays=left)
        for wrong in (np.zeros(0, np.uint16), np.zeros((2, 2, 2), np.int64)):
            with pytest.raises(FormatError):
                dataclasses.replace(model, arrays={**left, name: wrong}).encode(full_module())
    with pytest.raises(PixlabError, match="cannot read"):
        load_model(tmp_path / "missing")
    with pytest.raises(FormatError):
        model_from_bytes(b"not deflated")


@pytest.mark.parametrize("key", sorted({*CODECS, *(p.stem for p in GOLDEN.glob("*.pxl"))}))
def test_old_files_stay_readable(key):
    """Files written when the format was frozen; scripts/make_golden.py made them."""
    skip_unless_installed(key.removesuffix("-max").removesuffix("-drawn"))
    if key == "baler":
        pytest.skip("its network computes in floating point: another machine gets other digis")
    digis = pixlab.read(GOLDEN / f"{key}.pxl")
    wanted = np.load(GOLDEN / f"{key}.npz")
    for column in ("detid", "row", "col", "adc", "offsets"):
        assert (getattr(digis, column) == wanted[column]).all(), column


@pytest.mark.parametrize("bound", [0, 1, 7, 127])
@pytest.mark.parametrize("detector", ["phase1", "toy"])
def test_scalar_keeps_its_bound(bound, detector):
    own = "phase1" if detector == "phase1" else small_detector()
    digis = random_digis(own, n_digis=3000, adc_max=1023, seed=bound)
    model = make_codec("scalar", max_error=bound).fit(digis[:1])  # levels do not depend on data
    error = model.quantize(digis).adc.astype(int) - digis.adc
    assert np.abs(error).max() == min(bound, np.abs(error).max())
    assert np.abs(error).max() <= bound


@pytest.mark.parametrize("bound", [0.0, 134.9, 135.0, 1000.0, 50_000.0])
@pytest.mark.parametrize("detector", ["phase1", "phase1-run3", "phase2", "phase2-premix", "toy"])
def test_scalar_keeps_its_bound_in_electrons(bound, detector):
    own = DETECTORS[detector] if detector != "toy" else small_detector()
    digis = random_digis(own, n_digis=3000, adc_max=own.adc_max, seed=int(bound))
    model = make_codec("scalar", max_error_electrons=bound).fit(digis[:1])
    table = own.electrons_table.astype(float)
    kind = own.response[own.index(digis.detid)]
    decoded = model.decode(model.encode(digis))
    before, after = table[kind, digis.adc], table[kind, decoded.adc]
    assert np.abs(after - before).max() <= bound
    both = make_codec("scalar", max_error_electrons=bound, max_error=2).fit(digis[:1])
    decoded = both.quantize(digis)
    assert np.abs(table[kind, decoded.adc] - before).max() <= bound
    assert np.abs(decoded.adc.astype(int) - digis.adc).max() <= 2


def test_a_bound_in_electrons_is_used_up():
    digis = pixlab.samples.load("phase1-pu60")[:2]
    rates = []
    for bound in (0.0, 270.0, 1350.0):  # 0, 2 and 10 counts of 135 electrons
        model = make_codec("scalar", max_error_electrons=bound).fit(digis[:1])
        counts = make_codec("scalar", max_error=round(bound / 135)).fit(digis[:1])
        assert (model.arrays["edges"] == counts.arrays["edges"]).all()
        rates.append(model.encode(digis[1:]).nbytes)
    assert rates[0] > rates[1] > rates[2]


def test_levels_are_as_far_apart_as_readout_blurs():
    digis = pixlab.samples.load("phase1-pu60")[:2]
    model = make_codec("scalar", levels=20, spacing="noise", moments=False).fit(digis[:1])
    low = np.concatenate([[digis[:1].adc.min()], model.arrays["edges"]]) * 135.0
    width = np.diff(low)
    middle = (low[1:] + low[:-1]) / 2
    # where pre-mixing drops pixels, at 1,600 electrons, an edge is moved
    width, middle = width[middle > 2500], middle[middle > 2500]
    # the largest charges are blurred most, those about 6,000 electrons least
    assert width[-1] > 5 * width.min()
    assert 3000 < middle[width.argmin()] < 8000
    wide = middle > 10_000
    noise = -432.4 + 0.123 * middle[wide]
    assert np.allclose(width[wide] / noise, (width[wide] / noise).mean(), rtol=0.12)


def test_scalar_keeps_moments_better_where_it_may_move_levels():
    digis = pixlab.samples.load("phase1-pu60")[:3]
    kept = {}
    for moments in (False, True):
        model = make_codec("scalar", levels=8, moments=moments).fit(digis[:2])
        comparison = pixlab.compare(digis[2:], model.quantize(digis[2:]))
        kept[moments] = comparison.table["all"]
    for metric, gain in (("charge_rms", 0.8), ("shift_row", 0.97), ("shift_col", 0.8)):
        assert kept[True][metric] < gain * kept[False][metric], metric


@pytest.mark.parametrize(
    ("key", "knobs"),
    [("scalar", {"levels": 8}), ("scalar", {"levels": 24, "spacing": "noise"}), ("cluster-vq", {})],
)
def test_pre_mixing_drops_the_same_pixels(key, knobs):
    digis = pixlab.samples.load("phase1-pu60")[:2]
    decoded = make_codec(key, **knobs).fit(digis[:1]).quantize(digis)
    empty = Digis.empty("phase1", 2)
    before, after = (pixlab.premix(d, empty) for d in (digis, decoded))
    assert 0 < before.n_digis < digis.n_digis
    assert after == before.with_adc(after.adc)


@pytest.mark.parametrize("key", ["scalar", "cluster-vq"])
def test_an_empty_sample_teaches_nothing(key):
    with pytest.raises(PixlabError, match="no digi to learn"):
        make_codec(key).fit(Digis.empty("phase1", 3))


def test_patch_vq_improves_with_every_code():
    digis = pixlab.samples.load("phase1-pu60")[:2]
    rates, errors = [], []
    for size in (4, 32, 256):
        model = make_codec("patch-vq", codebook_size=size).fit(digis[:1])
        assert len(model.codebook) == size
        rates.append(model.encode(digis[1]).nbytes)
        comparison = pixlab.compare(digis[1], model.quantize(digis[1]))
        errors.append(float(comparison.table.loc["charge_rms", "all"]))
    assert rates == sorted(rates)
    assert errors == sorted(errors, reverse=True)


@pytest.mark.parametrize(("key", "knobs"), [("patch-vq", {}), ("patch-vqvae", {"epochs": 2})])
def test_tiles_that_are_hit_are_all_kept(key, knobs):
    digis = pixlab.samples.load("phase1-pu60")[0]
    model = make_codec(key, codebook_size=2, **knobs).fit(digis)

    def tiles(d):
        return np.unique(np.stack([d.module, d.row // 4, d.col // 4]), axis=1).tolist()

    assert tiles(model.quantize(digis)) == tiles(digis)


def test_patch_vq_needs_something_to_learn_from():
    with pytest.raises(PixlabError, match="no digi to learn a codebook from"):
        make_codec("patch-vq").fit(Digis.empty("phase1", 3))
