"""The structured-field test suite (RFC 9651), against the reader of certificate headers and the library below it."""

import base64
import json
from pathlib import Path
from typing import Any

import http_sf
import pytest

from aldaba.web.forwarded import BadPeer, byte_sequence

VECTORS = Path(__file__).parent.parent / "vectors" / "sf-tests"


def cases(*names: str) -> list[Any]:
    return [
        pytest.param(case, id=f"{name}: {case['name']}")
        for name in names
        for case in json.loads((VECTORS / f"{name}.json").read_text())
    ]


def joined(case: dict[str, Any]) -> bytes:
    return ", ".join(case["raw"]).encode()


@pytest.mark.parametrize("case", cases("binary"))
def test_d5_byte_sequences_are_read_as_the_vectors_say(case: dict[str, Any]) -> None:
    if case.get("must_fail") or case.get("can_fail"):
        # What may be refused is: two spellings of one certificate are one too many.
        with pytest.raises(BadPeer):
            byte_sequence(joined(case))
        return

    assert base64.b32decode(case["expected"][0]["value"]) == byte_sequence(joined(case))


@pytest.mark.parametrize("case", cases("item", "list", "dictionary", "string", "token"))
def test_d5_nothing_else_is_read_as_a_byte_sequence(case: dict[str, Any]) -> None:
    with pytest.raises(BadPeer):
        byte_sequence(joined(case))


@pytest.mark.parametrize("case", cases("binary", "item", "list", "dictionary", "string", "token"))
def test_the_library_takes_and_refuses_what_the_vectors_say(case: dict[str, Any]) -> None:
    if case.get("must_fail"):
        with pytest.raises(http_sf.StructuredFieldError):
            http_sf.parse(joined(case), tltype=case["header_type"])
        return
    try:
        parsed = http_sf.parse(joined(case), tltype=case["header_type"])
    except ValueError:
        assert case.get("can_fail")
        return

    canonical = ", ".join(case.get("canonical", case["raw"]))
    assert canonical == (http_sf.ser(parsed) if parsed else "")
