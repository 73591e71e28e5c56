"""What a dialect is made of: routes, and how it says a refusal."""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from aldaba.core import Core
from aldaba.errors import Reason, Refusal
from aldaba.model.calls import Call
from aldaba.model.services import Shape
from aldaba.web.messages import Answer, Request, path_parameter

Handler = Callable[[Core, Call, Request], Awaitable[Answer]]
Words = TypeVar("Words")


@dataclass(frozen=True, kw_only=True)
class Route(Generic[Words]):
    """One method on one path of a dialect.

    Args:
        path: with `{name}` for one segment that is a parameter.
        action: what the audit log calls it.
        words: how each reason is said on this route.
        about: the OpenAPI operation object, without the error answers, which follow from `words`.
    """

    method: str
    path: str
    action: str
    handler: Handler
    words: Mapping[Reason, Words]
    about: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Dialect(Generic[Words]):
    """A published API: its routes, its tokens, and its way of refusing.

    Args:
        description: what a partner's developer reads first, in Markdown.
        words: how reasons are said where no route is reached (unknown path, wrong method).
        say: makes the answer out of a reason's words.
        any_case: paths match without regard to case.
        networks_required: a client without registered networks may not call.
        schemas: the bodies, as OpenAPI has them; `Failure` is the one of every refusal.
        security: what a caller shows, as OpenAPI has it.
    """

    name: str
    title: str
    routes: Sequence[Route[Words]]
    words: Mapping[Reason, Words]
    say: Callable[[Refusal, Words, Call], Answer]
    shape: Shape
    any_case: bool = False
    networks_required: bool = False
    description: str = field(default="", repr=False)
    schemas: Mapping[str, Any] = field(default_factory=dict, repr=False)
    security: Mapping[str, Any] = field(default_factory=dict, repr=False)


class Table(Generic[Words]):
    """Finds the route of a request. A path is looked at once, undecoded, so no spelling reaches another route."""

    def __init__(self, dialect: Dialect[Words]) -> None:
        self._any_case = dialect.any_case
        self._words = dialect.words
        self._plain: dict[bytes, dict[str, Route[Words]]] = {}
        self._patterns: list[tuple[re.Pattern[str], dict[str, Route[Words]]]] = []
        for route in dialect.routes:
            self._methods_for(route.path)[route.method] = route

    def find(self, method: str, raw_path: bytes) -> tuple[Route[Words], dict[str, str]]:
        """Return the route and its parameters.

        Raises:
            Refusal: `PATH_UNKNOWN`, or `METHOD_NOT_ALLOWED` with the methods that are.
        """
        methods = self._plain.get(raw_path.lower() if self._any_case else raw_path)
        params: dict[str, str] = {}
        if methods is None:
            methods, params = self._match(raw_path)
        route = methods.get(method)
        if route is None:
            raise Refusal(Reason.METHOD_NOT_ALLOWED, expected=" or ".join(methods), seen=method, allow=tuple(methods))
        return route, params

    def words_at(self, raw_path: bytes) -> Mapping[Reason, Words]:
        """Return how reasons are said on a path, whatever the method; the dialect's own words where no route is."""
        try:
            methods = self._plain.get(raw_path.lower() if self._any_case else raw_path) or self._match(raw_path)[0]
        except Refusal:
            return self._words
        return next(iter(methods.values())).words

    def _match(self, raw_path: bytes) -> tuple[dict[str, Route[Words]], dict[str, str]]:
        path = raw_path.decode("ascii", "replace")
        for pattern, methods in self._patterns:
            found = pattern.fullmatch(path)
            if found is None:
                continue
            params = {name: path_parameter(raw) for name, raw in found.groupdict().items()}
            decoded = {name: text for name, text in params.items() if text is not None}
            if len(decoded) == len(params):
                return methods, decoded
        raise Refusal(Reason.PATH_UNKNOWN, seen=path[:200])

    def _methods_for(self, path: str) -> dict[str, Route[Words]]:
        if "{" not in path:
            raw = path.encode("ascii")
            return self._plain.setdefault(raw.lower() if self._any_case else raw, {})
        text = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(path))
        pattern = re.compile(text, re.IGNORECASE if self._any_case else 0)
        for known, methods in self._patterns:
            if known.pattern == pattern.pattern:
                return methods
        self._patterns.append((pattern, {}))
        return self._patterns[-1][1]
