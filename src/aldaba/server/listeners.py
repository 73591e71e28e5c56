"""Puts the services on their listeners: public, mutual TLS, management."""

import asyncio
import socket
import ssl
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import structlog
from cryptography.hazmat.primitives.serialization import Encoding

from aldaba.config import Config
from aldaba.core import Core
from aldaba.core.audit import record_arrival
from aldaba.core.trust import read_anchors
from aldaba.errors import Overloaded, Reason, StoreUnavailable
from aldaba.model.ids import new_id
from aldaba.model.networks import Network
from aldaba.model.services import Service
from aldaba.server.build import DIALECTS, services_of
from aldaba.web.docs import documents_for
from aldaba.web.limits import Limits
from aldaba.web.listen import Listener, Listeners, bind
from aldaba.web.management import health, management
from aldaba.web.messages import Answer
from aldaba.web.metrics import Metrics
from aldaba.web.mount import App, Mounted, Receive, Scope, Send, Site, send_answer
from aldaba.web.peer import PeerReader
from aldaba.web.tls import ReloadingContext, mutual_context, server_context

log = structlog.get_logger()

Sockets = Sequence[socket.socket]


class Bound(NamedTuple):
    """The sockets of the listeners; those of mutual TLS are empty when it is off."""

    public: Sockets
    mtls: Sockets
    management: Sockets

    def close(self) -> None:
        """Close them all."""
        for each in (*self.public, *self.mtls, *self.management):
            each.close()


def bind_all(config: Config) -> Bound:
    """Bind all configured addresses.

    Raises:
        Impossible: somebody else has one of them.
    """
    server = config.server
    public = bind(server.public.host, server.public.port)
    mtls = bind(server.mtls.host, server.mtls.port) if server.mtls else []
    return Bound(public, mtls, bind(server.management.host, server.management.port))


def listeners_of(config: Config, core: Core, bound: Bound, metrics: Metrics) -> Listeners:
    """Return the listeners of this process, not yet listening.

    Raises:
        Impossible: a certificate cannot be used.
    """
    recorder = _Recorder(core, metrics)
    services = Site(*_mounts(config, core, metrics), health(core), recorder.unknown_path)
    hosts = _hosts(config)
    listeners = [Listener(app=services, sockets=bound.public, context=_https(config), hosts=hosts)]
    if bound.mtls:
        listeners.append(Listener(app=services, sockets=bound.mtls, context=_mutual(config), hosts=hosts))
    listeners.append(Listener(app=Site({}, {}, management(core, metrics)), sockets=bound.management))
    return Listeners(
        listeners,
        _limits(config),
        exempt=[Network.parse(str(network)) for network in config.proxy.trusted],
        on_refused=recorder.refused,
        on_handshake_refused=recorder.handshake_refused,
        each_second=[lambda: metrics.leave(core)],
    )


def _mounts(config: Config, core: Core, metrics: Metrics) -> tuple[Mapping[str, App], Mapping[str, App]]:
    trusted = [Network.parse(str(network)) for network in config.proxy.trusted]
    peers = PeerReader(trusted, config.proxy.certificate_header, nginx_header=config.proxy.nginx_header)
    hosts: dict[str, App] = {}
    prefixes: dict[str, App] = {}
    for service in services_of(config).values():
        dialect = DIALECTS[service.dialect]
        documents = documents_for(service, dialect, _base_url(config, service)) if service.expose_docs else {}
        mounted = Mounted(core, service, dialect, peers, metrics, max_body=config.arrival.max_body, documents=documents)
        if service.host:
            hosts[service.host] = mounted
        else:
            prefixes[service.path] = mounted
    return hosts, prefixes


def _base_url(config: Config, service: Service) -> str:
    by_certificate = DIALECTS[service.dialect].networks_required and config.server.mtls
    base = urlsplit(config.server.mtls_url if by_certificate else config.server.public_url)
    if not service.host:
        return f"{base.scheme}://{base.netloc}{service.path}"
    port = f":{base.port}" if base.port else ""
    return f"{base.scheme}://{service.host}{port}"


def _hosts(config: Config) -> frozenset[str] | None:
    """Return the names under which we may be called, None for any: only who has named us has said which they are."""
    server = config.server
    derived = server.public.url("https" if config.tls.certificate else "http")
    if server.public_url == derived:
        return None
    urls = (server.public_url, server.mtls_url)
    named = {host for url in urls if (host := urlsplit(url).hostname)}
    return frozenset(named | {service.host for service in config.services if service.host})


def _https(config: Config) -> ReloadingContext | None:
    tls = config.tls
    certificate, key = tls.certificate, tls.key
    if certificate is None or key is None:
        return None
    return ReloadingContext(lambda: server_context(certificate, key, tls.minimum_version), (certificate, key))


def _mutual(config: Config) -> ReloadingContext | None:
    mtls = config.mtls
    certificate, key = mtls.certificate, mtls.key
    if certificate is None or key is None:
        return None

    def build() -> ssl.SSLContext:
        return mutual_context(certificate, key, _anchors(mtls.anchors), mtls.minimum_version)

    return ReloadingContext(build, (certificate, key, *mtls.anchors))


def _anchors(files: Sequence[Path]) -> list[bytes]:
    return [certificate.public_bytes(Encoding.DER) for certificate in read_anchors(files)]


def _limits(config: Config) -> Limits:
    arrival = config.arrival
    return Limits(
        header_s=arrival.header_timeout.total_seconds(),
        body_s=arrival.body_timeout.total_seconds(),
        idle_s=arrival.idle_timeout.total_seconds(),
        slow_reader_s=arrival.idle_timeout.total_seconds(),
        handshake_s=arrival.header_timeout.total_seconds(),
        header_bytes=arrival.max_header_size,
        header_count=arrival.max_headers,
        target_bytes=arrival.max_target,
        body_bytes=arrival.max_body,
        connections=arrival.connections,
        connections_per_address=arrival.connections_per_address,
    )


class _Recorder:
    """Records what was refused before it reached a service; nobody waits for that, since nobody is told more."""

    def __init__(self, core: Core, metrics: Metrics) -> None:
        self._core = core
        self._metrics = metrics
        self._tasks: set[asyncio.Task[None]] = set()

    def refused(self, address: str, status: HTTPStatus, detail: str) -> str:
        request_id = new_id()
        self._metrics.refused("", Reason.MALFORMED.value)
        self._record(request_id, address, Reason.MALFORMED, f"{status.value}: {detail}", "arrival")
        return request_id

    def handshake_refused(self, address: str, reason: str) -> None:
        self._metrics.handshake_refused()
        self._record(new_id(), address, Reason.CERTIFICATE_REFUSED, f"in the TLS handshake: {reason}", "handshake")

    async def unknown_path(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """Answer a path that is no service's, and record it: a wrong base URL is what newcomers get wrong first."""
        request_id = new_id()
        self._metrics.refused("", Reason.PATH_UNKNOWN.value)
        path = scope["raw_path"][:200].decode("ascii", "replace")
        self._record(request_id, scope["client"][0], Reason.PATH_UNKNOWN, f"no service is at {path}", "request")
        await send_answer(send, Answer(404, b'{"status":404,"error":"Not Found"}'), request_id)

    def _record(self, request_id: str, address: str, reason: Reason, detail: str, action: str) -> None:
        task = asyncio.get_running_loop().create_task(self._write(request_id, address, reason, detail, action))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _write(self, request_id: str, address: str, reason: Reason, detail: str, action: str) -> None:
        try:
            await record_arrival(self._core, request_id, address, reason, detail, action=action)
        except Overloaded:
            # A flood: it is counted, and a line for each would only be the next one.
            return
        except StoreUnavailable as error:
            log.warning("a refusal could not be recorded", request_id=request_id, error=str(error))
