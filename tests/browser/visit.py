"""What a visitor does and sees, in terms of the dashboard instead of its markup."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

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
        """Ranges of a figure, and row, column and charge of the hits it draws."""
        return self.page.evaluate(
            f"""name => {{
                const f = {_FIGURE};
                if (!f) return null;
                const data = f.renderers.find(r => r.data_source)?.data_source.data ?? {{}};
                const column = key => data[key] ? [...data[key]] : null;
                return {{
                    x: [f.x_range.start, f.x_range.end], y: [f.y_range.start, f.y_range.end],
                    row: column("row"), col: column("col"), adc: column("adc"),
                    decoded: column("decoded_adc"), delta: column("delta"),
                    mapper: (r => [r.low, r.high])(
                        f.right.concat(f.left).find(p => p.color_mapper)?.color_mapper ?? {{}}),
                }};
            }}""",
            name,
        )

    def place(self, name: str, x: float, y: float) -> tuple[float, float]:
        """Where a point of a figure's axes is on the screen."""
        at = self.page.evaluate(
            f"""([name, x, y]) => {{
                const view = Bokeh.index.find_one_by_id(({_FIGURE}).id);
                const box = view.el.getBoundingClientRect();
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
