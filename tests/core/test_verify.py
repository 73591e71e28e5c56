"""Checking: what a token must be, whose word counts, and when it ends."""

import hashlib
import shutil
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from aldaba.core import Core
from aldaba.core.clients import add_client, disable_client, set_roles
from aldaba.core.credentials import add_api_key, add_certificate, revoke_credential
from aldaba.core.issue import header_of, issue
from aldaba.core.keyring import unwrap
from aldaba.core.keys import rotate_keys
from aldaba.core.partners import add_partner
from aldaba.core.registrar import Registrar
from aldaba.core.tokens import end_all_tokens, inspect_token, revoke_handle, revoke_token
from aldaba.core.verify import verify
from aldaba.crypto import jwt
from aldaba.crypto.certificates import Issued
from aldaba.errors import Impossible, Reason, Refusal
from aldaba.model.calls import NameAndKey, PeerCertificate
from aldaba.model.keys import KeyState
from aldaba.store import keys
from tests.core.test_issue import forward, parts_of
from tests.installation import Installation, fleet_client, install, mobility_client

pytestmark = pytest.mark.anyio

TWO_OF_EACH = """
[services.fleet]
[services.fleet-two]
dialect = "fleet"
[services.mobility]
[services.mobility-two]
dialect = "mobility"
"""


async def reason_of(
    core: Core,
    installation: Installation,
    token: str,
    service: str = "fleet",
    certificate: Issued | None = None,
) -> Reason | None:
    """Return why a token is refused; None when it is accepted."""
    try:
        await verify(core, installation.call(service, action="check", certificate=certificate), token)
    except Refusal as refusal:
        # An operator is told what was expected.
        return refusal.reason if refusal.expected else None
    return None


async def signing_key(registrar: Registrar, service: str = "fleet", state: KeyState = KeyState.ACTIVE) -> bytes:
    """Return a key of a service, as only this installation has it."""
    held = await registrar.database.read(keys.load_keys, service)
    return next(unwrap(registrar.secrets.sealing, key) for key in held if key.state is state)


def signed(claims: Mapping[str, Any], key: bytes) -> str:
    """Return a token of the fleet dialect that says this."""
    return jwt.sign(header_of('{"alg":"HS512","typ":"JWT"}'), msgspec.json.encode(claims), key)


# -- whose word counts ------------------------------------------------------------------------------------------------


async def test_a_good_token_gives_its_client_as_the_registry_has_it(installation: Installation) -> None:
    async with installation.registrar() as registrar, installation.core() as core:
        shown = await fleet_client(registrar)
        token = (await issue(core, installation.call(), shown)).text
        await set_roles(registrar, "acme", ["ROLE_NEW"])
        call = installation.call(action="check")
        caller = await verify(core, call, token)

        assert ("acme", ("ROLE_NEW",), "Acme") == (caller.client.name, caller.client.roles, caller.partner.name)
        assert ("acme", caller.partner.id, caller.credential.id) == (
            call.known.client,
            call.known.partner,
            call.known.credential,
        )


async def test_e9_roles_are_the_registrys_whatever_the_token_says(migrated_sqlite: str, tmp_path: Path) -> None:
    installation = install(tmp_path, migrated_sqlite, with_authority=True)
    certificate = installation.authority.client("beacon")
    async with installation.registrar() as registrar, installation.core() as core:
        await mobility_client(registrar, certificate)
        issued = await issue(core, installation.call("mobility", certificate=certificate), PeerCertificate())
        _, claims = parts_of(issued.text)
        forged = jwt.sign(
            header_of('{"alg":"HS512"}'),
            msgspec.json.encode({**claims, "authorities": ["ROLE_ADMIN"]}),
            await signing_key(registrar, "mobility"),
        )
        caller = await verify(core, installation.call("mobility", action="ping", certificate=certificate), forged)

        assert ("ROLE_USER",) == caller.client.roles


@pytest.mark.parametrize(
    "changed, reason",
    [
        ({}, None),
        ({"exp": None}, Reason.TOKEN_CLAIMS),
        ({"exp": "1795426479"}, Reason.TOKEN_CLAIMS),
        ({"exp": 1795426479.5}, Reason.TOKEN_CLAIMS),
        ({"exp": True}, Reason.TOKEN_CLAIMS),
        ({"exp": 2**60}, Reason.TOKEN_CLAIMS),
        ({"exp": 1}, Reason.TOKEN_EXPIRED),
        ({"iat": None}, Reason.TOKEN_CLAIMS),
        ({"iat": "now"}, Reason.TOKEN_CLAIMS),
        ({"iat": -(2**52)}, None),
        ({"nbf": 2**40}, Reason.TOKEN_CLAIMS),
        ({"sub": None}, Reason.TOKEN_CLAIMS),
        ({"sub": 5}, Reason.TOKEN_CLAIMS),
        ({"sub": ["acme"]}, Reason.TOKEN_CLAIMS),
        ({"sub": "nobody"}, Reason.TOKEN_SUBJECT_UNKNOWN),
        ({"sub": "ACME"}, Reason.TOKEN_SUBJECT_UNKNOWN),
        ({"sub": ""}, Reason.TOKEN_SUBJECT_UNKNOWN),
        ({"cred": None}, Reason.TOKEN_CLAIMS),
        ({"cred": "another"}, Reason.TOKEN_SUBJECT_UNKNOWN),
        ({"jti": None, "more": [1, {"a": "b"}]}, None),
    ],
)
async def test_e7_e9_claims_are_looked_at_though_we_signed_them(
    changed: dict[str, Any], reason: Reason | None, sqlite_installation: Installation
) -> None:
    installation = sqlite_installation
    async with installation.registrar() as registrar, installation.core() as core:
        shown = await fleet_client(registrar)
        _, claims = parts_of((await issue(core, installation.call(), shown)).text)
        said = {name: value for name, value in {**claims, **changed}.items() if value is not None}

        assert reason is await reason_of(core, installation, signed(said, await signing_key(registrar)))


@pytest.mark.parametrize("name", ["iat", "nbf"])
async def test_e8_ten_seconds_of_the_future_are_tolerated_and_none_of_the_past(
    name: str, sqlite_installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation = sqlite_installation
    async with installation.registrar() as registrar, installation.core() as core:
        shown = await fleet_client(registrar)
        _, claims = parts_of((await issue(core, installation.call(), shown)).text)
        key = await signing_key(registrar)
        now = core.clock.now().replace(microsecond=0)
        now_s = int(now.timestamp())
        monkeypatch.setattr(core.clock, "now", lambda: now)
        reasons = [
            await reason_of(core, installation, signed({**claims, **instants}, key))
            for instants in ({name: now_s + 10}, {name: now_s + 11}, {"exp": now_s + 1}, {"exp": now_s})
        ]

        assert [None, Reason.TOKEN_CLAIMS, None, Reason.TOKEN_EXPIRED] == reasons


async def test_k6_setting_the_clock_back_does_not_revive_a_token(sqlite_installation: Installation) -> None:
    installation = sqlite_installation
    async with installation.registrar() as registrar, installation.core() as core:
        shown = await fleet_client(registrar)
        token = (await issue(core, installation.call(), shown)).text
        forward(core, timedelta(hours=24))
        assert Reason.TOKEN_EXPIRED is await reason_of(core, installation, token)
        wall_ns = core.clock._wall_ns
        core.clock._wall_ns = lambda: wall_ns() - 2 * 86_400 * 1_000_000_000

        assert Reason.TOKEN_EXPIRED is await reason_of(core, installation, token)


# -- keys -------------------------------------------------------------------------------------------------------------


async def test_e2_a_token_is_good_only_where_it_was_issued(migrated_sqlite: str, tmp_path: Path) -> None:
    (tmp_path / "aldaba.toml").write_text(TWO_OF_EACH)
    installation = install(tmp_path, migrated_sqlite, with_authority=True)
    certificate = installation.authority.client("beacon")
    everywhere = sorted(installation.services)
    assert ["fleet", "fleet-two", "mobility", "mobility-two"] == everywhere
    async with installation.registrar() as registrar, installation.core() as core:
        await add_partner(registrar, "Acme")
        await add_client(registrar, "beacon", partner="Acme", services=everywhere, networks=["127.0.0.0/8"])
        await add_certificate(registrar, "beacon", certificate.pem)
        shown = await key_of(registrar, "beacon")
        outcomes = {}
        for issuing in everywhere:
            evidence = shown if issuing.startswith("fleet") else PeerCertificate()
            token = (await issue(core, installation.call(issuing, certificate=certificate), evidence)).text
            for checking in everywhere:
                outcomes[issuing, checking] = await reason_of(core, installation, token, checking, certificate)

        assert {
            (one, other): None if one == other else Reason.TOKEN_INCORRECT for one in everywhere for other in everywhere
        } == outcomes


async def key_of(registrar: Registrar, name: str) -> NameAndKey:
    """Give a client an API key; return what it shows."""
    return NameAndKey(name, (await add_api_key(registrar, name)).secret.reveal())


@pytest.mark.parametrize("turns", [1, 2, 3])
async def test_e15_after_rotations_tokens_are_good_until_they_end(turns: int, installation: Installation) -> None:
    async with installation.registrar() as registrar, installation.core() as core:
        shown = await fleet_client(registrar)
        token = (await issue(core, installation.call(), shown)).text
        for _ in range(turns):
            await rotate_keys(registrar, "fleet")
        assert await reason_of(core, installation, token) is None
        forward(core, timedelta(hours=23, minutes=59))
        assert await reason_of(core, installation, token) is None
        forward(core, timedelta(minutes=2))

        assert Reason.TOKEN_INCORRECT is await reason_of(core, installation, token)


async def test_a_retired_key_checks_until_the_longest_token_of_it_ends(sqlite_installation: Installation) -> None:
    """A client may have a longer lifetime than its service."""
    installation = sqlite_installation
    async with installation.registrar() as registrar, installation.core() as core:
        await fleet_client(registrar)
        await add_client(registrar, "slow", partner="Acme", services=["fleet"], token_lifetime=timedelta(days=30))
        shown = await key_of(registrar, "slow")
        token = (await issue(core, installation.call(), shown)).text
        await rotate_keys(registrar, "fleet")
        forward(core, timedelta(days=29, hours=23))

        assert await reason_of(core, installation, token) is None


async def test_a_compromised_key_opens_nothing_whatever_the_clocks_say(installation: Installation) -> None:
    """The end of the key used to be an instant of the operator's clock."""
    async with installation.registrar() as registrar, installation.core() as core:
        shown = await fleet_client(registrar)
        token = (await issue(core, installation.call(), shown)).text
        next_key = await signing_key(registrar, state=KeyState.NEXT)
        registrar.clock._offset_ns += 3_600 * 1_000_000_000
        await rotate_keys(registrar, "fleet", compromised=True)
        _, claims = parts_of(token)

        assert Reason.TOKEN_INCORRECT is await reason_of(core, installation, token)
        # Whoever had the active key may have had the announced one.
        assert Reason.TOKEN_INCORRECT is await reason_of(core, installation, signed(claims, next_key))
        assert await reason_of(core, installation, (await issue(core, installation.call(), shown)).text) is None


async def test_keys_whose_last_token_has_ended_are_deleted_at_the_next_rotation(
    sqlite_installation: Installation,
) -> None:
    async with sqlite_installation.registrar() as registrar, sqlite_installation.core():
        await rotate_keys(registrar, "fleet")
        await rotate_keys(registrar, "fleet")
        held = await registrar.database.read(keys.load_keys, "fleet")
        assert ["active", "next", "retired", "retired"] == sorted(key.state.value for key in held)
        registrar.clock._offset_ns += 25 * 3_600 * 1_000_000_000
        await rotate_keys(registrar, "fleet")

        held = await registrar.database.read(keys.load_keys, "fleet")
        assert ["active", "next", "retired"] == sorted(key.state.value for key in held)


# -- binding ----------------------------------------------------------------------------------------------------------


async def test_c14_a_bound_token_is_good_with_its_certificate_alone(migrated_sqlite: str, tmp_path: Path) -> None:
    installation = install(tmp_path, migrated_sqlite, with_authority=True)
    authority = installation.authority
    certificate = authority.client("beacon")
    async with installation.registrar() as registrar, installation.core() as core:
        await mobility_client(registrar, certificate)
        token = (await issue(core, installation.call("mobility", certificate=certificate), PeerCertificate())).text
        outcomes = {}
        for what, shown in {
            "its certificate": certificate,
            "none": None,
            "the same key, renewed": authority.client("beacon", key=certificate.key),
            "another key": authority.client("beacon"),
            "another client": authority.client("other"),
        }.items():
            outcomes[what] = await reason_of(core, installation, token, "mobility", shown)

        assert {
            "its certificate": None,
            "none": Reason.TOKEN_BINDING,
            "the same key, renewed": Reason.TOKEN_BINDING,
            "another key": Reason.TOKEN_BINDING,
            "another client": Reason.TOKEN_BINDING,
        } == outcomes


async def test_c14_a_bound_token_is_not_good_from_another_address(migrated_sqlite: str, tmp_path: Path) -> None:
    installation = install(tmp_path, migrated_sqlite, with_authority=True)
    certificate = installation.authority.client("beacon")
    async with installation.registrar() as registrar, installation.core() as core:
        await mobility_client(registrar, certificate)
        token = (await issue(core, installation.call("mobility", certificate=certificate), PeerCertificate())).text
        call = installation.call("mobility", "192.0.2.7", "ping", certificate)

        with pytest.raises(Refusal) as refused:
            await verify(core, call, token)
        assert Reason.ADDRESS_NOT_ALLOWED is refused.value.reason


async def test_c15_a_certificate_revoked_by_its_authority_ends_its_tokens(migrated_sqlite: str, tmp_path: Path) -> None:
    crl = tmp_path / "crl.der"
    installation = install(tmp_path, migrated_sqlite, with_authority=True)
    certificate = installation.authority.client("beacon")
    crl.write_bytes(installation.authority.crl([], number=1))
    installation = install(tmp_path, migrated_sqlite, {"ALDABA_MTLS_CRLS": str(crl)})
    async with installation.registrar() as registrar, installation.core() as core:
        await mobility_client(registrar, certificate)
        token = (await issue(core, installation.call("mobility", certificate=certificate), PeerCertificate())).text
        assert await reason_of(core, installation, token, "mobility", certificate) is None
        crl.write_bytes(installation.authority.crl([certificate.certificate.serial_number], number=2))
        core.trust.follow()

        assert Reason.TOKEN_BINDING is await reason_of(core, installation, token, "mobility", certificate)


# -- revocation -------------------------------------------------------------------------------------------------------


async def test_e12_a_revoked_token_is_refused_and_others_are_not(installation: Installation) -> None:
    async with installation.registrar() as registrar, installation.core() as core:
        shown = await fleet_client(registrar)
        revoked, other, by_handle = [(await issue(core, installation.call(), shown)).text for _ in range(3)]
        assert await reason_of(core, installation, revoked) is None
        await revoke_token(registrar, f"Bearer {revoked}")
        await revoke_handle(registrar, hashlib.sha256(by_handle.encode()).hexdigest())

        assert Reason.TOKEN_REVOKED is await reason_of(core, installation, revoked)
        assert Reason.TOKEN_REVOKED is await reason_of(core, installation, by_handle)
        assert await reason_of(core, installation, other) is None
        # Twice is as good as once.
        await revoke_token(registrar, revoked)
        assert Reason.TOKEN_REVOKED is await reason_of(core, installation, revoked)


async def test_a_revocation_outlives_its_token_and_is_forgotten_then(sqlite_installation: Installation) -> None:
    installation = sqlite_installation
    async with installation.registrar() as registrar, installation.core() as core:
        shown = await fleet_client(registrar)
        token = (await issue(core, installation.call(), shown)).text
        await revoke_token(registrar, token)
        assert [Reason.TOKEN_REVOKED] == list((await inspect_token(registrar, token)).refused)
        registrar.clock._offset_ns += 3 * 86_400 * 1_000_000_000
        await revoke_handle(registrar, "0" * 64)

        assert [Reason.TOKEN_EXPIRED] == list((await inspect_token(registrar, token)).refused)


async def test_k7_after_a_restored_backup_no_token_of_before_is_good(installation: Installation) -> None:
    async with installation.registrar() as registrar, installation.core() as core:
        shown = await fleet_client(registrar)
        other = await fleet_client(registrar, "other", "Other")
        before = [(await issue(core, installation.call(), one)).text for one in (shown, other)]
        at = await end_all_tokens(registrar)

        assert [Reason.TOKEN_REVOKED] * 2 == [await reason_of(core, installation, token) for token in before]
        after = await issue(core, installation.call(), shown)
        assert after.issued_at >= at
        assert await reason_of(core, installation, after.text) is None


async def test_e9_one_who_is_stopped_is_stopped_with_every_token(installation: Installation) -> None:
    async with installation.registrar() as registrar, installation.core() as core:
        shown = await fleet_client(registrar)
        call = installation.call()
        token = (await issue(core, call, shown)).text
        assert call.known.credential is not None
        await revoke_credential(registrar, call.known.credential)
        assert Reason.CREDENTIAL_REVOKED is await reason_of(core, installation, token)
        await disable_client(registrar, "acme")

        assert Reason.CLIENT_DISABLED is await reason_of(core, installation, token)


async def test_a_token_of_another_installation_is_of_no_service(
    migrated_sqlite: str, migrated_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    other_file = shutil.copy(migrated_file, tmp_path / "other")
    one, other = install(tmp_path, migrated_sqlite), install(tmp_path / "other", f"sqlite:///{other_file}")
    async with one.registrar() as registrar, one.core() as core, other.registrar() as stranger, other.core():
        token = (await issue(core, one.call(), await fleet_client(registrar))).text

        with pytest.raises(Impossible, match="no key of this installation has signed this token"):
            await inspect_token(stranger, token)
