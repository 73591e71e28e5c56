"""The verbs, one use case per file; this is what they all need, wired by hand in `server.py`."""

from dataclasses import dataclass

from aldaba.core.clock import Clock
from aldaba.core.keyring import Keyring
from aldaba.core.limits import Limits
from aldaba.core.proofs import Secrets
from aldaba.core.trust import Trust
from aldaba.core.usage import UsageNotes
from aldaba.store.database import Database
from aldaba.store.ledger import Ledger
from aldaba.store.registry import RegistryView


@dataclass(frozen=True)
class Core:
    """The parts of one serving process."""

    clock: Clock
    database: Database
    view: RegistryView
    ledger: Ledger
    keyring: Keyring
    limits: Limits
    usage: UsageNotes
    secrets: Secrets
    trust: Trust
    record_checks: bool = False
