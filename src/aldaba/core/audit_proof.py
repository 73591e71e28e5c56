"""Prove that the audit log is whole: nothing changed, removed, added or cut off (DESIGN 7)."""

import hmac
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection, Row

from aldaba.core.audit import REGISTRY_WRITER, START, checkpoint_message, link, seal
from aldaba.core.checkpoints import Checkpoint
from aldaba.core.proofs import Secrets
from aldaba.crypto import signing
from aldaba.model.events import Event
from aldaba.store import audit

_COLUMNS = Event.__struct_fields__


class Verdict(NamedTuple):
    """What was looked at, and every fault found; the log is whole when there is none."""

    chains: int
    events: int
    checkpoints: int
    faults: list[str]


def verify_log(connection: Connection, secrets: Secrets, kept: Iterable[Checkpoint] = ()) -> Verdict:
    """Read the whole log and return what is wrong with it.

    Args:
        kept: checkpoints from outside the database. With them, a log that was set back as a whole is noticed too.
    """
    public = signing.public_key(secrets.checkpoints)
    by_writer: dict[str, list[Checkpoint]] = {}
    for checkpoint in kept:
        by_writer.setdefault(checkpoint.writer, []).append(checkpoint)
    heads = {row.writer: row for row in audit.chains(connection)}
    faults = [f"{writer}: has events and no head" for writer in sorted(audit.writers(connection) - set(heads))]
    faults += [
        f"{writer}: a kept checkpoint names a chain that is gone" for writer in sorted(set(by_writer) - set(heads))
    ]
    if REGISTRY_WRITER not in heads:
        faults.append(f"{REGISTRY_WRITER}: the chain that all others are opened in is gone")

    events = checkpoints = 0
    opened: set[str] = set()
    for writer, head in heads.items():
        stored = [_from_row(row) for row in audit.checkpoints(connection, writer)]
        chain = _Chain(writer, secrets.audit_chain)
        links = {checkpoint.seq: "" for checkpoint in (*stored, *by_writer.get(writer, ()))}
        for row in audit.events_of(connection, writer):
            fault = chain.follow(row)
            if fault:
                faults.append(fault)
            if row.seq in links:
                links[row.seq] = chain.mac
            if writer == REGISTRY_WRITER and row.action == "audit.open":
                opened.add(msgspec.json.decode(row.detail)["writer"])
        events += chain.length
        faults += chain.end(head)
        faults += _checkpoint_faults((*stored, *by_writer.get(writer, ())), links, public)
        checkpoints += len(links)
    faults += [f"{writer}: its events and its head are gone" for writer in sorted(opened - set(heads))]
    return Verdict(len(heads), events, checkpoints, faults)


class _Chain:
    """One chain, as far as it has been read."""

    def __init__(self, writer: str, key: bytes) -> None:
        self.writer = writer
        self.length = 0
        self.mac = START
        self._key = key

    def follow(self, row: Row[Any]) -> str | None:
        """Go on by one event; return what is wrong with it."""
        expected_seq = self.length + 1
        columns: Sequence[Any] = [getattr(row, name) for name in _COLUMNS]
        expected = link(self._key, self.mac, self.writer, row.seq, columns)
        self.length, self.mac = row.seq, row.mac
        if row.seq != expected_seq:
            return f"{self.writer}: event {expected_seq} is missing before event {row.seq}"
        if not hmac.compare_digest(expected, row.mac):
            return f"{self.writer}: event {row.seq} or the one before it was changed"
        return None

    def end(self, head: Row[Any]) -> list[str]:
        """Compare with the sealed head; return what is wrong."""
        faults = []
        if not hmac.compare_digest(seal(self._key, self.writer, head.length, head.head), head.seal):
            faults.append(f"{self.writer}: the head was changed")
        if (head.length, head.head) != (self.length, self.mac):
            faults.append(f"{self.writer}: ends with event {self.length}, and the head says {head.length}")
        return faults


def _checkpoint_faults(checkpoints: Iterable[Checkpoint], links: dict[int, str], public: bytes) -> list[str]:
    faults = []
    for checkpoint in checkpoints:
        message = checkpoint_message(checkpoint.writer, checkpoint.seq, checkpoint.at_us, checkpoint.head)
        try:
            signing.verify_checkpoint(public, message, bytes.fromhex(checkpoint.signature))
        except (signing.WrongSignature, ValueError):
            faults.append(f"{checkpoint.writer}: the checkpoint at event {checkpoint.seq} is not signed by this key")
            continue
        if links[checkpoint.seq] != checkpoint.head:
            faults.append(f"{checkpoint.writer}: the log is not the one that was signed at event {checkpoint.seq}")
    return faults


def _from_row(row: Row[Any]) -> Checkpoint:
    return Checkpoint(row.writer, row.seq, row.at_us, row.head, row.signature)
