"""The mobility API's spelling: bodies, codes and instants as its sheet has them, and nothing that decides."""

from datetime import datetime
from typing import NamedTuple

import msgspec

from aldaba.errors import Reason, Refusal
from aldaba.model.calls import Authorization, Call, IssuedToken, PeerCertificate
from aldaba.model.services import Fact, Shape
from aldaba.web.messages import Answer, Request

_encode = msgspec.json.Encoder().encode

# Section 5: the claims of the sample in their order, `jti` a constant and no id; what we add comes after them.
TOKEN = Shape(
    header='{"alg":"HS512"}',
    claims=(
        ("jti", "CMobility3.0"),
        ("sub", Fact.SUBJECT),
        ("authorities", Fact.ROLES),
        ("iat", Fact.ISSUED_AT_S),
        ("exp", Fact.EXPIRES_AT_S),
        ("cred", Fact.CREDENTIAL),
        ("cnf", Fact.CONFIRMATION),
    ),
)

# -- requests ---------------------------------------------------------------------------------------------------------


def read_token_request(request: Request) -> PeerCertificate:
    """Return the evidence of section 2, which is the connection's; a `POST` is tolerated with an empty body."""
    if request.body:
        raise Refusal(Reason.MALFORMED, expected="no body", seen=f"{len(request.body)} bytes")
    return PeerCertificate()


# -- answers ----------------------------------------------------------------------------------------------------------


def instant(at: datetime) -> str:
    """Return an instant with exactly three fractional digits, cut and not rounded, and a literal Z (section 3)."""
    return at.isoformat(timespec="milliseconds")[:23] + "Z"


class _Token(msgspec.Struct):
    issuedAt: str
    expiration: str
    token: str


class _Pong(msgspec.Struct):
    user: str
    authorities: tuple[str, ...]


def token_answer(token: IssuedToken) -> Answer:
    """Section 3: the scheme is inside the field."""
    return Answer(200, _encode(_Token(instant(token.issued_at), instant(token.expires_at), f"Bearer {token.text}")))


def ping_answer(caller: Authorization) -> Answer:
    """Say whose token it was; ours, the sheet has no such call."""
    return Answer(200, _encode(_Pong(caller.client.name, caller.client.roles)))


# -- refusals ---------------------------------------------------------------------------------------------------------


class Words(NamedTuple):
    """How a reason is said: HTTP status, application code, message; typos as the platform has them (section 6)."""

    status: int
    code: int
    message: str


_USER = Words(401, 1, "User not found or valid")
_ENTITY = Words(400, 4, "The entity received cannot be proccessed")
_INCORRECT = Words(400, 5, "Incorrect token received")
_TOO_MANY = Words(429, 429, "Too many requests")
_UNAVAILABLE = Words(503, 503, "Service unavailable")

# Codes above 7 are ours, and repeat the status (section 8, rows 19 and 20).
_EVERYWHERE = {
    Reason.MALFORMED: _ENTITY,
    Reason.PEER_CONTRADICTORY: _ENTITY,
    Reason.UNSUPPORTED_MEDIA_TYPE: _ENTITY,
    Reason.TOO_LARGE: Words(413, 413, "Request too large"),
    Reason.PATH_UNKNOWN: Words(404, 404, "Not found"),
    Reason.METHOD_NOT_ALLOWED: Words(405, 405, "Method not allowed"),
    Reason.DEVICE_UNKNOWN: Words(400, 2, "Entity ID not found"),
    Reason.TOO_MANY_FAILURES: _TOO_MANY,
    Reason.TOO_MANY_REQUESTS: _TOO_MANY,
    Reason.OVERLOADED: _UNAVAILABLE,
    Reason.UNAVAILABLE: _UNAVAILABLE,
    Reason.INTERNAL: Words(500, 500, "Internal server error"),
}

# At the token endpoint no hint is given which check failed (section 8, rows 4 to 7).
AT_TOKEN: dict[Reason, Words] = dict.fromkeys(Reason, _USER) | _EVERYWHERE

# With a token: faults of the token are 400, only an unknown or invalid user is 401 (sections 6 and 8, rows 8 to 13).
WITH_TOKEN: dict[Reason, Words] = (
    dict.fromkeys(Reason, _INCORRECT)
    | _EVERYWHERE
    | {
        Reason.TOKEN_MISSING: Words(400, 0, "Authenticate"),
        Reason.TOKEN_EXPIRED: Words(400, 6, "Expired token received"),
        Reason.TOKEN_CLAIMS: Words(400, 7, "There is an error with the token"),
        Reason.TOKEN_SUBJECT_UNKNOWN: _USER,
        Reason.PARTNER_SUSPENDED: _USER,
        Reason.CLIENT_DISABLED: _USER,
        Reason.SERVICE_NOT_ALLOWED: _USER,
        Reason.ADDRESS_NOT_ALLOWED: _USER,
    }
)


class _Failure(msgspec.Struct):
    status: int
    code: int
    message: str


def say(refusal: Refusal, words: Words, call: Call) -> Answer:
    """Return the three members of section 6, in their order."""
    return Answer(words.status, _encode(_Failure(*words)))
