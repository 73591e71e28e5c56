"""Settings that name places of the network: listeners, base URLs, networks, hosts, headers, paths."""

import re
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_address, ip_network

from aldaba.config.readers import Reader, Shown

Network = IPv4Network | IPv6Network

_HOST = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*"
_PORT = r"(?:0|[1-9][0-9]{0,4})"
_LISTENER = re.compile(rf"(?:\[([0-9a-f:.]+)\]|([a-z0-9.-]+)):({_PORT})", re.IGNORECASE)
_BASE_URL = re.compile(rf"(https?)://(\[[0-9a-f:.]+\]|{_HOST})(?::({_PORT}))?/?", re.IGNORECASE)
_SEGMENT = re.compile(r"[A-Za-z0-9_~-][A-Za-z0-9._~-]*")
_PREFIX_LENGTH = re.compile(r"[0-9]{1,3}")
_MAPPED = IPv6Network("::ffff:0:0/96")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a listener binds; port 0 takes a free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_wildcard(self) -> bool:
        """Whether it binds every address of the machine."""
        return self.host in ("0.0.0.0", "::")  # noqa: S104 - compared, not bound

    def overlaps(self, other: "Address") -> bool:
        """Return whether the two cannot be bound side by side."""
        same_port = self.port == other.port != 0
        return same_port and (self.host == other.host or self.is_wildcard or other.is_wildcard)

    def url(self, scheme: str) -> str:
        """Return the base URL under which a program on this machine reaches the listener."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104 - replaced, not bound
        return f"{scheme}://{Address(host, self.port)}"


def listener() -> Reader[Address]:
    """Read an address to bind: an IP address or `localhost`, and a port."""
    return Reader("text", _listener, str)


def _listener(text: str) -> Address:
    found = _LISTENER.fullmatch(text)
    if not found or int(found[3]) > 65535:
        raise ValueError(f"{text!r:.60} is no address and port: write 127.0.0.1:8080 or [::1]:8080")
    host = (found[1] or found[2]).lower()
    if host != "localhost":
        host = _ip(host)
    return Address(host, int(found[3]))


def _ip(host: str) -> str:
    try:
        return str(ip_address(host))
    except ValueError:
        raise ValueError(f"{host!r:.60} is no IP address; a listener binds an IP address or localhost") from None


def base_url() -> Reader[str]:
    """Read scheme, host and port of a listener as others see it; empty where it follows from the listener."""
    return Reader("text", _base_url, str)


def _base_url(text: str) -> str:
    if not text:
        return ""
    found = _BASE_URL.fullmatch(text)
    if not found or int(found[3] or 0) > 65535:
        raise ValueError(f"{text!r:.60} is no base URL: write scheme, host and port only, as https://api.example.com")
    if found[2].startswith("["):
        _ip(found[2].strip("[]"))
    return text.removesuffix("/").lower()


def networks() -> Reader[tuple[Network, ...]]:
    """Read a list of networks in CIDR form. Together they may not be the whole Internet (threats D3)."""
    return Reader("list of texts", _networks, _networks_text)


def _networks(texts: list[str]) -> tuple[Network, ...]:
    found = tuple(_network(text) for text in texts)
    v4 = list(collapse_addresses(network for network in found if isinstance(network, IPv4Network)))
    v6 = list(collapse_addresses(network for network in found if isinstance(network, IPv6Network)))
    everything: list[Network] = [IPv4Network("0.0.0.0/0"), IPv6Network("::/0")]
    if any(network in everything for network in [*v4, *v6]):
        raise ValueError("trusts every address there is; name the proxies' own addresses")
    return found


def _network(text: str) -> Network:
    address, slash, length = text.partition("/")
    if "%" in address or (slash and not _PREFIX_LENGTH.fullmatch(length)):
        raise ValueError(f"{text!r:.60} is no network: write 192.0.2.0/24 or 2001:db8::/64")
    try:
        network = ip_network(text)
    except ValueError as error:
        raise ValueError(f"{text!r:.60} is no network: {error}") from None
    return _unmapped(network)


def _unmapped(network: Network) -> Network:
    """Unwrap ::ffff:192.0.2.0/120, since addresses of clients are unwrapped before they are compared (threats D6)."""
    if not isinstance(network, IPv6Network) or not network.subnet_of(_MAPPED):
        return network
    return IPv4Network((int(network.network_address) & 0xFFFFFFFF, network.prefixlen - 96))


def _networks_text(values: tuple[Network, ...]) -> Shown:
    return [str(network) for network in values]


def header_name() -> Reader[str]:
    """Read the name of a header. An underscore is refused: proxies and servers differ on it (threats D5)."""
    return Reader("text", _header_name, str)


def _header_name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9-]{1,60}", text):
        raise ValueError(f"{text!r:.60} is no header name of letters, digits and hyphens")
    return text.lower()


def host_name() -> Reader[str]:
    """Read a DNS name, without a port."""
    return Reader("text", _host_name, str)


def _host_name(text: str) -> str:
    if len(text) > 253 or not re.fullmatch(_HOST, text, re.IGNORECASE):
        raise ValueError(f"{text!r:.60} is no host name: write api.example.com, without scheme, port or path")
    return text.lower()


def url_path() -> Reader[str]:
    """Read a path prefix: `/fleet`, `/partners/fleet`."""
    return Reader("text", _url_path, str)


def _url_path(text: str) -> str:
    if text == "/":
        raise ValueError("a service at the root is mounted by host name: write host instead of path")
    if not text.startswith("/") or len(text) > 200:
        raise ValueError(f"{text!r:.60} is no path prefix: write it with a slash in front, as /fleet")
    if not all(_SEGMENT.fullmatch(segment) for segment in text[1:].split("/")):
        raise ValueError(f"{text!r:.60} is no path prefix: letters, digits, -, ., _ and ~ between single slashes")
    return text
