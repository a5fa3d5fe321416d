"""The style of all figures for publications."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from io import BytesIO
from typing import TYPE_CHECKING, Any

from pixlab.plots.style import GREY, VALUES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from pixlab.physics import Comparison

__all__ = ["FONT", "layer_title", "new_figure", "paper_style", "title"]

FONT = "TeX Gyre Heros"


@contextmanager
def paper_style(font: str = FONT) -> Iterator[Any]:
    """CMS's style of mplhep, a little smaller; text stays text in SVG and PDF."""
    import matplotlib as mpl
    import mplhep

    ours = {
        "font.size": 18,
        "axes.titlesize": 18,
        "legend.fontsize": 15,
        "legend.frameon": False,
        "font.sans-serif": [font, "Helvetica", "Arial", "DejaVu Sans"],
        "svg.fonttype": "none",
        "svg.hashsalt": "pixlab",
        "pdf.fonttype": 42,
        "image.cmap": VALUES,
        "axes.formatter.useoffset": False,
    }
    style = {k: v for k, v in mplhep.style.CMS.items() if k in mpl.rcParams}
    with mpl.rc_context(style | ours):
        yield mplhep


@cache
def _figure_class() -> type[Figure]:
    from matplotlib.figure import Figure

    class PaperFigure(Figure):
        """A figure that is drawn in the style it was made in, whenever that is."""

        font = FONT  # the one to lay texts out in

        def savefig(self, *args: Any, **more: Any) -> None:
            """Write it: to a path, or to a file with ``format=``."""
            with paper_style(self.font):
                super().savefig(*args, **more)

        def _repr_png_(self) -> bytes:
            stream = BytesIO()
            self.savefig(stream, format="png", dpi=60)
            return stream.getvalue()

    return PaperFigure


def new_figure(width: float = 9.0, height: float = 7.0) -> Any:
    """An empty figure, inches."""
    return _figure_class()(figsize=(width, height), layout="constrained")


def title(axes: Any, comparison: Comparison, left: str) -> None:
    axes.set_title(left, loc="left")
    axes.set_title(
        f"{comparison.detector.name}, {comparison.n_events:,} events", loc="right", color=GREY
    )


def layer_title(layer: str) -> str:
    return "all layers" if layer == "all" else layer
