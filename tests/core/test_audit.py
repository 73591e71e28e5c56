"""The audit log is whole, or what is wrong with it is said: changed, removed, added, cut off, set back."""

from collections.abc import Callable
from typing import Any

import pytest
from anyio import Event, create_task_group
from sqlalchemy import Connection, Row, text, update

from aldaba.core import Core
from aldaba.core.audit_proof import Verdict, verify_log
from aldaba.core.clients import set_roles
from aldaba.core.issue import issue
from aldaba.core.registrar import Registrar
from aldaba.errors import Refusal
from aldaba.model.calls import NameAndKey
from aldaba.store import audit, schema
from tests.installation import Installation, fleet_client, install

pytestmark = pytest.mark.anyio

CHANGED = {
    "at_us": "at_us + 1",
    "request_id": "'another'",
    "action": "'token.check'",
    "outcome": "'refused'",
    "reason": "'malformed'",
    "service": "'mobility'",
    "partner": "'another'",
    "client": "'another'",
    "credential": "'another'",
    "address": "'192.0.2.1'",
    "detail": "'{}'",
    "mac": "'" + "0" * 64 + "'",
}


async def three_tokens(core: Core, installation: Installation, shown: NameAndKey) -> None:
    for _ in range(3):
        await issue(core, installation.call(), shown)


async def verdict(registrar: Registrar) -> Verdict:
    return await registrar.database.read(verify_log, registrar.secrets)


async def tamper(registrar: Registrar, *statements: str, writer: str = "") -> None:
    def work(connection: Connection) -> None:
        for statement in statements:
            connection.execute(text(statement), {"writer": writer} if ":writer" in statement else {})

    await registrar.database.write(work)


async def test_an_untouched_log_is_whole(installation: Installation) -> None:
    async with installation.registrar() as registrar:
        shown = await fleet_client(registrar)
        async with installation.core() as core:
            await three_tokens(core, installation, shown)
            writer = core.ledger.writer
        async with installation.core() as core:
            await three_tokens(core, installation, shown)
        found = await verdict(registrar)

        assert [] == found.faults
        # The registry's chain and one of each process; nine changes (partner, client, key, keys of two services, two
        # chains opened) and six tokens.
        assert 3 == found.chains
        assert writer != core.ledger.writer
        assert 6 + 7 == found.events


@pytest.mark.parametrize("column", CHANGED)
async def test_a_changed_column_is_found(sqlite_installation: Installation, column: str) -> None:
    installation = sqlite_installation
    async with installation.registrar() as registrar:
        shown = await fleet_client(registrar)
        async with installation.core() as core:
            await three_tokens(core, installation, shown)
            writer = core.ledger.writer
        changed = update(schema.event).values({column: text(CHANGED[column])})
        second = (schema.event.c.writer == writer) & (schema.event.c.seq == 2)
        await registrar.database.write(Connection.execute, changed.where(second))

        assert f"{writer}: event 2 or the one before it was changed" == (await verdict(registrar)).faults[0]


async def test_a_removed_event_is_found(installation: Installation) -> None:
    async with installation.registrar() as registrar:
        shown = await fleet_client(registrar)
        async with installation.core() as core:
            await three_tokens(core, installation, shown)
            writer = core.ledger.writer
        await tamper(registrar, "DELETE FROM event WHERE writer = :writer AND seq = 2", writer=writer)

        assert f"{writer}: event 2 is missing before event 3" == (await verdict(registrar)).faults[0]


async def test_swapped_events_are_found(sqlite_installation: Installation) -> None:
    installation = sqlite_installation
    async with installation.registrar() as registrar:
        shown = await fleet_client(registrar)
        async with installation.core() as core:
            await three_tokens(core, installation, shown)
            writer = core.ledger.writer
        await tamper(
            registrar,
            "UPDATE event SET seq = 20 WHERE writer = :writer AND seq = 2",
            "UPDATE event SET seq = 2 WHERE writer = :writer AND seq = 3",
            "UPDATE event SET seq = 3 WHERE writer = :writer AND seq = 20",
            writer=writer,
        )

        assert (await verdict(registrar)).faults


async def test_a_cut_off_tail_is_found(installation: Installation) -> None:
    async with installation.registrar() as registrar:
        shown = await fleet_client(registrar)
        async with installation.core() as core:
            await three_tokens(core, installation, shown)
            writer = core.ledger.writer
        await tamper(registrar, "DELETE FROM event WHERE writer = :writer AND seq = 3", writer=writer)

        assert [f"{writer}: ends with event 2, and the head says 3"] == (await verdict(registrar)).faults


async def test_a_head_that_was_set_back_with_the_tail_is_not_sealed(sqlite_installation: Installation) -> None:
    installation = sqlite_installation
    async with installation.registrar() as registrar:
        shown = await fleet_client(registrar)
        async with installation.core() as core:
            await three_tokens(core, installation, shown)
            writer = core.ledger.writer
        await tamper(
            registrar,
            "DELETE FROM event WHERE writer = :writer AND seq = 3",
            "UPDATE audit_chain SET length = 2, head = (SELECT mac FROM event WHERE writer = :writer AND seq = 2)"
            " WHERE writer = :writer",
            writer=writer,
        )

        assert [f"{writer}: the head was changed"] == (await verdict(registrar)).faults


async def test_a_chain_that_vanishes_as_a_whole_is_missed(sqlite_installation: Installation) -> None:
    installation = sqlite_installation
    async with installation.registrar() as registrar:
        shown = await fleet_client(registrar)
        async with installation.core() as core:
            await three_tokens(core, installation, shown)
            writer = core.ledger.writer
        await tamper(
            registrar,
            "DELETE FROM event WHERE writer = :writer",
            "DELETE FROM audit_chain WHERE writer = :writer",
            writer=writer,
        )

        assert [f"{writer}: its events and its head are gone"] == (await verdict(registrar)).faults


async def test_a_process_that_starts_while_the_log_is_read_is_no_fault(
    sqlite_installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On PostgreSQL the heads are those of a moment before the events: its chain was taken for a removed one."""
    async with sqlite_installation.registrar() as registrar:
        await fleet_client(registrar)
        await registrar.open_writer("started meanwhile")
        chains = audit.chains
        looks = 0

        def earlier_at_first(connection: Connection) -> list[Row[Any]]:
            nonlocal looks
            looks += 1
            return [row for row in chains(connection) if looks > 1 or row.writer != "started meanwhile"]

        monkeypatch.setattr(audit, "chains", earlier_at_first)

        assert [] == (await verdict(registrar)).faults


async def test_the_log_is_whole_while_processes_and_operators_write_to_it(installation: Installation) -> None:
    async with installation.registrar() as registrar, installation.registrar() as operator:
        shown = await fleet_client(registrar)
        verdicts: list[Verdict] = []
        written = Event()

        async def serve() -> None:
            for _ in range(3):
                async with installation.core() as core:
                    await three_tokens(core, installation, shown)

        async def operate() -> None:
            for number in range(15):
                await set_roles(operator, "acme", [f"ROLE_{number}"])

        async def look() -> None:
            while not written.is_set():
                verdicts.append(await verdict(registrar))

        async with create_task_group() as looking:
            looking.start_soon(look)
            async with create_task_group() as writing:
                for work in (serve, serve, operate):
                    writing.start_soon(work)
            written.set()
        verdicts.append(await verdict(registrar))

        assert [] == [fault for found in verdicts for fault in found.faults]
        # Six processes and the registry; each opened its chain and issued three tokens.
        assert (7, 6 * 3) == (verdicts[-1].chains, await issued(registrar))
        assert len(verdicts) > 3


async def issued(registrar: Registrar) -> int:
    query = text("SELECT count(*) FROM event WHERE action = 'token.issue'")
    return await registrar.database.read(lambda connection: int(connection.execute(query).scalar_one()))


async def test_a_writer_and_a_place_that_were_changed_are_found(sqlite_installation: Installation) -> None:
    async with sqlite_installation.registrar() as registrar:
        await fleet_client(registrar)
        for change, undo in (
            ("SET writer = 'another' WHERE seq = 2", "SET writer = 'registry' WHERE writer = 'another'"),
            ("SET seq = 200 WHERE seq = 2", "SET seq = 2 WHERE seq = 200"),
        ):
            await tamper(registrar, "UPDATE event " + change)
            assert (await verdict(registrar)).faults
            await tamper(registrar, "UPDATE event " + undo)
            assert [] == (await verdict(registrar)).faults


async def test_an_event_from_nowhere_is_found(sqlite_installation: Installation) -> None:
    async with sqlite_installation.registrar() as registrar:
        await fleet_client(registrar)
        await tamper(
            registrar,
            "INSERT INTO event (writer, seq, at_us, request_id, action, outcome, detail, mac)"
            " VALUES ('stranger', 1, 1, 'x', 'token.issue', 'granted', '{}', 'y')",
        )

        assert ["stranger: has events and no head"] == (await verdict(registrar)).faults


async def test_another_master_key_cannot_continue_the_registry_chain(
    sqlite_installation: Installation, migrated_sqlite: str
) -> None:
    async with sqlite_installation.registrar() as registrar:
        await fleet_client(registrar)
    other = sqlite_installation.directory / "other"
    other.mkdir()
    async with install(other, migrated_sqlite).registrar() as stranger:
        with pytest.raises(Exception, match="not sealed with this master key"):
            await fleet_client(stranger, "another", "Another")


async def test_a_checkpoint_is_signed_every_so_many_events(migrated_sqlite: str, tmp_path: Any) -> None:
    installation = install(tmp_path, migrated_sqlite, {"ALDABA_AUDIT_CHECKPOINT_EVERY": "2"})
    async with installation.registrar() as registrar:
        shown = await fleet_client(registrar)
        async with installation.core() as core:
            for _ in range(5):
                await issue(core, installation.call(), shown)
            writer = core.ledger.writer

        def signed(connection: Connection) -> list[int]:
            query = text("SELECT seq FROM audit_checkpoint WHERE writer = :writer ORDER BY seq")
            return list(connection.execute(query, {"writer": writer}).scalars())

        assert [2, 4] == await registrar.database.read(signed)
        assert [] == (await verdict(registrar)).faults


async def test_a_checkpoint_under_another_key_is_found(migrated_sqlite: str, tmp_path: Any) -> None:
    installation = install(tmp_path, migrated_sqlite)
    async with installation.registrar() as registrar:
        await fleet_client(registrar)
        await tamper(registrar, "UPDATE audit_checkpoint SET signature = '" + "ab" * 64 + "' WHERE seq = 2")

        assert ["registry: the checkpoint at event 2 is not signed by this key"] == (await verdict(registrar)).faults


async def test_a_refusal_is_recorded_with_what_was_expected_and_seen(installation: Installation) -> None:
    events: list[Any] = []

    def read(request_id: str) -> Callable[[Connection], Any]:
        query = text("SELECT outcome, reason, client, address, detail FROM event WHERE request_id = :id")
        return lambda connection: connection.execute(query, {"id": request_id}).one()

    from aldaba.core.audit import record_refusal  # noqa: PLC0415 - what the mount does with every refusal

    async with installation.registrar() as registrar, installation.core() as core:
        shown = await fleet_client(registrar)
        call = installation.call(address="192.0.2.7")
        try:
            await issue(core, call, NameAndKey(shown.name, "aldk_wrong"))
        except Refusal as refusal:
            await record_refusal(core, call, refusal)
        events.append(await registrar.database.read(read(call.id)))

        expected = (
            "refused",
            "credential_wrong",
            "acme",
            "192.0.2.7",
            '{"expected":"a key of this client","seen":"another one"}',
        )
        assert [expected] == [tuple(event) for event in events]
