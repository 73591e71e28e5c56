"""What a command works with: the terminal, the configuration, the registry, and who is at work."""

import os
import pwd
import socket
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from aldaba.cli.commands import Output
from aldaba.cli.output import Field, Record, write_json, write_record, write_records
from aldaba.cli.terminal import Terminal

if TYPE_CHECKING:
    from aldaba.config import Config
    from aldaba.core.registrar import Registrar

OPERATOR_VARIABLE = "ALDABA_OPERATOR"


@dataclass(frozen=True)
class Context:
    """Handed to every command."""

    terminal: Terminal
    config_file: Path | None
    output: Output

    # -- what it works on ---------------------------------------------------------------------------------------------

    def config(self, settings: Mapping[str, str] | None = None) -> "Config":
        """Return the configuration.

        Args:
            settings: further `ALDABA_*` variables, from options that stand for a setting.

        Raises:
            ConfigError: with every mistake there is.
        """
        # Settings bring the database drivers along: commands without a configuration do not wait for them.
        from aldaba.config import load  # noqa: PLC0415

        environ = {name: text for name, text in self.terminal.environ.items() if name != OPERATOR_VARIABLE}
        return load(self.located(), environ | dict(settings or {}))

    def located(self) -> Path | None:
        """Return the configuration file that is in force, None without one."""
        from aldaba.config import locate  # noqa: PLC0415 - as above

        named = self.config_file or locate(self.terminal.environ, self.terminal.folder)
        return None if named is None else self.terminal.folder / named

    @asynccontextmanager
    async def registrar(self) -> AsyncIterator["Registrar"]:
        """Open the database for the operator.

        Raises:
            ConfigError, Damaged, StoreUnavailable, MasterKeyError: with what to do.
        """
        from aldaba.cli.log import log_to  # noqa: PLC0415 - as above
        from aldaba.server import open_registrar  # noqa: PLC0415 - as above

        log_to(self.terminal.stderr)
        async with open_registrar(self.config(), self.operator()) as registrar:
            yield registrar

    def operator(self) -> str:
        """Return who is at work, for the audit log: the account and host, behind the person where one is named.

        `ALDABA_OPERATOR`, or `SUDO_USER`, can say who it is, and cannot hide which account did it.
        """
        from aldaba.core.partners import require_name  # noqa: PLC0415 - as above

        account = f"{_account()}@{socket.gethostname()}"
        person = self.terminal.environ.get(OPERATOR_VARIABLE) or self.terminal.environ.get("SUDO_USER")
        return f"{require_name(person)} ({account})" if person else account

    # -- what it says -------------------------------------------------------------------------------------------------

    def note(self, text: str) -> None:
        """Tell the person something that is no part of the result."""
        self.terminal.note(text)

    def show(self, record: Record, fields: Sequence[Field]) -> None:
        """Print one record."""
        if self.output == "json":
            write_json(self.terminal, _picked(record, fields))
        else:
            write_record(self.terminal, record, fields)

    def show_all(self, records: Iterable[Record], fields: Sequence[Field], *, none: str) -> None:
        """Print records; where there are none, say to the person what would make one."""
        found = list(records)
        if self.output == "json":
            write_json(self.terminal, [_picked(record, fields) for record in found])
            return
        write_records(self.terminal, found, fields)
        if not found:
            self.note(none)

    def done(self, text: str, record: Record, fields: Sequence[Field] = ()) -> None:
        """Say what was done: in words, or as the record of what it was done to."""
        if self.output == "json":
            write_json(self.terminal, _picked(record, fields) if fields else dict(record))
        else:
            self.terminal.write(text)


# How a command asks for it: `cli: Cli`, by name, so that no word of the command line can become it.
Cli = Annotated[Context, Parameter(parse=False)]


def _picked(record: Record, fields: Sequence[Field]) -> dict[str, Any]:
    return {field.name: record[field.name] for field in fields}


def _account() -> str:
    # From the system and not from LOGNAME, which everybody sets as they like.
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid-{os.getuid()}"
