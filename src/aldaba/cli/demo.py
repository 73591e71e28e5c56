"""`aldaba demo`: everything to try it out, in one command."""

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from aldaba import demo as demonstration
from aldaba.cli.context import Cli

app = App(
    name="demo",
    help_epilogue="""\
Example:
  aldaba demo --dir var/demo

It prints lines to paste. Started again, it goes on with what is there.""",
)


@app.default
def demo(
    *,
    directory: Annotated[Path, Parameter(name="--dir")],
    port: int = 8080,
    mtls_port: int = 8443,
    management_port: int = 9080,
    cli: Cli,
) -> None:
    """Make an installation to try, with partners and credentials, and serve it.

    Args:
        directory: where everything of it is kept.
        port: the public port (8080 when not given).
        mtls_port: the port that asks for client certificates (8443 when not given).
        management_port: the port of metrics and health (9080 when not given).
    """
    demonstration.run(cli.terminal.folder / directory, port, mtls_port, management_port)
