"""Loads a server over mutual TLS, which wrk cannot: `python -m benchmarks.tls_load PLAN SECONDS`.

One thread, many connections. It verifies nothing, since its own work only takes the core away from the load.
"""

import selectors
import socket
import ssl
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec

_AT_ONCE = 65_536


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of a server: one request again and again.

    Args:
        body: of JSON, to be posted; without one the request is a GET.
        anew: every request on a connection of its own.
    """

    port: int
    path: str
    body: str
    certificate: str
    key: str
    connections: int
    anew: bool

    def request(self) -> bytes:
        """Return the request on the wire."""
        head = f"{'POST' if self.body else 'GET'} {self.path} HTTP/1.1\r\nHost: localhost\r\n"
        if self.body:
            head += f"Content-Type: application/json\r\nContent-Length: {len(self.body)}\r\n"
        return f"{head}\r\n{self.body}".encode()


class Tally:
    """What came of it."""

    def __init__(self) -> None:
        self.latencies: list[float] = []
        self.wrong = 0

    def json(self, seconds: float) -> bytes:
        """Return it in the form in which wrk's script says it."""
        ordered = sorted(self.latencies) or [0.0]
        said = {
            "requests": len(self.latencies),
            "seconds": seconds,
            "p50_ms": ordered[len(ordered) // 2] * 1e3,
            "p99_ms": ordered[len(ordered) * 99 // 100] * 1e3,
            "wrong": self.wrong,
        }
        return msgspec.json.encode(said)


class Caller:
    """One caller: connects, asks, reads the answer, and begins again."""

    def __init__(self, plan: Plan, context: ssl.SSLContext, ready: selectors.BaseSelector, tally: Tally) -> None:
        self._context = context
        self._ready = ready
        self._tally = tally
        self._plan = plan
        self._request = plan.request()
        self.connect()

    def connect(self) -> None:
        """Begin a connection; the time of a request on it counts from here."""
        self._since = time.perf_counter()
        self._answer = b""
        connection = socket.create_connection(("127.0.0.1", self._plan.port))
        connection.settimeout(0)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._tls = self._context.wrap_socket(connection, server_hostname="localhost", do_handshake_on_connect=False)
        self._ready.register(self._tls, selectors.EVENT_READ, self)
        self._step: Callable[[], None] = self._shake
        self.go_on()

    def go_on(self) -> None:
        """Do what can be done without waiting."""
        try:
            self._step()
        except ssl.SSLWantReadError:
            pass
        except OSError:
            self._tally.wrong += 1
            self._ready.unregister(self._tls)
            self._tls.close()
            self.connect()

    def _shake(self) -> None:
        self._tls.do_handshake()
        self._ask()

    def _ask(self) -> None:
        self._step = self._read
        self._tls.send(self._request)

    def _read(self) -> None:
        # Until there is no more: what is decrypted already makes no socket ready.
        while not _is_whole(self._answer):
            part = self._tls.recv(_AT_ONCE)
            if not part:
                raise ConnectionResetError("the server has closed before its answer was whole")
            self._answer += part
        self._tally.latencies.append(time.perf_counter() - self._since)
        self._tally.wrong += not self._answer.startswith(b"HTTP/1.1 200")
        self._begin_again()

    def _begin_again(self) -> None:
        if not self._plan.anew:
            self._answer = b""
            self._since = time.perf_counter()
            self._ask()
            return
        self._ready.unregister(self._tls)
        self._say_goodbye()
        self.connect()

    def _say_goodbye(self) -> None:
        # As callers do: the closing alert, without waiting for the other side's.
        with suppress(ssl.SSLWantReadError, OSError):
            self._tls.unwrap()
        self._tls.close()


def _is_whole(answer: bytes) -> bool:
    head, found, body = answer.partition(b"\r\n\r\n")
    if not found:
        return False
    length = head.lower().partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0]
    return len(body) >= int(length)


def main() -> None:
    """Load for the given time and print what was counted."""
    plan = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Plan)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.load_cert_chain(plan.certificate, plan.key)
    ready, tally = selectors.DefaultSelector(), Tally()
    began = time.perf_counter()
    for _ in range(plan.connections):
        Caller(plan, context, ready, tally)
    until = began + float(sys.argv[2])
    while time.perf_counter() < until:
        for key, _events in ready.select(1.0):
            key.data.go_on()
    sys.stdout.buffer.write(tally.json(time.perf_counter() - began) + b"\n")


if __name__ == "__main__":
    main()
