"""The master key and the file it lives in. Every other key is derived from it or sealed under one that is."""

import os
import secrets
import stat
from itertools import pairwise
from pathlib import Path
from typing import NoReturn

from aldaba.crypto import hashing

KEY_BYTES = 32

_FORM = "it is 64 hexadecimal digits, as aldaba init or openssl rand -hex 32 gives them"
_FEWEST_DISTINCT = 19  # 32 random bytes have fewer distinct values or steps once in 10**10 keys
_PRINTABLE = frozenset(range(0x20, 0x7F))
_LONGEST_FILE = 4096


class MasterKeyError(Exception):
    """The master key file cannot be used. The text names the file and says what to do."""


class MasterKey:
    """The master key. It gives derived keys and never itself."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        self._key = key

    def derive(self, purpose: str) -> bytes:
        """Derive the 32-byte key of one purpose."""
        return hashing.derive(self._key, purpose)

    def __repr__(self) -> str:
        return "MasterKey(…)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a master key is not pickled or copied")


def create_master_key(path: Path) -> MasterKey:
    """Make a master key in a new file that only its owner can read, and return when it is on the disk.

    Raises:
        MasterKeyError: The file exists, or cannot be written.
    """
    key = secrets.token_bytes(KEY_BYTES)
    try:
        _write_new(path, key.hex().encode("ascii") + b"\n")
    except FileExistsError as error:
        raise MasterKeyError(
            f"{path} exists already: keep it, what was sealed under it can be opened with nothing else"
        ) from error
    except OSError as error:
        raise MasterKeyError(f"{path} cannot be written: {error.strerror}") from error
    return MasterKey(key)


def load_master_key(path: Path) -> MasterKey:
    """Read the master key from its file: 64 hexadecimal digits.

    Raises:
        MasterKeyError: The file is missing, readable by others, or holds no key or one that was not drawn at random.
    """
    try:
        text = _read_private(path)
    except OSError as error:
        raise MasterKeyError(
            f"{path} cannot be read: {error.strerror}; name the file in ALDABA_MASTER_KEY_FILE,"
            " or for a new installation make one with aldaba init"
        ) from error
    return MasterKey(_parse(path, text))


def _write_new(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        # Half a key must not stand in the way of the next try.
        path.unlink()
        raise
    # The name is on the disk only when its directory is.
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _read_private(path: Path) -> bytes:
    # The file that is checked is the file that is read; opening must not wait for the other end of a pipe.
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise MasterKeyError(f"{path} is not a regular file: put the master key in a file with mode 0600")
        if status.st_mode & 0o077:
            mode = stat.S_IMODE(status.st_mode)
            raise MasterKeyError(f"{path} has mode {mode:04o} and can be used by others: run chmod 600 {path}")
        return file.read(_LONGEST_FILE)


def _parse(path: Path, text: bytes) -> bytes:
    try:
        key = bytes.fromhex(text.decode("ascii"))
    except ValueError:
        # The original names characters of the file: it is not chained.
        raise MasterKeyError(f"{path} holds no master key: {_FORM}") from None
    if len(key) != KEY_BYTES:
        raise MasterKeyError(f"{path} holds {len(key)} bytes instead of {KEY_BYTES}: {_FORM}")
    if _is_weak(key):
        raise MasterKeyError(f"{path} holds a master key that was not drawn at random: {_FORM}")
    return key


def _is_weak(key: bytes) -> bool:
    # Repeated bytes have few values, counted-up bytes few steps, typed passwords only printable characters.
    steps = {(after - before) % 256 for before, after in pairwise(key)}
    return min(len(set(key)), len(steps)) < _FEWEST_DISTINCT or _PRINTABLE.issuperset(key)
