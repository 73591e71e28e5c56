"""Who a request comes from: directly, and through a proxy."""

import base64
from ipaddress import ip_address
from typing import Any
from urllib.parse import quote

import pytest

from aldaba.model.networks import Network
from aldaba.model.peer import Peer
from aldaba.web.forwarded import MAX_CERTIFICATE
from aldaba.web.peer import BadPeer, CertificateHeader, PeerReader

PROXY = "10.0.0.7"
TRUSTED = (Network.parse("10.0.0.0/24"), Network.parse("2001:db8:ffff::/64"))

# What the readers take for a certificate: one DER sequence. The verifier looks inside.
LEAF = b"\x30\x82\x01\x00" + bytes(range(256))
ISSUER = b"\x30\x03\x02\x01\x07"
ROOT = b"\x30\x03\x02\x01\x08"


def peer(
    *headers: tuple[str, str],
    socket: str = PROXY,
    style: CertificateHeader = "none",
    tls: bytes | None = None,
    trusted: tuple[Network, ...] = TRUSTED,
) -> Peer:
    return PeerReader(trusted, style).read(scope(*headers, socket=socket, tls=tls))


def scope(*headers: tuple[str, str], socket: str = PROXY, tls: bytes | None = None) -> dict[str, Any]:
    extensions = {} if tls is None else {"tls": {"certificate": tls, "chain": (ISSUER,), "version": "TLSv1.3"}}
    encoded = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]
    return {"client": (socket, 4711), "headers": [(b"host", b"a"), *encoded], "extensions": extensions}


def came_from(text: str) -> Peer:
    return Peer(ip_address(text))


def sf(der: bytes) -> str:
    return f":{base64.b64encode(der).decode()}:"


def pem(der: bytes) -> str:
    encoded = base64.b64encode(der).decode()
    lines = "\n".join(encoded[start : start + 64] for start in range(0, len(encoded), 64))
    return f"-----BEGIN CERTIFICATE-----\n{lines}\n-----END CERTIFICATE-----\n"


# --- the connection itself ---


@pytest.mark.parametrize(
    "socket, address",
    [("192.0.2.1", "192.0.2.1"), ("::ffff:192.0.2.1", "192.0.2.1"), ("fe80::1%eth0", "fe80::1"), ("::1", "::1")],
)
def test_d6_the_address_of_the_socket_counts_unwrapped_and_without_a_zone(socket: str, address: str) -> None:
    assert came_from(address) == peer(socket=socket)


def test_the_certificate_of_the_connection_counts() -> None:
    assert Peer(ip_address("192.0.2.1"), LEAF, (ISSUER,)) == peer(socket="192.0.2.1", tls=LEAF)


def test_a_peer_shows_no_certificate_in_its_repr() -> None:
    assert "Peer(address=192.0.2.1, certificate=260 bytes, chain=1)" == repr(peer(socket="192.0.2.1", tls=LEAF))


# --- D1: nobody's word but the proxies' ---

SPEAKING_OF_OTHERS = [
    ("X-Forwarded-For", "198.51.100.1"),
    ("Forwarded", "for=198.51.100.1"),
    ("X-Real-IP", "198.51.100.1"),
    ("X-Forwarded-Proto", "https"),
    ("Client-Cert", sf(LEAF)),
    ("Client-Cert-Chain", sf(LEAF)),
    ("X-SSL-Client-Cert", quote(pem(LEAF), safe="")),
    ("X_Forwarded_For", "198.51.100.1"),
    ("Client_Cert", sf(LEAF)),
    ("X-Forwarded-For", "complete nonsense"),
]


@pytest.mark.parametrize("header", SPEAKING_OF_OTHERS, ids=lambda header: header[0])
@pytest.mark.parametrize("style", ["none", "rfc9440", "nginx"])
@pytest.mark.parametrize("trusted", [(), TRUSTED], ids=["no proxies", "proxies"])
def test_d1_what_others_than_proxies_say_is_ignored_and_named(
    header: tuple[str, str], style: CertificateHeader, trusted: tuple[Network, ...]
) -> None:
    arrived = scope(header, socket="192.0.2.1")

    assert came_from("192.0.2.1") == PeerReader(trusted, style).read(arrived)
    assert (header[0].lower(),) == arrived["aldaba.ignored"]


def test_d1_nothing_is_named_when_nothing_was_said() -> None:
    arrived = scope(("Accept", "*/*"), socket="192.0.2.1")
    PeerReader().read(arrived)

    assert "aldaba.ignored" not in arrived


def test_d1_the_certificate_of_the_connection_counts_beside_a_header_from_nobody() -> None:
    read = peer(("Client-Cert", sf(ROOT)), socket="192.0.2.1", tls=LEAF, style="rfc9440")

    assert Peer(ip_address("192.0.2.1"), LEAF, (ISSUER,)) == read


def test_the_configured_nginx_header_is_watched_too() -> None:
    arrived = scope(("X-Client", "x"), socket="192.0.2.1")
    PeerReader(TRUSTED, "nginx", nginx_header="X-Client").read(arrived)

    assert ("x-client",) == arrived["aldaba.ignored"]


# --- D2: hops ---


@pytest.mark.parametrize(
    "value, address",
    [
        ("198.51.100.1", "198.51.100.1"),
        ("203.0.113.9, 198.51.100.1", "198.51.100.1"),
        ("127.0.0.1,198.51.100.1", "198.51.100.1"),
        ("198.51.100.1, 10.0.0.8", "198.51.100.1"),
        ("203.0.113.9, 198.51.100.1, 10.0.0.8, 10.0.0.9", "198.51.100.1"),
        ("unknown, nonsense, , 198.51.100.1", "198.51.100.1"),
        ("198.51.100.1:4711", "198.51.100.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:4711", "2001:db8::1"),
        ("::ffff:198.51.100.1", "198.51.100.1"),
        ("198.51.100.1, ::ffff:10.0.0.8", "198.51.100.1"),
        ("198.51.100.1, 2001:db8:ffff::1", "198.51.100.1"),
        ("10.0.0.9, 10.0.0.8", "10.0.0.9"),
        ("\t198.51.100.1 ", "198.51.100.1"),
    ],
)
def test_d2_the_right_most_hop_that_is_no_proxy_is_the_caller(value: str, address: str) -> None:
    assert came_from(address) == peer(("X-Forwarded-For", value))


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        ",",
        "198.51.100.1,",
        "198.51.100.1, , 10.0.0.8",
        "unknown",
        "198.51.100.1, unknown",
        "198.51.100.1, unknown, 10.0.0.8",
        "_hidden",
        "example.com",
        "198.51.100.01",
        "198.51.100",
        "198.51.100.1.1",
        "198.51.100.1:",
        "198.51.100.1:port",
        "198.51.100.1:123456",
        "[198.51.100.1]",
        "fe80::1%eth0",
        "[fe80::1%25eth0]:80",
        "[2001:db8::1",
        "2001:db8::1]",
        "2001:db8:::1",
        "198.51.100.1 10.0.0.8",
        "198.51.100.1;10.0.0.8",
        '"198.51.100.1"',
        "3325256705",
        "0xc6336401",
        "198.51.100.1\x0b",
        "\xb9198.51.100.1",
        ", ".join(["10.0.0.8"] * 65),
    ],
    ids=repr,
)
def test_d2_a_hop_that_is_nonsense_is_refused(value: str) -> None:
    with pytest.raises(BadPeer):
        peer(("X-Forwarded-For", value))


def test_d2_several_headers_are_one_list() -> None:
    assert came_from("198.51.100.1") == peer(
        ("X-Forwarded-For", "203.0.113.9"), ("X-Forwarded-For", "198.51.100.1"), ("X-Forwarded-For", "10.0.0.8")
    )


@pytest.mark.parametrize(
    "value, address",
    [
        ("for=198.51.100.1", "198.51.100.1"),
        ("For=198.51.100.1", "198.51.100.1"),
        ('for="198.51.100.1:4711"', "198.51.100.1"),
        ('for="[2001:db8::1]:4711";proto=https;by=203.0.113.43', "2001:db8::1"),
        ("proto=https;for=198.51.100.1", "198.51.100.1"),
        ("for=203.0.113.9, for=198.51.100.1;host=a", "198.51.100.1"),
        ("for=unknown , for=198.51.100.1 , for=10.0.0.8", "198.51.100.1"),
        ('for=203.0.113.9;host="a,for=203.0.113.10", for=198.51.100.1', "198.51.100.1"),
        (r'for=_a;host="\"", for=198.51.100.1', "198.51.100.1"),
        (r'for="\1\9\8.51.100.1"', "198.51.100.1"),
    ],
)
def test_d2_forwarded_is_read_as_rfc_7239_has_it(value: str, address: str) -> None:
    assert came_from(address) == peer(("Forwarded", value))


@pytest.mark.parametrize(
    "value",
    [
        "",
        "for",
        "for=",
        "for=unknown",
        "for=_hidden",
        "proto=https",
        "for=198.51.100.1, proto=https",
        "for=198.51.100.1;for=203.0.113.9",
        "for=198.51.100.1;FOR=198.51.100.1",
        "for=198.51.100.1,",
        ",for=198.51.100.1",
        "for=198.51.100.1;",
        "for = 198.51.100.1",
        "for=2001:db8::1",
        "for=[2001:db8::1]",
        'for="198.51.100.1',
        'for="203.0.113.9, for=198.51.100.1',
        'for="203.0.113.9\\", for=198.51.100.1',
        "for=198.51.100.1 for=203.0.113.9",
        'for="fe80::1%eth0"',
        'for=""',
    ],
    ids=repr,
)
def test_d2_a_forwarded_header_that_is_nonsense_is_refused(value: str) -> None:
    with pytest.raises(BadPeer):
        peer(("Forwarded", value))


def test_d2_both_headers_may_say_the_same() -> None:
    assert came_from("198.51.100.1") == peer(("X-Forwarded-For", "198.51.100.1"), ("Forwarded", "for=198.51.100.1"))


def test_d2_headers_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(BadPeer, match="different callers"):
        peer(("X-Forwarded-For", "198.51.100.1"), ("Forwarded", "for=198.51.100.2"))


def test_a_proxy_that_speaks_of_nobody_is_the_caller() -> None:
    assert came_from(PROXY) == peer()


def test_other_forwarding_headers_of_a_proxy_are_not_read() -> None:
    assert came_from(PROXY) == peer(("X-Real-IP", "198.51.100.1"), ("X-Client-IP", "198.51.100.2"))


# --- D3: the trusted ---


def test_d3_nobody_is_trusted_by_default() -> None:
    assert came_from(PROXY) == PeerReader().read(scope(("X-Forwarded-For", "198.51.100.1")))


@pytest.mark.parametrize("halves", [("0.0.0.0/1", "128.0.0.0/1"), ("::/1", "8000::/1")])
def test_d3_proxies_that_are_everybody_are_refused(halves: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match="every address"):
        PeerReader([Network.parse(half) for half in halves])


# --- D4, D5: certificates in headers ---


def test_d4_client_cert_is_read_as_rfc_9440_has_it() -> None:
    read = peer(
        ("X-Forwarded-For", "198.51.100.1"),
        ("Client-Cert", sf(LEAF)),
        ("Client-Cert-Chain", f"{sf(ISSUER)}, {sf(ROOT)}"),
        style="rfc9440",
    )

    assert Peer(ip_address("198.51.100.1"), LEAF, (ISSUER, ROOT)) == read


def test_d4_a_chain_may_come_in_several_headers() -> None:
    headers = [("Client-Cert", sf(LEAF)), ("Client-Cert-Chain", sf(ISSUER)), ("Client-Cert-Chain", sf(ROOT))]

    assert Peer(ip_address(PROXY), LEAF, (ISSUER, ROOT)) == peer(*headers, style="rfc9440")


@pytest.mark.parametrize("text", [pem(LEAF), pem(LEAF).rstrip("\n"), pem(LEAF).replace("\n", "\r\n")], ids=repr)
def test_d4_nginx_escaped_pem_is_read(text: str) -> None:
    assert Peer(ip_address(PROXY), LEAF) == peer(("X-SSL-Client-Cert", quote(text, safe="")), style="nginx")


@pytest.mark.parametrize(
    "headers",
    [
        [("Client-Cert", sf(LEAF)), ("Client-Cert", sf(LEAF))],
        [("Client_Cert", sf(LEAF))],
        [("Client-Cert", sf(LEAF)), ("Client_Cert", sf(LEAF))],
        [("Client-Cert", sf(LEAF)), ("Client_Cert_Chain", sf(ISSUER))],
        [("Client-Cert-Chain", sf(ISSUER))],
        [("Client-Cert", f"{sf(LEAF)}, {sf(ISSUER)}")],
        [("Client-Cert", sf(LEAF + ISSUER))],
        [("Client-Cert", sf(LEAF[:-1]))],
        [("Client-Cert", sf(LEAF) + ";a=1")],
        [("Client-Cert", "")],
        [("Client-Cert", "::")],
        [("Client-Cert", sf(LEAF).replace("A", "*", 1))],
        [("Client-Cert", sf(LEAF).replace("A", " ", 1))],
        [("Client-Cert", sf(ISSUER + b"").rstrip(":"))],
        [("Client-Cert", sf(ROOT).replace("=", ""))],
        [("Client-Cert", sf(ISSUER).replace("MAMCAQc=", "MAMCAQd="))],
        [("Client-Cert", base64.b64encode(LEAF).decode())],
        [("Client-Cert", f'"{base64.b64encode(LEAF).decode()}"')],
        [("Client-Cert", pem(ISSUER).replace("\n", " "))],
        [("Client-Cert", "\xe9")],
        [("Client-Cert", sf(LEAF)), ("Client-Cert-Chain", "nonsense")],
        [("Client-Cert", sf(LEAF)), ("Client-Cert-Chain", f"({sf(ISSUER)})")],
        [("Client-Cert", sf(LEAF)), ("Client-Cert-Chain", f"{sf(ISSUER)},")],
        [("Client-Cert", sf(LEAF)), ("Client-Cert-Chain", sf(b"\x30\x03\x02\x01"))],
        [("Client-Cert", sf(b"\x30\x82\xff\xff" + b"x" * 0xFFFF))],
        [("Client-Cert", sf(LEAF)), ("Client-Cert-Chain", ", ".join([sf(LEAF)] * (MAX_CERTIFICATE // 260 + 1)))],
    ],
    ids=lambda headers: "; ".join(f"{name}: {value[:20]}" for name, value in headers),
)
def test_d5_a_client_cert_that_is_not_exactly_one_certificate_is_refused(headers: list[tuple[str, str]]) -> None:
    with pytest.raises(BadPeer):
        peer(*headers, style="rfc9440")


@pytest.mark.parametrize(
    "text",
    [
        "",
        pem(LEAF) + pem(LEAF),
        pem(LEAF) + "junk",
        "junk" + pem(LEAF),
        pem(LEAF).replace("CERTIFICATE", "PRIVATE KEY"),
        pem(LEAF).replace("-----END CERTIFICATE-----", ""),
        pem(LEAF + ISSUER),
        pem(LEAF[:-1]),
        pem(LEAF).replace("A", "*", 1),
        pem(LEAF).replace("A", "", 1),
        pem(ISSUER).replace("=", ""),
        pem(ISSUER).replace("MAMCAQc=", "MAMCAQd="),
        pem(b""),
        "<html>",
    ],
    ids=repr,
)
def test_d5_an_nginx_header_that_is_not_exactly_one_certificate_is_refused(text: str) -> None:
    with pytest.raises(BadPeer):
        peer(("X-SSL-Client-Cert", quote(text, safe="")), style="nginx")


@pytest.mark.parametrize(
    "value",
    [pem(ISSUER).replace("\n", "\t"), quote(pem(LEAF), safe="") + "%", quote(pem(LEAF), safe="") + "%zz", sf(LEAF)],
    ids=["unescaped", "half an escape", "bad escape", "other style"],
)
def test_d5_an_nginx_header_that_is_not_escaped_is_refused(value: str) -> None:
    with pytest.raises(BadPeer):
        peer(("X-SSL-Client-Cert", value), style="nginx")


@pytest.mark.parametrize("names", [("X-SSL-Client-Cert",) * 2, ("X_SSL_Client_Cert",)])
def test_d5_a_doubled_nginx_header_and_its_twin_are_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(BadPeer):
        peer(*[(name, quote(pem(LEAF), safe="")) for name in names], style="nginx")


@pytest.mark.parametrize(
    "style, header",
    [("rfc9440", ("Client-Cert", sf(ROOT))), ("nginx", ("X-SSL-Client-Cert", quote(pem(ROOT), safe="")))],
)
def test_d5_a_certificate_on_the_connection_as_well_is_refused(
    style: CertificateHeader, header: tuple[str, str]
) -> None:
    with pytest.raises(BadPeer, match="on the connection"):
        peer(header, style=style, tls=LEAF)


def test_a_certificate_of_the_connection_is_the_proxys_own_when_it_speaks_of_somebody() -> None:
    assert came_from("198.51.100.1") == peer(("X-Forwarded-For", "198.51.100.1"), tls=LEAF)


def test_a_certificate_passed_through_with_the_connection_counts() -> None:
    assert Peer(ip_address(PROXY), LEAF, (ISSUER,)) == peer(tls=LEAF)


@pytest.mark.parametrize(
    "style, header",
    [
        ("none", ("Client-Cert", sf(LEAF))),
        ("none", ("X-SSL-Client-Cert", "junk")),
        ("nginx", ("Client-Cert", sf(LEAF))),
        ("rfc9440", ("X-SSL-Client-Cert", quote(pem(LEAF), safe=""))),
    ],
)
def test_the_style_that_is_not_configured_is_ignored(style: CertificateHeader, header: tuple[str, str]) -> None:
    """It came from the client, through a proxy that knows nothing of it."""
    assert came_from("198.51.100.1") == peer(header, ("X-Forwarded-For", "198.51.100.1"), style=style)


def test_the_peer_of_the_connection_is_there_whatever_the_proxy_says() -> None:
    reader = PeerReader(TRUSTED)

    assert came_from(PROXY) == reader.socket_peer(scope(("X-Forwarded-For", "nonsense")))
