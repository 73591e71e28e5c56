"""A service: one mounted dialect, and what tokens look like where it issues them."""

from datetime import timedelta
from enum import StrEnum

import msgspec


class Fact(StrEnum):
    """What a claim of a token can be filled with; texts, because those are looked up faster than other members."""

    SUBJECT = "subject"
    ROLES = "roles"
    ISSUED_AT_S = "issued_at_s"
    EXPIRES_AT_S = "expires_at_s"
    TOKEN_ID = "token_id"
    CREDENTIAL = "credential"
    CONFIRMATION = "confirmation"


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """The form of a dialect's tokens, as data.

    `header` is the exact JSON of the JOSE header; `claims` the payload's members in their order, each a fact of the
    token or a literal text. Every shape names SUBJECT, ISSUED_AT_S, EXPIRES_AT_S and CREDENTIAL. A token with
    CONFIRMATION is good only together with the certificate it was issued for (RFC 8705, section 3.1).
    """

    header: str
    claims: tuple[tuple[str, Fact | str], ...]

    def name_of(self, fact: Fact) -> str | None:
        """Return the claim that carries a fact."""
        for name, source in self.claims:
            if source is fact:
                return name
        return None


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """One mounted dialect: its name, where it answers, and its rules.

    `networks_required`: a client without registered networks may not call from anywhere, instead of from everywhere.
    `old_key_lives`: how long the previous API key works after a rotation; zero ends it at once, with its tokens.
    """

    name: str
    dialect: str
    shape: Shape
    path: str = ""
    host: str = ""
    token_lifetime: timedelta = timedelta(hours=24)
    requests_per_minute: int = 600
    old_key_lives: timedelta = timedelta(0)
    networks_required: bool = False
    expose_docs: bool = True
