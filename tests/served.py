"""A whole installation that serves: the real listeners on free ports, in a thread, with an operator beside them."""

import asyncio
import hashlib
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec
import uvloop
from cryptography.hazmat.primitives.serialization import Encoding

from aldaba import config, server
from aldaba.core.clients import add_client
from aldaba.core.credentials import add_api_key, add_certificate
from aldaba.core.keyring import unwrap
from aldaba.core.partners import add_partner
from aldaba.core.registrar import Registrar
from aldaba.crypto import jwt
from aldaba.crypto.certificates.authority import Authority
from aldaba.crypto.certificates.issued import Issued
from aldaba.crypto.master_key import create_master_key
from aldaba.model.keys import KeyState
from aldaba.server.listeners import Bound, bind_all
from aldaba.server.run import serve_in_process
from aldaba.store import audit, keys

T = TypeVar("T")

OPERATOR = "operator@tests"
# No test waits longer for one answer.
PATIENCE_S = 15.0

_SETTINGS = """
[server]
public = "{public}"
mtls = "127.0.0.1:0"
management = "127.0.0.1:0"
{server}
[mtls]
certificate = "server.pem"
key = "server.key"
anchors = ["ca.pem"]
{mtls}
[database]
url = "{url}"
timeout = "{timeout}"

[keys]
master_key_file = "master.key"

[log]
level = "error"

[limits]
failures_per_minute = {failures_per_minute}

{more}
"""


class Answer(NamedTuple):
    """An answer as it came: the status line, the header lines in their order, and the body."""

    line: str
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def status(self) -> int:
        """The status of the line."""
        return int(self.line.split(" ")[1])

    def header(self, name: str) -> str | None:
        """Return a header, which may be there once at most; proxies spell names in their own way."""
        values = [value for key, value in self.headers if key.lower() == name]
        assert len(values) <= 1, f"{name} is there {len(values)} times"
        return values[0] if values else None

    @property
    def json(self) -> Any:
        """The body, read as JSON."""
        return msgspec.json.decode(self.body)

    @property
    def request_id(self) -> str:
        """The id under which the audit log knows the request."""
        found = self.header("x-request-id")
        assert found is not None
        return found

    def without_its_moment(self) -> tuple[str, list[tuple[str, str]], bytes]:
        """Return everything but what differs between any two answers: the date and the request id."""
        moment = ("date", "x-request-id")
        return self.line, [(name, "" if name in moment else value) for name, value in self.headers], self.body


class NoAnswer(Exception):
    """The connection ended before an answer."""


class Connection:
    """A connection of a caller, on which requests are sent byte for byte."""

    def __init__(self, raw: socket.socket) -> None:
        self.socket = raw
        self._data = b""

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, request: bytes) -> Answer:
        """Send a request and return its answer."""
        self.socket.sendall(request)
        return self.receive(bodiless=request.startswith(b"HEAD "))

    def receive(self, *, bodiless: bool = False) -> Answer:
        """Return the next answer.

        Raises:
            NoAnswer: the connection ended.
        """
        head = self._until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        headers = [tuple(line.split(": ", 1)) for line in head[1:-2]]
        answer = Answer(head[0], headers, b"")  # type: ignore[arg-type]
        length = 0 if bodiless else int(answer.header("content-length") or "0")
        return answer._replace(body=self._exactly(length))

    def is_closed(self) -> bool:
        """Wait for the end of the connection; True when nothing came before it."""
        try:
            return not self._data and not self.socket.recv(1)
        except ConnectionError:
            return True

    def _until(self, end: bytes) -> bytes:
        while end not in self._data:
            self._more()
        at = self._data.index(end) + len(end)
        taken, self._data = self._data[:at], self._data[at:]
        return taken

    def _exactly(self, length: int) -> bytes:
        while len(self._data) < length:
            self._more()
        taken, self._data = self._data[:length], self._data[length:]
        return taken

    def _more(self) -> None:
        try:
            part = self.socket.recv(65_536)
        except ConnectionError as error:
            raise NoAnswer(self._data) from error
        if not part:
            raise NoAnswer(self._data)
        self._data += part


@dataclass(frozen=True)
class FleetClient:
    """A client of the fleet dialect, and what it shows."""

    name: str
    partner: str
    key: str
    credential: str


@dataclass(frozen=True)
class MobilityClient:
    """A client of the mobility dialect, with its certificate."""

    name: str
    partner: str
    certificate: Issued
    credential: str


@dataclass
class Served:
    """A serving installation and its operator, who works on the same database as the command line does."""

    directory: Path
    settings: config.Config
    authority: Authority
    public: int
    mtls: int
    management: int
    _operator: asyncio.AbstractEventLoop
    _registrar: Registrar
    _numbers: "count[int]" = field(default_factory=lambda: count(1))
    _contexts: dict[bytes, ssl.SSLContext] = field(default_factory=dict)

    # -- the operator -------------------------------------------------------------------------------------------------

    def operate(self, work: Callable[[Registrar], Awaitable[T]]) -> T:
        """Let the operator do something: `served.operate(lambda registrar: disable_client(registrar, name))`."""

        async def run() -> T:
            return await work(self._registrar)

        return asyncio.run_coroutine_threadsafe(run(), self._operator).result(PATIENCE_S)

    def fresh_name(self, stem: str) -> str:
        """Return a name nobody has yet; all are of one length, so that answers are."""
        return f"{stem}-{next(self._numbers):05}"

    def fleet_client(self, name: str = "", *, services: tuple[str, ...] = ("fleet",), **settings: Any) -> FleetClient:
        """Register a partner with a client that has an API key."""
        name = name or self.fresh_name("acme")

        async def register(registrar: Registrar) -> FleetClient:
            await add_partner(registrar, f"Partner of {name}")
            await add_client(registrar, name, partner=f"Partner of {name}", services=services, **settings)
            new = await add_api_key(registrar, name)
            return FleetClient(name, f"Partner of {name}", new.secret.reveal(), new.credential.id)

        return self.operate(register)

    def mobility_client(
        self,
        name: str = "",
        *,
        services: tuple[str, ...] = ("mobility",),
        networks: tuple[str, ...] | None = ("127.0.0.0/8", "::1"),
        certificate: Issued | None = None,
        **settings: Any,
    ) -> MobilityClient:
        """Register a partner with a client that has a certificate."""
        name = name or self.fresh_name("vialtis")
        issued = certificate or self.authority.client(name)

        async def register(registrar: Registrar) -> MobilityClient:
            await add_partner(registrar, f"Partner of {name}")
            await add_client(
                registrar, name, partner=f"Partner of {name}", services=services, networks=networks, **settings
            )
            # The chain is sent; what is registered is the one certificate.
            credential = await add_certificate(registrar, name, issued.certificate.public_bytes(Encoding.PEM))
            return MobilityClient(name, f"Partner of {name}", issued, credential.id)

        return self.operate(register)

    def signing_key(self, service: str) -> bytes:
        """Return the active signing key of a service, with which a test signs what the service never would."""

        async def read(registrar: Registrar) -> bytes:
            held = await registrar.database.read(keys.load_keys, service)
            (active,) = [key for key in held if key.state is KeyState.ACTIVE]
            return unwrap(registrar.secrets.sealing, active)

        return self.operate(read)

    def sign(self, service: str, claims: dict[str, Any], header: str = "") -> str:
        """Return a token of a service with any claims."""
        shape = server.services_of(self.settings)[service].shape
        return jwt.sign(jwt.Header(header or shape.header), msgspec.json.encode(claims), self.signing_key(service))

    def recorded(self, request_id: str) -> list[Any]:
        """Return what the audit log knows of a request."""
        return self.operate(lambda registrar: registrar.database.read(audit.events_of_request, request_id))

    def reason(self, answer: Answer) -> str | None:
        """Return the reason under which the audit log has the last decision on a request."""
        events = self.recorded(answer.request_id)
        assert events, "nothing is recorded of this request"
        reason: str | None = events[-1].reason
        return reason

    # -- callers ------------------------------------------------------------------------------------------------------

    def connect(self, *, source: str = "127.0.0.1", port: int = 0) -> Connection:
        """Open a connection to the public listener."""
        return Connection(_tcp(port or self.public, source))

    def connect_tls(
        self, certificate: Issued | None = None, *, source: str = "127.0.0.1", context: ssl.SSLContext | None = None
    ) -> Connection:
        """Open a connection to the listener that asks for client certificates, with one or without.

        Raises:
            ssl.SSLError: the handshake was refused. With TLS 1.3 the first read may say so instead.
        """
        raw = _tcp(self.mtls, source)
        try:
            return Connection((context or self.context(certificate)).wrap_socket(raw, server_hostname="localhost"))
        except OSError:
            raw.close()
            raise

    def context(self, certificate: Issued | None = None) -> ssl.SSLContext:
        """Return a caller's TLS context that shows a certificate."""
        name = b"" if certificate is None else certificate.der
        if name not in self._contexts:
            context = ssl.create_default_context(cadata=self.authority.pem.decode())
            if certificate is not None:
                load_certificate(context, certificate, self.directory)
            self._contexts[name] = context
        return self._contexts[name]

    def ask(self, method: str, target: str, body: bytes = b"", **headers: str) -> Answer:
        """Send one request on a new connection to the public listener."""
        with self.connect() as connection:
            return connection.send(request(method, target, body, **headers))

    def ask_tls(
        self, certificate: Issued | None, method: str, target: str, body: bytes = b"", **headers: str
    ) -> Answer:
        """Send one request on a new connection with a client certificate."""
        with self.connect_tls(certificate) as connection:
            return connection.send(request(method, target, body, **headers))

    def fleet_token(self, client: FleetClient, service: str = "fleet") -> str:
        """Get a token for an API key."""
        answer = self.ask("POST", f"/{service}/api/Auth/Token", login(client.name, client.key), content_type=JSON)
        assert answer.status == 200, answer
        token: str = answer.json["token"]
        return token

    def mobility_token(self, client: MobilityClient, service: str = "mobility") -> str:
        """Get a token for a certificate: with `Bearer` in front, as it is answered."""
        answer = self.ask_tls(client.certificate, "GET", f"/{service}/v1/token")
        assert answer.status == 200, answer
        token: str = answer.json["token"]
        return token


JSON = "application/json"


def login(name: object, key: object) -> bytes:
    """Return the body of a token request of the fleet dialect."""
    return msgspec.json.encode({"userName": name, "apiKey": key})


def request(method: str, target: str, body: bytes = b"", **headers: str) -> bytes:
    """Return a request; `content_type="a/b"` is the header `Content-Type`."""
    lines = [f"{method} {target} HTTP/1.1", "Host: localhost"]
    lines += [f"{name.replace('_', '-').title()}: {value}" for name, value in headers.items()]
    if body or method == "POST":
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def load_certificate(context: ssl.SSLContext, certificate: Issued, directory: Path) -> None:
    """Let a context show a certificate; OpenSSL reads it from files only."""
    context.load_cert_chain(*files_of(certificate, directory))


def files_of(certificate: Issued, directory: Path) -> tuple[Path, Path]:
    """Return the files of a certificate and its key, which are written where they are not there yet."""
    name = hashlib.sha256(certificate.pem).hexdigest()[:16]
    chain, key = directory / f"{name}.pem", directory / f"{name}.key"
    if not chain.exists():
        certificate.write(chain, key)
    return chain, key


def _tcp(port: int, source: str) -> socket.socket:
    host = "::1" if ":" in source else "127.0.0.1"
    return socket.create_connection((host, port), timeout=PATIENCE_S, source_address=(source, 0))


@contextmanager
def serving_installation(
    directory: Path,
    url: str,
    services: str = "[services.fleet]\n[services.mobility]\n",
    *,
    public: str = "127.0.0.1:0",
    server_settings: str = "",
    mtls_settings: str = "",
    timeout: str = "2s",
    failures_per_minute: int = 100_000,
    more: str = "",
    authority: Authority | None = None,
) -> Iterator[Served]:
    """Install on a prepared database and serve until the end of the block.

    Args:
        services: the tables of the services, in TOML.
        server_settings: further lines for `[server]`; `mtls_settings` for `[mtls]`; `more` for tables of their own.
    """
    authority = authority or Authority.create("Authority of the tests")
    settings = install_whole(
        directory,
        authority,
        _SETTINGS.format(
            url=url,
            public=public,
            timeout=timeout,
            failures_per_minute=failures_per_minute,
            server=server_settings,
            mtls=mtls_settings,
            more=more + services,
        ),
    )
    with ExitStack() as stack:
        bound = bind_all(settings)
        stack.callback(bound.close)
        stack.enter_context(_serving(settings, bound))
        operator = stack.enter_context(_loop_in_a_thread())
        registrar = stack.enter_context(_registrar(settings, operator))
        public_port, mtls_port, management_port = (sockets[0].getsockname()[1] for sockets in bound)
        yield Served(directory, settings, authority, public_port, mtls_port, management_port, operator, registrar)


def install_whole(directory: Path, authority: Authority, text: str) -> config.Config:
    """Write what an installation has on disk beside its database, and return its settings."""
    authority.write(directory / "ca.pem", directory / "ca.key")
    issued = authority.server(["localhost", "127.0.0.1", "::1"])
    issued.write(directory / "server.pem", directory / "server.key")
    create_master_key(directory / "master.key")
    (directory / "aldaba.toml").write_text(text)
    return config.load(directory / "aldaba.toml", {})


@contextmanager
def _serving(settings: config.Config, bound: Bound) -> Iterator[None]:
    ready = threading.Event()
    failed: list[BaseException] = []
    loop = uvloop.new_event_loop()
    stop = asyncio.Event()

    def run() -> None:
        try:
            loop.run_until_complete(serve_in_process(settings, bound, lambda _bound: ready.set(), stop))
        except BaseException as error:
            failed.append(error)
            raise
        finally:
            ready.set()
            loop.close()

    thread = threading.Thread(target=run, name="served")
    thread.start()
    assert ready.wait(PATIENCE_S)
    try:
        yield
    finally:
        if not failed:
            loop.call_soon_threadsafe(stop.set)
        thread.join(PATIENCE_S)
        assert not failed
        assert not thread.is_alive()


@contextmanager
def _loop_in_a_thread() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="operator")
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(PATIENCE_S)
        loop.close()


@contextmanager
def _registrar(settings: config.Config, loop: asyncio.AbstractEventLoop) -> Iterator[Registrar]:
    opening = server.open_registrar(settings, OPERATOR)
    registrar = asyncio.run_coroutine_threadsafe(opening.__aenter__(), loop).result(PATIENCE_S)
    try:
        yield registrar
    finally:
        leaving = partial(opening.__aexit__, None, None, None)
        asyncio.run_coroutine_threadsafe(leaving(), loop).result(PATIENCE_S)


def in_seconds(at: datetime) -> int:
    """Return an instant as claims have it."""
    return int(at.timestamp())


def from_now(**span: float) -> datetime:
    """Return an instant so far from now."""
    return datetime.now(UTC) + timedelta(**span)
