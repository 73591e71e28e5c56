"""Schema versions, by Alembic. A program refuses a database that is behind it or ahead of it (threats J6, K3)."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import Connection

from aldaba.errors import Damaged


def migrate(connection: Connection) -> None:
    """Bring the schema up to this program's version, in the open transaction."""
    config = _config()
    config.attributes["connection"] = connection
    _refuse_newer(connection)
    command.upgrade(config, "head")


def current_revision(connection: Connection) -> str | None:
    """Return the schema version of the database, None for an empty one."""
    return MigrationContext.configure(connection).get_current_revision()


def head_revision() -> str | None:
    """Return the schema version of this program."""
    return ScriptDirectory.from_config(_config()).get_current_head()


def require_current(connection: Connection) -> None:
    """Raise `Damaged` unless the schema is exactly this program's."""
    current = current_revision(connection)
    if current is None:
        raise Damaged("the database has no schema; run 'aldaba init'")
    _refuse_newer(connection)
    if current != head_revision():
        raise Damaged(f"the database has schema {current}, this program wants {head_revision()}; run 'aldaba migrate'")


def _refuse_newer(connection: Connection) -> None:
    current = current_revision(connection)
    try:
        ScriptDirectory.from_config(_config()).get_revision(current) if current else None
    except CommandError as error:
        raise Damaged(f"the database has schema {current}, made by a newer program; use that one") from error


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    return config
