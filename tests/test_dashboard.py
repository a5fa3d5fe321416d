"""State, shared results, opening of sources: everything of the dashboard that needs no browser."""

from __future__ import annotations

import gc
import sys
import threading
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import panel as pn
import pytest
from bokeh.document import Document
from bokeh.models import Plot
from panel.io.state import set_curdoc

from pixlab import dashboards, samples
from pixlab.codecs import Lossless, PatchVQ
from pixlab.dashboards.opening import open_source, open_sources
from pixlab.dashboards.page import error_page, page, prepare
from pixlab.dashboards.session import Follower, Session
from pixlab.dashboards.shared import SHELF, Shelf, size_of
from pixlab.dashboards.sources import Source
from pixlab.dashboards.views import VIEWS
from pixlab.errors import PixlabError
from pixlab.io import read, write
from pixlab.physics import TOLERANCES
from pixlab.study import Sweep, sweep
from tests.helpers import random_digis, small_detector

SIZES = (16, 64, 256)


@pytest.fixture(scope="module")
def digis():
    return random_digis(n_events=4, n_digis=4000, n_modules=40, seed=3)


@pytest.fixture(scope="module")
def swept(digis):
    codecs = [Lossless(), *(PatchVQ(codebook_size=n) for n in reversed(SIZES))]
    return sweep(digis, codecs, source="events.npz")


@pytest.fixture(scope="module")
def source(digis, swept):
    return Source("events.npz", digis, swept)


@pytest.fixture
def session(source):
    return Session([source], list(VIEWS))


@pytest.fixture(scope="module")
def files(digis, swept, tmp_path_factory):
    """A table and the events that it was made on, in one folder."""
    folder = tmp_path_factory.mktemp("sweep")
    write(digis, folder / "events.npz")
    table = folder / "settings.parquet"
    Sweep(swept.table, str(folder / "events.npz"), swept.provenance).save(table)
    return table, folder / "events.npz"


def damaged(source, row, **columns):
    """The same source with other content in some cells of a row."""
    table = source.sweep.table.copy()
    for name, value in columns.items():
        table[name] = [value if i == row else old for i, old in enumerate(table[name])]
    return replace(source, sweep=replace(source.sweep, table=table))


# -- the shelf --------------------------------------------------------------------------------
def test_shelf_makes_once_and_forgets_the_least_used():
    shelf = Shelf(max_items=2)
    made = []

    def get(key):
        return shelf.get(key, lambda: made.append(key) or key)

    for key in "abac":
        assert get(key) == key
    assert made == ["a", "b", "c"]
    get("a")
    assert made == ["a", "b", "c"]  # used last but one: kept
    get("b")
    assert made == ["a", "b", "c", "b"]
    assert len(shelf) == 2


def test_shelf_is_bounded_in_bytes_too(digis):
    shelf = Shelf(max_items=100, max_bytes=3000)
    for i in range(5):
        shelf.get(i, lambda: np.zeros(1000, np.uint8))
    assert len(shelf) == 3
    assert shelf.nbytes == 3000
    shelf.get("large", lambda: np.zeros(9000, np.uint8))  # the newest stays in any case
    assert len(shelf) == 1
    shelf.clear()
    assert shelf.nbytes == 0
    columns = (digis.offsets, digis.detid, digis.row, digis.col, digis.adc)
    assert size_of(digis) >= sum(c.nbytes for c in columns)
    assert size_of({"a": [np.zeros(7)]}) == 56


def test_shelf_keeps_no_failure():
    shelf = Shelf()

    def fail():
        raise ValueError("no")

    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            shelf.get("a", fail)
    assert shelf.get("a", lambda: 1) == 1


def test_shelf_computes_once_for_sessions_that_ask_at_the_same_time():
    shelf, made, begun, go = Shelf(), [], threading.Event(), threading.Event()

    def slow():
        begun.set()
        assert go.wait(10)
        made.append(1)
        return object()

    got = []
    threads = [
        threading.Thread(target=lambda: got.append(shelf.get("a", slow)), daemon=True)
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    assert begun.wait(10)
    assert shelf.get("b", lambda: 2) == 2  # another key does not wait
    go.set()
    for thread in threads:
        thread.join(10)
    assert len(made) == 1
    assert len(got) == 4
    assert len(set(map(id, got))) == 1


# -- sources ----------------------------------------------------------------------------------
def test_points_stand_in_the_order_of_their_knob(source):
    points = source.points("patch-vq")
    assert list(points) == ["16", "64", "256"]
    assert source.sweep.table["codebook_size"].iloc[list(points.values())].tolist() == list(SIZES)
    assert source.knob("patch-vq") == "codebook_size"
    assert source.knob("lossless") is None
    assert source.points("lossless") == {"lossless": 0}


def test_points_of_a_codec_with_several_knobs_are_called_by_their_label(digis):
    codecs = [PatchVQ(codebook_size=n, tile_rows=r) for n in (8, 16) for r in (2, 4)]
    many = Source("many", digis, sweep(digis, codecs))
    points = many.points("patch-vq")
    assert many.knob("patch-vq") is None
    assert sorted(points.values()) == [0, 1, 2, 3]
    rates = [many.value(row, "bits_per_digi") for row in points.values()]
    assert rates == sorted(rates)


def test_parts_of_the_rate_add_up_to_it(source):
    for row in range(len(source.sweep)):
        total = sum(source.rate_parts(row).values())
        assert total == pytest.approx(source.value(row, "bits_per_digi"), rel=1e-9)


def test_decoded_event_is_what_the_model_gives_and_shared(source, digis):
    row = source.points("patch-vq")["64"]
    decoded = source.decoded(row, 3)
    assert decoded == source.sweep.model(row).quantize(digis[3])
    assert decoded != digis[3]
    again = Source("the same content", digis[0:4], source.sweep)
    assert again.decoded(row, 3) is decoded
    other = Source("other events", digis[::-1], source.sweep)
    assert other.decoded(row, 3) is not decoded


def test_lossless_point_decodes_to_the_original(source, digis):
    assert source.decoded(0, 2) == digis[2]


def test_first_event_shown_is_one_that_no_model_saw(source, session):
    assert source.first_measured == 2
    assert session.event == 2


def test_busiest_module_has_most_digis(source, digis):
    for layer in ("BPIX 2", "FPIX 3"):
        detid = source.busiest(1, layer)
        one = digis[1].select(layer=layer)
        counts = {int(d): int((one.detid == d).sum()) for d in np.unique(one.detid)}
        assert counts[detid] == max(counts.values())


def test_modules_have_names_in_words(source):
    assert source.module_name(303042564) == "BPIX 1 · ladder 1, module 1 · 303042564"
    assert source.module_name(344200196) == "FPIX 1 −z · blade 1, panel 1 · 344200196"
    toy = random_digis(small_detector(), n_digis=30)
    assert Source("toy", toy, source.sweep).module_name(7) == "front · 7"


def test_shown_table_has_units_and_every_row(source):
    table, columns = source.shown_table
    assert len(table) == len(source.sweep)
    assert list(columns) == list(table)
    headings = {c.heading for c in columns.values()}
    assert {"setting", "rate [bits/digi]", "model [kB]", "cluster charge, rel. rms [%]"} <= headings
    assert all(c.meaning for c in columns.values())
    assert columns["codebook_size"].digits == 0
    assert columns["efficiency"].large
    assert not columns["bits_per_digi"].large
    rms = source.sweep.table["charge_rms"]
    np.testing.assert_allclose(table["charge_rms"], 100 * rms)
    assert not {"model", "comparison"} & set(table)


def test_the_table_that_is_taken_away_opens_again(source, tmp_path):
    path = tmp_path / "kept.parquet"
    path.write_bytes(source.sweep_bytes())
    again = Sweep.load(path)
    assert again.table["label"].tolist() == source.sweep.table["label"].tolist()
    assert again.model(1) == source.sweep.model(1)


def test_events_that_are_taken_away_open_again(source, digis, tmp_path):
    path = tmp_path / "kept.pxl"
    path.write_bytes(source.events_file())
    assert read(path) == digis


def test_the_cheapest_setting_is_inside(source):
    for tolerance in TOLERANCES:
        row = source.cheapest(tolerance)
        rates = source.sweep.table["bits_per_digi"]
        inside = [i for i in range(len(rates)) if source.comparison(i).passed(tolerance)]
        assert row == min(inside, key=lambda i: rates[i])
    assert source.cheapest("transparent") == 0  # lossless


def test_settings_spread_over_a_codec(source):
    assert [source.label(r).split()[-1] for r in source.spread(3)] == ["16", "64", "256"]
    assert source.spread(2) == [source.spread(3)[0], source.spread(3)[-1]]


def test_sums_and_clouds_are_those_of_the_decoded_event(source, digis):
    row = source.points("patch-vq")["16"]
    for event in (1, None):
        decoded = source.decoded(row, event)
        assert source.module_sums(row, event).sum() == decoded.n_digis
        cloud = source.cloud(row, event)
        assert cloud["decoded"].notna().sum() == decoded.n_digis
        assert source.cloud(None, event)["decoded"].notna().sum() == source.event(event).n_digis
        assert source.cloud(row, event) is cloud
    assert source.event(None) is digis


# -- the session ------------------------------------------------------------------------------
def test_a_session_begins_with_something_to_see(session, source):
    assert session.codec == "patch-vq"
    assert source.label(session.point) == "patch-vq codebook size 64"
    assert session.layer == "BPIX 1"
    assert session.module == source.busiest(2, "BPIX 1")
    assert session.view == "Explorer"
    assert session.compared == source.spread(3)
    assert session.zoom is None


def test_another_layer_shows_its_busiest_module(session, source):
    session.layer = "BPIX 3"
    assert session.module == source.busiest(2, "BPIX 3")
    assert session.module in session.param.module.objects


def test_a_module_brings_its_layer(session):
    session.show_module(344200196)
    assert session.layer == "FPIX 1"
    assert session.module == 344200196
    with pytest.raises(PixlabError, match="no module with id 5"):
        session.show_module(5)


def test_a_codec_shows_the_point_that_was_last_chosen_for_it(session, source):
    session.show_point(source.points("patch-vq")["256"])
    session.codec = "lossless"
    assert session.point == 0
    assert session.param.point.objects == [0]
    session.codec = "patch-vq"
    assert session.point == source.points("patch-vq")["256"]


def test_a_tapped_point_brings_its_codec(session):
    session.show_point(0)
    assert session.codec == "lossless"


def test_another_source_starts_anew(source, digis):
    toy = random_digis(small_detector(), n_events=2, n_digis=80, adc_max=15, seed=1)
    small = Source("toy", toy, sweep(toy, [PatchVQ(codebook_size=4)]))
    session = Session([source, small], list(VIEWS))
    session.source = "toy"
    assert session.layer == "front"
    assert session.data.label(session.point) == "patch-vq codebook size 4"
    assert session.original().detector == toy.detector
    session.source = "events.npz"
    assert session.layer == "BPIX 1"
    assert session.event == 2


def test_another_place_forgets_the_zoom_and_another_model_keeps_it(session, source):
    session.zoom = (1.0, 2.0, 3.0, 4.0)
    session.show_point(0)
    assert session.zoom == (1.0, 2.0, 3.0, 4.0)
    session.event = 0
    assert session.zoom is None
    session.zoom = (1.0, 2.0, 3.0, 4.0)
    session.layer = "BPIX 2"
    assert session.zoom is None


def test_another_codebook_forgets_the_codeword(session, source):
    session.code = 3
    session.metric = "efficiency"
    assert session.code == 3
    session.show_point(source.points("patch-vq")["16"])
    assert session.code is None


def test_a_codeword_is_framed_where_it_stands(session, source):
    assert session.boxes_of_code() is None
    usage = source.usage_in(session.point, session.event)
    module = source.digis.detector.index(session.module)
    tile = int(np.flatnonzero(usage.module == module)[0])
    session.code = int(usage.code[tile])
    boxes = session.boxes_of_code()
    at = (boxes["left"] == usage.col[tile] - 0.5) & (boxes["bottom"] == usage.row[tile] - 0.5)
    assert at.sum() == 1
    assert (boxes["right"] - boxes["left"] == 4).all()
    session.show_point(0)
    session.code = 1  # lossless has no codebook
    assert session.boxes_of_code() is None


def test_a_source_of_ones_own_comes_to_the_others(session, source):
    session.add(source)
    assert session.source == "events.npz (2)"
    assert session.param.source.objects == ["events.npz", "events.npz (2)"]
    assert session.data is source


def test_views_follow_only_while_they_are_in_front(session):
    seen = []
    Follower(session, "Physics", ["point", "layer"], lambda: seen.append(session.layer))
    session.layer = "BPIX 2"
    assert seen == []
    session.view = "Physics"
    assert seen == ["BPIX 2"]
    session.show_point(0)
    assert len(seen) == 2
    session.view = "Table"
    session.view = "Physics"
    assert len(seen) == 2


def test_a_view_that_fails_is_a_problem_in_words(session):
    def fail():
        raise PixlabError("no picture", "choose another")

    Follower(session, session.view, ["point"], fail)
    assert session.problem == "no picture; choose another"
    session.problem = ""
    session.show_point(0)
    assert session.problem == "no picture; choose another"


# -- the address ------------------------------------------------------------------------------
def test_the_address_restores_the_state(session, source):
    session.show_module(344200196)
    session.show_point(source.points("patch-vq")["16"])
    session.param.update(
        event=1, metric="efficiency", tolerance="loose", log_scale=True, view="Table", theme="dark",
        mode="swipe", shown="difference", all_events=True, all_layers=False, projection="x-y",
        outlines=True, together=True, all_spectra=True,
    )  # fmt: skip
    session.show_module(344200196)
    session.compared = [0, 2]
    session.code = 5
    session.zoom = (0.5, 10.0, 40.5, 60.0)
    query = session.to_query()
    assert query["module"] == "344200196"
    assert query["point"] == "16"
    other = Session([source], list(VIEWS))
    assert other.from_query(query) == []
    assert other.to_query() == query
    assert other.layer == "FPIX 1"
    assert other.zoom == (0.5, 10.0, 40.5, 60.0)
    assert other.compared == [0, 2]


def test_the_address_of_a_new_page_is_short(session):
    assert set(session.to_query()) == {"event", "module", "codec", "point", "view"}


def test_panel_gives_numbers_and_truth_values(session):
    """Query parameters arrive as JSON values."""
    assert session.from_query({"event": 3, "log_scale": True, "codec": "lossless"}) == []
    assert (session.event, session.log_scale, session.point) == (3, True, 0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("event", "99"),
        ("event", "-1"),
        ("event", "x"),
        ("event", "1e9"),
        ("module", "5"),
        ("module", "-1"),
        ("module", str(1 << 70)),
        ("module", "<script>alert(1)</script>"),
        ("codec", "zip"),
        ("point", "17"),
        ("metric", "beauty"),
        ("tolerance", "none"),
        ("log_scale", "perhaps"),
        ("view", "Nowhere"),
        ("theme", "pink"),
        ("source", "other"),
        ("compared", "0,99"),
        ("compared", "0,0"),
        ("compared", "a"),
        ("zoom", "1,2,3"),
        ("zoom", "5,1,2,9"),
        ("zoom", "1,2,nan,4"),
        ("code", "-3"),
        ("mode", "upside down"),
    ],
)
def test_an_address_that_makes_no_sense_is_named_and_left_out(session, name, value):
    before = session.to_query()
    complaints = session.from_query({name: value, "unknown": "1"})
    assert len(complaints) == 1
    assert complaints[0].startswith(f"{name}={value[:60]}: ")
    assert session.to_query() == before


# -- damage -----------------------------------------------------------------------------------
def test_a_damaged_model_is_a_problem_in_words_and_the_rest_goes_on(source):
    row = source.points("patch-vq")["16"]
    model = source.sweep.table["model"].iloc[row]
    session = Session([damaged(source, row, model=model[: len(model) // 2])], list(VIEWS))
    session.show_point(row)
    assert session.decoded().n_digis == 0
    assert f"row {row}" in session.problem
    assert "\n" not in session.problem
    session.show_point(0)
    assert session.decoded() == session.original()


def test_a_damaged_comparison_is_a_problem_in_words(source):
    row = source.points("patch-vq")["16"]
    session = Session([damaged(source, row, comparison="{")], list(VIEWS))
    session.show_point(row)
    assert session.comparison() is None
    assert "comparison" in session.problem


def test_an_unexpected_error_is_a_problem_in_words(session, caplog):
    session.report(ZeroDivisionError("division by zero"))
    assert session.problem == "Unexpected ZeroDivisionError: division by zero; see the terminal"
    assert "unexpected" in caplog.text


# -- opening ----------------------------------------------------------------------------------
def test_a_table_finds_its_events(files, digis):
    table, events = files
    source = open_source(table)
    assert source.name == events.name
    assert source.digis == digis


def test_a_table_and_its_events_are_one_source(files):
    for order in (files, files[::-1]):
        opened, problems = open_sources(order)
        assert [s.name for s in opened] == ["events.npz"]
        assert problems == []


def test_events_that_have_moved_are_given_beside_the_table(files, tmp_path):
    table, events = files
    moved = Sweep.load(table)
    moved = Sweep(moved.table, "/somewhere/else/events.npz", moved.provenance)
    moved.save(tmp_path / "moved.parquet")
    with pytest.raises(PixlabError, match="give that event file too"):
        open_source(tmp_path / "moved.parquet")
    opened, _ = open_sources([tmp_path / "moved.parquet", events])
    assert len(opened) == 1
    assert len(opened[0].digis) == 4


def test_a_table_beside_an_event_file_belongs_to_it(files, digis, tmp_path):
    table, events = files
    (tmp_path / "run.npz").write_bytes(events.read_bytes())
    (tmp_path / "run.sweep.parquet").write_bytes(table.read_bytes())
    source = open_source(tmp_path / "run.npz")
    assert source.name == "run.npz"
    assert len(source.sweep) == 4


def test_an_event_file_without_a_table_is_swept(tmp_path, monkeypatch):
    digis = random_digis(n_events=30, n_digis=900, seed=8)
    write(digis, tmp_path / "plain.npz")
    monkeypatch.setattr(sys.modules["pixlab.study.sweeping"], "CODEBOOK_SIZES", (4, 8))
    done = []
    opened, _ = open_sources([tmp_path / "plain.npz"], progress=lambda f, w: done.append(f))
    assert len(opened[0].digis) == 20
    assert set(opened[0].codecs) >= {"lossless", "scalar", "cluster-vq", "patch-vq"}
    assert opened[0].sweep.source == str(tmp_path / "plain.npz")
    assert done == sorted(done)
    assert done[-1] == 1.0


def test_digis_and_sweeps_can_be_given_as_they_are(source, digis, monkeypatch):
    monkeypatch.setattr(sys.modules["pixlab.study.sweeping"], "CODEBOOK_SIZES", (4,))
    assert open_source(digis).digis is digis
    assert open_source(source) is source


def test_the_sample_opens_by_name_and_by_default():
    for what in ([], ["phase1-pu60"], ["sample:phase1-pu60"], [samples.sweep_path()]):
        opened, problems = open_sources(what)
        assert [s.name for s in opened] == ["phase1-pu60"]
        assert problems == []
        assert len(opened[0].points("patch-vq")) >= 5


def test_what_cannot_be_read_is_told_and_the_rest_opens(files, tmp_path):
    broken = tmp_path / "broken.root"
    broken.write_bytes(b"root" + bytes(300))
    opened, problems = open_sources([broken, files[0]])
    assert [s.name for s in opened] == ["events.npz"]
    assert len(problems) == 1
    assert "broken.root" in str(problems[0])
    with pytest.raises(PixlabError, match=r"broken\.root"):
        open_sources([broken])
    with pytest.raises(PixlabError, match=r"missing\.npz"):
        open_sources([tmp_path / "missing.npz"])


def test_sources_of_one_name_are_told_apart(source):
    opened, _ = open_sources([source, source])
    assert [s.name for s in opened] == ["events.npz", "events.npz (2)"]


# -- pages without a browser ------------------------------------------------------------------
def figures_of(root):
    return {model.name: model for model in root.select({"type": Plot}) if model.name}


def test_a_notebook_gets_the_same_views(files):
    found = dashboards.dashboard(files[0])
    assert isinstance(found, pn.viewable.Viewer)
    names = set(figures_of(found._create_view().get_root()))
    assert {"detector-z-φ", "layer", "module", "original", "decoded", "difference"} <= names


def test_one_dashboard_can_be_shown_twice(files):
    """Two cells of a notebook: figures of their own, which show the same."""
    found = dashboards.dashboard(files[0])
    documents = [Document() for _ in range(2)]
    for document in documents:
        document.add_root(found._create_view().get_root())
    one, other = (figures_of(document.roots[0]) for document in documents)
    assert one["decoded"] is not other["decoded"]
    assert one["decoded"].x_range is not other["decoded"].x_range
    for figures in (one, other):
        assert figures["original"].x_range is figures["decoded"].x_range
    pixels = [f["decoded"].renderers[0].data_source for f in (one, other)]
    before = list(pixels[0].data["decoded"])
    found._session.show_point(0)
    for source in pixels:
        np.testing.assert_array_equal(source.data["decoded"], source.data["adc"])
    assert not np.array_equal(before, pixels[0].data["decoded"], equal_nan=True)


def test_sessions_share_what_they_decode(source):
    prepare()
    SHELF.clear()
    pages = [page([source]) for _ in range(2)]
    for one in pages:
        one.get_root()
    kinds = [key[1] for key in SHELF._kept if key[0] == source.key]
    assert kinds.count("decoded") == 1
    assert kinds.count("event") == 1


# Panel's own: its table calls pandas in a way that pandas 3 warns of
@pytest.mark.filterwarnings("ignore:The inplace keyword:DeprecationWarning")
def test_nothing_of_a_visitor_stays(source):
    """As bokeh's server does it: models are taken apart before the document says good-bye."""
    prepare()
    mine = replace(source, name="only here")

    def sessions():
        # by type: isinstance asks each object for its class, at which some of torch's warn
        return [s for s in gc.get_objects() if type(s) is Session and s.data is mine]

    def visit():
        document = Document()
        with set_curdoc(document):
            page([mine]).server_doc(document)
        (session,) = sessions()
        for view in VIEWS:
            session.view = view
        farewells = list(document.session_destroyed_callbacks)
        document.models.destroy()
        for say in farewells:
            say(SimpleNamespace(_document=document, id="visit"))

    visit()
    gc.collect()
    assert sessions() == []


def test_an_error_page_says_cause_and_next_step():
    prepare()
    shown = error_page(PixlabError("x.root: nothing inside", "give another file")).main[0]
    assert "x.root: nothing inside" in shown.object
    assert "Give another file" in shown.object
    assert "KeyError" in error_page(KeyError("row")).main[0].object


def test_only_this_machine_may_connect_and_a_taken_port_is_named(source):
    server = dashboards.start([source])
    try:
        assert server.address == "127.0.0.1"
        sockets = [s.getsockname() for s in server._http._sockets.values()]
        assert {s[0] for s in sockets} == {"127.0.0.1"}
        with pytest.raises(PixlabError, match=f"port {server.port} .* choose another"):
            dashboards.start([source], port=server.port)
    finally:
        server.stop()
