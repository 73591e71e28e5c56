"""The time that never goes back (threats K6)."""

from datetime import UTC, datetime, timedelta

import pytest

from aldaba.core.clock import Clock

START = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
SECOND_NS = 1_000_000_000


class Machine:
    """The two clocks of a machine: one that can be set, and one that only runs."""

    def __init__(self) -> None:
        self.wall_ns = int(START.timestamp()) * SECOND_NS
        self.monotonic_ns = 5_000 * SECOND_NS

    def run(self, span: timedelta) -> None:
        """Let time pass."""
        self.wall_ns += int(span.total_seconds() * SECOND_NS)
        self.monotonic_ns += int(span.total_seconds() * SECOND_NS)

    def set(self, span: timedelta) -> None:
        """Set the clock forward, or back."""
        self.wall_ns += int(span.total_seconds() * SECOND_NS)


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def clock(machine: Machine) -> Clock:
    return Clock(lambda: machine.wall_ns, lambda: machine.monotonic_ns)


STEPS = [timedelta(seconds=1), timedelta(seconds=90), timedelta(hours=1), timedelta(days=1), timedelta(days=400)]


def test_it_tells_the_time_of_the_machine(machine: Machine, clock: Clock) -> None:
    assert START == clock.now()
    machine.run(timedelta(minutes=10))

    assert START + timedelta(minutes=10) == clock.now()
    assert int((START + timedelta(minutes=10)).timestamp()) * 1_000_000 == clock.now_us()
    assert (START + timedelta(minutes=10)).timestamp() == clock.now_s()


@pytest.mark.parametrize("step", STEPS)
def test_k6_a_step_back_is_not_followed_and_lengthens_nothing(machine: Machine, clock: Clock, step: timedelta) -> None:
    ends_at = clock.now() + timedelta(minutes=5)
    machine.run(timedelta(minutes=1))
    machine.set(-step)
    assert START + timedelta(minutes=1) == clock.now()
    machine.run(timedelta(minutes=4))

    assert ends_at == clock.now()
    assert step == clock.behind()


@pytest.mark.parametrize("step", STEPS)
def test_k6_a_step_forward_is_followed(machine: Machine, clock: Clock, step: timedelta) -> None:
    machine.set(step)

    assert START + step == clock.now()
    assert timedelta(0) == clock.behind()


def test_k6_what_was_set_back_and_right_again_goes_on_without_a_leap(machine: Machine, clock: Clock) -> None:
    machine.set(-timedelta(hours=1))
    machine.run(timedelta(minutes=1))
    assert START + timedelta(minutes=1) == clock.now()
    machine.set(timedelta(hours=1))

    assert START + timedelta(minutes=1) == clock.now()
    assert timedelta(0) == clock.behind()


def test_k6_the_time_a_machine_slept_has_passed(machine: Machine, clock: Clock) -> None:
    """The monotonic clock of a machine that sleeps stands still."""
    machine.set(timedelta(hours=8))

    assert START + timedelta(hours=8) == clock.now()


def test_k6_every_look_is_at_least_as_late_as_the_one_before(machine: Machine, clock: Clock) -> None:
    looks = []
    for turn in range(1000):
        machine.run(timedelta(milliseconds=turn % 7))
        machine.set(timedelta(seconds=(turn * 37 % 200) - 100))
        looks.append((clock.now_us(), clock.now()))

    assert sorted(looks) == looks
