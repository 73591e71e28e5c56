"""The one form of a client's name (threats B3 and B8)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aldaba.model.parties import LONGEST_NAME, canonical_name


@pytest.mark.parametrize(
    "name",
    [
        "ACME Fleet",
        "acme  fleet",
        " acme fleet ",
        "acme\tfleet",
        "acme\N{NO-BREAK SPACE}fleet",
        "acme\N{IDEOGRAPHIC SPACE}fleet",
        "\N{FULLWIDTH LATIN SMALL LETTER A}cme fleet",
        "acme \N{LATIN SMALL LIGATURE FL}eet",
        "\N{MATHEMATICAL BOLD CAPITAL A}CME FLEET",
    ],
)
def test_b3_spellings_of_one_name_are_one_account(name: str) -> None:
    assert "acme fleet" == canonical_name(name)


def test_b3_composed_and_decomposed_letters_are_one_account() -> None:
    assert canonical_name("Se\N{LATIN SMALL LETTER N WITH TILDE}al") == canonical_name("SEN\N{COMBINING TILDE}AL")
    assert canonical_name("stra\N{LATIN SMALL LETTER SHARP S}e") == canonical_name("STRASSE")


@pytest.mark.parametrize(
    "alike",
    ["\N{CYRILLIC SMALL LETTER A}cme fleet", "acme f1eet", "acme fleet.", "acmefleet", "acme\N{SOFT HYPHEN} fleet"],
)
def test_b3_a_name_that_only_looks_alike_is_another_one(alike: str) -> None:
    assert "acme fleet" != canonical_name(alike)


@given(st.text())
def test_b3_the_form_of_a_form_is_itself(name: str) -> None:
    assert canonical_name(name) == canonical_name(canonical_name(name))


@given(st.text(st.characters(), max_size=2 * LONGEST_NAME))
def test_b8_every_form_is_short_and_can_be_stored(name: str) -> None:
    form = canonical_name(name)

    assert len(form) <= LONGEST_NAME
    assert form.isprintable()


def test_b8_what_is_longer_than_a_name_is_no_other_name() -> None:
    assert canonical_name("a" * LONGEST_NAME) != canonical_name("a" * (LONGEST_NAME + 1))
    assert canonical_name("a" * 300) != canonical_name("a" * 301)
    assert "acme" == canonical_name("acme" + " " * 60_000)
