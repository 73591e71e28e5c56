"""An installation to measure: configuration, keys, and any number of registered clients."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Connection, Table, insert

from aldaba import config, server
from aldaba.core.clients import add_client
from aldaba.core.credentials import add_certificate
from aldaba.core.partners import add_partner
from aldaba.crypto import hashing
from aldaba.crypto.certificates.authority import Authority
from aldaba.crypto.master_key import create_master_key
from aldaba.model.ids import new_id
from aldaba.store import schema
from aldaba.store.database import prepare_database
from benchmarks.processes import Server, free_port, python, running

MOBILITY_CLIENT = "vialtis"
_PARTNER = "Benchmarks"
_AT_ONCE = 20_000
_DEVICES = 3
_WITH_DEVICES = 1_000

_SETTINGS = """
[server]
public = "127.0.0.1:{port}"
mtls = "127.0.0.1:{mtls_port}"
management = "127.0.0.1:{management_port}"

[mtls]
certificate = "server.pem"
key = "server.key"
anchors = ["ca.pem"]

[database]
url = "{url}"

[keys]
master_key_file = "master.key"

[log]
level = "warning"

[services.fleet]
requests_per_minute = 0

[services.mobility]
requests_per_minute = 0
"""


class Installation(msgspec.Struct, frozen=True):
    """Where everything of one installation is."""

    directory: Path
    port: int
    mtls_port: int

    @property
    def file(self) -> Path:
        """The configuration."""
        return self.directory / "aldaba.toml"

    @contextmanager
    def served(self, variables: Mapping[str, str]) -> Iterator[Server]:
        """Serve it as `aldaba serve` does."""
        command = python("benchmarks.aldaba_server", "--config", str(self.file), "serve")
        with running(command, port=self.port, variables=variables) as process:
            yield process


def install(directory: Path, *, clients: int = 1, url: str = "sqlite:///aldaba.db") -> Installation:
    """Make an installation with so many fleet clients and one mobility client."""
    directory.mkdir(parents=True, exist_ok=True)
    made = Installation(directory, free_port(), free_port())
    made.file.write_text(
        _SETTINGS.format(port=made.port, mtls_port=made.mtls_port, management_port=free_port(), url=url)
    )
    authority = Authority.create("Benchmark CA")
    authority.write(directory / "ca.pem", directory / "ca.key")
    authority.server(["localhost", "127.0.0.1"]).write(directory / "server.pem", directory / "server.key")
    authority.client(MOBILITY_CLIENT).write(directory / "client.pem", directory / "client.key")
    create_master_key(directory / "master.key")
    asyncio.run(_fill(made, clients))
    return made


def user_name(number: int) -> str:
    """Return the name of a fleet client."""
    return f"client-{number:07}"


def api_key(number: int) -> str:
    """Return the key of a fleet client: of the length of ours, and made from its number alone."""
    return f"bench_{number:049}"


async def _fill(made: Installation, count: int) -> None:
    settings = config.load(made.file, {})
    await prepare_database(settings.database.url.reveal())
    async with server.open_registrar(settings, "benchmark") as registrar:
        partner = await add_partner(registrar, _PARTNER)
        await add_client(registrar, MOBILITY_CLIENT, partner=_PARTNER, services=["mobility"], networks=["127.0.0.0/8"])
        await add_certificate(registrar, MOBILITY_CLIENT, (made.directory / "client.pem").read_bytes())
        for first in range(0, count, _AT_ONCE):
            numbers = range(first, min(first + _AT_ONCE, count))
            await registrar.database.write(_insert, numbers, partner.id, registrar.secrets.pepper)


def _insert(connection: Connection, numbers: Sequence[int], partner_id: str, pepper: bytes) -> None:
    """Insert clients past the use cases: a million of those would take hours, one transaction each."""
    now = datetime.now(UTC)
    ids = {number: new_id() for number in numbers}
    rows: dict[Table, list[dict[str, Any]]] = {
        schema.client: [_client(ids[number], user_name(number), partner_id, now) for number in numbers],
        schema.credential: [_credential(ids[number], api_key(number), pepper, now) for number in numbers],
        schema.device: [
            _device(ids[number], device, now)
            for number in numbers
            if number < _WITH_DEVICES
            for device in range(1, _DEVICES + 1)
        ],
    }
    for table, values in rows.items():
        if values:
            connection.execute(insert(table), values)


def _client(client_id: str, name: str, partner_id: str, now: datetime) -> dict[str, Any]:
    return {
        "id": client_id,
        "partner_id": partner_id,
        "name": name,
        "canonical_name": name,
        "services": ["fleet"],
        "networks": None,
        "roles": ["ROLE_USER"],
        "status": "active",
        "created_at": now,
    }


def _credential(client_id: str, key: str, pepper: bytes, now: datetime) -> dict[str, Any]:
    return {
        "id": new_id(),
        "client_id": client_id,
        "kind": "api_key",
        "version": 1,
        "status": "active",
        "hint": "imported",
        "digest": hashing.keyed_hash(pepper, key),
        "created_at": now,
    }


def _device(client_id: str, number: int, now: datetime) -> dict[str, Any]:
    return {
        "client_id": client_id,
        "id": f"van-{number}",
        "name": f"Van {number}",
        "description": "Valencia, harbour",
        "min": f"+3460010020{number}",
        "tags": {"plate": f"{1200 + number}KLM"},
        "expires_at": now + timedelta(days=365),
    }
