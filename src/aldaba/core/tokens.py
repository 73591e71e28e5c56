"""Look into tokens, and revoke them before their time."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from aldaba.core.issue import header_of, token_handle
from aldaba.core.keyring import TOKENS, unwrap
from aldaba.core.registrar import Note, Registrar
from aldaba.crypto import jwt
from aldaba.errors import Impossible
from aldaba.store import keys, tokens
from aldaba.store.database import Change


class Inspected(NamedTuple):
    """What a token says, once its signature has held, and the service that issued it."""

    service: str
    claims: Mapping[str, Any]
    handle: str
    expires_at: datetime
    is_expired: bool
    is_revoked: bool


async def inspect_token(registrar: Registrar, token: str) -> Inspected:
    """Return what a token of any of our services says.

    Raises:
        Impossible: none of our keys has signed it.
    """
    text = token.strip().removeprefix("Bearer ")
    for service in registrar.services.values():
        sealed = await registrar.database.read(keys.load_keys, service.name)
        unwrapped = [unwrap(registrar.secrets.sealing, key) for key in sealed if key.purpose == TOKENS]
        if not unwrapped:
            continue
        try:
            claims = jwt.verify(text, header_of(service.shape.header), unwrapped)
        except jwt.BadToken:
            continue
        return await _inspected(registrar, service.name, text, claims)
    raise Impossible("no key of this installation has signed this token")


async def _inspected(registrar: Registrar, service: str, token: str, claims: Mapping[str, Any]) -> Inspected:
    handle = token_handle(token)
    expires_at = datetime.fromtimestamp(claims["exp"], UTC)
    is_revoked = await registrar.database.read(tokens.is_revoked, handle)
    return Inspected(service, claims, handle, expires_at, expires_at <= registrar.clock.now(), is_revoked)


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
    at = registrar.clock.now().replace(microsecond=0) + timedelta(seconds=1)

    def work(change: Change, note: Note) -> None:
        tokens.set_tokens_not_before(change.connection, at)
        change.touch("settings/tokens-not-before")
        note.detail = {"tokens_not_before_at": at.isoformat()}

    await registrar.change("token.end_all", work)
    return at
