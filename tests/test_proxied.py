"""`dashboard(proxy=True)`: who knows the path sees the page, behind whatever name; nobody else does."""

from __future__ import annotations

import asyncio
import html

import pytest
from tornado.httpclient import AsyncHTTPClient
from tornado.websocket import websocket_connect

import pixlab
from pixlab.dashboards import proxied
from pixlab.errors import PixlabError


@pytest.fixture
def hub(monkeypatch):
    monkeypatch.delenv("JUPYTERHUB_PUBLIC_URL", raising=False)
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", "/user/me/")


def test_the_page_is_at_its_secret_path_alone(hub):
    async def visit() -> None:
        shown = pixlab.dashboard(proxy=True)
        try:
            port = shown.server.port
            assert shown.server.address == "127.0.0.1"
            assert shown.url.startswith(f"/user/me/proxy/{port}/")
            secret = shown.url.rsplit("/", 1)[1]
            assert len(secret) >= 20
            client, home = AsyncHTTPClient(), f"http://127.0.0.1:{port}"
            for path, code in (("", 404), ("wrong", 404), ("wrong/ws", 404), (secret, 200)):
                answer = await client.fetch(f"{home}/{path}", raise_error=False)
                assert answer.code == code
                if code == 404:
                    assert secret not in answer.body.decode()
            assert shown.url in repr(shown)
            assert html.escape(shown.url) in shown._repr_html_()
        finally:
            shown.stop()

    asyncio.run(visit())


def test_two_have_two_paths(hub):
    async def visit() -> None:
        one, other = pixlab.dashboard(proxy=True), pixlab.dashboard(proxy=True)
        assert one.url.rsplit("/", 1)[1] != other.url.rsplit("/", 1)[1]
        one.stop()
        other.stop()

    asyncio.run(visit())


def test_without_a_secret_pages_of_other_names_are_refused():
    """What the proxy needs is not open to the pages of `pixlab serve`."""
    from tornado.httpclient import HTTPClientError, HTTPRequest

    from pixlab.dashboards.app import start
    from pixlab.dashboards.opening import open_sources

    async def visit() -> None:
        server = start(open_sources()[0])
        try:
            request = HTTPRequest(
                f"ws://127.0.0.1:{server.port}/ws", headers={"Origin": "https://elsewhere.example"}
            )
            with pytest.raises(HTTPClientError, match="403"):
                await websocket_connect(request, subprotocols=["bokeh", "token"])
        finally:
            server.stop()

    asyncio.run(visit())


def test_the_address_is_whole_where_the_hub_says_it(monkeypatch):
    monkeypatch.setenv("JUPYTERHUB_PUBLIC_URL", "https://swan.example/user/me/")
    assert proxied._base() == "https://swan.example/user/me/"


def test_a_plain_jupyter_server_is_found_by_its_kernel(monkeypatch):
    for name in ("JUPYTERHUB_PUBLIC_URL", "JUPYTERHUB_SERVICE_PREFIX"):
        monkeypatch.delenv(name, raising=False)
    servers = [{"pid": 11, "base_url": "/other/"}, {"pid": 12, "base_url": "/mine/"}]
    monkeypatch.setattr("jupyter_server.serverapp.list_running_servers", lambda: iter(servers))
    monkeypatch.setenv("JPY_PARENT_PID", "12")
    assert proxied._base() == "/mine/"
    monkeypatch.setenv("JPY_PARENT_PID", "13")
    assert proxied._base() == "/"


def test_a_script_is_told_what_to_do_instead():
    with pytest.raises(PixlabError, match="pixlab serve"):
        pixlab.dashboard(proxy=True)
