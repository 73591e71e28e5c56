"""The signing keys of each service, unwrapped on first use and kept only in memory."""

from collections import OrderedDict
from datetime import datetime
from typing import Any

from aldaba.crypto import sealing
from aldaba.errors import Reason, Refusal
from aldaba.model.keys import KeyState, SigningKey
from aldaba.store.registry import RegistryView

TOKENS = "access-token"
SEALING = "signing-keys"
# Of each service; a token with what it says takes about a kilobyte.
TOKENS_KEPT = 5_000


class KeySet:
    """The keys of one service as the registry has them: the one that signs first, then all others that still check.

    Args:
        sealed: the entry of the registry view they were unwrapped from.
        keys: each with the instant at which it ends, if it does.
    """

    def __init__(self, sealed: tuple[SigningKey, ...], keys: tuple[tuple[bytes, datetime | None], ...]) -> None:
        self.sealed = sealed
        self._keys = keys
        # What tokens say whose signature held under one of these keys: it holds for as long as all of them do.
        self._verified: OrderedDict[str, Any] = OrderedDict()
        self._all_until = min((ends_at for _key, ends_at in keys if ends_at is not None), default=None)

    @property
    def signing(self) -> bytes:
        """The active key."""
        return self._keys[0][0]

    def accepted(self, at: datetime) -> list[bytes]:
        """Return the keys whose tokens are good at an instant, the active one first."""
        return [key for key, ends_at in self._keys if ends_at is None or at < ends_at]

    def verified(self, token: str, at: datetime) -> Any:
        """Return what was kept of a token, None where its signature has to be looked at."""
        if self._all_until is not None and at >= self._all_until:
            return None
        return self._verified.get(token)

    def keep(self, token: str, facts: Any) -> None:
        """Keep what a token says, now that its signature has held; the one kept longest makes room."""
        self._verified[token] = facts
        if len(self._verified) > TOKENS_KEPT:
            self._verified.popitem(last=False)


class Keyring:
    """Gives the keys of a service, as fresh as the registry view."""

    def __init__(self, view: RegistryView, sealing_key: bytes) -> None:
        self._view = view
        self._sealing_key = sealing_key
        self._sets: dict[str, KeySet] = {}

    async def of(self, service: str) -> KeySet:
        """Return the keys of a service.

        Raises:
            Refusal: `UNAVAILABLE` where it has no active key, or one that this master key does not open: a key is never
                made up on the way.
        """
        sealed = await self._view.get("keys", service)
        kept = self._sets.get(service)
        if kept is not None and kept.sealed is sealed:
            return kept
        in_use = sorted((key for key in sealed or () if key.purpose == TOKENS), key=_order)
        if not in_use or in_use[0].state is not KeyState.ACTIVE:
            raise Refusal(Reason.UNAVAILABLE, f"service {service} has no active signing key; see 'aldaba keys list'")
        try:
            keys = tuple((unwrap(self._sealing_key, key), key.ends_at) for key in in_use)
        except sealing.CannotUnseal as error:
            raise Refusal(
                Reason.UNAVAILABLE, f"the signing keys of service {service} were sealed under another master key"
            ) from error
        self._sets[service] = KeySet(sealed, keys)
        return self._sets[service]


def wrap(sealing_key: bytes, key: bytes, *, service: str, purpose: str, key_id: str) -> bytes:
    """Wrap a signing key for its place in the database, and for no other."""
    return sealing.seal(sealing_key, key, f"{service}/{purpose}/{key_id}")


def unwrap(sealing_key: bytes, key: SigningKey) -> bytes:
    """Unwrap a signing key.

    Raises:
        CannotUnseal: it was wrapped under another master key, or for another place.
    """
    return sealing.unseal(sealing_key, key.sealed, f"{key.service}/{key.purpose}/{key.id}")


def _order(key: SigningKey) -> int:
    return (KeyState.ACTIVE, KeyState.NEXT, KeyState.RETIRED).index(key.state)
