"""Is this token good, whose is it, and may they act now."""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple

from aldaba.core import Core
from aldaba.core.audit import granted
from aldaba.core.authorize import admit, may_act
from aldaba.core.issue import header_of, token_handle
from aldaba.crypto import jwt
from aldaba.errors import Reason, Refusal
from aldaba.model.calls import Authorization, Call, Proven
from aldaba.model.parties import Client, canonical_name
from aldaba.model.services import Fact, Shape

# What a token fails by, and what was expected of it, in words for the operator.
FAULTS = {
    jwt.Fault.UNPARSABLE: (Reason.TOKEN_UNPARSABLE, "three segments of base64url with JSON in them"),
    jwt.Fault.INCORRECT: (Reason.TOKEN_INCORRECT, "the header and a signature of this service"),
    jwt.Fault.CLAIMS: (Reason.TOKEN_CLAIMS, "the claims that this service issues, valid now"),
    jwt.Fault.EXPIRED: (Reason.TOKEN_EXPIRED, "an instant before its exp"),
}


async def verify(core: Core, call: Call, token: str) -> Authorization:
    """Return the client a token stands for, on data no older than this request.

    Roles, networks and states are the registry's, never the token's (threats E9).

    Raises:
        Refusal: the token is not good here and now, or its client may not act.
    """
    await core.view.fresh()
    at = core.clock.now()
    facts = await _read(core, call, token, at)
    proven = await _proven(core, call, facts)
    usage = await admit(core, call, proven, at)
    try:
        may_act(call, proven, at)
        await _require_not_revoked(core, proven.client, facts)
        _require_binding(core, call, facts, at)
    except Refusal:
        await core.limits.leave_out(proven.client.id)
        raise
    if core.record_checks:
        await core.ledger.write(granted(core, call, {}))
    core.usage.note(proven.client.id, proven.credential.id, at)
    return Authorization(proven.client, proven.partner, proven.credential, usage)


class Facts(NamedTuple):
    """The facts of a verified token, each of the type it must have."""

    subject: str
    credential: str
    issued_at_s: int
    expires_at_s: int
    confirmation: str | None
    handle: str


class Names(NamedTuple):
    """The claims that carry the facts, in the dialect's spelling."""

    subject: str
    credential: str
    issued_at_s: str
    confirmation: str | None


@lru_cache
def _names_of(shape: Shape) -> Names:
    names = {source: name for name, source in shape.claims}
    return Names(names[Fact.SUBJECT], names[Fact.CREDENTIAL], names[Fact.ISSUED_AT_S], names.get(Fact.CONFIRMATION))


async def _read(core: Core, call: Call, token: str, at: datetime) -> Facts:
    keys = await core.keyring.of(call.service.name)
    known: Facts | None = keys.verified(token, at)
    if known is not None and at.timestamp() < known.expires_at_s:
        return known
    try:
        claims = jwt.verify(token, header_of(call.service.shape.header), keys.accepted(at))
        jwt.check_times(claims, int(at.timestamp()))
    except jwt.BadToken as error:
        reason, expected = FAULTS[error.fault]
        raise Refusal(reason, expected=expected, seen=error.detail) from error
    facts = _facts(_names_of(call.service.shape), claims, token)
    keys.keep(token, facts)
    return facts


def _facts(names: Names, claims: dict[str, Any], token: str) -> Facts:
    subject, credential = claims.get(names.subject), claims.get(names.credential)
    issued_at_s = claims.get(names.issued_at_s)
    if not isinstance(subject, str) or not isinstance(credential, str) or type(issued_at_s) is not int:
        raise _other_claims("a subject, credential or issuing instant that is missing or not of its type")
    confirmation = None if names.confirmation is None else _thumbprint(claims.get(names.confirmation))
    return Facts(subject, credential, issued_at_s, claims["exp"], confirmation, token_handle(token))


def _thumbprint(confirmation: object) -> str:
    thumbprint = confirmation.get("x5t#S256") if isinstance(confirmation, dict) else None
    if not isinstance(thumbprint, str):
        raise _other_claims("a confirmation that is missing or not of its type")
    return thumbprint


def _other_claims(seen: str) -> Refusal:
    reason, expected = FAULTS[jwt.Fault.CLAIMS]
    return Refusal(reason, expected=expected, seen=seen)


async def _proven(core: Core, call: Call, facts: Facts) -> Proven:
    call.known.client = facts.subject
    client: Client | None = await core.view.get("client", canonical_name(facts.subject))
    if client is None or client.name != facts.subject:
        raise Refusal(Reason.TOKEN_SUBJECT_UNKNOWN, expected="a registered client", seen="none of that name")
    call.known.partner = client.partner_id
    credential = client.credential(facts.credential)
    if credential is None:
        raise Refusal(Reason.TOKEN_SUBJECT_UNKNOWN, expected="a credential of this client", seen=facts.credential)
    call.known.credential = credential.id
    partner = await core.view.get("partner", client.partner_id)
    return Proven(client, partner, credential)


async def _require_not_revoked(core: Core, client: Client, facts: Facts) -> None:
    (everywhere_from,) = await core.view.get("settings", "tokens-not-before")
    for not_before_at in (client.tokens_not_before_at, everywhere_from):
        if not_before_at is not None and facts.issued_at_s < not_before_at.timestamp():
            issued_at = datetime.fromtimestamp(facts.issued_at_s, UTC)
            raise Refusal(Reason.TOKEN_REVOKED, expected=f"a token issued from {not_before_at} on", seen=f"{issued_at}")
    if await core.view.get("revoked", facts.handle):
        raise Refusal(
            Reason.TOKEN_REVOKED, f"token {facts.handle}", expected="a token that is not revoked", seen="revoked"
        )


def _require_binding(core: Core, call: Call, facts: Facts, at: datetime) -> None:
    if facts.confirmation is None:
        return
    try:
        shown = core.trust.certificates.verify(call.peer, at).x5t_s256
    except Refusal as refusal:
        raise Refusal(
            Reason.TOKEN_BINDING,
            refusal.detail,
            expected="the certificate the token was issued for",
            seen=refusal.seen or "none",
        ) from refusal
    if shown != facts.confirmation:
        raise Refusal(
            Reason.TOKEN_BINDING, expected=f"certificate x5t#S256 {facts.confirmation}", seen=f"x5t#S256 {shown}"
        )
