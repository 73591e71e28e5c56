"""The command line of the operator: `aldaba NOUN VERB`, over the same use cases as everything else.

Nothing heavy is imported before a command is known, so that help and completion come at once.
"""

import os
import sys

from aldaba.cli.run import run_command
from aldaba.cli.terminal import Terminal

__all__ = ["main"]


def main() -> None:
    """Run the command of this process's arguments and exit with its status."""
    # The database, keys and checkpoints this process makes are for its owner alone (threats J5).
    os.umask(0o077)
    terminal = Terminal.of_this_process()
    status = run_command(terminal, sys.argv[1:])
    terminal.close()
    sys.exit(status)
