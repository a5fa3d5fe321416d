"""Many visitors at once: no error, and no memory that grows. `benchmarks/bench_dashboard.py` takes times."""

from __future__ import annotations

import sys

import pytest

from tests.visitors import Visitor, load, run, serving

SLIDER = "Codebook size (number of codes)"
SIZES = range(4)


@pytest.fixture(scope="module")
def server():
    with serving([]) as started:
        yield started


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="takes memory and times from /proc")
def test_ten_visitors_change_models_without_error_and_memory_levels_off(server):
    for _warm in (False, True):
        alone = run(load(server, visitors=1, changes=8, label=SLIDER, values=SIZES, pause=0.1))
    met = run(load(server, visitors=10, changes=12, label=SLIDER, values=SIZES, pause=0.5))
    assert len(met.seconds) == 120
    half = len(met.resident) // 2
    # all is warm after half of it; what a visitor's page takes does not grow with what he does
    assert max(met.resident[half:]) < 1.1 * max(met.resident[:half]) + 20
    assert max(met.resident) < 1000
    # a change costs the server what it costs with one visitor: no page hears of what is done on another
    assert met.cpu / len(met.seconds) < 2 * alone.cpu / len(alone.seconds)


@pytest.mark.slow
def test_a_visitor_would_notice_an_error(server):
    """What the test above relies on."""

    async def visit():
        one = Visitor(server.address + "/?module=5")
        try:
            await one.enter()
        finally:
            one.leave()

    with pytest.raises(AssertionError, match="module=5"):
        run(visit())
