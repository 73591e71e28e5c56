"""`aldaba migrate`: from an older schema to this program's."""

from cyclopts import App

from aldaba.cli.context import Cli
from aldaba.store.database import Database, engine_for, prepare_database
from aldaba.store.migrations import current_revision

app = App(
    name="migrate",
    help_epilogue="""\
Example:
  aldaba migrate

Make a backup and stop the server first: an older program refuses to serve from a newer schema.""",
)


@app.default
async def migrate(*, cli: Cli) -> None:
    """Bring the database up to this program's schema."""
    url = cli.config().database.url.reveal()
    before = await revision_of(url)
    await prepare_database(url)
    after = await revision_of(url)
    text = f"the database has schema {after}" + (", as before" if before == after else f"; it had {before or 'none'}")
    cli.done(text, {"before": before, "after": after})


async def revision_of(url: str) -> str | None:
    """Return the schema version of the database, None where it has no schema.

    Raises:
        Damaged: there is no database: migrating makes none.
    """
    engine = engine_for(url)
    engine.check_present()
    database = Database(engine)
    try:
        return await database.read(current_revision)
    finally:
        await database.close()
