"""`aldaba credential`: the API keys and certificates that prove a client.

A new key is written to standard output once; what goes with it for people goes to standard error.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from cyclopts import App

from aldaba.cli.arguments import FormatOption, Instant, Span
from aldaba.cli.context import Cli
from aldaba.cli.failures import Misuse
from aldaba.cli.key_import import import_keys
from aldaba.cli.output import Field, text_of
from aldaba.core import credentials
from aldaba.core.clients import find_client
from aldaba.core.credentials import NewKey
from aldaba.core.registrar import Registrar
from aldaba.model.parties import Client, Credential, CredentialStatus
from aldaba.store.clients import client_of_credential, last_used

app = App(name="credential")

NONE = "client {0!r} has no credentials; 'aldaba credential add {0}' makes an API key"

FIELDS = (
    Field("id"),
    Field("client", listed=False),
    Field("kind"),
    Field("version"),
    Field("status"),
    Field("hint"),
    Field("not_before_at", listed=False),
    Field("not_after_at"),
    Field("last_used_at"),
    Field("key_sha256", listed=False),
    Field("issuer_key_sha256", listed=False),
    Field("created_at", listed=False),
    Field("revoked_at", listed=False),
)


@app.command(
    help_epilogue="""\
Example:
  aldaba credential add acme-fleet > acme.key
  aldaba credential add vialtis --certificate vialtis.pem
  aldaba credential add vialtis --certificate their-ca.pem --issuer"""
)
async def add(
    client: str,
    /,
    *,
    certificate: Path | None = None,
    issuer: bool = False,
    not_before: Instant = None,
    not_after: Instant = None,
    cli: Cli,
) -> None:
    """Give a client a further credential: a new API key, shown once, or its certificate.

    Args:
        client: the client's name.
        certificate: register this certificate instead, a file in PEM or DER: the client is recognised by its key.
        issuer: the file is the certificate of a CA: every certificate it signs for the client's name is accepted.
        not_before: the API key is good from this instant on.
        not_after: the API key is good until this instant.
    """
    if certificate is None:
        if issuer:
            raise Misuse("--issuer says what the certificate is; name its file with --certificate")
        async with cli.registrar() as registrar:
            new = await credentials.add_api_key(registrar, client, not_before_at=not_before, not_after_at=not_after)
        _hand_out(cli, client, new)
        return
    if not_before or not_after:
        raise Misuse("a certificate has its own dates; --not-before and --not-after are for API keys")
    upload = (cli.terminal.folder / certificate).read_bytes()
    async with cli.registrar() as registrar:
        added = await credentials.add_certificate(registrar, client, upload, by_issuer=issuer)
    what = "certificates of this issuer" if issuer else "this certificate's key"
    cli.done(f"client {client!r} is recognised by {what}: credential {added.id}", record(added, client), FIELDS)


@app.command(name="list", help_epilogue="Example:\n  aldaba credential list acme-fleet")
async def list_(client: str, /, *, cli: Cli) -> None:
    """List the credentials of a client, the revoked ones too.

    Args:
        client: the client's name.
    """
    async with cli.registrar() as registrar:
        found = await records(registrar, await find_client(registrar, client))
    cli.show_all(found, FIELDS, none=NONE.format(client))


@app.command(
    help_epilogue="""\
Example:
  aldaba credential rotate acme-fleet --overlap 7d > acme.key"""
)
async def rotate(client: str, /, *, overlap: Span = None, cli: Cli) -> None:
    """Give a client a new API key, shown once, and end those it has.

    Args:
        client: the client's name.
        overlap: how long the old keys go on, such as 7d; 0s ends them at once, with their tokens. When not given, as
            the client's services say.
    """
    async with cli.registrar() as registrar:
        new = await credentials.rotate_api_key(registrar, client, overlap=overlap)
        held = await records(registrar, await find_client(registrar, client))
    _hand_out(cli, client, new)
    going_on = [
        old for old in held if old["status"] == "active" and old["kind"] == "api_key" and old["id"] != new.credential.id
    ]
    for old in going_on:
        cli.note(f"the old key {old['hint']} goes on until {text_of(old['not_after_at'])}")
    if not going_on:
        cli.note("the keys before it are refused, with their tokens")


@app.command(help_epilogue="Example:\n  aldaba credential revoke 0197f0c5-6c1e-7aa2-8f0e-3f1f5f0a9b11")
async def revoke(credential_id: str, /, *, cli: Cli) -> None:
    """Revoke a credential for good, and refuse the tokens issued under it.

    Args:
        credential_id: its id, as 'aldaba credential list' shows it.
    """
    async with cli.registrar() as registrar:
        await credentials.revoke_credential(registrar, credential_id)
        client = await registrar.database.read(client_of_credential, credential_id)
    revoked = client.credential(credential_id) if client else None
    if client and revoked:
        text = f"credential {credential_id} of client {client.name!r} is revoked, with its tokens"
        cli.done(text, record(revoked, client.name), FIELDS)


@app.command(
    name="import",
    help_epilogue="""\
Example:
  aldaba credential import keys.csv --dry-run
  aldaba credential import keys.csv

A CSV file has a header and the columns client, and key or sha256 (64 hexadecimal digits); a JSON file has a list of
objects with these members.""",
)
async def import_(file: Path | None = None, /, *, form: FormatOption = None, dry_run: bool = False, cli: Cli) -> None:
    """Take over API keys that clients already use, all of a file or none.

    Args:
        file: where they are; standard input when not given.
        form: how the file is written; when not given, as its name ends, or else csv.
        dry_run: only say what would be taken over, and what is wrong.
    """
    await import_keys(cli, file, form, dry_run=dry_run)


async def records(registrar: Registrar, client: Client) -> list[dict[str, Any]]:
    """Return the credentials of a client as records."""
    used = await registrar.database.read(last_used, [one.id for one in client.credentials])
    return [record(one, client.name) | {"last_used_at": used.get(one.id)} for one in client.credentials]


def record(credential: Credential, client: str) -> dict[str, Any]:
    """Return a credential as a record, without what only we need to know of it."""
    return msgspec.structs.asdict(credential) | {
        "client": client,
        "status": _status(credential, datetime.now(UTC)),
        "last_used_at": None,
    }


def picked(found: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the fields of these records that are shown."""
    return [{field.name: one[field.name] for field in FIELDS} for one in found]


def _status(credential: Credential, at: datetime) -> str:
    if credential.status is CredentialStatus.REVOKED:
        return "revoked"
    if credential.not_after_at is not None and credential.not_after_at <= at:
        return "ended"
    if credential.not_before_at is not None and at < credential.not_before_at:
        return "not_yet"
    return "active"


def _hand_out(cli: Cli, client: str, new: NewKey) -> None:
    # The key alone on standard output, so that it can go straight into a file or a vault.
    shown = record(new.credential, client) | {"api_key": new.secret.reveal()}
    cli.done(new.secret.reveal(), shown, (*FIELDS, Field("api_key")))
    cli.note(f"the API key of client {client!r}, credential {new.credential.id}: it is shown once and kept nowhere")
