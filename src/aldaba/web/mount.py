"""Mounts services: finds the one a request is for, hands it to its dialect, and sends the answer.

A `Refusal` from anywhere below ends here: it is recorded, then said in the dialect's words. A service answers unknown
paths and wrong methods in its own form too.
"""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from time import perf_counter
from types import MappingProxyType
from typing import Any

import msgspec
import structlog

from aldaba.core import Core
from aldaba.core.audit import record_refusal
from aldaba.errors import Overloaded, Reason, Refusal, StoreUnavailable
from aldaba.model.calls import Call, Known
from aldaba.model.ids import new_id
from aldaba.model.services import Service
from aldaba.web.messages import Answer, Request
from aldaba.web.metrics import Metrics
from aldaba.web.peer import BadPeer, PeerReader
from aldaba.web.routes import Dialect, Route, Table

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

log = structlog.get_logger()

NO_DOCUMENTS: Mapping[bytes, Answer] = MappingProxyType({})

# What went wrong with us, in the order in which it is looked at; none of it is the caller's to know.
OURS = {Overloaded: Reason.OVERLOADED, StoreUnavailable: Reason.UNAVAILABLE}
RETRY_AFTER_S = 1
# The action of a request that no route was found for.
UNROUTED = "request"


class Mounted:
    """One service: a dialect over the core.

    Args:
        documents: ready answers by exact path inside the service, for `GET` and `HEAD` where no route matches.
    """

    def __init__(
        self,
        core: Core,
        service: Service,
        dialect: Dialect[Any],
        peers: PeerReader,
        metrics: Metrics,
        *,
        max_body: int,
        documents: Mapping[bytes, Answer] = NO_DOCUMENTS,
    ) -> None:
        self._core = core
        self._service = service
        self._dialect = dialect
        self._peers = peers
        self._metrics = metrics
        self._max_body = max_body
        self._documents = documents
        self._table = Table(dialect)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; `scope["aldaba.path"]` is its path inside the service."""
        began = perf_counter()
        call_id = new_id()
        action, answer = await self._answer(call_id, scope, receive)
        await send_answer(send, answer, call_id)
        self._metrics.answered(self._service.name, action, answer.status, perf_counter() - began)

    async def _answer(self, call_id: str, scope: Scope, receive: Receive) -> tuple[str, Answer]:
        try:
            peer = self._peers.read(scope)
        except BadPeer as error:
            call = Call(call_id, self._service, self._peers.socket_peer(scope), UNROUTED, Known())
            contradiction = Refusal(Reason.PEER_CONTRADICTORY, str(error))
            return UNROUTED, await self._refuse(contradiction, self._table.words_at(scope["aldaba.path"]), call)
        known = Known(ignored=scope.get("aldaba.ignored", ()))
        try:
            route, params = self._table.find(scope["method"], scope["aldaba.path"])
        except Refusal as refusal:
            if (document := self._document(scope)) is not None:
                return "document", document
            call = Call(call_id, self._service, peer, UNROUTED, known)
            return UNROUTED, await self._refuse(refusal, self._table.words_at(scope["aldaba.path"]), call)
        call = Call(call_id, self._service, peer, route.action, known)
        return route.action, await self._handle(route, call, params, scope, receive)

    async def _handle(
        self, route: Route[Any], call: Call, params: dict[str, str], scope: Scope, receive: Receive
    ) -> Answer:
        try:
            body = await read_body(scope, receive, self._max_body)
            request = Request(scope["method"], scope["headers"], scope["query_string"], body, params)
            return await route.handler(self._core, call, request)
        except Refusal as refusal:
            return await self._refuse(refusal, route.words, call)
        except (Overloaded, StoreUnavailable) as error:
            return self._cannot(error, route.words, call)
        except Exception as error:
            log.exception("internal error", request_id=call.id)
            return await self._refuse(Refusal(Reason.INTERNAL, type(error).__name__), route.words, call)

    def _document(self, scope: Scope) -> Answer | None:
        return self._documents.get(scope["aldaba.path"]) if scope["method"] in ("GET", "HEAD") else None

    async def _refuse(self, refusal: Refusal, words: Mapping[Reason, Any], call: Call) -> Answer:
        try:
            await record_refusal(self._core, call, refusal)
        except (Overloaded, StoreUnavailable) as error:
            # What cannot be recorded is not told: the caller learns only that we cannot answer now.
            return self._cannot(error, words, call)
        except Exception:
            log.exception("internal error while recording a refusal", request_id=call.id)
            return self._say(Refusal(Reason.INTERNAL), words, call)
        return self._say(refusal, words, call)

    def _cannot(self, error: Overloaded | StoreUnavailable, words: Mapping[Reason, Any], call: Call) -> Answer:
        log.warning("refused", request_id=call.id, reason=OURS[type(error)].value, error=str(error))
        return self._say(Refusal(OURS[type(error)], retry_after_s=RETRY_AFTER_S), words, call)

    def _say(self, refusal: Refusal, words: Mapping[Reason, Any], call: Call) -> Answer:
        self._metrics.refused(self._service.name, refusal.reason.value)
        answer = self._dialect.say(refusal, words[refusal.reason], call)
        return msgspec.structs.replace(answer, headers=(*answer.headers, *refusal_headers(refusal, answer.status)))


def refusal_headers(refusal: Refusal, status: int) -> list[tuple[bytes, bytes]]:
    """Return the headers that HTTP wants beside a refusal, whatever the dialect (RFC 9110, sections 10.2 and 11.6)."""
    headers = []
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if refusal.allow:
        headers.append((b"allow", ", ".join(refusal.allow).encode()))
    retry_after_s = RETRY_AFTER_S if refusal.retry_after_s is None and status == 503 else refusal.retry_after_s
    if retry_after_s is not None:
        headers.append((b"retry-after", b"%d" % retry_after_s))
    if refusal.reason is Reason.TOO_LARGE:
        headers.append((b"connection", b"close"))
    return headers


async def read_body(scope: Scope, receive: Receive, limit: int) -> bytes:
    """Return the whole body of a request.

    Raises:
        Refusal: `TOO_LARGE`; the rest is not read, and nothing of it when its length says so.
    """
    for name, value in scope["headers"]:
        if name == b"content-length" and int(value) > limit:
            raise Refusal(Reason.TOO_LARGE, expected=f"at most {limit} bytes of body", seen=value.decode("ascii"))
    message = await receive()
    body: bytes = message.get("body", b"")
    if not message.get("more_body") and len(body) <= limit:
        return body
    parts, size = [body], len(body)
    while message.get("more_body") and size <= limit:
        message = await receive()
        parts.append(message.get("body", b""))
        size += len(parts[-1])
    if size > limit:
        raise Refusal(Reason.TOO_LARGE, expected=f"at most {limit} bytes of body", seen="more")
    return b"".join(parts)


async def send_answer(send: Send, answer: Answer, call_id: str) -> None:
    """Send an answer with the headers that all answers have."""
    headers = [
        (b"content-type", answer.media_type),
        (b"content-length", b"%d" % len(answer.body)),
        (b"cache-control", answer.cache_control),
        (b"x-content-type-options", b"nosniff"),
        (b"x-request-id", call_id.encode()),
        *answer.headers,
    ]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


class Site:
    """All services of a listener, by host name or by path prefix, and what else answers beside them.

    Args:
        hosts: services at the root of a host name of their own.
        prefixes: services below a path.
        others: applications for everything else, by exact path.
        unknown: answers what is left; a plain 404 without it.
    """

    def __init__(
        self,
        hosts: Mapping[str, App],
        prefixes: Mapping[str, App],
        others: Mapping[str, App],
        unknown: App | None = None,
    ) -> None:
        self._hosts = {host.lower().encode(): app for host, app in hosts.items()}
        # By first segment, the longest prefix first.
        self._prefixes: dict[bytes, list[tuple[bytes, App]]] = {}
        for prefix, app in sorted(prefixes.items(), key=lambda item: -len(item[0])):
            raw = prefix.rstrip("/").encode()
            self._prefixes.setdefault(_first_segment(raw), []).append((raw, app))
        self._others = {path.encode(): app for path, app in others.items()}
        self._unknown = unknown or _unknown

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request to the service it is for."""
        if scope["type"] != "http":
            return
        app = self._find(scope) or self._unknown
        await app(scope, receive, send)

    def _find(self, scope: Scope) -> App | None:
        path: bytes = scope["raw_path"]
        scope["aldaba.path"] = path
        if self._hosts and (app := self._hosts.get(_host(scope))) is not None:
            return app
        for prefix, app in self._prefixes.get(_first_segment(path), ()):
            if path.startswith(prefix) and path[len(prefix) : len(prefix) + 1] in (b"/", b""):
                scope["aldaba.path"] = path[len(prefix) :]
                return app
        return self._others.get(path)


async def _unknown(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send_answer(send, Answer(404, b'{"status":404,"error":"Not Found"}'), new_id())


def _first_segment(path: bytes) -> bytes:
    return path.split(b"/", 2)[1] if b"/" in path else path


def _host(scope: Scope) -> bytes:
    for name, value in scope["headers"]:
        if name == b"host":
            host: bytes = value.lower()
            return host.rpartition(b":")[0] if host.rpartition(b":")[2].isdigit() else host
    return b""
