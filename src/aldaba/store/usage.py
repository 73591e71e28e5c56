"""Last uses and daily counts: gathered in memory, written every second, and off the path of a request."""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Connection, select
from sqlalchemy.dialects import postgresql, sqlite

from aldaba.store.schema import credential_use, usage


def day_counts(connection: Connection, client_id: str, day: str) -> int:
    """Return how many requests of a client are noted for a UTC day (`2026-11-22`)."""
    query = select(usage.c.requests).where(usage.c.client_id == client_id, usage.c.day == day)
    return connection.execute(query).scalar_one_or_none() or 0


def add_usage(connection: Connection, requests: Mapping[tuple[str, str], int], uses: Mapping[str, datetime]) -> None:
    """Add to the daily counts of (client id, day) and move credentials' last uses forward."""
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    counted, used = insert(usage), insert(credential_use)
    count = counted.on_conflict_do_update(
        index_elements=["client_id", "day"], set_={"requests": usage.c.requests + counted.excluded.requests}
    )
    use = used.on_conflict_do_update(
        index_elements=["credential_id"],
        set_={"last_used_at": used.excluded.last_used_at},
        where=credential_use.c.last_used_at < used.excluded.last_used_at,
    )
    # One statement for all, since the ledger waits; in one order, so that two processes cannot wait for each other.
    for statement, rows in (
        (count, [{"client_id": key[0], "day": key[1], "requests": more} for key, more in sorted(requests.items())]),
        (use, [{"credential_id": key, "last_used_at": at} for key, at in sorted(uses.items())]),
    ):
        if rows:
            connection.execute(statement, rows)
