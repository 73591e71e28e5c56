"""The ledger: durable before the answer, and the flush shared by all who wait (DESIGN 3.1).

What arrives while one transaction is being written waits and goes into the next one. The answer to a request leaves
after the commit that holds its event; a full ledger refuses instead of dropping.
"""

import asyncio
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple, Protocol

from aldaba.errors import Overloaded, StoreUnavailable
from aldaba.model.events import Event
from aldaba.store.engines import CHANGES_KEPT, Engine, LedgerConnection
from aldaba.store.registry import Basis


class Moved(Exception):
    """An entry that the decision looked at has changed since: nothing was written, decide again on fresh data."""


class Chain(Protocol):
    """Links events into a chain that shows when one is changed, removed or cut off."""

    writer: str
    last: str

    def link(self, events: Sequence[Event]) -> list[tuple[Any, ...]]:
        """Return the rows of the next events; the chain does not move on before `advance`."""

    def head(self) -> tuple[str, int, str, str]:
        """Return (writer, length, link of the last event, seal) as of the last `link`."""

    def checkpoint(self) -> tuple[Any, ...] | None:
        """Return a signed checkpoint when one is due as of the last `link`."""

    def advance(self, last: str) -> None:
        """Take over what a `link` made that ended with this link: it is committed.

        Raises:
            StoreUnavailable: none did.
        """


class _Entry(NamedTuple):
    event: Event
    basis: Basis | None
    waiter: asyncio.Future[None]
    since: float


class Ledger:
    """Writes events, many to a transaction, from a thread of its own.

    Args:
        capacity: how many entries may wait before new ones are refused.
        max_batch: how many go into one transaction.
    """

    def __init__(self, engine: Engine, chain: Chain, *, capacity: int, max_batch: int) -> None:
        self._engine = engine
        self._chain = chain
        self._capacity = capacity
        self._max_batch = max_batch
        self._entries: list[_Entry] = []
        self._busy = False
        self._batch: list[_Entry] = []
        self._wake = threading.Semaphore(0)
        self._stopping = False
        self._connection: LedgerConnection | None = None
        # A commit was not answered: it may have happened, or may still happen.
        self._unsettled = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to write. The running loop is the one that waits."""
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)
        self._thread.start()

    async def write(self, event: Event, basis: Basis | None = None) -> None:
        """Return once `event` is committed.

        Args:
            basis: what the decision rests on. With it, the event is written only if none of these entries has changed.

        Raises:
            Moved: one has; decide again.
            Overloaded: too many wait already.
            StoreUnavailable: it could not be committed in time.
        """
        if len(self._entries) >= self._capacity or self._stopping:
            raise Overloaded
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._entries.append(_Entry(event, basis, waiter, self._loop.time()))
        if not self._busy:
            # Once per round of the loop, so that what arrived together is written together.
            self._busy = True
            self._loop.call_soon(self._hand_over)
        await waiter

    def expire(self, timeout_s: float) -> None:
        """Fail the entries that have waited longer than `timeout_s`; called a few times a second.

        One that is being written may still be committed: it was not acknowledged, and the audit log will tell.
        """
        limit = self._loop.time() - timeout_s
        for entry in (*self._batch, *self._entries):
            if entry.since < limit and not entry.waiter.done():
                entry.waiter.set_exception(StoreUnavailable("the ledger could not write in time"))
        self._entries = [entry for entry in self._entries if not entry.waiter.done()]

    @property
    def writer(self) -> str:
        """The name under which this ledger's events are chained."""
        return self._chain.writer

    @property
    def waiting(self) -> int:
        """How many entries are not committed yet."""
        return len(self._entries) + len(self._batch)

    async def stop(self) -> None:
        """Take nothing more, write what waits, and end the thread. What the store does not take in time is given up."""
        self._stopping = True
        until = self._loop.time() + self._engine.timeout_s
        while self._busy and self._loop.time() < until:  # noqa: ASYNC110 - once in a life; an event costs every batch
            await asyncio.sleep(0.005)
        self.expire(0.0)
        if self._busy:
            # The thread hangs in the driver, and ends with the process.
            return
        self._wake.release()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, self._engine.timeout_s)

    # -- on the loop --------------------------------------------------------------------------------------------------

    def _hand_over(self) -> None:
        self._batch, self._entries = self._entries[: self._max_batch], self._entries[self._max_batch :]
        if not self._batch:
            self._busy = False
            return
        self._wake.release()

    def _written(self, moved: Sequence[_Entry], error: Exception | None) -> None:
        batch, self._batch = self._batch, []
        for entry in moved:
            if not entry.waiter.done():
                entry.waiter.set_exception(Moved())
        for entry in batch:
            if entry.waiter.done():
                continue
            if error is None:
                entry.waiter.set_result(None)
            else:
                entry.waiter.set_exception(error)
        self._hand_over()

    # -- in the thread ------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            self._wake.acquire()
            if not self._batch:
                break
            moved: list[_Entry] = []
            error: Exception | None = None
            try:
                moved = self._write(self._batch)
            except StoreUnavailable as unavailable:
                error = unavailable
            except Exception as unforeseen:  # noqa: BLE001 - whatever it is, the callers must get an answer
                self._drop_connection()
                error = unforeseen
            with suppress(RuntimeError):  # the loop has gone: nobody waits any more
                self._loop.call_soon_threadsafe(self._written, moved, error)
        self._drop_connection()

    def _write(self, batch: Sequence[_Entry]) -> list[_Entry]:
        """Commit `batch`; return the entries that were left out because what they rest on has moved."""
        connection = self._connect()
        try:
            version = connection.begin()
            self._settle(connection)
            moved = _moved(connection, batch, version)
            left_out = {id(entry) for entry in moved}
            events = [entry.event for entry in batch if id(entry) not in left_out]
            if not events:
                connection.rollback()
                return moved
            self._commit(connection, self._chain.link(events))
        except StoreUnavailable:
            self._drop_connection()
            raise
        return moved

    def _commit(self, connection: LedgerConnection, rows: Sequence[tuple[Any, ...]]) -> None:
        head = self._chain.head()
        try:
            connection.commit(rows, self._chain.last, head, self._chain.checkpoint())
        except StoreUnavailable:
            self._unsettled = True
            self._drop_connection()
            self._settle(self._connect())
            if self._chain.last != head[2]:
                raise
        else:
            self._chain.advance(head[2])

    def _settle(self, connection: LedgerConnection) -> None:
        """After a commit without an answer, go on from where the chain stands in the database (threats K5)."""
        if not self._unsettled:
            return
        last = connection.last_link(self._chain.writer)
        if last is not None:
            self._chain.advance(last)
        self._unsettled = False

    def _connect(self) -> LedgerConnection:
        if self._connection is None:
            self._connection = self._engine.open_ledger()
        return self._connection

    def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            # That undoes what was begun, too, and waits for nobody.
            connection.close()


def _moved(connection: LedgerConnection, batch: Sequence[_Entry], version: int) -> list[_Entry]:
    oldest = min((entry.basis.version for entry in batch if entry.basis is not None), default=version)
    if oldest == version:
        return []
    # A version behind the view's is that of a backup which was restored under a running process (threats K7).
    if not 0 <= version - oldest < CHANGES_KEPT // 2:
        return [entry for entry in batch if entry.basis is not None]
    changed: dict[str, int] = {}
    for at, name in connection.changes_since(oldest):
        changed[name] = max(at, changed.get(name, at))
    return [entry for entry in batch if entry.basis is not None and _rests_on(entry.basis, changed)]


def _rests_on(basis: Basis, changed: dict[str, int]) -> bool:
    return any(changed.get(entry, -1) > basis.version for entry in basis.entries)
