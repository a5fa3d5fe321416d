"""The views of a page. A new one is a `Viewer` over a `Session` and one entry here."""

from __future__ import annotations

from collections.abc import Callable

import panel as pn

from pixlab.dashboards.explorer import Explorer
from pixlab.dashboards.results import Physics, RateDistortion, SweepTable
from pixlab.dashboards.session import Session

__all__ = ["VIEWS"]

# title -> view, in the order of the tabs
VIEWS: dict[str, Callable[[Session], pn.viewable.Viewer]] = {
    view.title: view for view in (Explorer, RateDistortion, Physics, SweepTable)
}
