"""Small pieces that all views are made of: a titled card with its help."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any

import holoviews as hv
import panel as pn
import panel_material_ui as pmui

__all__ = ["ACCENT", "card", "named", "pane"]

ACCENT = "#d6336c"  # what is chosen, in every view


def card(
    title: Any, content: Any, help_text: Any, *, name: str = "", above: Any = None
) -> pmui.Paper:
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
    heading = pmui.Row(
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
    return pmui.Paper(
        *parts,
        elevation=0,
        variant="outlined",
        sizing_mode="stretch_width",
        css_classes=[f"pixlab-{name}"] if name else [],
        margin=0,
    )


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


def _heading(title: str) -> str:
    return f'<div style="font-size:14px;font-weight:600">{escape(title)}</div>'
