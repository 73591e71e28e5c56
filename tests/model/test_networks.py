"""Networks: what an allow list may say, and who is in one."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aldaba.model.networks import Network, contains, covers_everything, parse_address, prefix_of


@pytest.mark.parametrize(
    "text, said",
    [
        ("0.0.0.0/0", "lets every address in"),
        ("::/0", "lets every address in"),
        ("::ffff:0:0/96", "lets every address in"),
        ("192.0.2.7/24", "write 192.0.2.0/24"),
        ("2001:db8::1/64", "write 2001:db8::/64"),
        ("010.0.0.1", "leading zeros"),
        ("192.0.2.01", "leading zeros"),
        ("192.0.2.0/024", "length of the prefix"),
        ("192.0.2.0/", "length of the prefix"),
        ("192.0.2.0/255.255.255.0", "length of the prefix"),
        ("192.0.2.0/+24", "length of the prefix"),
        ("192.0.2.0/33", "write an address or a network"),
        ("partner.example.com", "names are not looked up"),
        ("localhost", "names are not looked up"),
        ("0x7f.1", "names are not looked up"),
        ("fe80::1%eth0", "zone id"),
        ("fe80::%eth0/64", "zone id"),
        ("127.1", "write an address or a network"),
        ("2130706433", "write an address or a network"),
        ("192.0.2.1 ", "write an address or a network"),
        ("١٩٢.0.2.1", "no network"),
        ("", "write an address or a network"),
        ("/8", "write an address or a network"),
    ],
)
def test_d7_an_entry_that_is_no_network_is_refused_with_what_to_write(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Network.parse(text)


@pytest.mark.parametrize(
    "text, canonical",
    [
        ("192.0.2.7", "192.0.2.7/32"),
        ("192.0.2.0/24", "192.0.2.0/24"),
        ("0.0.0.0/1", "0.0.0.0/1"),
        ("2001:DB8:0:0::/64", "2001:db8::/64"),
        ("::1", "::1/128"),
        ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
        ("::ffff:192.0.2.1", "192.0.2.1/32"),
    ],
)
def test_a_network_is_kept_in_one_spelling(text: str, canonical: str) -> None:
    network = Network.parse(text)

    assert canonical == str(network)
    assert network == Network.parse(str(network))


def test_d7_an_empty_list_holds_nobody() -> None:
    assert not contains((), IPv4Address("192.0.2.1"))


@pytest.mark.parametrize("entry", ["192.0.2.0/24", "::ffff:192.0.2.0/120"])
@pytest.mark.parametrize("address", ["192.0.2.1", "::ffff:192.0.2.1", "::ffff:c000:201"])
def test_d6_a_mapped_address_is_the_address_it_maps(entry: str, address: str) -> None:
    network = Network.parse(entry)

    assert contains([network], ip_address(address))
    assert contains([network], parse_address(address))


def test_d6_an_address_is_in_no_network_of_the_other_family() -> None:
    assert not contains([Network.parse("::/1")], IPv4Address("0.0.0.1"))
    assert not contains([Network.parse("0.0.0.0/1")], IPv6Address("::1"))


addresses = st.ip_addresses().filter(lambda address: address.version == 4 or address.ipv4_mapped is None)


@given(addresses, addresses, st.integers(1, 128))
def test_an_address_is_in_a_network_exactly_when_python_says_so(
    one: IPv4Address | IPv6Address, other: IPv4Address | IPv6Address, prefix: int
) -> None:
    expected = ip_network((one, min(prefix, one.max_prefixlen)), strict=False)
    network = Network.parse(str(expected))

    assert contains([network], one)
    assert (other in expected) == contains([network], other)


@pytest.mark.parametrize(
    "address, source",
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::/64"),
        ("::1", "::/64"),
    ],
)
def test_b7_whoever_has_one_address_of_a_64_has_them_all(address: str, source: str) -> None:
    assert source == prefix_of(ip_address(address))


def test_an_address_has_no_zone() -> None:
    assert IPv6Address("fe80::1") == parse_address("fe80::1%eth0")


@pytest.mark.parametrize("text", ["", "localhost", "192.0.2.01", "192.0.2.1:80", "[::1]"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="does not appear"):
        parse_address(text)


@pytest.mark.parametrize(
    "texts, everything",
    [
        (["0.0.0.0/1", "128.0.0.0/1"], True),
        (["::/1", "8000::/2", "c000::/2"], True),
        (["0.0.0.0/1", "10.0.0.0/8"], False),
        (["0.0.0.0/1", "8000::/1"], False),
        (["128.0.0.0/1", "128.0.0.0/1"], False),
        ([], False),
    ],
)
def test_d3_networks_that_make_a_whole_together_are_noticed(texts: list[str], everything: bool) -> None:
    assert everything == covers_everything([Network.parse(text) for text in texts])
