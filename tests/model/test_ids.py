"""Identifiers: UUID version 7, unique, and in the order in which they were made."""

import time
import uuid

from aldaba.model.ids import new_id


def test_an_id_is_a_uuid_of_version_7_in_canonical_form() -> None:
    for _ in range(1000):
        text = new_id()
        parsed = uuid.UUID(text)

        assert text == str(parsed)
        assert 7 == parsed.version
        assert uuid.RFC_4122 == parsed.variant


def test_ids_differ_and_carry_the_time_they_were_made() -> None:
    before_ms = time.time_ns() // 1_000_000
    made = [new_id() for _ in range(10_000)]
    after_ms = time.time_ns() // 1_000_000

    assert len(made) == len(set(made))
    times = [int(text.replace("-", "")[:12], 16) for text in made]
    assert sorted(times) == times
    assert before_ms <= times[0]
    assert times[-1] <= after_ms
