"""A thousand secrets, shown in every place of a request that a caller may confuse, are found nowhere afterwards.

Not in the database, not in the log, not in an answer, not in the metrics, not in what `aldaba explain` says (threats,
section 1, rules 4 and 7). What is recognised is a secret of ours; of one that another system has made nobody can tell
that it is one, where it stands for a name or in a path.
"""

import base64
import shutil
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from pathlib import Path

import msgspec
import pytest
import structlog
from sqlalchemy import Connection, select

from aldaba.core.clients import find_client
from aldaba.core.explain import explain
from aldaba.core.keyring import wrap
from aldaba.core.registrar import Note, Registrar
from aldaba.crypto import hashing
from aldaba.logs import set_up_logs
from aldaba.model.calls import NameAndKey
from aldaba.store import keys
from aldaba.store.database import Change
from aldaba.store.schema import event
from tests.served import JSON, FleetClient, NoAnswer, Served, login, request, serving_installation

SECRETS = 1_000
LOGIN, DEVICES = "/fleet/api/Auth/Token", "/fleet/api/devices"
SERVICES = "[services.fleet]\nrequests_per_minute = 0\n[services.mobility]\n[services.broken]\ndialect = 'fleet'\n"

Place = Callable[[str], bytes]


def _basic(secret: str) -> str:
    return base64.b64encode(f"acme:{secret}".encode()).decode()


# Each makes a request with a secret in it.
PLACES: dict[str, Place] = {
    "as the key": lambda s: request("POST", LOGIN, login("nobody", s), content_type=JSON),
    "as the name": lambda s: request("POST", LOGIN, login(s, "x"), content_type=JSON),
    "as name and key": lambda s: request("POST", LOGIN, login(s, s), content_type=JSON),
    "as the name, with something around it": lambda s: request(
        "POST", LOGIN, login(f" my key is '{s}' ", "x"), content_type=JSON
    ),
    "as the name, after a long text": lambda s: request("POST", LOGIN, login("x" * 180 + s, "x"), content_type=JSON),
    "as another member": lambda s: request(
        "POST", LOGIN, msgspec.json.encode({"userName": "nobody", "apiKey": "x", s: s}), content_type=JSON
    ),
    "as the whole body": lambda s: request("POST", LOGIN, s.encode(), content_type=JSON),
    "in a form": lambda s: request(
        "POST", LOGIN, f"userName=acme&apiKey={s}".encode(), content_type="application/x-www-form-urlencoded"
    ),
    "as the media type": lambda s: request("POST", LOGIN, b"{}", content_type=f"application/{s}"),
    "as the encoding": lambda s: request("POST", LOGIN, b"{}", content_type=JSON, content_encoding=s[:90]),
    "as a token": lambda s: request("GET", DEVICES, authorization=f"Bearer {s}"),
    "as a token, doubled": lambda s: request("GET", DEVICES, authorization=f"Bearer Bearer {s}"),
    "as a password": lambda s: request("GET", DEVICES, authorization=f"Basic {_basic(s)}"),
    "without a scheme": lambda s: request("GET", DEVICES, authorization=s),
    "in a cookie": lambda s: request("GET", DEVICES, cookie=f"token={s}"),
    "as who calls": lambda s: request("GET", DEVICES, x_forwarded_for=s, forwarded=f"for={s}", client_cert=s),
    "as the program": lambda s: request("GET", DEVICES, user_agent=s, referer=f"https://example.com/{s}"),
    "as a header": lambda s: f"GET {DEVICES} HTTP/1.1\r\nHost: localhost\r\n{s}: x\r\n\r\n".encode(),
    "as the path": lambda s: request("GET", f"/{s}"),
    "in the path": lambda s: request("GET", f"/fleet/{s}/devices"),
    "in the path, encoded": lambda s: request("GET", "/fleet/api/" + "".join(f"%{ord(char):02x}" for char in s[:200])),
    "as a parameter": lambda s: request("GET", f"{DEVICES}/{s}"),
    "in the query": lambda s: request("GET", f"{DEVICES}?access_token={s}&api_key={s}"),
    "in the query of a form": lambda s: request("POST", f"{LOGIN}?apiKey={s}", b"{}", content_type=JSON),
    "as the method": lambda s: request(s.replace("_", "-").replace(".", "-"), DEVICES),
    "as the host": lambda s: f"GET {DEVICES} HTTP/1.1\r\nHost: {s}\r\n\r\n".encode(),
    "as the version": lambda s: f"GET {DEVICES} {s}\r\nHost: localhost\r\n\r\n".encode(),
    "as a line without a colon": lambda s: f"GET {DEVICES} HTTP/1.1\r\nHost: localhost\r\n{s}\r\n\r\n".encode(),
    "as the length": lambda s: f"POST {LOGIN} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {s}\r\n\r\n".encode(),
    "where something breaks, as the key": lambda s: request(
        "POST", "/broken/api/Auth/Token", login("nobody", s), content_type=JSON
    ),
    "where something breaks, as a token": lambda s: request(
        "GET", "/broken/api/devices", authorization=f"Bearer {HEADER}.{s}.{s}"
    ),
}
HEADER = "eyJhbGciOiJIUzUxMiIsInR5cCI6IkpXVCJ9"


@pytest.fixture
def served(migrated_file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Iterator[Served]:
    """Give an installation, one service of which breaks when its keys are used; its log is captured."""
    shutil.copy(migrated_file, tmp_path / "aldaba.db")
    set_up_logs("json", "debug")
    with serving_installation(tmp_path, "sqlite:///aldaba.db", SERVICES) as running:
        running.operate(_break)
        yield running
    structlog.reset_defaults()


async def _break(registrar: Registrar) -> None:
    def work(change: Change, _note: Note) -> None:
        for key in keys.load_keys(change.connection, "broken"):
            sealed = wrap(registrar.secrets.sealing, b"short", service="broken", purpose=key.purpose, key_id=key.id)
            keys.update_key(change.connection, msgspec.structs.replace(key, sealed=sealed))
        change.touch("keys/broken")

    await registrar.change("test", work)


def _secrets(served: Served, client: FleetClient) -> list[str]:
    """Return keys that are good, keys that nobody has, and tokens."""
    good = [served.fleet_client().key for _ in range(50)]
    tokens = [served.fleet_token(client) for _ in range(100)]
    mine = [*good, *tokens]
    return mine + [hashing.new_secret("aldk").reveal() for _ in range(SECRETS - len(mine))]


def _pieces(secret: str) -> list[str]:
    # Cut, it would be as good as whole to somebody who has the rest: the middle of a key, the signature of a token.
    return [secret[10:40]] if secret.startswith("aldk") else [secret[-60:-20], secret.split(".")[1][-40:]]


def test_a_thousand_secrets_are_found_nowhere(served: Served, capfd: pytest.CaptureFixture[str]) -> None:
    client = served.fleet_client()
    secrets = _secrets(served, client)
    with ThreadPoolExecutor(8) as callers:
        answers = list(callers.map(lambda each: _send(served, PLACES[each[1]](each[0])), zip(secrets, cycle(PLACES))))

    everything = {
        "the answers": b"\n".join(answers),
        "the database": b"".join(file.read_bytes() for file in served.directory.iterdir() if "aldaba.db" in file.name),
        "the log": "".join(capfd.readouterr()).encode(),
        "the metrics": _metrics(served),
        "what explain says": served.operate(_explained).encode(),
    }
    assert SECRETS == len(secrets)
    # What is searched has to be what was written while they were shown.
    assert b"client_unknown" in everything["the database"]
    assert b"internal error" in everything["the log"]
    assert b"Invalid API key or username." in everything["the answers"]
    assert b"aldaba_refusals_total" in everything["the metrics"]
    assert "the client is registered" in everything["what explain says"].decode()
    found = [
        (where, place)
        for where, text in everything.items()
        for secret, place in zip(secrets, cycle(PLACES))
        if any(piece.encode() in text for piece in _pieces(secret))
    ]
    assert [] == found


def _send(served: Served, sent: bytes) -> bytes:
    with served.connect() as connection:
        try:
            line, headers, body = connection.send(sent)
        except (NoAnswer, OSError):
            return b""
    return f"{line}\n{headers}\n".encode() + body


def _metrics(served: Served) -> bytes:
    with served.connect(port=served.management) as connection:
        return connection.send(request("GET", "/metrics")).body


async def _explained(registrar: Registrar) -> str:
    def requests(connection: Connection) -> list[str]:
        return list(connection.execute(select(event.c.request_id).where(event.c.outcome == "refused")).scalars())

    explanations = [await explain(registrar, each) for each in await registrar.database.read(requests)]
    return "\n".join(map(repr, explanations))


def test_a_secret_in_the_hands_of_our_own_code_does_not_show_itself(served: Served) -> None:
    client = served.fleet_client()
    shown = repr(served.operate(_everything_about(client)))

    assert client.name in shown
    assert client.key not in shown
    assert client.key[10:40] not in shown


def _everything_about(client: FleetClient) -> Callable[[Registrar], Awaitable[object]]:
    async def gather(registrar: Registrar) -> object:
        return registrar, NameAndKey(client.name, client.key), await find_client(registrar, client.name)

    return gather
