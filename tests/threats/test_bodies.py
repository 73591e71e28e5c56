"""Bodies that nobody should send (threats A7, A9 to A14), to both dialects over the real listeners."""

import gzip
import json
import time

import pytest

from aldaba.core.devices import put_devices
from aldaba.model.devices import Device
from tests.served import JSON, Served, login, request
from tests.threats.forms import F400, F401, F413, F415, M4, M413, said

TOKEN = "/fleet/api/Auth/Token"


def post(served: Served, body: bytes, **headers: str) -> tuple[int, bytes]:
    return said(served.ask("POST", TOKEN, body, **{"content_type": JSON, **headers}))


# -- A7: size ---------------------------------------------------------------------------------------------------------


def test_a7_a_body_of_64_kib_is_read_and_one_byte_more_is_not(served: Served) -> None:
    body = login(served.fresh_name("nobody"), "x")
    fits = body + b" " * (65_536 - len(body))

    assert F401 == post(served, fits)
    assert F413 == post(served, fits + b" ")


def test_a7_a_length_over_the_cap_is_refused_before_any_of_the_body_is_there(served: Served) -> None:
    with served.connect() as connection:
        answer = connection.send(
            f"POST {TOKEN} HTTP/1.1\r\nHost: x\r\nContent-Type: {JSON}\r\nContent-Length: 9999999\r\n\r\n".encode()
        )

        assert F413 == said(answer)
        assert "close" == answer.header("connection")


@pytest.mark.parametrize("path, expected", [(TOKEN, F413), ("/mobility/v1/token", M413)])
def test_a7_a_chunked_body_without_end_is_cut(served: Served, path: str, expected: tuple[int, bytes]) -> None:
    chunk = b"2000\r\n" + b" " * 8192 + b"\r\n"
    with served.connect() as connection:
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {JSON}\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.socket.sendall(head.encode() + chunk * 9)

        assert expected == said(connection.receive())


# -- A9: what the body is said to be ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "lines",
    [
        [],
        ["Content-Type:"],
        ["Content-Type: text/json"],
        ["Content-Type: application/problem+json"],
        ["Content-Type: application/jsonx"],
        ["Content-Type: application/json, text/plain"],
        ["Content-Type: application/json; charset=iso-8859-1"],
        ["Content-Type: application/json; charset=utf-8; charset=utf-16"],
        ["Content-Type: application/json", "Content-Type: text/plain"],
        ["Content-Type: application/json", "Content-Type: application/json"],
        ["Content-Type: application/json", "Content-Encoding: gzip"],
        ["Content-Type: application/json", "Content-Encoding: identity, gzip"],
        ["Content-Type: application/json", "Content-Encoding: br"],
        ["Content-Type: multipart/form-data; boundary=x"],
    ],
    ids=lambda lines: "|".join(lines) or "none",
)
def test_a9_what_is_not_said_to_be_json_in_utf8_is_unsupported(served: Served, lines: list[str]) -> None:
    body = login(served.fresh_name("nobody"), "x")
    head = "\r\n".join([f"POST {TOKEN} HTTP/1.1", "Host: x", *lines, f"Content-Length: {len(body)}", "", ""])
    with served.connect() as connection:
        assert F415 == said(connection.send(head.encode() + body))


def test_a9_two_content_encodings_are_refused(served: Served) -> None:
    body = login(served.fresh_name("nobody"), "x")
    lines = ["Content-Type: application/json", "Content-Encoding: identity", "Content-Encoding: gzip"]
    head = "\r\n".join([f"POST {TOKEN} HTTP/1.1", "Host: x", *lines, f"Content-Length: {len(body)}", "", ""])
    with served.connect() as connection:
        assert said(connection.send(head.encode() + body)) in (F400, F415)


def test_a9_a_compressed_body_is_not_decompressed(served: Served) -> None:
    bomb = gzip.compress(b" " * 10_000_000)

    assert F400 == post(served, bomb)
    assert F415 == post(served, bomb, content_encoding="gzip")


def test_a9_a_body_where_none_is_due_is_refused_whatever_it_is_said_to_be(served: Served) -> None:
    for media_type in (JSON, "text/plain", "application/x-www-form-urlencoded"):
        assert M4 == said(served.ask("POST", "/mobility/v1/token", b"{}", content_type=media_type))


# -- A10 to A14: what the body is -------------------------------------------------------------------------------------

GOOD = '{"userName":"nobody","apiKey":"x"'


@pytest.mark.parametrize(
    "body",
    [
        "",
        " ",
        "null",
        "true",
        "42",
        '"text"',
        "[]",
        '[{"userName":"nobody","apiKey":"x"}]',
        "{",
        "}",
        "{}",
        "userName=nobody",
        "<xml/>",
        "{'userName':'nobody','apiKey':'x'}",
        GOOD + "}}",
        GOOD + "} trailing",
        GOOD + "}" + GOOD + "}",
        GOOD + ",}",
        GOOD + "}// comment",
        GOOD + ',"n":NaN}',
        GOOD + ',"n":Infinity}',
        GOOD + ',"n":-Infinity}',
        GOOD + ',"n":1e400}',
        GOOD + ',"n":' + "9" * 4_000 + "}",
        GOOD + ',"n":01}',
        GOOD + ',"n":0x10}',
        GOOD + ',"n":1_000}',
    ],
    ids=lambda body: body[:40] or "empty",
)
def test_a10_what_is_not_one_json_object_is_malformed(served: Served, body: str) -> None:
    assert F400 == post(served, body.encode())


@pytest.mark.parametrize(
    "value",
    [
        "[" * 33 + "]" * 33,
        "[" * 30_000 + "]" * 30_000,
        "[" * 60_000,
        '{"a":' * 12_000 + "1" + "}" * 5_000,
        "{" + ",".join(f'"{number}":1' for number in range(101)) + "}",
    ],
    ids=["33 levels", "30,000 levels", "60,000 unclosed", "12,000 objects", "101 members"],
)
def test_a11_what_is_deep_or_has_many_members_is_malformed_at_once(served: Served, value: str) -> None:
    began = time.perf_counter()

    assert F400 == post(served, f'{GOOD},"n":{value}}}'.encode())
    # A reader that recursed, or compared each with each, would take seconds.
    assert 2 > time.perf_counter() - began


def test_a11_a_name_of_60_kib_is_an_unknown_member(served: Served) -> None:
    assert F401 == post(served, f'{GOOD},"{"n" * 60_000}":1}}'.encode())


@pytest.mark.parametrize(
    "body",
    [
        '{"userName":"nobody","userName":"nobody","apiKey":"x"}',
        '{"userName":"nobody","apiKey":"x","apiKey":"y"}',
        '{"userName":"nobody","\\u0075serName":"other","apiKey":"x"}',
        GOOD + ',"more":{"a":1,"a":2}}',
    ],
)
def test_a12_the_same_member_twice_is_malformed(served: Served, body: str) -> None:
    assert F400 == post(served, body.encode())


def test_a12_a_query_is_no_part_of_a_token_request(served: Served) -> None:
    client = served.fleet_client()
    query = f"?userName={client.name}&apiKey={client.key}"

    answer = served.ask("POST", TOKEN + query, login(served.fresh_name("nobody"), "x"), content_type=JSON)

    assert F401 == said(answer)
    assert F400 == said(served.ask("POST", TOKEN + query, b"{}", content_type=JSON))


@pytest.mark.parametrize(
    "body",
    [
        (GOOD + "}").encode("utf-16"),
        (GOOD + "}").encode("utf-16-le"),
        (GOOD + "}").encode("utf-16-be"),
        (GOOD + "}").encode("utf-32"),
        b"\xef\xbb\xbf" + (GOOD + "}").encode(),
        b'{"userName":"caf\xe9","apiKey":"x"}',
        b'{"userName":"\xc0\xaf","apiKey":"x"}',
        b'{"userName":"\xed\xa0\x80","apiKey":"x"}',
        b'{"userName":"\\ud800","apiKey":"x"}',
        b'{"userName":"nobody","apiKey":"\\udc00\\ud800"}',
        b'{"userName":"no\\u0000body","apiKey":"x"}',
        b'{"userName":"nobody","apiKey":"x\\u0000"}',
        b'{"userName":"no\x00body","apiKey":"x"}',
        b'{"userName":"nobody\x1f","apiKey":"x"}',
    ],
)
def test_a13_other_encodings_marks_surrogates_and_nul_are_malformed(served: Served, body: bytes) -> None:
    assert F400 == post(served, body)


@pytest.mark.parametrize("value", [None, True, 0, 1.5, 60.0, [], ["nobody"], {}, {"$ne": ""}])
@pytest.mark.parametrize("member", ["userName", "apiKey"])
def test_a14_what_is_no_text_is_malformed_and_not_coerced(served: Served, member: str, value: object) -> None:
    body = json.dumps({"userName": "nobody", "apiKey": "x", member: value}).encode()

    assert F400 == post(served, body)


def test_a14_a_number_is_not_the_name_that_is_spelt_with_its_digits(served: Served) -> None:
    client = served.fleet_client("20260101")
    body = json.dumps({"userName": 20260101, "apiKey": client.key}).encode()

    assert F400 == post(served, body)


# -- A16: many at once ------------------------------------------------------------------------------------------------


def test_a16_pipelined_requests_are_answered_in_their_order_each_with_its_own(served: Served) -> None:
    clients = [served.fleet_client() for _ in range(3)]
    for client in clients:
        _give_van(served, client.name)
    with served.connect() as connection:
        connection.socket.sendall(
            b"".join(request("POST", TOKEN, login(client.name, client.key), content_type=JSON) for client in clients)
        )
        tokens = [connection.receive().json["token"] for _ in clients]
        connection.socket.sendall(
            b"".join(request("GET", "/fleet/api/devices", authorization=f"Bearer {token}") for token in tokens)
        )
        vans = [connection.receive().json["devices"][0]["id"] for _ in clients]

    assert [f"van of {client.name}" for client in clients] == vans


def _give_van(served: Served, name: str) -> None:
    served.operate(lambda registrar: put_devices(registrar, name, [Device(id=f"van of {name}")]))
