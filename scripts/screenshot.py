"""Take the picture of the dashboard that the README shows: ``python scripts/screenshot.py``.

Starts ``pixlab serve`` on the embedded sample and photographs it with headless Chromium, which must
be installed, as must the ``test`` extra.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlencode

from playwright.sync_api import sync_playwright

OUT = Path(__file__).parent.parent / "docs" / "images" / "dashboard.png"
MOST_BYTES = 400_000  # of a picture in the repository
SERVE = [sys.executable, "-c", "from pixlab.cli import main; main()", "serve"]


def photograph(url: str, out: Path, *, size: tuple[int, int], scale: float) -> None:
    """Open a page, wait until everything is drawn, and save what is seen."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        sys.exit("Chromium is not installed; on Debian: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium,
            args=["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        page = browser.new_page(
            viewport={"width": size[0], "height": size[1]}, device_scale_factor=scale
        )
        page.goto(url)
        page.wait_for_selector("canvas, .tabulator", timeout=60_000)
        page.wait_for_function("Bokeh.documents.every(d => d.is_idle)")
        page.wait_for_timeout(2000)  # Material widgets fade in
        page.screenshot(path=out)
        browser.close()


def main() -> None:
    """Serve, photograph, end the server, check the size of the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--size", type=int, nargs=2, default=(1440, 900), metavar=("W", "H"))
    parser.add_argument("--scale", type=float, default=1.5, help="screen pixels per page pixel")
    parser.add_argument("state", nargs="*", help="state of the page, as NAME=VALUE of its address")
    given = parser.parse_args()
    given.out.parent.mkdir(parents=True, exist_ok=True)
    with subprocess.Popen(
        [*SERVE, "--port", "0", "--no-show"], stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stdout is not None
            said = server.stdout.readline()
            found = re.search(r"http://127\.0\.0\.1:\d+", said)
            if found is None:
                sys.exit("the server did not start")
            state = urlencode(dict(one.split("=", 1) for one in given.state))
            photograph(
                f"{found.group()}/?{state}", given.out, size=tuple(given.size), scale=given.scale
            )
        finally:
            server.terminate()
    taken = given.out.stat().st_size
    print(f"{given.out}: {taken:,} bytes")
    if taken > MOST_BYTES:
        sys.exit(f"the picture is larger than {MOST_BYTES:,} bytes; take a smaller --scale")


if __name__ == "__main__":
    main()
