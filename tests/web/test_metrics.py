"""What a process counts, alone and together with others."""

from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from aldaba.web.metrics import Metrics
from tests.installation import Installation

pytestmark = pytest.mark.anyio


def values(page: bytes, name: str) -> dict[tuple[str, ...], float]:
    return {
        tuple(value for _label, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(page.decode())
        for sample in family.samples
        if sample.name == name
    }


async def test_answers_are_counted_by_service_action_and_status_and_timed_in_buckets(
    sqlite_installation: Installation,
) -> None:
    metrics = Metrics()
    metrics.answered("fleet", "token.issue", 200, 0.0005)
    metrics.answered("fleet", "token.issue", 200, 0.03)
    metrics.answered("fleet", "token.issue", 401, 9.0)
    metrics.refused("fleet", "credential_wrong")
    async with sqlite_installation.core() as core:
        page = metrics.page(core)

    assert {("token.issue", "fleet", "200"): 2, ("token.issue", "fleet", "401"): 1} == values(
        page, "aldaba_answers_total"
    )
    assert {("credential_wrong", "fleet"): 1} == values(page, "aldaba_refusals_total")
    buckets = values(page, "aldaba_answer_seconds_bucket")
    assert 1 == buckets[("token.issue", "0.001", "fleet", "200")]
    assert 2 == buckets[("token.issue", "0.05", "fleet", "200")]
    assert 0 == buckets[("token.issue", "2.5", "fleet", "401")]
    assert 1 == buckets[("token.issue", "+Inf", "fleet", "401")]
    assert 0 == values(page, "aldaba_ledger_waiting")[()]


async def test_several_processes_are_added_up_and_one_that_ended_stays_counted(
    sqlite_installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with sqlite_installation.core() as core:
        for process in (1001, 1002):
            monkeypatch.setattr("os.getpid", lambda process=process: process)
            other = Metrics(tmp_path)
            other.answered("fleet", "token.issue", 200, 0.01)
            other.refused("fleet", "client_unknown")
            other.leave(core)
        monkeypatch.setattr("os.getpid", lambda: 1003)
        asked = Metrics(tmp_path)
        asked.answered("fleet", "token.issue", 200, 0.01)
        asked.leave(core)
        page = asked.page(core)

    assert {("token.issue", "fleet", "200"): 3} == values(page, "aldaba_answers_total")
    assert {("client_unknown", "fleet"): 2} == values(page, "aldaba_refusals_total")
