"""Requests changed at random places, sent byte for byte to the real listeners: HTTP comes back, or nothing.

The server goes on, and whoever sends a good request at the same time is answered as ever.
"""

import random
import ssl
from collections.abc import Callable

import pytest

from tests.served import JSON, Answer, Connection, NoAnswer, Served, login, request

# What is put in, besides bytes of every value.
PIECES = [
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b" ",
    b"\t",
    b":",
    b"Content-Length: 5\r\n",
    b"Content-Length: -1\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: xchunked\r\n",
    b"Host: other\r\n",
    b"Expect: 100-continue\r\n",
    b"Connection: close\r\n",
    b"Upgrade: h2c\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\x16\x03\x01\x02\x00",
    b"%00",
    b"%2e%2e/",
    b"\xff" * 20,
    b"A" * 9_000,
]
# What HTTP, or one of our dialects, answers to what somebody sends.
STATUSES = {200, 308, 400, 401, 403, 404, 405, 408, 413, 414, 415, 421, 429, 431}


def changed(sent: bytes, chance: random.Random) -> bytes:
    """Change a request at one to four places."""
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(sent) + 1)
        match chance.randrange(4):
            case 0:
                sent = sent[:at] + chance.choice(PIECES) + sent[at:]
            case 1:
                sent = sent[:at] + bytes([chance.randrange(256)]) + sent[at + 1 :]
            case 2:
                sent = sent[:at] + sent[at + chance.randint(1, 20) :]
            case _:
                sent = sent[:at] + sent[at - 20 if at > 20 else 0 :]
    return sent


def answers_to(connect: Callable[[], Connection], sent: bytes) -> list[Answer]:
    """Send bytes, say that there are no more, and return what comes back until the end."""
    answers: list[Answer] = []
    with connect() as connection:
        try:
            connection.socket.sendall(sent)
            # TLS cannot be closed on one side: what is unfinished there is left.
            if not isinstance(connection.socket, ssl.SSLSocket):
                connection.socket.shutdown(1)
            else:
                connection.socket.settimeout(0.15)
            while True:
                answers.append(connection.receive(bodiless=sent.lstrip().startswith(b"HEAD")))
        except (NoAnswer, ConnectionError, TimeoutError):
            return answers


def throw(served: Served, rounds: int, seeded: int) -> set[int]:
    """Throw changed requests at both listeners; return the statuses that came back."""
    chance = random.Random(seeded)
    account, client = served.fleet_client(), served.mobility_client()
    token, bearer = served.fleet_token(account), served.mobility_token(client)
    good = {
        "fleet token": (request("POST", "/fleet/api/Auth/Token", login("nobody", "x"), content_type=JSON), False),
        "devices": (request("GET", "/fleet/api/devices", authorization=f"Bearer {token}"), False),
        "mobility token": (request("GET", "/mobility/v1/token"), True),
        "ping": (request("GET", "/mobility/v1/ping", authorization=bearer), True),
    }
    seen: set[int] = set()
    for number in range(rounds):
        # Handshakes cost, and so does the wait for an end: one in ten goes over TLS.
        over_tls = number % 10 == 0
        sent = changed(chance.choice([raw for raw, tls in good.values() if tls is over_tls]), chance)
        connect = (lambda: served.connect_tls(client.certificate)) if over_tls else served.connect
        answers = answers_to(connect, sent)
        for answer in answers:
            assert answer.status in STATUSES, sent
            assert b"Traceback" not in answer.body
            seen.add(answer.status)
    assert 200 == served.ask("GET", "/fleet/api/devices", authorization=f"Bearer {token}").status
    assert 200 == served.ask_tls(client.certificate, "GET", "/mobility/v1/ping", authorization=bearer).status
    return seen


def test_a_changed_request_is_answered_in_http_or_not_at_all(served: Served) -> None:
    assert {200, 400, 401, 404} <= throw(served, 200, 0)


@pytest.mark.soak
@pytest.mark.parametrize("part", range(4))
def test_thousands_of_changed_requests_are_answered_in_http_or_not_at_all(served: Served, part: int) -> None:
    assert {200, 400, 401, 404} <= throw(served, 5_000, 1 + part)
