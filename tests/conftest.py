"""What several test files share: digis to learn from, one browser for the whole run."""

from __future__ import annotations

import os
import shutil

import pytest
from hypothesis import settings

import pixlab
from tests.browser.visit import FLAGS

# no test asserts how long anything takes: machines are busy, and kernels compile when first called
settings.register_profile("pixlab", deadline=None)
settings.load_profile("pixlab")


@pytest.fixture(scope="session")
def digis():
    """Two events, in a few hundred modules of all layers; some files have others of this name."""
    whole = pixlab.samples.load("phase1-pu60")[:2]
    return whole.select(mask=whole.module % 5 == 0)


@pytest.fixture(scope="session")
def chromium() -> str:
    """Where Chromium is; the tests skip without it, or fail where it is required."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        if os.environ.get("PIXLAB_REQUIRE_BROWSER") == "1":
            pytest.fail("Chromium is required (PIXLAB_REQUIRE_BROWSER=1) and not installed")
        pytest.skip("Chromium is not installed")
    return found


@pytest.fixture(scope="session")
def browser(chromium):
    """One browser for all tests; each visit has a context, and so a cache, of its own."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield launched
        launched.close()
