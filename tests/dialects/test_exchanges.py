"""Plays the recorded exchanges of each dialect against real listeners, and compares whole answers."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from aldaba.errors import Reason
from tests.dialects.exchanges import (
    Exchange,
    answer_lines,
    read,
    reasons,
    request_bytes,
    token_lines,
    with_placeholders,
)
from tests.dialects.stage import Stage
from tests.dialects.steps import NOT_TO_BE_PROVOKED, STEPS
from tests.served import Answer, Served

HERE = Path(__file__).parent
DIALECTS = sorted(NOT_TO_BE_PROVOKED)
FILES = [file for dialect in DIALECTS for file in sorted((HERE / dialect).glob("*.txt"))]

# Nothing can be recorded while the database is away; the counters of the process have it all the same.
UNRECORDED = {Reason.OVERLOADED.value, Reason.UNAVAILABLE.value}


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_a_recorded_exchange_is_answered_to_the_letter(file: Path, houses: Mapping[str, Callable[[], Served]]) -> None:
    stage = Stage(houses, houses["usual"]())
    _await_a_quiet_minute()

    with stage.undo:
        for part in read(file).parts:
            if isinstance(part, Exchange):
                _play(part, stage, file.parent.name)
            else:
                STEPS[part](stage)


def _await_a_quiet_minute() -> None:
    # The counters of usage begin again with each minute: a recording is played within one.
    left_s = 60 - time.time() % 60
    if left_s < 4:
        time.sleep(left_s)


def _play(exchange: Exchange, stage: Stage, dialect: str) -> None:
    before = _refusals(stage.served)
    with stage.connect() as connection:
        answer = connection.send(request_bytes(exchange.request, stage.values))

    seen = with_placeholders(exchange.answer, answer_lines(answer), dialect, stage.values)
    assert exchange.answer == seen
    if exchange.decoded:
        lines = token_lines(answer.json["token"])
        assert exchange.decoded == with_placeholders(exchange.decoded, lines, dialect, stage.values)
    _check_reason(exchange, answer, stage, before)


def _check_reason(exchange: Exchange, answer: Answer, stage: Stage, before: Mapping[str, float]) -> None:
    if exchange.reason is None:
        assert 200 == answer.status, "a refusal without its reason"
        return
    stage.undo.close()
    counted = _refusals(stage.served)
    assert 1 <= counted.get(exchange.reason, 0) - before.get(exchange.reason, 0)
    if exchange.reason not in UNRECORDED:
        assert exchange.reason == stage.served.reason(answer)


def _refusals(served: Served) -> dict[str, float]:
    """Return how often each reason was counted, over all services."""
    with served.connect(port=served.management) as connection:
        page = connection.send(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").body.decode()
    counted: dict[str, float] = {}
    for line in page.splitlines():
        if line.startswith("aldaba_refusals_total{"):
            labels, _, number = line.rpartition(" ")
            reason = labels.split('reason="')[1].split('"')[0]
            counted[reason] = counted.get(reason, 0) + float(number)
    return counted


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_reason_is_exchanged_or_cannot_be_provoked(dialect: str) -> None:
    exchanged = reasons(HERE / dialect)
    explained = {reason.value for reason in NOT_TO_BE_PROVOKED[dialect]}

    assert set() == exchanged & explained
    assert {reason.value for reason in Reason} == exchanged | explained


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_a_recording_reads_as_a_document(file: Path) -> None:
    recording = read(file)

    assert recording.title
    assert not recording.title.endswith(".")
    assert recording.exchanges
    assert all(exchange.answer for exchange in recording.exchanges)


def test_every_step_is_used() -> None:
    used = {part for file in FILES for part in read(file).parts if isinstance(part, str)}

    assert used == set(STEPS)
