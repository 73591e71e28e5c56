"""Builds the OpenAPI 3.1 document of a mounted service out of its dialect's route table.

Successes are described by the dialect. Every refusal is made by the dialect's own `say` out of its own words, so none
can be forgotten or spelt differently.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from http import HTTPStatus
from typing import Any

import msgspec

from aldaba.errors import Reason, Refusal
from aldaba.model.calls import Call, Known, Usage
from aldaba.model.networks import parse_address
from aldaba.model.peer import Peer
from aldaba.model.services import Service
from aldaba.web.causes import AFTER_COUNTING, BEFORE_THE_ROUTE, CAUSES, PASSING, reasons_of
from aldaba.web.messages import Answer
from aldaba.web.mount import refusal_headers
from aldaba.web.routes import Dialect, Route

Object = Mapping[str, Any]

# The contracts are published ones; they do not move with our releases.
VERSION = "1"

HEADERS: Object = {
    "X-Request-Id": {
        "description": "The id of this request. Name it when you ask the operator why something was refused.",
        "required": True,
        "schema": {"type": "string", "format": "uuid"},
        "example": "01931f6e-7c00-7a3e-8b52-0c6a1f0e4d21",
    },
    "Retry-After": {
        "description": "Seconds after which trying again makes sense.",
        "required": True,
        "schema": {"type": "integer", "minimum": 0},
        "example": 5,
    },
    "WWW-Authenticate": {
        "description": "RFC 9110, section 11.6.1.",
        "required": True,
        "schema": {"type": "string", "const": "Bearer"},
    },
    "Allow": {
        "description": "The methods that the path does answer.",
        "required": True,
        "schema": {"type": "string"},
        "example": "GET",
    },
    "Connection": {
        "description": "The rest of the body is not read.",
        "required": True,
        "schema": {"type": "string", "const": "close"},
    },
}


def document(service: Service, dialect: Dialect[Any], base_url: str) -> dict[str, Any]:
    """Return the OpenAPI document of a service.

    Args:
        base_url: where callers reach the service, its path included.
    """
    return {
        "openapi": "3.1.0",
        "info": {
            "title": title_of(service, dialect),
            "version": VERSION,
            "description": _description(service, dialect),
        },
        "servers": [{"url": base_url}],
        "paths": _paths(service, dialect),
        "components": {
            "schemas": dialect.schemas,
            "securitySchemes": dialect.security,
            "headers": HEADERS,
            "responses": {"UnknownPath": _refusal(service, dialect, None, [Reason.PATH_UNKNOWN])},
        },
    }


def title_of(service: Service, dialect: Dialect[Any]) -> str:
    """Return the title of a service: its dialect's, with its name where several may stand side by side."""
    return dialect.title if service.name == dialect.name else f"{dialect.title}: {service.name}"


def _description(service: Service, dialect: Dialect[Any]) -> str:
    limit = f" At most {service.requests_per_minute} requests a minute." if service.requests_per_minute else ""
    return (
        f"{dialect.description.strip()}\n\n"
        f"A token is good for {_span(service.token_lifetime)}.{limit} A client may have its own numbers.\n\n"
        "Any other path is answered 404 in the same form. Every answer carries `X-Request-Id` and"
        " `Cache-Control: no-store`: keep tokens, not answers."
    )


def _span(span: timedelta) -> str:
    for unit, size in (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1)):
        number, rest = divmod(round(span.total_seconds()), size)
        if number > 1 and rest == 0:
            return f"{number} {unit}s"
    return f"{span.total_seconds():.0f} seconds"


def _paths(service: Service, dialect: Dialect[Any]) -> dict[str, dict[str, Any]]:
    paths: dict[str, dict[str, Any]] = {}
    for route in dialect.routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(service, dialect, route)
    return paths


def _operation(service: Service, dialect: Dialect[Any], route: Route[Any]) -> dict[str, Any]:
    granted = {
        status: {**answer, "headers": _headers(()) | answer.get("headers", {})}
        for status, answer in route.about["responses"].items()
    }
    by_status: dict[int, list[Reason]] = {}
    # What the route itself says comes first: that is what callers meet.
    for reason in sorted(reasons_of(dialect, route), key=BEFORE_THE_ROUTE.__contains__):
        by_status.setdefault(_said(service, dialect, route, reason).status, []).append(reason)
    refused = {str(status): _refusal(service, dialect, route, reasons) for status, reasons in sorted(by_status.items())}
    return {**route.about, "responses": granted | refused}


def _refusal(service: Service, dialect: Dialect[Any], route: Route[Any] | None, reasons: Sequence[Reason]) -> Object:
    """Return the response object of one status: each body it can have, and what can be the cause."""
    answers = {reason: _said(service, dialect, route, reason) for reason in reasons}
    bodies: dict[bytes, list[Reason]] = {}
    for reason, answer in answers.items():
        bodies.setdefault(answer.body, []).append(reason)
    phrase = HTTPStatus(answers[reasons[0]].status).phrase
    return {
        "description": "\n".join((f"{phrase}\n", *(_cause(body, causes) for body, causes in bodies.items()))),
        "headers": _headers(name for answer in answers.values() for name, _value in answer.headers),
        "content": {
            "application/json": {
                "schema": {"$ref": "#/components/schemas/Failure"},
                "examples": {causes[0].value: _example(body) for body, causes in bodies.items()},
            }
        },
    }


def _cause(body: bytes, reasons: Sequence[Reason]) -> str:
    return f"- `{_text(body)}`: {'; '.join(CAUSES[reason] for reason in reasons)}"


def _example(body: bytes) -> Object:
    return {"summary": _text(body), "value": msgspec.json.decode(body)}


def _text(body: bytes) -> str:
    """Return the text of a failure, by which a reader knows it again: the last one in its body."""
    texts = [value for value in msgspec.json.decode(body).values() if isinstance(value, str)]
    return texts[-1]


def _said(service: Service, dialect: Dialect[Any], route: Route[Any] | None, reason: Reason) -> Answer:
    """Return what the mount answers for a reason."""
    peer = Peer(parse_address("192.0.2.1"))
    usage = Usage(minute=3, day=150) if reason in AFTER_COUNTING else None
    call = Call("", service, peer, route.action if route else "request", Known(usage=usage))
    refusal = Refusal(
        reason,
        retry_after_s=1 if reason in PASSING else None,
        allow=("GET",) if reason is Reason.METHOD_NOT_ALLOWED else (),
    )
    words = (dialect if route is None or reason in BEFORE_THE_ROUTE else route).words[reason]
    answer = dialect.say(refusal, words, call)
    return msgspec.structs.replace(answer, headers=(*answer.headers, *refusal_headers(refusal, answer.status)))


def _headers(names: Iterable[bytes]) -> dict[str, Any]:
    sent = {b"x-request-id", *names}
    return {name: {"$ref": f"#/components/headers/{name}"} for name in HEADERS if name.lower().encode() in sent}
