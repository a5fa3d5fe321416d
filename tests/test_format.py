"""docs/format.md says enough: a reader written from it alone reads what pixlab writes."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest

import pixlab
from pixlab.io import info
from tests import second_clusters, second_reader
from tests.helpers import full_module, random_digis

GOLDEN = Path(__file__).parent / "golden"


def _read(path):
    detector = pixlab.DETECTORS["phase1"]
    table = detector.detid.tolist(), detector.layer.tolist()
    if info(path)["codec"] in ("cluster-vq", "residual-vq"):
        rows = second_clusters.read(path, *table)
    else:
        rows = second_reader.read(path, *table, detector.adc_max)
    columns = np.array(rows, np.int64).reshape(-1, 5).T
    n_events = info(path)["events"]
    return pixlab.Digis.from_arrays(*columns, detector=detector, n_events=n_events)


CLUSTERS = ["cluster-vq", "cluster-vq-drawn", "residual-vq", "residual-vq-drawn"]


@pytest.mark.parametrize("key", ["lossless", "scalar", *CLUSTERS])
def test_golden_files_read_the_same(key):
    assert _read(GOLDEN / f"{key}.pxl") == pixlab.read(GOLDEN / f"{key}.pxl")


@pytest.mark.parametrize(
    ("codec", "digis"),
    [
        ("lossless", random_digis(n_events=3, n_digis=3000, n_modules=9, adc_max=1023, seed=2)),
        ("lossless", random_digis(n_events=2, n_digis=60, n_modules=1800, seed=3)),
        ("lossless", full_module(adc=7).select(mask=np.arange(160 * 416) % 7 > 0)),
        ("lossless", pixlab.Digis.empty("phase1", 3)),
        ("scalar", random_digis(n_digis=2000, n_modules=2, seed=4)),
        ("cluster-vq", random_digis(n_digis=4000, n_modules=1, adc_max=1023, seed=4)),
        ("cluster-vq", full_module(adc=7).select(mask=np.arange(160 * 416) % 31 < 3)),
    ],
    ids=["many bits", "sparse", "dense", "empty", "scalar", "clusters", "long clusters"],
)
def test_other_files_read_the_same(codec, digis, tmp_path, monkeypatch):
    monkeypatch.setattr("pixlab.codecs.base.CHUNK_DIGIS", 1500)
    pixlab.compress(digis, tmp_path / "x.pxl", codec=codec)
    decoded = _read(tmp_path / "x.pxl")
    assert decoded == pixlab.read(tmp_path / "x.pxl")
    assert codec != "lossless" or decoded == digis


def test_values_beyond_what_the_model_saw_read_the_same(tmp_path):
    digis = random_digis(n_events=2, n_digis=800, n_modules=3, seed=5)
    model = pixlab.Lossless().fit(digis)
    loud = digis.with_adc(np.where(np.arange(digis.n_digis) % 50 == 3, 700, digis.adc))
    pixlab.compress(loud, tmp_path / "x.pxl", model=model)
    assert _read(tmp_path / "x.pxl") == loud


def test_the_second_reader_shares_no_code():
    sources = [Path(m.__file__).read_text() for m in (second_reader, second_clusters)]
    imported = {
        name
        for source in sources
        for node in ast.walk(ast.parse(source))
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for name in [getattr(node, "module", None) or node.names[0].name]
    }
    allowed = {"__future__", "json", "struct", "zipfile", "zlib", "collections.abc", "pathlib"}
    allowed |= {"tests.second_reader"}
    assert imported <= allowed
