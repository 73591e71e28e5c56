"""Events, the heads of their chains, and signed checkpoints."""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, Row, func, insert, or_, select, update

from aldaba.store.schema import audit_chain, audit_checkpoint, event


def read_head(connection: Connection, writer: str) -> tuple[int, str, str] | None:
    """Return (length, head, seal) of a writer's chain."""
    row = connection.execute(select(audit_chain).where(audit_chain.c.writer == writer)).one_or_none()
    return None if row is None else (row.length, row.head, row.seal)


def open_chain(connection: Connection, head: tuple[str, int, str, str]) -> None:
    """Insert the head of a chain that has no events yet; its writer is unique."""
    connection.execute(insert(audit_chain).values(dict(zip(("writer", "length", "head", "seal"), head, strict=True))))


def append(
    connection: Connection,
    rows: Sequence[dict[str, Any]],
    head: tuple[str, int, str, str],
    checkpoint: tuple[str, int, int, str, str],
) -> None:
    """Insert events, move the head of their chain and sign it; for changes, which are rare and already serial."""
    connection.execute(insert(event), rows)
    connection.execute(insert(audit_checkpoint).values(checkpoint))
    writer, length, mac, seal = head
    moved = connection.execute(
        update(audit_chain).where(audit_chain.c.writer == writer).values(length=length, head=mac, seal=seal)
    )
    if moved.rowcount == 0:
        open_chain(connection, head)


def chains(connection: Connection) -> list[Row[Any]]:
    """Return all chains."""
    return list(connection.execute(select(audit_chain).order_by(audit_chain.c.writer)))


def all_events(connection: Connection) -> Iterator[Row[Any]]:
    """Return every event in the order in which they were written, those of one writer in the order of its chain."""
    return iter(connection.execution_options(yield_per=1000).execute(select(event).order_by(event.c.id)))


def events_of_request(connection: Connection, request_id: str) -> list[Row[Any]]:
    """Return what was recorded of one request."""
    return list(connection.execute(select(event).where(event.c.request_id == request_id).order_by(event.c.id)))


def list_events(
    connection: Connection,
    *,
    limit: int,
    before_id: int | None = None,
    since_us: int | None = None,
    until_us: int | None = None,
    **equal: str | None,
) -> list[Row[Any]]:
    """Return events, newest first, with the given columns equal to the given values."""
    query = select(event).order_by(event.c.id.desc()).limit(limit)
    if before_id is not None:
        query = query.where(event.c.id < before_id)
    if since_us is not None:
        query = query.where(event.c.at_us >= since_us)
    if until_us is not None:
        query = query.where(event.c.at_us < until_us)
    for column, value in equal.items():
        if value is not None:
            query = query.where(event.c[column] == value)
    return list(connection.execute(query))


def all_checkpoints(connection: Connection) -> Iterator[Row[Any]]:
    """Return every signed checkpoint."""
    return iter(connection.execution_options(yield_per=1000).execute(select(audit_checkpoint)))


def checkpoints_since(connection: Connection, at_us: int) -> list[Row[Any]]:
    """Return every writer's checkpoints from an instant on, oldest first."""
    columns = audit_checkpoint.c
    query = select(audit_checkpoint).where(columns.at_us >= at_us).order_by(columns.at_us, columns.writer, columns.seq)
    return list(connection.execute(query))


def failures_since(
    connection: Connection, since_us: int, reasons: Sequence[str], mark: str, latest: int
) -> list[Row[Any]]:
    """Return (service, client, address, failures, last at_us) of the failures to prove a claimed name, `client`.

    Args:
        reasons: why those were refused that failed.
        mark: in the detail of what was refused for another reason, and failed as well.
        latest: so many refusals are looked at, the newest.
    """
    newest = select(event).where(event.c.outcome == "refused", event.c.at_us >= since_us)
    refusals = newest.order_by(event.c.at_us.desc()).limit(latest).subquery().c
    counts = func.count().label("failures"), func.max(refusals.at_us).label("at_us")
    query = (
        select(refusals.service, refusals.client, refusals.address, *counts)
        .where(or_(refusals.reason.in_(reasons), refusals.detail.contains(mark)))
        .where(refusals.client.is_not(None), refusals.address.is_not(None))
        .group_by(refusals.service, refusals.client, refusals.address)
    )
    return list(connection.execute(query))
