"""How many connections are kept, and who has to go when there are too many."""

import asyncio
import multiprocessing
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
import uvloop

from aldaba.model.networks import Network
from aldaba.web.admission import Admission
from aldaba.web.limits import Limits
from aldaba.web.listen import Listener, Listeners, bind
from aldaba.web.tls import ReloadingContext
from tests.web.serving import QUICK, Seen, Served, echo, read_answer, serving
from tests.web.test_tls import Places

REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Waiting:
    """A connection that has waited since an instant, or is busy."""

    def __init__(self, since: float | None) -> None:
        self.waiting_since = since
        self.evicted = False

    def evict(self) -> None:
        self.evicted = True


def entered(admission: Admission, address: str, *since: float | None) -> list[Waiting]:
    connections = [Waiting(each) for each in since]
    for connection in connections:
        assert admission.enter(connection, address)
    return connections


def caps(*, per_address: int = 1_000, in_all: int = 1_000) -> Limits:
    return Limits(connections_per_address=per_address, connections=in_all)


def test_l1_at_the_cap_of_an_address_the_one_waiting_longest_makes_room() -> None:
    admission = Admission(caps(per_address=3))
    connections = entered(admission, "192.0.2.1", 3.0, 1.0, None)

    assert admission.enter(Waiting(9.0), "192.0.2.1")
    assert [False, True, False] == [connection.evicted for connection in connections]


def test_l1_when_nobody_waits_the_newcomer_is_not_admitted() -> None:
    admission = Admission(caps(per_address=2))
    entered(admission, "192.0.2.1", None, None)

    assert not admission.enter(Waiting(1.0), "192.0.2.1")


def test_l1_of_many_who_wait_only_a_share_makes_room_for_many_newcomers() -> None:
    admission = Admission(caps(per_address=160))
    waiting = entered(admission, "192.0.2.1", *map(float, range(160)))
    entered(admission, "192.0.2.1", *[999.0] * 11)

    assert 11 == sum(connection.evicted for connection in waiting)
    assert 160 == len(admission)


def test_l1_other_addresses_are_not_concerned() -> None:
    admission = Admission(caps(per_address=1))
    (neighbour,) = entered(admission, "192.0.2.1", 1.0)
    entered(admission, "192.0.2.2", 1.0)

    assert not neighbour.evicted


def test_l1_at_the_cap_of_all_whoever_waits_longest_makes_room() -> None:
    admission = Admission(caps(in_all=2))
    (one,) = entered(admission, "192.0.2.1", 2.0)
    (other,) = entered(admission, "192.0.2.2", 1.0)
    entered(admission, "192.0.2.3", 3.0)

    assert [False, True] == [one.evicted, other.evicted]


@pytest.mark.parametrize(
    "one, other, same",
    [
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::2", True),
        ("192.0.2.1", "192.0.2.2", False),
    ],
)
def test_b7_a_source_is_an_ipv4_address_or_an_ipv6_64(one: str, other: str, same: bool) -> None:
    admission = Admission(caps(per_address=1))
    entered(admission, one, None)

    assert same is not admission.enter(Waiting(None), other)


def test_proxies_are_exempt_from_the_cap_of_an_address() -> None:
    admission = Admission(caps(per_address=1), [Network.parse("10.0.0.0/8")])
    entered(admission, "10.0.0.7", None, None, None)


def test_proxies_count_in_all() -> None:
    admission = Admission(caps(in_all=1), [Network.parse("10.0.0.0/8")])
    entered(admission, "10.0.0.7", None)

    assert not admission.enter(Waiting(None), "10.0.0.7")


def test_whoever_leaves_makes_room_and_is_forgotten() -> None:
    admission = Admission(caps(per_address=1))
    (connection,) = entered(admission, "192.0.2.1", None)
    admission.leave(connection)
    admission.leave(connection)
    (connection,) = entered(admission, "192.0.2.1", None)

    assert 1 == len(admission)


def test_b8_nothing_is_kept_of_sources_that_are_gone() -> None:
    admission = Admission(caps())
    for number in range(1000):
        (connection,) = entered(admission, f"192.0.{number // 250}.{number % 250}", None)
        admission.leave(connection)

    assert ({}, {}) == (admission._by_source, admission._sources)


# --- over sockets ---


@contextmanager
def silent(served: Served, count: int, sent: bytes = b"") -> Iterator[list[socket.socket]]:
    """Open connections that say something, and then nothing."""
    with ExitStack() as stack:
        connections = []
        for _ in range(count):
            connection = stack.enter_context(served.connect())
            if sent:
                connection.sendall(sent)
            connections.append(connection)
        yield connections


def is_open(connection: socket.socket) -> bool:
    connection.settimeout(0.2)
    try:
        return connection.recv(1) != b""
    except TimeoutError:
        return True
    except OSError:
        return False


PATIENT = replace(QUICK, header_s=30, body_s=30, idle_s=30, handshake_s=30)


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: a\r\n"], ids=["nothing", "half a header"])
def test_l1_half_open_connections_do_not_lock_out_a_caller_behind_the_same_address(sent: bytes) -> None:
    with (
        serving(echo(Seen()), replace(PATIENT, connections_per_address=20)) as served,
        silent(served, 100, sent),
        served.connect() as good,
    ):
        for _ in range(3):
            good.sendall(REQUEST)

            assert 200 == read_answer(good)[0]
        assert 20 >= served.call(lambda: len(served.listeners.connections))


def test_l1_half_open_handshakes_are_counted_before_they_are_done(tmp_path: Path) -> None:
    places = Places(tmp_path)
    with (
        serving(echo(Seen()), replace(PATIENT, connections_per_address=20), context=places.mutual()) as served,
        silent(served, 100, b"\x16\x03\x01") as connections,
    ):
        with places.caller(places.client).wrap_socket(served.connect(), server_hostname="localhost") as good:
            good.sendall(REQUEST)

            assert 200 == read_answer(good)[0]
        assert not is_open(connections[0])
        assert is_open(connections[-1])


def test_l1_of_many_half_open_handshakes_the_oldest_are_cut(tmp_path: Path) -> None:
    places = Places(tmp_path)
    with (
        serving(echo(Seen()), replace(PATIENT, handshakes=20), context=places.mutual()) as served,
        silent(served, 100, b"\x16\x03\x01") as connections,
    ):
        with places.caller(places.client).wrap_socket(served.connect(), server_hostname="localhost") as good:
            good.sendall(REQUEST)

            assert 200 == read_answer(good)[0]
        assert not is_open(connections[79])
        assert is_open(connections[-1])
        assert 20 >= served.call(lambda: len(served.listeners.admission))


def test_connections_that_end_are_no_longer_counted(tmp_path: Path) -> None:
    places = Places(tmp_path)
    for context in (None, places.mutual()):
        with serving(echo(Seen()), replace(QUICK, connections_per_address=5), context=context) as served:
            for sent in (b"", b"junk\r\n\r\n", REQUEST) * 10:
                with served.connect() as connection:
                    connection.sendall(sent)
            until = time.monotonic() + 10
            while served.call(lambda: len(served.listeners.admission)):
                assert time.monotonic() < until
                time.sleep(0.02)


# --- at full size ---

HALF_OPEN = 5_000


async def serve_alone(context: ReloadingContext | None, port: Connection) -> None:
    """Serve until the process is ended, with caps and deadlines that keep every half-open connection."""
    limits = Limits(connections_per_address=6_000, handshakes=6_000, header_s=120, idle_s=120, handshake_s=120)
    sockets = bind("127.0.0.1", 0)
    await Listeners([Listener(app=echo(Seen()), sockets=sockets, context=context)], limits).start()
    port.send(sockets[0].getsockname()[1])
    await asyncio.Event().wait()


def process(places: Places, mutual: bool, port: Connection) -> None:
    uvloop.run(serve_alone(places.mutual() if mutual else None, port))


@pytest.mark.soak
@pytest.mark.parametrize("mutual", [False, True], ids=["plain", "mutual TLS"])
def test_l1_beside_5_000_half_open_connections_good_callers_are_at_most_twice_as_slow(
    tmp_path: Path, mutual: bool
) -> None:
    places = Places(tmp_path)
    caller = places.caller(places.client) if mutual else None
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("fork").Process(target=process, args=(places, mutual, theirs))
    server.start()
    address = ("127.0.0.1", ours.recv())
    try:
        alone = typical_s(address, caller)
        with ExitStack() as stack:
            half_open = [stack.enter_context(socket.create_connection(address)) for _ in range(HALF_OPEN)]
            for connection in half_open:
                connection.sendall(b"\x16\x03\x01" if mutual else b"GET / HTTP/1.1\r\nHost: a\r\nX: ")
            beside = typical_s(address, caller)

            assert is_open(half_open[0])
            assert is_open(half_open[-1])
    finally:
        server.kill()
        server.join()
    assert beside < 2 * alone


def typical_s(address: tuple[str, int], caller: ssl.SSLContext | None) -> float:
    """Return how long a request on a new connection takes, in the quietest of some rounds."""
    rounds = [sorted(request_s(address, caller) for _ in range(100)) for _ in range(6)]
    return min(took[len(took) // 2] for took in rounds)


def request_s(address: tuple[str, int], caller: ssl.SSLContext | None) -> float:
    began = time.perf_counter()
    connection = socket.create_connection(address)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if caller is not None:
        connection = caller.wrap_socket(connection, server_hostname="localhost")
    with connection:
        connection.sendall(REQUEST)
        read_answer(connection)
    return time.perf_counter() - began
