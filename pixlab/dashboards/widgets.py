"""Small pieces that all views are made of: a titled card with its help, a grid, a figure's pane."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import panel as pn
import panel_material_ui as pmui
from bokeh.models import CustomAction, CustomJS, Div, Plot

__all__ = ["Card", "Text", "buttons", "figure_pane", "grid", "later", "switch"]

# Containers are Panel's own, not Material ones: those draw a figure some time after it was built,
# and BokehJS fails on the console if anything else changes size in between.

_NARROWEST = 290  # pixels of a cell

_HEADING_STYLE = """
:host { overflow: visible !important; }
.head { display: flex; align-items: baseline; gap: 8px; font-size: 14px; }
.title { font-weight: 600; flex: 1; min-width: 0; overflow-wrap: anywhere; }
details { position: relative; }
summary { list-style: none; cursor: pointer; width: 18px; height: 18px; border-radius: 9px;
          border: 1px solid currentColor; font-size: 12px; line-height: 17px; text-align: center;
          opacity: .6; user-select: none; }
summary::-webkit-details-marker { display: none; }
summary:hover, summary:focus-visible, details[open] summary { opacity: 1; }
.text { position: absolute; right: 0; top: 24px; z-index: 1000; width: min(340px, 78vw);
        padding: 8px 12px; border-radius: 6px; background: #2b2b2b; color: white;
        font-size: 13px; line-height: 1.45; font-weight: 400;
        box-shadow: 0 2px 10px rgba(0, 0, 0, .35); }
"""


# all figures of a card that are seen, its title above and the origin of the data below
_SAVE = """
const views = figures.map(f => Bokeh.index.find_one_by_id(f.id))
    .filter(v => v != null && v.el.getClientRects().length > 0);
const layers = views.map(v => v.export());
const ratio = layers[0].pixel_ratio;
const sizes = layers.map(l => [l.canvas.width / ratio, l.canvas.height / ratio]);
const wide = Math.max(...sizes.map(s => s[0]));
const page = document.createElement("canvas");
const draw = page.getContext("2d");
// as many lines as the words need
const wrap = (text, font) => {
    draw.font = font;
    return text.split(" ").reduce((lines, word) => {
        const longer = `${lines.at(-1)} ${word}`.trim();
        return draw.measureText(longer).width <= wide - 20
            ? [...lines.slice(0, -1), longer] : [...lines, word];
    }, [""]);
};
const origin = [...heading.document._all_models.values()].find(m => m.name == "origin");
const fonts = ["600 14px sans-serif", "11px sans-serif"];
const [above, below] = [heading, origin].map((m, i) => wrap(m.tags[0], fonts[i]));
const head = 14 + 20 * above.length, foot = 10 + 14 * below.length;
const high = sizes.reduce((sum, s) => sum + s[1], head + foot);
page.width = wide * ratio;
page.height = high * ratio;
draw.scale(ratio, ratio);
const style = getComputedStyle(document.body);
const clear = ["", "transparent", "rgba(0, 0, 0, 0)"].includes(style.backgroundColor);
draw.fillStyle = clear ? "white" : style.backgroundColor;
draw.fillRect(0, 0, wide, high);
draw.fillStyle = clear ? "black" : style.color;
draw.font = fonts[0];
above.forEach((line, i) => draw.fillText(line, 10, 22 + 20 * i, wide - 20));
draw.font = fonts[1];
below.forEach((line, i) => draw.fillText(line, 10, high - foot + 14 * (i + 1), wide - 20));
let top = head;
layers.forEach((layer, i) => {
    draw.drawImage(layer.canvas, 0, top, ...sizes[i]);
    top += sizes[i][1];
});
page.toBlob(blob => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = `pixlab-${figures[0].name}.png`;
    link.click();
    URL.revokeObjectURL(link.href);
});
"""


class Text(pn.viewable.Viewer):
    """A piece of HTML that changes often.

    It is a model of bokeh's own: Panel's pane would, in a notebook, ask the network for its style
    sheets with each change.

    Parameters
    ----------
    html : str
        What stands there.
    style : str
        CSS of its own.
    name : str
        CSS class, behind ``pixlab-``, by which tests find it.
    margin : tuple of int
        Pixels around it.
    """

    def __init__(
        self, html: str = "", *, style: str = "", name: str = "", margin: tuple[int, ...] = (4, 12)
    ) -> None:
        super().__init__()
        wide = ":host { width: auto; } .bk-clearfix { width: 100%; }"
        self._model = Div(
            text=html,
            name=name or None,
            disable_math=True,
            sizing_mode="stretch_width",
            margin=margin,
            stylesheets=[wide + style],
            css_classes=[f"pixlab-{name}"] if name else [],
        )
        self._view = pn.pane.Bokeh(self._model, sizing_mode="stretch_width", margin=margin)

    @property
    def html(self) -> str:
        """What stands there."""
        return str(self._model.text)

    @html.setter
    def html(self, text: str) -> None:
        if text != self._model.text:
            self._model.text = text

    @property
    def model(self) -> Div:
        """Bokeh's model of it."""
        return self._model

    def __panel__(self) -> Any:
        return self._view


class Card(pn.viewable.Viewer):
    """Something under its title, with a help text that a click or the keyboard opens.

    Its figures can be saved as one PNG, with the title and the origin of the data on it.

    Parameters
    ----------
    name : str
        CSS class of the card, behind ``pixlab-``, by which tests find it.
    title : str
        What it is.
    help_text : str
        Its quantity, unit and definition, and what can be done.
    *content : object
        What Panel shows, from top to bottom.
    """

    def __init__(self, name: str, title: str, help_text: str, *content: Any) -> None:
        super().__init__()
        self._title, self._help = title, help_text
        self._heading = Text(self._html(), style=_HEADING_STYLE, margin=(6, 10, 2, 10))
        self._view = pn.Column(
            self._heading,
            *content,
            sizing_mode="stretch_width",
            css_classes=[f"pixlab-{name}"],
            styles={"border": "1px solid rgba(128, 128, 128, 0.3)", "border-radius": "6px"},
            margin=0,
        )
        self._heading.model.tags = [title]
        panes = self._view.select(pn.pane.Bokeh)
        self.offer_saving([pane.object for pane in panes if isinstance(pane.object, Plot)])

    def offer_saving(self, figures: Sequence[Any]) -> None:
        """Give the figures of the card the tool that saves them all.

        Those that are new must not be on the page yet: see `pixlab.dashboards.page.Board`.
        """
        args = {"figures": list(figures), "heading": self._heading.model}
        for figure in figures:
            figure.toolbar.tools = [t for t in figure.toolbar.tools if t.name != "save"]
            figure.add_tools(
                CustomAction(
                    name="save",
                    icon="save",
                    description="Save as PNG",
                    callback=CustomJS(args=args, code=_SAVE),
                )
            )

    def _html(self) -> str:
        title, text = escape(self._title), escape(self._help)
        return (
            f"<div class='head'><span class='title'>{title}</span><details><summary "
            f'role="button" aria-label="Help: {title}">?</summary><div class=\'text\'>{text}</div>'
            "</details></div>"
        )

    def tell(self, title: str, help_text: str | None = None) -> None:
        """Another title, and another help text."""
        self._title, self._help = title, self._help if help_text is None else help_text
        self._heading.html = self._html()
        self._heading.model.tags = [title]

    @property
    def visible(self) -> bool:
        """Whether it is seen."""
        return bool(self._view.visible)

    @visible.setter
    def visible(self, value: bool) -> None:
        self._view.visible = value

    def __panel__(self) -> Any:
        return self._view


def grid(*cells: tuple[float, Any], narrowest: int = _NARROWEST) -> pn.Row:
    """Cells side by side where there is room, below each other where there is not.

    Parameters
    ----------
    *cells : (float, object)
        Share of the width, and what stands in the cell.
    narrowest : int
        Pixels below which a cell goes to the next line.
    """
    boxes = [
        pn.Column(
            content,
            styles={"flex": f"{share} 1 {narrowest}px", "min-width": "0"},
            sizing_mode="stretch_width",
            margin=0,
        )
        for share, content in cells
    ]
    return pn.Row(
        *boxes,
        styles={"flex-wrap": "wrap", "gap": "8px"},
        sizing_mode="stretch_width",
        margin=(0, 0, 8, 0),
    )


def buttons(parameter: Any, **more: Any) -> pmui.RadioButtonGroup:
    """One of a few choices, side by side."""
    return pmui.RadioButtonGroup.from_param(
        parameter,
        label="",
        size="small",
        margin=(4, 10),
        sx={
            "& .MuiToggleButton-root": {
                "whiteSpace": "nowrap",
                "textTransform": "none",
                "py": "2px",
            }
        },
        **more,
    )


def switch(parameter: Any, label: str) -> pmui.Switch:
    """On or off."""
    return pmui.Switch.from_param(parameter, label=label, size="small", margin=(4, 10))


def figure_pane(figure: Any, **more: Any) -> pn.pane.Bokeh:
    """A figure as wide as there is room."""
    return pn.pane.Bokeh(figure, sizing_mode="stretch_width", margin=(0, 4, 4, 4), **more)


def later(then: Callable[[], None], *, ms: int = 40) -> None:
    """Do something soon, once for all that asks for it meanwhile, as the page's own callback.

    Where there is no page (a notebook cell) it is done at once.
    """
    document = pn.state.curdoc
    if document is None or document.session_context is None:
        then()
    else:
        document.add_timeout_callback(then, ms)
