"""`aldaba partner`: the organisations that own clients."""

from typing import Any

import msgspec
from cyclopts import App

from aldaba.cli.arguments import Limit
from aldaba.cli.context import Cli
from aldaba.cli.output import Field
from aldaba.core import partners
from aldaba.model.parties import Partner
from aldaba.store.clients import list_partners

app = App(name="partner")

FIELDS = (
    Field("id", listed=False),
    Field("name"),
    Field("tax_id"),
    Field("contacts"),
    Field("status"),
    Field("created_at"),
)


@app.command(
    help_epilogue="""\
Example:
  aldaba partner add 'Acme Logistics' --tax-id B12345674 --contact ops@acme.example"""
)
async def add(name: str, /, *, tax_id: str | None = None, contact: tuple[str, ...] = (), cli: Cli) -> None:
    """Register an organisation.

    Args:
        name: its name, which no other partner has.
        tax_id: its tax id.
        contact: whom to write to; may be given several times.
    """
    async with cli.registrar() as registrar:
        partner = await partners.add_partner(registrar, name, tax_id=tax_id, contacts=contact)
    cli.done(f"partner {name!r} is registered", record(partner), FIELDS)


@app.command(name="list", help_epilogue="Example:\n  aldaba partner list --output json")
async def list_(*, limit: Limit = 1000, after: str = "", cli: Cli) -> None:
    """List partners, by name.

    Args:
        limit: how many at most (1000 when not given).
        after: begin behind this name.
    """
    async with cli.registrar() as registrar:
        found = await registrar.database.read(list_partners, limit=limit, after=after)
    none = "there are no partners; 'aldaba partner add NAME' registers one"
    cli.show_all(map(record, found), FIELDS, none=none)
    if len(found) == limit:
        cli.note(f"there may be more; go on with --after {found[-1].name!r}")


@app.command(help_epilogue="Example:\n  aldaba partner show 'Acme Logistics'")
async def show(name: str, /, *, cli: Cli) -> None:
    """Show one partner.

    Args:
        name: its name.
    """
    async with cli.registrar() as registrar:
        partner = await partners.find_partner(registrar, name)
    cli.show(record(partner), FIELDS)


@app.command(help_epilogue="Example:\n  aldaba partner suspend 'Acme Logistics'")
async def suspend(name: str, /, *, cli: Cli) -> None:
    """Stop all clients of a partner, and their tokens, from the next request on.

    Args:
        name: its name.
    """
    async with cli.registrar() as registrar:
        await partners.suspend_partner(registrar, name)
        partner = await partners.find_partner(registrar, name)
    cli.done(f"partner {name!r} is suspended: its clients and their tokens are refused", record(partner), FIELDS)


@app.command(help_epilogue="Example:\n  aldaba partner resume 'Acme Logistics'")
async def resume(name: str, /, *, cli: Cli) -> None:
    """Let a suspended partner act again.

    Args:
        name: its name.
    """
    async with cli.registrar() as registrar:
        await partners.resume_partner(registrar, name)
        partner = await partners.find_partner(registrar, name)
    cli.done(f"partner {name!r} is active again, and so are its tokens that have not ended", record(partner), FIELDS)


def record(partner: Partner) -> dict[str, Any]:
    """Return a partner as a record."""
    return msgspec.structs.asdict(partner)
