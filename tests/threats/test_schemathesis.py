"""Each service held to its own `openapi.json` by Schemathesis, over the real listeners."""

from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, seed, settings
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import ignored_auth

from tests.served import Served, files_of

OPERATIONS = {
    "fleet": [("/api/Auth/Token", "POST"), ("/api/devices", "GET"), ("/api/devices/{deviceId}", "GET")],
    "mobility": [("/v1/token", "GET"), ("/v1/token", "POST"), ("/v1/ping", "GET")],
}
# A token request of mobility has no part that could be wrong.
CASES = [
    (service, path, method, mode)
    for service, found in OPERATIONS.items()
    for path, method in found
    for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    if path != "/v1/token" or mode is GenerationMode.POSITIVE
]

QUICK, LONG = 15, 1_500


class Described:
    """A service and its document, as a stranger gets hold of them."""

    def __init__(self, base_url: str, session: requests.Session, token: str) -> None:
        self.base_url = base_url
        self.session = session
        self.token = token
        # Without a token mobility answers 400, as its sheet has it (section 6, code 0).
        self.excluded = [ignored_auth] if base_url.endswith("/mobility") else []
        document = session.get(f"{base_url}/openapi.json", timeout=10).json()
        self.schema = schemathesis.openapi.from_dict({**document, "servers": [{"url": base_url}]})

    def check(self, case: Any) -> None:
        """Send a generated request, and hold the answer against the document."""
        # Said with each call, since Schemathesis does not ask the session.
        how: dict[str, Any] = {"session": self.session, "verify": self.session.verify, "timeout": 10}
        if case.meta.generation.mode is GenerationMode.POSITIVE and case.operation.method == "get":
            # What is drawn for a token fits the document, and is none.
            how["headers"] = {"Authorization": self.token}
        response = case.call(base_url=self.base_url, **how)
        case.validate_response(response, transport_kwargs=how, excluded_checks=self.excluded)


@pytest.fixture(scope="module")
def described(served: Served) -> Iterator[dict[str, Described]]:
    """Give both services by name."""
    account, client = served.fleet_client(), served.mobility_client()
    chain, key = files_of(client.certificate, served.directory)
    with requests.Session() as plain, requests.Session() as mutual:
        # Neither proxies nor authorities that the environment names.
        plain.trust_env = mutual.trust_env = False
        mutual.verify, mutual.cert = str(served.directory / "ca.pem"), (str(chain), str(key))
        yield {
            "fleet": Described(
                f"http://127.0.0.1:{served.public}/fleet", plain, f"Bearer {served.fleet_token(account)}"
            ),
            "mobility": Described(f"https://localhost:{served.mtls}/mobility", mutual, served.mobility_token(client)),
        }


def run(described: Described, path: str, method: str, mode: GenerationMode, examples: int, seeded: int) -> int:
    """Check so many generated requests to one operation; return how many there were."""
    count = 0

    @seed(seeded)
    @settings(max_examples=examples, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(described.schema[path][method].as_strategy(generation_mode=mode))
    def generated(case: Any) -> None:
        nonlocal count
        count += 1
        described.check(case)

    generated()
    return count


@pytest.mark.parametrize("service, path, method, mode", CASES)
def test_a_service_answers_as_its_document_says(
    described: dict[str, Described], service: str, path: str, method: str, mode: GenerationMode
) -> None:
    run(described[service], path, method, mode, QUICK, 0)


@pytest.mark.soak
@pytest.mark.parametrize("service, path, method, mode", CASES)
def test_a_service_answers_as_its_document_says_a_thousand_times(
    described: dict[str, Described], service: str, path: str, method: str, mode: GenerationMode
) -> None:
    run(described[service], path, method, mode, LONG, 1)


@pytest.mark.parametrize("service", OPERATIONS)
def test_every_operation_of_a_document_is_run(described: dict[str, Described], service: str) -> None:
    operations = [described[service].schema[path][method] for path, method in OPERATIONS[service]]
    results = list(described[service].schema.get_all_operations())
    found = [(operation.path, operation.method.upper()) for operation in operations]

    assert OPERATIONS[service] == found
    assert len(results) == len(found)
