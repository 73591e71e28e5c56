"""SQLite: one file of this machine, in WAL mode, flushed at every commit."""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, create_engine, event
from sqlalchemy import Engine as SyncEngine
from sqlalchemy.exc import DBAPIError

from aldaba.errors import Damaged, StoreUnavailable
from aldaba.store.engines import (
    CHANGES_KEPT,
    EVENT_COLUMNS,
    READ_VERSION,
    SAVE_CHECKPOINT,
    SAVE_HEAD,
    LedgerConnection,
    T,
    Translating,
    VersionReader,
)

driver_errors = Translating(sqlite3.Error)


class Sqlite:
    """See `Engine`."""

    name = "sqlite"
    single_process = True

    def __init__(self, path: Path, *, timeout_s: float) -> None:
        self.path = path
        self.timeout_s = timeout_s
        self._pool = _pool(path, timeout_s)
        self._threads = ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="sqlite")

    def check_present(self) -> None:
        """Raise `Damaged` where the file is missing or empty: an empty registry must never stand in for a lost one."""
        if not self.path.is_file() or self.path.stat().st_size == 0:
            raise Damaged(
                f"the database file {self.path} is missing or empty; restore it, or run 'aldaba init' for a new one"
            )

    async def run(self, work: Callable[[Connection], T], *, change: bool) -> T:
        """Run `work` in a thread: one way there and back, whatever the number of its statements."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._run, work, change)

    def _run(self, work: Callable[[Connection], T], change: bool) -> T:  # noqa: FBT001 - from `run` alone
        # A change begins with the write lock, so that it never has to upgrade a read.
        with self._pool.connect().execution_options(begin="BEGIN IMMEDIATE" if change else "BEGIN") as connection:
            result = work(connection)
            connection.commit()
            return result

    async def close(self) -> None:
        """Close the pooled connections."""
        self._pool.dispose()
        self._threads.shutdown(wait=False)

    def connect(self) -> sqlite3.Connection:
        """Open a connection outside the pool."""
        with driver_errors:
            connection = sqlite3.connect(
                self.path, isolation_level=None, check_same_thread=False, timeout=self.timeout_s, cached_statements=32
            )
            for pragma in PRAGMAS:
                connection.execute(pragma)
        return connection

    def open_ledger(self) -> LedgerConnection:
        """Open the ledger's connection."""
        return SqliteLedger(self.connect())

    async def open_versions(self) -> VersionReader:
        """Open the connection that reads the registry version."""
        return SqliteVersions(self.connect())

    def unavailable(self, error: DBAPIError) -> StoreUnavailable:
        """Return what to raise for an error of the driver: `Damaged` where the file is not whole."""
        if getattr(error.orig, "sqlite_errorname", None) in DAMAGE:
            return Damaged(f"the database is damaged ({error.orig}); restore a backup")
        return StoreUnavailable(str(error.orig))

    def lock_registry(self, connection: Connection) -> None:
        """Do nothing: `BEGIN IMMEDIATE` holds the only write lock there is."""

    def check_sound(self, connection: Connection, *, thorough: bool) -> None:
        """Raise `Damaged` where the file is not whole. A large one is read in full only when asked to."""
        if not thorough and self.path.stat().st_size > LARGE:
            return
        fault = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one()
        if fault != "ok":
            raise Damaged(f"the database is damaged ({fault}); restore a backup")


def _pool(path: Path, timeout_s: float) -> SyncEngine:
    engine = create_engine(
        f"sqlite:///{path}",
        connect_args={"timeout": timeout_s, "check_same_thread": False},
        pool_size=CONNECTIONS,
        max_overflow=0,
        pool_timeout=timeout_s,
        hide_parameters=True,
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        # We begin transactions ourselves: the driver would begin them late.
        connection.isolation_level = None
        for pragma in PRAGMAS:
            connection.execute(pragma)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN"))

    return engine


# Reads of entries that are not in the view, and changes; requests have their own two connections.
CONNECTIONS = 4
# Checking so many bytes at every start takes about a tenth of a second.
LARGE = 64 * 1024 * 1024
DAMAGE = ("SQLITE_CORRUPT", "SQLITE_NOTADB")
# In WAL mode only FULL flushes at each commit (threats section 12).
PRAGMAS = ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL", "PRAGMA foreign_keys=ON")


class SqliteLedger:
    """See `LedgerConnection`."""

    insert_event = f"INSERT INTO event ({', '.join(EVENT_COLUMNS)}) VALUES ({', '.join('?' * len(EVENT_COLUMNS))})"  # noqa: S608 - constants
    save_head = SAVE_HEAD.format("?")
    save_checkpoint = SAVE_CHECKPOINT.format("?")

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def begin(self) -> int:
        """See `LedgerConnection.begin`."""
        with driver_errors:
            self._connection.execute("BEGIN IMMEDIATE")
            return int(self._connection.execute(READ_VERSION).fetchone()[0])

    def changes_since(self, version: int) -> list[tuple[int, str]]:
        """See `LedgerConnection.changes_since`."""
        with driver_errors:
            return self._connection.execute(
                "SELECT version, entry FROM registry_change WHERE version > ?", (version,)
            ).fetchall()

    def commit(
        self, events: Sequence[Sequence[Any]], before: str, head: tuple[str, int, str, str], checkpoint: Any
    ) -> None:
        """See `LedgerConnection.commit`."""
        execute = self._connection.execute
        with driver_errors:
            self._connection.executemany(self.insert_event, events)
            execute(self.save_head, (*head, before))
            if checkpoint is not None:
                execute(self.save_checkpoint, checkpoint)
            execute("COMMIT")

    def last_link(self, writer: str) -> str | None:
        """See `LedgerConnection.last_link`."""
        with driver_errors:
            row = self._connection.execute("SELECT head FROM audit_chain WHERE writer = ?", (writer,)).fetchone()
        return None if row is None else str(row[0])

    def rollback(self) -> None:
        """See `LedgerConnection.rollback`."""
        # SQLite has rolled back by itself after some errors (disk full, I/O).
        if self._connection.in_transaction:
            with suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")

    def close(self) -> None:
        """See `LedgerConnection.close`."""
        self._connection.close()


class SqliteVersions:
    """Reads on the event loop itself: 6 microseconds there, more than ten times that through another thread."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._connection.execute("PRAGMA query_only=ON")

    async def read(self, since: int) -> tuple[int, list[str] | None]:
        """See `VersionReader.read`."""
        with driver_errors:
            version = int(self._connection.execute(READ_VERSION).fetchone()[0])
            if version == since:
                return version, []
            if version - since >= CHANGES_KEPT // 2 or version < since:
                return version, None
            rows = self._connection.execute("SELECT entry FROM registry_change WHERE version > ?", (since,))
            return version, [entry for (entry,) in rows]

    async def close(self) -> None:
        """See `VersionReader.close`."""
        self._connection.close()
