"""The devices of a client's account. Every statement names the owner (threats, section 1 rule 8)."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select

from aldaba.model.devices import Device
from aldaba.store.schema import device


def load_devices(connection: Connection, client_id: str) -> tuple[Device, ...]:
    """Return a client's devices by id, the ended ones too."""
    rows = connection.execute(select(device).where(device.c.client_id == client_id).order_by(device.c.id))
    return tuple(_device(row) for row in rows)


def put_devices(connection: Connection, client_id: str, devices: Sequence[Device]) -> None:
    """Add devices to a client's account, replacing those of the same id."""
    for new in devices:
        remove_device(connection, client_id, new.id)
    if devices:
        connection.execute(
            insert(device),
            [
                {
                    "client_id": client_id,
                    "id": new.id,
                    "name": new.name,
                    "description": new.description,
                    "min": new.min,
                    "tags": new.tags,
                    "expires_at": new.expires_at,
                }
                for new in devices
            ],
        )


def remove_device(connection: Connection, client_id: str, device_id: str) -> bool:
    """Remove a device from a client's account; return whether there was one."""
    result = connection.execute(delete(device).where(device.c.client_id == client_id, device.c.id == device_id))
    return result.rowcount > 0


def _device(row: Row[Any]) -> Device:
    return Device(
        id=row.id,
        name=row.name,
        description=row.description,
        min=row.min,
        tags=row.tags,
        expires_at=row.expires_at,
    )
