"""Strict JSON: the JSONTestSuite, and the rows of threats.md that concern bodies and tokens."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aldaba.crypto import strict_json
from aldaba.crypto.strict_json import MalformedJson

SUITE = sorted((Path(__file__).parents[1] / "vectors/json-test-suite/test_parsing").glob("*.json"))

# What the suite accepts and we do not, with our reason.
REFUSED_THOUGH_VALID = {
    "y_object_duplicated_key.json": "doubled key: two readers could see two values (A12)",
    "y_object_duplicated_key_and_value.json": "doubled key, even with the same value (A12)",
    "y_object_escaped_null_in_key.json": "NUL ends texts elsewhere (A13)",
    "y_string_null_escape.json": "NUL ends texts elsewhere (A13)",
}


def named(prefix: str) -> list[Any]:
    """Give the files of one kind of the suite, as named parameters."""
    return [pytest.param(path, id=path.stem) for path in SUITE if path.name.startswith(prefix)]


def why_refused(raw: bytes, **limits: int) -> str:
    """Give the reason for which bytes are refused."""
    with pytest.raises(MalformedJson) as caught:
        strict_json.loads(raw, **limits)
    return str(caught.value)


# --- JSONTestSuite ---------------------------------------------------------------------------------------------------


def test_the_suite_is_complete() -> None:
    counts = {kind: sum(path.name.startswith(kind) for path in SUITE) for kind in ("y_", "n_", "i_")}

    assert {"y_": 95, "n_": 188, "i_": 35} == counts


@pytest.mark.parametrize("path", named("y_"))
def test_valid_text_is_read_as_by_the_standard_library(path: Path) -> None:
    raw = path.read_bytes()
    if path.name in REFUSED_THOUGH_VALID:
        why_refused(raw)
        return

    assert json.loads(raw) == strict_json.loads(raw)


@pytest.mark.parametrize("path", named("n_"))
def test_invalid_text_is_refused(path: Path) -> None:
    why_refused(path.read_bytes())


@pytest.mark.parametrize("path", named("i_"))
def test_disputed_text_is_read_or_refused_and_nothing_else(path: Path) -> None:
    raw = path.read_bytes()
    try:
        value = strict_json.loads(raw)
    except MalformedJson:
        return

    assert json.loads(raw) == value


def test_disputed_text_that_is_accepted_is_only_numbers() -> None:
    accepted = set()
    for path in SUITE:
        try:
            strict_json.loads(path.read_bytes())
        except MalformedJson:
            continue
        accepted.add(path.name)

    expected = {
        "i_number_double_huge_neg_exp.json",
        "i_number_real_underflow.json",
        "i_number_too_big_neg_int.json",
        "i_number_too_big_pos_int.json",
        "i_number_very_big_negative_int.json",
    }
    assert expected == {name for name in accepted if name.startswith("i_")}


# --- what is not JSON, and what is not an object ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "raw", [b"", b" ", b"\n", b"nonsense", b"{", b"{'a':1}", b'{"a":1,}', b"{}{}", b"{} x", b"{}\x00"]
)
def test_a10_what_is_not_one_value_is_refused(raw: bytes) -> None:
    assert why_refused(raw).startswith(("not JSON at character", "text after the value"))


@pytest.mark.parametrize("raw", [b"null", b"[]", b'"text"', b"1", b"true", b"[{}]"])
def test_a10_another_value_where_an_object_is_due_is_refused(raw: bytes) -> None:
    with pytest.raises(MalformedJson, match="not an object"):
        strict_json.loads_object(raw)


@pytest.mark.parametrize("raw", [b'{"a":1}', b' \t\r\n{"a":1}\n', b'{ "a" : 1 }'])
def test_an_object_is_read_with_white_space_around_it(raw: bytes) -> None:
    assert {"a": 1} == strict_json.loads_object(raw)


@pytest.mark.parametrize("space", ["\x0b", "\x0c", "\xa0", "\u2028", "\u3000"])
def test_a10_other_white_space_is_refused(space: str) -> None:
    why_refused(f"{space}{{}}".encode())
    why_refused(f"{{}}{space}".encode())


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e400", "-1e400", "9" * 4000, "0." + "1" * 4000])
def test_a10_numbers_without_a_value_are_refused(text: str) -> None:
    why_refused(b'{"a":%s}' % text.encode())
    why_refused(b"[[%s]]" % text.encode())


def test_a10_a_number_is_refused_from_101_characters_on() -> None:
    longest = "9" * strict_json.MAX_NUMBER_LENGTH

    assert int(longest) == strict_json.loads(longest.encode())
    assert "number too long" == why_refused(longest.encode() + b"9")


@pytest.mark.parametrize("raw, value", [(b"1", 1), (b"60.0", 60.0), (b"true", True), (b'"1"', "1"), (b"1e2", 100.0)])
def test_a14_values_keep_the_type_they_were_written_in(raw: bytes, value: object) -> None:
    read = strict_json.loads(raw)

    assert (type(value), value) == (type(read), read)


# --- depth and width -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("opening, closing", [(b"[", b"]"), (b'{"a":', b"}"), (b'[{"[{":', b"}]")])
def test_a11_nesting_up_to_32_is_read_and_33_is_refused(opening: bytes, closing: bytes) -> None:
    levels = opening.replace(b'"[{"', b"").count(b"[") + opening.replace(b'"[{"', b"").count(b"{")
    deepest = strict_json.MAX_DEPTH // levels

    strict_json.loads(opening * deepest + b"0" + closing * deepest)
    assert why_refused(opening * deepest + b"[0]" + closing * deepest).startswith("deeper than 32")


@pytest.mark.parametrize("unit", [b"[", b"{", b'{"a":', b'["",', b"[{", b'["\\"",'])
def test_a11_100000_unclosed_levels_are_refused(unit: bytes) -> None:
    why_refused(unit * 100_000)


def test_a11_100000_closed_levels_are_refused() -> None:
    assert why_refused(b"[" * 100_000 + b"]" * 100_000).startswith("deeper than 32")


def test_a11_a_caller_may_ask_for_less_depth() -> None:
    assert {"a": {"b": 1}} == strict_json.loads_object(b'{"a":{"b":1}}', max_depth=2)
    assert why_refused(b'{"a":{"b":[]}}', max_depth=2).startswith("deeper than 2")


def test_a11_many_values_side_by_side_are_not_deep() -> None:
    raw = b"[" + b"[],{}," * 1000 + b"[]]"

    assert 2001 == len(strict_json.loads(raw))


@pytest.mark.parametrize("text", ["[" * 40, "]" * 40, '\\"' + "[" * 40, "\\\\" + "{" * 40, "a\\", '\\\\\\"[' * 40])
def test_a11_brackets_inside_strings_are_not_depth(text: str) -> None:
    value = {"a": [text, {"b": text}], "wide": [[]] * 40}

    assert value == strict_json.loads(json.dumps(value).encode())


def test_a11_over_100_members_are_refused() -> None:
    members = {f"m{n}": n for n in range(strict_json.MAX_MEMBERS)}

    assert members == strict_json.loads(json.dumps(members).encode())
    assert "more than 100 members" == why_refused(json.dumps(members | {"more": 1}).encode())


def test_a11_a_caller_may_ask_for_fewer_members() -> None:
    assert "more than 1 members" == why_refused(b'[{"a":1,"b":2}]', max_members=1)


def test_a11_names_of_60_kib_are_read_once() -> None:
    name = "n" * 60 * 1024

    assert {name: 1} == strict_json.loads(b'{"%s":1}' % name.encode())
    assert "doubled key" == why_refused(b'{"%s":1,"%s":2}' % (name.encode(), name.encode()))


# --- doubled keys ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a":1,"a":2}',
        b'{"a":1,"a":1}',
        b'{"a":1,"b":2,"a":3}',
        b'{"a":1,"\\u0061":2}',
        b'{"x":{"a":1,"a":2}}',
        b'[[{"a":1,"a":2}]]',
        b'{"":1,"":2}',
    ],
)
def test_a12_a_doubled_key_is_refused_at_any_depth(raw: bytes) -> None:
    assert "doubled key" == why_refused(raw)


def test_a12_keys_that_only_look_alike_are_two() -> None:
    assert {"a": 1, "A": 2} == strict_json.loads(b'{"a":1,"A":2}')


# --- encodings -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be", "utf-8-sig"]
)
def test_a13_other_encodings_and_marks_are_refused(encoding: str) -> None:
    why_refused('{"userName":"x"}'.encode(encoding))


@pytest.mark.parametrize("raw", [b'{"a":"\xff"}', b'{"a":"\xc0\x80"}', b'{"a":"\xed\xa0\x80"}', b'{"\xe9":1}'])
def test_a13_bytes_that_are_not_utf8_are_refused(raw: bytes) -> None:
    assert "not UTF-8" == why_refused(raw)


@pytest.mark.parametrize(
    "escape", ["\\ud800", "\\udc00", "\\ud800\\ud800", "\\udc00\\ud800", "\\ud83d\\u0041", "\\uDBFF"]
)
@pytest.mark.parametrize("place", ['"%s"', '{"%s":1}', '{"a":"%s"}', '[[{"a":["%s"]}]]'])
def test_a13_a_lone_surrogate_is_refused_in_keys_and_values(place: str, escape: str) -> None:
    assert "lone surrogate in a string" == why_refused((place % escape).encode())


@pytest.mark.parametrize("place", ['"%s"', '{"%s":1}', '{"a":"%s"}', '[[{"a":["x%sy"]}]]'])
def test_a13_nul_is_refused_in_keys_and_values(place: str) -> None:
    assert "NUL in a string" == why_refused((place % "\\u0000").encode())
    why_refused((place % "\0").encode())


@pytest.mark.parametrize(
    "raw, value",
    [
        (b'"\\ud83d\\ude00"', "\U0001f600"),
        ('"\U0001f600"'.encode(), "\U0001f600"),
        (b'"\\\\u0000"', "\\u0000"),
        (b'"\\\\ud800"', "\\ud800"),
        (b'"\\u00f1"', "ñ"),
    ],
)
def test_a13_other_escapes_are_read(raw: bytes, value: str) -> None:
    assert value == strict_json.loads(raw)


# --- what a refusal tells --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("raw", [b'{"apiKey":"s3cret"', b"s3cret", b'{"s3cret":1,"s3cret":2}', b'"s3cret\xff"'])
def test_a_refusal_quotes_nothing_and_chains_nothing_that_does(raw: bytes) -> None:
    with pytest.raises(MalformedJson) as caught:
        strict_json.loads(raw)

    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


# --- generated -------------------------------------------------------------------------------------------------------

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(texts, inner), max_leaves=60)


def depth_of(value: object) -> int:
    """Give how deep a value nests, by walking it."""
    match value:
        case list():
            return 1 + max(map(depth_of, value), default=0)
        case dict():
            return 1 + max(map(depth_of, value.values()), default=0)
        case _:
            return 0


@settings(deadline=None)
@given(values, st.booleans())
def test_every_plain_value_is_read_back(value: object, ascii_only: bool) -> None:
    assert value == strict_json.loads(json.dumps(value, ensure_ascii=ascii_only).encode())


@settings(deadline=None)
@given(values, st.integers(min_value=0, max_value=4))
def test_depth_is_counted_as_by_walking_the_value(value: object, max_depth: int) -> None:
    raw = json.dumps(value).encode()
    if depth_of(value) > max_depth:
        assert why_refused(raw, max_depth=max_depth).startswith("deeper than")
    else:
        assert value == strict_json.loads(raw, max_depth=max_depth)


@settings(deadline=None, max_examples=500)
@given(st.binary(max_size=80) | st.text('[]{}",:\\u0d8a1 e.-+tn', max_size=60).map(str.encode))
def test_any_bytes_are_read_or_refused_and_nothing_else(raw: bytes) -> None:
    try:
        value = strict_json.loads(raw)
    except MalformedJson:
        return

    assert json.loads(raw) == value
