"""Prove that the audit log is whole: nothing changed, removed, added or cut off (DESIGN 7)."""

import hmac
from collections.abc import Iterable, Mapping, Sequence
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
    # The heads first: what a running server adds meanwhile comes after them.
    heads = {row.writer: row for row in audit.chains(connection)}
    signed: dict[str, list[Checkpoint]] = {}
    # Those kept outside are mostly the same.
    for checkpoint in dict.fromkeys((*map(_from_row, audit.all_checkpoints(connection)), *kept)):
        signed.setdefault(checkpoint.writer, []).append(checkpoint)
    chains = {
        writer: _Chain(writer, secrets.audit_chain, {head.length, *(each.seq for each in signed.get(writer, ()))})
        for writer, head in heads.items()
    }
    faults, opened = _follow(connection, chains)

    for writer, head in heads.items():
        faults += chains[writer].end(head)
        faults += _checkpoint_faults(signed.get(writer, ()), chains[writer].links, public)
    if REGISTRY_WRITER not in heads:
        faults.append(f"{REGISTRY_WRITER}: the chain that all others are opened in is gone")
    # A process that has opened its chain since the heads were read may have nothing in it yet.
    gone = opened - set(heads) - {row.writer for row in audit.chains(connection)}
    faults += [f"{writer}: its events and its head are gone" for writer in sorted(gone)]
    faults += [
        f"{writer}: a kept checkpoint names a chain that is gone"
        for writer in sorted(set(signed) - set(heads) - opened)
    ]
    events = sum(chain.length for chain in chains.values())
    return Verdict(len(heads), events, sum(len(signed.get(writer, ())) for writer in heads), faults)


def _follow(connection: Connection, chains: Mapping[str, "_Chain"]) -> tuple[list[str], set[str]]:
    """Read all events once; return what is wrong with them, and the writers whose chains were opened."""
    faults: list[str] = []
    strangers: set[str] = set()
    opened: set[str] = set()
    for row in audit.all_events(connection):
        chain = chains.get(row.writer)
        if chain is None:
            strangers.add(row.writer)
            continue
        if fault := chain.follow(row):
            faults.append(fault)
        if row.writer == REGISTRY_WRITER and row.action == "audit.open":
            opened.add(msgspec.json.decode(row.detail)["writer"])
    # A process opens its chain before it writes; one that did so after the heads were read is no stranger.
    return [f"{writer}: has events and no head" for writer in sorted(strangers - opened)] + faults, opened - strangers


class _Chain:
    """One chain, as far as it has been read.

    Args:
        wanted: the places whose links are kept.
    """

    def __init__(self, writer: str, key: bytes, wanted: set[int]) -> None:
        self.writer = writer
        self.length = 0
        self.links = dict.fromkeys(wanted, "") | ({0: START} if 0 in wanted else {})
        self._mac = START
        self._key = key

    def follow(self, row: Row[Any]) -> str | None:
        """Go on by one event; return what is wrong with it."""
        expected_seq = self.length + 1
        columns: Sequence[Any] = [getattr(row, name) for name in _COLUMNS]
        expected = link(self._key, self._mac, self.writer, row.seq, columns)
        self.length, self._mac = row.seq, row.mac
        if row.seq in self.links:
            self.links[row.seq] = row.mac
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
        if self.length < head.length:
            faults.append(f"{self.writer}: ends with event {self.length}, and the head says {head.length}")
        elif self.links[head.length] != head.head:
            faults.append(f"{self.writer}: event {head.length} is not the one that the head was sealed over")
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
