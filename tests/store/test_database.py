"""Transactions: a read sees one state, a change sees the last one, and both end where they should."""

import pytest
from anyio import create_task_group
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.engine import make_url

from aldaba.core.clients import add_client, disable_client, find_client, set_roles
from aldaba.core.partners import add_partner
from aldaba.errors import StoreUnavailable
from aldaba.store.database import engine_for
from tests.installation import Installation

pytestmark = pytest.mark.anyio


def committed_by_another(installation: Installation, statement: str) -> None:
    """Commit a statement on a connection of its own."""
    url = make_url(installation.settings.database.url.reveal())
    driver = "sqlite" if url.get_backend_name() == "sqlite" else "postgresql+psycopg"
    engine = create_engine(url.set(drivername=driver))
    with engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()


def roles(connection: Connection) -> str:
    return str(connection.execute(text("SELECT roles FROM client")).scalar_one())


async def test_the_statements_of_a_read_see_one_state(installation: Installation) -> None:
    """A client was read in one state and its credentials in the next, which had never been together."""
    async with installation.registrar() as registrar:
        await add_partner(registrar, "Acme")
        await add_client(registrar, "acme", partner="Acme", services=["fleet"], roles=["ROLE_BEFORE"])

        def read_twice(connection: Connection) -> list[str]:
            before = roles(connection)
            committed_by_another(installation, "UPDATE client SET roles = '[\"ROLE_AFTER\"]'")
            return [before, roles(connection)]

        assert ['["ROLE_BEFORE"]'] * 2 == await registrar.database.read(read_twice)
        assert '["ROLE_AFTER"]' == await registrar.database.read(roles)


async def test_a_change_sees_what_those_before_it_committed(installation: Installation) -> None:
    """The head of the registry's chain is the one that the change before has left."""
    async with installation.registrar() as registrar:
        await add_partner(registrar, "Acme")
        await add_client(registrar, "acme", partner="Acme", services=["fleet"])
        async with create_task_group() as group:
            for number in range(10):
                group.start_soon(set_roles, registrar, "acme", [f"ROLE_{number}"])
        await disable_client(registrar, "acme")

        def versions(connection: Connection) -> int:
            return int(connection.execute(text("SELECT count(DISTINCT version) FROM registry_change")).scalar_one())

        assert 13 == await registrar.database.read(versions)
        assert "disabled" == (await find_client(registrar, "acme")).status.value


async def test_a_change_that_touches_nothing_leaves_the_version(installation: Installation) -> None:
    async with installation.registrar() as registrar:
        await add_partner(registrar, "Acme")
        before = await registrar.database.read(version)
        await registrar.database.change(lambda _change: None)

        assert before == await registrar.database.read(version)


def version(connection: Connection) -> int:
    return int(connection.execute(text("SELECT version FROM registry")).scalar_one())


async def test_a_statement_that_fails_says_no_parameters(installation: Installation) -> None:
    """They may be digests of secrets, and the text goes to the log."""
    async with installation.registrar() as registrar:

        def fail(connection: Connection) -> None:
            connection.execute(text("SELECT :secret FROM nowhere"), {"secret": "s3cret"})

        with pytest.raises(StoreUnavailable) as failed:
            await registrar.database.read(fail)
        assert "nowhere" in str(failed.value)
        assert "s3cret" not in repr(failed.value.__cause__)
        assert "s3cret" not in str(failed.value.__cause__)


async def test_sqlite_flushes_every_commit_and_checks_references(sqlite_installation: Installation) -> None:
    async with sqlite_installation.registrar() as registrar:

        def pragmas(connection: Connection) -> list[object]:
            names = ("journal_mode", "synchronous", "foreign_keys")
            return [connection.execute(text(f"PRAGMA {name}")).scalar_one() for name in names]

        assert ["wal", 2, 1] == await registrar.database.read(pragmas)
        ledger = engine_for(sqlite_installation.settings.database.url.reveal()).open_ledger()
        connection = ledger._connection  # type: ignore[attr-defined]
        try:
            assert (2,) == connection.execute("PRAGMA synchronous").fetchone()
        finally:
            ledger.close()


async def test_postgresql_waits_for_the_disk_at_every_commit(postgresql_installation: Installation) -> None:
    async with postgresql_installation.registrar() as registrar:

        def setting(connection: Connection) -> str:
            return str(connection.execute(text("SHOW synchronous_commit")).scalar_one())

        assert "on" == await registrar.database.read(setting)
