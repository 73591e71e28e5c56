"""The one schema, for both engines.

`registry` and `registry_change` carry the registry version: every change of what decisions rest on increments it in
its own transaction and names the entries it touched (DESIGN 3.1).
"""

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from aldaba.store.columns import Instant, Json

metadata = MetaData()

# SQLite makes a self-numbering key of INTEGER only.
Serial = BigInteger().with_variant(Integer, "sqlite")

registry = Table(
    "registry",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("version", BigInteger, nullable=False),
    # Tokens issued before this instant are refused everywhere: set when a backup has been restored (threats K7).
    Column("tokens_not_before_at", Instant),
)

registry_change = Table(
    "registry_change",
    metadata,
    Column("version", BigInteger, nullable=False),
    Column("entry", Text, nullable=False),
    PrimaryKeyConstraint("version", "entry"),
)

partner = Table(
    "partner",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("tax_id", Text),
    Column("contacts", Json, nullable=False),
    Column("status", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
)

client = Table(
    "client",
    metadata,
    Column("id", Text, primary_key=True),
    Column("partner_id", Text, ForeignKey("partner.id"), nullable=False, index=True),
    Column("name", Text, nullable=False),
    # The canonical form: two spellings of one name are one account.
    Column("canonical_name", Text, nullable=False, unique=True),
    Column("services", Json, nullable=False),
    # NULL: any address; an empty list: none.
    Column("networks", Json),
    Column("roles", Json, nullable=False),
    Column("status", Text, nullable=False),
    Column("token_lifetime_s", Integer),
    Column("requests_per_minute", Integer),
    Column("tokens_not_before_at", Instant),
    Column("created_at", Instant, nullable=False),
)

credential = Table(
    "credential",
    metadata,
    Column("id", Text, primary_key=True),
    Column("client_id", Text, ForeignKey("client.id"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("status", Text, nullable=False),
    Column("hint", Text, nullable=False),
    Column("digest", LargeBinary),
    Column("key_sha256", Text),
    Column("issuer_key_sha256", Text),
    Column("certificate", Text),
    Column("not_before_at", Instant),
    Column("not_after_at", Instant),
    Column("created_at", Instant, nullable=False),
    Column("revoked_at", Instant),
    UniqueConstraint("client_id", "kind", "version"),
)

# Beside the registry, so that noting a use does not move the registry version, and is never refused for what it says.
credential_use = Table(
    "credential_use",
    metadata,
    Column("credential_id", Text, primary_key=True),
    Column("last_used_at", Instant, nullable=False),
)

signing_key = Table(
    "signing_key",
    metadata,
    Column("id", Text, primary_key=True),
    Column("service", Text, nullable=False, index=True),
    Column("purpose", Text, nullable=False),
    Column("algorithm", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("activated_at", Instant),
    Column("retired_at", Instant),
    Column("ends_at", Instant),
)

revoked_token = Table(
    "revoked_token",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("revoked_at", Instant, nullable=False),
    Column("ends_at", Instant, nullable=False),
)

device = Table(
    "device",
    metadata,
    Column("client_id", Text, ForeignKey("client.id"), nullable=False),
    Column("id", Text, nullable=False),
    Column("name", Text),
    Column("description", Text),
    Column("min", Text),
    Column("tags", Json),
    Column("expires_at", Instant),
    PrimaryKeyConstraint("client_id", "id"),
)

usage = Table(
    "usage",
    metadata,
    Column("client_id", Text, nullable=False),
    Column("day", Text, nullable=False),
    Column("requests", BigInteger, nullable=False),
    PrimaryKeyConstraint("client_id", "day"),
)

event = Table(
    "event",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("writer", Text, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Column("request_id", Text, nullable=False, index=True),
    Column("action", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("reason", Text),
    Column("service", Text),
    Column("partner", Text),
    Column("client", Text),
    Column("credential", Text),
    Column("address", Text),
    Column("detail", Text, nullable=False),
    Column("mac", Text, nullable=False),
    # The brute-force counters are rebuilt from these at start; granted events do not pay for it.
    Index(
        "ix_event_refused",
        "at_us",
        sqlite_where=text("outcome = 'refused'"),
        postgresql_where=text("outcome = 'refused'"),
    ),
)

# The head of each writer's chain, sealed, so that a cut-off tail is noticed.
audit_chain = Table(
    "audit_chain",
    metadata,
    Column("writer", Text, primary_key=True),
    Column("length", BigInteger, nullable=False),
    Column("head", Text, nullable=False),
    Column("seal", Text, nullable=False),
)

audit_checkpoint = Table(
    "audit_checkpoint",
    metadata,
    Column("writer", Text, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("at_us", BigInteger, nullable=False, index=True),
    Column("head", Text, nullable=False),
    Column("signature", Text, nullable=False),
    PrimaryKeyConstraint("writer", "seq"),
)
