"""`aldaba device`: the devices of a client's account."""

from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import App, Parameter

from aldaba.cli.arguments import FormatOption, Instant, parse_instant
from aldaba.cli.context import Cli
from aldaba.cli.failures import Misuse
from aldaba.cli.files import Reading, Row, read_rows
from aldaba.cli.imports import take_over
from aldaba.cli.output import Field
from aldaba.core import devices
from aldaba.core.clients import find_client
from aldaba.core.partners import require_name
from aldaba.errors import Impossible
from aldaba.model.devices import Device
from aldaba.store.devices import load_devices

app = App(name="device")

FIELDS = (
    Field("id"),
    Field("name"),
    Field("description"),
    Field("min"),
    Field("tags"),
    Field("expires_at"),
)
COLUMNS = tuple(field.name for field in FIELDS)


@app.command(
    help_epilogue="""\
Example:
  aldaba device add acme-fleet van-17 --name 'Van 17' --min +34600100200 --tag plate=1234KLM"""
)
async def add(
    client: str,
    device: str,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    mobile_number: Annotated[str | None, Parameter(name="--min")] = None,
    tag: tuple[str, ...] = (),
    expires_at: Instant = None,
    cli: Cli,
) -> None:
    """Add a device to a client's account, or replace the one of the same id.

    Args:
        client: the client's name.
        device: the id of the device.
        name: its name.
        description: what it is.
        mobile_number: its Mobile Identity Number, the telephone number of its card.
        tag: a tag as NAME=TEXT; may be given several times.
        expires_at: it is listed until this instant.
    """
    try:
        tags = dict(_tag(text) for text in tag) or None
    except ValueError as error:
        raise Misuse(str(error)) from error
    new = Device(id=device, name=name, description=description, min=mobile_number, tags=tags, expires_at=expires_at)
    async with cli.registrar() as registrar:
        await devices.put_devices(registrar, client, [new])
    cli.done(f"device {device!r} is on the account of client {client!r}", msgspec.structs.asdict(new), FIELDS)


@app.command(name="list", help_epilogue="Example:\n  aldaba device list acme-fleet")
async def list_(client: str, /, *, cli: Cli) -> None:
    """List the devices of a client, the expired ones too.

    Args:
        client: the client's name.
    """
    async with cli.registrar() as registrar:
        owner = await find_client(registrar, client)
        found = await registrar.database.read(load_devices, owner.id)
    none = f"client {client!r} has no devices; 'aldaba device add {client} ID' adds one"
    cli.show_all(map(msgspec.structs.asdict, found), FIELDS, none=none)


@app.command(help_epilogue="Example:\n  aldaba device remove acme-fleet van-17")
async def remove(client: str, device: str, /, *, cli: Cli) -> None:
    """Remove a device from a client's account.

    Args:
        client: the client's name.
        device: the id of the device.
    """
    async with cli.registrar() as registrar:
        await devices.remove_device(registrar, client, device)
    cli.done(f"device {device!r} is removed from the account of client {client!r}", {"id": device})


@app.command(
    name="import",
    help_epilogue="""\
Example:
  aldaba device import acme-fleet vans.csv --dry-run
  aldaba device import acme-fleet vans.csv

A CSV file has a header and the columns id, name, description, min, tags (as plate=1234KLM;colour=red) and expires_at,
of which id must be there; a JSON file has a list of objects with these members, tags as an object.""",
)
async def import_(
    client: str, file: Path | None = None, /, *, form: FormatOption = None, dry_run: bool = False, cli: Cli
) -> None:
    """Add the devices of a file to a client's account, all or none; those of the same id are replaced.

    Args:
        client: the client's name.
        file: where they are; standard input when not given.
        form: how the file is written; when not given, as its name ends, or else csv.
        dry_run: only say what would be imported, and what is wrong.
    """
    reading = read_rows(cli, file, form, COLUMNS)
    found = _sift(reading)
    async with cli.registrar() as registrar:
        await find_client(registrar, client)
        await take_over(
            cli, reading, lambda: devices.put_devices(registrar, client, found), what="device", dry_run=dry_run
        )


def _sift(reading: Reading) -> list[Device]:
    """Return the devices of the good rows; refuse the others."""
    found: dict[str, Device] = {}
    good: list[Row] = []
    for row in reading.rows:
        try:
            device = _device(row)
        except (Impossible, ValueError) as error:
            reading.refuse(row.place, str(error))
            continue
        if device.id in found:
            reading.refuse(row.place, f"device {device.id!r} is in the file twice")
            continue
        found[device.id] = device
        good.append(row)
    reading.rows = good
    return list(found.values())


def _device(row: Row) -> Device:
    texts: dict[str, Any] = {name: row.get(name) for name in ("id", "name", "description", "min", "expires_at")}
    for name, text in texts.items():
        if text is not None and not isinstance(text, str):
            raise ValueError(f"{name} is not a text")
    if texts["id"] is None:
        raise ValueError("the id is missing")
    require_name(texts["id"])
    expires = texts.pop("expires_at")
    return Device(**texts, tags=_tags(row.get("tags")), expires_at=parse_instant(expires) if expires else None)


def _tags(value: Any) -> dict[str, str] | None:
    if value is None:
        return None
    if isinstance(value, str):
        return dict(_tag(text.strip()) for text in value.split(";") if text.strip()) or None
    if isinstance(value, dict) and all(isinstance(text, str) for text in value.values()):
        return value or None
    raise ValueError("tags are texts by name")


def _tag(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ValueError(f"{text!r:.40} is no tag; write NAME=TEXT")
    return name, value
