"""Issuing: what is in a token, what it rests on, and who gets none."""

import unicodedata
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from pathlib import Path

import msgspec
import pytest

from aldaba.core import Core
from aldaba.core.audit import record_refusal
from aldaba.core.clients import add_client, disable_client, end_tokens, set_networks
from aldaba.core.credentials import (
    ExistingKey,
    add_api_key,
    add_certificate,
    import_api_keys,
    revoke_credential,
    rotate_api_key,
)
from aldaba.core.issue import issue, token_handle
from aldaba.core.keyring import wrap
from aldaba.core.keys import rotate_keys
from aldaba.core.partners import add_partner, suspend_partner
from aldaba.core.registrar import Note, Registrar
from aldaba.core.tokens import end_all_tokens
from aldaba.core.verify import verify
from aldaba.crypto import base64url
from aldaba.errors import Reason, Refusal
from aldaba.model.calls import Call, Evidence, NameAndKey, PeerCertificate
from aldaba.store import audit, keys
from aldaba.store.database import Change
from aldaba.store.ledger import Moved
from aldaba.store.registry import Basis
from tests.installation import Installation, fleet_client, install, mobility_client

pytestmark = pytest.mark.anyio

Act = Callable[[], Awaitable[object]]


def parts_of(token: str) -> tuple[str, dict[str, object]]:
    """Return the header as text, and the claims."""
    header, payload, _ = (base64url.decode(segment) for segment in token.encode().split(b"."))
    return header.decode(), msgspec.json.decode(payload)


async def reason_of(core: Core, call: Call, evidence: Evidence) -> Reason | None:
    """Return why no token is issued; None when one is. The waits after failures are not looked at here."""
    core.limits._storage._counters.clear()  # type: ignore[attr-defined]
    try:
        await issue(core, call, evidence)
    except Refusal as refusal:
        await record_refusal(core, call, refusal)
        return refusal.reason
    return None


# -- what is in a token -----------------------------------------------------------------------------------------------


async def test_a_token_says_whose_it_is_and_until_when_and_its_issue_is_recorded(installation: Installation) -> None:
    async with installation.registrar() as registrar, installation.core() as core:
        shown = await fleet_client(registrar)
        call = installation.call()
        before = core.clock.now()
        issued = await issue(core, call, shown)
        (event,) = await registrar.database.read(audit.events_of_request, call.id)

        header, claims = parts_of(issued.text)
        issued_at_s, expires_at_s = int(issued.issued_at.timestamp()), int(issued.expires_at.timestamp())
        assert '{"alg":"HS512","typ":"JWT"}' == header
        assert before <= issued.issued_at <= core.clock.now()
        assert timedelta(hours=24) == issued.expires_at - issued.issued_at
        expected = {
            "sub": "acme",
            "iat": issued_at_s,
            "exp": expires_at_s,
            "jti": call.id,
            "cred": call.known.credential,
        }
        assert list(expected.items()) == list(claims.items())
        assert ("token.issue", "granted", None, "fleet", "acme", "127.0.0.1") == (
            event.action,
            event.outcome,
            event.reason,
            event.service,
            event.client,
            event.address,
        )
        detail = {"token": token_handle(issued.text), "exp": expires_at_s}
        assert detail == msgspec.json.decode(event.detail)


async def test_a_client_may_have_a_lifetime_of_its_own(sqlite_installation: Installation) -> None:
    async with sqlite_installation.registrar() as registrar, sqlite_installation.core() as core:
        await add_partner(registrar, "Acme")
        await add_client(registrar, "quick", partner="Acme", services=["fleet"], token_lifetime=timedelta(minutes=5))
        key = (await add_api_key(registrar, "quick")).secret.reveal()
        issued = await issue(core, sqlite_installation.call(), NameAndKey("quick", key))

        assert timedelta(minutes=5) == issued.expires_at - issued.issued_at


async def test_b3_whatever_the_spelling_the_token_is_in_the_registered_name(sqlite_installation: Installation) -> None:
    async with sqlite_installation.registrar() as registrar, sqlite_installation.core() as core:
        shown = await fleet_client(registrar, "Acme Fleet")
        issued = await issue(core, sqlite_installation.call(), NameAndKey("  ACME   fleet ", shown.key))

        assert "Acme Fleet" == parts_of(issued.text)[1]["sub"]
        await verify(core, sqlite_installation.call(action="devices.list"), issued.text)


# -- who gets none ----------------------------------------------------------------------------------------------------


ODD_NAMES = [
    "",
    " ",
    "a" * 10_000,
    "nobody\0",
    "\0",
    "acme\0",
    "ac\nme",
    "\ud800",
    "acme\udfff",
    "\N{RIGHT-TO-LEFT OVERRIDE}acme",
    "acme\N{ZERO WIDTH SPACE}",
    "\N{CYRILLIC SMALL LETTER A}cme",
    "' OR 1=1 --",
    "client/acme",
    "{}",
    "%s",
    "\U0010ffff",
    unicodedata.normalize("NFD", "\N{LATIN SMALL LETTER A WITH RING ABOVE}cme"),
]


@pytest.mark.parametrize("name", ODD_NAMES, ids=ascii)
async def test_b10_an_odd_name_is_an_unknown_one_and_its_refusal_is_recorded(
    name: str, installation: Installation
) -> None:
    """Text that PostgreSQL does not store was told as a database that is away, for everybody in the same batch."""
    async with installation.registrar() as registrar, installation.core() as core:
        shown = await fleet_client(registrar)
        call = installation.call()

        assert Reason.CLIENT_UNKNOWN is await reason_of(core, call, NameAndKey(name, shown.key))
        (event,) = await registrar.database.read(audit.events_of_request, call.id)
        assert event.client.isprintable()


@pytest.mark.parametrize("key", ["", " ", "a" * 10_000, "\0", "\ud800", "kéy", "aldk_", "{key} ", " {key}", "{key}\0"])
async def test_b10_an_odd_key_is_a_wrong_one(key: str, sqlite_installation: Installation) -> None:
    async with sqlite_installation.registrar() as registrar, sqlite_installation.core() as core:
        shown = await fleet_client(registrar)
        odd = NameAndKey(shown.name, key.replace("{key}", shown.key))

        assert Reason.CREDENTIAL_WRONG is await reason_of(core, sqlite_installation.call(), odd)


async def test_a_key_of_one_client_is_not_good_for_another(sqlite_installation: Installation) -> None:
    async with sqlite_installation.registrar() as registrar, sqlite_installation.core() as core:
        shown = await fleet_client(registrar)
        await fleet_client(registrar, "other", "Other")

        wrong = NameAndKey("other", shown.key)
        assert Reason.CREDENTIAL_WRONG is await reason_of(core, sqlite_installation.call(), wrong)


async def test_imported_keys_are_good_in_clear_and_as_sha256(installation: Installation) -> None:
    async with installation.registrar() as registrar, installation.core() as core:
        await fleet_client(registrar)
        digest = "2c70e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b683"  # of "key"
        await import_api_keys(registrar, [ExistingKey("acme", "old key", None), ExistingKey("acme", None, digest)])

        for key in ("old key", "key"):
            assert await reason_of(core, installation.call(), NameAndKey("acme", key)) is None
        assert Reason.CREDENTIAL_WRONG is await reason_of(core, installation.call(), NameAndKey("acme", digest))


async def test_b9_a_rotated_key_ends_at_once_and_its_tokens_with_it(installation: Installation) -> None:
    async with installation.registrar() as registrar, installation.core() as core:
        shown = await fleet_client(registrar)
        token = (await issue(core, installation.call(), shown)).text
        new = NameAndKey(shown.name, (await rotate_api_key(registrar, shown.name)).secret.reveal())

        assert Reason.CREDENTIAL_REVOKED is await reason_of(core, installation.call(), shown)
        assert await reason_of(core, installation.call(), new) is None
        with pytest.raises(Refusal) as refused:
            await verify(core, installation.call(action="devices.list"), token)
        assert Reason.CREDENTIAL_REVOKED is refused.value.reason


async def test_an_overlap_ends_by_itself_and_its_tokens_with_it(installation: Installation) -> None:
    async with installation.registrar() as registrar, installation.core() as core:
        shown = await fleet_client(registrar)
        token = (await issue(core, installation.call(), shown)).text
        await rotate_api_key(registrar, shown.name, overlap=timedelta(hours=1))
        forward(core, timedelta(minutes=59))
        assert await reason_of(core, installation.call(), shown) is None
        await verify(core, installation.call(action="devices.list"), token)
        forward(core, timedelta(minutes=1))

        assert Reason.CREDENTIAL_EXPIRED is await reason_of(core, installation.call(), shown)
        with pytest.raises(Refusal) as refused:
            await verify(core, installation.call(action="devices.list"), token)
        assert Reason.CREDENTIAL_EXPIRED is refused.value.reason


async def test_rotating_again_never_lengthens_an_overlap(sqlite_installation: Installation) -> None:
    async with sqlite_installation.registrar() as registrar, sqlite_installation.core() as core:
        shown = await fleet_client(registrar)
        await rotate_api_key(registrar, shown.name, overlap=timedelta(hours=1))
        await rotate_api_key(registrar, shown.name, overlap=timedelta(days=7))
        forward(core, timedelta(hours=1))

        assert Reason.CREDENTIAL_EXPIRED is await reason_of(core, sqlite_installation.call(), shown)


def forward(core: Core, span: timedelta) -> None:
    """Let time pass for a serving process."""
    core.clock._offset_ns += int(span.total_seconds()) * 1_000_000_000


# -- certificates -----------------------------------------------------------------------------------------------------


@pytest.fixture
def with_authority(migrated_sqlite: str, tmp_path: Path) -> Installation:
    return install(tmp_path, migrated_sqlite, with_authority=True)


async def test_a_registered_certificate_gets_a_token_that_is_bound_to_it(with_authority: Installation) -> None:
    installation = with_authority
    certificate = installation.authority.client("beacon")
    async with installation.registrar() as registrar, installation.core() as core:
        await mobility_client(registrar, certificate)
        issued = await issue(core, installation.call("mobility", certificate=certificate), PeerCertificate())

        header, claims = parts_of(issued.text)
        assert '{"alg":"HS512"}' == header
        assert ["jti", "sub", "authorities", "iat", "exp", "cred", "cnf"] == list(claims)
        assert ("CMobility3.0", "beacon", ["ROLE_USER"]) == (claims["jti"], claims["sub"], claims["authorities"])


async def test_a_certificate_that_is_not_the_registered_one_gets_none(with_authority: Installation) -> None:
    installation = with_authority
    certificate = installation.authority.client("beacon")
    async with installation.registrar() as registrar, installation.core() as core:
        await mobility_client(registrar, certificate)
        reasons = {}
        for what, shown in {
            "none": None,
            "the same": certificate,
            "its key again": installation.authority.client("beacon", key=certificate.key),
            "another key": installation.authority.client("beacon"),
            "another case": installation.authority.client("BEACON", key=certificate.key),
            "another name": installation.authority.client("other", key=certificate.key),
        }.items():
            call = installation.call("mobility", certificate=shown)
            reasons[what] = await reason_of(core, call, PeerCertificate())

        assert {
            "none": Reason.CREDENTIAL_MISSING,
            "the same": None,
            "its key again": None,
            "another key": Reason.CERTIFICATE_NOT_REGISTERED,
            "another case": Reason.CLIENT_UNKNOWN,
            "another name": Reason.CLIENT_UNKNOWN,
        } == reasons


async def test_a_registered_issuer_vouches_for_every_certificate_it_signs(with_authority: Installation) -> None:
    installation = with_authority
    async with installation.registrar() as registrar, installation.core() as core:
        await add_partner(registrar, "Beacons")
        await add_client(registrar, "beacon", partner="Beacons", services=["mobility"], networks=["127.0.0.0/8"])
        credential = await add_certificate(registrar, "beacon", installation.authority.pem, by_issuer=True)
        for _ in range(2):
            call = installation.call("mobility", certificate=installation.authority.client("beacon"))
            assert await reason_of(core, call, PeerCertificate()) is None
        await revoke_credential(registrar, credential.id)

        call = installation.call("mobility", certificate=installation.authority.client("beacon"))
        assert Reason.CREDENTIAL_REVOKED is await reason_of(core, call, PeerCertificate())


# -- what a token rests on --------------------------------------------------------------------------------------------


def just_before_the_commit(core: Core, happens: Act) -> None:
    """Let something happen once, after the decision and before its commit."""
    write = core.ledger.write

    async def write_later(event: object, basis: Basis | None = None) -> None:
        core.ledger.write = write  # type: ignore[method-assign]
        await happens()
        await write(event, basis)  # type: ignore[arg-type]

    core.ledger.write = write_later  # type: ignore[method-assign]


@pytest.mark.parametrize(
    "change, reason",
    [
        (lambda r: disable_client(r, "acme"), Reason.CLIENT_DISABLED),
        (lambda r: suspend_partner(r, "Acme"), Reason.PARTNER_SUSPENDED),
        (lambda r: rotate_api_key(r, "acme"), Reason.CREDENTIAL_REVOKED),
        (lambda r: set_networks(r, "acme", []), Reason.ADDRESS_NOT_ALLOWED),
    ],
)
async def test_e12_who_is_stopped_between_decision_and_commit_gets_no_token(
    change: Callable[[Registrar], Awaitable[object]], reason: Reason, installation: Installation
) -> None:
    async with installation.registrar() as registrar, installation.core() as core:
        shown = await fleet_client(registrar)
        just_before_the_commit(core, partial(change, registrar))
        call = installation.call()

        assert reason is await reason_of(core, call, shown)
        events = await registrar.database.read(audit.events_of_request, call.id)
        assert ["refused"] == [event.outcome for event in events]


async def test_what_does_not_concern_the_client_does_not_make_it_wait(installation: Installation) -> None:
    async with installation.registrar() as registrar, installation.core() as core:
        shown = await fleet_client(registrar)
        await fleet_client(registrar, "other", "Other")
        decisions = 0
        write = core.ledger.write

        async def counted(event: object, basis: Basis | None = None) -> None:
            nonlocal decisions
            decisions += 1
            try:
                await write(event, basis)  # type: ignore[arg-type]
            except Moved:
                pytest.fail("decided again because of somebody else")

        await issue(core, installation.call(), shown)
        core.ledger.write = counted  # type: ignore[method-assign]
        just_before_the_commit(core, partial(disable_client, registrar, "other"))
        await issue(core, installation.call(), shown)

        assert 1 == decisions


async def test_a_token_is_signed_again_when_its_key_was_compromised_meanwhile(installation: Installation) -> None:
    async with installation.registrar() as registrar, installation.core() as core:
        shown = await fleet_client(registrar)
        just_before_the_commit(core, partial(rotate_keys, registrar, "fleet", compromised=True))
        issued = await issue(core, installation.call(), shown)

        await verify(core, installation.call(action="devices.list"), issued.text)


async def end_its(registrar: Registrar) -> None:
    await end_tokens(registrar, "acme")


@pytest.mark.parametrize("ends", [[end_its], [end_all_tokens], [end_its, end_all_tokens]])
async def test_e13_a_token_of_the_very_second_in_which_all_were_ended_is_good(
    ends: list[Callable[[Registrar], Awaitable[object]]], installation: Installation
) -> None:
    """Those of one second, ended twice in it, used to survive the second end."""
    async with installation.registrar() as registrar, installation.core() as core:
        shown = await fleet_client(registrar)
        for end in ends * 2:
            before = (await issue(core, installation.call(), shown)).text
            await end(registrar)
            after = (await issue(core, installation.call(), shown)).text

            await verify(core, installation.call(action="devices.list"), after)
            with pytest.raises(Refusal) as refused:
                await verify(core, installation.call(action="devices.list"), before)
            assert Reason.TOKEN_REVOKED is refused.value.reason


async def test_who_is_let_in_again_gets_a_token_at_the_next_request(installation: Installation) -> None:
    """A refusal used to rest on what the process remembered for up to a second."""
    async with installation.registrar() as registrar, installation.core() as core:
        shown = await fleet_client(registrar)
        await set_networks(registrar, "acme", [])
        assert Reason.ADDRESS_NOT_ALLOWED is await reason_of(core, installation.call(), shown)
        await set_networks(registrar, "acme", None)

        assert await reason_of(core, installation.call(), shown) is None


# -- keys that cannot be used -----------------------------------------------------------------------------------------


async def change_keys(registrar: Registrar, work: Callable[[Change], None]) -> None:
    def changed(change: Change, _note: Note) -> None:
        work(change)
        change.touch("keys/fleet")

    await registrar.change("test", changed)


async def test_without_an_active_key_nothing_is_issued_or_accepted(sqlite_installation: Installation) -> None:
    installation = sqlite_installation
    async with installation.registrar() as registrar, installation.core() as core:
        shown = await fleet_client(registrar)
        token = (await issue(core, installation.call(), shown)).text

        def delete_all(change: Change) -> None:
            for key in keys.load_keys(change.connection, "fleet"):
                keys.delete_key(change.connection, key.id)

        await change_keys(registrar, delete_all)
        await refused_for_the_keys(core, installation, shown, token, "has no active signing key")


async def test_keys_sealed_under_another_master_key_sign_and_open_nothing(sqlite_installation: Installation) -> None:
    installation = sqlite_installation
    async with installation.registrar() as registrar, installation.core() as core:
        shown = await fleet_client(registrar)
        token = (await issue(core, installation.call(), shown)).text

        def seal_with_another(change: Change) -> None:
            for key in keys.load_keys(change.connection, "fleet"):
                place = {"service": key.service, "purpose": key.purpose, "key_id": key.id}
                sealed = wrap(b"another key of so many bytes....", b"k" * 64, **place)
                keys.update_key(change.connection, msgspec.structs.replace(key, sealed=sealed))

        await change_keys(registrar, seal_with_another)
        await refused_for_the_keys(core, installation, shown, token, "were sealed under another master key")


async def test_a_key_put_in_the_place_of_another_signs_and_opens_nothing(sqlite_installation: Installation) -> None:
    """Who can write to the database cannot make one service sign with the key of another."""
    installation = sqlite_installation
    async with installation.registrar() as registrar, installation.core() as core:
        shown = await fleet_client(registrar)
        token = (await issue(core, installation.call(), shown)).text

        def take_the_others(change: Change) -> None:
            others = keys.load_keys(change.connection, "mobility")
            for key, other in zip(keys.load_keys(change.connection, "fleet"), others, strict=True):
                keys.update_key(change.connection, msgspec.structs.replace(key, sealed=other.sealed))

        await change_keys(registrar, take_the_others)
        await refused_for_the_keys(core, installation, shown, token, "were sealed under another master key")


async def refused_for_the_keys(
    core: Core, installation: Installation, shown: NameAndKey, token: str, because: str
) -> None:
    acts: list[Act] = [
        partial(issue, core, installation.call(), shown),
        partial(verify, core, installation.call(action="devices.list"), token),
    ]
    for act in acts:
        with pytest.raises(Refusal) as refused:
            await act()
        assert Reason.UNAVAILABLE is refused.value.reason
        assert because in refused.value.detail


async def test_two_tokens_of_one_moment_are_different_ones_where_the_dialect_has_ids(
    sqlite_installation: Installation,
) -> None:
    async with sqlite_installation.registrar() as registrar, sqlite_installation.core() as core:
        shown = await fleet_client(registrar)
        texts = {(await issue(core, sqlite_installation.call(), shown)).text for _ in range(5)}

        assert 5 == len(texts)
