"""Signing keys and their life: next, active, retired."""

from datetime import datetime
from enum import StrEnum

import msgspec


class KeyState(StrEnum):
    """A key is announced (next), signs (active), and then only checks (retired) until its last token has ended."""

    NEXT = "next"
    ACTIVE = "active"
    RETIRED = "retired"


class SigningKey(msgspec.Struct, frozen=True, kw_only=True):
    """A wrapped key of one service and one purpose; the endpoint chooses it, the token never does."""

    id: str
    service: str
    purpose: str
    algorithm: str
    state: KeyState
    sealed: bytes
    created_at: datetime
    activated_at: datetime | None = None
    retired_at: datetime | None = None
    ends_at: datetime | None = None

    def __repr__(self) -> str:
        return f"SigningKey(id={self.id!r}, service={self.service!r}, state={self.state!r})"
