"""`aldaba restored`: what must happen after a backup was restored (threats K7)."""

from cyclopts import App

from aldaba.cli.context import Cli
from aldaba.cli.token import end_all

app = App(
    name="restored",
    help_epilogue="""\
Example:
  aldaba restored

A backup does not know what was revoked after it was made; run this before serving from it. Keys and clients that were
revoked since then must be revoked again.""",
)


@app.default
async def restored(*, cli: Cli) -> None:
    """Refuse every token issued before now, after a backup was restored."""
    await end_all(cli)
