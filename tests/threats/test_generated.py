"""Inputs that nobody thought of: made by Hypothesis, thousands in each run and over 100,000 in the long one.

Never a 500, never a stopped process, always the dialect's own form and nothing in it but its own texts.
"""

import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote_from_bytes

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from aldaba.model.parties import canonical_name
from tests.threats.forging import decoded, signed
from tests.threats.in_process import InProcess, Seen, Sent, in_process
from tests.threats.oracle import check_fleet, check_mobility

# So many requests are sent at once: the disk is flushed once for all of them.
BATCH = 100
# How often something is drawn in one run, and in the long one in each of its parts; each draw makes four requests.
QUICK, PART, PARTS = 300, 3_250, 8


@pytest.fixture(scope="module")
def services(migrated_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    """Give both dialects in this process."""
    with in_process(migrated_file, tmp_path_factory.mktemp("generated")) as running:
        yield running


# -- what is generated ------------------------------------------------------------------------------------------------

# Names and values as the protocol lets them through: no control characters, no white space around.
NAMES = st.sampled_from(
    [b"accept", b"content-encoding", b"content-type", b"cookie", b"forwarded", b"origin", b"x-forwarded-for", b"x"]
)
VALUES = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=60).map(
    lambda text: text.strip().encode("latin-1")
)
OTHER_HEADERS = st.lists(st.tuples(NAMES, VALUES), max_size=3)

METHODS = st.sampled_from(["GET", "POST"] * 4 + ["HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
TEXTS = st.one_of(
    st.text(max_size=60),
    st.text(st.characters(categories=["Cs", "Cc", "Co", "Zs"]), max_size=10),
    st.sampled_from(["", "acme", "ACME", "vialtis", "nobody", "\0", "'; DROP TABLE client;--", "../../etc/passwd"]),
)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=8,
)
PIECES = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="?#"), max_size=20)
JSON_TYPE = [(b"content-type", b"application/json")]


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """Draw a body: nearly right, JSON of another kind, changed at one place, or bytes."""
    match draw(st.integers(0, 5)):
        case 0:
            return draw(st.binary(max_size=200))
        case 1:
            return json.dumps(draw(JSON_VALUES)).encode()
        case 2:
            body = json.dumps({"userName": draw(TEXTS), "apiKey": draw(TEXTS)}).encode()
            at = draw(st.integers(0, len(body)))
            return body[:at] + draw(st.binary(max_size=3)) + body[at + draw(st.integers(0, 2)) :]
        case 3:
            members = {"userName": draw(JSON_VALUES), "apiKey": draw(JSON_VALUES)}
            return json.dumps(members | draw(st.dictionaries(TEXTS, JSON_VALUES, max_size=2))).encode()
        case _:
            return json.dumps(
                {"userName": draw(TEXTS), "apiKey": draw(TEXTS)}, ensure_ascii=draw(st.booleans())
            ).encode("utf-8", "surrogatepass")


@st.composite
def paths(draw: st.DrawFn, routes: Sequence[bytes], prefix: bytes) -> bytes:
    """Draw a path: of a route, changed at one place, or of pieces."""
    route = draw(st.sampled_from(routes))
    match draw(st.integers(0, 5)):
        case 0:
            at = draw(st.integers(len(prefix) + 1, len(route)))
            return route[:at] + quote_from_bytes(draw(st.binary(max_size=4)), safe="/.;~").encode() + route[at:]
        case 1:
            pieces = st.text(
                st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="?#"), max_size=20
            )
            return prefix + b"/" + draw(pieces).encode()
        case _:
            return route


@st.composite
def tokens(draw: st.DrawFn, good: str, header: bytes, key: bytes) -> str:
    """Draw what stands where a token should: the good one changed, other claims rightly signed, or text."""
    match draw(st.integers(0, 5)):
        case 0:
            return draw(st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=80))
        case 1:
            at = draw(st.integers(0, len(good)))
            inserted = draw(st.text("ABCxyz019-_.=+/", max_size=2))
            return good[:at] + inserted + good[at + draw(st.integers(0, 2)) :]
        case 2:
            claims: dict[str, Any] = json.loads(_payload(good)) | draw(
                st.dictionaries(st.sampled_from(["sub", "iat", "exp", "nbf", "cred", "cnf", "jti"]), JSON_VALUES)
            )
            return signed(header, json.dumps(claims).encode(), key)
        case 3:
            return signed(header, draw(st.binary(max_size=100)), key)
        case 4:
            return signed(json.dumps(draw(JSON_VALUES)).encode(), _payload(good), key)
        case _:
            return good


def _payload(token: str) -> bytes:
    return decoded(token.split(".")[1])


@st.composite
def requests(draw: st.DrawFn, routes: Sequence[bytes], prefix: bytes, token: st.SearchStrategy[str]) -> list[Sent]:
    """Draw the parts of a request, and return four: as drawn, and each part where everything else is right."""
    headers = draw(OTHER_HEADERS)
    if draw(st.booleans()):
        headers = [*headers, *JSON_TYPE]
    scheme = draw(st.sampled_from(["Bearer "] * 4 + ["bearer ", "Bearer  ", "", "Basic ", "Bearer Bearer "]))
    shown = [(b"authorization", (scheme + draw(token)).encode("latin-1", "replace").strip())]
    path, body = draw(paths(routes, prefix)), draw(bodies())
    query = draw(st.sampled_from([b"", b"", b"a=b", b"access_token=x", b"%00", b"&&=;"]))
    return [
        Sent(draw(METHODS), path, [*headers, *shown] if draw(st.booleans()) else headers, body, query),
        Sent("POST", routes[0], JSON_TYPE, body),
        Sent("GET", routes[1], shown),
        Sent("GET", path, [*headers, *shown], b"", query),
    ]


FLEET_ROUTES = (b"/fleet/api/Auth/Token", b"/fleet/api/devices", b"/fleet/api/devices/van-1")
MOBILITY_ROUTES = (b"/mobility/v1/token", b"/mobility/v1/ping")


# -- what is checked --------------------------------------------------------------------------------------------------


def _proves(sent: Sent, key: str) -> bool:
    """Return whether a body shows the name and the key of the one client, as another reader reads it."""
    try:
        body = json.loads(sent.body)
    except ValueError:
        return False
    return isinstance(body, dict) and body.get("apiKey") == key and canonical_name(str(body.get("userName"))) == "acme"


def _check_fleet(services: InProcess, batch: Sequence[Sent]) -> list[Seen]:
    answers = services.ask(batch)
    for sent, seen in zip(batch, answers, strict=True):
        body = _checked(check_fleet, sent, seen)
        if body.get("token"):
            assert _proves(sent, services.key), sent
        if "devices" in body:
            assert _is_authorized(sent), sent
    return answers


def _check_mobility(services: InProcess, batch: Sequence[Sent]) -> list[Seen]:
    shown = services.ask(batch, certificate=services.certificate)
    hidden = services.ask(batch)
    for sent, with_certificate, without in zip(batch, shown, hidden, strict=True):
        _checked(check_mobility, sent, with_certificate)
        refused = _checked(check_mobility, sent, without)
        assert refused["status"] != 200, sent
    return [*shown, *hidden]


def _checked(check: Any, sent: Sent, seen: Seen) -> Any:
    if _is_document(sent) and seen.status in (200, 308):
        return {"status": 0}
    return check(seen)


def _is_document(sent: Sent) -> bool:
    inside = sent.path.partition(b"/")[2].partition(b"/")[2]
    return sent.method in ("GET", "HEAD") and (inside == b"openapi.json" or inside.startswith(b"docs"))


def _is_authorized(sent: Sent) -> bool:
    """Return whether one header shows a token: the good one, or one that we signed ourselves."""
    values = [value for name, value in sent.headers if name == b"authorization"]
    return len(values) == 1 and values[0].lower().startswith(b"bearer ") and values[0].count(b".") == 2


# -- the runs ---------------------------------------------------------------------------------------------------------


def _fleet_requests(services: InProcess) -> st.SearchStrategy[list[Sent]]:
    header = b'{"alg":"HS512","typ":"JWT"}'
    token = tokens(services.tokens["fleet"], header, services.signing_keys["fleet"])
    return requests(FLEET_ROUTES, b"/fleet", token)


def _mobility_requests(services: InProcess) -> st.SearchStrategy[list[Sent]]:
    token = tokens(services.tokens["mobility"], b'{"alg":"HS512"}', services.signing_keys["mobility"])
    return requests(MOBILITY_ROUTES, b"/mobility", token)


def _generated(strategy: st.SearchStrategy[list[Sent]], number: int, seeded: int) -> list[Sent]:
    """Return the requests of so many draws; Hypothesis only makes them, since they are sent many at once."""
    made: list[Sent] = []

    @seed(seeded)
    @settings(max_examples=number, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(strategy)
    def collect(drawn: list[Sent]) -> None:
        made.extend(drawn)

    collect()
    return made


def _run(strategy: st.SearchStrategy[list[Sent]], check: Any, number: int, seeded: int = 0) -> int:
    made = _generated(strategy, number, seeded)
    for start in range(0, len(made), BATCH):
        check(made[start : start + BATCH])
    return len(made)


def test_generated_requests_are_answered_in_the_form_of_fleet(services: InProcess) -> None:
    seen: set[tuple[int, Any]] = set()

    def check(batch: Sequence[Sent]) -> None:
        answers = _check_fleet(services, batch)
        seen.update((answer.status, json.loads(answer.body or b"{}").get("error")) for answer in answers)

    assert _run(_fleet_requests(services), check, QUICK) > 1_000
    # Were every input refused for one reason, this would say nothing.
    assert {200, 400, 401, 404, 405, 415} <= {status for status, _ in seen}
    assert {"Invalid API key or username.", "Authentication failed. Invalid token."} <= {error for _, error in seen}


def test_generated_requests_are_answered_in_the_form_of_mobility(services: InProcess) -> None:
    seen: set[Any] = set()

    def check(batch: Sequence[Sent]) -> None:
        answers = _check_mobility(services, batch)
        seen.update(json.loads(answer.body or b"{}").get("code", answer.status) for answer in answers)

    assert _run(_mobility_requests(services), check, QUICK) > 1_000
    assert {200, 0, 1, 4, 5, 7, 404, 405} <= seen


@pytest.mark.soak
def test_100_000_generated_requests_are_answered_in_the_form_of_fleet(services: InProcess) -> None:
    parts = [_run(_fleet_requests(services), partial(_check_fleet, services), PART, 1 + part) for part in range(PARTS)]

    assert sum(parts) > 100_000


@pytest.mark.soak
def test_100_000_generated_requests_are_answered_in_the_form_of_mobility(services: InProcess) -> None:
    check = partial(_check_mobility, services)
    parts = [_run(_mobility_requests(services), check, PART, 1 + part) for part in range(PARTS)]

    assert sum(parts) > 100_000
