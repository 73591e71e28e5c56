"""Where a recorded exchange is played: its installation, its client, and how it connects."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from aldaba.core.registrar import Registrar
from aldaba.crypto.certificates.issued import Issued
from tests.served import Connection, FleetClient, MobilityClient, Served

Houses = Mapping[str, Callable[[], Served]]


@dataclass
class Stage:
    """Where one recording is played.

    Args:
        houses: the installations there are, by name; each is started when it is asked for.
    """

    houses: Houses
    served: Served
    values: dict[str, str] = field(default_factory=dict)
    connect: Callable[[], Connection] = field(init=False)
    undo: ExitStack = field(default_factory=ExitStack)
    fleet: FleetClient | None = None
    mobility: MobilityClient | None = None

    def __post_init__(self) -> None:
        self.connect = self._to_the_public_port

    @property
    def account(self) -> FleetClient:
        """The client of the fleet dialect that the recording is about."""
        assert self.fleet is not None
        return self.fleet

    @property
    def beacon(self) -> MobilityClient:
        """The client of the mobility dialect that the recording is about."""
        assert self.mobility is not None
        return self.mobility

    @property
    def name(self) -> str:
        """The name of the client that the recording is about."""
        return self.account.name if self.fleet else self.beacon.name

    def operate(self, work: Callable[[Registrar], Any]) -> Any:
        """Let the operator do something."""
        return self.served.operate(work)

    def is_client(self, client: FleetClient | MobilityClient) -> None:
        """Take a client as the one that the recording is about."""
        self.values["user"] = client.name
        # Upper case, and letters that are compatible forms of ours.
        self.values["user in other letters"] = client.name.upper().replace("A", "\uff21")
        if isinstance(client, FleetClient):
            self.fleet = client
            self.values["key"] = client.key
        else:
            self.mobility = client
            self.shows(client.certificate)

    def shows_nothing(self) -> None:
        """Connect to the public port from now on."""
        self.connect = self._to_the_public_port

    def _to_the_public_port(self) -> Connection:
        return self.served.connect()

    def shows(self, certificate: Issued | None, source: str = "127.0.0.1") -> None:
        """Connect to the port for client certificates from now on."""
        self.connect = lambda: self.served.connect_tls(certificate, source=source)

    def moves(self, house: str) -> None:
        """Play in another installation from now on."""
        self.served = self.houses[house]()
