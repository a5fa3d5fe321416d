"""What a visitor does and sees, in terms of the dashboard instead of its markup."""

from __future__ import annotations

import time
from collections.abc import Callable
from io import BytesIO
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

import numpy as np
from PIL import Image
from playwright.sync_api import BrowserContext, Locator, Page, Request, Route

T = TypeVar("T")

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_PATIENCE = 30.0  # seconds that a state may take on a busy machine
_MODELS = "Bokeh.documents.flatMap(d => [...d._all_models.values()])"
# the one that is seen, where another had its name before
_FIGURE = (
    f"{_MODELS}.find(m => m.type == 'Figure' && m.name == name && Bokeh.index.find_one_by_id(m.id))"
)


class Visit:
    """One page in a browser context of its own."""

    def __init__(self, context: BrowserContext) -> None:
        self.context = context
        self.page: Page = context.new_page()
        self.foreign: list[str] = []  # what was asked for off this machine
        self.seconds = 0.0  # until something was drawn
        self.complaints: list[str] = []  # errors on the console, and uncaught ones
        context.route("**/*", self._guard)
        self.page.on("websocket", lambda socket: self._local(socket.url))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("requestfailed", self._failed)
        self.page.on(
            "console",
            lambda said: self.complaints.append(said.text) if said.type == "error" else None,
        )

    def _local(self, url: str) -> bool:
        rest = url.split("://", 1)[-1]
        local = url.startswith(("data:", "blob:")) or rest.startswith("127.0.0.1:")
        if not local:
            self.foreign.append(url)
        return local

    def _guard(self, route: Route) -> None:
        if self._local(route.request.url):
            route.continue_()
        else:
            route.abort()

    def _failed(self, request: Request) -> None:
        self.complaints.append(f"{request.url}: {request.failure}")

    # -- getting there ----------------------------------------------------------------------
    def open(self, url: str) -> None:
        """Load an address, and take the seconds until the first canvas."""
        start = time.perf_counter()
        self.page.goto(url)
        self.page.wait_for_selector(
            "canvas, .tabulator, .pixlab-run, .pixlab-error", timeout=_PATIENCE * 1000
        )
        self.seconds = time.perf_counter() - start

    def until(self, look: Callable[[], T], what: str) -> T:
        """Wait for something to become true; return it."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            seen = look()
            if seen:
                return seen
            assert time.monotonic() < deadline, f"waited in vain until {what}"
            self.page.wait_for_timeout(50)

    def settle(self) -> None:
        """Wait until server and browser have nothing more to do."""
        busy = "Bokeh.documents.every(d => d.is_idle)"
        self.until(lambda: self.page.evaluate(busy), "the page is idle")
        self.page.wait_for_timeout(600)

    # -- what is seen -----------------------------------------------------------------------
    def numbers(self) -> list[str]:
        """The big numbers of the headline: rate, two ratios, the model's size, the verdict."""
        return self.page.locator(".pixlab-headline .big").all_inner_texts()

    def text(self, css: str) -> str:
        """All text inside what matches, through shadow roots, as one line."""
        return self.page.evaluate(
            r"""css => {
                const dig = e => [...(e.shadowRoot?.children ?? []), ...e.children]
                    .flatMap(c => [c, ...dig(c)]);
                const read = e => e.tagName == "STYLE" ? "" : [...(e.shadowRoot?.childNodes ?? []),
                    ...e.childNodes].map(c => c.nodeType == 3 ? c.data : c.nodeType == 1 ? read(c)
                    : "").join(" ");
                return dig(document.body).filter(e => e.matches(css)).map(read).join(" | ")
                    .replace(/\s+/g, " ").trim();
            }""",
            css,
        )

    def headline(self) -> str:
        """The whole headline."""
        return self.text(".pixlab-headline")

    def query(self) -> dict[str, str]:
        """What the address says."""
        return {k: v[0] for k, v in parse_qs(urlsplit(self.page.url).query).items()}

    def figure(self, name: str) -> dict[str, Any] | None:
        """Ranges of a figure that is drawn, and row, column and charge of the hits it shows."""
        return self.page.evaluate(
            f"""name => {{
                const f = {_FIGURE};
                if (!f || !Bokeh.index.find_one_by_id(f.id)) return null;
                const source = f.renderers.find(r => r.data_source?.data.adc)?.data_source;
                const data = source?.data ?? {{}};
                const column = key => data[key]
                    ? Array.from(data[key], v => Number.isNaN(v) ? null : v) : null;
                return {{
                    x: [f.x_range.start, f.x_range.end], y: [f.y_range.start, f.y_range.end],
                    row: column("row"), col: column("col"), adc: column("adc"),
                    decoded: column("decoded"), delta: column("delta"),
                    mapper: (r => [r.low, r.high])(
                        f.right.concat(f.left).find(p => p.color_mapper)?.color_mapper ?? {{}}),
                }};
            }}""",
            name,
        )

    def title_of(self, name: str) -> str:
        """What stands over a figure."""
        return self.page.evaluate(f"name => ({_FIGURE}).title.text", name)

    def brightness(self, name: str) -> float:
        """Of what is behind a figure that is seen: from 0, black, to 255."""
        box = self.page.evaluate(
            f"""name => {{
                const {{x, y, width, height}} =
                    Bokeh.index.find_one_by_id(({_FIGURE}).id).el.getBoundingClientRect();
                return {{x, y, width, height}};
            }}""",
            name,
        )
        seen = Image.open(BytesIO(self.page.screenshot(clip=box))).convert("L")
        return float(np.median(np.asarray(seen)))

    def handle(self, name: str) -> float:
        """Where the handle of a swipe stands."""
        return self.page.evaluate(
            f"name => ({_FIGURE}).center.find(p => p.name == 'handle').location", name
        )

    def swiped(self, name: str) -> tuple[list[int], list[int]]:
        """Columns of the hits drawn as original, and of those drawn as decoded."""
        found = self.page.evaluate(
            f"""name => {{
                const f = {_FIGURE};
                return f.renderers.filter(r => r.data_source?.data.adc).map(r =>
                    [...r.view.indices].map(i => r.data_source.data.col[i]));
            }}""",
            name,
        )
        return found[0], found[1]

    def segments(self, name: str) -> int:
        """How many pieces of outlines a figure draws."""
        return self.page.evaluate(
            f"""name => ({_FIGURE}).renderers.filter(r => r.glyph.type == "Segment")
                .reduce((n, r) => n + r.data_source.get_length(), 0)""",
            name,
        )

    def marked(self, name: str) -> int:
        """How many frames around tiles a figure draws."""
        return self.page.evaluate(
            f"""name => ({_FIGURE}).renderers.filter(r => r.glyph.type == "Quad")
                .reduce((n, r) => n + r.data_source.get_length(), 0)""",
            name,
        )

    def cells(self, name: str) -> dict[str, Any] | None:
        """Whether a figure shows a raster."""
        return self.page.evaluate(
            f"""name => {{
                const f = {_FIGURE};
                return f ? {{shown: f.renderers.some(r => r.glyph.type == "Image" && r.visible)}}
                    : null;
            }}""",
            name,
        )

    def singles(self, name: str) -> tuple[list[float], list[float]]:
        """Places of the hits that a figure draws one by one."""
        found = self.page.evaluate(
            f"""name => {{
                const f = {_FIGURE};
                const data = f.renderers.find(r => r.glyph.type == "Scatter").data_source.data;
                return [[...data.x], [...data.y]];
            }}""",
            name,
        )
        return found[0], found[1]

    def place(self, name: str, x: float, y: float) -> tuple[float, float]:
        """Where a point of a figure's axes is on the screen, after scrolling there if need be."""
        at = self.page.evaluate(
            f"""([name, x, y]) => {{
                const view = Bokeh.index.find_one_by_id(({_FIGURE}).id);
                let box = view.el.getBoundingClientRect();
                if (box.top < 0 || box.bottom > innerHeight) {{
                    view.el.scrollIntoView({{block: "center"}});
                    box = view.el.getBoundingClientRect();
                }}
                return [box.x + view.frame.x_scale.compute(x),
                        box.y + view.frame.y_scale.compute(y)];
            }}""",
            [name, x, y],
        )
        return at[0], at[1]

    def colours(self, name: str) -> int:
        """How many different colours are painted inside a figure."""
        return self.page.evaluate(
            f"""name => {{
                const view = Bokeh.index.find_one_by_id(({_FIGURE}).id);
                const found = new Set();
                const dig = e => [...(e.shadowRoot?.children ?? []), ...e.children]
                    .flatMap(c => [c, ...dig(c)]);
                for (const canvas of dig(view.el).filter(e => e.tagName == "CANVAS")) {{
                    const draw = canvas.getContext("2d");
                    if (!draw || !canvas.width) continue;
                    const data = new Uint32Array(
                        draw.getImageData(0, 0, canvas.width, canvas.height).data.buffer);
                    for (const pixel of data) found.add(pixel);
                }}
                return found.size;
            }}""",
            name,
        )

    def hover_text(self) -> str:
        """What the boxes of the figures say."""
        return self.page.evaluate(
            """() => {
                const dig = e => [...(e.shadowRoot ? [...e.shadowRoot.children] : []), ...e.children]
                    .flatMap(c => [c, ...dig(c)]);
                return dig(document.body).filter(e => e.classList.contains("bk-Tooltip")
                    && getComputedStyle(e).display != "none").map(e =>
                    [...(e.shadowRoot ?? e).querySelectorAll(
                        ".bk-tooltip-row-label, .bk-tooltip-row-value")]
                    .map(x => x.textContent).join(" ")).join(" ");
            }"""
        )

    # -- what is done -----------------------------------------------------------------------
    def slider(self, label: str) -> Locator:
        """A slider by the beginning of its label."""
        return self.page.locator(f"input[type=range][aria-label^='{label}']")

    def move(self, label: str, key: str) -> None:
        """Move a slider with the keyboard."""
        slider = self.slider(label)
        slider.focus()
        slider.press(key)

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Drag from one point of the screen to another."""
        self.page.mouse.move(*start)
        self.page.mouse.down()
        self.page.mouse.move(*end, steps=8)
        self.page.mouse.up()

    def tab_through(self, times: int) -> list[str]:
        """Press the tab key; what each thing that gets the focus is called."""
        seen = []
        for _ in range(times):
            self.page.keyboard.press("Tab")
            seen.append(
                self.page.evaluate(
                    """() => {
                        let e = document.activeElement;
                        while (e?.shadowRoot?.activeElement) e = e.shadowRoot.activeElement;
                        const labelled = e?.getAttribute("aria-labelledby");
                        const root = e?.getRootNode();
                        const label = labelled ? [...labelled.split(" ")].map(id =>
                            root.getElementById(id)?.innerText ?? "").join(" ") : "";
                        return [e?.getAttribute("aria-label"), label, e?.labels?.[0]?.innerText,
                                e?.innerText, e?.closest("label")?.innerText]
                            .filter(Boolean).join(" / ").slice(0, 80);
                    }"""
                )
            )
        return seen

    def chosen_codecs(self, keep: list[str]) -> None:
        """Take away the codecs that are chosen, but those to keep."""
        while True:
            chips = self.page.locator(".pixlab-codecs .MuiChip-root")
            names = chips.all_inner_texts()
            extra = [i for i, name in enumerate(names) if name.strip() not in keep]
            if not extra:
                return
            chips.nth(extra[0]).locator(".MuiChip-deleteIcon").click()
            self.settle()

    def choose(self, label: str, option: str) -> None:
        """Choose from a list by its label."""
        self.page.get_by_role("combobox", name=label).click()
        self.page.get_by_role("menuitem", name=option).first.click()

    def turn(self, title: str) -> None:
        """Turn to another view."""
        self.page.get_by_role("tab", name=title).click()

    def point(self) -> str:
        """The value of the codebook-size slider."""
        return self.slider("Codebook size").get_attribute("aria-valuetext") or ""
