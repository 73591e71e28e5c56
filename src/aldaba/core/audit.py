"""The audit log: every decision is an event, and the events of each writer are one chain.

A link is HMAC-SHA256 over the link before and the event's columns. The head of each chain is sealed with its length, so
that a cut-off tail shows; signed checkpoints, kept elsewhere, show even a database that was set back as a whole.
"""

import hmac
import json
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from aldaba.core import Core
from aldaba.crypto import hashing, signing
from aldaba.errors import Reason, Refusal, StoreUnavailable
from aldaba.model.calls import Call
from aldaba.model.events import Event, Outcome
from aldaba.model.networks import Address

# The chain that changes of the registry are recorded in, whichever process makes them.
REGISTRY_WRITER = "registry"
START = "0" * 64
# So many commits without an answer are remembered; any of them may turn out to have happened.
UNANSWERED = 16

# An API key or a token that stands where neither belongs: in a path, a host, a media type, a name. Also when it is cut.
_MISPLACED = re.compile(r"(?:[a-z][a-z0-9]{1,15}_[0-9A-Za-z]{20,}|eyJ[\w-]{9,}\.[\w.-]+)")
_MASK = "(a secret)"

_encode = msgspec.json.Encoder().encode


# -- events -----------------------------------------------------------------------------------------------------------


def granted(core: Core, call: Call, detail: Mapping[str, Any]) -> Event:
    """Return the event of a decision to do what was asked."""
    return _event(core, call, Outcome.GRANTED, None, detail)


async def record_refusal(core: Core, call: Call, refusal: Refusal) -> None:
    """Record a refusal; it may be told once this returns.

    Raises:
        Overloaded, StoreUnavailable: it could not be recorded.
    """
    parts = {"detail": refusal.detail, "expected": refusal.expected, "seen": refusal.seen}
    detail = {name: _without_secrets(text) for name, text in parts.items() if text}
    call.known.client = _claimed(call.known.client)
    await core.ledger.write(_event(core, call, Outcome.REFUSED, refusal.reason.value, detail))


async def record_arrival(
    core: Core, request_id: str, address: str, reason: Reason, detail: str, *, action: str = "arrival"
) -> None:
    """Record what was refused before it was known which service it is for.

    Raises:
        Overloaded, StoreUnavailable: it could not be recorded.
    """
    columns = (core.clock.now_us(), request_id, action, Outcome.REFUSED.value, reason.value)
    text = _encode({"detail": _without_secrets(detail)[:500]}).decode()
    event = Event(*columns, None, None, None, None, address, text)
    await core.ledger.write(event)


def _without_secrets(text: str) -> str:
    return _MISPLACED.sub(_MASK, text)


def _claimed(name: str | None) -> str | None:
    # A name is what the caller says it is: perhaps a key, pasted into the wrong field, or the text of a book.
    if name is None:
        return None
    shown = _MISPLACED.sub(lambda found: found[0] if _is_a_name(found[0]) else _MASK, name)[:200]
    # One event is one line, whatever a name holds, and the database takes it (threats J4).
    return (
        shown
        if shown.isprintable()
        else "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in shown)
    )


def _is_a_name(text: str) -> bool:
    # A client may well be called like half of a key, and the log must say who it was.
    return not text.startswith("eyJ") and not hashing.has_valid_checksum(text)


def _event(core: Core, call: Call, outcome: Outcome, reason: str | None, detail: Mapping[str, Any]) -> Event:
    known = call.known
    return Event(
        core.clock.now_us(),
        call.id,
        call.action,
        outcome.value,
        reason,
        call.service.name,
        known.partner,
        known.client,
        known.credential,
        _text(call.peer.address),
        _encode({**detail, "ignored_headers": known.ignored} if known.ignored else detail).decode(),
    )


@lru_cache(maxsize=4096)
def _text(address: Address) -> str:
    return str(address)


# -- the chain --------------------------------------------------------------------------------------------------------


def link(key: bytes, before: str, writer: str, seq: int, columns: Sequence[Any]) -> str:
    """Return the link of one event: 64 hexadecimal digits.

    Args:
        before: the link of the event before it, `START` for the first.
        columns: the event's columns in the order of `Event`.
    """
    keyed = _keyed(key).copy()
    keyed.update(before.encode() + _encode((writer, seq, *columns)))
    return keyed.hexdigest()


@lru_cache(maxsize=4)
def _keyed(key: bytes) -> hmac.HMAC:
    return hmac.new(key, digestmod="sha256")


def seal(key: bytes, writer: str, length: int, head: str) -> str:
    """Return the seal over the head of a chain."""
    return hmac.digest(key, f"head {writer} {length} {head}".encode(), "sha256").hex()


def checkpoint_message(writer: str, seq: int, at_us: int, head: str) -> bytes:
    """Return what a checkpoint signs."""
    return json.dumps({"writer": writer, "seq": seq, "at_us": at_us, "head": head}, sort_keys=True).encode()


class EventChain:
    """The chain of one writer, as the ledger writes it on. See `aldaba.store.ledger.Chain`.

    Args:
        checkpoint_every: after so many events a checkpoint is signed.
    """

    def __init__(
        self,
        writer: str,
        key: bytes,
        checkpoint_seed: bytes,
        *,
        checkpoint_every: int,
        length: int = 0,
        head: str = START,
    ) -> None:
        self.writer = writer
        self.length = length
        self.last = head
        self._key = key
        self._seed = checkpoint_seed
        self._every = checkpoint_every
        # Where the chain may stand in the database, by its last link; after lost answers there are several places.
        self._ends = {head: length}
        self._linked = (length, head)
        self._last_us = 0
        self._since_checkpoint = 0

    def link(self, events: Sequence[Event]) -> list[tuple[Any, ...]]:
        """Return the rows of the next events."""
        seq, mac = self.length, self.last
        rows = []
        for event in events:
            seq += 1
            columns = msgspec.structs.astuple(event)
            mac = link(self._key, mac, self.writer, seq, columns)
            rows.append((self.writer, seq, *columns, mac))
        self._linked = (seq, mac)
        self._ends = {self.last: self.length, **dict(list(self._ends.items())[-UNANSWERED:]), mac: seq}
        self._last_us = events[-1].at_us
        return rows

    def head(self) -> tuple[str, int, str, str]:
        """Return (writer, length, head, seal) as of the last `link`."""
        length, mac = self._linked
        return self.writer, length, mac, seal(self._key, self.writer, length, mac)

    def checkpoint(self) -> tuple[str, int, int, str, str] | None:
        """Return (writer, seq, at_us, head, signature) when one is due as of the last `link`."""
        length, _mac = self._linked
        return self.sign() if self._since_checkpoint + length - self.length >= self._every else None

    def sign(self) -> tuple[str, int, int, str, str]:
        """Return a checkpoint as of the last `link`."""
        length, mac = self._linked
        message = checkpoint_message(self.writer, length, self._last_us, mac)
        return self.writer, length, self._last_us, mac, signing.sign_checkpoint(self._seed, message).hex()

    def advance(self, last: str) -> None:
        """Take over what a `link` made that ended with this link: it is committed.

        Raises:
            StoreUnavailable: none did; somebody else has written this chain on, or set it back.
        """
        length = self._ends.get(last)
        if length is None:
            raise StoreUnavailable(
                f"the chain {self.writer} is not where this process left it; see 'aldaba audit verify'"
            )
        if last == self.last:
            return
        self._since_checkpoint += length - self.length
        if self._since_checkpoint >= self._every:
            self._since_checkpoint = 0
        self.length, self.last = length, last
        self._ends = {last: length}
