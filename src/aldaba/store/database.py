"""Opens the database, refuses a wrong one, and runs statements in transactions."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, delete, insert, update
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from aldaba.errors import StoreUnavailable
from aldaba.store import schema
from aldaba.store.engines import CHANGES_KEPT, Engine
from aldaba.store.engines.sqlite import Sqlite
from aldaba.store.migrations import migrate, require_current

P = ParamSpec("P")
T = TypeVar("T")


class Change:
    """An open transaction that changes what decisions rest on."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.entries: set[str] = set()

    def touch(self, *entries: str) -> None:
        """Name the registry entries that are different from now on."""
        self.entries.update(entries)


class Database:
    """The database behind one process."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._translated = _Translated(engine)
        # Those that were given up on among them, until the driver has let go of them.
        self._looking_up: set[asyncio.Task[Any]] = set()

    async def read(self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `function(connection, ...)` in a transaction that changes nothing."""
        with self._translated:
            return await self.engine.run(lambda connection: function(connection, *args, **kwargs), change=False)

    async def look_up(self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """As `read`, for what a request waits for.

        Raises:
            StoreUnavailable: it took longer than the store may take. (Cancelling would wait for the driver to stop.)
        """
        reading = asyncio.ensure_future(self.read(function, *args, **kwargs))
        self._looking_up.add(reading)
        reading.add_done_callback(self._looked_up)
        done, _ = await asyncio.wait({reading}, timeout=self.engine.timeout_s)
        if not done:
            raise StoreUnavailable("the database did not answer in time")
        return reading.result()

    def _looked_up(self, reading: asyncio.Task[Any]) -> None:
        self._looking_up.discard(reading)
        if not reading.cancelled():
            # Perhaps nobody waits for it any more.
            reading.exception()

    async def write(self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `function(connection, ...)` in a transaction of its own that no decision rests on."""
        with self._translated:
            return await self.engine.run(lambda connection: function(connection, *args, **kwargs), change=True)

    async def change(self, function: Callable[[Change], T]) -> T:
        """Run `function(change)` alone, count the registry version up if it touched entries, and commit.

        From the return on, no decision anywhere rests on what was before.
        """
        with self._translated:
            return await self.engine.run(lambda connection: self._change(connection, function), change=True)

    def _change(self, connection: Connection, function: Callable[[Change], T]) -> T:
        self.engine.lock_registry(connection)
        change = Change(connection)
        result = function(change)
        if change.entries:
            _count_up(connection, change.entries)
        return result

    async def close(self) -> None:
        """Close the pooled connections."""
        if self._looking_up:
            await asyncio.wait(self._looking_up, timeout=self.engine.timeout_s)
        await self.engine.close()


def _count_up(connection: Connection, entries: set[str]) -> None:
    version = connection.execute(
        update(schema.registry).values(version=schema.registry.c.version + 1).returning(schema.registry.c.version)
    ).scalar_one()
    connection.execute(
        insert(schema.registry_change), [{"version": version, "entry": entry} for entry in sorted(entries)]
    )
    connection.execute(delete(schema.registry_change).where(schema.registry_change.c.version <= version - CHANGES_KEPT))


class _Translated:
    """Turns errors of the driver and the pool into `StoreUnavailable`; a broken constraint stays what it is."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _traceback: object) -> None:
        if isinstance(error, DBAPIError) and not isinstance(error, IntegrityError):
            raise self._engine.unavailable(error) from error
        if isinstance(error, PoolTimeout):
            raise StoreUnavailable("no connection became free in time") from error


def engine_for(url: str, *, timeout_s: float = 2.0, pool_size: int = 5) -> Engine:
    """Return the engine of a database URL: `sqlite:///file` or `postgresql://...`."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return Sqlite(Path(parsed.database or ""), timeout_s=timeout_s)
    # Its driver takes a quarter of a second and nine megabytes, which SQLite's processes need not spend.
    from aldaba.store.engines.postgresql import Postgres  # noqa: PLC0415

    return Postgres(parsed, timeout_s=timeout_s, pool_size=pool_size)


@asynccontextmanager
async def open_database(url: str, *, timeout_s: float = 2.0, pool_size: int = 5) -> AsyncIterator[Database]:
    """Open the database at `url`.

    Raises:
        Damaged: it is missing, damaged, behind this program (run `aldaba migrate`) or ahead of it.
        StoreUnavailable: it does not answer.
    """
    engine = engine_for(url, timeout_s=timeout_s, pool_size=pool_size)
    engine.check_present()
    database = Database(engine)
    try:
        await database.read(partial(engine.check_sound, thorough=False))
        await database.read(require_current)
        yield database
    finally:
        await database.close()


async def prepare_database(url: str) -> None:
    """Bring the schema of the database at `url` up to this program's version, making a SQLite file where there is none.

    Raises:
        Damaged: it is newer than this program.
        StoreUnavailable: it does not answer.
    """
    database = Database(engine_for(url, timeout_s=30.0))
    try:
        # One after the other, and with no ledger at work.
        await database.change(lambda change: migrate(change.connection))
    finally:
        await database.close()
