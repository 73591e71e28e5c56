"""Who is at the other end of a request: an address, and the certificate shown."""

import msgspec

from aldaba.model.networks import Address


class Peer(msgspec.Struct, frozen=True):
    """The address a request comes from, and what was shown there in DER. Nothing of it is verified yet.

    Args:
        address: unwrapped when it was mapped into IPv6, without a zone.
        certificate: the certificate of the client, None without one.
        chain: the certificates that came with it, without it.
    """

    address: Address
    certificate: bytes | None = None
    chain: tuple[bytes, ...] = ()

    def __repr__(self) -> str:
        shown = "none" if self.certificate is None else f"{len(self.certificate)} bytes"
        return f"Peer(address={self.address}, certificate={shown}, chain={len(self.chain)})"
