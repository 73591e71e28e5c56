"""What an operator's machines ask: is it alive, is it ready, what has it counted."""

from collections.abc import Awaitable, Callable

from aldaba.core import Core
from aldaba.errors import StoreUnavailable
from aldaba.model.ids import new_id
from aldaba.web.messages import Answer
from aldaba.web.metrics import Metrics
from aldaba.web.mount import App, Receive, Scope, Send, send_answer

_METRICS = b"text/plain; version=0.0.4; charset=utf-8"


def health(core: Core) -> dict[str, App]:
    """Return the health checks by path: alive is whether the process answers, ready whether the database does too."""

    async def live() -> Answer:
        return Answer(200, b'{"status":"live"}')

    async def ready() -> Answer:
        try:
            await core.view.fresh()
        except StoreUnavailable:
            return Answer(503, b'{"status":"unavailable"}')
        return Answer(200, b'{"status":"ready"}')

    return {"/health/live": _page(live), "/health/ready": _page(ready)}


def management(core: Core, metrics: Metrics) -> dict[str, App]:
    """Return what the management listener answers, by path."""

    async def counted() -> Answer:
        return Answer(200, metrics.page(core), media_type=_METRICS)

    return {**health(core), "/metrics": _page(counted)}


def _page(show: Callable[[], Awaitable[Answer]]) -> App:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] not in ("GET", "HEAD"):
            refused = Answer(405, b'{"error":"method not allowed"}', ((b"allow", b"GET, HEAD"),))
            await send_answer(send, refused, new_id())
            return
        await send_answer(send, await show(), new_id())

    return app
