"""What the mobility API's document says of its calls and bodies: prose, schemas and the samples of the sheet.

Refusals are not here; the document makes them out of `wire`.
"""

from collections.abc import Mapping
from typing import Any

Object = Mapping[str, Any]

DESCRIPTION = """
A client certificate is exchanged for a token, which opens the service.

1. Connect with the client certificate, on each connection, from an address that is registered for the client. The `CN`
   of the certificate is the name of the client.
2. `GET /v1/token` answers a token and when it ends.
3. Send it with every other request, over the same certificate: the value of `token` is usable as it is as the value of
   the `Authorization` header, for it begins with `Bearer `.
4. When it has expired (status 400, code 6), ask for a new one; there is no refresh.

Only `GET` and `POST` are used. Any status other than 200 is an error, and every body is JSON.
A token is good only for the service that issued it.
"""

_INSTANT: Object = {
    "type": "string",
    "format": "date-time",
    "pattern": r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$",
}

_CODES = """
| `code` | `status` | Meaning |
|---|---|---|
| 0 | 400 | no token was sent |
| 1 | 401 | the user is not found or not valid |
| 2 | 400 | there is no such entity |
| 3 | 400 | a required property is missing |
| 4 | 400 | what was sent cannot be processed |
| 5 | 400 | the token is incorrect |
| 6 | 400 | the token has expired |
| 7 | 400 | there is an error with the token |
| others | the same number | as HTTP has it |

Codes 2 and 3 belong to calls that carry an entity; none of this document's does.
"""


def _object(properties: Object, **more: Any) -> Object:
    return {"type": "object", "required": list(properties), "properties": properties, **more}


SCHEMAS: Object = {
    "Token": _object(
        {
            "issuedAt": {**_INSTANT, "description": "UTC, with milliseconds and a literal `Z`."},
            "expiration": {**_INSTANT, "description": "From then on the token is refused. In the same form."},
            "token": {
                "type": "string",
                "pattern": r"^Bearer [\w-]+\.[\w-]+\.[\w-]+$",
                "description": "`Bearer`, one space and the token: the value of the `Authorization` header.",
            },
        }
    ),
    "Pong": _object(
        {
            "user": {"type": "string", "description": "The client the token was issued to."},
            "authorities": {"type": "array", "items": {"type": "string"}, "description": "Its roles."},
        }
    ),
    "Failure": _object(
        {
            "status": {"type": "integer", "minimum": 400, "maximum": 599, "description": "The HTTP status again."},
            "code": {"type": "integer", "minimum": 0, "description": "The code of the table above."},
            "message": {"type": "string", "description": "What went wrong, as text."},
        },
        description=_CODES,
    ),
}

SECURITY: Object = {
    "certificate": {
        "type": "mutualTLS",
        "description": "A client certificate that the operator has registered, from a registered address.",
    },
    # No `http` scheme: tools put a second `Bearer` before the value, which is wrong here (sheet, section 8, row 11).
    "token": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "The value of `token` as `GET /v1/token` answered it, `Bearer ` included.",
    },
}


def _json(schema: str, example: Object) -> Object:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}, "example": example}}


_TOKEN: Object = {
    "tags": ["Token"],
    "security": [{"certificate": []}],
    "responses": {
        "200": {
            "description": "The token, good until `expiration`.",
            "content": _json(
                "Token",
                {
                    "issuedAt": "2021-04-01T09:09:16.284Z",
                    "expiration": "2021-04-02T09:09:16.284Z",
                    "token": "Bearer eyJhbGciOiJIUzUxMiJ9.e30.c2lnbmF0dXJl",
                },
            ),
        }
    },
}

GET_TOKEN: Object = {
    **_TOKEN,
    "operationId": "getToken",
    "summary": "Exchange the certificate of the connection for a token",
    "description": "No parameters and no body. A refusal does not say which check failed.",
}

POST_TOKEN: Object = {
    **_TOKEN,
    "operationId": "postToken",
    "summary": "The same, for callers that post",
    "description": "Without a body.",
}

PING: Object = {
    "operationId": "ping",
    "tags": ["Ping"],
    "summary": "Say whose token this is",
    "description": "A call to try a token on; it changes nothing.",
    "security": [{"certificate": [], "token": []}],
    "responses": {
        "200": {
            "description": "The token is good.",
            "content": _json("Pong", {"user": "prueba", "authorities": ["ROLE_USER"]}),
        }
    },
}
