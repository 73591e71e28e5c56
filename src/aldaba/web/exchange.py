"""One request and its answer, as ASGI has it: what the application receives and sends.

It writes an answer in one piece where it can: one system call, one TLS record.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import structlog
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

if TYPE_CHECKING:
    from aldaba.web.protocol import HttpProtocol

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Headers = Iterable[tuple[bytes, bytes]]
App = Callable[[Scope, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]

log = structlog.get_logger()

_DISCONNECT: Message = {"type": "http.disconnect"}
_BODYLESS = frozenset({204, 304})


class Exchange:
    """A request that is being answered.

    Args:
        keep_alive: the connection may carry another request after this one.
        http_1_0: the caller knows no chunked answers.
    """

    __slots__ = (
        "_connection",
        "_delivered",
        "_disconnected",
        "_headers",
        "_left",
        "_news",
        "_status",
        "answered",
        "body",
        "continues",
        "http_1_0",
        "keep_alive",
        "more_body",
        "scope",
        "started",
        "task",
    )

    def __init__(
        self, connection: "HttpProtocol", scope: Scope, *, keep_alive: bool, http_1_0: bool, body: bytes = b""
    ) -> None:
        self._connection = connection
        self.scope = scope
        self.keep_alive = keep_alive
        self.http_1_0 = http_1_0
        self.body: bytes | bytearray = body
        self.more_body = False
        self.continues = False
        self.started = False
        self.answered = False
        self.task: asyncio.Task[None] | None = None
        self._delivered = False
        self._disconnected = False
        self._news: asyncio.Event | None = None
        self._status = 0
        self._headers: Headers = ()
        # Bytes of the body still to be sent under the announced length; None when the answer is chunked.
        self._left: int | None = 0

    async def run(self, app: App) -> None:
        """Call the application, and answer for it when it fails."""
        try:
            await app(self.scope, self.receive, self.send)
            if not self.answered and not self._disconnected:
                log.error("the application has not answered")
                self._fail()
        except Exception:
            log.exception("the application failed")
            self._fail()
        except BaseException:
            # Cancelled at the end of the grace: what is half answered must not look whole.
            self._connection.abort()
            raise
        finally:
            self._connection.tasks.discard(self.task)

    def _fail(self) -> None:
        if self.answered or self._disconnected:
            return
        if self.started:
            self._connection.abort()
        else:
            self._connection.refuse(HTTPStatus.INTERNAL_SERVER_ERROR, "the application failed")

    # --- what the application receives ---

    async def receive(self) -> Message:
        """Return the next part of the body; after its end, wait for the caller to go away."""
        while not (self.body or self._is_over or self._has_undelivered_end):
            await self._wait()
        if self._is_over:
            return _DISCONNECT
        body, self.body = bytes(self.body), b""
        self._delivered = not self.more_body
        return {"type": "http.request", "body": body, "more_body": self.more_body}

    @property
    def _is_over(self) -> bool:
        return self._disconnected or self.answered

    @property
    def _has_undelivered_end(self) -> bool:
        return not (self.more_body or self._delivered)

    async def _wait(self) -> None:
        if self.continues:
            self.continues = False
            self._connection.send_continue()
        self._connection.read_on()
        if self._news is None:
            self._news = asyncio.Event()
        self._news.clear()
        await self._news.wait()

    def add(self, data: bytes, *, more_body: bool) -> None:
        """Take what has arrived of the body."""
        if not self.body:
            self.body = data
        else:
            if isinstance(self.body, bytes):
                self.body = bytearray(self.body)
            self.body += data
        self.more_body = more_body
        self.wake()

    def disconnect(self) -> None:
        """Note that the caller is gone."""
        self._disconnected = True
        self.wake()

    def wake(self) -> None:
        """Let a waiting `receive` look again."""
        if self._news is not None:
            self._news.set()

    # --- what the application sends ---

    async def send(self, message: Message) -> None:
        """Take one message of the answer.

        Raises:
            RuntimeError: it is out of order, or does not fit what was announced.
        """
        connection = self._connection
        if connection.flow.write_paused and not self._disconnected:
            await connection.flow.drain()
        if self._disconnected:
            return
        kind = message["type"]
        if kind == "http.response.start" and not self._status:
            self._status = message["status"]
            self._headers = message.get("headers", ())
        elif kind == "http.response.body" and self._status and not self.answered:
            self._send_body(message.get("body", b""), more=message.get("more_body", False))
        else:
            raise RuntimeError(f"{kind!r} out of order")

    def _send_body(self, body: bytes, *, more: bool) -> None:
        head = b"" if self.started else self._head(len(body), more=more)
        bare = self.scope["method"] == "HEAD" or self._status in _BODYLESS
        data = b"" if bare else self._framed(body, more=more)
        if self._left and not (more or bare):
            raise RuntimeError("the answer is shorter than its Content-Length")
        self.started = True
        self._connection.write(head + data)
        if not more:
            self.answered = True
            self.wake()
            self._connection.on_answered(self)

    def _head(self, size: int, *, more: bool) -> bytes:
        if self.more_body or self._connection.stopping:
            # The rest of the body is not read, so the next request could not be found.
            self.keep_alive = False
        self._left = None if more else size
        parts = [STATUS_LINE[self._status], self._connection.door.heartbeat.date_line]
        lines = 2
        measured = closes = False
        for name, value in self._headers:
            lower = name.lower()
            if lower == b"content-length":
                measured = True
                self._left = int(value)
            elif lower == b"connection" and value.lower() == b"close":
                closes = True
                self.keep_alive = False
            parts += (lower, b": ", value, b"\r\n")
            lines += 1
        if not measured and (line := self._length_line()):
            parts.append(line)
            lines += 1
        if not self.keep_alive and not closes:
            parts.append(b"connection: close\r\n")
            lines += 1
        head = b"".join(parts)
        # A line break in a value would make the answer say more than the application means.
        if head.count(b"\n") != lines or head.count(b"\r") != lines or b"\x00" in head:
            raise RuntimeError("a line break or NUL in a header of the answer")
        return head + b"\r\n"

    def _length_line(self) -> bytes:
        if self._status in _BODYLESS:
            return b""
        if self._left is not None:
            return b"content-length: %d\r\n" % self._left
        # To HTTP/1.0 the end of the connection is the end of the answer (RFC 9112, section 6.3).
        return b"" if self.http_1_0 else b"transfer-encoding: chunked\r\n"

    def _framed(self, body: bytes, *, more: bool) -> bytes:
        if self._left is not None:
            self._left -= len(body)
            if self._left < 0:
                raise RuntimeError("the answer is longer than its Content-Length")
            return body
        if self.http_1_0:
            return body
        last = b"" if more else b"0\r\n\r\n"
        return b"%x\r\n%b\r\n%b" % (len(body), body, last) if body else last


def neutral_answer(status: HTTPStatus, lines: Iterable[bytes] = ()) -> bytes:
    """Return a whole answer that belongs to no dialect; the connection is closed after it."""
    body = b'{"status":%d,"error":"%b"}' % (status, status.phrase.encode("ascii"))
    return b"".join(
        (
            STATUS_LINE[status],
            *lines,
            b"content-type: application/json\r\ncache-control: no-store\r\nconnection: close\r\n",
            b"content-length: %d\r\n\r\n" % len(body),
            body,
        )
    )
