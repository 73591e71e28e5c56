"""The rules of framing by themselves; over sockets they are tested in `test_protocol.py`."""

from contextlib import suppress
from itertools import pairwise

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aldaba.web.framing import ChunkedBody, Unroutable, decoded_path

chunked = st.lists(st.binary(min_size=1, max_size=40), max_size=6)


def encoded(chunks: list[bytes]) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"


def decoded(pieces: list[bytes]) -> tuple[bytes, bytes | None]:
    body, read = ChunkedBody(), b""
    for index, piece in enumerate(pieces):
        part, rest = body.feed(piece)
        read += part
        if rest is not None:
            return read, rest + b"".join(pieces[index + 1 :])
    return read, None


def split(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


@given(chunked, st.binary(max_size=20), st.lists(st.integers(0, 500), max_size=8))
def test_a_chunked_body_is_the_same_however_it_arrives(chunks: list[bytes], after: bytes, places: list[int]) -> None:
    pieces = split(encoded(chunks) + after, places)

    assert decoded(pieces) == (b"".join(chunks), after)


class Body:
    """What llhttp makes of the same bytes."""

    def __init__(self) -> None:
        self.body = b""
        self.ended = False

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        self.ended = True


def llhttp_reads(data: bytes) -> bytes | None:
    """Return the body that llhttp reads, None when it refuses it or waits for more."""
    seen = Body()
    parser = httptools.HttpRequestParser(seen)
    parser.feed_data(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    with suppress(httptools.HttpParserError):
        parser.feed_data(data)
    return seen.body if seen.ended else None


fragments = st.sampled_from(
    [b"\r\n", b"\r", b"\n", b"0", b"1", b"a", b"2", b";x", b" ", b"\t", b"0\r\n\r\n", b"2\r\nab\r\n"]
)


@given(st.lists(fragments, max_size=12).map(b"".join))
def test_a2_what_we_read_as_a_chunked_body_llhttp_reads_as_the_same(data: bytes) -> None:
    try:
        body, rest = decoded([data])
    except Unroutable:
        return

    if rest is not None:
        assert llhttp_reads(data) == body


@pytest.mark.parametrize("start", [b"g", b"1\n", b" ", b"\r", b";", b"1\rx", b"-", b"0" * 17, b"1;" + b"x" * 300])
def test_a2_a_chunk_that_cannot_become_good_is_refused_at_once(start: bytes) -> None:
    with pytest.raises(Unroutable):
        ChunkedBody().feed(start)


@pytest.mark.parametrize(
    "raw, path",
    [
        (b"/a/b", "/a/b"),
        (b"/a%62", "/ab"),
        (b"/caf%C3%A9", "/café"),
        (b"/a%252f", "/a%2f"),
        (b"/a%2Fb", "/a%2Fb"),
        (b"/%00", "/%00"),
        (b"/a%0d%0a", "/a%0d%0a"),
        (b"/%c0%af", "/%c0%af"),
        (b"/%ff", "/%ff"),
        (b"/%2e%2e%2ffleet", "/%2e%2e%2ffleet"),
        (b"/%zz", "/%zz"),
        (b"//fleet", "//fleet"),
    ],
)
def test_a6_a_path_is_decoded_once_and_never_becomes_another(raw: bytes, path: str) -> None:
    assert path == decoded_path(raw)
