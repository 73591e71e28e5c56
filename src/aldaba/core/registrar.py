"""Changes of the registry: one transaction with its event, by a named operator, effective at the next request."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec
from sqlalchemy.exc import IntegrityError

from aldaba.core.audit import REGISTRY_WRITER, START, EventChain, seal
from aldaba.core.clock import Clock
from aldaba.core.proofs import Secrets
from aldaba.crypto.certificates import Policy
from aldaba.errors import Damaged, Impossible
from aldaba.model.events import Event, Outcome
from aldaba.model.ids import new_id
from aldaba.model.services import Service
from aldaba.store import audit
from aldaba.store.database import Change, Database

T = TypeVar("T")

_encode = msgspec.json.Encoder().encode


@dataclass
class Note:
    """What the event of a change says of it."""

    service: str | None = None
    partner: str | None = None
    client: str | None = None
    credential: str | None = None
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Registrar:
    """Who may change the registry: an operator at the database, by name.

    Args:
        operator: who it is, for the audit log.
        services: the configured services, by name.
        policy: what client certificates must be.
    """

    database: Database
    clock: Clock
    secrets: Secrets
    operator: str
    services: Mapping[str, Service]
    policy: Policy = field(default_factory=Policy)

    async def change(self, action: str, work: Callable[[Change, Note], T]) -> T:
        """Do `work` and record it as one event, both or neither.

        Raises:
            Impossible: the names or ids in it are taken.
        """

        def run(change: Change) -> T:
            note = Note()
            result = work(change, note)
            self._record(change, action, note)
            return result

        try:
            return await self.database.change(run)
        except IntegrityError as error:
            raise Impossible("this name or id is taken already; list what there is and choose another") from error

    async def open_writer(self, writer: str) -> None:
        """Begin the chain of a process, and record that, so that a chain that vanishes as a whole is missed."""

        def work(change: Change, note: Note) -> None:
            head = (writer, 0, START, seal(self.secrets.audit_chain, writer, 0, START))
            audit.open_chain(change.connection, head)
            note.detail = {"writer": writer}

        await self.change("audit.open", work)

    def _record(self, change: Change, action: str, note: Note) -> None:
        event = Event(
            self.clock.now_us(),
            new_id(),
            action,
            Outcome.CHANGED.value,
            None,
            note.service,
            note.partner,
            note.client,
            note.credential,
            None,
            _encode({"operator": self.operator, **note.detail}).decode(),
        )
        chain = self._chain(change)
        rows = chain.link([event])
        columns = ("writer", "seq", *Event.__struct_fields__, "mac")
        events = [dict(zip(columns, row, strict=True)) for row in rows]
        audit.append(change.connection, events, chain.head(), chain.sign())

    def _chain(self, change: Change) -> EventChain:
        # Changes are serial, so the head that this transaction reads is the last one.
        length, head, found = audit.read_head(change.connection, REGISTRY_WRITER) or (0, START, None)
        chain = EventChain(
            REGISTRY_WRITER,
            self.secrets.audit_chain,
            self.secrets.checkpoints,
            checkpoint_every=1,
            length=length,
            head=head,
        )
        if found is not None and chain.head()[3] != found:
            raise Damaged("the head of the audit log is not sealed with this master key; see 'aldaba audit verify'")
        return chain
