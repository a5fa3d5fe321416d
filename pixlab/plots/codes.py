"""How the codes of a codebook are used, and what they look like."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pixlab.errors import PixlabError
from pixlab.plots.style import BLUE, GREY, VALUES, load_holoviews, style

if TYPE_CHECKING:
    import holoviews

    from pixlab.codecs import CodeUsage

__all__ = ["code_pictures", "code_usage"]

_ACROSS = 12  # pictures side by side
_MOST = 60


def code_usage(usage: CodeUsage) -> holoviews.Overlay:
    """How often each code is chosen, the commonest first; a line at the perplexity.

    Parameters
    ----------
    usage : CodeUsage
        From ``model.usage(digis)``.
    """
    hv = load_holoviews()
    share = np.sort(usage.counts)[::-1] / max(usage.counts.sum(), 1)
    used = share[share > 0]
    rank = hv.Dimension("rank", label="code, by rank")
    curve = hv.Curve(
        (np.arange(1, len(used) + 1), used), rank, hv.Dimension("share", label="share of choices")
    ).opts(backend="bokeh", color=BLUE, line_width=2, tools=["hover"])
    line = hv.VLine(usage.perplexity).opts(
        backend="bokeh", color=GREY, line_dash="dashed", line_width=1
    )
    title = (
        f"{usage.name}: {len(usage)} codes, {usage.dead} dead, perplexity {usage.perplexity:.0f}, "
        f"{usage.escape_fraction:.1%} escaped"
    )
    return hv.Overlay([curve, line]).opts(
        **style(
            title=title,
            xlabel="code, by rank (dashed: perplexity)",
            ylabel="share of choices",
            logy=True,
            height=280,
        )
    )


def code_pictures(usage: CodeUsage) -> holoviews.Image:
    """What the commonest codes look like, in reading order.

    Raises
    ------
    PixlabError
        If the codes are no pictures.
    """
    if usage.pictures is None:
        raise PixlabError(
            f"the codes of '{usage.name}' are no pictures",
            "draw the first codebook of model.usage(digis)",
        )
    hv = load_holoviews()
    order = np.argsort(-usage.counts, kind="stable")[:_MOST]
    _, high, wide = usage.pictures.shape
    lines = -(-len(order) // _ACROSS)
    sheet = np.full((lines * (high + 1), _ACROSS * (wide + 1)), np.nan)
    for i, code in enumerate(order):
        top, left = i // _ACROSS * (high + 1), i % _ACROSS * (wide + 1)
        sheet[top : top + high, left : left + wide] = usage.pictures[code]
    bounds = (0, -sheet.shape[0], sheet.shape[1], 0)
    image = hv.Image(
        sheet,
        bounds=bounds,
        kdims=["column", "row"],
        vdims=[hv.Dimension("weight", label="weight of the pixel")],
    )
    return image.opts(
        **style(
            title=f"{usage.name}: the {len(order)} commonest of {len(usage)} codes",
            cmap=VALUES,
            colorbar=True,
            xaxis=None,
            yaxis=None,
            show_grid=False,
            data_aspect=1,
            responsive=True,
            min_height=60 * lines + 60,
        )
    )
