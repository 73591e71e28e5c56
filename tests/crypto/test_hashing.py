"""Secrets, the hashes they are stored as, and derived keys."""

import copy
import hashlib
import hmac
import json
import pickle
import re
import string
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aldaba.crypto import hashing
from aldaba.crypto.hashing import Secret, WrongSecret

PEPPER = bytes(range(32))
OTHER_PEPPER = bytes(range(32, 64))
ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase

# --- new secrets -----------------------------------------------------------------------------------------------------


def test_a_new_secret_has_its_prefix_43_characters_and_6_of_checksum() -> None:
    assert re.fullmatch(r"aldk_[0-9A-Za-z]{49}", hashing.new_secret("aldk").reveal())


def test_new_secrets_are_all_different() -> None:
    assert len({hashing.new_secret("aldk").reveal() for _ in range(1000)}) == 1000


@pytest.mark.parametrize("random", [bytes(32), b"\xff" * 32, bytes(31) + b"\x01", bytes(range(32))])
def test_a_secret_holds_all_256_bits_at_a_fixed_width(random: bytes) -> None:
    text = hashing.new_secret("aldk", lambda size: random[:size]).reveal()
    number = 0
    for digit in text.removeprefix("aldk_")[:43]:
        number = number * 62 + ALPHABET.index(digit)

    assert (54, int.from_bytes(random)) == (len(text), number)


def test_the_checksum_is_the_crc32_of_all_before_it() -> None:
    text = hashing.new_secret("aldk").reveal()
    number = 0
    for digit in text[-6:]:
        number = number * 62 + ALPHABET.index(digit)

    assert zlib.crc32(text[:-6].encode()) == number


@pytest.mark.parametrize("prefix", ["", "a", "ALDK", "1a", "al dk", "aldk_", "a" * 17, "áldk", "aldk\n"])
def test_a_prefix_that_cannot_be_read_back_is_refused(prefix: str) -> None:
    with pytest.raises(ValueError, match="2 to 16 lower-case letters"):
        hashing.new_secret(prefix)


def test_a_new_secret_has_a_valid_checksum() -> None:
    assert hashing.has_valid_checksum(hashing.new_secret("aldk").reveal())


@pytest.mark.parametrize("position", range(54))
def test_one_mistyped_character_is_noticed(position: int) -> None:
    text = hashing.new_secret("aldk").reveal()
    other = "b" if text[position] == "a" else "a"

    assert not hashing.has_valid_checksum(text[:position] + other + text[position + 1 :])


@pytest.mark.parametrize("text", ["", "aldk_", "aldk_" + "0" * 49, "nonsense", "ñ" * 54, "aldk_" + "0" * 10_000])
def test_another_text_has_no_valid_checksum(text: str) -> None:
    assert not hashing.has_valid_checksum(text)


def test_a_secret_with_something_around_it_has_no_valid_checksum() -> None:
    text = hashing.new_secret("aldk").reveal()

    assert [False] * 4 == [hashing.has_valid_checksum(odd) for odd in (f"{text}\n", f" {text}", text[:-1], f"{text}0")]


# --- a secret does not show itself -----------------------------------------------------------------------------------


def test_a_secret_shows_its_prefix_and_its_last_four_characters() -> None:
    secret = hashing.new_secret("aldk")
    last = secret.reveal()[-4:]

    assert (f"aldk_…{last}", f"Secret(aldk_…{last})") == (str(secret), repr(secret))
    assert f"aldk_…{last}" == f"{secret}"


@pytest.mark.parametrize("text", ["s3cret", "live_s3cret", "aldk_" + "s" * 49, ""])
def test_a_secret_of_another_make_shows_nothing(text: str) -> None:
    assert ("…", "Secret(…)") == (str(Secret(text)), repr(Secret(text)))


def test_a_secret_is_not_serialised_by_accident() -> None:
    secret = hashing.new_secret("aldk")
    for serialise in (pickle.dumps, copy.copy, copy.deepcopy, json.dumps, vars, hash):
        with pytest.raises(TypeError):
            serialise(secret)


def test_secrets_are_equal_when_their_texts_are() -> None:
    assert Secret("aldk_a") == Secret("aldk_a")
    assert Secret("aldk_a") != Secret("aldk_b")
    assert Secret("\ud800") != Secret("é")


@pytest.mark.parametrize("other", ["aldk_a", b"aldk_a", None])
def test_a_secret_is_not_compared_with_a_plain_text(other: object) -> None:
    with pytest.raises(TypeError, match="another Secret"):
        assert Secret("aldk_a") == other


# --- stored hashes ---------------------------------------------------------------------------------------------------


def test_a_secret_is_stored_as_an_hmac_of_its_hash() -> None:
    expected = hmac.new(PEPPER, hashlib.sha256(b"aldk_a").digest(), "sha256").digest()

    assert expected == hashing.keyed_hash(PEPPER, "aldk_a")


@pytest.mark.parametrize("index", [0, 1, 2])
def test_a_secret_is_found_among_the_stored_ones(index: int) -> None:
    texts = ["aldk_a", "aldk_b", "aldk_c"]
    stored = [hashing.keyed_hash(PEPPER, text) for text in texts]

    assert index == hashing.verify_secret(PEPPER, texts[index], stored)


def test_a_key_imported_as_sha256_is_verified_by_the_key_itself() -> None:
    digest = hashlib.sha256(b"legacy key").digest()
    stored = [hashing.keyed_hash_of_sha256(PEPPER, digest)]

    assert hashing.verify_secret(PEPPER, "legacy key", stored) == 0
    for wrong in (digest.hex(), digest.decode("latin-1")):
        with pytest.raises(WrongSecret):
            hashing.verify_secret(PEPPER, wrong, stored)


@pytest.mark.parametrize("digest", [b"", bytes(31), bytes(33), hashlib.sha256(b"a").hexdigest().encode()])
def test_a_digest_of_another_length_is_not_imported(digest: bytes) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        hashing.keyed_hash_of_sha256(PEPPER, digest)


@pytest.mark.parametrize("stored", [[], [hashing.keyed_hash(PEPPER, "aldk_b")], [b""], [bytes(32)]])
def test_b1_a_wrong_secret_is_refused_as_is_any_secret_of_an_unknown_name(stored: list[bytes]) -> None:
    with pytest.raises(WrongSecret):
        hashing.verify_secret(PEPPER, "aldk_a", stored)


def test_the_hash_of_another_pepper_is_refused() -> None:
    with pytest.raises(WrongSecret):
        hashing.verify_secret(OTHER_PEPPER, "aldk_a", [hashing.keyed_hash(PEPPER, "aldk_a")])


@pytest.mark.parametrize(
    "presented",
    [
        pytest.param("", id="empty"),
        pytest.param("a" * 10_000, id="10,000 characters"),
        pytest.param("aldk_a\0", id="NUL after"),
        pytest.param("\0", id="NUL"),
        pytest.param("aldk_á", id="not ASCII"),
        pytest.param("\ud800", id="lone surrogate"),
        pytest.param("ALDK_A", id="other case"),
        pytest.param("aldk_a ", id="white space"),
        pytest.param("\uff41ldk_a", id="look-alike"),
    ],
)
def test_b10_an_odd_secret_is_wrong(presented: str) -> None:
    with pytest.raises(WrongSecret):
        hashing.verify_secret(PEPPER, presented, [hashing.keyed_hash(PEPPER, "aldk_a")])


def test_b10_the_longest_secret_is_right_and_is_wrong_with_anything_after_it() -> None:
    longest = "a" * hashing.MAX_SECRET_LENGTH
    stored = [hashing.keyed_hash(PEPPER, longest)]

    assert hashing.verify_secret(PEPPER, longest, stored) == 0
    with pytest.raises(WrongSecret):
        hashing.verify_secret(PEPPER, longest + "a", stored)


def test_b10_a_character_outside_ascii_does_not_stand_for_another() -> None:
    with pytest.raises(WrongSecret):
        hashing.verify_secret(PEPPER, "aé", [hashing.keyed_hash(PEPPER, "a?")])


@pytest.mark.parametrize("text", ["", "a" * 513, "aldk_á", "aldk_\0", "\ud800"])
def test_b10_a_secret_that_could_never_be_verified_is_not_stored(text: str) -> None:
    with pytest.raises(ValueError, match="1 to 512 ASCII characters"):
        hashing.keyed_hash(PEPPER, text)


def test_b10_what_is_wrong_anyway_is_hashed_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cost of a refusal must not tell why: count the hashed bytes, which a clock here could not."""
    hashed: list[int] = []
    sha256 = hashlib.sha256

    def counting(text: bytes = b"") -> "hashlib._Hash":
        hashed.append(len(text))
        return sha256(text)

    monkeypatch.setattr(hashlib, "sha256", counting)
    for presented in ("", "a" * 10**6, "é" * 10**6, "aldk_\0"):
        with pytest.raises(WrongSecret):
            hashing.verify_secret(PEPPER, presented, [])

    assert [0, 512, 512, 6] == hashed


@pytest.mark.parametrize("pepper", [b"", b"short", bytes(31)])
def test_b14_a_short_pepper_is_our_mistake(pepper: bytes) -> None:
    with pytest.raises(ValueError, match="at least 32 bytes"):
        hashing.keyed_hash(pepper, "aldk_a")
    with pytest.raises(ValueError, match="at least 32 bytes"):
        hashing.verify_secret(pepper, "aldk_a", [])


@settings(deadline=None)
@given(st.text(max_size=600), st.text(max_size=600))
def test_b10_any_text_is_right_or_wrong_and_nothing_else(right: str, presented: str) -> None:
    try:
        stored = [hashing.keyed_hash(PEPPER, right)]
    except ValueError:
        stored = []
    try:
        assert hashing.verify_secret(PEPPER, presented, stored) == 0
    except WrongSecret:
        assert not stored or right != presented
    else:
        assert right == presented


# --- tokens, derived keys --------------------------------------------------------------------------------------------


def test_a_token_is_looked_up_by_its_sha256() -> None:
    assert hashlib.sha256(b"eyJ.e30.AA").digest() == hashing.token_digest("eyJ.e30.AA")


def test_f8_odd_tokens_have_digests_of_their_own() -> None:
    tokens = ["", "a", "A", "a*", "%", "é", "\ud800", "?", "a" * 10_000, "\0"]

    assert len(tokens) == len({hashing.token_digest(token) for token in tokens})


def test_a_key_is_derived_by_hkdf() -> None:
    """RFC 5869, sections 2.2 and 2.3, by hand: no salt, one block."""
    master = bytes(range(32))
    extracted = hmac.new(bytes(32), master, "sha256").digest()
    expanded = hmac.new(extracted, b"aldaba/1/pepper\x01", "sha256").digest()

    assert expanded == hashing.derive(master, "pepper")


def test_each_purpose_and_each_master_has_a_key_of_its_own() -> None:
    keys = {
        hashing.derive(master, purpose) for master in (PEPPER, OTHER_PEPPER) for purpose in ("pepper", "audit", "seal")
    }

    assert {32} == {len(key) for key in keys}
    assert len(keys) == 6


def test_nothing_is_derived_without_a_master_key_or_a_purpose() -> None:
    with pytest.raises(ValueError, match="at least 32 bytes"):
        hashing.derive(bytes(31), "pepper")
    with pytest.raises(ValueError, match="purpose"):
        hashing.derive(PEPPER, "")
