"""What any answer of a dialect looks like, whatever was sent: the check that generated inputs are held against."""

import json
from typing import Any

from aldaba.dialects.fleet import wire as fleet
from aldaba.dialects.mobility import wire as mobility
from tests.threats.in_process import Seen

# A fault of ours is never the answer to what somebody sends.
_NOT_TO_BE_SAID = {500, 503}

FLEET_ERRORS = {
    (words.status, words.error, words.counted)
    for table in (fleet.AT_TOKEN, fleet.WITH_TOKEN)
    for words in table.values()
    if words.status not in _NOT_TO_BE_SAID
}
MOBILITY_ERRORS = {
    tuple(words)
    for table in (mobility.AT_TOKEN, mobility.WITH_TOKEN)
    for words in table.values()
    if words.status not in _NOT_TO_BE_SAID
}
COUNTERS = ["apiUsage", "apiDailyUsage"]


def check_fleet(seen: Seen) -> Any:
    """Check the form of an answer of the fleet dialect; return its body."""
    body = _check_common(seen)
    assert (seen.status == 200) is body["success"]
    if body["success"]:
        rest = list(body)[1:]
        assert rest in (["token", "expires"], [*COUNTERS, "devices"], [*COUNTERS, "device"])
        return body
    counted = COUNTERS == list(body)[2:]
    assert (seen.status, body["error"], counted) in FLEET_ERRORS
    assert list(body) == ["success", "error", *(COUNTERS if counted else [])]
    return body


def check_mobility(seen: Seen) -> Any:
    """Check the form of an answer of the mobility dialect; return its body."""
    body = _check_common(seen)
    if seen.status == 200:
        assert list(body) in (["issuedAt", "expiration", "token"], ["user", "authorities"])
        return body
    assert seen.status == body["status"]
    assert list(body) == ["status", "code", "message"]
    assert tuple(body.values()) in MOBILITY_ERRORS
    return body


def _check_common(seen: Seen) -> Any:
    assert "application/json" == seen.headers["content-type"]
    assert "no-store" == seen.headers["cache-control"]
    assert str(len(seen.body)) == seen.headers["content-length"]
    assert ("www-authenticate" in seen.headers) is (seen.status == 401)
    assert ("allow" in seen.headers) is (seen.status == 405)
    assert ("retry-after" in seen.headers) is (seen.status == 429)
    assert len(seen.headers["x-request-id"]) == 36
    return json.loads(seen.body)
