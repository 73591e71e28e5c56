"""How a command that failed says so: one line of what failed and what to do next, and a status that scripts can use."""

import errno
import re
from enum import IntEnum
from pathlib import Path

from cyclopts import CycloptsError, MissingArgumentError, UnusedCliTokensError


class Status(IntEnum):
    """The exit status of a command; `docs/commands.md` lists them."""

    DONE = 0
    FAILED = 1
    MISUSED = 2
    MISCONFIGURED = 3
    NO_DATABASE = 4
    INTERRUPTED = 130
    PIPE_CLOSED = 141


class Misuse(Exception):
    """The arguments do not go together; the text says which would."""


class Told(Exception):
    """The command has said itself what is wrong, and has found something wrong."""


def tell(error: Exception) -> tuple[Status, str] | None:
    """Return the status and the text for an error that a command may end with; None for a fault of the program."""
    if isinstance(error, CycloptsError):
        return Status.MISUSED, _misuse(error)
    if isinstance(error, Misuse):
        return Status.MISUSED, str(error)
    if isinstance(error, OSError):
        return Status.FAILED, _os_error(error)
    return _tell_ours(error)


def _tell_ours(error: Exception) -> tuple[Status, str] | None:
    # Imported when something failed, which has imported them: usage errors and help go without.
    from aldaba.config import ConfigError  # noqa: PLC0415
    from aldaba.crypto.master_key import MasterKeyError  # noqa: PLC0415
    from aldaba.crypto.sealing import CannotUnseal  # noqa: PLC0415
    from aldaba.errors import Damaged, Impossible, Overloaded, StoreUnavailable  # noqa: PLC0415

    match error:
        case ConfigError():
            problems = "".join(f"\n  {problem}" for problem in error.problems)
            return (
                Status.MISCONFIGURED,
                f"the configuration cannot be used; correct this and try 'aldaba config check':{problems}",
            )
        case MasterKeyError():
            return Status.MISCONFIGURED, str(error)
        case CannotUnseal():
            return Status.MISCONFIGURED, (
                "the signing keys were sealed under another master key; restore that key's file, or the database that"
                " goes with this one"
            )
        case Damaged():
            return Status.NO_DATABASE, str(error)
        case StoreUnavailable():
            return Status.NO_DATABASE, f"the database is not available: {_one_line(str(error))}; try 'aldaba doctor'"
        case Overloaded():
            return Status.FAILED, "too much is waiting to be written; try again"
        case Impossible():
            return Status.FAILED, str(error)
        case _:
            return None


def _misuse(error: CycloptsError) -> str:
    """Say a usage error in our form: one line, lower case, no full stop, and where to read on."""
    command = " ".join(["aldaba", *(error.command_chain or ())])
    return f"{_misused(error)}; see '{command} --help'"


def _misused(error: CycloptsError) -> str:
    if isinstance(error, UnusedCliTokensError):
        return f"too many words: {' '.join(error.unused_tokens or ())}"
    if isinstance(error, MissingArgumentError) and error.argument:
        return f"{error.argument.name} " + ("wants a value" if error.keyword else "is missing")
    text = _one_line(str(error)).partition(" Available commands:")[0].rstrip(".?")
    # The library writes sentences; what it quotes begins with no capital after a full stop.
    return re.sub(r"(^|\. )([A-Z])", lambda found: ("; " if found[1] else "") + found[2].lower(), text)


def _os_error(error: OSError) -> str:
    named = error.filename
    what = Path(named) if isinstance(named, str | Path) else "a file"
    why = (error.strerror or str(error) or errno.errorcode.get(error.errno or 0, "unknown")).lower()
    return f"{what} cannot be used: {why}; name another one, or correct this one"


def _one_line(text: str) -> str:
    return " ".join(text.split())
