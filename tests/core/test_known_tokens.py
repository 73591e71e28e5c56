"""A token that was found good is not taken apart again; everything that may change about it is still looked at."""

from datetime import timedelta

import pytest

from aldaba.core import Core
from aldaba.core.clients import disable_client, enable_client
from aldaba.core.issue import issue
from aldaba.core.keys import rotate_keys
from aldaba.core.tokens import revoke_token
from aldaba.core.verify import verify
from aldaba.crypto import jwt
from aldaba.errors import Reason, Refusal
from tests.installation import Installation, fleet_client

pytestmark = pytest.mark.anyio


async def refused(core: Core, installation: Installation, token: str) -> Reason | None:
    try:
        await verify(core, installation.call(action="devices.list"), token)
    except Refusal as refusal:
        return refusal.reason
    return None


async def test_the_signature_is_looked_at_once(
    sqlite_installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation = sqlite_installation
    async with installation.registrar() as registrar, installation.core() as core:
        shown = await fleet_client(registrar)
        token = (await issue(core, installation.call(), shown)).text
        looked_at = 0
        look = jwt.verify

        def counted(*args: object) -> object:
            nonlocal looked_at
            looked_at += 1
            return look(*args)  # type: ignore[arg-type]

        monkeypatch.setattr("aldaba.crypto.jwt.verify", counted)
        for _ in range(3):
            assert await refused(core, installation, token) is None

        assert 1 == looked_at


async def test_a_known_token_expires(sqlite_installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    installation = sqlite_installation
    async with installation.registrar() as registrar, installation.core() as core:
        shown = await fleet_client(registrar)
        issued = await issue(core, installation.call(), shown)
        assert await refused(core, installation, issued.text) is None
        monkeypatch.setattr(core.clock, "now", lambda: issued.expires_at.replace(microsecond=0))

        assert Reason.TOKEN_EXPIRED is await refused(core, installation, issued.text)
        monkeypatch.setattr(core.clock, "now", lambda: issued.expires_at.replace(microsecond=0) - timedelta(seconds=1))
        assert await refused(core, installation, issued.text) is None


async def test_a_known_token_is_refused_when_it_is_revoked_or_its_client_disabled(
    sqlite_installation: Installation,
) -> None:
    installation = sqlite_installation
    async with installation.registrar() as registrar, installation.core() as core:
        shown = await fleet_client(registrar)
        token = (await issue(core, installation.call(), shown)).text
        outcomes = [await refused(core, installation, token)]
        await disable_client(registrar, shown.name)
        outcomes.append(await refused(core, installation, token))
        await enable_client(registrar, shown.name)
        outcomes.append(await refused(core, installation, token))
        await revoke_token(registrar, token)
        outcomes.append(await refused(core, installation, token))

        assert [None, Reason.CLIENT_DISABLED, None, Reason.TOKEN_REVOKED] == outcomes


async def test_a_known_token_is_refused_when_its_key_was_compromised(sqlite_installation: Installation) -> None:
    installation = sqlite_installation
    async with installation.registrar() as registrar, installation.core() as core:
        shown = await fleet_client(registrar)
        token = (await issue(core, installation.call(), shown)).text
        outcomes = [await refused(core, installation, token)]
        await rotate_keys(registrar, "fleet")
        outcomes.append(await refused(core, installation, token))
        await rotate_keys(registrar, "fleet", compromised=True)
        outcomes.append(await refused(core, installation, token))
        other = (await issue(core, installation.call(), shown)).text
        outcomes.append(await refused(core, installation, other))

        assert [None, None, Reason.TOKEN_INCORRECT, None] == outcomes


async def test_a_known_token_ends_with_its_retired_key(
    sqlite_installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation = sqlite_installation
    async with installation.registrar() as registrar, installation.core() as core:
        shown = await fleet_client(registrar)
        issued = await issue(core, installation.call(), shown)
        await rotate_keys(registrar, "fleet")
        assert await refused(core, installation, issued.text) is None
        (_active, _next, retired) = (await core.keyring.of("fleet"))._keys
        ends_at = retired[1]
        assert ends_at is not None
        # As if the token lived on: the key ends first.
        keys = await core.keyring.of("fleet")
        known = keys._verified[issued.text]
        keys._verified[issued.text] = known._replace(expires_at_s=known.expires_at_s + 1_000_000)
        monkeypatch.setattr(core.clock, "now", lambda: ends_at)

        assert Reason.TOKEN_INCORRECT is await refused(core, installation, issued.text)
