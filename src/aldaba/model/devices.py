"""The devices of a client's account, as the fleet API lists them."""

from datetime import datetime

import msgspec


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """A tracked device. `min` is the Mobile Identity Number: the telephone number of its card."""

    id: str
    name: str | None = None
    description: str | None = None
    min: str | None = None
    tags: dict[str, str] | None = None
    expires_at: datetime | None = None
