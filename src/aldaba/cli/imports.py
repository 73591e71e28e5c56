"""The report of an import: how many rows are good, which are refused and why; all of a file is taken over or none."""

from collections.abc import Awaitable, Callable

from aldaba.cli.context import Context
from aldaba.cli.failures import Told
from aldaba.cli.files import Reading
from aldaba.cli.output import counted, printable


async def take_over(
    cli: Context, reading: Reading, work: Callable[[], Awaitable[object]], *, what: str, known: int = 0, dry_run: bool
) -> None:
    """Do the work where every row is good and it is no dry run, and report.

    Args:
        what: what a row is, for people, in the singular.
        known: how many further rows have nothing to change.

    Raises:
        Told: rows were refused, so nothing was done.
    """
    good = len(reading.rows)
    refused = sorted(reading.refused, key=lambda row: int(row[0].split()[1]))
    if good and not refused and not dry_run:
        await work()
    lines = [printable(f"{place}: {why}") for place, why in refused]
    also = f", {known} known already" if known else ""
    if refused:
        lines.append(f"nothing was imported: {len(refused)} refused, {good} good{also}")
    elif dry_run:
        lines.append(f"{counted(good, what)} would be imported{also}; go on without --dry-run")
    else:
        lines.append(f"{counted(good, what)} imported{also}")
    report = {
        "imported": 0 if refused or dry_run else good,
        "good": good,
        "known": known,
        "refused": [{"place": place, "why": why} for place, why in refused],
        "dry_run": dry_run,
    }
    cli.done("\n".join(lines), report)
    if refused:
        raise Told
