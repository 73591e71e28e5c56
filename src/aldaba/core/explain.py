"""Explain a request by its id: each check that was made, what was expected and what was seen."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Row

from aldaba.core.authorize import CHECKS
from aldaba.core.registrar import Registrar
from aldaba.errors import Impossible, Reason
from aldaba.model.events import Outcome
from aldaba.model.services import Fact, Service, Shape
from aldaba.store import audit
from aldaba.store.columns import from_microseconds

_encode = msgspec.json.Encoder().encode

_ARRIVAL: tuple[Reason, ...] = (
    Reason.PEER_CONTRADICTORY,
    Reason.PATH_UNKNOWN,
    Reason.METHOD_NOT_ALLOWED,
    Reason.TOO_LARGE,
    Reason.UNSUPPORTED_MEDIA_TYPE,
    Reason.MALFORMED,
)
_ACTING = tuple(check.reason for check in CHECKS)

# The checks of a request in the order in which they are made; the one that refuses is the last that was made.
AT_TOKEN = (
    *_ARRIVAL,
    Reason.CREDENTIAL_MISSING,
    Reason.CERTIFICATE_REFUSED,
    Reason.TOO_MANY_FAILURES,
    Reason.CLIENT_UNKNOWN,
    Reason.CREDENTIAL_WRONG,
    Reason.CERTIFICATE_NOT_REGISTERED,
    *_ACTING,
    Reason.TOO_MANY_REQUESTS,
)
WITH_TOKEN = (
    *_ARRIVAL,
    Reason.TOKEN_MISSING,
    Reason.TOKEN_UNPARSABLE,
    Reason.TOKEN_INCORRECT,
    Reason.TOKEN_CLAIMS,
    Reason.TOKEN_EXPIRED,
    Reason.TOKEN_SUBJECT_UNKNOWN,
    Reason.TOO_MANY_REQUESTS,
    *_ACTING,
    Reason.TOKEN_REVOKED,
    Reason.TOKEN_BINDING,
    Reason.DEVICE_UNKNOWN,
)

# Checks that only one kind of credential goes through.
_OF_A_KEY = {Reason.TOO_MANY_FAILURES, Reason.CREDENTIAL_WRONG}
_OF_A_CERTIFICATE = {
    Reason.CREDENTIAL_MISSING,
    Reason.CERTIFICATE_REFUSED,
    Reason.CERTIFICATE_NOT_REGISTERED,
    Reason.TOKEN_BINDING,
}

# What each check asks, in the affirmative.
QUESTIONS: dict[Reason, str] = {
    Reason.MALFORMED: "body and headers can be read",
    Reason.UNSUPPORTED_MEDIA_TYPE: "a body, where there is one, is JSON in UTF-8",
    Reason.TOO_LARGE: "the body is small enough",
    Reason.PATH_UNKNOWN: "the path exists",
    Reason.METHOD_NOT_ALLOWED: "the path answers this method",
    Reason.PEER_CONTRADICTORY: "it is clear who sent it",
    Reason.CREDENTIAL_MISSING: "a credential was shown",
    Reason.CLIENT_UNKNOWN: "the client is registered",
    Reason.CREDENTIAL_WRONG: "the key is one of the client's",
    Reason.CERTIFICATE_REFUSED: "the certificate verifies",
    Reason.CERTIFICATE_NOT_REGISTERED: "the certificate is registered for the client",
    Reason.PARTNER_SUSPENDED: "the partner is active",
    Reason.CLIENT_DISABLED: "the client is active",
    Reason.CREDENTIAL_REVOKED: "the credential is not revoked",
    Reason.CREDENTIAL_NOT_YET_VALID: "the credential is valid already",
    Reason.CREDENTIAL_EXPIRED: "the credential is still valid",
    Reason.SERVICE_NOT_ALLOWED: "the client may use this service",
    Reason.ADDRESS_NOT_ALLOWED: "the source address is registered",
    Reason.TOKEN_MISSING: "a token was shown",
    Reason.TOKEN_UNPARSABLE: "the token can be read",
    Reason.TOKEN_INCORRECT: "the token is signed by this service",
    Reason.TOKEN_CLAIMS: "the token's claims are complete",
    Reason.TOKEN_EXPIRED: "the token has not expired",
    Reason.TOKEN_REVOKED: "the token is not revoked",
    Reason.TOKEN_SUBJECT_UNKNOWN: "the token's client is registered",
    Reason.TOKEN_BINDING: "the token is used with its certificate",
    Reason.TOO_MANY_FAILURES: "no wait is running after failures",
    Reason.TOO_MANY_REQUESTS: "the client is within its requests per minute",
    Reason.DEVICE_UNKNOWN: "the device is the account's",
    Reason.OVERLOADED: "there is room in the ledger",
    Reason.UNAVAILABLE: "the database answers",
    Reason.INTERNAL: "nothing unforeseen happened",
}


def checks_of(action: str, shape: Shape | None) -> list[Reason]:
    """Return the checks that a request goes through, in their order; a shape that confirms wants a certificate."""
    by_certificate = shape is not None and shape.name_of(Fact.CONFIRMATION) is not None
    others = _OF_A_KEY if by_certificate else _OF_A_CERTIFICATE
    return [check for check in (AT_TOKEN if action == "token.issue" else WITH_TOKEN) if check not in others]


class Step(NamedTuple):
    """One check of a request."""

    question: str
    passed: bool
    expected: str = ""
    seen: str = ""


class Explanation(NamedTuple):
    """What was decided about one request, and why."""

    request_id: str
    at: datetime
    action: str
    outcome: str
    reason: str | None
    service: str | None
    partner: str | None
    client: str | None
    credential: str | None
    address: str | None
    detail: str
    steps: Sequence[Step]


async def explain(registrar: Registrar, request_id: str) -> list[Explanation]:
    """Return what the audit log knows of a request.

    Raises:
        Impossible: nothing; only refusals, issued tokens and changes are recorded one by one.
    """
    rows = await registrar.database.read(audit.events_of_request, request_id)
    if not rows:
        raise Impossible(
            f"no event has the request id {request_id!r}: it is not of this installation, or of a check that passed,"
            " which is counted, and recorded only with audit.checks = 'all'"
        )
    return [
        Explanation(
            row.request_id,
            from_microseconds(row.at_us),
            row.action,
            row.outcome,
            row.reason,
            row.service,
            row.partner,
            row.client,
            row.credential,
            row.address,
            _in_words(msgspec.json.decode(row.detail)),
            _steps(row, msgspec.json.decode(row.detail), registrar.services.get(row.service)),
        )
        for row in rows
    ]


def _in_words(detail: dict[str, Any]) -> str:
    """Return what the event says beside its columns: of a change who made it and what, of a token its handle."""
    shown = {name: value for name, value in detail.items() if name not in ("expected", "seen")}
    if shown.keys() <= {"detail"}:
        return str(shown.get("detail", ""))
    return ", ".join(
        f"{name} {value if isinstance(value, str) else _encode(value).decode()}" for name, value in shown.items()
    )


def _steps(row: Row[Any], detail: dict[str, str], service: Service | None) -> list[Step]:
    if row.outcome == Outcome.CHANGED.value:
        return []
    order = checks_of(row.action, service.shape if service else None)
    if row.reason is None:
        return [Step(QUESTIONS[check], passed=True) for check in order]
    refused = Reason(row.reason)
    before = order[: order.index(refused)] if refused in order else []
    failed = Step(QUESTIONS[refused], passed=False, expected=detail.get("expected", ""), seen=detail.get("seen", ""))
    return [*(Step(QUESTIONS[check], passed=True) for check in before), failed]
