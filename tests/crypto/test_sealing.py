"""Sealing: what is sealed opens with its key, in its place, unchanged, and not otherwise."""

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from aldaba.crypto.sealing import CannotUnseal, seal, unseal

KEY = bytes(range(32))
CONTEXT = "mobility/access-token/7"
SEALED = seal(KEY, b"a signing key", CONTEXT)


@settings(deadline=None)
@given(st.binary(max_size=200), st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_what_is_sealed_is_unsealed(plaintext: bytes, context: str) -> None:
    assert plaintext == unseal(KEY, seal(KEY, plaintext, context), context)


def test_sealing_is_aes_256_gcm_with_the_context_bound() -> None:
    version, nonce, ciphertext = SEALED[:1], SEALED[1:13], SEALED[13:]

    assert version == b"\x01"
    assert AESGCM(KEY).decrypt(nonce, ciphertext, b"\x01" + CONTEXT.encode()) == b"a signing key"


def test_the_same_is_never_sealed_twice_alike() -> None:
    assert len({seal(KEY, b"a signing key", CONTEXT) for _ in range(1000)}) == 1000


@pytest.mark.parametrize(
    "context", ["fleet/access-token/7", "mobility/access-token/8", "mobility/link/7", CONTEXT + " "]
)
def test_what_is_sealed_for_one_place_does_not_open_in_another(context: str) -> None:
    with pytest.raises(CannotUnseal):
        unseal(KEY, SEALED, context)


def test_another_key_does_not_open_it() -> None:
    with pytest.raises(CannotUnseal):
        unseal(bytes(32), SEALED, CONTEXT)


@pytest.mark.parametrize("position", range(len(SEALED) * 8))
def test_one_changed_bit_is_noticed(position: int) -> None:
    changed = bytearray(SEALED)
    changed[position // 8] ^= 1 << position % 8

    with pytest.raises(CannotUnseal):
        unseal(KEY, bytes(changed), CONTEXT)


@pytest.mark.parametrize("length", range(len(SEALED)))
def test_a_cut_is_noticed(length: int) -> None:
    with pytest.raises(CannotUnseal):
        unseal(KEY, SEALED[:length], CONTEXT)


def test_a_refusal_quotes_nothing_and_chains_nothing() -> None:
    with pytest.raises(CannotUnseal) as caught:
        unseal(bytes(32), SEALED, CONTEXT)

    assert (None, True) == (caught.value.__cause__, caught.value.__suppress_context__)
    assert str(caught.value) == "sealed under another key or for another place, or damaged"


@pytest.mark.parametrize("key", [b"", bytes(16), bytes(24), bytes(31), bytes(33)])
def test_b14_a_key_of_another_length_is_our_mistake(key: bytes) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        seal(key, b"a signing key", CONTEXT)
    with pytest.raises(ValueError, match="32 bytes"):
        unseal(key, SEALED, CONTEXT)


def test_nothing_is_sealed_without_a_context() -> None:
    with pytest.raises(ValueError, match="context"):
        seal(KEY, b"a signing key", "")
    with pytest.raises(ValueError, match="context"):
        unseal(KEY, SEALED, "")
