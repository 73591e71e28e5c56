"""`aldaba audit`: what was decided and changed, and the proof that nobody changed what was written."""

import errno
import os
from pathlib import Path
from typing import Any, Literal

import msgspec
from cyclopts import App
from sqlalchemy import Row

from aldaba.cli.arguments import Limit, Past
from aldaba.cli.context import Cli, Context
from aldaba.cli.failures import Told
from aldaba.cli.output import Field, printable
from aldaba.core.audit_proof import Verdict, verify_log
from aldaba.core.checkpoints import Checkpoint, read_checkpoints
from aldaba.core.partners import find_partner
from aldaba.errors import Impossible
from aldaba.store.audit import list_events
from aldaba.store.columns import from_microseconds, to_microseconds

app = App(name="audit")

FIELDS = (
    Field("at"),
    Field("request_id"),
    Field("action"),
    Field("outcome"),
    Field("reason"),
    Field("service"),
    Field("client"),
    Field("address"),
    Field("operator"),
    Field("partner", listed=False),
    Field("credential", listed=False),
    Field("detail", listed=False),
    Field("writer", listed=False),
    Field("seq", listed=False),
)


@app.command(
    name="list",
    help_epilogue="""\
Example:
  aldaba audit list --since 24h --outcome refused
  aldaba audit list --client acme-fleet --since 2026-11-01 --output json""",
)
async def list_(
    *,
    since: Past = None,
    until: Past = None,
    client: str | None = None,
    partner: str | None = None,
    service: str | None = None,
    action: str | None = None,
    outcome: Literal["granted", "refused", "changed"] | None = None,
    reason: str | None = None,
    limit: Limit = 100,
    cli: Cli,
) -> None:
    """List events, newest first.

    Args:
        since: from this instant on; a span such as 24h means so long ago.
        until: before this instant; a span as above.
        client: of this client; for refusals the name that was claimed, as it was written.
        partner: of this partner.
        service: at this service.
        action: such as token.issue or client.add.
        outcome: how it ended.
        reason: why it was refused, such as credential_wrong.
        limit: how many at most (100 when not given).
    """
    async with cli.registrar() as registrar:
        owner = (await find_partner(registrar, partner)).id if partner else None
        found = await registrar.database.read(
            lambda connection: list_events(
                connection,
                limit=limit,
                since_us=to_microseconds(since) if since else None,
                until_us=to_microseconds(until) if until else None,
                client=client,
                partner=owner,
                service=service,
                action=action,
                outcome=outcome,
                reason=reason,
            )
        )
    cli.show_all(map(_record, found), FIELDS, none="there are no such events; fewer conditions find more")
    if len(found) == limit:
        cli.note("there may be older ones; --limit or --until shows them")


@app.command(
    help_epilogue="""\
Example:
  aldaba audit verify --checkpoints /mnt/elsewhere/checkpoints.jsonl

Ends with status 1 when anything is wrong. With checkpoints that were kept outside of the database, a log that was set
back as a whole is noticed too."""
)
async def verify(*, checkpoints: Path | None = None, cli: Cli) -> None:
    """Prove that no event was changed, removed, added or cut off.

    Args:
        checkpoints: signed checkpoints kept elsewhere; when not given, the file of audit.checkpoint_file.
    """
    kept = _kept(cli, checkpoints)
    async with cli.registrar() as registrar:
        verdict = await registrar.database.read(verify_log, registrar.secrets, kept)
    _tell(cli, verdict)


def _tell(cli: Context, verdict: Verdict) -> None:
    looked_at = f"{verdict.events} events in {verdict.chains} chains, {verdict.checkpoints} checkpoints"
    report = {
        "whole": not verdict.faults,
        "chains": verdict.chains,
        "events": verdict.events,
        "checkpoints": verdict.checkpoints,
        "faults": verdict.faults,
    }
    if not verdict.faults:
        cli.done(f"the audit log is whole: {looked_at}", report)
        return
    faults = "\n".join(printable(fault) for fault in verdict.faults)
    cli.done(f"{faults}\nthe audit log is not whole: {looked_at}", report)
    raise Told


def _kept(cli: Context, named: Path | None) -> list[Checkpoint]:
    configured = cli.config().audit.checkpoint_file
    file = configured if named is None else cli.terminal.folder / named
    if file is None:
        return []
    if not file.exists():
        if named is not None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(file))
        cli.note(f"audit.checkpoint_file {file} is not there; only the checkpoints in the database are compared")
    try:
        return read_checkpoints(file)
    except ValueError as error:
        raise Impossible(
            f"{file} holds something that is no checkpoint: {error}; restore it, or name a copy"
        ) from error


def _record(row: Row[Any]) -> dict[str, Any]:
    detail = msgspec.json.decode(row.detail)
    return {
        **row._asdict(),
        "at": from_microseconds(row.at_us),
        "detail": detail,
        "operator": detail.get("operator"),
    }
