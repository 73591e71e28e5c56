"""One connection: which bytes are a request, how long they may take, and in which order requests are answered.

uvicorn's protocol with its own reading: a header is parsed when it is whole, a request is handed to the application
when its body has arrived, and the next one is looked at when the one before is answered. So a request that turns out
malformed was never routed (threats A1 to A4), and answers cannot be mixed up (threats A16).
"""

import asyncio
from enum import Enum
from http import HTTPStatus
from typing import Any, cast

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from aldaba.web.door import Door
from aldaba.web.exchange import Exchange, neutral_answer
from aldaba.web.framing import CHUNKED, ChunkedBody, Unroutable, check_unfinished
from aldaba.web.heads import Head, HeadReader, check_size
from aldaba.web.tls import shown_by_peer

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Phase(Enum):
    """What a connection is doing, which says how long it may go on."""

    IDLE = "idle"
    HEADER = "header"
    BODY = "body"
    ANSWERING = "answering"
    CLOSING = "closing"


class HttpProtocol(HttpToolsProtocol):
    """A connection of a caller.

    Args:
        config: uvicorn's, of which the application is used.
        server_state: uvicorn's, with the connections and tasks of the process.
    """

    def __init__(self, config: Config, server_state: ServerState, door: Door, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(config, server_state, app_state={}, _loop=loop)
        # Headers are read by `HeadReader`, bodies here.
        self.parser = None  # type: ignore[assignment]
        self.door = door
        self.stopping = False
        # Set while the TLS handshake runs, in which there is no transport yet.
        self.handshake: asyncio.Task[None] | None = None
        self._limits = door.limits
        self._phase = Phase.IDLE
        self._since_s = loop.time()
        self._write_paused_s: float | None = None
        self._read_paused_s: float | None = None
        self._heads: HeadReader | None = None
        self._exchange: Exchange | None = None
        # What has arrived of a header that is not whole, and what has arrived before its turn.
        self._head_start = bytearray()
        self._held = b""
        self._held_at = 0
        # Of the body that is arriving.
        self._left = 0
        self._chunks: ChunkedBody | None = None
        self._discarded = 0

    # --- the transport's side ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin with what is the same for all requests of the connection."""
        transport = cast(asyncio.Transport, transport)
        super().connection_made(transport)
        ssl_object = transport.get_extra_info("ssl_object")
        if ssl_object is None and not (self.client and self.door.admission.enter(self, self.client[0])):
            self._phase = Phase.CLOSING
            transport.abort()
            return
        self.handshake = None
        self._since_s = self.loop.time()
        self._heads = HeadReader(self.door, self._scope(ssl_object))
        self.door.heartbeat.connections.add(self)

    def _scope(self, ssl_object: Any) -> dict[str, Any]:
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,
            "root_path": "",
            "extensions": {} if ssl_object is None else {"tls": shown_by_peer(ssl_object)},
        }

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget everything, and tell the application that the caller is gone."""
        super().connection_lost(exc)
        self._phase = Phase.CLOSING
        self._held = b""
        self._head_start = bytearray()
        if self._heads is not None:
            self._heads.close()
        self.door.heartbeat.connections.discard(self)
        self.door.admission.leave(self)
        if self._exchange is not None:
            self._exchange.disconnect()

    def data_received(self, data: bytes, at: int = 0) -> None:
        """Read what has arrived, or keep it until it is its turn."""
        if self._phase is Phase.CLOSING:
            self._discard(data)
            return
        try:
            self._read(data, at)
        except Unroutable as refusal:
            self._refuse(refusal)

    def eof_received(self) -> bool:  # type: ignore[override]
        """Answer a caller who has sent his request and shut his side, as `nc` does."""
        if self._phase is not Phase.ANSWERING or self.scheme == "https" or self._exchange is None:
            return False
        self._exchange.keep_alive = False
        return True

    def pause_writing(self) -> None:
        """Note since when the caller takes no more of his answer."""
        super().pause_writing()
        self._write_paused_s = self.loop.time()

    def resume_writing(self) -> None:
        """Go on: the caller has taken some."""
        super().resume_writing()
        self._write_paused_s = None

    # --- reading: each function takes what has arrived from an offset on, and returns how far it got ---

    def _read(self, data: bytes, at: int = 0) -> None:
        while at < len(data):
            if self._phase is Phase.ANSWERING:
                self._hold(data, at)
                return
            at = self._read_body(data, at) if self._phase is Phase.BODY else self._read_head(data, at)

    def _hold(self, data: bytes, at: int) -> None:
        """Keep what has arrived before its turn: at most what the transport reads at once, since it then pauses."""
        if self._held:
            data, at = self._held[self._held_at :] + data[at:], 0
        self._held, self._held_at = data, at
        self.flow.pause_reading()

    def _read_head(self, data: bytes, at: int) -> int:
        end = data.find(b"\r\n\r\n", at) + 4
        if self._head_start or end < 4 or data[at] == 0x0D:
            return self._read_split_head(data, at)
        return self._begin(data[at:end], data, end)

    def _read_split_head(self, data: bytes, at: int) -> int:
        """Read a header that comes in pieces, or after an empty line (RFC 9112, section 2.2)."""
        pending = self._head_start
        if not pending and data.startswith(b"\r\n", at):
            at += 2
        start = len(pending)
        pending += data[at:]
        end = pending.find(b"\r\n\r\n", max(0, start - 3)) + 4
        if end >= 4:
            self._head_start = bytearray()
            return self._begin(bytes(pending[:end]), data, at + end - start)
        if pending:
            check_unfinished(pending, start)
            check_size(pending, self._limits)
        if pending and self._phase is Phase.IDLE:
            self._enter(Phase.HEADER)
        return len(data)

    def _begin(self, head_bytes: bytes, data: bytes, at: int) -> int:
        """Begin an exchange with a whole header; its body begins at the offset, as far as it is there."""
        head = cast(HeadReader, self._heads).read(head_bytes)
        scope = head.scope.copy()
        scope["headers"] = scope["headers"].copy()
        exchange = self._exchange = Exchange(self, scope, keep_alive=head.keep_alive, http_1_0=head.http_1_0)
        there = len(data) - at
        if not 0 <= head.length <= there:
            self._await_body(exchange, head, is_silent=not there)
            return at
        end = at + head.length
        exchange.body = data[at:end]
        self._phase = Phase.ANSWERING
        self._call(exchange)
        return end

    def _await_body(self, exchange: Exchange, head: Head, *, is_silent: bool) -> None:
        exchange.more_body = True
        self._left = head.length
        self._chunks = ChunkedBody() if head.length == CHUNKED else None
        self._enter(Phase.BODY)
        continues = head.expects_continue and is_silent
        if head.length > self._limits.body_bytes:
            # More than is gathered here: the application may refuse it before any of it is sent.
            exchange.continues = continues
            self._call(exchange)
        elif continues:
            self.send_continue()

    def _read_body(self, data: bytes, at: int) -> int:
        exchange = cast(Exchange, self._exchange)
        part, at, more = self._body_part(data, at)
        exchange.add(part, more_body=more)
        if more and len(exchange.body) <= self._limits.body_bytes:
            return at
        if more:
            self._pause_reading()
        else:
            self._phase = Phase.ANSWERING
        if exchange.task is None:
            self._call(exchange)
        return at

    def _body_part(self, data: bytes, at: int) -> tuple[bytes, int, bool]:
        """Return what there is of the body, where it ends, and whether there is more to come."""
        if self._chunks is None:
            part = data[at : at + self._left]
            self._left -= len(part)
            return part, at + len(part), self._left > 0
        part, after = self._chunks.feed(data[at:])
        return part, len(data) - len(after or b""), after is None

    def _call(self, exchange: Exchange) -> None:
        exchange.task = self.loop.create_task(exchange.run(self.app))
        # The loop keeps no task alive by itself.
        self.tasks.add(exchange.task)

    def _pause_reading(self) -> None:
        self._read_paused_s = self.loop.time()
        self.flow.pause_reading()

    # --- the application's side ---

    def read_on(self) -> None:
        """Read more of the body: the application has taken what there was."""
        if self._read_paused_s is not None and self._phase is Phase.BODY:
            # The caller is not to blame for the time in which we did not read.
            self._since_s += self.loop.time() - self._read_paused_s
            self._read_paused_s = None
            self.flow.resume_reading()

    def send_continue(self) -> None:
        """Tell the caller to send the body (RFC 9110, section 10.1.1)."""
        self.write(_CONTINUE)

    def write(self, data: bytes) -> None:
        """Send to the caller, if he is still there."""
        if not self.transport.is_closing():
            self.transport.write(data)

    def abort(self) -> None:
        """Cut the connection: what was sent must not look whole."""
        self.transport.abort()

    def on_answered(self, exchange: Exchange) -> None:
        """Go on to the next request, or close."""
        self.server_state.total_requests += 1
        if self._phase is not Phase.ANSWERING or not exchange.keep_alive:
            self._close_after_answer()
            return
        self._exchange = None
        self._enter(Phase.IDLE)
        if self._held:
            held, self._held = self._held, b""
            self.flow.resume_reading()
            self.data_received(held, self._held_at)

    # --- the end ---

    def refuse(self, status: HTTPStatus, detail: str) -> None:
        """Answer neutrally and close."""
        self._refuse(Unroutable(status, detail))

    def _refuse(self, refusal: Unroutable) -> None:
        exchange = self._exchange
        if exchange is not None:
            exchange.disconnect()
        if exchange is not None and exchange.started:
            self.abort()
            return
        lines = [self.door.heartbeat.date_line]
        if self.door.on_refused is not None and self.client is not None:
            request_id = self.door.on_refused(self.client[0], refusal.status, refusal.detail)
            lines += [b"x-request-id: %b\r\n" % request_id.encode("ascii")] if request_id else []
        lines += [b"%b: %b\r\n" % header for header in refusal.headers]
        self.write(neutral_answer(refusal.status, lines))
        self._linger()

    def _close_after_answer(self) -> None:
        if self._phase is Phase.BODY or self._held:
            self._linger()
            return
        self._enter(Phase.CLOSING)
        self.transport.close()

    def _linger(self) -> None:
        """Close our side, and throw away what is still sent for a while.

        Closing with unread bytes makes the system reset the connection, and the answer may be lost on the way.
        """
        self._enter(Phase.CLOSING)
        self._held = b""
        self._head_start = bytearray()
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def _discard(self, data: bytes) -> None:
        self._discarded += len(data)
        if self._discarded > self._limits.linger_bytes:
            self.transport.close()

    def shutdown(self) -> None:
        """Answer what was accepted, and close; without a request, close at once."""
        self.stopping = True
        if self._phase not in (Phase.BODY, Phase.ANSWERING):
            self._enter(Phase.CLOSING)
            self.transport.close()

    # --- deadlines and caps ---

    def _enter(self, phase: Phase) -> None:
        self._phase = phase
        self._since_s = self.loop.time()

    def keep_deadline(self, now_s: float) -> None:
        """Close when the caller takes too long (threats A8)."""
        limits = self._limits
        if self._write_paused_s is not None and now_s - self._write_paused_s > limits.slow_reader_s:
            self.abort()
            return
        waited_s = now_s - self._since_s
        match self._phase:
            case Phase.IDLE if waited_s > limits.idle_s:
                self._hang_up()
            case Phase.HEADER if waited_s > limits.header_s:
                self.refuse(HTTPStatus.REQUEST_TIMEOUT, "a header that takes too long")
            case Phase.BODY if waited_s > limits.body_s and self._read_paused_s is None:
                self.refuse(HTTPStatus.REQUEST_TIMEOUT, "a body that takes too long")
            case Phase.CLOSING if waited_s > (limits.slow_reader_s if self._unsent else limits.linger_s):
                self.abort()
            case _:
                pass

    def _hang_up(self) -> None:
        # Closing would wait until an answer that was not taken is taken.
        if self._unsent:
            self.abort()
        else:
            self.transport.close()

    @property
    def _unsent(self) -> int:
        return self.transport.get_write_buffer_size()

    @property
    def waiting_since(self) -> float | None:
        """Since when the caller has owed us bytes; None while he does not."""
        return None if self._phase in (Phase.ANSWERING, Phase.CLOSING) else self._since_s

    def evict(self) -> None:
        """Make room for another connection."""
        self._phase = Phase.CLOSING
        if self.handshake is not None:
            self.handshake.cancel()
        else:
            self.transport.abort()
