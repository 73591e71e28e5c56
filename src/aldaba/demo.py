"""A whole installation to try in one command: two partners, their credentials, a small CA, and lines to paste.

What it makes is kept and used again at the next start. Not for production: keys of clients lie beside the server's.
"""

import asyncio
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console

from aldaba import config, server
from aldaba.core.clients import add_client
from aldaba.core.credentials import add_api_key, add_certificate
from aldaba.core.devices import put_devices
from aldaba.core.partners import add_partner
from aldaba.core.registrar import Registrar
from aldaba.crypto import hashing
from aldaba.crypto.certificates.authority import Authority
from aldaba.crypto.master_key import create_master_key
from aldaba.errors import Impossible
from aldaba.model.devices import Device
from aldaba.model.parties import Client, CredentialStatus
from aldaba.store import clients
from aldaba.store.database import prepare_database
from aldaba.web.listen import bind

FLEET_CLIENT = "acme-fleet"
MOBILITY_CLIENT = "vialtis"
# The mutual-TLS port is for this machine, over either family.
MOBILITY_NETWORKS = ("127.0.0.0/8", "::1/128")

_SETTINGS = """\
# Written by 'aldaba demo' at every start; change the options of that command instead.
[server]
public = "127.0.0.1:{port}"
mtls = "127.0.0.1:{mtls_port}"
management = "127.0.0.1:{management_port}"
mtls_url = "https://localhost:{mtls_port}"

[mtls]
certificate = "server.pem"
key = "server.key"
anchors = ["ca.pem"]

[database]
url = "sqlite:///aldaba.db"

[keys]
master_key_file = "master.key"

[log]
format = "console"
level = "warning"

[services.fleet]
[services.mobility]
"""


def run(directory: Path, port: int = 8080, mtls_port: int = 8443, management_port: int = 9080) -> None:
    """Prepare the demo in a directory, serve it, and print what to paste; returns when it is told to stop."""
    _require_free(port, mtls_port, management_port)
    settings = asyncio.run(prepare(directory, port=port, mtls_port=mtls_port, management_port=management_port))
    server.serve(settings, ready=lambda _bound: _welcome(directory))


def _require_free(*ports: int) -> None:
    # Before anything is written: the settings may be those of a demo that is serving.
    try:
        for port in ports:
            for each in bind("127.0.0.1", port):
                each.close()
    except Impossible as error:
        raise Impossible(
            f"{error}; choose others with --port, --mtls-port and --management-port"
            " (make run ARGS='--port 8081 --mtls-port 8444 --management-port 9081')"
        ) from error


async def prepare(directory: Path, *, port: int, mtls_port: int, management_port: int) -> config.Config:
    """Make what is not there yet, write the settings and `demo.json`, and return the settings."""
    settings, authority = _lay_out(directory, port=port, mtls_port=mtls_port, management_port=management_port)
    await prepare_database(settings.database.url.reveal())
    known = _read_facts(directory)
    async with server.open_registrar(settings, "aldaba demo") as registrar:
        api_key = await _fleet(registrar, known.get("fleet", {}).get("api_key", ""))
        await _mobility(registrar, authority, directory)
    _write_facts(directory, _facts(directory, api_key=api_key, port=port, mtls_port=mtls_port))
    return settings


def _lay_out(directory: Path, *, port: int, mtls_port: int, management_port: int) -> tuple[config.Config, Authority]:
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / "aldaba.toml"
    file.write_text(_SETTINGS.format(port=port, mtls_port=mtls_port, management_port=management_port))
    authority = _authority(directory)
    if not (directory / "server.key").exists():
        authority.server(["localhost", "127.0.0.1", "::1"]).write(directory / "server.pem", directory / "server.key")
    if not (directory / "master.key").exists():
        create_master_key(directory / "master.key")
    return config.load(file, {}), authority


def _authority(directory: Path) -> Authority:
    certificate, key = directory / "ca.pem", directory / "ca.key"
    if key.exists():
        return Authority.from_pem(certificate.read_bytes(), key.read_bytes())
    authority = Authority.create("Aldaba demo CA")
    authority.write(certificate, key)
    return authority


async def _fleet(registrar: Registrar, known: str) -> str:
    """Return an API key of the fleet client that works: the known one, or a new one where that was rotated."""
    client = await registrar.database.read(clients.load_client, FLEET_CLIENT)
    if client is not None and _works(registrar, client, known):
        return known
    if client is not None:
        return (await add_api_key(registrar, FLEET_CLIENT)).secret.reveal()
    await add_partner(registrar, "Acme Logistics", tax_id="B12345674", contacts=["ops@acme.example"])
    await add_client(registrar, FLEET_CLIENT, partner="Acme Logistics", services=["fleet"])
    expires_at = datetime(datetime.now(UTC).year, 12, 31, 23, 59, 59, tzinfo=UTC)
    vans = [
        Device(
            id=f"van-{number}",
            name=f"Van {number}",
            description=place,
            min=f"+3460010020{number}",
            tags={"plate": f"{1200 + number}KLM"},
            expires_at=expires_at.replace(year=expires_at.year + number),
        )
        for number, place in enumerate(("Madrid, city centre", "Valencia, harbour", "Seville, spare"), 1)
    ]
    await put_devices(registrar, FLEET_CLIENT, vans)
    return (await add_api_key(registrar, FLEET_CLIENT)).secret.reveal()


def _works(registrar: Registrar, client: Client, key: str) -> bool:
    active = [each.digest for each in client.credentials if each.status is CredentialStatus.ACTIVE and each.digest]
    try:
        hashing.verify_secret(registrar.secrets.pepper, key, active)
    except hashing.WrongSecret:
        return False
    return True


async def _mobility(registrar: Registrar, authority: Authority, directory: Path) -> None:
    if await registrar.database.read(clients.load_client, MOBILITY_CLIENT) is not None:
        return
    await add_partner(registrar, "Vialtis Beacons", tax_id="A58818501", contacts=["noc@vialtis.example"])
    await add_client(
        registrar, MOBILITY_CLIENT, partner="Vialtis Beacons", services=["mobility"], networks=MOBILITY_NETWORKS
    )
    if not (directory / "vialtis.key").exists():
        authority.client(MOBILITY_CLIENT).write(directory / "vialtis.pem", directory / "vialtis.key")
    await add_certificate(registrar, MOBILITY_CLIENT, (directory / "vialtis.pem").read_bytes())


def _facts(directory: Path, *, api_key: str, port: int, mtls_port: int) -> dict[str, Any]:
    place = directory.absolute()
    return {
        "fleet": {
            "base_url": f"http://127.0.0.1:{port}/fleet",
            "user_name": FLEET_CLIENT,
            "api_key": api_key,
        },
        "mobility": {
            "base_url": f"https://localhost:{mtls_port}/mobility",
            "ca": str(place / "ca.pem"),
            "certificate": str(place / "vialtis.pem"),
            "key": str(place / "vialtis.key"),
        },
    }


def _read_facts(directory: Path) -> dict[str, Any]:
    file = directory / "demo.json"
    facts: dict[str, Any] = msgspec.json.decode(file.read_bytes()) if file.exists() else {}
    return facts


def _write_facts(directory: Path, facts: dict[str, Any]) -> None:
    # It holds an API key: for its owner's eyes, from the moment it exists, and whole or not at all.
    new = directory / "demo.json.new"
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(facts), indent=2) + b"\n")
    new.replace(directory / "demo.json")


def _welcome(directory: Path) -> None:
    facts = _read_facts(directory)
    fleet, mobility = facts["fleet"], facts["mobility"]
    body = f'{{"userName":"{fleet["user_name"]}","apiKey":"{fleet["api_key"]}"}}'
    with_certificate = f"--cacert {mobility['ca']} --cert {mobility['certificate']} --key {mobility['key']}"
    take_token = 'sed -n \'s/.*"token":"\\([^"]*\\)".*/\\1/p\''
    program = Path(sys.executable).with_name("aldaba")
    shown = program.relative_to(Path.cwd()) if program.is_relative_to(Path.cwd()) else program
    lines = f"""
Aldaba is serving two partner APIs. Paste these in another terminal.

  fleet: a user name and an API key for a token, then the account's devices

TOKEN=$(curl -s {fleet["base_url"]}/api/Auth/Token -H 'Content-Type: application/json' -d '{body}' | {take_token})
curl {fleet["base_url"]}/api/devices -H "Authorization: Bearer $TOKEN"

  mobility: a client certificate from a registered address for a token, then a call with it

TOKEN=$(curl -s {mobility["base_url"]}/v1/token {with_certificate} | {take_token})
curl {mobility["base_url"]}/v1/ping {with_certificate} -H "Authorization: $TOKEN"

  to read: {fleet["base_url"]}/docs/ and {fleet["base_url"].removesuffix("/fleet")}/mobility/docs/
  to use in scripts: {directory / "demo.json"}
  to operate: {shown} --config {directory / "aldaba.toml"} client list
  to stop: Ctrl-C
"""
    Console(soft_wrap=True, highlight=False, markup=False).print(lines)
