"""Register, suspend and resume partners."""

from collections.abc import Sequence

from aldaba.core.registrar import Note, Registrar
from aldaba.errors import Impossible
from aldaba.model.ids import new_id
from aldaba.model.parties import LONGEST_NAME, Partner, PartnerStatus
from aldaba.store import clients
from aldaba.store.database import Change


async def add_partner(
    registrar: Registrar, name: str, *, tax_id: str | None = None, contacts: Sequence[str] = ()
) -> Partner:
    """Register an organisation under a name that is its own.

    Raises:
        Impossible: the name is empty, unprintable or taken.
    """
    partner = Partner(
        id=new_id(),
        name=require_name(name),
        tax_id=tax_id,
        contacts=tuple(contacts),
        created_at=registrar.clock.now(),
    )

    def work(change: Change, note: Note) -> None:
        clients.insert_partner(change.connection, partner)
        change.touch(f"partner/{partner.id}")
        note.partner = partner.id
        note.detail = {"name": partner.name}

    await registrar.change("partner.add", work)
    return partner


async def suspend_partner(registrar: Registrar, name: str) -> None:
    """Stop everything of a partner, its tokens included, from the next request on."""
    await _set_status(registrar, name, PartnerStatus.SUSPENDED, "partner.suspend")


async def resume_partner(registrar: Registrar, name: str) -> None:
    """Let a suspended partner act again."""
    await _set_status(registrar, name, PartnerStatus.ACTIVE, "partner.resume")


async def find_partner(registrar: Registrar, name: str) -> Partner:
    """Return the partner of a name.

    Raises:
        Impossible: there is none.
    """
    partner = await registrar.database.read(clients.partner_named, name)
    if partner is None:
        raise Impossible(f"there is no partner {name!r}; 'aldaba partner list' shows them")
    return partner


async def _set_status(registrar: Registrar, name: str, status: PartnerStatus, action: str) -> None:
    partner = await find_partner(registrar, name)

    def work(change: Change, note: Note) -> None:
        clients.set_partner_status(change.connection, partner.id, status)
        change.touch(f"partner/{partner.id}")
        note.partner = partner.id

    await registrar.change(action, work)


def require_name(name: str) -> str:
    """Return a name that people can read and compare: printable, with no space around it, at most 200 characters.

    Raises:
        Impossible: it is not.
    """
    if not name or len(name) > LONGEST_NAME or not name.isprintable() or name != name.strip():
        raise Impossible(f"{name!r:.80} is no name: 1 to 200 printable characters, without spaces around them")
    return name
