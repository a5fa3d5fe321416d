"""Check built pages: ``python scripts/check_docs.py docs/_build/html``.

Every link to another page, to a place on it, or to a file leads somewhere; and, where Chromium is
installed, no page asks anything of another machine or has an error on its console. Links to elsewhere are
those of ``sphinx-build -b linkcheck``.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from functools import cache, partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urlsplit

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]


class _Page(HTMLParser):
    """Targets of the links of a page, what it loads, and the places on it that can be linked to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.loads: set[str] = set()
        self.places: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect."""
        of = {name: value or "" for name, value in attrs}
        self.places |= {of[name] for name in ("id", "name") if name in of}
        if tag == "a" and "href" in of:
            self.links.add(of["href"])
        elif tag in ("img", "script", "iframe", "source") and "src" in of:
            self.loads.add(of["src"])
        elif tag == "link" and of.get("rel") in ("stylesheet", "preload", "icon"):
            self.loads.add(of["href"])


def _pages(root: Path) -> list[Path]:
    """The pages, without the templates that a theme leaves among its files."""
    return [p for p in sorted(root.rglob("*.html")) if "_static" not in p.relative_to(root).parts]


@cache
def _page(path: Path) -> _Page:
    return _Page(path.read_text(encoding="utf-8"))


def dead_links(root: Path) -> list[str]:
    """What leads nowhere, and what is loaded from elsewhere, a line each."""
    found = []
    for path in _pages(root):
        name = path.relative_to(root)
        page = _page(path)
        for target in sorted(page.links | page.loads):
            parts = urlsplit(target)
            if parts.scheme in ("data", "mailto", "javascript"):
                continue
            if parts.scheme or parts.netloc:
                if target in page.loads:
                    found.append(f"{name} loads {target}")
                continue
            there = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not there.is_file():
                found.append(f"{name}: {target} is not there")
            elif parts.fragment and there.suffix == ".html":
                places = _page(there).places
                # bare ones are made by a click alone
                if unquote(parts.fragment) not in places and parts.fragment != "main-content":
                    found.append(f"{name}: {target} has no such place")
    return found


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing of each request."""


def complaints(root: Path, chromium: str) -> list[str]:
    """Requests to elsewhere and errors on the console of all pages but those of single names."""
    from playwright.sync_api import sync_playwright

    found: list[str] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(root)))
    home = f"http://127.0.0.1:{server.server_port}/"
    Thread(target=server.serve_forever, daemon=True).start()
    pages = [path.relative_to(root) for path in _pages(root)]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        for name in (p for p in pages if "generated" not in p.parts):
            page = browser.new_page()
            asked: list[str] = []
            page.on("request", lambda request, asked=asked: asked.append(request.url))
            said: list[str] = []
            page.on(
                "console",
                lambda m, said=said: said.append(m.text) if m.type == "error" else None,
            )
            page.goto(home + name.as_posix(), wait_until="networkidle")
            away = [url for url in asked if not url.startswith((home, "data:", "blob:"))]
            found += [f"{name} asks {url}" for url in away] + [f"{name}: {text}" for text in said]
            page.close()
        browser.close()
    server.shutdown()
    return found


def main() -> None:
    """Print every complaint; exit with 1 if there is one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path, help="the folder with index.html")
    root = parser.parse_args().root.resolve()
    if not (root / "index.html").is_file():
        sys.exit(f"{root} has no index.html; build the pages first")
    found = dead_links(root)
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is not None:
        found += complaints(root, chromium)
    else:
        print("Chromium is not installed: pages were not opened")
    print(*found, sep="\n", end="\n" if found else "")
    print(f"{len(_pages(root))} pages, {len(found)} complaints")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
