"""Figures that stay while what they show changes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from bokeh.document import Document
from bokeh.events import Tap
from bokeh.models import ColorBar, LogColorMapper, Range1d, RangeTool, Span

from pixlab.detectors import DETECTORS
from pixlab.digis import Digis
from pixlab.physics import METRICS, compare
from pixlab.plots.bins import pair_bins, spectrum_bins
from pixlab.plots.live import (
    Gallery,
    Hits,
    ModuleMap,
    OverviewMap,
    PairPlot,
    RatePlot,
    SpectrumPlot,
    TileMap,
    UsagePlot,
)
from pixlab.plots.live.figures import ColourScale
from pixlab.plots.live.overview import SINGLY
from pixlab.plots.overview import Cloud
from pixlab.plots.pixels import outlines, pixel_table
from pixlab.plots.points import sweep_points
from pixlab.plots.tiles import module_sums, place_modules
from tests.helpers import random_digis

DETECTOR = DETECTORS["phase1"]
LAYERS = range(len(DETECTOR.layers))


@pytest.fixture(scope="module")
def digis():
    return random_digis(n_events=1, n_digis=2000, n_modules=8, seed=2)


def document_of(*figures):
    """A page with the figures: bokeh checks there that models fit together."""
    document = Document()
    for figure in figures:
        document.add_root(figure)
    return document


def tap(figure, x, y):
    figure._trigger_event(Tap(figure, x=x, y=y))


# -- colours ----------------------------------------------------------------------------------
def test_a_scale_colours_all_its_glyphs_and_bars():
    hits = Hits(Range1d(0, 10), Range1d(0, 10))
    figure = hits.map_of("a", "original")
    (bar,) = figure.select(type=ColorBar)
    glyph = figure.renderers[0].glyph
    hits.values.set(0, 120)
    assert (bar.color_mapper.low, bar.color_mapper.high) == (0, 120)
    assert glyph.fill_color.transform is bar.color_mapper
    hits.values.set(0, 120, log=True)
    assert isinstance(bar.color_mapper, LogColorMapper)
    assert bar.color_mapper.low == 1  # a count of 0 has the lowest colour
    assert glyph.fill_color.transform is bar.color_mapper
    hits.values.set(0, 0, log=True)
    assert bar.color_mapper.low < bar.color_mapper.high


def test_what_is_missing_is_clear():
    scale = ColourScale(["black", "white"], "x")
    assert {m.nan_color for m in (scale.linear, scale.logarithmic)} == {"rgba(0, 0, 0, 0)"}


# -- hits -------------------------------------------------------------------------------------
def test_hit_maps_share_pixels_and_zoom(digis):
    zoom = Range1d(0, 50), Range1d(0, 40)
    hits = Hits(*zoom)
    figures = [hits.map_of(q, q) for q in ("original", "decoded", "difference")]
    figures += [hits.swipe("swipe"), hits.blink("blink")]
    detid = int(digis.detid[0])
    decoded = digis.with_adc(np.maximum(digis.adc.astype(int) - 5, 0))
    table = pixel_table(digis, decoded, detid)
    hits.show(table, {"layer": "BPIX 1", "detid": "5"}, top=80, log=False)
    assert {(f.x_range, f.y_range) for f in figures} == {zoom}
    for figure in figures:
        for renderer in (r for r in figure.renderers if type(r.glyph).__name__ == "Rect"):
            assert renderer.data_source is hits.pixels
    assert (hits.pixels.data["delta"] == table["delta"]).all()
    low, high = hits.differences.linear.low, hits.differences.linear.high
    assert (low, high) == (-20, 20)
    assert document_of(*figures).to_json()


def test_hover_says_the_module_first_and_knows_gaps(digis):
    hits = Hits(Range1d(0, 1), Range1d(0, 1))
    figure = hits.map_of("a", "decoded")
    box = next(t for t in figure.tools if type(t).__name__ == "HoverTool")
    for layer in ("BPIX 1", "FPIX 2"):
        hits.show(
            pixel_table(digis, digis, int(digis.detid[0])), {"layer": layer}, top=9, log=False
        )
        labels = [label for label, _ in box.tooltips]
        assert labels == ["layer", "row, column", "adc", "decoded adc", "delta"]
        assert box.tooltips[0][1] == layer
    assert "none" in box.formatters["@decoded"].code
    for _, text in box.tooltips[1:]:
        assert text.startswith("@")


def test_borders_come_and_go(digis):
    hits = Hits(Range1d(0, 1), Range1d(0, 1))
    hits.map_of("a", "difference")
    lines = outlines(digis, int(digis.detid[0]))
    hits.show_borders("decoded", lines)
    assert len(hits.borders["decoded"].data["x0"]) == len(lines["x0"]) > 0
    assert len(hits.borders["original"].data["x0"]) == 0
    hits.show_borders("decoded", None)
    assert len(hits.borders["decoded"].data["x0"]) == 0


def test_the_handle_stands_in_the_middle_of_the_zoom():
    hits = Hits(Range1d(20, 60), Range1d(0, 1))
    (handle,) = hits.swipe("swipe").select(type=Span)
    assert (handle.location, handle.editable) == (40, True)


def test_blinking_is_said_in_tags():
    hits = Hits(Range1d(0, 1), Range1d(0, 1))
    figure = hits.blink("blink")
    Hits.set_blink(figure, pause=500)
    assert figure.tags == ["original", 500]
    Hits.set_blink(figure, pause=None, first="decoded")
    assert figure.tags == ["decoded"]


def test_a_module_is_seen_whole_with_the_box_of_the_zoom(digis):
    x, y = Range1d(3, 9), Range1d(4, 8)
    module = ModuleMap("module", x, y)
    (box,) = [t for t in module.figure.tools if isinstance(t, RangeTool)]
    assert (box.x_range, box.y_range) == (x, y)
    table = pixel_table(digis, digis, int(digis.detid[0]))
    for quantity in ("original", "difference"):
        module.show(table, quantity, shape=(160, 416), chip=(80, 52), top=50, log=False)
        assert (module.figure.x_range.start, module.figure.x_range.end) == (-0.5, 415.5)
        assert module.figure.yaxis[0].ticker.ticks == [0, 80, 160]
        drawn = [r for r in module.figure.renderers if r.visible]
        assert len(drawn) == 1
    module.show(table, "original", shape=(256, 256), chip=(0, 0), top=50, log=False)
    assert module.figure.y_range.end == 255.5
    assert document_of(module.figure).to_json()


# -- tiles ------------------------------------------------------------------------------------
def test_a_tapped_tile_tells_its_module_each_time(digis):
    told = []
    tiles = TileMap("layer", told.append)
    place = place_modules(DETECTOR, "FPIX 2")
    tiles.show(DETECTOR, place, module_sums(digis), difference=False, log=False)
    tiles.tiles.selected.indices = [5]
    tiles.tiles.selected.indices = [5]
    assert told == [int(DETECTOR.detid[place.modules[5]])] * 2
    tiles.choose(place, int(place.modules[7]))
    assert tiles._chosen.data_source.data["x"].tolist() == [place.x[7]]
    assert document_of(tiles.figure).to_json()


def test_differences_of_a_layer_stand_around_zero(digis):
    tiles = TileMap("layer", print)
    place = place_modules(DETECTOR, "BPIX 1")
    change = np.zeros(len(DETECTOR), int)
    change[place.modules[0]] = -4
    tiles.show(DETECTOR, place, change, difference=True, log=False)
    scale = tiles.scales["difference"].linear
    assert (scale.low, scale.high) == (-4, 4)
    assert tiles.tiles.data["value"][0] == -4


# -- the detector -----------------------------------------------------------------------------
def overview(digis, projection="z-φ", quantity="original"):
    found = OverviewMap("detector", projection, lambda then: then())
    found.show(Cloud(digis, digis).table, DETECTOR, quantity, layers=LAYERS, log=False)
    return found


def test_few_digis_are_drawn_one_by_one(digis):
    seen = overview(digis)
    data = seen.singles.data
    assert len(data["x"]) == digis.n_digis <= SINGLY
    assert sorted(data["detid"]) == sorted(digis.detid)
    assert data["layer"][0] in DETECTOR.layers
    cells, dots, bar = seen._drawn["value"]
    assert (cells.visible, dots.visible, bar.visible) == (False, True, True)
    assert document_of(seen.figure).to_json()


def test_many_digis_are_summed_in_cells_until_one_zooms_in():
    digis = random_digis(n_events=8, n_digis=30_000, n_modules=900, seed=5)
    seen = overview(digis)
    cells, dots, _ = seen._drawn["value"]
    assert (cells.visible, dots.visible) == (True, False)
    (image,) = seen.image.data["image"]
    assert np.nansum(image) == digis.adc.sum()
    module = int(digis.module[0])
    at = DETECTOR.position[module]
    phi = float(np.arctan2(at[1], at[0]))
    seen.figure.x_range.update(start=at[2] - 2, end=at[2] + 2)
    seen.figure.y_range.update(start=phi - 0.1, end=phi + 0.1)
    assert (cells.visible, dots.visible) == (False, True)
    assert 0 < len(seen.singles.data["x"]) < SINGLY
    # another model: the zoom stays
    seen.show(Cloud(digis, digis).table, DETECTOR, "decoded", layers=LAYERS, log=True)
    assert seen.figure.x_range.start == at[2] - 2
    # other layers: another picture
    seen.show(Cloud(digis, digis).table, DETECTOR, "decoded", layers=[0], log=True)
    assert seen.figure.x_range.start < at[2] - 2


def test_a_tap_finds_the_module_of_the_nearest_digi(digis):
    for projection, (x, y) in {"z-φ": ("z", "phi"), "x-y": ("x", "y")}.items():
        seen = overview(digis, projection)
        told = []
        seen.on_tap(told.append)
        table = Cloud(digis, digis).table
        one = table.iloc[17]
        tap(seen.figure, float(one[x]), float(one[y]))
        assert told == [int(one["module"])]
        seen.choose(told[0])
        box = np.array([seen.box.data["x"][0], seen.box.data["y"][0]])
        assert (box.min(axis=1) <= [one[x], one[y]]).all()
        assert (box.max(axis=1) >= [one[x], one[y]]).all()


def test_a_detector_without_a_digi_is_drawn():
    seen = overview(Digis.empty("phase1", 1))
    assert seen.nearest(0, 0) is None
    tap(seen.figure, 0, 0)


# -- spectra ----------------------------------------------------------------------------------
@pytest.mark.parametrize("log", [False, True])
def test_a_spectrum_shows_its_bins(digis, log):
    comparison = compare(digis, digis.select(mask=np.arange(digis.n_digis) % 9 > 0))
    plot = SpectrumPlot("charge", log=log)
    for layer in ("all", "BPIX 3"):
        bins = spectrum_bins(comparison, "charge", layer)
        plot.show(bins)
        data = plot.bins.data
        assert data["n_original"].tolist() == bins.original.tolist()
        np.testing.assert_array_equal(data["ratio"], bins.ratio)
        assert {len(column) for column in data.values()} == {len(bins.original)}
        if log:
            assert (data["top"] > 0).all()
            assert np.isnan(data["decoded"][bins.decoded == 0]).all()
    assert plot.figure.x_range is plot.ratio.x_range
    assert document_of(plot.figure, plot.ratio).to_json()


@pytest.mark.parametrize("log", [False, True])
def test_a_change_shows_its_bins(digis, log):
    plot = PairPlot("response", log=log)
    bins = pair_bins(compare(digis, digis), "response")
    plot.show(bins)
    assert plot.bins.data["n"].tolist() == bins.counts.tolist()
    assert document_of(plot.figure).to_json()


def test_a_zoomed_spectrum_stays_zoomed_where_the_axis_is_the_same(digis):
    plot = SpectrumPlot("charge", log=False)
    bins = spectrum_bins(compare(digis, digis), "charge")
    plot.show(bins)
    plot.figure.x_range.update(start=10, end=20)
    plot.show(bins)
    assert (plot.figure.x_range.start, plot.figure.x_range.end) == (10, 20)


# -- rates ------------------------------------------------------------------------------------
@pytest.fixture
def table():
    return pd.DataFrame(
        {
            "codec": ["patch-vq", "lossless", "patch-vq", "patch-vq"],
            "label": ["64 codes", "exact", "16 codes", "256 codes"],
            "bits_per_digi": [6.0, 12.0, 5.0, 7.0],
            "ratio_root_zstd4": [30 / 6, 30 / 12, 30 / 5, 30 / 7],
            "charge_rms": [0.12, 0.0, 0.2, np.nan],
        }
    )


@pytest.mark.parametrize("log", [False, True])
def test_a_tapped_point_tells_its_row_each_time(table, log):
    told = []
    plot = RatePlot(
        "curve", sweep_points(table, "charge_rms"), {"hit map": 4.9}, log=log, then=told.append
    )
    plot.settings.selected.indices = [2]
    plot.settings.selected.indices = [2]
    assert told == [2, 2]
    plot.choose(1, [0, 2])
    assert plot._chosen.data_source.data["x"].tolist() == [12]
    assert plot._compared.data_source.data["y"].tolist() == [12, 20]
    spans = {s.location for s in plot.figure.select(type=Span) if s.dimension == "height"}
    assert sorted(spans) == pytest.approx([4.9, 30])
    assert plot.figure.x_range.start < 4.9 < 30 < plot.figure.x_range.end
    assert {i.label.value for i in plot.figure.legend[0].items} == {
        "patch-vq",
        "lossless",
        "best at its rate",
    }
    assert document_of(plot.figure).to_json()


@pytest.mark.parametrize("rows", [0, 1])
@pytest.mark.parametrize("metric", METRICS)
def test_every_metric_and_small_tables_are_drawn(metric, rows):
    row = dict.fromkeys(METRICS, 0.1) | {"codec": "a", "label": "b", "bits_per_digi": 5.0}
    points = sweep_points(pd.DataFrame([row])[:rows], metric)
    plot = RatePlot("curve", points, {}, log=False, then=print)
    assert plot.figure.y_range.start < plot.figure.y_range.end


# -- codebooks --------------------------------------------------------------------------------
def test_a_gallery_has_its_pictures_in_reading_order():
    told = []
    gallery = Gallery("words", {"codeword": "code"}, told.append)
    pictures = np.full((7, 2, 3), np.nan, np.float32)
    pictures[:, 0, 1] = np.arange(7)  # lower row, middle
    gallery.show(pictures, {"code": np.arange(10, 17)}, across=4, top=9, log=False)
    (image,), (code,) = gallery.image.data["image"], gallery.image.data["code"]
    assert image.shape == (6, 16)
    # the picture of place i; rows of the image go up, rows of pictures down
    for i in range(7):
        down, right = divmod(i, 4)
        top = 6 - 3 * down
        assert image[top - 2, 4 * right + 1] == i
        assert np.isnan(image[top - 1, 4 * right + 1])
        assert code[top - 2, 4 * right] == 10 + i
        tap(gallery.figure, 4 * right + 1.2, top - 1.2)
    assert told == list(range(7))
    tap(gallery.figure, 15, 1)  # no picture there
    assert told == list(range(7))
    gallery.choose(5)
    assert gallery._ring.data_source.data["x"].tolist() == [4 + 1.5]
    gallery.choose(None)
    assert document_of(gallery.figure).to_json()


def test_usage_goes_down_and_tells_its_place():
    told = []
    plot = UsagePlot("usage", told.append)
    uses = np.array([3, 50, 0, 7])
    plot.show(uses, np.argsort(-uses), "clusters")
    assert plot.figure.yaxis[0].axis_label == "clusters"
    assert plot.steps.data["top"].tolist() == [50, 7, 3, 0]
    assert plot.steps.data["code"].tolist() == [1, 3, 0, 2]
    plot.steps.selected.indices = [2]
    assert told == [2]
    plot.choose(3)
    plot.choose(None)
    assert document_of(plot.figure).to_json()
