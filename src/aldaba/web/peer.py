"""Who a request comes from: the socket's address and certificate, or what a trusted proxy says of them.

Nothing here verifies a certificate: a forwarded one is verified in full by us all the same (threats D4).
"""

from collections.abc import Iterable, Mapping, MutableMapping
from functools import lru_cache
from typing import Any, Literal

from aldaba.model.networks import Address, Network, contains, covers_everything, parse_address
from aldaba.model.peer import Peer
from aldaba.web import forwarded
from aldaba.web.forwarded import BadPeer

__all__ = ["BadPeer", "CertificateHeader", "PeerReader"]

CertificateHeader = Literal["none", "rfc9440", "nginx"]
Headers = Iterable[tuple[bytes, bytes]]

# What speaks of somebody else than the peer of the connection. None of it is believed from anybody but a trusted proxy.
FORWARDED = frozenset(
    {
        b"client-cert",
        b"client-cert-chain",
        b"forwarded",
        b"x-client-ip",
        b"x-forwarded-client-cert",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-port",
        b"x-forwarded-proto",
        b"x-real-ip",
        b"x-ssl-client-cert",
    }
)


class PeerReader:
    """Reads the peer of a request.

    From a trusted proxy:

    - The address is the right-most hop of `X-Forwarded-For` or `Forwarded` that is no trusted proxy: what stands left
      of it was written by that hop itself. Both headers must agree. Without either, the proxy itself is the caller.
    - The certificate is read from the one configured header. The other style is ignored, as is any header that a
      proxy does not know: it passed through from the client.
    - A certificate of the TLS connection counts only when nothing was forwarded (a proxy that passes TLS through);
      beside a forwarded certificate it is a contradiction, beside a forwarded address it is the proxy's own.

    Args:
        trusted: the proxies' networks; nobody's by default.
        certificate_header: how a trusted proxy hands on a client certificate.
        nginx_header: the header that nginx sets from `$ssl_client_escaped_cert`.

    Raises:
        ValueError: `trusted` holds every address (threats D3).
    """

    def __init__(
        self,
        trusted: Iterable[Network] = (),
        certificate_header: CertificateHeader = "none",
        *,
        nginx_header: str = "x-ssl-client-cert",
    ) -> None:
        self._trusted = tuple(trusted)
        if covers_everything(self._trusted):
            raise ValueError("the trusted proxies hold every address: anybody could say who he is")
        self._style = certificate_header
        self._nginx_header = nginx_header.lower().encode("ascii")
        names = FORWARDED | {self._nginx_header}
        self._watched = names | {name.replace(b"-", b"_") for name in names}

    def read(self, scope: MutableMapping[str, Any]) -> Peer:
        """Return the peer of a request.

        Names of forwarding headers that came from somebody who is no trusted proxy are left in
        `scope["aldaba.ignored"]`, so that the caller can record them (threats D1).

        Raises:
            BadPeer: a trusted proxy says something contradictory or nonsensical (threats D2, D5).
        """
        peer = self.socket_peer(scope)
        if self._trusted and contains(self._trusted, peer.address):
            return self._forwarded_peer(peer, scope["headers"])
        ignored = [name for name, _ in scope["headers"] if name in self._watched]
        if ignored:
            scope["aldaba.ignored"] = tuple(name.decode("ascii") for name in ignored)
        return peer

    def socket_peer(self, scope: Mapping[str, Any]) -> Peer:
        """Return the peer of the connection, whatever the headers say."""
        bare = _bare_peer(scope["client"][0])
        tls = scope["extensions"].get("tls") if "extensions" in scope else None
        if tls is None:
            return bare
        return Peer(bare.address, tls["certificate"], tls["chain"])

    def _forwarded_peer(self, proxy: Peer, headers: Headers) -> Peer:
        found = _collect(headers, self._watched)
        address = self._forwarded_address(found)
        certificate, chain = self._forwarded_certificate(found)
        if certificate is not None and proxy.certificate is not None:
            raise BadPeer("a certificate in a header and another one on the connection")
        if address is None and certificate is None:
            return proxy
        return Peer(address or proxy.address, certificate, chain)

    def _forwarded_address(self, found: Mapping[bytes, list[bytes]]) -> Address | None:
        said = {
            self._client_of(hops(found[name]))
            for name, hops in ((b"x-forwarded-for", forwarded.x_forwarded_for), (b"forwarded", forwarded.forwarded_for))
            if name in found
        }
        if len(said) > 1:
            raise BadPeer("X-Forwarded-For and Forwarded name different callers")
        return said.pop() if said else None

    def _client_of(self, hops: list[str]) -> Address:
        """Return the right-most hop that is no trusted proxy; the left-most one when all are."""
        address = forwarded.hop_address(hops[-1])
        for hop in reversed(hops):
            address = forwarded.hop_address(hop)
            if not contains(self._trusted, address):
                break
        return address

    def _forwarded_certificate(self, found: Mapping[bytes, list[bytes]]) -> tuple[bytes | None, tuple[bytes, ...]]:
        if self._style == "nginx":
            value = _only(found, self._nginx_header)
            return (None if value is None else forwarded.escaped_pem(value)), ()
        if self._style == "rfc9440":
            value, chain = _only(found, b"client-cert"), found.get(b"client-cert-chain", [])
            _refuse_underscores(found, b"client-cert-chain")
            if value is None and chain:
                raise BadPeer("Client-Cert-Chain without Client-Cert (RFC 9440, section 2.3)")
            return (None if value is None else forwarded.client_cert(value)), forwarded.client_cert_chain(tuple(chain))
        return None, ()


@lru_cache(maxsize=16_384)
def _bare_peer(address: str) -> Peer:
    # By the text, since hashing an address object costs more than everything else here.
    return Peer(parse_address(address))


def _collect(headers: Headers, names: frozenset[bytes]) -> dict[bytes, list[bytes]]:
    found: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        if name in names:
            found.setdefault(name, []).append(value)
    return found


def _only(found: Mapping[bytes, list[bytes]], name: bytes) -> bytes | None:
    _refuse_underscores(found, name)
    values = found.get(name, [])
    if len(values) > 1:
        raise BadPeer(f"header {name.decode()} is there {len(values)} times")
    return values[0] if values else None


def _refuse_underscores(found: Mapping[bytes, list[bytes]], name: bytes) -> None:
    """Refuse the spelling that a proxy lets through untouched and that others take for the real one (threats D5)."""
    if (twin := name.replace(b"-", b"_")) != name and twin in found:
        raise BadPeer(f"header {twin.decode()} instead of {name.decode()}")
