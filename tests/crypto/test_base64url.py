"""Canonical base64url: every value has one text, and no other text is read."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aldaba.crypto import base64url
from aldaba.crypto.base64url import MalformedBase64url


@given(st.binary(max_size=200))
def test_values_are_encoded_as_by_the_standard_library_without_padding(value: bytes) -> None:
    assert base64.urlsafe_b64encode(value).rstrip(b"=") == base64url.encode(value)


@given(st.binary(max_size=200))
def test_every_value_is_read_back(value: bytes) -> None:
    assert value == base64url.decode(base64url.encode(value))


@pytest.mark.parametrize(
    "text",
    [
        b"A",
        b"AAAAA",
        b"AB",
        b"AAB",
        b"AA==",
        b"AAA=",
        b"=",
        b" AA",
        b"AA\n",
        b"A A",
        b"++++",
        b"//8",
        b"AA.",
        b"\xc3\xa9",
    ],
)
def test_e3_any_other_text_is_refused(text: bytes) -> None:
    with pytest.raises(MalformedBase64url):
        base64url.decode(text)


@given(st.binary(max_size=12) | st.text("AQgw048-_+/= \n", max_size=12).map(str.encode))
def test_e3_a_text_is_read_only_when_it_is_what_encoding_gives(text: bytes) -> None:
    try:
        value = base64url.decode(text)
    except MalformedBase64url:
        return

    assert text == base64.urlsafe_b64encode(value).rstrip(b"=")
