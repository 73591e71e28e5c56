"""Too much of it (threats L2, L3): one noisy partner, and names and tokens without end."""

import gc
import resource
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.served import JSON, FleetClient, Served, login, request
from tests.threats.in_process import InProcess, Sent, in_process

TOKEN, DEVICES = "/fleet/api/Auth/Token", "/fleet/api/devices"


# -- L2: one noisy partner --------------------------------------------------------------------------------------------


def test_l2_one_noisy_partner_is_told_to_wait_and_others_do_not_notice(served: Served) -> None:
    noisy = served.fleet_client(requests_per_minute=50)
    others = [served.fleet_client() for _ in range(3)]
    statuses = Counter[int]()
    done = threading.Event()

    def make_noise(token: str) -> None:
        asked = request("GET", DEVICES, authorization=f"Bearer {token}")
        with served.connect(source="127.0.0.200") as connection:
            while not done.is_set():
                answer = connection.send(asked)
                statuses[answer.status] += 1
                assert answer.status == 200 or int(answer.header("retry-after") or 0) in range(1, 61)

    token = served.fleet_token(noisy)
    threads = [threading.Thread(target=make_noise, args=(token,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    try:
        answered = [_use(served, client) for client in others for _ in range(5)]
    finally:
        done.set()
        for thread in threads:
            thread.join()

    assert [(200, 200)] * 15 == answered
    assert {200, 429} == set(statuses)
    # Fifty, and fifty more should a minute begin meanwhile; its token request was one of them.
    assert 100 > statuses[200]
    began = time.perf_counter()
    assert (200, 200) == _use(served, others[0])
    assert 10 > time.perf_counter() - began


def _use(served: Served, client: FleetClient) -> tuple[int, int]:
    with served.connect() as connection:
        answer = connection.send(request("POST", TOKEN, login(client.name, client.key), content_type=JSON))
        bearer = f"Bearer {answer.json.get('token')}"
        return answer.status, connection.send(request("GET", DEVICES, authorization=bearer)).status


# -- L3: without end --------------------------------------------------------------------------------------------------


@pytest.fixture
def services(migrated_file: Path, tmp_path: Path) -> Iterator[InProcess]:
    """Give both dialects in this process, which keep as much in memory as usual."""
    with in_process(migrated_file, tmp_path) as running:
        yield running


def test_l3_long_names_and_tokens_without_end_take_no_more_memory(services: InProcess) -> None:
    _invent(services, 0, 500)
    before = _resident_kib()

    _invent(services, 500, 1_300)

    # Kept as they come, each name would take 20 KB, and as much again with its counters and waits.
    assert 10_000 > _resident_kib() - before


def _invent(services: InProcess, first: int, last: int) -> None:
    json_type = [(b"content-type", b"application/json")]
    for start in range(first, last, 100):
        numbers = range(start, start + 100)
        bodies = [login(f"name {'x' * 20_000} {number}", "x") for number in numbers]
        tokens = [f"Bearer {services.tokens['fleet'][:-6]}{number:06}".encode() for number in numbers]
        answers = services.ask(
            [
                *(Sent("POST", TOKEN.encode(), json_type, body) for body in bodies),
                *(Sent("GET", DEVICES.encode(), [(b"authorization", token)]) for token in tokens),
            ]
        )
        assert {401} == {answer.status for answer in answers}
    gc.collect()


def _resident_kib() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() // 1024
