"""The dashboard as a visitor meets it, in a real browser; no page may complain or call out."""

from __future__ import annotations

import numpy as np
import pytest

from pixlab.study import Sweep

pytestmark = pytest.mark.browser

MAPS = ("original", "decoded", "difference")


def ready(visit):
    """Wait for the three maps; return them."""
    visit.until(lambda: all(visit.figure(name) for name in MAPS), "the maps are there")
    visit.until(lambda: "module" in visit.query(), "the address has the state")
    visit.settle()
    return {name: visit.figure(name) for name in MAPS}


def rate(page):
    """The big number of bits per digi."""
    return float(page.numbers()[0].removesuffix("bits / digi"))


def hits(figure, charge):
    """The hits of a map as {(row, column): charge}; a pixel without one is not among them."""
    pixels = zip(figure["row"], figure["col"], figure[charge], strict=True)
    return {(r, c): q for r, c, q in pixels if q is not None}


@pytest.fixture(scope="session")
def made(table):
    return Sweep.load(table).table


# -- the maps ---------------------------------------------------------------------------------
def test_maps_show_the_event_the_decoded_event_and_what_changed(visit, server, digis):
    page = visit(server, event=2)
    maps = ready(page)
    detid = int(page.query()["module"])
    one = digis[2].select(detid=detid)
    shown = hits(maps["original"], "adc")
    assert shown == dict(zip(zip(one.row, one.col, strict=True), one.adc, strict=True))
    decoded, delta = hits(maps["decoded"], "decoded"), hits(maps["difference"], "delta")
    assert set(delta) == set(shown) | set(decoded)
    assert all(delta[at] == decoded.get(at, 0) - shown.get(at, 0) for at in delta)
    assert any(delta.values())
    assert maps["original"]["mapper"] == maps["decoded"]["mapper"]
    low, high = maps["difference"]["mapper"]
    assert low == -high < 0
    for name in (*MAPS, "detector-z-φ", "layer", "module"):
        assert page.colours(name) > 8, name


def test_another_codebook_size_changes_map_and_rate_and_keeps_the_zoom(visit, server):
    page = visit(server)
    before, numbers = ready(page), page.numbers()
    rate_before = rate(page)
    assert page.point() == "256"
    # zoom with the wheel over one map: the others follow
    x, y = before["original"]["x"], before["original"]["y"]
    page.page.mouse.move(*page.place("original", x[0] + 0.3 * (x[1] - x[0]), sum(y) / 2))
    page.page.mouse.wheel(0, -600)
    page.until(lambda: page.figure("original")["x"] != x, "the wheel zooms")
    page.settle()
    # and drag another one
    start = page.place("difference", *(sum(page.figure("difference")[a]) / 2 for a in "xy"))
    page.drag(start, (start[0] + 40, start[1] + 25))
    page.settle()
    zoomed = {name: page.figure(name) for name in MAPS}
    assert np.ptp(zoomed["original"]["x"]) < 0.9 * np.ptp(x)
    for axis in "xy":
        assert zoomed["decoded"][axis] == zoomed["difference"][axis] == zoomed["original"][axis]
    page.until(lambda: "zoom" in page.query(), "the address has the zoom")
    page.move("Codebook size", "ArrowLeft")
    page.until(lambda: page.point() == "64" and page.numbers() != numbers, "the rate is new")
    page.until(
        lambda: hits(page.figure("decoded"), "decoded") != hits(before["decoded"], "decoded"),
        "the decoded map is new",
    )
    page.settle()
    for name in MAPS:
        after = page.figure(name)
        assert [after[axis] for axis in "xy"] == [zoomed[name][axis] for axis in "xy"], name
        assert after["mapper"] == before[name]["mapper"], name
    assert hits(page.figure("original"), "adc") == hits(before["original"], "adc")
    assert rate(page) < rate_before
    # another page at that address begins with the same zoom
    other = visit(page.page.url)
    seen = ready(other)
    np.testing.assert_allclose(seen["original"]["x"], zoomed["original"]["x"], atol=0.06)
    np.testing.assert_allclose(seen["decoded"]["y"], zoomed["original"]["y"], atol=0.06)


def test_the_handle_of_the_swipe_moves_and_both_halves_pan_together(visit, server):
    page = visit(server, mode="swipe")
    page.until(lambda: page.figure("swipe"), "the swipe is there")
    page.settle()
    figure = page.figure("swipe")
    x, y = figure["x"], figure["y"]
    handle = page.handle("swipe")
    assert x[0] < handle < x[1]
    page.drag(
        page.place("swipe", handle, sum(y) / 2),
        page.place("swipe", x[0] + 0.8 * (x[1] - x[0]), sum(y) / 2),
    )
    page.until(lambda: page.handle("swipe") > handle, "the handle moves")
    page.settle()
    now = page.figure("swipe")
    assert now["x"] == x  # the handle moved, and not the map
    # what is drawn as original is left of it, as decoded right of it
    at = page.handle("swipe")
    left, right = page.swiped("swipe")
    assert left
    assert max(left) <= at
    assert all(col > at for col in right)
    page.page.mouse.move(*page.place("swipe", x[0] + 0.3 * (x[1] - x[0]), sum(y) / 2))
    page.page.mouse.wheel(0, -400)
    page.until(lambda: page.figure("swipe")["x"] != x, "the map zooms")
    page.settle()
    zoomed = page.figure("swipe")["x"]
    start = page.place("swipe", zoomed[0] + 0.3 * (zoomed[1] - zoomed[0]), sum(y) / 2)
    page.drag(start, (start[0] + 60, start[1]))
    page.until(lambda: page.figure("swipe")["x"] != zoomed, "both halves pan, which are one map")


def test_blinking_turns_without_the_server_and_stops(visit, server):
    page = visit(server, mode="blink")
    page.until(lambda: page.figure("blink"), "the map is there")
    seen = set()
    page.until(lambda: seen.add(page.title_of("blink")) or len(seen) == 2, "it turns")
    assert seen == {"original", "decoded"}
    page.page.get_by_role("switch", name="Blink").click()
    page.page.get_by_role("button", name="decoded").last.wait_for()
    page.settle()
    page.page.get_by_role("button", name="decoded").last.click()
    page.until(lambda: page.title_of("blink") == "decoded", "it stands still at what was chosen")
    page.page.wait_for_timeout(1500)
    assert page.title_of("blink") == "decoded"


def test_settings_stand_side_by_side_with_the_original(visit, server, made, artifacts):
    page = visit(server, mode="several settings", compared="1,2,3", size=(1920, 1080))
    names = ["several-original", "several-1", "several-2", "several-3"]
    page.until(lambda: all(page.figure(name) for name in names), "four maps are there")
    page.settle()
    maps = [page.figure(name) for name in names]
    assert len({tuple(m["x"]) for m in maps}) == len({tuple(m["mapper"]) for m in maps}) == 1
    decoded = [hits(m, "decoded") for m in maps[1:]]
    assert decoded[0] != decoded[1] != decoded[2]
    for label in made["label"][1:4]:
        assert label in page.text(".pixlab-several-1, .pixlab-several-2, .pixlab-several-3")
    page.page.screenshot(path=artifacts / "several.png")
    # one less
    page.page.locator(".MuiChip-deleteIcon").first.click()
    page.until(lambda: page.query()["compared"] == "2,3", "the address follows")
    page.until(lambda: page.figure("several-3") is None, "a map goes")


def test_outlines_can_be_drawn(visit, server):
    page = visit(server)
    ready(page)
    before = page.colours("original")
    page.page.get_by_role("switch", name="cluster outlines").click()
    page.until(lambda: page.query().get("outlines") == "true", "the address follows")
    page.until(lambda: page.segments("original") > 10, "borders are there")
    page.settle()
    assert page.colours("original") >= before


# -- from the detector to the pixel -------------------------------------------------------------
def test_a_tapped_module_is_shown(visit, server, digis):
    page = visit(server, event=2)
    before = ready(page)
    chosen = int(page.query()["module"])
    layer = digis[2].select(layer="BPIX 1")
    other = next(int(d) for d in np.unique(layer.detid) if d != chosen)
    i = int(digis.detector.index(other))
    page.page.mouse.click(
        *page.place("layer", int(digis.detector.ladder[i]), int(digis.detector.module[i]))
    )
    page.until(lambda: page.query()["module"] == str(other), "the address follows")
    one = layer.select(detid=other)
    expected = dict(zip(zip(one.row, one.col, strict=True), one.adc, strict=True))
    page.until(
        lambda: hits(page.figure("original"), "adc") == expected, "the map shows the other module"
    )
    assert page.figure("original")["x"] != before["original"]["x"]  # its own busiest window


def test_the_detector_is_zoomed_until_single_hits_say_what_they_are(visit, sample_server):
    page = visit(sample_server)
    ready(page)
    name = "detector-z-φ"
    page.until(lambda: page.cells(name), "the raster is there")
    cells = page.cells(name)
    assert cells["shown"]
    page.page.mouse.move(*page.place(name, 0.0, 0.0))
    for _ in range(12):
        if page.cells(name)["shown"]:
            page.page.mouse.wheel(0, -200)
            page.settle()
    assert not page.cells(name)["shown"]
    x, y = page.singles(name)
    assert 0 < len(x) <= 4000
    middle = int(np.argmin(np.hypot(x, y)))
    page.page.mouse.move(*page.place(name, x[middle], y[middle]))
    page.until(lambda: "detid" in page.hover_text(), "a box opens")
    said = " ".join(page.hover_text().split())
    for word in ("layer:", "row, column:", "adc:", "decoded adc:", "delta:"):
        assert word in said
    before = page.query()["module"]
    page.page.mouse.click(*page.place(name, x[middle], y[middle]))
    page.until(lambda: page.query()["module"] != before, "a tap chooses the module there")


def test_views_of_the_detector(visit, sample_server):
    page = visit(sample_server, shown="difference", projection="x-y", all_layers="false")
    ready(page)
    page.until(lambda: page.figure("detector-x-y"), "the other projection is there")
    page.settle()
    assert page.colours("detector-x-y") > 8
    assert "BPIX 1" in page.text(".pixlab-detector")
    page.page.get_by_role("switch", name="all events").click()
    page.until(lambda: "all 10 events" in page.text(".pixlab-detector"), "all events are shown")
    page.settle()
    page.page.get_by_role("button", name="decoded", exact=True).first.click()
    page.until(lambda: page.query().get("shown") == "decoded", "the address follows")


def test_hovering_says_every_value_of_a_pixel(visit, server):
    page = visit(server)
    maps = ready(page)
    difference = maps["difference"]
    inside = [
        i
        for i, (r, c) in enumerate(zip(difference["row"], difference["col"], strict=True))
        if difference["x"][0] < c < difference["x"][1]
        and difference["y"][0] < r < difference["y"][1]
    ]
    i = inside[0]
    row, col = difference["row"][i], difference["col"][i]
    page.page.mouse.move(*page.place("difference", col, row))
    page.until(lambda: "decoded adc" in page.hover_text(), "a box opens")
    said = " ".join(page.hover_text().split())
    adc = hits(maps["original"], "adc").get((row, col))
    decoded = hits(maps["decoded"], "decoded").get((row, col))
    delta = (decoded or 0) - (adc or 0)
    words = [f"detid: {page.query()['module']}", "layer: BPIX 1", f"row, column: {row}, {col}"]
    words += [f"adc: {'none' if adc is None else adc:.0f}" if adc is not None else "adc: none"]
    words += [f"decoded adc: {decoded:.0f}" if decoded is not None else "decoded adc: none"]
    words += [f"delta: {delta:+.0f}" if delta else "delta: 0"]
    for word in words:
        assert word in said
    assert "???" not in said
    assert "NaN" not in said


def test_a_tapped_pixel_chooses_the_codeword_that_made_it(visit, server):
    page = visit(server)
    maps = ready(page)
    decoded = hits(maps["decoded"], "decoded")
    x, y = maps["decoded"]["x"], maps["decoded"]["y"]
    row, col = next((r, c) for r, c in decoded if x[0] < c < x[1] and y[0] < r < y[1])
    page.page.mouse.click(*page.place("decoded", col, row))
    page.until(lambda: "code" in page.query(), "the address has it")
    page.until(lambda: page.marked("decoded") >= 1, "its tiles are framed")
    code = page.query()["code"]
    page.turn("Codebook")
    page.until(lambda: f"Codeword {code} " in page.text(".pixlab-members"), "it is shown there")


def test_a_picture_is_saved_with_its_title_and_its_origin(visit, server):
    import io

    from PIL import Image

    page = visit(server, view="Physics")
    page.until(lambda: page.figure("charge-0"), "the spectrum is there")
    page.settle()
    x, y = (page.figure("charge-0")[axis] for axis in "xy")
    page.page.mouse.move(*page.place("charge-0", sum(x) / 2, sum(y) / 2))
    with page.page.expect_download() as download:
        page.page.locator(".pixlab-spectrum-charge .bk-tool-icon-save").first.click()
    assert download.value.suggested_filename == "pixlab-charge-0.png"
    picture = Image.open(io.BytesIO(download.value.path().read_bytes())).convert("L")
    high = picture.size[1]
    assert high > 340  # both figures of the card
    dark = np.asarray(picture) < 128
    assert dark[:30].any()  # the title
    assert dark[-20:].any()  # and from what data it is


# -- one selection in all views -----------------------------------------------------------------
def test_a_tapped_point_is_chosen_in_every_view(visit, server, made):
    page = visit(server, view="Rate-distortion", metric="charge_rms")
    page.until(lambda: page.figure("curve"), "the curve is there")
    for row, codec in ((0, "lossless"), (1, "patch-vq")):
        at = made["bits_per_digi"][row], 100 * made["charge_rms"][row]
        page.settle()  # two clicks at once would be a double click
        page.page.mouse.click(*page.place("curve", *at))
        label = made["label"][row]
        page.until(
            lambda label=label: f"rate of {label}" in page.headline(), "the headline follows"
        )
        assert page.numbers()[0].startswith(f"{made['bits_per_digi'][row]:.2f}")
        page.until(lambda codec=codec: page.query()["codec"] == codec, "the address follows")
    page.turn("Table")
    page.until(
        lambda: (
            page.page.locator(".tabulator-selected").all_inner_texts()
            and "codebook size 16" in page.page.locator(".tabulator-selected").first.inner_text()
        ),
        "the row is marked",
    )
    page.turn("Codebook")
    page.until(lambda: "16 codewords" in page.text(".pixlab-usage"), "its codebook is shown")
    page.turn("Explorer")
    ready(page)
    assert page.point() == "16"
    assert "Decoded · patch-vq codebook size 16" in page.text(".pixlab-decoded")


def test_another_metric_and_a_logarithmic_axis(visit, server):
    page = visit(server, view="Rate-distortion")
    page.until(lambda: page.figure("curve"), "the curve is there")
    page.choose("Distortion", "occupancy")
    page.until(lambda: "Occupancy against rate" in page.text(".pixlab-curve")
               or "occupancy against rate" in page.text(".pixlab-curve"), "the title follows")  # fmt: skip
    page.page.get_by_role("switch", name="Logarithmic scale").click()
    page.until(lambda: page.query().get("log_scale") == "true", "the address follows")
    page.settle()
    assert page.colours("curve") > 8
    page.page.get_by_role("button", name="transparent:").click()
    page.until(lambda: page.query().get("codec") == "lossless", "the cheapest one is chosen")


def test_physics_follow_layer_and_model(visit, server):
    page = visit(server, view="Physics")
    spectra = [f"{name}-{place}" for name in ("charge", "size", "occupancy") for place in (0, 1)]
    names = [*spectra, "response-0", "shift_row-0", "shift_col-0"]
    page.until(lambda: all(page.figure(name) for name in names), "all drawings are there")
    page.settle()
    for name in names:
        assert page.colours(name) > 4, name
    for name in ("charge", "size", "occupancy"):
        assert page.figure(f"{name}-0")["x"] == page.figure(f"{name}-1")["x"]
    first = page.text(".pixlab-report")
    assert "cluster charge, KS" in first
    page.move("Codebook size", "Home")
    page.until(lambda: page.text(".pixlab-report") != first, "the table follows the model")
    page.choose("Layer", "FPIX 2")
    page.until(
        lambda: "Cluster charge · FPIX 2" in page.text(".pixlab-spectrum-charge"), "titles follow"
    )
    page.page.get_by_role("switch", name="all quantities").click()
    page.until(lambda: page.figure("adc-1"), "more spectra come")
    page.page.get_by_role("switch", name="all layers together").click()
    page.until(
        lambda: "Cluster charge · all layers" in page.text(".pixlab-spectrum-charge"), "of all"
    )
    page.choose("Tolerance of the verdict", "loose")
    page.until(lambda: "'loose'" in page.text(".pixlab-verdict"), "the verdict follows")


def test_codewords_are_tapped_and_their_tiles_lead_to_the_maps(visit, server):
    page = visit(server, view="Codebook")
    names = ("codewords", "usage", "members")
    page.until(lambda: all(page.figure(name) for name in names), "all drawings are there")
    page.settle()
    for name in names:
        assert page.colours(name) > 4, name
    first = page.until(lambda: page.query().get("code"), "the address has the codeword")
    page.page.mouse.click(*page.place("codewords", 5 * 3 + 2, page.figure("codewords")["y"][1] - 3))
    page.until(lambda: page.query()["code"] != first, "another codeword is chosen")
    page.until(
        lambda: f"Codeword {page.query()['code']} " in page.text(".pixlab-members"), "its tiles"
    )
    page.settle()
    page.page.mouse.click(*page.place("members", 5 * 1 + 2, page.figure("members")["y"][1] - 3))
    page.until(lambda: page.query().get("view") == "Explorer", "a tile leads to the explorer")
    ready(page)
    assert "zoom" in page.query()
    assert page.marked("original") >= 1


def test_a_row_of_the_table_is_chosen_after_sorting_and_filtering(visit, server, made):
    page = visit(server, view="Table")
    page.settle()
    page.page.locator(".tabulator-col-title", has_text="rate [bits/digi]").click()
    page.settle()
    cheapest = page.page.locator(".tabulator-row").first
    assert made["label"][made["bits_per_digi"].idxmin()] in cheapest.inner_text()
    cheapest.locator(".tabulator-cell").nth(1).click()
    page.until(lambda: page.query().get("point") == "16", "the cheapest setting is chosen")
    page.page.locator(".tabulator-header-filter input").first.press_sequentially("size 64")
    page.until(lambda: page.page.locator(".tabulator-row").count() == 1, "one row is left")
    page.settle()
    page.page.locator(".tabulator-row .tabulator-cell").nth(1).click()
    page.until(lambda: page.query().get("point") == "64", "that one is chosen")
    for name, first in (("CSV", b"codec,"), ("Parquet", b"PAR1")):
        with page.page.expect_download() as download:
            page.page.get_by_role("button", name=f"Download {name}").click()
        content = download.value.path().read_bytes()
        assert content.startswith(first)
    lines = content  # Parquet, as `pixlab serve` opens it
    assert lines[-4:] == b"PAR1"


# -- the address --------------------------------------------------------------------------------
def test_the_address_restores_the_state(visit, server):
    page = visit(server)
    ready(page)
    page.move("Codebook size", "Home")
    page.until(lambda: page.query().get("point") == "16", "the address follows")
    page.move("Event", "End")
    page.page.get_by_role("switch", name="Logarithmic scale").click()
    page.turn("Physics")
    page.until(
        lambda: (
            page.query() | {"view": "Physics", "event": "3", "log_scale": "true"} == page.query()
        ),
        "the address has all",
    )
    query, numbers = page.query(), page.numbers()
    page.settle()
    page.page.reload()
    page.until(lambda: page.figure("charge-0"), "the spectra are there")
    page.settle()
    assert page.query() == query
    assert page.numbers() == numbers
    assert page.point() == "16"
    assert page.page.get_by_role("switch", name="Logarithmic scale").is_checked()
    assert page.page.get_by_role("tab", name="Physics").get_attribute("aria-selected") == "true"


def test_an_address_that_makes_no_sense_is_told_and_the_rest_is_shown(visit, server):
    page = visit(server, module="5", point="64", event="<b>x</b>")
    ready(page)
    said = page.text(".pixlab-notice")
    assert "module=5" in said
    assert "event=<b>x</b>" in said
    assert page.point() == "64"


# -- damage ---------------------------------------------------------------------------------------
def test_a_file_that_cannot_be_read_is_named_on_the_page(visit, server):
    page = visit(server)
    ready(page)
    said = page.text(".pixlab-notice")
    assert said.count("broken.root") == 1
    assert " | " not in said
    assert "Traceback" not in said


def test_a_damaged_model_is_named_and_the_next_one_works(visit, server):
    page = visit(server)
    maps = ready(page)
    page.move("Codebook size", "End")
    page.until(lambda: "model of row 4" in page.text(".pixlab-notice"), "the damage is told")
    page.until(lambda: hits(page.figure("decoded"), "decoded") == {}, "nothing is shown as decoded")
    page.move("Codebook size", "ArrowLeft")
    page.until(
        lambda: hits(page.figure("decoded"), "decoded") == hits(maps["decoded"], "decoded"),
        "the map is back",
    )


# -- data of one's own ------------------------------------------------------------------------------
def test_a_file_of_ones_own_is_uploaded_swept_and_shown(visit, server, table, artifacts):
    page = visit(server, view="Data")
    page.settle()
    page.page.get_by_label("upload").check()
    page.settle()
    page.page.locator("input[type=file]").set_input_files(str(table.parent / "events.npz"))
    page.until(lambda: "events.npz" in page.text(".pixlab-events"), "it is up")
    page.chosen_codecs(keep=["lossless"])
    page.page.get_by_role("button", name="Open and run the sweep").click()
    page.until(lambda: page.text(".pixlab-success"), "the sweep is done")
    assert "is ready" in page.text(".pixlab-success")
    page.page.screenshot(path=artifacts / "data-done.png")
    page.turn("Explorer")
    ready(page)
    assert "rate of lossless" in page.headline()


def test_a_broken_file_is_told_in_words(visit, server, table, artifacts):
    page = visit(server, view="Data")
    page.settle()
    page.page.get_by_label("file on this machine").check()
    page.page.get_by_label("Path of an event file").fill(str(table.parent / "bad.root"))
    page.page.get_by_label("Path of an event file").press("Tab")
    page.page.get_by_role("button", name="Open and run the sweep").click()
    page.until(lambda: page.text(".pixlab-error"), "the error is told")
    said = page.text(".pixlab-error")
    assert "bad.root" in said
    assert "Traceback" not in said
    page.page.screenshot(path=artifacts / "data-broken.png")
    assert page.page.get_by_role("button", name="Open and run the sweep").is_enabled()


def test_a_sweep_shows_its_progress_and_can_be_cancelled(visit, sample_server, artifacts):
    page = visit(sample_server, view="Data")
    page.settle()
    page.page.get_by_role("button", name="Open and run the sweep").click()
    page.until(lambda: "%" in page.text(".pixlab-progress"), "the progress is told")
    page.page.screenshot(path=artifacts / "data-running.png")
    cancel = page.page.get_by_role("button", name="Cancel")
    page.until(cancel.is_enabled, "it can be cancelled")
    cancel.click()
    page.until(lambda: "Cancelled" in page.text(".pixlab-info"), "it is cancelled")
    page.until(lambda: page.page.get_by_role("button", name="Open and run").is_enabled(), "again")
    page.turn("Explorer")
    ready(page)


# -- for everyone -------------------------------------------------------------------------------------
def test_every_plot_has_a_help_text_for_the_keyboard_too(visit, server):
    page = visit(server)
    ready(page)
    for card in (*MAPS, "detector", "layer", "module"):
        summary = page.page.locator(f".pixlab-{card} summary").first
        summary.focus()
        summary.press("Enter")
        text = page.page.locator(f".pixlab-{card} details .text").first
        page.until(text.is_visible, f"help of {card}")
        assert len(text.inner_text()) > 60
        summary.press("Enter")
        page.until(text.is_hidden, f"help of {card} closes")
    for view, cards in {
        "Rate-distortion": ("curve", "parts", "best"),
        "Physics": ("spectrum-charge", "spectrum-response", "verdict"),
        "Codebook": ("codewords", "usage", "members"),
        "Table": ("table",),
        "Data": ("events", "codecs", "run", "about"),
    }.items():
        page.turn(view)
        for card in cards:
            summary = page.page.locator(f".pixlab-{card} summary").first
            summary.wait_for()
            assert summary.get_attribute("aria-label").startswith("Help: ")


def test_everything_can_be_reached_and_used_with_the_keyboard(visit, server):
    page = visit(server)
    ready(page)
    page.page.locator("body").click(position={"x": 700, "y": 20})
    reached = page.tab_through(32)
    for name in (
        "Toggle theme", "Event", "Layer", "Module", "Codec", "Codebook size", "Tolerance",
        "Logarithmic scale", "EXPLORER", "original", "all events", "cluster outlines", "z-φ",
        "all layers", "Help: Difference", "side by side",
    ):  # fmt: skip
        assert any(name in text for text in reached), (name, reached)
    # and used: a view, a switch, a mode
    page.page.get_by_role("tab", name="Explorer").focus()
    page.page.keyboard.press("ArrowRight")
    page.page.keyboard.press("Enter")
    page.until(lambda: page.query().get("view") == "Rate-distortion", "another view")
    page.page.get_by_role("tab", name="Rate-distortion").focus()
    page.page.keyboard.press("ArrowLeft")
    page.page.keyboard.press("Enter")
    page.until(lambda: page.query().get("view") == "Explorer", "and back")
    page.page.get_by_role("button", name="swipe").focus()
    page.page.keyboard.press("Enter")
    page.until(lambda: page.query().get("mode") == "swipe", "another mode")
    page.page.get_by_role("switch", name="Logarithmic scale").focus()
    page.page.keyboard.press("Space")
    page.until(lambda: page.query().get("log_scale") == "true", "a switch")


@pytest.mark.parametrize(
    ("size", "theme"),
    [((390, 844), "light"), ((390, 844), "dark"), ((1440, 900), "light"), ((1920, 1080), "dark")],
)
def test_no_view_is_wider_than_the_screen(visit, sample_server, artifacts, size, theme):
    """Screenshots of all views are kept, to be looked at."""
    phone = "Mozilla/5.0 (Linux; Android 14) Mobile" if size[0] < 500 else None
    page = visit(sample_server, size=size, user_agent=phone, theme=theme)
    ready(page)
    shown = {
        "Explorer": "difference",
        "Rate-distortion": "curve",
        "Physics": "verdict",
        "Codebook": "members",
        "Table": "table",
        "Data": "about",
    }
    for view, card in shown.items():
        page.page.get_by_role("tab", name=view).click()
        page.page.locator(f".pixlab-{card}").first.wait_for()
        page.settle()
        assert page.text(".pixlab-notice") == ""
        wide, screen = page.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert wide <= screen, view
        name = f"{view.lower()}-{size[0]}-{theme}.png"
        page.page.screenshot(path=artifacts / name, full_page=True)
    background = page.page.evaluate("getComputedStyle(document.body).backgroundColor")
    brightness = sum(int(c) for c in background.strip("rgba()").split(",")[:3])
    assert (brightness < 200) == (theme == "dark"), background


def test_the_theme_button_turns_the_page_dark_and_the_address_keeps_it(visit, server):
    page = visit(server)
    ready(page)
    page.page.get_by_label("Toggle theme").click()
    page.until(lambda: page.query().get("theme") == "dark", "the address follows")


@pytest.mark.parametrize("system", ["light", "dark"])
def test_the_first_colours_are_those_of_the_system(visit, server, system):
    dark = system == "dark"
    page = visit(server, system=system)
    ready(page)
    # for others at this address it is their system that counts
    page.until(lambda: "theme" not in page.query(), "the server has heard of the system")
    assert (page.brightness("original") < 60) == dark
    # what is drawn later follows too
    page.turn("Rate-distortion")
    page.until(lambda: page.figure("curve"), "the curve is there")
    page.settle()
    assert (page.brightness("curve") < 60) == dark
    # a choice of other colours is in the address, and kept for a visit without one
    other = "light" if dark else "dark"
    page.page.get_by_label("Toggle theme").click()
    page.until(lambda: page.query().get("theme") == other, "the address follows")
    page.open(server)
    page.until(lambda: page.query().get("theme") == other, "the choice was kept")
    ready(page)
    assert (page.brightness("original") < 60) != dark
    # until the system's are chosen again; from then on they follow it while it changes
    page.page.get_by_label("Toggle theme").click()
    page.until(lambda: "theme" not in page.query(), "the address follows")
    page.page.emulate_media(color_scheme=other)
    page.until(lambda: (page.brightness("original") < 60) != dark, "the page follows the system")
    page.until(lambda: "theme" not in page.query(), "the address says nothing of it")


def test_an_address_with_a_theme_says_more_than_the_system(visit, server):
    page = visit(server, system="dark", theme="light")
    ready(page)
    assert page.brightness("original") > 200
    assert page.query()["theme"] == "light"


def test_the_guard_would_notice_a_request_and_a_complaint(visit, server):
    """What every other test relies on."""
    page = visit(server)
    page.page.evaluate("fetch('http://192.0.2.1/x').catch(() => console.error('seen'))")
    page.until(lambda: len(page.foreign) == 1 and page.complaints, "both are noted")
    assert page.foreign == ["http://192.0.2.1/x"]
    assert any("seen" in text for text in page.complaints)
    page.foreign.clear()
    page.complaints.clear()
