"""Session, controls and views put together as a page or a cell, the URL kept in step."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any
from urllib.parse import urlencode

import panel as pn
import panel_material_ui as pmui
import param
from panel.io.notebook import push_notebook
from panel.reactive import Syncable
from panel.util import edit_readonly

from pixlab.dashboards.controls import Controls, Headline
from pixlab.dashboards.session import Session
from pixlab.dashboards.sources import Source
from pixlab.dashboards.theme import ThemedPage
from pixlab.dashboards.views import VIEWS
from pixlab.dashboards.widgets import Text
from pixlab.errors import PixlabError

__all__ = ["Board", "Dashboard", "error_page", "page", "prepare"]

_QUESTION = "How small can simulated pixel digis become before the physics notices?"


def prepare() -> None:
    """Load what pages are drawn with; repeated calls do nothing."""
    pn.extension("tabulator", inline=True)  # a notebook works offline
    # what a button or a table does would now and then run without bokeh's lock of the document,
    # which changes of figures need: Panel itself can do without
    setattr(Syncable._event_coroutine, "lock", True)  # noqa: B010


class Board(pn.viewable.Viewer):
    """Headline and views over one session, with what went wrong above and the origin below.

    What is new is filled before it is put on the page, here and in the views: Panel sends what is
    placed, bokeh what is changed, and on a busy line the second may overtake the first.

    Parameters
    ----------
    session : Session
        What is looked at.
    """

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.notices = pmui.Column(sizing_mode="stretch_width")
        self._made: dict[str, pn.viewable.Viewer] = {}
        # a view is drawn when it is first looked at and then only hidden: coming back is instant,
        # and nothing is taken apart while it is still being laid out
        self._places = {title: pn.Column(sizing_mode="stretch_width") for title in VIEWS}
        self.tabs = pmui.Tabs(
            *((title, pn.Spacer(height=0)) for title in VIEWS),
            sizing_mode="stretch_width",
            margin=0,
        )
        self.tabs.param.watch(self._turned, "active")
        self._origin = Text(
            name="origin",
            style=".bk-clearfix { font-size: 12px; opacity: .7; }",
            margin=(4, 10, 8, 10),
        )
        session.param.watch(self._tell_origin, ["source", "point"])
        self._tell_origin()
        session.param.watch(self._turn, "view")
        session.param.watch(self._show_problem, "problem")
        self._turn()

    def notice(self, text: str, severity: str = "error") -> None:
        """Show a sentence above the views, until it is closed; once, however often it is true."""
        alerts: list[Any] = list(self.notices)
        if any(alert.title == text and not alert.closed for alert in alerts):
            return
        self.notices.append(
            pmui.Alert(
                title=text,
                severity=severity,
                closeable=True,
                sizing_mode="stretch_width",
                css_classes=["pixlab-notice"],
            )
        )

    def close(self) -> None:
        """The visitor has left: end what is still going on."""
        for view in self._made.values():
            if hasattr(view, "close"):
                view.close()

    def _show_problem(self, event: param.parameterized.Event) -> None:
        if event.new:
            self.notice(event.new)
            self.session.problem = ""  # so that the same one shows again when it happens again

    def _turned(self, event: param.parameterized.Event) -> None:
        self.session.view = list(VIEWS)[event.new]

    def _turn(self, *events: Any) -> None:
        front = self.session.view
        self.tabs.active = list(VIEWS).index(front)
        if front not in self._made:
            self._made[front] = VIEWS[front](self.session)
            self._places[front].append(self._made[front])
        for title, place in self._places.items():
            place.visible = title == front

    def _tell_origin(self, *events: Any) -> None:
        self._origin.html = escape(self.session.provenance())
        self._origin.model.tags = [self.session.provenance()]  # for pictures that are saved

    def __panel__(self) -> Any:
        return pmui.Column(
            self.notices,
            Headline(self.session),
            self.tabs,
            *self._places.values(),
            self._origin,
            sizing_mode="stretch_width",
        )


def page(sources: Sequence[Source], problems: Sequence[PixlabError] = ()) -> pmui.Page:
    """A page of its own for each visitor, over data that all share."""
    session, board = _made(sources)
    for problem in problems:
        board.notice(str(problem))
    whole = ThemedPage(
        title="pixlab",
        header=[_subtitle()],
        sidebar=[Controls(session)],
        sidebar_width=320,
        # where it would cover the page, it opens when asked
        sidebar_open="Mobi" not in pn.state.headers.get("User-Agent", ""),
        main=[board],
        dark_theme=session.theme == "dark",
        busy_indicator="linear",
    )

    def keep_theme(*events: Any) -> None:
        chosen = "dark" if whole.dark_theme else "light"
        session.theme = "system" if whole.dark_theme == whole.dark_system else chosen

    whole.param.watch(keep_theme, ["dark_theme", "dark_system"])

    # the page listens to whether the server is busy, for whomever: that would keep it, and all that
    # hangs on it, for ever, and tell every visitor, at a cost, of what any of them does
    for watcher in list(pn.state.param.watchers.get("busy", {}).get("value", [])):
        if getattr(getattr(watcher.fn, "__self__", None), "self_or_cls", None) is whole:
            pn.state.param.unwatch(watcher)
    document = pn.state.curdoc

    def tell_busy(event: Any) -> None:
        if pn.state.curdoc is document:
            with edit_readonly(whole):
                whole.busy = event.new

    telling = pn.state.param.watch(tell_busy, "busy")

    def leave(context: Any) -> None:
        """End what the visitor has begun."""
        board.close()
        pn.state.param.unwatch(telling)

    if pn.state.curdoc is not None:
        pn.state.on_session_destroyed(leave)
    return whole


class Dashboard(pn.viewable.Viewer):
    """Controls beside the views, without a page around them: for a notebook cell.

    Each cell that shows it has figures of its own; what is chosen in one is chosen in all.

    Parameters
    ----------
    sources : sequence of Source
        What can be looked at.
    """

    def __init__(self, sources: Sequence[Source]) -> None:
        super().__init__()
        self.sources = sources
        self._session: Session | None = None

    def __panel__(self) -> Any:
        if self._session is None:
            self._session, board = _made(self.sources)
        else:
            board = Board(self._session)
        shown = pmui.Grid(
            pmui.Grid(Controls(self._session), size={"xs": 12, "md": 3}),
            pmui.Grid(board, size={"xs": 12, "md": 9}),
            container=True,
            spacing=1,
            sizing_mode="stretch_width",
        )
        # a kernel does not send by itself what changes in a figure, as a server does; after all
        # that follows the session has done so
        names = [name for name in self._session.param if name != "name"]
        self._session.param.watch(lambda *_: push_notebook(shown), names, precedence=9)
        return shown


def _made(sources: Sequence[Source]) -> tuple[Session, Board]:
    """A session in the state that the address asks for, and its board."""
    session = Session(sources, views=list(VIEWS))
    location = pn.state.location
    complaints = [] if location is None else session.from_query(location.query_params)
    board = Board(session)
    for complaint in complaints:
        board.notice(f"The address has a value that is left out: {complaint}", "warning")
    if location is not None:

        def write(*events: Any) -> None:
            location.search = "?" + urlencode(session.to_query())

        session.param.watch(write, list(Session.IN_URL))
        pn.state.onload(write)
    return session, board


def error_page(error: BaseException) -> pmui.Page:
    """What a visitor sees when a page cannot be made: the cause and the next step."""
    known = isinstance(error, PixlabError)
    cause = error.cause if isinstance(error, PixlabError) else f"{type(error).__name__}: {error}"
    hint = error.hint if isinstance(error, PixlabError) else "the terminal shows where it happened"
    return ThemedPage(
        title="pixlab",
        header=[_subtitle()],
        main=[
            pmui.Alert(
                title="This data cannot be shown" if known else "pixlab met an unexpected error",
                object=f"{cause}\n\n{hint[:1].upper()}{hint[1:]}" if hint else cause,
                severity="error",
                sizing_mode="stretch_width",
                css_classes=["pixlab-error"],
            )
        ],
    )


def _subtitle() -> pn.pane.HTML:
    return pn.pane.HTML(
        f'<div style="font-size:14px;color:white;opacity:.9;white-space:nowrap;overflow:hidden;'
        f'text-overflow:ellipsis">{_QUESTION}</div>',
        sizing_mode="stretch_width",
        styles={"min-width": "0"},
        stylesheets=["@media (max-width: 900px) { :host { display: none } }"],
    )
