"""Signed checkpoints: anyone with the public key can check them, with us or without."""

import subprocess
from pathlib import Path

import pytest

from aldaba.crypto import signing
from aldaba.crypto.signing import WrongSignature
from tests.parts import needs

SEED = bytes(range(32))
PUBLIC = signing.public_key(SEED)
MESSAGE = b"writer 1, row 1000, chain 5f0e"
SIGNATURE = signing.sign_checkpoint(SEED, MESSAGE)


def test_a_signed_message_is_given_back() -> None:
    assert MESSAGE == signing.verify_checkpoint(PUBLIC, MESSAGE, SIGNATURE)


def test_the_first_vector_of_rfc_8032_is_met() -> None:
    """RFC 8032, section 7.1, test 1."""
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    signature = (
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
        "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
    )

    assert (public, signature) == (signing.public_key(seed).hex(), signing.sign_checkpoint(seed, b"").hex())


@pytest.mark.parametrize("message", [b"", MESSAGE + b" ", MESSAGE[:-1], MESSAGE.replace(b"1000", b"1001")])
def test_another_message_is_refused(message: bytes) -> None:
    with pytest.raises(WrongSignature):
        signing.verify_checkpoint(PUBLIC, message, SIGNATURE)


@pytest.mark.parametrize("signature", [b"", bytes(64), SIGNATURE[:-1], SIGNATURE + b"\0", SIGNATURE[::-1]])
def test_e16_another_signature_is_refused(signature: bytes) -> None:
    with pytest.raises(WrongSignature):
        signing.verify_checkpoint(PUBLIC, MESSAGE, signature)


def test_the_signature_of_another_key_is_refused() -> None:
    with pytest.raises(WrongSignature):
        signing.verify_checkpoint(signing.public_key(bytes(32)), MESSAGE, SIGNATURE)


@pytest.mark.parametrize("seed", [b"", bytes(31), bytes(33)])
def test_b14_a_seed_of_another_length_is_our_mistake(seed: bytes) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        signing.sign_checkpoint(seed, MESSAGE)


def test_an_auditor_can_check_with_openssl(tmp_path: Path) -> None:
    (tmp_path / "public.pem").write_text(signing.public_key_pem(PUBLIC))
    (tmp_path / "message").write_bytes(MESSAGE)
    (tmp_path / "signature").write_bytes(SIGNATURE)
    command = "pkeyutl -verify -pubin -inkey public.pem -rawin -in message -sigfile signature"

    answer = subprocess.run([needs("openssl"), *command.split()], cwd=tmp_path, capture_output=True, check=True)

    assert b"Signature Verified Successfully" in answer.stdout
