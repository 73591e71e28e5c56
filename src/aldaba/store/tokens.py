"""Tokens that were revoked before their time.

A signed token has no row of its own: the event of its issue is its record, found by the token's digest.
"""

from datetime import datetime

from sqlalchemy import Connection, delete, insert, select, update

from aldaba.store.schema import registry, revoked_token


def is_revoked(connection: Connection, digest: str) -> bool:
    """Return whether the token of that digest was revoked."""
    query = select(revoked_token.c.digest).where(revoked_token.c.digest == digest)
    return connection.execute(query).one_or_none() is not None


def revoke_token(connection: Connection, digest: str, *, at: datetime, ends_at: datetime) -> None:
    """Revoke a token; the row is kept until the token would have ended anyway."""
    if not is_revoked(connection, digest):
        connection.execute(insert(revoked_token).values(digest=digest, revoked_at=at, ends_at=ends_at))


def forget_ended(connection: Connection, *, before: datetime) -> int:
    """Delete the revocations of tokens that ended before an instant; return how many."""
    return connection.execute(delete(revoked_token).where(revoked_token.c.ends_at < before)).rowcount


def tokens_not_before(connection: Connection, _key: str) -> tuple[datetime | None]:
    """Return the instant before which no issued token counts, in a tuple of one (None: all count)."""
    return (connection.execute(select(registry.c.tokens_not_before_at)).scalar_one(),)


def set_tokens_not_before(connection: Connection, at: datetime) -> None:
    """Refuse every token issued before an instant, everywhere."""
    connection.execute(update(registry).values(tokens_not_before_at=at))
