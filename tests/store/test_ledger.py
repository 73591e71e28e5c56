"""The ledger: committed before it is acknowledged, refused when full, taken again when the ground has moved."""

import anyio
import anyio.lowlevel
import pytest
from sqlalchemy import update

from aldaba.core.audit import EventChain
from aldaba.core.clients import add_client, disable_client, enable_client
from aldaba.core.partners import add_partner
from aldaba.errors import Overloaded, StoreUnavailable
from aldaba.model.events import Event
from aldaba.model.ids import new_id
from aldaba.store import audit
from aldaba.store.database import Database, engine_for
from aldaba.store.ledger import Ledger, Moved
from aldaba.store.registry import Basis
from aldaba.store.schema import registry
from tests.installation import Installation

pytestmark = pytest.mark.anyio


def event(request_id: str = "") -> Event:
    return Event(1_000_000, request_id or new_id(), "test", "granted", None, None, None, None, None, None, "{}")


def ledger_on(installation: Installation, *, capacity: int = 1000, max_batch: int = 100) -> Ledger:
    engine = engine_for(installation.settings.database.url.reveal())
    chain = EventChain(new_id(), b"k" * 32, b"s" * 32, checkpoint_every=1000)
    return Ledger(engine, chain, capacity=capacity, max_batch=max_batch)


async def recorded(database: Database, request_id: str) -> int:
    return len(await database.read(audit.events_of_request, request_id))


async def test_what_is_acknowledged_is_committed(installation: Installation) -> None:
    async with installation.registrar() as registrar:
        ledger = ledger_on(installation)
        ledger.start()
        await ledger.write(event("one"))

        assert 1 == await recorded(registrar.database, "one")
        await ledger.stop()


async def test_those_who_arrive_together_share_a_transaction(installation: Installation) -> None:
    async with installation.registrar() as registrar:
        ledger = ledger_on(installation)
        commits = 0
        connect = ledger._connect

        def counted() -> object:
            nonlocal commits
            commits += 1
            return connect()

        ledger._connect = counted  # type: ignore[method-assign, assignment]
        ledger.start()
        async with anyio.create_task_group() as group:
            for _ in range(100):
                group.start_soon(ledger.write, event("many"))

        assert 100 == await recorded(registrar.database, "many")
        assert commits <= 3
        await ledger.stop()


async def test_a_decision_that_rests_on_a_changed_entry_is_not_written(installation: Installation) -> None:
    async with installation.registrar() as registrar:
        await add_partner(registrar, "Acme")
        await add_client(registrar, "acme", partner="Acme", services=["fleet"])
        async with installation.core() as core:
            basis = Basis(core.view.version, ("client/acme",))
            await disable_client(registrar, "acme")

            with pytest.raises(Moved):
                await core.ledger.write(event("moved"), basis)
            assert 0 == await recorded(registrar.database, "moved")


async def test_a_decision_that_rests_on_other_entries_is_written(installation: Installation) -> None:
    async with installation.registrar() as registrar:
        await add_partner(registrar, "Acme")
        for name in ("one", "other"):
            await add_client(registrar, name, partner="Acme", services=["fleet"])
        async with installation.core() as core:
            basis = Basis(core.view.version, ("client/one",))
            await disable_client(registrar, "other")
            await core.ledger.write(event("still"), basis)

            assert 1 == await recorded(registrar.database, "still")


async def test_only_the_moved_ones_of_a_batch_are_left_out(installation: Installation) -> None:
    async with installation.registrar() as registrar:
        await add_partner(registrar, "Acme")
        for name in ("one", "other"):
            await add_client(registrar, name, partner="Acme", services=["fleet"])
        async with installation.core() as core:
            version = core.view.version
            await disable_client(registrar, "one")
            outcomes: dict[str, str] = {}

            async def write(name: str) -> None:
                try:
                    await core.ledger.write(event(name), Basis(version, (f"client/{name}",)))
                except Moved:
                    outcomes[name] = "moved"
                else:
                    outcomes[name] = "written"

            async with anyio.create_task_group() as group:
                for name in ("one", "other"):
                    group.start_soon(write, name)

            assert {"one": "moved", "other": "written"} == outcomes
            await enable_client(registrar, "one")


async def test_a_full_ledger_refuses_and_drops_nothing(installation: Installation) -> None:
    """Threats L2: back-pressure before loss."""
    async with installation.registrar() as registrar:
        ledger = ledger_on(installation, capacity=5)
        ledger.start()
        outcomes = []

        async def write() -> None:
            try:
                await ledger.write(event("full"))
            except Overloaded:
                outcomes.append("refused")
            else:
                outcomes.append("written")

        async with anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(write)

        assert outcomes.count("written") == await recorded(registrar.database, "full")
        assert 15 == outcomes.count("refused")
        await ledger.stop()


async def test_stopping_writes_what_waits_and_takes_nothing_more(installation: Installation) -> None:
    async with installation.registrar() as registrar:
        ledger = ledger_on(installation, max_batch=3)
        ledger.start()
        async with anyio.create_task_group() as group:
            for _ in range(10):
                group.start_soon(ledger.write, event("last"))
            await anyio.lowlevel.checkpoint()
            await ledger.stop()

        assert 10 == await recorded(registrar.database, "last")
        with pytest.raises(Overloaded):
            await ledger.write(event("late"))


async def test_an_entry_that_waits_too_long_is_told_that_the_store_is_away(installation: Installation) -> None:
    """Threats K2 and K4."""
    ledger = ledger_on(installation)
    ledger._loop = __import__("asyncio").get_running_loop()
    outcomes = []

    async def write() -> None:
        try:
            await ledger.write(event("never"))
        except StoreUnavailable as error:
            outcomes.append(str(error))

    async with anyio.create_task_group() as group:
        group.start_soon(write)
        await anyio.sleep(0.05)
        ledger.expire(0.01)

    assert ["the ledger could not write in time"] == outcomes


async def test_k7_a_registry_that_was_set_back_moves_every_decision(installation: Installation) -> None:
    """A backup restored under a running process has a lower version, whose changes nobody can tell."""
    async with installation.registrar() as registrar:
        await add_partner(registrar, "Acme")
        await add_client(registrar, "acme", partner="Acme", services=["fleet"])
        async with installation.core() as core:
            basis = Basis(core.view.version, ("client/acme",))
            back = update(registry).values(version=registry.c.version - 1)
            await registrar.database.write(lambda connection: connection.execute(back))

            with pytest.raises(Moved):
                await core.ledger.write(event("restored"), basis)
            await core.view.fresh()
            assert basis.version - 1 == core.view.version
            assert {} == core.view._kept["client"]
