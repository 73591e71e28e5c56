"""The documents of a service: `openapi.json`, and `docs/`, which shows it with Swagger UI and lets one try it out."""

import hashlib
import html
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from string import Template
from typing import Any

import msgspec

from aldaba.model.services import Service
from aldaba.web.messages import Answer
from aldaba.web.openapi import document, title_of
from aldaba.web.routes import Dialect

_HERE = Path(__file__).parent
_ASSETS = {
    "swagger-ui.css": _HERE / "vendored/swagger-ui/swagger-ui.css",
    "swagger-ui-bundle.js": _HERE / "vendored/swagger-ui/swagger-ui-bundle.js",
    "docs.css": _HERE / "static/docs/docs.css",
    "docs.js": _HERE / "static/docs/docs.js",
    "icon.svg": _HERE / "static/docs/icon.svg",
}
_MEDIA_TYPES = {
    ".css": b"text/css; charset=utf-8",
    ".js": b"text/javascript; charset=utf-8",
    ".svg": b"image/svg+xml",
}

# No script and no style but our files; calls go to the service itself; nobody may put the page into a frame.
_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
    b" base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_PAGE_HEADERS = (
    (b"content-security-policy", _POLICY),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
)
_FOREVER = b"public, max-age=31536000, immutable"
_ASK_AGAIN = b"no-cache"


def documents_for(service: Service, dialect: Dialect[Any], base_url: str) -> Mapping[bytes, Answer]:
    """Return the ready documents of a service by their exact paths in it; none where they are not to be shown.

    Args:
        base_url: where callers reach the service, its path included.
    """
    if not service.expose_docs:
        return {}
    assets, place = _assets()
    return {
        b"/openapi.json": Answer(200, _openapi(service, dialect, base_url), cache_control=_ASK_AGAIN),
        b"/docs": Answer(308, b"", ((b"location", b"docs/"),), b"text/plain", _ASK_AGAIN),
        b"/docs/": Answer(
            200,
            _page(title_of(service, dialect), base_url, place),
            _PAGE_HEADERS,
            b"text/html; charset=utf-8",
            _ASK_AGAIN,
        ),
        **{f"/docs/{place}/{name}".encode(): answer for name, answer in assets.items()},
    }


def _openapi(service: Service, dialect: Dialect[Any], base_url: str) -> bytes:
    return msgspec.json.format(msgspec.json.encode(document(service, dialect, base_url)))


def _page(title: str, base_url: str, place: str) -> bytes:
    values = {"title": title, "base_url": base_url, "place": place}
    template = Template((_HERE / "static/docs/docs.html").read_text("utf-8"))
    return template.substitute({name: html.escape(value) for name, value in values.items()}).encode()


@cache
def _assets() -> tuple[Mapping[str, Answer], str]:
    """Return what the page loads, and the folder it is in: named by its content, so that it may be kept for ever."""
    contents = {name: path.read_bytes() for name, path in _ASSETS.items()}
    digest = hashlib.sha256(b"".join(contents.values())).hexdigest()[:16]
    answers = {
        name: Answer(200, content, media_type=_MEDIA_TYPES[Path(name).suffix], cache_control=_FOREVER)
        for name, content in contents.items()
    }
    return answers, digest
