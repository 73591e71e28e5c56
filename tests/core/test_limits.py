"""Waits after failures, and requests per minute: in memory and on a real Redis (threats B3 to B8)."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import pytest

from aldaba.core import Core
from aldaba.core.audit import record_refusal
from aldaba.core.authenticate import authenticate
from aldaba.core.clients import add_client
from aldaba.core.credentials import add_api_key, rotate_api_key
from aldaba.core.issue import issue
from aldaba.core.limits import DAY_S, LADDER, BoundedMemory, Limits, storage_for, wait_after
from aldaba.core.registrar import Registrar
from aldaba.core.verify import verify
from aldaba.errors import Reason, Refusal, StoreUnavailable
from aldaba.model.calls import NameAndKey
from tests.installation import Installation, fleet_client, install
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


# -- what a restart takes over ----------------------------------------------------------------------------------------


async def failures_after_restart(
    migrated_sqlite: str, tmp_path: Path, tries: Sequence[tuple[str, str]], failures_per_minute: int = 1000
) -> dict[str, int]:
    """Fail once with each (name, address) with the key of a stranger; return what a new process counts, by its key."""
    installation = install(tmp_path, migrated_sqlite, {"ALDABA_LIMITS_FAILURES_PER_MINUTE": str(failures_per_minute)})
    async with installation.registrar() as registrar:
        await fleet_client(registrar, "acme")
        async with installation.core() as core:
            for name, address in tries:
                call = installation.call(address=address)
                # Each try as if the wait after the one before were over.
                forget_waits(core)
                with pytest.raises(Refusal) as refused:
                    await authenticate(core, call, NameAndKey(name, "aldk_wrong"), core.clock.now())
                await record_refusal(core, call, refused.value)
        async with installation.core() as core:
            return {key: value for key, (value, _) in counters_of(core).items() if key.startswith("failed/")}


def counters_of(core: Core) -> OrderedDict[str, tuple[int, float]]:
    storage = core.limits._storage
    assert isinstance(storage, BoundedMemory)
    return storage._counters


def forget_waits(core: Core) -> None:
    counters = counters_of(core)
    for key in [key for key in counters if key.startswith("wait/")]:
        del counters[key]


async def test_b7_a_restart_adds_up_spellings_of_a_name_and_addresses_of_a_network(
    migrated_sqlite: str, tmp_path: Path
) -> None:
    """Each spelling and each address was taken for itself, and only the largest number of failures survived."""
    tries = [
        ("acme", "2001:db8::1"),
        ("ACME", "2001:db8::2"),
        (" acme", "2001:db8::3"),
        ("acme", "2001:db8::3"),
        ("acme", "192.0.2.1"),
    ]
    counted = await failures_after_restart(migrated_sqlite, tmp_path, tries)

    assert {"failed/fleet/acme/2001:db8::/64": 4, "failed/fleet/acme/192.0.2.1": 1} == counted


async def test_b7_a_name_padded_beyond_what_the_log_keeps_is_restored(migrated_sqlite: str, tmp_path: Path) -> None:
    counted = await failures_after_restart(migrated_sqlite, tmp_path, [(" " * 300 + "acme", "192.0.2.1")] * 3)

    assert {"failed/fleet/acme/192.0.2.1": 3} == counted


async def test_b7_failures_that_were_told_as_too_many_of_the_network_are_restored(
    migrated_sqlite: str, tmp_path: Path
) -> None:
    counted = await failures_after_restart(migrated_sqlite, tmp_path, [("acme", "192.0.2.1")] * 5, 2)

    assert {"failed/fleet/acme/192.0.2.1": 5} == counted


async def test_b7_waits_that_were_refused_are_no_failures(migrated_sqlite: str, tmp_path: Path) -> None:
    installation = install(tmp_path, migrated_sqlite)
    async with installation.registrar() as registrar:
        await fleet_client(registrar, "acme")
        async with installation.core() as core:
            for _ in range(3):
                call = installation.call(address="192.0.2.1")
                with pytest.raises(Refusal) as refused:
                    await authenticate(core, call, NameAndKey("acme", "aldk_wrong"), core.clock.now())
                await record_refusal(core, call, refused.value)
        async with installation.core() as core:
            assert (1, 1) == (len(counters_of(core)) - 1, counters_of(core)["failed/fleet/acme/192.0.2.1"][0])


async def test_b7_what_a_shared_storage_has_counted_already_is_not_counted_twice() -> None:
    now = Now()
    limits = in_memory(now)
    for _ in range(3):
        await limits._storage.incr("failed/fleet/acme/192.0.2.1", DAY_S)
    for _ in range(2):
        await limits.restore("fleet", "acme", "192.0.2.1", 5, now.seconds)

    assert 5 == await limits._storage.get("failed/fleet/acme/192.0.2.1")


async def test_b7_when_more_was_failed_than_the_counters_hold_the_latest_are_restored(
    migrated_sqlite: str, tmp_path: Path
) -> None:
    installation = install(tmp_path, migrated_sqlite, {"ALDABA_LIMITS_COUNTERS": "1000"})
    async with installation.core() as core:
        for number in range(1100):
            call = installation.call(address="192.0.2.1")
            call.known.client = f"name {number}"
            await record_refusal(core, call, Refusal(Reason.CLIENT_UNKNOWN))
    async with installation.core() as core:
        failed = [key for key in counters_of(core) if key.startswith("failed/")]

        assert "failed/fleet/name 1099/192.0.2.1" == failed[-1]
        assert "failed/fleet/name 0/192.0.2.1" not in failed


# -- bounded in bytes -------------------------------------------------------------------------------------------------


async def test_b8_the_text_of_a_book_for_a_name_is_not_kept(sqlite_installation: Installation) -> None:
    """Names that nobody has were kept whole, 64 KiB each, in the view and in the counters."""
    async with sqlite_installation.core() as core:
        for number in range(20):
            with pytest.raises(Refusal):
                await issue(core, sqlite_installation.call(), NameAndKey(f"{number} {'x' * 60_000}", "aldk_wrong"))

        assert max(len(name) for name in core.view._absent) < 300
        assert max(len(key) for key in counters_of(core)) < 300


# -- who uses up whose requests ---------------------------------------------------------------------------------------


async def test_requests_with_a_token_that_ended_do_not_use_up_those_of_its_owner(
    sqlite_installation: Installation,
) -> None:
    """Whoever had stolen a token, since revoked, could keep its owner out by using up the requests of the minute."""
    installation = sqlite_installation
    async with installation.registrar() as registrar, installation.core() as core:
        await fleet_client(registrar, "acme")
        old = await set_up(registrar, core, installation, per_minute=3)
        key = (await rotate_api_key(registrar, "limited")).secret.reveal()
        for _ in range(10):
            with pytest.raises(Refusal) as refused:
                await verify(core, installation.call(action="devices.list"), old)
            assert Reason.CREDENTIAL_REVOKED is refused.value.reason
        token = (await issue(core, installation.call(), NameAndKey("limited", key))).text
        call = installation.call(action="devices.list")
        await verify(core, call, token)

        # They are counted all the same, and told.
        assert call.known.usage is not None
        assert 13 == call.known.usage.minute
        with pytest.raises(Refusal) as refused:
            await verify(core, installation.call(action="devices.list"), token)
        assert Reason.TOO_MANY_REQUESTS is refused.value.reason


async def set_up(registrar: Registrar, core: Core, installation: Installation, *, per_minute: int) -> str:
    """Register a client that may make so many requests a minute; return a token, which was one of them."""
    await add_client(registrar, "limited", partner="Acme", services=["fleet"], requests_per_minute=per_minute)
    key = (await add_api_key(registrar, "limited")).secret.reveal()
    return (await issue(core, installation.call(), NameAndKey("limited", key))).text
