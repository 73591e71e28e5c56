"""Why something is refused: a closed list in the core, which each dialect turns into its own words.

Nothing here knows a status code or a text of any vendor.
"""

from enum import StrEnum
from typing import Any


class Reason(StrEnum):
    """Every cause of a refusal. The caller never sees it; the audit log and `aldaba explain` do."""

    # What arrived cannot be used.
    MALFORMED = "malformed"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    TOO_LARGE = "too_large"
    PATH_UNKNOWN = "path_unknown"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    PEER_CONTRADICTORY = "peer_contradictory"

    # Who calls is not proven.
    CREDENTIAL_MISSING = "credential_missing"
    CLIENT_UNKNOWN = "client_unknown"
    CREDENTIAL_WRONG = "credential_wrong"
    CERTIFICATE_REFUSED = "certificate_refused"
    CERTIFICATE_NOT_REGISTERED = "certificate_not_registered"

    # Who calls is known and may not act now.
    PARTNER_SUSPENDED = "partner_suspended"
    CLIENT_DISABLED = "client_disabled"
    CREDENTIAL_REVOKED = "credential_revoked"
    CREDENTIAL_NOT_YET_VALID = "credential_not_yet_valid"
    CREDENTIAL_EXPIRED = "credential_expired"
    SERVICE_NOT_ALLOWED = "service_not_allowed"
    ADDRESS_NOT_ALLOWED = "address_not_allowed"

    # The token shown is not good.
    TOKEN_MISSING = "token_missing"
    TOKEN_UNPARSABLE = "token_unparsable"
    TOKEN_INCORRECT = "token_incorrect"
    TOKEN_CLAIMS = "token_claims"
    TOKEN_EXPIRED = "token_expired"
    TOKEN_REVOKED = "token_revoked"
    TOKEN_SUBJECT_UNKNOWN = "token_subject_unknown"
    TOKEN_BINDING = "token_binding"

    # Too often.
    TOO_MANY_FAILURES = "too_many_failures"
    TOO_MANY_REQUESTS = "too_many_requests"

    # The thing asked for.
    DEVICE_UNKNOWN = "device_unknown"

    # Ours.
    OVERLOADED = "overloaded"
    UNAVAILABLE = "unavailable"
    INTERNAL = "internal"


class Refusal(Exception):
    """A decision not to do what was asked.

    Args:
        reason: the cause, from the closed list.
        detail: what an operator needs to know; it goes to the audit log and never to the caller. No secrets.
        expected: what the failed check wanted, for `aldaba explain`.
        seen: what the failed check found, for `aldaba explain`.
        retry_after_s: whole seconds after which trying again makes sense.
        allow: the methods the path does answer, for a 405.
    """

    def __init__(
        self,
        reason: Reason,
        detail: str = "",
        *,
        expected: str = "",
        seen: str = "",
        retry_after_s: int | None = None,
        allow: tuple[str, ...] = (),
    ) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail
        self.expected = expected
        self.seen = seen
        self.retry_after_s = retry_after_s
        self.allow = allow
        # Filled in by the use case as far as it got, so that the event and the dialect's answer can name them.
        self.subject: Any = None


class StoreUnavailable(Exception):
    """The database did not answer in time or refused to work; nothing was acknowledged."""


class Overloaded(Exception):
    """The ledger holds as many waiting entries as it may; the caller should come back."""


class Damaged(StoreUnavailable):
    """The database is missing, damaged, or newer than this program; serving from it is refused."""


class Impossible(Exception):
    """What an operator asked for cannot be done; the text says why, in lower case, and what to do next."""
