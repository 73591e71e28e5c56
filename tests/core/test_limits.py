"""Waits after failures, and requests per minute: in memory and on a real Redis (threats B3 to B8)."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
import pytest

from aldaba.core.issue import issue
from aldaba.core.limits import DAY_S, LADDER, BoundedMemory, Limits, storage_for, wait_after
from aldaba.errors import Reason, Refusal, StoreUnavailable
from aldaba.model.calls import NameAndKey
from tests.installation import Installation, fleet_client
from tests.parts import needs
from tests.server.serving import free_port

pytestmark = pytest.mark.anyio


class Now:
    """A clock that stands still until it is told to go on."""

    def __init__(self) -> None:
        self.seconds = 1_800_000_000.0

    def __call__(self) -> float:
        return self.seconds


def in_memory(now: Callable[[], float], *, capacity: int = 1000, failures_per_minute: int = 1000) -> Limits:
    return Limits(BoundedMemory(capacity, now), now, failures_per_minute=failures_per_minute)


async def fail(limits: Limits, name: str = "acme", network: str = "192.0.2.1/32") -> tuple[Reason, int | None]:
    """Try with a wrong key; return what the try was refused for, and how long to wait."""
    with pytest.raises(Refusal) as refused:
        async with limits.attempt("fleet", name, network):
            raise Refusal(Reason.CREDENTIAL_WRONG)
    return refused.value.reason, refused.value.retry_after_s


async def test_b4_the_ladder_of_waits_is_climbed_to_the_end() -> None:
    now = Now()
    limits = in_memory(now)
    waits = []
    for _ in range(100):
        assert (Reason.CREDENTIAL_WRONG, None) == await fail(limits)
        reason, wait_s = await fail(limits)
        assert Reason.TOO_MANY_FAILURES is reason
        assert wait_s is not None
        waits.append(wait_s)
        now.seconds += wait_s

    assert [1] * 2 + [3] * 6 + [5] * 16 + [10] * 75 + [DAY_S] == waits


def test_b4_the_waits_are_those_of_the_list() -> None:
    assert [0, 1, 1, 3, 3, 5, 5, 10, 10, DAY_S] == [
        wait_after(failures) for failures in (0, 1, 2, 3, 8, 9, 24, 25, 99, 100)
    ]
    assert ((1, 1), (3, 3), (9, 5), (25, 10), (100, DAY_S)) == LADDER


async def test_b5_the_owner_in_another_network_is_not_refused() -> None:
    limits = in_memory(Now())
    for _ in range(3):
        await fail(limits)

    async with limits.attempt("fleet", "acme", "198.51.100.1/32"):
        pass


async def test_b6_a_network_that_fails_too_often_is_told_so_and_right_keys_from_there_pass() -> None:
    limits = in_memory(Now(), failures_per_minute=30)
    reasons = [(await fail(limits, f"name {number}"))[0] for number in range(32)]

    assert [Reason.CREDENTIAL_WRONG] * 30 + [Reason.TOO_MANY_FAILURES] * 2 == reasons
    async with limits.attempt("fleet", "the owner", "192.0.2.1/32"):
        pass


async def test_b7_tries_in_parallel_are_evaluated_one_by_one(sqlite_installation: Installation) -> None:
    installation = sqlite_installation
    async with installation.registrar() as registrar, installation.core() as core:
        shown = await fleet_client(registrar)
        reasons: list[Reason] = []

        async def attempt() -> None:
            try:
                await issue(core, installation.call(address="192.0.2.7"), NameAndKey(shown.name, "aldk_wrong"))
            except Refusal as refusal:
                reasons.append(refusal.reason)

        async with anyio.create_task_group() as group:
            for _ in range(200):
                group.start_soon(attempt)

        assert 1 == reasons.count(Reason.CREDENTIAL_WRONG)
        assert 199 == reasons.count(Reason.TOO_MANY_FAILURES)


async def test_b7_a_restart_gives_nobody_new_tries(installation: Installation) -> None:
    from aldaba.core.audit import record_refusal  # noqa: PLC0415 - what the mount does with every refusal

    async with installation.registrar() as registrar:
        shown = await fleet_client(registrar)
        async with installation.core() as core:
            # Nine failures, as the audit log has them: the next wait is five seconds.
            for _ in range(9):
                call = installation.call(address="192.0.2.7")
                call.known.client = shown.name
                await record_refusal(core, call, Refusal(Reason.CREDENTIAL_WRONG))
        async with installation.core() as core:
            with pytest.raises(Refusal) as refused:
                await issue(core, installation.call(address="192.0.2.7"), shown)
            await issue(core, installation.call(address="192.0.2.8"), shown)

    assert Reason.TOO_MANY_FAILURES is refused.value.reason
    assert refused.value.retry_after_s is not None
    assert 3 <= refused.value.retry_after_s <= 5


async def test_b7_addresses_of_one_ipv6_network_count_together(sqlite_installation: Installation) -> None:
    installation = sqlite_installation
    async with installation.registrar() as registrar, installation.core() as core:
        shown = await fleet_client(registrar)
        reasons = []
        for address in ("2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"):
            try:
                await issue(core, installation.call(address=address), NameAndKey(shown.name, "aldk_wrong"))
            except Refusal as refusal:
                reasons.append(refusal.reason)

        assert [Reason.CREDENTIAL_WRONG, Reason.TOO_MANY_FAILURES, Reason.CREDENTIAL_WRONG] == reasons


async def test_b3_spellings_of_one_name_have_one_counter(sqlite_installation: Installation) -> None:
    installation = sqlite_installation
    async with installation.registrar() as registrar, installation.core() as core:
        await fleet_client(registrar, "acme fleet")
        reasons = []
        for name in ("acme fleet", "ACME  Fleet", "\uff41cme fleet"):
            try:
                await issue(core, installation.call(address="192.0.2.7"), NameAndKey(name, "aldk_wrong"))
            except Refusal as refusal:
                reasons.append(refusal.reason)

        assert [Reason.CREDENTIAL_WRONG, Reason.TOO_MANY_FAILURES, Reason.TOO_MANY_FAILURES] == reasons


async def test_b8_invented_names_do_not_fill_the_memory() -> None:
    now = Now()
    counters = BoundedMemory(100, now)
    limits = Limits(counters, now, failures_per_minute=10**9)
    for number in range(1000):
        await fail(limits, f"invented {number}")

    assert 100 == len(counters)


async def test_a_counter_ends_by_itself() -> None:
    now = Now()
    counters = BoundedMemory(10, now)
    await counters.incr("x", 60)
    assert 2 == await counters.incr("x", 60)
    now.seconds += 60

    assert 0 == await counters.get("x")
    assert 1 == await counters.incr("x", 60)


async def test_requests_are_counted_in_the_minute_and_the_day_and_one_too_many_is_told_when_to_come_back() -> None:
    now = Now()
    now.seconds = now.seconds // 60 * 60 + 20
    limits = in_memory(now)

    async def noted(_client: str) -> int:
        return 7

    usages = []
    refusals = []
    for _ in range(3):
        usage, refusal = await limits.count_request("client", 2, noted)
        usages.append((usage.minute, usage.day))
        refusals.append(None if refusal is None else (refusal.reason, refusal.retry_after_s))
    now.seconds += 40
    usage, refusal = await limits.count_request("client", 2, noted)

    assert [(1, 8), (2, 9), (3, 10)] == usages
    assert [None, None, (Reason.TOO_MANY_REQUESTS, 40)] == refusals
    assert (1, 11) == (usage.minute, usage.day)
    assert refusal is None


# -- counting together ------------------------------------------------------------------------------------------------


@asynccontextmanager
async def redis() -> AsyncIterator[str]:
    """Run a Redis of our own."""
    port = free_port()
    command = [str(needs("redis-server")), "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.DEVNULL)
    try:
        for _ in range(100):
            with suppress(OSError):
                _reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                break
            await asyncio.sleep(0.05)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


@asynccontextmanager
async def together(url: str) -> AsyncIterator[Limits]:
    """Give the limits of a process that counts on Redis, which has a clock of its own."""
    limits = Limits(storage_for(url, capacity=10, now=time.time), time.time, failures_per_minute=1000, alone=False)
    try:
        yield limits
    finally:
        await limits.close()


async def test_b7_several_processes_count_on_one_redis() -> None:
    async with redis() as url, together(url) as one, together(url) as other:
        reasons = [(await fail(limits))[0] for limits in (one, other)]

        assert [Reason.CREDENTIAL_WRONG, Reason.TOO_MANY_FAILURES] == reasons


async def test_b7_tries_in_parallel_on_redis_are_at_most_one_for_each_process() -> None:
    async with redis() as url, together(url) as one, together(url) as other:
        processes = [one, other]
        reasons: list[Reason] = []

        async def attempt(limits: Limits) -> None:
            reasons.append((await fail(limits))[0])

        async with anyio.create_task_group() as group:
            for number in range(100):
                group.start_soon(attempt, processes[number % 2])

        assert reasons.count(Reason.CREDENTIAL_WRONG) in (1, 2)


async def test_requests_are_counted_together_on_redis() -> None:
    async def noted(_client: str) -> int:
        return 0

    async with redis() as url, together(url) as one, together(url) as other:
        usages: list[Any] = []
        for limits in (one, other):
            usage, _refusal = await limits.count_request("client", 0, noted)
            usages.append(usage.day)

        assert [1, 2] == usages


async def test_when_the_counters_are_away_nobody_is_let_in() -> None:
    async with together(f"redis://127.0.0.1:{free_port()}/0") as limits:
        with pytest.raises(StoreUnavailable, match="the counters' storage does not answer"):
            async with limits.attempt("fleet", "acme", "192.0.2.1/32"):
                pass
