"""PostgreSQL: a server that many processes share."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

import psycopg
from sqlalchemy import Connection, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

from aldaba.errors import StoreUnavailable
from aldaba.store.engines import (
    CHANGES_KEPT,
    EVENT_COLUMNS,
    READ_VERSION,
    REGISTRY_LOCK,
    SAVE_CHECKPOINT,
    SAVE_HEAD,
    LedgerConnection,
    T,
    Translating,
    VersionReader,
)

driver_errors = Translating(psycopg.Error)


class Postgres:
    """See `Engine`."""

    name = "postgresql"
    single_process = False

    def __init__(self, url: URL, *, timeout_s: float, pool_size: int) -> None:
        self.url = url.set(drivername="postgresql")
        self.timeout_s = timeout_s
        milliseconds = int(timeout_s * 1000)
        # A server that is away or slow must be noticed within the time a caller is kept waiting (threats K4).
        self.settings: dict[str, Any] = {
            "connect_timeout": max(2, int(timeout_s)),
            "tcp_user_timeout": milliseconds,
            "keepalives_idle": 2,
            "keepalives_interval": 1,
            "keepalives_count": 3,
            "options": f"-c statement_timeout={milliseconds} -c lock_timeout={milliseconds} -c synchronous_commit=on",
        }
        self._pool = create_async_engine(
            self.url.set(drivername="postgresql+psycopg"),
            connect_args=self.settings,
            pool_size=pool_size,
            pool_timeout=timeout_s,
            pool_pre_ping=True,
            hide_parameters=True,
        )
        # All statements of a read see one state, which has been; a change has to see what it waited for.
        self._reads = self._pool.execution_options(isolation_level="REPEATABLE READ")

    def check_present(self) -> None:
        """Do nothing: a missing database is an error of the connection."""

    async def run(self, work: Callable[[Connection], T], *, change: bool) -> T:
        """Run `work` on the loop, giving way at each statement."""
        async with (self._pool if change else self._reads).begin() as connection:
            return await connection.run_sync(work)

    async def close(self) -> None:
        """Close the pooled connections."""
        await self._pool.dispose()

    def check_sound(self, connection: Connection, *, thorough: bool) -> None:
        """Do nothing: the server looks after its own files."""

    @property
    def conninfo(self) -> str:
        """The URL as libpq reads it."""
        return self.url.render_as_string(hide_password=False)

    def open_ledger(self) -> LedgerConnection:
        """Open the ledger's connection."""
        with driver_errors:
            return PostgresLedger(psycopg.connect(self.conninfo, autocommit=True, prepare_threshold=0, **self.settings))

    async def open_versions(self) -> VersionReader:
        """Open the connection that reads the registry version."""
        with driver_errors:
            return PostgresVersions(
                await psycopg.AsyncConnection.connect(
                    self.conninfo, autocommit=True, prepare_threshold=0, **self.settings
                )
            )

    def unavailable(self, error: DBAPIError) -> StoreUnavailable:
        """Return what to raise for an error of the driver."""
        return StoreUnavailable(str(error.orig))

    def lock_registry(self, connection: Connection) -> None:
        """Take the registry lock alone."""
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": REGISTRY_LOCK})


class PostgresLedger:
    """See `LedgerConnection`."""

    # The lock is fair: a change that waits is not overtaken by batches that come later.
    begin_statements = f"BEGIN; SELECT pg_advisory_xact_lock_shared({REGISTRY_LOCK}); {READ_VERSION}"
    copy_events = f"COPY event ({', '.join(EVENT_COLUMNS)}) FROM STDIN"
    save_head = SAVE_HEAD.format("%s")
    save_checkpoint = SAVE_CHECKPOINT.format("%s")

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def begin(self) -> int:
        """See `LedgerConnection.begin`; one round trip."""
        with driver_errors:
            cursor = self._connection.execute(self.begin_statements, prepare=False)
            while cursor.nextset():
                pass
            row = cursor.fetchone()
        if row is None:
            raise StoreUnavailable("the registry table is empty")
        return int(row[0])

    def changes_since(self, version: int) -> list[tuple[int, str]]:
        """See `LedgerConnection.changes_since`."""
        with driver_errors:
            return self._connection.execute(
                "SELECT version, entry FROM registry_change WHERE version > %s", (version,)
            ).fetchall()

    def commit(
        self, events: Sequence[Sequence[Any]], before: str, head: tuple[str, int, str, str], checkpoint: Any
    ) -> None:
        """See `LedgerConnection.commit`."""
        with driver_errors:
            self._copy(events)
            with self._connection.pipeline():
                self._connection.execute(self.save_head, (*head, before))
                if checkpoint is not None:
                    self._connection.execute(self.save_checkpoint, checkpoint)
                self._connection.execute("COMMIT")

    def _copy(self, rows: Iterable[Sequence[Any]]) -> None:
        with self._connection.cursor() as cursor, cursor.copy(self.copy_events) as copy:
            for row in rows:
                copy.write_row(row)

    def last_link(self, writer: str) -> str | None:
        """See `LedgerConnection.last_link`."""
        # The lock waits for a commit of a connection that is lost to us and still at work in the server.
        query = "SELECT head FROM audit_chain WHERE writer = %s FOR UPDATE"
        with driver_errors:
            row = self._connection.execute(query, (writer,)).fetchone()
        return None if row is None else str(row[0])

    def rollback(self) -> None:
        """See `LedgerConnection.rollback`."""
        with suppress(psycopg.Error):
            self._connection.execute("ROLLBACK")

    def close(self) -> None:
        """See `LedgerConnection.close`."""
        with suppress(psycopg.Error):
            self._connection.close()


class PostgresVersions:
    """See `VersionReader`."""

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self._connection = connection

    async def read(self, since: int) -> tuple[int, list[str] | None]:
        """See `VersionReader.read`."""
        with driver_errors:
            row = await (await self._connection.execute(READ_VERSION)).fetchone()
            if row is None:
                raise StoreUnavailable("the registry table is empty")
            version = int(row[0])
            if version == since:
                return version, []
            if version - since >= CHANGES_KEPT // 2 or version < since:
                return version, None
            rows = await self._connection.execute("SELECT entry FROM registry_change WHERE version > %s", (since,))
            return version, [entry for (entry,) in await rows.fetchall()]

    async def close(self) -> None:
        """See `VersionReader.close`."""
        with suppress(psycopg.Error):
            await self._connection.close()
