"""The server as a whole: started, stopped, changed from beside, in one process and in several."""

import asyncio
import os
import signal
from pathlib import Path

import httpx2
import pytest

from aldaba.core.clients import disable_client, enable_client
from aldaba.core.credentials import rotate_api_key
from aldaba.core.keys import rotate_keys
from aldaba.store import audit
from tests.installation import Installation, fleet_client, install
from tests.parts import needs
from tests.server.serving import children, free_port, served

pytestmark = pytest.mark.anyio


def environ_of(installation: Installation) -> dict[str, str]:
    return {
        "ALDABA_DATABASE_URL": installation.settings.database.url.reveal(),
        "ALDABA_MASTER_KEY_FILE": str(installation.directory / "master.key"),
    }


async def token_for(client: httpx2.AsyncClient, url: str, name: str, key: str) -> str:
    answer = await client.post(f"{url}/fleet/api/Auth/Token", json={"userName": name, "apiKey": key})
    assert 200 == answer.status_code, answer.text
    token: str = answer.json()["token"]
    return token


async def test_a_change_from_beside_counts_at_the_next_request(installation: Installation) -> None:
    async with (
        installation.registrar() as registrar,
        served(installation.directory, environ_of(installation)) as server,
        httpx2.AsyncClient() as client,
    ):
        shown = await fleet_client(registrar)
        token = await token_for(client, server.url, shown.name, shown.key)
        headers = {"Authorization": f"Bearer {token}"}
        statuses = []
        for change in (None, disable_client, enable_client):
            if change is not None:
                await change(registrar, shown.name)
            statuses.append((await client.get(f"{server.url}/fleet/api/devices", headers=headers)).status_code)
        await rotate_api_key(registrar, shown.name)
        statuses.append((await client.get(f"{server.url}/fleet/api/devices", headers=headers)).status_code)

        assert [200, 403, 200, 401] == statuses


async def test_who_is_enabled_again_gets_a_token_at_the_next_request(installation: Installation) -> None:
    async with (
        installation.registrar() as registrar,
        served(installation.directory, environ_of(installation)) as server,
        httpx2.AsyncClient() as client,
    ):
        shown = await fleet_client(registrar)
        await token_for(client, server.url, shown.name, shown.key)
        await disable_client(registrar, shown.name)
        body = {"userName": shown.name, "apiKey": shown.key}
        refused = await client.post(f"{server.url}/fleet/api/Auth/Token", json=body)
        # The wait after a failure has to pass first; what changes meanwhile is the client.
        await asyncio.sleep(1.1)
        await enable_client(registrar, shown.name)

        assert 401 == refused.status_code
        await token_for(client, server.url, shown.name, shown.key)


async def test_sigterm_answers_what_was_accepted_and_keeps_every_acknowledged_event(installation: Installation) -> None:
    async with installation.registrar() as registrar:
        shown = await fleet_client(registrar)
        async with served(installation.directory, environ_of(installation)) as server:
            limits = httpx2.Limits(max_connections=16)
            async with httpx2.AsyncClient(limits=limits, timeout=30) as client:
                acknowledged: list[str] = []
                cut = 0

                async def ask() -> None:
                    nonlocal cut
                    while True:
                        try:
                            answer = await client.post(
                                f"{server.url}/fleet/api/Auth/Token",
                                json={"userName": shown.name, "apiKey": shown.key},
                            )
                        except httpx2.ConnectError:
                            return
                        except httpx2.TransportError:
                            # A kept connection that the server closed while the request was on its way.
                            cut += 1
                            return
                        assert 200 == answer.status_code, answer.text
                        acknowledged.append(answer.headers["x-request-id"])

                asking = [asyncio.create_task(ask()) for _ in range(16)]
                while len(acknowledged) < 50:  # noqa: ASYNC110 - others append to it
                    await asyncio.sleep(0.01)
                status = await asyncio.to_thread(server.stop)
                await asyncio.gather(*asking)

            assert 0 == status, server.log.read_text()
            for request_id in acknowledged:
                assert 1 == len(await registrar.database.read(audit.events_of_request, request_id))


async def test_keys_rotate_under_load_without_refusing_a_valid_token(installation: Installation) -> None:
    """Threats E15."""
    async with (
        installation.registrar() as registrar,
        served(installation.directory, environ_of(installation)) as server,
        httpx2.AsyncClient() as client,
    ):
        shown = await fleet_client(registrar)
        statuses: list[int] = []
        rotated = asyncio.Event()

        async def ask_and_use() -> None:
            while not rotated.is_set():
                token = await token_for(client, server.url, shown.name, shown.key)
                await asyncio.sleep(0.05)
                answer = await client.get(
                    f"{server.url}/fleet/api/devices", headers={"Authorization": f"Bearer {token}"}
                )
                statuses.append(answer.status_code)

        asking = [asyncio.create_task(ask_and_use()) for _ in range(6)]
        for _ in range(4):
            await asyncio.sleep(0.2)
            await rotate_keys(registrar, "fleet")
        rotated.set()
        await asyncio.gather(*asking)

        assert {200} == set(statuses)
        assert len(statuses) > 10


async def test_several_processes_serve_one_that_dies_is_started_again_and_all_stop(
    tmp_path: Path, migrated_postgresql: str
) -> None:
    redis = free_port()
    command = [str(needs("redis-server")), "--port", str(redis), "--bind", "127.0.0.1", "--save", ""]
    store = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.DEVNULL)
    try:
        installation = install(tmp_path, migrated_postgresql)
        environ = environ_of(installation) | {
            "ALDABA_SERVER_WORKERS": "2",
            "ALDABA_LIMITS_STORAGE": f"redis://127.0.0.1:{redis}/0",
        }
        async with installation.registrar() as registrar, served(tmp_path, environ) as server:
            shown = await fleet_client(registrar)
            async with httpx2.AsyncClient() as client:
                await token_for(client, server.url, shown.name, shown.key)
            workers = _workers(server.process.pid)
            assert 2 == len(workers)
            os.kill(workers[0], signal.SIGKILL)
            for _ in range(200):
                if len(now := _workers(server.process.pid)) == 2 and workers[0] not in now:
                    break
                await asyncio.sleep(0.1)
            assert 2 == len(_workers(server.process.pid))
            for _ in range(100):
                try:
                    async with httpx2.AsyncClient() as client:
                        await token_for(client, server.url, shown.name, shown.key)
                    break
                except httpx2.TransportError:
                    await asyncio.sleep(0.1)
            assert 0 == await asyncio.to_thread(server.stop)
    finally:
        store.terminate()
        await store.wait()


def _workers(supervisor: int) -> list[int]:
    # multiprocessing keeps one more child, which watches over shared resources.
    return [
        child
        for child in children(supervisor)
        if b"resource_tracker" not in Path(f"/proc/{child}/cmdline").read_bytes()
    ]


async def test_a_port_that_is_taken_is_said_and_nothing_is_served(sqlite_installation: Installation) -> None:
    installation, folder = sqlite_installation, sqlite_installation.directory
    async with served(folder, environ_of(installation)) as server:
        taken = server.url.removeprefix("http://")
        with pytest.raises(RuntimeError, match=r"cannot listen on 127\.0\.0\.1"):
            async with served(folder, environ_of(installation) | {"ALDABA_SERVER_PUBLIC": taken}):
                pass
