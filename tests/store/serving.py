"""What `test_revocation_exactness` runs in processes of their own: asks for tokens and checks them again and again."""

import os
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path
from time import monotonic_ns

import anyio
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from aldaba.core import Core
from aldaba.core.issue import issue, token_handle
from aldaba.core.verify import verify
from aldaba.crypto.certificates import Issued
from aldaba.errors import Refusal
from aldaba.model.calls import PeerCertificate
from tests.installation import Installation, install


def serve(pipe: Connection, directory: Path, url: str, clients: int) -> None:
    """Issue and check tokens for the mobility clients `client-0` and so on, until killed.

    Told is what was `issued`, `granted` or `refused`, with `CLIENT HANDLE ASKED ANSWERED`: the instants are nanoseconds
    of the clock that all processes of a machine share; what has no token yet has the handle `-`.
    """
    anyio.run(_serve, pipe, install(directory, url), clients)


async def _serve(pipe: Connection, installation: Installation, clients: int) -> None:
    async with installation.core() as core:
        os.write(pipe.fileno(), b"ready\n")
        async with anyio.create_task_group() as group:
            for number in range(clients):
                group.start_soon(_use, pipe, installation, core, number)


async def _use(pipe: Connection, installation: Installation, core: Core, number: int) -> None:
    certificate = certificate_of(installation, number)
    tokens: dict[str, str] = {}

    def tell(what: str, handle: str, asked_ns: int = 0) -> None:
        # In one piece: a line is there whole or not at all.
        os.write(pipe.fileno(), f"{what} {number} {handle} {asked_ns} {monotonic_ns()}\n".encode())

    for turn in count():
        if turn % 4 == 0:
            asked_ns = monotonic_ns()
            try:
                token = (
                    await issue(core, installation.call("mobility", certificate=certificate), PeerCertificate())
                ).text
            except Refusal:
                tell("refused", "-", asked_ns)
            else:
                handle = token_handle(token)
                tell("issued", handle)
                tell("granted", "-", asked_ns)
                # Each token is checked for a while, with others before and after it.
                tokens = dict([*tokens.items(), (handle, token)][-3:])
        for handle, token in tokens.items():
            # Not right after something else has looked for changes; and there must be room for the operator.
            await anyio.sleep(0.002)
            asked_ns = monotonic_ns()
            try:
                await verify(core, installation.call("mobility", action="ping", certificate=certificate), token)
            except Refusal:
                tell("refused", handle, asked_ns)
            else:
                tell("granted", handle, asked_ns)


def certificate_of(installation: Installation, number: int) -> Issued:
    """Return the certificate that was made for a client of the test."""
    pem, key = ((installation.directory / f"client-{number}.{end}").read_bytes() for end in ("pem", "key"))
    found = load_pem_private_key(key, password=None)
    assert isinstance(found, type(installation.authority.key))
    return Issued(x509.load_pem_x509_certificate(pem), found)
