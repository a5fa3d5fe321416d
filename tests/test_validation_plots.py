"""Drawings of a comparison, on the screen and for publications, and the page with all of them."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from io import StringIO
from itertools import islice

import numpy as np
import pytest

from pixlab import __version__, plots, samples
from pixlab.digis import Digis
from pixlab.errors import PixlabError
from pixlab.physics import METRICS, TOLERANCES, compare
from pixlab.plots import paper
from pixlab.plots.matched import layer_values, module_change, pair_bins, size_confusion_table
from pixlab.study import Sweep
from tests.helpers import random_digis
from tests.physics_cases import distorted, shifted, tracks
from tests.test_resolution import moved, straight

hv = pytest.importorskip("holoviews")


@pytest.fixture(scope="module", autouse=True)
def bokeh_backend():
    hv.extension("bokeh")


@pytest.fixture(scope="module")
def noisy():
    digis = tracks(8)
    return compare(digis, distorted(digis))


@pytest.fixture(scope="module")
def everything():
    """Digis, after pre-mixing, deep, and against the truth, of a small sample."""
    digis, truth = straight(120, 2)
    return compare(digis, moved(digis, 1), premixed=True, deep=True, truth=truth)


def render(figure):
    return hv.renderer("bokeh").get_plot(figure).state


# -- what is drawn ----------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["response", "shift_row", "shift_col"])
@pytest.mark.parametrize("layer", ["inner", "all"])
def test_every_matched_cluster_is_in_a_bin(noisy, name, layer):
    bins = pair_bins(noisy, name, layer)
    place = noisy.layers.index(layer)
    assert bins.counts.sum() == bins.total == noisy.totals.sum("matched")[place]
    # no change is in the middle of the middle bin
    n = len(bins.edges) - 1
    assert n % 2 == 1
    assert (bins.edges[n // 2] + bins.edges[n // 2 + 1]) / 2 == pytest.approx(bins.centre, abs=1e-9)
    assert n <= 130
    assert np.ptp(np.diff(bins.edges)) < 1e-9 * bins.edges[-1] + 1e-9


def test_a_shift_is_where_it_is():
    digis = tracks(4)
    bins = pair_bins(compare(digis, shifted(digis, 1, 0)), "shift_row")
    at = np.flatnonzero(bins.counts.sum(axis=0))
    assert len(at) == 1
    assert bins.edges[at[0]] <= 100 <= bins.edges[at[0] + 1]
    # the clusters are two rows high
    assert bins.counts.sum(axis=1).tolist() == [0, bins.total, 0, 0, 0, 0]


def test_sizes_before_and_after():
    digis = tracks(4)
    first_row = digis.row % 10 == 0
    lost = first_row & (digis.detid == 1)
    table = size_confusion_table(compare(digis, digis.select(mask=~lost)), "row", "inner")
    n = (digis.detid <= 3).sum() // 6
    broken = (digis.detid == 1).sum() // 6
    assert table.names == ("1", "2")
    assert table.counts.tolist() == [[0, 0], [broken, n - broken]]
    np.testing.assert_allclose(table.share[1], [broken / n, 1 - broken / n])
    assert np.isnan(table.share[0]).all()


def test_modules_before_and_after():
    digis = tracks(4)
    found = compare(digis, digis.select(mask=(digis.detid != 2) & (digis.row % 20 > 1)))
    shown = module_change(found, "inner")
    assert shown.original.tolist() == [(digis.detid == i).sum() for i in (1, 2, 3)]
    assert shown.percent[1] == -100
    assert shown.reach == 100


@pytest.mark.parametrize("metric", METRICS)
def test_layers_with_errors_and_limits(noisy, metric):
    shown = layer_values(noisy, metric)
    values, errors = shown.stages["digis"]
    factor = 100 if METRICS[metric].unit == "%" else 1
    np.testing.assert_allclose(values, factor * noisy.values[metric])
    assert (errors >= 0).all()
    known = np.isfinite(values)
    assert (values[known] > shown.range[0]).all()
    assert (values[known] < shown.range[1]).all()
    assert set(shown.limits) == {k for k, limits in TOLERANCES.items() if metric in limits}


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda c: pair_bins(c, "colour"), "no change 'colour'"),
        (lambda c: pair_bins(c, "response", "attic"), "no layer 'attic'"),
        (lambda c: size_confusion_table(c, "diagonal"), "no size along 'diagonal'"),
        (lambda c: layer_values(c, "charm"), "no metric 'charm'"),
        (lambda c: module_change(c, "attic"), "no layer 'attic'"),
        (lambda c: plots.hit_residuals(c, "row"), "knows no truth"),
        (lambda c: plots.track_residuals(c, "d0"), "knows no truth"),
        (lambda c: paper.space_map(c, "inner"), "has no maps"),
        (lambda c: paper.pixel_map(c, "inner"), "has no maps"),
        (lambda c: paper.save(c, "nowhere", formats=["gif2"]), "cannot be written as 'gif2'"),
        (lambda c: paper.spectrum(c, "charm"), "no spectrum 'charm'"),
    ],
)
def test_what_is_not_there(noisy, draw, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PixlabError, match=message):
        draw(noisy)
    assert not list(tmp_path.iterdir())


def test_residuals_that_are_not_there(everything):
    with pytest.raises(PixlabError, match="no residuals of 'row' in 'attic'"):
        plots.hit_residuals(everything, "row", "attic")
    with pytest.raises(PixlabError, match="no fits of 'd0' through 5 layers"):
        plots.track_residuals(everything, "d0", 5)
    with pytest.raises(PixlabError, match="no map of 'attic'"):
        paper.space_map(everything, "attic")


def test_residuals_are_cut_around_the_first(everything):
    shown = plots.hit_residuals(everything, "row", "BPIX 2")
    counts = everything.resolution.hits["row"].sum(axis=1)[:, 1]
    assert shown.counts[0].sum() == counts[0].sum()
    assert shown.edges[-1] <= 200.5
    assert shown.edges[-1] >= 5 * shown.width[0]
    assert "width × " in shown.change
    assert shown.names[0].startswith("original: ±")


# -- on the screen ----------------------------------------------------------------------------
SCREEN = [
    lambda c: plots.cluster_change(c, "response"),
    lambda c: plots.cluster_change(c, "shift_col", "BPIX 1", logy=False),
    lambda c: plots.size_confusion(c, "row"),
    lambda c: plots.layer_metric(c, "charge_mean"),
    lambda c: plots.layer_metric(c, "efficiency"),
    lambda c: plots.module_changes(c, "BPIX 2"),
    lambda c: plots.module_changes(c, "FPIX 1"),
    lambda c: plots.residual_spectra(plots.hit_residuals(c, "col", "BPIX 3")),
    lambda c: plots.residual_spectra(plots.track_residuals(c, "pt", 3)),
]


@pytest.mark.parametrize("draw", SCREEN)
def test_figures_for_the_screen_are_drawn_and_labelled(everything, draw):
    figure = render(draw(everything))
    assert figure.title.text
    assert figure.yaxis[0].axis_label is not None
    assert figure.x_range.end > figure.x_range.start
    # hover boxes show "???" for a column with an underscore
    for tool in figure.tools:
        for _, column in getattr(tool, "tooltips", None) or ():
            assert "_" not in column


# -- for publications -------------------------------------------------------------------------
def test_figures_go_to_files(noisy, tmp_path, monkeypatch):
    monkeypatch.setattr("pixlab.plots.paper.album.figures", some(5))
    told = []
    written = paper.save(
        noisy,
        tmp_path / "figures",
        formats=["pdf", "png"],
        layers=[],
        progress=lambda done, what: told.append(what),
    )
    names = {"metric-charge_mean", "metric-shift_row", "modules-outer"}
    assert {p.stem for p in written} == names
    assert len(written) == 2 * len(names)
    assert set(told) == names
    for path in written:
        magic = path.read_bytes()[:8]
        assert magic.startswith(b"%PDF" if path.suffix == ".pdf" else b"\x89PNG\r\n\x1a\n")
        assert path.stat().st_size > 5000
        assert f"pixlab {__version__}".encode() in path.read_bytes()  # who made it
    assert {p.name for p in (tmp_path / "figures").iterdir()} == {p.name for p in written}


def test_an_album_has_a_name_and_a_caption_for_everything(everything):
    found = list(paper.figures(everything))
    names = [name for name, _, _ in found]
    assert len(set(names)) == len(names) > 100
    assert all(re.fullmatch(r"[\w+-]+", name) for name in names)
    assert all(caption for _, caption, _ in found)
    kinds = {name.split("-")[0] for name in names}
    assert kinds >= {"metric", "spectrum", "response", "shift_row", "size", "modules"}
    assert kinds >= {"space", "pixels", "hit", "track"}


def test_a_figure_shows_the_numbers(noisy):
    figure = paper.metric(noisy, "charge_rms")
    (axes,) = figure.axes
    assert axes.get_ylabel() == "cluster charge, rel. rms [%]"
    assert [t.get_text() for t in axes.get_xticklabels()] == list(noisy.layers)
    drawn = axes.containers[0].lines[0].get_ydata()
    np.testing.assert_allclose(drawn, 100 * noisy.values["charge_rms"])
    top, bottom = paper.spectrum(noisy, "size", "inner").axes
    assert (top.get_title("left"), bottom.get_xlabel()) == ("inner", "cluster size [pixels]")


def test_a_figure_shows_itself_in_a_notebook_and_keeps_its_style(noisy):
    figure = paper.confusion(noisy, "row")
    assert figure._repr_png_().startswith(b"\x89PNG")
    text = StringIO()
    figure.savefig(text, format="svg")
    assert "TeX Gyre Heros" in text.getvalue()


# -- sweeps -----------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def swept():
    return Sweep.load(samples.sweep_path())


def test_the_worst_check_of_each_setting(swept):
    points = plots.verdict_points(swept, "analysis")
    assert points.limits == {"analysis": 1.0}
    for i, value in enumerate(points.value):
        verdict = swept.comparison(i).passed("analysis")
        assert bool(verdict) == (value <= 1)
        worst = max(np.nan_to_num(check.used, nan=np.inf) for check in verdict.checks)
        assert value == pytest.approx(np.clip(worst, 0.01, 100))
    assert points.rate.tolist() == swept.table["bits_per_digi"].tolist()


@pytest.mark.parametrize("tolerances", ["transparent", {"charge_rms": 0.05}])
def test_fronts(swept, tolerances):
    figure = render(plots.verdict_front(swept, tolerances))
    assert figure.yaxis[0].axis_label.startswith("worst check over its ")
    points = plots.verdict_points(swept, tolerances)
    (axes,) = paper.front(points, logy=True).axes
    drawn = {line.get_label(): line.get_xdata() for line in axes.lines}
    assert set(points.codecs) <= set(drawn)
    assert drawn["front"].tolist() == points.rate[points.front].tolist()
    assert paper.front(plots.sweep_points(swept.table, "charge_rms")).axes[0].get_ylabel()


# -- the page ---------------------------------------------------------------------------------
class Page(HTMLParser):
    """Tags, ids, references and texts of a page; unbalanced tags are an error."""

    VOID = {"meta", "br", "img", "link", "input", "hr"}

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.ids, self.references, self.texts = [], [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value)
            if name in ("src", "href", "xlink:href", "data", "action"):
                self.references.append(value)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


FACTS = {"original": "<script>alert(1)</script>.root", "decoded": "a & b.pxl"}


def some(step):
    """One figure in so many: drawing takes time."""
    return lambda *args, **more: islice(paper.figures(*args, **more), 0, None, step)


@pytest.fixture(scope="module")
def page(everything, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    told = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pixlab.plots.page.figures", some(7))
        text = plots.report(
            everything,
            path,
            tolerances="loose",
            facts=FACTS,
            progress=lambda done, what: told.append(done),
        )
    assert path.read_text("utf-8") == text
    assert told == sorted(told)
    assert len(told) > 5
    return text


def test_the_page_needs_nothing_else(page):
    read = Page(page)
    assert "script" not in read.tags
    assert "link" not in read.tags
    assert len(read.ids) == len(set(read.ids))
    inside = {f"#{name}" for name in read.ids}
    for reference in read.references:
        assert reference in inside or reference.startswith("data:image/png;base64,"), reference[:80]
    used = set(re.findall(r"url\((#[^)]+)\)", page))
    assert used <= inside
    assert "@import" not in page
    assert not re.search(r"url\([^#]", page)


def test_the_page_says_it_all(page, everything):
    read = Page(page)
    text = " ".join(read.texts)
    assert "OUTSIDE loose" in text
    assert "<script>alert(1)</script>.root" in text  # as text
    for heading in (
        *(
            "Verdict: loose",
            "All metrics, layer by layer",
            "Spectra",
            "Matched clusters",
            "Modules",
        ),
        *("Against the truth", "Distances in many dimensions", "Maps", "Definitions"),
    ):
        assert heading in text
    for metric in METRICS.values():
        assert metric.meaning in text
    assert "after pre-mixing" in text
    drawn = list(some(7)(everything, layers=["all"]))
    assert read.tags.count("figure") == read.tags.count("figcaption") == len(drawn)
    assert "@media print" in page
    assert len(page) < 8_000_000


def test_the_page_of_nothing_is_a_page(monkeypatch):
    monkeypatch.setattr("pixlab.plots.page.figures", some(9))
    digis = random_digis(n_events=1, n_digis=0)
    text = plots.report(compare(digis, digis))
    assert "OUTSIDE transparent" in " ".join(Page(text).texts)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["all there is", "nothing", "all lost"])
def test_every_figure_of_every_kind_of_comparison(everything, kind):
    digis, truth = straight(60, 2)
    nothing = Digis.empty("phase1", 2)
    if kind == "nothing":
        found = compare(nothing, nothing, premixed=True, deep=True)
    else:
        found = compare(digis, nothing, premixed=True, deep=True, truth=truth)
    found = everything if kind == "all there is" else found
    read = Page(plots.report(found, facts=FACTS))
    assert len(read.ids) == len(set(read.ids))
    assert read.tags.count("figure") == len(list(paper.figures(found, layers=["all"])))
