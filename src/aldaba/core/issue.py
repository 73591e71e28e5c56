"""Issue a token for a proven client."""

from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

import msgspec

from aldaba.core import Core
from aldaba.core.audit import granted
from aldaba.core.authenticate import authenticate
from aldaba.core.authorize import admit
from aldaba.crypto import hashing, jwt
from aldaba.model.calls import Call, Evidence, IssuedToken, Proven
from aldaba.model.parties import canonical_name
from aldaba.model.services import Fact, Service
from aldaba.store.ledger import Moved
from aldaba.store.registry import Basis

_encode = msgspec.json.Encoder().encode


async def issue(core: Core, call: Call, evidence: Evidence) -> IssuedToken:
    """Return a token for the client that the evidence proves, once its issue is durable.

    A decision that rests on something changed meanwhile is taken again: no token is committed after a revocation.

    Raises:
        Refusal: nobody is proven, or one who may not act now.
    """
    while True:
        # A refusal must not rest on old data either: who was enabled a moment ago gets a token now.
        await core.view.fresh()
        version = core.view.version
        at = core.clock.now()
        proven = await authenticate(core, call, evidence, at)
        if call.known.usage is None:
            await admit(core, call, proven, at)
        token = await _sign(core, call, proven, at)
        event = granted(core, call, {"token": token_handle(token.text), "exp": int(token.expires_at.timestamp())})
        try:
            await core.ledger.write(event, Basis(version, _rests_on(call.service, proven)))
        except Moved:
            continue
        core.usage.note(proven.client.id, proven.credential.id, at)
        return token


def token_handle(token: str) -> str:
    """Return the digest under which a token stands in the audit log and in the list of revoked ones."""
    return hashing.token_digest(token).hex()


@lru_cache
def header_of(text: str) -> jwt.Header:
    """Return the encoded header of a shape."""
    return jwt.Header(text)


def lifetime_of(service: Service, proven: Proven) -> timedelta:
    """Return how long a token lives: the client's own setting, or the service's."""
    return proven.client.token_lifetime or service.token_lifetime


async def _sign(core: Core, call: Call, proven: Proven, at: datetime) -> IssuedToken:
    key = (await core.keyring.of(call.service.name)).signing
    at = await _countable(core, proven, at)
    expires_at = at + lifetime_of(call.service, proven)
    facts: dict[Fact, Any] = {
        Fact.SUBJECT: proven.client.name,
        Fact.ROLES: proven.client.roles,
        # The claims are the same instants cut to the second (mobility sheet, section 8, row 3).
        Fact.ISSUED_AT_S: int(at.timestamp()),
        Fact.EXPIRES_AT_S: int(expires_at.timestamp()),
        Fact.TOKEN_ID: call.id,
        Fact.CREDENTIAL: proven.credential.id,
        Fact.CONFIRMATION: {"x5t#S256": proven.confirmation},
    }
    shape = call.service.shape
    claims = {name: facts[source] if isinstance(source, Fact) else source for name, source in shape.claims}
    return IssuedToken(jwt.sign(header_of(shape.header), _encode(claims), key), at, expires_at)


async def _countable(core: Core, proven: Proven, at: datetime) -> datetime:
    # A token of the second in which all before were ended would count as one of those: it is issued a moment later.
    (everywhere_from,) = await core.view.get("settings", "tokens-not-before")
    return max(at, proven.client.tokens_not_before_at or at, everywhere_from or at)


def _rests_on(service: Service, proven: Proven) -> tuple[str, ...]:
    return (
        f"client/{canonical_name(proven.client.name)}",
        f"partner/{proven.partner.id}",
        f"keys/{service.name}",
        "settings/tokens-not-before",
    )
