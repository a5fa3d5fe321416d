"""What the pages of the documentation do with the figures of notebooks."""

from __future__ import annotations

from pathlib import Path

import pytest
from bokeh.embed import file_html
from bokeh.plotting import figure
from bokeh.resources import INLINE

pytestmark = pytest.mark.browser

SCRIPT = Path(__file__).parents[2] / "docs" / "_static" / "figures.js"
COLOURS = """() => {
    const f = [...Bokeh.documents[0]._all_models.values()].find(m => m.type == "Figure");
    const glyphs = f.renderers.map(r => r.glyph.line_color.value ?? r.glyph.line_color);
    return [f.background_fill_color, f.below[0].axis_label_text_color, f.center[0].grid_line_color,
            f.center[1].grid_line_color, ...glyphs];
}"""


def test_figures_turn_with_the_theme_and_back(browser, tmp_path):
    plot = figure(width=300, height=200)
    plot.xaxis.axis_label = "column"
    plot.ygrid.grid_line_color = None
    plot.line([0, 1], [0, 1], color="black")
    plot.line([0, 1], [1, 0], color="#0072B2")
    html = file_html(plot, INLINE, "figures")
    page_file = tmp_path / "page.html"
    script = f"<style>body {{ background: #14181e }}</style><script>{SCRIPT.read_text()}</script>"
    page_file.write_text(html.replace("</head>", f"{script}</head>", 1), encoding="utf-8")
    page = browser.new_page()
    complaints = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(page_file.as_uri())
    page.wait_for_function("window.Bokeh?.documents.length && Bokeh.documents[0].is_idle")
    light = page.evaluate(COLOURS)
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    page.wait_for_timeout(300)
    background, label, grid, no_grid, black, blue = page.evaluate(COLOURS)
    assert background == "rgb(20, 24, 30)"  # that of the page
    assert label == black == "#e6e6e6"
    assert grid != light[2]
    assert no_grid is None  # what is not drawn stays so
    assert blue == "#0072B2"  # as do colours that mean something
    page.evaluate("document.documentElement.dataset.theme = 'light'")
    page.wait_for_timeout(300)
    assert page.evaluate(COLOURS) == light
    page.close()
    assert complaints == []
