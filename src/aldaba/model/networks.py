"""Networks of addresses: allow lists, trusted proxies, and the source network that counters count by.

IPv4-mapped IPv6 addresses are unwrapped on both sides, so that one caller has one address (threats D6).
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import msgspec

Address = IPv4Address | IPv6Address

_V4_MASK = 0xFFFFFFFF
_MAPPED_PREFIX = 0xFFFF
_MAPPED = IPv6Network("::ffff:0:0/96")
_PREFIX_LENGTH = re.compile(r"0|[1-9][0-9]{0,2}")
_LEADING_ZERO = re.compile(r"(?:^|[.])0[0-9]")
_ADDRESS_LIKE = re.compile(r"[0-9.]+|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*")


class Network(msgspec.Struct, frozen=True):
    """A network as two integers, so that looking an address up costs two operations."""

    version: int
    first: int
    mask: int
    prefix: int

    @classmethod
    def parse(cls, text: str) -> "Network":
        """Return the network of a text in CIDR form, or of a single address.

        Raises:
            ValueError: it is none, or lets everybody in; the text says what to write instead (threats D3, D7).
        """
        address, slash, length = text.partition("/")
        if not _ADDRESS_LIKE.fullmatch(address):
            raise ValueError(f"{text!r:.60} is no network: {_what_it_is(address)}")
        if slash and not _PREFIX_LENGTH.fullmatch(length):
            raise ValueError(f"{text!r:.60} is no network: write the length of the prefix as a number, as 192.0.2.0/24")
        return cls._of(_strict_network(text))

    @classmethod
    def _of(cls, network: IPv4Network | IPv6Network) -> "Network":
        if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
            network = IPv4Network((int(network.network_address) & _V4_MASK, network.prefixlen - 96))
        if network.prefixlen == 0:
            raise ValueError(f"{network} lets every address in: name the networks that are meant")
        return cls(network.version, int(network.network_address), int(network.netmask), network.prefixlen)

    def __str__(self) -> str:
        first = IPv4Address(self.first) if self.version == 4 else IPv6Address(self.first)
        return f"{first}/{self.prefix}"


def _strict_network(text: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text)
    except ValueError as error:
        raise ValueError(f"{text!r:.60} is no network: {_what_is_wrong(text, str(error))}") from error


def _what_is_wrong(text: str, error: str) -> str:
    if "host bits" in error:
        return f"it has host bits set; write {ip_network(text, strict=False)}, or the one address without a prefix"
    if _LEADING_ZERO.search(text):
        return "it has leading zeros, which some programs read as octal; write it without them"
    return "write an address or a network, as 192.0.2.7, 192.0.2.0/24 or 2001:db8::/64"


def _what_it_is(address: str) -> str:
    if "%" in address:
        return "a zone id means something on one machine only; write the address without it"
    if re.fullmatch(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?", address):
        return "names are not looked up, since whoever answers for them could let himself in; write addresses"
    return "write an address or a network, as 192.0.2.7, 192.0.2.0/24 or 2001:db8::/64"


@lru_cache(maxsize=16_384)
def parse_address(text: str) -> Address:
    """Return the address of a text, unwrapped and without its zone.

    Raises:
        ValueError: it is none.
    """
    address = ip_address(text)
    if isinstance(address, IPv4Address):
        return address
    return address.ipv4_mapped or IPv6Address(int(address))


def contains(networks: Iterable[Network], address: Address) -> bool:
    """Return whether one of the networks holds the address. An empty list holds nobody."""
    number = int(address)
    version = 4 if type(address) is IPv4Address else 6
    if version == 6 and number >> 32 == _MAPPED_PREFIX:
        version, number = 4, number & _V4_MASK
    # A loop, since a generator costs more than the comparisons.
    for network in networks:  # noqa: SIM110
        if network.version == version and number & network.mask == network.first:
            return True
    return False


def covers_everything(networks: Iterable[Network]) -> bool:
    """Return whether the networks together hold all addresses of a family (threats D3): two halves make a whole."""
    sizes = {4: 0, 6: 0}
    # Each network counts once: those inside another are left out by keeping the widest first.
    seen: list[Network] = []
    for network in sorted(set(networks), key=lambda network: network.prefix):
        if not any(network.version == wider.version and network.first & wider.mask == wider.first for wider in seen):
            seen.append(network)
            sizes[network.version] += 1 << ((32 if network.version == 4 else 128) - network.prefix)
    return sizes[4] == 1 << 32 or sizes[6] == 1 << 128


def prefix_of(address: Address) -> str:
    """Return the source network that counters count by: the IPv4 address, the IPv6 /64 (threats B7).

    Whoever has an IPv6 address has the whole /64 around it.
    """
    return _prefix_text(4 if type(address) is IPv4Address else 6, int(address))


@lru_cache(maxsize=16_384)
def _prefix_text(version: int, number: int) -> str:
    if version == 4:
        return str(IPv4Address(number))
    if number >> 32 == _MAPPED_PREFIX:
        return str(IPv4Address(number & _V4_MASK))
    return f"{IPv6Address(number >> 64 << 64)}/64"
