"""A request as a dialect reads it, and an answer as it gives it."""

from urllib.parse import unquote_to_bytes

import msgspec

from aldaba.crypto import strict_json
from aldaba.errors import Reason, Refusal

JSON = b"application/json"


class Request(msgspec.Struct, frozen=True):
    """A request that has arrived whole. Nothing in it is believed yet."""

    method: str
    headers: list[tuple[bytes, bytes]]
    query: bytes
    body: bytes
    params: dict[str, str]

    def header(self, name: bytes) -> str | None:
        """Return a header's value, None without one.

        Args:
            name: in lower case.

        Raises:
            Refusal: `MALFORMED`, it is there twice or holds more than visible ASCII.
        """
        values = [value for key, value in self.headers if key == name]
        if not values:
            return None
        if len(values) > 1:
            raise Refusal(Reason.MALFORMED, f"header {name.decode()} is there {len(values)} times")
        if not values[0].isascii():
            raise Refusal(Reason.MALFORMED, f"header {name.decode()} is not ASCII")
        return values[0].decode("ascii").strip(" \t")

    def json_object(self) -> dict[str, object]:
        """Return the body, which must be JSON in UTF-8 and an object.

        Raises:
            Refusal: `UNSUPPORTED_MEDIA_TYPE` or `MALFORMED` (threats A9 to A13).
        """
        self._require_json()
        try:
            return strict_json.loads_object(self.body)
        except strict_json.MalformedJson as error:
            raise Refusal(Reason.MALFORMED, str(error)) from error

    def _require_json(self) -> None:
        types = [value for key, value in self.headers if key == b"content-type"]
        if types == [JSON] and not any(key == b"content-encoding" for key, _value in self.headers):
            return
        if len(types) != 1:
            raise Refusal(
                Reason.UNSUPPORTED_MEDIA_TYPE, f"{len(types)} content types", expected="one", seen=str(len(types))
            )
        media, _, rest = types[0].lower().partition(b";")
        charset = rest.replace(b" ", b"").replace(b'"', b"")
        if media.strip() != JSON or charset not in (b"", b"charset=utf-8"):
            shown = types[0][:100].decode("ascii", "replace")
            raise Refusal(Reason.UNSUPPORTED_MEDIA_TYPE, expected="application/json in UTF-8", seen=shown)
        encoding = self.header(b"content-encoding")
        if encoding is not None and encoding.lower() != "identity":
            raise Refusal(Reason.UNSUPPORTED_MEDIA_TYPE, expected="no content encoding", seen=encoding[:100])


class Answer(msgspec.Struct, frozen=True):
    """What goes back: a status, a body, and headers beyond those every answer has.

    Answers differ from caller to caller and hold credentials, so nobody may keep them; `cache_control` is for those
    that do not.
    """

    status: int
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()
    media_type: bytes = JSON
    cache_control: bytes = b"no-store"


_KINDS = {bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "an object"}


def text_member(body: dict[str, object], name: str) -> str:
    """Return a member that must be there and be text; nothing is coerced (threats A14).

    Raises:
        Refusal: `MALFORMED`.
    """
    value = body.get(name)
    if not isinstance(value, str):
        seen = _KINDS.get(type(value), "null") if name in body else "nothing"
        raise Refusal(Reason.MALFORMED, f"member {name}", expected="text", seen=seen)
    return value


def bearer_token(request: Request) -> str:
    """Return the token of the one `Authorization` header: the scheme in any case, one space, no second word.

    RFC 6750, section 2.1; threats E11.

    Raises:
        Refusal: `TOKEN_MISSING` without the header, `TOKEN_INCORRECT` for any other form of it.
    """
    values = [value for key, value in request.headers if key == b"authorization"]
    if not values:
        raise Refusal(Reason.TOKEN_MISSING, expected="an Authorization header", seen="none")
    scheme, _, token = values[0].partition(b" ")
    if len(values) > 1 or scheme.lower() != b"bearer" or not token or b" " in token or not token.isascii():
        raise Refusal(Reason.TOKEN_INCORRECT, expected="one header 'Bearer', one space, a token", seen="another form")
    return token.decode("ascii")


def path_parameter(raw: str) -> str | None:
    """Return a path segment decoded once, None where it is not plain text of one segment (threats A6)."""
    if "%" not in raw:
        return raw
    try:
        text = unquote_to_bytes(raw).decode("utf-8")
    except UnicodeDecodeError:
        return None
    return text if text.isprintable() and "/" not in text else None
