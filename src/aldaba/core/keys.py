"""The life of signing keys: made, announced, active, retired, gone."""

import secrets
from datetime import datetime, timedelta
from functools import partial

import msgspec

from aldaba.core.keyring import TOKENS, wrap
from aldaba.core.registrar import Note, Registrar
from aldaba.errors import Impossible
from aldaba.model.ids import new_id
from aldaba.model.keys import KeyState, SigningKey
from aldaba.store import clients, keys
from aldaba.store.database import Change

HS512 = "HS512"
KEY_BYTES = 64  # RFC 7518, section 3.2: as long as the hash


async def ensure_keys(registrar: Registrar) -> None:
    """Give each configured service its active and its next key, where they are missing."""
    have = {key.service for key in await registrar.database.read(keys.list_keys) if key.state is KeyState.ACTIVE}
    for service in sorted(set(registrar.services) - have):
        await registrar.change("keys.make", partial(_make, registrar, service))


def _make(registrar: Registrar, service: str, change: Change, note: Note) -> None:
    # Another process may have been first.
    if keys.load_keys(change.connection, service):
        return
    at = registrar.clock.now()
    for state in (KeyState.ACTIVE, KeyState.NEXT):
        keys.insert_key(change.connection, _new_key(registrar, service, state, at))
    change.touch(f"keys/{service}")
    note.service = service


async def rotate_keys(registrar: Registrar, service: str, *, compromised: bool = False) -> None:
    """Make the announced key of a service the active one, and announce another.

    The old key goes on checking until the last token it signed has ended. Keys that have ended are deleted.

    Args:
        compromised: somebody else may have the keys: all there were, the announced one too, end now with their tokens.

    Raises:
        Impossible: there is no such service, or it has no keys.
    """
    if service not in registrar.services:
        raise Impossible(
            f"there is no service {service!r}; the configuration has {', '.join(sorted(registrar.services))}"
        )

    def work(change: Change, note: Note) -> None:
        at = registrar.clock.now()
        longest = max(registrar.services[service].token_lifetime, clients.longest_lifetime(change.connection))
        held = keys.load_keys(change.connection, service)
        if not held:
            raise Impossible(f"service {service!r} has no keys yet; 'aldaba serve' makes them")
        for key in held:
            if compromised:
                keys.delete_key(change.connection, key.id)
            else:
                _turn(change, key, at, at + longest + timedelta(seconds=1))
        for state in (KeyState.ACTIVE, KeyState.NEXT) if compromised else (KeyState.NEXT,):
            keys.insert_key(change.connection, _new_key(registrar, service, state, at))
        change.touch(f"keys/{service}")
        note.service = service
        note.detail = {"compromised": compromised}

    await registrar.change("keys.rotate", work)


def _turn(change: Change, key: SigningKey, at: datetime, ends_at: datetime) -> None:
    match key.state:
        case KeyState.NEXT:
            turned = msgspec.structs.replace(key, state=KeyState.ACTIVE, activated_at=at)
            keys.update_key(change.connection, turned)
        case KeyState.ACTIVE:
            turned = msgspec.structs.replace(key, state=KeyState.RETIRED, retired_at=at, ends_at=ends_at)
            keys.update_key(change.connection, turned)
        case KeyState.RETIRED:
            if key.ends_at is not None and key.ends_at <= at:
                keys.delete_key(change.connection, key.id)


def _new_key(registrar: Registrar, service: str, state: KeyState, at: datetime) -> SigningKey:
    key_id = new_id()
    return SigningKey(
        id=key_id,
        service=service,
        purpose=TOKENS,
        algorithm=HS512,
        state=state,
        sealed=wrap(
            registrar.secrets.sealing, secrets.token_bytes(KEY_BYTES), service=service, purpose=TOKENS, key_id=key_id
        ),
        created_at=at,
        activated_at=at if state is KeyState.ACTIVE else None,
    )
