"""What an engine is: all that differs between SQLite (`sqlite.py`) and PostgreSQL (`postgresql.py`).

An engine opens three kinds of connection: pooled ones for plain statements, one for the ledger's thread, and one that
reads the registry version.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from aldaba.errors import StoreUnavailable

T = TypeVar("T")

# Changes of the registry take this lock alone, batches of the ledger share it: a change waits for the batches that
# began before it, and no batch can begin before and commit after it. (On SQLite the one write lock does the same.)
REGISTRY_LOCK = 0x616C6461
# So many versions of the change log are kept. Who is further behind forgets everything instead.
CHANGES_KEPT = 100_000

READ_VERSION = "SELECT version FROM registry"
# A chain goes on from where it stands, or not at all: without its last link before, the new one is NULL and refused.
SAVE_HEAD = """
INSERT INTO audit_chain (writer, length, head, seal) VALUES ({0}, {0}, {0}, {0})
ON CONFLICT (writer) DO UPDATE SET length = excluded.length, seal = excluded.seal,
head = CASE WHEN audit_chain.head = {0} THEN excluded.head END
"""
SAVE_CHECKPOINT = "INSERT INTO audit_checkpoint (writer, seq, at_us, head, signature) VALUES ({0}, {0}, {0}, {0}, {0})"
# Serial columns number themselves.
EVENT_COLUMNS = (
    "writer seq at_us request_id action outcome reason service partner client credential address detail mac".split()
)


class Translating:
    """Turns a driver's errors into `StoreUnavailable`: `with driver_errors: ...`."""

    def __init__(self, error: type[Exception]) -> None:
        self._error = error

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: type[BaseException] | None, error: BaseException | None, _traceback: object) -> None:
        if isinstance(error, self._error):
            raise StoreUnavailable(str(error)) from error


class LedgerConnection(Protocol):
    """The connection of the ledger's thread: one transaction at a time."""

    def begin(self) -> int:
        """Begin to write, hold off changes of the registry, and return its version."""

    def changes_since(self, version: int) -> list[tuple[int, str]]:
        """Return the (version, entry) pairs of the registry's changes after `version`."""

    def commit(
        self, events: Sequence[Sequence[Any]], before: str, head: tuple[str, int, str, str], checkpoint: Any
    ) -> None:
        """Insert the events, save the head of their chain, and commit.

        Args:
            before: the link that the events go on from. Where the chain does not end with it, nothing is committed.
        """

    def last_link(self, writer: str) -> str | None:
        """Return the link that the chain of `writer` ends with, once no commit of it is under way any more."""

    def rollback(self) -> None:
        """Undo what was begun."""

    def close(self) -> None:
        """Give the connection back."""


class VersionReader(Protocol):
    """Reads the registry version, and what moved since a known one."""

    async def read(self, since: int) -> tuple[int, list[str] | None]:
        """Return the version and the entries changed after `since`; None for them when too many to tell."""

    async def close(self) -> None:
        """Give the connection back."""


class Engine(Protocol):
    """One of the two databases."""

    name: str
    single_process: bool
    timeout_s: float

    async def run(self, work: Callable[[Connection], T], *, change: bool) -> T:
        """Run `work` with a pooled connection in a transaction, and commit it.

        Args:
            change: it writes, so it begins as a writer.
        """

    async def close(self) -> None:
        """Close the pooled connections."""

    def open_ledger(self) -> LedgerConnection:
        """Open the ledger's connection."""

    async def open_versions(self) -> VersionReader:
        """Open the connection that reads the registry version."""

    def unavailable(self, error: DBAPIError) -> StoreUnavailable:
        """Return what to raise for an error of the driver: `Damaged` where the database is not whole."""

    def lock_registry(self, connection: Connection) -> None:
        """Keep ledger batches and other changes out until this transaction ends."""

    def check_present(self) -> None:
        """Raise `Damaged` where there is no database to open."""

    def check_sound(self, connection: Connection, *, thorough: bool) -> None:
        """Raise `Damaged` where the database is not whole.

        Args:
            thorough: read all of it, however long that takes.
        """
