"""Guessing names and keys (threats B1 to B10), as a caller of the token endpoint sees it."""

import statistics
import threading
import time
from collections import Counter

import pytest

from aldaba.core.clients import disable_client, set_networks
from aldaba.core.credentials import revoke_credential, rotate_api_key
from aldaba.core.partners import suspend_partner
from aldaba.core.registrar import Registrar
from tests.served import JSON, Answer, FleetClient, Served, login, request
from tests.threats.forms import F400, F401, F429, FT, M1, said

TOKEN = "/fleet/api/Auth/Token"


def attempt(served: Served, name: object, key: object, source: str = "127.0.0.1", forwarded: str = "") -> Answer:
    headers = {"x_forwarded_for": forwarded} if forwarded else {}
    with served.connect(source=source) as connection:
        return connection.send(request("POST", TOKEN, login(name, key), content_type=JSON, **headers))


# -- B1, B2: who is who ------------------------------------------------------------------------------------------------


def _disabled(served: Served, client: FleetClient) -> None:
    served.operate(lambda registrar: disable_client(registrar, client.name))


def _suspended(served: Served, client: FleetClient) -> None:
    served.operate(lambda registrar: suspend_partner(registrar, client.partner))


def _revoked(served: Served, client: FleetClient) -> None:
    served.operate(lambda registrar: revoke_credential(registrar, client.credential))


def _elsewhere(served: Served, client: FleetClient) -> None:
    served.operate(lambda registrar: set_networks(registrar, client.name, ["192.0.2.0/24"]))


def _nowhere(served: Served, client: FleetClient) -> None:
    served.operate(lambda registrar: set_networks(registrar, client.name, []))


def test_b1_unknown_name_and_wrong_key_are_answered_in_the_same_bytes_and_headers(served: Served) -> None:
    client = served.fleet_client()

    unknown = attempt(served, served.fresh_name("nobody"), client.key)
    wrong = attempt(served, client.name, "aldk_wrong")

    assert F401 == said(unknown)
    assert unknown.without_its_moment() == wrong.without_its_moment()


@pytest.mark.parametrize("change", [_disabled, _suspended, _revoked, _elsewhere, _nowhere])
def test_b2_who_may_not_act_is_answered_as_who_is_unknown(served: Served, change: object) -> None:
    client = served.fleet_client()
    change(served, client)  # type: ignore[operator]

    unknown = attempt(served, served.fresh_name("nobody"), client.key)
    refused = attempt(served, client.name, client.key)

    assert F401 == said(refused)
    assert unknown.without_its_moment() == refused.without_its_moment()


def test_b2_a_certificate_whose_client_may_not_act_is_answered_as_an_unknown_one(served: Served) -> None:
    client = served.mobility_client()
    served.operate(lambda registrar: disable_client(registrar, client.name))

    unknown = served.ask_tls(served.authority.client("nobody"), "GET", "/mobility/v1/token")
    disabled = served.ask_tls(client.certificate, "GET", "/mobility/v1/token")

    assert M1 == said(disabled)
    assert unknown.without_its_moment() == disabled.without_its_moment()


def test_b1_a_stopwatch_does_not_tell_a_name_that_was_never_tried_from_one_in_daily_use(served: Served) -> None:
    client = served.fleet_client()
    served.fleet_token(client)

    rounds = (_difference_ms(served, client, number) for number in range(3))

    # Without the fixed time a name in daily use is refused some milliseconds sooner. The machine may be busy.
    assert any(abs(difference) < 0.8 for difference in rounds)


def _difference_ms(served: Served, client: FleetClient, number: int) -> float:
    """Return by how much a refusal of the client takes longer than one of an invented name, in the middle."""

    def took_ms(name: str, source: str) -> float:
        with served.connect(source=source) as connection:
            sent = request("POST", TOKEN, login(name, "aldk_wrong"), content_type=JSON)
            began = time.perf_counter()
            assert 401 == connection.send(sent).status
            return (time.perf_counter() - began) * 1_000

    # In pairs and in turn, each from another address, since a name that failed waits.
    differences = []
    for pair in range(40):
        source = f"127.40.{number}.{pair + 1}"
        names = [client.name, f"invented-{number}-{pair}"]
        times = {name: took_ms(name, source) for name in (names if pair % 2 else reversed(names))}
        differences.append(times[names[0]] - times[names[1]])
    return statistics.median(differences)


# -- B3: one name ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("respell", [str.upper, str.title, "  {}  ".format, "\u2002{}\u3000".format])
def test_b3_another_spelling_of_a_name_has_the_same_counter_of_failures(served: Served, respell: object) -> None:
    client = served.fleet_client()
    spelt = respell(client.name)  # type: ignore[operator]

    assert F401 == said(attempt(served, spelt, "aldk_wrong"))
    assert F429 == said(attempt(served, client.name, client.key))


@pytest.mark.parametrize(
    "stem, alike",
    [("paypal", "p\u0430ypal"), ("strasse", "stra\u017f\u017fe"), ("mail", "ma\u0131l")],
    ids=["cyrillic a", "long s", "dotless i"],
)
def test_b3_a_name_that_looks_alike_is_the_same_account_or_none(served: Served, stem: str, alike: str) -> None:
    client = served.fleet_client(served.fresh_name(stem))
    spelt = client.name.replace(stem, alike)

    answer = attempt(served, spelt, client.key)

    # Compatible forms are one name; a letter of another alphabet is another name.
    assert said(answer) == F401 or answer.status == 200
    assert answer.status == (200 if "\u017f" in alike else 401)


# -- B4 to B8: waiting -------------------------------------------------------------------------------------------------


def test_b4_after_a_failure_the_name_waits_a_second_and_is_told_so(served: Served) -> None:
    client = served.fleet_client()
    attempt(served, client.name, "aldk_wrong")

    waiting = attempt(served, client.name, client.key)
    time.sleep(1.05)
    after = attempt(served, client.name, client.key)

    assert F429 == said(waiting)
    assert "1" == waiting.header("retry-after")
    assert 200 == after.status


def test_b4_a_name_that_nobody_has_waits_just_the_same(served: Served) -> None:
    name = served.fresh_name("nobody")
    attempt(served, name, "aldk_wrong")

    assert F429 == said(attempt(served, name, "aldk_wrong"))


def test_b5_the_owner_is_not_refused_while_somebody_else_guesses(served: Served) -> None:
    client = served.fleet_client()
    for _ in range(3):
        attempt(served, client.name, "aldk_wrong", source="127.0.0.66")

    assert F429 == said(attempt(served, client.name, client.key, source="127.0.0.66"))
    assert 200 == attempt(served, client.name, client.key, source="127.0.0.67").status


def test_b6_one_try_on_each_of_many_names_ends_at_the_limit_and_good_calls_pass(guarded: Served) -> None:
    client = guarded.fleet_client()
    _await_the_beginning_of_a_minute()

    tried = [attempt(guarded, f"name-{number}", "aldk_wrong", source="127.0.0.70") for number in range(32)]

    assert [F401] * 30 + [F429] * 2 == [said(answer) for answer in tried]
    assert tried[-1].header("retry-after")
    assert 200 == attempt(guarded, client.name, client.key, source="127.0.0.70").status
    assert F401 == said(attempt(guarded, "another", "aldk_wrong", source="127.0.0.71"))


def _await_the_beginning_of_a_minute() -> None:
    left_s = 60 - time.time() % 60
    if left_s < 5:
        time.sleep(left_s)


def test_b7_of_many_tries_in_parallel_one_is_evaluated(served: Served) -> None:
    client = served.fleet_client()
    connections = [served.connect() for _ in range(100)]
    answers: list[tuple[int, bytes]] = []
    sent = request("POST", TOKEN, login(client.name, "aldk_wrong"), content_type=JSON)

    def try_once(number: int) -> None:
        answers.append(said(connections[number].send(sent)))

    threads = [threading.Thread(target=try_once, args=(number,)) for number in range(len(connections))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for connection in connections:
        connection.socket.close()

    found = Counter(answers)
    assert {F401, F429} == set(found)
    # One, and one more for each second that this takes.
    assert 4 > found[F401]


def test_b7_the_addresses_of_one_ipv6_64_are_one_source(guarded: Served) -> None:
    client = guarded.fleet_client()

    assert F401 == said(attempt(guarded, client.name, "aldk_wrong", forwarded="2001:db8:1:2::1"))
    assert F429 == said(attempt(guarded, client.name, client.key, forwarded="2001:db8:1:2:ffff::9"))
    assert 200 == attempt(guarded, client.name, client.key, forwarded="2001:db8:1:3::1").status


def test_b8_invented_names_are_refused_like_the_first_and_leave_no_trace_in_the_metrics(served: Served) -> None:
    with served.connect() as connection:
        for number in range(40):
            sent = request("POST", TOKEN, login(f"made-up-{number}", "x"), content_type=JSON)
            assert F401 == said(connection.send(sent))
    with served.connect(port=served.management) as connection:
        page = connection.send(request("GET", "/metrics")).body

    assert b"made-up" not in page
    assert 300 > page.count(b"\n")


# -- B9, B10: keys ----------------------------------------------------------------------------------------------------


def test_b9_a_new_key_ends_the_old_one_and_its_tokens_from_the_next_request_on(served: Served) -> None:
    client = served.fleet_client()
    token = served.fleet_token(client)

    async def rotate(registrar: Registrar) -> str:
        return (await rotate_api_key(registrar, client.name)).secret.reveal()

    with served.connect() as connection:
        assert 200 == connection.send(request("GET", "/fleet/api/devices", authorization=f"Bearer {token}")).status
        new = served.operate(rotate)
        refused = connection.send(request("GET", "/fleet/api/devices", authorization=f"Bearer {token}"))

    assert (401, "Authentication failed. Invalid token.") == (refused.status, refused.json["error"])
    assert 200 == attempt(served, client.name, new).status
    assert F401 == said(attempt(served, client.name, client.key))


@pytest.mark.parametrize("key", ["", " ", "x" * 10_000, "contraseña", "\u202e", "aldk_" + "0" * 49])
def test_b10_an_odd_key_is_a_wrong_one(served: Served, key: str) -> None:
    client = served.fleet_client()

    assert F401 == said(attempt(served, client.name, key))


def test_b10_a_key_with_nul_or_something_around_it_is_not_the_key(served: Served) -> None:
    client = served.fleet_client()
    for number, spelt in enumerate((f" {client.key}", f"{client.key} ", f"{client.key}\n", client.key.swapcase())):
        assert F401 == said(attempt(served, client.name, spelt, source=f"127.0.3.{number + 1}"))

    assert F400 == said(attempt(served, client.name, client.key + "\0"))


def test_b10_a_key_is_no_token_and_a_token_no_key(served: Served) -> None:
    client = served.fleet_client()
    token = served.fleet_token(client)

    assert F401 == said(attempt(served, client.name, token))
    assert FT == said(served.ask("GET", "/fleet/api/devices", authorization=f"Bearer {client.key}"))
