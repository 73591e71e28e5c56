"""`aldaba doctor`: look at everything an installation stands on, and say of each what is wrong and what to do."""

from collections.abc import AsyncIterator

from cyclopts import App

from aldaba.cli.context import Cli, Context
from aldaba.cli.doctor import files, registry, surroundings
from aldaba.cli.doctor.findings import SIGNS, Finding, good, wrong
from aldaba.cli.failures import Told
from aldaba.cli.log import log_to
from aldaba.cli.output import printable, write_json
from aldaba.config import Config, ConfigError

app = App(
    name="doctor",
    help_epilogue="""\
Example:
  aldaba doctor
  aldaba doctor --output json

It changes nothing and may run beside the server. Ends with status 1 when something is wrong; advice alone is 0.""",
)


@app.default
async def doctor(*, cli: Cli) -> None:
    """Say what is wrong with this installation, and what to do."""
    log_to(cli.terminal.stderr)
    findings = []
    async for finding in _look(cli):
        findings.append(finding)
        if cli.output == "table":
            _write(cli, finding)
    if cli.output == "json":
        write_json(cli.terminal, [finding._asdict() for finding in findings])
    else:
        levels = [finding.level for finding in findings]
        cli.terminal.write(f"{levels.count('wrong')} wrong, {levels.count('advice')} to think about")
    if any(finding.level == "wrong" for finding in findings):
        raise Told


async def _look(cli: Context) -> AsyncIterator[Finding]:
    try:
        config = cli.config()
    except ConfigError as error:
        for problem in error.problems:
            yield wrong(str(problem), "correct the setting; docs/settings.md describes it")
        return
    yield good(f"the configuration can be used: {cli.located() or 'no file, only defaults and the environment'}")
    for finding in _around(cli, config):
        yield finding
    yield await surroundings.counters(config)
    async for finding in registry.look(config):
        yield finding


def _around(cli: Context, config: Config) -> list[Finding]:
    return [*files.look(config, cli.located()), *surroundings.look(config)]


def _write(cli: Context, finding: Finding) -> None:
    cli.terminal.write(printable(f"{SIGNS[finding.level]} {finding.what}"))
    if finding.todo:
        cli.terminal.write(printable(f"    {finding.todo}"))
