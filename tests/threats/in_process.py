"""The services without their sockets, for inputs by the hundred thousand: many requests at once, on one loop."""

import asyncio
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import uvloop

from aldaba import server
from aldaba.core.clients import add_client
from aldaba.core.credentials import add_api_key, add_certificate
from aldaba.core.keyring import unwrap
from aldaba.core.partners import add_partner
from aldaba.core.registrar import Registrar
from aldaba.crypto.certificates.authority import Authority
from aldaba.crypto.certificates.issued import Issued
from aldaba.model.keys import KeyState
from aldaba.server.build import open_core
from aldaba.store import keys
from aldaba.web.docs import documents_for
from aldaba.web.metrics import Metrics
from aldaba.web.mount import Mounted, Site
from aldaba.web.peer import PeerReader
from tests.served import OPERATOR, install_whole

Headers = Sequence[tuple[bytes, bytes]]

_SETTINGS = """
[server]
mtls = "127.0.0.1:0"
[mtls]
certificate = "server.pem"
key = "server.key"
anchors = ["ca.pem"]
[database]
url = "sqlite:///aldaba.db"
timeout = "30s"
[keys]
master_key_file = "master.key"
[log]
level = "error"
[limits]
failures_per_minute = 100000
[services.fleet]
requests_per_minute = 0
[services.mobility]
requests_per_minute = 0
"""


class Sent(NamedTuple):
    """A request as it arrives at a service; names of headers in lower case, as the protocol gives them."""

    method: str
    path: bytes
    headers: Headers = ()
    body: bytes = b""
    query: bytes = b""


class Seen(NamedTuple):
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class InProcess:
    """Both dialects on one loop, with a client each, and what is needed to forge their tokens."""

    loop: asyncio.AbstractEventLoop
    site: Site
    key: str
    certificate: Issued
    signing_keys: Mapping[str, bytes]
    documents: Mapping[str, dict[str, Any]]
    tokens: dict[str, str]

    def ask(self, requests: Sequence[Sent], *, certificate: Issued | None = None) -> list[Seen]:
        """Send requests, all at once, and return their answers in their order."""

        async def together() -> list[Seen]:
            return list(await asyncio.gather(*(self._ask(request, certificate) for request in requests)))

        return self.loop.run_until_complete(together())

    async def _ask(self, request: Sent, certificate: Issued | None) -> Seen:
        shown = {"certificate": certificate.der if certificate else None, "chain": (), "version": "TLSv1.3"}
        scope = {
            "type": "http",
            "method": request.method,
            "path": request.path.decode("ascii"),
            "raw_path": request.path,
            "query_string": request.query,
            "headers": [(b"host", b"localhost"), *request.headers],
            "client": ("127.0.0.1", 50_000),
            "extensions": {"tls": shown},
        }
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": request.body, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        await self.site(scope, receive, send)
        start, body = sent
        headers = {name.decode(): value.decode() for name, value in start["headers"]}
        return Seen(start["status"], headers, body["body"])


@contextmanager
def in_process(migrated_file: Path, directory: Path, *, more: str = "", counters: int = 100_000) -> Iterator[InProcess]:
    """Open both dialects until the end of the block; `more` are further tables of the settings."""
    shutil.copy(migrated_file, directory / "aldaba.db")
    authority = Authority.create("Authority of the tests")
    settings = install_whole(directory, authority, _SETTINGS)
    certificate = authority.client("vialtis")
    loop = uvloop.new_event_loop()
    opening = open_core(settings)
    with ExitStack() as stack:
        stack.callback(loop.close)
        core = loop.run_until_complete(opening.__aenter__())
        stack.callback(lambda: loop.run_until_complete(opening.__aexit__(None, None, None)))
        key, signing_keys = loop.run_until_complete(_register(settings, certificate))
        services = server.services_of(settings)
        mounted, documents = {}, {}
        for service in services.values():
            dialect = server.DIALECTS[service.dialect]
            answers = documents_for(service, dialect, f"https://localhost{service.path}")
            documents[service.name] = json.loads(answers[b"/openapi.json"].body)
            mounted[service.path] = Mounted(
                core, service, dialect, PeerReader(), Metrics(), max_body=65_536, documents=answers
            )
        running = InProcess(loop, Site({}, mounted, {}), key, certificate, signing_keys, documents, {})
        running.tokens.update(_tokens(running))
        yield running


async def _register(settings: Any, certificate: Issued) -> tuple[str, dict[str, bytes]]:
    async with server.open_registrar(settings, OPERATOR) as registrar:
        await add_partner(registrar, "Acme")
        await add_client(registrar, "acme", partner="Acme", services=["fleet"])
        key = (await add_api_key(registrar, "acme")).secret.reveal()
        await add_client(registrar, "vialtis", partner="Acme", services=["mobility"], networks=["127.0.0.0/8"])
        await add_certificate(registrar, "vialtis", certificate.pem)
        return key, {service: await _signing_key(registrar, service) for service in ("fleet", "mobility")}


async def _signing_key(registrar: Registrar, service: str) -> bytes:
    held = await registrar.database.read(keys.load_keys, service)
    (active,) = [key for key in held if key.state is KeyState.ACTIVE]
    return unwrap(registrar.secrets.sealing, active)


def _tokens(running: InProcess) -> dict[str, str]:
    body = json.dumps({"userName": "acme", "apiKey": running.key}).encode()
    json_type = [(b"content-type", b"application/json")]
    (fleet,) = running.ask([Sent("POST", b"/fleet/api/Auth/Token", json_type, body)])
    (mobility,) = running.ask([Sent("GET", b"/mobility/v1/token")], certificate=running.certificate)
    return {
        "fleet": json.loads(fleet.body)["token"],
        "mobility": json.loads(mobility.body)["token"].removeprefix("Bearer "),
    }
