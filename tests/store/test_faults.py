"""Faults under the store (threats K1 to K5): nothing acknowledged is lost, nobody is let in, it goes on by itself."""

import random
import resource
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
import anyio.lowlevel
import pytest
from sqlalchemy import Column, Connection, select, text

from aldaba.core import Core
from aldaba.core.audit_proof import verify_log
from aldaba.core.clients import add_client
from aldaba.core.issue import issue
from aldaba.core.partners import add_partner
from aldaba.core.registrar import Registrar
from aldaba.core.verify import verify
from aldaba.errors import Damaged, Impossible, StoreUnavailable
from aldaba.model.calls import NameAndKey
from aldaba.model.events import Event
from aldaba.model.ids import new_id
from aldaba.store.database import prepare_database
from aldaba.store.engines.sqlite import PRAGMAS
from aldaba.store.schema import event, partner
from tests.installation import Installation, fleet_client, install
from tests.postgresql import PostgreSQL, running_postgresql
from tests.processes import running
from tests.store.writing import prepare, write

pytestmark = pytest.mark.anyio

Work = Callable[[], Awaitable[object]]


# -- K1: kill -9 ------------------------------------------------------------------------------------------------------


async def test_k1_kill_9_loses_nothing_that_was_acknowledged_on_sqlite(sqlite_installation: Installation) -> None:
    await kill_and_look(sqlite_installation, 20)


async def test_k1_kill_9_loses_nothing_that_was_acknowledged_on_postgresql(
    postgresql_installation: Installation,
) -> None:
    await kill_and_look(postgresql_installation, 10)


@pytest.mark.soak
async def test_k1_kill_9_two_hundred_times(installation: Installation) -> None:
    await kill_and_look(installation, 200)


async def kill_and_look(installation: Installation, times: int) -> None:
    async with installation.registrar() as registrar:
        evidence = await fleet_client(registrar)
    chance = random.Random(times)
    told: list[str] = []
    for _ in range(times):
        told += await anyio.to_thread.run_sync(write_and_kill, installation, evidence, chance.uniform(0.0, 0.6))
    tokens = [name for kind, _, name in (line.partition(" ") for line in told) if kind == "token"]
    partners = [name for kind, _, name in (line.partition(" ") for line in told) if kind == "partner"]

    assert min(len(tokens), len(partners)) > times / 2
    async with installation.registrar() as registrar:
        found = Counter(await registrar.database.read(column, event.c.request_id))
        assert [] == [name for name in tokens if found[name] != 1]
        assert set() == set(partners) - set(await registrar.database.read(column, partner.c.name))
        actions = Counter(await registrar.database.read(column, event.c.action))
        assert actions["partner.add"] == len(await registrar.database.read(column, partner.c.name))
        assert [] == (await registrar.database.read(verify_log, registrar.secrets)).faults


def write_and_kill(installation: Installation, evidence: NameAndKey, after_s: float) -> list[str]:
    """Return the lines of a writing process that was killed so long after it began to write."""
    url = installation.settings.database.url.reveal()
    with running(write, installation.directory, url, evidence.name, evidence.key) as (process, lines):
        assert b"ready\n" == lines.readline()
        process.join(after_s)
        process.kill()
        return [line.decode().removesuffix("\n") for line in lines if line.endswith(b"\n")]


def column(connection: Connection, wanted: Column[str]) -> list[str]:
    return list(connection.execute(select(wanted)).scalars())


# -- K2: the disk is full, or fails -----------------------------------------------------------------------------------


async def test_k2_with_a_full_disk_writes_are_refused_and_checks_go_on(
    sqlite_installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(sqlite_installation) as (core, registrar, evidence, token):
        pages = await registrar.database.read(lambda connection: connection.execute(text("PRAGMA page_count")).scalar())
        core.ledger._drop_connection()
        full = (*PRAGMAS, f"PRAGMA max_page_count={pages}")
        monkeypatch.setattr("aldaba.store.engines.sqlite.PRAGMAS", full)
        issued = await until_refused(partial(issue, core, sqlite_installation.call(), evidence))

        await verify(core, sqlite_installation.call(action="devices.list"), token)
        monkeypatch.setattr("aldaba.store.engines.sqlite.PRAGMAS", PRAGMAS)
        await issue(core, sqlite_installation.call(), evidence)
        assert issued + 2 == await count_issued(registrar)
        assert [] == (await registrar.database.read(verify_log, registrar.secrets)).faults


async def test_k2_with_a_disk_that_fails_writes_are_refused_and_checks_go_on(
    sqlite_installation: Installation,
) -> None:
    async with serving(sqlite_installation) as (core, registrar, evidence, token):
        with no_file_grows_beyond(size_of(sqlite_installation.directory / "aldaba.db-wal") + 20_000):
            issued = await until_refused(partial(issue, core, sqlite_installation.call(), evidence))
            with pytest.raises(StoreUnavailable):
                await add_partner(registrar, "Another")
            await verify(core, sqlite_installation.call(action="devices.list"), token)

        await issue(core, sqlite_installation.call(), evidence)
        await add_partner(registrar, "Another")
        assert issued + 2 == await count_issued(registrar)
        assert [] == (await registrar.database.read(verify_log, registrar.secrets)).faults


async def test_k2_with_a_full_disk_of_the_server_writes_are_refused_and_checks_go_on(
    postgresql_installation: Installation,
) -> None:
    async with serving(postgresql_installation) as (core, registrar, evidence, token):
        await registrar.database.write(run, FULL_DISK)
        with pytest.raises(StoreUnavailable, match="No space left on device"):
            await issue(core, postgresql_installation.call(), evidence)
        with pytest.raises(StoreUnavailable, match="No space left on device"):
            await add_partner(registrar, "Another")
        await verify(core, postgresql_installation.call(action="devices.list"), token)

        await registrar.database.write(run, "DROP TRIGGER full_disk ON event")
        await issue(core, postgresql_installation.call(), evidence)
        await add_partner(registrar, "Another")
        assert 2 == await count_issued(registrar)
        assert [] == (await registrar.database.read(verify_log, registrar.secrets)).faults


# PostgreSQL says a full disk so: SQLSTATE 53100, in the transaction that wants to write.
FULL_DISK = """
CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END $$;
CREATE TRIGGER full_disk BEFORE INSERT ON event EXECUTE FUNCTION full_disk();
"""


def run(connection: Connection, statements: str) -> None:
    connection.execute(text(statements))


async def until_refused(work: Work) -> int:
    """Repeat until the store is not available, which it must be soon; return how often it went well."""
    for done in range(500):
        try:
            await work()
        except StoreUnavailable:
            return done
    raise AssertionError("the store was available 500 times")


def size_of(file: Path) -> int:
    return file.stat().st_size


@contextmanager
def no_file_grows_beyond(size: int) -> Iterator[None]:
    """Let every write beyond a size fail, as those to a failing disk do."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def count_issued(registrar: Registrar) -> int:
    return Counter(await registrar.database.read(column, event.c.action))["token.issue"]


# -- K3: the database is missing or damaged ---------------------------------------------------------------------------


def missing(file: Path) -> None:
    file.unlink()


def empty(file: Path) -> None:
    file.write_bytes(b"")


def garbage(file: Path) -> None:
    file.write_bytes(random.Random(3).randbytes(file.stat().st_size))


def cut_in_half(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def cut_after_the_first_page(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:4096])


def cut_in_the_header(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:60])


def overwritten_in_the_middle(file: Path) -> None:
    whole = bytearray(file.read_bytes())
    whole[8192:20480] = random.Random(3).randbytes(12288)
    file.write_bytes(whole)


def without_its_tables(file: Path) -> None:
    file.unlink()
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE something (else_ INTEGER)")
    connection.close()


DAMAGE = (
    missing,
    empty,
    garbage,
    cut_in_half,
    cut_after_the_first_page,
    cut_in_the_header,
    overwritten_in_the_middle,
    without_its_tables,
)


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__)
async def test_k3_a_database_that_is_missing_or_damaged_is_not_served(
    damage: Callable[[Path], None], sqlite_installation: Installation
) -> None:
    file = sqlite_installation.directory / "aldaba.db"
    damage(file)
    before = size_of(file) if file.exists() else None

    for opened in (sqlite_installation.core, sqlite_installation.registrar):
        with pytest.raises(Damaged):
            await enter(opened())
    assert before == (size_of(file) if file.exists() else None)


async def test_k3_a_schema_made_by_a_newer_program_is_not_served(installation: Installation) -> None:
    async with installation.registrar() as registrar:
        await registrar.database.write(run, "UPDATE alembic_version SET version_num = '9999'")

    with pytest.raises(Damaged, match="made by a newer program"):
        await enter(installation.core())
    with pytest.raises(Damaged, match="made by a newer program"):
        await prepare_database(installation.settings.database.url.reveal())


async def test_k3_a_schema_that_is_behind_this_program_is_not_served(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aldaba.store.migrations.HEAD", "9999")

    with pytest.raises(Damaged, match="run 'aldaba migrate'"):
        await enter(installation.core())


async def test_k3_a_database_without_a_schema_is_not_served(database_url: str, tmp_path: Path) -> None:
    if database_url.startswith("sqlite"):
        sqlite3.connect(tmp_path / "aldaba.db").execute("CREATE TABLE other (id INTEGER)").connection.close()

    with pytest.raises(Damaged, match="has no schema"):
        await enter(install(tmp_path, database_url).core())


async def test_j6_migrating_twice_at_once_leaves_one_schema(database_url: str, tmp_path: Path) -> None:
    with running(prepare, database_url) as (_, one), running(prepare, database_url) as (_, other):
        assert ["done\n", "done\n"] == [lines.read().decode() for lines in (one, other)]

    await enter(install(tmp_path, database_url).core())


async def enter(context: AbstractAsyncContextManager[object]) -> None:
    async with context:
        pass


# -- K4: PostgreSQL is away -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def own_server() -> Iterator[PostgreSQL]:
    """Give a PostgreSQL that may be stopped."""
    with TemporaryDirectory(prefix="aldaba-faults-") as folder, running_postgresql(Path(folder)) as server:
        yield server


@pytest.fixture
async def on_own_server(own_server: PostgreSQL, tmp_path: Path) -> Installation:
    """Give an installation on a PostgreSQL that may be stopped."""
    url = own_server.url(own_server.create())
    await prepare_database(url)
    return install(tmp_path, url)


async def test_k4_while_postgresql_is_stopped_nobody_is_let_in_and_then_all_goes_on(
    own_server: PostgreSQL, on_own_server: Installation
) -> None:
    async with serving(on_own_server) as (core, registrar, evidence, token):
        own_server.stop()
        try:
            await all_refused_in_time(on_own_server, core, evidence, token)
            with pytest.raises(StoreUnavailable):
                await add_partner(registrar, "Another")
        finally:
            own_server.start()

        await all_well_in_time(on_own_server, core, evidence, token)
        await add_partner(registrar, "Another")
        assert [] == (await registrar.database.read(verify_log, registrar.secrets)).faults


async def test_k4_while_postgresql_hangs_nobody_is_let_in_and_then_all_goes_on(
    own_server: PostgreSQL, on_own_server: Installation
) -> None:
    async with serving(on_own_server) as (core, registrar, evidence, token):
        with own_server.suspended():
            await all_refused_in_time(on_own_server, core, evidence, token)
            # What came first is still in the driver's hands; the next ones are no worse off.
            await all_refused_in_time(on_own_server, core, evidence, token)

        await all_well_in_time(on_own_server, core, evidence, token)
        assert [] == (await registrar.database.read(verify_log, registrar.secrets)).faults


async def test_k4_stopping_does_not_wait_for_a_postgresql_that_hangs(
    own_server: PostgreSQL, on_own_server: Installation
) -> None:
    outcomes = []

    async def write(core: Core) -> None:
        try:
            await core.ledger.write(event_of("stopping"))
        except StoreUnavailable:
            outcomes.append("given up")

    with anyio.fail_after(20):
        async with serving(on_own_server) as (core, _, _, _), anyio.create_task_group() as group:
            with own_server.suspended():
                group.start_soon(write, core)
                await anyio.lowlevel.checkpoint()
                await core.ledger.stop()

    assert ["given up"] == outcomes


def event_of(request_id: str) -> Event:
    return Event(1_000_000, request_id, "test", "granted", None, None, None, None, None, None, "{}")


async def all_refused_in_time(installation: Installation, core: Core, evidence: NameAndKey, token: str) -> None:
    """Ask for everything, known and unknown, at the same time; each must be refused within 2.5 s (threats K4)."""
    stranger = NameAndKey(new_id(), "aldk_unknown")

    async def refused(work: Work) -> None:
        with anyio.fail_after(2.5), pytest.raises(StoreUnavailable):
            await work()

    async with anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(refused, partial(issue, core, installation.call(), evidence))
            group.start_soon(refused, partial(issue, core, installation.call(), stranger))
            group.start_soon(refused, partial(verify, core, installation.call(action="devices.list"), token))
            group.start_soon(refused, partial(core.view.get, "client", new_id()))
            group.start_soon(refused, partial(core.ledger.write, event_of("refused")))


async def all_well_in_time(installation: Installation, core: Core, evidence: NameAndKey, token: str) -> None:
    with anyio.fail_after(5):
        for work in (
            partial(issue, core, installation.call(), evidence),
            partial(verify, core, installation.call(action="devices.list"), token),
        ):
            while True:
                try:
                    await work()
                except StoreUnavailable:
                    await anyio.sleep(0.1)
                else:
                    break


# -- K5: connections are cut, and races -------------------------------------------------------------------------------


async def test_k5_cutting_connections_at_any_moment_writes_everything_once(
    postgresql_installation: Installation, postgresql_server: PostgreSQL
) -> None:
    installation = postgresql_installation
    acknowledged: list[str] = []
    async with serving(installation) as (core, registrar, evidence, _), anyio.create_task_group() as group:

        async def issue_on() -> None:
            while True:
                call = installation.call()
                try:
                    await issue(core, call, evidence)
                except StoreUnavailable:
                    await anyio.sleep(0.005)
                else:
                    acknowledged.append(call.id)

        for _ in range(8):
            group.start_soon(issue_on)
        database = installation.settings.database.url.reveal().rpartition("/")[2].partition("?")[0]
        chance = random.Random(5)
        for _ in range(60):
            await anyio.sleep(chance.uniform(0.005, 0.05))
            await anyio.to_thread.run_sync(cut_all, postgresql_server, database)
        group.cancel_scope.cancel()

    async with installation.registrar() as registrar:
        found = Counter(await registrar.database.read(column, event.c.request_id))
        assert len(acknowledged) > 60
        assert [] == [name for name in acknowledged if found[name] != 1]
        assert [] == [name for name, times in found.items() if times != 1]
        assert [] == (await registrar.database.read(verify_log, registrar.secrets)).faults


def cut_all(server: PostgreSQL, database: str) -> None:
    with server.connect() as owner:
        owner.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (database,))


@pytest.mark.parametrize("what", ["partner", "client"])
async def test_k5_of_those_who_race_for_a_name_exactly_one_wins(what: str, installation: Installation) -> None:
    outcomes: Counter[str] = Counter()

    async def race(registrar: Registrar, name: str) -> None:
        try:
            if what == "partner":
                await add_partner(registrar, name)
            else:
                await add_client(registrar, name, partner="Acme", services=["fleet"])
        except Impossible as error:
            outcomes[str(error)] += 1
        else:
            outcomes["won"] += 1

    async with installation.registrar() as one, installation.registrar() as other:
        await add_partner(one, "Acme")
        async with anyio.create_task_group() as group:
            for number in range(12):
                group.start_soon(race, one if number % 2 else other, "contested")

        taken = "this name or id is taken already; list what there is and choose another"
        assert {"won": 1, taken: 11} == outcomes
        actions = Counter(await one.database.read(column, event.c.action))
        assert (2 if what == "partner" else 1) == actions[f"{what}.add"]


# -- what they share --------------------------------------------------------------------------------------------------


@asynccontextmanager
async def serving(installation: Installation) -> AsyncIterator[tuple[Core, Registrar, NameAndKey, str]]:
    """Give a serving process, an operator, a client and a token of it."""
    async with installation.registrar() as registrar, installation.core() as core:
        evidence = await fleet_client(registrar)
        token = await issue(core, installation.call(), evidence)
        await verify(core, installation.call(action="devices.list"), token.text)
        yield core, registrar, evidence, token.text
