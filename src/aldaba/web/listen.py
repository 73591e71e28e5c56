"""The listeners of a process: public, mutual TLS, management; started together on one loop and stopped together."""

import asyncio
import resource
import socket
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from uvicorn.config import Config
from uvicorn.server import ServerState

from aldaba.errors import Impossible
from aldaba.model.networks import Network
from aldaba.web.admission import Admission
from aldaba.web.door import Door, OnRefused
from aldaba.web.exchange import App
from aldaba.web.handshakes import Handshakes, OnHandshakeRefused
from aldaba.web.heartbeat import Heartbeat
from aldaba.web.limits import Limits
from aldaba.web.protocol import HttpProtocol
from aldaba.web.tls import ReloadingContext

_BACKLOG = 2_048
# Descriptors for everything but connections: the database, files, the listeners themselves.
_OTHER_FILES = 128
_POLL_S = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """Where one application is reached.

    Args:
        sockets: bound, not yet listening; `bind` makes them. They are closed by `Listeners.stop`.
        context: for TLS; without it the listener speaks plain HTTP.
        hosts: names that a `Host` header may have, in lower case, without ports and brackets; None for any.
    """

    app: App
    sockets: Sequence[socket.socket]
    context: ReloadingContext | None = None
    hosts: frozenset[str] | None = None


class Listeners:
    """All listeners of a process.

    Args:
        exempt: networks of trusted proxies, for which the cap per address does not hold.
        on_refused: told of requests that were refused before they reached an application.
        on_handshake_refused: told of TLS handshakes that were refused.
        each_second: further tasks for the heartbeat; quick, and without waiting.
    """

    def __init__(
        self,
        listeners: Iterable[Listener],
        limits: Limits,
        *,
        exempt: Iterable[Network] = (),
        on_refused: OnRefused | None = None,
        on_handshake_refused: OnHandshakeRefused | None = None,
        each_second: Iterable[Callable[[], object]] = (),
    ) -> None:
        self._listeners = tuple(listeners)
        limits = fitting(limits)
        contexts = tuple(listener.context for listener in self._listeners if listener.context is not None)
        self._heartbeat = Heartbeat(limits.sweep_s, (*(context.follow for context in contexts), *each_second))
        self._on_handshake_refused = on_handshake_refused
        self.admission = Admission(limits, exempt)
        self._doors = [
            Door(limits, self.admission, self._heartbeat, listener.hosts, on_refused) for listener in self._listeners
        ]
        self._state = ServerState()
        self._servers: list[asyncio.Server | Handshakes] = []

    @property
    def connections(self) -> Collection[HttpProtocol]:
        """The open connections, without those whose TLS handshake is not done."""
        return self._heartbeat.connections

    async def start(self) -> None:
        """Listen on all of them."""
        self._heartbeat.start()
        for listener, door in zip(self._listeners, self._doors, strict=True):
            for listening in listener.sockets:
                self._servers.append(await self._serve(listener, door, listening))

    async def _serve(self, listener: Listener, door: Door, listening: socket.socket) -> asyncio.Server | Handshakes:
        loop = asyncio.get_running_loop()
        config = _uvicorn_config(listener.app)

        def protocol() -> HttpProtocol:
            return HttpProtocol(config, self._state, door, loop)

        listening.settimeout(0)
        if listener.context is None:
            return await loop.create_server(protocol, sock=listening, backlog=_BACKLOG)
        context = listener.context
        listening.listen(_BACKLOG)
        handshakes = Handshakes(listening, door, lambda: context.current, protocol, self._on_handshake_refused)
        handshakes.start()
        return handshakes

    async def stop(self, grace_s: float, then: Callable[[], Awaitable[object]] | None = None) -> None:
        """Accept no more, answer what was accepted, close idle connections, and cut what is left after the grace.

        Args:
            then: what is done when the last answer is out, such as flushing the ledger.
        """
        for server in self._servers:
            server.close()
        self._servers.clear()
        for listener in self._listeners:
            for listening in listener.sockets:
                listening.close()
        for connection in tuple(self._heartbeat.connections):
            connection.shutdown()
        until_s = time.monotonic() + grace_s
        # Two sets that others empty, waited for once in the life of a process.
        while (self._heartbeat.connections or self._state.tasks) and time.monotonic() < until_s:  # noqa: ASYNC110
            await asyncio.sleep(_POLL_S)
        await self._cut()
        self._heartbeat.stop()
        if then is not None:
            await then()

    async def _cut(self) -> None:
        tasks = tuple(self._state.tasks)
        for task in tasks:
            task.cancel()
        for connection in tuple(self._heartbeat.connections):
            connection.abort()
        if tasks:
            await asyncio.wait(tasks)


def _uvicorn_config(app: App) -> Config:
    config = Config(
        app,
        interface="asgi3",
        http=HttpProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
    )
    config.load()
    return config


def bind(host: str, port: int) -> list[socket.socket]:
    """Return sockets bound to an address, or to all addresses of `localhost`; port 0 takes a free one.

    `::` takes IPv4 as well, whose addresses are unwrapped later.

    Raises:
        Impossible: somebody else has it, or there is no such address here.
    """
    bound: list[socket.socket] = []
    try:
        for family, _kind, _protocol, _name, address in socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        ):
            free = bound[0].getsockname()[1] if bound else port
            bound.append(_bound(family, (address[0], free, *address[2:])))
    except OSError as error:
        for each in bound:
            each.close()
        raise Impossible(f"cannot listen on {host} port {port}: {error.strerror}") from error
    return bound


def _bound(family: int, address: tuple[object, ...]) -> socket.socket:
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, address[0] != "::")
        listening.bind(address)
    except OSError:
        listening.close()
        raise
    # Processes that serve together inherit it from the one that bound it.
    listening.set_inheritable(True)
    return listening


def fitting(limits: Limits) -> Limits:
    """Return the limits with no more connections than the process may have files open.

    Beyond that the system refuses before we can choose whom.
    """
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return limits
    return replace(limits, connections=max(1, min(limits.connections, files - _OTHER_FILES)))
