"""Register clients and change what they may do."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from aldaba.core.partners import find_partner, require_name
from aldaba.core.registrar import Note, Registrar
from aldaba.errors import Impossible
from aldaba.model.ids import new_id
from aldaba.model.networks import Network
from aldaba.model.parties import Client, ClientStatus, canonical_name
from aldaba.store import clients, tokens
from aldaba.store.database import Change

SHORTEST_LIFETIME = timedelta(minutes=1)
LONGEST_LIFETIME = timedelta(days=366)
# With the longest name and these, a token stays within the 4 KiB that are accepted.
MOST_BYTES_OF_ROLES = 1_000


async def add_client(
    registrar: Registrar,
    name: str,
    *,
    partner: str,
    services: Sequence[str],
    networks: Sequence[str] | None = None,
    roles: Sequence[str] = ("ROLE_USER",),
    token_lifetime: timedelta | None = None,
    requests_per_minute: int | None = None,
) -> Client:
    """Register a machine identity of a partner.

    Args:
        name: a user name, or the exact CN of its certificate; unique whatever the case and Unicode form.
        networks: from where it may call, in CIDR form; None for anywhere (where the service allows that), empty for
            nowhere.

    Raises:
        Impossible: with the text that says what to correct.
    """
    owner = await find_partner(registrar, partner)
    client = Client(
        id=new_id(),
        partner_id=owner.id,
        name=require_name(name),
        services=_services(registrar, services),
        networks=None if networks is None else parse_networks(networks),
        roles=_roles(roles),
        token_lifetime=_lifetime(token_lifetime),
        requests_per_minute=requests_per_minute,
        created_at=registrar.clock.now(),
    )

    def work(change: Change, note: Note) -> None:
        clients.insert_client(change.connection, client)
        change.touch(client_entry(client), f"devices/{client.id}")
        note.partner, note.client = owner.id, client.name
        note.detail = {"services": client.services, "networks": networks, "roles": client.roles}

    await registrar.change("client.add", work)
    return client


async def disable_client(registrar: Registrar, name: str) -> None:
    """Stop a client and its tokens from the next request on."""
    await _update(registrar, name, "client.disable", status=ClientStatus.DISABLED)


async def enable_client(registrar: Registrar, name: str) -> None:
    """Let a disabled client act again."""
    await _update(registrar, name, "client.enable", status=ClientStatus.ACTIVE)


async def set_networks(registrar: Registrar, name: str, networks: Sequence[str] | None) -> None:
    """Set from where a client may call; None for anywhere."""
    parsed = None if networks is None else parse_networks(networks)
    await _update(registrar, name, "client.networks", networks=parsed)


async def set_roles(registrar: Registrar, name: str, roles: Sequence[str]) -> None:
    """Set a client's roles."""
    await _update(registrar, name, "client.roles", roles=_roles(roles))


async def end_tokens(registrar: Registrar, name: str) -> datetime:
    """Refuse every token of a client that was issued before now; return the instant from which on they are good."""

    def ended(change: Change, client: Client) -> Mapping[str, Any]:
        (everywhere_from,) = tokens.tokens_not_before(change.connection, "")
        at = end_of_tokens(registrar.clock.now(), client.tokens_not_before_at, everywhere_from)
        return {"tokens_not_before_at": at}

    changed: Mapping[str, datetime] = await _change(registrar, name, "client.end_tokens", ended)
    return changed["tokens_not_before_at"]


def end_of_tokens(at: datetime, *ended_before: datetime | None) -> datetime:
    """Return the first instant of tokens that are issued after all those until now have been ended.

    Tokens know whole seconds only: those of this second count as before, and those that came after another end as well,
    which are of its very second.
    """
    ends = [end for end in ended_before if end is not None]
    return max([at.replace(microsecond=0), *ends]) + timedelta(seconds=1)


async def find_client(registrar: Registrar, name: str) -> Client:
    """Return the client of a name.

    Raises:
        Impossible: there is none.
    """
    client = await registrar.database.read(clients.load_client, canonical_name(name))
    if client is None:
        raise Impossible(f"there is no client {name!r}; 'aldaba client list' shows them")
    return client


def client_entry(client: Client) -> str:
    """Return the name of a client's entry in the registry view."""
    return f"client/{canonical_name(client.name)}"


def parse_networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """Return the networks of these texts.

    Raises:
        Impossible: one of them is none, with what to write instead (threats D7).
    """
    try:
        return tuple(Network.parse(text) for text in texts)
    except ValueError as error:
        raise Impossible(str(error)) from error


async def _update(registrar: Registrar, name: str, action: str, **settings: Any) -> None:
    await _change(registrar, name, action, lambda _change, _client: settings)


async def _change(
    registrar: Registrar, name: str, action: str, settings_of: Callable[[Change, Client], Mapping[str, Any]]
) -> Mapping[str, Any]:
    found = await find_client(registrar, name)

    def work(change: Change, note: Note) -> Mapping[str, Any]:
        # Read again inside the transaction: another operator may have changed another setting meanwhile.
        client = clients.load_client(change.connection, canonical_name(found.name))
        if client is None:
            raise Impossible(f"there is no client {name!r} any more")
        settings = settings_of(change, client)
        clients.update_client(change.connection, msgspec.structs.replace(client, **settings))
        change.touch(client_entry(client))
        note.partner, note.client = client.partner_id, client.name
        note.detail = {key: _shown(value) for key, value in settings.items()}
        return settings

    return await registrar.change(action, work)


def _shown(value: Any) -> Any:
    return [str(item) for item in value] if isinstance(value, tuple) else value


def _services(registrar: Registrar, names: Sequence[str]) -> tuple[str, ...]:
    unknown = [name for name in names if name not in registrar.services]
    if unknown:
        known = ", ".join(sorted(registrar.services))
        raise Impossible(f"there is no service {unknown[0]!r}; the configuration has {known}")
    if not names:
        raise Impossible("a client uses at least one service; name it with --service")
    return tuple(dict.fromkeys(names))


def _roles(names: Sequence[str]) -> tuple[str, ...]:
    if sum(len(name.encode("utf-8", "replace")) for name in names) > MOST_BYTES_OF_ROLES:
        raise Impossible(f"roles stand in every token: at most {MOST_BYTES_OF_ROLES} bytes together")
    return tuple(require_name(name) for name in names)


def _lifetime(lifetime: timedelta | None) -> timedelta | None:
    if lifetime is not None and not SHORTEST_LIFETIME <= lifetime <= LONGEST_LIFETIME:
        raise Impossible("a token lives from one minute to 366 days")
    return lifetime
