"""Every state in which a client may not act, at every route of every dialect: no path may forget a check.

The routes come from the dialects' own tables, so a new one is in the matrix without being named here.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any, NamedTuple

import msgspec
import pytest
from sqlalchemy import delete, update

from aldaba.core import Core
from aldaba.core.clients import add_client, disable_client, end_tokens, set_networks
from aldaba.core.credentials import add_api_key, add_certificate, revoke_credential
from aldaba.core.devices import put_devices
from aldaba.core.partners import add_partner, suspend_partner
from aldaba.core.registrar import Registrar
from aldaba.core.tokens import end_all_tokens
from aldaba.crypto.certificates.authority import Authority
from aldaba.errors import Reason
from aldaba.model.calls import Call
from aldaba.model.devices import Device
from aldaba.server import DIALECTS, services_of
from aldaba.store import audit, schema
from aldaba.web.messages import Answer, Request
from aldaba.web.metrics import Metrics
from aldaba.web.mount import Mounted
from aldaba.web.peer import PeerReader
from aldaba.web.routes import Dialect, Route
from tests.installation import Installation, install

pytestmark = pytest.mark.anyio

NAME = "acme"
PLACES = {"deviceId": "van-1"}

# -- the states -------------------------------------------------------------------------------------------------------


class Registered(NamedTuple):
    partner: str
    client_id: str
    credential_id: str


Change = Callable[[Registrar, Registered], Awaitable[Any]]


class State(NamedTuple):
    """A state in which a client may not act.

    `with_credential` and `with_token` are the reasons it is refused for; None where the state does not matter.
    """

    change: Change
    with_credential: Reason | None
    with_token: Reason | None


async def _suspend(registrar: Registrar, registered: Registered) -> None:
    await suspend_partner(registrar, registered.partner)


async def _disable(registrar: Registrar, _registered: Registered) -> None:
    await disable_client(registrar, NAME)


async def _revoke(registrar: Registrar, registered: Registered) -> None:
    await revoke_credential(registrar, registered.credential_id)


async def _nowhere(registrar: Registrar, _registered: Registered) -> None:
    await set_networks(registrar, NAME, [])


async def _elsewhere(registrar: Registrar, _registered: Registered) -> None:
    await set_networks(registrar, NAME, ["203.0.113.0/24"])


async def _end_its_tokens(registrar: Registrar, _registered: Registered) -> None:
    await end_tokens(registrar, NAME)


async def _end_all_tokens(registrar: Registrar, _registered: Registered) -> None:
    await end_all_tokens(registrar)


def _columns(table: Any, **columns: Any) -> Change:
    """Return a change that no command makes in so many words."""

    async def change(registrar: Registrar, registered: Registered) -> None:
        key = registered.client_id if table is schema.client else registered.credential_id

        def work(changing: Any, _note: Any) -> None:
            values = {name: value(registrar) if callable(value) else value for name, value in columns.items()}
            changing.connection.execute(update(table).where(table.c.id == key).values(**values))
            changing.touch(f"client/{NAME}")

        await registrar.change("test", work)

    return change


async def _forget(registrar: Registrar, registered: Registered) -> None:
    def work(changing: Any, _note: Any) -> None:
        for table, column in (
            (schema.credential_use, schema.credential_use.c.credential_id == registered.credential_id),
            (schema.credential, schema.credential.c.client_id == registered.client_id),
            (schema.device, schema.device.c.client_id == registered.client_id),
            (schema.client, schema.client.c.id == registered.client_id),
        ):
            changing.connection.execute(delete(table).where(column))
        changing.touch(f"client/{NAME}", f"devices/{registered.client_id}")

    await registrar.change("test", work)


STATES = {
    "partner suspended": State(_suspend, Reason.PARTNER_SUSPENDED, Reason.PARTNER_SUSPENDED),
    "client disabled": State(_disable, Reason.CLIENT_DISABLED, Reason.CLIENT_DISABLED),
    "client unknown": State(_forget, Reason.CLIENT_UNKNOWN, Reason.TOKEN_SUBJECT_UNKNOWN),
    "credential revoked": State(_revoke, Reason.CREDENTIAL_REVOKED, Reason.CREDENTIAL_REVOKED),
    "credential not yet valid": State(
        _columns(schema.credential, not_before_at=lambda registrar: registrar.clock.now() + timedelta(hours=1)),
        Reason.CREDENTIAL_NOT_YET_VALID,
        Reason.CREDENTIAL_NOT_YET_VALID,
    ),
    "credential expired": State(
        _columns(schema.credential, not_after_at=lambda registrar: registrar.clock.now() - timedelta(seconds=1)),
        Reason.CREDENTIAL_EXPIRED,
        Reason.CREDENTIAL_EXPIRED,
    ),
    "service not allowed": State(
        _columns(schema.client, services=["another"]), Reason.SERVICE_NOT_ALLOWED, Reason.SERVICE_NOT_ALLOWED
    ),
    "no network allowed": State(_nowhere, Reason.ADDRESS_NOT_ALLOWED, Reason.ADDRESS_NOT_ALLOWED),
    "another network": State(_elsewhere, Reason.ADDRESS_NOT_ALLOWED, Reason.ADDRESS_NOT_ALLOWED),
    "its tokens ended": State(_end_its_tokens, None, Reason.TOKEN_REVOKED),
    "all tokens ended": State(_end_all_tokens, None, Reason.TOKEN_REVOKED),
}

# -- the stage --------------------------------------------------------------------------------------------------------


class Stage:
    """A registered client of one dialect, and requests as it sends them."""

    def __init__(self, core: Core, registrar: Registrar, dialect: Dialect[Any], installation: Installation) -> None:
        self._core = core
        self._registrar = registrar
        self._dialect = dialect
        service = services_of(installation.settings)[dialect.name]
        self._app = Mounted(core, service, dialect, PeerReader(), Metrics(), max_body=65536)
        self._authority: Authority | None = None
        self._scope: dict[str, Any] = {"client": ("127.0.0.1", 4711), "query_string": b"", "extensions": {}}
        self._body = b""
        self._token = ""

    async def register(self, directory: Any) -> Registered:
        """Register the client with a credential of the kind that the dialect asks for, and take a token."""
        registrar = self._registrar
        partner = await add_partner(registrar, "Acme")
        client = await add_client(
            registrar, NAME, partner="Acme", services=[self._dialect.name], networks=["127.0.0.0/8"]
        )
        await put_devices(registrar, NAME, [Device(id="van-1")])
        if self._dialect.networks_required:
            authority = Authority.from_pem((directory / "ca.pem").read_bytes(), (directory / "ca.key").read_bytes())
            issued = authority.client(NAME)
            credential = await add_certificate(registrar, NAME, issued.pem)
            self._scope["extensions"] = {"tls": {"certificate": issued.der, "chain": ()}}
        else:
            new = await add_api_key(registrar, NAME)
            credential = new.credential
            self._body = msgspec.json.encode({"userName": NAME, "apiKey": new.secret.reveal()})
        await self._core.view.fresh()
        issuing = next(route for route in self._dialect.routes if route.action == "token.issue")
        answer = await self.ask(issuing)
        assert 200 == answer[0], answer
        self._token = msgspec.json.decode(answer[1])["token"].removeprefix("Bearer ")
        return Registered(partner.name, client.id, credential.id)

    async def ask(self, route: Route[Any]) -> tuple[int, bytes, str]:
        """Send what the client would send to a route; return status, body and request id of the answer."""
        issuing = route.action == "token.issue"
        body = self._body if route.method == "POST" and issuing else b""
        headers = [(b"content-type", b"application/json")] if body else []
        if not issuing:
            headers.append((b"authorization", f"Bearer {self._token}".encode()))
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        path = route.path.format(**PLACES).encode()
        scope = {**self._scope, "method": route.method, "aldaba.path": path, "headers": headers}
        await self._app(scope, receive, send)
        request_id = dict(sent[0]["headers"])[b"x-request-id"].decode()
        return sent[0]["status"], sent[1]["body"], request_id

    async def check(self, state: State) -> None:
        """Check that every route refuses, for the reason that the state has."""
        for route in self._dialect.routes:
            expected = state.with_credential if route.action == "token.issue" else state.with_token
            if expected is None:
                continue
            status, body, request_id = await self.ask(route)
            where = f"{route.method} {route.path}"
            assert 200 != status, f"{where} lets in: {body!r}"
            (event,) = await self._core.database.read(audit.events_of_request, request_id)
            assert expected.value == event.reason, where
            # The wait after a failed key is not what is looked at here.
            self._core.limits._storage._counters.clear()  # type: ignore[attr-defined]


@pytest.fixture
def installed(migrated_sqlite: str, tmp_path: Any) -> Installation:
    """Give an installation with an authority for client certificates."""
    Authority.create("Test CA").write(tmp_path / "ca.pem", tmp_path / "ca.key")
    return install(tmp_path, migrated_sqlite, {"ALDABA_MTLS_ANCHORS": str(tmp_path / "ca.pem")})


# -- the matrix -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DIALECTS)
async def test_without_any_such_state_every_route_answers(installed: Installation, name: str) -> None:
    async with installed.registrar() as registrar, installed.core() as core:
        stage = Stage(core, registrar, DIALECTS[name], installed)
        await stage.register(installed.directory)
        answers = {f"{route.method} {route.path}": await stage.ask(route) for route in DIALECTS[name].routes}

        # A body that a route wants and this does not know would be refused here first.
        assert {200} == {status for status, _body, _id in answers.values()}, answers


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("name", DIALECTS)
async def test_no_route_lets_in_who_may_not_act(installed: Installation, name: str, state: str) -> None:
    async with installed.registrar() as registrar, installed.core() as core:
        stage = Stage(core, registrar, DIALECTS[name], installed)
        registered = await stage.register(installed.directory)
        await STATES[state].change(registrar, registered)

        await stage.check(STATES[state])


async def test_a_route_that_forgets_the_check_is_found(installed: Installation) -> None:
    async def careless(_core: Core, _call: Call, _request: Request) -> Answer:
        return Answer(200, b"{}")

    fleet = DIALECTS["fleet"]
    route = replace(fleet.routes[1], path="/api/careless", handler=careless)
    forgetful = replace(fleet, routes=(*fleet.routes, route))
    async with installed.registrar() as registrar, installed.core() as core:
        stage = Stage(core, registrar, forgetful, installed)
        registered = await stage.register(installed.directory)
        await STATES["client disabled"].change(registrar, registered)

        with pytest.raises(AssertionError, match="GET /api/careless lets in"):
            await stage.check(STATES["client disabled"])
