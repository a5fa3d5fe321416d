from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from pixlab import plots
from pixlab.codecs import CodeUsage
from pixlab.detectors import DETECTORS
from pixlab.digis import Digis
from pixlab.errors import PixlabError
from pixlab.physics import METRICS, SPECTRA, TOLERANCES, compare
from pixlab.study import Sweep
from tests.helpers import full_module, random_digis, small_detector

hv = pytest.importorskip("holoviews")
MODULE = 303042564


@pytest.fixture(scope="module", autouse=True)
def bokeh_backend():
    hv.extension("bokeh")


def render(figure):
    """The bokeh model: everything that HoloViews checks late is checked here."""
    return hv.renderer("bokeh").get_plot(figure).state


def panels(model):
    """The figures of a layout, in reading order."""
    return [child[0] for child in model.children]


def option(element, name):
    for group in ("plot", "style"):
        found = hv.Store.lookup_options("bokeh", element, group).kwargs
        if name in found:
            return found[name]
    raise KeyError(name)


def columns(element, *names):
    return [element.dimension_values(name).tolist() for name in names]


def names_of(element):
    return [d.name for d in element.dimensions()]


@pytest.fixture(scope="module")
def original():
    # kept, changed, lost, and a count of 0 that is a hit all the same; another event beside them
    return Digis.from_arrays(
        [0, 0, 0, 0, 1],
        [MODULE] * 5,
        [3, 3, 90, 159, 3],
        [7, 8, 51, 415, 7],
        [100, 50, 30, 0, 9],
        detector="phase1",
    )


@pytest.fixture(scope="module")
def decoded():
    return Digis.from_arrays(
        [0, 0, 0, 0], [MODULE] * 4, [3, 3, 0, 159], [7, 8, 0, 415], [100, 44, 20, 0], detector="phase1",
        n_events=2,
    )  # fmt: skip


# -- hit maps ---------------------------------------------------------------------------------
def test_hit_map_shows_each_hit_and_nothing_else(original):
    figure = plots.hit_map(original, 0, MODULE)
    assert columns(figure, "row", "col", "adc") == [
        [3, 3, 90, 159],
        [7, 8, 51, 415],
        [100, 50, 30, 0],
    ]
    assert columns(figure, "col from", "col to") == [
        [6.5, 7.5, 50.5, 414.5],
        [7.5, 8.5, 51.5, 415.5],
    ]
    plot = render(figure)
    assert (plot.x_range.end, plot.y_range.end) == (415.5, 159.5)
    assert "event 0" in plot.title.text
    assert (plot.xaxis.axis_label, plot.yaxis.axis_label) == ("column", "row")
    assert plot.right[0].title == "charge [adc counts]"


def test_hit_maps_compare_pixel_by_pixel(original, decoded):
    figure = plots.hit_maps(original, decoded, 0, MODULE)
    before, after, difference = figure
    assert columns(before, "adc")[0] == [100, 50, 30, 0]
    assert columns(after, "decoded adc")[0] == [20, 100, 44, 0]
    # the union, in raster order: invented, same, changed, lost, same 0
    assert columns(difference, "row", "delta") == [[0, 3, 3, 90, 159], [20, 0, -6, -30, 0]]
    assert columns(difference, "adc text")[0] == ["none", "100", "50", "30", "0"]
    assert columns(difference, "decoded text")[0] == ["20", "100", "44", "none", "0"]
    assert columns(difference, "delta text")[0] == ["+20", "0", "-6", "-30", "0"]


def test_hit_maps_share_one_scale_and_axes(original, decoded):
    before, after, difference = plots.hit_maps(original, decoded, 0, MODULE)
    assert option(before, "clim") == option(after, "clim") == (0, 100)
    assert option(difference, "clim") == (-25, 25)
    # the scale is that of the original, whatever stands beside it
    other, *_ = plots.hit_maps(original, original.with_adc([9] * 5), 0, MODULE)
    assert option(other, "clim") == (0, 100)
    drawn = panels(render(plots.hit_maps(original, decoded, 0, MODULE)))
    assert len(drawn) == 3
    assert len({f.x_range.id for f in drawn}) == len({f.y_range.id for f in drawn}) == 1


def test_zero_difference_has_a_colour_of_its_own(original, decoded):
    cmap = option(plots.hit_maps(original, decoded, 0, MODULE)[0, 2], "cmap")
    assert len(cmap) % 2 == 1  # 0 is the middle colour, not an edge
    red, green, blue = (int(cmap[len(cmap) // 2][i : i + 2], 16) for i in (1, 3, 5))
    assert red == green == blue  # grey
    assert 150 < red < 225  # and neither the white nor the black of the page


@pytest.mark.parametrize("which", ["original", "decoded", "both"])
def test_modules_without_hits_are_drawn(original, which):
    empty = Digis.empty("phase1", 2)
    a = empty if which in ("original", "both") else original
    b = empty if which in ("decoded", "both") else original
    assert render(plots.hit_maps(a, b, 0, MODULE))
    assert render(plots.hit_map(empty, 1, MODULE))


def test_a_full_module_and_a_foreign_detector():
    assert len(plots.hit_map(full_module(), 0, int(full_module().detid[0]))) == 66560
    digis = random_digis(small_detector())
    detid = int(digis.detid[0])
    assert render(plots.hit_maps(digis, digis, 0, detid))


def test_hit_map_errors(original):
    with pytest.raises(PixlabError, match="no module with id 5"):
        plots.hit_map(original, 0, 5)
    with pytest.raises(PixlabError, match="different detectors"):
        plots.hit_maps(original, random_digis("phase1-run3"), 0, MODULE)


# -- occupancy --------------------------------------------------------------------------------
@pytest.mark.parametrize("layer", DETECTORS["phase1"].layers)
def test_occupancy_has_a_tile_for_each_module(layer):
    digis = random_digis(n_digis=4000, n_modules=600)
    figure = plots.occupancy_map(digis, layer)
    detector = digis.detector
    own = detector.in_layer(layer)
    # tapped indices are places in this order
    assert columns(figure, "detid")[0] == detector.detid[own].tolist()
    mean = np.bincount(digis.module, minlength=len(detector))[own] / len(digis)
    assert columns(figure, "digis")[0] == mean.tolist()
    assert 0 < (mean == 0).sum() < len(mean)  # empty modules are among them, as 0
    assert option(figure, "clim") == (0, mean.max())
    assert render(figure)


@pytest.mark.parametrize("detector", ["phase1", "toy"])
def test_tiles_do_not_overlap(detector):
    detector = small_detector() if detector == "toy" else DETECTORS[detector]
    digis = Digis.empty(detector, 1)
    for layer in detector.layers:
        figure = plots.occupancy_map(digis, layer)
        corners = np.array(columns(figure, "x from", "y from", "x to", "y to")).T
        low, high = corners[:, None, :2], corners[None, :, 2:]
        overlap = (low < high).all(axis=2) & (low < high).all(axis=2).T
        assert overlap.sum() == len(corners)  # each with itself alone
        assert render(figure)


def test_occupancy_of_no_such_layer():
    with pytest.raises(PixlabError, match="BPIX 1"):
        plots.occupancy_map(Digis.empty("phase1", 1), "BPIX 9")


# -- spectra ----------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def comparison():
    digis = random_digis(n_digis=6000, n_events=5, n_modules=200)
    keep = np.random.default_rng(3).random(digis.n_digis) > 0.1
    return compare(digis, digis.select(mask=keep))


@pytest.mark.parametrize("logy", [False, True])
@pytest.mark.parametrize("name", SPECTRA)
def test_spectra_are_drawn_with_their_unit(comparison, name, logy):
    top, ratio = panels(render(plots.spectrum_ratio(comparison, name, "all", logy=logy)))
    assert SPECTRA[name].axis_label in ratio.below[0].axis_label
    assert SPECTRA[name].entries in top.left[0].axis_label
    assert top.x_range is ratio.x_range
    assert (type(top.y_scale).__name__ == "LogScale") == logy


def test_spectrum_ratio_has_the_counts_and_their_errors(comparison):
    figure = plots.spectrum_ratio(comparison, "size", "BPIX 4")
    place = comparison.detector.layers.index("BPIX 4")
    original, decoded = (counts[place, 1:-1] for counts in comparison.totals.histogram("size"))
    upper, lower = figure
    points = next(iter(upper.traverse(lambda e: e, [hv.Points])))
    values = points.dimension_values("entries")
    n = len(values)
    assert values.tolist() == decoded[:n].tolist()
    assert decoded[n:].sum() == original[n:].sum() == 0
    # a bin of one whole number stands over it
    assert points.dimension_values("size").tolist() == list(range(1, n + 1))
    bars = next(iter(upper.traverse(lambda e: e, [hv.ErrorBars])))
    assert bars.dimension_values("error").tolist() == np.sqrt(decoded[:n]).tolist()
    ratio = next(iter(lower.traverse(lambda e: e, [hv.Points])))
    known = original[:n] > 0
    found = ratio.dimension_values("ratio to original")
    assert found.tolist() == (decoded[:n][known] / original[:n][known]).tolist()


def test_what_is_beyond_the_axis_is_said():
    digis = Digis.from_arrays([0], [MODULE], [3], [7], [1023], detector="phase1")
    three = Digis.from_arrays(
        [0] * 3, [MODULE] * 3, [3, 3, 3], [7, 8, 9], [900] * 3, detector="phase1"
    )
    _, ratio = plots.spectrum_ratio(compare(digis, three), "charge")
    assert "beyond 200: 0 → 1" in option(ratio, "xlabel")


def test_the_view_is_cut_to_what_is_filled():
    digis = random_digis(n_digis=2000, n_events=2, n_modules=3)
    upper, _ = plots.spectrum_ratio(compare(digis, digis), "digis")
    low, high = option(upper, "xlim")
    entries = [n for d in digis for n in d.per_layer().values()]
    assert low < min(entries) < max(entries) < high < 1.15 * max(entries)
    # the view is filled, also where an entry counts less than 1 for the width of its bin
    assert option(upper, "ylim")[1] == pytest.approx(
        1.1 * max(e.range("entries")[1] for e in upper.traverse(lambda e: e, [hv.Points]))
    )
    # bins of one at its beginning do not make it a spectrum of even bins
    few = Digis.from_arrays([0], [MODULE], [3], [7], [100], detector="phase1")
    upper, _ = plots.spectrum_ratio(compare(few, few), "occupancy")
    assert option(upper, "ylabel") == "modules x events / bin width"


def test_an_empty_comparison_is_drawn():
    nothing = Digis.empty("phase1", 2)
    for name, logy in (("charge", False), ("occupancy", True)):
        assert render(plots.spectrum_ratio(compare(nothing, nothing), name, logy=logy))


def test_spectrum_errors(comparison):
    with pytest.raises(PixlabError, match="no spectrum 'charm'"):
        plots.spectrum_ratio(comparison, "charm")
    with pytest.raises(PixlabError, match="no layer 'TEC'"):
        plots.spectrum_ratio(comparison, "charge", "TEC")


# -- rate and distortion ----------------------------------------------------------------------
@pytest.fixture
def sweep():
    return pd.DataFrame(
        {
            "codec": ["patch-vq", "lossless", "patch-vq", "patch-vq"],
            "label": ["64 codes", "exact", "16 codes", "256 codes"],
            "bits_per_digi": [6.0, 12.0, 5.0, 7.0],
            "ratio_root_zstd4": [30 / 6, 30 / 12, 30 / 5, 30 / 7],
            "charge_rms": [0.12, 0.0, 0.2, np.nan],
            "efficiency": [0.99, 1.0, 0.97, 0.995],
        }
    )


def test_tapped_index_is_the_row_of_the_table(sweep):
    figure = plots.rate_distortion(sweep, "charge_rms")
    points = figure.get("settings") or next(iter(figure.traverse(lambda e: e, [hv.Points])))
    assert points.dimension_values("setting").tolist() == sweep["label"].tolist()
    assert points.dimension_values("bits per digi").tolist() == [6, 12, 5, 7]
    assert points.dimension_values("charge rms")[:3].tolist() == [12, 0, 20]
    model = render(figure)
    assert "%" in model.left[0].axis_label
    assert "bits/digi" in model.below[0].axis_label


def test_curves_go_by_rate(sweep):
    curves = plots.rate_distortion(sweep, "charge_rms").traverse(lambda e: e, [hv.Curve])
    assert {c.label: c.dimension_values(0).tolist() for c in curves} == {
        "patch-vq": [5, 6, 7],
        "lossless": [12],
        "best of all": [5, 6, 12],
    }
    plain = plots.rate_distortion(sweep, "charge_rms", front=False)
    assert len(plain.traverse(lambda e: e, [hv.Curve])) == 2
    one = plots.rate_distortion(sweep[sweep["codec"] == "patch-vq"], "charge_rms")
    assert len(one.traverse(lambda e: e, [hv.Curve])) == 1


def test_root_and_tolerance_lines(sweep):
    figure = plots.rate_distortion(sweep, "charge_rms")
    assert [line.data for line in figure.traverse(lambda e: e, [hv.VLine])] == pytest.approx([30])
    limits = [line.data for line in figure.traverse(lambda e: e, [hv.HLine])]
    assert limits == pytest.approx([100 * TOLERANCES[t]["charge_rms"] for t in TOLERANCES])
    without = plots.rate_distortion(sweep, "charge_rms", root=False)
    assert not without.traverse(lambda e: e, [hv.VLine])
    assert render(without).x_range.end < 13 < 30 < render(figure).x_range.end


def test_floors_of_a_sweep_are_lines(sweep):
    floors = {"hit_map": 4.9, "lossless": 7.3, "noise": None}
    whole = Sweep(sweep, "here", {"floors": floors})
    figure = plots.rate_distortion(whole, "charge_rms")
    lines = [line.data for line in figure.traverse(lambda e: e, [hv.VLine])]
    assert lines == pytest.approx([4.9, 7.3, 30])
    names = [text.data[2].strip() for text in figure.traverse(lambda e: e, [hv.Text])]
    assert names[:3] == ["hit map alone", "hit map + noise", "ROOT ZSTD-4"]
    assert render(figure).x_range.start < 4.9
    without = plots.rate_distortion(whole, "charge_rms", floors=False)
    assert len(without.traverse(lambda e: e, [hv.VLine])) == 1
    unknown = Sweep(sweep, "here", {"floors": floors | {"lossless": None}})
    assert len(plots.rate_distortion(unknown, "charge_rms").traverse(lambda e: e, [hv.VLine])) == 2


@pytest.mark.parametrize("metric", ["charge_rms", "efficiency"])
@pytest.mark.parametrize("logy", [False, True])
@pytest.mark.parametrize("rows", [4, 1, 0])
def test_small_tables_are_drawn(sweep, metric, logy, rows):
    assert render(plots.rate_distortion(sweep[:rows], metric, logy=logy))


def test_rate_distortion_errors(sweep):
    with pytest.raises(PixlabError, match="no metric 'charm'"):
        plots.rate_distortion(sweep, "charm")
    with pytest.raises(PixlabError, match="no column 'fakes'"):
        plots.rate_distortion(sweep, "fakes")


# -- all --------------------------------------------------------------------------------------
def figures(original, decoded, comparison, sweep):
    return {
        "hit map": plots.hit_map(original, 0, MODULE),
        "hit maps": plots.hit_maps(original, decoded, 0, MODULE),
        "occupancy": plots.occupancy_map(original, "BPIX 1"),
        "spectrum": plots.spectrum_ratio(comparison, "size_row"),
        "rate": plots.rate_distortion(sweep, "charge_rms"),
    }


def test_no_hover_name_has_an_underscore(original, decoded, comparison, sweep):
    seen = 0
    for figure in figures(original, decoded, comparison, sweep).values():
        for element in figure.traverse(lambda e: e, [hv.Rectangles, hv.Points]):
            kdims = {d.name for d in element.kdims}
            assert not [n for n in names_of(element) if "_" in n and n not in kdims]
            for _, value in option(element, "hover_tooltips"):
                assert "_" not in value
                seen += 1
    assert seen > 20


def test_holoviews_is_loaded_with_the_first_figure():
    code = "import pixlab.plots, sys; print('holoviews' in sys.modules, 'hist' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_metrics_can_all_be_drawn(comparison):
    row = {name: comparison.table.loc[name, "all"] for name in METRICS}
    table = pd.DataFrame([row | {"codec": "a", "label": "b", "bits_per_digi": 5.0}])
    for name in METRICS:
        assert render(plots.rate_distortion(table, name))


@pytest.mark.browser
def test_hover_in_a_browser(original, decoded, tmp_path, browser):
    """Each box says whole numbers, and "none" for a pixel that is not hit; nothing is fetched."""
    from bokeh.embed import file_html
    from bokeh.resources import INLINE

    page_file = tmp_path / "maps.html"
    figure = plots.hit_maps(original, decoded, 0, MODULE, columns=1)
    page_file.write_text(file_html(hv.render(figure), INLINE))
    page = browser.new_page(viewport={"width": 1000, "height": 800})
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda r: problems.append(r.url) if r.url.startswith("http") else None)
    page.goto(page_file.as_uri())
    page.wait_for_selector(".bk-Figure")
    page.wait_for_timeout(500)
    place = """([map, row, col]) => {
        const walk = v => [v, ...[...(v.child_views ?? [])].flatMap(walk)];
        const all = [...Bokeh.index.roots].flatMap(walk);
        const figure = all.filter(v => v.model.type == "Figure")[map];
        const box = figure.el.getBoundingClientRect();
        const frame = figure.frame;
        return [box.x + frame.x_scale.compute(col), box.y + frame.y_scale.compute(row)];
    }"""
    text = """() => {
        const dig = e => [...(e.shadowRoot ? [...e.shadowRoot.children] : []), ...e.children]
            .flatMap(c => [c, ...dig(c)]);
        return dig(document.body).filter(e => e.classList.contains("bk-Tooltip")
            && getComputedStyle(e).display != "none").map(e => {
                const root = e.shadowRoot ?? e;
                return [...root.querySelectorAll(".bk-tooltip-row-label, .bk-tooltip-row-value")]
                    .map(x => x.textContent).join(" ");
            }).join("");
    }"""
    found = []
    for which, row, col in ((0, 90, 51), (1, 0, 0), (2, 3, 8)):
        page.mouse.move(*page.evaluate(place, [which, row, col]))
        page.wait_for_timeout(300)
        found.append(" ".join(page.evaluate(text).split()))
    page.close()
    assert problems == []
    assert "adc: 30" in found[0]
    assert "decoded adc: none" in found[0]
    assert "delta: -30" in found[0]
    assert "adc: none decoded adc: 20 delta: +20" in found[1]
    assert "row: 3 col: 8 adc: 50 decoded adc: 44 delta: -6" in found[2]


def test_codes_are_drawn_by_how_often_they_are_used():
    pictures = np.arange(3 * 4 * 8, dtype=float).reshape(3, 4, 8)
    pictures[:, 2:] = np.nan
    usage = CodeUsage("code", np.array([1, 0, 3]), escaped=1, pictures=pictures)
    figure = plots.code_usage(usage)
    assert columns(figure.Curve.I, "rank", "share") == [[1, 2], [0.75, 0.25]]
    assert "3 codes, 1 dead, perplexity 2, 20.0% escaped" in render(figure).title.text
    sheet = plots.code_pictures(usage)
    assert render(sheet).title.text == "code: the 3 commonest of 3 codes"
    drawn = sheet.dimension_values("weight", flat=False)
    drawn = drawn if np.isnan(drawn[0, 0]) else drawn[::-1]  # from the bottom up
    assert drawn[::-1][:2, :8].tolist() == pictures[2, :2].tolist()
    assert drawn[::-1][:2, 9:17].tolist() == pictures[0, :2].tolist()
    with pytest.raises(PixlabError, match="no pictures"):
        plots.code_pictures(CodeUsage("code1", np.array([1, 2])))
