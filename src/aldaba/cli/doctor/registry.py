"""The database and what it holds: whole, of this program's schema, opened by this master key, and of use to clients."""

import hmac
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial

from cryptography import x509
from sqlalchemy import Connection

from aldaba.cli.doctor.findings import Finding, advice, good, some, wrong
from aldaba.cli.output import counted
from aldaba.config import Config
from aldaba.core.audit import seal
from aldaba.core.keyring import TOKENS, unwrap
from aldaba.core.proofs import Secrets
from aldaba.crypto.master_key import MasterKeyError, load_master_key
from aldaba.crypto.sealing import CannotUnseal
from aldaba.errors import Damaged, StoreUnavailable
from aldaba.model.keys import KeyState, SigningKey
from aldaba.model.services import Service
from aldaba.server import services_of
from aldaba.store import audit, keys, survey
from aldaba.store.database import Database, engine_for
from aldaba.store.migrations import require_current

# Registered certificates that end are noticed so long before.
SOON = timedelta(days=30)
# From this difference on, instants of replicas no longer agree well enough (threats K6).
CLOCKS_APART = timedelta(seconds=5)
QUICK_LOOK = 10_000
AT_MOST = 1000


async def look(config: Config) -> AsyncIterator[Finding]:
    """Look at the database, as far as it opens."""
    engine = engine_for(config.database.url.reveal(), timeout_s=10.0)
    database = Database(engine)
    try:
        engine.check_present()
        await database.read(partial(engine.check_sound, thorough=True))
        await database.read(require_current)
    except Damaged as error:
        yield wrong(str(error), "nothing is served from it as it is")
    except StoreUnavailable as error:
        yield wrong(
            f"the database does not answer: {' '.join(str(error).split())}", "start it, or correct database.url"
        )
    else:
        yield good(f"the database is whole and of this program's schema: {config.database.url}")
        async for finding in _look_inside(config, database):
            yield finding
    finally:
        await database.close()


async def _look_inside(config: Config, database: Database) -> AsyncIterator[Finding]:
    services = services_of(config)
    at = datetime.now(UTC)
    secrets = _secrets(config)
    if secrets is not None:
        for finding in _signing_keys(await database.read(keys.list_keys), services, secrets):
            yield finding
        yield await database.read(_quick_look, secrets.audit_chain)
    for finding in await database.read(_clients, services, at):
        yield finding
    if not database.engine.single_process:
        yield _clocks(await database.read(survey.database_now), datetime.now(UTC))


def _secrets(config: Config) -> Secrets | None:
    try:
        return Secrets(load_master_key(config.keys.master_key_file))
    except MasterKeyError:
        # Already said where files were looked at.
        return None


def _signing_keys(held: list[SigningKey], services: Mapping[str, Service], secrets: Secrets) -> Iterator[Finding]:
    try:
        for key in held:
            unwrap(secrets.sealing, key)
    except CannotUnseal:
        yield wrong(
            "the master key does not open the signing keys: they were sealed under another one",
            "restore that key's file, or the database that goes with this one",
        )
    else:
        yield good(f"the master key opens the {counted(len(held), 'signing key')}")
    for name in services:
        states = [key.state for key in held if key.service == name and key.purpose == TOKENS]
        if KeyState.ACTIVE not in states:
            yield wrong(f"service {name} has no active signing key", "run aldaba init, or aldaba serve, which make it")
        elif KeyState.NEXT not in states:
            yield advice(f"service {name} has no announced next key", f"run aldaba keys rotate {name}")
    gone = sorted({key.service for key in held} - set(services))
    if gone:
        yield advice(
            f"there are signing keys of services that are not configured: {some(gone)}",
            "nothing, where they were taken away on purpose; their tokens are refused",
        )


def _quick_look(connection: Connection, key: bytes) -> Finding:
    heads = {row.writer: row for row in audit.chains(connection)}
    last = survey.last_links(connection, QUICK_LOOK)
    broken = [
        writer
        for writer, head in heads.items()
        if not hmac.compare_digest(seal(key, writer, head.length, head.head), head.seal)
        or last.get(writer, (head.length, head.head)) != (head.length, head.head)
    ]
    # Chains that no recent event belongs to: those of processes that ended long ago, or one that was cut off.
    unseen = {writer: head.length for writer, head in heads.items() if writer not in last and head.length}
    lengths = survey.chain_lengths(connection, list(unseen))
    broken += sorted(writer for writer, length in unseen.items() if lengths.get(writer, 0) != length)
    broken += sorted(set(last) - set(heads))
    if broken:
        return wrong(
            f"the end of the audit log is not as it was sealed: {some(broken)}",
            "run aldaba audit verify, and find out who changed it",
        )
    return good(
        f"the audit log ends as it was sealed, in {counted(len(heads), 'chain')}; aldaba audit verify reads all of it"
    )


def _clients(connection: Connection, services: Mapping[str, Service], at: datetime) -> list[Finding]:
    partners, clients = survey.count_parties(connection)
    if not clients:
        return [advice("no client is registered", "run aldaba partner add and aldaba client add")]
    return [
        good(f"{counted(partners, 'partner')} and {counted(clients, 'client')} registered"),
        *_without_credential(connection, at),
        *_without_use(connection, services),
        *_ending_certificates(connection, at),
    ]


def _without_credential(connection: Connection, at: datetime) -> Iterator[Finding]:
    names = survey.clients_without_credential(connection, at, AT_MOST)
    if names:
        yield advice(
            f"clients have no credential that is good: {some(names)}", "run aldaba credential add, or disable them"
        )


def _without_use(connection: Connection, services: Mapping[str, Service]) -> Iterator[Finding]:
    unknown: list[str] = []
    shut_out: list[str] = []
    for name, used, networks in survey.active_clients(connection):
        if not any(service in services for service in used):
            unknown.append(name)
        if networks == [] or (
            networks is None and any(services[one].networks_required for one in used if one in services)
        ):
            shut_out.append(name)
    if unknown:
        yield advice(
            f"clients may use no service that is configured: {some(unknown)}",
            "configure their services, or disable them",
        )
    if shut_out:
        yield advice(
            f"clients may call from nowhere where networks are wanted: {some(shut_out)}",
            "run aldaba client networks NAME 192.0.2.0/24",
        )


def _ending_certificates(connection: Connection, at: datetime) -> Iterator[Finding]:
    ending = [
        name
        for name, pem in survey.registered_certificates(connection, at)
        if x509.load_pem_x509_certificate(pem.encode()).not_valid_after_utc <= at + SOON
    ]
    if ending:
        yield advice(
            f"registered certificates end within {SOON.days} days, or have ended: {some(ending)}",
            "ask these clients for their new ones, and run aldaba credential add NAME --certificate FILE",
        )


def _clocks(theirs: datetime, ours: datetime) -> Finding:
    apart = abs(theirs - ours)
    if apart > CLOCKS_APART:
        return wrong(
            f"the clocks of this machine and of the database are {apart.total_seconds():.0f} s apart",
            "let both follow the same time servers",
        )
    return good("the clocks of this machine and of the database agree")
