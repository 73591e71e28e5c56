"""`aldaba serve`: serve until told to stop."""

from functools import partial

from cyclopts import App

from aldaba import server
from aldaba.cli.context import Cli, Context
from aldaba.cli.output import text_of
from aldaba.config import Config
from aldaba.server import Bound

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
    # Where nobody looks, standard error is the log's alone.
    ready = partial(_tell, cli, config) if cli.terminal.stderr.isatty() else None
    server.serve(config, ready=ready)


def _tell(cli: Context, config: Config, bound: Bound) -> None:
    places = {"requests": bound.public, "client certificates": bound.mtls, "metrics and health": bound.management}
    for what, sockets in places.items():
        if sockets:
            host, port = sockets[0].getsockname()[:2]
            cli.note(f"{what} on {host}, port {port}")
    names = text_of([service.name for service in config.services])
    cli.note(f"serving {names}; Ctrl-C stops it")
