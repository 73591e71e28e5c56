"""What is odd in the registry, for `aldaba doctor`: questions over all of it, which no request asks."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from sqlalchemy import Connection, and_, exists, func, or_, select
from sqlalchemy.sql.elements import ColumnElement

from aldaba.model.parties import ClientStatus, CredentialKind, CredentialStatus
from aldaba.store.schema import client, credential, event, partner


def count_parties(connection: Connection) -> tuple[int, int]:
    """Return how many partners and clients there are."""
    return (
        connection.execute(select(func.count()).select_from(partner)).scalar_one(),
        connection.execute(select(func.count()).select_from(client)).scalar_one(),
    )


def clients_without_credential(connection: Connection, at: datetime, limit: int) -> list[str]:
    """Return active clients that nothing can prove at an instant."""
    usable = exists().where(credential.c.client_id == client.c.id, _is_usable(at))
    query = select(client.c.name).where(client.c.status == ClientStatus.ACTIVE.value, ~usable)
    return list(connection.execute(query.order_by(client.c.name).limit(limit)).scalars())


def active_clients(connection: Connection) -> Iterator[tuple[str, list[str], list[str] | None]]:
    """Return (name, services, networks) of every active client."""
    query = select(client.c.name, client.c.services, client.c.networks).where(
        client.c.status == ClientStatus.ACTIVE.value
    )
    for row in connection.execution_options(yield_per=1000).execute(query):
        yield row.name, row.services, row.networks


def registered_certificates(connection: Connection, at: datetime) -> Iterator[tuple[str, str]]:
    """Return (client, certificate as PEM) of every certificate that may prove its client at an instant."""
    query = (
        select(client.c.name, credential.c.certificate)
        .join(credential)
        .where(
            credential.c.kind == CredentialKind.CERTIFICATE.value, credential.c.certificate.is_not(None), _is_usable(at)
        )
    )
    for row in connection.execution_options(yield_per=1000).execute(query):
        yield row.name, row.certificate


def last_links(connection: Connection, events: int) -> dict[str, tuple[int, str]]:
    """Return (seq, link) of the last event of each writer that is among so many newest events."""
    newest = select(event.c.id, event.c.writer, event.c.seq, event.c.mac).order_by(event.c.id.desc()).limit(events)
    found: dict[str, tuple[int, str]] = {}
    for row in connection.execute(newest):
        found.setdefault(row.writer, (row.seq, row.mac))
    return found


def database_now(connection: Connection) -> datetime:
    """Return the instant by the clock of the database's machine."""
    at: datetime = connection.execute(select(func.now())).scalar_one()
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def _is_usable(at: datetime) -> ColumnElement[bool]:
    return and_(
        credential.c.status == CredentialStatus.ACTIVE.value,
        or_(credential.c.not_after_at.is_(None), credential.c.not_after_at > at),
    )


def chain_lengths(connection: Connection, writers: Sequence[str]) -> dict[str, int]:
    """Return the number of the last event of each of these writers that has one."""
    query = select(event.c.writer, func.max(event.c.seq)).where(event.c.writer.in_(writers)).group_by(event.c.writer)
    return dict(tuple(row) for row in connection.execute(query))
