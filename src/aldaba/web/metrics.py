"""What the process counts for its operator, in Prometheus' form. Labels come from closed lists, never from callers.

Counting a request is a few additions to plain numbers; the library's own counters cost twenty times that. Several
processes behind one listener leave theirs in a folder, and whichever is asked adds them up.
"""

import os
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import accumulate
from pathlib import Path

import msgspec
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from aldaba.core import Core

# Around the deadlines of a token request: a flush to disk is a few milliseconds.
BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0, 2.5)


class Answered(msgspec.Struct):
    """How many answers of one kind were given, by their time in buckets, and their times added up."""

    buckets: list[int]
    seconds: float = 0.0


class Counts(msgspec.Struct):
    """All that a process has counted; keys are labels joined by a space, which none of them contains."""

    answered: dict[str, Answered]
    refused: dict[str, int]
    handshakes_refused: int = 0
    waiting: int = 0
    behind_s: float = 0.0

    def add(self, other: "Counts") -> None:
        """Add what another process has counted."""
        for key, more in other.answered.items():
            mine = self.answered.setdefault(key, _none())
            mine.buckets = [one + two for one, two in zip(mine.buckets, more.buckets, strict=True)]
            mine.seconds += more.seconds
        for key, number in other.refused.items():
            self.refused[key] = self.refused.get(key, 0) + number
        self.handshakes_refused += other.handshakes_refused
        self.waiting += other.waiting
        self.behind_s = max(self.behind_s, other.behind_s)


class Metrics:
    """The counts of one process.

    Args:
        folder: where several processes leave theirs; None for one alone.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._answered: dict[tuple[str, str, int], Answered] = {}
        self._counts = Counts({}, {})

    def answered(self, service: str, action: str, status: int, seconds: float) -> None:
        """Count an answer."""
        key = (service, action, status)
        kind = self._answered.get(key)
        if kind is None:
            kind = self._answered[key] = self._counts.answered[f"{service} {action} {status}"] = _none()
        kind.buckets[bisect_left(BUCKETS, seconds)] += 1
        kind.seconds += seconds

    def refused(self, service: str, reason: str) -> None:
        """Count a refusal by its reason."""
        key = f"{service} {reason}"
        self._counts.refused[key] = self._counts.refused.get(key, 0) + 1

    def handshake_refused(self) -> None:
        """Count a handshake that was refused."""
        self._counts.handshakes_refused += 1

    def leave(self, core: Core) -> None:
        """Leave the counts where the other processes find them; called once a second where there are others."""
        if self._folder is None:
            return
        self._look_at(core)
        new = self._folder / f"{os.getpid()}.new"
        new.write_bytes(msgspec.json.encode(self._counts))
        # What a process that has ended has counted stays counted.
        new.replace(self._folder / f"{os.getpid()}.json")

    def page(self, core: Core) -> bytes:
        """Return all counts as text."""
        self._look_at(core)
        total = Counts({}, {})
        for counts in self._all():
            total.add(counts)
        registry = CollectorRegistry()
        registry.register(_Page(total))
        return generate_latest(registry)

    def _look_at(self, core: Core) -> None:
        self._counts.waiting = core.ledger.waiting
        self._counts.behind_s = max(0.0, core.clock.behind().total_seconds())

    def _all(self) -> Iterator[Counts]:
        yield self._counts
        if self._folder is not None:
            for file in self._folder.glob("*.json"):
                if file.stem != str(os.getpid()):
                    yield msgspec.json.decode(file.read_bytes(), type=Counts)


def _none() -> Answered:
    return Answered([0] * (len(BUCKETS) + 1))


class _Page(Collector):
    def __init__(self, counts: Counts) -> None:
        self._counts = counts

    def collect(self) -> Iterable[Metric]:
        counts = self._counts
        answers = CounterMetricFamily("aldaba_answers", "Answers given.", labels=("service", "action", "status"))
        seconds = HistogramMetricFamily(
            "aldaba_answer_seconds",
            "From the arrival of a request to its answer.",
            labels=("service", "action", "status"),
        )
        for key, kind in sorted(counts.answered.items()):
            labels = key.split(" ")
            answers.add_metric(labels, sum(kind.buckets))
            edges = [*map(str, BUCKETS), "+Inf"]
            seconds.add_metric(labels, list(zip(edges, accumulate(kind.buckets), strict=True)), kind.seconds)
        refusals = CounterMetricFamily("aldaba_refusals", "Requests refused.", labels=("service", "reason"))
        for key, number in sorted(counts.refused.items()):
            refusals.add_metric(key.split(" "), number)
        yield from (answers, seconds, refusals)
        yield CounterMetricFamily(
            "aldaba_handshakes_refused",
            "TLS handshakes refused for the client's certificate.",
            value=counts.handshakes_refused,
        )
        yield GaugeMetricFamily("aldaba_ledger_waiting", "Events that wait to be committed.", value=counts.waiting)
        yield GaugeMetricFamily(
            "aldaba_clock_behind_seconds",
            "How far the system's clock was set back behind ours.",
            value=counts.behind_s,
        )
