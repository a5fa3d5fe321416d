"""The hits of a module, before and after: side by side, swiped, blinking, or after several models."""

from __future__ import annotations

from typing import Any

import numpy as np
import panel as pn
import panel_material_ui as pmui
from bokeh.models import Range1d

from pixlab.dashboards.session import QUANTITIES, Follower, Session
from pixlab.dashboards.widgets import Card, buttons, figure_pane, grid
from pixlab.digis import Digis
from pixlab.plots.live import Hits
from pixlab.plots.pixels import colour_top, outlines, pixel_table

__all__ = ["MOST_COMPARED", "HitMaps"]

MOST_COMPARED = 5  # settings beside the original
_BLINK = 700  # ms

_HELP = {
    "original": "Charge of each pixel as simulated, in adc counts. Empty: no hit above threshold. "
    "Drag to move all maps, turn the wheel to zoom; hover for all values.",
    "decoded": "The same pixels after compressing and decompressing with the chosen setting. Same "
    "colour scale as the original. Tap a pixel to choose the codeword that made it, if the codec "
    "has a codebook.",
    "difference": "Decoded minus original charge, adc counts. Orange: charge gained, blue: lost, "
    "grey: unchanged. A hit that is missing on one side counts as zero charge there.",
    "swipe": "Left of the handle the original, right of it what was decoded. Drag the handle.",
    "blink": "Original and decoded in turn at one place: what moves or changes its colour is what "
    "compression did. The title says which of them is seen.",
}


class HitMaps:
    """Four ways to hold the hits of the chosen module against what is decoded, with one zoom.

    Parameters
    ----------
    session : Session
        Whose choices it shows and changes.
    view : str
        The view that it is a part of.
    x_range, y_range : Range1d
        The zoom.
    """

    def __init__(self, session: Session, view: str, x_range: Range1d, y_range: Range1d) -> None:
        self.session, self._title, self._zoom = session, view, (x_range, y_range)
        self.hits = Hits(*self._zoom)
        self._modes: dict[str, Any] = {}
        self._cards: dict[str, Card] = {}
        self._place = pn.Column(sizing_mode="stretch_width", margin=0)
        p = session.param
        self.mode = buttons(p.mode)
        self._blinker: Any = None
        self._several: list[tuple[Hits, str, Card]] = []
        Follower(session, view, ["mode"], self._turn)
        module = ["source", "event", "module"]
        Follower(session, view, [*module, "point", "log_scale", "mode"], self._draw)
        Follower(session, view, [*module, "point", "outlines", "mode"], self._outline)
        Follower(session, view, [*module, "point", "code", "mode"], self._mark)
        compared = ["compared", "shown", "log_scale", "outlines", "mode"]
        Follower(session, view, [*module, *compared], self._draw_several)
        Follower(session, view, ["mode"], self._arrange)

    # -- modes ------------------------------------------------------------------------------
    def _turn(self) -> None:
        mode = self.session.mode
        if mode not in self._modes:
            build = {
                "side by side": self._side_by_side,
                "swipe": self._swipe,
                "blink": self._blink,
                "several settings": self._several_settings,
            }[mode]
            self._modes[mode] = build()
        if self._blinker is not None:
            running = mode == "blink" and self._running.value
            Hits.set_blink(self._blinker, pause=_BLINK if running else None)

    def _arrange(self) -> None:
        if len(self._place) < len(self._modes):
            self._place.append(self._modes[self.session.mode])
        for name, what in self._modes.items():
            what.visible = name == self.session.mode

    def _card(self, name: str, figure: Any, *above: Any) -> Card:
        title = name[0].upper() + name[1:]
        self._cards[name] = Card(name, title, _HELP[name], *above, figure_pane(figure))
        return self._cards[name]

    def _side_by_side(self) -> pn.Row:
        tapped = self.session.show_code_at
        cards = [
            self._card(what, self.hits.map_of(what, what, tapped=tapped)) for what in QUANTITIES
        ]
        return grid(*((1, card) for card in cards))

    def _swipe(self) -> pn.Column:
        card = self._card("swipe", self.hits.swipe("swipe"))
        return pn.Column(card, sizing_mode="stretch_width", margin=0)

    def _blink(self) -> pn.Column:
        figure = self._blinker = self.hits.blink("blink")
        self._running = pmui.Switch(label="Blink", value=True, margin=(4, 10))
        self._side = pmui.RadioButtonGroup(
            options=list(QUANTITIES[:2]),
            value="original",
            size="small",
            margin=(4, 10),
            visible=False,
        )

        def change(*events: Any) -> None:
            self._side.visible = not self._running.value
            pause = _BLINK if self._running.value else None
            Hits.set_blink(figure, pause=pause, first=self._side.value)

        self._running.param.watch(change, "value")
        self._side.param.watch(change, "value")
        controls = pn.Row(self._running, self._side)
        card = self._card("blink", figure, controls)
        return pn.Column(card, sizing_mode="stretch_width", margin=0)

    def _several_settings(self) -> pn.Column:
        self._choice = pmui.MultiChoice(
            label=f"Settings to hold against the original (up to {MOST_COMPARED})",
            max_items=MOST_COMPARED,
            searchable=True,
            sizing_mode="stretch_width",
            margin=(6, 10),
        )
        self._choice.param.watch(self._choose, "value")
        self._grid = pn.Column(sizing_mode="stretch_width", margin=0)
        return pn.Column(self._choice, self._grid, sizing_mode="stretch_width", margin=0)

    def _choose(self, event: Any) -> None:
        self.session.compared = list(event.new)[:MOST_COMPARED]

    # -- drawing ----------------------------------------------------------------------------
    def _where(self) -> dict[str, str]:
        s = self.session
        detector = s.data.digis.detector
        layer = detector.layers[int(detector.layer[detector.index(s.module)])]
        return {"layer": layer, "detid": str(s.module)}

    def _show(self, hits: Hits, decoded: Digis) -> None:
        s = self.session
        original = s.original()
        pixels = pixel_table(original, decoded, s.module)
        there = ~np.isnan(pixels["adc"])
        top = colour_top(pixels["adc"][there] if there.any() else pixels["decoded"])
        hits.show(pixels, self._where(), top=top, log=s.log_scale)

    def _borders(self, hits: Hits, decoded: Digis) -> None:
        s = self.session
        for side, digis in (("original", s.original()), ("decoded", decoded)):
            hits.show_borders(side, outlines(digis, s.module) if s.outlines else None)

    def _draw(self) -> None:
        if self.session.mode == "several settings":
            return
        self._show(self.hits, self.session.decoded())
        label = self.session.data.label(self.session.point)
        for name, title in (
            ("decoded", f"Decoded · {label}"),
            ("swipe", f"Original | decoded · {label}"),
            ("blink", f"Original and decoded in turn · {label}"),
        ):
            if name in self._cards:
                self._cards[name].tell(title)

    def _outline(self) -> None:
        if self.session.mode != "several settings":
            self._borders(self.hits, self.session.decoded())

    def _mark(self) -> None:
        self.hits.mark(self.session.boxes_of_code())

    def _draw_several(self) -> None:
        s = self.session
        if s.mode != "several settings":
            return
        data = s.data
        labels = {data.label(row): row for row in range(len(data.sweep))}
        self._choice.param.update(options=labels, value=list(s.compared))
        quantity = "difference" if s.shown == "difference" else "decoded"
        wanted = ["original", *(quantity for _ in s.compared)]
        anew = wanted != [kind for _, kind, _ in self._several]
        if anew:
            self._several = [self._one_of_several(i, kind) for i, kind in enumerate(wanted)]
        decoded = [s.original(), *(s.decoded(row) for row in s.compared)]
        for (hits, _, card), row, digis in zip(
            self._several, [None, *s.compared], decoded, strict=True
        ):
            self._show(hits, digis)
            self._borders(hits, digis)
            if row is not None:
                what = "Decoded" if quantity == "decoded" else "Difference"
                rate = data.value(row, "bits_per_digi")
                card.tell(f"{what} · {data.label(row)} · {rate:.2f} bits/digi", _HELP[quantity])
            else:
                rate = data.value(0, "bits_per_digi") * data.value(0, "ratio_root_zstd4")
                known = "" if np.isnan(rate) else f" · in ROOT ZSTD-4 {rate:.2f} bits/digi"
                card.tell(f"Original{known}")
        if anew:
            self._grid[:] = [grid(*((1, card) for *_, card in self._several), narrowest=250)]

    def _one_of_several(self, place: int, kind: str) -> tuple[Hits, str, Card]:
        hits = Hits(*self._zoom)
        name = f"several-{place}" if place else "several-original"
        figure = hits.map_of(name, kind, height=290)
        figure.xaxis.ticker.desired_num_ticks = 3  # there is room for no more
        return hits, kind, Card(name, "Original", _HELP[kind], figure_pane(figure))

    def __panel__(self) -> Any:
        return pn.Column(self.mode, self._place, sizing_mode="stretch_width", margin=0)
