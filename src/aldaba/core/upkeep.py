"""What a process does beside requests: gives up on what waits too long, writes notes of use, follows the registry.

Nothing here decides: were it to stop, every decision would still be right.
"""

import asyncio
from datetime import timedelta

import structlog

from aldaba.core import Core
from aldaba.core.checkpoints import CheckpointFile
from aldaba.core.limits import THIS_ONE_FAILED
from aldaba.errors import Reason, StoreUnavailable
from aldaba.model import networks
from aldaba.model.networks import parse_address
from aldaba.model.parties import canonical_name
from aldaba.store import audit

log = structlog.get_logger()

# How often what waits is looked at; a caller waits for the store's time limit and this at most.
TICK_S = 0.25
TICKS_PER_NOTE = 4
# From this difference to the system's clock on, somebody should look at it (threats K6).
CLOCK_ALARM = timedelta(seconds=5)

FAILURES = (Reason.CLIENT_UNKNOWN.value, Reason.CREDENTIAL_WRONG.value)
# So many of the latest refusals are looked at, so that a flood of them does not keep a process from starting.
RESTORED = 100_000


async def upkeep(core: Core, timeout_s: float, kept: CheckpointFile | None) -> None:
    """Run until cancelled.

    Args:
        kept: where checkpoints are kept outside the database.
        timeout_s: how long the store may take before those who wait for it are told that it is not available.
    """
    tick = 0
    notes: asyncio.Task[None] | None = None
    try:
        while True:
            await asyncio.sleep(TICK_S)
            core.ledger.expire(timeout_s)
            core.view.expire(timeout_s)
            tick += 1
            if tick % TICKS_PER_NOTE == 0 and (notes is None or notes.done()):
                notes = asyncio.create_task(_note(core, kept))
    finally:
        # What is being written is written, before the connections are closed.
        if notes is not None:
            await asyncio.wait([notes])


async def _note(core: Core, kept: CheckpointFile | None) -> None:
    if core.clock.behind() > CLOCK_ALARM:
        log.error("the system's clock was set back; going on with the time before", behind=str(core.clock.behind()))
    if core.trust.follow():
        log.info("anchors or revocation lists have changed")
    try:
        # So that the ledger never has to read a long list of changes.
        await core.view.fresh()
        await core.usage.flush()
        if kept is not None:
            await kept.follow(core.database)
    except StoreUnavailable as error:
        log.warning("the database is not available", error=str(error))
    except (OSError, ValueError) as error:
        log.error("audit.checkpoint_file cannot be read or written", error=str(error))


async def restore_failures(core: Core) -> None:
    """Take over the failures of the last day from the audit log: a restart gives nobody new tries (threats B7)."""
    day_ago_us = core.clock.now_us() - 86_400_000_000
    rows = await core.database.read(audit.failures_since, day_ago_us, FAILURES, THIS_ONE_FAILED, RESTORED)
    found: dict[tuple[str, str, str], tuple[int, int]] = {}
    for row in rows:
        # Spellings of one name, and addresses of one network, count together as they did before.
        key = (row.service, canonical_name(row.client), networks.prefix_of(parse_address(row.address)))
        failures, last_us = found.get(key, (0, 0))
        found[key] = (failures + row.failures, max(last_us, row.at_us))
    # The latest ones last: when there are more than the counters hold, the oldest are forgotten.
    for (service, name, network), (failures, last_us) in sorted(found.items(), key=lambda item: item[1][1]):
        await core.limits.restore(service, name, network, failures, last_us / 1_000_000)
