"""Partners, clients and credentials."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from aldaba.model.networks import Network
from aldaba.model.parties import (
    Client,
    ClientStatus,
    Credential,
    CredentialKind,
    CredentialStatus,
    Partner,
    PartnerStatus,
    canonical_name,
)
from aldaba.store.schema import client, credential, credential_use, partner

# -- read -------------------------------------------------------------------------------------------------------------


def load_partner(connection: Connection, partner_id: str) -> Partner | None:
    """Return the partner of that id."""
    row = connection.execute(select(partner).where(partner.c.id == partner_id)).one_or_none()
    return None if row is None else _partner(row)


def partner_named(connection: Connection, name: str) -> Partner | None:
    """Return the partner of exactly that name."""
    row = connection.execute(select(partner).where(partner.c.name == name)).one_or_none()
    return None if row is None else _partner(row)


def list_partners(connection: Connection, *, limit: int, after: str = "") -> list[Partner]:
    """Return partners by name, from after that one on."""
    rows = connection.execute(select(partner).where(partner.c.name > after).order_by(partner.c.name).limit(limit))
    return [_partner(row) for row in rows]


def load_client(connection: Connection, name: str) -> Client | None:
    """Return the client whose canonical name that is, with all its credentials."""
    row = connection.execute(select(client).where(client.c.canonical_name == name)).one_or_none()
    return None if row is None else _client(row, credentials_of(connection, row.id))


def client_of_credential(connection: Connection, credential_id: str) -> Client | None:
    """Return the client that a credential belongs to."""
    row = connection.execute(select(client).join(credential).where(credential.c.id == credential_id)).one_or_none()
    return None if row is None else _client(row, credentials_of(connection, row.id))


def list_clients(connection: Connection, *, limit: int, after: str = "", partner_id: str | None = None) -> list[Client]:
    """Return clients by canonical name, from after that one on, without their credentials."""
    query = select(client).where(client.c.canonical_name > after).order_by(client.c.canonical_name).limit(limit)
    if partner_id is not None:
        query = query.where(client.c.partner_id == partner_id)
    return [_client(row, ()) for row in connection.execute(query)]


def longest_lifetime(connection: Connection) -> timedelta:
    """Return the longest token lifetime that a client has as its own setting; zero when none has one."""
    seconds = connection.execute(select(func.max(client.c.token_lifetime_s))).scalar_one()
    return timedelta(seconds=seconds or 0)


def last_end_of_tokens(connection: Connection) -> datetime | None:
    """Return the latest instant before which a client's tokens were ended."""
    end: datetime | None = connection.execute(select(func.max(client.c.tokens_not_before_at))).scalar_one()
    return end


def credentials_of(connection: Connection, client_id: str) -> tuple[Credential, ...]:
    """Return a client's credentials of every version and state, newest first."""
    rows = connection.execute(
        select(credential)
        .where(credential.c.client_id == client_id)
        .order_by(credential.c.kind, credential.c.version.desc())
    )
    return tuple(_credential(row) for row in rows)


def last_used(connection: Connection, credential_ids: Sequence[str]) -> dict[str, datetime]:
    """Return when each of these credentials last proved something; those never used are left out."""
    rows = connection.execute(select(credential_use).where(credential_use.c.credential_id.in_(credential_ids)))
    return {row.credential_id: row.last_used_at for row in rows}


# -- write ------------------------------------------------------------------------------------------------------------


def insert_partner(connection: Connection, new: Partner) -> None:
    """Add a partner; its name is unique."""
    connection.execute(
        insert(partner).values(
            id=new.id,
            name=new.name,
            tax_id=new.tax_id,
            contacts=new.contacts,
            status=new.status.value,
            created_at=new.created_at,
        )
    )


def set_partner_status(connection: Connection, partner_id: str, status: PartnerStatus) -> None:
    """Suspend or resume a partner."""
    connection.execute(update(partner).where(partner.c.id == partner_id).values(status=status.value))


def insert_client(connection: Connection, new: Client) -> None:
    """Add a client, without credentials; the canonical form of its name is unique."""
    connection.execute(insert(client).values(id=new.id, created_at=new.created_at, **_client_columns(new)))


def update_client(connection: Connection, changed: Client) -> None:
    """Write a client's settings and status as they are in `changed`."""
    connection.execute(update(client).where(client.c.id == changed.id).values(**_client_columns(changed)))


def insert_credential(connection: Connection, new: Credential) -> None:
    """Add a credential; (client, kind, version) is unique."""
    connection.execute(
        insert(credential).values(
            id=new.id,
            client_id=new.client_id,
            kind=new.kind.value,
            version=new.version,
            created_at=new.created_at,
            hint=new.hint,
            digest=new.digest,
            key_sha256=new.key_sha256,
            issuer_key_sha256=new.issuer_key_sha256,
            certificate=new.certificate,
            not_before_at=new.not_before_at,
            not_after_at=new.not_after_at,
            status=new.status.value,
            revoked_at=new.revoked_at,
        )
    )


def end_credential(connection: Connection, credential_id: str, *, not_after_at: datetime) -> None:
    """Let a credential end by itself at an instant."""
    connection.execute(update(credential).where(credential.c.id == credential_id).values(not_after_at=not_after_at))


def revoke_credential(connection: Connection, credential_id: str, *, at: datetime) -> None:
    """Revoke a credential for good."""
    connection.execute(
        update(credential)
        .where(credential.c.id == credential_id)
        .values(status=CredentialStatus.REVOKED.value, revoked_at=at)
    )


# -- rows -------------------------------------------------------------------------------------------------------------


def _partner(row: Row[Any]) -> Partner:
    return Partner(
        id=row.id,
        name=row.name,
        tax_id=row.tax_id,
        contacts=tuple(row.contacts),
        status=PartnerStatus(row.status),
        created_at=row.created_at,
    )


def _client(row: Row[Any], credentials: tuple[Credential, ...]) -> Client:
    return Client(
        id=row.id,
        partner_id=row.partner_id,
        name=row.name,
        services=tuple(row.services),
        networks=None if row.networks is None else tuple(Network.parse(text) for text in row.networks),
        roles=tuple(row.roles),
        status=ClientStatus(row.status),
        token_lifetime=None if row.token_lifetime_s is None else timedelta(seconds=row.token_lifetime_s),
        requests_per_minute=row.requests_per_minute,
        tokens_not_before_at=row.tokens_not_before_at,
        created_at=row.created_at,
        credentials=credentials,
    )


def _client_columns(value: Client) -> dict[str, Any]:
    lifetime = value.token_lifetime
    return {
        "partner_id": value.partner_id,
        "name": value.name,
        "canonical_name": canonical_name(value.name),
        "services": value.services,
        "networks": None if value.networks is None else [str(network) for network in value.networks],
        "roles": value.roles,
        "status": value.status.value,
        "token_lifetime_s": None if lifetime is None else int(lifetime.total_seconds()),
        "requests_per_minute": value.requests_per_minute,
        "tokens_not_before_at": value.tokens_not_before_at,
    }


def _credential(row: Row[Any]) -> Credential:
    return Credential(
        id=row.id,
        client_id=row.client_id,
        kind=CredentialKind(row.kind),
        version=row.version,
        status=CredentialStatus(row.status),
        hint=row.hint,
        digest=row.digest,
        key_sha256=row.key_sha256,
        issuer_key_sha256=row.issuer_key_sha256,
        certificate=row.certificate,
        not_before_at=row.not_before_at,
        not_after_at=row.not_after_at,
        created_at=row.created_at,
        revoked_at=row.revoked_at,
    )
