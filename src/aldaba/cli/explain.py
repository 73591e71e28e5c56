"""`aldaba explain`: why a request was answered as it was."""

from typing import Any

from cyclopts import App

from aldaba.cli.context import Cli, Context
from aldaba.cli.output import NOTHING, printable, text_of, write_json
from aldaba.core.explain import Explanation, Step
from aldaba.core.explain import explain as explain_request

app = App(
    name="explain",
    help_epilogue="""\
Example:
  aldaba explain 0197f0c5-6c1e-7aa2-8f0e-3f1f5f0a9b11""",
)


@app.default
async def explain(request_id: str, /, *, cli: Cli) -> None:
    """Show each check of a request, and which one refused it.

    Args:
        request_id: what the answer had in X-Request-Id, or 'aldaba audit list' shows.
    """
    async with cli.registrar() as registrar:
        found = await explain_request(registrar, request_id)
    if cli.output == "json":
        write_json(cli.terminal, [_record(one) for one in found])
        return
    for one in found:
        _write(cli, one)


def _record(one: Explanation) -> dict[str, Any]:
    return one._asdict() | {"steps": [step._asdict() for step in one.steps]}


def _write(cli: Context, one: Explanation) -> None:
    reason = f": {one.reason.replace('_', ' ')}" if one.reason else ""
    where = f" at {one.service}" if one.service else ""
    source = f" from {one.address}" if one.address else ""
    _line(cli, f"{text_of(one.at)}  {one.action}{where}{source}: {one.outcome}{reason}")
    for name in ("client", "partner", "credential", "detail"):
        if getattr(one, name):
            _line(cli, f"  {name} {getattr(one, name)}")
    for step in one.steps:
        _write_step(cli, step)


def _write_step(cli: Context, step: Step) -> None:
    _line(cli, f"  {'✓' if step.passed else '✗'} {step.question}")
    if not step.passed:
        _line(cli, f"      expected  {step.expected or NOTHING}")
        _line(cli, f"      seen      {step.seen or NOTHING}")


def _line(cli: Context, text: str) -> None:
    cli.terminal.write(printable(text))
