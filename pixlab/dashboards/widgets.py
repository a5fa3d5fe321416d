"""Small pieces that all views are made of: a titled card with its help."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from html import escape
from typing import Any
from weakref import WeakMethod

import holoviews as hv
import panel as pn

__all__ = ["ACCENT", "Taps", "card", "grid", "named", "pane", "weakly"]

# Containers are Panel's own, not Material ones: those draw a figure some time after it was built,
# and BokehJS fails on the console if anything else changes size in between.

ACCENT = "#d6336c"  # what is chosen, in every view
_NARROWEST = 300  # pixels of a cell


def card(
    title: Any, content: Any, help_text: Any, *, name: str = "", above: Any = None
) -> pn.Column:
    """Something under its title, with a help text to hover or to focus.

    Parameters
    ----------
    title, help_text : str or bound function
        What it is; and its quantity, unit, definition, and what can be done.
    content : object
        A HoloViews object, a bound function that draws one, or what Panel shows otherwise.
    name : str
        CSS class of the card, by which tests find it.
    above : object, optional
        Controls between title and content.
    """
    heading = pn.Row(
        pn.pane.HTML(
            pn.bind(_heading, title) if callable(title) else _heading(title),
            margin=0,
            sizing_mode="stretch_width",
        ),
        pn.widgets.TooltipIcon(value=help_text, margin=0),
        sizing_mode="stretch_width",
        margin=(6, 10, 0, 10),
    )
    parts = [heading, *([above] if above is not None else []), _drawing(content)]
    return pn.Column(
        *parts,
        sizing_mode="stretch_width",
        css_classes=[f"pixlab-{name}"] if name else [],
        styles={"border": "1px solid rgba(128, 128, 128, 0.3)", "border-radius": "6px"},
        margin=0,
    )


def grid(*cells: tuple[int, Any]) -> pn.FlexBox:
    """Cells side by side where there is room, below each other where there is not.

    Parameters
    ----------
    *cells : (int, object)
        Share of the width, and what stands in the cell.
    """
    boxes = [
        pn.Column(
            content,
            styles={"flex": f"{share} 1 {_NARROWEST}px", "min-width": "0"},
            sizing_mode="stretch_width",
            margin=0,
        )
        for share, content in cells
    ]
    return pn.FlexBox(*boxes, gap="8px", sizing_mode="stretch_width", margin=(0, 0, 8, 0))


def _drawing(content: Any) -> Any:
    if isinstance(content, pn.viewable.Viewable):
        return content
    if callable(content) and not isinstance(content, hv.core.Dimensioned):
        return pn.panel(pn.bind(pane, content), sizing_mode="stretch_width", margin=0)
    return pane(content)


def pane(drawing: Any) -> Any:
    """A HoloViews object as wide as there is room; what Panel shows already stays as it is."""
    if isinstance(drawing, pn.viewable.Viewable):
        return drawing
    # axes are linked where a view says so, not wherever names of dimensions happen to agree
    return pn.pane.HoloViews(
        drawing, linked_axes=False, sizing_mode="stretch_width", margin=(0, 4, 4, 4)
    )


def named(name: str) -> Callable[[Any, Any], None]:
    """A hook that gives a figure a name, by which tests find it, and a thin frame."""

    def hook(plot: Any, element: Any) -> None:
        figure = plot.state
        figure.name = name
        figure.outline_line_color = "#888888"
        figure.outline_line_alpha = 0.5
        figure.toolbar.logo = None

    return hook


def weakly(hook: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
    """A hook that does not keep its object alive.

    HoloViews keeps the options of a drawing, and so its hooks, as long as the drawing lives; a hook
    that leads back to the drawing would keep both for ever, for every visitor.
    """
    reference = WeakMethod(hook)

    def run(plot: Any, element: Any) -> None:
        found = reference()
        if found is not None:
            found(plot, element)

    return run


class Taps:
    """Tells the index of the glyph that was tapped, the same one twice if tapped twice.

    Parameters
    ----------
    source : HoloViews object
        The element that can be tapped.
    then : function of int
        Called with the index, in the state in which the page may be changed.
    """

    def __init__(self, source: Any, then: Callable[[int], None]) -> None:
        self._then = then
        self._plots: dict[str, Any] = {}  # by page or cell
        self.hook = weakly(self._remember)  # of the whole drawing
        self._stream = hv.streams.Selection1D(source=source)
        self._stream.param.watch(self._tapped, "index")

    def close(self) -> None:
        """Let go of the drawings: HoloViews keeps those that answer to taps until told."""
        for plot in self._plots.values():
            plot.cleanup()
        self._plots.clear()

    def _remember(self, plot: Any, element: Any) -> None:
        self._plots[plot.root.ref["id"]] = plot

    def _tapped(self, event: Any) -> None:
        if event.new:
            # streams run without the page's lock, which changes need
            pn.state.execute(partial(self._act, int(event.new[0])), schedule=True)

    def _act(self, index: int) -> None:
        for plot in self._plots.values():
            for renderer in plot.state.renderers:
                if getattr(renderer, "data_source", None) and renderer.data_source.selected.indices:
                    renderer.data_source.selected.indices = []
        self._then(index)


def _heading(title: str) -> str:
    return f'<div style="font-size:14px;font-weight:600">{escape(title)}</div>'
