"""One request, as the core sees it: who asks what of which service, and what was shown."""

from datetime import datetime

import msgspec

from aldaba.model.parties import Client, Credential, Partner
from aldaba.model.peer import Peer
from aldaba.model.services import Service


class Usage(msgspec.Struct, frozen=True):
    """How many requests an account has made in the current minute and in the current UTC day, with this one."""

    minute: int = 0
    day: int = 0


class Known(msgspec.Struct):
    """What is known so far of who calls; the event and the dialect's answer name it, granted or refused.

    `client` is a claimed name until the credential is proven. `ignored` are headers that speak of another peer and came
    from one who is not trusted to (threats D1).
    """

    client: str | None = None
    partner: str | None = None
    credential: str | None = None
    usage: Usage | None = None
    ignored: tuple[str, ...] = ()


class Call(msgspec.Struct, frozen=True):
    """A request that has arrived at a service. `id` is its request id, told to the caller in `X-Request-Id`."""

    id: str
    service: Service
    peer: Peer
    action: str
    known: Known


class NameAndKey(msgspec.Struct, frozen=True):
    """Evidence: a client's name and an API key."""

    name: str
    key: str

    def __repr__(self) -> str:
        return f"NameAndKey(name={self.name!r})"


class PeerCertificate(msgspec.Struct, frozen=True):
    """Evidence: the certificate of the connection, which is part of the peer."""


Evidence = NameAndKey | PeerCertificate


class Proven(msgspec.Struct, frozen=True):
    """A client whose credential was proven. It says nothing yet of what it may do.

    `confirmation` is the thumbprint of the certificate that was shown, if one was (RFC 8705, `x5t#S256`).
    """

    client: Client
    partner: Partner
    credential: Credential
    confirmation: str | None = None


class Authorization(msgspec.Struct, frozen=True):
    """A client that may act now."""

    client: Client
    partner: Partner
    credential: Credential
    usage: Usage


class IssuedToken(msgspec.Struct, frozen=True):
    """A token on its way out, and the instants between which it is good."""

    text: str
    issued_at: datetime
    expires_at: datetime
