"""Where a request ends and whom it is for: the rules of RFC 9112 that are checked beyond what llhttp checks.

Two programs that disagree on either let a caller slip a request past the first one (request smuggling), so everything
that could be read in two ways is refused (threats A1 to A4).
"""

import re
from http import HTTPStatus
from urllib.parse import unquote_to_bytes

import msgspec

CHUNKED = -1

_LENGTH_DIGITS = 15
_HOST = re.compile(rb"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_BARE_LINE_END = re.compile(rb"(?<!\r)\n|\r[^\n]|\x00")
_CODING_LINE = re.compile(rb"\r\ntransfer-encoding: ?chunked\r\n", re.IGNORECASE)
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})(?:;[\t -~]*)?")
_CHUNK_SIZE_START = re.compile(rb"[0-9A-Fa-f]{1,16}(?:;[\t -~]*)?\r?")
_CHUNK_LINE = 256

# The header fields that say something about the connection itself.
_RULED = frozenset({b"content-length", b"expect", b"host", b"transfer-encoding"})


class Unroutable(Exception):
    """A request that is refused before any dialect is known; answered neutrally, and the connection is closed.

    Args:
        status: of the neutral answer.
        detail: for the operator; the caller learns the status only.
        headers: that the status asks for.
    """

    def __init__(self, status: HTTPStatus, detail: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers


def malformed(detail: str) -> Unroutable:
    """Return the refusal of a request that is not HTTP/1.1 as we read it."""
    return Unroutable(HTTPStatus.BAD_REQUEST, detail)


class Rules(msgspec.Struct, frozen=True):
    """What the header says of the body and of the host.

    Args:
        length: of the body in bytes, or `CHUNKED`.
        expects_continue: the caller waits for `100 Continue` before sending the body.
    """

    length: int
    expects_continue: bool
    host: bytes


def read_rules(headers: list[tuple[bytes, bytes]], *, http_1_0: bool) -> Rules:
    """Return what the header says of the body and of the host (threats A1, A2, A4).

    Raises:
        Unroutable: it says so twice, not at all, or in an odd way.
    """
    said = dict(headers)
    if len(said) != len(headers):
        _refuse_doubled([name for name, _ in headers if name in _RULED])
    host = said.get(b"host")
    if host is None:
        raise malformed("no Host")
    length = _length(said.get(b"content-length"), said.get(b"transfer-encoding"), http_1_0=http_1_0)
    expects_continue = b"expect" in said and said[b"expect"].lower() == b"100-continue" and not http_1_0
    return Rules(length, expects_continue, host)


def _refuse_doubled(names: list[bytes]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise malformed(f"{name.decode()} twice")


def _length(length: bytes | None, coding: bytes | None, *, http_1_0: bool) -> int:
    if coding is None:
        if length is None:
            return 0
        if not length.isdigit() or len(length) > _LENGTH_DIGITS:
            raise malformed("an odd Content-Length")
        return int(length)
    # RFC 9112, section 6.1: with both, or from HTTP/1.0, somebody in between has framed it in another way.
    if length is not None or http_1_0 or coding.lower() != b"chunked":
        raise malformed("an odd Transfer-Encoding")
    return CHUNKED


def check_coding_line(head: bytes) -> None:
    """Check that `Transfer-Encoding` is spelt in the one way that nobody reads differently (threats A2).

    White space around the value is allowed, and has been used to hide it from the program in front.

    Raises:
        Unroutable: it is spelt in another way.
    """
    if not _CODING_LINE.search(head):
        raise malformed("an odd Transfer-Encoding")


def host_name(host: bytes) -> str:
    """Return the name or address in a `Host` header, in lower case, without its port and the brackets of IPv6.

    Raises:
        Unroutable: it is none (threats A4).
    """
    found = _HOST.fullmatch(host)
    if found is None:
        raise malformed("an odd Host")
    return found[1].decode("ascii").lower().strip("[]")


def is_http_1_0(head: bytes, method: bytes, target: bytes) -> bool:
    """Check that the line is exactly `method target HTTP/1.x`, the target a path or `*`; return whether x is 0.

    llhttp accepts repeated spaces, RTSP and ICE, and versions 0.9 and 2.0.

    Raises:
        Unroutable: it is anything else (threats A3, A4).
    """
    at = len(method) + 1 + len(target)
    ending = head[at : at + 11]
    if ending not in (b" HTTP/1.1\r\n", b" HTTP/1.0\r\n"):
        raise malformed("an odd request line")
    if not target.startswith(b"/") and not (target == b"*" and method == b"OPTIONS"):
        raise malformed("a target that is no path")
    if b"#" in target:
        raise malformed("a target with a fragment")
    return ending == b" HTTP/1.0\r\n"


def check_unfinished(head: bytearray, start: int) -> None:
    """Check what there is of a header, so that what can never become one is refused at once (threats A3, A16).

    Args:
        start: how much of it was checked before.

    Raises:
        Unroutable: it cannot be the beginning of a request.
    """
    if not 0x41 <= head[0] <= 0x5A:
        # TLS on the plain port begins with 0x16.
        raise malformed("no method")
    if _BARE_LINE_END.search(head, max(0, start - 1)):
        raise malformed("a line that does not end with CR LF")


def decoded_path(raw: bytes) -> str:
    """Return the path, percent-decoded once (threats A6).

    What has no plain spelling (a slash or control character that was escaped, text that is not UTF-8) stays escaped:
    no route is named so, and it cannot become another route's name.
    """
    if b"%" not in raw:
        return raw.decode("ascii")
    decoded = unquote_to_bytes(raw)
    if decoded.count(b"/") == raw.count(b"/"):
        try:
            text = decoded.decode("utf-8")
        except UnicodeDecodeError:
            return raw.decode("ascii")
        if text.isprintable():
            return text
    return raw.decode("ascii")


class ChunkedBody:
    """Decodes a chunked body (RFC 9112, section 7.1), stricter than llhttp: sizes of at most 16 digits, no trailers."""

    __slots__ = ("_ending", "_kept", "_left")

    def __init__(self) -> None:
        self._left = 0
        self._kept = b""
        # The CR LF that ends a chunk, or after a chunk of size 0 the body.
        self._ending: bytes | None = None

    def feed(self, data: bytes) -> tuple[bytes, bytes | None]:
        """Return what the data holds of the body, and what comes after the body; None while there is more of it.

        Raises:
            Unroutable: a chunk is malformed.
        """
        data, self._kept = self._kept + data, b""
        pieces: list[bytes] = []
        at = 0
        while at < len(data):
            if self._left:
                piece = data[at : at + self._left]
                pieces.append(piece)
                at += len(piece)
                self._left -= len(piece)
                continue
            end = data.find(b"\r\n", at)
            if end < 0:
                self._keep(data[at:])
                break
            line, at = data[at:end], end + 2
            if self._take(line):
                return b"".join(pieces), data[at:]
        return b"".join(pieces), None

    def _keep(self, start_of_line: bytes) -> None:
        fits = start_of_line == b"\r" if self._ending is not None else _CHUNK_SIZE_START.fullmatch(start_of_line)
        if not fits or len(start_of_line) > _CHUNK_LINE:
            raise malformed("an odd chunk")
        self._kept = start_of_line

    def _take(self, line: bytes) -> bool:
        """Take a whole line; return whether it was the last one."""
        ending, self._ending = self._ending, None
        if ending is not None:
            # A trailer field would be a header that arrives after the checks are made.
            if line:
                raise malformed("a chunk longer than it says, or a trailer")
            return ending == b"body"
        size = _CHUNK_SIZE.fullmatch(line)
        if size is None or len(line) > _CHUNK_LINE:
            raise malformed("an odd chunk size")
        self._left = int(size[1], 16)
        self._ending = b"chunk" if self._left else b"body"
        return False
