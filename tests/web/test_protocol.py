"""What reaches the application over one connection, what does not, and what the caller hears of it."""

import asyncio
import json
import socket
import struct
import time
from collections.abc import Awaitable, Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aldaba.web.exchange import Message, Scope
from tests.web.serving import QUICK, Seen, Served, answer, echo, read_all, read_answer, read_body, serving


@pytest.fixture(scope="module")
def noted() -> Seen:
    return Seen()


@pytest.fixture(scope="module")
def running(noted: Seen) -> Iterator[Served]:
    with serving(echo(noted), hosts=frozenset({"api.example.com", "127.0.0.1", "::1"})) as served:
        yield served


@pytest.fixture
def server(running: Served, noted: Seen) -> Served:
    noted.requests.clear()
    noted.scopes.clear()
    running.refused.clear()
    return running


def request(*lines: bytes, method: bytes = b"GET", target: bytes = b"/", body: bytes = b"") -> bytes:
    head = [method + b" " + target + b" HTTP/1.1", b"Host: api.example.com", *lines]
    return b"\r\n".join(head) + b"\r\n\r\n" + body


def status(answered: bytes) -> int:
    return int(answered.split(b" ", 2)[1])


def assert_refused(server: Served, noted: Seen, sent: bytes, expected: int) -> None:
    """Check for the neutral answer, a closed connection, and an application that heard nothing."""
    answered = server.exchange(sent)
    head, _, body = answered.partition(b"\r\n\r\n")

    assert expected == status(answered)
    assert [] == noted.requests
    assert b"connection: close" in head
    assert expected == json.loads(body)["status"]
    assert [expected] == [status for _, status, _ in server.refused]


CLOSE = b"Connection: close"
CHUNKED = b"Transfer-Encoding: chunked"


# --- A1: lengths ---


@pytest.mark.parametrize(
    "lines",
    [
        (b"Content-Length: 5", CHUNKED),
        (CHUNKED, b"Content-Length: 5"),
        (b"Content-Length: 5", b"Content-Length: 5"),
        (b"Content-Length: 5", b"Content-Length: 6"),
        (b"Content-Length: 5, 5",),
        (b"Content-Length: +1_0",),
        (b"Content-Length: +5",),
        (b"Content-Length: -48",),
        (b"Content-Length:",),
        (b"Content-Length:  ",),
        (b"Content-Length: 1Z",),
        (b"Content-Length: 5 5",),
        (b"Content-Length: 0x5",),
        (b"Content-Length: 5.0",),
        (b"Content-Length: 1" + b"0" * 15,),
        (b"Content-Length: 18446744073709551621",),
        ("Content-Length: \u0665".encode(),),
    ],
    ids=repr,
)
def test_a1_an_odd_length_is_refused(server: Served, noted: Seen, lines: tuple[bytes, ...]) -> None:
    assert_refused(server, noted, request(*lines, method=b"POST", body=b"0\r\n\r\n"), 400)


# --- A2: transfer codings and chunks ---


@pytest.mark.parametrize(
    "line",
    [
        b"Transfer-Encoding: ,chunked",
        b"Transfer-Encoding: chunked,",
        b"Transfer-Encoding: chunked, chunked",
        b"Transfer-Encoding: gzip, chunked",
        b"Transfer-Encoding: identity",
        b"Transfer-Encoding: xchunked",
        b"Transfer-Encoding: chunked;q=1",
        b'Transfer-Encoding: "chunked"',
        b"Transfer-Encoding:",
        b"Transfer-Encoding:  chunked",
        b"Transfer-Encoding:\tchunked",
        b"Transfer-Encoding: chunked ",
        b"Transfer-Encoding: chunked\t",
        b"Transfer-Encoding: \x0bchunked",
        b"Transfer-Encoding: \x0cchunked",
        b"Transfer-Encoding : chunked",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: chunked\r\nX: y\r\nTransfer-Encoding: identity",
        b"Transfer-Encoding: ch\r\n unked",
    ],
    ids=repr,
)
def test_a2_an_odd_transfer_coding_is_refused(server: Served, noted: Seen, line: bytes) -> None:
    assert_refused(server, noted, request(line, method=b"POST", body=b"0\r\n\r\n"), 400)


def test_a2_a_transfer_coding_from_http_1_0_is_refused(server: Served, noted: Seen) -> None:
    sent = request(CHUNKED, method=b"POST", body=b"0\r\n\r\n").replace(b"HTTP/1.1", b"HTTP/1.0")

    assert_refused(server, noted, sent, 400)


@pytest.mark.parametrize(
    "body",
    [
        b"0_2e\r\n" + b"x" * 46 + b"\r\n0\r\n\r\n",
        b"0x2\r\nab\r\n0\r\n\r\n",
        b"00000000000000002\r\nab\r\n0\r\n\r\n",
        b"FFFFFFFFFFFFFFFFF\r\nab\r\n",
        b"+2\r\nab\r\n0\r\n\r\n",
        b"-2\r\nab\r\n0\r\n\r\n",
        b" 2\r\nab\r\n0\r\n\r\n",
        b"2 \r\nab\r\n0\r\n\r\n",
        b"2\t\r\nab\r\n0\r\n\r\n",
        b"2 ;x\r\nab\r\n0\r\n\r\n",
        b"2;x=1\nab\r\n0\r\n\r\n",
        b"2;x=\x00\r\nab\r\n0\r\n\r\n",
        b"2;" + b"x" * 300 + b"\r\nab\r\n0\r\n\r\n",
        b"2\nab\n0\n\n",
        b"2\rab\r0\r\r",
        b"2\r\nab0\r\n\r\n",
        b"2\r\nabc\r\n0\r\n\r\n",
        b"\r\nab\r\n0\r\n\r\n",
        b"0\r\nContent-Length: 5\r\n\r\n",
        b"0\r\nX-Trailer: 1\r\n\r\n",
        b"0\r\nnonsense\r\n\r\n",
    ],
    ids=repr,
)
def test_a2_an_odd_chunk_is_refused_and_nothing_routed(server: Served, noted: Seen, body: bytes) -> None:
    assert_refused(server, noted, request(CHUNKED, method=b"POST", body=body), 400)


@pytest.mark.parametrize("size", [b"5", b"0005", b"0000000000000005", b"5;name=value", b'5;name="a b"'])
def test_a_good_chunk_is_read(server: Served, noted: Seen, size: bytes) -> None:
    server.exchange(request(CHUNKED, CLOSE, method=b"POST", body=size + b"\r\nhello\r\n0\r\n\r\n"))

    assert [("POST", "/", b"hello")] == noted.requests


# --- A3: header fields and request lines ---


@pytest.mark.parametrize(
    "line",
    [
        b"X: a\x00b",
        b"X\x00: a",
        b"X: a\rb",
        b"X: a\nY: b",
        b"X: a\n",
        b"X: a\r\n b",
        b"X: a\r\n\tb",
        b" X: a",
        b"X : a",
        b"X\t: a",
        b": a",
        b"Xa",
        b"X Y: a",
        b"X\xff: a",
        b"X(: a",
        b'X": a',
        b"X@: a",
        b"X: a\x01",
        b"X: a\x7f",
        b"X: \x0ba",
        b"X: a\r\r\nY: b",
    ],
    ids=repr,
)
def test_a3_an_odd_header_field_is_refused(server: Served, noted: Seen, line: bytes) -> None:
    assert_refused(server, noted, request(line), 400)


@pytest.mark.parametrize(
    "line",
    [
        b"get / HTTP/1.1",
        b"FOO / HTTP/1.1",
        b"GETX / HTTP/1.1",
        b"G\x00T / HTTP/1.1",
        b" GET / HTTP/1.1",
        b"\nGET / HTTP/1.1",
        b"\r\n\r\nGET / HTTP/1.1",
        b"GET / HTTP/1.2",
        b"GET / HTTP/2.0",
        b"GET / HTTP/0.9",
        b"GET / HTTP/1.10",
        b"GET / HTTP/11",
        b"GET / http/1.1",
        b"GET / HTTP/1,1",
        b"GET / RTSP/1.0",
        b"SOURCE / ICE/1.0",
        b"GET /",
        b"GET",
        b"GET  / HTTP/1.1",
        b"GET /  HTTP/1.1",
        b"GET\t/\tHTTP/1.1",
        b"GET / HTTP/1.1 ",
        b"GET / x HTTP/1.1",
        b"GET  HTTP/1.1",
        b"GET /\x00 HTTP/1.1",
        b"GET /\x7f HTTP/1.1",
        b"GET /\xc3\xa9 HTTP/1.1",
        b"GET /#a HTTP/1.1",
        b"GET a HTTP/1.1",
        b"GET ?a HTTP/1.1",
        b"GET * HTTP/1.1",
    ],
    ids=repr,
)
def test_a3_an_odd_request_line_is_refused(server: Served, noted: Seen, line: bytes) -> None:
    assert_refused(server, noted, line + b"\r\nHost: api.example.com\r\n\r\n", 400)


def test_a3_lines_that_end_with_lf_alone_are_refused(server: Served, noted: Seen) -> None:
    assert_refused(server, noted, b"GET / HTTP/1.1\nHost: api.example.com\n\n", 400)


def test_one_empty_line_before_a_request_is_no_part_of_it(server: Served, noted: Seen) -> None:
    """RFC 9112, section 2.2: some clients send one after the body before."""
    server.exchange(b"\r\n" + request(CLOSE))

    assert [("GET", "/", b"")] == noted.requests


def test_white_space_around_a_value_is_no_part_of_it(server: Served, noted: Seen) -> None:
    server.exchange(request(b"X-Name: \t a b \t", CLOSE))

    assert (b"x-name", b"a b") in noted.scopes[0]["headers"]


# --- A4: whom it is for ---


@pytest.mark.parametrize(
    "hosts",
    [
        b"",
        b"Host: api.example.com\r\nHost: api.example.com\r\n",
        b"Host: api.example.com\r\nhost: other.example.com\r\n",
        b"Host:\r\n",
        b"Host: a b\r\n",
        b"Host: user@api.example.com\r\n",
        b"Host: api.example.com:\r\n",
        b"Host: api.example.com:80:80\r\n",
        b"Host: api.example.com/\r\n",
        b"Host: api.example.com, other.example.com\r\n",
        b"Host: [::1\r\n",
        b"Host: \xc3\xa9\r\n",
    ],
    ids=repr,
)
def test_a4_no_host_two_hosts_or_an_odd_one_is_refused(server: Served, noted: Seen, hosts: bytes) -> None:
    assert_refused(server, noted, b"GET / HTTP/1.1\r\n" + hosts + b"\r\n", 400)


@pytest.mark.parametrize(
    "host", [b"other.example.com", b"api.example.com.", b"api.example.com.evil.example", b"[::2]", b"10.0.0.1"]
)
def test_a4_a_foreign_host_is_misdirected(server: Served, noted: Seen, host: bytes) -> None:
    assert_refused(server, noted, b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n", 421)


@pytest.mark.parametrize(
    "host", [b"api.example.com", b"API.Example.COM", b"api.example.com:8443", b"127.0.0.1:1", b"[::1]:8"]
)
def test_our_own_host_is_served_in_any_case_and_on_any_port(server: Served, noted: Seen, host: bytes) -> None:
    server.exchange(b"GET / HTTP/1.1\r\nConnection: close\r\nHost: " + host + b"\r\n\r\n")

    assert [("GET", "/", b"")] == noted.requests


def test_a4_a_foreign_host_stays_foreign_the_second_time(server: Served, noted: Seen) -> None:
    foreign = b"GET / HTTP/1.1\r\nHost: other.example.com\r\n\r\n"
    server.exchange(foreign)
    server.refused.clear()

    assert_refused(server, noted, foreign, 421)


@pytest.mark.parametrize("target", [b"http://api.example.com/", b"https://other.example.com/a", b"foo://a/"])
def test_a4_an_absolute_target_is_refused(server: Served, noted: Seen, target: bytes) -> None:
    assert_refused(server, noted, request(target=target), 400)


# --- A5: sizes ---


def padded(size: int) -> bytes:
    """Return a request whose header has that many bytes."""
    empty = request(CLOSE, b"X: ")
    return request(CLOSE, b"X: " + b"x" * (size - len(empty)))


def test_a5_a_header_of_32_kib_is_served(server: Served, noted: Seen) -> None:
    assert 200 == status(server.exchange(padded(32 * 1024)))


def test_a5_a_header_over_32_kib_is_refused(server: Served, noted: Seen) -> None:
    assert_refused(server, noted, padded(32 * 1024 + 1), 431)


def test_a5_one_hundred_header_fields_are_served(server: Served, noted: Seen) -> None:
    assert 200 == status(server.exchange(request(CLOSE, *[b"X: y"] * 98)))


def test_a5_more_than_one_hundred_header_fields_are_refused(server: Served, noted: Seen) -> None:
    assert_refused(server, noted, request(CLOSE, *[b"X: y"] * 99), 431)


def test_a5_a_target_of_8_kib_is_served(server: Served, noted: Seen) -> None:
    assert 200 == status(server.exchange(request(CLOSE, target=b"/" + b"x" * (8 * 1024 - 1))))


@pytest.mark.parametrize("size", [8 * 1024, 9 * 1024, 40 * 1024, 200 * 1024])
def test_a5_a_target_over_8_kib_is_refused(server: Served, noted: Seen, size: int) -> None:
    assert_refused(server, noted, request(target=b"/" + b"x" * size), 414)


@pytest.mark.parametrize(
    "start, repeated, expected",
    [
        (b"GET /", b"x", 414),
        (b"GET / HTTP/1.1\r\nX: ", b"x", 431),
        (b"GET / HTTP/1.1\r\n", b"X: y\r\n", 431),
        (b"GET / HTTP/1.1\r\n", b"x", 431),
    ],
    ids=["target", "value", "fields", "name"],
)
def test_a5_of_an_endless_header_little_is_read(
    server: Served, noted: Seen, start: bytes, repeated: bytes, expected: int
) -> None:
    with server.connect() as connection:
        sent = send_endlessly(connection, start, repeated * (64 * 1024 // len(repeated)), limit=64 * 1024 * 1024)
        answered = received(connection)

    # What the system buffers on both sides comes on top of what we read.
    assert sent < 16 * 1024 * 1024
    assert [] == noted.requests
    assert [expected] == [status for _, status, _ in server.refused]
    assert answered == b"" or expected == status(answered)


def send_endlessly(connection: socket.socket, start: bytes, block: bytes, limit: int) -> int:
    """Send until the other side has had enough; return how much it was."""
    sent = 0
    try:
        connection.sendall(start)
        while sent < limit:
            sent += connection.send(block)
    except OSError:
        pass
    return sent


def received(connection: socket.socket) -> bytes:
    """Return what can still be read of a connection that may have been reset."""
    try:
        return read_all(connection)
    except OSError:
        return b""


# --- A7: bodies over the cap ---


def reads_at_most(limit: int) -> Any:
    """Return an application that refuses a larger body in its own words, without reading it to its end."""

    async def app(scope: Scope, receive: Callable[[], Awaitable[Message]], send: Any) -> None:
        body, more = b"", True
        while more and len(body) <= limit:
            message = await receive()
            body, more = body + message["body"], message["more_body"]
        await answer(send, b"too large" if len(body) > limit else b"good", 413 if len(body) > limit else 200)

    return app


def test_a7_a_body_of_64_kib_reaches_the_application_whole() -> None:
    with serving(reads_at_most(64 * 1024)) as served:
        sent = request(CLOSE, b"Content-Length: 65536", method=b"POST", body=b"x" * 65536)

        assert 200 == status(served.exchange(sent))


@pytest.mark.parametrize("size", [70_000, 300_000, 100_000_000])
def test_a7_a_body_over_the_cap_is_refused_in_the_words_of_the_application(size: int) -> None:
    with serving(reads_at_most(64 * 1024)) as served, served.connect() as connection:
        connection.sendall(request(b"Content-Length: %d" % size, method=b"POST", body=b"x" * 65537))
        answered = read_all(connection)

    assert (413, b"too large") == (status(answered), answered.partition(b"\r\n\r\n")[2])
    assert b"connection: close" in answered


def test_a7_of_an_endless_chunked_body_little_is_read() -> None:
    with serving(reads_at_most(64 * 1024)) as served, served.connect() as connection:
        block = b"1000\r\n" + b"x" * 4096 + b"\r\n"
        sent = send_endlessly(connection, request(CHUNKED, method=b"POST"), block * 16, limit=64 * 1024 * 1024)

    assert sent < 16 * 1024 * 1024


def test_a7_the_application_may_refuse_a_large_body_before_it_is_sent() -> None:
    async def app(_scope: Scope, _receive: object, send: Any) -> None:
        await answer(send, b"no", 413)

    with serving(app) as served, served.connect() as connection:
        connection.sendall(request(b"Content-Length: 1000000", b"Expect: 100-continue", method=b"POST"))

        assert (413, b"no") == read_answer(connection)[::2]
        assert b"" == read_all(connection)


def test_a_body_over_the_gathered_size_is_read_in_parts() -> None:
    noted = Seen()
    body = bytes(range(256)) * 4096
    with serving(echo(noted)) as served:
        served.exchange(request(CLOSE, b"Content-Length: %d" % len(body), method=b"PUT", body=body))

    assert [("PUT", "/", body)] == noted.requests


# --- A8: deadlines ---


def closes_after(connection: socket.socket, drip: bytes, *, each_s: float = 0.05) -> tuple[float, bytes]:
    """Send a byte again and again until the other side has closed; return how long it took, and what it said."""
    connection.settimeout(each_s)
    began = time.monotonic()
    said = b""
    while time.monotonic() - began < 10:
        try:
            if not (part := connection.recv(65536)):
                break
            said += part
        except TimeoutError:
            connection.sendall(drip)
        except OSError:
            break
    return time.monotonic() - began, said


def test_a8_a_header_that_trickles_in_is_cut(server: Served, noted: Seen) -> None:
    with server.connect() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: api.example.com\r\nX: ")
        took, said = closes_after(connection, b"x")

    assert QUICK.header_s <= took < 5
    assert 408 == status(said)
    assert [] == noted.requests


def test_a8_a_body_that_trickles_in_is_cut(server: Served, noted: Seen) -> None:
    with server.connect() as connection:
        connection.sendall(request(b"Content-Length: 1000", method=b"POST"))
        took, said = closes_after(connection, b"x")

    assert QUICK.body_s <= took < 5
    assert 408 == status(said)
    assert [] == noted.requests


def test_a8_chunks_that_trickle_in_are_cut(server: Served, noted: Seen) -> None:
    with server.connect() as connection:
        connection.sendall(request(CHUNKED, method=b"POST"))
        took, said = closes_after(connection, b"1\r\nx\r\n")

    assert QUICK.body_s <= took < 5
    assert 408 == status(said)
    assert [] == noted.requests


def test_a8_a_large_body_that_trickles_in_is_cut_while_the_application_reads_it() -> None:
    with serving(echo(Seen())) as served, served.connect() as connection:
        connection.sendall(request(b"Content-Length: 1000000", method=b"POST"))
        took, said = closes_after(connection, b"x")

    assert QUICK.body_s <= took < 5
    assert 408 == status(said)


def test_a8_a_connection_that_says_nothing_is_closed(server: Served) -> None:
    with server.connect() as connection:
        began = time.monotonic()
        said = read_all(connection)

    assert QUICK.idle_s <= time.monotonic() - began < 5
    assert b"" == said


def test_a8_a_connection_idle_after_an_answer_is_closed(server: Served) -> None:
    with server.connect() as connection:
        connection.sendall(request())
        read_answer(connection)
        began = time.monotonic()

        assert b"" == read_all(connection)
    assert QUICK.idle_s - 0.1 <= time.monotonic() - began < 5


def test_a8_empty_lines_do_not_keep_a_connection_open(server: Served) -> None:
    with server.connect() as connection:
        took, _said = closes_after(connection, b"\r\n")

    assert took < 5


@pytest.mark.parametrize("size", [200_000, 20_000_000])
def test_a8_a_caller_who_does_not_read_his_answer_is_cut(size: int) -> None:
    async def app(_scope: Scope, _receive: object, send: Any) -> None:
        await answer(send, b"x" * size)

    with serving(app) as served:
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        with connection:
            connection.connect(("127.0.0.1", served.port))
            connection.sendall(request() * 20)
            wait_until(lambda: served.call(lambda: len(served.listeners.connections)) == 0)


def wait_until(holds: Callable[[], bool], timeout_s: float = 10) -> None:
    until = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < until, "it has not happened"
        time.sleep(0.02)


def test_a_slow_application_is_no_fault_of_the_caller() -> None:
    async def app(_scope: Scope, _receive: object, send: Any) -> None:
        await asyncio.sleep(1.5)
        await answer(send, b"late")

    with serving(app) as served, served.connect() as connection:
        connection.sendall(request())

        assert (200, b"late") == read_answer(connection)[::2]


def test_time_in_which_the_application_does_not_read_is_no_fault_of_the_caller() -> None:
    async def app(_scope: Scope, receive: Callable[[], Awaitable[Message]], send: Any) -> None:
        await asyncio.sleep(1.0)
        await answer(send, b"%d" % len(await read_body(receive)))

    size = 20_000_000
    with serving(app) as served, served.connect() as connection:
        connection.sendall(request(b"Content-Length: %d" % size, CLOSE, method=b"POST", body=b"x" * (size - 1)))
        time.sleep(0.3)
        connection.sendall(b"x")

        assert b"%d" % size == read_answer(connection)[2]


# --- A15, A16: methods and protocols that are not ours ---


@pytest.mark.parametrize("target", [b"api.example.com:443", b"/fleet/api/Auth/Token"])
def test_a15_connect_is_refused_with_the_methods_it_may_use(server: Served, noted: Seen, target: bytes) -> None:
    answered = server.exchange(request(method=b"CONNECT", target=target))

    assert 405 == status(answered)
    assert b"\r\nallow: \r\n" in answered
    assert [] == noted.requests


@pytest.mark.parametrize("method", [b"TRACE", b"PROPFIND", b"DELETE", b"QUERY"])
def test_a15_other_methods_are_for_the_application_to_refuse(server: Served, noted: Seen, method: bytes) -> None:
    server.exchange(request(CLOSE, method=method))

    assert [(method.decode(), "/", b"")] == noted.requests


def test_a16_answers_of_pipelined_requests_keep_their_order() -> None:
    async def app(scope: Scope, receive: Callable[[], Awaitable[Message]], send: Any) -> None:
        body = await read_body(receive)
        await asyncio.sleep(0.2 if scope["path"] == "/0" else 0)
        await answer(send, scope["path"].encode() + b" " + body)

    with serving(app) as served, served.connect() as connection:
        sent = b"".join(
            request(b"Content-Length: 2", method=b"POST", target=b"/%d" % index, body=b"%02d" % index)
            + request(CHUNKED, method=b"POST", target=b"/c%d" % index, body=b"1\r\nx\r\n0\r\n\r\n")
            for index in range(40)
        )
        connection.sendall(sent)
        bodies = [read_answer(connection)[2] for _ in range(80)]

    expected = [body for index in range(40) for body in (b"/%d %02d" % (index, index), b"/c%d x" % index)]
    assert expected == bodies


def test_a16_a_request_is_not_begun_before_the_one_before_it_is_answered() -> None:
    running: list[str] = []
    most = []

    async def app(scope: Scope, _receive: object, send: Any) -> None:
        running.append(scope["path"])
        most.append(len(running))
        await asyncio.sleep(0.01)
        running.remove(scope["path"])
        await answer(send, b"")

    with serving(app) as served, served.connect() as connection:
        connection.sendall(b"".join(request(target=b"/%d" % index) for index in range(10)))
        for _ in range(10):
            read_answer(connection)

    assert [1] * 10 == most


def test_a16_a_refusal_waits_for_the_answers_before_it() -> None:
    async def app(_scope: Scope, _receive: object, send: Any) -> None:
        await asyncio.sleep(0.1)
        await answer(send, b"good")

    with serving(app) as served:
        answered = served.exchange(request() + b"nonsense\r\n\r\n" + request())

    assert answered.startswith(b"HTTP/1.1 200 OK")
    assert 1 == answered.count(b"HTTP/1.1 200 OK")
    assert answered.index(b"good") < answered.index(b"HTTP/1.1 400 Bad Request")


def test_a16_what_follows_a_last_request_is_not_read(server: Served, noted: Seen) -> None:
    answered = server.exchange(request(CLOSE, target=b"/1") + request(target=b"/2"))

    assert [("GET", "/1", b"")] == noted.requests
    assert 1 == answered.count(b"HTTP/1.1")


@pytest.mark.parametrize("protocol", [b"h2c", b"websocket", b"TLS/1.0"])
@pytest.mark.parametrize("framing", [b"Content-Length: 5", CHUNKED])
def test_a16_an_upgrade_is_ignored_and_the_body_is_no_request(
    server: Served, noted: Seen, protocol: bytes, framing: bytes
) -> None:
    """Java's client asks for h2c in its first request, with a body."""
    body = b"5\r\nhello\r\n0\r\n\r\n" if framing is CHUNKED else b"hello"
    upgrade = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: " + protocol
    server.exchange(request(upgrade, framing, method=b"POST", body=body) + request(CLOSE, target=b"/2"))

    assert [("POST", "/", b"hello"), ("GET", "/2", b"")] == noted.requests


def test_a16_requests_after_an_upgrade_are_read_as_before(server: Served, noted: Seen) -> None:
    upgrade = request(b"Connection: Upgrade", b"Upgrade: h2c", target=b"/1")
    posted = request(b"Content-Length: 1", method=b"POST", target=b"/2", body=b"x")
    server.exchange(upgrade + posted + upgrade + request(CLOSE, target=b"/3"))

    assert [("GET", "/1", b""), ("POST", "/2", b"x"), ("GET", "/1", b""), ("GET", "/3", b"")] == noted.requests


def test_a16_a_caller_that_waits_for_continue_is_told_to(server: Served, noted: Seen) -> None:
    with server.connect() as connection:
        connection.sendall(request(b"Content-Length: 5", b"Expect: 100-continue", CLOSE, method=b"POST"))

        assert 100 == read_answer(connection)[0]
        connection.sendall(b"hello")
        assert 200 == read_answer(connection)[0]
    assert [("POST", "/", b"hello")] == noted.requests


def test_a16_a_caller_that_does_not_wait_for_continue_gets_his_answer_only(server: Served) -> None:
    sent = request(b"Content-Length: 5", b"Expect: 100-continue", CLOSE, method=b"POST", body=b"hello")

    assert server.exchange(sent).startswith(b"HTTP/1.1 200")


def test_a16_other_expectations_are_ignored(server: Served) -> None:
    assert 200 == status(server.exchange(request(b"Expect: miracles", CLOSE)))


def test_a16_a_continue_goes_to_the_application_that_reads_a_large_body() -> None:
    noted = Seen()
    body = b"x" * 100_000
    with serving(echo(noted)) as served, served.connect() as connection:
        connection.sendall(request(b"Content-Length: 100000", b"Expect: 100-continue", CLOSE, method=b"POST"))

        assert 100 == read_answer(connection)[0]
        connection.sendall(body)
        assert 200 == read_answer(connection)[0]
    assert [("POST", "/", body)] == noted.requests


@pytest.mark.parametrize(
    "sent",
    [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\x16\x03\x01",
        b"\x80\x2e\x01\x00\x02",
        b"2.0",
        b"\x00" * 100,
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"EHLO example.com\r\n\r\n",
    ],
    ids=["HTTP/2", "TLS", "start of TLS", "SSL 2", "digits", "zeros", "SSH", "SMTP"],
)
def test_a16_other_protocols_are_refused_at_once(server: Served, noted: Seen, sent: bytes) -> None:
    with server.connect() as connection:
        connection.sendall(sent)
        answered = read_all(connection)

    assert 400 == status(answered)
    assert [] == noted.requests


def test_a16_two_thousand_ranges_are_a_header_like_any_other(server: Served, noted: Seen) -> None:
    ranges = b"Range: bytes=" + b",".join(b"%d-%d" % (start, start + 1) for start in range(2000))

    assert 200 == status(server.exchange(request(ranges, CLOSE)))


# --- what the application sees ---


def test_the_scope_says_what_arrived(server: Served, noted: Seen) -> None:
    server.exchange(request(CLOSE, b"X-One: 1", b"x-one: 2", target=b"/a%20b/c?d=%20&e"))
    scope = noted.scopes[0]
    port = scope["client"][1]

    assert {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/a b/c",
        "raw_path": b"/a%20b/c",
        "query_string": b"d=%20&e",
        "root_path": "",
        "headers": [(b"host", b"api.example.com"), (b"connection", b"close"), (b"x-one", b"1"), (b"x-one", b"2")],
        "client": ("127.0.0.1", port),
        "server": ("127.0.0.1", server.port),
        "extensions": {},
    } == scope


def test_each_request_has_a_scope_of_its_own() -> None:
    """The same header is recognised instead of parsed; what an application does to its scope stays with it."""
    seen: list[tuple[int, bool]] = []

    async def app(scope: Scope, _receive: object, send: Any) -> None:
        seen.append((len(scope["headers"]), "mark" in scope))
        scope["headers"].append((b"mark", b"1"))
        scope["mark"] = True
        await answer(send, b"")

    with serving(app) as served, served.connect() as connection:
        for _ in range(3):
            connection.sendall(request())
            read_answer(connection)

    assert [(1, False)] * 3 == seen


def test_requests_that_differ_in_one_byte_are_told_apart(server: Served, noted: Seen) -> None:
    with server.connect() as connection:
        for target in (b"/1", b"/2", b"/1", b"/1"):
            connection.sendall(request(b"Content-Length: 1", method=b"POST", target=target, body=target[1:]))
            read_answer(connection)

    assert [("POST", f"/{body}", body.encode()) for body in "1211"] == noted.requests


def test_a_body_that_has_arrived_is_there_in_one_message() -> None:
    messages: list[Message] = []

    async def app(_scope: Scope, receive: Callable[[], Awaitable[Message]], send: Any) -> None:
        messages.append(await receive())
        await answer(send, b"")
        messages.append(await receive())

    with serving(app) as served, served.connect() as connection:
        connection.sendall(request(CHUNKED, method=b"POST", body=b"2\r\nhe\r\n"))
        time.sleep(0.1)
        connection.sendall(b"3\r\nllo\r\n0\r\n\r\n")
        read_answer(connection)
        wait_until(lambda: len(messages) == 2)

    assert [
        {"type": "http.request", "body": b"hello", "more_body": False},
        {"type": "http.disconnect"},
    ] == messages


def test_who_waits_for_the_caller_to_go_hears_of_the_end_of_the_answer() -> None:
    messages: list[Message] = []

    async def app(_scope: Scope, receive: Callable[[], Awaitable[Message]], send: Any) -> None:
        await receive()
        waiting = asyncio.ensure_future(receive())
        await asyncio.sleep(0)
        await answer(send, b"")
        messages.append(await waiting)

    with serving(app) as served, served.connect() as connection:
        connection.sendall(request())
        read_answer(connection)
        wait_until(lambda: bool(messages))

    assert [{"type": "http.disconnect"}] == messages


def test_the_application_hears_of_a_caller_who_goes_away() -> None:
    messages: list[str] = []

    async def app(_scope: Scope, receive: Callable[[], Awaitable[Message]], send: Any) -> None:
        messages.append((await receive())["type"])
        messages.append((await receive())["type"])
        await answer(send, b"to nobody")

    with serving(app) as served:
        connection = served.connect()
        connection.sendall(request())
        wait_until(lambda: len(messages) == 1)
        # A reset, instead of shutting one side.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
        wait_until(lambda: len(messages) == 2)

    assert ["http.request", "http.disconnect"] == messages


def test_a_caller_who_shuts_his_side_gets_his_answer() -> None:
    async def app(_scope: Scope, _receive: object, send: Any) -> None:
        await asyncio.sleep(0.1)
        await answer(send, b"good")

    with serving(app) as served, served.connect() as connection:
        connection.sendall(request())
        connection.shutdown(socket.SHUT_WR)

        assert read_all(connection).endswith(b"good")


@given(places=st.lists(st.integers(0, 400), max_size=10), pipelined=st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_requests_are_the_same_however_they_arrive(
    running: Served, noted: Seen, places: list[int], pipelined: int
) -> None:
    one = request(b"Content-Length: 5", method=b"POST", target=b"/one", body=b"hello")
    two = request(CHUNKED, method=b"PUT", target=b"/two", body=b"3;x\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
    data = (one + two) * pipelined
    edges = [0, *sorted(place % len(data) for place in places), len(data)]
    noted.requests.clear()
    with running.connect() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start, end in pairwise(edges):
            connection.sendall(data[start:end])
            time.sleep(0.001)
        answers = [read_answer(connection)[0] for _ in range(2 * pipelined)]

    assert [200] * 2 * pipelined == answers
    assert [("POST", "/one", b"hello"), ("PUT", "/two", b"abcde")] * pipelined == noted.requests


# --- what the caller sees ---


def answers_with(*messages: dict[str, Any]) -> Any:
    async def app(_scope: Scope, _receive: object, send: Any) -> None:
        for message in messages:
            await send(message)

    return app


def start(code: int = 200, *headers: tuple[bytes, bytes]) -> dict[str, Any]:
    return {"type": "http.response.start", "status": code, "headers": list(headers)}


def body(data: bytes, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": more}


def said(app: Any, sent: bytes) -> bytes:
    with serving(app) as served:
        return served.exchange(sent)


def test_an_answer_has_a_date_and_names_no_server(server: Served) -> None:
    head = server.exchange(request(CLOSE)).partition(b"\r\n\r\n")[0]

    assert b"\r\ndate: " in head
    assert b"server" not in head


def test_an_answer_without_length_is_measured() -> None:
    answered = said(answers_with(start(), body(b"hello")), request(CLOSE))

    assert answered.endswith(b"\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello")


def test_an_answer_in_parts_is_chunked() -> None:
    answered = said(answers_with(start(), body(b"hel", more=True), body(b"", more=True), body(b"lo")), request(CLOSE))

    assert answered.endswith(b"transfer-encoding: chunked\r\nconnection: close\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n")


def test_an_answer_in_parts_to_http_1_0_ends_with_the_connection() -> None:
    sent = request().replace(b"HTTP/1.1", b"HTTP/1.0")
    answered = said(answers_with(start(), body(b"hel", more=True), body(b"lo")), sent)

    assert answered.endswith(b"\r\nconnection: close\r\n\r\nhello")
    assert b"chunked" not in answered


@pytest.mark.parametrize("method, code", [(b"HEAD", 200), (b"GET", 204), (b"GET", 304)])
def test_an_answer_that_may_have_no_body_has_none(method: bytes, code: int) -> None:
    answered = said(answers_with(start(code), body(b"hello")), request(CLOSE, method=method))

    assert answered.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("value", [b"a\r\nx-evil: 1", b"a\nb", b"a\rb", b"a\x00b", b"a\r\n"], ids=repr)
def test_a_line_break_in_a_header_of_an_answer_is_a_fault_of_ours(value: bytes) -> None:
    answered = said(answers_with(start(200, (b"x-name", value)), body(b"")), request())

    assert 500 == status(answered)
    assert b"evil" not in answered


def test_an_application_that_fails_says_nothing_of_how() -> None:
    async def app(_scope: Scope, _receive: object, _send: object) -> None:
        raise ValueError("the secret is 4711")

    answered = said(app, request())

    assert answered.endswith(b'{"status":500,"error":"Internal Server Error"}')
    assert b"4711" not in answered


def test_an_application_that_does_not_answer_is_answered_for() -> None:
    assert 500 == status(said(answers_with(), request()))


def test_an_answer_that_fails_half_way_does_not_look_whole() -> None:
    async def app(_scope: Scope, _receive: object, send: Any) -> None:
        await send(start())
        await send(body(b"half", more=True))
        raise ValueError

    with serving(app) as served, served.connect() as connection:
        connection.sendall(request())
        answered = received(connection)

    assert b"0\r\n\r\n" not in answered


def test_a_body_that_turns_out_malformed_cuts_an_answer_that_was_begun() -> None:
    async def app(_scope: Scope, receive: Callable[[], Awaitable[Message]], send: Any) -> None:
        await send(start())
        await send(body(b"early", more=True))
        await read_body(receive)
        await send(body(b"late"))

    with serving(app) as served, served.connect() as connection:
        connection.sendall(request(CHUNKED, method=b"POST", body=b"20000\r\n" + b"x" * 0x20000 + b"\r\n"))
        wait_until(lambda: connection.recv(1, socket.MSG_PEEK) != b"")
        connection.sendall(b"nonsense\r\n")
        answered = received(connection)

    assert 1 >= answered.count(b"HTTP/1.1")
    assert b"late" not in answered


@pytest.mark.parametrize("announced", [b"3", b"10"])
def test_an_answer_of_another_length_than_announced_does_not_look_whole(announced: bytes) -> None:
    app = answers_with(start(200, (b"content-length", announced)), body(b"hello"))
    answered = said(app, request())

    assert 500 == status(answered)
    assert b"hello" not in answered


def test_a_part_of_an_answer_that_is_too_long_does_not_look_whole() -> None:
    app = answers_with(start(200, (b"content-length", b"10")), body(b"hello", more=True), body(b"hello world"))
    with serving(app) as served, served.connect() as connection:
        connection.sendall(request())
        answered = received(connection)

    assert b"world" not in answered


def test_a_neutral_answer_carries_the_request_id_it_was_recorded_under() -> None:
    with serving(echo(Seen()), request_id="0192-abc") as served:
        answered = served.exchange(b"nonsense\r\n\r\n")

    assert b"\r\nx-request-id: 0192-abc\r\n" in answered
    assert [("127.0.0.1", 400)] == [(address, code) for address, code, _ in served.refused]


@given(st.binary(max_size=200))
@settings(max_examples=100, deadline=None)
def test_no_bytes_whatever_stop_the_server(running: Served, data: bytes) -> None:
    with running.connect() as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        answered = received(connection)

    assert answered == b"" or status(answered) in (400, 405, 408, 414, 421, 431, 200)
    assert 200 == status(running.exchange(request(CLOSE)))
