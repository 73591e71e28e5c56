"""Who is at the other end of a connection, as far as the connection shows."""

import msgspec

from aldaba.model.networks import Address


class Peer(msgspec.Struct, frozen=True):
    """The source of a request. `certificate` and `chain` are DER, not yet verified by us."""

    address: Address
    certificate: bytes | None = None
    chain: tuple[bytes, ...] = ()
