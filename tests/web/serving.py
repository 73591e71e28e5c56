"""Our listeners, run in a thread for tests that speak to them over real sockets, byte by byte."""

import asyncio
import json
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvloop

from aldaba.model.networks import Network
from aldaba.web.exchange import App, Message, Scope
from aldaba.web.limits import Limits
from aldaba.web.listen import Listener, Listeners, bind
from aldaba.web.tls import ReloadingContext

# Deadlines that a test can wait for. The sweep is far below them, so that each is kept nearly exactly.
QUICK = Limits(
    header_s=0.4,
    body_s=0.4,
    idle_s=0.8,
    slow_reader_s=0.6,
    handshake_s=0.4,
    linger_s=0.3,
    sweep_s=0.05,
)

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "uvloop": uvloop.new_event_loop,
    "asyncio": asyncio.new_event_loop,
}


@dataclass
class Seen:
    """What reached the application."""

    requests: list[tuple[str, str, bytes]] = field(default_factory=list)
    scopes: list[dict[str, Any]] = field(default_factory=list)


def echo(seen: Seen) -> App:
    """Return an application that notes what reaches it, and answers with method, path and body."""

    async def app(scope: Scope, receive: Callable[[], Awaitable[Message]], send: Any) -> None:
        body = await read_body(receive)
        seen.scopes.append(dict(scope))
        seen.requests.append((scope["method"], scope["path"], body))
        text = json.dumps([scope["method"], scope["path"], body.decode("latin-1")]).encode()
        await answer(send, text)

    return app


async def read_body(receive: Callable[[], Awaitable[Message]]) -> bytes:
    """Read a body to its end."""
    body = b""
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


async def answer(send: Any, body: bytes, status: int = 200, headers: Sequence[tuple[bytes, bytes]] = ()) -> None:
    """Answer in one piece."""
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": status, "headers": [length, *headers]})
    await send({"type": "http.response.body", "body": body})


@dataclass
class Served:
    """A running server."""

    port: int
    listeners: Listeners
    loop: asyncio.AbstractEventLoop
    handshakes_refused: list[tuple[str, str]]
    refused: list[tuple[str, int, str]]

    def call(self, work: Callable[[], Any]) -> Any:
        """Run a function on the server's loop and return what it returns."""

        async def run() -> Any:
            return work()

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(10)

    def stop(self, grace_s: float = 5.0, then: Callable[[], Awaitable[object]] | None = None) -> None:
        """Stop the listeners gracefully."""
        asyncio.run_coroutine_threadsafe(self.listeners.stop(grace_s, then), self.loop).result(grace_s + 10)

    def connect(self) -> socket.socket:
        """Open a connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def exchange(self, sent: bytes) -> bytes:
        """Send bytes on a new connection, shut our side, and return everything that comes back."""
        with self.connect() as connection:
            connection.sendall(sent)
            return read_all(connection)


def read_all(connection: socket.socket) -> bytes:
    """Return what comes until the connection ends."""
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


def read_answer(connection: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """Read one answer: status, headers, body."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = connection.recv(1)
        assert part, f"the connection ended after {data!r}"
        data += part
    lines = data.decode("latin-1").split("\r\n")[:-2]
    headers = dict(line.lower().split(": ", 1) for line in lines[1:])
    left = int(headers.get("content-length", "0"))
    body = b""
    while len(body) < left:
        part = connection.recv(left - len(body))
        assert part
        body += part
    return int(lines[0].split(" ")[1]), headers, body


@contextmanager
def serving(
    app: App,
    limits: Limits = QUICK,
    *,
    context: ReloadingContext | None = None,
    hosts: frozenset[str] | None = None,
    exempt: Sequence[Network] = (),
    loop: str = "uvloop",
    request_id: str | None = None,
    host: str = "127.0.0.1",
) -> Iterator[Served]:
    """Serve an application on a free port until the end of the block."""
    sockets = bind(host, 0)
    refused_handshakes: list[tuple[str, str]] = []
    refused: list[tuple[str, int, str]] = []

    def note_refused(address: str, status: int, detail: str) -> str | None:
        refused.append((address, int(status), detail))
        return request_id

    listeners = Listeners(
        [Listener(app=app, sockets=sockets, context=context, hosts=hosts)],
        limits,
        exempt=exempt,
        on_refused=note_refused,
        on_handshake_refused=lambda address, reason: refused_handshakes.append((address, reason)),
    )
    running = LOOPS[loop]()
    port = sockets[0].getsockname()[1]
    thread = threading.Thread(target=_run, args=(running, listeners))
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(listeners.start(), running).result(10)
        yield Served(port, listeners, running, refused_handshakes, refused)
    finally:
        asyncio.run_coroutine_threadsafe(listeners.stop(0.5), running).result(10)
        running.call_soon_threadsafe(running.stop)
        thread.join(10)
        running.close()


def _run(loop: asyncio.AbstractEventLoop, _listeners: Listeners) -> None:
    asyncio.set_event_loop(loop)
    loop.run_forever()
