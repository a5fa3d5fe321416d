"""The views over a session, without a browser: what they show follows what is chosen."""

from __future__ import annotations

import re
import threading
from dataclasses import replace

import numpy as np
import pytest
from bokeh.events import Tap
from bokeh.models import ColorBar

from pixlab import samples
from pixlab.codecs import CODECS, CodeUsage, Lossless, PatchVQ, ScalarQuantizer
from pixlab.dashboards import making
from pixlab.dashboards.codebook import CodebookView
from pixlab.dashboards.data import Data
from pixlab.dashboards.explorer import Explorer
from pixlab.dashboards.page import prepare
from pixlab.dashboards.physics import Physics, verdict_table
from pixlab.dashboards.rates import RateDistortion
from pixlab.dashboards.session import Session
from pixlab.dashboards.sources import Source
from pixlab.dashboards.table import SweepTable
from pixlab.dashboards.tasks import Task
from pixlab.dashboards.views import VIEWS
from pixlab.errors import Cancelled, PixlabError
from pixlab.io import write
from pixlab.physics import METRICS, SPECTRA, TOLERANCES, compare
from pixlab.physics.pairs import PAIRS
from pixlab.plots.codebook import Codebook, Usage
from pixlab.plots.pixels import outlines
from pixlab.study import default_codecs, sweep
from tests.helpers import random_digis


@pytest.fixture(scope="module", autouse=True)
def panel():
    prepare()


@pytest.fixture(scope="module")
def digis():
    return random_digis(n_events=4, n_digis=4000, n_modules=40, seed=3)


@pytest.fixture(scope="module")
def source(digis):
    codecs = [Lossless(), *(PatchVQ(codebook_size=n) for n in (16, 64, 200))]
    return Source("events.npz", digis, sweep(digis, codecs, source="events.npz"))


@pytest.fixture
def session(source):
    return Session([source], list(VIEWS))


def in_front(session, view):
    session.view = view.title
    return view(session)


# -- the explorer -----------------------------------------------------------------------------
def test_maps_follow_the_model_and_keep_the_zoom(session):
    explorer = in_front(session, Explorer)
    pixels = explorer.maps.hits.pixels
    one = session.original().select(detid=session.module)
    there = ~np.isnan(pixels.data["adc"])
    assert pixels.data["adc"][there].tolist() == one.adc.tolist()
    zoom = [(r.start, r.end) for r in explorer.zoom]
    session.show_point(0)
    np.testing.assert_array_equal(pixels.data["decoded"], pixels.data["adc"])
    assert [(r.start, r.end) for r in explorer.zoom] == zoom
    assert explorer.maps._cards["decoded"]._title == "Decoded · lossless"
    session.event = 1
    assert [(r.start, r.end) for r in explorer.zoom] != zoom


def test_a_moved_zoom_is_remembered_and_another_page_takes_it(session, source):
    explorer = in_front(session, Explorer)
    x, y = explorer.zoom
    x.start, x.end, y.start, y.end = 10, 30, 20, 40
    assert session.zoom == (10.0, 20.0, 30.0, 40.0)
    other = Session([source], list(VIEWS))
    assert other.from_query(session.to_query()) == []
    again = Explorer(other)
    assert [(r.start, r.end) for r in again.zoom] == [(10, 30), (20, 40)]


def test_outlines_are_those_of_the_clusters_on_each_side(session):
    explorer = in_front(session, Explorer)
    borders = explorer.maps.hits.borders
    assert len(borders["original"].data["x0"]) == 0
    session.outlines = True
    for side, event in (("original", session.original()), ("decoded", session.decoded())):
        expected = outlines(event, session.module)
        assert borders[side].data["x0"].tolist() == expected["x0"].tolist()


def test_layer_and_detector_show_the_side_that_is_chosen(session, source):
    explorer = in_front(session, Explorer)
    own = source.digis.detector.in_layer(session.layer)
    for shown, expected in (
        ("original", source.module_sums(None, session.event)),
        ("decoded", source.module_sums(session.point, session.event)),
        (
            "difference",
            source.module_sums(session.point, session.event)
            - source.module_sums(None, session.event),
        ),
    ):
        session.shown = shown
        assert explorer.layer.tiles.data["value"].tolist() == expected[own].tolist()
    session.param.update(shown="original", all_events=True)
    assert explorer.layer.tiles.data["value"].sum() == source.module_sums(None, None)[own].sum()
    assert "all 4 events" in explorer.cards["layer"]._title
    session.projection = "x-y"
    assert set(explorer.overviews) == {"z-φ", "x-y"}


def test_another_model_leaves_alone_what_shows_the_original(session, monkeypatch):
    explorer = in_front(session, Explorer)
    monkeypatch.setattr(explorer.layer, "show", lambda *a, **k: pytest.fail("drawn for nothing"))
    session.show_point(0)


def test_a_tapped_place_of_the_detector_is_a_module(session, source):
    explorer = in_front(session, Explorer)
    detector = source.digis.detector
    wanted = int(source.event(session.event).detid[0])
    table = source.cloud(None, session.event)
    one = table[table["module"] == detector.index(wanted)].iloc[0]
    figure = explorer.overviews["z-φ"].figure
    figure._trigger_event(Tap(figure, x=float(one["z"]), y=float(one["phi"])))
    assert session.module == wanted
    assert session.layer == detector.layers[detector.layer[detector.index(wanted)]]


def test_three_settings_beside_the_original(session, source):
    explorer = in_front(session, Explorer)
    session.mode = "several settings"
    columns = explorer.maps._several
    assert [kind for _, kind, _ in columns] == ["original", "decoded", "decoded", "decoded"]
    assert len({(hits.x_range, hits.y_range) for hits, *_ in columns}) == 1
    one = session.original().select(detid=session.module)
    for (hits, _, card), row in zip(columns[1:], session.compared, strict=True):
        decoded = source.decoded(row, session.event).select(detid=session.module)
        assert np.nansum(hits.pixels.data["decoded"]) == decoded.adc.sum()
        assert np.nansum(hits.pixels.data["adc"]) == one.adc.sum()
        assert source.label(row) in card._title
        assert "bits/digi" in card._title
        assert hits.values.linear.high == columns[0][0].values.linear.high
    session.shown = "difference"
    assert [kind for _, kind, _ in explorer.maps._several][1:] == ["difference"] * 3
    session.compared = [0]
    assert len(explorer.maps._several) == 2
    session.mode = "side by side"


def test_swipe_and_blink_show_both_sides(session):
    explorer = in_front(session, Explorer)
    for mode in ("swipe", "blink"):
        session.mode = mode
        assert session.data.label(session.point) in explorer.maps._cards[mode]._title
    assert explorer.maps._blinker.tags == ["original", 700]
    session.mode = "side by side"
    assert explorer.maps._blinker.tags == ["original"]  # nothing goes on where nobody looks


def test_a_codeword_is_framed_on_the_maps(session, source):
    explorer = in_front(session, Explorer)
    usage = source.usage_in(session.point, session.event)
    module = source.digis.detector.index(session.module)
    session.code = int(usage.code[usage.module == module][0])
    marked = explorer.maps.hits.marked.data
    assert len(marked["left"]) > 0
    session.show_point(0)
    assert len(explorer.maps.hits.marked.data["left"]) == 0


def test_a_chip_without_a_place_has_no_detector_map():
    chip = random_digis("timepix", n_events=2, n_digis=300, n_modules=1, adc_max=200)
    session = Session([Source("chip", chip, sweep(chip, [Lossless()]))], list(VIEWS))
    explorer = Explorer(session)
    assert not explorer.cards["detector"].visible
    assert session.problem == ""


# -- rate and distortion ----------------------------------------------------------------------
def test_the_curve_is_new_for_another_metric_and_the_ring_moves(session, source):
    view = in_front(session, RateDistortion)
    first = view.curve
    session.show_point(0)
    assert view.curve is first
    assert first._chosen.data_source.data["x"].tolist() == [source.value(0, "bits_per_digi")]
    session.metric = "efficiency"
    assert view.curve is not first
    view.curve.settings.selected.indices = [2]
    assert session.point == 2
    assert source.label(2) in view.parts.html


def test_a_click_takes_the_cheapest_setting(session, source):
    view = in_front(session, RateDistortion)
    button = view.best[0]
    assert button.label.startswith("transparent: ")
    button.clicks += 1
    assert session.point == source.cheapest("transparent")


# -- physics ----------------------------------------------------------------------------------
def test_spectra_follow_layer_and_model(session):
    view = in_front(session, Physics)
    plot = view._plots["charge"]
    before = plot.bins.data["n_decoded"].tolist()
    session.show_point(0)
    assert view._plots["charge"] is plot
    assert plot.bins.data["n_decoded"].tolist() == plot.bins.data["n_original"].tolist() != before
    assert view._cards["charge"]._title == "Cluster charge · BPIX 1"
    session.together = True
    assert view._cards["response"]._title.endswith("· all layers")
    session.log_scale = True
    assert view._plots["charge"] is not plot  # another kind of axis


def test_every_quantity_can_be_seen(session):
    view = in_front(session, Physics)
    session.all_spectra = True
    assert set(view._plots) == {*SPECTRA, *PAIRS}
    assert session.problem == ""


def test_the_verdict_has_every_metric_and_layer(session, source):
    view = in_front(session, Physics)
    assert "outside the tolerance 'transparent'" in view._verdict_card._title
    comparison = source.comparison(session.point)
    head, body = view.verdict.html.split("</thead>")
    assert re.findall(r"<th[^>]*>([^<]*)</th>", head)[2:] == [*comparison.layers]
    assert re.findall(r"<tr><th title=[^>]*>([^<]*)</th>", body) == [
        f"{METRICS[m].label} [{METRICS[m].unit}]" if METRICS[m].unit else METRICS[m].label
        for m in sorted(METRICS, key=lambda m: m not in TOLERANCES["transparent"])
    ]
    verdict = comparison.passed("transparent")
    assert view.verdict.html.count("✗</i>") == sum(not c.ok for c in verdict.checks)
    assert view.verdict.html.count("✓</i>") == sum(c.ok for c in verdict.checks)
    session.show_point(0)
    assert "inside the tolerance" in view._verdict_card._title


def test_names_in_a_verdict_are_text_and_no_markup(digis):
    detector = digis.detector
    odd = compare(digis, digis)
    object.__setattr__(
        odd.totals, "detector", replace(detector, layers=("<b>", *detector.layers[1:]))
    )
    assert "<th class=''>&lt;b&gt;</th>" in verdict_table(odd, odd.passed("loose"))


# -- the codebook -----------------------------------------------------------------------------
def test_codewords_stand_by_use_and_pages_turn(session, source):
    session.show_point(3)  # 200 codes, two pages
    view = in_front(session, CodebookView)
    usage = source.usage(session.point)
    assert session.code == usage.order[0]
    assert view.cards["words"]._title == "Codewords 1 to 128 of 200, by use"
    shown = np.unique(view.words.image.data["code"][0])
    assert set(shown) - {-1} == set(usage.order[:128].tolist())
    view.page.value = 129
    shown = np.unique(view.words.image.data["code"][0])
    assert set(shown) - {-1} == set(usage.order[128:].tolist())
    view._tapped_word(4)
    assert session.code == usage.order[132]


def test_a_tapped_tile_is_shown_in_the_explorer(session, source):
    view = in_front(session, CodebookView)
    usage = source.usage(session.point)
    assert (usage.code[view._members] == session.code).all()
    tile = int(view._members[-1])
    view._tapped_member(len(view._members))
    assert session.view == "Explorer"
    assert session.event == usage.event[tile] + source.first_measured
    assert session.module == source.digis.detector.detid[usage.module[tile]]
    left, bottom, right, top = session.zoom
    assert left < usage.col[tile] < right
    assert bottom < usage.row[tile] < top
    boxes = session.boxes_of_code()
    assert usage.col[tile] - 0.5 in boxes["left"]


def test_a_codebook_of_clusters_is_shown_without_tiles(session, monkeypatch):
    rows = np.full((3, 2, 4), np.nan, np.float32)
    rows[:, 0, :2] = 50
    book = Codebook(rows, "share of the charge [%]", placed=False)
    none = np.zeros(0, np.int64)
    usage = Usage(
        session.original(), none, none, none, none, none, CodeUsage("shape", np.array([5, 9, 0]))
    )
    monkeypatch.setattr(Source, "codebook", lambda source, row: book)
    monkeypatch.setattr(Source, "usage", lambda source, row: usage)
    view = in_front(session, CodebookView)
    assert session.code == 1
    assert not view.cards["members"].visible
    assert "clusters" in view.summary.html
    assert [bar.title for bar in view.words.figure.select(type=ColorBar)] == [book.quantity]
    assert session.boxes_of_code() is None
    session.show_code_at(1, 1)
    assert session.code == 1
    assert session.problem == ""


def test_a_tapped_pixel_chooses_the_codeword_that_made_it(session, source):
    session.show_point(1)
    usage = source.usage_in(session.point, session.event)
    own = np.flatnonzero(usage.module == source.digis.detector.index(session.module))
    tile = own[-1]
    session.show_code_at(int(usage.row[tile]), int(usage.col[tile]))
    assert session.code == usage.code[tile]
    session.show_point(0)  # without a codebook
    session.show_code_at(0, 0)
    assert session.code is None


def test_a_codec_without_pictures_says_so(session):
    session.show_point(0)
    view = in_front(session, CodebookView)
    assert "lossless has no codebook" in view.none.html
    assert "patch-vq" in view.none.html
    assert not view._content.visible
    session.show_point(1)
    assert view._content.visible
    assert view.none.html == ""


def test_a_number_that_is_typed_is_a_codeword(session):
    view = in_front(session, CodebookView)
    view.number.value = 7
    assert session.code == 7
    assert "Codeword 7 " in view.cards["members"]._title


# -- the table --------------------------------------------------------------------------------
# Panel's own: its table calls pandas in a way that pandas 3 warns of
@pytest.mark.filterwarnings("ignore:The inplace keyword:DeprecationWarning")
def test_the_table_marks_what_is_chosen(session, source):
    view = in_front(session, SweepTable)
    assert view.table.selection == [session.point]
    session.show_point(0)
    assert view.table.selection == [0]
    filters = view.table.header_filters
    assert filters["bits_per_digi"]["func"] == "<="
    assert filters["efficiency"]["func"] == ">="
    lines = view._csv().getvalue().splitlines()
    assert len(lines) == len(source.sweep) + 1
    assert view._parquet().getvalue()[:4] == b"PAR1"


# -- making data ------------------------------------------------------------------------------
def test_codecs_come_in_their_usual_settings_or_in_all_combinations():
    usual = making.codecs_of(["lossless", "patch-vq"], {})
    assert usual == [c for c in default_codecs() if c.key in ("lossless", "patch-vq")]
    texts = {
        ("patch-vq", "codebook_size"): "16, 64,",
        ("patch-vq", "tile_rows"): "2,4",
        ("scalar", "levels"): "7",
    }
    found = making.codecs_of(["patch-vq", "scalar"], texts)
    assert [(c.codebook_size, c.tile_rows) for c in found[:4]] == [
        (16, 2),
        (16, 4),
        (64, 2),
        (64, 4),
    ]
    assert found[4] == ScalarQuantizer(levels=7)


@pytest.mark.parametrize("codec", CODECS)
def test_every_knob_can_be_typed(codec):
    knobs = making.knobs_of(codec)
    defaults = {(codec, name): str(p.default) for name, p in knobs.items() if p.default is not None}
    (found,) = making.codecs_of([codec], defaults)
    assert found == CODECS[codec]()


@pytest.mark.parametrize(
    ("names", "texts", "says"),
    [
        ([], {}, "no codec is chosen"),
        (["patch-vq"], {("patch-vq", "codebook_size"): "many"}, "'many' is no integer"),
        (["patch-vq"], {("patch-vq", "codebook_size"): "-3"}, "codebook_size"),
        (["cluster-vq"], {("cluster-vq", "rate_weight"): "x"}, "'x' is no number"),
        (["patch-vq"], {("patch-vq", "seed"): ",".join(map(str, range(99)))}, "99 settings"),
    ],
)
def test_knobs_that_make_no_sense_are_named(names, texts, says):
    with pytest.raises(PixlabError, match=says):
        making.codecs_of(names, texts)


def ignore(fraction, words):
    return True


def test_a_file_is_opened_by_path_with_quotes_or_without(digis, tmp_path):
    write(digis, tmp_path / "mine.npz")
    for path in (f" {tmp_path / 'mine.npz'} ", f"'{tmp_path / 'mine.npz'}'"):
        source = making.from_file(path, [Lossless()], 3, ignore)
        assert source.digis == digis[:3]
        assert source.name == "mine.npz"


def test_a_table_is_opened_as_it_is(source, digis, tmp_path):
    write(digis, tmp_path / "events.npz")
    replace(source.sweep, source=str(tmp_path / "events.npz")).save(tmp_path / "t.parquet")
    opened = making.from_file(str(tmp_path / "t.parquet"), [], 2, ignore)
    assert len(opened.sweep) == len(source.sweep)
    assert opened.digis == digis


def test_an_upload_is_read_and_leaves_nothing(digis, tmp_path, monkeypatch):
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "t"))
    (tmp_path / "t").mkdir()
    write(digis, tmp_path / "mine.npz")
    content = (tmp_path / "mine.npz").read_bytes()
    source = making.from_upload("../../etc/mine.npz", content, [Lossless()], 2, ignore)
    assert source.digis == digis[:2]
    assert source.name == "mine.npz"
    with pytest.raises(PixlabError, match=r"^broken\.root") as caught:
        making.from_upload("broken.root", b"root" + bytes(300), [Lossless()], 2, ignore)
    assert str(tmp_path) not in str(caught.value)
    assert list((tmp_path / "t").iterdir()) == []


@pytest.mark.parametrize("path", ["", "  ", "/no/such/file.root"])
def test_a_path_that_leads_nowhere(path):
    with pytest.raises(PixlabError):
        making.from_file(path, [Lossless()], 2, ignore)


def test_simulated_events_are_swept():
    told = []
    source = making.from_simulation(
        2, 2.0, 5, "phase1", [Lossless()], lambda f, w: told.append((f, w)) or True
    )
    assert source.name == "simulated, pile-up 2, seed 5"
    assert len(source.digis) == 2
    fractions = [f for f, _ in told]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1


# -- tasks ------------------------------------------------------------------------------------
def run(work):
    seen = []
    task = Task(
        work,
        shown=lambda f, w: seen.append(w),
        done=lambda result, error: seen.append((result, error)),
    )
    return task, seen


def test_a_task_tells_its_progress_and_its_result():
    task, seen = run(lambda progress: progress(0.5, "half") and 7)
    task.join(10)
    assert seen == ["half", (7, None)]
    assert not task.running


def test_a_task_ends_when_it_is_asked_to():
    begun, go = threading.Event(), threading.Event()

    def work(progress):
        begun.set()
        assert go.wait(10)
        progress(0.5, "half")
        pytest.fail("went on")

    task, seen = run(work)
    assert begun.wait(10)
    task.stop()
    go.set()
    task.join(10)
    ((result, error),) = seen
    assert result is None
    assert isinstance(error, Cancelled)


def test_a_task_that_was_stopped_too_late_has_no_result():
    begun, go = threading.Event(), threading.Event()

    def work(progress):
        begun.set()
        go.wait(10)
        return 7

    task, seen = run(work)
    assert begun.wait(10)
    task.stop()
    go.set()
    task.join(10)
    assert seen[0][0] is None


def test_an_error_of_a_task_is_told_in_words(caplog):
    for error, says in (
        (PixlabError("bad file", "take another"), "bad file"),
        (KeyError("x"), "KeyError"),
    ):

        def work(progress, error=error):
            raise error

        task, seen = run(work)
        task.join(10)
        assert says in seen[0][1].cause
    assert "unexpected" in caplog.text


# -- the Data view ----------------------------------------------------------------------------
def finish(view):
    view.start()
    if view.task is not None:
        view.task.join(120)
    return view.alerts[0]


def test_a_sweep_of_ones_own_is_shown_in_all_views(session):
    view = in_front(session, Data)
    view.events.value = 2
    view.codecs.value = ["lossless"]
    alert = finish(view)
    assert alert.severity == "success"
    assert session.source == samples.list().__iter__().__next__()
    assert len(session.data.digis) == 2
    assert session.codec == "lossless"
    assert "2 events" in view.origin.html
    assert not view.run.disabled
    assert view.cancel.disabled


def test_what_goes_wrong_is_said_and_nothing_changes(session, tmp_path):
    view = in_front(session, Data)
    broken = tmp_path / "broken.root"
    broken.write_bytes(b"root" + bytes(300))
    view.kind.value = "file on this machine"
    view.path.value = str(broken)
    alert = finish(view)
    assert alert.severity == "error"
    assert "broken.root" in alert.title
    view.kind.value = "upload"
    assert "No file is chosen" in finish(view).title
    view.kind.value = "sample"
    view.own.value = True
    view.knobs["patch-vq", "codebook_size"].value = "many"
    assert "'many' is no integer" in finish(view).title
    assert session.source == "events.npz"


def test_cancelling_changes_nothing(session, monkeypatch):
    begun, go = threading.Event(), threading.Event()

    def slow(name, codecs, events, progress):
        begun.set()
        go.wait(20)
        progress(0.5, "half")

    monkeypatch.setattr(making, "from_sample", slow)
    view = in_front(session, Data)
    view.start()
    assert begun.wait(10)
    assert view.run.disabled
    assert view.bar.visible
    view.stop()
    go.set()
    view.task.join(20)
    assert view.alerts[0].title == "Cancelled"
    assert session.source == "events.npz"
    assert not view.run.disabled


def test_a_visitor_who_leaves_ends_the_work(session, monkeypatch):
    ended = threading.Event()

    def endless(name, codecs, events, progress):
        try:
            while True:
                progress(0.1, "")
        finally:
            ended.set()

    monkeypatch.setattr(making, "from_sample", endless)
    view = in_front(session, Data)
    view.start()
    view.close()
    assert ended.wait(10)
    view.task.join(10)
