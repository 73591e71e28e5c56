"""May this credential act now: the one function that answers, for every path that issues or checks.

The checks are a table, so that `aldaba explain` can name those that passed before the one that did not.
"""

from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from aldaba.core import Core
from aldaba.errors import Reason, Refusal
from aldaba.model import networks
from aldaba.model.calls import Call, Proven, Usage
from aldaba.model.parties import ClientStatus, CredentialStatus, PartnerStatus
from aldaba.model.peer import Peer
from aldaba.model.services import Service


class Case(NamedTuple):
    """Who wants to act, where, from where, and when."""

    proven: Proven
    service: Service
    peer: Peer
    at: datetime


class Check(NamedTuple):
    """One condition: why it refuses, when it holds, and what it expected and saw, in words for the operator."""

    reason: Reason
    holds: Callable[[Case], bool]
    expected: Callable[[Case], str]
    seen: Callable[[Case], str]


def _networks_hold(case: Case) -> bool:
    allowed = case.proven.client.networks
    if allowed is None:
        return not case.service.networks_required
    return networks.contains(allowed, case.peer.address)


def _networks_text(case: Case) -> str:
    allowed = case.proven.client.networks
    if allowed is None:
        return "a registered network (none is; this service wants one)"
    return "one of " + (", ".join(str(network) for network in allowed) or "no network at all")


CHECKS = (
    Check(
        Reason.PARTNER_SUSPENDED,
        lambda case: case.proven.partner.status is PartnerStatus.ACTIVE,
        lambda case: "an active partner",
        lambda case: case.proven.partner.status.value,
    ),
    Check(
        Reason.CLIENT_DISABLED,
        lambda case: case.proven.client.status is ClientStatus.ACTIVE,
        lambda case: "an active client",
        lambda case: case.proven.client.status.value,
    ),
    Check(
        Reason.CREDENTIAL_REVOKED,
        lambda case: case.proven.credential.status is CredentialStatus.ACTIVE,
        lambda case: "a credential that is not revoked",
        lambda case: f"revoked at {case.proven.credential.revoked_at}",
    ),
    Check(
        Reason.CREDENTIAL_NOT_YET_VALID,
        lambda case: (start := case.proven.credential.not_before_at) is None or start <= case.at,
        lambda case: f"an instant from {case.proven.credential.not_before_at} on",
        lambda case: f"{case.at}",
    ),
    Check(
        Reason.CREDENTIAL_EXPIRED,
        lambda case: (end := case.proven.credential.not_after_at) is None or case.at < end,
        lambda case: f"an instant before {case.proven.credential.not_after_at}",
        lambda case: f"{case.at}",
    ),
    Check(
        Reason.SERVICE_NOT_ALLOWED,
        lambda case: case.service.name in case.proven.client.services,
        lambda case: "one of " + (", ".join(case.proven.client.services) or "no service at all"),
        lambda case: case.service.name,
    ),
    Check(Reason.ADDRESS_NOT_ALLOWED, _networks_hold, _networks_text, lambda case: str(case.peer.address)),
)


def may_act(call: Call, proven: Proven, at: datetime) -> Proven:
    """Return what was proven, if its credential may act now in this call.

    Raises:
        Refusal: with the reason of the first check that does not hold.
    """
    case = Case(proven, call.service, call.peer, at)
    for check in CHECKS:
        if not check.holds(case):
            raise Refusal(check.reason, expected=check.expected(case), seen=check.seen(case))
    return proven


async def admit(core: Core, call: Call, proven: Proven, at: datetime) -> Usage:
    """Count this request of a client that may act, and refuse it when it is one too many.

    Raises:
        Refusal: `TOO_MANY_REQUESTS`.
    """
    client = proven.client
    per_minute = call.service.requests_per_minute if client.requests_per_minute is None else client.requests_per_minute
    usage, refusal = await core.limits.count_request(
        client.id, per_minute, lambda client_id: core.usage.noted_today(client_id, at)
    )
    call.known.usage = usage
    if refusal is not None:
        raise refusal
    return usage
