"""The servers of a run: each is started when something asks for it, and all are ended with the run."""

import http.client
import json
import ssl
from collections.abc import Mapping
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import msgspec

from benchmarks import scripts
from benchmarks.bare_server import BareServer
from benchmarks.installation import Installation, api_key, install, user_name
from benchmarks.load import CONNECTIONS
from benchmarks.nginx import running_nginx
from benchmarks.postgresql import PostgreSQL, running_postgresql
from benchmarks.processes import NO_VARIABLES, Server, free_port, python, running
from benchmarks.tls_load import Plan

FEW, MANY = 1_000, 1_000_000


def token_body(number: int = 0) -> str:
    """Return the body of a client's token request."""
    return json.dumps({"userName": user_name(number), "apiKey": api_key(number)}, separators=(",", ":"))


class Ours(NamedTuple):
    """Our server over one installation."""

    installation: Installation
    server: Server


class Stage:
    """What a run has at hand.

    Args:
        variables: of the environment of our own servers.
        many: how many clients the large installation has.
    """

    def __init__(
        self, directory: Path, stack: ExitStack, *, variables: Mapping[str, str] = NO_VARIABLES, many: int = MANY
    ) -> None:
        self._directory = directory
        self._stack = stack
        self._variables = variables
        self.many = many

    # -- ours ---------------------------------------------------------------------------------------------------------

    @cached_property
    def sqlite(self) -> Ours:
        """Our server on SQLite, with one client."""
        return self._serve(install(self._directory / "sqlite"))

    @cached_property
    def postgresql(self) -> Ours:
        """Our server on PostgreSQL, with one client."""
        return self._serve(install(self._directory / "postgresql", url=self.database.url))

    @cached_property
    def database(self) -> PostgreSQL:
        """PostgreSQL itself."""
        folder = self._directory / "database"
        folder.mkdir(parents=True)
        return self._stack.enter_context(running_postgresql(folder))

    @cached_property
    def few_clients(self) -> Ours:
        """Our server on SQLite, with a thousand clients."""
        return _acquainted(self._serve(install(self._directory / "few", clients=FEW)))

    @cached_property
    def many_clients(self) -> Ours:
        """Our server on SQLite, with a million clients."""
        return _acquainted(self._serve(install(self._directory / "many", clients=self.many)))

    def _serve(self, installation: Installation) -> Ours:
        return Ours(installation, self._stack.enter_context(installation.served(self._variables)))

    # -- what ours is compared with -----------------------------------------------------------------------------------

    @cached_property
    def bare_token(self) -> Server:
        """The bare application that issues tokens."""
        return self._bare("token", user_name=user_name(0), api_key=api_key(0))

    @cached_property
    def bare_check(self) -> Server:
        """The bare application that checks tokens, and answers what ours answers."""
        body = devices(self.sqlite.server, new_token(self.sqlite.server))
        return self._bare("check", body=body)

    @cached_property
    def bare_mutual_tls(self) -> Server:
        """The bare application that issues tokens, under mutual TLS."""
        files = self.sqlite.installation.directory
        return self._bare(
            "tls",
            user_name=user_name(0),
            api_key=api_key(0),
            certificate=str(files / "server.pem"),
            key=str(files / "server.key"),
            anchors=str(files / "ca.pem"),
        )

    def _bare(self, name: str, **said: str) -> Server:
        asked = BareServer(port=free_port(), **said)
        file = self._directory / f"bare-{name}.json"
        file.write_bytes(msgspec.json.encode(asked))
        return self._stack.enter_context(running(python("benchmarks.bare_server", str(file)), port=asked.port))

    @cached_property
    def nginx(self) -> Server:
        """The server written in C, with our certificates and a body of the size of a mobility token."""
        files = self.sqlite.installation.directory
        size = len(mobility_token(self.sqlite))
        return self._stack.enter_context(running_nginx(self._directory / "nginx", files, body_size=size))

    # -- what is sent -------------------------------------------------------------------------------------------------

    def tokens(self, count: int) -> Path:
        """Return a file of tokens, one a line."""
        file = self._directory / f"tokens-{count}"
        if not file.exists():
            file.write_text("".join(f"{new_token(self.sqlite.server)}\n" for _ in range(count)))
        return file

    def plan(self, name: str, port: int, *, anew: bool, post: str = "") -> Path:
        """Return a plan for the generator that shows certificates."""
        files = self.sqlite.installation.directory
        plan = Plan(
            port=port,
            path=scripts.TOKEN_PATH if post else scripts.MOBILITY_PATH,
            body=post,
            certificate=str(files / "client.pem"),
            key=str(files / "client.key"),
            connections=CONNECTIONS,
            anew=anew,
        )
        file = self._directory / f"{name}.plan"
        file.write_bytes(msgspec.json.encode(plan))
        return file


def _acquainted(ours: Ours) -> Ours:
    """Let the clients that are at work be known: a process that has served for a while has seen them all."""
    for number in range(FEW):
        new_token(ours.server, number)
    return ours


def new_token(server: Server, number: int = 0) -> str:
    """Return a token of a client."""
    headers = {"Content-Type": "application/json"}
    token: str = json.loads(_answer(_connection(server), "POST", scripts.TOKEN_PATH, token_body(number), headers))[
        "token"
    ]
    return token


def devices(server: Server, token: str) -> str:
    """Return what is answered to a token."""
    return _answer(_connection(server), "GET", scripts.DEVICES_PATH, None, {"Authorization": f"Bearer {token}"})


def mobility_token(ours: Ours) -> str:
    """Return what a mobility client is answered."""
    files = ours.installation.directory
    context = ssl.create_default_context(cafile=str(files / "ca.pem"))
    context.load_cert_chain(files / "client.pem", files / "client.key")
    connection = http.client.HTTPSConnection("127.0.0.1", ours.installation.mtls_port, timeout=10, context=context)
    return _answer(connection, "GET", scripts.MOBILITY_PATH, None, {})


def _connection(server: Server) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)


def _answer(
    connection: http.client.HTTPConnection, method: str, path: str, body: str | None, headers: dict[str, str]
) -> str:
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    assert answer.status == 200, text
    return text
