"""What the audit log says of one decision."""

from enum import StrEnum

import msgspec


class Outcome(StrEnum):
    """How a decision ended."""

    GRANTED = "granted"
    REFUSED = "refused"
    CHANGED = "changed"


class Event(msgspec.Struct, frozen=True, array_like=True):
    """One entry of the audit log, in the order in which its columns are chained.

    `at_us` is UTC microseconds since 1970; `detail` is a JSON object as text, without secrets.
    """

    at_us: int
    request_id: str
    action: str
    outcome: str
    reason: str | None
    service: str | None
    partner: str | None
    client: str | None
    credential: str | None
    address: str | None
    detail: str
