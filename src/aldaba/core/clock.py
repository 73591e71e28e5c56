"""The time, which never goes back: a step of the system's clock must not lengthen anything's life (threats K6)."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

_SECOND_NS = 1_000_000_000


class Clock:
    """Wall-clock time that runs at least as fast as the monotonic clock.

    A step forward is followed; a step back is not: the clock goes on from where it was.

    Args:
        wall_ns: nanoseconds since 1970.
        monotonic_ns: nanoseconds that only grow.
    """

    def __init__(
        self, wall_ns: Callable[[], int] = time.time_ns, monotonic_ns: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._wall_ns = wall_ns
        self._monotonic_ns = monotonic_ns
        self._offset_ns = wall_ns() - monotonic_ns()

    def now_us(self) -> int:
        """Return microseconds since 1970, UTC."""
        monotonic_ns = self._monotonic_ns()
        offset_ns = self._wall_ns() - monotonic_ns
        if offset_ns > self._offset_ns:
            self._offset_ns = offset_ns
        return (monotonic_ns + self._offset_ns) // 1000

    def now_s(self) -> float:
        """Return seconds since 1970, UTC."""
        return self.now_us() / 1_000_000

    def now(self) -> datetime:
        """Return the present instant, UTC."""
        return datetime.fromtimestamp(self.now_us() / 1_000_000, UTC)

    def behind(self) -> timedelta:
        """Return how far the system's clock is behind this one: more than a moment means that it was set back."""
        return timedelta(microseconds=self.now_us() - self._wall_ns() // 1000)
