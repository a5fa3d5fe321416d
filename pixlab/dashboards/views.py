"""The views of a page. A new one is a `Viewer` over a `Session` and one entry here."""

from __future__ import annotations

from collections.abc import Callable

import panel as pn

from pixlab.dashboards.codebook import CodebookView
from pixlab.dashboards.data import Data
from pixlab.dashboards.explorer import Explorer
from pixlab.dashboards.physics import Physics
from pixlab.dashboards.rates import RateDistortion
from pixlab.dashboards.session import Session
from pixlab.dashboards.table import SweepTable

__all__ = ["VIEWS"]

_VIEWS = (Explorer, RateDistortion, Physics, CodebookView, SweepTable, Data)

# title -> view, in the order of the tabs
VIEWS: dict[str, Callable[[Session], pn.viewable.Viewer]] = {view.title: view for view in _VIEWS}
