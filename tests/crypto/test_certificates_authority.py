"""The small CA: what it issues is what OpenSSL and our own verifier take, and its keys are kept to their owner."""

import os
import stat
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from aldaba.crypto.certificates import Authority, Issued, Policy, Validity, Verifier, key_sha256, self_signed_client
from aldaba.crypto.certificates.issued import PrivateKey

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)


def openssl_verify(directory: Path, anchor: bytes, issued: Issued, *options: str) -> str:
    (directory / "anchor.pem").write_bytes(anchor)
    (directory / "shown.pem").write_bytes(issued.pem)
    shown = str(directory / "shown.pem")
    command = ["openssl", "verify", "-x509_strict", "-attime", str(int(NOW.timestamp())), *options]
    command += ["-CAfile", str(directory / "anchor.pem"), "-untrusted", shown, shown]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).removeprefix(shown).strip()


def test_a_client_of_an_intermediate_is_good_for_openssl_under_its_strict_rules(tmp_path: Path) -> None:
    root = Authority.create("Root", at=NOW)
    issued = root.intermediate("Upper", at=NOW).intermediate("Lower", at=NOW, path_length=0).client("acme", at=NOW)

    assert 2 == len(issued.chain_der)
    assert ": OK" == openssl_verify(tmp_path, root.pem, issued, "-purpose", "sslclient")


@pytest.mark.parametrize(
    "name", [("-verify_hostname", "localhost"), ("-verify_ip", "127.0.0.1"), ("-verify_ip", "::1")]
)
def test_a_server_is_good_for_openssl_under_each_of_its_names(tmp_path: Path, name: tuple[str, str]) -> None:
    root = Authority.create("Root", at=NOW)
    issued = root.server(["localhost", "127.0.0.1", "::1"], at=NOW)

    assert ": OK" == openssl_verify(tmp_path, root.pem, issued, "-purpose", "sslserver", *name)


def test_a_self_signed_client_is_good_for_openssl_where_it_is_its_own_anchor(tmp_path: Path) -> None:
    issued = self_signed_client("acme", at=NOW)

    assert ": OK" == openssl_verify(tmp_path, issued.pem, issued, "-purpose", "sslclient", "-partial_chain")


@pytest.mark.parametrize(
    "key",
    [
        rsa.generate_private_key(65537, 2048),
        ec.generate_private_key(ec.SECP384R1()),
        ec.generate_private_key(ec.SECP521R1()),
    ],
    ids=["RSA", "P-384", "P-521"],
)
def test_any_key_that_may_sign_makes_a_ca_whose_clients_are_verified(key: PrivateKey) -> None:
    authority = Authority.create("Root", at=NOW, key=key)
    issued = authority.client("acme", at=NOW)

    verified = Verifier([authority.certificate], policy=Policy()).verify(issued.der, [], NOW)

    assert key_sha256(authority.certificate) == verified.issuer_key_sha256


def test_certificates_are_good_a_little_before_they_were_made_and_for_a_year() -> None:
    authority = Authority.create("Root", at=NOW)
    issued = authority.client("acme", at=NOW).certificate

    assert (NOW - timedelta(minutes=5), NOW + timedelta(days=365)) == (
        issued.not_valid_before_utc,
        issued.not_valid_after_utc,
    )


def test_serials_are_random_and_never_the_same() -> None:
    authority = Authority.create("Root", at=NOW)
    serials = {authority.client("acme", at=NOW).certificate.serial_number for _ in range(20)}

    assert 20 == len(serials)
    assert 100 < max(serials).bit_length() <= 128


def test_what_is_asked_for_is_what_is_in_the_certificate() -> None:
    authority = Authority.create("Root", at=NOW)
    key = ed25519.Ed25519PrivateKey.generate()
    validity = Validity(NOW, NOW + timedelta(hours=1))

    issued = authority.client("acme", key=key, validity=validity, serial=4711).certificate

    seen = (issued.public_key(), issued.not_valid_before_utc, issued.not_valid_after_utc, issued.serial_number)
    assert (key.public_key(), NOW, NOW + timedelta(hours=1), 4711) == seen


def test_the_key_file_is_readable_by_its_owner_only_whatever_the_umask(tmp_path: Path) -> None:
    authority = Authority.create("Root")
    umask = os.umask(0)

    try:
        authority.write(tmp_path / "ca.pem", tmp_path / "ca.key")
    finally:
        os.umask(umask)

    assert 0o600 == stat.S_IMODE((tmp_path / "ca.key").stat().st_mode)
    assert authority.pem == (tmp_path / "ca.pem").read_bytes()


@pytest.mark.parametrize("present", ["ca.pem", "ca.key"])
def test_nothing_that_is_there_is_overwritten(tmp_path: Path, present: str) -> None:
    (tmp_path / present).write_text("mine")

    with pytest.raises(FileExistsError):
        Authority.create("Root").write(tmp_path / "ca.pem", tmp_path / "ca.key")
    assert ["mine"] == [path.read_text() for path in tmp_path.iterdir()]


def test_a_link_in_the_place_of_the_key_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "ca.key").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(FileExistsError):
        Authority.create("Root").write(tmp_path / "ca.pem", tmp_path / "ca.key")
    assert not (tmp_path / "elsewhere").exists()


def test_an_authority_that_was_written_goes_on_where_it_was(tmp_path: Path) -> None:
    written = Authority.create("Root", at=NOW)
    written.write(tmp_path / "ca.pem", tmp_path / "ca.key")

    read = Authority.from_pem((tmp_path / "ca.pem").read_bytes(), (tmp_path / "ca.key").read_bytes())
    issued = read.client("acme", at=NOW)

    verifier = Verifier([written.certificate], policy=Policy())
    assert "acme" == verifier.verify(issued.der, [], NOW).common_name


def test_the_key_of_another_certificate_is_refused() -> None:
    with pytest.raises(ValueError, match="not that of the certificate"):
        Authority.from_pem(Authority.create("Root").pem, Authority.create("Root").key_pem)


def test_keys_do_not_show() -> None:
    authority = Authority.create("Root")

    assert "key" not in repr(authority)
    assert "key" not in repr(authority.client("acme"))


def test_a_list_names_its_number_its_dates_and_the_reasons() -> None:
    der = Authority.create("Root", at=NOW).crl({1: None, 2: x509.ReasonFlags.certificate_hold}, number=7, at=NOW)

    crl = x509.load_der_x509_crl(der)

    assert 7 == crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    assert (NOW, NOW + timedelta(days=7)) == (crl.last_update_utc, crl.next_update_utc)
    assert [1, 2] == [entry.serial_number for entry in crl]
    assert [0, 1] == [len(entry.extensions) for entry in crl]
