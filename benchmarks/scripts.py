"""What wrk sends, in its language Lua."""

from pathlib import Path

import msgspec

TOKEN_PATH = "/fleet/api/Auth/Token"
DEVICES_PATH = "/fleet/api/devices"
MOBILITY_PATH = "/mobility/v1/token"

_ALWAYS_THE_SAME = """
wrk.method = "{method}"
wrk.path = "{path}"
wrk.headers["{header}"] = {value}
wrk.body = {body}
"""

_ANY_NAME = """
math.randomseed(7)
local headers = {{["Content-Type"] = "application/json"}}
request = function()
   local number = math.random(0, {count} - 1)
   return wrk.format("POST", "{path}", headers,
      string.format('{{"userName":"client-%07d","apiKey":"bench_%049d"}}', number, number))
end
"""

_TOKENS_IN_TURN = """
local requests, number = {{}}, 0
init = function()
   for token in io.lines("{file}") do
      requests[#requests + 1] = wrk.format("GET", "{path}", {{["Authorization"] = "Bearer " .. token}})
   end
end
request = function()
   number = number % #requests + 1
   return requests[number]
end
"""

# Every other request shows the token that came last.
_TOKENS_AND_CHECKS = """
math.randomseed(7)
local headers = {{["Content-Type"] = "application/json"}}
local token, checks = nil, false
request = function()
   checks = not checks
   if checks and token then
      return wrk.format("GET", "{devices}", {{["Authorization"] = "Bearer " .. token}})
   end
   local number = math.random(0, {count} - 1)
   return wrk.format("POST", "{path}", headers,
      string.format('{{"userName":"client-%07d","apiKey":"bench_%049d"}}', number, number))
end
response = function(status, headers, body)
   token = body:match('"token":"([^"]+)"') or token
end
"""


def same_token_request(body: str) -> str:
    """Ask for a token, always for the same client."""
    return _ALWAYS_THE_SAME.format(
        method="POST", path=TOKEN_PATH, header="Content-Type", value='"application/json"', body=_text(body)
    )


def same_check(token: str) -> str:
    """Show a token, always the same."""
    return _ALWAYS_THE_SAME.format(
        method="GET", path=DEVICES_PATH, header="Authorization", value=_text(f"Bearer {token}"), body="nil"
    )


def any_token_request(clients: int) -> str:
    """Ask for a token for any of the first clients, all as likely."""
    return _ANY_NAME.format(count=clients, path=TOKEN_PATH)


def checks_in_turn(tokens: Path) -> str:
    """Show the tokens of a file, one after the other."""
    return _TOKENS_IN_TURN.format(file=tokens, path=DEVICES_PATH)


def tokens_and_checks(clients: int) -> str:
    """Ask for tokens for any of the first clients, and show each of them."""
    return _TOKENS_AND_CHECKS.format(count=clients, path=TOKEN_PATH, devices=DEVICES_PATH)


def _text(text: str) -> str:
    # JSON's escapes of plain ASCII are Lua's too.
    return msgspec.json.encode(text).decode()
