"""Texts of others that have broken programs before: the JSONTestSuite as bodies, naughty strings in every field."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from aldaba.core.clients import add_client
from aldaba.core.credentials import add_api_key
from aldaba.core.devices import put_devices
from aldaba.core.registrar import Registrar
from aldaba.crypto import strict_json
from aldaba.crypto.strict_json import MalformedJson
from aldaba.errors import Impossible
from aldaba.model.devices import Device
from tests.served import JSON, Connection, NoAnswer, Served, login, request
from tests.threats.forms import F400, F401, F413, F429, FT, M4, M5, M413, said
from tests.threats.in_process import InProcess, Sent, in_process
from tests.threats.oracle import check_fleet, check_mobility

VECTORS = Path(__file__).parents[1] / "vectors"
SUITE = sorted((VECTORS / "json-test-suite/test_parsing").glob("*.json"))
NAUGHTY: list[str] = json.loads((VECTORS / "naughty-strings/blns.json").read_text("utf-8"))
FLEET, MOBILITY = "/fleet/api/Auth/Token", "/mobility/v1/token"
JSON_TYPE = [(b"content-type", b"application/json")]


@pytest.fixture(scope="module")
def services(migrated_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    """Give both dialects in this process."""
    with in_process(migrated_file, tmp_path_factory.mktemp("texts")) as running:
        yield running


# -- JSONTestSuite ----------------------------------------------------------------------------------------------------


def test_a10_every_file_of_the_suite_is_a_bad_request_to_fleet_and_has_no_place_in_mobility(served: Served) -> None:
    assert 318 == len(SUITE)
    large = [file for file in SUITE if file.stat().st_size > 65_536]
    certificate = served.mobility_client().certificate
    with served.connect() as plain, served.connect_tls(certificate) as mutual:
        for file in SUITE:
            if file in large:
                continue
            # None of them is an object with both members.
            body = file.read_bytes()
            assert F400 == said(plain.send(request("POST", FLEET, body, content_type=JSON))), file.name
            answer = mutual.send(request("POST", MOBILITY, body, content_type=JSON))
            assert said(answer) == M4 if body else answer.status == 200, file.name
    for file in large:
        body = file.read_bytes()
        assert F413 == said(served.ask("POST", FLEET, body, content_type=JSON)), file.name
        assert M413 == said(served.ask_tls(certificate, "POST", MOBILITY, body, content_type=JSON)), file.name


def test_a10_what_the_suite_refuses_is_refused_as_a_member_too_and_what_it_accepts_is_read(services: InProcess) -> None:
    bodies = {
        file.name: b'{"userName":"nobody-%d","apiKey":"x","more":%b}' % (number, file.read_bytes())
        for number, file in enumerate(SUITE)
    }
    seen = services.ask([Sent("POST", FLEET.encode(), JSON_TYPE, body) for body in bodies.values()])

    for (name, body), answer in zip(bodies.items(), seen, strict=True):
        check_fleet(answer)
        expected = F413 if len(body) > 65_536 else F401 if _is_read(body) else F400
        assert expected == (answer.status, answer.body), name
        assert not name.startswith("n_") or answer.status in (400, 413), name


def _is_read(body: bytes) -> bool:
    # What is read and what is not, file by file, is tested where the reader is.
    try:
        strict_json.loads_object(body)
    except MalformedJson:
        return False
    return True


# -- naughty strings --------------------------------------------------------------------------------------------------


def test_naughty_strings_in_the_members_of_a_body_are_wrong_or_malformed(services: InProcess) -> None:
    sent = [
        Sent("POST", FLEET.encode(), JSON_TYPE, json.dumps(body, ensure_ascii=escaped).encode())
        for text in NAUGHTY
        for escaped in (True, False)
        for body in (
            {"userName": text, "apiKey": services.key},
            {"userName": "acme", "apiKey": text},
            {"userName": "nobody", "apiKey": "x", text: text},
            {"userName": text, "apiKey": text},
        )
    ]
    for start in range(0, len(sent), 200):
        for answer in services.ask(sent[start : start + 200]):
            check_fleet(answer)
            assert (answer.status, answer.body) in (F400, F401, F429)


def test_naughty_strings_in_targets_and_headers_open_nothing(served: Served) -> None:
    client = served.mobility_client()
    with _Kept(served.connect) as plain, _Kept(lambda: served.connect_tls(client.certificate)) as mutual:
        for text in NAUGHTY[::3]:
            escaped = quote(text, safe="")
            for kept, start, refused in ((plain, "/fleet/api/devices", FT), (mutual, "/mobility/v1/ping", M5)):
                assert kept.status("GET", f"{start}/{escaped}") in (400, 401, 404)
                assert kept.status("GET", f"{start}?{escaped}={escaped}") in (400, 401)
                assert kept.status("GET", start, b"Bearer " + _header(text)) == refused[0]


class _Kept:
    """A connection that is opened again when an answer has closed it."""

    def __init__(self, connect: Callable[[], Connection]) -> None:
        self._connect = connect
        self._connection: Connection | None = None

    def __enter__(self) -> "_Kept":
        return self

    def __exit__(self, *_: object) -> None:
        if self._connection is not None:
            self._connection.socket.close()

    def status(self, method: str, target: str, authorization: bytes | None = None) -> int:
        head = f"{method} {target} HTTP/1.1\r\nHost: x\r\n".encode()
        if authorization is not None:
            head += b"Authorization: " + authorization + b"\r\n"
        if self._connection is None:
            self._connection = self._connect()
        answer = self._connection.send(head + b"\r\n")
        if answer.header("connection") == "close":
            self._connection.socket.close()
            self._connection = None
        else:
            said(answer)
        return answer.status


def _header(text: str) -> bytes:
    # Control characters are no part of a header: what becomes of them is tested where HTTP is read.
    return bytes(byte for byte in text.encode() if byte >= 0x20 and byte != 0x7F).strip() or b"x"


def test_naughty_strings_that_an_operator_registers_come_back_as_they_are(served: Served) -> None:
    client = served.fleet_client()
    usable = [text for text in NAUGHTY if "\0" not in text]
    devices = [
        Device(id=f"van-{number:03}", name=text, description=text, min=text, tags={text or "empty": text})
        for number, text in enumerate(usable)
    ]
    served.operate(lambda registrar: put_devices(registrar, client.name, devices))

    answer = served.ask("GET", "/fleet/api/devices", authorization=f"Bearer {served.fleet_token(client)}")

    assert usable == [device["name"] for device in answer.json["devices"]]
    assert [{text or "empty": text} for text in usable] == [device["tags"] for device in answer.json["devices"]]


def test_a_client_of_a_naughty_name_gets_a_token_that_names_it_or_cannot_be_registered(served: Served) -> None:
    partner = served.fleet_client().partner
    registered = 0
    for text in NAUGHTY[::5]:
        try:
            key = served.operate(lambda registrar, text=text: _register(registrar, text, partner))  # type: ignore[misc]
        except Impossible:
            continue
        registered += 1
        answer = served.ask("POST", FLEET, login(text, key), content_type=JSON)
        assert 200 == answer.status, text
        devices = served.ask("GET", "/fleet/api/devices", authorization=f"Bearer {answer.json['token']}")
        assert 200 == devices.status, text

    assert registered > 50


async def _register(registrar: Registrar, name: str, partner: str) -> str:
    await add_client(registrar, name, partner=partner, services=["fleet"])
    return (await add_api_key(registrar, name)).secret.reveal()


# -- bytes on a real socket -------------------------------------------------------------------------------------------


def test_naughty_bytes_instead_of_a_request_do_not_stop_the_server(served: Served) -> None:
    for text in NAUGHTY[::8]:
        with served.connect() as connection:
            connection.socket.sendall(text.encode() + b"\r\n\r\n")
            try:
                assert connection.receive().status in (400, 404, 405)
            except NoAnswer:
                continue

    assert 200 == served.ask("GET", "/health/ready").status


def test_the_services_in_process_answer_as_those_on_sockets(services: InProcess) -> None:
    """Guard the ground of the generated inputs: the good requests are good there too."""
    body = json.dumps({"userName": "acme", "apiKey": services.key}).encode()
    bearer = [(b"authorization", f"Bearer {services.tokens['mobility']}".encode())]

    (fleet,) = services.ask([Sent("POST", FLEET.encode(), JSON_TYPE, body)])
    (ping,) = services.ask([Sent("GET", b"/mobility/v1/ping", bearer)], certificate=services.certificate)

    assert check_fleet(fleet)["success"]
    assert {"user": "vialtis", "authorities": ["ROLE_USER"]} == check_mobility(ping)
