"""Look into tokens, and revoke them before their time."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from typing import Any, NamedTuple

from sqlalchemy import Connection

from aldaba.core.authorize import CHECKS, Case
from aldaba.core.clients import end_of_tokens
from aldaba.core.issue import header_of, token_handle
from aldaba.core.keyring import TOKENS, unwrap
from aldaba.core.registrar import Note, Registrar
from aldaba.crypto import jwt
from aldaba.errors import Impossible, Reason
from aldaba.model.calls import Proven
from aldaba.model.parties import canonical_name
from aldaba.model.peer import Peer
from aldaba.model.services import Fact, Service
from aldaba.store import clients, keys, tokens
from aldaba.store.database import Change

# Who looks into a token does not know from where it will be shown, so what depends on that is left out.
_NOWHERE = Peer(IPv4Address(0))
_BY_ADDRESS = {Reason.ADDRESS_NOT_ALLOWED}


class Inspected(NamedTuple):
    """What a token says, once its signature has held, and the service that issued it.

    `refused` has every reason for which it is refused now, wherever it is shown; from which address is not known here.
    """

    service: str
    claims: Mapping[str, Any]
    handle: str
    expires_at: datetime
    refused: Sequence[Reason]


async def inspect_token(registrar: Registrar, token: str) -> Inspected:
    """Return what a token of any of our services says.

    Raises:
        Impossible: none of our keys has signed it.
    """
    text = token.strip().removeprefix("Bearer ")
    at = registrar.clock.now()
    for service in registrar.services.values():
        held = [key for key in await registrar.database.read(keys.load_keys, service.name) if key.purpose == TOKENS]
        for key in held:
            claims = _claims(text, service, unwrap(registrar.secrets.sealing, key))
            if claims is None:
                continue
            refused = await registrar.database.read(_why_refused, service, text, claims, at)
            if key.ends_at is not None and key.ends_at <= at:
                refused.insert(0, Reason.TOKEN_INCORRECT)
            expires_at = datetime.fromtimestamp(claims["exp"], UTC)
            return Inspected(service.name, claims, token_handle(text), expires_at, refused)
    raise Impossible("no key of this installation has signed this token")


def _claims(token: str, service: Service, key: bytes) -> dict[str, Any] | None:
    try:
        return jwt.verify(token, header_of(service.shape.header), [key])
    except jwt.BadToken:
        return None


def _why_refused(
    connection: Connection, service: Service, token: str, claims: Mapping[str, Any], at: datetime
) -> list[Reason]:
    facts = {source: claims[name] for name, source in service.shape.claims if isinstance(source, Fact)}
    client = clients.load_client(connection, canonical_name(facts[Fact.SUBJECT]))
    credential = client.credential(facts[Fact.CREDENTIAL]) if client else None
    partner = clients.load_partner(connection, client.partner_id) if client else None
    refused = [Reason.TOKEN_EXPIRED] if facts[Fact.EXPIRES_AT_S] <= at.timestamp() else []
    if client is None or credential is None or partner is None or client.name != facts[Fact.SUBJECT]:
        return [*refused, Reason.TOKEN_SUBJECT_UNKNOWN]
    case = Case(Proven(client, partner, credential), service, _NOWHERE, at)
    refused += [check.reason for check in CHECKS if check.reason not in _BY_ADDRESS and not check.holds(case)]
    (everywhere_from,) = tokens.tokens_not_before(connection, "")
    ended = [start for start in (client.tokens_not_before_at, everywhere_from) if start is not None]
    is_ended = any(facts[Fact.ISSUED_AT_S] < start.timestamp() for start in ended)
    if is_ended or tokens.is_revoked(connection, token_handle(token)):
        refused.append(Reason.TOKEN_REVOKED)
    return refused


async def revoke_token(registrar: Registrar, token: str) -> Inspected:
    """Refuse a token from the next request on, by its digest (threats E13).

    Raises:
        Impossible: none of our keys has signed it.
    """
    found = await inspect_token(registrar, token)
    await revoke_handle(registrar, found.handle, ends_at=found.expires_at)
    return found


async def revoke_handle(registrar: Registrar, handle: str, *, ends_at: datetime | None = None) -> None:
    """Refuse the token of a digest, as the audit log names it.

    Raises:
        Impossible: it is not the SHA-256 of a token.
    """
    if len(handle) != 64 or not all(digit in "0123456789abcdef" for digit in handle):
        raise Impossible("a token's handle is 64 hexadecimal digits, as 'aldaba audit list' shows them")

    def work(change: Change, note: Note) -> None:
        at = registrar.clock.now()
        tokens.revoke_token(change.connection, handle, at=at, ends_at=ends_at or at + timedelta(days=366))
        tokens.forget_ended(change.connection, before=at - timedelta(days=1))
        change.touch(f"revoked/{handle}")
        note.detail = {"token": handle}

    await registrar.change("token.revoke", work)


async def end_all_tokens(registrar: Registrar) -> datetime:
    """Refuse every token issued before now: for a restored backup, which may lack revocations (threats K7)."""

    def work(change: Change, note: Note) -> datetime:
        (before,) = tokens.tokens_not_before(change.connection, "")
        at = end_of_tokens(registrar.clock.now(), before, clients.last_end_of_tokens(change.connection))
        tokens.set_tokens_not_before(change.connection, at)
        change.touch("settings/tokens-not-before")
        note.detail = {"tokens_not_before_at": at.isoformat()}
        return at

    return await registrar.change("token.end_all", work)
