"""Changes of the registry: each with its event or not at all, with texts that say what to correct."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from hashlib import sha256
from typing import Any

import msgspec
import pytest
from anyio import create_task_group
from sqlalchemy import Connection, Row, func, select

from aldaba.core.audit import REGISTRY_WRITER
from aldaba.core.audit_proof import verify_log
from aldaba.core.clients import (
    add_client,
    disable_client,
    end_tokens,
    find_client,
    set_networks,
    set_roles,
)
from aldaba.core.credentials import (
    ExistingKey,
    add_api_key,
    add_certificate,
    import_api_keys,
    revoke_credential,
    rotate_api_key,
)
from aldaba.core.devices import put_devices, remove_device
from aldaba.core.keys import rotate_keys
from aldaba.core.partners import add_partner, find_partner, resume_partner, suspend_partner
from aldaba.core.registrar import Note, Registrar
from aldaba.core.tokens import revoke_handle, revoke_token
from aldaba.crypto.certificates import Authority, self_signed_client
from aldaba.errors import Impossible
from aldaba.model.devices import Device
from aldaba.store import audit, schema
from aldaba.store.database import Change
from tests.installation import OPERATOR, Installation, fleet_client

pytestmark = pytest.mark.anyio

Verb = Callable[[Registrar], Awaitable[object]]


def everything(connection: Connection) -> dict[str, list[Any]]:
    """Return every row of every table, the registry version included."""
    return {table.name: sorted(map(repr, connection.execute(select(table)))) for table in schema.metadata.sorted_tables}


async def refused(registrar: Registrar, verb: Verb) -> str:
    """Do what cannot be done; return the text, when nothing has changed and nothing was recorded."""
    before = await registrar.database.read(everything)
    with pytest.raises(Impossible) as impossible:
        await verb(registrar)

    assert before == await registrar.database.read(everything)
    return str(impossible.value)


# -- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", " acme", "acme ", "ac\nme", "ac\0me", "ac\N{ZERO WIDTH SPACE}me", "a" * 201])
async def test_a_name_that_people_cannot_read_or_compare_is_refused(
    name: str, sqlite_installation: Installation
) -> None:
    async with sqlite_installation.registrar() as registrar:
        await add_partner(registrar, "Acme")

        for verb in (
            lambda registrar: add_partner(registrar, name),
            lambda registrar: add_client(registrar, name, partner="Acme", services=["fleet"]),
        ):
            assert "is no name" in await refused(registrar, verb)


@pytest.mark.parametrize("name", ["acme", "ACME", "\N{FULLWIDTH LATIN SMALL LETTER A}cme"])
async def test_b3_a_client_in_another_spelling_is_the_same_client(name: str, installation: Installation) -> None:
    async with installation.registrar() as registrar:
        await fleet_client(registrar, "acme")

        text = await refused(registrar, lambda _: add_client(registrar, name, partner="Acme", services=["fleet"]))
        assert "this name or id is taken already; list what there is and choose another" == text
        assert "acme" == (await find_client(registrar, name)).name


async def test_a_partners_name_is_its_own(installation: Installation) -> None:
    async with installation.registrar() as registrar:
        await add_partner(registrar, "Acme")

        assert "taken already" in await refused(registrar, lambda _: add_partner(registrar, "Acme"))


@pytest.mark.parametrize(
    "verb, text",
    [
        (lambda r: suspend_partner(r, "nobody"), "there is no partner 'nobody'; 'aldaba partner list' shows them"),
        (lambda r: resume_partner(r, "nobody"), "there is no partner 'nobody'; 'aldaba partner list' shows them"),
        (
            lambda r: add_client(r, "new", partner="nobody", services=["fleet"]),
            "there is no partner 'nobody'; 'aldaba partner list' shows them",
        ),
        (
            lambda r: add_client(r, "new", partner="Acme", services=["other"]),
            "there is no service 'other'; the configuration has fleet, mobility",
        ),
        (
            lambda r: add_client(r, "new", partner="Acme", services=[]),
            "a client uses at least one service; name it with --service",
        ),
        (
            lambda r: add_client(r, "new", partner="Acme", services=["fleet"], token_lifetime=timedelta(seconds=59)),
            "a token lives from one minute to 366 days",
        ),
        (
            lambda r: add_client(r, "new", partner="Acme", services=["fleet"], token_lifetime=timedelta(days=367)),
            "a token lives from one minute to 366 days",
        ),
        (lambda r: disable_client(r, "nobody"), "there is no client 'nobody'; 'aldaba client list' shows them"),
        (lambda r: end_tokens(r, "nobody"), "there is no client 'nobody'; 'aldaba client list' shows them"),
        (lambda r: set_roles(r, "acme", ["bad\nrole"]), "'bad\\nrole' is no name"),
        (lambda r: set_networks(r, "acme", ["0.0.0.0/0"]), "0.0.0.0/0 lets every address in"),
        (lambda r: set_networks(r, "acme", ["192.0.2.1/24"]), "it has host bits set; write 192.0.2.0/24"),
        (lambda r: add_api_key(r, "nobody"), "there is no client 'nobody'; 'aldaba client list' shows them"),
        (lambda r: rotate_api_key(r, "nobody"), "there is no client 'nobody'; 'aldaba client list' shows them"),
        (lambda r: revoke_credential(r, "none"), "there is no credential 'none'; 'aldaba credential list' shows them"),
        (lambda r: add_certificate(r, "acme", b"no certificate"), "this is not a certificate to register"),
        (
            lambda r: add_certificate(r, "acme", self_signed_client("other").pem),
            "the certificate's CN is 'other', and the client's name 'acme'; they must be the same",
        ),
        (
            lambda r: put_devices(r, "nobody", [Device(id="one")]),
            "there is no client 'nobody'; 'aldaba client list' shows them",
        ),
        (lambda r: put_devices(r, "acme", [Device(id="")]), "'' is no name"),
        (lambda r: put_devices(r, "acme", [Device(id="one"), Device(id="one")]), "taken already"),
        (lambda r: remove_device(r, "acme", "none"), "client 'acme' has no device 'none'"),
        (
            lambda r: rotate_keys(r, "other"),
            "there is no service 'other'; the configuration has fleet, mobility",
        ),
        (lambda r: rotate_keys(r, "fleet"), "service 'fleet' has no keys yet; 'aldaba serve' makes them"),
        (lambda r: revoke_handle(r, "00"), "a token's handle is 64 hexadecimal digits"),
        (lambda r: revoke_handle(r, "Z" * 64), "a token's handle is 64 hexadecimal digits"),
        (lambda r: revoke_token(r, "a.b.c"), "no key of this installation has signed this token"),
    ],
)
async def test_what_cannot_be_done_is_said_and_leaves_no_trace(
    verb: Verb, text: str, sqlite_installation: Installation
) -> None:
    async with sqlite_installation.registrar() as registrar:
        await fleet_client(registrar, "acme")

        assert text in await refused(registrar, verb)


# -- import -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "last, text",
    [
        (ExistingKey("nobody", "third", None), "line 3: there is no client 'nobody'"),
        (ExistingKey("acme", "", None), "line 3: a secret has 1 to"),
        (ExistingKey("acme", "k\N{LATIN SMALL LETTER E WITH ACUTE}y", None), "line 3: a secret has 1 to"),
        (ExistingKey("acme", None, "abcd"), "line 3: a SHA-256 digest has 32 bytes"),
        (ExistingKey("acme", None, "no hex"), "line 3: non-hexadecimal"),
        (ExistingKey("acme", "both", "00" * 32), "line 3: either the key or its SHA-256"),
        (ExistingKey("acme", None, None), "line 3: either the key or its SHA-256"),
    ],
)
async def test_of_an_import_with_one_bad_line_nothing_is_taken_over(
    last: ExistingKey, text: str, installation: Installation
) -> None:
    keys = [ExistingKey("acme", "first", None), ExistingKey("ACME", "second", None), last]
    async with installation.registrar() as registrar:
        await fleet_client(registrar, "acme")

        assert text in await refused(registrar, lambda _: import_api_keys(registrar, keys))


async def test_a_key_that_a_client_has_or_had_is_not_taken_over_again(installation: Installation) -> None:
    """A key that had been revoked was registered a second time, and refused all the same."""
    async with installation.registrar() as registrar:
        await fleet_client(registrar, "acme")
        (credential,) = await import_api_keys(registrar, [ExistingKey("acme", "known", None)])
        again = [ExistingKey("acme", None, sha256(b"known").hexdigest())]
        twice = [ExistingKey("acme", "new", None), ExistingKey("acme", "new", None)]

        assert "line 1: client 'acme' has this key already, or had it" == await refused(
            registrar, lambda _: import_api_keys(registrar, again)
        )
        await revoke_credential(registrar, credential.id)
        assert "line 1: client 'acme' has this key already, or had it" == await refused(
            registrar, lambda _: import_api_keys(registrar, again)
        )
        assert "line 2: client 'acme' has this key already, or had it" == await refused(
            registrar, lambda _: import_api_keys(registrar, twice)
        )


async def test_an_import_is_one_change_with_one_event(installation: Installation) -> None:
    async with installation.registrar() as registrar:
        await fleet_client(registrar, "acme")
        added = await import_api_keys(
            registrar, [ExistingKey("acme", "first", None), ExistingKey("ACME", "second", None)]
        )
        event = await registrar.database.read(last_change)

        assert [2, 3] == [credential.version for credential in added]
        assert ("credential.import", {"operator": OPERATOR, "imported": 2}) == (
            event.action,
            msgspec.json.decode(event.detail),
        )


# -- both or neither --------------------------------------------------------------------------------------------------


async def test_a_change_that_fails_after_its_inserts_leaves_nothing(installation: Installation) -> None:
    async with installation.registrar() as registrar:
        await fleet_client(registrar, "acme")
        before = await registrar.database.read(everything)

        def work(change: Change, note: Note) -> None:
            change.connection.execute(schema.partner.update().values(status="suspended"))
            change.touch("partner/of somebody")
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await registrar.change("test", work)
        assert before == await registrar.database.read(everything)


async def test_a_change_whose_event_cannot_be_recorded_leaves_nothing(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with installation.registrar() as registrar:
        await fleet_client(registrar, "acme")
        before = await registrar.database.read(everything)

        def fail(*_: object) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(audit, "append", fail)
        with pytest.raises(ZeroDivisionError):
            await disable_client(registrar, "acme")
        assert before == await registrar.database.read(everything)


async def test_a_change_that_fails_at_its_last_statement_leaves_nothing(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The registry version is counted up after everything else."""
    async with installation.registrar() as registrar:
        await fleet_client(registrar, "acme")
        before = await registrar.database.read(everything)

        def fail(*_: object) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr("aldaba.store.database._count_up", fail)
        with pytest.raises(ZeroDivisionError):
            await disable_client(registrar, "acme")
        assert before == await registrar.database.read(everything)


async def test_every_verb_counts_the_version_up_and_leaves_one_event(installation: Installation) -> None:
    authority = Authority.create("CA")
    async with installation.registrar() as registrar, installation.core():
        key = await fleet_client(registrar, "acme")
        await add_client(registrar, "beacon", partner="Acme", services=["mobility"], networks=["127.0.0.1"])
        credential = (await add_api_key(registrar, "acme")).credential
        verbs: Sequence[tuple[str, Verb]] = [
            ("partner.add", lambda r: add_partner(r, "Other")),
            ("partner.suspend", lambda r: suspend_partner(r, "Other")),
            ("partner.resume", lambda r: resume_partner(r, "Other")),
            ("client.add", lambda r: add_client(r, "new", partner="Other", services=["fleet"])),
            ("client.networks", lambda r: set_networks(r, "acme", ["192.0.2.0/24"])),
            ("client.roles", lambda r: set_roles(r, "acme", ["ROLE_OTHER"])),
            ("client.end_tokens", lambda r: end_tokens(r, "acme")),
            ("client.disable", lambda r: disable_client(r, "acme")),
            ("credential.add", lambda r: add_api_key(r, "acme")),
            ("credential.add", lambda r: add_certificate(r, "beacon", authority.client("beacon").pem)),
            ("credential.add", lambda r: add_certificate(r, "beacon", authority.pem, by_issuer=True)),
            ("credential.rotate", lambda r: rotate_api_key(r, "acme")),
            ("credential.revoke", lambda r: revoke_credential(r, credential.id)),
            ("credential.import", lambda r: import_api_keys(r, [ExistingKey("acme", "known", None)])),
            ("device.put", lambda r: put_devices(r, "acme", [Device(id="one")])),
            ("device.remove", lambda r: remove_device(r, "acme", "one")),
            ("keys.rotate", lambda r: rotate_keys(r, "fleet")),
            ("token.revoke", lambda r: revoke_handle(r, "0" * 64)),
        ]
        seen = []
        for _, verb in verbs:
            version, events = await registrar.database.read(counts)
            await verb(registrar)
            later = await registrar.database.read(counts)
            event = await registrar.database.read(last_change)
            seen.append((event.action, later[0] - version, later[1] - events))
            assert OPERATOR == msgspec.json.decode(event.detail)["operator"]

        assert [(action, 1, 1) for action, _ in verbs] == seen
        assert key.key not in str(await registrar.database.read(everything))
        assert [] == (await registrar.database.read(verify_log, registrar.secrets)).faults


def last_change(connection: Connection) -> Row[Any]:
    return audit.list_events(connection, limit=1, writer=REGISTRY_WRITER)[0]


def counts(connection: Connection) -> tuple[int, int]:
    """Return the registry version, and the number of changes recorded."""
    events = select(func.count()).where(schema.event.c.writer == REGISTRY_WRITER)
    return (
        connection.execute(select(schema.registry.c.version)).scalar_one(),
        connection.execute(events).scalar_one(),
    )


async def test_two_operators_who_change_different_settings_undo_nothing_of_each_other(
    installation: Installation,
) -> None:
    async with installation.registrar() as one, installation.registrar() as other:
        await fleet_client(one, "acme")
        await find_partner(other, "Acme")
        async with create_task_group() as group:
            group.start_soon(set_roles, one, "acme", ["ROLE_NEW"])
            group.start_soon(set_networks, other, "acme", ["192.0.2.0/24"])
            group.start_soon(disable_client, one, "acme")
        client = await find_client(one, "acme")

        assert (("ROLE_NEW",), ["192.0.2.0/24"], "disabled") == (
            client.roles,
            [str(network) for network in client.networks or ()],
            client.status.value,
        )
