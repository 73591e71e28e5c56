"""Who a request comes from (threats D1 to D8), through the whole server: proxies believed and not, networks kept."""

import base64
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import msgspec
import pytest

from aldaba.config import ConfigError
from aldaba.core.clients import add_client, set_networks
from aldaba.core.registrar import Registrar
from aldaba.crypto.certificates.authority import Authority
from aldaba.crypto.certificates.issued import Issued
from aldaba.errors import Impossible
from tests.served import JSON, Answer, MobilityClient, Served, login, request, serving_installation
from tests.threats.forms import F400, F401, M1, M4, M5, Said, said

TOKEN, PING = "/mobility/v1/token", "/mobility/v1/ping"
FLEET = "/fleet/api/Auth/Token"
# The proxy of `guarded` and `behind_nginx` is at 127.0.0.1; whoever calls from elsewhere is none.
STRANGER = "127.0.0.9"


def client_cert(certificate: Issued) -> str:
    """Return a certificate as RFC 9440 has it."""
    return f":{base64.b64encode(certificate.der).decode()}:"


def escaped_pem(certificate: Issued) -> str:
    """Return a certificate as nginx's `$ssl_client_escaped_cert`."""
    return quote(certificate.pem.decode(), safe="")


def through(served: Served, path: str, *lines: str, source: str = "127.0.0.1") -> Answer:
    """Ask on the public port with header lines as they stand."""
    head = "\r\n".join([f"GET {path} HTTP/1.1", "Host: x", *lines, "", ""])
    with served.connect(source=source) as connection:
        return connection.send(head.encode())


def log_in(served: Served, name: str, key: str, *, source: str = "127.0.0.1", **headers: str) -> Said:
    with served.connect(source=source) as connection:
        sent = request("POST", FLEET, login(name, key), content_type=JSON, **headers)
        answer = connection.send(sent)
    return said(answer)


@pytest.fixture(scope="module")
def beacon(guarded: Served) -> MobilityClient:
    """Give a client that may call from a network of the documentation only, through the proxy."""
    return guarded.mobility_client(networks=("192.0.2.0/24", "2001:db8::/32"))


def good(beacon: MobilityClient) -> tuple[str, str]:
    """Return what the proxy says of a good call."""
    return "X-Forwarded-For: 192.0.2.7", f"Client-Cert: {client_cert(beacon.certificate)}"


# -- D1: strangers ----------------------------------------------------------------------------------------------------


def test_d1_what_a_stranger_says_of_himself_is_ignored_and_recorded(guarded: Served, beacon: MobilityClient) -> None:
    lines = (*good(beacon), "Forwarded: for=192.0.2.7", "X-Real-IP: 192.0.2.7", "X-Forwarded-Client-Cert: x")

    refused = through(guarded, TOKEN, *lines, source=STRANGER)

    assert M1 == said(refused)
    (event,) = guarded.recorded(refused.request_id)
    assert (STRANGER, "credential_missing") == (event.address, event.reason)
    ignored = msgspec.json.decode(event.detail)["ignored_headers"]
    assert ["client-cert", "forwarded", "x-forwarded-client-cert", "x-forwarded-for", "x-real-ip"] == sorted(ignored)


def test_d1_without_configured_proxies_nobody_is_believed(served: Served) -> None:
    client = served.fleet_client(networks=("192.0.2.0/24",))

    assert F401 == log_in(served, client.name, client.key, x_forwarded_for="192.0.2.7")
    assert F401 == log_in(served, client.name, client.key, source=STRANGER, forwarded="for=192.0.2.7")


def test_d1_the_address_of_a_stranger_stays_his_own(guarded: Served) -> None:
    client = guarded.fleet_client(networks=("127.0.0.9",))

    assert 200 == log_in(guarded, client.name, client.key, source=STRANGER, x_forwarded_for="198.51.100.1")[0]
    assert F401 == log_in(guarded, client.name, client.key, source="127.0.0.10", x_forwarded_for="127.0.0.9")


# -- D2: what a proxy says --------------------------------------------------------------------------------------------


def test_d2_the_right_most_hop_that_is_no_proxy_counts(guarded: Served, beacon: MobilityClient) -> None:
    _, certificate = good(beacon)

    answers = {
        hops: through(guarded, TOKEN, f"X-Forwarded-For: {hops}", certificate).status
        for hops in ("192.0.2.7", "203.0.113.5, 192.0.2.7", "192.0.2.7, 127.0.0.1", "192.0.2.7, 203.0.113.5")
    }

    # The last one says: 203.0.113.5 came to us, and claims to speak for 192.0.2.7.
    assert [200, 200, 200, 401] == list(answers.values())


@pytest.mark.parametrize(
    "lines",
    [
        ["X-Forwarded-For: unknown"],
        ["X-Forwarded-For: 192.0.2.7,"],
        ["X-Forwarded-For: ,192.0.2.7,,"],
        ["X-Forwarded-For: 192.0.2"],
        ["X-Forwarded-For: 192.0.2.007"],
        ["X-Forwarded-For: 3221225991"],
        ["X-Forwarded-For: 0xC0.0.2.7"],
        ["X-Forwarded-For: fe80::1%eth0"],
        ["X-Forwarded-For: 192.0.2.7:99999999"],
        ["X-Forwarded-For: [192.0.2.7]"],
        ["X-Forwarded-For: " + ", ".join(["192.0.2.7"] * 65)],
        ["X-Forwarded-For: "],
        ["X-Forwarded-For: 192.0.2.7", "X-Forwarded-For: junk"],
        ["Forwarded: for=_hidden"],
        ["Forwarded: by=192.0.2.7"],
        ['Forwarded: for="192.0.2.7'],
        ["Forwarded: for=192.0.2.7;for=192.0.2.8"],
        ["X-Forwarded-For: 192.0.2.7", "Forwarded: for=192.0.2.8"],
    ],
    ids=lambda lines: "|".join(lines)[:60],
)
def test_d2_nonsense_and_contradictions_of_a_proxy_are_refused(
    guarded: Served, beacon: MobilityClient, lines: list[str]
) -> None:
    answer = through(guarded, TOKEN, *lines, f"Client-Cert: {client_cert(beacon.certificate)}")

    assert M4 == said(answer)
    assert "peer_contradictory" == guarded.reason(answer)
    # In the words of the other dialect too.
    with guarded.connect() as connection:
        body = login("nobody", "x")
        head = "\r\n".join([f"POST {FLEET} HTTP/1.1", "Host: x", *lines, f"Content-Length: {len(body)}", "", ""])
        assert F400 == said(connection.send(head.encode() + body))


def test_d2_ports_several_headers_and_agreement_are_read(guarded: Served, beacon: MobilityClient) -> None:
    _, certificate = good(beacon)
    for lines in (
        ["X-Forwarded-For: 192.0.2.7:51234"],
        ["X-Forwarded-For: 203.0.113.5", "X-Forwarded-For: 192.0.2.7"],
        ["X-Forwarded-For: [2001:db8::7]:443"],
        ['Forwarded: for="[2001:db8::7]:443";proto=https'],
        ["X-Forwarded-For: 192.0.2.7", "Forwarded: for=192.0.2.7"],
    ):
        assert 200 == through(guarded, TOKEN, *lines, certificate).status, lines


# -- D3: who is a proxy -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trusted", ['["0.0.0.0/0"]', '["::/0"]', '["0.0.0.0/1", "128.0.0.0/1"]'])
def test_d3_a_server_that_would_believe_everybody_does_not_start(tmp_path: Path, trusted: str) -> None:
    (tmp_path / "run").mkdir()

    with (
        pytest.raises(ConfigError, match=r"proxy\.trusted"),
        serving_installation(tmp_path / "run", "sqlite:///aldaba.db", f"[proxy]\ntrusted = {trusted}\n"),
    ):
        pass


# -- D4, D5: certificates in headers ----------------------------------------------------------------------------------


def test_d4_a_forwarded_certificate_is_verified_in_full_by_us(guarded: Served, beacon: MobilityClient) -> None:
    address, _ = good(beacon)
    key = beacon.certificate.key
    for certificate in (
        Authority.create("Authority of somebody else").client(beacon.name, key=key),
        guarded.authority.client(beacon.name, key=key, extended_key_usage=None),
        guarded.authority.client(beacon.name),
        guarded.authority.client("nobody"),
    ):
        assert M1 == said(through(guarded, TOKEN, address, f"Client-Cert: {client_cert(certificate)}"))


def test_d4_a_token_through_the_proxy_is_bound_as_one_without_it(guarded: Served, beacon: MobilityClient) -> None:
    token = through(guarded, TOKEN, *good(beacon)).json["token"]
    other = guarded.mobility_client(networks=("192.0.2.0/24",))
    address, _ = good(beacon)

    assert 200 == through(guarded, PING, *good(beacon), f"Authorization: {token}").status
    swapped = f"Client-Cert: {client_cert(other.certificate)}"
    assert M5 == said(through(guarded, PING, address, swapped, f"Authorization: {token}"))
    assert M5 == said(through(guarded, PING, address, f"Authorization: {token}"))


def spoilt(certificate: Issued, other: Issued) -> Iterator[list[str]]:
    """Yield header lines that hold something other than one certificate."""
    value = client_cert(certificate)
    raw = base64.b64encode(certificate.der).decode()
    yield [f"Client-Cert: {value}", f"Client-Cert: {value}"]
    yield [f"Client-Cert: {value}", f"Client_Cert: {value}"]
    yield [f"Client_Cert: {value}"]
    yield [f"Client-Cert: {value}, {client_cert(other)}"]
    yield [f"Client-Cert: {raw}"]
    yield [f"Client-Cert: :{raw[:-4]}####:"]
    yield [f"Client-Cert: :{raw}"]
    yield [f"Client-Cert: {value};a=1"]
    yield ["Client-Cert: ::"]
    yield ["Client-Cert: "]
    yield [f"Client-Cert: :{base64.b64encode(certificate.der + other.der).decode()}:"]
    yield [f"Client-Cert: :{base64.b64encode(certificate.der + b'x').decode()}:"]
    yield [f"Client-Cert: :{base64.b64encode(certificate.der[:-1]).decode()}:"]
    yield [f"Client-Cert: :{base64.b64encode(certificate.pem).decode()}:"]
    yield [f"Client-Cert-Chain: {value}"]
    yield [f"Client-Cert: {escaped_pem(certificate)}"]


def test_d5_a_header_with_other_than_one_certificate_is_refused(guarded: Served, beacon: MobilityClient) -> None:
    other = guarded.mobility_client(networks=("192.0.2.0/24",))
    for lines in spoilt(beacon.certificate, other.certificate):
        assert M4 == said(through(guarded, TOKEN, "X-Forwarded-For: 192.0.2.7", *lines)), lines[0][:60]


def test_d5_the_same_for_nginx(behind_nginx: Served) -> None:
    client = behind_nginx.mobility_client(networks=("192.0.2.0/24",))
    value, address = escaped_pem(client.certificate), "X-Forwarded-For: 192.0.2.7"

    assert 200 == through(behind_nginx, TOKEN, address, f"X-SSL-Client-Cert: {value}").status
    # The other style is one that this proxy does not know, so it came from the client.
    other_style = f"Client-Cert: {client_cert(client.certificate)}"
    assert M1 == said(through(behind_nginx, TOKEN, address, other_style))
    for lines in (
        [f"X-SSL-Client-Cert: {value}", f"X-SSL-Client-Cert: {value}"],
        [f"X-SSL-Client-Cert: {value}", f"X_SSL_Client_Cert: {value}"],
        [f"X-SSL-Client-Cert: {value}{value}"],
        [f"X-SSL-Client-Cert: {value[:-40]}"],
        [f"X-SSL-Client-Cert: {quote(client.certificate.key_pem.decode(), safe='')}"],
        ["X-SSL-Client-Cert: junk"],
        ["X-SSL-Client-Cert: "],
    ):
        assert M4 == said(through(behind_nginx, TOKEN, address, *lines)), lines[0][:60]


def test_d5_a_certificate_on_the_connection_as_well_is_refused(guarded: Served, beacon: MobilityClient) -> None:
    head = "\r\n".join([f"GET {TOKEN} HTTP/1.1", "Host: x", *good(beacon), "", ""]).encode()
    with guarded.connect_tls(beacon.certificate) as connection:
        assert M4 == said(connection.send(head))


# -- D6 to D8: networks -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dual(migrated_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Give an installation that listens on both families, where addresses of IPv4 arrive mapped into IPv6."""
    directory = tmp_path_factory.mktemp("dual")
    shutil.copy(migrated_file, directory / "aldaba.db")
    with serving_installation(directory, "sqlite:///aldaba.db", public="[::]:0") as running:
        yield running


@pytest.mark.parametrize("network", ["127.0.0.0/8", "127.0.0.1", "::ffff:127.0.0.0/104", "::ffff:7f00:1"])
def test_d6_an_address_mapped_into_ipv6_is_the_address_it_maps(dual: Served, network: str) -> None:
    client = dual.fleet_client(networks=(network,))

    assert 200 == log_in(dual, client.name, client.key)[0]
    assert F401 == log_in(dual, client.name, client.key, source="::1")


def test_d6_the_audit_log_names_the_address_unwrapped(dual: Served) -> None:
    with dual.connect() as connection:
        answer = connection.send(request("GET", "/fleet/api/devices"))

    assert "127.0.0.1" == dual.recorded(answer.request_id)[-1].address


@pytest.mark.parametrize(
    "entry",
    ["0.0.0.0/0", "::/0", "::ffff:0:0/96", "192.0.2.1/24", "192.0.02.1", "192.0.2", "localhost", "example.org",
     "192.0.2.0/255.255.255.0", "fe80::1%eth0", "", " 192.0.2.1", "192.0.2.1/33"],
)  # fmt: skip
def test_d7_an_entry_that_is_no_network_or_everybody_is_refused_with_a_text(served: Served, entry: str) -> None:
    client = served.fleet_client()

    with pytest.raises(Impossible, match=r"network|address|lets every"):
        served.operate(lambda registrar: set_networks(registrar, client.name, [entry]))
    with pytest.raises(Impossible, match=r"network|address|lets every"):
        served.operate(
            lambda registrar: add_client(
                registrar, served.fresh_name("new"), partner=client.partner, services=["fleet"], networks=[entry]
            )
        )


def test_d7_an_empty_list_is_nobody(served: Served) -> None:
    fleet, mobility = served.fleet_client(networks=()), served.mobility_client(networks=())

    assert F401 == log_in(served, fleet.name, fleet.key)
    assert M1 == said(served.ask_tls(mobility.certificate, "GET", TOKEN))


def test_d8_a_network_that_is_taken_away_is_refused_at_the_next_request(served: Served) -> None:
    fleet, mobility = served.fleet_client(networks=("127.0.0.0/8",)), served.mobility_client()
    fleet_token, mobility_token = served.fleet_token(fleet), served.mobility_token(mobility)
    with served.connect() as plain, served.connect_tls(mobility.certificate) as mutual:
        devices = request("GET", "/fleet/api/devices", authorization=f"Bearer {fleet_token}")
        ping = request("GET", PING, authorization=mobility_token)
        assert [200, 200] == [plain.send(devices).status, mutual.send(ping).status]
        move(served, "192.0.2.0/24", fleet.name, mobility.name)

        assert 403 == plain.send(devices).status
        assert M1 == said(mutual.send(ping))
        move(served, "127.0.0.1", fleet.name, mobility.name)
        assert [200, 200] == [plain.send(devices).status, mutual.send(ping).status]


def move(served: Served, network: str, *names: str) -> None:
    async def work(registrar: Registrar) -> None:
        for name in names:
            await set_networks(registrar, name, [network])

    served.operate(work)
