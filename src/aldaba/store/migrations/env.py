"""Runs Alembic's revisions on the connection it was handed."""

from alembic import context

from aldaba.store.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
