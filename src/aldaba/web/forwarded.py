"""What a trusted proxy writes into headers: the hops of a request, and the certificate its TLS peer showed.

Each reader is strict: a proxy that says something odd is misconfigured or fooled, and either way not to be believed.
"""

import base64
import binascii
import re
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from urllib.parse import unquote_to_bytes

import http_sf

from aldaba.model.networks import Address, parse_address

MAX_HOPS = 64
# Certificates of clients are around 1 KiB; 16 KiB is what a whole chain may have (threats C5).
MAX_CERTIFICATE = 16 * 1024

_PORT = r"(?::[0-9]{1,5})?"
_V4_HOP = re.compile(rf"([0-9.]{{7,15}}){_PORT}")
_BARE_V6_HOP = re.compile(r"[0-9A-Fa-f:.]{2,45}")
_V6_HOP = re.compile(rf"\[([0-9A-Fa-f:.]{{2,45}})\]{_PORT}")

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_QUOTED = r'"(?:[\t !#-\[\]-~]|\\[\t -~])*"'
_PAIR = re.compile(rf"({_TOKEN})=({_TOKEN}|{_QUOTED})")
_SEPARATOR = re.compile(r"[ \t]*([,;])[ \t]*")

_ESCAPED = re.compile(rb"(?:[A-Za-z0-9._~+/=-]|%[0-9A-Fa-f]{2})+")
_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----\r?\n([A-Za-z0-9+/=\r\n]+?)\r?\n-----END CERTIFICATE-----(?:\r?\n)?")


class BadPeer(Exception):
    """A trusted proxy said something contradictory or nonsensical; the text is for the operator."""


def x_forwarded_for(values: list[bytes]) -> list[str]:
    """Return the hops of `X-Forwarded-For`, the nearest last; several headers are one list."""
    return _some([hop.strip(" \t") for value in values for hop in _text(value).split(",")])


def forwarded_for(values: list[bytes]) -> list[str]:
    """Return the `for` of each element of `Forwarded`, the nearest last (RFC 7239, section 4)."""
    return _some([_node(element) for value in values for element in _elements(_text(value))])


def hop_address(hop: str) -> Address:
    """Return the address of a hop, without its port.

    Raises:
        BadPeer: it is `unknown`, obfuscated (RFC 7239, section 6), has a zone id, or is nonsense.
    """
    found = _V4_HOP.fullmatch(hop) or _V6_HOP.fullmatch(hop)
    text = found[1] if found else hop
    try:
        if found is None and not _BARE_V6_HOP.fullmatch(hop):
            raise AddressValueError(hop)
        _refuse_other_family(text, hop)
        return parse_address(text)
    except ValueError as error:
        raise BadPeer(f"{hop!r:.60} is no address of a hop") from error


def _refuse_other_family(text: str, hop: str) -> None:
    # `[192.0.2.1]` is an address in brackets that are only for the other family.
    (IPv6Address if hop.startswith("[") or ":" in text else IPv4Address)(text)


def _some(hops: list[str]) -> list[str]:
    if len(hops) > MAX_HOPS:
        raise BadPeer(f"{len(hops)} hops")
    return hops


def _text(value: bytes) -> str:
    try:
        return value.decode("ascii")
    except UnicodeDecodeError as error:
        raise BadPeer("a forwarding header that is not ASCII") from error


def _elements(text: str) -> list[dict[str, str]]:
    """Split a `Forwarded` header; read from the left, because a quoted text may hold any separator."""
    elements: list[dict[str, str]] = [{}]
    at = 0
    while True:
        pair = _PAIR.match(text, at)
        if pair is None or pair[1].lower() in elements[-1]:
            raise BadPeer(f"Forwarded is malformed at position {at}")
        elements[-1][pair[1].lower()] = _unquoted(pair[2])
        if pair.end() == len(text):
            return elements
        separator = _SEPARATOR.match(text, pair.end())
        if separator is None:
            raise BadPeer(f"Forwarded is malformed at position {pair.end()}")
        if separator[1] == ",":
            elements.append({})
        at = separator.end()


def _unquoted(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value


def _node(element: dict[str, str]) -> str:
    # An element may speak of something else only (`proto=https`); then nobody knows who the hop before was.
    return element.get("for", "unknown")


@lru_cache(maxsize=1_024)
def client_cert(value: bytes) -> bytes:
    """Return the certificate of a `Client-Cert` header (RFC 9440, section 2.2), in DER.

    Raises:
        BadPeer: it is no byte sequence with one certificate.
    """
    return _one_der_value(byte_sequence(value))


@lru_cache(maxsize=1_024)
def client_cert_chain(values: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """Return the certificates of `Client-Cert-Chain` (RFC 9440, section 2.3), in DER; several headers are one list.

    Raises:
        BadPeer: it is no list of byte sequences with a certificate each, or too long.
    """
    chain = tuple(_one_der_value(der) for der in byte_sequences(values))
    if sum(map(len, chain)) > MAX_CERTIFICATE:
        raise BadPeer(f"a chain of more than {MAX_CERTIFICATE} bytes")
    return chain


def byte_sequence(value: bytes) -> bytes:
    """Return the byte sequence that is a whole header (RFC 9651, section 3.3.5), in canonical form only.

    Raises:
        BadPeer: it is something else, or has parameters.
    """
    return _bytes_of(_structured(value, "item"))


def byte_sequences(values: tuple[bytes, ...]) -> list[bytes]:
    """Return the byte sequences of a list (RFC 9651, section 3.1), in canonical form only; several headers are one.

    Raises:
        BadPeer: it is something else, or has parameters.
    """
    parsed = _structured(b", ".join(values), "list")
    return [_bytes_of(item) for item in parsed] if isinstance(parsed, list) else []


def _structured(value: bytes, kind: str) -> http_sf.StructuredType:
    try:
        parsed = http_sf.parse(value, tltype=kind)
        canonical = http_sf.ser(parsed).encode("ascii") if parsed else b""
    except ValueError as error:
        raise BadPeer("a certificate header that is no structured field") from error
    # The reader forgives missing padding and stray bits, but one certificate has one spelling.
    if canonical != b", ".join(part.strip(b" \t") for part in value.split(b",")):
        raise BadPeer("a certificate header that is not in canonical form")
    return parsed


def _bytes_of(item: object) -> bytes:
    match item:
        case (bytes() as value, parameters) if not parameters:
            return value
    raise BadPeer("a certificate header that holds something other than byte sequences")


@lru_cache(maxsize=1_024)
def escaped_pem(value: bytes) -> bytes:
    """Return the certificate of nginx's `$ssl_client_escaped_cert`, in DER.

    Raises:
        BadPeer: it is not one certificate in URL-encoded PEM.
    """
    found = _PEM.fullmatch(unquote_to_bytes(value)) if _ESCAPED.fullmatch(value) else None
    if found is None:
        raise BadPeer("a certificate header that is not one certificate in escaped PEM")
    encoded = found[1].replace(b"\r", b"").replace(b"\n", b"")
    try:
        der = base64.b64decode(encoded, validate=True)
    except binascii.Error as error:
        raise BadPeer("a certificate header with junk in its base64") from error
    if base64.b64encode(der) != encoded:
        raise BadPeer("a certificate header that is not in canonical base64")
    return _one_der_value(der)


def _one_der_value(der: bytes) -> bytes:
    """Refuse what is not exactly one DER sequence; what is in it is for the verifier to say."""
    if len(der) > MAX_CERTIFICATE:
        raise BadPeer(f"a certificate of more than {MAX_CERTIFICATE} bytes")
    if len(der) < 4 or der[0] != 0x30 or _der_length(der) != len(der):
        raise BadPeer("a certificate header that does not hold exactly one certificate")
    return der


def _der_length(der: bytes) -> int:
    """Return the length of a DER value with its head (X.690, section 8.1.3)."""
    if der[1] < 0x80:
        return 2 + der[1]
    octets = der[1] & 0x7F
    return 2 + octets + int.from_bytes(der[2 : 2 + octets])
