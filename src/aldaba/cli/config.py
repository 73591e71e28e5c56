"""`aldaba config`: the settings in force."""

from typing import Any

from cyclopts import App

from aldaba.cli.context import Cli
from aldaba.cli.output import printable, write_json
from aldaba.config import show as show_settings

app = App(name="config")


@app.command(
    help_epilogue="""\
Example:
  aldaba --config /etc/aldaba/aldaba.toml config check

Ends with status 3 when anything is wrong."""
)
def check(*, cli: Cli) -> None:
    """Read all settings and report every mistake, each with its place."""
    config = cli.config()
    place = cli.located() or "no file, so the defaults and the environment"
    services = [service.name for service in config.services]
    text = f"the configuration is good: {place}; services {', '.join(services)}"
    cli.done(text, {"file": cli.located(), "services": services})


@app.command(help_epilogue="Example:\n  aldaba config show --output json")
def show(*, cli: Cli) -> None:
    """Show every setting in force as a configuration file that says the same, with passwords masked."""
    tables = show_settings(cli.config())
    if cli.output == "json":
        write_json(cli.terminal, tables)
        return
    services = tables.pop("services")
    parts = [_table(name, table) for name, table in tables.items()]
    parts += [_table(f"services.{name}", table) for name, table in services.items()]
    cli.terminal.write("\n\n".join(parts))


def _table(name: str, table: dict[str, Any]) -> str:
    return "\n".join([f"[{name}]", *(f"{key} = {_toml(value)}" for key, value in table.items())])


def _toml(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case int():
            return str(value)
        case list():
            return "[" + ", ".join(_toml(item) for item in value) + "]"
    text = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{printable(text)}"'
