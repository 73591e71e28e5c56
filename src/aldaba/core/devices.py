"""The devices of a client's account: shown to the account that calls and to no other, kept by the operator."""

from collections.abc import Sequence

from aldaba.core import Core
from aldaba.core.clients import find_client
from aldaba.core.partners import require_name
from aldaba.core.registrar import Note, Registrar
from aldaba.errors import Impossible, Reason, Refusal
from aldaba.model.calls import Authorization
from aldaba.model.devices import Device
from aldaba.store import devices as store
from aldaba.store.database import Change


async def list_devices(core: Core, caller: Authorization) -> list[Device]:
    """Return the caller's active devices, by id: those whose `expires_at` has not come."""
    now = core.clock.now()
    devices: tuple[Device, ...] = await core.view.get("devices", caller.client.id)
    return [device for device in devices if device.expires_at is None or now < device.expires_at]


async def find_device(core: Core, caller: Authorization, device_id: str) -> Device:
    """Return one of the caller's active devices.

    Raises:
        Refusal: `DEVICE_UNKNOWN`, whether it is another account's or nobody's.
    """
    for device in await list_devices(core, caller):
        if device.id == device_id:
            return device
    raise Refusal(Reason.DEVICE_UNKNOWN, expected="a device of this account", seen="no such one")


async def put_devices(registrar: Registrar, client_name: str, devices: Sequence[Device]) -> None:
    """Add devices to a client's account, replacing those of the same id.

    Raises:
        Impossible: there is no such client, or an id is no name.
    """
    client = await find_client(registrar, client_name)
    for device in devices:
        require_name(device.id)

    def work(change: Change, note: Note) -> None:
        store.put_devices(change.connection, client.id, devices)
        change.touch(f"devices/{client.id}")
        note.partner, note.client = client.partner_id, client.name
        note.detail = {"devices": [device.id for device in devices][:100], "count": len(devices)}

    await registrar.change("device.put", work)


async def remove_device(registrar: Registrar, client_name: str, device_id: str) -> None:
    """Remove a device from a client's account.

    Raises:
        Impossible: it has no such device.
    """
    client = await find_client(registrar, client_name)

    def work(change: Change, note: Note) -> None:
        if not store.remove_device(change.connection, client.id, device_id):
            raise Impossible(f"client {client.name!r} has no device {device_id!r}")
        change.touch(f"devices/{client.id}")
        note.partner, note.client = client.partner_id, client.name
        note.detail = {"device": device_id}

    await registrar.change("device.remove", work)
