"""API keys and client secrets, the keyed hashes they are stored as, and the keys derived from the master key.

For random secrets only: passwords of people need a slow hash (threats, section 1, rule 9).
"""

import hashlib
import hmac
import re
import secrets
import string
import zlib
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NoReturn

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES = 32
MAX_SECRET_LENGTH = 512

_BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
_BODY_LENGTH = 43  # 62**43 is just above 2**256
_CHECKSUM_LENGTH = 6  # 62**6 is just above 2**32
_PREFIX = re.compile(r"[a-z][a-z0-9]{1,15}")
_SECRET = re.compile(rf"([a-z][a-z0-9]{{1,15}}_[0-9A-Za-z]{{{_BODY_LENGTH}}})([0-9A-Za-z]{{{_CHECKSUM_LENGTH}}})")


class WrongSecret(Exception):
    """The presented secret is none of the stored ones."""


class Secret:
    """A secret in clear, on its way to the one who will use it. Shows itself only through `reveal`."""

    __slots__ = ("_text",)
    __hash__ = None  # type: ignore[assignment]  # sets and mappings compare in variable time

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Give the secret in clear."""
        return self._text

    def __repr__(self) -> str:
        return f"Secret({self})"

    def __str__(self) -> str:
        # Of a secret of another make we do not know which part is harmless to show.
        if not has_valid_checksum(self._text):
            return "…"
        return f"{self._text.partition('_')[0]}_…{self._text[-4:]}"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            raise TypeError("a secret is compared with another Secret, or verified against its hash")
        return hmac.compare_digest(_every_bit(self._text), _every_bit(other._text))

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled or copied")


def new_secret(prefix: str, random_bytes: Callable[[int], bytes] = secrets.token_bytes) -> Secret:
    """Make a secret: prefix, `_`, 256 random bits as 43 characters of base62, and 6 of checksum.

    Raises:
        ValueError: The prefix is not 2 to 16 lower-case letters and digits, a letter first.
    """
    if not _PREFIX.fullmatch(prefix):
        raise ValueError("a prefix is 2 to 16 lower-case letters and digits, a letter first")
    body = f"{prefix}_{_base62(int.from_bytes(random_bytes(32)), _BODY_LENGTH)}"
    return Secret(body + _checksum(body))


def has_valid_checksum(text: str) -> bool:
    """Tell whether a text looks like one of our secrets, for scanners and hints; this says nothing about access."""
    match = _SECRET.fullmatch(text)
    return match is not None and _checksum(match[1]) == match[2]


def keyed_hash(pepper: bytes, secret: str) -> bytes:
    """Hash a secret for storage: HMAC-SHA256 over its SHA-256.

    The inner hash lets keys that another system kept as SHA-256 be stored in the same form, so that there is one kind
    of stored hash, at one cost (see `keyed_hash_of_sha256`).

    Raises:
        ValueError: The secret could never be verified: empty, too long, not ASCII or with a NUL.
    """
    if not _is_usable(secret):
        raise ValueError(f"a secret has 1 to {MAX_SECRET_LENGTH} ASCII characters, none of them NUL")
    return _keyed(pepper, hashlib.sha256(secret.encode("ascii")).digest())


def keyed_hash_of_sha256(pepper: bytes, digest: bytes) -> bytes:
    """Hash for storage a secret of which only the plain SHA-256 is known.

    Raises:
        ValueError: The digest has not 32 bytes.
    """
    if len(digest) != hashlib.sha256().digest_size:
        raise ValueError("a SHA-256 digest has 32 bytes")
    return _keyed(pepper, digest)


def verify_secret(pepper: bytes, presented: str, stored: Sequence[bytes]) -> int:
    """Find the stored hash that a presented secret belongs to, and return its index.

    Pass no hashes for an unknown name: the cost is the same (threats B1). Secrets that cannot be right are hashed too,
    and what is past the longest length is cut off first (B10).

    Raises:
        WrongSecret: It belongs to none of them.
    """
    unverified = presented[:MAX_SECRET_LENGTH].encode("ascii", "replace")
    hashed = _keyed(pepper, hashlib.sha256(unverified).digest())
    found = -1
    for index, expected in enumerate(stored):
        if hmac.compare_digest(expected, hashed):
            found = index
    if found < 0 or not _is_usable(presented):
        raise WrongSecret
    return found


def token_digest(token: str) -> bytes:
    """Hash a token for storage and look-up. Plain SHA-256: a token is long, random or signed, and not guessed."""
    return hashlib.sha256(_every_bit(token)).digest()


def derive(master: bytes, purpose: str) -> bytes:
    """Derive the key of one purpose from the master key: HKDF-SHA256, RFC 5869.

    Raises:
        ValueError: The master key is short, or the purpose is empty.
    """
    _require_key(master)
    if not purpose:
        raise ValueError("a derived key has a purpose")
    return HKDF(SHA256(), length=KEY_BYTES, salt=None, info=b"aldaba/1/" + purpose.encode("utf-8")).derive(master)


def _keyed(pepper: bytes, digest: bytes) -> bytes:
    keyed = _keyed_by(pepper).copy()
    keyed.update(digest)
    return keyed.digest()


@lru_cache(maxsize=16)
def _keyed_by(pepper: bytes) -> hmac.HMAC:
    # The one-shot function sets the hash up at each call, and gives the interpreter's lock away while it does.
    _require_key(pepper)
    return hmac.new(pepper, digestmod="sha256")


def _require_key(key: bytes) -> None:
    if len(key) < KEY_BYTES:
        raise ValueError(f"a key has at least {KEY_BYTES} bytes")


def _is_usable(secret: str) -> bool:
    return 0 < len(secret) <= MAX_SECRET_LENGTH and secret.isascii() and "\0" not in secret


def _every_bit(text: str) -> bytes:
    # Unverified text may hold lone surrogates, and must be neither an exception nor another text.
    return text.encode("utf-8", "surrogatepass")


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode("ascii")), _CHECKSUM_LENGTH)


def _base62(number: int, width: int) -> str:
    digits = []
    for _ in range(width):
        number, digit = divmod(number, 62)
        digits.append(_BASE62[digit])
    return "".join(reversed(digits))
