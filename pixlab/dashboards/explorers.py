"""`explore`: digis, or what a model does to them, in one notebook cell with plain ipywidgets.

Everything that is seen is a picture made by the kernel, so that it works wherever ipywidgets do: no
server, no proxy, no extension besides.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any

import ipywidgets as w
import numpy as np

from pixlab.codecs import Model
from pixlab.digis import Digis
from pixlab.errors import PixlabError
from pixlab.plots.stills import hits_png
from pixlab.study.evaluation import label_of

__all__ = ["Explorer", "explore"]


def explore(what: Digis | Model, digis: Digis | None = None) -> Explorer:
    """Look at the hit maps of digis, or at what a model makes of them, in a notebook cell.

    Parameters
    ----------
    what : Digis or Model
        Events; or a fitted model: original, decoded and difference are then shown side by side.
    digis : Digis, optional
        The events for a model; default: the embedded sample of its detector.

    Returns
    -------
    Explorer
        An ipywidget; the last line of a cell shows it.

    Raises
    ------
    PixlabError
        If there is no event, or the digis are of another detector than the model.

    Examples
    --------
    >>> import pixlab
    >>> pixlab.explore(pixlab.samples.load("phase1-pu60"))  # doctest: +SKIP
    """
    if isinstance(what, Digis):
        if digis is not None:
            raise PixlabError("two sets of digis are given", "compare them with pixlab.compare")
        return Explorer(what, None)
    if not isinstance(what, Model):
        raise PixlabError(
            f"{type(what).__name__} cannot be explored", "pass Digis, or a model: codec.fit(digis)"
        )
    return Explorer(_sample_for(what) if digis is None else digis, what)


class Explorer(w.VBox):
    """Controls over pictures; its children are ipywidgets and can be set from code.

    Parameters
    ----------
    digis : Digis
        At least one event.
    model : Model or None
        What is done to them, if anything.

    Attributes
    ----------
    event, layer, module : ipywidgets
        What is looked at; ``module.value`` is the raw id.
    closer, clusters, logarithmic : ipywidgets.Checkbox
        How.
    """

    def __init__(self, digis: Digis, model: Model | None) -> None:
        if not len(digis):
            raise PixlabError("there is no event to look at", "read or simulate some")
        if model is not None:
            model.check(digis)
        self._digis, self._model = digis, model
        self._filling = False
        self.event = w.IntSlider(
            value=0, min=0, max=len(digis) - 1, description="event", continuous_update=False
        )
        self.layer = w.Dropdown(options=_filled_layers(digis), description="layer")
        self.module = w.Dropdown(description="module", layout=w.Layout(width="360px"))
        self.closer = w.Checkbox(True, description="closer: where most hits are", indent=False)
        self.clusters = w.Checkbox(True, description="outline clusters", indent=False)
        self.logarithmic = w.Checkbox(False, description="logarithmic", indent=False)
        # as large as it is drawn: stretched to the cell, a single map would be blurred
        natural = w.Layout(max_width="100%", align_self="flex-start")
        self._picture = w.Image(format="png", layout=natural)
        self._words = w.HTML()
        for control in (self.event, self.layer):
            control.observe(self._fill, "value")
        for control in (self.module, self.closer, self.clusters, self.logarithmic):
            control.observe(self._draw, "value")
        super().__init__(
            [
                w.HBox([self.event, self.layer, self.module], layout=_WRAPPED),
                w.HBox([self.closer, self.clusters, self.logarithmic], layout=_WRAPPED),
                self._words,
                self._picture,
            ]
        )
        self._fill()

    @property
    def picture(self) -> bytes:
        """What is seen: a PNG file."""
        return self._picture.value

    @property
    def words(self) -> str:
        """What is said about it, HTML."""
        return self._words.value

    def _fill(self, change: Any = None) -> None:
        """The modules of the layer, the one with most digis of the event first."""
        event, detector = self._digis[self.event.value], self._digis.detector
        own = np.flatnonzero(detector.in_layer(self.layer.value))
        sizes = np.bincount(event.module, minlength=len(detector))[own]
        order = np.argsort(-sizes, kind="stable")
        ids = detector.detid[own][order].tolist()
        keep = self.module.value if self.module.value in ids else ids[0]
        texts = (f"{i} ({n} digis)" for i, n in zip(ids, sizes[order], strict=True))
        self._filling = True  # one picture, not one for each step
        self.module.options = list(zip(texts, ids, strict=True))
        self.module.value = keep
        self._filling = False
        self._draw()

    def _draw(self, change: Any = None) -> None:
        if self._filling:
            return
        event, detid = self._digis[self.event.value], self.module.value
        decoded = None if self._model is None else self._model.quantize(event)
        self._picture.value = hits_png(
            event,
            decoded,
            detid,
            closer=self.closer.value,
            log=self.logarithmic.value,
            clusters=self.clusters.value,
        )
        self._words.value = " · ".join(escape(part) for part in self._facts(event, decoded))

    def _facts(self, event: Digis, decoded: Digis | None) -> Iterator[str]:
        yield f"{self._digis.detector.name}, event {self.event.value}: {event.n_digis:,} digis"
        yield f"module {self.module.value}: {event.select(detid=self.module.value).n_digis} digis"
        if self._model is not None and decoded is not None and event.n_digis:
            payload = 8 * self._model.encode(event).nbytes / event.n_digis
            yield f"decoded by {label_of(self._model.codec)}: {decoded.n_digis:,} digis"
            yield f"{payload:.2f} bits/digi in this event, without the model"


_WRAPPED = w.Layout(flex_flow="row wrap")


def _filled_layers(digis: Digis) -> list[str]:
    """Layers with a digi in any event, all of them where there is none."""
    filled = [layer for layer, n in digis.per_layer().items() if n]
    return filled or list(digis.detector.layers)


def _sample_for(model: Model) -> Digis:
    """The embedded sample of the model's detector."""
    from pixlab import samples

    for name in samples.list():
        digis = samples.load(name)
        if digis.detector == model.detector:
            return digis
    raise PixlabError(
        f"no embedded sample is of detector '{model.detector.name}'",
        "pass events of it: explore(model, digis)",
    )
