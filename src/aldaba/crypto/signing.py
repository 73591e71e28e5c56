"""Ed25519 signatures over audit checkpoints, RFC 8032: made with our key, checked by anyone with the public one."""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


class WrongSignature(Exception):
    """The signature is not one of this key over this message."""


def sign_checkpoint(seed: bytes, message: bytes) -> bytes:
    """Sign a message.

    Args:
        seed: 32 bytes derived from the master key for this purpose alone.
    """
    return Ed25519PrivateKey.from_private_bytes(seed).sign(message)


def verify_checkpoint(public_key: bytes, message: bytes, signature: bytes) -> bytes:
    """Verify a signature and return the message it covers.

    Raises:
        WrongSignature: It is of another key, over another message, or damaged.
    """
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except InvalidSignature as error:
        raise WrongSignature("not a signature of this key over this message") from error
    return message


def public_key(seed: bytes) -> bytes:
    """Give the public key of a seed, as its 32 bytes."""
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def public_key_pem(public: bytes) -> str:
    """Write a public key as PEM, for the auditor's own tools."""
    key = Ed25519PublicKey.from_public_bytes(public)
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii")
