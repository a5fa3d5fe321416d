"""A real server, started as a user starts it, and a real browser that may only talk to it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from pixlab.codecs import Lossless, PatchVQ
from pixlab.io import write
from pixlab.study import sweep
from tests.browser.visit import Visit
from tests.helpers import random_digis
from tests.visitors import serving

SIZES = (16, 64, 256)


@pytest.fixture(scope="session")
def digis():
    """Clumped digis on forty modules of every layer."""
    return random_digis(n_events=4, n_digis=4000, n_modules=40, seed=3)


@pytest.fixture(scope="session")
def table(digis, tmp_path_factory) -> Path:
    """A table of four settings, its events beside it, and one model that is damaged."""
    folder = tmp_path_factory.mktemp("sweep")
    write(digis, folder / "events.npz")
    codecs = [Lossless(), *(PatchVQ(codebook_size=n) for n in SIZES), PatchVQ(codebook_size=300)]
    made = sweep(digis, codecs, source=str(folder / "events.npz"))
    models = list(made.table["model"])
    models[-1] = models[-1][: len(models[-1]) // 2]
    made.table["model"] = models
    made.save(folder / "settings.parquet")
    (folder / "bad.root").write_bytes(b"root" + bytes(300))
    return folder / "settings.parquet"


@pytest.fixture(scope="session")
def server(table, tmp_path_factory, chromium) -> Iterator[str]:
    """The dashboard on that table, and on a file that cannot be read."""
    folder = tmp_path_factory.mktemp("server")
    broken = folder / "broken.root"
    broken.write_bytes(b"root" + bytes(300))
    with serving([str(table), str(broken)]) as started:
        yield started.address


@pytest.fixture(scope="session")
def sample_server(chromium) -> Iterator[str]:
    """The dashboard as it opens without arguments."""
    with serving([]) as started:
        yield started.address


@pytest.fixture(scope="session")
def artifacts(tmp_path_factory) -> Path:
    """Where screenshots go: ``$PIXLAB_ARTIFACTS``, or a temporary folder."""
    given = os.environ.get("PIXLAB_ARTIFACTS")
    folder = Path(given) if given else tmp_path_factory.mktemp("artifacts")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def visit(browser) -> Iterator[Callable[..., Visit]]:
    """Open pages; in the end none may have asked for anything off this machine, or complained."""
    visits: list[Visit] = []

    def open_page(
        address: str, *, size=(1440, 900), user_agent=None, system="light", **query: object
    ) -> Visit:
        context = browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            user_agent=user_agent,
            color_scheme=system,
        )
        one = Visit(context)
        visits.append(one)
        one.open(f"{address}/?{urlencode(query)}" if query else address)
        return one

    yield open_page
    for one in visits:
        one.context.close()
    for one in visits:
        assert one.foreign == []
        assert one.complaints == []
