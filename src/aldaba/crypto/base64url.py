"""Canonical base64url without padding, RFC 7515 appendix C: one text for each value, every other is refused."""

import binascii

ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

_TO_URL = bytes.maketrans(b"+/", b"-_")
_FROM_URL = bytes.maketrans(b"-_", b"+/")


class MalformedBase64url(ValueError):
    """The text is not what `encode` gives for any value."""


def encode(value: bytes) -> bytes:
    """Encode to base64url text, as ASCII bytes and without padding."""
    return binascii.b2a_base64(value, newline=False).translate(_TO_URL).rstrip(b"=")


def decode(text: bytes) -> bytes:
    """Decode text that is exactly what `encode` would have given.

    Raises:
        MalformedBase64url: A foreign character, padding, an impossible length, or unused bits that are not zero.
    """
    padding = b"=" * (-len(text) % 4)
    try:
        value = binascii.a2b_base64(text.translate(_FROM_URL) + padding)
    except binascii.Error:
        raise MalformedBase64url("impossible length") from None
    # The decoder forgives much (junk, "+", unused bits); comparing with the one right spelling forgives nothing.
    if encode(value) != text:
        raise MalformedBase64url("not canonical")
    return value
