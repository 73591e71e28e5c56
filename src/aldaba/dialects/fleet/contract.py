"""What the fleet API's document says of its calls and bodies: prose, schemas and the samples of the sheet.

Refusals are not here; the document makes them out of `wire`.
"""

from collections.abc import Mapping
from typing import Any

Object = Mapping[str, Any]

DESCRIPTION = """
An account's user name and API key are exchanged for a token, which opens the account's devices.

1. `POST /api/Auth/Token` with the user name and the API key answers a token and when it ends.
2. Send it with every other request, as `Authorization: Bearer` and the token.
3. Ask for a new one before `expires`; there is no refresh.

Bodies are JSON both ways. Every answer has `success`; a failure adds `error`, with a status that agrees.
Paths match without regard to case. Deleting or replacing an API key ends it and its tokens.
"""

_INSTANT: Object = {
    "type": "string",
    "format": "date-time",
    "pattern": r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$",
    "description": "UTC, in whole seconds, with a literal `Z`.",
}
# A NUL makes a body malformed (threats A13).
_TEXT: Object = {"type": "string", "pattern": r"^[^\u0000]*$"}
_COUNTERS: Object = {
    "apiUsage": {
        "type": "integer",
        "minimum": 0,
        "description": "Requests of the account in the current minute, with this one; 0 while the account is unknown.",
    },
    "apiDailyUsage": {
        "type": "integer",
        "minimum": 0,
        "description": "Requests of the account in the current UTC day, with this one; 0 while the account is unknown.",
    },
}
_SUCCESS: Object = {"success": {"type": "boolean", "const": True}}


def _object(properties: Object, **more: Any) -> Object:
    return {"type": "object", "required": list(properties), "properties": properties, **more}


def _known(type_: str, description: str, **more: Any) -> Object:
    return {"type": [type_, "null"], "description": f"{description}; `null` when unknown.", **more}


SCHEMAS: Object = {
    "TokenRequest": _object(
        {
            "userName": {**_TEXT, "description": "The account's user name."},
            "apiKey": {**_TEXT, "format": "password", "description": "The account's API key."},
        },
        additionalProperties=False,
    ),
    "Token": _object(
        {
            **_SUCCESS,
            "token": {
                "type": "string",
                "pattern": r"^[\w-]+\.[\w-]+\.[\w-]+$",
                "description": "The bare token, without `Bearer`. What is in it is not for callers to read.",
            },
            "expires": {**_INSTANT, "description": "From then on the token is refused. UTC, in whole seconds."},
        }
    ),
    "Device": _object(
        {
            "id": {"type": "string", "description": "Unique in the account."},
            "name": _known("string", "Name"),
            "description": _known("string", "Description"),
            "min": _known("string", "Mobile Identity Number: the telephone number of the device's card"),
            "tags": _known("object", "Tags, text to text", additionalProperties={"type": "string"}),
            "expires": {**_INSTANT, "type": ["string", "null"], "description": "End of the device, or `null`. UTC."},
        }
    ),
    "Devices": _object(
        {
            **_SUCCESS,
            **_COUNTERS,
            "devices": {
                "type": "array",
                "items": {"$ref": "#/components/schemas/Device"},
                "description": "The active devices by id; those past their `expires` are not among them.",
            },
        }
    ),
    "OneDevice": _object({**_SUCCESS, **_COUNTERS, "device": {"$ref": "#/components/schemas/Device"}}),
    "Failure": {
        "type": "object",
        "required": ["success", "error"],
        "properties": {
            "success": {"type": "boolean", "const": False},
            "error": {"type": "string", "description": "What went wrong, as text."},
            **_COUNTERS,
        },
        "description": "The counters are in every failure but those of the token.",
    },
}

SECURITY: Object = {
    "token": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "The `token` that `POST /api/Auth/Token` answered.",
    }
}


def _json(schema: str, example: Object) -> Object:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}, "example": example}}


_DEVICE_1: Object = {
    "id": "device123",
    "name": "Device 1",
    "description": "Main tracking device",
    "min": "12345",
    "tags": {"tag1": "value1", "tag2": "value2"},
    "expires": "2026-12-31T23:59:59Z",
}
_DEVICE_2: Object = {
    "id": "device456",
    "name": "Device 2",
    "description": None,
    "min": "67890",
    "tags": None,
    "expires": None,
}

TOKEN: Object = {
    "operationId": "token",
    "tags": ["Token"],
    "summary": "Exchange a user name and an API key for a token",
    "description": "Unknown user name and wrong key are answered alike. Repeated failures make the caller wait.",
    "security": [],
    "requestBody": {
        "required": True,
        "content": _json("TokenRequest", {"userName": "your_username", "apiKey": "your_api_key"}),
    },
    "responses": {
        "200": {
            "description": "The token, good until `expires`.",
            "content": _json(
                "Token",
                {
                    "success": True,
                    "token": "eyJhbGciOiJIUzUxMiIsInR5cCI6IkpXVCJ9.e30.c2lnbmF0dXJl",
                    "expires": "2026-12-31T23:59:59Z",
                },
            ),
        }
    },
}

DEVICES: Object = {
    "operationId": "devices",
    "tags": ["Devices"],
    "summary": "List the account's active devices",
    "security": [{"token": []}],
    "responses": {
        "200": {
            "description": "The devices; an empty list for an account without any.",
            "content": _json(
                "Devices",
                {"success": True, "apiUsage": 3, "apiDailyUsage": 150, "devices": [_DEVICE_1, _DEVICE_2]},
            ),
        }
    },
}

DEVICE: Object = {
    "operationId": "device",
    "tags": ["Devices"],
    "summary": "Show one device of the account",
    "description": "A device of another account is answered as an unknown one.",
    "security": [{"token": []}],
    "parameters": [
        {
            "name": "deviceId",
            "in": "path",
            "required": True,
            "description": "The `id` of the device.",
            "schema": {"type": "string", "minLength": 1},
            "example": "device123",
        }
    ],
    "responses": {
        "200": {
            "description": "The device.",
            "content": _json("OneDevice", {"success": True, "apiUsage": 3, "apiDailyUsage": 150, "device": _DEVICE_1}),
        }
    },
}
