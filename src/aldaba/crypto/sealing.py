"""Sealing of secrets at rest with AES-256-GCM: what the database holds signs nothing without the master key."""

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32

_VERSION = b"\x01"
_NONCE_BYTES = 12  # random: safe for 2**32 sealings under one key, NIST SP 800-38D, section 8.3


class CannotUnseal(Exception):
    """Sealed under another key or for another place, or damaged. Which of them cannot be known."""


def seal(key: bytes, plaintext: bytes, context: str) -> bytes:
    """Seal bytes for one place.

    Args:
        context: Where they belong, such as service, purpose and key id. The same is needed to unseal, so that what was
            sealed for one place cannot be moved to another.

    Raises:
        ValueError: The key has not 32 bytes, or the context is empty.
    """
    cipher = _cipher(key)
    nonce = os.urandom(_NONCE_BYTES)
    return _VERSION + nonce + cipher.encrypt(nonce, plaintext, _bound(context))


def unseal(key: bytes, sealed: bytes, context: str) -> bytes:
    """Unseal what `seal` gave.

    Raises:
        CannotUnseal: Another key, another context, or damaged.
        ValueError: The key has not 32 bytes, or the context is empty.
    """
    cipher = _cipher(key)
    version, nonce, ciphertext = sealed[:1], sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
    if version != _VERSION or len(nonce) != _NONCE_BYTES:
        raise CannotUnseal("not something sealed by this version")
    try:
        return cipher.decrypt(nonce, ciphertext, _bound(context))
    except InvalidTag:
        raise CannotUnseal("sealed under another key or for another place, or damaged") from None


def _cipher(key: bytes) -> AESGCM:
    if len(key) != KEY_BYTES:
        raise ValueError(f"a sealing key has {KEY_BYTES} bytes")
    return AESGCM(key)


def _bound(context: str) -> bytes:
    if not context:
        raise ValueError("what is sealed has a context")
    return _VERSION + context.encode("utf-8")
