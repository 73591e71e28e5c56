"""Wrapped signing keys."""

from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from aldaba.model.keys import KeyState, SigningKey
from aldaba.store.schema import signing_key


def load_keys(connection: Connection, service: str) -> tuple[SigningKey, ...]:
    """Return the keys of a service in every state, newest first."""
    rows = connection.execute(
        select(signing_key).where(signing_key.c.service == service).order_by(signing_key.c.created_at.desc())
    )
    return tuple(_key(row) for row in rows)


def list_keys(connection: Connection) -> list[SigningKey]:
    """Return all keys, by service and newest first."""
    rows = connection.execute(select(signing_key).order_by(signing_key.c.service, signing_key.c.created_at.desc()))
    return [_key(row) for row in rows]


def insert_key(connection: Connection, new: SigningKey) -> None:
    """Add a key."""
    connection.execute(insert(signing_key).values(**_columns(new)))


def update_key(connection: Connection, changed: SigningKey) -> None:
    """Write a key's state as it is in `changed`."""
    connection.execute(update(signing_key).where(signing_key.c.id == changed.id).values(**_columns(changed)))


def delete_key(connection: Connection, key_id: str) -> None:
    """Delete a key whose last token has ended."""
    connection.execute(delete(signing_key).where(signing_key.c.id == key_id))


def _columns(key: SigningKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "service": key.service,
        "purpose": key.purpose,
        "algorithm": key.algorithm,
        "state": key.state.value,
        "sealed": key.sealed,
        "created_at": key.created_at,
        "activated_at": key.activated_at,
        "retired_at": key.retired_at,
        "ends_at": key.ends_at,
    }


def _key(row: Row[Any]) -> SigningKey:
    return SigningKey(
        id=row.id,
        service=row.service,
        purpose=row.purpose,
        algorithm=row.algorithm,
        state=KeyState(row.state),
        sealed=row.sealed,
        created_at=row.created_at,
        activated_at=row.activated_at,
        retired_at=row.retired_at,
        ends_at=row.ends_at,
    )
