"""The tree of commands. Each noun is a module that is imported when the noun is used, and its help line stands here."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Group, Parameter

from aldaba.cli.help import PanelWriter
from aldaba.cli.terminal import Terminal

Output = Literal["table", "json"]

_RUNNING = Group.create_ordered("Install and run")
_ENTERING = Group.create_ordered("Who may enter")
_TOKENS = Group.create_ordered("Tokens and keys")
_LOOKING = Group.create_ordered("What happened")
_SHELL = Group.create_ordered("Your shell")
_EVERYWHERE = Group.create_ordered("Everywhere")

# (name, module, group, what it is)
COMMANDS = (
    ("init", "init", _RUNNING, "Make a new installation: configuration, master key, database, signing keys."),
    ("demo", "demo", _RUNNING, "Make an installation to try, with partners and credentials, and serve it."),
    ("serve", "serve", _RUNNING, "Serve."),
    ("migrate", "migrate", _RUNNING, "Bring the database up to this program's schema."),
    ("config", "config", _RUNNING, "The settings in force."),
    ("doctor", "doctor", _RUNNING, "Say what is wrong with this installation, and what to do."),
    ("restored", "restored", _RUNNING, "Refuse every token issued before now, after a backup was restored."),
    ("partner", "partner", _ENTERING, "The organisations that own clients."),
    ("client", "client", _ENTERING, "The machine identities of partners, and what they may do."),
    ("credential", "credential", _ENTERING, "The API keys and certificates that prove a client."),
    ("device", "device", _ENTERING, "The devices of a client's account."),
    ("token", "token", _TOKENS, "The tokens handed out."),
    ("keys", "keys", _TOKENS, "The keys that sign tokens."),
    ("audit", "audit", _LOOKING, "The audit log."),
    ("explain", "explain", _LOOKING, "Show each check of a request, and which one refused it."),
    ("completion", "completion", _SHELL, "Print the script that completes commands in your shell."),
)


@dataclass(frozen=True)
class Invocation:
    """A command line that was understood."""

    command: Callable[..., Any]
    arguments: inspect.BoundArguments
    # The parameter that takes the context, where the command has one.
    context: Sequence[str]
    config_file: Path | None
    output: Output

    def call(self, terminal: Terminal) -> Any:
        """Call the command; the result may be a coroutine."""
        # Help and completion need no context, and do not wait for its imports.
        from aldaba.cli.context import Context  # noqa: PLC0415

        given = {name: Context(terminal, self.config_file, self.output) for name in self.context}
        return self.command(*self.arguments.args, **self.arguments.kwargs, **given)


def read(terminal: Terminal, words: Sequence[str]) -> Invocation | None:
    """Find the command of these words and what is given to it; None where help was asked for, and given.

    Raises:
        CycloptsError: they are no command line of ours.
    """
    invocation: Invocation | None = command_line().meta(
        list(words),
        console=terminal.console(),
        exit_on_error=False,
        print_error=False,
        result_action="return_value",
    )
    return invocation


def command_line() -> App:
    """Build the tree."""
    app = App(
        name="aldaba",
        help="The access server for partner APIs: who may enter, with what, from where.",
        version=_version,
        default_parameter=Parameter(negative=(), show_default=False),
        help_format="plaintext",
        help_formatter=PanelWriter(),
    )
    for name, module, group, about in COMMANDS:
        app.command(f"aldaba.cli.{module}:app", name=name, help=about, group=group)
    for flag in (*app.help_flags, *app.version_flags):
        app[flag].group = _EVERYWHERE

    @app.meta.default
    def read_globals(
        *words: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
        config: Annotated[Path | None, Parameter(group=_EVERYWHERE)] = None,
        output: Annotated[Output, Parameter(group=_EVERYWHERE)] = "table",
    ) -> Invocation:
        """Take the options that every command has.

        Args:
            config: the configuration file; otherwise ALDABA_CONFIG, or aldaba.toml of the working folder.
            output: 'table' for people, 'json' for programs.
        """
        command, bound, left = app.parse_args(words, exit_on_error=False, print_error=False)
        return Invocation(command, bound, tuple(left), config, output)

    return app


def _version() -> str:
    # Only asked for by --version.
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415

    try:
        return f"aldaba {version('aldaba')}"
    except PackageNotFoundError:
        return "aldaba, run from its sources"
