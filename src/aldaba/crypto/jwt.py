"""Compact JSON web tokens signed with HMAC-SHA512: RFC 7515, RFC 7519, and `HS512` of RFC 7518 only.

The endpoint gives header and keys, the token never chooses. Who the token is about, and whether it was revoked, is not
decided here.
"""

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Any

from aldaba.crypto import base64url, strict_json

MAX_TOKEN_LENGTH = 4096
MIN_KEY_BYTES = 64
LEEWAY_S = 10

_HEADER_MEMBERS = {"alg", "typ", "kid"}
_LARGEST_INTEGER = 2**53  # what every JSON reader holds exactly, RFC 8259, section 6


class Fault(StrEnum):
    """What is wrong with a token, as far as a dialect may tell (mobility sheet, section 8, rows 8 to 13)."""

    UNPARSABLE = "unparsable"
    INCORRECT = "incorrect"
    CLAIMS = "claims"
    EXPIRED = "expired"


class BadToken(Exception):
    """The token is refused. `detail` is for the log, never for the caller, and quotes nothing of the token."""

    def __init__(self, fault: Fault, detail: str) -> None:
        super().__init__(f"{fault}: {detail}")
        self.fault = fault
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Header:
    """The exact header that an endpoint issues and accepts, encoded once.

    Raises:
        ValueError: Not a JSON object with `alg` `HS512` and at most `typ` and `kid` beside it.
    """

    json: str
    prefix: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        raw = self.json.encode("utf-8")
        members = strict_json.loads_object(raw)
        if members.get("alg") != "HS512" or not members.keys() <= _HEADER_MEMBERS:
            raise ValueError("a header has alg HS512 and at most typ and kid")
        object.__setattr__(self, "prefix", base64url.encode(raw) + b".")

    @property
    def segment(self) -> str:
        """The first segment of every token with this header."""
        return self.prefix[:-1].decode("ascii")


def sign(header: Header, payload: bytes, key: bytes) -> str:
    """Sign a payload as a compact token.

    Raises:
        ValueError: The key is shorter than the hash (RFC 7518, section 3.2), or the token longer than we would accept.
    """
    _require_strong(key)
    signing_input = header.prefix + base64url.encode(payload)
    token = signing_input + b"." + _signature(signing_input, key)
    if len(token) > MAX_TOKEN_LENGTH:
        raise ValueError(f"a token has at most {MAX_TOKEN_LENGTH} characters")
    return token.decode("ascii")


def verify(token: str, header: Header, keys: Sequence[bytes]) -> dict[str, Any]:
    """Verify a token and return its claims; their times are the business of `check_times`.

    Raises:
        BadToken: `UNPARSABLE` or `INCORRECT`.
        ValueError: No key, or a key that is too short.
    """
    payload = verify_payload(token, header, keys)
    try:
        return strict_json.loads_object(payload)
    except strict_json.MalformedJson as error:
        raise BadToken(Fault.UNPARSABLE, f"payload: {error}") from error


def verify_payload(token: str, header: Header, keys: Sequence[bytes]) -> bytes:
    """Verify a token and return the bytes that were signed. Nothing is decoded before the signature holds.

    Args:
        keys: The keys of this endpoint, the most likely first: active, next, retired.

    Raises:
        BadToken: `UNPARSABLE` or `INCORRECT`.
        ValueError: No key, or a key that is too short.
    """
    unverified = _require_well_formed(token)
    if not unverified.startswith(header.prefix):
        raise _foreign_header(unverified)
    signing_input, _, signature = unverified.rpartition(b".")
    _require_signature(signing_input, signature, keys)
    try:
        return base64url.decode(signing_input[len(header.prefix) :])
    except base64url.MalformedBase64url as error:
        raise BadToken(Fault.UNPARSABLE, f"payload: base64url {error}") from error


def check_times(claims: Mapping[str, Any], now_s: int, leeway_s: int = LEEWAY_S) -> None:
    """Refuse claims that are not valid now: RFC 7519, sections 4.1.4 to 4.1.6; threats E7 and E8.

    Args:
        leeway_s: How far `iat` and `nbf` may lie in the future. `exp` has no leeway.

    Raises:
        BadToken: `CLAIMS` for a missing, mistyped or future instant, `EXPIRED` from the second of `exp` on.
    """
    if "exp" not in claims:
        raise BadToken(Fault.CLAIMS, "exp is missing")
    for name in ("exp", "iat", "nbf"):
        _require_instant(claims, name)
    if claims["exp"] <= now_s:
        raise BadToken(Fault.EXPIRED, "exp is past")
    for name in ("iat", "nbf"):
        if claims.get(name, now_s) > now_s + leeway_s:
            raise BadToken(Fault.CLAIMS, f"{name} is in the future")


def _require_well_formed(token: str) -> bytes:
    if len(token) > MAX_TOKEN_LENGTH:
        raise BadToken(Fault.UNPARSABLE, f"longer than {MAX_TOKEN_LENGTH} characters")
    if not token.isascii():
        raise BadToken(Fault.UNPARSABLE, "not ASCII")
    unverified = token.encode("ascii")
    # One look for both: three segments, and nothing in them but base64url.
    if unverified.translate(None, base64url.ALPHABET) != b"..":
        raise BadToken(Fault.UNPARSABLE, "not three segments of base64url")
    return unverified


def _foreign_header(unverified: bytes) -> BadToken:
    # We issue one spelling of the header, so any other is refused; decoding it only tells what to call the fault.
    try:
        strict_json.loads_object(base64url.decode(unverified.partition(b".")[0]))
    except (base64url.MalformedBase64url, strict_json.MalformedJson) as error:
        return BadToken(Fault.UNPARSABLE, f"header: {error}")
    return BadToken(Fault.INCORRECT, "header is not the one this endpoint issues")


def _require_signature(signing_input: bytes, signature: bytes, keys: Sequence[bytes]) -> None:
    if not keys:
        raise ValueError("no key to verify with")
    for key in keys:
        _require_strong(key)
    # Comparing the encoded texts settles length, padding and unused bits of the signature as well.
    for key in keys:
        if hmac.compare_digest(_signature(signing_input, key), signature):
            return
    raise BadToken(Fault.INCORRECT, "signature is of none of the keys")


def _signature(signing_input: bytes, key: bytes) -> bytes:
    keyed = _keyed(key).copy()
    keyed.update(signing_input)
    return base64url.encode(keyed.digest())


@lru_cache(maxsize=64)
def _keyed(key: bytes) -> hmac.HMAC:
    # The one-shot function sets the hash up at each call, and gives the interpreter's lock away while it does.
    return hmac.new(key, digestmod="sha512")


def _require_strong(key: bytes) -> None:
    if len(key) < MIN_KEY_BYTES:
        raise ValueError(f"an HS512 key has at least {MIN_KEY_BYTES} bytes")


def _require_instant(claims: Mapping[str, Any], name: str) -> None:
    value = claims.get(name, 0)
    # `type` and not `isinstance`: a boolean is not an instant.
    if type(value) is not int or abs(value) >= _LARGEST_INTEGER:
        raise BadToken(Fault.CLAIMS, f"{name} is not an instant in seconds")
