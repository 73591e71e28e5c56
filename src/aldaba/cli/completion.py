"""`aldaba completion`: the script that completes commands in a shell."""

from typing import Literal

from cyclopts import App

from aldaba.cli.commands import command_line
from aldaba.cli.context import Cli

app = App(
    name="completion",
    help_epilogue="""\
Example:
  aldaba completion bash > ~/.local/share/bash-completion/completions/aldaba
  aldaba completion zsh > ~/.zfunc/_aldaba
  aldaba completion fish > ~/.config/fish/completions/aldaba.fish""",
)


@app.default
def completion(shell: Literal["bash", "zsh", "fish"], /, *, cli: Cli) -> None:
    """Print the script that completes commands in your shell.

    Args:
        shell: which shell it is for.
    """
    cli.terminal.write(command_line().generate_completion(prog_name="aldaba", shell=shell).rstrip("\n"))
