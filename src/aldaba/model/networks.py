"""Networks that a client may call from, and the source network that failures are counted for."""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import NamedTuple

Address = IPv4Address | IPv6Address


@lru_cache(maxsize=4096)
def parse_address(text: str) -> Address:
    """Return an address, an IPv4 one out of its IPv6 mapping, without a zone.

    Raises:
        ValueError: it is none.
    """
    address = ip_address(text.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


class Network(NamedTuple):
    """An entry of an allow list: numbers, so that looking an address up costs little."""

    version: int
    number: int
    mask: int
    length: int

    @classmethod
    def parse(cls, text: str) -> "Network":
        """Return the network of a text in CIDR form; a single address is a network of one.

        Raises:
            ValueError: with what to write instead (threats D7).
        """
        try:
            network = ip_network(text)
        except ValueError as error:
            raise ValueError(f"{text!r:.60} is no network: write 192.0.2.0/24 or 2001:db8::/64 ({error})") from None
        if network.prefixlen == 0:
            raise ValueError(f"{text!r:.60} is every address there is: name the client's own networks")
        number, length, version = int(network.network_address), network.prefixlen, network.version
        if version == 6 and length >= 96 and number >> 32 == 0xFFFF:
            number, length, version = number & 0xFFFFFFFF, length - 96, 4
        bits = 32 if version == 4 else 128
        return cls(version, number, ((1 << length) - 1) << (bits - length), length)

    def __str__(self) -> str:
        address = IPv4Address(self.number) if self.version == 4 else IPv6Address(self.number)
        return f"{address}/{self.length}"


def contains(networks: Sequence[Network], address: Address) -> bool:
    """Return whether an address is in one of the networks."""
    number, version = int(address), address.version
    return any(number & network.mask == network.number and version == network.version for network in networks)


@lru_cache(maxsize=4096)
def prefix_of(address: Address) -> str:
    """Return the source network that an address counts for: itself for IPv4, its /64 for IPv6 (threats B7)."""
    if address.version == 4:
        return f"{address}/32"
    return f"{IPv6Address(int(address) >> 64 << 64)}/64"
