"""What recorded exchanges cannot say of tokens: how their instants agree, whose signature it is, and what is unique."""

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from aldaba.core.clients import set_roles
from aldaba.errors import Impossible
from tests.dialects.exchanges import token_lines
from tests.served import JSON, Answer, FleetClient, Served, login


def fleet_answer(served: Served, client: FleetClient, service: str = "fleet") -> Answer:
    return served.ask("POST", f"/{service}/api/Auth/Token", login(client.name, client.key), content_type=JSON)


def claims(token: str) -> dict[str, object]:
    found: dict[str, object] = msgspec.json.decode(token_lines(token)[1])
    return found


def signature_of(token: str, key: bytes) -> str:
    digest = hmac.digest(key, token.rpartition(".")[0].encode(), "sha512")
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


# -- fleet ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lifetime", [None, timedelta(minutes=10), timedelta(days=366)])
def test_the_end_of_a_fleet_token_is_its_exp(served: Served, lifetime: timedelta | None) -> None:
    client = served.fleet_client(token_lifetime=lifetime)

    answer = fleet_answer(served, client).json

    found = claims(answer["token"])
    ends_at = datetime.strptime(answer["expires"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    assert found["exp"] == ends_at.timestamp()
    assert (lifetime or timedelta(hours=24)).total_seconds() == found["exp"] - found["iat"]  # type: ignore[operator]


def test_the_header_of_a_fleet_token_is_that_of_the_vendors_sample(served: Served) -> None:
    token = served.fleet_token(served.fleet_client())

    # The sample is cut after 33 characters.
    assert token.startswith("eyJhbGciOiJIUzUxMiIsInR5cCI6IkpXV")
    assert "eyJhbGciOiJIUzUxMiIsInR5cCI6IkpXVCJ9" == token.split(".")[0]


def test_a_fleet_token_is_unique_and_names_the_request_that_issued_it(served: Served) -> None:
    client = served.fleet_client()
    first, second = fleet_answer(served, client), fleet_answer(served, client)

    assert [first.request_id, second.request_id] == [claims(answer.json["token"])["jti"] for answer in (first, second)]
    assert first.request_id != second.request_id


# -- mobility ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("service, lifetime", [("use-case-17", timedelta(hours=1)), ("use-case-12", timedelta(days=1))])
def test_the_claims_of_a_mobility_token_are_its_instants_cut_to_the_second(
    served: Served, service: str, lifetime: timedelta
) -> None:
    client = served.mobility_client(services=(service,))

    answer = served.ask_tls(client.certificate, "GET", f"/{service}/v1/token").json

    issued_at, expires_at = (datetime.fromisoformat(answer[name]) for name in ("issuedAt", "expiration"))
    found = claims(answer["token"])
    assert lifetime == expires_at - issued_at
    assert answer["issuedAt"][-5:] == answer["expiration"][-5:]
    assert [int(issued_at.timestamp()), int(expires_at.timestamp())] == [found["iat"], found["exp"]]


def test_the_header_of_a_mobility_token_is_that_of_the_platforms_sample(served: Served) -> None:
    token = served.mobility_token(served.mobility_client(services=("use-case-17",)), "use-case-17")

    assert token.startswith("Bearer eyJhbGciOiJIUzUxMiJ9.")


def test_a_mobility_token_names_the_certificate_it_was_issued_for(served: Served) -> None:
    client = served.mobility_client(services=("use-case-17",))

    token = served.mobility_token(client, "use-case-17")

    digest = hashlib.sha256(client.certificate.der).digest()
    assert {"x5t#S256": base64.urlsafe_b64encode(digest).rstrip(b"=").decode()} == claims(token)["cnf"]


# -- both -------------------------------------------------------------------------------------------------------------


def test_each_service_signs_with_a_key_of_its_own(served: Served) -> None:
    fleet = served.fleet_client(services=("fleet", "fleet-trial"))
    mobility = served.mobility_client(services=("use-case-17", "use-case-12"))
    tokens = {
        "fleet": served.fleet_token(fleet),
        "fleet-trial": served.fleet_token(fleet, "fleet-trial"),
        "use-case-17": served.mobility_token(mobility, "use-case-17"),
        "use-case-12": served.mobility_token(mobility, "use-case-12"),
    }

    keys = {service: served.signing_key(service) for service in tokens}

    assert 4 == len(set(keys.values()))
    for service, token in tokens.items():
        bare = token.removeprefix("Bearer ")
        assert signature_of(bare, keys[service]) == bare.rpartition(".")[2]


def test_the_longest_name_and_the_most_roles_make_a_token_that_is_good(served: Served) -> None:
    # A CN has 64 bytes at most; each role has its quotes and a comma besides.
    name = served.fresh_name("v") + "\U0001f69a" * 14
    roles = [f"R{number:03}" for number in range(250)]
    client = served.mobility_client(name, services=("use-case-17",), roles=roles)

    token = served.mobility_token(client, "use-case-17")

    answer = served.ask_tls(client.certificate, "GET", "/use-case-17/v1/ping", authorization=token)
    assert {"user": name, "authorities": roles} == answer.json


def test_more_roles_than_a_token_holds_are_refused_when_they_are_given(served: Served) -> None:
    client = served.mobility_client(services=("use-case-17",))

    with pytest.raises(Impossible, match="at most 1000 bytes"):
        served.operate(lambda registrar: set_roles(registrar, client.name, ["ROLE_USER"] * 112))

    assert served.mobility_token(client, "use-case-17")
