"""The dashboard behind Jupyter's proxy, for hubs where widgets in cells stay empty.

The server runs in the kernel and listens on this machine alone. jupyter-server-proxy, which SWAN and
Binder have, passes pages of ``…/proxy/PORT/`` on to it, after the hub has asked who is there.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from pixlab.errors import PixlabError

if TYPE_CHECKING:
    from bokeh.server.server import Server

    from pixlab.dashboards.sources import Source

__all__ = ["Proxied", "require_notebook", "serve_behind_proxy"]

_HINT = (
    "If there is no such page, the Jupyter server lacks jupyter-server-proxy: "
    "pip install jupyter-server-proxy"
)


class Proxied:
    """A dashboard that runs beside the notebook; it ends with the kernel, or with `stop`.

    Parameters
    ----------
    server : Server
        Already listening.
    secret : str
        The path of its page. A proxy hides which page asks, so whoever knows the path may.
    """

    def __init__(self, server: Server, secret: str) -> None:
        self.server = server
        self.path = f"proxy/{server.port}/{secret}"

    @property
    def url(self) -> str:
        """The address: whole where the hub says its own, else from the first slash on."""
        return f"{_base()}{self.path}"

    def stop(self) -> None:
        """End the server."""
        self.server.stop()

    def __repr__(self) -> str:
        return f"pixlab dashboard on {self.url}\n{_HINT}"

    def _repr_html_(self) -> str:
        url = escape(self.url)
        return (
            f'<p>pixlab dashboard: <a href="{url}" target="_blank" rel="noopener">{url}</a></p>'
            f"<p><small>{escape(_HINT)}</small></p>"
        )


def require_notebook() -> None:
    """Refuse where no kernel could go on serving.

    Raises
    ------
    PixlabError
        If this is no notebook.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        raise PixlabError(
            "there is no notebook whose kernel could serve the page", "use: pixlab serve"
        ) from None


def serve_behind_proxy(sources: Sequence[Source]) -> Proxied:
    """Start a server of these sources in this kernel."""
    from pixlab.dashboards.app import start

    secret = secrets.token_urlsafe(16)
    # it warns of pages of any name; the secret path is what keeps others out
    logging.getLogger("bokeh.server.util").setLevel(logging.ERROR)
    return Proxied(start(sources, secret=secret), secret)


def _base() -> str:
    """Where the Jupyter server of this kernel is, with a slash at the end."""
    public = os.environ.get("JUPYTERHUB_PUBLIC_URL", "")  # of JupyterHub 5, where it is configured
    found = public or os.environ.get("JUPYTERHUB_SERVICE_PREFIX", "") or _own_server()
    return found.rstrip("/") + "/"


def _own_server() -> str:
    """Base path of the Jupyter server that started this kernel; "/" where it cannot be told."""
    from jupyter_server.serverapp import list_running_servers

    parent = os.environ.get("JPY_PARENT_PID")
    for server in list_running_servers():
        if str(server["pid"]) == parent:
            return str(server["base_url"])
    return "/"
