"""The schema's versions: the program knows its own, and the revisions make what the tables say."""

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from aldaba.store import migrations
from aldaba.store.schema import metadata
from tests.installation import Installation

pytestmark = pytest.mark.anyio


def test_the_program_wants_the_newest_revision() -> None:
    config = Config()
    config.set_main_option("script_location", str(next(iter(migrations.__path__))))

    assert ScriptDirectory.from_config(config).get_current_head() == migrations.HEAD


async def test_the_revisions_make_exactly_the_tables_of_the_schema(installation: Installation) -> None:
    def differences(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), metadata))

    async with installation.registrar() as registrar:
        assert [] == await registrar.database.read(differences)
