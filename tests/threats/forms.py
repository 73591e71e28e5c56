"""The refusals of both dialects, as threats.md abbreviates them: status and whole body."""

from tests.served import Answer

Said = tuple[int, bytes]

F401: Said = (401, b'{"success":false,"error":"Invalid API key or username."}')
F400: Said = (400, b'{"success":false,"error":"Bad Request"}')
F413: Said = (413, b'{"success":false,"error":"Payload Too Large"}')
F415: Said = (415, b'{"success":false,"error":"Unsupported Media Type"}')
F429: Said = (429, b'{"success":false,"error":"Too Many Requests"}')
FT: Said = (
    401,
    b'{"success":false,"error":"Authentication failed. Invalid token.","apiUsage":0,"apiDailyUsage":0}',
)

M0: Said = (400, b'{"status":400,"code":0,"message":"Authenticate"}')
M1: Said = (401, b'{"status":401,"code":1,"message":"User not found or valid"}')
M4: Said = (400, b'{"status":400,"code":4,"message":"The entity received cannot be proccessed"}')
M5: Said = (400, b'{"status":400,"code":5,"message":"Incorrect token received"}')
M6: Said = (400, b'{"status":400,"code":6,"message":"Expired token received"}')
M7: Said = (400, b'{"status":400,"code":7,"message":"There is an error with the token"}')
M413: Said = (413, b'{"status":413,"code":413,"message":"Request too large"}')


def said(answer: Answer) -> Said:
    """Return what an answer says, having checked what all answers of a dialect have."""
    assert "application/json" == answer.header("content-type")
    assert "no-store" == answer.header("cache-control")
    assert "nosniff" == answer.header("x-content-type-options")
    assert answer.request_id
    return answer.status, answer.body
