"""The bare applications: the same HTTP, JSON, hash and signature, and nothing else; nothing is stored.

What a good engineer writes on one page: no routing, no audit, no registry, no revocation, no limits.
The server under them is uvicorn as it is installed, with uvloop and httptools, without an access log.
"""

import base64
import hashlib
import hmac
import time
from collections.abc import Awaitable, Callable, MutableMapping
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import msgspec

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

PEPPER = b"p" * 32
KEY = b"k" * 64
LIFETIME_S = 24 * 3600
HEADER = base64.urlsafe_b64encode(b'{"alg":"HS512","typ":"JWT"}').rstrip(b"=")


class Credentials(msgspec.Struct):
    """The body of a token request."""

    userName: str  # noqa: N815 - the vendor's spelling
    apiKey: str  # noqa: N815


class Claims(msgspec.Struct):
    """What a token says."""

    sub: str
    iat: int
    exp: int
    jti: str
    cred: str


read_body = msgspec.json.Decoder(Credentials).decode
read_claims = msgspec.json.Decoder(Claims).decode


def keyed_hash(secret: str) -> bytes:
    """Return the hash under which a key is kept."""
    return hmac.digest(PEPPER, hashlib.sha256(secret.encode()).digest(), "sha256")


def sign(claims: Claims) -> str:
    """Return a signed token."""
    payload = base64.urlsafe_b64encode(msgspec.json.encode(claims)).rstrip(b"=")
    signed = HEADER + b"." + payload
    signature = base64.urlsafe_b64encode(hmac.digest(KEY, signed, "sha512")).rstrip(b"=")
    return (signed + b"." + signature).decode()


def is_good(token: bytes) -> bool:
    """Return whether a token is signed by us and has not ended."""
    signed, _, signature = token.rpartition(b".")
    header, _, payload = signed.partition(b".")
    expected = base64.urlsafe_b64encode(hmac.digest(KEY, signed, "sha512")).rstrip(b"=")
    if header != HEADER or not hmac.compare_digest(expected, signature):
        return False
    return time.time() < read_claims(base64.urlsafe_b64decode(payload + b"==")).exp


def issuing(user_name: str, api_key: str) -> App:
    """Return an application that exchanges the key of its one client for a token, as fleet does."""
    known = {user_name: (keyed_hash(api_key), str(uuid4()))}

    async def app(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        asked, request_id = read_body(await whole_body(receive)), str(uuid4())
        expected, credential = known[asked.userName]
        if not hmac.compare_digest(expected, keyed_hash(asked.apiKey)):
            await answer(send, 401, b'{"success":false,"error":"Invalid API key or username."}', request_id)
            return
        now_s = int(time.time())
        token = sign(Claims(asked.userName, now_s, now_s + LIFETIME_S, request_id, credential))
        expires = f"{datetime.fromtimestamp(now_s + LIFETIME_S, UTC):%Y-%m-%dT%H:%M:%SZ}"
        body = msgspec.json.encode({"success": True, "token": token, "expires": expires})
        await answer(send, 200, body, request_id)

    return app


def checking(body: bytes) -> App:
    """Return an application that answers good tokens with a body."""

    async def app(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        authorization = dict(scope["headers"]).get(b"authorization", b"")
        if is_good(authorization.removeprefix(b"Bearer ")):
            await answer(send, 200, body, str(uuid4()))
        else:
            refused = b'{"success":false,"error":"Authentication failed. Invalid token."}'
            await answer(send, 401, refused, str(uuid4()))

    return app


async def whole_body(receive: Receive) -> bytes:
    """Return the body of a request."""
    message = await receive()
    body: bytes = message["body"]
    while message["more_body"]:
        message = await receive()
        body += message["body"]
    return body


async def answer(send: Send, status: int, body: bytes, request_id: str) -> None:
    """Answer with the headers that ours have too."""
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
        (b"x-request-id", request_id.encode()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
