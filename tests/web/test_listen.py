"""Listeners: binding, several at once, and the graceful stop."""

import asyncio
import errno
import resource
import socket
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import uvloop

from aldaba.errors import Impossible
from aldaba.web.limits import Limits
from aldaba.web.listen import Listener, Listeners, bind, fitting
from tests.web.serving import QUICK, Seen, answer, echo, read_all, read_answer, serving
from tests.web.test_tls import Places

REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


# --- binding ---


def close(sockets: list[socket.socket]) -> None:
    for each in sockets:
        each.close()


def test_port_0_is_a_free_port() -> None:
    bound = bind("127.0.0.1", 0)
    address = bound[0].getsockname()
    close(bound)

    assert "127.0.0.1" == address[0]
    assert 0 < address[1]


def test_localhost_is_one_port_on_all_its_addresses() -> None:
    bound = bind("localhost", 0)
    names = [each.getsockname() for each in bound]
    close(bound)

    assert {"127.0.0.1"} <= {name[0] for name in names} <= {"127.0.0.1", "::1"}
    assert 1 == len({name[1] for name in names})


def test_a_port_that_is_taken_is_said_so() -> None:
    bound = bind("127.0.0.1", 0)
    bound[0].listen()
    port = bound[0].getsockname()[1]

    with pytest.raises(Impossible, match=f"cannot listen on 127.0.0.1 port {port}: Address already in use"):
        bind("127.0.0.1", port)
    close(bound)


def test_an_address_that_is_not_ours_is_said_so() -> None:
    with pytest.raises(Impossible, match=r"cannot listen on 192\.0\.2\.1 port 0: "):
        bind("192.0.2.1", 0)


@pytest.mark.parametrize("host, client", [("::1", "::1"), ("::", "::1"), ("::", "127.0.0.1"), ("0.0.0.0", "127.0.0.1")])
def test_d6_ipv6_is_served_and_takes_ipv4_with_it(host: str, client: str) -> None:
    seen = Seen()
    with serving(echo(seen), host=host) as served, socket.create_connection((client, served.port)) as connection:
        connection.sendall(REQUEST)
        read_answer(connection)

    assert seen.scopes[0]["client"][0] in (client, f"::ffff:{client}")


def test_l1_the_cap_is_what_files_allow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _what: (1024, 4096))

    assert 1024 - 128 == fitting(Limits()).connections
    assert 100 == fitting(Limits(connections=100)).connections


def test_without_a_limit_on_files_the_cap_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    unlimited = resource.RLIM_INFINITY
    monkeypatch.setattr(resource, "getrlimit", lambda _what: (unlimited, unlimited))

    assert Limits() == fitting(Limits())


# --- several at once ---


def fixed(text: bytes) -> Any:
    async def app(_scope: Any, _receive: object, send: Any) -> None:
        await answer(send, text)

    return app


def get(port: int, host: bytes = b"localhost") -> tuple[int, bytes]:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
        status, _headers, body = read_answer(connection)
        return status, body


def in_thread(work: Any) -> Any:
    return asyncio.get_running_loop().run_in_executor(None, work)


def test_several_listeners_have_applications_and_hosts_of_their_own() -> None:
    async def main() -> list[tuple[int, bytes]]:
        public, management = bind("127.0.0.1", 0), bind("127.0.0.1", 0)
        listeners = Listeners(
            [
                Listener(app=fixed(b"public"), sockets=public, hosts=frozenset({"api.example.com"})),
                Listener(app=fixed(b"management"), sockets=management),
            ],
            QUICK,
        )
        one, two = public[0].getsockname()[1], management[0].getsockname()[1]
        await listeners.start()
        answers = [
            await in_thread(lambda: get(one, b"api.example.com")),
            await in_thread(lambda: get(one, b"localhost")),
            await in_thread(lambda: get(two, b"localhost")),
        ]
        await listeners.stop(1)
        return answers

    answers = uvloop.run(main())

    assert [(200, b"public"), (421, b'{"status":421,"error":"Misdirected Request"}'), (200, b"management")] == answers


def test_processes_share_a_socket_that_was_bound_before() -> None:
    """Two loops stand for two processes: each has the same socket under a descriptor of its own."""
    bound = bind("127.0.0.1", 0)
    copies = [bound[0].dup(), bound[0].dup()]
    port = bound[0].getsockname()[1]
    close(bound)
    stop = [threading.Event(), threading.Event()]
    ready = threading.Barrier(3)

    def process(index: int) -> None:
        async def main() -> None:
            listeners = Listeners([Listener(app=fixed(b"%d" % index), sockets=[copies[index]])], QUICK)
            await listeners.start()
            await in_thread(ready.wait)
            await in_thread(stop[index].wait)
            await listeners.stop(1)

        uvloop.run(main())

    threads = [threading.Thread(target=process, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    ready.wait()
    both = {get(port)[0] for _ in range(20)}
    stop[0].set()
    threads[0].join()
    left = {get(port) for _ in range(10)}
    stop[1].set()
    threads[1].join()

    assert {200} == both
    assert {(200, b"1")} == left


def test_the_date_of_answers_moves_on() -> None:
    dates = []
    with serving(echo(Seen()), replace(QUICK, idle_s=30)) as served, served.connect() as connection:
        for _ in range(2):
            connection.sendall(REQUEST)
            dates.append(read_answer(connection)[1]["date"])
            time.sleep(1.1)

    assert dates[0] != dates[1]


def test_a_task_of_the_heartbeat_that_fails_does_not_stop_the_deadlines() -> None:
    beats: list[int] = []

    def fail() -> None:
        beats.append(1)
        raise ValueError("of a task")

    async def main() -> bytes:
        bound = bind("127.0.0.1", 0)
        port = bound[0].getsockname()[1]
        listeners = Listeners([Listener(app=fixed(b""), sockets=bound)], QUICK, each_second=[fail])
        await listeners.start()

        def wait() -> bytes:
            with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
                return read_all(connection)

        said: bytes = await in_thread(wait)
        await listeners.stop(1)
        return said

    assert b"" == uvloop.run(main())
    assert 2 < len(beats)


# --- the stop ---


def slow(order: list[str], took_s: float = 0.3) -> Any:
    async def app(_scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await asyncio.sleep(took_s)
        order.append("answered")
        await answer(send, b"good")

    return app


def test_what_was_accepted_is_answered_before_the_last_flush() -> None:
    order: list[str] = []

    async def flush() -> None:
        order.append("flushed")

    with serving(slow(order)) as served, served.connect() as connection:
        connection.sendall(REQUEST)
        time.sleep(0.1)
        served.stop(then=flush)
        status, headers, body = read_answer(connection)

        assert (200, "close", b"good") == (status, headers["connection"], body)
        assert b"" == read_all(connection)
    assert ["answered", "flushed"] == order


def test_a_body_that_was_begun_may_end() -> None:
    with serving(echo(Seen())) as served, served.connect() as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe")
        time.sleep(0.1)
        stopping = threading.Thread(target=served.stop)
        stopping.start()
        time.sleep(0.1)
        connection.sendall(b"llo")

        assert 200 == read_answer(connection)[0]
        stopping.join()


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\n"], ids=["idle", "half a header"])
def test_connections_without_a_request_are_closed_at_once(sent: bytes) -> None:
    with serving(echo(Seen()), replace(QUICK, idle_s=30, header_s=30)) as served, served.connect() as connection:
        connection.sendall(REQUEST)
        read_answer(connection)
        connection.sendall(sent)
        time.sleep(0.1)
        began = time.monotonic()
        served.stop(grace_s=10)

        assert b"" == read_all(connection)
    assert time.monotonic() - began < 5


def test_a_tls_caller_who_does_not_say_goodbye_does_not_hold_up_the_stop(tmp_path: Path) -> None:
    places = Places(tmp_path)
    with (
        serving(echo(Seen()), context=places.mutual()) as served,
        places.caller().wrap_socket(served.connect(), server_hostname="localhost") as connection,
    ):
        connection.sendall(REQUEST)
        read_answer(connection)
        began = time.monotonic()
        served.stop(grace_s=20)

    assert time.monotonic() - began < 10


def test_what_is_not_answered_within_the_grace_is_cut() -> None:
    order: list[str] = []
    with serving(slow(order, took_s=30)) as served, served.connect() as connection:
        connection.sendall(REQUEST)
        time.sleep(0.1)
        served.stop(grace_s=0.2)
        try:
            said = read_all(connection)
        except ConnectionResetError:
            said = b""

    assert (b"", []) == (said, order)


def test_after_the_stop_nobody_is_let_in() -> None:
    with serving(echo(Seen())) as served:
        served.stop()
        with pytest.raises(OSError, match="refused") as refused:
            served.connect()

    assert errno.ECONNREFUSED == refused.value.errno


def test_requests_that_were_pipelined_behind_the_last_one_are_not_begun() -> None:
    order: list[str] = []
    with serving(slow(order)) as served, served.connect() as connection:
        connection.sendall(REQUEST * 3)
        time.sleep(0.1)
        served.stop()

        assert 1 == read_all(connection).count(b"HTTP/1.1 200")
    assert ["answered"] == order
