"""Revocation is exact (DESIGN 3.1, threats E12): on every replica, from the answer to the revocation on.

Processes issue and check tokens without a pause while an operator revokes. Told by the clock that all processes of a
machine share, nothing that was asked for after a revocation was acknowledged may be granted; told by the audit log,
whose order is that of the commits, no token may be committed between a client's end and its return.
"""

import random
import threading
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from contextlib import ExitStack
from pathlib import Path
from time import monotonic_ns, sleep
from typing import BinaryIO, NamedTuple

import anyio
import pytest
from sqlalchemy import Connection, select

from aldaba.core.audit_proof import verify_log
from aldaba.core.clients import disable_client, enable_client
from aldaba.core.partners import resume_partner, suspend_partner
from aldaba.core.registrar import Registrar
from aldaba.core.tokens import revoke_handle
from aldaba.store.schema import event
from tests.installation import Installation, install, mobility_client
from tests.processes import running
from tests.store.serving import serve

pytestmark = pytest.mark.anyio

CLIENTS = 4


class Asked(NamedTuple):
    """A token asked for, or a check of the token of a handle."""

    client: int
    handle: str
    asked_ns: int
    answered_ns: int


class Told(NamedTuple):
    """What the serving processes have told."""

    granted: list[Asked]
    refused: list[Asked]
    # The tokens of a client that nobody has revoked yet.
    issued: dict[int, list[str]]


# What was done, to which client of which partner.
Committed = tuple[str, str | None, str | None]


class Ended(NamedTuple):
    """From the answer to a revocation until somebody begins to undo it: nothing may be granted to a client or token."""

    client: int
    handle: str | None
    from_ns: int
    until_ns: int


async def test_e12_revocation_is_exact_with_three_processes_on_postgresql(
    migrated_postgresql: str, tmp_path: Path
) -> None:
    await revoke_and_look(install(tmp_path, migrated_postgresql, with_authority=True), processes=3, revocations=500)


async def test_e12_revocation_is_exact_on_sqlite_with_the_operator_in_another_process(
    migrated_sqlite: str, tmp_path: Path
) -> None:
    await revoke_and_look(install(tmp_path, migrated_sqlite, with_authority=True), processes=1, revocations=1000)


@pytest.mark.soak
async def test_e12_ten_thousand_revocations_with_three_processes_on_postgresql(
    migrated_postgresql: str, tmp_path: Path
) -> None:
    await revoke_and_look(install(tmp_path, migrated_postgresql, with_authority=True), processes=3, revocations=10_000)


@pytest.mark.soak
async def test_e12_ten_thousand_revocations_on_sqlite_with_the_operator_in_another_process(
    migrated_sqlite: str, tmp_path: Path
) -> None:
    await revoke_and_look(install(tmp_path, migrated_sqlite, with_authority=True), processes=1, revocations=10_000)


async def revoke_and_look(installation: Installation, *, processes: int, revocations: int) -> None:
    told = Told([], [], defaultdict(list))
    async with installation.registrar() as registrar:
        for number in range(CLIENTS):
            certificate = installation.authority.client(f"client-{number}")
            certificate.write(
                installation.directory / f"client-{number}.pem", installation.directory / f"client-{number}.key"
            )
            await mobility_client(registrar, certificate, partner=f"partner-{number}")
        url = installation.settings.database.url.reveal()
        with ExitStack() as stack:
            servers, listeners = [], []
            for _ in range(processes):
                process, lines = stack.enter_context(running(serve, installation.directory, url, CLIENTS))
                servers.append(process)
                listeners.append(threading.Thread(target=listen, args=(lines, told)))
                listeners[-1].start()
            await anyio.to_thread.run_sync(until_all_issue, told)
            ended = await revoke(registrar, told, revocations)
            for process in servers:
                process.kill()
            for listener in listeners:
                listener.join()
        changes = await registrar.database.read(changes_in_order)
        log = await registrar.database.read(verify_log, registrar.secrets)

    kinds = Counter("token" if each.handle else "client" for each in ended)
    assert revocations == kinds.total()
    assert min(kinds.values()) > revocations / 4
    # Had nobody tried, nothing would be shown.
    assert len(asked_too_late(told.refused, ended)) > revocations / 4
    assert [] == asked_too_late(told.granted, ended)
    assert [] == issued_too_late(changes)
    assert [] == log.faults


def until_all_issue(told: Told) -> None:
    while any(not told.issued[number] for number in range(CLIENTS)):
        sleep(0.01)


def listen(lines: BinaryIO, told: Told) -> None:
    assert b"ready\n" == lines.readline()
    for line in lines:
        match line.decode().split():
            case _ if not line.endswith(b"\n"):
                # The process was killed while it told.
                return
            case ["issued", number, handle, *_]:
                told.issued[int(number)].append(handle)
            case [outcome, number, handle, asked_ns, answered_ns]:
                asked = told.granted if outcome == "granted" else told.refused
                asked.append(Asked(int(number), handle, int(asked_ns), int(answered_ns)))


async def revoke(registrar: Registrar, told: Told, revocations: int) -> list[Ended]:
    """Revoke clients, partners and tokens in turn, and let clients and partners return after a moment."""
    chance = random.Random(revocations)
    ended = []
    for number in range(revocations):
        client = number % CLIENTS
        tokens = told.issued[client]
        if tokens and chance.random() < 0.5:
            handle = tokens.pop()
            await revoke_handle(registrar, handle)
            ended.append(Ended(client, handle, monotonic_ns(), 2**63))
            continue
        stop, resume, name = STOPS[chance.randrange(len(STOPS))]
        await stop(registrar, name(client))
        from_ns = monotonic_ns()
        await anyio.sleep(chance.uniform(0.0, 0.004))
        ended.append(Ended(client, None, from_ns, monotonic_ns()))
        await resume(registrar, name(client))
    return ended


STOPS = (
    (disable_client, enable_client, "client-{}".format),
    (suspend_partner, resume_partner, "partner-{}".format),
)


def asked_too_late(asked: list[Asked], ended: list[Ended]) -> list[Asked]:
    """Return what was asked for after the answer to its revocation, and answered before that was undone."""
    tokens = {each.handle: each.from_ns for each in ended if each.handle is not None}
    late = [one for one in asked if one.asked_ns > tokens.get(one.handle, 2**63)]
    for number in range(CLIENTS):
        of_client = sorted((one for one in asked if one.client == number), key=lambda one: one.asked_ns)
        for each in ended:
            if each.client == number and each.handle is None:
                late += within(of_client, each)
    return late


def within(asked: list[Asked], ended: Ended) -> list[Asked]:
    first = bisect_right(asked, ended.from_ns, key=lambda one: one.asked_ns)
    last = bisect_left(asked, ended.until_ns, key=lambda one: one.asked_ns)
    return [one for one in asked[first:last] if one.answered_ns < ended.until_ns]


def changes_in_order(connection: Connection) -> list[Committed]:
    """Return (action, client, partner) of what was committed, in the order of the commits.

    An event is numbered while its transaction keeps changes of the registry out, or, being one, batches.
    """
    query = select(event.c.action, event.c.client, event.c.partner).where(event.c.outcome != "refused")
    return [(row.action, row.client, row.partner) for row in connection.execute(query.order_by(event.c.id))]


def issued_too_late(changes: list[Committed]) -> list[Committed]:
    """Return the tokens that were committed for those who had been ended and had not returned."""
    away: set[str | None] = set()
    late: list[Committed] = []
    for action, client, partner in changes:
        match action:
            case "client.disable":
                away.add(client)
            case "client.enable":
                away.discard(client)
            case "partner.suspend":
                away.add(partner)
            case "partner.resume":
                away.discard(partner)
            case "token.issue" if {client, partner} & away:
                late.append((action, client, partner))
    return late
