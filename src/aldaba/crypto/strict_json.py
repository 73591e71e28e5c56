"""Strict JSON from bytes, for tokens and request bodies: what two parsers could read differently is refused.

The standard library's scanner does the work (RFC 8259); this module closes what it leaves open: threats A10 to A13, E5.
"""

import json
import math
from functools import cache
from typing import Any, NoReturn

MAX_DEPTH = 32
MAX_MEMBERS = 100
MAX_NUMBER_LENGTH = 100

_WHITESPACE = " \t\n\r"
_TO_SQUARE = bytes.maketrans(b"{}", b"[]")
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


class MalformedJson(ValueError):
    """The bytes are not JSON that we accept. The text says why and quotes nothing of them."""


def loads_object(raw: bytes, *, max_depth: int = MAX_DEPTH, max_members: int = MAX_MEMBERS) -> dict[str, Any]:
    """Parse one JSON object.

    Raises:
        MalformedJson: As in `loads`, or the value is not an object.
    """
    value = loads(raw, max_depth=max_depth, max_members=max_members)
    if type(value) is not dict:
        raise MalformedJson("not an object")
    return value


def loads(raw: bytes, *, max_depth: int = MAX_DEPTH, max_members: int = MAX_MEMBERS) -> Any:
    """Parse one JSON value.

    Raises:
        MalformedJson: Not UTF-8, a byte-order mark, not JSON, trailing text, a doubled key, NaN or an infinity, a
            number that is too long or overflows, too deep, too many members, a lone surrogate or a NUL in a string.
    """
    _refuse_depth(raw, max_depth)
    try:
        text = raw.decode("utf-8").strip(_WHITESPACE)
        value, end = _decoder(max_members).raw_decode(text)
    # The originals carry the whole input, secrets included, as an attribute: they are not chained.
    except UnicodeDecodeError:
        raise MalformedJson("not UTF-8") from None
    except json.JSONDecodeError as error:
        raise MalformedJson(f"not JSON at character {error.pos}") from None
    if end != len(text):
        raise MalformedJson("text after the value")
    # Lone surrogates and NUL can come in by an escape only: in UTF-8 and unescaped the scanner refuses both.
    if "\\u" in text:
        _refuse_unusable_text(value)
    return value


def _refuse_depth(raw: bytes, max_depth: int) -> None:
    # Before parsing, because the scanner recurses. Few brackets cannot be deep, so the usual body is only counted.
    if raw.count(b"{") + raw.count(b"[") <= max_depth:
        return
    brackets = _outside_strings(raw).translate(_TO_SQUARE, _NOT_BRACKETS)
    for _ in range(max_depth):
        # Each pass takes away the innermost level, whatever its width; what stays when none is left does not match.
        outer = brackets.replace(b"[]", b"")
        if len(outer) == len(brackets):
            break
        brackets = outer
    if brackets:
        raise MalformedJson(f"deeper than {max_depth}, or brackets that do not match")


def _outside_strings(raw: bytes) -> bytes:
    # Pairs of backslashes first, then escaped quotes: the quotes that stay are those that open and close strings.
    # Up to the first fault this is how the scanner reads it, and at the first fault the scanner stops.
    unescaped = raw.replace(b"\\\\", b"").replace(b'\\"', b"")
    return b"".join(unescaped.split(b'"')[::2])


@cache
def _decoder(max_members: int) -> json.JSONDecoder:
    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        # RFC 8259, section 4, leaves doubled names to the parser: the place where two readers see two values.
        if len(pairs) > max_members:
            raise MalformedJson(f"more than {max_members} members")
        value = dict(pairs)
        if len(value) != len(pairs):
            raise MalformedJson("doubled key")
        return value

    return json.JSONDecoder(
        object_pairs_hook=members, parse_int=_integer, parse_float=_float, parse_constant=_refuse_constant
    )


def _integer(text: str) -> int:
    if len(text) > MAX_NUMBER_LENGTH:
        raise MalformedJson("number too long")
    return int(text)


def _float(text: str) -> float:
    if len(text) > MAX_NUMBER_LENGTH:
        raise MalformedJson("number too long")
    value = float(text)
    if math.isinf(value):
        raise MalformedJson("number overflows")
    return value


def _refuse_constant(_: str) -> NoReturn:
    raise MalformedJson("NaN or an infinity")


def _refuse_unusable_text(value: Any) -> None:
    match value:
        case str():
            _refuse_unusable_string(value)
        case list():
            for item in value:
                _refuse_unusable_text(item)
        case dict():
            for key, item in value.items():
                _refuse_unusable_string(key)
                _refuse_unusable_text(item)


def _refuse_unusable_string(text: str) -> None:
    if "\0" in text:
        raise MalformedJson("NUL in a string")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise MalformedJson("lone surrogate in a string") from None
