"""The file of signed checkpoints: every checkpoint once, in spite of crashes, and good to prove the log with."""

from pathlib import Path

import msgspec
import pytest
from sqlalchemy import text

from aldaba.core.audit_proof import verify_log
from aldaba.core.checkpoints import CheckpointFile, read_checkpoints
from aldaba.core.clients import add_client, disable_client
from aldaba.core.partners import add_partner
from tests.installation import Installation

pytestmark = pytest.mark.anyio


async def test_every_change_leaves_a_signed_checkpoint_in_the_file_once(
    installation: Installation, tmp_path: Path
) -> None:
    file = CheckpointFile(tmp_path / "checkpoints.jsonl")
    async with installation.registrar() as registrar:
        await add_partner(registrar, "Acme")
        await file.follow(registrar.database)
        await add_client(registrar, "acme", partner="Acme", services=["fleet"])
        await file.follow(registrar.database)
        await file.follow(registrar.database)

        kept = read_checkpoints(tmp_path / "checkpoints.jsonl")
        assert [("registry", 1), ("registry", 2)] == [(each.writer, each.seq) for each in kept]
        assert [] == (await registrar.database.read(verify_log, registrar.secrets, kept)).faults


async def test_a_new_process_goes_on_where_the_file_ends_and_mends_a_torn_line(
    installation: Installation, tmp_path: Path
) -> None:
    path = tmp_path / "checkpoints.jsonl"
    async with installation.registrar() as registrar:
        await add_partner(registrar, "Acme")
        await CheckpointFile(path).follow(registrar.database)
        whole = path.read_bytes()
        path.write_bytes(whole + whole[: len(whole) // 2])
        await add_partner(registrar, "Other")
        await CheckpointFile(path).follow(registrar.database)

        assert [1, 2] == [msgspec.json.decode(line)["seq"] for line in path.read_bytes().splitlines()]


async def test_a_database_set_back_as_a_whole_is_noticed_by_the_file(
    installation: Installation, tmp_path: Path
) -> None:
    path = tmp_path / "checkpoints.jsonl"
    async with installation.registrar() as registrar:
        await add_partner(registrar, "Acme")
        await add_client(registrar, "acme", partner="Acme", services=["fleet"])
        head = await registrar.database.read(_head)
        await disable_client(registrar, "acme")
        await CheckpointFile(path).follow(registrar.database)

        def set_back(connection) -> None:  # type: ignore[no-untyped-def]
            connection.execute(text("DELETE FROM event WHERE writer = 'registry' AND seq = 3"))
            connection.execute(text("DELETE FROM audit_checkpoint WHERE seq = 3"))
            connection.execute(
                text("UPDATE audit_chain SET length = :length, head = :head, seal = :seal WHERE writer = 'registry'"),
                {"length": head[0], "head": head[1], "seal": head[2]},
            )

        await registrar.database.write(set_back)

        assert [] == (await registrar.database.read(verify_log, registrar.secrets)).faults
        faults = (await registrar.database.read(verify_log, registrar.secrets, read_checkpoints(path))).faults
        assert ["registry: the log is not the one that was signed at event 3"] == faults


def _head(connection):  # type: ignore[no-untyped-def]
    return connection.execute(text("SELECT length, head, seal FROM audit_chain WHERE writer = 'registry'")).one()
