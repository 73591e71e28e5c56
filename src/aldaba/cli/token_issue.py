"""`aldaba token issue`: an API key shown at the terminal walks the path of one that comes over the network."""

from ipaddress import IPv4Address
from typing import Any

from aldaba.cli.context import Context
from aldaba.cli.log import log_to
from aldaba.core import Core
from aldaba.core.audit import record_refusal
from aldaba.core.issue import issue, token_handle
from aldaba.core.registrar import Note, Registrar
from aldaba.errors import Impossible, Refusal
from aldaba.model.calls import Call, IssuedToken, Known, NameAndKey
from aldaba.model.ids import new_id
from aldaba.model.peer import Peer
from aldaba.model.services import Fact, Service
from aldaba.server import open_core, services_of
from aldaba.store.database import Change

# It is asked for on this machine: an address that the operator may choose would be a check that does not check.
HERE = IPv4Address("127.0.0.1")


async def issue_token(cli: Context, client: str, service: str, key: str) -> dict[str, Any]:
    """Return the token and what is known of it, as a record.

    Raises:
        Impossible: it was refused, with the reason and the id to explain it by.
    """
    log_to(cli.terminal.stderr)
    config = cli.config()
    services = services_of(config)
    _require_key_service(services, service)
    async with open_core(config) as core:
        call = Call(new_id(), services[service], Peer(HERE), "token.issue", Known())
        await _note_operator(Registrar(core.database, core.clock, core.secrets, cli.operator(), services), call, client)
        token = await _issue(core, call, NameAndKey(client, key))
    return {
        "service": service,
        "client": call.known.client,
        "issued_at": token.issued_at,
        "expires_at": token.expires_at,
        "handle": token_handle(token.text),
        "request_id": call.id,
        "token": token.text,
    }


def _require_key_service(services: dict[str, Service], service: str) -> None:
    if service not in services:
        raise Impossible(f"there is no service {service!r}; the configuration has {', '.join(sorted(services))}")
    if services[service].shape.name_of(Fact.CONFIRMATION) is not None:
        raise Impossible(
            f"tokens of service {service!r} are bound to the certificate of a connection; the client gets them there,"
            " such as: curl --cert FILE --key FILE URL"
        )


async def _note_operator(registrar: Registrar, call: Call, client: str) -> None:
    # The event of the decision names the client; who sat at the terminal is in this one.
    def work(change: Change, note: Note) -> None:
        note.service = call.service.name
        note.detail = {"request": call.id, "for": client[:200]}

    await registrar.change("token.issue_here", work)


async def _issue(core: Core, call: Call, evidence: NameAndKey) -> IssuedToken:
    try:
        return await issue(core, call, evidence)
    except Refusal as refusal:
        await record_refusal(core, call, refusal)
        raise Impossible(
            f"refused: {refusal.reason.value.replace('_', ' ')}; 'aldaba explain {call.id}' shows each check"
        ) from refusal
