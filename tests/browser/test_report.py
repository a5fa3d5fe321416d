"""The page of a comparison in a browser: complete without a network, readable, printable."""

from __future__ import annotations

import numpy as np
import pytest

from pixlab import plots
from pixlab.physics import compare
from tests.helpers import random_digis

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    digis = random_digis(n_events=3, n_digis=6000, n_modules=300)
    coarse = digis.with_adc(np.minimum(digis.adc // 8 * 8 + 4, 255))
    path = tmp_path_factory.mktemp("report") / "report.html"
    plots.report(compare(digis, coarse, premixed=True), path, facts={"decoded": "coarse.pxl"})
    return path


@pytest.mark.parametrize("width", [1400, 800])
def test_the_page_asks_for_nothing_and_fits(browser, report, width):
    context = browser.new_context(viewport={"width": width, "height": 900}, offline=True)
    asked, complaints = [], []
    try:
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(report.as_uri())
        assert asked == [report.as_uri()]
        assert not complaints
        assert page.locator(".verdict").inner_text().strip()
        # nothing sticks out of the page; tables that are too wide scroll in themselves
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        figures = page.locator("figure svg")
        assert figures.count() > 25
        boxes = [figures.nth(i).bounding_box() for i in range(figures.count())]
        assert all(box["width"] > 200 and box["height"] > 100 for box in boxes)
        # every text of a figure lies inside of it
        outside = page.evaluate(
            """[...document.querySelectorAll('figure svg')].flatMap(svg => {
                 const all = svg.getBoundingClientRect();
                 return [...svg.querySelectorAll('text')].filter(t => {
                   const b = t.getBoundingClientRect();
                   return b.left < all.left - 3 || b.right > all.right + 3;
                 }).map(t => t.textContent);
               })"""
        )
        assert outside == []
        page.click("nav a[href='#definitions']")
        assert page.locator("#definitions").is_visible()
    finally:
        context.close()


def test_the_page_prints(browser, report):
    context = browser.new_context(offline=True)
    try:
        page = context.new_page()
        page.goto(report.as_uri())
        pdf = page.pdf(format="A4")
        assert pdf.startswith(b"%PDF")
        page.emulate_media(media="print")
        page.set_viewport_size({"width": 700, "height": 1000})
        assert not page.locator("nav").is_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= 720
    finally:
        context.close()
