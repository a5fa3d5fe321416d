"""`serve`: the dashboard as a page on this machine; `dashboard`: the same in a notebook cell."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
import warnings
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from pixlab.errors import PixlabError

if TYPE_CHECKING:
    import panel
    from bokeh.server.server import Server

    from pixlab.dashboards.proxied import Proxied
    from pixlab.dashboards.sources import Source
    from pixlab.digis import Digis
    from pixlab.study import Sweep

__all__ = ["dashboard", "serve", "start"]

ADDRESS = "127.0.0.1"  # nobody but this machine may connect


def serve(
    sources: Sequence[str | Path | Digis | Sweep] = (), *, port: int = 5006, show: bool = True
) -> None:
    """Serve the dashboard on this machine until it is interrupted.

    Parameters
    ----------
    sources : sequence of path, Digis or Sweep
        Tables made by `pixlab.sweep`, and event files; events without a table are swept first,
        with a progress bar. Default: the embedded sample and its sweep.
    port : int
        Where to listen on 127.0.0.1; 0 takes any free port.
    show : bool
        Open a browser.

    Raises
    ------
    PixlabError
        If no source can be read, or the port is taken. One of several that cannot be read is
        named in the terminal and on the page.
    """
    from pixlab.dashboards.opening import open_sources
    from pixlab.progress import progress_bar

    with progress_bar("pixlab serve", show=sys.stderr.isatty()) as progress:
        opened, problems = open_sources(sources, progress=progress)
    for problem in problems:
        print(f"pixlab: {problem}", file=sys.stderr)
    server = start(opened, port=port, problems=problems)
    url = f"http://{ADDRESS}:{server.port}"
    print(f"pixlab dashboard on {url} (Ctrl-C ends it)", flush=True)
    _quiet(server)
    if show:
        server.io_loop.add_callback(webbrowser.open, url)
    try:
        server.io_loop.start()
    except KeyboardInterrupt:
        pass
    finally:
        server.stop()


@overload
def dashboard(
    source: str | Path | Digis | Sweep | None = None, *, proxy: Literal[False] = False
) -> panel.viewable.Viewer: ...
@overload
def dashboard(
    source: str | Path | Digis | Sweep | None = None, *, proxy: Literal[True]
) -> Proxied: ...
def dashboard(
    source: str | Path | Digis | Sweep | None = None, *, proxy: bool = False
) -> panel.viewable.Viewer | Proxied:
    """The dashboard as a Panel object, for a notebook cell or ``.servable()``.

    Parameters
    ----------
    source : path, str, Digis or Sweep, optional
        A table made by `pixlab.sweep`, an event file, the name of a sample, or such objects;
        events without a table are swept first. Default: the embedded sample and its sweep.
    proxy : bool
        Serve it beside the notebook instead, and give its address behind Jupyter's proxy: for
        SWAN, Binder and other hubs where widgets in cells stay empty.

    Returns
    -------
    panel.viewable.Viewer or Proxied

    Raises
    ------
    PixlabError
        If the source cannot be read; with `proxy`, if this is no notebook.
    """
    from pixlab.dashboards.opening import open_sources
    from pixlab.dashboards.page import Dashboard, prepare
    from pixlab.dashboards.proxied import require_notebook, serve_behind_proxy
    from pixlab.progress import progress_bar

    if proxy:
        require_notebook()
    prepare()
    with progress_bar("pixlab dashboard") as progress:
        opened, _ = open_sources([] if source is None else [source], progress=progress)
    return serve_behind_proxy(opened) if proxy else Dashboard(opened)


def start(
    sources: Sequence[Source],
    *,
    port: int = 0,
    problems: Sequence[PixlabError] = (),
    secret: str = "",
) -> Server:
    """A server of these sources, already listening; its ``io_loop`` is for the caller to start.

    Parameters
    ----------
    sources : sequence of Source
        What can be looked at.
    port : int
        Where to listen on 127.0.0.1; 0 takes any free port.
    problems : sequence of PixlabError
        What every page says first.
    secret : str
        Serve the page under this path alone, which only those can open who know it, but for pages
        of any name: a proxy changes the name that a browser sees.

    Raises
    ------
    PixlabError
        If the port is taken.
    """
    import panel as pn
    from bokeh.util.warnings import BokehUserWarning

    from pixlab.dashboards.page import error_page, page, prepare

    _check_free(port)
    prepare()
    # Material widgets repeat style sheets that the server knows already: harmless, but a warning
    # in the terminal at every visit
    warnings.filterwarnings("ignore", "reference already known", BokehUserWarning)

    def visit() -> Any:
        try:
            return page(sources, problems)
        except Exception as error:
            return error_page(error)

    server = pn.io.server.get_server(
        {f"/{secret}": visit},
        port=port,
        address=ADDRESS,
        title="pixlab",
        websocket_origin="*" if secret else None,
        use_index=not secret,  # which would name the path
        warm=True,
        start=False,  # it would run the loop, and not return before the end
        show=False,
    )
    server.start()
    return server


def _quiet(server: Server) -> None:
    """Say nothing of tabs that were closed while something was on the way to them."""
    from tornado.websocket import WebSocketClosedError

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if not isinstance(context.get("exception"), WebSocketClosedError):
            loop.default_exception_handler(context)

    logging.getLogger("bokeh.server.views.ws").setLevel(logging.ERROR)
    server.io_loop.asyncio_loop.set_exception_handler(handle)


def _check_free(port: int) -> None:
    """Refuse a port that cannot be used before anything is built for it."""
    try:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((ADDRESS, port))
    except OSError as error:
        raise PixlabError(
            f"port {port} of {ADDRESS} cannot be used: {error.strerror or error}",
            "choose another with --port, or 0 for any that is free",
        ) from error
