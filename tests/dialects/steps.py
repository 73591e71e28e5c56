"""What recorded exchanges can ask for in words: clients in every state, tokens of every kind, ways to connect."""

import base64
import hashlib
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from aldaba.core.clients import client_entry, disable_client, enable_client, find_client, set_networks
from aldaba.core.credentials import add_api_key, revoke_credential, rotate_api_key
from aldaba.core.devices import put_devices
from aldaba.core.keyring import wrap
from aldaba.core.partners import suspend_partner
from aldaba.core.registrar import Note, Registrar
from aldaba.core.tokens import revoke_token
from aldaba.crypto.certificates.issued import Issued
from aldaba.errors import Reason
from aldaba.model.devices import Device
from aldaba.store import clients, keys
from aldaba.store.database import Change
from tests.dialects.stage import Stage
from tests.served import Connection, NoAnswer, Served, from_now, in_seconds

# -- clients ----------------------------------------------------------------------------------------------------------


def _account(stage: Stage, **settings: Any) -> None:
    stage.is_client(stage.served.fleet_client(**settings))


def _account_with_devices(stage: Stage) -> None:
    _account(stage)
    vans = [
        Device(id="van-2", name="Van 2", min="+34600100202", tags={"plate": "1202KLM", "crew": "Núñez"}),
        Device(id="van-3", expires_at=datetime(2020, 1, 1, tzinfo=UTC)),
        Device(
            id="van-1",
            name="Van 1",
            description="Madrid, city centre",
            min="+34600100201",
            tags={},
            expires_at=datetime(2099, 12, 31, 23, 59, 59, 500_000, tzinfo=UTC),
        ),
    ]
    stage.operate(lambda registrar: put_devices(registrar, stage.account.name, vans))


def _another_account(stage: Stage) -> None:
    other = stage.served.fleet_client()
    stage.operate(lambda registrar: put_devices(registrar, other.name, [Device(id="truck-9")]))


def _beacon(stage: Stage, **settings: Any) -> None:
    services = ("use-case-17", "use-case-12")
    stage.is_client(stage.served.mobility_client(**{"services": services, **settings}))


def _beacon_behind_proxy(stage: Stage) -> None:
    stage.moves("behind a proxy")
    _beacon(stage)
    stage.shows_nothing()


# -- what happens to them ---------------------------------------------------------------------------------------------


def _partner_suspended(stage: Stage) -> None:
    partner = stage.account.partner if stage.fleet else stage.beacon.partner
    stage.operate(lambda registrar: suspend_partner(registrar, partner))


def _client_disabled(stage: Stage) -> None:
    stage.operate(lambda registrar: disable_client(registrar, stage.name))


def _client_enabled(stage: Stage) -> None:
    stage.operate(lambda registrar: enable_client(registrar, stage.name))


def _credential_revoked(stage: Stage) -> None:
    credential = stage.account.credential if stage.fleet else stage.beacon.credential
    stage.operate(lambda registrar: revoke_credential(registrar, credential))


def _elsewhere_only(stage: Stage) -> None:
    stage.operate(lambda registrar: set_networks(registrar, stage.name, ["192.0.2.0/24"]))


def _key_replaced(stage: Stage) -> None:
    new = stage.operate(lambda registrar: rotate_api_key(registrar, stage.name))
    stage.values["old key"], stage.values["key"] = stage.values["key"], new.secret.reveal()


def _key_from_tomorrow(stage: Stage) -> None:
    new = stage.operate(lambda registrar: add_api_key(registrar, stage.name, not_before_at=from_now(days=1)))
    stage.values["key"] = new.secret.reveal()


def _key_expired(stage: Stage) -> None:
    async def end(registrar: Registrar) -> None:
        client = await find_client(registrar, stage.name)

        def work(change: Change, _note: Note) -> None:
            clients.end_credential(change.connection, stage.account.credential, not_after_at=from_now(seconds=-1))
            change.touch(client_entry(client))

        await registrar.change("credential.end", work)

    stage.operate(end)


# -- tokens -----------------------------------------------------------------------------------------------------------


def claims_of(stage: Stage, **changes: Any) -> dict[str, Any]:
    """Return the claims of a good token of the recording's client, with changes; None takes a claim away."""
    now = datetime.now(UTC)
    claims: dict[str, Any] = {"sub": stage.name, "iat": in_seconds(now), "exp": in_seconds(now + timedelta(hours=1))}
    if stage.fleet is not None:
        claims |= {"jti": "made by a test", "cred": stage.fleet.credential}
    else:
        thumbprint = _thumbprint(stage.beacon.certificate)
        claims |= {"jti": "CMobility3.0", "authorities": ["ROLE_USER"], "cred": stage.beacon.credential}
        claims |= {"cnf": {"x5t#S256": thumbprint}}
    return {name: value for name, value in {**claims, **changes}.items() if value is not None}


def _thumbprint(certificate: Issued) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(certificate.der).digest()).rstrip(b"=").decode()


def _signed(stage: Stage, service: str = "", **changes: Any) -> None:
    service = service or ("fleet" if stage.fleet else "use-case-17")
    stage.values["token"] = stage.served.sign(service, claims_of(stage, **changes))


def _token_expired(stage: Stage) -> None:
    now = in_seconds(datetime.now(UTC))
    _signed(stage, iat=now - 3600, exp=now)


def _token_revoked(stage: Stage) -> None:
    stage.operate(lambda registrar: revoke_token(registrar, stage.values["token"]))


def _token_changed(stage: Stage) -> None:
    head, _, signature = stage.values["token"].rpartition(".")
    stage.values["token"] = f"{head}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}"


# -- ways to connect --------------------------------------------------------------------------------------------------


def _another_certificate(stage: Stage) -> None:
    """Register a second client, and show its certificate."""
    other = stage.served.mobility_client(services=("use-case-17", "use-case-12"))
    stage.shows(other.certificate)


def _unregistered_certificate(stage: Stage) -> None:
    """Show a certificate of the same authority with the same CN, but another key."""
    stage.shows(stage.served.authority.client(stage.name))


def _unknown_name(stage: Stage) -> None:
    stage.shows(stage.served.authority.client("nobody registered me"))


def _two_names(stage: Stage) -> None:
    stage.shows(stage.served.authority.client([stage.name, "another name"]))


def _no_purpose(stage: Stage) -> None:
    key = stage.beacon.certificate.key
    stage.shows(stage.served.authority.client(stage.name, key=key, extended_key_usage=None))


# -- trouble of our own -----------------------------------------------------------------------------------------------


def _locked(stage: Stage) -> None:
    stage.undo.enter_context(_locked_database(stage.served))


@contextmanager
def _locked_database(served: Served) -> Iterator[None]:
    connection = sqlite3.connect(served.directory / "aldaba.db", isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()


def _crowded(stage: Stage) -> None:
    """Let requests wait at a locked database: one is being written, and one waits, which is as many as may."""
    _locked(stage)
    for _ in range(2):
        connection = stage.undo.enter_context(stage.served.connect())
        connection.socket.sendall(b"GET /fleet/api/devices HTTP/1.1\r\nHost: localhost\r\n\r\n")
        # The next one is sent when this one is under way.
        time.sleep(0.05)
        thread = threading.Thread(target=_forget, args=(connection,))
        thread.start()
        stage.undo.callback(thread.join)


def _forget(connection: Connection) -> None:
    try:
        connection.receive()
    except (NoAnswer, OSError):
        return


def _broken_keys(stage: Stage, service: str, *, foreign: bool = False) -> None:
    async def damage(registrar: Registrar) -> None:
        sealing = b"of another master key, 32 bytes." if foreign else registrar.secrets.sealing

        def work(change: Change, _note: Note) -> None:
            for key in keys.load_keys(change.connection, service):
                # Sealed as it should be, and too short to sign with: nobody foresees that.
                broken = wrap(sealing, b"short", service=service, purpose=key.purpose, key_id=key.id)
                keys.update_key(change.connection, msgspec.structs.replace(key, sealed=broken))
            change.touch(f"keys/{service}")

        await registrar.change("keys.damage", work)

    stage.operate(damage)


STEPS: dict[str, Callable[[Stage], None]] = {
    # clients of the fleet dialect
    "a client with an API key": _account,
    "a client with an API key, two active devices and one that has expired": _account_with_devices,
    "a client that may make two requests a minute": lambda stage: _account(stage, requests_per_minute=2),
    "a client of another service": lambda stage: _account(stage, services=("fleet-trial",)),
    "a client of the service at a host of its own": lambda stage: _account(stage, services=("fleet-host",)),
    "a client whose tokens live for ten minutes": lambda stage: _account(stage, token_lifetime=timedelta(minutes=10)),
    "another client with the device truck-9": _another_account,
    # clients of the mobility dialect
    "a client with a certificate, of use-case-17 and use-case-12": _beacon,
    "a client with a certificate, of use-case-12 only": lambda stage: _beacon(stage, services=("use-case-12",)),
    "a client with a certificate and without registered networks": lambda stage: _beacon(stage, networks=None),
    "a client with a certificate that may make one request a minute": lambda stage: _beacon(
        stage, requests_per_minute=1
    ),
    "a client with a certificate and the roles ROLE_USER and ROLE_ADMIN": lambda stage: _beacon(
        stage, roles=("ROLE_USER", "ROLE_ADMIN")
    ),
    "a client with a certificate, behind a trusted proxy": _beacon_behind_proxy,
    # what happens to them
    "the partner is suspended": _partner_suspended,
    "the client is disabled": _client_disabled,
    "the client is enabled again": _client_enabled,
    "the API key is revoked": _credential_revoked,
    "the certificate is revoked in the registry": _credential_revoked,
    "the client may call from 192.0.2.0/24 only": _elsewhere_only,
    "a new API key replaces the old one": _key_replaced,
    "its API key is good from tomorrow on": _key_from_tomorrow,
    "the API key has expired": _key_expired,
    # tokens
    "a token that expires this second": _token_expired,
    "a token without `exp`": lambda stage: _signed(stage, exp=None),
    "a token whose `exp` is text": lambda stage: _signed(stage, exp="tomorrow"),
    "a token of a client that is not registered": lambda stage: _signed(stage, sub="nobody"),
    "a token of ours, as if it could be had": _signed,
    "a token of fleet-trial": lambda stage: _signed(stage, service="fleet-trial"),
    "the token is revoked": _token_revoked,
    "one character of the signature is another one": _token_changed,
    # ways to connect
    "the public port, without TLS": lambda stage: stage.shows_nothing(),
    "mutual TLS, with the certificate of the client": lambda stage: stage.shows(stage.beacon.certificate),
    "mutual TLS, from 127.0.0.77": lambda stage: stage.shows(stage.beacon.certificate, source="127.0.0.77"),
    "mutual TLS, without a certificate": lambda stage: stage.shows(None),
    "mutual TLS, with the certificate of another client": _another_certificate,
    "mutual TLS, with a certificate of the same authority and name that is not registered": _unregistered_certificate,
    "mutual TLS, with a certificate whose name is not registered": _unknown_name,
    "mutual TLS, with a certificate of two names": _two_names,
    "mutual TLS, with a certificate that does not say what it is for": _no_purpose,
    # bodies
    "a body of 65,537 bytes": lambda stage: stage.values.update(filler="x" * 65_537),
    # trouble of our own
    "an installation with a full queue": lambda stage: stage.moves("strained"),
    "two others wait, and more may not": _crowded,
    "the database is held by somebody else": _locked,
    "the signing keys of fleet-broken are damaged": lambda stage: _broken_keys(stage, "fleet-broken"),
    "the signing keys of use-case-99 are damaged": lambda stage: _broken_keys(stage, "use-case-99"),
    "the signing keys of fleet-sealed are those of another master key": lambda stage: _broken_keys(
        stage, "fleet-sealed", foreign=True
    ),
    "a client of fleet-sealed": lambda stage: _account(stage, services=("fleet-sealed",)),
    "a client of fleet-broken": lambda stage: _account(stage, services=("fleet-broken",)),
    "a client of use-case-99": lambda stage: _beacon(stage, services=("use-case-99",)),
}

# Why no exchange of a dialect shows these.
NOT_TO_BE_PROVOKED: dict[str, dict[Reason, str]] = {
    "fleet": {
        Reason.CREDENTIAL_MISSING: "an API key that is missing is a member that is missing: malformed",
        Reason.CERTIFICATE_REFUSED: "no certificates in this dialect",
        Reason.CERTIFICATE_NOT_REGISTERED: "no certificates in this dialect",
        Reason.TOKEN_BINDING: "tokens of this dialect are bound to no certificate",
    },
    "mobility": {
        Reason.UNSUPPORTED_MEDIA_TYPE: "no call takes a body",
        Reason.CREDENTIAL_WRONG: "no secrets in this dialect; another key is a certificate that is not registered",
        Reason.TOO_MANY_FAILURES: "there is nothing to guess: a certificate's key was proven in the handshake",
        Reason.CREDENTIAL_NOT_YET_VALID: "a certificate has its own dates, and is refused by them",
        Reason.CREDENTIAL_EXPIRED: "a certificate has its own dates, and is refused by them",
        Reason.DEVICE_UNKNOWN: "no devices in this dialect",
    },
}
