"""Project Wycheproof, through the functions we use: JSON web signatures and keys, HMAC, Ed25519.

No vector is left out, the unsound ones included (346, 350, 367, 370, 372, 373): every signature of that file is of
another algorithm than HS512, and is refused whatever the vector says.
"""

import base64
import hmac
import json
from pathlib import Path
from typing import Any

import pytest

from aldaba.crypto import jwt, signing
from aldaba.crypto.jwt import BadToken, Fault, Header

VECTORS = Path(__file__).parents[1] / "vectors/wycheproof"
HEADER = Header('{"alg":"HS512"}')
KEY = bytes(range(64))


def cases(name: str) -> list[Any]:
    """Give each test of a file with its group, named by its id."""
    return [
        pytest.param(group, test, id=f"{test['tcId']} {test['comment'] or test['result']}")
        for group in json.loads((VECTORS / name).read_bytes())["testGroups"]
        for test in group["tests"]
    ]


def decoded(text: str) -> bytes:
    """Decode base64url, by other means than the code under test."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def key_bytes(group: dict[str, Any]) -> bytes:
    """Give what an attacker could make an HMAC key of: the secret, or else the public key as it is written."""
    jwk = group.get("private") or group["public"]
    return decoded(jwk["k"]) if "k" in jwk else json.dumps(group["public"]).encode()


@pytest.mark.parametrize("group, test", cases("json_web_signature_test.json"))
def test_e2_a_signature_of_another_algorithm_is_refused(group: dict[str, Any], test: dict[str, Any]) -> None:
    token = test["jws"] if isinstance(test["jws"], str) else json.dumps(test["jws"])
    keys = [key for key in (KEY, key_bytes(group)) if len(key) >= jwt.MIN_KEY_BYTES]

    with pytest.raises(BadToken) as caught:
        jwt.verify_payload(token, HEADER, keys)
    assert caught.value.fault in {Fault.UNPARSABLE, Fault.INCORRECT}


@pytest.mark.parametrize("algorithm", ["HS256", "ES256", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES512"])
def test_e2_no_endpoint_can_be_given_an_algorithm_of_the_file(algorithm: str) -> None:
    headers = {
        decoded(test["jws"].partition(".")[0]).decode()
        for _, test in (case.values for case in cases("json_web_signature_test.json"))
        if test["result"] == "valid" and "?" not in test["jws"]
    }
    of_algorithm = {header for header in headers if json.loads(header)["alg"] == algorithm}

    assert of_algorithm
    for header in of_algorithm:
        with pytest.raises(ValueError, match="alg HS512"):
            Header(header)


@pytest.mark.parametrize("payload", ["    VGVzdA", "####VGVzdA", "?VGVzdA", "VGVzdA?", "AB"])
def test_e3_the_payload_encodings_of_the_file_are_refused_though_their_signature_holds(payload: str) -> None:
    """Vectors 368, 369, 371, 373 and 374 are of HS256; their payloads are carried over to HS512 here."""
    signing_input = f"{HEADER.segment}.{payload}"
    signature = base64.urlsafe_b64encode(hmac.digest(KEY, signing_input.encode(), "sha512")).decode().rstrip("=")

    with pytest.raises(BadToken):
        jwt.verify_payload(f"{signing_input}.{signature}", HEADER, [KEY])


def hs512_keys() -> list[Any]:
    """Give the vectors of the key file that are for HS512."""
    return [case for case in cases("json_web_key_test.json") if case.values[0]["comment"] == "HS512"]


@pytest.mark.parametrize("group, test", hs512_keys())
def test_e2_a_key_is_used_when_it_is_long_enough(group: dict[str, Any], test: dict[str, Any]) -> None:
    (jwk,) = group["private"]["keys"]
    header, payload, _ = test["jws"].split(".")
    endpoint = Header(decoded(header).decode())
    if test["result"] == "valid":
        assert decoded(payload) == jwt.verify_payload(test["jws"], endpoint, [decoded(jwk["k"])])
        assert test["jws"] == jwt.sign(endpoint, decoded(payload), decoded(jwk["k"]))
        return

    with pytest.raises(ValueError, match="at least 64 bytes"):
        jwt.verify_payload(test["jws"], endpoint, [decoded(jwk["k"])])


def test_the_key_file_has_a_good_a_short_and_an_empty_key() -> None:
    assert ["invalid", "valid", "invalid"] == [case.values[1]["result"] for case in hs512_keys()]


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_hmac_gives_the_tags_of_the_file(algorithm: str) -> None:
    verdicts = {}
    for case in cases(f"hmac_{algorithm}_test.json"):
        group, test = case.values
        tag = hmac.digest(bytes.fromhex(test["key"]), bytes.fromhex(test["msg"]), algorithm)[: group["tagSize"] // 8]
        same = hmac.compare_digest(bytes.fromhex(test["tag"]), tag)
        verdicts[test["tcId"]] = (test["result"], "valid" if same else "invalid")

    assert 174 == len(verdicts)
    assert {} == {number: verdict for number, verdict in verdicts.items() if len(set(verdict)) > 1}


@pytest.mark.parametrize("group, test", cases("ed25519_test.json"))
def test_ed25519_signatures_are_judged_as_in_the_file(group: dict[str, Any], test: dict[str, Any]) -> None:
    public = bytes.fromhex(group["publicKey"]["pk"])
    message, signature = bytes.fromhex(test["msg"]), bytes.fromhex(test["sig"])
    if test["result"] == "valid":
        assert message == signing.verify_checkpoint(public, message, signature)
        return

    with pytest.raises(signing.WrongSignature):
        signing.verify_checkpoint(public, message, signature)
