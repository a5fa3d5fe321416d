"""Decoders on streams that were changed after the checksum: an error, or digis inside the detector."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from pixlab.codecs import Chunk, Codec, Stream, make_codec
from pixlab.digis import Digis
from pixlab.errors import FormatError
from pixlab.io import read
from tests.helpers import random_digis

GOLDEN = Path(__file__).parent / "golden"
KNOBS = {
    "patch-vq": {"codebook_size": 16},
    "cluster-vq": {"target": "loose"},  # clusters that are drawn, and some that are kept
    "residual-vq": {"codebook_size": 16, "residual_size": 8},
    "vqvae": {"codebook_size": 16, "stages": 2, "width": 4, "epochs": 2},
    "patch-vqvae": {"codebook_size": 16, "width": 8, "epochs": 2},
    "autoencoder": {"width": 8, "epochs": 2},
}
# settings that add to the streams of a codec
VARIANTS = {
    "lossless-max": ("lossless", {"effort": "max"}),  # follow tracks
    "cluster-vq-max": ("cluster-vq", {"effort": "max"}),
    "vqvae-loose": ("vqvae", {"target": "loose", "codebook_size": 16, "width": 4, "epochs": 2}),
    "vqvae-classes": ("vqvae", {"codebook_size": 256, "width": 4, "epochs": 2}),
}


def codec_called(name: str) -> Codec:
    """The codec of that name, with settings that fit on few digis; also those of `VARIANTS`."""
    name, knobs = VARIANTS.get(name, (name, KNOBS.get(name, {})))
    return make_codec(name, **knobs)


def mutated(chunk: Chunk, rng: np.random.Generator) -> Chunk:
    """A chunk with a section that has other bytes, other words, fewer or more of them."""
    sections = dict(chunk.sections)
    names = sorted(sections)
    name = names[rng.integers(len(names))]
    data = bytearray(sections[name])
    for _ in range(rng.integers(1, 4)):
        if not data:
            break
        at, kind = rng.integers(len(data)), rng.random()
        if kind < 0.6:
            data[at] = rng.integers(256)
        elif kind < 0.75:  # a whole word, for instance of a count
            data[at : at + 4] = rng.choice([b"\0\0\0\0", b"\xff\xff\xff\xff", rng.bytes(4)])
        elif kind < 0.9:
            del data[at : at + rng.integers(1, 9)]
        else:
            data[at:at] = rng.bytes(rng.integers(1, 9))
    if rng.random() < 0.1:
        data = data[: rng.integers(len(data) + 1)]
    sections[name] = bytes(data)
    changes: dict[str, object] = {"sections": sections}
    if rng.random() < 0.1:
        changes["n_digis"] = int(rng.integers(0, 1 << 27))
    if rng.random() < 0.05:
        changes["n_events"] = int(rng.integers(0, 1 << 22))
    return dataclasses.replace(chunk, **changes)


def fuzz(codec: str, trials: int, seed: int) -> None:
    """Decode `trials` mutated streams of a codec, or of one of `VARIANTS`."""
    digis = random_digis(n_events=2, n_digis=150, n_modules=4, seed=7)
    tracks = codec.endswith("-max")
    if tracks:  # the fewest digis that make it worth while
        digis = read(GOLDEN / "lossless-max.pxl", events=(1, 2))
    loud = digis.with_adc(np.where(np.arange(digis.n_digis) % 40 == 5, 900, digis.adc))
    flagged = dataclasses.replace(digis, flag=np.arange(digis.n_digis) % 3 == 0)
    model = codec_called(codec).fit(digis)
    chunks = [model.encode(d).chunks[0] for d in (digis, loud, flagged)]
    assert all(("tracks" in chunk.sections) == tracks for chunk in chunks)
    detector = digis.detector
    rng = np.random.default_rng(seed)
    refused = 0
    for _ in range(trials):
        bad = mutated(chunks[rng.integers(len(chunks))], rng)
        try:
            out = model.decode(Stream((Chunk.from_bytes(bad.to_bytes()),)))
        except FormatError as error:
            assert "\n" not in str(error)
            refused += 1
            continue
        columns = (out.event, out.detid, out.row, out.col, out.adc)
        assert Digis.from_arrays(*columns, detector=detector, n_events=len(out)) == out
        assert len(out) == bad.n_events
    assert refused > trials / 4
