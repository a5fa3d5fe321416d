"""`compare`: identity, known distortions at their size, chunks, degenerate inputs, verdicts."""

from __future__ import annotations

import json
import tracemalloc
from itertools import pairwise

import numpy as np
import pytest

from pixlab.detectors import Detector
from pixlab.digis import Digis
from pixlab.errors import FormatError, PixlabError
from pixlab.physics import METRICS, SPECTRA, TOLERANCES, Comparison, chunks, compare
from pixlab.premixing import premix
from tests.helpers import random_digis, small_detector
from tests.physics_cases import distorted, fine_detector, shifted, tracks

BEST = {name: 1.0 if m.good == "large" else 0.0 for name, m in METRICS.items()}


def assert_values(found: Comparison, layer: str, **expected: float) -> None:
    """These metrics have these values (rel. 0.1%), and all others are perfect."""
    column = found.table[layer]
    for name, best in BEST.items():
        if name not in expected:
            assert column[name] == best, name
        elif expected[name] is not None:
            assert column[name] == pytest.approx(expected[name], rel=1e-3), name


# -- identity and distortions -----------------------------------------------------------------
@pytest.mark.parametrize("digis", [tracks(), random_digis(), random_digis(small_detector())])
def test_identity_is_exactly_perfect(digis):
    found = compare(digis, digis)
    hit = [layer for layer, n in digis.per_layer().items() if n]
    for layer in [*hit, "all"]:
        assert found.table[layer].to_dict() == BEST
    for preset in TOLERANCES:
        assert found.passed(preset)


def test_charge_scaled_by_one_percent():
    digis = tracks()
    found = compare(digis, digis.with_adc(np.rint(digis.adc * 1.01)))
    size = {"charge_mean": 0.01, "charge_bias": 0.01, "charge_rms": 0.01}
    rms = np.sqrt(np.mean((np.rint(digis.adc * 1.01) - digis.adc.astype(float)) ** 2))
    for layer in found.layers:
        assert_values(
            found,
            layer,
            **size,
            charge_wasserstein=None,
            charge_ks=None,
            charge_chi2=None,
            charge_js=None,
            shift_row=None,
            shift_col=None,
            bias_row=None,
            bias_col=None,
            adc_ks=None,
            adc_rms=None,
        )
    assert found.table.loc["adc_rms", "all"] == pytest.approx(rms, rel=1e-6)
    # bins of 0.5% move an entry by two bins, or by one or three at their edges
    assert found.table.loc["charge_wasserstein", "all"] == pytest.approx(0.01, rel=0.05)
    # the density of the summed gamma spectrum at its peak is about 2.8 per e-fold
    assert 0.01 < found.table.loc["charge_ks", "all"] < 0.04
    # rounding to whole counts moves the barycentre by far less than a hundredth of a micrometre
    assert found.table.loc["shift_row", "all"] < 0.01
    assert not found.passed({"charge_mean": 0.0099})
    assert found.passed({"charge_mean": 0.0101})


def test_charge_smeared_pixel_by_pixel():
    digis = tracks(40)
    rng = np.random.default_rng(1)
    found = compare(digis, digis.with_adc(np.rint(digis.adc * rng.normal(1, 0.05, digis.n_digis))))
    # of 6 pixels with independent 5% errors; the rest is the spread of the shares
    assert found.table.loc["charge_rms", "all"] == pytest.approx(0.05 / np.sqrt(6), rel=0.1)
    assert abs(found.table.loc["charge_bias", "all"]) < 0.001


def test_one_percent_of_pixels_dropped():
    digis = tracks()
    lost = np.random.default_rng(2).choice(digis.n_digis, digis.n_digis // 100, replace=False)
    keep = np.ones(digis.n_digis, bool)
    keep[lost] = False
    found = compare(digis, digis.select(mask=keep))
    share = len(lost) / digis.n_digis
    assert share == pytest.approx(0.01, rel=0.01)
    everything = found.table["all"]
    assert everything["pixels_kept"] == pytest.approx(1 - share, rel=1e-12)
    assert everything["occupancy"] == pytest.approx(-share, rel=1e-9)
    assert everything["pixels_invented"] == 0
    assert everything["efficiency"] == 1
    assert everything["charge_mean"] == pytest.approx(-share, rel=0.2)
    for place, layer in enumerate(digis.detector.layers):
        own = digis.detector.layer[digis.module] == place
        assert found.table.loc["occupancy", layer] == pytest.approx(keep[own].mean() - 1, rel=1e-9)
    assert "occupancy" in {check.metric for check in found.passed("transparent").failed}


@pytest.mark.parametrize(("rows", "cols"), [(1, 0), (0, -1), (2, 2), (-1, 1)])
def test_shift_by_whole_pixels(rows, cols):
    digis = tracks()
    found = compare(digis, shifted(digis, rows, cols))
    overlap = (2 - abs(rows)) * (3 - abs(cols)) / 6
    assert_values(
        found,
        "all",
        shift_row=100.0 * abs(rows),
        shift_col=150.0 * abs(cols),
        bias_row=100.0 * rows,
        bias_col=150.0 * cols,
        pixels_kept=overlap,
        pixels_invented=1 - overlap,
        pixels_iou=overlap / (2 - overlap),
        adc_rms=None,
    )


@pytest.mark.parametrize("axis", ["row", "col"])
def test_clusters_that_lose_an_edge_have_another_size(axis):
    digis = tracks()
    last = getattr(digis, axis) % 10 == {"row": 1, "col": 2}[axis]
    in_first_module = digis.detid == 1
    found = compare(digis, digis.select(mask=~(last & in_first_module)))
    for layer, own in (("inner", digis.detid <= 3), ("all", digis.detid > 0)):
        share = in_first_module.sum() / own.sum()
        assert found.table.loc["size_unchanged", layer] == pytest.approx(1 - share, rel=1e-12)
        # one spectrum has that share of its clusters one bin lower, the other is as before
        assert found.table.loc[f"size_{axis}_ks", layer] == pytest.approx(share, rel=1e-12)
        other = {"row": "col", "col": "row"}[axis]
        assert found.table.loc[f"size_{other}_ks", layer] == 0


def test_shift_beyond_the_matching_distance_loses_everything():
    digis = tracks()
    found = compare(digis, shifted(digis, 3, 0))
    assert found.table.loc["efficiency", "all"] == 0
    assert found.table.loc["fakes", "all"] == 1
    assert np.isnan(found.table.loc["charge_rms", "all"])
    failed = {check.metric for check in found.passed("loose").failed}
    assert {"efficiency", "fakes", "charge_rms", "shift_row", "size_unchanged"} <= failed


def test_noise_hits():
    digis = tracks()
    n = 60  # five an event, in corners where no track goes
    event = np.arange(n) % len(digis)
    row, col = np.repeat([[0, 3, 6, 195, 198]], 12, axis=0).T.ravel(), np.full(n, 297)
    every = [
        np.concatenate([getattr(digis, k), v])
        for k, v in {
            "event": event,
            "detid": np.full(n, 2),
            "row": row,
            "col": col,
            "adc": np.full(n, 9000),
        }.items()
    ]
    noisy = Digis.from_arrays(*every, detector=digis.detector, n_events=len(digis))
    found = compare(digis, noisy)
    clusters = digis.n_digis // 6
    inner = digis.select(layer="inner").n_digis
    everything = found.table["all"]
    assert everything["fakes"] == pytest.approx(n / (clusters + n), rel=1e-12)
    assert everything["pixels_invented"] == pytest.approx(n / (digis.n_digis + n), rel=1e-12)
    assert everything["occupancy"] == pytest.approx(n / digis.n_digis, rel=1e-9)
    assert (
        everything["efficiency"] == everything["pixels_kept"] == everything["size_unchanged"] == 1
    )
    assert found.table.loc["occupancy", "inner"] == pytest.approx(n / inner, rel=1e-9)
    assert found.table["outer"].to_dict() == BEST


def test_dead_module():
    digis = tracks()
    dead = digis.detid == 5
    found = compare(digis, digis.select(mask=~dead))
    outer = found.table["outer"]
    share = dead.sum() / digis.select(layer="outer").n_digis
    assert outer["modules_lost"] == found.table.loc["modules_lost", "all"] == 1
    assert outer["efficiency"] == pytest.approx(1 - share, rel=1e-12)
    assert outer["occupancy"] == pytest.approx(-share, rel=1e-12)
    assert outer["charge_rms"] == outer["fakes"] == 0
    assert found.table["inner"].to_dict() == BEST
    assert found.module_digis[1].tolist() == [
        0 if i == 4 else n for i, n in enumerate(np.bincount(digis.module))
    ]


def test_layers_are_judged_one_by_one():
    digis = tracks()
    one_layer = digis.detector.layer[digis.module] == 1
    adc = np.where(one_layer, np.rint(digis.adc * 1.008), digis.adc)
    verdict = compare(digis, digis.with_adc(adc)).passed({"charge_mean": 0.005})
    assert [(c.layer, c.ok) for c in verdict.checks] == [
        ("inner", True),
        ("outer", False),
        ("all", True),
    ]
    assert not verdict


# -- chunks and keeping -----------------------------------------------------------------------
@pytest.mark.parametrize("detector", ["phase1", "phase1-run3"])
@pytest.mark.parametrize("cuts", [[1], [2, 3, 7], [0, 4], [9]])
def test_chunks_add_up_exactly(detector, cuts):
    original = random_digis(detector, n_events=9, n_digis=4000, seed=7)
    decoded = distorted(original)
    whole = compare(original, decoded)
    edges = [0, *cuts, 9]
    parts = [compare(original[a:b], decoded[a:b]) for a, b in pairwise(edges)]
    forward, backward = parts[0], parts[-1]
    for part in parts[1:]:
        forward = forward + part
    for part in parts[-2::-1]:
        backward = backward + part
    assert forward == backward == whole
    assert forward.table.equals(whole.table)


@pytest.mark.parametrize(
    ("digis", "frames"), [(1, 10**9), (700, 10**9), (10**9, 1), (10**9, 3 * 1856)]
)
def test_the_chunk_size_does_not_matter(monkeypatch, digis, frames):
    original = random_digis(n_events=9, n_digis=4000, seed=7)
    decoded = distorted(original)
    whole = compare(original, decoded)
    monkeypatch.setattr(chunks, "_CHUNK_DIGIS", digis)
    monkeypatch.setattr(chunks, "_CHUNK_FRAMES", frames)
    sizes = [c.stop - c.start for c in chunks._cuts(original, decoded)]
    assert len(sizes) > 1
    assert sum(sizes) == 9
    if min(digis, frames) == 1:
        assert sizes == [1] * 9  # an event too large is still taken whole
    assert compare(original, decoded) == whole


def test_memory_is_bounded_by_the_chunk(monkeypatch):
    monkeypatch.setattr(chunks, "_CHUNK_DIGIS", 4000)
    few = tracks(6)
    many = Digis.concatenate([few] * 8)
    compare(few, distorted(few))  # what is compiled and cached stays out of the account
    peaks = []
    for digis in (few, many):
        decoded = distorted(digis)
        tracemalloc.start()
        compare(digis, decoded)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0]


def test_progress_ends_at_one(monkeypatch):
    monkeypatch.setattr(chunks, "_CHUNK_DIGIS", 300)
    seen = []
    digis = random_digis(n_events=5, n_digis=1000)
    compare(digis, digis, progress=lambda done, what: seen.append((done, what)))
    assert len(seen) > 2
    assert seen == sorted(seen)
    assert seen[-1] == (1.0, "event 5 of 5")


def test_json_round_trip():
    original = random_digis(small_detector(), n_events=4, seed=2)
    found = compare(original, distorted(original))
    text = found.to_json()
    again = Comparison.from_json(text)
    assert again == found
    assert again.table.equals(found.table)
    assert again.passed("loose") == found.passed("loose")
    table = json.loads(text)["table"]
    assert table["occupancy"]["all"] == found.table.loc["occupancy", "all"]


def test_json_has_null_where_there_is_no_value():
    digis = random_digis()
    text = compare(digis, Digis.empty("phase1", len(digis))).to_json()
    assert "NaN" not in text
    assert json.loads(text)["table"]["charge_rms"]["all"] is None


def damaged() -> list[str]:
    data = json.loads(compare(random_digis(), random_digis(seed=1)).to_json())
    broken = []
    for path, value in [
        (("detector", "name"), "no such detector"),
        (("detector",), None),
        (("sums", "matched"), [1, 2]),
        (("sums", "matched"), ["x"] * 7),
        (("sums",), {}),
        (("counts", "charge"), [[], []]),
        (("counts", "charge", 0, 0), [90, *range(50)]),
        (("counts", "charge", 0, 0), [-3, 1]),
        (("counts", "charge", 0, 0), [1, -2]),
        (("counts", "charge", 0, 0), [1, 2**50]),
        (("counts", "charge", 0, 0), "12"),
        (("parts", "charge", 0, 3, 2), [5, 1.5]),
        (("halves", "charge"), [[]]),
        (("pairs", "response"), None),
        (("confusion",), []),
        (("modules",), [[0, 1]]),
        (("events",), None),
        (("pixlab_comparison",), 1),
        (("pixlab_comparison",), 99),
        (("pixlab_comparison",), "x"),
        (("premixed",), {}),
    ]:
        copy = json.loads(json.dumps(data))
        at = copy
        for key in path[:-1]:
            at = at[key]
        at[path[-1]] = value
        broken.append(json.dumps(copy))
    return [*broken, "", "[]", "{}", "not json", "[" * 100_000]


@pytest.mark.parametrize("text", damaged())
def test_damaged_json_is_a_clear_error(text):
    with pytest.raises(FormatError):
        Comparison.from_json(text)


# -- nothing, little, everything lost ---------------------------------------------------------
def single(adc: int = 100) -> Digis:
    return Digis.from_arrays([0], [303042564], [5], [7], [adc], detector="phase1")


@pytest.mark.parametrize("n_events", [0, 1, 4])
def test_nothing_against_nothing_is_a_verdict_and_no_pass(n_events):
    found = compare(Digis.empty("phase1", n_events), Digis.empty("phase1", n_events))
    assert found.n_events == n_events
    verdict = found.passed("loose")
    assert not verdict
    assert {check.layer for check in verdict.checks} == {"all"}
    assert found.summary()
    assert found._repr_html_()


def test_a_single_hit():
    found = compare(single(), single())
    assert found.passed("transparent")
    assert {c.layer for c in found.passed("transparent").checks} == {"BPIX 1", "all"}
    assert found.table["BPIX 2"].isna().sum() > 5


def test_a_hit_too_small_for_a_cluster_has_nothing_to_pass():
    verdict = compare(single(3), single(3)).passed("transparent")
    ok = {check.metric: check.ok for check in verdict.checks}
    assert ok["occupancy"]
    assert not ok["charge_mean"]
    assert not verdict


@pytest.mark.parametrize("lost", [True, False])
def test_all_lost_and_all_invented(lost):
    digis, nothing = tracks(), Digis.empty(fine_detector(), 12)
    found = compare(digis, nothing) if lost else compare(nothing, digis)
    table = found.table["all"]
    if lost:
        assert (table["efficiency"], table["fakes"], table["occupancy"]) == (0, 0, -1)
        assert (table["pixels_kept"], table["pixels_invented"]) == (0, 0)
        assert table["modules_lost"] == 6
    else:
        assert (table["fakes"], table["pixels_invented"]) == (1, 1)
        assert np.isnan(table["efficiency"])
    assert table["charge_ks"] == table["size_row_ks"] == 1
    assert np.isinf(table["charge_wasserstein"]) or np.isnan(table["charge_wasserstein"])
    assert len(found.passed("loose").failed) >= 5 * 3
    assert found.summary()
    assert found._repr_html_()
    assert Comparison.from_json(found.to_json()) == found


def test_different_detectors():
    with pytest.raises(PixlabError, match=r"'phase1'.*'phase1-run3'.*detector="):
        compare(random_digis("phase1"), random_digis("phase1-run3"))


def test_different_numbers_of_events():
    with pytest.raises(PixlabError, match="3 events, the decoded 4"):
        compare(random_digis(n_events=3), random_digis(n_events=4))


def test_comparisons_of_different_detectors_do_not_add():
    a, b = (compare(d, d) for d in (random_digis(), random_digis(small_detector())))
    with pytest.raises(PixlabError, match="cannot be added"):
        a + b
    with pytest.raises(TypeError):
        a + 1


# -- after pre-mixing -------------------------------------------------------------------------
def test_after_premixing_each_event_is_over_the_next():
    original = random_digis(n_events=4, n_digis=3000)
    decoded = distorted(original)
    order = [1, 2, 3, 0]
    sides = [premix(original[order], d) for d in (original, decoded)]
    found = compare(original, decoded, premixed=True)
    assert found.premixed == compare(*sides)
    assert Comparison(found.totals) == compare(original, decoded)
    checks = found.passed("loose").checks
    assert {check.stage for check in checks} == {"", "after pre-mixing"}
    assert "after pre-mixing" in str(found.passed("loose"))
    again = Comparison.from_json(found.to_json())
    assert again == found
    assert again.premixed == found.premixed


@pytest.mark.parametrize("blocks", [[4], [1, 3], [2, 0, 1, 1], [0, 4]])
def test_premixing_does_not_depend_on_blocks(blocks, monkeypatch):
    original = random_digis(n_events=4, n_digis=2000)
    decoded = distorted(original)
    whole = compare(original, decoded, premixed=True)
    edges = np.cumsum([0, *blocks])
    sides = ([d[a:b] for a, b in pairwise(edges)] for d in (original, decoded))
    assert compare(*sides, premixed=True) == whole
    monkeypatch.setattr(chunks, "_CHUNK_DIGIS", 600)
    assert compare(original, decoded, premixed=True) == whole


def test_a_pixel_that_falls_below_the_threshold_is_found_after_premixing_alone():
    """12 counts stay, 11 are dropped there: an error of one count loses one pixel of four."""
    event, col = np.divmod(np.arange(400), 100)
    module = np.full(400, 303042564)
    row = np.repeat([[10, 60, 110, 140]], 100, axis=0).T.ravel()
    digis = Digis.from_arrays(
        *(np.repeat(a, 2) for a in (event, module)),
        np.stack([row, row + 1], axis=1).ravel(),
        np.repeat(3 * col, 2),
        np.tile([200, 12], 400),
        detector="phase1",
    )
    found = compare(digis, digis.with_adc(np.where(digis.adc == 12, 11, digis.adc)), premixed=True)
    assert found.passed("analysis").checks[0].ok
    assert found.table.loc["occupancy", "all"] == 0
    assert found.premixed.table.loc["occupancy", "all"] == pytest.approx(-0.25, rel=1e-12)
    assert not found.passed("loose")
    assert "occupancy, after pre-mixing" in found.summary("loose")


@pytest.mark.parametrize("n_events", [0, 1])
def test_nothing_to_premix_with(n_events):
    digis = single() if n_events else Digis.empty("phase1", 0)
    found = compare(digis, digis, premixed=True)
    assert found.premixed.n_events == n_events
    assert bool(found.passed()) == bool(n_events)


def test_detectors_that_cannot_be_premixed():
    digis = random_digis(small_detector())
    with pytest.raises(PixlabError, match="'toy'"):
        compare(digis, digis, premixed=True)


# -- what a user sees -------------------------------------------------------------------------
def test_table_and_spectra():
    digis = random_digis(n_digis=3000)
    found = compare(digis, distorted(digis))
    assert found.table.index.tolist() == list(METRICS)
    assert found.table.columns.tolist() == [*digis.detector.layers, "all"]
    assert list(found.spectra) == list(SPECTRA)
    charge = found.spectra["charge"]
    assert charge.axes.name == ("source", "layer", "charge")
    total = charge[{"source": "original"}].sum(flow=True)
    assert total == found.totals.sum("clusters_original")[-1]


def test_summary_names_the_worst():
    digis = random_digis(n_digis=3000)
    found = compare(digis, distorted(digis))
    text = found.summary()
    assert all(METRICS[name].label in text for name in TOLERANCES["transparent"])
    assert "transparent: OUTSIDE" in text
    assert max(map(len, text.splitlines())) <= 110
    assert len(text.splitlines()) <= 30


def test_html_escapes_and_marks():
    detector = Detector.from_table(
        {"detid": [1], "rows": [9], "cols": [9], "layer": ["<script>alert(1)</script>"]}
    )
    digis = Digis.from_arrays([0, 0], [1, 1], [2, 6], [2, 6], [50, 60], detector=detector)
    html = compare(digis, digis.with_adc([50, 66]))._repr_html_()
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert html.count("outside loose") == 1
    assert "✘ transparent" in html
