"""Signed tokens: rows E1 to E8 and E16 of threats.md, each with a signature that would hold wherever one could."""

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import example, given, settings
from hypothesis import strategies as st
from joserfc import jws
from joserfc.jwk import OctKey

from aldaba.crypto import jwt
from aldaba.crypto.jwt import BadToken, Fault, Header

HEADER = Header('{"alg":"HS512"}')
FLEET = Header('{"alg":"HS512","typ":"JWT"}')
KEY = bytes(range(64))
OTHER_KEY = bytes(range(64, 128))
NOW_S = 1_616_421_062
CLAIMS = {"sub": "prueba", "iat": NOW_S, "exp": NOW_S + 3600}
PAYLOAD = json.dumps(CLAIMS, separators=(",", ":")).encode()
TOKEN = jwt.sign(HEADER, PAYLOAD, KEY)

NOT_TEXT: list[object] = [None, 512, True, ["HS512"], {"alg": "HS512"}]
BASE64URL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def segment(value: bytes) -> str:
    """Encode a segment, by other means than the code under test."""
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


def mac(text: str, key: bytes = KEY, algorithm: str = "sha512") -> str:
    """Give a signature segment that holds for a text."""
    return segment(hmac.new(key, text.encode(), algorithm).digest())


def forged(header: bytes | str, payload: bytes | str = PAYLOAD, key: bytes = KEY) -> str:
    """Make a token of any header and payload whose signature holds under the key. Text is a segment as it is."""
    parts = (part if isinstance(part, str) else segment(part) for part in (header, payload))
    signing_input = ".".join(parts)
    return f"{signing_input}.{mac(signing_input, key)}"


def fault_of(token: str, header: Header = HEADER, keys: tuple[bytes, ...] = (KEY,)) -> Fault:
    """Give the fault for which a token is refused."""
    with pytest.raises(BadToken) as caught:
        jwt.verify(token, header, keys)
    return caught.value.fault


def time_fault_of(claims: dict[str, Any]) -> Fault:
    """Give the fault for which claims are refused now."""
    with pytest.raises(BadToken) as caught:
        jwt.check_times(claims, NOW_S)
    return caught.value.fault


def with_member(name: str, value: object) -> bytes:
    """Give our header with one member more, or one changed."""
    return json.dumps({"alg": "HS512", name: value}, separators=(",", ":")).encode()


# --- what is signed is verified --------------------------------------------------------------------------------------


@pytest.mark.parametrize("header", [HEADER, FLEET])
def test_a_signed_token_gives_its_claims_back(header: Header) -> None:
    assert CLAIMS == jwt.verify(jwt.sign(header, PAYLOAD, KEY), header, [KEY])


def test_a_token_is_the_header_the_payload_as_given_and_86_characters() -> None:
    header, payload, signature = TOKEN.split(".")

    assert ("eyJhbGciOiJIUzUxMiJ9", segment(PAYLOAD), 86) == (header, payload, len(signature))


def test_the_headers_are_those_of_the_sheets() -> None:
    assert "eyJhbGciOiJIUzUxMiJ9" == HEADER.segment
    assert FLEET.segment.startswith("eyJhbGciOiJIUzUxMiIsInR5cCI6IkpXV")


@pytest.mark.parametrize("header", [HEADER, FLEET])
def test_another_library_verifies_what_we_sign(header: Header) -> None:
    read = jws.deserialize_compact(jwt.sign(header, PAYLOAD, KEY), OctKey.import_key(KEY), algorithms=["HS512"])

    assert (json.loads(header.json), PAYLOAD) == (read.protected, read.payload)


def test_we_verify_what_another_library_signs() -> None:
    token = jws.serialize_compact({"alg": "HS512"}, PAYLOAD, OctKey.import_key(KEY), algorithms=["HS512"])

    assert CLAIMS == jwt.verify(token, HEADER, [KEY])


def test_e15_a_token_of_any_key_in_rotation_is_verified() -> None:
    keys = [OTHER_KEY, KEY, bytes(64)]

    assert [CLAIMS] * 3 == [jwt.verify(jwt.sign(HEADER, PAYLOAD, key), HEADER, keys) for key in keys]


def test_the_bytes_that_were_signed_can_be_had_as_they_are() -> None:
    assert b"no json" == jwt.verify_payload(jwt.sign(HEADER, b"no json", KEY), HEADER, [KEY])


def test_a_token_that_no_endpoint_would_accept_is_not_signed() -> None:
    with pytest.raises(ValueError, match="at most 4096 characters"):
        jwt.sign(HEADER, bytes(3000), KEY)


@pytest.mark.parametrize("padding", range(4))
def test_e4_a_token_of_4096_characters_is_accepted_and_a_longer_one_is_not(padding: int) -> None:
    room = jwt.MAX_TOKEN_LENGTH - len(HEADER.segment) - 2 - 86
    longest = jwt.sign(HEADER, b"p" * (room * 6 // 8), KEY)
    longer = forged(HEADER.json.encode(), b"p" * (room * 6 // 8 + 1 + padding))

    assert jwt.MAX_TOKEN_LENGTH == len(longest)
    assert jwt.verify_payload(longest, HEADER, [KEY])
    assert [Fault.UNPARSABLE] * 2 == [fault_of(token) for token in (longer, longest + "A")]


# --- E1, E6: the header ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header",
    [
        *(with_member("alg", name) for name in ("none", "None", "NONE", "nOnE", "", "hs512", "HS512 ")),
        *(with_member("alg", name) for name in ("HS256", "HS384", "RS512", "PS512", "ES512", "EdDSA")),
        *(with_member("alg", value) for value in NOT_TEXT),
        b"{}",
        b'{"typ":"JWT"}',
        b'{"Alg":"HS512"}',
        *(with_member("typ", name) for name in ("JWT", "jwt", "JOSE", "at+jwt", "JWE", "")),
        *(with_member("typ", value) for value in NOT_TEXT),
        with_member("cty", "JWT"),
    ],
)
def test_e1_another_algorithm_or_type_is_refused_though_its_signature_holds(header: bytes) -> None:
    assert Fault.INCORRECT == fault_of(forged(header))


@pytest.mark.parametrize("name", ["none", "None", "NONE", "nOnE"])
@pytest.mark.parametrize("signature", ["", "none", "A" * 86])
def test_e1_none_is_refused_without_a_signature_too(name: str, signature: str) -> None:
    unsigned = f"{segment(with_member('alg', name))}.{segment(PAYLOAD)}.{signature}"

    assert Fault.INCORRECT == fault_of(unsigned)


def test_e1_each_endpoint_accepts_its_own_header_only() -> None:
    assert Fault.INCORRECT == fault_of(jwt.sign(HEADER, PAYLOAD, KEY), FLEET)
    assert Fault.INCORRECT == fault_of(jwt.sign(FLEET, PAYLOAD, KEY), HEADER)


@pytest.mark.parametrize(
    "header", [b'{ "alg":"HS512"}', b'{"alg": "HS512"}', b'{"\\u0061lg":"HS512"}', b'{"alg":"HS512"}\n']
)
def test_e1_another_spelling_of_our_header_is_refused(header: bytes) -> None:
    assert Fault.INCORRECT == fault_of(forged(header))


@pytest.mark.parametrize(
    "name, value",
    [
        ("crit", ["exp"]),
        ("crit", []),
        ("crit", ["b64"]),
        ("b64", False),
        ("b64", True),
        ("jku", "https://attacker.example/keys"),
        ("x5u", "https://attacker.example/chain"),
        ("jwk", {"kty": "oct", "k": segment(KEY)}),
        ("x5c", ["MIIB"]),
        ("x5t", "AAAA"),
        ("zip", "DEF"),
        ("enc", "A256GCM"),
        ("kid", "1"),
        ("kid", "../../dev/null"),
        ("kid", "' OR 1=1 --"),
        ("kid", None),
    ],
)
def test_e6_a_parameter_that_we_do_not_issue_is_refused(name: str, value: object) -> None:
    assert Fault.INCORRECT == fault_of(forged(with_member(name, value)))


@pytest.mark.parametrize("name", ["crit", "b64", "jku", "x5u", "jwk", "x5c", "zip", "enc"])
def test_e6_an_endpoint_cannot_be_given_such_a_header(name: str) -> None:
    with pytest.raises(ValueError, match="at most typ and kid"):
        Header(with_member(name, "x").decode())


@pytest.mark.parametrize(
    "text", ['{"alg":"none"}', '{"alg":"HS256"}', '{"typ":"JWT"}', "{}", "[]", "", '{"alg":"HS512","alg":"HS512"}']
)
def test_e1_an_endpoint_cannot_be_given_another_algorithm(text: str) -> None:
    with pytest.raises(ValueError, match=r"alg HS512|not an object|not JSON|doubled key"):
        Header(text)


# --- E2: the keys ----------------------------------------------------------------------------------------------------


def public_keys() -> list[Any]:
    """Give public keys in every encoding that could be taken for an HMAC key."""
    ed25519_key = ed25519.Ed25519PrivateKey.generate().public_key()
    keys: dict[str, rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey] = {
        "rsa": rsa.generate_private_key(65537, 2048).public_key(),
        "ec": ec.generate_private_key(ec.SECP256R1()).public_key(),
        "ed25519": ed25519_key,
    }
    encoded = [
        pytest.param(key.public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo), id=f"{name} {form}")
        for name, key in keys.items()
        for form, encoding in {"PEM": Encoding.PEM, "DER": Encoding.DER}.items()
    ]
    raw = pytest.param(ed25519_key.public_bytes(Encoding.Raw, PublicFormat.Raw), id="ed25519 raw")
    return [*encoded, raw, pytest.param(b"", id="empty"), pytest.param(bytes(64), id="zeros")]


@pytest.mark.parametrize("public", public_keys())
def test_e2_a_token_keyed_with_public_bytes_is_refused(public: bytes) -> None:
    assert Fault.INCORRECT == fault_of(forged(HEADER.json.encode(), key=public))


@pytest.mark.parametrize("name", ["RS256", "RS512", "ES256", "EdDSA"])
def test_e2_an_asymmetric_algorithm_is_refused_though_our_hmac_holds(name: str) -> None:
    assert Fault.INCORRECT == fault_of(forged(with_member("alg", name)))


def test_e2_a_token_of_another_endpoint_is_refused() -> None:
    assert Fault.INCORRECT == fault_of(jwt.sign(HEADER, PAYLOAD, OTHER_KEY))


@pytest.mark.parametrize("key", [b"", b"short", bytes(63)])
def test_e2_a_short_key_is_our_mistake_and_never_used(key: bytes) -> None:
    with pytest.raises(ValueError, match="at least 64 bytes"):
        jwt.sign(HEADER, PAYLOAD, key)
    with pytest.raises(ValueError, match="at least 64 bytes"):
        jwt.verify(forged(HEADER.json.encode(), key=key), HEADER, [key])
    with pytest.raises(ValueError, match="at least 64 bytes"):
        jwt.verify(TOKEN, HEADER, [KEY, key])


def test_e2_without_keys_nothing_is_verified() -> None:
    with pytest.raises(ValueError, match="no key"):
        jwt.verify(TOKEN, HEADER, [])


# --- E3, E16: the signature ------------------------------------------------------------------------------------------

SIGNING_INPUT, _, SIGNATURE = TOKEN.rpartition(".")


@pytest.mark.parametrize("length", [0, 1, 43, 64, 84, 85])
def test_e3_a_signature_cut_is_refused(length: int) -> None:
    assert Fault.INCORRECT == fault_of(f"{SIGNING_INPUT}.{SIGNATURE[:length]}")


def test_e3_a_signature_is_accepted_in_one_spelling_of_its_unused_bits() -> None:
    accepted = []
    for last in BASE64URL:
        try:
            jwt.verify(f"{SIGNING_INPUT}.{SIGNATURE[:-1]}{last}", HEADER, [KEY])
        except BadToken:
            continue
        accepted.append(last)

    assert [SIGNATURE[-1]] == accepted


@pytest.mark.parametrize("position", range(86))
def test_e3_one_changed_character_of_the_signature_is_refused(position: int) -> None:
    other = "A" if SIGNATURE[position] != "A" else "B"

    assert Fault.INCORRECT == fault_of(f"{SIGNING_INPUT}.{SIGNATURE[:position]}{other}{SIGNATURE[position + 1 :]}")


@pytest.mark.parametrize("token", [TOKEN + "=", TOKEN + "==", TOKEN.replace(".", "=.", 1), TOKEN.replace(".", "==.")])
def test_e3_padding_is_refused(token: str) -> None:
    assert Fault.UNPARSABLE == fault_of(token)


@pytest.mark.parametrize("space", [" ", "\t", "\n", "\r\n", "\0", "\xa0", "\u200b"])
def test_e3_white_space_is_refused_wherever_it_stands(space: str) -> None:
    tokens = [space + TOKEN, TOKEN + space, TOKEN.replace(".", f".{space}", 1), TOKEN.replace(".", f"{space}.")]

    assert [Fault.UNPARSABLE] * len(tokens) == [fault_of(token) for token in tokens]


@pytest.mark.parametrize("foreign", ["+", "/", "=", "*", "%", ",", "é", "\uff21", "\ud800"])
def test_e3_a_character_outside_the_alphabet_is_refused(foreign: str) -> None:
    header, payload, signature = TOKEN.split(".")
    tokens = [
        f"{foreign}{header[1:]}.{payload}.{signature}",
        f"{header}.{foreign}{payload[1:]}.{signature}",
        f"{header}.{payload}.{foreign}{signature[1:]}",
    ]

    assert [Fault.UNPARSABLE] * 3 == [fault_of(token) for token in tokens]


@pytest.mark.parametrize("payload", ["AB", "eyJ9", "eyJhIjoxfR", "e", "", "A"])
def test_e3_a_payload_that_is_not_canonical_is_refused_though_its_signature_holds(payload: str) -> None:
    assert Fault.UNPARSABLE == fault_of(forged(HEADER.json.encode(), payload))


@pytest.mark.parametrize("header", ["eyJhbGciOiJIUzUxMiJ", "eyJhbGciOiJIUzUxMiJ9A", "e30A", "e3", "e31", "", "A"])
def test_e3_a_header_that_is_not_canonical_is_refused_though_its_signature_holds(header: str) -> None:
    assert Fault.UNPARSABLE == fault_of(forged(header))


@pytest.mark.parametrize(
    "signature",
    [
        pytest.param(segment(bytes(64)), id="zeros"),
        pytest.param(segment(b"\xff" * 64), id="ones"),
        pytest.param(segment(bytes(63)), id="one byte short"),
        pytest.param(segment(bytes(65)), id="one byte long"),
        pytest.param(mac(SIGNING_INPUT, algorithm="sha256"), id="of SHA-256"),
        pytest.param(mac(SIGNING_INPUT, algorithm="sha384"), id="of SHA-384"),
        pytest.param(segment(hashlib.sha512(SIGNING_INPUT.encode()).digest()), id="a hash without key"),
        pytest.param(hmac.new(KEY, SIGNING_INPUT.encode(), "sha512").hexdigest(), id="hexadecimal"),
        pytest.param(SIGNATURE + SIGNATURE, id="twice"),
        pytest.param(SIGNATURE + "A", id="one character long"),
        pytest.param("A" + SIGNATURE, id="one character before"),
        pytest.param(SIGNATURE.swapcase(), id="other case"),
        pytest.param(segment(SIGNATURE.encode()), id="encoded twice"),
    ],
)
def test_e16_a_signature_of_another_value_or_form_is_refused(signature: str) -> None:
    assert Fault.INCORRECT == fault_of(f"{SIGNING_INPUT}.{signature}")


# --- E4: the form ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "token", ["", ".", "a", "a.b", SIGNING_INPUT, TOKEN + ".", "." + TOKEN, "a.b.c.d", "a.b.c.d.e", "...."]
)
def test_e4_other_than_three_segments_are_refused(token: str) -> None:
    assert Fault.UNPARSABLE == fault_of(token)


def test_e4_the_json_forms_are_refused() -> None:
    header, payload, signature = TOKEN.split(".")
    flattened = {"protected": header, "payload": payload, "signature": signature}
    general = {"payload": payload, "signatures": [{"protected": header, "signature": signature}]}

    assert [Fault.UNPARSABLE] * 2 == [fault_of(json.dumps(form)) for form in (flattened, general)]


def test_e4_an_encrypted_token_is_refused() -> None:
    header = segment(b'{"alg":"dir","enc":"A256GCM"}')

    assert Fault.UNPARSABLE == fault_of(f"{header}..{segment(bytes(12))}.{segment(PAYLOAD)}.{segment(bytes(16))}")


@pytest.mark.parametrize("token", ["A" * 4097, "." * 1_000_000, TOKEN * 100, TOKEN + "A" * 4096])
def test_e4_a_token_over_4_kib_is_refused(token: str) -> None:
    assert Fault.UNPARSABLE == fault_of(token)


@pytest.mark.parametrize("token", [f"Bearer {TOKEN}", f"Bearer Bearer {TOKEN}", f"{TOKEN},{TOKEN}", f'"{TOKEN}"'])
def test_e11_a_token_with_something_around_it_is_refused(token: str) -> None:
    assert Fault.UNPARSABLE == fault_of(token)


def test_the_damaged_sample_of_the_mobility_sheet_is_refused() -> None:
    sample = (
        "eyJhbGciOiJIUzUxMiJ9.eyJqdGkiOiJDTW9iaWxpdHkzLjAiLCJzdWIiOiJwcnVlYmEiLCJhdXRob3JpdGllcyI6WyJST0xFX1VTRVIiXSwi"
        "aWF0IoxNjE2NDIxMDYyLCJleHAiOjE2MTY0MjQ2NjJ9"
        ".N8KimN9_IgtjXX2Wv-rXLKK929mavlkaakxY_NzHVFgN9DWT8bqRVeTaBgL5GbzDfZSPZXDutoVwjdbTEx3FbA"
    )
    _, payload, _ = sample.split(".")

    assert Fault.INCORRECT == fault_of(sample)
    assert Fault.UNPARSABLE == fault_of(forged(HEADER.json.encode(), payload))


# --- E5: JSON inside -------------------------------------------------------------------------------------------------

ODD_JSON = [
    pytest.param(b'{"alg":"HS512","alg":"HS512"}', id="doubled member"),
    pytest.param(b'{"alg":"HS512","x":{"a":1,"a":2}}', id="doubled member inside"),
    pytest.param('{"alg":"HS512"}'.encode("utf-16"), id="UTF-16"),
    pytest.param('{"alg":"HS512"}'.encode("utf-16-le"), id="UTF-16 without mark"),
    pytest.param('{"alg":"HS512"}'.encode("utf-8-sig"), id="byte-order mark"),
    pytest.param(b'{"alg":"HS512\xff"}', id="not UTF-8"),
    pytest.param(b'["HS512"]', id="array"),
    pytest.param(b'"HS512"', id="string"),
    pytest.param(b"null", id="null"),
    pytest.param(b"", id="empty"),
    pytest.param(b'{"alg":"HS512"', id="cut"),
    pytest.param(b'{"alg":"HS512"} {}', id="trailing text"),
    pytest.param(b'{"alg":NaN}', id="NaN"),
    pytest.param(b'{"alg":"\\ud800"}', id="lone surrogate"),
    pytest.param(b'{"alg":"\\u0000"}', id="NUL"),
    pytest.param(b"[" * 2900, id="unclosed"),
    pytest.param(b'{"alg":' + b"[" * 33 + b"]" * 33 + b"}", id="deep"),
    pytest.param(b'{"exp":' + b"9" * 2900 + b"}", id="long number"),
]


@pytest.mark.parametrize("raw", ODD_JSON)
def test_e5_odd_json_in_the_header_is_refused_though_its_signature_holds(raw: bytes) -> None:
    assert Fault.UNPARSABLE == fault_of(forged(raw))


@pytest.mark.parametrize("raw", ODD_JSON)
def test_e5_odd_json_in_the_payload_is_refused_though_its_signature_holds(raw: bytes) -> None:
    assert Fault.UNPARSABLE == fault_of(forged(HEADER.json.encode(), raw))


# --- E7, E8: times ---------------------------------------------------------------------------------------------------


def test_e7_a_token_is_good_until_the_second_before_exp() -> None:
    jwt.check_times({"exp": NOW_S + 1}, NOW_S)


@pytest.mark.parametrize("exp", [NOW_S, NOW_S - 1, 0, -1])
def test_e7_a_token_is_expired_from_the_second_of_exp_on(exp: int) -> None:
    assert Fault.EXPIRED == time_fault_of({"exp": exp})


@pytest.mark.parametrize(
    "exp", [None, True, False, "1616424662", 1616424662.0, float(NOW_S + 9), [], {}, 2**53, 10**30, -(2**53)]
)
def test_e7_an_exp_that_is_not_an_instant_is_refused(exp: object) -> None:
    assert Fault.CLAIMS == time_fault_of({"exp": exp})


@pytest.mark.parametrize("claims", [{}, {"EXP": NOW_S + 1}, {"iat": NOW_S}])
def test_e7_a_missing_exp_is_refused(claims: dict[str, Any]) -> None:
    assert Fault.CLAIMS == time_fault_of(claims)


@pytest.mark.parametrize("name", ["iat", "nbf"])
@pytest.mark.parametrize("offset_s", [-(10**6), 0, 10])
def test_e8_10_seconds_in_the_future_are_accepted(name: str, offset_s: int) -> None:
    jwt.check_times({"exp": NOW_S + 60, name: NOW_S + offset_s}, NOW_S)


@pytest.mark.parametrize("name", ["iat", "nbf"])
@pytest.mark.parametrize("value", [NOW_S + 11, NOW_S + 10**6, 2**53, None, True, "0", 1.0, []])
def test_e8_more_or_another_type_is_refused(name: str, value: object) -> None:
    assert Fault.CLAIMS == time_fault_of({"exp": NOW_S + 60, name: value})


def test_e8_the_leeway_does_not_reach_exp() -> None:
    with pytest.raises(BadToken) as caught:
        jwt.check_times({"exp": NOW_S}, NOW_S, leeway_s=3600)

    assert Fault.EXPIRED == caught.value.fault


# --- what a refusal tells --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("token", ["s3cret", forged(b"s3cret"), forged(HEADER.json.encode(), b"s3cret"), TOKEN + "A"])
def test_a_refusal_tells_its_fault_and_quotes_nothing(token: str) -> None:
    with pytest.raises(BadToken) as caught:
        jwt.verify(token, HEADER, [KEY])

    assert f"{caught.value.fault}: {caught.value.detail}" == str(caught.value)
    assert not any(part in str(caught.value) for part in ("s3cret", segment(b"s3cret"), SIGNATURE))


# --- generated -------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.binary(max_size=2900), st.binary(min_size=64, max_size=200))
def test_every_payload_under_every_key_is_read_back(payload: bytes, key: bytes) -> None:
    assert payload == jwt.verify_payload(jwt.sign(HEADER, payload, key), HEADER, [key])


@settings(deadline=None, max_examples=500)
@given(st.integers(min_value=0, max_value=len(TOKEN) * 8 - 1))
@example(len(TOKEN) * 8 - 8)
def test_e3_one_flipped_bit_anywhere_is_refused(position: int) -> None:
    raw = bytearray(TOKEN.encode())
    raw[position // 8] ^= 1 << position % 8

    fault_of(raw.decode("latin-1"))


@settings(deadline=None, max_examples=500)
@given(st.text(max_size=60) | st.text(BASE64URL + ".=", max_size=300) | st.from_regex(r"\A[\w-]*\.[\w-]*\.[\w-]*\Z"))
def test_e4_any_text_is_refused_and_nothing_else_happens(token: str) -> None:
    fault_of(token)


@settings(deadline=None)
@given(st.binary(max_size=60), st.binary(max_size=60))
def test_e5_any_header_and_payload_with_a_holding_signature_are_refused_or_read(header: bytes, payload: bytes) -> None:
    for token in (forged(header, payload), forged(HEADER.json.encode(), payload)):
        try:
            claims = jwt.verify(token, HEADER, [KEY])
        except BadToken:
            continue
        assert json.loads(payload) == claims


json_values = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.lists(st.none(), max_size=1)
)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(["exp", "iat", "nbf"]), json_values))
def test_e7_any_times_are_refused_or_accepted_and_nothing_else_happens(claims: dict[str, Any]) -> None:
    try:
        jwt.check_times(claims, NOW_S)
    except BadToken:
        return

    assert all(type(value) is int for value in claims.values())
    assert claims["exp"] > NOW_S
