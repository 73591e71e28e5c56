"""What the process counts for its operator, in Prometheus' form. Labels come from closed lists, never from callers."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from aldaba.core import Core

# Around the deadlines of a token request: a flush to disk is a few milliseconds.
_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0, 2.5)


class Metrics:
    """The counters of one process.

    Args:
        shared: whether several processes gather theirs in `PROMETHEUS_MULTIPROC_DIR`.
    """

    def __init__(self, *, shared: bool = False) -> None:
        self._registry = CollectorRegistry()
        if shared:
            MultiProcessCollector(self._registry)  # type: ignore[no-untyped-call]
        registry = None if shared else self._registry
        self._answers = Counter("aldaba_answers", "Answers given.", ("service", "action", "status"), registry=registry)
        self._seconds = Histogram(
            "aldaba_answer_seconds",
            "From the arrival of a request to its answer.",
            ("service", "action"),
            buckets=_BUCKETS,
            registry=registry,
        )
        self._refusals = Counter("aldaba_refusals", "Requests refused.", ("service", "reason"), registry=registry)
        self._handshakes = Counter(
            "aldaba_handshakes_refused", "TLS handshakes refused for the client's certificate.", registry=registry
        )
        self._waiting = Gauge(
            "aldaba_ledger_waiting",
            "Events that wait to be committed.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._behind = Gauge(
            "aldaba_clock_behind_seconds",
            "How far the system's clock was set back behind ours.",
            registry=registry,
            multiprocess_mode="livemax",
        )
        self._children: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def answered(self, service: str, action: str, status: int, seconds: float) -> None:
        """Count an answer."""
        key = (service, action, status)
        children = self._children.get(key)
        if children is None:
            children = self._answers.labels(service, action, str(status)), self._seconds.labels(service, action)
            self._children[key] = children
        children[0].inc()
        children[1].observe(seconds)

    def refused(self, service: str, reason: str) -> None:
        """Count a refusal by its reason."""
        self._refusals.labels(service, reason).inc()

    def handshake_refused(self) -> None:
        """Count a handshake that was refused."""
        self._handshakes.inc()

    def page(self, core: Core) -> bytes:
        """Return all counters as text."""
        self._waiting.set(core.ledger.waiting)
        self._behind.set(max(0.0, core.clock.behind().total_seconds()))
        return generate_latest(self._registry)
