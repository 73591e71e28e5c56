"""What each reason means to a caller: the sentences of the documents, and where a reason can occur.

An answer never says which of its causes it was; that is in the audit log, for `aldaba explain`.
"""

from collections.abc import Mapping
from typing import Any

from aldaba.core.explain import checks_of
from aldaba.errors import Reason
from aldaba.web.routes import Dialect, Route

CAUSES: Mapping[Reason, str] = {
    Reason.MALFORMED: "the request cannot be read",
    Reason.UNSUPPORTED_MEDIA_TYPE: "the body is not JSON in UTF-8, or not said to be",
    Reason.TOO_LARGE: "the body is too large",
    Reason.PATH_UNKNOWN: "there is no such path",
    Reason.METHOD_NOT_ALLOWED: "the path does not answer this method",
    Reason.PEER_CONTRADICTORY: "a proxy contradicts itself about who sent the request",
    Reason.CREDENTIAL_MISSING: "no client certificate was shown",
    Reason.CLIENT_UNKNOWN: "the client is not registered",
    Reason.CREDENTIAL_WRONG: "the API key is wrong",
    Reason.CERTIFICATE_REFUSED: "the client certificate does not verify",
    Reason.CERTIFICATE_NOT_REGISTERED: "the client certificate is not registered",
    Reason.PARTNER_SUSPENDED: "the partner is suspended",
    Reason.CLIENT_DISABLED: "the client is disabled",
    Reason.CREDENTIAL_REVOKED: "the credential was revoked or replaced",
    Reason.CREDENTIAL_NOT_YET_VALID: "the credential is not valid yet",
    Reason.CREDENTIAL_EXPIRED: "the credential has expired",
    Reason.SERVICE_NOT_ALLOWED: "the client may not use this service",
    Reason.ADDRESS_NOT_ALLOWED: "the client may not call from this address",
    Reason.TOKEN_MISSING: "there is no `Authorization` header",
    Reason.TOKEN_UNPARSABLE: "the token cannot be read",
    Reason.TOKEN_INCORRECT: "the token is not one of this service, or not sent as it must be",
    Reason.TOKEN_CLAIMS: "a claim of the token is missing or wrong",
    Reason.TOKEN_EXPIRED: "the token has expired",
    Reason.TOKEN_REVOKED: "the token was revoked",
    Reason.TOKEN_SUBJECT_UNKNOWN: "the client of the token is not registered any more",
    Reason.TOKEN_BINDING: "the token is used without the certificate it was issued for",
    Reason.TOO_MANY_FAILURES: "too many failed attempts from this network",
    Reason.TOO_MANY_REQUESTS: "too many requests of this client in a minute",
    Reason.DEVICE_UNKNOWN: "the account has no such device",
    Reason.OVERLOADED: "too much to do at this moment",
    Reason.UNAVAILABLE: "out of service at this moment",
    Reason.INTERNAL: "a fault of the server",
}

# Found out before there is a route, so said in the words of the dialect itself.
BEFORE_THE_ROUTE = frozenset({Reason.PATH_UNKNOWN})

# The caller's requests are counted by then.
AFTER_COUNTING = frozenset({Reason.TOO_MANY_REQUESTS, Reason.DEVICE_UNKNOWN})

# `Retry-After` goes with these.
PASSING = frozenset({Reason.TOO_MANY_FAILURES, Reason.TOO_MANY_REQUESTS, Reason.OVERLOADED, Reason.UNAVAILABLE})

_OURS = (Reason.OVERLOADED, Reason.UNAVAILABLE, Reason.INTERNAL)
_OF_A_PARAMETER = frozenset({Reason.PATH_UNKNOWN, Reason.DEVICE_UNKNOWN})


def reasons_of(dialect: Dialect[Any], route: Route[Any]) -> list[Reason]:
    """Return the reasons a request to a path may be refused for, in the order in which they are looked at."""
    impossible: set[Reason] = set()
    if "requestBody" not in route.about:
        impossible.add(Reason.UNSUPPORTED_MEDIA_TYPE)
    if "{" not in route.path:
        impossible |= _OF_A_PARAMETER
    return [reason for reason in (*checks_of(route.action, dialect.shape), *_OURS) if reason not in impossible]
