"""The codebook of the chosen model: its codewords, how much they are used, and where."""

from __future__ import annotations

from typing import Any

import numpy as np
import panel as pn
import panel_material_ui as pmui
from numpy.typing import NDArray

from pixlab.dashboards.session import Follower, Session
from pixlab.dashboards.widgets import Card, Text, figure_pane, grid
from pixlab.errors import PixlabError
from pixlab.plots.codebook import Codebook, Usage, tile_gallery
from pixlab.plots.live import Gallery, UsagePlot

__all__ = ["CodebookView"]

PAGE = 128  # codewords shown at a time
ACROSS = 16
MEMBERS = 47  # tiles that are shown of a codeword, behind itself


class CodebookView(pn.viewable.Viewer):
    """Codewords as pictures by use, a usage histogram, and the tiles of the one that is tapped.

    Parameters
    ----------
    session : Session
        Whose choices it shows and changes.
    """

    title = "Codebook"

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.words = Gallery(
            "codewords",
            {"codeword": "code", "place by use": "place", "uses": "uses"},
            self._tapped_word,
            height=340,
        )
        self.usage = UsagePlot("usage", self._tapped_place)
        self.members = Gallery(
            "members",
            {"event": "event", "detid": "detid", "row": "row", "column": "col"},
            self._tapped_member,
            height=150,
        )
        self.page = pmui.IntSlider(
            label="Codewords by use, from place", start=1, end=1, step=PAGE, value=1,
            sizing_mode="stretch_width", margin=(4, 16),
        )  # fmt: skip
        self.page.param.watch(lambda _: self._draw_words(), "value")
        self.number = pmui.IntInput(
            label="Codeword", value=None, start=0, width=150, margin=(6, 10)
        )
        self.number.param.watch(self._typed, "value")
        self.summary = Text(style=_STYLE)
        self.none = Text(name="no-codebook")
        self._members: NDArray[np.intp] = np.zeros(0, np.intp)
        self.cards = {
            "words": Card(
                "codewords", "Codewords", _WORDS, self.page, figure_pane(self.words.figure)
            ),
            "usage": Card("usage", "Usage", _USAGE, self.summary, figure_pane(self.usage.figure)),
            "members": Card("members", "", _MEMBERS, self.number, figure_pane(self.members.figure)),
        }
        self._content = pn.Column(
            grid((3, self.cards["words"]), (2, self.cards["usage"])),
            self.cards["members"],
            sizing_mode="stretch_width",
            margin=0,
        )
        self._view = pn.Column(self.none, self._content, sizing_mode="stretch_width", margin=0)
        Follower(session, self.title, ["source", "point"], self._draw)
        Follower(session, self.title, ["source", "point", "log_scale"], self._draw_words)
        Follower(session, self.title, ["source", "point", "code", "log_scale"], self._draw_members)

    # -- the model --------------------------------------------------------------------------
    def _book(self) -> tuple[Codebook, Usage] | None:
        s = self.session
        book = s.data.codebook(s.point)
        return None if book is None else (book, s.data.usage(s.point))

    def _draw(self) -> None:
        s = self.session
        self._content.visible = False
        self.none.html = ""
        try:
            found = self._book()
        except PixlabError:
            self.none.html = f"<p>The codebook of {s.data.label(s.point)} cannot be shown.</p>"
            raise
        self._content.visible = found is not None
        if found is None:
            self.none.html = (
                f"<p>{s.data.label(s.point)} has no codebook of pictures to show. Choose a codec "
                f"that has one: {', '.join(self._with_codebook()) or 'none of this sweep has'}.</p>"
            )
            return
        book, usage = found
        n = len(book)
        self.page.param.update(end=max((n - 1) // PAGE * PAGE + 1, 1), value=1, visible=n > PAGE)
        self.number.end = n - 1
        of = "tiles" if book.placed else "clusters"
        self.usage.show(usage.uses, usage.order, of)
        self.cards["usage"].tell(f"Usage · {s.data.label(s.point)}")
        self.cards["members"].visible = book.placed
        self.words.scale.rename(book.quantity)
        share = usage.codes.perplexity / n
        self.summary.html = (
            "<div class='line'>"
            + "".join(
                f"<span><b>{value}</b> {name}</span>"
                for value, name in (
                    (f"{n:,}", "codewords"),
                    (f"{usage.codes.perplexity:,.0f}", f"perplexity ({100 * share:.0f}% of them)"),
                    (f"{usage.codes.dead:,}", "unused"),
                    (f"{abs(usage.codes.entropy):.2f}", "bits each by frequency alone"),
                    (f"{usage.uses.sum():,}", of),
                )
            )
            + "</div>"
        )

    def _with_codebook(self) -> list[str]:
        """Names of the codecs of the sweep whose models have pictures."""
        data = self.session.data
        return [c for c in data.codecs if data.codebook(data.middle(c)) is not None]

    # -- drawings ---------------------------------------------------------------------------
    def _draw_words(self) -> None:
        found = self._book()
        if found is None:
            return
        book, usage = found
        first = self.page.value - 1
        codes = usage.order[first : first + PAGE]
        numbers = {
            "code": codes,
            "place": np.arange(first, first + len(codes)) + 1,
            "uses": usage.uses[codes],
        }
        top = float(np.nanquantile(book.pictures, 0.95)) if len(book) else 1.0
        self.words.show(
            book.pictures[codes], numbers, across=ACROSS, top=top, log=self.session.log_scale
        )
        last = first + len(codes)
        self.cards["words"].tell(f"Codewords {first + 1:,} to {last:,} of {len(book):,}, by use")
        self._ring(usage)

    def _ring(self, usage: Usage) -> None:
        code = self.session.code
        place = None if code is None else int(np.flatnonzero(usage.order == code)[0])
        self.usage.choose(place)
        first = self.page.value - 1
        on_page = place is not None and first <= place < first + PAGE
        self.words.choose(place - first if place is not None and on_page else None)

    def _draw_members(self) -> None:
        found = self._book()
        if found is None:
            return
        book, usage = found
        s = self.session
        if s.code is None or s.code >= len(book):
            s.code = int(usage.order[0])  # the most used one; draws again
            return
        if self.number.value != s.code:
            self.number.value = s.code
        self._ring(usage)
        if not book.placed:
            return
        own = usage.tiles_of(s.code)
        # evenly over the events
        self._members = (
            own[np.unique(np.linspace(0, len(own) - 1, min(MEMBERS, len(own))).astype(int))]
            if len(own)
            else own
        )
        shape = book.pictures.shape[1:]
        pictures = np.concatenate(
            [book.pictures[[s.code]], tile_gallery(usage, self._members, (shape[0], shape[1]))]
        )
        detector = usage.digis.detector
        first = s.data.first_measured
        numbers = {
            "event": np.concatenate([[-1], usage.event[self._members] + first]),
            "detid": np.concatenate(
                [[-1], detector.detid[usage.module[self._members]].astype(np.int64)]
            ),
            "row": np.concatenate([[-1], usage.row[self._members]]),
            "col": np.concatenate([[-1], usage.col[self._members]]),
        }
        top = float(np.nanquantile(pictures, 0.95))
        self.members.show(pictures, numbers, across=24, top=max(top, 1.0), log=s.log_scale)
        self.members.choose(0)
        self.cards["members"].tell(
            f"Codeword {s.code} (framed) and {len(self._members)} of the {len(own):,} tiles that it "
            "stands for"
        )

    # -- taps -------------------------------------------------------------------------------
    def _tapped_word(self, place: int) -> None:
        self._tapped_place(self.page.value - 1 + place)

    def _tapped_place(self, place: int) -> None:
        found = self._book()
        if found is not None and place < len(found[1].order):
            self.session.code = int(found[1].order[place])

    def _typed(self, event: Any) -> None:
        found = self._book()
        if found is not None and event.new is not None and 0 <= event.new < len(found[0]):
            self.session.code = int(event.new)

    def _tapped_member(self, place: int) -> None:
        """Show the tile in the explorer, with some pixels around it."""
        found = self._book()
        if found is None or not 1 <= place <= len(self._members):
            return
        book, usage = found
        s = self.session
        tile = int(self._members[place - 1])
        s.event = int(usage.event[tile]) + s.data.first_measured
        s.show_module(int(usage.digis.detector.detid[usage.module[tile]]))
        _, rows, cols = book.pictures.shape
        row, col = int(usage.row[tile]), int(usage.col[tile])
        s.zoom = (col - 5.0 * cols, row - 5.0 * rows, col + 6.0 * cols, row + 6.0 * rows)
        s.view = s.param.view.objects[0]

    def __panel__(self) -> Any:
        return self._view


_WORDS = (
    "Each picture is a codeword: what is decoded for every tile that it stands for, adc counts by "
    "pixel, or how the charge of each cluster that it stands for is shared by its pixels; pixels "
    "without a hit are empty. The most used come first, in reading order. Tap one to mark its use, "
    "and to see the tiles of a codebook of tiles below and on the hit maps of the explorer."
)
_USAGE = (
    "Tiles, or clusters, of the measured events that each codeword stands for, from the most to the least used; "
    "both axes logarithmic. Dashed: all used alike. Perplexity: so many codewords, used alike, would "
    "carry as much information; far below their number, part of the codebook is idle."
)
_MEMBERS = (
    "First the codeword, then tiles of the original events that it stands for, evenly drawn from all "
    "of them: the more they differ from it, the more is lost. Tap a tile to see it on its module."
)
_STYLE = """
.line { display: flex; flex-wrap: wrap; gap: 4px 18px; font-size: 13px; }
b { font-size: 17px; font-variant-numeric: tabular-nums; }
"""
