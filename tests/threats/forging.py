"""Tokens that nobody should accept, made from a good one and from the key that signs (threats, section 6)."""

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

HASHES = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}


class Forgery(NamedTuple):
    """A token, its row, and what is wrong with it."""

    row: str
    fault: str
    token: str


def encoded(raw: bytes) -> str:
    """Return base64url without padding."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def decoded(segment: str) -> bytes:
    """Return the bytes of a segment."""
    return base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))


def signed(header: bytes, payload: bytes, key: bytes, algorithm: str = "sha512") -> str:
    """Return a token over any bytes, signed in earnest."""
    signing_input = f"{encoded(header)}.{encoded(payload)}"
    return f"{signing_input}.{encoded(hmac.digest(key, signing_input.encode(), algorithm))}"


def forgeries(row: str, token: str, key: bytes, public_pem: bytes) -> Iterator[Forgery]:
    """Yield what cannot be a token of the service, though most of it is rightly signed."""
    yield from (forgery for forgery in _all(token, key, public_pem) if forgery.row == row)


def _all(token: str, key: bytes, public_pem: bytes) -> Iterator[Forgery]:
    head, payload, signature = token.split(".")
    header_json, payload_json = decoded(head), decoded(payload)
    header: dict[str, Any] = json.loads(header_json)
    yield from _algorithms(header, payload_json, key, token)
    yield from _keys(header_json, payload_json, public_pem)
    yield from _signatures(head, payload, signature)
    yield from _forms(head, payload, signature, token)
    yield from _parsers(header_json, payload_json, key)
    yield from _parameters(header, payload_json, key)


def _algorithms(header: dict[str, Any], payload: bytes, key: bytes, token: str) -> Iterator[Forgery]:
    for name in ("none", "None", "NONE", "nOnE", "", "HS256", "HS384", "RS512", "ES512", "EdDSA", "hs512", "HS512 "):
        text = json.dumps({**header, "alg": name}, separators=(",", ":")).encode()
        yield Forgery("e1", f"alg {name!r}", signed(text, payload, key, HASHES.get(name, "sha512")))
        yield Forgery("e1", f"alg {name!r} unsigned", f"{encoded(text)}.{encoded(payload)}.")
    without = {name: value for name, value in header.items() if name != "alg"}
    yield Forgery("e1", "no alg", signed(json.dumps(without).encode(), payload, key))
    for value in (None, 512, True, ["HS512"], {"name": "HS512"}):
        yield Forgery("e1", f"alg {value!r}", signed(json.dumps({**header, "alg": value}).encode(), payload, key))
    other_typ = {"alg": "HS512"} if "typ" in header else {"alg": "HS512", "typ": "JWT"}
    yield Forgery("e1", "the header of the other dialect", signed(_compact(other_typ), payload, key))
    yield Forgery("e1", "spaces in the header", signed(json.dumps(header, indent=1).encode(), payload, key))
    yield Forgery("e1", "typ at+jwt", signed(_compact({**header, "typ": "at+jwt"}), payload, key))
    yield Forgery("e1", "unsigned", token.rpartition(".")[0] + ".")


def _keys(header: bytes, payload: bytes, public_pem: bytes) -> Iterator[Forgery]:
    for name, key in {
        "empty": b"",
        "NUL": b"\0",
        "64 NUL": b"\0" * 64,
        "a word": b"secret",
        "a public certificate in PEM": public_pem,
        "the text of that, stripped": public_pem.strip(),
        "its digest": hashlib.sha512(public_pem).digest(),
    }.items():
        yield Forgery("e2", f"keyed with {name}", signed(header, payload, key))


def _signatures(head: str, payload: str, signature: str) -> Iterator[Forgery]:
    start = f"{head}.{payload}."
    flipped = bytearray(decoded(signature))
    flipped[0] ^= 1
    for fault, other in {
        "missing": "",
        "cut by one": signature[:-1],
        "cut to half": signature[: len(signature) // 2],
        "cut to 32 bytes": encoded(decoded(signature)[:32]),
        "one bit flipped": encoded(bytes(flipped)),
        "padded": signature + "==",
        "doubled": signature * 2,
        "another spelling of its unused bits": signature[:-1] + _next(signature[-1]),
        "in plain base64": base64.b64encode(decoded(signature)).decode(),
        "in hexadecimal": decoded(signature).hex(),
        "in upper case": signature.upper(),
        "zero": encoded(b"\0" * 64),
        "ones": encoded(b"\xff" * 64),
        "65 bytes": encoded(decoded(signature) + b"\0"),
        "of the header alone": encoded(hashlib.sha512(head.encode()).digest()),
    }.items():
        row = "e16" if fault in ("zero", "ones", "65 bytes", "in hexadecimal", "of the header alone") else "e3"
        yield Forgery(row, f"signature {fault}", start + other)
    yield Forgery("e3", "a character of the payload changed", f"{head}.{_next(payload[0])}{payload[1:]}.{signature}")
    yield Forgery("e3", "a tab in the middle", f"{head}.{payload}\t.{signature}")
    yield Forgery("e3", "percent-encoded", f"{head}%2E{payload}%2E{signature}")


def _forms(head: str, payload: str, signature: str, token: str) -> Iterator[Forgery]:
    as_json = {"protected": head, "payload": payload, "signature": signature}
    flattened = json.dumps(as_json, separators=(",", ":"))
    for fault, other in {
        "one segment": head,
        "two segments": f"{head}.{payload}",
        "four segments": f"{token}.{signature}",
        "five segments, as an encrypted token": f"{head}..{payload}.{payload}.{signature}",
        "empty segments": "..",
        "only dots": "." * 50,
        "no header": f".{payload}.{signature}",
        "no payload": f"{head}..{signature}",
        "a JSON form": flattened,
        "a JSON form, encoded": encoded(flattened.encode()),
        "over 4 KiB": f"{head}.{payload}{'A' * 4096}.{signature}",
        "a dot before it": f".{token}",
        "a quoted token": f'"{token}"',
        "another after it": f"{token},{token}",
        "a word": "your_token",
        "dashes": "-----",
    }.items():
        yield Forgery("e4", fault, other)


def _parsers(header: bytes, payload: bytes, key: bytes) -> Iterator[Forgery]:
    doubled = payload[:-1] + b"," + payload[1:]
    for fault, other in {
        "doubled members": doubled,
        "UTF-16": payload.decode().encode("utf-16"),
        "a byte-order mark": b"\xef\xbb\xbf" + payload,
        "an array": b"[" + payload + b"]",
        "deep nesting": b'{"a":' * 40 + b"1" + b"}" * 40,
        "NaN": payload[:-1] + b',"n":NaN}',
        "not JSON": b"sub=acme",
        "nothing": b"",
        "bytes": b"\xff\xfe\x00",
        "text after it": payload + b" x",
    }.items():
        yield Forgery("e5", f"payload with {fault}", signed(header, other, key))
    yield Forgery("e5", "header with doubled members", signed(b'{"alg":"none","alg":"HS512"}', payload, key))
    yield Forgery("e5", "header in UTF-16", signed(header.decode().encode("utf-16"), payload, key))
    yield Forgery("e5", "header as an array", signed(b"[" + header + b"]", payload, key))


def _parameters(header: dict[str, Any], payload: bytes, key: bytes) -> Iterator[Forgery]:
    for name, value in {
        "crit": ["exp"],
        "b64": False,
        "jku": "http://127.0.0.1:1/keys",
        "x5u": "http://127.0.0.1:1/certificate",
        "jwk": {"kty": "oct", "k": encoded(b"x" * 64)},
        "x5c": ["MIIB"],
        "zip": "DEF",
        "kid": "../../../dev/null",
        "cty": "JWT",
    }.items():
        yield Forgery("e6", f"header with {name}", signed(_compact({**header, name: value}), payload, key))
    for kid in ("' OR 1=1--", "a\0b", "|whoami", 1, None):
        yield Forgery("e6", f"kid {kid!r}", signed(_compact({**header, "kid": kid}), payload, key))


def _compact(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _next(character: str) -> str:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return alphabet[(alphabet.index(character) + 1) % 64]
