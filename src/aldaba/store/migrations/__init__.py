"""Schema versions, by Alembic. A program refuses a database that is behind it or ahead of it (threats J6, K3)."""

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from aldaba.errors import Damaged

# The schema version of this program; a test compares it with the revisions.
HEAD = "0001"


def migrate(connection: Connection) -> None:
    """Bring the schema up to this program's version, in the open transaction."""
    # A serving process does not migrate, and need not hold the tool for it in memory.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["connection"] = connection
    _refuse_newer(current_revision(connection))
    command.upgrade(config, "head")


def current_revision(connection: Connection) -> str | None:
    """Return the schema version of the database, None for an empty one."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()


def require_current(connection: Connection) -> None:
    """Raise `Damaged` unless the schema is exactly this program's."""
    current = current_revision(connection)
    if current is None:
        raise Damaged("the database has no schema; run 'aldaba init'")
    _refuse_newer(current)
    if current != HEAD:
        raise Damaged(f"the database has schema {current}, this program wants {HEAD}; run 'aldaba migrate'")


def _refuse_newer(current: str | None) -> None:
    versions = {file.stem.partition("_")[0] for file in (Path(__file__).parent / "versions").glob("[0-9]*.py")}
    if current is not None and current not in versions:
        raise Damaged(f"the database has schema {current}, made by a newer program; use that one")
