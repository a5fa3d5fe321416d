"""How a training went, or goes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pixlab.plots.style import BLUE, ORANGE, load_holoviews, style

if TYPE_CHECKING:
    import pandas

__all__ = ["LiveTraining", "training"]

_LABELS = {
    "error": "squared error (spacings²)",
    "bits": "token length (bits / cluster)",
    "perplexity": "perplexity of tokens",
    "pixel": "pixel error (units²)",
    "charge": "cluster charge error (units²)",
    "place": "barycentre error (units²)",
}


def training(log: pandas.DataFrame) -> Any:
    """A curve for each loss term of a training, on training and on held-out data.

    Parameters
    ----------
    log : DataFrame
        ``model.log`` of a trained codec, a row an epoch.

    Returns
    -------
    holoviews.Layout
    """
    hv = load_holoviews()
    panels = []
    for name, label in _LABELS.items():
        if name not in log:
            continue
        value = hv.Dimension(name.replace("_", " "), label=label)
        held = f"held_out_{name}"
        curves = [
            hv.Curve(
                (log["epoch"].to_numpy(float), log[column].to_numpy(float)),
                "epoch",
                value,
                label=words,
            ).opts(color=colour)
            for column, words, colour in ((name, "training", BLUE), (held, "held out", ORANGE))
            if column in log
        ]
        # one legend for all: of these curves, that of bits leaves room for it
        look = style(height=260, title="", ylabel=label, show_legend=name == "bits")
        panels.append(hv.Overlay(curves).opts(**look))
    return hv.Layout(panels).cols(3).opts(shared_axes=False)


class LiveTraining:
    """A figure in a notebook that grows while a codec is fitted.

    >>> live = pixlab.plots.LiveTraining()  # doctest: +SKIP
    >>> model = codec.fit(digis, on_epoch=live)  # doctest: +SKIP
    """

    def __init__(self) -> None:
        self._handle: Any = None

    def __call__(self, log: list[dict[str, float]]) -> None:
        """Draw the log so far."""
        import pandas
        from IPython.display import display

        figure = training(pandas.DataFrame(log).astype(np.float64))
        if self._handle is None:
            self._handle = display(figure, display_id=True)
        else:
            self._handle.update(figure)
