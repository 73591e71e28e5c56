"""Clocks that step (threats K6): nothing lives longer for it."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from aldaba.core import Core
from aldaba.core.clock import Clock
from aldaba.core.issue import issue
from aldaba.core.verify import verify
from aldaba.errors import Reason, Refusal
from tests.installation import Installation, fleet_client

pytestmark = pytest.mark.anyio

SECOND_NS = 1_000_000_000
START_NS = 1_900_000_000 * SECOND_NS
STEPS_BACK = [timedelta(seconds=1), timedelta(hours=1), timedelta(days=400)]


class Hands:
    """The two clocks of a machine: one that somebody sets, and one that only runs."""

    def __init__(self) -> None:
        self.wall_ns = START_NS
        self.running_ns = 5 * SECOND_NS

    def clock(self) -> Clock:
        """Return our clock over them."""
        return Clock(lambda: self.wall_ns, lambda: self.running_ns)

    def run(self, span: timedelta) -> None:
        """Let time go by."""
        passed_ns = round(span.total_seconds() * SECOND_NS)
        self.wall_ns += passed_ns
        self.running_ns += passed_ns

    def step(self, span: timedelta) -> None:
        """Set the clock on the wall."""
        self.wall_ns += round(span.total_seconds() * SECOND_NS)


async def verdict(core: Core, installation: Installation, token: str) -> Reason | None:
    try:
        await verify(core, installation.call(action="devices.list"), token)
    except Refusal as refusal:
        return refusal.reason
    return None


@pytest.mark.parametrize("back", STEPS_BACK, ids=str)
async def test_k6_a_step_back_extends_no_expiry(sqlite_installation: Installation, back: timedelta) -> None:
    hands = Hands()
    async with sqlite_installation.registrar() as registrar:
        evidence = await fleet_client(registrar)
    async with sqlite_installation.core() as opened:
        core = replace(opened, clock=hands.clock())
        token = await issue(core, sqlite_installation.call(), evidence)
        hands.run(timedelta(hours=23))
        assert await verdict(core, sqlite_installation, token.text) is None

        hands.step(-back)
        assert await verdict(core, sqlite_installation, token.text) is None
        hands.run(timedelta(hours=1))

        assert Reason.TOKEN_EXPIRED is await verdict(core, sqlite_installation, token.text)
        later = await issue(core, sqlite_installation.call(), evidence)
        assert token.expires_at + timedelta(hours=24) <= later.expires_at


async def test_k6_a_step_forward_ends_what_is_past_and_a_step_back_does_not_revive_it(
    sqlite_installation: Installation,
) -> None:
    hands = Hands()
    async with sqlite_installation.registrar() as registrar:
        evidence = await fleet_client(registrar)
    async with sqlite_installation.core() as opened:
        core = replace(opened, clock=hands.clock())
        token = await issue(core, sqlite_installation.call(), evidence)

        hands.step(timedelta(days=2))
        assert Reason.TOKEN_EXPIRED is await verdict(core, sqlite_installation, token.text)
        hands.step(timedelta(days=-2))
        assert Reason.TOKEN_EXPIRED is await verdict(core, sqlite_installation, token.text)


@pytest.mark.parametrize("apart_s, expected", [(9, None), (60, Reason.TOKEN_CLAIMS)])
async def test_k6_a_replica_that_is_ahead_by_ten_seconds_is_understood_and_by_more_is_not(
    sqlite_installation: Installation, apart_s: int, expected: Reason | None
) -> None:
    ahead, here = Hands(), Hands()
    ahead.step(timedelta(seconds=apart_s))
    async with sqlite_installation.registrar() as registrar:
        evidence = await fleet_client(registrar)
    async with sqlite_installation.core() as opened:
        token = await issue(replace(opened, clock=ahead.clock()), sqlite_installation.call(), evidence)

        assert expected is await verdict(replace(opened, clock=here.clock()), sqlite_installation, token.text)


async def test_k6_a_step_back_is_told_by_how_far_it_went() -> None:
    hands = Hands()
    clock = hands.clock()
    before = clock.now()

    hands.step(timedelta(seconds=-7))

    assert timedelta(seconds=7) == clock.behind()
    assert before == clock.now()
    hands.step(timedelta(seconds=10))
    assert timedelta(0) == clock.behind()
    assert isinstance(clock.now(), datetime)
