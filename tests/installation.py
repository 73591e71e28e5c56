"""An installation as an operator has one, in a temporary directory: configuration, master key, database."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from aldaba import config, server
from aldaba.core import Core
from aldaba.core.clients import add_client
from aldaba.core.credentials import add_api_key
from aldaba.core.partners import add_partner
from aldaba.core.registrar import Registrar
from aldaba.crypto.master_key import create_master_key
from aldaba.model.calls import Call, Known, NameAndKey
from aldaba.model.ids import new_id
from aldaba.model.networks import parse_address
from aldaba.model.peer import Peer

OPERATOR = "operator@tests"


@dataclass(frozen=True)
class Installation:
    """Where everything of one installation is."""

    directory: Path
    settings: config.Config

    @asynccontextmanager
    async def registrar(self) -> AsyncIterator[Registrar]:
        """Give what the command line works with."""
        async with server.open_registrar(self.settings, OPERATOR) as registrar:
            yield registrar

    @asynccontextmanager
    async def core(self) -> AsyncIterator[Core]:
        """Give what one serving process decides with."""
        async with server.open_core(self.settings) as core:
            yield core

    def call(self, service: str = "fleet", address: str = "127.0.0.1", action: str = "token.issue") -> Call:
        """Give a request that has arrived."""
        peer = Peer(parse_address(address))
        return Call(new_id(), server.services_of(self.settings)[service], peer, action, Known())


def install(directory: Path, url: str, settings: Mapping[str, str] | None = None) -> Installation:
    """Make an installation on a prepared database; `settings` are further `ALDABA_*` variables."""
    key = directory / "master.key"
    if not key.exists():
        create_master_key(key)
    environ = {"ALDABA_DATABASE_URL": url, "ALDABA_MASTER_KEY_FILE": str(key), **(settings or {})}
    return Installation(directory, config.load(None, environ))


async def fleet_client(registrar: Registrar, name: str = "acme", partner: str = "Acme") -> NameAndKey:
    """Register a partner with one client of the fleet service; return what the client shows."""
    await add_partner(registrar, partner)
    await add_client(registrar, name, partner=partner, services=["fleet"], requests_per_minute=0)
    return NameAndKey(name, (await add_api_key(registrar, name)).secret.reveal())
