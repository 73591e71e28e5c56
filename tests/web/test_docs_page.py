import asyncio
import hashlib
import json
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from aldaba.core import Core
from aldaba.model.calls import NameAndKey
from aldaba.model.services import Service
from aldaba.server import DIALECTS
from aldaba.web import docs
from aldaba.web.docs import documents_for
from aldaba.web.limits import Limits
from aldaba.web.listen import Listener, Listeners, bind
from aldaba.web.metrics import Metrics
from aldaba.web.mount import Mounted, Site
from aldaba.web.peer import PeerReader
from tests.installation import fleet_client, install
from tests.parts import needs

BASE_URL = "https://partners.example.com/fleet"
FLEET = Service(name="fleet", dialect="fleet", shape=DIALECTS["fleet"].shape)
DOCUMENTS = documents_for(FLEET, DIALECTS["fleet"], BASE_URL)
VENDORED = Path(docs.__file__).parent / "vendored"


# --- what is served --------------------------------------------------------------------------------------------------


def test_a_service_that_exposes_no_documents_has_none() -> None:
    hidden = Service(name="fleet", dialect="fleet", shape=FLEET.shape, expose_docs=False)

    assert {} == documents_for(hidden, DIALECTS["fleet"], BASE_URL)


def test_the_page_without_its_slash_leads_to_the_page() -> None:
    answer = DOCUMENTS[b"/docs"]

    assert (308, ((b"location", b"docs/"),)) == (answer.status, answer.headers)


def test_the_page_allows_no_script_of_others_and_no_frame() -> None:
    headers = dict(DOCUMENTS[b"/docs/"].headers)
    policy = dict(part.strip().split(" ", 1) for part in headers[b"content-security-policy"].decode().split(";"))

    assert {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self' data:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    } == policy
    assert b"DENY" == headers[b"x-frame-options"]
    assert b"no-referrer" == headers[b"referrer-policy"]


def test_the_page_holds_no_script_and_no_style_of_its_own() -> None:
    page = DOCUMENTS[b"/docs/"].body.decode()

    assert [] == re.findall(r"<script(?![^>]* src=)|<style|\sstyle=|\son\w+=|javascript:", page)


def test_everything_that_the_page_loads_is_there_and_may_be_kept_for_ever() -> None:
    page = DOCUMENTS[b"/docs/"].body.decode()
    loaded = re.findall(r'<(?:link|script)[^>]* (?:href|src)="([^"]+)"', page)
    answers = {path: DOCUMENTS[f"/docs/{path}".encode()] for path in loaded}

    assert len(docs._ASSETS) == len(answers)
    assert {b"public, max-age=31536000, immutable"} == {answer.cache_control for answer in answers.values()}
    assert {
        "css": b"text/css; charset=utf-8",
        "js": b"text/javascript; charset=utf-8",
        "svg": b"image/svg+xml",
    } == {path.rpartition(".")[2]: answer.media_type for path, answer in answers.items()}


def test_the_page_and_the_document_are_asked_for_again_each_time() -> None:
    assert {b"no-cache"} == {DOCUMENTS[path].cache_control for path in (b"/docs", b"/docs/", b"/openapi.json")}


def test_names_and_addresses_cannot_break_out_of_the_page() -> None:
    odd = Service(name='"><script>', dialect="fleet", shape=FLEET.shape)
    page = documents_for(odd, DIALECTS["fleet"], 'https://x/"><script>')[b"/docs/"].body.decode()

    assert '"><script>' not in page
    assert 2 == page.count("<script")


def test_the_vendored_files_are_as_they_were_taken() -> None:
    for folder in (place for place in VENDORED.iterdir() if place.is_dir()):
        (name, version), (licence,), *sums = (
            line.split() for line in (folder / "VERSION").read_text().splitlines() if line
        )
        found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}

        assert {name: total for total, name in sums} | {"VERSION": found["VERSION"]} == found
        assert f"| `{folder.name}` | {name} | {version} | {licence} |" in (VENDORED / "README.md").read_text()


# --- in a browser ----------------------------------------------------------------------------------------------------

CHROMIUM = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync"
).split()
SIZES = {"desktop": (1280, 900), "phone": (390, 844)}

every_size = pytest.mark.parametrize("size", SIZES)


class Served(NamedTuple):
    """A running site: fleet at the address that its document names, mobility at another one."""

    url: str
    evidence: NameAndKey


@pytest.fixture(scope="module")
def served(migrated_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    directory = tmp_path_factory.mktemp("docs")
    installation = install(directory, f"sqlite:///{shutil.copy(migrated_file, directory)}")
    started: Future[tuple[Served, Callable[[], object]]] = Future()

    async def serve() -> None:
        async with installation.registrar() as registrar:
            evidence = await fleet_client(registrar)
        sockets = bind("127.0.0.1", 0)
        url = f"http://127.0.0.1:{sockets[0].getsockname()[1]}"
        async with installation.core() as core:
            site = Site({}, {f"/{name}": mounted(core, name, url) for name in DIALECTS}, {})
            listeners = Listeners([Listener(app=site, sockets=sockets)], Limits())
            await listeners.start()
            end, loop = asyncio.Event(), asyncio.get_running_loop()
            started.set_result((Served(url, evidence), partial(loop.call_soon_threadsafe, end.set)))
            await end.wait()
            await listeners.stop(grace_s=5)

    # In a thread of its own: the browser's driver keeps a loop running in this one.
    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    served, end = started.result(timeout=60)
    yield served
    end()
    thread.join()


def mounted(core: Core, name: str, url: str) -> Mounted:
    dialect = DIALECTS[name]
    service = Service(name=name, dialect=name, shape=dialect.shape, path=f"/{name}")
    base_url = f"{url}/fleet" if name == "fleet" else f"https://127.0.0.1:8443/{name}"
    documents = documents_for(service, dialect, base_url)
    return Mounted(core, service, dialect, PeerReader(), Metrics(), max_body=65_536, documents=documents)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = needs("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=CHROMIUM)
        yield browser
        browser.close()


@pytest.mark.browser
def test_a_head_of_the_page_has_no_body_and_other_methods_are_refused(served: Served) -> None:
    with httpx2.Client(base_url=served.url) as client:
        head, page = client.head("/fleet/docs/"), client.get("/fleet/docs/")
        post = client.post("/fleet/docs/")

    assert (200, b"") == (head.status_code, head.content)
    assert page.headers["content-length"] == head.headers["content-length"]
    assert (404, "Not Found") == (post.status_code, post.json()["error"])


class Opened(NamedTuple):
    """A page, and everything that the browser complained about."""

    page: Page
    complaints: list[str]


@contextmanager
def opened(browser: Browser, url: str, size: str = "desktop") -> Iterator[Opened]:
    width, height = SIZES[size]
    context = browser.new_context(viewport={"width": width, "height": height}, is_mobile=size == "phone")
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("requestfailed", lambda request: complaints.append(f"failed: {request.url}"))
    page.goto(url)
    page.locator(".opblock").first.wait_for()
    yield Opened(page, complaints)
    context.close()


@pytest.mark.browser
@every_size
@pytest.mark.parametrize("name", DIALECTS)
def test_the_page_lists_the_operations_and_fits(browser: Browser, served: Served, name: str, size: str) -> None:
    with opened(browser, f"{served.url}/{name}/docs", size) as (page, complaints):
        listed = [
            (
                block.locator(".opblock-summary-method").inner_text(),
                block.locator("[data-path]").get_attribute("data-path"),
            )
            for block in page.locator(".opblock").all()
        ]
        for block in page.locator(".opblock-summary-control").all():
            block.click()
        page.locator(".responses-table").nth(len(listed) - 1).wait_for()
        overhang = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        url = page.url.partition("#")[0]

    assert [(route.method, route.path) for route in DIALECTS[name].routes] == listed
    assert f"{served.url}/{name}/docs/" == url
    assert 0 == overhang
    assert [] == complaints


@pytest.mark.browser
@every_size
def test_a_token_is_got_and_used_by_trying_out(browser: Browser, served: Served, size: str) -> None:
    with opened(browser, f"{served.url}/fleet/docs/", size) as (page, complaints):
        evidence = {"userName": served.evidence.name, "apiKey": served.evidence.key}
        token = tried_out(page, "Token-token", json.dumps(evidence))["token"]
        page.get_by_role("button", name="Authorize").click()
        page.locator(".auth-container input").fill(token)
        page.locator(".auth-btn-wrapper .authorize").click()
        page.locator(".auth-btn-wrapper .btn-done").click()
        devices = tried_out(page, "Devices-devices")

    assert {"success": True, "devices": []} == {name: devices[name] for name in ("success", "devices")}
    assert [] == complaints


@pytest.mark.browser
def test_a_refusal_is_shown_as_the_service_says_it(browser: Browser, served: Served) -> None:
    with opened(browser, f"{served.url}/fleet/docs/") as (page, complaints):
        shown = tried_out(page, "Token-token", json.dumps({"userName": "nobody", "apiKey": "wrong"}))

    assert {"success": False, "error": "Invalid API key or username."} == shown
    assert ["error: Failed to load resource: the server responded with a status of 401 (Unauthorized)"] == complaints


def tried_out(page: Page, operation: str, body: str | None = None) -> Any:
    """Send a request by the page's own buttons; give the answer that it shows."""
    block = page.locator(f"#operations-{operation}")
    block.locator(".opblock-summary-control").click()
    block.get_by_role("button", name="Try it out").click()
    if body is not None:
        block.locator("textarea").fill(body)
    block.get_by_role("button", name="Execute").click()
    return json.loads(block.locator(".live-responses-table .response-col_description pre").first.inner_text())


@pytest.mark.browser
def test_calls_to_another_address_are_not_offered_but_the_place_to_try_them_is_named(
    browser: Browser, served: Served
) -> None:
    with opened(browser, f"{served.url}/mobility/docs/") as (page, _complaints):
        page.locator(".opblock-summary-control").first.click()
        page.locator(".responses-table").wait_for()

        assert page.locator("#elsewhere").is_visible()
        assert "https://127.0.0.1:8443/mobility/docs/" == page.locator("#elsewhere a").get_attribute("href")
        assert 0 == page.get_by_role("button", name="Try it out").count()

    with opened(browser, f"{served.url}/fleet/docs/") as (page, _complaints):
        assert page.locator("#elsewhere").is_hidden()


@pytest.mark.browser
def test_a_script_that_got_into_the_page_does_not_run(browser: Browser, served: Served) -> None:
    with opened(browser, f"{served.url}/fleet/docs/") as (page, complaints):
        page.evaluate(
            "document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.ran = true'}))"
        )

        assert page.evaluate("window.ran") is None
        assert 1 == len([text for text in complaints if "Content Security Policy" in text])
