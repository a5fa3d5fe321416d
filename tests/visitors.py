"""Visitors of a dashboard without a browser: they speak its protocol, many at once, and take times.

https://docs.bokeh.org/en/latest/docs/dev_guide/server.html
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from queue import Empty, Queue
from typing import Any, TypeVar

from tornado.httpclient import AsyncHTTPClient
from tornado.websocket import WebSocketClientConnection, websocket_connect

PATIENCE = 120.0  # seconds
T = TypeVar("T")


def run(visit: Coroutine[Any, Any, T]) -> T:
    """Its result, from a thread of its own: a browser test before may have left a loop in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, visit).result()


@dataclass
class Server:
    """A dashboard in a process of its own."""

    address: str
    process: subprocess.Popen

    @property
    def resident(self) -> float:
        """Memory that it has now, MB (Linux)."""
        return self._status("VmRSS") / 1000

    @property
    def cpu(self) -> float:
        """Seconds that it has used on all cores (Linux)."""
        with open(f"/proc/{self.process.pid}/stat") as file:
            user, system = file.read().rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / 100

    def _status(self, key: str) -> int:
        with open(f"/proc/{self.process.pid}/status") as file:
            return next(int(line.split()[1]) for line in file if line.startswith(key))


@contextmanager
def serving(arguments: Sequence[str]) -> Iterator[Server]:
    """Run ``pixlab serve`` on a free port; end it."""
    command = [sys.executable, "-c", "from pixlab.cli import main; main()", "serve"]
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            [*command, *arguments, "--port", "0", "--no-show"],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        assert process.stdout is not None
        lines: Queue[str] = Queue()
        reader = threading.Thread(target=lambda: [lines.put(line) for line in process.stdout])
        reader.start()
        try:
            try:
                said = lines.get(timeout=PATIENCE)
            except Empty:
                said = ""
            found = re.search(r"http://127\.0\.0\.1:\d+", said)
            if found is None:
                errors.seek(0)
                raise AssertionError(f"no server: {said}{errors.read()[-2000:]}")
            yield Server(found.group(), process)
        finally:
            process.terminate()
            process.wait(20)
            reader.join(20)
            process.stdout.close()


class Visitor:
    """One page, as the server sees it."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.models: dict[str, dict[str, Any]] = {}  # attributes by the id of a model
        self._socket: WebSocketClientConnection | None = None
        self._count = 0

    async def enter(self) -> None:
        """Load the page and all that is on it."""
        page = await AsyncHTTPClient().fetch(self.address, request_timeout=PATIENCE)
        home = self.address.partition("/?")[0]
        found = re.search(r'"token":"([^"]+)"', page.body.decode())
        assert found is not None
        self._socket = await websocket_connect(
            f"{home.replace('http', 'ws')}/ws",
            subprotocols=["bokeh", found.group(1)],
            max_message_size=1 << 30,
        )
        await self._receive()  # ACK
        number = await self._send("PULL-DOC-REQ", {})
        while (message := await self._receive())[0].get("reqid") != number:
            pass
        self._learn(message[1])
        event = {"type": "event", "name": "document_ready", "values": {"type": "map"}}
        await self.patch(
            {"kind": "MessageSent", "msg_type": "bokeh_event", "msg_data": event}, until=None
        )

    def leave(self) -> None:
        """Close the page."""
        if self._socket is not None:
            self._socket.close()

    def find(self, **attributes: Any) -> str:
        """Id of the one model that has these attributes."""
        found = [
            number
            for number, own in self.models.items()
            if all(own.get(name) == value for name, value in attributes.items())
        ]
        assert len(found) == 1, (attributes, found)
        return found[0]

    async def choose(self, label: str, value: int) -> float:
        """Move a slider to another value; return the seconds until the new headline and all else
        was there.
        """
        slider = self.models[number := self.find(label=label)]
        assert slider["value"] != value, "nothing would change, and no answer come"
        slider["value"] = value
        return await self.patch(
            {"kind": "ModelChanged", "model": {"id": number}, "attr": "value", "new": value},
            until=self.find(name="headline"),
        )

    def value(self, label: str) -> int:
        """Where a slider stands."""
        return int(self.models[self.find(label=label)]["value"])

    async def patch(self, event: dict[str, Any], *, until: str | None) -> float:
        """Tell the server of a change; return the seconds until it, and a change of a model, were
        answered.
        """
        start = time.perf_counter()
        number = await self._send("PATCH-DOC", {"events": [event]})
        done, changed = False, until is None
        while not (done and changed):
            header, content = await asyncio.wait_for(self._receive(), PATIENCE)
            done |= header.get("reqid") == number
            changed |= any(e.get("model", {}).get("id") == until for e in content.get("events", []))
        return time.perf_counter() - start

    async def _send(self, kind: str, content: dict[str, Any]) -> str:
        assert self._socket is not None
        self._count += 1
        number = f"visitor-{self._count}"
        for part in ({"msgid": number, "msgtype": kind}, {}, content):
            await self._socket.write_message(json.dumps(part))
        return number

    async def _receive(self) -> tuple[dict[str, Any], dict[str, Any]]:
        header, _, content = [json.loads(await self._read()) for _ in range(3)]
        for _ in range(header.get("num_buffers", 0)):
            await self._read()
            await self._read()
        assert header["msgtype"] != "ERROR", content
        assert "pixlab-notice" not in json.dumps(content), content
        return header, content

    async def _read(self) -> Any:
        assert self._socket is not None
        part = await self._socket.read_message()
        assert part is not None, "the server has closed the page"
        return part

    def _learn(self, part: Any) -> None:
        if isinstance(part, dict):
            if part.get("type") == "object" and "id" in part:
                self.models[part["id"]] = part.get("attributes", {})
            for value in part.values():
                self._learn(value)
        elif isinstance(part, list):
            for value in part:
                self._learn(value)


@dataclass
class Load:
    """What many visitors at once have met."""

    seconds: list[float] = field(default_factory=list)  # of each change
    resident: list[float] = field(default_factory=list)  # MB, in even steps of time
    cpu: float = 0.0  # seconds of the server


async def load(
    server: Server, *, visitors: int, changes: int, label: str, values: Sequence[int], pause: float
) -> Load:
    """Let visitors change a slider every `pause` seconds, each through all values and again.

    Parameters
    ----------
    server : Server
        Where.
    visitors, changes : int
        How many, and how often each.
    label : str
        Of the slider.
    values : sequence of int
        Its values, two at least.
    pause : float
        Seconds from one change to the next.
    """
    met = Load()
    crowd = [Visitor(server.address) for _ in range(visitors)]
    for one in crowd:
        await one.enter()
    before = server.cpu

    async def change(one: Visitor, place: int) -> None:
        await asyncio.sleep(pause * place / visitors)
        turn = itertools.cycle(values)
        for _ in range(place):
            next(turn)
        for _ in range(changes):
            due = time.perf_counter() + pause
            at = one.value(label)
            met.seconds.append(await one.choose(label, next(v for v in turn if v != at)))
            await asyncio.sleep(max(due - time.perf_counter(), 0))

    async def watch() -> None:
        while True:
            met.resident.append(server.resident)
            await asyncio.sleep(pause)

    watching = asyncio.create_task(watch())
    try:
        await asyncio.gather(*(change(one, place) for place, one in enumerate(crowd)))
    finally:
        watching.cancel()
        for one in crowd:
            one.leave()
    met.cpu = server.cpu - before
    return met
