"""Every setting: its name, its type, its default, how it is read and what it means.

This is the one place of the defaults. `docs/settings.md` is checked against it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import msgspec

from aldaba.config.addresses import (
    Address,
    Network,
    base_url,
    header_name,
    host_name,
    listener,
    networks,
    url_path,
)
from aldaba.config.readers import Reader, choice, duration, integer, many, optional, path, size, switch
from aldaba.config.secret_urls import SecretURL, counters_url, database_url, plain_url


@dataclass(frozen=True, slots=True)
class Setting:
    """How one field is read, and what an operator should know of it."""

    reader: Reader[Any]
    about: str


class Section(msgspec.Struct, frozen=True):
    """A table of the configuration file."""


class Server(Section, frozen=True):
    """Where to listen, and under which names others reach it."""

    public: Annotated[Address, Setting(listener(), "Address and port of the public listener.")] = Address(
        "127.0.0.1", 8080
    )
    mtls: Annotated[
        Address | None,
        Setting(
            optional(listener()),
            "Address and port of the listener that asks for client certificates, as `127.0.0.1:8443`; empty is off.",
        ),
    ] = None
    management: Annotated[
        Address, Setting(listener(), "Address and port of `/metrics` and `/health`; keep it away from the Internet.")
    ] = Address("127.0.0.1", 9080)
    public_url: Annotated[
        str,
        Setting(base_url(), "Scheme, host and port of the public listener as callers see it; empty derives it."),
    ] = ""
    mtls_url: Annotated[
        str, Setting(base_url(), "The same for client certificates, also where a proxy takes them; empty derives it.")
    ] = ""
    workers: Annotated[
        int, Setting(integer(1, 64), "Processes that serve. More than one needs PostgreSQL and shared counters.")
    ] = 1
    grace: Annotated[
        timedelta, Setting(duration("0s", "10m"), "How long accepted requests may take to end after SIGTERM.")
    ] = timedelta(seconds=10)


class Arrival(Section, frozen=True):
    """Deadlines and sizes of what arrives."""

    header_timeout: Annotated[
        timedelta, Setting(duration("100ms", "5m"), "A request's header must be there after so long.")
    ] = timedelta(seconds=10)
    body_timeout: Annotated[
        timedelta, Setting(duration("100ms", "5m"), "A request's body must be there after so long.")
    ] = timedelta(seconds=10)
    idle_timeout: Annotated[
        timedelta, Setting(duration("100ms", "1h"), "A connection without a request, or a slow reader, is closed then.")
    ] = timedelta(seconds=30)
    max_header_size: Annotated[int, Setting(size("1KiB", "1MiB"), "Largest header of a request.")] = 32 * 1024
    max_headers: Annotated[int, Setting(integer(10, 1000), "Most header fields in a request.")] = 100
    max_target: Annotated[int, Setting(size("256B", "64KiB"), "Longest path with query.")] = 8 * 1024
    max_body: Annotated[int, Setting(size("1KiB", "16MiB"), "Largest body of a request.")] = 64 * 1024
    connections: Annotated[int, Setting(integer(10, 1_000_000), "Most open connections of a process.")] = 20_000
    connections_per_address: Annotated[
        int, Setting(integer(1, 1_000_000), "Most open connections of a process from one source address.")
    ] = 1_000


class Tls(Section, frozen=True):
    """HTTPS on the public listener; without a certificate it speaks HTTP."""

    certificate: Annotated[
        Path | None, Setting(optional(path()), "PEM file with the server certificate and its chain.")
    ] = None
    key: Annotated[Path | None, Setting(optional(path()), "PEM file with the private key of the certificate.")] = None
    minimum_version: Annotated[
        Literal["1.2", "1.3"], Setting(choice("1.2", "1.3"), "Oldest TLS version: `1.3` or `1.2`.")
    ] = "1.3"


class Mtls(Section, frozen=True):
    """Client certificates: the listener that asks for them, and which are accepted, through proxies too."""

    certificate: Annotated[
        Path | None, Setting(optional(path()), "PEM file with the server certificate of this listener and its chain.")
    ] = None
    key: Annotated[Path | None, Setting(optional(path()), "PEM file with the private key of the certificate.")] = None
    anchors: Annotated[
        tuple[Path, ...],
        Setting(many(path()), "PEM files with the authorities that client certificates must come from."),
    ] = ()
    crls: Annotated[
        tuple[Path, ...], Setting(many(path()), "PEM or DER files with the authorities' revocation lists.")
    ] = ()
    minimum_version: Annotated[
        Literal["1.2", "1.3"], Setting(choice("1.2", "1.3"), "Oldest TLS version: `1.3` or `1.2`.")
    ] = "1.3"
    crl_stale: Annotated[
        Literal["refuse", "warn"],
        Setting(
            choice("refuse", "warn"),
            "A list past its next update: `refuse` its authority's certificates, or `warn` and go on with it.",
        ),
    ] = "refuse"
    crl_required: Annotated[
        bool, Setting(switch(), "Refuse certificates of an authority whose revocation list is not there.")
    ] = False
    allow_missing_usage: Annotated[
        bool, Setting(switch(), "Accept certificates that do not say they are for client authentication.")
    ] = False


class Proxy(Section, frozen=True):
    """Proxies in front, which may say who calls."""

    trusted: Annotated[
        tuple[Network, ...],
        Setting(networks(), "Networks of the proxies whose headers are believed; nobody's by default."),
    ] = ()
    certificate_header: Annotated[
        Literal["none", "rfc9440", "nginx"],
        Setting(
            choice("none", "rfc9440", "nginx"),
            "How a trusted proxy hands on the client certificate: `rfc9440` (`Client-Cert`), `nginx`"
            " (escaped PEM), or `none`.",
        ),
    ] = "none"
    nginx_header: Annotated[
        str, Setting(header_name(), "The header that nginx sets from `$ssl_client_escaped_cert`.")
    ] = "x-ssl-client-cert"


class Database(Section, frozen=True):
    """Where everything is kept."""

    url: Annotated[
        SecretURL,
        Setting(database_url(), "`sqlite:///path/of/file`, or `postgresql://user:password@host/database`."),
    ] = plain_url("sqlite:///var/aldaba.db")
    pool_size: Annotated[int, Setting(integer(1, 200), "Pooled connections of a process.")] = 5
    timeout: Annotated[
        timedelta, Setting(duration("100ms", "60s"), "A database that has not answered then is unavailable: 503.")
    ] = timedelta(seconds=2)


class Registry(Section, frozen=True):
    """What a process remembers of the registry; never stale, whatever its size."""

    cache_entries: Annotated[
        int, Setting(integer(10, 10_000_000), "Most clients and credentials kept in memory by a process.")
    ] = 20_000


class Ledger(Section, frozen=True):
    """The queue in front of the disk: everything is written before it is answered."""

    capacity: Annotated[
        int, Setting(integer(1, 1_000_000), "Most entries that wait to be written; further requests get 503.")
    ] = 10_000
    max_batch: Annotated[int, Setting(integer(1, 100_000), "Most entries written in one transaction.")] = 500


class Keys(Section, frozen=True):
    """What protects the signing keys."""

    master_key_file: Annotated[
        Path,
        Setting(path(), "File of the master key, mode 0600. Also `ALDABA_MASTER_KEY_FILE`. Keep a copy elsewhere."),
    ] = Path("var/master.key")


class Audit(Section, frozen=True):
    """What is written down, and how often it is sealed."""

    checks: Annotated[
        Literal["refused", "all"],
        Setting(
            choice("refused", "all"),
            "Token checks in the log: the `refused` ones (the others are counted), or `all` of them.",
        ),
    ] = "refused"
    checkpoint_every: Annotated[
        int, Setting(integer(1, 1_000_000), "Events after which a signed checkpoint is made.")
    ] = 1_000
    checkpoint_file: Annotated[
        Path | None,
        Setting(
            optional(path()),
            "File to which checkpoints are appended as well, on storage the database's keeper cannot change;"
            " empty is none.",
        ),
    ] = None


class Limits(Section, frozen=True):
    """Counters against guessing and against too many requests."""

    storage: Annotated[
        SecretURL,
        Setting(counters_url(), "`memory` for one process, or `redis://host:6379/0` where several count together."),
    ] = plain_url("memory")
    failures_per_minute: Annotated[
        int, Setting(integer(1, 100_000), "Failures from one source network in a minute before it gets 429.")
    ] = 30
    counters: Annotated[
        int, Setting(integer(1_000, 10_000_000), "Most counters kept in memory; the oldest are forgotten first.")
    ] = 100_000


class Log(Section, frozen=True):
    """What the process says of itself, on its standard error."""

    format: Annotated[
        Literal["json", "console"], Setting(choice("json", "console"), "`json` for machines, `console` for people.")
    ] = "json"
    level: Annotated[
        Literal["debug", "info", "warning", "error"],
        Setting(choice("debug", "info", "warning", "error"), "Least level that is written."),
    ] = "info"


class Service(Section, frozen=True, kw_only=True):
    """One mounted dialect, as `[services.NAME]`."""

    name: str
    dialect: Annotated[
        str,
        Setting(
            Reader("text", str, str),
            "The API it speaks, such as `fleet` or `mobility`. A service named so need not say it.",
        ),
    ]
    path: Annotated[
        str | None, Setting(optional(url_path()), "Path prefix under which it answers; `/NAME` when host is not given.")
    ] = None
    host: Annotated[
        str | None,
        Setting(optional(host_name()), "Host name at whose root it answers, instead of a path."),
    ] = None
    token_lifetime: Annotated[
        timedelta, Setting(duration("1m", "366d"), "How long a token is good; a client may have its own.")
    ] = timedelta(hours=24)
    requests_per_minute: Annotated[
        int,
        Setting(integer(0, 1_000_000), "Requests of one client in a minute; 0 is no limit. A client may have its own."),
    ] = 600
    rotation: Annotated[
        Literal["overlap", "immediate"],
        Setting(
            choice("overlap", "immediate"),
            "A rotated API key: the old one works on for the `overlap`, or ends `immediate` with its tokens"
            " (as fleet publishes it).",
        ),
    ] = "overlap"
    overlap: Annotated[
        timedelta, Setting(duration("0s", "366d"), "How long the old key works on after a rotation with overlap.")
    ] = timedelta(days=7)
    expose_docs: Annotated[bool, Setting(switch(), "Serve `openapi.json` and `docs/` of the service.")] = True


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of one process, checked."""

    server: Server = Server()
    arrival: Arrival = Arrival()
    tls: Tls = Tls()
    mtls: Mtls = Mtls()
    proxy: Proxy = Proxy()
    database: Database = Database()
    registry: Registry = Registry()
    ledger: Ledger = Ledger()
    keys: Keys = Keys()
    audit: Audit = Audit()
    limits: Limits = Limits()
    log: Log = Log()
    services: tuple[Service, ...] = ()

    def service(self, name: str) -> Service:
        """Return the service of a name.

        Raises:
            LookupError: there is none.
        """
        for service in self.services:
            if service.name == name:
                return service
        raise LookupError(name)


class Dialect(msgspec.Struct, frozen=True, kw_only=True):
    """What a service of a dialect has where its own settings are silent."""

    token_lifetime: timedelta = timedelta(hours=24)
    rotation: Literal["overlap", "immediate"] = "overlap"


DIALECTS: Mapping[str, Dialect] = {
    # "Generating a new key invalidates the previous one at once" (fleet sheet, section 1).
    "fleet": Dialect(rotation="immediate"),
    "mobility": Dialect(),
}


@cache
def settings_of(section: type[Section]) -> Mapping[str, Setting]:
    """Return the settings of a section by their names."""
    hints = get_type_hints(section, include_extras=True)
    return {name: hint.__metadata__[0] for name, hint in hints.items() if hasattr(hint, "__metadata__")}


@cache
def sections() -> Mapping[str, type[Section]]:
    """Return the sections by their names, services excepted."""
    hints = get_type_hints(Config)
    return {name: hint for name, hint in hints.items() if name != "services"}
