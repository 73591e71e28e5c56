"""The connection is lost at commit (threats K5): what happened is found out, and nothing is written twice or half."""

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from sqlalchemy import update

from aldaba.core import Core
from aldaba.core.audit_proof import verify_log
from aldaba.core.registrar import Registrar
from aldaba.errors import StoreUnavailable
from aldaba.model.events import Event
from aldaba.store import audit
from aldaba.store.engines import LedgerConnection
from aldaba.store.engines.postgresql import PostgresLedger
from aldaba.store.schema import audit_chain
from tests.installation import Installation

pytestmark = pytest.mark.anyio

Commit = Callable[..., None]


def event(request_id: str) -> Event:
    return Event(1_000_000, request_id, "test", "granted", None, None, None, None, None, None, "{}")


def at_the_next_commit(core: Core, happen: Callable[[Commit, tuple[Any, ...]], None], *, away: bool = False) -> None:
    """Let the next commit happen so and lose its answer; `away`: the database cannot be asked right after it either."""
    open_ledger = core.database.engine.open_ledger
    lost = False

    def opened() -> LedgerConnection:
        if lost and away:
            core.database.engine.open_ledger = open_ledger  # type: ignore[method-assign]
            raise StoreUnavailable("away")
        connection = open_ledger()
        commit = connection.commit

        def lose_the_answer(*args: Any) -> None:
            nonlocal lost
            if lost:
                commit(*args)
                return
            lost = True
            happen(commit, args)
            raise StoreUnavailable("the answer is lost")

        connection.commit = lose_the_answer  # type: ignore[method-assign, assignment]
        return connection

    core.ledger._connection = None
    core.database.engine.open_ledger = opened  # type: ignore[method-assign]


async def recorded(registrar: Registrar, *request_ids: str) -> list[int]:
    return [len(await registrar.database.read(audit.events_of_request, name)) for name in request_ids]


def committed(commit: Commit, args: tuple[Any, ...]) -> None:
    commit(*args)


def not_committed(_commit: Commit, _args: tuple[Any, ...]) -> None:
    return None


async def test_k5_a_commit_that_happened_is_acknowledged_though_its_answer_was_lost(installation: Installation) -> None:
    async with installation.registrar() as registrar, installation.core() as core:
        at_the_next_commit(core, committed)
        await core.ledger.write(event("lost"))
        await core.ledger.write(event("after"))

        assert [1, 1] == await recorded(registrar, "lost", "after")
        assert [] == (await registrar.database.read(verify_log, registrar.secrets)).faults


async def test_k5_a_commit_that_did_not_happen_is_not_acknowledged(installation: Installation) -> None:
    async with installation.registrar() as registrar, installation.core() as core:
        at_the_next_commit(core, not_committed)
        with pytest.raises(StoreUnavailable):
            await core.ledger.write(event("lost"))
        await core.ledger.write(event("after"))

        assert [0, 1] == await recorded(registrar, "lost", "after")
        assert [] == (await registrar.database.read(verify_log, registrar.secrets)).faults


@pytest.mark.parametrize("happen, times", [(committed, 1), (not_committed, 0)])
async def test_k5_what_cannot_be_found_out_at_once_is_found_out_before_the_next_batch(
    installation: Installation, happen: Callable[[Commit, tuple[Any, ...]], None], times: int
) -> None:
    """The chain used to go on from the event before, and so forked when the commit had happened."""
    async with installation.registrar() as registrar, installation.core() as core:
        at_the_next_commit(core, happen, away=True)
        with pytest.raises(StoreUnavailable):
            await core.ledger.write(event("lost"))
        await core.ledger.write(event("after"))

        assert [times, 1] == await recorded(registrar, "lost", "after")
        assert [] == (await registrar.database.read(verify_log, registrar.secrets)).faults


async def test_k5_a_commit_that_the_server_makes_later_does_not_fork_the_chain(
    postgresql_installation: Installation,
) -> None:
    """A backend whose client has gone may still be at work: what waits for it goes on from where it ends."""
    installation = postgresql_installation
    async with installation.registrar() as registrar, installation.core() as core:
        server_at_work: list[psycopg.Connection[Any]] = []

        def commit_later(commit: Commit, args: tuple[Any, ...]) -> None:
            ledger: PostgresLedger = commit.__self__  # type: ignore[attr-defined]
            execute = ledger._connection.execute

            def all_but_commit(query: Any, *rest: Any) -> Any:
                return None if query == "COMMIT" else execute(query, *rest)

            ledger._connection.execute = all_but_commit  # type: ignore[method-assign, assignment]
            commit(*args)
            server_at_work.append(ledger._connection)
            ledger.rollback = ledger.close = lambda: None  # type: ignore[method-assign]
            ledger._connection.execute = execute  # type: ignore[method-assign]

        at_the_next_commit(core, commit_later)
        with pytest.raises(StoreUnavailable):
            await core.ledger.write(event("lost"))
        server_at_work[0].execute("COMMIT")
        server_at_work[0].close()
        await core.ledger.write(event("after"))

        assert [1, 1] == await recorded(registrar, "lost", "after")
        assert [] == (await registrar.database.read(verify_log, registrar.secrets)).faults


async def test_k5_a_batch_that_the_server_starts_later_is_refused_by_the_database(
    postgresql_installation: Installation,
) -> None:
    """What was sent and not read yet may be worked on after the chain has gone on: the head it expects has gone."""
    installation = postgresql_installation
    async with installation.registrar() as registrar, installation.core() as core:
        unread: list[tuple[Any, ...]] = []
        at_the_next_commit(core, lambda _commit, args: unread.append(args))
        with pytest.raises(StoreUnavailable):
            await core.ledger.write(event("lost"))
        await core.ledger.write(event("after"))
        connection = core.database.engine.open_ledger()
        connection.begin()

        with pytest.raises(StoreUnavailable, match="null value"):
            connection.commit(*unread[0])
        connection.rollback()
        connection.close()
        assert [0, 1] == await recorded(registrar, "lost", "after")
        assert [] == (await registrar.database.read(verify_log, registrar.secrets)).faults


async def test_a_chain_that_somebody_else_has_set_back_is_not_written_on(installation: Installation) -> None:
    async with installation.registrar() as registrar, installation.core() as core:
        await core.ledger.write(event("one"))
        found = await registrar.database.read(audit.read_head, core.ledger.writer)
        assert found is not None
        await core.ledger.write(event("two"))
        back = update(audit_chain).values(dict(zip(("length", "head", "seal"), found, strict=True)))
        await registrar.database.write(
            lambda connection: connection.execute(back.where(audit_chain.c.writer == core.ledger.writer))
        )

        with pytest.raises(StoreUnavailable):
            await core.ledger.write(event("three"))
        with pytest.raises(StoreUnavailable, match="not where this process left it"):
            await core.ledger.write(event("four"))
        assert [1, 1, 0, 0] == await recorded(registrar, "one", "two", "three", "four")
