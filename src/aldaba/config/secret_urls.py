"""URLs of the database and of the counters: they may hold a password, and never show it."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from aldaba.config.problems import unknown
from aldaba.config.readers import Reader

_HIDDEN = "***"
_SQLITE = re.compile(r"sqlite:///([^\x00-\x1f\x7f?#]+)")
_POSTGRESQL = re.compile(r"postgresql(?:\+psycopg)?://.*", re.DOTALL)
_COUNTERS = ("redis", "rediss", "valkey", "valkeys")
# What installers, examples and people in a hurry write.
_DEFAULT_PASSWORDS = frozenset(
    "password passw0rd changeme change-me secret default example postgres postgresql redis valkey aldaba"
    " 12345678 123456789 1234567890 password1 password123 administrator qwertyui".split()
)
_SHORTEST_PASSWORD = 8


@dataclass(frozen=True, slots=True)
class SecretURL:
    """A URL whose password shows only through `reveal`."""

    _text: str = field(repr=False)
    masked: str

    def reveal(self) -> str:
        """Return the URL with its password, to connect with."""
        return self._text

    def __str__(self) -> str:
        return self.masked


def plain_url(text: str) -> SecretURL:
    """Return a URL without a password in the form of those that may have one."""
    return SecretURL(text, text)


def in_folder(url: SecretURL, folder: Path) -> SecretURL:
    """Return the URL of an SQLite file with a relative path taken from the folder; any other URL as it is."""
    found = _SQLITE.fullmatch(url.reveal())
    return plain_url(f"sqlite:///{folder / found[1]}") if found else url


def database_url() -> Reader[SecretURL]:
    """Read `sqlite:///file` or `postgresql://user:password@host/database`."""
    return Reader("text", _database_url, str)


def _database_url(text: str) -> SecretURL:
    if found := _SQLITE.fullmatch(text):
        if found[1] in (":memory:", "/:memory:"):
            raise ValueError("a database in memory forgets every revocation; name a file")
        return plain_url(f"sqlite:///{found[1]}")
    if _POSTGRESQL.fullmatch(text):
        return _postgresql(text)
    raise ValueError("must be sqlite:///path/of/file or postgresql://user:password@host/database")


def _postgresql(text: str) -> SecretURL:
    # Refused texts are never repeated, since what went wrong may be inside the password.
    scheme, authority, rest = _split(text)
    if "@" in rest or authority.count("@") > 1:
        raise ValueError("has a password that is not percent-encoded: write %40 for @, %2F for /, %3F for ?, %23 for #")
    path, mark, query = rest.partition("?")
    options = [option.partition("=") for option in query.split("&") if option]
    for name, _, _ in options:
        _refuse_unknown_option(name)
    if not _connects(text):
        raise ValueError("must be postgresql://user:password@host:5432/database")
    masked = "&".join(name + equals + _masked_option(name, value) for name, equals, value in options)
    return SecretURL(text, f"{scheme}://{_masked_authority(authority)}{path}{mark}{masked}")


def _masked_option(name: str, value: str) -> str:
    if "password" not in name:
        return value
    _refuse_weak(unquote(value))
    return _HIDDEN


def _split(text: str) -> tuple[str, str, str]:
    scheme, _, after = text.partition("://")
    found = re.search(r"[/?#]", after)
    end = found.start() if found else len(after)
    return scheme, after[:end], after[end:]


def _refuse_unknown_option(option: str) -> None:
    from psycopg import pq  # noqa: PLC0415 - a quarter of a second that SQLite's processes need not spend

    known = [default.keyword.decode() for default in pq.Conninfo.get_defaults()]
    if option not in known:
        raise ValueError(unknown(f"option {option!r:.40} in the URL", option, known))


def _connects(text: str) -> bool:
    """Return whether both that will read the URL understand it: PostgreSQL's own library and SQLAlchemy."""
    from psycopg import OperationalError, pq  # noqa: PLC0415 - as above

    try:
        parsed = pq.Conninfo.parse(text.replace("+psycopg", "", 1).encode())
        make_url(text)
    except (OperationalError, ArgumentError, ValueError):
        return False
    return any(option.keyword == b"dbname" and option.val for option in parsed)


def _masked_authority(authority: str) -> str:
    user_info, at, host = authority.rpartition("@")
    user, colon, password = user_info.partition(":")
    if not colon:
        return authority
    _refuse_weak(unquote(password))
    return f"{user}:{_HIDDEN}{at}{host}"


def counters_url() -> Reader[SecretURL]:
    """Read `memory`, or the URL of a Redis or Valkey."""
    return Reader("text", _counters_url, str)


def _counters_url(text: str) -> SecretURL:
    if text == "memory":
        return plain_url(text)
    parts = _server_parts(text)
    if parts is None:
        raise ValueError("must be memory, or redis://user:password@host:6379/0 (rediss, valkey and valkeys as well)")
    masked = parts._replace(netloc=_masked_authority(parts.netloc))
    return SecretURL(text, urlunsplit(masked))


def _server_parts(text: str) -> SplitResult | None:
    try:
        parts = urlsplit(text)
        good = parts.scheme in _COUNTERS and parts.hostname and parts.port != 0
    except ValueError:
        return None
    if not good or parts.query or parts.fragment or not re.fullmatch(r"/?|/[0-9]{1,4}", parts.path):
        return None
    return parts


def _refuse_weak(password: str) -> None:
    """Refuse an empty, short or well-known password (threats B14)."""
    if not password:
        raise ValueError("the password is empty; leave the colon out where none is needed")
    if len(password) < _SHORTEST_PASSWORD:
        raise ValueError(f"the password has fewer than {_SHORTEST_PASSWORD} characters")
    if password.casefold() in _DEFAULT_PASSWORDS or len(set(password)) == 1:
        raise ValueError("the password is one that everybody tries first")
