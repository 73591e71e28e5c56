import dataclasses
import re
from collections.abc import Iterator, MutableMapping
from datetime import UTC, datetime, timedelta
from typing import Any

import jsonschema_rs
import msgspec
import pytest
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

from aldaba.core import Core
from aldaba.dialects.fleet import wire as fleet_wire
from aldaba.dialects.mobility import wire as mobility_wire
from aldaba.errors import Overloaded, Reason, Refusal, StoreUnavailable
from aldaba.model.calls import Call, IssuedToken, Usage
from aldaba.model.devices import Device
from aldaba.model.networks import Network
from aldaba.model.services import Service
from aldaba.server import DIALECTS
from aldaba.web.causes import AFTER_COUNTING, CAUSES, PASSING, reasons_of
from aldaba.web.messages import JSON, Answer, Request
from aldaba.web.metrics import Metrics
from aldaba.web.mount import Mounted
from aldaba.web.openapi import document
from aldaba.web.peer import PeerReader
from aldaba.web.routes import Dialect, Handler, Route
from tests.installation import Installation

BASE_URL = "https://partners.example.com"


def service_of(dialect: Dialect[Any], **settings: Any) -> Service:
    given: dict[str, Any] = {"name": dialect.name, "dialect": dialect.name, "shape": dialect.shape, **settings}
    return Service(**given)


def document_of(dialect: str, **settings: Any) -> dict[str, Any]:
    """Give a document as a reader gets it: through JSON."""
    built = document(service_of(DIALECTS[dialect], **settings), DIALECTS[dialect], f"{BASE_URL}/{dialect}")
    return msgspec.json.decode(msgspec.json.encode(built), type=dict[str, Any])


DOCUMENTS = {name: document_of(name) for name in DIALECTS}
OPERATIONS = [
    pytest.param(name, route, operation, id=f"{name} {route.method} {route.path}")
    for name, dialect in DIALECTS.items()
    for route in dialect.routes
    for operation in [DOCUMENTS[name]["paths"][route.path][route.method.lower()]]
]
every_document = pytest.mark.parametrize("name", DIALECTS)
every_operation = pytest.mark.parametrize("name, route, operation", OPERATIONS)


def conforms(name: str, schema: dict[str, Any], value: Any) -> None:
    """Raise unless a value is what a schema of a document says."""
    whole = {**schema, "components": DOCUMENTS[name]["components"]}
    jsonschema_rs.Draft202012Validator(whole, validate_formats=True).validate(value)


def responses_in(value: Any) -> list[dict[str, Any]]:
    """Give the answers of a document, or of a part of it."""
    return [inner for inner in everything_in(value) if {"description", "content"} <= inner.keys()]


def everything_in(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every object in a document."""
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from everything_in(inner)


# --- the form --------------------------------------------------------------------------------------------------------


@every_document
def test_a_document_is_openapi_3_1(name: str) -> None:
    OPENAPI_31_VALIDATOR.validate(DOCUMENTS[name])


@every_document
def test_schemas_are_json_schema_2020_12(name: str) -> None:
    for schema in (inner["schema"] for inner in everything_in(DOCUMENTS[name]) if "schema" in inner):
        jsonschema_rs.meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema})
    for schema in DOCUMENTS[name]["components"]["schemas"].values():
        jsonschema_rs.meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema})


@every_document
def test_every_reference_leads_somewhere_and_every_component_is_referred_to(name: str) -> None:
    components = DOCUMENTS[name]["components"]
    there = {f"#/components/{kind}/{key}" for kind in ("schemas", "headers") for key in components[kind]}

    assert there == {inner["$ref"] for inner in everything_in(DOCUMENTS[name]) if "$ref" in inner}


@every_document
def test_the_server_is_the_configured_address(name: str) -> None:
    assert [{"url": f"{BASE_URL}/{name}"}] == DOCUMENTS[name]["servers"]


def test_services_side_by_side_have_titles_of_their_own() -> None:
    assert "Road-traffic mobility: use-case-17" == document_of("mobility", name="use-case-17")["info"]["title"]


@pytest.mark.parametrize(
    "settings, text",
    [
        ({"token_lifetime": timedelta(hours=1)}, "A token is good for 60 minutes. At most 600 requests a minute."),
        ({"token_lifetime": timedelta(days=2)}, "A token is good for 2 days."),
        ({"token_lifetime": timedelta(seconds=90)}, "A token is good for 90 seconds."),
        ({"requests_per_minute": 30}, "A token is good for 24 hours. At most 30 requests a minute."),
        ({"requests_per_minute": 0}, "A token is good for 24 hours. A client"),
    ],
)
def test_a_document_tells_the_settings_of_its_service(settings: dict[str, Any], text: str) -> None:
    assert text in document_of("fleet", **settings)["info"]["description"]


# --- every route -----------------------------------------------------------------------------------------------------


@every_document
def test_the_operations_are_the_routes(name: str) -> None:
    routes = [(route.path, route.method.lower()) for route in DIALECTS[name].routes]

    assert routes == [(path, method) for path, item in DOCUMENTS[name]["paths"].items() for method in item]


@every_document
def test_operations_have_ids_of_their_own(name: str) -> None:
    ids = [operation["operationId"] for item in DOCUMENTS[name]["paths"].values() for operation in item.values()]

    assert len(ids) == len(set(ids))


@every_operation
def test_every_parameter_of_the_path_is_described(name: str, route: Route[Any], operation: dict[str, Any]) -> None:
    described = [one["name"] for one in operation.get("parameters", []) if one["in"] == "path" and one["required"]]

    assert route.path.count("{") == len(described)
    assert all(f"{{{parameter}}}" in route.path for parameter in described)


@every_operation
def test_a_token_is_asked_for_where_none_is_issued(name: str, route: Route[Any], operation: dict[str, Any]) -> None:
    schemes = {scheme for choice in operation["security"] for scheme in choice}

    assert (route.action != "token.issue") == ("token" in schemes)
    assert schemes <= DOCUMENTS[name]["components"]["securitySchemes"].keys()


# --- every refusal ---------------------------------------------------------------------------------------------------

# What a dialect's calls cannot meet: the other kind of credential, bodies and parameters that they do not have.
NEVER = {
    "fleet": {
        Reason.CREDENTIAL_MISSING,
        Reason.CERTIFICATE_REFUSED,
        Reason.CERTIFICATE_NOT_REGISTERED,
        Reason.TOKEN_BINDING,
    },
    "mobility": {
        Reason.CREDENTIAL_WRONG,
        Reason.TOO_MANY_FAILURES,
        Reason.UNSUPPORTED_MEDIA_TYPE,
        Reason.DEVICE_UNKNOWN,
    },
}


def test_every_reason_has_a_sentence_for_callers() -> None:
    assert set(Reason) == set(CAUSES)
    assert len(CAUSES) == len(set(CAUSES.values()))


@every_document
def test_every_reason_is_in_the_document_but_those_that_cannot_occur(name: str) -> None:
    texts = [response["description"] for response in responses_in(DOCUMENTS[name])]
    told = {reason for reason in Reason if any(CAUSES[reason] in text for text in texts)}

    assert NEVER[name] == set(Reason) - told


@every_operation
def test_examples_conform_to_their_schemas(name: str, route: Route[Any], operation: dict[str, Any]) -> None:
    bodies = [*operation["responses"].values(), operation.get("requestBody", {"content": {}})]
    contents = [body["content"]["application/json"] for body in bodies if body["content"]]
    examples = [
        (content["schema"], value)
        for content in contents
        for value in [content.get("example"), *(one["value"] for one in content.get("examples", {}).values())]
        if value is not None
    ]

    assert len(examples) >= len(contents)
    for schema, value in examples:
        conforms(name, schema, value)


def refusing(reason: Reason) -> Handler:
    """Give a handler that refuses, as the use cases do."""

    async def handler(core: Core, call: Call, request: Request) -> Answer:
        if reason in AFTER_COUNTING:
            call.known.usage = Usage(minute=3, day=150)
        match reason:
            case Reason.INTERNAL:
                raise RuntimeError("unforeseen")
            case Reason.OVERLOADED:
                raise Overloaded
            case Reason.UNAVAILABLE:
                raise StoreUnavailable
            case _:
                raise Refusal(reason, retry_after_s=5 if reason in PASSING else None)

    return handler


# What makes the mount refuse by itself: the parts of a request that differ from a good one.
BY_THE_MOUNT: dict[Reason, dict[str, Any]] = {
    Reason.METHOD_NOT_ALLOWED: {"method": "PATCH"},
    Reason.PATH_UNKNOWN: {"parameter": b"%FF"},
    Reason.PEER_CONTRADICTORY: {"headers": [(b"x-forwarded-for", b"nobody")]},
    Reason.TOO_LARGE: {"body": b"x" * 101},
}


async def answer_of(app: Mounted, route: Route[Any], request: dict[str, Any]) -> tuple[int, set[str], Any]:
    """Send a request to a route; give the status, the names of the headers and the body of the answer."""
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": request.get("body", b"")}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    path = re.sub(rb"{\w+}", request.get("parameter", b"1"), route.path.encode())
    scope = {"type": "http", "method": request.get("method", route.method), "aldaba.path": path, "query_string": b""}
    await app(scope | {"headers": request.get("headers", []), "client": ("127.0.0.1", 4000)}, receive, send)
    names = {name.decode() for name, _value in sent[0]["headers"]}
    return sent[0]["status"], names, msgspec.json.decode(sent[1]["body"])


# Of every answer of HTTP, or of the service as a whole.
EVERYWHERE = {"content-type", "content-length", "cache-control", "x-content-type-options"}


@pytest.mark.anyio
@every_operation
async def test_a_refusal_is_what_the_document_says(
    name: str, route: Route[Any], operation: dict[str, Any], sqlite_installation: Installation
) -> None:
    dialect = DIALECTS[name]
    peers = PeerReader([Network.parse("127.0.0.0/8")])
    async with sqlite_installation.core() as core:
        for reason in reasons_of(dialect, route):
            refuses = dataclasses.replace(dialect, routes=[dataclasses.replace(route, handler=refusing(reason))])
            app = Mounted(core, service_of(dialect), refuses, peers, Metrics(), max_body=100)
            status, headers, body = await answer_of(app, route, BY_THE_MOUNT.get(reason, {}))

            response = operation["responses"][str(status)]
            examples = response["content"]["application/json"]["examples"].values()
            assert body in [example["value"] for example in examples], reason
            assert CAUSES[reason] in response["description"]
            assert {header.lower() for header in response["headers"]} == headers - EVERYWHERE, reason


@pytest.mark.anyio
@every_document
async def test_an_unknown_path_is_what_the_document_says(name: str, sqlite_installation: Installation) -> None:
    dialect = DIALECTS[name]
    nowhere = dataclasses.replace(dialect.routes[0], path="/nowhere")
    async with sqlite_installation.core() as core:
        app = Mounted(core, service_of(dialect), dialect, PeerReader(), Metrics(), max_body=100)
        status, _headers, body = await answer_of(app, nowhere, {})

    response = DOCUMENTS[name]["components"]["responses"]["UnknownPath"]
    assert 404 == status
    assert [body] == [one["value"] for one in response["content"]["application/json"]["examples"].values()]
    conforms(name, response["content"]["application/json"]["schema"], body)


# --- the documents and the wire --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, schema, struct",
    [
        ("fleet", "Token", fleet_wire._Token),
        ("fleet", "Device", fleet_wire._Device),
        ("fleet", "Devices", fleet_wire._Devices),
        ("fleet", "OneDevice", fleet_wire._OneDevice),
        ("fleet", "Failure", fleet_wire._CountedFailure),
        ("mobility", "Token", mobility_wire._Token),
        ("mobility", "Pong", mobility_wire._Pong),
        ("mobility", "Failure", mobility_wire._Failure),
    ],
)
def test_a_schema_has_the_members_of_what_is_sent(name: str, schema: str, struct: type[msgspec.Struct]) -> None:
    described = DOCUMENTS[name]["components"]["schemas"][schema]
    always = fleet_wire._Failure if struct is fleet_wire._CountedFailure else struct

    assert list(struct.__struct_fields__) == list(described["properties"])
    assert list(always.__struct_fields__) == described["required"]


AT = datetime(2026, 4, 1, 9, 9, 16, 284_999, tzinfo=UTC)
ISSUED = IssuedToken("aaa.bbb-_.ccc", AT, AT)
FULL = Device(id="1", name="a", description="b", min="+34600000000", tags={"k": "v"}, expires_at=AT)


@pytest.mark.parametrize(
    "name, schema, body",
    [
        ("fleet", "Token", fleet_wire.token_answer(ISSUED).body),
        ("fleet", "Devices", fleet_wire.devices_answer([FULL, Device(id="2")], Usage(3, 150)).body),
        ("fleet", "Devices", fleet_wire.devices_answer([], Usage(3, 150)).body),
        ("fleet", "OneDevice", fleet_wire.device_answer(FULL, Usage(3, 150)).body),
        ("mobility", "Token", mobility_wire.token_answer(ISSUED).body),
    ],
)
def test_what_is_sent_conforms_to_its_schema(name: str, schema: str, body: bytes) -> None:
    conforms(name, {"$ref": f"#/components/schemas/{schema}"}, msgspec.json.decode(body))


def token_request(body: dict[str, Any]) -> Request:
    headers = [(b"content-type", JSON)]
    return Request("POST", headers, b"", msgspec.json.encode(body), {})


def test_the_token_request_of_the_document_is_the_one_that_is_read() -> None:
    content = DOCUMENTS["fleet"]["paths"]["/api/Auth/Token"]["post"]["requestBody"]["content"]["application/json"]
    evidence = fleet_wire.read_token_request(token_request(content["example"]))

    assert ("your_username", "your_api_key") == (evidence.name, evidence.key)


@pytest.mark.parametrize("member", DOCUMENTS["fleet"]["components"]["schemas"]["TokenRequest"]["required"])
def test_what_the_document_requires_is_required(member: str) -> None:
    body = {"userName": "a", "apiKey": "b"}
    del body[member]

    with pytest.raises(Refusal):
        fleet_wire.read_token_request(token_request(body))


def test_the_codes_that_the_mobility_document_explains_are_those_of_the_wire() -> None:
    table = DOCUMENTS["mobility"]["components"]["schemas"]["Failure"]["description"]
    words = {(one.code, one.status) for one in [*mobility_wire.AT_TOKEN.values(), *mobility_wire.WITH_TOKEN.values()]}

    assert [] == [(code, status) for code, status in words if code < 8 and f"| {code} | {status} |" not in table]
    assert [] == [(code, status) for code, status in words if code >= 8 and code != status]
