"""Forged, stale and misused tokens (threats E1 to E16), shown to the protected calls of both dialects."""

import json
import socket
import threading
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from aldaba.core.clients import disable_client, enable_client, end_tokens, set_roles
from aldaba.core.keys import rotate_keys
from aldaba.core.tokens import end_all_tokens, revoke_token
from tests.served import JSON, Answer, FleetClient, MobilityClient, Served, in_seconds, login, request
from tests.threats.forging import decoded, forgeries, signed
from tests.threats.forms import FT, M0, M1, M5, M6, M7, said

FLEET = "/fleet/api/devices"
MOBILITY = "/mobility/v1/ping"


def ask_fleet(served: Served, *authorizations: str) -> Answer:
    lines = "".join(f"Authorization: {value}\r\n" for value in authorizations)
    with served.connect() as connection:
        return connection.send(f"GET {FLEET} HTTP/1.1\r\nHost: x\r\n{lines}\r\n".encode())


def ask_mobility(served: Served, client: MobilityClient, *authorizations: str, path: str = MOBILITY) -> Answer:
    lines = "".join(f"Authorization: {value}\r\n" for value in authorizations)
    with served.connect_tls(client.certificate) as connection:
        return connection.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n{lines}\r\n".encode())


@pytest.fixture(scope="module")
def account(served: Served) -> FleetClient:
    """Give a client of the fleet service."""
    return served.fleet_client()


@pytest.fixture(scope="module")
def beacon(served: Served) -> MobilityClient:
    """Give a client of the mobility services."""
    return served.mobility_client(services=("mobility", "use-case-17"))


def payload_of(token: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(decoded(token.split(".")[1]))
    return found


# -- E1 to E6, E16: forged --------------------------------------------------------------------------------------------


def opens_nothing(served: Served, account: FleetClient, beacon: MobilityClient, row: str) -> None:
    """Show every forgery of a row to both dialects, and in the end a good token on the same connections."""
    fleet, mobility = served.fleet_token(account), served.mobility_token(beacon).removeprefix("Bearer ")
    with served.connect() as plain, served.connect_tls(beacon.certificate) as mutual:
        for connection, path, token, service, expected in (
            (plain, FLEET, fleet, "fleet", FT),
            (mutual, MOBILITY, mobility, "mobility", M5),
        ):
            forged = list(forgeries(row, token, served.signing_key(service), served.authority.pem))
            for forgery in forged:
                answer = connection.send(request("GET", path, authorization=f"Bearer {forgery.token}"))
                assert expected == said(answer), forgery.fault
            assert forged
            assert 200 == connection.send(request("GET", path, authorization=f"Bearer {token}")).status


def test_e1_another_algorithm_or_type_opens_nothing(
    served: Served, account: FleetClient, beacon: MobilityClient
) -> None:
    opens_nothing(served, account, beacon, "e1")


def test_e2_another_key_opens_nothing(served: Served, account: FleetClient, beacon: MobilityClient) -> None:
    opens_nothing(served, account, beacon, "e2")


def test_e3_a_signature_that_was_touched_opens_nothing(
    served: Served, account: FleetClient, beacon: MobilityClient
) -> None:
    opens_nothing(served, account, beacon, "e3")


def test_e4_another_form_than_three_segments_opens_nothing(
    served: Served, account: FleetClient, beacon: MobilityClient
) -> None:
    opens_nothing(served, account, beacon, "e4")


def test_e5_odd_json_opens_nothing_though_we_signed_it(
    served: Served, account: FleetClient, beacon: MobilityClient
) -> None:
    opens_nothing(served, account, beacon, "e5")


def test_e6_a_header_with_more_in_it_opens_nothing_though_we_signed_it(
    served: Served, account: FleetClient, beacon: MobilityClient
) -> None:
    opens_nothing(served, account, beacon, "e6")


def test_e16_a_signature_of_another_value_or_length_opens_nothing(
    served: Served, account: FleetClient, beacon: MobilityClient
) -> None:
    opens_nothing(served, account, beacon, "e16")


def test_e2_a_token_of_another_service_is_refused_in_both_directions(
    served: Served, account: FleetClient, beacon: MobilityClient
) -> None:
    fleet, mobility = served.fleet_token(account), served.mobility_token(beacon)
    other = served.mobility_token(beacon, "use-case-17")

    assert FT == said(ask_fleet(served, mobility))
    assert M5 == said(ask_mobility(served, beacon, f"Bearer {fleet}"))
    assert M5 == said(ask_mobility(served, beacon, other))
    assert M5 == said(ask_mobility(served, beacon, mobility, path="/use-case-17/v1/ping"))


def test_e2_the_claims_of_one_dialect_signed_for_the_other_are_refused(
    served: Served, account: FleetClient, beacon: MobilityClient
) -> None:
    claims = payload_of(served.fleet_token(account))

    assert M7 == said(ask_mobility(served, beacon, f"Bearer {served.sign('mobility', claims)}"))


# -- E7 to E9: claims -------------------------------------------------------------------------------------------------

ODD_INSTANTS: tuple[Any, ...] = (None, "", "1900000000", 1.9e9, True, [], {}, 2**53, -(2**53), 10**30)


def good_claims(client: FleetClient | MobilityClient, token: str, **changes: Any) -> dict[str, Any]:
    claims = {**payload_of(token.removeprefix("Bearer ")), **changes}
    return {name: value for name, value in claims.items() if value is not ...}


@pytest.mark.parametrize("exp", [..., *ODD_INSTANTS])
def test_e7_an_exp_that_is_missing_or_no_instant_is_refused(
    served: Served, account: FleetClient, beacon: MobilityClient, exp: Any
) -> None:
    fleet = served.sign("fleet", good_claims(account, served.fleet_token(account), exp=exp))
    mobility = served.sign("mobility", good_claims(beacon, served.mobility_token(beacon), exp=exp))

    assert FT == said(ask_fleet(served, f"Bearer {fleet}"))
    assert M7 == said(ask_mobility(served, beacon, f"Bearer {mobility}"))


@pytest.mark.parametrize("ago_s", [0, 1, 3600, 10**9])
def test_e7_an_expired_token_is_refused_without_tolerance(
    served: Served, account: FleetClient, beacon: MobilityClient, ago_s: int
) -> None:
    exp = in_seconds(datetime.now(UTC)) - ago_s
    fleet = served.sign("fleet", good_claims(account, served.fleet_token(account), exp=exp, iat=exp - 10))
    mobility = served.sign("mobility", good_claims(beacon, served.mobility_token(beacon), exp=exp, iat=exp - 10))

    assert FT == said(ask_fleet(served, f"Bearer {fleet}"))
    assert M6 == said(ask_mobility(served, beacon, f"Bearer {mobility}"))


def test_e7_a_token_that_is_good_now_is_refused_in_the_second_of_its_exp(
    served: Served, account: FleetClient, beacon: MobilityClient
) -> None:
    exp = in_seconds(datetime.now(UTC)) + 2
    token = served.sign("fleet", good_claims(account, served.fleet_token(account), exp=exp))

    assert 200 == ask_fleet(served, f"Bearer {token}").status
    time.sleep(max(0.0, exp - time.time()) + 0.01)
    assert FT == said(ask_fleet(served, f"Bearer {token}"))


@pytest.mark.parametrize("claim", ["iat", "nbf"])
def test_e8_instants_ten_seconds_ahead_pass_and_a_minute_ahead_do_not(
    served: Served, account: FleetClient, beacon: MobilityClient, claim: str
) -> None:
    now = in_seconds(datetime.now(UTC))
    fleet, mobility = served.fleet_token(account), served.mobility_token(beacon)

    def shown(ahead_s: int) -> tuple[Answer, Answer]:
        changes = {claim: now + ahead_s}
        return (
            ask_fleet(served, f"Bearer {served.sign('fleet', good_claims(account, fleet, **changes))}"),
            ask_mobility(served, beacon, f"Bearer {served.sign('mobility', good_claims(beacon, mobility, **changes))}"),
        )

    assert [200, 200] == [answer.status for answer in shown(9)]
    assert [FT, M7] == [said(answer) for answer in shown(60)]


# As a number, `iat` is an instant: of 1970.
ODD_VALUES: tuple[Any, ...] = (..., None, 1, True, ["x"], {})
ODD_CLAIMS = [
    (claim, value)
    for claim in ("sub", "cred", "iat")
    for value in ODD_VALUES
    if (claim, value) != ("iat", 1) or value is True
]


@pytest.mark.parametrize("claim, value", ODD_CLAIMS)
def test_e9_a_claim_that_is_missing_or_of_another_type_is_refused(
    served: Served, account: FleetClient, beacon: MobilityClient, claim: str, value: Any
) -> None:
    fleet = served.sign("fleet", good_claims(account, served.fleet_token(account), **{claim: value}))
    mobility = served.sign("mobility", good_claims(beacon, served.mobility_token(beacon), **{claim: value}))

    assert FT == said(ask_fleet(served, f"Bearer {fleet}"))
    assert M7 == said(ask_mobility(served, beacon, f"Bearer {mobility}"))


def test_e9_a_subject_in_another_spelling_or_unknown_is_refused(
    served: Served, account: FleetClient, beacon: MobilityClient
) -> None:
    fleet, mobility = served.fleet_token(account), served.mobility_token(beacon)
    for subject in (account.name.upper(), f" {account.name}", "nobody", "", "x" * 1_000):
        assert FT == said(ask_fleet(served, f"Bearer {served.sign('fleet', good_claims(account, fleet, sub=subject))}"))
    for subject in (beacon.name.upper(), "nobody"):
        claims = good_claims(beacon, mobility, sub=subject)
        assert M1 == said(ask_mobility(served, beacon, f"Bearer {served.sign('mobility', claims)}"))


def test_e9_a_credential_of_another_client_is_refused(served: Served, account: FleetClient) -> None:
    other = served.fleet_client()
    claims = good_claims(account, served.fleet_token(account), cred=other.credential)

    assert FT == said(ask_fleet(served, f"Bearer {served.sign('fleet', claims)}"))


def test_e9_roles_are_those_of_the_registry_and_not_those_of_the_payload(served: Served) -> None:
    client = served.mobility_client()
    token = served.mobility_token(client)
    claims = good_claims(client, token, authorities=["ROLE_ADMIN"])
    promoted = f"Bearer {served.sign('mobility', claims)}"

    assert ["ROLE_USER"] == ask_mobility(served, client, promoted).json["authorities"]
    served.operate(lambda registrar: set_roles(registrar, client.name, ["ROLE_OPERATOR"]))
    assert ["ROLE_OPERATOR"] == ask_mobility(served, client, token).json["authorities"]


def test_e9_a_disabled_client_with_a_live_token_is_refused_until_it_is_enabled(served: Served) -> None:
    client = served.fleet_client()
    token = f"Bearer {served.fleet_token(client)}"

    served.operate(lambda registrar: disable_client(registrar, client.name))
    refused = ask_fleet(served, token)
    served.operate(lambda registrar: enable_client(registrar, client.name))

    assert (403, "Forbidden") == (refused.status, refused.json["error"])
    assert 200 == ask_fleet(served, token).status


# -- E11: how a token is sent -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spell",
    [
        "bearer {}",
        "BEARER {}",
        "Bearer {}",
        "Bearer {} ",
    ],
)
def test_e11_the_scheme_is_in_any_case_and_white_space_around_the_value_is_no_part_of_it(
    served: Served, account: FleetClient, beacon: MobilityClient, spell: str
) -> None:
    assert 200 == ask_fleet(served, spell.format(served.fleet_token(account))).status
    mobility = served.mobility_token(beacon).removeprefix("Bearer ")
    assert 200 == ask_mobility(served, beacon, spell.format(mobility)).status


@pytest.mark.parametrize(
    "spell",
    [
        "{}",
        "Bearer  {}",
        "Bearer\t{}",
        "Bearer {0} {0}",
        "Bearer Bearer {}",
        "Token {}",
        "Basic {}",
        "Bearer:{}",
        "Bearer={}",
        "Bearer {},",
        "Bearer token={}",
        'Bearer "{}"',
        "Bearer",
        "Bearer ",
        "",
    ],
)
def test_e11_any_other_form_of_the_header_is_an_incorrect_token(
    served: Served, account: FleetClient, beacon: MobilityClient, spell: str
) -> None:
    assert FT == said(ask_fleet(served, spell.format(served.fleet_token(account))))
    mobility = served.mobility_token(beacon).removeprefix("Bearer ")
    assert M5 == said(ask_mobility(served, beacon, spell.format(mobility)))


def test_e11_two_headers_are_refused_even_when_both_are_good(
    served: Served, account: FleetClient, beacon: MobilityClient
) -> None:
    fleet, mobility = f"Bearer {served.fleet_token(account)}", served.mobility_token(beacon)

    assert FT == said(ask_fleet(served, fleet, fleet))
    assert M5 == said(ask_mobility(served, beacon, mobility, mobility))


def test_e11_a_token_in_the_query_a_cookie_or_the_body_is_not_looked_at(
    served: Served, account: FleetClient, beacon: MobilityClient
) -> None:
    token, mobility = served.fleet_token(account), served.mobility_token(beacon)

    assert FT == said(served.ask("GET", f"{FLEET}?access_token={token}&token={token}"))
    assert FT == said(served.ask("GET", FLEET, cookie=f"token={token}", x_api_key=token))
    body = f"access_token={token}".encode()
    assert FT == said(served.ask("GET", FLEET, body, content_type="application/x-www-form-urlencoded"))
    bare = mobility.removeprefix("Bearer ")
    assert M0 == said(served.ask_tls(beacon.certificate, "GET", f"{MOBILITY}?access_token={bare}"))


# -- E12, E13: revoked ------------------------------------------------------------------------------------------------


def test_e12_a_revoked_token_is_refused_on_a_connection_that_goes_on(served: Served) -> None:
    client = served.fleet_client()
    token = served.fleet_token(client)
    asked = request("GET", FLEET, authorization=f"Bearer {token}")
    with served.connect() as connection:
        assert 200 == connection.send(asked).status
        served.operate(lambda registrar: revoke_token(registrar, token))

        assert 401 == connection.send(asked).status


def test_e13_revoking_one_token_leaves_others_with_the_same_jti_alone(served: Served) -> None:
    client = served.mobility_client()
    other = served.mobility_client()
    first = served.mobility_token(client)
    # Another second, since claims of the same second are the same token.
    time.sleep(1.0)
    second, foreign = served.mobility_token(client), served.mobility_token(other)

    served.operate(lambda registrar: revoke_token(registrar, first))

    assert M5 == said(ask_mobility(served, client, first))
    assert 200 == ask_mobility(served, client, second).status
    assert 200 == ask_mobility(served, other, foreign).status


def test_e13_all_tokens_of_a_client_end_at_a_moment_and_new_ones_are_good(served: Served) -> None:
    client, other = served.mobility_client(), served.mobility_client()
    token, foreign = served.mobility_token(client), served.mobility_token(other)

    served.operate(lambda registrar: end_tokens(registrar, client.name))

    assert M5 == said(ask_mobility(served, client, token))
    assert 200 == ask_mobility(served, other, foreign).status
    assert 200 == ask_mobility(served, client, served.mobility_token(client)).status


# -- E14, E15: keys ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/.well-known/jwks.json", "/jwks", "/fleet/.well-known/jwks.json", "/mobility/jwks"])
def test_e14_shared_keys_are_published_nowhere(served: Served, path: str) -> None:
    assert 404 == served.ask("GET", path).status


def test_e15_while_keys_rotate_no_valid_token_is_refused(served: Served) -> None:
    client = served.fleet_client(services=("fleet-trial",))
    statuses: list[int] = []
    tokens = [served.fleet_token(client, "fleet-trial")]
    done = threading.Event()

    def go_on() -> None:
        with served.connect() as connection:
            while not done.is_set():
                for token in tokens[-5:]:
                    asked = request("GET", "/fleet-trial/api/devices", authorization=f"Bearer {token}")
                    statuses.append(connection.send(asked).status)
                sent = request("POST", "/fleet-trial/api/Auth/Token", login(client.name, client.key), content_type=JSON)
                answer = connection.send(sent)
                statuses.append(answer.status)
                tokens.append(answer.json["token"])

    threads = [threading.Thread(target=go_on) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(5):
        served.operate(lambda registrar: rotate_keys(registrar, "fleet-trial"))
        time.sleep(0.1)
    done.set()
    for thread in threads:
        thread.join()

    assert {200} == set(statuses)
    assert len(tokens) > 5
    asked = request("GET", "/fleet-trial/api/devices", authorization=f"Bearer {tokens[0]}")
    with served.connect() as connection:
        assert 200 == connection.send(asked).status


def test_e15_a_compromised_key_ends_its_tokens_at_once(served: Served) -> None:
    client = served.mobility_client(services=("use-case-17",))
    token = served.mobility_token(client, "use-case-17")

    served.operate(lambda registrar: rotate_keys(registrar, "use-case-17", compromised=True))

    assert M5 == said(ask_mobility(served, client, token, path="/use-case-17/v1/ping"))
    assert 200 == served.ask_tls(client.certificate, "GET", "/use-case-17/v1/token").status


def test_k7_after_a_restored_backup_all_tokens_before_it_are_ended(fresh: Served) -> None:
    client = fresh.fleet_client()
    token = f"Bearer {fresh.fleet_token(client)}"

    fresh.operate(end_all_tokens)

    assert 401 == ask_fleet(fresh, token).status
    assert 200 == ask_fleet(fresh, f"Bearer {fresh.fleet_token(client)}").status


def test_e6_nothing_is_fetched_from_where_a_token_says(served: Served, account: FleetClient) -> None:
    token, key = served.fleet_token(account), served.signing_key("fleet")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.3)
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/keys"
        payload = decoded(token.split(".")[1])
        for name in ("jku", "x5u"):
            header = json.dumps({"alg": "HS512", "typ": "JWT", name: url}).encode()
            assert FT == said(ask_fleet(served, f"Bearer {signed(header, payload, key)}"))

        with pytest.raises(TimeoutError):
            listening.accept()
