"""The fleet API's endpoints (sheet, sections 2, 4 and 5)."""

from aldaba.core import Core
from aldaba.core.devices import find_device, list_devices
from aldaba.core.issue import issue
from aldaba.core.verify import verify
from aldaba.dialects.fleet import contract, wire
from aldaba.model.calls import Call
from aldaba.web.messages import Answer, Request, bearer_token
from aldaba.web.routes import Dialect, Route


async def token(core: Core, call: Call, request: Request) -> Answer:
    """Exchange a user name and an API key for a token."""
    evidence = wire.read_token_request(request)
    return wire.token_answer(await issue(core, call, evidence))


async def devices(core: Core, call: Call, request: Request) -> Answer:
    """List the account's active devices."""
    caller = await verify(core, call, bearer_token(request))
    return wire.devices_answer(await list_devices(core, caller), caller.usage)


async def device(core: Core, call: Call, request: Request) -> Answer:
    """Show one device of the account."""
    caller = await verify(core, call, bearer_token(request))
    found = await find_device(core, caller, request.params["deviceId"])
    return wire.device_answer(found, caller.usage)


ROUTES = (
    Route(
        method="POST",
        path="/api/Auth/Token",
        action="token.issue",
        handler=token,
        words=wire.AT_TOKEN,
        about=contract.TOKEN,
    ),
    Route(
        method="GET",
        path="/api/devices",
        action="devices.list",
        handler=devices,
        words=wire.WITH_TOKEN,
        about=contract.DEVICES,
    ),
    Route(
        method="GET",
        path="/api/devices/{deviceId}",
        action="devices.show",
        handler=device,
        words=wire.WITH_TOKEN,
        about=contract.DEVICE,
    ),
)

FLEET = Dialect(
    name="fleet",
    title="Fleet tracking",
    routes=ROUTES,
    words=wire.WITH_TOKEN,
    say=wire.say,
    shape=wire.TOKEN,
    any_case=True,
    description=contract.DESCRIPTION,
    schemas=contract.SCHEMAS,
    security=contract.SECURITY,
)
