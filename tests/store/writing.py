"""What `test_faults` runs in processes that it kills: writes to an installation, and tells what was acknowledged."""

import os
from collections.abc import Callable, Coroutine
from multiprocessing.connection import Connection
from pathlib import Path

import anyio

from aldaba.core import Core
from aldaba.core.issue import issue
from aldaba.core.partners import add_partner
from aldaba.core.registrar import Registrar
from aldaba.errors import StoreUnavailable
from aldaba.model.calls import NameAndKey
from aldaba.model.ids import new_id
from aldaba.store.database import prepare_database
from tests.installation import Installation, install

Tell = Callable[[str], None]


def write(pipe: Connection, directory: Path, url: str, name: str, key: str) -> None:
    """Issue tokens and register partners until killed; tell of each once it is acknowledged."""
    anyio.run(_write, install(directory, url), NameAndKey(name, key), _teller(pipe))


async def _write(installation: Installation, evidence: NameAndKey, tell: Tell) -> None:
    async with installation.core() as core, installation.registrar() as registrar:
        tell("ready")
        async with anyio.create_task_group() as group:
            for _ in range(4):
                group.start_soon(_forever, _issue, installation, core, evidence, tell)
            group.start_soon(_forever, _register, registrar, tell)


async def _issue(installation: Installation, core: Core, evidence: NameAndKey, tell: Tell) -> None:
    call = installation.call()
    await issue(core, call, evidence)
    tell(f"token {call.id}")


async def _register(registrar: Registrar, tell: Tell) -> None:
    name = f"partner of {new_id()}"
    await add_partner(registrar, name)
    tell(f"partner {name}")


async def _forever(work: Callable[..., Coroutine[None, None, None]], *args: object) -> None:
    while True:
        try:
            await work(*args)
        except StoreUnavailable:
            # Not acknowledged: it may have happened or not.
            await anyio.sleep(0.01)


def prepare(pipe: Connection, url: str) -> None:
    """Bring a database up to this program's schema, and tell when that is done."""
    anyio.run(prepare_database, url)
    _teller(pipe)("done")


def _teller(pipe: Connection) -> Tell:
    def tell(line: str) -> None:
        # In one piece: a line is there whole or not at all.
        os.write(pipe.fileno(), line.encode() + b"\n")

    return tell
