"""The fleet API's spelling: bodies, texts and instants as its sheet has them, and nothing that decides."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

import msgspec

from aldaba.errors import Reason, Refusal
from aldaba.model.calls import Call, IssuedToken, NameAndKey, Usage
from aldaba.model.devices import Device
from aldaba.model.services import Fact, Shape
from aldaba.web.messages import Answer, Request, text_member

_encode = msgspec.json.Encoder().encode

# Section 3: the header is forced by the sample; the claims are ours, and clients must not read them (section 9, row 5).
TOKEN = Shape(
    header='{"alg":"HS512","typ":"JWT"}',
    claims=(
        ("sub", Fact.SUBJECT),
        ("iat", Fact.ISSUED_AT_S),
        ("exp", Fact.EXPIRES_AT_S),
        ("jti", Fact.TOKEN_ID),
        ("cred", Fact.CREDENTIAL),
    ),
)

# -- requests ---------------------------------------------------------------------------------------------------------


def read_token_request(request: Request) -> NameAndKey:
    """Return the user name and API key of section 2."""
    body = request.json_object()
    return NameAndKey(text_member(body, "userName"), text_member(body, "apiKey"))


# -- answers ----------------------------------------------------------------------------------------------------------


def instant(at: datetime) -> str:
    """Return an instant in whole seconds with a literal Z, never with a fraction (section 9, row 6)."""
    return _second(int(at.timestamp()))


@lru_cache(maxsize=4096)
def _second(second: int) -> str:
    # Tokens of one moment end in one second, and devices keep theirs.
    return datetime.fromtimestamp(second, UTC).isoformat()[:19] + "Z"


class _Token(msgspec.Struct):
    success: bool
    token: str
    expires: str


class _Device(msgspec.Struct):
    id: str
    name: str | None
    description: str | None
    min: str | None
    tags: dict[str, str] | None
    expires: str | None


class _Devices(msgspec.Struct):
    success: bool
    apiUsage: int
    apiDailyUsage: int
    devices: list[_Device]


class _OneDevice(msgspec.Struct):
    success: bool
    apiUsage: int
    apiDailyUsage: int
    device: _Device


def token_answer(token: IssuedToken) -> Answer:
    """Section 2: the bare token, without `Bearer`."""
    return Answer(200, _encode(_Token(True, token.text, instant(token.expires_at))))


def devices_answer(devices: Sequence[Device], usage: Usage) -> Answer:
    """Section 4."""
    return Answer(200, _encode(_Devices(True, usage.minute, usage.day, [_device(device) for device in devices])))


def device_answer(device: Device, usage: Usage) -> Answer:
    """Section 5."""
    return Answer(200, _encode(_OneDevice(True, usage.minute, usage.day, _device(device))))


def _device(device: Device) -> _Device:
    # All six members always, null when unknown (section 9, row 12).
    expires = None if device.expires_at is None else instant(device.expires_at)
    return _Device(device.id, device.name, device.description, device.min, device.tags, expires)


# -- refusals ---------------------------------------------------------------------------------------------------------


class Words(NamedTuple):
    """How a reason is said: HTTP status, text, and whether the usage counters go with it."""

    status: int
    error: str
    counted: bool = True


_WRONG_KEY = Words(401, "Invalid API key or username.", counted=False)
_WRONG_TOKEN = Words(401, "Authentication failed. Invalid token.")
_FORBIDDEN = Words(403, "Forbidden")
_UNAVAILABLE = Words(503, "Service Unavailable")

# With a token: every path but the token's own, and what no route answers.
WITH_TOKEN: dict[Reason, Words] = dict.fromkeys(Reason, _WRONG_TOKEN) | {
    Reason.MALFORMED: Words(400, "Bad Request"),
    Reason.PEER_CONTRADICTORY: Words(400, "Bad Request"),
    Reason.UNSUPPORTED_MEDIA_TYPE: Words(415, "Unsupported Media Type"),
    Reason.TOO_LARGE: Words(413, "Payload Too Large"),
    Reason.PATH_UNKNOWN: Words(404, "Not Found"),
    Reason.METHOD_NOT_ALLOWED: Words(405, "Method Not Allowed"),
    Reason.PARTNER_SUSPENDED: _FORBIDDEN,
    Reason.CLIENT_DISABLED: _FORBIDDEN,
    Reason.SERVICE_NOT_ALLOWED: _FORBIDDEN,
    Reason.ADDRESS_NOT_ALLOWED: _FORBIDDEN,
    Reason.DEVICE_UNKNOWN: Words(404, "Device not found"),
    Reason.TOO_MANY_FAILURES: Words(429, "Too Many Requests"),
    Reason.TOO_MANY_REQUESTS: Words(429, "Too Many Requests"),
    Reason.OVERLOADED: _UNAVAILABLE,
    Reason.UNAVAILABLE: _UNAVAILABLE,
    Reason.INTERNAL: Words(500, "Internal Server Error"),
}

# At the token endpoint whatever is wrong with who calls is said in one text; the counters do not appear.
_ABOUT_THE_CALLER = {
    reason for reason, words in WITH_TOKEN.items() if words in (_WRONG_TOKEN, _FORBIDDEN) or words.status == 401
}
AT_TOKEN: dict[Reason, Words] = {
    reason: _WRONG_KEY if reason in _ABOUT_THE_CALLER else words._replace(counted=False)
    for reason, words in WITH_TOKEN.items()
}


class _Failure(msgspec.Struct):
    success: bool
    error: str


class _CountedFailure(msgspec.Struct):
    success: bool
    error: str
    apiUsage: int
    apiDailyUsage: int


def say(refusal: Refusal, words: Words, call: Call) -> Answer:
    """Return the failure body of section 6, with the counters where they belong: 0 while the user is not known."""
    usage = call.known.usage or Usage()
    body = (
        _CountedFailure(False, words.error, usage.minute, usage.day) if words.counted else _Failure(False, words.error)
    )
    return Answer(words.status, _encode(body))
