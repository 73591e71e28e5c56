"""The mobility API's endpoints (sheet, sections 3 and 4)."""

from aldaba.core import Core
from aldaba.core.issue import issue
from aldaba.core.verify import verify
from aldaba.dialects.mobility import contract, wire
from aldaba.model.calls import Call
from aldaba.web.messages import Answer, Request, bearer_token
from aldaba.web.routes import Dialect, Route


async def token(core: Core, call: Call, request: Request) -> Answer:
    """Exchange the certificate of the connection for a token."""
    evidence = wire.read_token_request(request)
    return wire.token_answer(await issue(core, call, evidence))


async def ping(core: Core, call: Call, request: Request) -> Answer:
    """Say whose token this is."""
    return wire.ping_answer(await verify(core, call, bearer_token(request)))


ROUTES = (
    Route(
        method="GET",
        path="/v1/token",
        action="token.issue",
        handler=token,
        words=wire.AT_TOKEN,
        about=contract.GET_TOKEN,
    ),
    Route(
        method="POST",
        path="/v1/token",
        action="token.issue",
        handler=token,
        words=wire.AT_TOKEN,
        about=contract.POST_TOKEN,
    ),
    Route(method="GET", path="/v1/ping", action="ping", handler=ping, words=wire.WITH_TOKEN, about=contract.PING),
)

MOBILITY = Dialect(
    name="mobility",
    title="Road-traffic mobility",
    routes=ROUTES,
    words=wire.WITH_TOKEN,
    say=wire.say,
    shape=wire.TOKEN,
    networks_required=True,
    description=contract.DESCRIPTION,
    schemas=contract.SCHEMAS,
    security=contract.SECURITY,
)
