"""What drawings show, made apart from drawing it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pixlab.clusters import cluster
from pixlab.codecs import CodeUsage, Lossless, PatchVQ
from pixlab.detectors import DETECTORS
from pixlab.digis import Digis
from pixlab.errors import PixlabError
from pixlab.physics import SPECTRA, compare
from pixlab.physics.pairs import PAIRS
from pixlab.plots.bins import pair_bins, spectrum_bins
from pixlab.plots.codebook import codebook_of, tile_gallery, usage_of
from pixlab.plots.overview import PROJECTIONS, Cloud, extent, has_places, rasterize
from pixlab.plots.pixels import busiest_window, colour_top, outlines, pixel_table
from pixlab.plots.points import Points, pareto_front
from pixlab.plots.tiles import module_sums, place_modules
from tests.helpers import full_module, random_digis, small_detector

MODULE = 303042564


def some(rows, cols, adc):
    n = len(rows)
    return Digis.from_arrays([0] * n, [MODULE] * n, rows, cols, adc, detector="phase1", n_events=1)


# -- pixels -----------------------------------------------------------------------------------
def test_pixels_of_both_sides_stand_in_raster_order():
    original = some([3, 3, 90], [7, 8, 51], [100, 50, 30])
    decoded = some([3, 3, 0], [7, 8, 0], [100, 44, 0])
    table = pixel_table(original, decoded, MODULE)
    assert table["row"].tolist() == [0, 3, 3, 90]
    assert table["col"].tolist() == [0, 7, 8, 51]
    np.testing.assert_array_equal(table["adc"], [np.nan, 100, 50, 30])
    # a decoded count of 0 is a hit, a missing one is not
    np.testing.assert_array_equal(table["decoded"], [0, 100, 44, np.nan])
    assert table["delta"].tolist() == [0, 0, -6, -30]


def test_pixels_of_a_module_without_hits():
    none = Digis.empty("phase1", 1)
    table = pixel_table(none, none, MODULE)
    assert {len(column) for column in table.values()} == {0}


def test_colours_end_above_nearly_all_counts():
    assert colour_top(np.array([], np.uint16)) == 1
    assert colour_top(np.array([0, 0], np.uint16)) == 1
    assert colour_top(np.arange(100, dtype=np.uint16)) == 100
    assert colour_top(np.array([33] * 99 + [255], np.uint16)) == 40


def test_outlines_go_around_each_cluster():
    digis = random_digis(n_events=1, n_digis=900, n_modules=1, seed=4)
    detid = int(digis.detid[0])
    found = outlines(digis, detid)
    horizontal = found["y0"] == found["y1"]
    assert np.all(np.hypot(found["x1"] - found["x0"], found["y1"] - found["y0"]) == 1)
    # an edge of a pixel is drawn where the pixel beyond it is not of the same cluster
    label = {
        (int(r), int(c)): int(k)
        for r, c, k in zip(digis.row, digis.col, cluster(digis).label, strict=True)
        if k >= 0
    }
    expected = 0
    for (r, c), k in label.items():
        expected += sum(
            label.get(at) != k for at in ((r - 1, c), (r + 1, c), (r, c - 1), (r, c + 1))
        )
    assert len(horizontal) == expected > 0


def test_outlines_of_a_module_filled_to_its_edges():
    digis = full_module(adc=100)
    found = outlines(digis, int(digis.detid[0]))
    assert len(found["x0"]) == 2 * (160 + 416)
    assert (found["x0"].min(), found["x1"].max()) == (-0.5, 415.5)
    assert (found["y0"].min(), found["y1"].max()) == (-0.5, 159.5)


def test_window_holds_most_pixels():
    rng = np.random.default_rng(5)
    for shape, size in (((20, 30), (4, 7)), ((5, 3), (40, 64)), ((12, 12), (12, 3))):
        row, col = rng.integers(0, shape[0], 25), rng.integers(0, shape[1], 25)
        left, bottom, right, top = busiest_window(row, col, shape, size)
        assert right - left == min(size[1], shape[1])
        assert top - bottom == min(size[0], shape[0])
        assert left >= -0.5
        assert bottom >= -0.5
        assert right <= shape[1] - 0.5
        assert top <= shape[0] - 0.5

        def inside(low_row, low_col, row=row, col=col, size=size):
            return (
                (row >= low_row) & (row < low_row + size[0])
                & (col >= low_col) & (col < low_col + size[1])
            ).sum()  # fmt: skip

        most = max(inside(r, c) for r in range(shape[0]) for c in range(shape[1]))
        assert inside(bottom + 0.5, left + 0.5) == most


def test_window_of_a_module_without_hits_is_inside_it():
    none = np.zeros(0, int)
    left, bottom, right, top = busiest_window(none, none, (160, 416), (40, 64))
    assert 0 <= left < right <= 416
    assert 0 <= bottom < top <= 160


# -- modules ----------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["phase1", "phase2", "timepix", "toy"])
def test_every_module_of_a_layer_has_a_place_of_its_own(name):
    detector = small_detector() if name == "toy" else DETECTORS[name]
    for layer in detector.layers:
        tiles = place_modules(detector, layer)
        assert tiles.modules.tolist() == np.flatnonzero(detector.in_layer(layer)).tolist()
        assert len({*zip(tiles.x, tiles.y, strict=True)}) == len(tiles.modules)
        if tiles.y_ticks:
            assert set(tiles.y_ticks) == set(tiles.y.tolist())


def test_sums_of_modules_are_the_digis():
    digis = random_digis(n_events=3, n_digis=700, n_modules=30)
    sums = module_sums(digis)
    assert sums.sum() == digis.n_digis
    assert sums.tolist() == np.bincount(digis.module, minlength=len(digis.detector)).tolist()


# -- the detector -----------------------------------------------------------------------------
@pytest.fixture(scope="module")
def before():
    return random_digis(n_events=2, n_digis=3000, n_modules=200, seed=6)


@pytest.fixture(scope="module")
def after(before):
    """Every seventh digi lost, the others one count down, one digi invented."""
    kept = before.select(mask=np.arange(before.n_digis) % 7 > 0)
    kept = kept.with_adc(np.maximum(kept.adc.astype(int) - 1, 0))
    gap = next(
        i for i in range(100) if not ((before.detid == before.detid[0]) & (before.row == i)).any()
    )
    return Digis.from_arrays(
        np.append(kept.event, 1),
        np.append(kept.detid, before.detid[0]),
        np.append(kept.row, gap),
        np.append(kept.col, 0),
        np.append(kept.adc, 9),
        detector="phase1",
    )


def test_a_cloud_has_each_pixel_once_with_both_counts(before, after):
    table = Cloud(before, after).table
    lost = np.arange(before.n_digis) % 7 == 0
    assert len(table) == before.n_digis + 1
    assert table["adc"].isna().sum() == 1
    assert table["decoded"].isna().sum() == lost.sum()
    assert (table["adc"].to_numpy()[:-1] == before.adc).all()
    assert (
        table["decoded"].to_numpy()[:-1][~lost] == np.maximum(before.adc[~lost].astype(int) - 1, 0)
    ).all()
    assert table["delta"].iloc[-1] == 9
    place = before.detector.positions(before.module, before.row + 0.5, before.col + 0.5)
    np.testing.assert_allclose(table[["x", "y", "z"]].to_numpy()[:-1], place, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(
        table["phi"].to_numpy()[:-1], np.arctan2(place[:, 1], place[:, 0]), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("projection", PROJECTIONS)
def test_a_raster_holds_the_charge_of_what_is_seen(before, after, projection):
    table = Cloud(before, after).table
    layers = range(len(before.detector.layers))
    x, y = extent(before.detector, layers, projection)
    whole = rasterize(table, projection, "adc", x, y, (50, 40))
    assert whole.image.shape == (40, 50)
    assert whole.digis == before.n_digis
    assert np.nansum(whole.image) == before.adc.sum()
    decoded = rasterize(table, projection, "decoded", x, y, (50, 40))
    assert np.nansum(decoded.image) == after.adc.sum()
    assert np.isnan(whole.image).any()  # where there is no digi there is no zero
    # one cell: the digis inside, and the first row of the image is the lowest
    up = PROJECTIONS[projection][1]
    middle = np.float32((y[0] + y[1]) / 2)
    half = rasterize(table, projection, "adc", x, (y[0], float(middle)), (1, 1))
    assert half.digis == ((table[up] < middle) & table["adc"].notna()).sum()
    low = rasterize(table, projection, "adc", x, y, (1, 2)).image
    assert low[0, 0] == half.image[0, 0]


def test_an_empty_raster():
    table = Cloud(Digis.empty("phase1", 1), Digis.empty("phase1", 1)).table
    raster = rasterize(table, "x-y", "adc", (-1, 1), (-1, 1), (8, 8))
    assert raster.digis == 0
    assert np.isnan(raster.image).all()
    assert raster.top == 1


def test_the_extent_is_that_of_the_layers():
    detector = DETECTORS["phase1"]
    (z, _), (_, y) = extent(detector, [0], "z-φ"), extent(detector, [0], "x-y")
    assert 25 < z[1] < 30
    assert z[0] == pytest.approx(-z[1], rel=0.01)
    assert 2.9 < y[1] < 4
    wide = extent(detector, range(len(detector.layers)), "z-φ")[0]
    assert wide[1] > 45


def test_a_lone_chip_has_no_place():
    assert has_places(Digis.empty("phase1", 1))
    assert not has_places(Digis.empty("timepix", 1))


# -- spectra ----------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def comparison(before, after):
    return compare(before, after)


@pytest.mark.parametrize("layer", ["BPIX 1", "all"])
@pytest.mark.parametrize("name", SPECTRA)
def test_bins_hold_every_entry(comparison, name, layer):
    bins = spectrum_bins(comparison, name, layer)
    place = comparison.layers.index(layer)
    for shown, counts in zip(
        (bins.original, bins.decoded), comparison.totals.histogram(name), strict=True
    ):
        assert shown.sum() == counts[place][1:-1].sum()
    assert len(bins.edges) == len(bins.original) + 1 == len(bins.names) + 1
    assert bins.reach > 0


@pytest.mark.parametrize("layer", ["BPIX 1", "all"])
@pytest.mark.parametrize("name", PAIRS)
def test_changes_of_clusters_stand_around_no_change(comparison, name, layer):
    bins = pair_bins(comparison, name, layer)
    kept = comparison.totals.pairs[name].sum(axis=1)
    total = kept.sum() if layer == "all" else kept[comparison.layers.index(layer)].sum()
    assert bins.counts.sum() + bins.beyond == total
    assert bins.beyond <= 0.01 * total
    middle = len(bins.counts) // 2
    assert bins.edges[middle] < bins.centre < bins.edges[middle + 1]
    assert bins.edges[0] + bins.edges[-1] == pytest.approx(2 * bins.centre, abs=1e-9)


def test_identity_stands_in_the_middle_bin(before):
    for name in PAIRS:
        bins = pair_bins(compare(before, before), name)
        assert bins.counts[len(bins.counts) // 2] == bins.counts.sum() > 0


def test_changes_that_are_not_kept(comparison):
    with pytest.raises(PixlabError, match="no quantity 'charm'"):
        pair_bins(comparison, "charm")
    with pytest.raises(PixlabError, match="no layer 'TEC'"):
        pair_bins(comparison, "response", "TEC")


# -- the front --------------------------------------------------------------------------------
@pytest.mark.parametrize("good", ["zero", "small", "large"])
def test_the_front_is_what_nothing_beats(good):
    rng = np.random.default_rng(2)
    rate, value = rng.integers(0, 20, 60).astype(float), rng.normal(size=60)
    value[:5] = np.nan
    cost = {"zero": np.abs(value), "small": value, "large": -value}[good]
    expected = {
        i
        for i in range(5, 60)
        if not any(
            (rate[j] <= rate[i] and cost[j] <= cost[i]) and (rate[j] < rate[i] or cost[j] < cost[i])
            for j in range(5, 60)
        )
    }
    front = pareto_front(rate, value, good)
    assert set(front.tolist()) == expected
    assert (np.diff(rate[front]) > 0).all()


@pytest.mark.parametrize(
    ("view", "log", "expected"),
    [
        ((0.0, 40.0), False, [(5.0, "transparent"), (10.0, "analysis"), (15.0, "loose")]),
        ((0.0, 400.0), False, [(15.0, "transparent, analysis, loose")]),
        ((8.0, 12.0), False, [(10.0, "analysis")]),
        ((1e-9, 1e9), True, [(15.0, "transparent, analysis, loose")]),
    ],
)
def test_lines_that_are_close_have_one_text(
    view: tuple[float, float], log: bool, expected: list[tuple[float, str]]
) -> None:
    limits = {"transparent": 5.0, "analysis": 10.0, "loose": 15.0}
    none = np.zeros(0)
    points = Points(none, none, none, none, "", "zero", {}, limits)
    assert points.named_limits(view, log) == expected


# -- codebooks --------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def model(before):
    return PatchVQ(codebook_size=8, tile_rows=3, tile_cols=5).fit(before)


def test_codewords_are_pictures_of_what_is_decoded(model, before):
    book = codebook_of(model)
    assert book.pictures.shape == (len(model.codebook), 3, 5)
    usage = usage_of(model, before)
    decoded = model.quantize(before)
    # each decoded digi has the count that its tile's picture has there
    code = {
        (e, m, r // 3, c // 5): k
        for e, m, r, c, k in zip(
            usage.event, usage.module, usage.row, usage.col, usage.code, strict=True
        )
    }
    seen = 0
    for e, m, r, c, adc in zip(
        decoded.event, decoded.module, decoded.row, decoded.col, decoded.adc, strict=True
    ):
        picture = book.pictures[code[e, m, r // 3, c // 5]]
        seen += picture[r % 3, c % 5] == adc
    assert seen == decoded.n_digis


def test_usage_adds_up(model, before):
    usage = usage_of(model, before)
    assert usage.uses.sum() == len(usage.code)
    assert usage.codes.dead == (usage.uses == 0).sum()
    assert (np.diff(usage.uses[usage.order]) <= 0).all()
    share = usage.uses[usage.uses > 0] / usage.uses.sum()
    assert usage.codes.perplexity == pytest.approx(2 ** -(share * np.log2(share)).sum())
    assert 1 <= usage.codes.perplexity <= len(usage.uses)
    assert usage_of(model, Digis.empty("phase1", 2)).codes.perplexity == 0


def test_tiles_are_drawn_as_the_original_has_them(model, before):
    usage = usage_of(model, before)
    tiles = np.arange(0, len(usage.code), 7)
    pictures = tile_gallery(usage, tiles, (3, 5))
    for picture, t in zip(pictures, tiles, strict=True):
        detid = int(before.detector.detid[usage.module[t]])
        whole = before.image(int(usage.event[t]), detid)
        part = whole[usage.row[t] : usage.row[t] + 3, usage.col[t] : usage.col[t] + 5]
        np.testing.assert_array_equal(
            picture[: part.shape[0], : part.shape[1]], part.astype(float).filled(np.nan)
        )
        assert (~np.isnan(picture)).sum() == part.count() > 0


class Weighed:
    """A model with two codebooks of clusters, one of them with pictures."""

    def __init__(self, detector):
        self.detector, self.codec = detector, Lossless()

    def usage(self, digis):
        n = digis.n_digis
        weights = np.array([[[1, 3, np.nan]], [[2, np.nan, np.nan]]])
        return [
            CodeUsage("gain", np.array([n])),
            CodeUsage("shape", np.array([0, n]), pictures=weights),
        ]


def test_pictures_of_clusters_are_shares_of_their_charge(before):
    model = Weighed(before.detector)
    book = codebook_of(model)
    np.testing.assert_array_equal(book.pictures, [[[25, 75, np.nan]], [[100, np.nan, np.nan]]])
    assert not book.placed
    assert "share" in book.quantity
    usage = usage_of(model, before)
    assert usage.uses.tolist() == [0, before.n_digis]
    assert (usage.codes.perplexity, usage.codes.dead, usage.order.tolist()) == (1, 1, [1, 0])
    assert len(usage.tiles_of(1)) == 0


def test_a_model_without_codebook_has_no_pictures(before):
    assert codebook_of(Lossless().fit(before)) is None


def test_a_table_keeps_its_types(before, after):
    table = Cloud(before, after).table
    assert isinstance(table, pd.DataFrame)
    assert {str(table[k].dtype) for k in ("x", "adc", "delta")} == {"float32"}
