"""Parses the header of a request, whole, with llhttp, and applies the rules of `framing` to it."""

from http import HTTPStatus
from typing import Any

import httptools
import msgspec

from aldaba.web.door import Door
from aldaba.web.framing import CHUNKED, Unroutable, check_coding_line, decoded_path, is_http_1_0, malformed, read_rules
from aldaba.web.limits import Limits

# A header of this size or less is remembered, to be recognised when the next one is the same.
_KEPT = 4 * 1024


class Head(msgspec.Struct, frozen=True):
    """A header that was parsed and checked.

    Args:
        scope: of ASGI, to be copied for each request.
        length: of the body in bytes, or `CHUNKED`.
        keep_alive: another request may follow on the connection.
        expects_continue: the caller waits for `100 Continue` before sending the body.
    """

    scope: dict[str, Any]
    length: int
    keep_alive: bool
    http_1_0: bool
    expects_continue: bool


class HeadReader:
    """Reads the headers of one connection.

    Callers that keep a connection mostly send the same header again; the same bytes always mean the same, so it is
    recognised instead of parsed.

    Args:
        scope: what is the same for all requests of the connection.
    """

    def __init__(self, door: Door, scope: dict[str, Any]) -> None:
        self._door = door
        self._limits = door.limits
        self._scope = scope
        self._parser: httptools.HttpRequestParser | None = None
        self._target = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._keeps_alive: bool | None = None
        self._last_bytes = b""
        self._last: Head | None = None

    def read(self, head: bytes) -> Head:
        """Return what a header means, from its first byte to the empty line.

        Raises:
            Unroutable: it is malformed, too large, or for somebody else.
        """
        if self._last is not None and head == self._last_bytes:
            return self._last
        self._last = self._read(head)
        self._last_bytes = head if len(head) <= _KEPT else b""
        return self._last

    def _read(self, head: bytes) -> Head:
        check_size(head, self._limits)
        parser = self._parser = self._parser or httptools.HttpRequestParser(self)
        self._parse(parser, head)
        method, target, headers = parser.get_method(), self._target, self._headers
        http_1_0 = is_http_1_0(head, method, target)
        if len(target) > self._limits.target_bytes:
            raise Unroutable(HTTPStatus.REQUEST_URI_TOO_LONG, "a target that is too long")
        if len(headers) > self._limits.header_count:
            raise Unroutable(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"{len(headers)} header fields")
        rules = read_rules(headers, http_1_0=http_1_0)
        if rules.length == CHUNKED:
            check_coding_line(head)
        self._door.check_host(rules.host)
        # After a header with a body the parser waits for one, which it does not get: bodies are not its part.
        if rules.length:
            self._parser = None
        scope = self._scope_of(method, target, http_1_0=http_1_0)
        keep_alive = self._keeps_alive is True and not http_1_0
        return Head(scope, rules.length, keep_alive, http_1_0, rules.expects_continue)

    def _parse(self, parser: httptools.HttpRequestParser, head: bytes) -> None:
        try:
            parser.feed_data(head)
        except httptools.HttpParserUpgrade as error:
            # The wish for another protocol is ignored (RFC 9110, section 7.8).
            if parser.get_method() == b"CONNECT":
                # Its target is no resource of ours, so no method is allowed on it (threats A15).
                raise Unroutable(HTTPStatus.METHOD_NOT_ALLOWED, "CONNECT", ((b"allow", b""),)) from error
        except httptools.HttpParserError as error:
            raise malformed(str(error)) from error
        if self._keeps_alive is None:
            raise malformed("a header that does not end where it should")

    def _scope_of(self, method: bytes, target: bytes, *, http_1_0: bool) -> dict[str, Any]:
        raw_path, _, query = target.partition(b"?")
        scope = self._scope.copy()
        scope["method"] = method.decode("ascii")
        scope["path"] = decoded_path(raw_path)
        scope["raw_path"] = raw_path
        scope["query_string"] = query
        scope["headers"] = self._headers
        if http_1_0:
            scope["http_version"] = "1.0"
        return scope

    def close(self) -> None:
        """Let go of the parser, which holds on to this reader."""
        self._parser = None

    # --- called by the parser ---

    def on_message_begin(self) -> None:
        """Begin a header."""
        self._target = b""
        self._headers = []
        self._keeps_alive = None

    def on_url(self, target: bytes) -> None:
        """Take a part of the target."""
        self._target += target

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a field; white space around its value is no part of it (RFC 9110, section 5.5)."""
        self._headers.append((name.lower(), value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        """End the header; a message without a body ends with it, and then the parser no longer knows."""
        self._keeps_alive = self._parser is not None and self._parser.should_keep_alive()


def check_size(head: bytes | bytearray, limits: Limits) -> None:
    """Check the size of a header, or of what there is of it (threats A5).

    Raises:
        Unroutable: 414 when it is the target that is too long, otherwise 431.
    """
    if len(head) > limits.target_bytes:
        line = head.find(b"\r\n")
        # Method and version are the rest of the line.
        if (len(head) if line < 0 else line) > limits.target_bytes + 32:
            raise Unroutable(HTTPStatus.REQUEST_URI_TOO_LONG, "a target that is too long")
    if len(head) > limits.header_bytes:
        raise Unroutable(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "a header that is too long")
