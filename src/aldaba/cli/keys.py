"""`aldaba keys`: the keys that sign tokens. They are made by `aldaba init` and by the server, and never shown."""

from typing import Any

import msgspec
from cyclopts import App

from aldaba.cli.context import Cli
from aldaba.cli.output import Field, text_of
from aldaba.core.keys import rotate_keys
from aldaba.core.registrar import Registrar
from aldaba.store.keys import list_keys

app = App(name="keys")

FIELDS = (
    Field("service"),
    Field("id"),
    Field("state"),
    Field("algorithm"),
    Field("created_at"),
    Field("activated_at", listed=False),
    Field("retired_at", listed=False),
    Field("ends_at"),
)


@app.command(name="list", help_epilogue="Example:\n  aldaba keys list --service fleet")
async def list_(*, service: str | None = None, cli: Cli) -> None:
    """List the signing keys: next is announced, active signs, retired checks until its last token has ended.

    Args:
        service: only those of this service.
    """
    async with cli.registrar() as registrar:
        found = await _records(registrar, service)
    cli.show_all(found, FIELDS, none="there are no signing keys; 'aldaba init' makes them")


@app.command(
    help_epilogue="""\
Example:
  aldaba keys rotate fleet

No valid token is refused: the old key goes on checking. A key that somebody else may have is rotated with
--compromised, which ends its tokens."""
)
async def rotate(service: str, *, compromised: bool = False, cli: Cli) -> None:
    """Let a service sign with its announced key, and announce another.

    Args:
        service: the service's name.
        compromised: end all keys there were and all their tokens now, and make new ones.
    """
    async with cli.registrar() as registrar:
        await rotate_keys(registrar, service, compromised=compromised)
        found = await _records(registrar, service)
    old = next((key for key in found if key["state"] == "retired"), None)
    ending = "" if old is None else f"; the one before it checks until {text_of(old['ends_at'])}"
    if compromised:
        ending = "; all before it are refused, with their tokens"
    active = next(key for key in found if key["state"] == "active")
    cli.done(f"service {service!r} signs with key {active['id']}{ending}", active, FIELDS)


async def _records(registrar: Registrar, service: str | None) -> list[dict[str, Any]]:
    keys = await registrar.database.read(list_keys)
    return [msgspec.structs.asdict(key) for key in keys if service in (None, key.service)]
