"""Accepts TLS connections: the caps before the handshake, the context of the moment, and the reason of a refusal.

A loop's own server would do the handshake first and show the protocol what is left, so that half-open handshakes were
counted nowhere and refused certificates seen by nobody.
"""

import asyncio
import socket
import ssl
import sys
from collections.abc import Callable

import structlog

from aldaba.web.door import Door
from aldaba.web.protocol import HttpProtocol

log = structlog.get_logger()

# Told of a handshake that was refused: address, and OpenSSL's reason.
OnHandshakeRefused = Callable[[str, str], None]

_AT_ONCE = 64
_PAUSE_S = 0.1


class Handshakes:
    """The accepting side of one listening socket.

    Args:
        context: gives the context in force.
        protocol: makes the connection's protocol.
    """

    def __init__(
        self,
        listening: socket.socket,
        door: Door,
        context: Callable[[], ssl.SSLContext],
        protocol: Callable[[], HttpProtocol],
        on_refused: OnHandshakeRefused | None,
    ) -> None:
        self._listening = listening
        self._door = door
        self._context = context
        self._protocol = protocol
        self._on_refused = on_refused
        # In the order in which they began.
        self._running: dict[asyncio.Task[None], None] = {}
        self._accepting = False

    def start(self) -> None:
        """Accept connections on the running loop until `close`."""
        self._loop = asyncio.get_running_loop()
        self._accepting = True
        self._loop.add_reader(self._listening.fileno(), self._accept)

    def close(self) -> None:
        """Accept no more, and give up what is half done."""
        self._accepting = False
        self._loop.remove_reader(self._listening.fileno())
        for task in tuple(self._running):
            task.cancel()

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                connection, address = self._listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                # Out of descriptors or memory: the connection stays in the queue until there is room.
                log.error("cannot accept connections", error=str(error))
                self._loop.remove_reader(self._listening.fileno())
                self._loop.call_later(_PAUSE_S, self._resume)
                return
            self._begin(connection, address[0])

    def _resume(self) -> None:
        if self._accepting:
            self._loop.add_reader(self._listening.fileno(), self._accept)

    def _begin(self, connection: socket.socket, address: str) -> None:
        protocol = self._protocol()
        if not self._door.admission.enter(protocol, address):
            connection.close()
            return
        if len(self._running) >= self._door.limits.handshakes:
            oldest = next(iter(self._running))
            del self._running[oldest]
            oldest.cancel()
        task = self._loop.create_task(self._shake(connection, address, protocol))
        protocol.handshake = task
        self._running[task] = None

        def ended(_task: asyncio.Task[None]) -> None:
            self._running.pop(task, None)
            if protocol.handshake is not None:
                self._door.admission.leave(protocol)
                connection.close()

        task.add_done_callback(ended)

    async def _shake(self, connection: socket.socket, address: str, protocol: HttpProtocol) -> None:
        connection.settimeout(0)
        limits = self._door.limits
        try:
            await self._loop.connect_accepted_socket(
                lambda: protocol,
                connection,
                ssl=self._context(),
                ssl_handshake_timeout=limits.handshake_s,
                # It covers what is still to be sent as well.
                ssl_shutdown_timeout=limits.slow_reader_s,
            )
            _acknowledge(connection)
        except ssl.SSLError as error:
            if self._on_refused is not None:
                self._on_refused(address, _reason(error))
        except OSError:
            # Gone, or too slow: nothing was refused.
            return


def _acknowledge(connection: socket.socket) -> None:
    """Acknowledge the end of the handshake at once.

    Without tickets we have nothing to send then, and the system would wait 40 ms for something; a caller with Nagle's
    algorithm does not send his request before.
    """
    if sys.platform == "linux":
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


def _reason(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    return (error.reason or "unknown").lower().replace("_", " ")
