"""`aldaba serve`: serve until told to stop."""

from cyclopts import App

from aldaba import server
from aldaba.cli.context import Cli

app = App(
    name="serve",
    help_epilogue="""\
Example:
  aldaba serve --config /etc/aldaba/aldaba.toml

SIGTERM or Ctrl-C stops it: what was accepted is answered first.""",
)


@app.default
def serve(*, workers: int | None = None, cli: Cli) -> None:
    """Serve.

    Args:
        workers: how many processes; more than one needs PostgreSQL and shared counters. When not given, server.workers.
    """
    config = cli.config({} if workers is None else {"ALDABA_SERVER_WORKERS": str(workers)})
    server.serve(config)
