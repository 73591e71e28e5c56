"""The registry view: cached, bounded, and never older than the request."""

import anyio
import anyio.lowlevel
import pytest

from aldaba.core.clients import add_client, disable_client, set_roles
from aldaba.core.partners import add_partner, suspend_partner
from aldaba.errors import StoreUnavailable
from aldaba.model.parties import ClientStatus, PartnerStatus
from aldaba.server import LOADERS
from aldaba.store.database import Change
from aldaba.store.registry import RegistryView
from tests.installation import Installation

pytestmark = pytest.mark.anyio


async def test_an_entry_is_read_once_while_nothing_changes(installation: Installation) -> None:
    async with installation.registrar() as registrar:
        await add_partner(registrar, "Acme")
        await add_client(registrar, "acme", partner="Acme", services=["fleet"])
        view = RegistryView(registrar.database, LOADERS, capacity=10)
        await view.fresh()
        first = await view.get("client", "acme")
        await view.fresh()

        assert first is await view.get("client", "acme")
        await view.close()


async def test_a_change_is_seen_after_the_next_fresh_and_only_its_entry_is_forgotten(
    installation: Installation,
) -> None:
    async with installation.registrar() as registrar:
        await add_partner(registrar, "Acme")
        for name in ("one", "other"):
            await add_client(registrar, name, partner="Acme", services=["fleet"])
        view = RegistryView(registrar.database, LOADERS, capacity=10)
        await view.fresh()
        one, other = await view.get("client", "one"), await view.get("client", "other")
        await disable_client(registrar, "one")
        await view.fresh()

        assert ClientStatus.DISABLED is (await view.get("client", "one")).status
        assert ClientStatus.ACTIVE is one.status
        assert other is await view.get("client", "other")
        await view.close()


async def test_a_name_that_did_not_exist_is_found_once_it_is_registered(installation: Installation) -> None:
    async with installation.registrar() as registrar:
        await add_partner(registrar, "Acme")
        view = RegistryView(registrar.database, LOADERS, capacity=10)
        await view.fresh()
        assert await view.get("client", "acme") is None
        await add_client(registrar, "acme", partner="Acme", services=["fleet"])
        await view.fresh()

        assert "acme" == (await view.get("client", "acme")).name
        await view.close()


async def test_inventing_names_evicts_no_client_and_memory_stays_bounded(installation: Installation) -> None:
    """Threats B8 and L3."""
    async with installation.registrar() as registrar:
        await add_partner(registrar, "Acme")
        await add_client(registrar, "acme", partner="Acme", services=["fleet"])
        view = RegistryView(registrar.database, LOADERS, capacity=10)
        await view.fresh()
        kept = await view.get("client", "acme")
        for number in range(50):
            assert await view.get("client", f"invented {number}") is None

        assert kept is await view.get("client", "acme")
        assert 10 == len(view._absent)
        await view.close()


async def test_the_longest_unused_entry_makes_room(installation: Installation) -> None:
    async with installation.registrar() as registrar:
        await add_partner(registrar, "Acme")
        for number in range(4):
            await add_client(registrar, f"client {number}", partner="Acme", services=["fleet"])
        view = RegistryView(registrar.database, LOADERS, capacity=3)
        await view.fresh()
        first = await view.get("client", "client 0")
        for number in (1, 2, 0, 3):
            await view.get("client", f"client {number}")

        assert first is await view.get("client", "client 0")
        assert ["client 2", "client 3", "client 0"] == list(view._kept["client"])
        await view.close()


async def test_an_entry_changed_while_it_is_read_is_read_again(installation: Installation) -> None:
    async with installation.registrar() as registrar:
        await add_partner(registrar, "Acme")
        await add_client(registrar, "acme", partner="Acme", services=["fleet"])
        view = RegistryView(registrar.database, LOADERS, capacity=10)
        await view.fresh()
        reads = 0
        read = registrar.database.look_up

        async def read_and_then_change(function, *args):  # type: ignore[no-untyped-def]
            nonlocal reads
            value = await read(function, *args)
            reads += 1
            if reads == 1:
                # The view is told of a change between the read and its end.
                await set_roles_and_refresh()
            return value

        async def set_roles_and_refresh() -> None:
            view._database.look_up = read  # type: ignore[method-assign]
            await set_roles(registrar, "acme", ["ROLE_NEW"])
            await view.fresh()

        view._database.look_up = read_and_then_change  # type: ignore[method-assign, assignment]

        assert ("ROLE_NEW",) == (await view.get("client", "acme")).roles
        view._database.look_up = read  # type: ignore[method-assign]
        await view.close()


async def test_many_checks_share_one_version_read_and_one_load(installation: Installation) -> None:
    async with installation.registrar() as registrar:
        await add_partner(registrar, "Acme")
        await add_client(registrar, "acme", partner="Acme", services=["fleet"])
        view = RegistryView(registrar.database, LOADERS, capacity=10)
        await view.fresh()
        reader = view._reader
        assert reader is not None
        reads = 0
        read = reader.read

        async def counted(since: int) -> tuple[int, list[str] | None]:
            nonlocal reads
            reads += 1
            return await read(since)

        reader.read = counted  # type: ignore[method-assign]
        found = []

        async def check() -> None:
            await view.fresh()
            found.append(await view.get("client", "acme"))

        async with anyio.create_task_group() as group:
            for _ in range(100):
                group.start_soon(check)

        assert 100 == len(found)
        assert 1 == len({id(client) for client in found})
        assert reads <= 3
        await view.close()


async def test_suspending_a_partner_reaches_every_one_of_its_clients(installation: Installation) -> None:
    async with installation.registrar() as registrar:
        partner = await add_partner(registrar, "Acme")
        view = RegistryView(registrar.database, LOADERS, capacity=10)
        await view.fresh()
        assert PartnerStatus.ACTIVE is (await view.get("partner", partner.id)).status
        await suspend_partner(registrar, "Acme")
        await view.fresh()

        assert PartnerStatus.SUSPENDED is (await view.get("partner", partner.id)).status
        await view.close()


async def test_who_is_too_far_behind_forgets_everything(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aldaba.store.engines.sqlite.CHANGES_KEPT", 4)
    monkeypatch.setattr("aldaba.store.engines.postgresql.CHANGES_KEPT", 4)
    monkeypatch.setattr("aldaba.store.database.CHANGES_KEPT", 4)
    async with installation.registrar() as registrar:
        await add_partner(registrar, "Acme")
        await add_client(registrar, "acme", partner="Acme", services=["fleet"])
        view = RegistryView(registrar.database, LOADERS, capacity=10)
        await view.fresh()
        before = await view.get("client", "acme")
        for number in range(6):
            await set_roles(registrar, "acme", [f"ROLE_{number}"])
        await view.fresh()

        assert ("ROLE_5",) == (await view.get("client", "acme")).roles
        assert ("ROLE_USER",) == before.roles
        await view.close()


# -- when the version cannot be read ----------------------------------------------------------------------------------


class Stuck:
    """A reader whose driver does not let go: it goes on waiting for a while when it is cancelled."""

    def __init__(self) -> None:
        self.closed = False

    async def read(self, since: int) -> tuple[int, list[str] | None]:
        try:
            await anyio.sleep(60)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(0.2)
        return since, []

    async def close(self) -> None:
        self.closed = True


class Faulty(Stuck):
    """A reader with a fault that nobody foresaw."""

    async def read(self, since: int) -> tuple[int, list[str] | None]:
        raise ZeroDivisionError


async def test_k4_who_waits_for_a_driver_that_hangs_is_told_at_once_and_the_next_one_is_served(
    installation: Installation,
) -> None:
    """They used to wait until the driver let go, which takes ten seconds on PostgreSQL."""
    async with installation.registrar() as registrar:
        view = RegistryView(registrar.database, LOADERS, capacity=10)
        stuck = view._reader = Stuck()
        outcomes = []

        async def check() -> None:
            try:
                await view.fresh()
            except StoreUnavailable as error:
                outcomes.append(str(error))

        with anyio.fail_after(5):
            async with anyio.create_task_group() as group:
                for _ in range(3):
                    group.start_soon(check)
                await anyio.sleep(0.02)
                view.expire(0.01)
            assert ["the registry version could not be read in time"] * 3 == outcomes
            assert not stuck.closed
            await view.fresh()
            await view.close()

        assert stuck.closed


async def test_an_unforeseen_fault_of_the_reader_reaches_everybody_who_waits(installation: Installation) -> None:
    """They used to wait for ever."""
    async with installation.registrar() as registrar:
        view = RegistryView(registrar.database, LOADERS, capacity=10)
        view._reader = Faulty()
        outcomes = []

        async def check() -> None:
            try:
                await view.fresh()
            except ZeroDivisionError as error:
                outcomes.append(error)

        with anyio.fail_after(5):
            async with anyio.create_task_group() as group:
                for _ in range(3):
                    group.start_soon(check)
            await view.fresh()

        assert 3 == len(outcomes)
        await view.close()


async def test_a_read_that_has_not_begun_yet_is_not_given_up_for_the_age_of_the_one_before(
    installation: Installation,
) -> None:
    """It was cancelled before its first step, and nobody was ever served again."""
    async with installation.registrar() as registrar:
        view = RegistryView(registrar.database, LOADERS, capacity=10)
        await view.fresh()
        await anyio.sleep(0.2)
        with anyio.fail_after(5):
            async with anyio.create_task_group() as group:
                group.start_soon(view.fresh)
                await anyio.lowlevel.checkpoint()
                view.expire(0.1)
            await view.fresh()

        await view.close()


async def test_an_entry_of_a_kind_that_only_a_newer_program_knows_is_no_fault(installation: Installation) -> None:
    async with installation.registrar() as registrar:
        view = RegistryView(registrar.database, LOADERS, capacity=10)
        await view.fresh()

        def touch(change: Change) -> None:
            change.touch("novelty/one")

        await registrar.database.change(touch)
        before = view.version
        await view.fresh()

        assert before + 1 == view.version
        await view.close()
