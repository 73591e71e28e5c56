"""The registry view: cached reads that are never stale (DESIGN 3.1).

Each entry is a value that decisions need (a client with its credentials, a partner, the keys of a service), under a
name like `client/acme`. Every change of the registry counts its version up and names the entries it touched; a view
forgets just those. `fresh` is the only moment at which freshness is decided.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from sqlalchemy import Connection

from aldaba.errors import StoreUnavailable
from aldaba.store.database import Database
from aldaba.store.engines import VersionReader

Loader = Callable[[Connection, str], Any]


class Basis(NamedTuple):
    """What a decision rests on: the version of the view, and the entries it looked at."""

    version: int
    entries: tuple[str, ...]


class _Load:
    """A read under way; stale when the entry was changed meanwhile."""

    def __init__(self, future: asyncio.Future[Any]) -> None:
        self.future = future
        self.stale = False


class RegistryView:
    """The cached registry of one process.

    Args:
        loaders: for each kind of entry, how to read one by its key; None where there is none.
        capacity: how many entries are kept of each kind (and how many names that do not exist).
    """

    def __init__(self, database: Database, loaders: Mapping[str, Loader], *, capacity: int) -> None:
        self._database = database
        self._loaders = loaders
        self._capacity = capacity
        self._kept: dict[str, OrderedDict[str, Any]] = {kind: OrderedDict() for kind in loaders}
        # Names that do not exist have a place of their own, so that inventing names evicts nobody.
        self._absent: OrderedDict[str, None] = OrderedDict()
        self._loads: dict[str, _Load] = {}
        self._reader: VersionReader | None = None
        self._waiting: list[asyncio.Future[None]] = []
        self._served: list[asyncio.Future[None]] = []
        self._reading: asyncio.Task[None] | None = None
        self._reading_since = 0.0
        # Reads that were given up on, until the driver has let go of them.
        self._given_up: set[asyncio.Task[None]] = set()
        self.version = -1

    async def get(self, kind: str, key: str) -> Any:
        """Return the entry `kind/key`, or None where the registry has none.

        It is as fresh as the last `fresh` that ended before the call.
        """
        kept = self._kept[kind]
        try:
            value = kept[key]
        except KeyError:
            return await self._load(kind, key)
        kept.move_to_end(key)
        return value

    async def fresh(self) -> None:
        """Join the next read of the registry version that starts from now on, and forget what it says has changed.

        Raises:
            StoreUnavailable: the version could not be read; nothing may be decided.
        """
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        self._waiting.append(waiter)
        if self._reading is None:
            self._reading_since = loop.time()
            self._reading = loop.create_task(self._read_versions())
        await waiter

    def expire(self, timeout_s: float) -> None:
        """Fail the readers that have waited longer than `timeout_s`; called a few times a second."""
        reading = self._reading
        if reading is None or asyncio.get_running_loop().time() - self._reading_since < timeout_s:
            return
        # The driver may take long to stop: nobody waits for it, and the next read has a connection of its own.
        self._given_up.add(reading)
        reading.add_done_callback(self._given_up.discard)
        reading.cancel()
        self._fail(StoreUnavailable("the registry version could not be read in time"))

    async def close(self) -> None:
        """Give the version reader's connection back."""
        self.expire(0.0)
        if self._given_up:
            await asyncio.wait(self._given_up, timeout=self._database.engine.timeout_s)
        reader, self._reader = self._reader, None
        if reader is not None:
            await reader.close()

    # -- the version --------------------------------------------------------------------------------------------------

    async def _read_versions(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                self._served, self._waiting = self._waiting, []
                self._reading_since = loop.time()
                await self._read_version()
                for waiter in self._served:
                    if not waiter.done():
                        waiter.set_result(None)
                self._served = []
            self._reading = None
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait must get an answer
            self._fail(error)

    async def _read_version(self) -> None:
        # While the connection is at work it is this read's own: it is closed with a read that fails or is given up.
        reader, self._reader = self._reader, None
        if reader is None:
            reader = await self._database.engine.open_versions()
        try:
            version, entries = await reader.read(self.version)
        except BaseException:
            await reader.close()
            raise
        self._reader = reader
        if version != self.version:
            self._forget(entries)
            self.version = version

    def _fail(self, error: Exception) -> None:
        waiters, self._served, self._waiting = self._served + self._waiting, [], []
        self._reading = None
        for waiter in waiters:
            if not waiter.done():
                waiter.set_exception(error)

    def _forget(self, entries: list[str] | None) -> None:
        if entries is None:
            for kept in self._kept.values():
                kept.clear()
            self._absent.clear()
            for load in self._loads.values():
                load.stale = True
            return
        for entry in entries:
            kind, _, key = entry.partition("/")
            # A newer program may have kinds of entries that this one keeps nothing of.
            if kind in self._kept:
                self._kept[kind].pop(key, None)
            self._absent.pop(entry, None)
            if entry in self._loads:
                self._loads[entry].stale = True

    # -- the entries --------------------------------------------------------------------------------------------------

    async def _load(self, kind: str, key: str) -> Any:
        entry = f"{kind}/{key}"
        if entry in self._absent:
            self._absent.move_to_end(entry)
            return None
        if entry in self._loads:
            return await asyncio.shield(self._loads[entry].future)
        return await self._load_alone(kind, key, entry)

    async def _load_alone(self, kind: str, key: str, entry: str) -> Any:
        load = _Load(asyncio.get_running_loop().create_future())
        self._loads[entry] = load
        try:
            while True:
                load.stale = False
                value = await self._database.look_up(self._loaders[kind], key)
                # The view may have been told, while the read was under way, of a change the read did not see.
                if not load.stale:
                    break
        except BaseException as error:
            load.future.set_exception(error if isinstance(error, Exception) else StoreUnavailable("cancelled"))
            load.future.exception()
            raise
        finally:
            del self._loads[entry]
        self._keep(kind, key, entry, value)
        load.future.set_result(value)
        return value

    def _keep(self, kind: str, key: str, entry: str, value: Any) -> None:
        if value is None:
            self._absent[entry] = None
            if len(self._absent) > self._capacity:
                self._absent.popitem(last=False)
            return
        kept = self._kept[kind]
        kept[key] = value
        if len(kept) > self._capacity:
            kept.popitem(last=False)
