"""How often is too often: failures per name and source network, and requests per client.

The counters stand on the `limits` library's storages: a bounded one in memory for one process, Redis or Valkey when
several must count together. Only failures make anybody wait (threats B4 to B8).
"""

import asyncio
import math
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from limits.errors import StorageError

from aldaba.errors import Reason, Refusal, StoreUnavailable
from aldaba.model.calls import Usage

DAY_S = 86_400
MINUTE_S = 60
# So many names can be tried at the same time before their locks are looked through.
LOCKS = 1_000

# In the detail of a refusal that was due to the network, and was a failure of the name as well.
THIS_ONE_FAILED = "; this one: "

# (from this many failures on, wait so long before the next try); at the last the door stays shut for a day.
LADDER = ((1, 1), (3, 3), (9, 5), (25, 10), (100, DAY_S))


def wait_after(failures: int) -> int:
    """Return how many seconds the next try has to wait after so many failures (threats B4)."""
    return next((wait for least, wait in reversed(LADDER) if failures >= least), 0)


class Counters(Protocol):
    """Counters that end by themselves: the part of the `limits` library's storages that is used here."""

    async def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Add to a counter that ends `expiry` seconds after it began, and return it."""

    async def get(self, key: str) -> int:
        """Return a counter's value, 0 when it has ended."""

    async def get_expiry(self, key: str) -> float:
        """Return when a counter ends, in seconds since 1970."""

    async def close(self) -> None:
        """Give connections back."""


class BoundedMemory:
    """Counters of one process: at most `capacity` of them, the longest unused forgotten first (threats B8).

    The library's own memory storage looks at every key on every increment, and keeps as many as it is given.
    """

    def __init__(self, capacity: int, now: Callable[[], float]) -> None:
        self._capacity = capacity
        self._now = now
        self._counters: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._counters)

    async def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """See `Counters.incr`."""
        now = self._now()
        count, ends = self._counters.get(key, (0, 0.0))
        count, ends = (count + amount, ends) if ends > now else (amount, now + expiry)
        self._counters[key] = (count, ends)
        self._counters.move_to_end(key)
        if len(self._counters) > self._capacity:
            self._counters.popitem(last=False)
        return count

    async def get(self, key: str) -> int:
        """See `Counters.get`."""
        if key not in self._counters:
            return 0
        count, ends = self._counters[key]
        return count if ends > self._now() else 0

    async def get_expiry(self, key: str) -> float:
        """See `Counters.get_expiry`."""
        return self._counters.get(key, (0, self._now()))[1]

    async def close(self) -> None:
        """See `Counters.close`."""


class SharedCounters:
    """Counters on a Redis or Valkey server, for processes that count together."""

    def __init__(self, url: str) -> None:
        # Its client is seven megabytes that one process alone need not hold.
        from limits.aio.storage import RedisStorage  # noqa: PLC0415

        # Valkey speaks the same protocol; one client library serves both.
        address = f"async+{url.replace('valkey', 'redis', 1)}"
        self._storage = RedisStorage(
            address, implementation="redispy", key_prefix="aldaba", wrap_exceptions=True, socket_timeout=1.0
        )

    async def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """See `Counters.incr`."""
        return await self._storage.incr(key, expiry, amount)

    async def get(self, key: str) -> int:
        """See `Counters.get`."""
        return await self._storage.get(key)

    async def get_expiry(self, key: str) -> float:
        """See `Counters.get_expiry`."""
        return await self._storage.get_expiry(key)

    async def close(self) -> None:
        """See `Counters.close`."""
        bridge: Any = self._storage.bridge
        await bridge.storage.aclose()


class Limits:
    """The counters of failures and requests.

    Args:
        now: seconds since 1970, as the storage's expiries are.
        failures_per_minute: failures from one source network after which each further one is answered "too many".
    """

    def __init__(
        self, storage: Counters, now: Callable[[], float], *, failures_per_minute: int, alone: bool = True
    ) -> None:
        self._storage = storage
        self._now = now
        self._failures_per_minute = failures_per_minute
        # With counters elsewhere, looking and counting are two steps: tries for one name then go one after the other,
        # so that in parallel no more are evaluated than in sequence (threats B7).
        self._locks: OrderedDict[str, asyncio.Lock] | None = None if alone else OrderedDict()

    async def close(self) -> None:
        """Give the storage's connections back."""
        await self._storage.close()

    def attempt(self, service: str, name: str, network: str) -> "Attempt":
        """Guard the evaluation of a secret for a name from a network: `async with limits.attempt(...)`.

        A `Refusal` inside counts as a failure.

        Raises:
            Refusal: `TOO_MANY_FAILURES`, with the seconds to wait.
        """
        return Attempt(self, f"{service}/{name}/{network}", network)

    def lock(self, key: str) -> asyncio.Lock | None:
        """Return what keeps tries for one name one after the other; None where counting needs no waiting."""
        if self._locks is None:
            return None
        lock = self._locks.setdefault(key, asyncio.Lock())
        # So that no flood of other names can push out a lock that somebody waits for.
        self._locks.move_to_end(key)
        while len(self._locks) > LOCKS and not self._locks[first := next(iter(self._locks))].locked():
            del self._locks[first]
        return lock

    async def require_no_wait(self, key: str) -> None:
        """Refuse while a wait after failures is running."""
        with _Reachable():
            if not await self._storage.get(f"wait/{key}"):
                return
            ends = await self._storage.get_expiry(f"wait/{key}")
        wait_s = max(1, math.ceil(ends - self._now()))
        raise Refusal(
            Reason.TOO_MANY_FAILURES,
            "this name has failed too often from this network",
            expected="no try for this name from this network before the wait is over; tries until then do not count",
            seen=f"{wait_s} s left to wait",
            retry_after_s=wait_s,
        )

    async def count_failure(self, key: str, network: str, refusal: Refusal) -> None:
        """Count a failure, and refuse in its place when its network has had too many."""
        with _Reachable():
            failures = await self._storage.incr(f"failed/{key}", DAY_S)
            await self._storage.incr(f"wait/{key}", wait_after(failures))
            from_network = await self._storage.incr(f"network/{network}", MINUTE_S)
        if from_network > self._failures_per_minute:
            raise Refusal(
                Reason.TOO_MANY_FAILURES,
                f"too many failures from {network}{THIS_ONE_FAILED}{refusal.reason.value}",
                expected=f"at most {self._failures_per_minute} failures a minute from one network",
                seen=f"{from_network}",
                retry_after_s=MINUTE_S,
            )

    async def restore(self, service: str, name: str, network: str, failures: int, last_s: float) -> None:
        """Take over failures that an earlier process has recorded, the last of them at `last_s`."""
        key = f"{service}/{name}/{network}"
        age_s = self._now() - last_s
        missing = failures - await self._storage.get(f"failed/{key}")
        if missing <= 0 or age_s >= DAY_S:
            return
        await self._storage.incr(f"failed/{key}", math.ceil(DAY_S - age_s), missing)
        left_s = math.ceil(wait_after(failures) - age_s)
        if left_s > 0:
            await self._storage.incr(f"wait/{key}", left_s)

    async def count_request(
        self, client_id: str, per_minute: int, noted_today: Callable[[str], Awaitable[int]]
    ) -> tuple[Usage, Refusal | None]:
        """Count a request of a client, and say whether it is one too many.

        Args:
            per_minute: how many it may make in one minute; 0 for any number.
            noted_today: asked for what the store knows of today when no counter for the day runs yet.

        Returns:
            The counts with this request, and a `TOO_MANY_REQUESTS` refusal to raise or None.
        """
        now = int(self._now())
        minute, day = now // MINUTE_S, now // DAY_S
        with _Reachable():
            in_minute = await self._storage.incr(f"minute/{client_id}/{minute}", MINUTE_S)
            in_day = await self._storage.incr(f"day/{client_id}/{day}", DAY_S)
            if in_day == 1 and (noted := await noted_today(client_id)):
                in_day = await self._storage.incr(f"day/{client_id}/{day}", DAY_S, noted)
            usage = Usage(in_minute, in_day)
            if not per_minute or in_minute <= per_minute:
                return usage, None
            counted = in_minute - await self._storage.get(f"refused/{client_id}/{minute}")
        if counted <= per_minute:
            return usage, None
        return usage, Refusal(
            Reason.TOO_MANY_REQUESTS,
            expected=f"at most {per_minute} requests in a minute",
            seen=f"{counted}",
            retry_after_s=MINUTE_S - now % MINUTE_S,
        )

    async def leave_out(self, client_id: str) -> None:
        """Take a request that was counted, and then refused, out of what the limit of its client looks at.

        Whoever has a token that was revoked must not use up the requests of the one whom it was stolen from.
        """
        with _Reachable():
            await self._storage.incr(f"refused/{client_id}/{int(self._now()) // MINUTE_S}", MINUTE_S)


class Attempt:
    """The evaluation of a secret for one name from one network. A class, since a generator costs the hot path more."""

    def __init__(self, limits: Limits, key: str, network: str) -> None:
        self._limits = limits
        self._key = key
        self._network = network
        self._lock = limits.lock(key)

    async def __aenter__(self) -> None:
        if self._lock is not None:
            await self._lock.acquire()
        try:
            await self._limits.require_no_wait(self._key)
        except BaseException:
            self._release()
            raise

    async def __aexit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _traceback: object
    ) -> None:
        try:
            if isinstance(error, Refusal):
                await self._limits.count_failure(self._key, self._network, error)
        finally:
            self._release()

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.release()


class _Reachable:
    """Turns the error of a counter storage that is away into `StoreUnavailable`: unknown means no."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _traceback: object) -> None:
        if isinstance(error, StorageError):
            raise StoreUnavailable(f"the counters' storage does not answer: {error}") from error


def storage_for(url: str, *, capacity: int, now: Callable[[], float]) -> Counters:
    """Return the counters' storage: `memory`, or a Redis or Valkey server by its URL."""
    return BoundedMemory(capacity, now) if url == "memory" else SharedCounters(url)
