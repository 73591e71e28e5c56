"""What must hold between settings that are each good in themselves.

A rule yields the settings it looked at, the one to correct first, and what is wrong.
"""

from collections.abc import Iterable, Iterator
from itertools import combinations
from pathlib import Path

from aldaba.config.settings import Config, Service

Broken = tuple[tuple[str, ...], str]

# Answered by Aldaba itself on the public listener, or kept for it.
RESERVED_PATHS = ("/health", "/metrics", "/docs")


def broken_rules(config: Config) -> Iterator[Broken]:
    """Return every rule that the settings break."""
    yield from _processes(config)
    yield from _listeners(config)
    yield from _certificates(config)
    yield from _proxies(config)
    yield from _sizes(config)
    yield from _files(config)
    yield from _mounts(config.services)


def _processes(config: Config) -> Iterator[Broken]:
    if config.server.workers == 1:
        return
    if config.database.url.masked.startswith("sqlite"):
        yield (
            ("server.workers", "database.url"),
            "more than one process needs PostgreSQL: SQLite has one writer, and two that write wait on each other",
        )
    if config.limits.storage.masked == "memory":
        yield (
            ("server.workers", "limits.storage"),
            "more than one process needs counters they share: set limits.storage to a Redis or Valkey",
        )


def _listeners(config: Config) -> Iterator[Broken]:
    server = config.server
    listeners = {"server.public": server.public, "server.mtls": server.mtls, "server.management": server.management}
    for (first, one), (second, other) in combinations(listeners.items(), 2):
        if one and other and one.overlaps(other):
            yield (second, first), f"{other} is already taken by {first}"


def _certificates(config: Config) -> Iterator[Broken]:
    for section, tls in (("tls", config.tls), ("mtls", config.mtls)):
        if tls.certificate and not tls.key:
            yield (f"{section}.key", f"{section}.certificate"), "is missing: a certificate serves with its key"
        if tls.key and not tls.certificate:
            yield (f"{section}.certificate", f"{section}.key"), "is missing: a key serves with its certificate"
    mtls = config.mtls
    if config.server.mtls and not (mtls.certificate or mtls.key):
        yield ("mtls.certificate", "mtls.key", "server.mtls"), "is missing: server.mtls cannot listen without it"
    asks = config.server.mtls or config.proxy.certificate_header != "none"
    if asks and not mtls.anchors:
        yield (
            ("mtls.anchors", "server.mtls", "proxy.certificate_header"),
            "is empty: name the authorities that client certificates must come from",
        )
    if mtls.crl_required and not mtls.crls:
        yield ("mtls.crls", "mtls.crl_required"), "is empty, and mtls.crl_required refuses every certificate then"


def _proxies(config: Config) -> Iterator[Broken]:
    if config.proxy.certificate_header != "none" and not config.proxy.trusted:
        yield (
            ("proxy.trusted", "proxy.certificate_header"),
            "is empty: proxy.certificate_header is believed from these networks only",
        )


def _sizes(config: Config) -> Iterator[Broken]:
    if config.ledger.max_batch > config.ledger.capacity:
        yield ("ledger.max_batch", "ledger.capacity"), "is more than ledger.capacity lets wait"
    if config.arrival.connections_per_address > config.arrival.connections:
        yield (
            ("arrival.connections_per_address", "arrival.connections"),
            "is more than arrival.connections allows in all",
        )


def _files(config: Config) -> Iterator[Broken]:
    """Open what must be there before serving; the database and the master key are made by `aldaba init`."""
    files: dict[str, Iterable[Path | None]] = {
        "tls.certificate": [config.tls.certificate],
        "tls.key": [config.tls.key],
        "mtls.certificate": [config.mtls.certificate],
        "mtls.key": [config.mtls.key],
        "mtls.anchors": config.mtls.anchors,
        "mtls.crls": config.mtls.crls,
    }
    for setting, paths in files.items():
        for path in paths:
            if path and (cause := _unreadable(path)):
                yield (setting,), f"{path} cannot be read: {cause}"


def _unreadable(path: Path) -> str | None:
    try:
        path.open("rb").close()
    except OSError as error:
        return error.strerror
    return None


def _mounts(services: Iterable[Service]) -> Iterator[Broken]:
    services = tuple(services)
    for service in services:
        key = f"services.{service.name}.path"
        reserved = [path for path in RESERVED_PATHS if service.path and _within(service.path, path)]
        if reserved:
            yield (key,), f"{service.path} is Aldaba's own; choose another path"
    for one, other in combinations(services, 2):
        if one.host and one.host == other.host:
            yield (f"services.{other.name}.host",), f"{other.host} is the host of services.{one.name} already"
        if one.path and other.path and (_within(one.path, other.path) or _within(other.path, one.path)):
            yield (
                (f"services.{other.name}.path",),
                f"{other.path} and {one.path} of services.{one.name} lie one inside the other",
            )


def _within(path: str, prefix: str) -> bool:
    # Some dialects match without regard to case, so prefixes are kept apart without it too.
    return (path.casefold() + "/").startswith(prefix.casefold() + "/")
