"""`aldaba credential import`: look at every row before any key is taken over."""

import re
from pathlib import Path

from aldaba.cli.arguments import Format
from aldaba.cli.context import Context
from aldaba.cli.files import Reading, Row, read_rows
from aldaba.cli.imports import take_over
from aldaba.core.clients import find_client
from aldaba.core.credentials import ExistingKey, import_api_keys
from aldaba.core.registrar import Registrar
from aldaba.crypto import hashing
from aldaba.errors import Impossible
from aldaba.model.parties import CredentialStatus

COLUMNS = ("client", "key", "sha256")


async def import_keys(cli: Context, file: Path | None, form: Format | None, *, dry_run: bool) -> None:
    """Take over the keys of a file."""
    reading = read_rows(cli, file, form, COLUMNS)
    async with cli.registrar() as registrar:
        known = await _sift(registrar, reading)
        keys = [ExistingKey(row["client"], row.get("key"), row.get("sha256")) for row in reading.rows]
        await take_over(
            cli, reading, lambda: import_api_keys(registrar, keys), what="key", known=known, dry_run=dry_run
        )


async def _sift(registrar: Registrar, reading: Reading) -> int:
    """Keep the rows that have something new; return how many keys their clients have already."""
    good: list[Row] = []
    seen: set[tuple[str, bytes]] = set()
    known = 0
    for row in reading.rows:
        try:
            client_id, digest, is_known = await _look_up(registrar, row)
        except Impossible as error:
            reading.refuse(row.place, str(error))
            continue
        if is_known or (client_id, digest) in seen:
            known += 1
            continue
        seen.add((client_id, digest))
        good.append(row)
    reading.rows = good
    return known


async def _look_up(registrar: Registrar, row: Row) -> tuple[str, bytes, bool]:
    digest = _digest(registrar.secrets.pepper, row)
    client = await find_client(registrar, row["client"])
    held = [credential for credential in client.credentials if credential.digest == digest]
    if any(credential.status is CredentialStatus.REVOKED for credential in held):
        raise Impossible(f"this key of client {client.name!r} was revoked; 'aldaba credential add' makes another")
    return client.id, digest, bool(held)


def _digest(pepper: bytes, row: Row) -> bytes:
    client, key, sha256 = row.get("client"), row.get("key"), row.get("sha256")
    if not isinstance(client, str):
        raise Impossible("the client is missing")
    if isinstance(key, str) and sha256 is None:
        return _hashed_key(pepper, key)
    if isinstance(sha256, str) and key is None:
        if not re.fullmatch("[0-9a-fA-F]{64}", sha256):
            raise Impossible("sha256 is not 64 hexadecimal digits")
        return hashing.keyed_hash_of_sha256(pepper, bytes.fromhex(sha256))
    raise Impossible("a row has either the key or its sha256, as a text")


def _hashed_key(pepper: bytes, key: str) -> bytes:
    try:
        return hashing.keyed_hash(pepper, key)
    except ValueError as error:
        raise Impossible(str(error)) from None
