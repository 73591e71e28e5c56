"""What the connections of one listener share."""

from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus

from aldaba.web.admission import Admission
from aldaba.web.framing import Unroutable, host_name
from aldaba.web.heartbeat import Heartbeat
from aldaba.web.limits import Limits

# Told of a request that was refused before it reached the application: address, status, detail for the operator.
# Returns the request id that the answer is to carry, if it has one.
OnRefused = Callable[[str, HTTPStatus, str], str | None]

_HOSTS_KEPT = 1_024


@dataclass(frozen=True, slots=True, eq=False)
class Door:
    """What the connections of one listener share.

    Args:
        hosts: names that a `Host` header may have, in lower case, without ports and brackets; None for any
            (threats A4).
    """

    limits: Limits
    admission: Admission
    heartbeat: Heartbeat
    hosts: frozenset[str] | None = None
    on_refused: OnRefused | None = None
    _ours: set[bytes] = field(default_factory=set)

    def check_host(self, host: bytes) -> None:
        """Check that a `Host` header names us.

        Raises:
            Unroutable: 400 for nonsense, 421 for somebody else's name.
        """
        if host in self._ours:
            return
        name = host_name(host)
        if self.hosts is not None and name not in self.hosts:
            raise Unroutable(HTTPStatus.MISDIRECTED_REQUEST, f"Host {name!r:.100} is not one of ours")
        if len(self._ours) < _HOSTS_KEPT:
            self._ours.add(host)
