"""x509-limbo, 194 cases of path validation by others (C2SP), against ours.

Nearly all of them are about web servers, so two things we ask are not asked of them: extended key usage clientAuth, and
one common name. Everything else is the verifier as it is: size, keys, signatures, extensions, dates, lists.
The ten cases about clients, and those about usage, go through the verifier as it is, without exception.

What differs is listed below by name with its reason. Nothing limbo refuses is accepted, but for questions that are not
asked of a client: is this the host I called, and is its name one that a public CA may sign.
"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from aldaba.crypto.certificates import (
    Cause,
    CertificateRefused,
    Crl,
    Policy,
    Verifier,
    load_crl,
    parse_anchors,
    parse_certificate,
    parsing,
    profile,
)

VECTORS = Path(__file__).parents[1] / "vectors/x509-limbo/limbo-194.json"
NOW = datetime(2026, 11, 22, tzinfo=UTC)

HOST_NAME = "asks whether the certificate is for the host that was called; a client's is looked up by its common name"
HOST_SYNTAX = "asks whether an alternative name is one that a public CA may sign; ours are not looked at"
SMALLER_DEPTH = "asks for a smaller depth than the fixed one"
OUR_USAGE = "refused for a server, because it has clientAuth only: here that is just what is asked for"
AS_CRITICAL = "name constraints are applied, critical or not; limbo has this chain with either answer"

# Refused by limbo, accepted here, because it is another question.
NOT_ASKED = {
    "pathlen::max-chain-depth-0-exhausted": SMALLER_DEPTH,
    "pathlen::max-chain-depth-1-exhausted": SMALLER_DEPTH,
    "rfc5280::eku::ee-wrong-eku": OUR_USAGE,
    "rfc5280::nc::permitted-dns-match-noncritical": AS_CRITICAL,
    "rfc5280::san::ip-in-dns": HOST_SYNTAX,
    "rfc5280::san::underscore-dns": HOST_SYNTAX,
    "webpki::cn::case-mismatch": HOST_NAME,
    "webpki::cn::ipv4-hex-mismatch": HOST_NAME,
    "webpki::cn::ipv4-leading-zeros-mismatch": HOST_NAME,
    "webpki::cn::ipv6-non-rfc5952-mismatch": HOST_NAME,
    "webpki::cn::ipv6-uncompressed-mismatch": HOST_NAME,
    "webpki::cn::ipv6-uppercase-mismatch": HOST_NAME,
    "webpki::cn::not-in-san": HOST_NAME,
    "webpki::cn::punycode-not-in-san": HOST_NAME,
    "webpki::cn::utf8-vs-punycode-mismatch": HOST_NAME,
    "webpki::san::mismatch-apex-subdomain-san": HOST_NAME,
    "webpki::san::mismatch-domain-san": HOST_NAME,
    "webpki::san::mismatch-subdomain-apex-san": HOST_NAME,
    "webpki::san::mismatch-subdomain-san": HOST_NAME,
    "webpki::san::no-san": HOST_NAME,
    "webpki::san::public-suffix-multi-label-wildcard-san": HOST_SYNTAX,
    "webpki::san::public-suffix-private-namespace-wildcard-san": HOST_SYNTAX,
    "webpki::san::public-suffix-wildcard-san": HOST_SYNTAX,
    "webpki::san::san-wildcard-only": HOST_SYNTAX,
    "webpki::san::san-wildcard-only-tld": HOST_SYNTAX,
    "webpki::san::unicode-emoji-san": HOST_SYNTAX,
    "webpki::san::wildcard-embedded-leftmost-san": HOST_SYNTAX,
    "webpki::san::wildcard-embedded-ulabel-san": HOST_SYNTAX,
    "webpki::san::wildcard-match-across-labels-san": HOST_NAME,
    "webpki::san::wildcard-not-in-leftmost-san": HOST_SYNTAX,
}

# Accepted by limbo, refused here: never a danger, and each on purpose.
STRICTER = {
    "cve::cve-2024-0567": "nine certificates are sent along; a chain of ours has at most three",
    "pathlen::self-issued-certs-pathlen": "three certificates between; self-issued ones count like all others",
    "pathlen::validation-ignores-pathlen-in-leaf": "the client's certificate is a CA's",
    "rfc5280::ca-as-leaf": "the client's certificate is a CA's",
    "rfc5280::nc::permitted-dn-match": "constraints on subject names are not processed, so their issuer is refused",
}


class ServerVerifier(Verifier):
    """The verifier without the two questions that a server's certificate cannot answer: client usage, common name."""

    def _require_profile(self, leaf: x509.Certificate) -> str:
        profile.require_sound(leaf)
        profile.require_known_extensions(leaf)
        if not profile.has_strong_signature(leaf):
            raise CertificateRefused(Cause.WEAK_SIGNATURE, "weak hash")
        return "not asked"


def load_cases() -> dict[str, dict[str, Any]]:
    return {case["id"]: case for case in json.loads(VECTORS.read_bytes())["testcases"]}


CASES = load_cases()
FULLY_VERIFIED = {name for name in CASES if CASES[name]["validation_kind"] == "CLIENT"} | {
    "rfc5280::eku::ee-eku-empty",
    "webpki::eku::ee-anyeku",
    "webpki::eku::ee-critical-eku",
    "webpki::eku::ee-without-eku",
    "webpki::eku::root-has-eku",
    "rfc5280::san::noncritical-with-empty-subject",
}


def outcome(case: dict[str, Any], kind: type[Verifier]) -> str:
    """Verify a case and say it in limbo's words."""
    try:
        verify(case, kind)
    except CertificateRefused:
        return "FAILURE"
    return "SUCCESS"


def verify(case: dict[str, Any], kind: type[Verifier]) -> None:
    at = datetime.fromisoformat(case["validation_time"]) if case["validation_time"] else NOW
    anchors = [parse_certificate(der(pem)) for pem in case["trusted_certs"]]
    crls = [crl for pem in case["crls"] for crl in imported(pem, anchors)]
    policy = Policy(crl_required=bool(case["crls"]))
    sent = [der(pem) for pem in case["untrusted_intermediates"]]
    kind(anchors, crls, policy=policy).verify(der(case["peer_certificate"]), sent, at)


def imported(pem: str, anchors: Sequence[x509.Certificate]) -> list[Crl]:
    """Import a list under whichever anchor it is of; a list that is refused is not there."""
    crls = []
    for anchor in anchors:
        try:
            crls.append(load_crl(pem.encode(), anchor))
        except CertificateRefused:
            continue
    return crls


def der(pem: str) -> bytes:
    return parsing.single_der(pem.encode(), label=b"CERTIFICATE", max_bytes=1 << 20)


# The library warns of the serials 0 and -1 when it reads them, and of a name of a length it does not like.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Parsed a serial number which wasn't positive"),
    pytest.mark.filterwarnings("ignore:Attribute's length"),
]


@pytest.mark.parametrize("name", sorted(CASES.keys() - FULLY_VERIFIED - NOT_ASKED.keys() - STRICTER.keys()))
def test_limbo_and_we_agree(name: str) -> None:
    assert CASES[name]["expected_result"] == outcome(CASES[name], ServerVerifier)


@pytest.mark.parametrize("name", sorted(FULLY_VERIFIED))
def test_limbo_and_we_agree_on_clients_and_on_usage_in_full(name: str) -> None:
    assert CASES[name]["expected_result"] == outcome(CASES[name], Verifier)


@pytest.mark.parametrize("name", sorted(STRICTER))
def test_limbo_accepts_what_is_refused_here_for_the_reason_given(name: str) -> None:
    assert ("SUCCESS", "FAILURE") == (CASES[name]["expected_result"], outcome(CASES[name], ServerVerifier))


@pytest.mark.parametrize("name", sorted(NOT_ASKED))
def test_limbo_refuses_for_the_host_what_has_a_good_chain(name: str) -> None:
    assert ("FAILURE", "SUCCESS") == (CASES[name]["expected_result"], outcome(CASES[name], ServerVerifier))


@pytest.mark.parametrize(
    "name, cause",
    [
        ("crl::revoked-certificate-with-crl", Cause.REVOKED),
        ("crl::crlnumber-missing", Cause.CRL_MISSING),
        ("crl::crlnumber-critical", Cause.CRL_MISSING),
        ("crl::issuer-missing-crlsign", Cause.CRL_MISSING),
        ("rfc5280::serial::too-long", Cause.SERIAL),
        ("rfc5280::serial::zero", Cause.SERIAL),
        ("rfc5280::serial::negative", Cause.SERIAL),
        ("rfc5280::duplicate-extensions", Cause.EXTENSION),
        ("rfc5280::unknown-critical-extension-ee", Cause.EXTENSION),
        ("rfc5280::validity::expired-root", Cause.EXPIRED),
        ("rfc5280::validity::expired-intermediate", Cause.EXPIRED),
        ("rfc5280::validity::expired-leaf", Cause.EXPIRED),
        ("webpki::forbidden-dsa-leaf", Cause.WEAK_KEY),
        ("webpki::forbidden-p192-leaf", Cause.WEAK_KEY),
        ("webpki::forbidden-weak-rsa-in-leaf", Cause.WEAK_KEY),
    ],
)
def test_limbo_is_refused_for_the_cause_it_is_about(name: str, cause: Cause) -> None:
    with pytest.raises(CertificateRefused) as refused:
        verify(CASES[name], ServerVerifier)
    assert cause == refused.value.cause


@pytest.mark.parametrize(
    "name, cause",
    [
        ("rfc5280::root-non-critical-basic-constraints", Cause.EXTENSION),
        ("rfc5280::ski::root-missing-ski", Cause.EXTENSION),
        ("rfc5280::root-inconsistent-ca-extensions", Cause.USAGE),
        ("webpki::forbidden-weak-rsa-key-in-root", Cause.WEAK_KEY),
        ("webpki::forbidden-dsa-root", Cause.WEAK_KEY),
    ],
)
def test_limbo_roots_that_vouch_for_nobody_are_refused_when_they_are_registered(name: str, cause: Cause) -> None:
    (root,) = CASES[name]["trusted_certs"]

    with pytest.raises(CertificateRefused) as refused:
        parse_anchors(root.encode())
    assert cause == refused.value.cause


def test_limbo_client_auth_only_is_accepted_in_full() -> None:
    assert "SUCCESS" == outcome(CASES["rfc5280::eku::ee-wrong-eku"], Verifier)


def test_all_cases_of_limbo_are_run_and_none_is_listed_that_does_not_exist() -> None:
    assert 194 == len(CASES)
    assert NOT_ASKED.keys() | STRICTER.keys() <= CASES.keys()
