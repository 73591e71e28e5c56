"""`aldaba client`: the machine identities of partners, and what they may do."""

from datetime import timedelta
from typing import Any

import msgspec
from cyclopts import App

from aldaba.cli import credential
from aldaba.cli.arguments import Count, Limit, Span
from aldaba.cli.context import Cli
from aldaba.cli.failures import Misuse
from aldaba.cli.output import Field, text_of
from aldaba.config.readers import span_text
from aldaba.core import clients
from aldaba.core.partners import find_partner
from aldaba.core.registrar import Registrar
from aldaba.model.parties import Client, canonical_name
from aldaba.store.clients import list_clients, load_partner

app = App(name="client")


def _networks(networks: list[str] | None) -> str:
    match networks:
        case None:
            return "anywhere"
        case []:
            return "nowhere"
    return text_of(networks)


def _lifetime(seconds: int | None) -> str:
    return "as the service" if seconds is None else span_text(timedelta(seconds=seconds))


def _per_minute(requests: int | None) -> str:
    match requests:
        case None:
            return "as the service"
        case 0:
            return "any number"
    return str(requests)


def _roles(roles: tuple[str, ...]) -> str:
    return f"the roles {text_of(roles)}" if roles else "no roles"


FIELDS = (
    Field("id", listed=False),
    Field("name"),
    Field("partner"),
    Field("services"),
    Field("networks", _networks),
    Field("roles"),
    Field("status"),
    Field("token_lifetime_s", _lifetime, listed=False),
    Field("requests_per_minute", _per_minute, listed=False),
    Field("tokens_not_before_at", listed=False),
    Field("created_at", listed=False),
)


@app.command(
    help_epilogue="""\
Example:
  aldaba client add acme-fleet --partner 'Acme Logistics' --service fleet
  aldaba client add vialtis --partner Vialtis --service mobility --network 192.0.2.0/24"""
)
async def add(
    name: str,
    /,
    *,
    partner: str,
    service: tuple[str, ...],
    network: tuple[str, ...] = (),
    nowhere: bool = False,
    role: tuple[str, ...] = ("ROLE_USER",),
    token_lifetime: Span = None,
    requests_per_minute: Count = None,
    cli: Cli,
) -> None:
    """Register a client of a partner.

    Args:
        name: its user name, or the exact CN of its certificates.
        partner: the partner that owns it.
        service: a service it may use; may be given several times.
        network: a network it may call from, such as 192.0.2.0/24; may be given several times. Without one, anywhere.
        nowhere: let it call from nowhere yet.
        role: a role it has; may be given several times. ROLE_USER when not given.
        token_lifetime: how long its tokens live, such as 1h; when not given, as the service says.
        requests_per_minute: how many requests it may make, 0 for any number; when not given, as the service says.
    """
    async with cli.registrar() as registrar:
        client = await clients.add_client(
            registrar,
            name,
            partner=partner,
            services=service,
            networks=_chosen(network, anywhere=False, nowhere=nowhere),
            roles=role,
            token_lifetime=token_lifetime,
            requests_per_minute=requests_per_minute,
        )
        shut = [used for used in client.services if registrar.services[used].networks_required]
    cli.done(f"client {name!r} is registered", record(client, partner), FIELDS)
    if shut and not client.networks:
        cli.note(f"{text_of(shut)} wants registered networks: 'aldaba client networks {name} 192.0.2.0/24' sets them")


@app.command(name="list", help_epilogue="Example:\n  aldaba client list --partner 'Acme Logistics'")
async def list_(*, partner: str | None = None, limit: Limit = 1000, after: str = "", cli: Cli) -> None:
    """List clients, by name.

    Args:
        partner: only those of this partner.
        limit: how many at most (1000 when not given).
        after: begin behind this name.
    """
    async with cli.registrar() as registrar:
        owner = None if partner is None else (await find_partner(registrar, partner)).id
        found = await registrar.database.read(list_clients, limit=limit, after=canonical_name(after), partner_id=owner)
        owners = {client.partner_id: await _owner(registrar, client) for client in found}
    none = "there are no clients; 'aldaba client add NAME --partner PARTNER --service SERVICE' registers one"
    cli.show_all([record(client, owners[client.partner_id]) for client in found], FIELDS, none=none)
    if len(found) == limit:
        cli.note(f"there may be more; go on with --after {found[-1].name!r}")


@app.command(help_epilogue="Example:\n  aldaba client show acme-fleet")
async def show(name: str, /, *, cli: Cli) -> None:
    """Show one client with its credentials.

    Args:
        name: its name.
    """
    async with cli.registrar() as registrar:
        client = await clients.find_client(registrar, name)
        found = record(client, await _owner(registrar, client))
        credentials = await credential.records(registrar, client)
    if cli.output == "json":
        cli.done("", found | {"credentials": credential.picked(credentials)}, (*FIELDS, Field("credentials")))
        return
    cli.show(found, FIELDS)
    if credentials:
        cli.terminal.write("")
    cli.show_all(credentials, credential.FIELDS, none=credential.NONE.format(name))


@app.command(help_epilogue="Example:\n  aldaba client disable acme-fleet")
async def disable(name: str, /, *, cli: Cli) -> None:
    """Stop a client and its tokens, from the next request on.

    Args:
        name: its name.
    """
    async with cli.registrar() as registrar:
        await clients.disable_client(registrar, name)
        await _changed(cli, registrar, name, f"client {name!r} is disabled: it and its tokens are refused")


@app.command(help_epilogue="Example:\n  aldaba client enable acme-fleet")
async def enable(name: str, /, *, cli: Cli) -> None:
    """Let a disabled client act again.

    Args:
        name: its name.
    """
    async with cli.registrar() as registrar:
        await clients.enable_client(registrar, name)
        await _changed(
            cli, registrar, name, f"client {name!r} is active again, and so are its tokens that have not ended"
        )


@app.command(
    help_epilogue="""\
Example:
  aldaba client networks vialtis 192.0.2.0/24 2001:db8::/48
  aldaba client networks vialtis --nowhere"""
)
async def networks(
    name: str,
    /,
    *network: str,
    anywhere: bool = False,
    nowhere: bool = False,
    cli: Cli,
) -> None:
    """Set from where a client may call, its tokens included; this replaces what was set before.

    Args:
        name: its name.
        network: the networks it may call from, such as 192.0.2.0/24; a single address is a network of one.
        anywhere: from every address, in services that allow it.
        nowhere: from no address.
    """
    if not (network or anywhere or nowhere):
        raise Misuse(f"name the networks, or say --anywhere or --nowhere; 'aldaba client show {name}' shows those set")
    chosen = _chosen(network, anywhere=anywhere, nowhere=nowhere)
    async with cli.registrar() as registrar:
        await clients.set_networks(registrar, name, chosen)
        await _changed(cli, registrar, name, f"client {name!r} may call from {_networks(chosen)}")


@app.command(
    help_epilogue="""\
Example:
  aldaba client roles vialtis ROLE_USER ROLE_BEACON"""
)
async def roles(name: str, /, *role: str, none: bool = False, cli: Cli) -> None:
    """Set the roles of a client; this replaces those it had.

    Args:
        name: its name.
        role: the roles.
        none: no role at all.
    """
    if bool(role) == none:
        raise Misuse(f"name the roles, or say --none; 'aldaba client show {name}' shows those set")
    async with cli.registrar() as registrar:
        await clients.set_roles(registrar, name, role)
        await _changed(cli, registrar, name, f"client {name!r} has {_roles(role)}")


@app.command(help_epilogue="Example:\n  aldaba client end-tokens acme-fleet")
async def end_tokens(name: str, /, *, cli: Cli) -> None:
    """Refuse every token of a client that was issued before now; it may get new ones.

    Args:
        name: its name.
    """
    async with cli.registrar() as registrar:
        at = await clients.end_tokens(registrar, name)
        await _changed(cli, registrar, name, f"tokens of client {name!r} issued before {text_of(at)} are refused")


def record(client: Client, partner: str) -> dict[str, Any]:
    """Return a client as a record."""
    lifetime = client.token_lifetime
    return msgspec.structs.asdict(client) | {
        "partner": partner,
        "networks": None if client.networks is None else [str(network) for network in client.networks],
        "token_lifetime_s": None if lifetime is None else int(lifetime.total_seconds()),
    }


async def _changed(cli: Cli, registrar: Registrar, name: str, text: str) -> None:
    client = await clients.find_client(registrar, name)
    cli.done(text, record(client, await _owner(registrar, client)), FIELDS)


async def _owner(registrar: Registrar, client: Client) -> str:
    partner = await registrar.database.read(load_partner, client.partner_id)
    return partner.name if partner else client.partner_id


def _chosen(networks: tuple[str, ...], *, anywhere: bool, nowhere: bool) -> list[str] | None:
    if [bool(networks), anywhere, nowhere].count(True) > 1:
        raise Misuse("networks, --anywhere and --nowhere exclude each other; give one of them")
    return list(networks) if networks or nowhere else None
