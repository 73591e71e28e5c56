"""URLs of the database and of the counters: they may hold a password, and never show it."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from psycopg import OperationalError, pq
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from aldaba.config.problems import unknown
from aldaba.config.readers import Reader

_HIDDEN = "***"
_SQLITE = re.compile(r"sqlite(?:\+aiosqlite)?:///([^\x00-\x1f\x7f?#]+)")
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
    query = urlsplit(text).query
    options = [item.partition("=")[0] for item in query.split("&") if item]
    known = [option.keyword.decode() for option in pq.Conninfo.get_defaults()]
    for option in options:
        if option not in known:
            raise ValueError(unknown(f"option {option!r:.40} in the URL", option, known))
    try:
        parsed = pq.Conninfo.parse(text.replace("+psycopg", "", 1).encode())
        url = make_url(text)
    except (OperationalError, ArgumentError, ValueError):
        raise ValueError(
            "is no URL of PostgreSQL: write postgresql://user:password@host:5432/database,"
            " with special characters of the password percent-encoded"
        ) from None
    values = {option.keyword.decode(): option.val for option in parsed if option.val is not None}
    if not values.get("dbname"):
        raise ValueError("names no database: write postgresql://user:password@host/database")
    if (password := values.get("password")) is not None:
        _refuse_weak(password.decode(errors="replace"))
    hidden = {option: _HIDDEN for option in url.query if "password" in option}
    masked = url.update_query_dict(hidden).render_as_string(hide_password=True)
    return SecretURL(text, masked.replace("%2A%2A%2A", _HIDDEN))


def counters_url() -> Reader[SecretURL]:
    """Read `memory`, or the URL of a Redis or Valkey."""
    return Reader("text", _counters_url, str)


def _counters_url(text: str) -> SecretURL:
    if text == "memory":
        return plain_url(text)
    parts = _server_parts(text)
    if parts is None:
        raise ValueError("must be memory, or redis://user:password@host:6379/0 (rediss, valkey and valkeys as well)")
    if parts.password is None:
        return plain_url(text)
    _refuse_weak(unquote(parts.password))
    user_info, _, host = parts.netloc.rpartition("@")
    hidden = f"{user_info.partition(':')[0]}:{_HIDDEN}@{host}"
    return SecretURL(text, urlunsplit(parts._replace(netloc=hidden)))


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
