"""An installation as an operator has one, in a temporary directory: configuration, master key, database."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from aldaba import config, server
from aldaba.core import Core
from aldaba.core.clients import add_client
from aldaba.core.credentials import add_api_key, add_certificate
from aldaba.core.partners import add_partner
from aldaba.core.registrar import Registrar
from aldaba.crypto.certificates import Authority, Issued, common_name
from aldaba.crypto.master_key import create_master_key
from aldaba.model.calls import Call, Known, NameAndKey
from aldaba.model.ids import new_id
from aldaba.model.networks import parse_address
from aldaba.model.peer import Peer
from aldaba.model.services import Service

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

    def call(
        self,
        service: str = "fleet",
        address: str = "127.0.0.1",
        action: str = "token.issue",
        certificate: Issued | None = None,
    ) -> Call:
        """Give a request that has arrived."""
        shown = None if certificate is None else certificate.der
        return Call(new_id(), self.services[service], Peer(parse_address(address), shown), action, Known())

    @cached_property
    def services(self) -> Mapping[str, Service]:
        """The configured services by name."""
        return server.services_of(self.settings)

    @cached_property
    def authority(self) -> Authority:
        """The authority that client certificates must come from, if `install` was told to make one."""
        return Authority.from_pem((self.directory / "ca.pem").read_bytes(), (self.directory / "ca.key").read_bytes())


def install(
    directory: Path, url: str, settings: Mapping[str, str] | None = None, *, with_authority: bool = False
) -> Installation:
    """Make an installation on a prepared database; `settings` are further `ALDABA_*` variables.

    In a directory that has a master key, an authority or an `aldaba.toml` already, these are used.
    """
    key, anchor = directory / "master.key", directory / "ca.pem"
    environ = {"ALDABA_DATABASE_URL": url, "ALDABA_MASTER_KEY_FILE": str(key), **(settings or {})}
    if not key.exists():
        create_master_key(key)
    if with_authority and not anchor.exists():
        Authority.create("Test CA").write(anchor, directory / "ca.key")
    if anchor.exists():
        environ["ALDABA_MTLS_ANCHORS"] = str(anchor)
    file = directory / "aldaba.toml"
    return Installation(directory, config.load(file if file.exists() else None, environ))


async def fleet_client(registrar: Registrar, name: str = "acme", partner: str = "Acme") -> NameAndKey:
    """Register a partner with one client of the fleet service; return what the client shows."""
    await add_partner(registrar, partner)
    await add_client(registrar, name, partner=partner, services=["fleet"], requests_per_minute=0)
    return NameAndKey(name, (await add_api_key(registrar, name)).secret.reveal())


async def mobility_client(
    registrar: Registrar, certificate: Issued, partner: str = "Beacons", networks: Sequence[str] = ("127.0.0.0/8",)
) -> str:
    """Register a certificate for a client of the mobility service, with a partner of its own; return its name."""
    name = common_name(certificate.certificate)
    await add_partner(registrar, partner)
    await add_client(registrar, name, partner=partner, services=["mobility"], networks=networks, requests_per_minute=0)
    await add_certificate(registrar, name, certificate.pem)
    return name
