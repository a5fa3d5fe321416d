"""Hit maps coded with tracks: the geometry of helices, what it gains, and where it gives way."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest

import pixlab
from pixlab.codecs import Stream, make_codec, model_from_bytes
from pixlab.codecs.hitmaps import to_hits
from pixlab.coding.tracking import TrackingCoder
from pixlab.coding.tracking.coder import _by_columns, _by_rows
from pixlab.coding.tracking.helix import ONE, arc, azimuth, chord, circle, crossing, isqrt, walk
from pixlab.coding.tracking.planes import Geometry, describe, make_planes
from pixlab.detectors import Detector
from pixlab.digis import Digis
from pixlab.errors import FormatError
from tests.fuzz import KNOBS
from tests.helpers import full_module, random_digis

PHASE1 = pixlab.DETECTORS["phase1"]


@pytest.fixture(scope="module")
def events():
    return pixlab.simulate(4, pileup=30, fixed_pileup=True, seed=3)


@pytest.fixture(scope="module")
def model(events):
    return pixlab.Lossless(effort="max").fit(events[:2])


# -- geometry ---------------------------------------------------------------------------------
@pytest.mark.parametrize("v", [0, 1, 2, 3, 4, 99, 2**31, 2**61 - 1, 2**62 - 1])
def test_isqrt(v):
    root = int(isqrt(v))
    assert root**2 <= v < (root + 1) ** 2


def test_azimuth_turns_once_around():
    phi = np.linspace(0, 2 * np.pi, 1000, endpoint=False)
    found = np.array([azimuth(int(1e5 * np.cos(p)), int(1e5 * np.sin(p))) for p in phi])
    off = (found - phi / (2 * np.pi) * 65536 + 32768) % 65536 - 32768
    assert np.abs(off).max() < 65536 * 0.35 / 360


def test_helices_pass_through_their_points():
    rng = np.random.default_rng(1)
    for _ in range(300):
        k = rng.uniform(-4e-6, 4e-6)  # half curvature, 1/um
        phi, s1 = rng.uniform(0, 2 * np.pi), rng.uniform(25e3, 60e3)
        s2 = s1 + rng.uniform(20e3, 60e3)
        if abs(2 * k * s2) > 2.5:
            continue
        # in floats: chord and angle of a circle through the origin
        at = [
            (np.sin(k * s) / k * np.cos(phi + k * s), np.sin(k * s) / k * np.sin(phi + k * s))
            for s in (s1, s2)
        ]
        (x1, y1), (x2, y2) = [(round(x), round(y)) for x, y in at]
        r1, r2 = isqrt(x1 * x1 + y1 * y1), isqrt(x2 * x2 + y2 * y2)
        ok, wx, wy, half = circle(x1, y1, r1, x2, y2, r2)
        assert ok
        assert half / 2**44 == pytest.approx(k, abs=2e-9)
        assert wx / ONE == pytest.approx(np.cos(phi), abs=1e-3)
        assert wy / ONE == pytest.approx(np.sin(phi), abs=1e-3)
        for s, (x, y), r in ((s1, at[0], r1), (s2, at[1], r2)):
            length = arc(half, r)
            assert length == pytest.approx(s, abs=15)
            assert chord(half, length) == pytest.approx(r, abs=5)
            assert walk(wx, wy, half, length)[:2] == pytest.approx((x, y), abs=12)


def test_tracks_cross_modules_where_straight_lines_do():
    planes = make_planes(PHASE1, describe(Geometry(PHASE1)))
    for m in (0, 500, 1000, 1343):  # of the barrel
        x, y, z = (int(v) for v in planes.centre[m])
        r = isqrt(x * x + y * y)
        ok, length, u, v, _, _ = crossing(
            planes, m, (x << 20) // r, (y << 20) // r, 0, (z << 20) // r, 0, r
        )
        assert ok
        assert (length, u, v) == (pytest.approx(r, abs=3), pytest.approx(0, abs=3),
                                  pytest.approx(0, abs=12))  # fmt: skip


# -- coding -----------------------------------------------------------------------------------
def test_orders_are_inverse(events):
    hits = to_hits(events)
    back = _by_rows(_by_columns(hits, np.arange(len(PHASE1))[::-1].copy()))
    for field in dataclasses.fields(hits):
        assert np.array_equal(getattr(hits, field.name), getattr(back, field.name)), field.name


def test_tracks_make_files_smaller(events, model):
    test = events[2:]
    stream = model.encode(test)
    assert all("tracks" in chunk.sections for chunk in stream.chunks)
    assert model_from_bytes(model.to_bytes()).decode(stream) == test
    default = pixlab.Lossless().fit(events[:2]).encode(test)
    assert stream.ledger["positions"] < 0.9 * default.ledger["positions"]
    assert stream.ledger["shapes"] < 1.05 * default.ledger["shapes"]
    assert stream.ledger["adc"] == default.ledger["adc"]


def test_files_open_in_parts(events, model, tmp_path, monkeypatch):
    monkeypatch.setattr("pixlab.codecs.base.CHUNK_DIGIS", 4000)
    pixlab.compress(events, tmp_path / "a.pxl", model=model)
    assert pixlab.read(tmp_path / "a.pxl", events=(1, 3)) == events[1:3]
    assert pixlab.read(tmp_path / "a.pxl") == events


@pytest.mark.parametrize("key", ["scalar", "cluster-vq", "residual-vq", "vqvae"])
def test_lossy_codecs_take_effort_too(key):
    digis = pixlab.simulate(3, pileup=2, seed=7)
    knobs = KNOBS[key] if key in ("residual-vq", "vqvae") else {}
    model = make_codec(key, effort="max", **knobs).fit(digis)
    stream = model.encode(digis)
    assert all("tracks" in chunk.sections for chunk in stream.chunks)
    assert model.decode(stream) == model.quantize(digis)


def test_clusters_are_kept_with_tracks_or_drawn_without_whatever_takes_less():
    digis = pixlab.simulate(3, pileup=2, seed=7)
    models = {
        hits: pixlab.ClusterVQ(target="loose", hits=hits, effort="max").fit(digis)
        for hits in (None, "drawn", "exact")
    }
    plain = pixlab.ClusterVQ(target="loose").fit(digis)
    assert sorted(models["drawn"].arrays) == sorted(plain.arrays)
    assert "tracks" in models["exact"].encode(digis).chunks[0].sections
    sizes = {hits: model.encode(digis).nbytes for hits, model in models.items()}
    assert sizes[None] == min(sizes.values())


def test_dense_events_are_left_to_the_other_coder(model):
    stream = model.encode(full_module(adc=9))
    assert "tracks" not in stream.chunks[0].sections
    assert model.decode(stream) == full_module(adc=9)


def test_a_file_for_itself_is_never_larger(tmp_path):
    for n, pileup in ((1, 1), (3, 10)):
        digis = pixlab.simulate(n, pileup=pileup, seed=4)
        sizes = []
        for effort in ("default", "max"):
            path = tmp_path / f"{effort}.pxl"
            pixlab.compress(digis, path, codec=pixlab.Lossless(effort=effort))
            assert pixlab.read(path) == digis
            sizes.append(path.stat().st_size)
        assert sizes[1] <= sizes[0] + 100  # the knob itself, and the mark of each chunk


@pytest.mark.parametrize("name", sorted(pixlab.DETECTORS))
def test_every_detector_works(name):
    digis = random_digis(name, n_events=3, n_digis=600, n_modules=30, seed=8)
    model = pixlab.Lossless(effort="max").fit(digis)
    assert model.decode(model.encode(digis)) == digis
    assert model.decode(model.encode(Digis.empty(name, 2))) == Digis.empty(name, 2)


# -- damage -----------------------------------------------------------------------------------
def test_damaged_tables_are_refused(model):
    for name in sorted(model.arrays):
        if not name.startswith("tracking."):
            continue
        whole = model.arrays[name]
        worse = [whole[:-1], whole.astype(np.float64), None]
        if name.split(".")[1] in ("row_edge", "col_edge", "centre", "row_axis", "surface"):
            worse.append(np.full_like(whole, np.iinfo(whole.dtype).max))
        for wrong in worse:
            arrays = {k: v for k, v in model.arrays.items() if k != name}
            if wrong is not None:
                arrays[name] = wrong
            with pytest.raises(FormatError):
                TrackingCoder(PHASE1, arrays)


def test_modules_that_are_too_far_or_too_large_are_refused(model):
    """What the kernels compute then would not fit into 64 bits, or their grid not into memory."""
    centre, axis = model.arrays["tracking.centre"], model.arrays["tracking.row_axis"]
    far, long = centre.copy(), axis.copy()
    far[5] = (499_000, 0, 0)
    long[5] = axis[5] + axis[5] // 64
    for change in ({"tracking.centre": far}, {"tracking.row_axis": long}):
        with pytest.raises(FormatError, match="positions in the model is damaged"):
            TrackingCoder(PHASE1, model.arrays | change)
    crossed = Detector.from_table(
        {
            "detid": [1, 2],
            "rows": [16_000, 10],
            "cols": [10, 16_000],
            "pitch_row": [1.0, 1.0],
            "pitch_col": [1.0, 1.0],
        },
        name="crossed",
    )
    with pytest.raises(FormatError, match="too many pixels"):
        make_planes(crossed, describe(Geometry(crossed)))
    digis = random_digis(crossed)
    codec = pixlab.Lossless(effort="max").fit(digis)
    assert codec.decode(codec.encode(digis)) == digis


def test_tables_with_any_numbers_do_no_harm(events, model):
    """Whatever a model claims of modules, what was coded with it decodes with it."""
    rng = np.random.default_rng(5)
    hits, kept = to_hits(events[:1]), 0
    for _ in range(12):
        arrays = dict(model.arrays)
        for name in rng.choice([k for k in arrays if k.startswith("tracking.")], 4, replace=False):
            wrong = arrays[name].copy()
            flat = wrong.reshape(-1)
            at = rng.integers(0, len(flat), 200)
            flat[at] = rng.integers(0, 1 << 15, 200).astype(wrong.dtype)
            arrays[name] = wrong
        try:
            coder = TrackingCoder(PHASE1, arrays)
        except FormatError:
            continue
        kept += 1
        sections = coder.encode(1, hits)
        back = coder.decode(1, len(hits.row), sections)
        assert np.array_equal(back.row, hits.row)
        assert np.array_equal(back.module, hits.module)
    assert kept > 2


def test_more_digis_than_bytes_can_tell_of_are_refused(events, model):
    chunk = model.encode(events[:1]).chunks[0]
    with pytest.raises(FormatError, match="more digis than its bytes"):
        model.decode(Stream((dataclasses.replace(chunk, n_digis=2**26),)))


def test_a_chunk_by_tracks_needs_a_model_with_tracks(events, model):
    plain = pixlab.Lossless().fit(events[:2])
    with pytest.raises(FormatError, match="of which the model knows nothing"):
        plain.decode(model.encode(events[2:]))


@pytest.mark.slow
def test_tracks_help_where_layers_are_not_where_the_table_says():
    digis = pixlab.simulate(6, pileup=60, seed=9)
    moved = PHASE1.position * np.where(PHASE1.layer < 4, 1.02, 1.0)[:, None]
    table = dataclasses.replace(PHASE1, position=moved, name="misplaced")
    misplaced = dataclasses.replace(digis, detector=table)
    sizes = []
    for effort in ("default", "max"):
        stream = pixlab.Lossless(effort=effort).fit(misplaced[:4]).encode(misplaced[4:])
        sizes.append(stream.ledger["positions"])
    assert sizes[1] < 0.96 * sizes[0]


@pytest.mark.slow
def test_any_compiler_decodes_the_same():
    """The golden file, decoded by code for a plain processor and compiled without optimisation."""
    program = (
        "import numpy as np, pixlab\n"
        "digis = pixlab.read('tests/golden/lossless-max.pxl')\n"
        "found = np.load('tests/golden/lossless-max.npz')\n"
        "for name in ('offsets', 'detid', 'row', 'col', 'adc'):\n"
        "    assert np.array_equal(getattr(digis, name), found[name]), name\n"
    )
    with TemporaryDirectory() as cache:
        environment = os.environ | {
            "NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": "", "NUMBA_OPT": "0",
            "NUMBA_CACHE_DIR": cache,
        }  # fmt: skip
        run = subprocess.run(
            [sys.executable, "-c", program], cwd=Path(__file__).parents[1], env=environment,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert run.returncode == 0, run.stderr[-2000:]
