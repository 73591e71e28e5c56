"""How many connections a process keeps, and for whom (threats L1).

At the cap those who have been waiting longest without a request make room, so that half-open connections cannot lock
out good callers, not even those behind the same address.
"""

from collections.abc import Iterable
from typing import Protocol

from aldaba.model.networks import Network, contains, parse_address, prefix_of
from aldaba.web.limits import Limits

# Of the connections that could make room, one in so many does: looking for them costs the same for one as for many.
_SHARE = 16


class Connection(Protocol):
    """What is admitted: it says since when it waits for its caller, or that it does not, and can be closed."""

    @property
    def waiting_since(self) -> float | None:
        """Since when the caller has owed us bytes, by the clock of the loop; None while he does not."""

    def evict(self) -> None:
        """Close at once, without an answer."""


class Admission:
    """Counts the connections of a process.

    Args:
        exempt: networks of the proxies, which bring everybody's connections from one address.
    """

    def __init__(self, limits: Limits, exempt: Iterable[Network] = ()) -> None:
        self._limits = limits
        self._exempt = tuple(exempt)
        self._sources: dict[Connection, str] = {}
        self._by_source: dict[str, set[Connection]] = {}

    def __len__(self) -> int:
        return len(self._sources)

    def enter(self, connection: Connection, address: str) -> bool:
        """Admit a connection, or return False: it is to be closed at once."""
        source = self._source(address)
        neighbours = self._by_source.get(source, set())
        if source and len(neighbours) >= self._limits.connections_per_address and not self._make_room(neighbours):
            return False
        if len(self._sources) >= self._limits.connections and not self._make_room(self._sources):
            return False
        self._sources[connection] = source
        self._by_source.setdefault(source, set()).add(connection)
        return True

    def leave(self, connection: Connection) -> None:
        """Forget a connection; one that was not admitted is no mistake."""
        source = self._sources.pop(connection, None)
        if source is None:
            return
        neighbours = self._by_source[source]
        neighbours.discard(connection)
        if not neighbours:
            del self._by_source[source]

    def _source(self, address: str) -> str:
        parsed = parse_address(address)
        return "" if contains(self._exempt, parsed) else prefix_of(parsed)

    def _make_room(self, connections: Iterable[Connection]) -> bool:
        waiting = [(since, connection) for connection in connections if (since := connection.waiting_since) is not None]
        waiting.sort(key=lambda pair: pair[0])
        leaving = waiting[: 1 + len(waiting) // _SHARE]
        for _since, connection in leaving:
            # At once, since the connection itself ends later: the next newcomer must not chase away as many again.
            self.leave(connection)
            connection.evict()
        return bool(leaving)
